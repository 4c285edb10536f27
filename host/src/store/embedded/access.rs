//! The store's traits: writes through the committer, reads from the engine.

use super::change::Change;
use super::chunks::{self, Chunk};
use super::committer::{HEAVIEST_REQUEST, Need};
use super::rows::{self, Copy, Listed, Meta, Part, Space, tag};
use super::{EmbeddedStore, Spaces, damaged, engine};
use crate::message::MessageId;
use crate::store::rules;
use crate::store::{
    Account, Alias, Bodies, CHUNK, Created, Delivered, Delivery, Directory, Domain, Holder, Kv, KvWrite,
    Line, Maildrops, Mend, Quarantine, Quarantined, Report, Result, Store, StoreError, Text, Usage,
};
use async_trait::async_trait;
use bytes::Bytes;
use fjall::{Readable, Slice, Snapshot};
use serde::de::DeserializeOwned;
use std::ops::{Bound, RangeBounds};

/// Entries removed by one request, fewer where they are heavy; the rest in further steps, each durable.
const REMOVED_AT_ONCE: usize = 1000;

/// Longer texts are appended before their commit, so that a group stays small.
const LONGEST_INLINE: usize = 2 * 1024 * 1024;

/// Octets of traces that come with a listing, the oldest messages' first: a session holds them for as long as it lasts.
/// Others are looked up when their message is read.
pub(super) const TRACES: usize = 256 * 1024;

/// Lines of a listing that room is made for at once.
const MOST_EXPECTED: u64 = 1 << 20;

/// What is left of a message and no longer is read on the I/O thread that asks, while others are free for the rest: to
/// wake another takes longer than the reading.
const LONGEST_HERE: u64 = 64 * 1024;

impl EmbeddedStore {
    /// A durable write.
    async fn write<T, F>(&self, work: F) -> Result<T>
    where
        F: FnOnce(&mut Change<'_>) -> Result<T> + Send + 'static,
        T: Send + 'static,
    {
        self.queue()?.submit(Need::Synced, 0, work).await
    }

    /// A read that may take long, off the I/O threads, of one moment.
    pub(super) async fn read_with<T, F>(&self, read: F) -> Result<T>
    where
        F: FnOnce(&View) -> Result<T> + Send + 'static,
        T: Send + 'static,
    {
        let spaces = self.spaces.clone();
        self.off_the_io_threads(move || read(&View::new(&spaces))).await
    }

    async fn off_the_io_threads<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let task = tokio::task::spawn_blocking(work);
        task.await
            .map_err(|error| StoreError::Engine(error.to_string()))?
    }

    /// A delivery whose commit is bounded: a long inline text is appended first.
    pub(super) async fn without_long_text(&self, mut delivery: Delivery) -> Result<Delivery> {
        let Text::Inline(text) = &delivery.content.text else {
            return Ok(delivery);
        };
        if text.len() <= LONGEST_INLINE || self.view().is_committed(delivery.id)? {
            return Ok(delivery);
        }
        let (size, mut chunks) = (text.len() as u64, 0);
        for at in (0..text.len()).step_by(CHUNK) {
            let chunk = text.slice(at..text.len().min(at + CHUNK));
            self.append(delivery.id, chunks, chunk).await?;
            chunks += 1;
        }
        delivery.content.text = Text::Appended { size, chunks };
        Ok(delivery)
    }

    pub(super) fn view(&self) -> View {
        View::new(&self.spaces)
    }
}

/// What a delivery brings to its group, the traces of its entries included.
pub(super) fn weight(delivery: &Delivery, body: &[Chunk]) -> Result<usize> {
    let chunks: usize = body.iter().map(|chunk| chunk.value.len()).sum();
    let entries: usize = delivery.entries.iter().map(|entry| entry.trace.len()).sum();
    let copies: usize = delivery.quarantine.iter().map(|copy| copy.trace.len()).sum();
    let weight = chunks + entries + copies + delivery.facts.len();
    if weight > HEAVIEST_REQUEST {
        return Err(StoreError::Engine(format!("a commit of {weight} octets at once")));
    }
    Ok(weight)
}

/// The store at one moment. Without it a read could see half of a group that is being applied.
pub(super) struct View {
    spaces: Spaces,
    snapshot: Snapshot,
}

impl View {
    pub(super) fn new(spaces: &Spaces) -> Self {
        Self {
            snapshot: spaces.db.snapshot(),
            spaces: spaces.clone(),
        }
    }

    pub(super) fn get(&self, space: Space, key: &[u8]) -> Result<Option<Slice>> {
        self.snapshot.get(self.spaces.of(space), key).map_err(engine)
    }

    /// Rows in order of their keys.
    pub(super) fn range(
        &self,
        space: Space,
        range: impl RangeBounds<Vec<u8>>,
    ) -> impl Iterator<Item = Result<(Slice, Slice)>> {
        let rows = self.snapshot.range(self.spaces.of(space), range);
        rows.map(|row| row.into_inner().map_err(engine))
    }

    /// Keys in order.
    pub(super) fn keys(&self, space: Space) -> impl Iterator<Item = Result<Slice>> {
        let rows = self.snapshot.iter(self.spaces.of(space));
        rows.map(|row| row.key().map_err(engine))
    }

    /// A committed message's meta row, by its own id or that of a quarantined copy.
    fn meta(&self, id: MessageId) -> Result<(MessageId, Meta)> {
        if let Some(row) = self.get(Space::Message, &rows::message_key(tag::META, id))? {
            return Ok((id, Meta::from_row(&row)?));
        }
        let body = self.copy(id)?.body;
        let row = self.get(Space::Message, &rows::message_key(tag::META, body))?;
        Ok((body, Meta::from_row(&row.ok_or(StoreError::NotFound)?)?))
    }

    pub(super) fn is_committed(&self, id: MessageId) -> Result<bool> {
        Ok(self
            .get(Space::Message, &rows::message_key(tag::META, id))?
            .is_some())
    }

    fn copy(&self, id: MessageId) -> Result<Copy> {
        let row = self.get(Space::State, &rows::message_key(tag::QUARANTINED, id))?;
        Copy::from_row(id, &row.ok_or(StoreError::NotFound)?)
    }

    fn chunk(&self, id: MessageId, part: Part, seq: u32) -> Result<Option<Bytes>> {
        let value = self.get(Space::Body, &rows::body_key(id, part, seq))?;
        value.map(|value| chunks::decode(&value)).transpose()
    }

    fn part(&self, id: MessageId, part: Part, offset: u64, len: usize) -> Result<Bytes> {
        chunks::span(offset, len, |seq| self.chunk(id, part, seq))
    }

    fn content(&self, (id, meta): (MessageId, &Meta), offset: u64, len: usize) -> Result<Bytes> {
        if offset >= meta.committed {
            return self.whole_part(id, Part::Appended, offset - meta.committed, len, meta.appended);
        }
        let head = self.whole_part(id, Part::Committed, offset, len, meta.committed)?;
        if head.len() == len || meta.appended == 0 {
            return Ok(head);
        }
        let text = self.whole_part(id, Part::Appended, 0, len - head.len(), meta.appended)?;
        Ok([head, text].concat().into())
    }

    /// Of a part that has `size` octets: where a chunk of it is gone, an error rather than less.
    fn whole_part(&self, id: MessageId, part: Part, offset: u64, len: usize, size: u64) -> Result<Bytes> {
        let octets = self.part(id, part, offset, len)?;
        match octets.len() as u64 == size.saturating_sub(offset).min(len as u64) {
            true => Ok(octets),
            false => Err(damaged(&format!("a chunk of {id} is missing"))),
        }
    }

    fn record<T: DeserializeOwned>(&self, tag: u8, name: &str) -> Result<Option<T>> {
        let row = self.get(Space::State, &rows::named_key(tag, name))?;
        row.map(|row| rows::read_json(&row)).transpose()
    }

    fn records<T: DeserializeOwned>(&self, tag: u8, after: Option<&str>, limit: usize) -> Result<Vec<T>> {
        let all = rows::beginning_with(vec![tag]);
        let from = after.map_or(Bound::Included(all.start), |after| {
            Bound::Excluded(rows::named_key(tag, after))
        });
        let behind = self.range(Space::State, (from, Bound::Excluded(all.end)));
        behind.take(limit).map(|row| rows::read_json(&row?.1)).collect()
    }

    fn usage(&self, key: &[u8]) -> Result<Usage> {
        let row = self.get(Space::State, key)?;
        row.map_or(Ok(Usage::default()), |row| rows::read_usage(&row))
    }

    fn lines(&self, mailbox: &str) -> Result<Vec<Line>> {
        // For room alone: a listing is read whatever is said of its length.
        let usage = self
            .usage(&rows::named_key(tag::USAGE, mailbox))
            .unwrap_or_default();
        let mut lines = Vec::with_capacity(usage.messages.min(MOST_EXPECTED) as usize);
        let mut room = TRACES;
        let listing = rows::beginning_with(rows::listing_prefix(mailbox));
        for row in self.range(Space::Entry, listing) {
            let (key, row) = row?;
            let listed = Listed::from_row(&row)?;
            let mut line = listed.line(rows::id_at_end(&key)?);
            if let Some(left) = room.checked_sub(listed.trace.len()) {
                line.trace = Some(Bytes::copy_from_slice(listed.trace));
                room = left;
            }
            lines.push(line);
        }
        Ok(lines)
    }

    fn trace(&self, mailbox: &str, id: MessageId) -> Result<Bytes> {
        let row = self.get(Space::Entry, &rows::entry_key(mailbox, id))?;
        let row = row.ok_or(StoreError::NotFound)?;
        Ok(Bytes::copy_from_slice(Listed::from_row(&row)?.trace))
    }

    fn quarantined(&self, after: Option<MessageId>, limit: usize) -> Result<Vec<Quarantined>> {
        let all = rows::beginning_with(vec![tag::QUARANTINED]);
        let from = after.map_or(Bound::Included(all.start), |after| {
            Bound::Excluded(rows::message_key(tag::QUARANTINED, after))
        });
        let behind = self.range(Space::State, (from, Bound::Excluded(all.end)));
        let copies = behind.take(limit).map(|row| {
            let (key, row) = row?;
            Ok(Copy::from_row(rows::id_at_end(&key)?, &row)?.listed)
        });
        copies.collect()
    }
}

#[async_trait]
impl Bodies for EmbeddedStore {
    async fn append(&self, id: MessageId, seq: u32, chunk: Bytes) -> Result<()> {
        self.free.admit()?;
        rules::chunk_fits(&chunk)?;
        let closed = |_| StoreError::Engine("the store is closed".into());
        let _permit = self.appends.acquire().await.map_err(closed)?;
        let value = chunks::encode(&chunk);
        drop(chunk);
        let weight = value.len();
        let work = move |change: &mut Change<'_>| change.append(id, seq, value);
        self.queue()?.submit(Need::Written, weight, work).await
    }

    async fn read_text(&self, id: MessageId, offset: u64, len: usize) -> Result<Bytes> {
        self.read_with(move |view| view.part(id, Part::Appended, offset, len))
            .await
    }

    async fn discard(&self, id: MessageId) -> Result<()> {
        let work = move |change: &mut Change<'_>| change.discard(id);
        self.queue()?.submit(Need::Written, 0, work).await
    }

    async fn read(&self, _holder: Holder<'_>, id: MessageId, offset: u64, len: usize) -> Result<Bytes> {
        let Ok(one) = self.here.try_acquire() else {
            let read = move |view: &View| {
                let (id, meta) = view.meta(id)?;
                view.content((id, &meta), offset, len)
            };
            return self.read_with(read).await;
        };
        let view = self.view();
        let (id, meta) = view.meta(id)?;
        if meta.size().saturating_sub(offset) <= LONGEST_HERE {
            return view.content((id, &meta), offset, len);
        }
        drop(one);
        self.off_the_io_threads(move || view.content((id, &meta), offset, len))
            .await
    }

    async fn facts(&self, _holder: Holder<'_>, id: MessageId) -> Result<Bytes> {
        Ok(self.view().meta(id)?.1.facts)
    }
}

#[async_trait]
impl Maildrops for EmbeddedStore {
    async fn deliver(&self, delivery: Delivery) -> Result<Vec<Delivered>> {
        self.free.admit()?;
        let delivery = self.without_long_text(delivery).await?;
        let body = chunks::cut(delivery.id, &delivery.content);
        let weight = weight(&delivery, &body)?;
        let work = move |change: &mut Change<'_>| change.deliver(&delivery, body);
        self.queue()?.submit(Need::Synced, weight, work).await
    }

    async fn list(&self, mailbox: &str) -> Result<Vec<Line>> {
        let mailbox = mailbox.to_owned();
        self.read_with(move |view| view.lines(&mailbox)).await
    }

    async fn trace(&self, mailbox: &str, line: &Line) -> Result<Bytes> {
        match &line.trace {
            Some(trace) => Ok(trace.clone()),
            None => self.view().trace(mailbox, line.id),
        }
    }

    async fn remove(&self, mailbox: &str, ids: &[MessageId]) -> Result<()> {
        let mut left = ids;
        while !left.is_empty() {
            let some = left.iter().take(REMOVED_AT_ONCE).copied().collect::<Vec<_>>();
            let mailbox = mailbox.to_owned();
            let passed = self.write(move |change| change.remove(&mailbox, &some)).await?;
            left = left.get(passed..).unwrap_or_default();
        }
        Ok(())
    }

    async fn usage(&self, mailbox: &str) -> Result<Usage> {
        self.view().usage(&rows::named_key(tag::USAGE, mailbox))
    }
}

#[async_trait]
impl Quarantine for EmbeddedStore {
    async fn quarantined(&self, after: Option<MessageId>, limit: usize) -> Result<Vec<Quarantined>> {
        self.read_with(move |view| view.quarantined(after, limit)).await
    }

    async fn quarantined_one(&self, id: MessageId) -> Result<Quarantined> {
        Ok(self.view().copy(id)?.listed)
    }

    async fn quarantine_drop(&self, id: MessageId) -> Result<()> {
        self.write(move |change| change.quarantine_drop(id)).await
    }

    async fn quarantine_usage(&self) -> Result<Usage> {
        self.view().usage(&[tag::QUARANTINE_USAGE])
    }
}

#[async_trait]
impl Directory for EmbeddedStore {
    async fn domain(&self, name: &str) -> Result<Option<Domain>> {
        self.view().record(tag::DOMAIN, name)
    }

    async fn create_domain(&self, domain: Domain) -> Result<Created> {
        self.write(move |change| change.create_domain(&domain)).await
    }

    async fn remove_domain(&self, name: &str) -> Result<bool> {
        let name = name.to_owned();
        self.write(move |change| change.remove_domain(&name)).await
    }

    async fn domains(&self) -> Result<Vec<Domain>> {
        self.read_with(|view| view.records(tag::DOMAIN, None, usize::MAX))
            .await
    }

    async fn account(&self, key: &str) -> Result<Option<Account>> {
        self.view().record(tag::ACCOUNT, key)
    }

    async fn create_account(&self, account: Account) -> Result<Created> {
        self.write(move |change| change.create_account(&account)).await
    }

    async fn replace_account(&self, before: &Account, after: Account) -> Result<bool> {
        let before = before.clone();
        self.write(move |change| change.replace_account(&before, &after))
            .await
    }

    async fn remove_account(&self, key: &str) -> Result<bool> {
        // Most of its mail in steps; what arrives meanwhile goes with the account itself.
        let ids: Vec<_> = self.list(key).await?.iter().map(|entry| entry.id).collect();
        self.remove(key, &ids).await?;
        let key = key.to_owned();
        self.write(move |change| change.remove_account(&key)).await
    }

    async fn accounts(&self, after: Option<&str>, limit: usize) -> Result<Vec<Account>> {
        let after = after.map(str::to_owned);
        self.read_with(move |view| view.records(tag::ACCOUNT, after.as_deref(), limit))
            .await
    }

    async fn alias(&self, key: &str) -> Result<Option<Alias>> {
        self.view().record(tag::ALIAS, key)
    }

    async fn create_alias(&self, alias: Alias) -> Result<Created> {
        self.write(move |change| change.create_alias(&alias)).await
    }

    async fn replace_alias(&self, before: &Alias, after: Alias) -> Result<bool> {
        let before = before.clone();
        self.write(move |change| change.replace_alias(&before, &after))
            .await
    }

    async fn remove_alias(&self, key: &str) -> Result<bool> {
        let key = key.to_owned();
        self.write(move |change| change.remove_alias(&key)).await
    }

    async fn aliases(&self, after: Option<&str>, limit: usize) -> Result<Vec<Alias>> {
        let after = after.map(str::to_owned);
        self.read_with(move |view| view.records(tag::ALIAS, after.as_deref(), limit))
            .await
    }
}

#[async_trait]
impl Kv for EmbeddedStore {
    async fn kv_get(&self, namespace: &str, key: &str, now: u64) -> Result<Option<Bytes>> {
        let Some(row) = self.view().get(Space::State, &rows::kv_key(namespace, key))? else {
            return Ok(None);
        };
        let (over_at, value) = rows::read_kv(&row)?;
        Ok(rules::alive(over_at, now).then(|| Bytes::copy_from_slice(value)))
    }

    async fn kv_set(&self, namespace: &str, key: &str, value: KvWrite) -> Result<()> {
        self.free.admit()?;
        let (namespace, key) = (namespace.to_owned(), key.to_owned());
        self.write(move |change| change.kv_set(&namespace, &key, &value))
            .await
    }

    async fn kv_remove(&self, namespace: &str, key: &str) -> Result<()> {
        let (namespace, key) = (namespace.to_owned(), key.to_owned());
        self.write(move |change| change.kv_remove(&namespace, &key)).await
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
        self.free.admit()?;
        let (namespace, key) = (namespace.to_owned(), key.to_owned());
        let value = Bytes::new();
        let window = KvWrite {
            value,
            ttl,
            now,
            quota,
        };
        self.write(move |change| change.kv_increment(&namespace, &key, by, &window))
            .await
    }

    async fn kv_compare_and_set(
        &self,
        namespace: &str,
        key: &str,
        expected: Option<Bytes>,
        value: KvWrite,
    ) -> Result<bool> {
        self.free.admit()?;
        let (namespace, key) = (namespace.to_owned(), key.to_owned());
        let work = move |change: &mut Change<'_>| {
            change.kv_compare_and_set(&namespace, &key, expected.as_ref(), &value)
        };
        self.write(work).await
    }
}

#[async_trait]
impl Store for EmbeddedStore {
    fn ready(&self) -> Result<()> {
        if let Some(reason) = self.failure.reason() {
            return Err(StoreError::Engine(reason.to_owned()));
        }
        self.free.admit()
    }

    fn in_flight(&self, octets: u64) {
        self.free.set_in_flight(octets);
    }

    async fn check(&self, mend: Mend) -> Result<Report> {
        if mend == Mend::WithoutLoss {
            return Err(StoreError::Engine(
                "what is damaged on this machine's disk is not mended in place: restore a backup".to_owned(),
            ));
        }
        let spaces = self.spaces.clone();
        let checked = tokio::task::spawn_blocking(move || super::check::compare(&spaces)).await;
        checked.map_err(|error| StoreError::Engine(error.to_string()))?
    }

    fn backup(&self, folder: &std::path::Path) -> Result<u64> {
        super::backup(self, folder, |_| {}).map_err(|error| StoreError::Engine(error.to_string()))
    }
}
