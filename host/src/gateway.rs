//! What every session holds: the composition of a running gateway.

mod counts;

pub use counts::{AccountSession, AccountSessions, Budget, Claim};

use crate::config::{Config, StoreConfig};
use crate::directory::Directory;
use crate::net::Admission;
use crate::policy::Policies;
use crate::pop3::Locks;
use crate::store::embedded::Options;
use crate::store::{EmbeddedStore, Store};
use crate::tls::{Tls, TlsError};
use anyhow::Context as _;
use std::fs::DirBuilder;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::PathBuf;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// The parts of a running gateway.
#[derive(Debug)]
pub struct Gateway {
    pub config: Arc<Config>,
    pub store: Arc<dyn Store>,
    pub directory: Directory,
    pub policies: Arc<Policies>,
    pub tls: Tls,
    /// Sessions in all and by address; counted before a protocol begins.
    pub admission: Arc<Admission>,
    /// Sessions by account (`limits.sessions_per_account`); entered when a login succeeds.
    pub accounts: Arc<AccountSessions>,
    /// Maildrops that POP3 sessions have open.
    pub maildrops: Arc<Locks>,
    /// Octets of messages in transfer and commit (`limits.bytes_in_flight`).
    pub in_flight: Arc<Budget>,
    /// Cancelled when `limits.drain` is over: a session says 421 and ends, whatever is under way.
    pub cut: CancellationToken,
}

impl Gateway {
    /// Puts the parts together. `descriptors` is how many files the process may open.
    pub fn new(
        config: Arc<Config>,
        store: Arc<dyn Store>,
        policies: Arc<Policies>,
        descriptors: u64,
    ) -> Result<Self, TlsError> {
        Ok(Self {
            directory: Directory::new(Arc::clone(&store), &config),
            tls: Tls::open(&config)?,
            admission: Admission::new(&config.limits, &config.trusted, descriptors),
            accounts: AccountSessions::new(config.limits.sessions_per_account),
            maildrops: Locks::new(config.pop3.login_delay),
            in_flight: Budget::new(config.limits.bytes_in_flight),
            cut: CancellationToken::new(),
            config,
            store,
            policies,
        })
    }
}

/// The state folder is the owner's alone, and so is every file that this process makes from here on.
pub fn make_state(config: &Config) -> anyhow::Result<()> {
    let state = &config.state;
    rustix::process::umask(rustix::fs::Mode::from_bits_truncate(0o077));
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(state)
        .and_then(|()| std::fs::set_permissions(state, std::fs::Permissions::from_mode(0o700)))
        .with_context(|| {
            format!(
                "cannot make the state folder {}; give this user the right to",
                state.display()
            )
        })
}

/// Where the embedded store is.
pub fn store_folder(config: &Config) -> PathBuf {
    config.state.join("store")
}

/// Opens the store that the configuration names. Blocks while it repairs what a power cut left.
pub fn open_store(config: &Config) -> anyhow::Result<Arc<dyn Store>> {
    let reserve = match &config.store {
        StoreConfig::Embedded { reserve } => *reserve,
        StoreConfig::Cassandra(_) => {
            anyhow::bail!("store.cassandra is not served yet; write store: embedded")
        }
    };
    let options = Options {
        reserve,
        quarantine_max: config.quarantine.max,
        ..Options::default()
    };
    Ok(EmbeddedStore::open(store_folder(config), options)?)
}
