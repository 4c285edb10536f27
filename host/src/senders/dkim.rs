//! DKIM signatures, one after the other, those first that may speak for an author.
//!
//! Whoever signs says whose DNS is asked for the key. So each signature is verified for itself, what is not found out
//! at `end` is trouble of that signature alone, and nobody is asked where reports should go.

use super::{LATE, hit, spf};
use crate::dns::{Failure, Resolver};
use mail_auth::common::headers::Header;
use mail_auth::common::verify::VerifySignature as _;
use mail_auth::dkim::Signature;
use mail_auth::{AuthenticatedMessage, DkimOutput, DkimResult, DnsError, Error};
use std::cmp::Reverse;
use tokio::time::{Instant, timeout_at};

/// Those first whose domain shares the most labels with an author's; nobody else can have names below that.
pub(super) fn nearest_first(message: &mut AuthenticatedMessage<'_>, authors: &[String]) {
    message.dkim_headers.sort_by_cached_key(|header| {
        let domain = spf::ascii(header.header.domain());
        Reverse(authors.iter().map(|author| shared(author, &domain)).max())
    });
}

/// Labels that two domains have in common, from the last one on.
fn shared(one: &str, other: &str) -> usize {
    let pairs = one.rsplit('.').zip(other.rsplit('.'));
    pairs.take_while(|(one, other)| one == other).count()
}

/// What came of those that cannot be read, and then of each signature. Takes those of `message` out. A place among the
/// checks is waited for until `end` too, and given back.
pub(super) async fn verify<'x, 'm>(
    dns: &Resolver,
    message: &mut AuthenticatedMessage<'m>,
    signatures: &'x [Header<'m, Signature>],
    end: Instant,
) -> Result<Vec<DkimOutput<'x>>, Failure> {
    let authenticator = dns.authenticator()?;
    let errors = std::mem::take(&mut message.errors);
    let unreadable = errors.iter().filter_map(|error| match &error.header {
        error @ Error::Dkim(_) => Some(DkimOutput::neutral(error.clone())),
        _ => None,
    });
    let mut outputs: Vec<DkimOutput<'x>> = unreadable.collect();
    let mut is_late = false;
    let place = match signatures.is_empty() {
        true => None,
        false => timeout_at(end, dns.check()).await.ok().transpose()?,
    };
    for signature in signatures {
        let mut alone = signature.clone();
        alone.header.r = false;
        message.dkim_headers = vec![alone];
        let verifying = Box::pin(authenticator.verify_dkim(&*message));
        let found = match &place {
            Some(_) => timeout_at(end, verifying).await.ok(),
            None => None,
        };
        let output = match found {
            Some(found) => found.first().map(|output| again(output.result())),
            None => {
                is_late = true;
                Some(DkimOutput::temp_err(late()))
            }
        };
        outputs.extend(output.map(|output| output.with_signature(&signature.header)));
    }
    if is_late {
        hit("sender_auth.timeout");
    }
    message.dkim_headers.clear();
    message.errors = errors;
    Ok(outputs)
}

/// The same for a signature that lasts longer.
fn again<'x>(result: &DkimResult) -> DkimOutput<'x> {
    match result.clone() {
        DkimResult::Pass => DkimOutput::pass(),
        DkimResult::Neutral(error) => DkimOutput::neutral(error),
        DkimResult::Fail(error) => DkimOutput::fail(error),
        DkimResult::PermError(error) => DkimOutput::perm_err(error),
        DkimResult::TempError(error) => DkimOutput::temp_err(error),
        DkimResult::None => DkimOutput::neutral(Error::NoHeadersFound),
    }
}

/// As DNS's own trouble is told.
fn late() -> Error {
    Error::Dns(DnsError::Resolver(LATE.to_owned()))
}

/// Whether it was not found out in time.
pub(super) fn is_late(output: &DkimOutput<'_>) -> bool {
    *output.result() == DkimResult::TempError(late())
}
