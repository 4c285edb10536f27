//! Where a server is, and whether it is spoken to in clear, over TLS from the first octet, or after STARTTLS.

use anyhow::{Context as _, bail};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use std::net::{SocketAddr, ToSocketAddrs as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio_rustls::TlsConnector;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub(crate) enum When {
    #[default]
    None,
    Starttls,
    Implicit,
}

#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct Tls {
    /// TLS from the first octet, or after STARTTLS (STLS)
    #[arg(long, value_enum, default_value = "none")]
    pub(crate) tls: When,
    /// Check the server's certificate against these in PEM; without it any is taken
    #[arg(long, value_name = "PEM")]
    pub(crate) ca: Option<PathBuf>,
}

/// Octets that went through connections, before TLS adds its own.
#[derive(Debug, Default)]
pub(crate) struct Traffic {
    pub(crate) sent: AtomicU64,
    pub(crate) received: AtomicU64,
}

impl Traffic {
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::json!({
            "sent": self.sent.load(Ordering::Relaxed), "received": self.received.load(Ordering::Relaxed),
        })
    }
}

#[derive(Clone)]
pub(crate) struct Secure {
    pub(crate) connector: TlsConnector,
    pub(crate) name: ServerName<'static>,
}

#[derive(Clone)]
pub(crate) struct Target {
    pub(crate) address: SocketAddr,
    pub(crate) when: When,
    secure: Option<Secure>,
    pub(crate) traffic: Arc<Traffic>,
    /// Octets that a connection keeps to read into.
    pub(crate) room: usize,
}

impl std::fmt::Debug for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Target({} {:?})", self.address, self.when)
    }
}

/// In clear.
impl From<SocketAddr> for Target {
    fn from(address: SocketAddr) -> Self {
        Self {
            address,
            when: When::None,
            secure: None,
            traffic: Arc::default(),
            room: 32 * 1024,
        }
    }
}

impl Target {
    /// `host:port`; the certificate is to name that host.
    pub(crate) fn new(place: &str, tls: &Tls) -> anyhow::Result<Self> {
        let mut addresses = place
            .to_socket_addrs()
            .with_context(|| format!("`{place}` is no host:port"))?;
        let address = addresses
            .next()
            .with_context(|| format!("`{place}` has no address"))?;
        let mut target = Self::from(address);
        if tls.tls != When::None {
            let host = place.rsplit_once(':').map_or(place, |(host, _)| host);
            let host = host.trim_start_matches('[').trim_end_matches(']');
            target.when = tls.tls;
            target.secure = Some(Secure {
                connector: TlsConnector::from(Arc::new(client_config(tls.ca.as_deref())?)),
                name: ServerName::try_from(host.to_owned())
                    .with_context(|| format!("`{host}` is no name for a certificate"))?,
            });
        }
        Ok(target)
    }

    /// A client without TLS has none; STARTTLS was not asked for.
    pub(crate) fn secure(&self) -> anyhow::Result<&Secure> {
        self.secure.as_ref().context("this target has no TLS")
    }

    /// For connections that are many and silent.
    pub(crate) fn frugal(mut self) -> Self {
        self.room = 512;
        self
    }
}

/// Sessions are resumed where the server lets them.
pub(crate) fn client_config(ca: Option<&Path>) -> anyhow::Result<ClientConfig> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder =
        ClientConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions()?;
    let Some(ca) = ca else {
        let any = Arc::new(AnyCertificate(provider));
        return Ok(builder
            .dangerous()
            .with_custom_certificate_verifier(any)
            .with_no_client_auth());
    };
    let mut roots = RootCertStore::empty();
    let certificates =
        CertificateDer::pem_file_iter(ca).with_context(|| format!("{} cannot be read", ca.display()))?;
    for certificate in certificates {
        let certificate = certificate.with_context(|| format!("{} is no PEM", ca.display()))?;
        roots
            .add(certificate)
            .with_context(|| format!("{} holds what is no certificate", ca.display()))?;
    }
    if roots.is_empty() {
        bail!("{} holds no certificate", ca.display());
    }
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}

/// Takes any certificate, but checks that the server has its key.
#[derive(Debug)]
struct AnyCertificate(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, signed, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, signed, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_a_host_and_a_port() {
        let target = Target::new("127.0.0.1:25", &Tls::default()).unwrap();
        assert_eq!(target.address, ([127, 0, 0, 1], 25).into());
        assert!(target.secure().is_err());
        assert!(Target::new("127.0.0.1", &Tls::default()).is_err());
        let tls = Tls {
            tls: When::Implicit,
            ca: None,
        };
        assert!(Target::new("[::1]:465", &tls).unwrap().secure().is_ok());
    }

    #[test]
    fn a_file_without_certificates_is_no_authority() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let fault = client_config(Some(file.path())).unwrap_err().to_string();
        assert!(fault.ends_with("holds no certificate"), "{fault}");
    }
}
