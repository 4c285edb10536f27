//! Gateways as processes over real Cassandra nodes: what they share, and what happens when nodes, gateways and
//! clocks fail. One test at a time: they measure, and a cluster wants the machine for itself.
//!
//! The feature `faults` adds the longer ones, and length to some of the others (`make faults`).
#![cfg_attr(
    not(feature = "faults"),
    allow(dead_code, reason = "the longer tests need it, and are linted with it")
)]
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
#[cfg(feature = "faults")]
mod drift;
mod dropped;
mod faults;
mod gateway;
#[cfg(feature = "faults")]
mod gateways;
mod house;
mod load;
mod mail;
#[cfg(feature = "faults")]
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

/// Asks until there is an answer; the last refusal ends the test when nobody would wait any longer.
fn ask_again<T>(mut ask: impl FnMut() -> Result<T, String>) -> T {
    let mut refused = String::new();
    let answer = cassandra::ask_again(PATIENCE, || ask().map_err(|refusal| refused = refusal).ok());
    answer.unwrap_or_else(|| panic!("{refused}"))
}

/// Whether tests that can be short or long are to be long.
const fn at_length() -> bool {
    cfg!(feature = "faults")
}
