//! From a folder to policies in force.
//!
//! Every file is compiled, compared with the contract by name, linked, tried and asked about its settings,
//! on a thread of its own: a compiler that panics costs that file. What is wrong with one is a [`Fault`] of
//! one line (what, where, how to mend), and the others are loaded.

pub mod stand;

use super::cache::{self, Cache};
use super::capabilities::tree::Room;
use super::guest::Guest;
use super::limits::{Limit, Limits};
use super::manifest::{self, KvGrant, Manifest};
use super::plugin::{Failed, Failure, Plugin, Services};
use super::questions::{Answers, Ask, Question, Said};
use super::runtime::Guests;
use super::{AddressCheck, Facts, Policies, capabilities, engine, imports};
use crate::config::PolicyLimits;
use crate::config::units::Span;
use crate::store::Store;
use anyhow::Context as _;
use std::collections::HashSet;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};
use wasmtime::component::{Component, Linker};

/// Compilers recurse deeply into large components.
const COMPILER_STACK: usize = 16 << 20;

/// What policies are loaded with.
#[derive(Debug)]
pub struct LoadOptions {
    /// Where compiled components are kept: the owner's alone. None: nowhere.
    pub cache_dir: Option<PathBuf>,
    /// For `kv`.
    pub store: Arc<dyn Store>,
    pub limits: PolicyLimits,
    pub addresses: Arc<dyn AddressCheck>,
}

/// Why a policy was not loaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    pub path: PathBuf,
    /// What is wrong, and behind it how to mend it.
    pub text: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path.display(), self.text)
    }
}

/// One file of the folder, for a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// `20-greylist`.
    pub name: String,
    pub file: PathBuf,
    /// SHA-256; empty for a file that was not read.
    pub digest: String,
    /// The questions it answers, in the words of the `failure` section.
    pub answers: Vec<&'static str>,
    pub state: State,
    /// Zero for a policy whose own file is at fault; so is `memory`.
    pub deadline: Duration,
    pub memory: u64,
    /// The octets of its kv grant.
    pub kv: Option<u64>,
}

/// What became of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    Loaded,
    /// `enabled: false`.
    Disabled,
    /// The text of its fault.
    Refused(String),
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Loaded => f.write_str("loaded"),
            Self::Disabled => f.write_str("disabled"),
            Self::Refused(text) => write!(f, "refused: {text}"),
        }
    }
}

impl Policies {
    /// Loads all `*.wasm` of a folder in the order of their names. A folder that is not there has none. Err
    /// only where nothing can be run at all.
    pub fn load(folder: &Path, options: LoadOptions) -> anyhow::Result<(Self, Vec<Fault>)> {
        let files = scan(folder)?;
        if files.is_empty() {
            return Ok((Self::default(), Vec::new()));
        }
        let loader = Loader::new(options)?;
        let mut policies = Self::default();
        let mut faults = Vec::new();
        let mut names = HashSet::new();
        for file in files {
            let mut listed = listed(&file);
            let loaded = match names.insert(own_name(&listed.name).to_owned()) {
                true => loader.load_apart(&file, &mut listed),
                false => Err(refused(
                    &file,
                    "another policy has this name behind its number; rename one of them",
                )),
            };
            match loaded {
                Ok(plugin) => policies.plugins.extend(plugin),
                Err(fault) => {
                    listed.state = State::Refused(fault.text.clone());
                    faults.push(fault);
                }
            }
            policies.listed.push(listed);
        }
        let digests = policies.listed.iter().map(|listed| listed.digest.as_str());
        loader.cache.prune(&digests.collect());
        policies.services = Some(loader.services);
        Ok((policies, faults))
    }
}

/// The components of a folder, sorted by name; those whose name begins with a dot are on their way in.
fn scan(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => {
            return Err(error).with_context(|| format!("cannot read the policy folder {}", folder.display()));
        }
    };
    let mut files = Vec::new();
    for entry in entries {
        let path = entry?.path();
        let hidden = path
            .file_name()
            .is_some_and(|name| name.to_string_lossy().starts_with('.'));
        if path.extension().is_some_and(|extension| extension == "wasm") && !hidden {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// `20-greylist` without its number: what it has stored stays its own when it is put elsewhere in the order.
fn own_name(stem: &str) -> &str {
    let behind = stem.trim_start_matches(|c: char| c.is_ascii_digit());
    match behind.strip_prefix('-') {
        Some(name) if !name.is_empty() => name,
        _ => stem,
    }
}

fn listed(file: &Path) -> Listed {
    Listed {
        name: file
            .file_stem()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned(),
        file: file.to_owned(),
        digest: String::new(),
        answers: Vec::new(),
        state: State::Loaded,
        deadline: Duration::ZERO,
        memory: 0,
        kv: None,
    }
}

/// A fault on one line, whatever its parts had.
fn refused(path: &Path, text: impl Into<String>) -> Fault {
    let text: String = text.into();
    let words: Vec<&str> = text.split_whitespace().collect();
    Fault {
        path: path.to_owned(),
        text: words.join(" "),
    }
}

/// Does it on a thread that compilers have room on. A panic costs that file.
fn apart<T: Send>(file: &Path, deed: impl FnOnce() -> Result<T, Fault> + Send) -> Result<T, Fault> {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new()
            .name("policy-loader".to_owned())
            .stack_size(COMPILER_STACK)
            .spawn_scoped(scope, deed);
        match thread.map(std::thread::ScopedJoinHandle::join) {
            Ok(Ok(done)) => done,
            Ok(Err(_)) => Err(refused(
                file,
                "the compiler failed on it; build it with another toolchain",
            )),
            Err(error) => Err(refused(
                file,
                format!("no thread to compile it: {error}; try again"),
            )),
        }
    })
}

/// What all files of a folder are loaded with.
struct Loader {
    guests: Arc<Guests>,
    linker: Linker<Guest>,
    cache: Cache,
    limits: PolicyLimits,
    services: Services,
}

impl Loader {
    fn new(options: LoadOptions) -> anyhow::Result<Self> {
        let limits = options.limits;
        let engine = engine::start(limits.instances)?;
        let mut linker = Linker::new(&engine);
        capabilities::link(&mut linker)?;
        Ok(Self {
            cache: Cache::open(options.cache_dir.as_deref(), &engine),
            linker,
            guests: Arc::new(Guests::start(engine, limits.instances as usize)?),
            limits,
            services: Services {
                store: options.store,
                addresses: options.addresses,
                room: Room::new(limits.mime),
                observer: None,
            },
        })
    }

    /// Loads one on a thread of its own. None: it is disabled.
    fn load_apart(&self, file: &Path, listed: &mut Listed) -> Result<Option<Arc<Plugin>>, Fault> {
        apart(file, || self.load(file, listed))
    }

    fn load(&self, file: &Path, listed: &mut Listed) -> Result<Option<Arc<Plugin>>, Fault> {
        let manifest = self.manifest(file, &listed.name)?;
        listed.deadline = manifest.limits.deadline;
        listed.memory = manifest.limits.memory;
        listed.kv = manifest.kv.as_ref().map(|KvGrant { bytes, .. }| *bytes);
        if manifest.state == manifest::State::Disabled {
            listed.state = State::Disabled;
            return Ok(None);
        }
        let wasm = std::fs::read(file)
            .map_err(|error| refused(file, format!("cannot be read: {error}; make it readable")))?;
        listed.digest = cache::digest(&wasm);
        let component = self.component(file, &wasm, &listed.digest)?;
        let plugin = Arc::new(self.plugin(file, &component, manifest, listed)?);
        self.trial(file, &plugin)?;
        Ok(Some(plugin))
    }

    fn manifest(&self, file: &Path, name: &str) -> Result<Manifest, Fault> {
        let path = file.with_extension("yaml");
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
            Err(error) => {
                return Err(refused(
                    &path,
                    format!("cannot be read: {error}; make it readable"),
                ));
            }
        };
        let usual = Limits::usual(self.limits.deadline, self.limits.memory);
        Manifest::parse(&text, own_name(name), usual).map_err(|text| refused(&path, text))
    }

    fn component(&self, file: &Path, wasm: &[u8], digest: &str) -> Result<Component, Fault> {
        if wasm.starts_with(b"\0asm\x01\0\0\0") {
            return Err(refused(
                file,
                "is a module, not a component; build it for wasm32-wasip2 or wrap it with wasm-tools component new",
            ));
        }
        let component = self.cache.component(&self.guests.engine, wasm, digest);
        component.map_err(|error| {
            let text = format!("is no component that runs here: {error:#}; build it for wasm32-wasip2");
            refused(file, text)
        })
    }

    fn plugin(
        &self,
        file: &Path,
        component: &Component,
        manifest: Manifest,
        listed: &mut Listed,
    ) -> Result<Plugin, Fault> {
        imports::check(&self.guests.engine, component).map_err(|text| refused(file, text))?;
        let misfit = |error: wasmtime::Error| {
            let text =
                format!("does not fit postern:policy 0.1.0: {error:#}; build it against the wit served");
            refused(file, text)
        };
        let pre = self.linker.instantiate_pre(component).map_err(misfit)?;
        let answers = Answers::of(&pre).map_err(misfit)?;
        let answered = Question::ALL
            .into_iter()
            .filter(|question| answers.has(*question));
        listed.answers = answered.map(Question::word).collect();
        if listed.answers.is_empty() {
            let text =
                "answers no question; export an interface of postern:policy 0.1.0, such as message-filter";
            return Err(refused(file, text));
        }
        Ok(Plugin::new(
            listed,
            manifest,
            pre,
            answers,
            Arc::clone(&self.guests),
        ))
    }

    /// An instance, the types of its answers, and what it says to its settings, all within the time that is
    /// given to a trial. A policy that may think longer about mail may also think longer about its settings.
    fn trial(&self, file: &Path, plugin: &Arc<Plugin>) -> Result<(), Fault> {
        let call = || plugin.call(&self.services, Facts::default(), None, Vec::new());
        let limit = self.limits.trial.max(plugin.limits().deadline);
        let end = Instant::now() + limit;
        let left = || end.saturating_duration_since(Instant::now());
        let failed = |error: &Failed| refused(file, unfit(error, limit));
        let handle = &self.guests.handle;
        let tried = handle.block_on(plugin.try_out(left(), call()));
        tried.map_err(|error| failed(&error))?;
        if plugin.answers(Question::Validate) {
            let heard = handle.block_on(plugin.ask_within(left(), Ask::Validate, call()));
            let heard = heard.map_err(|error| failed(&error))?;
            if let Said::Validated(Err(text)) = heard.said {
                let path = file.with_extension("yaml");
                return Err(refused(&path, format!("settings: {text}; mend them there")));
            }
        }
        Ok(())
    }
}

/// What is said of a policy that did not stand its trial.
fn unfit(error: &Failed, limit: Duration) -> String {
    let output = match error.output.as_str() {
        "" => String::new(),
        output => format!(": {output}"),
    };
    match &error.failure {
        Failure::TimeOut | Failure::Busy => {
            Limit::Trial.hit();
            format!(
                "does not run: it did not start and say what it thinks of its settings within {}{output}; \
                 mend it, or give it longer by policy.trial",
                Span(limit)
            )
        }
        failure => format!("does not run: {failure}{output}; mend it or its limits"),
    }
}

#[cfg(test)]
mod tests;
