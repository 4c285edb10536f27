//! A candidate that decides for a share, until it fails, is slow, or differs too often: then it falls back for good,
//! until a person resets it or another version comes.
//!
//! The share is stable: what is hashed is the transaction's queue id, or at connect the client's address, with the
//! policy's name. What is judged are the last calls, however long ago they were: a small share of little mail counts too.

use super::manifest::CanaryBounds;
use crate::config::units::Span;
use sha2::{Digest as _, Sha256};
use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

#[derive(Debug)]
pub(super) struct Canary {
    bounds: CanaryBounds,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    failed: Recent,
    slow: Recent,
    differed: Recent,
    fallen: Option<String>,
}

/// Whether something was so, each of the last times.
#[derive(Debug, Default)]
struct Recent {
    last: VecDeque<bool>,
    so: usize,
}

impl Recent {
    fn add(&mut self, so: bool, most: usize) {
        self.last.push_back(so);
        self.so += usize::from(so);
        if self.last.len() > most {
            let gone = self.last.pop_front().unwrap_or_default();
            self.so -= usize::from(gone);
        }
    }
}

/// A fixed share of all keys: per cent of them.
pub(super) fn is_in_share(policy: &str, key: &str, per_cent: u8) -> bool {
    let digest = Sha256::new_with_prefix(policy)
        .chain_update([0])
        .chain_update(key)
        .finalize();
    let head = digest.first_chunk::<8>().copied().unwrap_or_default();
    u64::from_be_bytes(head) % 100 < u64::from(per_cent)
}

impl Canary {
    pub(super) fn new(bounds: CanaryBounds) -> Self {
        Self {
            bounds,
            state: Mutex::default(),
        }
    }

    /// Whether it decides about this transaction or connection.
    pub(super) fn decides(&self, policy: &str, key: &str) -> bool {
        is_in_share(policy, key, self.bounds.share) && self.state().fallen.is_none()
    }

    /// Takes how one of its calls went; the reason if it falls back by that.
    pub(super) fn heard(&self, failed: bool, took: Duration) -> Option<String> {
        let (mut state, most) = (self.state(), self.bounds.calls);
        state.failed.add(failed, most);
        state.slow.add(took > self.bounds.p99, most);
        let (failed, slow) = (state.failed.so, state.slow.so);
        let why = if failed * 100 >= usize::from(self.bounds.failures) * most {
            format!("{failed} of its last {} calls failed", state.failed.last.len())
        } else if slow * 100 > most {
            let (last, bound) = (state.slow.last.len(), Span(self.bounds.p99));
            format!("{slow} of its last {last} calls took longer than {bound}")
        } else {
            return None;
        };
        state.fall(why)
    }

    /// Takes whether it and the enforced version said different things; the reason if it falls back by that.
    pub(super) fn compared(&self, differed: bool) -> Option<String> {
        let (mut state, most) = (self.state(), self.bounds.calls);
        state.differed.add(differed, most);
        let so = state.differed.so;
        if so * 100 < usize::from(self.bounds.drift) * most {
            return None;
        }
        let last = state.differed.last.len();
        state.fall(format!(
            "the enforced version said otherwise {so} of the last {last} times"
        ))
    }

    /// It falls back for a reason from elsewhere. None: it has already.
    pub(super) fn fall(&self, why: String) -> Option<String> {
        self.state().fall(why)
    }

    /// Gives it its share again; answers whether it had fallen back.
    pub(super) fn reset(&self) -> bool {
        std::mem::take(&mut *self.state()).fallen.is_some()
    }

    /// Why it has fallen back, if it has.
    pub(super) fn fallen(&self) -> Option<String> {
        self.state().fallen.clone()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn fall(&mut self, why: String) -> Option<String> {
        if self.fallen.is_some() {
            return None;
        }
        self.fallen = Some(why.clone());
        Some(why)
    }
}

#[cfg(test)]
mod tests;
