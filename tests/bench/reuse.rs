//! What `reuse` saves: the time of a call with a fresh instance over that of one with an instance that answered before, on
//! this machine, in the same run.
//!
//! Prints one table; `POSTERN_BENCH_SECONDS` sets how long each row runs (default 5).

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a bench fails by panicking"
)]

#[path = "../policy/folder.rs"]
#[allow(dead_code, reason = "what the tests of policies share")]
mod folder;

use folder::{Folder, Mail, facts, load};
use postern::policy::Policies;
use std::io::Write as _;
use std::time::{Duration, Instant};

const LETTER: &[u8] = b"From: <bob@shop.example>\r\nSubject: lunch\r\n\r\nAt noon?\r\n";
/// Calls that are timed together, now of one kind and now of the other.
const ROUND: usize = 50;

#[derive(Clone, Copy)]
enum Stage {
    Mail,
    Message,
}

fn main() -> std::io::Result<()> {
    let seconds = std::env::var("POSTERN_BENCH_SECONDS");
    let length = Duration::from_secs(seconds.ok().and_then(|text| text.parse().ok()).unwrap_or(5));
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let mut out = std::io::stdout();
    writeln!(out, "| policy | question | fresh : reused |\n|---|---|---|")?;
    runtime.block_on(async {
        for (stage, question) in [
            (Stage::Mail, "mail"),
            (Stage::Message, "message, all capabilities"),
        ] {
            let ratio = ratio(stage, length).await;
            writeln!(out, "| probe (Rust) | {question} | {ratio:.2} : 1 |")?;
        }
        Ok(())
    })
}

async fn ratio(stage: Stage, length: Duration) -> f64 {
    let set = async |more: &str| {
        let manifest = format!("grants: {{ kv: {{}} }}\n{more}");
        load(&Folder::new().with("10-probe", "probe", &manifest)).await
    };
    let (fresh, reused) = (set("").await, set("reuse: { calls: 1000000 }\n").await);
    let (mut of_fresh, mut of_reused) = (Vec::new(), Vec::new());
    let end = Instant::now() + length;
    while Instant::now() < end {
        of_fresh.push(round(&fresh, stage).await);
        of_reused.push(round(&reused, stage).await);
    }
    median(of_fresh) / median(of_reused)
}

async fn round(policies: &Policies, stage: Stage) -> f64 {
    let begun = Instant::now();
    for _ in 0..ROUND {
        let decision = match stage {
            Stage::Mail => policies.mail(&facts()).await,
            Stage::Message => policies.message(&facts(), Mail::new(LETTER), &[]).await,
        };
        assert_eq!(decision.opinions[0].word, "accept");
    }
    begun.elapsed().as_secs_f64()
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}
