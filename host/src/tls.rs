//! Certificates: by SNI, reloaded when they change, self-signed where none is configured.
//!
//! TLS 1.2 and 1.3 by rustls over aws-lc-rs, with session tickets. A certificate that does not load stops
//! the start; one that stops loading later leaves the one before serving, with one line in the log and one
//! count in the metrics. Files are looked at every few seconds (inode, size and time of change) rather than
//! watched: that also sees what is renamed, linked or mounted over, and needs nothing from the file system.

mod certificate;
mod self_signed;
#[cfg(test)]
pub(crate) mod tests;

pub use certificate::{Loaded, TlsError};

use crate::config::{Certificate, Config};
use certificate::Stamp;
use rustls::ServerConfig;
use rustls::crypto::CryptoProvider;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

/// How often the files are looked at: well under the minute that a renewal tool waits before it looks.
const LOOK: Duration = Duration::from_secs(5);

/// What all listeners with TLS share.
#[derive(Debug)]
pub struct Tls {
    server: Arc<ServerConfig>,
    certificates: Arc<Certificates>,
}

impl Tls {
    /// Loads the configured certificates, or makes and keeps a self-signed one under `STATE/tls`.
    pub fn open(config: &Config) -> Result<Self, TlsError> {
        let sources = match config.certificates.as_slice() {
            [] => vec![self_signed::kept(&config.state.join("tls"), &config.hostname)?],
            configured => configured.to_vec(),
        };
        let certificates = Arc::new(Certificates::load(sources)?);
        let mut server = ServerConfig::builder_with_provider(Arc::clone(certificates.provider()))
            .with_safe_default_protocol_versions()
            .map_err(TlsError::Library)?
            .with_no_client_auth()
            .with_cert_resolver(Arc::clone(&certificates) as Arc<dyn ResolvesServerCert>);
        server.ticketer = rustls::crypto::aws_lc_rs::Ticketer::new().map_err(TlsError::Library)?;
        Ok(Self {
            server: Arc::new(server),
            certificates,
        })
    }

    /// What accepts handshakes. Certificates that are reloaded later are served by it too.
    pub fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(Arc::clone(&self.server))
    }

    /// The certificates that serve now, the default first.
    pub fn certificates(&self) -> Vec<Loaded> {
        self.certificates.serving().to_vec()
    }

    /// Loads again every certificate of which a file has changed since it was last tried.
    pub async fn reload_changed(&self) {
        self.reload(Which::Changed).await;
    }

    /// Loads all of them again, as SIGHUP asks.
    pub async fn reload_all(&self) {
        self.reload(Which::All).await;
    }

    /// Off the I/O threads: a file system that hangs must not hold up sessions.
    async fn reload(&self, which: Which) {
        let certificates = Arc::clone(&self.certificates);
        let reloaded = tokio::task::spawn_blocking(move || certificates.reload(which));
        if let Err(error) = reloaded.await {
            tracing::error!(%error, "certificates could not be looked at");
        }
    }

    /// Looks at the files until `shutdown`.
    pub async fn watch(&self, shutdown: CancellationToken) {
        let mut tick = tokio::time::interval(LOOK);
        while shutdown.run_until_cancelled(tick.tick()).await.is_some() {
            self.reload_changed().await;
        }
    }
}

/// Tries the certificates without serving them: those that load, and a fault for each that does not. One
/// that was made by an earlier start is among them; none is made.
pub fn inspect(config: &Config) -> (Vec<Loaded>, Vec<String>) {
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    let mut loaded = Vec::new();
    let mut faults = Vec::new();
    for (index, source) in config.certificates.iter().enumerate() {
        match Loaded::read(source, &provider) {
            Ok(certificate) => loaded.push(certificate),
            Err(error) => faults.push(format!("tls.certificates[{index}]: {error}")),
        }
    }
    if config.certificates.is_empty() {
        let kept = self_signed::pair(&config.state.join("tls"));
        loaded.extend(Loaded::read(&kept, &provider).ok());
    }
    (loaded, faults)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Which {
    All,
    Changed,
}

/// The set that serves, swapped as a whole.
#[derive(Debug)]
struct Certificates {
    provider: Arc<CryptoProvider>,
    serving: RwLock<Arc<[Loaded]>>,
    /// The files of each, as they were when they were last tried; held during a reload, so one runs at a time.
    tried: Mutex<Vec<(Certificate, Stamp)>>,
}

impl Certificates {
    fn load(sources: Vec<Certificate>) -> Result<Self, TlsError> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut serving = Vec::new();
        let mut tried = Vec::new();
        for source in sources {
            let stamp = Stamp::of(&source);
            let loaded = Loaded::read(&source, &provider)?;
            note(&loaded);
            serving.push(loaded);
            tried.push((source, stamp));
        }
        Ok(Self {
            provider,
            serving: RwLock::new(serving.into()),
            tried: Mutex::new(tried),
        })
    }

    fn provider(&self) -> &Arc<CryptoProvider> {
        &self.provider
    }

    fn serving(&self) -> Arc<[Loaded]> {
        Arc::clone(&self.serving.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn reload(&self, which: Which) {
        let mut tried = self.tried.lock().unwrap_or_else(PoisonError::into_inner);
        let mut serving = self.serving().to_vec();
        for ((source, last), slot) in tried.iter_mut().zip(&mut serving) {
            let stamp = Stamp::of(source);
            if which == Which::Changed && stamp == *last {
                continue;
            }
            *last = stamp;
            match Loaded::read(source, &self.provider) {
                Ok(loaded) => {
                    note(&loaded);
                    metrics::counter!("postern_tls_reloads_total", "result" => "loaded").increment(1);
                    *slot = loaded;
                }
                Err(error) => {
                    metrics::counter!("postern_tls_reloads_total", "result" => "refused").increment(1);
                    tracing::error!(%error, "certificate not reloaded; the one before serves on");
                }
            }
        }
        *self.serving.write().unwrap_or_else(PoisonError::into_inner) = serving.into();
    }
}

impl ResolvesServerCert for Certificates {
    /// The first certificate with the name that the client asked for, an exact one before a wildcard, else
    /// the first of all: a client that asks for nothing (many mail clients) still gets one.
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let serving = self.serving();
        let named = hello.server_name().and_then(|name| {
            let exact = serving.iter().find(|loaded| loaded.is_named(name));
            exact.or_else(|| serving.iter().find(|loaded| loaded.covers(name)))
        });
        named.or(serving.first()).map(|loaded| Arc::clone(&loaded.key))
    }
}

/// Says what has been loaded.
fn note(loaded: &Loaded) {
    let chain = loaded.source.chain.display().to_string();
    tracing::info!(%chain, names = ?loaded.names, not_after = %loaded.not_after_text, "certificate loaded");
    metrics::gauge!("postern_tls_certificate_not_after_seconds", "chain" => chain)
        .set(loaded.not_after as f64);
}

/// Warns if others than the owner may read a private key.
fn warn_if_shared(key: &Path) {
    use std::os::unix::fs::PermissionsExt;
    let mode = std::fs::metadata(key).map_or(0, |metadata| metadata.permissions().mode());
    // A group of its own for keys is common practice; the whole world is not.
    if mode & 0o007 != 0 {
        tracing::warn!(key = %key.display(), mode = format!("{:o}", mode & 0o777), "everyone may open this private key; chmod 600 it");
    }
}
