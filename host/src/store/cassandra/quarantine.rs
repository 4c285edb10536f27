//! Quarantine: rows by epoch of their id, each with a reference of its own to its body.

use super::CassandraStore;
use super::mail::{QUARANTINE, held_by, weight};
use super::rows;
use crate::message::MessageId;
use crate::store::{Delivery, NewQuarantined, Quarantine, Quarantined, Result, StoreError, Usage};
use async_trait::async_trait;
use uuid::Uuid;

pub(super) type HeldRow = (Uuid, Uuid, i64, i64, Option<Vec<String>>, String, Vec<u8>);
/// As it is read, perhaps half of it.
type Columns = (
    Uuid,
    Option<Uuid>,
    Option<i64>,
    Option<i64>,
    Option<Vec<String>>,
    Option<String>,
    Option<Vec<u8>>,
);

fn whole((msg, blob, size, weight, mailboxes, reason, trace): Columns) -> Option<HeldRow> {
    Some((msg, blob?, size?, weight?, mailboxes, reason?, trace?))
}

impl CassandraStore {
    pub(super) async fn put_held(
        &self,
        id: MessageId,
        copy: &NewQuarantined,
        delivery: &Delivery,
    ) -> Result<()> {
        let mailboxes: Vec<&str> = copy.mailboxes.iter().map(|mailbox| &**mailbox).collect();
        let epoch = rows::epoch(id);
        let values = (
            epoch,
            rows::uuid(id),
            rows::uuid(delivery.id),
            rows::big(delivery.content.size()),
            rows::big(weight(id, copy, delivery)),
            mailboxes,
            &copy.reason,
            &copy.trace,
            rows::written_at(id),
        );
        let quarantine = QUARANTINE.into();
        let put = self.cluster.execute(&self.statements.put_held, values);
        tokio::try_join!(put, self.put_epoch(&quarantine, epoch)).map(|_| ())
    }

    pub(super) async fn held_row(&self, id: MessageId) -> Result<HeldRow> {
        let key = (rows::epoch(id), rows::uuid(id));
        let row: Option<Columns> = self.cluster.row(&self.statements.held_one, key).await?;
        row.and_then(whole).ok_or(StoreError::NotFound)
    }

    /// The id of the body that a quarantined copy holds.
    pub(super) async fn held_body(&self, id: MessageId) -> Result<MessageId> {
        Ok(rows::id(self.held_row(id).await?.1))
    }
}

pub(super) fn quarantined((msg, _, size, _, mailboxes, reason, trace): HeldRow) -> Quarantined {
    Quarantined {
        id: rows::id(msg),
        mailboxes: mailboxes
            .unwrap_or_default()
            .into_iter()
            .map(Into::into)
            .collect(),
        reason,
        trace: trace.into(),
        size: rows::size(size),
    }
}

#[async_trait]
impl Quarantine for CassandraStore {
    async fn quarantined(&self, after: Option<MessageId>, limit: usize) -> Result<Vec<Quarantined>> {
        let mut found = Vec::new();
        for (epoch, low) in self.epochs(QUARANTINE).await? {
            if after.is_some_and(|after| rows::epoch(after) > epoch) {
                continue;
            }
            let from = after.map_or(low, |after| low.max(rows::uuid(after)));
            // One more than wanted: the first may be `after` itself.
            let left = i32::try_from(limit - found.len()).unwrap_or(i32::MAX - 1);
            let key = (epoch, from, left + 1);
            let page: Vec<Columns> = self.cluster.rows(&self.statements.held_page, key).await?;
            let behind = page.into_iter().filter_map(whole).map(quarantined);
            let behind = behind.filter(|copy| after.is_none_or(|after| copy.id > after));
            found.extend(behind.take(limit - found.len()));
            if found.len() == limit {
                break;
            }
        }
        Ok(found)
    }

    async fn quarantined_one(&self, id: MessageId) -> Result<Quarantined> {
        self.held_row(id).await.map(quarantined)
    }

    async fn quarantine_drop(&self, id: MessageId) -> Result<()> {
        let at = rows::above_all(self.clock.moment()?);
        let (_, body, _, weight, ..) = self.held_row(id).await?;
        let epoch = rows::epoch(id);
        let values = (at, epoch, rows::uuid(id));
        self.cluster.execute(&self.statements.drop_held, values).await?;
        self.usages.removed(QUARANTINE, &[(id, rows::size(weight))]);
        self.found.invalidate(&rows::id(body));
        self.release(rows::id(body), &held_by(id), at).await?;
        self.advance_low(QUARANTINE, epoch).await;
        Ok(())
    }

    async fn quarantine_usage(&self) -> Result<Usage> {
        self.current_usage(QUARANTINE, None).await
    }
}
