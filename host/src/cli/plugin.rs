//! `postern plugin`.

use super::client::Gateway;
use super::output::Listing;
use super::{ListFormat, output, policies};
use crate::config::Config;
use crate::control::{Operation, PluginRecord, Record};
use std::process::ExitCode;

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Lists what decides, and what was refused and why.
    List(#[command(flatten)] ListFormat),
}

pub(super) async fn run(config: &Config, command: Command) -> anyhow::Result<ExitCode> {
    let Command::List(format) = command;
    match Gateway::running(config).await? {
        Some(mut gateway) => output::list(&mut gateway, &Operation::PluginList, format).await,
        None => list_folder(config, format),
    }
}

/// Where no gateway runs: what one would start with.
fn list_folder(config: &Config, format: ListFormat) -> anyhow::Result<ExitCode> {
    let (policies, _) = policies::inspect(config)?;
    let mut listing = Listing::new(format);
    for listed in policies.list() {
        listing.add(&Record::Plugin(listed.into()))?;
    }
    listing.end()?;
    output::note("no gateway runs; this is what one would start with");
    Ok(ExitCode::SUCCESS)
}

pub(super) fn line(plugin: &PluginRecord) -> String {
    let line = format!("{}  {}", plugin.name, plugin.state);
    match plugin.answers.as_slice() {
        [] => line,
        answers => format!("{line}  {}", answers.join(", ")),
    }
}
