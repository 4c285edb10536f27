//! Greylisting: an unknown triplet of client network, sender and recipient is asked to come again. Mail
//! servers do; most senders of spam do not.
//!
//! Authenticated sessions, LMTP and exempt networks are never asked. If the store cannot be asked, mail is
//! taken and a warning logged: a delay is not worth more than mail. Settings that cannot be read refuse
//! the component when it is loaded.

use bindings::exports::postern::policy::{lifecycle, recipient_filter};
use bindings::postern::policy::types::{Reply, Verdict};
use bindings::postern::policy::{clock, config, kv, log, session};
use serde::Deserialize;
use settings::{Network, Seconds};

mod bindings {
    #![allow(unsafe_code, unreachable_pub, reason = "generated")]
    wit_bindgen::generate!({
        path: "../../wit",
        inline: "
            package example:greylist;
            world plugin {
                include postern:policy/capabilities@0.1.0;
                export postern:policy/lifecycle@0.1.0;
                export postern:policy/recipient-filter@0.1.0;
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
    /// How long a triplet has to wait after its first try.
    wait: Seconds,
    /// Within what time after the first try it has to come again.
    retry: Seconds,
    /// How long a triplet that came again stays known; each use in the second half renews it.
    keep: Seconds,
    /// Client networks that are never asked to wait.
    exempt: Vec<Network>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            wait: Seconds(5 * 60),
            retry: Seconds(2 * 86_400),
            keep: Seconds(36 * 86_400),
            exempt: Network::loopback(),
        }
    }
}

/// What is remembered of a triplet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Memory {
    /// Tried first at this second.
    Tried(u64),
    /// Known since this second.
    Known(u64),
}

/// What is to be done about a triplet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    /// Never seen: remember the try.
    Greet,
    /// Came again too soon: so many seconds are left.
    Wait(u64),
    /// Came again in time, or its term is to be renewed.
    Admit,
    Pass,
}

impl Memory {
    fn read(bytes: &[u8]) -> Option<Self> {
        let (kind, at) = bytes.split_first()?;
        let at = u64::from_be_bytes(at.try_into().ok()?);
        match kind {
            b't' => Some(Self::Tried(at)),
            b'k' => Some(Self::Known(at)),
            _ => None,
        }
    }

    fn written(self) -> Vec<u8> {
        let (kind, at) = match self {
            Self::Tried(at) => (b't', at),
            Self::Known(at) => (b'k', at),
        };
        [&[kind], &at.to_be_bytes()[..]].concat()
    }
}

impl Settings {
    fn check(&self) -> Result<(), String> {
        match self.wait < self.retry {
            true => Ok(()),
            false => Err(format!(
                "wait ({}) must be shorter than retry ({})",
                self.wait, self.retry
            )),
        }
    }

    fn step(&self, memory: Option<Memory>, now: u64) -> Step {
        match memory {
            None => Step::Greet,
            // A clock that was set back does not make anybody wait longer than `wait`.
            Some(Memory::Tried(at)) => match u64::from(self.wait.0).saturating_sub(now.saturating_sub(at)) {
                0 => Step::Admit,
                left => Step::Wait(left),
            },
            Some(Memory::Known(at)) if now.saturating_sub(at) >= u64::from(self.keep.0) / 2 => Step::Admit,
            Some(Memory::Known(_)) => Step::Pass,
        }
    }
}

/// The key of a triplet. A server farm tries from several addresses, and lists put a number or the
/// recipient into each sender address: what changes from try to try is left out.
fn triplet(client: &str, sender: &str, recipient: &str) -> String {
    let sender = sender.to_lowercase();
    let (local, domain) = sender.rsplit_once('@').unwrap_or((&sender, ""));
    let local = local.split('+').next().unwrap_or_default();
    let pieces = local
        .split(|c: char| c.is_ascii_digit())
        .filter(|piece| !piece.is_empty());
    let plain = pieces.collect::<Vec<_>>().join("#");
    format!(
        "{} {plain}@{domain} {}",
        settings::neighbourhood(client, 24),
        recipient.to_lowercase()
    )
}

fn deferral(left: u64) -> Verdict {
    Verdict::Defer(Reply {
        code: 450,
        enhanced: "4.7.1".to_owned(),
        text: format!("greylisted: please try again in {left} seconds"),
    })
}

/// Asks and tells the store; the error is the store's.
fn judge(settings: &Settings, key: &str, now: u64) -> Result<Verdict, String> {
    let memory = kv::get(key)?.as_deref().and_then(Memory::read);
    match settings.step(memory, now) {
        Step::Pass => Ok(Verdict::Accept),
        Step::Wait(left) => Ok(deferral(left)),
        Step::Admit => {
            kv::set(key, &Memory::Known(now).written(), settings.keep.0)?;
            Ok(Verdict::Accept)
        }
        Step::Greet => {
            // A try that came at the same moment may have been remembered already: the earlier one counts.
            kv::compare_and_set(key, None, &Memory::Tried(now).written(), settings.retry.0)?;
            Ok(deferral(u64::from(settings.wait.0)))
        }
    }
}

struct Plugin;

impl recipient_filter::Guest for Plugin {
    fn on_rcpt(recipient: String) -> Verdict {
        let Ok(settings) = settings::parse::<Settings>(&config::json()) else {
            return Verdict::Accept; // `validate` has refused these
        };
        let client = session::client_ip();
        let trusted = session::auth_user().is_some() || session::protocol().starts_with("lmtp");
        if trusted || settings::listed(&settings.exempt, &client) {
            return Verdict::Accept;
        }
        let key = triplet(&client, &session::mail_from(), &recipient);
        judge(&settings, &key, clock::now() / 1000).unwrap_or_else(|error| {
            log::warn(&format!("greylisting is off for this recipient: {error}"));
            Verdict::Accept
        })
    }
}

impl lifecycle::Guest for Plugin {
    fn validate() -> Result<(), String> {
        settings::parse::<Settings>(&config::json())?.check()
    }
}
