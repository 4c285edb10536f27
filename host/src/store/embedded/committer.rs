//! Group commit. One thread drains what waits, up to [`MOST_REQUESTS`] or [`MOST_OCTETS`], lets each request
//! change the group, commits once with fdatasync, and answers all. A request whose rows fill the group is its last:
//! the others wait for the next.
//!
//! Appended chunks of uncommitted text are written without a sync of their own: the engine keeps one journal, a
//! later sync of it covers them, and it syncs a journal wholly before it opens the next one.
//!
//! When the engine fails, what it holds in memory can no longer be trusted: [`Failure`] ends the process.

use super::change::Change;
use super::memtables::Memtables;
use super::options::{Durability, Fatal};
use super::space::FreeSpace;
use super::{Spaces, engine};
use crate::store::{Result, StoreError};
use fjall::PersistMode;
use metrics::{counter, gauge, histogram};
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;
use tokio::sync::{mpsc, oneshot};

/// Requests that wait for the committer; behind them callers wait.
pub(super) const QUEUE: usize = 1024;

const MOST_REQUESTS: usize = 256;
pub(super) const MOST_OCTETS: usize = 4 * 1024 * 1024;

/// Octets that one request may bring.
pub(super) const HEAVIEST_REQUEST: usize = 16 * 1024 * 1024;

/// Octets of the heaviest group: all but its last request weigh less than [`MOST_OCTETS`].
pub(super) const HEAVIEST_GROUP: usize = MOST_OCTETS + HEAVIEST_REQUEST;

/// Octets that may have been written and not synced. With a group they bound how long a torn tail can be.
pub(super) const MOST_UNSYNCED: usize = 8 * 1024 * 1024;

/// Octets of commits after which free space is looked at without waiting for the next second.
const LOOK_EVERY: usize = 8 * 1024 * 1024;

/// What a request needs before it is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Need {
    /// On the disk.
    Synced,
    /// Readable.
    Written,
}

/// One request: changes the group, waits for its commit, is answered.
trait Request: Send {
    fn need(&self) -> Need;
    /// Octets it brings.
    fn weight(&self) -> usize;
    fn run(&mut self, change: &mut Change<'_>);
    fn answer(self: Box<Self>, failure: Option<&str>);
}

struct Work<F, T> {
    need: Need,
    weight: usize,
    work: Option<F>,
    outcome: Option<Result<T>>,
    reply: oneshot::Sender<Result<T>>,
}

impl<F, T> Request for Work<F, T>
where
    F: FnOnce(&mut Change<'_>) -> Result<T> + Send,
    T: Send,
{
    fn need(&self) -> Need {
        self.need
    }

    fn weight(&self) -> usize {
        self.weight
    }

    fn run(&mut self, change: &mut Change<'_>) {
        if let Some(work) = self.work.take() {
            self.outcome = Some(change.attempt(work));
        }
    }

    fn answer(self: Box<Self>, failure: Option<&str>) {
        let outcome = match (failure, self.outcome) {
            (None, Some(outcome)) => outcome,
            (Some(failure), _) => Err(StoreError::Engine(failure.to_owned())),
            (None, None) => Err(stopped()),
        };
        if matches!(outcome, Err(StoreError::Engine(_))) {
            counter!("postern_store_errors_total").increment(1);
        }
        // A caller that has gone away needs no answer.
        let _ = self.reply.send(outcome);
    }
}

fn stopped() -> StoreError {
    StoreError::Engine("the store is closed".into())
}

/// Where requests are put; the committer ends when all of these are gone.
#[derive(Clone)]
pub(super) struct Queue(mpsc::Sender<Box<dyn Request>>);

impl std::fmt::Debug for Queue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Queue({} free)", self.0.capacity())
    }
}

impl Queue {
    /// Runs `work` in the committer's next group and answers when that is committed.
    pub(super) async fn submit<T, F>(&self, need: Need, weight: usize, work: F) -> Result<T>
    where
        F: FnOnce(&mut Change<'_>) -> Result<T> + Send + 'static,
        T: Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        let request = Work {
            need,
            weight,
            work: Some(work),
            outcome: None,
            reply,
        };
        self.0.send(Box::new(request)).await.map_err(|_| stopped())?;
        answer.await.map_err(|_| stopped())?
    }
}

/// Ends the process when the engine has failed, once; the first reason counts.
#[derive(Clone)]
pub(super) struct Failure {
    reason: Arc<std::sync::OnceLock<String>>,
    fatal: Fatal,
}

impl std::fmt::Debug for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Failure({:?})", self.reason.get())
    }
}

impl Failure {
    pub(super) fn new(fatal: Fatal) -> Self {
        Self {
            reason: Arc::default(),
            fatal,
        }
    }

    pub(super) fn reason(&self) -> Option<&str> {
        self.reason.get().map(String::as_str)
    }

    pub(super) fn declare(&self, reason: &str) {
        if self.reason.set(reason.to_owned()).is_ok() {
            (self.fatal)(reason);
        }
    }
}

#[derive(Debug)]
pub(super) struct Committer {
    pub(super) spaces: Spaces,
    pub(super) memtables: Memtables,
    pub(super) quarantine_max: u64,
    pub(super) durability: Durability,
    pub(super) free: Arc<FreeSpace>,
    pub(super) failure: Failure,
    /// Stored octets of bodies removed since the last compaction.
    pub(super) removed: Arc<AtomicU64>,
    pub(super) unsynced: usize,
    pub(super) unlooked: usize,
}

/// Declares the engine failed if the thread that does this work unwinds.
pub(super) struct Unwinding<'a>(pub(super) &'static str, pub(super) &'a Failure);

impl Drop for Unwinding<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.1.declare(&format!("{} panicked", self.0));
        }
    }
}

impl Committer {
    /// Starts the thread.
    pub(super) fn start(self) -> std::io::Result<(Queue, std::thread::JoinHandle<()>)> {
        let (sender, receiver) = mpsc::channel(QUEUE);
        let thread = std::thread::Builder::new().name("store-committer".into());
        let handle = thread.spawn(move || self.serve(receiver))?;
        Ok((Queue(sender), handle))
    }

    fn serve(mut self, mut requests: mpsc::Receiver<Box<dyn Request>>) {
        let failure = self.failure.clone();
        let _unwinding = Unwinding("the committer", &failure);
        while let Some(first) = requests.blocking_recv() {
            let group = drain(first, &mut requests);
            gauge!("postern_store_queue_depth").set(requests.len() as f64);
            self.serve_group(group);
        }
    }

    /// Commits the requests in order, as many at a time as a group holds.
    fn serve_group(&mut self, group: Vec<Box<dyn Request>>) {
        let mut waiting = VecDeque::from(group);
        while !waiting.is_empty() {
            let mut served = Vec::with_capacity(waiting.len());
            if self.failure.reason().is_none() {
                let started = Instant::now();
                match self.commit(&mut waiting, &mut served) {
                    Ok(()) => {
                        histogram!("postern_store_commit_seconds").record(started.elapsed().as_secs_f64())
                    }
                    Err(error) => self.failure.declare(&error.to_string()),
                }
            } else {
                served.extend(waiting.drain(..));
            }
            for request in served {
                request.answer(self.failure.reason());
            }
        }
    }

    fn commit(
        &mut self,
        waiting: &mut VecDeque<Box<dyn Request>>,
        served: &mut Vec<Box<dyn Request>>,
    ) -> Result<()> {
        let mut change = Change::new(&self.spaces, self.quarantine_max);
        let mut need = Need::Written;
        while change.octets() < MOST_OCTETS {
            let Some(mut request) = waiting.pop_front() else {
                break;
            };
            request.run(&mut change);
            if request.need() == Need::Synced {
                need = Need::Synced;
            }
            served.push(request);
        }
        let octets = change.octets();
        let (rows, freed) = change.finish();
        let mut batch = self.spaces.db.batch();
        for (space, key, value) in rows {
            match value {
                Some(value) => batch.insert(self.spaces.of(space), key, value),
                None => batch.remove(self.spaces.of(space), key),
            }
        }
        let mode = self.mode(need, octets);
        batch.durability(Some(mode)).commit().map_err(engine)?;
        self.memtables.look(&self.spaces);
        self.removed.fetch_add(freed, Ordering::Relaxed);
        self.count(served.len(), octets);
        Ok(())
    }

    fn mode(&mut self, need: Need, octets: usize) -> PersistMode {
        self.unsynced += octets;
        if self.durability == Durability::Unsafe {
            return PersistMode::Buffer;
        }
        if need == Need::Synced || self.unsynced >= MOST_UNSYNCED {
            self.unsynced = 0;
            return PersistMode::SyncData;
        }
        PersistMode::Buffer
    }

    fn count(&mut self, requests: usize, octets: usize) {
        counter!("postern_store_commits_total").increment(1);
        histogram!("postern_store_commit_requests").record(requests as f64);
        histogram!("postern_store_commit_bytes").record(octets as f64);
        self.unlooked += octets;
        if self.unlooked >= LOOK_EVERY {
            self.unlooked = 0;
            self.free.look();
        }
    }
}

fn drain(first: Box<dyn Request>, requests: &mut mpsc::Receiver<Box<dyn Request>>) -> Vec<Box<dyn Request>> {
    let mut octets = first.weight();
    let mut group = Vec::with_capacity(MOST_REQUESTS.min(requests.len() + 1));
    group.push(first);
    while group.len() < MOST_REQUESTS && octets < MOST_OCTETS {
        let Ok(next) = requests.try_recv() else {
            break;
        };
        octets += next.weight();
        group.push(next);
    }
    group
}
