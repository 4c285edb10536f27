//! A value of `kv` as it is written in a case: text, a whole number (a counter as `increment` keeps it), or
//! octets in hexadecimal, `{ hex: 00ff }`.

use bytes::Bytes;
use serde::de::{Deserialize, Deserializer, Error as _};
use std::fmt::Write as _;

/// See the module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Value(pub(super) Bytes);

const MEND: &str = "is no value; write text, a whole number (a counter) or { hex: 00ff }";

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let written = serde_json::Value::deserialize(deserializer)?;
        match octets(&written) {
            Some(octets) => Ok(Self(octets)),
            None => Err(D::Error::custom(format!("`{written}` {MEND}"))),
        }
    }
}

fn octets(written: &serde_json::Value) -> Option<Bytes> {
    if let Some(text) = written.as_str() {
        return Some(Bytes::copy_from_slice(text.as_bytes()));
    }
    if let Some(number) = written.as_i64() {
        return Some(Bytes::copy_from_slice(&number.to_be_bytes()));
    }
    let fields = written.as_object().filter(|fields| fields.len() == 1)?;
    hexadecimal(fields.get("hex")?.as_str()?)
}

fn hexadecimal(text: &str) -> Option<Bytes> {
    let digits: Option<Vec<u8>> = text
        .chars()
        .filter(|c| *c != ' ')
        .map(|c| c.to_digit(16).and_then(|digit| u8::try_from(digit).ok()))
        .collect();
    let digits = digits.filter(|digits| digits.len().is_multiple_of(2))?;
    let pairs = digits.as_chunks::<2>().0.iter();
    Some(pairs.map(|[high, low]| high << 4 | low).collect())
}

/// As a person reads it: text where it is printable, else hexadecimal, and what a counter stands at.
pub(super) fn shown(octets: &[u8]) -> String {
    if let Ok(text) = std::str::from_utf8(octets)
        && !text.contains(char::is_control)
    {
        return format!("{text:?}");
    }
    let mut shown = "hex ".to_owned();
    for octet in octets {
        let _ = write!(shown, "{octet:02x}");
    }
    match <[u8; 8]>::try_from(octets) {
        Ok(counter) => format!("{shown} (as a counter {})", i64::from_be_bytes(counter)),
        Err(_) => shown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(yaml: &str) -> Result<Value, String> {
        serde_yaml::from_str(yaml).map_err(|error| error.to_string())
    }

    #[test]
    fn text_counters_and_octets_are_told_apart() {
        assert_eq!(value("abc").unwrap().0, "abc");
        assert_eq!(value("\"7\"").unwrap().0, "7");
        assert_eq!(value("7").unwrap().0, &7_i64.to_be_bytes()[..]);
        assert_eq!(value("-1").unwrap().0, &[255; 8][..]);
        assert_eq!(value("{ hex: \"00 fF\" }").unwrap().0, &[0, 255][..]);
        assert_eq!(value("{ hex: \"\" }").unwrap().0, "");
        for bad in [
            "1.5",
            "[]",
            "{ hex: \"0\" }",
            "{ hex: 0g }",
            "{ hexx: \"00\" }",
            "{}",
        ] {
            assert!(
                value(bad).unwrap_err().contains("write text, a whole number"),
                "{bad}"
            );
        }
    }

    #[test]
    fn what_is_no_text_is_shown_in_hexadecimal() {
        assert_eq!(shown(b"a \"b\""), r#""a \"b\"""#);
        assert_eq!(shown(&[0, 255]), "hex 00ff");
        assert_eq!(
            shown(&7_i64.to_be_bytes()),
            "hex 0000000000000007 (as a counter 7)"
        );
    }
}
