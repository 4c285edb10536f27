//! Where mail of the past is read: through the running gateway or, where none runs, from its store; or in a folder.

use crate::cli::client::Gateway;
use crate::cli::configuration;
use crate::cli::plugin::session::Session;
use crate::clock::unix_millis;
use crate::config::{Config, StoreConfig};
use crate::control::{MailRecord, Operation, PluginRecord, Record, Refusal};
use crate::explain::Stored;
use crate::gateway;
use crate::message::MessageId;
use crate::policy::{Facts, stand};
use crate::store::embedded;
use anyhow::{Context as _, bail, ensure};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD as BASE64;
use mail_parser::{HeaderName, MessageParser};
use std::collections::HashSet;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};
use tokio::runtime::{Builder, Handle, Runtime};

/// What is read of a store where nothing else is said.
const USUAL: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// One message of the past.
#[derive(Debug)]
pub(super) struct Past {
    pub(super) id: String,
    /// Milliseconds since 1970.
    pub(super) at: u64,
    pub(super) session: Session,
    pub(super) octets: Vec<u8>,
    pub(super) stored: Stored,
}

/// One that can be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Item {
    Stored(MailRecord),
    File(PathBuf),
}

/// Why no store is read.
#[derive(Debug)]
pub(super) enum NoStore {
    /// There is none.
    Absent(String),
    /// There is one.
    Failed(String),
}

/// Why one message is not read.
#[derive(Debug)]
pub(super) enum Unread {
    /// It was deleted meanwhile, or its file is at fault.
    Passed(String),
    /// The store's own trouble.
    Store(String),
}

/// See the module.
pub(super) struct Source {
    runtime: Runtime,
    /// As it was named; only what needs one asks for it.
    named: Option<PathBuf>,
    config: Option<Config>,
    /// Of a folder: only where something of its store is wanted.
    gateway: Option<Gateway>,
    /// None: the store.
    folder: Option<PathBuf>,
}

impl Source {
    pub(super) fn open(from: &str, named: Option<PathBuf>) -> anyhow::Result<Self> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()?;
        let mut source = Self {
            runtime,
            named,
            config: None,
            gateway: None,
            folder: (from != "store").then(|| from.into()),
        };
        if source.folder.is_none() {
            let config = source.config()?.clone();
            source.gateway = Some(source.runtime.block_on(Gateway::to_read(&config))?);
        }
        Ok(source)
    }

    pub(super) fn config(&mut self) -> anyhow::Result<&Config> {
        let config = match self.config.take() {
            Some(config) => config,
            None => Config::load(&configuration(self.named.clone())?)?,
        };
        Ok(self.config.insert(config))
    }

    /// Another way to the store, and where that is waited for; or why there is none. A folder needs no configuration,
    /// and a store that is not there is not made for it.
    pub(super) fn store(&mut self) -> anyhow::Result<Result<(Gateway, Handle), NoStore>> {
        let is_optional = self.folder.is_some() && self.named.is_none();
        if is_optional && configuration(None).is_err() {
            let why = "no configuration here names a store";
            return Ok(Err(NoStore::Absent(why.to_owned())));
        }
        let config = match self.config() {
            Ok(config) => config.clone(),
            Err(error) if is_optional => {
                return Ok(Err(NoStore::Absent(format!("{error:#}"))));
            }
            Err(error) => return Err(error),
        };
        let failed = |error: anyhow::Error| NoStore::Failed(format!("{error:#}"));
        let found = self.runtime.block_on(async {
            if self.gateway.is_none() {
                let running = Gateway::running(&config).await.map_err(failed)?;
                self.gateway = Some(match running {
                    Some(running) => running,
                    None => {
                        can_be_opened(&config).map_err(|error| NoStore::Absent(error.to_string()))?;
                        Gateway::to_read(&config).await.map_err(failed)?
                    }
                });
            }
            let gateway = self
                .gateway
                .as_ref()
                .context("no store is open")
                .map_err(failed)?;
            gateway.another(&config).await.map_err(failed)
        });
        let handle = self.runtime.handle().clone();
        Ok(found.map(|gateway| (gateway, handle)))
    }

    /// The policies of the running gateway; None where none runs.
    pub(super) fn plugins(&mut self) -> anyhow::Result<Option<Vec<PluginRecord>>> {
        let config = self.config()?.clone();
        self.runtime.block_on(async {
            let Some(mut gateway) = Gateway::running(&config).await? else {
                return Ok(None);
            };
            let mut plugins = Vec::new();
            let mut each = |record: Record| -> io::Result<()> {
                if let Record::Plugin(plugin) = record {
                    plugins.push(plugin);
                }
                Ok(())
            };
            gateway.ask(&Operation::PluginList, &mut each).await?;
            Ok(Some(plugins))
        })
    }

    /// What there is, each message once, oldest first in a store and by name in a folder.
    pub(super) fn list(&mut self, since: Option<Duration>) -> anyhow::Result<Vec<Item>> {
        match (&self.folder, &mut self.gateway) {
            (Some(folder), _) => in_folder(folder, since),
            (None, Some(gateway)) => {
                let ago = u64::try_from(since.unwrap_or(USUAL).as_millis()).unwrap_or(u64::MAX);
                let operation = Operation::MailList {
                    since: unix_millis().saturating_sub(ago),
                };
                let (mut items, mut seen) = (Vec::new(), HashSet::new());
                let mut each = |record: Record| -> io::Result<()> {
                    if let Record::Mail(mail) = record
                        && seen.insert(mail.id.clone())
                    {
                        items.push(Item::Stored(mail));
                    }
                    Ok(())
                };
                self.runtime.block_on(gateway.ask(&operation, &mut each))?;
                items.sort_by(|one, other| one.name().cmp(other.name()));
                Ok(items)
            }
            (None, None) => Ok(Vec::new()),
        }
    }

    /// The inner error is why it cannot be read, and others may; the outer one ends the work.
    pub(super) fn read(&mut self, item: &Item) -> anyhow::Result<Result<Past, Unread>> {
        match (item, &mut self.gateway) {
            (Item::Stored(mail), Some(gateway)) => {
                let operation = Operation::MailRead {
                    id: mail.id.clone(),
                    mailbox: mail.mailbox.clone(),
                };
                let (mut pieces, mut gone) = (Vec::new(), None);
                let mut each = |record: Record| -> io::Result<()> {
                    match record {
                        Record::Content(octets) => {
                            pieces.push(BASE64.decode(octets).map_err(io::Error::other)?);
                        }
                        Record::Gone(id) => {
                            gone = Some(Unread::Passed(format!("{id} is not there any more")))
                        }
                        _ => {}
                    }
                    Ok(())
                };
                match self.runtime.block_on(gateway.ask(&operation, &mut each)) {
                    Ok(_) => match gone {
                        Some(gone) => Ok(Err(gone)),
                        None => stored(mail, pieces).map(Ok),
                    },
                    Err(error) => match error.downcast::<Refusal>() {
                        Ok(Refusal(reason)) => Ok(Err(Unread::Store(format!("{}: {reason}", mail.id)))),
                        Err(error) => Err(error),
                    },
                }
            }
            (Item::File(file), _) => {
                Ok(from_file(file).map_err(|error| Unread::Passed(format!("{error:#}"))))
            }
            (Item::Stored(_), None) => anyhow::bail!("no store is open"),
        }
    }
}

impl Item {
    fn name(&self) -> &str {
        match self {
            Self::Stored(mail) => &mail.id,
            Self::File(file) => file.to_str().unwrap_or_default(),
        }
    }
}

/// Whether there is a store beside a folder, which needs none.
fn can_be_opened(config: &Config) -> anyhow::Result<()> {
    match config.store {
        StoreConfig::Embedded { .. } => {
            let is_there = embedded::is_there(&gateway::store_folder(config));
            ensure!(is_there, "there is no store yet");
        }
        StoreConfig::Cassandra(_) => {
            bail!("no gateway runs, and beside a folder a cluster is read through one alone")
        }
    }
    Ok(())
}

fn in_folder(folder: &Path, since: Option<Duration>) -> anyhow::Result<Vec<Item>> {
    let unread = || format!("cannot read the folder {}", folder.display());
    let oldest = since.map(|ago| Duration::from_millis(unix_millis()).saturating_sub(ago));
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).with_context(unread)? {
        let file = entry.with_context(unread)?.path();
        let is_mail = file.extension().is_some_and(|extension| extension == "eml");
        if is_mail && oldest.is_none_or(|oldest| changed(&file) >= oldest) {
            files.push(file);
        }
    }
    files.sort();
    Ok(files.into_iter().map(Item::File).collect())
}

/// Since 1970.
fn changed(file: &Path) -> Duration {
    let metadata = std::fs::metadata(file).and_then(|metadata| metadata.modified());
    metadata
        .ok()
        .and_then(|time| time.duration_since(UNIX_EPOCH).ok())
        .unwrap_or_default()
}

/// Facts and content as a gateway hands them over.
fn stored(mail: &MailRecord, pieces: Vec<Vec<u8>>) -> anyhow::Result<Past> {
    let parsed: MessageId = mail.id.parse()?;
    let mut pieces = pieces.into_iter();
    let facts = pieces.next().unwrap_or_default();
    let mut octets = mail.trace.clone().into_bytes();
    pieces.for_each(|piece| octets.extend(piece));
    let stored: Stored = serde_json::from_slice(&facts).unwrap_or_default();
    let facts: Facts = serde_json::from_slice(&facts).unwrap_or_default();
    Ok(Past {
        id: mail.id.clone(),
        at: parsed.unix_millis(),
        session: session(facts),
        octets,
        stored,
    })
}

fn session(facts: Facts) -> Session {
    Session {
        queue_id: Some(facts.queue_id),
        listener: Some(facts.listener),
        protocol: Some(facts.protocol),
        client_ip: Some(facts.client_ip),
        client_name: Some(facts.client_name),
        helo: Some(facts.helo),
        tls_version: facts.tls_version,
        tls_cipher: facts.tls_cipher,
        auth_user: facts.auth_user,
        mail_from: Some(facts.mail_from),
        rcpt_to: Some(facts.rcpt_to),
        // Those of then are what policies of then made.
        tags: Some(Vec::new()),
        auth: facts.auth,
    }
}

/// A message that was collected: its own `Return-Path`, `Delivered-To` and `Date` tell what is known of it.
fn from_file(file: &Path) -> anyhow::Result<Past> {
    let octets = stand::message(file).map_err(|fault| anyhow::anyhow!("{fault}"))?;
    let parsed = MessageParser::new().parse_headers(&octets);
    let header = |name: HeaderName<'static>| {
        let value = parsed.as_ref()?.header_raw(name)?;
        let address = value.trim().trim_start_matches('<').trim_end_matches('>');
        Some(address.to_owned())
    };
    let known = |text: String| crate::cli::plugin::session::sender(&text).ok();
    let date = parsed.as_ref().and_then(|message| message.date());
    let date = date.and_then(|date| u64::try_from(date.to_timestamp()).ok());
    let changed = u64::try_from(changed(file).as_millis()).unwrap_or(u64::MAX);
    let to = header(HeaderName::DeliveredTo).and_then(known);
    Ok(Past {
        id: file
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned(),
        at: date.map_or(changed, |seconds| seconds.saturating_mul(1000)),
        session: Session {
            mail_from: header(HeaderName::ReturnPath).and_then(known),
            rcpt_to: to.filter(|to| !to.is_empty()).map(|to| vec![to]),
            ..Session::default()
        },
        octets,
        stored: Stored::default(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::SystemTime;

    #[test]
    fn a_stored_message_is_as_filters_saw_it() {
        let facts =
            br#"{"queue_id":"Q","listener":"mx","protocol":"esmtp","client_ip":"192.0.2.1","client_name":"",
            "helo":"h","tls_version":null,"tls_cipher":null,"auth_user":null,"mail_from":"a@x.example",
            "rcpt_to":["b@x.example"],"tags":["odd"],"explained":{"steps":[],"replies":["250 ok"]}}"#;
        let id = MessageId::new();
        let pieces = vec![facts.to_vec(), b"A: b\r\n\r\n".to_vec(), b"text".to_vec()];
        let mail = MailRecord {
            id: id.to_string(),
            mailbox: None,
            trace: "Received: by x\r\n".to_owned(),
        };
        let past = stored(&mail, pieces).unwrap();
        assert_eq!(past.octets, b"Received: by x\r\nA: b\r\n\r\ntext");
        assert_eq!(
            (past.at, past.session.helo.as_deref()),
            (id.unix_millis(), Some("h"))
        );
        assert_eq!(past.session.tags, Some(Vec::new()));
        assert_eq!(past.stored.explained.unwrap().replies, ["250 ok"]);
    }

    /// Why a replay of a folder finds no share under this configuration.
    fn without_a_share(site: &Path, store: &str) -> String {
        let file = site.join("postern.yaml");
        let text = format!(
            "hostname: a.example\nstate: state\npostmaster: a@b.example\nstore: {store}\n\
             listeners: [ {{ role: mx, address: \"127.0.0.1:0\" }} ]\n"
        );
        std::fs::write(&file, text).unwrap();
        let mut source = Source::open(site.to_str().unwrap(), Some(file)).unwrap();
        match source.store().unwrap() {
            Err(NoStore::Absent(why)) => why,
            found => panic!("{:?}", found.err()),
        }
    }

    #[test]
    fn a_folder_makes_no_store_and_opens_no_cluster() {
        let site = tempfile::tempdir().unwrap();
        let lock = site.path().join("state/store");
        std::fs::create_dir_all(&lock).unwrap();
        assert_eq!(without_a_share(site.path(), "embedded"), "there is no store yet");
        assert_eq!(std::fs::read_dir(&lock).unwrap().count(), 0);
        // Nobody is there who could be asked.
        let cluster = "{ cassandra: { nodes: [\"127.0.0.1:1\"] } }";
        let why = without_a_share(site.path(), cluster);
        assert!(why.starts_with("no gateway runs, "), "{why}");
    }

    #[test]
    fn a_file_tells_who_sent_it_to_whom_and_when() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("1.eml");
        let text = "Return-Path: <a@x.example>\nDelivered-To: b@x.example\nDate: Thu, 01 Jan 1970 00:00:07 +0000\n\nx\n";
        std::fs::write(&file, text).unwrap();
        let past = from_file(&file).unwrap();
        assert_eq!((past.id.as_str(), past.at), ("1.eml", 7000));
        assert_eq!(past.session.mail_from.as_deref(), Some("a@x.example"));
        assert_eq!(past.session.rcpt_to, Some(vec!["b@x.example".to_owned()]));
        std::fs::write(&file, "Subject: x\n\nx\n").unwrap();
        let bare = from_file(&file).unwrap();
        assert_eq!((bare.session.mail_from, bare.session.rcpt_to), (None, None));
        assert!(bare.at > 7000);
        let before = SystemTime::now() - Duration::from_secs(1);
        std::fs::File::options()
            .write(true)
            .open(&file)
            .unwrap()
            .set_modified(before)
            .unwrap();
        std::fs::write(folder.path().join("2.txt"), "").unwrap();
        assert_eq!(in_folder(folder.path(), None).unwrap(), [Item::File(file)]);
        assert_eq!(in_folder(folder.path(), Some(Duration::ZERO)).unwrap(), []);
    }
}
