//! The sight of a policy folder: whatever changes what is found in it stirs who waits.
//!
//! Watched are the folder, and every folder on the way to it and to the files that are linked in it, for links on
//! the way may be exchanged. What the gateway's own reading makes known counts for nothing.

use super::super::folder::matters;
use notify::event::{AccessKind, AccessMode};
use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};
use std::any::Any;
use std::collections::{BTreeMap, HashSet};
use std::ffi::OsString;
use std::mem::ManuallyDrop;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;
use tokio::sync::Notify;

/// As many links as the kernel follows.
const LINKS: usize = 40;

/// Lasts until it is dropped.
pub(super) type Sight = Box<dyn Any + Send>;

/// Begins to watch a folder as it is now, be it there or not. The error is for a person.
pub(super) fn watch(folder: &Path, stirred: &Arc<Notify>) -> Result<Sight, String> {
    // The library unwraps where it finds no thread to start.
    let watching = catch_unwind(AssertUnwindSafe(|| begin(folder, stirred)));
    match watching {
        Ok(Ok(watcher)) => Ok(Box::new(watcher)),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err("no thread for it".to_owned()),
    }
}

fn begin(policies: &Path, stirred: &Arc<Notify>) -> notify::Result<RecommendedWatcher> {
    let ways = Ways::to(policies);
    let (telling, told) = (ways.clone(), Arc::clone(stirred));
    let watcher = notify::recommended_watcher(move |event: notify::Result<Event>| {
        // An error means that something may have been missed.
        if event.map_or(true, |event| telling.concerns(&event)) {
            told.notify_one();
        }
    })?;
    // Dropped by a panic it would panic again, which ends the process.
    let mut watcher = ManuallyDrop::new(watcher);
    let watched = ways.folders.iter().try_for_each(|(folder, part)| {
        let watched = watcher.watch(folder, RecursiveMode::NonRecursive);
        match watched {
            // What is gone by now was seen to go from the folder that it was in.
            Err(error) if matches!(error.kind, notify::ErrorKind::PathNotFound) => Ok(()),
            Err(_) if *part == Part::Firm => Ok(()),
            watched => watched,
        }
    });
    let watcher = ManuallyDrop::into_inner(watcher);
    // What was exchanged meanwhile is watched from the next look on.
    if Ways::to(policies) != ways {
        stirred.notify_one();
    }
    watched.map(|()| watcher)
}

/// Whether another thing can come to be found through a folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Part {
    /// What leads on from here is a folder, and not a link. It may be one that must not be read.
    Firm,
    /// It has a link, or what is not there yet, or the policies.
    Loose,
}

/// The ways that the kernel goes to find policies.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Ways {
    /// All on the way, without links, and the policy folder itself.
    folders: BTreeMap<PathBuf, Part>,
    /// What was looked up in them.
    steps: HashSet<PathBuf>,
    /// The policy folder without links, if it is there.
    end: Option<PathBuf>,
}

impl Ways {
    fn to(folder: &Path) -> Self {
        let mut ways = Self::default();
        let absolute = std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned());
        ways.end = ways.walk(&absolute);
        let Some(end) = ways.end.clone() else {
            return ways;
        };
        ways.pass(&end, Part::Loose);
        for entry in std::fs::read_dir(&end).into_iter().flatten().flatten() {
            let is_link = entry.file_type().is_ok_and(|kind| kind.is_symlink());
            if is_link && matters(&entry.path()) {
                ways.walk(&entry.path());
            }
        }
        ways
    }

    /// Goes a way link by link. None: it ends before its time.
    fn walk(&mut self, path: &Path) -> Option<PathBuf> {
        let (mut at, mut left, mut links) = (PathBuf::from("/"), parts(path), 0);
        while let Some(part) = left.pop() {
            if part == ".." {
                at.pop();
                continue;
            }
            let step = at.join(part);
            let metadata = std::fs::symlink_metadata(&step);
            self.steps.insert(step.clone());
            match metadata {
                Ok(metadata) if metadata.is_symlink() => {
                    self.pass(&at, Part::Loose);
                    links += 1;
                    let target = std::fs::read_link(&step).ok().filter(|_| links <= LINKS)?;
                    if target.is_absolute() {
                        at = PathBuf::from("/");
                    }
                    left.extend(parts(&target));
                }
                Ok(_) => {
                    self.pass(&at, Part::Firm);
                    at = step;
                }
                Err(_) => {
                    self.pass(&at, Part::Loose);
                    return None;
                }
            }
        }
        Some(at)
    }

    fn pass(&mut self, folder: &Path, part: Part) {
        let known = self.folders.entry(folder.to_owned()).or_insert(part);
        *known = part.max(*known);
    }

    /// Whether something happened that may change what is found.
    fn concerns(&self, event: &Event) -> bool {
        match event.kind {
            EventKind::Access(AccessKind::Close(AccessMode::Write)) => {}
            EventKind::Access(_) => return false,
            _ => {}
        }
        let inside = |path: &PathBuf| path.parent() == self.end.as_deref() && matters(path);
        event.need_rescan()
            || event
                .paths
                .iter()
                .any(|path| self.steps.contains(path) || inside(path))
    }
}

/// The parts of a path, the last one first.
fn parts(path: &Path) -> Vec<OsString> {
    let parts = path.components().filter_map(|part| match part {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some("..".into()),
        Component::RootDir | Component::CurDir | Component::Prefix(_) => None,
    });
    let mut parts: Vec<OsString> = parts.collect();
    parts.reverse();
    parts
}

#[cfg(test)]
mod tests;
