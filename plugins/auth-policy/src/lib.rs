//! Does what a domain's owner wants of mail in its name that fails DMARC (RFC 9989), as the gateway found out.
//!
//! Own users' mail is not looked at. What came through a sealer that is trusted, and was good when it came
//! there, is let pass (RFC 8617). Settings that cannot be read refuse the component when it is loaded.

use bindings::exports::postern::policy::{lifecycle, message_filter};
use bindings::postern::policy::types::{Reply, Verdict};
use bindings::postern::policy::{auth, config, edit, message, session};
use serde::Deserialize;
use settings::{Network, OneOrMany, closest, domains};
use std::collections::{BTreeMap, BTreeSet};

mod bindings {
    #![allow(unsafe_code, unreachable_pub, reason = "generated")]
    wit_bindgen::generate!({
        path: "../../wit",
        inline: "
            package example:auth-policy;
            world plugin {
                include postern:policy/capabilities@0.1.0;
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

#[cfg(test)]
mod tests;

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Settings {
    /// What is done where the owner wants `reject`, or `quarantine`: that.
    reject: Option<Action>,
    quarantine: Option<Action>,
    /// Patterns of domains in From, and what is done of their mail that fails, whatever their owner wants.
    domains: BTreeMap<String, Action>,
    /// Patterns of domains whose ARC seal is trusted.
    sealers: OneOrMany<String>,
    /// Mail that fails SPF for good, of domains without DMARC: nothing.
    spf_fail: Option<Action>,
    /// Mail whose From names no author that can be checked, none, none that can be read in one way alone, or too many: it
    /// is refused.
    no_author: Option<Action>,
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

#[derive(Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Unknown {
    #[default]
    Accept,
    Defer,
}

/// What the gateway found out. Where From cannot be checked, DMARC is `permerror` without a wish.
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
        match (&*facts.dmarc, &*facts.spf) {
            ("fail", _) => {
                let why = format!("mail from {from} does not pass DMARC (RFC 9989)");
                (self.failed(facts, from), "5.7.1", why)
            }
            ("permerror", _) if facts.wish.is_empty() => {
                let why = "From names no author that can be checked (DMARC, RFC 9989)";
                (self.no_author.unwrap_or(Action::Reject), "5.7.1", why.to_owned())
            }
            ("none" | "", "fail") => {
                let domain = &facts.spf_domain;
                let why = format!("the client may not send mail of {domain} (SPF, RFC 7208)");
                (self.spf_fail.unwrap_or(Action::None), "5.7.23", why)
            }
            _ => (Action::None, "", String::new()),
        }
    }

    fn failed(&self, facts: &Facts, from: &str) -> Action {
        let trusted = |sealer: &String| self.sealers.matches(sealer);
        match (closest(&self.domains, from), &*facts.wish) {
            _ if facts.sealer.as_ref().is_some_and(trusted) => Action::None,
            (Some(action), _) => *action,
            (None, "reject") => self.reject.unwrap_or(Action::Reject),
            (None, "quarantine") => self.quarantine.unwrap_or(Action::Quarantine),
            (None, _) => Action::Tag,
        }
    }
}

/// The domain in From, in lower case. None where there are several, or none, or a field is malformed: then no exception is
/// meant.
fn only_domain(fields: &[Vec<u8>]) -> Option<String> {
    let mut all = BTreeSet::new();
    for field in fields {
        all.extend(domains(&String::from_utf8_lossy(field))?);
    }
    let only = all.pop_first()?;
    all.is_empty().then_some(only)
}

/// A tag of a list of them, `i=1; d=example.org`, in lower case and without white space.
fn tag(field: &str, name: &str) -> Option<String> {
    let mut tags = field.split(';').filter_map(|tag| tag.split_once('='));
    let (_, value) = tags.find(|(key, _)| key.trim() == name)?;
    Some(value.split_whitespace().collect::<String>().to_lowercase())
}

/// Who made the last seal of a chain that is whole, where DMARC had passed by what it says itself (RFC 8617 §7.2.1).
fn sealer(header: impl Fn(&str) -> Vec<Vec<u8>>) -> Option<String> {
    let text = |field: Vec<u8>| String::from_utf8_lossy(&field).into_owned();
    let texts = |name| header(name).into_iter().map(text);
    let number = |field: &String| tag(field, "i")?.parse::<u32>().ok();
    let seal = texts("ARC-Seal").max_by_key(number)?;
    let last = number(&seal)?;
    let results = texts("ARC-Authentication-Results").find(|field| number(field) == Some(last))?;
    let mut results = results.split(';').skip(1).map(str::split_whitespace);
    let passed = results.any(|mut result| result.next() == Some("dmarc=pass"));
    tag(&seal, "d").filter(|_| passed)
}

struct Plugin;

impl message_filter::Guest for Plugin {
    fn on_message() -> Verdict {
        let Ok(settings) = settings::parse::<Settings>(&config::json()) else {
            return Verdict::Accept; // `validate` has refused these
        };
        let own = session::auth_user().is_some() || session::protocol().starts_with("lmtp");
        if own || settings::listed(&settings.exempt, &session::client_ip()) {
            return Verdict::Accept;
        }
        let facts = Facts {
            dmarc: auth::dmarc(),
            wish: auth::dmarc_policy(),
            spf: auth::spf(),
            spf_domain: auth::spf_domain(),
            from: only_domain(&message::get_header("From")),
            sealer: (auth::arc() == "pass")
                .then(|| sealer(message::get_header))
                .flatten(),
        };
        let reply = |code, enhanced: &str, text| Reply {
            code,
            enhanced: enhanced.to_owned(),
            text,
        };
        if facts.dmarc == "temperror" && settings.temperror == Unknown::Defer {
            let text = "DMARC cannot be checked at present".to_owned();
            return Verdict::Defer(reply(451, "4.7.5", text));
        }
        let (action, enhanced, why) = settings.decide(&facts);
        if action != Action::None {
            edit::tag("auth-fail");
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
