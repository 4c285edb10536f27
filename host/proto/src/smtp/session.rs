//! The session: states that own what they know, and what drives them.
//!
//! Every verb is in [`commands`]; [`envelope`], [`transfer`] and [`security`] do the work behind it. The
//! client's errors are answered and counted; nothing it sends makes the session lose its place, and where
//! that cannot be helped (a malformed BDAT) it closes.

mod commands;
mod envelope;
mod security;
mod settings;
#[cfg(test)]
mod tests;
mod transfer;

use super::content::Content;
use super::{Answer, Question, Reply};
use crate::lines::{Fault, LONGEST, Lines};
use crate::sasl::Exchange;
use bytes::Bytes;
use envelope::{Envelope, Transaction};
use std::collections::VecDeque;
use transfer::{Chunk, Skipped, Transfer};

pub use settings::{Facts, Limits, Role, Settings, TlsFacts};

/// Stands for a verb where a line has no known one.
const NO_VERB: &str = "none";

/// What the driver does next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Nothing to do before more input: flush what was written, read, [`Session::feed`].
    Read,
    /// Send this.
    Write(Reply),
    /// Decide, then [`Session::answer`].
    Ask(Question),
    /// Content, unstuffed, in order: belongs to the message of the last [`Question::Begin`].
    Body(Bytes),
    /// The transaction and what content came of it are over: forget them.
    Reset,
    /// Flush, drop what was read in clear, start TLS, then [`Session::secured`].
    Upgrade,
    /// Flush and close.
    Close,
}

/// What the client is expected to send next: RFC 5321 §4.5.3.2 gives each its own time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Waiting {
    Command,
    Content,
    Authentication,
}

/// One SMTP or LMTP session.
#[derive(Debug)]
pub struct Session {
    settings: Settings,
    facts: Facts,
    lines: Lines,
    state: State,
    steps: VecDeque<Step>,
    /// Errors of the client.
    faults: usize,
    /// Recipients refused for good.
    unknown: usize,
    verb: &'static str,
}

/// Where the session is, and all that is known there.
#[derive(Debug)]
enum State {
    /// [`Question::Connect`] was asked.
    Connecting,
    /// The greeting was a refusal (RFC 5321 §3.1).
    Unserved,
    /// A command is next.
    Ready(Transaction),
    /// AUTH waits for the client's response.
    Responding(Exchange),
    /// [`Question::Auth`] was asked.
    Judging(Exchange),
    /// [`Question::Mail`] was asked.
    Opening(Envelope),
    /// [`Question::Rcpt`] was asked.
    Adding(Envelope),
    /// [`Question::Begin`] was asked.
    Beginning(Envelope, Transfer),
    /// The content of DATA is next.
    Content(Envelope, Content),
    /// Octets of a chunk are next.
    Chunk(Envelope, Content, Chunk),
    /// Octets of a chunk that is refused are next.
    Skipping(Skipped),
    /// [`Question::Commit`] was asked.
    Committing(Envelope),
    /// [`Step::Upgrade`] was given.
    Securing,
    Over,
}

/// Whether input was used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pace {
    On,
    Wait,
}

impl Session {
    /// A session that has just been connected. Its first step is [`Question::Connect`].
    pub fn new(settings: Settings) -> Self {
        let facts = Facts {
            tls: settings.tls.clone(),
            ..Facts::default()
        };
        Self {
            settings,
            facts,
            lines: Lines::default(),
            state: State::Connecting,
            steps: VecDeque::from([Step::Ask(Question::Connect)]),
            faults: 0,
            unknown: 0,
            verb: NO_VERB,
        }
    }

    /// What is known about the client now.
    pub fn facts(&self) -> &Facts {
        &self.facts
    }

    /// The command that the last step belongs to, for metrics; `none` where the line had no known one.
    pub fn verb(&self) -> &'static str {
        self.verb
    }

    /// What is expected of the client when [`Step::Read`] was given.
    pub fn waiting(&self) -> Waiting {
        match self.state {
            State::Content(..) | State::Chunk(..) | State::Skipping(_) => Waiting::Content,
            State::Responding(_) => Waiting::Authentication,
            _ => Waiting::Command,
        }
    }

    /// Input, in any pieces.
    pub fn feed(&mut self, input: &[u8]) {
        // RFC 3207 §4.2: what was sent in clear behind STARTTLS is not from the client that TLS will show.
        if !matches!(self.state, State::Securing | State::Over) {
            self.lines.feed(input);
        }
    }

    /// The next step. After [`Step::Ask`] it is [`Step::Read`] until [`Session::answer`], after
    /// [`Step::Upgrade`] until [`Session::secured`].
    pub fn step(&mut self) -> Step {
        loop {
            if let Some(step) = self.steps.pop_front() {
                return step;
            }
            let pace = match self.state {
                State::Over => return Step::Close,
                State::Unserved | State::Ready(_) | State::Responding(_) => self.next_line(),
                State::Content(..) | State::Chunk(..) | State::Skipping(_) => self.next_content(),
                State::Connecting
                | State::Judging(_)
                | State::Opening(_)
                | State::Adding(_)
                | State::Beginning(..)
                | State::Committing(_)
                | State::Securing => Pace::Wait,
            };
            if pace == Pace::Wait && self.steps.is_empty() {
                if self.waiting() != Waiting::Content {
                    self.lines.release();
                }
                return Step::Read;
            }
        }
    }

    /// The answer to the last question. One that does not fit it counts as trouble of ours.
    pub fn answer(&mut self, answer: Answer) {
        let answer = if self.state.smtputf8() {
            answer
        } else {
            answer.into_ascii()
        };
        match self.leave() {
            State::Connecting => self.connected(answer),
            State::Judging(exchange) => self.judged(exchange, answer),
            State::Opening(envelope) => self.opened(envelope, answer),
            State::Adding(envelope) => self.added(envelope, answer),
            State::Beginning(envelope, transfer) => self.begun(envelope, transfer, answer),
            State::Committing(envelope) => self.committed(&envelope, answer),
            // Nothing was asked.
            state => self.state = state,
        }
    }

    /// TLS was started: all that was known is forgotten (RFC 3207 §4.2).
    pub fn secured(&mut self, tls: TlsFacts) {
        self.facts = Facts {
            tls: Some(tls),
            ..Facts::default()
        };
        self.lines.clear();
        self.state = State::Ready(Transaction::None);
    }

    /// The driver ends the session for a reason of its own (time-out, shutdown): the next steps write
    /// this reply and close.
    pub fn abort(&mut self, reply: Reply) {
        if !matches!(self.state, State::Over) {
            self.steps
                .retain(|step| matches!(step, Step::Write(_) | Step::Reset));
            self.end(reply.into_ascii());
        }
    }

    fn leave(&mut self) -> State {
        std::mem::replace(&mut self.state, State::Over)
    }

    fn write(&mut self, reply: Reply) {
        self.steps.push_back(Step::Write(reply));
    }

    fn ask(&mut self, question: Question, state: State) {
        self.steps.push_back(Step::Ask(question));
        self.state = state;
    }

    fn stay(&mut self, transaction: Transaction, reply: Reply) {
        self.state = State::Ready(transaction);
        self.write(reply);
    }

    fn stay_refusing(&mut self, transaction: Transaction, reply: Reply) {
        self.state = State::Ready(transaction);
        self.refuse(reply);
    }

    /// Answers an error of the client, or ends the session if it is one too many.
    fn refuse(&mut self, reply: Reply) {
        self.faults += 1;
        if self.faults > self.settings.limits.bad_commands {
            return self.end(Reply::too_many_errors());
        }
        self.write(reply);
    }

    /// RFC 5321 §3.8: a server that closes although it might serve later says 421.
    fn close(&mut self, reply: Reply) {
        let transient = reply.is_transient();
        self.end(if transient { reply.closing() } else { reply });
    }

    fn end(&mut self, reply: Reply) {
        self.write(reply);
        self.state = State::Over;
    }

    fn connected(&mut self, answer: Answer) {
        match answer {
            Answer::Proceed => {
                let protocol = match self.settings.role {
                    Role::Mx | Role::Submission => "ESMTP",
                    Role::Lmtp => "LMTP",
                };
                let greeting = Reply::greeting(&self.settings.hostname, protocol);
                self.stay(Transaction::None, greeting);
            }
            Answer::Reply(reply) => {
                self.write(reply);
                self.state = State::Unserved;
            }
            Answer::Close(reply) => self.close(reply),
            Answer::Auth(_) | Answer::Each(_) => self.end(Reply::our_trouble()),
        }
    }

    fn next_line(&mut self) -> Pace {
        match self.lines.next(LONGEST) {
            Some(Ok(line)) => self.line(&line),
            Some(Err(fault)) => self.faulty(fault),
            None => return Pace::Wait,
        }
        Pace::On
    }

    fn line(&mut self, line: &[u8]) {
        match self.leave() {
            State::Ready(transaction) => self.command(transaction, line),
            State::Responding(exchange) => self.response(exchange, line),
            State::Unserved => self.unserved(line),
            state => self.state = state,
        }
    }

    fn faulty(&mut self, fault: Fault) {
        let (state, verb, too_long) = match self.leave() {
            // A response that cannot be read ends its exchange.
            State::Responding(_) => {
                let ready = State::Ready(Transaction::None);
                (ready, self.verb, Reply::auth_line_too_long())
            }
            state => (state, NO_VERB, Reply::line_too_long()),
        };
        self.state = state;
        self.verb = verb;
        match fault {
            Fault::TooLong => self.refuse(too_long),
            Fault::BareLineEnd | Fault::Nul => self.refuse(Reply::unclean_line()),
            Fault::Handshake => self.end(Reply::unexpected_tls()),
            Fault::Endless => self.end(Reply::endless_line()),
        }
    }
}

impl State {
    /// Whether the client asked for UTF-8 in replies (RFC 6531 §3.7.4.2).
    fn smtputf8(&self) -> bool {
        match self {
            Self::Opening(envelope)
            | Self::Adding(envelope)
            | Self::Beginning(envelope, _)
            | Self::Committing(envelope) => envelope.smtputf8(),
            _ => false,
        }
    }
}

impl Answer {
    fn into_ascii(self) -> Self {
        match self {
            Self::Reply(reply) => Self::Reply(reply.into_ascii()),
            Self::Close(reply) => Self::Close(reply.into_ascii()),
            Self::Each(replies) => Self::Each(replies.into_iter().map(Reply::into_ascii).collect()),
            Self::Proceed | Self::Auth(_) => self,
        }
    }
}
