//! `postern domain`.

use super::{ListFormat, output};
use crate::config::Config;
use crate::control::Operation;
use crate::store::Domain;
use std::process::ExitCode;

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Adds a domain.
    Add {
        domain: String,
        /// Every address of DOMAIN is looked up in this one.
        #[arg(long, value_name = "DOMAIN")]
        alias_of: Option<String>,
    },
    /// Lists the domains.
    List(#[command(flatten)] ListFormat),
    /// Removes a domain that no user or alias needs any more.
    Remove { domain: String },
}

pub(super) async fn run(config: &Config, command: Command) -> anyhow::Result<ExitCode> {
    let operation = match command {
        Command::Add { domain, alias_of } => Operation::DomainAdd {
            name: domain,
            alias_of,
        },
        Command::List(format) => return output::run_list(config, &Operation::DomainList, format).await,
        Command::Remove { domain } => Operation::DomainRemove { name: domain },
    };
    output::run_tell(config, &operation).await
}

pub(super) fn line(domain: &Domain) -> String {
    match &domain.alias_of {
        Some(other) => format!("{} (another name of {other})", domain.name),
        None => domain.name.clone(),
    }
}
