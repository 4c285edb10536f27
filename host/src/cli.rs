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
use std::path::PathBuf;
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
    #[command(flatten)]
    Administer(Administer),
    /// The policies: those of the running gateway or, where none runs, those it would start with; and any
    /// component, for its author.
    #[command(subcommand)]
    Plugin(plugin::Command),
}

/// What the running gateway does or, where none runs, is done here.
#[derive(Debug, Subcommand)]
enum Administer {
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
    #[command(skip)]
    Policies(plugin::Running),
}

/// Runs the command that the arguments name.
pub fn run() -> ExitCode {
    match carry_out(Cli::parse()) {
        Ok(code) => code,
        Err(error) if output::is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            output::complain(&format!("{error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn carry_out(cli: Cli) -> anyhow::Result<ExitCode> {
    let named = cli.config;
    match cli.command {
        Command::Serve => configuration(named).and_then(|path| serve::run(&path)),
        Command::Check => configuration(named).and_then(|path| check::run(&path)),
        Command::Administer(command) => administer(named, command),
        Command::Plugin(plugin::Command::Running(command)) => {
            administer(named, Administer::Policies(command))
        }
        Command::Plugin(plugin::Command::Author(command)) => plugin::author(command, named),
    }
}

fn configuration(named: Option<PathBuf>) -> anyhow::Result<PathBuf> {
    let usual = || USUAL.iter().map(PathBuf::from).find(|path| path.exists());
    named.or_else(usual).ok_or_else(|| {
        anyhow::anyhow!("no configuration here: name one with --config FILE or POSTERN_CONFIG")
    })
}

fn administer(named: Option<PathBuf>, command: Administer) -> anyhow::Result<ExitCode> {
    let file = configuration(named)?;
    let config = Config::load(&file)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    runtime.block_on(async {
        match command {
            Administer::Domain(command) => domain::run(&config, command).await,
            Administer::User(command) => user::run(&config, command).await,
            Administer::Alias(command) => alias::run(&config, command).await,
            Administer::Quarantine(command) => quarantine::run(&config, command).await,
            Administer::Explain(arguments) => explain::run(&config, arguments).await,
            Administer::Store(command) => store::run(&config, command).await,
            Administer::Schema(command) => schema::run(&config, command).await,
            Administer::Policies(command) => plugin::run((&config, &file), command).await,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_that_can_do_nothing_without_a_store_makes_none() {
        let site = tempfile::tempdir().unwrap();
        let config = site.path().join("postern.yaml");
        let text = "hostname: a.example\npostmaster: a@b.example\nstate: state\n\
                    listeners: [ { role: mx, address: \"127.0.0.1:0\" } ]\n";
        std::fs::write(&config, text).unwrap();
        let done = |words: &str| {
            let words = ["postern", "--config", config.to_str().unwrap()]
                .into_iter()
                .chain(words.split(' '));
            carry_out(Cli::try_parse_from(words).unwrap())
        };
        let refused = [
            "domain list",
            "user list",
            "alias list --json",
            "quarantine list",
            "quarantine show 0",
            "quarantine show --raw 0",
            "store check",
            "store check --json",
            "store backup elsewhere",
            "explain 0",
            "explain --address a@b.example",
            "plugin replay no.wasm --from store",
            "domain remove b.example",
            "user passwd --generate a@b.example",
            "user quota a@b.example",
            "user remove --yes a@b.example",
            "alias remove a@b.example",
            "quarantine release 0",
            "quarantine drop 0",
            "store check --mend",
            "store sweep",
        ];
        for words in refused {
            let refused = format!("{:#}", done(words).unwrap_err());
            assert!(refused.contains("there is no store in "), "{words}: {refused}");
            assert_eq!(std::fs::read_dir(site.path()).unwrap().count(), 1, "{words}");
        }
        done("domain add b.example").unwrap();
        done("domain list").unwrap();
        done("store check").unwrap();
        done("domain remove b.example").unwrap();
    }
}
