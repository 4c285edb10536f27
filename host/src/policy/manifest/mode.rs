//! `mode`, `breaker`, `listeners` and `domains` of a policy's file: whether it decides, where, and until when.

use super::{Collector, Raw};
use crate::config::units::Span;
use postern_proto::Address;
use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, Error, MapAccess, Visitor};
use std::fmt;
use std::marker::PhantomData;
use std::time::Duration;

/// Behind the name of a file that lies beside the version that is enforced.
const CANDIDATE: &str = ".candidate";

/// Whether a policy decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::policy) enum Mode {
    Enforce,
    /// It is asked beside the decision.
    Shadow,
    /// It decides for a share.
    Canary(CanaryBounds),
}

/// A canary's share, and what ends it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::policy) struct CanaryBounds {
    /// Per cent of transactions, and of clients at connect.
    pub(in crate::policy) share: u8,
    /// So many of the last calls, and of the last comparisons, are looked at.
    pub(in crate::policy) calls: usize,
    /// Per cent of them that may not fail.
    pub(in crate::policy) failures: u8,
    /// Per cent of them that may not be told another verdict by the enforced version.
    pub(in crate::policy) drift: u8,
    pub(in crate::policy) p99: Duration,
}

/// When a policy is taken out of service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::policy) struct BreakerBounds {
    /// Per cent of the window's calls that may not trap or time out.
    pub(in crate::policy) failures: u8,
    pub(in crate::policy) window: Duration,
    /// Fewer calls say nothing.
    pub(in crate::policy) calls: u64,
    pub(in crate::policy) p99: Option<Duration>,
    pub(in crate::policy) back: Back,
}

/// How a policy comes back into service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::policy) enum Back {
    /// By one call that goes well after this time.
    After(Duration),
    /// By `postern plugin reset`.
    Command,
}

/// Where a policy applies. Empty is everywhere.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::policy) struct Scope {
    pub(in crate::policy) listeners: Vec<String>,
    /// In lower case as U-labels.
    pub(in crate::policy) domains: Vec<String>,
}

/// Whether a file lies beside the version that is enforced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::policy) enum Place {
    Own,
    Beside,
}

/// `20-greylist` and [`Place::Beside`] for `20-greylist.candidate`.
pub(in crate::policy) fn placed(stem: &str) -> (&str, Place) {
    match stem.strip_suffix(CANDIDATE) {
        Some(name) if !name.is_empty() => (name, Place::Beside),
        _ => (stem, Place::Own),
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Enforce => f.write_str("enforce"),
            Self::Shadow => f.write_str("shadow"),
            Self::Canary(bounds) => write!(f, "canary {} %", bounds.share),
        }
    }
}

#[derive(Debug, Clone, Copy)]
pub(super) enum RawMode {
    Enforce,
    Shadow,
    Canary(RawCanary),
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawCanary {
    canary: u8,
    calls: Option<usize>,
    failures: Option<u8>,
    drift: Option<u8>,
    p99: Option<Span>,
}

#[derive(Debug, Clone, Copy)]
pub(super) enum RawBreaker {
    Off,
    On(RawBounds),
}

#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawBounds {
    failures: Option<u8>,
    window: Option<Span>,
    calls: Option<u64>,
    p99: Option<OrNone>,
    back: Option<OrCommand>,
}

/// A time, or the word for none.
#[derive(Debug, Clone, Copy)]
struct OrNone(Option<Duration>);

#[derive(Debug, Clone, Copy)]
struct OrCommand(Back);

/// A word, or a section.
struct WordOr<T, F>(&'static str, F, PhantomData<T>);

impl<'de, T: From<S>, S: Deserialize<'de>, F: Fn(&str) -> Option<T>> Visitor<'de> for WordOr<(T, S), F> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }

    fn visit_str<E: Error>(self, word: &str) -> Result<T, E> {
        (self.1)(word).ok_or_else(|| E::custom(format!("there is no `{word}` here; write {}", self.0)))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<T, A::Error> {
        S::deserialize(MapAccessDeserializer::new(map)).map(T::from)
    }
}

impl From<RawCanary> for RawMode {
    fn from(canary: RawCanary) -> Self {
        Self::Canary(canary)
    }
}

impl From<RawBounds> for RawBreaker {
    fn from(bounds: RawBounds) -> Self {
        Self::On(bounds)
    }
}

impl<'de> Deserialize<'de> for RawMode {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let word = |word: &str| match word {
            "enforce" => Some(Self::Enforce),
            "shadow" => Some(Self::Shadow),
            _ => None,
        };
        let kind = PhantomData::<(Self, RawCanary)>;
        deserializer.deserialize_any(WordOr("enforce, shadow or { canary: 5 }", word, kind))
    }
}

impl<'de> Deserialize<'de> for RawBreaker {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let word = |word: &str| (word == "off").then_some(Self::Off);
        let kind = PhantomData::<(Self, RawBounds)>;
        deserializer.deserialize_any(WordOr("off or { failures: 50, window: 1m }", word, kind))
    }
}

impl<'de> Deserialize<'de> for OrNone {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        match text.as_str() {
            "none" => Ok(Self(None)),
            text => text
                .parse::<Span>()
                .map(|span| Self(Some(span.0)))
                .map_err(|error| D::Error::custom(format!("{error}, or none"))),
        }
    }
}

impl<'de> Deserialize<'de> for OrCommand {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        match text.as_str() {
            "command" => Ok(Self(Back::Command)),
            text => text
                .parse::<Span>()
                .map(|span| Self(Back::After(span.0)))
                .map_err(|error| D::Error::custom(format!("{error}, or command"))),
        }
    }
}

/// Notes a value that is out of its bounds.
fn bound(faults: &mut Collector, key: &str, holds: bool, mend: &str) {
    if !holds {
        faults.add(key, format!("out of bounds; write {mend}"));
    }
}

const SECOND: Duration = Duration::from_secs(1);
const DAY: Duration = Duration::from_secs(24 * 3600);

/// `deadline` is the policy's own.
pub(super) fn mode(raw: &Raw, place: Place, deadline: Duration, faults: &mut Collector) -> Mode {
    match (raw.mode, place) {
        (None | Some(RawMode::Enforce), Place::Own) => Mode::Enforce,
        (None | Some(RawMode::Shadow), _) => Mode::Shadow,
        (Some(RawMode::Enforce), Place::Beside) => {
            let text = "a candidate does not enforce; write shadow or { canary: 5 }, or put it in the place of the \
                        file beside it";
            faults.add("mode", text);
            Mode::Shadow
        }
        (Some(RawMode::Canary(raw)), _) => Mode::Canary(canary(raw, deadline, faults)),
    }
}

fn canary(raw: RawCanary, deadline: Duration, faults: &mut Collector) -> CanaryBounds {
    let bounds = CanaryBounds {
        share: raw.canary,
        // A p99 has a value among a hundred.
        calls: raw.calls.unwrap_or(100),
        failures: raw.failures.unwrap_or(5),
        drift: raw.drift.unwrap_or(10),
        // Whoever comes near its deadline is about to fail.
        p99: raw.p99.map_or(deadline / 2, |span| span.0),
    };
    let per_cent = |value: u8| (1..=100).contains(&value);
    let calls = (10..=10_000).contains(&bounds.calls);
    bound(faults, "mode.canary", (1..=99).contains(&bounds.share), "1 to 99");
    bound(faults, "mode.calls", calls, "10 to 10000");
    bound(faults, "mode.failures", per_cent(bounds.failures), "1 to 100");
    bound(faults, "mode.drift", per_cent(bounds.drift), "1 to 100");
    bound(faults, "mode.p99", !bounds.p99.is_zero(), "1ms or more");
    bounds
}

/// None: it is never taken out of service.
pub(super) fn breaker(raw: &Raw, faults: &mut Collector) -> Option<BreakerBounds> {
    let raw = match raw.breaker {
        Some(RawBreaker::Off) => return None,
        Some(RawBreaker::On(raw)) => raw,
        None => RawBounds::default(),
    };
    let bounds = BreakerBounds {
        // One that fails now and then is better than none; one that fails every other time is not.
        failures: raw.failures.unwrap_or(50),
        window: raw.window.map_or(60 * SECOND, |span| span.0),
        calls: raw.calls.unwrap_or(20),
        p99: raw.p99.and_then(|said| said.0),
        back: raw.back.map_or(Back::After(60 * SECOND), |said| said.0),
    };
    let time = |span: Duration| (SECOND..=DAY).contains(&span);
    let back = match bounds.back {
        Back::After(pause) => time(pause),
        Back::Command => true,
    };
    let calls = (1..=1_000_000).contains(&bounds.calls);
    bound(
        faults,
        "breaker.failures",
        (1..=100).contains(&bounds.failures),
        "1 to 100",
    );
    bound(faults, "breaker.window", time(bounds.window), "1s to 1d");
    bound(faults, "breaker.calls", calls, "1 to 1000000");
    bound(
        faults,
        "breaker.p99",
        bounds.p99 != Some(Duration::ZERO),
        "1ms or more, or none",
    );
    bound(faults, "breaker.back", back, "1s to 1d, or command");
    Some(bounds)
}

/// Names of listeners are compared with those there are by [`Scope::check`].
pub(super) fn scope(raw: &Raw, faults: &mut Collector) -> Scope {
    for (key, list) in [("listeners", &raw.listeners), ("domains", &raw.domains)] {
        if list.as_ref().is_some_and(Vec::is_empty) {
            faults.add(key, "empty; write at least one, or leave it out");
        }
    }
    let mut domains = Vec::new();
    for (index, domain) in raw.domains.iter().flatten().enumerate() {
        let Some(domain) = domain else { continue };
        match Address::parse(&format!("postmaster@{domain}")) {
            Ok(address) => domains.push(address.domain().to_owned()),
            Err(_) => {
                let text = format!("`{domain}` is no domain; write one such as example.org");
                faults.add(format!("domains[{index}]"), text);
            }
        }
    }
    Scope {
        listeners: raw.listeners.iter().flatten().flatten().cloned().collect(),
        domains,
    }
}

impl Scope {
    /// Names each listener that is none of `known`.
    pub(in crate::policy) fn check(&self, known: &[String], faults: &mut Collector) {
        for (index, name) in self.listeners.iter().enumerate() {
            if !known.contains(name) {
                let text = format!("there is no listener `{name}`; there are {}", known.join(", "));
                faults.add(format!("listeners[{index}]"), text);
            }
        }
    }

    /// Whether what comes in at a listener for these recipients is its business; None: recipients do not matter.
    pub(in crate::policy) fn covers<'a>(
        &self,
        listener: &str,
        recipients: Option<impl IntoIterator<Item = &'a str>>,
    ) -> bool {
        let here = self.listeners.is_empty() || self.listeners.iter().any(|name| name == listener);
        let theirs = |recipient: &str| {
            let address = Address::parse(recipient);
            address.is_ok_and(|address| self.domains.iter().any(|domain| domain == address.domain()))
        };
        here && match recipients {
            Some(recipients) if !self.domains.is_empty() => recipients.into_iter().any(theirs),
            _ => true,
        }
    }
}

#[cfg(test)]
mod tests;
