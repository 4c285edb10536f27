//! Lines of a client outside content, the one owner of their endings: strict CRLF, a bound, no NUL.
//!
//! A fault is told once, as soon as it is seen, and the rest of that line is read to its CRLF and thrown
//! away: one line, one answer, and the session stays in sync.

#[cfg(test)]
mod tests;

use bytes::{Buf as _, BytesMut};
use memchr::memchr3;

/// RFC 4954 §4: AUTH and its responses are at most 12288 octets, CRLF included; no other line may be longer.
pub(super) const LONGEST: usize = 12_288;

/// What is wrong with a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    TooLong,
    /// NUL, or a CR or LF alone: where one side sees a line end and the other does not, commands can be
    /// smuggled.
    Unclean,
}

/// How far the first line of the input was looked at.
#[derive(Debug, Default)]
pub(super) struct Lines {
    /// Octets that hold no line end.
    seen: usize,
    skip: Skip,
}

/// Whether the rest of a faulty line is being thrown away.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Skip {
    #[default]
    No,
    ToLineEnd,
}

impl Lines {
    /// Whether the next octet begins a line.
    pub(super) fn at_start(&self) -> bool {
        self.skip == Skip::No
    }

    /// The next line without its CRLF, or what is wrong with it; None: more input is needed.
    pub(super) fn next(&mut self, input: &mut BytesMut) -> Option<Result<BytesMut, Fault>> {
        loop {
            let fresh = input.get(self.seen..).unwrap_or_default();
            let found = memchr3(b'\n', b'\r', 0, fresh);
            let at = found.map_or(input.len(), |at| at + self.seen);
            if self.skip == Skip::No && at + 2 > LONGEST {
                return self.fault(input, LONGEST - 1, Fault::TooLong);
            }
            match (input.get(at), input.get(at + 1)) {
                (Some(b'\r'), Some(b'\n')) => {
                    let line = input.split_to(at);
                    input.advance(2);
                    self.seen = 0;
                    match std::mem::take(&mut self.skip) {
                        Skip::No => return Some(Ok(line)),
                        Skip::ToLineEnd => {}
                    }
                }
                // A CR that ends the input may be half of a CRLF.
                (Some(b'\r'), None) | (None, _) => {
                    self.wait(input, at);
                    return None;
                }
                (Some(_), _) if self.skip == Skip::ToLineEnd => self.seen = at + 1,
                (Some(_), _) => return self.fault(input, at + 1, Fault::Unclean),
            }
        }
    }

    /// Nothing ends the line before `at`. What is being skipped is not kept.
    fn wait(&mut self, input: &mut BytesMut, at: usize) {
        self.seen = at;
        if self.skip == Skip::ToLineEnd {
            input.advance(at);
            self.seen = 0;
        }
    }

    /// Tells the fault; the rest of the line is skipped from `at` on.
    fn fault(&mut self, input: &mut BytesMut, at: usize, fault: Fault) -> Option<Result<BytesMut, Fault>> {
        input.advance(at.min(input.len()));
        self.seen = 0;
        self.skip = Skip::ToLineEnd;
        Some(Err(fault))
    }
}
