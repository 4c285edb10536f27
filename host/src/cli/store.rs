//! `postern store`.

use crate::config::Config;
use crate::control::ControlContext;
use std::process::ExitCode;

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Checks it.
    Check,
}

pub(super) async fn run(_config: &Config, command: Command) -> anyhow::Result<ExitCode> {
    let Command::Check = command;
    anyhow::bail!("not yet")
}

pub(super) fn open(_config: &Config) -> anyhow::Result<ControlContext> {
    anyhow::bail!("not yet")
}
