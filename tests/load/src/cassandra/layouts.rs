//! Part d: the schema of 2011, with the body inside the mailbox's wide row, against ours: by the bare driver, on
//! the same cluster under the same load.

use super::lab::{self, Site, Warm};
use super::stage::{Stage, Subject, Trial};
use super::{Bench, median};
use crate::driver::{Driver, Layout, Level, Place, Writing};
use crate::message::{Pool, Size};
use anyhow::Context as _;
use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use serde_json::json;
use std::time::Duration;
use tokio::time::Instant;
use uuid::Uuid;

const NODES: usize = 3;
const SITE: Site = Site {
    replication: NODES,
    level: Level::LocalQuorum,
    gateways: 1,
};
const LAYOUTS: [(&str, Layout); 2] = [("ours", Layout::Ours), ("2011", Layout::Wide)];
/// Messages of the maildrops that are listed.
const MAILDROPS: [usize; 2] = [1000, 20_000];
const LISTINGS: usize = 15;

pub(super) async fn run(bench: &mut Bench) -> anyhow::Result<()> {
    let trials = [Size::Fixed(4096), Size::Fixed(10_240)]
        .into_iter()
        .flat_map(|size| {
            LAYOUTS.map(|(variant, layout)| {
                let writing = Writing {
                    layout,
                    ..Writing::USUAL
                };
                Trial {
                    variant,
                    ..Trial::new(0, Subject::Driver(writing), size)
                }
            })
        });
    let stage = Stage {
        part: "d",
        nodes: NODES,
        settings: &[],
        setting: "",
        sites: vec![SITE],
        trials: trials.collect(),
        reads_back: false,
    };
    let listings = MAILDROPS
        .iter()
        .flat_map(|count| LAYOUTS.map(|(name, _)| id(name, *count)));
    if let Some(mut cluster) = stage.start(bench, listings).await? {
        stage.measure_on(bench, &mut cluster).await?;
        Box::pin(measure_listings(bench, &mut cluster)).await?;
    }
    Ok(())
}

fn id(name: &str, messages: usize) -> String {
    format!("d/listing/{name}/{messages}")
}

async fn measure_listings(bench: &mut Bench, Warm { lab, sites, .. }: &mut Warm) -> anyhow::Result<()> {
    let site = sites.first().context("a site")?;
    for count in MAILDROPS {
        for (name, layout) in LAYOUTS {
            if bench.wants(&id(name, count), Duration::from_secs(60)) {
                fill(&site.driver, layout, &mailbox(count), count).await?;
            }
        }
    }
    bench.say("flushes, so that listings are read from disk");
    for node in 1..=NODES {
        let flushed = tokio::task::block_in_place(|| lab.cluster.nodetool(node, &["flush"]));
        anyhow::ensure!(
            flushed.status.success(),
            "node {node} does not flush: {flushed:?}"
        );
    }
    let meter = lab.meter(&site.gateways);
    for count in MAILDROPS {
        for (name, layout) in LAYOUTS {
            if !bench.wants(&id(name, count), Duration::from_secs(30)) {
                continue;
            }
            let (name_of_mailbox, epoch) = (mailbox(count), Place::now().epoch);
            let list = || async {
                let begun = Instant::now();
                let ids = site
                    .driver
                    .list(layout, &name_of_mailbox, epoch, Uuid::nil())
                    .await?;
                anyhow::Ok((ids, begun.elapsed().as_secs_f64() * 1000.0))
            };
            for _ in 0..lab::listings_to_warm(count) {
                list().await?;
            }
            let before = meter.read()?;
            let (mut ids, mut took) = (Vec::new(), Vec::new());
            for _ in 0..LISTINGS {
                let (listed, millis) = list().await?;
                ids = listed;
                took.push(millis);
            }
            let used = meter.since(&before, LISTINGS as u64, 1)?;
            let body = bodies(&site.driver, layout, &name_of_mailbox, &ids).await?;
            let figures = json!({
                "part": "d", "subject": "listing", "variant": name, "messages": ids.len(),
                "listing_ms": median(took), "body_ms": body, "cpu_ms": used.get("cpu_ms"),
            });
            bench.runs.add(&id(name, count), &[&figures])?;
        }
    }
    Ok(())
}

fn mailbox(messages: usize) -> String {
    format!("listed-{messages}@example.org")
}

/// Milliseconds to read one body, the median of some.
async fn bodies(driver: &Driver, layout: Layout, mailbox: &str, ids: &[Uuid]) -> anyhow::Result<f64> {
    let mut took = Vec::new();
    for id in ids.iter().step_by((ids.len() / 200).max(1)) {
        let begun = Instant::now();
        driver.body(layout, mailbox, Place::at(*id)).await?;
        took.push(begun.elapsed().as_secs_f64() * 1000.0);
    }
    Ok(median(took))
}

async fn fill(driver: &Driver, layout: Layout, mailbox: &str, messages: usize) -> anyhow::Result<()> {
    let pool = Pool::new();
    let writing = Writing {
        layout,
        ..Writing::USUAL
    };
    let puts = (0..messages).map(|number| {
        let message = pool.message(number as u64, mailbox, Size::Fixed(4096));
        async move { driver.deliver(mailbox, Place::now(), &message, writing).await }
    });
    stream::iter(puts).buffer_unordered(64).try_collect().await
}
