//! quota: how much a mailbox may hold stands in an attribute of its account; those without it have what is usual.
//! settings: { attribute: quota-bytes, usual: 1000000000 }        grants: { directory: {} }

use crate::postern::policy::{
    config, directory, log,
    types::{Ceiling, QuotaDecision, Usage},
};

pub fn check(mailbox: String, _current: Usage, _incoming: u64) -> QuotaDecision {
    let usual = config::get("usual").and_then(|text| text.parse().ok());
    let attribute = config::get("attribute").unwrap_or_else(|| "quota-bytes".into());
    let own = directory::attribute(&mailbox, &attribute).unwrap_or_else(|error| {
        log::warn(&format!("{mailbox} has the usual quota: {error}"));
        None
    });
    // The gateway itself compares it with what the mailbox holds, and refuses with 452.
    QuotaDecision::Allow(Ceiling {
        bytes: own.and_then(|text| text.parse().ok()).or(usual),
        messages: None,
    })
}
