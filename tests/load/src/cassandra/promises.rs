//! Part b: what is promised at a 250, and its price: consistency and the commit log's way to the disk.

use super::Bench;
use super::lab::{Settings, Site};
use super::stage::{Stage, Subject, Trial};
use crate::driver::{Level, Writing};
use crate::message::Size;

const NODES: usize = 3;

const COMMIT_LOGS: [(&str, Settings); 3] = [
    ("periodic", &[]),
    (
        "group",
        &[
            ("commitlog_sync", "group"),
            ("commitlog_sync_group_window", "10ms"),
            ("commitlog_sync_period", "0ms"),
        ],
    ),
    (
        "batch",
        &[("commitlog_sync", "batch"), ("commitlog_sync_period", "0ms")],
    ),
];

pub(super) async fn run(bench: &mut Bench) -> anyhow::Result<()> {
    for stage in stages() {
        stage.run(bench).await?;
    }
    Ok(())
}

/// Without the driver beside it.
pub(super) async fn short(bench: &mut Bench) -> anyhow::Result<()> {
    for mut stage in stages() {
        stage
            .trials
            .retain(|trial| matches!(trial.subject, Subject::Gateways(_)));
        stage.run(bench).await?;
    }
    Ok(())
}

fn stages() -> impl Iterator<Item = Stage> {
    let levels = [Level::One, Level::LocalQuorum, Level::All];
    COMMIT_LOGS.into_iter().map(move |(setting, settings)| Stage {
        part: "b",
        nodes: NODES,
        settings,
        setting,
        sites: levels
            .map(|level| Site {
                replication: NODES,
                level,
                gateways: 1,
            })
            .to_vec(),
        trials: (0..levels.len())
            .flat_map(|site| {
                [Subject::Gateways(1), Subject::Driver(Writing::USUAL)]
                    .map(|subject| Trial::new(site, subject, Size::Fixed(4096)))
            })
            .collect(),
        reads_back: false,
    })
}
