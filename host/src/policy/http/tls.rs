//! Whom HTTPS trusts: the system's certificates, or an authority of the administrator's in their place.

use crate::policy::folder::{Size, check_file, read_file};
use crate::policy::limits::Limit;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};
use std::path::Path;
use std::sync::{Arc, OnceLock};
use tokio_rustls::TlsConnector;

/// The system's certificates, read when they are first needed.
#[derive(Debug, Default)]
pub(in crate::policy) struct Trust(OnceLock<Arc<RootCertStore>>);

impl Trust {
    /// By these, or by the certificates in `ca` alone. The error says what is wrong with them and how to mend it.
    pub(in crate::policy) fn connector(&self, ca: Option<&Path>) -> Result<TlsConnector, String> {
        let roots = match ca {
            Some(file) => Arc::new(authority(file)?),
            None => Arc::clone(self.0.get_or_init(|| Arc::new(system()))),
        };
        if roots.is_empty() {
            return Err(
                "this system trusts no certificate; install them (ca-certificates), or name \
                        those to trust as grants.http.ca"
                    .to_owned(),
            );
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| format!("no TLS: {error}"))?;
        let config = config.with_root_certificates(roots).with_no_client_auth();
        Ok(TlsConnector::from(Arc::new(config)))
    }
}

fn system() -> RootCertStore {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    roots
}

/// A file of certificates, read as those of the folder are: nobody else may write to it, and what is no file holds
/// nobody up.
const AUTHORITY: Size = Size {
    most: 1 << 20,
    limit: Limit::File,
    mend: "name a file of certificates in PEM",
};

fn authority(file: &Path) -> Result<RootCertStore, String> {
    let content = read_file(file, file, AUTHORITY, check_file).map_err(|fault| fault.to_string())?;
    let wrong = |error: String| format!("{}: {error}; name a file of certificates in PEM", file.display());
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&content) {
        let certificate = certificate.map_err(|error| wrong(error.to_string()))?;
        roots.add(certificate).map_err(|error| wrong(error.to_string()))?;
    }
    match roots.is_empty() {
        true => Err(wrong("no certificate in it".to_owned())),
        false => Ok(roots),
    }
}
