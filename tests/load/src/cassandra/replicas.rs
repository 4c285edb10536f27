//! Part a: one, two and three nodes, with one copy and with as many as there are nodes up to three.

use super::Bench;
use super::lab::Site;
use super::stage::{Speed, Stage, Subject, Trial};
use crate::driver::{Level, Writing};
use crate::message::Size;

const FOUR: Size = Size::Fixed(4096);

pub(super) async fn run(bench: &mut Bench) -> anyhow::Result<()> {
    for nodes in [3, 1, 2] {
        stage(nodes, &[FOUR, Size::Fixed(10_240), Size::LogNormal])
            .run(bench)
            .await?;
    }
    Ok(())
}

/// Only 4 KiB on one node and on three.
pub(super) async fn short(bench: &mut Bench) -> anyhow::Result<()> {
    for nodes in [3, 1] {
        let mut stage = stage(nodes, &[FOUR]);
        // What is not measured is not opened.
        let copies = stage.sites.len() - 1;
        stage.trials.retain(|trial| trial.site == copies);
        if let Some(site) = stage.sites.pop() {
            stage.sites = vec![site];
        }
        stage.trials.iter_mut().for_each(|trial| trial.site = 0);
        stage.run(bench).await?;
    }
    Ok(())
}

fn stage(nodes: usize, sizes: &[Size]) -> Stage {
    let mut copies = vec![1, nodes];
    copies.dedup();
    let gateways = if nodes == 3 { 2 } else { 1 };
    let sites = copies.iter().map(|replication| Site {
        replication: *replication,
        level: Level::LocalQuorum,
        gateways,
    });
    let mut trials = Vec::new();
    for size in sizes {
        for site in 0..copies.len() {
            trials.push(Trial::new(site, Subject::Gateways(1), *size));
            trials.push(Trial::new(site, Subject::Driver(Writing::USUAL), *size));
        }
    }
    let last = copies.len() - 1;
    if gateways > 1 {
        trials.push(Trial::new(last, Subject::Gateways(gateways), FOUR));
    }
    let half = Trial::new(last, Subject::Gateways(1), FOUR);
    trials.push(Trial {
        speed: Speed::Half,
        ..half
    });
    Stage {
        part: "a",
        nodes,
        settings: &[],
        setting: "",
        sites: sites.collect(),
        trials,
        reads_back: true,
    }
}
