//! The short answer: the reply, what became of it, and who decided so and why.
//!
//! Within a question the first answer that refuses or discards ends it, and makes void what was said in it before;
//! one about the message as a whole does so for all questions before it. Whose words a refusal has, gave it.

use super::{asked, key, listed, time, unexplained};
use crate::control::ExplainRecord;
use crate::explain::{Effect, Explanation, Step, refusal};
use crate::policy::told;
use postern_proto::smtp::Reply;
use std::borrow::Cow;
use std::io::{self, Write};

/// Of recipients, and of those who decided, as many are told.
const SHOWN: usize = 3;

/// The record without what decided nothing.
pub(super) fn write(out: &mut impl Write, told: &ExplainRecord) -> io::Result<()> {
    let from = &told.mail_from;
    let to = listed((&told.rcpt_to, told.rcpt_cut), SHOWN, ", ");
    key(
        out,
        "id",
        &format!("{}  {}  <{from}> to {to}", told.id, time(told)),
    )?;
    let Some(explained) = &told.explained else {
        return unexplained(out);
    };
    key(out, "reply", &explained.replies.join("; "))?;
    if !explained.outcomes.is_empty() {
        let outcomes = (&explained.outcomes[..], explained.outcomes_cut);
        key(out, "outcome", &listed(outcomes, usize::MAX, "; "))?;
    }
    key(out, "decided", &decided(explained))
}

/// The first ones, and how many there are besides.
fn first(all: &[String], between: &str) -> String {
    listed((all, 0), SHOWN, between)
}

fn decided(explained: &Explanation) -> String {
    let is_refused =
        !explained.replies.is_empty() && explained.replies.iter().all(|reply| is_negative(reply));
    let refusals = refusals(explained);
    let gave_any = |decider: &Decider<'_>| refusals.iter().any(|refusal| decider.gave(refusal));
    let mut deciders = deciders(&explained.steps);
    let unknown: Vec<&str> = refusals
        .iter()
        .copied()
        .filter(|refusal| !deciders.iter().any(|decider| decider.gave(refusal)))
        .collect();
    match is_refused {
        true => deciders.retain(gave_any),
        // Who was refused at RCPT has no part in a message that was taken.
        false => deciders.sort_by_key(|decider| decider.effect == Effect::Refuses && !gave_any(decider)),
    }
    let lacking = match is_refused && unknown.is_empty() {
        true => Vec::new(),
        false => lacking(explained),
    };
    let by: Vec<String> = deciders.into_iter().map(|decider| decider.text).collect();
    let is_whole = lacking.is_empty();
    let by_none: Vec<String> = unknown
        .into_iter()
        .map(|refusal| by_no_word(refusal, &explained.steps, is_whole))
        .collect();
    let mut parts: Vec<String> = [by, by_none]
        .iter()
        .filter(|texts| !texts.is_empty())
        .map(|texts| first(texts, "; "))
        .collect();
    if parts.is_empty() {
        let nobody = match is_whole {
            true => "no policy refused it or held it back",
            false => "nothing that was recorded refused it or held it back",
        };
        parts.push(nobody.to_owned());
    }
    if !is_whole {
        parts.push(first(&lacking, "; "));
    }
    parts.join("; ")
}

fn is_negative(reply: &str) -> bool {
    reply.starts_with(['4', '5'])
}

/// Replies that refuse, to the client and for single mailboxes.
fn refusals(explained: &Explanation) -> Vec<&str> {
    let replies = explained.replies.iter().map(String::as_str);
    let replies = replies.filter(|reply| is_negative(reply));
    let outcomes = explained.outcomes.iter().filter_map(|outcome| refusal(outcome));
    let mut found = Vec::new();
    for refusal in replies.chain(outcomes) {
        if !found.contains(&refusal) {
            found.push(refusal);
        }
    }
    found
}

/// An answer, or a verdict about a recipient, that took something from somebody.
struct Decider<'a> {
    effect: Effect,
    /// What it said to that: the reply, if it refuses.
    words: Cow<'a, str>,
    /// `20-greylist at rcpt ann@example.org: defer 451 4.7.1 later`
    text: String,
}

impl<'a> Decider<'a> {
    /// The answer itself.
    fn answering(step: &'a Step) -> Option<Self> {
        let (effect, words) = Effect::of(&step.said)?;
        let why = step.failed.as_ref();
        let why = why.map(|failed| format!(", for its call failed: {failed}"));
        Some(Self {
            effect,
            words: match (&step.failed, step.said.as_str()) {
                (None, _) => Cow::Borrowed(words),
                (Some(_), "reject") => Cow::Owned(told::reply(&Reply::policy_refused())),
                (Some(_), _) => Cow::Owned(told::reply(&Reply::policy_deferred())),
            },
            text: by(step, &(step.said.clone() + &why.unwrap_or_default())),
        })
    }

    fn editing(step: &'a Step, edit: &'a str) -> Option<Self> {
        let (effect, words) = Effect::of_edit(edit)?;
        Some(Self {
            effect,
            words: Cow::Borrowed(words),
            text: by(step, edit),
        })
    }

    /// Whether this refusal has its words, as far as both are kept.
    fn gave(&self, refusal: &str) -> bool {
        let is_cut = |one: &str, other: &str| one.strip_suffix('…').is_some_and(|one| other.starts_with(one));
        let words = &*self.words;
        let is_same = words == refusal || is_cut(words, refusal) || is_cut(refusal, words);
        self.effect == Effect::Refuses && (is_same || words.is_empty())
    }
}

/// `20-greylist at rcpt ann@example.org: …`
fn by(step: &Step, told: &str) -> String {
    format!("{} at {}: {told}", step.policy, asked(step))
}

fn deciders(steps: &[Step]) -> Vec<Decider<'_>> {
    let mut found: Vec<Decider<'_>> = Vec::new();
    let (mut question, mut begin) = (None, 0);
    for step in steps {
        let of_step = Some((&step.question, &step.about));
        if question != of_step {
            (question, begin) = (of_step, found.len());
        }
        let answer = Decider::answering(step);
        if answer.as_ref().is_some_and(|decider| decider.effect.ends()) {
            found.truncate(if step.about.is_empty() { 0 } else { begin });
            found.extend(answer);
            // What is asked again is another question.
            begin = found.len();
            continue;
        }
        let edits = step.edits.iter().filter_map(|edit| Decider::editing(step, edit));
        for decider in answer.into_iter().chain(edits) {
            if !found.iter().any(|known| known.text == decider.text) {
                found.push(decider);
            }
        }
    }
    found
}

/// Of a refusal that no recorded answer gave; `is_whole` where nothing that may have decided is left out.
fn by_no_word(refusal: &str, steps: &[Step], is_whole: bool) -> String {
    if refusal == told::reply(&Reply::mailbox_full()) {
        return full(steps, is_whole);
    }
    match is_whole {
        // A refusal of the policy's own has its step.
        true if refusal == told::reply(&Reply::policy_deferred()) => {
            "an address that a policy put in cannot be delivered here".to_owned()
        }
        true => format!("the gateway itself: {refusal}"),
        false => format!("who refused it was not recorded: {refusal}"),
    }
}

/// The lowest ceiling of the account and of all policies is compared with what is there.
fn full(steps: &[Step], is_whole: bool) -> String {
    let mut ceilings: Vec<String> = Vec::new();
    for step in steps.iter().filter(|step| step.has_ceiling()) {
        let text = by(step, &step.said);
        if !ceilings.contains(&text) {
            ceilings.push(text);
        }
    }
    match (ceilings.is_empty(), is_whole) {
        (true, true) => "the gateway itself: the mailbox is full by its account's quota".to_owned(),
        (true, false) => "the mailbox is full".to_owned(),
        (false, _) => format!(
            "the mailbox is full, by its account's quota or by {}",
            first(&ceilings, ", ")
        ),
    }
}

/// What is left out of the record and may have decided.
fn lacking(explained: &Explanation) -> Vec<String> {
    let counted = |cut: usize, what: &str| (cut > 0).then(|| format!("{cut} more {what} were not recorded"));
    let steps = counted(explained.cut, "steps and replies");
    let outcomes = counted(explained.outcomes_cut, "outcomes");
    let cut = explained.steps.iter().filter(|step| step.lacks_edits());
    let edits = cut.map(|step| {
        let (cut, policy, asked) = (step.cut, &step.policy, asked(step));
        format!("{cut} more reads and edits of {policy} at {asked} were not recorded")
    });
    steps.into_iter().chain(outcomes).chain(edits).collect()
}

#[cfg(test)]
mod tests;
