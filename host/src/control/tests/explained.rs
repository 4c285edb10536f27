use super::*;
use crate::config::ExplainConfig;
use crate::message::MessageId;
use crate::store::cassandra::tests as cassandra;
use crate::store::embedded::Options;
use crate::store::{EmbeddedStore, NewEntry};
use std::time::Duration;

const FACTS: &str = r#"{"queue_id":"Q","listener":"mx","protocol":"esmtp","client_ip":"192.0.2.1","client_name":"",
    "helo":"h.example","tls_version":null,"tls_cipher":null,"auth_user":null,"mail_from":"a@example.net",
    "rcpt_to":["ann@example.org"],"tags":[]"#;

fn explained() -> String {
    format!(r#"{FACTS},"explained":{{"steps":[],"replies":["250 2.0.0 ok"]}}}}"#)
}

/// What a Postern wrote that kept no explanation.
fn older() -> String {
    format!("{FACTS}}}")
}

fn delivery(text: usize, facts: String) -> Delivery {
    Delivery {
        id: MessageId::new(),
        content: Content {
            head: Bytes::from_static(b"A: b\r\n\r\n"),
            text: Text::Inline(Bytes::from(vec![b'x'; text])),
        },
        facts: Bytes::from(facts),
        entries: Vec::new(),
        quarantine: Vec::new(),
        atomicity: Atomicity::All,
    }
}

fn for_ann(text: usize, facts: String) -> Delivery {
    let mut delivery = delivery(text, facts);
    delivery.entries.push(NewEntry {
        mailbox: "ann@example.org".into(),
        trace: Bytes::new(),
        size: delivery.content.size(),
        downgraded_size: delivery.content.size(),
        ceiling: Ceiling::default(),
        uidl: None,
    });
    delivery
}

fn held(facts: String) -> Delivery {
    let mut delivery = delivery(10, facts);
    delivery.quarantine.push(NewQuarantined {
        mailboxes: vec!["ann@example.org".into()],
        reason: "odd".to_owned(),
        trace: Bytes::new(),
    });
    delivery
}

async fn told(context: &ControlContext, operation: Operation) -> Result<Vec<ExplainRecord>, String> {
    let (records, mut pieces) = Records::channel();
    let outcome = execute(&operation, context, &records).await;
    drop(records);
    let mut told = Vec::new();
    while let Some(record) = pieces.recv().await {
        if let Record::Explained(record) = record {
            told.push(*record);
        }
    }
    outcome.map(|_| told).map_err(|refusal| refusal.0)
}

fn by_id(id: MessageId, mailbox: Option<&str>) -> Operation {
    Operation::Explain {
        id: id.to_string(),
        mailbox: mailbox.map(str::to_owned),
    }
}

/// The same of every engine: small and large, with and without the mailbox, held back, and of another version.
async fn a_stored_message_tells_why_it_is_there(store: Arc<dyn Store>) {
    let state = tempfile::tempdir().unwrap();
    let (directory, _) = directory(Arc::clone(&store), &config(state.path(), ""));
    let context = ControlContext::new(Arc::clone(&store), directory, None);
    let (records, _pieces) = Records::channel();
    for operation in [
        domain("example.org", None),
        user("bob@example.org", "secret"),
        user("ann@example.org", "secret"),
    ] {
        execute(&operation, &context, &records).await.unwrap();
    }
    for text in [10, 2 * CHUNK] {
        let stored = for_ann(text, explained());
        let id = stored.id;
        store.deliver(stored).await.unwrap();
        for mailbox in [None, Some("Ann@example.org")] {
            let found = told(&context, by_id(id, mailbox)).await.unwrap();
            assert_eq!((found.len(), &found[0].source), (1, &Source::Stored));
            assert_eq!(
                (found[0].mail_from.as_str(), found[0].helo.as_str()),
                ("a@example.net", "h.example")
            );
            assert_eq!(found[0].explained.as_ref().unwrap().replies, ["250 2.0.0 ok"]);
        }
        let elsewhere = told(&context, by_id(id, Some("bob@example.org"))).await;
        // An engine may find it through anybody.
        assert!(elsewhere.is_ok_and(|found| found.len() == 1) || store_asks_the_holder(&*store));
        store.remove("ann@example.org", &[id]).await.unwrap();
        let gone = told(&context, by_id(id, None)).await.unwrap_err();
        assert!(gone.starts_with(&format!("nothing is known of {id}")), "{gone}");
    }
    let quarantined = held(explained());
    let id = quarantined.id;
    store.deliver(quarantined).await.unwrap();
    assert!(
        told(&context, by_id(id, None)).await.unwrap()[0]
            .explained
            .is_some()
    );
    let before = for_ann(10, older());
    let id = before.id;
    store.deliver(before).await.unwrap();
    let found = told(&context, by_id(id, None)).await.unwrap();
    assert_eq!((found[0].rcpt_to.len(), &found[0].explained), (1, &None));
}

fn store_asks_the_holder(store: &dyn Store) -> bool {
    format!("{store:?}").contains("Cassandra")
}

#[tokio::test]
async fn explained_from_memory() {
    a_stored_message_tells_why_it_is_there(Arc::new(MemoryStore::new())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn explained_from_the_embedded_store() {
    let folder = tempfile::tempdir().unwrap();
    let store = EmbeddedStore::open(folder.path().join("store"), Options::default()).unwrap();
    a_stored_message_tells_why_it_is_there(store).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn explained_from_a_cluster() {
    let (_keyspace, store) = cassandra::empty().await;
    a_stored_message_tells_why_it_is_there(store).await;
}

#[tokio::test]
async fn what_was_refused_or_deleted_is_told_from_where_it_is_remembered() {
    let it = Fixture::new().await;
    let attempts = Arc::new(Attempts::new(ExplainConfig {
        keep: Duration::from_secs(60),
        max: 1 << 20,
        keep_deleted: true,
        save: Duration::ZERO,
    }));
    let (directory, _) = directory(it.store.clone(), &config(it.state.path(), ""));
    let running = ControlContext::new(it.store.clone(), directory, None).with_attempts(Arc::clone(&attempts));
    let id = MessageId::new();
    let attempt = |stage: &str| Attempt {
        id: id.to_string(),
        time: id.unix_millis(),
        stage: stage.to_owned(),
        client_ip: "192.0.2.1".to_owned(),
        ..Attempt::default()
    };
    let address = || Operation::ExplainAddress {
        address: "192.0.2.1".to_owned(),
    };
    let nobody = told(&running, address()).await.unwrap_err();
    assert!(
        nobody.contains("no attempt by or to 192.0.2.1 is remembered"),
        "{nobody}"
    );
    attempts.keep(&*it.store, &attempt("message")).await;
    let found = told(&running, by_id(id, None)).await.unwrap();
    assert_eq!(found[0].source, Source::Deleted);
    attempts.add(&attempt("rcpt"));
    for operation in [by_id(id, None), address()] {
        let found = told(&running, operation).await.unwrap();
        assert_eq!(
            (found.len(), &found[0].source),
            (1, &Source::Attempt("rcpt".to_owned()))
        );
    }
    let stopped = told(&it.context, address()).await.unwrap_err();
    assert!(stopped.starts_with("no gateway runs"), "{stopped}");
    let unknown = MessageId::new();
    let asked = told(&running, by_id(unknown, None)).await.unwrap_err();
    assert!(
        asked.ends_with("that this gateway remembers it is not"),
        "{asked}"
    );
    let stopped = told(&it.context, by_id(unknown, None)).await.unwrap_err();
    assert!(
        stopped.starts_with(&format!("nothing is known of {unknown}: "))
            && stopped.ends_with("no gateway runs that could remember a refused attempt"),
        "{stopped}"
    );
    let odd = Operation::Explain {
        id: "odd".to_owned(),
        mailbox: None,
    };
    assert!(
        told(&running, odd)
            .await
            .unwrap_err()
            .starts_with("`odd` is no message id")
    );
}

/// A store that is away was asked first, and its error was all that was told.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_remembered_is_told_while_the_store_is_away() {
    let (_keyspace, store) = cassandra::empty().await;
    let state = tempfile::tempdir().unwrap();
    let (directory, _) = directory(store.clone(), &config(state.path(), ""));
    let attempts = Arc::new(Attempts::new(ExplainConfig {
        keep: Duration::from_secs(60),
        max: 1 << 20,
        keep_deleted: false,
        save: Duration::ZERO,
    }));
    let context = ControlContext::new(store.clone(), directory, None).with_attempts(Arc::clone(&attempts));
    let id = MessageId::new();
    attempts.add(&Attempt {
        id: id.to_string(),
        time: id.unix_millis(),
        stage: "rcpt".to_owned(),
        ..Attempt::default()
    });
    store.leave();
    let (records, mut pieces) = Records::channel();
    let note = execute(&by_id(id, None), &context, &records).await.unwrap();
    assert_eq!(
        note,
        "whether it is stored too is not known: store: the cluster is away"
    );
    let Some(Record::Explained(found)) = pieces.recv().await else {
        panic!("nothing is told");
    };
    assert_eq!(found.source, Source::Attempt("rcpt".to_owned()));
    let unknown = told(&context, by_id(MessageId::new(), None)).await.unwrap_err();
    assert_eq!(unknown, "store: the cluster is away");
}

/// A store that failed once looked like a message that is gone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mail_that_a_store_fails_to_hand_over_is_not_gone() {
    let (_keyspace, store) = cassandra::empty().await;
    let state = tempfile::tempdir().unwrap();
    let (directory, _) = directory(store.clone(), &config(state.path(), ""));
    let context = ControlContext::new(store.clone(), directory, None);
    let (records, mut pieces) = Records::channel();
    let id = MessageId::new().to_string();
    let read = Operation::MailRead {
        id: id.clone(),
        mailbox: Some("ann@example.org".to_owned()),
    };
    execute(&read, &context, &records).await.unwrap();
    assert_eq!(pieces.recv().await, Some(Record::Gone(id)));
    store.leave();
    let failed = execute(&read, &context, &records).await.unwrap_err().to_string();
    assert_eq!(failed, "store: the cluster is away");
}

#[tokio::test]
async fn stored_mail_is_listed_by_its_time_and_read_whole() {
    let it = Fixture::new().await;
    it.done(user("ann@example.org", "secret")).await;
    let (mut stored, quarantined) = (for_ann(2 * CHUNK, older()), held(older()));
    let (id, copy, size) = (stored.id, quarantined.id, stored.content.size());
    stored.entries[0].trace = Bytes::from_static(
        b"Return-Path: <a@x.example>\r\nDelivered-To: ann@example.org\r\nAuthentication-Results: x; none\r\nReceived: x\r\n",
    );
    it.store.deliver(stored).await.unwrap();
    it.store.deliver(quarantined).await.unwrap();
    let since = |since| Operation::MailList { since };
    let listed = it.listed(since(id.unix_millis())).await;
    let mail = |id: MessageId, mailbox: Option<&str>, trace: &str| {
        Record::Mail(MailRecord {
            id: id.to_string(),
            mailbox: mailbox.map(str::to_owned),
            trace: trace.to_owned(),
        })
    };
    let trace = "Authentication-Results: x; none\r\nReceived: x\r\n";
    assert_eq!(
        listed,
        [mail(id, Some("ann@example.org"), trace), mail(copy, None, "")]
    );
    assert_eq!(it.listed(since(copy.unix_millis() + 1)).await, []);
    let read = |id: MessageId| Operation::MailRead {
        id: id.to_string(),
        mailbox: Some("ann@example.org".to_owned()),
    };
    let pieces = it.listed(read(id)).await;
    let octets: Vec<usize> = pieces
        .iter()
        .map(|piece| match piece {
            Record::Content(text) => base64::Engine::decode(&base64::prelude::BASE64_STANDARD, text)
                .unwrap()
                .len(),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(octets[0], older().len());
    assert_eq!(octets[1..].iter().sum::<usize>() as u64, size);
    let gone = MessageId::new();
    assert_eq!(it.listed(read(gone)).await, [Record::Gone(gone.to_string())]);
}
