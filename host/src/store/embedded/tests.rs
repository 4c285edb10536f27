//! The contract, and what only the embedded store promises.

use super::*;
use crate::message::MessageId;
use crate::store::contract::{
    A, QUARANTINE_MAX, append_all, contract, delivery, entry, listed_ids, mutants, noise, read_all,
};
use crate::store::{
    Account, Bodies, CHUNK, Delivered, Directory, Kv, KvWrite, Maildrops, NewQuarantined, Quarantine, Store,
    StoreError, Text, Usage,
};
use bytes::Bytes;
use std::os::unix::fs::MetadataExt as _;
use std::sync::atomic::Ordering;
use std::sync::{Mutex, mpsc as std_mpsc};

mod archives;
mod full_disk;
mod memtables;
mod places;
mod torn_tails;
mod upkeep;

fn options() -> Options {
    Options {
        reserve: 0,
        quarantine_max: QUARANTINE_MAX,
        fatal: Some(Arc::new(|reason| panic!("the store failed: {reason}"))),
        ..Options::default()
    }
}

fn open(folder: &Path) -> Arc<EmbeddedStore> {
    EmbeddedStore::open(folder, options()).unwrap()
}

fn opened() -> (tempfile::TempDir, Arc<EmbeddedStore>) {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    (folder, store)
}

/// What the files of a folder take on the disk.
fn octets_below(folder: &Path) -> u64 {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
    let octets = entries.map(|entry| match entry.metadata().unwrap() {
        metadata if metadata.is_dir() => octets_below(&entry.path()),
        metadata => metadata.blocks() * 512,
    });
    octets.sum()
}

fn account(address: &str) -> Account {
    Account {
        address: address.into(),
        password: None,
        scram: None,
        quota_bytes: None,
        quota_messages: None,
    }
}

contract! { opened() }
mutants! { opened() }

#[tokio::test]
async fn what_is_read_while_no_io_thread_is_free_for_it_is_the_same() {
    let (_folder, store) = opened();
    let sent = delivery(vec![entry("a@x.org", 5)]);
    store.deliver(sent.clone()).await.unwrap();
    let free = store.here.available_permits();
    let permits = u32::try_from(free).unwrap();
    let all = store.here.acquire_many(permits).await.unwrap();
    assert_eq!(read_all(&*store, A, sent.id, CHUNK).await[14..], *b"text\r\n");
    let gone = store.read(A, MessageId::new(), 0, CHUNK).await;
    assert!(matches!(gone, Err(StoreError::NotFound)));
    drop(all);
    assert_eq!(read_all(&*store, A, sent.id, CHUNK).await[14..], *b"text\r\n");
    assert_eq!(store.here.available_permits(), free);
}

/// A session would hold all traces of a large maildrop for as long as it lasts.
#[tokio::test]
async fn traces_that_would_take_too_much_room_in_a_listing_are_looked_up() {
    let (_folder, store) = opened();
    let quarter = access::TRACES / 4;
    let traces = [quarter, quarter, quarter, quarter - 1, 2, 1, 1].map(noise);
    let mut ids = Vec::new();
    for trace in &traces {
        let mut sent = delivery(vec![entry("a@x.org", 7)]);
        sent.entries[0].trace = trace.clone();
        store.deliver(sent.clone()).await.unwrap();
        ids.push(sent.id);
    }
    let listing = store.list("a@x.org").await.unwrap();
    let came: Vec<bool> = listing.iter().map(|line| line.trace.is_some()).collect();
    assert_eq!(came, [true, true, true, true, false, true, false]);
    let held: usize = listing
        .iter()
        .filter_map(|line| line.trace.as_ref())
        .map(Bytes::len)
        .sum();
    assert_eq!(held, access::TRACES);
    for (line, trace) in listing.iter().zip(&traces) {
        assert_eq!(store.trace("a@x.org", line).await.unwrap(), trace);
    }
    store.remove("a@x.org", &ids).await.unwrap();
    let gone = store.trace("a@x.org", &listing[6]).await;
    assert!(matches!(gone, Err(StoreError::NotFound)));
    assert_eq!(store.trace("a@x.org", &listing[5]).await.unwrap(), traces[5]);
}

/// It tells how much room to make for a listing, and no more.
#[tokio::test]
async fn a_listing_is_read_though_its_usage_is_wrong() {
    let (_folder, store) = opened();
    let sent = delivery(vec![entry("a@x.org", 7)]);
    store.deliver(sent.clone()).await.unwrap();
    let key = rows::named_key(rows::tag::USAGE, "a@x.org");
    let wrong = Usage {
        bytes: 7,
        messages: u64::MAX,
    };
    for row in [rows::usage_row(wrong), vec![1], rows::usage_row(Usage::default())] {
        store.spaces.state.insert(key.clone(), row).unwrap();
        assert_eq!(listed_ids(&*store, "a@x.org").await, [sent.id]);
    }
}

#[tokio::test]
async fn what_was_acknowledged_is_there_after_a_restart() {
    let (folder, store) = opened();
    let (kept, gone) = (
        delivery(vec![entry("a@x.org", 5)]),
        delivery(vec![entry("a@x.org", 6)]),
    );
    let mut long = delivery(vec![entry("b@x.org", 7)]);
    let text = noise(2 * CHUNK + 1);
    long.content.text = append_all(&*store, long.id, &text).await;
    store.create_account(account("A@x.org")).await.unwrap();
    for sent in [&kept, &gone, &long] {
        store.deliver(sent.clone()).await.unwrap();
    }
    store.remove("a@x.org", &[gone.id]).await.unwrap();
    drop(store);

    let store = open(folder.path());
    let listed = listed_ids(&*store, "a@x.org").await;
    assert_eq!(listed, [kept.id]);
    assert_eq!(
        store.usage("a@x.org").await.unwrap(),
        Usage {
            bytes: 5,
            messages: 1
        }
    );
    assert_eq!(read_all(&*store, A, long.id, CHUNK).await[14..], text);
    assert_eq!(store.account("a@x.org").await.unwrap(), Some(account("A@x.org")));
    assert_eq!(check(&store).unwrap().described, Vec::<String>::new());
}

#[tokio::test]
async fn a_second_opener_is_told_which_folder_is_in_use() {
    let (folder, store) = opened();
    let error = EmbeddedStore::open(folder.path(), options()).unwrap_err();
    assert!(matches!(error, OpenError::InUse(_)));
    assert!(error.to_string().contains(&folder.path().display().to_string()));
    assert!(is_in_use(folder.path()));
    drop(store);
    assert!(!is_in_use(folder.path()));
    open(folder.path());
    let nothing = folder.path().join("nothing");
    assert!(!is_in_use(&nothing) && !nothing.exists());
}

/// A store that was closed was in use still, now and then, while another thread started a process: between its fork and
/// its exec that has every file of ours.
#[tokio::test]
async fn a_store_that_is_closed_is_free_though_a_process_that_is_being_started_has_its_files() {
    let (folder, store) = opened();
    let inherited = store._lock.0.try_clone().unwrap();
    drop(store);
    open(folder.path());
    drop(inherited);
}

#[tokio::test]
async fn nobody_else_may_read_the_folder_and_its_files() {
    use std::os::unix::fs::PermissionsExt;
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("store");
    let store = open(&folder);
    store.deliver(delivery(vec![entry("a@x.org", 5)])).await.unwrap();
    let mut folders = vec![folder];
    while let Some(folder) = folders.pop() {
        assert_eq!(
            folder.metadata().unwrap().permissions().mode() & 0o777,
            0o700,
            "{folder:?}"
        );
        for file in std::fs::read_dir(folder).unwrap() {
            let path = file.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let mode = path.metadata().unwrap().permissions().mode();
                assert_eq!(mode & 0o177, 0, "{path:?}");
            }
        }
    }
}

#[tokio::test]
async fn uncommitted_text_is_swept_at_the_next_start() {
    let (folder, store) = opened();
    let id = MessageId::new();
    append_all(&*store, id, &noise(2 * CHUNK)).await;
    assert_eq!(check(&store).unwrap().uncommitted, 1);
    drop(store);
    let store = open(folder.path());
    assert!(store.read_text(id, 0, 9).await.unwrap().is_empty());
    let report = check(&store).unwrap();
    assert_eq!((report.uncommitted, report.faults), (0, 0));
}

#[tokio::test]
async fn a_long_inline_text_is_kept_whole() {
    let (_folder, store) = opened();
    let text = noise(5 * 1024 * 1024 + 3);
    let mut sent = delivery(vec![entry("a@x.org", 5)]);
    sent.content.text = Text::Inline(text.clone());
    for _ in 0..2 {
        assert_eq!(store.deliver(sent.clone()).await.unwrap(), [Delivered::Kept]);
    }
    assert_eq!(read_all(&*store, A, sent.id, 1024 * 1024).await[14..], text);
    assert!(check(&store).unwrap().is_sound());
}

#[tokio::test]
async fn compaction_gives_the_room_of_removed_mail_back() {
    let (folder, store) = opened();
    let mut ids = Vec::new();
    for _ in 0..8 {
        let mut sent = delivery(vec![entry("a@x.org", 5)]);
        sent.content.text = append_all(&*store, sent.id, &noise(1024 * 1024)).await;
        store.deliver(sent.clone()).await.unwrap();
        ids.push(sent.id);
    }
    store.compact().unwrap();
    let (full, on_disk) = (store.spaces.body.disk_space(), octets_below(folder.path()));
    assert!(on_disk > full);
    store.remove("a@x.org", &ids[1..]).await.unwrap();
    assert!(store.removed.load(Ordering::Relaxed) > 7 * 1024 * 1024);
    store.compact().unwrap();
    let less = store.spaces.body.disk_space();
    assert!(less < full / 4, "{less} of {full}");
    let left = octets_below(folder.path());
    assert!(left < on_disk - full / 4 * 3, "{left} of {on_disk}");
    assert_eq!(read_all(&*store, A, ids[0], CHUNK).await.len(), 1024 * 1024 + 14);
    assert!(check(&store).unwrap().is_sound());
}

#[tokio::test]
async fn check_finds_what_does_not_agree() {
    let (_folder, store) = opened();
    let sent = delivery(vec![entry("a@x.org", 5), entry("b@x.org", 5)]);
    store.deliver(sent.clone()).await.unwrap();
    let chunk = rows::body_key(sent.id, rows::Part::Committed, 0);
    let stray = rows::body_key(MessageId::new(), rows::Part::Committed, 0);
    let holder = rows::holder_key(sent.id, rows::Holder::Mailbox("a@x.org"));
    let spaces = &store.spaces;
    spaces.body.remove(chunk).unwrap();
    spaces.body.insert(stray, "x").unwrap();
    spaces.message.remove(holder).unwrap();
    spaces.entry.remove(rows::entry_key("b@x.org", sent.id)).unwrap();
    let report = check(&store).unwrap();
    let found = |part: &str| {
        report
            .described
            .iter()
            .filter(|fault| fault.contains(part))
            .count()
    };
    assert_eq!(found("is missing"), 1);
    assert_eq!(found("belong to no message"), 1);
    assert_eq!(found("which is not its holder"), 1);
    assert_eq!(found("which does not list it"), 1);
    assert_eq!(found("b@x.org: usage says"), 1);
    assert_eq!(report.faults, 5);
}

#[tokio::test]
async fn check_finds_a_share_that_is_not_the_sum_of_its_values() {
    let (_folder, store) = opened();
    for (namespace, ttl) in [("p", 0), ("p", 9), ("pq", 9)] {
        let write = KvWrite {
            value: noise(100),
            ttl,
            now: 1,
            quota: 1000,
        };
        let key = format!("k{ttl}");
        store.kv_set(namespace, &key, write).await.unwrap();
    }
    assert_eq!(check(&store).unwrap().described, [""; 0]);
    let state = &store.spaces.state;
    state.remove(rows::kv_key("p", "k0")).unwrap();
    state.remove(rows::kv_expiry_key("pq", 9001, "k9")).unwrap();
    let report = check(&store).unwrap();
    let share = "policy p: its share says 204 octets, its values 102";
    let end = "policy pq: k9 ends and is not found by its end";
    assert_eq!(report.described, [end, share]);
}

/// A fault of the disk took a chunk: a shorter message would have been sent as if it were whole.
#[tokio::test]
async fn a_message_that_lost_a_chunk_is_an_error_and_never_a_shorter_message() {
    let (_folder, store) = opened();
    let mut sent = delivery(vec![entry("a@x.org", 5)]);
    sent.content.text = append_all(&*store, sent.id, &noise(3 * CHUNK)).await;
    store.deliver(sent.clone()).await.unwrap();
    let head = sent.content.head.len() as u64;
    let last = rows::body_key(sent.id, rows::Part::Appended, 2);
    store.spaces.body.remove(last).unwrap();
    let whole = store.read(A, sent.id, 0, CHUNK).await.unwrap();
    assert_eq!(whole.len(), CHUNK, "what is there is read");
    for offset in [head + 2 * CHUNK as u64, head + CHUNK as u64 + 1] {
        let cut = store.read(A, sent.id, offset, CHUNK).await;
        assert!(matches!(cut, Err(StoreError::Engine(_))), "{offset}: {cut:?}");
    }
    let end = head + 3 * CHUNK as u64;
    assert!(store.read(A, sent.id, end, CHUNK).await.unwrap().is_empty());
    let first = rows::body_key(sent.id, rows::Part::Committed, 0);
    store.spaces.body.remove(first).unwrap();
    assert!(store.read(A, sent.id, 0, CHUNK).await.is_err());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_that_wait_are_committed_as_one_group() {
    let (_folder, store) = opened();
    let before = store.spaces.db.snapshot().seqno();
    let calls = (0..200).map(|_| {
        let store = Arc::clone(&store);
        async move { store.deliver(delivery(vec![entry("a@x.org", 1)])).await.unwrap() }
    });
    crate::store::contract::together(calls).await;
    let commits = store.spaces.db.snapshot().seqno() - before;
    assert!(commits < 150, "{commits} commits for 200 deliveries");
    assert_eq!(store.usage("a@x.org").await.unwrap().messages, 200);
}
