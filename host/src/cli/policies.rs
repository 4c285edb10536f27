//! The policies of a folder: those that a gateway runs with, and what a person is told of them.
//!
//! What is wrong with one is logged in one line, and the gateway serves with the others; `check` names all
//! that is wrong, and makes nothing.

use crate::config::Config;
use crate::directory::Directory;
use crate::dns::Resolver;
use crate::policy::{AddressCheck, Facts, Fault, LoadOptions, Policies, Watch};
use crate::routing::{Routed, Router, Routes};
use crate::store::{MemoryStore, Store};
use anyhow::Context as _;
use async_trait::async_trait;
use postern_proto::Address;
use std::path::PathBuf;
use std::sync::Arc;

/// Loads the folder for a gateway, and begins to watch it. None: no folder is named.
pub(super) fn watch(
    config: &Config,
    store: &Arc<dyn Store>,
    dns: &Resolver,
) -> anyhow::Result<Option<Arc<Watch>>> {
    let Some(folder) = config.policy_folder.as_deref() else {
        return Ok(None);
    };
    let options = options(config, store, dns, Some(config.state.join("compiled")));
    let watch = Watch::open(folder, options).context("cannot run policies")?;
    Ok(Some(Arc::new(watch)))
}

/// Compiles and tries every policy as a gateway would at its start. Nothing is written: what they store
/// while they are tried is forgotten.
pub(super) fn inspect(config: &Config) -> anyhow::Result<(Arc<Policies>, Vec<Fault>)> {
    let Some(folder) = config.policy_folder.as_deref() else {
        return Ok((Arc::default(), Vec::new()));
    };
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
    Policies::load(folder, options(config, &store, &Resolver::new(&config.dns), None))
        .context("cannot run policies")
}

fn options(
    config: &Config,
    store: &Arc<dyn Store>,
    dns: &Resolver,
    cache_dir: Option<PathBuf>,
) -> LoadOptions {
    LoadOptions {
        cache_dir,
        store: Arc::clone(store),
        dns: Arc::new(dns.clone()),
        limits: config.policy,
        addresses: Arc::new(Reach(Directory::new(Arc::clone(store), config))),
    }
}

/// Where addresses lead that policies put in: routers are asked first, as for any other.
#[derive(Debug)]
struct Reach(Directory);

#[async_trait]
impl AddressCheck for Reach {
    /// Trouble of the store's counts as no, for now: the call fails, and its policy's failure is deferred
    /// unless the administrator wants something else.
    async fn deliverable(&self, policies: &Policies, address: &str) -> bool {
        let Ok(address) = Address::parse(address) else {
            return false;
        };
        let router = Router {
            policies,
            directory: &self.0,
            facts: &Facts::default(),
        };
        let led = router
            .resolve(&address, &mut Routes::default(), &mut Vec::new())
            .await;
        matches!(led, Ok(Routed::Mailboxes(_)))
    }
}
