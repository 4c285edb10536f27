//! Real sockets on loopback, from the greeting to the listing.

mod cluster;
mod content;
mod delivery;
mod explained;
mod senders;
mod session;
mod submission;
mod verdicts;

use super::*;
use crate::message::MessageId;
use crate::policy::{InForce, Policies};
use crate::store::embedded::Options;
use crate::store::{Account, Alias, Domain, EmbeddedStore, Holder, MemoryStore, Store};
use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncWrite, BufReader};
use tokio::net::{TcpListener, TcpStream};

/// A gateway with one listener; `ann`, `bob` and `small` (1000 octets) live at example.org.
struct House {
    gateway: Arc<Gateway>,
    socket: TcpListener,
    shutdown: CancellationToken,
    _state: tempfile::TempDir,
}

fn account(name: &str, quota: Option<u64>) -> Account {
    Account {
        address: format!("{name}@example.org"),
        password: None,
        scram: None,
        quota_bytes: quota,
        quota_messages: None,
    }
}

impl House {
    /// `listener` is the inside of a YAML map, `more` are further lines of the configuration.
    async fn open(listener: &str, more: &str) -> Self {
        let store = |_: &std::path::Path| -> Arc<dyn Store> { Arc::new(MemoryStore::new()) };
        Self::over(store, listener, more, Arc::default()).await
    }

    async fn embedded(listener: &str) -> Self {
        let open = |state: &std::path::Path| -> Arc<dyn Store> {
            EmbeddedStore::open(state.join("store"), Options::default()).unwrap()
        };
        Self::over(open, listener, "", Arc::default()).await
    }

    async fn over(
        store: impl FnOnce(&std::path::Path) -> Arc<dyn Store>,
        listener: &str,
        more: &str,
        policies: Arc<Policies>,
    ) -> Self {
        let state = tempfile::tempdir().unwrap();
        let text = format!(
            "hostname: mx.example.org\nstate: state\npostmaster: ann@example.org\n\
             listeners: [ {{ address: \"127.0.0.1:0\", {listener} }} ]\n{more}"
        );
        let config = Arc::new(Config::parse(&text, state.path()).unwrap());
        let store = store(state.path());
        let domain = Domain {
            name: "example.org".to_owned(),
            alias_of: None,
        };
        store.create_domain(domain).await.unwrap();
        for account in [
            account("ann", None),
            account("bob", None),
            account("small", Some(1000)),
        ] {
            store.create_account(account).await.unwrap();
        }
        let gateway = Gateway::new(config, store, Arc::new(InForce::new(policies)), 10_000).unwrap();
        Self {
            gateway: Arc::new(gateway),
            socket: TcpListener::bind("127.0.0.1:0").await.unwrap(),
            shutdown: CancellationToken::new(),
            _state: state,
        }
    }

    async fn mx() -> Self {
        Self::open("role: mx", "").await
    }

    async fn alias(&self, address: &str, targets: &[&str]) {
        let alias = Alias {
            address: address.to_owned(),
            targets: targets.iter().map(|target| (*target).to_owned()).collect(),
        };
        self.gateway.store.create_alias(alias).await.unwrap();
    }

    /// The answers of a session of this house that nobody has connected to.
    fn answers(&self) -> Answers {
        let listener = Arc::new(self.gateway.config.listeners[0].clone());
        let Role::Smtp(role) = listener.role else {
            unreachable!("a house of mail");
        };
        let client = answer::Client {
            address: "192.0.2.1:1".parse().unwrap(),
            listener,
            role,
            manners: Manners::Waits,
        };
        Answers::new(Arc::clone(&self.gateway), client)
    }

    /// A client that has connected and read nothing yet, and its session.
    async fn connect(&self) -> (Client, tokio::task::JoinHandle<()>) {
        let stream = TcpStream::connect(self.socket.local_addr().unwrap())
            .await
            .unwrap();
        let (tcp, peer) = self.socket.accept().await.unwrap();
        let listener = Arc::new(self.gateway.config.listeners[0].clone());
        let connection = Connection::uncounted(Stream::Plain(tcp), peer, listener);
        let session = serve(connection, Arc::clone(&self.gateway), self.shutdown.clone());
        let client = Client {
            stream: BufReader::new(stream),
        };
        (client, tokio::spawn(session))
    }

    /// A client that has been greeted and has said hello.
    async fn client(&self) -> Client {
        let (mut client, _session) = self.connect().await;
        assert!(client.reply().await.starts_with("220 "));
        let hello = match self.gateway.config.listeners[0].role {
            Role::Smtp(smtp::Role::Lmtp) => "LHLO client.example",
            _ => "EHLO client.example",
        };
        assert!(client.say(hello).await.starts_with("250"));
        client
    }

    /// Everything in a mailbox as a client with UTF8 would fetch it, oldest first.
    async fn mailbox(&self, name: &str) -> Vec<String> {
        let mailbox = format!("{name}@example.org");
        let mut messages = Vec::new();
        let store = &self.gateway.store;
        for line in store.list(&mailbox).await.unwrap() {
            let trace = store.trace(&mailbox, &line).await.unwrap();
            let content = store.read(Holder::Mailbox(&mailbox), line.id, 0, usize::MAX);
            let whole = [trace, content.await.unwrap()].concat();
            assert_eq!(line.size, whole.len() as u64, "the listing says the true size");
            messages.push(String::from_utf8(whole).unwrap());
        }
        messages
    }
}

struct Client<S = TcpStream> {
    stream: BufReader<S>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Client<S> {
    async fn send(&mut self, octets: &[u8]) {
        self.stream.get_mut().write_all(octets).await.unwrap();
    }

    /// The next reply, all its lines; empty at the end of the connection.
    async fn reply(&mut self) -> String {
        let mut reply = String::new();
        loop {
            let start = reply.len();
            if self.stream.read_line(&mut reply).await.unwrap_or(0) == 0 {
                return reply;
            }
            if reply.as_bytes().get(start + 3) != Some(&b'-') {
                return reply;
            }
        }
    }

    async fn say(&mut self, line: &str) -> String {
        self.send(format!("{line}\r\n").as_bytes()).await;
        self.reply().await
    }

    /// MAIL and RCPT, all accepted.
    async fn envelope(&mut self, to: &[&str]) {
        assert!(
            self.say("MAIL FROM:<sender@example.net>")
                .await
                .starts_with("250 ")
        );
        for name in to {
            let reply = self.say(&format!("RCPT TO:<{name}@example.org>")).await;
            assert!(reply.starts_with("250 "), "{reply}");
        }
    }

    /// DATA with this content, which needs no dots; the final reply.
    async fn data(&mut self, content: &str) -> String {
        let reply = self.say("DATA").await;
        assert!(reply.starts_with("354 "), "{reply}");
        self.say(&format!("{content}.")).await
    }
}
