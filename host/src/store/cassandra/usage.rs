//! How full each mailbox is, as this node knows it.
//!
//! The listing is the truth; reading it for each delivery would cost more than the delivery. So usage is read
//! once, counted on with what this node delivers and removes, and read again when its time is over: the fuller
//! the mailbox by the last ceiling it was compared with, the sooner. What other nodes deliver in between is the
//! error, and the next read heals it. With one node it is exact.

use crate::clock::unix_millis;
use crate::message::MessageId;
use crate::store::rules::{self, Standing};
use crate::store::{Ceiling, Mailbox, Usage};
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

const EMPTYISH: Duration = Duration::from_secs(600);
const FILLING: Duration = Duration::from_secs(60);
const NEARLY_FULL: Duration = Duration::from_secs(5);

/// What is counted or read between two looks for what may be forgotten; more where more is known, so that a look
/// costs each of them little.
const LOOK_AFTER: usize = 100_000;
/// No reading takes longer: what was answered before is in the next one, or was removed.
const READING: Duration = Duration::from_secs(300);

/// What was read of a mailbox.
#[derive(Debug)]
pub(super) struct Reading {
    /// Before the first row was asked for.
    pub(super) begun: Instant,
    /// Ids and sizes.
    pub(super) rows: Vec<(MessageId, u64)>,
}

#[derive(Debug, Default)]
pub(super) struct Usages(Mutex<All>);

#[derive(Debug, Default)]
struct All {
    known: HashMap<Mailbox, Known>,
    /// Counted and read since the last look.
    grown: usize,
}

/// A mailbox's usage and what this node knows to be, or to become, part of it.
#[derive(Debug, Default)]
struct Known {
    usage: Usage,
    read: Option<Instant>,
    /// Readings that began before this are behind what is known.
    newest: Option<Instant>,
    ceiling: Option<Ceiling>,
    recent: HashMap<MessageId, Recent>,
}

/// An id that is counted; a retry of its delivery is recognised by it.
#[derive(Debug, Clone, Copy)]
struct Recent {
    size: u64,
    seen: Seen,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Seen {
    /// Its write is under way.
    UnderWay,
    /// Its write was answered then.
    Answered(Instant),
    /// Its write was given up then, and nobody knows whether it happened: a retry writes it again.
    Doubtful(Instant),
    /// It was read.
    Read,
}

/// How the writes of a delivery ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    Answered,
    GivenUp,
}

/// One message's share of a mailbox, to be counted.
#[derive(Debug, Clone, Copy)]
pub(super) struct Share<'a> {
    pub(super) mailbox: &'a Mailbox,
    pub(super) id: MessageId,
    pub(super) size: u64,
}

/// The mailboxes, locked: deliveries are decided and counted in one step.
pub(super) struct Decision<'a>(MutexGuard<'a, All>);

impl Usages {
    fn lock(&self) -> MutexGuard<'_, All> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn decide(&self) -> Decision<'_> {
        Decision(self.lock())
    }

    /// What is known, if it is young enough to be compared with a ceiling.
    pub(super) fn fresh(&self, mailbox: &str, ceiling: Option<Ceiling>) -> Option<Usage> {
        let mut all = self.lock();
        let known = all.known.get_mut(mailbox)?;
        known.ceiling = ceiling.or(known.ceiling);
        let age = known.read?.elapsed();
        (age < known.keeps()).then_some(known.usage)
    }

    /// Takes what was read; what this node wrote meanwhile, and the reading may have missed, stays counted.
    pub(super) fn learn(&self, mailbox: &str, reading: Reading) -> Usage {
        let mut all = self.lock();
        all.forget();
        let known = all.known.entry(mailbox.into()).or_default();
        known.learn(reading);
        known.usage
    }

    /// The writes of a delivery were answered, or given up.
    pub(super) fn done<'a>(&self, shares: impl IntoIterator<Item = Share<'a>>, end: End) {
        let now = Instant::now();
        let seen = match end {
            End::Answered => Seen::Answered(now),
            End::GivenUp => Seen::Doubtful(now),
        };
        let mut all = self.lock();
        for share in shares {
            let known = all.known.get_mut(share.mailbox);
            if let Some(recent) = known.and_then(|known| known.recent.get_mut(&share.id)) {
                recent.seen = seen;
            }
        }
    }

    /// These messages were removed.
    pub(super) fn removed(&self, mailbox: &str, removed: &[(MessageId, u64)]) {
        let mut all = self.lock();
        let Some(known) = all.known.get_mut(mailbox) else {
            return;
        };
        for (id, size) in removed {
            known.recent.remove(id);
            known.usage = rules::shrunk(known.usage, *size);
        }
    }

    /// What is known of a mailbox is doubtful: it is read again at the next question.
    pub(super) fn doubt(&self, mailbox: &str) {
        if let Some(known) = self.lock().known.get_mut(mailbox) {
            known.read = None;
            known.newest = Some(Instant::now());
        }
    }
}

impl Decision<'_> {
    pub(super) fn standing(&self, mailbox: &str, id: MessageId) -> Standing {
        let Some(known) = self.0.known.get(mailbox) else {
            return Standing {
                usage: Usage::default(),
                listed: false,
            };
        };
        match known.recent.get(&id) {
            Some(Recent {
                size,
                seen: Seen::Doubtful(_),
            }) => Standing {
                usage: rules::shrunk(known.usage, *size),
                listed: false,
            },
            recent => Standing {
                usage: known.usage,
                listed: recent.is_some(),
            },
        }
    }

    /// Counts a message that is about to be written.
    pub(super) fn count(&mut self, share: Share<'_>) {
        self.0.forget();
        let known = self.0.known.entry(Mailbox::clone(share.mailbox)).or_default();
        let size = share.size;
        let seen = Seen::UnderWay;
        if known.recent.insert(share.id, Recent { size, seen }).is_none() {
            known.usage = rules::grown(known.usage, size);
        }
    }
}

impl All {
    /// Forgets ids of which no reading is under way any more, and mailboxes of which nothing else is known: whoever
    /// has no ceiling is counted at each delivery and never read.
    fn forget(&mut self) {
        self.grown += 1;
        if self.grown < LOOK_AFTER.max(self.known.len()) {
            return;
        }
        self.grown = 0;
        self.known.retain(|_, known| {
            let fresh = known.read.is_some_and(|read| read.elapsed() < known.keeps());
            known.recent.retain(|_, recent| match recent.seen {
                Seen::UnderWay => true,
                Seen::Answered(at) | Seen::Doubtful(at) => at.elapsed() < READING,
                Seen::Read => fresh,
            });
            fresh || !known.recent.is_empty()
        });
    }
}

impl Known {
    fn keeps(&self) -> Duration {
        let Some(ceiling) = self.ceiling else {
            return FILLING;
        };
        let share = |held: u64, most: Option<u64>| match most {
            Some(most) => held as f64 / most.max(1) as f64,
            None => 0.0,
        };
        let bytes = share(self.usage.bytes, ceiling.bytes);
        match bytes.max(share(self.usage.messages, ceiling.messages)) {
            full if full < 0.5 => EMPTYISH,
            full if full < 0.9 => FILLING,
            _ => NEARLY_FULL,
        }
    }

    fn learn(&mut self, reading: Reading) {
        let begun = reading.begun;
        if self.newest.is_some_and(|newest| begun < newest) {
            return;
        }
        self.newest = Some(begun);
        let old = unix_millis().saturating_sub(super::rows::OLDEST_ENTRY.as_millis() as u64);
        self.recent.retain(|_, recent| match recent.seen {
            Seen::UnderWay => true,
            Seen::Answered(at) | Seen::Doubtful(at) => at >= begun,
            Seen::Read => false,
        });
        self.usage = Usage::default();
        let seen = Seen::Read;
        for (id, size) in reading.rows {
            self.usage = rules::grown(self.usage, size);
            if id.unix_millis() >= old {
                self.recent.insert(id, Recent { size, seen });
            } else {
                self.recent.remove(&id);
            }
        }
        let unread = self.recent.values().filter(|recent| recent.seen != Seen::Read);
        self.usage = unread.fold(self.usage, |usage, recent| rules::grown(usage, recent.size));
        self.read = Some(begun);
    }
}

#[cfg(test)]
mod tests;
