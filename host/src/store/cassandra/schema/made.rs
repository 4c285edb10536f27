//! Which keyspace it is: one that was dropped and made again under its name has another id.
//!
//! The id is a row of the table of versions, written once by whoever comes first. The ids of all other tables are
//! drawn from it: a node that was away when the keyspace was dropped still has the old tables' data, and tables that
//! had the old ids again would bring the old mail back.

use super::super::transaction::NamedRow;
use super::Layout;
use super::apply::{self, SchemaError, Status};
use scylla::client::session::Session;
use scylla::errors::{DbError, ExecutionError, RequestAttemptError};
use scylla::statement::Consistency;
use scylla::statement::unprepared::Statement;
use scylla::value::CqlValue;
use uuid::Uuid;

/// What there is by a keyspace's name, as one node says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::store::cassandra) enum Made {
    Once(Uuid),
    /// No keyspace, or no tables.
    Never,
}

impl Made {
    /// For [`Made::as_told`].
    pub(in crate::store::cassandra) fn statement(keyspace: &str) -> String {
        format!("SELECT holder FROM {keyspace}.schema_version WHERE k = 'made'")
    }

    /// Nothing if the node cannot tell now, or the keyspace is being made.
    pub(in crate::store::cassandra) async fn as_told(
        session: &Session,
        mut asked: Statement,
    ) -> Option<Self> {
        asked.set_consistency(Consistency::LocalQuorum);
        let answer = match session.query_unpaged(asked, ()).await {
            Ok(answer) => answer.into_rows_result().ok()?,
            Err(ExecutionError::LastAttemptError(RequestAttemptError::DbError(DbError::Invalid, _))) => {
                return Some(Self::Never);
            }
            Err(_) => return None,
        };
        let (id,) = answer.maybe_first_row::<(Uuid,)>().ok()??;
        Some(Self::Once(id))
    }
}

/// The id of a keyspace that has its table of versions; it gets one if it has none.
pub(in crate::store::cassandra) async fn made(
    session: &Session,
    keyspace: &str,
) -> Result<Uuid, SchemaError> {
    let text = format!("INSERT INTO {keyspace}.schema_version (k, holder) VALUES ('made', ?) IF NOT EXISTS");
    let id = Uuid::new_v4();
    let row = apply::transact(session, &text, (id,)).await?;
    match row.is_applied() {
        true => Ok(id),
        false => holder(&row),
    }
}

/// The id of a keyspace whose schema is current. Reads only, and refuses what would have to be made or brought up.
pub(in crate::store::cassandra) async fn found(
    session: &Session,
    layout: &Layout,
) -> Result<Uuid, SchemaError> {
    let keyspace = layout.keyspace.clone();
    match apply::status(session, layout).await? {
        Status::Current => {}
        Status::Absent => return Err(SchemaError::Absent { keyspace }),
        Status::Older(found) => return Err(SchemaError::Older { keyspace, found }),
        Status::Newer(found) => return Err(SchemaError::Newer { keyspace, found }),
    }
    let row = apply::transact(session, &Made::statement(&keyspace), ()).await?;
    holder(&row)
}

/// Refuses where there is no schema that could be brought up.
pub(in crate::store::cassandra) async fn begun(
    session: &Session,
    layout: &Layout,
) -> Result<(), SchemaError> {
    match apply::status(session, layout).await? {
        Status::Absent => Err(SchemaError::Absent {
            keyspace: layout.keyspace.clone(),
        }),
        Status::Current | Status::Older(_) | Status::Newer(_) => Ok(()),
    }
}

fn holder(row: &NamedRow) -> Result<Uuid, SchemaError> {
    match row.get("holder") {
        Some(CqlValue::Uuid(id)) => Ok(*id),
        other => Err(SchemaError::Answer(format!("{other:?} is no keyspace's id"))),
    }
}
