//! `postern alias`.

use super::{ListFormat, output};
use crate::config::Config;
use crate::control::Operation;
use std::process::ExitCode;

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Adds targets to an alias, a group or, as @DOMAIN, a catch-all; makes it if it is not there.
    Add {
        #[arg(value_name = "ADDRESS|@DOMAIN")]
        address: String,
        #[arg(required = true, value_name = "TARGET")]
        targets: Vec<String>,
    },
    /// Lists the aliases.
    List(#[command(flatten)] ListFormat),
    /// Removes an alias with all its targets.
    Remove {
        #[arg(value_name = "ADDRESS|@DOMAIN")]
        address: String,
    },
}

pub(super) async fn run(config: &Config, command: Command) -> anyhow::Result<ExitCode> {
    let operation = match command {
        Command::Add { address, targets } => Operation::AliasAdd { address, targets },
        Command::List(format) => return output::run_list(config, &Operation::AliasList, format).await,
        Command::Remove { address } => Operation::AliasRemove { address },
    };
    output::run_tell(config, &operation).await
}
