//! Power cuts. Under load, at random moments, the disk is taken as it is: the store lives on an XFS inside an image
//! file, and the image is copied in one step (reflink) while everything runs. What only the page cache of the inner
//! file system knows is not in the copy, as it would not be after a real cut. The copy is mounted and opened, and must
//! hold all that had been acknowledged before: nothing lost, nothing deleted comes back, usage equals the sum of the
//! listing. The same load without fdatasync must fail this, or the test would see nothing.
//!
//! Needs root: it mounts. `POSTERN_CUTS` sets the number of cuts, `POSTERN_KILLS` that of kill -9.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test ends by panicking"
)]

#[path = "power_cut/disk.rs"]
mod disk;
#[path = "power_cut/ledger.rs"]
mod ledger;
#[path = "power_cut/load.rs"]
mod load;

use disk::{Disk, Mounted};
use ledger::Ledger;
use load::{Load, Syncing};
use postern::store::embedded::{EmbeddedStore, Options, check};
use rand::RngExt;
use std::path::Path;
use std::time::{Duration, Instant};

/// A number from the environment.
fn number(name: &str, default: usize) -> usize {
    std::env::var(name).map_or(default, |text| text.parse().expect(name))
}

/// A time in which the load goes on, drawn anew for each cut.
fn a_while() -> Duration {
    Duration::from_millis(rand::rng().random_range(200..1200))
}

/// Opens what a cut left and compares; a fault is told, not panicked, as the control wants one.
fn compare(folder: &Path, ledger: &Ledger) -> Result<String, String> {
    let started = Instant::now();
    let options = Options {
        reserve: 0,
        ..Options::default()
    };
    let store = EmbeddedStore::open(folder, options).map_err(|error| error.to_string())?;
    let opened = started.elapsed();
    let report = check(&store).map_err(|error| error.to_string())?;
    if !report.is_sound() {
        return Err(format!("{} faults: {:?}", report.faults, report.described));
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .expect("a runtime");
    runtime.block_on(ledger.compare(&*store))?;
    Ok(format!(
        "{} kept, {} removed, {} bodies, opened in {opened:?}",
        ledger.kept(),
        ledger.removed(),
        report.bodies
    ))
}

/// Cuts the power `cuts` times under one load; the first fault ends it.
fn cut(cuts: usize, syncing: Syncing) -> Result<(), String> {
    let disk = Disk::new();
    let load = Load::start(&disk.path().join("store"), syncing, 200);
    for nth in 0..cuts {
        load.goes_on_for(a_while());
        let acknowledged = load.heard();
        let copy = disk.copy();
        load.heard_all_said_until_now();
        let ledger = load.ledger(acknowledged);
        assert!(ledger.kept() > 0, "the load was acknowledged something");
        let mounted = Mounted::new(&copy);
        let figures =
            compare(&mounted.path().join("store"), &ledger).map_err(|fault| format!("cut {nth}: {fault}"))?;
        println!("cut {nth}: {figures}");
    }
    Ok(())
}

#[test]
fn nothing_acknowledged_is_lost_when_the_power_is_cut() {
    cut(number("POSTERN_CUTS", 6), Syncing::Fdatasync).unwrap();
}

#[test]
fn without_fdatasync_the_same_cuts_lose_mail() {
    let fault = cut(3, Syncing::Never).expect_err("the control lost nothing: the cuts are not seen");
    println!("as it should, the control fails: {fault}");
}

#[test]
fn nothing_acknowledged_is_lost_by_kill_9() {
    let folder = tempfile::tempdir().unwrap();
    let mut said = Vec::new();
    for nth in 0..number("POSTERN_KILLS", 5) {
        let load = Load::start(folder.path(), Syncing::Fdatasync, 10);
        load.goes_on_for(a_while());
        said.extend(load.kill());
        let ledger = Ledger::of(&said, said.len());
        let figures = compare(folder.path(), &ledger).unwrap_or_else(|fault| panic!("kill {nth}: {fault}"));
        println!("kill {nth}: {figures}");
    }
}

/// Started by the tests above in a process of its own; run by itself it delivers a little and must be told so.
#[test]
fn load() {
    let Ok(folder) = std::env::var(load::FOLDER) else {
        let folder = tempfile::tempdir().unwrap();
        let said = load::deliver_a_little(folder.path());
        let ledger = Ledger::of(&said, said.len());
        assert!(ledger.kept() > 0 && ledger.removed() > 0);
        compare(folder.path(), &ledger).unwrap();
        return;
    };
    load::deliver_for_ever(Path::new(&folder));
}
