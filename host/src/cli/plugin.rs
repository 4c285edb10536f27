//! `postern plugin`: what decides here, and commands for those who write policies. These need neither a gateway nor a
//! configuration, save a replay of stored mail.

mod bench;
mod cases;
mod inspect;
mod mail;
mod replay;
mod run;
mod session;
mod words;

use super::client::Gateway;
use super::output::Listing;
use super::{ListFormat, output, policies};
use crate::config::Config;
use crate::control::{Operation, PluginRecord, Record};
use std::path::PathBuf;
use std::process::ExitCode;

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Lists what decides, and what was refused and why.
    List(#[command(flatten)] ListFormat),
    #[command(flatten)]
    Author(Author),
}

/// For those who write policies.
#[derive(Debug, clap::Subcommand)]
pub(super) enum Author {
    /// Says what a component is and needs, and whether it would be loaded.
    Inspect(inspect::Arguments),
    /// Puts every question that a component answers, and prints what it says and does.
    Run(Box<run::Arguments>),
    /// Puts the questions of a folder of cases, and compares the answers.
    Test(cases::Arguments),
    /// Measures what one call of each question takes.
    Bench(bench::Arguments),
    /// Puts stored or collected mail to a component, and counts what it would judge otherwise.
    Replay(replay::Arguments),
}

pub(super) async fn list(config: &Config, format: ListFormat) -> anyhow::Result<ExitCode> {
    match Gateway::running(config).await? {
        Some(mut gateway) => output::list(&mut gateway, &Operation::PluginList, format).await,
        None => list_folder(config, format),
    }
}

pub(super) fn author(command: Author, configuration: Option<PathBuf>) -> anyhow::Result<ExitCode> {
    match command {
        Author::Inspect(arguments) => inspect::run(&arguments),
        Author::Run(arguments) => run::run(&arguments),
        Author::Test(arguments) => cases::run(&arguments),
        Author::Bench(arguments) => bench::run(&arguments),
        Author::Replay(arguments) => replay::run(&arguments, configuration),
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
