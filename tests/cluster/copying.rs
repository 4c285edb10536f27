//! `postern store copy` of a whole store to a cluster and back, killed in the middle of each way and run again.
//!
//! 50,000 messages with the feature `faults`, a few hundred without. The copy runs on a terminal of its own, so that
//! what its bar shows is also what tells when to kill it.

use crate::cassandra;
use crate::gateway::{POSTERN, Site};
use crate::{at_length, turn};
use bytes::Bytes;
use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use postern::config::{Config, StoreConfig};
use postern::message::MessageId;
use postern::store::embedded::Options;
use postern::store::{
    Account, Atomicity, Bodies as _, CHUNK, CassandraStore, Ceiling, Content, Delivery, Directory as _,
    EmbeddedStore, Holder, Mailbox, Maildrops as _, NewEntry, NewQuarantined, Store, Text,
};
use rustix::process::{Pid, Signal, kill_process};
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

const MAILBOXES: usize = 40;
const AT_ONCE: usize = 64;
/// The oldest message, and the time between two of a full store: they lie in several epochs.
const OLDEST: Duration = Duration::from_secs(100 * 24 * 3600);

fn mailbox(nth: usize) -> Mailbox {
    format!("user{:02}@example.org", nth % MAILBOXES).into()
}

/// Octets that no compression shortens, other ones for each message.
fn noise(nth: usize, size: usize) -> Bytes {
    let mut state = (nth as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mut octets = Vec::with_capacity(size + 8);
    while octets.len() < size {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        octets.extend_from_slice(&state.to_le_bytes());
    }
    octets.truncate(size);
    octets.into()
}

fn id(nth: usize, messages: usize) -> MessageId {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    let at = now - OLDEST + OLDEST * u32::try_from(nth).unwrap() / u32::try_from(messages).unwrap();
    let mut random = [0; 10];
    random[..8].copy_from_slice(&nth.to_be_bytes());
    let id = uuid::Builder::from_unix_timestamp_millis(u64::try_from(at.as_millis()).unwrap(), &random);
    MessageId::from_bytes(id.into_uuid().into_bytes())
}

/// Most are small and of one mailbox; some are large, some of three, some in quarantine.
async fn deliver(store: &EmbeddedStore, nth: usize, messages: usize) -> postern::store::Result<()> {
    let id = id(nth, messages);
    let size = match nth % 500 {
        0 => CHUNK + 50_000,
        1..10 => 20_000,
        10 => 0,
        other => 3_000 + 4 * other,
    };
    let text = noise(nth, size);
    let head = Bytes::from(format!("Subject: {nth}\r\n\r\n"));
    let whole = (head.len() + size) as u64;
    let text = match size > CHUNK {
        true => {
            let chunks = text.chunks(CHUNK).zip(0..);
            for (chunk, seq) in chunks {
                store.append(id, seq, Bytes::copy_from_slice(chunk)).await?;
            }
            Text::Appended {
                size: size as u64,
                chunks: 2,
            }
        }
        false => Text::Inline(text),
    };
    let holders = if nth % 50 == 7 { 3 } else { 1 };
    let entry = |mailbox: Mailbox| {
        let trace = Bytes::from(format!("Delivered-To: {mailbox}\r\n"));
        NewEntry {
            mailbox,
            size: whole + trace.len() as u64,
            downgraded_size: whole + trace.len() as u64 + nth as u64 % 3,
            trace,
            ceiling: Ceiling::default(),
            uidl: None,
        }
    };
    let copy = || NewQuarantined {
        mailboxes: vec![mailbox(nth)],
        reason: format!("because {nth}"),
        trace: Bytes::from_static(b"X-Trace: 1\r\n"),
    };
    let delivery = Delivery {
        id,
        content: Content { head, text },
        facts: Bytes::from(format!("facts of {nth}")),
        entries: (nth..nth + holders).map(|nth| entry(mailbox(nth))).collect(),
        quarantine: nth.is_multiple_of(97).then(copy).into_iter().collect(),
        atomicity: Atomicity::All,
    };
    store.deliver(delivery).await.map(drop)
}

fn embedded(folder: &Path) -> Arc<EmbeddedStore> {
    let options = Options {
        quarantine_max: u64::MAX,
        ..Options::default()
    };
    EmbeddedStore::open(folder, options).unwrap()
}

async fn fill(folder: &Path, messages: usize) {
    let store = embedded(folder);
    for nth in 0..MAILBOXES {
        let account = Account {
            address: mailbox(nth).to_string(),
            password: Some("hash".to_owned()),
            scram: None,
            quota_bytes: Some(1 << 40),
            quota_messages: None,
        };
        store.create_account(account).await.unwrap();
    }
    let delivered = stream::iter(0..messages).map(|nth| deliver(&store, nth, messages));
    delivered
        .buffer_unordered(AT_ONCE)
        .try_collect::<Vec<()>>()
        .await
        .unwrap();
}

/// What every mailbox and quarantine list, each line with the digest of the facts and of all octets as they are read.
type Shelf = BTreeMap<(String, MessageId), (String, [u8; 32])>;

async fn shelf<S: Store + ?Sized>(store: &S) -> Shelf {
    let mut lines = Vec::new();
    for nth in 0..MAILBOXES {
        let mailbox = mailbox(nth);
        for mut line in store.list(&mailbox).await.unwrap() {
            line.trace = Some(store.trace(&mailbox, &line).await.unwrap());
            lines.push((Some(Mailbox::clone(&mailbox)), line.id, format!("{line:?}")));
        }
    }
    let held = store.quarantined(None, usize::MAX).await.unwrap();
    lines.extend(held.into_iter().map(|copy| (None, copy.id, format!("{copy:?}"))));
    let read = stream::iter(lines).map(|(mailbox, id, said)| async move {
        let holder = mailbox.as_deref().map_or(Holder::Quarantine, Holder::Mailbox);
        let digest = digest(store, holder, id).await;
        (
            (mailbox.as_deref().unwrap_or_default().to_owned(), id),
            (said, digest),
        )
    });
    read.buffer_unordered(16).collect().await
}

async fn digest<S: Store + ?Sized>(store: &S, holder: Holder<'_>, id: MessageId) -> [u8; 32] {
    let mut digest = Sha256::new_with_prefix(store.facts(holder, id).await.unwrap());
    let mut at = 0;
    loop {
        let part = store.read(holder, id, at, CHUNK).await.unwrap();
        digest.update(&part);
        at += part.len() as u64;
        if part.len() < CHUNK {
            return digest.finalize().into();
        }
    }
}

/// What a copy showed and took.
#[derive(Debug, Default)]
struct Shown {
    said: String,
    /// The last line of its bar.
    bar: String,
    peak_kib: u64,
    took: Duration,
    code: Option<i32>,
}

impl Shown {
    fn print(&self, what: &str) {
        println!(
            "{what}: {:.1} s, at most {} MiB; {}",
            self.took.as_secs_f64(),
            self.peak_kib / 1024,
            self.bar.trim()
        );
    }
}

/// Runs a copy on a terminal; kills it (SIGKILL) when its bar is past this share of the messages.
fn copy(site: &Site, arguments: &str, killed_at: Option<f64>) -> Shown {
    let command = format!(
        "stty cols 100; echo $$; exec {POSTERN} store copy {arguments} --config {}",
        site.config().display()
    );
    let begun = Instant::now();
    let mut script = Command::new("script")
        .args(["-qefc", &command, "/dev/null"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut output = script.stdout.take().unwrap();
    let (mut shown, mut buffer, mut said) = (Shown::default(), [0; 4096], Vec::new());
    let mut kill_at = killed_at;
    loop {
        let read = output.read(&mut buffer).unwrap();
        if read == 0 {
            break;
        }
        said.extend_from_slice(&buffer[..read]);
        shown.said = String::from_utf8_lossy(&said).into_owned();
        let Some(pid) = shown
            .said
            .lines()
            .next()
            .and_then(|line| line.trim().parse().ok())
        else {
            continue;
        };
        shown.peak_kib = resident(pid).unwrap_or_default().max(shown.peak_kib);
        let drawn = shown
            .said
            .split(['\r', '\n'])
            .rfind(|line| position(line).is_some());
        shown.bar = drawn.unwrap_or_default().to_owned();
        let Some((done, total)) = position(&shown.bar) else {
            continue;
        };
        if kill_at
            .take_if(|share| total > 0 && done as f64 >= *share * total as f64)
            .is_some()
        {
            kill_process(Pid::from_raw(pid).unwrap(), Signal::KILL).unwrap();
        }
    }
    shown.code = script.wait().unwrap().code();
    shown.took = begun.elapsed();
    shown
}

/// How far a bar that shows the copying is, and of how many.
fn position(line: &str) -> Option<(u64, u64)> {
    let figures = line.contains("copying ").then_some(line)?;
    let mut words = figures.split_whitespace();
    words.find_map(|word| {
        let (done, total) = word.split_once('/')?;
        Some((done.parse().ok()?, total.parse().ok()?))
    })
}

/// The most that a process had in memory so far, in KiB.
fn resident(pid: i32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.split_whitespace().next()?.parse().ok()
}

/// Kills it in the middle and runs it again.
fn killed_and_resumed(site: &Site, arguments: &str, messages: usize) {
    let killed = copy(site, arguments, Some(0.4));
    killed.print(&format!("killed, {arguments}"));
    assert_eq!(killed.code, Some(137), "{}", killed.said);
    let (done, total) = position(&killed.bar).unwrap();
    assert_eq!(total, messages as u64);
    assert!(done < total, "in the middle: {done}");
    if arguments.contains("--to cassandra") {
        let refused = site.run(&["serve"], "");
        let said = String::from_utf8(refused.stderr).unwrap();
        assert!(said.contains("run `postern store copy` again"), "{said}");
    }
    let resumed = copy(site, arguments, None);
    resumed.print(&format!("resumed, {arguments}"));
    assert_eq!(resumed.code, Some(0), "{}", resumed.said);
    let says = format!("of {messages} messages");
    assert!(resumed.said.contains(&says), "{}", resumed.said);
}

#[test]
fn a_store_goes_to_a_cluster_and_back_byte_for_byte_though_the_copy_is_killed_each_way() {
    let _turn = turn();
    let messages = if at_length() { 50_000 } else { 400 };
    let site = Site::new(&[cassandra::shared()], &cassandra::keyspace(), 1);
    let (source, back) = (site.path("state/store"), site.path("back"));
    let runtime = tokio::runtime::Runtime::new().unwrap();
    std::fs::create_dir_all(&source).unwrap();
    runtime.block_on(fill(&source, messages));
    let shelf_of = |folder: &Path| runtime.block_on(async { shelf(&*embedded(folder)).await });
    let here = shelf_of(&source);
    assert_eq!(here.len(), (0..messages).map(lines_of).sum::<usize>());

    killed_and_resumed(&site, "--from embedded --to cassandra", messages);
    let StoreConfig::Cassandra(cluster) = Config::load(&site.config()).unwrap().store else {
        panic!("a cluster was named");
    };
    let there = runtime.block_on(async {
        let store = CassandraStore::open(&cluster, u64::MAX).await.unwrap();
        shelf(&*store).await
    });
    assert!(here == there, "the cluster lists or reads something else");

    let arguments = format!("--from cassandra --to embedded --folder {}", back.display());
    killed_and_resumed(&site, &arguments, messages);
    assert!(!site.path("back.copying").exists());
    assert!(here == shelf_of(&back), "what came back is something else");
}

/// Lines of mailboxes and of quarantine that a message has.
fn lines_of(nth: usize) -> usize {
    let holders = if nth % 50 == 7 { 3 } else { 1 };
    holders + usize::from(nth.is_multiple_of(97))
}
