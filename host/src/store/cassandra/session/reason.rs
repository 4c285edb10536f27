//! Why no node can be spoken to, in words that say what to mend. What is not known here stays in the driver's.

use crate::config::CassandraConfig;
use rustls::CertificateError;
use scylla::errors::{
    ConnectionError, ConnectionPoolError, ConnectionSetupRequestErrorKind, DbError, MetadataError,
    NewSessionError,
};

/// Of the node that was tried last.
pub(super) fn reason(config: &CassandraConfig, error: &NewSessionError) -> String {
    let NewSessionError::MetadataError(MetadataError::ConnectionPoolError(ConnectionPoolError::Broken {
        last_connection_error: error,
    })) = error
    else {
        return error.to_string();
    };
    match error {
        ConnectionError::IoError(error) => match error.get_ref().and_then(|inner| inner.downcast_ref()) {
            Some(error) => of_tls(config, error),
            None => format!("{error}{}", silence(config, error)),
        },
        ConnectionError::ConnectionSetupRequestError(refused) => match &refused.error {
            ConnectionSetupRequestErrorKind::DbError(DbError::AuthenticationError, text) => {
                format!(
                    "the login is refused ({text}); see store.cassandra.user and store.cassandra.password"
                )
            }
            ConnectionSetupRequestErrorKind::MissingAuthentication => {
                "it wants a login; name store.cassandra.user and store.cassandra.password".to_owned()
            }
            other => format!("{other}{}", silence(config, other)),
        },
        other => format!("{other}{}", silence(config, other)),
    }
}

fn of_tls(config: &CassandraConfig, error: &rustls::Error) -> String {
    match error {
        rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer | CertificateError::BadSignature) => {
            let ca = config.ca.as_deref().unwrap_or(std::path::Path::new(""));
            format!(
                "its certificate is signed by nobody in {}; name the file of its authority in store.cassandra.tls.ca",
                ca.display()
            )
        }
        rustls::Error::InvalidCertificate(
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
        ) => format!(
            "its certificate does not carry the address that it is spoken to by: {error}; it needs the node's IP \
             address as subjectAltName"
        ),
        rustls::Error::InvalidMessage(_) => {
            "it does not speak TLS on this port; take store.cassandra.tls away, or set client_encryption_options on \
             the nodes"
                .to_owned()
        }
        other => format!("TLS: {other}"),
    }
}

/// A node that wants TLS closes a connection without it and says nothing.
fn silence(config: &CassandraConfig, error: &dyn std::fmt::Debug) -> &'static str {
    let text = format!("{error:?}");
    let closed = ["reset by peer", "Broken pipe", "closed"];
    match config.ca.is_none() && closed.iter().any(|word| text.contains(word)) {
        true => "; does it want TLS? Then name store.cassandra.tls.ca",
        false => "",
    }
}
