//! example-policy: refuses messages with a phrase, and counts those of each sender.
//!
//! A filter answers with a verdict: accept, reject (5xx), defer (4xx), discard or quarantine. The first that
//! does not accept ends the question. `on_message` is asked after the final dot, before the 250.

use exports::postern::policy::{lifecycle, message_filter};
use postern::policy::types::{Reply, Verdict};
use postern::policy::{config, edit, kv, log, message, mime, session};
use serde_json::{Map, Value};

wit_bindgen::generate!({ path: "wit", world: "plugin", generate_all });

struct Policy;
export!(Policy);

/// What the administrator wrote in the file beside the component.
struct Settings {
    phrase: String,
    hourly: i64,
}

impl Settings {
    fn read() -> Result<Self, String> {
        let phrase = config::get("phrase").unwrap_or_else(|| "wire the money".into());
        if phrase.is_empty() || phrase.len() > 200 {
            return Err("phrase must have 1 to 200 octets".into());
        }
        let hourly = config::get("hourly").unwrap_or_else(|| "100".into());
        let digits = hourly.len() <= 7 && hourly.bytes().all(|octet| octet.is_ascii_digit());
        match hourly.parse() {
            Ok(hourly @ 1..=1_000_000) if digits => Ok(Self { phrase, hourly }),
            _ => Err("hourly must be a whole number from 1 to 1000000".into()),
        }
    }
}

/// Refuses a setting that is not among these, for it may be misspelt, and one that is a list or a map.
fn known(names: &[&str]) -> Result<(), String> {
    let settings: Map<String, Value> = serde_json::from_str(&config::json()).expect("one JSON object");
    for (name, value) in &settings {
        if !names.contains(&name.as_str()) {
            return Err(format!("unknown setting `{name}`: known are {}", names.join(", ")));
        }
        if value.is_array() || value.is_object() {
            return Err(format!("{name} must be one value, not a list or a map"));
        }
    }
    Ok(())
}

impl lifecycle::Guest for Policy {
    /// Asked when the policy is loaded: the error is what the administrator reads.
    fn validate() -> Result<(), String> {
        known(&["phrase", "hourly"])?;
        Settings::read().map(drop)
    }
}

impl message_filter::Guest for Policy {
    fn on_message() -> Verdict {
        // They were validated when the policy was loaded.
        let Settings { phrase, hourly } = Settings::read().expect("valid settings");
        let subject = message::header_text("Subject").unwrap_or_default();
        if contains(subject.as_bytes(), phrase.as_bytes()) || body_contains(phrase.as_bytes()) {
            let text = format!("\"{phrase}\" is not taken here");
            return Verdict::Reject(Reply { code: 550, enhanced: "5.7.1".into(), text });
        }
        let body = message::size() - message::body_offset();
        let parts = match mime::parts().len() {
            1 => "1 part".to_owned(),
            parts => format!("{parts} parts"),
        };
        let mut mark = format!("{body} octets, {parts}");
        let sender = session::mail_from();
        if !sender.is_empty() {
            // A missing key counts as 0; it is forgotten an hour after it was made.
            match kv::increment(&format!("sent/{sender}"), 1, 3600) {
                Ok(count) if count > hourly => {
                    let text = format!("too many messages from {sender}, try again in an hour");
                    return Verdict::Defer(Reply { code: 450, enhanced: "4.7.1".into(), text });
                }
                Ok(count) => mark += &format!("; message {count} of this hour"),
                Err(error) => log::warn(&format!("not counted: {error}")),
            }
        }
        edit::add_header("X-Example-Policy", &mark);
        Verdict::Accept
    }
}

/// Reads the body in pieces: one reading gives at most 64 KiB.
fn body_contains(phrase: &[u8]) -> bool {
    let mut offset = message::body_offset();
    // The end of the piece before: the phrase may lie across.
    let mut window = Vec::new();
    loop {
        let piece = message::read(offset, 64 << 10);
        if piece.is_empty() {
            return false;
        }
        offset += piece.len() as u32;
        window.extend_from_slice(&piece);
        if contains(&window, phrase) {
            return true;
        }
        window.drain(..window.len().saturating_sub(phrase.len() - 1));
    }
}

/// Without regard to capital and small letters from A to Z; mail has octets that are no text.
fn contains(octets: &[u8], phrase: &[u8]) -> bool {
    octets.windows(phrase.len()).any(|window| window.eq_ignore_ascii_case(phrase))
}
