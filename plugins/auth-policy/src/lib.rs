//! Does what a domain's owner wants of mail in its name that fails DMARC (RFC 9989), as the gateway found out.
//!
//! Own users' mail is not looked at. What came through a sealer that is trusted, and was good when it came
//! there, is let pass (RFC 8617). Settings that cannot be read refuse the component when it is loaded.

use bindings::exports::postern::policy::{lifecycle, message_filter};
use bindings::postern::policy::types::{Reply, Verdict};
use bindings::postern::policy::{auth, config, edit, message, session};
use serde::Deserialize;
use settings::{Network, OneOrMany, matches};
use std::collections::BTreeMap;

mod bindings {
    #![allow(unsafe_code, unreachable_pub, reason = "generated")]
    wit_bindgen::generate!({
        path: "../../wit",
        inline: "
            package example:auth-policy;
            world plugin {
                import postern:policy/auth@0.1.0;
                import postern:policy/config@0.1.0;
                import postern:policy/edit@0.1.0;
                import postern:policy/message@0.1.0;
                import postern:policy/session@0.1.0;
                export postern:policy/lifecycle@0.1.0;
                export postern:policy/message-filter@0.1.0;
            }
        ",
        generate_all,
        additional_derives: [PartialEq],
    });
    export!(Plugin with_types_in self);
    use super::Plugin;
}

mod fields;
#[cfg(test)]
mod tests;

#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Settings {
    /// What is done where the owner wants `reject`, or `quarantine`.
    reject: Action,
    quarantine: Action,
    /// Patterns of domains in From, and what is done of their mail that fails, whatever their owner wants.
    domains: BTreeMap<String, Action>,
    /// Patterns of domains whose ARC seal is trusted.
    sealers: OneOrMany<String>,
    /// Mail that fails SPF for good, of domains without DMARC.
    spf_fail: Action,
    /// Mail whose From names no author that can be checked: none, none that can be read, or too many.
    no_author: Action,
    /// Mail of which DMARC could not be found out for now.
    temperror: Unknown,
    /// Client networks whose mail is not looked at.
    exempt: Vec<Network>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Action {
    Reject,
    Quarantine,
    /// The label alone.
    Tag,
    None,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Unknown {
    Accept,
    Defer,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            reject: Action::Reject,
            quarantine: Action::Quarantine,
            domains: BTreeMap::new(),
            sealers: OneOrMany::default(),
            spf_fail: Action::None,
            no_author: Action::Reject,
            temperror: Unknown::Accept,
            exempt: Vec::new(),
        }
    }
}

/// What the gateway found out.
#[derive(Debug, Default)]
struct Facts {
    dmarc: String,
    wish: String,
    spf: String,
    spf_domain: String,
    /// The domain in From, if there is exactly one.
    from: Option<String>,
    /// Who sealed last, where the chain is whole and says that DMARC passed there.
    sealer: Option<String>,
}

impl Settings {
    /// What is done, the enhanced code of a refusal (RFC 7372), and why.
    fn decide(&self, facts: &Facts) -> (Action, &'static str, String) {
        let from = facts.from.as_deref().unwrap_or("several domains");
        match (facts.dmarc.as_str(), facts.spf.as_str()) {
            ("fail", _) => {
                let why = format!("mail from {from} does not pass DMARC (RFC 9989)");
                (self.failed(facts, from), "5.7.1", why)
            }
            ("permerror", _) if facts.from.is_none() => {
                let why = "From names no author that can be checked (DMARC, RFC 9989)".to_owned();
                (self.no_author, "5.7.1", why)
            }
            ("none" | "", "fail") => {
                let why = format!(
                    "the client may not send mail of {} (SPF, RFC 7208)",
                    facts.spf_domain
                );
                (self.spf_fail, "5.7.23", why)
            }
            _ => (Action::None, "", String::new()),
        }
    }

    fn failed(&self, facts: &Facts, from: &str) -> Action {
        let trusted = |sealer: &String| {
            self.sealers
                .as_slice()
                .iter()
                .any(|pattern| matches(pattern, sealer))
        };
        if facts.sealer.as_ref().is_some_and(trusted) {
            return Action::None;
        }
        // The pattern that says most goes before others.
        let named = self.domains.iter().filter(|(pattern, _)| matches(pattern, from));
        let named = named.max_by_key(|(pattern, _)| pattern.replace('*', "").len());
        match (named, facts.wish.as_str()) {
            (Some((_, action)), _) => *action,
            (None, "reject") => self.reject,
            (None, "quarantine") => self.quarantine,
            (None, _) => Action::Tag,
        }
    }
}

/// What is set on mail that fails.
const TAG: &str = "auth-fail";

struct Plugin;

impl message_filter::Guest for Plugin {
    fn on_message() -> Verdict {
        let Ok(settings) = settings::parse::<Settings>(&config::json()) else {
            return Verdict::Accept; // `validate` has refused these
        };
        let trusted = session::auth_user().is_some() || session::protocol().starts_with("lmtp");
        if trusted || settings::listed(&settings.exempt, &session::client_ip()) {
            return Verdict::Accept;
        }
        let (dmarc, wish) = (auth::dmarc(), auth::dmarc_policy());
        let reply = |code: u16, enhanced: &str, text: String| Reply {
            code,
            enhanced: enhanced.to_owned(),
            text,
        };
        if dmarc == "temperror" && settings.temperror == Unknown::Defer {
            let text = "DMARC cannot be checked at present".to_owned();
            return Verdict::Defer(reply(451, "4.7.5", text));
        }
        let (action, enhanced, why) = settings.decide(&Facts {
            sealer: Some(auth::arc())
                .filter(|arc| arc == "pass")
                .and_then(|_| fields::sealer(&message::get_header)),
            from: fields::only_domain(&message::get_header("From")),
            spf: auth::spf(),
            spf_domain: auth::spf_domain(),
            dmarc,
            wish,
        });
        if action != Action::None {
            edit::tag(TAG);
        }
        match action {
            Action::Reject => Verdict::Reject(reply(550, enhanced, why)),
            Action::Quarantine => Verdict::Quarantine(why),
            Action::Tag | Action::None => Verdict::Accept,
        }
    }
}

impl lifecycle::Guest for Plugin {
    fn validate() -> Result<(), String> {
        settings::parse::<Settings>(&config::json()).map(drop)
    }
}
