//! Hours and days of a local time that is a fixed offset from UTC.

use serde::Deserialize;

const DAY: i64 = 86_400;

/// Minutes of a day: `08:30`.
fn minutes(text: &str) -> Option<i64> {
    let (hours, minutes) = text.trim().split_once(':')?;
    let (hours, minutes): (i64, i64) = (hours.parse().ok()?, minutes.parse().ok()?);
    ((0..=24).contains(&hours) && (0..60).contains(&minutes)).then_some(hours * 60 + minutes)
}

/// `18:00-08:00`: from the first on and before the second, over midnight if need be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct Hours {
    from: i64,
    to: i64,
}

impl Hours {
    pub(crate) fn contains(self, now: i64) -> bool {
        let minute = now.rem_euclid(DAY) / 60;
        match self.from < self.to {
            true => (self.from..self.to).contains(&minute),
            false => minute >= self.from || minute < self.to,
        }
    }
}

impl TryFrom<String> for Hours {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let read = text
            .split_once('-')
            .and_then(|(from, to)| Some((minutes(from)?, minutes(to)?)));
        match read.filter(|(from, to)| from != to && *from < 24 * 60 && *to <= 24 * 60) {
            Some((from, to)) => Ok(Self { from, to }),
            None => Err(format!("`{text}` are no hours: write 18:00-08:00")),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Day {
    Thu,
    Fri,
    Sat,
    Sun,
    Mon,
    Tue,
    Wed,
}

impl Day {
    /// 1970 began on a Thursday.
    pub(crate) fn of(now: i64) -> Self {
        match now.div_euclid(DAY).rem_euclid(7) {
            0 => Self::Thu,
            1 => Self::Fri,
            2 => Self::Sat,
            3 => Self::Sun,
            4 => Self::Mon,
            5 => Self::Tue,
            _ => Self::Wed,
        }
    }
}

/// `+01:00`, in seconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct Offset(i64);

impl Offset {
    /// Seconds since 1970 as a clock on the wall shows them, of milliseconds since 1970.
    pub(crate) fn local(self, now: u64) -> i64 {
        i64::try_from(now / 1000).unwrap_or(i64::MAX / 2) + self.0
    }
}

impl TryFrom<String> for Offset {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let read = match text.split_at_checked(1) {
            Some(("+", rest)) => minutes(rest),
            Some(("-", rest)) => minutes(rest).map(|minutes| -minutes),
            _ => None,
        };
        match read.filter(|minutes| minutes.abs() <= 14 * 60) {
            Some(minutes) => Ok(Self(minutes * 60)),
            None => Err(format!(
                "utc_offset: `{text}` is no offset: write +01:00 or -05:30"
            )),
        }
    }
}
