//! The transaction: MAIL and RCPT (RFC 5321 §4.1.1.2, §4.1.1.3).

use super::{Role, Session, State, Step};
use crate::smtp::content::{Bounds, Content, EightBit};
use crate::smtp::parameters;
use crate::smtp::path::{self, Spelling};
use crate::smtp::{Answer, BodyType, Mail, Question, Rcpt, Reply};

/// A mail transaction, between commands.
#[derive(Debug)]
pub(super) enum Transaction {
    None,
    /// MAIL was refused. What was pipelined behind it (RFC 2920 §3.1) is refused too, but is no error of
    /// the client.
    Declined,
    Open(Envelope),
    /// Chunks have been taken, and the last has not come.
    Chunks(Envelope, Content),
    /// A chunk was refused: so is each that follows, until RSET, MAIL or the last.
    Ruined(Envelope, Reply),
}

/// What MAIL and RCPT said, as far as the machine needs it.
#[derive(Debug)]
pub(super) struct Envelope {
    body: BodyType,
    smtputf8: bool,
    accepted: usize,
    refused: usize,
}

impl Envelope {
    fn new(mail: &Mail) -> Self {
        Self {
            body: mail.body,
            smtputf8: mail.smtputf8,
            accepted: 0,
            refused: 0,
        }
    }

    pub(super) fn smtputf8(&self) -> bool {
        self.smtputf8
    }

    /// Recipients that were accepted.
    pub(super) fn accepted(&self) -> usize {
        self.accepted
    }

    /// Whether a client that pipelines has reason to go on as if there was a recipient.
    pub(super) fn was_refused_all(&self) -> bool {
        self.accepted == 0 && self.refused > 0
    }
}

impl Session {
    pub(super) fn mail(&mut self, transaction: Transaction, argument: &str) {
        if let Some(reply) = self.mail_misplaced(&transaction) {
            return self.stay_refusing(transaction, reply);
        }
        match self.read_mail(argument) {
            Ok(mail) => {
                let opening = State::Opening(Envelope::new(&mail));
                self.ask(Question::Mail(mail), opening);
            }
            Err(reply) if reply == Reply::too_big() => self.stay(Transaction::Declined, reply),
            Err(reply) => self.stay_refusing(Transaction::Declined, reply),
        }
    }

    fn mail_misplaced(&self, transaction: &Transaction) -> Option<Reply> {
        let authenticated = self.facts.user.is_some();
        match transaction {
            _ if self.facts.helo.is_empty() => Some(Reply::hello_first()),
            Transaction::Open(_) | Transaction::Chunks(..) => Some(Reply::nested_mail()),
            _ if self.settings.role == Role::Submission && !authenticated => Some(self.login_awaited()),
            Transaction::None | Transaction::Declined | Transaction::Ruined(..) => None,
        }
    }

    fn read_mail(&self, argument: &str) -> Result<Mail, Reply> {
        let (sender, spelling, rest) = path::sender(argument)?;
        // Parameters are for those who were told of them.
        if !self.facts.extended && !rest.trim().is_empty() {
            return Err(Reply::unknown_parameter());
        }
        let parameters = parameters::mail(rest)?;
        if spelling == Spelling::Utf8 && !parameters.smtputf8 {
            return Err(Reply::smtputf8_required());
        }
        // RFC 1870 §6.1: before anything is sent.
        if parameters
            .size
            .is_some_and(|size| size > self.settings.limits.message_size)
        {
            return Err(Reply::too_big());
        }
        Ok(Mail {
            sender,
            size: parameters.size,
            body: parameters.body,
            smtputf8: parameters.smtputf8,
        })
    }

    /// [`Question::Mail`] was answered.
    pub(super) fn opened(&mut self, envelope: Envelope, answer: Answer) {
        match answer {
            Answer::Proceed => self.stay(Transaction::Open(envelope), Reply::sender_ok()),
            Answer::Reply(reply) if reply.is_positive() => self.stay(Transaction::Open(envelope), reply),
            Answer::Reply(reply) => self.stay(Transaction::Declined, reply),
            Answer::Close(reply) => self.close(reply),
            Answer::Auth(_) | Answer::Each(_) => self.stay(Transaction::Declined, Reply::our_trouble()),
        }
    }

    pub(super) fn rcpt(&mut self, transaction: Transaction, argument: &str) {
        let envelope = match transaction {
            Transaction::Open(envelope) => envelope,
            Transaction::Declined => return self.stay(transaction, Reply::mail_first()),
            Transaction::None => {
                let reply = self.mail_awaited();
                return self.stay_refusing(transaction, reply);
            }
            Transaction::Chunks(..) | Transaction::Ruined(..) => {
                return self.stay_refusing(transaction, Reply::chunking_begun());
            }
        };
        match read_rcpt(&envelope, argument) {
            // RFC 5321 §4.5.3.1.10: 452, and the client sends the rest in another transaction.
            Ok(_) if envelope.accepted >= self.settings.limits.recipients => {
                self.stay(Transaction::Open(envelope), Reply::too_many_recipients());
            }
            Ok(rcpt) => self.ask(Question::Rcpt(rcpt), State::Adding(envelope)),
            Err(reply) => self.stay_refusing(Transaction::Open(refused(envelope)), reply),
        }
    }

    /// Why a command of a transaction cannot be said now.
    pub(super) fn mail_awaited(&self) -> Reply {
        if self.facts.helo.is_empty() {
            Reply::hello_first()
        } else {
            Reply::mail_first()
        }
    }

    /// [`Question::Rcpt`] was answered.
    pub(super) fn added(&mut self, envelope: Envelope, answer: Answer) {
        match answer {
            Answer::Proceed => self.accept(envelope, Reply::recipient_ok()),
            Answer::Reply(reply) if reply.is_positive() => self.accept(envelope, reply),
            Answer::Reply(reply) => self.decline(envelope, reply),
            Answer::Close(reply) => self.close(reply),
            Answer::Auth(_) | Answer::Each(_) => self.decline(envelope, Reply::our_trouble()),
        }
    }

    fn accept(&mut self, envelope: Envelope, reply: Reply) {
        let accepted = envelope.accepted + 1;
        self.stay(Transaction::Open(Envelope { accepted, ..envelope }), reply);
    }

    /// Who is refused for good again and again is guessing addresses.
    fn decline(&mut self, envelope: Envelope, reply: Reply) {
        if reply.is_permanent() {
            self.unknown += 1;
            if self.unknown > self.settings.limits.unknown_recipients {
                return self.end(Reply::too_many_unknown_recipients());
            }
        }
        self.stay(Transaction::Open(refused(envelope)), reply);
    }

    /// Drops a transaction, and what content came of it.
    pub(super) fn forget(&mut self, transaction: &Transaction) {
        match transaction {
            Transaction::Open(_) | Transaction::Chunks(..) => self.steps.push_back(Step::Reset),
            // RSET was given when the chunk was refused.
            Transaction::None | Transaction::Declined | Transaction::Ruined(..) => {}
        }
    }

    /// A reader for the content of this transaction.
    pub(super) fn content(&self, envelope: &Envelope) -> Content {
        let limits = self.settings.limits;
        // RFC 6531 §3.4: headers of such a message may have UTF-8 whatever BODY says.
        let undeclared = envelope.body == BodyType::SevenBit && !envelope.smtputf8;
        let eight_bit = if undeclared && self.settings.strict_8bitmime {
            EightBit::Refused
        } else {
            EightBit::Accepted
        };
        Content::new(Bounds {
            message_size: limits.message_size,
            line: limits.line,
            headers: limits.headers,
            eight_bit,
        })
    }
}

fn refused(envelope: Envelope) -> Envelope {
    let refused = envelope.refused + 1;
    Envelope { refused, ..envelope }
}

fn read_rcpt(envelope: &Envelope, argument: &str) -> Result<Rcpt, Reply> {
    let (path, spelling, rest) = path::recipient(argument)?;
    parameters::rcpt(rest)?;
    if spelling == Spelling::Utf8 && !envelope.smtputf8 {
        return Err(Reply::smtputf8_required());
    }
    Ok(Rcpt { path })
}
