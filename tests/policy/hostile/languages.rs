//! Hostile guests in Python and JavaScript, built by these languages' own tools. Their engines have bounds of
//! their own (recursion, length of a string); whichever is met first, it costs one call.

use super::{Folder, IN_TIME, load, timed, toolchains};
use sha2::{Digest as _, Sha256};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

const DEEDS: [&str; 6] = ["loop", "grow", "recurse", "logs", "huge", "trap"];

/// The component in that language, or nothing where its tools are missing.
fn component(language: &str, guest: &str, source: &str, build: &[&str]) -> Option<PathBuf> {
    let tools = toolchains::of(language)?;
    let top = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let guest = top.join("tests/guests").join(guest);
    let contract = ["types", "questions", "capabilities", "worlds"].map(|name| format!("{name}.wit"));
    let mut digest = Sha256::new_with_prefix(build.join(" "));
    digest.update(tools.versions());
    for file in [guest.join(source), guest.join("plugin.wit")] {
        digest.update(fs::read(file).expect("a source"));
    }
    for name in &contract {
        digest.update(fs::read(top.join("wit").join(name)).expect("the contract"));
    }
    let digest: String = digest
        .finalize()
        .iter()
        .take(12)
        .map(|octet| format!("{octet:02x}"))
        .collect();
    let kept = toolchains::cache().join(format!("hostile-{language}-{digest}.wasm"));
    if !kept.exists() {
        let desk = tempfile::TempDir::new().expect("a folder");
        let contracts = desk.path().join("wit/deps/postern-policy");
        fs::create_dir_all(&contracts).expect("a folder");
        for name in &contract {
            fs::copy(top.join("wit").join(name), contracts.join(name)).expect("the contract");
        }
        fs::copy(guest.join("plugin.wit"), desk.path().join("wit/plugin.wit")).expect("its world");
        fs::copy(guest.join(source), desk.path().join(source)).expect("its source");
        tools.lend(desk.path());
        let mut command = Command::new(desk.path().join(build[0]));
        command.args(&build[1..]).current_dir(desk.path());
        tools.environment(&mut command);
        let built = command.output().expect("a process");
        assert!(
            built.status.success(),
            "{command:?}: {}",
            String::from_utf8_lossy(&built.stderr)
        );
        // Nobody sees half a component.
        let aside = kept.with_extension(std::process::id().to_string());
        fs::copy(desk.path().join("hostile.wasm"), &aside).expect("room");
        fs::rename(&aside, &kept).expect("a component in its place");
    }
    Some(kept)
}

/// Each deed: the call is deferred in time, and the question beside it is answered as before.
async fn cost_their_own_calls(component: &Path) {
    // One folder has it compiled for all deeds.
    let folder = Folder::new().with_file("10-hostile", component, "");
    for deed in DEEDS {
        let manifest = format!("settings: {{ do: {deed} }}\nlimits: {{ deadline: 3s }}\n");
        fs::write(folder.path().join("10-hostile.yaml"), manifest).expect("its manifest");
        let policies = load(&folder).await;
        assert_eq!(
            super::answers(&policies, "10-hostile"),
            ["connect", "mail"],
            "{deed}"
        );
        let (answer, took) = timed(&policies, "mail").await;
        assert_eq!(answer, "defer", "`{deed}`, after {took:?}");
        assert!(took < IN_TIME, "{took:?}");
        println!("{deed}: ended after {} ms", took.as_millis());
        assert_eq!(timed(&policies, "connect").await.0, "accept", "beside `{deed}`");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_python_costs_its_own_calls() {
    let build = [
        ".venv/bin/componentize-py",
        "--wit-path",
        "wit",
        "--world",
        "plugin",
        "componentize",
        "policy",
        "--output",
        "hostile.wasm",
    ];
    if let Some(component) = component("python", "hostile-py", "policy.py", &build) {
        cost_their_own_calls(&component).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_javascript_costs_its_own_calls() {
    let build = [
        "node_modules/.bin/componentize-qjs",
        "--sync",
        "--wit",
        "wit",
        "--world",
        "plugin",
        "--js",
        "policy.js",
        "--output",
        "hostile.wasm",
    ];
    if let Some(component) = component("js", "hostile-js", "policy.js", &build) {
        cost_their_own_calls(&component).await;
    }
}
