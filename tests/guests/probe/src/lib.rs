//! A guest that uses every capability and reports what it saw, one `X-Probe` header field for each
//! (`capability.function=answer`), and otherwise does as its settings say:
//!
//! * `verdict.STAGE`: `accept`, `reject`, `defer`, `discard` or `quarantine`;
//! * `edits.STAGE`: edits divided by `;`, each a word of the contract and its values: `tag odd; redirect a@b.org`;
//! * `route`: `pass`, `discard`, `local ADDRESS`, `relay HOST` or `rewrite ADDRESS ADDRESS…`;
//! * `quota.bytes`, `quota.messages`, `quota.warn`: a ceiling, and the text of a warning;
//! * `uses`: what it does besides at the message, divided by `;`, each a word and how often: `kv-get 10`; it traps where
//!   the host does not do it (see the module `uses`);
//! * `report: none` leaves the report out; `validate`: the error that the component is refused with.

use bindings::exports::postern::policy::{
    connection_filter, lifecycle, message_filter, quota, recipient_filter, router, sender_filter,
};
use bindings::postern::policy::types::{Ceiling, QuotaDecision, QuotaWarning, Reply, Route, Usage, Verdict};
use bindings::postern::policy::{config, edit, session};

mod bindings {
    #![allow(unsafe_code, unreachable_pub, reason = "generated")]
    wit_bindgen::generate!({
        path: "../../../wit",
        inline: "
            package tests:probe;
            world plugin {
                include postern:policy/everything@0.1.0;
            }
        ",
        generate_all,
    });
    export!(Probe with_types_in self);
    use super::Probe;
}

mod report;
mod uses;

struct Probe;

fn reply(code: u16) -> Reply {
    Reply {
        code,
        enhanced: format!("{}.7.1", code / 100),
        text: "as the settings say".to_owned(),
    }
}

fn verdict(word: &str) -> Verdict {
    match word {
        "reject" => Verdict::Reject(reply(550)),
        "defer" => Verdict::Defer(reply(450)),
        "discard" => Verdict::Discard,
        "quarantine" => Verdict::Quarantine("as the settings say".to_owned()),
        "accept" => Verdict::Accept,
        unknown => panic!("no verdict is called `{unknown}`"),
    }
}

fn edit(command: &str) {
    let (word, values) = command.trim().split_once(' ').unwrap_or((command.trim(), ""));
    let (first, rest) = values.split_once(' ').unwrap_or((values, ""));
    match word {
        "" => {}
        "add-header" => edit::add_header(first, rest),
        "insert-header" => edit::insert_header(first, rest),
        "remove-header" => edit::remove_header(first),
        "add-recipient" => edit::add_recipient(first),
        "remove-recipient" => edit::remove_recipient(first),
        "redirect" => edit::redirect(first),
        "tag" => edit::tag(values),
        "recipient-verdict" => edit::recipient_verdict(first, &verdict(rest)),
        unknown => panic!("no edit is called `{unknown}`"),
    }
}

fn answer(stage: &str) -> Verdict {
    let edits = config::get(&format!("edits.{stage}")).unwrap_or_default();
    edits.split(';').for_each(edit);
    verdict(
        config::get(&format!("verdict.{stage}"))
            .as_deref()
            .unwrap_or("accept"),
    )
}

impl connection_filter::Guest for Probe {
    fn on_connect() -> Verdict {
        edit::tag(&format!("connected from {}", session::client_ip()));
        answer("connect")
    }
}

impl sender_filter::Guest for Probe {
    fn on_mail() -> Verdict {
        edit::tag(&format!("mail from {}", session::mail_from()));
        answer("mail")
    }
}

impl recipient_filter::Guest for Probe {
    fn on_rcpt(recipient: String) -> Verdict {
        edit::tag(&format!("rcpt to {recipient}"));
        answer("rcpt")
    }
}

impl message_filter::Guest for Probe {
    fn on_message() -> Verdict {
        if config::get("report").as_deref() != Some("none") {
            report::all()
                .iter()
                .for_each(|line| edit::add_header("X-Probe", line));
        }
        uses::all(&config::get("uses").unwrap_or_default());
        answer("message")
    }
}

impl router::Guest for Probe {
    fn resolve(_recipient: String) -> Route {
        let words = config::get("route").unwrap_or_default();
        let mut words = words.split_whitespace().map(str::to_owned);
        match words.next().as_deref() {
            None | Some("pass") => Route::Pass,
            Some("discard") => Route::Discard,
            Some("reject") => Route::Reject(reply(550)),
            Some("defer") => Route::Defer(reply(450)),
            Some("local") => Route::Local(words.next().unwrap_or_default()),
            Some("relay") => Route::Relay(words.next().unwrap_or_default()),
            Some("rewrite") => Route::Rewrite(words.collect()),
            Some(unknown) => panic!("no route is called `{unknown}`"),
        }
    }
}

impl quota::Guest for Probe {
    fn check(_mailbox: String, _current: Usage, _incoming: u64) -> QuotaDecision {
        let number = |path| config::get(path).and_then(|text| text.parse().ok());
        let ceiling = Ceiling {
            bytes: number("quota.bytes"),
            messages: number("quota.messages"),
        };
        match config::get("quota.warn") {
            Some(text) => QuotaDecision::Warn(QuotaWarning { text, ceiling }),
            None => QuotaDecision::Allow(ceiling),
        }
    }
}

impl lifecycle::Guest for Probe {
    fn validate() -> Result<(), String> {
        config::get("validate").map_or(Ok(()), Err)
    }
}
