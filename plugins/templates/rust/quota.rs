//! example-policy: one bound for all mailboxes, one for each message, and a warning before.
//!
//! A quota answers with the highest usage that a mailbox may reach, this message included. The host compares
//! it with exact usage when the message is delivered, so that messages arriving together cannot pass it.

use exports::postern::policy::{lifecycle, quota};
use postern::policy::config;
use postern::policy::types::{Ceiling, QuotaDecision, QuotaWarning, Reply, Usage};
use serde_json::{Map, Value};

wit_bindgen::generate!({ path: "wit", world: "plugin", generate_all });

struct Policy;
export!(Policy);

/// MiB, MiB and per cent.
struct Settings {
    mailbox: u64,
    message: u64,
    warn: u64,
}

impl Settings {
    fn read() -> Result<Self, String> {
        Ok(Self {
            mailbox: number("mailbox", 1024, 1_000_000)?,
            message: number("message", 25, 1_000_000)?,
            warn: number("warn", 90, 100)?,
        })
    }
}

fn number(name: &str, usual: u64, most: u64) -> Result<u64, String> {
    let Some(text) = config::get(name) else { return Ok(usual) };
    let digits = text.len() <= 7 && text.bytes().all(|octet| octet.is_ascii_digit());
    match text.parse() {
        Ok(number) if digits && number >= 1 && number <= most => Ok(number),
        _ => Err(format!("{name} must be a whole number from 1 to {most}")),
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
        known(&["mailbox", "message", "warn"])?;
        Settings::read().map(drop)
    }
}

impl quota::Guest for Policy {
    fn check(mailbox: String, current: Usage, incoming: u64) -> QuotaDecision {
        // They were validated when the policy was loaded.
        let settings = Settings::read().expect("valid settings");
        if incoming > settings.message << 20 {
            let text = format!("a message for {mailbox} may have {} MiB", settings.message);
            return QuotaDecision::Deny(Reply { code: 552, enhanced: "5.2.3".into(), text });
        }
        let most = settings.mailbox << 20;
        let ceiling = Ceiling { bytes: Some(most), messages: None };
        let full = (current.bytes + incoming) * 100 / most;
        if full >= settings.warn {
            let text = format!("{mailbox} is {full} % full");
            return QuotaDecision::Warn(QuotaWarning { text, ceiling });
        }
        QuotaDecision::Allow(ceiling)
    }
}
