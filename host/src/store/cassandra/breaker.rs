//! The breaker: when no request has succeeded for a while, callers are told so at once, and only the store's own
//! probe, once a second, tries whether the cluster is back.
//!
//! Only an answer of as many replicas as a delivery needs closes it and ends a row of such failures: one node that is
//! left answers reads of the nearest replica as if nothing had happened. Other requests are a row of their own.

use super::cluster::Reach;
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
    deliveries: Streak,
    others: Streak,
    /// Since the first failure of the row that opened it.
    open: Option<Instant>,
}

/// Failures since the last success.
#[derive(Debug, Default)]
struct Streak {
    failures: u32,
    since: Option<Instant>,
}

impl Streak {
    /// Counts one; answers when the first was, if that is enough.
    fn failed(&mut self) -> Option<Instant> {
        self.failures = self.failures.saturating_add(1);
        let since = *self.since.get_or_insert_with(Instant::now);
        (self.failures >= FAILURES && since.elapsed() >= PATIENCE).then_some(since)
    }
}

impl Breaker {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How long nothing has succeeded, if it is open.
    pub(super) fn open_for(&self) -> Option<Duration> {
        self.state().open.map(|since| since.elapsed())
    }

    pub(super) fn admit(&self) -> Admission {
        match self.state().open {
            Some(_) => Admission::Refused,
            None => Admission::Granted,
        }
    }

    pub(super) fn succeeded(&self, reach: Reach) {
        let mut state = self.state();
        if reach == Reach::Other {
            state.others = Streak::default();
            return;
        }
        if state.open.is_some() {
            tracing::warn!("Cassandra answers again");
            metrics::gauge!("postern_cassandra_breaker_open").set(0.0);
        }
        *state = State::default();
    }

    pub(super) fn failed(&self, reach: Reach) {
        let mut state = self.state();
        let enough = match reach {
            Reach::Delivery => state.deliveries.failed(),
            Reach::Other => state.others.failed(),
        };
        if state.open.is_none() && enough.is_some() {
            state.open = enough;
            tracing::error!("Cassandra is out of reach: mail is deferred until it answers");
            metrics::counter!("postern_cassandra_breaker_opened_total").increment(1);
            metrics::gauge!("postern_cassandra_breaker_open").set(1.0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn it_opens_after_failures_for_a_while_and_closes_with_a_success() {
        let breaker = Breaker::default();
        for _ in 0..FAILURES {
            breaker.failed(Reach::Delivery);
        }
        assert_eq!(breaker.open_for(), None, "not for a moment's trouble");
        tokio::time::advance(PATIENCE).await;
        breaker.failed(Reach::Delivery);
        assert_eq!(breaker.open_for(), Some(PATIENCE));
        tokio::time::advance(Duration::from_secs(3600)).await;
        assert_eq!(breaker.admit(), Admission::Refused, "time does not close it");
        breaker.succeeded(Reach::Delivery);
        assert_eq!(breaker.open_for(), None);
        assert_eq!(breaker.admit(), Admission::Granted);
    }

    #[tokio::test(start_paused = true)]
    async fn a_success_in_between_keeps_it_closed() {
        let breaker = Breaker::default();
        for _ in 0..4 * FAILURES {
            breaker.failed(Reach::Delivery);
            tokio::time::advance(PATIENCE).await;
            breaker.succeeded(Reach::Delivery);
        }
        assert_eq!(breaker.open_for(), None);
    }

    /// A reader of 150 messages met eight failures among thousands of answers, and mail was deferred.
    #[tokio::test(start_paused = true)]
    async fn requests_that_reach_fewer_replicas_are_a_row_of_their_own() {
        let breaker = Breaker::default();
        for _ in 0..4 * FAILURES {
            breaker.failed(Reach::Other);
            tokio::time::advance(PATIENCE).await;
            breaker.succeeded(Reach::Other);
        }
        assert_eq!(breaker.open_for(), None, "answered in between");
        for _ in 0..FAILURES {
            breaker.failed(Reach::Delivery);
            tokio::time::advance(PATIENCE).await;
            breaker.succeeded(Reach::Other);
        }
        breaker.failed(Reach::Delivery);
        breaker.succeeded(Reach::Other);
        assert!(breaker.open_for().is_some(), "one replica is no quorum");
        breaker.succeeded(Reach::Delivery);
        for _ in 0..FAILURES {
            breaker.failed(Reach::Other);
        }
        tokio::time::advance(PATIENCE).await;
        breaker.failed(Reach::Other);
        assert!(breaker.open_for().is_some(), "no node is left");
    }
}
