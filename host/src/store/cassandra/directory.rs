//! Domains, accounts and aliases. An address is one row, account or alias, and every change to it is a
//! lightweight transaction: two nodes cannot create one address twice.
//!
//! Names are listed from a table of their own ([`super::names`]); what it names is looked up, at a quorum. A question
//! about one address is answered from what was found within `limits.directory_age`, or by the nearest replica; a row
//! that is absent or not whole (a replica missed its creation and got a change of it) is asked for again of a quorum,
//! and an absence is not remembered. So what one gateway makes all know at once, and what it changes or removes the
//! others know within that time.

use super::CassandraStore;
use super::cluster::{Statement, all};
use super::names::Kind;
use super::rows;
use super::transaction::Decided;
use crate::message::MessageId;
use crate::store::{Account, Addressed, Alias, Created, Directory, Domain, Maildrops, Result, StoreError};
use async_trait::async_trait;
use moka::sync::Cache;
use scylla::serialize::row::SerializeRow;
use scylla::value::CqlValue;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Octets of rows that are remembered: some hundred thousand accounts.
const RECENT_OCTETS: u64 = 32 * 1024 * 1024;

/// A row behind its key: kind, address, password, SCRAM's, quota in octets and messages, targets.
pub(super) type Row = (
    Option<i8>,
    Option<String>,
    Option<String>,
    Option<String>,
    Option<i64>,
    Option<i64>,
    Option<Vec<String>>,
);
/// The same with its key.
pub(super) type Named = (
    String,
    Option<i8>,
    Option<String>,
    Option<String>,
    Option<String>,
    Option<i64>,
    Option<i64>,
    Option<Vec<String>>,
);

/// What an address leads to.
#[derive(Debug, Clone)]
enum Leads {
    ToAccount(Account),
    ToOthers(Alias),
}

impl Leads {
    fn kind(&self) -> Kind {
        match self {
            Self::ToAccount(_) => Kind::Account,
            Self::ToOthers(_) => Kind::Alias,
        }
    }
}

/// Rows that were found a little while ago.
#[derive(Debug)]
pub(super) struct Recent {
    addresses: Cache<String, Leads>,
    domains: Cache<String, Domain>,
    /// How many changes this node has made: what was read before one is not to be remembered behind it.
    changes: AtomicU64,
}

impl Recent {
    pub(super) fn new(age: Duration) -> Self {
        let addresses = Cache::builder()
            .max_capacity(RECENT_OCTETS)
            .weigher(|key: &String, leads: &Leads| octets(key, leads))
            .time_to_live(age);
        // No site has so many domains that their number wants a bound of its own.
        let domains = Cache::builder()
            .max_capacity(RECENT_OCTETS / 256)
            .time_to_live(age);
        Self {
            addresses: addresses.build(),
            domains: domains.build(),
            changes: AtomicU64::new(0),
        }
    }
}

fn octets(key: &str, leads: &Leads) -> u32 {
    let texts: usize = match leads {
        Leads::ToAccount(account) => {
            let keys = [&account.password, &account.scram].into_iter().flatten();
            account.address.len() + keys.map(String::len).sum::<usize>()
        }
        Leads::ToOthers(alias) => alias.targets.iter().map(|target| target.len() + 24).sum(),
    };
    u32::try_from(key.len() + texts + 128).unwrap_or(u32::MAX)
}

/// None of a row that is not whole.
fn read(key: &str, row: Row) -> Option<Leads> {
    let (kind, address, password, scram, quota_bytes, quota_messages, targets) = row;
    Some(if kind? == Kind::Account.code() {
        Leads::ToAccount(Account {
            address: address?,
            password,
            scram,
            quota_bytes: quota_bytes.map(rows::size),
            quota_messages: quota_messages.map(rows::size),
        })
    } else {
        Leads::ToOthers(Alias {
            address: key.to_owned(),
            targets: targets?,
        })
    })
}

fn account(leads: Leads) -> Option<Account> {
    match leads {
        Leads::ToAccount(account) => Some(account),
        Leads::ToOthers(_) => None,
    }
}

fn alias(leads: Leads) -> Option<Alias> {
    match leads {
        Leads::ToOthers(alias) => Some(alias),
        Leads::ToAccount(_) => None,
    }
}

/// What a new account's row has, as a transaction shows it.
fn columns(account: &Account) -> [(&'static str, Option<CqlValue>); 6] {
    let text = |column: &Option<String>| column.clone().map(CqlValue::Text);
    let number = |column: Option<u64>| column.map(rows::big).map(CqlValue::BigInt);
    [
        ("kind", Some(CqlValue::TinyInt(Kind::Account.code()))),
        ("address", Some(CqlValue::Text(account.address.clone()))),
        ("password", text(&account.password)),
        ("scram", text(&account.scram)),
        ("quota_bytes", number(account.quota_bytes)),
        ("quota_messages", number(account.quota_messages)),
    ]
}

fn columns_of_alias(alias: &Alias) -> [(&'static str, Option<CqlValue>); 2] {
    let targets = alias.targets.iter().cloned().map(CqlValue::Text).collect();
    [
        ("kind", Some(CqlValue::TinyInt(Kind::Alias.code()))),
        ("targets", Some(CqlValue::List(targets))),
    ]
}

impl CassandraStore {
    async fn ids(&self, mailbox: &str) -> Result<Vec<MessageId>> {
        let listing = self.list(mailbox).await?;
        Ok(listing.into_iter().map(|entry| entry.id).collect())
    }

    async fn address(&self, key: &str) -> Result<Option<Leads>> {
        if let Some(leads) = self.recent.addresses.get(key) {
            return Ok(Some(leads));
        }
        let before = self.recent.changes.load(Ordering::SeqCst);
        let found = self.found_address(key).await?;
        if let Some(leads) = &found {
            self.recent.addresses.insert(key.to_owned(), leads.clone());
        }
        if self.recent.changes.load(Ordering::SeqCst) != before {
            self.recent.addresses.invalidate(key);
        }
        Ok(found)
    }

    async fn found_address(&self, key: &str) -> Result<Option<Leads>> {
        let near: Option<Row> = self.cluster.row(&self.statements.address_near, (key,)).await?;
        match near.and_then(|row| read(key, row)) {
            Some(found) => Ok(Some(found)),
            None => self.whole_row(&self.statements.address, key).await,
        }
    }

    /// Half a row where several replicas speak is trouble of the cluster's, not an unknown address.
    async fn whole_row(&self, statement: &Statement, key: &str) -> Result<Option<Leads>> {
        let row: Option<Row> = self.cluster.row(statement, (key,)).await?;
        let torn = || StoreError::Engine(format!("the row of address {key} is not whole"));
        row.map(|row| read(key, row).ok_or_else(torn)).transpose()
    }

    /// What transactions have decided.
    async fn decided(&self, key: &str) -> Result<Option<Leads>> {
        self.whole_row(&self.statements.address_serial, key).await
    }

    /// Whether transactions have decided that an address is of this kind.
    pub(super) async fn is_decided(&self, kind: i8, key: &str) -> Result<bool> {
        let leads = self.decided(key).await?;
        Ok(leads.is_some_and(|leads| leads.kind().code() == kind))
    }

    /// Changes the row of an address. However it ends, what is remembered of the address may not be so any more.
    async fn decide_address(
        &self,
        key: &str,
        statement: &Statement,
        values: impl SerializeRow + Sync,
    ) -> Result<Decided> {
        let decided = self.decide(statement, values).await;
        self.recent.changes.fetch_add(1, Ordering::SeqCst);
        self.recent.addresses.invalidate(key);
        decided
    }

    async fn drop_address(&self, kind: Kind, key: &str) -> Result<bool> {
        self.clock.right()?;
        // Asked before the row goes: a later one of the address keeps its name.
        let until = self.named_until(key).await?;
        let values = (key, kind.code());
        let dropped = self
            .decide_address(key, &self.statements.drop_address, values)
            .await?
            .removed("kind");
        self.drop_name((kind.code(), key), until).await?;
        Ok(dropped)
    }

    /// What names behind `after` lead to; names that lead nowhere any more do not shorten the page.
    async fn listed<T>(
        &self,
        kind: Kind,
        after: Option<&str>,
        limit: usize,
        pick: impl Fn(Leads) -> Option<T>,
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
                addresses.push(self.whole_row(&self.statements.address, name));
            }
            let addresses = all(addresses).await?;
            found.extend(addresses.into_iter().flatten().filter_map(&pick));
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
        let decided = self.decide(&self.statements.create_domain, values).await;
        self.recent.domains.invalidate(&domain.name);
        let written = [("alias_of", domain.alias_of.clone().map(CqlValue::Text))];
        Ok(said(decided?.made(&written)))
    }

    async fn remove_domain(&self, name: &str) -> Result<bool> {
        let decided = self.decide(&self.statements.drop_domain, (name,)).await;
        self.recent.domains.invalidate(name);
        Ok(decided?.removed("name"))
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
        // What was listed before nobody had the address is an earlier account's, and goes before the new one is there.
        loop {
            let earlier = self.ids(&key).await?;
            if self.decided(&key).await?.is_some() {
                return Ok(Created::Exists);
            }
            if earlier.is_empty() {
                break;
            }
            self.remove(&key, &earlier).await?;
        }
        let create = async {
            let decided = self.decide_address(&key, &self.statements.create_account, values);
            Ok(decided.await?.made(&columns(&account)))
        };
        self.named(Kind::Account, &key, create).await.map(said)
    }

    async fn account_to_change(&self, key: &str) -> Result<Option<Account>> {
        Ok(self.decided(key).await?.and_then(account))
    }

    async fn replace_account(&self, before: &Account, after: Account) -> Result<bool> {
        let key = after.address.to_lowercase();
        let values = (
            &after.address,
            &after.password,
            &after.scram,
            after.quota_bytes.map(rows::big),
            after.quota_messages.map(rows::big),
            &key,
            &before.address,
            &before.password,
            &before.scram,
            before.quota_bytes.map(rows::big),
            before.quota_messages.map(rows::big),
        );
        let replaced = self
            .decide_address(&key, &self.statements.replace_account, values)
            .await;
        Ok(replaced?.made(&columns(&after)))
    }

    async fn remove_account(&self, key: &str) -> Result<bool> {
        let there = self.drop_address(Kind::Account, key).await?;
        // Also where it was not there: an earlier removal may have ended in between.
        let ids = self.ids(key).await?;
        // Another node may have made the next account of this name meanwhile, and this is its mail.
        if self.decided(key).await?.and_then(account).is_none() {
            self.remove(key, &ids).await?;
        }
        Ok(there)
    }

    async fn accounts(&self, after: Option<&str>, limit: usize) -> Result<Vec<Account>> {
        self.listed(Kind::Account, after, limit, account).await
    }

    async fn alias(&self, key: &str) -> Result<Option<Alias>> {
        Ok(self.address(key).await?.and_then(alias))
    }

    async fn addressed(&self, key: &str) -> Result<Option<Addressed>> {
        Ok(self.address(key).await?.map(|leads| match leads {
            Leads::ToAccount(account) => Addressed::Account(account),
            Leads::ToOthers(alias) => Addressed::Alias(alias),
        }))
    }

    async fn alias_to_change(&self, key: &str) -> Result<Option<Alias>> {
        Ok(self.decided(key).await?.and_then(alias))
    }

    async fn create_alias(&self, alias: Alias) -> Result<Created> {
        let key = &alias.address;
        // Who has the address already is not to be named as an alias too.
        if self.decided(key).await?.is_some() {
            return Ok(Created::Exists);
        }
        let create = async {
            let values = (key, &alias.targets);
            let decided = self.decide_address(key, &self.statements.create_alias, values);
            Ok(decided.await?.made(&columns_of_alias(&alias)))
        };
        self.named(Kind::Alias, key, create).await.map(said)
    }

    async fn replace_alias(&self, before: &Alias, after: Alias) -> Result<bool> {
        let key = &after.address;
        let values = (&after.targets, key, &before.targets);
        let replaced = self.decide_address(key, &self.statements.replace_alias, values);
        Ok(replaced.await?.made(&columns_of_alias(&after)))
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
