//! Reads of every replica: walks through whole tables, by pieces of the ring, page by page, for those who compare and
//! collect; and the look for a body that a quorum lacks.
//!
//! They are tried a few times and given up, with an error that leaves the piece unread: a replica that is away for
//! hours is no reason to wait, and says nothing of what deliveries need, so the breaker is not told.

use super::CassandraStore;
use super::cluster::{Statement, read_page};
use super::rows;
use crate::message::MessageId;
use crate::store::{Result, StoreError};
use scylla::deserialize::row::DeserializeRow;
use scylla::errors::{DbError, ExecutionError, RequestAttemptError};
use scylla::response::PagingState;
use scylla::serialize::row::SerializeRow;
use std::collections::HashSet;
use std::time::Duration;
use uuid::Uuid;

const TRIES: u32 = 3;
const PAUSE: Duration = Duration::from_millis(300);
/// Ids asked for by one request.
const AT_ONCE: usize = 100;

/// Tokens above the first, up to the second.
pub(super) type Range = (i64, i64);

/// The rows of one piece of the ring.
#[derive(Debug)]
pub(super) struct Pages<'a> {
    store: &'a CassandraStore,
    statement: &'a Statement,
    range: Range,
    next: Option<PagingState>,
}

impl Pages<'_> {
    pub(super) async fn next<R>(&mut self) -> Result<Option<Vec<R>>>
    where
        R: for<'frame> DeserializeRow<'frame, 'frame>,
    {
        let Some(state) = self.next.take() else {
            return Ok(None);
        };
        let (rows, next) = self.store.page(self.statement, &self.range, state).await?;
        self.next = next;
        Ok(Some(rows))
    }
}

/// A replica is known to be away: asking again at once is in vain.
fn is_away(error: &ExecutionError) -> bool {
    matches!(
        error,
        ExecutionError::LastAttemptError(RequestAttemptError::DbError(DbError::Unavailable { .. }, _))
    )
}

impl CassandraStore {
    /// The ring, cut at the tokens of its nodes: each piece has one set of replicas.
    pub(super) fn ranges(&self) -> Vec<Range> {
        let state = self.cluster.session.get_cluster_state();
        let ring = state.replica_locator().ring();
        let mut ends: Vec<i64> = ring.iter().map(|(token, _)| token.value()).collect();
        ends.push(i64::MAX);
        // A range that ends where it begins is the whole ring to Cassandra.
        ends.retain(|end| *end != i64::MIN);
        ends.sort_unstable();
        ends.dedup();
        let starts = std::iter::once(i64::MIN).chain(ends.iter().copied());
        starts.zip(ends.iter().copied()).collect()
    }

    pub(super) fn pages<'a>(&'a self, statement: &'a Statement, range: Range) -> Pages<'a> {
        Pages {
            store: self,
            statement,
            range,
            next: Some(PagingState::start()),
        }
    }

    async fn page<R>(
        &self,
        statement: &Statement,
        values: &(impl SerializeRow + Sync),
        state: PagingState,
    ) -> Result<(Vec<R>, Option<PagingState>)>
    where
        R: for<'frame> DeserializeRow<'frame, 'frame>,
    {
        let session = &self.cluster.session;
        let mut tries = 1;
        let (page, next) = loop {
            match session
                .execute_single_page(&statement.prepared, values, state.clone())
                .await
            {
                Ok(answer) => break answer,
                Err(error) if tries == TRIES || is_away(&error) => {
                    return Err(StoreError::Engine(format!("{}: {error}", statement.name)));
                }
                Err(_) => tokio::time::sleep(PAUSE * tries).await,
            }
            tries += 1;
        };
        read_page(page, next)
    }

    /// All rows of a question.
    pub(super) async fn seek<R>(
        &self,
        statement: &Statement,
        values: impl SerializeRow + Sync,
    ) -> Result<Vec<R>>
    where
        R: for<'frame> DeserializeRow<'frame, 'frame>,
    {
        let (mut rows, mut next) = self.page(statement, &values, PagingState::start()).await?;
        while let Some(state) = next {
            let (more, after) = self.page(statement, &values, state).await?;
            rows.extend(more);
            next = after;
        }
        Ok(rows)
    }

    /// Whether a question has an answer.
    pub(super) async fn is_there(
        &self,
        statement: &Statement,
        values: impl SerializeRow + Sync,
    ) -> Result<bool> {
        Ok(!self
            .seek::<scylla::value::Row>(statement, values)
            .await?
            .is_empty())
    }

    /// Which of these ids a partition does not have.
    pub(super) async fn absent(
        &self,
        statement: &Statement,
        (mailbox, epoch): (&str, i32),
        ids: &[MessageId],
    ) -> Result<Vec<MessageId>> {
        let mut there = HashSet::new();
        for ids in ids.chunks(AT_ONCE) {
            let ids: Vec<Uuid> = ids.iter().copied().map(rows::uuid).collect();
            let found = self.seek::<(Uuid,)>(statement, (mailbox, epoch, ids)).await?;
            there.extend(found.into_iter().map(|(msg,)| rows::id(msg)));
        }
        Ok(ids.iter().copied().filter(|id| !there.contains(id)).collect())
    }
}
