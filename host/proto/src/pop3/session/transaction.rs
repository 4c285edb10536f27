//! After login (RFC 1939 §5 and §6): the listing answers all but RETR, TOP and QUIT.

use super::{Session, State};
use crate::pop3::command::{Command, Place};
use crate::pop3::maildrop::{Absent, Maildrop};
use crate::pop3::{Extent, Fetch, Question, Reply, Step};

impl Session {
    pub(super) fn transact(&mut self, mut maildrop: Maildrop, command: Command) {
        let reply = match command {
            Command::Retr(number) => return self.fetch(maildrop, number, Extent::Whole),
            Command::Top(number, lines) => return self.fetch(maildrop, number, Extent::Top(lines)),
            Command::Quit => return self.quit(&maildrop),
            Command::Stat => Reply::stat(&maildrop),
            Command::List(None) => Reply::scan_all(&maildrop),
            Command::List(Some(number)) => match maildrop.find(number) {
                Ok((_, message)) => Reply::scan(number, maildrop.size(message)),
                Err(absent) => absent.reply(),
            },
            Command::Uidl(None) => Reply::unique_ids(&maildrop),
            Command::Uidl(Some(number)) => match maildrop.find(number) {
                Ok((_, message)) => Reply::unique_id(number, &message.uidl),
                Err(absent) => absent.reply(),
            },
            Command::Dele(number) => match maildrop.delete(number) {
                Ok(()) => Reply::marked(number),
                Err(absent) => absent.reply(),
            },
            Command::Rset => {
                maildrop.reset();
                Reply::unmarked(&maildrop)
            }
            Command::Noop => Reply::noop(),
            Command::Capa => self.capabilities(Place::Transaction),
            Command::Lang(range) => Self::language(range.as_deref()),
            // The table lets no other command through here.
            _ => Reply::not_after_login(),
        };
        self.write(reply);
        self.state = State::Transaction(maildrop);
    }

    fn fetch(&mut self, maildrop: Maildrop, number: u64, extent: Extent) {
        match maildrop.find(number) {
            Ok((place, _)) => {
                let fetch = Fetch {
                    place,
                    form: maildrop.form(),
                    extent,
                };
                self.ask(Question::Fetch(fetch), State::Fetching(maildrop, fetch));
            }
            Err(absent) => {
                self.write(absent.reply());
                self.state = State::Transaction(maildrop);
            }
        }
    }

    /// The driver is ready to send what was asked for.
    pub(super) fn send(&mut self, maildrop: Maildrop, fetch: Fetch) {
        self.write(match fetch.extent {
            Extent::Whole => Reply::message_follows(maildrop.size_at(fetch.place)),
            Extent::Top(_) => Reply::top_follows(),
        });
        self.steps.push_back(Step::Send(fetch));
        self.state = State::Transaction(maildrop);
    }

    /// RFC 1939 §6: only here, and only what is marked, is removed.
    fn quit(&mut self, maildrop: &Maildrop) {
        let deleted = maildrop.deleted();
        if deleted.is_empty() {
            return self.end(Reply::bye());
        }
        let removing = State::Removing(deleted.len());
        self.ask(Question::Remove(deleted), removing);
    }
}

impl Absent {
    fn reply(self) -> Reply {
        match self {
            Self::NoSuchMessage => Reply::no_such_message(),
            Self::Deleted => Reply::deleted_before(),
        }
    }
}
