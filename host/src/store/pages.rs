//! Listings from their first item to their last, a page at a time.

use super::{Account, Alias, Quarantined, Result, Store, StoreError};
use futures_util::stream::{self, Stream, TryStreamExt as _};

/// Items of one page.
const PAGE: usize = 1000;

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
pub(crate) fn quarantined(store: &dyn Store) -> impl Stream<Item = Result<Quarantined>> {
    all(move |after| store.quarantined(after, PAGE), |held| held.id)
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
