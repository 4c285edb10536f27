//! A policy that fails, or is slow, too often is taken out of service: its failure policy holds at once, without a
//! call, or an earlier version decides. It comes back by one call that goes well, or by command.
//!
//! Traps, missed deadlines, starts that fail and calls over the bound for the 99th percentile count, each within a
//! sliding window. What is the host's trouble (no place, a store that fails) is not told here: a trial that met it is given
//! up.

use super::manifest::{Back, BreakerBounds};
use crate::config::units::Span;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// A percentile of fewer calls is their slowest.
pub(super) const FOR_P99: u64 = 100;
/// A trial of which nothing is heard, not even that it was given up, is made again. Longer than any call lasts.
const TRIAL: Duration = Duration::from_secs(150);
/// Parts of a window: it slides by one of them at a time.
const SLICES: usize = 10;

/// How a call went.
#[derive(Debug, Clone, Copy)]
pub(super) struct Course {
    pub(super) begun: Instant,
    /// Without what it waited for the host, and what the size of its message allows.
    pub(super) took: Duration,
    pub(super) failed: bool,
}

/// What a call made of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Change {
    /// With the reason.
    Opened(String),
    Closed,
}

#[derive(Debug)]
pub(super) struct Breaker {
    /// None: it is never opened.
    bounds: Option<BreakerBounds>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    stage: Stage,
    /// Calls that began before say nothing about this stage.
    since: Instant,
    window: Window,
}

#[derive(Debug)]
enum Stage {
    Closed,
    Open(String),
    /// One call is under way that decides.
    Trying(String),
}

impl Breaker {
    pub(super) fn new(bounds: Option<BreakerBounds>, now: Instant) -> Self {
        let span = bounds.map_or(Duration::ZERO, |bounds| bounds.window);
        Self {
            bounds,
            state: Mutex::new(State {
                stage: Stage::Closed,
                since: now,
                window: Window::new(span, now),
            }),
        }
    }

    /// Whether it may be called. Who is told so after its pause makes the trial.
    pub(super) fn admits(&self, now: Instant) -> bool {
        let mut state = self.state();
        let pause = match (&state.stage, self.bounds.map(|bounds| bounds.back)) {
            (Stage::Closed, _) => return true,
            (Stage::Open(_), Some(Back::After(pause))) => pause,
            (Stage::Open(_), _) => return false,
            (Stage::Trying(_), _) => TRIAL,
        };
        if now.saturating_duration_since(state.since) < pause {
            return false;
        }
        state.since = now;
        state.stage = match std::mem::replace(&mut state.stage, Stage::Closed) {
            Stage::Open(why) | Stage::Trying(why) => Stage::Trying(why),
            Stage::Closed => Stage::Closed,
        };
        true
    }

    /// Takes how a call went.
    pub(super) fn heard(&self, course: Course, now: Instant) -> Option<Change> {
        let bounds = self.bounds?;
        let mut state = self.state();
        if course.begun < state.since {
            return None;
        }
        let slow = bounds.p99.is_some_and(|bound| course.took > bound);
        match &state.stage {
            Stage::Open(_) => None,
            Stage::Trying(why) if course.failed || slow => {
                let why = why.clone();
                state.enter(Stage::Open(why), now);
                None
            }
            Stage::Trying(_) => {
                state.enter(Stage::Closed, now);
                Some(Change::Closed)
            }
            Stage::Closed => {
                state.window.add(course.failed, slow, now);
                let why = over(&bounds, state.window.sum(now))?;
                state.enter(Stage::Open(why.clone()), now);
                Some(Change::Opened(why))
            }
        }
    }

    /// Takes that nothing will be heard of a call that began then: if it was the trial the pause begins anew.
    pub(super) fn abandoned(&self, begun: Instant, now: Instant) {
        let mut state = self.state();
        match &state.stage {
            Stage::Trying(why) if begun >= state.since => {
                let why = why.clone();
                state.enter(Stage::Open(why), now);
            }
            Stage::Trying(_) | Stage::Open(_) | Stage::Closed => {}
        }
    }

    /// Puts it back into service; answers whether it was out of it.
    pub(super) fn reset(&self, now: Instant) -> bool {
        let mut state = self.state();
        let was_out = !matches!(state.stage, Stage::Closed);
        state.enter(Stage::Closed, now);
        was_out
    }

    /// Why it is out of service, if it is.
    pub(super) fn trouble(&self) -> Option<String> {
        match &self.state().stage {
            Stage::Closed => None,
            Stage::Open(why) | Stage::Trying(why) => Some(why.clone()),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn enter(&mut self, stage: Stage, now: Instant) {
        self.stage = stage;
        self.since = now;
        self.window.clear();
    }
}

/// The bound that is reached or passed, for a person.
fn over(bounds: &BreakerBounds, sum: Tally) -> Option<String> {
    let Tally { calls, failed, slow } = sum;
    let window = Span(bounds.window);
    if calls < bounds.calls {
        return None;
    }
    if failed * 100 >= u64::from(bounds.failures) * calls {
        return Some(format!("{failed} of {calls} calls failed within {window}"));
    }
    let bound = bounds.p99.filter(|_| calls >= FOR_P99 && slow * 100 > calls)?;
    Some(format!(
        "{slow} of {calls} calls took longer than {} within {window}",
        Span(bound)
    ))
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Tally {
    calls: u64,
    failed: u64,
    slow: u64,
}

/// What was counted of late.
#[derive(Debug)]
struct Window {
    /// How long one slice lasts.
    slice: Duration,
    origin: Instant,
    /// Each with its number since the origin.
    slices: [(u128, Tally); SLICES],
}

impl Window {
    fn new(span: Duration, now: Instant) -> Self {
        Self {
            slice: (span / SLICES as u32).max(Duration::from_millis(1)),
            origin: now,
            slices: Default::default(),
        }
    }

    fn number(&self, now: Instant) -> u128 {
        now.saturating_duration_since(self.origin).as_nanos() / self.slice.as_nanos()
    }

    fn add(&mut self, failed: bool, slow: bool, now: Instant) {
        let number = self.number(now);
        let place = usize::try_from(number % SLICES as u128).unwrap_or_default();
        let Some((known, tally)) = self.slices.get_mut(place) else {
            return;
        };
        if *known != number {
            (*known, *tally) = (number, Tally::default());
        }
        tally.calls += 1;
        tally.failed += u64::from(failed);
        tally.slow += u64::from(slow);
    }

    fn sum(&self, now: Instant) -> Tally {
        let number = self.number(now);
        let of_late = |(known, _): &&(u128, Tally)| known + SLICES as u128 > number;
        let parts = self.slices.iter().filter(of_late);
        parts.fold(Tally::default(), |sum, (_, part)| Tally {
            calls: sum.calls + part.calls,
            failed: sum.failed + part.failed,
            slow: sum.slow + part.slow,
        })
    }

    fn clear(&mut self) {
        self.slices = Default::default();
    }
}

#[cfg(test)]
mod tests;
