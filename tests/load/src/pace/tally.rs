//! What became of a run.

use super::Did;
use hdrhistogram::Histogram;
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::time::Instant;

/// Microseconds: none is longer than a client waits.
const LONGEST: u64 = 600_000_000;
/// Texts that are told apart; a server may put something new into each.
const MOST_TEXTS: usize = 100;

#[derive(Debug)]
pub(crate) struct Tally {
    latencies: Latencies,
    /// How long after it was due a turn was begun.
    late: Latencies,
    messages: u64,
    pub(crate) octets: u64,
    /// What failed ones were told, and how many.
    pub(crate) failures: BTreeMap<String, u64>,
    /// What was refused and expected.
    pub(crate) expected: BTreeMap<String, u64>,
    pub(crate) took: Duration,
    /// The longest time without an acknowledgement: when the last one came before it and the first one behind,
    /// since the beginning.
    pub(crate) gap: Option<[Duration; 2]>,
}

/// Microseconds.
#[derive(Clone)]
pub(crate) struct Latencies(Histogram<u64>);

impl std::fmt::Debug for Latencies {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let [least, most] = [0.0, 100.0].map(|percent| self.percentile(percent));
        write!(f, "Latencies({} of {least} to {most} ms)", self.count())
    }
}

impl Latencies {
    pub(crate) fn new() -> anyhow::Result<Self> {
        Ok(Self(Histogram::new_with_bounds(1, LONGEST, 3)?))
    }

    pub(crate) fn add(&mut self, took: Duration) {
        self.0.saturating_record(took.as_micros() as u64);
    }

    pub(crate) fn merge(&mut self, other: &Self) -> anyhow::Result<()> {
        Ok(self.0.add(&other.0)?)
    }

    pub(crate) fn count(&self) -> u64 {
        self.0.len()
    }

    /// Milliseconds that so many percent took at most.
    pub(crate) fn percentile(&self, percent: f64) -> f64 {
        self.0.value_at_percentile(percent) as f64 / 1000.0
    }
}

impl Tally {
    pub(super) fn new() -> anyhow::Result<Self> {
        Ok(Self {
            latencies: Latencies::new()?,
            late: Latencies::new()?,
            messages: 0,
            octets: 0,
            failures: BTreeMap::new(),
            expected: BTreeMap::new(),
            took: Duration::ZERO,
            gap: None,
        })
    }

    /// A turn that was due, and one that begun.
    pub(super) fn add(&mut self, (due, begun): (Instant, Instant), outcome: anyhow::Result<Did>) {
        self.late.add(begun.saturating_duration_since(due));
        match outcome {
            Ok(Did {
                refused: Some(told), ..
            }) => count(&mut self.expected, told, 1),
            Ok(did) => {
                self.latencies.add(did.answered.saturating_duration_since(due));
                self.messages += did.messages;
                self.octets += did.octets as u64;
            }
            Err(error) => count(&mut self.failures, error.to_string(), 1),
        }
    }

    pub(super) fn merge(&mut self, other: Self) -> anyhow::Result<()> {
        self.latencies.merge(&other.latencies)?;
        self.late.merge(&other.late)?;
        self.messages += other.messages;
        self.octets += other.octets;
        for (into, from) in [
            (&mut self.failures, other.failures),
            (&mut self.expected, other.expected),
        ] {
            for (told, times) in from {
                count(into, told, times);
            }
        }
        Ok(())
    }

    pub(crate) fn messages(&self) -> u64 {
        self.messages
    }

    /// Visits to maildrops, or messages.
    pub(crate) fn turns(&self) -> u64 {
        self.latencies.count()
    }

    /// Messages, or visits where those are more: what costs are divided by.
    pub(crate) fn work(&self) -> u64 {
        self.messages().max(self.turns())
    }

    pub(crate) fn failed(&self) -> u64 {
        self.failures.values().sum()
    }

    /// Turns a second.
    pub(crate) fn rate(&self) -> f64 {
        self.turns() as f64 / self.took.as_secs_f64()
    }

    /// Milliseconds that so many percent took at most.
    pub(crate) fn percentile(&self, percent: f64) -> f64 {
        self.latencies.percentile(percent)
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        let seconds = self.took.as_secs_f64();
        serde_json::json!({
            "turns": self.turns(), "messages": self.messages, "octets": self.octets, "seconds": seconds,
            "rate": self.rate(), "messages_rate": self.messages as f64 / seconds,
            "p50_ms": self.percentile(50.0), "p99_ms": self.percentile(99.0), "p99.9_ms": self.percentile(99.9),
            "longest_ms": self.percentile(100.0), "late_p99_ms": self.late.percentile(99.0),
            "failed": self.failed(), "failures": self.failures, "expected": self.expected,
        })
    }
}

fn count(texts: &mut BTreeMap<String, u64>, told: String, times: u64) {
    let told = match texts.len() >= MOST_TEXTS && !texts.contains_key(&told) {
        true => "others".to_owned(),
        false => told,
    };
    *texts.entry(told).or_default() += times;
}
