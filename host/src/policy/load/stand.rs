//! One policy on a stand: loaded as a gateway loads it, asked as a gateway asks it, and watched.
//!
//! It has a store of its own in memory and a clock that can be set; every address can be delivered to. What
//! it says goes through the same fold as in a gateway, and its failures come to what its file says. All of it waits:
//! it is not for the threads of a runtime.

mod files;
mod given;
mod inspection;
mod mail;
mod probe;
mod zone;

pub(crate) use super::own_name;
pub use crate::policy::cache::Keep;
pub use crate::policy::http::Written;
pub use crate::policy::observer::{Ending, HostCall, Line, Replayed, Seen};
pub use crate::policy::overlay::Beneath;
pub use crate::policy::questions::{Ask, Question};
pub use files::{message, text};
pub use given::DirectoryTable;
pub use inspection::{Inspection, Memory, Needed, Wants, inspect};
pub use mail::Mail;
pub use probe::Probe;
pub use zone::Zone;

use super::{Compiling, Fault, Listed, LoadOptions, Loader, apart, listed, refused};
use crate::clock::unix_millis;
use crate::config::PolicyLimits;
use crate::policy::cache;
use crate::policy::http::Answering;
use crate::policy::limits::Limits;
use crate::policy::manifest::{self, KvGrant, Manifest, Mode, Place, Scope, placed};
use crate::policy::observer::Observer;
use crate::policy::overlay::Overlay;
use crate::policy::plugin::Services;
use crate::policy::slot::Slot;
use crate::policy::{
    AddressCheck, Decision, Edit, Facts, MessageSource, Opinion, Policies, QuotaDecision, Route, Verdict,
};
use crate::store::{Kv, KvWrite, MemoryStore};
use async_trait::async_trait;
use bytes::Bytes;
use std::collections::{BTreeMap, HashSet};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};
use tokio::runtime::Handle;
use wasmtime::component::Component;

/// Calls at the same time: there is one, and one that was given up may still be ending.
const INSTANCES: u32 = 4;

/// `20-greylist` for `20-greylist.candidate`.
pub(crate) fn enforced_name(stem: &str) -> &str {
    placed(stem).0
}

/// Whether a gateway lets this file of its folder decide, by its name and by the file beside it.
pub(crate) fn is_enforced(component: &Path) -> Result<bool, Fault> {
    let (listed, file) = (listed(component), component.with_extension("yaml"));
    if placed(&listed.name).1 == Place::Beside {
        return Ok(false);
    }
    let text = match file.exists() {
        true => files::text(&file)?,
        false => String::new(),
    };
    let limits = PolicyLimits::default();
    let usual = Limits::usual(limits.deadline, limits.memory);
    let manifest = Manifest::parse(&text, own_name(&listed.name), usual);
    let manifest = manifest.map_err(|text| refused(&file, text))?;
    Ok(manifest.mode == Mode::Enforce && manifest.state == manifest::State::Enabled)
}

/// A component that was compiled, with what the administrator says of it.
#[derive(Debug)]
pub struct Stand {
    bench: Bench,
    component: Component,
    /// What the compiler took.
    compiling: Duration,
    manifest: Manifest,
}

/// What one trial of a policy begins with.
#[derive(Debug, Clone, Default)]
pub struct Setup {
    /// In place of those of its file.
    pub settings: Option<Settings>,
    /// What its share of the store holds.
    pub kv: BTreeMap<String, Bytes>,
    /// Where the share is read instead; what is written is forgotten with the seat.
    pub beneath: Option<Arc<dyn Beneath>>,
    /// What DNS answers.
    pub dns: Zone,
    /// What `directory` knows.
    pub directory: DirectoryTable,
    /// What `http` is answered.
    pub http: Vec<Written>,
    /// Milliseconds since 1970; None: the time that it is.
    pub now: Option<u64>,
}

/// What an administrator would write under `settings`.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The file they are written in.
    pub file: PathBuf,
    pub values: serde_json::Map<String, serde_json::Value>,
}

/// A policy that was loaded and can be asked.
#[derive(Debug)]
pub struct Seat {
    policies: Arc<Policies>,
    observer: Arc<Observer>,
    store: Arc<MemoryStore>,
    kv: Option<KvGrant>,
    handle: Handle,
    /// What was seen while it was loaded.
    loaded: Seen,
}

/// An answer, what it took and what was seen on the way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Heard {
    /// Where the call failed, what that comes to.
    pub said: Said,
    pub took: Duration,
    pub seen: Seen,
}

/// An answer as a gateway takes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Said {
    Verdict { verdict: Verdict, edits: Vec<Edit> },
    Route(Route),
    Quota(QuotaDecision),
    Valid,
}

impl Stand {
    /// Compiles a component, unless it is kept. `manifest` is what is beside it if none is named.
    pub fn open(file: &Path, manifest: Option<&Path>, keep: &Keep) -> Result<Self, Fault> {
        Self::of(Bench::new(file, manifest, INSTANCES, keep)?)
    }

    /// Compiles it for so many calls at the same time.
    pub fn for_calls(file: &Path, manifest: Option<&Path>, instances: u32) -> Result<Self, Fault> {
        Self::of(Bench::new(file, manifest, instances, &Keep::default())?)
    }

    fn of(mut bench: Bench) -> Result<Self, Fault> {
        let begun = Instant::now();
        let component = bench.component()?;
        let compiling = begun.elapsed();
        let manifest = bench.manifest()?;
        Ok(Self {
            bench,
            component,
            compiling,
            manifest,
        })
    }

    /// What the compiler took, or to fetch what is kept.
    pub fn compiling(&self) -> Duration {
        self.compiling
    }

    /// Octets of the component.
    pub fn size(&self) -> u64 {
        self.bench.wasm.len() as u64
    }

    /// SHA-256 of the component.
    pub fn digest(&self) -> &str {
        &self.bench.listed.digest
    }

    /// `10-rate-limit`
    pub fn name(&self) -> &str {
        &self.bench.listed.name
    }

    /// The namespace of its share of the store; None without the grant.
    pub fn share(&self) -> Option<&str> {
        self.manifest.kv.as_ref().map(|grant| grant.namespace.as_str())
    }

    /// Whether its file lets an instance answer several calls.
    pub fn reuses(&self) -> bool {
        self.manifest.reuse.is_some()
    }

    /// From here on seats have a fresh instance for each call, whatever its file says.
    pub fn never_reuse(&mut self) {
        self.manifest.reuse = None;
    }

    /// Loads it as a gateway does: linked, tried and asked about its settings.
    pub fn seat(&mut self, setup: &Setup) -> Result<Seat, Fault> {
        let mut manifest = self.manifest.clone();
        if let Some(settings) = &setup.settings {
            manifest.settings = Arc::new(serde_json::Value::Object(settings.values.clone()));
        }
        if let Some(text) = given::ungranted(setup, &manifest) {
            return Err(refused(&self.bench.listed.file, text));
        }
        let store = Arc::new(MemoryStore::new());
        let (kv, handle) = (manifest.kv.clone(), self.bench.loader.guests.handle.clone());
        handle.block_on(self.bench.fill(&store, kv.as_ref(), setup))?;
        let observer = Arc::new(Observer::at(setup.now));
        let loader = &mut self.bench.loader;
        loader.services.dns = Arc::new(setup.dns.clone());
        loader.services.directory = Arc::new(setup.directory.clone());
        let overlay = |beneath| Arc::new(Overlay::new(beneath));
        loader.services.overlay = setup.beneath.clone().map(overlay);
        loader.answering = Answering::Written(setup.http.clone().into());
        let loaded = self.bench.load(&self.component, manifest, (&store, &observer));
        // What is wrong with settings is told of the file that they are written in.
        let policies = loaded.map_err(|fault| match &setup.settings {
            Some(Settings { file, .. }) if fault.path == self.bench.manifest => Fault {
                path: file.clone(),
                ..fault
            },
            _ => fault,
        })?;
        Ok(Seat {
            policies,
            loaded: observer.take(),
            observer,
            store,
            kv,
            handle,
        })
    }
}

impl Seat {
    /// `10-rate-limit`
    pub fn name(&self) -> &str {
        self.policies.plugins.first().map_or("", |plugin| &plugin.name)
    }

    pub fn answers(&self, question: Question) -> bool {
        self.policies.asked(question).next().is_some()
    }

    /// Asks. `edits` are those of earlier stages; they and `message` are seen where the message is asked about.
    pub fn ask(
        &self,
        ask: &Ask,
        facts: &Facts,
        message: Option<Arc<dyn MessageSource>>,
        edits: &[Edit],
    ) -> Heard {
        let (said, opinions) = self.handle.block_on(self.put(ask, facts, message, edits));
        let took = opinions.iter().map(|opinion| opinion.took).sum();
        let seen = match ask {
            Ask::Validate => self.loaded.clone(),
            _ => self.observer.take(),
        };
        Heard { said, took, seen }
    }

    async fn put(
        &self,
        ask: &Ask,
        facts: &Facts,
        message: Option<Arc<dyn MessageSource>>,
        edits: &[Edit],
    ) -> (Said, Vec<Opinion>) {
        let policies = &self.policies;
        let decision = match ask {
            Ask::Connect => policies.connect(facts).await,
            Ask::Mail => policies.mail(facts).await,
            Ask::Rcpt(recipient) => policies.rcpt(facts, recipient).await,
            Ask::Message => policies.filter(ask, facts, message, edits).await,
            Ask::Route(recipient) => {
                let (route, opinions) = policies.route(facts, recipient).await;
                return (Said::Route(route), opinions);
            }
            Ask::Quota {
                mailbox,
                usage,
                incoming,
            } => {
                let (decision, opinions) = policies.quota(facts, mailbox, *usage, *incoming).await;
                return (Said::Quota(decision), opinions);
            }
            // Asked while it was loaded; it would not be here otherwise.
            Ask::Validate => return (Said::Valid, Vec::new()),
        };
        let Decision {
            verdict,
            edits,
            opinions,
        } = decision;
        (Said::Verdict { verdict, edits }, opinions)
    }

    /// The same policy over the same store, which nothing watches; with the record of `postern explain` or without.
    pub fn unwatched(&self, explains: bool) -> Self {
        self.with(Observer::default(), |services| {
            services.explains = explains;
            services.observer = None;
        })
    }

    /// The same policy over the same store, to be asked about one message as it was when that came.
    pub fn replaying(&self, message: Replayed) -> Self {
        self.with(Observer::replaying(message), |_| {})
    }

    fn with(&self, observer: Observer, change: impl FnOnce(&mut Services)) -> Self {
        let observer = Arc::new(observer);
        let mut services = self.policies.services.clone();
        if let Some(services) = &mut services {
            services.observer = Some(Arc::clone(&observer));
            change(services);
        }
        let policies = Arc::new_cyclic(|set| {
            let services = services.map(|mut services| {
                services.addresses.set = Weak::clone(set);
                services
            });
            Policies {
                plugins: self.policies.plugins.clone(),
                slots: self.policies.slots.clone(),
                listed: self.policies.listed.clone(),
                services,
            }
        });
        Self {
            policies,
            observer,
            store: Arc::clone(&self.store),
            kv: self.kv.clone(),
            handle: self.handle.clone(),
            loaded: self.loaded.clone(),
        }
    }

    /// The most memory that a call had, in octets.
    pub fn memory_peak(&self) -> usize {
        let peaks = self.policies.plugins.iter().map(|plugin| plugin.peak());
        peaks.max().unwrap_or_default()
    }

    /// What its share of the store holds; none without the grant.
    pub fn kv(&self) -> BTreeMap<String, Bytes> {
        let now = self.observer.now().unwrap_or_else(unix_millis);
        match &self.kv {
            Some(grant) => self.store.kv_all(&grant.namespace, now),
            None => BTreeMap::new(),
        }
    }
}

/// What a component is loaded with, and the component as it was read.
struct Bench {
    loader: Loader,
    wasm: Vec<u8>,
    listed: Listed,
    /// It need not be there.
    manifest: PathBuf,
    /// Whether it was named, and must be.
    is_named: bool,
}

impl Bench {
    fn new(file: &Path, manifest: Option<&Path>, instances: u32, keep: &Keep) -> Result<Self, Fault> {
        let limits = PolicyLimits {
            instances,
            ..PolicyLimits::default()
        };
        let wasm = files::component(file, &limits)?;
        let options = LoadOptions {
            keep: keep.clone(),
            store: Arc::new(MemoryStore::new()),
            dns: Arc::new(Zone::default()),
            limits,
            addresses: Arc::new(Anywhere),
            directory: Arc::new(DirectoryTable::default()),
            explains: false,
            listeners: Vec::new(),
        };
        let no_engine = |error: anyhow::Error| refused(file, format!("{error:#}"));
        let loader = Loader::new(&options, Compiling::default()).map_err(no_engine)?;
        let mut listed = listed(file);
        listed.digest = cache::digest(&wasm);
        Ok(Self {
            loader,
            wasm,
            listed,
            manifest: manifest.map_or_else(|| file.with_extension("yaml"), Path::to_owned),
            is_named: manifest.is_some(),
        })
    }

    fn component(&self) -> Result<Component, Fault> {
        let (file, digest) = (&self.listed.file, &self.listed.digest);
        let component = apart(file, || self.loader.component(file, &self.wasm, digest))?;
        self.loader.cache.prune(&HashSet::from([digest.as_str()]));
        Ok(component)
    }

    fn manifest(&mut self) -> Result<Manifest, Fault> {
        let found = std::fs::metadata(&self.manifest);
        let is_missing = found.is_err_and(|error| error.kind() == ErrorKind::NotFound);
        let text = match is_missing && !self.is_named {
            true => String::new(),
            false => files::text(&self.manifest)?,
        };
        self.understood(&text)
    }

    /// What is asked here is asked, wherever it applies and however it went before.
    fn understood(&mut self, manifest: &str) -> Result<Manifest, Fault> {
        let manifest = self.loader.manifest(manifest, &mut self.listed);
        let manifest = manifest.map(|manifest| Manifest {
            scope: Scope::default(),
            breaker: None,
            ..manifest
        });
        manifest.map_err(|fault| self.of_manifest(fault))
    }

    /// A loader knows the file beside a component alone.
    fn of_manifest(&self, fault: Fault) -> Fault {
        match fault.path == self.listed.file.with_extension("yaml") {
            true => Fault {
                path: self.manifest.clone(),
                ..fault
            },
            false => fault,
        }
    }

    fn load(
        &mut self,
        component: &Component,
        manifest: Manifest,
        (store, observer): (&Arc<MemoryStore>, &Arc<Observer>),
    ) -> Result<Arc<Policies>, Fault> {
        let services = &mut self.loader.services;
        services.store = Arc::clone(store) as _;
        services.observer = Some(Arc::clone(observer));
        let (loader, mut listed) = (&self.loader, self.listed.clone());
        let file = self.listed.file.clone();
        let plugin = apart(&file, || {
            let plugin = Arc::new(loader.plugin(&file, component, manifest, &mut listed)?);
            loader.trial(&file, &plugin)?;
            Ok(plugin)
        });
        let plugin = plugin.map_err(|fault| self.of_manifest(fault))?;
        Ok(Arc::new_cyclic(|set| Policies {
            slots: vec![Slot::of(&plugin)],
            plugins: vec![plugin],
            listed: vec![listed],
            services: Some(loader.services(set)),
        }))
    }

    /// Puts into the store what is to be there.
    async fn fill(&self, store: &MemoryStore, grant: Option<&KvGrant>, setup: &Setup) -> Result<(), Fault> {
        let now = setup.now.unwrap_or_else(unix_millis);
        let Some(grant) = grant else { return Ok(()) };
        for (key, value) in &setup.kv {
            let write = KvWrite {
                value: value.clone(),
                ttl: 0,
                now,
                quota: grant.bytes,
            };
            let written = store.kv_set(&grant.namespace, key, write).await;
            written.map_err(|error| refused(&self.listed.file, format!("kv, {key}: {error}")))?;
        }
        Ok(())
    }
}

/// Every address that a policy puts in can be delivered to.
#[derive(Debug, Clone, Copy)]
pub struct Anywhere;

#[async_trait]
impl AddressCheck for Anywhere {
    async fn deliverable(&self, _: &Policies, _: &Facts, _: &str) -> crate::store::Result<bool> {
        Ok(true)
    }
}

impl std::fmt::Debug for Bench {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Bench({})", self.listed.name)
    }
}

#[cfg(test)]
mod tests;
