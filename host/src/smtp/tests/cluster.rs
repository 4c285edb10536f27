//! Deliveries over a real Cassandra, from the first line to the last reply.

use super::*;
use crate::store::CassandraStore;
use crate::store::cassandra::tests::{Keyspace, counted, empty};

async fn house() -> (Keyspace, Arc<CassandraStore>, House) {
    let (keyspace, store) = empty().await;
    let kept = Arc::clone(&store);
    let open = move |_: &std::path::Path| -> Arc<dyn Store> { kept };
    let house = House::over(open, "role: mx", "", Arc::default()).await;
    (keyspace, store, house)
}

/// What was sent to Cassandra from DATA to the final reply.
async fn sent(store: &CassandraStore, client: &mut Client, content: &str) -> Vec<(&'static str, usize)> {
    store.sent();
    let reply = client.data(content).await;
    assert!(reply.starts_with("250 "), "{reply}");
    counted(store.sent())
}

const SMALL: &str = "Subject: small\r\n\r\ntext\r\n";

/// The place where a listing begins may have passed a message that took too long; the sender keeps it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_transfer_of_more_than_45_minutes_is_deferred() {
    const SECOND: u64 = 1000;
    let (_keyspace, store, house) = house().await;
    let mut client = house.client().await;
    for (ahead, code) in [
        (45 * 60 * SECOND + SECOND, "451 4.3.0"),
        (44 * 60 * SECOND, "250 "),
    ] {
        client.envelope(&["ann"]).await;
        assert!(client.say("DATA").await.starts_with("354 "));
        store.stop_clock(ahead);
        let reply = client.say("Subject: slow\r\n\r\ntext\r\n.").await;
        assert!(reply.starts_with(code), "{ahead}: {reply}");
    }
    assert_eq!(house.mailbox("ann").await.len(), 1);
}

/// Lightweight transactions, counters and logged batches have other names; what these are is tested with the store.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn from_data_to_250_nothing_is_asked_but_how_full_a_mailbox_is_and_that_once() {
    let (keyspace, store, house) = house().await;
    for nth in 0..50 {
        let one = account(&format!("u{nth}"), Some(1_000_000));
        house.gateway.store.create_account(one).await.unwrap();
    }
    let mut client = house.client().await;
    client.envelope(&["u0"]).await;
    // RCPT has asked.
    let begun = sent(&store, &mut client, SMALL).await;
    assert_eq!(begun, [("put_epoch", 1), ("put_small", 1)]);
    client.envelope(&["u0"]).await;
    assert_eq!(sent(&store, &mut client, SMALL).await, [("put_small", 1)], "warm");

    let large = format!("Subject: large\r\n\r\n{}", "0123456789abcdef\r\n".repeat(50_000));
    client.envelope(&["u0"]).await;
    let names: Vec<_> = sent(&store, &mut client, &large)
        .await
        .into_iter()
        .map(|(name, _)| name)
        .collect();
    assert_eq!(names, ["commit_blob", "put_entry", "put_part"]);

    let all: Vec<String> = (0..50).map(|nth| format!("u{nth}")).collect();
    let all: Vec<&str> = all.iter().map(String::as_str).collect();
    client.envelope(&all).await;
    let warm = [
        ("commit_blob", 1),
        ("put_entry", 50),
        ("put_part", 2),
        ("put_ref", 50),
    ];
    let begun = sent(&store, &mut client, SMALL).await;
    assert_eq!(begun, [warm[0], warm[1], ("put_epoch", 49), warm[2], warm[3]]);
    client.envelope(&all).await;
    assert_eq!(sent(&store, &mut client, SMALL).await, warm);

    // What was known of them has run out between RCPT and the dot.
    for (to, others) in [(&all[..1], 0), (&all[..], 49)] {
        client.envelope(to).await;
        store.doubt(to.iter().map(|name| format!("{name}@example.org")));
        let sent = sent(&store, &mut client, SMALL).await;
        let reads: Vec<_> = sent
            .iter()
            .filter(|(name, _)| !name.starts_with("put_"))
            .collect();
        let once = [&("epochs", 1 + others), &("sizes", 1 + others)];
        match others {
            0 => assert_eq!(reads, once),
            _ => assert_eq!(reads, [&("commit_blob", 1), once[0], once[1]]),
        }
    }
    drop(keyspace);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn content_that_begins_with_no_field_is_a_body_over_cassandra_too() {
    let (keyspace, _store, house) = house().await;
    content::content_stays_out_of_the_trace(&house).await;
    drop(keyspace);
}
