//! Header sections as octets: where they end, which fields they have, how a new field is written.
//!
//! Nothing here refuses: a line that is no field is a field without a name, and stays as it is.

use bytes::Bytes;
use mail_parser::HeaderName;
use memchr::memmem;
use postern_proto::Address;

/// Recommended length of a line without its CRLF (RFC 5322 §2.1.1).
const FOLD: usize = 78;

/// Most octets of a line without its CRLF (RFC 5322 §2.1.1).
const MOST: usize = 998;

/// How many octets the header section with its empty line has; None if its end has not come yet. The first
/// `scanned` octets were looked at before.
pub fn end(bytes: &[u8], scanned: usize) -> Option<usize> {
    if bytes.starts_with(b"\r\n") {
        return Some(2);
    }
    let from = scanned.saturating_sub(3);
    let found = memmem::find(bytes.get(from..)?, b"\r\n\r\n");
    found.map(|at| from + at + 4)
}

/// Most octets of a line without its CRLF (RFC 5322 §2.1.1).
const LINE: usize = 998;

/// The empty line before a body that comes without a header section.
const BODY: &str = "\r\n";

/// What must stand before content, lest it go on with the trace above it: nothing before a header field; an empty line
/// before a body without a header section; the name of a field before the line that begins a message in an mbox
/// (RFC 4155), which senders leave there. None if it does not show yet; a colon shows within a line's [`LINE`] octets, or
/// there is no field.
pub fn opening(content: &[u8]) -> Option<&'static str> {
    let in_name = |octet: &u8| octet.is_ascii_graphic() && *octet != b':';
    let shown = content.get(..LINE).unwrap_or(content);
    let name = shown.iter().take_while(|octet| in_name(octet)).count();
    let (name, behind) = shown.split_at(name);
    let blank = behind
        .iter()
        .take_while(|octet| matches!(octet, b' ' | b'\t'))
        .count();
    let Some(next) = behind.get(blank) else {
        return (shown.len() == LINE).then_some(BODY);
    };
    Some(match (name, next) {
        ([], b'\r') if blank == 0 => "",
        ([_, ..], b':') => "",
        _ if is_from(name) && behind.starts_with(b" ") => "X-Mailbox-Line: ",
        _ => BODY,
    })
}

/// `From`, and as mail readers write it where it is text.
fn is_from(name: &[u8]) -> bool {
    let quoted = name.iter().take_while(|octet| **octet == b'>').count();
    name.get(quoted..) == Some(b"From".as_slice())
}

/// The header section, with its empty line, and the text of whole content, behind what must stand before it.
pub fn parted(content: Bytes) -> (Bytes, Bytes) {
    let before = match content.as_ref() {
        [] => "",
        content => opening(content).unwrap_or(BODY),
    };
    let mut text = match before {
        "" => content,
        before => [before.as_bytes(), &content].concat().into(),
    };
    let end = end(&text, 0).unwrap_or(text.len());
    (text.split_to(end), text)
}

/// One field: its name and all its octets, continuation lines and final CRLF included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Field<'a> {
    /// Without white space; empty for a line that is no field.
    pub name: &'a [u8],
    pub raw: &'a [u8],
}

impl Field<'_> {
    pub fn is(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name.as_bytes())
    }

    /// What stands behind the colon, unfolded and trimmed; octets that are no UTF-8 are replaced.
    pub fn value(&self) -> String {
        let behind = self.raw.iter().position(|octet| *octet == b':');
        let value = behind
            .and_then(|colon| self.raw.get(colon + 1..))
            .unwrap_or_default();
        let text = String::from_utf8_lossy(value).replace("\r\n", "");
        text.trim().to_owned()
    }
}

/// The fields of a header section, in order; its empty line is not one of them.
pub fn fields(head: &[u8]) -> impl Iterator<Item = Field<'_>> {
    let mut rest = head;
    std::iter::from_fn(move || {
        if rest.is_empty() || rest.starts_with(b"\r\n") {
            return None;
        }
        let (raw, behind) = rest.split_at(length(rest));
        rest = behind;
        let name = raw.iter().position(|octet| *octet == b':');
        let name = name
            .and_then(|colon| raw.get(..colon))
            .unwrap_or_default()
            .trim_ascii_end();
        Some(Field { name, raw })
    })
}

/// The addresses of `From` that are addresses; those that are none name nobody. Where there are several such
/// fields all count, for nobody knows which of them a reader is shown.
pub fn authors(head: &[u8]) -> Vec<Address> {
    let parsed = mail_parser::MessageParser::default().parse_headers(head);
    let fields = parsed
        .iter()
        .flat_map(|message| message.header_values(HeaderName::From));
    let texts = fields
        .filter_map(|field| field.as_address())
        .flat_map(|authors| authors.iter())
        .filter_map(|author| author.address());
    texts.filter_map(|text| Address::parse(text).ok()).collect()
}

/// Octets of the first field: its line and those that continue it. Only CRLF ends a line, as in [`end`].
pub fn length(bytes: &[u8]) -> usize {
    for lf in memchr::memchr_iter(b'\n', bytes) {
        let ends = lf > 0 && bytes.get(lf - 1) == Some(&b'\r');
        if ends && !matches!(bytes.get(lf + 1), Some(b' ' | b'\t')) {
            return lf + 1;
        }
    }
    bytes.len()
}

/// Writes `name: value` with CRLF, folded at spaces behind the 78th octet where it has any, and wherever a
/// line would have more than 998.
pub fn write(name: &str, value: &str) -> String {
    let mut out = format!("{name}:");
    let mut line = out.len();
    for word in value.split(' ').flat_map(pieces) {
        let most = if line == name.len() + 1 { MOST } else { FOLD };
        // A line of nothing but white space would end the field for some readers.
        let fits = word.is_empty() || line + 1 + word.len() <= most;
        out.push_str(if fits { " " } else { "\r\n " });
        line = if fits {
            line + 1 + word.len()
        } else {
            1 + word.len()
        };
        out.push_str(word);
    }
    out.push_str("\r\n");
    out
}

/// A word that no line could hold, in pieces.
fn pieces(word: &str) -> impl Iterator<Item = &str> {
    let mut rest = Some(word);
    std::iter::from_fn(move || {
        let word = rest.take()?;
        if word.len() < MOST - FOLD {
            return Some(word);
        }
        let (piece, behind) = word.split_at(word.floor_char_boundary(MOST - FOLD));
        rest = Some(behind).filter(|behind| !behind.is_empty());
        Some(piece)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_ends_behind_its_first_empty_line() {
        assert_eq!(end(b"", 0), None);
        assert_eq!(end(b"\r\nx", 0), Some(2));
        assert_eq!(end(b"A: b\r\n\r\nx\r\n\r\n", 0), Some(8));
        assert_eq!(end(b"A: b\r\n\r", 0), None);
        assert_eq!(
            end(b"A: b\r\n\r\n", 7),
            Some(8),
            "the end may lie across two pieces"
        );
    }

    #[test]
    fn content_that_begins_with_no_field_is_a_body() {
        for field in ["A:", "A: b\r\n", "A \t: b", "from : x", "\r\n", "!#~:"] {
            assert_eq!(opening(field.as_bytes()), Some(""), "{field}");
        }
        for body in [
            " A: b",
            "\tx",
            " \r\n",
            "Hello\r\n",
            "two words: x",
            ": x",
            "\u{fc}: x",
            "A\x0b: x",
            "FROM x",
        ] {
            assert_eq!(opening(body.as_bytes()), Some(BODY), "{body}");
        }
        for line in ["From ann@example.org Thu", ">>From x", "From \t\r\n"] {
            assert_eq!(opening(line.as_bytes()), Some("X-Mailbox-Line: "), "{line}");
        }
        for short in ["", "Subject", "Subject \t", "From "] {
            assert_eq!(opening(short.as_bytes()), None, "{short}");
        }
        let long = |name: usize, blank: usize| format!("{}{}", "x".repeat(name), " ".repeat(blank));
        for (name, blank) in [(LINE - 1, 0), (1, LINE - 2)] {
            let begun = long(name, blank);
            assert_eq!(opening(begun.as_bytes()), None);
            assert_eq!(opening(format!("{begun}:").as_bytes()), Some(""));
            assert_eq!(opening(format!("{begun} ").as_bytes()), Some(BODY));
        }
        assert_eq!(opening(format!("{}:", long(LINE, 0)).as_bytes()), Some(BODY));
    }

    #[test]
    fn whole_content_parts_behind_what_must_stand_before_it() {
        let cut = |content: &'static str| {
            let (head, text) = parted(content.into());
            [head, text].map(|octets| String::from_utf8(octets.to_vec()).unwrap())
        };
        assert_eq!(cut(""), ["", ""]);
        assert_eq!(cut("A: b\r\n"), ["A: b\r\n", ""]);
        assert_eq!(cut("A: b\r\n\r\nx"), ["A: b\r\n\r\n", "x"]);
        assert_eq!(cut("\r\nx"), ["\r\n", "x"]);
        assert_eq!(cut("Hello"), ["\r\n", "Hello"]);
        assert_eq!(cut(" x\r\nA: b\r\n\r\ny"), ["\r\n", " x\r\nA: b\r\n\r\ny"]);
        assert_eq!(
            cut("From x\r\nA: b\r\n\r\ny"),
            ["X-Mailbox-Line: From x\r\nA: b\r\n\r\n", "y"]
        );
    }

    #[test]
    fn fields_keep_every_octet_of_the_head() {
        let head = b"A: one\r\n two\r\nnonsense\r\nb :x\r\n\tmore\r\n\r\n";
        let found: Vec<Field<'_>> = fields(head).collect();
        let names: Vec<&[u8]> = found.iter().map(|field| field.name).collect();
        assert_eq!(names, [b"A".as_slice(), b"", b"b"]);
        assert_eq!(found[0].value(), "one two");
        let all: Vec<u8> = found.iter().flat_map(|field| field.raw.to_vec()).collect();
        assert_eq!(all, &head[..head.len() - 2]);
        assert_eq!(fields(b"no line end").count(), 1);
    }

    #[test]
    fn authors_are_all_addresses_of_from() {
        let head = b"From: Ann <ann@example.org>,\r\n bob@example.org\r\nSender: eve@example.org\r\n\r\n";
        let authors: Vec<String> = authors(head).iter().map(Address::to_string).collect();
        assert_eq!(authors, ["ann@example.org", "bob@example.org"]);
        assert_eq!(super::authors(b"To: x@example.org\r\n\r\n"), []);
    }

    #[test]
    fn a_second_from_hides_no_author() {
        let head =
            b"From: eve@example.org\r\nfrom : ann@example.org\r\nFROM: staff: bob@example.org;\r\n\r\n";
        let authors: Vec<String> = authors(head).iter().map(Address::to_string).collect();
        assert_eq!(authors, ["eve@example.org", "ann@example.org", "bob@example.org"]);
    }

    #[test]
    fn a_bare_lf_ends_no_field() {
        let head = b"A: one\nReceived: two\r\nB: three\r\n\r\n";
        let names: Vec<&[u8]> = fields(head).map(|field| field.name).collect();
        assert_eq!(names, [b"A".as_slice(), b"B"]);
    }

    #[test]
    fn a_short_field_stays_on_one_line() {
        assert_eq!(write("X-Tag", "a  b"), "X-Tag: a  b\r\n");
        assert_eq!(write("X-Empty", ""), "X-Empty: \r\n");
    }

    #[test]
    fn a_long_field_is_folded_at_spaces_and_says_the_same() {
        let value = "word ".repeat(60);
        let written = write("X-Long", value.trim_end());
        assert!(written.lines().all(|line| line.len() <= FOLD), "{written}");
        assert_eq!(
            written.replace("\r\n ", " ").trim_end(),
            format!("X-Long: {}", value.trim_end())
        );
    }

    #[test]
    fn no_line_has_more_than_998_octets_even_without_any_space() {
        let written = write("X-Solid", &"ä".repeat(2000));
        assert!(written.split("\r\n").all(|line| line.len() <= MOST), "{written}");
        assert_eq!(written.matches('ä').count(), 2000);
    }
}
