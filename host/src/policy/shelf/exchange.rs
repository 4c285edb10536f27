//! What changed in a folder together is put in force together.
//!
//! All that one look finds changed is one exchange. It waits while any of it is to be compiled, and no longer; other
//! exchanges do not wait for it. What changes again meanwhile belongs to the later look that finds it, and if that is to
//! be compiled, so does all that waited for it. In a folder where nothing was there is nothing to exchange: what comes there
//! waits for itself alone.

use super::super::cache;
use super::Content;
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::path::{Path, PathBuf};

/// The files as they were seen last, and what of that is not in force yet.
#[derive(Debug, Default)]
pub(super) struct Exchanges {
    seen: BTreeMap<PathBuf, Mark>,
    /// The oldest first.
    waiting: Vec<BTreeSet<PathBuf>>,
}

/// What a policy's two files are: their digests, or why they were not read. By this it is known that they changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Mark {
    wasm: Result<Option<String>, String>,
    yaml: Result<Option<String>, String>,
}

impl From<&Content> for Mark {
    fn from(content: &Content) -> Self {
        let wasm = content.wasm.as_ref();
        let yaml = content.yaml.as_ref();
        Self {
            wasm: wasm
                .map(|octets| octets.as_ref().map(|octets| octets.digest.clone()))
                .map_err(|fault| fault.text.clone()),
            yaml: yaml
                .map(|text| text.as_deref().map(cache::digest))
                .map_err(|fault| fault.text.clone()),
        }
    }
}

impl Exchanges {
    /// After a look that sees the folder so. Those of `uncompiled` are to be compiled.
    pub(super) fn after(&self, seen: BTreeMap<PathBuf, Mark>, uncompiled: &BTreeSet<PathBuf>) -> Self {
        let files: BTreeSet<&PathBuf> = self.seen.keys().chain(seen.keys()).collect();
        let has_changed = |file: &&PathBuf| self.seen.get(*file) != seen.get(*file);
        let changed: BTreeSet<PathBuf> = files.into_iter().filter(has_changed).cloned().collect();
        let again = &changed & uncompiled;
        let (joined, apart): (Vec<_>, Vec<_>) = self
            .waiting
            .iter()
            .partition(|exchange| !exchange.is_disjoint(&again));
        let mut waiting: Vec<_> = apart.into_iter().map(|exchange| exchange - &changed).collect();
        if !self.seen.is_empty() {
            waiting.push(joined.into_iter().fold(changed, |all, exchange| &all | exchange));
        }
        // As does what did not change and is tried again.
        let again = uncompiled
            .iter()
            .filter(|file| !waiting.iter().any(|exchange| exchange.contains(*file)));
        let again: Vec<_> = again.map(|file| BTreeSet::from([file.clone()])).collect();
        waiting.extend(again);
        waiting.retain(|exchange| !exchange.is_disjoint(uncompiled));
        Self { seen, waiting }
    }

    /// The files that stay as they were known before; some of them may be gone.
    pub(super) fn waiting(&self) -> impl Iterator<Item = &PathBuf> {
        self.waiting.iter().flatten()
    }

    pub(super) fn holds(&self, file: &Path) -> bool {
        self.waiting.iter().any(|exchange| exchange.contains(file))
    }

    /// Of all components that are there.
    pub(super) fn digests(&self) -> impl Iterator<Item = &str> {
        self.seen.values().filter_map(Mark::digest)
    }

    /// Of those that wait.
    pub(super) fn digests_waiting(&self) -> HashSet<&str> {
        let marks = self.waiting().filter_map(|file| self.seen.get(file));
        marks.filter_map(Mark::digest).collect()
    }
}

impl Mark {
    fn digest(&self) -> Option<&str> {
        self.wasm.as_ref().ok()?.as_deref()
    }
}
