//! SPF (RFC 7208) of the return path, or of the client's HELO where there is none (§2.4).

use super::{LATE, Outcome, Senders, count, hit};
use crate::dns::Failure;
use crate::policy::AuthFacts;
use mail_auth::spf::verify::SpfParameters;
use mail_auth::{SpfOutput, SpfResult};
use postern_proto::Address;
use std::net::IpAddr;
use tokio::time::timeout;

/// Who sends, as the client says.
#[derive(Debug, Clone, Copy)]
pub struct Envelope<'a> {
    pub client: IpAddr,
    pub helo: &'a str,
    /// None for `<>`.
    pub sender: Option<&'a Address>,
}

/// What was found in one session: each sender is checked once.
#[derive(Debug, Default)]
pub struct Checked {
    found: Vec<Spf>,
    checks: usize,
}

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spf {
    pub(super) output: SpfOutput,
    pub(super) outcome: Outcome,
    /// Empty for `<>`; its domain as A-labels.
    pub(super) sender: String,
    pub(super) helo: String,
}

impl Spf {
    /// As policies are told.
    pub fn facts(&self) -> AuthFacts {
        AuthFacts {
            spf: self.outcome.word.to_owned(),
            spf_domain: self.output.domain().to_owned(),
            ..AuthFacts::default()
        }
    }
}

impl Senders {
    /// The same as [`Senders::spf`], of one session. A sender whose check came to trouble is checked again. None: the session has had
    /// `sender_auth.checks`.
    pub async fn spf_once(&self, envelope: Envelope<'_>, checked: &mut Checked) -> Option<Spf> {
        let sender = envelope.sender.map(with_a_labels).unwrap_or_default();
        let helo = ascii(envelope.helo);
        let known = checked
            .found
            .iter()
            .find(|spf| spf.sender == sender && spf.helo == helo);
        if let Some(known) = known {
            return Some(known.clone());
        }
        if checked.checks >= self.bounds.checks {
            hit("sender_auth.checks");
            return None;
        }
        checked.checks += 1;
        let spf = self.spf(envelope).await;
        if spf.outcome.word != "temperror" {
            checked.found.push(spf.clone());
        }
        Some(spf)
    }

    /// Ends within `sender_auth.timeout`.
    pub async fn spf(&self, envelope: Envelope<'_>) -> Spf {
        let sender = envelope.sender.map(with_a_labels).unwrap_or_default();
        let helo = ascii(envelope.helo);
        let domain = sender
            .rsplit_once('@')
            .map_or(helo.as_str(), |(_, domain)| domain);
        let unknown = SpfOutput::new(domain.to_owned());
        let (output, outcome) = match has_records(domain) {
            false => (unknown, Outcome::because("none", "no domain to ask about")),
            true => match self.asked(envelope.client, &helo, &sender).await {
                Ok(output) => {
                    let outcome = Outcome::of(word(output.result()));
                    (output, outcome)
                }
                Err(failure) => {
                    let output = unknown.with_result(SpfResult::TempError);
                    (output, Outcome::trouble(failure))
                }
            },
        };
        count("spf", &outcome);
        Spf {
            output,
            outcome,
            sender,
            helo,
        }
    }

    async fn asked(&self, client: IpAddr, helo: &str, sender: &str) -> Result<SpfOutput, Failure> {
        let authenticator = self.dns.authenticator()?;
        let asked = async {
            let _place = self.dns.check().await?;
            let client = client.to_canonical();
            let question = SpfParameters::verify_mail_from(client, helo, &self.hostname, sender);
            Ok(Box::pin(authenticator.verify_spf(question)).await)
        };
        timeout(self.bounds.timeout, asked).await.unwrap_or_else(|_| {
            hit("sender_auth.timeout");
            Err(Failure(LATE.to_owned()))
        })
    }
}

/// An address literal, or a word without a dot, has no records of its own.
fn has_records(domain: &str) -> bool {
    domain.contains('.') && !domain.starts_with('[')
}

fn word(result: SpfResult) -> &'static str {
    match result {
        SpfResult::Pass => "pass",
        SpfResult::Fail => "fail",
        SpfResult::SoftFail => "softfail",
        SpfResult::Neutral => "neutral",
        SpfResult::TempError => "temperror",
        SpfResult::PermError => "permerror",
        SpfResult::None => "none",
    }
}

fn with_a_labels(sender: &Address) -> String {
    let text = sender.to_string();
    match text.rsplit_once('@') {
        Some((local, domain)) => format!("{local}@{}", ascii(domain)),
        None => text,
    }
}

/// A-labels in lower case; what has none stays as it is.
pub(super) fn ascii(domain: &str) -> String {
    match domain.is_ascii() {
        true => domain.to_ascii_lowercase(),
        false => idna::domain_to_ascii(domain).unwrap_or_else(|_| domain.to_owned()),
    }
}
