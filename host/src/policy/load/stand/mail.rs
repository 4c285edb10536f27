//! A message from a file or a case, as a filter is asked about it.

use crate::message::{head, part};
use crate::policy::MessageSource;
use crate::store;
use async_trait::async_trait;
use bytes::Bytes;
use std::sync::Arc;

/// A message in memory, without a trace of this hop.
#[derive(Debug)]
pub struct Mail {
    head: Bytes,
    text: Bytes,
}

impl Mail {
    /// Editors write line ends that no mail has on its way: a bare LF becomes CRLF. What has no header section is
    /// a body, as it is when it comes.
    pub fn new(octets: impl AsRef<[u8]>) -> Arc<Self> {
        let (head, text) = head::parted(with_crlf(octets.as_ref()).into());
        Arc::new(Self { head, text })
    }
}

#[async_trait]
impl MessageSource for Mail {
    fn head(&self) -> Bytes {
        self.head.clone()
    }

    fn size(&self) -> u64 {
        (self.head.len() + self.text.len()) as u64
    }

    async fn read_text(&self, offset: u64, len: usize) -> store::Result<Bytes> {
        Ok(part(&self.text, offset, len))
    }
}

fn with_crlf(octets: &[u8]) -> Vec<u8> {
    let mut lines = Vec::with_capacity(octets.len() + octets.len() / 32);
    let mut before = 0;
    for octet in octets {
        if *octet == b'\n' && before != b'\r' {
            lines.push(b'\r');
        }
        lines.push(*octet);
        before = *octet;
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_message_is_taken_apart_where_its_header_section_ends() {
        let mail = Mail::new(b"A: b\nC: d\r\n\none\r\ntwo\n");
        assert_eq!(mail.head(), "A: b\r\nC: d\r\n\r\n");
        assert_eq!(mail.size(), 24);
        assert_eq!(mail.read_text(0, usize::MAX).await.unwrap(), "one\r\ntwo\r\n");
        assert_eq!(mail.read_text(8, 1).await.unwrap(), "\r");
        assert_eq!(mail.read_text(11, 1).await.unwrap(), "");
        assert_eq!(Mail::new(b"A: b\n").head(), "A: b\r\n");
        assert_eq!(Mail::new(b"\r\ntext").head(), "\r\n");
        assert_eq!(Mail::new(b"just text\n").head(), "\r\n");
    }
}
