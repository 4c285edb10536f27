//! Rules that every engine follows in the same words: who gets a message, under which ids copies are
//! quarantined, when a policy's value is over. Pure functions over what the engine has read.

use super::{
    Atomicity, CHUNK, Delivered, Delivery, NewEntry, NewQuarantined, Quarantined, Result, StoreError, Text,
    Usage,
};
use crate::message::MessageId;
use std::collections::HashMap;

/// What an engine knows about a mailbox before a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Standing {
    pub(crate) usage: Usage,
    /// The mailbox lists this id already.
    pub(crate) listed: bool,
}

/// One entry's fate, and whether it is to be written now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// Written now.
    Add,
    /// Was there before, or an earlier entry of this delivery names the same mailbox.
    There,
    Over(Usage),
    NotTried,
}

impl Fate {
    pub(crate) fn outcome(self) -> Delivered {
        match self {
            Self::Add | Self::There => Delivered::Kept,
            Self::Over(usage) => Delivered::OverQuota { usage },
            Self::NotTried => Delivered::NotTried,
        }
    }
}

/// Decides every entry, in order; each one that fits counts against the next of the same mailbox.
pub(crate) fn decide(
    entries: &[NewEntry],
    atomicity: Atomicity,
    mut standing: impl FnMut(&str) -> Result<Standing>,
) -> Result<Vec<Fate>> {
    let mut seen: HashMap<&str, Standing> = HashMap::new();
    let mut fates = Vec::with_capacity(entries.len());
    for entry in entries {
        let mailbox: &str = &entry.mailbox;
        let at = match seen.get(mailbox) {
            Some(at) => *at,
            None => standing(mailbox)?,
        };
        let (fate, after) = fate_of(entry, at);
        seen.insert(mailbox, after);
        fates.push(fate);
    }
    if atomicity == Atomicity::All && fates.iter().any(|fate| matches!(fate, Fate::Over(_))) {
        for fate in fates.iter_mut().filter(|fate| **fate == Fate::Add) {
            *fate = Fate::NotTried;
        }
    }
    Ok(fates)
}

fn fate_of(entry: &NewEntry, at: Standing) -> (Fate, Standing) {
    if at.listed {
        return (Fate::There, at);
    }
    if !entry.ceiling.admits(at.usage, entry.size) {
        return (Fate::Over(at.usage), at);
    }
    (
        Fate::Add,
        Standing {
            usage: grown(at.usage, entry.size),
            listed: true,
        },
    )
}

/// Usage with one more message.
pub(crate) fn grown(usage: Usage, size: u64) -> Usage {
    Usage {
        bytes: usage.bytes.saturating_add(size),
        messages: usage.messages.saturating_add(1),
    }
}

/// Usage with one message less.
pub(crate) fn shrunk(usage: Usage, size: u64) -> Usage {
    Usage {
        bytes: usage.bytes.saturating_sub(size),
        messages: usage.messages.saturating_sub(1),
    }
}

/// Octets that a copy in quarantine counts for beside what it holds: its keys and those of its body.
const HELD_ROWS: u64 = 256;

/// A quarantine copy as it is listed under `id`.
pub(crate) fn held(id: MessageId, copy: &NewQuarantined, content: u64) -> Quarantined {
    Quarantined {
        id,
        mailboxes: copy.mailboxes.clone(),
        reason: copy.reason.clone(),
        trace: copy.trace.clone(),
        size: content,
    }
}

/// What a copy in quarantine counts for: all that it keeps on the disk. Content and facts (whose octets are
/// `facts`, and which name every recipient) count in full with each copy of a message: the last keeps them all.
pub(crate) fn held_weight(copy: &Quarantined, facts: usize) -> u64 {
    let mailboxes: usize = copy.mailboxes.iter().map(|mailbox| mailbox.len()).sum();
    let beside = facts + copy.trace.len() + copy.reason.len() + mailboxes;
    HELD_ROWS.saturating_add(copy.size).saturating_add(beside as u64)
}

/// The id under which the `nth` quarantine copy of a message is listed: the message's own for the first, then
/// ids of the same moment. The same delivery always makes the same ids, so a retry adds nothing.
pub(crate) fn quarantine_id(id: MessageId, nth: usize) -> MessageId {
    let mut bytes = *id.as_bytes();
    let [.., high, low] = &mut bytes;
    let [n_high, n_low] = (nth as u16).to_be_bytes();
    *high ^= n_high;
    *low ^= n_low;
    MessageId::from_bytes(bytes)
}

/// Whether the text that a delivery names can be the one that was appended in `chunks` chunks.
pub(crate) fn appended_matches(delivery: &Delivery, stored: u32) -> Result<()> {
    let Text::Appended { size, chunks } = &delivery.content.text else {
        return Ok(());
    };
    if *chunks == stored && size.div_ceil(CHUNK as u64) == u64::from(*chunks) {
        return Ok(());
    }
    Err(StoreError::Engine(format!(
        "text of {} is {size} octets in {chunks} chunks by its delivery, but {stored} chunks are stored",
        delivery.id
    )))
}

/// A chunk has 1 to [`CHUNK`] octets.
pub(crate) fn chunk_fits(chunk: &[u8]) -> Result<()> {
    if chunk.is_empty() || chunk.len() > CHUNK {
        return Err(StoreError::Engine(format!("a chunk of {} octets", chunk.len())));
    }
    Ok(())
}

/// When a value written at `now` (milliseconds) for `ttl` seconds is over; 0: never.
pub(crate) fn over_at(now: u64, ttl: u32) -> u64 {
    match ttl {
        0 => 0,
        ttl => now.saturating_add(u64::from(ttl) * 1000),
    }
}

/// Whether a value that is over at `over_at` still counts at `now`.
pub(crate) fn alive(over_at: u64, now: u64) -> bool {
    over_at == 0 || now < over_at
}

/// A counter is a big-endian `i64`.
pub(crate) fn counter(value: &[u8]) -> Result<i64> {
    let octets = value.try_into().map_err(|_| {
        StoreError::Kind(format!(
            "the value has {} octets and is no counter of 8",
            value.len()
        ))
    })?;
    Ok(i64::from_be_bytes(octets))
}

/// What `StoreError::Bound` says of a policy's share.
pub(crate) const KV_BOUND: &str = "the policy's kv share";

/// What `StoreError::Bound` says of quarantine.
pub(crate) const QUARANTINE_BOUND: &str = "quarantine";
