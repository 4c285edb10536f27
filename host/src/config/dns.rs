//! The sections `dns` and `sender_auth`.

use super::check::Bounds;
use super::fault::Collector;
use super::units::Span;
use serde::Deserialize;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

const SECOND: u64 = 1000;
/// Where DNS servers listen (RFC 1035 §4.2).
const PORT: u16 = 53;

/// Who is asked, and within which bounds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DnsConfig {
    /// Empty: those of the system.
    pub servers: Vec<SocketAddr>,
    /// For one try.
    pub timeout: Duration,
    /// Tries of one look-up.
    pub attempts: usize,
    /// Answers that are remembered.
    pub cache: usize,
    /// Look-ups under way at the same time.
    pub in_flight: usize,
}

/// Sender authentication: whether it is done, and within which bounds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SenderAuthConfig {
    pub enabled: bool,
    /// How long a greeting waits for the client's name.
    pub client_name: Duration,
    /// For SPF at MAIL, and again for the rest at the end of a message.
    pub timeout: Duration,
    /// DKIM signatures of one message that are verified.
    pub signatures: usize,
    /// SPF checks in one session.
    pub checks: usize,
}

#[derive(Debug, Default, Deserialize)]
#[cfg_attr(test, derive(serde::Serialize))]
#[serde(deny_unknown_fields)]
pub(super) struct RawDns {
    servers: Option<Vec<Option<String>>>,
    timeout: Option<Span>,
    attempts: Option<usize>,
    cache: Option<usize>,
    in_flight: Option<usize>,
}

#[derive(Debug, Default, Deserialize)]
#[cfg_attr(test, derive(serde::Serialize))]
#[serde(deny_unknown_fields)]
pub(super) struct RawSenderAuth {
    enabled: Option<bool>,
    client_name: Option<Span>,
    timeout: Option<Span>,
    signatures: Option<usize>,
    checks: Option<usize>,
}

pub(super) fn dns(raw: RawDns, faults: &mut Collector) -> DnsConfig {
    let servers = servers(raw.servers.unwrap_or_default(), faults);
    let mut bounds = Bounds {
        section: "dns",
        faults,
    };
    DnsConfig {
        servers,
        // A server that has to ask others answers within a second nearly always.
        timeout: bounds.time("timeout", raw.timeout, 2 * SECOND, 10, 30 * SECOND),
        attempts: bounds.count("attempts", raw.attempts, 2, 1, 10),
        // Some KiB each at most; a busy gateway meets some thousand domains a day.
        cache: bounds.count("cache", raw.cache, 10_000, 0, 10_000_000),
        // Each has a socket of its own, and thereby a file descriptor.
        in_flight: bounds.count("in_flight", raw.in_flight, 100, 1, 10_000),
    }
}

pub(super) fn sender_auth(raw: &RawSenderAuth, faults: &mut Collector) -> SenderAuthConfig {
    let mut bounds = Bounds {
        section: "sender_auth",
        faults,
    };
    SenderAuthConfig {
        enabled: raw.enabled.unwrap_or(true),
        // Clients wait 5 minutes for the greeting (RFC 5321 §4.5.3.2.1); people who test it do not.
        client_name: bounds.time("client_name", raw.client_name, SECOND, 10, 60 * SECOND),
        // RFC 7208 §4.6.4 wants at least 20 s for SPF as a whole.
        timeout: bounds.time("timeout", raw.timeout, 20 * SECOND, 10, 120 * SECOND),
        // A message that lists and forwarders have passed has some four.
        signatures: bounds.count("signatures", raw.signatures, 10, 1, 100),
        // Most sessions have one sender; those of lists may have one for each message.
        checks: bounds.count("checks", raw.checks, 200, 1, 10_000),
    }
}

impl Default for DnsConfig {
    /// What a file gets that says nothing of DNS.
    fn default() -> Self {
        dns(RawDns::default(), &mut Collector::new(""))
    }
}

fn servers(raw: Vec<Option<String>>, faults: &mut Collector) -> Vec<SocketAddr> {
    let mut servers = Vec::new();
    for (index, text) in raw.into_iter().enumerate() {
        let path = format!("dns.servers[{index}]");
        match text.as_deref().map(server) {
            Some(Some(address)) => servers.push(address),
            None if faults.has(&path) => {}
            None => faults.add(path, "empty; write an address like 192.0.2.53 or remove it"),
            Some(None) => {
                let text = text.unwrap_or_default();
                let text = format!(
                    "`{text}` is no address; write that of a DNS server, with its port if that is not 53, such as 192.0.2.53 or [2001:db8::53]:5353"
                );
                faults.add(path, text);
            }
        }
    }
    servers
}

fn server(text: &str) -> Option<SocketAddr> {
    let address = text
        .parse::<IpAddr>()
        .map(|address| SocketAddr::new(address, PORT));
    address
        .or_else(|_| text.parse())
        .ok()
        .filter(|address: &SocketAddr| address.port() != 0)
}

#[cfg(test)]
mod tests {
    use super::super::Config;
    use super::*;
    use std::path::Path;

    fn parse(more: &str) -> Result<Config, String> {
        let text = format!(
            "hostname: mx.example.org\npostmaster: a@example.org\n\
             listeners: [ {{ role: mx, address: \"127.0.0.1:0\" }} ]\n{more}"
        );
        Config::parse(&text, Path::new("")).map_err(|faults| faults.to_string())
    }

    #[test]
    fn servers_have_their_port_or_the_usual_one() {
        let text = "dns: { servers: [192.0.2.53, \"127.0.0.1:5353\", \"2001:db8::53\", \"[::1]:54\"] }";
        let config = parse(text).unwrap();
        let expected = ["192.0.2.53:53", "127.0.0.1:5353", "[2001:db8::53]:53", "[::1]:54"];
        let servers: Vec<String> = config.dns.servers.iter().map(ToString::to_string).collect();
        assert_eq!(servers, expected);
        assert_eq!(parse("").unwrap().dns, DnsConfig::default());
    }

    #[test]
    fn what_is_no_server_is_named_with_its_place() {
        for bad in ["localhost", "192.0.2.53:0", "192.0.2.53:"] {
            let report = parse(&format!("dns: {{ servers: [192.0.2.1, \"{bad}\"] }}")).unwrap_err();
            assert!(
                report.starts_with(&format!("dns.servers[1]: `{bad}` is no address; write ")),
                "{report}"
            );
        }
        let report = parse("dns: { servers: [ ~ ] }").unwrap_err();
        assert!(report.starts_with("dns.servers[0]: empty; write "), "{report}");
    }

    #[test]
    fn bounds_hold_at_both_edges() {
        for (section, key, good, bad) in [
            ("dns", "timeout", "10ms", "9ms"),
            ("dns", "timeout", "30s", "30001ms"),
            ("dns", "attempts", "1", "0"),
            ("dns", "attempts", "10", "11"),
            ("dns", "cache", "10000000", "10000001"),
            ("dns", "in_flight", "1", "0"),
            ("dns", "in_flight", "10000", "10001"),
            ("sender_auth", "client_name", "10ms", "9ms"),
            ("sender_auth", "client_name", "60s", "60001ms"),
            ("sender_auth", "timeout", "10ms", "9ms"),
            ("sender_auth", "timeout", "2m", "120001ms"),
            ("sender_auth", "signatures", "1", "0"),
            ("sender_auth", "signatures", "100", "101"),
            ("sender_auth", "checks", "1", "0"),
            ("sender_auth", "checks", "10000", "10001"),
        ] {
            assert!(
                parse(&format!("{section}: {{ {key}: {good} }}")).is_ok(),
                "{key}: {good}"
            );
            let report = parse(&format!("{section}: {{ {key}: {bad} }}")).unwrap_err();
            assert!(report.starts_with(&format!("{section}.{key}: ")), "{report}");
        }
    }
}
