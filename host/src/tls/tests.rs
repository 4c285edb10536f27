//! Handshakes against real clients, and certificates that change while they serve.

use super::*;
use crate::net::{Connection, Stream};
use rcgen::{CertificateParams, KeyPair};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsConnector;

/// A configuration with its state in `folder` and these certificates (by the name of their files).
pub(crate) fn config(folder: &Path, certificates: &[&str]) -> Config {
    let pairs: Vec<_> = certificates
        .iter()
        .map(|name| format!("{{ chain: {name}.pem, key: {name}.key }}"))
        .collect();
    let text = format!(
        "hostname: mx.example.org\nstate: state\npostmaster: a@example.org\n\
         listeners: [ {{ role: mx, address: \"127.0.0.1:0\" }} ]\ntls: {{ certificates: [ {} ] }}\n",
        pairs.join(", ")
    );
    Config::parse(&text, folder).unwrap()
}

/// Writes `NAME.pem` and `NAME.key` for these DNS names, and answers the certificate.
fn issue(folder: &Path, name: &str, names: &[&str]) -> CertificateDer<'static> {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(names).unwrap().self_signed(&key).unwrap();
    std::fs::write(folder.join(format!("{name}.pem")), certificate.pem()).unwrap();
    std::fs::write(folder.join(format!("{name}.key")), key.serialize_pem()).unwrap();
    certificate.der().clone()
}

fn client(roots: &[CertificateDer<'static>], versions: &[&'static SupportedProtocolVersion]) -> ClientConfig {
    let mut store = RootCertStore::empty();
    for root in roots {
        store.add(root.clone()).unwrap();
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)
        .unwrap()
        .with_root_certificates(store)
        .with_no_client_auth()
}

/// Shakes hands with a server over a real socket: what the server knows then, or the client's error, and
/// what the client saw.
async fn handshake(
    tls: &Tls,
    client: ClientConfig,
    name: &str,
) -> (
    std::io::Result<Connection>,
    std::io::Result<tokio_rustls::client::TlsStream<TcpStream>>,
) {
    let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    let listener = Arc::new(config(Path::new(""), &[]).listeners[0].clone());
    let acceptor = tls.acceptor();
    let server = async {
        let (tcp, peer) = socket.accept().await.unwrap();
        Connection::uncounted(Stream::Plain(tcp), peer, listener)
            .secure(&acceptor)
            .await
    };
    let connect = async {
        let tcp = TcpStream::connect(address).await.unwrap();
        let name = ServerName::try_from(name.to_owned()).unwrap();
        TlsConnector::from(Arc::new(client)).connect(name, tcp).await
    };
    tokio::join!(server, connect)
}

const BOTH: &[&SupportedProtocolVersion] = &[&rustls::version::TLS13, &rustls::version::TLS12];

/// The first certificate that a client is shown which asks for `name`.
async fn shown(tls: &Tls, roots: &[CertificateDer<'static>], name: &str) -> Option<CertificateDer<'static>> {
    let (_, client) = handshake(tls, client(roots, BOTH), name).await;
    let client = client.ok()?;
    Some(
        client
            .get_ref()
            .1
            .peer_certificates()?
            .first()?
            .clone()
            .into_owned(),
    )
}

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[tokio::test]
async fn the_self_signed_certificate_is_kept_private_and_trusted_by_who_has_its_file() {
    let folder = tempfile::tempdir().unwrap();
    let config = config(folder.path(), &[]);
    let tls = Tls::open(&config).unwrap();
    let kept = folder.path().join("state/tls");
    assert_eq!(
        (
            mode(&kept),
            mode(&kept.join("cert.pem")),
            mode(&kept.join("key.pem"))
        ),
        (0o700, 0o600, 0o600)
    );
    let root = CertificateDer::from_pem_file(kept.join("cert.pem")).unwrap();
    for name in ["mx.example.org", "localhost", "127.0.0.1", "::1"] {
        assert!(
            shown(&tls, std::slice::from_ref(&root), name).await.is_some(),
            "{name}"
        );
    }
    assert!(
        shown(&tls, std::slice::from_ref(&root), "other.example.org")
            .await
            .is_none()
    );
    let again = Tls::open(&config).unwrap();
    assert_eq!(
        again.certificates()[0].key.cert,
        tls.certificates()[0].key.cert,
        "the second start keeps it"
    );
}

/// It was kept when `hostname` changed, and clients were told of another name than they asked for.
#[tokio::test]
async fn a_new_host_name_gets_a_new_self_signed_certificate_and_the_old_one_is_kept_beside() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = config(folder.path(), &[]);
    let kept = folder.path().join("state/tls");
    Tls::open(&config).unwrap();
    let before = ["cert.pem", "key.pem"].map(|name| std::fs::read(kept.join(name)).unwrap());
    config.hostname = "new.example.org".to_owned();
    let tls = Tls::open(&config).unwrap();
    let root = CertificateDer::from_pem_file(kept.join("cert.pem")).unwrap();
    assert!(
        shown(&tls, std::slice::from_ref(&root), "new.example.org")
            .await
            .is_some()
    );
    let old = ["cert.pem.old", "key.pem.old"].map(|name| std::fs::read(kept.join(name)).unwrap());
    assert_eq!(old, before);
    assert_eq!(mode(&kept.join("key.pem.old")), 0o600);
    let again = Tls::open(&config).unwrap();
    assert_eq!(again.certificates()[0].key.cert, tls.certificates()[0].key.cert);
}

/// A server in one thread that answers one HTTP request over TLS, for clients that are other programs.
async fn answer_once(tls: &Tls, socket: TcpListener) {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let (tcp, _) = socket.accept().await.unwrap();
    let mut stream = tls.acceptor().accept(tcp).await.unwrap();
    let mut request = [0; 1024];
    assert!(stream.read(&mut request).await.unwrap() > 0);
    stream
        .write_all(b"HTTP/1.0 200 OK\r\nContent-Length: 3\r\n\r\nyes")
        .await
        .unwrap();
    stream.shutdown().await.unwrap();
}

#[tokio::test]
async fn curl_trusts_the_self_signed_certificate_by_its_file() {
    let folder = tempfile::tempdir().unwrap();
    let tls = Tls::open(&config(folder.path(), &[])).unwrap();
    let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://localhost:{}/", socket.local_addr().unwrap().port());
    let mut curl = std::process::Command::new("curl");
    curl.args(["-sS", "-4", "--noproxy", "*", "--max-time", "20", "--cacert"]);
    curl.arg(folder.path().join("state/tls/cert.pem")).arg(url);
    let run = tokio::task::spawn_blocking(move || curl.output());
    let served = answer_once(&tls, socket);
    tokio::pin!(served, run);
    let output = tokio::select! {
        output = &mut run => output.unwrap(),
        () = &mut served => run.await.unwrap(),
    };
    // Only where curl is not installed is there nothing to show.
    if let Ok(output) = output {
        assert_eq!(
            output.stdout,
            b"yes",
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
}

#[tokio::test]
async fn the_certificate_follows_the_name_asked_for_exact_before_wildcard_and_the_first_for_others() {
    let folder = tempfile::tempdir().unwrap();
    let first = issue(folder.path(), "first", &["mx.example.org"]);
    let wild = issue(folder.path(), "wild", &["*.example.net"]);
    let exact = issue(folder.path(), "exact", &["pop.example.net"]);
    let tls = Tls::open(&config(folder.path(), &["first", "wild", "exact"])).unwrap();
    let roots = [first.clone(), wild.clone(), exact.clone()];
    assert_eq!(shown(&tls, &roots, "mx.example.org").await, Some(first.clone()));
    assert_eq!(shown(&tls, &roots, "smtp.example.net").await, Some(wild));
    assert_eq!(shown(&tls, &roots, "pop.example.net").await, Some(exact));
    let named = |name: &str| {
        tls.certificates()
            .iter()
            .filter(|one| one.is_named(name) || one.covers(name))
            .count()
    };
    assert_eq!(named("a.b.example.net"), 0, "a star is one label");
    assert_eq!(named("example.net"), 0);
    let (served, refused) = handshake(&tls, client(&roots, BOTH), "unknown.example").await;
    assert!(
        refused.is_err() && served.is_err(),
        "the first is shown, and its name does not match"
    );
}

#[tokio::test]
async fn facts_and_the_exporter_are_the_same_on_both_sides() {
    let folder = tempfile::tempdir().unwrap();
    let root = issue(folder.path(), "a", &["mx.example.org"]);
    let tls = Tls::open(&config(folder.path(), &["a"])).unwrap();
    let (server, client_13) = handshake(
        &tls,
        client(std::slice::from_ref(&root), &[&rustls::version::TLS13]),
        "mx.example.org",
    )
    .await;
    let facts = server.unwrap().tls().unwrap();
    assert_eq!(facts.version, "TLSv1.3");
    assert!(
        facts.cipher.starts_with("TLS_AES_") || facts.cipher.starts_with("TLS_CHACHA20"),
        "{}",
        facts.cipher
    );
    let client_13 = client_13.unwrap();
    let bound = client_13
        .get_ref()
        .1
        .export_keying_material(vec![0; 32], b"EXPORTER-Channel-Binding", None);
    assert_eq!(facts.exporter, Some(bound.unwrap()));
    let (server, _client) = handshake(
        &tls,
        client(&[root], &[&rustls::version::TLS12]),
        "mx.example.org",
    )
    .await;
    let facts = server.unwrap().tls().unwrap();
    assert_eq!((facts.version.as_str(), facts.exporter), ("TLSv1.2", None));
    assert!(facts.cipher.starts_with("TLS_ECDHE_"), "{}", facts.cipher);
}

#[tokio::test]
async fn a_changed_certificate_is_served_and_a_broken_one_leaves_the_one_before() {
    let folder = tempfile::tempdir().unwrap();
    let old = issue(folder.path(), "a", &["mx.example.org"]);
    let tls = Tls::open(&config(folder.path(), &["a"])).unwrap();
    std::fs::write(folder.path().join("a.pem"), "garbage").unwrap();
    tls.reload_changed().await;
    assert_eq!(
        shown(&tls, std::slice::from_ref(&old), "mx.example.org").await,
        Some(old.clone())
    );
    std::fs::remove_file(folder.path().join("a.key")).unwrap();
    tls.reload_all().await;
    assert_eq!(
        shown(&tls, std::slice::from_ref(&old), "mx.example.org").await,
        Some(old.clone())
    );
    let new = issue(folder.path(), "a", &["mx.example.org"]);
    tls.reload_changed().await;
    assert_eq!(
        shown(&tls, &[old, new.clone()], "mx.example.org").await,
        Some(new)
    );
}

/// A file system that hangs: the look at the files ran on a thread that serves sessions, and held them up.
#[tokio::test]
async fn a_file_that_hangs_holds_up_no_session() {
    let folder = tempfile::tempdir().unwrap();
    let old = issue(folder.path(), "a", &["mx.example.org"]);
    let tls = Arc::new(Tls::open(&config(folder.path(), &["a"])).unwrap());
    let chain = folder.path().join("a.pem");
    std::fs::remove_file(&chain).unwrap();
    let made = std::process::Command::new("mkfifo").arg(&chain).status();
    assert!(made.unwrap().success());
    let (reading, read) = tokio::sync::oneshot::channel();
    let (let_go, held) = std::sync::mpsc::channel::<()>();
    let hang = tokio::task::spawn_blocking(move || {
        // Opens when the other end does, and then keeps it waiting.
        let writer = std::fs::File::options().write(true).open(&chain).unwrap();
        reading.send(()).unwrap();
        let was_told = held.recv_timeout(Duration::from_secs(10)).is_ok();
        drop(writer);
        was_told
    });
    let (watched, end) = (Arc::clone(&tls), CancellationToken::new());
    let until = end.clone();
    let watching = tokio::spawn(async move { watched.watch(until).await });
    read.await.unwrap();
    let served = shown(&tls, std::slice::from_ref(&old), "mx.example.org").await;
    assert_eq!(served, Some(old));
    end.cancel();
    // Nobody is there to be told if it waited for too long.
    let _ = let_go.send(());
    assert!(hang.await.unwrap(), "the handshake waited for the file");
    watching.await.unwrap();
}

#[tokio::test]
async fn a_chain_without_its_new_key_waits_for_it() {
    let folder = tempfile::tempdir().unwrap();
    let old = issue(folder.path(), "a", &["mx.example.org"]);
    let tls = Tls::open(&config(folder.path(), &["a"])).unwrap();
    let new = issue(folder.path(), "b", &["mx.example.org"]);
    let (a, b) = (
        |end: &str| folder.path().join(format!("a.{end}")),
        |end: &str| folder.path().join(format!("b.{end}")),
    );
    std::fs::rename(b("pem"), a("pem")).unwrap();
    tls.reload_changed().await;
    assert_eq!(
        shown(&tls, std::slice::from_ref(&old), "mx.example.org").await,
        Some(old.clone())
    );
    std::fs::rename(b("key"), a("key")).unwrap();
    tls.reload_changed().await;
    assert_eq!(
        shown(&tls, &[old, new.clone()], "mx.example.org").await,
        Some(new)
    );
}

#[test]
fn what_does_not_fit_stops_the_start_and_names_the_files() {
    let folder = tempfile::tempdir().unwrap();
    issue(folder.path(), "a", &["mx.example.org"]);
    issue(folder.path(), "b", &["mx.example.org"]);
    std::fs::copy(folder.path().join("b.key"), folder.path().join("a.key")).unwrap();
    let refused = |name: &str| {
        Tls::open(&config(folder.path(), &[name]))
            .unwrap_err()
            .to_string()
    };
    let mismatch = refused("a");
    assert!(
        mismatch.contains("a.pem and ") && mismatch.contains("must belong together"),
        "{mismatch}"
    );
    std::fs::write(folder.path().join("b.pem"), "no PEM here").unwrap();
    assert!(refused("b").contains("has no certificate"), "{}", refused("b"));
    assert!(
        refused("missing").contains("cannot read"),
        "{}",
        refused("missing")
    );
}

#[tokio::test]
async fn a_client_in_clear_on_a_tls_port_is_explained() {
    use tokio::io::AsyncWriteExt;
    let folder = tempfile::tempdir().unwrap();
    let tls = Tls::open(&config(folder.path(), &[])).unwrap();
    let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut tcp = TcpStream::connect(socket.local_addr().unwrap()).await.unwrap();
    tcp.write_all(b"EHLO client.example\r\n").await.unwrap();
    let (accepted, peer) = socket.accept().await.unwrap();
    let listener = Arc::new(config(Path::new(""), &[]).listeners[0].clone());
    let connection = Connection::uncounted(Stream::Plain(accepted), peer, listener);
    let error = connection.secure(&tls.acceptor()).await.unwrap_err().to_string();
    assert!(error.contains("does not speak TLS"), "{error}");
}

#[tokio::test]
async fn a_client_that_comes_back_resumes() {
    let folder = tempfile::tempdir().unwrap();
    let root = issue(folder.path(), "a", &["mx.example.org"]);
    let tls = Tls::open(&config(folder.path(), &["a"])).unwrap();
    let client = client(&[root], &[&rustls::version::TLS12]);
    for kind in [rustls::HandshakeKind::Full, rustls::HandshakeKind::Resumed] {
        let (server, seen) = handshake(&tls, client.clone(), "mx.example.org").await;
        assert!(server.is_ok());
        assert_eq!(seen.unwrap().get_ref().1.handshake_kind(), Some(kind));
    }
}

#[test]
fn the_path_of_a_kept_certificate_does_not_depend_on_the_host_name() {
    let folder = tempfile::tempdir().unwrap();
    let made = self_signed::kept(folder.path(), "a.example").unwrap();
    let kept = self_signed::kept(folder.path(), "b.example").unwrap();
    assert_eq!(made, kept);
    assert_eq!(made.chain, PathBuf::from(folder.path()).join("cert.pem"));
}
