//! What a policy was given beyond what all have: the `grants` section of its file.

mod directory;
mod http;

pub(super) use directory::RawDirectory;
pub use directory::{Attribute, DirectorySource};
#[cfg(test)]
pub(super) use http::tests;
pub(super) use http::{HttpGrant, Origin, RawHttp, Scheme};

use crate::config::fault::Collector;

/// What was granted; `kv` apart, which is older.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Grants {
    pub(super) directory: bool,
    pub(super) http: Option<HttpGrant>,
}

impl Grants {
    pub(super) fn read(
        directory: Option<&RawDirectory>,
        http: Option<RawHttp>,
        faults: &mut Collector,
    ) -> Self {
        Self {
            directory: directory.is_some(),
            http: http.map(|raw| HttpGrant::read(raw, faults)),
        }
    }
}
