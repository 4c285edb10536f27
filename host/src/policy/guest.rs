//! One call's side of the host: what the guest may see, what it did, and how much of each it has left.
//!
//! A [`Guest`] lives as long as its instance. It sees the facts of its own call and nothing of the machine:
//! no file, no variable, no socket. What it prints is kept in part, for the log.

mod budget;
mod limiter;
mod sink;
mod view;
mod wasi;

pub(super) use budget::Budget;
pub(super) use view::{Letter, View};

use crate::clock::unix_millis;
use limiter::Limiter;
use sink::Sink;
use wasi::{Seed, Wall, generator};

use super::grants::DirectorySource;
use super::http::Client;
use super::limits::Limits;
use super::manifest::{DnsGrant, KvGrant};
use super::observer::Observer;
use super::overlay::Overlay;
use super::plugin::Addresses;
use super::shadow::{Run, Told};
use super::trail::Trail;
use super::{Edit, Facts};
use crate::dns::Lookup;
use crate::store::Store;
use rand::rngs::StdRng;
use sha2::{Digest as _, Sha256};
use std::sync::Arc;
use std::time::{Duration, Instant};
use wasmtime::ResourceLimiter;
use wasmtime::component::ResourceTable;
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};

/// What one call is about and what its policy was given.
#[derive(Debug, Clone)]
pub(super) struct Call {
    /// The policy's name, for the log.
    pub(super) policy: Arc<str>,
    /// With the edits of the policies before this one.
    pub(super) facts: Facts,
    /// None before there is one.
    pub(super) message: Option<Arc<Letter>>,
    /// Those of the policies before this one, which it sees made.
    pub(super) edits: Vec<Edit>,
    /// A JSON object.
    pub(super) settings: Arc<serde_json::Value>,
    /// None: `kv` answers `not granted`.
    pub(super) kv: Option<KvGrant>,
    /// None: `dns` answers `not granted`.
    pub(super) dns: Option<DnsGrant>,
    pub(super) resolver: Arc<dyn Lookup>,
    /// None: `directory` answers `not granted`; so does `http` without its client.
    pub(super) directory: Option<Arc<dyn DirectorySource>>,
    pub(super) http: Option<Arc<Client>>,
    pub(super) store: Arc<dyn Store>,
    pub(super) addresses: Addresses,
    pub(super) limits: Limits,
    /// Whether what it reads is noted.
    pub(super) explains: bool,
    /// None in a gateway.
    pub(super) observer: Option<Arc<Observer>>,
    pub(super) run: Run,
    /// In the place of the store's `kv`.
    pub(super) overlay: Option<Arc<Overlay>>,
    /// Who waits for what this call comes to.
    pub(super) told: Option<Arc<Told>>,
}

/// The data of a store: what one call has, and what stays with its instance.
pub(super) struct Guest {
    pub(super) call: Call,
    pub(super) budget: Budget,
    /// Its own.
    pub(super) edits: Vec<Edit>,
    pub(super) view: Option<View>,
    /// Where it is noted what it reads.
    pub(super) trail: Option<Trail>,
    /// The store failed one of its calls, or is waited for.
    pub(super) store_failed: bool,
    /// Beside a decision: the same octets for the same message.
    pub(super) seeded: Option<StdRng>,
    /// The time of the call in milliseconds since 1970.
    pub(super) now: u64,
    wall: Wall,
    /// Requests that it sent.
    pub(super) requests: u32,
    /// When the call ends.
    pub(super) end: Instant,
    pub(super) waits: Waits,
    limiter: Limiter,
    printed: Sink,
    wasi: WasiCtx,
    table: ResourceTable,
}

/// How long a call waited for the host: its store, its resolver, a tree.
#[derive(Debug, Default)]
pub(super) struct Waits {
    past: Duration,
    /// None: it does not wait now.
    since: Option<Instant>,
}

impl Waits {
    pub(super) fn begin(&mut self) {
        self.since = Some(Instant::now());
    }

    pub(super) fn end(&mut self) {
        self.past = self.sum();
        self.since = None;
    }

    /// With one that the call's end has cut off.
    pub(super) fn sum(&self) -> Duration {
        self.past + self.since.map_or(Duration::ZERO, |since| since.elapsed())
    }
}

/// Handles that one call may hold.
const RESOURCES: usize = 1024;

impl Guest {
    pub(super) fn new(call: Call) -> Self {
        let limits = call.limits;
        let memory = usize::try_from(limits.memory).unwrap_or(usize::MAX);
        let printed = Sink::new();
        let mut table = ResourceTable::new();
        table.set_max_capacity(RESOURCES);
        let (seed, wall) = (seed(&call), Wall::at(told(&call)));
        let wasi = wasi::context(seed.as_ref(), &wall, &printed);
        Self {
            view: view(&call),
            now: now(&call),
            end: Instant::now() + limits.deadline,
            waits: Waits::default(),
            limiter: Limiter::new(memory, limits.table_elements),
            trail: call.explains.then(Trail::default),
            seeded: seed.map(seeded),
            wall,
            call,
            budget: Budget::new(limits),
            edits: Vec::new(),
            store_failed: false,
            requests: 0,
            printed,
            wasi,
            table,
        }
    }

    /// Another call of the same instance begins: nothing of the one before is left but what the instance itself has,
    /// which is its memory and its handles.
    pub(super) fn begin(&mut self, call: Call) {
        self.view = view(&call);
        self.trail = call.explains.then(Trail::default);
        self.wall.tell(told(&call));
        let seed = seed(&call);
        if seed.is_some() || self.seeded.is_some() {
            *self.wasi.random() = wasi::random(seed.as_ref());
        }
        self.seeded = seed.map(seeded);
        self.now = now(&call);
        self.end = Instant::now() + call.limits.deadline;
        self.waits = Waits::default();
        self.budget = Budget::new(call.limits);
        self.call = call;
        self.edits = Vec::new();
        self.store_failed = false;
        self.requests = 0;
        self.printed.clear();
    }

    /// What a call may wait for others: it must have time to make something of the answer.
    pub(super) fn for_waiting(&self) -> Duration {
        self.end.saturating_duration_since(Instant::now()) * 9 / 10
    }

    /// For `Store::limiter`.
    pub(super) fn limiter(&mut self) -> &mut dyn ResourceLimiter {
        &mut self.limiter
    }

    /// The most memory it had, in octets.
    pub(super) fn memory_peak(&self) -> usize {
        self.limiter.memory_used()
    }

    /// The end of what it printed: tracebacks are there and nowhere else.
    pub(super) fn last_words(&self) -> String {
        self.printed.tail()
    }

    /// Its edits, which end with the call.
    pub(super) fn take_edits(&mut self) -> Vec<Edit> {
        std::mem::take(&mut self.edits)
    }
}

fn view(call: &Call) -> Option<View> {
    let letter = call.message.as_ref()?;
    Some(View::new(Arc::clone(letter), &call.edits))
}

fn now(call: &Call) -> u64 {
    told(call).unwrap_or_else(unix_millis)
}

/// Where the clock of a call was set.
fn told(call: &Call) -> Option<u64> {
    call.observer.as_ref().and_then(|observer| observer.now())
}

/// Where what it draws is to be drawn again: by the message, or by the client where there is none yet.
fn seed(call: &Call) -> Option<Seed> {
    let replayed = call.observer.as_ref().and_then(|observer| observer.replayed());
    let key = match (replayed, call.facts.queue_id.as_str()) {
        (Some(id), _) => id,
        (None, _) if !call.run.is_beside() => return None,
        (None, "") => &call.facts.client_ip,
        (None, id) => id,
    };
    Some(Sha256::digest(key).into())
}

fn seeded(seed: Seed) -> StdRng {
    generator(&seed, "random")
}

impl std::fmt::Debug for Guest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Guest({})", self.call.policy)
    }
}

impl WasiView for Guest {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView {
            ctx: &mut self.wasi,
            table: &mut self.table,
        }
    }
}
