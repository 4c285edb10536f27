mod replaying;

use super::*;
use crate::policy::load::tests::{ACCEPT, Folder, REFUSES_SETTINGS, REJECT, filter};

const TRAP: &str = "unreachable";
const LOOP: &str = "(loop (br 0)) unreachable";

fn folder(body: &str, manifest: &str) -> Folder {
    Folder::new()
        .with("10-one", &filter(body, ""))
        .file("10-one.yaml", manifest)
}

fn open(folder: &Folder, manifest: Option<&str>) -> Result<Stand, Fault> {
    let path = |name: &str| folder.0.path().join(name);
    let manifest = manifest.map(path);
    Stand::open(&path("10-one.wasm"), manifest.as_deref(), &Keep::default())
}

fn connect(folder: &Folder) -> Heard {
    let seat = open(folder, None).unwrap().seat(&Setup::default()).unwrap();
    assert!(seat.answers(Question::Connect) && !seat.answers(Question::Message));
    seat.ask(&Ask::Connect, &Facts::default(), None, &[])
}

fn verdict(heard: &Heard) -> &Verdict {
    match &heard.said {
        Said::Verdict { verdict, .. } => verdict,
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_answer_goes_through_the_fold_and_its_time_is_told() {
    let heard = connect(&folder(REJECT, ""));
    assert!(matches!(verdict(&heard), Verdict::Reject(reply) if reply.text() == "not today"));
    assert!(!heard.took.is_zero());
    assert_eq!(heard.seen, Seen::default());
    assert_eq!(verdict(&connect(&folder(ACCEPT, ""))), &Verdict::Accept);
}

#[test]
fn a_failure_is_told_and_comes_to_what_the_file_says() {
    let heard = connect(&folder(TRAP, "failure: { connect: accept }\n"));
    assert_eq!(verdict(&heard), &Verdict::Accept);
    assert_eq!(heard.seen.failure.map(|ending| ending.word), Some("trap"));
    let heard = connect(&folder(LOOP, "limits: { deadline: 50ms }\n"));
    assert!(matches!(verdict(&heard), Verdict::Defer(_)));
    assert!(heard.took >= Duration::from_millis(50));
    let ending = heard.seen.failure.unwrap();
    assert_eq!(
        (ending.word, ending.text.as_str()),
        ("timeout", "no answer within limits.deadline")
    );
}

#[test]
fn a_probe_is_called_whatever_it_has_against_its_settings() {
    let folder = Folder::new()
        .with("10-traps", &filter(TRAP, ""))
        .with("20-answers", &filter(ACCEPT, ""))
        .with("30-refuses", REFUSES_SETTINGS)
        .file("20-answers.yaml", "enabeld: true\n")
        .file("40-noise.wasm", "noise");
    let open = |name: &str| Probe::open(&folder.0.path().join(name), &Keep::default());
    let called = |name: &str, ask: &Ask| {
        let message: Arc<dyn MessageSource> = Mail::new(b"");
        open(name).unwrap().last_words(ask, Facts::default(), &message)
    };
    let silent = Some(String::new());
    assert_eq!(called("10-traps.wasm", &Ask::Connect), silent);
    assert_eq!(called("20-answers.wasm", &Ask::Connect), None);
    assert_eq!(called("20-answers.wasm", &Ask::Message), silent, "not answered");
    assert_eq!(called("30-refuses.wasm", &Ask::Validate), None);
    assert!(open("40-noise.wasm").is_err());
}

#[test]
fn a_seat_has_nothing_of_the_one_before() {
    let folder = folder(TRAP, "grants: { kv: {} }\n");
    let mut stand = open(&folder, None).unwrap();
    let setup = Setup {
        kv: BTreeMap::from([("a".to_owned(), Bytes::from_static(b"1"))]),
        ..Setup::default()
    };
    let first = stand.seat(&setup).unwrap();
    first.ask(&Ask::Connect, &Facts::default(), None, &[]);
    let second = stand.seat(&Setup::default()).unwrap();
    assert_eq!((first.kv(), second.kv()), (setup.kv, BTreeMap::new()));
    assert_eq!(second.observer.take(), Seen::default());
}

#[test]
fn an_instance_lasts_as_the_file_says_unless_it_is_never_to_be_reused() {
    // It rejects when it finds what it has left in its memory.
    let body =
        "(i32.load (i32.const 256)) (i32.store (i32.const 256) (i32.const 1)) (i32.mul (i32.const 64))";
    let folder = folder(body, "reuse: { calls: 10 }\n");
    let mut stand = open(&folder, None).unwrap();
    assert!(stand.reuses());
    let second = |stand: &mut Stand| {
        let seat = stand.seat(&Setup::default()).unwrap().unwatched(false);
        let [first, second] = [(); 2].map(|()| seat.ask(&Ask::Connect, &Facts::default(), None, &[]));
        assert_eq!(verdict(&first), &Verdict::Accept);
        verdict(&second).word()
    };
    assert_eq!(second(&mut stand), "reject");
    stand.never_reuse();
    assert!(!stand.reuses());
    assert_eq!(second(&mut stand), "accept");
}

#[test]
fn what_the_store_is_to_hold_must_fit_the_grant() {
    let kv = |octets: usize| Setup {
        kv: BTreeMap::from([("k".to_owned(), Bytes::from(vec![0; octets]))]),
        ..Setup::default()
    };
    let granted = folder(ACCEPT, "grants: { kv: { bytes: 10B } }\n");
    let mut stand = open(&granted, None).unwrap();
    assert_eq!(stand.seat(&kv(9)).unwrap().kv().len(), 1);
    let full = stand.seat(&kv(10)).unwrap_err();
    assert!(full.text.starts_with("kv, k: "), "{full}");
    let without = open(&folder(ACCEPT, ""), None).unwrap().seat(&kv(0)).unwrap_err();
    assert!(without.text.starts_with("has no share of the store"), "{without}");
}

#[test]
fn the_clock_may_stand_anywhere() {
    let folder = folder(ACCEPT, "");
    let mut stand = open(&folder, None).unwrap();
    let setup = Setup {
        now: Some(7),
        ..Setup::default()
    };
    assert_eq!(stand.seat(&setup).unwrap().observer.now(), Some(7));
}

#[test]
fn a_fault_is_told_of_the_file_that_has_it() {
    let own = folder(ACCEPT, "enabeld: true\n")
        .file("other.yaml", "limits: { deadline: 61s }\n")
        .file("good.yaml", "enabled: false\n");
    let fault = |manifest| {
        let fault = open(&own, manifest).unwrap_err();
        let name = fault.path.file_name().unwrap().to_string_lossy().into_owned();
        format!("{name}: {}", fault.text)
    };
    assert!(fault(None).starts_with("10-one.yaml: enabeld: unknown field"));
    assert!(fault(Some("other.yaml")).starts_with("other.yaml: limits.deadline: out of bounds"));
    assert!(fault(Some("gone.yaml")).starts_with("gone.yaml: cannot be read"));
    assert!(
        open(&own, Some("good.yaml")).is_ok(),
        "a disabled one may be tried"
    );
}

#[test]
fn what_is_wrong_with_settings_is_told_of_where_they_are_written() {
    let folder = Folder::new()
        .with("10-one", REFUSES_SETTINGS)
        .file("own.yaml", "");
    let path = |name: &str| folder.0.path().join(name);
    let refused = |manifest, settings: Option<&str>| {
        let setup = Setup {
            settings: settings.map(|name| Settings {
                file: name.into(),
                values: serde_json::Map::new(),
            }),
            ..Setup::default()
        };
        open(&folder, manifest).unwrap().seat(&setup).unwrap_err()
    };
    let fault = refused(None, None);
    assert_eq!(fault.path, path("10-one.yaml"));
    assert_eq!(fault.text, "settings: no rules yet; mend them there");
    assert_eq!(refused(Some("own.yaml"), None).path, path("own.yaml"));
    assert_eq!(
        refused(Some("own.yaml"), Some("case.yaml")).path,
        Path::new("case.yaml")
    );
}

#[test]
fn a_component_is_inspected_as_far_as_it_can_be_read() {
    let needs = r#"(component
        (import "postern:policy/session@0.1.7" (instance
            (export "helo" (func (result string)))
            (export "client-port" (func (result u16)))))
        (import "postern:policy/kv@0.2.0" (instance (export "get" (func))))
        (import "exec" (func)))"#;
    let folder = Folder::new()
        .with("10-one", &filter(ACCEPT, ""))
        .with("20-needs", needs)
        .file("30-noise.wasm", "noise");
    let found = |name: &str| inspect(&folder.0.path().join(name), &Keep::default()).unwrap();
    let one = found("10-one.wasm");
    assert_eq!((one.answers, one.refused), (vec!["connect"], None));
    assert_eq!(one.contract, ["0.1.0"]);
    let memory = Memory {
        memories: 1,
        largest: 64 << 10,
        tables: 0,
        elements: 0,
    };
    assert_eq!(one.memory, Some(memory));
    let needs = found("20-needs.wasm");
    assert_eq!(needs.contract, ["0.1.7", "0.2.0"]);
    let unknown: Vec<&str> = needs.unknown.iter().map(String::as_str).collect();
    assert_eq!(
        unknown,
        ["session.client-port", "postern:policy/kv@0.2.0", "exec"]
    );
    let session = Needed {
        interface: "session".to_owned(),
        version: "0.1.7".to_owned(),
        functions: vec!["client-port".to_owned(), "helo".to_owned()],
        wants: Wants::Nothing,
    };
    assert_eq!(needs.capabilities, [session]);
    assert!(
        needs
            .refused
            .unwrap()
            .starts_with("needs (exec) and postern:policy 0.1.7")
    );
    let noise = found("30-noise.wasm");
    assert_eq!((noise.bytes, noise.memory), (5, None));
    assert!(noise.refused.unwrap().starts_with("is no WebAssembly: "));
    assert!(inspect(&folder.0.path().join("gone.wasm"), &Keep::default()).is_err());
}
