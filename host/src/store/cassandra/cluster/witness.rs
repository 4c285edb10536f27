//! What tests see of the requests, and answers that they let get lost.

use scylla::errors::ExecutionError;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

#[derive(Debug, Default)]
pub(crate) struct Witness(Mutex<Seen>);

#[derive(Debug, Default)]
struct Seen {
    sent: Vec<&'static str>,
    to_lose: Vec<&'static str>,
}

impl Witness {
    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next answer to this statement is lost after it was given.
    pub(crate) fn lose(&self, name: &'static str) {
        self.seen().to_lose.push(name);
    }

    /// No answer is lost any more.
    pub(crate) fn forgive(&self) {
        self.seen().to_lose.clear();
    }

    /// The statements that were sent since the last call, in order of their names.
    pub(crate) fn take(&self) -> Vec<&'static str> {
        let mut sent = std::mem::take(&mut self.seen().sent);
        sent.sort_unstable();
        sent
    }

    #[allow(clippy::result_large_err, reason = "the error is the driver's")]
    pub(super) fn saw<T>(
        &self,
        name: &'static str,
        answer: Result<T, ExecutionError>,
    ) -> Result<T, ExecutionError> {
        let mut seen = self.seen();
        seen.sent.push(name);
        let lost = seen.to_lose.iter().position(|to_lose| *to_lose == name);
        match lost {
            Some(at) => {
                seen.to_lose.remove(at);
                Err(ExecutionError::RequestTimeout(Duration::ZERO))
            }
            None => answer,
        }
    }
}
