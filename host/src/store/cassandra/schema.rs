//! The tables, as versions that are applied one after the other, and who applies them.
//!
//! [`Layout`] is what differs between clusters: keyspace, data centre, replication, dialect. [`apply`] may be
//! run again at any time, and by several at once: one holds the lease, the others wait for its end.
//! A schema that is newer than this program is refused and never touched. The dialect of ScyllaDB is text
//! that nobody has run yet, which [`Layout::print`] says.
//!
//! Every table has a fixed id, made from keyspace and table: two who create one at the same time then
//! create the same one on every node, where ids chosen by the nodes would differ and lose writes. So a
//! keyspace that was dropped is not to be made again under its name; see `config/README.md`.

mod apply;
mod tables;
#[cfg(test)]
mod tests;

pub use apply::{Applied, SchemaError, Status, apply, status};

use crate::config::CassandraConfig;
use std::fmt::Write as _;
use tables::{Compaction, Compression, Grace, TABLES, Table};
use uuid::Uuid;

/// The version that this program reads and writes.
pub const CURRENT: i32 = 2;

/// The names in it are drawn from this one: never change it.
const NAMESPACE: Uuid = Uuid::from_u128(0x8d0f_3b62_6c0e_5b7e_9a41_5f6d_61b3_70c4);

/// Whose CQL.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Dialect {
    Cassandra,
    Scylla,
}

/// What a schema depends on. The names were checked with the configuration: they need no quotes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    pub keyspace: String,
    pub datacenter: String,
    pub replication: usize,
    pub dialect: Dialect,
}

impl Layout {
    /// What a configuration asks for, in Cassandra's words.
    pub fn of(config: &CassandraConfig) -> Self {
        Self {
            keyspace: config.keyspace.clone(),
            datacenter: config.datacenter.clone(),
            replication: config.replication,
            dialect: Dialect::Cassandra,
        }
    }

    /// The keyspace itself.
    pub fn keyspace(&self) -> String {
        let Self {
            keyspace,
            datacenter,
            replication,
            ..
        } = self;
        let tablets = match self.dialect {
            Dialect::Cassandra => "",
            // Lightweight transactions came to tablets late.
            Dialect::Scylla => " AND tablets = {'enabled': false}",
        };
        format!(
            "CREATE KEYSPACE IF NOT EXISTS {keyspace} WITH replication = {{'class': 'NetworkTopologyStrategy', '{datacenter}': {replication}}}{tablets}"
        )
    }

    /// The table of versions, which every version needs.
    fn versions(&self) -> String {
        self.table(&tables::SCHEMA_VERSION)
    }

    /// What leads from the version before to `version`.
    fn steps(&self, version: i32) -> Vec<String> {
        let of_version = TABLES.iter().filter(|table| table.since == version);
        of_version.map(|table| self.table(table)).collect()
    }

    /// The id of a table: the same wherever and by whomever it is made.
    fn id(&self, table: &str) -> Uuid {
        Uuid::new_v5(&NAMESPACE, format!("{}/{table}", self.keyspace).as_bytes())
    }

    fn table(&self, table: &Table) -> String {
        let mut text = format!(
            "CREATE TABLE IF NOT EXISTS {}.{} ({}) WITH id = {}",
            self.keyspace,
            table.name,
            table.columns,
            self.id(table.name)
        );
        let _ = write!(
            text,
            " AND compaction = {}",
            compaction(table.compaction, self.dialect)
        );
        if let Some(compression) = compression(table.compression, self.dialect) {
            let _ = write!(text, " AND compression = {compression}");
        }
        if table.grace == Grace::ThreeDays {
            // Repair runs at least every two days.
            text.push_str(" AND gc_grace_seconds = 259200");
        }
        text
    }

    /// All statements, with what each table is for, for those who apply them by hand.
    pub fn print(&self) -> String {
        let mut text = format!("-- Postern's schema, version {CURRENT}.\n");
        if self.dialect == Dialect::Scylla {
            text.push_str("-- The dialect of ScyllaDB: written from its documentation and not run on it.\n");
        }
        let _ = writeln!(text, "{};", self.keyspace());
        for table in std::iter::once(&tables::SCHEMA_VERSION).chain(TABLES) {
            let _ = writeln!(text, "\n-- {}\n{};", table.purpose, self.table(table));
        }
        let _ = writeln!(
            text,
            "\nINSERT INTO {}.schema_version (k, v, applied) VALUES ('version', {CURRENT}, toTimestamp(now())) IF NOT EXISTS;",
            self.keyspace
        );
        text
    }
}

/// The tables that hold anything but the version.
#[cfg(test)]
pub(super) fn tables() -> impl Iterator<Item = &'static str> {
    TABLES.iter().map(|table| table.name)
}

/// Spelt out on every table: without it one takes the server's default, which differs between installations.
fn compaction(compaction: Compaction, dialect: Dialect) -> &'static str {
    match (compaction, dialect) {
        (Compaction::Bodies, Dialect::Cassandra) => {
            "{'class': 'UnifiedCompactionStrategy', 'scaling_parameters': 'T8', 'target_sstable_size': '1GiB'}"
        }
        (Compaction::Rows, Dialect::Cassandra) => {
            "{'class': 'UnifiedCompactionStrategy', 'scaling_parameters': 'T4', 'target_sstable_size': '1GiB'}"
        }
        (Compaction::Bodies, Dialect::Scylla) => "{'class': 'IncrementalCompactionStrategy'}",
        (Compaction::Rows, Dialect::Scylla) => "{'class': 'LeveledCompactionStrategy'}",
    }
}

fn compression(compression: Compression, dialect: Dialect) -> Option<&'static str> {
    match (compression, dialect) {
        (Compression::Usual, _) => None,
        (Compression::Off, Dialect::Cassandra) => Some("{'enabled': 'false'}"),
        (Compression::Off, Dialect::Scylla) => Some("{'sstable_compression': ''}"),
        (Compression::SmallChunks, Dialect::Cassandra) => {
            Some("{'class': 'LZ4Compressor', 'chunk_length_in_kb': 4}")
        }
        (Compression::SmallChunks, Dialect::Scylla) => {
            Some("{'sstable_compression': 'LZ4Compressor', 'chunk_length_in_kb': 4}")
        }
    }
}
