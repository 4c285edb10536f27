//! Lists of addresses (RFC 6858 §2.1): names in encoded words, addresses that are not ASCII removed.
//!
//! A removed address becomes an empty group whose name shows what it was: `=?UTF-8?B?…?= :;` (RFC 6854
//! allows a group in From, Sender and Reply-To too). Inside a group, where no other may stand, it becomes
//! a mailbox of that name at a domain that never exists. Comments of what is written anew are left out.

use super::walk::{Level, walk, without_comments};
use super::words;

/// An address that nothing reaches (RFC 6858 §2.1, RFC 2606 §2).
pub(super) const INVALID: &str = "invalid@internationalized-address.invalid";

/// A part of an address list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Item<'v> {
    Mailbox(&'v [u8]),
    /// A group's name, before its colon.
    Group(&'v [u8]),
    GroupEnd,
}

/// Where a mailbox stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    List,
    Group,
}

/// The field body as tokens.
pub(super) fn tokens(body: &[u8]) -> Vec<String> {
    let mut tokens: Vec<String> = Vec::new();
    let mut place = Place::List;
    let mut separator = "";
    for item in items(body) {
        if item == Item::GroupEnd {
            glue(&mut tokens, ";");
            (place, separator) = (Place::List, ",");
            continue;
        }
        glue(&mut tokens, separator);
        match item {
            Item::Group(name) => {
                tokens.extend(phrase(name));
                tokens.push(":".to_owned());
                (place, separator) = (Place::Group, "");
            }
            Item::Mailbox(text) => {
                tokens.extend(mailbox(text, place));
                separator = ",";
            }
            Item::GroupEnd => {}
        }
    }
    tokens
}

fn glue(tokens: &mut [String], mark: &str) {
    if let Some(last) = tokens.last_mut() {
        last.push_str(mark);
    }
}

fn items(body: &[u8]) -> Vec<Item<'_>> {
    let mut items = Vec::new();
    let mut from = 0;
    for (at, octet, level) in walk(body) {
        if level != Level::Top || !matches!(octet, b',' | b':' | b';') {
            continue;
        }
        let part = body.get(from..at).unwrap_or_default().trim_ascii();
        from = at + 1;
        match octet {
            b':' => items.push(Item::Group(part)),
            _ if !part.is_empty() => items.push(Item::Mailbox(part)),
            _ => {}
        }
        if octet == b';' {
            items.push(Item::GroupEnd);
        }
    }
    let last = body.get(from..).unwrap_or_default().trim_ascii();
    if !last.is_empty() {
        items.push(Item::Mailbox(last));
    }
    items
}

fn mailbox(text: &[u8], place: Place) -> Vec<String> {
    if let Ok(ascii) = std::str::from_utf8(text)
        && ascii.is_ascii()
    {
        return vec![ascii.to_owned()];
    }
    let text = without_comments(text);
    let (name, address) = parts(&text);
    match std::str::from_utf8(address) {
        Ok(address) if address.is_ascii() => {
            let mut tokens = phrase(name);
            tokens.push(format!("<{address}>"));
            tokens
        }
        _ => removed(name, address, place),
    }
}

/// The display name and the address, without its brackets where it has some.
fn parts(text: &[u8]) -> (&[u8], &[u8]) {
    let opening = walk(text).find(|(_, octet, level)| *octet == b'<' && *level == Level::Angle);
    match opening {
        Some((at, ..)) => {
            let (name, address) = text.split_at(at);
            let address = address.strip_prefix(b"<").unwrap_or(address).trim_ascii_end();
            let address = address.strip_suffix(b">").unwrap_or(address);
            (name.trim_ascii(), address.trim_ascii())
        }
        None => (b"", text.trim_ascii()),
    }
}

fn removed(name: &[u8], address: &[u8], place: Place) -> Vec<String> {
    let mut shown = unquoted(name);
    match shown.is_empty() {
        true => shown.extend_from_slice(address),
        false => {
            shown.extend_from_slice(b" <");
            shown.extend_from_slice(address);
            shown.push(b'>');
        }
    }
    let mut tokens = words::tokens(&shown, is_atom);
    tokens.push(match place {
        Place::List => ":;".to_owned(),
        Place::Group => format!("<{INVALID}>"),
    });
    tokens
}

/// A display name or the name of a group.
fn phrase(text: &[u8]) -> Vec<String> {
    match std::str::from_utf8(text) {
        Ok("") => Vec::new(),
        Ok(ascii) if ascii.is_ascii() => vec![ascii.to_owned()],
        _ => words::tokens(&unquoted(&without_comments(text)), is_atom),
    }
}

/// What quoted strings mean (RFC 5322 §3.2.4).
fn unquoted(text: &[u8]) -> Vec<u8> {
    let mut octets = text.iter().copied();
    let mut out = Vec::with_capacity(text.len());
    while let Some(octet) = octets.next() {
        match octet {
            b'"' => {}
            b'\\' => out.extend(octets.next()),
            _ => out.push(octet),
        }
    }
    out
}

/// RFC 5322 §3.2.3, and short enough that it need not be split.
fn is_atom(word: &[u8]) -> bool {
    let is_text = |octet: &u8| octet.is_ascii_alphanumeric() || b"!#$%&'*+-/=?^_`{|}~".contains(octet);
    word.len() <= 75 && word.iter().all(is_text)
}
