//! Names of accounts and aliases, for listings: in order, in pages, in a table of their own.
//!
//! It may name too much, never too little: what it names is looked up. A name has the time of the transaction that
//! made its row, and a removal deletes it as of that time. So it takes no name of a later row of the address, and
//! leaves none behind, however soon it comes and whatever the gateways' clocks say. Before its row is made an address
//! is named with a time that no transaction has any more, in case the second name never comes. That one does not
//! count where the address was made and removed just before: should the gateway die just then, the address is not
//! listed until `store check --mend` names it.

use super::CassandraStore;
use super::cluster::all;
use super::rows;
use crate::store::Result;
use std::hash::Hasher as _;
use std::time::Duration;
use xxhash_rust::xxh3::Xxh3Default;

const SHARDS: i8 = 16;

/// No creation takes longer: a name that is older and leads nowhere will lead nowhere.
const SETTLED: Duration = Duration::from_secs(5 * 60);

/// What an address is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Account,
    Alias,
}

impl Kind {
    pub(super) fn code(self) -> i8 {
        match self {
            Self::Account => 0,
            Self::Alias => 1,
        }
    }
}

pub(super) fn shard(key: &str) -> i8 {
    let mut hasher = Xxh3Default::new();
    hasher.write(key.as_bytes());
    (hasher.finish() % SHARDS as u64) as i8
}

impl CassandraStore {
    /// Names an address in the listing while `create` makes it.
    pub(super) async fn named(
        &self,
        kind: Kind,
        key: &str,
        create: impl Future<Output = Result<bool>>,
    ) -> Result<bool> {
        self.clock.right()?;
        self.put_name((kind.code(), key), rows::before_all(self.clock.now()))
            .await?;
        let created = create.await?;
        if created && let Some(made) = self.made_at(key).await? {
            self.put_name((kind.code(), key), made).await?;
        }
        Ok(created)
    }

    pub(super) async fn put_name(&self, (kind, key): (i8, &str), at: i64) -> Result<()> {
        let values = (kind, shard(key), key, at);
        self.cluster.execute(&self.statements.put_name, values).await?;
        Ok(())
    }

    pub(super) async fn drop_name(&self, (kind, key): (i8, &str), until: i64) -> Result<()> {
        let values = (until, kind, shard(key), key);
        self.cluster.execute(&self.statements.drop_name, values).await?;
        Ok(())
    }

    /// When the row of an address was made, by the transaction that made it; changes leave its kind alone.
    async fn made_at(&self, key: &str) -> Result<Option<i64>> {
        let made: Option<(Option<i64>,)> = self.cluster.row(&self.statements.address_made, (key,)).await?;
        Ok(made.and_then(|(made,)| made))
    }

    /// Names of this time and before belong to nobody who makes the address from now on.
    pub(super) fn settled(&self) -> i64 {
        rows::micros(self.clock.now().saturating_sub(SETTLED.as_millis() as u64))
    }

    /// The latest time that the name of what is there now may have.
    pub(super) async fn named_until(&self, key: &str) -> Result<i64> {
        // In this order: what is made after a long pause in between has a later time.
        let settled = self.settled();
        let made = self.made_at(key).await?;
        Ok(made.map_or(settled, |made| made.max(settled)))
    }

    /// Names behind `after`, in order, at most `limit`.
    pub(super) async fn names(&self, kind: Kind, after: &str, limit: usize) -> Result<Vec<String>> {
        let limit = i32::try_from(limit).unwrap_or(i32::MAX);
        let mut pages = Vec::new();
        for shard in 0..SHARDS {
            let key = (kind.code(), shard, after, limit);
            pages.push(self.cluster.rows::<(String,)>(&self.statements.names, key));
        }
        let pages = all(pages).await?;
        let mut names: Vec<String> = pages.into_iter().flatten().map(|(name,)| name).collect();
        names.sort_unstable();
        names.truncate(limit as usize);
        Ok(names)
    }
}
