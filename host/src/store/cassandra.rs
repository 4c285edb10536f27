//! The store over Apache Cassandra: any number of gateways on one cluster, and nothing else shared.
//!
//! A write is acknowledged at the configured consistency (LOCAL_QUORUM), a request is retried until
//! `limits.deadline`, and what cannot be done by then is the store's trouble: 451. Nothing on mail's path uses
//! lightweight transactions, counters or logged batches; what directory and policies' values say is decided by the first.
//! Refused: a cluster whose schema is not this version's, and a clock that is not the cluster's ([`clock`]). A keyspace
//! that is dropped, or made anew, under a running store is given up until the next start ([`watch`]).

mod bloom;
mod bodies;
mod breaker;
mod check;
mod clock;
mod cluster;
mod directory;
mod kv;
mod lease;
mod mail;
mod moving;
mod names;
mod quarantine;
mod rows;
pub mod schema;
pub mod session;
mod statements;
mod survey;
mod suspect;
mod sweep;
mod transaction;
mod turns;
mod usage;
mod watch;

#[cfg(test)]
pub(crate) mod tests;

use super::{Leases, Mailbox, Mend, Report, Result, Store, StoreError, Swept};
use crate::config::CassandraConfig;
use crate::message::MessageId;
use async_trait::async_trait;
use bodies::{Arriving, Found};
use clock::{Clock, Offset};
use cluster::Cluster;
use directory::Recent;
use kv::Shares;
use moka::policy::EvictionPolicy;
use moka::sync::Cache;
use schema::{Layout, Made};
use scylla::client::session::Session;
use scylla::errors::PrepareError;
use statements::Statements;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;
use turns::Turns;
use usage::Usages;
use uuid::Uuid;
use watch::{Nodes, Survey};

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
    #[error(
        "this machine's clock is {0} Cassandra's, and mail would be lost by 10 s or more: set it, or the nodes', right"
    )]
    Clock(Offset),
}

/// See the module.
#[derive(Debug)]
pub struct CassandraStore {
    /// For work that goes on when who asked for it waits no longer.
    this: Weak<Self>,
    datacenter: String,
    keyspace: String,
    made: Made,
    cluster: Cluster,
    clock: Clock,
    survey: Mutex<Survey>,
    nodes: Mutex<Nodes>,
    statements: Statements,
    quarantine_max: u64,
    usages: Usages,
    /// For who reads a mailbox's usage: a hundred sessions want one that is old at once.
    reading: Turns,
    arriving: Arriving,
    settled: Cache<MessageId, ()>,
    found: Cache<MessageId, Found>,
    epochs_said: Cache<(Mailbox, i32), ()>,
    recent: Recent,
    shares: Shares,
}

impl CassandraStore {
    /// Connects, makes the schema where there is none yet, and prepares every statement. What it looks after by
    /// itself from then on ends with it. Refused: a keyspace into which a copy has begun and not ended.
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
        Self::brought_up(session, config, quarantine_max).await
    }

    /// The same for who changes what is there: makes nothing where there is no schema, and brings an older one up.
    pub async fn open_to_change(
        config: &CassandraConfig,
        quarantine_max: u64,
    ) -> std::result::Result<Arc<Self>, OpenError> {
        let session = session::connect(config).await?;
        schema::begun(&session, &Layout::of(config)).await?;
        let store = Self::brought_up(session, config, quarantine_max).await?;
        store.is_whole().await?;
        Ok(store)
    }

    async fn brought_up(
        session: Session,
        config: &CassandraConfig,
        quarantine_max: u64,
    ) -> std::result::Result<Arc<Self>, OpenError> {
        let survey = Survey::first(&session, &config.datacenter).await?;
        schema::apply(&session, &Layout::of(config)).await?;
        let made = schema::made(&session, &config.keyspace).await?;
        Self::over((session, made), survey, config, quarantine_max).await
    }

    /// The same for who only reads: makes nothing and brings nothing up, and is refused where that would be needed.
    pub async fn open_to_read(
        config: &CassandraConfig,
        quarantine_max: u64,
    ) -> std::result::Result<Arc<Self>, OpenError> {
        let session = session::connect(config).await?;
        let survey = Survey::first(&session, &config.datacenter).await?;
        let made = schema::found(&session, &Layout::of(config)).await?;
        let store = Self::over((session, made), survey, config, quarantine_max).await?;
        store.is_whole().await?;
        Ok(store)
    }

    async fn over(
        (session, made): (Session, Uuid),
        survey: Survey,
        config: &CassandraConfig,
        quarantine_max: u64,
    ) -> std::result::Result<Arc<Self>, OpenError> {
        let preparing = Statements::prepare(&session, &config.keyspace, config.consistency);
        let statements = Box::pin(preparing).await.map_err(Box::new)?;
        let found = Cache::builder()
            .max_capacity(FOUND_OCTETS)
            .weigher(|_, found: &Found| found.weight())
            .time_to_live(FOUND_KEEPS);
        let store = Arc::new_cyclic(|this| Self {
            this: Weak::clone(this),
            datacenter: config.datacenter.clone(),
            keyspace: config.keyspace.clone(),
            made: Made::Once(made),
            clock: Clock::new(survey.offset.unwrap_or_default()),
            survey: Mutex::new(survey),
            nodes: Mutex::default(),
            cluster: Cluster::new(session, &config.limits),
            statements,
            quarantine_max,
            usages: Usages::default(),
            reading: Turns::default(),
            arriving: Arriving::default(),
            settled: Cache::builder()
                .max_capacity(SETTLED)
                // Nobody asks for an id twice: by frequency none would be let into a full cache.
                .eviction_policy(EvictionPolicy::lru())
                .time_to_live(rows::OLDEST_ENTRY)
                .build(),
            found: found.build(),
            epochs_said: Cache::builder()
                .max_capacity(EPOCHS_SAID)
                .eviction_policy(EvictionPolicy::lru())
                .build(),
            recent: Recent::new(config.limits.directory_age),
            shares: Shares::default(),
        });
        at_zero();
        tokio::spawn(watch::probe(Arc::downgrade(&store)));
        tokio::spawn(watch::survey(Arc::downgrade(&store)));
        Ok(store)
    }

    fn nodes(&self) -> MutexGuard<'_, Nodes> {
        self.nodes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn surveyed(&self) -> MutexGuard<'_, Survey> {
        self.survey.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What counts nothing yet is there all the same: the first of a kind is seen as a change.
fn at_zero() {
    metrics::gauge!("postern_cassandra_in_flight").increment(0.0);
    metrics::gauge!("postern_cassandra_breaker_open").set(0.0);
    metrics::counter!("postern_cassandra_breaker_opened_total").increment(0);
    metrics::counter!("postern_cassandra_refused_total").increment(0);
    metrics::counter!("postern_limit_hits_total", "limit" => "store.cassandra.limits.in_flight").increment(0);
}

#[async_trait]
impl Store for CassandraStore {
    fn ready(&self) -> Result<()> {
        if let Some(lost) = self.cluster.lost() {
            return Err(lost);
        }
        match self.cluster.breaker.open_for() {
            Some(since) => Err(StoreError::Engine(format!(
                "Cassandra is out of reach for {} s; it is tried every second",
                since.as_secs()
            ))),
            None if self.nodes().are_all_away() => Err(StoreError::Engine(format!(
                "Cassandra is out of reach: no node of {} is connected",
                self.datacenter
            ))),
            None => self.clock.right(),
        }
    }

    fn remarks(&self) -> Vec<String> {
        let clock = format!("this machine's clock is {} Cassandra's", self.clock.offset());
        self.surveyed().remark().into_iter().chain([clock]).collect()
    }

    fn leases(self: Arc<Self>) -> Option<Arc<dyn Leases>> {
        Some(self)
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
