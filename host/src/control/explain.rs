//! Why a message fared as it did: from its own facts where it is stored, from the gateway's memory of what was refused,
//! and from what was kept beyond its deletion.

use super::{ControlContext, Outcome, Record, Records, Refusal};
use crate::explain::{Attempt, Explanation, Search, Stored, kept_of};
use crate::message::MessageId;
use crate::policy::Facts;
use crate::store::{Holder, Store, StoreError, pages};
use bytes::Bytes;
use futures_util::stream::StreamExt as _;
use serde::{Deserialize, Serialize};
use std::pin::pin;

/// Attempts of one answer.
const MOST: usize = 100;
/// Mailboxes that are asked at once.
const AT_ONCE: usize = 16;

/// What is told of one message or attempt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExplainRecord {
    pub id: String,
    /// Seconds since 1970.
    pub time: u64,
    pub source: Source,
    pub listener: String,
    pub client_ip: String,
    pub helo: String,
    pub mail_from: String,
    pub rcpt_to: Vec<String>,
    /// Further ones that were not recorded.
    #[serde(default)]
    pub rcpt_cut: usize,
    /// None where nothing was recorded when it came.
    pub explained: Option<Explanation>,
}

/// From where it is known.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Source {
    /// The facts of a stored message.
    Stored,
    /// The record that outlived one.
    Deleted,
    /// What the gateway remembers: `connect`, `mail`, `rcpt` or `message`, where it ended.
    Attempt(String),
}

pub(super) async fn by_id(
    context: &ControlContext,
    (id, mailbox): (&str, Option<&str>),
    records: &Records,
) -> Outcome<String> {
    let parsed: MessageId = id.parse().map_err(|_| {
        Refusal::new(format!(
            "`{id}` is no message id: write the 26 characters of a 250 or of the log"
        ))
    })?;
    let id = parsed.to_string();
    // What is remembered is told whether the store answers or not.
    let attempts = context.attempts(|id| Search::Id(id), &id, MOST).await;
    let (facts, trouble) = match stored(context, parsed, mailbox).await {
        Ok(facts) => (facts, None),
        Err(refusal) if attempts.is_empty() => return Err(refusal),
        Err(Refusal(why)) => (None, Some(why)),
    };
    let mut found = !attempts.is_empty();
    if let Some(facts) = facts {
        found = true;
        records
            .send(Record::Explained(of_stored(&id, parsed, &facts)?))
            .await?;
    }
    for attempt in attempts {
        let source = Source::Attempt(attempt.stage.clone());
        records
            .send(Record::Explained(of_attempt(attempt, source)))
            .await?;
    }
    if !found && let Some(kept) = kept_of(&*context.store, &id).await? {
        found = true;
        records
            .send(Record::Explained(of_attempt(kept, Source::Deleted)))
            .await?;
    }
    match (found, trouble) {
        (true, None) => Ok(String::new()),
        (true, Some(why)) => Ok(format!("whether it is stored too is not known: {why}")),
        (false, _) => Err(Refusal::new(unknown(context, &id))),
    }
}

fn unknown(context: &ControlContext, id: &str) -> String {
    let attempts = match context.attempts {
        Some(_) => "among the refused attempts that this gateway remembers it is not",
        None => "no gateway runs that could remember a refused attempt",
    };
    format!("nothing is known of {id}: it is not stored here (any more), and {attempts}")
}

pub(super) async fn by_address(
    context: &ControlContext,
    address: &str,
    records: &Records,
) -> Outcome<String> {
    if context.attempts.is_none() {
        return Err(Refusal::new(
            "no gateway runs, and only one that runs remembers what it refused: name a message's id",
        ));
    }
    let found = context
        .attempts(|address| Search::Address(address), address, MOST)
        .await;
    if found.is_empty() {
        return Err(Refusal::new(format!(
            "no attempt by or to {address} is remembered, within explain.keep and explain.max"
        )));
    }
    for attempt in found {
        let source = Source::Attempt(attempt.stage.clone());
        records
            .send(Record::Explained(of_attempt(attempt, source)))
            .await?;
    }
    Ok(String::new())
}

/// The facts of a message, through whoever holds it.
async fn stored(context: &ControlContext, id: MessageId, mailbox: Option<&str>) -> Outcome<Option<Bytes>> {
    let store = &*context.store;
    if let Some(mailbox) = mailbox {
        return facts(store, Holder::Mailbox(&mailbox.to_lowercase()), id).await;
    }
    // An engine may find it through anybody.
    for holder in [Holder::Quarantine, Holder::Mailbox("")] {
        if let Some(facts) = facts(store, holder, id).await? {
            return Ok(Some(facts));
        }
    }
    let asked = pages::accounts(store).map(|account| async move {
        let mailbox = account?.address.to_lowercase();
        facts(store, Holder::Mailbox(&mailbox), id).await
    });
    let mut answers = pin!(asked.buffer_unordered(AT_ONCE));
    while let Some(answer) = answers.next().await {
        if let Some(facts) = answer? {
            return Ok(Some(facts));
        }
    }
    Ok(None)
}

async fn facts(store: &dyn Store, holder: Holder<'_>, id: MessageId) -> Outcome<Option<Bytes>> {
    match store.facts(holder, id).await {
        Ok(facts) => Ok(Some(facts)),
        Err(StoreError::NotFound) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn of_stored(id: &str, parsed: MessageId, octets: &[u8]) -> Outcome<Box<ExplainRecord>> {
    // What a gateway writes to its owners has none.
    let facts: Facts = match octets {
        [] => Facts::default(),
        octets => serde_json::from_slice(octets)
            .map_err(|error| Refusal::new(format!("the facts of {id} are of another version: {error}")))?,
    };
    let stored: Stored = serde_json::from_slice(octets).unwrap_or_default();
    Ok(Box::new(ExplainRecord {
        id: id.to_owned(),
        time: parsed.unix_millis() / 1000,
        source: Source::Stored,
        listener: facts.listener,
        client_ip: facts.client_ip,
        helo: facts.helo,
        mail_from: facts.mail_from,
        rcpt_to: facts.rcpt_to,
        rcpt_cut: 0,
        explained: stored.explained,
    }))
}

fn of_attempt(attempt: Attempt, source: Source) -> Box<ExplainRecord> {
    Box::new(ExplainRecord {
        id: attempt.id,
        time: attempt.time / 1000,
        source,
        listener: attempt.listener,
        client_ip: attempt.client_ip,
        helo: attempt.helo,
        mail_from: attempt.mail_from,
        rcpt_to: attempt.rcpt_to,
        rcpt_cut: attempt.rcpt_cut,
        explained: Some(attempt.explained),
    })
}
