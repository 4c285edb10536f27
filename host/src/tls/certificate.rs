//! One certificate: its chain and key from PEM files, the names it is for, the day it ends.

use crate::config::Certificate;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer;

/// Why certificates cannot be served. The text says which file and how to mend it.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    #[error("cannot read {}: {reason}; it must hold PEM and be readable", file.display())]
    File { file: PathBuf, reason: String },
    #[error("{} has no certificate; put the chain there, the host's own first", .0.display())]
    Empty(PathBuf),
    #[error("{} and {}: {reason}; key and chain must belong together", chain.display(), key.display())]
    Pair {
        chain: PathBuf,
        key: PathBuf,
        reason: String,
    },
    #[error("cannot make a self-signed certificate in {}: {reason}", folder.display())]
    SelfSigned { folder: PathBuf, reason: String },
    #[error("TLS: {0}")]
    Library(rustls::Error),
}

/// A certificate that can serve.
#[derive(Debug, Clone)]
pub struct Loaded {
    pub source: Certificate,
    /// DNS names of its subject alternative names, lower case.
    pub names: Vec<String>,
    /// Seconds since 1970.
    pub not_after: i64,
    /// The same for people.
    pub not_after_text: String,
    pub(super) key: Arc<CertifiedKey>,
}

impl Loaded {
    /// Reads and checks chain and key.
    pub(super) fn read(source: &Certificate, provider: &CryptoProvider) -> Result<Self, TlsError> {
        let unreadable = |file: &Path, error: rustls::pki_types::pem::Error| TlsError::File {
            file: file.to_owned(),
            reason: error.to_string(),
        };
        let chain = CertificateDer::pem_file_iter(&source.chain)
            .and_then(Iterator::collect::<Result<Vec<_>, _>>)
            .map_err(|error| unreadable(&source.chain, error))?;
        let key =
            PrivateKeyDer::from_pem_file(&source.key).map_err(|error| unreadable(&source.key, error))?;
        let Some(own) = chain.first() else {
            return Err(TlsError::Empty(source.chain.clone()));
        };
        let described = describe(own).map_err(|reason| TlsError::File {
            file: source.chain.clone(),
            reason,
        })?;
        let key = CertifiedKey::from_der(chain, key, provider).map_err(|error| TlsError::Pair {
            chain: source.chain.clone(),
            key: source.key.clone(),
            reason: error.to_string(),
        })?;
        super::warn_if_shared(&source.key);
        Ok(Self {
            source: source.clone(),
            names: described.names,
            not_after: described.not_after,
            not_after_text: described.not_after_text,
            key: Arc::new(key),
        })
    }

    /// Whether it is for exactly this name. Names of a `ClientHello` are lower case already.
    pub(super) fn is_named(&self, name: &str) -> bool {
        self.names.iter().any(|own| own.eq_ignore_ascii_case(name))
    }

    /// Whether a wildcard of it covers the name: `*` stands for one whole label (RFC 9525 §6.3).
    pub(super) fn covers(&self, name: &str) -> bool {
        let Some((_, parent)) = name.split_once('.') else {
            return false;
        };
        let mut wildcards = self.names.iter().filter_map(|own| own.strip_prefix("*."));
        wildcards.any(|own| own.eq_ignore_ascii_case(parent))
    }
}

/// DNS names of the first certificate in `chain`.
pub(super) fn names(chain: &Path) -> Result<Vec<String>, String> {
    let own = CertificateDer::from_pem_file(chain).map_err(|error| error.to_string())?;
    Ok(describe(&own)?.names)
}

struct Described {
    names: Vec<String>,
    not_after: i64,
    not_after_text: String,
}

fn describe(der: &CertificateDer<'_>) -> Result<Described, String> {
    let (_, certificate) = X509Certificate::from_der(der).map_err(|error| error.to_string())?;
    let mut names = Vec::new();
    if let Ok(Some(alternative)) = certificate.subject_alternative_name() {
        for name in &alternative.value.general_names {
            if let GeneralName::DNSName(name) = name {
                names.push(name.to_ascii_lowercase());
            }
        }
    }
    let not_after = certificate.validity().not_after;
    Ok(Described {
        names,
        not_after: not_after.timestamp(),
        not_after_text: not_after.to_string(),
    })
}

/// What changes when one of the two files does; a file that is missing has a stamp too.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Stamp([Option<FileStamp>; 2]);

#[derive(Debug, Clone, PartialEq, Eq)]
struct FileStamp {
    device: u64,
    inode: u64,
    size: u64,
    changed: (i64, i64),
}

impl Stamp {
    pub(super) fn of(source: &Certificate) -> Self {
        let stamp = |path: &Path| {
            std::fs::metadata(path).ok().map(|file| FileStamp {
                device: file.dev(),
                inode: file.ino(),
                size: file.size(),
                // The time of change, which nobody can set back as the time of modification can be.
                changed: (file.ctime(), file.ctime_nsec()),
            })
        };
        Self([stamp(&source.chain), stamp(&source.key)])
    }
}
