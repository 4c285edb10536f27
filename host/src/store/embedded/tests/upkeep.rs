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
    let mut upkeep = Upkeep {
        spaces: store.spaces.clone(),
        free: Arc::new(FreeSpace::new(Arc::new(|| Ok(0)), 1)),
        failure: store.failure.clone(),
        removed: Arc::clone(&removed),
        floor: 0,
        left: 0,
        put_off: false,
    };
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
