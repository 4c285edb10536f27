//! The session: every verb on one screen, states that own what they know.

use super::{Answer, Question, Reply};
use crate::sasl::Mechanism;
use bytes::Bytes;

/// What a listener is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// Mail from other servers (port 25).
    Mx,
    /// Mail from users (RFC 6409): requires AUTH.
    Submission,
    /// Mail from another agent of this site (RFC 2033).
    Lmtp,
}

/// Bounds that the machine itself enforces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Octets of one message, shown as SIZE.
    pub message_size: u64,
    /// Octets of one content line, CRLF included.
    pub line: usize,
    /// Octets of the header section.
    pub headers: usize,
    /// Accepted recipients of one transaction.
    pub recipients: usize,
    /// Errors (unknown, misplaced, malformed commands) before 421.
    pub bad_commands: usize,
    /// Refused recipients of one session before 421.
    pub unknown_recipients: usize,
}

/// What a session is made with.
#[derive(Debug, Clone)]
pub struct Settings {
    pub role: Role,
    /// Our name in the greeting and in replies.
    pub hostname: String,
    pub limits: Limits,
    /// TLS can be started by STARTTLS.
    pub starttls: bool,
    /// The connection is encrypted already (implicit TLS).
    pub tls: Option<TlsFacts>,
    /// Mechanisms to offer once AUTH may be used; empty: no AUTH here.
    pub mechanisms: Vec<Mechanism>,
    /// AUTH may be used without TLS.
    pub plaintext_auth: bool,
    /// Refuse 8-bit content that was not declared (RFC 6152).
    pub strict_8bitmime: bool,
}

/// What the driver learned from a TLS handshake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFacts {
    /// `TLSv1.3`
    pub version: String,
    /// `TLS_AES_128_GCM_SHA256`
    pub cipher: String,
    /// The tls-exporter value (RFC 9266), on TLS 1.3.
    pub exporter: Option<Vec<u8>>,
}

/// What the session knows now.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Facts {
    /// The argument of HELO, EHLO or LHLO; empty before it.
    pub helo: String,
    /// EHLO or LHLO was said.
    pub extended: bool,
    pub tls: Option<TlsFacts>,
    /// The authenticated account.
    pub user: Option<String>,
}

/// What the driver does next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Nothing to do before more input: flush what was written, read, [`Session::feed`].
    Read,
    /// Send this.
    Write(Reply),
    /// Decide, then [`Session::answer`].
    Ask(Question),
    /// Content, unstuffed, in order: belongs to the message of the last [`Question::Begin`].
    Body(Bytes),
    /// The transaction and what content came of it are over: forget them.
    Reset,
    /// Flush, drop what was read in clear, start TLS, then [`Session::secured`].
    Upgrade,
    /// Flush and close.
    Close,
}

/// One SMTP or LMTP session.
#[derive(Debug)]
pub struct Session {
    settings: Settings,
    facts: Facts,
}

impl Session {
    /// A session that has just been connected. Its first step is [`Question::Connect`].
    pub fn new(settings: Settings) -> Self {
        let facts = Facts {
            tls: settings.tls.clone(),
            ..Facts::default()
        };
        Self { settings, facts }
    }

    /// What is known about the client now.
    pub fn facts(&self) -> &Facts {
        &self.facts
    }

    /// Input, in any pieces.
    pub fn feed(&mut self, input: &[u8]) {
        let _ = input;
    }

    /// The next step. After [`Step::Ask`] it may not be called before [`Session::answer`].
    pub fn step(&mut self) -> Step {
        let _ = &self.settings;
        Step::Close
    }

    /// The answer to the last question.
    pub fn answer(&mut self, answer: Answer) {
        let _ = answer;
    }

    /// TLS was started: all that was known is forgotten (RFC 3207 §4.2).
    pub fn secured(&mut self, tls: TlsFacts) {
        self.facts = Facts {
            tls: Some(tls),
            ..Facts::default()
        };
    }

    /// The driver ends the session for a reason of its own (time-out, shutdown): the next steps write
    /// this reply and close.
    pub fn abort(&mut self, reply: Reply) {
        let _ = reply;
    }
}
