//! Part g: maildrops of 10, 1,000 and 100,000 messages: login, STAT and UIDL by POP3, beside the bare query.

use super::lab::{self, Lab, Opened, Warm};
use super::{Bench, median};
use crate::driver::{Driver, Layout, Place, Writing};
use crate::gateway::PASSWORD;
use crate::message::{Pool, Size};
use crate::pop3::Session;
use anyhow::Context as _;
use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use serde_json::json;
use std::time::Duration;
use tokio::time::Instant;
use uuid::Uuid;

/// The empty one tells what a login costs without a listing.
const MESSAGES: [usize; 4] = [0, 10, 1000, 100_000];
const VISITS: usize = 15;

pub(super) async fn run(bench: &mut Bench) -> anyhow::Result<()> {
    let Some((mut lab, site)) = Warm::with_one_gateway(bench, MESSAGES.map(id)).await? else {
        return Ok(());
    };
    for (count, mailbox) in MESSAGES.into_iter().zip(lab::visited()) {
        if bench.wants(&id(count), Duration::from_secs(120)) {
            bench.say(&format!("fills {mailbox} with {count}"));
            fill(&site.driver, &mailbox, count).await?;
            visit(bench, &mut lab, &site, (&mailbox, count)).await?;
        }
    }
    Ok(())
}

fn id(messages: usize) -> String {
    format!("g/{messages}")
}

/// Small messages: their bodies are not read.
async fn fill(driver: &Driver, mailbox: &str, messages: usize) -> anyhow::Result<()> {
    let pool = Pool::new();
    driver.put_epoch(mailbox, Place::now().epoch).await?;
    let puts = (0..messages).map(|number| {
        let message = pool.message(number as u64, mailbox, Size::Fixed(512));
        async move {
            driver
                .deliver(mailbox, Place::now(), &message, Writing::USUAL)
                .await
        }
    });
    stream::iter(puts).buffer_unordered(64).try_collect().await
}

/// Milliseconds of the steps of one visit: login, STAT, UIDL, and the bare query just before.
struct Visit([f64; 4]);

const STEPS: [&str; 4] = ["login_ms", "stat_ms", "uidl_ms", "query_ms"];

async fn visit(
    bench: &mut Bench,
    lab: &mut Lab,
    site: &Opened,
    (mailbox, count): (&str, usize),
) -> anyhow::Result<()> {
    for _ in 0..lab::listings_to_warm(count) {
        once(site, mailbox, count).await?;
    }
    let meter = lab.meter(&site.gateways);
    let before = meter.read()?;
    let mut visits = Vec::new();
    for _ in 0..VISITS {
        visits.push(once(site, mailbox, count).await?);
    }
    let used = meter.since(&before, VISITS as u64, 1)?;
    let mut figures = json!({
        "part": "g", "subject": "maildrop", "messages": count, "visits": VISITS, "cpu_ms": used.get("cpu_ms"),
    });
    for (step, name) in STEPS.iter().enumerate() {
        let took = visits.iter().filter_map(|Visit(steps)| steps.get(step).copied());
        crate::merge(&mut figures, json!({ *name: median(took.collect()) }));
    }
    bench.runs.add(&id(count), &[&figures])
}

async fn once(site: &Opened, mailbox: &str, count: usize) -> anyhow::Result<Visit> {
    let gateway = site.gateways.first().context("a gateway")?;
    let epoch = Place::now().epoch;
    let begun = Instant::now();
    let listed = site
        .driver
        .list(Layout::Ours, mailbox, epoch, Uuid::nil())
        .await?;
    let query = begun.elapsed();
    let mut session = Session::connect(&gateway.pop3.into()).await?;
    session.ask(&format!("USER {mailbox}")).await?;
    let begun = Instant::now();
    session.ask(&format!("PASS {PASSWORD}")).await?;
    let login = begun.elapsed();
    let begun = Instant::now();
    let counted = session.count().await?;
    let stat = begun.elapsed();
    let begun = Instant::now();
    let ids = session.block("UIDL").await?;
    let uidl = begun.elapsed();
    let lines = memchr::memchr_iter(b'\n', ids).count();
    session.ask("QUIT").await?;
    anyhow::ensure!(
        counted == count && lines == count && listed.len() == count,
        "{mailbox} has {counted}, lists {lines} and {}",
        listed.len()
    );
    Ok(Visit(
        [login, stat, uidl, query].map(|took| took.as_secs_f64() * 1000.0),
    ))
}
