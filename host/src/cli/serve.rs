//! `postern serve`: puts the gateway together, runs it, and ends it in order.
//!
//! What is wrong at the start ends the process with one line and exit code 1; nothing is served before
//! everything is there. SIGTERM or SIGINT: no new sessions, those that run finish within `limits.drain`, then
//! they are told 421; the exit code is 0. A second one ends at once, exit code 1: what was acknowledged is
//! durable already. SIGHUP loads the certificates again and looks at the policy folder.

mod tasks;

use super::policies;
use crate::admin::{self, Admin, Check};
use crate::config::{Config, Listener, Role, TlsMode};
use crate::control;
use crate::dns::Resolver;
use crate::explain;
use crate::gateway::{self, Gateway};
use crate::net::{self, Bound, Stop};
use crate::policy::Watch;
use crate::store::Store;
use anyhow::Context as _;
use metrics_exporter_prometheus::PrometheusHandle;
use postern_proto::smtp;
use sd_notify::NotifyState;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// What tasks have for what they are in the middle of.
const GRACE: Duration = Duration::from_secs(3);

/// Runs until it is told to end.
pub(super) fn run(path: &Path) -> anyhow::Result<ExitCode> {
    let config = Config::load(path)?;
    crate::log::start(&config.log)?;
    gateway::make_state(&config)?;
    let descriptors = net::raise_descriptor_limit();
    let metrics = admin::record_metrics()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let done = runtime.block_on(Box::pin(serve(Arc::new(config), metrics, descriptors)));
    // Whatever still runs has had its time; nothing durable depends on it.
    runtime.shutdown_background();
    done
}

async fn serve(config: Arc<Config>, metrics: PrometheusHandle, descriptors: u64) -> anyhow::Result<ExitCode> {
    let mut signals = Signals::new()?;
    let (gateway, watch) = compose(&config, descriptors).await?;
    let (admins, sockets) = listen(&config)?;
    let stop = Stop::default();
    let tasks = Tasks::default();
    tasks.start(&gateway, metrics, admins, &stop)?;
    if let Some(watch) = &watch {
        tasks.tracker.spawn(Arc::clone(watch).run(tasks.end.clone()));
    }
    let sessions = net::serve(&gateway, sockets, &stop);
    notify(&[NotifyState::Ready, NotifyState::Status("serving")]);
    tracing::info!(version = env!("CARGO_PKG_VERSION"), "ready");
    signals.until_end(&gateway, watch.as_deref()).await;
    let code = tokio::select! {
        () = drain(&gateway, &sessions, &stop) => ExitCode::SUCCESS,
        () = signals.until_end(&gateway, watch.as_deref()) => {
            tracing::warn!("told to end a second time; running sessions are cut off");
            return Ok(ExitCode::FAILURE);
        }
    };
    tasks.end().await;
    tracing::info!("ended");
    Ok(code)
}

/// The store, the policies and all else that sessions hold.
async fn compose(
    config: &Arc<Config>,
    descriptors: u64,
) -> anyhow::Result<(Arc<Gateway>, Option<Arc<Watch>>)> {
    let store: Arc<dyn Store> = gateway::open_store(config)
        .await
        .context("cannot open the store")?;
    let dns = Resolver::new(&config.dns);
    let watch = policies::watch(config, &store, &dns)?;
    let in_force = watch.as_deref().map(Watch::in_force).unwrap_or_default();
    let gateway = Gateway::over(Arc::clone(config), store, in_force, (dns, descriptors))?;
    Ok((Arc::new(gateway), watch))
}

/// Binds every listener, admin listeners apart, and says where each listens.
fn listen(config: &Config) -> anyhow::Result<(Vec<Bound>, Vec<Bound>)> {
    let mut all = Vec::new();
    for listener in &config.listeners {
        let bound = net::bind(listener)
            .with_context(|| format!("listener {} cannot listen on {}", listener.name, listener.address))?;
        announce(&bound.listener);
        all.push(bound);
    }
    Ok(all
        .into_iter()
        .partition(|bound| bound.listener.role == Role::Admin))
}

fn announce(listener: &Listener) {
    let tls = match listener.tls {
        TlsMode::StartTls => "starttls",
        TlsMode::Implicit => "implicit",
        TlsMode::None => "none",
    };
    tracing::info!(name = %listener.name, role = word(listener.role), tls, address = %listener.address, "listening");
}

/// A role as the configuration spells it.
pub(super) fn word(role: Role) -> &'static str {
    match role {
        Role::Smtp(smtp::Role::Mx) => "mx",
        Role::Smtp(smtp::Role::Submission) => "submission",
        Role::Smtp(smtp::Role::Lmtp) => "lmtp",
        Role::Pop3 => "pop3",
        Role::Admin => "admin",
    }
}

/// No new sessions; idle ones go, running ones finish; what is left when the time is over is cut.
async fn drain(gateway: &Gateway, sessions: &TaskTracker, stop: &Stop) {
    let limit = gateway.config.limits.drain;
    notify(&[NotifyState::Stopping, NotifyState::Status("draining")]);
    tracing::info!(sessions = gateway.admission.running(), ?limit, "draining");
    stop.accepting.cancel();
    stop.sessions.cancel();
    if timeout(limit, sessions.wait()).await.is_ok() {
        return;
    }
    tracing::warn!(
        sessions = gateway.admission.running(),
        "limits.drain is over; the sessions left are cut off"
    );
    metrics::counter!("postern_limit_hits_total", "limit" => "drain").increment(1);
    gateway.cut.cancel();
    // Each session is dropped at the end of its grace, so this ends.
    let _ = timeout(2 * net::GRACE, sessions.wait()).await;
}

/// Tells the service manager, if there is one. One that does not listen is its own trouble.
fn notify(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        tracing::warn!(%error, "the service manager at NOTIFY_SOCKET cannot be told");
    }
}

/// What the process is told from outside.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hang_up: Signal,
}

impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hang_up: signal(SignalKind::hangup())?,
        })
    }

    /// Waits for SIGTERM or SIGINT; does what SIGHUP asks in between.
    async fn until_end(&mut self, gateway: &Gateway, watch: Option<&Watch>) {
        loop {
            tokio::select! {
                _ = self.terminate.recv() => return,
                _ = self.interrupt.recv() => return,
                _ = self.hang_up.recv() => {
                    tracing::info!("SIGHUP: loading certificates again, looking at the policy folder");
                    if let Some(watch) = watch {
                        watch.ask();
                    }
                    gateway.tls.reload_all().await;
                }
            }
        }
    }
}

/// What runs beside the sessions until they have ended.
#[derive(Debug, Default)]
struct Tasks {
    tracker: TaskTracker,
    end: CancellationToken,
}

impl Tasks {
    fn start(
        &self,
        gateway: &Arc<Gateway>,
        metrics: PrometheusHandle,
        admins: Vec<Bound>,
        stop: &Stop,
    ) -> anyhow::Result<()> {
        let admin = Admin::new(checks(gateway, stop), metrics.clone(), &gateway.config.admin);
        let admin = Arc::new(admin);
        for bound in admins {
            let served = admin::serve(bound, Arc::clone(&admin), self.end.clone());
            self.tracker.spawn(served);
        }
        let context = control::ControlContext::new(
            Arc::clone(&gateway.store),
            gateway.directory.clone(),
            Some(Arc::clone(&gateway.policies)),
        )
        .with_attempts(Arc::clone(&gateway.attempts));
        let (path, end) = (control::socket_path(&gateway.config.state), self.end.clone());
        self.spawn("control", async move {
            control::serve(&path, Arc::new(context), end).await
        });
        self.tracker.spawn(admin::keep_up(metrics, self.end.clone()));
        self.tracker
            .spawn(tasks::expire_quarantine(Arc::clone(gateway), self.end.clone()));
        self.tracker
            .spawn(tasks::sweep(Arc::clone(&gateway.store), self.end.clone()));
        let state = gateway.config.state.clone();
        self.tracker.spawn(explain::save(
            Arc::clone(&gateway.attempts),
            state,
            self.end.clone(),
        ));
        let (watched, end) = (Arc::clone(gateway), self.end.clone());
        self.tracker.spawn(async move { watched.tls.watch(end).await });
        self.tracker.close();
        Ok(())
    }

    /// A task that should run to the end, and says so if it does not.
    fn spawn<E: std::fmt::Display>(
        &self,
        name: &'static str,
        task: impl Future<Output = Result<(), E>> + Send + 'static,
    ) {
        self.tracker.spawn(async move {
            if let Err(error) = task.await {
                tracing::error!(task = name, %error, "stopped serving");
            }
        });
    }

    async fn end(&self) {
        self.end.cancel();
        let _ = timeout(GRACE, self.tracker.wait()).await;
    }
}

/// What `/readyz` asks.
fn checks(gateway: &Arc<Gateway>, stop: &Stop) -> Vec<Check> {
    let (store, accepting) = (Arc::clone(&gateway.store), stop.accepting.clone());
    let told = Arc::clone(&gateway.store);
    let ready = move || store.ready().map_err(|error| error.to_string());
    let draining = move || match accepting.is_cancelled() {
        true => Err("no new sessions; the gateway is ending".to_owned()),
        false => Ok(()),
    };
    vec![
        Check {
            name: "store",
            ask: Box::new(ready),
            remarks: Box::new(move || told.remarks()),
        },
        Check {
            name: "drain",
            ask: Box::new(draining),
            remarks: Box::new(Vec::new),
        },
    ]
}
