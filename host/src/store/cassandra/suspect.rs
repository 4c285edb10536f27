//! What may be wrong, each with how it is looked at again, mended and said.
//!
//! Mail arrives and is deleted while tables are read, so a difference between two of them is a suspicion first. It
//! is a fault if it is still there when all that it depends on is read again.

use super::CassandraStore;
use super::cluster::all;
use super::mail::{QUARANTINE, held_by};
use super::rows::{self, PART};
use super::{directory, kv, names};
use crate::clock::unix_millis;
use crate::message::MessageId;
use crate::store::{Result, rules};
use std::fmt;
use uuid::Uuid;

/// Who lists a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Lister {
    Mailbox(String),
    /// Quarantine, by the copy's id.
    Copy(MessageId),
}

impl Lister {
    /// Who a reference names.
    pub(super) fn of(holder: &str) -> Self {
        let copy = holder
            .strip_prefix(QUARANTINE)
            .and_then(|rest| rest.trim_start().parse().ok());
        copy.map_or_else(|| Self::Mailbox(holder.to_owned()), Self::Copy)
    }

    /// Under which name its epochs stand.
    fn mailbox(&self) -> &str {
        match self {
            Self::Mailbox(mailbox) => mailbox,
            Self::Copy(_) => QUARANTINE,
        }
    }

    /// The same for another message.
    fn with(&self, id: MessageId) -> Self {
        match self {
            Self::Mailbox(mailbox) => Self::Mailbox(mailbox.clone()),
            Self::Copy(_) => Self::Copy(id),
        }
    }

    /// How a reference names it.
    pub(super) fn holder(&self) -> String {
        match self {
            Self::Mailbox(mailbox) => mailbox.clone(),
            Self::Copy(id) => held_by(*id),
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Suspect {
    /// A small body that is not beside the row that lists it.
    NoSmall {
        mailbox: String,
        id: MessageId,
    },
    NoBody {
        lister: Lister,
        body: MessageId,
    },
    NoReference {
        lister: Lister,
        body: MessageId,
    },
    /// Rows of an epoch that is not written down, so that nobody reads them.
    NoEpoch {
        mailbox: String,
        epoch: i32,
    },
    /// A row below the low-water mark; of quarantine's by the copy's id.
    Hidden {
        lister: Lister,
        id: MessageId,
    },
    UnheldSmall {
        mailbox: String,
        id: MessageId,
    },
    /// A body, or a text that never became one, that no listing was seen to name.
    Unheld(MessageId),
    Gaps(MessageId),
    StrayReference {
        body: MessageId,
        holder: String,
    },
    NoName {
        kind: i8,
        key: String,
    },
    /// A name in listings that is no address, or one of the other kind.
    StrayName {
        kind: i8,
        key: String,
    },
    /// A value that is counted with other octets than it has, or not at all.
    Miscounted {
        plugin: String,
        key: String,
    },
    /// What is counted is not there.
    Overcounted {
        plugin: String,
        key: String,
    },
}

impl fmt::Display for Suspect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoSmall { mailbox, id } => write!(f, "{id}: listed by {mailbox} and has no body"),
            Self::NoBody { lister, body } => {
                write!(f, "{body}: listed by {} and has no body", lister.holder())
            }
            Self::NoReference { lister, body } => {
                write!(
                    f,
                    "{body}: listed by {}, which is not its holder",
                    lister.holder()
                )
            }
            Self::NoEpoch { mailbox, epoch } => write!(
                f,
                "{mailbox}: what it has of epoch {epoch} is listed by nobody, for the epoch is not written down"
            ),
            Self::Hidden { lister, id } => write!(
                f,
                "{id}: below the low-water mark of {}, so nobody lists it",
                lister.mailbox()
            ),
            Self::UnheldSmall { mailbox, id } => {
                write!(
                    f,
                    "{id}: a body beside the listing of {mailbox}, which does not list it"
                )
            }
            Self::Unheld(id) => write!(f, "{id}: a body without holder"),
            Self::Gaps(id) => write!(f, "{id}: its body does not have all its parts"),
            Self::StrayReference { body, holder } => {
                write!(f, "{body}: held by {holder}, which does not list it")
            }
            Self::NoName { key, .. } => write!(f, "{key}: an address that is not named in listings"),
            Self::StrayName { key, .. } => write!(f, "{key}: named in listings, and leads nowhere"),
            Self::Miscounted { plugin, key } => {
                write!(f, "policy {plugin}: {key} is not counted with the octets it has")
            }
            Self::Overcounted { plugin, key } => {
                write!(f, "policy {plugin}: {key} is counted and not there")
            }
        }
    }
}

impl CassandraStore {
    /// Those of these suspicions that are so.
    pub(super) async fn confirmed(&self, suspects: Vec<Suspect>) -> Result<Vec<Suspect>> {
        let mut looks = Vec::new();
        for suspect in &suspects {
            looks.push(self.confirms(suspect));
        }
        let confirmed = all(looks).await?;
        let pairs = suspects.into_iter().zip(confirmed);
        Ok(pairs
            .filter_map(|(suspect, is_so)| is_so.then_some(suspect))
            .collect())
    }

    /// Whether it is so now, by every replica.
    pub(super) async fn confirms(&self, suspect: &Suspect) -> Result<bool> {
        let s = &self.statements;
        Ok(match suspect {
            Suspect::NoSmall { mailbox, id } => {
                // Listed before and after the look at its body: bodies go after their rows.
                !self.lies_beside(mailbox, *id).await? && self.lists(mailbox, *id).await?
            }
            Suspect::NoBody { lister, body } => {
                self.sizes(*body).await?.is_none() && self.is_listed(lister, *body).await?
            }
            Suspect::NoReference { lister, body } => {
                let key = (rows::uuid(*body), lister.holder());
                !self.is_there(&s.whole_ref, key).await? && self.is_listed(lister, *body).await?
            }
            Suspect::NoEpoch { mailbox, epoch } => {
                self.low(mailbox, *epoch).await?.is_none() && self.has_rows(mailbox, *epoch).await?
            }
            Suspect::Hidden { lister, id } => {
                let low = self.low(lister.mailbox(), rows::epoch(*id)).await?.flatten();
                low.is_some_and(|low| rows::uuid(*id) < low) && self.is_listed(lister, *id).await?
            }
            Suspect::UnheldSmall { mailbox, id } => {
                !self.lists(mailbox, *id).await? && self.lies_beside(mailbox, *id).await?
            }
            Suspect::Unheld(id) => {
                let key = (rows::uuid(*id),);
                !self.is_there(&s.whole_any_ref, key).await? && self.is_there(&s.whole_blob, key).await?
            }
            Suspect::Gaps(id) => self.has_gaps(*id).await?,
            Suspect::StrayReference { body, holder } => {
                let key = (rows::uuid(*body), holder);
                !self.is_listed(&Lister::of(holder), *body).await? && self.is_there(&s.whole_ref, key).await?
            }
            Suspect::NoName { kind, key } => {
                self.is_address(*kind, key).await? && !self.is_named(*kind, key).await?
            }
            Suspect::StrayName { kind, key } => {
                !self.is_address(*kind, key).await?
                    && self.is_named(*kind, key).await?
                    && !self.is_decided(*kind, key).await?
            }
            Suspect::Miscounted { plugin, key } => match self.value(plugin, key).await? {
                Some((octets, _)) => self.counted(plugin, key).await? != Some(octets),
                None => false,
            },
            Suspect::Overcounted { plugin, key } => {
                self.value(plugin, key).await?.is_none() && self.counted(plugin, key).await?.is_some()
            }
        })
    }

    /// Writes what is missing where the rest says what it was; answers whether it could.
    pub(super) async fn mend(&self, suspect: &Suspect) -> Result<bool> {
        let s = &self.statements;
        match suspect {
            Suspect::NoReference { lister, body } => {
                // Not of the id: a deletion may lie over that.
                let values = (
                    rows::uuid(*body),
                    lister.holder(),
                    rows::above_all(self.clock.now()),
                );
                self.cluster.execute(&s.put_ref, values).await?;
            }
            Suspect::NoEpoch { mailbox, epoch } => {
                self.cluster.execute(&s.put_epoch, (mailbox, *epoch)).await?;
            }
            Suspect::Hidden { lister, id } => return self.bring_up(lister, *id).await,
            Suspect::NoName { kind, key } => {
                // Not of the row: a deletion of an earlier version may lie over that.
                self.put_name((*kind, key), rows::above_all(self.clock.now()))
                    .await?;
            }
            Suspect::StrayName { kind, key } => {
                // In this order: one that is made after a long pause in between keeps its name.
                let settled = self.settled();
                if self.is_decided(*kind, key).await? {
                    return Ok(true);
                }
                self.drop_name((*kind, key), settled).await?;
                return Ok(!self.is_named(*kind, key).await?);
            }
            Suspect::Miscounted { plugin, key } => {
                let Some((octets, over_at)) = self.value(plugin, key).await? else {
                    return Ok(true);
                };
                let ttl = kv::clearing(over_at, unix_millis());
                self.count((plugin, key), (octets, rows::big(over_at)), ttl)
                    .await?;
            }
            Suspect::Overcounted { plugin, key } => {
                self.uncount((plugin, key)).await?;
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// Lowers the mark to a message, so that it is listed, unless there is nothing to read of it or of another that would
    /// be listed with it. It may have been deleted and come back with a node that was away for too long; that nobody
    /// ever saw it cannot be excluded, and is worse.
    async fn bring_up(&self, lister: &Lister, id: MessageId) -> Result<bool> {
        let (mailbox, epoch) = (lister.mailbox(), rows::epoch(id));
        let mark = self.low(mailbox, epoch).await?.flatten();
        for with_it in self.from(lister, id).await? {
            let is_hidden = mark.is_some_and(|mark| rows::uuid(with_it) < mark);
            if is_hidden && !self.is_readable(&lister.with(with_it), with_it).await? {
                return Ok(false);
            }
        }
        let values = (rows::uuid(id), mailbox, epoch);
        self.cluster.execute(&self.statements.put_low, values).await?;
        self.usages.doubt(mailbox);
        // Who deletes just now may have raised it again.
        let low = self.low(mailbox, epoch).await?.flatten();
        Ok(low.is_some_and(|low| low <= rows::uuid(id)))
    }

    /// What lies in its partition from a message on.
    async fn from(&self, lister: &Lister, id: MessageId) -> Result<Vec<MessageId>> {
        let (epoch, msg) = (rows::epoch(id), rows::uuid(id));
        let s = &self.statements;
        let rows: Vec<(Uuid, Option<i64>)> = match lister {
            Lister::Mailbox(mailbox) => self.cluster.rows(&s.sizes, (mailbox, epoch, msg)).await?,
            Lister::Copy(_) => self.cluster.rows(&s.held_weights, (epoch, msg)).await?,
        };
        let whole = rows.into_iter().filter(|(_, size)| size.is_some());
        Ok(whole.map(|(msg, _)| rows::id(msg)).collect())
    }

    /// Whether all of its body is there.
    async fn is_readable(&self, lister: &Lister, id: MessageId) -> Result<bool> {
        let body = match lister {
            Lister::Mailbox(mailbox) if self.lies_beside(mailbox, id).await? => return Ok(true),
            Lister::Mailbox(_) => id,
            Lister::Copy(_) => self.held_body(id).await?,
        };
        Ok(self.sizes(body).await?.is_some() && !self.has_gaps(body).await?)
    }

    pub(super) async fn is_listed(&self, lister: &Lister, body: MessageId) -> Result<bool> {
        match lister {
            Lister::Mailbox(mailbox) => self.lists(mailbox, body).await,
            Lister::Copy(id) => {
                let key = (rows::epoch(*id), rows::uuid(*id));
                self.is_there(&self.statements.whole_held, key).await
            }
        }
    }

    async fn lists(&self, mailbox: &str, id: MessageId) -> Result<bool> {
        let place = (mailbox, rows::epoch(id));
        let ids = [id];
        let absent = self.absent(&self.statements.whole_entries, place, &ids);
        Ok(absent.await?.is_empty())
    }

    async fn lies_beside(&self, mailbox: &str, id: MessageId) -> Result<bool> {
        let place = (mailbox, rows::epoch(id));
        let ids = [id];
        let absent = self.absent(&self.statements.whole_smalls, place, &ids);
        Ok(absent.await?.is_empty())
    }

    async fn is_address(&self, kind: i8, key: &str) -> Result<bool> {
        let found: Vec<directory::Row> = self.seek(&self.statements.whole_address, (key,)).await?;
        Ok(found.first().is_some_and(|(there, ..)| *there == Some(kind)))
    }

    async fn is_named(&self, kind: i8, key: &str) -> Result<bool> {
        let name = (kind, names::shard(key), key);
        self.is_there(&self.statements.whole_name, name).await
    }

    async fn has_rows(&self, mailbox: &str, epoch: i32) -> Result<bool> {
        let s = &self.statements;
        match mailbox {
            QUARANTINE => self.is_there(&s.whole_any_held, (epoch,)).await,
            mailbox => self.is_there(&s.whole_any_entry, (mailbox, epoch)).await,
        }
    }

    /// An epoch's low-water mark, if the epoch is written down and has one.
    pub(super) async fn low(&self, mailbox: &str, epoch: i32) -> Result<Option<Option<Uuid>>> {
        let found: Vec<(Option<Uuid>,)> = self.seek(&self.statements.whole_epoch, (mailbox, epoch)).await?;
        Ok(found.into_iter().next().map(|(low,)| low))
    }

    async fn has_gaps(&self, id: MessageId) -> Result<bool> {
        let key = (rows::uuid(id),);
        let parts: Vec<(Option<i32>,)> = self.seek(&self.statements.whole_parts, key).await?;
        let Some(sizes) = self.sizes(id).await? else {
            return Ok(false);
        };
        let count = |octets: u64| octets.div_ceil(PART as u64) as i32;
        let (first, behind) = (-count(sizes.head), count(sizes.text));
        let there = parts.into_iter().filter_map(|(part,)| part);
        let there = there.filter(|part| (first..behind).contains(part));
        Ok(there.count() != (behind - first) as usize)
    }

    /// The octets that a value of now is to be counted with, and when it is over.
    async fn value(&self, plugin: &str, key: &str) -> Result<Option<(u64, u64)>> {
        let found: Vec<kv::Columns> = self.seek(&self.statements.whole_kv, (plugin, key)).await?;
        let alive = found
            .into_iter()
            .filter_map(kv::whole)
            .map(|(value, _, over_at)| (kv::weight(key, &value), rows::size(over_at)));
        let mut alive = alive.filter(|(_, over_at)| rules::alive(*over_at, unix_millis()));
        Ok(alive.next())
    }

    async fn counted(&self, plugin: &str, key: &str) -> Result<Option<u64>> {
        let at = (plugin, kv::shard(key), key);
        let found: Vec<(i32, i64)> = self.seek(&self.statements.whole_kv_size, at).await?;
        let alive = |over_at| rules::alive(rows::size(over_at), unix_millis());
        let mut counted = found.into_iter().filter(|(_, over_at)| alive(*over_at));
        Ok(counted.next().map(|(octets, _)| rows::size(octets.into())))
    }
}
