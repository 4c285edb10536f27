//! A quota policy's warning: one message from postmaster to a mailbox and day.
//!
//! It is delivered under the mailbox's own ceiling: a warning never makes a mailbox fuller than it may be.
//! One that cannot be written is lost and logged; the mail that caused it is not touched.

use crate::gateway::Gateway;
use crate::message::downgrade::downgraded_len;
use crate::message::{MessageId, head, trace};
use crate::store::{Atomicity, Ceiling, Content, Delivery, Mailbox, NewEntry, StoreError, Text};
use bytes::Bytes;

/// Where it is remembered who was warned.
const NAMESPACE: &str = "postern:quota-warning";

/// Days differ by their name in the key; a value is over when no day can have it any more.
const REMEMBERED: u32 = 2 * DAY;
const DAY: u32 = 86_400;

/// Tells the owner of `mailbox`, unless that was done today.
pub async fn warn(gateway: &Gateway, mailbox: &Mailbox, text: &str, ceiling: Ceiling) {
    match write(gateway, mailbox, text, ceiling).await {
        Ok(()) => {}
        Err(error) => tracing::warn!(%mailbox, %error, "a quota warning was not delivered"),
    }
}

async fn write(gateway: &Gateway, mailbox: &Mailbox, text: &str, ceiling: Ceiling) -> Result<(), StoreError> {
    let id = MessageId::new();
    let now = id.unix_millis();
    let key = format!("{mailbox}/{}", now / 1000 / u64::from(DAY));
    let store = &gateway.store;
    if store
        .kv_increment(NAMESPACE, &key, 1, REMEMBERED, now, u64::MAX)
        .await?
        > 1
    {
        return Ok(());
    }
    let content = letter(gateway, id, mailbox, text);
    let trace: Bytes = format!("{}{}", trace::return_path(None), trace::delivered_to(mailbox)).into();
    let size = trace.len() as u64 + content.size();
    // The address may be internationalized.
    let heads = (trace.len() + content.head.len()) as u64;
    let downgraded_size = size - heads + downgraded_len(&trace) + downgraded_len(&content.head);
    let entry = NewEntry {
        mailbox: mailbox.clone(),
        trace,
        size,
        downgraded_size,
        ceiling,
        uidl: None,
    };
    let delivery = Delivery {
        id,
        content,
        facts: Bytes::new(),
        entries: vec![entry],
        quarantine: Vec::new(),
        atomicity: Atomicity::All,
    };
    let outcome = store.deliver(delivery).await?;
    metrics::counter!("postern_quota_warnings_total").increment(1);
    tracing::info!(%id, %mailbox, ?outcome, "quota warning");
    Ok(())
}

fn letter(gateway: &Gateway, id: MessageId, mailbox: &str, text: &str) -> Content {
    let config = &gateway.config;
    let head = [
        head::write("From", &format!("Mail system <{}>", config.postmaster)),
        head::write("To", &format!("<{mailbox}>")),
        head::write("Subject", "Your mailbox is filling up"),
        head::write("Date", &trace::date(id.unix_millis() / 1000)),
        head::write("Message-ID", &format!("<{id}@{}>", config.hostname)),
        // RFC 3834 §5: nobody answers this by machine.
        head::write("Auto-Submitted", "auto-generated"),
        "MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n"
            .to_owned(),
    ];
    let lines: String = text
        .lines()
        .map(|line| format!("{}\r\n", line.trim_end_matches('\r')))
        .collect();
    Content {
        head: head.concat().into(),
        text: Text::Inline(lines.into()),
    }
}
