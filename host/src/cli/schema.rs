//! `postern schema`: the tables of a cluster, printed, made, or compared with what this program needs.
//!
//! Exit code 1 from `status` unless the schema is current.

use super::output;
use crate::config::{CassandraConfig, Config, StoreConfig};
use crate::store::cassandra::schema::{self, Applied, CURRENT, Dialect, Layout, Status};
use crate::store::cassandra::session;
use std::process::ExitCode;

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Writes the statements out, for those who apply them by hand.
    Print(#[command(flatten)] Spelling),
    /// Makes what is missing; may be run again and by several at once.
    Apply(#[command(flatten)] Spelling),
    /// Tells whether the schema is absent, older, current or newer; exit code 0 only if it is current.
    Status,
}

#[derive(Debug, Clone, Copy, clap::Args)]
pub(super) struct Spelling {
    /// That of ScyllaDB was written from its documentation and not run on it.
    #[arg(long, value_enum, default_value_t = Dialect::Cassandra)]
    dialect: Dialect,
}

pub(super) async fn run(config: &Config, command: Command) -> anyhow::Result<ExitCode> {
    let StoreConfig::Cassandra(cluster) = &config.store else {
        anyhow::bail!("the configured store has no schema; it is for store: {{ cassandra: … }}");
    };
    match command {
        Command::Print(spelling) => {
            output::say(schema_of(cluster, spelling.dialect).print().trim_end())?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Apply(spelling) => apply(cluster, spelling.dialect).await,
        Command::Status => status(cluster).await,
    }
}

fn schema_of(cluster: &CassandraConfig, dialect: Dialect) -> Layout {
    Layout {
        dialect,
        ..Layout::of(cluster)
    }
}

async fn apply(cluster: &CassandraConfig, dialect: Dialect) -> anyhow::Result<ExitCode> {
    let session = session::connect(cluster).await?;
    let done = schema::apply(&session, &schema_of(cluster, dialect)).await?;
    let keyspace = &cluster.keyspace;
    output::say(&match done {
        Applied::Made => format!("keyspace {keyspace} has schema version {CURRENT} now"),
        Applied::Found => format!("keyspace {keyspace} has schema version {CURRENT} already"),
    })?;
    Ok(ExitCode::SUCCESS)
}

async fn status(cluster: &CassandraConfig) -> anyhow::Result<ExitCode> {
    let session = session::connect(cluster).await?;
    let status = schema::status(&session, &schema_of(cluster, Dialect::Cassandra)).await?;
    let (word, code) = match status {
        Status::Current => (format!("current: version {CURRENT}"), ExitCode::SUCCESS),
        Status::Absent => (
            "absent; make it with `postern schema apply`".to_owned(),
            ExitCode::FAILURE,
        ),
        Status::Older(version) => (
            format!("older: version {version} of {CURRENT}; bring it up with `postern schema apply`"),
            ExitCode::FAILURE,
        ),
        Status::Newer(version) => (
            format!("newer: version {version}, this program knows {CURRENT}"),
            ExitCode::FAILURE,
        ),
    };
    output::say(&format!("keyspace {}: {word}", cluster.keyspace))?;
    Ok(code)
}
