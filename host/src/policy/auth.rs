//! Sender authentication as policies are told of it. Values are those of RFC 8601; empty is not known.

use serde::{Deserialize, Serialize};

/// What was found of a sender.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct AuthFacts {
    pub spf: String,
    /// The domain that SPF was checked for.
    pub spf_domain: String,
    pub dkim: Vec<SignatureFacts>,
    pub dmarc: String,
    /// `none`, `quarantine`, `reject`; empty where the domain has no record.
    pub dmarc_policy: String,
    pub arc: String,
}

/// One DKIM signature that was checked.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct SignatureFacts {
    pub status: String,
    pub domain: String,
    pub selector: String,
}

impl AuthFacts {
    /// Whether nothing is known.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// What is known before there is a message.
    #[must_use]
    pub fn at_envelope(&self) -> Self {
        Self {
            spf: self.spf.clone(),
            spf_domain: self.spf_domain.clone(),
            ..Self::default()
        }
    }
}
