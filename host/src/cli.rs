//! The command line.
//!
//! `postern serve` is the gateway and `postern check` reads its configuration; every other command is an
//! [`Operation`](crate::control::Operation), done by the running gateway or, where none runs, here, save those
//! for authors of policies, which need neither. Exit codes: 0 done, 1 refused or failed (one line on standard error says what to do), 2 misused.

mod alias;
mod check;
mod client;
mod domain;
mod explain;
mod output;
mod password;
mod plugin;
mod policies;
mod quarantine;
mod schema;
mod serve;
mod store;
mod user;

use crate::config::Config;
use clap::{Parser, Subcommand};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Where a configuration is looked for when none is named.
const USUAL: [&str; 2] = ["postern.yaml", "config/postern.yaml"];

/// A mail gateway whose every policy decision is made by sandboxed WebAssembly components.
#[derive(Debug, Parser)]
#[command(name = "postern", version, max_term_width = 100)]
struct Cli {
    /// The configuration; without it, postern.yaml or config/postern.yaml in this folder.
    #[arg(long, value_name = "FILE", global = true, env = "POSTERN_CONFIG")]
    config: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Runs the gateway.
    Serve,
    /// Names every fault of the configuration.
    Check,
    /// Local domains.
    #[command(subcommand)]
    Domain(domain::Command),
    /// Accounts and their mailboxes.
    #[command(subcommand)]
    User(user::Command),
    /// Aliases, groups and catch-alls.
    #[command(subcommand)]
    Alias(alias::Command),
    /// Mail that a policy held back.
    #[command(subcommand)]
    Quarantine(quarantine::Command),
    /// Why a message fared as it did, and what was refused lately: which policy read, said and changed what.
    Explain(explain::Arguments),
    /// The store as a whole.
    #[command(subcommand)]
    Store(store::Command),
    /// The tables of a Cassandra cluster.
    #[command(subcommand)]
    Schema(schema::Command),
    /// The policies: those of the running gateway or, where none runs, those it would start with; and any
    /// component, for its author.
    #[command(subcommand)]
    Plugin(plugin::Command),
}

/// Runs the command that the arguments name.
pub fn run() -> ExitCode {
    let cli = Cli::parse();
    let done = match cli.command {
        Command::Plugin(plugin::Command::Author(command)) => plugin::author(command, cli.config),
        command => configuration(cli.config).and_then(|path| match command {
            Command::Serve => serve::run(&path),
            Command::Check => check::run(&path),
            command => administer(&path, command),
        }),
    };
    match done {
        Ok(code) => code,
        Err(error) if output::is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            output::complain(&format!("{error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn configuration(named: Option<PathBuf>) -> anyhow::Result<PathBuf> {
    let usual = || USUAL.iter().map(PathBuf::from).find(|path| path.exists());
    named
        .or_else(usual)
        .ok_or_else(|| anyhow::anyhow!("no configuration here: name one with --config FILE"))
}

fn administer(path: &Path, command: Command) -> anyhow::Result<ExitCode> {
    let config = Config::load(path)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    runtime.block_on(async {
        match command {
            Command::Domain(command) => domain::run(&config, command).await,
            Command::User(command) => user::run(&config, command).await,
            Command::Alias(command) => alias::run(&config, command).await,
            Command::Quarantine(command) => quarantine::run(&config, command).await,
            Command::Explain(arguments) => explain::run(&config, arguments).await,
            Command::Store(command) => store::run(&config, command).await,
            Command::Schema(command) => schema::run(&config, command).await,
            Command::Plugin(command) => plugin::run(&config, command).await,
            // Handled by those who make a runtime of their own.
            Command::Serve | Command::Check => Ok(ExitCode::SUCCESS),
        }
    })
}

/// `--json` of every listing.
#[derive(Debug, Clone, Copy, clap::Args)]
struct ListFormat {
    /// One JSON array instead of lines for people.
    #[arg(long)]
    json: bool,
}
