//! Gateways over the embedded store, measured part by part beside the machine's ceilings.
//!
//! What is compared alternates, round by round, so that what befalls the machine befalls all. Each run is a line of
//! JSON; one that is in the file is not made again. `tests/load/report.py` makes tables and pictures of it.

mod agreement;
mod deliveries;
mod explain;
mod growth;
mod maildrops;
mod policies;
mod sessions;
mod soak;

use crate::gateway::{self, Gateway, Keeps, Policy};
use crate::options::{self, merge};
use crate::pace::{Client, Pace};
use crate::process::{Meter, most_files};
use crate::record::Runs;
use anyhow::{Context as _, bail};
use serde_json::{Value, json};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Part {
    /// Over 64, 16 connections and one, beside writers and an echo
    Deliveries,
    /// An open loop at half of the highest rate
    Half,
    /// RETR over one connection, one at a time and pipelined
    Retr,
    /// Login and STAT over 16 connections
    Login,
    /// Silent sessions in clear and over TLS
    Idle,
    /// STAT of large maildrops
    Maildrop,
    /// The rate by the number of connections
    Connections,
    /// Latency by the rate that is offered
    Offered,
    /// Deliveries through 0 to 10 policies, each of which edits every message
    Policies,
    /// Deliveries through two policies without a record for `postern explain`, with it, and with one that outlives the message
    Explain,
    /// Deliveries over two connections through all policies of a folder (--mixed FOLDER; only where it is named)
    Mixed,
    /// postal and rabid beside their command lines here (10 minutes; only where it is named)
    Agreement,
    /// Deliveries at 70 % of the highest rate through the policy, readers who delete, and all accounted for (30 minutes; only
    /// where it is named)
    Soak,
    /// What a delivery costs while a store grows to a million messages (minutes; only where it is named)
    Growth,
}

/// What a bench without named parts is.
const ALL: [Part; 10] = [
    Part::Deliveries,
    Part::Half,
    Part::Retr,
    Part::Login,
    Part::Idle,
    Part::Maildrop,
    Part::Connections,
    Part::Offered,
    Part::Policies,
    Part::Explain,
];
/// Those of the table.
const QUICK: [Part; 6] = [
    Part::Deliveries,
    Part::Half,
    Part::Retr,
    Part::Login,
    Part::Idle,
    Part::Maildrop,
];

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Only these parts
    #[arg(value_enum)]
    parts: Vec<Part>,
    /// The parts of the table, shorter
    #[arg(long)]
    quick: bool,
    /// Where runs are written, and found when a bench goes on; mail is kept beside it
    #[arg(long, default_value = "target/bench/runs.jsonl")]
    runs: PathBuf,
    /// The gateway to measure; without it the one beside this program
    #[arg(long)]
    postern: Option<PathBuf>,
    /// Rounds of each measurement [default: 3, quick 2]
    #[arg(long)]
    rounds: Option<usize>,
    /// Seconds of a round [default: 5, quick 3]
    #[arg(long)]
    seconds: Option<u64>,
    /// Silent sessions [default: 5000, quick 1000]
    #[arg(long)]
    sessions: Option<usize>,
    /// Messages of large maildrops [default: 10000,100000, quick 10000]
    #[arg(long, value_delimiter = ',')]
    maildrop: Vec<usize>,
    /// Minutes of the soak
    #[arg(long, default_value_t = 30.0, value_parser = options::above_zero, allow_negative_numbers = true)]
    soak: f64,
    /// Messages that the store grows to
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u64).range(growth::LEAST..=growth::MOST))]
    growth: u64,
    /// tag-subject, and its settings in the soak; without it there are no parts of policies and explain, and none in the soak
    #[arg(long, num_args = 2, value_names = ["WASM", "YAML"])]
    policy: Option<Vec<PathBuf>>,
    /// Policies that are measured together, each a .wasm with its .yaml
    #[arg(long, value_name = "FOLDER")]
    mixed: Option<PathBuf>,
}

/// What all parts share.
#[derive(Debug)]
struct Bench {
    runs: Runs,
    postern: PathBuf,
    folder: PathBuf,
    rounds: usize,
    round: Duration,
    sessions: usize,
    maildrops: Vec<usize>,
    soak: Duration,
    growth: u64,
    policy: Option<Policy>,
    mixed: Option<PathBuf>,
    /// Without what only pictures need.
    quick: bool,
}

/// Octets of a message where nothing else is said.
const SIZE: usize = 4096;
/// As many as there are connections in the largest row of the table.
const MAILBOXES: usize = 64;

pub(crate) async fn run(options: Options) -> anyhow::Result<()> {
    let parts = match (options.parts.as_slice(), options.quick) {
        ([], true) => QUICK.to_vec(),
        ([], false) => ALL.to_vec(),
        (parts, _) => parts.to_vec(),
    };
    most_files();
    let mut bench = Bench::open(options)?;
    for part in parts {
        match part {
            Part::Deliveries => deliveries::deliveries(&mut bench).await?,
            Part::Half => deliveries::half(&mut bench).await?,
            Part::Retr => maildrops::retr(&mut bench).await?,
            Part::Login => maildrops::login(&mut bench).await?,
            Part::Idle => sessions::idle(&mut bench).await?,
            Part::Maildrop => maildrops::large(&mut bench).await?,
            Part::Connections => deliveries::connections(&mut bench).await?,
            Part::Offered => deliveries::offered(&mut bench).await?,
            Part::Policies => policies::policies(&mut bench).await?,
            Part::Explain => explain::explain(&mut bench).await?,
            Part::Mixed => policies::mixed(&mut bench).await?,
            Part::Agreement => agreement::agreement(&mut bench).await?,
            Part::Soak => soak::soak(&mut bench).await?,
            Part::Growth => growth::growth(&mut bench).await?,
        }
    }
    Ok(())
}

impl Bench {
    fn open(options: Options) -> anyhow::Result<Self> {
        let postern = options.postern.unwrap_or_else(gateway::beside_this_program);
        if !postern.is_file() {
            bail!(
                "no gateway at {}: build it, or name it with --postern",
                postern.display()
            );
        }
        let usual = |long, quick| if options.quick { quick } else { long };
        let runs = Runs::open(&options.runs)?;
        let folder = Path::new(".").join(options.runs.parent().unwrap_or(Path::new("")));
        let folder = folder.canonicalize()?;
        Ok(Self {
            runs,
            postern: postern.canonicalize()?,
            folder,
            rounds: options.rounds.unwrap_or(usual(3, 2)),
            round: Duration::from_secs(options.seconds.unwrap_or(usual(5, 3) as u64)),
            sessions: options.sessions.unwrap_or(usual(5000, 1000)),
            maildrops: match (options.maildrop.is_empty(), options.quick) {
                (false, _) => options.maildrop,
                (true, true) => vec![10_000],
                (true, false) => vec![10_000, 100_000],
            },
            soak: Duration::from_secs_f64(options.soak * 60.0),
            growth: options.growth,
            quick: options.quick,
            mixed: options.mixed,
            policy: options.policy.and_then(|mut files| {
                Some(Policy {
                    settings: files.pop()?,
                    component: files.pop()?,
                })
            }),
        })
    }

    /// A gateway without mail; its folder goes with it.
    fn gateway(&self, mailboxes: &[String], policies: &[Policy]) -> anyhow::Result<Gateway> {
        self.configured(mailboxes, policies, "")
    }

    /// The same with more in its configuration.
    fn configured(&self, mailboxes: &[String], policies: &[Policy], more: &str) -> anyhow::Result<Gateway> {
        let keeps = Keeps::Embedded(&self.folder);
        Gateway::launch(&self.postern, keeps, mailboxes, policies, more)
    }

    /// Whether one of these runs is still to be made.
    fn lacks(&self, ids: &[String]) -> bool {
        ids.iter().any(|id| !self.runs.has(id))
    }

    /// Measures a load of a gateway under this name, unless that is known.
    async fn load<C: Client>(
        &mut self,
        trial: &Trial,
        gateway: &Gateway,
        (clients, pace): (Vec<C>, Pace),
    ) -> anyhow::Result<()> {
        let id = trial.id();
        if self.runs.has(&id) {
            return Ok(());
        }
        say(&id);
        let meter = Meter::of([("gateway".to_owned(), gateway.pid())]);
        let (tally, figures) = options::measured(&meter, clients, pace, self.round).await?;
        if let Some((told, times)) = tally.failures.first_key_value() {
            say(&format!("{id}: {times} × {told}"));
        }
        let offered = match pace {
            Pace::Open(rate) => json!({ "offered": rate }),
            Pace::Closed | Pace::Capped(_) => json!({}),
        };
        self.runs.add(&id, &[&trial.facts(), &offered, &figures])
    }

    /// Writes what was measured of the machine, or of something else than a load.
    fn add(&mut self, trial: &Trial, figures: &Value) -> anyhow::Result<()> {
        self.runs.add(&trial.id(), &[figures, &trial.facts()])
    }
}

/// What a line is about.
#[derive(Debug, Clone)]
struct Trial {
    part: &'static str,
    /// gateway, or the name of a ceiling.
    subject: &'static str,
    /// What is varied, with its value.
    varied: Value,
    round: usize,
}

impl Trial {
    fn new(part: &'static str, subject: &'static str, varied: Value, round: usize) -> Self {
        Self {
            part,
            subject,
            varied,
            round,
        }
    }

    /// Part, what is varied, and subject.
    fn name(&self) -> String {
        let varied = self.varied.as_object().into_iter().flatten();
        let words = varied.map(|(_, value)| value.as_str().map_or_else(|| value.to_string(), str::to_owned));
        let words: Vec<_> = words.collect();
        format!("{}/{}/{}", self.part, words.join("/"), self.subject)
    }

    fn id(&self) -> String {
        format!("{}#{}", self.name(), self.round)
    }

    fn facts(&self) -> Value {
        let mut facts = json!({ "part": self.part, "subject": self.subject, "round": self.round });
        merge(&mut facts, self.varied.clone());
        facts
    }
}

/// The highest rate of a trial's rounds.
fn highest(runs: &Runs, name: &str) -> anyhow::Result<f64> {
    let highest = runs.rates(name).into_iter().reduce(f64::max);
    highest.with_context(|| format!("{name} is to be measured first: name its part as well"))
}

fn mailboxes() -> Vec<String> {
    (0..MAILBOXES)
        .map(|nth| format!("user{nth}@example.org"))
        .collect()
}

fn say(text: &str) {
    // Nobody may read it, which does not stop a bench.
    let _ = writeln!(std::io::stderr(), "{text}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trial_is_named_by_what_is_varied() {
        let varied = json!({ "connections": 16, "protocol": "smtp" });
        let trial = Trial::new("deliveries", "gateway", varied, 2);
        assert_eq!(trial.id(), "deliveries/16/smtp/gateway#2");
        assert_eq!(trial.facts()["connections"], 16);
    }

    #[test]
    fn a_quick_bench_has_all_parts_of_the_table() {
        assert!(QUICK.iter().all(|part| ALL.contains(part)));
    }
}
