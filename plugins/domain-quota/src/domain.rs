//! The room of one domain, and what each of its mailboxes has of it.

use serde::Deserialize;
use settings::{Size, domain_of};
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

pub(crate) fn same(one: &str, other: &str) -> bool {
    one.to_lowercase() == other.to_lowercase()
}

impl Domain {
    fn reserved_bytes(&self) -> Option<u64> {
        self.reserved
            .values()
            .try_fold(0_u64, |sum, size| sum.checked_add(size.0))
    }

    /// What is left for each mailbox that has nothing reserved, rounded down.
    pub(crate) fn share(&self) -> u64 {
        let left = self
            .bytes
            .0
            .saturating_sub(self.reserved_bytes().unwrap_or(u64::MAX));
        let others = self.mailboxes.saturating_sub(self.reserved.len() as u64);
        left.checked_div(others).unwrap_or(0)
    }

    pub(crate) fn check(&self, name: &str) -> Result<(), String> {
        if let Some(odd) = self
            .reserved
            .keys()
            .find(|address| !same(domain_of(address), name))
        {
            return Err(format!(
                "domains: `{odd}` is reserved in {name} and is no address of it"
            ));
        }
        if self.reserved_bytes().is_none_or(|sum| sum > self.bytes.0) {
            return Err(format!(
                "domains: more is reserved in {name} than it has ({})",
                self.bytes
            ));
        }
        match self.mailboxes > self.reserved.len() as u64 && self.share() == 0 {
            true => Err(format!(
                "domains: nothing of {name} is left for mailboxes without a reservation"
            )),
            false if self.mailboxes < self.reserved.len() as u64 => Err(format!(
                "domains: {name} has {} mailboxes and reserves for {}",
                self.mailboxes,
                self.reserved.len()
            )),
            false => Ok(()),
        }
    }
}
