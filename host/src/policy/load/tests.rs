use super::stand::Anywhere;
use super::*;
use crate::policy::{Facts, Verdict};
use crate::store::MemoryStore;
use std::time::Instant;
use tempfile::TempDir;

/// A component that answers `connection-filter` with what `body` leaves: the place of a verdict in memory.
/// At 0 is accept, at 64 reject with 550 and a text.
pub(in crate::policy) fn filter(body: &str, cases: &str) -> String {
    let core = format!(
        r#"(core module $m
                (memory (export "memory") 1)
                (data (i32.const 64)
                    "\01\00\00\00" "\26\02\00\00" "\00\00\00\00\00\00\00\00" "\80\00\00\00\09\00\00\00")
                (data (i32.const 128) "not today")
                (func (export "f") (result i32) {body}))
            (core instance $i (instantiate $m))"#
    );
    answering(&core, cases)
}

/// The same of an instance `$i` that has `f` and `memory`.
pub(in crate::policy) fn answering(core: &str, cases: &str) -> String {
    format!(
        r#"(component
            {core}
            (type $reply (record (field "code" u16) (field "enhanced" string) (field "text" string)))
            (type $verdict (variant
                (case "accept") (case "reject" $reply) (case "defer" $reply) (case "discard")
                (case "quarantine" string) {cases}))
            (func $f (result $verdict) (canon lift (core func $i "f") (memory (core memory $i "memory"))))
            (component $named
                (type $r (record (field "code" u16) (field "enhanced" string) (field "text" string)))
                (import "reply" (type $reply (eq $r)))
                (type $v (variant
                    (case "accept") (case "reject" $reply) (case "defer" $reply) (case "discard")
                    (case "quarantine" string) {cases}))
                (import "verdict" (type $verdict (eq $v)))
                (import "f" (func $f (result $verdict)))
                (export $reply-out "reply" (type $r))
                (type $w (variant
                    (case "accept") (case "reject" $reply-out) (case "defer" $reply-out) (case "discard")
                    (case "quarantine" string) {cases}))
                (export $verdict-out "verdict" (type $w))
                (export "on-connect" (func $f) (func (result $verdict-out))))
            (instance $e (instantiate $named
                (with "reply" (type $reply)) (with "verdict" (type $verdict)) (with "f" (func $f))))
            (export "postern:policy/connection-filter@0.1.0" (instance $e)))"#
    )
}

/// A component that answers `lifecycle` alone, with an error.
pub(in crate::policy) const REFUSES_SETTINGS: &str = r#"(component
    (core module $m
        (memory (export "memory") 1)
        (data (i32.const 0) "\01\00\00\00\10\00\00\00\0c\00\00\00")
        (data (i32.const 16) "no rules yet")
        (func (export "f") (result i32) (i32.const 0)))
    (core instance $i (instantiate $m))
    (func $f (result (result (error string)))
        (canon lift (core func $i "f") (memory (core memory $i "memory"))))
    (instance $e (export "validate" (func $f)))
    (export "postern:policy/lifecycle@0.1.0" (instance $e)))"#;

pub(in crate::policy) const ACCEPT: &str = "(i32.const 0)";
pub(in crate::policy) const REJECT: &str = "(i32.const 64)";
pub(in crate::policy) const TRAP: &str = "unreachable";
pub(in crate::policy) const LOOP: &str = "(loop (br 0)) unreachable";

pub(in crate::policy) struct Folder(pub(in crate::policy) TempDir);

impl Folder {
    pub(in crate::policy) fn new() -> Self {
        Self(TempDir::new().unwrap())
    }

    pub(in crate::policy) fn with(self, name: &str, wat: &str) -> Self {
        self.file(&format!("{name}.wasm"), wat::parse_str(wat).unwrap())
    }

    pub(in crate::policy) fn file(self, name: &str, content: impl AsRef<[u8]>) -> Self {
        std::fs::write(self.0.path().join(name), content).unwrap();
        self
    }

    pub(in crate::policy) fn options(&self, trial: Duration) -> LoadOptions {
        LoadOptions {
            keep: Keep::alone(self.0.path().join("compiled")),
            store: Arc::new(MemoryStore::default()),
            dns: Arc::new(super::stand::Zone::default()),
            limits: PolicyLimits {
                deadline: Duration::from_secs(5),
                memory: 16 << 20,
                trial,
                ..PolicyLimits::default()
            },
            addresses: Arc::new(Anywhere),
            directory: Arc::new(stand::DirectoryTable::default()),
            explains: true,
            listeners: vec!["mx".to_owned(), "submission".to_owned()],
        }
    }

    fn load(&self) -> (Arc<Policies>, Vec<String>) {
        self.load_within(Duration::from_secs(5))
    }

    fn load_within(&self, trial: Duration) -> (Arc<Policies>, Vec<String>) {
        let (policies, faults) = Policies::load(self.0.path(), self.options(trial)).unwrap();
        let folder = format!("{}/", self.0.path().display());
        let said = faults.iter().map(|fault| fault.to_string().replace(&folder, ""));
        (policies, said.collect())
    }
}

async fn connect(policies: &Policies) -> (Verdict, Vec<&'static str>) {
    let decision = policies.connect(&Facts::default()).await;
    let words = decision.opinions.iter().map(|opinion| opinion.word).collect();
    (decision.verdict, words)
}

#[tokio::test]
async fn a_folder_that_is_not_there_has_no_policies() {
    let folder = Folder::new();
    let (policies, faults) = {
        let inner = Folder(TempDir::new_in(folder.0.path()).unwrap());
        std::fs::remove_dir(inner.0.path()).unwrap();
        inner.load()
    };
    assert_eq!((policies.list().len(), faults.len()), (0, 0));
    assert_eq!(connect(&policies).await, (Verdict::Accept, vec![]));
}

#[tokio::test]
async fn policies_are_asked_in_the_order_of_their_names_until_one_refuses() {
    let folder = Folder::new()
        .with("30-last", &filter(ACCEPT, ""))
        .with("20-strict", &filter(REJECT, ""))
        .with("10-lax", &filter(ACCEPT, ""));
    let (policies, faults) = folder.load();
    assert_eq!(faults, Vec::<String>::new());
    let (verdict, words) = connect(&policies).await;
    assert!(matches!(verdict, Verdict::Reject(reply) if reply.text() == "not today"));
    assert_eq!(words, ["accept", "reject"]);
    let listed: Vec<_> = policies
        .list()
        .iter()
        .map(|listed| listed.name.as_str())
        .collect();
    assert_eq!(listed, ["10-lax", "20-strict", "30-last"]);
    assert_eq!(policies.list()[0].answers, ["connect"]);
    assert!(!policies.asks_quota());
}

#[tokio::test]
async fn each_broken_one_is_refused_in_one_line_and_the_others_are_loaded() {
    let unknown = r#"(component (import "postern:policy/oracle@0.1.0" (instance (export "ask" (func)))))"#;
    let folder = Folder::new()
        .with("10-module", "(module)")
        .file("20-noise.wasm", "noise")
        .with("30-unknown", unknown)
        .with("40-mute", "(component)")
        .with("50-other-types", &filter(ACCEPT, r#"(case "bounce")"#))
        .with("60-settings", REFUSES_SETTINGS)
        .with("70-manifest", &filter(ACCEPT, ""))
        .file("70-manifest.yaml", "enabeld: true\n")
        .with("80-good", &filter(ACCEPT, ""))
        .with("90-good", &filter(REJECT, ""));
    let (policies, faults) = folder.load();
    let begins = [
        "10-module.wasm: is a module, not a component; build it for wasm32-wasip2",
        "20-noise.wasm: is no WebAssembly: it begins with \"noise\"; put",
        "30-unknown.wasm: needs postern:policy 0.1.0 (oracle); this Postern serves",
        "40-mute.wasm: answers no question; export",
        "50-other-types.wasm: does not",
        "60-settings.yaml: settings: no rules yet; mend them there",
        "70-manifest.yaml: enabeld: unknown field `enabeld`",
        "90-good.wasm: another policy has this name",
    ];
    for (fault, begin) in faults.iter().zip(begins) {
        assert!(fault.starts_with(begin), "{fault}");
        assert!(!fault.contains('\n'), "{fault}");
    }
    assert_eq!(faults.len(), begins.len(), "{faults:#?}");
    assert_eq!(connect(&policies).await, (Verdict::Accept, vec!["accept"]));
    assert_eq!(policies.list().len(), 9, "the refused ones are listed too");
    assert!(matches!(policies.list()[3].state, State::Refused(_)));
}

#[tokio::test]
async fn a_disabled_one_is_listed_and_not_asked() {
    let folder = Folder::new()
        .with("10-off", &filter(REJECT, ""))
        .file("10-off.yaml", "enabled: false\n");
    let (policies, faults) = folder.load();
    assert_eq!(faults, Vec::<String>::new());
    assert_eq!(policies.list()[0].state, State::Disabled);
    assert_eq!(connect(&policies).await, (Verdict::Accept, vec![]));
}

#[tokio::test]
async fn a_trap_comes_to_what_the_failure_policy_says() {
    let asked = |failure: &'static str| async move {
        let folder = Folder::new()
            .with("10-trap", &filter(TRAP, ""))
            .file("10-trap.yaml", format!("failure: {{ default: {failure} }}"))
            .with("20-strict", &filter(REJECT, ""));
        connect(&folder.load().0).await
    };
    assert!(matches!(asked("defer").await, (Verdict::Defer(_), words) if words == ["trap"]));
    assert!(matches!(asked("reject").await, (Verdict::Reject(_), words) if words == ["trap"]));
    assert_eq!(asked("accept").await, (Verdict::Accept, vec!["trap"]));
    assert!(matches!(asked("skip").await, (Verdict::Reject(_), words) if words == ["trap", "reject"]));
}

#[tokio::test]
async fn an_endless_loop_ends_at_its_deadline_and_nobody_waits_for_it() {
    let folder = Folder::new()
        .with("10-loop", &filter(LOOP, ""))
        .file(
            "10-loop.yaml",
            "limits: { deadline: 300ms }\nfailure: { default: skip }\n",
        )
        .with("20-strict", &filter(REJECT, ""));
    let (policies, _) = folder.load();
    let recorder = metrics_exporter_prometheus::PrometheusBuilder::new().build_recorder();
    let _counting = metrics::set_default_local_recorder(&recorder);
    let begun = Instant::now();
    let facts = Facts::default();
    let (decision, others) = tokio::join!(policies.connect(&facts), async {
        tokio::task::yield_now().await;
        begun.elapsed()
    });
    assert!(
        others < Duration::from_millis(300),
        "this thread was not held up: {others:?}"
    );
    let words: Vec<_> = decision.opinions.iter().map(|opinion| opinion.word).collect();
    assert_eq!(words, ["timeout", "reject"]);
    let counted = "postern_policy_limit_hits_total{limit=\"deadline\"} 1\n";
    assert!(recorder.handle().render().contains(counted));
    assert!(decision.opinions[0].took >= Duration::from_millis(300));
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn a_second_start_finds_the_compiled_code() {
    let folder = Folder::new().with("10-lax", &filter(ACCEPT, ""));
    let compiled = || {
        std::fs::read_dir(folder.0.path().join("compiled"))
            .unwrap()
            .count()
    };
    folder.load();
    assert_eq!(compiled(), 1);
    let (policies, _) = folder.load();
    assert_eq!(compiled(), 1);
    assert_eq!(connect(&policies).await.0, Verdict::Accept);
}

/// A component that answers `lifecycle` alone, and never.
const HANGS_AT_ITS_TRIAL: &str = r#"(component
    (core module $m
        (memory (export "memory") 1)
        (func (export "f") (result i32) (loop (br 0)) unreachable))
    (core instance $i (instantiate $m))
    (func $f (result (result (error string)))
        (canon lift (core func $i "f") (memory (core memory $i "memory"))))
    (instance $e (export "validate" (func $f)))
    (export "postern:policy/lifecycle@0.1.0" (instance $e)))"#;

/// It used to hold up a start for 14 seconds, whatever the limits said.
#[tokio::test]
async fn one_that_hangs_at_its_trial_is_refused_when_that_is_over_and_the_others_are_loaded() {
    let folder = Folder::new()
        .with("10-hangs", HANGS_AT_ITS_TRIAL)
        .file("10-hangs.yaml", "limits: { deadline: 10ms }\n")
        .with("20-strict", &filter(REJECT, ""));
    let begun = Instant::now();
    let (policies, faults) = folder.load_within(Duration::from_millis(300));
    assert!(begun.elapsed() >= Duration::from_millis(300));
    assert_eq!(
        faults,
        [
            "10-hangs.wasm: does not run: it did not start and say what it thinks of its settings within 300ms; \
             mend it, or give it longer by policy.trial"
        ]
    );
    assert!(matches!(connect(&policies).await.0, Verdict::Reject(_)));
}

#[test]
fn a_trial_that_is_over_is_counted_and_one_that_ended_by_itself_is_not() {
    let unfit = |failure: Failure| {
        crate::policy::limits::tests::hits(Limit::Trial, || {
            unfit(
                Path::new("10-x.wasm"),
                &Failed::from(failure),
                Duration::from_secs(5),
            );
        })
    };
    assert_eq!(unfit(Failure::TimeOut), 1);
    assert_eq!(unfit(Failure::Trap("unreachable".to_owned())), 0);
}

#[test]
fn what_may_be_over_by_the_next_try_is_told_apart() {
    let trap = || Failure::Trap("unreachable".to_owned());
    let unfit = |failure: Failure, store_failed: bool| {
        let failed = Failed {
            store_failed,
            ..Failed::from(failure)
        };
        unfit(Path::new("10-x.wasm"), &failed, Duration::from_secs(5))
    };
    assert!(unfit(Failure::TimeOut, false).passes);
    assert!(unfit(Failure::Busy, false).passes);
    assert!(unfit(trap(), true).passes);
    assert!(!unfit(trap(), false).passes);
    let objection = |store_failed| objection(Path::new("10-x.yaml"), "no", store_failed);
    assert!(objection(true).passes);
    assert!(!objection(false).passes);
    let bounded = |text: &str| super::objection(Path::new("10-x.yaml"), text, false).text;
    let most = "a".repeat(LONGEST_OBJECTION);
    assert!(bounded(&most).contains(&most));
    assert_eq!(bounded(&format!("{most}b")), bounded(&most));
    assert!(bounded("a\u{1b}[31m\nb").contains("settings: a [31m b; mend"));
}

impl Loader {
    /// A policy of the component that `body` makes, with the text beside it.
    pub(in crate::policy) fn make(&self, body: &str, manifest: &str) -> Result<Arc<Plugin>, Fault> {
        let wasm = wat::parse_str(filter(body, "")).unwrap();
        let mut listed = listed(Path::new("10-x.wasm"));
        listed.digest = crate::policy::cache::digest(&wasm);
        let manifest = self.manifest(manifest, &mut listed).unwrap();
        self.load(&wasm, manifest, &mut listed)
    }

    fn ask(&self, plugin: &Arc<Plugin>) -> tokio::task::JoinHandle<Result<&'static str, Failure>> {
        let call = plugin.call(&self.services, Facts::default(), None, Vec::new());
        let plugin = Arc::clone(plugin);
        tokio::spawn(async move {
            match plugin.ask(Ask::Connect, call).await {
                Ok(_) => Ok("heard"),
                Err(failed) => Err(failed.failure),
            }
        })
    }

    /// Waits until all places are taken.
    async fn full(&self) {
        let taken = async {
            while self.guests.places.available_permits() > 0 {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(60), taken)
            .await
            .expect("all places are taken");
    }
}

fn loader_of_one() -> Arc<Loader> {
    let mut options = Folder::new().options(Duration::from_millis(200));
    options.keep = Keep::default();
    options.limits.instances = 1;
    Arc::new(Loader::new(&options, Compiling::default()).unwrap())
}

/// A trial beside a call that had the one instance was refused with "maximum concurrent limit".
#[tokio::test]
async fn a_trial_waits_for_its_place_among_the_calls_that_run() {
    let loader = loader_of_one();
    let slow = loader.make(LOOP, "limits: { deadline: 1s }").unwrap();
    let call = loader.ask(&slow);
    loader.full().await;
    let (making, patient) = (Arc::clone(&loader), "limits: { deadline: 20s }");
    let made = tokio::task::spawn_blocking(move || making.make(ACCEPT, patient)).await;
    made.unwrap().unwrap();
    assert!(matches!(call.await.unwrap(), Err(Failure::TimeOut)));

    let slow = loader.make(LOOP, "limits: { deadline: 20s }").unwrap();
    let call = loader.ask(&slow);
    loader.full().await;
    let (making, hasty) = (Arc::clone(&loader), "limits: { deadline: 1ms }");
    let made = tokio::task::spawn_blocking(move || making.make(ACCEPT, hasty)).await;
    let fault = made.unwrap().unwrap_err();
    assert!(
        fault
            .text
            .starts_with("was not tried: policy.instances calls ran"),
        "{fault}"
    );
    assert!(fault.passes);
    call.abort();
}

#[tokio::test]
async fn a_call_waits_for_a_trial_that_runs() {
    let loader = loader_of_one();
    let plugin = loader.make(ACCEPT, "limits: { deadline: 20s }").unwrap();
    let making = Arc::clone(&loader);
    let trial = tokio::task::spawn_blocking(move || {
        let never_starts = format!("{ACCEPT}) (func $start (loop (br 0))) (start $start");
        making.make(&never_starts, "limits: { deadline: 1s }")
    });
    loader.full().await;
    assert!(matches!(loader.ask(&plugin).await.unwrap(), Ok("heard")));
    assert!(trial.await.unwrap().unwrap_err().text.contains("within 1s"));
}
