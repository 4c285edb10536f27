//! `NN-name.yaml` beside `NN-name.wasm`: what the administrator says about one policy.
//!
//! All of it is optional. An unknown key, a value without its unit or a failure policy that its question
//! cannot have refuses the policy: one line with key, line and mend of every such fault.

mod dns;

pub(super) use dns::{DnsGrant, RecordType};

use super::limits::Limits;
use crate::config::decode::decode;
use crate::config::fault::{Collector, Faults};
use crate::config::units::{ByteSize, Span};
use serde::Deserialize;
use std::sync::Arc;
use std::time::Duration;

/// What one policy is given.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Manifest {
    pub(super) state: State,
    pub(super) settings: Arc<serde_json::Value>,
    /// None: `kv` answers `not granted`.
    pub(super) kv: Option<KvGrant>,
    /// None: `dns` answers `not granted`.
    pub(super) dns: Option<DnsGrant>,
    pub(super) limits: Limits,
    pub(super) failure: FailurePolicies,
}

/// Whether it is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    Enabled,
    Disabled,
}

/// A share of the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct KvGrant {
    pub(super) namespace: String,
    pub(super) bytes: u64,
}

/// What a failed call comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum OnFailure {
    /// 4xx: the mail comes again.
    Defer,
    Reject,
    /// Yes, and no later filter is asked.
    Accept,
    /// As if the policy were not installed.
    Skip,
}

/// One answer to failure for each question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FailurePolicies {
    pub(super) connect: OnFailure,
    pub(super) mail: OnFailure,
    pub(super) rcpt: OnFailure,
    pub(super) message: OnFailure,
    pub(super) router: OnFailure,
    pub(super) quota: OnFailure,
}

/// An upper bound for what one policy may keep, unless its grant says otherwise.
const KV_BYTES: u64 = 16 << 20;
/// A client waits for the answer (RFC 5321 §4.5.3.2.6 gives it ten minutes in all).
const MIB: u64 = 1 << 20;
const LONGEST_DEADLINE: Duration = Duration::from_secs(60);

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    enabled: Option<bool>,
    mode: Option<String>,
    settings: Option<serde_json::Map<String, serde_json::Value>>,
    grants: Option<RawGrants>,
    limits: Option<RawLimits>,
    failure: Option<RawFailure>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawGrants {
    kv: Option<RawKv>,
    dns: Option<dns::RawDns>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawKv {
    bytes: Option<ByteSize>,
    namespace: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawLimits {
    deadline: Option<Span>,
    memory: Option<ByteSize>,
    table_elements: Option<usize>,
    host_calls: Option<u32>,
    dns: Option<u32>,
    read: Option<ByteSize>,
    output: Option<ByteSize>,
    log_lines: Option<u32>,
    edits: Option<u32>,
    edited: Option<ByteSize>,
    addresses: Option<usize>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawFailure {
    connect: Option<OnFailure>,
    mail: Option<OnFailure>,
    rcpt: Option<OnFailure>,
    message: Option<OnFailure>,
    router: Option<OnFailure>,
    quota: Option<OnFailure>,
    default: Option<OnFailure>,
}

impl Manifest {
    /// Reads the text of the file, empty where there is none; `name` is the policy's, without its number, and
    /// `usual` holds where the file says nothing.
    pub(super) fn parse(text: &str, name: &str, usual: Limits) -> Result<Self, String> {
        let mut faults = Collector::new(text);
        let raw: Raw = decode(text, &mut faults).map_err(|faults| one_line(&faults))?;
        if let Some(mode) = raw.mode.filter(|mode| mode != "enforce") {
            faults.add("mode", format!("there is no mode `{mode}`; write enforce"));
        }
        let mut grants = raw.grants.unwrap_or_default();
        let manifest = Self {
            state: match raw.enabled {
                Some(false) => State::Disabled,
                Some(true) | None => State::Enabled,
            },
            settings: Arc::new(serde_json::Value::Object(raw.settings.unwrap_or_default())),
            dns: dns::grant(grants.dns.take(), &mut faults),
            kv: kv(grants, name, &mut faults),
            limits: limits(&raw.limits.unwrap_or_default(), usual, &mut faults),
            failure: failures(&raw.failure.unwrap_or_default(), &mut faults),
        };
        let made = faults.unless_any(Some(manifest));
        made.map_err(|faults| one_line(&faults))
    }
}

/// It stands in listings and in the log.
fn one_line(faults: &Faults) -> String {
    let lines: Vec<String> = faults.0.iter().map(ToString::to_string).collect();
    lines.join("; ")
}

fn limits(raw: &RawLimits, usual: Limits, faults: &mut Collector) -> Limits {
    let size = |said: Option<ByteSize>, usual: u64| said.map_or(usual, |size| size.0);
    let octets = |value: u64| usize::try_from(value).unwrap_or(usize::MAX);
    let limits = Limits {
        deadline: raw.deadline.map_or(usual.deadline, |span| span.0),
        memory: size(raw.memory, usual.memory),
        table_elements: raw.table_elements.unwrap_or(usual.table_elements),
        host_calls: raw.host_calls.unwrap_or(usual.host_calls),
        dns: raw.dns.unwrap_or(usual.dns),
        read: size(raw.read, usual.read),
        output: octets(size(raw.output, usual.output as u64)),
        log_lines: raw.log_lines.unwrap_or(usual.log_lines),
        edits: raw.edits.unwrap_or(usual.edits),
        edited: size(raw.edited, usual.edited),
        addresses: raw.addresses.unwrap_or(usual.addresses),
    };
    let bounds = [
        (
            "deadline",
            !limits.deadline.is_zero() && limits.deadline <= LONGEST_DEADLINE,
            "1ms to 60s",
        ),
        (
            "memory",
            (MIB..4096 * MIB).contains(&limits.memory),
            "1MiB to 4095MiB",
        ),
        // The engine has eight tables of 40,000 for each component.
        (
            "table_elements",
            (1..=320_000).contains(&limits.table_elements),
            "1 to 320000",
        ),
        ("host_calls", limits.host_calls >= 1, "1 or more"),
        ("dns", (1..=10_000).contains(&limits.dns), "1 to 10000"),
        // One piece of a message, and the shortest of answers with its text.
        ("read", limits.read >= 64 << 10, "64KiB or more"),
        (
            "output",
            (4 << 10..=256 << 20).contains(&limits.output),
            "4KiB to 256MiB",
        ),
        (
            "addresses",
            (1..=100_000).contains(&limits.addresses),
            "1 to 100000",
        ),
        // Edits are made in memory, to a header section that is in memory.
        ("edited", limits.edited <= 64 * MIB, "64MiB or less"),
    ];
    for (key, _, mend) in bounds.iter().filter(|(_, holds, _)| !holds) {
        faults.add(format!("limits.{key}"), format!("out of bounds; write {mend}"));
    }
    limits
}

fn kv(grants: RawGrants, name: &str, faults: &mut Collector) -> Option<KvGrant> {
    let kv = grants.kv?;
    let namespace = kv.namespace.unwrap_or_else(|| name.to_owned());
    let fits = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    if namespace.is_empty() || namespace.len() > 64 || !namespace.chars().all(fits) {
        let text = "not a name; write up to 64 letters, digits, -, _ or .";
        faults.add("grants.kv.namespace", text);
    }
    Some(KvGrant {
        namespace,
        bytes: kv.bytes.map_or(KV_BYTES, |size| size.0),
    })
}

fn failures(raw: &RawFailure, faults: &mut Collector) -> FailurePolicies {
    let default = raw.default.unwrap_or(OnFailure::Defer);
    let filter = |said: Option<OnFailure>| said.unwrap_or(default);
    // `accept` means that later filters are not asked; nothing of the kind may be said about where mail goes
    // or how much of it fits.
    let mut other = |key: &str, said: Option<OnFailure>| match (said, default) {
        (Some(OnFailure::Accept), _) => {
            let text = "accept is for filters only; write defer, reject or skip";
            faults.add(format!("failure.{key}"), text);
            OnFailure::Defer
        }
        (Some(said), _) => said,
        (None, OnFailure::Accept) => OnFailure::Defer,
        (None, default) => default,
    };
    FailurePolicies {
        connect: filter(raw.connect),
        mail: filter(raw.mail),
        rcpt: filter(raw.rcpt),
        message: filter(raw.message),
        router: other("router", raw.router),
        quota: other("quota", raw.quota),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn usual() -> Limits {
        Limits::usual(Duration::from_millis(500), 64 << 20)
    }

    fn parse(text: &str) -> Result<Manifest, String> {
        Manifest::parse(text, "greylist", usual())
    }

    #[test]
    fn without_a_word_a_policy_is_enabled_has_no_grants_and_defers_when_it_fails() {
        for text in ["", "# nothing\n", "{}"] {
            let manifest = parse(text).unwrap();
            assert_eq!(manifest.state, State::Enabled, "{text:?}");
            assert_eq!((manifest.kv, manifest.dns), (None, None));
            assert_eq!(*manifest.settings, serde_json::json!({}));
            assert_eq!(manifest.limits, usual());
            assert_eq!(manifest.failure.message, OnFailure::Defer);
            assert_eq!(manifest.failure.quota, OnFailure::Defer);
        }
    }

    #[test]
    fn everything_that_may_be_said_is_taken() {
        let manifest = parse(
            "enabled: false\nmode: enforce\nsettings: { links: { max: 3 } }\ngrants: { kv: { bytes: 1MiB } }\n\
             limits: { deadline: 2s, memory: 128MiB, table_elements: 1, host_calls: 2, dns: 7, read: 1MiB, output: 8KiB,\n\
             \x20 log_lines: 0, edits: 4, edited: 5KiB, addresses: 6 }\nfailure: { message: skip, default: reject }\n",
        )
        .unwrap();
        assert_eq!(manifest.state, State::Disabled);
        assert_eq!(*manifest.settings, serde_json::json!({ "links": { "max": 3 } }));
        let kv = manifest.kv.unwrap();
        assert_eq!((kv.namespace.as_str(), kv.bytes), ("greylist", 1 << 20));
        let limits = Limits {
            deadline: Duration::from_secs(2),
            memory: 128 << 20,
            table_elements: 1,
            host_calls: 2,
            dns: 7,
            read: 1 << 20,
            output: 8 << 10,
            log_lines: 0,
            edits: 4,
            edited: 5 << 10,
            addresses: 6,
        };
        assert_eq!(manifest.limits, limits);
        assert_eq!(manifest.failure.message, OnFailure::Skip);
        assert_eq!(manifest.failure.router, OnFailure::Reject);
    }

    #[test]
    fn what_is_not_known_is_refused_with_its_key_and_line() {
        let error = parse("enabled: true\nlimits:\n  dedline: 1s\n").unwrap_err();
        assert!(error.contains("limits") && error.contains("dedline"), "{error}");
        assert!(error.contains("line 3"), "{error}");
        let error = parse("failure: { message: skipp }").unwrap_err();
        assert!(
            error.starts_with("failure.message: unknown variant `skipp`"),
            "its place is named once: {error}"
        );
        let error = parse("settings: {\n").unwrap_err();
        assert!(
            error.starts_with("this is not YAML: did not find expected"),
            "{error}"
        );
        let error = parse("mode: shadow\n").unwrap_err();
        assert_eq!(error, "mode: there is no mode `shadow`; write enforce (line 1)");
        assert!(
            parse("limits: { deadline: 5 }").is_err(),
            "a number without its unit"
        );
        assert!(
            parse("grants: { files: {} }").is_err(),
            "nothing that is not served can be granted"
        );
        assert!(parse("grants: { kv: { namespace: \"a b\" } }").is_err());
    }

    #[test]
    fn all_that_is_wrong_is_named_at_once_on_one_line() {
        let error = parse(
            "mode: shadow\nlimits: { dedline: 1s, output: 1B, read: 1KiB }\nfailure: { quota: accept }\n",
        );
        let error = error.unwrap_err();
        for (fault, line) in [
            ("mode: there is no mode `shadow`", 1),
            ("limits.dedline: unknown field `dedline`", 2),
            ("limits.output: out of bounds; write 4KiB to 256MiB", 2),
            ("limits.read: out of bounds; write 64KiB or more", 2),
            ("failure.quota: accept is for filters only", 3),
        ] {
            let (_, rest) = error
                .split_once(fault)
                .unwrap_or_else(|| panic!("{fault}: {error}"));
            let (rest, _) = rest.split_once(')').unwrap();
            assert!(rest.ends_with(&format!("(line {line}")), "{fault}: {error}");
        }
        assert!(!error.contains('\n'));
    }

    #[test]
    fn bounds_hold_at_both_edges() {
        for (key, good, bad) in [
            ("deadline", "60s", "60001ms"),
            ("deadline", "1ms", "0s"),
            ("memory", "1MiB", "1023KiB"),
            ("memory", "4095MiB", "4GiB"),
            ("table_elements", "320000", "320001"),
            ("table_elements", "1", "0"),
            ("host_calls", "1", "0"),
            ("dns", "1", "0"),
            ("dns", "10000", "10001"),
            ("read", "64KiB", "63KiB"),
            ("output", "4KiB", "4095B"),
            ("output", "256MiB", "257MiB"),
            ("addresses", "1", "0"),
            ("addresses", "100000", "100001"),
            ("edited", "64MiB", "65MiB"),
        ] {
            assert!(
                parse(&format!("limits: {{ {key}: {good} }}")).is_ok(),
                "{key}: {good}"
            );
            let error = parse(&format!("limits: {{ {key}: {bad} }}")).unwrap_err();
            assert!(
                error.starts_with(&format!("limits.{key}: out of bounds; write ")),
                "{error}"
            );
        }
    }

    #[test]
    fn accept_on_failure_is_for_filters_only() {
        let manifest = parse("failure: { default: accept }").unwrap();
        assert_eq!(manifest.failure.rcpt, OnFailure::Accept);
        assert_eq!(manifest.failure.router, OnFailure::Defer);
        assert_eq!(manifest.failure.quota, OnFailure::Defer);
        let error = parse("failure: { quota: accept }").unwrap_err();
        assert!(
            error.starts_with("failure.quota: accept is for filters only"),
            "{error}"
        );
    }
}
