//! From the mirror to [`Config`]: defaults, bounds, and what must fit together.
//!
//! The reason of each default stands beside it. `config/postern.yaml` shows the same values to operators,
//! and a test compares both.

use super::fault::Collector;
use super::raw::{self, Raw};
use super::units::{ByteSize, Network, Span};
use super::{
    AdminConfig, AuthConfig, Certificate, Config, ExplainConfig, Limits, LogConfig, LogFormat, MimeLimits,
    PolicyLimits, Pop3Config, QuarantineConfig, StoreConfig, SubmissionConfig, dns, listeners,
};
use postern_proto::Address;
use std::path::{Component, Path, PathBuf};
use std::time::Duration;

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;
const SECOND: u64 = 1;
const MINUTE: u64 = 60;
const DAY: u64 = 24 * 60 * MINUTE;
const CENTURY: u64 = 36_500 * DAY;

/// Checks everything, notes each fault, and answers a configuration that is only right if none was noted.
pub(super) fn check(raw: Raw, base: &Path, faults: &mut Collector) -> Option<Config> {
    let hostname = hostname(raw.hostname, faults);
    let postmaster = postmaster(raw.postmaster, faults);
    let policy = raw.policy.unwrap_or_default();
    let policy_folder = policy.folder.as_ref().map(|folder| placed(base, folder));
    let store = store(raw.store.unwrap_or_default(), base, faults);
    Some(Config {
        state: placed(base, raw.state.as_deref().unwrap_or(".postern")),
        listeners: listeners::check(raw.listeners, faults),
        certificates: certificates(raw.tls.unwrap_or_default(), base, faults),
        pop3: pop3(&raw.pop3.unwrap_or_default(), &store, faults),
        store,
        policy_folder,
        policy: policy_limits(&policy, faults),
        limits: limits(&raw.limits.unwrap_or_default(), faults),
        quarantine: quarantine(&raw.quarantine.unwrap_or_default(), faults),
        explain: explain(&raw.explain.unwrap_or_default(), faults),
        auth: auth(&raw.auth.unwrap_or_default(), faults),
        dns: dns::dns(raw.dns.unwrap_or_default(), faults),
        sender_auth: dns::sender_auth(&raw.sender_auth.unwrap_or_default(), faults),
        submission: submission(&raw.submission.unwrap_or_default()),
        admin: admin(&raw.admin.unwrap_or_default(), base, faults),
        log: log(raw.log.unwrap_or_default(), faults),
        trusted: networks("trusted", raw.trusted, faults),
        detail_separator: detail_separator(raw.detail_separator, faults),
        strict_8bitmime: raw.strict_8bitmime.unwrap_or(false),
        hostname: hostname?,
        postmaster: postmaster?,
    })
}

/// A path of the file, seen from the process, without the `..` that the file's own folder puts into it. No
/// link is followed: what is printed is what was written.
fn placed(base: &Path, path: &str) -> PathBuf {
    let mut placed = PathBuf::new();
    for part in base.join(path).components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir if ends_with_name(&placed) => {
                placed.pop();
            }
            // Nothing is above the root.
            Component::ParentDir if placed.has_root() => {}
            part => placed.push(part),
        }
    }
    match placed.as_os_str().is_empty() {
        true => PathBuf::from("."),
        false => placed,
    }
}

fn ends_with_name(path: &Path) -> bool {
    matches!(path.components().next_back(), Some(Component::Normal(_)))
}

fn hostname(raw: Option<String>, faults: &mut Collector) -> Option<String> {
    let Some(name) = raw else {
        if !faults.has("hostname") {
            faults.add(
                "hostname",
                "missing; write this host's full name, such as mx.example.org",
            );
        }
        return None;
    };
    // RFC 5321 §4.1.2 Domain: the greeting and every Received line carry it, so it must be right.
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    if name.len() > 253 || !name.split('.').all(label) {
        let text = format!(
            "`{name}` is not a host name; write letters, digits, hyphens and dots, such as mx.example.org"
        );
        faults.add("hostname", text);
        return None;
    }
    Some(name.to_ascii_lowercase())
}

fn postmaster(raw: Option<String>, faults: &mut Collector) -> Option<Address> {
    let Some(text) = raw else {
        if !faults.has("postmaster") {
            // RFC 5321 §4.5.1: mail for postmaster must always be accepted, so somebody must receive it.
            let mend = "missing; write the local address that receives mail for postmaster and abuse, such as admin@example.org";
            faults.add("postmaster", mend);
        }
        return None;
    };
    Address::parse(&text)
        .map_err(|error| faults.add("postmaster", format!("`{text}` is {error}; write local@domain")))
        .ok()
}

fn certificates(raw: raw::Tls, base: &Path, faults: &mut Collector) -> Vec<Certificate> {
    let mut certificates = Vec::new();
    for (index, certificate) in raw.certificates.into_iter().enumerate() {
        let path = format!("tls.certificates[{index}]");
        match certificate {
            Some(raw::Certificate {
                chain: Some(chain),
                key: Some(key),
            }) => certificates.push(Certificate {
                chain: placed(base, &chain),
                key: placed(base, &key),
            }),
            _ if faults.has(&path) => {}
            _ => faults.add(path, "needs both files; write { chain: cert.pem, key: key.pem }"),
        }
    }
    certificates
}

fn store(raw: raw::Store, base: &Path, faults: &mut Collector) -> StoreConfig {
    if let Some(cassandra) = raw.cassandra {
        if raw.embedded.is_some() {
            faults.add("store", "names two stores; keep one of embedded and cassandra");
        }
        return StoreConfig::Cassandra(super::cassandra::check(cassandra, base, faults));
    }
    let embedded = raw.embedded.unwrap_or_default();
    StoreConfig::Embedded {
        // Room for the engine's journal and a compaction, and far from ENOSPC, which ends the process.
        reserve: embedded.reserve.map_or(512 * MIB, |size| size.0),
    }
}

fn policy_limits(raw: &raw::Policy, faults: &mut Collector) -> PolicyLimits {
    let mut bounds = Bounds {
        section: "policy",
        faults,
    };
    PolicyLimits {
        // A client waits for every call; a policy that needs longer says so beside itself.
        deadline: bounds.time("deadline", raw.deadline, 500, 1, 60_000),
        // The largest guests that people build (interpreters) begin at about 16 MiB.
        memory: bounds.size("memory", raw.memory, 64 * MIB, MIB, 4 * GIB - 1),
        // The slowest language starts within milliseconds; a start or a reload waits for one that hangs.
        trial: bounds.time("trial", raw.trial, 5 * SECOND * 1000, 1, MINUTE * 1000),
        // A copy of some files is over well within it, and nobody waits for it.
        settle: bounds.time("settle", raw.settle, 500, 10, MINUTE * 1000),
        // Interpreters with a library around them have some 40 MiB. It is read into memory.
        file: bounds.size("file", raw.file, 64 * MIB, 64 * KIB, GIB),
        // Each reserves some 8 GiB of address space (no memory), of which there are 128 TiB.
        instances: u32::try_from(bounds.count("instances", raw.instances, 64, 1, 1000)).unwrap_or(u32::MAX),
        // Nobody waits for them, and the processor is the mail's.
        shadow_instances: u32::try_from(bounds.count("shadow_instances", raw.shadow_instances, 4, 1, 1000))
            .unwrap_or(u32::MAX),
        // Each may keep a header section and 256 KiB of a message.
        shadow_queue: bounds.count("shadow_queue", raw.shadow_queue, 64, 0, 10_000),
        mime: mime(raw.mime.as_ref().unwrap_or(&raw::Mime::default()), faults),
    }
}

impl Default for PolicyLimits {
    /// What a file gets that says nothing of policies.
    fn default() -> Self {
        policy_limits(&raw::Policy::default(), &mut Collector::new(""))
    }
}

fn mime(raw: &raw::Mime, faults: &mut Collector) -> MimeLimits {
    let mut bounds = Bounds {
        section: "policy.mime",
        faults,
    };
    // Well above the largest message by default, so that trees are whole unless somebody means them not to be.
    let text = bounds.size("text", raw.text, 128 * MIB, 64 * KIB, 4 * GIB - 1);
    MimeLimits {
        // A digest of a busy list has some hundreds.
        parts: bounds.count("parts", raw.parts, 1000, 1, 100_000),
        // A chain of forwarded messages has a few; each level costs stack.
        depth: bounds.count("depth", raw.depth, 20, 1, 100),
        text,
        // Two of the largest at once, and some hundred of the usual ones.
        room: bounds.size("room", raw.room, (512 * MIB).max(2 * text), 2 * text, 1024 * GIB),
        // A name of a thousand characters in sections has some twenty.
        parameters: bounds.count("parameters", raw.parameters, 100, 10, 10_000),
    }
}

fn limits(raw: &raw::Limits, faults: &mut Collector) -> Limits {
    let mut b = Bounds {
        section: "limits",
        faults,
    };
    // RFC 5321 §4.5.3.1.7 asks for 64 KiB at least; large providers take 25 to 50 MB. Offsets that
    // policies see are 32 bits wide.
    let message_size = b.size("message_size", raw.message_size, 50 * MIB, 64 * KIB, 4 * GIB - 1);
    Limits {
        message_size,
        // RFC 5321 §4.5.3.1.6 has 1000 octets; real mail breaks that daily, with whole paragraphs in a line.
        line: b.octets("line", raw.line, 64 * KIB, 1000, 16 * MIB),
        // Far above what ARC chains and long recipient lists reach, and small enough to hold in memory.
        headers: b.octets("headers", raw.headers, 2 * MIB, 64 * KIB, 64 * MIB),
        // RFC 5321 §4.5.3.1.8: at least 100 must be accepted.
        recipients: b.count("recipients", raw.recipients, 1000, 100, 100_000),
        // Some ten KiB of memory each; beyond it one node should not be the only one.
        sessions: b.count("sessions", raw.sessions, 10_000, 1, 1_000_000),
        // The busiest sender known opens a few dozen; one address must not take everything.
        sessions_per_address: b.count(
            "sessions_per_address",
            raw.sessions_per_address,
            100,
            1,
            1_000_000,
        ),
        // A person's devices open a handful each; scripts somewhat more.
        sessions_per_account: b.count("sessions_per_account", raw.sessions_per_account, 50, 1, 1_000_000),
        // Twenty messages of the largest default size at once.
        bytes_in_flight: b.size(
            "bytes_in_flight",
            raw.bytes_in_flight,
            GIB.max(message_size),
            message_size,
            u64::MAX,
        ),
        // A person at a terminal mistypes less; a confused program never stops.
        bad_commands: b.count("bad_commands", raw.bad_commands, 20, 1, 100_000),
        // A stale mailing list has some; a guesser of addresses has hundreds.
        unknown_recipients: b.count("unknown_recipients", raw.unknown_recipients, 25, 1, 100_000),
        // RFC 5321 §6.3: at least 100.
        hops: b.count("hops", raw.hops, 100, 1, 10_000),
        // The store never writes a listing entry whose id is older than an hour, and counts on 45 minutes.
        transfer: b.time(
            "transfer",
            raw.transfer,
            30 * MINUTE * 1000,
            1,
            45 * MINUTE * 1000,
        ),
        // RFC 5321 §4.5.3.2.7: 5 minutes.
        smtp_command: b.time("smtp_command", raw.smtp_command, 5 * MINUTE * 1000, 1, DAY * 1000),
        // RFC 5321 §4.5.3.2.5: 3 minutes for each block.
        smtp_data: b.time("smtp_data", raw.smtp_data, 3 * MINUTE * 1000, 1, DAY * 1000),
        // RFC 1939 §3: at least 10 minutes.
        pop3_idle: b.time("pop3_idle", raw.pop3_idle, 10 * MINUTE * 1000, 1, DAY * 1000),
        // Two round trips of the slowest link with room; it costs no more than an idle session.
        tls_handshake: b.time(
            "tls_handshake",
            raw.tls_handshake,
            30 * SECOND * 1000,
            1,
            10 * MINUTE * 1000,
        ),
        // A proxy in our own network sends its header at once.
        proxy_header: b.time(
            "proxy_header",
            raw.proxy_header,
            5 * SECOND * 1000,
            1,
            MINUTE * 1000,
        ),
        // Most transactions end within it; systemd's own patience is 90 s.
        drain: b.time("drain", raw.drain, 60 * SECOND * 1000, 0, DAY * 1000),
    }
}

fn quarantine(raw: &raw::Quarantine, faults: &mut Collector) -> QuarantineConfig {
    let mut bounds = Bounds {
        section: "quarantine",
        faults,
    };
    QuarantineConfig {
        // A person on holiday finds it afterwards. Kept for no time it would be gone after a 250.
        keep: bounds.time(
            "keep",
            raw.keep,
            30 * DAY * 1000,
            60 * MINUTE * 1000,
            CENTURY * 1000,
        ),
        // A wave of held-back mail must not take the disk from what is delivered.
        max: bounds.size("max", raw.max, GIB, MIB, u64::MAX),
    }
}

fn explain(raw: &raw::Explain, faults: &mut Collector) -> ExplainConfig {
    let mut bounds = Bounds {
        section: "explain",
        faults,
    };
    ExplainConfig {
        // Who misses a message asks within the week.
        keep: bounds.time("keep", raw.keep, 7 * DAY * 1000, 0, 3650 * DAY * 1000),
        // Some hundred thousand refused attempts.
        max: bounds.size("max", raw.max, 64 * MIB, 64 * KIB, 16 * GIB),
        keep_deleted: raw.keep_deleted.unwrap_or(false),
        // What a crash may take; a clean end takes nothing.
        save: bounds.time("save", raw.save, 10 * 1000, 0, 60 * MINUTE * 1000),
    }
}

fn auth(raw: &raw::Auth, faults: &mut Collector) -> AuthConfig {
    let mut bounds = Bounds {
        section: "auth",
        faults,
    };
    let iterations = raw.scram_iterations.map(|count| count as usize);
    // What is guessed from a stolen store costs this much a try.
    let iterations = bounds.count("scram_iterations", iterations, 600_000, 600_000, 100_000_000);
    AuthConfig {
        scram: raw.scram.unwrap_or(false),
        scram_iterations: u32::try_from(iterations).unwrap_or(u32::MAX),
        // 19 MiB each, for some 20 ms; more would only wait for the processors.
        parallel_hashes: bounds.count("parallel_hashes", raw.parallel_hashes, 4, 1, 1024),
        hash_wait: bounds.time(
            "hash_wait",
            raw.hash_wait,
            10 * SECOND * 1000,
            SECOND * 1000,
            5 * MINUTE * 1000,
        ),
        // A client that polls every minute or five computes none in between.
        cache: bounds.time("cache", raw.cache, 10 * MINUTE * 1000, 0, DAY * 1000),
    }
}

fn submission(raw: &raw::Submission) -> SubmissionConfig {
    SubmissionConfig {
        check_sender: raw.check_sender.unwrap_or(true),
        // Programs send on behalf of others with honest envelopes; stricter sites turn it on.
        check_from: raw.check_from.unwrap_or(false),
    }
}

fn pop3(raw: &raw::Pop3, store: &StoreConfig, faults: &mut Collector) -> Pop3Config {
    if raw.lease.is_some() && matches!(store, StoreConfig::Embedded { .. }) {
        let text = "is for several gateways over one Cassandra; leave it out, for sessions of one gateway exclude each other without it";
        faults.add("pop3.lease", text);
    }
    let mut bounds = Bounds {
        section: "pop3",
        faults,
    };
    let mut time = |key, span: Option<_>, least, most| {
        let span = span?;
        Some(bounds.time(key, Some(span), 0, least, most))
    };
    Pop3Config {
        login_delay: time("login_delay", raw.login_delay, 1000, DAY * 1000),
        // Twice what nodes' clocks may differ by, and a try to renew.
        lease: time("lease", raw.lease, 30_000, 60 * MINUTE * 1000),
    }
}

fn admin(raw: &raw::Admin, base: &Path, faults: &mut Collector) -> AdminConfig {
    let read = raw.token.as_ref().map(|token| token.read(base));
    let token = match read.transpose() {
        Ok(token) => token,
        Err(text) => {
            faults.add("admin.token", text);
            None
        }
    };
    let mut bounds = Bounds {
        section: "admin",
        faults,
    };
    AdminConfig {
        token,
        // A few collectors and probes, and a person or two; each takes a file descriptor from mail.
        connections: bounds.count("connections", raw.connections, 64, 1, 10_000),
        // Whoever asks has the request ready when it connects.
        request: bounds.time("request", raw.request, 10 * SECOND * 1000, 1, 10 * MINUTE * 1000),
    }
}

fn log(raw: raw::Log, faults: &mut Collector) -> LogConfig {
    let level = raw.level.unwrap_or_else(|| "info".to_owned());
    if !is_level(&level) {
        let text = format!(
            "`{level}` is not a level; write error, warn, info, debug or trace, or module=level with commas"
        );
        faults.add("log.level", text);
    }
    LogConfig {
        format: match raw.format {
            Some(raw::LogFormat::Json) => LogFormat::Json,
            Some(raw::LogFormat::Text) | None => LogFormat::Text,
        },
        level,
    }
}

/// `info`, or `info,postern::net=debug`. The filter itself would take any word for a module's name.
pub(crate) fn is_level(text: &str) -> bool {
    text.split(',').all(|part| {
        let level = part.rsplit_once('=').map_or(part, |(_, level)| level);
        level.parse::<tracing::level_filters::LevelFilter>().is_ok()
    })
}

fn detail_separator(raw: Option<String>, faults: &mut Collector) -> char {
    let text = raw.unwrap_or_else(|| "+".to_owned());
    let mut chars = text.chars();
    match (chars.next(), chars.next()) {
        (Some(separator), None) if "+-=_#~".contains(separator) => separator,
        _ => {
            let text = format!("`{text}` cannot separate a detail; write one of + - = _ # ~");
            faults.add("detail_separator", text);
            '+'
        }
    }
}

/// The networks of the list at `path`; an item that is empty and was not refused before is a fault.
pub(super) fn networks(
    path: &str,
    raw: Option<Vec<Option<Network>>>,
    faults: &mut Collector,
) -> Vec<Network> {
    let mut networks = Vec::new();
    for (index, network) in raw.unwrap_or_default().into_iter().enumerate() {
        let path = format!("{path}[{index}]");
        match network {
            Some(network) => networks.push(network),
            None if faults.has(&path) => {}
            None => faults.add(path, "empty; write a network like 10.0.0.0/8 or remove it"),
        }
    }
    networks
}

/// Values of one section, each between its least and its most.
pub(super) struct Bounds<'a> {
    pub(super) section: &'static str,
    pub(super) faults: &'a mut Collector,
}

impl Bounds<'_> {
    fn size(&mut self, key: &str, raw: Option<ByteSize>, default: u64, least: u64, most: u64) -> u64 {
        let value = raw.unwrap_or(ByteSize(default));
        self.within(key, value, ByteSize(least), ByteSize(most)).0
    }

    fn octets(&mut self, key: &str, raw: Option<ByteSize>, default: u64, least: u64, most: u64) -> usize {
        usize::try_from(self.size(key, raw, default, least, most)).unwrap_or(usize::MAX)
    }

    pub(super) fn count(
        &mut self,
        key: &str,
        raw: Option<usize>,
        default: usize,
        least: usize,
        most: usize,
    ) -> usize {
        self.within(key, raw.unwrap_or(default), least, most)
    }

    /// All in milliseconds.
    pub(super) fn time(
        &mut self,
        key: &str,
        raw: Option<Span>,
        default: u64,
        least: u64,
        most: u64,
    ) -> Duration {
        let span = |millis| Span(Duration::from_millis(millis));
        let value = raw.unwrap_or(span(default));
        self.within(key, value, span(least), span(most)).0
    }

    fn within<T: PartialOrd + std::fmt::Display + Copy>(
        &mut self,
        key: &str,
        value: T,
        least: T,
        most: T,
    ) -> T {
        let path = format!("{}.{key}", self.section);
        if value < least {
            self.faults
                .add(path, format!("{value} is too little; write {least} or more"));
        } else if value > most {
            self.faults
                .add(path, format!("{value} is too much; write {most} or less"));
        }
        value
    }
}
