//! The statements: a gateway's, and those of the schema of 2011.
//!
//! In 2011 a mailbox was one wide row with the bodies in it; here that is one table whose rows hold body and
//! listing together, kept on disk as our table of small bodies is.

use super::prepare;
use scylla::client::session::Session;
use scylla::statement::batch::{Batch, BatchType};
use scylla::statement::prepared::PreparedStatement;

/// Where the body of a small message lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Layout {
    /// In a table of its own, under the key of the listing.
    Ours,
    /// In the listing's row, as in 2011.
    Wide,
}

pub(super) fn table_of_2011(keyspace: &str) -> String {
    format!(
        "CREATE TABLE IF NOT EXISTS {keyspace}.wide (mbox text, epoch int, msg uuid, size bigint, size7 bigint, \
         trace blob, uidl text, codec tinyint, body blob, facts blob, PRIMARY KEY ((mbox, epoch), msg)) \
         WITH compaction = {{'class': 'UnifiedCompactionStrategy', 'scaling_parameters': 'T8', \
         'target_sstable_size': '1GiB'}} AND compression = {{'enabled': 'false'}} AND gc_grace_seconds = 259200"
    )
}

pub(super) struct Statements {
    pub(super) small: Batch,
    pub(super) removal: Batch,
    pub(super) entry: PreparedStatement,
    pub(super) entries: PreparedStatement,
    pub(super) body: PreparedStatement,
    pub(super) part: PreparedStatement,
    pub(super) commit: PreparedStatement,
    pub(super) epoch: PreparedStatement,
    pub(super) low: PreparedStatement,
    pub(super) wide: PreparedStatement,
    pub(super) wide_entries: PreparedStatement,
    pub(super) wide_body: PreparedStatement,
}

impl Statements {
    pub(super) async fn prepare(session: &Session, keyspace: &str) -> anyhow::Result<Self> {
        let prepared = async |cql: &str| prepare(session, &cql.replace("{ks}", keyspace)).await;
        let entry = prepared(
            "INSERT INTO {ks}.entry (mbox, epoch, msg, size, size7, trace, uidl, body) \
             VALUES (?, ?, ?, ?, ?, ?, ?, ?) USING TIMESTAMP ?",
        )
        .await?;
        let small = prepared(
            "INSERT INTO {ks}.small (mbox, epoch, msg, codec, size, body, facts) \
             VALUES (?, ?, ?, ?, ?, ?, ?) USING TIMESTAMP ?",
        )
        .await?;
        let drop_entries =
            prepared("DELETE FROM {ks}.entry USING TIMESTAMP ? WHERE mbox = ? AND epoch = ? AND msg IN ?")
                .await?;
        let drop_small =
            prepared("DELETE FROM {ks}.small USING TIMESTAMP ? WHERE mbox = ? AND epoch = ? AND msg IN ?")
                .await?;
        Ok(Self {
            small: together([&entry, &small]),
            removal: together([&drop_entries, &drop_small]),
            entry,
            entries: prepared(
                "SELECT msg, size, size7, trace, uidl FROM {ks}.entry WHERE mbox = ? AND epoch = ? AND msg >= ?",
            )
            .await?,
            body: prepared("SELECT body FROM {ks}.small WHERE mbox = ? AND epoch = ? AND msg = ?").await?,
            part: prepared("INSERT INTO {ks}.blob (id, seq, codec, data) VALUES (?, ?, ?, ?) USING TIMESTAMP ?")
                .await?,
            commit: prepared(
                "INSERT INTO {ks}.blob (id, head_size, text_size, facts) VALUES (?, ?, ?, ?) USING TIMESTAMP ?",
            )
            .await?,
            epoch: prepared("INSERT INTO {ks}.maildrop (mbox, epoch) VALUES (?, ?)").await?,
            low: prepared("UPDATE {ks}.maildrop SET low = ? WHERE mbox = ? AND epoch = ?").await?,
            wide: prepared(
                "INSERT INTO {ks}.wide (mbox, epoch, msg, size, size7, trace, uidl, codec, body, facts) \
                 VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) USING TIMESTAMP ?",
            )
            .await?,
            wide_entries: prepared(
                "SELECT msg, size, size7, trace, uidl FROM {ks}.wide WHERE mbox = ? AND epoch = ? AND msg >= ?",
            )
            .await?,
            wide_body: prepared("SELECT body FROM {ks}.wide WHERE mbox = ? AND epoch = ? AND msg = ?").await?,
        })
    }
}

fn together(parts: [&PreparedStatement; 2]) -> Batch {
    let mut batch = Batch::new(BatchType::Unlogged);
    for part in parts {
        batch.append_statement(part.clone());
    }
    batch.set_is_idempotent(true);
    batch
}
