//! `postern store copy`: all that is kept, from this machine's disk into the configured cluster or back.
//!
//! The configuration names the cluster; the embedded store is the one in its state folder, or in `--folder`.
//! Run again it goes on. Into a folder it is built beside its name and renamed when it is whole; a cluster is marked
//! until then, and no gateway starts on it.

use crate::cli::client::Gateway;
use crate::cli::output;
use crate::config::{CassandraConfig, Config, StoreConfig};
use crate::gateway;
use crate::store::copying::{self, Copied, Movable, Step};
use crate::store::embedded::{self, Options};
use crate::store::{CassandraStore, EmbeddedStore};
use anyhow::{Context as _, bail};
use indicatif::{ProgressBar, ProgressStyle};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Engine {
    Embedded,
    Cassandra,
}

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Arguments {
    #[arg(long, value_enum)]
    from: Engine,
    #[arg(long, value_enum)]
    to: Engine,
    /// The embedded store; without it, the one in the configuration's state folder.
    #[arg(long, value_name = "DIR")]
    folder: Option<PathBuf>,
}

#[cfg(test)]
impl Arguments {
    pub(super) fn new(from: &str, to: &str) -> Self {
        let engine = |name| <Engine as clap::ValueEnum>::from_str(name, false).unwrap();
        Self {
            from: engine(from),
            to: engine(to),
            folder: None,
        }
    }
}

pub(super) async fn run(config: &Config, arguments: Arguments) -> anyhow::Result<ExitCode> {
    let StoreConfig::Cassandra(cluster) = &config.store else {
        bail!(
            "this configuration names no cluster: run it with --config and one that has `store: {{ cassandra: … }}`"
        );
    };
    if Gateway::running(config).await?.is_some() {
        bail!(
            "a gateway runs with this configuration: stop it, and all others on this cluster, before you copy"
        );
    }
    let folder = arguments.folder.unwrap_or_else(|| gateway::store_folder(config));
    let copied = match (arguments.from, arguments.to) {
        (Engine::Embedded, Engine::Cassandra) => into_cluster(cluster, &folder).await?,
        (Engine::Cassandra, Engine::Embedded) => into_folder(config, cluster, &folder).await?,
        _ => bail!("a store is copied from embedded to cassandra, or from cassandra to embedded"),
    };
    output::say(&format!(
        "copied and compared: {} entries and {} in quarantine of {} messages, {} octets; {} domains, {} accounts, {} \
         aliases, {} values of policies",
        copied.entries,
        copied.quarantined,
        copied.messages,
        copied.octets,
        copied.domains,
        copied.accounts,
        copied.aliases,
        copied.values
    ))?;
    Ok(ExitCode::SUCCESS)
}

async fn into_cluster(cluster: &CassandraConfig, folder: &Path) -> anyhow::Result<Copied> {
    if !embedded::was_made(folder)? {
        bail!(
            "there is no store in {}: name its folder with --folder",
            folder.display()
        );
    }
    let from: Arc<dyn Movable> = open(folder)?;
    let to = CassandraStore::open_to_copy(cluster, u64::MAX).await?;
    to.begin_copy().await?;
    let target: Arc<dyn Movable> = Arc::clone(&to) as _;
    let copied = copy(&from, &target).await?;
    to.end_copy().await?;
    Ok(copied)
}

async fn into_folder(config: &Config, cluster: &CassandraConfig, folder: &Path) -> anyhow::Result<Copied> {
    if folder.exists() && folder.read_dir()?.next().is_some() {
        bail!(
            "{} is not empty; a store is copied into an empty folder only: move this one aside first",
            folder.display()
        );
    }
    let mut name = folder.file_name().unwrap_or_default().to_owned();
    name.push(".copying");
    let aside = folder.with_file_name(name);
    let from: Arc<dyn Movable> = CassandraStore::open_to_read(cluster, u64::MAX).await?;
    gateway::make_state(config)?;
    let to: Arc<dyn Movable> = open(&aside)?;
    let copied = copy(&from, &to).await?;
    drop(to);
    std::fs::rename(&aside, folder)
        .with_context(|| format!("{} cannot be named {}", aside.display(), folder.display()))?;
    let parent = folder.parent().filter(|parent| !parent.as_os_str().is_empty());
    std::fs::File::open(parent.unwrap_or(Path::new(".")))?.sync_all()?;
    Ok(copied)
}

fn open(folder: &Path) -> anyhow::Result<Arc<EmbeddedStore>> {
    let options = Options {
        quarantine_max: u64::MAX,
        wait: embedded::PATIENCE,
        ..Options::default()
    };
    Ok(EmbeddedStore::open(folder, options)?)
}

/// Drawn on a terminal only.
async fn copy(from: &Arc<dyn Movable>, to: &Arc<dyn Movable>) -> anyhow::Result<Copied> {
    let style = ProgressStyle::with_template("{msg} {wide_bar} {pos}/{len} ({per_sec}, {eta})");
    let bar = ProgressBar::new(0).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    let copied = copying::copy(from, to, |step, done, total| {
        bar.set_message(match step {
            Step::Copying => "copying",
            Step::Comparing => "comparing",
        });
        bar.set_length(total);
        bar.set_position(done);
    })
    .await;
    bar.finish_and_clear();
    Ok(copied?)
}
