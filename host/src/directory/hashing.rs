//! The place where hashes are computed: on threads of their own, a bounded number at the same time.
//!
//! The threads are few and each keeps what it computes in: 19 MiB that are given back after each hash stay
//! with the allocator, in every arena and more than once, which made hundreds of megabytes.
//!
//! Whoever has to wait for longer than `auth.hash_wait` is told so, and the login is deferred (454, `[SYS/TEMP]`).

use super::password::Memory;
use crate::config::AuthConfig;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread;
use std::time::{Duration, Instant};
use tokio::sync::{Semaphore, oneshot};

/// Told of each hash and the time it took.
pub(super) type Observer = Arc<dyn Fn(Duration) + Send + Sync>;

/// No turn came in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too many passwords are being checked")]
pub struct Busy;

type Job = Box<dyn FnOnce(&mut Memory) + Send>;

/// Where one thread gets its work; it ends when this is dropped.
type Desk = mpsc::Sender<Job>;

/// A bound on parallel hashes.
#[derive(Clone)]
pub(super) struct Hashing {
    turns: Arc<Semaphore>,
    /// How long each waits for its turn.
    wait: Duration,
    /// Threads that wait for work. Whoever has a turn finds one here or starts one, so there are never more
    /// of them than turns.
    idle: Arc<Mutex<Vec<Desk>>>,
    observer: Observer,
}

impl fmt::Debug for Hashing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Hashing({} free)", self.turns.available_permits())
    }
}

impl Hashing {
    pub(super) fn new(config: &AuthConfig, observer: Observer) -> Self {
        Self {
            turns: Arc::new(Semaphore::new(config.parallel_hashes.max(1))),
            wait: config.hash_wait,
            idle: Arc::default(),
            observer,
        }
    }

    /// Runs `work`, which computes hashes and tells `Meter` of each.
    pub(super) async fn run<T, W>(&self, work: W) -> Result<T, Busy>
    where
        T: Send + 'static,
        W: FnOnce(&mut Meter<'_>) -> T + Send + 'static,
    {
        let turn = tokio::time::timeout(self.wait, Arc::clone(&self.turns).acquire_owned());
        let Ok(Ok(turn)) = turn.await else {
            metrics::counter!("postern_password_hashes_refused_total").increment(1);
            return Err(Busy);
        };
        let desk = self.desk()?;
        let observer = Arc::clone(&self.observer);
        let (idle, again) = (Arc::clone(&self.idle), desk.clone());
        let (tell, told) = oneshot::channel();
        // The turn ends with the work, even if nobody waits for it any more.
        let job = move |memory: &mut Memory| {
            let outcome = work(&mut Meter { observer, memory });
            idle.lock().unwrap_or_else(PoisonError::into_inner).push(again);
            drop(turn);
            let _ = tell.send(outcome);
        };
        desk.send(Box::new(job)).map_err(|_| Busy)?;
        told.await.map_err(|_| Busy)
    }

    /// A thread that waits, or a new one. One whose work panics ends with it.
    fn desk(&self) -> Result<Desk, Busy> {
        let waiting = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        if let Some(desk) = waiting {
            return Ok(desk);
        }
        let (desk, jobs) = mpsc::channel::<Job>();
        let thread = thread::Builder::new().name("postern-hash".to_owned());
        let started = thread.spawn(move || {
            let mut memory = Memory::default();
            jobs.into_iter().for_each(|job| job(&mut memory));
        });
        match started {
            Ok(_) => Ok(desk),
            Err(error) => {
                tracing::error!(%error, "no thread can be started for a password's hash");
                Err(Busy)
            }
        }
    }
}

/// Counts and times hashes, and has what they are computed in.
pub(super) struct Meter<'a> {
    observer: Observer,
    memory: &'a mut Memory,
}

impl Meter<'_> {
    pub(super) fn time<T>(&mut self, hash: impl FnOnce(&mut Memory) -> T) -> T {
        let begun = Instant::now();
        let outcome = hash(self.memory);
        (self.observer)(begun.elapsed());
        outcome
    }
}

/// The metric.
pub(super) fn histogram() -> Observer {
    Arc::new(|took| metrics::histogram!("postern_password_hash_seconds").record(took))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;
    use std::sync::Barrier;
    use std::sync::atomic::{AtomicBool, Ordering};

    const WAIT: Duration = Duration::from_secs(7);

    fn hashing(parallel_hashes: usize) -> Hashing {
        let config = AuthConfig {
            scram: false,
            scram_iterations: 600_000,
            parallel_hashes,
            hash_wait: WAIT,
            cache: Duration::ZERO,
        };
        Hashing::new(&config, Arc::new(|_| ()))
    }

    /// Each thread keeps what its largest hash took: on the runtime's pool of 512 threads, a wave of guesses
    /// left 680 MB behind.
    #[tokio::test]
    async fn hashes_are_computed_on_no_more_threads_than_may_run_at_the_same_time() {
        const HASHES: usize = 50;
        let hashing = hashing(2);
        // Other work keeps a thread of the pool from each hash to the last, so that the pool would grow.
        let all = Arc::new(Barrier::new(HASHES));
        let mut computing = tokio::task::JoinSet::new();
        for _ in 0..HASHES {
            let (hashing, all) = (hashing.clone(), Arc::clone(&all));
            computing.spawn(async move {
                let thread = hashing.run(|_| thread::current().id()).await.unwrap();
                tokio::task::spawn_blocking(move || all.wait()).await.unwrap();
                thread
            });
        }
        let threads: HashSet<_> = computing.join_all().await.into_iter().collect();
        assert!((1..=2).contains(&threads.len()), "{threads:?}");
    }

    /// A hash that takes its turn and is over when the other end of the channel is gone.
    async fn begun(hashing: &Hashing) -> (mpsc::Sender<()>, tokio::task::JoinHandle<Result<u8, Busy>>) {
        let (end, ended) = mpsc::channel();
        let (begin, has_begun) = oneshot::channel();
        let hashing = hashing.clone();
        let work = move |_: &mut Meter<'_>| {
            begin.send(()).unwrap();
            let _: Result<(), _> = ended.recv();
            0
        };
        let hash = tokio::spawn(async move { hashing.run(work).await });
        has_begun.await.unwrap();
        (end, hash)
    }

    #[tokio::test]
    async fn so_many_hashes_run_at_the_same_time_and_one_more_waits() {
        let hashing = hashing(2);
        let (end_of_one, one) = begun(&hashing).await;
        let (end_of_other, other) = begun(&hashing).await;
        let is_over = Arc::new(AtomicBool::new(false));
        let third = tokio::spawn({
            let (hashing, is_over) = (hashing.clone(), Arc::clone(&is_over));
            async move { hashing.run(move |_| is_over.load(Ordering::SeqCst)).await }
        });
        tokio::task::yield_now().await;
        is_over.store(true, Ordering::SeqCst);
        drop(end_of_one);
        assert_eq!(third.await.unwrap(), Ok(true), "it had no turn before");
        assert!(!other.is_finished());
        drop(end_of_other);
        assert_eq!((one.await.unwrap(), other.await.unwrap()), (Ok(0), Ok(0)));
    }

    #[tokio::test]
    async fn a_turn_is_waited_for_so_long_and_no_longer_and_who_got_none_is_counted() {
        let recorder = metrics_exporter_prometheus::PrometheusBuilder::new().build_recorder();
        let _counting = metrics::set_default_local_recorder(&recorder);
        let refused = || {
            let text = recorder.handle().render();
            let found = text
                .lines()
                .find_map(|line| line.strip_prefix("postern_password_hashes_refused_total "));
            found.map_or(0, |count| count.parse::<u32>().unwrap())
        };
        let hashing = hashing(1);
        let (end, first) = begun(&hashing).await;
        tokio::time::pause();

        let begin = tokio::time::Instant::now();
        assert_eq!(hashing.run(|_| 7).await, Err(Busy));
        // The timer counts in milliseconds.
        assert!((WAIT..WAIT + Duration::from_millis(2)).contains(&begin.elapsed()));
        assert_eq!(refused(), 1);

        let second = tokio::spawn({
            let hashing = hashing.clone();
            async move { hashing.run(|_| 7).await }
        });
        tokio::task::yield_now().await;
        tokio::time::advance(WAIT - Duration::from_millis(2)).await;
        assert!(!second.is_finished());
        drop(end);
        // The clock stands while a thread hashes: it goes on only where nothing else does.
        while !second.is_finished() {
            tokio::task::yield_now().await;
        }
        assert_eq!(second.await.unwrap(), Ok(7));
        assert_eq!(first.await.unwrap(), Ok(0));
        assert_eq!(refused(), 1);
    }

    #[tokio::test]
    async fn a_panic_costs_its_own_hash_alone() {
        let hashing = hashing(1);
        let broken = hashing
            .run(|_| -> u8 { panic!("a fault of the test's own") })
            .await;
        assert_eq!(broken, Err(Busy));
        assert_eq!(hashing.run(|_| 7).await, Ok(7));
    }
}
