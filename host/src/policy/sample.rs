//! Messages for tests.

use super::MessageSource;
use super::stand::Mail;
use crate::store;
use async_trait::async_trait;
use bytes::Bytes;
use std::sync::Arc;
use std::time::Duration;

/// A message of which each reading of its text takes so long.
#[derive(Debug)]
pub(super) struct Slow(pub(super) Arc<Mail>, pub(super) Duration);

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
