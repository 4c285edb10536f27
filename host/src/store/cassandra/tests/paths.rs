//! What a delivery sends, and which deliveries are refused for their age.

use super::upkeep::{DAY, account, aged, cql, put, rows_of};
use super::*;
use crate::clock::unix_millis;
use crate::store::contract::{A, append_all, bounded, delivery, entry, listed_ids, noise, read_all};
use crate::store::{
    Bodies as _, CHUNK, Delivered, Delivery, Directory as _, NewEntry, NewQuarantined, Quarantine as _, Text,
};
use bytes::Bytes;
use scylla::statement::batch::{BatchStatement, BatchType};

/// A delivery whose content is `size` octets.
fn sized(size: usize, entries: Vec<NewEntry>) -> Delivery {
    let mut sent = delivery(entries);
    sent.content.text = Text::Inline(noise(size - sent.content.head.len()));
    sent
}

/// One mailbox that has room, whose usage is to be compared.
fn roomy(name: &str) -> NewEntry {
    bounded(name, 10, 1_000_000, 1000)
}

/// What is sent for a delivery, each name once with how often.
async fn path(store: &CassandraStore, sent: Delivery) -> Vec<(&'static str, usize)> {
    store.sent();
    let entries = sent.entries.len();
    assert_eq!(store.deliver(sent).await.unwrap(), vec![Delivered::Kept; entries]);
    counted(store.sent())
}

pub(crate) fn counted(sent: Vec<&'static str>) -> Vec<(&'static str, usize)> {
    let mut counted: Vec<(&'static str, usize)> = Vec::new();
    for name in sent {
        match counted.last_mut() {
            Some((last, count)) if *last == name => *count += 1,
            _ => counted.push((name, 1)),
        }
    }
    counted
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_small_message_for_one_is_one_mutation_at_16_kib_and_not_beyond() {
    let (_keyspace, store) = empty().await;
    path(&store, sized(100, vec![entry("a@x.org", 1)])).await;
    let at_most = path(&store, sized(16 * 1024, vec![entry("a@x.org", 1)])).await;
    assert_eq!(at_most, [("put_small", 1)]);
    let beyond = path(&store, sized(16 * 1024 + 1, vec![entry("a@x.org", 1)])).await;
    assert_eq!(beyond, [("commit_blob", 1), ("put_entry", 1), ("put_part", 2)]);
    let of_two = path(&store, sized(100, vec![entry("a@x.org", 1), entry("b@x.org", 1)])).await;
    assert!(of_two.iter().all(|(name, _)| *name != "put_small"), "{of_two:?}");
}

/// Every null that is written is a tombstone, which each listing reads again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_listing_of_what_was_only_delivered_meets_no_tombstone() {
    let (_keyspace, store) = empty().await;
    store
        .deliver(sized(1000, vec![entry("a@x.org", 1)]))
        .await
        .unwrap();
    store
        .deliver(sized(20_000, vec![entry("a@x.org", 1)]))
        .await
        .unwrap();
    let mut listing = store.statements.entries.prepared.clone();
    listing.set_tracing(true);
    let session = &store.cluster.session;
    for (epoch, low) in store.epochs("a@x.org").await.unwrap() {
        let answer = session
            .execute_unpaged(&listing, ("a@x.org", epoch, low))
            .await
            .unwrap();
        let traced = read_by(session, answer.tracing_id().unwrap());
        let read = tokio::time::timeout(DEADLINE, traced).await.unwrap();
        assert_eq!(read, "Read 2 live rows and 0 tombstone cells");
    }
}

/// What a trace says was read, once it is written, which is some time after the answer.
async fn read_by(session: &scylla::client::session::Session, trace: uuid::Uuid) -> String {
    loop {
        let info = session.get_tracing_info(&trace).await;
        let events = info.into_iter().flat_map(|info| info.events);
        let mut said = events.filter_map(|event| event.activity);
        if let Some(read) = said.find(|event| event.contains("tombstone cells")) {
            return read;
        }
    }
}

/// The first delivery to a mailbox asks how full it is, in parallel for all; after that nothing is read.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_delivery_reads_usage_once_and_then_not_at_all_and_transacts_nothing() {
    let (_keyspace, store) = empty().await;
    let small = || sized(1000, vec![roomy("a@x.org")]);
    assert_eq!(
        path(&store, small()).await,
        [("epochs", 1), ("put_epoch", 1), ("put_small", 1)],
        "a mailbox that has nothing has no partition to read"
    );
    assert_eq!(path(&store, small()).await, [("put_small", 1)], "warm");

    let mut large = delivery(vec![roomy("b@x.org")]);
    large.content.text = append_all(&*store, large.id, &noise(2 * CHUNK + 1)).await;
    let begun = path(&store, large).await;
    let once = ["commit_blob", "epochs", "put_entry", "put_epoch", "put_part"].map(|name| (name, 1));
    assert_eq!(begun, once, "the text was there before");
    let mut large = delivery(vec![roomy("b@x.org")]);
    large.content.text = append_all(&*store, large.id, &noise(2 * CHUNK + 1)).await;
    let once = ["commit_blob", "put_entry", "put_part"].map(|name| (name, 1));
    assert_eq!(path(&store, large).await, once, "warm");

    let all = || {
        (0..50)
            .map(|nth| roomy(&format!("{nth}@x.org")))
            .collect::<Vec<_>>()
    };
    let cold = [
        ("commit_blob", 1),
        ("epochs", 50),
        ("put_entry", 50),
        ("put_epoch", 50),
        ("put_part", 2),
        ("put_ref", 50),
    ];
    assert_eq!(path(&store, sized(1000, all())).await, cold);
    let warm = [
        ("commit_blob", 1),
        ("put_entry", 50),
        ("put_part", 2),
        ("put_ref", 50),
    ];
    assert_eq!(path(&store, sized(1000, all())).await, warm);
}

/// One reading is one row of epochs and one partition for each of them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mailbox_that_another_gateway_filled_is_read_once() {
    let (keyspace, store) = empty().await;
    for _ in 0..3 {
        store
            .deliver(sized(100, vec![entry("a@x.org", 1)]))
            .await
            .unwrap();
    }
    let other = keyspace.beside().await;
    let begun = path(&other, sized(100, vec![roomy("a@x.org")])).await;
    assert_eq!(
        begun,
        ["epochs", "put_epoch", "put_small", "sizes"].map(|name| (name, 1))
    );
    assert_eq!(other.usage("a@x.org").await.unwrap().messages, 4);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_statement_of_a_delivery_is_a_transaction_a_counter_or_a_logged_batch() {
    let (_keyspace, store) = empty().await;
    let s = &store.statements;
    let sent = [
        &s.put_entry,
        &s.put_epoch,
        &s.put_part,
        &s.commit_blob,
        &s.put_ref,
        &s.put_held,
        &s.epochs,
        &s.sizes,
        &s.held_weights,
    ];
    let mut texts: Vec<&str> = sent
        .iter()
        .map(|statement| statement.prepared.get_statement())
        .collect();
    let batch = &s.put_small.batch;
    assert_eq!(batch.get_type(), BatchType::Unlogged);
    for part in &batch.statements {
        let BatchStatement::PreparedStatement(prepared) = part else {
            panic!("a part is not prepared");
        };
        texts.push(prepared.get_statement());
    }
    for text in texts {
        assert!(!text.contains(" IF "), "{text}");
        assert!(!text.contains("UPDATE"), "a counter is updated: {text}");
    }
    let transacts = s.create_account.prepared.get_statement();
    assert!(transacts.contains(" IF "), "{transacts}");
}

const MINUTE: u64 = 60_000;

/// The place where listings begin may be behind a row that is older: nobody would list it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_id_of_45_minutes_is_delivered_and_an_older_one_is_not() {
    let (_keyspace, store) = empty().await;
    store.create_account(account("a@x.org")).await.unwrap();
    let sent = delivery(vec![entry("a@x.org", 1)]);
    let drawn = sent.id.unix_millis();
    let age = |millis: u64| {
        let stopped = &store.clock.stopped;
        stopped.store(drawn + millis, std::sync::atomic::Ordering::Relaxed);
    };
    age(45 * MINUTE + 1000);
    let refused = store.deliver(sent.clone()).await.unwrap_err().to_string();
    assert!(refused.contains("is too old to be listed"), "{refused}");
    age(45 * MINUTE + 1);
    assert!(store.deliver(sent.clone()).await.is_err());
    assert!(store.list("a@x.org").await.unwrap().is_empty());
    age(45 * MINUTE);
    assert_eq!(store.deliver(sent.clone()).await.unwrap(), [Delivered::Kept]);
    age(45 * MINUTE - 1000);
    let second = Delivery {
        id: MessageId::from_bytes({
            let mut bytes = *sent.id.as_bytes();
            bytes[15] ^= 1;
            bytes
        }),
        ..sent
    };
    assert_eq!(store.deliver(second).await.unwrap(), [Delivered::Kept]);
    assert_eq!(store.list("a@x.org").await.unwrap().len(), 2);

    let old = Delivery {
        id: aged(46 * MINUTE),
        ..delivery(vec![entry("a@x.org", 1)])
    };
    let listed = crate::store::Entry {
        id: old.id,
        size: 1,
        downgraded_size: 1,
        trace: old.entries[0].trace.clone(),
        uidl: None,
    };
    let moved = crate::store::Moved {
        id: old.id,
        content: old.content.clone(),
        facts: old.facts.clone(),
        entries: vec![("a@x.org".into(), listed)],
        copies: Vec::new(),
    };
    store.stop_clock(0);
    assert!(store.deliver(old).await.is_err());
    crate::store::copying::Movable::admit(&*store, moved)
        .await
        .unwrap();
    assert_eq!(
        store.list("a@x.org").await.unwrap().len(),
        3,
        "a copy brings what is old"
    );
}

/// Its text was left to the sweep, and how long its chunks are was remembered for good.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_text_of_a_delivery_that_wrote_nothing_goes_with_it() {
    let (keyspace, store) = empty().await;
    let mut sent = delivery(vec![entry("a@x.org", 1)]);
    sent.content.text = append_all(&*store, sent.id, &noise(CHUNK + 1)).await;
    store.stop_clock(46 * MINUTE);
    assert!(store.deliver(sent.clone()).await.is_err());
    assert!(!rows_of(&store, &keyspace, "id", "blob").await.is_empty());
    store.discard(sent.id).await.unwrap();
    assert!(rows_of(&store, &keyspace, "id", "blob").await.is_empty());
    assert!(!store.arriving.forget(sent.id), "nothing of it is remembered");
}

/// A gateway that never heard of the removal sends the delivery again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_that_comes_late_does_not_bring_back_what_was_removed() {
    let (keyspace, store) = empty().await;
    let other = keyspace.beside().await;
    for size in [100, 20_000] {
        let sent = sized(size, vec![entry("a@x.org", 1)]);
        store.deliver(sent.clone()).await.unwrap();
        store.remove("a@x.org", &[sent.id]).await.unwrap();
        other.deliver(sent).await.unwrap();
        assert!(store.list("a@x.org").await.unwrap().is_empty(), "{size} octets");
    }
}

/// Clocks of two gateways differ by less than 20 s, which is how far ahead deletions are.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_gateway_with_a_faster_clock_wrote_is_removed_all_the_same() {
    let (keyspace, store) = empty().await;
    let ahead = unix_millis() + 19_000;
    let sent = Delivery {
        id: rows::id(rows::lowest_id(ahead)),
        ..sized(100, vec![entry("a@x.org", 1)])
    };
    store.deliver(sent.clone()).await.unwrap();
    // With the time of the other's clock, which ours would not have written.
    let again = "UPDATE {ks}.entry USING TIMESTAMP ? SET size = 1, trace = 0x, body = 0 WHERE mbox = 'a@x.org' \
        AND epoch = ? AND msg = ?";
    let key = (rows::micros(ahead), rows::epoch(sent.id), rows::uuid(sent.id));
    cql(&store, &keyspace, again, key).await;
    assert_eq!(store.list("a@x.org").await.unwrap().len(), 1);
    store.remove("a@x.org", &[sent.id]).await.unwrap();
    assert!(store.list("a@x.org").await.unwrap().is_empty());
    assert!(store.read(A, sent.id, 0, 1).await.is_err());
}

/// From a machine whose clock was years ahead, copied here: no deletion outdid it, and the next account of its name was
/// looked through without an end.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mail_from_the_future_is_removed_all_the_same() {
    let (_keyspace, store) = empty().await;
    for (size, days) in [(100, 365), (20_000, 366)] {
        let ahead = rows::id(rows::lowest_id(unix_millis() + days * DAY));
        put(&store, ahead, size, &["a@x.org"], &[]).await;
        assert_eq!(store.list("a@x.org").await.unwrap().len(), 1);
        store.remove("a@x.org", &[ahead]).await.unwrap();
        assert!(store.list("a@x.org").await.unwrap().is_empty());
        assert!(store.read(A, ahead, 0, 1).await.is_err());
    }
}

/// LMTP keeps a copy for quarantine when a mailbox was full, while those who had room read and delete theirs.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_late_copy_of_what_was_removed_meanwhile_is_not_acknowledged() {
    let (keyspace, _) = empty().await;
    let store = keyspace.beside_holding(u64::MAX).await;
    let first = sized(20_000, vec![entry("a@x.org", 1), entry("b@x.org", 1)]);
    let copy = |reason: &str| NewQuarantined {
        mailboxes: vec!["c@x.org".into()],
        reason: reason.to_owned(),
        trace: Bytes::new(),
    };
    let late = Delivery {
        entries: Vec::new(),
        quarantine: vec![copy("full")],
        ..first.clone()
    };
    store.deliver(first.clone()).await.unwrap();
    store.remove("a@x.org", &[first.id]).await.unwrap();
    store.deliver(late.clone()).await.unwrap();
    assert_eq!(
        store.quarantined(None, 9).await.unwrap().len(),
        1,
        "b has the body still"
    );

    let first = sized(20_000, vec![entry("a@x.org", 1), entry("b@x.org", 1)]);
    store.deliver(first.clone()).await.unwrap();
    for mailbox in ["a@x.org", "b@x.org"] {
        store.remove(mailbox, &[first.id]).await.unwrap();
    }
    let refused = store.deliver(Delivery { id: first.id, ..late }).await;
    assert!(refused.unwrap_err().to_string().contains("is gone"));
    assert_eq!(store.quarantined(None, 9).await.unwrap().len(), 1);
}

/// The client hears 451 and sends it again; what was written by then may be listed, and is whole.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_delivery_whose_answer_never_came_may_be_listed_and_has_its_body() {
    let (keyspace, _) = empty().await;
    let store = keyspace.beside_for(Duration::from_secs(1)).await;
    for (size, last) in [(100, "put_small"), (20_000, "put_entry")] {
        let sent = sized(size, vec![entry("a@x.org", 1)]);
        (0..50).for_each(|_| store.cluster.witness.lose(last));
        assert!(store.deliver(sent.clone()).await.is_err());
        store.cluster.witness.forgive();
        let listed = store.list("a@x.org").await.unwrap();
        assert!(listed.iter().any(|entry| entry.id == sent.id), "it was written");
        assert_eq!(read_all(&*store, A, sent.id, 8192).await.len(), size);
        assert_eq!(store.deliver(sent).await.unwrap(), [Delivered::Kept], "again");
    }
    assert_eq!(store.list("a@x.org").await.unwrap().len(), 2);
    assert_eq!(store.usage("a@x.org").await.unwrap().messages, 2);
}

/// Of 4 seconds the reading of usage takes at least 1.5 here, and the row gets what is left.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_requests_of_a_delivery_have_one_deadline() {
    let (keyspace, _) = empty().await;
    let deadline = Duration::from_secs(4);
    let store = keyspace.beside_for(deadline).await;
    let mut sent = sized(20_000, vec![entry("a@x.org", 1)]);
    sent.entries[0].ceiling.messages = Some(9);
    (0..7).for_each(|_| store.cluster.witness.lose("epochs"));
    (0..1000).for_each(|_| store.cluster.witness.lose("put_entry"));
    let begun = tokio::time::Instant::now();
    assert!(store.deliver(sent).await.is_err());
    let took = begun.elapsed();
    let lost: Vec<_> = store
        .sent()
        .into_iter()
        .filter(|name| *name == "epochs")
        .collect();
    assert_eq!(lost.len(), 8, "usage was read at last");
    assert!(took < deadline + Duration::from_millis(700), "{took:?}");
}

/// Where a part of the ring has no quorum, requests to it once held all places until their deadlines.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_pauses_before_trying_again_lets_others_pass() {
    let (keyspace, _) = empty().await;
    let one_place = CassandraLimits {
        in_flight: 1,
        ..limits()
    };
    let store = open(&keyspace.0, one_place).await;
    (0..1000).for_each(|_| store.cluster.witness.lose("put_small"));
    let sent = sized(100, vec![entry("a@x.org", 1)]);
    let tried = tokio::spawn({
        let store = Arc::clone(&store);
        async move { store.deliver(sent).await }
    });
    while !store.sent().contains(&"put_small") {
        tokio::task::yield_now().await;
    }
    store.list("b@x.org").await.unwrap();
    assert!(!tried.is_finished(), "it is tried again and again");
    store.cluster.witness.forgive();
    assert_eq!(tried.await.unwrap().unwrap(), [Delivered::Kept]);
}

/// Listings and usage are the sums of all their partitions.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mail_of_several_epochs_is_listed_in_order_and_counted() {
    let (_keyspace, store) = empty().await;
    let mut ids = Vec::new();
    for days in [100, 1, 60, 30] {
        let id = aged(days * upkeep::DAY);
        let sent = delivery(vec![entry("a@x.org", 10)]);
        let listed = crate::store::Entry {
            id,
            size: 10,
            downgraded_size: 10,
            trace: bytes::Bytes::new(),
            uidl: None,
        };
        let moved = crate::store::Moved {
            id,
            content: sent.content,
            facts: sent.facts,
            entries: vec![("a@x.org".into(), listed)],
            copies: Vec::new(),
        };
        crate::store::copying::Movable::admit(&*store, moved)
            .await
            .unwrap();
        ids.push(id);
    }
    ids.sort();
    let listed = listed_ids(&*store, "a@x.org").await;
    assert_eq!(listed, ids);
    assert_eq!(store.usage("a@x.org").await.unwrap().bytes, 40);
    store.remove("a@x.org", &ids[..2]).await.unwrap();
    let listed = listed_ids(&*store, "a@x.org").await;
    assert_eq!(listed, ids[2..]);
}
