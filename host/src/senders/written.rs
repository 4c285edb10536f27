//! The domains of all that looks like an address in a From field (RFC 5322 §3.6.2), by a reading that knows no lists,
//! names and groups: whatever is written behind an `@`. Where the parser finds others, the field is malformed, and a reader
//! may be shown an author whom the parser does not name.

use super::spf;
use std::collections::BTreeSet;

/// As A-labels, quoted strings and comments apart. None where one of those, or a bracket, has no end, or where there is
/// a list in brackets, or nothing behind an `@`.
pub(super) fn domains(field: &[u8]) -> Option<BTreeSet<String>> {
    let field = String::from_utf8_lossy(field);
    let plain = without_words(field.split_once(':')?.1)?;
    if !has_plain_brackets(&plain) {
        return None;
    }
    let words = without_name(&plain)
        .split_ascii_whitespace()
        .filter(|word| !is_encoded(word));
    let behind = words.flat_map(|word| word.split('@').skip(1));
    let domains = behind.map(|text| {
        let end = text.find(['<', '>', ',', ';']).unwrap_or(text.len());
        let domain = text.get(..end).unwrap_or_default().trim_end_matches('.');
        (!domain.is_empty()).then(|| spf::ascii(domain))
    });
    domains.collect()
}

/// None where a quoted string or a comment has no end, or where an escape outside of them hides what begins or ends one.
fn without_words(text: &str) -> Option<String> {
    let (mut kept, mut depth, mut quoted) = (String::new(), 0_usize, false);
    let mut characters = text.chars().peekable();
    while let Some(c) = characters.next() {
        let is_plain = depth == 0 && !quoted;
        match c {
            '\\' if is_plain => {
                let hidden = characters.peek().is_none_or(|next| "\\\"()<>,;@".contains(*next));
                (!hidden).then(|| kept.push(c))?;
            }
            '\\' => _ = characters.next()?,
            '"' if depth == 0 => quoted = !quoted,
            '(' if !quoted => depth += 1,
            ')' if depth > 0 && !quoted => depth -= 1,
            c if is_plain => kept.push(c),
            _ => {}
        }
    }
    (depth == 0 && !quoted).then_some(kept)
}

/// Without the name before a single address in brackets, in which many write `@` without the quotes that it would
/// need: no reader takes it for the author's address.
fn without_name(text: &str) -> &str {
    match text.trim_end().split_once('<') {
        Some((name, address))
            if address.find(['<', '>']) == Some(address.len() - 1) && !name.contains([',', ';']) =>
        {
            address
        }
        _ => text,
    }
}

/// Whether each `<` has its `>`, and nothing between them divides a list.
fn has_plain_brackets(text: &str) -> bool {
    let mut is_open = false;
    for c in text.chars() {
        match (c, is_open) {
            ('<', false) => is_open = true,
            ('>', true) => is_open = false,
            ('<' | ',' | ';', true) | ('>', false) => return false,
            _ => {}
        }
    }
    !is_open
}

/// A name in RFC 2047's words, in which some write `@` as it is.
fn is_encoded(word: &str) -> bool {
    let inner = word.strip_prefix("=?").and_then(|word| word.strip_suffix("?="));
    inner.is_some_and(|inner| inner.split('?').count() == 3 && !inner.contains(['<', '>', ',', ';', '\\']))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_looks_like_an_address_is_found_wherever_it_stands() {
        for (field, found) in [
            ("Ann <ann@Shop.example>", "shop.example"),
            ("ann@shop.example (Ann, of <b@y.example>)", "shop.example"),
            ("\"ann@bank.example, or \\\"Al\" <x@evil.example>", "evil.example"),
            ("\"a@b\"@x.example", "x.example"),
            ("Two: a@x.example, <b@y.example.>;", "x.example y.example"),
            ("ann@bank.example\r\n <x@evil.example>", "evil.example"),
            (
                "a@x.example, ann@bank.example <x@evil.example>",
                "bank.example evil.example x.example",
            ),
            ("<x@evil.example> ceo@bank.example", "bank.example evil.example"),
            ("<ceo@bank.example@evil.example>", "bank.example evil.example"),
            ("=?utf-8?q?ann@shop.example?= <x@evil.example>", "evil.example"),
            (
                "=?utf-8?q?ann@bank.example,?= <x@evil.example>",
                "bank.example evil.example",
            ),
            ("SHOP\\ann <ann@x.example> :-)", "x.example"),
            ("a@b\u{fc}cher.example", "xn--bcher-kva.example"),
            ("a@[IPv6:2001:db8::1]", "[ipv6:2001:db8::1]"),
            ("nobody", ""),
        ] {
            let domains = domains(format!("From: {field}\r\n").as_bytes());
            let domains = domains.map(|domains| domains.into_iter().collect::<Vec<_>>().join(" "));
            assert_eq!(domains.as_deref(), Some(found), "{field}");
        }
    }

    #[test]
    fn what_has_no_end_and_a_list_in_brackets_are_malformed() {
        for field in [
            "Ann <ceo@bank.example, x@evil.example>",
            "Ann <ceo@bank.example; x@evil.example>",
            "Ann <ceo@bank.example <x@evil.example>",
            "<x@evil.example>> ceo@bank.example",
            "Ann <x@evil.example",
            "\"Ann <x@evil.example>",
            "Ann (of <x@evil.example>",
            "Ann \\\" <x@evil.example> \\\"",
            "<x@>",
            "x@ evil.example",
        ] {
            assert_eq!(domains(format!("From: {field}\r\n").as_bytes()), None, "{field}");
        }
        assert_eq!(domains(b"From"), None);
    }
}
