//! What becomes of a message that is objected to.

use crate::Settings;
use crate::bindings::postern::policy::types::{Reply, Verdict};
use serde::Deserialize;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Action {
    Reject,
    Quarantine,
    Defer,
    Accept,
}

/// What is said about a message that was not looked at to its end.
const UNSEEN: &str = "the message is too large or too deeply nested to be looked through";

impl Settings {
    /// An attachment was found that must not come in.
    pub(crate) fn refusal(&self, reason: &str) -> Verdict {
        self.verdict(self.action, &format!("{reason} is not allowed"), " here.")
    }

    /// None was found, but not everything was seen. The same message would be cut again: the sender is told at
    /// once, unless the administrator wants it otherwise.
    pub(crate) fn unseen(&self) -> Verdict {
        self.verdict(self.incomplete.unwrap_or(self.action), UNSEEN, ".")
    }

    fn verdict(&self, action: Action, reason: &str, end: &str) -> Verdict {
        let reply = |code: u16, enhanced: &str| Reply {
            code,
            enhanced: enhanced.to_owned(),
            text: format!("{reason}{end} {}", self.advice).trim_end().to_owned(),
        };
        match action {
            Action::Reject => Verdict::Reject(reply(550, "5.7.1")),
            Action::Quarantine => Verdict::Quarantine(reason.to_owned()),
            Action::Defer => Verdict::Defer(reply(451, "4.7.1")),
            Action::Accept => Verdict::Accept,
        }
    }
}
