//! What a delivery costs while one store grows: slices that end at each decade of stored messages, at three times of
//! it, and at the last message.
//!
//! The engine moves files about behind the deliveries: a slice has all that its messages have caused until its end.

use super::soak::occupied;
use super::{Bench, MAILBOXES, SIZE, Trial, mailboxes, say};
use crate::gateway::Gateway;
use crate::ledger::Work;
use crate::message::Size;
use crate::options::{merge, resident};
use crate::pace::{self, Client, Did, Observer, Pace};
use crate::process::Meter;
use crate::smtp::Sender;
use anyhow::{Context as _, bail, ensure};
use serde_json::{Value, json};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

/// The first slice, in which a fresh gateway gets its memory.
const FIRST: u64 = 1000;
/// Fewer are no growth.
pub(super) const LEAST: u64 = 10 * FIRST;
pub(super) const MOST: u64 = 1_000_000_000;
/// Free octets beside the mail: what the gateway keeps free, its journals, and files that are written anew.
const BESIDE: u64 = 1 << 30;
/// No slice takes as long.
const LONGEST: Duration = Duration::from_secs(24 * 3600);

pub(super) async fn growth(bench: &mut Bench) -> anyhow::Result<()> {
    let trial = Trial::new("growth", "gateway", json!({ "stored": bench.growth }), 1);
    if !bench.lacks(&[trial.id()]) {
        return Ok(());
    }
    has_room(&bench.folder, bench.growth)?;
    let gateway = bench.gateway(&mailboxes(), &[])?;
    let work = Arc::new(Work::new(mailboxes(), Size::Fixed(SIZE)).forgetting());
    let mut slices = Vec::new();
    let mut from = 0;
    for to in points(bench.growth) {
        say(&format!("{}: {from} to {to}", trial.id()));
        slices.push(slice(&gateway, &work, (from, to)).await?);
        from = to;
    }
    bench.add(&trial, &json!({ "slices": slices }))
}

/// Where slices end.
fn points(most: u64) -> Vec<u64> {
    let decades = std::iter::successors(Some(FIRST), |decade| Some(decade * 10));
    let mut points: Vec<_> = decades
        .flat_map(|decade| [decade, 3 * decade])
        .take_while(|point| *point < most)
        .collect();
    points.push(most);
    points
}

/// As if nothing were packed.
fn has_room(folder: &Path, messages: u64) -> anyhow::Result<()> {
    const MIB: u64 = 1 << 20;
    let stat = rustix::fs::statvfs(folder)?;
    let free = stat.f_bavail.saturating_mul(stat.f_frsize) / MIB;
    let wanted = (messages * SIZE as u64 + BESIDE) / MIB;
    ensure!(
        free >= wanted,
        "{messages} messages need {wanted} MiB of disk and {} has {free} free: name another place with --runs, or fewer \
         with --growth",
        folder.display()
    );
    Ok(())
}

/// Delivers from so many messages to so many.
async fn slice(gateway: &Gateway, work: &Arc<Work>, (from, to): (u64, u64)) -> anyhow::Result<Value> {
    let observer = pace::progress("growth");
    let sender = Counted {
        sender: Sender::new(gateway.mx, work),
        left: Arc::new(AtomicI64::new((to - from).try_into()?)),
        observer: observer.clone(),
    };
    let mut senders = vec![sender; MAILBOXES];
    pace::ready(&mut senders).await;
    let meter = Meter::of([("gateway".to_owned(), gateway.pid())]);
    let before = meter.read()?;
    let tally = pace::run(senders, Pace::Closed, LONGEST, &observer).await?;
    let mut figures = tally.json();
    merge(
        &mut figures,
        meter.since(&before, tally.messages(), tally.octets)?,
    );
    observer.finish_and_clear();
    if tally.messages() < (to - from) / 100 * 99 {
        let (told, _) = tally.failures.first_key_value().context("messages are missing")?;
        bail!(
            "of {} messages {} were taken; others were told: {told}",
            to - from,
            tally.messages()
        );
    }
    merge(&mut figures, resident(&[gateway.pid()]));
    let disk = occupied(gateway.folder()) / 1024;
    merge(&mut figures, json!({ "from": from, "to": to, "disk_kib": disk }));
    Ok(figures)
}

/// One of those who send so many messages together.
#[derive(Clone)]
struct Counted {
    sender: Sender,
    left: Arc<AtomicI64>,
    /// Told to stop with the last one.
    observer: Observer,
}

impl Client for Counted {
    async fn begin(&mut self) {
        self.sender.begin().await;
    }

    async fn once(&mut self) -> anyhow::Result<Did> {
        if self.left.fetch_sub(1, Ordering::Relaxed) <= 1 {
            self.observer.stop();
        }
        self.sender.once().await
    }

    async fn end(&mut self) {
        self.sender.end().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slices_end_at_decades_at_three_times_of_them_and_at_the_last() {
        assert_eq!(points(LEAST), [1000, 3000, 10_000]);
        assert_eq!(points(50_000), [1000, 3000, 10_000, 30_000, 50_000]);
        let million = points(1_000_000);
        assert_eq!(million[million.len() - 2..], [300_000, 1_000_000]);
        assert_eq!(points(MOST).last(), Some(&MOST));
    }

    #[test]
    fn a_disk_that_is_too_small_is_told_before_anything_is_sent() {
        let folder = tempfile::tempdir().unwrap();
        let fault = has_room(folder.path(), 1 << 50).unwrap_err().to_string();
        assert!(fault.contains("or fewer with --growth"), "{fault}");
    }

    #[tokio::test(start_paused = true)]
    async fn who_sends_so_many_together_stops_there() {
        let observer = Observer::silent();
        let nobody = std::net::SocketAddr::from(([127, 0, 0, 1], 1));
        let work = Arc::new(Work::new(mailboxes(), Size::Fixed(SIZE)).forgetting());
        let sender = Counted {
            sender: Sender::new(nobody, &work),
            left: Arc::new(AtomicI64::new(10)),
            observer: observer.clone(),
        };
        let tally = pace::run(vec![sender; 4], Pace::Closed, LONGEST, &observer)
            .await
            .unwrap();
        assert_eq!(tally.failed(), 10);
    }
}
