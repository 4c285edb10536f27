//! When the next message begins, and how long it took.
//!
//! Closed loop: each connection sends its next message when the last one was answered, which finds the highest
//! rate. Open loop: messages are due at a fixed rate, whatever became of those before, and each one's latency
//! counts from when it was due, so that a server that stands still is not asked less.

use hdrhistogram::Histogram;
use indicatif::{ProgressBar, ProgressStyle};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

/// One connection's worth of work.
pub(crate) trait Client: Send + 'static {
    /// One message to its acknowledgement; answers its octets.
    fn once(&mut self) -> impl Future<Output = anyhow::Result<usize>> + Send;
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Pace {
    Closed,
    /// Messages a second.
    Open(f64),
}

/// What became of a run.
#[derive(Debug)]
pub(crate) struct Tally {
    /// Microseconds.
    latencies: Histogram<u64>,
    pub(crate) octets: u64,
    /// What failed ones were told, and how many.
    pub(crate) failures: BTreeMap<String, u64>,
    pub(crate) took: Duration,
    /// When each acknowledgement came, since the beginning.
    pub(crate) acknowledged: Vec<Duration>,
}

/// Microseconds: none is longer than a client waits.
const LONGEST: u64 = 600_000_000;

impl Tally {
    fn new() -> anyhow::Result<Self> {
        Ok(Self {
            latencies: Histogram::new_with_bounds(1, LONGEST, 3)?,
            octets: 0,
            failures: BTreeMap::new(),
            took: Duration::ZERO,
            acknowledged: Vec::new(),
        })
    }

    fn add(&mut self, begun: Instant, due: Instant, outcome: anyhow::Result<usize>) {
        match outcome {
            Ok(octets) => {
                let now = Instant::now();
                self.latencies.saturating_record((now - due).as_micros() as u64);
                self.octets += octets as u64;
                self.acknowledged.push(now - begun);
            }
            Err(error) => *self.failures.entry(error.to_string()).or_default() += 1,
        }
    }

    fn merge(&mut self, other: Self) -> anyhow::Result<()> {
        self.latencies.add(&other.latencies)?;
        self.octets += other.octets;
        self.acknowledged.extend(other.acknowledged);
        for (told, times) in other.failures {
            *self.failures.entry(told).or_default() += times;
        }
        Ok(())
    }

    pub(crate) fn messages(&self) -> u64 {
        self.latencies.len()
    }

    pub(crate) fn rate(&self) -> f64 {
        self.messages() as f64 / self.took.as_secs_f64()
    }

    /// Milliseconds that so many percent took at most.
    pub(crate) fn percentile(&self, percent: f64) -> f64 {
        self.latencies.value_at_percentile(percent) as f64 / 1000.0
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::json!({
            "messages": self.messages(), "octets": self.octets, "seconds": self.took.as_secs_f64(),
            "rate": self.rate(), "p50_ms": self.percentile(50.0), "p99_ms": self.percentile(99.0),
            "longest_ms": self.percentile(100.0), "failures": self.failures,
        })
    }
}

/// Runs `clients` for so long. In an open loop they are the most messages that are under way at once; what finds
/// them all busy begins late, which its latency tells.
pub(crate) async fn run<C: Client>(
    clients: Vec<C>,
    pace: Pace,
    length: Duration,
    bar: &ProgressBar,
) -> anyhow::Result<Tally> {
    let begun = Instant::now();
    let (next, mut running) = (Arc::new(AtomicU64::new(0)), JoinSet::new());
    for mut client in clients {
        let (next, bar) = (Arc::clone(&next), bar.clone());
        running.spawn(async move {
            let mut tally = Tally::new()?;
            loop {
                let due = match pace {
                    Pace::Closed => Instant::now(),
                    Pace::Open(rate) => {
                        let nth = next.fetch_add(1, Ordering::Relaxed);
                        begun + Duration::from_secs_f64(nth as f64 / rate)
                    }
                };
                if due >= begun + length {
                    return anyhow::Ok((client, tally));
                }
                sleep_until(due).await;
                let outcome = client.once().await;
                if outcome.is_err() && pace == Pace::Closed {
                    // Whoever is refused at once would ask without end.
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
                tally.add(begun, due, outcome);
                bar.inc(1);
            }
        });
    }
    let (mut all, mut clients) = (Tally::new()?, Vec::new());
    while let Some(ended) = running.join_next().await {
        let (client, tally) = ended??;
        all.merge(tally)?;
        clients.push(client);
    }
    all.took = begun.elapsed();
    all.acknowledged.sort_unstable();
    Ok(all)
}

/// A line that says how far a run is; drawn on a terminal only.
pub(crate) fn progress(what: &str) -> ProgressBar {
    let bar = ProgressBar::no_length();
    if let Ok(style) = ProgressStyle::with_template("{msg} {human_pos} messages, {per_sec}, {elapsed}") {
        bar.set_style(style);
    }
    bar.set_message(what.to_owned());
    bar.enable_steady_tick(Duration::from_millis(500));
    bar
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Slow {
        takes: Duration,
        fails: bool,
    }

    impl Client for Slow {
        async fn once(&mut self) -> anyhow::Result<usize> {
            tokio::time::sleep(self.takes).await;
            match self.fails {
                true => anyhow::bail!("451 no"),
                false => Ok(100),
            }
        }
    }

    fn slow(count: usize, millis: u64) -> Vec<Slow> {
        let one = |_| Slow {
            takes: Duration::from_millis(millis),
            fails: false,
        };
        (0..count).map(one).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn an_open_loop_counts_latency_from_when_a_message_was_due() {
        // Due every 10 ms, one at a time, 50 ms each: the tenth is 90 ms after the first and begins after 450.
        let length = Duration::from_millis(100);
        let tally = run(slow(1, 50), Pace::Open(100.0), length, &ProgressBar::hidden())
            .await
            .unwrap();
        assert_eq!(tally.messages(), 10);
        assert!((tally.percentile(1.0) - 50.0).abs() < 1.0, "{tally:?}");
        assert!((tally.percentile(100.0) - 410.0).abs() < 2.0, "{tally:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn an_open_loop_keeps_its_rate_where_there_are_clients_enough() {
        let length = Duration::from_millis(100);
        let tally = run(slow(8, 50), Pace::Open(100.0), length, &ProgressBar::hidden())
            .await
            .unwrap();
        assert_eq!(tally.messages(), 10);
        assert!(tally.percentile(100.0) < 52.0, "{tally:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_closed_loop_asks_again_when_it_is_answered() {
        let length = Duration::from_millis(100);
        let tally = run(slow(3, 20), Pace::Closed, length, &ProgressBar::hidden())
            .await
            .unwrap();
        assert_eq!((tally.messages(), tally.octets), (15, 1500));
        assert!((tally.percentile(100.0) - 20.0).abs() < 1.0, "{tally:?}");
        assert_eq!(tally.acknowledged.len(), 15);
    }

    #[tokio::test(start_paused = true)]
    async fn what_failed_is_counted_by_what_it_was_told_and_is_no_latency() {
        let failing = Slow {
            takes: Duration::from_millis(20),
            fails: true,
        };
        let length = Duration::from_millis(60);
        let tally = run(vec![failing], Pace::Closed, length, &ProgressBar::hidden())
            .await
            .unwrap();
        assert_eq!(tally.messages(), 0);
        assert_eq!(tally.failures.get("451 no"), Some(&2));
    }
}
