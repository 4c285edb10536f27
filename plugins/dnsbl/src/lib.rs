//! Asks DNS lists (RFC 5782) about a client's address, and refuses, defers or marks it by what they say
//! together.
//!
//! A listener for mail from outside is asked about when a client connects; all others at MAIL, where own
//! users are known and let pass. A list that cannot be asked says nothing.

use bindings::exports::postern::policy::{connection_filter, lifecycle, sender_filter};
use bindings::postern::policy::types::{Reply, Verdict};
use bindings::postern::policy::{config, dns, edit, log, session};
use serde::Deserialize;
use settings::{Bit, Network, OneOrMany, Score, Within, Zone, closest, listed, listing, reaches, reversed};
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
    zone: Zone,
    /// What an answer weighs, 1 if nothing is said; below 0 for lists of good clients.
    weight: Option<Weight>,
    /// Patterns of answers, `127.0.0.1?`, and what each weighs; answers of none weigh nothing then.
    #[serde(default)]
    codes: BTreeMap<String, Weight>,
    /// Bits of an answer's last octet, and what each weighs; they add up. One of `codes` and `bits`.
    #[serde(default)]
    bits: BTreeMap<Bit, Weight>,
}

type Weight = Within<-1000, 1000>;

/// One look-up after the other has to fit into the deadline.
const LISTS: usize = 20;

impl List {
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

    fn check(&self) -> Result<(), String> {
        match self.codes.keys().find(|code| !code.starts_with("127.")) {
            Some(code) => Err(format!("codes: `{code}` is no answer: write 127.0.0.2")),
            None if self.codes.is_empty() || self.bits.is_empty() => Ok(()),
            None => Err("bits: the list has codes; say one of them".to_owned()),
        }
    }

    /// Of several answers the one that weighs most.
    fn score(&self, answers: &[String]) -> Option<i64> {
        let answers = answers.iter().filter_map(|answer| listing(answer));
        let weights = answers.filter_map(|answer| self.weight_of(answer));
        weights.max_by_key(|weight| weight.abs())
    }

    fn weight_of(&self, answer: Ipv4Addr) -> Option<i64> {
        let [.., last] = answer.octets();
        let set = self.bits.iter().filter(|(bit, _)| last & bit.0 != 0);
        match (self.codes.is_empty(), self.bits.is_empty()) {
            (false, _) => closest(&self.codes, &answer.to_string()).map(|weight| weight.0),
            (true, false) => set.map(|(_, weight)| weight.0).reduce(|sum, weight| sum + weight),
            (true, true) => Some(self.weight.map_or(1, |weight| weight.0)),
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
        if self.lists.len() > LISTS {
            return Err(format!("lists: at most {LISTS}"));
        }
        let mut lists = self.lists.iter().enumerate();
        lists.try_for_each(|(place, list)| list.check().map_err(|why| format!("lists[{place}].{why}")))
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
        edit::tag("dnsbl");
    }
    settings.judge(at_connect, score, || {
        // Many lists say why in a TXT record of the same name (RFC 5782 §2.1).
        let reasons = dns::txt(&worst.name_of(address)).unwrap_or_default();
        let reason = reasons.first().map(|reason| format!(" ({reason})"));
        let reason = reason.unwrap_or_default();
        format!("{client} is listed by {}{reason}", worst.zone)
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
