//! Transfer encodings (RFC 2045 §6), decoded as leniently as mail programs do: what a person's program would
//! show must not be hidden from a policy by a stray octet.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD_NO_PAD as STANDARD_NO_PAD;
use memchr::memchr;
use std::sync::LazyLock;

/// How a part is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Transfer {
    Identity,
    Base64,
    QuotedPrintable,
}

impl Transfer {
    /// An unknown encoding is taken as it stands.
    pub(super) fn named(name: &str) -> Self {
        let name = name.trim();
        if name.eq_ignore_ascii_case("base64") {
            return Self::Base64;
        }
        if name.eq_ignore_ascii_case("quoted-printable") {
            return Self::QuotedPrintable;
        }
        Self::Identity
    }
}

/// What octets stand for that are no digit of base64.
const NOTHING: u8 = 64;
const PADDING: u8 = 65;

/// What each octet stands for. Branches would be guessed wrong at every other octet, which made a large
/// attachment cost more than a policy's deadline.
static DIGITS: LazyLock<[u8; 256]> = LazyLock::new(|| {
    let mut octets = 0..=u8::MAX;
    std::array::from_fn(|_| octets.next().map_or(NOTHING, digit))
});

fn digit(octet: u8) -> u8 {
    match octet {
        b'A'..=b'Z' => octet - b'A',
        b'a'..=b'z' => octet - b'a' + 26,
        b'0'..=b'9' => octet - b'0' + 52,
        b'+' => 62,
        b'/' => 63,
        b'=' => PADDING,
        _ => NOTHING,
    }
}

/// Octets outside the alphabet are passed over; behind padding a new run may begin.
pub(super) fn base64(text: &[u8]) -> Vec<u8> {
    let digits = &*DIGITS;
    let of = |octet: u8| digits.get(usize::from(octet)).copied().unwrap_or(NOTHING);
    let mut out = Vec::with_capacity(text.len() / 4 * 3 + 3);
    let (mut bits, mut held) = (0_u32, 0_u32);
    let mut rest = whole_lines(text, &mut out);
    loop {
        if held == 0 {
            rest = whole_groups(rest, of, &mut out);
        }
        let Some((octet, behind)) = rest.split_first() else {
            return out;
        };
        rest = behind;
        match of(*octet) {
            NOTHING => {
                if *octet == b'\n' && held == 0 {
                    rest = whole_lines(rest, &mut out);
                }
                continue;
            }
            PADDING => held = 0,
            digit => {
                bits = (bits << 6) | u32::from(digit);
                held += 6;
            }
        }
        if held >= 8 {
            held -= 8;
            out.push((bits >> held) as u8);
        }
    }
}

/// Octets of a line that is decoded at once; RFC 2045 §6.8 has 76.
const LINE: usize = 1024;

/// Decodes lines of whole groups, as every program writes them, and answers what is behind the last of them.
fn whole_lines<'a>(mut rest: &'a [u8], out: &mut Vec<u8>) -> &'a [u8] {
    let mut decoded = [0; LINE];
    while let Some(end) = memchr(b'\n', rest.get(..LINE).unwrap_or(rest)) {
        let (line, behind) = rest.split_at(end + 1);
        let Ok(octets) = STANDARD_NO_PAD.decode_slice(line.trim_ascii_end(), &mut decoded) else {
            break;
        };
        if octets % 3 != 0 {
            break;
        }
        out.extend_from_slice(decoded.get(..octets).unwrap_or_default());
        rest = behind;
    }
    rest
}

/// Decodes groups of four digits, and answers what is behind the last of them.
fn whole_groups<'a>(mut rest: &'a [u8], of: impl Fn(u8) -> u8, out: &mut Vec<u8>) -> &'a [u8] {
    while let Some((four, behind)) = rest.split_first_chunk::<4>() {
        let [a, b, c, d] = four.map(&of);
        if a | b | c | d >= NOTHING {
            break;
        }
        let group = u32::from(a) << 18 | u32::from(b) << 12 | u32::from(c) << 6 | u32::from(d);
        let [_, first, second, third] = group.to_be_bytes();
        out.extend_from_slice(&[first, second, third]);
        rest = behind;
    }
    rest
}

/// An `=` that begins nothing stands for itself.
pub(super) fn quoted_printable(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while !rest.is_empty() {
        // Millions of empty lines must not cost a policy its time.
        if let Some(behind) = rest.strip_prefix(b"=\r\n") {
            rest = behind;
            continue;
        }
        let length = memchr(b'\n', rest).map_or(rest.len(), |lf| lf + 1);
        let (line, behind) = rest.split_at(length);
        rest = behind;
        let shown = line.trim_ascii_end();
        // RFC 2045 §6.7 (3): white space at the end of a line was added in transport.
        let (shown, end) = match shown.strip_suffix(b"=") {
            Some(soft) => (soft, b"".as_slice()),
            None => (shown, ending(line)),
        };
        escapes(shown, &mut out);
        out.extend_from_slice(end);
    }
    out
}

fn ending(line: &[u8]) -> &[u8] {
    let end = [b"\r\n".as_slice(), b"\n"]
        .into_iter()
        .find(|end| line.ends_with(end));
    end.unwrap_or_default()
}

fn escapes(mut line: &[u8], out: &mut Vec<u8>) {
    while let Some(at) = memchr(b'=', line) {
        let (plain, escape) = line.split_at(at);
        out.extend_from_slice(plain);
        let decoded = match escape {
            [_, high, low, ..] => hex(*high).zip(hex(*low)),
            _ => None,
        };
        let taken = match decoded {
            Some((high, low)) => {
                out.push(high << 4 | low);
                3
            }
            None => {
                out.push(b'=');
                1
            }
        };
        line = escape.get(taken..).unwrap_or_default();
    }
    out.extend_from_slice(line);
}

fn hex(digit: u8) -> Option<u8> {
    let value = char::from(digit).to_digit(16)?;
    u8::try_from(value).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_read_over_what_does_not_belong_in_it() {
        assert_eq!(base64(b"aGVsbG8="), b"hello");
        assert_eq!(base64(b"aGVs\r\n bG8"), b"hello");
        assert_eq!(base64(b"aGV*s.bG8=!"), b"hello");
        assert_eq!(base64(b"aGVsbG8=\r\naGVsbG8="), b"hellohello");
        assert_eq!(base64(b"!"), b"");
        assert_eq!(base64(b"a\r\nGVs.bG8gd29ybGQh"), b"hello world!");
        assert_eq!(base64(b"AP+/\r\nAP+/A"), b"\x00\xff\xbf\x00\xff\xbf");
    }

    #[test]
    fn a_run_of_base64_may_be_cut_into_lines_anywhere() {
        let octets: Vec<u8> = (0..=255).cycle().take(3000).collect();
        let text = STANDARD_NO_PAD.encode(&octets);
        for length in [1, 3, 4, 75, 76, 77, 1020, 1022, 1023, 1024, 1025, 4000] {
            for end in ["\n", "\r\n", " \r\n", "\r\n\r\n", "!\n"] {
                let lines = text.as_bytes().chunks(length);
                let cut: Vec<u8> = lines.flat_map(|line| [line, end.as_bytes()].concat()).collect();
                assert!(base64(&cut) == octets, "{length} {end:?}");
            }
        }
    }

    /// Lines that were nothing but a soft break used up a policy's time.
    #[test]
    fn soft_breaks_in_a_row_are_nothing() {
        let breaks = "=\r\n".repeat(1000);
        let text = format!("a{breaks}b= \r\n{breaks}=3D=\n");
        assert_eq!(quoted_printable(text.as_bytes()), b"ab=");
        assert_eq!(quoted_printable(b"=\r\n=\r\n"), b"");
        assert_eq!(quoted_printable(b"=\r"), b"");
    }

    #[test]
    fn quoted_printable_keeps_lines_and_joins_soft_ones() {
        assert_eq!(
            quoted_printable(b"a=3Db=\r\nc  \r\nd=C3=a4"),
            "a=bc\r\nd\u{e4}".as_bytes()
        );
        assert_eq!(quoted_printable(b"50 = 50 =XY =4"), b"50 = 50 =XY =4");
        assert_eq!(quoted_printable(b"a= \r\nb\n"), b"ab\n");
    }
}
