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

/// A name that DNS can have, as A-labels or as U-labels: letters, digits, hyphens and underscores, 63 at most between dots
/// and 253 in all.
#[must_use]
pub fn is_domain(text: &str) -> bool {
    let in_label = |c: char| match c.is_ascii() {
        true => c.is_ascii_alphanumeric() || matches!(c, '-' | '_'),
        false => !c.is_whitespace() && !c.is_control(),
    };
    let is_label = |label: &str| {
        (1..=63).contains(&label.chars().count()) && !label.starts_with('-') && label.chars().all(in_label)
    };
    text.chars().count() <= 253 && text.split('.').all(is_label)
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

/// The domains of the authors in such a field, in lower case, with those of addresses in the names before brackets: some
/// readers take them for the authors'. None where the field is malformed, so that readers may find others. The
/// gateway reads From in the same way before it asks about DMARC.
#[must_use]
pub fn domains(field: &str) -> Option<BTreeSet<String>> {
    let mut domains = BTreeSet::new();
    for item in items(field)? {
        item.read(&mut domains)?;
    }
    Some(domains)
}

/// White space of a field (RFC 5322 §2.2.2, §2.2.3).
const BLANK: [char; 4] = [' ', '\t', '\r', '\n'];

/// What stands between two dividers of a list.
#[derive(Default)]
struct Item {
    /// A quoted string is `""`, a comment a space.
    plain: String,
    /// What quoted strings and comments say.
    hidden: String,
}

impl Item {
    /// Where there is no address, readers may find one in an encoded word, a quoted string or a comment.
    fn hides_address(&self) -> bool {
        self.hidden.contains('@') || self.plain.contains("=?") || self.hidden.contains("=?")
    }

    fn read(&self, domains: &mut BTreeSet<String>) -> Option<()> {
        let plain = self.plain.trim_matches(BLANK);
        let address = match plain.split_once('<') {
            Some((name, behind)) => {
                domains.extend(named(name));
                behind.strip_suffix('>')?.trim_matches(BLANK)
            }
            None if !plain.contains('@') => return (!self.hides_address()).then_some(()),
            None => plain,
        };
        let (local, domain) = address.split_once('@')?;
        let fits = |c: char| match c.is_ascii() {
            true => c.is_ascii_alphanumeric() || "!#$%&'*+-/=?^_`{|}~.".contains(c),
            false => !c.is_whitespace() && !c.is_control(),
        };
        let is_plain = !local.is_empty() && local.chars().all(fits) && !local.contains("=?");
        let is_quoted = local == "\"\"" && !self.hidden.contains("=?");
        let domain = domain.strip_suffix('.').unwrap_or(domain);
        let is_good = (is_plain || is_quoted) && is_domain(domain);
        is_good.then(|| domains.insert(domain.to_lowercase())).map(drop)
    }
}

/// Domains of addresses in a name, encoded words apart.
fn named(name: &str) -> Vec<String> {
    let is_encoded = |word: &&str| {
        let inner = word.strip_prefix("=?").and_then(|word| word.strip_suffix("?="));
        inner.is_some_and(|inner| inner.split('?').count() == 3)
    };
    let words = name.split_whitespace().filter(|word| !is_encoded(word));
    let words = words.collect::<Vec<_>>().join(" ");
    let behind = words.split('@').skip(1).filter_map(|text| {
        let text = text.trim_start();
        let fits = |c: char| c.is_alphanumeric() || "-_.".contains(c);
        let end = text.find(|c| !fits(c)).unwrap_or(text.len());
        let domain = text.get(..end)?.trim_end_matches('.');
        (domain.contains('.') && is_domain(domain)).then(|| domain.to_lowercase())
    });
    behind.collect()
}

/// None where a quoted string, a comment, a bracket or a group has no end, or where an escape hides what begins or ends
/// one.
fn items(text: &str) -> Option<Vec<Item>> {
    let (mut items, mut item) = (Vec::new(), Item::default());
    let (mut bracket, mut group) = (false, false);
    for (c, is_plain) in marked(text)? {
        match c {
            _ if !is_plain => item.hidden.push(c),
            '<' | ',' | ';' if bracket => return None,
            '>' if !bracket => return None,
            ':' if !bracket => {
                let is_name = !group && !item.plain.contains(['@', '<']) && !item.hides_address();
                (group, item) = (is_name.then_some(true)?, Item::default());
            }
            ',' | ';' => {
                group &= c == ',';
                items.push(std::mem::take(&mut item));
            }
            _ => {
                bracket = c == '<' || bracket && c != '>';
                item.plain.push(c);
            }
        }
    }
    items.push(item);
    (!bracket && !group).then_some(items)
}

/// Without quoted strings and comments (RFC 5322 §3.2), on the same terms as [`marked`].
fn without_words(text: &str) -> Option<String> {
    let plain = marked(text)?
        .into_iter()
        .filter(|(c, is_plain)| *is_plain && *c != '"');
    Some(plain.map(|(c, _)| c).collect())
}

/// Each character, and whether it is outside of quoted strings and comments, a space for a comment's begin. None where one
/// of those has no end, or where an escape outside of them hides what begins or ends one.
fn marked(text: &str) -> Option<Vec<(char, bool)>> {
    let (mut marked, mut depth, mut quoted) = (Vec::new(), 0_usize, false);
    let mut characters = text.chars().peekable();
    while let Some(c) = characters.next() {
        let is_plain = depth == 0 && !quoted;
        match c {
            '\\' if is_plain => {
                let hidden = characters.peek().is_none_or(|next| "\\\"()<>,;@".contains(*next));
                (!hidden).then(|| marked.push((c, true)))?;
            }
            '\\' => marked.push((characters.next()?, false)),
            '"' if depth == 0 => {
                quoted = !quoted;
                marked.push((c, true));
            }
            '(' if !quoted => {
                depth += 1;
                marked.push((' ', true));
            }
            ')' if !quoted => depth = depth.checked_sub(1)?,
            _ => marked.push((c, is_plain)),
        }
    }
    (depth == 0 && !quoted).then_some(marked)
}
