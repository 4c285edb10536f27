//! Stored mail, read to be judged again: what there is since a moment, and one message at a time.

use super::{ControlContext, Outcome, Record, Records, Refusal};
use crate::message::MessageId;
use crate::store::{CHUNK, Holder, StoreError, pages};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD as BASE64;
use bytes::Bytes;
use futures_util::stream::TryStreamExt as _;
use serde::{Deserialize, Serialize};
use std::pin::pin;

/// A message that is stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MailRecord {
    pub id: String,
    /// One that lists it; None: quarantine.
    pub mailbox: Option<String>,
    /// Fields that its gateway put before it, as filters saw them: without what is one mailbox's own.
    pub trace: String,
}

/// Every listing of every message that came at `since` (milliseconds since 1970) or later: one that several have is
/// listed by each.
pub(super) async fn list(context: &ControlContext, since: u64, records: &Records) -> Outcome<String> {
    let store = &*context.store;
    let came = |id: MessageId| id.unix_millis() >= since;
    let mut accounts = pin!(pages::accounts(store));
    while let Some(account) = accounts.try_next().await? {
        let mailbox = account.address.to_lowercase();
        let lines = store.list(&mailbox).await?;
        for line in lines.iter().filter(|line| came(line.id)) {
            let trace = match store.trace(&mailbox, line).await {
                // It has been fetched and removed.
                Err(StoreError::NotFound) => continue,
                trace => trace?,
            };
            tell(records, (line.id, &trace), Some(mailbox.clone())).await?;
        }
    }
    let mut quarantined = pin!(pages::quarantined(store));
    while let Some(held) = quarantined.try_next().await? {
        if came(held.id) {
            tell(records, (held.id, &held.trace), None).await?;
        }
    }
    Ok(String::new())
}

async fn tell(records: &Records, (id, trace): (MessageId, &[u8]), mailbox: Option<String>) -> Outcome<()> {
    let mail = MailRecord {
        id: id.to_string(),
        mailbox,
        trace: String::from_utf8_lossy(shared(trace)).into_owned(),
    };
    records.send(Record::Mail(mail)).await
}

/// Behind what is put before it for one mailbox.
fn shared(mut trace: &[u8]) -> &[u8] {
    let own = |trace: &[u8]| trace.starts_with(b"Return-Path:") || trace.starts_with(b"Delivered-To:");
    while own(trace) {
        let end = trace.iter().position(|octet| *octet == b'\n');
        trace = end.and_then(|end| trace.get(end + 1..)).unwrap_or_default();
    }
    trace
}

/// Its facts and its content, a piece at a time; [`Record::Gone`] ends it where it was deleted meanwhile.
pub(super) async fn read(
    context: &ControlContext,
    (id, mailbox): (&str, Option<&str>),
    records: &Records,
) -> Outcome<String> {
    let parsed: MessageId = id
        .parse()
        .map_err(|_| Refusal::new(format!("`{id}` is no message id")))?;
    let holder = mailbox.map_or(Holder::Quarantine, Holder::Mailbox);
    match pieces(context, (holder, parsed), records).await {
        Err(Ended::Store(StoreError::NotFound)) => records.send(Record::Gone(id.to_owned())).await?,
        Err(Ended::Store(error)) => return Err(error.into()),
        Err(Ended::Unheard(refusal)) => return Err(refusal),
        Ok(()) => {}
    }
    Ok(String::new())
}

/// Why the pieces of a message end before it does.
enum Ended {
    Store(StoreError),
    Unheard(Refusal),
}

async fn pieces(
    context: &ControlContext,
    (holder, id): (Holder<'_>, MessageId),
    records: &Records,
) -> Result<(), Ended> {
    let store = &*context.store;
    let send = async |octets: Bytes| {
        let sent = records.send(Record::Content(BASE64.encode(octets))).await;
        sent.map_err(Ended::Unheard)
    };
    send(store.facts(holder, id).await.map_err(Ended::Store)?).await?;
    let mut offset = 0;
    loop {
        let piece = store
            .read(holder, id, offset, CHUNK)
            .await
            .map_err(Ended::Store)?;
        if piece.is_empty() {
            return Ok(());
        }
        offset += piece.len() as u64;
        send(piece).await?;
    }
}
