//! Bounds connections, messages and recipients in a window of time: for each account where the session is
//! authenticated, else for each client address (an IPv6 /64 counts as one).
//!
//! Each try counts, so a client that does not slow down stays refused until its window ends. If the store
//! cannot be asked, mail is taken and a warning logged. Settings that cannot be read refuse the component
//! when it is loaded.

use bindings::exports::postern::policy::{connection_filter, lifecycle, recipient_filter, sender_filter};
use bindings::postern::policy::types::{Reply, Verdict};
use bindings::postern::policy::{config, kv, log, session};
use rate::Rate;
use serde::Deserialize;
use settings::{Network, OneOrMany};

mod bindings {
    #![allow(unsafe_code, unreachable_pub, reason = "generated")]
    wit_bindgen::generate!({
        path: "../../wit",
        inline: "
            package example:rate-limit;
            world plugin {
                include postern:policy/capabilities@0.1.0;
                export postern:policy/connection-filter@0.1.0;
                export postern:policy/lifecycle@0.1.0;
                export postern:policy/recipient-filter@0.1.0;
                export postern:policy/sender-filter@0.1.0;
            }
        ",
        generate_all,
        additional_derives: [PartialEq],
    });
    export!(Plugin with_types_in self);
    use super::Plugin;
}

mod rate;
#[cfg(test)]
mod tests;

#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Settings {
    address: Rates,
    account: AccountRates,
    /// Client networks that are not counted by address.
    exempt: Vec<Network>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Rates {
    connections: OneOrMany<Rate>,
    messages: OneOrMany<Rate>,
    recipients: OneOrMany<Rate>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct AccountRates {
    messages: OneOrMany<Rate>,
    recipients: OneOrMany<Rate>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            address: Rates::default(),
            account: AccountRates::default(),
            exempt: Network::loopback(),
        }
    }
}

/// What is counted: one connection, message or recipient.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Event {
    Connection,
    Message,
    Recipient,
}

impl Event {
    fn word(self) -> &'static str {
        match self {
            Self::Connection => "connections",
            Self::Message => "messages",
            Self::Recipient => "recipients",
        }
    }

    /// RFC 5321 §4.3.2 names the codes of each command; 421 also ends the connection.
    fn refusal(self, who: &str, rate: Rate) -> Verdict {
        let code = match self {
            Self::Connection => 421,
            Self::Message => 451,
            Self::Recipient => 450,
        };
        let text = format!(
            "too many {} from {who}: {} in {}",
            self.word(),
            rate.most,
            rate.window
        );
        Verdict::Defer(Reply {
            code,
            enhanced: "4.7.1".to_owned(),
            text: format!("{text}, please try again later"),
        })
    }
}

/// Whose counter an event belongs to.
#[derive(Debug, PartialEq, Eq)]
struct Account<'a> {
    rates: &'a [Rate],
    who: String,
}

impl Settings {
    /// An account is counted by itself, wherever it connects from; its address is not.
    fn account(&self, event: Event, client: &str, user: Option<&str>) -> Account<'_> {
        let rates = match (event, user) {
            (Event::Connection, _) => &self.address.connections,
            (Event::Message, None) => &self.address.messages,
            (Event::Recipient, None) => &self.address.recipients,
            (Event::Message, Some(_)) => &self.account.messages,
            (Event::Recipient, Some(_)) => &self.account.recipients,
        };
        let user = user.filter(|_| event != Event::Connection);
        let exempt = user.is_none() && settings::listed(&self.exempt, client);
        Account {
            rates: if exempt { &[] } else { rates },
            who: user.map_or_else(|| settings::neighbourhood(client, 32), str::to_lowercase),
        }
    }
}

/// Counts an event in each window and answers the first rate that it passes.
fn passed(
    event: Event,
    account: &Account<'_>,
    mut count: impl FnMut(&str, u32) -> Result<i64, String>,
) -> Result<Option<Rate>, String> {
    let mut first = None;
    for rate in account.rates {
        let key = format!("{} {} {}", event.word(), rate.window, account.who);
        if count(&key, rate.window.0)? > rate.most {
            first = first.or(Some(*rate));
        }
    }
    Ok(first)
}

fn judge(event: Event) -> Verdict {
    let Ok(settings) = settings::parse::<Settings>(&config::json()) else {
        return Verdict::Accept; // `validate` has refused these
    };
    let account = settings.account(event, &session::client_ip(), session::auth_user().as_deref());
    match passed(event, &account, |key, window| kv::increment(key, 1, window)) {
        Ok(None) => Verdict::Accept,
        Ok(Some(rate)) => event.refusal(&account.who, rate),
        Err(error) => {
            log::warn(&format!("{} are not counted: {error}", event.word()));
            Verdict::Accept
        }
    }
}

struct Plugin;

impl connection_filter::Guest for Plugin {
    fn on_connect() -> Verdict {
        judge(Event::Connection)
    }
}

impl sender_filter::Guest for Plugin {
    fn on_mail() -> Verdict {
        judge(Event::Message)
    }
}

impl recipient_filter::Guest for Plugin {
    fn on_rcpt(_recipient: String) -> Verdict {
        judge(Event::Recipient)
    }
}

impl lifecycle::Guest for Plugin {
    fn validate() -> Result<(), String> {
        settings::parse::<Settings>(&config::json()).map(drop)
    }
}
