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
            refuse_own_folders(config, &folder)?;
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

/// A backup among what it is a backup of is lost with it.
fn refuse_own_folders(config: &Config, target: &Path) -> anyhow::Result<()> {
    let own = [Some(&config.state), config.policy_folder.as_ref()];
    for folder in own.into_iter().flatten() {
        if real(target).starts_with(real(&std::path::absolute(folder)?)) {
            anyhow::bail!(
                "{} is in {}, which belongs to the gateway: name a folder elsewhere, best on another disk",
                target.display(),
                folder.display()
            );
        }
    }
    Ok(())
}

/// Without links and `..`, as far as there is such a path.
fn real(path: &Path) -> PathBuf {
    let existing = path.ancestors().find_map(|there| {
        let rest = path.strip_prefix(there).ok()?;
        Some(there.canonicalize().ok()?.join(rest))
    });
    existing.unwrap_or_else(|| path.to_owned())
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
pub(super) async fn open(config: &Config) -> anyhow::Result<ControlContext> {
    gateway::make_state(config)?;
    let store: Arc<dyn Store> = gateway::open_store(config)
        .await
        .context("cannot open the store")?;
    let directory = Directory::new(Arc::clone(&store), config);
    Ok(ControlContext::new(store, directory, None))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_backup_into_the_gateways_own_folders_is_refused_by_whatever_path() {
        let site = tempfile::tempdir().unwrap();
        let at = |path: &str| site.path().join(path);
        let text = "hostname: a.example\npostmaster: a@b.example\npolicy: { folder: plugins.d }\n\
            listeners: [ { role: mx, address: \"127.0.0.1:0\" } ]\n";
        let config = Config::parse(text, site.path()).unwrap();
        for folder in [".postern/store", "plugins.d", "elsewhere"] {
            std::fs::create_dir_all(at(folder)).unwrap();
        }
        std::os::unix::fs::symlink(at(".postern"), at("link")).unwrap();
        for inside in [
            ".postern",
            ".postern/store/new/deep",
            "plugins.d/backup",
            "elsewhere/../.postern/x",
            "link/x",
        ] {
            let refused = refuse_own_folders(&config, &at(inside)).unwrap_err().to_string();
            assert!(refused.contains("belongs to the gateway"), "{refused}");
            assert_eq!(refused.lines().count(), 1);
        }
        for outside in ["elsewhere", "new/deep", ".postern2"] {
            refuse_own_folders(&config, &at(outside)).unwrap();
        }
    }
}
