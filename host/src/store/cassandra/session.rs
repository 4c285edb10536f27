//! A session with the cluster: what the driver is told about connections, time-outs, trust and logins.

mod reason;

use crate::config::{CassandraConfig, Consistency};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use scylla::client::PoolSize;
use scylla::client::execution_profile::ExecutionProfile;
use scylla::client::session::Session;
use scylla::client::session_builder::SessionBuilder;
use scylla::policies::load_balancing::DefaultPolicy;
use scylla::policies::speculative_execution::SimpleSpeculativeExecutionPolicy;
use scylla::policies::timestamp_generator::MonotonicTimestampGenerator;
use scylla::statement::{self as cql, SerialConsistency};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// A node that does not answer in this time is tried elsewhere.
const PATIENCE: Duration = Duration::from_secs(3);
/// How soon a silent node is noticed; the driver's own 30 s are a queue of lost deliveries.
const KEEPALIVE: Duration = Duration::from_secs(5);
/// When a second node is asked the same, where asking twice does no harm: with one node silent a delivery then
/// takes this much longer, not until its connection is given up.
const SPECULATION: Duration = Duration::from_millis(150);
/// Two busy ones carry what a gateway sends, and one may break.
const CONNECTIONS: NonZeroUsize = NonZeroUsize::MIN.saturating_add(1);

/// Why there is no session.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    #[error("cannot read {file}: {text}; store.cassandra.tls.ca is a PEM file of certificates")]
    Authority { file: PathBuf, text: String },
    #[error("no node of {nodes} can be spoken to: {reason}")]
    Nodes { nodes: String, reason: String },
}

/// Connects to the first node that answers and learns of the others.
pub async fn connect(config: &CassandraConfig) -> Result<Session, ConnectError> {
    let nearby = DefaultPolicy::builder()
        .prefer_datacenter(config.datacenter.clone())
        .build();
    let second = SimpleSpeculativeExecutionPolicy {
        max_retry_count: 1,
        retry_interval: SPECULATION,
    };
    let profile = ExecutionProfile::builder()
        .load_balancing_policy(nearby)
        .consistency(consistency(config.consistency))
        .serial_consistency(Some(SerialConsistency::LocalSerial))
        .speculative_execution_policy(Some(Arc::new(second)))
        .request_timeout(Some(PATIENCE))
        .build();
    let mut builder = SessionBuilder::new()
        .known_nodes(&config.nodes)
        .default_execution_profile_handle(profile.into_handle())
        .pool_size(PoolSize::PerHost(CONNECTIONS))
        .connection_timeout(PATIENCE)
        .keepalive_interval(KEEPALIVE)
        .keepalive_timeout(KEEPALIVE)
        .keyspaces_to_fetch([config.keyspace.clone()])
        .timestamp_generator(Arc::new(MonotonicTimestampGenerator::new()));
    if let Some(login) = &config.login {
        builder = builder.user(&login.user, login.password.reveal());
    }
    if let Some(file) = &config.ca {
        builder = builder.tls_context(Some(trust(file)?));
    }
    builder.build().await.map_err(|error| ConnectError::Nodes {
        nodes: config.nodes.join(", "),
        reason: reason::reason(config, &error),
    })
}

fn consistency(configured: Consistency) -> cql::Consistency {
    match configured {
        Consistency::One => cql::Consistency::LocalOne,
        Consistency::LocalQuorum => cql::Consistency::LocalQuorum,
        Consistency::All => cql::Consistency::All,
    }
}

/// Whether the authority's file can be used.
pub fn inspect(config: &CassandraConfig) -> Result<(), ConnectError> {
    config.ca.as_deref().map_or(Ok(()), |file| trust(file).map(drop))
}

/// TLS with the certificates of one authority, by the same provider as the gateway's listeners.
fn trust(file: &Path) -> Result<Arc<rustls::ClientConfig>, ConnectError> {
    let wrong = |text: String| ConnectError::Authority {
        file: file.to_owned(),
        text,
    };
    let mut roots = rustls::RootCertStore::empty();
    let certificates = CertificateDer::pem_file_iter(file).map_err(|error| wrong(error.to_string()))?;
    for certificate in certificates {
        let certificate = certificate.map_err(|error| wrong(error.to_string()))?;
        roots.add(certificate).map_err(|error| wrong(error.to_string()))?;
    }
    if roots.is_empty() {
        return Err(wrong("no certificate in it".to_owned()));
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| wrong(error.to_string()))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config))
}
