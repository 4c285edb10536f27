//! The store as a whole, and the policies in force.

use super::{ControlContext, Outcome, Records, Refusal};
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
    let _ = records;
    match context.policies {
        Some(_) => Err(Refusal::new("not yet")),
        None => Err(Refusal::new("no gateway runs")),
    }
}
