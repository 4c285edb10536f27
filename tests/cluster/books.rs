//! What was promised against what is there.

use crate::gateway::Gateway;
use crate::load::{Deletions, Sent, USERS};
use crate::mail::{self, Fate, Pop3};
use crate::tables::Tables;
use std::collections::HashMap;
use std::time::{Duration, Instant};

/// What is in the mailboxes.
#[derive(Debug, Default)]
pub(crate) struct Found {
    /// How often each token is there.
    times: HashMap<(&'static str, usize), usize>,
    /// Listed, and at a quorum not there: a deletion that was not answered has reached some replicas.
    half_deleted: usize,
}

/// Every mailbox as one gateway lists it. Everything listed is read, whole.
pub(crate) fn listing(gateway: &mut Gateway) -> Found {
    let mut found = Found::default();
    for user in USERS {
        let mut session = Pop3::login(gateway.pop3, user).unwrap();
        let listed = session.list().unwrap();
        for (number, _) in &listed {
            let lines = match session.retr(*number) {
                Ok(lines) => lines,
                Err(error) => {
                    let gone = error.starts_with("-ERR [SYS/PERM]");
                    assert!(gone, "{error}: {}", gateway.logged("cannot be read"));
                    found.half_deleted += 1;
                    continue;
                }
            };
            let token = mail::token(&lines).unwrap_or_else(|| panic!("not whole: {lines:?}"));
            *found.times.entry((user, token)).or_default() += 1;
        }
        session.quit().unwrap();
    }
    found
}

/// What a gateway lists, what the rows add up to, and the usage that one has read who knew nothing yet are the same,
/// mailbox by mailbox. Answers how many messages that are.
pub(crate) fn usage(gateway: &Gateway, tables: &Tables, fresh: &HashMap<String, (u64, u64)>) -> usize {
    let mut messages = 0;
    for user in USERS {
        let mut session = Pop3::login(gateway.pop3, user).unwrap();
        let listed = session.list().unwrap();
        session.quit().unwrap();
        messages += listed.len();
        let octets: u64 = listed.iter().map(|(_, size)| size).sum();
        let listed = (octets, listed.len() as u64);
        assert_eq!(tables.usage(user), listed, "the rows of {user} and its listing");
        assert_eq!(fresh[user], listed, "usage of {user} and its listing");
    }
    messages
}

/// Acknowledged is listed once unless it was deleted; deleted is gone; nothing is there twice.
pub(crate) fn balance(sent: &[Sent], deletions: &Deletions, found: &Found) {
    let doubtful = deletions.doubtful.len();
    assert!(
        found.half_deleted <= doubtful,
        "{} of {doubtful}",
        found.half_deleted
    );
    let found = &found.times;
    let mut acknowledged = 0;
    for message in sent {
        for user in &message.to {
            let key = (*user, message.token);
            let times = found.get(&key).copied().unwrap_or_default();
            assert!(times <= 1, "{key:?} is listed {times} times");
            if deletions.done.contains(&key) {
                assert_eq!(times, 0, "{key:?} came back");
            } else if message.is_kept() {
                acknowledged += 1;
                let excused = deletions.doubtful.contains(&key);
                assert!(times == 1 || excused, "{key:?} was acknowledged and is lost");
            }
        }
    }
    let known = |(user, token): &&(&'static str, usize)| {
        sent.iter()
            .any(|message| message.token == *token && message.to.contains(user))
    };
    assert_eq!(found.keys().filter(|key| !known(key)).count(), 0, "unknown mail");
    let late = found.len().saturating_sub(acknowledged);
    println!(
        "{} sent, {} acknowledged, {} entries deleted ({} in doubt), {} read meanwhile, {} listed, of them {late} without a 250",
        sent.len(),
        sent.iter().filter(|message| message.is_kept()).count(),
        deletions.done.len(),
        deletions.doubtful.len(),
        deletions.read,
        found.len(),
    );
}

/// What senders met in a span of time.
pub(crate) struct Span<'a> {
    name: &'a str,
    sent: Vec<&'a Sent>,
}

impl<'a> Span<'a> {
    /// Those that ended in it.
    pub(crate) fn of(name: &'a str, sent: &'a [Sent], from: Instant, to: Instant) -> Self {
        let within = |message: &&Sent| (from..to).contains(&message.ended);
        let sent = sent.iter().filter(within).collect();
        Self { name, sent }
    }

    /// What began since then: what has waited for that moment ends behind it too.
    pub(crate) fn begun_since(name: &'a str, sent: &'a [Sent], from: Instant) -> Self {
        let sent = sent.iter().filter(|message| message.begun >= from).collect();
        Self { name, sent }
    }

    pub(crate) fn refusals(&self) -> Vec<&Sent> {
        let refused = self.sent.iter().filter(|message| message.is_refused());
        refused.copied().collect()
    }

    pub(crate) fn kept(&self) -> usize {
        self.sent.iter().filter(|message| message.is_kept()).count()
    }

    /// Those that ended without a reply.
    pub(crate) fn broken(&self) -> usize {
        self.sent.iter().filter(|message| message.is_broken()).count()
    }

    /// The longest 250, from the last octet.
    pub(crate) fn longest(&self) -> Duration {
        let kept = self.sent.iter().filter_map(|message| match message.fate {
            Fate::Kept(took) => Some(took),
            _ => None,
        });
        kept.max().unwrap_or_default()
    }

    pub(crate) fn print(&self) {
        let mut waits: Vec<Duration> = self
            .sent
            .iter()
            .filter(|sent| sent.is_kept())
            .map(|sent| sent.ended - sent.begun)
            .collect();
        waits.sort_unstable();
        let at = |share: f64| {
            let place = (waits.len() as f64 * share) as usize;
            waits.get(place).copied().unwrap_or_default().as_millis()
        };
        println!(
            "{:24} {:5} × 250, {:4} × 4xx, {:3} without a reply; longest 250 {:5} ms; whole transaction p50 {} ms, p99 {} ms, longest {} ms",
            self.name,
            waits.len(),
            self.refusals().len(),
            self.broken(),
            self.longest().as_millis(),
            at(0.5),
            at(0.99),
            waits.last().copied().unwrap_or_default().as_millis(),
        );
    }
}
