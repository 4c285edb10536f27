//! Deliveries through two copies of tag-subject: what the record for `postern explain` costs.

use super::deliveries::Warm;
use super::policies::copies;
use super::{Bench, MAILBOXES, Trial, mailboxes, say};
use crate::pace::Pace;
use serde_json::json;

const CONNECTIONS: usize = 16;
const POLICIES: usize = 2;
/// By what is recorded, with the configuration for it; the second is what an operator gets who says nothing.
const RECORDS: [(&str, &str); 3] = [
    ("off", "explain: { keep: 0s }\n"),
    ("in facts", ""),
    ("keep_deleted", "explain: { keep_deleted: true, max: 16GiB }\n"),
];

pub(super) async fn explain(bench: &mut Bench) -> anyhow::Result<()> {
    let Some(policy) = bench.policy.clone() else {
        say("no policy was named (--policy WASM YAML): what explain costs is not measured");
        return Ok(());
    };
    let settings = tempfile::tempdir()?;
    let policies = copies(&policy.component, POLICIES, settings.path())?;
    for round in 1..=bench.rounds {
        for (records, more) in RECORDS {
            let trial = Trial::new("explain", "gateway", json!({ "explain": records }), round);
            if bench.lacks(&[trial.id()]) {
                let gateway = bench.configured(&mailboxes(), &policies, more)?;
                let warm = Warm::of(bench, gateway, MAILBOXES).await?;
                let clients = (warm.senders(CONNECTIONS), Pace::Closed);
                bench.load(&trial, &warm.gateway, clients).await?;
            }
        }
    }
    Ok(())
}
