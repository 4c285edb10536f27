//! Deliveries, removals, quarantine: entries, holders, usage and bodies change together or not at all.

use super::Change;
use crate::message::MessageId;
use crate::store::embedded::chunks::Chunk;
use crate::store::embedded::committer::MOST_OCTETS;
use crate::store::embedded::rows::{self, Copy, Holder, Meta, Part, Space, Uncommitted, tag};
use crate::store::rules::{self, Fate, Standing};
use crate::store::{
    Atomicity, CHUNK, Delivered, Delivery, Entry, NewEntry, NewQuarantined, Result, StoreError, Text, Usage,
};
use fjall::Slice;
use std::ops::ControlFlow;

impl Change<'_> {
    pub(in super::super) fn append(&mut self, id: MessageId, seq: u32, value: Slice) -> Result<()> {
        if self.meta(id)?.is_some() {
            return Ok(());
        }
        let mut text = self.uncommitted(id)?;
        if seq > text.chunks {
            let chunks = text.chunks;
            return Err(StoreError::Engine(format!(
                "chunk {seq} of {id} when there are {chunks}"
            )));
        }
        if seq == text.chunks {
            text.chunks += 1;
            text.stored += value.len() as u64;
            self.put(
                Space::Message,
                rows::message_key(tag::UNCOMMITTED, id),
                text.to_row(),
            )?;
        }
        self.put(Space::Body, rows::body_key(id, Part::Appended, seq), value)
    }

    pub(in super::super) fn discard(&mut self, id: MessageId) -> Result<()> {
        let text = self.uncommitted(id)?;
        for seq in 0..text.chunks {
            self.delete(Space::Body, rows::body_key(id, Part::Appended, seq));
        }
        if text.chunks > 0 {
            self.delete(Space::Message, rows::message_key(tag::UNCOMMITTED, id));
        }
        self.freed += text.stored;
        Ok(())
    }

    pub(in super::super) fn deliver(
        &mut self,
        delivery: &Delivery,
        body: Vec<Chunk>,
    ) -> Result<Vec<Delivered>> {
        let copies = 0..delivery.quarantine.len();
        let ids: Vec<_> = copies.map(|nth| rules::quarantine_id(delivery.id, nth)).collect();
        self.deliver_as(delivery, &ids, body)
    }

    /// The same with the ids that the quarantined copies are to have.
    pub(in super::super) fn deliver_as(
        &mut self,
        delivery: &Delivery,
        copies: &[MessageId],
        body: Vec<Chunk>,
    ) -> Result<Vec<Delivered>> {
        let id = delivery.id;
        // Without a body no mailbox lists it, which spares a new message a look into each.
        let known = self.meta(id)?.is_some();
        let fates = rules::decide(&delivery.entries, delivery.atomicity, |mailbox| {
            Ok(Standing {
                usage: self.usage(mailbox)?,
                listed: known && self.get(Space::Entry, &rows::entry_key(mailbox, id))?.is_some(),
            })
        })?;
        let refused =
            delivery.atomicity == Atomicity::All && fates.iter().any(|f| matches!(f, Fate::Over(_)));
        let copies = match refused {
            true => Vec::new(),
            false => self.new_copies(delivery, copies, known)?,
        };
        if fates.contains(&Fate::Add) || !copies.is_empty() {
            if !known {
                self.commit_body(delivery, body)?;
            }
            self.add_entries(delivery, &fates)?;
            self.add_copies(delivery, copies)?;
        } else if !known {
            self.discard(id)?;
        }
        Ok(fates.into_iter().map(Fate::outcome).collect())
    }

    fn commit_body(&mut self, delivery: &Delivery, body: Vec<Chunk>) -> Result<()> {
        let id = delivery.id;
        let text = self.uncommitted(id)?;
        rules::appended_matches(delivery, text.chunks)?;
        let appended = match delivery.content.text {
            Text::Inline(_) => 0,
            Text::Appended { size, .. } => size,
        };
        if appended == 0 {
            self.discard(id)?;
        } else {
            self.delete(Space::Message, rows::message_key(tag::UNCOMMITTED, id));
        }
        let of_body: u64 = body.iter().map(|chunk| chunk.value.len() as u64).sum();
        let meta = Meta {
            committed: delivery.content.size() - appended,
            appended,
            stored: of_body + if appended == 0 { 0 } else { text.stored },
            facts: delivery.facts.clone(),
        };
        self.put(Space::Message, rows::message_key(tag::META, id), meta.to_row())?;
        for chunk in body {
            self.put(Space::Body, chunk.key, chunk.value)?;
        }
        Ok(())
    }

    fn add_entries(&mut self, delivery: &Delivery, fates: &[Fate]) -> Result<()> {
        let decided = delivery.entries.iter().zip(fates);
        for (entry, _) in decided.filter(|(_, fate)| **fate == Fate::Add) {
            self.add_entry(delivery.id, entry)?;
        }
        Ok(())
    }

    fn add_entry(&mut self, id: MessageId, entry: &NewEntry) -> Result<()> {
        let mailbox = &*entry.mailbox;
        let row = rows::entry_row(&Entry {
            id,
            size: entry.size,
            downgraded_size: entry.downgraded_size,
            trace: entry.trace.clone(),
            uidl: entry.uidl.clone(),
        });
        let usage = rules::grown(self.usage(mailbox)?, entry.size);
        self.put(Space::Entry, rows::entry_key(mailbox, id), row)?;
        self.put(
            Space::Message,
            rows::holder_key(id, Holder::Mailbox(mailbox)),
            Vec::new(),
        )?;
        self.put_usage(rows::named_key(tag::USAGE, mailbox), usage)
    }

    fn new_copies<'d>(
        &self,
        delivery: &'d Delivery,
        ids: &[MessageId],
        known: bool,
    ) -> Result<Vec<(MessageId, &'d NewQuarantined)>> {
        let mut new = Vec::new();
        for (id, copy) in ids.iter().copied().zip(&delivery.quarantine) {
            let there = known
                && self
                    .get(Space::State, &rows::message_key(tag::QUARANTINED, id))?
                    .is_some();
            if !there {
                new.push((id, copy));
            }
        }
        Ok(new)
    }

    fn add_copies(&mut self, delivery: &Delivery, copies: Vec<(MessageId, &NewQuarantined)>) -> Result<()> {
        if copies.is_empty() {
            return Ok(());
        }
        let size = delivery.content.size();
        // Those that are kept with the body: a delivery that is repeated may bring others.
        let facts = self.meta(delivery.id)?.map_or(0, |meta| meta.facts.len());
        let mut usage = self.quarantine_usage()?;
        for (id, copy) in copies {
            let listed = rules::held(id, copy, size);
            usage = rules::grown(usage, rules::held_weight(&listed, facts));
            let row = Copy {
                body: delivery.id,
                listed,
            }
            .to_row();
            self.put(Space::State, rows::message_key(tag::QUARANTINED, id), row)?;
            self.put(
                Space::Message,
                rows::holder_key(delivery.id, Holder::Quarantine(id)),
                Vec::new(),
            )?;
        }
        if usage.bytes > self.quarantine_max {
            return Err(StoreError::Bound(rules::QUARANTINE_BOUND));
        }
        self.put_usage(vec![tag::QUARANTINE_USAGE], usage)
    }

    /// Removes entries in order until the request is heavy, and answers how many it has passed: one at least.
    pub(in super::super) fn remove(&mut self, mailbox: &str, ids: &[MessageId]) -> Result<usize> {
        for (nth, id) in ids.iter().enumerate() {
            if self.own_octets >= MOST_OCTETS {
                return Ok(nth);
            }
            self.remove_entry(mailbox, *id)?;
        }
        Ok(ids.len())
    }

    fn remove_entry(&mut self, mailbox: &str, id: MessageId) -> Result<()> {
        let key = rows::entry_key(mailbox, id);
        let Some(row) = self.get(Space::Entry, &key)? else {
            return Ok(());
        };
        let size = rows::Listed::from_row(&row)?.size;
        let usage = rules::shrunk(self.usage(mailbox)?, size);
        self.delete(Space::Entry, key);
        self.put_usage(rows::named_key(tag::USAGE, mailbox), usage)?;
        self.release(id, Holder::Mailbox(mailbox))
    }

    /// Removes all mail of a mailbox.
    pub(super) fn empty(&mut self, mailbox: &str) -> Result<()> {
        let mut ids = Vec::new();
        let listing = rows::beginning_with(rows::listing_prefix(mailbox));
        self.scan(Space::Entry, listing, |key, _| {
            ids.push(rows::id_at_end(key)?);
            Ok(ControlFlow::Continue(()))
        })?;
        ids.into_iter().try_for_each(|id| self.remove_entry(mailbox, id))
    }

    pub(in super::super) fn quarantine_drop(&mut self, id: MessageId) -> Result<()> {
        let key = rows::message_key(tag::QUARANTINED, id);
        let row = self.get(Space::State, &key)?.ok_or(StoreError::NotFound)?;
        let copy = Copy::from_row(id, &row)?;
        let facts = self.meta(copy.body)?.map_or(0, |meta| meta.facts.len());
        let weight = rules::held_weight(&copy.listed, facts);
        let usage = rules::shrunk(self.quarantine_usage()?, weight);
        self.delete(Space::State, key);
        self.put_usage(vec![tag::QUARANTINE_USAGE], usage)?;
        self.release(copy.body, Holder::Quarantine(id))
    }

    /// Takes a holder away; the body goes with the last.
    fn release(&mut self, id: MessageId, holder: Holder<'_>) -> Result<()> {
        self.delete(Space::Message, rows::holder_key(id, holder));
        let mut held = false;
        let holders = rows::beginning_with(rows::message_key(tag::HOLDER, id));
        self.scan(Space::Message, holders, |_, _| {
            held = true;
            Ok(ControlFlow::Break(()))
        })?;
        match held {
            true => Ok(()),
            false => self.remove_body(id),
        }
    }

    fn remove_body(&mut self, id: MessageId) -> Result<()> {
        let Some(meta) = self.meta(id)? else {
            return Ok(());
        };
        for (part, size) in [(Part::Committed, meta.committed), (Part::Appended, meta.appended)] {
            let chunks = u32::try_from(size.div_ceil(CHUNK as u64)).unwrap_or(u32::MAX);
            for seq in 0..chunks {
                self.delete(Space::Body, rows::body_key(id, part, seq));
            }
        }
        self.delete(Space::Message, rows::message_key(tag::META, id));
        self.freed += meta.stored;
        Ok(())
    }

    fn meta(&self, id: MessageId) -> Result<Option<Meta>> {
        let row = self.get(Space::Message, &rows::message_key(tag::META, id))?;
        row.map(|row| Meta::from_row(&row)).transpose()
    }

    fn uncommitted(&self, id: MessageId) -> Result<Uncommitted> {
        let row = self.get(Space::Message, &rows::message_key(tag::UNCOMMITTED, id))?;
        row.map_or(Ok(Uncommitted::default()), |row| Uncommitted::from_row(&row))
    }

    fn usage(&self, mailbox: &str) -> Result<Usage> {
        let row = self.get(Space::State, &rows::named_key(tag::USAGE, mailbox))?;
        row.map_or(Ok(Usage::default()), |row| rows::read_usage(&row))
    }

    fn quarantine_usage(&self) -> Result<Usage> {
        let row = self.get(Space::State, &[tag::QUARANTINE_USAGE])?;
        row.map_or(Ok(Usage::default()), |row| rows::read_usage(&row))
    }

    /// An empty mailbox has no usage row.
    fn put_usage(&mut self, key: Vec<u8>, usage: Usage) -> Result<()> {
        if usage == Usage::default() {
            self.delete(Space::State, key);
            return Ok(());
        }
        self.put(Space::State, key, rows::usage_row(usage))
    }
}
