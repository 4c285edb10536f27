//! Divides the room of a domain among its mailboxes, so that all of them together never pass it; other
//! mailboxes are bounded by pattern.
//!
//! A quota policy is told one mailbox's usage at a time, so the sum is kept by its parts: each ceiling is
//! exact, and they add up to what the domain has. Settings that cannot be read or do not add up refuse the
//! component when it is loaded.

use bindings::exports::postern::policy::{lifecycle, quota};
use bindings::postern::policy::config;
use bindings::postern::policy::types::{Ceiling, QuotaDecision, QuotaWarning, Reply, Usage};
use domain::Domain;
use serde::Deserialize;
use settings::{OneOrMany, Percent, Size, domain_of, named};
use std::collections::BTreeMap;

mod bindings {
    #![allow(unsafe_code, unreachable_pub, reason = "generated")]
    wit_bindgen::generate!({
        path: "../../wit",
        inline: "
            package example:domain-quota;
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

mod domain;
#[cfg(test)]
mod tests;

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Settings {
    domains: BTreeMap<String, Domain>,
    /// For mailboxes of no domain above: the first that matches counts.
    patterns: Vec<Pattern>,
    /// The owner is warned from this part of a ceiling on, in per cent.
    warn: Option<Percent>,
    /// Said behind each warning and refusal: whom to ask.
    advice: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Pattern {
    /// Patterns of mailboxes, `*@example.org`.
    mailboxes: OneOrMany<String>,
    #[serde(default)]
    bytes: Option<Size>,
    #[serde(default)]
    messages: Option<u64>,
}

impl Settings {
    fn ceiling(&self, mailbox: &str) -> Ceiling {
        if let Some(domain) = named(&self.domains, domain_of(mailbox)) {
            return Ceiling {
                bytes: Some(named(&domain.reserved, mailbox).map_or(domain.share(), |size| size.0)),
                messages: domain.messages,
            };
        }
        let mut patterns = self.patterns.iter();
        let pattern = patterns.find(|pattern| pattern.mailboxes.matches(mailbox));
        Ceiling {
            bytes: pattern.and_then(|pattern| Some(pattern.bytes?.0)),
            messages: pattern.and_then(|pattern| pattern.messages),
        }
    }

    fn decide(&self, mailbox: &str, current: Usage, incoming: u64) -> QuotaDecision {
        let ceiling = self.ceiling(mailbox);
        let bytes = current.bytes.saturating_add(incoming);
        let messages = current.messages.saturating_add(1);
        let passes = |used: u64, most: Option<u64>| most.is_some_and(|most| used > most);
        if passes(bytes, ceiling.bytes) || passes(messages, ceiling.messages) {
            let text = format!("the mailbox {mailbox} is full. {}", self.advice);
            return QuotaDecision::Deny(Reply {
                code: 452,
                enhanced: "4.2.2".to_owned(),
                text: text.trim_end().to_owned(),
            });
        }
        let warn = self.warn.map_or(90, |warn| i128::from(warn.0));
        let nears = |used: u64, most: &u64| i128::from(used) * 100 >= i128::from(*most) * warn;
        let full = ceiling.bytes.filter(|most| nears(bytes, most));
        let full = full.map(|most| format!("{} of {}", Size(bytes), Size(most)));
        let many = ceiling.messages.filter(|most| nears(messages, most));
        let many = many.map(|most| format!("{messages} of {most} messages"));
        let held: Vec<String> = full.into_iter().chain(many).collect();
        if held.is_empty() {
            return QuotaDecision::Allow(ceiling);
        }
        let held = held.join(" and ");
        let text = format!(
            "Your mailbox {mailbox} holds {held}; more will not be taken. {}",
            self.advice
        );
        QuotaDecision::Warn(QuotaWarning {
            text: text.trim_end().to_owned(),
            ceiling,
        })
    }

    fn check(&self) -> Result<(), String> {
        if self.patterns.iter().any(|pattern| pattern.mailboxes.is_empty()) {
            return Err("patterns: one without mailboxes".to_owned());
        }
        self.domains
            .iter()
            .try_for_each(|(name, domain)| domain.check(name))
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
