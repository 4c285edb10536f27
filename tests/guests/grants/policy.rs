//! grants: what the capabilities that are granted by name know of a sender, each in a header field.
//!
//! Each answers a `Result`. Its error is text: `not granted` where the administrator's file grants nothing, else what
//! is outside of the grant, or what went wrong. It ends nothing: this filter says it in the field, and accepts.

use exports::postern::policy::message_filter::Guest;
use postern::policy::types::{HeaderField, HttpRequest, Verdict};
use postern::policy::{config, directory, dns, edit, http, kv, session};

wit_bindgen::generate!({ path: "wit", world: "plugin", generate_all });

/// Seconds.
const DAY: u32 = 86_400;
/// Octets of what others wrote that are shown.
const SHOWN: usize = 100;

struct Policy;
export!(Policy);

impl Guest for Policy {
    fn on_message() -> Verdict {
        let sender = session::mail_from();
        tell("X-Kv", ask_kv(&sender));
        tell("X-Dns", ask_dns(&sender));
        tell("X-Directory", ask_directory(&sender));
        tell("X-Http", ask_http(&sender));
        Verdict::Accept
    }
}

fn tell(field: &str, known: Result<String, String>) {
    let value = known.unwrap_or_else(|error| format!("error: {error}"));
    edit::add_header(field, &value);
}

/// The sender's last message, in whose place this one is put.
fn ask_kv(sender: &str) -> Result<String, String> {
    let key = format!("last/{sender}");
    let last = kv::get(&key)?;
    let this = session::queue_id();
    // Of two messages at once only one finds what it read still there.
    if !kv::compare_and_set(&key, last.as_deref(), this.as_bytes(), DAY)? {
        return Ok("another at the same time".into());
    }
    match last {
        Some(last) => Ok(format!("after {}", shown(&last))),
        None => Ok("the first".into()),
    }
}

/// Where the sender's domain takes mail; an empty list where it has no MX. A sender without `@` is asked about as it is.
fn ask_dns(sender: &str) -> Result<String, String> {
    let domain = sender.rsplit_once('@').map_or(sender, |(_, domain)| domain);
    let exchanges = dns::mx(domain)?;
    Ok(exchanges.join(", "))
}

/// The mailbox behind the sender's address, if it is one of ours.
fn ask_directory(sender: &str) -> Result<String, String> {
    let mailbox = directory::mailbox_of(sender)?;
    Ok(mailbox.unwrap_or_else(|| "nobody here".into()))
}

/// What a service says about the sender.
fn ask_http(sender: &str) -> Result<String, String> {
    let answer = http::send(&HttpRequest {
        method: "POST".into(),
        url: config::get("url").unwrap_or_else(|| "https://api.example.com/reputation".into()),
        headers: vec![HeaderField {
            name: "Content-Type".into(),
            value: b"text/plain".to_vec(),
        }],
        body: sender.as_bytes().to_vec(),
        // What the grant gives one request.
        timeout_ms: 0,
    })?;
    Ok(format!("{} {}", answer.status, shown(&answer.body)))
}

/// Their beginning as text. They may be anything; what is no ASCII is a question mark.
fn shown(octets: &[u8]) -> String {
    let characters = octets.iter().take(SHOWN).map(|&octet| match octet {
        b' '..=b'~' => char::from(octet),
        _ => '?',
    });
    characters.collect()
}
