//! What is told afterwards of how a message fared: written with the delivery, or remembered of what was refused.

use super::answer::Answers;
use super::envelope::Transaction;
use super::outcome::{Copy, Fate};
use crate::clock::unix_millis;
use crate::explain::{Attempt, Explanation, KEPT, Step};
use crate::message::MessageId;
use crate::policy::{Facts, Opinion, told};
use postern_proto::smtp::{Answer, Reply};

/// Steps of the recipients of one transaction that are remembered: a message may have thousands.
const STEPS: usize = 64;

impl Answers {
    /// Remembers that the connection was refused.
    pub(super) fn explain_connection(&self, facts: &Facts, reply: &Reply) {
        let id = MessageId::new().to_string();
        let replies = vec![told::reply(reply)];
        self.remember(("connect", &id), facts, (Vec::new(), 0), (Vec::new(), replies));
    }

    /// Remembers that MAIL was refused.
    pub(super) fn explain_sender(&self, transaction: &Transaction, reply: &Reply) {
        let id = transaction.id.to_string();
        let replies = vec![told::reply(reply)];
        let steps = steps(&transaction.opinions);
        self.remember(("mail", &id), &transaction.facts, steps, (Vec::new(), replies));
    }

    /// Remembers that RCPT was refused for `named`. What was asked about it are the opinions behind the first `before`.
    pub(super) fn explain_recipient(
        &self,
        transaction: &Transaction,
        (before, named): (usize, &str),
        reply: &Reply,
    ) {
        if !self.gateway.attempts.is_on() {
            return;
        }
        let opinions = transaction.opinions.iter().enumerate();
        let told = opinions.filter(|(place, opinion)| *place >= before || is_of_the_sender(opinion));
        let steps = told.filter_map(|(_, opinion)| opinion.step.as_deref().cloned());
        let id = transaction.id.to_string();
        let facts = Facts {
            rcpt_to: vec![named.to_owned()],
            ..Facts::clone(&transaction.facts)
        };
        let told = (Vec::new(), vec![told::reply(reply)]);
        self.remember(("rcpt", &id), &facts, (steps.collect(), 0), told);
    }

    /// Remembers a message that was refused as a whole, or taken and kept nowhere, with what it came to for each recipient
    /// where the reply does not say so.
    pub(super) fn explain_unkept(&self, transaction: &Transaction, answer: &Answer, outcomes: Vec<String>) {
        if !self.gateway.attempts.is_on() {
            return;
        }
        let id = transaction.id.to_string();
        let steps = steps(&transaction.opinions);
        let told = (outcomes, replies(answer));
        self.remember(("message", &id), &transaction.facts, steps, told);
    }

    /// Remembers that a message which others have was refused for one recipient of LMTP, behind which these mailboxes
    /// are.
    pub(super) fn explain_refused(
        &self,
        transaction: &Transaction,
        (named, mailboxes): (&str, &[&str]),
        reply: &Reply,
    ) {
        if !self.gateway.attempts.is_on() {
            return;
        }
        let about = |step: &&Step| {
            let is = |whom: &str| step.about.eq_ignore_ascii_case(whom);
            is("") || is(named) || mailboxes.iter().any(|mailbox| is(mailbox))
        };
        let steps = transaction
            .opinions
            .iter()
            .filter_map(|opinion| opinion.step.as_deref());
        let steps = steps.filter(about).cloned().collect();
        let id = transaction.id.to_string();
        let facts = Facts {
            rcpt_to: vec![named.to_owned()],
            ..Facts::clone(&transaction.facts)
        };
        let told = (Vec::new(), vec![told::reply(reply)]);
        self.remember(("message", &id), &facts, (steps, 0), told);
    }

    fn remember(
        &self,
        (stage, id): (&str, &str),
        facts: &Facts,
        (steps, unkept): (Vec<Step>, usize),
        (outcomes, replies): (Vec<String>, Vec<String>),
    ) {
        if !self.gateway.attempts.is_on() {
            return;
        }
        let steps = self.with_connection(steps);
        let explained = Explanation::of(steps, unkept, outcomes, replies);
        self.gateway.attempts.add(&attempt((stage, id), facts, explained));
    }

    /// What is kept with a message that is about to be written.
    pub(super) fn explanation(
        &self,
        transaction: &Transaction,
        outcomes: Vec<String>,
        replies: &[Reply],
    ) -> Explanation {
        let (steps, unkept) = steps(&transaction.opinions);
        let replies = replies.iter().map(told::reply).collect();
        Explanation::of(self.with_connection(steps), unkept, outcomes, replies)
    }

    /// A second record of a message that was written, where one is wanted.
    pub(super) async fn keep_beyond(&self, transaction: &Transaction, explained: Option<Explanation>) {
        let attempts = &self.gateway.attempts;
        let Some(explained) = explained.filter(|_| attempts.keeps_deleted()) else {
            return;
        };
        let id = transaction.id.to_string();
        let attempt = attempt(("message", &id), &transaction.facts, explained);
        attempts.keep(&*self.gateway.store, &attempt).await;
    }

    fn with_connection(&self, mut steps: Vec<Step>) -> Vec<Step> {
        steps.splice(
            ..0,
            self.connected
                .iter()
                .filter_map(|opinion| opinion.step.as_deref().cloned()),
        );
        steps
    }
}

/// Whether it was asked at MAIL.
fn is_of_the_sender(opinion: &Opinion) -> bool {
    opinion.step.as_ref().is_some_and(|step| step.question == "mail")
}

/// Those that are remembered, and how many are not.
fn steps(opinions: &[Opinion]) -> (Vec<Step>, usize) {
    let steps: Vec<Step> = opinions
        .iter()
        .filter_map(|opinion| opinion.step.as_deref().cloned())
        .collect();
    let unkept = opinions.len() - steps.len();
    (steps, unkept)
}

/// Forgets the details of what was asked about recipients behind the first ones.
pub(super) fn forget_details(opinions: &mut [Opinion]) {
    for opinion in opinions.iter_mut().skip(STEPS) {
        opinion.step.take_if(|step| step.question != "message");
    }
}

/// What becomes of a message in one mailbox, on one line. `refused` is the reply of its group, if that refuses.
pub(super) fn outcome(mailbox: &str, (fate, copy): (&Fate, &Copy), refused: Option<&Reply>) -> String {
    match (copy, fate, refused) {
        (Copy::Deliver(_), _, _) => format!("{mailbox}: deliver"),
        (Copy::Quarantine(_), Fate::Refuse(reply), _) => format!("{mailbox}: {KEPT}{}", told::reply(reply)),
        (Copy::Quarantine(reason), _, _) => format!("{mailbox}: quarantine {reason}"),
        (Copy::Nothing, Fate::Refuse(reply), _) | (Copy::Nothing, _, Some(reply)) => {
            format!("{mailbox}: refuse {}", told::reply(reply))
        }
        (Copy::Nothing, _, None) => discarded(mailbox),
    }
}

/// The line of a recipient for whom a policy accepted and dropped it.
pub(super) fn discarded(recipient: &str) -> String {
    format!("{recipient}: discard")
}

fn replies(answer: &Answer) -> Vec<String> {
    match answer {
        Answer::Reply(reply) | Answer::Close(reply) => vec![told::reply(reply)],
        Answer::Each(replies) => replies.iter().map(told::reply).collect(),
        Answer::Proceed | Answer::Auth(_) => Vec::new(),
    }
}

fn attempt((stage, id): (&str, &str), facts: &Facts, explained: Explanation) -> Attempt {
    let attempt = Attempt {
        id: id.to_owned(),
        time: unix_millis(),
        stage: stage.to_owned(),
        listener: facts.listener.clone(),
        client_ip: facts.client_ip.clone(),
        helo: facts.helo.clone(),
        mail_from: facts.mail_from.clone(),
        explained,
        ..Attempt::default()
    };
    attempt.to(facts.rcpt_to.iter().cloned())
}
