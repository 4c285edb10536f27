//! Rows: which keyspace a fact lives in, the key it has there, and how its value is written.
//!
//! Integers are big-endian, so keys sort as numbers do; names in front of something else carry their length, so
//! that no name is the beginning of another. A row that does not read back is damage and an error.

use super::damaged;
use crate::message::MessageId;
use crate::store::{Entry, Line, Mailbox, Quarantined, Result, Usage};
use bytes::{Buf, BufMut, Bytes};
use std::ops::Range;

/// The four keyspaces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Space {
    /// Chunks of bodies, values kept apart from keys.
    Body = 0,
    /// What is known of a message: facts, holders, uncommitted text.
    Message = 1,
    /// Listings.
    Entry = 2,
    /// Usage, quarantine, the directory and the policies' values.
    State = 3,
}

impl Space {
    pub(super) const ALL: [Self; 4] = [Self::Body, Self::Message, Self::Entry, Self::State];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Body => "body",
            Self::Message => "message",
            Self::Entry => "entry",
            Self::State => "state",
        }
    }
}

/// First octets of keys in [`Space::Message`] and [`Space::State`].
pub(super) mod tag {
    pub(crate) const META: u8 = b'M';
    pub(crate) const HOLDER: u8 = b'H';
    pub(crate) const UNCOMMITTED: u8 = b'P';
    pub(crate) const USAGE: u8 = b'U';
    pub(crate) const QUARANTINED: u8 = b'Q';
    pub(crate) const QUARANTINE_USAGE: u8 = b'q';
    pub(crate) const KV: u8 = b'K';
    pub(crate) const KV_EXPIRY: u8 = b'X';
    pub(crate) const KV_USAGE: u8 = b'k';
    pub(crate) const DOMAIN: u8 = b'D';
    pub(crate) const ACCOUNT: u8 = b'A';
    pub(crate) const ALIAS: u8 = b'L';
}

/// The two parts a body is stored in: what came with the commit, and text appended before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    Committed = 0,
    Appended = 1,
}

/// Who keeps a body alive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Holder<'a> {
    Mailbox(&'a str),
    Quarantine(MessageId),
}

pub(super) fn body_key(id: MessageId, part: Part, seq: u32) -> Vec<u8> {
    let mut key = Vec::with_capacity(21);
    key.put_slice(id.as_bytes());
    key.put_u8(part as u8);
    key.put_u32(seq);
    key
}

pub(super) fn message_key(tag: u8, id: MessageId) -> Vec<u8> {
    let mut key = Vec::with_capacity(17);
    key.put_u8(tag);
    key.put_slice(id.as_bytes());
    key
}

pub(super) fn holder_key(id: MessageId, holder: Holder<'_>) -> Vec<u8> {
    let mut key = message_key(tag::HOLDER, id);
    match holder {
        Holder::Mailbox(mailbox) => {
            key.put_u8(0);
            key.put_slice(mailbox.as_bytes());
        }
        Holder::Quarantine(copy) => {
            key.put_u8(1);
            key.put_slice(copy.as_bytes());
        }
    }
    key
}

/// Message and holder of a holder row's key.
pub(super) fn read_holder_key(key: &[u8]) -> Option<(MessageId, Holder<'_>)> {
    let (head, name) = key.split_at_checked(18)?;
    let id = MessageId::from_bytes(head.get(1..17)?.try_into().ok()?);
    let holder = match head.last()? {
        0 => Holder::Mailbox(std::str::from_utf8(name).ok()?),
        _ => Holder::Quarantine(MessageId::from_bytes(name.try_into().ok()?)),
    };
    Some((id, holder))
}

/// The id that ends a key: of listing, quarantine, meta and uncommitted rows.
pub(super) fn id_at_end(key: &[u8]) -> Result<MessageId> {
    let id = key
        .last_chunk::<16>()
        .ok_or_else(|| damaged("a key without id"))?;
    Ok(MessageId::from_bytes(*id))
}

/// The id that begins a body key.
pub(super) fn id_at_start(key: &[u8]) -> Result<MessageId> {
    let id = key
        .first_chunk::<16>()
        .ok_or_else(|| damaged("a key without id"))?;
    Ok(MessageId::from_bytes(*id))
}

/// A name with its length before it.
fn put_name(key: &mut Vec<u8>, name: &str) {
    key.put_u16(u16::try_from(name.len()).unwrap_or(u16::MAX));
    key.put_slice(name.as_bytes());
}

/// What the keys of a mailbox's listing begin with.
pub(super) fn listing_prefix(mailbox: &str) -> Vec<u8> {
    let mut key = Vec::with_capacity(mailbox.len() + 18);
    put_name(&mut key, mailbox);
    key
}

pub(super) fn entry_key(mailbox: &str, id: MessageId) -> Vec<u8> {
    let mut key = listing_prefix(mailbox);
    key.put_slice(id.as_bytes());
    key
}

/// The mailbox of a listing row's key.
pub(super) fn mailbox_of(key: &[u8]) -> Result<&str> {
    let name = key.len().checked_sub(16).and_then(|end| key.get(2..end));
    let name = name.and_then(|name| std::str::from_utf8(name).ok());
    name.ok_or_else(|| damaged("a listing key without mailbox"))
}

pub(super) fn named_key(tag: u8, name: &str) -> Vec<u8> {
    let mut key = Vec::with_capacity(name.len() + 1);
    key.put_u8(tag);
    key.put_slice(name.as_bytes());
    key
}

fn kv_prefix(tag: u8, namespace: &str) -> Vec<u8> {
    let mut prefix = vec![tag];
    put_name(&mut prefix, namespace);
    prefix
}

pub(super) fn kv_key(namespace: &str, key: &str) -> Vec<u8> {
    let mut row = kv_prefix(tag::KV, namespace);
    row.put_slice(key.as_bytes());
    row
}

/// Namespace and key of a policy's value.
pub(super) fn read_kv_key(row: &[u8]) -> Result<(&str, &str)> {
    let bad = || damaged("a kv key");
    let mut rest = row.get(1..).ok_or_else(bad)?;
    let namespace = take_name(&mut rest)?;
    let key = std::str::from_utf8(rest).map_err(|_| bad())?;
    Ok((namespace, key))
}

pub(super) fn kv_expiry_key(namespace: &str, over_at: u64, key: &str) -> Vec<u8> {
    let mut row = kv_prefix(tag::KV_EXPIRY, namespace);
    row.put_u64(over_at);
    row.put_slice(key.as_bytes());
    row
}

/// The expiry rows of values that are over at `now`.
pub(super) fn kv_expired(namespace: &str, now: u64) -> Range<Vec<u8>> {
    kv_expiry_key(namespace, 0, "")..kv_expiry_key(namespace, now.saturating_add(1), "")
}

/// The key that an expiry row speaks of.
pub(super) fn read_kv_expiry<'a>(row: &'a [u8], namespace: &str) -> Option<&'a str> {
    std::str::from_utf8(row.get(namespace.len() + 11..)?).ok()
}

/// All keys that begin with `prefix`, which is not all 255s.
pub(super) fn beginning_with(prefix: Vec<u8>) -> Range<Vec<u8>> {
    let mut end = prefix.clone();
    while end.last() == Some(&u8::MAX) {
        end.pop();
    }
    if let Some(last) = end.last_mut() {
        *last += 1;
    }
    prefix..end
}

/// What is kept beside a committed body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Meta {
    /// Octets of [`Part::Committed`] and [`Part::Appended`] as they are read.
    pub(super) committed: u64,
    pub(super) appended: u64,
    /// Octets of both as they are stored.
    pub(super) stored: u64,
    pub(super) facts: Bytes,
}

impl Meta {
    /// Octets of the content.
    pub(super) fn size(&self) -> u64 {
        self.committed + self.appended
    }

    pub(super) fn to_row(&self) -> Vec<u8> {
        let mut row = Vec::with_capacity(24 + self.facts.len());
        row.put_u64(self.committed);
        row.put_u64(self.appended);
        row.put_u64(self.stored);
        row.put_slice(&self.facts);
        row
    }

    pub(super) fn from_row(mut row: &[u8]) -> Result<Self> {
        let mut number = || row.try_get_u64().map_err(|_| damaged("a message row"));
        let (committed, appended, stored) = (number()?, number()?, number()?);
        Ok(Self {
            committed,
            appended,
            stored,
            facts: Bytes::copy_from_slice(row),
        })
    }
}

/// An uncommitted text: its chunks, and octets as they are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Uncommitted {
    pub(super) chunks: u32,
    pub(super) stored: u64,
}

impl Uncommitted {
    pub(super) fn to_row(self) -> Vec<u8> {
        let mut row = Vec::with_capacity(12);
        row.put_u32(self.chunks);
        row.put_u64(self.stored);
        row
    }

    pub(super) fn from_row(mut row: &[u8]) -> Result<Self> {
        let bad = |_| damaged("an uncommitted text's row");
        Ok(Self {
            chunks: row.try_get_u32().map_err(bad)?,
            stored: row.try_get_u64().map_err(bad)?,
        })
    }
}

pub(super) fn usage_row(usage: Usage) -> Vec<u8> {
    let mut row = Vec::with_capacity(16);
    row.put_u64(usage.bytes);
    row.put_u64(usage.messages);
    row
}

pub(super) fn read_usage(mut row: &[u8]) -> Result<Usage> {
    let mut number = || row.try_get_u64().map_err(|_| damaged("a usage row"));
    Ok(Usage {
        bytes: number()?,
        messages: number()?,
    })
}

pub(super) fn entry_row(entry: &Entry) -> Vec<u8> {
    let uidl = entry.uidl.as_deref().unwrap_or_default();
    let mut row = Vec::with_capacity(18 + uidl.len() + entry.trace.len());
    row.put_u64(entry.size);
    row.put_u64(entry.downgraded_size);
    put_name(&mut row, uidl);
    row.put_slice(&entry.trace);
    row
}

/// A listing row, read where it lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Listed<'a> {
    pub(super) size: u64,
    pub(super) downgraded_size: u64,
    pub(super) trace: &'a [u8],
    uidl: Option<&'a str>,
}

impl<'a> Listed<'a> {
    pub(super) fn from_row(row: &'a [u8]) -> Result<Self> {
        let mut rest = row;
        let bad = |_| damaged("a listing row");
        let size = rest.try_get_u64().map_err(bad)?;
        let downgraded_size = rest.try_get_u64().map_err(bad)?;
        let uidl = take_name(&mut rest)?;
        Ok(Self {
            size,
            downgraded_size,
            trace: rest,
            uidl: (!uidl.is_empty()).then_some(uidl),
        })
    }

    pub(super) fn entry(&self, id: MessageId) -> Entry {
        Entry {
            id,
            size: self.size,
            downgraded_size: self.downgraded_size,
            trace: Bytes::copy_from_slice(self.trace),
            uidl: self.uidl.map(str::to_owned),
        }
    }

    /// Without its trace.
    pub(super) fn line(&self, id: MessageId) -> Line {
        Line {
            id,
            size: self.size,
            downgraded_size: self.downgraded_size,
            trace: None,
            uidl: self.uidl.map(Box::from),
        }
    }
}

fn take_name<'a>(row: &mut &'a [u8]) -> Result<&'a str> {
    let bad = || damaged("a name in a row");
    let len = usize::from(row.try_get_u16().map_err(|_| bad())?);
    let (name, rest) = row.split_at_checked(len).ok_or_else(bad)?;
    *row = rest;
    std::str::from_utf8(name).map_err(|_| bad())
}

/// A quarantined copy and the message whose body it holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Copy {
    pub(super) body: MessageId,
    pub(super) listed: Quarantined,
}

impl Copy {
    pub(super) fn to_row(&self) -> Vec<u8> {
        let listed = &self.listed;
        let mut row = Vec::with_capacity(64 + listed.reason.len() + listed.trace.len());
        row.put_slice(self.body.as_bytes());
        row.put_u64(listed.size);
        row.put_u32(u32::try_from(listed.mailboxes.len()).unwrap_or(u32::MAX));
        for mailbox in &listed.mailboxes {
            put_name(&mut row, mailbox);
        }
        row.put_u32(u32::try_from(listed.reason.len()).unwrap_or(u32::MAX));
        row.put_slice(listed.reason.as_bytes());
        row.put_slice(&listed.trace);
        row
    }

    pub(super) fn from_row(id: MessageId, row: &[u8]) -> Result<Self> {
        let bad = || damaged("a quarantine row");
        let body = id_at_start(row)?;
        let mut rest = row.get(16..).ok_or_else(bad)?;
        let size = rest.try_get_u64().map_err(|_| bad())?;
        let count = rest.try_get_u32().map_err(|_| bad())?;
        let names = (0..count).map(|_| take_name(&mut rest).map(Mailbox::from));
        let mailboxes = names.collect::<Result<Vec<_>>>()?;
        let len = rest.try_get_u32().map_err(|_| bad())? as usize;
        let (reason, trace) = rest.split_at_checked(len).ok_or_else(bad)?;
        let listed = Quarantined {
            id,
            mailboxes,
            reason: std::str::from_utf8(reason).map_err(|_| bad())?.to_owned(),
            trace: Bytes::copy_from_slice(trace),
            size,
        };
        Ok(Self { body, listed })
    }
}

/// A policy's value with the moment at which it is over.
pub(super) fn kv_row(over_at: u64, value: &[u8]) -> Vec<u8> {
    let mut row = Vec::with_capacity(8 + value.len());
    row.put_u64(over_at);
    row.put_slice(value);
    row
}

pub(super) fn read_kv(mut row: &[u8]) -> Result<(u64, &[u8])> {
    let over_at = row.try_get_u64().map_err(|_| damaged("a kv row"))?;
    Ok((over_at, row))
}

pub(super) fn json_row<T: serde::Serialize>(value: &T) -> Result<Vec<u8>> {
    serde_json::to_vec(value).map_err(|error| damaged(&error.to_string()))
}

pub(super) fn read_json<T: serde::de::DeserializeOwned>(row: &[u8]) -> Result<T> {
    serde_json::from_slice(row).map_err(|error| damaged(&error.to_string()))
}
