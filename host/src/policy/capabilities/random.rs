//! `random`: octets that nobody can foretell.

use super::PIECE;
use crate::policy::bindings::postern::policy::random::Host;
use crate::policy::guest::Guest;
use wasmtime::Result;

impl Host for Guest {
    fn bytes(&mut self, len: u32) -> Result<Vec<u8>> {
        self.budget.call()?;
        let mut octets = vec![0; (len as usize).min(PIECE)];
        self.budget.read(octets.len())?;
        rand::fill(&mut octets[..]);
        Ok(octets)
    }
}
