//! Lines of a client, the one owner of line endings: strict CRLF, a bound, no NUL.
//!
//! A fault is told once, as soon as it is seen, and the rest of that line is read to its CRLF and thrown
//! away: one line, one answer, and the session stays in sync.

/// RFC 2449 §4: a command line is at most 255 octets, CRLF included.
pub(super) const COMMAND: usize = 255;

/// Responses within AUTH may be longer (RFC 5034 §4): as in RFC 4954 §4.
pub(super) const RESPONSE: usize = 12_288;

/// Octets of a faulty line that are thrown away while its end is awaited.
pub(super) const SKIPPED: usize = 65_536;

/// The first octet of a TLS handshake (RFC 8446 §5.1), which no command has.
const HANDSHAKE: u8 = 0x16;

/// What is wrong with a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    TooLong,
    /// CR or LF alone: where one side sees a line end and the other does not, commands can be smuggled.
    BareLineEnd,
    Nul,
    /// TLS on a port where it begins with STLS.
    Handshake,
    /// A line that was refused already goes on and on.
    Endless,
}

/// Input on its way into lines.
#[derive(Default)]
pub(super) struct Lines {
    input: Vec<u8>,
    /// Octets of `input` that are used up.
    used: usize,
    /// Octets behind `used` that were looked at and hold no line end.
    seen: usize,
    skip: Skip,
}

/// Whether the rest of a faulty line is being thrown away.
#[derive(Default, Clone, Copy, PartialEq, Eq)]
enum Skip {
    #[default]
    No,
    /// To the line's end; so many octets are gone already.
    ToLineEnd(usize),
}

/// Shows no input: it may be a password.
impl std::fmt::Debug for Lines {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Lines({} octets)", self.input.len() - self.used)
    }
}

impl Lines {
    pub(super) fn feed(&mut self, input: &[u8]) {
        if self.used > 0 {
            self.input.drain(..self.used);
            self.used = 0;
        }
        self.input.extend_from_slice(input);
    }

    /// Forgets all input (RFC 2595 §4: what was pipelined in clear behind STLS).
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    /// The next line without its CRLF, or what is wrong with it; None: more input is needed.
    pub(super) fn next(&mut self, bound: usize) -> Option<Result<Vec<u8>, Fault>> {
        loop {
            let rest = self.input.get(self.used..).unwrap_or_default();
            let found = memchr::memchr3(b'\n', b'\r', 0, rest.get(self.seen..).unwrap_or_default());
            let at = found.map_or(rest.len(), |at| at + self.seen);
            match self.skip {
                Skip::No if at + 2 > bound => return self.fault(bound - 1, Fault::TooLong),
                Skip::ToLineEnd(gone) if gone + at > SKIPPED => return self.fault(at, Fault::Endless),
                _ => {}
            }
            match (rest.get(at), rest.get(at + 1)) {
                (Some(b'\r'), Some(b'\n')) => match self.take(at) {
                    Some(line) => return Some(Ok(line)),
                    None => continue,
                },
                // A CR that ends the input may be half of a CRLF.
                (Some(b'\r'), None) | (None, _) => {
                    self.seen = at;
                    self.forget_skipped();
                    return None;
                }
                (Some(_), _) if self.skip != Skip::No => self.seen = at + 1,
                (Some(0), _) if rest.first() == Some(&HANDSHAKE) => {
                    return self.fault(at + 1, Fault::Handshake);
                }
                (Some(0), _) => return self.fault(at + 1, Fault::Nul),
                (Some(_), _) => return self.fault(at + 1, Fault::BareLineEnd),
            }
        }
    }

    /// Takes the line that ends at `at`; None if it was being skipped.
    fn take(&mut self, at: usize) -> Option<Vec<u8>> {
        let line = self
            .input
            .get(self.used..self.used + at)
            .unwrap_or_default()
            .to_vec();
        self.used += at + 2;
        self.seen = 0;
        match std::mem::take(&mut self.skip) {
            Skip::No => Some(line),
            Skip::ToLineEnd(_) => None,
        }
    }

    /// Tells the fault; the rest of the line is skipped from `at` on.
    fn fault(&mut self, at: usize, fault: Fault) -> Option<Result<Vec<u8>, Fault>> {
        self.used += at;
        self.seen = 0;
        self.skip = Skip::ToLineEnd(0);
        Some(Err(fault))
    }

    /// What is being skipped is not kept.
    fn forget_skipped(&mut self) {
        if let Skip::ToLineEnd(gone) = &mut self.skip {
            self.used += self.seen;
            *gone += self.seen;
            self.seen = 0;
        }
    }
}

#[cfg(test)]
mod tests;
