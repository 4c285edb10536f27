//! Rotation of the engine's memtables.

use super::*;
use crate::store::embedded::memtables::{Memtables, ROW, full};
use crate::store::embedded::rows::Space;
use fjall::AbstractTree as _;

/// Whether rows of so many octets, one after another, lead to a rotation of that space's memtable; never to one of
/// another.
fn rotates(space: Space, rows: &[u64]) -> bool {
    let (_folder, store) = opened();
    let ids = || Space::ALL.map(|space| store.spaces.of(space).tree.active_memtable().id());
    let before = ids();
    let (mut memtables, thread) = Memtables::start(store.spaces.clone(), store.failure.clone()).unwrap();
    for space in Space::ALL {
        // An empty memtable is not rotated.
        store.spaces.of(space).insert("key", "value").unwrap();
    }
    for &octets in rows {
        memtables.wrote(space, octets as usize - ROW);
    }
    drop(memtables);
    thread.join().unwrap();
    let after = ids();
    let rotated: Vec<_> = Space::ALL
        .into_iter()
        .filter(|space| after[*space as usize] != before[*space as usize])
        .collect();
    assert!(rotated.is_empty() || rotated == [space], "{rotated:?}");
    !rotated.is_empty()
}

#[tokio::test]
async fn a_memtable_is_rotated_when_it_is_full_and_not_before() {
    for space in Space::ALL {
        assert!(!rotates(space, &[1_000, full(space) - 1_001]), "{space:?}");
        assert!(rotates(space, &[1_000, full(space) - 1_000]), "{space:?}");
    }
}

/// What was there before a restart is counted; the engine's own bound, which is higher, is never reached.
#[tokio::test]
async fn deliveries_fill_memtables_as_the_engine_counts() {
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
