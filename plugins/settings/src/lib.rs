//! What the shipped policies share: reading settings, and the shapes that settings are made of.
//!
//! Settings arrive as one JSON object (`config.json`), made by the host from the YAML that an administrator
//! wrote. Whatever is not understood is refused with a sentence for that person; nothing is guessed.

mod condition;
mod fields;
mod html;
mod lines;
mod network;
mod patterns;
#[cfg(test)]
mod tests;
mod text;
mod units;

pub use condition::{Condition, Mail};
pub use fields::Known;
pub use html::shown;
pub use lines::{Text, first, lines, plain};
pub use network::{Network, listed, listing, neighbourhood, reversed};
pub use patterns::{closest, fits, matches, named, same};
pub use text::{Address, FieldName, Words, Zone, addresses, domain_of, domains, is_domain};
pub use units::{Bit, Percent, Score, Seconds, Size, Within, reaches};

use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer};
use std::fmt;
use std::ops::Deref;

/// Reads the settings. No settings at all are the same as `{}`.
///
/// # Errors
/// The sentence that the administrator reads, behind the place where the settings are wrong.
pub fn parse<T: DeserializeOwned>(json: &str) -> Result<T, String> {
    let json = match json.trim() {
        "" | "null" => "{}",
        written => written,
    };
    let mut json = serde_json::Deserializer::from_str(json);
    serde_path_to_error::deserialize(&mut json).map_err(|error| {
        let (place, text) = (error.path(), error.inner().to_string());
        // The position is one in the generated JSON, not in the file that a person edits.
        let what = text.split_once(" at line ").map_or(&*text, |(what, _)| what);
        match place.iter().len() {
            0 => what.to_owned(),
            _ => format!("{place}: {what}"),
        }
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
pub struct OneOrMany<T>(pub Vec<T>);

/// Not by trying one after the other: that would lose what is wrong with the value.
impl<'de, T: DeserializeOwned> Deserialize<'de> for OneOrMany<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = serde_json::Value::deserialize(deserializer)?;
        match value.is_array() {
            true => serde_json::from_value(value).map(Self),
            false => serde_json::from_value(value).map(|one| Self(vec![one])),
        }
        .map_err(D::Error::custom)
    }
}

impl<T> Deref for OneOrMany<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        &self.0
    }
}

impl<T> Default for OneOrMany<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}
