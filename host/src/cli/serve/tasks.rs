//! What a gateway does by the clock.

use crate::clock::unix_millis;
use crate::gateway::Gateway;
use crate::store::{Quarantined, Result, Store};
use rand::RngExt as _;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// How often quarantine is looked through: `quarantine.keep` is counted in days.
const EXPIRY: Duration = Duration::from_secs(3600);
/// How often, at most, a gateway asks whether the day's sweep is its own to do.
const SWEEP_ASKED: Duration = Duration::from_secs(3600);

/// Drops from quarantine what is older than `quarantine.keep`: now, and every hour until `end`.
pub(super) async fn expire_quarantine(gateway: Arc<Gateway>, end: CancellationToken) {
    let mut tick = tokio::time::interval(EXPIRY);
    while end.run_until_cancelled(tick.tick()).await.is_some() {
        let keep = gateway.config.quarantine.keep;
        let since = Duration::from_millis(unix_millis()).saturating_sub(keep);
        let moment = u64::try_from(since.as_millis()).unwrap_or(u64::MAX);
        if let Some(Err(error)) = end.run_until_cancelled(drop_before(&gateway, moment)).await {
            tracing::error!(%error, "quarantine is not expired; trying again in an hour");
        }
    }
}

async fn drop_before(gateway: &Gateway, moment: u64) -> Result<()> {
    loop {
        let expired = gateway.store.quarantine_expire(moment).await?;
        if expired.is_empty() {
            return Ok(());
        }
        expired.iter().for_each(note);
    }
}

fn note(held: &Quarantined) {
    metrics::counter!("postern_quarantine_expired_total").increment(1);
    tracing::info!(id = %held.id, size = held.size, reason = %held.reason, "quarantined message expired");
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
