//! What the shipped policies share: reading settings, and the few shapes that settings are made of.
//!
//! Settings arrive as one JSON object (`config.json`), made by the host from the YAML that an administrator
//! wrote. Whatever is not understood is refused with a sentence for that person; nothing is guessed.

mod network;
#[cfg(test)]
mod tests;
mod units;

pub use network::{Network, listed, neighbourhood};
pub use units::{Seconds, Size};

use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer};
use std::fmt;
use std::str::Chars;

/// Reads the settings. No settings at all are the same as `{}`.
///
/// # Errors
/// The sentence that the administrator reads.
pub fn parse<T: DeserializeOwned>(json: &str) -> Result<T, String> {
    let json = match json.trim() {
        "" | "null" => "{}",
        written => written,
    };
    serde_json::from_str(json).map_err(|error| {
        let text = error.to_string();
        // The position is one in the generated JSON, not in the file that a person edits.
        text.split_once(" at line ")
            .map_or(text.clone(), |(what, _)| what.to_owned())
    })
}

/// A value that YAML may have read as a number or as text.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub enum Scalar {
    Number(u64),
    Text(String),
}

impl fmt::Display for Scalar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => number.fmt(f),
            Self::Text(text) => text.fmt(f),
        }
    }
}

/// One value or a list of them, as people write YAML.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OneOrMany<T> {
    One(T),
    Many(Vec<T>),
}

/// Not by trying one after the other: that would lose what is wrong with the value.
impl<'de, T: DeserializeOwned> Deserialize<'de> for OneOrMany<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = serde_json::Value::deserialize(deserializer)?;
        match value.is_array() {
            true => serde_json::from_value(value).map(Self::Many),
            false => serde_json::from_value(value).map(Self::One),
        }
        .map_err(D::Error::custom)
    }
}

impl<T> OneOrMany<T> {
    #[must_use]
    pub fn as_slice(&self) -> &[T] {
        match self {
            Self::One(one) => std::slice::from_ref(one),
            Self::Many(many) => many,
        }
    }
}

impl<T> Default for OneOrMany<T> {
    fn default() -> Self {
        Self::Many(Vec::new())
    }
}

/// Does `text` match `pattern`? `*` stands for any run, `?` for one character; case does not matter.
#[must_use]
pub fn matches(pattern: &str, text: &str) -> bool {
    let (pattern, text) = (pattern.to_lowercase(), text.to_lowercase());
    let (mut pattern, mut text) = (pattern.chars(), text.chars());
    // Behind the last star, and where the text may go on from there: the only place to fall back to.
    let mut star: Option<(Chars<'_>, Chars<'_>)> = None;
    loop {
        match (pattern.next(), text.clone().next()) {
            (None, None) => return true,
            (Some('*'), _) => star = Some((pattern.clone(), text.clone())),
            (Some(wanted), Some(found)) if wanted == '?' || wanted == found => _ = text.next(),
            _ => {
                let Some((after, from)) = star.as_mut() else {
                    return false;
                };
                if from.next().is_none() {
                    return false;
                }
                (pattern, text) = (after.clone(), from.clone());
            }
        }
    }
}

/// The part behind the last `@`, or nothing.
#[must_use]
pub fn domain_of(address: &str) -> &str {
    address.rsplit_once('@').map_or("", |(_, domain)| domain)
}

/// Is this a name of a header field (RFC 5322 §2.2) that the gateway takes, of 76 characters at most?
#[must_use]
pub fn is_field_name(name: &str) -> bool {
    (1..=76).contains(&name.len())
        && name
            .bytes()
            .all(|octet| octet.is_ascii_graphic() && octet != b':')
}
