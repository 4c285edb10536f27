//! What a stand sees of a call beside its answer. A gateway's calls have no observer.

use super::plugin::Failed;
use postern_proto::smtp::Flaw;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Calls of capabilities that are kept of one question.
const KEPT: usize = 10_000;
/// Octets of arguments that are kept whole of one question.
const WHOLE: usize = 16 << 20;

/// One call of a capability.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostCall {
    /// As in the contract: `kv.compare-and-set`.
    pub function: String,
    /// As they are read by a person, long ones cut.
    pub arguments: String,
    /// The same whole, where they are cut and there was room for it.
    pub whole: Option<String>,
    pub answer: String,
}

impl HostCall {
    /// `kv.get("key")`, long arguments whole.
    pub fn in_full(&self) -> String {
        format!(
            "{}({})",
            self.function,
            self.whole.as_ref().unwrap_or(&self.arguments)
        )
    }
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
    /// Octets of arguments that are kept whole.
    whole: usize,
    pub lines: Vec<Line>,
    pub failure: Option<Ending>,
    /// What had to be mended of its replies.
    pub mended: Vec<Flaw>,
}

/// A message that is asked about again: when it came, and by what its randomness is drawn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replayed {
    /// Milliseconds since 1970.
    pub at: u64,
    pub id: String,
}

/// Where calls tell what they do.
#[derive(Debug, Default)]
pub(super) struct Observer {
    now: Option<u64>,
    seen: Mutex<Seen>,
    /// The id of a message that is asked about again.
    replayed: Option<String>,
}

impl Observer {
    /// With the time of all calls in milliseconds since 1970; None: that of the clock.
    pub(super) fn at(now: Option<u64>) -> Self {
        Self {
            now,
            seen: Mutex::default(),
            replayed: None,
        }
    }

    pub(super) fn replaying(message: Replayed) -> Self {
        Self {
            replayed: Some(message.id),
            ..Self::at(Some(message.at))
        }
    }

    /// The message of the past that it is about: nothing may be sent anywhere for it, and what is drawn is drawn by it.
    pub(super) fn replayed(&self) -> Option<&str> {
        self.replayed.as_deref()
    }

    pub(super) fn now(&self) -> Option<u64> {
        self.now
    }

    /// All since the last time.
    pub(super) fn take(&self) -> Seen {
        std::mem::take(&mut self.seen())
    }

    pub(super) fn called(&self, mut call: HostCall) {
        let mut seen = self.seen();
        let whole = seen.whole + call.whole.as_ref().map_or(0, String::len);
        match whole <= WHOLE {
            true => seen.whole = whole,
            false => call.whole = None,
        }
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
            whole: None,
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

    #[test]
    fn so_many_arguments_are_kept_whole_and_the_others_cut() {
        let observer = Observer::default();
        let call = |octets: usize| HostCall {
            function: "kv.set".to_owned(),
            arguments: "\"k\"…".to_owned(),
            whole: Some("k".repeat(octets)),
            answer: String::new(),
        };
        for octets in [WHOLE - 1, 2, 1, 1] {
            observer.called(call(octets));
        }
        let seen = observer.take();
        let whole: Vec<bool> = seen.calls.iter().map(|call| call.whole.is_some()).collect();
        assert_eq!(whole, [true, false, true, false]);
        assert_eq!(seen.calls[1].in_full(), "kv.set(\"k\"…)");
    }
}
