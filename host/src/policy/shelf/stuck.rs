//! When a version is tried again whose trial had no end.

use super::super::load::{Ended, Fault};
use std::time::{Duration, Instant};

/// After a trial that had no end the next one is so much later at first, and twice as much each time.
const PAUSE: Duration = Duration::from_secs(8);
const LONGEST_PAUSE: Duration = Duration::from_secs(600);

/// A version whose trial had no end.
#[derive(Debug, Clone, Copy)]
pub(super) struct Stuck {
    /// Trials so far.
    pub(super) trials: u32,
    /// Not before it is tried again, unless somebody asks.
    pub(super) next: Instant,
}

impl Stuck {
    /// None: the trial ended otherwise, and the next look may try again.
    pub(super) fn after(fault: &Fault, before: Option<Self>, now: Instant) -> Option<Self> {
        if fault.ending != Some(Ended::TimeOut) {
            return None;
        }
        let trials = before.map_or(0, |before| before.trials).saturating_add(1);
        let pause = PAUSE.saturating_mul(1 << (trials - 1).min(16)).min(LONGEST_PAUSE);
        Some(Self {
            trials,
            next: now + pause,
        })
    }
}
