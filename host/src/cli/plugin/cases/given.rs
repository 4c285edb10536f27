//! What a case has in place of a gateway's directory, and of the hosts that requests go to.

use crate::cli::plugin::session;
use crate::policy::Attribute;
use crate::policy::stand::{DirectoryTable, Written};
use postern_proto::Address;
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawDirectory {
    domains: Option<BTreeSet<String>>,
    mailboxes: Option<BTreeMap<String, String>>,
    aliases: Option<BTreeMap<String, Vec<String>>>,
    attributes: Option<BTreeMap<String, BTreeMap<String, Word>>>,
}

/// A text, or a number as it is written.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Word {
    Number(u64),
    Text(String),
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawAnswer {
    url: Option<String>,
    method: Option<String>,
    status: Option<u16>,
    headers: Option<BTreeMap<String, String>>,
    body: Option<String>,
}

/// A place from the section on, and what is wrong there.
type Wrong = (String, String);

impl RawDirectory {
    pub(super) fn read(self, wrong: &mut Vec<Wrong>) -> DirectoryTable {
        let mut table = DirectoryTable::default();
        for (place, domain) in self.domains.unwrap_or_default().iter().enumerate() {
            match Address::parse(&format!("postmaster@{domain}")) {
                Ok(address) => drop(table.domains.insert(address.domain().to_owned())),
                Err(_) => wrong.push((
                    format!("domains[{place}]"),
                    format!("`{domain}` is no domain; write one like example.org"),
                )),
            }
        }
        for (address, mailbox) in self.mailboxes.unwrap_or_default() {
            let at = format!("mailboxes.{address}");
            if let (Some(key), Some(mailbox)) = (key(&at, &address, wrong), key(&at, &mailbox, wrong)) {
                table.mailboxes.insert(key, mailbox);
            }
        }
        for (address, targets) in self.aliases.unwrap_or_default() {
            let at = format!("aliases.{address}");
            let places = (0..).map(|place| format!("{at}[{place}]"));
            let checked = places.zip(targets).filter_map(|(at, target)| {
                let checked = session::address(&target);
                checked.map_err(|text| wrong.push((at, text))).ok()
            });
            let targets = checked.collect();
            if let Some(key) = key(&at, &address, wrong) {
                table.aliases.insert(key, targets);
            }
        }
        for (mailbox, named) in self.attributes.unwrap_or_default() {
            let at = format!("attributes.{mailbox}");
            let mut attributes = BTreeMap::new();
            for (name, value) in named {
                let value = match value {
                    Word::Number(number) => number.to_string(),
                    Word::Text(text) => text,
                };
                match Attribute::named(&name) {
                    Some(attribute) => drop(attributes.insert(attribute, value)),
                    None => wrong.push((
                        format!("{at}.{name}"),
                        format!("there is no such attribute; write one of {}", Attribute::words()),
                    )),
                }
            }
            if let Some(key) = key(&at, &mailbox, wrong) {
                table.attributes.insert(key, attributes);
            }
        }
        table
    }
}

/// The form that addresses are looked up in.
fn key(at: &str, text: &str, wrong: &mut Vec<Wrong>) -> Option<String> {
    match Address::parse(text) {
        Ok(address) => Some(address.key()),
        Err(error) => {
            wrong.push((
                at.to_owned(),
                format!("`{text}` is no address: {error}; write one like ann@example.org"),
            ));
            None
        }
    }
}

/// What is answered, each of a list.
pub(super) fn answers(raw: Vec<RawAnswer>, wrong: &mut Vec<Wrong>) -> Vec<Written> {
    let mut answers = Vec::new();
    for (place, raw) in raw.into_iter().enumerate() {
        let url = raw.url.unwrap_or_default();
        if url::Url::parse(&url).is_err() {
            let text = format!("`{url}` is no URL; write one like https://api.example.com/check");
            wrong.push((format!("[{place}].url"), text));
        }
        let status = raw.status.unwrap_or(200);
        if !(200..=599).contains(&status) {
            wrong.push((
                format!("[{place}].status"),
                format!("{status} ends no exchange; write 200 to 599"),
            ));
        }
        answers.push(Written {
            method: raw.method,
            url,
            status,
            headers: raw.headers.unwrap_or_default().into_iter().collect(),
            body: raw.body.unwrap_or_default().into_bytes(),
        });
    }
    answers
}
