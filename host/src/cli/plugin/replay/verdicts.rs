//! What one policy says to one message, question by question, and where two answers part.

use super::active::plain;
use super::source::Past;
use crate::cli::plugin::session::RECIPIENT;
use crate::cli::plugin::words;
use crate::policy::stand::{Ask, Heard, Mail, Replayed, Said, Seat};
use crate::policy::{Edit, MessageSource, Route, Verdict};
use std::cmp::Ordering;
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
    /// Nothing more is asked behind it: of that recipient, or at all.
    ends: bool,
}

/// What one side said in a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Side {
    pub(super) answers: Vec<Answer>,
    unknown: Unknown,
}

/// What it may have been asked without a trace of it.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Unknown {
    /// Question and recipient, where another policy decided before it was asked.
    Only(Vec<(String, String)>),
    /// The record was cut.
    Any,
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
pub(super) fn said(seat: &Seat, past: &Past) -> Side {
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
    Side {
        answers: play.answers,
        unknown: Unknown::Only(Vec::new()),
    }
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
            let mail = Mail::new(&self.past.octets);
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
        let ends = ends(&heard.said);
        self.answers.push(answer(ask, &heard, ends));
        if let Said::Verdict { edits, .. } = heard.said {
            self.edits.extend(edits);
        }
        match ends {
            true => Goes::Ends,
            false => Goes::On,
        }
    }
}

fn ends(said: &Said) -> bool {
    match said {
        Said::Verdict { verdict, .. } => {
            matches!(verdict, Verdict::Reject(_) | Verdict::Defer(_) | Verdict::Discard)
        }
        Said::Route(route) => matches!(route, Route::Reject(_) | Route::Defer(_)),
        Said::Quota(_) | Said::Valid => false,
    }
}

fn answer(ask: &Ask, heard: &Heard, ends: bool) -> Answer {
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
        ends,
    }
}

fn first(text: &str) -> String {
    text.split(' ').next().unwrap_or_default().to_owned()
}

/// What the policy of that name said when the message came; None where that is not known.
pub(super) fn recorded(past: &Past, name: &str) -> Option<Side> {
    let explained = past.stored.explained.as_ref()?;
    let name = plain(name);
    let (own, others): (Vec<_>, Vec<_>) = explained
        .steps
        .iter()
        .filter(|step| step.question != "quota")
        .partition(|step| plain(&step.policy) == name);
    let answers: Vec<Answer> = own
        .into_iter()
        .map(|step| Answer {
            question: step.question.clone(),
            about: step.about.clone(),
            word: match &step.failed {
                Some(failed) => failed.split(':').next().unwrap_or_default().to_owned(),
                None => first(&step.said),
            },
            text: step.said.clone(),
            is_failure: step.failed.is_some(),
            ends: ["reject", "defer", "discard"].contains(&first(&step.said).as_str()),
        })
        .collect();
    // The first router that knows an address decides, and the others are not asked.
    let routed = others
        .iter()
        .filter(|step| step.question == "route" && first(&step.said) != "pass");
    let unknown = match explained.cut {
        0 => Unknown::Only(
            routed
                .map(|step| (step.question.clone(), step.about.clone()))
                .collect(),
        ),
        _ => Unknown::Any,
    };
    (!answers.is_empty()).then_some(Side { answers, unknown })
}

impl Side {
    /// The word and the text of its answer. One that was not asked, in a session that went on, let it pass; None
    /// where nobody knows, or its session had ended before.
    fn word(&self, question: &str, about: &str) -> Option<(&str, &str)> {
        let mut answers = self.answers.iter();
        let found = answers.find(|answer| answer.question == question && answer.about == about);
        if let Some(answer) = found {
            return Some((&answer.word, &answer.text));
        }
        let is_known = match &self.unknown {
            Unknown::Any => false,
            Unknown::Only(unknown) => !unknown.iter().any(|(of, whom)| of == question && whom == about),
        };
        let passed = match question {
            "route" => "pass",
            _ => "accept",
        };
        (is_known && !self.ended_before(question, about)).then_some((passed, passed))
    }

    fn ended_before(&self, question: &str, about: &str) -> bool {
        let place = place(question);
        let mut whole = self
            .answers
            .iter()
            .filter(|answer| self::place(&answer.question) < RECIPIENTS);
        if whole.any(|answer| answer.ends && self::place(&answer.question) < place) {
            return true;
        }
        let recipients = || {
            self.answers
                .iter()
                .filter(|answer| self::place(&answer.question) == RECIPIENTS)
        };
        let refused = |whom: &str| recipients().any(|answer| answer.ends && answer.about == whom);
        match place.cmp(&RECIPIENTS) {
            Ordering::Less => false,
            Ordering::Equal => refused(about),
            Ordering::Greater => {
                recipients().next().is_some() && recipients().all(|answer| refused(&answer.about))
            }
        }
    }
}

/// When `rcpt` and `route` are asked, of one recipient after the other.
const RECIPIENTS: u8 = 2;

/// When a question is asked in a session.
fn place(question: &str) -> u8 {
    match question {
        "connect" => 0,
        "mail" => 1,
        "rcpt" | "route" => RECIPIENTS,
        _ => RECIPIENTS + 1,
    }
}

/// None: both say the same, as far as both are known to.
pub(super) fn difference(before: &Side, now: &Side) -> Option<Difference> {
    let both = now.answers.iter().chain(&before.answers);
    let mut asked: Vec<(&str, &str)> = both
        .map(|answer| (answer.question.as_str(), answer.about.as_str()))
        .collect();
    asked.sort_by_key(|(question, _)| place(question));
    asked.into_iter().find_map(|(question, about)| {
        let (from, _) = before.word(question, about)?;
        let (to, text) = now.word(question, about)?;
        (from != to).then(|| Difference {
            question: question.to_owned(),
            from: from.to_owned(),
            to: to.to_owned(),
            text: text.to_owned(),
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::plugin::session::Session;
    use crate::explain::{Explanation, Step, Stored};

    /// Of questions, recipients and words.
    fn side(words: &[(&str, &str, &str)]) -> Side {
        let answer = |(question, about, word): &(&str, &str, &str)| Answer {
            question: (*question).to_owned(),
            about: (*about).to_owned(),
            word: (*word).to_owned(),
            text: (*word).to_owned(),
            is_failure: false,
            ends: *word == "reject",
        };
        Side {
            answers: words.iter().map(answer).collect(),
            unknown: Unknown::Only(Vec::new()),
        }
    }

    fn parts(before: &Side, now: &Side) -> Option<(String, String, String)> {
        difference(before, now).map(|found| (found.question, found.from, found.to))
    }

    fn part(question: &str, from: &str, to: &str) -> Option<(String, String, String)> {
        Some((question.to_owned(), from.to_owned(), to.to_owned()))
    }

    #[test]
    fn two_policies_part_once() {
        let before = side(&[("mail", "", "accept"), ("message", "", "accept")]);
        assert_eq!(parts(&before, &before), None);
        let ends = side(&[("mail", "", "reject")]);
        assert_eq!(parts(&before, &ends), part("mail", "accept", "reject"));
        assert_eq!(parts(&ends, &before), part("mail", "reject", "accept"));
        assert_eq!(parts(&ends, &ends), None);
    }

    #[test]
    fn one_that_is_not_asked_lets_pass() {
        let message = side(&[("message", "", "accept")]);
        let mail = side(&[("mail", "", "reject")]);
        assert_eq!(parts(&message, &mail), part("mail", "accept", "reject"));
        assert_eq!(parts(&mail, &message), part("mail", "reject", "accept"));
        let plain = side(&[("mail", "", "accept"), ("route", "a@x.example", "pass")]);
        assert_eq!(parts(&message, &plain), None);
        let router = side(&[("route", "a@x.example", "local")]);
        assert_eq!(parts(&plain, &router), part("route", "pass", "local"));
    }

    #[test]
    fn what_would_be_asked_behind_an_end_is_not_compared() {
        let one = side(&[("rcpt", "a@x.example", "reject")]);
        let both = side(&[("rcpt", "a@x.example", "reject"), ("message", "", "reject")]);
        assert_eq!(parts(&one, &both), None);
        let other = side(&[
            ("rcpt", "a@x.example", "reject"),
            ("rcpt", "b@x.example", "accept"),
        ]);
        assert_eq!(parts(&other, &both), part("message", "accept", "reject"));
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
        let words: Vec<&str> = found.answers.iter().map(|answer| answer.word.as_str()).collect();
        assert_eq!(words, ["reject", "trap"]);
        assert_eq!(
            recorded(&past(vec![step("30-other", "message", None)]), "spam-words"),
            None
        );
        let mut routed = past(vec![
            step("20-spam-words", "message", None),
            step("30-other", "route", None),
        ]);
        let now = side(&[("mail", "", "reject"), ("route", "", "local")]);
        let found = recorded(&routed, "spam-words").unwrap();
        assert_eq!(
            (found.word("route", ""), found.word("mail", "")),
            (None, Some(("accept", "accept")))
        );
        assert_eq!(parts(&found, &now), part("mail", "accept", "reject"));
        routed.stored.explained.as_mut().unwrap().cut = 1;
        assert_eq!(recorded(&routed, "spam-words").unwrap().word("mail", ""), None);
    }
}
