//! What a guest changes, seen in what is delivered: from a client's socket to the mailbox.

use crate::folder::{Folder, load};
use postern::config::Config;
use postern::gateway::Gateway;
use postern::net::{self, Stop};
use postern::policy::InForce;
use postern::store::memory::MemoryStore;
use postern::store::{Account, Domain, Holder, Store};
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;

const LETTER: &str = "From: <bob@shop.example>\r\nSubject: hello\r\n\r\ntext\r\n";
/// The header fields of [`LETTER`] that are not edited.
const FROM: &str = "From: <bob@shop.example>\r\n";

/// A gateway with one policy; `ann`, `bob` and `carl` live at example.org.
struct House {
    gateway: Arc<Gateway>,
    address: SocketAddr,
    _folder: (Folder, tempfile::TempDir),
}

impl House {
    /// The probe's settings are `settings`, the inside of a YAML map.
    async fn open(role: &str, settings: &str) -> Self {
        let manifest = format!("settings: {{ report: none, {settings} }}");
        let folder = Folder::new().with("10-probe", "probe", &manifest);
        let state = tempfile::tempdir().expect("a folder");
        let text = format!(
            "hostname: mx.example.org\nstate: state\npostmaster: ann@example.org\n\
             listeners: [ {{ address: \"127.0.0.1:0\", {role} }} ]\n"
        );
        let config = Config::parse(&text, state.path()).expect("a configuration");
        let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
        let domain = Domain {
            name: "example.org".to_owned(),
            alias_of: None,
        };
        store.create_domain(domain).await.expect("a domain");
        for name in ["ann", "bob", "carl"] {
            let account = Account {
                address: format!("{name}@example.org"),
                password: None,
                scram: None,
                quota_bytes: None,
                quota_messages: None,
            };
            store.create_account(account).await.expect("an account");
        }
        let policies = Arc::new(InForce::new(load(&folder).await));
        let gateway = Gateway::new(Arc::new(config), store, policies, 10_000).expect("a gateway");
        let gateway = Arc::new(gateway);
        let bound = net::bind(&gateway.config.listeners[0]).expect("a socket");
        let address = bound.listener.address;
        net::serve(&gateway, vec![bound], &Stop::default());
        Self {
            gateway,
            address,
            _folder: (folder, state),
        }
    }

    /// Sends [`LETTER`] to these; the answers, those of recipients first.
    async fn take(&self, hello: &str, to: &[&str]) -> Vec<String> {
        let stream = TcpStream::connect(self.address).await.expect("a connection");
        let mut stream = BufReader::new(stream);
        assert!(reply(&mut stream).await.starts_with("220 "));
        for line in [hello, "MAIL FROM:<bob@shop.example>"] {
            assert!(say(&mut stream, line).await.starts_with("250"), "{line}");
        }
        let mut answers = Vec::new();
        for name in to {
            answers.push(say(&mut stream, &format!("RCPT TO:<{name}@example.org>")).await);
        }
        assert!(say(&mut stream, "DATA").await.starts_with("354 "));
        answers.push(say(&mut stream, &format!("{LETTER}.")).await);
        if hello.starts_with("LHLO") {
            for _ in 1..to.len() {
                answers.push(reply(&mut stream).await);
            }
        }
        answers
    }

    /// What each mailbox holds, without the trace of this hop.
    async fn mailbox(&self, name: &str) -> Vec<String> {
        let mut messages = Vec::new();
        let mailbox = format!("{name}@example.org");
        let entries = self.gateway.store.list(&mailbox).await;
        for entry in entries.expect("a listing") {
            let content = self
                .gateway
                .store
                .read(Holder::Mailbox(&mailbox), entry.id, 0, usize::MAX)
                .await
                .expect("a message");
            messages.push(String::from_utf8_lossy(&content).into_owned());
        }
        messages
    }

    async fn held(&self) -> Vec<(String, String)> {
        let held = self.gateway.store.quarantined(None, 10).await.expect("a listing");
        held.iter()
            .map(|copy| (copy.mailboxes.join(","), copy.reason.clone()))
            .collect()
    }

    /// How many messages `ann`, `bob` and `carl` have.
    async fn counts(&self) -> [usize; 3] {
        [
            self.mailbox("ann").await.len(),
            self.mailbox("bob").await.len(),
            self.mailbox("carl").await.len(),
        ]
    }
}

/// A reply, the last of its lines.
async fn reply(stream: &mut BufReader<TcpStream>) -> String {
    let mut line = String::new();
    loop {
        line.clear();
        assert!(stream.read_line(&mut line).await.expect("a reply") > 0, "closed");
        if line.as_bytes().get(3) != Some(&b'-') {
            return line;
        }
    }
}

async fn say(stream: &mut BufReader<TcpStream>, line: &str) -> String {
    let octets = format!("{line}\r\n");
    stream.get_mut().write_all(octets.as_bytes()).await.expect("sent");
    reply(stream).await
}

/// A house whose policy makes these edits, and what it said to mail for these names.
async fn edited(edits: &str, to: &[&str]) -> (House, Vec<String>) {
    let house = House::open("role: mx", &format!("edits: {{ message: \"{edits}\" }}")).await;
    let answers = house.take("EHLO client.example", to).await;
    (house, answers)
}

#[tokio::test(flavor = "multi_thread")]
async fn header_fields_are_added_put_first_removed_and_replaced() {
    for (edits, head) in [
        ("", format!("{FROM}Subject: hello\r\n")),
        (
            "add-header X-Score 5",
            format!("{FROM}Subject: hello\r\nX-Score: 5\r\n"),
        ),
        (
            "insert-header X-First 1",
            format!("X-First: 1\r\n{FROM}Subject: hello\r\n"),
        ),
        ("remove-header subject", FROM.to_owned()),
        (
            "remove-header Subject; add-header Subject [odd] hello",
            format!("{FROM}Subject: [odd] hello\r\n"),
        ),
    ] {
        let (house, answers) = edited(edits, &["ann"]).await;
        assert!(answers[1].starts_with("250 "), "{edits}: {answers:?}");
        let found = house.mailbox("ann").await;
        assert_eq!(found.len(), 1, "{edits}");
        assert!(
            found[0].ends_with(&format!("{head}\r\ntext\r\n")),
            "{edits}: {}",
            found[0]
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn recipients_are_added_removed_and_replaced() {
    for (edits, to, counts) in [
        ("redirect bob@example.org", &["ann", "carl"][..], [0, 1, 0]),
        ("add-recipient bob@example.org", &["ann"], [1, 1, 0]),
        ("add-recipient ann@example.org", &["ann"], [1, 0, 0]),
        ("remove-recipient ann@example.org", &["ann", "carl"], [0, 0, 1]),
    ] {
        let (house, answers) = edited(edits, to).await;
        assert!(
            answers.iter().all(|answer| answer.starts_with("250 ")),
            "{edits}: {answers:?}"
        );
        assert_eq!(house.counts().await, counts, "{edits}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_recipient_may_end_otherwise_than_the_others() {
    let kept = [("bob@example.org", "as the settings say")];
    for (verdict, counts, held) in [
        ("quarantine", [1, 0, 0], &kept[..]),
        ("discard", [1, 0, 0], &[]),
        ("accept", [1, 1, 0], &[]),
    ] {
        let edits = format!("recipient-verdict bob@example.org {verdict}");
        let (house, answers) = edited(&edits, &["ann", "bob"]).await;
        assert!(answers[2].starts_with("250 "), "{edits}: {answers:?}");
        assert_eq!(house.counts().await, counts, "{edits}");
        let found = house.held().await;
        let found: Vec<_> = found
            .iter()
            .map(|(to, why)| (to.as_str(), why.as_str()))
            .collect();
        assert_eq!(found, held, "{edits}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn smtp_keeps_the_refused_copy_and_lmtp_refuses_it() {
    let refuse = "edits: { message: \"recipient-verdict bob@example.org reject\" }";
    let mx = House::open("role: mx", refuse).await;
    let answers = mx.take("EHLO client.example", &["ann", "bob"]).await;
    assert!(answers[2].starts_with("250 "), "{answers:?}");
    assert_eq!(mx.counts().await, [1, 0, 0]);
    assert_eq!(mx.held().await.len(), 1, "one reply cannot refuse it");

    let lmtp = House::open("role: lmtp, tls: none", refuse).await;
    let answers = lmtp.take("LHLO client.example", &["ann", "bob"]).await;
    assert!(answers[2].starts_with("250 "), "{answers:?}");
    assert_eq!(answers[3], "550 5.7.1 as the settings say\r\n");
    assert_eq!(lmtp.counts().await, [1, 0, 0]);
    assert_eq!(lmtp.held().await, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn at_rcpt_an_edit_concerns_that_recipient_and_a_header_the_whole_message() {
    let settings = "edits: { rcpt: \"redirect carl@example.org; add-header X-Seen yes\" }";
    let house = House::open("role: mx", settings).await;
    let answers = house.take("EHLO client.example", &["ann"]).await;
    assert!(answers[1].starts_with("250 "), "{answers:?}");
    assert_eq!(house.counts().await, [0, 0, 1]);
    assert!(house.mailbox("carl").await[0].contains("X-Seen: yes\r\n"));
}
