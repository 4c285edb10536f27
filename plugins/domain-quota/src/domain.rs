//! The room of one domain, and what each of its mailboxes has of it.

use serde::Deserialize;
use settings::{Size, domain_of, same};
use std::collections::BTreeMap;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Domain {
    /// What all its mailboxes together may hold.
    bytes: Size,
    /// How many it has at most, the reserved ones included.
    mailboxes: u64,
    /// Mailboxes that have more or less than the others.
    #[serde(default)]
    pub(crate) reserved: BTreeMap<String, Size>,
    /// In each mailbox.
    #[serde(default)]
    pub(crate) messages: Option<u64>,
}

impl Domain {
    fn reserved_bytes(&self) -> u64 {
        let sizes = self.reserved.values().map(|size| size.0);
        sizes.fold(0, u64::saturating_add)
    }

    /// What is left for each mailbox that has nothing reserved, rounded down.
    pub(crate) fn share(&self) -> u64 {
        let left = self.bytes.0.saturating_sub(self.reserved_bytes());
        let others = self.mailboxes.saturating_sub(self.reserved.len() as u64);
        left.checked_div(others).unwrap_or(0)
    }

    pub(crate) fn check(&self, name: &str) -> Result<(), String> {
        let (most, reserved) = (self.mailboxes, self.reserved.len() as u64);
        let mut addresses = self.reserved.keys();
        let wrong = match addresses.find(|address| !same(domain_of(address), name)) {
            Some(odd) => format!("`{odd}` is reserved in {name} and is no address of it"),
            None if self.reserved_bytes() > self.bytes.0 => {
                format!("more is reserved in {name} than it has ({})", self.bytes)
            }
            None if most < reserved => format!("{name} has {most} mailboxes and reserves for {reserved}"),
            None if most > reserved && self.share() == 0 => {
                format!("nothing of {name} is left for mailboxes without a reservation")
            }
            None => return Ok(()),
        };
        Err(format!("domains: {wrong}"))
    }
}
