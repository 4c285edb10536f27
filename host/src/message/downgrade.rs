//! The simplified downgrade of internationalized header sections (RFC 6858), for clients that did not say
//! UTF8 (RFC 6856).
//!
//! A header section of ASCII stays as it is. Of the others, each field that is ASCII stays, octet for
//! octet; one that is not becomes ASCII by what it is (RFC 6858 §2): Subject is written in encoded words,
//! display names too; an address that is not ASCII becomes an empty group that shows it; MIME parameters
//! that are not ASCII go; any other field goes as a whole. What comes out is ASCII, so that a second
//! downgrade changes nothing, and no line that was written here has more than 998 octets: a field that
//! cannot be folded goes too.
//!
//! Only the header section is looked at. The body stays as it is, and with it the header sections of its
//! parts and of messages inside it (`message/rfc822`): its octets are streamed, never parsed.
//!
//! Nothing here fails. Octets that are not UTF-8 are passed on in encoded words as `unknown-8bit` (RFC 1428).

mod addresses;
mod parameters;
mod walk;
mod words;

use super::head;
use std::borrow::Cow;

/// Where a line is folded (RFC 2047 §2: lines with encoded words have at most 76).
const FOLD: usize = 76;

/// Most octets of a line without its CRLF (RFC 5322 §2.1.1).
const MOST: usize = 998;

/// The header section, or part of one made of whole fields, as a client without UTF8 gets it. What stands
/// behind its empty line stays.
pub fn downgraded(section: &[u8]) -> Cow<'_, [u8]> {
    if section.is_ascii() {
        return Cow::Borrowed(section);
    }
    let mut out = Vec::with_capacity(section.len() + section.len() / 2);
    let mut rest = section;
    while !rest.is_empty() && !rest.starts_with(b"\r\n") {
        let (raw, behind) = rest.split_at(head::length(rest));
        rest = behind;
        if raw.is_ascii() {
            out.extend_from_slice(raw);
        } else if let Some(field) = field(raw) {
            out.extend_from_slice(field.as_bytes());
        }
    }
    out.extend_from_slice(rest);
    Cow::Owned(out)
}

/// Octets of [`downgraded`].
pub fn downgraded_len(section: &[u8]) -> u64 {
    downgraded(section).len() as u64
}

/// What of a field can be told in ASCII.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// RFC 6858 §2.1.
    Addresses,
    /// Return-Path: one address, and neither name nor group.
    Path,
    /// RFC 6858 §2.2.
    Parameters,
    /// RFC 6858 §2.3.
    Text,
}

const ADDRESSES: [&str; 11] = [
    "From",
    "Sender",
    "Reply-To",
    "To",
    "Cc",
    "Bcc",
    "Resent-From",
    "Resent-Sender",
    "Resent-To",
    "Resent-Cc",
    "Resent-Bcc",
];

impl Kind {
    /// None: nothing (RFC 6858 §2.4).
    fn of(name: &str) -> Option<Self> {
        let is = |other: &str| name.eq_ignore_ascii_case(other);
        if ADDRESSES.into_iter().any(is) {
            Some(Self::Addresses)
        } else if is("Return-Path") {
            Some(Self::Path)
        } else if is("Content-Type") || is("Content-Disposition") {
            Some(Self::Parameters)
        } else if is("Subject") {
            Some(Self::Text)
        } else {
            None
        }
    }
}

/// A field that is not ASCII, in ASCII; None: it goes.
fn field(raw: &[u8]) -> Option<String> {
    let colon = raw.iter().position(|octet| *octet == b':')?;
    let (name, value) = raw.split_at(colon);
    let name = std::str::from_utf8(name.trim_ascii_end()).ok()?;
    // Unfolded (RFC 5322 §2.2.3), and without the colon.
    let unfolded: Vec<u8> = value
        .iter()
        .copied()
        .skip(1)
        .filter(|octet| !matches!(octet, b'\r' | b'\n'))
        .collect();
    let tokens = match Kind::of(name)? {
        Kind::Addresses => addresses::tokens(&unfolded),
        Kind::Path => vec![format!("<{}>", addresses::INVALID)],
        Kind::Parameters => parameters::tokens(&unfolded)?,
        Kind::Text => words::tokens(&unfolded, |token| token.is_ascii() && token.len() <= MOST / 2),
    };
    folded(name, &tokens)
}

/// The field with these tokens, folded between them; None if a line would still be too long.
fn folded(name: &str, tokens: &[String]) -> Option<String> {
    let mut out = format!("{name}:");
    let mut line = out.len();
    for (place, token) in tokens.iter().enumerate() {
        if place > 0 && line + 1 + token.len() > FOLD {
            out.push_str("\r\n");
            line = 0;
        }
        out.push(' ');
        out.push_str(token);
        line += 1 + token.len();
        if line > MOST {
            return None;
        }
    }
    out.push_str("\r\n");
    (!tokens.is_empty()).then_some(out)
}

#[cfg(test)]
mod tests;
