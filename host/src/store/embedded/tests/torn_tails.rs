//! A power cut tears what was written last: pages of it reach the disk and others stay zero, or half a page does.

use super::*;
use crate::store::embedded::committer::{HEAVIEST_GROUP, MOST_OCTETS, QUEUE};

/// A journal as the process left it: a folder copied while the store is open, so that nothing was closed in order.
struct Left {
    folder: tempfile::TempDir,
    acknowledged: Vec<MessageId>,
    /// Where the journal ended at the last acknowledgement, and where it ends.
    synced: u64,
    written: u64,
}

fn copy_folder(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for file in std::fs::read_dir(from).unwrap() {
        let path = file.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        match path.is_dir() {
            true => copy_folder(&path, &target),
            false => drop(std::fs::copy(&path, &target).unwrap()),
        }
    }
}

fn journal_of(folder: &Path) -> PathBuf {
    journal::journals(&folder.join("db")).unwrap().pop().unwrap().1
}

fn end_of_journal(folder: &Path) -> u64 {
    let tail = journal::Tail::of(&journal_of(folder)).unwrap();
    assert_eq!(tail.len, 0, "whole while it runs");
    tail.at
}

async fn left() -> Left {
    let (folder, store) = opened();
    let mut acknowledged = Vec::new();
    for _ in 0..20 {
        let mut sent = delivery(vec![entry("a@x.org", 3)]);
        sent.content.text = Text::Inline(noise(3000));
        store.deliver(sent.clone()).await.unwrap();
        acknowledged.push(sent.id);
    }
    let synced = end_of_journal(folder.path());
    append_all(&*store, MessageId::new(), &noise(CHUNK + 9)).await;
    let written = end_of_journal(folder.path());
    let copy = tempfile::tempdir().unwrap();
    copy_folder(folder.path(), copy.path());
    let journal = OpenOptions::new()
        .write(true)
        .open(journal_of(copy.path()))
        .unwrap();
    journal.set_len(written + 64 * 1024).unwrap();
    Left {
        folder: copy,
        acknowledged,
        synced,
        written,
    }
}

impl Left {
    /// Opens a copy whose journal `tear` has changed.
    async fn opens_with(&self, tear: impl FnOnce(&mut [u8])) -> usize {
        let copy = tempfile::tempdir().unwrap();
        copy_folder(self.folder.path(), copy.path());
        let path = journal_of(copy.path());
        let mut octets = std::fs::read(&path).unwrap();
        tear(&mut octets);
        std::fs::write(&path, &octets).unwrap();
        let store = open(copy.path());
        let listed = listed_ids(&*store, "a@x.org").await;
        assert_eq!(listed, self.acknowledged);
        for id in listed {
            assert_eq!(read_all(&*store, A, id, CHUNK).await[14..], noise(3000));
        }
        assert!(check(&store).unwrap().is_sound());
        // It goes on: what is written behind the cut survives the next start.
        let next = delivery(vec![entry("b@x.org", 3)]);
        store.deliver(next.clone()).await.unwrap();
        drop(store);
        let store = open(copy.path());
        assert_eq!(store.list("b@x.org").await.unwrap()[0].id, next.id);
        match std::fs::read_dir(copy.path().join("torn")) {
            Ok(kept) => kept.count(),
            Err(_) => 0,
        }
    }
}

#[tokio::test]
async fn a_tail_torn_anywhere_is_cut_once_and_kept_and_nothing_acknowledged_is_lost() {
    let left = left().await;
    let (synced, written) = (left.synced as usize, left.written as usize);
    assert!(written > synced + CHUNK);
    let mut places = vec![
        synced,
        synced + 1,
        synced + 5,
        synced + 13,
        synced + 30,
        written - 13,
        written - 1,
    ];
    places.extend((synced..written).step_by(37_001));
    for place in places {
        let behind_is_zero = left.opens_with(|journal| journal[place..].fill(0)).await;
        assert_eq!(behind_is_zero, usize::from(place > synced), "cut at {place}");
        let end = written.min(place + 4096);
        let one_page_is_zero = left.opens_with(|journal| journal[place..end].fill(0)).await;
        assert_eq!(one_page_is_zero, 1, "a page lost at {place}");
        left.opens_with(|journal| journal[place] ^= 0x40).await;
    }
}

#[tokio::test]
async fn a_file_that_ends_early_is_a_torn_tail() {
    let left = left().await;
    for short in [1, 100, 5000] {
        let path = journal_of(left.folder.path());
        let file = OpenOptions::new().write(true).open(&path).unwrap();
        file.set_len(left.written - short).unwrap();
        left.opens_with(|_| {}).await;
    }
}

#[tokio::test]
async fn a_whole_journal_is_left_alone() {
    let left = left().await;
    assert_eq!(left.opens_with(|_| {}).await, 0);
}

#[tokio::test]
async fn damage_far_before_the_end_is_refused_and_changes_nothing() {
    let (folder, store) = opened();
    for _ in 0..25 {
        let mut sent = delivery(vec![entry("a@x.org", 3)]);
        sent.content.text = Text::Inline(noise(1_900_000));
        store.deliver(sent).await.unwrap();
    }
    let copy = tempfile::tempdir().unwrap();
    copy_folder(folder.path(), copy.path());
    drop(store);
    let path = journal_of(copy.path());
    let mut octets = std::fs::read(&path).unwrap();
    octets[1_000_000] ^= 1;
    std::fs::write(&path, &octets).unwrap();
    let error = EmbeddedStore::open(copy.path(), options()).unwrap_err();
    assert!(matches!(error, OpenError::Damaged { .. }), "{error}");
    assert_eq!(std::fs::read(&path).unwrap(), octets);
}

/// The octets of the heaviest batch when `calls` wait for the committer at the same time.
async fn heaviest_batch<F>(store: &Arc<EmbeddedStore>, folder: &Path, calls: Vec<F>) -> u64
where
    F: Future<Output = ()> + Send + 'static,
{
    let held = store.hold().await.unwrap();
    let waiting = calls.len();
    let calls: Vec<_> = calls.into_iter().map(tokio::spawn).collect();
    let free = format!("Queue({} free)", QUEUE - waiting);
    while format!("{:?}", store.queue().unwrap()) != free {
        tokio::task::yield_now().await;
    }
    drop(held);
    for call in calls {
        call.await.unwrap();
    }
    let journals = journal::journals(&folder.join("db")).unwrap();
    let batches = journals
        .iter()
        .flat_map(|(_, path)| journal::batches(path).unwrap());
    batches.max().unwrap()
}

/// A policy may write 1 MiB at a time, and 256 requests make a group: one of 256 MiB, torn, was taken for a fault of
/// the disk, and a store that had lost nothing did not open.
#[tokio::test]
async fn what_policies_write_at_once_is_no_longer_than_a_torn_tail_may_be() {
    let (folder, store) = opened();
    let calls = (0..40).map(|nth| {
        let store = Arc::clone(&store);
        async move {
            let write = KvWrite {
                value: noise(1 << 20),
                ttl: 0,
                now: 1,
                quota: u64::MAX,
            };
            store.kv_set("p", &format!("k{nth}"), write).await.unwrap();
        }
    });
    let heaviest = heaviest_batch(&store, folder.path(), calls.collect()).await;
    assert!(heaviest <= HEAVIEST_GROUP as u64, "{heaviest}");
    let last = store.kv_get("p", "k39", 1).await.unwrap();
    assert_eq!(last.unwrap().len(), 1 << 20);
}

/// Removals bring no octets of their own, but a row for each chunk, and most of a row is what the format adds.
#[tokio::test]
async fn what_is_removed_at_once_is_no_longer_than_a_torn_tail_may_be() {
    let (folder, store) = opened();
    let sizes = 150 * CHUNK as u64;
    let mut calls = Vec::new();
    for nth in 0..40 {
        let mailbox = format!("m{nth}@x.org");
        let mut ids = Vec::new();
        // Rows alone: what the chunks hold does not matter to their removal.
        for _ in 0..25 {
            let sent = delivery(vec![entry(&mailbox, 5)]);
            store.deliver(sent.clone()).await.unwrap();
            let meta = rows::Meta {
                committed: sizes,
                appended: sizes,
                stored: sizes,
                facts: Bytes::new(),
            };
            let key = rows::message_key(rows::tag::META, sent.id);
            store.spaces.message.insert(key, meta.to_row()).unwrap();
            ids.push(sent.id);
        }
        let store = Arc::clone(&store);
        calls.push(async move { store.remove(&mailbox, &ids).await.unwrap() });
    }
    let heaviest = heaviest_batch(&store, folder.path(), calls).await;
    assert!(heaviest <= (MOST_OCTETS + (1 << 20)) as u64, "{heaviest}");
    assert_eq!(store.usage("m39@x.org").await.unwrap(), Usage::default());
}
