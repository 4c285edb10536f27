//! What each step on the way to a decision costs, beside a message that one policy accepts with a fresh instance, on this
//! machine, in the same run.
//!
//! All steps take turns, forwards and backwards, so that what befalls the machine befalls all; figures are medians of the rounds. Prints one table.
//! `POSTERN_BENCH_SECONDS` sets how long the rounds run in all (default 60).

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a bench fails by panicking"
)]

#[path = "../policy/folder.rs"]
#[allow(dead_code, reason = "what the tests of policies share")]
mod folder;
#[path = "../../host/src/dns/server.rs"]
#[allow(dead_code, reason = "what the tests of the resolver share")]
mod server;

use folder::{Folder, Mail, facts, load_as, usual};
use metrics_exporter_prometheus::PrometheusBuilder;
use postern::config::{Config, DnsConfig, PolicyLimits};
use postern::directory::{Accounts, Directory};
use postern::dns::Resolver;
use postern::policy::{Decision, Keep, LoadOptions, Policies, State};
use postern::store::embedded::{EmbeddedStore, Options};
use postern::store::memory::MemoryStore;
use postern::store::{Account, Domain, KvWrite, Store};
use server::{Records, Server};
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tempfile::TempDir;

/// Decisions of one step that are timed together before it is the next one's turn.
const ROUND: usize = 20;
/// Uses of a capability in one call: one alone would be lost beside the call.
const USES: u32 = 10;
/// Octets of the message's text, at least.
const TEXT: usize = 8 << 10;
/// Seconds that an answer of the DNS server is remembered.
const REMEMBERED: u64 = 300;

/// What every step is compared with.
const PLAIN: &str = "a fold of one accept: a fresh call";
const REUSED: &str = "a fold of one accept: a reused call";
const EVERYTHING: &str = "a fresh call of every capability";

const MANIFEST: &str = "settings: { report: none }\n";
const GRANTS: &str = "grants: { kv: { namespace: probe }, dns: {}, directory: {} }\n";
const REUSE: &str = "reuse: { calls: 1000000 }\n";

/// What is measured, and what has come of it.
struct Step {
    name: String,
    /// The step that it is compared with.
    beside: &'static str,
    /// How many more it has of what it measures than that one; 0: it is not more of the same.
    more: u32,
    policies: Arc<Policies>,
    /// Policies that answer.
    asked: usize,
    clock: fn(Duration, &Decision) -> Duration,
    rounds: u64,
    /// Seconds of a decision, by rounds.
    took: Vec<f64>,
}

/// What all steps are made with.
struct Workshop {
    folder: TempDir,
    memory: Arc<dyn Store>,
    embedded: Arc<dyn Store>,
    server: Server,
    begun: Instant,
    steps: Vec<Step>,
}

fn main() {
    let seconds = std::env::var("POSTERN_BENCH_SECONDS");
    let length = Duration::from_secs(seconds.ok().and_then(|text| text.parse().ok()).unwrap_or(60));
    // As in a gateway, where calls are counted.
    let recorder = PrometheusBuilder::new().install_recorder();
    recorder.expect("the first recorder");
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    runtime.expect("threads").block_on(async {
        let mut workshop = Workshop::open().await;
        workshop.calls().await;
        workshop.capabilities().await;
        workshop.records().await;
        workshop.shadow().await;
        workshop.measure(length).await;
        let mut out = std::io::stdout();
        write!(out, "{}", table(&workshop.steps)).expect("somebody who reads it");
    });
}

impl Workshop {
    async fn open() -> Self {
        // On the disk that is built on: the usual place for temporary files may be in memory.
        let folder = TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder");
        let embedded = EmbeddedStore::open(folder.path().join("store"), Options::default());
        let memory: Arc<dyn Store> = Arc::new(MemoryStore::new());
        let embedded: Arc<dyn Store> = embedded.expect("a store");
        furnish(memory.as_ref()).await;
        furnish(embedded.as_ref()).await;
        Self {
            folder,
            memory,
            embedded,
            server: Records::default().txt("example.org", "v=spf1 -all").serve().await,
            begun: Instant::now(),
            steps: Vec::new(),
        }
    }

    /// Without records for `postern explain`.
    fn options(&self) -> LoadOptions {
        LoadOptions {
            explains: false,
            keep: Keep::alone(self.folder.path().join("compiled")),
            // Nobody's patience ends on a busy machine.
            limits: PolicyLimits {
                deadline: Duration::from_secs(10),
                ..PolicyLimits::default()
            },
            ..usual(Arc::clone(&self.memory))
        }
    }

    async fn add(&mut self, name: impl Into<String>, folder: Folder, options: LoadOptions) -> &mut Step {
        let policies = load_as(&folder, options).await;
        let listed = policies.list();
        assert!(listed.iter().all(|one| one.state == State::Loaded), "{listed:?}");
        self.steps.push(Step {
            name: name.into(),
            beside: PLAIN,
            more: 1,
            policies,
            asked: 1,
            clock: |whole, _| whole,
            rounds: 0,
            took: Vec::new(),
        });
        self.steps.last_mut().expect("the one that was added")
    }

    async fn calls(&mut self) {
        let step = self.add(PLAIN, probes(1, MANIFEST), self.options()).await;
        step.more = 0;
        let step = self.add(
            "of it the call, without the fold",
            probes(1, MANIFEST),
            self.options(),
        );
        let step = step.await;
        step.more = 0;
        step.clock = |_, decision| decision.opinions.iter().map(|opinion| opinion.took).sum();
        // It has its say about quota alone.
        let silent = Folder::new().with("10-domain-quota", "domain-quota", &shipped("55-domain-quota"));
        let step = self
            .add("an empty fold: no policy answers", silent, self.options())
            .await;
        (step.asked, step.more) = (0, 0);
        let step = self
            .add("a fold of ten accepts", probes(10, MANIFEST), self.options())
            .await;
        (step.asked, step.more) = (10, 9);
        let reused = format!("{MANIFEST}{REUSE}");
        self.add(REUSED, probes(1, &reused), self.options()).await.more = 0;
        let step = self.add(
            "a fold of ten accepts, reused",
            probes(10, &reused),
            self.options(),
        );
        let step = step.await;
        (step.asked, step.beside, step.more) = (10, REUSED, 9);
    }

    async fn capabilities(&mut self) {
        let resolver = Resolver::new(&DnsConfig {
            servers: vec![self.server.address],
            ..DnsConfig::default()
        });
        let cached = LoadOptions {
            dns: Arc::new(resolver),
            ..self.options()
        };
        let config = "hostname: localhost\npostmaster: ann@example.org\nstore: embedded\nstate: state\n\
            listeners: [ { role: mx, tls: none, address: '127.0.0.1:0' } ]\n";
        let config = Config::parse(config, self.folder.path()).expect("a configuration");
        let directory = Directory::new(Arc::clone(&self.embedded), &config);
        let known = LoadOptions {
            directory: Arc::new(Accounts::new(directory, Arc::clone(&self.embedded))),
            ..self.options()
        };
        let embedded = || LoadOptions {
            store: Arc::clone(&self.embedded),
            ..self.options()
        };
        for (name, word, times, options) in [
            ("all fields and 4 KiB of text", "read", 1, self.options()),
            ("kv get, store in memory", "kv-get", USES, self.options()),
            (
                "kv increment, store in memory",
                "kv-increment",
                USES,
                self.options(),
            ),
            ("kv get, embedded store", "kv-get", USES, embedded()),
            // Each waits for the disk.
            ("kv increment, embedded store", "kv-increment", 1, embedded()),
            ("dns TXT, from the cache", "dns", USES, cached),
            ("directory mailbox-of, embedded store", "directory", USES, known),
        ] {
            let manifest = format!("settings: {{ report: none, uses: {word} {times} }}\n{GRANTS}");
            let name = format!("{times} × {name}");
            self.add(name, probes(1, &manifest), options).await.more = times;
        }
        self.add(EVERYTHING, probes(1, GRANTS), self.options()).await;
        let reused = probes(1, &format!("{GRANTS}{REUSE}"));
        let step = self.add("a reused call of every capability", reused, self.options());
        let step = step.await;
        (step.beside, step.more) = (EVERYTHING, 0);
    }

    /// With and without what `postern explain` tells.
    async fn records(&mut self) {
        let shipped = |guest, name| (guest, guest, shipped(name));
        for (without, guest, manifest) in [
            (PLAIN, "probe", MANIFEST.to_owned()),
            shipped("tag-subject", "30-tag-subject"),
            shipped("block-attachments", "20-block-attachments"),
        ] {
            let folder = || Folder::new().with("10-one", guest, &manifest);
            if without != PLAIN {
                self.add(without, folder(), self.options()).await.more = 0;
            }
            let explaining = LoadOptions {
                explains: true,
                ..self.options()
            };
            let name = format!("{guest} with its explain record");
            self.add(name, folder(), explaining).await.beside = without;
        }
    }

    async fn shadow(&mut self) {
        let candidate = format!("{MANIFEST}mode: shadow\n");
        let folder = probes(1, MANIFEST).with("10-probe-10.candidate.wasm", "probe", &candidate);
        self.add("a version in shadow beside it", folder, self.options())
            .await;
    }

    async fn measure(&mut self, length: Duration) {
        let letter = Mail::new(letter());
        // The first calls fetch code, memory and what is cached.
        for step in &mut self.steps {
            step.round(&letter).await;
        }
        let end = Instant::now() + length;
        loop {
            // There and back: no step always has the same one before it.
            let places = 0..self.steps.len();
            for place in places.clone().chain(places.rev()) {
                let step = &mut self.steps[place];
                let took = step.round(&letter).await;
                step.took.push(took);
            }
            if Instant::now() >= end {
                break;
            }
        }
        let asked = self.server.asked().len() as u64;
        assert!(
            asked >= 1 && asked <= 1 + self.begun.elapsed().as_secs() / REMEMBERED,
            "{asked} questions went to the server: its answers do not come from the cache"
        );
    }
}

impl Step {
    /// Seconds of one decision: the median of several.
    async fn round(&mut self, letter: &Arc<Mail>) -> f64 {
        let facts = facts();
        let mut took = Vec::with_capacity(ROUND);
        for _ in 0..ROUND {
            let letter = Arc::clone(letter);
            let begun = Instant::now();
            let decision = self.policies.message(&facts, letter, &[]).await;
            took.push((self.clock)(begun.elapsed(), &decision).as_secs_f64());
            let accepts = decision
                .opinions
                .iter()
                .filter(|opinion| opinion.word == "accept");
            assert_eq!(accepts.count(), self.asked, "{}: {decision:?}", self.name);
        }
        self.rounds += 1;
        self.settle().await;
        median(&took)
    }

    /// Whoever is asked beside the decisions ends before it is the next step's turn; nobody is left out.
    async fn settle(&self) {
        let patience = Instant::now() + Duration::from_secs(10);
        while let Some(cells) = self.policies.agreement("10-probe-10") {
            assert!(cells.iter().all(|cell| cell.candidate == "accept"), "{cells:?}");
            if cells.iter().map(|cell| cell.count).sum::<u64>() == self.rounds * ROUND as u64 {
                break;
            }
            assert!(
                Instant::now() < patience,
                "calls beside decisions were lost: {cells:?}"
            );
            tokio::task::yield_now().await;
        }
    }
}

/// So many policies that accept.
fn probes(count: usize, manifest: &str) -> Folder {
    (10..10 + count).fold(Folder::new(), |folder, place| {
        folder.with(&format!("{place}-probe-{place}"), "probe", manifest)
    })
}

/// The file beside a shipped policy.
fn shipped(name: &str) -> String {
    let (_, policy) = name.split_once('-').expect("a number before its name");
    let plugins = Path::new(env!("CARGO_MANIFEST_DIR")).join("../plugins");
    std::fs::read_to_string(plugins.join(policy).join(format!("{name}.yaml"))).expect("its file")
}

/// What the policies ask for.
async fn furnish(store: &dyn Store) {
    let domain = Domain {
        name: "example.org".to_owned(),
        alias_of: None,
    };
    store.create_domain(domain).await.expect("a domain");
    let account = Account {
        address: "ann@example.org".to_owned(),
        password: None,
        scram: None,
        quota_bytes: None,
        quota_messages: None,
    };
    store.create_account(account).await.expect("an account");
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock");
    let write = KvWrite {
        value: b"a value of some octets".as_slice().into(),
        ttl: 0,
        now: u64::try_from(now.as_millis()).expect("this age"),
        quota: 1 << 20,
    };
    store.kv_set("probe", "kept", write).await.expect("a key");
}

/// A plain text with the fields of an ordinary message.
fn letter() -> Vec<u8> {
    let mut letter = String::from(
        "Return-Path: <bob@shop.example>\r\n\
         Received: from mail.shop.example by localhost; Thu, 26 Nov 2026 09:00:00 +0000\r\n\
         From: Bob <bob@shop.example>\r\nTo: <ann@example.org>\r\nSubject: lunch\r\n\
         Date: Thu, 26 Nov 2026 09:00:00 +0000\r\nMessage-ID: <1@shop.example>\r\nMIME-Version: 1.0\r\n\
         Content-Type: text/plain; charset=utf-8\r\n\r\n",
    );
    while letter.len() < TEXT {
        letter.push_str("At noon, where we were the last time, if that is well with you?\r\n");
    }
    letter.into_bytes()
}

fn table(steps: &[Step]) -> String {
    let seconds = |name: &str| {
        let step = steps.iter().find(|step| step.name == name);
        median(&step.expect("a step of that name").took)
    };
    let plain = seconds(PLAIN);
    let mut text = String::from(
        "| step | × a fresh call | each adds, % of a fresh call | × another step | which | median µs |\n\
         |---|---|---|---|---|---|\n",
    );
    for step in steps {
        let (took, beside) = (median(&step.took), seconds(step.beside));
        let adds = match step.more {
            0 => String::new(),
            more => format!("{:.1}", 100.0 * (took - beside) / f64::from(more) / plain),
        };
        // Beside the fresh call the ratio is there already.
        let of_beside = match step.beside {
            PLAIN => String::from(" | "),
            name => format!("{:.3} | {name}", took / beside),
        };
        let (name, of_plain, micros) = (&step.name, took / plain, took * 1e6);
        let _ = writeln!(
            text,
            "| {name} | {of_plain:.3} | {adds} | {of_beside} | {micros:.1} |"
        );
    }
    text
}

fn median(times: &[f64]) -> f64 {
    let mut sorted = times.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().expect("a round")
}
