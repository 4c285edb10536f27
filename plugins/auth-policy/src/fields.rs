//! What header fields say that is no fact of the contract: the author's domain, and who sealed last.

/// The domain in From, in lower case. None where there are several, or none: then no exception is meant.
pub(crate) fn only_domain(fields: &[Vec<u8>]) -> Option<String> {
    let text = fields
        .iter()
        .map(|field| String::from_utf8_lossy(field))
        .collect::<Vec<_>>()
        .join(",");
    let domain = |behind: &str| -> String {
        let ends = |c: char| !(c.is_alphanumeric() || "-._".contains(c));
        behind.split(ends).next().unwrap_or_default().to_lowercase()
    };
    // A name that looks like an address must not be taken for one: only what stands in the brackets counts, if there are any.
    let addresses: Vec<&str> = match text.contains('<') {
        true => text
            .split('<')
            .skip(1)
            .filter_map(|rest| rest.split('>').next())
            .collect(),
        false => text.split(',').collect(),
    };
    let mut domains: Vec<String> = addresses
        .iter()
        .filter_map(|one| Some(domain(one.rsplit_once('@')?.1)))
        .collect();
    domains.sort();
    domains.dedup();
    match <[String; 1]>::try_from(domains) {
        Ok([only]) if !only.is_empty() => Some(only),
        _ => None,
    }
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
