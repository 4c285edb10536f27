//! The policies of a folder: those that a gateway starts with, and what a person is told of them.
//!
//! What is wrong with one is logged in one line, and the gateway serves with the others; `check` names all
//! that is wrong, and makes nothing.

use crate::config::Config;
use crate::directory::Directory;
use crate::policy::{AddressCheck, Facts, Fault, LoadOptions, Policies, State};
use crate::routing::{Routed, Router, Routes};
use crate::store::{MemoryStore, Store};
use anyhow::Context as _;
use async_trait::async_trait;
use postern_proto::Address;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock, Weak};

/// Loads the folder for a gateway.
pub(super) fn load(config: &Config, store: &Arc<dyn Store>) -> anyhow::Result<Arc<Policies>> {
    if let Some(folder) = config.policy_folder.as_deref().filter(|folder| !folder.exists()) {
        tracing::warn!(folder = %folder.display(), "policy.folder is not there: no policy decides about mail");
    }
    let (policies, faults) = compose(config, store, Some(config.state.join("compiled")))?;
    for fault in &faults {
        tracing::error!(%fault, "a policy was not loaded");
    }
    for listed in policies
        .list()
        .iter()
        .filter(|listed| listed.state == State::Loaded)
    {
        let answers = listed.answers.join(" ");
        tracing::info!(
            policy = listed.name,
            answers,
            digest = listed.digest,
            "policy loaded"
        );
    }
    metrics::gauge!("postern_policies_refused").set(u32::try_from(faults.len()).unwrap_or(u32::MAX));
    Ok(policies)
}

/// Compiles and tries every policy as a gateway would at its start. Nothing is written: what they store
/// while they are tried is forgotten.
pub(super) fn inspect(config: &Config) -> anyhow::Result<(Arc<Policies>, Vec<Fault>)> {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
    compose(config, &store, None)
}

fn compose(
    config: &Config,
    store: &Arc<dyn Store>,
    cache_dir: Option<PathBuf>,
) -> anyhow::Result<(Arc<Policies>, Vec<Fault>)> {
    let Some(folder) = &config.policy_folder else {
        return Ok((Arc::default(), Vec::new()));
    };
    let reach = Arc::new(Reach {
        directory: Directory::new(Arc::clone(store), config),
        policies: OnceLock::new(),
    });
    let options = LoadOptions {
        cache_dir,
        store: Arc::clone(store),
        limits: config.policy,
        addresses: Arc::clone(&reach) as Arc<dyn AddressCheck>,
    };
    let (policies, faults) = Policies::load(folder, options).context("cannot run policies")?;
    let policies = Arc::new(policies);
    let _ = reach.policies.set(Arc::downgrade(&policies));
    Ok((policies, faults))
}

/// Where addresses lead that policies put in: routers are asked first, as for any other.
#[derive(Debug)]
struct Reach {
    directory: Directory,
    /// Not there while policies are loaded, and gone with them.
    policies: OnceLock<Weak<Policies>>,
}

#[async_trait]
impl AddressCheck for Reach {
    /// Trouble of the store's counts as no, for now: the call fails, and its policy's failure is deferred
    /// unless the administrator wants something else.
    async fn deliverable(&self, address: &str) -> bool {
        let (Ok(address), Some(policies)) = (
            Address::parse(address),
            self.policies.get().and_then(Weak::upgrade),
        ) else {
            return false;
        };
        let router = Router {
            policies: &policies,
            directory: &self.directory,
            facts: &Facts::default(),
        };
        let led = router
            .resolve(&address, &mut Routes::default(), &mut Vec::new())
            .await;
        matches!(led, Ok(Routed::Mailboxes(_)))
    }
}
