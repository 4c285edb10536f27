//! A policy folder, a store, and mail to ask policies about.

#[path = "../support/guests.rs"]
mod guests;

use postern::config::PolicyLimits;
pub(crate) use postern::policy::stand::Mail;
use postern::policy::stand::{Anywhere, DirectoryTable};
use postern::policy::{Attribute, Facts, Keep, LoadOptions, Policies, State};
use postern::store::Store;
use postern::store::memory::MemoryStore;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;

/// A folder of policies that lasts as long as the test.
#[derive(Debug)]
pub(crate) struct Folder(TempDir);

impl Folder {
    pub(crate) fn new() -> Self {
        Self(TempDir::new().expect("a folder"))
    }

    /// Places a guest as `NN-name`, with the file beside it.
    pub(crate) fn with(self, name: &str, guest: &str, manifest: &str) -> Self {
        self.with_file(name, &guests::build(guest), manifest)
    }

    /// Likewise a component from anywhere.
    pub(crate) fn with_file(self, name: &str, component: &Path, manifest: &str) -> Self {
        let file = self.path().join(name);
        std::fs::copy(component, file.with_extension("wasm")).expect("a copy of the guest");
        std::fs::write(file.with_extension("yaml"), manifest).expect("its manifest");
        self
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }
}

/// What policies can find out: `ann` and her other name.
fn directory() -> DirectoryTable {
    let ann = "ann@example.org".to_owned();
    DirectoryTable {
        domains: ["example.org".to_owned()].into(),
        mailboxes: [(ann.clone(), ann.clone())].into(),
        aliases: [("info@example.org".to_owned(), vec![ann.clone()])].into(),
        attributes: [(ann, [(Attribute::QuotaBytes, "1024".to_owned())].into())].into(),
    }
}

pub(crate) async fn load(folder: &Folder) -> Arc<Policies> {
    load_with(folder, Arc::new(MemoryStore::new())).await
}

/// With the usual limits, save that nobody's patience ends on a busy machine.
pub(crate) async fn load_with(folder: &Folder, store: Arc<dyn Store>) -> Arc<Policies> {
    let limits = PolicyLimits {
        deadline: Duration::from_secs(10),
        ..PolicyLimits::default()
    };
    load_within(limits, folder, store).await
}

/// Loads as the gateway does at its start. What is refused is in the listing.
pub(crate) async fn load_within(
    limits: PolicyLimits,
    folder: &Folder,
    store: Arc<dyn Store>,
) -> Arc<Policies> {
    load_compiled(&folder.path().join("compiled"), limits, folder, store).await
}

/// Likewise, with a folder for compiled code that outlives the test.
pub(crate) async fn load_compiled(
    compiled: &Path,
    limits: PolicyLimits,
    folder: &Folder,
    store: Arc<dyn Store>,
) -> Arc<Policies> {
    let options = LoadOptions {
        keep: Keep::alone(compiled),
        limits,
        ..usual(store)
    };
    load_as(folder, options).await
}

/// What the tests load with, and nothing is kept of what is compiled.
pub(crate) fn usual(store: Arc<dyn Store>) -> LoadOptions {
    LoadOptions {
        explains: true,
        keep: Keep::default(),
        store,
        dns: Arc::new(postern::policy::stand::Zone::default()),
        limits: PolicyLimits::default(),
        addresses: Arc::new(Anywhere),
        directory: Arc::new(directory()),
        listeners: Vec::new(),
    }
}

/// Likewise, with whatever is said.
pub(crate) async fn load_as(folder: &Folder, options: LoadOptions) -> Arc<Policies> {
    let path = folder.path().to_owned();
    let loading = tokio::task::spawn_blocking(move || Policies::load(&path, options));
    loading.await.expect("no panic").expect("policies can run").0
}

/// The questions that a policy of that name answers.
pub(crate) fn answers(policies: &Policies, name: &str) -> Vec<&'static str> {
    let listed = policies.list().iter().find(|listed| listed.name == name);
    let listed = listed.unwrap_or_else(|| panic!("{name} is not listed"));
    assert_eq!(listed.state, State::Loaded, "{name}");
    listed.answers.clone()
}

/// Why a policy of that name was not loaded.
pub(crate) fn refusal(policies: &Policies, name: &str) -> String {
    let listed = policies.list().iter().find(|listed| listed.name == name);
    match listed.map(|listed| &listed.state) {
        Some(State::Refused(text)) => text.clone(),
        other => panic!("{name}: {other:?}"),
    }
}

/// A message from outside, to one account of ours.
pub(crate) fn facts() -> Facts {
    Facts {
        queue_id: "0001".to_owned(),
        listener: "mx-25".to_owned(),
        protocol: "esmtps".to_owned(),
        client_ip: "192.0.2.7".to_owned(),
        helo: "mail.shop.example".to_owned(),
        tls_version: Some("TLSv1.3".to_owned()),
        mail_from: "bob@shop.example".to_owned(),
        rcpt_to: vec!["ann@example.org".to_owned()],
        ..Facts::default()
    }
}
