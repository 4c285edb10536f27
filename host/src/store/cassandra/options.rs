//! What a store over Cassandra is opened with.

use rustls::ClientConfig;
use scylla::statement::Consistency;
use std::sync::Arc;
use std::time::Duration;

/// How connections are protected.
#[derive(Debug, Clone)]
pub enum Security {
    Plain,
    Tls(Arc<ClientConfig>),
}

/// See the module.
#[derive(Clone)]
pub struct Options {
    /// `host` or `host:port` of some nodes; the others are learned from them.
    pub nodes: Vec<String>,
    pub keyspace: String,
    pub datacenter: String,
    /// Of mail's writes and of reads that must not miss one.
    pub consistency: Consistency,
    pub security: Security,
    /// User and password.
    pub login: Option<(String, String)>,
    /// Requests under way at once.
    pub in_flight: usize,
    /// How long a request is retried.
    pub deadline: Duration,
    /// Octets that quarantine holds at most.
    pub quarantine_max: u64,
}

impl std::fmt::Debug for Options {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Options")
            .field("nodes", &self.nodes)
            .field("keyspace", &self.keyspace)
            .field("datacenter", &self.datacenter)
            .field("consistency", &self.consistency)
            .finish_non_exhaustive()
    }
}
