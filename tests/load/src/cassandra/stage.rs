//! Trials on one cluster: three rounds of each, alternated, so that what befalls the machine befalls all.

use super::lab::{Opened, Settings, Site, Warm};
use super::{Bench, median};
use crate::driver::{IN_FLIGHT, Writing};
use crate::gateway::PASSWORD;
use crate::message::Size;
use crate::options;
use crate::pace::Pace;
use serde_json::{Value, json};
use std::time::Duration;

pub(super) const ROUNDS: usize = 3;
/// Of each keyspace's 64 mailboxes, which are read back.
const READ_BACK: usize = 8;

/// What a trial loads.
#[derive(Debug, Clone, Copy)]
pub(super) enum Subject {
    /// So many gateways of a site.
    Gateways(usize),
    Driver(Writing),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Speed {
    Highest,
    /// An open loop at half of the highest rate that was measured.
    Half,
}

/// One thing to measure.
#[derive(Debug, Clone)]
pub(super) struct Trial {
    /// Which of the stage's sites.
    pub(super) site: usize,
    pub(super) subject: Subject,
    pub(super) size: Size,
    pub(super) speed: Speed,
    /// What is varied beside these, in a word; empty where nothing is.
    pub(super) variant: &'static str,
    /// CQL before each round, with `{ks}` for the keyspace.
    pub(super) before: &'static [&'static str],
}

impl Trial {
    pub(super) fn new(site: usize, subject: Subject, size: Size) -> Self {
        Self {
            site,
            subject,
            size,
            speed: Speed::Highest,
            variant: "",
            before: &[],
        }
    }
}

/// A cluster and all that is measured on it.
#[derive(Debug)]
pub(super) struct Stage {
    pub(super) part: &'static str,
    pub(super) nodes: usize,
    pub(super) settings: Settings,
    /// What tables call these settings; empty for the usual ones.
    pub(super) setting: &'static str,
    pub(super) sites: Vec<Site>,
    pub(super) trials: Vec<Trial>,
    /// Mail is read back at the end and compared.
    pub(super) reads_back: bool,
}

impl Stage {
    fn facts(&self, trial: &Trial) -> Value {
        let site = self.sites.get(trial.site).copied();
        let (subject, gateways) = match trial.subject {
            Subject::Gateways(count) => ("gateway", count),
            Subject::Driver(_) => ("driver", 0),
        };
        json!({
            "part": self.part, "nodes": self.nodes, "setting": self.setting, "variant": trial.variant,
            "replication": site.map(|site| site.replication), "consistency": site.map(|site| site.level.name()),
            "size": trial.size.to_string(), "subject": subject, "gateways": gateways, "connections": IN_FLIGHT,
            "speed": match trial.speed { Speed::Highest => "highest", Speed::Half => "half" },
        })
    }

    /// What names a trial in the file of runs.
    fn id(&self, trial: &Trial, speed: Speed) -> String {
        let facts = self.facts(&Trial {
            speed,
            ..trial.clone()
        });
        let words = [
            "part",
            "nodes",
            "setting",
            "replication",
            "consistency",
            "variant",
            "size",
            "subject",
            "gateways",
            "speed",
        ];
        let words = words.iter().filter_map(|name| facts.get(*name));
        let words = words.map(|word| word.as_str().map_or_else(|| word.to_string(), str::to_owned));
        words.collect::<Vec<_>>().join("/")
    }

    fn read_back_id(&self, site: &Site) -> String {
        format!(
            "{}/{}/{}/{}/read back",
            self.part, self.nodes, self.setting, site.replication
        )
    }

    /// Rounds that are not in the file, with their names.
    fn missing(&self, bench: &Bench) -> Vec<(usize, &Trial, String)> {
        let runs = (1..=ROUNDS).flat_map(|round| self.trials.iter().map(move |trial| (round, trial)));
        runs.map(|(round, trial)| (round, trial, format!("{}#{round}", self.id(trial, trial.speed))))
            .filter(|(.., id)| !bench.runs.has(id))
            .collect()
    }

    pub(super) async fn run(&self, bench: &mut Bench) -> anyhow::Result<()> {
        if let Some(mut cluster) = self.start(bench, []).await? {
            self.measure_on(bench, &mut cluster).await?;
        }
        Ok(())
    }

    /// The cluster, for what is missing of this stage and for measurements with these names.
    pub(super) async fn start(
        &self,
        bench: &mut Bench,
        others: impl IntoIterator<Item = String>,
    ) -> anyhow::Result<Option<Warm>> {
        let own = self.missing(bench).into_iter().map(|(.., id)| id);
        let names: Vec<_> = own.chain(others).collect();
        Warm::start(bench, (self.nodes, self.settings), &self.sites, names).await
    }

    pub(super) async fn measure_on(&self, bench: &mut Bench, cluster: &mut Warm) -> anyhow::Result<()> {
        for (round, trial, id) in self.missing(bench) {
            if bench.wants(&id, bench.round * 2) {
                Box::pin(self.measure(bench, cluster, trial, (round, &id))).await?;
            }
        }
        if self.reads_back {
            self.read_back(bench, &cluster.sites).await?;
        }
        Ok(())
    }

    async fn measure(
        &self,
        bench: &mut Bench,
        Warm { lab, sites, warmed }: &mut Warm,
        trial: &Trial,
        (round, id): (usize, &str),
    ) -> anyhow::Result<()> {
        let Some(site) = sites.get(trial.site) else {
            return Ok(());
        };
        bench.say(id);
        for cql in trial.before {
            let keyspace = format!(
                "mail{}",
                self.sites.get(trial.site).map_or(1, |site| site.replication)
            );
            site.driver
                .session
                .query_unpaged(cql.replace("{ks}", &keyspace), ())
                .await?;
        }
        let pace = match trial.speed {
            Speed::Highest => Pace::Closed,
            Speed::Half => match median(bench.runs.rates(&self.id(trial, Speed::Highest))) {
                rate if rate.is_finite() => Pace::Open(rate / 2.0),
                _ => return Ok(()),
            },
        };
        let meter = lab.meter(&site.gateways);
        let figures = match trial.subject {
            Subject::Gateways(count) => {
                let senders = site.senders(count, trial.size);
                options::measured(&meter, senders, pace, bench.round).await?.1
            }
            Subject::Driver(writing) => {
                let deliveries = site.deliveries(trial.size, writing);
                options::measured(&meter, deliveries, pace, bench.round).await?.1
            }
        };
        let round = json!({ "round": round, "warm": warmed.as_secs() });
        bench.runs.add(id, &[&self.facts(trial), &round, &figures])
    }

    async fn read_back(&self, bench: &mut Bench, opened: &[Opened]) -> anyhow::Result<()> {
        for (site, spec) in opened.iter().zip(&self.sites) {
            let (id, Some(gateway)) = (self.read_back_id(spec), site.gateways.first()) else {
                continue;
            };
            if bench.wants(&id, Duration::from_secs(30)) {
                bench.say(&id);
                let difference = site.mail.read_back(gateway.pop3, PASSWORD, READ_BACK).await?;
                let facts = json!({
                    "part": self.part, "nodes": self.nodes, "replication": spec.replication, "subject": "read back",
                });
                bench.runs.add(&id, &[&facts, &difference.json()])?;
            }
        }
        Ok(())
    }
}
