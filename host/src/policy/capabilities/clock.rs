//! `clock`: the time of the call, which stands still within it.

use crate::policy::bindings::postern::policy::clock::Host;
use crate::policy::guest::Guest;
use wasmtime::Result;

impl Host for Guest {
    fn now(&mut self) -> Result<u64> {
        self.budget.call()?;
        Ok(self.now)
    }
}
