//! Where guests run: threads of their own, behind everything else in the queue for the processor.
//!
//! A guest that spins takes the time that nobody else wants, and the sessions' threads keep theirs. How many
//! run together is bounded; who waits for a place waits within the deadline of its call.

use super::reuse::Waiting;
use super::shadow::Shadows;
use crate::config::PolicyLimits;
use anyhow::Context as _;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use wasmtime::{Engine, EngineWeak};

/// How far guest threads stand back. Measured with four spinning guests: others' timers fire at most 4 ms late.
const NICE: i32 = 10;
/// And those of policies that are asked beside the decision: as far as there is.
const BESIDE: i32 = 19;
/// A guest that computes gives way to the other guests this often.
const TICK: Duration = Duration::from_millis(10);

/// The guests' threads, their clock and their places.
#[derive(Debug)]
pub(super) struct Guests {
    /// Taken only when this is dropped.
    runtime: Option<Runtime>,
    pub(super) handle: Handle,
    pub(super) engine: Engine,
    pub(super) places: Arc<Semaphore>,
    /// Instances that wait for another call; each has a place.
    pub(super) kept: Waiting,
    /// For those who are asked beside a decision.
    pub(super) shadows: Shadows,
}

impl Guests {
    /// Starts the threads. They end when this is dropped, whatever guests do.
    pub(super) fn start(engine: Engine, limits: &PolicyLimits) -> anyhow::Result<Self> {
        let runtime = Builder::new_multi_thread()
            .thread_name("guest")
            .on_thread_start(step_back)
            .enable_all()
            .build()
            .context("cannot start threads for policies")?;
        let weak = engine.weak();
        std::thread::Builder::new()
            .name("guest-clock".to_owned())
            .spawn(move || tick(&weak))
            .context("cannot start the policies' clock")?;
        Ok(Self {
            handle: runtime.handle().clone(),
            runtime: Some(runtime),
            engine,
            places: Arc::new(Semaphore::new(limits.instances as usize)),
            kept: Waiting::default(),
            shadows: Shadows::new(limits),
        })
    }

    /// A place among those that run: a free one, or that of the instance that has waited longest for a call.
    pub(super) async fn place(&self) -> Option<OwnedSemaphorePermit> {
        if let Ok(free) = Arc::clone(&self.places).try_acquire_owned() {
            return Some(free);
        }
        let _caller = self.kept.caller();
        self.kept.give_way();
        Arc::clone(&self.places).acquire_owned().await.ok()
    }
}

impl Drop for Guests {
    fn drop(&mut self) {
        // May happen on a thread of another runtime, where waiting for this one is not allowed.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// For the thread that calls it: Linux gives each a nice value of its own, and those it starts begin with it. One that
/// stands back already goes no further.
pub(super) fn step_back() {
    step(NICE);
}

/// Likewise, behind the guests that decide.
pub(super) fn step_far_back() {
    step(BESIDE);
}

fn step(by: i32) {
    let main = rustix::process::getpriority_process(Some(rustix::process::getpid()));
    let far = main.map_or(by, |nice| (nice + by).min(19));
    if let Err(error) = rustix::process::setpriority_process(None, far) {
        tracing::warn!(%error, "policies run, or are compiled, at the sessions' priority");
    }
}

/// Counts epochs as long as there is an engine to count them for.
fn tick(engine: &EngineWeak) {
    loop {
        std::thread::sleep(TICK);
        match engine.upgrade() {
            Some(engine) => engine.increment_epoch(),
            None => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::engine;

    #[tokio::test]
    async fn guests_run_on_threads_that_stand_back_and_sessions_do_not() {
        let guests = Guests::start(engine::on_demand().unwrap(), &PolicyLimits::default()).unwrap();
        let niceness = || rustix::process::nice(0).unwrap();
        let theirs = guests.handle.spawn(async move { niceness() }).await.unwrap();
        assert_eq!(theirs, (niceness() + NICE).min(19));
    }

    #[tokio::test]
    async fn the_runtime_may_be_dropped_where_nothing_may_block() {
        let guests = Guests::start(engine::on_demand().unwrap(), &PolicyLimits::default()).unwrap();
        let (sender, receiver) = tokio::sync::oneshot::channel::<()>();
        guests.handle.spawn(async move {
            std::future::pending::<()>().await;
            drop(sender);
        });
        drop(guests);
        assert!(receiver.await.is_err(), "what ran there is dropped");
    }
}
