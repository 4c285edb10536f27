//! Certificates: by SNI, reloaded when they change, self-signed where none is configured.
