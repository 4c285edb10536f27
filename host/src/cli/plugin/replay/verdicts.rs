//! What one policy says to one message, question by question, and where two answers part.

use super::active::plain;
use super::source::Past;
use crate::cli::plugin::mail::Mail;
use crate::cli::plugin::session::RECIPIENT;
use crate::cli::plugin::words;
use crate::policy::stand::{Ask, Heard, Replayed, Said, Seat};
use crate::policy::{Edit, MessageSource, Verdict};
use std::sync::Arc;

/// One answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) question: String,
    /// The recipient, if it is about one.
    about: String,
    /// `reject`; where there was none, why: `trap`.
    pub(super) word: String,
    /// `reject 550 5.7.1 not today`
    pub(super) text: String,
    pub(super) is_failure: bool,
}

/// Where two policies part for the first time in a session: what is behind it follows from it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Difference {
    pub(super) question: String,
    pub(super) from: String,
    pub(super) to: String,
    pub(super) text: String,
}

/// The questions of a session, in their order, until the mail is refused.
pub(super) fn said(seat: &Seat, past: &Past) -> Vec<Answer> {
    let mut play = Play {
        seat: seat.replaying(Replayed {
            at: past.at,
            id: past.id.clone(),
        }),
        past,
        answers: Vec::new(),
        edits: Vec::new(),
    };
    play.through();
    play.answers
}

/// Whether the session goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Goes {
    On,
    Ends,
}

struct Play<'a> {
    seat: Seat,
    past: &'a Past,
    answers: Vec<Answer>,
    edits: Vec<Edit>,
}

impl Play<'_> {
    fn through(&mut self) {
        for ask in [Ask::Connect, Ask::Mail] {
            if self.ask(&ask, None) == Goes::Ends {
                return;
            }
        }
        let usual = || vec![RECIPIENT.to_owned()];
        let recipients = self.past.session.rcpt_to.clone().unwrap_or_else(usual);
        let mut taken = 0;
        for recipient in recipients {
            if self.ask(&Ask::Rcpt(recipient.clone()), None) == Goes::On
                && self.ask(&Ask::Route(recipient), None) == Goes::On
            {
                taken += 1;
            }
        }
        if taken > 0 {
            let mail = Arc::new(Mail::new(&self.past.octets));
            self.ask(&Ask::Message, Some(mail));
        }
    }

    fn ask(&mut self, ask: &Ask, message: Option<Arc<dyn MessageSource>>) -> Goes {
        let question = ask.question();
        if !self.seat.answers(question) {
            return Goes::On;
        }
        let mut facts = self.past.session.facts(question);
        facts.tags.extend(self.edits.iter().filter_map(|edit| match edit {
            Edit::Tag(name) => Some(name.clone()),
            _ => None,
        }));
        let heard = self.seat.ask(ask, &facts, message, &self.edits);
        self.answers.push(answer(ask, &heard));
        let Said::Verdict { verdict, edits } = heard.said else {
            return Goes::On;
        };
        self.edits.extend(edits);
        match verdict {
            Verdict::Accept | Verdict::Quarantine(_) => Goes::On,
            Verdict::Reject(_) | Verdict::Defer(_) | Verdict::Discard => Goes::Ends,
        }
    }
}

fn answer(ask: &Ask, heard: &Heard) -> Answer {
    let about = match ask {
        Ask::Rcpt(address) | Ask::Route(address) | Ask::Quota { mailbox: address, .. } => address.clone(),
        Ask::Connect | Ask::Mail | Ask::Message | Ask::Validate => String::new(),
    };
    let said = words::said(&heard.said);
    let (word, text) = match &heard.seen.failure {
        Some(ending) => (
            ending.word.to_owned(),
            format!("{}: {}", ending.word, ending.text),
        ),
        None => (first(&said), said),
    };
    Answer {
        question: ask.question().word().to_owned(),
        about,
        word,
        text,
        is_failure: heard.seen.failure.is_some(),
    }
}

fn first(text: &str) -> String {
    text.split(' ').next().unwrap_or_default().to_owned()
}

/// What the policy of that name said when the message came; None where that is not known.
pub(super) fn recorded(past: &Past, name: &str) -> Option<Vec<Answer>> {
    let explained = past.stored.explained.as_ref()?;
    let name = plain(name);
    let steps = explained
        .steps
        .iter()
        .filter(|step| plain(&step.policy) == name && step.question != "quota");
    let answers: Vec<Answer> = steps
        .map(|step| Answer {
            question: step.question.clone(),
            about: step.about.clone(),
            word: match &step.failed {
                Some(failed) => failed.split(':').next().unwrap_or_default().to_owned(),
                None => first(&step.said),
            },
            text: step.said.clone(),
            is_failure: step.failed.is_some(),
        })
        .collect();
    (!answers.is_empty()).then_some(answers)
}

/// None: both say the same, of what both say something.
pub(super) fn difference(before: &[Answer], now: &[Answer]) -> Option<Difference> {
    now.iter().find_map(|answer| {
        let same = |other: &&Answer| other.question == answer.question && other.about == answer.about;
        let other = before.iter().find(same)?;
        (other.word != answer.word).then(|| Difference {
            question: answer.question.clone(),
            from: other.word.clone(),
            to: answer.word.clone(),
            text: answer.text.clone(),
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::plugin::session::Session;
    use crate::explain::{Explanation, Step, Stored};

    fn answers(words: &[(&str, &str)]) -> Vec<Answer> {
        let answer = |(question, word): &(&str, &str)| Answer {
            question: (*question).to_owned(),
            about: String::new(),
            word: (*word).to_owned(),
            text: (*word).to_owned(),
            is_failure: false,
        };
        words.iter().map(answer).collect()
    }

    #[test]
    fn two_policies_part_once() {
        let before = answers(&[("mail", "accept"), ("message", "accept")]);
        assert_eq!(difference(&before, &before), None);
        let ends = answers(&[("mail", "reject")]);
        let found = difference(&before, &ends).unwrap();
        assert_eq!(
            (found.question.as_str(), found.from.as_str(), found.to.as_str()),
            ("mail", "accept", "reject")
        );
        assert_eq!(difference(&ends, &before).unwrap().to, "accept");
        let other = answers(&[("connect", "reject")]);
        assert_eq!(
            difference(&before, &other),
            None,
            "one that was not asked says nothing"
        );
    }

    #[test]
    fn a_record_has_what_the_policy_of_that_name_said() {
        let step = |policy: &str, question: &str, failed: Option<&str>| Step {
            policy: policy.to_owned(),
            question: question.to_owned(),
            said: "reject 550 no".to_owned(),
            failed: failed.map(str::to_owned),
            ..Step::default()
        };
        let past = |steps| Past {
            id: "Q".to_owned(),
            at: 0,
            session: Session::default(),
            octets: Vec::new(),
            stored: Stored {
                explained: Some(Explanation {
                    steps,
                    ..Explanation::default()
                }),
            },
        };
        let steps = vec![
            step("20-spam-words", "message", None),
            step("30-other", "message", None),
            step("20-spam-words", "rcpt", Some("trap: oh")),
            step("20-spam-words", "quota", None),
        ];
        let found = recorded(&past(steps), "spam_words").unwrap();
        let words: Vec<&str> = found.iter().map(|answer| answer.word.as_str()).collect();
        assert_eq!(words, ["reject", "trap"]);
        assert_eq!(
            recorded(&past(vec![step("30-other", "message", None)]), "spam-words"),
            None
        );
    }
}
