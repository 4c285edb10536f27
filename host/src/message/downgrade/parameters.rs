//! MIME parameters that are not ASCII go (RFC 6858 §2.2).

use super::walk::{Level, walk, without_comments};

/// The field body as tokens; None where the value itself, before all parameters, is not ASCII.
pub(super) fn tokens(body: &[u8]) -> Option<Vec<String>> {
    let body = without_comments(body);
    let mut parts = Vec::new();
    let mut from = 0;
    for (at, octet, level) in walk(&body) {
        if octet == b';' && level == Level::Top {
            parts.push(body.get(from..at).unwrap_or_default());
            from = at + 1;
        }
    }
    parts.push(body.get(from..).unwrap_or_default());
    let mut parts = parts.into_iter().map(<[u8]>::trim_ascii);
    let value = ascii(parts.next()?)?;
    let mut tokens = vec![value];
    for parameter in parts.filter_map(ascii) {
        if let Some(last) = tokens.last_mut() {
            last.push(';');
        }
        tokens.push(parameter);
    }
    Some(tokens)
}

fn ascii(part: &[u8]) -> Option<String> {
    let part = std::str::from_utf8(part).ok()?;
    (part.is_ascii() && !part.is_empty()).then(|| part.to_owned())
}
