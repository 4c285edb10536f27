//! Messages for tests.

use super::MessageSource;
use crate::message::part;
use crate::store;
use async_trait::async_trait;
use bytes::Bytes;
use std::time::Duration;

/// A header section with its empty line, and a text.
#[derive(Debug)]
pub(super) struct Mail(pub(super) &'static str, pub(super) Bytes);

#[async_trait]
impl MessageSource for Mail {
    fn head(&self) -> Bytes {
        Bytes::from_static(self.0.as_bytes())
    }

    fn size(&self) -> u64 {
        (self.0.len() + self.1.len()) as u64
    }

    async fn read_text(&self, offset: u64, len: usize) -> store::Result<Bytes> {
        Ok(part(&self.1, offset, len))
    }
}

/// The same, and each reading of its text takes so long.
#[derive(Debug)]
pub(super) struct Slow(pub(super) Mail, pub(super) Duration);

#[async_trait]
impl MessageSource for Slow {
    fn head(&self) -> Bytes {
        self.0.head()
    }

    fn size(&self) -> u64 {
        self.0.size()
    }

    async fn read_text(&self, offset: u64, len: usize) -> store::Result<Bytes> {
        tokio::time::sleep(self.1).await;
        self.0.read_text(offset, len).await
    }
}
