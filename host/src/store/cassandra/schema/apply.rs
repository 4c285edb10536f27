//! Brings a cluster to [`CURRENT`], and tells how far it is.
//!
//! The keyspace and the table of versions are made by whoever comes first, as often as need be: both
//! statements are the same from everybody. From there on one holder of a lease goes on, a row that expires
//! with its holder; the others wait. Statements that fail are tried again: right after a change some nodes do
//! not know yet what others have made.

use super::super::transaction::NamedRow;
use super::{CURRENT, Layout};
use scylla::client::session::Session;
use scylla::errors::{DbError, ExecutionError, RequestAttemptError, SchemaAgreementError};
use scylla::serialize::row::SerializeRow;
use scylla::statement::unprepared::Statement;
use scylla::statement::{Consistency, SerialConsistency};
use scylla::value::CqlValue;
use std::time::{Duration, Instant};
use uuid::Uuid;

/// After this a holder that does not answer is taken for dead; one statement takes a second at most.
const LEASE_SECONDS: i32 = 60;
/// How long one statement is tried again, and how long another holder is waited for.
const PATIENCE: Duration = Duration::from_secs(90);
const PAUSE: Duration = Duration::from_millis(200);
/// In this time nodes that start together have met.
const MEETING: Duration = Duration::from_secs(10);

/// How a keyspace stands to [`CURRENT`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// No keyspace, or no version in it.
    Absent,
    Current,
    Older(i32),
    /// Made by a later program, or by something else.
    Newer(i32),
}

/// What an application did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Applied {
    /// Statements were run here.
    Made,
    /// It was current, or another made it meanwhile.
    Found,
}

/// Why a schema could not be told or made.
#[derive(Debug, thiserror::Error)]
pub enum SchemaError {
    #[error(
        "the schema in keyspace {keyspace} is version {found}, this program knows {CURRENT}; run a program as new as it"
    )]
    Newer { keyspace: String, found: i32 },
    #[error(
        "keyspace {keyspace} is absent, or has no schema of Postern's; `postern serve` or `postern schema apply` makes it"
    )]
    Absent { keyspace: String },
    #[error(
        "the schema in keyspace {keyspace} is version {found} of {CURRENT}; `postern schema apply` brings it up"
    )]
    Older { keyspace: String, found: i32 },
    #[error(
        "there is no data centre `{datacenter}`, the cluster has {known}; mend store.cassandra.datacenter"
    )]
    Datacenter { datacenter: String, known: String },
    #[error(
        "replication {replication} is more than the {nodes} nodes of {datacenter}; mend store.cassandra.replication or add nodes"
    )]
    Replication {
        replication: usize,
        datacenter: String,
        nodes: usize,
    },
    #[error(
        "another program has been changing the schema for {0:?}; see whether it still runs, and try again"
    )]
    Held(Duration),
    #[error(transparent)]
    Refused(#[from] Box<ExecutionError>),
    #[error("the nodes do not agree on the schema: {0}")]
    Agreement(#[from] Box<SchemaAgreementError>),
    #[error("the cluster answered what was not asked: {0}")]
    Answer(String),
}

impl From<ExecutionError> for SchemaError {
    fn from(error: ExecutionError) -> Self {
        Self::Refused(Box::new(error))
    }
}

/// How far the keyspace is. Reads only.
pub async fn status(session: &Session, layout: &Layout) -> Result<Status, SchemaError> {
    let table = "SELECT table_name FROM system_schema.tables WHERE keyspace_name = ? AND table_name = 'schema_version'";
    if rows(session, table, (&layout.keyspace,)).await?.is_empty() {
        return Ok(Status::Absent);
    }
    let text = format!(
        "SELECT v FROM {}.schema_version WHERE k = 'version'",
        layout.keyspace
    );
    let row = rows(session, &text, ()).await?.into_iter().next();
    Ok(match row.as_ref().and_then(|row| row.get("v")) {
        None => Status::Absent,
        Some(CqlValue::Int(CURRENT)) => Status::Current,
        Some(CqlValue::Int(older)) if *older < CURRENT => Status::Older(*older),
        Some(CqlValue::Int(newer)) => Status::Newer(*newer),
        Some(other) => return Err(SchemaError::Answer(format!("{other:?}"))),
    })
}

/// Makes what is missing; answers when all nodes that are up agree on it.
pub async fn apply(session: &Session, layout: &Layout) -> Result<Applied, SchemaError> {
    if let Some(done) = settled(session, layout).await? {
        return Ok(done);
    }
    await_fit(session, layout).await?;
    // Who may not make keyspaces may use one that was made for it.
    let keyspace = "SELECT keyspace_name FROM system_schema.keyspaces WHERE keyspace_name = ?";
    if rows(session, keyspace, (&layout.keyspace,)).await?.is_empty() {
        change(session, &layout.keyspace()).await?;
    }
    change(session, &layout.versions()).await?;
    let holder = Uuid::now_v7();
    let end = Instant::now() + PATIENCE;
    while !claim(session, layout, holder).await? {
        if Instant::now() > end {
            return Err(SchemaError::Held(PATIENCE));
        }
        tokio::time::sleep(PAUSE).await;
        if let Some(done) = settled(session, layout).await? {
            return Ok(done);
        }
    }
    let done = advance(session, layout, holder).await;
    // A failure here costs the next one a minute, no more.
    let free = format!(
        "DELETE FROM {}.schema_version WHERE k = 'lease' IF holder = ?",
        layout.keyspace
    );
    let freed = transact(session, &free, (holder,)).await;
    let done = done?;
    if let Err(error) = freed {
        tracing::warn!(%error, "the lease on the schema was not given back; it expires by itself");
    }
    Ok(done)
}

/// What there is to say without a change.
async fn settled(session: &Session, layout: &Layout) -> Result<Option<Applied>, SchemaError> {
    match status(session, layout).await? {
        Status::Absent | Status::Older(_) => Ok(None),
        Status::Current => {
            agree(session).await?;
            Ok(Some(Applied::Found))
        }
        Status::Newer(found) => Err(SchemaError::Newer {
            keyspace: layout.keyspace.clone(),
            found,
        }),
    }
}

/// Nodes that have just started are not known to each other yet.
async fn await_fit(session: &Session, layout: &Layout) -> Result<(), SchemaError> {
    let end = Instant::now() + MEETING;
    loop {
        match fits(session, layout) {
            Err(SchemaError::Replication { .. }) if Instant::now() < end => {}
            judged => return judged,
        }
        tokio::time::sleep(PAUSE).await;
        if let Err(error) = session.refresh_metadata().await {
            tracing::debug!(%error, "the nodes are asked again who is there");
        }
    }
}

/// Cassandra takes a keyspace that it cannot serve with a warning, and refuses every request afterwards.
fn fits(session: &Session, layout: &Layout) -> Result<(), SchemaError> {
    let state = session.get_cluster_state();
    let mut known: Vec<&str> = state
        .get_nodes_info()
        .iter()
        .filter_map(|node| node.datacenter.as_deref())
        .collect();
    let nodes = known.iter().filter(|name| **name == layout.datacenter).count();
    if nodes == 0 {
        known.sort_unstable();
        known.dedup();
        return Err(SchemaError::Datacenter {
            datacenter: layout.datacenter.clone(),
            known: known.join(", "),
        });
    }
    if nodes < layout.replication {
        return Err(SchemaError::Replication {
            replication: layout.replication,
            datacenter: layout.datacenter.clone(),
            nodes,
        });
    }
    Ok(())
}

async fn claim(session: &Session, layout: &Layout, holder: Uuid) -> Result<bool, SchemaError> {
    let text = format!(
        "INSERT INTO {}.schema_version (k, holder) VALUES ('lease', ?) IF NOT EXISTS USING TTL {LEASE_SECONDS}",
        layout.keyspace
    );
    // A try that was applied although its answer was lost has left our own name there.
    let row = transact(session, &text, (holder,)).await?;
    Ok(row.is_applied() || row.get("holder") == Some(&CqlValue::Uuid(holder)))
}

/// The versions that are missing, one by one. The lease is renewed before each statement.
async fn advance(session: &Session, layout: &Layout, holder: Uuid) -> Result<Applied, SchemaError> {
    let found = match status(session, layout).await? {
        Status::Absent => None,
        Status::Older(version) => Some(version),
        Status::Current | Status::Newer(_) => return Ok(Applied::Found),
    };
    let (keyspace, mut before) = (&layout.keyspace, found);
    let renew = format!(
        "UPDATE {keyspace}.schema_version USING TTL {LEASE_SECONDS} SET holder = ? WHERE k = 'lease' IF holder = ?"
    );
    let note = format!(
        "UPDATE {keyspace}.schema_version SET v = ?, applied = toTimestamp(now()) WHERE k = 'version' IF v = ?"
    );
    let made = super::made(session, keyspace).await?;
    for version in found.unwrap_or(0) + 1..=CURRENT {
        for step in layout.steps(version, made) {
            if !transact(session, &renew, (holder, holder)).await?.is_applied() {
                return Err(SchemaError::Held(Duration::ZERO));
            }
            change(session, &step).await?;
        }
        agree(session).await?;
        transact(session, &note, (version, before)).await?;
        before = Some(version);
        tracing::info!(keyspace, version, "schema applied");
    }
    Ok(Applied::Made)
}

/// A statement of the schema; the driver waits for agreement after it.
async fn change(session: &Session, text: &str) -> Result<(), SchemaError> {
    let mut statement = Statement::new(text);
    statement.set_is_idempotent(true);
    statement.set_request_timeout(Some(Duration::from_secs(30)));
    persist(|| async { session.query_unpaged(statement.clone(), ()).await.map(drop) }).await
}

async fn agree(session: &Session) -> Result<(), SchemaError> {
    session
        .await_schema_agreement()
        .await
        .map(drop)
        .map_err(|error| SchemaError::Agreement(Box::new(error)))
}

/// A lightweight transaction, tried again: every one here may be repeated.
pub(super) async fn transact(
    session: &Session,
    text: &str,
    values: impl SerializeRow + Clone,
) -> Result<NamedRow, SchemaError> {
    let row = rows(session, text, values).await?.into_iter().next();
    row.ok_or_else(|| SchemaError::Answer("no row for a lightweight transaction".to_owned()))
}

async fn rows(
    session: &Session,
    text: &str,
    values: impl SerializeRow + Clone,
) -> Result<Vec<NamedRow>, SchemaError> {
    let mut statement = Statement::new(text);
    statement.set_is_idempotent(true);
    statement.set_consistency(Consistency::LocalQuorum);
    statement.set_serial_consistency(Some(SerialConsistency::LocalSerial));
    let ask = || async { session.query_unpaged(statement.clone(), values.clone()).await };
    let result = persist(ask).await?;
    NamedRow::all(result).map_err(SchemaError::Answer)
}

/// Tries until it is done, is refused for good, or the time is over.
async fn persist<T, F: Future<Output = Result<T, ExecutionError>>>(
    attempt: impl Fn() -> F,
) -> Result<T, SchemaError> {
    let end = Instant::now() + PATIENCE;
    loop {
        match attempt().await {
            Ok(done) => return Ok(done),
            Err(error) if is_final(&error) || Instant::now() > end => return Err(error.into()),
            Err(error) => tracing::debug!(%error, "the schema is tried again"),
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Whether the same words can never be taken. `Invalid` can: a node that does not know a table yet says so.
fn is_final(error: &ExecutionError) -> bool {
    let ExecutionError::LastAttemptError(RequestAttemptError::DbError(error, _)) = error else {
        return matches!(error, ExecutionError::BadQuery(_));
    };
    matches!(
        error,
        DbError::SyntaxError | DbError::Unauthorized | DbError::AuthenticationError | DbError::ConfigError
    )
}
