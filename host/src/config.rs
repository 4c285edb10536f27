//! The configuration, validated: every value has its unit and its default.
//!
//! A file becomes a [`Config`] in three steps: `decode` turns YAML into the mirror in `raw`, `check` turns
//! that into this, and `fault` gathers all that is wrong on the way. Nothing half-right leaves this module.

mod cassandra;
mod check;
pub(crate) mod decode;
mod dns;
pub(crate) mod fault;
mod listeners;
mod raw;
#[cfg(test)]
mod tests;
pub mod units;

pub use cassandra::{CassandraConfig, CassandraLimits, CassandraLogin, Consistency};
pub(crate) use check::is_level;
pub use dns::{DnsConfig, SenderAuthConfig};
pub use fault::{Fault, Faults};
pub use units::{Network, Secret};

use postern_proto::Address;
use postern_proto::sasl::Mechanism;
use postern_proto::smtp;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
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
    Cassandra(CassandraConfig),
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
    /// Waiting for the PROXY header of a connection from a proxy.
    pub proxy_header: Duration,
    /// How long running sessions may go on after SIGTERM.
    pub drain: Duration,
}

/// Quarantine's bounds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuarantineConfig {
    pub keep: Duration,
    pub max: u64,
}

/// What is told of messages afterwards.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExplainConfig {
    /// How long attempts, and deleted messages' records, are kept; zero: nothing is recorded of any message.
    pub keep: Duration,
    /// Octets of the attempts in memory, and as many of deleted messages' records in the store.
    pub max: u64,
    /// A stored message has a second record, which outlives it.
    pub keep_deleted: bool,
    /// How often attempts are saved to disk; zero: they end with the process.
    pub save: Duration,
}

/// Logins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuthConfig {
    pub scram: bool,
    pub scram_iterations: u32,
    /// Hashes computed at the same time.
    pub parallel_hashes: usize,
    /// How long a login waits for its turn to be hashed.
    pub hash_wait: Duration,
    /// How long a password that was right is remembered (as a keyed hash).
    pub cache: Duration,
}

impl AuthConfig {
    /// The mechanisms of every listener that has logins, the best first; which of them a connection may use,
    /// the protocols know.
    pub fn mechanisms(&self) -> Vec<Mechanism> {
        use Mechanism::{Login, Plain, ScramSha256, ScramSha256Plus};
        match self.scram {
            true => vec![ScramSha256Plus, ScramSha256, Plain, Login],
            false => vec![Plain, Login],
        }
    }
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
    /// Sessions of one account exclude each other over all gateways; one that died holds its maildrop for so long.
    pub lease: Option<Duration>,
}

/// What policies may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PolicyLimits {
    /// For one call, where the file beside a policy says nothing else.
    pub deadline: Duration,
    /// Linear memory of one call, likewise.
    pub memory: u64,
    /// For the start of a policy and what it says to its settings; its deadline, where that is longer.
    pub trial: Duration,
    /// How long nothing must have happened in the folder before it is looked at.
    pub settle: Duration,
    /// Octets of one component's file.
    pub file: u64,
    /// Calls that run at the same time.
    pub instances: u32,
    /// Calls beside decisions that run at the same time, and how many wait for a place.
    pub shadow_instances: u32,
    pub shadow_queue: usize,
    pub mime: MimeLimits,
}

/// The message as a tree of parts, made once for all policies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MimeLimits {
    pub parts: usize,
    /// Levels below the root.
    pub depth: usize,
    /// Octets of the largest text that is taken apart.
    pub text: u64,
    /// Octets of all texts that are taken apart at the same time, twice over: as they came and decoded.
    pub room: u64,
    /// Parameters of one part's content fields.
    pub parameters: usize,
}

/// The admin listener.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AdminConfig {
    /// What `/metrics` asks for as `Authorization: Bearer`; None: it asks for nothing.
    pub token: Option<Secret>,
    /// Connections of all admin listeners.
    pub connections: usize,
    /// How long a request is waited for.
    pub request: Duration,
}

/// How a log line is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    Text,
    Json,
}

/// Logging.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogConfig {
    pub format: LogFormat,
    /// `info`, or by module: `info,postern::net=debug`.
    pub level: String,
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
    pub policy: PolicyLimits,
    pub postmaster: Address,
    pub limits: Limits,
    pub quarantine: QuarantineConfig,
    pub explain: ExplainConfig,
    pub auth: AuthConfig,
    pub dns: DnsConfig,
    pub sender_auth: SenderAuthConfig,
    pub submission: SubmissionConfig,
    pub pop3: Pop3Config,
    pub admin: AdminConfig,
    pub log: LogConfig,
    /// Networks exempt from limits by address and from sender authentication (loopback always is).
    pub trusted: Vec<Network>,
    /// What stands between a local part and its detail.
    pub detail_separator: char,
    pub strict_8bitmime: bool,
}

impl Config {
    /// Reads and checks a file. Paths in it are relative to the folder it is in.
    pub fn load(path: &Path) -> Result<Self, Faults> {
        let text = std::fs::read_to_string(path).map_err(|error| {
            Faults(vec![Fault {
                path: String::new(),
                line: None,
                text: format!(
                    "cannot read {}: {error}; name a readable file with --config",
                    path.display()
                ),
            }])
        })?;
        Self::parse(&text, path.parent().unwrap_or(Path::new("")))
    }

    /// Checks a configuration that is given as text; its paths are relative to `base`.
    pub fn parse(text: &str, base: &Path) -> Result<Self, Faults> {
        let mut faults = fault::Collector::new(text);
        let raw = decode::decode(text, &mut faults)?;
        let config = check::check(raw, base, &mut faults);
        faults.unless_any(config)
    }
}
