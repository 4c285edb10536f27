//! Room in a mailbox: the account's own bounds and what quota policies say, and the owner's warning.
//!
//! The answer is a ceiling. The store compares it with exact usage in the commit itself, so deliveries at
//! the same moment cannot pass it together. What a transaction asks of the store for it is [`Known`] and asked once.

#[cfg(test)]
mod tests;
mod warning;

pub use warning::warn;

use crate::policy::{Facts, Opinion, Policies, QuotaDecision};
use crate::store::{Account, Ceiling, Mailbox, Store, StoreError, Usage};
use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use postern_proto::smtp::Reply;
use std::collections::HashMap;

/// Mailboxes that are read at once.
const AT_ONCE: usize = 16;

/// Whether a mailbox may take a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Room {
    Granted {
        ceiling: Ceiling,
        /// What the owner should read.
        warning: Option<String>,
    },
    Denied(Reply),
}

/// What one transaction has read of mailboxes.
#[derive(Debug, Default)]
pub struct Known {
    /// The accounts' own bounds, read at RCPT and not again.
    bounds: HashMap<Mailbox, Ceiling>,
    /// How full they are, read for the commit.
    usages: HashMap<Mailbox, Usage>,
}

impl Known {
    /// Reads what is going to be asked about these, all at once: a client waits for it.
    pub async fn read(
        &mut self,
        store: &dyn Store,
        policies: &Policies,
        mailboxes: Vec<Mailbox>,
    ) -> Result<(), StoreError> {
        let standings = mailboxes.into_iter().map(|mailbox| {
            let bounds = self.bounds.get(&mailbox).copied();
            async move {
                let bounds = match bounds {
                    Some(bounds) => bounds,
                    None => own(store, &mailbox).await?,
                };
                let usage = match bounds == Ceiling::default() && !policies.asks_quota() {
                    true => None,
                    false => Some(store.usage(&mailbox).await?),
                };
                Ok::<_, StoreError>((mailbox, bounds, usage))
            }
        });
        let read: Vec<_> = stream::iter(standings)
            .buffer_unordered(AT_ONCE)
            .try_collect()
            .await?;
        for (mailbox, bounds, usage) in read {
            self.usages
                .extend(usage.map(|usage| (Mailbox::clone(&mailbox), usage)));
            self.bounds.insert(mailbox, bounds);
        }
        Ok(())
    }

    async fn bounds(&mut self, store: &dyn Store, mailbox: &Mailbox) -> Result<Ceiling, StoreError> {
        if let Some(bounds) = self.bounds.get(mailbox) {
            return Ok(*bounds);
        }
        let bounds = own(store, mailbox).await?;
        self.bounds.insert(Mailbox::clone(mailbox), bounds);
        Ok(bounds)
    }
}

async fn own(store: &dyn Store, mailbox: &str) -> Result<Ceiling, StoreError> {
    let account = store.account(mailbox).await?;
    Ok(account.map(|account| bounds(&account)).unwrap_or_default())
}

/// Asks for `incoming` octets in `mailbox`.
pub async fn ask(
    store: &dyn Store,
    policies: &Policies,
    facts: &Facts,
    (mailbox, incoming): (&Mailbox, u64),
    (known, opinions): (&mut Known, &mut Vec<Opinion>),
) -> Result<Room, StoreError> {
    let own = known.bounds(store, mailbox).await?;
    if own == Ceiling::default() && !policies.asks_quota() {
        return Ok(Room::Granted {
            ceiling: own,
            warning: None,
        });
    }
    // A reading answers one question.
    let usage = match known.usages.remove(mailbox) {
        Some(usage) => usage,
        None => store.usage(mailbox).await?,
    };
    let (decision, said) = policies.quota(facts, mailbox, usage, incoming).await;
    opinions.extend(said);
    Ok(room(own, decision, usage, incoming))
}

fn bounds(account: &Account) -> Ceiling {
    Ceiling {
        bytes: account.quota_bytes,
        messages: account.quota_messages,
    }
}

/// The lowest of all ceilings, compared with what is there.
fn room(own: Ceiling, decision: QuotaDecision, usage: Usage, incoming: u64) -> Room {
    let (policy, warning) = match decision {
        QuotaDecision::Allow(ceiling) => (ceiling, None),
        QuotaDecision::Warn { text, ceiling } => (ceiling, Some(text)),
        QuotaDecision::Deny(reply) => return Room::Denied(reply),
    };
    let ceiling = own.lowest(policy);
    if ceiling.admits(usage, incoming) {
        Room::Granted { ceiling, warning }
    } else {
        Room::Denied(Reply::mailbox_full())
    }
}
