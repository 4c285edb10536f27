//! `log`: lines under the policy's name, bounded in number and length.

use super::{LINE, line};
use crate::policy::bindings::postern::policy::log::Host;
use crate::policy::guest::Guest;
use wasmtime::Result;

/// The levels differ in their macro alone: `tracing` fixes a level where the macro stands.
macro_rules! levels {
    ($($level:ident)+) => {
        impl Host for Guest {
            $(fn $level(&mut self, text: String) -> Result<()> {
                self.budget.call()?;
                if self.budget.line() {
                    let (policy, id) = (&*self.call.policy, &*self.call.facts.queue_id);
                    tracing::$level!(policy, id, "{}", line(&text, LINE));
                    if let Some(observer) = &self.call.observer {
                        observer.logged(stringify!($level), line(&text, LINE));
                    }
                }
                Ok(())
            })+
        }
    };
}

levels! { debug info warn error }
