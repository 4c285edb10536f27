//! Reverse and forward paths (RFC 5321 §4.1.2), up to the `>` that ends them.
//!
//! A source route is read and ignored (RFC 5321 §C). What is not a path, or holds no address, is refused.

#[cfg(test)]
mod tests;

use super::{ForwardPath, Reply};
use crate::Address;

/// What stands between `<` and `>`, without a source route, and what follows.
#[derive(Debug, PartialEq, Eq)]
struct Bracketed<'line> {
    inside: &'line str,
    rest: &'line str,
}

/// `FROM:<path>`: the sender (None for `<>`), whether it was written in ASCII, and the parameters.
pub(super) fn sender(argument: &str) -> Result<(Option<Address>, Spelling, &str), Reply> {
    let path = after_keyword(argument, "FROM:").ok_or_else(Reply::syntax)?;
    let Bracketed { inside, rest } = bracketed(path).ok_or_else(Reply::bad_sender_syntax)?;
    if inside.is_empty() {
        return Ok((None, Spelling::Ascii, rest));
    }
    let address = Address::parse(inside).map_err(|_| Reply::bad_sender_syntax())?;
    Ok((Some(address), Spelling::of(inside), rest))
}

/// `TO:<path>`: the recipient, how it was written, and the parameters.
pub(super) fn recipient(argument: &str) -> Result<(ForwardPath, Spelling, &str), Reply> {
    let path = after_keyword(argument, "TO:").ok_or_else(Reply::syntax)?;
    let Bracketed { inside, rest } = bracketed(path).ok_or_else(Reply::bad_recipient_syntax)?;
    if inside.eq_ignore_ascii_case("postmaster") {
        return Ok((ForwardPath::Postmaster, Spelling::Ascii, rest));
    }
    let address = Address::parse(inside).map_err(|_| Reply::bad_recipient_syntax())?;
    Ok((ForwardPath::Address(address), Spelling::of(inside), rest))
}

/// Whether a path needs SMTPUTF8 (RFC 6531 §3.3) as it was written: A-labels do not, though they are kept
/// as U-labels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Spelling {
    Ascii,
    Utf8,
}

impl Spelling {
    fn of(text: &str) -> Self {
        if text.is_ascii() { Self::Ascii } else { Self::Utf8 }
    }
}

/// RFC 5321 §3.3 allows no space behind the colon, but enough clients send one that it is let through.
fn after_keyword<'line>(argument: &'line str, keyword: &str) -> Option<&'line str> {
    let (head, path) = argument.split_at_checked(keyword.len())?;
    head.eq_ignore_ascii_case(keyword)
        .then(|| path.trim_start_matches(' '))
}

fn bracketed(path: &str) -> Option<Bracketed<'_>> {
    let path = without_route(path.strip_prefix('<')?)?;
    let (inside, rest) = split_at_end(path)?;
    // Parameters are behind a space.
    (rest.is_empty() || rest.starts_with(' ')).then_some(Bracketed { inside, rest })
}

/// RFC 5321 §4.1.2: `@one,@two:` in front of the mailbox.
fn without_route(path: &str) -> Option<&str> {
    if !path.starts_with('@') {
        return Some(path);
    }
    let (route, mailbox) = path.split_once(':')?;
    let hop = |hop: &str| hop.strip_prefix('@').is_some_and(is_hop);
    route.split(',').all(hop).then_some(mailbox)
}

fn is_hop(domain: &str) -> bool {
    Address::parse(&format!("postmaster@{domain}")).is_ok()
}

/// Splits at the first `>` outside a quoted string.
fn split_at_end(path: &str) -> Option<(&str, &str)> {
    let mut quoted = false;
    let mut characters = path.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => quoted = !quoted,
            '\\' if quoted => {
                characters.next();
            }
            '>' if !quoted => return Some((path.get(..at)?, path.get(at + 1..)?)),
            _ => {}
        }
    }
    None
}
