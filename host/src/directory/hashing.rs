//! The place where hashes are computed: on threads of their own, a bounded number at the same time.
//!
//! Whoever has to wait for longer than [`WAIT`] is told so, and the login is deferred (454, `[SYS/TEMP]`).

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::Semaphore;

/// How long a login waits for its turn.
const WAIT: Duration = Duration::from_secs(10);

/// Told of each hash and the time it took.
pub(super) type Observer = Arc<dyn Fn(Duration) + Send + Sync>;

/// No turn came in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too many passwords are being checked")]
pub struct Busy;

/// A bound on parallel hashes.
#[derive(Clone)]
pub(super) struct Hashing {
    turns: Arc<Semaphore>,
    observer: Observer,
}

impl fmt::Debug for Hashing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Hashing({} free)", self.turns.available_permits())
    }
}

impl Hashing {
    pub(super) fn new(parallel: usize, observer: Observer) -> Self {
        Self {
            turns: Arc::new(Semaphore::new(parallel.max(1))),
            observer,
        }
    }

    /// Runs `work`, which computes hashes and tells `Meter` of each.
    pub(super) async fn run<T, W>(&self, work: W) -> Result<T, Busy>
    where
        T: Send + 'static,
        W: FnOnce(&Meter) -> T + Send + 'static,
    {
        let turn = tokio::time::timeout(WAIT, Arc::clone(&self.turns).acquire_owned());
        let Ok(Ok(turn)) = turn.await else {
            metrics::counter!("postern_password_hashes_refused_total").increment(1);
            return Err(Busy);
        };
        let meter = Meter(Arc::clone(&self.observer));
        // The turn ends with the work, even if nobody waits for it any more.
        let done = tokio::task::spawn_blocking(move || {
            let outcome = work(&meter);
            drop(turn);
            outcome
        });
        done.await.map_err(|_| Busy)
    }
}

/// Counts and times hashes.
pub(super) struct Meter(Observer);

impl Meter {
    pub(super) fn time<T>(&self, hash: impl FnOnce() -> T) -> T {
        let begun = Instant::now();
        let outcome = hash();
        (self.0)(begun.elapsed());
        outcome
    }
}

/// The metric.
pub(super) fn histogram() -> Observer {
    Arc::new(|took| metrics::histogram!("postern_password_hash_seconds").record(took))
}
