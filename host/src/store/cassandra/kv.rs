//! Policies' values: every change is a lightweight transaction on one row, compared by a version of its own.
//!
//! A value's time is a column that is compared with the caller's clock; Cassandra's own ttl, a day longer, only
//! clears away. A namespace's octets are listed in a table beside and summed by each node for itself, so with
//! several nodes a quota may be passed by what the others write within [`SUM_KEEPS`].

use super::CassandraStore;
use super::cluster::Statement;
use super::rows;
use super::turns::Turns;
use crate::clock::unix_millis;
use crate::store::{Kv, KvWrite, Result, StoreError, rules};
use async_trait::async_trait;
use bytes::Bytes;
use std::collections::HashMap;
use std::sync::{Arc, Mutex as Lock, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{Mutex, OwnedMutexGuard};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use uuid::Uuid;

/// How long a sum is counted on before it is read again.
const SUM_KEEPS: Duration = Duration::from_secs(60);
/// A sum that says no is read again after this.
const SUM_DOUBTED: Duration = Duration::from_secs(1);
const SHARDS: i8 = 8;
const CLEARED_AFTER: u64 = 24 * 60 * 60;
/// Cassandra takes no longer ttl than twenty years.
const LONGEST_TTL: u64 = 20 * 365 * 24 * 60 * 60;

/// A row: value, version, the time it is over. Never inserted, only updated: an insertion's mark of the row has a ttl
/// of its own and would outlive columns that were replaced for a shorter time. A row of nulls is none.
pub(super) type KvRow = (Vec<u8>, Uuid, i64);
/// As it is read.
pub(super) type Columns = (Option<Vec<u8>>, Option<Uuid>, Option<i64>);
/// The same behind its namespace and key.
pub(super) type KeyedColumns = (String, String, Option<Vec<u8>>, Option<Uuid>, Option<i64>);

pub(super) fn whole((value, version, over_at): Columns) -> Option<KvRow> {
    Some((value?, version?, over_at?))
}

/// The octets of a namespace as this node knows them.
#[derive(Debug, Clone, Copy)]
struct Sum {
    octets: u64,
    read: Instant,
    /// The first time at which a value that was counted is over; 0: none is.
    next_over: u64,
}

/// Octets that come in place of others, until when, and how many there may be in all.
#[derive(Debug, Clone, Copy)]
struct Change {
    old: u64,
    new: u64,
    over_at: u64,
    quota: u64,
}

/// Sums by namespace, and turns for changes to one key on this node: they would only meet in the transaction.
#[derive(Debug, Default)]
pub(super) struct Shares {
    sums: Lock<HashMap<String, Sum>>,
    /// By namespace, held by whoever reads its sum.
    readings: Lock<HashMap<String, Arc<Mutex<()>>>>,
    turns: Turns,
}

impl Shares {
    fn sums(&self) -> MutexGuard<'_, HashMap<String, Sum>> {
        self.sums.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts `new` octets in place of `old` ones if they fit.
    fn reserve(&self, namespace: &str, change: Change) -> bool {
        let mut sums = self.sums();
        let Some(sum) = sums.get_mut(namespace) else {
            return false;
        };
        let after = sum.octets.saturating_sub(change.old).saturating_add(change.new);
        if after > change.quota {
            return false;
        }
        sum.octets = after;
        if change.over_at != 0 && (sum.next_over == 0 || change.over_at < sum.next_over) {
            sum.next_over = change.over_at;
        }
        true
    }

    /// What was counted is not there.
    fn give_back(&self, namespace: &str, counted: u64, instead: u64) {
        if let Some(sum) = self.sums().get_mut(namespace) {
            sum.octets = sum.octets.saturating_sub(counted).saturating_add(instead);
        }
    }

    /// When the sum was read.
    fn read(&self, namespace: &str) -> Option<Instant> {
        self.sums().get(namespace).map(|sum| sum.read)
    }

    fn reading(&self, namespace: &str) -> Arc<Mutex<()>> {
        let mut readings = self.readings.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(readings.entry(namespace.to_owned()).or_default())
    }

    /// Whether the sum has to be read before it says no.
    fn is_doubtful(&self, namespace: &str, now: u64) -> bool {
        let over = |sum: &Sum| sum.next_over != 0 && sum.next_over <= now;
        let sums = self.sums();
        sums.get(namespace)
            .is_none_or(|sum| over(sum) || sum.read.elapsed() >= SUM_DOUBTED)
    }
}

pub(super) fn shard(key: &str) -> i8 {
    (xxhash_rust::xxh3::xxh3_64(key.as_bytes()) % SHARDS as u64) as i8
}

pub(super) fn weight(key: &str, value: &[u8]) -> u64 {
    (key.len() + value.len()) as u64
}

/// Seconds after which Cassandra may clear a value away; 0: never.
pub(super) fn clearing(over_at: u64, now: u64) -> i32 {
    match over_at {
        0 => 0,
        over_at => (over_at.saturating_sub(now) / 1000 + CLEARED_AFTER).min(LONGEST_TTL) as i32,
    }
}

impl CassandraStore {
    /// Begins to read a sum, for all who want it: hundreds of thousands of values take longer than a policy's call
    /// may, and the next call is not to begin anew.
    fn begin_sum(
        &self,
        turn: OwnedMutexGuard<()>,
        namespace: &str,
        now: u64,
    ) -> Option<JoinHandle<Result<()>>> {
        let (store, namespace) = (self.this.upgrade()?, namespace.to_owned());
        Some(tokio::spawn(async move {
            let _turn = turn;
            store.read_sum(&namespace, now).await
        }))
    }

    /// Waits for a sum that was read from now on: one reads it for all who ask meanwhile.
    async fn sum(&self, namespace: &str, now: u64) -> Result<()> {
        let asked = Instant::now();
        let turn = self.shares.reading(namespace).lock_owned().await;
        if self.shares.read(namespace).is_some_and(|read| read >= asked) {
            return Ok(());
        }
        match self.begin_sum(turn, namespace, now) {
            Some(reading) => reading
                .await
                .map_err(|error| StoreError::Engine(error.to_string()))?,
            None => Ok(()),
        }
    }

    /// Reads a namespace's sum: what is not over at `now`.
    async fn read_sum(&self, namespace: &str, now: u64) -> Result<()> {
        type SizeRow = (String, i32, i64);
        let read = Instant::now();
        let mut sum = Sum {
            octets: 0,
            read,
            next_over: 0,
        };
        for shard in 0..SHARDS {
            let key = (namespace, shard);
            let sizes: Vec<SizeRow> = self.cluster.rows(&self.statements.kv_sizes, key).await?;
            for (_, octets, over_at) in sizes {
                let over_at = rows::size(over_at);
                if rules::alive(over_at, now) {
                    sum.octets += rows::size(octets.into());
                    if over_at != 0 && (sum.next_over == 0 || over_at < sum.next_over) {
                        sum.next_over = over_at;
                    }
                }
            }
        }
        self.shares.sums().insert(namespace.to_owned(), sum);
        Ok(())
    }

    async fn reserve(&self, namespace: &str, change: Change, now: u64) -> Result<()> {
        match self.shares.read(namespace) {
            None => self.sum(namespace, now).await?,
            // What is known is good enough until it is read again, by one.
            Some(read) if read.elapsed() >= SUM_KEEPS => {
                if let Ok(turn) = self.shares.reading(namespace).try_lock_owned() {
                    drop(self.begin_sum(turn, namespace, now));
                }
            }
            Some(_) => {}
        }
        if self.shares.reserve(namespace, change) {
            return Ok(());
        }
        if self.shares.is_doubtful(namespace, now) {
            self.sum(namespace, now).await?;
            if self.shares.reserve(namespace, change) {
                return Ok(());
            }
        }
        Err(StoreError::Bound(rules::KV_BOUND))
    }

    /// Changes one value: `decide` sees the value that counts now with its end, and says what comes in its place
    /// or that nothing does. Answers whether something did.
    async fn change<F>(&self, (namespace, key): (&str, &str), now: u64, quota: u64, decide: F) -> Result<bool>
    where
        F: Fn(Option<(&[u8], u64)>) -> Result<Option<(Bytes, u64)>> + Send + Sync,
    {
        let _turn = self.shares.turns.take((namespace, key)).await;
        loop {
            let row = self.kv_row(&self.statements.kv_serial, namespace, key).await?;
            let there = row
                .as_ref()
                .map(|(value, _, over_at)| (&value[..], rows::size(*over_at)));
            let counts = there.filter(|(_, over_at)| rules::alive(*over_at, now));
            let Some((value, over_at)) = decide(counts)? else {
                return Ok(false);
            };
            let old = counts.map_or(0, |(value, _)| weight(key, value));
            let new = weight(key, &value);
            let change = Change {
                old,
                new,
                over_at,
                quota,
            };
            self.reserve(namespace, change, now).await?;
            let version = Uuid::new_v4();
            let write = (namespace, key, &value, version, rows::big(over_at));
            let found = row.as_ref().map(|(_, version, _)| *version);
            if self.replace(write, found, clearing(over_at, now)).await? {
                return Ok(true);
            }
            self.shares.give_back(namespace, new, old);
        }
    }

    async fn kv_row(&self, statement: &Statement, namespace: &str, key: &str) -> Result<Option<KvRow>> {
        let row: Option<Columns> = self.cluster.row(statement, (namespace, key)).await?;
        Ok(row.and_then(whole))
    }

    /// One transaction; true also where an attempt before its retry had been applied.
    pub(super) async fn replace(
        &self,
        (namespace, key, value, version, over_at): (&str, &str, &Bytes, Uuid, i64),
        found: Option<Uuid>,
        ttl: i32,
    ) -> Result<bool> {
        let size = (weight(key, value), over_at);
        self.count((namespace, key), size, ttl).await?;
        // Of a row that is not there the version is null.
        let values = (ttl, value, version, over_at, namespace, key, found);
        if self.transact(&self.statements.kv_replace, values).await? {
            return Ok(true);
        }
        let row = self.kv_row(&self.statements.kv_serial, namespace, key).await?;
        if row.as_ref().is_some_and(|(_, now, _)| *now == version) {
            return Ok(true);
        }
        self.count_again(namespace, key, row).await?;
        Ok(false)
    }

    /// What is counted under a key was of a value that another's came before.
    async fn count_again(&self, namespace: &str, key: &str, row: Option<KvRow>) -> Result<()> {
        let Some((value, _, over_at)) = row else {
            return self.uncount((namespace, key)).await;
        };
        let ttl = clearing(rows::size(over_at), unix_millis());
        self.count((namespace, key), (weight(key, &value), over_at), ttl)
            .await
    }

    /// Lists the octets of a value and its end beside it.
    pub(super) async fn count(
        &self,
        (namespace, key): (&str, &str),
        (octets, over_at): (u64, i64),
        ttl: i32,
    ) -> Result<()> {
        let size = (namespace, shard(key), key, octets as i32, over_at, ttl);
        let put = self.cluster.execute(&self.statements.put_kv_size, size);
        put.await.map(drop)
    }

    pub(super) async fn uncount(&self, (namespace, key): (&str, &str)) -> Result<()> {
        let size = (namespace, shard(key), key);
        let dropped = self.cluster.execute(&self.statements.drop_kv_size, size);
        dropped.await.map(drop)
    }
}

#[async_trait]
impl Kv for CassandraStore {
    async fn kv_get(&self, namespace: &str, key: &str, now: u64) -> Result<Option<Bytes>> {
        let row = self.kv_row(&self.statements.kv_get, namespace, key).await?;
        let alive = row.filter(|(_, _, over_at)| rules::alive(rows::size(*over_at), now));
        Ok(alive.map(|(value, ..)| value.into()))
    }

    async fn kv_set(&self, namespace: &str, key: &str, value: KvWrite) -> Result<()> {
        let over_at = rules::over_at(value.now, value.ttl);
        let set = |_: Option<(&[u8], u64)>| Ok(Some((value.value.clone(), over_at)));
        self.change((namespace, key), value.now, value.quota, set)
            .await
            .map(|_| ())
    }

    async fn kv_remove(&self, namespace: &str, key: &str) -> Result<()> {
        let _turn = self.shares.turns.take((namespace, key)).await;
        let row = self.kv_row(&self.statements.kv_get, namespace, key).await?;
        self.transact(&self.statements.kv_drop, (namespace, key)).await?;
        self.uncount((namespace, key)).await?;
        if let Some((value, ..)) = row {
            self.shares.give_back(namespace, weight(key, &value), 0);
        }
        Ok(())
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
        let answer = Lock::new(by);
        let add = |there: Option<(&[u8], u64)>| {
            let (sum, over_at) = match there {
                Some((value, over_at)) => (rules::counter(value)?.saturating_add(by), over_at),
                None => (by, rules::over_at(now, ttl)),
            };
            *answer.lock().unwrap_or_else(PoisonError::into_inner) = sum;
            Ok(Some((Bytes::copy_from_slice(&sum.to_be_bytes()), over_at)))
        };
        self.change((namespace, key), now, quota, add).await?;
        Ok(answer.into_inner().unwrap_or_else(PoisonError::into_inner))
    }

    async fn kv_compare_and_set(
        &self,
        namespace: &str,
        key: &str,
        expected: Option<Bytes>,
        value: KvWrite,
    ) -> Result<bool> {
        let over_at = rules::over_at(value.now, value.ttl);
        let set = |there: Option<(&[u8], u64)>| {
            let same = there.map(|(value, _)| value) == expected.as_deref();
            Ok(same.then(|| (value.value.clone(), over_at)))
        };
        self.change((namespace, key), value.now, value.quota, set).await
    }
}
