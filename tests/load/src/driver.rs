//! The bare driver: what a gateway asks of Cassandra for a delivery, asked without a gateway.
//!
//! The same statements with the same settings of the driver (connections, speculation, idempotence, time-outs)
//! and the same bound of requests in flight; nothing is retried. What a gateway's rate is compared with.

mod layout;

pub(crate) use layout::Layout;

use crate::ledger::Work;
use crate::message::{Message, Size};
use crate::options::Load;
use crate::pace::{Client, Did};
use crate::target::Traffic;
use anyhow::Context as _;
use futures_util::FutureExt as _;
use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use layout::Statements;
use scylla::client::PoolSize;
use scylla::client::execution_profile::ExecutionProfile;
use scylla::client::session::Session;
use scylla::client::session_builder::SessionBuilder;
use scylla::policies::load_balancing::DefaultPolicy;
use scylla::policies::speculative_execution::SimpleSpeculativeExecutionPolicy;
use scylla::policies::timestamp_generator::MonotonicTimestampGenerator;
use scylla::response::{PagingState, PagingStateResponse};
use scylla::statement::prepared::PreparedStatement;
use scylla::statement::{Consistency, SerialConsistency};
use scylla::value::Unset;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::sync::Semaphore;
use uuid::Uuid;

/// A gateway's `limits.in_flight`.
pub(crate) const IN_FLIGHT: usize = 128;
/// The largest message that lies beside its listing row.
const SMALL: usize = 16 * 1024;
/// Parts of a large body that one delivery has under way.
const PARTS_AT_ONCE: usize = 16;
/// As long as the gateway's own for a message of one recipient.
const TRACE: &[u8] = &[b't'; 240];
const FACTS: &[u8] = &[b'f'; 190];

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Level {
    One,
    LocalQuorum,
    All,
}

impl Level {
    /// As a configuration and a table name it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::One => "one",
            Self::LocalQuorum => "local_quorum",
            Self::All => "all",
        }
    }
}

/// Whether bodies are compressed before they are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Packing {
    /// As the gateway does: where it saves an eighth.
    Zstd,
    Plain,
}

/// How it writes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Writing {
    pub(crate) layout: Layout,
    pub(crate) packing: Packing,
    /// Octets of a part of a large body.
    pub(crate) part: usize,
}

impl Writing {
    /// A gateway's.
    pub(crate) const USUAL: Self = Self {
        layout: Layout::Ours,
        packing: Packing::Zstd,
        part: 128 * 1024,
    };
}

pub(crate) struct Driver {
    pub(crate) session: Session,
    statements: Statements,
    in_flight: Semaphore,
}

impl std::fmt::Debug for Driver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Driver").finish_non_exhaustive()
    }
}

pub(crate) async fn connect(nodes: &[String], level: Level) -> anyhow::Result<Session> {
    let nearby = DefaultPolicy::builder()
        .prefer_datacenter("dc1".to_owned())
        .build();
    let second = SimpleSpeculativeExecutionPolicy {
        max_retry_count: 1,
        retry_interval: Duration::from_millis(150),
    };
    let profile = ExecutionProfile::builder()
        .load_balancing_policy(nearby)
        .consistency(match level {
            Level::One => Consistency::LocalOne,
            Level::LocalQuorum => Consistency::LocalQuorum,
            Level::All => Consistency::All,
        })
        .serial_consistency(Some(SerialConsistency::LocalSerial))
        .speculative_execution_policy(Some(Arc::new(second)))
        .request_timeout(Some(Duration::from_secs(3)))
        .build();
    let session = SessionBuilder::new()
        .known_nodes(nodes)
        .default_execution_profile_handle(profile.into_handle())
        .pool_size(PoolSize::PerHost(NonZeroUsize::MIN.saturating_add(1)))
        .connection_timeout(Duration::from_secs(3))
        .keepalive_interval(Duration::from_secs(5))
        .keepalive_timeout(Duration::from_secs(5))
        .timestamp_generator(Arc::new(MonotonicTimestampGenerator::new()));
    session
        .build()
        .await
        .with_context(|| format!("no node of {} can be spoken to", nodes.join(", ")))
}

/// The key of a message in its mailbox, and the time of its rows.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place {
    pub(crate) epoch: i32,
    pub(crate) id: Uuid,
    pub(crate) written_at: i64,
}

impl Place {
    pub(crate) fn now() -> Self {
        Self::at(Uuid::now_v7())
    }

    pub(crate) fn at(id: Uuid) -> Self {
        let millis = (id.as_u128() >> 80) as i64;
        Self {
            epoch: (millis / (28 * 24 * 3600 * 1000)) as i32,
            id,
            written_at: millis * 1000,
        }
    }
}

impl Driver {
    /// The tables are a gateway's, or were made by its schema.
    pub(crate) async fn open(nodes: &[String], keyspace: &str, level: Level) -> anyhow::Result<Self> {
        let session = connect(nodes, level).await?;
        session.query_unpaged(layout::table_of_2011(keyspace), ()).await?;
        let statements = Statements::prepare(&session, keyspace)
            .await
            .context("are these a gateway's tables?")?;
        Ok(Self {
            session,
            statements,
            in_flight: Semaphore::new(IN_FLIGHT),
        })
    }

    pub(crate) async fn deliver(
        &self,
        mailbox: &str,
        place: Place,
        message: &Message,
        writing: Writing,
    ) -> anyhow::Result<()> {
        if message.octets.len() > SMALL && writing.layout == Layout::Ours {
            return self.deliver_large(mailbox, place, message, writing).await;
        }
        let (codec, body) = pack(&message.octets, writing.packing);
        let size = message.octets.len();
        let Place {
            epoch,
            id,
            written_at,
        } = place;
        let _permit = self.in_flight.acquire().await?;
        match writing.layout {
            Layout::Ours => {
                let entry = entry_values(mailbox, place, size, 0);
                let small = (mailbox, epoch, id, codec, size as i32, body, FACTS, written_at);
                self.session.batch(&self.statements.small, (entry, small)).await?;
            }
            Layout::Wide => {
                let row = (
                    mailbox,
                    epoch,
                    id,
                    size as i64,
                    Unset,
                    TRACE,
                    Unset,
                    codec,
                    body,
                    FACTS,
                    written_at,
                );
                self.session.execute_unpaged(&self.statements.wide, row).await?;
            }
        }
        Ok(())
    }

    /// Parts, then sizes, then the row that lists it.
    async fn deliver_large(
        &self,
        mailbox: &str,
        place: Place,
        message: &Message,
        writing: Writing,
    ) -> anyhow::Result<()> {
        let (head, text) = message.octets.split_at(message.text);
        let mut puts = vec![self.put_part(place, -1, head, writing).boxed()];
        for (seq, octets) in (0..).zip(text.chunks(writing.part)) {
            puts.push(self.put_part(place, seq, octets, writing).boxed());
        }
        stream::iter(puts)
            .buffer_unordered(PARTS_AT_ONCE)
            .try_collect::<()>()
            .await?;
        let _permit = self.in_flight.acquire().await?;
        let sizes = (
            place.id,
            head.len() as i64,
            text.len() as i64,
            FACTS,
            place.written_at,
        );
        self.session
            .execute_unpaged(&self.statements.commit, sizes)
            .await?;
        let entry = entry_values(mailbox, place, message.octets.len(), 1);
        self.session
            .execute_unpaged(&self.statements.entry, entry)
            .await?;
        Ok(())
    }

    async fn put_part(&self, place: Place, seq: i32, octets: &[u8], writing: Writing) -> anyhow::Result<()> {
        let (codec, body) = pack(octets, writing.packing);
        let _permit = self.in_flight.acquire().await?;
        let values = (place.id, seq, codec, body, place.written_at);
        self.session
            .execute_unpaged(&self.statements.part, values)
            .await?;
        Ok(())
    }

    /// Says that a mailbox has rows of this epoch, which its reader goes by.
    pub(crate) async fn put_epoch(&self, mailbox: &str, epoch: i32) -> anyhow::Result<()> {
        self.session
            .execute_unpaged(&self.statements.epoch, (mailbox, epoch))
            .await?;
        Ok(())
    }

    pub(crate) async fn put_low(&self, mailbox: &str, epoch: i32, low: Uuid) -> anyhow::Result<()> {
        self.session
            .execute_unpaged(&self.statements.low, (low, mailbox, epoch))
            .await?;
        Ok(())
    }

    /// The ids of a listing from `low` on, read page by page as a gateway reads it.
    pub(crate) async fn list(
        &self,
        layout: Layout,
        mailbox: &str,
        epoch: i32,
        low: Uuid,
    ) -> anyhow::Result<Vec<Uuid>> {
        type Row = (Uuid, i64, Option<i64>, Vec<u8>, Option<String>);
        let statement = match layout {
            Layout::Ours => &self.statements.entries,
            Layout::Wide => &self.statements.wide_entries,
        };
        let (mut ids, mut state) = (Vec::new(), PagingState::start());
        loop {
            let page = self
                .session
                .execute_single_page(statement, (mailbox, epoch, low), state)
                .await?;
            let (page, next) = page;
            for row in page.into_rows_result()?.rows::<Row>()? {
                ids.push(row?.0);
            }
            match next {
                PagingStateResponse::HasMorePages { state: next } => state = next,
                PagingStateResponse::NoMorePages => return Ok(ids),
            }
        }
    }

    /// Reads a small message; answers its octets as they are kept.
    pub(crate) async fn body(&self, layout: Layout, mailbox: &str, place: Place) -> anyhow::Result<usize> {
        let statement = match layout {
            Layout::Ours => &self.statements.body,
            Layout::Wide => &self.statements.wide_body,
        };
        let answer = self
            .session
            .execute_unpaged(statement, (mailbox, place.epoch, place.id))
            .await?;
        let (body,): (Vec<u8>,) = answer.into_rows_result()?.first_row()?;
        Ok(body.len())
    }

    /// Deletes small messages, as of twenty seconds from now.
    pub(crate) async fn remove(&self, mailbox: &str, epoch: i32, ids: &[Uuid]) -> anyhow::Result<()> {
        let since = SystemTime::now().duration_since(UNIX_EPOCH)?;
        let at = since.as_micros() as i64 + 20_000_000;
        let row = (at, mailbox, epoch, ids);
        self.session.batch(&self.statements.removal, (row, row)).await?;
        Ok(())
    }
}

type EntryValues<'a> = (&'a str, i32, Uuid, i64, Unset, &'a [u8], Unset, i8, i64);

fn entry_values(mailbox: &str, place: Place, size: usize, body: i8) -> EntryValues<'_> {
    let Place {
        epoch,
        id,
        written_at,
    } = place;
    (
        mailbox,
        epoch,
        id,
        size as i64,
        Unset,
        TRACE,
        Unset,
        body,
        written_at,
    )
}

fn pack(octets: &[u8], packing: Packing) -> (i8, Vec<u8>) {
    let packed = match packing {
        Packing::Plain => None,
        Packing::Zstd => crate::packing::pack(octets),
    };
    match packed {
        Some(packed) => (1, packed),
        None => (0, octets.to_vec()),
    }
}

async fn prepare(session: &Session, cql: &str) -> anyhow::Result<PreparedStatement> {
    let mut prepared = session.prepare(cql).await?;
    prepared.set_page_size(1000);
    prepared.set_is_idempotent(true);
    Ok(prepared)
}

#[derive(Debug, clap::Args)]
pub(crate) struct Bare {
    /// host:port of nodes
    #[arg(required = true)]
    nodes: Vec<String>,
    /// With a gateway's tables
    #[arg(long, default_value = "mail")]
    keyspace: String,
    #[arg(long, value_enum, default_value = "local_quorum")]
    consistency: Level,
    /// Octets of a message, or lognormal
    #[arg(long, default_value = "4096")]
    size: Size,
    #[command(flatten)]
    load: Load,
}

pub(crate) async fn run(options: Bare) -> anyhow::Result<()> {
    let driver = Driver::open(&options.nodes, &options.keyspace, options.consistency).await?;
    let client = Delivering {
        driver: Arc::new(driver),
        work: Arc::new(Work::new(vec!["bare".to_owned()], options.size).forgetting()),
        writing: Writing::USUAL,
    };
    let clients = vec![client; options.load.connections];
    let outcome = options.load.run(clients, &Traffic::default()).await?;
    options.load.telling.show(&outcome)
}

/// One of the deliveries that are under way.
#[derive(Debug, Clone)]
pub(crate) struct Delivering {
    pub(crate) driver: Arc<Driver>,
    pub(crate) work: Arc<Work>,
    pub(crate) writing: Writing,
}

impl Client for Delivering {
    async fn once(&mut self) -> anyhow::Result<Did> {
        let (message, to) = self.work.next();
        let delivery = self.driver.deliver(to, Place::now(), &message, self.writing);
        Box::pin(delivery).await?;
        Ok(Did::message(message.octets.len()))
    }
}
