//! The policies' values. A namespace's octets are counted in a row of their own; an index by time finds what
//! is over when room is needed, so that a full namespace costs a write no more than an empty one.

use super::Change;
use crate::store::embedded::rows::{self, Space, tag};
use crate::store::rules;
use crate::store::{KvWrite, Result, StoreError};
use bytes::Bytes;
use std::ops::ControlFlow;

/// A value as it is stored, dead or alive.
struct Stored {
    over_at: u64,
    value: Bytes,
}

impl Change<'_> {
    fn kv_stored(&self, namespace: &str, key: &str) -> Result<Option<Stored>> {
        let Some(row) = self.get(Space::State, &rows::kv_key(namespace, key))? else {
            return Ok(None);
        };
        let (over_at, value) = rows::read_kv(&row)?;
        let value = Bytes::copy_from_slice(value);
        Ok(Some(Stored { over_at, value }))
    }

    fn kv_alive(&self, namespace: &str, key: &str, now: u64) -> Result<Option<Stored>> {
        let stored = self.kv_stored(namespace, key)?;
        Ok(stored.filter(|stored| rules::alive(stored.over_at, now)))
    }

    pub(in super::super) fn kv_set(&mut self, namespace: &str, key: &str, write: &KvWrite) -> Result<()> {
        let over_at = rules::over_at(write.now, write.ttl);
        self.kv_put(namespace, key, write, over_at)
    }

    fn kv_put(&mut self, namespace: &str, key: &str, write: &KvWrite, over_at: u64) -> Result<()> {
        self.kv_remove(namespace, key)?;
        let octets = octets(key, &write.value);
        if self.kv_held(namespace)?.saturating_add(octets) > write.quota {
            let room = write
                .quota
                .checked_sub(octets)
                .ok_or(StoreError::Bound(rules::KV_BOUND))?;
            self.kv_expire(namespace, write.now, room)?;
        }
        let held = self.kv_held(namespace)?.saturating_add(octets);
        if held > write.quota {
            return Err(StoreError::Bound(rules::KV_BOUND));
        }
        self.put_kv_held(namespace, held)?;
        if over_at != 0 {
            self.put(
                Space::State,
                rows::kv_expiry_key(namespace, over_at, key),
                Vec::new(),
            )?;
        }
        self.put(
            Space::State,
            rows::kv_key(namespace, key),
            rows::kv_row(over_at, &write.value),
        )
    }

    pub(in super::super) fn kv_remove(&mut self, namespace: &str, key: &str) -> Result<()> {
        let Some(stored) = self.kv_stored(namespace, key)? else {
            return Ok(());
        };
        let held = self
            .kv_held(namespace)?
            .saturating_sub(octets(key, &stored.value));
        self.put_kv_held(namespace, held)?;
        self.delete(Space::State, rows::kv_key(namespace, key));
        if stored.over_at != 0 {
            self.delete(Space::State, rows::kv_expiry_key(namespace, stored.over_at, key));
        }
        Ok(())
    }

    pub(in super::super) fn kv_increment(
        &mut self,
        namespace: &str,
        key: &str,
        by: i64,
        window: &KvWrite,
    ) -> Result<i64> {
        let (sum, over_at) = match self.kv_alive(namespace, key, window.now)? {
            Some(stored) => (rules::counter(&stored.value)?.saturating_add(by), stored.over_at),
            None => (by, rules::over_at(window.now, window.ttl)),
        };
        let write = KvWrite {
            value: Bytes::copy_from_slice(&sum.to_be_bytes()),
            ..window.clone()
        };
        self.kv_put(namespace, key, &write, over_at)?;
        Ok(sum)
    }

    pub(in super::super) fn kv_compare_and_set(
        &mut self,
        namespace: &str,
        key: &str,
        expected: Option<&Bytes>,
        write: &KvWrite,
    ) -> Result<bool> {
        let found = self.kv_alive(namespace, key, write.now)?;
        if found.as_ref().map(|found| &found.value) != expected {
            return Ok(false);
        }
        self.kv_set(namespace, key, write)?;
        Ok(true)
    }

    /// Removes values that are over until no more than `room` octets are held.
    fn kv_expire(&mut self, namespace: &str, now: u64, room: u64) -> Result<()> {
        let mut excess = self.kv_held(namespace)?.saturating_sub(room);
        let mut over = Vec::new();
        self.scan(Space::State, rows::kv_expired(namespace, now), |row, _| {
            if let Some(key) = rows::read_kv_expiry(row, namespace) {
                over.push(key.to_owned());
                excess = excess.saturating_sub(key.len().max(1) as u64);
            }
            Ok(match excess {
                0 => ControlFlow::Break(()),
                _ => ControlFlow::Continue(()),
            })
        })?;
        for key in over {
            self.kv_remove(namespace, &key)?;
        }
        Ok(())
    }

    fn kv_held(&self, namespace: &str) -> Result<u64> {
        let row = self.get(Space::State, &rows::named_key(tag::KV_USAGE, namespace))?;
        let held = row.map(|row| rows::read_usage(&row)).transpose()?;
        Ok(held.unwrap_or_default().bytes)
    }

    fn put_kv_held(&mut self, namespace: &str, bytes: u64) -> Result<()> {
        let usage = crate::store::Usage { bytes, messages: 0 };
        self.put(
            Space::State,
            rows::named_key(tag::KV_USAGE, namespace),
            rows::usage_row(usage),
        )
    }
}

/// What a value counts against its namespace's quota.
fn octets(key: &str, value: &[u8]) -> u64 {
    (key.len() + value.len()) as u64
}
