//! What is to be sent, what was acknowledged, and what of it is there.

use crate::message::{Identity, Message, Pool, Size, identify};
use crate::pop3::Session;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

/// Messages to be made, in turn for each mailbox.
#[derive(Debug)]
pub(crate) struct Work {
    pool: Pool,
    size: Mutex<Size>,
    mailboxes: Vec<String>,
    next: AtomicU64,
    ledger: Mutex<Ledger>,
}

impl Work {
    pub(crate) fn new(mailboxes: Vec<String>, size: Size) -> Self {
        Self {
            pool: Pool::new(),
            size: Mutex::new(size),
            mailboxes,
            next: AtomicU64::new(0),
            ledger: Mutex::default(),
        }
    }

    /// From now on messages are of this size.
    pub(crate) fn resize(&self, size: Size) {
        *self.size.lock().unwrap_or_else(PoisonError::into_inner) = size;
    }

    pub(crate) fn next(&self) -> (Message, &str) {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let place = number as usize % self.mailboxes.len().max(1);
        let to = self.mailboxes.get(place).map_or("", String::as_str);
        let size = *self.size.lock().unwrap_or_else(PoisonError::into_inner);
        (self.pool.message(number, to, size), to)
    }

    /// The mailbox of the message that was made last.
    pub(crate) fn last(&self) -> Option<&str> {
        let number = self.next.load(Ordering::Relaxed).checked_sub(1)?;
        let place = number as usize % self.mailboxes.len().max(1);
        self.mailboxes.get(place).map(String::as_str)
    }

    pub(crate) fn acknowledged(&self, message: &Message) {
        let mut ledger = self.ledger.lock().unwrap_or_else(PoisonError::into_inner);
        ledger.0.insert(message.number, message.sum);
    }

    pub(crate) fn mailboxes(&self) -> usize {
        self.mailboxes.len()
    }

    /// Reads so many mailboxes and compares.
    pub(crate) async fn read_back(
        &self,
        gateway: SocketAddr,
        password: &str,
        mailboxes: usize,
    ) -> anyhow::Result<Difference> {
        let mut found = Vec::new();
        for mailbox in self.mailboxes.iter().take(mailboxes) {
            let mut session = Session::login(gateway, mailbox, password).await?;
            session.retrieve(|octets| found.push(identify(octets))).await?;
            session.ask("QUIT").await?;
        }
        let ledger = self.ledger.lock().unwrap_or_else(PoisonError::into_inner);
        let all = self.mailboxes.len() as u64;
        let read = ledger
            .0
            .iter()
            .filter(|(number, _)| *number % all < mailboxes as u64);
        Ok(Ledger(read.map(|(number, sum)| (*number, *sum)).collect()).compare(&found))
    }
}

/// Number and checksum of every message that was acknowledged.
#[derive(Debug, Default)]
struct Ledger(HashMap<u64, u64>);

/// How what is there differs from what was acknowledged.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Difference {
    pub(crate) acknowledged: usize,
    pub(crate) lost: usize,
    pub(crate) doubled: usize,
    /// The text is another, or the message does not say which it is.
    pub(crate) altered: usize,
    /// There without an acknowledgement: the answer was lost, the message was not.
    pub(crate) unacknowledged: usize,
}

impl Difference {
    pub(crate) fn json(self) -> serde_json::Value {
        serde_json::json!({
            "acknowledged": self.acknowledged, "lost": self.lost, "doubled": self.doubled,
            "altered": self.altered, "unacknowledged": self.unacknowledged,
        })
    }
}

impl Ledger {
    fn compare(&self, found: &[Option<Identity>]) -> Difference {
        let mut difference = Difference {
            acknowledged: self.0.len(),
            ..Difference::default()
        };
        let mut times: HashMap<u64, usize> = HashMap::new();
        for identity in found {
            let Some(Identity { number, sum }) = identity else {
                difference.altered += 1;
                continue;
            };
            *times.entry(*number).or_default() += 1;
            match self.0.get(number) {
                Some(known) if known == sum => {}
                Some(_) => difference.altered += 1,
                None => difference.unacknowledged += 1,
            }
        }
        difference.lost = self.0.keys().filter(|number| !times.contains_key(number)).count();
        difference.doubled = times.values().map(|times| times - 1).sum();
        difference
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ledger(entries: &[(u64, u64)]) -> Ledger {
        Ledger(entries.iter().copied().collect())
    }

    fn found(entries: &[(u64, u64)]) -> Vec<Option<Identity>> {
        let identity = |(number, sum): &(u64, u64)| {
            Some(Identity {
                number: *number,
                sum: *sum,
            })
        };
        entries.iter().map(identity).collect()
    }

    #[test]
    fn what_is_there_once_and_whole_is_no_difference() {
        let same = ledger(&[(1, 10), (2, 20)]).compare(&found(&[(2, 20), (1, 10)]));
        let none = Difference {
            acknowledged: 2,
            ..Difference::default()
        };
        assert_eq!(same, none);
    }

    #[test]
    fn lost_doubled_altered_and_unacknowledged_are_told_apart() {
        let acknowledged = ledger(&[(1, 10), (2, 20), (3, 30), (4, 40)]);
        let mut read = found(&[(1, 10), (2, 20), (2, 20), (2, 20), (3, 31), (7, 70)]);
        read.push(None);
        assert_eq!(
            acknowledged.compare(&read),
            Difference {
                acknowledged: 4,
                lost: 1,
                doubled: 2,
                altered: 2,
                unacknowledged: 1,
            }
        );
    }

    #[test]
    fn mailboxes_take_turns() {
        let mailboxes = vec!["a@example.org".to_owned(), "b@example.org".to_owned()];
        let work = Work::new(mailboxes, Size::Fixed(600));
        let to: Vec<_> = (0..3).map(|_| work.next().1.to_owned()).collect();
        assert_eq!(to, ["a@example.org", "b@example.org", "a@example.org"]);
    }
}
