//! The store on this machine's disk, on fjall.
//!
//! Every write goes through one committer thread (`committer`) that commits in groups with fdatasync, so a write
//! is durable when it returns and ceilings are compared with exact usage. Reads go to the engine directly, off the
//! I/O threads where they may be long. Refused: a folder that another process has open, a store that lacks a part
//! (`place`), a journal that is damaged where it had been synced. When the engine fails the process ends with one
//! message (`Options::fatal`).

mod access;
mod archive;
mod change;
mod check;
mod chunks;
mod committer;
mod journal;
mod memtables;
mod moving;
mod options;
mod place;
mod rows;
mod space;
mod upkeep;

#[cfg(test)]
mod tests;

pub use archive::{ARCHIVE, ArchiveError, backup, restore};
pub use check::check;
pub use options::{Durability, Fatal, Options, PATIENCE};
pub use place::was_made;
pub use space::Probe;

use super::{Result, StoreError};
use change::Change;
use committer::{Committer, Failure, Need, Queue};
use fjall::config::CompressionPolicy;
use fjall::{CompressionType, Database, Keyspace, KeyspaceCreateOptions, KvSeparationOptions};
use memtables::Memtables;
use rows::Space;
use space::FreeSpace;
use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tokio::sync::{Semaphore, oneshot};
use upkeep::Upkeep;

const MIB: u64 = 1024 * 1024;

/// Chunks of uncommitted text that wait for the committer at once: 8 MiB.
const APPENDS: usize = 32;

/// Between two looks at a lock that another process holds.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// Why a store does not open.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error(
        "the store in {} is in use, by a gateway (one that runs, starts or ends) or by another command: try again \
         when it has ended",
        .0.display()
    )]
    InUse(PathBuf),
    #[error("{}: {error}", path.display())]
    Io { path: PathBuf, error: io::Error },
    #[error("{}: {error}; run this as the user the gateway runs as", path.display())]
    Forbidden { path: PathBuf, error: io::Error },
    #[error("{} is no folder; move it away", .0.display())]
    NoFolder(PathBuf),
    #[error("{} is a link to nothing: is what it leads to mounted?", .0.display())]
    Dangling(PathBuf),
    #[error(
        "the store in {} is damaged: {part} is gone. Nothing was changed; move the folder aside and restore a backup \
         (`postern store restore DIR`), or, if it never held mail, start again without it",
        folder.display()
    )]
    Lost { folder: PathBuf, part: String },
    #[error(
        "the store in {} is damaged: its keyspace `{name}` is gone; move the folder aside and restore a backup \
         (`postern store restore DIR`)",
        folder.display()
    )]
    LostKeyspace { folder: PathBuf, name: &'static str },
    #[error(
        "journal {} is damaged at octet {at}, where it had been synced: this is no torn tail of a power cut but \
         a fault of the disk. Nothing was changed; restore a backup, or copy the folder before you mend it by hand",
        path.display()
    )]
    Damaged { path: PathBuf, at: u64 },
    #[error("the store in {} does not open: {error}", path.display())]
    Engine { path: PathBuf, error: fjall::Error },
}

/// The engine and its keyspaces.
#[derive(Clone)]
pub(crate) struct Spaces {
    db: Database,
    body: Keyspace,
    message: Keyspace,
    entry: Keyspace,
    state: Keyspace,
}

impl std::fmt::Debug for Spaces {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Spaces")
    }
}

impl Spaces {
    fn of(&self, space: Space) -> &Keyspace {
        match space {
            Space::Body => &self.body,
            Space::Message => &self.message,
            Space::Entry => &self.entry,
            Space::State => &self.state,
        }
    }

    /// Makes the engine's folder and the keyspaces that are not there.
    fn open(folder: &Path) -> fjall::Result<Self> {
        Self::over(database(folder)?)
    }

    fn over(db: Database) -> fjall::Result<Self> {
        let space = |space: Space| db.keyspace(space.name(), || settings(space));
        Ok(Self {
            body: space(Space::Body)?,
            message: space(Space::Message)?,
            entry: space(Space::Entry)?,
            state: space(Space::State)?,
            db,
        })
    }
}

fn database(folder: &Path) -> fjall::Result<Database> {
    Database::builder(folder)
        .journal_compression(CompressionType::None)
        .manual_journal_persist(true)
        .cache_size(64 * MIB)
        .max_journaling_size(128 * MIB)
        .open()
}

/// Bodies live apart from their keys, in files small enough to be rewritten, and are compressed by us alone.
fn settings(space: Space) -> KeyspaceCreateOptions {
    let settings = KeyspaceCreateOptions::default().max_memtable_size(memtables::most(space));
    if space != Space::Body {
        return settings;
    }
    let apart = KvSeparationOptions::default()
        .compression(CompressionType::None)
        .file_target_size(32 * MIB)
        .separation_threshold(1024)
        .staleness_threshold(0.2)
        .age_cutoff(1.0);
    settings
        .data_block_compression_policy(CompressionPolicy::disabled())
        .with_kv_separation(Some(apart))
}

/// See the module. Dropping it ends its threads and closes the engine.
#[derive(Debug)]
pub struct EmbeddedStore {
    queue: Option<Queue>,
    appends: Semaphore,
    /// Reads that may use the I/O thread they come from.
    here: Semaphore,
    spaces: Spaces,
    free: Arc<FreeSpace>,
    failure: Failure,
    removed: Arc<AtomicU64>,
    stop: Option<mpsc::Sender<()>>,
    threads: Vec<JoinHandle<()>>,
    /// Held for the life of the store: the second opener is told.
    _lock: Lock,
}

/// The folder's lock. It is given back, not only closed: a process that is being started has all our files for a
/// moment, and with them the lock.
#[derive(Debug)]
struct Lock(File);

impl Drop for Lock {
    fn drop(&mut self) {
        if let Err(error) = self.0.unlock() {
            tracing::warn!(%error, "the store's lock is kept until the process ends");
        }
    }
}

impl EmbeddedStore {
    /// Opens the store in `folder`, which is made if need be. Sets the process's umask to 077: the engine makes
    /// files for as long as it runs, and mail is nobody else's.
    pub fn open(folder: impl AsRef<Path>, options: Options) -> std::result::Result<Arc<Self>, OpenError> {
        let folder = folder.as_ref();
        // Also before the lock, which makes a file.
        place::is_whole(folder)?;
        let lock = lock(folder, options.wait)?;
        if !place::is_whole(folder)? {
            place::make(folder)?;
        }
        let engine_folder = folder.join(place::ENGINE);
        journal::mend(&engine_folder, &folder.join("torn"))?;
        let failed = |error| OpenError::Engine {
            path: folder.to_owned(),
            error,
        };
        let db = database(&engine_folder).map_err(failed)?;
        for space in Space::ALL {
            if !db.keyspace_exists(space.name()) {
                return Err(OpenError::LostKeyspace {
                    folder: folder.to_owned(),
                    name: space.name(),
                });
            }
        }
        let spaces = Spaces::over(db).map_err(failed)?;
        sweep(&spaces).map_err(failed)?;
        place::mark(folder);
        Self::start(folder, spaces, lock, options).map_err(|error| OpenError::Io {
            path: folder.to_owned(),
            error,
        })
    }

    fn start(folder: &Path, spaces: Spaces, lock: Lock, options: Options) -> io::Result<Arc<Self>> {
        let probe = options.free_space.unwrap_or_else(|| space::probe_of(folder));
        let free = Arc::new(FreeSpace::new(probe, options.reserve));
        let failure = Failure::new(options.fatal.unwrap_or_else(|| Arc::new(options::end_process)));
        let removed = Arc::<AtomicU64>::default();
        let (memtables, rotating) = Memtables::start(spaces.clone(), failure.clone())?;
        let committer = Committer {
            spaces: spaces.clone(),
            memtables,
            quarantine_max: options.quarantine_max,
            durability: options.durability,
            free: Arc::clone(&free),
            failure: failure.clone(),
            removed: Arc::clone(&removed),
            unsynced: 0,
            unlooked: 0,
        };
        let upkeep = Upkeep {
            spaces: spaces.clone(),
            free: Arc::clone(&free),
            failure: failure.clone(),
            removed: Arc::clone(&removed),
            floor: options.garbage,
            left: 0,
            put_off: false,
        };
        let (queue, committing) = committer.start()?;
        let (stop, stopped) = mpsc::channel();
        let thread = std::thread::Builder::new().name("store-upkeep".into());
        let keeping = thread.spawn(move || upkeep.serve(&stopped))?;
        Ok(Arc::new(Self {
            queue: Some(queue),
            appends: Semaphore::new(APPENDS),
            here: Semaphore::new(std::thread::available_parallelism()?.get() - 1),
            spaces,
            free,
            failure,
            removed,
            stop: Some(stop),
            threads: vec![committing, rotating, keeping],
            _lock: lock,
        }))
    }

    /// Compacts the bodies' files now, whatever their garbage. Blocks for as long as that takes.
    pub fn compact(&self) -> Result<()> {
        upkeep::compact(&self.spaces, &self.removed).map_err(engine)
    }

    /// Lets writes wait until what this answers is dropped. Those that have come by then are one group, as far as a
    /// group goes.
    #[doc(hidden)]
    pub async fn hold(self: &Arc<Self>) -> Result<mpsc::Sender<()>> {
        let (open, opened) = mpsc::channel();
        let (begin, begun) = oneshot::channel();
        let store = Arc::clone(self);
        tokio::spawn(async move {
            let wait = move |_: &mut Change<'_>| {
                let _ = begin.send(());
                // An end that is gone opens.
                let _: std::result::Result<(), _> = opened.recv();
                Ok(())
            };
            store.queue()?.submit(Need::Written, 0, wait).await
        });
        let closed = |_| StoreError::Engine("the store is closed".into());
        begun.await.map_err(closed)?;
        Ok(open)
    }

    fn queue(&self) -> Result<&Queue> {
        let closed = || StoreError::Engine("the store is closed".into());
        self.queue.as_ref().ok_or_else(closed)
    }
}

impl Drop for EmbeddedStore {
    fn drop(&mut self) {
        drop((self.queue.take(), self.stop.take()));
        for thread in self.threads.drain(..) {
            // A thread that panicked has declared the failure itself.
            let _ = thread.join();
        }
    }
}

/// Makes the folder and locks it for this process. Blocks up to `wait` while another one has it.
fn lock(folder: &Path, wait: Duration) -> std::result::Result<Lock, OpenError> {
    rustix::process::umask(rustix::fs::Mode::RWXG | rustix::fs::Mode::RWXO);
    let failed = |error| OpenError::Io {
        path: folder.to_owned(),
        error,
    };
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
        .map_err(failed)?;
    let mut how = OpenOptions::new();
    let how = how.create(true).truncate(false).write(true).mode(0o600);
    let lock = how.open(folder.join("lock")).map_err(failed)?;
    let began = Instant::now();
    loop {
        match lock.try_lock() {
            Ok(()) => return Ok(Lock(lock)),
            Err(TryLockError::WouldBlock) if began.elapsed() < wait => std::thread::sleep(LOOK_AGAIN),
            Err(TryLockError::WouldBlock) => return Err(OpenError::InUse(folder.to_owned())),
            Err(TryLockError::Error(error)) => return Err(failed(error)),
        }
    }
}

/// Whether a store may be in this folder; where that cannot be seen, opening it says why.
pub fn is_there(folder: &Path) -> bool {
    was_made(folder).unwrap_or(true)
}

/// Whether a process has the store of this folder, be it open yet or not. Nothing is made.
pub fn is_in_use(folder: &Path) -> bool {
    let lock = File::open(folder.join("lock"));
    lock.is_ok_and(|lock| matches!(lock.try_lock_shared(), Err(TryLockError::WouldBlock)))
}

/// Removes texts whose message was never committed.
fn sweep(spaces: &Spaces) -> fjall::Result<()> {
    let mut batch = spaces.db.batch();
    let mut swept = 0;
    for row in spaces.message.prefix([rows::tag::UNCOMMITTED]) {
        let (key, _) = row.into_inner()?;
        let Some(id) = key.get(1..) else { continue };
        for chunk in spaces.body.prefix(id) {
            batch.remove(&spaces.body, chunk.key()?);
        }
        batch.remove(&spaces.message, key);
        swept += 1;
    }
    if swept > 0 {
        tracing::info!(swept, "texts of messages that were never accepted are removed");
        metrics::counter!("postern_store_swept_total").increment(swept);
    }
    batch.commit()
}

/// An engine's error as the store's.
fn engine(error: fjall::Error) -> StoreError {
    StoreError::Engine(error.to_string())
}

/// A row does not read back.
fn damaged(what: &str) -> StoreError {
    StoreError::Engine(format!("damaged: {what}"))
}
