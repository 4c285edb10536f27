//! Room in a mailbox: the account's own bounds and what quota policies say, and the owner's warning.
//!
//! The answer is a ceiling. The store compares it with exact usage in the commit itself, so deliveries at
//! the same moment cannot pass it together.

#[cfg(test)]
mod tests;
mod warning;

pub use warning::warn;

use crate::policy::{Facts, Opinion, Policies, QuotaDecision};
use crate::store::{Account, Ceiling, Store, StoreError, Usage};
use postern_proto::smtp::Reply;

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

/// Asks for `incoming` octets in `mailbox`.
pub async fn ask(
    store: &dyn Store,
    policies: &Policies,
    facts: &Facts,
    (mailbox, incoming): (&str, u64),
    opinions: &mut Vec<Opinion>,
) -> Result<Room, StoreError> {
    let own = store
        .account(mailbox)
        .await?
        .map(|account| bounds(&account))
        .unwrap_or_default();
    if own == Ceiling::default() && !policies.asks_quota() {
        return Ok(Room::Granted {
            ceiling: own,
            warning: None,
        });
    }
    let usage = store.usage(mailbox).await?;
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
