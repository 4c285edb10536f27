//! Asks DNS lists (RFC 5782) about a client's address, and refuses, defers or marks it by what they say
//! together.
//!
//! A listener for mail from outside is asked about when a client connects; all others at MAIL, where own
//! users are known and let pass. A list that cannot be asked says nothing. Settings that cannot be read
//! refuse the component when it is loaded.

use bindings::exports::postern::policy::{connection_filter, lifecycle, sender_filter};
use bindings::postern::policy::types::{Reply, Verdict};
use bindings::postern::policy::{config, dns, edit, log, session};
use list::List;
use serde::Deserialize;
use settings::{Network, OneOrMany, matches};
use std::net::IpAddr;

mod bindings {
    #![allow(unsafe_code, unreachable_pub, reason = "generated")]
    wit_bindgen::generate!({
        path: "../../wit",
        inline: "
            package example:dnsbl;
            world plugin {
                import postern:policy/config@0.1.0;
                import postern:policy/dns@0.1.0;
                import postern:policy/edit@0.1.0;
                import postern:policy/log@0.1.0;
                import postern:policy/session@0.1.0;
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

mod list;
#[cfg(test)]
mod tests;

#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Settings {
    lists: Vec<List>,
    /// From this score on.
    reject: Option<i32>,
    defer: Option<i32>,
    tag: Option<i32>,
    /// Patterns of listeners on which clients are looked up when they connect.
    at_connect: OneOrMany<String>,
    /// Client networks that are never looked up, besides private ones.
    exempt: Vec<Network>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            lists: Vec::new(),
            reject: Some(1),
            defer: None,
            tag: None,
            at_connect: OneOrMany::One("mx-*".to_owned()),
            exempt: Vec::new(),
        }
    }
}

/// What is set where a client reaches `tag`.
const TAG: &str = "dnsbl";
/// One look-up after the other has to fit into the deadline.
const LISTS: usize = 20;

/// A list that knows a client, and what that weighs.
type Hit<'a> = (&'a List, i32);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Connect,
    Mail,
}

impl Settings {
    /// What all lists say. `ask` answers the addresses of a name.
    fn hits(&self, client: IpAddr, ask: impl Fn(&str) -> Result<Vec<String>, String>) -> Vec<Hit<'_>> {
        let asked = self.lists.iter().map(|list| (list, ask(&list.name_of(client))));
        let said = asked.filter_map(|(list, answer)| match answer {
            Ok(codes) => list.score(&codes).map(|score| (list, score)),
            Err(error) => {
                log::warn(&format!("{} says nothing: {error}", list.zone));
                None
            }
        });
        said.collect()
    }

    /// `reason` answers what a list says in words about a client.
    fn judge(
        &self,
        stage: Stage,
        client: &str,
        hits: &[Hit<'_>],
        reason: impl Fn(&List) -> String,
    ) -> Verdict {
        let score = hits.iter().fold(0_i32, |sum, hit| sum.saturating_add(hit.1));
        let reaches = |bound: Option<i32>| bound.is_some_and(|bound| score >= bound);
        if reaches(self.tag) {
            edit::tag(TAG);
        }
        let Some((worst, _)) = hits.iter().max_by_key(|hit| hit.1) else {
            return Verdict::Accept;
        };
        let reply = |code: u16, enhanced: &str| {
            let text = format!("{client} is listed by {} {}", worst.zone, reason(worst));
            let (enhanced, text) = (enhanced.to_owned(), text.trim_end().to_owned());
            Reply { code, enhanced, text }
        };
        // RFC 5321 §3.1: a connection is refused by 554, or for a while by 421.
        match (reaches(self.reject), reaches(self.defer), stage) {
            (true, _, Stage::Connect) => Verdict::Reject(reply(554, "5.7.1")),
            (true, _, Stage::Mail) => Verdict::Reject(reply(550, "5.7.1")),
            (_, true, Stage::Connect) => Verdict::Defer(reply(421, "4.7.1")),
            (_, true, Stage::Mail) => Verdict::Defer(reply(451, "4.7.1")),
            _ => Verdict::Accept,
        }
    }

    fn stage_of(&self, listener: &str) -> Stage {
        let patterns = self.at_connect.as_slice();
        match patterns.iter().any(|pattern| matches(pattern, listener)) {
            true => Stage::Connect,
            false => Stage::Mail,
        }
    }

    fn check(&self) -> Result<(), String> {
        let bounds = [("reject", self.reject), ("defer", self.defer), ("tag", self.tag)];
        if let Some((name, _)) = bounds
            .iter()
            .find(|(_, bound)| bound.is_some_and(|bound| bound < 1))
        {
            return Err(format!("{name}: must be a score of 1 or more"));
        }
        if self.lists.len() > LISTS {
            return Err(format!("lists: at most {LISTS}"));
        }
        self.lists.iter().try_for_each(List::check)
    }
}

fn ask(stage: Stage) -> Verdict {
    let Ok(settings) = settings::parse::<Settings>(&config::json()) else {
        return Verdict::Accept; // `validate` has refused these
    };
    let client = session::client_ip();
    let Ok(address) = client.parse::<IpAddr>() else {
        return Verdict::Accept;
    };
    let trusted = session::auth_user().is_some() || session::protocol().starts_with("lmtp");
    let exempt =
        settings::listed(&settings.exempt, &client) || settings::listed(&Network::private(), &client);
    if settings.stage_of(&session::listener()) != stage || trusted || exempt {
        return Verdict::Accept;
    }
    let hits = settings.hits(address, dns::addresses);
    // Many lists say why in a TXT record of the same name (RFC 5782 §2.1).
    let reason = |list: &List| {
        dns::txt(&list.name_of(address))
            .unwrap_or_default()
            .into_iter()
            .next()
    };
    settings.judge(stage, &client, &hits, |list| {
        reason(list).map_or(String::new(), |text| format!("({text})"))
    })
}

struct Plugin;

impl connection_filter::Guest for Plugin {
    fn on_connect() -> Verdict {
        ask(Stage::Connect)
    }
}

impl sender_filter::Guest for Plugin {
    fn on_mail() -> Verdict {
        ask(Stage::Mail)
    }
}

impl lifecycle::Guest for Plugin {
    fn validate() -> Result<(), String> {
        settings::parse::<Settings>(&config::json())?.check()
    }
}
