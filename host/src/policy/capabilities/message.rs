//! `message`: the message as it will be delivered, in pieces. Before there is one, everything is empty.

use super::PIECE;
use crate::message::head;
use crate::policy::bindings::postern::policy::message::Host;
use crate::policy::bindings::postern::policy::types::HeaderField;
use crate::policy::guest::Guest;
use bytes::Bytes;
use mail_parser::MessageParser;
use wasmtime::Result;

impl Guest {
    /// The header section with earlier edits made.
    fn head(&self) -> Bytes {
        self.view
            .as_ref()
            .map(|view| view.head().clone())
            .unwrap_or_default()
    }
}

impl Host for Guest {
    fn size(&mut self) -> Result<u32> {
        self.budget.call()?;
        let size = self.view.as_ref().map_or(0, |view| view.size());
        Ok(u32::try_from(size).unwrap_or(u32::MAX))
    }

    fn headers(&mut self) -> Result<Vec<HeaderField>> {
        self.budget.call()?;
        let head = self.head();
        self.budget.read(head.len())?;
        let named = head::fields(&head).filter(|field| !field.name.is_empty());
        Ok(named
            .map(|field| HeaderField {
                name: String::from_utf8_lossy(field.name).into_owned(),
                value: unfolded(field.raw),
            })
            .collect())
    }

    fn get_header(&mut self, name: String) -> Result<Vec<Vec<u8>>> {
        self.budget.call()?;
        let head = self.head();
        let found: Vec<_> = head::fields(&head)
            .filter(|field| field.is(&name))
            .map(|field| unfolded(field.raw))
            .collect();
        self.budget.read(found.iter().map(Vec::len).sum())?;
        Ok(found)
    }

    fn header_text(&mut self, name: String) -> Result<Option<String>> {
        self.budget.call()?;
        let text = text_of(&self.head(), &name);
        self.budget.read(text.as_ref().map_or(0, String::len))?;
        Ok(text)
    }

    fn body_offset(&mut self) -> Result<u32> {
        self.budget.call()?;
        Ok(u32::try_from(self.head().len()).unwrap_or(u32::MAX))
    }

    async fn read(&mut self, offset: u32, len: u32) -> Result<Vec<u8>> {
        self.budget.call()?;
        let Some(view) = &self.view else {
            return Ok(Vec::new());
        };
        // A call that ends meanwhile, or by it, ends by the store's trouble.
        let before = std::mem::replace(&mut self.store_failed, true);
        let octets = view.read(offset.into(), (len as usize).min(PIECE)).await?;
        self.store_failed = before;
        self.budget.read(octets.len())?;
        Ok(octets.to_vec())
    }
}

/// What is behind the colon, without line breaks (RFC 5322 §2.2.3).
fn unfolded(raw: &[u8]) -> Vec<u8> {
    let colon = raw.iter().position(|octet| *octet == b':');
    let value = colon.and_then(|at| raw.get(at + 1..)).unwrap_or_default();
    let breaks = |octet: &&u8| !matches!(octet, b'\r' | b'\n');
    value.trim_ascii().iter().filter(breaks).copied().collect()
}

/// The first field of that name, decoded (RFC 2047).
pub(super) fn text_of(head: &[u8], name: &str) -> Option<String> {
    let field = head::fields(head).find(|field| !name.is_empty() && field.is(name))?;
    let plain = String::from_utf8_lossy(&unfolded(field.raw)).into_owned();
    // Under this name every value is free text to the parser.
    let alone = [b"Subject: ", unfolded(field.raw).as_slice(), b"\r\n\r\n"].concat();
    let parsed = MessageParser::new().parse_headers(&alone);
    let decoded = parsed.as_ref().and_then(|parsed| parsed.subject());
    Some(decoded.map_or(plain, str::to_owned))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_unfolded_and_otherwise_as_it_was() {
        assert_eq!(unfolded(b"Subject: one\r\n two\r\n"), b"one two");
        assert_eq!(unfolded(b"X:\xff\r\n"), b"\xff");
        assert_eq!(unfolded(b"nonsense\r\n"), b"");
    }

    #[test]
    fn text_is_decoded_and_what_is_not_encoded_is_itself() {
        let head = b"Subject: =?utf-8?q?caf=C3=A9?= au\r\n lait\r\nTo: \"x\" <x@example.org>\r\n\r\n";
        assert_eq!(text_of(head, "subject").as_deref(), Some("caf\u{e9} au lait"));
        assert_eq!(text_of(head, "To").as_deref(), Some("\"x\" <x@example.org>"));
        assert_eq!(text_of(head, "Cc"), None);
        assert_eq!(text_of(b"nonsense\r\n\r\n", ""), None);
        assert_eq!(text_of(b"Empty:\r\n\r\n", "empty").as_deref(), Some(""));
    }
}
