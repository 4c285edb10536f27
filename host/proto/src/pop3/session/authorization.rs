//! Before login: USER and PASS, AUTH (RFC 5034), STLS (RFC 2595), UTF8 (RFC 6856).

use super::{Credentials, Session, State, Visitor};
use crate::pop3::command::{Command, Place};
use crate::pop3::maildrop::Maildrop;
use crate::pop3::{Answer, Form, Message, Question, Refusal, Reply, Step};
use crate::sasl::{self, Exchange, Failure, Mechanism};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

impl Session {
    pub(super) fn authorize(&mut self, visitor: Visitor, command: Command) {
        match command {
            Command::User(name) => self.user(visitor, name),
            Command::Pass(password) => self.pass(visitor, password),
            Command::Auth { mechanism, initial } => self.auth(visitor, mechanism, initial),
            Command::Stls => self.stls(visitor),
            Command::Utf8 => self.utf8(visitor),
            Command::Capa => self.stay(visitor, self.capabilities(Place::Authorization)),
            Command::Lang(range) => self.stay(visitor, Self::language(range.as_deref())),
            Command::Quit => self.end(Reply::bye()),
            // The table lets no other command through here.
            _ => self.stay(visitor, Reply::login_first()),
        }
    }

    fn stay(&mut self, visitor: Visitor, reply: Reply) {
        self.state = State::Authorization(visitor);
        self.write(reply);
    }

    fn stay_refusing(&mut self, visitor: Visitor, reply: Reply) {
        self.state = State::Authorization(visitor);
        self.refuse(reply);
    }

    fn user(&mut self, visitor: Visitor, name: String) {
        if !self.channel().may_log_in() {
            return self.stay_refusing(visitor, Reply::start_tls_first());
        }
        // RFC 1939 §13: the same answer whether or not there is such a user.
        let user = Some(name);
        self.stay(Visitor { user, ..visitor }, Reply::user_noted());
    }

    fn pass(&mut self, mut visitor: Visitor, password: String) {
        if !self.channel().may_log_in() {
            return self.stay_refusing(visitor, Reply::start_tls_first());
        }
        // RFC 1939 §7: PASS only directly after a USER; a second try names the user again.
        let Some(login) = visitor.user.take() else {
            return self.stay_refusing(visitor, Reply::user_first());
        };
        let question = Question::Auth(sasl::Question::Password { login, password });
        self.ask(question, State::Judging(visitor, Credentials::Pass));
    }

    fn auth(&mut self, visitor: Visitor, mechanism: Option<Mechanism>, initial: Option<Vec<u8>>) {
        if !self.channel().may_log_in() {
            return self.stay_refusing(visitor, Reply::start_tls_first());
        }
        let started = mechanism.and_then(|mechanism| self.channel().start(mechanism, initial));
        let Some((exchange, step)) = started else {
            return self.stay_refusing(visitor, Reply::mechanism_unknown());
        };
        self.exchange(visitor, Box::new(exchange), step);
    }

    /// A line of the client within AUTH.
    pub(super) fn response(&mut self, visitor: Visitor, mut exchange: Box<Exchange>, line: &[u8]) {
        self.verb = "AUTH";
        // RFC 5034 §4: `*` cancels.
        if line == b"*" {
            return self.failed(visitor, Failure::Cancelled);
        }
        match STANDARD.decode(line) {
            Ok(message) => {
                let step = exchange.respond(&message);
                self.exchange(visitor, exchange, step);
            }
            Err(_) => self.failed(visitor, Failure::Malformed),
        }
    }

    fn exchange(&mut self, visitor: Visitor, exchange: Box<Exchange>, step: sasl::Step) {
        match step {
            sasl::Step::Challenge(message) => {
                self.write(Reply::challenge(&message));
                self.state = State::Responding(visitor, exchange);
            }
            sasl::Step::Ask(question) => {
                let judging = State::Judging(visitor, Credentials::Sasl(exchange));
                self.ask(Question::Auth(question), judging);
            }
            sasl::Step::Done { account } => self.granted(visitor, account),
            sasl::Step::Fail(failure) => self.failed(visitor, failure),
        }
    }

    /// [`Question::Auth`] was answered.
    pub(super) fn judged(&mut self, visitor: Visitor, credentials: Credentials, answer: Answer) {
        let answer = match answer {
            Answer::Auth(answer) => answer,
            _ => sasl::Answer::Unavailable,
        };
        match (credentials, answer) {
            (Credentials::Sasl(mut exchange), answer) => {
                let step = exchange.answer(answer);
                self.exchange(visitor, exchange, step);
            }
            (Credentials::Pass, sasl::Answer::Granted { account }) => self.granted(visitor, account),
            (Credentials::Pass, sasl::Answer::Denied) => self.failed(visitor, Failure::Denied),
            (Credentials::Pass, _) => self.failed(visitor, Failure::Unavailable),
        }
    }

    fn granted(&mut self, visitor: Visitor, account: String) {
        self.ask(Question::Open { account }, State::Opening(visitor));
    }

    fn failed(&mut self, visitor: Visitor, failure: Failure) {
        match failure {
            // RFC 3206 §5: [AUTH] says that the credentials are at fault.
            Failure::Denied => self.stay_refusing(visitor, Reply::login_failed()),
            Failure::Malformed => self.stay_refusing(visitor, Reply::response_malformed()),
            Failure::Cancelled => self.stay(visitor, Reply::login_cancelled()),
            Failure::Unavailable => self.stay(visitor, Reply::login_unavailable()),
        }
    }

    pub(super) fn opened(&mut self, visitor: &Visitor, messages: Vec<Message>) {
        let maildrop = Maildrop::new(messages, visitor.form);
        self.write(Reply::opened(&maildrop));
        self.state = State::Transaction(maildrop);
    }

    /// RFC 1939 §4: the client may try again or quit.
    pub(super) fn not_opened(&mut self, visitor: Visitor, refusal: Refusal) {
        self.stay(visitor, Reply::refused(refusal));
    }

    fn stls(&mut self, visitor: Visitor) {
        if !self.may_start_tls() {
            return self.stay_refusing(visitor, Reply::tls_not_possible());
        }
        self.write(Reply::begin_tls());
        self.steps.push_back(Step::Upgrade);
        self.lines.clear();
        self.state = State::Securing;
    }

    fn utf8(&mut self, visitor: Visitor) {
        let form = Form::Utf8;
        self.stay(Visitor { form, ..visitor }, Reply::utf8_enabled());
    }
}
