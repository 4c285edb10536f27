//! From a file to a policy that can be asked.
//!
//! A component is compiled, compared with the contract by name, linked, tried and asked about its settings,
//! on a thread of its own that stands back: a compiler that panics costs that file. What is wrong is a [`Fault`]
//! of one line (what, where, how to mend).

mod compiled;
mod compiling;
pub mod stand;

use super::cache::{self, Cache, Keep};
use super::capabilities::tree::Room;
use super::grants::DirectorySource;
use super::guest::Guest;
use super::http::{Answering, Client, Trust};
use super::limits::{Limit, Limits};
use super::manifest::{KvGrant, Manifest};
use super::plugin::{Addresses, Failed, Failure, Plugin, Services};
use super::questions::{Answers, Ask, Question, Said};
use super::runtime::Guests;
use super::{AddressCheck, Facts, Policies, capabilities, contract, engine, imports, runtime};
use crate::config::PolicyLimits;
use crate::config::units::Span;
use crate::dns::Lookup;
use crate::store::Store;
use compiled::Compiled;
pub(crate) use compiling::Compiling;
use std::collections::HashSet;
use std::fmt;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};
use wasmtime::component::{Component, Linker};

/// Compilers recurse deeply into large components.
const COMPILER_STACK: usize = 16 << 20;
/// Octets of what a policy may say against its settings; it goes to the log, on one line.
const LONGEST_OBJECTION: usize = 1000;

/// What policies are loaded with.
#[derive(Debug, Clone)]
pub struct LoadOptions {
    /// Where compiled components are kept.
    pub keep: Keep,
    /// For `kv`.
    pub store: Arc<dyn Store>,
    pub dns: Arc<dyn Lookup>,
    pub limits: PolicyLimits,
    pub addresses: Arc<dyn AddressCheck>,
    /// For `directory`.
    pub directory: Arc<dyn DirectorySource>,
    /// Whether opinions have their steps, for `postern explain`.
    pub explains: bool,
    /// Names of those whose sessions ask policies; none where they are not known.
    pub listeners: Vec<String>,
}

/// Why a policy was not loaded.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Fault {
    pub path: PathBuf,
    /// What is wrong, and behind it how to mend it.
    pub text: String,
    /// It may be well at the next try, though nobody mends anything.
    pub passes: bool,
    /// What the policy itself has against its settings, where that is all.
    pub objection: Option<Box<str>>,
    /// How a trial ended whose text has words of the guest's, which may be others each time.
    pub ending: Option<Ended>,
}

/// How a trial ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Ended {
    TimeOut,
    Busy,
    /// By a trap, or by an answer that is none.
    Failed,
    /// The policy has something against its settings.
    Settings,
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
    /// SHA-256 of the file beside it; empty for one that was not read.
    pub yaml: String,
    /// The digest of the version that decides, if one does.
    pub serving: Option<String>,
    /// The questions it answers, in the words of the `failure` section.
    pub answers: Vec<&'static str>,
    pub state: State,
    /// Zero for a policy whose own file is at fault; so is `memory`.
    pub deadline: Duration,
    pub memory: u64,
    /// The octets of its kv grant.
    pub kv: Option<u64>,
    /// `enforce`, `shadow`, `canary 5 %`.
    pub mode: String,
}

impl Listed {
    /// With the first digits of its digest.
    pub(super) fn known_as(&self) -> String {
        format!("{} {}", self.name, short(&self.digest))
    }
}

/// What became of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    Loaded,
    /// `enabled: false`.
    Disabled,
    /// The text of its fault.
    Refused(String),
    /// The text of its fault; the last version without one decides.
    Earlier {
        digest: String,
        fault: String,
    },
}

impl State {
    /// All that there are.
    pub(super) const WORDS: [&str; 4] = ["loaded", "disabled", "refused", "earlier"];

    /// As it is written in the label of the metric.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Loaded => "loaded",
            Self::Disabled => "disabled",
            Self::Refused(_) => "refused",
            Self::Earlier { .. } => "earlier",
        }
    }

    /// What is wrong with the file, if anything is.
    pub fn fault(&self) -> Option<&str> {
        match self {
            Self::Loaded | Self::Disabled => None,
            Self::Refused(fault) | Self::Earlier { fault, .. } => Some(fault),
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Loaded | Self::Disabled => f.write_str(self.word()),
            Self::Refused(text) => write!(f, "refused: {text}"),
            Self::Earlier { digest, fault } => {
                write!(f, "earlier version {} serves on; refused: {fault}", short(digest))
            }
        }
    }
}

/// A digest as people compare it.
pub(crate) fn short(digest: &str) -> &str {
    digest.get(..8).unwrap_or(digest)
}

/// `20-greylist` without its number: what it has stored stays its own when it is put elsewhere in the order.
pub(crate) fn own_name(stem: &str) -> &str {
    let behind = stem.trim_start_matches(|c: char| c.is_ascii_digit());
    match behind.strip_prefix('-') {
        Some(name) if !name.is_empty() => name,
        _ => stem,
    }
}

/// What is known of a file before it is read.
pub(super) fn listed(file: &Path) -> Listed {
    // A file that is no component must not be taken for the one of its name.
    let stem = match file.extension() {
        Some(extension) if extension == "wasm" => file.file_stem(),
        _ => file.file_name(),
    };
    Listed {
        name: stem.unwrap_or_default().to_string_lossy().into_owned(),
        file: file.to_owned(),
        digest: String::new(),
        yaml: String::new(),
        serving: None,
        answers: Vec::new(),
        state: State::Loaded,
        deadline: Duration::ZERO,
        memory: 0,
        kv: None,
        mode: String::new(),
    }
}

/// A fault on one line, whatever its parts had.
pub(super) fn refused(path: &Path, text: impl Into<String>) -> Fault {
    let text: String = text.into();
    let words: Vec<&str> = text.split_whitespace().collect();
    Fault {
        path: path.to_owned(),
        text: words.join(" "),
        passes: false,
        objection: None,
        ending: None,
    }
}

/// One that may be over by the next try.
pub(super) fn passing(path: &Path, text: impl Into<String>) -> Fault {
    Fault {
        passes: true,
        ..refused(path, text)
    }
}

/// What cannot be read is refused, be it a file or a folder.
pub(super) fn unreadable(path: &Path, error: &std::io::Error) -> Fault {
    let text = format!("cannot be read: {error}; make it readable");
    match error.kind() {
        ErrorKind::PermissionDenied | ErrorKind::NotADirectory => refused(path, text),
        _ => passing(path, text),
    }
}

/// Does it on a thread that compilers have room on, and that stands back. A panic costs that file.
fn apart<T: Send>(file: &Path, deed: impl FnOnce() -> Result<T, Fault> + Send) -> Result<T, Fault> {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new()
            .name("policy-loader".to_owned())
            .stack_size(COMPILER_STACK)
            .spawn_scoped(scope, || {
                runtime::step_back();
                deed()
            });
        match thread.map(std::thread::ScopedJoinHandle::join) {
            Ok(Ok(done)) => done,
            Ok(Err(_)) => Err(refused(
                file,
                "the compiler failed on it; build it with another toolchain",
            )),
            Err(error) => Err(passing(
                file,
                format!("no thread to compile it: {error}; try again"),
            )),
        }
    })
}

/// What all files of a folder are loaded with, whenever they are.
pub(super) struct Loader {
    pub(super) guests: Arc<Guests>,
    linker: Linker<Guest>,
    pub(super) cache: Cache,
    compiled: Compiled,
    compiling: Compiling,
    limits: PolicyLimits,
    listeners: Vec<String>,
    /// Of a set that is not there yet.
    services: Services,
    trust: Trust,
    answering: Answering,
}

impl Loader {
    pub(super) fn new(options: &LoadOptions, compiling: Compiling) -> anyhow::Result<Self> {
        let limits = options.limits;
        let engine = engine::start(limits.instances + limits.shadow_instances)?;
        let mut linker = Linker::new(&engine);
        capabilities::link(&mut linker)?;
        Ok(Self {
            cache: Cache::open(&options.keep, &engine),
            compiled: Compiled::default(),
            compiling,
            linker,
            guests: Arc::new(Guests::start(engine, &limits)?),
            limits,
            listeners: options.listeners.clone(),
            services: Services {
                store: Arc::clone(&options.store),
                dns: Arc::clone(&options.dns),
                addresses: Addresses {
                    check: Arc::clone(&options.addresses),
                    set: Weak::new(),
                },
                directory: Arc::clone(&options.directory),
                room: Room::new(limits.mime),
                explains: options.explains,
                observer: None,
                overlay: None,
            },
            trust: Trust::default(),
            answering: Answering::Network,
        })
    }

    /// What the calls of one set use. Store and room are the same for all.
    pub(super) fn services(&self, set: &Weak<Policies>) -> Services {
        let mut services = self.services.clone();
        services.addresses.set = Weak::clone(set);
        services
    }

    /// What the administrator says about a policy, in the text of the file beside it.
    pub(super) fn manifest(&self, text: &str, listed: &mut Listed) -> Result<Manifest, Fault> {
        let usual = Limits::usual(self.limits.deadline, self.limits.memory);
        let wrong = |text: String| refused(&listed.file.with_extension("yaml"), text);
        let manifest = Manifest::parse(text, own_name(&listed.name), usual).map_err(wrong)?;
        manifest.check_listeners(text, &self.listeners).map_err(wrong)?;
        listed.yaml = cache::digest(text.as_bytes());
        listed.mode = manifest.mode.to_string();
        listed.deadline = manifest.limits.deadline;
        listed.memory = manifest.limits.memory;
        listed.kv = manifest.kv.as_ref().map(|KvGrant { bytes, .. }| *bytes);
        Ok(manifest)
    }

    /// Makes a policy of these octets, whose digest is listed, on a thread of its own.
    pub(super) fn load(
        &self,
        wasm: &[u8],
        manifest: Manifest,
        listed: &mut Listed,
    ) -> Result<Arc<Plugin>, Fault> {
        let file = listed.file.clone();
        apart(&file, || self.load_here(wasm, manifest, listed))
    }

    fn load_here(&self, wasm: &[u8], manifest: Manifest, listed: &mut Listed) -> Result<Arc<Plugin>, Fault> {
        let file = listed.file.clone();
        let component = self.component(&file, wasm, &listed.digest)?;
        let plugin = Arc::new(self.plugin(&file, &component, manifest, listed)?);
        self.trial(&file, &plugin)?;
        Ok(plugin)
    }

    fn component(&self, file: &Path, wasm: &[u8], digest: &str) -> Result<Component, Fault> {
        match self.compiled(file, wasm, digest)? {
            Some(component) => Ok(component),
            None => self.compile(file, wasm, digest),
        }
    }

    /// What was compiled of these octets before. None: it is for the compiler to say what they are.
    pub(super) fn compiled(
        &self,
        file: &Path,
        wasm: &[u8],
        digest: &str,
    ) -> Result<Option<Component>, Fault> {
        if !wasm.starts_with(b"\0asm") {
            let begin = wasm.get(..8).unwrap_or(wasm).escape_ascii();
            let text = format!("is no WebAssembly: it begins with \"{begin}\"; put the whole component here");
            return Err(refused(file, text));
        }
        if wasm.starts_with(b"\0asm\x01\0\0\0") {
            return Err(refused(
                file,
                "is a module, not a component; build it for wasm32-wasip2 or wrap it with wasm-tools component new",
            ));
        }
        if let Some(made) = self.compiled.find(digest) {
            // The same octets may lie there under two names.
            let here = |fault| Fault {
                path: file.to_owned(),
                ..fault
            };
            return made.map(Some).map_err(here);
        }
        let found = self.cache.find(&self.guests.engine, digest);
        Ok(found.inspect(|component| self.compiled.put(digest, Ok(component.clone()))))
    }

    fn compile(&self, file: &Path, wasm: &[u8], digest: &str) -> Result<Component, Fault> {
        let _compilation = self.compiling.begin(file);
        let component = self.cache.compile(&self.guests.engine, (file, wasm), digest);
        let component = component.map_err(|error| {
            let text = format!("is no component that runs here: {error:#}; build it for wasm32-wasip2");
            refused(file, text)
        })?;
        self.compiled.put(digest, Ok(component.clone()));
        Ok(component)
    }

    /// Compiles these octets, for who loads them next: what the compiler has against them is told then.
    pub(super) fn prepare(&self, file: &Path, wasm: &[u8], digest: &str) {
        if let Err(fault) = apart(file, || self.compile(file, wasm, digest)) {
            self.compiled.put(digest, Err(fault));
        }
    }

    /// Forgets what was compiled of all but these, and what the compiler has against others than those that wait.
    pub(super) fn prune(&self, wanted: &HashSet<&str>, waiting: &HashSet<&str>) {
        self.cache.prune(wanted);
        self.compiled.keep(wanted, waiting);
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
            let text = format!(
                "does not fit {}: {error:#}; build it against the wit served",
                contract::SERVED
            );
            refused(file, text)
        };
        let pre = self.linker.instantiate_pre(component).map_err(misfit)?;
        let answers = Answers::of(&pre).map_err(misfit)?;
        let answered = Question::ALL
            .into_iter()
            .filter(|question| answers.has(*question));
        listed.answers = answered.map(Question::word).collect();
        if listed.answers.is_empty() {
            let text = format!(
                "answers no question; export an interface of {}, such as message-filter",
                contract::SERVED
            );
            return Err(refused(file, text));
        }
        let http = self.client(&manifest, file).map_err(|text| {
            let text = format!("grants.http.ca: {text}");
            refused(&file.with_extension("yaml"), text)
        })?;
        Ok(Plugin::new(
            listed,
            manifest,
            http,
            pre,
            answers,
            Arc::clone(&self.guests),
        ))
    }

    /// The way to the hosts that a policy was granted. An authority's file is named from the policy's own folder.
    fn client(&self, manifest: &Manifest, file: &Path) -> Result<Option<Arc<Client>>, String> {
        let Some(grant) = manifest.grants.http.clone() else {
            return Ok(None);
        };
        let client = match &self.answering {
            Answering::Written(answers) => Client::written(grant, Arc::clone(answers)),
            Answering::Network => {
                let folder = file.parent().unwrap_or(Path::new(""));
                let ca = grant.ca.as_ref().map(|ca| folder.join(ca));
                let tls = self.trust.connector(ca.as_deref())?;
                Client::network(grant, tls, Arc::clone(&self.services.dns))
            }
        };
        Ok(Some(Arc::new(client)))
    }

    /// An instance, the types of its answers, and what it says to its settings, all within the time that is
    /// given to a trial. A policy that may think longer about mail may also think longer about its settings.
    fn trial(&self, file: &Path, plugin: &Arc<Plugin>) -> Result<(), Fault> {
        let call = || plugin.call(&self.services, Facts::default(), None, Vec::new());
        let limit = self.limits.trial.max(plugin.limits().deadline);
        let end = Instant::now() + limit;
        let left = || end.saturating_duration_since(Instant::now());
        let failed = |error: &Failed| unfit(file, error, limit);
        let handle = &self.guests.handle;
        let tried = handle.block_on(plugin.try_out(left(), call()));
        tried.map_err(|error| failed(&error))?;
        if plugin.answers(Question::Validate) {
            let heard = handle.block_on(plugin.ask_within(left(), Ask::Validate, call()));
            let heard = heard.map_err(|error| failed(&error))?;
            if let Said::Validated(Err(text)) = heard.said {
                return Err(objection(&file.with_extension("yaml"), &text, heard.store_failed));
            }
        }
        Ok(())
    }
}

/// What a policy has against its settings, which may be that the store was away.
fn objection(path: &Path, text: &str, store_failed: bool) -> Fault {
    let text = capabilities::line(text, LONGEST_OBJECTION);
    match store_failed {
        true => Fault {
            ending: Some(Ended::Settings),
            ..passing(
                path,
                format!("settings: {text}; the store failed meanwhile, try again"),
            )
        },
        false => Fault {
            objection: Some(text.as_str().into()),
            ..refused(path, format!("settings: {text}; mend them there"))
        },
    }
}

/// What is said of a policy that did not stand its trial.
fn unfit(file: &Path, error: &Failed, limit: Duration) -> Fault {
    let output = match error.output.as_str() {
        "" => String::new(),
        output => format!(": {output}"),
    };
    let fault = match &error.failure {
        Failure::TimeOut => {
            Limit::Trial.hit();
            let text = format!(
                "does not run: it did not start and say what it thinks of its settings within {}{output}; \
                 mend it, or give it longer by policy.trial",
                Span(limit)
            );
            passing(file, text)
        }
        Failure::Busy => {
            Limit::Instances.hit();
            let text = format!(
                "was not tried: policy.instances calls ran all the while, for {}; try again, or raise that",
                Span(limit)
            );
            passing(file, text)
        }
        failure if error.store_failed => {
            let text = format!("does not run: {failure}{output}; the store failed meanwhile, try again");
            passing(file, text)
        }
        failure => refused(
            file,
            format!("does not run: {failure}{output}; mend it or its limits"),
        ),
    };
    Fault {
        ending: Some(match error.failure {
            Failure::TimeOut => Ended::TimeOut,
            Failure::Busy => Ended::Busy,
            _ => Ended::Failed,
        }),
        ..fault
    }
}

#[cfg(test)]
pub(super) mod tests;
