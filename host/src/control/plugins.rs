//! The policies in force: what decides, how candidates compare, and what is put back into service.

use super::{AgreementRecord, ControlContext, Outcome, PluginRecord, Record, Records, Refusal};
use crate::policy::{Agreed, Listed, Policies};
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
    let compiling = compiling.and_then(|policies| policies.compiling.now());
    let known = policies.list().iter().map(|listed| PluginRecord {
        trouble: policies.trouble(listed),
        ..listed.into()
    });
    for record in with_compiling(known, compiling.as_ref()) {
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

/// The records of known files, and what of them the compiler is at; one of a new file stands in its place.
fn with_compiling(
    known: impl Iterator<Item = PluginRecord>,
    compiling: Option<&Listed>,
) -> Vec<PluginRecord> {
    let mut records: Vec<PluginRecord> = known.collect();
    let Some(compiling) = compiling else {
        return records;
    };
    if let Some(record) = records.iter_mut().find(|record| record.file == compiling.file) {
        record.state = format!("{}; its file is being compiled", record.state);
        record.compiling = true;
        return records;
    }
    let place = records.iter().position(|record| compiling.file < record.file);
    let new = PluginRecord {
        state: "new; its file is being compiled".to_owned(),
        status: "new".to_owned(),
        compiling: true,
        ..compiling.into()
    };
    records.insert(place.unwrap_or(records.len()), new);
    records
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::{Compiling, State};
    use std::path::Path;

    /// As it is known by its name alone.
    fn named(name: &str) -> Listed {
        let compiling = Compiling::default();
        let _compilation = compiling.begin(&Path::new("plugins.d").join(name));
        compiling.now().unwrap()
    }

    /// While the compiler is at this one: file, state, status, fault and whether it is being compiled.
    fn listed(compiling: &str) -> Vec<(String, String, String, Option<String>, bool)> {
        let fault = || "is no component; build it".to_owned();
        let known = [
            ("10-good.wasm", State::Loaded),
            (
                "20-old.wasm",
                State::Earlier {
                    digest: "0123456789".to_owned(),
                    fault: fault(),
                },
            ),
            ("40-bad.wasm", State::Refused(fault())),
            ("50-off.wasm", State::Disabled),
        ];
        let known = known.map(|(name, state)| Listed { state, ..named(name) });
        let records = with_compiling(known.iter().map(PluginRecord::from), Some(&named(compiling)));
        let told = records.into_iter().map(|record| {
            let file = record.file.file_name().unwrap().to_string_lossy().into_owned();
            (file, record.state, record.status, record.fault, record.compiling)
        });
        told.collect()
    }

    #[test]
    fn a_new_file_stands_in_its_place_while_it_is_compiled() {
        for (name, place) in [("05-new.wasm", 0), ("30-new.wasm", 2), ("60-new.wasm", 4)] {
            let listed = listed(name);
            let files: Vec<&str> = listed.iter().map(|(file, ..)| file.as_str()).collect();
            assert!(files.is_sorted() && files.len() == 5, "{files:?}");
            let new = (
                name.to_owned(),
                "new; its file is being compiled".to_owned(),
                "new".to_owned(),
                None,
                true,
            );
            assert_eq!(listed[place], new);
            assert_eq!(listed.iter().filter(|(.., compiling)| *compiling).count(), 1);
        }
    }

    #[test]
    fn what_is_known_of_a_file_stays_while_it_is_compiled_anew() {
        let quiet = with_compiling(std::iter::once((&named("10-good.wasm")).into()), None);
        assert!(!quiet[0].compiling);
        let before = listed("60-new.wasm");
        for (place, (name, state, status, fault, _)) in before.iter().take(4).enumerate() {
            let now = listed(name);
            assert_eq!(now.len(), 4);
            let state = format!("{state}; its file is being compiled");
            let told = (name.clone(), state, status.clone(), fault.clone(), true);
            assert_eq!(now[place], told);
        }
    }
}
