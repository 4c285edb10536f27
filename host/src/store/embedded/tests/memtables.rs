//! Rotation of the engine's memtables.

use super::*;
use crate::store::embedded::memtables::{Memtables, full};
use crate::store::embedded::rows::Space;
use fjall::AbstractTree as _;

/// Whether a memtable of so many octets is rotated; never another one.
fn is_rotated(space: Space, octets: u64) -> bool {
    let (_folder, store) = opened();
    let ids = || Space::ALL.map(|space| store.spaces.of(space).tree.active_memtable().id());
    let before = ids();
    for other in Space::ALL {
        // An empty memtable is not rotated.
        store.spaces.of(other).insert("k", "").unwrap();
    }
    let keyspace = store.spaces.of(space);
    let row = keyspace.tree.active_memtable().size();
    let value = vec![0; (octets - 2 * row) as usize];
    keyspace.insert("l", value).unwrap();
    assert_eq!(keyspace.tree.active_memtable().size(), octets);
    let (memtables, thread) = Memtables::start(store.spaces.clone(), store.failure.clone()).unwrap();
    // As often as commits come before the thread has its turn.
    for _ in 0..3 {
        memtables.look(&store.spaces);
    }
    drop(memtables);
    thread.join().unwrap();
    let after = ids();
    let rotated = Space::ALL.into_iter();
    let rotated: Vec<_> = rotated
        .filter(|space| after[*space as usize] != before[*space as usize])
        .collect();
    assert!(rotated.is_empty() || rotated == [space], "{rotated:?}");
    !rotated.is_empty()
}

#[tokio::test]
async fn a_memtable_is_rotated_when_it_is_full_and_not_before() {
    for space in Space::ALL {
        assert!(!is_rotated(space, full(space) - 1), "{space:?}");
        assert!(is_rotated(space, full(space)), "{space:?}");
    }
}

/// What was there before a restart counts.
#[tokio::test]
async fn deliveries_fill_memtables() {
    const LONG: u64 = 1_900_000;
    let (folder, store) = opened();
    let deliver = async |store: &EmbeddedStore| {
        let mut sent = delivery(vec![entry("a@x.org", 5)]);
        sent.content.text = Text::Inline(noise(LONG as usize));
        assert_eq!(store.deliver(sent).await.unwrap(), [Delivered::Kept]);
    };
    let most = full(Space::Body) / LONG;
    for _ in 0..most / 2 {
        deliver(&store).await;
    }
    drop(store);
    let store = open(folder.path());
    let tree = store.spaces.body.tree.clone();
    let (before, held) = (tree.active_memtable().id(), tree.active_memtable().size());
    assert!(held > most / 2 * LONG, "{held}");
    for _ in most / 2..most {
        deliver(&store).await;
    }
    assert_eq!(tree.active_memtable().id(), before, "it is not full");
    assert!(tree.active_memtable().size() < full(Space::Body));
    deliver(&store).await;
    drop(store);
    assert_ne!(tree.active_memtable().id(), before);
}
