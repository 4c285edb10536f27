//! File names of attachments: as they stand in header fields, as a desktop would act on them, and as a
//! person may be shown them.

use std::collections::BTreeMap;

/// Characters of a name that count, from its end. No file system keeps as many, and patterns against
/// megabytes would use up the time of the call.
const MOST: usize = 1000;

/// The name that a desktop would act on: without folder, stream (`x.exe:y`), the dots and blanks at the end
/// that Windows drops, and the invisible characters that turn the order of letters around.
pub(crate) fn plain(name: &str) -> String {
    let name: String = name.chars().filter(|c| !invisible(*c)).collect();
    let file = name.rsplit(['/', '\\']).next().unwrap_or_default();
    let file = file.split(':').next().unwrap_or_default();
    let file = file
        .trim()
        .trim_end_matches(|c: char| c == '.' || c.is_whitespace());
    let from = file.char_indices().rev().nth(MOST - 1);
    from.and_then(|(at, _)| file.get(at..)).unwrap_or(file).to_owned()
}

fn invisible(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

/// Fit for one line of an SMTP reply, which is ASCII.
pub(crate) fn shown(name: &str) -> String {
    let printable = |c: char| {
        if c.is_ascii_graphic() && c != '"' || c == ' ' {
            c
        } else {
            '?'
        }
    };
    name.chars().take(60).map(printable).collect()
}

/// The values of `name` and `filename` in a Content-Type or Content-Disposition field.
///
/// RFC 2231: a value may be cut into numbered sections and percent-encoded. A value may also be encoded as
/// RFC 2047 forbids but many do; the host has decoded that.
pub(crate) fn named(field: &str) -> Vec<String> {
    let mut quoted = false;
    let parameters = field.split(|c| {
        quoted ^= c == '"';
        c == ';' && !quoted
    });
    let mut values: BTreeMap<String, String> = BTreeMap::new();
    for (key, value) in parameters
        .skip(1)
        .filter_map(|parameter| parameter.split_once('='))
    {
        let key = key.trim().to_ascii_lowercase();
        let (attribute, sections) = key.split_once('*').unwrap_or((&key, ""));
        if !matches!(attribute, "name" | "filename") {
            continue;
        }
        let value = value.trim().trim_matches('"');
        let value = if key.ends_with('*') {
            percent_decoded(value)
        } else {
            value.to_owned()
        };
        // `filename` and `filename*` may differ on purpose: only numbered sections make one value.
        let whole = if sections.starts_with(|c: char| c.is_ascii_digit()) {
            "sections"
        } else {
            &key
        };
        values
            .entry(format!("{attribute} {whole}"))
            .or_default()
            .push_str(&value);
    }
    values.into_values().collect()
}

/// Decodes `utf-8''na%C3%AFve.exe`. The charset does not matter here: what is refused is ASCII in all of them.
fn percent_decoded(value: &str) -> String {
    let mut pieces = value.rsplit('\'').next().unwrap_or_default().split('%');
    let mut octets = pieces.next().unwrap_or_default().as_bytes().to_vec();
    for piece in pieces {
        let escaped = piece.get(..2).and_then(|hex| u8::from_str_radix(hex, 16).ok());
        match escaped.zip(piece.get(2..)) {
            Some((octet, rest)) => {
                octets.push(octet);
                octets.extend_from_slice(rest.as_bytes());
            }
            None => octets.extend_from_slice(piece.as_bytes()),
        }
    }
    String::from_utf8_lossy(&octets).into_owned()
}
