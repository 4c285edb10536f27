//! A cluster with its gateways and drivers, and how their use is measured.

use super::Bench;
use crate::driver::{Delivering, Driver, IN_FLIGHT, Level, Writing};
use crate::gateway::{Gateway, Place};
use crate::ledger::Work;
use crate::message::Size;
use crate::nodes::{Cluster, Life};
use crate::pace::{self, Observer, Pace};
use crate::process::{self, Meter};
use crate::smtp::Sender;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// Mailboxes of a keyspace.
pub(super) const MAILBOXES: usize = 64;

/// Lines of `cassandra.yaml`.
pub(super) type Settings = &'static [(&'static str, &'static str)];

/// What every node is set to, unless a stage sets it otherwise: what `cassandra_latest.yaml` has in place of the
/// `cassandra.yaml` that is kept for upgrades, and as many writers as requests may be under way.
const NODE: Settings = &[
    ("memtable", TRIE),
    ("sstable", "{selected_format: bti}"),
    ("concurrent_writes", "256"),
];

const TRIE: &str = "{configurations: {trie: {class_name: TrieMemtable}, default: {inherits: trie}}}";
pub(super) const SKIP_LIST: &str =
    "{configurations: {skiplist: {class_name: SkipListMemtable}, default: {inherits: skiplist}}}";

pub(super) struct Lab {
    pub(super) cluster: Cluster,
    pub(super) nodes: usize,
}

/// How a keyspace is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Site {
    pub(super) replication: usize,
    pub(super) level: Level,
    pub(super) gateways: usize,
}

/// A site's gateways and a bare driver on the same tables.
pub(super) struct Opened {
    pub(super) gateways: Vec<Gateway>,
    pub(super) driver: Arc<Driver>,
    /// For the gateways' mailboxes, with all that they acknowledged.
    pub(super) mail: Arc<Work>,
    bare: Arc<Work>,
}

/// A cluster whose JVMs are warm.
pub(super) struct Warm {
    pub(super) lab: Lab,
    pub(super) sites: Vec<Opened>,
    /// How long it took.
    pub(super) warmed: Duration,
}

impl Warm {
    /// For measurements with these names; None where none is missing, or where there is no time for a cluster.
    pub(super) async fn start(
        bench: &mut Bench,
        (nodes, settings): (usize, Settings),
        sites: &[Site],
        names: impl IntoIterator<Item = String>,
    ) -> anyhow::Result<Option<Self>> {
        let missing: Vec<_> = names.into_iter().filter(|id| !bench.runs.has(id)).collect();
        if missing.is_empty() {
            return Ok(None);
        }
        if !bench.fits_a_cluster() {
            bench.left.extend(missing);
            return Ok(None);
        }
        let mut lab = Lab::start(bench, nodes, settings)?;
        let mut opened = Vec::new();
        for site in sites {
            opened.push(lab.open(bench, *site).await?);
        }
        let warmed = warm(bench, &mut lab, &opened).await?;
        Ok(Some(Self {
            lab,
            sites: opened,
            warmed,
        }))
    }

    /// Three nodes with three copies, and one gateway.
    pub(super) async fn with_one_gateway(
        bench: &mut Bench,
        names: impl IntoIterator<Item = String>,
    ) -> anyhow::Result<Option<(Lab, Opened)>> {
        let site = Site {
            replication: THREE,
            level: Level::LocalQuorum,
            gateways: 1,
        };
        let warm = Self::start(bench, (THREE, &[]), &[site], names).await?;
        Ok(warm.and_then(|Self { lab, mut sites, .. }| sites.pop().map(|site| (lab, site))))
    }
}

const THREE: usize = 3;

pub(super) fn mailboxes(name: &str) -> Vec<String> {
    (0..MAILBOXES)
        .map(|nth| format!("{name}{nth}@example.org"))
        .collect()
}

/// Mailboxes that get no load while nodes are warmed.
pub(super) fn visited() -> impl Iterator<Item = String> {
    (0..16).map(|nth| format!("visited{nth}@example.org"))
}

impl Lab {
    fn start(bench: &Bench, nodes: usize, settings: Settings) -> anyhow::Result<Self> {
        bench.say(&format!("starts {nodes} nodes with {settings:?}"));
        let usual = NODE
            .iter()
            .filter(|(key, _)| settings.iter().all(|(set, _)| set != key));
        let settings: Vec<_> = usual.chain(settings).copied().collect();
        let started = tokio::task::block_in_place(|| Cluster::begin(nodes, &settings, Life::Long));
        let cluster = started.map_err(anyhow::Error::msg)?;
        Ok(Self { cluster, nodes })
    }

    async fn open(&self, bench: &Bench, site: Site) -> anyhow::Result<Opened> {
        let keyspace = format!("mail{}", site.replication);
        let place = Place {
            nodes: self.cluster.contacts(),
            keyspace: keyspace.clone(),
            replication: site.replication,
            consistency: site.level.name(),
        };
        let users = mailboxes(&format!("{}-", site.level.name().replace('_', "-")));
        let all: Vec<_> = users.iter().cloned().chain(visited()).collect();
        let start = || Gateway::start(&bench.postern, &place, &all);
        let gateways: Vec<Gateway> = tokio::task::block_in_place(|| {
            (0..site.gateways).map(|_| start()).collect::<anyhow::Result<_>>()
        })?;
        let driver = Box::pin(Driver::open(&place.nodes, &keyspace, site.level)).await?;
        Ok(Opened {
            gateways,
            driver: Arc::new(driver),
            mail: Arc::new(Work::new(users, Size::Fixed(4096))),
            bare: Arc::new(Work::new(mailboxes("bare"), Size::Fixed(4096))),
        })
    }

    /// What the nodes' compilers have used so far, in milliseconds of CPU.
    fn compiling(&mut self) -> anyhow::Result<f64> {
        let pids: Vec<_> = (1..=self.nodes)
            .filter_map(|node| self.cluster.pid(node))
            .collect();
        pids.into_iter().map(process::compiling).sum()
    }

    /// The nodes and these gateways.
    pub(super) fn meter(&mut self, gateways: &[Gateway]) -> Meter {
        let gateways = gateways
            .iter()
            .map(|gateway| ("gateway".to_owned(), gateway.pid()));
        let mut processes: Vec<_> = gateways.collect();
        for node in 1..=self.nodes {
            if let Some(pid) = self.cluster.pid(node) {
                processes.push((format!("node{node}"), pid));
            }
        }
        Meter::of(processes)
    }
}

impl Opened {
    /// So many clients of the gateways and of the driver at once.
    async fn load(&self, clients: usize, length: Duration, bar: &Observer) -> anyhow::Result<()> {
        let size = Size::Fixed(4096);
        let (mut past, mut through) = (
            self.deliveries(size, Writing::USUAL),
            self.senders(self.gateways.len(), size),
        );
        past.truncate(clients);
        through.truncate(clients);
        tokio::try_join!(
            pace::run(past, Pace::Closed, length, bar),
            pace::run(through, Pace::Closed, length, bar),
        )?;
        Ok(())
    }

    /// As many connections as the driver may have requests under way.
    pub(super) fn senders(&self, gateways: usize, size: Size) -> Vec<Sender> {
        self.mail.resize(size);
        let gateways: Vec<_> = self.gateways.iter().take(gateways).collect();
        let to = gateways.iter().cycle().take(IN_FLIGHT);
        to.map(|gateway| Sender::new(gateway.mx, &self.mail)).collect()
    }

    pub(super) fn deliveries(&self, size: Size, writing: Writing) -> Vec<Delivering> {
        self.bare.resize(size);
        let one = Delivering {
            driver: Arc::clone(&self.driver),
            work: Arc::clone(&self.bare),
            writing,
        };
        vec![one; IN_FLIGHT]
    }
}

/// How often a maildrop is listed before listings of it are measured: what writes have warmed does not read.
pub(super) fn listings_to_warm(messages: usize) -> usize {
    (200_000 / messages.max(1)).clamp(2, 200)
}

/// Clients of each kind while compilers are to have room.
const FEW: usize = 4;
const FEW_FOR: Duration = Duration::from_secs(15);
const MANY_FOR: Duration = Duration::from_secs(5);
/// What a node's compilers may still use of a core when it counts as warm.
const QUIET: f64 = 0.05;
/// So many times the least length is the most.
pub(super) const WARM_AT_MOST: u32 = 3;

/// Load without figures, through the gateways and past them at once, for `bench.warm` at least and until the JVMs
/// hardly compile any more; answers how long it took. Mostly few clients: under many, compilers get little of two
/// cores, and nodes stay slow for many minutes.
async fn warm(bench: &Bench, lab: &mut Lab, opened: &[Opened]) -> anyhow::Result<Duration> {
    bench.say(&format!("warms for {} s or more", bench.warm.as_secs()));
    let begun = Instant::now();
    let bar = pace::progress("warms");
    let mut compiled = lab.compiling()?;
    loop {
        let step = Instant::now();
        for site in opened {
            let sites = opened.len() as u32;
            site.load(FEW, FEW_FOR / sites, &bar).await?;
            site.load(IN_FLIGHT, MANY_FOR / sites, &bar).await?;
        }
        let now = lab.compiling()?;
        let share = (now - compiled) / step.elapsed().as_secs_f64() / 1000.0 / lab.nodes as f64;
        compiled = now;
        let warmed = begun.elapsed();
        if warmed >= bench.warm && (share < QUIET || warmed >= bench.warm * WARM_AT_MOST) {
            bar.finish_and_clear();
            let (seconds, percent) = (warmed.as_secs(), share * 100.0);
            bench.say(&format!(
                "warm after {seconds} s: compilers use {percent:.0} % of a core on each node"
            ));
            return Ok(warmed);
        }
    }
}
