//! A gateway with one account, and clients of it.

use crate::config::Listener;
use crate::directory::tests::{config, directory};
use crate::gateway::Gateway;
use crate::message::MessageId;
use crate::message::downgrade::downgraded_len;
use crate::net::{Connection, Stream};
use crate::pop3::serve;
use crate::store::embedded::Options;
use crate::store::{
    Account, Atomicity, Ceiling, Content, Delivered, Delivery, Domain, EmbeddedStore, MemoryStore, NewEntry,
    Store, Text,
};
use bytes::Bytes;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use std::sync::Arc;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;
use tokio_util::sync::CancellationToken;

pub(super) struct House {
    pub(super) gateway: Arc<Gateway>,
    pub(super) shutdown: CancellationToken,
    listener: Arc<Listener>,
    state: tempfile::TempDir,
}

/// A house over the embedded engine.
pub(super) fn embedded(more: &str) -> House {
    let folder = tempfile::tempdir().unwrap();
    let options = Options {
        reserve: 0,
        ..Options::default()
    };
    let store = EmbeddedStore::open(folder.path().join("store"), options).unwrap();
    House {
        state: folder,
        ..House::over(store, more)
    }
}

impl House {
    pub(super) fn memory(more: &str) -> Self {
        Self::over(Arc::new(MemoryStore::new()), more)
    }

    pub(super) fn over(store: Arc<dyn Store>, more: &str) -> Self {
        let state = tempfile::tempdir().unwrap();
        let config = Arc::new(config(state.path(), more));
        let mut gateway =
            Gateway::new(Arc::clone(&config), Arc::clone(&store), Arc::default(), 10_000).unwrap();
        // Hashes that cost little.
        gateway.directory = directory(store, &config).0;
        let listener = Listener {
            plaintext_auth: true,
            ..config.listeners[0].clone()
        };
        Self {
            gateway: Arc::new(gateway),
            shutdown: CancellationToken::new(),
            listener: Arc::new(listener),
            state,
        }
    }

    /// Makes the account where it is not there yet.
    async fn account(&self) {
        let store = &self.gateway.store;
        let domain = Domain {
            name: "example.org".to_owned(),
            alias_of: None,
        };
        store.create_domain(domain).await.unwrap();
        let account = Account {
            address: "ann@example.org".to_owned(),
            password: Some(
                self.gateway
                    .directory
                    .credentials("secret")
                    .await
                    .unwrap()
                    .password,
            ),
            scram: None,
            quota_bytes: None,
            quota_messages: None,
        };
        store.create_account(account).await.unwrap();
        assert!(self.state.path().exists());
    }

    pub(super) async fn deliver(&self, trace: &str, content: &str) -> MessageId {
        self.import(trace, content, None).await
    }

    /// Delivers a message that may bring a UIDL of its own.
    pub(super) async fn import(&self, trace: &str, content: &str, uidl: Option<&str>) -> MessageId {
        self.keep(trace, content, uidl, 0).await
    }

    /// Keeps a message that is listed with `missing` octets more than it has.
    pub(super) async fn keep(
        &self,
        trace: &str,
        content: &str,
        uidl: Option<&str>,
        missing: u64,
    ) -> MessageId {
        self.account().await;
        let id = MessageId::new();
        let end = content.find("\r\n\r\n").map_or(content.len(), |at| at + 4);
        let (head, text) = content.split_at(end);
        let size = (trace.len() + content.len()) as u64 + missing;
        let downgraded = downgraded_len(trace.as_bytes()) + downgraded_len(head.as_bytes());
        let delivery = Delivery {
            id,
            content: Content {
                head: Bytes::copy_from_slice(head.as_bytes()),
                text: Text::Inline(Bytes::copy_from_slice(text.as_bytes())),
            },
            facts: Bytes::new(),
            entries: vec![NewEntry {
                mailbox: "ann@example.org".into(),
                trace: Bytes::copy_from_slice(trace.as_bytes()),
                size,
                downgraded_size: downgraded + text.len() as u64,
                ceiling: Ceiling::default(),
                uidl: uidl.map(str::to_owned),
            }],
            quarantine: Vec::new(),
            atomicity: Atomicity::All,
        };
        let delivered = self.gateway.store.deliver(delivery).await.unwrap();
        assert_eq!(delivered, [Delivered::Kept]);
        id
    }

    pub(super) async fn listed(&self) -> Vec<MessageId> {
        let entries = self.gateway.store.list("ann@example.org").await.unwrap();
        entries.into_iter().map(|entry| entry.id).collect()
    }

    /// A client that has read the greeting.
    pub(super) async fn connect(&self) -> Client<TcpStream> {
        self.account().await;
        let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let tcp = TcpStream::connect(socket.local_addr().unwrap()).await.unwrap();
        let (accepted, peer) = socket.accept().await.unwrap();
        let connection = Connection::uncounted(Stream::Plain(accepted), peer, Arc::clone(&self.listener));
        let session = serve(connection, Arc::clone(&self.gateway), self.shutdown.clone());
        let mut client = Client {
            stream: BufReader::new(tcp),
            session: tokio::spawn(session),
        };
        assert!(client.line().await.starts_with("+OK"));
        client
    }

    pub(super) async fn login(&self) -> Client<TcpStream> {
        let mut client = self.connect().await;
        let reply = client.log_in("secret").await;
        assert!(reply.starts_with("+OK"), "{reply}");
        client
    }
}

pub(super) struct Client<S> {
    stream: BufReader<S>,
    session: JoinHandle<()>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Client<S> {
    async fn line(&mut self) -> String {
        let mut line = String::new();
        self.stream.read_line(&mut line).await.unwrap();
        line.trim_end_matches("\r\n").to_owned()
    }

    /// Sends a line and reads the first of the answer.
    pub(super) async fn say(&mut self, line: &str) -> String {
        self.stream
            .write_all(format!("{line}\r\n").as_bytes())
            .await
            .unwrap();
        self.stream.flush().await.unwrap();
        self.line().await
    }

    /// Sends octets as they are; whether they could be sent.
    pub(super) async fn send(&mut self, octets: &str) -> bool {
        self.stream.write_all(octets.as_bytes()).await.is_ok()
    }

    pub(super) async fn log_in(&mut self, password: &str) -> String {
        assert!(self.say("USER ann@example.org").await.starts_with("+OK"));
        self.say(&format!("PASS {password}")).await
    }

    /// The rest of a multi-line answer, without its dots.
    pub(super) async fn content(&mut self) -> String {
        let mut content = String::new();
        loop {
            let mut line = String::new();
            assert_ne!(self.stream.read_line(&mut line).await.unwrap(), 0, "broke off");
            assert!(line.ends_with("\r\n"));
            match line.strip_prefix('.') {
                Some("\r\n") => return content,
                Some(stuffed) => content.push_str(stuffed),
                None => content.push_str(&line),
            }
        }
    }

    /// All that comes until the connection is closed.
    pub(super) async fn rest(&mut self) -> String {
        let mut rest = String::new();
        self.stream.read_to_string(&mut rest).await.unwrap();
        rest
    }

    /// Waits until the gateway has ended the session, and reads nothing.
    pub(super) async fn ended(&mut self) {
        (&mut self.session).await.unwrap();
    }

    /// Closes without QUIT, and waits until the session has ended.
    pub(super) async fn vanish(self) {
        drop(self.stream);
        self.session.await.unwrap();
    }
}

impl Client<TcpStream> {
    /// Starts TLS, trusting the gateway's own certificate.
    pub(super) async fn secure(
        self,
        gateway: &Gateway,
    ) -> Client<tokio_rustls::client::TlsStream<TcpStream>> {
        assert!(self.stream.buffer().is_empty(), "nothing in clear behind +OK");
        let mut roots = RootCertStore::empty();
        let chain = &gateway.tls.certificates()[0].source.chain;
        roots.add(CertificateDer::from_pem_file(chain).unwrap()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let name = ServerName::try_from("localhost").unwrap();
        let connector = TlsConnector::from(Arc::new(config));
        let tls = connector.connect(name, self.stream.into_inner()).await.unwrap();
        Client {
            stream: BufReader::new(tls),
            session: self.session,
        }
    }
}
