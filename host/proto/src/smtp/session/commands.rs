//! Every verb on one screen, and the ones that need little (RFC 5321 §4.1.1).

use super::{NO_VERB, Role, Session, State, Transaction};
use crate::smtp::Reply;
use crate::smtp::command::{self, Said, Verb};
use std::borrow::Cow;

impl Session {
    pub(super) fn command(&mut self, transaction: Transaction, line: &[u8]) {
        self.verb = NO_VERB;
        let (row, argument) = match command::read(line) {
            Said::Command(row, argument) => (row, argument),
            Said::TooLong(row) => {
                self.verb = row.name;
                return self.stay_refusing(transaction, Reply::line_too_long());
            }
            Said::Unclean => return self.stay_refusing(transaction, Reply::unclean_line()),
            Said::Foreign => return self.end(Reply::foreign_protocol()),
            Said::Unknown => return self.stay_refusing(transaction, Reply::unknown_command()),
        };
        self.verb = row.name;
        let bare = matches!(row.verb, Verb::Data | Verb::Rset | Verb::Quit | Verb::StartTls);
        if bare && !argument.is_empty() {
            return self.stay_refusing(transaction, Reply::no_arguments());
        }
        match row.verb {
            Verb::Helo => self.hello(transaction, argument),
            Verb::Ehlo | Verb::Lhlo => self.extended_hello(transaction, row.verb, argument),
            Verb::Mail => self.mail(transaction, argument),
            Verb::Rcpt => self.rcpt(transaction, argument),
            Verb::Data => self.data(transaction),
            Verb::Bdat => self.bdat(transaction, argument),
            Verb::Rset => self.reset(&transaction),
            Verb::Noop => self.stay(transaction, Reply::ok()),
            Verb::Vrfy => self.verify(transaction, argument),
            // RFC 5321 §3.5.2 and §7.3: a list's members are nobody's business.
            Verb::Expn => self.stay(transaction, Reply::not_implemented()),
            Verb::Help => self.help(transaction),
            Verb::Quit => self.quit(),
            Verb::Auth => self.auth(transaction, argument),
            Verb::StartTls => self.start_tls(transaction),
        }
    }

    /// RFC 5321 §3.1: the greeting refused; QUIT is all that is left.
    pub(super) fn unserved(&mut self, line: &[u8]) {
        self.verb = NO_VERB;
        self.state = State::Unserved;
        let said = command::read(line);
        if let Said::Command(row, _) = said {
            self.verb = row.name;
        }
        match said {
            Said::Command(row, "") if row.verb == Verb::Quit => self.quit(),
            Said::Foreign => self.end(Reply::foreign_protocol()),
            _ => self.refuse(Reply::not_served()),
        }
    }

    fn hello(&mut self, transaction: Transaction, argument: &str) {
        // RFC 2033 §4.1: neither HELO nor EHLO.
        if self.settings.role == Role::Lmtp {
            return self.stay_refusing(transaction, Reply::unknown_command());
        }
        let Some(name) = command::hello_name(argument) else {
            return self.stay_refusing(transaction, Reply::syntax());
        };
        let hello = Reply::hello(&self.settings.hostname);
        self.facts.extended = false;
        self.introduced(&transaction, name, hello);
    }

    fn extended_hello(&mut self, transaction: Transaction, verb: Verb, argument: &str) {
        let expected = match self.settings.role {
            Role::Mx | Role::Submission => Verb::Ehlo,
            Role::Lmtp => Verb::Lhlo,
        };
        if verb != expected {
            return self.stay_refusing(transaction, Reply::unknown_command());
        }
        let Some(name) = command::hello_name(argument) else {
            return self.stay_refusing(transaction, Reply::syntax());
        };
        let hello = Reply::extended_hello(&self.settings.hostname, self.keywords());
        self.facts.extended = true;
        self.introduced(&transaction, name, hello);
    }

    /// RFC 5321 §4.1.4: a hello is a RSET too.
    fn introduced(&mut self, transaction: &Transaction, name: &str, hello: Reply) {
        self.facts.helo = name.to_owned();
        self.forget(transaction);
        self.stay(Transaction::None, hello);
    }

    /// What is true now.
    fn keywords(&self) -> Vec<Cow<'static, str>> {
        let limits = self.settings.limits;
        let mut keywords: Vec<Cow<'static, str>> = ["PIPELINING", "CHUNKING", "8BITMIME", "SMTPUTF8"]
            .map(Cow::Borrowed)
            .into();
        keywords.push(format!("SIZE {}", limits.message_size).into());
        if self.may_start_tls() {
            keywords.push("STARTTLS".into());
        }
        let mechanisms = self.channel().mechanisms();
        if !mechanisms.is_empty() && self.facts.user.is_none() {
            let names: Vec<_> = mechanisms.iter().map(|mechanism| mechanism.name()).collect();
            keywords.push(format!("AUTH {}", names.join(" ")).into());
        }
        keywords.push("ENHANCEDSTATUSCODES".into());
        // RFC 9422 §3.
        keywords.push(format!("LIMITS RCPTMAX={}", limits.recipients).into());
        keywords.push("HELP".into());
        keywords
    }

    fn reset(&mut self, transaction: &Transaction) {
        self.forget(transaction);
        self.stay(Transaction::None, Reply::ok());
    }

    fn verify(&mut self, transaction: Transaction, argument: &str) {
        if argument.is_empty() {
            return self.stay_refusing(transaction, Reply::syntax());
        }
        self.stay(transaction, Reply::cannot_verify());
    }

    fn help(&mut self, transaction: Transaction) {
        let hello = match self.settings.role {
            Role::Mx | Role::Submission => "HELO EHLO",
            Role::Lmtp => "LHLO",
        };
        let rest = "MAIL RCPT DATA BDAT RSET NOOP VRFY HELP QUIT";
        let tls = if self.may_start_tls() { " STARTTLS" } else { "" };
        let auth = if self.channel().mechanisms().is_empty() {
            ""
        } else {
            " AUTH"
        };
        self.stay(transaction, Reply::help(&format!("{hello} {rest}{tls}{auth}")));
    }

    fn quit(&mut self) {
        self.end(Reply::bye(&self.settings.hostname));
    }
}
