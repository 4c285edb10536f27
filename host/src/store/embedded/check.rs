//! Whether what the store says in several places agrees: listings, holders, bodies, usage, the policies' shares.

use super::access::View;
use super::rows::{self, Holder, Meta, Part, Space, tag};
use super::{EmbeddedStore, Spaces, damaged};
use crate::message::MessageId;
use crate::store::{CHUNK, Report, Result, Usage, rules};
use std::collections::HashMap;

/// Compares all of it at one moment; deliveries go on. Blocks, and reads every key.
pub fn check(store: &EmbeddedStore) -> Result<Report> {
    compare(&store.spaces)
}

pub(super) fn compare(spaces: &Spaces) -> Result<Report> {
    let view = View::new(spaces);
    let mut report = Report::default();
    listings(&view, &mut report)?;
    quarantine(&view, &mut report)?;
    messages(&view, &mut report)?;
    bodies(&view, &mut report)?;
    policies(&view, &mut report)?;
    Ok(report)
}

/// Every entry has a body and is its holder; usage is the sum of the entries.
fn listings(view: &View, report: &mut Report) -> Result<()> {
    let mut sums: HashMap<String, Usage> = HashMap::new();
    for row in view.range(Space::Entry, ..) {
        let (key, value) = row?;
        let (id, mailbox) = (rows::id_at_end(&key)?, rows::mailbox_of(&key)?);
        let entry = rows::Listed::from_row(&value)?;
        report.entries += 1;
        held(view, report, id, Holder::Mailbox(mailbox))?;
        match sums.get_mut(mailbox) {
            Some(sum) => *sum = rules::grown(*sum, entry.size),
            None => {
                let first = rules::grown(Usage::default(), entry.size);
                sums.insert(mailbox.to_owned(), first);
            }
        }
    }
    report.mailboxes = sums.len() as u64;
    for row in view.range(Space::State, rows::beginning_with(vec![tag::USAGE])) {
        let (key, value) = row?;
        let mailbox = key.get(1..).and_then(|name| std::str::from_utf8(name).ok());
        let mailbox = mailbox.ok_or_else(|| damaged("a usage key"))?;
        let (said, sum) = (
            rows::read_usage(&value)?,
            sums.remove(mailbox).unwrap_or_default(),
        );
        if said != sum {
            report.fault(|| format!("{mailbox}: usage says {said:?}, its listing {sum:?}"));
        }
    }
    for (mailbox, sum) in sums {
        report.fault(|| format!("{mailbox}: no usage, its listing {sum:?}"));
    }
    Ok(())
}

fn quarantine(view: &View, report: &mut Report) -> Result<()> {
    let mut sum = Usage::default();
    for row in view.range(Space::State, rows::beginning_with(vec![tag::QUARANTINED])) {
        let (key, value) = row?;
        let id = rows::id_at_end(&key)?;
        let copy = rows::Copy::from_row(id, &value)?;
        report.quarantined += 1;
        let meta = view.get(Space::Message, &rows::message_key(tag::META, copy.body))?;
        let meta = meta.map(|row| Meta::from_row(&row)).transpose()?;
        let facts = meta.map_or(0, |meta| meta.facts.len());
        sum = rules::grown(sum, rules::held_weight(&copy.listed, facts));
        held(view, report, copy.body, Holder::Quarantine(id))?;
    }
    let said = view.get(Space::State, &[tag::QUARANTINE_USAGE])?;
    let said = said.map_or(Ok(Usage::default()), |row| rows::read_usage(&row))?;
    if said != sum {
        report.fault(|| format!("quarantine: usage says {said:?}, its listing {sum:?}"));
    }
    Ok(())
}

fn held(view: &View, report: &mut Report, id: MessageId, holder: Holder<'_>) -> Result<()> {
    if view
        .get(Space::Message, &rows::message_key(tag::META, id))?
        .is_none()
    {
        report.fault(|| format!("{id}: listed by {holder:?} and has no body"));
    }
    if view.get(Space::Message, &rows::holder_key(id, holder))?.is_none() {
        report.fault(|| format!("{id}: listed by {holder:?}, which is not its holder"));
    }
    Ok(())
}

/// Every holder lists its message, and every message has a holder and all its chunks.
fn messages(view: &View, report: &mut Report) -> Result<()> {
    for row in view.range(Space::Message, rows::beginning_with(vec![tag::HOLDER])) {
        let (key, _) = row?;
        let (id, holder) = rows::read_holder_key(&key).ok_or_else(|| damaged("a holder key"))?;
        let listed = match holder {
            Holder::Mailbox(mailbox) => view.get(Space::Entry, &rows::entry_key(mailbox, id))?,
            Holder::Quarantine(copy) => view.get(Space::State, &rows::message_key(tag::QUARANTINED, copy))?,
        };
        if listed.is_none() {
            report.fault(|| format!("{id}: held by {holder:?}, which does not list it"));
        }
    }
    for row in view.range(Space::Message, rows::beginning_with(vec![tag::META])) {
        let (key, value) = row?;
        let (id, meta) = (rows::id_at_end(&key)?, Meta::from_row(&value)?);
        report.bodies += 1;
        chunks(view, report, id, &meta)?;
        let holders = rows::beginning_with(rows::message_key(tag::HOLDER, id));
        if view.range(Space::Message, holders).next().is_none() {
            report.fault(|| format!("{id}: a body without holder"));
        }
    }
    Ok(())
}

fn chunks(view: &View, report: &mut Report, id: MessageId, meta: &Meta) -> Result<()> {
    for (part, size) in [(Part::Committed, meta.committed), (Part::Appended, meta.appended)] {
        for seq in 0..u32::try_from(size.div_ceil(CHUNK as u64)).unwrap_or(u32::MAX) {
            if view.get(Space::Body, &rows::body_key(id, part, seq))?.is_none() {
                report.fault(|| format!("{id}: chunk {seq} of its {part:?} octets is missing"));
            }
        }
    }
    Ok(())
}

/// Every chunk belongs to a message, committed or arriving.
fn bodies(view: &View, report: &mut Report) -> Result<()> {
    let mut last = None;
    for key in view.keys(Space::Body) {
        let id = rows::id_at_start(&key?)?;
        if last.replace(id) == Some(id) {
            continue;
        }
        if view
            .get(Space::Message, &rows::message_key(tag::META, id))?
            .is_some()
        {
            continue;
        }
        match view.get(Space::Message, &rows::message_key(tag::UNCOMMITTED, id))? {
            Some(_) => report.uncommitted += 1,
            None => report.fault(|| format!("{id}: chunks that belong to no message")),
        }
    }
    Ok(())
}

/// What a policy is said to hold is the sum of its values, and each value that ends is found by its end.
fn policies(view: &View, report: &mut Report) -> Result<()> {
    let mut sums: HashMap<String, u64> = HashMap::new();
    for row in view.range(Space::State, rows::beginning_with(vec![tag::KV])) {
        let (row, value) = row?;
        let (namespace, key) = rows::read_kv_key(&row)?;
        let (over_at, value) = rows::read_kv(&value)?;
        *sums.entry(namespace.to_owned()).or_default() += (key.len() + value.len()) as u64;
        let expiry = rows::kv_expiry_key(namespace, over_at, key);
        if over_at != 0 && view.get(Space::State, &expiry)?.is_none() {
            report.fault(|| format!("policy {namespace}: {key} ends and is not found by its end"));
        }
    }
    for row in view.range(Space::State, rows::beginning_with(vec![tag::KV_USAGE])) {
        let (key, value) = row?;
        let namespace = key.get(1..).and_then(|name| std::str::from_utf8(name).ok());
        let namespace = namespace.ok_or_else(|| damaged("a share's key"))?;
        let (said, sum) = (
            rows::read_usage(&value)?.bytes,
            sums.remove(namespace).unwrap_or_default(),
        );
        if said != sum {
            report.fault(|| format!("policy {namespace}: its share says {said} octets, its values {sum}"));
        }
    }
    for (namespace, sum) in sums {
        report.fault(|| format!("policy {namespace}: no share, its values {sum} octets"));
    }
    Ok(())
}
