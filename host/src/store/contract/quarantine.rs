//! Quarantine.

use super::*;

/// A delivery to quarantine alone, 100 octets.
fn held(reasons: &[&str]) -> Delivery {
    let mut sent = delivery(Vec::new());
    sent.content.text = Text::Inline(noise(100 - sent.content.head.len()));
    let copy = |reason: &&str| NewQuarantined {
        mailboxes: vec!["a@x.org".into(), "b@x.org".into()],
        reason: (*reason).to_owned(),
        trace: Bytes::from(format!("X-Held: {reason}\r\n")),
    };
    sent.quarantine = reasons.iter().map(copy).collect();
    sent
}

/// What each of these copies counts for: all of it.
fn weight(sent: &Delivery) -> u64 {
    let copies = sent.quarantine.iter();
    let each = copies.map(|copy| {
        let listed = rules::held(sent.id, copy, sent.content.size());
        rules::held_weight(&listed, sent.facts.len())
    });
    each.sum()
}

/// A delivery that counts for exactly `octets`.
fn weighing(octets: u64) -> Delivery {
    let mut sent = held(&[""]);
    let missing = octets - weight(&sent);
    sent.quarantine[0].reason = "x".repeat(missing as usize);
    sent
}

async fn drop_all(store: &impl Store) {
    for copy in store.quarantined(None, 99).await.unwrap() {
        store.quarantine_drop(copy.id).await.unwrap();
    }
}

pub(crate) async fn a_quarantined_copy_is_listed_read_and_dropped(store: Arc<impl Store + 'static>) {
    let sent = held(&["a virus"]);
    assert!(store.deliver(sent.clone()).await.unwrap().is_empty());
    let listed = Quarantined {
        id: sent.id,
        mailboxes: sent.quarantine[0].mailboxes.clone(),
        reason: "a virus".into(),
        trace: sent.quarantine[0].trace.clone(),
        size: 100,
    };
    assert_eq!(
        store.quarantined(None, 9).await.unwrap(),
        std::slice::from_ref(&listed)
    );
    assert_eq!(store.quarantined_one(sent.id).await.unwrap(), listed);
    assert_eq!(
        store.quarantine_usage().await.unwrap(),
        Usage {
            bytes: weight(&sent),
            messages: 1
        }
    );
    assert_eq!(
        read_all(&*store, Holder::Quarantine, sent.id, 33).await.len(),
        100
    );
    store.quarantine_drop(sent.id).await.unwrap();
    assert!(is_not_found(store.quarantine_drop(sent.id).await));
    assert!(is_not_found(store.quarantined_one(sent.id).await));
    assert!(is_not_found(store.read(Holder::Quarantine, sent.id, 0, 1).await));
    assert_eq!(store.quarantine_usage().await.unwrap(), Usage::default());
}

pub(crate) async fn several_copies_of_one_message_are_told_apart(store: Arc<impl Store + 'static>) {
    let sent = held(&["first", "second", "third"]);
    store.deliver(sent.clone()).await.unwrap();
    let copies = store.quarantined(None, 9).await.unwrap();
    let mut reasons: Vec<_> = copies.iter().map(|copy| copy.reason.as_str()).collect();
    reasons.sort_unstable();
    assert_eq!(reasons, ["first", "second", "third"]);
    for copy in copies {
        assert_eq!(
            read_all(&*store, Holder::Quarantine, copy.id, 64).await.len(),
            100,
            "until the last is gone"
        );
        assert_eq!(store.facts(Holder::Quarantine, copy.id).await.unwrap(), "facts");
        store.quarantine_drop(copy.id).await.unwrap();
    }
    assert!(is_not_found(store.read(Holder::Quarantine, sent.id, 0, 1).await));
}

pub(crate) async fn quarantine_counts_against_no_mailbox(store: Arc<impl Store + 'static>) {
    store.deliver(held(&["x"])).await.unwrap();
    assert_eq!(store.usage("a@x.org").await.unwrap(), Usage::default());
    assert!(store.list("a@x.org").await.unwrap().is_empty());
}

pub(crate) async fn quarantine_is_bounded_at_its_exact_edge(store: Arc<impl Store + 'static>) {
    for _ in 0..4 {
        store.deliver(weighing(QUARANTINE_MAX / 5)).await.unwrap();
    }
    let one_more = weighing(QUARANTINE_MAX / 5 + 1);
    assert!(matches!(
        store.deliver(one_more).await,
        Err(StoreError::Bound("quarantine"))
    ));
    store.deliver(weighing(QUARANTINE_MAX / 5)).await.unwrap();
    assert_eq!(store.quarantine_usage().await.unwrap().bytes, QUARANTINE_MAX);
    let mut over = held(&["over"]);
    over.entries = vec![entry("a@x.org", 9)];
    assert!(matches!(
        store.deliver(over.clone()).await,
        Err(StoreError::Bound("quarantine"))
    ));
    assert!(
        store.list("a@x.org").await.unwrap().is_empty(),
        "nothing of it was delivered"
    );
    store.deliver(delivery(vec![entry("a@x.org", 9)])).await.unwrap();
    let first = store.quarantined(None, 1).await.unwrap();
    store.quarantine_drop(first[0].id).await.unwrap();
    assert_eq!(store.deliver(over).await.unwrap(), [Delivered::Kept]);
    drop_all(&*store).await;
    assert_eq!(store.quarantine_usage().await.unwrap(), Usage::default());
}

/// Only content was counted: a short message with a thousand recipients took thirty times what it counted for.
pub(crate) async fn all_that_a_copy_keeps_counts_against_the_bound(store: Arc<impl Store + 'static>) {
    let long = noise(QUARANTINE_MAX as usize);
    let text = "x".repeat(QUARANTINE_MAX as usize);
    let mut of_facts = held(&["x"]);
    of_facts.facts = long.clone();
    let mut of_trace = held(&["x"]);
    of_trace.quarantine[0].trace = long;
    let mut of_recipients = held(&["x"]);
    of_recipients.quarantine[0].mailboxes = vec!["a-name-of-20@x.or.g1".into(); QUARANTINE_MAX as usize / 20];
    for heavy in [of_facts, of_trace, of_recipients, held(&[&text])] {
        assert!(matches!(
            store.deliver(heavy).await,
            Err(StoreError::Bound("quarantine"))
        ));
    }
    assert_eq!(store.quarantine_usage().await.unwrap(), Usage::default());
}

pub(crate) async fn quarantine_is_paged_in_order(store: Arc<impl Store + 'static>) {
    for _ in 0..5 {
        store.deliver(held(&["x"])).await.unwrap();
    }
    let all = store.quarantined(None, 99).await.unwrap();
    assert!(all.is_sorted_by_key(|copy| copy.id));
    let mut paged = Vec::new();
    loop {
        let page = store
            .quarantined(paged.last().map(|copy: &Quarantined| copy.id), 2)
            .await
            .unwrap();
        assert!(page.len() <= 2);
        if page.is_empty() {
            break;
        }
        paged.extend(page);
    }
    assert_eq!((paged.len(), &paged), (5, &all));
}

pub(crate) async fn old_copies_expire(store: Arc<impl Store + 'static>) {
    let dated = |millis: u64| {
        let mut bytes = *MessageId::new().as_bytes();
        bytes[..6].copy_from_slice(&millis.to_be_bytes()[2..]);
        Delivery {
            id: MessageId::from_bytes(bytes),
            ..held(&["x"])
        }
    };
    let (old, edge) = (dated(999), dated(1000));
    store.deliver(old.clone()).await.unwrap();
    store.deliver(edge.clone()).await.unwrap();
    let expired: Vec<_> = store
        .quarantine_expire(1000)
        .await
        .unwrap()
        .iter()
        .map(|copy| copy.id)
        .collect();
    assert_eq!(expired, [old.id]);
    assert_eq!(store.quarantined(None, 9).await.unwrap()[0].id, edge.id);
    assert!(store.quarantine_expire(1000).await.unwrap().is_empty());
}

pub(crate) async fn quarantining_again_changes_nothing(store: Arc<impl Store + 'static>) {
    let sent = held(&["one", "two"]);
    for _ in 0..QUARANTINE_MAX / weight(&sent) + 1 {
        store.deliver(sent.clone()).await.unwrap();
    }
    assert_eq!(
        store.quarantine_usage().await.unwrap(),
        Usage {
            bytes: weight(&sent),
            messages: 2
        }
    );
}

pub(crate) async fn a_mailbox_and_quarantine_share_one_body(store: Arc<impl Store + 'static>) {
    let mut sent = held(&["x"]);
    sent.entries = vec![entry("c@x.org", 9)];
    store.deliver(sent.clone()).await.unwrap();
    store.remove("c@x.org", &[sent.id]).await.unwrap();
    assert_eq!(
        read_all(&*store, Holder::Quarantine, sent.id, 64).await.len(),
        100
    );
    store.quarantine_drop(sent.id).await.unwrap();
    assert!(is_not_found(store.read(Holder::Quarantine, sent.id, 0, 1).await));
}
