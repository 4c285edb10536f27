//! `random`: octets that nobody can foretell; beside a decision, and where a message is replayed, those of the message.

use super::PIECE;
use crate::policy::bindings::postern::policy::random::Host;
use crate::policy::guest::Guest;
use rand::Rng as _;
use wasmtime::Result;

impl Host for Guest {
    fn bytes(&mut self, len: u32) -> Result<Vec<u8>> {
        self.budget.call()?;
        let mut octets = vec![0; (len as usize).min(PIECE)];
        self.budget.read(octets.len())?;
        match &mut self.seeded {
            Some(seeded) => seeded.fill_bytes(&mut octets),
            None => rand::fill(&mut octets[..]),
        }
        Ok(octets)
    }
}
