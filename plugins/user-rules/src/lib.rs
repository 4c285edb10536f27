//! Rules of single mailboxes: conditions about a message, and what becomes of it for that mailbox alone.
//!
//! A rule never changes what other recipients get. Rules are asked in their order; the first that decides
//! (quarantine, discard, redirect, reject, stop) ends them. Settings that cannot be read refuse the
//! component when it is loaded.

use bindings::exports::postern::policy::{lifecycle, message_filter};
use bindings::postern::policy::types::{Reply, Verdict};
use bindings::postern::policy::{config, directory, edit, log, message, mime, session};
use rule::{Action, Mail, Rule};
use serde::Deserialize;
use std::collections::BTreeMap;

mod bindings {
    #![allow(unsafe_code, unreachable_pub, reason = "generated")]
    wit_bindgen::generate!({
        path: "../../wit",
        inline: "
            package example:user-rules;
            world plugin {
                import postern:policy/config@0.1.0;
                import postern:policy/directory@0.1.0;
                import postern:policy/edit@0.1.0;
                import postern:policy/log@0.1.0;
                import postern:policy/message@0.1.0;
                import postern:policy/mime@0.1.0;
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

mod rule;
#[cfg(test)]
mod tests;

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Settings {
    /// By address, or by a pattern of addresses: rules of an exact name come before those of patterns.
    mailboxes: BTreeMap<String, Vec<Rule>>,
}

impl Settings {
    /// What is done for one recipient, in order.
    fn actions<'a>(&'a self, mailbox: &str, mail: &Mail<'_>) -> Vec<&'a Action> {
        let exact = |name: &str| name.to_lowercase() == mailbox.to_lowercase();
        let of_name = self.mailboxes.iter().filter(|(name, _)| exact(name));
        let of_pattern =
            (self.mailboxes.iter()).filter(|(name, _)| !exact(name) && settings::matches(name, mailbox));
        let rules = of_name.chain(of_pattern).flat_map(|(_, rules)| rules);
        let mut done = Vec::new();
        for action in rules
            .filter(|rule| rule.when.holds(mail))
            .flat_map(|rule| &rule.then)
        {
            done.push(action);
            if action.decides() {
                break;
            }
        }
        done
    }

    fn check(&self) -> Result<(), String> {
        for (mailbox, rules) in &self.mailboxes {
            if settings::domain_of(mailbox).is_empty() {
                return Err(format!("mailboxes: `{mailbox}` is not an address"));
            }
            for (rule, number) in rules.iter().zip(1..) {
                rule.check()
                    .map_err(|error| format!("mailboxes: rule {number} of {mailbox}: {error}"))?;
            }
        }
        Ok(())
    }
}

/// The mailbox that an address leads to, where the directory may be asked; else the address.
fn mailbox_of(recipient: &str) -> String {
    match directory::mailbox_of(recipient) {
        Ok(Some(mailbox)) => mailbox,
        Ok(None) => recipient.to_owned(),
        Err(error) if error == "not granted" => recipient.to_owned(),
        Err(error) => {
            log::warn(&format!("{recipient} is taken for a mailbox: {error}"));
            recipient.to_owned()
        }
    }
}

/// One action for one recipient. `only`: nobody else gets the message.
fn act(action: &Action, recipient: &str, only: bool) {
    let decide = |verdict: &Verdict| edit::recipient_verdict(recipient, verdict);
    match action {
        // A header field is one of the message: others must not read whose rules hold.
        Action::Header(fields) if only => fields
            .iter()
            .for_each(|(name, value)| edit::add_header(name, value)),
        Action::Header(_) => log::debug(&format!(
            "no header field for {recipient}: there are other recipients"
        )),
        Action::Tag(name) if only => edit::tag(name),
        Action::Tag(_) => log::debug(&format!("no tag for {recipient}: there are other recipients")),
        Action::Quarantine(reason) => decide(&Verdict::Quarantine(reason.clone())),
        Action::Discard => decide(&Verdict::Discard),
        Action::Reject(text) => decide(&Verdict::Reject(Reply {
            code: 550,
            enhanced: "5.7.1".to_owned(),
            text: text.clone(),
        })),
        Action::Redirect(_) => edit::remove_recipient(recipient),
        Action::Stop => {}
    }
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
        let mail = Mail {
            sender: &sender,
            tags: &tags,
            size: u64::from(message::size()),
            header: &message::header_text,
            // Asked for by rules alone that want to know.
            attached: &|| {
                mime::parts()
                    .into_iter()
                    .map(|part| part.name)
                    .filter(|name| !name.is_empty())
                    .collect()
            },
        };
        let mut redirected = Vec::new();
        for recipient in &recipients {
            for action in settings.actions(&mailbox_of(recipient), &mail) {
                match action {
                    Action::Redirect(to) if to.to_lowercase() == recipient.to_lowercase() => continue,
                    Action::Redirect(to) => redirected.push(to),
                    _ => {}
                }
                act(action, recipient, recipients.len() == 1);
            }
        }
        // At the end, so that no other recipient's rule takes hold of what is put in here.
        redirected.into_iter().for_each(|to| edit::add_recipient(to));
        Verdict::Accept
    }
}

impl lifecycle::Guest for Plugin {
    fn validate() -> Result<(), String> {
        settings::parse::<Settings>(&config::json())?.check()
    }
}
