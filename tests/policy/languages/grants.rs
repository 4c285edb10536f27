//! The capabilities that are granted by name, in each language: what they answer with their grants, `not granted`
//! without, and an error outside of what a grant names. The resolver, the directory, the store and the client of
//! requests are a gateway's; the servers they ask are here on loopback.

use super::folder::{load_as, usual};
use super::{Folder, Mail, PATIENT, Project, answers, facts, toolchains};
use postern::config::{Config, DnsConfig};
use postern::directory::{Accounts, Directory};
use postern::dns::Resolver;
use postern::policy::{Decision, Edit, Facts, Keep, LoadOptions, Policies, Verdict};
use postern::store::memory::MemoryStore;
use postern::store::{Account, Alias, Directory as _, Domain};
use server::{Records, Server};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::task::AbortOnDropHandle;

#[path = "../../../host/src/dns/server.rs"]
#[allow(dead_code, reason = "what the tests of the resolver share")]
mod server;

const NAME: &str = "60-grants";
/// Another name of ann's.
const SENDER: &str = "info@example.org";
/// Octets of a web server's answer: far more than a guest shows.
const LONG: usize = 500_000;
/// In the order in which the guests ask.
const FIELDS: [&str; 4] = ["X-Kv", "X-Dns", "X-Directory", "X-Http"];

/// The guest in that language, as its author builds it: in a project that was begun with `new`.
fn component(language: &'static str) -> Option<PathBuf> {
    let (there, here) = match language {
        "rust" => ("src/lib.rs", "policy.rs"),
        "go" => ("policy/policy.go", "policy.go"),
        "js" => ("policy.js", "policy.js"),
        "python" => ("policy.py", "policy.py"),
        _ => ("policy.c", "policy.c"),
    };
    let project = Project::new("grants", language, "filter")?;
    let guest = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/guests/grants");
    for (there, here) in [(there, here), ("wit/plugin.wit", "plugin.wit")] {
        fs::copy(guest.join(here), project.folder().join(there)).expect("the guest's source");
    }
    Some(project.build())
}

/// A gateway's surroundings: who is asked, and the store.
struct Surroundings {
    dns: Server,
    web: Web,
    store: Arc<MemoryStore>,
}

impl Surroundings {
    async fn new() -> Self {
        let exchanges = [(20, "mx2.example.org."), (10, "mx1.example.org.")];
        let known = |records: Records, (place, name)| records.mx("example.org", place, name);
        let records = exchanges.into_iter().fold(Records::default(), known);
        let store = MemoryStore::new();
        let domain = Domain {
            name: "example.org".to_owned(),
            alias_of: None,
        };
        let account = Account {
            address: "ann@example.org".to_owned(),
            password: None,
            scram: None,
            quota_bytes: None,
            quota_messages: None,
        };
        let alias = Alias {
            address: SENDER.to_owned(),
            targets: vec![account.address.clone()],
        };
        store.create_domain(domain).await.expect("a domain");
        store.create_account(account).await.expect("an account");
        store.create_alias(alias).await.expect("an alias");
        Self {
            dns: records.serve().await,
            web: Web::serve().await,
            store: Arc::new(store),
        }
    }

    /// The guest as a gateway loads it, with a resolver that remembers nothing. What was compiled is kept for the
    /// next run.
    async fn loaded(&self, component: &Path, language: &str, manifest: &str) -> Arc<Policies> {
        let port = self.web.port.to_string();
        let manifest = format!("{}\n{PATIENT}", manifest.replace("{port}", &port));
        let folder = Folder::new().with_file(NAME, component, &manifest);
        let config = "hostname: localhost\npostmaster: ann@example.org\n\
            listeners: [ { role: mx, tls: none, address: '127.0.0.1:0' } ]\n";
        let config = Config::parse(config, folder.path()).expect("a configuration");
        let directory = Directory::new(Arc::clone(&self.store) as _, &config);
        let resolver = Resolver::new(&DnsConfig {
            servers: vec![self.dns.address],
            timeout: Duration::from_secs(30),
            ..DnsConfig::default()
        });
        let options = LoadOptions {
            keep: Keep::alone(toolchains::cache().join(format!("compiled-grants-{language}"))),
            dns: Arc::new(resolver),
            directory: Arc::new(Accounts::new(directory, Arc::clone(&self.store) as _)),
            ..usual(Arc::clone(&self.store) as _)
        };
        let policies = load_as(&folder, options).await;
        assert_eq!(answers(&policies, NAME), ["message"], "{language}");
        policies
    }

    /// What was asked of others so far: of DNS, and by requests.
    fn asked(&self) -> (usize, usize) {
        (self.dns.asked().len(), self.web.seen().len())
    }
}

/// A web server that knows whoever is asked about, and says so at length and not in UTF-8.
struct Web {
    port: u16,
    seen: Arc<Mutex<Vec<String>>>,
    _task: AbortOnDropHandle<()>,
}

impl Web {
    async fn serve() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let seen: Arc<Mutex<Vec<String>>> = Arc::default();
        let told = Arc::clone(&seen);
        let task = tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let request = request(&mut stream).await;
                let (_, who) = request.split_once("\r\n\r\n").expect("an empty line");
                let mut body = [who.as_bytes(), b" is known\xff"].concat();
                body.resize(LONG, b'.');
                let head = format!("HTTP/1.1 203 OK\r\nContent-Length: {LONG}\r\nX-Of: server\r\n\r\n");
                told.lock().expect("no panic").push(request);
                // Whoever has heard enough hangs up.
                let _ = stream.write_all(&[head.as_bytes(), &body].concat()).await;
            }
        });
        Self {
            port,
            seen,
            _task: AbortOnDropHandle::new(task),
        }
    }

    /// Requests as they came.
    fn seen(&self) -> Vec<String> {
        self.seen.lock().expect("no panic").clone()
    }
}

/// One whole request, whose body is a sender.
async fn request(stream: &mut TcpStream) -> String {
    let mut octets = Vec::new();
    while !octets.ends_with(SENDER.as_bytes()) {
        let more = stream.read_buf(&mut octets).await.expect("a client");
        assert_ne!(more, 0, "the client hung up");
    }
    String::from_utf8(octets).expect("text")
}

/// What the guest's four fields say about a message: it is accepted, and no call fails.
async fn told(policies: &Policies, queue_id: &str) -> Vec<String> {
    told_of(policies, queue_id, SENDER).await
}

/// What they say about a message of that sender.
async fn told_of(policies: &Policies, queue_id: &str, sender: &str) -> Vec<String> {
    let facts = Facts {
        queue_id: queue_id.to_owned(),
        mail_from: sender.to_owned(),
        ..facts()
    };
    let mail = Mail::new(b"Subject: hello\r\n\r\nhello\r\n");
    let Decision {
        verdict,
        edits,
        opinions,
    } = policies.message(&facts, mail, &[]).await;
    let words: Vec<_> = opinions.iter().map(|opinion| opinion.word).collect();
    assert_eq!((&verdict, &words[..]), (&Verdict::Accept, &["accept"][..]));
    let fields = edits.into_iter().map(|edit| match edit {
        Edit::AddHeader { name, value } => (name, value),
        other => panic!("{other:?}"),
    });
    let (names, values): (Vec<_>, Vec<_>) = fields.unzip();
    assert_eq!(names, FIELDS);
    values
}

const GRANTED: &str = "settings: { url: 'http://127.0.0.1:{port}/reputation' }
grants:
  kv: {}
  dns: { types: [MX], suffixes: [example.org] }
  directory: {}
  http: { hosts: ['http://127.0.0.1:{port}'], timeout: 30s }";
const UNGRANTED: &str = "settings: { url: 'http://127.0.0.1:{port}/reputation' }";
/// Each grant is for something else.
const ELSEWHERE: &str = "settings: { url: 'http://127.0.0.1:{port}/reputation' }
grants:
  kv: { namespace: of-others }
  dns: { suffixes: [example.com] }
  http: { hosts: [api.example.com] }";
/// Another kind of record, no room, and a name that leads to this machine.
const NARROW: &str = "settings: { url: 'http://localhost:{port}/reputation' }
grants:
  kv: { bytes: 4B }
  dns: { types: [TXT, A] }
  directory: {}
  http: { hosts: ['http://localhost:{port}'] }";

/// One language.
async fn grants_hold(language: &'static str) {
    let Some(component) = component(language) else {
        return;
    };
    let around = Surroundings::new().await;
    let port = around.web.port;

    let policies = around.loaded(&component, language, GRANTED).await;
    let [exchanges, mailbox] = ["mx1.example.org, mx2.example.org", "ann@example.org"];
    let answered = format!("203 {:.<100}", "info@example.org is known?");
    let all = |kv| [kv, exchanges, mailbox, &answered];
    assert_eq!(told(&policies, "0001").await, all("the first"));
    assert_eq!(told(&policies, "0002").await, all("after 0001"));
    // The second time its answer was remembered.
    assert_eq!(around.dns.asked(), ["MX example.org"]);
    let requests = around.web.seen();
    assert_eq!(requests.len(), 2);
    for request in requests {
        let request = request.to_lowercase();
        assert!(request.starts_with("post /reputation http/1.1\r\n"), "{request}");
        assert!(request.contains("\r\ncontent-type: text/plain\r\n"), "{request}");
    }
    let asked = around.asked();

    let policies = around.loaded(&component, language, UNGRANTED).await;
    assert_eq!(told(&policies, "0003").await, ["error: not granted"; 4]);

    let policies = around.loaded(&component, language, ELSEWHERE).await;
    let other_host = format!("error: not granted: http://127.0.0.1:{port} is not in grants.http.hosts");
    let expected = [
        "the first",
        "error: `example.org` is below none of grants.dns.suffixes",
        "error: not granted",
        &other_host,
    ];
    assert_eq!(told(&policies, "0004").await, expected);
    let [_, dns, ..] = &told_of(&policies, "0004", "postmaster").await[..] else {
        panic!("four fields");
    };
    let whole = "error: `postmaster` is below none of grants.dns.suffixes";
    assert_eq!(dns, whole, "a sender without a domain");

    let policies = around.loaded(&component, language, NARROW).await;
    let private = format!(
        "error: http://localhost:{port} leads to no public address, and is not in grants.http.private"
    );
    let expected = [
        "error: the share is full",
        "error: MX is not in grants.dns.types",
        mailbox,
        &private,
    ];
    assert_eq!(told(&policies, "0005").await, expected);
    assert_eq!(around.asked(), asked, "nobody was asked without a grant");

    let policies = around.loaded(&component, language, GRANTED).await;
    let [kv, ..] = &told(&policies, "0006").await[..] else {
        panic!("four fields");
    };
    assert_eq!(kv, "after 0002", "nothing was written without a grant");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn grants_hold_in_rust() {
    grants_hold("rust").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn grants_hold_in_go() {
    grants_hold("go").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn grants_hold_in_js() {
    grants_hold("js").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn grants_hold_in_python() {
    grants_hold("python").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn grants_hold_in_c() {
    grants_hold("c").await;
}
