//! What has become of each file of a folder: its last good version, and what is wrong with it as it is.
//!
//! A load is a look from nothing. A later look keeps the very policy of each file whose octets and settings are
//! the same. One that is wrong now leaves its last good version deciding, under its old settings; a new one that is
//! wrong is not there; one whose file is gone goes. Of several with one name the first that is right has it. All is
//! read before any of it is judged, and whatever changes, changes in one new set.
//!
//! A load compiles what it loads. A later look does not: what is to be compiled stays as it was, until it is compiled
//! and another look has found it there still.

mod exchange;
mod judge;
mod stuck;

use super::Policies;
use super::cache;
use super::folder::{Folder, Size};
use super::limits::Limit;
use super::load::{Compiling, Fault, Listed, LoadOptions, Loader, State, listed, own_name, passing, short};
use super::manifest::{Mode, Place, placed};
use super::plugin::Plugin;
use super::slot::Slot;
use super::standing::measure;
use exchange::{Exchanges, Mark};
use judge::{Judge, Readiness};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;
use stuck::Stuck;

/// A policy folder's files as they are known, and the set that came of them.
pub(super) struct Shelf {
    folder: PathBuf,
    options: LoadOptions,
    /// None until there is something to run.
    loader: Option<Arc<Loader>>,
    pub(super) compiling: Compiling,
    files: BTreeMap<PathBuf, Entry>,
    exchanges: Exchanges,
    set: Arc<Policies>,
    told: HashSet<Known>,
    /// The folder was there when it was last looked at.
    there: bool,
}

/// The file beside a policy: people write it.
pub(super) const YAML: Size = Size {
    most: 1 << 20,
    limit: Limit::Yaml,
    mend: "make it smaller",
};

/// Which files are tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Which {
    /// Those that have changed.
    Changed,
    /// Refused ones that have not, too.
    All,
}

/// When a look's components are compiled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Compile {
    Within,
    /// They wait for it, and for another look.
    Behind,
}

/// What a look found.
#[derive(Debug)]
pub(super) struct Look {
    pub(super) policies: Arc<Policies>,
    /// All that is wrong.
    pub(super) faults: Vec<Fault>,
    /// What of it is to be told.
    pub(super) news: Vec<News>,
    /// Some of that has not been told before.
    pub(super) is_new: bool,
    pub(super) changes: Changes,
    /// Policies whose files are again what they were before they were wrong.
    pub(super) mended: Vec<String>,
    pub(super) site: Site,
    /// What has waited longest for the compiler; there may be more.
    pub(super) uncompiled: Option<Uncompiled>,
}

/// A component that is to be compiled before a look can judge it.
pub(super) struct Uncompiled {
    loader: Arc<Loader>,
    file: PathBuf,
    octets: Octets,
}

impl Uncompiled {
    fn of(loader: &Arc<Loader>, content: Content) -> Option<Self> {
        Some(Self {
            loader: Arc::clone(loader),
            file: content.file,
            octets: content.wasm.ok()??,
        })
    }

    /// Takes as long as the compiler does. What comes of it is there for the next look.
    pub(super) fn compile(self) {
        self.loader
            .prepare(&self.file, &self.octets.wasm, &self.octets.digest);
    }
}

impl std::fmt::Debug for Uncompiled {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Uncompiled").field(&self.file).finish()
    }
}

/// What became of the folder itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Site {
    There,
    Missing,
    /// It is missing since this look.
    Gone,
    Refused(Fault),
}

/// A fault, and what decides in spite of it.
#[derive(Debug)]
pub(super) struct News {
    pub(super) fault: Fault,
    pub(super) instead: Instead,
}

/// What decides where something is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Instead {
    Nothing,
    /// An earlier version of this digest.
    Earlier(String),
    /// All policies as they were.
    All,
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

/// By this it is known whether a fault was told: of one version a trial that ends alike is the same fault, whatever
/// the guest says meanwhile.
type Known = (PathBuf, String, Option<Evidence>);

fn known((fault, evidence): &Told) -> Known {
    let what = match (fault.ending, evidence) {
        (Some(ending), Some(_)) => format!("{ending:?}"),
        _ => fault.text.clone(),
    };
    (fault.path.clone(), what, evidence.clone())
}

#[derive(Clone)]
struct Version {
    evidence: Evidence,
    listed: Listed,
    plugin: Arc<Plugin>,
}

#[derive(Clone)]
struct Wrong {
    told: Told,
    stuck: Option<Stuck>,
    /// How far it came.
    listed: Listed,
}

#[derive(Clone)]
struct Entry {
    /// The version that decides.
    good: Option<Version>,
    /// The one before it, which decides while that is out of service.
    earlier: Option<Arc<Plugin>>,
    wrong: Option<Wrong>,
    listed: Listed,
}

/// What a look knows of the files.
#[derive(Default)]
struct Found {
    files: BTreeMap<PathBuf, Entry>,
    exchanges: Exchanges,
    uncompiled: Option<Uncompiled>,
}

/// A policy and the file beside it, as they were read together.
struct Content {
    file: PathBuf,
    wasm: Result<Option<Octets>, Fault>,
    yaml: Result<Option<Vec<u8>>, Fault>,
}

struct Octets {
    digest: String,
    /// Empty where the version that decides was made of them.
    wasm: Vec<u8>,
}

impl Shelf {
    /// The first look, which compiles what it finds. Err only where nothing can be run at all.
    pub(super) fn open(folder: &Path, options: LoadOptions) -> anyhow::Result<(Self, Look)> {
        let mut shelf = Self {
            folder: folder.to_owned(),
            options,
            loader: None,
            compiling: Compiling::default(),
            files: BTreeMap::new(),
            exchanges: Exchanges::default(),
            set: Arc::default(),
            told: HashSet::new(),
            there: false,
        };
        let look = shelf.try_look(Which::All, Compile::Within)?;
        Ok((shelf, look))
    }

    /// Looks at the folder, and leaves to others what is to be compiled. What keeps all of it from being read leaves
    /// the set as it is.
    pub(super) fn look(&mut self, which: Which) -> Look {
        self.try_look(which, Compile::Behind).unwrap_or_else(|error| {
            let text = format!("policies cannot run: {error:#}; mend that");
            self.closed(which, passing(&self.folder, text))
        })
    }

    fn try_look(&mut self, which: Which, compile: Compile) -> anyhow::Result<Look> {
        let read = Folder::read_whole(&self.folder, |folder, files| self.contents(folder, files));
        let read = match read {
            Ok(read) => read,
            Err(fault) => return Ok(self.closed(which, fault)),
        };
        let site = match (&read, self.there) {
            (Some(_), _) => Site::There,
            (None, true) => Site::Gone,
            (None, false) => Site::Missing,
        };
        let contents = read.unwrap_or_default();
        if self.loader.is_none() && !contents.is_empty() {
            self.loader = Some(Arc::new(Loader::new(&self.options, self.compiling.clone())?));
        }
        // All that was found is put in its place at the end, so that a panic on the way changes nothing.
        let found = match &self.loader {
            Some(loader) => self.judge(loader, which, compile, contents),
            None => Found::default(),
        };
        Ok(self.put(which, found, site))
    }

    fn contents(&self, folder: &Folder, files: Vec<PathBuf>) -> Vec<Content> {
        let content = |file: PathBuf| {
            let yaml = folder.read(&file.with_extension("yaml"), YAML);
            let wasm = match is_compiled(&file) {
                true => Ok(None),
                false => folder.read(&file, self.size()),
            };
            let octets = |wasm: Vec<u8>| {
                let digest = cache::digest(&wasm);
                let manifest = yaml.as_ref().ok().map(|yaml| yaml.as_deref().unwrap_or_default());
                let good = self.files.get(&file).and_then(|entry| entry.good.as_ref());
                let same = good.is_some_and(|good| {
                    good.evidence.digest == digest && Some(good.evidence.manifest.as_bytes()) == manifest
                });
                Octets {
                    digest,
                    wasm: if same { Vec::new() } else { wasm },
                }
            };
            Content {
                wasm: wasm.map(|wasm| wasm.map(octets)),
                yaml,
                file,
            }
        };
        files.into_iter().map(content).collect()
    }

    fn size(&self) -> Size {
        Size {
            most: self.options.limits.file,
            limit: Limit::File,
            mend: "make it smaller, or raise policy.file",
        }
    }

    fn judge(&self, loader: &Arc<Loader>, which: Which, compile: Compile, contents: Vec<Content>) -> Found {
        let judge = Judge {
            loader,
            which,
            now: Instant::now(),
            exchanges: &self.exchanges,
        };
        let uncompiled = match compile {
            Compile::Within => BTreeSet::new(),
            Compile::Behind => self.uncompiled(&judge, &contents),
        };
        let seen = contents
            .iter()
            .map(|content| (content.file.clone(), Mark::from(content)));
        let exchanges = self.exchanges.after(seen.collect(), &uncompiled);
        let mut contents: BTreeMap<_, _> = contents
            .into_iter()
            .map(|content| (content.file.clone(), Some(content)))
            .collect();
        // What is gone may have to wait, too.
        exchanges.waiting().for_each(|file| {
            contents.entry(file.clone()).or_default();
        });
        let (mut names, mut files) = (HashMap::<_, String>::new(), BTreeMap::new());
        for (file, content) in &contents {
            let (name, before) = (name_of(file), self.files.get(file));
            let other = names.get(&name).map(String::as_str);
            let decides = before.is_some_and(|before| before.good.is_some());
            let entry = match exchanges.holds(file) && (other.is_none() || !decides) {
                true => before.cloned(),
                false => content
                    .as_ref()
                    .map(|content| judge.entry(content, before, other)),
            };
            let Some(entry) = entry else { continue };
            if entry.good.is_some() {
                names.insert(name, entry.listed.name.clone());
            }
            files.insert(file.clone(), entry);
        }
        let next = exchanges.waiting().find(|file| uncompiled.contains(*file));
        let next = next.and_then(|file| contents.remove(file)?);
        Found {
            files,
            uncompiled: next.and_then(|content| Uncompiled::of(loader, content)),
            exchanges,
        }
    }

    /// The files that cannot be judged before the compiler was at them.
    fn uncompiled(&self, judge: &Judge<'_>, contents: &[Content]) -> BTreeSet<PathBuf> {
        let (mut names, mut uncompiled) = (HashSet::new(), BTreeSet::new());
        for content in contents {
            let name = name_of(&content.file);
            if names.contains(&name) {
                continue;
            }
            match judge.readiness(content, self.files.get(&content.file)) {
                Readiness::Ready => {}
                Readiness::Good => {
                    names.insert(name);
                }
                Readiness::Uncompiled => {
                    uncompiled.insert(content.file.clone());
                }
            }
        }
        uncompiled
    }

    /// The folder as a whole is refused: what decides goes on to.
    fn closed(&mut self, which: Which, fault: Fault) -> Look {
        let mut refusal = listed(&self.folder);
        refusal.name = self.folder.display().to_string();
        refusal.state = State::Refused(fault.text.clone());
        let mut look = self.renew(which, Some(((fault.clone(), None), refusal)));
        look.site = Site::Refused(fault);
        look
    }

    fn put(&mut self, which: Which, found: Found, site: Site) -> Look {
        let is_mended = |(file, entry): &(&PathBuf, &Entry)| {
            let before = self.files.get(*file);
            before.is_some_and(|before| entry.mends(before))
        };
        let mended = found.files.iter().filter(is_mended);
        let mended = mended.map(|(_, entry)| entry.listed.known_as()).collect();
        (self.files, self.exchanges) = (found.files, found.exchanges);
        self.there = site == Site::There;
        // What was compiled is wanted again when a folder comes back.
        if let Some(loader) = self.loader.as_ref().filter(|_| self.there) {
            loader.prune(&self.digests(), &self.exchanges.digests_waiting());
        }
        let mut look = self.renew(which, None);
        (look.site, look.mended, look.uncompiled) = (site, mended, found.uncompiled);
        look
    }

    /// A new set of what is known now, and what is new about it.
    fn renew(&mut self, which: Which, closed: Option<(Told, Listed)>) -> Look {
        let plugins: Vec<_> = self.plugins().cloned().collect();
        let changes = Changes::between(&self.set.plugins, &plugins);
        let mut listed: Vec<_> = self.files.values().map(|entry| entry.listed.clone()).collect();
        let mut wrong: Vec<_> = self.files.values().filter_map(Entry::wrong).collect();
        if let Some((told, refusal)) = closed {
            listed.push(refusal);
            wrong.push((told, Instead::All));
        }
        let loader = self.loader.as_ref();
        let slots = self.slots();
        measure(&self.set.plugins, &plugins);
        self.set = Arc::new_cyclic(|set| Policies {
            plugins,
            slots,
            listed,
            services: loader.map(|loader| loader.services(set)),
        });
        let before = std::mem::take(&mut self.told);
        self.told = wrong.iter().map(|(told, _)| known(told)).collect();
        Look {
            policies: Arc::clone(&self.set),
            faults: wrong.iter().map(|((fault, _), _)| fault.clone()).collect(),
            is_new: self.told.iter().any(|told| !before.contains(told)),
            news: wrong
                .into_iter()
                .filter(|(told, _)| which == Which::All || !before.contains(&known(told)))
                .map(|((fault, _), instead)| News { fault, instead })
                .collect(),
            changes,
            mended: Vec::new(),
            site: Site::There,
            uncompiled: None,
        }
    }

    fn plugins(&self) -> impl Iterator<Item = &Arc<Plugin>> {
        let good = self.files.values().filter_map(|entry| entry.good.as_ref());
        good.map(|version| &version.plugin)
    }

    /// What is asked, in its order: a policy and what lies beside it have one place.
    fn slots(&self) -> Vec<Arc<Slot>> {
        let mut pairs: BTreeMap<String, (Option<&Entry>, Option<&Entry>)> = BTreeMap::new();
        for entry in self.files.values().filter(|entry| entry.good.is_some()) {
            let (name, place) = placed(&entry.listed.name);
            // As their files are ordered.
            let pair = pairs.entry(format!("{name}.wasm")).or_default();
            match place {
                Place::Own => pair.0 = Some(entry),
                Place::Beside => pair.1 = Some(entry),
            }
        }
        let plugin = |entry: &Entry| entry.good.as_ref().map(|good| Arc::clone(&good.plugin));
        let made = pairs.into_values().flat_map(|(own, beside)| {
            let own = own.and_then(|own| Some((plugin(own)?, own.earlier.clone())));
            Slot::make(own, beside.and_then(plugin), &self.set.slots)
        });
        made.collect()
    }

    /// Of all that was compiled and may be wanted again.
    fn digests(&self) -> HashSet<&str> {
        let serving = self.plugins().map(|plugin| plugin.digest.as_str());
        let listed = self.files.values().map(|entry| entry.listed.digest.as_str());
        serving.chain(listed).chain(self.exchanges.digests()).collect()
    }
}

impl Entry {
    /// What is wrong with it, and what decides in its stead.
    fn wrong(&self) -> Option<(Told, Instead)> {
        let wrong = self.wrong.as_ref()?;
        let instead = self
            .listed
            .serving
            .clone()
            .map_or(Instead::Nothing, Instead::Earlier);
        Some((wrong.told.clone(), instead))
    }

    /// It is the very version that decided while the file was wrong.
    fn mends(&self, before: &Self) -> bool {
        match (&self.good, &before.good) {
            (Some(good), Some(earlier)) => {
                self.wrong.is_none() && before.wrong.is_some() && Arc::ptr_eq(&good.plugin, &earlier.plugin)
            }
            _ => false,
        }
    }
}

impl Version {
    /// The last version of another component that was in service before this one: the same octets are no cure, and
    /// what their file no longer grants does not come back.
    fn behind(&self, before: Option<&Entry>) -> Option<Arc<Plugin>> {
        let (entry, good) = before.and_then(|entry| Some((entry, entry.good.as_ref()?)))?;
        let is_fit = good.plugin.mode() == Mode::Enforce && good.plugin.health.trouble().is_none();
        let last = is_fit.then(|| Arc::clone(&good.plugin));
        let mut known = last.into_iter().chain(entry.earlier.clone());
        known.find(|plugin| plugin.digest != self.plugin.digest)
    }
}

fn is_compiled(file: &Path) -> bool {
    file.extension().is_some_and(|extension| extension == "cwasm")
}

fn name_of(file: &Path) -> String {
    own_name(&listed(file).name).to_owned()
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
