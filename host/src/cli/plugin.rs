//! `postern plugin`: what decides here, and commands for those who write policies. These need neither
//! a gateway nor a configuration.

mod build;
mod cases;
mod inspect;
mod mail;
mod new;
mod run;
mod session;
mod words;

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
    #[command(flatten)]
    Author(Author),
}

/// For those who write policies.
#[derive(Debug, clap::Subcommand)]
pub(super) enum Author {
    /// Begins a policy: a small complete project.
    New(new::Arguments),
    /// Makes a component of a project, by the tools of its language.
    Build(build::Arguments),
    /// Says what a component is and needs, and whether it would be loaded.
    Inspect(inspect::Arguments),
    /// Puts every question that a component answers, and prints what it says and does.
    Run(Box<run::Arguments>),
    /// Puts the questions of a folder of cases, and compares the answers.
    Test(cases::Arguments),
}

pub(super) async fn list(config: &Config, format: ListFormat) -> anyhow::Result<ExitCode> {
    match Gateway::running(config).await? {
        Some(mut gateway) => output::list(&mut gateway, &Operation::PluginList, format).await,
        None => list_folder(config, format),
    }
}

pub(super) fn author(command: Author) -> anyhow::Result<ExitCode> {
    match command {
        Author::New(arguments) => new::run(&arguments),
        Author::Build(arguments) => build::run(&arguments),
        Author::Inspect(arguments) => inspect::run(&arguments),
        Author::Run(arguments) => run::run(&arguments),
        Author::Test(arguments) => cases::run(&arguments),
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
