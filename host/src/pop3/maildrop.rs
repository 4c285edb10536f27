//! A maildrop that is open: its lock, its listing, its account's place among the sessions.

use super::lease::Lease;
use super::locks::Lock;
use crate::gateway::{AccountSession, Gateway};
use crate::message::MessageId;
use crate::store::{Line, Mailbox, Store};
use postern_proto::pop3::{Answer, Message, Refusal, Trouble, UniqueId};
use tokio_util::sync::CancellationToken;

/// Held from login to QUIT or any other end.
#[derive(Debug)]
pub(super) struct Opened {
    /// Given back before the lock is.
    lease: Option<Lease>,
    lock: Lock,
    lines: Vec<Line>,
    _session: AccountSession,
}

impl Opened {
    /// Locks and lists the maildrop of an account that has logged in. `lost` is cancelled when another gateway may
    /// have it.
    pub(super) async fn open(
        gateway: &Gateway,
        account: &str,
        lost: CancellationToken,
    ) -> Result<Self, Refusal> {
        let session = gateway.accounts.enter(account).ok_or(Refusal::TooManySessions)?;
        let mailbox = Mailbox::from(account.to_lowercase());
        let lock = gateway.maildrops.take(&mailbox)?;
        let lease = match &gateway.leasing {
            Some(leasing) => Some(leasing.take(&mailbox, lost).await?),
            None => None,
        };
        let mut opened = Self {
            lease,
            lock,
            lines: Vec::new(),
            _session: session,
        };
        match gateway.store.list(&mailbox).await {
            Ok(lines) => opened.lines = lines,
            Err(error) => {
                tracing::warn!(account, %error, "a maildrop cannot be listed");
                opened.close().await;
                return Err(Refusal::Unavailable);
            }
        }
        opened.lock.opened();
        Ok(opened)
    }

    /// Gives the maildrop free.
    pub(super) async fn close(self) {
        if let Some(lease) = self.lease {
            lease.give_back().await;
        }
    }

    pub(super) fn mailbox(&self) -> &Mailbox {
        self.lock.mailbox()
    }

    /// The line at `place`, and the mailbox that lists it.
    pub(super) fn line(&self, place: usize) -> Option<(&Mailbox, &Line)> {
        self.lines.get(place).map(|line| (self.mailbox(), line))
    }

    /// The listing as the machine takes it.
    pub(super) fn messages(&self) -> Vec<Message> {
        let own = |line: &Line| line.uidl.clone().map(UniqueId::Text);
        let message = |line: &Line| Message {
            size: line.size,
            downgraded_size: line.downgraded_size,
            uidl: own(line).unwrap_or_else(|| UniqueId::Number(*line.id.as_bytes())),
        };
        self.lines.iter().map(message).collect()
    }

    /// Removes these messages durably, if the maildrop still is this session's.
    pub(super) async fn remove(&self, places: &[usize], store: &dyn Store) -> Answer {
        if let Some(lease) = &self.lease
            && let Err(trouble) = lease.confirm().await
        {
            return Answer::Trouble(trouble);
        }
        let lines = places.iter().filter_map(|place| self.lines.get(*place));
        let ids: Vec<MessageId> = lines.map(|line| line.id).collect();
        match store.remove(self.mailbox(), &ids).await {
            Ok(()) => Answer::Removed,
            Err(error) => {
                tracing::warn!(account = %self.mailbox(), %error, "messages cannot be removed");
                Answer::Trouble(Trouble::Temporary)
            }
        }
    }
}
