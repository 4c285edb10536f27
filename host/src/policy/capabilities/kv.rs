//! `kv`: a small store that outlives calls, by grant and up to the grant's octets.

use crate::policy::bindings::postern::policy::kv::Host;
use crate::policy::guest::Guest;
use crate::policy::limits::Limit;
use crate::policy::manifest::KvGrant;
use crate::store::{self, Kv, KvWrite, StoreError};
use bytes::Bytes;
use std::sync::Arc;
use wasmtime::Result;

/// Octets of a key, and of a value: what every store takes in one row.
const KEY: usize = 1024;
const VALUE: usize = 1 << 20;

/// What the contract gives: a value, or an error that the guest reads.
type Answer<T> = std::result::Result<T, String>;

impl Guest {
    /// The store and the grant, if there is one and the key fits.
    fn share(&mut self, key: &str) -> Result<Answer<(Arc<dyn Kv>, KvGrant)>> {
        self.budget.call()?;
        let Some(grant) = &self.call.kv else {
            return Ok(Err(super::NOT_GRANTED.to_owned()));
        };
        if key.len() > KEY {
            Limit::KvKey.hit();
            return Ok(Err(format!("a key has at most {KEY} octets")));
        }
        let store: Arc<dyn Kv> = match &self.call.overlay {
            Some(overlay) => Arc::clone(overlay) as _,
            None => Arc::clone(&self.call.store) as _,
        };
        Ok(Ok((store, grant.clone())))
    }

    fn write(&self, grant: &KvGrant, value: Vec<u8>, ttl: u32) -> Answer<KvWrite> {
        if value.len() > VALUE {
            Limit::KvValue.hit();
            return Err(format!("a value has at most {VALUE} octets"));
        }
        Ok(KvWrite {
            value: Bytes::from(value),
            ttl,
            now: self.now,
            quota: grant.bytes,
        })
    }

    /// The store's trouble is logged in its own words and told in few.
    fn told<T>(&mut self, result: store::Result<T>) -> Answer<T> {
        result.map_err(|error| match error {
            StoreError::Bound(_) => {
                Limit::KvBytes.hit();
                "the share is full".to_owned()
            }
            // The policy wrote it as something else: no trouble of the store's.
            StoreError::Kind(text) => text,
            error => {
                self.store_failed = true;
                tracing::warn!(policy = %self.call.policy, %error, "kv");
                "the store is out of reach".to_owned()
            }
        })
    }
}

impl Host for Guest {
    async fn get(&mut self, key: String) -> Result<Answer<Option<Vec<u8>>>> {
        let (store, grant) = or_tell!(self.share(&key)?);
        let request = store.kv_get(&grant.namespace, &key, self.now);
        let found = self.stored(request).await;
        let found = or_tell!(self.told(found)).map(|value| value.to_vec());
        self.budget.read(found.as_ref().map_or(0, Vec::len))?;
        Ok(Ok(found))
    }

    async fn set(&mut self, key: String, value: Vec<u8>, ttl: u32) -> Result<Answer<()>> {
        let (store, grant) = or_tell!(self.share(&key)?);
        let write = or_tell!(self.write(&grant, value, ttl));
        let request = store.kv_set(&grant.namespace, &key, write);
        let stored = self.stored(request).await;
        Ok(self.told(stored))
    }

    async fn remove(&mut self, key: String) -> Result<Answer<()>> {
        let (store, grant) = or_tell!(self.share(&key)?);
        let request = store.kv_remove(&grant.namespace, &key);
        let stored = self.stored(request).await;
        Ok(self.told(stored))
    }

    async fn increment(&mut self, key: String, by: i64, ttl: u32) -> Result<Answer<i64>> {
        let (store, grant) = or_tell!(self.share(&key)?);
        let request = store.kv_increment(&grant.namespace, &key, by, ttl, self.now, grant.bytes);
        let stored = self.stored(request).await;
        Ok(self.told(stored))
    }

    async fn compare_and_set(
        &mut self,
        key: String,
        expected: Option<Vec<u8>>,
        value: Vec<u8>,
        ttl: u32,
    ) -> Result<Answer<bool>> {
        let (store, grant) = or_tell!(self.share(&key)?);
        let write = or_tell!(self.write(&grant, value, ttl));
        let expected = expected.map(Bytes::from);
        let request = store.kv_compare_and_set(&grant.namespace, &key, expected, write);
        let stored = self.stored(request).await;
        Ok(self.told(stored))
    }
}
