//! A policy's call: a fresh instance, and a filter that does nothing.

use crate::letters::parts;
use crate::{measured, runtime};
use postern::config::PolicyLimits;
use postern::policy::stand::{Anywhere, DirectoryTable, Mail, Zone};
use postern::policy::{Facts, Keep, LoadOptions, MessageSource, Policies, State, Verdict};
use postern::store::MemoryStore;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;

const CALLS: usize = 50;

/// Octets of the message's text.
const TEXT: usize = 4 << 10;

/// More than the address space under valgrind has room for in a pool: instances are allocated on demand.
const INSTANCES: u32 = 1000;

/// Messages that one policy accepts.
pub(crate) fn call(probe: &Path) {
    let folder = TempDir::new().expect("a folder");
    std::fs::copy(probe, folder.path().join("10-probe.wasm")).expect("the component");
    let settings = "settings: { report: none }\n";
    std::fs::write(folder.path().join("10-probe.yaml"), settings).expect("its file");
    let (policies, faults) = Policies::load(folder.path(), options(probe)).expect("policies can run");
    assert_eq!(faults, []);
    assert!(policies.list().iter().all(|listed| listed.state == State::Loaded));
    let (head, text) = parts(TEXT);
    let mail: Arc<dyn MessageSource> = Mail::new([head, text].concat());
    let (facts, runtime) = (facts(), runtime());
    let ask = || {
        let decision = runtime.block_on(policies.message(&facts, Arc::clone(&mail), &[]));
        usize::from(decision.verdict == Verdict::Accept && decision.opinions.len() == 1)
    };
    // The first one fetches code and fills what is kept.
    assert_eq!(ask(), 1);
    let accepted = measured(&mut || (0..CALLS).map(|_| ask()).sum());
    assert_eq!(accepted, CALLS);
}

fn options(probe: &Path) -> LoadOptions {
    LoadOptions {
        explains: false,
        // Compiling under callgrind takes most of the time.
        keep: Keep::alone(probe.with_extension("counts")),
        store: Arc::new(MemoryStore::new()),
        dns: Arc::new(Zone::default()),
        // Nobody's patience ends under valgrind.
        limits: PolicyLimits {
            instances: INSTANCES,
            deadline: Duration::from_secs(60),
            trial: Duration::from_secs(60),
            ..PolicyLimits::default()
        },
        addresses: Arc::new(Anywhere),
        directory: Arc::new(DirectoryTable::default()),
        listeners: Vec::new(),
    }
}

fn facts() -> Facts {
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
