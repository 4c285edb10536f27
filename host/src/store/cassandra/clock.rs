//! This machine's clock beside those of the cluster's nodes.
//!
//! Rows carry the time of the gateway that wrote them, and deletions one 20 s ahead of it: two gateways whose clocks are
//! each less than 10 s off are less than that apart. One that is further off could write mail that is deleted
//! already, or delete what comes back. It does not start, and takes and deletes nothing until its clock is right again.

use crate::clock::unix_millis;
use crate::store::{Result, StoreError};
use std::fmt;
#[cfg(test)]
use std::sync::atomic::AtomicU64;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// From here on a clock is wrong, in milliseconds.
pub(super) const WRONG: u64 = 10_000;

/// How far this clock is ahead of another, in milliseconds; behind it if negative.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Offset(i64);

impl Offset {
    /// Another clock said `theirs` in an answer to what was asked at `asked`; half of the round trip was the way
    /// there.
    pub(super) fn measured(asked: u64, round_trip: Duration, theirs: i64) -> Self {
        let ours = asked.saturating_add(round_trip.as_millis() as u64 / 2);
        Self(i64::try_from(ours).unwrap_or(i64::MAX).saturating_sub(theirs))
    }

    /// What most nodes say; of two that disagree the one that is nearer to this clock.
    pub(super) fn middle(mut offsets: Vec<Self>) -> Option<Self> {
        offsets.sort_unstable();
        let upper = offsets.get(offsets.len() / 2)?;
        let lower = offsets.get(offsets.len().saturating_sub(1) / 2)?;
        Some(*lower.min_by_distance(upper))
    }

    fn min_by_distance<'a>(&'a self, other: &'a Self) -> &'a Self {
        std::cmp::min_by_key(self, other, |offset| offset.0.unsigned_abs())
    }

    pub(super) fn is_wrong(self) -> bool {
        self.0.unsigned_abs() >= WRONG
    }
}

impl fmt::Display for Offset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.unsigned_abs() as f64 / 1000.0;
        let side = if self.0 < 0 { "behind" } else { "ahead of" };
        write!(f, "{seconds:.1} s {side}")
    }
}

/// This clock, and what is known of it: the last measurement.
#[derive(Debug, Default)]
pub(super) struct Clock {
    /// What it was off, and what it said then: a clock that is set between two measurements is wrong at once.
    measured: Mutex<Option<(Offset, Instant, u64)>>,
    /// What the log was told last.
    told_wrong: AtomicBool,
    /// The moment at which it stands.
    #[cfg(test)]
    pub(super) stopped: AtomicU64,
}

impl Clock {
    pub(super) fn new(offset: Offset) -> Self {
        let clock = Self::default();
        clock.learn(offset);
        clock
    }

    /// Milliseconds since 1970.
    pub(super) fn now(&self) -> u64 {
        #[cfg(test)]
        match self.stopped.load(Ordering::Relaxed) {
            0 => {}
            stopped => return stopped,
        }
        unix_millis()
    }

    pub(super) fn offset(&self) -> Offset {
        self.offset_of(unix_millis())
    }

    /// What it is off when it says `now`.
    fn offset_of(&self, now: u64) -> Offset {
        let measured = *self.measured.lock().unwrap_or_else(PoisonError::into_inner);
        measured.map_or(Offset::default(), |(offset, at, said)| {
            let expected = said.saturating_add(at.elapsed().as_millis() as u64);
            let set = super::rows::big(now) - super::rows::big(expected);
            Offset(offset.0.saturating_add(set))
        })
    }

    pub(super) fn learn(&self, offset: Offset) {
        let now = (offset, Instant::now(), unix_millis());
        *self.measured.lock().unwrap_or_else(PoisonError::into_inner) = Some(now);
        self.look();
    }

    /// Between two measurements: a clock that is set may be nobody's trouble yet.
    pub(super) fn look(&self) {
        let offset = self.offset();
        metrics::gauge!("postern_cassandra_clock_offset_seconds").set(offset.0 as f64 / 1000.0);
        self.tell(offset);
    }

    /// Logs a change, once.
    fn tell(&self, offset: Offset) {
        let wrong = offset.is_wrong();
        match (self.told_wrong.swap(wrong, Ordering::Relaxed), wrong) {
            (false, true) => {
                tracing::warn!(
                    "this machine's clock is {offset} Cassandra's: mail is deferred until it is right"
                );
            }
            (true, false) => tracing::info!("this machine's clock is right again"),
            _ => {}
        }
    }

    /// Refuses what a wrong clock would spoil.
    pub(super) fn right(&self) -> Result<()> {
        self.moment().map(drop)
    }

    /// The same for those who write the time down, which this is: the clock may be set behind the look at it.
    pub(super) fn moment(&self) -> Result<u64> {
        let now = unix_millis();
        let offset = self.offset_of(now);
        self.tell(offset);
        match offset.is_wrong() {
            true => Err(StoreError::Engine(format!(
                "this machine's clock is {offset} Cassandra's"
            ))),
            false => Ok(now),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{self, Write};
    use std::sync::Arc;

    /// What is logged.
    #[derive(Debug, Clone, Default)]
    struct Log(Arc<Mutex<Vec<u8>>>);

    impl Write for Log {
        fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(octets)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Log {
        fn subscriber(&self) -> impl tracing::Subscriber + Send + Sync + 'static {
            let log = self.clone();
            let lines = tracing_subscriber::fmt().with_ansi(false);
            lines.with_writer(move || log.clone()).finish()
        }

        fn lines(&self) -> Vec<String> {
            let text = String::from_utf8(self.0.lock().unwrap().clone()).unwrap();
            text.lines().map(str::to_owned).collect()
        }
    }

    #[test]
    fn half_of_the_round_trip_is_the_way_there() {
        let measured = |asked, millis, theirs| Offset::measured(asked, Duration::from_millis(millis), theirs);
        assert_eq!(measured(1_000_000, 400, 1_000_200), Offset(0));
        assert_eq!(measured(1_000_000, 0, 1_030_000), Offset(-30_000));
        assert_eq!(measured(1_000_000, 2000, 991_000), Offset(10_000));
    }

    #[test]
    fn a_clock_is_wrong_from_10_s_on_either_way() {
        for off in [10_000, -10_000, i64::MIN, i64::MAX] {
            assert!(Offset(off).is_wrong(), "{off}");
            assert!(Clock::new(Offset(off)).right().is_err(), "{off}");
        }
        for off in [9_999, -9_999, 0] {
            assert!(!Offset(off).is_wrong(), "{off}");
        }
        let clock = Clock::new(Offset(0));
        assert!(clock.right().is_ok());
        clock.learn(Offset(12_340));
        let refused = clock.right().unwrap_err().to_string();
        assert!(refused.contains("12.3 s ahead of"), "{refused}");
        clock.learn(Offset(-20));
        assert!(clock.right().is_ok(), "right again");
        assert_eq!(clock.offset().to_string(), "0.0 s behind");
    }

    #[test]
    fn a_clock_that_is_set_between_two_measurements_is_wrong_at_once() {
        for (set, is_right) in [
            (0, true),
            (9_000, true),
            (-9_000, true),
            (10_500, false),
            (-10_500, false),
        ] {
            let clock = Clock::new(Offset(0));
            self::set(&clock, set);
            assert_eq!(clock.right().is_ok(), is_right, "set by {set} ms");
        }
    }

    /// As if the clock had been set by so much after it was measured.
    fn set(clock: &Clock, by: i64) {
        let said = unix_millis().saturating_add_signed(-by);
        *clock.measured.lock().unwrap() = Some((clock.offset(), Instant::now(), said));
    }

    #[test]
    fn who_writes_the_time_down_has_the_one_that_was_looked_at() {
        let clock = Clock::new(Offset(0));
        let before = unix_millis();
        assert!(clock.moment().unwrap() >= before);
        set(&clock, -10_500);
        assert!(clock.moment().is_err());
    }

    /// It was refused, and nobody was told why until the next measurement, if it was wrong then still.
    #[test]
    fn a_clock_that_goes_wrong_between_two_measurements_is_told_of_once_and_so_is_its_end() {
        let log = Log::default();
        tracing::subscriber::with_default(log.subscriber(), || {
            let clock = Clock::new(Offset(0));
            clock.look();
            assert_eq!(log.lines(), [""; 0]);
            set(&clock, -10_500);
            for _ in 0..3 {
                assert!(clock.right().is_err());
                clock.look();
            }
            let told = log.lines();
            assert_eq!(told.len(), 1, "{told:?}");
            assert!(told[0].contains("WARN"), "{told:?}");
            assert!(told[0].contains("clock is 10.5 s behind Cassandra's"), "{told:?}");
            clock.learn(Offset(-10_500));
            assert_eq!(log.lines().len(), 1, "measured, it is the same");
            set(&clock, 10_500);
            for _ in 0..3 {
                assert!(clock.right().is_ok());
                clock.look();
            }
            let told = log.lines();
            assert_eq!(told.len(), 2, "{told:?}");
            assert!(
                told[1].contains("INFO") && told[1].contains("right again"),
                "{told:?}"
            );
            clock.learn(Offset(12_000));
            assert_eq!(log.lines().len(), 3, "and anew when it goes wrong anew");
        });
    }

    #[test]
    fn the_gauge_follows_a_clock_between_two_measurements() {
        let recorder = metrics_exporter_prometheus::PrometheusBuilder::new().build_recorder();
        let shown = || {
            let text = recorder.handle().render();
            let mut lines = text.lines();
            let value = lines.find_map(|line| {
                let value = line.strip_prefix("postern_cassandra_clock_offset_seconds ")?;
                value.parse::<f64>().ok()
            });
            value.unwrap()
        };
        metrics::with_local_recorder(&recorder, || {
            let clock = Clock::new(Offset(0));
            assert!(shown().abs() < 1.0);
            set(&clock, 4_000);
            clock.look();
            assert!((3.0..5.0).contains(&shown()), "{}", shown());
        });
    }

    #[test]
    fn one_node_with_a_wrong_clock_is_not_believed_against_others() {
        let middle = |offsets: &[i64]| Offset::middle(offsets.iter().copied().map(Offset).collect());
        assert_eq!(middle(&[]), None);
        assert_eq!(middle(&[30_000]), Some(Offset(30_000)));
        assert_eq!(middle(&[30_000, 2, -1]), Some(Offset(2)));
        assert_eq!(middle(&[-40_000, 5]), Some(Offset(5)));
        assert_eq!(middle(&[30_000, 30_001, 0]), Some(Offset(30_000)));
    }
}
