//! Refuses or quarantines messages with attachments that nobody should open, by their names and by what
//! their first bytes say they are.
//!
//! It looks at each leaf of the MIME tree, decoded, but not inside archives; a message whose tree was cut is
//! refused as well, because nobody knows what is in the rest. Settings that cannot be read
//! refuse the component when it is loaded.

use action::Action;
use bindings::exports::postern::policy::{lifecycle, message_filter};
use bindings::postern::policy::types::Verdict;
use bindings::postern::policy::{config, mime};
use serde::Deserialize;
use std::collections::BTreeMap;

mod bindings {
    #![allow(unsafe_code, unreachable_pub, reason = "generated")]
    wit_bindgen::generate!({
        path: "../../wit",
        inline: "
            package example:block-attachments;
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

mod action;
mod content;
mod name;
#[cfg(test)]
mod tests;

const NAMES: [&str; 27] = [
    "*.bat", "*.chm", "*.cmd", "*.com", "*.cpl", "*.dll", "*.exe", "*.hta", "*.iso", "*.jar", "*.js",
    "*.jse", "*.lnk", "*.msi", "*.msp", "*.pif", "*.ps1", "*.reg", "*.scf", "*.scr", "*.sct", "*.sys",
    "*.vb", "*.vbe", "*.vbs", "*.wsf", "*.wsh",
];
const KINDS: [&str; 5] = ["pe", "elf", "mach-o", "java", "lnk"];
const OPTIONAL_KINDS: [&str; 6] = ["script", "ole", "cab", "zip", "rar", "7z"];

#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Settings {
    /// Patterns of file names.
    names: Vec<String>,
    /// Kinds of content that are known by their first bytes.
    kinds: Vec<String>,
    /// More kinds: a word for people, and the first bytes in hexadecimal.
    signatures: BTreeMap<String, String>,
    action: Action,
    /// What becomes of a message that the gateway did not take apart to its end; as `action` if nothing is said.
    incomplete: Option<Action>,
    /// Said behind the reason: what a sender may do instead.
    advice: String,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            names: NAMES.map(str::to_owned).to_vec(),
            kinds: KINDS.map(str::to_owned).to_vec(),
            signatures: BTreeMap::new(),
            action: Action::Reject,
            incomplete: None,
            advice: String::new(),
        }
    }
}

impl Settings {
    fn check(&self) -> Result<(), String> {
        if matches!(self.action, Action::Defer | Action::Accept) {
            return Err("action: write reject or quarantine".to_owned());
        }
        if let Some(kind) = self.kinds.iter().find(|kind| {
            let kind = kind.as_str();
            !KINDS.contains(&kind) && !OPTIONAL_KINDS.contains(&kind)
        }) {
            let known = [&KINDS[..], &OPTIONAL_KINDS[..]].concat().join(", ");
            return Err(format!("kinds: `{kind}` is not known; known are {known}"));
        }
        if let Some((word, hex)) = self
            .signatures
            .iter()
            .find(|(_, hex)| content::octets(hex).is_none())
        {
            return Err(format!(
                "signatures: `{hex}` of `{word}` must be 2 to 64 bytes in hexadecimal"
            ));
        }
        match self.names.iter().find(|pattern| pattern.trim().is_empty()) {
            Some(_) => Err("names: an empty pattern".to_owned()),
            None => Ok(()),
        }
    }

    /// Why an attachment of this name is refused.
    fn bad_name(&self, name: &str) -> Option<String> {
        let plain = name::plain(name);
        let pattern = self
            .names
            .iter()
            .find(|pattern| settings::matches(pattern, &plain))?;
        Some(format!("the attachment \"{}\" ({pattern})", name::shown(&plain)))
    }

    /// Why an attachment that begins like this is refused, whatever its name.
    fn bad_content(&self, head: &[u8], name: &str) -> Option<String> {
        let known = content::kind(head).filter(|kind| self.kinds.iter().any(|listed| listed == kind));
        let own = || {
            self.signatures
                .iter()
                .find(|(_, hex)| content::octets(hex).is_some_and(|start| head.starts_with(&start)))
        };
        let word = known.or_else(|| own().map(|(word, _)| word.as_str()))?;
        Some(format!(
            "the attachment \"{}\" (content: {word})",
            name::shown(&name::plain(name))
        ))
    }
}

/// What is wrong with one part, if anything.
fn objection(settings: &Settings, part: &mime::Part) -> Option<String> {
    // A program may read the name from either field, so both must be harmless.
    let field = |field| mime::part_header(part.index, field).unwrap_or_default();
    let mut names = name::named(&field("Content-Disposition"));
    names.extend(name::named(&field("Content-Type")));
    names.push(part.name.clone());
    let named = names.iter().find_map(|name| settings.bad_name(name));
    named.or_else(|| settings.bad_content(&mime::part_read(part.index, 0, 64), &part.name))
}

struct Plugin;

impl message_filter::Guest for Plugin {
    fn on_message() -> Verdict {
        let Ok(settings) = settings::parse::<Settings>(&config::json()) else {
            return Verdict::Accept; // `validate` has refused these
        };
        let parts = mime::parts();
        let mut leaves = parts
            .iter()
            .filter(|part| !part.media_type.starts_with("multipart/"));
        match leaves.find_map(|part| objection(&settings, part)) {
            Some(reason) => settings.refusal(&reason),
            None if mime::complete() => Verdict::Accept,
            None => settings.unseen(),
        }
    }
}

impl lifecycle::Guest for Plugin {
    fn validate() -> Result<(), String> {
        settings::parse::<Settings>(&config::json())?.check()
    }
}
