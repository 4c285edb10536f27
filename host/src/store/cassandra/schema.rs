//! The tables, as versions that are applied one after the other, and who applies them.
//!
//! [`Layout`] is what differs between clusters: keyspace, data centre, replication, dialect. [`apply`] may be
//! run again at any time, and by several at once: one holds the lease, the others wait for its end.
//! A schema that is newer than this program is refused and never touched. The dialect of ScyllaDB is text
//! that nobody has run yet, which [`Layout::print`] says.
//!
//! Every table has an id that is fixed before it is made: two who create one at the same time then create the same one
//! on every node, where ids chosen by the nodes would differ and lose writes. That of the table of versions is drawn
//! from the keyspace's name, those of the others from the keyspace's own id ([`made`]).

mod apply;
mod made;
mod tables;
#[cfg(test)]
mod tests;

pub use apply::{Applied, SchemaError, Status, apply, status};
pub(super) use made::{Made, begun, found, made};

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

    /// The table of versions, which every version needs. Its id depends on the keyspace's name and on nothing else.
    fn versions(&self) -> String {
        let table = &tables::SCHEMA_VERSION;
        let name = format!("{}/{}", self.keyspace, table.name);
        self.table(table, Uuid::new_v5(&NAMESPACE, name.as_bytes()))
    }

    /// What leads from the version before to `version`, in the keyspace with this id.
    fn steps(&self, version: i32, made: Uuid) -> Vec<String> {
        let of_version = TABLES.iter().filter(|table| table.since == version);
        of_version
            .map(|table| self.table(table, id(made, table)))
            .collect()
    }

    fn table(&self, table: &Table, id: Uuid) -> String {
        let mut text = format!(
            "CREATE TABLE IF NOT EXISTS {}.{} ({}) WITH id = {id}",
            self.keyspace, table.name, table.columns
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

    /// All statements, with what each table is for, for those who apply them by hand: once, for one keyspace.
    pub fn print(&self) -> String {
        let made = Uuid::new_v4();
        let mut text = format!("-- Postern's schema, version {CURRENT}.\n");
        if self.dialect == Dialect::Scylla {
            text.push_str("-- The dialect of ScyllaDB: written from its documentation and not run on it.\n");
        }
        let _ = writeln!(text, "{};", self.keyspace());
        let versions = &tables::SCHEMA_VERSION;
        let _ = writeln!(text, "\n-- {}\n{};", versions.purpose, self.versions());
        let note = format!("INSERT INTO {}.schema_version", self.keyspace);
        let _ = writeln!(text, "{note} (k, holder) VALUES ('made', {made}) IF NOT EXISTS;");
        for table in TABLES {
            let _ = writeln!(
                text,
                "\n-- {}\n{};",
                table.purpose,
                self.table(table, id(made, table))
            );
        }
        let _ = writeln!(
            text,
            "\n{note} (k, v, applied) VALUES ('version', {CURRENT}, toTimestamp(now())) IF NOT EXISTS;"
        );
        text
    }
}

/// The same for all who make the table in the keyspace with this id.
fn id(made: Uuid, table: &Table) -> Uuid {
    Uuid::new_v5(&made, table.name.as_bytes())
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
