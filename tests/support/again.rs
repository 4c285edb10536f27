//! Asking again: what another process does and has no way to tell is looked for until it is there.
//!
//! The one place where tests pause, and bounded; what can be waited for (a line of a log, an event, the end of a
//! thread, tokio's paused clock) is waited for.

use std::time::{Duration, Instant};

const PAUSE: Duration = Duration::from_millis(50);

/// Asks until there is an answer; none when the patience is over.
pub(crate) fn ask_again<T>(patience: Duration, mut ask: impl FnMut() -> Option<T>) -> Option<T> {
    let end = Instant::now() + patience;
    loop {
        let answer = ask();
        if answer.is_some() || Instant::now() > end {
            return answer;
        }
        std::thread::sleep(PAUSE);
    }
}
