//! DMARC (RFC 9989) of every author.
//!
//! A message may name authors of several domains, in one From field or in several, and nobody knows which of them a
//! reader is shown. So each domain is asked about, and the worst result is kept; among equal ones that whose owner
//! wants most. What names nobody, or more domains than are asked about, is `permerror`; so is a field that readers
//! may understand in several ways, for they may be shown an author whom nobody asked about. They are asked about at the same
//! time: one whose servers are silent keeps nobody from what another's owner says.

use super::written::written;
use super::{LATE, Outcome, Spf, Verified, hit, spf};
use crate::dns::{Failure, Resolver};
use crate::message::head;
use futures_util::future::join_all;
use mail_auth::dmarc::Policy;
use mail_auth::dmarc::verify::DmarcParameters;
use mail_auth::{AuthenticatedMessage, DkimOutput, DmarcOutput, DmarcResult};
use mail_parser::{HeaderName, MessageParser};
use std::collections::BTreeSet;
use tokio::time::{Instant, timeout_at};

/// Domains of authors that are asked about: each costs some look-ups, and people write in the name of one.
const DOMAINS: usize = 5;

/// Octets of all From fields that are read: to make A-labels of what fills a header section would hold an I/O thread for
/// a third of a second.
const OCTETS: usize = 64 * 1024;

/// What was found of one domain.
struct Found {
    outcome: Outcome,
    policy: &'static str,
    domain: String,
}

impl Found {
    fn of(output: DmarcOutput) -> Self {
        Self {
            outcome: match output.result() {
                DmarcResult::Pass => Outcome::of("pass"),
                DmarcResult::Fail(_) => Outcome::of("fail"),
                DmarcResult::TempError(error) => Outcome::trouble(error),
                DmarcResult::PermError(error) => Outcome::because("permerror", error),
                DmarcResult::None => Outcome::of("none"),
            },
            policy: wish(&output),
            domain: output.into_domain(),
        }
    }

    /// The greater, the worse.
    fn rank(&self) -> (usize, usize) {
        let place = |words: &[&str], word| words.iter().position(|known| *known == word).unwrap_or_default();
        (
            place(
                &["pass", "none", "temperror", "permerror", "fail"],
                self.outcome.word,
            ),
            place(&["", "none", "quarantine", "reject"], self.policy),
        )
    }
}

impl Verified {
    /// `authors` are their domains, or what comes of it without them. Ends at `end`.
    pub(super) async fn dmarc(
        &mut self,
        dns: &Resolver,
        authors: Result<Vec<String>, Outcome>,
        facts: (&[DkimOutput<'_>], &Spf),
        end: Instant,
    ) {
        let domains = match authors {
            Ok(domains) => domains,
            Err(outcome) => {
                self.dmarc = outcome;
                return;
            }
        };
        let asked = domains
            .iter()
            .map(|domain| async move { found(dns, domain, facts, end).await });
        let worst =
            join_all(asked)
                .await
                .into_iter()
                .reduce(|worst, found| match worst.rank() < found.rank() {
                    true => found,
                    false => worst,
                });
        if let Some(worst) = worst {
            (self.dmarc, self.policy, self.from) = (worst.outcome, worst.policy, worst.domain);
        }
    }
}

/// What is known of one author's domain at `end`.
async fn found(dns: &Resolver, domain: &str, (dkim, spf): (&[DkimOutput<'_>], &Spf), end: Instant) -> Found {
    // Of the message the library needs the author alone.
    let author = AuthenticatedMessage {
        from: vec![format!("@{domain}")],
        ..AuthenticatedMessage::default()
    };
    let question = DmarcParameters::new(&author, dkim, spf.output.domain(), &spf.output);
    let asked = async {
        let authenticator = dns.authenticator()?;
        let _place = dns.check().await?;
        Ok::<_, Failure>(Box::pin(authenticator.verify_dmarc(question)).await)
    };
    let trouble = |reason: &str| Found {
        outcome: Outcome::trouble(reason),
        policy: "",
        domain: domain.to_owned(),
    };
    match timeout_at(end, asked).await {
        Ok(Ok(output)) => Found::of(output),
        Ok(Err(failure)) => trouble(&failure.0),
        Err(_) => {
            hit("sender_auth.timeout");
            trouble(LATE)
        }
    }
}

/// The domains in From as A-labels, each once and at least one; or why they are not known.
pub(super) fn domains(head: &[u8]) -> Result<Vec<String>, String> {
    let from = || head::fields(head).filter(|field| field.is("From"));
    if from().map(|field| field.raw.len()).sum::<usize>() > OCTETS {
        hit("sender_auth.authors");
        return Err(format!("From of more than {} KiB", OCTETS / 1024));
    }
    let mut domains: Vec<String> = Vec::new();
    for field in from() {
        let of_field = of_field(field.raw);
        if of_field.is_empty() {
            return Err("a From field names no author".to_owned());
        }
        let written = written(field.raw).filter(|written| written.of_addresses == of_field);
        let Some(written) = written else {
            return Err("a From field is malformed".to_owned());
        };
        domains.extend(of_field);
        domains.extend(written.of_names);
    }
    domains.sort();
    domains.dedup();
    match domains.len() {
        0 => Err("no From field".to_owned()),
        1..=DOMAINS => Ok(domains),
        _ => {
            hit("sender_auth.authors");
            Err(format!("authors of more than {DOMAINS} domains"))
        }
    }
}

fn of_field(field: &[u8]) -> BTreeSet<String> {
    let parsed = MessageParser::default().parse_headers(field);
    let values = parsed
        .iter()
        .flat_map(|message| message.header_values(HeaderName::From));
    let addresses = values
        .filter_map(|value| value.as_address())
        .flat_map(|authors| authors.iter())
        .filter_map(|author| author.address());
    addresses
        .filter_map(|address| Some(address.rsplit_once('@')?.1.trim_end_matches('.')))
        .filter(|domain| !domain.is_empty())
        .map(spf::ascii)
        .collect()
}

/// Of a record that cannot be read, `none`: empty with `permerror` says that From cannot be checked.
fn wish(output: &DmarcOutput) -> &'static str {
    match (output.dmarc_record(), output.policy()) {
        (None, _) if matches!(output.result(), DmarcResult::PermError(_)) => "none",
        (None, _) => "",
        (Some(_), Policy::Quarantine) => "quarantine",
        (Some(_), Policy::Reject) => "reject",
        (Some(_), Policy::None | Policy::Unspecified) => "none",
    }
}
