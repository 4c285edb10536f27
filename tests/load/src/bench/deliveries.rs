//! Deliveries: by connections, by offered rate, and beside what the disk and loopback allow.

use super::{Bench, MAILBOXES, SIZE, Trial, highest, mailboxes, say};
use crate::ceiling::{Script, append, aside, echo};
use crate::gateway::{Gateway, PASSWORD};
use crate::ledger::Work;
use crate::message::{Pool, Size};
use crate::pace::{self, Pace};
use crate::smtp::Sender;
use anyhow::bail;
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;

const CONNECTIONS: [usize; 3] = [64, 16, 1];
/// Of the mailboxes, those that are read back.
const READ_BACK: usize = 4;
/// Load before anything is measured.
const WARM: Duration = Duration::from_secs(1);

/// A gateway that has taken some mail, and what sends it more.
pub(super) struct Warm {
    pub(super) gateway: Gateway,
    pub(super) work: Arc<Work>,
}

impl Warm {
    pub(super) async fn start(bench: &Bench, policies: &[crate::gateway::Policy]) -> anyhow::Result<Self> {
        Self::of(bench, bench.gateway(&mailboxes(), policies)?, MAILBOXES).await
    }

    /// A gateway that has the mailboxes, warmed over so many connections.
    pub(super) async fn of(bench: &Bench, gateway: Gateway, connections: usize) -> anyhow::Result<Self> {
        let work = Arc::new(Work::new(mailboxes(), Size::Fixed(SIZE)));
        let warm = Self { gateway, work };
        let observer = pace::progress("warms");
        let tally = pace::run(
            warm.senders(connections),
            Pace::Closed,
            WARM.min(bench.round),
            &observer,
        )
        .await?;
        observer.finish_and_clear();
        if let Some((told, _)) = tally.failures.first_key_value() {
            bail!("the gateway takes no mail: {told}");
        }
        Ok(warm)
    }

    pub(super) fn senders(&self, connections: usize) -> Vec<Sender> {
        vec![Sender::new(self.gateway.mx, &self.work); connections]
    }
}

fn trial(connections: usize, subject: &'static str, round: usize) -> Trial {
    Trial::new(
        "deliveries",
        subject,
        json!({ "connections": connections }),
        round,
    )
}

/// The name of the rate that others are parts of.
fn highest_name() -> String {
    trial(CONNECTIONS.into_iter().max().unwrap_or_default(), "gateway", 1).name()
}

pub(super) async fn deliveries(bench: &mut Bench) -> anyhow::Result<()> {
    let rounds = (1..=bench.rounds).flat_map(|round| CONNECTIONS.map(|connections| (round, connections)));
    let rounds: Vec<_> = rounds.collect();
    let wanted: Vec<_> = rounds
        .iter()
        .map(|(round, connections)| trial(*connections, "gateway", *round).id())
        .collect();
    if !bench.lacks(&wanted) {
        return Ok(());
    }
    let message = Pool::new().message(0, "user0@example.org", Size::Fixed(SIZE));
    let warm = Warm::start(bench, &[]).await?;
    for (round, connections) in rounds {
        let disk = trial(connections, "append", round);
        if bench.lacks(&[disk.id()]) {
            say(&disk.id());
            let (folder, octets, length) = (bench.folder.clone(), message.octets.clone(), bench.round);
            let figures = aside(move || append(&folder, connections, &octets, length)).await?;
            bench.add(&disk, &figures)?;
        }
        let loopback = trial(connections, "echo", round);
        if bench.lacks(&[loopback.id()]) {
            say(&loopback.id());
            let figures = echo(&Script::deliveries(SIZE), connections, bench.round).await?;
            bench.add(&loopback, &figures)?;
        }
        let clients = (warm.senders(connections), Pace::Closed);
        bench
            .load(&trial(connections, "gateway", round), &warm.gateway, clients)
            .await?;
    }
    let read_back = Trial::new("deliveries", "read back", json!({}), 1);
    say(&read_back.id());
    let difference = warm
        .work
        .read_back(warm.gateway.pop3, PASSWORD, READ_BACK)
        .await?;
    bench.add(&read_back, &difference.json())
}

pub(super) async fn half(bench: &mut Bench) -> anyhow::Result<()> {
    let half = highest(&bench.runs, &highest_name())? / 2.0;
    at_rates(bench, "half", &[("0.50".to_owned(), half)], bench.rounds).await
}

/// Up to what it cannot take any more.
pub(super) async fn offered(bench: &mut Bench) -> anyhow::Result<()> {
    let highest = highest(&bench.runs, &highest_name())?;
    let shares = [0.1, 0.25, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0];
    let rates = shares.map(|share| (format!("{share:.2}"), highest * share));
    at_rates(bench, "offered", &rates, 1).await
}

/// At these shares of the highest rate.
async fn at_rates(
    bench: &mut Bench,
    part: &'static str,
    rates: &[(String, f64)],
    rounds: usize,
) -> anyhow::Result<()> {
    let trial = |share: &String, round| Trial::new(part, "gateway", json!({ "share": share }), round);
    let rounds: Vec<_> = (1..=rounds)
        .flat_map(|round| rates.iter().map(move |(share, rate)| (round, share, *rate)))
        .collect();
    let wanted: Vec<_> = rounds
        .iter()
        .map(|(round, share, _)| trial(share, *round).id())
        .collect();
    if !bench.lacks(&wanted) {
        return Ok(());
    }
    let warm = Warm::start(bench, &[]).await?;
    for (round, share, rate) in rounds {
        // So many that they are never all busy below the knee.
        let clients = (warm.senders(4 * MAILBOXES), Pace::Open(rate));
        bench.load(&trial(share, round), &warm.gateway, clients).await?;
    }
    Ok(())
}

pub(super) async fn connections(bench: &mut Bench) -> anyhow::Result<()> {
    let many = [1, 2, 4, 8, 16, 32, 64, 128, 256];
    let trial =
        |connections: usize| Trial::new("connections", "gateway", json!({ "connections": connections }), 1);
    if !bench.lacks(&many.map(|connections| trial(connections).id())) {
        return Ok(());
    }
    let warm = Warm::start(bench, &[]).await?;
    for connections in many {
        let clients = (warm.senders(connections), Pace::Closed);
        bench.load(&trial(connections), &warm.gateway, clients).await?;
    }
    Ok(())
}
