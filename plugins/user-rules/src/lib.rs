//! Rules of single mailboxes: conditions about a message, and what becomes of it for that mailbox alone.
//!
//! A rule never changes what other recipients get. Rules are asked in their order; the first that decides
//! (quarantine, discard, redirect, reject, stop) ends them. Settings that cannot be read refuse the
//! component when it is loaded.

use bindings::exports::postern::policy::{lifecycle, message_filter};
use bindings::postern::policy::types::{Reply, Verdict};
use bindings::postern::policy::{config, directory, edit, log, message, mime, session};
use serde::Deserialize;
use settings::{Address, Condition, FieldName, Mail, Words, matches, same};
use std::cell::LazyCell;
use std::collections::BTreeMap;

mod bindings {
    #![allow(unsafe_code, unreachable_pub, reason = "generated")]
    wit_bindgen::generate!({
        path: "../../wit",
        inline: "
            package example:user-rules;
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
    /// By address, or by a pattern of addresses: rules of an exact name come before those of patterns.
    mailboxes: BTreeMap<Address, Vec<Rule>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Rule {
    #[serde(default, rename = "if")]
    when: Condition,
    then: Actions,
}

/// At least one, and none behind one that decides.
#[derive(Debug, Deserialize)]
#[serde(try_from = "Vec<Action>")]
struct Actions(Vec<Action>);

#[derive(Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Action {
    Header(BTreeMap<FieldName, String>),
    Tag(Words),
    Quarantine(Words),
    Discard,
    Redirect(Address),
    Reject(Words),
    Stop,
}

impl TryFrom<Vec<Action>> for Actions {
    type Error = &'static str;

    fn try_from(actions: Vec<Action>) -> Result<Self, Self::Error> {
        match actions.split_last() {
            None => Err("must say what is done"),
            Some((_, before)) if before.iter().any(Action::decides) => {
                Err("what stands behind quarantine, discard, redirect, reject or stop is never done")
            }
            Some(_) => Ok(Self(actions)),
        }
    }
}

const OTHERS: &str = "there are other recipients";

impl Action {
    /// Whether the rules behind it are not asked.
    fn decides(&self) -> bool {
        !matches!(self, Self::Header(_) | Self::Tag(_))
    }

    /// Done for one recipient. `only`: nobody else gets the message.
    fn act(&self, recipient: &str, only: bool) {
        let decide = |verdict: &Verdict| edit::recipient_verdict(recipient, verdict);
        match self {
            // A field or a label is one of the message: others must not read whose rules hold.
            Self::Header(_) if !only => log::debug(&format!("no header field for {recipient}: {OTHERS}")),
            Self::Tag(_) if !only => log::debug(&format!("no tag for {recipient}: {OTHERS}")),
            Self::Header(fields) => (fields.iter()).for_each(|(name, value)| edit::add_header(name, value)),
            Self::Tag(name) => edit::tag(name),
            Self::Quarantine(reason) => decide(&Verdict::Quarantine(reason.to_string())),
            Self::Discard => decide(&Verdict::Discard),
            Self::Reject(text) => decide(&Verdict::Reject(Reply {
                code: 550,
                enhanced: "5.7.1".to_owned(),
                text: text.to_string(),
            })),
            Self::Redirect(_) => edit::remove_recipient(recipient),
            Self::Stop => {}
        }
    }
}

impl Settings {
    /// What is done for one mailbox, in order. Of rules behind one that decides nothing is asked.
    fn actions(&self, mailbox: &str, mail: &Mail<'_>) -> Vec<&Action> {
        let all = self.mailboxes.iter();
        let mut fitting: Vec<_> = all.filter(|(name, _)| matches(name, mailbox)).collect();
        fitting.sort_by_key(|(name, _)| !same(name, mailbox));
        let mut actions: Vec<&Action> = Vec::new();
        for rule in fitting.into_iter().flat_map(|(_, rules)| rules) {
            if rule.when.holds(mail) {
                actions.extend(&rule.then.0);
            }
            if actions.last().is_some_and(|last| last.decides()) {
                break;
            }
        }
        actions
    }
}

/// The mailbox that an address leads to, where the directory may be asked; else the address.
fn mailbox_of(recipient: &str) -> String {
    let mailbox = directory::mailbox_of(recipient).unwrap_or_else(|error| {
        if error != "not granted" {
            log::warn(&format!("{recipient} is taken for a mailbox: {error}"));
        }
        None
    });
    mailbox.unwrap_or_else(|| recipient.to_owned())
}

struct Plugin;

impl message_filter::Guest for Plugin {
    fn on_message() -> Verdict {
        let Ok(settings) = settings::parse::<Settings>(&config::json()) else {
            return Verdict::Accept; // `validate` has refused these
        };
        if settings.mailboxes.is_empty() {
            return Verdict::Accept;
        }
        let (sender, tags, recipients) = (session::mail_from(), session::tags(), session::rcpt_to());
        // Read once for all mailboxes, and only where a rule wants to know.
        let parts = LazyCell::new(mime::parts);
        let mail = Mail {
            authenticated: session::auth_user().is_some(),
            sender: &sender,
            tags: &tags,
            size: &message::size,
            header: &message::header_text,
            raw: &message::get_header,
            names: &|| parts.iter().map(|part| part.name.clone()).collect(),
        };
        let mut redirected = Vec::new();
        for recipient in &recipients {
            for action in settings.actions(&mailbox_of(recipient), &mail) {
                match action {
                    Action::Redirect(to) if same(to, recipient) => continue,
                    Action::Redirect(to) => redirected.push(to),
                    _ => {}
                }
                action.act(recipient, recipients.len() == 1);
            }
        }
        // At the end, so that no other recipient's rule takes hold of what is put in here.
        redirected.into_iter().for_each(|to| edit::add_recipient(to));
        Verdict::Accept
    }
}

impl lifecycle::Guest for Plugin {
    fn validate() -> Result<(), String> {
        settings::parse::<Settings>(&config::json()).map(drop)
    }
}
