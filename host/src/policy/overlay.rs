//! A share of the store that is read as it is, and in which what is written lasts for one call.

use crate::store::{Kv, KvWrite, MemoryStore, Result, Store};
use async_trait::async_trait;
use bytes::Bytes;
use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

#[derive(Debug)]
pub(super) struct Overlay {
    beneath: Arc<dyn Store>,
    own: MemoryStore,
    /// Keys that are its own by now.
    drawn: Mutex<HashSet<String>>,
}

impl Overlay {
    pub(super) fn over(beneath: &Arc<dyn Store>) -> Self {
        Self {
            beneath: Arc::clone(beneath),
            own: MemoryStore::new(),
            drawn: Mutex::default(),
        }
    }

    /// Takes a key over, once.
    async fn draw(&self, namespace: &str, key: &str, now: u64) -> Result<()> {
        let is_new = {
            let mut drawn = self.drawn.lock().unwrap_or_else(PoisonError::into_inner);
            drawn.insert(key.to_owned())
        };
        if !is_new {
            return Ok(());
        }
        let Some(value) = self.beneath.kv_get(namespace, key, now).await? else {
            return Ok(());
        };
        let write = KvWrite {
            value,
            ttl: 0,
            now,
            quota: u64::MAX,
        };
        self.own.kv_set(namespace, key, write).await
    }
}

#[async_trait]
impl Kv for Overlay {
    async fn kv_get(&self, namespace: &str, key: &str, now: u64) -> Result<Option<Bytes>> {
        self.draw(namespace, key, now).await?;
        self.own.kv_get(namespace, key, now).await
    }

    async fn kv_set(&self, namespace: &str, key: &str, value: KvWrite) -> Result<()> {
        self.draw(namespace, key, value.now).await?;
        self.own.kv_set(namespace, key, value).await
    }

    async fn kv_remove(&self, namespace: &str, key: &str) -> Result<()> {
        self.drawn
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(key.to_owned());
        self.own.kv_remove(namespace, key).await
    }

    async fn kv_increment(
        &self,
        namespace: &str,
        key: &str,
        by: i64,
        ttl: u32,
        now: u64,
        quota: u64,
    ) -> Result<i64> {
        self.draw(namespace, key, now).await?;
        self.own.kv_increment(namespace, key, by, ttl, now, quota).await
    }

    async fn kv_compare_and_set(
        &self,
        namespace: &str,
        key: &str,
        expected: Option<Bytes>,
        value: KvWrite,
    ) -> Result<bool> {
        self.draw(namespace, key, value.now).await?;
        self.own.kv_compare_and_set(namespace, key, expected, value).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_000_000;

    fn write(value: &'static str) -> KvWrite {
        KvWrite {
            value: Bytes::from_static(value.as_bytes()),
            ttl: 0,
            now: NOW,
            quota: 1000,
        }
    }

    #[tokio::test]
    async fn what_is_beneath_is_read_and_what_is_written_stays_above() {
        let store = Arc::new(MemoryStore::new());
        store.kv_set("n", "a", write("one")).await.unwrap();
        store.kv_set("n", "b", write("two")).await.unwrap();
        assert_eq!(
            store.kv_increment("n", "count", 7, 0, NOW, 1000).await.unwrap(),
            7
        );
        let beneath: Arc<dyn Store> = Arc::clone(&store) as _;
        let overlay = Overlay::over(&beneath);
        assert_eq!(
            overlay.kv_increment("n", "count", 1, 0, NOW, 1000).await.unwrap(),
            8
        );
        assert_eq!(
            overlay.kv_increment("n", "count", 1, 0, NOW, 1000).await.unwrap(),
            9
        );
        let expected = Some(Bytes::from_static(b"one"));
        assert!(
            overlay
                .kv_compare_and_set("n", "a", expected, write("1"))
                .await
                .unwrap()
        );
        overlay.kv_remove("n", "b").await.unwrap();
        overlay.kv_set("n", "c", write("three")).await.unwrap();
        for (key, above, below) in [
            ("a", Some("1"), Some("one")),
            ("b", None, Some("two")),
            ("c", Some("three"), None),
        ] {
            let read = |value: Option<Bytes>| value.map(|value| String::from_utf8(value.to_vec()).unwrap());
            assert_eq!(
                read(overlay.kv_get("n", key, NOW).await.unwrap()).as_deref(),
                above,
                "{key}"
            );
            assert_eq!(
                read(store.kv_get("n", key, NOW).await.unwrap()).as_deref(),
                below,
                "{key}"
            );
        }
        assert_eq!(
            store.kv_increment("n", "count", 0, 0, NOW, 1000).await.unwrap(),
            7
        );
    }
}
