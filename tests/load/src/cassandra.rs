//! The benches over Cassandra, part by part: nodes and gateways are started, warmed and measured.
//!
//! A part is bounded in time and goes on where it was broken off: each run is a line of JSON in a file, and what
//! is there is not run again. Rounds alternate between what is compared; `tests/load/tables.py` takes medians.

mod churn;
mod faults;
mod lab;
mod layouts;
mod maildrops;
mod postal;
mod promises;
mod replicas;
mod stage;
mod tuning;

use crate::gateway;
use crate::record::Runs;
use anyhow::bail;
use std::io::Write as _;
use std::path::PathBuf;
use std::time::Duration;
use tokio::time::Instant;

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Part {
    /// 1, 2, 3 nodes and as many copies; sizes; the reach; faults
    A,
    /// Consistency and commit log
    B,
    /// Tuning of the nodes
    C,
    /// The schema of 2011
    D,
    /// postal and rabid
    E,
    /// A maildrop that is filled and emptied
    F,
    /// Large maildrops
    G,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Without it: the short form of a and b
    #[arg(value_enum)]
    part: Option<Part>,
    /// Where runs are written, and found when a part goes on
    #[arg(long, default_value = "target/bench-cassandra/runs.jsonl")]
    runs: PathBuf,
    /// The gateway to measure; without it the one beside this program
    #[arg(long)]
    postern: Option<PathBuf>,
    /// What a part may take
    #[arg(long, default_value_t = 30)]
    minutes: u64,
    /// Seconds of load before anything is measured
    #[arg(long, default_value_t = 90)]
    warm: u64,
    /// Seconds of a round
    #[arg(long, default_value_t = 8)]
    round: u64,
}

/// What all parts share.
#[derive(Debug)]
struct Bench {
    runs: Runs,
    postern: PathBuf,
    end: Instant,
    warm: Duration,
    round: Duration,
    /// Runs for which there was no time.
    left: Vec<String>,
}

/// A node's start, and a gateway's, on a machine of two cores.
const START: Duration = Duration::from_secs(25);

impl Bench {
    fn fits(&self, length: Duration) -> bool {
        Instant::now() + length <= self.end
    }

    /// Whether a cluster can still be started and warmed for something.
    fn fits_a_cluster(&self) -> bool {
        self.fits(START + self.warm * lab::WARM_AT_MOST + self.round * 2)
    }

    /// Whether a run is to be made; one for which no time is left is noted.
    fn wants(&mut self, id: &str, length: Duration) -> bool {
        if self.runs.has(id) {
            return false;
        }
        let fits = self.fits(length);
        if !fits {
            self.left.push(id.to_owned());
        }
        fits
    }

    fn say(&self, text: &str) {
        let left = self.end.saturating_duration_since(Instant::now());
        // Nobody may read it, which does not stop a bench.
        let _ = writeln!(std::io::stderr(), "{:>5} s left  {text}", left.as_secs());
    }
}

pub(crate) async fn run(options: Options) -> anyhow::Result<()> {
    let postern = options.postern.unwrap_or_else(gateway::beside_this_program);
    if !postern.is_file() {
        bail!(
            "no gateway at {}: build it, or name it with --postern",
            postern.display()
        );
    }
    let mut bench = Bench {
        runs: Runs::open(&options.runs)?,
        postern,
        end: Instant::now() + Duration::from_secs(options.minutes * 60),
        warm: Duration::from_secs(options.warm),
        round: Duration::from_secs(options.round),
        left: Vec::new(),
    };
    match options.part {
        None => {
            Box::pin(replicas::short(&mut bench)).await?;
            Box::pin(promises::short(&mut bench)).await?;
        }
        Some(Part::A) => {
            Box::pin(faults::run(&mut bench)).await?;
            Box::pin(replicas::run(&mut bench)).await?;
        }
        Some(Part::B) => Box::pin(promises::run(&mut bench)).await?,
        Some(Part::C) => Box::pin(tuning::run(&mut bench)).await?,
        Some(Part::D) => Box::pin(layouts::run(&mut bench)).await?,
        Some(Part::E) => Box::pin(postal::run(&mut bench)).await?,
        Some(Part::F) => Box::pin(churn::run(&mut bench)).await?,
        Some(Part::G) => Box::pin(maildrops::run(&mut bench)).await?,
    }
    match bench.left.as_slice() {
        [] => bench.say("all runs are made"),
        left => bench.say(&format!(
            "time is over; say it again for the rest:\n  {}",
            left.join("\n  ")
        )),
    }
    Ok(())
}

/// The middle one.
fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied().unwrap_or(f64::NAN)
}
