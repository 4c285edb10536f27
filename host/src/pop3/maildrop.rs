//! A maildrop that is open: its lock, its listing, its account's place among the sessions.

use super::locks::Lock;
use crate::gateway::{AccountSession, Gateway};
use crate::message::MessageId;
use crate::store::{Entry, Mailbox, Store};
use postern_proto::pop3::{Answer, Message, Refusal, Trouble};

/// Held from login to QUIT or any other end.
#[derive(Debug)]
pub(super) struct Opened {
    lock: Lock,
    entries: Vec<Entry>,
    _session: AccountSession,
}

impl Opened {
    /// Locks and lists the maildrop of an account that has logged in.
    pub(super) async fn open(gateway: &Gateway, account: &str) -> Result<Self, Refusal> {
        let session = gateway.accounts.enter(account).ok_or(Refusal::TooManySessions)?;
        let mailbox = Mailbox::from(account.to_lowercase());
        let lock = gateway.maildrops.take(&mailbox)?;
        let entries = gateway.store.list(&mailbox).await.map_err(|error| {
            tracing::warn!(account, %error, "a maildrop cannot be listed");
            Refusal::Unavailable
        })?;
        lock.opened();
        Ok(Self {
            lock,
            entries,
            _session: session,
        })
    }

    pub(super) fn mailbox(&self) -> &Mailbox {
        self.lock.mailbox()
    }

    /// The entry at `place`, and the mailbox that lists it.
    pub(super) fn entry(&self, place: usize) -> Option<(&Mailbox, &Entry)> {
        self.entries.get(place).map(|entry| (self.mailbox(), entry))
    }

    /// The listing as the machine takes it.
    pub(super) fn messages(&self) -> Vec<Message> {
        let message = |entry: &Entry| Message {
            size: entry.size,
            downgraded_size: entry.downgraded_size,
            uidl: entry.uidl.clone().unwrap_or_else(|| entry.id.to_string()),
        };
        self.entries.iter().map(message).collect()
    }

    /// Removes these messages durably and gives the maildrop free.
    pub(super) async fn remove(self, places: &[usize], store: &dyn Store) -> Answer {
        let entries = places.iter().filter_map(|place| self.entries.get(*place));
        let ids: Vec<MessageId> = entries.map(|entry| entry.id).collect();
        match store.remove(self.mailbox(), &ids).await {
            Ok(()) => Answer::Removed,
            Err(error) => {
                tracing::warn!(account = %self.mailbox(), %error, "messages cannot be removed");
                Answer::Trouble(Trouble::Temporary)
            }
        }
    }
}
