//! Lines of a client, in both protocols: the one owner of their endings. Strict CRLF, a bound, no NUL.
//!
//! A fault is told once, as soon as it is seen, and the rest of that line is read to its CRLF and thrown
//! away: one line, one answer, and the session stays in sync. What is thrown away of one line is bounded.

#[cfg(test)]
mod tests;

use bytes::{Buf as _, BytesMut};

/// The longest line of either protocol: AUTH and its responses (RFC 4954 §4, RFC 5034 §4), CRLF included.
pub(crate) const LONGEST: usize = 12_288;

/// Octets of a faulty line that are thrown away while its end is awaited.
const SKIPPED: usize = 65_536;

/// How a TLS handshake begins (RFC 8446 §5.1), and no command: from a client that expects TLS here, and
/// waits for an answer that is no line.
const HANDSHAKE: [u8; 2] = [0x16, 0x03];

/// What is wrong with a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    TooLong,
    /// CR or LF alone: where one side sees a line end and the other does not, commands can be smuggled.
    BareLineEnd,
    Nul,
    /// TLS where it is not expected.
    Handshake,
    /// A line that was refused already goes on and on.
    Endless,
}

/// Input on its way into lines.
#[derive(Default)]
pub(crate) struct Lines {
    input: BytesMut,
    /// Octets that were looked at and hold no line end.
    seen: usize,
    skip: Skip,
}

/// Whether the rest of a faulty line is being thrown away.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Skip {
    #[default]
    No,
    /// To the line's end; so many octets are gone already.
    ToLineEnd(usize),
}

/// Shows no input: it may be a password.
impl std::fmt::Debug for Lines {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Lines({} octets)", self.input.len())
    }
}

impl Lines {
    pub(crate) fn feed(&mut self, input: &[u8]) {
        self.input.extend_from_slice(input);
    }

    /// What is behind the last line that was taken, for content that is no lines.
    pub(crate) fn octets(&mut self) -> &mut BytesMut {
        &mut self.input
    }

    /// Forgets all input (RFC 3207 §4.2, RFC 2595 §4: what was pipelined in clear before TLS).
    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }

    /// Gives back a buffer that holds nothing: there may be thousands of idle sessions.
    pub(crate) fn release(&mut self) {
        if self.input.is_empty() {
            self.input = BytesMut::new();
        }
    }

    /// The next line without its CRLF, or what is wrong with it; None: more input is needed.
    pub(crate) fn next(&mut self, bound: usize) -> Option<Result<BytesMut, Fault>> {
        loop {
            if self.skip == Skip::No && self.input.starts_with(&HANDSHAKE) {
                return self.fault(HANDSHAKE.len(), Fault::Handshake);
            }
            let fresh = self.input.get(self.seen..).unwrap_or_default();
            let found = memchr::memchr3(b'\n', b'\r', 0, fresh);
            let at = found.map_or(self.input.len(), |at| at + self.seen);
            match self.skip {
                Skip::No if at + 2 > bound => return self.fault(bound - 1, Fault::TooLong),
                Skip::ToLineEnd(gone) if gone + at > SKIPPED => return self.fault(at, Fault::Endless),
                _ => {}
            }
            match (self.input.get(at), self.input.get(at + 1)) {
                (Some(b'\r'), Some(b'\n')) => {
                    if let Some(line) = self.take(at) {
                        return Some(Ok(line));
                    }
                }
                // A CR that ends the input may be half of a CRLF.
                (Some(b'\r'), None) | (None, _) => {
                    self.wait(at);
                    return None;
                }
                (Some(_), _) if self.skip != Skip::No => self.seen = at + 1,
                (Some(0), _) => return self.fault(at + 1, Fault::Nul),
                (Some(_), _) => return self.fault(at + 1, Fault::BareLineEnd),
            }
        }
    }

    /// Takes the line that ends at `at`; None if it was being skipped.
    fn take(&mut self, at: usize) -> Option<BytesMut> {
        let line = self.input.split_to(at);
        self.input.advance(2);
        self.seen = 0;
        match std::mem::take(&mut self.skip) {
            Skip::No => Some(line),
            Skip::ToLineEnd(_) => None,
        }
    }

    /// Nothing ends the line before `at`. What is being skipped is not kept.
    fn wait(&mut self, at: usize) {
        self.seen = at;
        if let Skip::ToLineEnd(gone) = &mut self.skip {
            self.input.advance(at);
            *gone += at;
            self.seen = 0;
        }
    }

    /// Tells the fault; the rest of the line is skipped from `at` on.
    fn fault(&mut self, at: usize, fault: Fault) -> Option<Result<BytesMut, Fault>> {
        self.input.advance(at.min(self.input.len()));
        self.seen = 0;
        self.skip = Skip::ToLineEnd(0);
        Some(Err(fault))
    }
}
