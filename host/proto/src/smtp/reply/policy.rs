//! Replies in a policy's words: taken as given where they are fit to send, mended where not.
//!
//! Nothing a policy returns can fail here. A code of the wrong class, an enhanced code that is malformed or
//! of another class than the code, and text that does not fit a reply are mended; each is named, so that
//! it can be logged against the policy.

use super::{Enhanced, Reply, clean};
use std::borrow::Cow;

/// Lines of one reply: enough to explain, too few to flood a client's log.
const LINES: usize = 10;

/// What kind of refusal the policy's verdict is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// 4yz.
    Transient,
    /// 5yz.
    Permanent,
    /// Either class, as the code says.
    Either,
}

/// What had to be mended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flaw {
    /// The code was not of the verdict's class.
    Code,
    /// The enhanced code was malformed, or not of the code's class.
    Enhanced,
    /// Control characters, or too much text.
    Text,
}

impl Reply {
    /// The reply a policy gives with a refusal, and what was mended. Without an enhanced code or a text it
    /// gets those of [`Reply::policy_refused`] or [`Reply::policy_deferred`], which is no flaw.
    pub fn from_policy(refusal: Refusal, code: u16, enhanced: &str, text: &str) -> (Self, Vec<Flaw>) {
        let mut flaws = Vec::new();
        let fallback = match refusal {
            Refusal::Permanent => Self::policy_refused(),
            Refusal::Either if (500..600).contains(&code) => Self::policy_refused(),
            Refusal::Transient | Refusal::Either => Self::policy_deferred(),
        };
        // The fallback has the class that the reply must have: one comparison of hundreds decides.
        let code = if code / 100 == fallback.code / 100 {
            code
        } else {
            flaws.push(Flaw::Code);
            fallback.code
        };
        let enhanced = match parse(enhanced) {
            Some(given) if u16::from(given.0) == code / 100 => Some(given),
            None if enhanced.is_empty() => fallback.enhanced,
            _ => {
                flaws.push(Flaw::Enhanced);
                fallback.enhanced
            }
        };
        let lines = words(text, &mut flaws).unwrap_or(fallback.lines);
        (
            Self {
                code,
                enhanced,
                lines,
            },
            flaws,
        )
    }
}

/// `status-code` of RFC 3463 §2: `class.subject.detail`, at most three digits each.
fn parse(text: &str) -> Option<Enhanced> {
    fn number(text: &str) -> Option<u16> {
        let fits = (1..=3).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
        fits.then(|| text.parse().ok())?
    }
    let mut parts = text.split('.');
    let (class, subject, detail) = (parts.next()?, parts.next()?, parts.next()?);
    let class = u8::try_from(number(class)?).ok()?;
    let code = Enhanced(class, number(subject)?, number(detail)?);
    parts.next().is_none().then_some(code)
}

/// The text's lines, cleaned; None if nothing is left to say.
fn words(text: &str, flaws: &mut Vec<Flaw>) -> Option<Vec<Cow<'static, str>>> {
    let given: Vec<&str> = text.trim_end().lines().collect();
    let lines: Vec<String> = given.iter().take(LINES).map(|line| clean(line)).collect();
    if lines.len() != given.len() || lines.iter().zip(&given).any(|(line, given)| line != given) {
        flaws.push(Flaw::Text);
    }
    (!lines.is_empty()).then(|| lines.into_iter().map(Cow::Owned).collect())
}
