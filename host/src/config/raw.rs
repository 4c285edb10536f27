//! The mirror of the file: every key that may be written, none of them checked beyond its own spelling.
//!
//! Everything is optional here, so that one decoding finds all that is there; what must be there, what
//! fits together and what the default is belongs to `check.rs`.

use super::dns::{RawDns, RawSenderAuth};
use super::units::{ByteSize, Network, SecretReference, Span};
use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, Error, MapAccess, Visitor};
use std::fmt;

#[derive(Debug, Default, Deserialize)]
#[cfg_attr(test, derive(serde::Serialize))]
#[serde(deny_unknown_fields)]
pub(super) struct Raw {
    pub(super) hostname: Option<String>,
    pub(super) state: Option<String>,
    #[serde(default)]
    pub(super) listeners: Vec<Option<Listener>>,
    pub(super) tls: Option<Tls>,
    pub(super) store: Option<Store>,
    pub(super) policy: Option<Policy>,
    pub(super) postmaster: Option<String>,
    pub(super) limits: Option<Limits>,
    pub(super) quarantine: Option<Quarantine>,
    pub(super) explain: Option<Explain>,
    pub(super) auth: Option<Auth>,
    pub(super) dns: Option<RawDns>,
    pub(super) sender_auth: Option<RawSenderAuth>,
    pub(super) submission: Option<Submission>,
    pub(super) pop3: Option<Pop3>,
    pub(super) admin: Option<Admin>,
    pub(super) log: Option<Log>,
    pub(super) trusted: Option<Vec<Option<Network>>>,
    pub(super) detail_separator: Option<String>,
    pub(super) strict_8bitmime: Option<bool>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[cfg_attr(test, derive(serde::Serialize))]
#[serde(rename_all = "lowercase")]
pub(super) enum Role {
    Mx,
    Submission,
    Lmtp,
    Pop3,
    Admin,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[cfg_attr(test, derive(serde::Serialize))]
#[serde(rename_all = "lowercase")]
pub(super) enum TlsMode {
    StartTls,
    Implicit,
    None,
}

#[derive(Debug, Default, Deserialize)]
#[cfg_attr(test, derive(serde::Serialize))]
#[serde(deny_unknown_fields)]
pub(super) struct Listener {
    pub(super) name: Option<String>,
    pub(super) role: Option<Role>,
    pub(super) address: Option<String>,
    pub(super) tls: Option<TlsMode>,
    pub(super) plaintext_auth: Option<bool>,
    pub(super) auth: Option<bool>,
    pub(super) proxy: Option<Vec<Option<Network>>>,
    pub(super) reject_early_talkers: Option<bool>,
}

#[derive(Debug, Default, Deserialize)]
#[cfg_attr(test, derive(serde::Serialize))]
#[serde(deny_unknown_fields)]
pub(super) struct Tls {
    #[serde(default)]
    pub(super) certificates: Vec<Option<Certificate>>,
}

#[derive(Debug, Default, Deserialize)]
#[cfg_attr(test, derive(serde::Serialize))]
#[serde(deny_unknown_fields)]
pub(super) struct Certificate {
    pub(super) chain: Option<String>,
    pub(super) key: Option<String>,
}

/// `embedded`, or `{ embedded: { reserve: 512MiB } }`, or `{ cassandra: { nodes: [10.0.0.1] } }`.
#[derive(Debug, Default)]
#[cfg_attr(test, derive(serde::Serialize))]
pub(super) struct Store {
    pub(super) embedded: Option<Embedded>,
    pub(super) cassandra: Option<Cassandra>,
}

#[derive(Debug, Default, Deserialize)]
#[cfg_attr(test, derive(serde::Serialize))]
#[serde(deny_unknown_fields)]
pub(super) struct Cassandra {
    #[serde(default)]
    pub(super) nodes: Vec<Option<String>>,
    pub(super) keyspace: Option<String>,
    pub(super) datacenter: Option<String>,
    pub(super) replication: Option<usize>,
    pub(super) consistency: Option<Consistency>,
    pub(super) tls: Option<CassandraTls>,
    pub(super) user: Option<String>,
    pub(super) password: Option<SecretReference>,
    pub(super) limits: Option<CassandraLimits>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[cfg_attr(test, derive(serde::Serialize))]
#[serde(rename_all = "snake_case")]
pub(super) enum Consistency {
    One,
    LocalQuorum,
    All,
}

#[derive(Debug, Default, Deserialize)]
#[cfg_attr(test, derive(serde::Serialize))]
#[serde(deny_unknown_fields)]
pub(super) struct CassandraTls {
    pub(super) ca: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[cfg_attr(test, derive(serde::Serialize))]
#[serde(deny_unknown_fields)]
pub(super) struct CassandraLimits {
    pub(super) in_flight: Option<usize>,
    pub(super) deadline: Option<Span>,
    pub(super) directory_age: Option<Span>,
}

#[derive(Debug, Default, Deserialize)]
#[cfg_attr(test, derive(serde::Serialize))]
#[serde(deny_unknown_fields)]
pub(super) struct Embedded {
    pub(super) reserve: Option<ByteSize>,
}

#[derive(Debug, Default, Deserialize)]
#[cfg_attr(test, derive(serde::Serialize))]
#[serde(deny_unknown_fields)]
pub(super) struct Policy {
    pub(super) folder: Option<String>,
    pub(super) deadline: Option<Span>,
    pub(super) memory: Option<ByteSize>,
    pub(super) trial: Option<Span>,
    pub(super) settle: Option<Span>,
    pub(super) file: Option<ByteSize>,
    pub(super) instances: Option<usize>,
    pub(super) shadow_instances: Option<usize>,
    pub(super) shadow_queue: Option<usize>,
    pub(super) mime: Option<Mime>,
}

#[derive(Debug, Default, Deserialize)]
#[cfg_attr(test, derive(serde::Serialize))]
#[serde(deny_unknown_fields)]
pub(super) struct Mime {
    pub(super) parts: Option<usize>,
    pub(super) depth: Option<usize>,
    pub(super) text: Option<ByteSize>,
    pub(super) room: Option<ByteSize>,
    pub(super) parameters: Option<usize>,
}

#[derive(Debug, Default, Deserialize)]
#[cfg_attr(test, derive(serde::Serialize))]
#[serde(deny_unknown_fields)]
pub(super) struct Limits {
    pub(super) message_size: Option<ByteSize>,
    pub(super) line: Option<ByteSize>,
    pub(super) headers: Option<ByteSize>,
    pub(super) recipients: Option<usize>,
    pub(super) sessions: Option<usize>,
    pub(super) sessions_per_address: Option<usize>,
    pub(super) sessions_per_account: Option<usize>,
    pub(super) bytes_in_flight: Option<ByteSize>,
    pub(super) bad_commands: Option<usize>,
    pub(super) unknown_recipients: Option<usize>,
    pub(super) hops: Option<usize>,
    pub(super) transfer: Option<Span>,
    pub(super) smtp_command: Option<Span>,
    pub(super) smtp_data: Option<Span>,
    pub(super) pop3_idle: Option<Span>,
    pub(super) tls_handshake: Option<Span>,
    pub(super) proxy_header: Option<Span>,
    pub(super) drain: Option<Span>,
}

#[derive(Debug, Default, Deserialize)]
#[cfg_attr(test, derive(serde::Serialize))]
#[serde(deny_unknown_fields)]
pub(super) struct Quarantine {
    pub(super) keep: Option<Span>,
    pub(super) max: Option<ByteSize>,
}

#[derive(Debug, Default, Deserialize)]
#[cfg_attr(test, derive(serde::Serialize))]
#[serde(deny_unknown_fields)]
pub(super) struct Explain {
    pub(super) keep: Option<Span>,
    pub(super) max: Option<ByteSize>,
    pub(super) keep_deleted: Option<bool>,
    pub(super) save: Option<Span>,
}

#[derive(Debug, Default, Deserialize)]
#[cfg_attr(test, derive(serde::Serialize))]
#[serde(deny_unknown_fields)]
pub(super) struct Auth {
    pub(super) scram: Option<bool>,
    pub(super) scram_iterations: Option<u32>,
    pub(super) parallel_hashes: Option<usize>,
    pub(super) hash_wait: Option<Span>,
    pub(super) cache: Option<Span>,
}

#[derive(Debug, Default, Deserialize)]
#[cfg_attr(test, derive(serde::Serialize))]
#[serde(deny_unknown_fields)]
pub(super) struct Submission {
    pub(super) check_sender: Option<bool>,
    pub(super) check_from: Option<bool>,
}

#[derive(Debug, Default, Deserialize)]
#[cfg_attr(test, derive(serde::Serialize))]
#[serde(deny_unknown_fields)]
pub(super) struct Pop3 {
    pub(super) login_delay: Option<Span>,
    pub(super) lease: Option<Span>,
}

#[derive(Debug, Default, Deserialize)]
#[cfg_attr(test, derive(serde::Serialize))]
#[serde(deny_unknown_fields)]
pub(super) struct Admin {
    pub(super) token: Option<SecretReference>,
    pub(super) connections: Option<usize>,
    pub(super) request: Option<Span>,
}

#[derive(Debug, Default, Deserialize)]
#[cfg_attr(test, derive(serde::Serialize))]
#[serde(deny_unknown_fields)]
pub(super) struct Log {
    pub(super) format: Option<LogFormat>,
    pub(super) level: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[cfg_attr(test, derive(serde::Serialize))]
#[serde(rename_all = "lowercase")]
pub(super) enum LogFormat {
    Text,
    Json,
}

impl<'de> Deserialize<'de> for Store {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(StoreSpelling)
    }
}

/// The map form of [`Store`].
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct StoreMap {
    embedded: Option<Embedded>,
    cassandra: Option<Cassandra>,
}

struct StoreSpelling;

impl<'de> Visitor<'de> for StoreSpelling {
    type Value = Store;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "`embedded`, `{ embedded: { reserve: 512MiB } }` or `{ cassandra: { nodes: [10.0.0.1] } }`",
        )
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Store, E> {
        match text {
            "embedded" => Ok(Store::default()),
            "cassandra" => Err(E::custom(
                "cassandra needs its nodes; write { cassandra: { nodes: [10.0.0.1, 10.0.0.2] } }",
            )),
            _ => Err(E::custom(format!(
                "there is no store `{text}`; write embedded or {{ cassandra: … }}"
            ))),
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Store, A::Error> {
        let StoreMap { embedded, cassandra } = StoreMap::deserialize(MapAccessDeserializer::new(map))?;
        Ok(Store { embedded, cassandra })
    }
}
