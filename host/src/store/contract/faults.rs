//! A store that fails: each write is retried until it succeeds, and must have happened once.

use super::*;
use std::sync::atomic::{AtomicU32, Ordering};

/// When an operation that is to fail does so.
#[derive(Debug, Clone, Copy)]
enum Failing {
    BeforeTheWrite,
    /// The write happens and its answer is lost.
    AfterTheWrite,
}

/// Fails every operation but the third, sixth, …
#[derive(Debug)]
struct Faulty<S> {
    store: Arc<S>,
    failing: Failing,
    calls: AtomicU32,
}

impl<S: Store> Faulty<S> {
    fn new(store: Arc<S>, failing: Failing) -> Self {
        Self {
            store,
            failing,
            calls: AtomicU32::new(0),
        }
    }

    async fn through<T>(&self, call: impl Future<Output = Result<T>>) -> Result<T> {
        let lost = || StoreError::Engine("timed out".into());
        let fails = !(self.calls.fetch_add(1, Ordering::Relaxed) + 1).is_multiple_of(3);
        match self.failing {
            Failing::BeforeTheWrite if fails => Err(lost()),
            Failing::AfterTheWrite if fails => call.await.and_then(|_| Err(lost())),
            _ => call.await,
        }
    }

    async fn deliver(&self, delivery: &Delivery) -> Vec<Delivered> {
        loop {
            if let Ok(outcomes) = self.through(self.store.deliver(delivery.clone())).await {
                return outcomes;
            }
        }
    }

    async fn append(&self, id: MessageId, text: &Bytes) -> Text {
        for (seq, at) in (0..text.len()).step_by(CHUNK).enumerate() {
            let chunk = text.slice(at..(at + CHUNK).min(text.len()));
            while self
                .through(self.store.append(id, seq as u32, chunk.clone()))
                .await
                .is_err()
            {}
        }
        Text::Appended {
            size: text.len() as u64,
            chunks: text.len().div_ceil(CHUNK) as u32,
        }
    }

    async fn remove(&self, mailbox: &str, id: MessageId) {
        while self.through(self.store.remove(mailbox, &[id])).await.is_err() {}
    }
}

async fn retried<S: Store>(store: Arc<S>, failing: Failing) {
    let faulty = Faulty::new(Arc::clone(&store), failing);
    let text = noise(CHUNK + 1);
    for _ in 0..4 {
        let mut sent = delivery(vec![bounded("a@x.org", 10, 40, 4), entry("b@x.org", 10)]);
        sent.content.text = faulty.append(sent.id, &text).await;
        sent.quarantine = vec![];
        assert_eq!(faulty.deliver(&sent).await, [Delivered::Kept; 2]);
        faulty.remove("b@x.org", sent.id).await;
    }
    let listing = store.list("a@x.org").await.unwrap();
    assert_eq!(listing.len(), 4);
    assert_eq!(
        store.usage("a@x.org").await.unwrap(),
        Usage {
            bytes: 40,
            messages: 4
        }
    );
    assert_eq!(store.usage("b@x.org").await.unwrap(), Usage::default());
    for entry in listing {
        assert_eq!(read_all(&*store, A, entry.id, CHUNK).await[14..], text);
        faulty.remove("a@x.org", entry.id).await;
        assert!(is_not_found(store.read(A, entry.id, 0, 1).await));
    }
}

pub(crate) async fn retries_after_failures_before_the_write_do_not_duplicate(
    store: Arc<impl Store + 'static>,
) {
    retried(store, Failing::BeforeTheWrite).await;
}

pub(crate) async fn retries_after_lost_answers_do_not_duplicate(store: Arc<impl Store + 'static>) {
    retried(store, Failing::AfterTheWrite).await;
}
