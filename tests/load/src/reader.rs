//! A client that polls maildrops: it logs in, looks, reads and deletes what it is told to, and says QUIT.

use crate::ledger::Work;
use crate::message::{Identity, identify};
use crate::pace::{Client, Did};
use crate::pop3::Session;
use crate::target::Target;
use anyhow::{Context as _, ensure};
use rand::RngExt as _;
use std::sync::Arc;
use tokio::time::Instant;

/// What a visit does.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Visit {
    pub(crate) stat: bool,
    pub(crate) list: bool,
    /// Percent of the messages that are read.
    pub(crate) read: u8,
    /// Percent of those that are deleted.
    pub(crate) delete: u8,
    /// The most messages that one visit looks at.
    pub(crate) most: usize,
    /// RETR and DELE that are asked for in one go.
    pub(crate) at_once: usize,
    /// One session: each turn reads the next messages, again from the first behind the last.
    pub(crate) kept: bool,
}

impl Visit {
    /// Login, STAT, QUIT.
    pub(crate) const STAT: Self = Self {
        stat: true,
        list: false,
        read: 0,
        delete: 0,
        most: usize::MAX,
        at_once: 1,
        kept: false,
    };
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    /// Each client has maildrops of its own, for one that is open is locked.
    Turn,
    /// Any client any maildrop, as rabid does.
    Random,
}

#[derive(Debug)]
pub(crate) struct Reader {
    target: Target,
    /// Names and passwords.
    users: Arc<Vec<(String, String)>>,
    order: Order,
    /// The user to visit next, and how many are between two visits.
    next: usize,
    step: usize,
    visit: Visit,
    /// Who is told what was read.
    work: Option<Arc<Work>>,
    /// A session that is kept, its number of messages, and the one to read next.
    kept: Option<(Session, usize, usize)>,
}

impl Reader {
    /// So many clients.
    pub(crate) fn fleet(
        count: usize,
        target: &Target,
        (users, order): (Vec<(String, String)>, Order),
        visit: &Visit,
        work: Option<&Arc<Work>>,
    ) -> Vec<Self> {
        let users = Arc::new(users);
        let one = |nth| Self {
            target: target.clone(),
            users: Arc::clone(&users),
            order,
            next: nth,
            step: count,
            visit: visit.clone(),
            work: work.map(Arc::clone),
            kept: None,
        };
        (0..count).map(one).collect()
    }

    fn user(&mut self) -> anyhow::Result<&(String, String)> {
        let all = self.users.len().max(1);
        let place = match self.order {
            Order::Turn => {
                let place = self.next % all;
                let following = self.next + self.step;
                self.next = if following < all {
                    following
                } else {
                    self.next % self.step
                };
                place
            }
            Order::Random => rand::rng().random_range(0..all),
        };
        self.users.get(place).context("nobody to read for")
    }

    async fn login(&mut self) -> anyhow::Result<Session> {
        let target = self.target.clone();
        let (user, password) = self.user()?;
        Session::login(&target, user, password).await
    }

    /// A session that is to be kept, and its number of messages.
    async fn opened(&mut self) -> anyhow::Result<(Session, usize, usize)> {
        let mut session = self.login().await?;
        let count = session.count().await?;
        ensure!(count > 0, "the maildrop is empty");
        Ok((session, count, 1))
    }

    /// Reads the next messages over the session that is kept.
    async fn next_messages(&mut self) -> anyhow::Result<Did> {
        let (mut session, count, next) = match self.kept.take() {
            Some(kept) => kept,
            None => self.opened().await?,
        };
        let last = (next + self.visit.at_once - 1).min(count);
        let (mut read, mut octets) = (0, 0);
        let each = |message: &[u8]| {
            read += 1;
            octets += message.len();
        };
        session.retrieve_at_once(next..=last, each).await?;
        let following = if last == count { 1 } else { last + 1 };
        self.kept = Some((session, count, following));
        Ok(Did::messages(read, octets))
    }

    async fn poll(&mut self) -> anyhow::Result<Did> {
        let mut session = self.login().await?;
        let mut count = 0;
        if self.visit.stat || (self.visit.read > 0 && !self.visit.list) {
            count = session.count().await?;
        }
        if self.visit.list {
            let listed = session.block("LIST").await?;
            count = memchr::memchr_iter(b'\n', listed).count();
        }
        let wanted = share(count.min(self.visit.most), self.visit.read);
        let (mut found, mut octets) = (Vec::new(), 0);
        let mut deleted: Vec<Option<Identity>> = Vec::new();
        let told = self.work.is_some();
        for first in (1..=wanted).step_by(self.visit.at_once.max(1)) {
            let numbers = first..=(first + self.visit.at_once - 1).min(wanted);
            let each = |message: &[u8]| {
                octets += message.len();
                found.push(told.then(|| identify(message)).flatten());
            };
            session.retrieve_at_once(numbers, each).await?;
            // So that each batch has its share.
            let due = share(found.len(), self.visit.delete);
            if due > deleted.len() {
                let numbers = deleted.len() + 1..=due;
                deleted.extend(found.iter().take(due).skip(deleted.len()));
                session.delete_at_once(numbers).await?;
            }
        }
        let answered = Instant::now();
        let quit = session.ask("QUIT").await;
        if let Some(work) = &self.work {
            match &quit {
                Ok(_) => work.taken(deleted),
                Err(_) => work.in_doubt(&deleted),
            }
        }
        quit?;
        Ok(Did {
            answered,
            ..Did::messages(found.len() as u64, octets)
        })
    }
}

/// So many percent, rounded up.
fn share(count: usize, percent: u8) -> usize {
    (count * usize::from(percent)).div_ceil(100)
}

impl Client for Reader {
    async fn begin(&mut self) {
        if self.visit.kept && self.kept.is_none() {
            self.kept = self.opened().await.ok();
        }
    }

    async fn once(&mut self) -> anyhow::Result<Did> {
        match self.visit.kept {
            true => self.next_messages().await,
            false => self.poll().await,
        }
    }

    async fn end(&mut self) {
        if let Some((mut session, ..)) = self.kept.take() {
            // Nothing was deleted that this would end.
            let _ = session.ask("QUIT").await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_have_maildrops_of_their_own() {
        let users: Vec<_> = (0..5).map(|nth| (format!("u{nth}"), String::new())).collect();
        let target = Target::from(std::net::SocketAddr::from(([127, 0, 0, 1], 1)));
        let mut fleet = Reader::fleet(2, &target, (users, Order::Turn), &Visit::STAT, None);
        let mut visits =
            |nth: usize| -> Vec<String> { (0..4).map(|_| fleet[nth].user().unwrap().0.clone()).collect() };
        assert_eq!(visits(0), ["u0", "u2", "u4", "u0"]);
        assert_eq!(visits(1), ["u1", "u3", "u1", "u3"]);
    }

    #[test]
    fn a_share_is_rounded_up() {
        assert_eq!(
            [share(0, 50), share(1, 50), share(10, 50), share(10, 0)],
            [0, 1, 5, 0]
        );
        assert_eq!(share(10, 100), 10);
    }
}
