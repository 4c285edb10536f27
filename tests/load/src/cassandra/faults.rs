//! The beginning of part a: what a sender sees while a node is silent, and when a quorum is lost and comes back; and
//! what memory a large body takes.

use super::Bench;
use super::lab::{Lab, Opened, Warm};
use crate::gateway::PASSWORD;
use crate::message::Size;
use crate::pace::{self, Pace};
use crate::pop3::Session;
use crate::process;
use crate::smtp::Sender;
use anyhow::Context as _;
use serde_json::json;
use std::time::Duration;
use tokio::time::{Instant, sleep};

const SILENT: &str = "a/one node of three stopped for 20 s";
const QUORUM: &str = "a/two nodes of three killed and started again";
const LARGE: &str = "a/a message of 50 MB";
/// Messages a second, and at most so many under way.
const RATE: f64 = 100.0;
const UNDER_WAY: usize = 512;

pub(super) async fn run(bench: &mut Bench) -> anyhow::Result<()> {
    let Some((mut lab, site)) =
        Warm::with_one_gateway(bench, [SILENT, QUORUM, LARGE].map(str::to_owned)).await?
    else {
        return Ok(());
    };
    if bench.wants(LARGE, Duration::from_secs(60)) {
        large(bench, &site).await?;
    }
    if bench.wants(SILENT, Duration::from_secs(60)) {
        silent(bench, &mut lab, &site).await?;
    }
    if bench.wants(QUORUM, Duration::from_secs(90)) {
        quorum(bench, &mut lab, &site).await?;
    }
    Ok(())
}

fn senders(site: &Opened) -> anyhow::Result<Vec<Sender>> {
    let gateway = site.gateways.first().context("a gateway")?;
    site.mail.resize(Size::Fixed(4096));
    let senders = (0..UNDER_WAY).map(|_| Sender::new(gateway.mx, &site.mail));
    Ok(senders.collect())
}

async fn silent(bench: &mut Bench, lab: &mut Lab, site: &Opened) -> anyhow::Result<()> {
    bench.say(SILENT);
    let bar = pace::progress(SILENT);
    let load = pace::run(senders(site)?, Pace::Open(RATE), Duration::from_secs(30), &bar);
    let fault = async {
        sleep(Duration::from_secs(5)).await;
        lab.cluster.stop(2);
        sleep(Duration::from_secs(20)).await;
        lab.cluster.cont(2);
        anyhow::Ok(())
    };
    let (tally, ()) = tokio::try_join!(load, fault)?;
    bar.finish_and_clear();
    let facts = json!({ "part": "a", "subject": "silent node", "open_rate": RATE });
    bench.runs.add(SILENT, &[&facts, &tally.json()])
}

/// Mail flows again when the first message is acknowledged after the gap.
async fn quorum(bench: &mut Bench, lab: &mut Lab, site: &Opened) -> anyhow::Result<()> {
    bench.say(QUORUM);
    let bar = pace::progress(QUORUM);
    let begun = Instant::now();
    let load = pace::run(senders(site)?, Pace::Open(RATE), Duration::from_secs(75), &bar);
    let fault = async {
        sleep(Duration::from_secs(5)).await;
        let away = begun.elapsed();
        for node in [2, 3] {
            lab.cluster.kill(node);
        }
        // Longer than a delivery is tried again, so that none of before is acknowledged late.
        sleep(Duration::from_secs(25)).await;
        lab.cluster.launch(2).map_err(anyhow::Error::msg)?;
        tokio::task::block_in_place(|| lab.cluster.await_cql(2)).map_err(anyhow::Error::msg)?;
        let back = begun.elapsed();
        lab.cluster.launch(3).map_err(anyhow::Error::msg)?;
        tokio::task::block_in_place(|| lab.cluster.await_cql(3)).map_err(anyhow::Error::msg)?;
        anyhow::Ok((away, back))
    };
    let (tally, (away, back)) = tokio::try_join!(load, fault)?;
    bar.finish_and_clear();
    let flows = tally
        .gap
        .map(|[_, after]| after.as_secs_f64() - back.as_secs_f64());
    let facts = json!({
        "part": "a", "subject": "quorum", "open_rate": RATE, "away_s": (back - away).as_secs_f64(),
        "flows_after_s": flows,
    });
    bench.runs.add(QUORUM, &[&facts, &tally.json()])
}

async fn large(bench: &mut Bench, site: &Opened) -> anyhow::Result<()> {
    bench.say(LARGE);
    let gateway = site.gateways.first().context("a gateway")?;
    let before_taking = process::memory_from_now(gateway.pid())?;
    // 50 MB with the line that the gateway adds.
    let size = Size::Fixed(50_000_000);
    site.mail.resize(size);
    let bar = pace::progress(LARGE);
    // One message: the second is due when it is over.
    let sender = vec![Sender::new(gateway.mx, &site.mail)];
    let tally = pace::run(sender, Pace::Open(1.0), Duration::from_millis(500), &bar).await?;
    bar.finish_and_clear();
    let taken = process::highest_memory(gateway.pid())?;
    let number = tally.messages();
    let mailbox = site.mail.last().context("a message")?;
    let mut session = Session::login(&gateway.pop3.into(), mailbox, PASSWORD).await?;
    let count = session.count().await?;
    let before_giving = process::memory_from_now(gateway.pid())?;
    let begun = Instant::now();
    let octets = session.block(&format!("RETR {count}")).await?.len();
    let retrieved = begun.elapsed().as_secs_f64() * 1000.0;
    let given = process::highest_memory(gateway.pid())?;
    let facts = json!({
        "part": "a", "subject": "large", "kept": number, "read": octets, "before_taking_kib": before_taking,
        "most_taking_kib": taken, "before_giving_kib": before_giving, "most_giving_kib": given, "retr_ms": retrieved,
    });
    bench.runs.add(LARGE, &[&facts, &tally.json()])
}
