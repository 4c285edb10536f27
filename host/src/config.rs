//! The configuration, validated: every value has its unit and its default.

use postern_proto::Address;
use postern_proto::smtp;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// What a listener speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    Smtp(smtp::Role),
    Pop3,
    Admin,
}

/// How TLS is used on a listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TlsMode {
    StartTls,
    Implicit,
    None,
}

/// An IPv4 or IPv6 network, `10.0.0.0/8`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    pub address: std::net::IpAddr,
    pub prefix: u8,
}

/// One listening socket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listener {
    /// Default `role-port`.
    pub name: String,
    pub role: Role,
    pub address: SocketAddr,
    pub tls: TlsMode,
    /// `plaintext_auth: true` allows passwords before TLS.
    pub plaintext_auth: bool,
    /// `auth: true` offers AUTH on `mx`; always on for submission, never for lmtp by default.
    pub auth: bool,
    /// Networks whose connections begin with a PROXY header (v1 or v2).
    pub proxy: Vec<Network>,
    /// Refuse clients that talk before the greeting (`reject_early_talkers`, mx only, off by default).
    pub reject_early_talkers: bool,
}

/// One certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificate {
    pub chain: PathBuf,
    pub key: PathBuf,
}

/// The engine and its settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoreConfig {
    Embedded {
        /// Free space that is kept: under it (or under 4 × the bytes in flight) new mail gets 452 4.3.1.
        reserve: u64,
    },
}

/// All bounds, each with its default.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    pub message_size: u64,
    pub line: usize,
    pub headers: usize,
    pub recipients: usize,
    pub sessions: usize,
    pub sessions_per_address: usize,
    pub sessions_per_account: usize,
    /// Octets of messages in transfer and commit, all sessions together.
    pub bytes_in_flight: u64,
    pub bad_commands: usize,
    pub unknown_recipients: usize,
    /// Received fields before a message counts as looping.
    pub hops: usize,
    /// One transfer's total time; at most 45 minutes.
    pub transfer: Duration,
    /// Waiting for a command (RFC 5321 §4.5.3.2.7: 5 minutes).
    pub smtp_command: Duration,
    /// Waiting for more content (RFC 5321 §4.5.3.2.5: 3 minutes).
    pub smtp_data: Duration,
    /// POP3 autologout (RFC 1939 §3: at least 10 minutes).
    pub pop3_idle: Duration,
    /// Until a client must have authenticated or begun a transaction is not bounded; a TLS handshake is.
    pub tls_handshake: Duration,
    /// How long running sessions may go on after SIGTERM.
    pub drain: Duration,
}

/// Quarantine's bounds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuarantineConfig {
    pub keep: Duration,
    pub max: u64,
}

/// Logins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuthConfig {
    pub scram: bool,
    pub scram_iterations: u32,
    /// Hashes computed at the same time.
    pub parallel_hashes: usize,
    /// How long a password that was right is remembered (as a keyed hash).
    pub cache: Duration,
}

/// Submission's rules about senders.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SubmissionConfig {
    /// MAIL FROM must be an address of the account.
    pub check_sender: bool,
    /// So must `From:`.
    pub check_from: bool,
}

/// POP3.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Pop3Config {
    /// Shortest time between two logins of one account.
    pub login_delay: Option<Duration>,
}

/// The whole configuration of a gateway. Paths are absolute or relative to the process, resolved against
/// the file that named them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    pub hostname: String,
    pub state: PathBuf,
    pub listeners: Vec<Listener>,
    pub certificates: Vec<Certificate>,
    pub store: StoreConfig,
    pub policy_folder: Option<PathBuf>,
    pub postmaster: Address,
    pub limits: Limits,
    pub quarantine: QuarantineConfig,
    pub auth: AuthConfig,
    pub submission: SubmissionConfig,
    pub pop3: Pop3Config,
    /// Networks exempt from limits by address (loopback always is).
    pub trusted: Vec<Network>,
    /// What stands between a local part and its detail.
    pub detail_separator: char,
    pub strict_8bitmime: bool,
}
