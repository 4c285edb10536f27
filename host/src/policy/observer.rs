//! What a stand sees of a call beside its answer. A gateway's calls have no observer.

use super::plugin::Failed;
use postern_proto::smtp::Flaw;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Calls of capabilities that are kept of one question.
const KEPT: usize = 10_000;

/// One call of a capability.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostCall {
    /// As in the contract: `kv.compare-and-set`.
    pub function: String,
    /// As they are read by a person, long ones cut.
    pub arguments: String,
    pub answer: String,
}

/// A line that was logged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    pub level: &'static str,
    pub text: String,
}

/// Why there was no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ending {
    /// `trap`, `timeout`, …, as in the metrics.
    pub word: &'static str,
    pub text: String,
    /// The end of what the guest printed.
    pub last_words: String,
}

/// What was seen of one question.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Seen {
    pub calls: Vec<HostCall>,
    /// Calls behind those that are kept.
    pub more: usize,
    pub lines: Vec<Line>,
    pub failure: Option<Ending>,
    /// What had to be mended of its replies.
    pub mended: Vec<Flaw>,
}

/// Where calls tell what they do.
#[derive(Debug, Default)]
pub(super) struct Observer {
    now: Option<u64>,
    seen: Mutex<Seen>,
}

impl Observer {
    /// With the time of all calls in milliseconds since 1970; None: that of the clock.
    pub(super) fn at(now: Option<u64>) -> Self {
        Self {
            now,
            seen: Mutex::default(),
        }
    }

    pub(super) fn now(&self) -> Option<u64> {
        self.now
    }

    /// All since the last time.
    pub(super) fn take(&self) -> Seen {
        std::mem::take(&mut self.seen())
    }

    pub(super) fn called(&self, call: HostCall) {
        let mut seen = self.seen();
        match seen.calls.len() < KEPT {
            true => seen.calls.push(call),
            false => seen.more += 1,
        }
    }

    pub(super) fn logged(&self, level: &'static str, text: String) {
        self.seen().lines.push(Line { level, text });
    }

    pub(super) fn failed(&self, failed: &Failed) {
        self.seen().failure = Some(Ending {
            word: failed.failure.word(),
            text: failed.failure.to_string(),
            last_words: failed.output.clone(),
        });
    }

    pub(super) fn mended(&self, flaws: &[Flaw]) {
        self.seen().mended.extend_from_slice(flaws);
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_calls_are_kept_and_the_others_counted() {
        let observer = Observer::default();
        let call = HostCall {
            function: "session.helo".to_owned(),
            arguments: String::new(),
            answer: String::new(),
        };
        for _ in 0..KEPT {
            observer.called(call.clone());
        }
        let seen = observer.take();
        assert_eq!((seen.calls.len(), seen.more), (KEPT, 0));
        for _ in 0..=KEPT {
            observer.called(call.clone());
        }
        let seen = observer.take();
        assert_eq!((seen.calls.len(), seen.more), (KEPT, 1));
        assert_eq!(observer.take(), Seen::default());
    }
}
