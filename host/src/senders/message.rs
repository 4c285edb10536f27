//! DKIM (RFC 6376), ARC (RFC 8617) and DMARC (RFC 9989) of a whole message.
//!
//! Signatures beyond `sender_auth.signatures`, and those that name more fields than anybody signs, are not
//! verified: `policy`; nor are those that leave From unsigned: `permerror`. What was not found out when the time is over, or when something breaks, is `temperror`.
//! The library and the parser of From may panic, each for itself: what the other reads still counts.
//!
//! A stranger writes signatures and chains, and thereby names the servers that are asked. So that silent ones keep
//! nobody from what the author's own domain says, signatures have half of the time, DMARC is found out in the next
//! quarter at least, and ARC comes last.

use super::{LATE, Outcome, Senders, Spf, body, count, dkim, dmarc, hit};
use crate::dns::Failure;
use crate::policy::{AuthFacts, MessageSource, SignatureFacts};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures_util::FutureExt as _;
use mail_auth::common::headers::Header;
use mail_auth::common::verify::VerifySignature as _;
use mail_auth::dkim::{DkimError, Signature};
use mail_auth::{AuthenticatedMessage, DkimOutput, DkimResult, Error};
use std::panic::{AssertUnwindSafe, catch_unwind};
use tokio::time::{Instant, timeout};

/// What is said where a panic ended the reading of a header section.
const UNREAD: &str = "the message cannot be read";

/// Steps of finding the fields that one signature names. The library looks for each name among all fields.
const STEPS: usize = 1_000_000;

/// What a header section says.
pub(super) struct Read<'x> {
    /// None where the library panicked.
    message: Option<AuthenticatedMessage<'x>>,
    /// Domains, or what DMARC comes to without them.
    authors: Result<Vec<String>, Outcome>,
}

/// The panic hook logs a panic of either; it is our trouble, and no fault of the message.
pub(super) fn read<'x>(
    message: impl FnOnce() -> Option<AuthenticatedMessage<'x>>,
    authors: impl FnOnce() -> Result<Vec<String>, String>,
) -> Read<'x> {
    let message = catch_unwind(AssertUnwindSafe(message));
    let authors = catch_unwind(AssertUnwindSafe(authors));
    Read {
        message: message.ok().map(Option::unwrap_or_default),
        authors: match authors {
            Ok(authors) => authors.map_err(|reason| Outcome::because("permerror", reason)),
            Err(_) => Err(Outcome::trouble("From cannot be read")),
        },
    }
}

/// What was found of one message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    pub(super) dkim: Vec<Signed>,
    pub(super) dmarc: Outcome,
    /// Of the From field; empty where there is none to ask about.
    pub(super) from: String,
    /// Empty where the domain has no record.
    pub(super) policy: &'static str,
    pub(super) arc: Outcome,
}

/// One signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Signed {
    pub(super) outcome: Outcome,
    pub(super) domain: String,
    pub(super) selector: String,
    /// The beginning of the signature itself (RFC 6008).
    pub(super) tag: String,
}

impl Signed {
    fn new(outcome: Outcome, signature: Option<&Signature>) -> Self {
        let b = signature.map(|signature| signature.b.get(..6).unwrap_or(&signature.b));
        Self {
            outcome,
            domain: signature
                .map(|signature| signature.domain().to_lowercase())
                .unwrap_or_default(),
            selector: signature
                .map(|signature| signature.selector().to_owned())
                .unwrap_or_default(),
            tag: b.map(|b| STANDARD.encode(b)).unwrap_or_default(),
        }
    }
}

impl Verified {
    /// Nothing is known yet, which stays so for what is not found out.
    fn pending(message: &AuthenticatedMessage<'_>) -> Self {
        let has_arc = !message.ams_headers.is_empty() || message.has_arc_errors;
        let dkim = message.dkim_headers.iter();
        Self {
            dkim: dkim
                .map(|header| Signed::new(Outcome::trouble(""), Some(&header.header)))
                .collect(),
            dmarc: Outcome::trouble(""),
            from: message
                .from()
                .rsplit_once('@')
                .map(|(_, domain)| domain.to_owned())
                .unwrap_or_default(),
            policy: "",
            arc: match has_arc {
                true => Outcome::trouble(""),
                false => Outcome::of("none"),
            },
        }
    }

    /// Of a message that cannot be read.
    fn unread() -> Self {
        Self {
            dkim: vec![Signed::new(Outcome::trouble(UNREAD), None)],
            dmarc: Outcome::trouble(""),
            from: String::new(),
            policy: "",
            arc: Outcome::trouble(UNREAD),
        }
    }

    /// Why what is pending stays so.
    fn explain(&mut self, reason: &str) {
        let dkim = self.dkim.iter_mut().map(|signed| &mut signed.outcome);
        let pending = dkim.chain([&mut self.dmarc, &mut self.arc]);
        for outcome in pending.filter(|outcome| outcome.word == "temperror" && outcome.reason.is_empty()) {
            outcome.reason = reason.to_owned();
        }
    }

    /// As policies are told, with what SPF found.
    pub fn facts(&self, spf: &Spf) -> AuthFacts {
        let dkim = self.dkim.iter().map(|signed| SignatureFacts {
            status: signed.outcome.word.to_owned(),
            domain: signed.domain.clone(),
            selector: signed.selector.clone(),
        });
        AuthFacts {
            dkim: dkim.collect(),
            dmarc: self.dmarc.word.to_owned(),
            dmarc_policy: self.policy.to_owned(),
            arc: self.arc.word.to_owned(),
            ..spf.facts()
        }
    }
}

impl Senders {
    /// `head` is as it was received. Ends within `sender_auth.timeout`.
    pub async fn verify(&self, head: &[u8], source: &dyn MessageSource, spf: &Spf) -> Verified {
        let begun = Instant::now();
        let read = read(|| AuthenticatedMessage::parse(head), || dmarc::domains(head));
        self.verify_read(read, source, (spf, begun)).await
    }

    pub(super) async fn verify_read(
        &self,
        Read { mut message, authors }: Read<'_>,
        source: &dyn MessageSource,
        facts: (&Spf, Instant),
    ) -> Verified {
        let (mut found, left_out) = match &mut message {
            Some(message) => {
                dkim::nearest_first(message, authors.as_deref().unwrap_or_default());
                let left_out = bounded(message, self.bounds.signatures);
                (Verified::pending(message), left_out)
            }
            None => (Verified::unread(), None),
        };
        let filling =
            AssertUnwindSafe(self.fill(&mut found, (message, authors), source, facts)).catch_unwind();
        let reason = match timeout(self.bounds.timeout, Box::pin(filling)).await {
            Ok(Ok(Ok(()))) => String::new(),
            Ok(Ok(Err(failure))) => failure.to_string(),
            // The panic hook has logged it.
            Ok(Err(_)) => "the message cannot be verified".to_owned(),
            Err(_) => {
                hit("sender_auth.timeout");
                LATE.to_owned()
            }
        };
        found.explain(&reason);
        found.dkim.truncate(self.bounds.signatures);
        found.dkim.extend(left_out);
        found.count();
        found
    }

    async fn fill(
        &self,
        found: &mut Verified,
        (message, authors): (Option<AuthenticatedMessage<'_>>, Result<Vec<String>, Outcome>),
        source: &dyn MessageSource,
        (spf, begun): (&Spf, Instant),
    ) -> Result<(), Failure> {
        let authenticator = self.dns.authenticator()?;
        let part = self.bounds.timeout / 4;
        let Some(mut message) = message else {
            found
                .dmarc(&self.dns, authors, (&[], spf), begun + 3 * part)
                .await;
            if found.dmarc.word == "fail" {
                // A signature that nobody could read may have passed.
                found.dmarc = Outcome::trouble(UNREAD);
            }
            return Ok(());
        };
        body::hash(&mut message, source).await.map_err(|error| {
            tracing::warn!(%error, "a message cannot be read, and its signatures not be verified");
            Failure(UNREAD.to_owned())
        })?;
        let signatures = std::mem::take(&mut message.dkim_headers);
        let outputs = dkim::verify(&self.dns, &mut message, &signatures, begun + 2 * part).await?;
        found.dkim = outputs.iter().map(signed).collect();
        // What could not be read stands behind what could, and is cut off first.
        found.dkim.sort_by_key(|signed| signed.domain.is_empty());
        let mut counting = outputs.clone();
        if authors.as_ref().is_ok_and(|domains| domains.len() > 1) {
            // One author's signatures may have taken the time of another's, which may be forged.
            counting.retain(|output| !dkim::is_late(output));
        }
        found
            .dmarc(&self.dns, authors, (&counting, spf), begun + 3 * part)
            .await;
        if found.arc.word == "none" {
            return Ok(());
        }
        let _place = self.dns.check().await?;
        let arc = Box::pin(authenticator.verify_arc(&message)).await;
        found.arc = chain(arc.result());
        Ok(())
    }
}

impl Verified {
    fn count(&self) {
        for signed in &self.dkim {
            count("dkim", &signed.outcome);
        }
        if self.dkim.is_empty() {
            count("dkim", &Outcome::of("none"));
        }
        count("dmarc", &self.dmarc);
        count("arc", &self.arc);
    }
}

/// Takes out the signatures that are not verified. One result stands for all of them.
fn bounded(message: &mut AuthenticatedMessage<'_>, most: usize) -> Option<Signed> {
    let fields = message.headers.len();
    let is_large = |names: usize| names.saturating_mul(fields + names) > STEPS;
    let (mut left_out, mut beyond) = (None, false);
    let mut kept = Vec::with_capacity(most.min(message.dkim_headers.len()));
    for header in std::mem::take(&mut message.dkim_headers) {
        let Header {
            header: signature, ..
        } = &header;
        let outcome = if kept.len() >= most {
            beyond = true;
            Outcome::because("policy", "more signatures than are verified here")
        } else if is_large(signature.h.len()) {
            Outcome::because("policy", "names too many fields")
        } else if !signature.h.iter().any(|name| name.eq_ignore_ascii_case("From")) {
            // RFC 6376 §6.1.1; the library does not look.
            Outcome::because("permerror", "From is not signed")
        } else {
            kept.push(header);
            continue;
        };
        left_out.get_or_insert_with(|| Signed::new(outcome, Some(signature)));
    }
    message.dkim_headers = kept;
    if beyond {
        hit("sender_auth.signatures");
    }
    if message
        .ams_headers
        .iter()
        .any(|header| is_large(header.header.h.len()))
    {
        // Read as a chain that is broken.
        message.has_arc_errors = true;
    }
    left_out
}

fn signed(output: &DkimOutput<'_>) -> Signed {
    let outcome = match output.result() {
        DkimResult::Pass => Outcome::of("pass"),
        // The signature does not fit the body, which is what `fail` says (RFC 8601 §2.7.1).
        DkimResult::Neutral(error @ Error::Dkim(DkimError::FailedBodyHashMatch)) => {
            Outcome::because("fail", error)
        }
        // A part of the body is not signed (RFC 6376 §8.2).
        DkimResult::Neutral(error @ Error::Dkim(DkimError::SignatureLength)) => {
            Outcome::because("policy", error)
        }
        DkimResult::Neutral(error) => Outcome::because("neutral", error),
        DkimResult::Fail(error) => Outcome::because("fail", error),
        DkimResult::PermError(error) => Outcome::because("permerror", error),
        DkimResult::TempError(_) if dkim::is_late(output) => Outcome::trouble(LATE),
        DkimResult::TempError(error) => Outcome::trouble(error),
        DkimResult::None => Outcome::of("none"),
    };
    Signed::new(outcome, output.signature())
}

/// RFC 8617 §4.4 knows none, pass and fail; what DNS could not say is neither.
fn chain(result: &DkimResult) -> Outcome {
    match result {
        DkimResult::Pass => Outcome::of("pass"),
        DkimResult::None => Outcome::of("none"),
        DkimResult::TempError(error) => Outcome::trouble(error),
        DkimResult::Neutral(error) | DkimResult::Fail(error) | DkimResult::PermError(error) => {
            Outcome::because("fail", error)
        }
    }
}
