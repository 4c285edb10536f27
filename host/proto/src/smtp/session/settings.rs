//! What a session is made with, and what it comes to know.

use crate::sasl::Mechanism;

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
    /// Errors (unknown, misplaced, malformed commands, failed logins) that are answered; the next is 421.
    pub bad_commands: usize,
    /// Recipients of one session refused for good that are answered; the next is 421.
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
