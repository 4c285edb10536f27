//! Numbers, sizes and durations, as people write them. A number without a meaning is refused, not guessed.

use crate::Scalar;
use serde::Deserialize;
use std::fmt;
use std::str::FromStr;

/// A whole number that is neither below the first bound nor above the second.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "i64")]
pub struct Within<const LEAST: i64, const MOST: i64>(pub i64);

/// What a score has to reach.
pub type Score = Within<1, 1_000_000>;
/// A part of a whole that is more than nothing of it.
pub type Percent = Within<1, 100>;

impl<const LEAST: i64, const MOST: i64> TryFrom<i64> for Within<LEAST, MOST> {
    type Error = String;

    fn try_from(number: i64) -> Result<Self, String> {
        match (LEAST..=MOST).contains(&number) {
            true => Ok(Self(number)),
            false => Err(format!("{number} is not within {LEAST} to {MOST}")),
        }
    }
}

/// One bit of an octet by its value, 1 to 128.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "String")]
pub struct Bit(pub u8);

impl TryFrom<String> for Bit {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let bit = text.parse().ok().filter(|bit: &u8| bit.is_power_of_two());
        bit.map(Self)
            .ok_or_else(|| format!("`{text}` is no bit: write 1, 2, 4, 8, 16, 32, 64 or 128"))
    }
}

/// Is there a bound, and does the score reach it?
#[must_use]
pub fn reaches(score: i64, bound: Option<Score>) -> bool {
    bound.is_some_and(|bound| score >= bound.0)
}

/// Splits `5m` into number and unit.
fn number_and_unit(text: &str) -> Option<(u64, &str)> {
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    Some((number.parse().ok()?, unit.trim_start()))
}

/// A number of bytes: `1GiB` (2³⁰), `1GB` (10⁹) or plain digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "Scalar")]
pub struct Size(pub u64);

const UNITS: [(&str, u64); 9] = [
    ("TiB", 1 << 40),
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("TB", 1_000_000_000_000),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("KB", 1_000),
    ("B", 1),
];

impl FromStr for Size {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is not a size: write 1GiB, 500MB or a number of bytes");
        let (number, unit) = number_and_unit(text).ok_or_else(wrong)?;
        let unit = if unit.is_empty() { "B" } else { unit };
        let (_, factor) = UNITS
            .iter()
            .find(|(name, _)| name.eq_ignore_ascii_case(unit))
            .ok_or_else(wrong)?;
        number.checked_mul(*factor).map(Self).ok_or_else(wrong)
    }
}

impl TryFrom<Scalar> for Size {
    type Error = String;

    fn try_from(value: Scalar) -> Result<Self, String> {
        value.to_string().parse()
    }
}

impl fmt::Display for Size {
    /// In the largest binary unit that leaves a whole part, with at most one decimal.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let binary = UNITS.iter().take(4).find(|(_, factor)| self.0 >= *factor);
        let Some((unit, factor)) = binary else {
            return write!(f, "{} B", self.0);
        };
        let (number, factor) = (u128::from(self.0), u128::from(*factor));
        let tenths = (number * 10 + factor / 2) / factor;
        let (whole, tenths) = (tenths / 10, tenths % 10);
        match tenths {
            0 => write!(f, "{whole} {unit}"),
            _ => write!(f, "{whole}.{tenths} {unit}"),
        }
    }
}

/// A length of time in whole seconds, never zero: `30s`, `5m`, `4h`, `36d`.
///
/// Zero is refused because a lifetime of 0 means "for ever" to `kv`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "Scalar")]
pub struct Seconds(pub u32);

impl FromStr for Seconds {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is not a duration: write 30s, 5m, 4h or 36d");
        let (number, unit) = number_and_unit(text).ok_or_else(wrong)?;
        let factor = match unit {
            "s" => 1,
            "m" => 60,
            "h" => 3600,
            "d" => 86_400,
            _ => return Err(wrong()),
        };
        let seconds = number.checked_mul(factor).and_then(|all| u32::try_from(all).ok());
        seconds.filter(|seconds| *seconds > 0).map(Self).ok_or_else(wrong)
    }
}

impl TryFrom<Scalar> for Seconds {
    type Error = String;

    fn try_from(value: Scalar) -> Result<Self, String> {
        value.to_string().parse()
    }
}

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let units = [(86_400, "d"), (3600, "h"), (60, "m")];
        match units
            .iter()
            .find(|(factor, _)| self.0.is_multiple_of(*factor) && self.0 > 0)
        {
            Some((factor, unit)) => write!(f, "{}{unit}", self.0 / factor),
            None => write!(f, "{}s", self.0),
        }
    }
}
