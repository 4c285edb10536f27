//! The store as a whole.

use super::{ControlContext, Outcome, Record, Records, Refusal};
use crate::store::{Mend, Result, Store, Swept};
use std::path::Path;
use std::sync::Arc;

pub(super) async fn backup(context: &ControlContext, folder: &Path) -> Outcome<String> {
    let target = folder.to_owned();
    let octets = apart(context, move |store| store.backup(&target)).await?;
    Ok(format!("{octets} octets backed up to {}", folder.display()))
}

pub(super) async fn check(context: &ControlContext, mend: Mend, records: &Records) -> Outcome<String> {
    let mut report = context.store.check(mend).await?;
    let mut sums = format!(
        "{} entries of {} mailboxes, {} in quarantine, {} bodies, {} arriving",
        report.entries, report.mailboxes, report.quarantined, report.bodies, report.uncommitted
    );
    if report.mended > 0 {
        sums = format!("{} faults mended; {sums}", report.mended);
    }
    for line in std::mem::take(&mut report.described) {
        records.send(Record::Finding(line)).await?;
    }
    records.send(Record::Checked(report.clone())).await?;
    match (report.is_sound(), report.unread) {
        (true, _) => Ok(format!("sound: {sums}")),
        (false, 0) => Err(Refusal::new(format!("{} faults; {sums}", report.faults))),
        (false, unread) => Err(Refusal::new(format!(
            "{} faults, and {unread} pieces that could not be read from every replica: try again when all nodes \
             are up; {sums}",
            report.faults
        ))),
    }
}

pub(super) async fn sweep(context: &ControlContext) -> Outcome<String> {
    let Swept {
        bodies,
        small,
        references,
        left_alone,
    } = context.store.sweep().await?;
    let sums = format!(
        "{} bodies and {references} references that nobody listed are removed",
        bodies + small
    );
    match left_alone {
        0 => Ok(sums),
        pieces => Err(Refusal::new(format!(
            "{sums}; {pieces} pieces were left alone, for not every replica could be read: try again when all \
             nodes are up"
        ))),
    }
}

/// Reads that take long do so off the threads that serve sessions.
async fn apart<T: Send + 'static>(
    context: &ControlContext,
    work: impl FnOnce(&dyn Store) -> Result<T> + Send + 'static,
) -> Outcome<T> {
    let store = Arc::clone(&context.store);
    let done = tokio::task::spawn_blocking(move || work(&*store)).await;
    Ok(done.map_err(|error| Refusal::new(error.to_string()))??)
}
