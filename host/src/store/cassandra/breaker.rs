//! The breaker: when no request has succeeded for a while, callers are told so at once, and only the store's own
//! probe, once a second, tries whether the cluster is back.
//!
//! Only an answer of as many replicas as a delivery needs is a success: one node that is left answers reads of
//! the nearest replica as if nothing had happened.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// Failures in a row, without any success between, that open it …
const FAILURES: u32 = 8;
/// … once the first of them is this long ago.
const PATIENCE: Duration = Duration::from_secs(2);

/// Whether a request may be sent now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Admission {
    Granted,
    /// The cluster is out of reach.
    Refused,
}

#[derive(Debug, Default)]
pub(super) struct Breaker(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    failures: u32,
    /// When the first failure since the last success was.
    failing: Option<Instant>,
    open: bool,
}

impl Breaker {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How long nothing has succeeded, if it is open.
    pub(super) fn open_for(&self) -> Option<Duration> {
        let state = self.state();
        let failing = state.failing.filter(|_| state.open);
        failing.map(|since| since.elapsed())
    }

    pub(super) fn admit(&self) -> Admission {
        match self.state().open {
            true => Admission::Refused,
            false => Admission::Granted,
        }
    }

    pub(super) fn succeeded(&self) {
        let mut state = self.state();
        if state.failing.is_none() {
            return;
        }
        if state.open {
            tracing::warn!("Cassandra answers again");
            metrics::gauge!("postern_cassandra_breaker_open").set(0.0);
        }
        *state = State::default();
    }

    pub(super) fn failed(&self) {
        let mut state = self.state();
        let now = Instant::now();
        state.failures = state.failures.saturating_add(1);
        let since = *state.failing.get_or_insert(now);
        if !state.open && state.failures >= FAILURES && now - since >= PATIENCE {
            state.open = true;
            tracing::error!(
                failures = state.failures,
                "Cassandra is out of reach: mail is deferred until it answers"
            );
            metrics::counter!("postern_cassandra_breaker_opened_total").increment(1);
            metrics::gauge!("postern_cassandra_breaker_open").set(1.0);
        }
    }
}

#[cfg(test)]
impl Breaker {
    pub(super) fn is_failing(&self) -> bool {
        self.state().failing.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn it_opens_after_failures_for_a_while_and_closes_with_a_success() {
        let breaker = Breaker::default();
        for _ in 0..FAILURES {
            breaker.failed();
        }
        assert_eq!(breaker.open_for(), None, "not for a moment's trouble");
        tokio::time::advance(PATIENCE).await;
        breaker.failed();
        assert_eq!(breaker.open_for(), Some(PATIENCE));
        tokio::time::advance(Duration::from_secs(3600)).await;
        assert_eq!(breaker.admit(), Admission::Refused, "time does not close it");
        breaker.succeeded();
        assert_eq!(breaker.open_for(), None);
        assert_eq!(breaker.admit(), Admission::Granted);
    }

    #[tokio::test(start_paused = true)]
    async fn a_success_in_between_keeps_it_closed() {
        let breaker = Breaker::default();
        for _ in 0..4 * FAILURES {
            breaker.failed();
            tokio::time::advance(PATIENCE).await;
            breaker.succeeded();
        }
        assert_eq!(breaker.open_for(), None);
    }
}
