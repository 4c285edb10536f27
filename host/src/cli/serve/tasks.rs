//! What a gateway does by the clock.

use crate::gateway::Gateway;
use crate::store::{Result, Store};
use rand::RngExt as _;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio_util::sync::CancellationToken;

/// How often quarantine is looked through: `quarantine.keep` is counted in days.
const EXPIRY: Duration = Duration::from_secs(3600);
/// How often, at most, a gateway asks whether the day's sweep is its own to do.
const SWEEP_ASKED: Duration = Duration::from_secs(3600);
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

/// Once a day in the whole cluster one gateway sweeps. All ask about once an hour, at moments drawn by lot, until
/// `end`.
pub(super) async fn sweep(store: Arc<dyn Store>, end: CancellationToken) {
    loop {
        let pause = SWEEP_ASKED.mul_f64(rand::rng().random_range(0.5..1.0));
        if end.run_until_cancelled(tokio::time::sleep(pause)).await.is_none() {
            return;
        }
        let Some(done) = end.run_until_cancelled(sweep_if_due(&*store)).await else {
            return;
        };
        if let Err(error) = done {
            tracing::error!(%error, "the store is not swept; another gateway may, or this one tomorrow");
        }
    }
}

async fn sweep_if_due(store: &dyn Store) -> Result<()> {
    if !store.sweep_is_due().await? {
        return Ok(());
    }
    let swept = store.sweep().await?;
    tracing::info!(
        bodies = swept.bodies + swept.small,
        references = swept.references,
        left_alone = swept.left_alone,
        "what nobody could reach is swept"
    );
    Ok(())
}
