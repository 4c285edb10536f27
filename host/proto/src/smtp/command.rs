//! Commands: one table of verbs, a row each, and the split of a line into verb and argument.
//!
//! Verbs are found in any case (RFC 5321 §2.4). What a verb's argument means is parsed where the session
//! has decided that the verb may be said at all.

#[cfg(test)]
mod tests;

use crate::lines::LONGEST;
use crate::sasl::Mechanism;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// A command that this server knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verb {
    Helo,
    Ehlo,
    Lhlo,
    Mail,
    Rcpt,
    Data,
    Bdat,
    Rset,
    Noop,
    Vrfy,
    Expn,
    Help,
    Quit,
    Auth,
    StartTls,
}

/// RFC 5321 §4.5.3.1.4: a command line is at most 512 octets, CRLF included, where no extension says more.
const COMMAND: usize = 512;

/// MAIL and RCPT: paths of UTF-8 and the parameters of SIZE, BODY, SMTPUTF8, AUTH and DSN (RFC 3461 §4.4
/// alone allows 500 octets of ORCPT).
const ENVELOPE: usize = 2048;

/// A verb's row.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) verb: Verb,
    pub(super) name: &'static str,
    /// Octets of the whole line, CRLF included.
    bound: usize,
}

/// Every verb, a line each.
#[rustfmt::skip]
static TABLE: [Row; 15] = [
    row(Verb::Helo,     "HELO",     COMMAND),
    row(Verb::Ehlo,     "EHLO",     COMMAND),
    row(Verb::Lhlo,     "LHLO",     COMMAND),
    row(Verb::Mail,     "MAIL",     ENVELOPE),
    row(Verb::Rcpt,     "RCPT",     ENVELOPE),
    row(Verb::Data,     "DATA",     COMMAND),
    row(Verb::Bdat,     "BDAT",     COMMAND),
    row(Verb::Rset,     "RSET",     COMMAND),
    row(Verb::Noop,     "NOOP",     COMMAND),
    row(Verb::Vrfy,     "VRFY",     COMMAND),
    row(Verb::Expn,     "EXPN",     COMMAND),
    row(Verb::Help,     "HELP",     COMMAND),
    row(Verb::Quit,     "QUIT",     COMMAND),
    row(Verb::Auth,     "AUTH",     LONGEST),
    row(Verb::StartTls, "STARTTLS", COMMAND),
];

const fn row(verb: Verb, name: &'static str, bound: usize) -> Row {
    Row { verb, name, bound }
}

/// How HTTP begins. A browser can be made to send these to any port, with commands in the body.
const FOREIGN: [&str; 6] = ["GET", "POST", "PUT", "HEAD", "OPTIONS", "CONNECT"];

/// What a line says.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Said<'line> {
    /// A known verb and its argument, without the space around it.
    Command(&'static Row, &'line str),
    /// A known verb in a line that is too long for it.
    TooLong(&'static Row),
    /// Not UTF-8, or with control characters.
    Unclean,
    Foreign,
    Unknown,
}

impl PartialEq for Row {
    fn eq(&self, other: &Self) -> bool {
        self.verb == other.verb
    }
}

impl Eq for Row {}

/// Reads a line without its CRLF.
pub(super) fn read(line: &[u8]) -> Said<'_> {
    let Ok(line) = std::str::from_utf8(line) else {
        return Said::Unclean;
    };
    if line.bytes().any(|byte| byte.is_ascii_control() && byte != b'\t') {
        return Said::Unclean;
    }
    let (name, argument) = line.split_once([' ', '\t']).unwrap_or((line, ""));
    let known = TABLE.iter().find(|row| row.name.eq_ignore_ascii_case(name));
    match known {
        Some(row) if line.len() + 2 > row.bound => Said::TooLong(row),
        // RFC 5321 §4.1.1: white space at the end is tolerated.
        Some(row) => Said::Command(row, argument.trim_matches([' ', '\t'])),
        None if FOREIGN.iter().any(|foreign| foreign.eq_ignore_ascii_case(name)) => Said::Foreign,
        None => Said::Unknown,
    }
}

/// The argument of a hello: a domain or an address literal (RFC 5321 §4.1.1.1). Names that no DNS would
/// have are let through, since too many clients have such; what could break a trace header is not.
pub(super) fn hello_name(argument: &str) -> Option<&str> {
    let fits = |byte: u8| byte.is_ascii_graphic() && !b"()<>@,;\\\"".contains(&byte);
    let good = !argument.is_empty() && argument.len() <= 255 && argument.bytes().all(fits);
    good.then_some(argument)
}

/// Whether a chunk is the message's last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    Between,
    Last,
}

/// `BDAT size [LAST]` (RFC 3030 §2).
pub(super) fn chunk(argument: &str) -> Option<(u64, Place)> {
    let mut words = argument.split(' ').filter(|word| !word.is_empty());
    let size = words.next()?;
    let place = match words.next() {
        None => Place::Between,
        Some(last) if last.eq_ignore_ascii_case("LAST") => Place::Last,
        Some(_) => return None,
    };
    let digits = size.bytes().all(|byte| byte.is_ascii_digit());
    (digits && words.next().is_none()).then_some(())?;
    Some((size.parse().ok()?, place))
}

/// What AUTH was given (RFC 4954 §4).
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Auth {
    Start(Mechanism, Option<Vec<u8>>),
    UnknownMechanism,
    /// The initial response is not base64.
    Malformed,
    /// Not `mechanism [initial-response]`.
    Syntax,
}

/// `AUTH mechanism [initial-response]`.
pub(super) fn auth(argument: &str) -> Auth {
    let mut words = argument.split(' ').filter(|word| !word.is_empty());
    let (Some(name), initial, None) = (words.next(), words.next(), words.next()) else {
        return Auth::Syntax;
    };
    let Some(mechanism) = Mechanism::named(name) else {
        return Auth::UnknownMechanism;
    };
    match initial.map(initial_response) {
        None => Auth::Start(mechanism, None),
        Some(Some(response)) => Auth::Start(mechanism, Some(response)),
        Some(None) => Auth::Malformed,
    }
}

/// RFC 4954 §4: `=` is an initial response of no octets.
fn initial_response(word: &str) -> Option<Vec<u8>> {
    match word {
        "=" => Some(Vec::new()),
        _ => STANDARD.decode(word).ok(),
    }
}
