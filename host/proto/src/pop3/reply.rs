//! Every POP3 reply has its words and its response code here, and its one encoder.
//!
//! Response codes are those of RFC 2449 §8.1 and RFC 3206. Text is English and ASCII.

use super::maildrop::{Maildrop, UniqueId};
use super::{Refusal, Trouble};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use std::borrow::Cow;
use std::fmt::{self, Write as _};

/// What stands before the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Status {
    Ok,
    /// `-ERR`, with a response code where one fits.
    Err(Option<&'static str>),
    /// A SASL challenge (RFC 5034 §4).
    Continue,
}

/// One POP3 response, of one line or more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    status: Status,
    text: Cow<'static, str>,
    /// Lines of a multi-line response, each with its CRLF, without the last dot. None begins with a dot.
    lines: Option<String>,
}

impl Reply {
    /// `+OK`, or the exchange goes on.
    pub fn is_positive(&self) -> bool {
        !matches!(self.status, Status::Err(_))
    }

    /// The response code without its brackets.
    pub fn code(&self) -> Option<&'static str> {
        match self.status {
            Status::Err(code) => code,
            Status::Ok | Status::Continue => None,
        }
    }

    /// The first line's text, for logs.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Writes it as the client gets it.
    pub fn encode(&self, out: &mut Vec<u8>) {
        match self.status {
            Status::Ok => out.extend_from_slice(b"+OK "),
            Status::Continue => out.extend_from_slice(b"+ "),
            Status::Err(None) => out.extend_from_slice(b"-ERR "),
            Status::Err(Some(code)) => out.extend_from_slice(format!("-ERR [{code}] ").as_bytes()),
        }
        out.extend_from_slice(self.text.as_bytes());
        out.extend_from_slice(b"\r\n");
        if let Some(lines) = &self.lines {
            out.extend_from_slice(lines.as_bytes());
            out.extend_from_slice(b".\r\n");
        }
    }

    fn ok(text: impl Into<Cow<'static, str>>) -> Self {
        Self {
            status: Status::Ok,
            text: text.into(),
            lines: None,
        }
    }

    fn err(text: impl Into<Cow<'static, str>>) -> Self {
        Self {
            status: Status::Err(None),
            text: text.into(),
            lines: None,
        }
    }

    fn coded(code: &'static str, text: &'static str) -> Self {
        Self {
            status: Status::Err(Some(code)),
            ..Self::err(text)
        }
    }

    fn list(text: impl Into<Cow<'static, str>>, lines: impl IntoIterator<Item = impl fmt::Display>) -> Self {
        let mut all = String::new();
        for line in lines {
            // Writing to a string cannot fail.
            let _ = write!(all, "{line}\r\n");
        }
        Self {
            lines: Some(all),
            ..Self::ok(text)
        }
    }
}

/// What the driver may have to say on its own.
impl Reply {
    /// Instead of a greeting, where a limit of sessions is met.
    pub fn too_many_sessions() -> Self {
        Self::coded("SYS/TEMP", "too many sessions, try later")
    }

    /// The gateway stops.
    pub fn shutting_down() -> Self {
        Self::coded("SYS/TEMP", "the server is shutting down; nothing was deleted")
    }

    /// The maildrop is not this session's any more.
    pub fn maildrop_lost() -> Self {
        Self::coded(
            "SYS/TEMP",
            "the maildrop may be open elsewhere by now; nothing was deleted",
        )
    }
}

/// Greeting, login, end.
impl Reply {
    pub(super) fn greeting(hostname: &str) -> Self {
        // No timestamp in angle brackets: that would announce APOP (RFC 1939 §7).
        Self::ok(format!("{hostname} POP3 ready"))
    }

    pub(super) fn bye() -> Self {
        Self::ok("bye")
    }

    pub(super) fn user_noted() -> Self {
        Self::ok("now the password")
    }

    pub(super) fn user_first() -> Self {
        Self::err("USER comes before PASS")
    }

    pub(super) fn start_tls_first() -> Self {
        Self::err("no password without TLS: start it with STLS first")
    }

    pub(super) fn begin_tls() -> Self {
        Self::ok("begin TLS")
    }

    pub(super) fn tls_not_possible() -> Self {
        Self::err("TLS is active already or not offered here")
    }

    pub(super) fn utf8_enabled() -> Self {
        Self::ok("UTF-8 enabled")
    }

    pub(super) fn mechanism_unknown() -> Self {
        Self::err("this mechanism is not offered")
    }

    pub(super) fn challenge(message: &[u8]) -> Self {
        Self {
            status: Status::Continue,
            ..Self::ok(STANDARD.encode(message))
        }
    }

    pub(super) fn login_failed() -> Self {
        Self::coded("AUTH", "authentication failed")
    }

    pub(super) fn login_unavailable() -> Self {
        Self::coded("SYS/TEMP", "logins cannot be judged now, please try again later")
    }

    pub(super) fn response_malformed() -> Self {
        Self::err("not a response of this mechanism")
    }

    pub(super) fn login_cancelled() -> Self {
        Self::err("authentication cancelled")
    }

    pub(super) fn refused(refusal: Refusal) -> Self {
        match refusal {
            Refusal::InUse => Self::coded("IN-USE", "another session has this maildrop open"),
            Refusal::LoginDelay => Self::coded("LOGIN-DELAY", "too soon after the last login"),
            Refusal::TooManySessions => Self::coded("SYS/TEMP", "too many sessions of this account"),
            Refusal::Unavailable => Self::coded("SYS/TEMP", "the maildrop cannot be opened now"),
        }
    }

    pub(super) fn opened(maildrop: &Maildrop) -> Self {
        Self::ok(holding(maildrop))
    }
}

/// The maildrop.
impl Reply {
    pub(super) fn stat(maildrop: &Maildrop) -> Self {
        let (count, octets) = maildrop.sum();
        // RFC 1939 §5: exactly two numbers, nothing behind them.
        Self::ok(format!("{count} {octets}"))
    }

    pub(super) fn scan(number: u64, size: u64) -> Self {
        Self::ok(format!("{number} {size}"))
    }

    pub(super) fn scan_all(maildrop: &Maildrop) -> Self {
        let lines = maildrop
            .kept()
            .map(|(number, message)| Numbered(number, maildrop.size(message)));
        Self::list(holding(maildrop), lines)
    }

    pub(super) fn unique_id(number: u64, uidl: &UniqueId) -> Self {
        Self::ok(format!("{number} {uidl}"))
    }

    pub(super) fn unique_ids(maildrop: &Maildrop) -> Self {
        let lines = maildrop
            .kept()
            .map(|(number, message)| Numbered(number, &message.uidl));
        Self::list("unique ids follow", lines)
    }

    pub(super) fn message_follows(octets: u64) -> Self {
        Self::ok(format!("{octets} octets"))
    }

    pub(super) fn top_follows() -> Self {
        Self::ok("top of the message follows")
    }

    pub(super) fn no_such_message() -> Self {
        Self::err("no such message")
    }

    pub(super) fn deleted_before() -> Self {
        Self::err("this message is marked as deleted")
    }

    pub(super) fn marked(number: u64) -> Self {
        Self::ok(format!("message {number} goes at QUIT"))
    }

    pub(super) fn unmarked(maildrop: &Maildrop) -> Self {
        Self::ok(holding(maildrop))
    }

    pub(super) fn trouble(trouble: Trouble) -> Self {
        match trouble {
            Trouble::Temporary => Self::coded("SYS/TEMP", "the message cannot be read now"),
            Trouble::Gone => Self::coded("SYS/PERM", "the message is there no more"),
        }
    }

    pub(super) fn removed(count: usize) -> Self {
        Self::ok(format!("bye, {} deleted", messages(count)))
    }

    pub(super) fn not_removed() -> Self {
        Self::coded("SYS/TEMP", "some deleted messages may not have been removed")
    }

    pub(super) fn noop() -> Self {
        Self::ok("still here")
    }
}

/// Capabilities and languages.
impl Reply {
    pub(super) fn capabilities(keywords: Vec<String>) -> Self {
        Self::list("capabilities follow", keywords)
    }

    /// RFC 6856 §3.2: the tag, then text in that language.
    pub(super) fn language_chosen() -> Self {
        Self::ok("en English it is")
    }

    pub(super) fn languages() -> Self {
        Self::list("languages follow", ["en English"])
    }

    pub(super) fn language_unknown() -> Self {
        Self::err("this language is not spoken here")
    }
}

/// Faults of the client's lines.
impl Reply {
    pub(super) fn line_too_long() -> Self {
        Self::err("the line is too long")
    }

    pub(super) fn bare_line_end() -> Self {
        Self::err("lines end with CRLF, and nowhere else is a CR or LF")
    }

    pub(super) fn nul() -> Self {
        Self::err("no NUL, please")
    }

    pub(super) fn unknown_command() -> Self {
        Self::err("unknown command")
    }

    pub(super) fn login_first() -> Self {
        Self::err("only after login")
    }

    pub(super) fn not_after_login() -> Self {
        Self::err("only before login")
    }

    pub(super) fn bad_arguments(usage: &'static str) -> Self {
        let mut text = String::from("syntax: ");
        // Writing to a string cannot fail.
        let _ = text.write_str(usage);
        Self::err(text)
    }

    pub(super) fn not_http() -> Self {
        Self::err("this is POP3, not HTTP")
    }

    pub(super) fn unexpected_handshake() -> Self {
        Self::err("no TLS handshake is expected now")
    }

    pub(super) fn endless_line() -> Self {
        Self::err("a line without end, bye")
    }

    /// This refusal as the session's last word: one line of the client, one answer.
    pub(super) fn too_many_errors(self) -> Self {
        Self {
            text: format!("{}; too many errors, bye", self.text).into(),
            ..self
        }
    }
}

/// A line of a listing.
struct Numbered<T>(usize, T);

impl<T: fmt::Display> fmt::Display for Numbered<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.0, self.1)
    }
}

fn holding(maildrop: &Maildrop) -> String {
    let (count, octets) = maildrop.sum();
    format!("{} ({octets} octets)", messages(count))
}

fn messages(count: usize) -> String {
    match count {
        1 => "1 message".to_owned(),
        _ => format!("{count} messages"),
    }
}

#[cfg(test)]
mod tests;
