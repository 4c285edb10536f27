//! `postern plugin`: what decides here, and commands for those who write policies. These need neither a gateway nor a
//! configuration, save a replay of stored mail.

mod bench;
mod build;
mod cases;
mod inspect;
mod new;
mod replay;
mod run;
mod session;
mod words;

use super::client::Gateway;
use super::output::Listing;
use super::{ListFormat, output, policies};
use crate::config::{Config, StoreConfig};
use crate::control::{AgreementRecord, Operation, PluginRecord, Record};
use crate::gateway;
use crate::policy::short;
use crate::store::embedded;
use anyhow::{Context as _, ensure};
use policies::keep;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

const NO_GATEWAY: &str = "no gateway runs; start one with postern serve";

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    #[command(flatten)]
    Running(Running),
    #[command(flatten)]
    Author(Author),
}

/// For those who run a gateway.
#[derive(Debug, clap::Subcommand)]
pub(super) enum Running {
    /// Lists what decides, and what was refused and why.
    List(#[command(flatten)] ListFormat),
    /// Shows how often a candidate said what the enforced version says, and how often something else.
    Compare {
        /// As it is listed; the number before it may be left out.
        name: String,
        #[command(flatten)]
        format: ListFormat,
    },
    /// Puts a policy that is out of service back into it, and gives a canary its share again.
    Reset {
        /// As it is listed; the number before it may be left out.
        name: String,
    },
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
    /// Measures what one call of each question takes.
    Bench(bench::Arguments),
    /// Puts stored or collected mail to a component, and counts what it would judge otherwise.
    Replay(replay::Arguments),
}

/// `file` is where the configuration was read.
pub(super) async fn run((config, file): (&Config, &Path), command: Running) -> anyhow::Result<ExitCode> {
    match command {
        Running::List(format) => list(config, file, format).await,
        Running::Compare { name, format } => {
            let mut gateway = running(config).await?.context(NO_GATEWAY)?;
            output::list(&mut gateway, &Operation::PluginCompare { name }, format).await
        }
        Running::Reset { name } => {
            let mut gateway = running(config).await?.context(NO_GATEWAY)?;
            output::say(&gateway.tell(&Operation::PluginReset { name }).await?)?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

/// The gateway that can be asked. One that starts compiles its policies before it can, and has its store already: that
/// is told where the store is on this machine.
async fn running(config: &Config) -> anyhow::Result<Option<Gateway>> {
    let gateway = Gateway::running(config).await?;
    if gateway.is_none() && matches!(config.store, StoreConfig::Embedded { .. }) {
        let folder = gateway::store_folder(config);
        ensure!(
            !embedded::is_in_use(&folder),
            "a gateway is starting, or another command has the store in {}: ask again when it is ready",
            folder.display()
        );
    }
    Ok(gateway)
}

async fn list(config: &Config, file: &Path, format: ListFormat) -> anyhow::Result<ExitCode> {
    match running(config).await? {
        Some(mut gateway) => output::list(&mut gateway, &Operation::PluginList, format).await,
        None => list_folder(config, file, format),
    }
}

pub(super) fn author(command: Author, configuration: Option<PathBuf>) -> anyhow::Result<ExitCode> {
    match command {
        Author::New(arguments) => new::run(&arguments),
        Author::Build(arguments) => build::run(&arguments),
        Author::Inspect(arguments) => inspect::run(&arguments),
        Author::Run(arguments) => run::run(&arguments),
        Author::Test(arguments) => cases::run(&arguments),
        Author::Bench(arguments) => bench::run(&arguments),
        Author::Replay(arguments) => replay::run(&arguments, configuration),
    }
}

/// Where no gateway runs: what one would start with.
fn list_folder(config: &Config, file: &Path, format: ListFormat) -> anyhow::Result<ExitCode> {
    let (policies, _) = policies::inspect(config)?;
    let mut listing = Listing::new(format);
    for listed in policies.list() {
        listing.add(&Record::Plugin(listed.into()))?;
    }
    listing.end()?;
    output::note(&format!(
        "no gateway runs for {} (another: --config or POSTERN_CONFIG); this is what one would start with",
        file.display()
    ));
    Ok(ExitCode::SUCCESS)
}

pub(super) fn line(plugin: &PluginRecord) -> String {
    let line = match plugin.state.strip_prefix("loaded") {
        Some(behind) => format!("{}  loaded {}{behind}", plugin.name, short(&plugin.digest)),
        // What an earlier version is and why, its state has already.
        None => format!("{}  {}", plugin.name, plugin.state),
    };
    let answers = plugin.answers.join(", ");
    let mode = match plugin.mode.as_str() {
        "enforce" => "",
        mode => mode,
    };
    let trouble = plugin.trouble.as_deref().unwrap_or_default();
    let parts = [line.as_str(), mode, answers.as_str(), trouble];
    let parts: Vec<&str> = parts.into_iter().filter(|part| !part.is_empty()).collect();
    parts.join("  ")
}

/// One cell of the matrix.
pub(super) fn agreement(cell: &AgreementRecord) -> String {
    let AgreementRecord {
        policy,
        question,
        enforced,
        candidate,
        differs,
        count,
    } = cell;
    let mark = if *differs { "≠" } else { "=" };
    format!("{policy}  {question:<8}  {enforced:<14} {mark}  {candidate:<14} {count:>10}")
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_digest_of_what_is_loaded_stands_behind_that_word() {
        let line = |state: &str| {
            // As an older gateway sends it.
            let record = serde_json::json!({
                "name": "10-one", "state": state, "status": "", "fault": null, "answers": ["rcpt"],
                "file": "plugins.d/10-one.wasm", "digest": "0123456789ab", "serving": null, "deadline_ms": 1,
                "memory": 1, "kv": null, "mode": "shadow", "trouble": null,
            });
            super::line(&serde_json::from_value(record).unwrap())
        };
        assert_eq!(line("loaded"), "10-one  loaded 01234567  shadow  rcpt");
        assert_eq!(
            line("loaded; its file is being compiled"),
            "10-one  loaded 01234567; its file is being compiled  shadow  rcpt"
        );
        assert_eq!(
            line("refused: loaded twice"),
            "10-one  refused: loaded twice  shadow  rcpt"
        );
    }
}
