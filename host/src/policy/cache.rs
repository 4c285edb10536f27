//! Compiled components, kept between starts.
//!
//! A file is named by the digest of the component and by all that decides about compatibility of machine
//! code (version, settings, processor). It is written aside, made durable and renamed, into a folder that is
//! the owner's alone; what else may be wrong with it costs a compilation. Only what was written here is ever
//! loaded: a `.cwasm` in the policy folder is nothing to us. A gateway has a folder for itself, with what its policies
//! were compiled to; a user's commands share one, whatever they are about, with the newest.

use anyhow::{Context as _, ensure};
use sha2::{Digest as _, Sha256};
use std::collections::HashSet;
use std::fmt::Write as _;
use std::fs::{DirBuilder, File, Metadata};
use std::hash::{Hash as _, Hasher};
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::time::SystemTime;
use tempfile::NamedTempFile;
use wasmtime::Engine;
use wasmtime::component::Component;

/// Compiled components that a user's commands keep: the policies of two large folders, and an author's last builds. One
/// has up to 6 MB, of Python 35 MB.
const KEPT: usize = 50;
const COMPILED: &str = "cwasm";
/// What is being written has a name of this beginning and end.
const ASIDE_BEGINS: &str = "compiling-";
const ASIDE: &str = ".new";

/// Where compiled components are kept, and who hears of it.
#[derive(Debug, Clone)]
pub struct Keep {
    /// The owner's alone. None: nowhere.
    pub folder: Option<PathBuf>,
    pub whose: Whose,
    pub hear: fn(Notice<'_>),
}

/// Who else keeps components in a folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whose {
    /// Nobody: what no policy here was compiled to goes.
    Gateway,
    /// Other commands, about other policies: the newest stay.
    Commands,
}

/// What is told of compiling.
#[derive(Debug, Clone, Copy)]
pub enum Notice<'a> {
    /// It begins, of a component of so many octets.
    Compiling { file: &'a Path, octets: usize },
    /// What was kept is not fit to be loaded.
    Unfit { path: &'a Path, why: &'a str },
    /// What was compiled cannot be kept.
    NotKept { why: &'a str },
}

impl Keep {
    /// For one gateway, which logs what is told.
    pub fn alone(folder: impl Into<PathBuf>) -> Self {
        Self {
            folder: Some(folder.into()),
            ..Self::default()
        }
    }
}

impl Default for Keep {
    fn default() -> Self {
        Self {
            folder: None,
            whose: Whose::Gateway,
            hear: log,
        }
    }
}

fn log(notice: Notice<'_>) {
    match notice {
        Notice::Compiling { file, octets } => {
            tracing::info!(file = %file.display(), octets, "a policy is being compiled");
        }
        Notice::Unfit { path, why } => tracing::warn!(path = %path.display(), error = why, "compiled anew"),
        Notice::NotKept { why } => tracing::warn!(error = why, "compiled policies are not kept"),
    }
}

/// Where compiled code is kept, and for which engine.
#[derive(Debug)]
pub(super) struct Cache {
    /// Without its folder where that is not fit for it: each start compiles.
    keep: Keep,
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
    pub(super) fn open(keep: &Keep, engine: &Engine) -> Self {
        let mut keep = keep.clone();
        if let Some(Err(error)) = keep.folder.as_deref().map(private) {
            let why = format!("{error:#}");
            (keep.hear)(Notice::NotKept { why: &why });
            keep.folder = None;
        }
        let mut hasher = Stable(Sha256::new());
        engine.precompile_compatibility_hash().hash(&mut hasher);
        let compatibility = hex(&hasher.0.finalize()).chars().take(16).collect();
        Self { keep, compatibility }
    }

    /// A component of that digest, if it was compiled before.
    pub(super) fn find(&self, engine: &Engine, digest: &str) -> Option<Component> {
        let path = self.path(digest)?;
        match load(engine, &path) {
            Ok(component) => {
                self.touch(&path);
                component
            }
            Err(error) => {
                let why = format!("{error:#}");
                (self.keep.hear)(Notice::Unfit {
                    path: &path,
                    why: &why,
                });
                None
            }
        }
    }

    /// Compiles the component of that file and digest, and keeps it.
    pub(super) fn compile(
        &self,
        engine: &Engine,
        (file, wasm): (&Path, &[u8]),
        digest: &str,
    ) -> anyhow::Result<Component> {
        (self.keep.hear)(Notice::Compiling {
            file,
            octets: wasm.len(),
        });
        let component = Component::from_binary(engine, wasm)?;
        if let Some(path) = self.path(digest)
            && let Err(error) = keep(&component, &path)
        {
            let why = format!("{}: {error:#}", path.display());
            (self.keep.hear)(Notice::NotKept { why: &why });
        }
        Ok(component)
    }

    /// Removes what is not wanted any more, where these are. What cannot be removed stays.
    pub(super) fn prune(&self, digests: &HashSet<&str>) {
        match self.keep.whose {
            Whose::Gateway => self.keep_only(digests),
            Whose::Commands => self.keep_newest(KEPT.max(digests.len())),
        }
    }

    fn keep_only(&self, digests: &HashSet<&str>) {
        let used: HashSet<PathBuf> = digests.iter().filter_map(|digest| self.path(digest)).collect();
        for file in self.files().filter(|file| !used.contains(file)) {
            remove(&file);
        }
    }

    /// Removes all but so many of those that were used last.
    fn keep_newest(&self, most: usize) {
        let (compiled, others): (Vec<_>, Vec<_>) = self
            .files()
            .partition(|file| file.extension().is_some_and(|extension| extension == COMPILED));
        let used = |file: PathBuf| Some((std::fs::metadata(&file).ok()?.modified().ok()?, file));
        let mut compiled: Vec<_> = compiled.into_iter().filter_map(used).collect();
        compiled.sort_unstable();
        let old = compiled.into_iter().rev().skip(most).map(|(_, file)| file);
        for file in old.chain(others) {
            remove(&file);
        }
    }

    /// What was put there, and nothing else that lies there.
    fn files(&self) -> impl Iterator<Item = PathBuf> {
        let entries = self.keep.folder.as_deref().map(std::fs::read_dir);
        let entries = entries.into_iter().flatten().flatten().flatten();
        entries.map(|entry| entry.path()).filter(|path| is_named_so(path))
    }

    /// Notes that it was used.
    fn touch(&self, path: &Path) {
        if self.keep.whose == Whose::Commands {
            let _ = File::open(path).and_then(|file| file.set_modified(SystemTime::now()));
        }
    }

    fn path(&self, digest: &str) -> Option<PathBuf> {
        let name = format!("{digest}-{}.{COMPILED}", self.compatibility);
        Some(self.keep.folder.as_ref()?.join(name))
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

/// As a compiled component is named, or one that is being written.
fn is_named_so(path: &Path) -> bool {
    let is_hex =
        |text: &str, digits| text.len() == digits && text.bytes().all(|octet| octet.is_ascii_hexdigit());
    let compiled = |(stem, ending): (&str, &str)| {
        let parts = stem.split_once('-');
        ending == COMPILED && parts.is_some_and(|(digest, engine)| is_hex(digest, 64) && is_hex(engine, 16))
    };
    let name = path
        .file_name()
        .and_then(|name| name.to_str())
        .unwrap_or_default();
    let is_aside = name.starts_with(ASIDE_BEGINS) && name.ends_with(ASIDE);
    is_aside || name.split_once('.').is_some_and(compiled)
}

/// A folder of the owner's alone, on whose way nobody else can put another in its place.
fn private(folder: &Path) -> anyhow::Result<()> {
    let shown = folder.display();
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
        .with_context(|| format!("cannot make {shown}"))?;
    let cannot_read = || format!("cannot read {shown}");
    let facts = std::fs::symlink_metadata(folder).with_context(cannot_read)?;
    ensure!(facts.is_dir(), "{shown} is a link; put a folder there");
    let whole = folder.canonicalize().with_context(cannot_read)?;
    for above in whole.ancestors().skip(1) {
        let facts = above.metadata().with_context(cannot_read)?;
        let (is_open, is_sticky) = (facts.mode() & 0o002 != 0, facts.mode() & 0o1000 != 0);
        ensure!(
            (is_ours(&facts) || facts.uid() == 0) && (!is_open || is_sticky),
            "{shown} can be replaced by others, for {} is another user's or open to all",
            above.display()
        );
    }
    ensure!(
        facts.mode() & 0o077 == 0,
        "{shown} is open to others; chmod 700 it"
    );
    ensure!(is_ours(&facts), "{shown} is another user's; chown it");
    Ok(())
}

fn keep(component: &Component, path: &Path) -> anyhow::Result<()> {
    let mut file = aside(path)?;
    file.write_all(&component.serialize()?)?;
    // Machine code of which a power cut left half must never bear the name.
    file.as_file().sync_all()?;
    file.persist(path)?;
    Ok(())
}

/// A file of the owner's alone beside it, locked as long as it is written: who tidies up leaves it alone.
fn aside(path: &Path) -> anyhow::Result<NamedTempFile> {
    let folder = path.parent().context("no folder")?;
    loop {
        let file = tempfile::Builder::new()
            .prefix(ASIDE_BEGINS)
            .suffix(ASIDE)
            .tempfile_in(folder)?;
        file.as_file().lock()?;
        // Who came before the lock took it for one that was left behind.
        if file.as_file().metadata()?.nlink() > 0 {
            return Ok(file);
        }
    }
}

/// Removes a file of the folder, unless a process writes it.
fn remove(path: &Path) {
    let is_aside = path.as_os_str().as_encoded_bytes().ends_with(ASIDE.as_bytes());
    // Locked until it is gone: who has just made it waits, and makes another.
    let aside = is_aside.then(|| File::open(path).ok()).flatten();
    if aside.as_ref().is_none_or(|aside| aside.try_lock().is_ok()) {
        let _ = std::fs::remove_file(path);
    }
}

/// Loads compiled code. None: there is none.
#[allow(unsafe_code, reason = "the one way to load compiled code; see below")]
fn load(engine: &Engine, path: &Path) -> anyhow::Result<Option<Component>> {
    let facts = match std::fs::symlink_metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        facts => facts?,
    };
    ensure!(facts.is_file(), "is no file");
    ensure!(is_ours(&facts), "is another user's");
    ensure!(facts.mode() & 0o022 == 0, "others may write to it");
    // SAFETY: the file holds what `serialize` gave for a component that this program compiled. Only this user can
    // write to it (checked just now), and to the folder that it lies in, and only this user or root to those above it (checked when the cache was opened). It bears
    // its name only after it was complete and durable, and what is in it is never changed afterwards: it is only
    // replaced by rename or removed, which leaves the mapped file as it is. Code for another engine version, other
    // settings or another processor is refused by the header that the engine checks.
    Ok(Some(unsafe { Component::deserialize_file(engine, path) }?))
}

fn is_ours(facts: &Metadata) -> bool {
    facts.uid() == rustix::process::geteuid().as_raw()
}

#[cfg(test)]
mod tests;
