//! The hot paths, for callgrind to count their instructions: `counts` prints their names, `counts NAME PROBE` takes one.
//! PROBE is the component `tests/guests/probe`.
//!
//! What is counted is [`measured`], on all threads; what a path begins with is made before. Each path checks what
//! came of it. They stand on public seams (octets in, replies out; the store's traits; a folder of policies), so that
//! the work behind those can change. `check.py` runs them and compares.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a bench fails by panicking"
)]

mod letters;
mod policy;
mod pop3;
mod smtp;
mod store;

use metrics_exporter_prometheus::PrometheusBuilder;
use std::io::Write as _;
use std::path::Path;
use tokio::runtime::{Builder, Runtime};

/// A hot path's name, and what takes it.
type Case = (&'static str, fn(&Path));

const CASES: [Case; 7] = [
    ("smtp-dialogue", |_| smtp::dialogue()),
    ("smtp-content", |_| smtp::content()),
    ("header-scan", |_| letters::scan()),
    ("store-batch", |_| store::batch()),
    ("store-listing", |_| store::listing()),
    ("pop3-listing", |_| pop3::listing()),
    ("policy-call", policy::call),
];

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match words.as_slice() {
        [] => {
            let mut out = std::io::stdout();
            for (name, _) in CASES {
                writeln!(out, "{name}").expect("somebody who reads it");
            }
        }
        [name, probe] => {
            // As in a gateway, where all of it counts itself.
            let recorder = PrometheusBuilder::new().install_recorder();
            recorder.expect("the first recorder");
            let (_, take) = CASES
                .iter()
                .find(|(known, _)| known == name)
                .expect("a case of that name");
            take(Path::new(probe));
        }
        _ => panic!("counts NAME PROBE, or nothing"),
    }
}

/// What is counted: callgrind begins where this is entered, by its name, and ends where it is left. Answers what `work`
/// does, so that there is something left to do here behind it.
#[inline(never)]
fn measured(work: &mut dyn FnMut() -> usize) -> usize {
    std::hint::black_box(work())
}

/// One thread, as for a session.
fn runtime() -> Runtime {
    let runtime = Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime")
}
