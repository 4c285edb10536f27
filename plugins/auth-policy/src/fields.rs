//! What header fields say that is no fact of the contract: the author's domain, and who sealed last.

/// The domain in From, in lower case. None where there are several, or none, or a field cannot be read: then no
/// exception is meant.
pub(crate) fn only_domain(fields: &[Vec<u8>]) -> Option<String> {
    let mut domains = Vec::new();
    for field in fields {
        let text = without_words(&String::from_utf8_lossy(field))?;
        for author in text.split([',', ';']) {
            domains.extend(domains_of(author)?);
        }
    }
    domains.sort();
    domains.dedup();
    match <[String; 1]>::try_from(domains) {
        Ok([only]) if !only.is_empty() => Some(only),
        _ => None,
    }
}

/// Of one author. A name that looks like an address must not be taken for one: only what stands in brackets counts,
/// if there are any.
fn domains_of(author: &str) -> Option<Vec<String>> {
    let domain = |address: &str| {
        let ends = |c: char| !(c.is_alphanumeric() || "-._".contains(c));
        let (_, behind) = address.rsplit_once('@')?;
        Some(behind.trim().split(ends).next()?.to_lowercase())
    };
    let mut brackets = author.split('<');
    let plain = brackets.next()?;
    let mut named = brackets.peekable();
    if named.peek().is_none() {
        return Some(domain(plain).into_iter().collect());
    }
    named.map(|rest| domain(rest.split_once('>')?.0)).collect()
}

/// Without quoted strings and comments (RFC 5322 §3.2). None where one of them has no end.
fn without_words(text: &str) -> Option<String> {
    let (mut kept, mut depth, mut quoted) = (String::new(), 0_usize, false);
    let mut characters = text.chars();
    while let Some(c) = characters.next() {
        match c {
            '\\' => {
                characters.next()?;
            }
            '"' if depth == 0 => quoted = !quoted,
            '(' if !quoted => depth += 1,
            ')' if !quoted => depth = depth.checked_sub(1)?,
            c if depth == 0 && !quoted => kept.push(c),
            _ => {}
        }
    }
    (depth == 0 && !quoted).then_some(kept)
}

/// A tag of a list of them, `i=1; d=example.org`, without white space.
fn tag(field: &str, name: &str) -> Option<String> {
    let mut tags = field.split(';').filter_map(|tag| tag.split_once('='));
    let (_, value) = tags.find(|(key, _)| key.trim() == name)?;
    Some(value.split_whitespace().collect())
}

/// Who made the last seal of a chain that is whole, where DMARC had passed by what it says itself (RFC 8617 §7.2.1).
pub(crate) fn sealer(header: &impl Fn(&str) -> Vec<Vec<u8>>) -> Option<String> {
    let numbered = |name: &str| -> Vec<(u32, String)> {
        let texts = header(name)
            .into_iter()
            .map(|field| String::from_utf8_lossy(&field).into_owned());
        texts
            .filter_map(|text| Some((tag(&text, "i")?.parse().ok()?, text)))
            .collect()
    };
    let (last, seal) = numbered("ARC-Seal")
        .into_iter()
        .max_by_key(|(number, _)| *number)?;
    let results = numbered("ARC-Authentication-Results");
    let (_, results) = results.into_iter().find(|(number, _)| *number == last)?;
    let passed = results
        .split(';')
        .skip(1)
        .any(|result| result.split_whitespace().next() == Some("dmarc=pass"));
    tag(&seal, "d")
        .filter(|_| passed)
        .map(|domain| domain.to_lowercase())
}
