//! A message on its way in: its header section in memory, its text too while it is small, the rest in the
//! store, chunk by chunk as it comes.
//!
//! A draft that is dropped takes what it stored with it. It fails when the octets in flight are used up or
//! the store fails; both are our own trouble.

use super::{MessageId, edits, head};
use crate::gateway::{Budget, Claim};
use crate::policy::MessageSource;
use crate::store::{CHUNK, Content, Result, Store, StoreError, Text};
use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Why a draft cannot take more.
#[derive(Debug, thiserror::Error)]
pub enum DraftError {
    /// `limits.bytes_in_flight` are used up: 452 4.3.1.
    #[error("too many octets are in flight")]
    InFlight,
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A message that is still coming.
#[derive(Debug)]
pub struct Draft {
    body: Body,
    claim: Claim,
    claimed: u64,
    received: u64,
    head: Head,
    text: BytesMut,
    chunks: u32,
    /// Octets of these chunks.
    appended: u64,
}

/// The header section, until its empty line has come and after it.
#[derive(Debug)]
enum Head {
    /// Nothing is scanned until it shows what must stand before it.
    Growing {
        bytes: BytesMut,
        scanned: usize,
    },
    Complete(Bytes),
}

/// What of a message is in the store uncommitted; removed when this is dropped, unless it was committed.
#[derive(Debug)]
struct Body {
    id: MessageId,
    store: Arc<dyn Store>,
    removable: AtomicBool,
}

impl Drop for Body {
    fn drop(&mut self) {
        if !*self.removable.get_mut() {
            return;
        }
        // Without a runtime the process is ending, and the store sweeps at its next start.
        let Ok(runtime) = tokio::runtime::Handle::try_current() else {
            return;
        };
        let (id, store) = (self.id, Arc::clone(&self.store));
        runtime.spawn(async move {
            if let Err(error) = store.discard(id).await {
                tracing::debug!(%id, %error, "an uncommitted body is left to the sweep");
            }
        });
    }
}

impl Draft {
    /// Begins a message of probably `declared` octets, which are claimed at once.
    pub fn begin(
        id: MessageId,
        store: &Arc<dyn Store>,
        in_flight: &Arc<Budget>,
        declared: u64,
    ) -> std::result::Result<Self, DraftError> {
        let claim = in_flight.claim(declared).ok_or(DraftError::InFlight)?;
        store.ready()?;
        Ok(Self {
            body: Body {
                id,
                store: Arc::clone(store),
                removable: AtomicBool::new(false),
            },
            claim,
            claimed: declared,
            received: 0,
            head: Head::Growing {
                bytes: BytesMut::new(),
                scanned: 0,
            },
            text: BytesMut::new(),
            chunks: 0,
            appended: 0,
        })
    }

    /// Octets that came so far.
    pub fn size(&self) -> u64 {
        self.received
    }

    /// Takes the next piece.
    pub async fn push(&mut self, piece: &[u8]) -> std::result::Result<(), DraftError> {
        self.received += piece.len() as u64;
        let more = self.received.saturating_sub(self.claimed);
        if more > 0 {
            if !self.claim.grow(more) {
                return Err(DraftError::InFlight);
            }
            self.claimed += more;
        }
        match self.push_head(piece) {
            None => self.push_text(piece).await,
            Some(text) => self.push_text(&text).await,
        }
    }

    /// What is text of a piece that ends the header section, or goes on with it; None: all of it.
    fn push_head(&mut self, piece: &[u8]) -> Option<BytesMut> {
        let Head::Growing { bytes, scanned } = &mut self.head else {
            return None;
        };
        bytes.extend_from_slice(piece);
        if *scanned == 0 {
            match head::opening(bytes) {
                None => return Some(BytesMut::new()),
                Some("") => {}
                Some(before) => {
                    let content = std::mem::replace(bytes, before.as_bytes().into());
                    bytes.extend_from_slice(&content);
                }
            }
        }
        let Some(end) = head::end(bytes, *scanned) else {
            *scanned = bytes.len();
            return Some(BytesMut::new());
        };
        let text = bytes.split_off(end);
        self.head = Head::Complete(std::mem::take(bytes).freeze());
        Some(text)
    }

    /// Gathers a chunk at a time; the last one is kept until there is more.
    async fn push_text(&mut self, mut piece: &[u8]) -> std::result::Result<(), DraftError> {
        while let Some((fits, more)) = piece.split_at_checked(CHUNK - self.text.len())
            && !more.is_empty()
        {
            self.gather(fits);
            let chunk = self.text.split().freeze();
            self.append(chunk).await?;
            piece = more;
        }
        self.gather(piece);
        Ok(())
    }

    /// Doubles the room for text where need be, to that for a chunk at most; a long message has that at once.
    fn gather(&mut self, piece: &[u8]) {
        let needed = self.text.len() + piece.len();
        if needed > self.text.capacity() {
            let room = match self.chunks {
                0 => needed.max(2 * self.text.len()).min(CHUNK),
                _ => CHUNK,
            };
            let mut text = BytesMut::with_capacity(room);
            text.extend_from_slice(&self.text);
            self.text = text;
        }
        self.text.extend_from_slice(piece);
    }

    async fn append(&mut self, chunk: Bytes) -> Result<()> {
        self.body.removable.store(true, Ordering::Relaxed);
        self.appended += chunk.len() as u64;
        self.body.store.append(self.body.id, self.chunks, chunk).await?;
        self.chunks += 1;
        Ok(())
    }

    /// The message is complete.
    pub async fn seal(mut self) -> Result<Message> {
        if self.chunks > 0 && !self.text.is_empty() {
            let last = self.text.split().freeze();
            self.append(last).await?;
        }
        let (head, text) = match self.head {
            Head::Growing { bytes, .. } => head::parted(bytes.freeze()),
            Head::Complete(head) => (head, self.text.freeze()),
        };
        let text = match self.chunks {
            0 => Text::Inline(text),
            chunks => Text::Appended {
                size: self.appended,
                chunks,
            },
        };
        Ok(Message {
            shown: head.clone(),
            content: Content { head, text },
            body: self.body,
            _claim: self.claim,
        })
    }
}

/// A complete message that is not committed yet.
#[derive(Debug)]
pub struct Message {
    /// The head that filters see.
    shown: Bytes,
    content: Content,
    body: Body,
    _claim: Claim,
}

impl Message {
    /// Adds the fields that every message must have and this one lacks, behind its last one.
    #[must_use]
    pub fn completed(mut self, missing: &str) -> Self {
        if !missing.is_empty() {
            self.content.head = edits::appended(self.content.head.to_vec(), missing.as_bytes()).into();
            self.shown = self.content.head.clone();
        }
        self
    }

    /// With another header section.
    #[must_use]
    pub fn with_head(mut self, head: Bytes) -> Self {
        self.shown = head.clone();
        self.content.head = head;
        self
    }

    /// Shows filters this hop's trace before the header section; it is no part of the content.
    #[must_use]
    pub fn shown_behind(mut self, trace: &str) -> Self {
        self.shown = [trace.as_bytes(), &self.content.head].concat().into();
        self
    }

    /// The header section without this hop's trace, and the text.
    pub fn content(&self) -> &Content {
        &self.content
    }

    /// From here on the store answers for the body: it was committed, or nobody knows whether it was.
    pub fn committed(&self) {
        self.body.removable.store(false, Ordering::Relaxed);
    }

    /// The store said no: what it has not committed by then goes with the message again.
    pub fn refused(&self) {
        let stored = matches!(self.content.text, Text::Appended { .. });
        self.body.removable.store(stored, Ordering::Relaxed);
    }
}

#[async_trait]
impl MessageSource for Message {
    fn head(&self) -> Bytes {
        self.shown.clone()
    }

    fn size(&self) -> u64 {
        let trace = self.shown.len() - self.content.head.len();
        self.content.size() + trace as u64
    }

    async fn read_text(&self, offset: u64, len: usize) -> Result<Bytes> {
        match &self.content.text {
            Text::Inline(text) => Ok(super::part(text, offset, len)),
            Text::Appended { .. } => self.body.store.read_text(self.body.id, offset, len).await,
        }
    }
}

#[cfg(test)]
mod tests;
