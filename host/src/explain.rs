//! Why a message fared as it did: what each policy was asked, read, said and changed, and what came of all of it.
//!
//! A message that is stored has its [`Explanation`] in its facts, written with the delivery itself and gone with the
//! message. What was refused, and what was taken and stored nowhere, is an [`Attempt`] in memory
//! ([`Attempts`]), which is saved to disk from time to time ([`save`]). ADR 12 says why.

mod attempts;
mod effect;
mod saved;

pub(crate) use attempts::kept_of;
pub use attempts::{Attempts, Search};
pub(crate) use effect::{Effect, KEPT, refusal};
pub use saved::save;

use serde::{Deserialize, Serialize};

/// Octets of one explanation in its JSON form: what a message's facts may grow by.
const MOST: usize = 8 * 1024;
/// Of them for the number of what is left out.
const COUNT: usize = 16;
/// Octets of one line in it.
const LINE: usize = 160;
/// Lines of what became of the recipients, and replies: LMTP has one for each.
const OUTCOMES: usize = 12;
const REPLIES: usize = 4;
/// Edits of one step.
const EDITS: usize = 12;
/// Recipients that an attempt names.
const RECIPIENTS: usize = 16;

/// One policy's part.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// `20-greylist`.
    pub policy: String,
    /// The first digits of the SHA-256 of the component, and of the text of the file beside it.
    pub component: String,
    pub manifest: String,
    /// As in the metrics: `rcpt`.
    pub question: String,
    /// The recipient or the mailbox that it was asked about.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub about: String,
    /// As `postern plugin run` has it: `reject 550 5.7.1 not today`; of a call that failed, what that comes to.
    pub said: String,
    /// `trap: …`
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed: Option<String>,
    /// Microseconds, waiting for a place included.
    pub micros: u64,
    /// In the order in which they were first read.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub facts: Vec<Fact>,
    /// In the words of the contract: `add-header X-Spam: yes`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub edits: Vec<String>,
    /// Facts and edits that are left out.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub cut: usize,
}

/// A function of a capability that was called.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fact {
    /// `session.helo`, or with what of the settings was asked for: `config.get("rules")`.
    pub call: String,
    /// What it answered first, where that is a fact of the session or of the sender's authentication.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    pub times: u32,
}

/// All that is told of one message.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Explanation {
    pub steps: Vec<Step>,
    /// What it came to for each recipient: `ann@example.org: deliver`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub outcomes: Vec<String>,
    /// Of these that are left out.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub outcomes_cut: usize,
    /// `250 2.0.0 Delivered as …`; in LMTP one for each recipient.
    pub replies: Vec<String>,
    /// Steps and replies that are left out.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub cut: usize,
}

/// One that was refused, or taken and kept nowhere.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    /// The queue id; of a connection an id of its own.
    pub id: String,
    /// Milliseconds since 1970.
    pub time: u64,
    /// Where it ended: `connect`, `mail`, `rcpt`, `message`.
    pub stage: String,
    pub listener: String,
    pub client_ip: String,
    pub helo: String,
    pub mail_from: String,
    /// The first of them.
    pub rcpt_to: Vec<String>,
    /// The others.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub rcpt_cut: usize,
    pub explained: Explanation,
}

/// The facts that are kept with a message, as far as they are its explanation.
#[derive(Debug, Default, Deserialize)]
pub struct Stored {
    /// None of one that an older Postern took, or that keeps none.
    pub explained: Option<Explanation>,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde hands over references")]
fn is_zero(count: &usize) -> bool {
    *count == 0
}

/// Cut to `most` octets, and said to be.
pub(crate) fn cut(text: &str, most: usize) -> String {
    match text.len() <= most {
        true => text.to_owned(),
        false => format!(
            "{}…",
            text.get(..text.floor_char_boundary(most)).unwrap_or_default()
        ),
    }
}

impl Step {
    /// With these edits, as many as are kept.
    #[must_use]
    pub(crate) fn with_edits(mut self, edits: Vec<String>) -> Self {
        self.cut += edits.len().saturating_sub(EDITS);
        self.edits = edits.iter().take(EDITS).map(|edit| cut(edit, LINE)).collect();
        self
    }

    /// Nothing was refused, held back, changed or wrong.
    fn is_plain(&self) -> bool {
        let plain = ["accept", "pass", "allow"];
        self.failed.is_none()
            && self.edits.is_empty()
            && plain.iter().any(|word| self.said.split(' ').next() == Some(word))
    }

    /// Somebody was refused or held back by it, or a message discarded.
    fn decides(&self) -> bool {
        Effect::of(&self.said).is_some() || self.edits.iter().any(|edit| Effect::of_edit(edit).is_some())
    }

    /// A quota policy's answer with a ceiling, which may be why there was no room.
    pub(crate) fn has_ceiling(&self) -> bool {
        let words = ["allow up to ", "warn up to "];
        self.question == "quota" && words.iter().any(|words| self.said.starts_with(words))
    }

    /// Some of its edits may be among what is left out of it.
    pub(crate) fn lacks_edits(&self) -> bool {
        self.cut > 0 && self.edits.len() >= EDITS
    }
}

impl Explanation {
    /// Bounded: steps that decided go before those that changed something or failed, and these before others; whole ones
    /// before those whose facts are cut. What is left out is counted; `unkept` are steps of which nothing is known any more.
    pub(crate) fn of(steps: Vec<Step>, unkept: usize, outcomes: Vec<String>, replies: Vec<String>) -> Self {
        let mut explained = Self {
            cut: unkept + replies.len().saturating_sub(REPLIES),
            outcomes_cut: outcomes.len().saturating_sub(OUTCOMES),
            outcomes: outcomes
                .iter()
                .take(OUTCOMES)
                .map(|line| cut(line, LINE))
                .collect(),
            replies: replies.iter().take(REPLIES).map(|line| cut(line, LINE)).collect(),
            steps: Vec::new(),
        };
        let mut room = MOST.saturating_sub(COUNT + size(&explained));
        let all = steps.len();
        let mut steps: Vec<_> = steps.into_iter().enumerate().collect();
        steps.sort_by_key(|(_, step)| (step.is_plain(), !step.decides()));
        let mut kept = Vec::with_capacity(all);
        for (place, mut step) in steps {
            // The comma between two of them counts.
            let mut octets = size(&step) + 1;
            if octets > room {
                step.cut += step.facts.len();
                step.facts.clear();
                octets = size(&step) + 1;
            }
            if octets <= room {
                room -= octets;
                kept.push((place, step));
            }
        }
        let lines_cut = explained.cut + explained.outcomes_cut;
        if kept.len() < all || kept.iter().any(|(_, step)| step.cut > 0) || lines_cut > 0 {
            metrics::counter!("postern_explain_limit_hits_total", "limit" => "message").increment(1);
        }
        explained.cut += all - kept.len();
        kept.sort_by_key(|(place, _)| *place);
        explained.steps = kept.into_iter().map(|(_, step)| step).collect();
        explained
    }
}

/// Octets of its form in JSON, which strings, numbers and lists of them always have.
pub(crate) fn size(value: &impl Serialize) -> usize {
    struct Count(usize);
    impl std::io::Write for Count {
        fn write(&mut self, octets: &[u8]) -> std::io::Result<usize> {
            self.0 += octets.len();
            Ok(octets.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let mut count = Count(0);
    serde_json::to_writer(&mut count, value).map_or(0, |()| count.0)
}

impl Attempt {
    /// With the first of these recipients.
    #[must_use]
    pub(crate) fn to(mut self, mut recipients: impl Iterator<Item = String>) -> Self {
        self.rcpt_to = recipients.by_ref().take(RECIPIENTS).collect();
        self.rcpt_cut = recipients.count();
        self
    }
}

#[cfg(test)]
mod tests;
