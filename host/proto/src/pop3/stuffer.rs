//! Dot-stuffing (RFC 1939 §3) and the cut of TOP (§7), in one streaming encoder.
//!
//! Content comes in pieces of any size; where CRLF or a leading dot is split between two pieces makes no
//! difference. The end is always CRLF `.` CRLF, with a CRLF added only where the content has none.

use super::Extent;

/// Whether the encoder wants more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flow {
    More,
    /// TOP has all its lines: what comes behind is not sent.
    Enough,
}

/// Encodes one message.
#[derive(Debug)]
pub struct Stuffer {
    line: Line,
    cut: Cut,
}

/// What the current line holds so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Line {
    Empty,
    /// A CR and nothing else.
    Cr,
    Text,
}

/// How far is left to go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cut {
    Never,
    /// In the header section; this many lines of body will follow.
    Head(u64),
    /// In the body; this many lines are left.
    Body(u64),
}

impl Stuffer {
    pub fn new(extent: Extent) -> Self {
        Self {
            line: Line::Empty,
            cut: match extent {
                Extent::Whole => Cut::Never,
                Extent::Top(lines) => Cut::Head(lines),
            },
        }
    }

    /// Encodes the next piece of content onto `out`.
    pub fn push(&mut self, piece: &[u8], out: &mut Vec<u8>) -> Flow {
        let wanted = self.wanted(piece);
        self.stuff(wanted, out);
        match self.cut {
            Cut::Body(0) => Flow::Enough,
            _ => Flow::More,
        }
    }

    /// Ends the message.
    pub fn finish(self, out: &mut Vec<u8>) {
        if self.line != Line::Empty {
            out.extend_from_slice(b"\r\n");
        }
        out.extend_from_slice(b".\r\n");
    }

    /// The part of the piece that is before TOP's cut.
    fn wanted<'p>(&mut self, piece: &'p [u8]) -> &'p [u8] {
        let (mut cut, mut line, mut end) = (self.cut, self.line, 0);
        while cut != Cut::Never && cut != Cut::Body(0) {
            let rest = piece.get(end..).unwrap_or_default();
            let Some(at) = memchr::memchr(b'\n', rest) else {
                end = piece.len();
                break;
            };
            let blank = line.after(rest.get(..at).unwrap_or_default()) == Line::Cr;
            cut = match cut {
                Cut::Head(lines) if blank => Cut::Body(lines),
                Cut::Body(lines) => Cut::Body(lines - 1),
                head => head,
            };
            end += at + 1;
            line = Line::Empty;
        }
        if cut == Cut::Never {
            end = piece.len();
        }
        self.cut = cut;
        piece.get(..end).unwrap_or_default()
    }

    fn stuff(&mut self, piece: &[u8], out: &mut Vec<u8>) {
        out.reserve(piece.len() + 8);
        if self.line == Line::Empty && piece.starts_with(b".") {
            out.push(b'.');
        }
        let mut from = 0;
        for at in memchr::memmem::find_iter(piece, b"\n.") {
            out.extend_from_slice(piece.get(from..=at).unwrap_or_default());
            out.push(b'.');
            from = at + 1;
        }
        out.extend_from_slice(piece.get(from..).unwrap_or_default());
        self.line = match memchr::memrchr(b'\n', piece) {
            Some(at) => Line::Empty.after(piece.get(at + 1..).unwrap_or_default()),
            None => self.line.after(piece),
        };
    }
}

impl Line {
    /// The line with `more`, which holds no LF, behind it.
    fn after(self, more: &[u8]) -> Self {
        match (self, more) {
            (line, []) => line,
            (Self::Empty, [b'\r']) => Self::Cr,
            _ => Self::Text,
        }
    }
}

#[cfg(test)]
mod tests;
