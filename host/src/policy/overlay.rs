//! A share of the store that is read as it is, and in which what is written is forgotten: after one call beside a
//! decision, after a replay.

use crate::store::{Kv, KvWrite, MemoryStore, Result, Store};
use async_trait::async_trait;
use bytes::Bytes;
use std::collections::HashMap;
use std::fmt::Debug;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::OnceCell;

/// What an overlay lies over: it can be read, and nothing else.
#[async_trait]
pub trait Beneath: Send + Sync + Debug {
    /// As [`Kv::kv_get`].
    async fn get(&self, namespace: &str, key: &str, now: u64) -> Result<Option<Bytes>>;
}

#[async_trait]
impl Beneath for Arc<dyn Store> {
    async fn get(&self, namespace: &str, key: &str, now: u64) -> Result<Option<Bytes>> {
        self.kv_get(namespace, key, now).await
    }
}

/// See the module. Of one namespace.
#[derive(Debug)]
pub(super) struct Overlay {
    beneath: Arc<dyn Beneath>,
    own: MemoryStore,
    /// By key; set where it is its own by now. Locked for no longer than it takes to look one up.
    drawn: Mutex<HashMap<String, Arc<OnceCell<()>>>>,
}

impl Overlay {
    /// What is written lasts as long as this.
    pub(super) fn new(beneath: Arc<dyn Beneath>) -> Self {
        Self {
            beneath,
            own: MemoryStore::new(),
            drawn: Mutex::default(),
        }
    }

    pub(super) fn over(store: &Arc<dyn Store>) -> Self {
        Self::new(Arc::new(Arc::clone(store)))
    }

    fn place(&self, key: &str) -> Arc<OnceCell<()>> {
        let mut drawn = self.drawn.lock().unwrap_or_else(PoisonError::into_inner);
        match drawn.get(key) {
            Some(place) => Arc::clone(place),
            None => Arc::clone(drawn.entry(key.to_owned()).or_default()),
        }
    }

    /// Takes a key over, once; others that want the same one wait so long.
    async fn draw(&self, namespace: &str, key: &str, now: u64) -> Result<()> {
        let drawing = async || {
            if let Some(value) = self.beneath.get(namespace, key, now).await? {
                let write = KvWrite {
                    value,
                    ttl: 0,
                    now,
                    quota: u64::MAX,
                };
                self.own.kv_set(namespace, key, write).await?;
            }
            Ok(())
        };
        self.place(key).get_or_try_init(drawing).await.map(drop)
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
        // Without a look at what is beneath, and behind whoever draws it just now.
        self.place(key).get_or_init(async || ()).await;
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

    /// Out of reach at first; then every key has one value.
    #[derive(Debug, Default)]
    struct Late(std::sync::atomic::AtomicUsize);

    #[async_trait]
    impl Beneath for Late {
        async fn get(&self, _: &str, _: &str, _: u64) -> Result<Option<Bytes>> {
            let before = self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            tokio::task::yield_now().await;
            match before {
                0 => Err(crate::store::StoreError::Engine("out of reach".to_owned())),
                _ => Ok(Some(Bytes::copy_from_slice(&7_i64.to_be_bytes()))),
            }
        }
    }

    /// Answers when it is told so.
    #[derive(Debug, Default)]
    struct Slow(tokio::sync::Notify);

    #[async_trait]
    impl Beneath for Slow {
        async fn get(&self, _: &str, key: &str, _: u64) -> Result<Option<Bytes>> {
            if key == "slow" {
                self.0.notified().await;
            }
            Ok(Some(Bytes::from_static(b"beneath")))
        }
    }

    #[tokio::test]
    async fn a_key_that_is_read_slowly_keeps_no_other_one_waiting() {
        let slow = Arc::new(Slow::default());
        let overlay = Overlay::new(Arc::clone(&slow) as _);
        let others = async {
            let read = overlay.kv_get("n", "a", NOW).await.unwrap();
            overlay.kv_set("n", "b", write("above")).await.unwrap();
            slow.0.notify_one();
            read
        };
        let removed = overlay.kv_remove("n", "slow");
        let (read, other, removed) = tokio::join!(overlay.kv_get("n", "slow", NOW), others, removed);
        removed.unwrap();
        assert_eq!(other, Some(Bytes::from_static(b"beneath")));
        assert!(read.is_ok());
        assert_eq!(
            overlay.kv_get("n", "slow", NOW).await.unwrap(),
            None,
            "it was removed"
        );
    }

    #[tokio::test]
    async fn what_could_not_be_read_is_read_again_and_what_was_read_is_not() {
        let late = Arc::new(Late::default());
        let overlay = Overlay::new(Arc::clone(&late) as _);
        assert!(overlay.kv_get("n", "a", NOW).await.is_err());
        let count = || overlay.kv_increment("n", "a", 1, 0, NOW, 1000);
        let (one, other) = tokio::join!(count(), count());
        assert_eq!(one.unwrap() + other.unwrap(), 8 + 9);
        assert_eq!(late.0.load(std::sync::atomic::Ordering::Relaxed), 2);
    }
}
