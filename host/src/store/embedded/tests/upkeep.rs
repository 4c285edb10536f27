//! Room that removed mail leaves.

use super::*;
use crate::store::embedded::space::FreeSpace;
use fjall::AbstractTree as _;

const LONG: usize = 1_900_000;

async fn delivered(store: &EmbeddedStore, count: usize) -> Vec<MessageId> {
    let mut ids = Vec::new();
    for _ in 0..count {
        let mut sent = delivery(vec![entry("a@x.org", 5)]);
        sent.content.text = Text::Inline(noise(LONG));
        assert_eq!(store.deliver(sent.clone()).await.unwrap(), [Delivered::Kept]);
        ids.push(sent.id);
    }
    ids
}

/// Of a full disk.
fn upkeep(store: &EmbeddedStore, removed: Arc<AtomicU64>) -> Upkeep {
    Upkeep {
        spaces: store.spaces.clone(),
        free: Arc::new(FreeSpace::new(Arc::new(|| Ok(0)), 1)),
        failure: store.failure.clone(),
        removed,
        floor: 0,
        left: 0,
        put_off: false,
    }
}

/// Where the engine had begun to write what it held, a compaction did not wait for that: removals in it were found by
/// none, and a full disk stayed full.
#[tokio::test]
async fn a_compaction_waits_for_removals_that_the_engine_is_just_writing() {
    let (_folder, store) = opened();
    let removed = delivered(&store, 3).await;
    let body = &store.spaces.body;
    body.rotate_memtable_and_wait().unwrap();
    store.remove("a@x.org", &removed).await.unwrap();
    let kept = delivered(&store, 1).await.len() * LONG;
    let held_up = body.tree.get_flush_lock();
    // As it does by itself when there is much.
    assert!(body.rotate_memtable().unwrap());
    let (tell, told) = std_mpsc::channel();
    std::thread::scope(|scope| {
        scope.spawn(|| tell.send(store.compact().is_ok()).unwrap());
        let early = told.recv_timeout(std::time::Duration::from_secs(1));
        assert!(early.is_err(), "it does not wait");
        drop(held_up);
        assert!(told.recv().unwrap());
    });
    let held = body.disk_space() as usize;
    assert!((kept..kept + LONG).contains(&held), "{held} for {kept}");
}

/// What was removed while a compaction ran passed for what it had left, and waited for more to be removed.
#[tokio::test]
async fn what_is_removed_while_a_compaction_runs_is_worth_the_next_one() {
    let (_folder, store) = opened();
    let removed = Arc::new(AtomicU64::new(5 * MIB));
    let mut upkeep = upkeep(&store, Arc::clone(&removed));
    let is_worth_it = |upkeep: &Upkeep| {
        let (garbage, held) = upkeep.garbage();
        upkeep.is_worth_it(garbage, held)
    };
    assert!(is_worth_it(&upkeep));
    crate::store::embedded::upkeep::compact(&upkeep.spaces, &removed).unwrap();
    let meanwhile = removed.fetch_add(2 * MIB, Ordering::Relaxed);
    assert_eq!(meanwhile, 0, "it has what it was begun for");
    upkeep.compacted();
    assert!(is_worth_it(&upkeep));
}

/// All mail was removed from a full disk, and it stayed full until the gateway was started again.
#[tokio::test]
async fn files_that_a_reader_kept_are_removed_while_nothing_is_written_and_the_disk_is_full() {
    let (folder, store) = opened();
    let ids = delivered(&store, 3).await;
    store.compact().unwrap();
    let full = octets_below(folder.path());
    store.remove("a@x.org", &ids).await.unwrap();
    let reader = store.spaces.entry.iter();
    store.compact().unwrap();
    assert_eq!(store.spaces.body.disk_space(), 0);
    let kept = octets_below(folder.path());
    assert!(kept + LONG as u64 > full, "{kept} of {full}");
    drop(reader);
    let mut upkeep = upkeep(&store, Arc::default());
    upkeep.round().unwrap();
    let left = octets_below(folder.path());
    assert!(left + 3 * LONG as u64 <= kept, "{left} of {kept}");
    upkeep.round().unwrap();
}
