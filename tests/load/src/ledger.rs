//! What is to be sent, what was acknowledged, and what of it is there.

use crate::message::{Identity, Message, Pool, Size, identify};
use crate::pop3::Session;
use crate::recipients::Choice;
use crate::target::Target;
use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Messages to be made, each for one mailbox.
#[derive(Debug)]
pub(crate) struct Work {
    pool: Pool,
    size: Mutex<Size>,
    mailboxes: Vec<String>,
    choice: Choice,
    next: AtomicU64,
    ledger: Option<Mutex<Ledger>>,
}

impl Work {
    /// In turn for each mailbox; what is acknowledged is kept, to be compared.
    pub(crate) fn new(mailboxes: Vec<String>, size: Size) -> Self {
        Self {
            pool: Pool::new(),
            size: Mutex::new(size),
            mailboxes,
            choice: Choice::Turn,
            next: AtomicU64::new(0),
            ledger: Some(Mutex::default()),
        }
    }

    pub(crate) fn made_of(self, pool: Pool) -> Self {
        Self { pool, ..self }
    }

    pub(crate) fn choosing(self, choice: Choice) -> Self {
        Self { choice, ..self }
    }

    /// Nothing will be read back: a long run would keep a line for each message.
    pub(crate) fn forgetting(self) -> Self {
        Self { ledger: None, ..self }
    }

    /// From now on messages are of this size.
    pub(crate) fn resize(&self, size: Size) {
        *self.size.lock().unwrap_or_else(PoisonError::into_inner) = size;
    }

    pub(crate) fn next(&self) -> (Message, &str) {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let to = self.mailbox_of(number);
        let size = *self.size.lock().unwrap_or_else(PoisonError::into_inner);
        (self.pool.message(number, to, size), to)
    }

    /// The same whenever it is asked.
    fn place_of(&self, number: u64) -> usize {
        self.choice.place(number, self.mailboxes.len())
    }

    fn mailbox_of(&self, number: u64) -> &str {
        self.mailboxes
            .get(self.place_of(number))
            .map_or("", String::as_str)
    }

    /// The mailbox of the message that was made last.
    pub(crate) fn last(&self) -> Option<&str> {
        let number = self.next.load(Ordering::Relaxed).checked_sub(1)?;
        Some(self.mailbox_of(number))
    }

    fn ledger(&self) -> Option<MutexGuard<'_, Ledger>> {
        let ledger = self.ledger.as_ref()?;
        Some(ledger.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn acknowledged(&self, message: &Message) {
        if let Some(mut ledger) = self.ledger() {
            ledger.acknowledged.insert(message.number, message.sum);
        }
    }

    /// What a reader deleted; it is not there any more, and was read once.
    pub(crate) fn taken(&self, found: Vec<Option<Identity>>) {
        if let Some(mut ledger) = self.ledger() {
            ledger.taken.extend(found);
        }
    }

    /// What a reader may have deleted: the answer to QUIT was lost.
    pub(crate) fn in_doubt(&self, found: &[Option<Identity>]) {
        if let Some(mut ledger) = self.ledger() {
            let numbers = found.iter().flatten().map(|identity| identity.number);
            ledger.in_doubt.extend(numbers);
        }
    }

    /// Messages that were acknowledged and that no reader deleted yet.
    pub(crate) fn live(&self) -> usize {
        let ledger = self.ledger();
        ledger.map_or(0, |it| it.acknowledged.len().saturating_sub(it.taken.len()))
    }

    pub(crate) fn mailboxes(&self) -> &[String] {
        &self.mailboxes
    }

    /// Reads so many mailboxes and compares.
    pub(crate) async fn read_back(
        &self,
        gateway: impl Into<Target>,
        password: &str,
        mailboxes: usize,
    ) -> anyhow::Result<Difference> {
        let gateway = gateway.into();
        let mut found = Vec::new();
        for mailbox in self.mailboxes.iter().take(mailboxes) {
            let mut session = Session::login(&gateway, mailbox, password).await?;
            session.retrieve(|octets| found.push(identify(octets))).await?;
            session.ask("QUIT").await?;
        }
        let Some(ledger) = self.ledger() else {
            anyhow::bail!("nothing was kept to compare with");
        };
        let all = ledger.acknowledged.iter();
        let read = all.filter(|(number, _)| self.place_of(**number) < mailboxes);
        let part = Ledger {
            acknowledged: read.map(|(number, sum)| (*number, *sum)).collect(),
            taken: ledger.taken.clone(),
            in_doubt: ledger.in_doubt.clone(),
        };
        Ok(part.compare(&found, self.pool.run()))
    }
}

#[derive(Debug, Default)]
struct Ledger {
    /// Number and checksum.
    acknowledged: HashMap<u64, u64>,
    taken: Vec<Option<Identity>>,
    in_doubt: HashSet<u64>,
}

/// How what is there differs from what was acknowledged.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Difference {
    pub(crate) acknowledged: usize,
    /// Read and deleted while there was load.
    pub(crate) deleted: usize,
    pub(crate) lost: usize,
    /// There more than once, and acknowledged.
    pub(crate) doubled: usize,
    /// The text is another, or the message does not say which it is.
    pub(crate) altered: usize,
    /// There without an acknowledgement: the answer was lost, the message was not.
    pub(crate) unacknowledged: usize,
    /// Of another run.
    pub(crate) foreign: usize,
}

impl Difference {
    /// Nothing lost, doubled or altered.
    pub(crate) fn is_none(self) -> bool {
        self.lost == 0 && self.doubled == 0 && self.altered == 0
    }

    pub(crate) fn json(self) -> serde_json::Value {
        serde_json::json!({
            "acknowledged": self.acknowledged, "deleted": self.deleted, "lost": self.lost,
            "doubled": self.doubled, "altered": self.altered, "unacknowledged": self.unacknowledged,
            "foreign": self.foreign,
        })
    }
}

impl Ledger {
    fn compare(&self, found: &[Option<Identity>], own: u32) -> Difference {
        let mut difference = Difference {
            acknowledged: self.acknowledged.len(),
            deleted: self.taken.len(),
            ..Difference::default()
        };
        let mut times: HashMap<u64, usize> = HashMap::new();
        for identity in found.iter().chain(&self.taken) {
            let Some(Identity { run, number, sum }) = identity else {
                difference.altered += 1;
                continue;
            };
            if *run != own {
                difference.foreign += 1;
                continue;
            }
            *times.entry(*number).or_default() += 1;
            match self.acknowledged.get(number) {
                Some(known) if known == sum => {}
                Some(_) => difference.altered += 1,
                None => difference.unacknowledged += 1,
            }
        }
        let missing = |number: &&u64| !times.contains_key(number) && !self.in_doubt.contains(number);
        difference.lost = self.acknowledged.keys().filter(missing).count();
        let acknowledged = times
            .iter()
            .filter(|(number, _)| self.acknowledged.contains_key(number));
        difference.doubled = acknowledged.map(|(_, times)| times - 1).sum();
        difference
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: u32 = 5;

    fn ledger(entries: &[(u64, u64)]) -> Ledger {
        Ledger {
            acknowledged: entries.iter().copied().collect(),
            ..Ledger::default()
        }
    }

    fn found(entries: &[(u64, u64)]) -> Vec<Option<Identity>> {
        let identity = |(number, sum): &(u64, u64)| {
            Some(Identity {
                run: OWN,
                number: *number,
                sum: *sum,
            })
        };
        entries.iter().map(identity).collect()
    }

    #[test]
    fn what_is_there_once_and_whole_is_no_difference() {
        let same = ledger(&[(1, 10), (2, 20)]).compare(&found(&[(2, 20), (1, 10)]), OWN);
        let none = Difference {
            acknowledged: 2,
            ..Difference::default()
        };
        assert_eq!(same, none);
    }

    #[test]
    fn lost_doubled_altered_and_unacknowledged_are_told_apart() {
        let acknowledged = ledger(&[(1, 10), (2, 20), (3, 30), (4, 40)]);
        let mut read = found(&[(1, 10), (2, 20), (2, 20), (2, 20), (3, 31), (7, 70), (7, 70)]);
        read.push(None);
        read.push(Some(Identity {
            run: OWN + 1,
            number: 1,
            sum: 10,
        }));
        assert_eq!(
            acknowledged.compare(&read, OWN),
            Difference {
                acknowledged: 4,
                lost: 1,
                doubled: 2,
                altered: 2,
                unacknowledged: 2,
                foreign: 1,
                ..Difference::default()
            }
        );
    }

    #[test]
    fn what_readers_took_is_not_lost_but_is_compared() {
        let mut acknowledged = ledger(&[(1, 10), (2, 20), (3, 30), (4, 40)]);
        acknowledged.taken = found(&[(1, 10), (2, 21)]);
        acknowledged.in_doubt = HashSet::from([3]);
        assert_eq!(
            acknowledged.compare(&found(&[(1, 10)]), OWN),
            Difference {
                acknowledged: 4,
                deleted: 2,
                lost: 1,
                doubled: 1,
                altered: 1,
                ..Difference::default()
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
