//! What was said on a stand, as people read it.

pub(super) use crate::policy::told::edit;

use crate::policy::stand::{Said, Seen};
use crate::policy::told;

pub(super) fn said(said: &Said) -> String {
    match said {
        Said::Verdict { verdict, .. } => told::verdict(verdict),
        Said::Route(route) => told::route(route),
        Said::Quota(decision) => told::quota(decision),
        Said::Valid => "these settings are good".to_owned(),
    }
}

/// A line for each thing that the host had to mend.
pub(super) fn mended(seen: &Seen) -> Vec<String> {
    let lines = seen.mended.iter().map(|flaw| {
        let part = format!("{flaw:?}").to_lowercase();
        format!("the {part} of a reply, which was not fit to send")
    });
    lines.collect()
}
