//! Rates as people write them.

use serde::Deserialize;
use settings::{Scalar, Seconds};
use std::str::FromStr;

/// `100/1h`: so many in a window that begins with the first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Scalar")]
pub(crate) struct Rate {
    pub(crate) most: i64,
    pub(crate) window: Seconds,
}

impl FromStr for Rate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is not a rate: write 100/1h or 10/30s");
        let (most, window) = text.split_once('/').ok_or_else(wrong)?;
        let most: u32 = most.trim().parse().map_err(|_| wrong())?;
        Ok(Self {
            most: i64::from(most),
            window: window.parse().map_err(|_| wrong())?,
        })
    }
}

impl TryFrom<Scalar> for Rate {
    type Error = String;

    fn try_from(value: Scalar) -> Result<Self, String> {
        value.to_string().parse()
    }
}
