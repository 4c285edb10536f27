//! Compiled components, kept between starts.
//!
//! A file is named by the digest of the component and by all that decides about compatibility of machine
//! code (version, settings, processor). It is written aside, made durable and renamed, into a folder that is
//! the owner's alone; what else may be wrong with it costs a compilation. Only what was written here is ever
//! loaded: a `.cwasm` in the policy folder is nothing to us.

use anyhow::{Context as _, ensure};
use sha2::{Digest as _, Sha256};
use std::collections::HashSet;
use std::fmt::Write as _;
use std::fs::{DirBuilder, File};
use std::hash::{Hash as _, Hasher};
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use wasmtime::Engine;
use wasmtime::component::Component;

/// Where compiled code is kept, and for which engine.
#[derive(Debug)]
pub(super) struct Cache {
    /// None: the folder is not fit for it, each start compiles.
    folder: Option<PathBuf>,
    compatibility: String,
}

/// SHA-256 as it is written everywhere.
pub(super) fn digest(octets: &[u8]) -> String {
    hex(&Sha256::digest(octets))
}

fn hex(octets: &[u8]) -> String {
    octets.iter().fold(String::new(), |mut text, octet| {
        let _ = write!(text, "{octet:02x}");
        text
    })
}

impl Cache {
    /// Makes the folder where it is not there. One that cannot be made or is open to others is not used.
    pub(super) fn open(folder: Option<&Path>, engine: &Engine) -> Self {
        let folder = folder.filter(|folder| match private(folder) {
            Ok(()) => true,
            Err(error) => {
                tracing::warn!(error = format!("{error:#}"), "compiled policies are not kept");
                false
            }
        });
        let folder = folder.map(Path::to_owned);
        let mut hasher = Stable(Sha256::new());
        engine.precompile_compatibility_hash().hash(&mut hasher);
        let compatibility = hex(&hasher.0.finalize()).chars().take(16).collect();
        Self {
            folder,
            compatibility,
        }
    }

    /// Whether a component of that digest was compiled before.
    pub(super) fn holds(&self, digest: &str) -> bool {
        self.path(digest).is_some_and(|path| path.exists())
    }

    /// The component, from the folder if it is there, else compiled.
    pub(super) fn component(&self, engine: &Engine, wasm: &[u8], digest: &str) -> anyhow::Result<Component> {
        let Some(path) = self.path(digest) else {
            return Ok(Component::from_binary(engine, wasm)?);
        };
        if path.exists() {
            match load(engine, &path) {
                Ok(component) => return Ok(component),
                Err(error) => tracing::warn!(path = %path.display(), %error, "compiled anew"),
            }
        }
        let component = Component::from_binary(engine, wasm)?;
        if let Err(error) = keep(&component, &path) {
            tracing::warn!(path = %path.display(), error = format!("{error:#}"), "a compiled policy is not kept");
        }
        Ok(component)
    }

    /// Removes what no policy in force was compiled to. What cannot be removed stays.
    pub(super) fn prune(&self, digests: &HashSet<&str>) {
        let Some(folder) = &self.folder else { return };
        let used: HashSet<PathBuf> = digests.iter().filter_map(|digest| self.path(digest)).collect();
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            if !used.contains(&entry.path()) {
                let _ = std::fs::remove_file(entry.path());
            }
        }
    }

    /// Removes all but so many of those that were kept last.
    pub(super) fn keep_newest(&self, most: usize) {
        let Some(folder) = &self.folder else { return };
        let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
        let timed = entries.filter_map(|entry| Some((entry.metadata().ok()?.modified().ok()?, entry.path())));
        let mut files: Vec<_> = timed.collect();
        files.sort_unstable();
        for (_, file) in files.iter().rev().skip(most) {
            let _ = std::fs::remove_file(file);
        }
    }

    fn path(&self, digest: &str) -> Option<PathBuf> {
        let name = format!("{digest}-{}.cwasm", self.compatibility);
        Some(self.folder.as_ref()?.join(name))
    }
}

/// A hasher whose answer is the same in every process.
struct Stable(Sha256);

impl Hasher for Stable {
    fn write(&mut self, octets: &[u8]) {
        self.0.update(octets);
    }

    /// Not asked: the whole digest is taken.
    fn finish(&self) -> u64 {
        0
    }
}

fn private(folder: &Path) -> anyhow::Result<()> {
    let shown = folder.display();
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
        .with_context(|| format!("cannot make {shown}"))?;
    let facts = std::fs::metadata(folder).with_context(|| format!("cannot read {shown}"))?;
    ensure!(
        facts.mode() & 0o077 == 0,
        "{shown} is open to others; chmod 700 it"
    );
    let ours = rustix::process::geteuid().as_raw();
    ensure!(facts.uid() == ours, "{shown} is another user's; chown it");
    Ok(())
}

fn keep(component: &Component, path: &Path) -> anyhow::Result<()> {
    let aside = path.with_extension(format!("{}.new", std::process::id()));
    let mut file = File::create(&aside)?;
    file.write_all(&component.serialize()?)?;
    // Machine code of which a power cut left half must never bear the name.
    file.sync_all()?;
    std::fs::rename(&aside, path)?;
    Ok(())
}

/// Loads compiled code.
#[allow(unsafe_code, reason = "the one way to load compiled code; see below")]
fn load(engine: &Engine, path: &Path) -> wasmtime::Result<Component> {
    // SAFETY: the file holds what `serialize` gave for a component that this program compiled. It lies in a
    // folder that only this user (checked when the cache was opened) can write to, bears its name only after
    // it was complete and durable, and is never changed afterwards, only replaced by rename or removed, which
    // leaves the mapped file as it is. Code for another engine version, other settings or another processor
    // is refused by the header that the engine checks.
    unsafe { Component::deserialize_file(engine, path) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::engine;
    use std::os::unix::fs::PermissionsExt as _;

    const EMPTY: &[u8] = b"\0asm\x0d\0\x01\0";

    fn files(folder: &Path) -> Vec<PathBuf> {
        std::fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect()
    }

    #[test]
    fn a_component_is_compiled_once_and_found_again() {
        let (engine, folder) = (engine::on_demand().unwrap(), tempfile::tempdir().unwrap());
        let folder = folder.path().join("compiled");
        let digest = digest(EMPTY);
        let cache = Cache::open(Some(&folder), &engine);
        assert!(!cache.holds(&digest));
        cache.component(&engine, EMPTY, &digest).unwrap();
        assert!(cache.holds(&digest));
        let written = files(&folder);
        assert_eq!(written.len(), 1, "nothing is left aside: {written:?}");
        assert!(load(&engine, &written[0]).is_ok());
        let before = std::fs::metadata(&written[0]).unwrap().ino();
        Cache::open(Some(&folder), &engine)
            .component(&engine, EMPTY, &digest)
            .unwrap();
        assert_eq!(
            std::fs::metadata(&written[0]).unwrap().ino(),
            before,
            "not written again"
        );
    }

    #[test]
    fn a_file_that_is_no_compiled_component_is_compiled_anew() {
        let (engine, folder) = (engine::on_demand().unwrap(), tempfile::tempdir().unwrap());
        let cache = Cache::open(Some(&folder.path().join("compiled")), &engine);
        let digest = digest(EMPTY);
        let path = cache.path(&digest).unwrap();
        std::fs::write(&path, b"rubbish").unwrap();
        cache.component(&engine, EMPTY, &digest).unwrap();
        assert_ne!(std::fs::read(&path).unwrap(), b"rubbish");
    }

    #[test]
    fn a_folder_that_others_may_write_to_is_not_used() {
        let (engine, folder) = (engine::on_demand().unwrap(), tempfile::tempdir().unwrap());
        std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o770)).unwrap();
        let cache = Cache::open(Some(folder.path()), &engine);
        assert!(cache.component(&engine, EMPTY, &digest(EMPTY)).is_ok());
        assert!(files(folder.path()).is_empty());
    }

    #[test]
    fn the_newest_are_kept_and_no_more() {
        let (engine, folder) = (engine::on_demand().unwrap(), tempfile::tempdir().unwrap());
        let cache = Cache::open(Some(&folder.path().join("compiled")), &engine);
        let begun = std::time::SystemTime::now();
        for (age, digest) in ["a", "b", "c"].into_iter().enumerate() {
            cache.component(&engine, EMPTY, digest).unwrap();
            let file = File::options().append(true).open(cache.path(digest).unwrap());
            let made = begun - std::time::Duration::from_secs(age as u64);
            file.unwrap().set_modified(made).unwrap();
        }
        cache.keep_newest(3);
        assert_eq!(
            ["a", "b", "c"].map(|digest| cache.holds(digest)),
            [true, true, true]
        );
        cache.keep_newest(2);
        assert_eq!(
            ["a", "b", "c"].map(|digest| cache.holds(digest)),
            [true, true, false]
        );
    }

    #[test]
    fn what_no_policy_uses_any_more_is_removed() {
        let (engine, folder) = (engine::on_demand().unwrap(), tempfile::tempdir().unwrap());
        let folder = folder.path().join("compiled");
        let cache = Cache::open(Some(&folder), &engine);
        let digest = digest(EMPTY);
        cache.component(&engine, EMPTY, &digest).unwrap();
        cache.prune(&HashSet::from([digest.as_str()]));
        assert_eq!(files(&folder).len(), 1);
        cache.prune(&HashSet::new());
        assert!(files(&folder).is_empty());
    }
}
