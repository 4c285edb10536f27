//! Parameters of MAIL and RCPT (RFC 5321 §4.1.2): SIZE, BODY, SMTPUTF8, AUTH.
//!
//! What is malformed or said twice is 501. Parameters of extensions that are not offered are 555, those of
//! DSN (RFC 3461) among them, which are read first so that a malformed one is told as such.

#[cfg(test)]
mod tests;

use super::{BodyType, Reply};

/// What MAIL's parameters said.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct MailParameters {
    pub(super) size: Option<u64>,
    pub(super) body: BodyType,
    pub(super) smtputf8: bool,
}

/// The parameters behind a reverse path.
pub(super) fn mail(text: &str) -> Result<MailParameters, Reply> {
    let mut parameters = MailParameters::default();
    for (keyword, value) in split(text)? {
        match (keyword.as_str(), value) {
            ("SIZE", Some(value)) => parameters.size = Some(size(value)?),
            ("BODY", Some(value)) => parameters.body = body(value)?,
            ("SMTPUTF8", None) => parameters.smtputf8 = true,
            // RFC 4954 §5: who submitted it elsewhere. Nobody is trusted to say so: as if `<>` was said.
            ("AUTH", Some(value)) => check(value == "<>" || is_xtext(value))?,
            ("RET", Some(value)) => offered_later(is_one_of(value, &["FULL", "HDRS"]))?,
            ("ENVID", Some(value)) => offered_later(is_xtext(value) && value.len() <= 100)?,
            ("SIZE" | "BODY" | "SMTPUTF8" | "AUTH" | "RET" | "ENVID", _) => {
                return Err(Reply::bad_parameter());
            }
            _ => return Err(Reply::unknown_parameter()),
        }
    }
    Ok(parameters)
}

/// The parameters behind a forward path: none is offered.
pub(super) fn rcpt(text: &str) -> Result<(), Reply> {
    for (keyword, value) in split(text)? {
        match (keyword.as_str(), value) {
            ("NOTIFY", Some(value)) => offered_later(is_notify(value))?,
            ("ORCPT", Some(value)) => offered_later(is_original_recipient(value))?,
            ("NOTIFY" | "ORCPT", None) => return Err(Reply::bad_parameter()),
            _ => return Err(Reply::unknown_parameter()),
        }
    }
    Ok(())
}

/// Keywords in upper case with their values; none twice.
fn split(text: &str) -> Result<Vec<(String, Option<&str>)>, Reply> {
    let mut parameters: Vec<(String, Option<&str>)> = Vec::new();
    for word in text.split(' ').filter(|word| !word.is_empty()) {
        let (keyword, value) = match word.split_once('=') {
            Some((keyword, value)) => (keyword, Some(value)),
            None => (word, None),
        };
        check(is_keyword(keyword) && value.is_none_or(is_value))?;
        let keyword = keyword.to_ascii_uppercase();
        check(parameters.iter().all(|(said, _)| *said != keyword))?;
        parameters.push((keyword, value));
    }
    Ok(parameters)
}

fn check(good: bool) -> Result<(), Reply> {
    if good { Ok(()) } else { Err(Reply::bad_parameter()) }
}

/// DSN is not offered.
fn offered_later(good: bool) -> Result<(), Reply> {
    check(good)?;
    Err(Reply::unknown_parameter())
}

/// `esmtp-keyword`.
fn is_keyword(word: &str) -> bool {
    !word.starts_with('-') && !word.is_empty() && word.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
}

/// `esmtp-value`, with RFC 6531 §3.3's UTF-8.
fn is_value(word: &str) -> bool {
    !word.is_empty() && word.chars().all(|c| c != '=' && !c.is_control() && c != ' ')
}

/// RFC 1870 §3: at most 20 digits. More than fits is more than anyone takes.
fn size(value: &str) -> Result<u64, Reply> {
    check(value.len() <= 20 && value.bytes().all(|byte| byte.is_ascii_digit()))?;
    Ok(value.parse().unwrap_or(u64::MAX))
}

fn body(value: &str) -> Result<BodyType, Reply> {
    match value.to_ascii_uppercase().as_str() {
        "7BIT" => Ok(BodyType::SevenBit),
        "8BITMIME" => Ok(BodyType::EightBitMime),
        "BINARYMIME" => Err(Reply::unknown_parameter()),
        _ => Err(Reply::bad_parameter()),
    }
}

/// RFC 3461 §4.1: `NEVER`, or a list without it.
fn is_notify(value: &str) -> bool {
    let event = |word: &str| is_one_of(word, &["SUCCESS", "FAILURE", "DELAY"]);
    value.eq_ignore_ascii_case("NEVER") || value.split(',').all(event)
}

/// RFC 3461 §4.2: `addr-type;xtext`, or UTF-8 behind the type of RFC 6533 §3.
fn is_original_recipient(value: &str) -> bool {
    let Some((kind, address)) = value.split_once(';') else {
        return false;
    };
    let fits = is_xtext(address) || kind.eq_ignore_ascii_case("utf-8");
    is_keyword(kind) && !address.is_empty() && fits && value.len() <= 500
}

fn is_one_of(value: &str, words: &[&str]) -> bool {
    words.iter().any(|word| word.eq_ignore_ascii_case(value))
}

/// RFC 3461 §4: printable ASCII but `+` and `=`, or `+` and two upper-case hexadecimal digits.
fn is_xtext(value: &str) -> bool {
    let mut bytes = value.bytes();
    let hex = |byte: Option<u8>| byte.is_some_and(|b| b.is_ascii_digit() || (b'A'..=b'F').contains(&b));
    while let Some(byte) = bytes.next() {
        let good = match byte {
            b'+' => hex(bytes.next()) && hex(bytes.next()),
            _ => byte.is_ascii_graphic() && byte != b'=',
        };
        if !good {
            return false;
        }
    }
    !value.is_empty()
}
