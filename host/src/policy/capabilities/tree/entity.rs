//! One entity (RFC 2045 §2.4): what its header section says about it, and where the entities in it are.

use super::Transfer;
use crate::message::head;
use bytes::Bytes;
use mail_parser::{MessageParser, MimeHeaders as _};

/// Octets of a part's header section; what is behind them is taken for its text.
const HEAD: usize = 256 << 10;
/// Octets of one content field that are looked at.
const FIELD: usize = 16 << 10;
/// RFC 2046 §5.1.1 allows 70; some programs write more.
const BOUNDARY: usize = 256;

/// What is inside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Kind {
    Multipart { boundary: String },
    Message,
    Leaf,
}

/// Whether all that the head says of the entity was read. What is too much here may be read by a recipient's program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Legibility {
    Read,
    TooLong,
    /// Parameters, in all content fields together.
    TooMany,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Entity {
    pub(super) head: Bytes,
    /// As it is written.
    pub(super) body: Bytes,
    /// Lower case, without parameters.
    pub(super) media_type: String,
    pub(super) name: String,
    pub(super) charset: Option<String>,
    pub(super) transfer: Transfer,
    pub(super) kind: Kind,
    pub(super) legibility: Legibility,
}

impl Entity {
    /// Reads the head; it may have so many parameters.
    pub(super) fn new(head: Bytes, body: Bytes, parameters: usize) -> Self {
        Self::with_default("text/plain", head, body, parameters)
    }

    /// `default` is the media type that holds where the head says nothing.
    fn with_default(default: &str, head: Bytes, body: Bytes, parameters: usize) -> Self {
        let (fields, mut legibility) = content_fields(&head, parameters);
        let parsed = MessageParser::new().with_mime_headers().parse_headers(&fields);
        let content_type = parsed.as_ref().and_then(|parsed| parsed.content_type());
        let media_type = content_type.map_or_else(
            || default.to_owned(),
            |found| format!("{}/{}", found.ctype(), found.subtype().unwrap_or("*")).to_lowercase(),
        );
        let attribute = |name| content_type.and_then(|found| found.attribute(name));
        let kind = match attribute("boundary") {
            Some(boundary) if media_type.starts_with("multipart/") && fits(boundary) => Kind::Multipart {
                boundary: boundary.to_owned(),
            },
            Some(boundary) if media_type.starts_with("multipart/") && !boundary.is_empty() => {
                legibility = Legibility::TooLong;
                Kind::Leaf
            }
            _ if ["message/rfc822", "message/global"].contains(&media_type.as_str()) => Kind::Message,
            _ => Kind::Leaf,
        };
        let transfer = parsed
            .as_ref()
            .and_then(|parsed| parsed.content_transfer_encoding());
        Self {
            name: parsed
                .as_ref()
                .and_then(|parsed| parsed.attachment_name())
                .unwrap_or_default()
                .to_owned(),
            charset: attribute("charset").map(str::to_owned),
            transfer: transfer.map_or(Transfer::Identity, Transfer::named),
            head,
            body,
            media_type,
            kind,
            legibility,
        }
    }

    /// The first `most` entities in it, from its decoded body; each may have so many parameters.
    pub(super) fn children(&self, body: &Bytes, most: usize, parameters: usize) -> Vec<Self> {
        match &self.kind {
            Kind::Leaf => Vec::new(),
            Kind::Message => {
                let (head, body) = divide(body);
                vec![Self::new(head, body, parameters)]
            }
            Kind::Multipart { boundary } => {
                // RFC 2046 §5.1.5.
                let default = match self.media_type.as_str() {
                    "multipart/digest" => "message/rfc822",
                    _ => "text/plain",
                };
                let parts = pieces(body, boundary, most);
                parts
                    .iter()
                    .map(|part| {
                        let (head, body) = divide(part);
                        Self::with_default(default, head, body, parameters)
                    })
                    .collect()
            }
        }
    }
}

fn fits(boundary: &str) -> bool {
    (1..=BOUNDARY).contains(&boundary.len())
}

/// The first of each content field that says how to read the entity, for the parser of such fields.
fn content_fields(bytes: &Bytes, parameters: usize) -> (Vec<u8>, Legibility) {
    let mut wanted = vec!["content-type", "content-transfer-encoding", "content-disposition"];
    let mut found = Vec::new();
    // The head of a part that was divided at its bound has no empty line at its end.
    let mut legibility = match bytes.len() > HEAD && !ends_empty(bytes) {
        true => Legibility::TooLong,
        false => Legibility::Read,
    };
    let mut begun = 0;
    for field in head::fields(bytes) {
        let Some(at) = wanted.iter().position(|name| field.is(name)) else {
            continue;
        };
        wanted.swap_remove(at);
        if field.raw.len() > FIELD {
            legibility = Legibility::TooLong;
        }
        // One in a quoted string begins none; that many in a name are too many as well.
        begun += memchr::memchr_iter(b';', field.raw).count();
        if begun > parameters && legibility == Legibility::Read {
            legibility = Legibility::TooMany;
        }
        found.extend_from_slice(field.raw.get(..FIELD).unwrap_or(field.raw).trim_ascii_end());
        found.extend_from_slice(b"\r\n");
    }
    found.extend_from_slice(b"\r\n");
    (found, legibility)
}

/// Whether the last line is empty, as at the end of a header section.
fn ends_empty(bytes: &[u8]) -> bool {
    let lines = bytes.strip_suffix(b"\n").unwrap_or(bytes);
    let last = lines.rsplit(|octet| *octet == b'\n').next();
    last.is_none_or(|line| line.trim_ascii().is_empty())
}

/// Header section and what is behind its empty line.
fn divide(bytes: &Bytes) -> (Bytes, Bytes) {
    let mut at = 0;
    for line in lines(bytes) {
        at += line.len();
        if line.trim_ascii().is_empty() || at > HEAD {
            break;
        }
    }
    (bytes.slice(..at), bytes.slice(at..))
}

/// Each with its LF. There may be millions.
fn lines(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut from = 0;
    let ends = memchr::memchr_iter(b'\n', bytes).map(|lf| lf + 1);
    let ends = ends.chain(std::iter::once(bytes.len()));
    ends.filter_map(move |end| {
        let line = bytes.get(from..end)?;
        from = end;
        (!line.is_empty()).then_some(line)
    })
}

/// The first `most` pieces between the delimiter lines of a multipart. The last one may lack its end.
fn pieces(body: &Bytes, boundary: &str, most: usize) -> Vec<Bytes> {
    let (mut at, mut open) = (0, None);
    let mut found = Vec::new();
    for line in lines(body) {
        let begin = at;
        at += line.len();
        let Some(delimiter) = delimiter(line, boundary) else {
            continue;
        };
        if let Some(from) = open.take() {
            found.push(body.slice(from..before_line_end(body, begin).max(from)));
        }
        if delimiter == Delimiter::Close || found.len() == most {
            return found;
        }
        open = Some(at);
    }
    if let Some(from) = open {
        found.push(body.slice(from..));
    }
    found
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Delimiter {
    Open,
    Close,
}

fn delimiter(line: &[u8], boundary: &str) -> Option<Delimiter> {
    let behind = line.strip_prefix(b"--")?.strip_prefix(boundary.as_bytes())?;
    if behind.starts_with(b"--") {
        return Some(Delimiter::Close);
    }
    behind.trim_ascii().is_empty().then_some(Delimiter::Open)
}

/// RFC 2046 §5.1.1: the line end before a delimiter belongs to it.
fn before_line_end(body: &[u8], at: usize) -> usize {
    let before = body.get(..at).unwrap_or_default();
    let before = before.strip_suffix(b"\n").unwrap_or(before);
    before.strip_suffix(b"\r").unwrap_or(before).len()
}
