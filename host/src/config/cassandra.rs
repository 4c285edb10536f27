//! `store: { cassandra: … }`: which cluster, how it is reached, and what a gateway may ask of it at once.

use super::check::Bounds;
use super::fault::Collector;
use super::raw;
use super::units::Secret;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The port of CQL where none is named.
const PORT: u16 = 9042;

/// A cluster and how to speak to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CassandraConfig {
    /// `host:port` each; never empty.
    pub nodes: Vec<String>,
    /// Needs no quotes in CQL.
    pub keyspace: String,
    pub datacenter: String,
    /// Copies in that data centre, when the keyspace is made.
    pub replication: usize,
    /// Of deliveries and removals.
    pub consistency: Consistency,
    /// TLS, with nodes that this authority signed. None: in clear.
    pub ca: Option<PathBuf>,
    pub login: Option<CassandraLogin>,
    pub limits: CassandraLimits,
}

/// How many copies are written before a 250.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Consistency {
    One,
    LocalQuorum,
    All,
}

/// Who the gateway is to the cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CassandraLogin {
    pub user: String,
    pub password: Secret,
}

/// What one gateway asks of the cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CassandraLimits {
    /// Requests under way at once.
    pub in_flight: usize,
    /// How long a request is tried again.
    pub deadline: Duration,
    /// How long an account, alias or domain that was found is taken to be as it was.
    pub directory_age: Duration,
}

pub(super) fn check(raw: raw::Cassandra, base: &Path, faults: &mut Collector) -> CassandraConfig {
    let limits = limits(&raw.limits.unwrap_or_default(), faults);
    let mut bounds = Bounds {
        section: "store.cassandra",
        faults,
    };
    // Of three copies one may be away, which is the least that deserves the name of a cluster.
    let replication = bounds.count("replication", raw.replication, 3, 1, 9);
    CassandraConfig {
        nodes: nodes(raw.nodes, faults),
        keyspace: keyspace(raw.keyspace, faults),
        datacenter: datacenter(raw.datacenter, faults),
        replication,
        consistency: match raw.consistency {
            Some(raw::Consistency::One) => Consistency::One,
            Some(raw::Consistency::All) => Consistency::All,
            // Read after write from every gateway, and one of three copies may be away.
            Some(raw::Consistency::LocalQuorum) | None => Consistency::LocalQuorum,
        },
        ca: authority(raw.tls, base, faults),
        login: login(raw.user, raw.password.as_ref(), base, faults),
        limits,
    }
}

fn limits(raw: &raw::CassandraLimits, faults: &mut Collector) -> CassandraLimits {
    let mut bounds = Bounds {
        section: "store.cassandra.limits",
        faults,
    };
    CassandraLimits {
        // Enough to keep three nodes busy; more only fills queues that a slow node then holds.
        in_flight: bounds.count("in_flight", raw.in_flight, 128, 1, 2048),
        // A longer one collects a herd for the moment the cluster returns.
        deadline: bounds.time("deadline", raw.deadline, 20_000, 1000, 120_000),
        // A busy mailbox is looked up once for hundreds of messages, and a removed one is gone before anybody asks.
        directory_age: bounds.time("directory_age", raw.directory_age, 5000, 0, 60_000),
    }
}

fn nodes(raw: Vec<Option<String>>, faults: &mut Collector) -> Vec<String> {
    const PATH: &str = "store.cassandra.nodes";
    if raw.is_empty() && !faults.has(PATH) {
        faults.add(
            PATH,
            "missing; name some nodes of the cluster, such as [10.0.0.1, 10.0.0.2]",
        );
    }
    let mut nodes = Vec::new();
    for (index, node) in raw.into_iter().enumerate() {
        let path = format!("{PATH}[{index}]");
        match node.as_deref().map(contact) {
            Some(Some(node)) => nodes.push(node),
            None if faults.has(&path) => {}
            _ => {
                let text = node.unwrap_or_default();
                faults.add(
                    path,
                    format!("`{text}` is not a node; write host or host:port, such as 10.0.0.1:9042"),
                );
            }
        }
    }
    nodes
}

/// `host:port` of a name, an IPv4 or an IPv6 address (with brackets before a port), with or without a port.
fn contact(text: &str) -> Option<String> {
    if let Ok(address) = text.parse::<std::net::SocketAddr>() {
        return (address.port() > 0).then(|| address.to_string());
    }
    if let Ok(address) = text
        .trim_start_matches('[')
        .trim_end_matches(']')
        .parse::<std::net::IpAddr>()
    {
        return Some(std::net::SocketAddr::new(address, PORT).to_string());
    }
    let (host, port) = match text.split_once(':') {
        Some((host, port)) => (host, port.parse().ok().filter(|port| *port > 0)?),
        None => (text, PORT),
    };
    let is_part = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_');
    (!host.is_empty() && host.bytes().all(is_part)).then(|| format!("{host}:{port}"))
}

/// A name that CQL takes without quotes. It stands in statements, so nothing else may be in it.
fn keyspace(raw: Option<String>, faults: &mut Collector) -> String {
    let name = raw.unwrap_or_else(|| "mail".to_owned());
    let is_part = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
    let begins = name.starts_with(|c: char| c.is_ascii_lowercase());
    // Cassandra takes 48 at most: it is part of a folder's name.
    if !begins || name.len() > 48 || !name.bytes().all(is_part) || name.starts_with("system") {
        let text = format!(
            "`{name}` cannot be a keyspace of mail; write a letter and then letters, digits or _, all lower case, at most 48 and not system…"
        );
        faults.add("store.cassandra.keyspace", text);
    }
    name
}

/// It stands in a statement too, in quotes.
fn datacenter(raw: Option<String>, faults: &mut Collector) -> String {
    let name = raw.unwrap_or_else(|| "dc1".to_owned());
    let is_part = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_');
    if name.is_empty() || !name.bytes().all(is_part) {
        let text = format!("`{name}` is not a data centre; write it as `nodetool status` does, such as dc1");
        faults.add("store.cassandra.datacenter", text);
    }
    name
}

fn authority(raw: Option<raw::CassandraTls>, base: &Path, faults: &mut Collector) -> Option<PathBuf> {
    let tls = raw?;
    if tls.ca.is_none() && !faults.has("store.cassandra.tls") {
        faults.add(
            "store.cassandra.tls",
            "needs the authority that signed the nodes' certificates; write { ca: ca.pem }",
        );
    }
    tls.ca.map(|file| base.join(file))
}

fn login(
    user: Option<String>,
    password: Option<&super::units::SecretReference>,
    base: &Path,
    faults: &mut Collector,
) -> Option<CassandraLogin> {
    match (user, password) {
        (None, None) => None,
        (Some(user), Some(password)) => match password.read(base) {
            Ok(password) => Some(CassandraLogin { user, password }),
            Err(text) => {
                faults.add("store.cassandra.password", text);
                None
            }
        },
        (Some(_), None) => {
            if !faults.has("store.cassandra.password") {
                faults.add(
                    "store.cassandra.password",
                    "missing beside user; write file:PATH or env:NAME",
                );
            }
            None
        }
        (None, Some(_)) => {
            if !faults.has("store.cassandra.user") {
                faults.add(
                    "store.cassandra.user",
                    "missing beside password; write the role's name",
                );
            }
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Config, StoreConfig};
    use super::*;

    const REST: &str = "hostname: a.example\npostmaster: a@b.example\nlisteners: [ { role: mx, address: \"127.0.0.1:25\" } ]\n";

    fn parse(cassandra: &str) -> Result<CassandraConfig, String> {
        let text = format!("{REST}store:\n  cassandra: {cassandra}\n");
        match Config::parse(&text, Path::new("/etc/postern")) {
            Ok(Config {
                store: StoreConfig::Cassandra(config),
                ..
            }) => Ok(config),
            Ok(other) => Err(format!("{:?}", other.store)),
            Err(faults) => Err(faults.to_string()),
        }
    }

    #[test]
    fn a_node_may_leave_its_port_out_and_may_be_an_ipv6_address() {
        let nodes = |list: &str| parse(&format!("{{ nodes: [{list}] }}")).map(|config| config.nodes);
        assert_eq!(
            nodes("10.0.0.1, \"10.0.0.2:19042\", db.example.org, \"db-2:1\", \"2001:db8::1\", \"[2001:db8::1]:7\"").unwrap(),
            ["10.0.0.1:9042", "10.0.0.2:19042", "db.example.org:9042", "db-2:1", "[2001:db8::1]:9042", "[2001:db8::1]:7"]
        );
        for bad in [
            "\"a b\"",
            "\"a:0\"",
            "\"a:65536\"",
            "\"a:b:1\"",
            "\"\"",
            "\"10.0.0.1:0\"",
            "\"http://a\"",
        ] {
            assert!(nodes(bad).unwrap_err().contains("nodes[0]: `"), "{bad}");
        }
        assert!(nodes("").unwrap_err().contains("store.cassandra.nodes: missing"));
    }

    #[test]
    fn every_fault_of_the_cluster_is_told_at_once_with_its_line() {
        let report = parse("{ nodes: [a, \"b c\"], keyspace: Mail, datacenter: \"d'c\", replication: 0,\n    consistency: two, tls: {}, user: u,\n    limits: { in_flight: 0, deadline: 999ms } }").unwrap_err();
        for (fault, line) in [
            ("store.cassandra.nodes[1]: `b c` is not a node", 5),
            ("store.cassandra.keyspace: `Mail` cannot be", 5),
            ("store.cassandra.datacenter: `d'c` is not", 5),
            ("store.cassandra.replication: 0 is too little; write 1 or more", 5),
            (
                "store.cassandra.consistency: unknown variant `two`, expected one of `one`, `local_quorum`, `all`",
                6,
            ),
            ("store.cassandra.tls: needs the authority", 6),
            ("store.cassandra.password: missing beside user", 5),
            (
                "store.cassandra.limits.in_flight: 0 is too little; write 1 or more",
                7,
            ),
            (
                "store.cassandra.limits.deadline: 999ms is too little; write 1s or more",
                7,
            ),
        ] {
            let found = report.lines().find(|text| text.contains(fault));
            assert!(
                found.is_some_and(|text| text.ends_with(&format!("(line {line})"))),
                "{fault}\n{report}"
            );
        }
        assert_eq!(report.lines().count(), 9, "{report}");
    }

    #[test]
    fn both_edges_of_what_a_gateway_asks_and_of_a_keyspace_s_name() {
        let most = "k".repeat(48);
        for (good, bad) in [
            ("replication: 9".to_owned(), "replication: 10".to_owned()),
            (
                "limits: { in_flight: 1 }".to_owned(),
                "limits: { in_flight: 0 }".to_owned(),
            ),
            (
                "limits: { in_flight: 2048 }".to_owned(),
                "limits: { in_flight: 2049 }".to_owned(),
            ),
            (
                "limits: { deadline: 1s }".to_owned(),
                "limits: { deadline: 999ms }".to_owned(),
            ),
            (
                "limits: { deadline: 2m }".to_owned(),
                "limits: { deadline: 121s }".to_owned(),
            ),
            (
                "limits: { directory_age: 1m }".to_owned(),
                "limits: { directory_age: 61s }".to_owned(),
            ),
            (format!("keyspace: {most}"), format!("keyspace: {most}k")),
            ("keyspace: mail_2".to_owned(), "keyspace: 2mail".to_owned()),
            (
                "datacenter: eu-west.1".to_owned(),
                "datacenter: \"eu'\"".to_owned(),
            ),
        ] {
            assert!(parse(&format!("{{ nodes: [a], {good} }}")).is_ok(), "{good}");
            assert!(parse(&format!("{{ nodes: [a], {bad} }}")).is_err(), "{bad}");
        }
    }

    #[test]
    fn user_and_password_come_together_and_the_password_is_never_shown() {
        let config = parse("{ nodes: [a], user: postern, password: \"env:PATH\" }").unwrap();
        assert_eq!(
            config.login.as_ref().map(|login| login.user.as_str()),
            Some("postern")
        );
        assert!(!format!("{config:?}").contains("/bin"));
        assert!(
            parse("{ nodes: [a], password: \"env:PATH\" }")
                .unwrap_err()
                .contains("user: missing beside password")
        );
        assert!(
            !parse("{ nodes: [a], user: u, password: hunter2 }")
                .unwrap_err()
                .contains("hunter2")
        );
    }

    #[test]
    fn one_store_is_named_and_not_two() {
        let text = format!("{REST}store: {{ embedded: {{}}, cassandra: {{ nodes: [a] }} }}");
        let report = Config::parse(&text, Path::new("")).unwrap_err().to_string();
        assert!(report.starts_with("store: names two stores"), "{report}");
    }
}
