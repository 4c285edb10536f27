//! `postern plugin new` and `build` with the real tools of five languages: each project builds, loads and stands its
//! cases, the same filter in all of them says the same about the same odd mail, and what is granted by name answers
//! with its grant and not without.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test fails by panicking, and prints what it measured"
)]

#[path = "languages/corpus.rs"]
mod corpus;
#[path = "languages/exports.rs"]
mod exports;
#[path = "folder.rs"]
#[allow(dead_code, reason = "what other tests need of it")]
mod folder;
#[path = "languages/grants.rs"]
mod grants;
#[path = "languages/reused.rs"]
mod reused;
#[path = "languages/scanner.rs"]
mod scanner;
#[path = "../support/toolchains.rs"]
mod toolchains;

use folder::{Folder, Mail, answers, facts, load_compiled};
use postern::config::PolicyLimits;
use postern::policy::{Decision, Edit, Facts, Policies, Verdict};
use postern::store::memory::MemoryStore;
use sha2::{Digest as _, Sha256};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Instant;
use tempfile::TempDir;

const POSTERN: &str = env!("CARGO_BIN_EXE_postern");
const LANGUAGES: [&str; 5] = ["rust", "go", "js", "python", "c"];
/// Longer than any call takes on a busy machine.
const PATIENT: &str = "limits: { deadline: 60s }\n";

/// `postern …` there: its standard output. What it compiles outlives the test.
fn postern(folder: &Path, arguments: &[&str]) -> String {
    let mut command = Command::new(POSTERN);
    command.env("XDG_CACHE_HOME", toolchains::cache().join("commands"));
    told(&mut command, folder, arguments).unwrap_or_else(|error| panic!("{error}"))
}

fn told(command: &mut Command, folder: &Path, arguments: &[&str]) -> Result<String, String> {
    command
        .current_dir(folder)
        .env_remove("POSTERN_CONFIG")
        .args(arguments);
    let Output {
        status,
        stdout,
        stderr,
    } = command.output().expect("a process");
    let (out, error) = (String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
    match status.success() {
        true => Ok(out.into_owned()),
        false => Err(format!("{command:?}: {status}\n{out}{error}")),
    }
}

/// A project that was begun with `new`, or nothing where the language's tools are missing.
struct Project {
    language: &'static str,
    name: &'static str,
    desk: TempDir,
    tools: toolchains::Toolchain,
}

impl Project {
    fn new(name: &'static str, language: &'static str, kind: &str) -> Option<Self> {
        let tools = toolchains::of(language)?;
        let desk = TempDir::new().expect("a folder");
        postern(
            desk.path(),
            &["plugin", "new", name, "--lang", language, "--kind", kind],
        );
        Some(Self {
            language,
            name,
            desk,
            tools,
        })
    }

    fn folder(&self) -> PathBuf {
        self.desk.path().join(self.name)
    }

    fn component(&self) -> PathBuf {
        self.folder().join(format!("60-{}.wasm", self.name))
    }

    /// `postern plugin build`, unless the same project was built by the same program before. Answers where the
    /// component outlives the project.
    fn build(&self) -> PathBuf {
        let kept = toolchains::cache().join(format!("built/{}.wasm", self.digest()));
        fs::create_dir_all(kept.parent().expect("a folder")).expect("a folder");
        // Who asks for the same at the same time waits.
        let lock = File::create(kept.with_file_name(format!("{}.lock", self.language))).expect("a lock file");
        lock.lock().expect("the lock");
        if kept.exists() {
            fs::copy(&kept, self.component()).expect("the component");
            return kept;
        }
        self.tools.lend(&self.folder());
        let began = Instant::now();
        let mut build = Command::new(POSTERN);
        self.tools.environment(&mut build);
        let said = told(&mut build, &self.folder(), &["plugin", "build"]);
        let said = said.unwrap_or_else(|error| panic!("{error}"));
        let next = format!(
            "Next:\n  postern plugin test 60-{0}.wasm --cases cases\n",
            self.name
        );
        let has = format!("60-{}.wasm has ", self.name);
        assert!(said.starts_with(&has) && said.ends_with(&next), "{said}");
        println!(
            "{} {}: built in {:.1} s",
            self.language,
            self.name,
            began.elapsed().as_secs_f32()
        );
        let aside = kept.with_extension("new");
        fs::copy(self.component(), &aside)
            .and_then(|_| fs::rename(&aside, &kept))
            .expect("room");
        kept
    }

    /// Of all that a build depends on: the project's files, the language's tools, and this program's way to build.
    fn digest(&self) -> String {
        let host = Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut files = Vec::new();
        walk(&self.folder(), &mut files);
        walk(&host.join("src/cli/plugin/build"), &mut files);
        files.push(host.join("src/cli/plugin/build.rs"));
        files.push(host.join("src/policy/load/stand/probe.rs"));
        let mut hasher =
            Sha256::new_with_prefix(fs::read(host.join("../Cargo.lock")).expect("the lock file"));
        hasher.update(self.tools.versions());
        for file in files {
            hasher.update(file.file_name().unwrap_or_default().to_string_lossy().as_bytes());
            hasher.update(Sha256::digest(fs::read(&file).expect("a file")));
        }
        hasher
            .finalize()
            .iter()
            .take(12)
            .map(|octet| format!("{octet:02x}"))
            .collect()
    }
}

fn walk(folder: &Path, files: &mut Vec<PathBuf>) {
    let entries = fs::read_dir(folder)
        .expect("a folder")
        .map(|entry| entry.expect("an entry").path());
    let mut entries: Vec<PathBuf> = entries.collect();
    entries.sort();
    for entry in entries {
        match entry.is_dir() {
            true => walk(&entry, files),
            false => files.push(entry),
        }
    }
}

/// One language: a project of each kind builds, loads and stands the cases that it begins with.
fn begins(language: &'static str) {
    for kind in ["filter", "router", "quota"] {
        let Some(project) = Project::new("sample", language, kind) else {
            return;
        };
        project.build();
        let component = project.component();
        let file = component.to_string_lossy();
        let folder = project.folder();
        // What is inspected is compiled as what is tested is, and for Python that takes long: it is loaded below.
        if language != "python" {
            let told = postern(&folder, &["plugin", "inspect", &file]);
            assert!(told.lines().any(|line| line == "loads       yes"), "{told}");
            let validated = |line: &str| line.starts_with("answers ") && line.ends_with(", validate");
            assert!(told.lines().any(validated), "{told}");
        }
        let yaml = folder.join("60-sample.yaml");
        let manifest = fs::read_to_string(&yaml).expect("its settings") + PATIENT;
        fs::write(&yaml, manifest).expect("room");
        let told = postern(&folder, &["plugin", "test", &file, "--cases", "cases"]);
        assert!(told.ends_with(" passed, 0 failed\n"), "{told}");
    }
}

#[test]
fn rust_begins() {
    begins("rust");
}

#[test]
fn go_begins() {
    begins("go");
}

#[test]
fn js_begins() {
    begins("js");
}

#[test]
fn python_begins() {
    begins("python");
}

#[test]
fn c_begins() {
    begins("c");
}

/// The filter of each language that has its tools here, under one name, built once.
fn filter(language: &'static str) -> Option<&'static Path> {
    static BUILT: [OnceLock<Option<PathBuf>>; LANGUAGES.len()] = [const { OnceLock::new() }; LANGUAGES.len()];
    let at = LANGUAGES
        .iter()
        .position(|known| *known == language)
        .expect("a language");
    let built = BUILT[at].get_or_init(|| {
        let project = Project::new("sample", language, "filter")?;
        Some(project.build())
    });
    built.as_deref()
}

/// A component loaded as a gateway loads it, with a store of its own. What was compiled is kept for the next run.
async fn loaded(component: &Path, language: &str, manifest: &str) -> Arc<Policies> {
    let folder = Folder::new().with_file("60-sample", component, manifest);
    let compiled = toolchains::cache().join(format!("compiled-{language}"));
    let store = Arc::new(MemoryStore::new());
    let policies = load_compiled(&compiled, PolicyLimits::default(), &folder, store).await;
    assert_eq!(answers(&policies, "60-sample"), ["message", "validate"]);
    policies
}

/// What a client would hear, and what became of the message.
fn said(decision: &Decision) -> String {
    format!("{:?} {:?}", decision.verdict, decision.edits)
}

/// Each message in turn, with and without the grant to count.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_policy_says_the_same_in_all_languages() {
    let settings = format!(
        "settings: {{ phrase: WIRE the Geld für, hourly: {} }}\n",
        corpus::hourly()
    );
    let mut first: Option<(&str, Vec<String>)> = None;
    for language in LANGUAGES {
        let Some(component) = filter(language) else {
            continue;
        };
        let mut all = Vec::new();
        for grants in ["grants: { kv: { bytes: 1MiB } }\n", ""] {
            let manifest = format!("{settings}{grants}{PATIENT}");
            let policies = loaded(component, language, &manifest).await;
            for letter in corpus::letters() {
                let facts = Facts {
                    mail_from: letter.from.to_owned(),
                    ..facts()
                };
                let decision = policies.message(&facts, Mail::new(&letter.octets), &[]).await;
                all.push(format!("{}: {}", letter.name, said(&decision)));
            }
        }
        match &first {
            None => first = Some((language, all)),
            Some((other, expected)) => {
                for (said, expected) in all.iter().zip(expected) {
                    assert_eq!(said, expected, "{language} beside {other}");
                }
                assert_eq!(all.len(), expected.len());
            }
        }
    }
    let (_, all) = first.expect("Rust is always here");
    corpus::check(&all);
}

/// The Go template with another policy in it.
fn stress() -> Option<PathBuf> {
    static BUILT: Mutex<Option<PathBuf>> = Mutex::new(None);
    let mut built = BUILT.lock().expect("the lock");
    if built.is_none() {
        let project = Project::new("stress", "go", "filter")?;
        let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/guests/go/stress.go");
        fs::copy(own, project.folder().join("policy/policy.go")).expect("the policy");
        *built = Some(project.build());
    }
    built.clone()
}

/// Go's collector runs while the host answers, and once it is asked for more than there is: once it trapped
/// (`cannot leave component instance`) when a call had read 8 MB.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn go_stands_what_its_collector_does() {
    let Some(component) = stress() else { return };
    let large = corpus::large(100_000_000);
    let sum: u64 = large.iter().map(|octet| u64::from(*octet)).sum();
    let fields = corpus::many_fields(5 << 20);
    let plain = b"Subject: hello\r\n\r\nhello\r\n".to_vec();
    for (deed, message, expected) in [
        ("read", &large, format!("{} octets, sum {sum}", large.len())),
        ("garbage", &plain, "232".to_owned()),
        ("headers", &fields.octets, format!("{} octets", fields.values)),
        ("values", &plain, "50 values".to_owned()),
    ] {
        let manifest = format!("settings: {{ do: {deed} }}\ngrants: {{ kv: {{ bytes: 4MiB }} }}\n{PATIENT}");
        let policies = loaded(&component, "go-stress", &manifest).await;
        let began = Instant::now();
        let decision = policies.message(&facts(), Mail::new(message), &[]).await;
        println!("{deed}: {:.1} s", began.elapsed().as_secs_f32());
        let [Edit::AddHeader { value, .. }] = decision.edits.as_slice() else {
            panic!("{deed}: {decision:?}");
        };
        assert_eq!(
            (value.as_str(), &decision.verdict),
            (expected.as_str(), &Verdict::Accept),
            "{deed}"
        );
    }
}

/// An instance that is used again and again does not grow, and does not fail: once it did in its 469th call.
#[test]
fn go_is_called_a_hundred_thousand_times() {
    let Some(component) = stress() else { return };
    let mut instance = reused::Reused::new(&component);
    instance.call(1_000);
    let warm = instance.memory();
    instance.call(99_000);
    // Go's heap grows in steps of up to 4 MiB; a piece of each answer that was kept would be gigabytes.
    let now = instance.memory();
    assert!(
        now <= warm + (4 << 20),
        "{warm} octets of memory after 1,000 calls, {now} after 100,000"
    );
}
