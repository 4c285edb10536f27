//! Gateways as processes over real Cassandra nodes: what they share, and what happens when nodes, gateways and
//! clocks fail. One test at a time: they measure, and a cluster wants the machine for itself.
//!
//! `POSTERN_FAULTS=1` adds the longer ones (`make faults`).
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test ends by panicking and prints what it measured"
)]

mod books;
#[path = "../support/cassandra.rs"]
mod cassandra;
mod clock;
mod copying;
mod dashboard;
mod dropped;
mod faults;
mod gateway;
mod gateways;
mod house;
mod load;
mod mail;
mod nodes;
mod serve;
mod tables;
mod timeline;
mod trust;

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Nothing here takes as long; it ends a test that would otherwise hang.
const PATIENCE: Duration = Duration::from_secs(90);

/// This test's turn; another's failure does not take it away.
fn turn() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether the longer tests run too.
fn at_length() -> bool {
    std::env::var_os("POSTERN_FAULTS").is_some()
}
