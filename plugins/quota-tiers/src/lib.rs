//! Quota by tiers: a limit at which the owner is warned, room for grace above it, and a bound that holds.
//!
//! The bound goes to the host as a ceiling and is kept exactly, however many messages arrive together.
//! Only what would pass the bound by itself is refused here. Settings that cannot be read refuse the
//! component when it is loaded.

use bindings::exports::postern::policy::{lifecycle, quota};
use bindings::postern::policy::config;
use bindings::postern::policy::types::{Ceiling, QuotaDecision, QuotaWarning, Reply, Usage};
use serde::Deserialize;
use settings::{OneOrMany, Size};

mod bindings {
    #![allow(unsafe_code, unreachable_pub, reason = "generated")]
    wit_bindgen::generate!({
        path: "../../wit",
        inline: "
            package example:quota-tiers;
            world plugin {
                include postern:policy/capabilities@0.1.0;
                export postern:policy/lifecycle@0.1.0;
                export postern:policy/quota@0.1.0;
            }
        ",
        generate_all,
        additional_derives: [PartialEq],
    });
    export!(Plugin with_types_in self);
    use super::Plugin;
}

#[cfg(test)]
mod tests;

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Settings {
    /// For mailboxes of no tier.
    default: Limits,
    /// The first that matches counts.
    tiers: Vec<Tier>,
    /// Said behind each warning and refusal: whom to ask.
    advice: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Tier {
    /// Patterns of mailboxes, `*@example.org`.
    mailboxes: OneOrMany<String>,
    #[serde(default)]
    bytes: Option<Size>,
    #[serde(default)]
    messages: Option<u64>,
    #[serde(default)]
    warn: Option<u32>,
    #[serde(default)]
    grace: Option<u32>,
}

/// What is not limited is absent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Limits {
    bytes: Option<Size>,
    messages: Option<u64>,
    /// The owner is warned from this part of a limit on, in per cent.
    warn: Option<u32>,
    /// The bound lies that much above a limit, in per cent.
    grace: Option<u32>,
}

const WARN: u32 = 90;

/// `per_cent` of a number, rounded down.
fn share(number: u64, per_cent: u32) -> u64 {
    u64::try_from(u128::from(number) * u128::from(per_cent) / 100).unwrap_or(u64::MAX)
}

impl Limits {
    fn bound(self, limit: u64) -> u64 {
        share(limit, 100_u32.saturating_add(self.grace.unwrap_or(0)))
    }

    fn ceiling(self) -> Ceiling {
        Ceiling {
            bytes: self.bytes.map(|limit| self.bound(limit.0)),
            messages: self.messages.map(|limit| self.bound(limit)),
        }
    }

    /// What the mailbox is asked to keep under, as a person reads it; none while there is no need.
    fn warning(self, mailbox: &str, after: Usage) -> Option<String> {
        let warn = u128::from(self.warn.unwrap_or(WARN));
        let full = |used, limit: Option<u64>| {
            limit
                .map(|limit| (used, limit, u128::from(used) * 100 / u128::from(limit.max(1))))
                .filter(|(_, _, full)| *full >= warn)
        };
        let bytes = full(after.bytes, self.bytes.map(|limit| limit.0));
        let bytes = bytes.map(|(used, limit, full)| format!("{} of {} ({full} %)", Size(used), Size(limit)));
        let messages = full(after.messages, self.messages);
        let messages = messages.map(|(used, limit, full)| format!("{used} of {limit} messages ({full} %)"));
        let held: Vec<String> = bytes.into_iter().chain(messages).collect();
        (!held.is_empty()).then(|| format!("Your mailbox {mailbox} holds {}.", held.join(" and ")))
    }
}

impl Settings {
    fn limits(&self, mailbox: &str) -> Limits {
        let mine = |tier: &&Tier| tier.mailboxes.matches(mailbox);
        self.tiers.iter().find(mine).map_or(self.default, |tier| Limits {
            bytes: tier.bytes,
            messages: tier.messages,
            warn: tier.warn.or(self.default.warn),
            grace: tier.grace.or(self.default.grace),
        })
    }

    fn decide(&self, mailbox: &str, current: Usage, incoming: u64) -> QuotaDecision {
        let limits = self.limits(mailbox);
        let ceiling = limits.ceiling();
        let after = Usage {
            bytes: current.bytes.saturating_add(incoming),
            messages: current.messages.saturating_add(1),
        };
        let passes = |used, bound: Option<u64>| bound.is_some_and(|bound| used > bound);
        if passes(after.bytes, ceiling.bytes) || passes(after.messages, ceiling.messages) {
            return QuotaDecision::Deny(Reply {
                code: 452,
                enhanced: "4.2.2".to_owned(),
                text: format!("the mailbox {mailbox} is full. {}", self.advice)
                    .trim_end()
                    .to_owned(),
            });
        }
        let Some(warning) = limits.warning(mailbox, after) else {
            return QuotaDecision::Allow(ceiling);
        };
        let bytes = ceiling.bytes.map(|bound| Size(bound).to_string());
        let bounds: Vec<String> = bytes
            .into_iter()
            .chain(ceiling.messages.map(|bound| format!("{bound} messages")))
            .collect();
        let text = format!(
            "{warning} Above {} nothing more will be taken. {}",
            bounds.join(" or "),
            self.advice
        );
        QuotaDecision::Warn(QuotaWarning {
            text: text.trim_end().to_owned(),
            ceiling,
        })
    }

    fn check(&self) -> Result<(), String> {
        let of_tiers = self.tiers.iter().map(|tier| (tier.warn, tier.grace));
        for (warn, grace) in of_tiers.chain([(self.default.warn, self.default.grace)]) {
            if warn.is_some_and(|warn| !(1..=100).contains(&warn)) {
                return Err("warn: must be 1 to 100 per cent of the limit".to_owned());
            }
            if grace.is_some_and(|grace| grace > 1000) {
                return Err("grace: must be at most 1000 per cent above the limit".to_owned());
            }
        }
        match self.tiers.iter().any(|tier| tier.mailboxes.is_empty()) {
            true => Err("tiers: a tier without mailboxes".to_owned()),
            false => Ok(()),
        }
    }
}

struct Plugin;

impl quota::Guest for Plugin {
    fn check(mailbox: String, current: Usage, incoming: u64) -> QuotaDecision {
        match settings::parse::<Settings>(&config::json()) {
            Ok(settings) => settings.decide(&mailbox, current, incoming),
            // `validate` has refused these.
            Err(_) => QuotaDecision::Allow(Ceiling {
                bytes: None,
                messages: None,
            }),
        }
    }
}

impl lifecycle::Guest for Plugin {
    fn validate() -> Result<(), String> {
        settings::parse::<Settings>(&config::json())?.check()
    }
}
