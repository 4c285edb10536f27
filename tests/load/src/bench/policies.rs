//! Deliveries through copies of one policy, from none to ten.

use super::deliveries::Warm;
use super::{Bench, MAILBOXES, Trial, say};
use crate::pace::Pace;
use serde_json::json;

const COUNTS: [usize; 6] = [0, 1, 2, 3, 5, 10];

pub(super) async fn policies(bench: &mut Bench) -> anyhow::Result<()> {
    let Some(policy) = bench.policy.clone() else {
        say("no policy was named (--policy WASM YAML): none is measured");
        return Ok(());
    };
    for round in 1..=bench.rounds {
        for count in COUNTS {
            let trial = Trial::new("policies", "gateway", json!({ "policies": count }), round);
            if bench.lacks(&[trial.id()]) {
                let warm = Warm::start(bench, &vec![policy.clone(); count]).await?;
                let clients = (warm.senders(MAILBOXES), Pace::Closed);
                bench.load(&trial, &warm.gateway, clients).await?;
            }
        }
    }
    Ok(())
}
