//! `postern store`: backup, restore and check of all that is kept.

mod copy;

use super::client::Gateway;
use super::{ListFormat, output};
use crate::config::{Config, StoreConfig};
use crate::control::{Access, ControlContext, Operation};
use crate::directory::Directory;
use crate::gateway;
use crate::store::{Mend, Store, embedded};
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
    /// Compares what the store says in several places; exit code 1 if it does not agree.
    Check {
        /// Also writes what is missing where the rest says what it was (a cluster only).
        #[arg(long)]
        mend: bool,
        #[command(flatten)]
        format: ListFormat,
    },
    /// Copies all there is from this machine's disk into the configured cluster, or back; no gateway may run.
    Copy(#[command(flatten)] copy::Arguments),
    /// Removes what nobody can reach and is over two days old; a cluster's gateways do it once a day.
    Sweep,
}

pub(super) async fn run(config: &Config, command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Backup { folder } => {
            if matches!(config.store, StoreConfig::Cassandra(_)) {
                anyhow::bail!("the configured store is a cluster: back it up by its own snapshots");
            }
            let folder = std::path::absolute(folder)?;
            refuse_own_folders(config, &folder)?;
            output::run_tell(config, &Operation::StoreBackup { folder }).await
        }
        Command::Restore { folder } => {
            if matches!(config.store, StoreConfig::Cassandra(_)) {
                anyhow::bail!(
                    "the configured store is a cluster, and a backup is of the store on one machine's disk: restore \
                     it under a configuration with `store: embedded`, then `postern store copy` it"
                );
            }
            if Gateway::running(config).await?.is_some() {
                anyhow::bail!("a gateway runs on this store: stop it before you restore one");
            }
            restore(config, &folder)
        }
        Command::Check { mend, format } => {
            let mend = if mend { Mend::WithoutLoss } else { Mend::Nothing };
            output::run_list(config, &Operation::StoreCheck { mend }, format).await
        }
        Command::Copy(arguments) => copy::run(config, arguments).await,
        Command::Sweep => output::run_tell(config, &Operation::StoreSweep).await,
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
pub(super) async fn open(config: &Config, access: Access) -> anyhow::Result<ControlContext> {
    let store = gateway::open_store_for_command(config, access).await;
    Ok(over(store.context("cannot open the store")?, config))
}

fn over(store: Arc<dyn Store>, config: &Config) -> ControlContext {
    let directory = Directory::new(Arc::clone(&store), config);
    ControlContext::new(store, directory, None)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn configured(site: &Path, store: &str) -> Config {
        let text = format!(
            "hostname: a.example\npostmaster: a@b.example\nstore: {store}\n\
             listeners: [ {{ role: mx, address: \"127.0.0.1:0\" }} ]\n"
        );
        Config::parse(&text, site).unwrap()
    }

    #[tokio::test]
    async fn what_is_for_another_kind_of_store_is_refused_and_touches_nothing() {
        let site = tempfile::tempdir().unwrap();
        let cluster = configured(site.path(), "{ cassandra: { nodes: [ \"127.0.0.1:1\" ] } }");
        let folder = site.path().join("backup");
        let backed_up = Command::Backup {
            folder: folder.clone(),
        };
        let backed_up = run(&cluster, backed_up).await.unwrap_err();
        assert!(
            backed_up.to_string().contains("by its own snapshots"),
            "{backed_up}"
        );
        let restored = run(&cluster, Command::Restore { folder }).await.unwrap_err();
        assert!(
            restored.to_string().contains("the configured store is a cluster"),
            "{restored}"
        );
        let copy = |from, to| Command::Copy(copy::Arguments::new(from, to));
        let alone = configured(site.path(), "embedded");
        let copied = run(&alone, copy("embedded", "cassandra")).await.unwrap_err();
        assert!(copied.to_string().contains("names no cluster"), "{copied}");
        let copied = run(&cluster, copy("embedded", "embedded")).await.unwrap_err();
        assert!(
            copied.to_string().contains("from embedded to cassandra, or"),
            "{copied}"
        );
        let copied = run(&cluster, copy("embedded", "cassandra")).await.unwrap_err();
        assert!(copied.to_string().contains("there is no store in"), "{copied}");
        let kept = site.path().join(".postern/store");
        std::fs::create_dir_all(kept.join("db")).unwrap();
        let copied = run(&cluster, copy("cassandra", "embedded")).await.unwrap_err();
        assert!(copied.to_string().contains("is not empty"), "{copied}");
        assert_eq!(std::fs::read_dir(kept).unwrap().count(), 1);
    }

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
