//! Policies' values with a fault.

use super::*;

impl<S: Store> Broken<S> {
    /// Where a value is kept.
    fn place(&self, namespace: &str, key: &str) -> (String, String) {
        match self.fault {
            Some(Fault::MixesNamespaces) => (String::new(), format!("{namespace}{key}")),
            _ => (namespace.to_owned(), key.to_owned()),
        }
    }

    /// What a namespace may hold.
    fn share(&self, key: &str, write: &KvWrite) -> u64 {
        match self.fault {
            Some(Fault::PassesTheQuota) => write.quota + 1,
            Some(Fault::MakesNoRoom) => {
                let mut seen = self.seen();
                let others = seen.weights.iter().filter(|(other, _)| *other != key);
                let held: u64 = others.map(|(_, weight)| weight).sum();
                let weight = (key.len() + write.value.len()) as u64;
                seen.weights.insert(key.to_owned(), weight);
                write.quota.saturating_sub(held)
            }
            _ => write.quota,
        }
    }

    /// Reads a counter and writes its sum.
    async fn add_in_two_steps(&self, (namespace, key): (&str, &str), by: i64, write: KvWrite) -> Result<i64> {
        let there = self.store.kv_get(namespace, key, write.now).await?;
        if self.has(Fault::LosesIncrements) {
            self.crowd.wait().await;
        }
        let sum = there
            .map_or(Ok(0), |octets| rules::counter(&octets))?
            .saturating_add(by);
        let value = Bytes::copy_from_slice(&sum.to_be_bytes());
        self.store
            .kv_set(namespace, key, KvWrite { value, ..write })
            .await?;
        Ok(sum)
    }
}

#[async_trait]
impl<S: Store> Kv for Broken<S> {
    async fn kv_get(&self, namespace: &str, key: &str, now: u64) -> Result<Option<Bytes>> {
        let (namespace, key) = self.place(namespace, key);
        let now = match self.fault {
            Some(Fault::OutlivesItsTime) => now - 1,
            Some(Fault::EndsEarly) => now.saturating_add(1),
            _ => now,
        };
        self.store.kv_get(&namespace, &key, now).await
    }

    async fn kv_set(&self, namespace: &str, key: &str, value: KvWrite) -> Result<()> {
        let (namespace, key) = self.place(namespace, key);
        let quota = self.share(&key, &value);
        self.store
            .kv_set(&namespace, &key, KvWrite { quota, ..value })
            .await
    }

    async fn kv_remove(&self, namespace: &str, key: &str) -> Result<()> {
        match self.fault {
            Some(Fault::KeepsValues) => Ok(()),
            _ => self.store.kv_remove(namespace, key).await,
        }
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
        let write = KvWrite {
            value: Bytes::new(),
            ttl,
            now,
            quota,
        };
        match self.fault {
            Some(Fault::RenewsWindows | Fault::LosesIncrements) => {
                self.add_in_two_steps((namespace, key), by, write).await
            }
            Some(Fault::CountsAnything) => {
                match self.store.kv_increment(namespace, key, by, ttl, now, quota).await {
                    Ok(sum) => Ok(sum),
                    Err(_) => {
                        self.store.kv_remove(namespace, key).await?;
                        self.add_in_two_steps((namespace, key), by, write).await
                    }
                }
            }
            _ => self.store.kv_increment(namespace, key, by, ttl, now, quota).await,
        }
    }

    async fn kv_compare_and_set(
        &self,
        namespace: &str,
        key: &str,
        expected: Option<Bytes>,
        value: KvWrite,
    ) -> Result<bool> {
        if self.has(Fault::ComparesNothing) {
            return self.store.kv_set(namespace, key, value).await.map(|()| true);
        }
        self.store
            .kv_compare_and_set(namespace, key, expected, value)
            .await
    }
}
