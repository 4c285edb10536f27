//! The commands for authors of policies, as processes without a gateway or a configuration.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

#[path = "../support/guests.rs"]
mod guests;

use postern::store::embedded::Options;
use postern::store::{EmbeddedStore, Kv as _, KvWrite};
use serde_json::Value;
use std::fs::Permissions;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

const POSTERN: &str = env!("CARGO_BIN_EXE_postern");
const MESSAGE: &str = "From: <bob@shop.example>\nSubject: lunch\n\nAt noon?\n";
/// Longer than any call takes on a busy machine.
const PATIENT: &str = "limits: { deadline: 30s }\n";

/// What a command printed, and how it ended.
#[derive(Debug)]
struct Ended {
    code: Option<i32>,
    out: String,
    error: String,
}

impl Ended {
    fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// The text behind a key of `inspect`, and of a step of `run`.
    fn value(&self, key: &str) -> &str {
        let mut lines = self.out.lines().map(str::trim_start);
        let value = lines.find_map(|line| line.strip_prefix(key).filter(|rest| rest.starts_with(' ')));
        value.unwrap_or_else(|| panic!("no {key}: {self:?}")).trim()
    }
}

/// A folder with components and what is beside them.
struct Desk(tempfile::TempDir);

impl Desk {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a folder"))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn guest(self, guest: &str) -> Self {
        let file = self.path(guest).with_extension("wasm");
        std::fs::copy(guests::build(guest), file).expect("a copy of the guest");
        self
    }

    fn with(self, name: &str, content: impl AsRef<[u8]>) -> Self {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        std::fs::write(path, content).expect("a file");
        self
    }

    /// `postern plugin …` in this folder.
    fn plugin(&self, arguments: &[&str]) -> Ended {
        self.postern(&[&["plugin"], arguments].concat())
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(POSTERN);
        command
            .current_dir(self.0.path())
            .env_remove("POSTERN_CONFIG")
            .env("XDG_CACHE_HOME", self.path("cache"))
            .args(arguments);
        command
    }

    fn postern(&self, arguments: &[&str]) -> Ended {
        let output = self.command(arguments).output();
        let Output {
            status,
            stdout,
            stderr,
        } = output.expect("a process");
        Ended {
            code: status.code(),
            out: String::from_utf8(stdout).expect("text"),
            error: String::from_utf8(stderr).expect("text"),
        }
    }

    /// `plugin run` of a guest with [`MESSAGE`].
    fn run(&self, guest: &str, more: &[&str]) -> Ended {
        std::fs::write(self.path("m.eml"), MESSAGE).expect("a message");
        let file = format!("{guest}.wasm");
        self.plugin(&[&["run", &file, "--message", "m.eml"], more].concat())
    }

    /// `plugin test` of a guest with one file of cases.
    fn cases(&self, guest: &str, cases: &str, more: &[&str]) -> Ended {
        std::fs::create_dir_all(self.path("cases")).expect("a folder");
        std::fs::write(self.path("cases/a.yaml"), cases).expect("cases");
        let file = format!("{guest}.wasm");
        self.plugin(&[&["test", &file, "--cases", "cases"], more].concat())
    }
}

#[test]
fn a_component_is_told_before_it_is_installed() {
    let desk = Desk::new().guest("greylist");
    let told = desk.plugin(&["inspect", "greylist.wasm"]);
    assert_eq!(told.code, Some(0), "{told:?}");
    assert_eq!(told.value("answers"), "rcpt, validate");
    assert_eq!(told.value("contract"), "postern:policy 0.1.0");
    assert_eq!(told.value("loads"), "yes");
    let kv =
        "capability  kv: compare-and-set, get, set  needs grants: { kv: … }, else the error `not granted`";
    assert!(told.out.lines().any(|line| line == kv), "{told:?}");
    assert!(
        told.out.lines().any(|line| line == "capability  clock: now"),
        "{told:?}"
    );
    let found = desk.plugin(&["inspect", "greylist.wasm", "--json"]).json();
    let octets = std::fs::read(desk.path("greylist.wasm")).expect("the component");
    assert_eq!(found["bytes"], octets.len());
    let sum = Command::new("sha256sum")
        .arg(desk.path("greylist.wasm"))
        .output()
        .expect("a sum");
    let sum = String::from_utf8(sum.stdout).expect("text");
    assert!(
        sum.starts_with(found["sha256"].as_str().expect("a digest")),
        "{sum}"
    );
    assert_eq!(found["memory"]["memories"], 1);
    assert!(found["memory"]["largest"].as_u64() >= Some(64 << 10), "{found}");
    assert!(
        found["wasi"]
            .as_array()
            .expect("a list")
            .iter()
            .any(|name| name.as_str().is_some_and(|name| name.starts_with("wasi:cli/"))),
        "{found}"
    );
    let reach = "            (by these no file, network or environment can be reached)\nloads ";
    assert!(told.out.contains(reach), "{told:?}");
    assert_eq!(
        (&found["unknown"], &found["refused"]),
        (&Value::Array(vec![]), &Value::Null)
    );
}

/// Files in a folder that are kept, by what changes when one is written again.
fn kept(folder: &Path) -> Vec<(PathBuf, u64)> {
    let files = std::fs::read_dir(folder).expect("a folder");
    let file = |file: std::fs::DirEntry| (file.path(), file.metadata().expect("a file").ino());
    files.map(|entry| file(entry.expect("a file"))).collect()
}

#[test]
fn what_was_compiled_is_kept_for_the_next_command() {
    let desk = Desk::new().guest("greylist");
    let kept = || kept(&desk.path("cache/postern/compiled"));
    assert_eq!(desk.plugin(&["inspect", "greylist.wasm"]).code, Some(0));
    let first = kept();
    assert_eq!(first.len(), 1);
    assert_eq!(desk.run("greylist", &[]).code, Some(0));
    assert_eq!(kept(), first, "it is not written again");
}

/// A configuration whose policies are in that folder.
fn site(folder: &str) -> String {
    format!(
        "hostname: a.example\npostmaster: a@b.example\nstate: state\npolicy: {{ folder: {folder} }}\n\
         listeners: [ {{ role: mx, address: '127.0.0.1:0' }} ]\n"
    )
}

/// Another component that does the same: it has a custom section of so many octets (below 2^21) more.
fn another(wasm: &[u8], more: usize) -> Vec<u8> {
    let size = u32::try_from(more + 2).expect("a size");
    let digits =
        [(size & 0x7f) | 0x80, ((size >> 7) & 0x7f) | 0x80, size >> 14].map(|digit| digit.to_le_bytes()[0]);
    [wasm, &[0], &digits, &[1, b'x'], &vec![0; more]].concat()
}

/// Two configurations, each with a policy of its own, beside one cache.
fn two_sites() -> Desk {
    let wasm = std::fs::read(guests::build("greylist")).expect("the guest");
    Desk::new()
        .with("a.yaml", site("a.d"))
        .with("b.yaml", site("b.d"))
        .with("a.d/10-greylist.wasm", &wasm)
        .with("b.d/10-greylist.wasm", another(&wasm, 1))
}

#[test]
fn what_a_command_compiled_is_kept_for_all_others() {
    let desk = two_sites();
    let kept = || {
        let mut kept = kept(&desk.path("cache/postern/compiled"));
        kept.sort();
        kept
    };
    let done = |arguments: &[&str]| {
        let ended = desk.postern(arguments);
        assert_eq!(ended.code, Some(0), "{ended:?}");
        ended
    };
    let checked = done(&["check", "--config", "a.yaml"]);
    assert_eq!(checked.error, "");
    let first = kept();
    assert_eq!(first.len(), 1);
    done(&["check", "--config", "b.yaml"]);
    let both = kept();
    assert_eq!(both.len(), 2);
    assert!(
        both.contains(&first[0]),
        "one configuration costs another nothing"
    );
    assert_eq!(done(&["check", "--config", "a.yaml"]).out, checked.out);
    done(&["plugin", "list", "--config", "b.yaml"]);
    done(&["plugin", "inspect", "a.d/10-greylist.wasm"]);
    assert_eq!(kept(), both, "nothing is written again");
}

#[test]
fn two_checks_at_once_keep_what_both_compiled() {
    let desk = two_sites();
    let checks = ["a.yaml", "b.yaml"].map(|config| {
        let mut check = desk.command(&["check", "--config", config]);
        check
            .stderr(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .expect("a process")
    });
    for check in checks {
        let ended = check.wait_with_output().expect("an end");
        assert_eq!(ended.status.code(), Some(0));
        assert_eq!(String::from_utf8_lossy(&ended.stderr), "");
    }
    let kept = kept(&desk.path("cache/postern/compiled"));
    assert_eq!(kept.len(), 2, "{kept:?}");
    assert!(
        kept.iter()
            .all(|(file, _)| file.extension().is_some_and(|is| is == "cwasm")),
        "{kept:?}"
    );
}

#[test]
fn a_check_tells_what_takes_long_and_once_that_nothing_can_be_kept() {
    let desk = two_sites();
    let wasm = std::fs::read(desk.path("a.d/10-greylist.wasm")).expect("the guest");
    let desk = desk
        .with("a.d/20-large.wasm", another(&wasm, 1_000_000))
        .with("b.d/20-more.wasm", another(&wasm, 2));
    let checked = desk.postern(&["check", "--config", "a.yaml"]);
    assert_eq!(checked.code, Some(0), "{checked:?}");
    let note = checked.error.trim_end();
    assert!(
        note.starts_with("compiling ") && note.ends_with("a.d/20-large.wasm, 1 MB"),
        "{note}"
    );
    let again = desk.plugin(&["list", "--config", "a.yaml"]);
    assert!(again.error.starts_with("no gateway runs for "), "{again:?}");

    let compiled = desk.path("cache/postern/compiled");
    std::fs::set_permissions(&compiled, Permissions::from_mode(0o755)).expect("a mode");
    let count = kept(&compiled).len();
    let checked = desk.postern(&["check", "--config", "b.yaml"]);
    assert_eq!(checked.code, Some(0), "{checked:?}");
    let why = format!(
        "what is compiled is not kept for the next command: {} is open to others; chmod 700 it (another folder: \
         XDG_CACHE_HOME)\n",
        compiled.display()
    );
    assert_eq!(checked.error, why);
    assert_eq!(kept(&compiled).len(), count);

    std::fs::remove_dir_all(desk.path("cache")).expect("removed");
    let desk = desk.with("cache", "");
    let checked = desk.postern(&["check", "--config", "b.yaml"]);
    assert_eq!(checked.code, Some(0), "{checked:?}");
    assert_eq!(checked.error.lines().count(), 1, "{checked:?}");
    assert!(checked.error.contains(": cannot make "), "{checked:?}");
}

#[test]
fn while_a_gateway_starts_its_policies_are_not_compiled_a_second_time() {
    let desk = two_sites();
    let starting = EmbeddedStore::open(desk.path("state/store"), Options::default()).expect("a store");
    let commands = [&["list"][..], &["compare", "greylist"], &["reset", "greylist"]];
    for command in commands {
        let told = desk.plugin(&[command, &["--config", "a.yaml"]].concat());
        assert_eq!(told.code, Some(1), "{told:?}");
        let why = "postern: a gateway is starting, or another command has the store in state/store: ask again when \
                   it is ready\n";
        assert_eq!((told.out.as_str(), told.error.as_str()), ("", why));
    }
    assert!(!desk.path("cache").exists());
    drop(starting);
    let listed = desk.plugin(&["list", "--config", "a.yaml"]);
    assert_eq!(listed.code, Some(0), "{listed:?}");
    assert!(listed.error.starts_with("no gateway runs for "), "{listed:?}");
}

#[test]
fn a_project_without_a_language_is_told_which_there_are() {
    let told = Desk::new().plugin(&["new", "mine"]);
    assert_eq!(told.code, Some(2), "{told:?}");
    assert!(told.error.contains("--lang <rust|go|js|python|c>"), "{told:?}");
}

#[test]
fn each_capability_says_what_it_wants() {
    let found = Desk::new()
        .guest("probe")
        .plugin(&["inspect", "probe.wasm", "--json"])
        .json();
    let wants = |interface: &str| {
        let capabilities = found["capabilities"].as_array().expect("a list");
        let needed = capabilities
            .iter()
            .find(|needed| needed["interface"] == interface);
        needed.unwrap_or_else(|| panic!("{interface}: {found}"))["wants"].clone()
    };
    for open in [
        "session", "auth", "message", "mime", "edit", "config", "clock", "random",
    ] {
        assert_eq!(wants(open), "nothing", "{open}");
    }
    for granted in ["kv", "dns", "directory", "http"] {
        assert_eq!(wants(granted), serde_json::json!({ "grant": granted }));
    }
}

#[test]
fn what_would_be_refused_says_so_in_the_words_of_the_loading() {
    let desk = Desk::new()
        .guest("newer")
        .guest("unknown")
        .guest("greylist")
        .with("greylist.yaml", "settings: { wait: 3d, retry: 2d }\n")
        .with("module.wasm", b"\0asm\x01\0\0\0")
        .with("noise.wasm", "noise")
        .with("cut.wasm", b"\0asm\x0d\0\x01")
        .with("mute.wasm", wat::parse_str("(component)").expect("a component"));
    for (name, refusal) in [
        (
            "newer.wasm",
            "needs postern:policy 0.1.7 (session.client-port, session.client-weather); \
             this Postern serves postern:policy 0.1.0 and WASI 0.2 without http: build it against those",
        ),
        (
            "unknown.wasm",
            "needs postern:unknown 0.1.0 (oracle); this Postern serves",
        ),
        (
            "greylist.wasm",
            "greylist.yaml: settings: wait (3d) must be shorter than retry (2d); mend them there",
        ),
        (
            "module.wasm",
            "is a module, not a component; build it for wasm32-wasip2",
        ),
        (
            "noise.wasm",
            "is no WebAssembly: it begins with \"noise\"; put the whole component here",
        ),
        ("cut.wasm", "is no component that runs here: "),
        ("mute.wasm", "answers no question; export"),
    ] {
        let told = desk.plugin(&["inspect", name]);
        assert_eq!(told.code, Some(1), "{told:?}");
        assert!(told.value("refused").starts_with(refusal), "{told:?}");
        let found = desk.plugin(&["inspect", name, "--json"]);
        assert_eq!(found.code, Some(1));
        assert_eq!(found.json()["refused"], told.value("refused"));
    }
    let unknown = desk.plugin(&["inspect", "unknown.wasm"]);
    assert_eq!(unknown.value("unknown"), "postern:unknown/oracle@0.1.0");
    let newer = desk.plugin(&["inspect", "newer.wasm"]);
    assert_eq!(newer.value("unknown"), "session.client-port");
    assert_eq!(newer.value("contract"), "postern:policy 0.1.7");
    let gone = desk.plugin(&["inspect", "gone.wasm"]);
    assert_eq!((gone.code, gone.out.as_str()), (Some(1), ""));
    let error = "postern: gone.wasm: is not there; `postern plugin build` makes it\n";
    assert_eq!(gone.error, error);
}

#[test]
fn a_run_puts_every_question_in_the_order_of_a_session() {
    let desk = Desk::new().guest("probe").with("probe.yaml", PATIENT);
    let told = desk.run(
        "probe",
        &[
            "--to",
            "ann@example.org",
            "--to",
            "bob@example.org",
            "--usage-bytes",
            "1KiB",
        ],
    );
    assert_eq!(told.code, Some(0), "{told:?}");
    let titles: Vec<&str> = told.out.lines().filter(|line| !line.starts_with(' ')).collect();
    let size = MESSAGE.len() + MESSAGE.lines().count();
    assert_eq!(
        titles,
        [
            "validate",
            "connect",
            "mail",
            "rcpt ann@example.org",
            "router ann@example.org",
            "rcpt bob@example.org",
            "router bob@example.org",
            "message",
            &format!("quota ann@example.org, which holds 1KiB in 0 messages, for {size}B"),
            &format!("quota bob@example.org, which holds 1KiB in 0 messages, for {size}B"),
        ]
    );
    for line in [
        "  said     accept",
        "  edit     tag connected from 192.0.2.1",
        "  edit     add-header X-Probe: session.tags=[\"connected from 192.0.2.1\", \
         \"mail from sender@example.com\", \"rcpt to ann@example.org\", \"rcpt to bob@example.org\"]",
        "  edit     add-header X-Probe: session.rcpt-to=[\"ann@example.org\", \"bob@example.org\"]",
        "  edit     add-header X-Probe: kv.get=Err(\"not granted\")",
        "  call     session.client-ip() -> \"192.0.2.1\"",
        "  said     allow without a ceiling",
    ] {
        assert!(
            told.out.lines().any(|found| found == line),
            "{line}: {}",
            told.out
        );
    }
}

#[test]
fn a_run_is_as_its_arguments_say() {
    let desk = Desk::new()
        .guest("greylist")
        .with("own.yaml", format!("grants: {{ kv: {{}} }}\n{PATIENT}"))
        .with("settings.yaml", "wait: 1h\n");
    let named = ["--manifest", "own.yaml", "--settings", "settings.yaml"];
    let session = [
        "--from",
        "bob@shop.example",
        "--client-ip",
        "::ffff:198.51.100.7",
        "--helo",
        "h.example",
    ];
    let told = desk.run("greylist", &[&named[..], &session].concat());
    assert_eq!(told.code, Some(0), "a deferral is no failure: {told:?}");
    assert!(
        told.out
            .contains("\n  said     defer 450 4.7.1 greylisted: please try again in 3600 seconds\n"),
        "{}",
        told.out
    );
    let call = "call     kv.get(\"198.51.100.0 bob@shop.example recipient@example.org\") -> none";
    assert!(told.out.contains(call), "{}", told.out);
    let trusted = desk.run(
        "greylist",
        &[&named[..], &["--auth-user", "ann@example.org"]].concat(),
    );
    assert!(
        trusted
            .out
            .contains("\nrcpt recipient@example.org\n  said     accept\n"),
        "{}",
        trusted.out
    );
    // Without its own file it has no share of the store, and says so in the log.
    let alone = desk.run("greylist", &[]);
    assert!(
        alone
            .out
            .contains("\n  log      warn: greylisting is off for this recipient: not granted\n"),
        "{}",
        alone.out
    );
}

#[test]
fn a_failure_is_shown_with_the_guests_last_words() {
    let desk = Desk::new()
        .guest("hostile")
        .with(
            "trap.yaml",
            format!("settings: {{ at: message, do: trap }}\n{PATIENT}"),
        )
        .with(
            "loop.yaml",
            "settings: { at: rcpt, do: loop }\nlimits: { deadline: 200ms }\nfailure: { rcpt: skip }\n",
        )
        .with(
            "storm.yaml",
            format!("settings: {{ at: mail, do: calls, much: 150 }}\n{PATIENT}"),
        );
    let trapped = desk.run("hostile", &["--manifest", "trap.yaml"]);
    assert_eq!(trapped.code, Some(1), "{trapped:?}");
    assert!(trapped.value("failed").starts_with("trap: "), "{trapped:?}");
    assert!(
        trapped.out.contains("a trap, as the settings say"),
        "{}",
        trapped.out
    );
    assert_eq!(
        trapped.value("comes to"),
        "defer 451 4.7.1 Deferred by policy, try again later"
    );
    assert!(
        trapped.out.contains("\nquota "),
        "the session goes on: {}",
        trapped.out
    );
    let looped = desk.run("hostile", &["--manifest", "loop.yaml"]);
    assert_eq!(looped.code, Some(1), "{looped:?}");
    assert_eq!(
        looped.value("failed"),
        "timeout: no answer within limits.deadline"
    );
    assert_eq!(looped.value("comes to"), "accept");
    let stormed = desk.run("hostile", &["--manifest", "storm.yaml"]);
    assert_eq!(stormed.code, Some(0), "{stormed:?}");
    assert!(
        stormed.out.contains("\n  call     … and 50 more\n"),
        "{}",
        stormed.out
    );
}

#[test]
fn what_cannot_be_run_says_why() {
    let desk = Desk::new()
        .guest("unknown")
        .guest("greylist")
        .with("wrong.yaml", "wait: 3d\nretry: 2d\n")
        .with("bad.yaml", "settings:\n  wait: 5m\n grants: x\n")
        .with("odd.yaml", "enabeld: true\n");
    let told = |guest: &str, more: &[&str], error: &str| {
        let told = desk.run(guest, more);
        assert_eq!((told.code, told.out.as_str()), (Some(1), ""), "{told:?}");
        assert!(told.error.starts_with(&format!("postern: {error}")), "{told:?}");
    };
    told(
        "unknown",
        &[],
        "unknown.wasm: needs postern:unknown 0.1.0 (oracle)",
    );
    told("gone", &[], "gone.wasm: is not there; ");
    told(
        "greylist",
        &["--manifest", "gone.yaml"],
        "gone.yaml: cannot be read: ",
    );
    told(
        "greylist",
        &["--manifest", "odd.yaml"],
        "odd.yaml: enabeld: unknown field `enabeld`",
    );
    told(
        "greylist",
        &["--settings", "gone.yaml"],
        "gone.yaml: cannot be read: ",
    );
    told(
        "greylist",
        &["--settings", "bad.yaml"],
        "bad.yaml is no map of settings: this is not YAML",
    );
    let wrong = "wrong.yaml: settings: wait (3d) must be shorter than retry (2d); mend them there";
    told("greylist", &["--settings", "wrong.yaml"], wrong);
    let gone = desk.plugin(&["run", "greylist.wasm", "--message", "gone.eml"]);
    assert_eq!(gone.code, Some(1), "{gone:?}");
    assert!(
        gone.error.starts_with("postern: gone.eml: cannot be read: "),
        "{gone:?}"
    );
    let misused = desk.run("greylist", &["--to", "ann"]);
    assert_eq!(misused.code, Some(2), "{misused:?}");
    assert!(misused.error.contains("`ann` is no address"), "{misused:?}");
}

/// Cases in the folder of each shipped policy, with the file that is shipped beside it; and those of the cookbook.
#[test]
fn the_shipped_policies_stand_their_own_cases() {
    let plugins = Path::new(env!("CARGO_MANIFEST_DIR")).join("../plugins");
    let mut tried = Vec::new();
    for entry in std::fs::read_dir(&plugins).expect("the policies") {
        let folder = entry.expect("an entry").path();
        let name = folder
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        let own = std::fs::read_dir(&folder).into_iter().flatten().flatten();
        let mut own = own.map(|entry| entry.path());
        let beside = |path: &PathBuf| {
            let file = path
                .file_name()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned();
            file == format!("{name}.yaml") || file.ends_with(&format!("-{name}.yaml"))
        };
        let Some(manifest) = own.find(beside) else {
            continue;
        };
        // No case is about the deadline, and the machine may be busy.
        let manifest = std::fs::read_to_string(&manifest).expect("its file");
        let lines = manifest
            .lines()
            .filter(|line| !line.starts_with("limits: { deadline: "));
        let patient = lines.map(|line| format!("{line}\n")).collect::<String>() + PATIENT;
        let desk = Desk::new().guest(&name).with("own.yaml", patient);
        let (file, cases) = (format!("{name}.wasm"), folder.join("cases"));
        let cases = cases.to_string_lossy();
        let told = desk.plugin(&["test", &file, "--cases", &cases, "--manifest", "own.yaml"]);
        assert_eq!(told.code, Some(0), "{name}: {}{}", told.out, told.error);
        tried.push(name);
    }
    tried.sort();
    assert_eq!(
        tried,
        [
            "aliases",
            "auth-policy",
            "block-attachments",
            "cookbook",
            "dnsbl",
            "domain-quota",
            "greylist",
            "quota-tiers",
            "rate-limit",
            "spam-words",
            "tag-subject",
            "user-rules",
            "vip-router"
        ]
    );
}

/// Two cases of which the second is wrong in every way.
const DIFFERING: &str = "
- name: it is taken
  settings: { report: none, edits: { message: tag odd } }
  message: 'Subject: x'
  ask: message
  expect: { verdict: accept, edits: [ { tag: odd } ], calls: [ config.get, edit.tag ] }
- name: it is refused
  settings: { report: none, edits: { message: tag odd } }
  message: 'Subject: x'
  ask: message
  expect:
    verdict: reject
    reply: { code: 550 }
    edits: [ { tag: even } ]
    log: [ oh ]
    calls: [ kv.get ]
";

#[test]
fn a_case_that_differs_is_shown_and_counted() {
    let desk = Desk::new().guest("probe").with("probe.yaml", PATIENT);
    let told = desk.cases("probe", DIFFERING, &[]);
    assert_eq!(told.code, Some(1), "{told:?}");
    let expected = "\
ok    a.yaml: it is taken
FAIL  a.yaml: it is refused
      verdict
        - reject
        + accept
      reply code
        - 550
        + none
      edits
        - tag even
        + tag odd
      log
        - … oh …
      calls
        - kv.get
";
    assert!(told.out.starts_with(expected), "{}", told.out);
    assert!(told.out.ends_with("\n1 passed, 1 failed\n"), "{}", told.out);
    let one = desk.cases("probe", DIFFERING, &["--filter", "taken"]);
    assert_eq!(
        (one.code, one.out.lines().last()),
        (Some(0), Some("1 passed, 0 failed")),
        "{one:?}"
    );
    let json = desk.cases("probe", DIFFERING, &["--json"]);
    let report = json.json();
    assert_eq!(
        (json.code, &report["passed"], &report["failed"]),
        (Some(1), &1.into(), &1.into())
    );
    assert_eq!(report["cases"][0]["passed"], true);
    let verdict = serde_json::json!({ "what": "verdict", "expected": ["reject"], "said": ["accept"] });
    assert_eq!(report["cases"][1]["differences"][0], verdict);
}

#[test]
fn failures_are_expected_by_name_or_fail_the_case() {
    let desk = Desk::new().guest("hostile").with(
        "hostile.yaml",
        "limits: { deadline: 500ms }\nfailure: { message: reject }\n",
    );
    let cases = "
- name: it traps
  settings: { at: mail, do: trap }
  ask: mail
  expect: { failure: trap, verdict: defer }
- name: it does not end
  settings: { at: connect, do: loop }
  ask: connect
  expect: { failure: timeout }
- name: nobody expects it
  settings: { at: message, do: trap }
  message: 'Subject: x'
  ask: message
  expect: { verdict: reject }
- name: it traps in place of an answer
  settings: { at: validate, do: trap }
  ask: validate
  expect: { valid: false, error: as the settings say }
- name: it is not even loaded
  settings: { at: validate, do: trap }
  ask: mail
  expect: { verdict: accept }
";
    let told = desk.cases("hostile", cases, &[]);
    assert_eq!(told.code, Some(1), "{told:?}");
    let words: Vec<&str> = told
        .out
        .lines()
        .filter(|line| line.contains("a.yaml: "))
        .collect();
    assert_eq!(
        words,
        [
            "ok    a.yaml: it traps",
            "ok    a.yaml: it does not end",
            "FAIL  a.yaml: nobody expects it",
            "FAIL  a.yaml: it traps in place of an answer",
            "FAIL  a.yaml: it is not even loaded",
        ],
        "{}",
        told.out
    );
    assert!(
        told.out
            .contains("      failure\n        - none\n        + trap: "),
        "{}",
        told.out
    );
    assert!(
        told.out
            .contains("        + refused: hostile.wasm: does not run: "),
        "{}",
        told.out
    );
}

#[test]
fn cases_that_cannot_be_tried_say_why() {
    let desk = Desk::new()
        .guest("greylist")
        .guest("unknown")
        .with("empty/README.md", "no case");
    let told = |arguments: &[&str], error: &str| {
        let told = desk.plugin(&[&["test"], arguments].concat());
        assert_eq!((told.code, told.out.as_str()), (Some(1), ""), "{told:?}");
        assert!(told.error.starts_with(&format!("postern: {error}")), "{told:?}");
    };
    told(
        &["greylist.wasm", "--cases", "empty"],
        "there are no cases in empty; write one, NAME.yaml",
    );
    told(
        &["greylist.wasm", "--cases", "gone"],
        "cannot read the folder of cases gone: ",
    );
    let desk = desk
        .with(
            "odd/a.yaml",
            "name: a\nask: mail\nexpect:\n  verdict: accept\n  rely: { code: 1 }\n",
        )
        .with("odd/b.yaml", "nam: b\n")
        .with("good/a.yaml", "name: a\nask: mail\nexpect: { verdict: accept }\n")
        .with(
            "kv/a.yaml",
            "name: a\nkv: { x: y }\nask: { rcpt: a@example.org }\nexpect: { verdict: accept }\n",
        );
    let told = |arguments: &[&str]| desk.plugin(&[&["test"], arguments].concat());
    let odd = told(&["greylist.wasm", "--cases", "odd"]);
    assert_eq!((odd.code, odd.out.as_str()), (Some(1), ""), "{odd:?}");
    let lines: Vec<&str> = odd.error.lines().collect();
    assert!(
        lines[0].starts_with("postern: odd/a.yaml: expect.rely: unknown field `rely`"),
        "{odd:?}"
    );
    assert!(lines[0].ends_with("(line 5)"), "{odd:?}");
    assert!(
        lines
            .iter()
            .any(|line| line.starts_with("odd/b.yaml: nam: unknown field `nam`")),
        "{odd:?}"
    );
    let filtered = told(&["greylist.wasm", "--cases", "good", "--filter", "z"]);
    assert!(
        filtered
            .error
            .starts_with("postern: no case in good has `z` in its name"),
        "{filtered:?}"
    );
    let refused = told(&["unknown.wasm", "--cases", "good"]);
    assert_eq!(refused.code, Some(1));
    assert!(
        refused.out.contains("needs postern:unknown 0.1.0 (oracle)"),
        "{refused:?}"
    );
    let other = told(&["greylist.wasm", "--cases", "good"]);
    assert_eq!(other.code, Some(1));
    assert!(
        other
            .out
            .contains("      ask\n        - mail\n        + this component answers rcpt, validate\n"),
        "{other:?}"
    );
    let kv = told(&["greylist.wasm", "--cases", "kv"]);
    assert!(
        kv.out
            .contains("has no share of the store that could hold anything"),
        "{kv:?}"
    );
}

#[test]
fn cases_lie_beside_the_component_or_are_named() {
    let desk = Desk::new().guest("greylist");
    let missing = desk.plugin(&["test", "greylist.wasm"]);
    assert!(
        missing
            .error
            .starts_with("postern: cannot read the folder of cases cases: "),
        "{missing:?}"
    );
    let case = "name: it passes\nask: validate\nexpect: { valid: true }\n";
    let desk = desk.with("cases/a.yaml", case).with("cases/b.yaml", case);
    let beside = desk.plugin(&["test", "greylist.wasm"]);
    assert!(beside.out.ends_with("\n2 passed, 0 failed\n"), "{beside:?}");
    let one = desk.plugin(&["test", "greylist.wasm", "--cases", "cases/a.yaml"]);
    assert_eq!(one.out, "ok    a.yaml: it passes\n1 passed, 0 failed\n");
}

#[test]
fn a_case_has_a_directory_and_hosts_that_answer() {
    let grants = "grants: { directory: {}, http: { hosts: [a.example] } }\n";
    let desk = Desk::new()
        .guest("probe")
        .with("probe.yaml", format!("{PATIENT}{grants}"));
    let case = |url: &str| {
        format!(
            "name: known
settings: {{ url: \"{url}\" }}
directory:
  domains: [example.org]
  mailboxes: {{ ann@example.org: ann@example.org }}
  aliases: {{ info@example.org: [ann@example.org] }}
  attributes: {{ ann@example.org: {{ quota-bytes: 1024 }} }}
http:
  - {{ url: \"https://a.example/x\", status: 202, body: yes }}
message: \"Subject: x\\n\\ntext\\n\"
ask: message
expect: {{ verdict: accept, edits: [], calls: [ 'directory.mailbox-of(\"ann@example.org\")', http.send ] }}
"
        )
    };
    let told = desk.cases("probe", &case("https://a.example/x"), &[]);
    for line in [
        "directory.is-local-domain=Ok(true)",
        "directory.mailbox-of=Ok(Some(\"ann@example.org\"))",
        "directory.aliases-of=Ok([\"ann@example.org\"])",
        "directory.attribute=Ok(Some(\"1024\"))",
        "http.send=Ok(202)",
    ] {
        assert!(
            told.out.contains(&format!("+ add-header X-Probe: {line}")),
            "{line}: {told:?}"
        );
    }
    assert!(!told.out.contains("calls"), "both were made: {told:?}");
    let told = desk.cases("probe", &case("https://a.example/y"), &[]);
    let error = "http.send=Err(\"no answer is written for GET https://a.example/y\")";
    assert!(told.out.contains(error), "{told:?}");
}

#[test]
fn what_a_case_gives_must_have_been_granted() {
    let desk = Desk::new().guest("probe").with("probe.yaml", PATIENT);
    for (given, mend) in [
        (
            "directory: { domains: [example.org] }",
            "cannot ask a directory; grant it directory",
        ),
        (
            "http: [ { url: \"https://a.example/\" } ]",
            "cannot send a request that would be answered; grant it http",
        ),
    ] {
        let case = format!("name: x\n{given}\nask: connect\nexpect: {{ verdict: accept }}\n");
        let told = desk.cases("probe", &case, &[]);
        assert!(told.out.contains(mend) && told.code == Some(1), "{told:?}");
    }
}

/// A pipe in place of each file that is named held the command up for ever.
#[test]
fn a_pipe_is_refused_and_not_waited_for() {
    let desk = Desk::new().guest("greylist").with("m.eml", MESSAGE);
    let made = Command::new("mkfifo")
        .arg(desk.path("pipe"))
        .status()
        .expect("mkfifo");
    assert!(made.success());
    std::fs::create_dir(desk.path("piped")).expect("a folder");
    std::fs::rename(desk.path("pipe"), desk.path("piped/a.yaml")).expect("the pipe in its place");
    let pipe = "piped/a.yaml";
    for arguments in [
        &["inspect", pipe][..],
        &["run", pipe, "--message", "m.eml"],
        &["run", "greylist.wasm", "--message", pipe],
        &["run", "greylist.wasm", "--message", "m.eml", "--manifest", pipe],
        &["run", "greylist.wasm", "--message", "m.eml", "--settings", pipe],
        &["test", "greylist.wasm", "--cases", "piped"],
        &["bench", "greylist.wasm", "--message", pipe],
    ] {
        let told = desk.plugin(arguments);
        assert_eq!(told.code, Some(1), "{told:?}");
        assert!(told.error.contains("piped/a.yaml: is no file"), "{told:?}");
        assert_eq!(told.error.lines().count(), 1, "{told:?}");
    }
}

#[test]
fn cases_that_are_refused_are_told_in_json_too_and_once_each() {
    let desk = Desk::new().guest("greylist");
    let told = desk.cases(
        "greylist",
        "name: a\nask: rctp\nexpect: { verdict: accept }\n",
        &["--json"],
    );
    assert_eq!(told.code, Some(1), "{told:?}");
    let report = told.json();
    let faults = report["faults"].as_array().expect("a list");
    assert_eq!(faults.len(), 1, "{report}");
    let fault = faults[0].as_str().expect("a line");
    assert!(
        fault.starts_with("cases/a.yaml: ask: unknown variant `rctp`"),
        "{fault}"
    );
    assert_eq!((&report["passed"], &report["failed"]), (&0.into(), &0.into()));
    let lines = desk
        .cases("greylist", "- name: a\n  ask: { rctp: x }\n", &[])
        .error;
    assert!(lines.contains("[0].ask: unknown variant `rctp`"), "{lines}");
    assert!(!lines.contains("ask: missing"), "{lines}");
}

#[test]
fn long_arguments_of_calls_are_compared_whole() {
    let desk = Desk::new().guest("probe").with("probe.yaml", PATIENT);
    let value = "x".repeat(200);
    let case = |expected: &str| {
        format!(
            "name: a\nsettings: {{ report: none, edits: {{ message: \"tag {value}\" }} }}\nmessage: x\nask: message\n\
             expect: {{ verdict: accept, calls: ['edit.tag(\"{expected}\")'] }}\n"
        )
    };
    let whole = desk.cases("probe", &case(&value), &[]);
    assert_eq!(whole.code, Some(0), "{whole:?}");
    let other = desk.cases("probe", &case(&format!("{}y", "x".repeat(199))), &[]);
    assert_eq!(other.code, Some(1), "{other:?}");
}

#[test]
fn quota_is_asked_of_the_mailboxes_that_a_route_leads_to() {
    let asked = |route: &str| -> Vec<String> {
        let settings = format!("settings: {{ report: none, route: {route} }}\n{PATIENT}");
        let desk = Desk::new().guest("probe").with("probe.yaml", settings);
        let told = desk.run("probe", &["--to", "ann@example.org"]);
        assert_eq!(told.code, Some(0), "{told:?}");
        let titles = told.out.lines().filter_map(|line| line.strip_prefix("quota "));
        titles
            .map(|title| title.split(',').next().unwrap_or_default().to_owned())
            .collect()
    };
    assert_eq!(asked("pass"), ["ann@example.org"]);
    assert_eq!(asked("local bob@example.org"), ["bob@example.org"]);
    assert_eq!(
        asked("rewrite bob@example.org eve@example.org"),
        ["bob@example.org", "eve@example.org"]
    );
    for nowhere in ["discard", "reject", "defer"] {
        assert_eq!(asked(nowhere), Vec::<String>::new(), "{nowhere}");
    }
}

#[test]
fn a_bench_measures_each_question_that_is_answered() {
    let desk = Desk::new()
        .guest("greylist")
        .with("greylist.yaml", format!("grants: {{ kv: {{}} }}\n{PATIENT}"));
    let told = desk.plugin(&["bench", "greylist.wasm", "--calls", "5", "--json"]);
    assert_eq!(told.code, Some(0), "{told:?}");
    let found = told.json();
    let questions = found["questions"].as_array().expect("a list");
    assert_eq!(questions.len(), 1, "{found}");
    let rcpt = &questions[0];
    assert_eq!(
        (&rcpt["question"], &rcpt["instance"], &rcpt["calls"]),
        (&"rcpt".into(), &"fresh".into(), &5.into())
    );
    let number = |key: &str| rcpt[key].as_f64().expect("a number");
    assert!(
        number("p50_ms") > 0.0 && number("p50_ms") <= number("p99_ms"),
        "{rcpt}"
    );
    assert!(
        number("p99_ms") <= number("max_ms") && number("host_calls") >= 1.0,
        "{rcpt}"
    );
    let octets = std::fs::metadata(desk.path("greylist.wasm"))
        .expect("the component")
        .len();
    assert_eq!(found["bytes"], octets);
    assert!(
        found["memory_peak"].as_u64() > Some(64 << 10) && found["compile_ms"].as_f64() > Some(0.0),
        "{found}"
    );
    let table = desk.plugin(&["bench", "greylist.wasm", "--calls", "5"]);
    assert!(
        table.out.lines().any(|line| line.starts_with("rcpt      fresh")),
        "{table:?}"
    );
    assert_eq!(
        desk.plugin(&["bench", "greylist.wasm", "--calls", "0"]).code,
        Some(2)
    );
    let reusing = desk.with(
        "greylist.yaml",
        format!("grants: {{ kv: {{}} }}\nreuse: {{}}\n{PATIENT}"),
    );
    let found = reusing
        .plugin(&["bench", "greylist.wasm", "--calls", "5", "--json"])
        .json();
    let questions = found["questions"].as_array().expect("a list");
    let instances: Vec<_> = questions.iter().map(|row| &row["instance"]).collect();
    assert_eq!(instances, ["fresh", "reused"], "{found}");
    assert!(questions.iter().all(|row| row["question"] == "rcpt"), "{found}");
    let failing = Desk::new().guest("hostile").with(
        "hostile.yaml",
        format!("settings: {{ at: mail, do: trap }}\n{PATIENT}"),
    );
    let told = failing.plugin(&["bench", "hostile.wasm", "--calls", "2"]);
    assert_eq!(told.code, Some(1), "{told:?}");
}

/// Ten messages in a folder, two of which have an attachment that is refused.
fn mailed(desk: Desk) -> Desk {
    (0..10).fold(desk, |desk, place| {
        let file = match place {
            3 | 7 => "setup.exe",
            _ => "notes.txt",
        };
        desk.with(
            &format!("mail/{place}.eml"),
            format!(
                "Return-Path: <bob@shop.example>\nDelivered-To: ann@example.org\nMIME-Version: 1.0\n\
                 Content-Type: application/octet-stream\n\
                 Content-Disposition: attachment; filename=\"{file}\"\n\nx\n"
            ),
        )
    })
}

#[test]
fn a_replay_counts_what_a_candidate_would_judge_otherwise() {
    let desk = mailed(Desk::new().guest("block-attachments"))
        .with("block-attachments.yaml", PATIENT)
        .with(
            "postern.yaml",
            concat!(
                "hostname: a.example\npostmaster: a@b.example\npolicy: { folder: plugins.d }\n",
                "listeners: [ { role: mx, address: \"127.0.0.1:0\" } ]\n"
            ),
        )
        .with(
            "plugins.d/20-block-attachments.yaml",
            format!("settings: {{ action: quarantine }}\n{PATIENT}"),
        );
    let active = desk.path("plugins.d/20-block-attachments.wasm");
    std::fs::copy(desk.path("block-attachments.wasm"), active).expect("the policy in force");
    let replay = |more: &[&str]| {
        let usual = [
            "replay",
            "block-attachments.wasm",
            "--from",
            "mail",
            "--config",
            "postern.yaml",
        ];
        desk.plugin(&[&usual, more].concat())
    };
    let told = replay(&["--against", "active"]);
    assert_eq!(told.code, Some(0), "{told:?}");
    assert!(
        told.out
            .contains("\n10 messages, 10 compared: 2 would be judged otherwise (20.00 %); 0 calls failed\n"),
        "{}",
        told.out
    );
    let change = "message: quarantine -> reject  2\n  3.eml  reject 550 5.7.1 the attachment \"setup.exe\"";
    assert!(told.out.contains(change), "{}", told.out);
    assert_eq!(
        replay(&["--against", "active", "--max-changed", "20%"]).code,
        Some(0)
    );
    assert_eq!(
        replay(&["--against", "active", "--max-changed", "19%"]).code,
        Some(1)
    );
    let report = replay(&["--against", "active", "--json"]).json();
    assert_eq!(
        (&report["changed"], &report["changes"][0]["first"][1]["id"]),
        (&2.into(), &"7.eml".into())
    );
    assert_eq!(report["against"]["name"], "20-block-attachments");
    // Collected mail has no record of what was said then.
    let alone = replay(&[]);
    assert_eq!(alone.code, Some(0), "{alone:?}");
    assert!(
        alone.out.contains("10 messages, 0 compared: 0 would"),
        "{}",
        alone.out
    );
    assert_eq!(replay(&["--max-changed", "100%"]).code, Some(1), "nobody knows");
    let none = desk.plugin(&["replay", "block-attachments.wasm", "--from", "plugins.d"]);
    assert!(
        none.error.starts_with("postern: there is no mail to replay"),
        "{none:?}"
    );
    let other = Desk::new().guest("greylist").with("mail/1.eml", "x");
    let told = other.plugin(&["replay", "greylist.wasm", "--from", "mail", "--against", "active"]);
    let mend = "no configuration here: name one with --config FILE or POSTERN_CONFIG";
    assert!(told.error.contains(mend), "{told:?}");
}

/// Where the store of a configuration is that says nothing of it.
fn stored(desk: &Desk) -> Arc<EmbeddedStore> {
    EmbeddedStore::open(desk.path("state/store"), Options::default()).expect("a store")
}

#[test]
fn a_replay_finds_what_the_store_holds_for_the_policy_and_leaves_it_so() {
    const WAITS: &str = "settings: { wait: 1d }\ngrants: { kv: {} }\nlimits: { deadline: 30s }\n";
    let desk = mailed(Desk::new().guest("greylist"))
        .with("greylist.yaml", WAITS.replace("1d", "5m"))
        .with("plugins.d/20-greylist.yaml", WAITS)
        .with(
            "postern.yaml",
            concat!(
                "hostname: a.example\npostmaster: a@b.example\npolicy: { folder: plugins.d }\nstate: state\n",
                "listeners: [ { role: mx, address: \"127.0.0.1:0\" } ]\n"
            ),
        );
    let active = desk.path("plugins.d/20-greylist.wasm");
    std::fs::copy(desk.path("greylist.wasm"), active).expect("the policy in force");
    let replay = || {
        let told = desk.plugin(&[
            "replay",
            "greylist.wasm",
            "--from",
            "mail",
            "--config",
            "postern.yaml",
            "--against",
            "active",
            "--json",
        ]);
        assert_eq!(told.code, Some(0), "{told:?}");
        let report = told.json();
        let kv = report["kv"].as_str().expect("a line of kv").to_owned();
        (report["changed"].as_u64(), kv)
    };
    assert_eq!(
        replay(),
        (Some(0), "begins empty: there is no store yet".to_owned())
    );
    assert!(!desk.path("state").exists(), "none is made for it");

    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("a time");
    // Tried ten minutes ago: whoever waits five lets it in, and writes that it is known.
    let tried = [b"t", &(now.as_secs() - 600).to_be_bytes()[..]].concat();
    let key = "192.0.2.0 bob@shop.example ann@example.org";
    let millis = u64::try_from(now.as_millis()).expect("this age");
    let write = KvWrite {
        value: tried.clone().into(),
        ttl: 0,
        now: millis,
        quota: 1 << 20,
    };
    let store = stored(&desk);
    runtime
        .block_on(store.kv_set("greylist", key, write))
        .expect("a value");
    drop(store);
    for _ in 0..2 {
        let expected = "begins with what greylist holds in the store now";
        assert_eq!(replay(), (Some(10), expected.to_owned()));
    }
    let store = stored(&desk);
    let held = runtime.block_on(store.kv_get("greylist", key, millis));
    assert_eq!(held.expect("a value").as_deref(), Some(&*tried));

    let alone = Desk::new().guest("greylist").with("greylist.yaml", WAITS);
    let told = mailed(alone).plugin(&["replay", "greylist.wasm", "--from", "mail"]);
    let line = "\nkv        begins empty: no configuration here names a store\n";
    assert!(told.out.contains(line), "{told:?}");
}

#[test]
fn a_replay_passes_over_what_cannot_be_read() {
    let desk = mailed(Desk::new().guest("block-attachments")).with("block-attachments.yaml", PATIENT);
    for odd in ["mail/odd.eml", "odd/1.eml"] {
        std::fs::create_dir_all(desk.path(odd)).expect("a folder");
    }
    let replay = |from: &str| desk.plugin(&["replay", "block-attachments.wasm", "--from", from]);
    let told = replay("mail");
    assert_eq!(told.code, Some(0), "{told:?}");
    assert!(
        told.out.contains("\n10 messages, 0 compared: 0 would")
            && told.out.contains("\n1 more could not be read; the first: "),
        "{}",
        told.out
    );
    let none = replay("odd");
    let why = "postern: none of 1 messages could be read: ";
    assert!(none.code == Some(1) && none.error.starts_with(why), "{none:?}");
}
