//! Texts that are checked when they are read.

use serde::Deserialize;
use std::collections::BTreeSet;
use std::fmt;
use std::ops::Deref;

macro_rules! checked {
    ($(#[$about:meta])* $name:ident, $good:expr, $wrong:literal) => {
        $(#[$about])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
        #[serde(try_from = "String")]
        pub struct $name(String);

        impl TryFrom<String> for $name {
            type Error = String;

            fn try_from(text: String) -> Result<Self, String> {
                let good: fn(&str) -> bool = $good;
                match good(&text) {
                    true => Ok(Self(text)),
                    false => Err(format!("`{text}` {}", $wrong)),
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl Deref for $name {
            type Target = str;

            fn deref(&self) -> &str {
                &self.0
            }
        }
    };
}

checked!(
    /// An address, or a pattern of addresses.
    Address,
    |text| !domain_of(text).is_empty(),
    "is not an address"
);

checked!(
    /// A zone below which DNS is asked for addresses: names of it have room for the 64 octets of an IPv6 address and
    /// its dot (RFC 1035 §3.1: 253 octets in all, 63 of each label).
    Zone,
    |text| {
        let in_label = |c: u8| c.is_ascii_alphanumeric() || matches!(c, b'-' | b'_');
        let label = |label: &str| (1..=63).contains(&label.len()) && label.bytes().all(in_label);
        text.len() <= 180 && text.split('.').all(label)
    },
    "is no zone: write zen.example.org, of letters, digits, `-` and `_`, 63 octets at most between dots and 180 in all"
);

checked!(
    /// The name of a header field (RFC 5322 §2.2) that the gateway takes, of 76 characters at most.
    FieldName,
    |text| (1..=76).contains(&text.len()) && text.bytes().all(|c| c.is_ascii_graphic() && c != b':'),
    "is no name of a header field"
);

checked!(
    /// Words for a person.
    Words,
    |text| !text.trim().is_empty(),
    "is empty: write some words"
);

/// The part behind the last `@`, or nothing.
#[must_use]
pub fn domain_of(address: &str) -> &str {
    address.rsplit_once('@').map_or("", |(_, domain)| domain)
}

/// Labels with dots between them, none of them a pattern.
#[must_use]
pub fn is_domain(text: &str) -> bool {
    text.split('.').all(|label| !label.is_empty())
        && !text.contains(|c: char| c.is_whitespace() || matches!(c, '*' | '?' | '@'))
}

/// The addresses in a field that has a list of them (RFC 5322 §3.4), From or To. None where a quoted string, a
/// comment or a bracket has no end. A name that looks like an address is not taken for one: what is quoted or in
/// a comment does not count, and where there are brackets, only what is in them does.
#[must_use]
pub fn addresses(field: &str) -> Option<Vec<String>> {
    let plain = without_words(field)?;
    let mut found = Vec::new();
    for author in plain.split([',', ';']) {
        match author.split_once('<') {
            Some((_, brackets)) => {
                for bracket in brackets.split('<') {
                    found.push(bracket.split_once('>')?.0.trim().to_owned());
                }
            }
            None => {
                let group = author.split_once(':').filter(|(name, _)| !name.contains('@'));
                found.push(group.map_or(author, |(_, first)| first).trim().to_owned());
            }
        }
    }
    found.retain(|address| address.contains('@'));
    Some(found)
}

/// The domains of the addresses in such a field, in lower case. None where another reader may find others: where
/// something has no end, or a list is in brackets, or a domain stands behind an `@` that is neither in an address nor in
/// the name before one, a quoted string, a comment or an encoded word.
#[must_use]
pub fn domains(field: &str) -> Option<BTreeSet<String>> {
    let addresses = addresses(field)?;
    let domains = addresses.iter().map(|address| domain_of(address).to_lowercase());
    let domains: BTreeSet<String> = domains.collect();
    (written(field)? == domains).then_some(domains)
}

/// Whatever is written behind an `@`.
fn written(field: &str) -> Option<BTreeSet<String>> {
    let plain = without_words(field)?;
    let mut is_open = false;
    for c in plain.chars() {
        match (c, is_open) {
            ('<', false) => is_open = true,
            ('>', true) => is_open = false,
            ('<' | ',' | ';', true) | ('>', false) => return None,
            _ => {}
        }
    }
    let is_encoded = |word: &&str| {
        let inner = word.strip_prefix("=?").and_then(|word| word.strip_suffix("?="));
        inner.is_some_and(|inner| inner.split('?').count() == 3 && !inner.contains(['<', '>', ',', ';']))
    };
    // No reader takes the name before a single address in brackets for the author's address.
    let plain = match plain.trim_end().split_once('<') {
        Some((name, address))
            if address.find('>') == Some(address.len() - 1) && !name.contains([',', ';']) =>
        {
            address
        }
        _ => &plain,
    };
    let words = plain.split_whitespace().filter(|word| !is_encoded(word));
    let domains = words.flat_map(|word| word.split('@').skip(1)).map(|text| {
        let end = text.find(['<', '>', ',', ';']).unwrap_or(text.len());
        let domain = text.get(..end).unwrap_or_default();
        (!domain.is_empty()).then(|| domain.to_lowercase())
    });
    let domains: Option<BTreeSet<String>> = domains.collect();
    domains.filter(|_| !is_open)
}

/// Without quoted strings and comments (RFC 5322 §3.2). None where one of them has no end.
fn without_words(text: &str) -> Option<String> {
    let (mut kept, mut depth, mut quoted) = (String::new(), 0_usize, false);
    let mut characters = text.chars();
    while let Some(c) = characters.next() {
        match c {
            '\\' => _ = characters.next()?,
            '"' if depth == 0 => quoted = !quoted,
            '(' if !quoted => depth += 1,
            ')' if !quoted => depth = depth.checked_sub(1)?,
            c if depth == 0 && !quoted => kept.push(c),
            _ => {}
        }
    }
    (depth == 0 && !quoted).then_some(kept)
}
