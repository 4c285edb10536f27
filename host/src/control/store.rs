//! The store as a whole, and the policies in force.

use super::{ControlContext, Outcome, Record, Records, Refusal};
use std::path::Path;

pub(super) async fn backup(context: &ControlContext, folder: &Path) -> Outcome<String> {
    let _ = (context, folder);
    Err(Refusal::new("not yet"))
}

pub(super) async fn check(context: &ControlContext, records: &Records) -> Outcome<String> {
    let _ = (context, records);
    Err(Refusal::new("not yet"))
}

pub(super) async fn plugins(context: &ControlContext, records: &Records) -> Outcome<String> {
    let Some(policies) = &context.policies else {
        return Err(Refusal::new(
            "no gateway runs; start one with postern serve to see what decides",
        ));
    };
    for listed in policies.list() {
        records.send(Record::Plugin(listed.into())).await?;
    }
    Ok(String::new())
}
