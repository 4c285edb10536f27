//! Large bodies, and small ones on their way out.
//!
//! A large body is a partition of parts of 128 KiB: the head's at negative places, the text's from 0, each packed
//! for itself. Text is written while it arrives; the head and then the row of sizes follow with the delivery, and
//! a body without sizes does not exist yet. Reads ask one replica, then a quorum and, before a listed message is said
//! to be gone, all.

use super::CassandraStore;
use super::cluster::{Statement, all};
use super::mail::ListedRow;
use super::rows::{self, Body, PART};
use crate::message::{MessageId, part};
use crate::store::{Bodies, CHUNK, Content, Holder, Result, StoreError, Text, rules};
use async_trait::async_trait;
use bytes::{Bytes, BytesMut};

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Parts read by one request: 2 MiB.
const READ_AT_ONCE: i32 = 16;
const PARTS_OF_A_CHUNK: u32 = (CHUNK / PART) as u32;

/// What a large body says of itself: octets of its head and its text, and the message's facts.
#[derive(Debug, Clone)]
pub(super) struct Sizes {
    pub(super) head: u64,
    pub(super) text: u64,
    facts: Bytes,
}

/// A body that can be read from.
#[derive(Debug, Clone)]
pub(super) enum Found {
    Small { content: Bytes, facts: Bytes },
    Large(Arc<Sizes>),
}

impl Found {
    fn large(sizes: Sizes) -> Self {
        Self::Large(Arc::new(sizes))
    }

    /// Octets it takes in memory, about.
    pub(super) fn weight(&self) -> u32 {
        let octets = match self {
            Self::Small { content, facts } => content.len() + facts.len(),
            Self::Large(sizes) => sizes.facts.len(),
        };
        u32::try_from(octets + 128).unwrap_or(u32::MAX)
    }
}

/// Texts that this node is taking in: chunk sizes by place. Nobody else writes or reads them.
#[derive(Debug, Default)]
pub(super) struct Arriving(Mutex<HashMap<MessageId, HashMap<u32, usize>>>);

impl Arriving {
    fn lock(&self) -> MutexGuard<'_, HashMap<MessageId, HashMap<u32, usize>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn forget(&self, id: MessageId) -> bool {
        self.lock().remove(&id).is_some()
    }

    fn size(&self, id: MessageId) -> u64 {
        let all = self.lock();
        let sizes = all.get(&id).into_iter().flat_map(HashMap::values);
        sizes.map(|size| *size as u64).sum()
    }

    /// Whether the text that a delivery names is what arrived.
    pub(super) fn matches(&self, delivery: &crate::store::Delivery) -> Result<()> {
        let chunks = self.lock().get(&delivery.id).map_or(0, HashMap::len);
        rules::appended_matches(delivery, chunks as u32)?;
        match delivery.content.text {
            Text::Appended { size, .. } if size != self.size(delivery.id) => {
                Err(StoreError::Engine(format!(
                    "text of {} is {size} octets by its delivery, but other octets arrived",
                    delivery.id
                )))
            }
            _ => Ok(()),
        }
    }
}

impl CassandraStore {
    /// Writes what of a large body is not written yet, and last the sizes that make it one.
    pub(super) async fn put_body(&self, id: MessageId, content: &Content, facts: &Bytes) -> Result<()> {
        let heads = parts(&content.head);
        let first = -(heads.len() as i32);
        self.put_parts(id, first, heads).await?;
        if let Text::Inline(text) = &content.text {
            self.put_parts(id, 0, parts(text)).await?;
        }
        let (head, text) = (
            content.head.len() as u64,
            content.size() - content.head.len() as u64,
        );
        let values = (
            rows::uuid(id),
            rows::big(head),
            rows::big(text),
            facts,
            rows::written_at(id),
        );
        self.cluster.execute(&self.statements.commit_blob, values).await?;
        Ok(())
    }

    async fn put_parts(&self, id: MessageId, first: i32, parts: Vec<Bytes>) -> Result<()> {
        let places = (first..).zip(parts);
        let puts = places.map(|(place, part)| async move {
            let (codec, kept) = rows::pack(&part);
            let values = (rows::uuid(id), place, codec, kept, rows::written_at(id));
            self.cluster.execute(&self.statements.put_part, values).await
        });
        all(puts).await.map(|_: Vec<_>| ())
    }

    /// Deletes a body that nobody holds, as of this write time.
    pub(super) async fn drop_body(&self, id: MessageId, at: i64) -> Result<()> {
        self.found.invalidate(&id);
        let values = (at, rows::uuid(id));
        self.cluster.execute(&self.statements.drop_blob, values).await?;
        Ok(())
    }

    /// The body of a listed message, found lately or now.
    async fn find(&self, holder: Holder<'_>, id: MessageId) -> Result<(MessageId, Found)> {
        let body = self.body_of(holder, id).await?;
        let found = match self.found.get(&body) {
            Some(found) => found,
            None => self.find_now(holder, body).await?,
        };
        Ok((body, found))
    }

    async fn body_of(&self, holder: Holder<'_>, id: MessageId) -> Result<MessageId> {
        match holder {
            Holder::Mailbox(_) => Ok(id),
            Holder::Quarantine => self.held_body(id).await,
        }
    }

    /// Beside the listing or of its own.
    async fn find_now(&self, holder: Holder<'_>, id: MessageId) -> Result<Found> {
        let found = match holder {
            Holder::Mailbox(mailbox) => {
                let s = &self.statements;
                match self.find_in((&s.small_near, &s.blob_near), mailbox, id).await? {
                    Some(found) => Some(found),
                    None => match self.find_in((&s.small, &s.blob), mailbox, id).await? {
                        Some(found) => Some(found),
                        None => self.find_anywhere(mailbox, id).await?,
                    },
                }
            }
            Holder::Quarantine => match self.find_large(&self.statements.blob, id).await? {
                Some(found) => Some(found),
                None => self.sizes(id).await?.map(Found::large),
            },
        };
        let found = found.ok_or(StoreError::NotFound)?;
        self.found.insert(id, found.clone());
        Ok(found)
    }

    async fn find_in(
        &self,
        (small, large): (&Statement, &Statement),
        mailbox: &str,
        id: MessageId,
    ) -> Result<Option<Found>> {
        let key = (mailbox, rows::epoch(id), rows::uuid(id));
        match small_of(self.cluster.row(small, key).await?)? {
            Some(found) => Ok(Some(found)),
            None => self.find_large(large, id).await,
        }
    }

    pub(super) async fn find_large(&self, statement: &Statement, id: MessageId) -> Result<Option<Found>> {
        let row = self.cluster.row(statement, (rows::uuid(id),)).await?;
        Ok(row.and_then(sizes_of).map(Found::large))
    }

    /// By every replica, the body of what is listed still. A delivery that nobody acknowledged may have reached one alone,
    /// and a listing takes its row to others (read repair), without the body beside it.
    async fn find_anywhere(&self, mailbox: &str, id: MessageId) -> Result<Option<Found>> {
        let (epoch, msg) = (rows::epoch(id), rows::uuid(id));
        let s = &self.statements;
        let listed = self
            .cluster
            .row::<ListedRow>(&s.held, (mailbox, epoch, vec![msg]))
            .await?;
        let Some((_, Some(_), Some(body))) = listed else {
            return Ok(None);
        };
        match Body::read(body) {
            Body::Small => {
                let beside = self.seek(&s.whole_small, (mailbox, epoch, msg)).await?;
                small_of(beside.into_iter().next())
            }
            Body::Own | Body::Shared => Ok(self.sizes(id).await?.map(Found::large)),
        }
    }

    /// By every replica; none before it is a body.
    pub(super) async fn sizes(&self, id: MessageId) -> Result<Option<Sizes>> {
        let found = self.seek(&self.statements.whole_blob, (rows::uuid(id),)).await?;
        Ok(found.into_iter().next().and_then(sizes_of))
    }

    /// Up to `len` octets of a large body from `offset`, across its head and text.
    async fn read_large(&self, id: MessageId, sizes: &Sizes, offset: u64, len: usize) -> Result<Bytes> {
        let whole = sizes.head + sizes.text;
        let end = offset.saturating_add(len as u64).min(whole);
        let mut read = BytesMut::new();
        let mut at = offset;
        while at < end {
            let (section, start, size) = if at < sizes.head {
                let heads = sizes.head.div_ceil(PART as u64) as i32;
                (-heads, 0, sizes.head)
            } else {
                (0, sizes.head, sizes.text)
            };
            let stop = end.min(start + size);
            let piece = self.read_section(id, section, (at - start, stop - start)).await?;
            at += piece.len() as u64;
            read.extend_from_slice(&piece);
        }
        Ok(read.freeze())
    }

    /// Octets of a run of parts that begins at place `section`; at most as many as one request reads.
    async fn read_section(&self, id: MessageId, section: i32, (from, to): (u64, u64)) -> Result<Bytes> {
        let first = (from / PART as u64) as i32;
        let behind = (to.div_ceil(PART as u64) as i32).min(first + READ_AT_ONCE);
        let parts = self.read_parts(id, section + first, section + behind).await?;
        let skip = (from - u64::from(first.unsigned_abs()) * PART as u64) as usize;
        let wanted = ((to - from) as usize).min(parts.len().saturating_sub(skip));
        if wanted == 0 {
            return Err(StoreError::Engine(format!(
                "the body of {id} ends before its size"
            )));
        }
        Ok(parts.slice(skip..skip + wanted))
    }

    async fn read_parts(&self, id: MessageId, first: i32, behind: i32) -> Result<Bytes> {
        let key = (rows::uuid(id), first, behind);
        let expected = (behind - first) as usize;
        let s = &self.statements;
        let mut found = whole_parts(self.cluster.rows(&s.parts_near, key).await?);
        if found.len() < expected {
            found = whole_parts(self.cluster.rows(&s.parts, key).await?);
        }
        if found.len() < expected {
            found = whole_parts(self.seek(&s.parts_anywhere, key).await?);
        }
        if found.len() < expected {
            return Err(StoreError::NotFound);
        }
        let mut octets = BytesMut::with_capacity(found.len() * PART);
        for (codec, kept) in found {
            octets.extend_from_slice(&rows::unpack(codec, kept, PART)?);
        }
        Ok(octets.freeze())
    }
}

/// Parts in order. Of parts that a replica missed it may have the first one's key alone, since the sizes are
/// read with a row (see [`super::statements`]): such a row is not there, and others are asked.
fn whole_parts(rows: Vec<(i32, Option<i8>, Option<Vec<u8>>)>) -> Vec<(i8, Vec<u8>)> {
    let whole = rows
        .into_iter()
        .filter_map(|(_, codec, data)| Some((codec?, data?)));
    whole.collect()
}

type SmallRow = (Option<i8>, Option<i32>, Option<Vec<u8>>, Option<Vec<u8>>);
type SizesRow = (Option<i64>, Option<i64>, Option<Vec<u8>>);

fn small_of(row: Option<SmallRow>) -> Result<Option<Found>> {
    let Some((Some(codec), Some(size), Some(body), Some(facts))) = row else {
        return Ok(None);
    };
    let content = rows::unpack(codec, body, usize::try_from(size).unwrap_or(0))?;
    let facts = facts.into();
    Ok(Some(Found::Small { content, facts }))
}

fn sizes_of((head, text, facts): SizesRow) -> Option<Sizes> {
    Some(Sizes {
        head: rows::size(head?),
        text: rows::size(text?),
        facts: facts?.into(),
    })
}

fn parts(octets: &Bytes) -> Vec<Bytes> {
    let starts = (0..octets.len()).step_by(PART);
    starts
        .map(|at| octets.slice(at..(at + PART).min(octets.len())))
        .collect()
}

#[async_trait]
impl Bodies for CassandraStore {
    async fn append(&self, id: MessageId, seq: u32, chunk: Bytes) -> Result<()> {
        rules::chunk_fits(&chunk)?;
        if self.settled.contains_key(&id) {
            return Ok(());
        }
        let place = seq.saturating_mul(PARTS_OF_A_CHUNK) as i32;
        let size = chunk.len();
        self.arriving.lock().entry(id).or_default().insert(seq, size);
        self.put_parts(id, place, parts(&chunk)).await
    }

    async fn read_text(&self, id: MessageId, offset: u64, len: usize) -> Result<Bytes> {
        let text = self.arriving.size(id);
        let facts = Bytes::new();
        let sizes = Sizes { head: 0, text, facts };
        self.read_large(id, &sizes, offset, len).await
    }

    async fn discard(&self, id: MessageId) -> Result<()> {
        if self.settled.contains_key(&id) || !self.arriving.forget(id) {
            return Ok(());
        }
        self.drop_body(id, rows::above_all(self.clock.now())).await
    }

    async fn read(&self, holder: Holder<'_>, id: MessageId, offset: u64, len: usize) -> Result<Bytes> {
        match self.find(holder, id).await? {
            (_, Found::Small { content, .. }) => Ok(part(&content, offset, len)),
            (body, Found::Large(sizes)) => self.read_large(body, &sizes, offset, len).await,
        }
    }

    /// Of what is there now: who asks for them has no session that began with a listing.
    async fn facts(&self, holder: Holder<'_>, id: MessageId) -> Result<Bytes> {
        let body = self.body_of(holder, id).await?;
        Ok(match self.find_now(holder, body).await? {
            Found::Small { facts, .. } => facts,
            Found::Large(sizes) => sizes.facts.clone(),
        })
    }
}
