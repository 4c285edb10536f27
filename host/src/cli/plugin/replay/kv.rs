//! What a policy finds in its share of the store while mail is replayed: what that holds now, read key by key and never
//! written to; or nothing, and why.

use super::active;
use super::source::{NoStore, Source};
use crate::cli::client::Gateway;
use crate::control::{Operation, Record};
use crate::policy::stand::{Beneath, Stand, enforced_name, own_name};
use crate::store::{Result, StoreError};
use anyhow::Context as _;
use async_trait::async_trait;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD as BASE64;
use bytes::Bytes;
use std::io;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::oneshot;

/// Looked for to find out whether anything can be.
const ANY: &str = "-";
/// After so long without a question one is asked.
const QUIET: Duration = Duration::from_secs(20);

/// What is told of it in the end.
#[derive(Debug, Clone)]
pub(super) enum Told {
    /// No policy has a share.
    Nothing,
    /// There is no store.
    Empty(String),
    /// There is one, and it could not be read.
    Unread(String),
    /// Where it is read, and why it could not be any more.
    Read(String, Arc<OnceLock<String>>),
}

impl Told {
    /// Whether it could not be read to the end.
    pub(super) fn is_torn(&self) -> bool {
        match self {
            Self::Nothing | Self::Empty(_) => false,
            Self::Unread(_) => true,
            Self::Read(_, failed) => failed.get().is_some(),
        }
    }

    /// One line for a person.
    pub(super) fn line(&self) -> Option<String> {
        match self {
            Self::Nothing => None,
            Self::Empty(why) => Some(format!("begins empty: {why}")),
            Self::Unread(why) => Some(format!("could not be read, and begins empty: {why}")),
            Self::Read(namespace, failed) => Some(match failed.get() {
                None => format!("begins with what {namespace} holds in the store now"),
                Some(why) => format!("could not be read to the end: {why}"),
            }),
        }
    }
}

/// The way to what the share of this policy holds; None where there is nothing to read.
pub(super) fn beneath(
    source: &mut Source,
    stand: &Stand,
) -> anyhow::Result<(Option<Arc<dyn Beneath>>, Told)> {
    let Some(share) = stand.share() else {
        return Ok((None, Told::Nothing));
    };
    match source.store()? {
        Ok(store) => {
            let namespace = enforced(source, stand.name(), share);
            over(store, namespace)
        }
        Err(NoStore::Absent(why)) => Ok((None, Told::Empty(why))),
        Err(NoStore::Failed(why)) => Ok((None, Told::Unread(why))),
    }
}

fn over(
    (mut gateway, handle): (Gateway, Handle),
    namespace: String,
) -> anyhow::Result<(Option<Arc<dyn Beneath>>, Told)> {
    if let Err(error) = handle.block_on(value(&mut gateway, &namespace, ANY)) {
        return Ok((None, Told::Unread(format!("{error:#}"))));
    }
    let (asks, asked) = channel();
    let reader = std::thread::Builder::new().name("kv".to_owned());
    let read_from = namespace.clone();
    reader
        .spawn(move || answer(&asked, &mut gateway, (&handle, &read_from)))
        .context("cannot start a thread that reads kv")?;
    let failed = Arc::<OnceLock<String>>::default();
    let share = Share {
        asks,
        failed: Arc::clone(&failed),
    };
    Ok((Some(Arc::new(share)), Told::Read(namespace, failed)))
}

/// That of the policy in force where the candidate's own file leaves it to the name, which may be spelled otherwise.
fn enforced(source: &mut Source, candidate: &str, share: &str) -> String {
    let named_like_it = share == own_name(enforced_name(candidate));
    let in_force = named_like_it
        .then(|| active::file(source, candidate).ok())
        .flatten();
    let name = in_force.and_then(|file| Some(own_name(file.file_stem()?.to_str()?).to_owned()));
    name.unwrap_or_else(|| share.to_owned())
}

struct Ask {
    key: String,
    answer: oneshot::Sender<std::result::Result<Option<Bytes>, String>>,
}

/// Asks on a thread of its own: a call that ends while it waits must not cut an exchange off in its middle.
#[derive(Debug)]
struct Share {
    asks: Sender<Ask>,
    failed: Arc<OnceLock<String>>,
}

#[async_trait]
impl Beneath for Share {
    async fn get(&self, _: &str, key: &str, _: u64) -> Result<Option<Bytes>> {
        let (answer, answered) = oneshot::channel();
        let key = key.to_owned();
        let gone = || "nobody reads it".to_owned();
        let found = match self.asks.send(Ask { key, answer }) {
            Ok(()) => answered.await.unwrap_or_else(|_| Err(gone())),
            Err(_) => Err(gone()),
        };
        found.map_err(|why| StoreError::Engine(self.failed.get_or_init(|| why).clone()))
    }
}

/// Until nobody can ask any more. A gateway leaves a client that says nothing for a minute.
fn answer(asked: &Receiver<Ask>, gateway: &mut Gateway, (handle, namespace): (&Handle, &str)) {
    loop {
        match asked.recv_timeout(QUIET) {
            Ok(Ask { key, answer }) => {
                let found = handle.block_on(value(gateway, namespace, &key));
                // The call may have ended meanwhile.
                let _ = answer.send(found.map_err(|error| format!("{error:#}")));
            }
            // Its trouble is met again by who asks next.
            Err(RecvTimeoutError::Timeout) => drop(handle.block_on(value(gateway, namespace, ANY))),
            Err(RecvTimeoutError::Disconnected) => return,
        }
    }
}

async fn value(gateway: &mut Gateway, namespace: &str, key: &str) -> anyhow::Result<Option<Bytes>> {
    let operation = Operation::KvRead {
        namespace: namespace.to_owned(),
        key: key.to_owned(),
    };
    let mut found = None;
    let mut each = |record: Record| -> io::Result<()> {
        if let Record::Content(octets) = record {
            found = Some(Bytes::from(BASE64.decode(octets).map_err(io::Error::other)?));
        }
        Ok(())
    };
    gateway.ask(&operation, &mut each).await?;
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::unix_millis;
    use crate::config::Config;
    use crate::control::{self, ControlContext};
    use crate::directory::Directory;
    use crate::store::cassandra::tests as cassandra;
    use crate::store::{KvWrite, MemoryStore, Store};
    use tokio_util::sync::CancellationToken;

    const CONFIG: &str = "hostname: a.example\nstate: .\npostmaster: a@b.example\n\
                          listeners: [ { role: mx, address: \"127.0.0.1:0\" } ]\n";

    #[test]
    fn a_share_is_read_by_the_gateway_that_runs_and_without_one() {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        let site = tempfile::tempdir().unwrap();
        let config = Config::parse(CONFIG, site.path()).unwrap();
        let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
        let write = KvWrite {
            value: Bytes::from_static(b"\0one"),
            ttl: 0,
            now: unix_millis(),
            quota: 100,
        };
        runtime.block_on(store.kv_set("n", "a", write)).unwrap();
        let directory = Directory::new(Arc::clone(&store), &config);
        let context = Arc::new(ControlContext::new(store, directory, None));
        let end = CancellationToken::new();
        let (path, serving) = (control::socket_path(&config.state), Arc::clone(&context));
        let serving = runtime.spawn({
            let end = end.clone();
            async move { control::serve(&path, serving, end).await }
        });
        let running = runtime.block_on(async {
            loop {
                if let Some(running) = Gateway::running(&config).await.unwrap() {
                    return running;
                }
                tokio::task::yield_now().await;
            }
        });
        for gateway in [Gateway::Stopped(context), running] {
            let (share, told) = over((gateway, runtime.handle().clone()), "n".to_owned()).unwrap();
            let share = share.unwrap();
            // The key is looked for in the share that was named, whatever the candidate calls its own.
            let get = |key: &str| runtime.block_on(share.get("other", key, 0));
            assert_eq!(get("a").unwrap(), Some(Bytes::from_static(b"\0one")));
            assert_eq!(get("b").unwrap(), None);
            let line = told.line().unwrap();
            assert_eq!(line, "begins with what n holds in the store now");
        }
        let running = runtime.block_on(Gateway::running(&config)).unwrap().unwrap();
        let (share, told) = over((running, runtime.handle().clone()), "n".to_owned()).unwrap();
        end.cancel();
        runtime.block_on(serving).unwrap().unwrap();
        assert!(!told.is_torn());
        assert!(runtime.block_on(share.unwrap().get("n", "a", 0)).is_err());
        assert!(told.is_torn());
        let line = told.line().unwrap();
        assert!(line.starts_with("could not be read to the end: "), "{line}");
    }

    #[test]
    fn a_store_that_is_away_is_not_an_empty_share() {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let site = tempfile::tempdir().unwrap();
        let config = Config::parse(CONFIG, site.path()).unwrap();
        let (_keyspace, store) = runtime.block_on(cassandra::empty());
        store.leave();
        let directory = Directory::new(store.clone(), &config);
        let gateway = Gateway::Stopped(Arc::new(ControlContext::new(store, directory, None)));
        let (share, told) = over((gateway, runtime.handle().clone()), "n".to_owned()).unwrap();
        assert!(share.is_none() && told.is_torn());
        let line = told.line().unwrap();
        assert_eq!(
            line,
            "could not be read, and begins empty: store: the cluster is away"
        );
    }
}
