//! Messages on their way from and to another store.

use super::access::{View, weight};
use super::change::Change;
use super::committer::Need;
use super::rows::{self, Copy, Holder, Space, tag};
use super::{EmbeddedStore, chunks, damaged};
use crate::message::MessageId;
use crate::store::copying::{Listed, Movable, Value};
use crate::store::{Moved, Result};
use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::mpsc;

#[async_trait]
impl Movable for EmbeddedStore {
    async fn walk(&self, show: mpsc::Sender<Listed>) -> Result<()> {
        self.read_with(move |view| {
            for row in view.range(Space::Message, rows::beginning_with(vec![tag::META])) {
                let id = rows::id_at_end(&row?.0)?;
                if show.blocking_send(listed(view, id)?).is_err() {
                    break;
                }
            }
            Ok(())
        })
        .await
    }

    async fn walk_values(&self, show: mpsc::Sender<Value>) -> Result<()> {
        self.read_with(move |view| {
            for row in view.range(Space::State, rows::beginning_with(vec![tag::KV])) {
                let (row, value) = row?;
                let (namespace, key) = rows::read_kv_key(&row)?;
                let (over_at, value) = rows::read_kv(&value)?;
                let value = Value {
                    namespace: namespace.to_owned(),
                    key: key.to_owned(),
                    value: Bytes::copy_from_slice(value),
                    over_at,
                };
                if show.blocking_send(value).is_err() {
                    break;
                }
            }
            Ok(())
        })
        .await
    }

    /// A message and all who list it come in one commit.
    async fn has(&self, listed: &Listed) -> Result<bool> {
        self.view().is_committed(listed.id)
    }

    async fn admit(&self, moved: Moved) -> Result<()> {
        let delivery = self.without_long_text(moved.as_delivery()).await?;
        let body = chunks::cut(delivery.id, &delivery.content);
        let weight = weight(&delivery, &body)?;
        let ids: Vec<MessageId> = moved.copies.iter().map(|copy| copy.id).collect();
        let work = move |change: &mut Change<'_>| change.deliver_as(&delivery, &ids, body);
        self.queue()?.submit(Need::Synced, weight, work).await.map(|_| ())
    }
}

fn listed(view: &View, id: MessageId) -> Result<Listed> {
    let mut listed = Listed {
        id,
        entries: Vec::new(),
        copies: Vec::new(),
    };
    let holders = rows::beginning_with(rows::message_key(tag::HOLDER, id));
    for row in view.range(Space::Message, holders) {
        let (key, _) = row?;
        let (_, holder) = rows::read_holder_key(&key).ok_or_else(|| damaged("a holder key"))?;
        match holder {
            Holder::Mailbox(mailbox) => {
                let row = view.get(Space::Entry, &rows::entry_key(mailbox, id))?;
                let row = row.ok_or_else(|| damaged("a holder that lists nothing; check the store"))?;
                let entry = rows::Listed::from_row(&row)?.entry(id);
                listed.entries.push((mailbox.into(), entry));
            }
            Holder::Quarantine(copy) => {
                let row = view.get(Space::State, &rows::message_key(tag::QUARANTINED, copy))?;
                let row = row.ok_or_else(|| damaged("a holder that lists nothing; check the store"))?;
                listed.copies.push(Copy::from_row(copy, &row)?.listed);
            }
        }
    }
    Ok(listed)
}
