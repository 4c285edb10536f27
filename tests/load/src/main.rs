//! Load for a gateway, the ceilings of the machine that it runs on, and the benches.
//!
//! `smtp` and `lmtp` send mail and can read it back, `pop3` reads, `mixed` does both, `idle` holds sessions;
//! `postal` and `rabid` take the command lines of those. `ceiling` measures the machine without a gateway; `bench`
//! starts gateways by itself and measures them beside it. `driver` asks Cassandra for what a gateway asks;
//! `cassandra` starts nodes and gateways and measures them part by part.

mod bench;
mod cassandra;
mod ceiling;
mod driver;
mod gateway;
mod interrupt;
mod ledger;
mod lines;
mod message;
mod modes;
mod options;
mod pace;
mod pop3;
mod process;
mod programs;
mod reader;
mod recipients;
mod record;
mod smtp;
mod target;

#[allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "the tests' harness, whose faults end the run"
)]
#[path = "../../support/cassandra.rs"]
mod nodes;
#[path = "../../../host/src/store/packing.rs"]
mod packing;

use clap::Parser;
use interrupt::unless_interrupted;
use modes::{idle, mixed, postal, read, send};
use options::merge;
use smtp::Protocol;
use std::future::Future;
use std::io::Write as _;
use std::process::ExitCode;
use tikv_jemallocator::Jemalloc;
use tokio::runtime::Builder;

#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

#[derive(Debug, Parser)]
#[command(name = "load", about = "Load for a gateway, and the ceilings of its machine")]
struct Options {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Sends mail and checks every reply
    Smtp(send::Options),
    /// The same by LMTP
    Lmtp(send::Options),
    /// Polls maildrops, or reads them over sessions that are kept
    Pop3(read::Options),
    /// Sends mail while others read and delete it, and accounts for all
    Mixed(mixed::Options),
    /// Holds silent sessions and tells what the server keeps for them
    Idle(idle::Options),
    /// Sends as postal does, by its command line
    Postal(postal::Postal),
    /// Reads as rabid does, by its command line
    Rabid(postal::Rabid),
    /// What this machine can do without a gateway (what a guest's call costs: `bench policies`)
    Ceiling(ceiling::Options),
    /// Starts gateways over the embedded store and measures them beside those ceilings
    Bench(bench::Options),
    /// Asks Cassandra for what a gateway asks for a delivery, without a gateway
    Driver(driver::Bare),
    /// Starts nodes and gateways and measures them: a part, or the short form of a and b
    Cassandra(cassandra::Options),
}

/// A fault is one line.
fn main() -> ExitCode {
    match begin(Options::parse().what) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Nobody may read it.
            let _ = writeln!(std::io::stderr(), "load: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn begin(what: What) -> anyhow::Result<()> {
    match what {
        What::Smtp(options) => alone(send::run(options, Protocol::Smtp)),
        What::Lmtp(options) => alone(send::run(options, Protocol::Lmtp)),
        What::Pop3(options) => alone(read::run(options)),
        What::Mixed(options) => alone(mixed::run(options)),
        What::Idle(options) => alone(idle::run(options)),
        What::Postal(options) => alone(postal::postal(options)),
        What::Rabid(options) => alone(postal::rabid(options)),
        What::Ceiling(options) => alone(ceiling::run(options)),
        What::Bench(options) => alone(unless_interrupted(bench::run(options))),
        What::Driver(options) => on_all(driver::run(options)),
        What::Cassandra(options) => on_all(unless_interrupted(cassandra::run(options))),
    }
}

/// On all cores, for what nodes and gateways are measured by.
fn on_all(work: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<()> {
    let runtime = Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(Box::pin(work))
}

/// On one thread: nothing wakes a second one, and the server keeps the other cores.
fn alone(work: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<()> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let done = runtime.block_on(Box::pin(work));
    // Nobody waits for a ceiling that was broken off.
    runtime.shutdown_background();
    done
}
