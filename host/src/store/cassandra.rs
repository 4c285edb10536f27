//! The store over Apache Cassandra: any number of gateways on one cluster, and nothing else shared.
//!
//! A write is acknowledged at the configured consistency (LOCAL_QUORUM), a request is retried until
//! `limits.deadline`, and what cannot be done by then is the store's trouble: 451. Nothing on mail's path uses
//! lightweight transactions, counters or logged batches; the directory and policies' values use nothing else.
//! Refused: a cluster whose schema is not this version's.

mod bloom;
mod bodies;
mod breaker;
mod check;
mod cluster;
mod directory;
mod kv;
mod mail;
mod moving;
mod quarantine;
mod rows;
pub mod schema;
pub mod session;
mod statements;
mod survey;
mod suspect;
mod sweep;
mod usage;

#[cfg(test)]
mod tests;

use super::{Mailbox, Mend, Report, Result, Store, StoreError, Swept};
use crate::config::CassandraConfig;
use crate::message::MessageId;
use async_trait::async_trait;
use bodies::{Arriving, Found};
use cluster::Cluster;
use kv::Shares;
use moka::sync::Cache;
use schema::Layout;
use scylla::errors::PrepareError;
use statements::Statements;
use std::path::Path;
use std::sync::{Arc, Weak};
use std::time::Duration;
use usage::Usages;

/// Octets of small bodies, and of large ones' sizes, that are kept for the next read.
const FOUND_OCTETS: u64 = 16 * 1024 * 1024;
/// How long a found body is taken to be there: a client reads it in one go.
const FOUND_KEEPS: Duration = Duration::from_secs(30);
/// Deliveries whose bodies are no longer this process's to discard.
const SETTLED: u64 = 200_000;
/// Mailboxes and epochs that are known to be written down.
const EPOCHS_SAID: u64 = 200_000;

/// Why a store does not open.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error(transparent)]
    Connect(#[from] session::ConnectError),
    #[error(transparent)]
    Schema(#[from] schema::SchemaError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("a statement is refused, though the schema is current: {0}")]
    Statement(#[from] Box<PrepareError>),
}

/// See the module.
#[derive(Debug)]
pub struct CassandraStore {
    cluster: Cluster,
    statements: Statements,
    quarantine_max: u64,
    usages: Usages,
    arriving: Arriving,
    settled: Cache<MessageId, ()>,
    found: Cache<MessageId, Found>,
    epochs_said: Cache<(Mailbox, i32), ()>,
    shares: Shares,
}

impl CassandraStore {
    /// Connects, makes the schema where there is none yet, and prepares every statement. Refused: a keyspace into
    /// which a copy has begun and not ended.
    pub async fn open(
        config: &CassandraConfig,
        quarantine_max: u64,
    ) -> std::result::Result<Arc<Self>, OpenError> {
        let store = Self::open_to_copy(config, quarantine_max).await?;
        store.is_whole().await?;
        Ok(store)
    }

    /// The same for those who copy.
    pub async fn open_to_copy(
        config: &CassandraConfig,
        quarantine_max: u64,
    ) -> std::result::Result<Arc<Self>, OpenError> {
        let session = session::connect(config).await?;
        schema::apply(&session, &Layout::of(config)).await?;
        let statements = Statements::prepare(&session, &config.keyspace).await;
        let statements = statements.map_err(Box::new)?;
        let found = Cache::builder()
            .max_capacity(FOUND_OCTETS)
            .weigher(|_, found: &Found| found.weight())
            .time_to_live(FOUND_KEEPS);
        let store = Arc::new(Self {
            cluster: Cluster::new(session, &config.limits),
            statements,
            quarantine_max,
            usages: Usages::default(),
            arriving: Arriving::default(),
            settled: Cache::builder()
                .max_capacity(SETTLED)
                .time_to_live(rows::OLDEST_ENTRY)
                .build(),
            found: found.build(),
            epochs_said: Cache::new(EPOCHS_SAID),
            shares: Shares::default(),
        });
        tokio::spawn(probe(Arc::downgrade(&store)));
        Ok(store)
    }
}

/// While the breaker is open no mail is begun, so nothing else would find out that the cluster is back. Ends with
/// the store.
async fn probe(store: Weak<CassandraStore>) {
    loop {
        tokio::time::sleep(breaker::PROBE).await;
        let Some(store) = store.upgrade() else {
            return;
        };
        if store.cluster.breaker.is_open()
            && let Err(error) = store.epochs(mail::QUARANTINE).await
        {
            tracing::debug!(%error, "Cassandra is still out of reach");
        }
    }
}

#[async_trait]
impl Store for CassandraStore {
    fn ready(&self) -> Result<()> {
        match self.cluster.breaker.is_open() {
            true => Err(StoreError::Engine("Cassandra is out of reach".to_owned())),
            false => Ok(()),
        }
    }

    async fn check(&self, mend: Mend) -> Result<Report> {
        Ok(self.compare(mend).await)
    }

    async fn sweep(&self) -> Result<Swept> {
        self.collect().await
    }

    async fn sweep_is_due(&self) -> Result<bool> {
        self.claim_sweep().await
    }

    fn backup(&self, _folder: &Path) -> Result<u64> {
        Err(StoreError::Engine(
            "a cluster is backed up by its snapshots".to_owned(),
        ))
    }
}
