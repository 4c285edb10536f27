//! What has become of each file of a folder: its last good version, and what is wrong with it as it is.
//!
//! A load is a look from nothing. A later look keeps the very policy of each file whose octets and settings are
//! the same. One that is wrong now leaves its last good version deciding, under its old settings; a new one that is
//! wrong is not there; one whose file is gone goes. Whatever changes, changes in one new set.

use super::Policies;
use super::cache;
use super::folder::Folder;
use super::load::{Fault, Listed, LoadOptions, Loader, State, listed, own_name, refused, short};
use super::manifest;
use super::plugin::Plugin;
use anyhow::Context as _;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A policy folder's files as they are known, and the set that came of them.
pub(super) struct Shelf {
    folder: PathBuf,
    options: LoadOptions,
    /// None until there is something to run.
    loader: Option<Loader>,
    files: BTreeMap<PathBuf, Entry>,
    set: Arc<Policies>,
    told: HashSet<Told>,
}

/// Which files are tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Which {
    /// Those that have changed.
    Changed,
    /// Refused ones that have not, too: a trial may fail for want of time.
    All,
}

/// What a look found.
#[derive(Debug)]
pub(super) struct Look {
    pub(super) policies: Arc<Policies>,
    /// All that is wrong.
    pub(super) faults: Vec<Fault>,
    /// What of it has not been told yet.
    pub(super) news: Vec<News>,
    pub(super) changes: Changes,
}

/// A fault of one file, and the version that decides in its stead.
#[derive(Debug)]
pub(super) struct News {
    pub(super) fault: Fault,
    pub(super) serving: Option<String>,
}

/// Policies with their digests, in the order in which they are asked.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Changes {
    pub(super) added: Vec<String>,
    pub(super) replaced: Vec<String>,
    pub(super) removed: Vec<String>,
}

/// By this a file is known again: the digest of its octets, and the text beside it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Evidence {
    digest: String,
    manifest: String,
}

/// A fault, and the file that has it; None where it could not be read.
type Told = (Fault, Option<Evidence>);

#[derive(Clone)]
struct Version {
    evidence: Evidence,
    listed: Listed,
    plugin: Arc<Plugin>,
}

#[derive(Clone)]
struct Wrong {
    told: Told,
    /// How far it came.
    listed: Listed,
}

#[derive(Clone)]
struct Entry {
    /// The version that decides.
    good: Option<Version>,
    wrong: Option<Wrong>,
    listed: Listed,
    /// Whether the name behind its number is its own.
    named: bool,
}

impl Shelf {
    /// The first look. Err only where the folder cannot be read or nothing can be run at all.
    pub(super) fn open(folder: &Path, options: LoadOptions) -> anyhow::Result<(Self, Look)> {
        match std::fs::read_dir(folder) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(error)
                    .with_context(|| format!("cannot read the policy folder {}", folder.display()));
            }
            _ => {}
        }
        let mut shelf = Self {
            folder: folder.to_owned(),
            options,
            loader: None,
            files: BTreeMap::new(),
            set: Arc::default(),
            told: HashSet::new(),
        };
        let look = shelf.try_look(Which::All)?;
        Ok((shelf, look))
    }

    /// Looks at the folder. What keeps all of it from being read leaves the set as it is.
    pub(super) fn look(&mut self, which: Which) -> Look {
        self.try_look(which).unwrap_or_else(|error| {
            let text = format!("policies cannot run: {error:#}; mend that, and send SIGHUP");
            self.closed(which, refused(&self.folder, text))
        })
    }

    fn try_look(&mut self, which: Which) -> anyhow::Result<Look> {
        let opened = Folder::open(&self.folder).and_then(|folder| {
            let files = folder.as_ref().map_or(Ok(Vec::new()), Folder::files)?;
            Ok((folder, files))
        });
        let (folder, files) = match opened {
            Ok(opened) => opened,
            Err(fault) => return Ok(self.closed(which, fault)),
        };
        if self.loader.is_none() && !files.is_empty() {
            self.loader = Some(Loader::new(&self.options)?);
        }
        // All that was found is put in its place at the end, so that a panic on the way changes nothing.
        let found = match (&folder, &self.loader) {
            (Some(folder), Some(loader)) => self.judge(
                &Judge {
                    folder,
                    loader,
                    which,
                },
                files,
            ),
            _ => BTreeMap::new(),
        };
        Ok(self.put(which, found))
    }

    fn judge(&self, judge: &Judge<'_>, files: Vec<PathBuf>) -> BTreeMap<PathBuf, Entry> {
        let named = |file: &&PathBuf| self.files.get(*file).is_some_and(|entry| entry.named);
        // Who has a name keeps it, whatever comes before it in the order.
        let mut names: HashSet<String> = files.iter().filter(named).map(|file| name_of(file)).collect();
        let mut found = BTreeMap::new();
        for file in files {
            let before = self.files.get(&file);
            let is_named = !is_compiled(&file) && (named(&&file) || names.insert(name_of(&file)));
            let entry = judge.entry(&file, before, is_named);
            found.insert(file, entry);
        }
        found
    }

    /// The folder as a whole is refused: what decides goes on to.
    fn closed(&mut self, which: Which, fault: Fault) -> Look {
        let mut refusal = listed(&self.folder);
        refusal.name = self.folder.display().to_string();
        refusal.state = State::Refused(fault.text.clone());
        self.renew(which, Some(((fault, None), refusal)))
    }

    fn put(&mut self, which: Which, found: BTreeMap<PathBuf, Entry>) -> Look {
        self.files = found;
        if let Some(loader) = &self.loader {
            loader.cache.prune(&self.digests());
        }
        self.renew(which, None)
    }

    /// A new set of what is known now, and what is new about it.
    fn renew(&mut self, which: Which, closed: Option<(Told, Listed)>) -> Look {
        let plugins: Vec<_> = self.plugins().cloned().collect();
        let changes = Changes::between(&self.set.plugins, &plugins);
        let mut listed: Vec<_> = self.files.values().map(|entry| entry.listed.clone()).collect();
        let mut wrong: Vec<_> = self.files.values().filter_map(Entry::wrong).collect();
        if let Some((told, refusal)) = closed {
            listed.push(refusal);
            wrong.push((told, None));
        }
        let loader = self.loader.as_ref();
        self.set = Arc::new_cyclic(|set| Policies {
            plugins,
            listed,
            services: loader.map(|loader| loader.services(set)),
        });
        let before = std::mem::take(&mut self.told);
        self.told = wrong.iter().map(|(told, _)| told.clone()).collect();
        Look {
            policies: Arc::clone(&self.set),
            faults: wrong.iter().map(|((fault, _), _)| fault.clone()).collect(),
            news: wrong
                .into_iter()
                .filter(|(told, _)| which == Which::All || !before.contains(told))
                .map(|((fault, _), serving)| News { fault, serving })
                .collect(),
            changes,
        }
    }

    fn plugins(&self) -> impl Iterator<Item = &Arc<Plugin>> {
        let good = self.files.values().filter_map(|entry| entry.good.as_ref());
        good.map(|version| &version.plugin)
    }

    /// Of all that was compiled and may be wanted again.
    fn digests(&self) -> HashSet<&str> {
        let serving = self.plugins().map(|plugin| plugin.digest.as_str());
        let listed = self.files.values().map(|entry| entry.listed.digest.as_str());
        serving.chain(listed).collect()
    }
}

impl Entry {
    /// What is wrong with it, and the digest of what decides in its stead.
    fn wrong(&self) -> Option<(Told, Option<String>)> {
        let wrong = self.wrong.as_ref()?;
        Some((wrong.told.clone(), self.listed.serving.clone()))
    }
}

fn is_compiled(file: &Path) -> bool {
    file.extension().is_some_and(|extension| extension == "cwasm")
}

fn name_of(file: &Path) -> String {
    own_name(&listed(file).name).to_owned()
}

/// What one look decides with.
struct Judge<'a> {
    folder: &'a Folder,
    loader: &'a Loader,
    which: Which,
}

impl Judge<'_> {
    fn entry(&self, file: &Path, before: Option<&Entry>, named: bool) -> Entry {
        let mut listed = listed(file);
        let earlier = before.and_then(|entry| entry.good.clone());
        match self.version(file, before, named, &mut listed) {
            Ok(version) => Entry {
                listed: version.as_ref().map_or(listed, |version| version.listed.clone()),
                good: version,
                wrong: None,
                named,
            },
            Err(told) => {
                let wrong = Wrong { told, listed };
                Entry {
                    listed: wrong.listed(earlier.as_ref()),
                    good: earlier,
                    wrong: Some(wrong),
                    named,
                }
            }
        }
    }

    /// The version that this file is now. None: it is disabled.
    fn version(
        &self,
        file: &Path,
        before: Option<&Entry>,
        named: bool,
        listed: &mut Listed,
    ) -> Result<Option<Version>, Told> {
        let read = self.read(file, named, listed).map_err(|fault| (fault, None))?;
        let Some((evidence, wasm, manifest)) = read else {
            return Ok(None);
        };
        let good = before.and_then(|entry| entry.good.as_ref());
        if let Some(good) = good.filter(|good| good.evidence == evidence) {
            return Ok(Some(good.clone()));
        }
        let wrong = before.and_then(|entry| entry.wrong.as_ref());
        let same = wrong.filter(|wrong| wrong.told.1.as_ref() == Some(&evidence));
        if let Some(wrong) = same.filter(|_| self.which == Which::Changed) {
            *listed = wrong.listed.clone();
            return Err(wrong.told.clone());
        }
        match self.loader.load(&wasm, manifest, listed) {
            Ok(plugin) => {
                listed.serving = Some(listed.digest.clone());
                Ok(Some(Version {
                    evidence,
                    listed: listed.clone(),
                    plugin,
                }))
            }
            Err(fault) => Err((fault, Some(evidence))),
        }
    }

    /// None: it is disabled, and its octets are nobody's business.
    fn read(
        &self,
        file: &Path,
        named: bool,
        listed: &mut Listed,
    ) -> Result<Option<(Evidence, Vec<u8>, manifest::Manifest)>, Fault> {
        if is_compiled(file) {
            let text =
                "is compiled code, which is never loaded from here; put the .wasm here that it was made of";
            return Err(refused(file, text));
        }
        if !named {
            let text = "another policy has this name behind its number; rename one of them";
            return Err(refused(file, text));
        }
        let beside = file.with_extension("yaml");
        let text = String::from_utf8(self.folder.read(&beside)?.unwrap_or_default())
            .map_err(|error| refused(&beside, format!("is no text: {error}; write it in UTF-8")))?;
        let manifest = self.loader.manifest(&text, listed)?;
        if manifest.state == manifest::State::Disabled {
            listed.state = State::Disabled;
            return Ok(None);
        }
        let Some(wasm) = self.folder.read(file)? else {
            return Err(refused(file, "was removed while it was looked at; put it back"));
        };
        listed.digest = cache::digest(&wasm);
        let evidence = Evidence {
            digest: listed.digest.clone(),
            manifest: text,
        };
        Ok(Some((evidence, wasm, manifest)))
    }
}

impl Wrong {
    /// The file in a listing: what decides in its stead, if anything does, or how far it came.
    fn listed(&self, earlier: Option<&Version>) -> Listed {
        let fault = self.told.0.text.clone();
        match earlier {
            Some(earlier) => Listed {
                digest: self.listed.digest.clone(),
                state: State::Earlier {
                    digest: earlier.evidence.digest.clone(),
                    fault,
                },
                ..earlier.listed.clone()
            },
            None => Listed {
                state: State::Refused(fault),
                ..self.listed.clone()
            },
        }
    }
}

impl Changes {
    fn between(before: &[Arc<Plugin>], after: &[Arc<Plugin>]) -> Self {
        let mut gone: HashMap<&str, &Arc<Plugin>> =
            before.iter().map(|plugin| (&*plugin.name, plugin)).collect();
        let mut changes = Self::default();
        for plugin in after {
            let (name, digest) = (&plugin.name, short(&plugin.digest));
            match gone.remove(&**name) {
                None => changes.added.push(format!("{name} {digest}")),
                Some(old) if Arc::ptr_eq(old, plugin) => {}
                Some(old) if old.digest == plugin.digest => {
                    changes.replaced.push(format!("{name} {digest}, its .yaml"));
                }
                Some(old) => {
                    let old = short(&old.digest);
                    changes.replaced.push(format!("{name} {old} → {digest}"));
                }
            }
        }
        let gone = before.iter().filter(|plugin| gone.contains_key(&*plugin.name));
        changes.removed = gone
            .map(|plugin| format!("{} {}", plugin.name, short(&plugin.digest)))
            .collect();
        changes
    }

    pub(super) fn are_none(&self) -> bool {
        *self == Self::default()
    }
}

#[cfg(test)]
mod tests;
