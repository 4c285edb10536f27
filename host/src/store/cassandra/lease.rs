//! Leases on maildrops: a row that expires with its holder.
//!
//! Taken, renewed and given back by lightweight transactions, none of which carries a time of its own (`IF` takes no
//! `USING TIMESTAMP`). Nodes count a row's time by their own clocks, so who holds one does well to take it for over a
//! little before its end.

use super::CassandraStore;
use super::rows;
use crate::message::MessageId;
use crate::store::{Leased, Leases, Result};
use async_trait::async_trait;
use scylla::value::CqlValue;
use std::time::Duration;

fn seconds(lasts: Duration) -> i32 {
    i32::try_from(lasts.as_secs().max(1)).unwrap_or(i32::MAX)
}

#[async_trait]
impl Leases for CassandraStore {
    async fn take_lease(&self, mailbox: &str, holder: MessageId, lasts: Duration) -> Result<Leased> {
        let values = (mailbox, rows::uuid(holder), seconds(lasts));
        let decided = self.decide(&self.statements.take_lease, values).await?;
        let written = [("holder", Some(CqlValue::Uuid(rows::uuid(holder))))];
        Ok(leased(decided.made(&written)))
    }

    async fn renew_lease(&self, mailbox: &str, holder: MessageId, lasts: Duration) -> Result<Leased> {
        let id = rows::uuid(holder);
        let values = (seconds(lasts), id, mailbox, id);
        let renewed = self.transact(&self.statements.renew_lease, values).await?;
        Ok(leased(renewed))
    }

    async fn end_lease(&self, mailbox: &str, holder: MessageId) -> Result<()> {
        let values = (mailbox, rows::uuid(holder));
        self.transact(&self.statements.end_lease, values).await.map(drop)
    }
}

fn leased(held: bool) -> Leased {
    match held {
        true => Leased::Held,
        false => Leased::Refused,
    }
}
