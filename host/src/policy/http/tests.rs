use super::*;
use crate::dns::Failure;
use crate::policy::grants::tests::granted;
use crate::policy::limits::tests::hits_of;
use crate::policy::stand::Zone;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Mutex;
use tempfile::TempDir;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio_rustls::TlsAcceptor;
use tokio_util::task::AbortOnDropHandle;

/// Octets of an answer to the text of a request.
type Answer = Arc<dyn Fn(&str) -> Vec<u8> + Send + Sync>;

/// Told that a request is held, and told to answer it.
type Hold = (Notify, Notify);
/// What each connection is served with.
type Serving = (Arc<Mutex<Vec<String>>>, Arc<Hold>, Answer);

/// A server on this machine, over TLS by its own authority or in the clear.
struct Server {
    port: u16,
    /// Requests as they came.
    seen: Arc<Mutex<Vec<String>>>,
    /// A request for `/hold` is answered when this is.
    held: Arc<Hold>,
    folder: TempDir,
    _task: AbortOnDropHandle<()>,
}

impl Server {
    async fn start(is_tls: bool, answer: impl Fn(&str) -> Vec<u8> + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let folder = tempfile::tempdir().unwrap();
        let acceptor = is_tls.then(|| acceptor(folder.path()));
        let (seen, held) = (Arc::default(), Arc::default());
        let served: Serving = (Arc::clone(&seen), Arc::clone(&held), Arc::new(answer) as Answer);
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (served, acceptor) = (served.clone(), acceptor.clone());
                tokio::spawn(async move {
                    match acceptor {
                        // A client that does not trust this server ends the handshake.
                        Some(acceptor) => {
                            if let Ok(stream) = acceptor.accept(stream).await {
                                serve(stream, served).await;
                            }
                        }
                        None => serve(stream, served).await,
                    }
                });
            }
        });
        Self {
            port,
            seen,
            held,
            folder,
            _task: AbortOnDropHandle::new(task),
        }
    }

    /// A client of these hosts; `{port}` is this server's.
    fn client(&self, http: &str) -> Arc<Client> {
        let grant = granted(&http.replace("{port}", &self.port.to_string())).unwrap();
        let ca = self.folder.path().join("ca.pem");
        let tls = Trust::default().connector(ca.exists().then_some(&*ca));
        let tls = tls.unwrap_or_else(|_| untrusting());
        Arc::new(Client::network(grant, tls, Arc::new(zone())))
    }

    fn seen(&self) -> Vec<String> {
        self.seen.lock().unwrap().clone()
    }
}

/// What the gateway's resolver knows.
fn zone() -> Zone {
    let found = |address: &str| Ok(vec![address.to_owned()]);
    Zone {
        addresses: BTreeMap::from([
            ("here.example".to_owned(), found("127.0.0.1")),
            ("down.example".to_owned(), Err(Failure("no answer".to_owned()))),
        ]),
        ..Zone::default()
    }
}

/// For what is spoken in the clear, where the system trusts nobody.
fn untrusting() -> TlsConnector {
    let folder = tempfile::tempdir().unwrap();
    acceptor(folder.path());
    Trust::default()
        .connector(Some(&folder.path().join("ca.pem")))
        .unwrap()
}

/// With a certificate of its own, which is put into `ca.pem` of the folder.
fn acceptor(folder: &Path) -> TlsAcceptor {
    let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
    let made = rcgen::generate_simple_self_signed(names).unwrap();
    std::fs::write(folder.join("ca.pem"), made.cert.pem()).unwrap();
    let key = rustls::pki_types::PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    TlsAcceptor::from(Arc::new(config))
}

async fn serve<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S, (seen, held, answer): Serving) {
    let mut request = Vec::new();
    while !request.windows(4).any(|four| four == b"\r\n\r\n") {
        if stream.read_buf(&mut request).await.unwrap_or(0) == 0 {
            return;
        }
    }
    let request = String::from_utf8(request).unwrap();
    seen.lock().unwrap().push(request.clone());
    if request.contains(" /hold ") {
        held.0.notify_one();
        held.1.notified().await;
    }
    // Whoever has heard enough hangs up.
    let _ = stream.write_all(&answer(&request)).await;
    let _ = stream.shutdown().await;
}

fn ok(body: &str) -> Vec<u8> {
    format!(
        "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nX-Of: server\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

fn get(url: &str) -> HttpRequest {
    HttpRequest {
        method: "GET".to_owned(),
        url: url.to_owned(),
        headers: Vec::new(),
        body: Vec::new(),
        timeout_ms: 0,
    }
}

/// Longer than anything takes on a busy machine.
const PATIENT: Duration = Duration::from_secs(60);

async fn sent(client: &Client, url: String) -> Result<HttpResponse, String> {
    client.send(get(&url), PATIENT).await
}

#[tokio::test]
async fn a_request_goes_over_tls_to_a_named_address_and_its_answer_comes_back() {
    let server = Server::start(true, |_| ok("hello")).await;
    let client = server.client("{ hosts: [\"127.0.0.1:{port}\"], timeout: 60s }");
    let url = format!("https://127.0.0.1:{}/a?b=c", server.port);
    let asked = HttpRequest {
        method: "POST".to_owned(),
        headers: vec![HeaderField {
            name: "X-Key".to_owned(),
            value: b"k".to_vec(),
        }],
        body: b"four".to_vec(),
        ..get(&url)
    };
    let answer = client.send(asked, PATIENT).await.unwrap();
    assert_eq!((answer.status, &*answer.body), (200, &b"hello"[..]));
    let of = answer.headers.iter().find(|field| field.name == "x-of").unwrap();
    assert_eq!(of.value, b"server");
    let request = server.seen().remove(0);
    let head = request.split("\r\n\r\n").next().unwrap().to_lowercase();
    let mut lines: Vec<_> = head.lines().collect();
    assert_eq!(lines.remove(0), "post /a?b=c http/1.1");
    lines.sort_unstable();
    let host = format!("host: 127.0.0.1:{}", server.port);
    assert_eq!(
        lines,
        ["connection: close", "content-length: 4", &*host, "x-key: k"]
    );
}

#[tokio::test]
async fn a_name_that_leads_to_this_machine_is_reached_only_where_it_is_private() {
    let server = Server::start(true, |_| ok("hello")).await;
    let url = || format!("https://localhost:{}/", server.port);
    let public = server.client("{ hosts: [\"localhost:{port}\"], timeout: 60s }");
    let error = sent(&public, url()).await.unwrap_err();
    assert!(
        error.ends_with("leads to no public address, and is not in grants.http.private"),
        "{error}"
    );
    assert!(server.seen().is_empty(), "nothing was connected");
    let private = server.client("{ private: [\"localhost:{port}\"], timeout: 60s }");
    assert_eq!(sent(&private, url()).await.unwrap().status, 200);
}

#[tokio::test]
async fn a_name_is_looked_up_by_the_gateways_resolver() {
    let server = Server::start(false, |_| ok("hello")).await;
    let private = server.client(
        "{ private: [\"http://here.example:{port}\", \"http://down.example:{port}\", \
         \"http://nothing.example:{port}\", \"http://127.0.0.1:{port}\"], timeout: 60s }",
    );
    let url = |host: &str| format!("http://{host}:{}/", server.port);
    for host in ["here.example", "127.0.0.1"] {
        assert_eq!(sent(&private, url(host)).await.unwrap().status, 200, "{host}");
    }
    for (host, why) in [
        ("down.example", "no answer"),
        ("nothing.example", "DNS has no address for it"),
    ] {
        let error = sent(&private, url(host)).await.unwrap_err();
        assert_eq!(error, format!("cannot find http://{host}:{}: {why}", server.port));
    }
    let public = server.client("{ hosts: [\"http://here.example:{port}\"], timeout: 60s }");
    let error = sent(&public, url("here.example")).await.unwrap_err();
    assert!(error.contains("leads to no public address"), "{error}");
}

#[tokio::test]
async fn who_is_not_trusted_is_not_spoken_to() {
    let server = Server::start(true, |_| ok("hello")).await;
    let other = Server::start(true, |_| ok("other")).await;
    let client = other.client(&format!(
        "{{ hosts: [\"127.0.0.1:{}\"], timeout: 60s }}",
        server.port
    ));
    let error = sent(&client, format!("https://127.0.0.1:{}/", server.port))
        .await
        .unwrap_err();
    assert!(error.starts_with("cannot reach https://127.0.0.1"), "{error}");
    assert!(server.seen().is_empty());
}

#[test]
fn an_authority_is_read_as_the_files_of_the_folder_are() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().unwrap();
    acceptor(folder.path());
    let file = folder.path().join("ca.pem");
    let refusal = || Trust::default().connector(Some(&file)).err().unwrap();
    assert!(Trust::default().connector(Some(&file)).is_ok());
    let certificate = std::fs::read_to_string(&file).unwrap();
    let fill = |octets: usize| format!("{certificate}{}", "\n".repeat(octets - certificate.len()));
    std::fs::write(&file, fill(1 << 20)).unwrap();
    assert!(Trust::default().connector(Some(&file)).is_ok());
    std::fs::write(&file, fill((1 << 20) + 1)).unwrap();
    assert!(refusal().contains("has more than 1MiB"), "{}", refusal());
    std::fs::write(&file, &certificate).unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o646)).unwrap();
    assert!(refusal().contains("everybody may write to it"), "{}", refusal());
    std::fs::remove_file(&file).unwrap();
    rustix::fs::mkfifoat(rustix::fs::CWD, &file, rustix::fs::Mode::from_raw_mode(0o600)).unwrap();
    assert!(refusal().contains("is no file"), "{}", refusal());
}

#[test]
fn an_authority_that_cannot_be_read_is_named_with_its_mend() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ca.pem");
    for content in [None, Some(""), Some("noise")] {
        if let Some(content) = content {
            std::fs::write(&file, content).unwrap();
        }
        let error = Trust::default().connector(Some(&file)).err().unwrap();
        assert!(error.starts_with(&file.display().to_string()), "{error}");
        let mend = match content {
            None => "make it readable",
            Some(_) => "name a file of certificates in PEM",
        };
        assert!(error.ends_with(mend), "{error}");
    }
}

#[tokio::test]
async fn a_redirection_is_the_policys_to_follow() {
    let server = Server::start(false, |_| {
        b"HTTP/1.1 302 Found\r\nLocation: /elsewhere\r\n\r\n".to_vec()
    })
    .await;
    let client = server.client("{ hosts: [\"http://127.0.0.1:{port}\"], timeout: 60s }");
    let answer = sent(&client, format!("http://127.0.0.1:{}/", server.port))
        .await
        .unwrap();
    assert_eq!(answer.status, 302);
    assert!(
        answer
            .headers
            .iter()
            .any(|field| field.name == "location" && field.value == b"/elsewhere")
    );
    assert_eq!(server.seen().len(), 1);
}

/// An answer whose body has so many octets: with its length, in chunks, or up to the end of the connection.
fn body(request: &str, octets: usize) -> Vec<u8> {
    let body = "x".repeat(octets);
    let path = request.split(' ').nth(1).unwrap_or_default();
    match path {
        "/chunked" => {
            let half = octets / 2;
            let (one, other) = body.split_at(half);
            format!(
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{half:x}\r\n{one}\r\n{:x}\r\n{other}\r\n0\r\n\r\n",
                other.len()
            )
            .into_bytes()
        }
        "/close" => format!("HTTP/1.1 200 OK\r\n\r\n{body}").into_bytes(),
        _ => ok(&body),
    }
}

#[tokio::test]
async fn an_answer_has_so_many_octets_and_no_more() {
    for (octets, taken) in [(1000, true), (1001, false)] {
        let server = Server::start(false, move |request| body(request, octets)).await;
        let client = server.client("{ hosts: [\"http://127.0.0.1:{port}\"], response: 1000B, timeout: 60s }");
        for path in ["length", "chunked", "close"] {
            let url = format!("http://127.0.0.1:{}/{path}", server.port);
            let (met, answer) = hits_of(Limit::HttpResponse, sent(&client, url)).await;
            assert_eq!(met, usize::from(!taken), "{path} {octets}");
            match answer {
                Ok(answer) => assert!(taken && answer.body.len() == octets, "{path}"),
                Err(error) => assert_eq!(
                    error,
                    "the answer has more than 1000 octets (grants.http.response)"
                ),
            }
        }
    }
}

#[tokio::test]
async fn an_answers_fields_have_so_many_octets_and_no_more() {
    // `content-length: 0` and `x: …`, each with two octets between and two at its end.
    let around = "content-length".len() + 1 + 4 + 1 + 4;
    for (octets, taken) in [(1024, true), (1025, false), (100_000, false)] {
        let value = "v".repeat(octets - around);
        let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX: {value}\r\n\r\n");
        let server = Server::start(false, move |_| answer.clone().into_bytes()).await;
        let client = server.client("{ hosts: [\"http://127.0.0.1:{port}\"], head: 1KiB, timeout: 60s }");
        let url = format!("http://127.0.0.1:{}/", server.port);
        let (met, answer) = hits_of(Limit::HttpHead, sent(&client, url)).await;
        assert_eq!(
            (met, answer.is_ok()),
            (usize::from(!taken), taken),
            "{octets}: {answer:?}"
        );
    }
}

#[tokio::test]
async fn a_request_ends_at_its_time_out_at_that_of_its_grant_and_at_that_of_its_call() {
    let server = Server::start(false, |_| ok("late")).await;
    let url = format!("http://127.0.0.1:{}/hold", server.port);
    let client = |timeout| {
        server.client(&format!(
            "{{ hosts: [\"http://127.0.0.1:{{port}}\"], timeout: {timeout} }}"
        ))
    };
    let hasty = client("50ms");
    let (met, answer) = hits_of(Limit::HttpTimeout, sent(&hasty, url.clone())).await;
    assert_eq!((met, answer.unwrap_err().as_str()), (1, "no answer within 50 ms"));
    let patient = client("60s");
    let soon = HttpRequest {
        timeout_ms: 40,
        ..get(&url)
    };
    let (met, answer) = hits_of(Limit::HttpTimeout, patient.send(soon, PATIENT)).await;
    assert_eq!((met, answer.unwrap_err().as_str()), (0, "no answer within 40 ms"));
    let answer = patient.send(get(&url), Duration::from_millis(30)).await;
    assert_eq!(answer.unwrap_err(), "no answer within 30 ms");
    let (waiting, held) = (Arc::clone(&patient), Arc::clone(&server.held));
    let (met, answer) = hits_of(Limit::HttpTimeout, async {
        held.0.notified().await;
        held.1.notify_waiters();
        tokio::join!(sent(&waiting, url.clone()), async {
            held.0.notified().await;
            held.1.notify_waiters();
        })
        .0
    })
    .await;
    assert_eq!((met, answer.unwrap().body), (0, b"late".to_vec()));
}

#[tokio::test]
async fn so_many_requests_run_at_once_and_others_wait_within_their_time() {
    let server = Server::start(false, |_| ok("done")).await;
    for (parallel, expected) in [
        (2, Ok(200)),
        (1, Err("1 requests run already (grants.http.parallel)")),
    ] {
        let client = server.client(&format!(
            "{{ hosts: [\"http://127.0.0.1:{{port}}\"], parallel: {parallel}, timeout: 60s }}"
        ));
        let url = |path: &str| format!("http://127.0.0.1:{}/{path}", server.port);
        let first = tokio::spawn({
            let (client, url) = (Arc::clone(&client), url("hold"));
            async move { sent(&client, url).await }
        });
        server.held.0.notified().await;
        let soon = match expected {
            Ok(_) => 60_000,
            Err(_) => 50,
        };
        let second = HttpRequest {
            timeout_ms: soon,
            ..get(&url("now"))
        };
        let (met, answer) = hits_of(Limit::HttpParallel, client.send(second, PATIENT)).await;
        assert_eq!(met, usize::from(expected.is_err()));
        assert_eq!(
            answer.map(|answer| answer.status),
            expected.map_err(str::to_owned)
        );
        server.held.1.notify_one();
        assert_eq!(first.await.unwrap().unwrap().body, b"done");
        assert_eq!(
            sent(&client, url("now")).await.unwrap().status,
            200,
            "there is a turn again"
        );
    }
}

#[tokio::test]
async fn written_answers_are_given_to_what_they_fit_and_nothing_else_is_sent() {
    let written = |method: Option<&str>, url: &str, status| Written {
        method: method.map(str::to_owned),
        url: url.to_owned(),
        status,
        headers: vec![("x-a".to_owned(), "1".to_owned())],
        body: b"written".to_vec(),
    };
    let answers = [
        written(Some("POST"), "https://a.example/x", 201),
        written(None, "https://a.example/x", 200),
        written(None, "https://b.example/", 200),
    ];
    let client = Client::written(granted("{ hosts: [a.example] }").unwrap(), answers.into());
    let asked = |method: &str, url: &str| HttpRequest {
        method: method.to_owned(),
        ..get(url)
    };
    let status = async |method, url| {
        client
            .send(asked(method, url), PATIENT)
            .await
            .map(|answer| answer.status)
    };
    assert_eq!(status("POST", "https://a.example/x").await, Ok(201));
    assert_eq!(status("GET", "https://A.example/x#f").await, Ok(200));
    let error = status("GET", "https://a.example/y").await.unwrap_err();
    assert_eq!(error, "no answer is written for GET https://a.example/y");
    assert!(
        status("GET", "https://b.example/")
            .await
            .unwrap_err()
            .starts_with("not granted")
    );
}
