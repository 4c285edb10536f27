//! Domains, accounts and aliases. An address is one row, account or alias, and every change to it is a
//! lightweight transaction: two nodes cannot create one address twice.
//!
//! Names are listed from a table of their own, in order and in pages. It is written before and after the row it
//! names and may name too much, never too little: what it names is looked up. A question is answered from what
//! was found within `limits.directory_age`, or by the nearest replica; an absent row is asked for again of a quorum
//! and not remembered. So what one gateway makes all know at once, and what it changes or removes the others
//! know within that time.

use super::CassandraStore;
use super::cluster::{Statement, all, unreadable};
use super::rows;
use crate::message::MessageId;
use crate::store::{Account, Alias, Created, Directory, Domain, Maildrops, Result};
use async_trait::async_trait;

use moka::sync::Cache;
use scylla::response::query_result::QueryResult;
use scylla::serialize::row::SerializeRow;
use scylla::value::{CqlValue, Row as AnyRow};
use std::hash::Hasher as _;
use std::time::Duration;
use xxhash_rust::xxh3::Xxh3Default;

const SHARDS: i8 = 16;

/// Octets of rows that are remembered: some hundred thousand accounts.
const RECENT_OCTETS: u64 = 32 * 1024 * 1024;

/// What an address is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Account,
    Alias,
}

impl Kind {
    fn code(self) -> i8 {
        match self {
            Self::Account => 0,
            Self::Alias => 1,
        }
    }
}

type Row = (
    i8,
    Option<String>,
    Option<String>,
    Option<String>,
    Option<i64>,
    Option<i64>,
    Option<Vec<String>>,
);

/// Rows that were found a little while ago.
#[derive(Debug)]
pub(super) struct Recent {
    addresses: Cache<String, Row>,
    domains: Cache<String, Domain>,
}

impl Recent {
    pub(super) fn new(age: Duration) -> Self {
        let addresses = Cache::builder()
            .max_capacity(RECENT_OCTETS)
            .weigher(|key: &String, row: &Row| octets(key, row))
            .time_to_live(age);
        // No site has so many domains that their number wants a bound of its own.
        let domains = Cache::builder()
            .max_capacity(RECENT_OCTETS / 256)
            .time_to_live(age);
        Self {
            addresses: addresses.build(),
            domains: domains.build(),
        }
    }
}

fn octets(key: &str, (_, address, password, scram, _, _, targets): &Row) -> u32 {
    let texts = [address, password, scram].into_iter().flatten();
    let texts = texts.chain(targets.iter().flatten());
    let octets = key.len() + texts.map(|text| text.len() + 24).sum::<usize>() + 128;
    u32::try_from(octets).unwrap_or(u32::MAX)
}

/// Whether a lightweight transaction was applied. Cassandra and ScyllaDB give different columns beside this one.
pub(super) fn applied(answer: QueryResult) -> Result<bool> {
    let rows = answer.into_rows_result().map_err(unreadable)?;
    let column = rows.column_specs().get_by_name("[applied]").map(|(at, _)| at);
    let row: AnyRow = rows.first_row().map_err(unreadable)?;
    match column.and_then(|at| row.columns.into_iter().nth(at).flatten()) {
        Some(CqlValue::Boolean(applied)) => Ok(applied),
        _ => Err(unreadable("a transaction does not say whether it was applied")),
    }
}

fn account(row: Row) -> Option<Account> {
    let (kind, address, password, scram, quota_bytes, quota_messages, _) = row;
    (kind == Kind::Account.code()).then_some(Account {
        address: address?,
        password,
        scram,
        quota_bytes: quota_bytes.map(rows::size),
        quota_messages: quota_messages.map(rows::size),
    })
}

fn alias(key: &str, row: Row) -> Option<Alias> {
    let (kind, .., targets) = row;
    (kind == Kind::Alias.code()).then(|| Alias {
        address: key.to_owned(),
        targets: targets.unwrap_or_default(),
    })
}

pub(super) fn shard(key: &str) -> i8 {
    let mut hasher = Xxh3Default::new();
    hasher.write(key.as_bytes());
    (hasher.finish() % SHARDS as u64) as i8
}

impl CassandraStore {
    pub(super) async fn transact(
        &self,
        statement: &Statement,
        values: impl SerializeRow + Sync,
    ) -> Result<bool> {
        applied(self.cluster.execute(statement, values).await?)
    }

    async fn ids(&self, mailbox: &str) -> Result<Vec<MessageId>> {
        let listing = self.list(mailbox).await?;
        Ok(listing.into_iter().map(|entry| entry.id).collect())
    }

    async fn address(&self, key: &str) -> Result<Option<Row>> {
        if let Some(row) = self.recent.addresses.get(key) {
            return Ok(Some(row));
        }
        let found = self.found_address(key).await?;
        if let Some(row) = &found {
            self.recent.addresses.insert(key.to_owned(), row.clone());
        }
        Ok(found)
    }

    async fn found_address(&self, key: &str) -> Result<Option<Row>> {
        let near = self.cluster.row(&self.statements.address_near, (key,)).await?;
        match near {
            Some(row) => Ok(Some(row)),
            None => self.cluster.row(&self.statements.address, (key,)).await,
        }
    }

    /// Changes the row of an address.
    async fn change_address(
        &self,
        key: &str,
        statement: &Statement,
        values: impl SerializeRow + Sync,
    ) -> Result<bool> {
        let changed = self.transact(statement, values).await;
        self.recent.addresses.invalidate(key);
        changed
    }

    /// Names an address in the listing while `create` makes it.
    async fn named(&self, kind: Kind, key: &str, create: impl Future<Output = Result<bool>>) -> Result<bool> {
        self.put_name(kind, key).await?;
        let created = create.await?;
        if created {
            // A removal that was under way may have deleted the first.
            self.put_name(kind, key).await?;
        }
        Ok(created)
    }

    async fn put_name(&self, kind: Kind, key: &str) -> Result<()> {
        let now = rows::written_at(MessageId::new());
        let values = (kind.code(), shard(key), key, now);
        self.cluster.execute(&self.statements.put_name, values).await?;
        Ok(())
    }

    async fn drop_address(&self, kind: Kind, key: &str) -> Result<bool> {
        let now = rows::written_at(MessageId::new());
        let values = (key, kind.code());
        let dropped = self
            .change_address(key, &self.statements.drop_address, values)
            .await?;
        let values = (now, kind.code(), shard(key), key);
        self.cluster.execute(&self.statements.drop_name, values).await?;
        Ok(dropped)
    }

    /// Names behind `after`, in order, at most `limit`.
    async fn names(&self, kind: Kind, after: &str, limit: usize) -> Result<Vec<String>> {
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

    /// What names behind `after` lead to; names that lead nowhere any more do not shorten the page.
    async fn listed<T>(
        &self,
        kind: Kind,
        after: Option<&str>,
        limit: usize,
        read: impl Fn(&str, Row) -> Option<T>,
    ) -> Result<Vec<T>> {
        let mut after = after.unwrap_or_default().to_owned();
        let mut found = Vec::new();
        loop {
            let names = self.names(kind, &after, limit - found.len()).await?;
            let Some(last) = names.last() else {
                return Ok(found);
            };
            let mut addresses = Vec::new();
            for name in &names {
                addresses.push(self.found_address(name));
            }
            let addresses = all(addresses).await?;
            let pairs = names.iter().zip(addresses);
            found.extend(pairs.filter_map(|(name, row)| read(name, row?)));
            if found.len() >= limit {
                return Ok(found);
            }
            after.clone_from(last);
        }
    }
}

#[async_trait]
impl Directory for CassandraStore {
    async fn domain(&self, name: &str) -> Result<Option<Domain>> {
        type Row = (String, Option<String>);
        if let Some(domain) = self.recent.domains.get(name) {
            return Ok(Some(domain));
        }
        let near = self
            .cluster
            .row::<Row>(&self.statements.domain_near, (name,))
            .await?;
        let found = match near {
            Some(row) => Some(row),
            None => self.cluster.row(&self.statements.domain, (name,)).await?,
        };
        let found = found.map(|(name, alias_of)| Domain { name, alias_of });
        if let Some(domain) = &found {
            self.recent.domains.insert(name.to_owned(), domain.clone());
        }
        Ok(found)
    }

    async fn create_domain(&self, domain: Domain) -> Result<Created> {
        let values = (&domain.name, &domain.alias_of);
        let created = self.transact(&self.statements.create_domain, values).await;
        self.recent.domains.invalidate(&domain.name);
        Ok(said(created?))
    }

    async fn remove_domain(&self, name: &str) -> Result<bool> {
        let removed = self.transact(&self.statements.drop_domain, (name,)).await;
        self.recent.domains.invalidate(name);
        removed
    }

    async fn domains(&self) -> Result<Vec<Domain>> {
        type Row = (String, Option<String>);
        let found: Vec<Row> = self.cluster.rows(&self.statements.domains, ()).await?;
        let domain = |(name, alias_of)| Domain { name, alias_of };
        let mut domains: Vec<_> = found.into_iter().map(domain).collect();
        domains.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(domains)
    }

    async fn account(&self, key: &str) -> Result<Option<Account>> {
        Ok(self.address(key).await?.and_then(account))
    }

    async fn create_account(&self, account: Account) -> Result<Created> {
        let key = account.address.to_lowercase();
        let values = (
            &key,
            &account.address,
            &account.password,
            &account.scram,
            account.quota_bytes.map(rows::big),
            account.quota_messages.map(rows::big),
        );
        // What is listed before the account is there is an earlier one's; behind that it may be the new one's.
        let earlier = self.ids(&key).await?;
        let create = self.change_address(&key, &self.statements.create_account, values);
        let created = self.named(Kind::Account, &key, create).await?;
        if created {
            self.remove(&key, &earlier).await?;
        }
        Ok(said(created))
    }

    async fn account_to_change(&self, key: &str) -> Result<Option<Account>> {
        let row = self.cluster.row(&self.statements.address_serial, (key,)).await?;
        Ok(row.and_then(account))
    }

    async fn update_account(&self, account: Account) -> Result<bool> {
        let key = account.address.to_lowercase();
        let values = (
            &account.address,
            &account.password,
            &account.scram,
            account.quota_bytes.map(rows::big),
            account.quota_messages.map(rows::big),
            &key,
        );
        self.change_address(&key, &self.statements.update_account, values)
            .await
    }

    async fn remove_account(&self, key: &str) -> Result<bool> {
        let there = self.drop_address(Kind::Account, key).await?;
        // Also where it was not there: an earlier removal may have ended in between.
        let ids = self.ids(key).await?;
        self.remove(key, &ids).await?;
        Ok(there)
    }

    async fn accounts(&self, after: Option<&str>, limit: usize) -> Result<Vec<Account>> {
        self.listed(Kind::Account, after, limit, |_, row| account(row))
            .await
    }

    async fn alias(&self, key: &str) -> Result<Option<Alias>> {
        Ok(self.address(key).await?.and_then(|row| alias(key, row)))
    }

    async fn put_alias(&self, alias: Alias) -> Result<Created> {
        let (key, targets) = (&alias.address, &alias.targets);
        let update = &self.statements.update_alias;
        if self.change_address(key, update, (targets, key)).await? {
            return Ok(Created::Yes);
        }
        let create = self.change_address(key, &self.statements.create_alias, (key, targets));
        if self.named(Kind::Alias, key, create).await? {
            return Ok(Created::Yes);
        }
        // An account has the address, or another node made the alias just now.
        Ok(said(self.change_address(key, update, (targets, key)).await?))
    }

    async fn remove_alias(&self, key: &str) -> Result<bool> {
        self.drop_address(Kind::Alias, key).await
    }

    async fn aliases(&self, after: Option<&str>, limit: usize) -> Result<Vec<Alias>> {
        self.listed(Kind::Alias, after, limit, alias).await
    }
}

fn said(created: bool) -> Created {
    match created {
        true => Created::Yes,
        false => Created::Exists,
    }
}
