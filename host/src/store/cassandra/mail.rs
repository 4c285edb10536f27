//! Deliveries, listings and removals.
//!
//! The body is written before the row that lists it, and the row is deleted before the body: only bodies that
//! nobody lists are possible, never a listed message without one. A small message for one mailbox is one mutation
//! with its row. After a write whose answer did not come nothing is taken back: it may surface.

use super::CassandraStore;
use super::cluster::{AT_ONCE, all};
use super::rows::{self, Body};
use super::usage::{End, Reading, Share};
use crate::clock::unix_millis;
use crate::message::MessageId;
use crate::store::rules::{self, Fate};
use crate::store::{
    Atomicity, Ceiling, Delivered, Delivery, Entry, Line, Mailbox, Maildrops, NewEntry, NewQuarantined,
    Result, StoreError, Text, Usage,
};
use async_trait::async_trait;
use bytes::Bytes;
use scylla::value::MaybeUnset;
use std::collections::{BTreeMap, HashMap};
use tokio::time::{Instant, timeout_at};
use uuid::Uuid;

/// Rows deleted by one request.
const REMOVED_AT_ONCE: usize = 100;

/// Quarantine's epochs and usage stand under a name that no mailbox has: it is no address.
pub(super) const QUARANTINE: &str = "quarantine";

/// A row of a listing behind its partition: id, sizes, trace, uidl, where the body is.
pub(super) type EntryRow = (
    Uuid,
    Option<i64>,
    Option<i64>,
    Option<Vec<u8>>,
    Option<String>,
    Option<i8>,
);

/// The same of one that is asked for: id, size, where the body is.
pub(super) type ListedRow = (Uuid, Option<i64>, Option<i8>);

/// None of half a row.
pub(super) fn read_entry((msg, size, size7, trace, uidl, body): EntryRow) -> Option<(Entry, Body)> {
    let (size, trace, body) = (size?, trace?, body?);
    let entry = Entry {
        id: rows::id(msg),
        size: rows::size(size),
        downgraded_size: rows::size(size7.unwrap_or(size)),
        trace: trace.into(),
        uidl,
    };
    Some((entry, Body::read(body)))
}

/// Which of the times that a delivery is named.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    First,
    /// Something of it was written before, and may have been removed since.
    Later,
}

/// What of a delivery is to be written.
pub(super) struct Plan<'a> {
    pub(super) step: Step,
    pub(super) entries: Vec<&'a NewEntry>,
    pub(super) copies: Vec<(MessageId, &'a NewQuarantined)>,
}

impl Plan<'_> {
    fn holders(&self) -> usize {
        self.entries.len() + self.copies.len()
    }
}

#[async_trait]
impl Maildrops for CassandraStore {
    async fn deliver(&self, delivery: Delivery) -> Result<Vec<Delivered>> {
        self.clock.right()?;
        self.young_enough(&delivery)?;
        self.has_come(&delivery)?;
        // One after the other they are written for very many, and a row that finds no time left would be refused while
        // others are there: sent again, these come twice. Each has its own time then.
        let fates = match delivery.entries.len() + delivery.quarantine.len() {
            0..=AT_ONCE => self.cluster.in_time(self.keep(&delivery)).await?,
            _ => self.keep(&delivery).await?,
        };
        Ok(fates.into_iter().map(Fate::outcome).collect())
    }

    async fn list(&self, mailbox: &str) -> Result<Vec<Line>> {
        let begun = Instant::now();
        let epochs = self.epochs(mailbox).await?;
        let mut pages = Vec::new();
        for (epoch, low) in &epochs {
            let key = (mailbox, *epoch, *low);
            pages.push(self.cluster.rows::<EntryRow>(&self.statements.entries, key));
        }
        let pages = all(pages).await?;
        for ((epoch, _), _) in epochs.iter().zip(&pages).filter(|(_, page)| page.is_empty()) {
            self.leave_behind(mailbox, *epoch).await;
        }
        let whole = pages.into_iter().flatten().filter_map(read_entry);
        let mut lines: Vec<Line> = whole.map(|(entry, _)| entry.into()).collect();
        lines.sort_by_key(|line| line.id);
        // A listing that is read anyway makes usage exact.
        let rows = lines.iter().map(|line| (line.id, line.size)).collect();
        self.usages.learn(mailbox, Reading { begun, rows });
        Ok(lines)
    }

    async fn remove(&self, mailbox: &str, ids: &[MessageId]) -> Result<()> {
        // The time that is looked at is the deletions' own: one that is read later may be that of a clock set back, which
        // deletes nothing.
        let at = rows::above_all(self.clock.moment()?);
        let mut epochs: BTreeMap<i32, Vec<Uuid>> = BTreeMap::new();
        for id in ids {
            epochs.entry(rows::epoch(*id)).or_default().push(rows::uuid(*id));
        }
        for (epoch, ids) in epochs {
            for ids in ids.chunks(REMOVED_AT_ONCE) {
                let removed = self.remove_rows((mailbox, epoch), ids, at).await;
                if removed.is_err() {
                    self.usages.doubt(mailbox);
                }
                removed?;
            }
            self.advance_low(mailbox, epoch).await;
        }
        Ok(())
    }

    async fn usage(&self, mailbox: &str) -> Result<Usage> {
        self.current_usage(mailbox, None).await
    }
}

impl CassandraStore {
    /// `low` may have passed an old id, so its row would be listed by nobody.
    fn young_enough(&self, delivery: &Delivery) -> Result<()> {
        let age = self.clock.now().saturating_sub(delivery.id.unix_millis());
        match delivery.entries.is_empty() || u128::from(age) <= rows::OLDEST_ENTRY.as_millis() {
            true => Ok(()),
            false => Err(StoreError::Engine(format!(
                "{} is too old to be listed",
                delivery.id
            ))),
        }
    }

    /// Whether all of its text is there: as it came, or as it was named before.
    fn has_come(&self, delivery: &Delivery) -> Result<()> {
        match self.settled.contains_key(&delivery.id) {
            true => Ok(()),
            false => self.arriving.matches(delivery),
        }
    }

    /// Who gets it, and what became of that.
    async fn keep(&self, delivery: &Delivery) -> Result<Vec<Fate>> {
        let quarantine: Mailbox = QUARANTINE.into();
        self.refresh(delivery).await?;
        let (fates, plan) = self.plan(delivery, &quarantine)?;
        if plan.holders() == 0 {
            if !self.settled.contains_key(&delivery.id) && self.arriving.forget(delivery.id) {
                let at = rows::above_all(self.clock.now());
                self.drop_body(delivery.id, at).await?;
            }
            return Ok(fates);
        }
        self.settled.insert(delivery.id, ());
        self.arriving.forget(delivery.id);
        let written = self.write(delivery, &plan).await;
        let end = match written {
            Ok(()) => End::Answered,
            Err(_) => End::GivenUp,
        };
        self.usages.done(shares(delivery, &plan, &quarantine), end);
        written.map(|()| fates)
    }

    /// Reads, where it is due, the usage of every mailbox whose ceiling is to be compared.
    async fn refresh(&self, delivery: &Delivery) -> Result<()> {
        let bounded = delivery
            .entries
            .iter()
            .filter(|entry| entry.ceiling != Ceiling::default());
        let mut due: Vec<_> = bounded
            .map(|entry| self.current_usage(&entry.mailbox, Some(entry.ceiling)))
            .collect();
        if !delivery.quarantine.is_empty() {
            due.push(self.current_usage(QUARANTINE, Some(self.held_ceiling())));
        }
        all(due).await.map(|_| ())
    }

    pub(super) fn held_ceiling(&self) -> Ceiling {
        Ceiling {
            bytes: Some(self.quarantine_max),
            messages: None,
        }
    }

    /// Decides and counts in one step.
    fn plan<'a>(&self, delivery: &'a Delivery, quarantine: &Mailbox) -> Result<(Vec<Fate>, Plan<'a>)> {
        let id = delivery.id;
        let mut decision = self.usages.decide();
        let fates = rules::decide(&delivery.entries, delivery.atomicity, |mailbox| {
            Ok(decision.standing(mailbox, id))
        })?;
        let step = match self.settled.contains_key(&id) {
            true => Step::Later,
            false => Step::First,
        };
        let nothing = Plan {
            step,
            entries: Vec::new(),
            copies: Vec::new(),
        };
        if delivery.atomicity == Atomicity::All && fates.iter().any(|fate| matches!(fate, Fate::Over(_))) {
            return Ok((fates, nothing));
        }
        let numbered = delivery.quarantine.iter().enumerate();
        let copies = numbered.map(|(nth, copy)| (rules::quarantine_id(id, nth), copy));
        let copies: Vec<_> = copies
            .filter(|(id, _)| !decision.standing(QUARANTINE, *id).listed)
            .collect();
        let wanted: u64 = copies.iter().map(|(id, copy)| weight(*id, copy, delivery)).sum();
        let held = decision.standing(QUARANTINE, id).usage.bytes;
        if !copies.is_empty() && held.saturating_add(wanted) > self.quarantine_max {
            return Err(StoreError::Bound(rules::QUARANTINE_BOUND));
        }
        let decided = delivery.entries.iter().zip(&fates);
        let entries = decided
            .filter(|(_, fate)| **fate == Fate::Add)
            .map(|(entry, _)| entry);
        let plan = Plan {
            step,
            entries: entries.collect(),
            copies,
        };
        for share in shares(delivery, &plan, quarantine) {
            decision.count(share);
        }
        Ok((fates, plan))
    }

    /// Payload, then references, then rows; all acknowledged when it returns.
    pub(super) async fn write(&self, delivery: &Delivery, plan: &Plan<'_>) -> Result<()> {
        if let ([entry], [], Text::Inline(text)) = (&*plan.entries, &*plan.copies, &delivery.content.text)
            && delivery.content.head.len() + text.len() <= rows::SMALL
            && delivery.entries.len() == 1
        {
            let content = [&delivery.content.head[..], text].concat();
            return self.put_small(delivery, entry, &content).await;
        }
        self.put_body(delivery.id, &delivery.content, &delivery.facts)
            .await?;
        let shared = delivery.entries.len() + delivery.quarantine.len() > 1 || !plan.copies.is_empty();
        let body = if shared { Body::Shared } else { Body::Own };
        if shared {
            let mailboxes = plan.entries.iter().map(|entry| entry.mailbox.to_string());
            let holders = mailboxes.chain(plan.copies.iter().map(|(id, _)| held_by(*id)));
            self.put_refs(delivery.id, holders.collect()).await?;
            if plan.step == Step::Later {
                self.is_left(delivery.id).await?;
            }
        }
        let mut entries = Vec::new();
        for entry in &plan.entries {
            entries.push(self.put_entry(delivery.id, entry, body));
        }
        all(entries).await?;
        let mut held = Vec::new();
        for (id, copy) in &plan.copies {
            held.push(self.put_held(*id, copy, delivery));
        }
        all(held).await.map(|_: Vec<()>| ())
    }

    /// A body that others held may have gone with the last of them, and what is written of it again lies under that.
    async fn is_left(&self, body: MessageId) -> Result<()> {
        match self.find_large(&self.statements.blob, body).await? {
            Some(_) => Ok(()),
            None => Err(StoreError::Engine(format!("the body of {body} is gone"))),
        }
    }

    async fn put_small(&self, delivery: &Delivery, entry: &NewEntry, content: &[u8]) -> Result<()> {
        let (id, codec_and_body) = (delivery.id, rows::pack(content));
        let (codec, body) = codec_and_body;
        let (mailbox, epoch, msg, at) = (
            &*entry.mailbox,
            rows::epoch(id),
            rows::uuid(id),
            rows::written_at(id),
        );
        let small = (
            mailbox,
            epoch,
            msg,
            codec,
            content.len() as i32,
            body,
            &delivery.facts,
            at,
        );
        let put = async {
            let values = (entry_values(id, entry, Body::Small), small);
            self.cluster.batch(&self.statements.put_small, values).await
        };
        tokio::try_join!(put, self.put_epoch(&entry.mailbox, epoch)).map(|_| ())
    }

    async fn put_entry(&self, id: MessageId, entry: &NewEntry, body: Body) -> Result<()> {
        let put = self
            .cluster
            .execute(&self.statements.put_entry, entry_values(id, entry, body));
        tokio::try_join!(put, self.put_epoch(&entry.mailbox, rows::epoch(id))).map(|_| ())
    }

    /// Says once that a mailbox has rows of this epoch.
    pub(super) async fn put_epoch(&self, mailbox: &Mailbox, epoch: i32) -> Result<()> {
        let key = (Mailbox::clone(mailbox), epoch);
        if self.epochs_said.get(&key).is_some() {
            return Ok(());
        }
        let values = (&**mailbox, epoch);
        self.cluster.execute(&self.statements.put_epoch, values).await?;
        self.epochs_said.insert(key, ());
        Ok(())
    }

    async fn put_refs(&self, body: MessageId, holders: Vec<String>) -> Result<()> {
        let refs = holders.into_iter().map(|holder| async move {
            let values = (rows::uuid(body), holder, rows::written_at(body));
            self.cluster.execute(&self.statements.put_ref, values).await
        });
        all(refs).await.map(|_: Vec<_>| ())
    }

    /// The epochs that a mailbox may have rows of, oldest first, and the lowest id of each that may be listed. One
    /// whose mark is at its end is over: nothing of it is read again.
    pub(super) async fn epochs(&self, mailbox: &str) -> Result<Vec<(i32, Uuid)>> {
        type Row = (i32, Option<Uuid>);
        let found: Vec<Row> = self.cluster.rows(&self.statements.epochs, (mailbox,)).await?;
        let begun = found
            .into_iter()
            .map(|(epoch, low)| (epoch, low.unwrap_or(Uuid::nil())));
        Ok(begun
            .filter(|(epoch, low)| *low < rows::lowest_id(rows::end_of(*epoch)))
            .collect())
    }

    /// What is known, or is read by one for all who ask.
    pub(super) async fn current_usage(&self, mailbox: &str, ceiling: Option<Ceiling>) -> Result<Usage> {
        if let Some(usage) = self.usages.fresh(mailbox, ceiling) {
            return Ok(usage);
        }
        let turn = timeout_at(self.cluster.end(), self.reading.take(mailbox)).await;
        let _turn = turn.map_err(|_| StoreError::Engine(format!("the usage of {mailbox} is being read")))?;
        match self.usages.fresh(mailbox, ceiling) {
            Some(usage) => Ok(usage),
            None => self.read_usage(mailbox).await,
        }
    }

    async fn read_usage(&self, mailbox: &str) -> Result<Usage> {
        let begun = Instant::now();
        let mut found = Vec::new();
        for (epoch, low) in self.epochs(mailbox).await? {
            type Row = (Uuid, Option<i64>);
            let page: Vec<Row> = match mailbox {
                QUARANTINE => {
                    self.cluster
                        .rows(&self.statements.held_weights, (epoch, low))
                        .await?
                }
                mailbox => {
                    self.cluster
                        .rows(&self.statements.sizes, (mailbox, epoch, low))
                        .await?
                }
            };
            if page.is_empty() {
                self.leave_behind(mailbox, epoch).await;
            }
            found.extend(
                page.into_iter()
                    .filter_map(|(msg, size)| Some((rows::id(msg), rows::size(size?)))),
            );
        }
        Ok(self.usages.learn(mailbox, Reading { begun, rows: found }))
    }

    async fn remove_rows(&self, (mailbox, epoch): (&str, i32), ids: &[Uuid], at: i64) -> Result<()> {
        let key = (mailbox, epoch, ids);
        let held: Vec<ListedRow> = self.cluster.rows(&self.statements.held, key).await?;
        let held = held
            .into_iter()
            .filter_map(|(msg, size, body)| Some((msg, size?, body?)));
        let held: Vec<_> = held.collect();
        if held.is_empty() {
            return Ok(());
        }
        let listed: Vec<Uuid> = held.iter().map(|(msg, ..)| *msg).collect();
        let row = (at, mailbox, epoch, &listed);
        self.cluster
            .batch(&self.statements.remove_entries, (row, row))
            .await?;
        let removed: Vec<_> = held
            .iter()
            .map(|(msg, size, _)| (rows::id(*msg), rows::size(*size)))
            .collect();
        self.usages.removed(mailbox, &removed);
        let bodies = held.into_iter().map(|(msg, _, body)| async move {
            let id = rows::id(msg);
            self.found.invalidate(&id);
            match Body::read(body) {
                Body::Small => Ok(()),
                Body::Own => self.drop_body(id, at).await,
                Body::Shared => self.release(id, mailbox, at).await,
            }
        });
        all(bodies).await.map(|_: Vec<()>| ())
    }

    /// Gives up a reference; the body goes with the last one. Both as of this write time.
    pub(super) async fn release(&self, body: MessageId, holder: &str, at: i64) -> Result<()> {
        let values = (at, rows::uuid(body), holder);
        self.cluster.execute(&self.statements.drop_ref, values).await?;
        let left: Option<(String,)> = self
            .cluster
            .row(&self.statements.any_ref, (rows::uuid(body),))
            .await?;
        match left {
            Some(_) => Ok(()),
            None => self.drop_body(body, at).await,
        }
    }

    /// An epoch in which nothing was found: once nothing can come into it any more, it is over.
    async fn leave_behind(&self, mailbox: &str, epoch: i32) {
        if unix_millis() > rows::end_of(epoch) + rows::LOW_BEHIND.as_millis() as u64 {
            self.advance_low(mailbox, epoch).await;
        }
    }

    /// Moves the place where listings begin behind what was deleted. Only a saving: what fails is tried again
    /// with the next removal.
    pub(super) async fn advance_low(&self, mailbox: &str, epoch: i32) {
        if let Err(error) = self.try_advance_low(mailbox, epoch).await {
            tracing::debug!(mailbox, epoch, %error, "the low-water mark stays where it is");
        }
    }

    async fn try_advance_low(&self, mailbox: &str, epoch: i32) -> Result<()> {
        // Listings come here too, and are answered whatever the clock is.
        // Before anything is read: a process that is stopped in between must not pass what came meanwhile.
        let behind = self
            .clock
            .moment()?
            .saturating_sub(rows::LOW_BEHIND.as_millis() as u64);
        let epochs: HashMap<i32, Uuid> = self.epochs(mailbox).await?.into_iter().collect();
        let Some(low) = epochs.get(&epoch).copied() else {
            return Ok(());
        };
        let first: Option<(Uuid,)> = match mailbox {
            QUARANTINE => {
                self.cluster
                    .row(&self.statements.first_held, (epoch, low))
                    .await?
            }
            mailbox => {
                let key = (mailbox, epoch, low);
                self.cluster.row(&self.statements.first_entry, key).await?
            }
        };
        let most = rows::lowest_id(behind.min(rows::end_of(epoch)));
        let new = first.map_or(most, |(first,)| first.min(most));
        if new > low {
            let values = (new, mailbox, epoch);
            self.cluster.execute(&self.statements.put_low, values).await?;
        }
        Ok(())
    }
}

/// What a copy counts for against `quarantine.max`; it is kept beside it.
pub(super) fn weight(id: MessageId, copy: &NewQuarantined, delivery: &Delivery) -> u64 {
    rules::held_weight(
        &rules::held(id, copy, delivery.content.size()),
        delivery.facts.len(),
    )
}

/// How a quarantine copy's reference is called.
pub(super) fn held_by(id: MessageId) -> String {
    format!("quarantine {id}")
}

fn shares<'a>(
    delivery: &'a Delivery,
    plan: &'a Plan<'_>,
    quarantine: &'a Mailbox,
) -> impl Iterator<Item = Share<'a>> {
    let entries = plan.entries.iter().map(|entry| Share {
        mailbox: &entry.mailbox,
        id: delivery.id,
        size: entry.size,
    });
    let copies = plan.copies.iter().map(|(id, copy)| Share {
        mailbox: quarantine,
        id: *id,
        size: weight(*id, copy, delivery),
    });
    entries.chain(copies)
}

type EntryValues<'a> = (
    &'a str,
    i32,
    Uuid,
    i64,
    MaybeUnset<i64>,
    &'a Bytes,
    MaybeUnset<&'a str>,
    i8,
    i64,
);

/// What a message does not have is left unset: a null would be a tombstone, written, kept and read with every listing.
fn entry_values(id: MessageId, entry: &NewEntry, body: Body) -> EntryValues<'_> {
    let downgraded = (entry.downgraded_size != entry.size).then(|| rows::big(entry.downgraded_size));
    (
        &entry.mailbox,
        rows::epoch(id),
        rows::uuid(id),
        rows::big(entry.size),
        MaybeUnset::from_option(downgraded),
        &entry.trace,
        MaybeUnset::from_option(entry.uidl.as_deref()),
        body.code(),
        rows::written_at(id),
    )
}
