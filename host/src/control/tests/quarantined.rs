use super::*;
use crate::message::MessageId;
use crate::store::cassandra::tests as cassandra;
use crate::store::{Bodies as _, CassandraStore, Holder, Quarantine as _};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD as BASE64;

/// Puts a message into a mailbox.
pub(super) async fn deliver(store: &MemoryStore, mailbox: &str, content: &'static [u8]) {
    let entry = NewEntry {
        mailbox: mailbox.into(),
        trace: Bytes::new(),
        size: content.len() as u64,
        downgraded_size: content.len() as u64,
        ceiling: Ceiling::default(),
        uidl: None,
    };
    let delivery = Delivery {
        id: MessageId::new(),
        content: Content {
            head: Bytes::new(),
            text: Text::Inline(Bytes::from_static(content)),
        },
        facts: Bytes::new(),
        entries: vec![entry],
        quarantine: Vec::new(),
        atomicity: Atomicity::All,
    };
    store.deliver(delivery).await.unwrap();
}

const HEAD: &[u8] = b"Subject: held\r\n\r\n";
const TRACE: &[u8] = b"Delivered-To: ann@example.org\r\n";

/// Holds a message with `text` back from ann and bob, who have accounts.
async fn held(text: &[u8]) -> (Fixture, String) {
    let it = Fixture::new().await;
    it.done(user("ann@example.org", "secret")).await;
    it.done(user("bob@example.org", "secret")).await;
    let delivery = to_hold(text);
    let id = delivery.id.to_string();
    it.store.deliver(delivery).await.unwrap();
    (it, id)
}

/// A copy for ann and bob.
fn to_hold(text: &[u8]) -> Delivery {
    Delivery {
        id: MessageId::new(),
        content: Content {
            head: Bytes::from_static(HEAD),
            text: Text::Inline(Bytes::copy_from_slice(text)),
        },
        facts: Bytes::from_static(b"facts"),
        entries: Vec::new(),
        quarantine: vec![NewQuarantined {
            mailboxes: vec!["ann@example.org".into(), "bob@example.org".into()],
            reason: "an attachment".to_owned(),
            trace: Bytes::from_static(TRACE),
        }],
        atomicity: Atomicity::All,
    }
}

/// Both found it, and both delivered a copy.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_two_gateways_release_at_once_is_delivered_once() {
    let (keyspace, store) = cassandra::empty().await;
    let state = tempfile::tempdir().unwrap();
    let context = |store: Arc<CassandraStore>| {
        let (directory, _) = directory(store.clone(), &config(state.path(), ""));
        ControlContext::new(store, directory, None)
    };
    let (one, other) = (context(Arc::clone(&store)), context(keyspace.beside().await));
    let told = async |context: &ControlContext, operation: Operation| {
        let (records, _pieces) = Records::channel();
        execute(&operation, context, &records).await
    };
    for operation in [
        domain("example.org", None),
        user("ann@example.org", "secret"),
        user("bob@example.org", "secret"),
    ] {
        told(&one, operation).await.unwrap();
    }
    for round in 1..=5 {
        let held = to_hold(b"text\r\n");
        let id = held.id.to_string();
        store.deliver(held).await.unwrap();
        let (ours, theirs) = tokio::join!(told(&one, release(&id)), told(&other, release(&id)));
        assert!(ours.is_ok() != theirs.is_ok(), "{ours:?} {theirs:?}");
        assert_eq!(store.list("ann@example.org").await.unwrap().len(), round);
    }
}

fn release(id: &str) -> Operation {
    Operation::QuarantineRelease { id: id.to_owned() }
}

async fn content(it: &Fixture, operation: Operation) -> Vec<u8> {
    let mut octets = Vec::new();
    for record in it.listed(operation).await {
        if let Record::Content(piece) = record {
            octets.extend(BASE64.decode(piece).unwrap());
        }
    }
    octets
}

#[tokio::test]
async fn what_is_held_is_listed_and_shown_to_its_headers_end_or_whole() {
    let (it, id) = held(b"text\r\n").await;
    let listed = it.listed(Operation::QuarantineList).await;
    let [Record::Quarantined(record)] = listed.as_slice() else {
        panic!("{listed:?}");
    };
    assert_eq!(record.id, id);
    assert_eq!(record.mailboxes, ["ann@example.org", "bob@example.org"]);
    assert_eq!(record.reason, "an attachment");
    assert_eq!(record.bytes, (TRACE.len() + HEAD.len() + 6) as u64);

    let shown = content(&it, Operation::QuarantineShow { id: id.clone() }).await;
    assert_eq!(shown, [TRACE, HEAD].concat());
    let whole = content(&it, Operation::QuarantineContent { id }).await;
    assert_eq!(whole, [TRACE, HEAD, b"text\r\n"].concat());
}

#[tokio::test]
async fn release_delivers_a_copy_under_a_new_id_whatever_its_size() {
    for size in [0, 10, CHUNK, CHUNK + 1, 3 * CHUNK - HEAD.len()] {
        let text: Vec<u8> = (0..size).map(|at| (at % 251) as u8).collect();
        let (it, id) = held(&text).await;
        let told = it.done(release(&id)).await;
        let expected = (TRACE.len() + HEAD.len() + size) as u64;
        for mailbox in ["ann@example.org", "bob@example.org"] {
            let listed = it.store.list(mailbox).await.unwrap();
            let [entry] = listed.as_slice() else {
                panic!("{listed:?}");
            };
            assert_ne!(entry.id.to_string(), id);
            assert!(told.contains(&entry.id.to_string()), "{told}");
            assert_eq!(entry.size, expected);
            assert_eq!(it.store.trace(mailbox, entry).await.unwrap(), TRACE);
            let found = it
                .store
                .read(Holder::Mailbox(mailbox), entry.id, 0, usize::MAX / 2)
                .await
                .unwrap();
            assert!(found == [HEAD, &text].concat(), "size {size}");
            assert_eq!(
                it.store.facts(Holder::Mailbox(mailbox), entry.id).await.unwrap(),
                "facts"
            );
        }
        assert_eq!(it.store.quarantined(None, 9).await.unwrap(), []);
        assert!(it.refused(release(&id)).await.contains("not in quarantine"));
    }
}

#[tokio::test]
async fn release_is_refused_whole_where_one_mailbox_has_no_room_or_is_gone() {
    let (it, id) = held(b"text\r\n").await;
    let quota = |messages| Operation::UserQuota {
        address: "bob@example.org".to_owned(),
        quota: Quota {
            bytes: None,
            messages,
        },
    };
    it.done(quota(Some(0))).await;
    assert!(
        it.refused(release(&id))
            .await
            .contains("bob@example.org has no room")
    );
    it.done(quota(None)).await;
    it.done(remove_user("bob@example.org")).await;
    assert!(it.refused(release(&id)).await.contains("no user bob@example.org"));
    assert_eq!(it.store.list("ann@example.org").await.unwrap(), []);
    assert_eq!(
        it.store.quarantined(None, 9).await.unwrap().len(),
        1,
        "it is still held"
    );
}

#[tokio::test]
async fn what_is_dropped_is_gone_and_what_is_no_id_is_refused() {
    let (it, id) = held(b"text\r\n").await;
    it.done(Operation::QuarantineDrop { id: id.clone() }).await;
    assert_eq!(it.store.quarantined(None, 9).await.unwrap(), []);
    assert!(
        it.refused(Operation::QuarantineDrop { id })
            .await
            .contains("not in quarantine")
    );
    let id = "nonsense".to_owned();
    assert!(
        it.refused(Operation::QuarantineShow { id })
            .await
            .contains("not a message id")
    );
}
