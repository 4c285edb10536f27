//! Asks DNS lists (RFC 5782) about a client's address, and refuses, defers or marks it by what they say
//! together.
//!
//! A listener for mail from outside is asked about when a client connects; all others at MAIL, where own
//! users are known and let pass. A list that cannot be asked says nothing.

use bindings::exports::postern::policy::{connection_filter, lifecycle, sender_filter};
use bindings::postern::policy::types::{Reply, Verdict};
use bindings::postern::policy::{config, dns, edit, log, session};
use serde::Deserialize;
use settings::{Domain, Network, OneOrMany, Score, Within, closest, listed, reaches, reversed};
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};

mod bindings {
    #![allow(unsafe_code, unreachable_pub, reason = "generated")]
    wit_bindgen::generate!({
        path: "../../wit",
        inline: "
            package example:dnsbl;
            world plugin {
                include postern:policy/capabilities@0.1.0;
                export postern:policy/connection-filter@0.1.0;
                export postern:policy/lifecycle@0.1.0;
                export postern:policy/sender-filter@0.1.0;
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

#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Settings {
    lists: Vec<List>,
    /// From this score on.
    reject: Option<Score>,
    defer: Option<Score>,
    tag: Option<Score>,
    /// Patterns of listeners on which clients are looked up when they connect.
    at_connect: OneOrMany<String>,
    /// Client networks that are never looked up, besides private ones.
    exempt: Vec<Network>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            lists: Vec::new(),
            reject: Some(Within(1)),
            defer: None,
            tag: None,
            at_connect: OneOrMany(vec!["mx-*".to_owned()]),
            exempt: Vec::new(),
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct List {
    zone: Domain,
    /// What an answer weighs, 1 if nothing is said; below 0 for lists of good clients.
    weight: Option<Weight>,
    /// Patterns of answers, `127.0.0.1?`, and what each weighs; answers of none weigh nothing then.
    #[serde(default)]
    codes: BTreeMap<String, Weight>,
}

type Weight = Within<-1000, 1000>;

/// What is set where a client reaches `tag`.
const TAG: &str = "dnsbl";
/// One look-up after the other has to fit into the deadline.
const LISTS: usize = 20;

impl List {
    /// RFC 5782 §2.1 and §2.4.
    fn name_of(&self, client: IpAddr) -> String {
        format!("{}.{}", reversed(client), self.zone)
    }

    /// This list, if it knows a client, and what that weighs.
    fn hit(&self, client: IpAddr) -> Option<(&Self, i64)> {
        match dns::addresses(&self.name_of(client)) {
            Ok(answers) => Some((self, self.score(&answers)?)),
            Err(error) => {
                log::warn(&format!("{} says nothing: {error}", self.zone));
                None
            }
        }
    }

    /// Of several answers the one that weighs most.
    fn score(&self, answers: &[String]) -> Option<i64> {
        let answers = answers.iter().filter_map(|answer| answer.parse().ok());
        let weights = answers.filter_map(|answer| self.weight_of(answer));
        weights.max_by_key(|weight| weight.abs())
    }

    fn weight_of(&self, answer: Ipv4Addr) -> Option<i64> {
        // RFC 5782 §2.1: answers are 127.0.0.0/8. Elsewhere leads a domain that was sold; 127.255.255.0/24 is how
        // lists say that they do not answer us.
        let [first, second, third, _] = answer.octets();
        if first != 127 || (second, third) == (255, 255) {
            return None;
        }
        match self.codes.is_empty() {
            true => Some(self.weight.map_or(1, |weight| weight.0)),
            false => closest(&self.codes, &answer.to_string()).map(|weight| weight.0),
        }
    }
}

impl Settings {
    /// What becomes of a client of this score; `text` is what it is told.
    fn judge(&self, at_connect: bool, score: i64, text: impl Fn() -> String) -> Verdict {
        let reply = |code: u16, enhanced: &str| Reply {
            code,
            enhanced: enhanced.to_owned(),
            text: text(),
        };
        // RFC 5321 §3.1: a connection is refused by 554, or for a while by 421.
        let (refused, deferred) = if at_connect { (554, 421) } else { (550, 451) };
        match (reaches(score, self.reject), reaches(score, self.defer)) {
            (true, _) => Verdict::Reject(reply(refused, "5.7.1")),
            (_, true) => Verdict::Defer(reply(deferred, "4.7.1")),
            _ => Verdict::Accept,
        }
    }

    fn check(&self) -> Result<(), String> {
        let mut codes = self.lists.iter().flat_map(|list| list.codes.keys());
        match codes.find(|code| !code.starts_with("127.")) {
            Some(code) => Err(format!("lists: `{code}` is no answer: write 127.0.0.2")),
            None if self.lists.len() > LISTS => Err(format!("lists: at most {LISTS}")),
            None => Ok(()),
        }
    }
}

fn ask(at_connect: bool) -> Verdict {
    let Ok(settings) = settings::parse::<Settings>(&config::json()) else {
        return Verdict::Accept; // `validate` has refused these
    };
    let client = session::client_ip();
    let own = session::auth_user().is_some() || session::protocol().starts_with("lmtp");
    let exempt = own || listed(&settings.exempt, &client) || listed(&Network::private(), &client);
    let here = settings.at_connect.matches(&session::listener()) == at_connect;
    let Some(address) = client.parse().ok().filter(|_| here && !exempt) else {
        return Verdict::Accept;
    };
    let hits = settings.lists.iter().filter_map(|list| list.hit(address));
    let hits: Vec<(&List, i64)> = hits.collect();
    let score = hits.iter().map(|(_, weight)| weight).sum();
    let Some((worst, _)) = hits.into_iter().max_by_key(|(_, weight)| *weight) else {
        return Verdict::Accept;
    };
    if reaches(score, settings.tag) {
        edit::tag(TAG);
    }
    settings.judge(at_connect, score, || {
        // Many lists say why in a TXT record of the same name (RFC 5782 §2.1).
        let reasons = dns::txt(&worst.name_of(address)).unwrap_or_default();
        let reason = reasons.first().map(|reason| format!(" ({reason})"));
        format!(
            "{client} is listed by {}{}",
            worst.zone,
            reason.unwrap_or_default()
        )
    })
}

struct Plugin;

impl connection_filter::Guest for Plugin {
    fn on_connect() -> Verdict {
        ask(true)
    }
}

impl sender_filter::Guest for Plugin {
    fn on_mail() -> Verdict {
        ask(false)
    }
}

impl lifecycle::Guest for Plugin {
    fn validate() -> Result<(), String> {
        settings::parse::<Settings>(&config::json())?.check()
    }
}
