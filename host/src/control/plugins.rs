//! The policies in force: what decides, how candidates compare, and what is put back into service.

use super::{AgreementRecord, ControlContext, Outcome, PluginRecord, Record, Records, Refusal};
use crate::policy::{Agreed, Policies, short};
use std::sync::Arc;

/// Behind a listing where the folder is being looked at.
const LOOKING: &str =
    "the policy folder is being looked at: what changed is compiled and tried, and decides when that is over";

fn in_force(context: &ControlContext) -> Outcome<Arc<Policies>> {
    let policies = context.policies.as_ref().map(|policies| policies.now());
    policies.ok_or_else(|| Refusal::new("no gateway runs; start one with postern serve to see what decides"))
}

pub(super) async fn list(context: &ControlContext, records: &Records) -> Outcome<String> {
    let policies = in_force(context)?;
    let compiling = context.policies.as_ref();
    let mut compiling = compiling.and_then(|policies| policies.compiling.now());
    for listed in policies.list() {
        let mut record = PluginRecord {
            trouble: policies.trouble(listed),
            ..listed.into()
        };
        if compiling.take_if(|new| new.file == record.file).is_some() {
            record = record.being_compiled();
        }
        records.send(Record::Plugin(record)).await?;
    }
    if let Some(new) = compiling {
        let record = PluginRecord::from(&new).being_compiled();
        records.send(Record::Plugin(record)).await?;
    }
    let is_looking = context
        .policies
        .as_ref()
        .is_some_and(|policies| policies.is_looking());
    Ok(if is_looking {
        LOOKING.to_owned()
    } else {
        String::new()
    })
}

pub(super) async fn compare(context: &ControlContext, name: &str, records: &Records) -> Outcome<String> {
    let Some(cells) = in_force(context)?.agreement(name) else {
        return Err(Refusal::new(format!(
            "{name} has no candidate; put one beside it as {name}.candidate.wasm, or see postern plugin list"
        )));
    };
    let (mut all, mut differing) = (0, 0);
    for cell in cells {
        all += cell.count;
        differing += if cell.differs { cell.count } else { 0 };
        records.send(Record::Agreement(cell.into())).await?;
    }
    Ok(match all {
        0 => "the candidate was not asked yet".to_owned(),
        all => format!("{differing} of {all} differ"),
    })
}

pub(super) fn reset(context: &ControlContext, name: &str) -> Outcome<String> {
    match in_force(context)?.reset(name) {
        None => Err(Refusal::new(format!(
            "no policy of the name {name} is loaded; postern plugin list shows those there are"
        ))),
        Some(0) => Ok(format!("{name} was in service")),
        Some(_) => Ok(format!("{name} is back in service")),
    }
}

impl PluginRecord {
    /// While the compiler is at the octets that are in its file now.
    pub(super) fn being_compiled(self) -> Self {
        let state = match &self.serving {
            None => "being compiled".to_owned(),
            Some(serving) => format!("version {} serves on; another is being compiled", short(serving)),
        };
        Self {
            state,
            status: "compiling".to_owned(),
            fault: None,
            ..self
        }
    }
}

impl From<Agreed> for AgreementRecord {
    fn from(cell: Agreed) -> Self {
        Self {
            policy: cell.policy,
            question: cell.question.to_owned(),
            enforced: cell.enforced.to_owned(),
            candidate: cell.candidate.to_owned(),
            differs: cell.differs,
            count: cell.count,
        }
    }
}
