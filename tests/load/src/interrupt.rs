//! Benches that are told to end.

use anyhow::bail;
use std::future::Future;
use tokio::signal::unix::{SignalKind, signal};

/// Does the work until SIGINT or SIGTERM: then it is dropped, which ends what it started and removes its folders.
pub(crate) async fn unless_interrupted(work: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<()> {
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    tokio::select! {
        biased;
        _ = interrupt.recv() => bail!("interrupted: what was measured is kept"),
        _ = terminate.recv() => bail!("terminated: what was measured is kept"),
        done = work => done,
    }
}
