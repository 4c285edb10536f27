//! The way to the cluster: how a request is sent, bounded, retried and given up.
//!
//! Every request that changes something is idempotent (lightweight transactions apart), so the driver may send
//! it to a second node when the first is slow, and this module sends it again until `deadline`, which the requests of
//! one delivery have in common. Not retried, and not told to the breaker: what no retry can mend (syntax, unknown
//! tables, missing rights). At most `in_flight` requests are under way, those that pause before they are sent again not
//! among them; others wait inside their deadline.

#[cfg(test)]
mod witness;

use super::breaker::{Admission, Breaker};
use crate::config::CassandraLimits;
use crate::store::{Result, StoreError};
use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use rand::RngExt as _;
use scylla::client::session::Session;
use scylla::deserialize::row::DeserializeRow;
use scylla::errors::{DbError, ExecutionError, RequestAttemptError};
use scylla::response::query_result::QueryResult;
use scylla::response::{PagingState, PagingStateResponse};
use scylla::serialize::batch::BatchValues;
use scylla::serialize::row::SerializeRow;
use scylla::statement::batch::Batch;
use scylla::statement::prepared::PreparedStatement;
use std::sync::OnceLock;
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout_at};

const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_millis(800);

tokio::task_local! {
    /// When the requests of this operation are given up.
    static END: Instant;
}

/// How many replicas stand behind an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reach {
    /// As many as a delivery needs.
    Delivery,
    /// Perhaps fewer: nothing is known of deliveries.
    Other,
}

/// A prepared statement and the name its figures have.
#[derive(Debug, Clone)]
pub(super) struct Statement {
    pub(super) name: &'static str,
    pub(super) reach: Reach,
    pub(super) prepared: PreparedStatement,
}

/// Prepared statements that are one mutation together.
pub(super) struct Together {
    pub(super) name: &'static str,
    pub(super) batch: Batch,
}

impl std::fmt::Debug for Together {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

/// Calls that one operation has under way at once.
pub(super) const AT_ONCE: usize = 16;

/// Answers of all calls, in order, or the first error.
pub(super) async fn all<T, F>(calls: impl IntoIterator<Item = F>) -> Result<Vec<T>>
where
    F: Future<Output = Result<T>>,
{
    stream::iter(calls).buffered(AT_ONCE).try_collect().await
}

/// What is known of the attempts before the one that was answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Earlier {
    /// There was none.
    None,
    /// They failed, and may have been applied all the same.
    Unclear,
}

/// What became of one attempt.
enum Attempt<T> {
    Answered(T),
    Failed(Box<ExecutionError>),
    /// The breaker is open.
    Refused,
    /// Too many others were under way.
    NoPlace,
}

pub(super) struct Cluster {
    pub(super) session: Session,
    pub(super) breaker: Breaker,
    /// Why nothing is asked of it any more.
    lost: OnceLock<String>,
    in_flight: Semaphore,
    deadline: Duration,
    #[cfg(test)]
    pub(super) witness: witness::Witness,
}

impl std::fmt::Debug for Cluster {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cluster")
            .field("breaker", &self.breaker)
            .finish_non_exhaustive()
    }
}

impl Cluster {
    pub(super) fn new(session: Session, limits: &CassandraLimits) -> Self {
        Self {
            session,
            breaker: Breaker::default(),
            lost: OnceLock::new(),
            in_flight: Semaphore::new(limits.in_flight),
            deadline: limits.deadline,
            #[cfg(test)]
            witness: witness::Witness::default(),
        }
    }

    /// From now on every request fails with this reason; answers whether that is new.
    pub(super) fn lose(&self, reason: &str) -> bool {
        self.lost.set(reason.to_owned()).is_ok()
    }

    pub(super) fn lost(&self) -> Option<StoreError> {
        self.lost.get().cloned().map(StoreError::Engine)
    }

    /// Does what has one deadline, however many requests it takes.
    pub(super) async fn in_time<W: Future>(&self, work: W) -> W::Output {
        END.scope(self.end(), work).await
    }

    /// When what is asked now is given up.
    pub(super) fn end(&self) -> Instant {
        END.try_with(|end| *end)
            .unwrap_or_else(|_| Instant::now() + self.deadline)
    }

    /// One request whose answer has no rows, or few.
    pub(super) async fn execute(
        &self,
        statement: &Statement,
        values: impl SerializeRow + Sync,
    ) -> Result<QueryResult> {
        self.conclude(statement, values).await.map(|(answer, _)| answer)
    }

    /// The same for those to whom it matters what earlier attempts may have done.
    pub(super) async fn conclude(
        &self,
        statement: &Statement,
        values: impl SerializeRow + Sync,
    ) -> Result<(QueryResult, Earlier)> {
        self.persist((statement.name, statement.reach), || {
            self.session.execute_unpaged(&statement.prepared, &values)
        })
        .await
    }

    /// Asks once, whatever the breaker says, so that it learns how the cluster is.
    pub(super) async fn probe(&self, statement: &Statement, values: impl SerializeRow + Sync) {
        let ask = || self.session.execute_unpaged(&statement.prepared, &values);
        let answer = self.attempt((statement.name, statement.reach), ask).await;
        let result = if answer.is_ok() { "answered" } else { "failed" };
        metrics::counter!("postern_cassandra_probes_total", "result" => result).increment(1);
    }

    /// All rows, page by page.
    pub(super) async fn rows<R>(
        &self,
        statement: &Statement,
        values: impl SerializeRow + Sync,
    ) -> Result<Vec<R>>
    where
        R: for<'frame> DeserializeRow<'frame, 'frame>,
    {
        let mut rows = Vec::new();
        let mut state = PagingState::start();
        loop {
            let page = || {
                self.session
                    .execute_single_page(&statement.prepared, &values, state.clone())
            };
            let ((page, next), _) = self.persist((statement.name, statement.reach), page).await?;
            let (more, next) = read_page::<R>(page, next)?;
            rows.extend(more);
            match next {
                Some(next) => state = next,
                None => return Ok(rows),
            }
        }
    }

    /// The first row, if there is one.
    pub(super) async fn row<R>(
        &self,
        statement: &Statement,
        values: impl SerializeRow + Sync,
    ) -> Result<Option<R>>
    where
        R: for<'frame> DeserializeRow<'frame, 'frame>,
    {
        let answer = self.execute(statement, values).await?;
        let rows = answer.into_rows_result().map_err(unreadable)?;
        rows.maybe_first_row().map_err(unreadable)
    }

    pub(super) async fn batch(&self, together: &Together, values: impl BatchValues) -> Result<()> {
        let send = || self.session.batch(&together.batch, &values);
        self.persist((together.name, Reach::Delivery), send)
            .await
            .map(|_| ())
    }

    /// Sends a request until it succeeds, its deadline is over, or no retry can help.
    async fn persist<T, F>(
        &self,
        (name, reach): (&'static str, Reach),
        attempt: impl Fn() -> F,
    ) -> Result<(T, Earlier)>
    where
        F: Future<Output = std::result::Result<T, ExecutionError>>,
    {
        if let Some(lost) = self.lost() {
            return Err(lost);
        }
        let end = self.end();
        let mut pause = FIRST_PAUSE;
        let mut failed = None;
        loop {
            let again = failed.is_some();
            match (self.once((name, reach), &attempt, (again, end)).await, &failed) {
                (Attempt::Answered(answer), None) => return Ok((answer, Earlier::None)),
                (Attempt::Answered(answer), Some(_)) => return Ok((answer, Earlier::Unclear)),
                (Attempt::Failed(error), _) if permanent(&error) => {
                    return Err(StoreError::Engine(format!("{name}: {error}")));
                }
                (Attempt::Failed(error), _) => failed = Some(error),
                (Attempt::Refused, None) => {
                    metrics::counter!("postern_cassandra_refused_total").increment(1);
                    return Err(StoreError::Engine("Cassandra is out of reach".to_owned()));
                }
                (Attempt::NoPlace, None) => {
                    return Err(StoreError::Engine(
                        "too many requests to Cassandra are under way".to_owned(),
                    ));
                }
                (Attempt::Refused | Attempt::NoPlace, Some(_)) => {}
            }
            let wait = pause.mul_f64(rand::rng().random_range(0.5..1.0));
            if let Some(error) = &failed
                && Instant::now() + wait >= end
            {
                metrics::counter!("postern_cassandra_given_up_total", "statement" => name).increment(1);
                return Err(StoreError::Engine(format!("{name}: {error}")));
            }
            tokio::time::sleep(wait).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// One attempt, once there is a place for it: who pauses between two has none, or a part of the ring without
    /// quorum would stop the others.
    async fn once<T, F>(
        &self,
        (name, reach): (&'static str, Reach),
        attempt: &impl Fn() -> F,
        (again, end): (bool, Instant),
    ) -> Attempt<T>
    where
        F: Future<Output = std::result::Result<T, ExecutionError>>,
    {
        if self.breaker.admit() == Admission::Refused {
            return Attempt::Refused;
        }
        let Ok(Ok(_permit)) = timeout_at(end, self.in_flight.acquire()).await else {
            metrics::counter!("postern_limit_hits_total", "limit" => "store.cassandra.limits.in_flight")
                .increment(1);
            return Attempt::NoPlace;
        };
        // It may have opened while this one waited.
        if self.breaker.admit() == Admission::Refused {
            return Attempt::Refused;
        }
        if again {
            metrics::counter!("postern_cassandra_retries_total", "statement" => name).increment(1);
        }
        match self.attempt((name, reach), attempt).await {
            Ok(answer) => Attempt::Answered(answer),
            Err(error) => Attempt::Failed(Box::new(error)),
        }
    }

    async fn attempt<T, F>(
        &self,
        (name, reach): (&'static str, Reach),
        attempt: impl Fn() -> F,
    ) -> std::result::Result<T, ExecutionError>
    where
        F: Future<Output = std::result::Result<T, ExecutionError>>,
    {
        let under_way = UnderWay::begin();
        let begun = Instant::now();
        // The driver's futures are large, and what holds them is moved many times on its way to the first poll.
        let answer = Box::pin(attempt()).await;
        #[cfg(test)]
        let answer = self.witness.saw(name, answer);
        drop(under_way);
        match &answer {
            Ok(_) => {
                self.breaker.succeeded(reach);
                metrics::histogram!("postern_cassandra_request_seconds", "statement" => name)
                    .record(begun.elapsed().as_secs_f64());
            }
            Err(error) => {
                note(&self.breaker, reach, error);
                tracing::debug!(statement = name, %error, "a request to Cassandra failed");
                metrics::counter!("postern_cassandra_errors_total", "statement" => name, "kind" => kind(error))
                    .increment(1);
            }
        }
        answer
    }
}

/// Counts a request until it ends, or until nobody waits for it any more.
struct UnderWay(metrics::Gauge);

impl UnderWay {
    fn begin() -> Self {
        let gauge = metrics::gauge!("postern_cassandra_in_flight");
        gauge.increment(1.0);
        Self(gauge)
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.decrement(1.0);
    }
}

/// Tells the breaker of a failure. One that no retry can mend says nothing of the nodes: what they refuse they are
/// there to refuse.
fn note(breaker: &Breaker, reach: Reach, error: &ExecutionError) {
    if !permanent(error) {
        breaker.failed(reach);
    }
}

/// Whether sending the same again cannot help.
fn permanent(error: &ExecutionError) -> bool {
    match error {
        ExecutionError::BadQuery(_) => true,
        ExecutionError::LastAttemptError(attempt) => match attempt {
            RequestAttemptError::SerializationError(_)
            | RequestAttemptError::CqlRequestSerialization(_)
            | RequestAttemptError::CqlResultParseError(_) => true,
            RequestAttemptError::DbError(error, text) => refused(error, text),
            _ => false,
        },
        _ => false,
    }
}

/// How a node begins that cannot read who may do what, for want of others: it calls that unauthorized too.
const UNDECIDED: &str = "Unable to perform authorization";

/// What a node refuses now it refuses always.
fn refused(error: &DbError, text: &str) -> bool {
    match error {
        DbError::SyntaxError | DbError::Invalid | DbError::ConfigError => true,
        DbError::Unauthorized => !text.starts_with(UNDECIDED),
        _ => false,
    }
}

/// What the figures call an error.
fn kind(error: &ExecutionError) -> &'static str {
    match error {
        ExecutionError::RequestTimeout(_) => "timeout",
        ExecutionError::ConnectionPoolError(_) | ExecutionError::EmptyPlan => "no_connection",
        ExecutionError::LastAttemptError(RequestAttemptError::DbError(error, text)) => match error {
            DbError::Unavailable { .. } => "unavailable",
            DbError::WriteTimeout { .. } => "write_timeout",
            DbError::ReadTimeout { .. } => "read_timeout",
            DbError::Overloaded => "overloaded",
            error if refused(error, text) => "refused",
            _ => "failed",
        },
        ExecutionError::LastAttemptError(_) => "broken_connection",
        _ => "other",
    }
}

/// The rows of a page, and where the next one begins.
pub(super) fn read_page<R>(
    page: QueryResult,
    next: PagingStateResponse,
) -> Result<(Vec<R>, Option<PagingState>)>
where
    R: for<'frame> DeserializeRow<'frame, 'frame>,
{
    let page = page.into_rows_result().map_err(unreadable)?;
    let rows = page.rows::<R>().map_err(unreadable)?;
    let rows = rows.collect::<std::result::Result<_, _>>().map_err(unreadable)?;
    Ok(match next {
        PagingStateResponse::HasMorePages { state } => (rows, Some(state)),
        PagingStateResponse::NoMorePages => (rows, None),
    })
}

/// An answer that is not what the schema says.
pub(super) fn unreadable(error: impl std::fmt::Display) -> StoreError {
    StoreError::Engine(format!("an answer of Cassandra cannot be read: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use metrics_exporter_prometheus::PrometheusBuilder;
    use scylla::errors::BadQuery;

    fn said(error: DbError) -> ExecutionError {
        answered(error, "said by a node")
    }

    fn answered(error: DbError, text: &str) -> ExecutionError {
        ExecutionError::LastAttemptError(RequestAttemptError::DbError(error, text.to_owned()))
    }

    fn is_open_after(error: &ExecutionError) -> bool {
        let breaker = Breaker::default();
        let failures = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        failures.block_on(async {
            for _ in 0..100 {
                note(&breaker, Reach::Delivery, error);
                tokio::time::advance(Duration::from_secs(1)).await;
            }
        });
        breaker.admit() == Admission::Refused
    }

    /// A right that was taken away stopped all mail, as if no node were left.
    #[test]
    fn what_no_retry_can_mend_does_not_open_the_breaker_and_what_waits_for_nodes_does() {
        for error in [
            said(DbError::Unauthorized),
            said(DbError::Invalid),
            said(DbError::SyntaxError),
            said(DbError::ConfigError),
            ExecutionError::BadQuery(BadQuery::PartitionKeyExtraction),
        ] {
            assert!(!is_open_after(&error), "{error}");
        }
        for error in [
            said(DbError::Overloaded),
            said(DbError::ServerError),
            answered(
                DbError::Unauthorized,
                "Unable to perform authorization of permissions: Cannot achieve",
            ),
            ExecutionError::RequestTimeout(Duration::ZERO),
            ExecutionError::EmptyPlan,
        ] {
            assert!(is_open_after(&error), "{error}");
        }
    }

    /// A policy's deadline and a sibling's error drop requests that wait.
    #[test]
    fn a_request_that_nobody_waits_for_any_more_is_not_under_way() {
        let recorder = PrometheusBuilder::new().build_recorder();
        let count = || {
            let text = recorder.handle().render();
            let mut lines = text.lines();
            lines.find_map(|line| Some(line.strip_prefix("postern_cassandra_in_flight ")?.to_owned()))
        };
        metrics::with_local_recorder(&recorder, || {
            let under_way = UnderWay::begin();
            assert_eq!(count().as_deref(), Some("1"));
            drop(under_way);
            assert_eq!(count().as_deref(), Some("0"));
        });
    }
}
