//! The authors of a From field (RFC 5322 §3.6.2) by a strict reading: what is not written as the grammar wants it, names
//! apart, is malformed, for a reader may be shown an author whom the parser does not name.

use super::spf;
use std::collections::BTreeSet;

/// Octets of a domain: RFC 1035 §3.1 leaves 253, of which `_dmarc.` takes its part.
const LONGEST: usize = 253 - "_dmarc.".len();

/// Domains as A-labels.
#[derive(Debug, Default)]
pub(super) struct Written {
    pub(super) of_addresses: BTreeSet<String>,
    /// Of addresses in the names before brackets, outside of quotes: some readers take those for the author's.
    pub(super) of_names: BTreeSet<String>,
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

/// None where the field is malformed.
pub(super) fn written(field: &[u8]) -> Option<Written> {
    let field = String::from_utf8_lossy(field);
    let mut written = Written::default();
    for item in items(field.split_once(':')?.1)? {
        item.read(&mut written)?;
    }
    Some(written)
}

/// None where a quoted string, a comment, a bracket or a group has no end, or where an escape hides what begins or ends
/// one.
fn items(text: &str) -> Option<Vec<Item>> {
    let (mut items, mut item) = (Vec::new(), Item::default());
    let (mut depth, mut quoted, mut bracket, mut group) = (0_usize, false, false, false);
    let mut characters = text.chars().peekable();
    while let Some(c) = characters.next() {
        let is_plain = depth == 0 && !quoted;
        match c {
            '\\' if is_plain => {
                let hidden = characters.peek().is_none_or(|next| "\\\"()<>,;@".contains(*next));
                (!hidden).then(|| item.plain.push(c))?;
            }
            '\\' => item.hidden.push(characters.next()?),
            '"' if depth == 0 => {
                quoted = !quoted;
                item.plain.push(c);
            }
            '(' if !quoted => {
                depth += 1;
                item.plain.push(' ');
            }
            ')' if depth > 0 && !quoted => depth -= 1,
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
    (depth == 0 && !quoted && !bracket && !group).then_some(items)
}

impl Item {
    /// Where there is no address, readers may find one in an encoded word, a quoted string or a comment.
    fn hides_address(&self) -> bool {
        self.hidden.contains('@') || self.plain.contains("=?") || self.hidden.contains("=?")
    }

    fn read(&self, written: &mut Written) -> Option<()> {
        let plain = self.plain.trim_matches(BLANK);
        let address = match plain.split_once('<') {
            Some((name, behind)) => {
                written.of_names.extend(named(name));
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
        let domain = (is_plain || is_quoted).then(|| dns_name(domain))??;
        written.of_addresses.insert(domain);
        Some(())
    }
}

/// Domains of addresses in a name, encoded words apart.
fn named(name: &str) -> Vec<String> {
    let words = name.split_whitespace().filter(|word| !is_encoded(word));
    let words = words.collect::<Vec<_>>().join(" ");
    let behind = words.split('@').skip(1).filter_map(|text| {
        let text = text.trim_start();
        let fits = |c: char| c.is_alphanumeric() || "-_.".contains(c);
        let end = text.find(|c| !fits(c)).unwrap_or(text.len());
        dns_name(text.get(..end)?).filter(|domain| domain.contains('.'))
    });
    behind.collect()
}

/// As A-labels, without a dot at its end. None where DNS has no such name.
fn dns_name(domain: &str) -> Option<String> {
    let domain = spf::ascii(domain.strip_suffix('.').unwrap_or(domain));
    let in_label = |c: u8| c.is_ascii_alphanumeric() || matches!(c, b'-' | b'_');
    let is_label = |label: &str| {
        (1..=63).contains(&label.len()) && !label.starts_with('-') && label.bytes().all(in_label)
    };
    (domain.len() <= LONGEST && domain.split('.').all(is_label)).then_some(domain)
}

/// A name in RFC 2047's words, in which some write `@` as it is.
fn is_encoded(word: &str) -> bool {
    let inner = word.strip_prefix("=?").and_then(|word| word.strip_suffix("?="));
    inner.is_some_and(|inner| inner.split('?').count() == 3)
}

#[cfg(test)]
mod tests {
    use super::*;
    use hickory_resolver::proto::rr::Name;

    /// Fields, the domains of their addresses, and those in names. The shipped policies read the same.
    #[derive(serde::Deserialize)]
    struct Fields {
        malformed: Vec<String>,
        read: Vec<(String, String, String)>,
    }

    fn fields() -> Fields {
        serde_json::from_str(include_str!("../../../tests/from-fields.json")).unwrap()
    }

    fn read(field: &str) -> Option<(String, String)> {
        let written = written(format!("From: {field}\r\n").as_bytes())?;
        let joined = |domains: BTreeSet<String>| domains.into_iter().collect::<Vec<_>>().join(" ");
        Some((joined(written.of_addresses), joined(written.of_names)))
    }

    #[test]
    fn the_domains_of_addresses_are_found_and_those_in_names() {
        for (field, addresses, names) in fields().read {
            assert_eq!(read(&field), Some((addresses, names)), "{field}");
        }
        let labels = ("xn--bcher-kva.example".to_owned(), String::new());
        assert_eq!(read("a@b\u{fc}cher.example"), Some(labels));
        let folded = ("evil.example".to_owned(), "bank.example".to_owned());
        assert_eq!(read("ann@bank.example\r\n <x@evil.example>"), Some(folded));
        assert!(read("Ann :) <ann@x.example>").is_none(), "a group without an end");
        assert!(read("Ann ;) <ann@x.example>").is_some());
    }

    #[test]
    fn what_readers_may_find_another_author_in_is_malformed() {
        for field in fields().malformed {
            assert_eq!(read(&field), None, "{field}");
        }
        assert!(written(b"From").is_none());
    }

    #[test]
    fn a_domain_leaves_room_for_the_name_of_its_record() {
        let label = "a".repeat(63);
        let longest = format!("{label}.{label}.{label}.{}", "a".repeat(54));
        assert_eq!(longest.len(), LONGEST);
        assert!(read(&format!("x@{longest}")).is_some());
        assert!(Name::from_str_relaxed(format!("_dmarc.{longest}.")).is_ok());
        assert!(read(&format!("x@a{longest}")).is_none());
        assert!(read(&format!("x@{longest}a")).is_none());
    }

    #[test]
    fn the_library_can_ask_about_every_domain() {
        for domain in [
            "x_y.example",
            "ab--c-.example",
            "xn--zzz-.example",
            "1.2",
            "_.example",
        ] {
            let record = format!("_dmarc.{}.", dns_name(domain).unwrap());
            assert!(Name::from_str_relaxed(&record).is_ok(), "{record}");
        }
    }
}
