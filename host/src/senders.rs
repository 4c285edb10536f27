//! Sender authentication: the client's name by DNS, SPF, DKIM, DMARC and ARC, each found out once.
//!
//! Strangers alone are looked at: mail that comes to an `mx` listener without a login, and neither from loopback
//! nor from `trusted`. Nothing is refused here: what was found is written to `Authentication-Results` (RFC 8601)
//! and told to policies. Trouble of ours or of DNS is `temperror`; it never costs the mail. Time, look-ups and signatures are
//! bounded, and a text is hashed as it is read, so that none is held in memory.

mod body;
mod claims;
mod dkim;
mod dmarc;
mod message;
mod name;
mod results;
mod spf;
#[cfg(test)]
mod tests;
mod written;

pub use claims::without_claims;
pub use message::Verified;
pub use name::ClientName;
pub use results::field;
pub use spf::{Checked, Envelope, Spf};

use crate::config::{Config, Network, SenderAuthConfig};
use crate::dns::Resolver;
use std::net::IpAddr;

/// What is asked of DNS about senders, and within which bounds.
#[derive(Debug)]
pub struct Senders {
    dns: Resolver,
    bounds: SenderAuthConfig,
    trusted: Vec<Network>,
    hostname: String,
}

impl Senders {
    pub fn new(config: &Config, dns: Resolver) -> Self {
        Self {
            dns,
            bounds: config.sender_auth.clone(),
            trusted: config.trusted.clone(),
            hostname: config.hostname.clone(),
        }
    }

    /// Whether mail of this client, who has no login, is looked at.
    pub fn looks_at(&self, client: IpAddr) -> bool {
        self.bounds.enabled && !self.is_ours(client)
    }

    /// Loopback and `trusted`: what they say was found out is believed.
    pub fn is_ours(&self, client: IpAddr) -> bool {
        client.is_loopback() || self.trusted.iter().any(|network| network.contains(client))
    }
}

/// A result in the words of RFC 8601, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Outcome {
    word: &'static str,
    /// For people; empty where the word says all.
    reason: String,
}

impl Outcome {
    fn of(word: &'static str) -> Self {
        Self {
            word,
            reason: String::new(),
        }
    }

    fn because(word: &'static str, reason: impl ToString) -> Self {
        Self {
            word,
            reason: reason.to_string(),
        }
    }

    /// Our own trouble, or that of DNS.
    fn trouble(reason: impl ToString) -> Self {
        Self::because("temperror", reason)
    }
}

/// What is said where a time was over.
const LATE: &str = "no answer in time";

fn count(method: &'static str, outcome: &Outcome) {
    let result = outcome.word;
    metrics::counter!("postern_sender_auth_total", "method" => method, "result" => result).increment(1);
}

fn hit(limit: &'static str) {
    metrics::counter!("postern_limit_hits_total", "limit" => limit).increment(1);
}

/// A name of letters, digits, hyphens, underscores and dots, in lower case.
fn is_plain(name: &str) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    !name.is_empty() && name.len() <= 255 && name.chars().all(fits)
}
