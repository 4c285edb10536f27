//! What one policy says to one message, question by question, and where two answers part.

use super::active::plain;
use super::source::Past;
use crate::cli::plugin::session::RECIPIENT;
use crate::cli::plugin::words;
use crate::explain::Step;
use crate::policy::stand::{Ask, Heard, Mail, Question, Replayed, Said, Seat};
use crate::policy::{Edit, MessageSource, Route, Verdict};
use std::cmp::Ordering;
use std::sync::Arc;

/// One answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Answer {
    question: Question,
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
    Only(Vec<(Question, String)>),
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
        let mut taken = 0;
        for recipient in recipients(self.past) {
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

/// Those that a replay asks about.
fn recipients(past: &Past) -> Vec<String> {
    let usual = || vec![RECIPIENT.to_owned()];
    past.session.rcpt_to.clone().unwrap_or_else(usual)
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
        question: ask.question(),
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
    let (name, recipients) = (plain(name), recipients(past));
    let (own, others): (Vec<_>, Vec<_>) = explained
        .steps
        .iter()
        .filter_map(|step| Some((question(step)?, step)))
        .filter(|(question, _)| *question != Question::Quota)
        .partition(|(_, step)| plain(&step.policy) == name);
    if own.is_empty() {
        return None;
    }
    // Of who was refused at RCPT, or stands where an address was rewritten to, a replay does not ask.
    let is_asked = |step: &Step| step.about.is_empty() || recipients.contains(&step.about);
    let answers = own
        .into_iter()
        .filter(|(_, step)| is_asked(step))
        .map(|(question, step)| Answer {
            question,
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
        .into_iter()
        .filter(|(question, step)| *question == Question::Route && !passes(step));
    let unknown = match explained.cut {
        0 => Unknown::Only(
            routed
                .map(|(question, step)| (question, step.about.clone()))
                .collect(),
        ),
        _ => Unknown::Any,
    };
    Some(Side { answers, unknown })
}

/// None: of another version.
fn question(step: &Step) -> Option<Question> {
    let mut all = Question::ALL.into_iter();
    all.find(|question| question.word() == step.question)
}

/// Whether the next router is asked behind this one.
fn passes(step: &Step) -> bool {
    let said = (first(&step.said), step.failed.is_some());
    matches!((said.0.as_str(), said.1), ("pass", _) | ("accept" | "skip", true))
}

impl Side {
    /// The word and the text of its answer. One that was not asked, in a session that went on, let it pass; None
    /// where nobody knows, or its session had ended before.
    fn word(&self, question: Question, about: &str) -> Option<(&str, &str)> {
        let mut answers = self.answers.iter();
        let found = answers.find(|answer| answer.question == question && answer.about == about);
        if let Some(answer) = found {
            return Some((&answer.word, &answer.text));
        }
        let is_known = match &self.unknown {
            Unknown::Any => false,
            Unknown::Only(unknown) => !unknown.iter().any(|(of, whom)| *of == question && whom == about),
        };
        let passed = match question {
            Question::Route => "pass",
            _ => "accept",
        };
        (is_known && !self.ended_before(question, about)).then_some((passed, passed))
    }

    fn ended_before(&self, question: Question, about: &str) -> bool {
        let place = place(question);
        let mut whole = self
            .answers
            .iter()
            .filter(|answer| self::place(answer.question) < RECIPIENTS);
        if whole.any(|answer| answer.ends && self::place(answer.question) < place) {
            return true;
        }
        let recipients = || {
            self.answers
                .iter()
                .filter(|answer| self::place(answer.question) == RECIPIENTS)
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

/// When `rcpt` and `router` are asked, of one recipient after the other.
const RECIPIENTS: u8 = 2;

/// When a question is asked in a session.
fn place(question: Question) -> u8 {
    match question {
        Question::Connect => 0,
        Question::Mail => 1,
        Question::Rcpt | Question::Route => RECIPIENTS,
        Question::Message | Question::Quota | Question::Validate => RECIPIENTS + 1,
    }
}

/// None: both say the same, as far as both are known to.
pub(super) fn difference(before: &Side, now: &Side) -> Option<Difference> {
    let both = now.answers.iter().chain(&before.answers);
    let mut asked: Vec<(Question, &str)> = both
        .map(|answer| (answer.question, answer.about.as_str()))
        .collect();
    asked.sort_by_key(|(question, _)| place(*question));
    asked.into_iter().find_map(|(question, about)| {
        let (from, _) = before.word(question, about)?;
        let (to, text) = now.word(question, about)?;
        (from != to).then(|| Difference {
            question: question.word().to_owned(),
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
    use crate::explain::{Explanation, Stored};

    /// Of questions, recipients and words.
    fn side(words: &[(Question, &str, &str)]) -> Side {
        let answer = |(question, about, word): &(Question, &str, &str)| Answer {
            question: *question,
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

    fn part(question: Question, from: &str, to: &str) -> Option<(String, String, String)> {
        Some((question.word().to_owned(), from.to_owned(), to.to_owned()))
    }

    #[test]
    fn two_policies_part_once() {
        let before = side(&[(Question::Mail, "", "accept"), (Question::Message, "", "accept")]);
        assert_eq!(parts(&before, &before), None);
        let ends = side(&[(Question::Mail, "", "reject")]);
        assert_eq!(parts(&before, &ends), part(Question::Mail, "accept", "reject"));
        assert_eq!(parts(&ends, &before), part(Question::Mail, "reject", "accept"));
        assert_eq!(parts(&ends, &ends), None);
    }

    #[test]
    fn one_that_is_not_asked_lets_pass() {
        let message = side(&[(Question::Message, "", "accept")]);
        let mail = side(&[(Question::Mail, "", "reject")]);
        assert_eq!(parts(&message, &mail), part(Question::Mail, "accept", "reject"));
        assert_eq!(parts(&mail, &message), part(Question::Mail, "reject", "accept"));
        let plain = side(&[
            (Question::Mail, "", "accept"),
            (Question::Route, "a@x.example", "pass"),
        ]);
        assert_eq!(parts(&message, &plain), None);
        let router = side(&[(Question::Route, "a@x.example", "local")]);
        assert_eq!(parts(&plain, &router), part(Question::Route, "pass", "local"));
    }

    #[test]
    fn what_would_be_asked_behind_an_end_is_not_compared() {
        let one = side(&[(Question::Rcpt, "a@x.example", "reject")]);
        let both = side(&[
            (Question::Rcpt, "a@x.example", "reject"),
            (Question::Message, "", "reject"),
        ]);
        assert_eq!(parts(&one, &both), None);
        let other = side(&[
            (Question::Rcpt, "a@x.example", "reject"),
            (Question::Rcpt, "b@x.example", "accept"),
        ]);
        assert_eq!(parts(&other, &both), part(Question::Message, "accept", "reject"));
    }

    fn step(policy: &str, (question, about): (Question, &str), said: &str) -> Step {
        Step {
            policy: policy.to_owned(),
            question: question.word().to_owned(),
            about: about.to_owned(),
            said: said.to_owned(),
            ..Step::default()
        }
    }

    /// A message to these, and what was recorded of it.
    fn past(rcpt_to: &[&str], steps: Vec<Step>) -> Past {
        Past {
            id: "Q".to_owned(),
            at: 0,
            session: Session {
                rcpt_to: Some(rcpt_to.iter().map(|to| (*to).to_owned()).collect()),
                ..Session::default()
            },
            octets: Vec::new(),
            stored: Stored {
                explained: Some(Explanation {
                    steps,
                    ..Explanation::default()
                }),
            },
        }
    }

    #[test]
    fn a_record_has_what_the_policy_of_that_name_said() {
        let said = "reject 550 no";
        let failed = Step {
            failed: Some("trap: oh".to_owned()),
            ..step("20-spam-words.candidate", (Question::Rcpt, "a@x.example"), said)
        };
        let steps = vec![
            step("20-spam-words", (Question::Message, ""), said),
            step("30-other", (Question::Message, ""), said),
            failed,
            step("20-spam-words", (Question::Quota, "a@x.example"), said),
        ];
        let found = recorded(&past(&["a@x.example"], steps), "spam_words").unwrap();
        let words: Vec<&str> = found.answers.iter().map(|answer| answer.word.as_str()).collect();
        assert_eq!(words, ["reject", "trap"]);
        let other = vec![step("30-other", (Question::Message, ""), said)];
        assert_eq!(recorded(&past(&[], other), "spam-words"), None);
        let mut cut = past(&[], vec![step("20-spam-words", (Question::Message, ""), said)]);
        let found = recorded(&cut, "spam-words").unwrap();
        assert_eq!(found.word(Question::Mail, ""), Some(("accept", "accept")));
        cut.stored.explained.as_mut().unwrap().cut = 1;
        assert_eq!(
            recorded(&cut, "spam-words").unwrap().word(Question::Mail, ""),
            None
        );
    }

    #[test]
    fn a_route_is_known_where_no_other_router_decided() {
        let whom = "a@x.example";
        let failed = |said: &str| Step {
            failed: Some("trap: oh".to_owned()),
            ..step("30-other", (Question::Route, whom), said)
        };
        let known = |other: Step| {
            let own = step("40-aliases", (Question::Message, ""), "accept");
            let past = past(&[whom], vec![other, own]);
            let found = recorded(&past, "aliases").unwrap();
            found.word(Question::Route, whom).map(|(word, _)| word.to_owned())
        };
        let pass = Some("pass".to_owned());
        assert_eq!(known(step("30-other", (Question::Route, whom), "pass")), pass);
        assert_eq!(known(failed("skip")), pass);
        assert_eq!(known(failed("accept")), pass);
        assert_eq!(
            known(step("30-other", (Question::Route, whom), "local x@x.example")),
            None
        );
        assert_eq!(known(failed("defer")), None);
    }

    /// `info@` was rewritten to `ann@`, which was asked about in its turn.
    #[test]
    fn where_an_address_was_rewritten_to_is_not_compared() {
        let rewritten = "rewrite ann@x.example";
        let steps = vec![
            step("40-aliases", (Question::Route, "info@x.example"), rewritten),
            step("40-aliases", (Question::Route, "ann@x.example"), "pass"),
        ];
        let before = recorded(&past(&["info@x.example"], steps), "aliases").unwrap();
        let mut now = side(&[(Question::Route, "info@x.example", "rewrite")]);
        assert_eq!(parts(&before, &now), None);
        now.answers[0].word = "pass".to_owned();
        assert_eq!(parts(&before, &now), part(Question::Route, "rewrite", "pass"));
    }

    #[test]
    fn who_was_refused_at_rcpt_is_not_compared() {
        let steps = vec![
            step("20-greylist", (Question::Rcpt, "a@x.example"), "defer 451 later"),
            step("20-greylist", (Question::Rcpt, "b@x.example"), "accept"),
        ];
        let before = recorded(&past(&["b@x.example"], steps.clone()), "greylist").unwrap();
        let now = side(&[(Question::Rcpt, "b@x.example", "accept")]);
        assert_eq!(parts(&before, &now), None);
        let refuses = side(&[(Question::Rcpt, "b@x.example", "reject")]);
        assert_eq!(parts(&before, &refuses), part(Question::Rcpt, "accept", "reject"));
        // One whose only answers are left out was asked all the same.
        let before = recorded(&past(&["c@x.example"], steps), "greylist").unwrap();
        let refuses = side(&[(Question::Mail, "", "reject")]);
        assert_eq!(parts(&before, &refuses), part(Question::Mail, "accept", "reject"));
    }
}
