//! One call's side of the host: what the guest may see, what it did, and how much of each it has left.
//!
//! A [`Guest`] lives as long as its instance. It sees the facts of its own call and nothing of the machine:
//! no file, no variable, no socket. What it prints is kept in part, for the log.

mod budget;
mod limiter;
mod sink;
mod view;

pub(super) use budget::Budget;
pub(super) use view::{Letter, View};

use limiter::Limiter;
use sink::Sink;

use super::limits::Limits;
use super::manifest::{DnsGrant, KvGrant};
use super::observer::Observer;
use super::plugin::Addresses;
use super::{Edit, Facts};
use crate::dns::Lookup;
use crate::store::Store;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};
use wasmtime::ResourceLimiter;
use wasmtime::component::ResourceTable;
use wasmtime_wasi::{WasiCtx, WasiCtxBuilder, WasiCtxView, WasiView};

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
    pub(super) store: Arc<dyn Store>,
    pub(super) addresses: Addresses,
    pub(super) limits: Limits,
    /// None in a gateway.
    pub(super) observer: Option<Arc<Observer>>,
}

/// The data of one call's store.
pub(super) struct Guest {
    pub(super) call: Call,
    pub(super) budget: Budget,
    /// Its own.
    pub(super) edits: Vec<Edit>,
    pub(super) view: Option<View>,
    /// The store failed one of its calls.
    pub(super) store_failed: bool,
    /// The time of the call in milliseconds since 1970.
    pub(super) now: u64,
    limiter: Limiter,
    printed: Sink,
    wasi: WasiCtx,
    table: ResourceTable,
}

/// Handles that one call may hold.
const RESOURCES: usize = 1024;
/// Octets of one reading from WASI's generators of randomness.
const RANDOM: u64 = 64 << 10;

impl Guest {
    pub(super) fn new(call: Call) -> Self {
        let limits = call.limits;
        let memory = usize::try_from(limits.memory).unwrap_or(usize::MAX);
        let printed = Sink::new();
        let mut table = ResourceTable::new();
        table.set_max_capacity(RESOURCES);
        let wasi = WasiCtxBuilder::new()
            .stdout(printed.clone())
            .stderr(printed.clone())
            .allow_tcp(false)
            .allow_udp(false)
            .allow_ip_name_lookup(false)
            .max_random_size(RANDOM)
            .build();
        let view = call.message.as_ref();
        let told = call.observer.as_ref().and_then(|observer| observer.now());
        Self {
            view: view.map(|letter| View::new(Arc::clone(letter), &call.edits)),
            limiter: Limiter::new(memory, limits.table_elements),
            call,
            budget: Budget::new(limits),
            edits: Vec::new(),
            store_failed: false,
            now: told.unwrap_or_else(unix_millis),
            printed,
            wasi,
            table,
        }
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

    pub(super) fn into_edits(self) -> Vec<Edit> {
        self.edits
    }
}

pub(super) fn unix_millis() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
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
