//! The store: what it keeps and what each write promises. Engines: [`memory`], [`embedded`], [`cassandra`].
//!
//! One contract suite (`store/contract.rs`) is run by every engine. All writes are idempotent on the
//! message's id and may be retried; a write is durable when it returns unless its doc says otherwise.

use crate::message::MessageId;
use async_trait::async_trait;
use bytes::Bytes;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

pub mod cassandra;
#[cfg(test)]
#[path = "../../tests/support/cassandra.rs"]
mod cluster;
#[cfg(test)]
mod contract;
pub mod copying;
pub mod embedded;
pub mod memory;
mod packing;
pub(crate) mod pages;
mod report;
mod rules;
mod unpacking;

pub use cassandra::CassandraStore;
pub use embedded::EmbeddedStore;
pub use memory::MemoryStore;
pub use report::{Mend, Report, Swept};

/// Octets of every body chunk but the last.
pub const CHUNK: usize = 256 * 1024;

/// Why the store could not do as asked. All of it is our own trouble: 4xx, `[SYS/TEMP]`.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// What was asked for is not there.
    #[error("not found")]
    NotFound,
    /// Free space is under the reserve: reads and deletions go on, new mail does not (452 4.3.1).
    #[error("the disk is nearly full")]
    Full,
    /// A value is not of the kind that was asked for; the asker's own mistake.
    #[error("{0}")]
    Kind(String),
    /// A bound of this store was met (quarantine.max, a kv quota); the text says which.
    #[error("{0} is full")]
    Bound(&'static str),
    /// The engine failed; 451 4.3.0.
    #[error("store: {0}")]
    Engine(String),
}

pub type Result<T> = std::result::Result<T, StoreError>;

/// A mailbox is named by its account's canonical address, lower case.
pub type Mailbox = Arc<str>;

/// How full a mailbox is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Usage {
    pub bytes: u64,
    pub messages: u64,
}

/// The highest usage a mailbox may reach, the new message included. None: no bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Ceiling {
    pub bytes: Option<u64>,
    pub messages: Option<u64>,
}

impl Ceiling {
    /// The lower bound of both, each way.
    #[must_use]
    pub fn lowest(self, other: Self) -> Self {
        fn min(a: Option<u64>, b: Option<u64>) -> Option<u64> {
            match (a, b) {
                (Some(a), Some(b)) => Some(a.min(b)),
                (a, b) => a.or(b),
            }
        }
        Self {
            bytes: min(self.bytes, other.bytes),
            messages: min(self.messages, other.messages),
        }
    }

    /// Whether a mailbox of `usage` may grow by one message of `size`.
    pub fn admits(&self, usage: Usage, size: u64) -> bool {
        self.bytes
            .is_none_or(|most| usage.bytes.saturating_add(size) <= most)
            && self
                .messages
                .is_none_or(|most| usage.messages.saturating_add(1) <= most)
    }
}

/// A message's bytes: `head` (its header section with the empty line, as edited) and then `text`.
#[derive(Debug, Clone)]
pub struct Content {
    pub head: Bytes,
    pub text: Text,
}

/// The bytes behind the header section.
#[derive(Debug, Clone)]
pub enum Text {
    /// Still in memory; written with the commit.
    Inline(Bytes),
    /// Already in the store under the message's id by [`Bodies::append`]: its octets and chunk count.
    Appended { size: u64, chunks: u32 },
}

impl Content {
    /// Octets of head and text.
    pub fn size(&self) -> u64 {
        let text = match &self.text {
            Text::Inline(bytes) => bytes.len() as u64,
            Text::Appended { size, .. } => *size,
        };
        self.head.len() as u64 + text
    }
}

/// One mailbox's share of a delivery.
#[derive(Debug, Clone)]
pub struct NewEntry {
    pub mailbox: Mailbox,
    /// Trace lines for this recipient alone (`Return-Path`, `Delivered-To`, a `Received` with `for`),
    /// put before the shared content at RETR and TOP. At most 64 KiB.
    pub trace: Bytes,
    /// Octets of trace and content as a client with UTF8 sees them.
    pub size: u64,
    /// Octets after the downgrade of RFC 6858, for clients without UTF8; equals `size` where nothing changes.
    pub downgraded_size: u64,
    /// Compared with exact usage in the commit itself.
    pub ceiling: Ceiling,
    /// A UIDL of its own, for imported mail; otherwise the message id is the UIDL.
    pub uidl: Option<String>,
}

/// A copy that goes to quarantine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewQuarantined {
    /// The recipients it was held back from, as routed: release delivers to these mailboxes.
    pub mailboxes: Vec<Mailbox>,
    /// What a person reads.
    pub reason: String,
    /// Trace lines, as in [`NewEntry`].
    pub trace: Bytes,
}

/// What is to happen when some mailbox has no room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Atomicity {
    /// Nothing is delivered unless all entries fit (SMTP's one reply).
    All,
    /// Each entry for itself (LMTP).
    Each,
}

/// One message on its way into mailboxes and quarantine.
#[derive(Debug, Clone)]
pub struct Delivery {
    pub id: MessageId,
    pub content: Content,
    /// Session and envelope facts, opaque to the store, kept with the body.
    pub facts: Bytes,
    pub entries: Vec<NewEntry>,
    pub quarantine: Vec<NewQuarantined>,
    pub atomicity: Atomicity,
}

/// What became of one entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delivered {
    /// Durable in the mailbox.
    Kept,
    /// The ceiling would have been passed: `usage` is what the mailbox held.
    OverQuota { usage: Usage },
    /// It would have fitted, but another entry did not and atomicity is `All`.
    NotTried,
}

/// One mailbox's share of a message that is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    pub id: MessageId,
    pub size: u64,
    pub downgraded_size: u64,
    pub trace: Bytes,
    pub uidl: Option<String>,
}

/// One line of a mailbox's listing: what a session holds of each message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    pub id: MessageId,
    pub size: u64,
    pub downgraded_size: u64,
    /// None: the store reads it when it is asked for, with [`Maildrops::trace`].
    pub trace: Option<Bytes>,
    pub uidl: Option<Box<str>>,
}

impl From<Entry> for Line {
    fn from(entry: Entry) -> Self {
        Self {
            id: entry.id,
            size: entry.size,
            downgraded_size: entry.downgraded_size,
            trace: Some(entry.trace),
            uidl: entry.uidl.map(String::into_boxed_str),
        }
    }
}

/// A quarantined message as listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quarantined {
    pub id: MessageId,
    pub mailboxes: Vec<Mailbox>,
    pub reason: String,
    pub trace: Bytes,
    /// Octets of the content.
    pub size: u64,
}

/// Who holds a committed message: its content is found through a holder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Holder<'a> {
    /// The mailbox that lists it.
    Mailbox(&'a str),
    /// Quarantine, under the copy's id.
    Quarantine,
}

/// A message as one store hands it to another, with all who list it.
#[derive(Debug, Clone)]
pub struct Moved {
    pub id: MessageId,
    pub content: Content,
    pub facts: Bytes,
    pub entries: Vec<(Mailbox, Entry)>,
    pub copies: Vec<Quarantined>,
}

impl Moved {
    /// The same as a delivery that compares no ceiling. Its copies' ids are not those that a delivery would draw.
    pub(crate) fn as_delivery(&self) -> Delivery {
        let entries = self.entries.iter().map(|(mailbox, entry)| NewEntry {
            mailbox: Mailbox::clone(mailbox),
            trace: entry.trace.clone(),
            size: entry.size,
            downgraded_size: entry.downgraded_size,
            ceiling: Ceiling::default(),
            uidl: entry.uidl.clone(),
        });
        let copies = self.copies.iter().map(|copy| NewQuarantined {
            mailboxes: copy.mailboxes.clone(),
            reason: copy.reason.clone(),
            trace: copy.trace.clone(),
        });
        Delivery {
            id: self.id,
            content: self.content.clone(),
            facts: self.facts.clone(),
            entries: entries.collect(),
            quarantine: copies.collect(),
            atomicity: Atomicity::All,
        }
    }
}

/// Message bodies, uncommitted while they arrive, then shared by the entries that list them.
#[async_trait]
pub trait Bodies: Send + Sync {
    /// Adds chunk `seq` (from 0; [`CHUNK`] octets but for the last) to the uncommitted text of `id`.
    /// Visible to [`Bodies::read_text`] when it returns; durable only with [`Maildrops::deliver`].
    async fn append(&self, id: MessageId, seq: u32, chunk: Bytes) -> Result<()>;

    /// Up to `len` octets of the uncommitted text from `offset`; fewer at its end.
    async fn read_text(&self, id: MessageId, offset: u64, len: usize) -> Result<Bytes>;

    /// Removes an uncommitted body. What is not removed so is swept at the next start.
    async fn discard(&self, id: MessageId) -> Result<()>;

    /// Up to `len` octets of a committed message's content (head and text) from `offset`; fewer only at
    /// its end, none behind it. [`StoreError::NotFound`] if nobody holds it any more. An engine need not
    /// find it through one who does not hold it.
    async fn read(&self, holder: Holder<'_>, id: MessageId, offset: u64, len: usize) -> Result<Bytes>;

    /// The facts that were kept with a committed message.
    async fn facts(&self, holder: Holder<'_>, id: MessageId) -> Result<Bytes>;
}

/// Mailboxes as POP3 and delivery see them. The listing is the truth; usage equals its sum.
#[async_trait]
pub trait Maildrops: Send + Sync {
    /// Commits a message to all its mailboxes and to quarantine in one step, durable when it returns:
    /// one outcome for each entry, in order. Without any entry kept or quarantined the body is removed.
    /// Delivering the same id again to a mailbox that has it changes nothing and answers `Kept`.
    async fn deliver(&self, delivery: Delivery) -> Result<Vec<Delivered>>;

    /// A line for each entry, oldest id first.
    async fn list(&self, mailbox: &str) -> Result<Vec<Line>>;

    /// The trace lines of an entry that was listed; [`StoreError::NotFound`] where they did not come with its line and
    /// it has been removed.
    async fn trace(&self, _mailbox: &str, line: &Line) -> Result<Bytes> {
        line.trace.clone().ok_or(StoreError::NotFound)
    }

    /// Removes these entries; durable when it returns. Unknown ids are passed over. The body goes with
    /// the last entry or quarantine copy that holds it.
    async fn remove(&self, mailbox: &str, ids: &[MessageId]) -> Result<()>;

    /// Exact usage.
    async fn usage(&self, mailbox: &str) -> Result<Usage>;
}

/// Mail that a policy held back. Counts against no quota.
#[async_trait]
pub trait Quarantine: Send + Sync {
    /// Oldest first, those after `after`, at most `limit`.
    async fn quarantined(&self, after: Option<MessageId>, limit: usize) -> Result<Vec<Quarantined>>;

    /// One of them.
    async fn quarantined_one(&self, id: MessageId) -> Result<Quarantined>;

    /// Drops one for ever; durable when it returns.
    async fn quarantine_drop(&self, id: MessageId) -> Result<()>;

    /// Copies held now, and the octets of all that is kept for them: content, trace, reason, recipients and
    /// facts. This is what `quarantine.max` bounds.
    async fn quarantine_usage(&self) -> Result<Usage>;

    /// Drops some of what was quarantined before `moment` (milliseconds since 1970) and answers what was dropped;
    /// nothing when there is no more.
    async fn quarantine_expire(&self, moment: u64) -> Result<Vec<Quarantined>> {
        loop {
            let page = self.quarantined(None, 64).await?;
            let mut old = page
                .into_iter()
                .filter(|copy| copy.id.unix_millis() < moment)
                .peekable();
            if old.peek().is_none() {
                return Ok(Vec::new());
            }
            let mut expired = Vec::new();
            for copy in old {
                match self.quarantine_drop(copy.id).await {
                    Ok(()) => expired.push(copy),
                    // Somebody else was quicker.
                    Err(StoreError::NotFound) => {}
                    // What was dropped is to be told of; the next call meets the error again.
                    Err(_) if !expired.is_empty() => return Ok(expired),
                    Err(error) => return Err(error),
                }
            }
            if !expired.is_empty() {
                return Ok(expired);
            }
        }
    }
}

/// A local domain.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Domain {
    /// Lower case, U-labels.
    pub name: String,
    /// Addresses of this domain are looked up in that one.
    pub alias_of: Option<String>,
}

/// An account and its mailbox.
#[derive(Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Account {
    /// Canonical address as it was written; its lower-case form is the mailbox's name and the key.
    pub address: String,
    /// Password hash (PHC or crypt spelling), None: no login.
    pub password: Option<String>,
    /// SCRAM-SHA-256 keys as `iterations:salt:stored:server`, base64.
    pub scram: Option<String>,
    pub quota_bytes: Option<u64>,
    pub quota_messages: Option<u64>,
}

impl std::fmt::Debug for Account {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Account({})", self.address)
    }
}

/// An alias, a group (several targets) or, as `@domain`, a catch-all.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Alias {
    /// Key: lower-case `local@domain` or `@domain`.
    pub address: String,
    pub targets: Vec<String>,
}

/// Whether a create-if-absent write was applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Created {
    Yes,
    Exists,
}

/// What an address is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Addressed {
    Account(Account),
    Alias(Alias),
}

/// Domains, accounts and aliases. Keys are lower case; an address is an account or an alias, never both.
#[async_trait]
pub trait Directory: Send + Sync {
    async fn domain(&self, name: &str) -> Result<Option<Domain>>;
    async fn create_domain(&self, domain: Domain) -> Result<Created>;
    /// Answers whether it was there.
    async fn remove_domain(&self, name: &str) -> Result<bool>;
    async fn domains(&self) -> Result<Vec<Domain>>;

    /// Where gateways share a store, what another changed or removed may be seen a little later.
    async fn account(&self, key: &str) -> Result<Option<Account>>;
    /// The account as its last change left it, at whatever price: for those who change it.
    async fn account_to_change(&self, key: &str) -> Result<Option<Account>> {
        self.account(key).await
    }
    /// The account begins with an empty mailbox: mail that was under way when an earlier account of this name was
    /// removed may have come to it since, and is nobody else's to read.
    async fn create_account(&self, account: Account) -> Result<Created>;
    /// Replaces an account that is still as `before`; answers whether it was there and was.
    async fn replace_account(&self, before: &Account, after: Account) -> Result<bool>;
    /// Removes the account and all mail in its mailbox, also what is left there of an account that is gone;
    /// answers whether the account was there.
    async fn remove_account(&self, key: &str) -> Result<bool>;
    /// By key, those after `after`, at most `limit`.
    async fn accounts(&self, after: Option<&str>, limit: usize) -> Result<Vec<Account>>;

    async fn alias(&self, key: &str) -> Result<Option<Alias>>;
    /// The alias as its last change left it, at whatever price: for those who change it.
    async fn alias_to_change(&self, key: &str) -> Result<Option<Alias>> {
        self.alias(key).await
    }
    /// Either; one question where both are rows of one table.
    async fn addressed(&self, key: &str) -> Result<Option<Addressed>> {
        if let Some(account) = self.account(key).await? {
            return Ok(Some(Addressed::Account(account)));
        }
        Ok(self.alias(key).await?.map(Addressed::Alias))
    }
    /// `Exists` where an account or an alias has the address.
    async fn create_alias(&self, alias: Alias) -> Result<Created>;
    /// Replaces an alias that is still as `before`; answers whether it was there and was.
    async fn replace_alias(&self, before: &Alias, after: Alias) -> Result<bool>;
    async fn remove_alias(&self, key: &str) -> Result<bool>;
    async fn aliases(&self, after: Option<&str>, limit: usize) -> Result<Vec<Alias>>;
}

/// A policy's small store. `namespace` keeps policies apart; a value whose time is over is as if absent.
/// `now` is the time of the call in milliseconds since 1970; `ttl` is in seconds, 0 for ever; `quota` bounds
/// the octets of keys and values in the namespace ([`StoreError::Bound`] beyond it).
#[async_trait]
pub trait Kv: Send + Sync {
    async fn kv_get(&self, namespace: &str, key: &str, now: u64) -> Result<Option<Bytes>>;
    async fn kv_set(&self, namespace: &str, key: &str, value: KvWrite) -> Result<()>;
    async fn kv_remove(&self, namespace: &str, key: &str) -> Result<()>;
    /// Adds and answers the new value; `ttl` is only set when the key was absent. A value that is no
    /// 8-octet counter is [`StoreError::Kind`].
    async fn kv_increment(
        &self,
        namespace: &str,
        key: &str,
        by: i64,
        ttl: u32,
        now: u64,
        quota: u64,
    ) -> Result<i64>;
    /// Sets only if the value still is `expected`; answers whether it did.
    async fn kv_compare_and_set(
        &self,
        namespace: &str,
        key: &str,
        expected: Option<Bytes>,
        value: KvWrite,
    ) -> Result<bool>;
}

/// A value on its way into [`Kv`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KvWrite {
    pub value: Bytes,
    pub ttl: u32,
    pub now: u64,
    pub quota: u64,
}

/// Whether a lease is the asker's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Leased {
    Held,
    /// Another has it; or, where it was to be renewed, its time was over.
    Refused,
}

/// Maildrops that are one session's alone among all gateways, for a while. Within one process they are without it.
#[async_trait]
pub trait Leases: Send + Sync + std::fmt::Debug {
    /// Takes a maildrop that nobody has; it is free again after `lasts` (whole seconds) by itself.
    async fn take_lease(&self, mailbox: &str, holder: MessageId, lasts: Duration) -> Result<Leased>;
    /// Has it for `lasts` from now on, if `holder` has it still.
    async fn renew_lease(&self, mailbox: &str, holder: MessageId, lasts: Duration) -> Result<Leased>;
    /// Gives it back, if `holder` has it still.
    async fn end_lease(&self, mailbox: &str, holder: MessageId) -> Result<()>;
}

/// Everything at once: what a gateway holds.
#[async_trait]
pub trait Store: Bodies + Maildrops + Quarantine + Directory + Kv + std::fmt::Debug {
    /// Whether new mail is taken now; the error is what is told to clients and to `/readyz`.
    fn ready(&self) -> Result<()>;

    /// What an operator should know beside it, a line each.
    fn remarks(&self) -> Vec<String> {
        Vec::new()
    }

    /// Tells how many octets of messages are under way: the store keeps 4 times as many free.
    fn in_flight(&self, _octets: u64) {}

    /// Leases, where several processes have the store at once.
    fn leases(self: Arc<Self>) -> Option<Arc<dyn Leases>> {
        None
    }

    /// Compares what the store says in several places; deliveries go on. Reads every key.
    async fn check(&self, mend: Mend) -> Result<Report>;

    /// Removes what nobody can reach any more, if this engine leaves such things behind.
    async fn sweep(&self) -> Result<Swept> {
        Ok(Swept::default())
    }

    /// Whether a sweep is due and this process is to do it. Once answered yes, nobody is asked to for a day.
    async fn sweep_is_due(&self) -> Result<bool> {
        Ok(false)
    }

    /// Writes all there is at this moment to an archive in `folder`; answers its octets. Deliveries go on.
    /// Blocks.
    fn backup(&self, folder: &Path) -> Result<u64>;
}
