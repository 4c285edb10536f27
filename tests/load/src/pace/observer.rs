//! What is seen of a run while it goes on, and what its clients share.

use super::alarm::Alarm;
use super::tally::Latencies;
use super::{Did, Pace};
use crate::options::merge;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};
use std::io::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

#[derive(Debug)]
pub(super) struct Shared {
    pub(super) begun: Instant,
    pace: Pace,
    next: AtomicU64,
    /// When the next turn may begin, where the pace is capped.
    free: Mutex<Instant>,
    acknowledged: Mutex<Acknowledged>,
}

#[derive(Debug, Default)]
struct Acknowledged {
    last: Option<Duration>,
    gap: Option<[Duration; 2]>,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    pub(super) fn begin(pace: Pace) -> Self {
        let begun = Instant::now();
        Self {
            begun,
            pace,
            next: AtomicU64::new(0),
            free: Mutex::new(begun),
            acknowledged: Mutex::default(),
        }
    }

    /// When the next turn is due.
    pub(super) fn due(&self) -> Instant {
        match self.pace {
            Pace::Closed => Instant::now(),
            Pace::Open(rate) => {
                let nth = self.next.fetch_add(1, Ordering::Relaxed);
                self.begun + Duration::from_secs_f64(nth as f64 / rate)
            }
            Pace::Capped(rate) => {
                let mut free = locked(&self.free);
                let due = (*free).max(Instant::now());
                *free = due + Duration::from_secs_f64(1.0 / rate);
                due
            }
        }
    }

    pub(super) fn note(&self, outcome: &anyhow::Result<Did>) {
        let Ok(did) = outcome else {
            return;
        };
        let now = did.answered.saturating_duration_since(self.begun);
        let mut acknowledged = locked(&self.acknowledged);
        if let Some(last) = acknowledged.last {
            let widest = acknowledged.gap.map_or(Duration::ZERO, |[from, to]| to - from);
            if now.saturating_sub(last) > widest {
                acknowledged.gap = Some([last, now]);
            }
        }
        acknowledged.last = Some(now);
    }

    pub(super) fn gap(&self) -> Option<[Duration; 2]> {
        locked(&self.acknowledged).gap
    }
}

#[derive(Debug, Clone)]
pub(crate) struct Observer {
    bar: ProgressBar,
    stop: CancellationToken,
    precise: bool,
    since: Arc<Mutex<Option<Interval>>>,
}

/// What happened since the last line was written.
#[derive(Debug)]
struct Interval {
    latencies: Latencies,
    turns: u64,
    failed: u64,
}

impl Interval {
    fn new() -> anyhow::Result<Self> {
        Ok(Self {
            latencies: Latencies::new()?,
            turns: 0,
            failed: 0,
        })
    }
}

/// A line that says how far a run is; drawn on a terminal only.
pub(crate) fn progress(what: &str) -> Observer {
    let bar = ProgressBar::no_length();
    if let Ok(style) = ProgressStyle::with_template("{msg} {human_pos} turns, {per_sec}, {elapsed}") {
        bar.set_style(style);
    }
    bar.set_message(what.to_owned());
    bar.enable_steady_tick(Duration::from_millis(500));
    Observer {
        bar,
        stop: CancellationToken::new(),
        precise: true,
        since: Arc::default(),
    }
}

impl Observer {
    /// Shows nothing, and goes by the runtime's clock.
    #[cfg(test)]
    pub(crate) fn silent() -> Self {
        Self {
            bar: ProgressBar::hidden(),
            stop: CancellationToken::new(),
            precise: false,
            since: Arc::default(),
        }
    }

    /// For what goes on beside it: it stops with this one and shows nothing of its own.
    pub(crate) fn aside(&self) -> Self {
        Self {
            bar: ProgressBar::hidden(),
            since: Arc::default(),
            ..self.clone()
        }
    }

    pub(super) fn alarm(&self) -> anyhow::Result<Alarm> {
        match self.precise {
            true => Alarm::kernel(),
            false => Ok(Alarm::Runtime),
        }
    }

    pub(super) async fn stopped(&self) {
        self.stop.cancelled().await;
    }

    pub(crate) fn stop(&self) {
        self.stop.cancel();
    }

    /// What goes on ends at Ctrl-C as if its time were over, with its figures.
    pub(crate) fn stop_at_interrupt(&self) {
        let observer = self.clone();
        tokio::spawn(async move {
            if tokio::signal::ctrl_c().await.is_ok() {
                observer.stop();
            }
        });
    }

    pub(crate) fn finish_and_clear(&self) {
        self.bar.finish_and_clear();
    }

    pub(super) fn note(&self, since: Instant, outcome: &anyhow::Result<Did>) {
        self.bar.inc(1);
        let mut interval = locked(&self.since);
        let Some(interval) = interval.as_mut() else {
            return;
        };
        match outcome {
            Ok(did) if did.refused.is_none() => {
                interval
                    .latencies
                    .add(did.answered.saturating_duration_since(since));
            }
            Ok(_) => {}
            Err(_) => interval.failed += 1,
        }
        interval.turns += 1;
    }

    /// Writes a line every so often, with what `probe` finds, while `work` goes on; answers all lines.
    pub(crate) async fn observing<T>(
        &self,
        every: Duration,
        probe: impl Fn() -> Value,
        work: impl Future<Output = T>,
    ) -> anyhow::Result<(T, Vec<Value>)> {
        *locked(&self.since) = Some(Interval::new()?);
        let (begun, mut lines) = (Instant::now(), Vec::new());
        let mut tick = tokio::time::interval_at(begun + every, every);
        let mut work = std::pin::pin!(work);
        let outcome = loop {
            tokio::select! {
                outcome = &mut work => break outcome,
                _ = tick.tick() => {
                    let interval = locked(&self.since).replace(Interval::new()?);
                    if let Some(interval) = interval {
                        let mut line = interval.json(begun.elapsed(), every);
                        merge(&mut line, probe());
                        self.bar.suspend(|| say(&line));
                        lines.push(line);
                    }
                }
            }
        };
        *locked(&self.since) = None;
        Ok((outcome, lines))
    }
}

impl Interval {
    fn json(&self, at: Duration, every: Duration) -> Value {
        let millis = |percent| self.latencies.percentile(percent);
        json!({
            "at_s": at.as_secs(), "rate": self.turns as f64 / every.as_secs_f64(),
            "p50_ms": millis(50.0), "p99_ms": millis(99.0), "longest_ms": millis(100.0), "failed": self.failed,
        })
    }
}

fn say(line: &Value) {
    let number = |name: &str| line.get(name).and_then(Value::as_f64);
    let figure = |name: &str| number(name).unwrap_or_default();
    let memory = number("rss_kib").map(|kib| format!(", server {:.1} MiB", kib / 1024.0));
    // Nobody may read it, which does not stop a run.
    let _ = writeln!(
        std::io::stderr(),
        "{:>6} s  {:>8.0}/s  p50 {:.2} ms, p99 {:.2} ms, longest {:.2} ms, {} failed{}",
        figure("at_s"),
        figure("rate"),
        figure("p50_ms"),
        figure("p99_ms"),
        figure("longest_ms"),
        figure("failed"),
        memory.unwrap_or_default(),
    );
}
