//! Who has which maildrop open (RFC 1939 §4), and when each was opened last (RFC 2449 §6.5).
//!
//! Held in memory: exact within one process, and gone with it. What is locked is free again when its
//! [`Lock`] is dropped, whatever ended the session.

use crate::store::Mailbox;
use postern_proto::pop3::Refusal;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// Maildrops remembered before those of which nothing need be known are looked for.
const FEW: usize = 1024;

/// The maildrops of all sessions.
#[derive(Debug)]
pub struct Locks {
    /// Shortest time between two logins.
    delay: Option<Duration>,
    table: Mutex<Table>,
}

#[derive(Debug)]
struct Table {
    maildrops: HashMap<Mailbox, Known>,
    /// How many are remembered when the next sweep is due.
    sweep: usize,
}

/// What is known of a maildrop.
#[derive(Debug, Clone, Copy, Default)]
struct Known {
    state: Use,
    opened: Option<Instant>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Use {
    #[default]
    Free,
    Held,
}

/// A maildrop that is this session's alone until this is dropped.
#[derive(Debug)]
pub(super) struct Lock {
    locks: Arc<Locks>,
    mailbox: Mailbox,
}

impl Locks {
    pub fn new(delay: Option<Duration>) -> Arc<Self> {
        Arc::new(Self {
            delay,
            table: Mutex::new(Table {
                maildrops: HashMap::new(),
                sweep: FEW,
            }),
        })
    }

    /// Takes the maildrop.
    pub(super) fn take(self: &Arc<Self>, mailbox: &Mailbox) -> Result<Lock, Refusal> {
        let mut table = self.table();
        self.sweep(&mut table);
        let known = table.maildrops.entry(Arc::clone(mailbox)).or_default();
        if known.state == Use::Held {
            metrics::counter!("postern_limit_hits_total", "limit" => "pop3_maildrop").increment(1);
            return Err(Refusal::InUse);
        }
        if self.is_early(known) {
            metrics::counter!("postern_limit_hits_total", "limit" => "pop3_login_delay").increment(1);
            return Err(Refusal::LoginDelay);
        }
        known.state = Use::Held;
        Ok(Lock {
            locks: Arc::clone(self),
            mailbox: Arc::clone(mailbox),
        })
    }

    fn is_early(&self, known: &Known) -> bool {
        match (known.opened, self.delay) {
            (Some(opened), Some(delay)) => opened.elapsed() < delay,
            _ => false,
        }
    }

    /// Forgets maildrops that are free and may be opened; each is looked at once in a doubling.
    fn sweep(&self, table: &mut Table) {
        if table.maildrops.len() < table.sweep {
            return;
        }
        table
            .maildrops
            .retain(|_, known| known.state == Use::Held || self.is_early(known));
        table.sweep = FEW.max(2 * table.maildrops.len());
    }

    fn table(&self) -> std::sync::MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lock {
    /// The login has succeeded: the delay to the next one begins.
    pub(super) fn opened(&self) {
        if let Some(known) = self.locks.table().maildrops.get_mut(&self.mailbox) {
            known.opened = Some(Instant::now());
        }
    }

    pub(super) fn mailbox(&self) -> &Mailbox {
        &self.mailbox
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        let mut table = self.locks.table();
        let Some(known) = table.maildrops.get_mut(&self.mailbox) else {
            return;
        };
        known.state = Use::Free;
        if !self.locks.is_early(known) {
            table.maildrops.remove(&self.mailbox);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_maildrop_may_be_opened_again_when_the_delay_is_over_and_not_before() {
        let locks = Locks::new(Some(Duration::from_secs(60)));
        let (ann, bob): (Mailbox, Mailbox) = ("ann@x".into(), "bob@x".into());
        locks.take(&ann).unwrap().opened();
        tokio::time::advance(Duration::from_millis(59_999)).await;
        assert_eq!(locks.take(&ann).err(), Some(Refusal::LoginDelay));
        drop(locks.take(&bob).unwrap());
        assert!(
            locks.take(&bob).is_ok(),
            "a login that did not succeed delays nothing"
        );
        tokio::time::advance(Duration::from_millis(1)).await;
        assert!(locks.take(&ann).is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn what_need_not_be_known_is_forgotten_and_what_is_held_is_not() {
        let locks = Locks::new(Some(Duration::from_secs(1)));
        let held = locks.take(&"held@x".into()).unwrap();
        for number in 1..FEW {
            let lock = locks.take(&format!("{number}@x").into()).unwrap();
            lock.opened();
        }
        assert_eq!(locks.table().maildrops.len(), FEW);
        tokio::time::advance(Duration::from_secs(1)).await;
        let last = locks.take(&"last@x".into()).unwrap();
        assert_eq!(locks.table().maildrops.len(), 2);
        assert_eq!(locks.take(held.mailbox()).err(), Some(Refusal::InUse));
        drop((held, last));
        assert!(locks.table().maildrops.is_empty());
    }

    #[test]
    fn without_a_delay_nothing_is_remembered() {
        let locks = Locks::new(None);
        let lock = locks.take(&"ann@x".into()).unwrap();
        lock.opened();
        drop(lock);
        assert!(locks.table().maildrops.is_empty());
    }
}
