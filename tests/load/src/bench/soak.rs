//! A long time at 70 % of the highest rate: deliveries, readers who delete what came, a policy on every message.

use super::deliveries::Warm;
use super::{Bench, MAILBOXES, Trial, say};
use crate::gateway::PASSWORD;
use crate::options::{merge, of_both, resident};
use crate::pace::{self, Pace};
use crate::process::Meter;
use crate::reader::{Order, Reader, Visit};
use serde_json::json;
use std::path::Path;
use std::time::Duration;

const SHARE: f64 = 0.7;
const READERS: usize = 4;
/// Lines of a soak, whatever its length.
const LINES: u32 = 180;

pub(super) async fn soak(bench: &mut Bench) -> anyhow::Result<()> {
    let trial = Trial::new("soak", "gateway", json!({}), 1);
    if !bench.lacks(&[trial.id()]) {
        return Ok(());
    }
    let policies: Vec<_> = bench.policy.iter().cloned().collect();
    let warm = Warm::start(bench, &policies).await?;
    let highest = both(&warm, Pace::Closed, bench.round, &pace::progress("highest")).await?;
    let rate = highest.0.rate() * SHARE;
    say(&format!("{}: {rate:.0} deliveries a second", trial.id()));

    let meter = Meter::of([("gateway".to_owned(), warm.gateway.pid())]);
    let observer = pace::progress("soak");
    let before = meter.read()?;
    let probe = || {
        let mut found = resident(&[warm.gateway.pid()]);
        let disk = occupied(warm.gateway.folder());
        merge(
            &mut found,
            json!({ "disk_kib": disk / 1024, "live": warm.work.live() }),
        );
        found
    };
    let every = (bench.soak / LINES).max(Duration::from_secs(1));
    let work = both(&warm, Pace::Open(rate), bench.soak, &observer);
    let (done, lines) = observer.observing(every, probe, work).await?;
    observer.finish_and_clear();
    let (sent, read) = done?;
    let mut figures = sent.json();
    merge(&mut figures, meter.since(&before, sent.work(), sent.octets)?);
    of_both(&mut figures);
    merge(
        &mut figures,
        json!({ "offered": rate, "policies": policies.len(), "readers": read.json(), "lines": lines }),
    );
    let difference = warm
        .work
        .read_back(warm.gateway.pop3, PASSWORD, MAILBOXES)
        .await?;
    merge(&mut figures, difference.json());
    bench.add(&trial, &figures)
}

/// Senders at this pace and readers who come again and again.
async fn both(
    warm: &Warm,
    pace: Pace,
    length: Duration,
    observer: &pace::Observer,
) -> anyhow::Result<(pace::Tally, pace::Tally)> {
    let visit = Visit {
        read: 100,
        delete: 100,
        at_once: 16,
        ..Visit::STAT
    };
    let with_password = |name: &String| (name.clone(), PASSWORD.to_owned());
    let users: Vec<_> = warm.work.mailboxes().iter().map(with_password).collect();
    let target = warm.gateway.pop3.into();
    let readers = Reader::fleet(READERS, &target, (users, Order::Turn), &visit, Some(&warm.work));
    let aside = observer.aside();
    let mut senders = warm.senders(2 * MAILBOXES);
    pace::ready(&mut senders).await;
    let sending = pace::run(senders, pace, length, observer);
    // A visit a reader and 50 ms: who polls an empty maildrop without end measures that.
    let reading = pace::run(readers, Pace::Capped(READERS as f64 * 20.0), length, &aside);
    tokio::try_join!(sending, reading)
}

/// Octets that the files of a folder have on the disk.
pub(super) fn occupied(folder: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt as _;
    let mut sum = 0;
    // What goes while it is looked at is gone.
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        match entry.metadata() {
            Ok(meta) if meta.is_dir() => sum += occupied(&entry.path()),
            Ok(meta) => sum += meta.blocks() * 512,
            Err(_) => {}
        }
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_occupies_what_its_files_do() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(occupied(folder.path()), 0);
        std::fs::create_dir(folder.path().join("deep")).unwrap();
        std::fs::write(folder.path().join("deep/file"), vec![1; 100_000]).unwrap();
        assert!((100_000..200_000).contains(&occupied(folder.path())));
    }
}
