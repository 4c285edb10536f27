//! Guests for tests, built when they are first asked for and then kept by the digest of their sources.
//!
//! `build("hostile")` answers the path of a component. A name is looked for in `tests/guests/wat` (assembled
//! here), `tests/guests` and `plugins` (both built by cargo for wasm32-wasip2, in release as they are
//! shipped). What was built lies in `POSTERN_GUEST_CACHE`, else in cargo's folder for tests; a file lock
//! lets tests of several processes ask at the same time.

use sha2::{Digest as _, Sha256};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

const TARGET: &str = "wasm32-wasip2";

/// The component of that name, built if need be.
pub(crate) fn build(name: &str) -> PathBuf {
    let text = root().join(format!("tests/guests/wat/{name}.wat"));
    if text.exists() {
        return assembled(name, &text);
    }
    let workspace = ["tests/guests", "plugins"].map(|folder| root().join(folder));
    let workspace = workspace.iter().find(|folder| folder.join(name).is_dir());
    let workspace = workspace.unwrap_or_else(|| panic!("there is no guest `{name}`"));
    let kept = cache().join(digest(&[workspace, &root().join("wit")]));
    let file = kept.join(format!("{}.wasm", name.replace('-', "_")));
    if !file.exists() {
        let lock = File::create(cache().join("lock")).expect("a lock file");
        lock.lock().expect("the lock");
        // Another process may have built it while this one waited.
        if !file.exists() {
            compile(workspace, &kept);
        }
    }
    assert!(file.exists(), "{} was not built", file.display());
    file
}

fn root() -> PathBuf {
    let host = Path::new(env!("CARGO_MANIFEST_DIR"));
    host.parent().expect("the top of the checkout").to_owned()
}

fn cache() -> PathBuf {
    let own = || Path::new(env!("CARGO_TARGET_TMPDIR")).join("guests");
    let folder = std::env::var_os("POSTERN_GUEST_CACHE").map_or_else(own, PathBuf::from);
    fs::create_dir_all(&folder).expect("a folder for guests");
    folder
}

fn assembled(name: &str, text: &Path) -> PathBuf {
    let octets = wat::parse_file(text).unwrap_or_else(|error| panic!("{error}"));
    let digest = short(&Sha256::digest(&octets));
    place(&cache().join(format!("{name}-{digest}.wasm")), &octets)
}

/// Writes aside and renames: nobody sees half a component.
fn place(file: &Path, octets: &[u8]) -> PathBuf {
    let aside = file.with_extension(format!(
        "{}-{:?}",
        std::process::id(),
        std::thread::current().id()
    ));
    fs::write(&aside, octets).expect("room for a guest");
    fs::rename(&aside, file).expect("a guest in its place");
    file.to_owned()
}

/// All members of a workspace at once: they share what is slow to build.
fn compile(workspace: &Path, kept: &Path) {
    // The shipped policies and the tests' guests share one build folder, and with `make plugins`.
    let built =
        std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("plugins/target"), PathBuf::from);
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let status = Command::new(cargo)
        .current_dir(workspace)
        .args([
            "build",
            "--quiet",
            "--locked",
            "--release",
            "--target",
            TARGET,
            "--target-dir",
        ])
        .arg(&built)
        // Flags for the machine that runs the tests are not those of a guest.
        .env_remove("RUSTFLAGS")
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .status()
        .expect("cargo");
    assert!(
        status.success(),
        "{} does not build: {status}",
        workspace.display()
    );
    fs::create_dir_all(kept).expect("a folder for guests");
    for folder in entries(workspace)
        .iter()
        .filter(|entry| entry.join("src/lib.rs").exists())
    {
        let name = folder
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .replace('-', "_");
        let file = built
            .join(TARGET)
            .join("release")
            .join(&name)
            .with_extension("wasm");
        // A member that is only a library of the others has no component.
        if let Ok(octets) = fs::read(&file) {
            place(&kept.join(&name).with_extension("wasm"), &octets);
        }
    }
}

/// Names and contents of all files below, built ones and templates apart, and the compiler's version.
fn digest(folders: &[&Path]) -> String {
    let version = Command::new("rustc").arg("-V").output().expect("rustc");
    let mut hasher = Sha256::new_with_prefix(version.stdout);
    for folder in folders {
        let mut waiting = vec![(*folder).to_owned()];
        while let Some(path) = waiting.pop() {
            if path.is_dir() {
                waiting.extend(
                    entries(&path)
                        .into_iter()
                        .filter(|entry| !entry.ends_with("target") && !entry.ends_with("templates")),
                );
            } else {
                let name = path.strip_prefix(folder).unwrap_or(&path);
                hasher.update(name.to_string_lossy().as_bytes());
                hasher.update([0]);
                hasher.update(Sha256::digest(fs::read(&path).expect("a source file")));
            }
        }
    }
    short(&hasher.finalize())
}

/// Sorted, so that a digest does not depend on the file system.
fn entries(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).expect("a folder");
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry").path()).collect();
    paths.sort();
    paths
}

fn short(digest: &[u8]) -> String {
    digest
        .iter()
        .take(12)
        .map(|octet| format!("{octet:02x}"))
        .collect()
}
