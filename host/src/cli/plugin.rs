//! `postern plugin`.

use super::client::Gateway;
use super::{ListFormat, output};
use crate::config::Config;
use crate::control::{Operation, PluginRecord};
use std::process::ExitCode;

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Lists what decides, and what was refused and why.
    List(#[command(flatten)] ListFormat),
}

pub(super) async fn run(config: &Config, command: Command) -> anyhow::Result<ExitCode> {
    let mut gateway = Gateway::of(config).await?;
    let Command::List(format) = command;
    output::list(&mut gateway, &Operation::PluginList, format).await
}

pub(super) fn line(plugin: &PluginRecord) -> String {
    let line = format!("{}  {}", plugin.name, plugin.state);
    match plugin.answers.as_slice() {
        [] => line,
        answers => format!("{line}  {}", answers.join(", ")),
    }
}
