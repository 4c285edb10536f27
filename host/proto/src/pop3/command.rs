//! Commands: one table, a row each, and what their arguments may look like.

use crate::sasl::Mechanism;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// A command as it was meant.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum Command {
    User(String),
    Pass(String),
    Auth {
        mechanism: Option<Mechanism>,
        initial: Option<Vec<u8>>,
    },
    Stls,
    Utf8,
    Capa,
    Lang(Option<String>),
    Quit,
    Stat,
    List(Option<u64>),
    Uidl(Option<u64>),
    Retr(u64),
    Top(u64, u64),
    Dele(u64),
    Rset,
    Noop,
}

/// When a command may be said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    Authorization,
    Transaction,
    Anywhere,
}

/// A command's name, place, syntax, and how its argument becomes a [`Command`].
pub(super) struct Row {
    pub(super) name: &'static str,
    pub(super) place: Place,
    pub(super) usage: &'static str,
    parse: fn(Argument<'_>) -> Option<Command>,
}

use Place::{Anywhere, Authorization, Transaction};

/// Every command, a line each.
#[rustfmt::skip]
static TABLE: [Row; 16] = [
    row("USER", Authorization, "USER name",           |a| a.text().map(Command::User)),
    row("PASS", Authorization, "PASS password",       |a| a.text().map(Command::Pass)),
    row("AUTH", Authorization, "AUTH mechanism [initial-response]", |a| a.auth()),
    row("STLS", Authorization, "STLS",                |a| a.none(Command::Stls)),
    row("UTF8", Authorization, "UTF8",                |a| a.none(Command::Utf8)),
    row("CAPA", Anywhere,      "CAPA",                |a| a.none(Command::Capa)),
    row("LANG", Anywhere,      "LANG [language]",     |a| a.lang()),
    row("QUIT", Anywhere,      "QUIT",                |a| a.none(Command::Quit)),
    row("STAT", Transaction,   "STAT",                |a| a.none(Command::Stat)),
    row("LIST", Transaction,   "LIST [message]",      |a| a.maybe_number().map(Command::List)),
    row("UIDL", Transaction,   "UIDL [message]",      |a| a.maybe_number().map(Command::Uidl)),
    row("RETR", Transaction,   "RETR message",        |a| a.number().map(Command::Retr)),
    row("TOP",  Transaction,   "TOP message lines",   |a| a.top()),
    row("DELE", Transaction,   "DELE message",        |a| a.number().map(Command::Dele)),
    row("RSET", Transaction,   "RSET",                |a| a.none(Command::Rset)),
    row("NOOP", Transaction,   "NOOP",                |a| a.none(Command::Noop)),
];

const fn row(
    name: &'static str,
    place: Place,
    usage: &'static str,
    parse: fn(Argument<'_>) -> Option<Command>,
) -> Row {
    Row {
        name,
        place,
        usage,
        parse,
    }
}

impl Row {
    /// The command with that argument; None: the argument is not as `usage` says.
    pub(super) fn parse(&self, argument: &[u8]) -> Option<Command> {
        (self.parse)(Argument(argument))
    }
}

/// Finds the row of a line's verb, in any case, and the line's argument.
pub(super) fn find(line: &[u8]) -> Option<(&'static Row, &[u8])> {
    let (verb, argument) = match memchr::memchr(b' ', line) {
        Some(at) => (line.get(..at)?, line.get(at + 1..)?),
        None => (line, &[][..]),
    };
    let row = TABLE
        .iter()
        .find(|row| row.name.as_bytes().eq_ignore_ascii_case(verb))?;
    Some((row, argument))
}

/// Whether a line is no command but the first of an HTTP request (RFC 9112 §3).
pub(super) fn is_http(line: &[u8]) -> bool {
    if find(line).is_some() {
        return false;
    }
    let mut words = line.rsplit(|octet| *octet == b' ');
    words.next().is_some_and(|last| last.starts_with(b"HTTP/")) && words.count() >= 2
}

/// What stands behind the verb and its space.
#[derive(Clone, Copy)]
struct Argument<'l>(&'l [u8]);

impl<'l> Argument<'l> {
    fn none(self, command: Command) -> Option<Command> {
        self.words().next().is_none().then_some(command)
    }

    /// RFC 1939 §7: the whole rest, spaces included, for a password may have some. RFC 6856 §2.2: UTF-8.
    fn text(self) -> Option<String> {
        let text = std::str::from_utf8(self.0).ok()?;
        (!text.is_empty()).then(|| text.to_owned())
    }

    fn number(self) -> Option<u64> {
        let mut words = self.words();
        let number = decimal(words.next()?)?;
        words.next().is_none().then_some(number)
    }

    fn maybe_number(self) -> Option<Option<u64>> {
        match self.words().next() {
            None => Some(None),
            Some(_) => self.number().map(Some),
        }
    }

    fn top(self) -> Option<Command> {
        let mut words = self.words();
        let (number, lines) = (decimal(words.next()?)?, decimal(words.next()?)?);
        words.next().is_none().then_some(Command::Top(number, lines))
    }

    fn lang(self) -> Option<Command> {
        let mut words = self.words();
        let range = match words.next() {
            Some(word) => Some(std::str::from_utf8(word).ok()?.to_owned()),
            None => None,
        };
        words.next().is_none().then_some(Command::Lang(range))
    }

    /// RFC 5034 §4: `=` is an empty initial response.
    fn auth(self) -> Option<Command> {
        let mut words = self.words();
        let name = std::str::from_utf8(words.next()?).ok()?;
        let initial = match words.next() {
            None => None,
            Some(b"=") => Some(Vec::new()),
            Some(word) => Some(STANDARD.decode(word).ok()?),
        };
        words.next().is_none().then_some(Command::Auth {
            mechanism: Mechanism::named(name),
            initial,
        })
    }

    fn words(self) -> impl Iterator<Item = &'l [u8]> {
        self.0
            .split(|octet| *octet == b' ')
            .filter(|word| !word.is_empty())
    }
}

/// Digits only. Leading zeros change nothing; a number beyond 64 bits is as large as any.
fn decimal(word: &[u8]) -> Option<u64> {
    word.iter().try_fold(0_u64, |number, octet| {
        let digit = octet.is_ascii_digit().then(|| u64::from(octet - b'0'))?;
        Some(number.saturating_mul(10).saturating_add(digit))
    })
}
