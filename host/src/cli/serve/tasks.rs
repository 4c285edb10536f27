//! What a gateway does by the clock.

use crate::gateway::Gateway;
use crate::store::Result;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio_util::sync::CancellationToken;

/// How often quarantine is looked through: `quarantine.keep` is counted in days.
const EXPIRY: Duration = Duration::from_secs(3600);
/// Entries looked at in one question to the store.
const PAGE: usize = 100;

/// Drops from quarantine what is older than `quarantine.keep`: now, and every hour until `end`.
pub(super) async fn expire_quarantine(gateway: Arc<Gateway>, end: CancellationToken) {
    let mut tick = tokio::time::interval(EXPIRY);
    while end.run_until_cancelled(tick.tick()).await.is_some() {
        let keep = gateway.config.quarantine.keep;
        let since = SystemTime::UNIX_EPOCH
            .elapsed()
            .unwrap_or_default()
            .saturating_sub(keep);
        if let Some(Err(error)) = end.run_until_cancelled(drop_before(&gateway, since)).await {
            tracing::error!(%error, "quarantine is not expired; trying again in an hour");
        }
    }
}

/// Ids are ordered by time, so the first that is young enough ends the walk.
async fn drop_before(gateway: &Gateway, since: Duration) -> Result<()> {
    loop {
        let oldest = gateway.store.quarantined(None, PAGE).await?;
        let old = |id: u64| Duration::from_millis(id) < since;
        let expired: Vec<_> = oldest.iter().filter(|held| old(held.id.unix_millis())).collect();
        for held in &expired {
            gateway.store.quarantine_drop(held.id).await?;
            metrics::counter!("postern_quarantine_expired_total").increment(1);
            tracing::info!(id = %held.id, size = held.size, reason = %held.reason, "quarantined message expired");
        }
        if expired.len() < PAGE {
            return Ok(());
        }
    }
}
