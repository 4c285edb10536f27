//! The session: AUTHORIZATION, TRANSACTION and UPDATE (RFC 1939 §3) as states that own what they know.

mod authorization;
mod transaction;

use super::command::{self, Command, Place};
use super::maildrop::Maildrop;
use super::{Answer, Fetch, Form, Question, Refusal, Reply, Trouble};
use crate::lines::{Fault, LONGEST, Lines};
use crate::sasl::{Channel, Exchange, Mechanism};
use crate::smtp::TlsFacts;
use std::collections::VecDeque;

/// Stands for a verb where a line has no known one.
const NO_VERB: &str = "none";

/// RFC 2449 §4: a command line is at most 255 octets, CRLF included.
const COMMAND: usize = 255;

/// Bounds that the machine itself enforces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Errors (unknown, misplaced, malformed commands, failed logins) that are answered; one more ends
    /// the session.
    pub bad_commands: usize,
}

/// What a session is made with.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Our name in the greeting.
    pub hostname: String,
    pub limits: Limits,
    /// TLS can be started by STLS.
    pub stls: bool,
    /// The connection is encrypted already (implicit TLS).
    pub tls: Option<TlsFacts>,
    /// Mechanisms to offer once AUTH may be used.
    pub mechanisms: Vec<Mechanism>,
    /// Passwords may be sent without TLS.
    pub plaintext_auth: bool,
    /// Seconds, shown as LOGIN-DELAY (RFC 2449 §6.5); the driver enforces it.
    pub login_delay: Option<u64>,
}

/// What the driver does next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Nothing to do before more input: flush what was written, read, [`Session::feed`].
    Read,
    /// Send this.
    Write(Reply),
    /// Decide, then [`Session::answer`].
    Ask(Question),
    /// Send this message through a [`Stuffer`](super::Stuffer). If that breaks off, the connection can
    /// only be closed.
    Send(Fetch),
    /// Flush, drop what was read in clear, start TLS, then [`Session::secured`].
    Upgrade,
    /// Flush and close.
    Close,
}

/// One POP3 session.
#[derive(Debug)]
pub struct Session {
    settings: Settings,
    tls: Option<TlsFacts>,
    lines: Lines,
    state: State,
    steps: VecDeque<Step>,
    faults: usize,
    verb: &'static str,
}

/// Where the session is, and all that is known there.
#[derive(Debug)]
enum State {
    Authorization(Visitor),
    /// AUTH waits for the client's response.
    Responding(Visitor, Box<Exchange>),
    /// [`Question::Auth`] was asked.
    Judging(Visitor, Credentials),
    /// [`Question::Open`] was asked.
    Opening(Visitor),
    Transaction(Maildrop),
    /// [`Question::Fetch`] was asked.
    Fetching(Maildrop, Fetch),
    /// UPDATE: [`Question::Remove`] was asked for so many messages.
    Removing(usize),
    /// [`Step::Upgrade`] was given.
    Securing,
    Over,
}

/// A client that has not logged in.
#[derive(Debug, Default)]
struct Visitor {
    /// What USER said.
    user: Option<String>,
    form: Form,
}

/// By which way credentials came.
#[derive(Debug)]
enum Credentials {
    Pass,
    Sasl(Box<Exchange>),
}

impl Session {
    /// A session that has just been connected. Its first step is the greeting.
    pub fn new(settings: Settings) -> Self {
        let greeting = Step::Write(Reply::greeting(&settings.hostname));
        Self {
            tls: settings.tls.clone(),
            lines: Lines::default(),
            state: State::Authorization(Visitor::default()),
            steps: VecDeque::from([greeting]),
            faults: 0,
            verb: "greeting",
            settings,
        }
    }

    /// The command that the last step belongs to, for metrics; `none` where the line had no known one.
    pub fn verb(&self) -> &'static str {
        self.verb
    }

    /// Whether the client made one error too many, which ended the session.
    pub fn met_its_limit_of_errors(&self) -> bool {
        self.faults > self.settings.limits.bad_commands
    }

    /// Input, in any pieces.
    pub fn feed(&mut self, input: &[u8]) {
        // RFC 2595 §4: what was sent in clear behind STLS is not from the client that TLS will prove.
        if !matches!(self.state, State::Securing | State::Over) {
            self.lines.feed(input);
        }
    }

    /// The next step. After [`Step::Ask`] it is [`Step::Read`] until [`Session::answer`].
    pub fn step(&mut self) -> Step {
        loop {
            if let Some(step) = self.steps.pop_front() {
                return step;
            }
            let bound = match self.state {
                State::Authorization(_) | State::Transaction(_) => COMMAND,
                State::Responding(..) => LONGEST,
                State::Over => return Step::Close,
                State::Judging(..)
                | State::Opening(_)
                | State::Fetching(..)
                | State::Removing(_)
                | State::Securing => return Step::Read,
            };
            match self.lines.next(bound) {
                Some(Ok(line)) => self.line(&line),
                Some(Err(fault)) => self.faulty(fault),
                None => {
                    self.lines.release();
                    return Step::Read;
                }
            }
        }
    }

    /// The answer to the last question.
    pub fn answer(&mut self, answer: Answer) {
        match (self.leave(), answer) {
            (State::Judging(visitor, credentials), answer) => self.judged(visitor, credentials, answer),
            (State::Opening(visitor), Answer::Opened(messages)) => self.opened(&visitor, messages),
            (State::Opening(visitor), Answer::Refused(refusal)) => self.not_opened(visitor, refusal),
            (State::Opening(visitor), _) => self.not_opened(visitor, Refusal::Unavailable),
            (State::Fetching(maildrop, fetch), Answer::Ready) => self.send(maildrop, fetch),
            (State::Fetching(maildrop, _), Answer::Trouble(trouble)) => {
                self.write(Reply::trouble(trouble));
                self.state = State::Transaction(maildrop);
            }
            (State::Fetching(maildrop, _), _) => {
                self.write(Reply::trouble(Trouble::Temporary));
                self.state = State::Transaction(maildrop);
            }
            (State::Removing(count), Answer::Removed) => self.end(Reply::removed(count)),
            // RFC 1939 §6: whatever became of the removal, the session is over.
            (State::Removing(_), _) => self.end(Reply::not_removed()),
            // Nothing was asked.
            (state, _) => self.state = state,
        }
    }

    /// TLS was started: all that was known is forgotten (RFC 2595 §4). There is no second greeting.
    pub fn secured(&mut self, tls: TlsFacts) {
        self.lines.clear();
        self.tls = Some(tls);
        self.state = State::Authorization(Visitor::default());
    }

    /// The driver ends the session for a reason of its own: the next steps write this reply and close.
    /// Nothing is deleted. A session that has said its last word says no other.
    pub fn abort(&mut self, reply: Reply) {
        if !matches!(self.state, State::Over) {
            self.end(reply);
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

    fn end(&mut self, reply: Reply) {
        self.write(reply);
        self.state = State::Over;
    }

    /// Answers an error of the client; [`Session::step`] ends the session after one too many.
    fn refuse(&mut self, reply: Reply) {
        self.faults += 1;
        if self.met_its_limit_of_errors() {
            return self.end(reply.too_many_errors());
        }
        self.write(reply);
    }

    fn faulty(&mut self, fault: Fault) {
        self.verb = NO_VERB;
        self.state = match self.leave() {
            // A response that cannot be read ends its exchange.
            State::Responding(visitor, _) => State::Authorization(visitor),
            state => state,
        };
        match fault {
            Fault::TooLong => self.refuse(Reply::line_too_long()),
            Fault::BareLineEnd => self.refuse(Reply::bare_line_end()),
            Fault::Nul => self.refuse(Reply::nul()),
            Fault::Handshake => self.end(Reply::unexpected_handshake()),
            Fault::Endless => self.end(Reply::endless_line()),
        }
    }

    fn line(&mut self, line: &[u8]) {
        match self.leave() {
            State::Responding(visitor, exchange) => self.response(visitor, exchange, line),
            // A browser made to talk to this port: its body must not become commands.
            State::Authorization(_) if command::is_http(line) => self.end(Reply::not_http()),
            State::Authorization(visitor) => match self.command(line, Place::Authorization) {
                Ok(command) => self.authorize(visitor, command),
                Err(reply) => {
                    self.state = State::Authorization(visitor);
                    self.refuse(reply);
                }
            },
            State::Transaction(maildrop) => match self.command(line, Place::Transaction) {
                Ok(command) => self.transact(maildrop, command),
                Err(reply) => {
                    self.state = State::Transaction(maildrop);
                    self.refuse(reply);
                }
            },
            other => self.state = other,
        }
    }

    /// The command of a line that is said at `place`.
    fn command(&mut self, line: &[u8], place: Place) -> Result<Command, Reply> {
        self.verb = NO_VERB;
        let (row, argument) = command::find(line).ok_or_else(Reply::unknown_command)?;
        self.verb = row.name;
        match row.place {
            Place::Authorization if place == Place::Transaction => Err(Reply::not_after_login()),
            Place::Transaction if place == Place::Authorization => Err(Reply::login_first()),
            _ => row.parse(argument).ok_or_else(|| Reply::bad_arguments(row.usage)),
        }
    }

    /// What is true now, in this state. RFC 2449 §5 has the capabilities of a visitor (USER, SASL, UTF8)
    /// announced after login too. They would promise what is refused there; clients that ask again after
    /// login look for what they can do next, and servers in wide use leave these out as well.
    fn capabilities(&self, place: Place) -> Reply {
        let before_login = place == Place::Authorization;
        let mechanisms = self.channel().mechanisms();
        let mut keywords = Vec::new();
        let mut say = |keyword: &str| keywords.push(keyword.to_owned());
        say("TOP");
        say("UIDL");
        if before_login && self.channel().may_log_in() {
            say("USER");
            if !mechanisms.is_empty() {
                let names: Vec<_> = mechanisms.iter().map(|mechanism| mechanism.name()).collect();
                say(&format!("SASL {}", names.join(" ")));
            }
        }
        if before_login && self.may_start_tls() {
            say("STLS");
        }
        say("PIPELINING");
        say("RESP-CODES");
        say("AUTH-RESP-CODE");
        if before_login {
            // RFC 6856 §2.1: the argument says that logins may be UTF-8.
            say(if self.channel().may_log_in() {
                "UTF8 USER"
            } else {
                "UTF8"
            });
        }
        say("LANG");
        say("EXPIRE NEVER");
        if let Some(delay) = self.settings.login_delay {
            say(&format!("LOGIN-DELAY {}", delay));
        }
        say("IMPLEMENTATION Postern");
        Reply::capabilities(keywords)
    }

    /// RFC 6856 §3: one language. A range asks for it by its tag, by a longer tag of it, or by any.
    fn language(range: Option<&str>) -> Reply {
        let Some(range) = range else {
            return Reply::languages();
        };
        let primary = range.split('-').next().unwrap_or_default();
        let known =
            primary.eq_ignore_ascii_case("en") || range == "*" || range.eq_ignore_ascii_case("i-default");
        if known {
            Reply::language_chosen()
        } else {
            Reply::language_unknown()
        }
    }

    fn channel(&self) -> Channel<'_> {
        Channel {
            mechanisms: &self.settings.mechanisms,
            plaintext_auth: self.settings.plaintext_auth,
            tls: self.tls.as_ref(),
        }
    }

    fn may_start_tls(&self) -> bool {
        self.settings.stls && self.tls.is_none()
    }
}

#[cfg(test)]
mod tests;

#[cfg(test)]
mod properties;
