//! Puts a tag before the subject where a condition holds: `[EXTERNAL] Your invoice`.
//!
//! It never refuses mail and never tags twice. What the sender encoded stays encoded; a tag that is not
//! ASCII is encoded itself (RFC 2047). A message without a subject gets one. Settings that cannot be read
//! refuse the component when it is loaded.

use bindings::exports::postern::policy::{lifecycle, message_filter};
use bindings::postern::policy::{config, edit, message, mime, session};
use serde::Deserialize;
use settings::{Condition, Mail};

mod bindings {
    #![allow(unsafe_code, unreachable_pub, reason = "generated")]
    wit_bindgen::generate!({
        path: "../../wit",
        inline: "
            package example:tag-subject;
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

mod subject;
#[cfg(test)]
mod tests;

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Settings {
    rules: Vec<Rule>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Rule {
    tag: String,
    #[serde(default)]
    when: Condition,
}

impl Settings {
    fn check(&self) -> Result<(), String> {
        for rule in &self.rules {
            let tag = &rule.tag;
            if tag.trim().is_empty() || tag.chars().count() > 40 || tag.chars().any(char::is_control) {
                return Err(format!(
                    "rules: the tag `{tag}` must have 1 to 40 printable characters"
                ));
            }
            if tag.contains("=?") {
                return Err(format!(
                    "rules: the tag `{tag}` looks encoded; write it in plain text"
                ));
            }
        }
        Ok(())
    }

    /// The tags whose conditions hold, in the order of the settings.
    fn tags(&self, mail: &Mail<'_>) -> Vec<&str> {
        self.rules
            .iter()
            .filter(|rule| rule.when.holds(mail))
            .map(|rule| rule.tag.trim())
            .collect()
    }
}

struct Plugin;

impl message_filter::Guest for Plugin {
    fn on_message() -> message_filter::Verdict {
        let Ok(settings) = settings::parse::<Settings>(&config::json()) else {
            return message_filter::Verdict::Accept; // `validate` has refused these
        };
        let tags = settings.tags(&Mail {
            authenticated: session::auth_user().is_some(),
            sender: &session::mail_from(),
            tags: &session::tags(),
            size: &message::size,
            header: &message::header_text,
            raw: &message::get_header,
            names: &|| mime::parts().into_iter().map(|part| part.name).collect(),
        });
        let raw = message::get_header("Subject")
            .into_iter()
            .next()
            .unwrap_or_default();
        let decoded = message::header_text("Subject").unwrap_or_default();
        if let Some(subject) = subject::tagged(&tags, &raw, &decoded) {
            edit::remove_header("Subject");
            edit::add_header("Subject", &subject);
        }
        message_filter::Verdict::Accept
    }
}

impl lifecycle::Guest for Plugin {
    fn validate() -> Result<(), String> {
        settings::parse::<Settings>(&config::json())?.check()
    }
}
