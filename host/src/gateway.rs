//! What every session holds: the composition of a running gateway.

mod counts;

pub use counts::{AccountSession, AccountSessions, Budget, Claim};

use crate::config::{Config, Role, StoreConfig};
use crate::control::Access;
use crate::directory::Directory;
use crate::dns::Resolver;
use crate::explain::Attempts;
use crate::net::Admission;
use crate::policy::InForce;
use crate::pop3::{Leasing, Locks};
use crate::senders::Senders;
use crate::smtp::Stages;
use crate::store::embedded::{self, OpenError, Options};
use crate::store::{CassandraStore, EmbeddedStore, Store};
use crate::tls::{Tls, TlsError};
use anyhow::Context as _;
use std::fs::DirBuilder;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// The parts of a running gateway.
#[derive(Debug)]
pub struct Gateway {
    pub config: Arc<Config>,
    pub store: Arc<dyn Store>,
    pub directory: Directory,
    /// What is found out about strangers who send.
    pub senders: Senders,
    /// What decides from the next session on.
    pub policies: Arc<InForce>,
    pub tls: Tls,
    /// Sessions in all and by address; counted before a protocol begins.
    pub admission: Arc<Admission>,
    /// Sessions by account (`limits.sessions_per_account`); entered when a login succeeds.
    pub accounts: Arc<AccountSessions>,
    /// Maildrops that POP3 sessions have open.
    pub maildrops: Arc<Locks>,
    /// How they are kept from other gateways' sessions (`pop3.lease`).
    pub leasing: Option<Leasing>,
    /// Octets of messages in transfer and commit (`limits.bytes_in_flight`).
    pub in_flight: Arc<Budget>,
    /// What was refused lately, and why.
    pub attempts: Arc<Attempts>,
    /// How long the stages of messages take.
    pub stages: Stages,
    /// Cancelled when `limits.drain` is over: a session says 421 and ends, whatever is under way.
    pub cut: CancellationToken,
}

impl Gateway {
    /// Puts the parts together. `descriptors` is how many files the process may open.
    pub fn new(
        config: Arc<Config>,
        store: Arc<dyn Store>,
        policies: Arc<InForce>,
        descriptors: u64,
    ) -> Result<Self, TlsError> {
        let dns = Resolver::new(&config.dns);
        Self::over(config, store, policies, (dns, descriptors))
    }

    /// The same with a resolver that others use too.
    pub fn over(
        config: Arc<Config>,
        store: Arc<dyn Store>,
        policies: Arc<InForce>,
        (dns, descriptors): (Resolver, u64),
    ) -> Result<Self, TlsError> {
        let kept_free = Arc::clone(&store);
        Ok(Self {
            directory: Directory::new(Arc::clone(&store), &config),
            senders: Senders::new(&config, dns),
            tls: Tls::open(&config)?,
            admission: Admission::new(
                &config.limits,
                &config.trusted,
                for_sessions(&config, descriptors),
            ),
            accounts: AccountSessions::new(config.limits.sessions_per_account),
            maildrops: Locks::new(config.pop3.login_delay),
            leasing: Leasing::of(&store, config.pop3.lease),
            in_flight: Budget::telling(config.limits.bytes_in_flight, move |octets| {
                kept_free.in_flight(octets);
            }),
            attempts: Arc::new(Attempts::new(config.explain)),
            stages: Stages::default(),
            cut: CancellationToken::new(),
            config,
            store,
            policies,
        })
    }
}

/// The descriptors that connections of admin listeners cannot take from sessions.
fn for_sessions(config: &Config, descriptors: u64) -> u64 {
    match config
        .listeners
        .iter()
        .any(|listener| listener.role == Role::Admin)
    {
        true => descriptors.saturating_sub(config.admin.connections as u64),
        false => descriptors,
    }
}

/// The state folder is the owner's alone, and so is every file that this process makes from here on.
pub fn make_state(config: &Config) -> anyhow::Result<()> {
    let state = &config.state;
    anyhow::ensure!(
        state.is_dir() || !state.exists(),
        "the state folder {} is a file; move it away or name another folder as `state`",
        state.display()
    );
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

/// Opens the store that the configuration names. The embedded one blocks while it repairs what a power cut left.
pub async fn open_store(config: &Config) -> anyhow::Result<Arc<dyn Store>> {
    Ok(match &config.store {
        StoreConfig::Embedded { reserve } => open_embedded(config, *reserve, Duration::ZERO)?,
        StoreConfig::Cassandra(cluster) => CassandraStore::open(cluster, config.quarantine.max).await?,
    })
}

/// The same for a command that does no more than `access` says; another one may have the embedded store for a moment.
/// A store that is not there is made only by those that may be the first there, and a cluster's schema is left as it is
/// by those that read.
pub async fn open_store_for_command(config: &Config, access: Access) -> anyhow::Result<Arc<dyn Store>> {
    let cluster = match &config.store {
        StoreConfig::Embedded { reserve } => {
            let folder = store_folder(config);
            anyhow::ensure!(
                access == Access::Begins || embedded::was_made(&folder)?,
                "there is no store in {} yet: `postern domain add` or `postern serve` makes one",
                folder.display()
            );
            if access != Access::Reads {
                make_state(config)?;
            }
            return Ok(open_embedded(config, *reserve, embedded::PATIENCE)?);
        }
        StoreConfig::Cassandra(cluster) => cluster,
    };
    let most = config.quarantine.max;
    let store = match access {
        Access::Reads => CassandraStore::open_to_read(cluster, most).await?,
        Access::Changes => CassandraStore::open_to_change(cluster, most).await?,
        Access::Begins => CassandraStore::open(cluster, most).await?,
    };
    // Where there is no keyspace, nothing is left behind.
    if access != Access::Reads {
        make_state(config)?;
    }
    Ok(store)
}

fn open_embedded(config: &Config, reserve: u64, wait: Duration) -> Result<Arc<EmbeddedStore>, OpenError> {
    let options = Options {
        reserve,
        quarantine_max: config.quarantine.max,
        wait,
        ..Options::default()
    };
    EmbeddedStore::open(store_folder(config), options)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_folder_that_is_a_file_is_told_so() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("file"), "").unwrap();
        let text = "hostname: mx.example.org\nstate: file\npostmaster: a@example.org\n\
                    listeners: [ { role: mx, address: \"127.0.0.1:0\" } ]\n";
        let config = Config::parse(text, folder.path()).unwrap();
        let refused = make_state(&config).unwrap_err().to_string();
        assert!(refused.contains("is a file; move it away"), "{refused}");
    }

    #[tokio::test]
    async fn who_only_reads_leaves_the_state_folder_as_it_is() {
        let site = tempfile::tempdir().unwrap();
        let state = site.path().join("state");
        let text = "hostname: mx.example.org\nstate: state\npostmaster: a@example.org\n\
                    listeners: [ { role: mx, address: \"127.0.0.1:0\" } ]\n";
        let config = Config::parse(text, site.path()).unwrap();
        let refused = open_store_for_command(&config, Access::Reads)
            .await
            .unwrap_err()
            .to_string();
        assert!(refused.contains("there is no store in"), "{refused}");
        assert!(!state.exists());
        drop(open_store(&config).await.unwrap());
        std::fs::set_permissions(&state, std::fs::Permissions::from_mode(0o755)).unwrap();
        drop(open_store_for_command(&config, Access::Reads).await.unwrap());
        let mode = || state.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(), 0o755);
        make_state(&config).unwrap();
        assert_eq!(mode(), 0o700);
    }

    /// The store was told when a message began and never when it ended: after a burst it kept four times of that
    /// free, and refused mail for ever where there was less.
    #[test]
    fn the_store_keeps_free_what_is_under_way_now_and_no_longer() {
        let state = tempfile::tempdir().unwrap();
        let text = "hostname: mx.example.org\nstate: .\npostmaster: a@example.org\n\
                    listeners: [ { role: mx, address: \"127.0.0.1:0\" } ]\n";
        let config = Arc::new(Config::parse(text, state.path()).unwrap());
        let options = Options {
            reserve: 1000,
            free_space: Some(Arc::new(|| Ok(4000))),
            ..Options::default()
        };
        let store: Arc<dyn Store> = EmbeddedStore::open(store_folder(&config), options).unwrap();
        let gateway = Gateway::new(config, Arc::clone(&store), Arc::default(), 10_000).unwrap();
        let mut claim = gateway.in_flight.claim(1000).unwrap();
        assert!(store.ready().is_ok());
        assert!(claim.grow(1));
        assert!(store.ready().is_err(), "what a message grew by counts");
        drop(claim);
        assert!(store.ready().is_ok(), "what is over does not");
    }
}
