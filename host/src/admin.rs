//! The admin listener, plain HTTP: `/healthz`, `/readyz`, `/metrics`.
//!
//! `/healthz` answers as long as the process does. `/readyz` says whether new mail is taken, with the reason
//! if not, and with `?verbose` what each check found. `/metrics` is for Prometheus, behind a token if one is
//! configured. Nothing here changes anything: administration goes through the control socket.
//!
//! Who may connect is not known before a token is read, so connections cost mail nothing: there are at most
//! `admin.connections`, one more is told 503, and one that asks for nothing within `admin.request` is closed.

use crate::config::{AdminConfig, Secret};
use crate::net::Bound;
use axum::Router;
use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::routing::get;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle, PrometheusRecorder};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use subtle::ConstantTimeEq;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// From a tenth of a millisecond (a policy's call) to a minute (a long transfer).
const SECONDS: [f64; 17] = [
    0.0001, 0.000_25, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0,
    60.0,
];

/// From a bare message to the largest that is usually taken.
const BYTES: [f64; 9] = [1e3, 4e3, 16e3, 64e3, 256e3, 1e6, 4e6, 16e6, 64e6];

/// How often histograms are folded, so that they do not grow where nobody scrapes.
const UPKEEP: Duration = Duration::from_secs(5);

/// How long a connection lives that goes on asking; then it may come again.
const VISIT: Duration = Duration::from_secs(60);

/// After an error of `accept` that another try at once would only repeat.
const PAUSE: Duration = Duration::from_millis(200);

/// Octets of a request: no page here needs more than a path and a token.
const REQUEST: usize = 16 * 1024;

/// What one connection too many is told.
const FULL: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";

/// A question that `/readyz` asks; the error is told to whoever asked.
pub struct Check {
    pub name: &'static str,
    pub ask: Box<dyn Fn() -> Result<(), String> + Send + Sync>,
    /// What else `?verbose` shows of it, a line each.
    pub remarks: Box<dyn Fn() -> Vec<String> + Send + Sync>,
}

impl fmt::Debug for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Check({})", self.name)
    }
}

/// What the pages show.
#[derive(Debug)]
pub struct Admin {
    checks: Vec<Check>,
    metrics: PrometheusHandle,
    token: Option<Secret>,
    /// Connections that are free, of all admin listeners together.
    places: Arc<Semaphore>,
    /// How long a request is waited for, from its connection or from the answer before.
    patience: Duration,
}

/// Makes every metric of the process go to the handle; once in a process.
pub fn record_metrics() -> anyhow::Result<PrometheusHandle> {
    let recorder = recorder()?;
    let handle = recorder.handle();
    metrics::set_global_recorder(recorder)
        .map_err(|error| anyhow::anyhow!("cannot record metrics: {error}"))?;
    metrics::gauge!("postern_build", "version" => env!("CARGO_PKG_VERSION")).set(1.0);
    Ok(handle)
}

fn recorder() -> anyhow::Result<PrometheusRecorder> {
    Ok(PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &SECONDS)?
        .set_buckets_for_metric(Matcher::Suffix("_bytes".to_owned()), &BYTES)?
        .build_recorder())
}

/// Serves until `shutdown`, and ends when the requests under way then have their answers.
pub async fn serve(bound: Bound, admin: Arc<Admin>, shutdown: CancellationToken) {
    let pages = pages(Arc::clone(&admin));
    let socket = bound.into_socket();
    let visits = TaskTracker::new();
    while let Some(accepted) = shutdown.run_until_cancelled(socket.accept()).await {
        match accepted {
            Ok((tcp, _)) => admit(tcp, &admin, &pages, &visits, &shutdown),
            Err(error) => {
                tracing::error!(%error, "the admin listener cannot accept; trying again");
                sleep(PAUSE).await;
            }
        }
    }
    visits.close();
    visits.wait().await;
}

/// Serves a connection if there is a place for it; nothing waits here.
fn admit(
    tcp: TcpStream,
    admin: &Arc<Admin>,
    pages: &Router,
    visits: &TaskTracker,
    shutdown: &CancellationToken,
) {
    let Ok(place) = Arc::clone(&admin.places).try_acquire_owned() else {
        metrics::counter!("postern_limit_hits_total", "limit" => "admin_connections").increment(1);
        // It fits the buffer of a socket that is new.
        let _ = tcp.try_write(FULL);
        return;
    };
    let (pages, patience, shutdown) = (pages.clone(), admin.patience, shutdown.clone());
    visits.spawn(async move {
        visit(tcp, pages, patience, shutdown).await;
        drop(place);
    });
}

/// One connection, to its end. A client that takes its answer an octet at a time is cut when its visit is over.
async fn visit(tcp: TcpStream, pages: Router, patience: Duration, shutdown: CancellationToken) {
    let exchange = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(patience)
        .max_buf_size(REQUEST)
        .serve_connection(TokioIo::new(tcp), TowerToHyperService::new(pages));
    tokio::pin!(exchange);
    let ended = tokio::select! {
        ended = exchange.as_mut() => ended,
        _ = shutdown.run_until_cancelled(sleep(VISIT)) => {
            exchange.as_mut().graceful_shutdown();
            timeout(patience, exchange).await.unwrap_or(Ok(()))
        }
    };
    let Err(error) = ended else { return };
    if error.is_timeout() {
        metrics::counter!("postern_limit_hits_total", "limit" => "admin_request").increment(1);
    }
    tracing::debug!(%error, "a connection to the admin listener broke off");
}

/// Folds histograms until `shutdown`.
pub async fn keep_up(metrics: PrometheusHandle, shutdown: CancellationToken) {
    let mut tick = tokio::time::interval(UPKEEP);
    while shutdown.run_until_cancelled(tick.tick()).await.is_some() {
        metrics.run_upkeep();
    }
}

fn pages(admin: Arc<Admin>) -> Router {
    Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(readiness))
        .route("/metrics", get(metrics_page))
        .with_state(admin)
}

async fn readiness(State(admin): State<Arc<Admin>>, RawQuery(query): RawQuery) -> (StatusCode, String) {
    let verbose = query.is_some_and(|query| {
        query
            .split('&')
            .any(|key| key == "verbose" || key.starts_with("verbose="))
    });
    let mut page = String::new();
    let mut status = StatusCode::OK;
    for check in &admin.checks {
        match (check.ask)() {
            Ok(()) if verbose => page.push_str(&format!("{}: ready\n", check.name)),
            Ok(()) => {}
            Err(reason) => {
                status = StatusCode::SERVICE_UNAVAILABLE;
                page.push_str(&format!("{}: not ready: {reason}\n", check.name));
            }
        }
        if verbose {
            for remark in (check.remarks)() {
                page.push_str(&format!("{}: {remark}\n", check.name));
            }
        }
    }
    if status == StatusCode::OK {
        page.push_str("ready\n");
    }
    (status, page)
}

async fn metrics_page(
    State(admin): State<Arc<Admin>>,
    headers: HeaderMap,
) -> Result<([(header::HeaderName, &'static str); 1], String), StatusCode> {
    if !admin.is_allowed(&headers) {
        return Err(StatusCode::UNAUTHORIZED);
    }
    let kind = [(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")];
    Ok((kind, admin.metrics.render()))
}

impl Admin {
    pub fn new(checks: Vec<Check>, metrics: PrometheusHandle, config: &AdminConfig) -> Self {
        Self {
            checks,
            metrics,
            token: config.token.clone(),
            places: Arc::new(Semaphore::new(config.connections)),
            patience: config.request,
        }
    }

    fn is_allowed(&self, headers: &HeaderMap) -> bool {
        let Some(token) = &self.token else {
            return true;
        };
        let given = headers
            .get(header::AUTHORIZATION)
            .and_then(|value| value.to_str().ok());
        let given = given
            .and_then(|value| value.strip_prefix("Bearer "))
            .unwrap_or_default();
        given.as_bytes().ct_eq(token.reveal().as_bytes()).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use std::path::Path;
    use std::sync::atomic::{AtomicBool, Ordering};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    /// A configuration with an admin listener, and `more`.
    fn config(more: &str, folder: &Path) -> Config {
        let text = format!(
            "hostname: a.example\npostmaster: a@b.example\nlisteners: [ {{ role: admin, address: \"127.0.0.1:0\" }} ]\n{more}"
        );
        Config::parse(&text, folder).unwrap()
    }

    struct Pages {
        address: std::net::SocketAddr,
        open: Arc<AtomicBool>,
        shutdown: CancellationToken,
        recorder: PrometheusRecorder,
        served: tokio::task::JoinHandle<()>,
    }

    fn start(config: &Config) -> Pages {
        let open = Arc::new(AtomicBool::new(true));
        let store = Arc::clone(&open);
        let ask = move || {
            store
                .load(Ordering::SeqCst)
                .then_some(())
                .ok_or("the disk is nearly full".to_owned())
        };
        let recorder = recorder().unwrap();
        let checks = vec![Check {
            name: "store",
            ask: Box::new(ask),
            remarks: Box::new(|| vec!["kept twice".to_owned()]),
        }];
        let admin = Admin::new(checks, recorder.handle(), &config.admin);
        let bound = crate::net::bind(&config.listeners[0]).unwrap();
        let address = bound.listener.address;
        let shutdown = CancellationToken::new();
        let served = tokio::spawn(serve(bound, Arc::new(admin), shutdown.clone()));
        Pages {
            address,
            open,
            shutdown,
            recorder,
            served,
        }
    }

    async fn get(address: std::net::SocketAddr, path: &str, header: &str) -> String {
        let mut tcp = tokio::net::TcpStream::connect(address).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{header}\r\n");
        tcp.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        tcp.read_to_string(&mut answer).await.unwrap();
        answer
    }

    #[tokio::test]
    async fn health_is_the_process_and_readiness_is_what_the_checks_say() {
        let pages = start(&config("", Path::new("")));
        let page = |path: &'static str| get(pages.address, path, "");
        assert!(page("/healthz").await.starts_with("HTTP/1.1 200 OK"));
        assert!(page("/readyz").await.ends_with("\r\n\r\nready\n"));
        assert!(
            page("/readyz?verbose")
                .await
                .ends_with("store: ready\nstore: kept twice\nready\n")
        );
        pages.open.store(false, Ordering::SeqCst);
        let refused = page("/readyz").await;
        assert!(refused.starts_with("HTTP/1.1 503"), "{refused}");
        assert!(
            refused.ends_with("store: not ready: the disk is nearly full\n"),
            "{refused}"
        );
        assert!(
            page("/readyz?verbose")
                .await
                .ends_with("store: not ready: the disk is nearly full\nstore: kept twice\n")
        );
        assert!(
            page("/healthz").await.starts_with("HTTP/1.1 200 OK"),
            "a full disk is no reason to restart"
        );
        assert!(page("/nowhere").await.starts_with("HTTP/1.1 404"));
        pages.shutdown.cancel();
        pages.served.await.unwrap();
    }

    #[tokio::test]
    async fn metrics_are_rendered_with_their_buckets() {
        let pages = start(&config("", Path::new("")));
        metrics::with_local_recorder(&pages.recorder, || {
            metrics::counter!("postern_tries_total", "how" => "test").increment(3);
            metrics::histogram!("postern_try_seconds").record(0.002);
        });
        let answer = get(pages.address, "/metrics", "").await;
        assert!(answer.contains("postern_tries_total{how=\"test\"} 3"), "{answer}");
        assert!(
            answer.contains("postern_try_seconds_bucket{le=\"0.0025\"} 1"),
            "{answer}"
        );
        assert!(
            answer.contains("content-type: text/plain; version=0.0.4"),
            "{answer}"
        );
        pages.shutdown.cancel();
    }

    #[tokio::test]
    async fn a_token_guards_the_metrics_alone() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("token"), "abc\n").unwrap();
        let pages = start(&config("admin: { token: \"file:token\" }\n", folder.path()));
        let status = |header: &'static str| async move {
            get(pages.address, "/metrics", header).await[..12].to_owned()
        };
        assert_eq!(status("").await, "HTTP/1.1 401");
        assert_eq!(status("Authorization: Bearer abd\r\n").await, "HTTP/1.1 401");
        assert_eq!(status("Authorization: Bearer abc\r\n").await, "HTTP/1.1 200");
        assert!(
            get(pages.address, "/readyz", "")
                .await
                .starts_with("HTTP/1.1 200")
        );
        pages.shutdown.cancel();
    }

    async fn connect(address: std::net::SocketAddr) -> tokio::net::TcpStream {
        tokio::net::TcpStream::connect(address).await.unwrap()
    }

    /// All that is sent until the connection is closed.
    async fn rest(mut tcp: tokio::net::TcpStream) -> String {
        let mut rest = Vec::new();
        let _ = tcp.read_to_end(&mut rest).await;
        String::from_utf8(rest).unwrap()
    }

    #[tokio::test]
    async fn as_many_connections_as_the_limit_says_and_one_more_is_told_503() {
        let pages = start(&config("admin: { connections: 2 }\n", Path::new("")));
        let first = connect(pages.address).await;
        let mut second = connect(pages.address).await;
        // Answered, so both are admitted: they are accepted in their order.
        second
            .write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
            .await
            .unwrap();
        second.read_exact(&mut [0; 16]).await.unwrap();
        let third = rest(connect(pages.address).await).await;
        assert!(third.starts_with("HTTP/1.1 503 "), "{third}");
        drop(first);
        // A place is free as soon as the gateway has seen the end.
        while !get(pages.address, "/healthz", "")
            .await
            .starts_with("HTTP/1.1 200 OK")
        {}
    }

    #[tokio::test]
    async fn a_request_that_does_not_come_whole_in_time_ends_the_connection() {
        let pages = start(&config("admin: { request: 1s }\n", Path::new("")));
        for begun in [
            "",
            "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n",
            "GET /healthz HTTP/1.1\r\nHos",
        ] {
            let mut tcp = connect(pages.address).await;
            tcp.write_all(begun.as_bytes()).await.unwrap();
            let closed = tokio::time::timeout(Duration::from_secs(10), rest(tcp)).await;
            assert!(closed.is_ok(), "still open behind {begun:?}");
        }
    }

    #[tokio::test]
    async fn a_request_that_drips_does_not_renew_its_time() {
        let pages = start(&config("admin: { request: 1s }\n", Path::new("")));
        let (mut reader, mut writer) = connect(pages.address).await.into_split();
        // From here on nothing takes time but what waits for it.
        tokio::time::pause();
        let dripping = async {
            while writer.write_all(b"x").await.is_ok() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let mut rest = Vec::new();
        let closed = tokio::time::timeout(Duration::from_secs(10), async {
            tokio::select! {
                () = dripping => {}
                _ = reader.read_to_end(&mut rest) => {}
            }
        });
        assert!(closed.await.is_ok(), "kept open by dripping");
    }
}
