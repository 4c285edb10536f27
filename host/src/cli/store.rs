//! `postern store`: backup, restore and check of all that is kept.

use super::client::Gateway;
use super::{ListFormat, output};
use crate::config::Config;
use crate::control::{ControlContext, Operation};
use crate::directory::Directory;
use crate::gateway;
use crate::store::{Store, embedded};
use anyhow::Context as _;
use indicatif::{ProgressBar, ProgressStyle};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Writes all there is to one file in a folder; a running gateway goes on delivering.
    Backup {
        #[arg(value_name = "DIR")]
        folder: PathBuf,
    },
    /// Makes the store of a stopped gateway from a backup; there must be none yet.
    Restore {
        #[arg(value_name = "DIR")]
        folder: PathBuf,
    },
    /// Compares listings, bodies and usage; exit code 1 if they do not agree.
    Check(#[command(flatten)] ListFormat),
}

pub(super) async fn run(config: &Config, command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Backup { folder } => {
            let folder = std::path::absolute(folder)?;
            let mut gateway = Gateway::of(config).await?;
            output::say(&gateway.tell(&Operation::StoreBackup { folder }).await?)?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Restore { folder } => {
            if Gateway::running(config).await?.is_some() {
                anyhow::bail!("a gateway runs on this store: stop it before you restore one");
            }
            restore(config, &folder)
        }
        Command::Check(format) => {
            let mut gateway = Gateway::of(config).await?;
            output::list(&mut gateway, &Operation::StoreCheck, format).await
        }
    }
}

fn restore(config: &Config, folder: &Path) -> anyhow::Result<ExitCode> {
    gateway::make_state(config)?;
    let bar = ProgressBar::new_spinner().with_style(style());
    let rows = embedded::restore(folder, &gateway::store_folder(config), |octets| {
        bar.set_position(octets)
    })?;
    bar.finish_and_clear();
    output::say(&format!("{rows} rows restored from {}", folder.display()))?;
    Ok(ExitCode::SUCCESS)
}

/// Drawn on a terminal only.
fn style() -> ProgressStyle {
    ProgressStyle::with_template("{spinner} {bytes} ({bytes_per_sec})")
        .unwrap_or_else(|_| ProgressStyle::default_spinner())
}

/// The store of a gateway that does not run, opened as its only user.
pub(super) fn open(config: &Config) -> anyhow::Result<ControlContext> {
    gateway::make_state(config)?;
    let store: Arc<dyn Store> = gateway::open_store(config).context("cannot open the store")?;
    let directory = Directory::new(Arc::clone(&store), config);
    Ok(ControlContext::new(store, directory, None))
}
