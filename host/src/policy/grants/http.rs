//! `grants: { http: { hosts: [api.example.com] } }`: to whom requests are sent, and how much each may take.
//!
//! A host is a name or an address, with its port where it is not the usual one, and `http://` before it where it is
//! spoken to in the clear. A name under `hosts` never leads to an address that is not public; one under `private` may.

use crate::config::fault::Collector;
use crate::config::units::{ByteSize, Span};
use serde::Deserialize;
use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;
use url::{Host, Url};

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::policy) struct RawHttp {
    hosts: Option<Vec<String>>,
    private: Option<Vec<String>>,
    ca: Option<PathBuf>,
    response: Option<ByteSize>,
    head: Option<ByteSize>,
    requests: Option<u32>,
    parallel: Option<u32>,
    timeout: Option<Span>,
}

/// What one policy may send, and to whom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::policy) struct HttpGrant {
    pub(in crate::policy) origins: Vec<Origin>,
    /// Its certificates are trusted in place of the system's.
    pub(in crate::policy) ca: Option<PathBuf>,
    /// Octets of an answer's body.
    pub(in crate::policy) response: usize,
    /// Octets of an answer's header fields, their colons and line ends included.
    pub(in crate::policy) head: usize,
    /// Of one call.
    pub(in crate::policy) requests: u32,
    /// Of all calls at the same time.
    pub(in crate::policy) parallel: u32,
    /// What one request may take.
    pub(in crate::policy) timeout: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::policy) enum Scheme {
    Http,
    Https,
}

/// Where requests may go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::policy) struct Origin {
    pub(in crate::policy) scheme: Scheme,
    pub(in crate::policy) host: Host<String>,
    pub(in crate::policy) port: u16,
    /// Whether a name may lead to an address that is not public. An address that is named may be any.
    pub(in crate::policy) is_private: bool,
}

impl Origin {
    /// None: there is no such scheme, or no host.
    pub(in crate::policy) fn of(url: &Url) -> Option<Self> {
        let scheme = match url.scheme() {
            "http" => Scheme::Http,
            "https" => Scheme::Https,
            _ => return None,
        };
        Some(Self {
            scheme,
            host: url.host()?.to_owned(),
            port: url.port_or_known_default()?,
            is_private: false,
        })
    }

    /// Whether requests for `other` go here.
    pub(in crate::policy) fn is(&self, other: &Self) -> bool {
        (self.scheme, &self.host, self.port) == (other.scheme, &other.host, other.port)
    }

    pub(in crate::policy) fn address(&self) -> Option<IpAddr> {
        match self.host {
            Host::Domain(_) => None,
            Host::Ipv4(address) => Some(address.into()),
            Host::Ipv6(address) => Some(address.into()),
        }
    }

    /// Host and port as the field `Host` has them (RFC 9110 §7.2).
    pub(in crate::policy) fn authority(&self) -> String {
        match (self.scheme, self.port) {
            (Scheme::Http, 80) | (Scheme::Https, 443) => self.host.to_string(),
            (_, port) => format!("{}:{port}", self.host),
        }
    }

    /// As it is written in a policy's file.
    fn read(text: &str) -> Option<Self> {
        let text = match text.contains("://") {
            true => text.to_owned(),
            false => format!("https://{text}"),
        };
        let url = Url::parse(&text).ok()?;
        let is_bare = url.path() == "/"
            && url.username().is_empty()
            && url.password().is_none()
            && url.query().is_none()
            && url.fragment().is_none();
        Self::of(&url).filter(|_| is_bare)
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = match self.scheme {
            Scheme::Http => "http",
            Scheme::Https => "https",
        };
        write!(f, "{scheme}://{}", self.authority())
    }
}

impl HttpGrant {
    pub(super) fn read(raw: RawHttp, faults: &mut Collector) -> Self {
        let mut origins = Vec::new();
        let listed = [("hosts", raw.hosts, false), ("private", raw.private, true)];
        for (key, hosts, is_private) in listed {
            for (place, text) in hosts.unwrap_or_default().iter().enumerate() {
                match Origin::read(text) {
                    Some(origin) => origins.push(Origin { is_private, ..origin }),
                    None => faults.add(
                        format!("grants.http.{key}[{place}]"),
                        format!(
                            "`{text}` is no host; write one like api.example.com, \
                                 api.example.com:8443 or http://api.example.com"
                        ),
                    ),
                }
            }
        }
        let has_faults = faults.has("grants.http.hosts") || faults.has("grants.http.private");
        if origins.is_empty() && !has_faults {
            faults.add(
                "grants.http.hosts",
                "missing; name the hosts that requests may go to",
            );
        }
        let octets = |size: Option<ByteSize>, usual: u64| {
            usize::try_from(size.map_or(usual, |size| size.0)).unwrap_or(usize::MAX)
        };
        let grant = Self {
            origins,
            ca: raw.ca,
            response: octets(raw.response, MIB),
            head: octets(raw.head, 64 * KIB),
            requests: raw.requests.unwrap_or(10),
            parallel: raw.parallel.unwrap_or(16),
            timeout: raw.timeout.map_or(Duration::from_secs(5), |span| span.0),
        };
        grant.check(faults);
        grant
    }

    fn check(&self, faults: &mut Collector) {
        let bounds = [
            ("response", (1..=64 << 20).contains(&self.response), "1B to 64MiB"),
            ("head", (1 << 10..=1 << 20).contains(&self.head), "1KiB to 1MiB"),
            ("requests", (1..=1000).contains(&self.requests), "1 to 1000"),
            ("parallel", (1..=1000).contains(&self.parallel), "1 to 1000"),
            (
                "timeout",
                (Duration::from_millis(1)..=Duration::from_secs(60)).contains(&self.timeout),
                "1ms to 60s",
            ),
        ];
        for (key, _, mend) in bounds.iter().filter(|(_, holds, _)| !holds) {
            faults.add(
                format!("grants.http.{key}"),
                format!("out of bounds; write {mend}"),
            );
        }
    }
}

#[cfg(test)]
pub(in crate::policy) mod tests {
    use super::*;
    use crate::config::decode::decode;

    /// What is granted by the text of `http`; the error has all faults.
    pub(in crate::policy) fn granted(text: &str) -> Result<HttpGrant, String> {
        #[derive(Debug, Default, Deserialize)]
        #[serde(deny_unknown_fields)]
        struct File {
            grants: Section,
        }
        #[derive(Debug, Default, Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Section {
            http: RawHttp,
        }
        let text = format!("grants: {{ http: {text} }}");
        let mut faults = Collector::new(&text);
        let file: File = decode(&text, &mut faults).map_err(|faults| faults.to_string())?;
        let grant = HttpGrant::read(file.grants.http, &mut faults);
        faults
            .unless_any(Some(grant))
            .map_err(|faults| faults.to_string())
    }

    #[test]
    fn hosts_are_read_with_their_scheme_and_port() {
        let grant = granted(
            "{ hosts: [Api.Example.com, \"api.example.com:8443\", \"http://127.0.0.1\", \"[2001:db8::1]:444\"], \
             private: [scanner.lan] }",
        );
        let shown: Vec<_> = grant
            .unwrap()
            .origins
            .iter()
            .map(|o| (o.to_string(), o.port, o.is_private))
            .collect();
        let wanted = [
            ("https://api.example.com", 443, false),
            ("https://api.example.com:8443", 8443, false),
            ("http://127.0.0.1", 80, false),
            ("https://[2001:db8::1]:444", 444, false),
            ("https://scanner.lan", 443, true),
        ];
        assert_eq!(
            shown,
            wanted.map(|(text, port, private)| (text.to_owned(), port, private))
        );
    }

    #[test]
    fn what_is_no_host_is_refused_with_its_place() {
        for text in [
            "a.example/path",
            "ftp://a.example",
            "https://me@a.example",
            "a b",
            "a.example?x",
        ] {
            let error = granted(&format!("{{ hosts: [a.example, \"{text}\"] }}")).unwrap_err();
            assert!(
                error.starts_with(&format!("grants.http.hosts[1]: `{text}` is no host; write")),
                "{error}"
            );
        }
        let error = granted("{}").unwrap_err();
        assert!(
            error.starts_with("grants.http.hosts: missing; name the hosts"),
            "{error}"
        );
        assert!(
            granted("{ hots: [a.example] }")
                .unwrap_err()
                .contains("unknown field `hots`")
        );
    }

    #[test]
    fn bounds_hold_at_both_edges() {
        for (key, good, bad) in [
            ("response", "1B", "0B"),
            ("response", "64MiB", "65MiB"),
            ("head", "1KiB", "1023B"),
            ("head", "1MiB", "1025KiB"),
            ("requests", "1", "0"),
            ("requests", "1000", "1001"),
            ("parallel", "1", "0"),
            ("parallel", "1000", "1001"),
            ("timeout", "1ms", "0s"),
            ("timeout", "60s", "60001ms"),
        ] {
            granted(&format!("{{ hosts: [a.example], {key}: {good} }}")).unwrap();
            let error = granted(&format!("{{ hosts: [a.example], {key}: {bad} }}")).unwrap_err();
            assert!(
                error.starts_with(&format!("grants.http.{key}: out of bounds; write ")),
                "{error}"
            );
        }
    }
}
