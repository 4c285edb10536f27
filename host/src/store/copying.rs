//! From one store into another: all mail, quarantine, the directory and the policies' values.
//!
//! Every write is idempotent and what the target lists whole is passed over, so a copy that was cut off goes on when
//! it is run again; what the directory of the source has no more is taken out of the target's. At the end both stores
//! are read from end to end and compared: each mailbox by the sum of the digests of what it lists, so that a
//! difference is named by its mailbox. Refused by the targets: to be copied into while they serve, or over mail of
//! their own.

use super::{
    Account, Alias, CHUNK, Content, Created, Domain, Entry, Holder, KvWrite, Mailbox, Moved, Quarantined,
    Result, Store, StoreError, Text,
};
use crate::clock::unix_millis;
use crate::message::MessageId;
use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError};
use tokio::sync::mpsc;

/// Messages under way at once.
const AT_ONCE: usize = 16;
/// Names of one page of the directory.
const PAGE: usize = 200;
/// Under this name quarantine is compared: it is no address.
const QUARANTINE: &str = "quarantine";

/// A message with all who list it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    pub id: MessageId,
    pub entries: Vec<(Mailbox, Entry)>,
    pub copies: Vec<Quarantined>,
}

impl Listed {
    /// Through whom its content is read, and under which id.
    fn holder(&self) -> Option<(Holder<'_>, MessageId)> {
        let entry = self.entries.first();
        let by_mailbox = entry.map(|(mailbox, _)| (Holder::Mailbox(mailbox), self.id));
        by_mailbox.or_else(|| Some((Holder::Quarantine, self.copies.first()?.id)))
    }
}

/// A policy's value; over at `over_at`, 0: never.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Value {
    pub namespace: String,
    pub key: String,
    pub value: Bytes,
    pub over_at: u64,
}

/// A store that can be walked through and filled.
#[async_trait]
pub trait Movable: Store {
    /// Refuses, before a copy, what is listed and a walk would leave out; names it.
    async fn shows_all(&self) -> Result<()> {
        Ok(())
    }

    /// Shows every message once, until all are shown or nobody looks any more.
    async fn walk(&self, show: mpsc::Sender<Listed>) -> Result<()>;

    /// Shows every value, dead ones too.
    async fn walk_values(&self, show: mpsc::Sender<Value>) -> Result<()>;

    /// Whether all who list the message list it here already.
    async fn has(&self, listed: &Listed) -> Result<bool>;

    /// Takes a message in under its old id; again changes nothing.
    async fn admit(&self, moved: Moved) -> Result<()>;
}

/// What was copied, or found equal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Copied {
    pub messages: u64,
    pub entries: u64,
    pub quarantined: u64,
    pub octets: u64,
    pub accounts: u64,
    pub aliases: u64,
    pub domains: u64,
    pub values: u64,
}

/// How far it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    Copying,
    Comparing,
}

/// Copies all and compares; `progress` is told of every message that is done with, out of how many.
pub async fn copy(
    from: &Arc<dyn Movable>,
    to: &Arc<dyn Movable>,
    progress: impl Fn(Step, u64, u64) + Sync,
) -> Result<Copied> {
    from.shows_all().await?;
    prune(from, to).await?;
    // Before the mail: an account that is made begins without any.
    let mut copied = directory(from, to).await?;
    copied.values = values(from, to).await?;
    let total = count(from).await?;
    let done = AtomicU64::new(0);
    let advance = |step, total| {
        let before = done.fetch_add(1, Ordering::Relaxed);
        progress(step, before + 1, total);
    };
    let handed = &advance;
    over_all(from, |listed| async move {
        if !to.has(&listed).await? {
            hand_over(&**from, &**to, listed).await?;
        }
        handed(Step::Copying, total);
        Ok(())
    })
    .await?;
    done.store(0, Ordering::Relaxed);
    let advance = |()| advance(Step::Comparing, total.saturating_mul(2));
    let (here, there) = (sums(from, advance).await?, sums(to, advance).await?);
    equal(&here, &there)?;
    for sum in here.values() {
        copied.octets += sum.octets;
        copied.messages = total;
        match sum.kind {
            Kind::Mailbox => copied.entries += sum.messages,
            Kind::Quarantine => copied.quarantined += sum.messages,
        }
    }
    Ok(copied)
}

/// Does the same with every message of a store, several at once.
async fn over_all<F>(store: &Arc<dyn Movable>, work: impl Fn(Listed) -> F) -> Result<()>
where
    F: Future<Output = Result<()>>,
{
    let (show, shown) = mpsc::channel(AT_ONCE);
    let shown = stream::unfold(
        shown,
        |mut shown| async move { Some((shown.recv().await?, shown)) },
    );
    let worked = shown.map(Ok).try_for_each_concurrent(AT_ONCE, work);
    // If the work fails, the receiver is dropped and the walk ends.
    let (walked, worked) = tokio::join!(store.walk(show), worked);
    worked?;
    walked
}

async fn count(store: &Arc<dyn Movable>) -> Result<u64> {
    let count = AtomicU64::new(0);
    over_all(store, |_| {
        count.fetch_add(1, Ordering::Relaxed);
        std::future::ready(Ok(()))
    })
    .await?;
    Ok(count.into_inner())
}

/// What its holder lists is there, or it is told which is not.
fn named(error: StoreError, (holder, id): (Holder<'_>, MessageId)) -> StoreError {
    match error {
        StoreError::NotFound => StoreError::Engine(format!("{id}: listed by {holder:?} and cannot be read")),
        error => error,
    }
}

async fn hand_over(from: &dyn Movable, to: &dyn Movable, listed: Listed) -> Result<()> {
    let Some((holder, id)) = listed.holder() else {
        return Ok(());
    };
    let unread = |error| named(error, (holder, id));
    let facts = from.facts(holder, id).await.map_err(unread)?;
    let first = from.read(holder, id, 0, CHUNK).await.map_err(unread)?;
    let text = if first.len() < CHUNK {
        Text::Inline(first)
    } else {
        // Chunks of a copy that was cut off are written over.
        let (mut size, mut chunks, mut next) = (0, 0, first);
        while !next.is_empty() {
            size += next.len() as u64;
            to.append(listed.id, chunks, next).await?;
            chunks += 1;
            next = from.read(holder, id, size, CHUNK).await.map_err(unread)?;
        }
        Text::Appended { size, chunks }
    };
    to.admit(Moved {
        id: listed.id,
        content: Content {
            head: Bytes::new(),
            text,
        },
        facts,
        entries: listed.entries,
        copies: listed.copies,
    })
    .await
}

/// Domains, accounts and aliases; what is there is replaced by what is copied.
async fn directory(from: &Arc<dyn Movable>, to: &Arc<dyn Movable>) -> Result<Copied> {
    let mut copied = Copied::default();
    for domain in from.domains().await? {
        if to.domain(&domain.name).await?.as_ref() != Some(&domain) {
            to.remove_domain(&domain.name).await?;
            to.create_domain(domain).await?;
        }
        copied.domains += 1;
    }
    copied.accounts = over_accounts(from, |account| hand_account(to, account)).await?;
    copied.aliases = over_aliases(from, |alias| hand_alias(to, alias)).await?;
    Ok(copied)
}

/// One that is there is not made again: a target may look through the mailbox of an account that is made, and take
/// what an earlier try has copied for the mail of another.
async fn hand_account(to: &Arc<dyn Movable>, account: Account) -> Result<()> {
    let address = account.address.clone();
    let done = match to.account_to_change(&address.to_lowercase()).await? {
        Some(there) => there == account || to.replace_account(&there, account).await?,
        None => to.create_account(account).await? == Created::Yes,
    };
    settled(done, &address)
}

async fn hand_alias(to: &Arc<dyn Movable>, alias: Alias) -> Result<()> {
    let address = alias.address.clone();
    let done = match to.alias_to_change(&address).await? {
        Some(there) => there == alias || to.replace_alias(&there, alias).await?,
        None => to.create_alias(alias).await? == Created::Yes,
    };
    settled(done, &address)
}

fn settled(done: bool, address: &str) -> Result<()> {
    match done {
        true => Ok(()),
        false => Err(StoreError::Engine(format!(
            "{address} in the target is changed by another"
        ))),
    }
}

/// Takes out of the target's directory what an earlier try copied and the source has no more.
async fn prune(from: &Arc<dyn Movable>, to: &Arc<dyn Movable>) -> Result<()> {
    let domains = stream::iter(to.domains().await?).map(Ok);
    domains
        .try_for_each_concurrent(AT_ONCE, |Domain { name, .. }| async move {
            if from.domain(&name).await?.is_none() {
                to.remove_domain(&name).await?;
            }
            Ok(())
        })
        .await?;
    over_accounts(to, |account| async move {
        let key = account.address.to_lowercase();
        if from.account_to_change(&key).await?.is_none() {
            to.remove_account(&key).await?;
        }
        Ok(())
    })
    .await?;
    over_aliases(to, |Alias { address, .. }| async move {
        if from.alias_to_change(&address).await?.is_none() {
            to.remove_alias(&address).await?;
        }
        Ok(())
    })
    .await?;
    Ok(())
}

async fn over_accounts<F>(store: &Arc<dyn Movable>, work: impl Fn(Account) -> F) -> Result<u64>
where
    F: Future<Output = Result<()>>,
{
    let page = |after: Option<String>| async move { store.accounts(after.as_deref(), PAGE).await };
    over_pages(page, |account| account.address.to_lowercase(), work).await
}

async fn over_aliases<F>(store: &Arc<dyn Movable>, work: impl Fn(Alias) -> F) -> Result<u64>
where
    F: Future<Output = Result<()>>,
{
    let page = |after: Option<String>| async move { store.aliases(after.as_deref(), PAGE).await };
    over_pages(page, |alias| alias.address.clone(), work).await
}

/// Does the same with all that is listed by name, several of a page at once; answers how many there were.
async fn over_pages<T, P, F>(
    page: impl Fn(Option<String>) -> P,
    name: impl Fn(&T) -> String,
    work: impl Fn(T) -> F,
) -> Result<u64>
where
    P: Future<Output = Result<Vec<T>>>,
    F: Future<Output = Result<()>>,
{
    let (mut after, mut count) = (None, 0);
    loop {
        let found = page(after).await?;
        let Some(last) = found.last() else {
            return Ok(count);
        };
        after = Some(name(last));
        count += found.len() as u64;
        let found = stream::iter(found).map(Ok);
        found.try_for_each_concurrent(AT_ONCE, &work).await?;
    }
}

/// Copies the policies' values that are not over, and reads each back.
async fn values(from: &Arc<dyn Movable>, to: &Arc<dyn Movable>) -> Result<u64> {
    let (show, mut shown) = mpsc::channel(AT_ONCE);
    let to = &**to;
    // Moved in: where taking fails, showing must not wait for ever.
    let take = async move {
        let mut taken = 0;
        while let Some(value) = shown.recv().await {
            taken += u64::from(hand_value(to, value).await?);
        }
        Ok::<_, StoreError>(taken)
    };
    let (walked, taken) = tokio::join!(from.walk_values(show), take);
    let taken = taken?;
    walked?;
    Ok(taken)
}

/// Answers whether the value was not over.
async fn hand_value(to: &dyn Movable, value: Value) -> Result<bool> {
    let now = unix_millis();
    let Value {
        namespace,
        key,
        value,
        over_at,
    } = value;
    if !super::rules::alive(over_at, now) {
        return Ok(false);
    }
    // A time from which whole seconds lead to the value's very end.
    let ttl = over_at.saturating_sub(now).div_ceil(1000);
    let ttl = u32::try_from(ttl).unwrap_or(u32::MAX);
    let then = match over_at {
        0 => now,
        over_at => over_at.saturating_sub(u64::from(ttl) * 1000),
    };
    let write = KvWrite {
        value: value.clone(),
        ttl,
        now: then,
        quota: u64::MAX,
    };
    to.kv_set(&namespace, &key, write).await?;
    match to.kv_get(&namespace, &key, then).await? {
        Some(kept) if kept == value => Ok(true),
        _ => Err(StoreError::Engine(format!(
            "policy {namespace}: {key} was copied and does not read back"
        ))),
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Kind {
    #[default]
    Mailbox,
    Quarantine,
}

/// What a mailbox, or quarantine, lists: digests are added, so the order is none of theirs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Sum {
    kind: Kind,
    messages: u64,
    octets: u64,
    digests: [u64; 4],
}

impl Sum {
    fn add(&mut self, octets: u64, digest: [u8; 32]) {
        self.messages += 1;
        self.octets += octets;
        for (sum, part) in self.digests.iter_mut().zip(digest.as_chunks().0) {
            *sum = sum.wrapping_add(u64::from_be_bytes(*part));
        }
    }
}

type Sums = BTreeMap<String, Sum>;

async fn sums(store: &Arc<dyn Movable>, done: impl Fn(())) -> Result<Sums> {
    let sums = std::sync::Mutex::new(Sums::new());
    let (all, done) = (&sums, &done);
    over_all(store, |listed| async move {
        let content = digest(&**store, &listed).await?;
        let mut sums = all.lock().unwrap_or_else(PoisonError::into_inner);
        for (mailbox, entry) in &listed.entries {
            let said = format!("{:?}", entry);
            let sum = sums.entry(mailbox.to_string()).or_default();
            sum.add(entry.size, together(&content, &said));
        }
        for copy in &listed.copies {
            let said = format!("{:?}", copy);
            let sum = sums.entry(QUARANTINE.to_owned()).or_default();
            sum.kind = Kind::Quarantine;
            sum.add(copy.size, together(&content, &said));
        }
        done(());
        Ok(())
    })
    .await?;
    Ok(sums.into_inner().unwrap_or_else(PoisonError::into_inner))
}

fn together(content: &Sha256, said: &str) -> [u8; 32] {
    content.clone().chain_update(said).finalize().into()
}

/// Of a message's id, facts and content.
async fn digest(store: &dyn Movable, listed: &Listed) -> Result<Sha256> {
    let mut digest = Sha256::new().chain_update(listed.id.as_bytes());
    let Some((holder, id)) = listed.holder() else {
        return Ok(digest);
    };
    let unread = |error| named(error, (holder, id));
    let facts = store.facts(holder, id).await.map_err(unread)?;
    digest.update((facts.len() as u64).to_be_bytes());
    digest.update(&facts);
    let mut at = 0;
    loop {
        let part = store.read(holder, id, at, CHUNK).await.map_err(unread)?;
        digest.update(&part);
        at += part.len() as u64;
        if part.len() < CHUNK {
            return Ok(digest);
        }
    }
}

fn equal(here: &Sums, there: &Sums) -> Result<()> {
    let names = here.keys().chain(there.keys());
    let differs = |name: &&String| here.get(*name) != there.get(*name);
    let Some(name) = names.into_iter().find(differs) else {
        return Ok(());
    };
    let of = |sums: &Sums| sums.get(name).copied().unwrap_or_default();
    let (here, there) = (of(here), of(there));
    Err(StoreError::Engine(format!(
        "{name} differs: {} messages of {} octets in the source, {} of {} in the target; does somebody write to one \
         of them? Stop all gateways and copy again; where mail was removed from the source since an earlier try, copy \
         into an empty target",
        here.messages, here.octets, there.messages, there.octets
    )))
}
