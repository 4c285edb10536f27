//! One policy and one call of it.
//!
//! Each call has a fresh instance, a place among those that run, and a deadline that everything counts
//! against: waiting for the place, starting, computing, waiting for the store. Whatever ends a call ends its
//! instance; nobody else notices.

use super::breaker::Course;
use super::capabilities::tree::Room;
use super::grants::DirectorySource;
use super::guest::{Call, Guest, Letter};
use super::health::Health;
use super::http::Client;
use super::limits::{Limit, Limits};
use super::manifest::{Manifest, Mode, OnFailure};
use super::observer::Observer;
use super::overlay::Overlay;
use super::questions::{Answers, Ask, Question, Said};
use super::reuse::{Kept, Owner};
use super::runtime::Guests;
use super::shadow::Run;
use super::trail::Trail;
use super::words::Unfit;
use super::{AddressCheck, Edit, Facts, Listed, Policies};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::timeout;
use tokio_util::task::AbortOnDropHandle;
use wasmtime::Store;
use wasmtime::component::InstancePre;

/// Time for what the host does with each MiB of a message that is asked about: to fetch it and to make its tree, and
/// to wait for [`Room`]. On a busy machine that alone would use up a usual deadline.
const PER_MIB: Duration = Duration::from_millis(50);
/// More than that no message adds.
const MOST_FOR_SIZE: Duration = Duration::from_secs(60);
/// The guests' own timers come late when many of them compute; sessions do not wait for that.
const LATE: Duration = Duration::from_millis(100);

/// A policy that can be asked.
pub(super) struct Plugin {
    pub(super) name: Arc<str>,
    /// Of its octets, SHA-256.
    pub(super) digest: String,
    /// The same of its own file.
    pub(super) yaml: String,
    manifest: Manifest,
    http: Option<Arc<Client>>,
    pre: InstancePre<Guest>,
    answers: Answers,
    pub(super) guests: Arc<Guests>,
    pub(super) health: Health,
    /// The most memory that one call has had.
    peak: AtomicUsize,
    /// Of its instances that wait for another call.
    owner: Owner,
}

/// What calls of all policies use.
#[derive(Debug, Clone)]
pub(super) struct Services {
    pub(super) store: Arc<dyn crate::store::Store>,
    pub(super) dns: Arc<dyn crate::dns::Lookup>,
    pub(super) addresses: Addresses,
    pub(super) directory: Arc<dyn DirectorySource>,
    /// For the trees of messages.
    pub(super) room: Room,
    /// Whether calls have a [`Trail`].
    pub(super) explains: bool,
    /// None in a gateway.
    pub(super) observer: Option<Arc<Observer>>,
    /// In the place of the store's `kv`; None in a gateway.
    pub(super) overlay: Option<Arc<Overlay>>,
}

/// Where addresses lead that a policy puts in, as its own set has it.
#[derive(Debug, Clone)]
pub(super) struct Addresses {
    pub(super) check: Arc<dyn AddressCheck>,
    /// Not there while its policies are tried.
    pub(super) set: Weak<Policies>,
}

impl Addresses {
    pub(super) async fn deliverable(&self, facts: &Facts, address: &str) -> crate::store::Result<bool> {
        match self.set.upgrade() {
            Some(set) => self.check.deliverable(&set, facts, address).await,
            None => Ok(false),
        }
    }
}

impl std::fmt::Debug for Plugin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Plugin")
            .field("name", &self.name)
            .field("digest", &self.digest)
            .field("answers", &self.answers)
            .finish_non_exhaustive()
    }
}

/// An answer and what was done on the way to it.
#[derive(Debug)]
pub(super) struct Heard {
    pub(super) said: Said,
    pub(super) edits: Vec<Edit>,
    /// The store failed one of its calls.
    pub(super) store_failed: bool,
    pub(super) trail: Trail,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    /// The guest's own end, or a bound that it met.
    #[error("{0}")]
    Trap(String),
    #[error("no answer within limits.deadline")]
    TimeOut,
    #[error("no place to run within limits.deadline; policy.instances run already")]
    Busy,
    #[error("no instance: {0}")]
    Start(String),
    #[error("an answer that cannot be carried out: {0}")]
    Unfit(#[from] Unfit),
    /// A fault of the host's.
    #[error("the call was lost")]
    Lost,
    /// It was not called.
    #[error("out of service")]
    OutOfService,
}

impl Failure {
    /// As it is logged and counted.
    pub(super) fn word(&self) -> &'static str {
        match self {
            Self::Trap(_) => "trap",
            Self::TimeOut => "timeout",
            Self::Busy => "busy",
            Self::Start(_) => "start",
            Self::Unfit(_) => "unfit",
            Self::Lost => "lost",
            Self::OutOfService => "out-of-service",
        }
    }
}

/// A failure with the last that the guest wrote, where tracebacks are.
#[derive(Debug)]
pub(super) struct Failed {
    pub(super) failure: Failure,
    pub(super) output: String,
    /// The store failed one of its calls.
    pub(super) store_failed: bool,
    pub(super) trail: Trail,
}

impl From<Failure> for Failed {
    fn from(failure: Failure) -> Self {
        Self {
            failure,
            output: String::new(),
            store_failed: false,
            trail: Trail::default(),
        }
    }
}

impl Plugin {
    pub(super) fn new(
        listed: &Listed,
        manifest: Manifest,
        http: Option<Arc<Client>>,
        pre: InstancePre<Guest>,
        answers: Answers,
        guests: Arc<Guests>,
    ) -> Self {
        let name: Arc<str> = listed.name.as_str().into();
        Self {
            health: Health::new(&name, &listed.digest, &manifest),
            name,
            digest: listed.digest.clone(),
            yaml: listed.yaml.clone(),
            manifest,
            http,
            pre,
            answers,
            owner: guests.kept.owner(),
            guests,
            peak: AtomicUsize::default(),
        }
    }

    pub(super) fn answers(&self, question: Question) -> bool {
        self.answers.has(question)
    }

    pub(super) fn mode(&self) -> Mode {
        self.manifest.mode
    }

    /// Whether it is asked here, and about them.
    pub(super) fn applies(&self, ask: &Ask, facts: &Facts) -> bool {
        let scope = &self.manifest.scope;
        let named = match ask {
            Ask::Rcpt(address) | Ask::Route(address) => Some(std::slice::from_ref(address)),
            Ask::Quota { mailbox, .. } => Some(std::slice::from_ref(mailbox)),
            Ask::Message => Some(facts.rcpt_to.as_slice()),
            Ask::Connect | Ask::Mail | Ask::Validate => None,
        };
        scope.covers(
            &facts.listener,
            named.map(|named| named.iter().map(String::as_str)),
        )
    }

    /// What one call may know and do.
    pub(super) fn call(
        &self,
        services: &Services,
        facts: Facts,
        message: Option<Arc<Letter>>,
        edits: Vec<Edit>,
    ) -> Call {
        Call {
            policy: Arc::clone(&self.name),
            facts,
            message,
            edits,
            settings: Arc::clone(&self.manifest.settings),
            kv: self.manifest.kv.clone(),
            dns: self.manifest.dns.clone(),
            resolver: Arc::clone(&services.dns),
            store: Arc::clone(&services.store),
            directory: self
                .manifest
                .grants
                .directory
                .then(|| Arc::clone(&services.directory)),
            http: self.http.clone(),
            addresses: services.addresses.clone(),
            limits: self.manifest.limits,
            explains: services.explains,
            observer: services.observer.clone(),
            run: Run::Decides,
            overlay: services.overlay.clone(),
            told: None,
        }
    }

    pub(super) fn on_failure(&self, question: Question) -> OnFailure {
        question.on_failure(&self.manifest.failure)
    }

    pub(super) fn limits(&self) -> &Limits {
        &self.manifest.limits
    }

    #[cfg(test)]
    pub(super) fn owner(&self) -> &Owner {
        &self.owner
    }

    /// Asks within the policy's deadline.
    pub(super) async fn ask(self: &Arc<Self>, ask: Ask, call: Call) -> Result<Heard, Failed> {
        if call.run == Run::OutOfService {
            self.health.refused();
            return Err(Failure::OutOfService.into());
        }
        self.ask_within(self.time_for(&call), ask, call).await
    }

    /// Asks beside a decision, here: on the threads for that.
    pub(super) async fn ask_beside(&self, ask: &Ask, call: Call) -> Result<Heard, Failed> {
        let end = Instant::now() + self.time_for(&call);
        Box::pin(self.run(ask, call, end)).await
    }

    fn time_for(&self, call: &Call) -> Duration {
        self.limits().deadline + for_message(call)
    }

    /// Asks, on the guests' threads. Who no longer waits for the answer ends the call.
    pub(super) async fn ask_within(
        self: &Arc<Self>,
        limit: Duration,
        ask: Ask,
        call: Call,
    ) -> Result<Heard, Failed> {
        let (plugin, end) = (Arc::clone(self), Instant::now() + limit);
        let run = self
            .guests
            .handle
            .spawn(async move { Box::pin(plugin.run(&ask, call, end)).await });
        match timeout(limit + LATE, AbortOnDropHandle::new(run)).await {
            Ok(Ok(outcome)) => outcome,
            // A panic in the host: it has been logged by the panic hook.
            Ok(Err(_)) => Err(Failure::Lost.into()),
            Err(_) => Err(Failure::TimeOut.into()),
        }
    }

    pub(super) async fn run(&self, ask: &Ask, call: Call, end: Instant) -> Result<Heard, Failed> {
        let left = || end.saturating_duration_since(Instant::now());
        let (whole, run, more) = (left(), call.run, for_message(&call));
        let counts = ask.question() != Question::Validate && run != Run::Counterpart;
        let trial = counts.then(|| Trial::of(&self.health));
        // Settings are judged by an instance that nobody had before and nobody has after, and what is asked beside a
        // decision has places of its own.
        let reuse = self
            .manifest
            .reuse
            .filter(|_| *ask != Ask::Validate && !run.is_beside());
        let kept = reuse.and_then(|_| self.guests.kept.take(&self.owner));
        let mut running = match kept {
            Some(kept) => self.again(kept, call),
            None => self.fresh(self.place(whole, run).await?, call),
        };
        running.store.data_mut().end = end;
        let begun = Instant::now();
        let outcome = timeout(left(), self.put(ask, &mut running)).await;
        let guest = running.store.data_mut();
        self.remember(guest.memory_peak());
        let outcome = outcome.unwrap_or(Err(Failure::TimeOut));
        // Who got its place late had little time, and who waits for the store may not use it.
        let is_late = matches!(outcome, Err(Failure::TimeOut)) && begun.elapsed() < whole / 2;
        if let Some(trial) = trial.filter(|_| !is_late && !guest.store_failed) {
            trial.heard(Course {
                begun,
                took: begun.elapsed().saturating_sub(guest.waits.sum() + more),
                failed: outcome.is_err(),
            });
        }
        let said = match outcome {
            Ok(said) => said,
            // The instance ends here, before its place is free.
            Err(failure) => return Err(failed(failure, guest)),
        };
        let heard = Heard {
            said,
            store_failed: guest.store_failed,
            edits: guest.take_edits(),
            trail: guest.trail.take().unwrap_or_default(),
        };
        if let Some(reuse) = reuse {
            let nothing = self.nothing(&running.store.data().call);
            running.store.data_mut().begin(nothing);
            self.guests.kept.keep(&self.owner, reuse, running);
        }
        Ok(heard)
    }

    /// An instance is still to be made.
    fn fresh(&self, place: OwnedSemaphorePermit, call: Call) -> Kept {
        Kept::new(self.store(call), place)
    }

    /// The instance of an earlier call, of which nothing else is left.
    fn again(&self, mut kept: Kept, call: Call) -> Kept {
        kept.store.data_mut().begin(call);
        kept.store.set_hostcall_fuel(self.limits().output);
        kept.store.set_epoch_deadline(1);
        kept
    }

    /// What an instance that waits has: no facts, no message.
    fn nothing(&self, before: &Call) -> Call {
        Call {
            facts: Facts::default(),
            message: None,
            edits: Vec::new(),
            observer: None,
            told: None,
            ..before.clone()
        }
    }

    /// A place among those that run. Whoever has a store drops that first.
    async fn place(&self, limit: Duration, run: Run) -> Result<OwnedSemaphorePermit, Failure> {
        let place = async {
            match run.is_beside() {
                true => Arc::clone(&self.guests.shadows.places).acquire_owned().await.ok(),
                false => self.guests.place().await,
            }
        };
        timeout(limit, place).await.ok().flatten().ok_or(Failure::Busy)
    }

    async fn put(&self, ask: &Ask, running: &mut Kept) -> Result<Said, Failure> {
        let store = &mut running.store;
        let instance = match running.instance {
            Some(instance) => instance,
            None => {
                let made = self.pre.instantiate_async(&mut *store).await;
                *running
                    .instance
                    .insert(made.map_err(|error| Failure::Start(cause(&error)))?)
            }
        };
        let said = self.answers.put(ask, store, &instance).await;
        said.map_err(|error| Failure::Trap(self.trapped(&error)))
    }

    /// Makes an instance, in a place among those that run, and looks whether its answers have the contract's types.
    pub(super) async fn try_out(&self, limit: Duration, call: Call) -> Result<(), Failed> {
        let end = Instant::now() + limit;
        let left = || end.saturating_duration_since(Instant::now());
        let _place = self.place(left(), call.run).await?;
        let mut store = self.store(call);
        let trial = async {
            let instance = self.pre.instantiate_async(&mut store).await;
            let instance = instance.map_err(|error| Failure::Start(cause(&error)))?;
            let fit = self.answers.fit(&mut store, &instance);
            fit.map_err(|error| Failure::Trap(cause(&error)))
        };
        let outcome = timeout(left(), Box::pin(trial)).await;
        // The instance ends here, before its place is free.
        let mut guest = store.into_data();
        outcome
            .unwrap_or(Err(Failure::TimeOut))
            .map_err(|failure| failed(failure, &mut guest))
    }

    fn store(&self, call: Call) -> Store<Guest> {
        let mut store = Store::new(&self.guests.engine, Guest::new(call));
        store.limiter(|guest| guest.limiter());
        store.set_hostcall_fuel(self.limits().output);
        store.set_epoch_deadline(1);
        // Gives way at every tick; the timer around the call is what ends it.
        store.epoch_deadline_async_yield_and_update(1);
        store
    }

    /// The reason of a trap. The engine says of one bound alone in words that are not for an administrator.
    fn trapped(&self, error: &wasmtime::Error) -> String {
        let cause = cause(error);
        if !cause.contains("fuel allocated for hostcalls") {
            return cause;
        }
        Limit::Output.hit();
        format!(
            "more octets handed over than limits.output ({})",
            self.limits().output
        )
    }

    /// The most memory that one call has had, in octets.
    pub(super) fn peak(&self) -> usize {
        self.peak.load(Ordering::Relaxed)
    }

    fn remember(&self, octets: usize) {
        if self.peak.fetch_max(octets, Ordering::Relaxed) < octets {
            let peak = u32::try_from(octets).unwrap_or(u32::MAX);
            metrics::gauge!("postern_plugin_memory_peak_bytes", "plugin" => self.name.to_string())
                .set(f64::from(peak));
        }
    }
}

/// A call that may be a breaker's trial. However it ends, the breaker is told.
struct Trial<'a> {
    health: &'a Health,
    begun: Instant,
}

impl<'a> Trial<'a> {
    fn of(health: &'a Health) -> Self {
        let begun = Instant::now();
        Self { health, begun }
    }

    fn heard(self, course: Course) {
        self.health.heard(course);
    }
}

impl Drop for Trial<'_> {
    fn drop(&mut self) {
        self.health.abandoned(self.begun);
    }
}

impl Drop for Plugin {
    fn drop(&mut self) {
        self.guests.kept.forget(&self.owner);
    }
}

fn failed(failure: Failure, guest: &mut Guest) -> Failed {
    Failed {
        failure,
        output: guest.last_words(),
        store_failed: guest.store_failed,
        trail: guest.trail.take().unwrap_or_default(),
    }
}

/// What the message of a call adds to its deadline.
fn for_message(call: &Call) -> Duration {
    let message = call.message.as_ref();
    message.map_or(Duration::ZERO, |message| for_size(message.size()))
}

/// What a message of so many octets adds to a deadline.
fn for_size(octets: u64) -> Duration {
    let mib = u32::try_from(octets >> 20).unwrap_or(u32::MAX);
    (PER_MIB * mib).min(MOST_FOR_SIZE)
}

/// An error on one line, without the frames of the guest's stack but with the reason.
fn cause(error: &wasmtime::Error) -> String {
    let root = error.root_cause().to_string();
    root.lines().next().unwrap_or("unknown").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deadline_grows_with_each_whole_mib_of_the_message_up_to_a_minute() {
        const MIB: u64 = 1 << 20;
        assert_eq!(for_size(MIB - 1), Duration::ZERO);
        assert_eq!(for_size(MIB), PER_MIB);
        assert_eq!(for_size(1199 * MIB), Duration::from_millis(59_950));
        assert_eq!(for_size(1201 * MIB), MOST_FOR_SIZE);
    }
}
