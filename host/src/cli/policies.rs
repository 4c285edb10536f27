//! The policies of a folder: those that a gateway runs with, and what a person is told of them.
//!
//! What is wrong with one is logged in one line, and the gateway serves with the others; `check` names all
//! that is wrong, and makes nothing but a copy of what it compiled. Commands have no log: what takes long or cannot be
//! kept is a note on standard error.

use super::output;
use crate::config::{Config, Role};
use crate::directory::{Accounts, Directory};
use crate::dns::Resolver;
use crate::policy::{AddressCheck, Facts, Fault, Keep, LoadOptions, Notice, Policies, Watch, Whose};
use crate::routing::{Routed, Router, Routes};
use crate::store::{MemoryStore, Store};
use anyhow::Context as _;
use async_trait::async_trait;
use postern_proto::Address;
use std::path::PathBuf;
use std::sync::{Arc, Once};

/// Octets of a component from which on a compiler takes seconds.
const LARGE: usize = 1_000_000;

/// Loads the folder for a gateway, and begins to watch it. None: no folder is named.
pub(super) fn watch(
    config: &Config,
    store: &Arc<dyn Store>,
    dns: &Resolver,
) -> anyhow::Result<Option<Arc<Watch>>> {
    let Some(folder) = config.policy_folder.as_deref() else {
        return Ok(None);
    };
    let options = options(config, store, dns, Keep::alone(config.state.join("compiled")));
    let watch = Watch::open(folder, options).context("cannot run policies")?;
    Ok(Some(Arc::new(watch)))
}

/// Compiles and tries every policy as a gateway would at its start. What they store while they are tried is forgotten;
/// what was compiled is kept for the next command.
pub(super) fn inspect(config: &Config) -> anyhow::Result<(Arc<Policies>, Vec<Fault>)> {
    let Some(folder) = config.policy_folder.as_deref() else {
        return Ok((Arc::default(), Vec::new()));
    };
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
    let options = options(config, &store, &Resolver::new(&config.dns), keep());
    Policies::load(folder, options).context("cannot run policies")
}

/// What commands compile is kept in one folder, in the cache folder of who gives them.
pub(super) fn keep() -> Keep {
    let folder = cache();
    if folder.is_none() {
        let why = "neither XDG_CACHE_HOME nor HOME is an absolute path";
        tell(Notice::NotKept { why });
    }
    Keep {
        folder,
        whose: Whose::Commands,
        hear: tell,
    }
}

/// Tells who waits; once, where nothing can be kept.
pub(super) fn tell(notice: Notice<'_>) {
    static NOT_KEPT: Once = Once::new();
    match notice {
        Notice::Compiling { file, octets } if octets >= LARGE => {
            output::note(&format!("compiling {}, {} MB", file.display(), octets / LARGE));
        }
        Notice::Compiling { .. } => {}
        Notice::Unfit { path, why } => output::note(&format!("{} is not loaded: {why}", path.display())),
        Notice::NotKept { why } => NOT_KEPT.call_once(|| {
            output::note(&format!(
                "what is compiled is not kept for the next command: {why} (another folder: XDG_CACHE_HOME)"
            ));
        }),
    }
}

/// None: there is none.
fn cache() -> Option<PathBuf> {
    let folder = |name: &str| {
        let path = std::env::var_os(name).map(PathBuf::from);
        path.filter(|path| path.is_absolute())
    };
    let cache = folder("XDG_CACHE_HOME").or_else(|| Some(folder("HOME")?.join(".cache")));
    Some(cache?.join("postern/compiled"))
}

fn options(config: &Config, store: &Arc<dyn Store>, dns: &Resolver, keep: Keep) -> LoadOptions {
    let directory = Directory::new(Arc::clone(store), config);
    LoadOptions {
        keep,
        store: Arc::clone(store),
        dns: Arc::new(dns.clone()),
        limits: config.policy,
        directory: Arc::new(Accounts::new(directory.clone(), Arc::clone(store))),
        addresses: Arc::new(Reach(directory)),
        explains: !config.explain.keep.is_zero(),
        listeners: listeners(config),
    }
}

/// Those whose sessions ask policies.
fn listeners(config: &Config) -> Vec<String> {
    let asking = config.listeners.iter();
    let asking = asking.filter(|listener| matches!(listener.role, Role::Smtp(_)));
    let mut names: Vec<String> = asking.map(|listener| listener.name.clone()).collect();
    names.dedup();
    names
}

/// Where addresses lead that policies put in: routers are asked first, as for any other.
#[derive(Debug)]
struct Reach(Directory);

#[async_trait]
impl AddressCheck for Reach {
    async fn deliverable(
        &self,
        policies: &Policies,
        facts: &Facts,
        address: &str,
    ) -> crate::store::Result<bool> {
        let Ok(address) = Address::parse(address) else {
            return Ok(false);
        };
        let router = Router {
            policies,
            directory: &self.0,
            facts,
        };
        let led = router
            .resolve(&address, &mut Routes::default(), &mut Vec::new())
            .await?;
        Ok(matches!(led, Routed::Mailboxes(_)))
    }
}
