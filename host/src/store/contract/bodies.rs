//! Bodies: appended, inline, read, discarded.

use super::*;

async fn reads_back(store: &impl Store, id: MessageId, whole: &[u8]) {
    for step in [8192, 99_991, CHUNK, 4 * CHUNK] {
        assert!(
            read_all(store, A, id, step).await == whole,
            "step {step} of {}",
            whole.len()
        );
    }
    let edges = [
        0,
        1,
        CHUNK - 1,
        CHUNK,
        CHUNK + 1,
        CHUNK + 14,
        whole.len().saturating_sub(1),
        whole.len(),
    ];
    for at in edges.into_iter().filter(|at| *at <= whole.len()) {
        let part = store.read(A, id, at as u64, 3).await.unwrap();
        assert_eq!(
            part,
            whole[at..(at + 3).min(whole.len())],
            "at {at} of {}",
            whole.len()
        );
    }
    assert!(
        store
            .read(A, id, whole.len() as u64 + 1, 9)
            .await
            .unwrap()
            .is_empty()
    );
    assert!(store.read(A, id, u64::MAX, 9).await.unwrap().is_empty());
}

pub(crate) async fn content_of_every_size_is_read_back_at_odd_offsets(store: Arc<impl Store + 'static>) {
    for size in [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK] {
        for text in [noise(size), Bytes::from(vec![b'a'; size])] {
            let mut inline = delivery(vec![entry("a@x.org", 1)]);
            inline.content.text = Text::Inline(text.clone());
            store.deliver(inline.clone()).await.unwrap();

            let mut appended = delivery(vec![entry("a@x.org", 1)]);
            appended.content.text = append_all(&*store, appended.id, &text).await;
            store.deliver(appended.clone()).await.unwrap();

            let whole = [&inline.content.head[..], &text[..]].concat();
            reads_back(&*store, inline.id, &whole).await;
            reads_back(&*store, appended.id, &whole).await;
        }
    }
}

pub(crate) async fn a_head_longer_than_a_chunk_is_kept(store: Arc<impl Store + 'static>) {
    let (head, text) = (noise(CHUNK + 77), noise(CHUNK + 5));
    let mut inline = delivery(vec![entry("a@x.org", 1)]);
    inline.content = Content {
        head: head.clone(),
        text: Text::Inline(text.clone()),
    };
    let mut appended = delivery(vec![entry("a@x.org", 1)]);
    appended.content = Content {
        head: head.clone(),
        text: append_all(&*store, appended.id, &text).await,
    };
    let whole = [&head[..], &text[..]].concat();
    for sent in [inline, appended] {
        let id = sent.id;
        store.deliver(sent).await.unwrap();
        reads_back(&*store, id, &whole).await;
    }
}

pub(crate) async fn appended_text_is_read_before_and_after_its_commit(store: Arc<impl Store + 'static>) {
    let text = noise(2 * CHUNK + 100);
    let mut sent = delivery(vec![entry("a@x.org", 1)]);
    let id = sent.id;
    sent.content.text = append_all(&*store, id, &text).await;
    for at in [0, 1, CHUNK - 1, CHUNK, 2 * CHUNK + 99, 2 * CHUNK + 100] {
        let part = store.read_text(id, at as u64, CHUNK + 3).await.unwrap();
        assert!(part == text[at..(at + CHUNK + 3).min(text.len())], "at {at}");
    }
    assert!(is_not_found(store.read(A, id, 0, 1).await), "uncommitted");
    store.deliver(sent).await.unwrap();
    assert_eq!(read_all(&*store, A, id, CHUNK).await[14..], text);
}

pub(crate) async fn discarded_text_is_gone(store: Arc<impl Store + 'static>) {
    let id = MessageId::new();
    append_all(&*store, id, &noise(CHUNK + 1)).await;
    store.discard(id).await.unwrap();
    store.discard(id).await.unwrap();
    assert!(store.read_text(id, 0, 9).await.unwrap().is_empty());
    let mut late = delivery(vec![entry("a@x.org", 1)]);
    late.id = id;
    late.content.text = Text::Appended {
        size: CHUNK as u64 + 1,
        chunks: 2,
    };
    assert!(store.deliver(late).await.is_err());
    assert!(store.list("a@x.org").await.unwrap().is_empty());
}

pub(crate) async fn an_appended_text_without_any_holder_is_removed(store: Arc<impl Store + 'static>) {
    let mut sent = delivery(vec![bounded("a@x.org", 9, 8, 1)]);
    sent.content.text = append_all(&*store, sent.id, &noise(9)).await;
    store.deliver(sent.clone()).await.unwrap();
    assert!(store.read_text(sent.id, 0, 9).await.unwrap().is_empty());
    assert!(is_not_found(store.read(A, sent.id, 0, 9).await));
}

pub(crate) async fn a_text_that_was_not_appended_is_not_delivered(store: Arc<impl Store + 'static>) {
    for (size, chunks) in [(9, 1), (CHUNK as u64 + 1, 2), (9, 2)] {
        let mut sent = delivery(vec![entry("a@x.org", 9)]);
        store.append(sent.id, 0, noise(9)).await.unwrap();
        sent.content.text = Text::Appended { size, chunks };
        assert_eq!(store.deliver(sent).await.is_ok(), (size, chunks) == (9, 1));
    }
    assert_eq!(
        store.usage("a@x.org").await.unwrap(),
        Usage {
            bytes: 9,
            messages: 1
        }
    );
}

pub(crate) async fn a_chunk_outside_its_bounds_is_refused(store: Arc<impl Store + 'static>) {
    let id = MessageId::new();
    assert!(store.append(id, 0, Bytes::new()).await.is_err());
    assert!(store.append(id, 0, noise(CHUNK + 1)).await.is_err());
    assert!(store.append(id, 0, noise(CHUNK)).await.is_ok());
}

pub(crate) async fn appending_a_chunk_again_changes_nothing(store: Arc<impl Store + 'static>) {
    let text = noise(CHUNK + 9);
    let mut sent = delivery(vec![entry("a@x.org", 9)]);
    append_all(&*store, sent.id, &text).await;
    sent.content.text = append_all(&*store, sent.id, &text).await;
    store.deliver(sent.clone()).await.unwrap();
    store.append(sent.id, 0, noise(3)).await.unwrap();
    store.discard(sent.id).await.unwrap();
    assert_eq!(read_all(&*store, A, sent.id, CHUNK).await[14..], text);
}

pub(crate) async fn an_unknown_message_is_not_found(store: Arc<impl Store + 'static>) {
    let id = MessageId::new();
    assert!(is_not_found(store.read(A, id, 0, 1).await));
    assert!(is_not_found(store.facts(A, id).await));
    assert!(store.read_text(id, 0, 1).await.unwrap().is_empty());
}
