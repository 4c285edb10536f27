//! The load: a process that delivers and removes as fast as it can, and says on its standard output what it is about
//! to do and what it was acknowledged.

use crate::ledger::{self, Ledger};
use bytes::Bytes;
use postern::message::MessageId;
use postern::store::embedded::{Durability, EmbeddedStore, Options};
use postern::store::{
    Atomicity, Bodies, CHUNK, Ceiling, Content, Delivered, Delivery, Maildrops, NewEntry, Text,
};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Names the store's folder to the process that makes the load.
pub(crate) const FOLDER: &str = "POSTERN_LOAD_FOLDER";
const NEVER_SYNCS: &str = "POSTERN_LOAD_NEVER_SYNCS";

const WRITERS: usize = 16;

const KEEPS: &str = "POSTERN_LOAD_KEEPS";

/// Messages a writer keeps when nobody says how many; it removes half when it has more.
const KEPT: usize = 10;

/// Octets a pipe holds. What was said before a moment has been heard when so much more has.
const PIPE: usize = 64 * 1024;

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Syncing {
    Fdatasync,
    Never,
}

#[derive(Default)]
struct Heard {
    lines: Mutex<Vec<String>>,
    more: Condvar,
}

/// A load that runs; killed when dropped.
pub(crate) struct Load {
    child: Child,
    heard: Arc<Heard>,
    listener: Option<JoinHandle<()>>,
}

impl Load {
    /// Each writer keeps so many messages: the rest is removed as it goes on.
    pub(crate) fn start(folder: &Path, syncing: Syncing, keeps: usize) -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command
            .args(["--exact", "load", "--nocapture"])
            .env(FOLDER, folder)
            .env(KEEPS, keeps.to_string())
            .stdout(Stdio::piped());
        if syncing == Syncing::Never {
            command.env(NEVER_SYNCS, "1");
        }
        let mut child = command.spawn().unwrap();
        let (heard, from) = (Arc::<Heard>::default(), child.stdout.take().unwrap());
        let listening = Arc::clone(&heard);
        let listener = std::thread::spawn(move || {
            for line in BufReader::new(from).lines().map_while(Result::ok) {
                // The test harness has lines of its own.
                if line.len() == 27 && line.starts_with(['d', 'D', 'r', 'R']) {
                    listening.lines.lock().unwrap().push(line);
                    listening.more.notify_all();
                }
            }
        });
        let listener = Some(listener);
        Self {
            child,
            heard,
            listener,
        }
    }

    /// Lines heard.
    pub(crate) fn heard(&self) -> usize {
        self.heard.lines.lock().unwrap().len()
    }

    fn wait_for(&self, lines: usize) {
        let heard = self.heard.lines.lock().unwrap();
        let patience = Duration::from_secs(60);
        let waited = self
            .heard
            .more
            .wait_timeout_while(heard, patience, |heard| heard.len() < lines);
        let (heard, _) = waited.unwrap();
        assert!(heard.len() >= lines, "the load does not go on");
    }

    /// Lets it run: for the time, and until it was acknowledged something.
    pub(crate) fn goes_on_for(&self, time: Duration) {
        let (started, before) = (Instant::now(), self.heard());
        self.wait_for(before + 4 * WRITERS);
        std::thread::sleep(time.saturating_sub(started.elapsed()));
    }

    pub(crate) fn heard_all_said_until_now(&self) {
        let before = self.heard();
        self.wait_for(before + PIPE / 28 + 1);
    }

    pub(crate) fn ledger(&self, acknowledged: usize) -> Ledger {
        Ledger::of(&self.heard.lines.lock().unwrap(), acknowledged)
    }

    /// Kills it and answers all it said.
    pub(crate) fn kill(mut self) -> Vec<String> {
        self.end();
        std::mem::take(&mut *self.heard.lines.lock().unwrap())
    }

    fn end(&mut self) {
        if let Some(listener) = self.listener.take() {
            self.child.kill().unwrap();
            self.child.wait().unwrap();
            listener.join().unwrap();
        }
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.end();
    }
}

/// Where a writer says what it does.
type Say = Arc<dyn Fn(char, MessageId) + Send + Sync>;

fn open(folder: &Path) -> Arc<EmbeddedStore> {
    let durability = match std::env::var_os(NEVER_SYNCS) {
        Some(_) => Durability::Unsafe,
        None => Durability::Synced,
    };
    let options = Options {
        reserve: 256 * 1024 * 1024,
        // Low, so that cuts fall into compactions too.
        garbage: 32 * 1024 * 1024,
        durability,
        ..Options::default()
    };
    EmbeddedStore::open(folder, options).unwrap()
}

pub(crate) fn deliver_for_ever(folder: &Path) {
    let say: Say = Arc::new(|what, id| {
        // One write each: a line is said whole or not at all. Without a listener there is nothing left to do.
        if std::io::stdout()
            .lock()
            .write_all(format!("{what}{id}\n").as_bytes())
            .is_err()
        {
            std::process::exit(0);
        }
    });
    let keeps = std::env::var(KEEPS).map_or(KEPT, |text| text.parse().unwrap());
    run(folder, &say, keeps, usize::MAX);
}

pub(crate) fn deliver_a_little(folder: &Path) -> Vec<String> {
    let said = Arc::<Mutex<Vec<String>>>::default();
    let saying = Arc::clone(&said);
    let say: Say = Arc::new(move |what, id| saying.lock().unwrap().push(format!("{what}{id}")));
    run(folder, &say, KEPT, KEPT + 10);
    std::mem::take(&mut *said.lock().unwrap())
}

fn run(folder: &Path, say: &Say, keeps: usize, deliveries: usize) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    let store = open(folder);
    runtime.block_on(async {
        let writers =
            (0..WRITERS).map(|_| tokio::spawn(write(Arc::clone(&store), Arc::clone(say), keeps, deliveries)));
        for writer in writers.collect::<Vec<_>>() {
            writer.await.unwrap();
        }
    });
}

async fn write(store: Arc<EmbeddedStore>, say: Say, keeps: usize, deliveries: usize) {
    let mut living = Vec::new();
    for _ in 0..deliveries {
        let id = MessageId::new();
        say('d', id);
        if deliver(&store, id).await {
            say('D', id);
            living.push(id);
        }
        if living.len() > keeps {
            for id in living.drain(..keeps / 2) {
                remove(&store, &say, id).await;
            }
        }
    }
}

/// Whether it was acknowledged: a disk that is nearly full refuses for a while.
async fn deliver(store: &EmbeddedStore, id: MessageId) -> bool {
    let text = ledger::text(id);
    let size = text.len() as u64;
    let entry = |mailbox: String| NewEntry {
        mailbox: mailbox.into(),
        trace: Bytes::new(),
        size,
        downgraded_size: size,
        ceiling: Ceiling::default(),
        uidl: None,
    };
    let text = match text.len() > CHUNK {
        true => append(store, id, &text).await,
        false => Some(Text::Inline(text)),
    };
    let Some(text) = text else { return false };
    let head = Bytes::new();
    let delivery = Delivery {
        id,
        content: Content { head, text },
        facts: Bytes::from_static(b"facts"),
        entries: ledger::mailboxes(id).into_iter().map(entry).collect(),
        quarantine: Vec::new(),
        atomicity: Atomicity::All,
    };
    let outcomes = store.deliver(delivery).await;
    outcomes.is_ok_and(|outcomes| outcomes.iter().all(|outcome| *outcome == Delivered::Kept))
}

async fn append(store: &EmbeddedStore, id: MessageId, text: &Bytes) -> Option<Text> {
    let (size, mut chunks) = (text.len() as u64, 0);
    for at in (0..text.len()).step_by(CHUNK) {
        let chunk = text.slice(at..text.len().min(at + CHUNK));
        store.append(id, chunks, chunk).await.ok()?;
        chunks += 1;
    }
    Some(Text::Appended { size, chunks })
}

async fn remove(store: &EmbeddedStore, say: &Say, id: MessageId) {
    say('r', id);
    for mailbox in ledger::mailboxes(id) {
        store.remove(&mailbox, &[id]).await.unwrap();
    }
    say('R', id);
}
