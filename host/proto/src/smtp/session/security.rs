//! STARTTLS (RFC 3207) and AUTH (RFC 4954).

use super::{Session, State, Step, Transaction};
use crate::sasl::{self, Channel, Exchange, Failure};
use crate::smtp::command::{self, Auth};
use crate::smtp::{Answer, Question, Reply};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

impl Session {
    pub(super) fn start_tls(&mut self, transaction: Transaction) {
        let misplaced = if self.facts.tls.is_some() {
            Some(Reply::tls_active())
        } else if !self.settings.starttls {
            Some(Reply::not_implemented())
        } else {
            self.extension_awaited()
        };
        if let Some(reply) = misplaced {
            return self.stay_refusing(transaction, reply);
        }
        self.forget(&transaction);
        self.write(Reply::ready_for_tls());
        self.steps.push_back(Step::Upgrade);
        self.lines.clear();
        self.state = State::Securing;
    }

    /// Why an extension's verb cannot be said yet.
    pub(super) fn extension_awaited(&self) -> Option<Reply> {
        if self.facts.helo.is_empty() {
            Some(Reply::hello_first())
        } else if !self.facts.extended {
            Some(Reply::extended_hello_first())
        } else {
            None
        }
    }

    pub(super) fn may_start_tls(&self) -> bool {
        self.settings.starttls && self.facts.tls.is_none()
    }

    pub(super) fn channel(&self) -> Channel<'_> {
        Channel {
            mechanisms: &self.settings.mechanisms,
            plaintext_auth: self.settings.plaintext_auth,
            tls: self.facts.tls.as_ref(),
        }
    }

    pub(super) fn auth(&mut self, transaction: Transaction, argument: &str) {
        if let Some(reply) = self.auth_misplaced(&transaction) {
            return self.stay_refusing(transaction, reply);
        }
        match command::auth(argument) {
            Auth::Start(mechanism, initial) => match self.channel().start(mechanism, initial) {
                Some((exchange, step)) => self.exchange(exchange, step),
                None => self.stay_refusing(transaction, Reply::unknown_mechanism()),
            },
            Auth::UnknownMechanism => self.stay_refusing(transaction, Reply::unknown_mechanism()),
            Auth::Malformed => self.stay_refusing(transaction, Reply::auth_malformed()),
            Auth::Syntax => self.stay_refusing(transaction, Reply::syntax()),
        }
    }

    fn auth_misplaced(&self, transaction: &Transaction) -> Option<Reply> {
        if self.settings.mechanisms.is_empty() {
            return Some(Reply::not_implemented());
        }
        match transaction {
            _ if self.facts.user.is_some() => Some(Reply::auth_done()),
            // RFC 4954 §4.
            Transaction::Open(_) | Transaction::Chunks(..) | Transaction::Ruined(..) => {
                Some(Reply::auth_in_transaction())
            }
            Transaction::None | Transaction::Declined => match self.extension_awaited() {
                None if !self.channel().may_log_in() => Some(Reply::auth_needs_tls()),
                awaited => awaited,
            },
        }
    }

    /// RFC 4954 §6, or RFC 3207 §4 where there is no AUTH before TLS.
    pub(super) fn login_awaited(&self) -> Reply {
        if !self.channel().may_log_in() && self.may_start_tls() {
            Reply::tls_required()
        } else {
            Reply::auth_required()
        }
    }

    /// A line of the client within AUTH.
    pub(super) fn response(&mut self, mut exchange: Exchange, line: &[u8]) {
        // RFC 4954 §4: `*` cancels.
        if line == b"*" {
            return self.failed(Failure::Cancelled);
        }
        match STANDARD.decode(line) {
            Ok(message) => {
                let step = exchange.respond(&message);
                self.exchange(exchange, step);
            }
            Err(_) => self.failed(Failure::Malformed),
        }
    }

    fn exchange(&mut self, exchange: Exchange, step: sasl::Step) {
        match step {
            sasl::Step::Challenge(message) => {
                self.write(Reply::challenge(STANDARD.encode(message)));
                self.state = State::Responding(exchange);
            }
            sasl::Step::Ask(question) => self.ask(Question::Auth(question), State::Judging(exchange)),
            sasl::Step::Done { account } => {
                self.facts.user = Some(account);
                self.stay(Transaction::None, Reply::authenticated());
            }
            sasl::Step::Fail(failure) => self.failed(failure),
        }
    }

    /// [`Question::Auth`] was answered.
    pub(super) fn judged(&mut self, mut exchange: Exchange, answer: Answer) {
        let answer = match answer {
            Answer::Auth(answer) => answer,
            Answer::Close(reply) => return self.close(reply),
            Answer::Reply(reply) if !reply.is_positive() => return self.stay(Transaction::None, reply),
            Answer::Proceed | Answer::Reply(_) | Answer::Each(_) => sasl::Answer::Unavailable,
        };
        let step = exchange.answer(answer);
        self.exchange(exchange, step);
    }

    fn failed(&mut self, failure: Failure) {
        match failure {
            Failure::Denied => self.stay_refusing(Transaction::None, Reply::auth_denied()),
            Failure::Malformed => self.stay_refusing(Transaction::None, Reply::auth_malformed()),
            Failure::Cancelled => self.stay(Transaction::None, Reply::auth_cancelled()),
            Failure::Unavailable => self.stay(Transaction::None, Reply::auth_unavailable()),
        }
    }
}
