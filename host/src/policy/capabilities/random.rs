//! `random`: octets that nobody can foretell, save where a message is replayed: there they are drawn by its id.

use super::PIECE;
use crate::policy::bindings::postern::policy::random::Host;
use crate::policy::guest::Guest;
use wasmtime::Result;

impl Host for Guest {
    fn bytes(&mut self, len: u32) -> Result<Vec<u8>> {
        self.budget.call()?;
        let mut octets = vec![0; (len as usize).min(PIECE)];
        self.budget.read(octets.len())?;
        let observer = self.call.observer.as_ref();
        if !observer.is_some_and(|observer| observer.fill(&mut octets)) {
            rand::fill(&mut octets[..]);
        }
        Ok(octets)
    }
}
