//! The certificate of a gateway that was given none: made once, kept, its own authority.
//!
//! It is an end-entity certificate that signed itself, so that its PEM file is what a client needs to trust
//! it (`curl --cacert STATE/tls/cert.pem`). The two files are written aside and renamed; a half-made pair
//! is made anew. So is one that is for another `hostname`: it stays beside as `cert.pem.old` and `key.pem.old`.

use super::{TlsError, certificate};
use crate::config::Certificate;
use rcgen::{
    CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose, date_time_ymd,
};
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

/// The pair in `folder`, made now if it is not there or for another name.
pub(super) fn kept(folder: &Path, hostname: &str) -> Result<Certificate, TlsError> {
    let pair = pair(folder);
    let failed = |reason: String| TlsError::SelfSigned {
        folder: folder.to_owned(),
        reason,
    };
    let there = pair.chain.exists() && pair.key.exists();
    // One that cannot be read is left for the start to refuse: it may be somebody's own.
    let other = match certificate::names(&pair.chain) {
        // Its names are DNS names; a host that is called by its address has its certificate for good.
        Ok(_) if hostname.parse::<std::net::IpAddr>().is_ok() => None,
        Ok(names) if there && !names.iter().any(|name| name.eq_ignore_ascii_case(hostname)) => Some(names),
        Ok(_) | Err(_) => None,
    };
    if let Some(names) = &other {
        put_aside(folder).map_err(|error| failed(error.to_string()))?;
        tracing::warn!(?names, hostname, kept = %folder.join("cert.pem.old").display(),
            "the self-signed certificate is for another host name; a new one is made, which clients must be given again");
    }
    if !there || other.is_some() {
        let (chain, key) = make(hostname).map_err(|error| failed(error.to_string()))?;
        write(folder, &chain, &key).map_err(|error| failed(error.to_string()))?;
        tracing::warn!(chain = %pair.chain.display(), "no certificate is configured; a self-signed one was made");
    }
    Ok(pair)
}

/// Where the pair is kept.
pub(super) fn pair(folder: &Path) -> Certificate {
    Certificate {
        chain: folder.join("cert.pem"),
        key: folder.join("key.pem"),
    }
}

fn make(hostname: &str) -> Result<(String, String), rcgen::Error> {
    let mut names = vec![
        hostname.to_owned(),
        "localhost".into(),
        "127.0.0.1".into(),
        "::1".into(),
    ];
    names.dedup();
    let mut params = CertificateParams::new(names)?;
    params.distinguished_name.push(DnType::CommonName, hostname);
    // Nobody renews it by itself; a site that cares configures a real one. 9999 would be RFC 5280's "never".
    params.not_before = date_time_ymd(2024, 1, 1);
    params.not_after = date_time_ymd(2049, 12, 31);
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let key = KeyPair::generate()?;
    let certificate = params.self_signed(&key)?;
    Ok((certificate.pem(), key.serialize_pem()))
}

/// The chain first: a chain without its key is never seen.
fn put_aside(folder: &Path) -> std::io::Result<()> {
    for name in ["cert.pem", "key.pem"] {
        std::fs::rename(folder.join(name), folder.join(format!("{name}.old")))?;
    }
    Ok(())
}

fn write(folder: &Path, chain: &str, key: &str) -> std::io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    // The key first: a chain without its key is never seen.
    for (name, text) in [("key.pem", key), ("cert.pem", chain)] {
        let aside = folder.join(format!("{name}.new"));
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&aside)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        std::fs::rename(&aside, folder.join(name))?;
    }
    File::open(folder)?.sync_all()
}
