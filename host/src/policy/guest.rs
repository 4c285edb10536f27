//! One call's side of the host: what the guest may see, what it did, and how much of each it has left.
//!
//! A [`Guest`] lives as long as its instance. It sees the facts of its own call and nothing of the machine:
//! no file, no variable, no socket. What it prints is kept in part, for the log.

mod budget;
mod limiter;
mod sink;
mod view;

pub(super) use budget::{Budget, Limits};
pub(super) use limiter::Limiter;
pub(super) use sink::Sink;
pub(super) use view::View;

use super::manifest::KvGrant;
use super::{AddressCheck, Edit, Facts};
use crate::store::Store;
use std::sync::Arc;
use wasmtime::component::ResourceTable;
use wasmtime_wasi::{WasiCtx, WasiCtxBuilder, WasiCtxView, WasiView};

/// What is being asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Question {
    Connect,
    Mail,
    Rcpt,
    Message,
    Route,
    Quota,
    Validate,
}

impl Question {
    /// As it is called in logs, metrics and the `failure` section of a policy's file.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Mail => "mail",
            Self::Rcpt => "rcpt",
            Self::Message => "message",
            Self::Route => "router",
            Self::Quota => "quota",
            Self::Validate => "validate",
        }
    }

    /// Only a filter has an envelope or a message to change.
    pub(super) fn edits(self) -> bool {
        matches!(self, Self::Connect | Self::Mail | Self::Rcpt | Self::Message)
    }
}

/// What one call is about and what its policy was given.
#[derive(Debug, Clone)]
pub(super) struct Call {
    /// The policy's name, for the log.
    pub(super) policy: Arc<str>,
    pub(super) question: Question,
    /// With the edits of the policies before this one.
    pub(super) facts: Facts,
    /// A JSON object.
    pub(super) settings: Arc<serde_json::Value>,
    /// None: `kv` answers `not granted`.
    pub(super) kv: Option<KvGrant>,
    pub(super) store: Arc<dyn Store>,
    pub(super) addresses: Arc<dyn AddressCheck>,
    /// None before there is one.
    pub(super) message: Option<Arc<View>>,
    /// The time of the call in milliseconds since 1970.
    pub(super) now: u64,
}

/// What a call left behind, beside its answer.
#[derive(Debug)]
pub(super) struct Outcome {
    pub(super) edits: Vec<Edit>,
    /// The end of what it printed: tracebacks are there and nowhere else.
    pub(super) printed: String,
    /// The most memory it had, in octets.
    pub(super) memory: usize,
}

/// The data of one call's store.
pub(super) struct Guest {
    pub(super) call: Call,
    pub(super) budget: Budget,
    pub(super) edits: Vec<Edit>,
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
    pub(super) fn new(call: Call, limits: Limits) -> Self {
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
        Self {
            call,
            budget: Budget::new(limits),
            edits: Vec::new(),
            limiter: Limiter::new(limits.memory, limits.table_elements),
            printed,
            wasi,
            table,
        }
    }

    /// For `Store::limiter`.
    pub(super) fn limiter(&mut self) -> &mut Limiter {
        &mut self.limiter
    }

    pub(super) fn into_outcome(self) -> Outcome {
        Outcome {
            edits: self.edits,
            printed: self.printed.tail(),
            memory: self.limiter.most(),
        }
    }
}

impl std::fmt::Debug for Guest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Guest({} at {})", self.call.policy, self.call.question.word())
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
