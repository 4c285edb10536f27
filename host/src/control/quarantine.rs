//! Mail that a policy held back: listed, looked at, released, dropped.
//!
//! Release delivers a copy under a new id to the mailboxes it was held back from, within their accounts'
//! own quota, and then drops the held one; after a crash in between there are both. It is refused whole if
//! one of the mailboxes is gone or has no room.

use super::{ControlContext, Outcome, QuarantineRecord, Record, Records, Refusal};
use crate::message::MessageId;
use crate::message::downgrade::downgraded_len;
use crate::store::{
    Atomicity, CHUNK, Ceiling, Content, Delivered, Delivery, Holder, Leased, Mailbox, NewEntry, Quarantined,
    Store, StoreError, Text, pages,
};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD as BASE64;
use bytes::{Bytes, BytesMut};
use futures_util::stream::TryStreamExt as _;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

/// How long a gateway that died keeps others from releasing what it was about to.
const RELEASE: Duration = Duration::from_secs(300);
/// A header section over this is kept with the text.
const LONGEST_HEAD: usize = 4 * 1024 * 1024;
/// What is shown of a header section.
const SHOWN_HEAD: usize = 64 * 1024;

pub(super) async fn list(context: &ControlContext, records: &Records) -> Outcome<String> {
    let mut quarantined = pin!(pages::quarantined(&*context.store));
    while let Some(held) = quarantined.try_next().await? {
        records.send(record(held)).await?;
    }
    Ok(String::new())
}

fn record(held: Quarantined) -> Record {
    Record::Quarantined(QuarantineRecord {
        id: held.id.to_string(),
        time: held.id.unix_millis() / 1000,
        mailboxes: held.mailboxes.iter().map(|mailbox| mailbox.to_string()).collect(),
        reason: held.reason,
        bytes: held.size + held.trace.len() as u64,
    })
}

/// The facts, and the beginning of the message up to its header section's end.
pub(super) async fn show(context: &ControlContext, id: &str, records: &Records) -> Outcome<String> {
    let held = find(context, id).await?;
    let start = context
        .store
        .read(Holder::Quarantine, held.id, 0, SHOWN_HEAD)
        .await?;
    let head = start.slice(..head_end(&start).unwrap_or(start.len()));
    let trace = held.trace.clone();
    records.send(record(held)).await?;
    for piece in [trace, head] {
        records.send(Record::Content(BASE64.encode(piece))).await?;
    }
    Ok(String::new())
}

/// The whole message.
pub(super) async fn content(context: &ControlContext, id: &str, records: &Records) -> Outcome<String> {
    let held = find(context, id).await?;
    records.send(Record::Content(BASE64.encode(&held.trace))).await?;
    let mut offset = 0;
    while offset < held.size {
        let piece = context
            .store
            .read(Holder::Quarantine, held.id, offset, CHUNK)
            .await?;
        if piece.is_empty() {
            break;
        }
        offset += piece.len() as u64;
        records.send(Record::Content(BASE64.encode(piece))).await?;
    }
    Ok(String::new())
}

pub(super) async fn discard(context: &ControlContext, id: &str) -> Outcome<String> {
    let _alone = context.alone.lock().await;
    let held = find(context, id).await?;
    context.store.quarantine_drop(held.id).await?;
    Ok(format!("{} dropped", held.id))
}

async fn find(context: &ControlContext, id: &str) -> Outcome<Quarantined> {
    let id: MessageId = id.parse()?;
    match context.store.quarantined_one(id).await {
        Err(StoreError::NotFound) => Err(Refusal(format!(
            "{id} is not in quarantine: `postern quarantine list` shows what is"
        ))),
        found => Ok(found?),
    }
}

pub(super) async fn release(context: &ControlContext, id: &str) -> Outcome<String> {
    let _alone = context.alone.lock().await;
    let held = find(context, id).await?;
    let Some(leases) = Arc::clone(&context.store).leases() else {
        return give(context, held).await;
    };
    let (claimed, holder) = (format!("quarantine {}", held.id), MessageId::new());
    if leases.take_lease(&claimed, holder, RELEASE).await? == Leased::Refused {
        return Err(Refusal(format!("{id} is being released by another gateway")));
    }
    // That one may just have done it.
    let released = match find(context, id).await {
        Ok(held) => give(context, held).await,
        Err(gone) => Err(gone),
    };
    // Where this fails it ends by itself.
    let _ = leases.end_lease(&claimed, holder).await;
    released
}

async fn give(context: &ControlContext, held: Quarantined) -> Outcome<String> {
    let mut mailboxes = Vec::with_capacity(held.mailboxes.len());
    for mailbox in &held.mailboxes {
        mailboxes.push((mailbox.clone(), ceiling(context, mailbox).await?));
    }
    let new = MessageId::new();
    let delivered = deliver(&*context.store, new, &held, mailboxes).await;
    let delivered = match delivered {
        Ok(delivered) => delivered,
        Err(error) => {
            // What cannot be removed now is swept at the next start.
            let _ = context.store.discard(new).await;
            return Err(error.into());
        }
    };
    let full = held
        .mailboxes
        .iter()
        .zip(&delivered)
        .find(|(_, outcome)| matches!(outcome, Delivered::OverQuota { .. }));
    if let Some((mailbox, _)) = full {
        return Err(Refusal(format!(
            "{mailbox} has no room for it: nothing was released; `postern user quota` sets more"
        )));
    }
    context.store.quarantine_drop(held.id).await?;
    Ok(format!(
        "{} released as {new} to {}",
        held.id,
        held.mailboxes.join(", ")
    ))
}

/// The account's own bounds.
async fn ceiling(context: &ControlContext, mailbox: &str) -> Outcome<Ceiling> {
    match context.store.account(mailbox).await? {
        Some(account) => Ok(Ceiling {
            bytes: account.quota_bytes,
            messages: account.quota_messages,
        }),
        None => Err(Refusal(format!(
            "there is no user {mailbox} any more: nothing was released"
        ))),
    }
}

async fn deliver(
    store: &dyn Store,
    new: MessageId,
    held: &Quarantined,
    mailboxes: Vec<(Mailbox, Ceiling)>,
) -> Result<Vec<Delivered>, StoreError> {
    let content = copy(store, held, new).await?;
    let size = content.size() + held.trace.len() as u64;
    let heads = (held.trace.len() + content.head.len()) as u64;
    let downgraded_size = size - heads + downgraded_len(&held.trace) + downgraded_len(&content.head);
    let entry = |(mailbox, ceiling)| NewEntry {
        mailbox,
        trace: held.trace.clone(),
        size,
        downgraded_size,
        ceiling,
        uidl: None,
    };
    let delivery = Delivery {
        id: new,
        content,
        facts: store.facts(Holder::Quarantine, held.id).await?,
        entries: mailboxes.into_iter().map(entry).collect(),
        quarantine: Vec::new(),
        atomicity: Atomicity::All,
    };
    store.deliver(delivery).await
}

/// The content again under a new id: what is larger than a chunk goes there chunk by chunk.
async fn copy(store: &dyn Store, held: &Quarantined, new: MessageId) -> Result<Content, StoreError> {
    let head = head(store, held).await?;
    let size = held.size - head.len() as u64;
    let mut chunks = 0;
    let mut offset = head.len() as u64;
    loop {
        let chunk = store.read(Holder::Quarantine, held.id, offset, CHUNK).await?;
        if chunks == 0 && chunk.len() as u64 == size {
            let text = Text::Inline(chunk);
            return Ok(Content { head, text });
        }
        if chunk.is_empty() {
            let text = Text::Appended { size, chunks };
            return Ok(Content { head, text });
        }
        offset += chunk.len() as u64;
        store.append(new, chunks, chunk).await?;
        chunks += 1;
    }
}

/// The header section with its empty line; nothing if it is longer than [`LONGEST_HEAD`].
async fn head(store: &dyn Store, held: &Quarantined) -> Result<Bytes, StoreError> {
    let mut read = BytesMut::new();
    while read.len() < LONGEST_HEAD {
        let piece = store
            .read(Holder::Quarantine, held.id, read.len() as u64, CHUNK)
            .await?;
        if piece.is_empty() {
            return Ok(read.freeze());
        }
        read.extend_from_slice(&piece);
        if let Some(end) = head_end(&read) {
            return Ok(read.split_to(end).freeze());
        }
    }
    Ok(Bytes::new())
}

fn head_end(message: &[u8]) -> Option<usize> {
    if message.starts_with(b"\r\n") {
        return Some(2);
    }
    message
        .windows(4)
        .position(|four| four == b"\r\n\r\n")
        .map(|at| at + 4)
}
