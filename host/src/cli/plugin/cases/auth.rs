//! Sender authentication as it is written in a case, by the contract's names.

use super::read::Reader;
use crate::policy::{AuthFacts, SignatureFacts};
use serde::Deserialize;

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct RawAuth {
    spf: Option<String>,
    spf_domain: Option<String>,
    dkim: Option<Vec<RawSignature>>,
    dmarc: Option<String>,
    dmarc_policy: Option<String>,
    arc: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawSignature {
    status: Option<String>,
    domain: Option<String>,
    selector: Option<String>,
}

/// The results of RFC 8601 §2.7 that a gateway says.
const SPF: [&str; 7] = [
    "none",
    "neutral",
    "pass",
    "fail",
    "softfail",
    "temperror",
    "permerror",
];
const DKIM: [&str; 6] = ["pass", "fail", "neutral", "policy", "temperror", "permerror"];
const DMARC: [&str; 5] = ["none", "pass", "fail", "temperror", "permerror"];
const POLICY: [&str; 3] = ["none", "quarantine", "reject"];
const ARC: [&str; 4] = ["none", "pass", "fail", "temperror"];

impl Reader<'_> {
    pub(super) fn auth(&mut self, raw: RawAuth) -> AuthFacts {
        let places = (0..).map(|place| format!("auth.dkim[{place}].status"));
        let signatures = places.zip(raw.dkim.unwrap_or_default());
        let dkim = signatures.map(|(key, signature)| SignatureFacts {
            status: self.word(&key, signature.status, &DKIM),
            domain: signature.domain.unwrap_or_default(),
            selector: signature.selector.unwrap_or_default(),
        });
        AuthFacts {
            dkim: dkim.collect(),
            spf: self.word("auth.spf", raw.spf, &SPF),
            spf_domain: raw.spf_domain.unwrap_or_default(),
            dmarc: self.word("auth.dmarc", raw.dmarc, &DMARC),
            dmarc_policy: self.word("auth.dmarc-policy", raw.dmarc_policy, &POLICY),
            arc: self.word("auth.arc", raw.arc, &ARC),
        }
    }

    /// Empty where nothing is written: it is not known.
    fn word(&mut self, key: &str, written: Option<String>, words: &[&str]) -> String {
        let word = written.unwrap_or_default();
        if !word.is_empty() {
            self.one_of(key, &word, words);
        }
        word
    }
}
