//! The breaker: when no request has succeeded for a while, callers are told so at once and one request a
//! second tries whether the cluster is back.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// Failures in a row, without any success between, that open it …
const FAILURES: u32 = 8;
/// … once the first of them is this long ago.
const PATIENCE: Duration = Duration::from_secs(2);
/// Between two tries while it is open.
pub(super) const PROBE: Duration = Duration::from_secs(1);

/// Whether a request may be sent now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Admission {
    Granted,
    /// The cluster is out of reach, and another request tries it.
    Refused,
}

#[derive(Debug, Default)]
pub(super) struct Breaker(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    failures: u32,
    /// When the first failure since the last success was.
    failing: Option<Instant>,
    /// Open; the moment of the next probe.
    probe: Option<Instant>,
}

impl Breaker {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn is_open(&self) -> bool {
        self.state().probe.is_some()
    }

    pub(super) fn admit(&self) -> Admission {
        let mut state = self.state();
        let now = Instant::now();
        match &mut state.probe {
            Some(next) if now < *next => Admission::Refused,
            Some(next) => {
                *next = now + PROBE;
                Admission::Granted
            }
            None => Admission::Granted,
        }
    }

    pub(super) fn succeeded(&self) {
        let mut state = self.state();
        if state.failing.is_none() {
            return;
        }
        if state.probe.is_some() {
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
        if state.probe.is_none() && state.failures >= FAILURES && now - since >= PATIENCE {
            state.probe = Some(now + PROBE);
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
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn it_opens_after_failures_for_a_while_and_one_request_a_second_tries() {
        let breaker = Breaker::default();
        for _ in 0..FAILURES {
            breaker.failed();
        }
        assert!(!breaker.is_open(), "not for a moment's trouble");
        tokio::time::advance(PATIENCE).await;
        breaker.failed();
        assert!(breaker.is_open());
        assert_eq!(breaker.admit(), Admission::Refused);
        tokio::time::advance(PROBE).await;
        assert_eq!(breaker.admit(), Admission::Granted);
        assert_eq!(breaker.admit(), Admission::Refused);
        breaker.succeeded();
        assert_eq!(
            (breaker.admit(), breaker.admit()),
            (Admission::Granted, Admission::Granted)
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_success_in_between_keeps_it_closed() {
        let breaker = Breaker::default();
        for _ in 0..4 * FAILURES {
            breaker.failed();
            tokio::time::advance(PATIENCE).await;
            breaker.succeeded();
        }
        assert!(!breaker.is_open());
    }
}
