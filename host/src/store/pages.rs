//! Listings from their first item to their last, a page at a time.

use super::{Account, Alias, Quarantine, Quarantined, Result, Store, StoreError};
use futures_util::stream::{self, Stream, TryStreamExt as _};

/// Items of one page.
const PAGE: usize = 1000;
/// Copies in quarantine, which bear their traces.
const HELD: usize = 256;

/// All accounts, by key.
pub(crate) fn accounts(store: &dyn Store) -> impl Stream<Item = Result<Account>> {
    let page = move |after: Option<String>| async move { store.accounts(after.as_deref(), PAGE).await };
    all(page, |account| account.address.to_lowercase())
}

/// All aliases, by key.
pub(crate) fn aliases(store: &dyn Store) -> impl Stream<Item = Result<Alias>> {
    let page = move |after: Option<String>| async move { store.aliases(after.as_deref(), PAGE).await };
    all(page, |alias| alias.address.clone())
}

/// All of quarantine, oldest first.
pub(crate) fn quarantined(store: &dyn Quarantine) -> impl Stream<Item = Result<Quarantined>> {
    all(move |after| store.quarantined(after, HELD), |held| held.id)
}

/// Pages end with an empty one; each begins behind the last item of the one before.
fn all<T, K, P>(page: impl Fn(Option<K>) -> P, key: fn(&T) -> K) -> impl Stream<Item = Result<T>>
where
    P: Future<Output = Result<Vec<T>>>,
{
    let pages = stream::try_unfold(None, move |after| {
        let asked = page(after);
        async move {
            let items = asked.await?;
            let after = items.last().map(key);
            Ok(after.map(|after| (items, Some(after))))
        }
    });
    pages
        .map_ok(|items| stream::iter(items.into_iter().map(Ok::<_, StoreError>)))
        .try_flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::MessageId;
    use crate::store::Usage;
    use bytes::Bytes;
    use std::sync::Mutex;

    /// Quarantine of so many copies, which remembers how many were asked for at once.
    struct Copies(u16, Mutex<Vec<usize>>);

    fn copy(number: u16) -> Quarantined {
        let mut id = [0; 16];
        id[14..].copy_from_slice(&number.to_be_bytes());
        Quarantined {
            id: MessageId::from_bytes(id),
            mailboxes: Vec::new(),
            reason: String::new(),
            trace: Bytes::new(),
            size: 0,
        }
    }

    #[async_trait::async_trait]
    impl Quarantine for Copies {
        async fn quarantined(&self, after: Option<MessageId>, limit: usize) -> Result<Vec<Quarantined>> {
            self.1.lock().expect("no panic").push(limit);
            let behind = (0..self.0)
                .map(copy)
                .filter(|copy| after.is_none_or(|after| copy.id > after));
            Ok(behind.take(limit).collect())
        }

        async fn quarantined_one(&self, _: MessageId) -> Result<Quarantined> {
            Err(StoreError::NotFound)
        }

        async fn quarantine_drop(&self, _: MessageId) -> Result<()> {
            Err(StoreError::NotFound)
        }

        async fn quarantine_usage(&self) -> Result<Usage> {
            Ok(Usage::default())
        }
    }

    #[tokio::test]
    async fn quarantine_is_read_by_pages_that_are_bounded() {
        for (count, pages) in [(256, 2), (257, 3)] {
            let copies = Copies(count, Mutex::default());
            let found: Vec<Quarantined> = quarantined(&copies).try_collect().await.expect("copies");
            assert_eq!(found, (0..count).map(copy).collect::<Vec<_>>());
            assert_eq!(*copies.1.lock().expect("no panic"), vec![256; pages], "{count}");
        }
    }
}
