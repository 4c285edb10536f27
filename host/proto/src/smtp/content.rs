//! One message's content on its way in: where it ends, what it may hold, how dots are taken away.
//!
//! This is the one owner of line endings, dots and content limits. Lines end with CRLF and with nothing
//! else; DATA ends with CRLF.CRLF and with nothing else (RFC 5321 §4.1.1.4), so no other spelling can smuggle
//! a second message. What is wrong is refused, never repaired: the first fault is kept, content goes on
//! being read to its real end so that the session stays in sync, and nothing more of it is given out.
//! However the input is cut into pieces, the result is the same.

#[cfg(test)]
mod tests;

use super::Reply;
use bytes::{Buf, BytesMut};
use memchr::{memchr, memchr2};

/// What content may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Bounds {
    /// Octets of the message, without the dots of transparency (RFC 1870 §4).
    pub message_size: u64,
    /// Octets of one line, CRLF included, without the dot of transparency (RFC 5321 §4.5.3.1.6).
    pub line: usize,
    /// Octets of the header section, without the empty line behind it.
    pub headers: usize,
    pub eight_bit: EightBit,
}

/// Octets above 127.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum EightBit {
    Accepted,
    /// They were not declared, and the listener insists (RFC 6152 §3).
    Refused,
}

/// Whether the end of DATA was seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Progress {
    More,
    Done,
}

/// Content that is being read.
#[derive(Debug)]
pub(super) struct Content {
    bounds: Bounds,
    place: Place,
    /// Octets so far.
    size: u64,
    /// Octets of this line so far.
    line: usize,
    section: Section,
    fault: Option<Fault>,
}

/// What was read last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// CRLF, or nothing yet.
    LineStart,
    /// A dot at the start of a line of DATA; it is not content.
    Dot,
    /// A dot at the start of a line of DATA and a CR: only LF may follow, and ends the content.
    DotCr,
    /// Anything else within a line.
    Line,
    /// CR within a line: only LF may follow.
    Cr,
}

/// Header fields and their octets so far, or what is behind them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Section {
    Headers(usize),
    Body,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    BareCr,
    BareLf,
    Nul,
    LongLine,
    LongHeaders,
    TooBig,
    EightBit,
}

impl Content {
    pub(super) fn new(bounds: Bounds) -> Self {
        Self {
            bounds,
            place: Place::LineStart,
            size: 0,
            line: 0,
            section: Section::Headers(0),
            fault: None,
        }
    }

    /// DATA: takes from `input` up to the end CRLF.CRLF, and nothing behind it. Content without the dots of
    /// transparency (RFC 5321 §4.5.2) is appended to `out`.
    pub(super) fn data(&mut self, input: &mut BytesMut, out: &mut BytesMut) -> Progress {
        let mut rest: &[u8] = input;
        let mut progress = Progress::More;
        while let Some((&first, behind)) = rest.split_first() {
            match (self.place, first) {
                (Place::LineStart, b'.') => (self.place, rest) = (Place::Dot, behind),
                (Place::Dot, b'\r') => (self.place, rest) = (Place::DotCr, behind),
                (Place::DotCr, b'\n') => {
                    (self.place, rest) = (Place::LineStart, behind);
                    progress = Progress::Done;
                    break;
                }
                (Place::DotCr, _) => {
                    self.fail(Fault::BareCr);
                    self.place = Place::Line;
                }
                _ => rest = self.segment(rest, out),
            }
        }
        let taken = input.len() - rest.len();
        input.advance(taken);
        progress
    }

    /// BDAT: octets of a chunk, counted by the caller (RFC 3030 §2). Dots mean nothing here.
    pub(super) fn chunk(&mut self, octets: &[u8], out: &mut BytesMut) {
        let mut rest = octets;
        while !rest.is_empty() {
            rest = self.segment(rest, out);
        }
    }

    /// The end of the last chunk: a missing final CRLF is added, the only change there is.
    pub(super) fn finish(&mut self, out: &mut BytesMut) {
        match self.place {
            Place::LineStart => return,
            Place::Cr | Place::DotCr => self.fail(Fault::BareCr),
            Place::Dot | Place::Line if self.line + 2 > self.bounds.line => self.fail(Fault::LongLine),
            Place::Dot | Place::Line => {}
        }
        if self.fault.is_none() {
            out.extend_from_slice(b"\r\n");
            // The client is not charged for these two: its declared size was right without them.
            self.place = Place::LineStart;
        }
    }

    /// The first thing that was wrong.
    pub(super) fn fault(&self) -> Option<Reply> {
        self.fault.map(|fault| match fault {
            Fault::BareCr => Reply::bare_cr(),
            Fault::BareLf => Reply::bare_lf(),
            Fault::Nul => Reply::content_nul(),
            Fault::LongLine => Reply::content_line_too_long(),
            Fault::LongHeaders => Reply::headers_too_long(),
            Fault::TooBig => Reply::too_big(),
            Fault::EightBit => Reply::undeclared_8bit(),
        })
    }

    /// Takes up to the next LF, or all there is; gives what is behind it.
    fn segment<'a>(&mut self, octets: &'a [u8], out: &mut BytesMut) -> &'a [u8] {
        let length = memchr(b'\n', octets).map_or(octets.len(), |lf| lf + 1);
        let (segment, rest) = octets.split_at(length);
        if self.fault.is_none() {
            self.inspect(segment, out);
        }
        self.place = match segment {
            [.., b'\r', b'\n'] => Place::LineStart,
            [b'\n'] if self.place == Place::Cr => Place::LineStart,
            [.., b'\r'] => Place::Cr,
            // A bare LF starts no line: a dot behind it is neither stuffing nor an end.
            _ => Place::Line,
        };
        if self.place == Place::LineStart {
            self.line = 0;
        }
        rest
    }

    /// Counts a segment and gives it out, up to the first octet that is wrong.
    fn inspect(&mut self, segment: &[u8], out: &mut BytesMut) {
        // The empty line that ends the header section is none of it.
        let separator = match self.line {
            0 => segment.first() == Some(&b'\r'),
            1 => self.place == Place::Cr,
            _ => false,
        };
        // At the same octet the earlier row is named, so that the fault does not depend on the pieces.
        let faults = [
            self.stray(segment),
            self.excess(segment, separator),
            self.eight_bit(segment),
        ];
        let first = faults.into_iter().flatten().min_by_key(|(offset, _)| *offset);
        let good = match first {
            Some((offset, fault)) => {
                self.fail(fault);
                segment.split_at_checked(offset).map_or(segment, |(good, _)| good)
            }
            None => segment,
        };
        out.extend_from_slice(good);
        self.size += good.len() as u64;
        self.line += good.len();
        match &mut self.section {
            Section::Headers(_) if separator && good.ends_with(b"\n") => self.section = Section::Body,
            Section::Headers(octets) if !separator => *octets += good.len(),
            _ => {}
        }
    }

    /// The first CR, LF or NUL that is out of place, and where it shows.
    fn stray(&self, segment: &[u8]) -> Option<(usize, Fault)> {
        if self.place == Place::Cr {
            return (segment != b"\n").then_some((0, Fault::BareCr));
        }
        if let Some(offset) = memchr2(b'\r', b'\0', segment) {
            return match segment.get(offset..) {
                Some([b'\0', ..]) => Some((offset, Fault::Nul)),
                Some([b'\r'] | [b'\r', b'\n']) => None,
                _ => Some((offset + 1, Fault::BareCr)),
            };
        }
        segment
            .ends_with(b"\n")
            .then(|| (segment.len() - 1, Fault::BareLf))
    }

    /// The first octet that is one too many.
    fn excess(&self, segment: &[u8], separator: bool) -> Option<(usize, Fault)> {
        let size = self.bounds.message_size.saturating_sub(self.size);
        let headers = match self.section {
            Section::Headers(octets) if !separator => self.bounds.headers.saturating_sub(octets),
            _ => usize::MAX,
        };
        let rooms = [
            (self.bounds.line.saturating_sub(self.line), Fault::LongLine),
            (headers, Fault::LongHeaders),
            (usize::try_from(size).unwrap_or(usize::MAX), Fault::TooBig),
        ];
        let least = rooms.into_iter().min_by_key(|(room, _)| *room);
        least.filter(|(room, _)| *room < segment.len())
    }

    /// The first octet above 127, where there may be none.
    fn eight_bit(&self, segment: &[u8]) -> Option<(usize, Fault)> {
        if self.bounds.eight_bit == EightBit::Accepted || segment.is_ascii() {
            return None;
        }
        let offset = segment.iter().position(|octet| !octet.is_ascii())?;
        Some((offset, Fault::EightBit))
    }

    fn fail(&mut self, fault: Fault) {
        self.fault.get_or_insert(fault);
    }
}
