//! Deliveries, listings, removals, usage.

use super::*;

pub(crate) async fn a_delivered_message_is_listed_and_read_back(store: Arc<impl Store + 'static>) {
    let sent = delivery(vec![entry("a@x.org", 40)]);
    assert_eq!(store.deliver(sent.clone()).await.unwrap(), [Delivered::Kept]);
    let listing = store.list("a@x.org").await.unwrap();
    assert_eq!(listing.len(), 1);
    assert_eq!(listing[0].id, sent.id);
    assert_eq!(
        read_all(&*store, A, sent.id, 7).await,
        b"Subject: x\r\n\r\ntext\r\n"
    );
    assert_eq!(store.facts(A, sent.id).await.unwrap(), "facts");
}

pub(crate) async fn what_an_entry_says_is_kept(store: Arc<impl Store + 'static>) {
    let said = NewEntry {
        downgraded_size: 55,
        uidl: Some("imported-1".into()),
        trace: noise(64 * 1024),
        ..entry("a@x.org", 40)
    };
    let sent = delivery(vec![said.clone()]);
    store.deliver(sent.clone()).await.unwrap();
    let listing = store.list("a@x.org").await.unwrap();
    let [line] = listing.as_slice() else {
        panic!("{listing:?}");
    };
    assert_eq!((line.id, line.size, line.downgraded_size), (sent.id, 40, 55));
    assert_eq!(line.uidl.as_deref(), said.uidl.as_deref());
    assert_eq!(store.trace("a@x.org", line).await.unwrap(), said.trace);
}

pub(crate) async fn delivering_again_changes_nothing(store: Arc<impl Store + 'static>) {
    let sent = delivery(vec![bounded("a@x.org", 40, 40, 1)]);
    for _ in 0..3 {
        assert_eq!(store.deliver(sent.clone()).await.unwrap(), [Delivered::Kept]);
    }
    let wider = Delivery {
        entries: vec![entry("a@x.org", 40), entry("b@x.org", 40)],
        ..sent
    };
    assert_eq!(store.deliver(wider).await.unwrap(), [Delivered::Kept; 2]);
    assert_eq!(store.list("a@x.org").await.unwrap().len(), 1);
    assert_eq!(
        store.usage("a@x.org").await.unwrap(),
        Usage {
            bytes: 40,
            messages: 1
        }
    );
    assert_eq!(
        store.usage("b@x.org").await.unwrap(),
        Usage {
            bytes: 40,
            messages: 1
        }
    );
}

pub(crate) async fn the_same_mailbox_twice_in_one_delivery_counts_once(store: Arc<impl Store + 'static>) {
    let sent = delivery(vec![bounded("a@x.org", 40, 40, 1), bounded("a@x.org", 40, 40, 1)]);
    assert_eq!(store.deliver(sent).await.unwrap(), [Delivered::Kept; 2]);
    assert_eq!(
        store.usage("a@x.org").await.unwrap(),
        Usage {
            bytes: 40,
            messages: 1
        }
    );
}

pub(crate) async fn all_delivers_nothing_when_one_is_over_its_ceiling(store: Arc<impl Store + 'static>) {
    let mut sent = delivery(vec![entry("a@x.org", 40), bounded("b@x.org", 40, 39, 9)]);
    sent.quarantine = vec![NewQuarantined {
        mailboxes: vec!["c@x.org".into()],
        reason: "held".into(),
        trace: Bytes::new(),
    }];
    let over = Delivered::OverQuota {
        usage: Usage::default(),
    };
    assert_eq!(
        store.deliver(sent.clone()).await.unwrap(),
        [Delivered::NotTried, over]
    );
    assert!(store.list("a@x.org").await.unwrap().is_empty());
    assert!(store.quarantined(None, 9).await.unwrap().is_empty());
    assert!(is_not_found(store.read(A, sent.id, 0, 1).await));
    assert_eq!(store.usage("a@x.org").await.unwrap(), Usage::default());
}

pub(crate) async fn each_delivers_to_those_with_room(store: Arc<impl Store + 'static>) {
    let entries = vec![
        entry("a@x.org", 40),
        bounded("b@x.org", 40, 39, 9),
        entry("c@x.org", 40),
    ];
    let sent = Delivery {
        atomicity: Atomicity::Each,
        ..delivery(entries)
    };
    let over = Delivered::OverQuota {
        usage: Usage::default(),
    };
    let outcomes = store.deliver(sent.clone()).await.unwrap();
    assert_eq!(outcomes, [Delivered::Kept, over, Delivered::Kept]);
    assert_eq!(store.list("a@x.org").await.unwrap().len(), 1);
    assert!(store.list("b@x.org").await.unwrap().is_empty());
    assert_eq!(store.list("c@x.org").await.unwrap().len(), 1);
    assert_eq!(read_all(&*store, A, sent.id, 64).await.len(), 20);
}

pub(crate) async fn a_ceiling_admits_its_exact_value_and_not_one_more(store: Arc<impl Store + 'static>) {
    let held = Usage {
        bytes: 60,
        messages: 1,
    };
    let bytes = bounded("bytes@x.org", 40, 100, 9);
    store
        .deliver(delivery(vec![bounded("bytes@x.org", 60, 100, 9)]))
        .await
        .unwrap();
    let over = NewEntry {
        size: 41,
        ..bytes.clone()
    };
    let outcome = store.deliver(delivery(vec![over])).await.unwrap();
    assert_eq!(outcome, [Delivered::OverQuota { usage: held }]);
    assert_eq!(
        store.deliver(delivery(vec![bytes])).await.unwrap(),
        [Delivered::Kept]
    );

    for outcome in [Delivered::Kept, Delivered::Kept] {
        let sent = delivery(vec![bounded("count@x.org", 1, 100, 2)]);
        assert_eq!(store.deliver(sent).await.unwrap(), [outcome]);
    }
    let full = Usage {
        bytes: 2,
        messages: 2,
    };
    let outcome = store
        .deliver(delivery(vec![bounded("count@x.org", 1, 100, 2)]))
        .await
        .unwrap();
    assert_eq!(outcome, [Delivered::OverQuota { usage: full }]);
}

pub(crate) async fn concurrent_deliveries_never_pass_a_ceiling(store: Arc<impl Store + 'static>) {
    let calls = (0..50).map(|_| {
        let store = Arc::clone(&store);
        async move {
            store
                .deliver(delivery(vec![bounded("a@x.org", 10, 77, 99)]))
                .await
                .unwrap()
        }
    });
    let outcomes = together(calls).await.concat();
    let kept = outcomes.iter().filter(|outcome| **outcome == Delivered::Kept);
    assert_eq!(kept.count(), 7);
    assert_eq!(
        store.usage("a@x.org").await.unwrap(),
        Usage {
            bytes: 70,
            messages: 7
        }
    );
    assert_eq!(store.list("a@x.org").await.unwrap().len(), 7);
}

pub(crate) async fn the_listing_is_in_order_of_ids(store: Arc<impl Store + 'static>) {
    let mut sent: Vec<_> = (0..9).map(|_| delivery(vec![entry("a@x.org", 1)])).collect();
    sent.reverse();
    for delivery in &sent {
        store.deliver(delivery.clone()).await.unwrap();
    }
    let listed = listed_ids(&*store, "a@x.org").await;
    let mut ids: Vec<_> = sent.iter().map(|delivery| delivery.id).collect();
    ids.sort();
    assert_eq!(listed, ids);
}

pub(crate) async fn mailboxes_whose_names_begin_alike_are_apart(store: Arc<impl Store + 'static>) {
    let names = ["a@x.org", "a@x.org.uk", "aa@x.org", "a", "\u{fc}@x.org"];
    for name in names {
        store.deliver(delivery(vec![entry(name, 5)])).await.unwrap();
    }
    for name in names {
        assert_eq!(store.list(name).await.unwrap().len(), 1, "{name}");
        assert_eq!(
            store.usage(name).await.unwrap(),
            Usage {
                bytes: 5,
                messages: 1
            }
        );
    }
}

pub(crate) async fn a_shared_body_goes_with_its_last_holder(store: Arc<impl Store + 'static>) {
    let sent = delivery(vec![
        entry("a@x.org", 40),
        entry("b@x.org", 40),
        entry("c@x.org", 40),
    ]);
    store.deliver(sent.clone()).await.unwrap();
    for mailbox in ["a@x.org", "b@x.org"] {
        store.remove(mailbox, &[sent.id]).await.unwrap();
        assert_eq!(
            read_all(&*store, Holder::Mailbox("c@x.org"), sent.id, 64)
                .await
                .len(),
            20
        );
        assert!(store.list(mailbox).await.unwrap().is_empty());
    }
    store.remove("c@x.org", &[sent.id]).await.unwrap();
    assert!(is_not_found(store.read(A, sent.id, 0, 64).await));
    assert!(is_not_found(store.facts(A, sent.id).await));
}

pub(crate) async fn removal_passes_over_unknown_ids_and_may_be_repeated(store: Arc<impl Store + 'static>) {
    let (gone, stays) = (
        delivery(vec![entry("a@x.org", 3)]),
        delivery(vec![entry("a@x.org", 4)]),
    );
    store.deliver(gone.clone()).await.unwrap();
    store.deliver(stays.clone()).await.unwrap();
    for _ in 0..2 {
        store
            .remove("a@x.org", &[MessageId::new(), gone.id, gone.id])
            .await
            .unwrap();
        store.remove("nobody@x.org", &[stays.id]).await.unwrap();
        assert_eq!(
            store.usage("a@x.org").await.unwrap(),
            Usage {
                bytes: 4,
                messages: 1
            }
        );
    }
    assert_eq!(store.list("a@x.org").await.unwrap()[0].id, stays.id);
}

pub(crate) async fn usage_is_the_sum_of_the_listing(store: Arc<impl Store + 'static>) {
    let calls = (1..=20_u64).map(|size| {
        let store = Arc::clone(&store);
        async move {
            let sent = delivery(vec![entry("a@x.org", size), entry("b@x.org", size + 1)]);
            store.deliver(sent.clone()).await.unwrap();
            if size % 3 == 0 {
                store.remove("a@x.org", &[sent.id]).await.unwrap();
            }
        }
    });
    together(calls).await;
    for mailbox in ["a@x.org", "b@x.org"] {
        let listing = store.list(mailbox).await.unwrap();
        let sum = Usage {
            bytes: listing.iter().map(|entry| entry.size).sum(),
            messages: listing.len() as u64,
        };
        assert_eq!(store.usage(mailbox).await.unwrap(), sum);
    }
    assert_eq!(
        store.usage("a@x.org").await.unwrap(),
        Usage {
            bytes: 210 - 63,
            messages: 14
        }
    );
}

pub(crate) async fn a_delivery_to_nobody_leaves_nothing(store: Arc<impl Store + 'static>) {
    let sent = delivery(Vec::new());
    assert!(store.deliver(sent.clone()).await.unwrap().is_empty());
    assert!(is_not_found(store.read(A, sent.id, 0, 1).await));
}

/// POP3 clients know a message by its UIDL for as long as it is there (RFC 1939 §7).
pub(crate) async fn a_listing_says_the_same_each_time(store: Arc<impl Store + 'static>) {
    let sent: Vec<_> = (0..4).map(|_| delivery(vec![entry("a@x.org", 7)])).collect();
    for delivery in &sent {
        store.deliver(delivery.clone()).await.unwrap();
    }
    let first = store.list("a@x.org").await.unwrap();
    assert!(
        first.iter().all(|entry| entry.uidl.is_none()),
        "the id is the UIDL"
    );
    assert_eq!(store.list("a@x.org").await.unwrap(), first);
    store.remove("a@x.org", &[sent[1].id]).await.unwrap();
    store.deliver(delivery(vec![entry("a@x.org", 7)])).await.unwrap();
    let then = store.list("a@x.org").await.unwrap();
    assert_eq!(then[..3], [first[0].clone(), first[2].clone(), first[3].clone()]);
    assert_eq!(then.len(), 4);
}

/// Whoever lists while mail comes in finds no message without its body.
pub(crate) async fn what_is_listed_can_be_read_at_once(store: Arc<impl Store + 'static>) {
    let writer = Arc::clone(&store);
    let writing = tokio::spawn(async move {
        for nth in 0..12 {
            let mut sent = delivery(vec![entry("a@x.org", 1), entry("b@x.org", 1)]);
            sent.entries.truncate(1 + nth % 2);
            if nth % 3 == 0 {
                sent.content.text = append_all(&*writer, sent.id, &noise(CHUNK + 9)).await;
            }
            writer.deliver(sent).await.unwrap();
        }
    });
    let mut read = std::collections::HashSet::new();
    while !writing.is_finished() {
        for listed in store.list("a@x.org").await.unwrap() {
            if read.insert(listed.id) {
                assert!(read_all(&*store, A, listed.id, CHUNK).await.len() >= 20);
            }
        }
        tokio::task::yield_now().await;
    }
    writing.await.unwrap();
    assert_eq!(store.list("a@x.org").await.unwrap().len(), 12);
}

/// A transfer may take 45 minutes, and its id is drawn before: listings that begin behind what was removed must
/// begin far enough behind.
pub(crate) async fn an_older_message_is_listed_though_younger_ones_were_removed(
    store: Arc<impl Store + 'static>,
) {
    const MINUTE: u64 = 60_000;
    for age in [0, 43 * MINUTE] {
        let young = Delivery {
            id: aged(age),
            ..delivery(vec![entry("a@x.org", 1)])
        };
        store.deliver(young.clone()).await.unwrap();
        store.remove("a@x.org", &[young.id]).await.unwrap();
    }
    let mut late = vec![aged(44 * MINUTE), aged(20 * MINUTE)];
    for id in &late {
        let sent = Delivery {
            id: *id,
            ..delivery(vec![entry("a@x.org", 1)])
        };
        assert_eq!(store.deliver(sent).await.unwrap(), [Delivered::Kept]);
    }
    late.sort();
    let listed = store.list("a@x.org").await.unwrap();
    assert_eq!(listed.iter().map(|entry| entry.id).collect::<Vec<_>>(), late);
    let usage = store.usage("a@x.org").await.unwrap();
    assert_eq!(usage.messages, 2);
}

pub(crate) async fn a_check_finds_nothing_and_a_sweep_takes_nothing_that_is_held(
    store: Arc<impl Store + 'static>,
) {
    let mut shared = delivery(vec![entry("a@x.org", 1), entry("b@x.org", 1)]);
    shared.quarantine = vec![NewQuarantined {
        mailboxes: vec!["a@x.org".into()],
        reason: "held".into(),
        trace: Bytes::new(),
    }];
    let mut large = delivery(vec![entry("a@x.org", 1)]);
    large.content.text = append_all(&*store, large.id, &noise(CHUNK + 1)).await;
    let small = delivery(vec![entry("a@x.org", 1)]);
    for sent in [&shared, &large, &small] {
        store.deliver(sent.clone()).await.unwrap();
    }
    store.remove("b@x.org", &[shared.id]).await.unwrap();
    let report = store.check(Mend::Nothing).await.unwrap();
    assert!(report.is_sound() && report.faults == 0, "{:?}", report.described);
    store.sweep().await.unwrap();
    for sent in [&shared, &large, &small] {
        assert!(read_all(&*store, A, sent.id, CHUNK).await.len() >= 20);
    }
    assert_eq!(
        read_all(&*store, Holder::Quarantine, shared.id, 64).await.len(),
        20
    );
}
