//! Every SMTP reply has its digits, enhanced code and words here, and its one encoder.
//!
//! A reply can only be made by this module, so none can carry a line break, a control character or a line
//! longer than RFC 5321 allows: what comes from outside (host names, queue ids, [policies](policy)) is
//! cleaned when the reply is made. Our own trouble is 4yz, never 5yz.

mod policy;

#[cfg(test)]
mod tests;

pub use policy::{Flaw, Refusal};

use bytes::BufMut;
use std::borrow::Cow;
use std::fmt;

/// Text of one line. RFC 5321 §4.5.3.1.5 allows 512 octets with code and CRLF; `250-5.7.999 ` and CRLF
/// take at most 14, and the rest is room for eyes.
const LINE: usize = 480;

/// An enhanced status code (RFC 3463): class, subject, detail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Enhanced(pub u8, pub u16, pub u16);

impl fmt::Display for Enhanced {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.0, self.1, self.2)
    }
}

/// An SMTP reply (RFC 5321 §4.2): 200–599, an optional enhanced code, one or more lines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    code: u16,
    enhanced: Option<Enhanced>,
    lines: Vec<Cow<'static, str>>,
}

/// One row a reply: its name, its codes, its words.
macro_rules! replies {
    ($($(#[$doc:meta])* $name:ident: $code:literal ($class:literal, $subject:literal, $detail:literal) $text:literal;)+) => {
        impl Reply {
            $($(#[$doc])* pub fn $name() -> Self {
                Self::fixed($code, Some(Enhanced($class, $subject, $detail)), $text)
            })+
        }
    };
}

// What went well.
replies! {
    ok: 250 (2, 0, 0) "OK";
    sender_ok: 250 (2, 1, 0) "Sender OK";
    recipient_ok: 250 (2, 1, 5) "Recipient OK";
    ready_for_tls: 220 (2, 0, 0) "Ready to start TLS";
    authenticated: 235 (2, 7, 0) "Authentication succeeded";
    /// RFC 5321 §3.5.3: neither yes nor no, so that nobody harvests addresses.
    cannot_verify: 252 (2, 1, 5) "Cannot verify; send mail to it and see";
}

// What the client did wrong with commands.
replies! {
    unknown_command: 500 (5, 5, 1) "Unknown command";
    line_too_long: 500 (5, 5, 2) "Line too long";
    /// RFC 4954 §4: over 12288 octets.
    auth_line_too_long: 500 (5, 5, 6) "Authentication line too long";
    /// NUL, a bare CR or LF, or octets that no command may have.
    unclean_line: 500 (5, 5, 2) "Line has octets that do not belong in a command; lines end with CRLF";
    /// A line that was refused already and does not end.
    endless_line: 421 (4, 7, 0) "A line without end, closing";
    not_implemented: 502 (5, 5, 1) "Command not implemented";
    syntax: 501 (5, 5, 4) "Syntax error in arguments";
    no_arguments: 501 (5, 5, 4) "This command takes no arguments";
    bad_sender_syntax: 501 (5, 1, 7) "Malformed sender address";
    bad_recipient_syntax: 501 (5, 1, 3) "Malformed recipient address";
    bad_parameter: 501 (5, 5, 4) "Malformed parameter";
    unknown_parameter: 555 (5, 5, 4) "Parameter not recognised or not implemented";
    hello_first: 503 (5, 5, 1) "Say hello first";
    /// An extension's verb after HELO.
    extended_hello_first: 503 (5, 5, 1) "Say EHLO first";
    nested_mail: 503 (5, 5, 1) "A transaction is open; RSET ends it";
    mail_first: 503 (5, 5, 1) "MAIL first";
    recipient_first: 503 (5, 5, 1) "No valid recipients";
    /// RFC 3030 §2: DATA and BDAT cannot be used in the same transaction, nor RCPT after BDAT.
    chunking_begun: 503 (5, 5, 1) "Chunks have begun; only BDAT or RSET can follow";
    /// A content command that is malformed leaves no way to tell content from commands.
    lost_in_chunks: 501 (5, 5, 4) "Malformed BDAT; what follows cannot be told from commands, closing";
    /// RFC 5321 §3.1: after a 554 greeting only QUIT is served.
    not_served: 503 (5, 5, 1) "No service was offered; QUIT";
    spoke_before_greeting: 554 (5, 5, 1) "You spoke before the greeting";
    /// Logged, it tells an operator what the client wants.
    unexpected_tls: 421 (4, 7, 0) "TLS on a port that begins in clear (STARTTLS), closing";
    foreign_protocol: 421 (4, 7, 0) "This is a mail server, closing";
    too_many_errors: 421 (4, 7, 0) "Too many errors, closing";
    too_many_unknown_recipients: 421 (4, 7, 0) "Too many refused recipients, closing";
}

// TLS and authentication.
replies! {
    tls_active: 503 (5, 5, 1) "TLS is active already";
    tls_required: 530 (5, 7, 0) "Issue STARTTLS first";
    /// RFC 4954 §6.
    auth_required: 530 (5, 7, 0) "Authentication required";
    /// RFC 4954 §4: not before TLS.
    auth_needs_tls: 538 (5, 7, 11) "Encryption required for authentication";
    auth_done: 503 (5, 5, 1) "Already authenticated";
    auth_in_transaction: 503 (5, 5, 1) "AUTH is not permitted in a transaction";
    unknown_mechanism: 504 (5, 5, 4) "Mechanism not offered here";
    auth_malformed: 501 (5, 5, 2) "Malformed authentication exchange";
    auth_cancelled: 501 (5, 7, 0) "Authentication cancelled";
    auth_denied: 535 (5, 7, 8) "Authentication credentials invalid";
    auth_unavailable: 454 (4, 7, 0) "Authentication unavailable for now";
    sender_not_owned: 553 (5, 7, 1) "This sender address is not yours";
}

// Envelopes.
replies! {
    /// RFC 6531 §3.5.
    smtputf8_required: 553 (5, 6, 7) "Non-ASCII address without SMTPUTF8";
    /// As many checks of senders as one session has were made.
    too_many_senders: 451 (4, 7, 0) "Too many senders in one session, continue in another";
    too_many_recipients: 452 (4, 5, 3) "Too many recipients";
    no_such_user: 550 (5, 1, 1) "No such mailbox here";
    relay_denied: 550 (5, 7, 1) "Relaying denied";
    mailbox_full: 452 (4, 2, 2) "Mailbox full";
}

// Content.
replies! {
    too_big: 552 (5, 3, 4) "Message too big";
    /// What follows is not read.
    too_big_to_skip: 552 (5, 3, 4) "Message too big, closing";
    /// RFC 5321 §2.3.8. 554 because the transaction fails; 5.6.0 because the media is at fault.
    bare_cr: 554 (5, 6, 0) "Content has a bare CR; lines end with CRLF";
    bare_lf: 554 (5, 6, 0) "Content has a bare LF; lines end with CRLF";
    content_nul: 554 (5, 6, 0) "Content has a NUL";
    content_line_too_long: 554 (5, 6, 0) "Content has a line that is too long";
    headers_too_long: 554 (5, 6, 0) "Header section too long";
    undeclared_8bit: 554 (5, 6, 1) "Content has 8-bit octets, but BODY=8BITMIME was not declared";
    mail_loop: 554 (5, 4, 6) "Mail loop detected";
}

// Our own trouble, and the end.
replies! {
    our_trouble: 451 (4, 3, 0) "Trouble on our side, try again later";
    disk_full: 452 (4, 3, 1) "Storage full, try again later";
    too_much_in_flight: 452 (4, 3, 1) "Too much mail in transfer, try again later";
    shutting_down: 421 (4, 3, 2) "Shutting down, try again later";
    time_out: 421 (4, 4, 2) "Time-out, closing";
    too_slow: 421 (4, 4, 2) "Transfer took too long, closing";
    /// A policy refused and gave no words of its own.
    policy_refused: 550 (5, 7, 1) "Refused by policy";
    policy_deferred: 451 (4, 7, 1) "Deferred by policy, try again later";
    quarantine_full: 452 (4, 3, 1) "Quarantine full, try again later";
}

// Replies that carry a name or a number, and those to which RFC 2034 §4 gives no enhanced code.
impl Reply {
    /// The greeting.
    pub fn greeting(hostname: &str, protocol: &str) -> Self {
        Self::made(220, None, &format!("{hostname} {protocol} Postern ready"))
    }

    /// Instead of a greeting, where a limit of sessions is met.
    pub fn too_many_sessions(hostname: &str) -> Self {
        let text = format!("{hostname} too many sessions, try later");
        Self::made(421, Some(Enhanced(4, 3, 2)), &text)
    }

    /// To HELO.
    pub fn hello(hostname: &str) -> Self {
        Self::made(250, None, hostname)
    }

    /// To EHLO and LHLO: our name and the keywords.
    pub fn extended_hello(hostname: &str, keywords: Vec<Cow<'static, str>>) -> Self {
        let mut reply = Self::hello(hostname);
        reply.lines.extend(keywords);
        reply
    }

    /// To HELP.
    pub fn help(verbs: &str) -> Self {
        Self::made(214, Some(Enhanced(2, 0, 0)), verbs)
    }

    /// To QUIT.
    pub fn bye(hostname: &str) -> Self {
        Self::made(221, Some(Enhanced(2, 0, 0)), &format!("{hostname} closing"))
    }

    /// Content may come.
    pub fn start_content() -> Self {
        Self::fixed(354, None, "Send content, end with CRLF.CRLF")
    }

    /// To a BDAT that is not the last.
    pub fn chunk_taken(octets: u64) -> Self {
        Self::made(250, Some(Enhanced(2, 0, 0)), &format!("{octets} octets taken"))
    }

    /// A SASL challenge, already in base64. It may be longer than other lines (RFC 4954 §4).
    pub fn challenge(base64: String) -> Self {
        Self {
            code: 334,
            enhanced: None,
            lines: vec![Cow::Owned(base64)],
        }
    }

    /// The message is durable: the promise of this gateway.
    pub fn delivered(queue_id: &str) -> Self {
        Self::made(250, Some(Enhanced(2, 0, 0)), &format!("Delivered as {queue_id}"))
    }
}

impl Reply {
    fn fixed(code: u16, enhanced: Option<Enhanced>, text: &'static str) -> Self {
        Self {
            code,
            enhanced,
            lines: vec![Cow::Borrowed(text)],
        }
    }

    fn made(code: u16, enhanced: Option<Enhanced>, text: &str) -> Self {
        Self {
            code,
            enhanced,
            lines: vec![Cow::Owned(clean(text))],
        }
    }

    /// The basic code.
    pub fn code(&self) -> u16 {
        self.code
    }

    /// The enhanced code, where the reply has one.
    pub fn enhanced(&self) -> Option<Enhanced> {
        self.enhanced
    }

    /// The text, line by line.
    pub fn lines(&self) -> impl Iterator<Item = &str> {
        self.lines.iter().map(AsRef::as_ref)
    }

    /// The text as one line, for logs.
    pub fn text(&self) -> String {
        self.lines.join(" / ")
    }

    /// 2yz or 3yz.
    pub fn is_positive(&self) -> bool {
        self.code < 400
    }

    /// 4yz: the client is asked to try again.
    pub fn is_transient(&self) -> bool {
        (400..500).contains(&self.code)
    }

    /// 5yz: the client is told not to try again.
    pub fn is_permanent(&self) -> bool {
        self.code >= 500
    }

    /// The same words as 421, the code of a server that closes.
    #[must_use]
    pub(super) fn closing(self) -> Self {
        Self { code: 421, ..self }
    }

    /// Non-ASCII text is only for clients that asked for SMTPUTF8 (RFC 6531 §3.7.4.2).
    #[must_use]
    pub fn into_ascii(mut self) -> Self {
        for line in self.lines.iter_mut().filter(|line| !line.is_ascii()) {
            *line = Cow::Owned(line.chars().map(|c| if c.is_ascii() { c } else { '?' }).collect());
        }
        self
    }

    /// The wire form: the code on every line (RFC 5321 §4.2.1), the enhanced code too (RFC 2034 §4).
    pub fn encode(&self, out: &mut impl BufMut) {
        let last = self.lines.len().saturating_sub(1);
        for (index, line) in self.lines.iter().enumerate() {
            out.put_slice(self.code.to_string().as_bytes());
            out.put_u8(if index == last { b' ' } else { b'-' });
            if let Some(enhanced) = self.enhanced {
                out.put_slice(enhanced.to_string().as_bytes());
                out.put_u8(b' ');
            }
            out.put_slice(line.as_bytes());
            out.put_slice(b"\r\n");
        }
    }
}

/// One line that cannot break out of its reply: no control characters (C1 included), bounded.
fn clean(text: &str) -> String {
    let mut line = String::with_capacity(text.len().min(LINE));
    for character in text.chars() {
        let character = if character.is_control() { ' ' } else { character };
        if line.len() + character.len_utf8() > LINE {
            break;
        }
        line.push(character);
    }
    line
}
