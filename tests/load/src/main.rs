//! Load for a gateway and for the cluster behind it, and the benches over Cassandra.
//!
//! `smtp` sends mail and can read it back; `driver` asks Cassandra for the same without a gateway; `cassandra`
//! starts nodes and gateways by itself and measures them part by part.

mod cassandra;
mod driver;
mod gateway;
mod ledger;
mod lines;
mod message;
mod pace;
mod pop3;
mod process;
mod record;
mod smtp;

#[allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "the tests' harness, whose faults end the run"
)]
#[path = "../../support/cassandra.rs"]
mod nodes;
#[path = "../../../host/src/store/packing.rs"]
mod packing;

use anyhow::Context as _;
use clap::Parser;
use driver::{Delivering, Driver, Level, Writing};
use ledger::Work;
use message::Size;
use pace::{Pace, Tally};
use serde_json::Value;
use smtp::Sender;
use std::io::Write as _;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

#[derive(Debug, Parser)]
#[command(name = "load", about = "Load for a gateway and for the cluster behind it")]
struct Options {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Sends mail to a gateway and checks every reply
    Smtp(Smtp),
    /// Asks Cassandra for what a gateway asks for a delivery, without a gateway
    Driver(Bare),
    /// Starts nodes and gateways and measures them: a part, or the short form of a and b
    Cassandra(cassandra::Options),
}

#[derive(Debug, clap::Args)]
struct Load {
    /// Messages a second, due whatever became of those before; without it each connection goes on when it is
    /// answered
    #[arg(long)]
    rate: Option<f64>,
    /// Connections, or requests that are under way at once
    #[arg(long, default_value_t = 64)]
    connections: usize,
    /// Octets of a message, or lognormal
    #[arg(long, default_value = "4096")]
    size: Size,
    #[arg(long, default_value_t = 10)]
    seconds: u64,
    /// One line of JSON instead of a table
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
struct Smtp {
    /// Where the gateway takes mail
    gateway: SocketAddr,
    /// Recipients, one a message, in turn
    #[arg(long, required = true, value_delimiter = ',')]
    to: Vec<String>,
    /// Where to read everything back, which must have been empty, with this password
    #[arg(long, num_args = 2, value_names = ["POP3", "PASSWORD"])]
    read_back: Option<Vec<String>>,
    #[command(flatten)]
    load: Load,
}

#[derive(Debug, clap::Args)]
struct Bare {
    /// host:port of nodes
    #[arg(required = true)]
    nodes: Vec<String>,
    /// With a gateway's tables
    #[arg(long, default_value = "mail")]
    keyspace: String,
    #[arg(long, value_enum, default_value = "local_quorum")]
    consistency: Level,
    #[command(flatten)]
    load: Load,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    match Options::parse().what {
        What::Smtp(options) => Box::pin(smtp(options)).await,
        What::Driver(options) => Box::pin(bare(options)).await,
        What::Cassandra(options) => Box::pin(cassandra::run(options)).await,
    }
}

impl Load {
    fn pace(&self) -> Pace {
        self.rate.map_or(Pace::Closed, Pace::Open)
    }

    async fn run<C: pace::Client + Clone>(&self, client: C) -> anyhow::Result<Tally> {
        let clients = vec![client; self.connections];
        let bar = pace::progress("load");
        let tally = pace::run(clients, self.pace(), Duration::from_secs(self.seconds), &bar).await;
        bar.finish_and_clear();
        tally
    }
}

async fn smtp(options: Smtp) -> anyhow::Result<()> {
    let work = Arc::new(Work::new(options.to, options.load.size));
    let tally = options.load.run(Sender::new(options.gateway, &work)).await?;
    let mut outcome = tally.json();
    if let Some([pop3, password]) = options.read_back.as_deref() {
        let pop3 = pop3
            .parse()
            .with_context(|| format!("`{pop3}` is no address with a port"))?;
        let difference = work.read_back(pop3, password, work.mailboxes()).await?;
        merge(&mut outcome, difference.json());
    }
    show(&outcome, options.load.json)
}

async fn bare(options: Bare) -> anyhow::Result<()> {
    let driver = Driver::open(&options.nodes, &options.keyspace, options.consistency).await?;
    let client = Delivering {
        driver: Arc::new(driver),
        work: Arc::new(Work::new(vec!["bare".to_owned()], options.load.size)),
        writing: Writing::USUAL,
    };
    let tally = options.load.run(client).await?;
    show(&tally.json(), options.load.json)
}

fn merge(into: &mut Value, more: Value) {
    if let (Some(into), Value::Object(more)) = (into.as_object_mut(), more) {
        into.extend(more);
    }
}

fn show(outcome: &Value, as_json: bool) -> anyhow::Result<()> {
    let mut out = std::io::stdout();
    if as_json {
        writeln!(out, "{outcome}")?;
        return Ok(());
    }
    for (name, figure) in outcome.as_object().into_iter().flatten() {
        writeln!(out, "{name:>16}  {figure}")?;
    }
    Ok(())
}
