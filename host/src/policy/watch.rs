//! The policy folder while a gateway runs: it is watched, and what changes is in force from the next session on.
//!
//! Who copies files into a folder makes many events of it: they are gathered until it is quiet. All that blocks (the
//! file system, the compiler, trials) does so off the I/O threads, and a panic there costs that look. Where a folder
//! cannot be watched, or a refusal may be over by itself, it is looked at every few seconds; and every minute in any
//! case, for mounts and network file systems make no events.
//!
//! What a look finds that is to be compiled is compiled beside further looks, one component at a time. When that is
//! over the folder is looked at again, and what is there then is put in force.

mod sight;

use super::limits::Limit;
use super::load::{LoadOptions, State, short};
use super::shelf::{Instead, Look, Shelf, Site, Uncompiled, Which};
use super::{InForce, Listed, runtime};
use sight::Sight;
use std::future::pending;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, oneshot};
use tokio::time::{Instant, sleep, sleep_until, timeout, timeout_at};
use tokio_util::sync::CancellationToken;

/// How often a folder is looked at that cannot be watched, or where something may be well at the next try.
const LOOK: Duration = Duration::from_secs(10);
/// How often any folder is looked at.
const SILENT_LOOK: Duration = Duration::from_secs(60);
/// A look that takes longer is told of while it lasts.
const LONG: Duration = Duration::from_secs(30);
/// A folder that is never quiet is looked at after so many times of what would be quiet.
const NEVER_QUIET: u32 = 10;

/// A policy folder under watch, and the set that came of it.
pub struct Watch {
    folder: PathBuf,
    settle: Duration,
    shelf: Mutex<Shelf>,
    in_force: Arc<InForce>,
    begin: Begin,
    /// None: it cannot be watched, and that has been said.
    sight: Mutex<Option<Sight>>,
    /// Something happened in the folder.
    stirred: Arc<Notify>,
    /// Somebody wants it looked at.
    asked: Notify,
    /// Something may be well at the next try.
    passes: AtomicBool,
}

/// The compiler at a component, if it is at one.
type Compiler = Option<Pin<Box<dyn Future<Output = Result<(), String>> + Send>>>;

/// Begins to watch a folder.
type Begin = fn(&Path, &Arc<Notify>) -> Result<Sight, String>;

impl std::fmt::Debug for Watch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Watch")
            .field("folder", &self.folder)
            .finish_non_exhaustive()
    }
}

impl Watch {
    /// Loads the folder, says what came of it, and notes from here on that something happens to it. Err only where
    /// the folder itself is refused or nothing can be run at all. One that is not there has no policies.
    pub fn open(folder: &Path, options: LoadOptions) -> anyhow::Result<Self> {
        Self::open_by(sight::watch, folder, options)
    }

    fn open_by(begin: Begin, folder: &Path, options: LoadOptions) -> anyhow::Result<Self> {
        let (settle, stirred) = (options.limits.settle, Arc::new(Notify::new()));
        let sight = see(begin, folder, &stirred, true);
        let (shelf, look) = Shelf::open(folder, options)?;
        match &look.site {
            Site::Refused(fault) => anyhow::bail!("{fault}"),
            Site::Missing | Site::Gone => tracing::warn!(folder = %folder.display(),
                "policy.folder is not there: no policy decides about mail until it is"),
            Site::There => {}
        }
        tell_faults(&look);
        let loaded = look
            .policies
            .list()
            .iter()
            .filter(|listed| listed.serving.is_some());
        loaded.for_each(tell_loaded);
        measure(folder, &look);
        Ok(Self {
            passes: AtomicBool::new(passes(&look)),
            folder: folder.to_owned(),
            settle,
            in_force: Arc::new(InForce::over(look.policies, shelf.compiling.clone())),
            shelf: Mutex::new(shelf),
            begin,
            sight: Mutex::new(sight),
            stirred,
            asked: Notify::new(),
        })
    }

    /// The place of the set that is in force.
    pub fn in_force(&self) -> Arc<InForce> {
        Arc::clone(&self.in_force)
    }

    /// Asks for a look at once, at what was refused before too.
    pub fn ask(&self) {
        self.asked.notify_one();
    }

    /// Looks whenever there is a reason to, until `end`. It waits for the end of a look, and for no compiler.
    pub async fn run(self: Arc<Self>, end: CancellationToken) {
        let in_force = self.in_force();
        let (mut compiler, mut looking): (Compiler, _) = (None, None);
        loop {
            let which = tokio::select! {
                () = end.cancelled() => return,
                which = self.next(&mut compiler) => which,
            };
            // Until nothing is left to be compiled.
            looking = looking.or_else(|| Some(in_force.begin_look()));
            let watch = Arc::clone(&self);
            let look = apart(move || watch.look(which));
            let long = || {
                tracing::warn!(folder = %self.folder.display(), since = ?LONG,
                    "a look at the policy folder takes long: its file system, or the trial of a policy, hangs; \
                     the policies before serve on");
            };
            match told_when_long(look, long).await {
                Ok(Some(uncompiled)) if compiler.is_none() => {
                    compiler = Some(Box::pin(apart(move || uncompiled.compile())));
                }
                Ok(_) => {}
                Err(error) => {
                    count("refused");
                    tracing::error!(folder = %self.folder.display(), %error,
                        "the policy folder could not be looked at; the set before serves on");
                }
            }
            if compiler.is_none() {
                looking = None;
            }
        }
    }

    /// Waits for a reason to look, and says at what.
    async fn next(&self, compiler: &mut Compiler) -> Which {
        tokio::select! {
            () = self.asked.notified() => Which::All,
            () = self.reason(compiler) => Which::Changed,
        }
    }

    /// Something happened, and is over.
    async fn reason(&self, compiler: &mut Compiler) {
        let often = self.passes.load(Ordering::Relaxed) || locked(&self.sight).is_none();
        tokio::select! {
            () = self.stirred.notified() => quiet(&self.stirred, self.settle).await,
            () = self.compiled(compiler) => {}
            () = sleep(if often { LOOK } else { SILENT_LOOK }) => {}
        }
    }

    /// Waits until the compiler has done what it is at. Where it could not begin it is asked again later.
    async fn compiled(&self, compiler: &mut Compiler) {
        let Some(work) = compiler else {
            return pending().await;
        };
        let done = work.await;
        *compiler = None;
        if let Err(error) = done {
            tracing::error!(folder = %self.folder.display(), %error, again = ?LOOK, "a policy could not be compiled");
            sleep(LOOK).await;
        }
    }

    /// Links may lead elsewhere by now, so the folder is watched anew first: what is missed in between is seen. Two
    /// watches at a time would be one too many where they are scarce. Some: this is to be compiled, and then it is
    /// time for another look.
    fn look(&self, which: Which) -> Option<Uncompiled> {
        let begun = Instant::now();
        let mut sight = locked(&self.sight);
        let before = sight.take().is_some();
        *sight = see(self.begin, &self.folder, &self.stirred, before);
        drop(sight);
        let look = locked(&self.shelf).look(which);
        self.in_force.put(Arc::clone(&look.policies));
        self.passes.store(passes(&look), Ordering::Relaxed);
        metrics::histogram!("postern_plugin_reload_seconds").record(begun.elapsed());
        measure(&self.folder, &look);
        tell_faults(&look);
        self.tell_site(&look);
        tell_changes(&look);
        look.uncompiled
    }

    fn tell_site(&self, look: &Look) {
        if look.site == Site::Gone {
            tracing::warn!(folder = %self.folder.display(),
                "the policy folder is gone: no policy decides about mail until it is there again");
        }
    }
}

/// On a thread of its own, which begins at once and stands back: all files are read each time, and compilers compute.
fn apart<T: Send + 'static>(
    deed: impl FnOnce() -> T + Send + 'static,
) -> impl Future<Output = Result<T, String>> {
    let (done, over) = oneshot::channel();
    let thread = std::thread::Builder::new()
        .name("policy-watch".to_owned())
        .spawn(move || {
            runtime::step_back();
            // Nobody waits any more where the gateway ends.
            let _ = done.send(deed());
        });
    async move {
        thread.map_err(|error| format!("no thread for it: {error}"))?;
        over.await
            .map_err(|_| "a fault of this program, which the log tells of".to_owned())
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Begins to watch, and says so once if that cannot be done, or can be again.
fn see(begin: Begin, folder: &Path, stirred: &Arc<Notify>, before: bool) -> Option<Sight> {
    match (begin(folder, stirred), before) {
        (Ok(sight), before) => {
            if !before {
                tracing::info!(folder = %folder.display(), "the policy folder is watched again");
            }
            Some(sight)
        }
        (Err(error), true) => {
            tracing::warn!(folder = %folder.display(), error, every = ?LOOK,
                "the policy folder cannot be watched and is looked at from time to time; \
                 make it readable, or raise fs.inotify.max_user_instances and fs.inotify.max_user_watches");
            None
        }
        (Err(_), false) => None,
    }
}

/// Waits for a look, and says once that it takes long.
async fn told_when_long<T>(look: impl Future<Output = T>, tell: impl FnOnce()) -> T {
    let mut look = std::pin::pin!(look);
    if let Ok(over) = timeout(LONG, &mut look).await {
        return over;
    }
    tell();
    look.await
}

fn passes(look: &Look) -> bool {
    look.faults.iter().any(|fault| fault.passes)
}

/// Waits until nothing has happened for `settle`, but for ten times as long at most.
async fn quiet(stirred: &Notify, settle: Duration) {
    let end = Instant::now() + settle * NEVER_QUIET;
    loop {
        let until = Instant::now() + settle;
        if until > end {
            sleep_until(end).await;
            return Limit::Settle.hit();
        }
        if timeout_at(until, stirred.notified()).await.is_err() {
            return;
        }
    }
}

fn tell_faults(look: &Look) {
    for news in &look.news {
        match &news.instead {
            Instead::Earlier(digest) => tracing::error!(
                fault = %news.fault,
                serving = short(digest),
                "a policy was not loaded; its earlier version serves on"
            ),
            Instead::Nothing => tracing::error!(fault = %news.fault, "a policy was not loaded"),
            Instead::All => tracing::error!(
                fault = %news.fault,
                "the policy folder was not loaded; the policies before serve on"
            ),
        }
    }
}

fn tell_loaded(listed: &Listed) {
    let answers = listed.answers.join(" ");
    tracing::info!(
        policy = listed.name,
        answers,
        digest = listed.digest,
        "policy loaded"
    );
}

fn tell_changes(look: &Look) {
    for policy in &look.mended {
        tracing::info!(policy, "a policy's file is right again, as it was; it serves on");
    }
    let changes = &look.changes;
    match (changes.are_none(), look.is_new) {
        (true, false) => count("unchanged"),
        (true, true) => count("refused"),
        (false, is_new) => {
            count("swapped");
            if is_new {
                count("refused");
            }
            tracing::info!(
                added = changes.added.join(", "),
                replaced = changes.replaced.join(", "),
                removed = changes.removed.join(", "),
                "policies swapped"
            );
        }
    }
}

fn count(result: &'static str) {
    metrics::counter!("postern_plugin_reloads_total", "result" => result).increment(1);
}

fn measure(folder: &Path, look: &Look) {
    // A folder that is refused is listed, and no policy.
    let files = || look.policies.list().iter().filter(|listed| listed.file != folder);
    for state in State::WORDS {
        let of_it = |listed: &&Listed| listed.state.word() == state;
        let count = files().filter(of_it).count();
        metrics::gauge!("postern_plugins", "state" => state).set(u32::try_from(count).unwrap_or(u32::MAX));
    }
}

#[cfg(test)]
mod tests;
