//! The text of a subject: which tags it bears, and how it looks with those that are missing.

/// Does a subject already begin with this tag? What correspondents and lists put before it is skipped
/// (`Re: `, `AW: `, `[list] `), but nothing else: a tag hidden behind other words does not count.
fn begins_with(subject: &str, tag: &str) -> bool {
    let mut rest = subject.trim_start();
    loop {
        let wanted = tag.chars().flat_map(char::to_lowercase);
        if rest
            .chars()
            .flat_map(char::to_lowercase)
            .take(wanted.clone().count())
            .eq(wanted)
        {
            return true;
        }
        let bracketed = rest.strip_prefix('[').and_then(|inner| inner.split_once(']'));
        let replied = rest.split_once([':', '：']).filter(|(word, _)| {
            (1..=6).contains(&word.chars().count()) && !word.contains(char::is_whitespace)
        });
        let Some((_, behind)) = bracketed.filter(|(label, _)| label.len() <= 40).or(replied) else {
            return false;
        };
        rest = behind.trim_start();
    }
}

/// The subject with its tags, or none if it bears them all. `raw` is what is in the message, `decoded`
/// the same for a reader.
pub(crate) fn tagged(tags: &[&str], raw: &[u8], decoded: &str) -> Option<String> {
    let missing: Vec<&str> = tags
        .iter()
        .copied()
        .filter(|tag| !begins_with(decoded, tag))
        .collect();
    if missing.is_empty() {
        return None;
    }
    let tag = missing.join(" ");
    // Octets that are neither ASCII nor UTF-8 cannot be kept: the host's reading of them is written instead.
    let kept = std::str::from_utf8(raw).map_or_else(|_| encoded(decoded), |text| text.trim().to_owned());
    if kept.is_empty() {
        return Some(if tag.is_ascii() { tag } else { encoded(&tag) });
    }
    if tag.is_ascii() {
        return Some(format!("{tag} {kept}"));
    }
    // RFC 2047 §6.2: white space between two encoded words is not shown, so ours goes into the word.
    let word = if kept.starts_with("=?") {
        encoded(&format!("{tag} "))
    } else {
        encoded(&tag)
    };
    Some(format!("{word} {kept}"))
}

/// RFC 2047 §2 and §4.2: encoded words of at most 75 characters, split between characters.
pub(crate) fn encoded(text: &str) -> String {
    let mut words = vec![String::new()];
    for character in text.chars() {
        let octets = character.to_string().into_bytes();
        let escaped: String = match character {
            ' ' => "_".to_owned(),
            plain if plain.is_ascii_alphanumeric() => plain.to_string(),
            _ => octets.iter().map(|octet| format!("={octet:02X}")).collect(),
        };
        match words.last_mut() {
            Some(word) if word.len() + escaped.len() <= 75 - "=?utf-8?Q??=".len() => word.push_str(&escaped),
            _ => words.push(escaped),
        }
    }
    words
        .iter()
        .map(|word| format!("=?utf-8?Q?{word}?="))
        .collect::<Vec<_>>()
        .join(" ")
}
