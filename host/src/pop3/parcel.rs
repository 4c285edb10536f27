//! A message on its way to the client: its trace lines for this mailbox, then the content, chunk by chunk.
//!
//! What can fail is tried before the client is told that the message follows: the first chunk is read, and
//! for a client without UTF8 the whole header section, to be downgraded (RFC 6858). It is as long as
//! `limits.headers` let it be when it came. A store that fails later, or has less than was listed, leaves no way but
//! to close: the dot that ends a message would say that it is whole.

use super::wire::{Broken, Wire};
use crate::message::MessageId;
use crate::message::downgrade::downgraded;
use crate::message::head;
use crate::store::{CHUNK, Holder, Line, Mailbox, Store, StoreError};
use bytes::{Bytes, BytesMut};
use postern_proto::pop3::{Extent, Flow, Form, Stuffer, Trouble};

/// A message that can be sent.
#[derive(Debug)]
pub(super) struct Parcel {
    mailbox: Mailbox,
    id: MessageId,
    /// What is there already, in order.
    front: Vec<Bytes>,
    /// Octets of the content that `front` was made of.
    offset: u64,
    /// Octets of the content.
    size: u64,
}

impl Parcel {
    pub(super) async fn prepare(
        (mailbox, line): (&Mailbox, &Line),
        form: Form,
        store: &dyn Store,
    ) -> Result<Self, Trouble> {
        let parcel = match form {
            Form::Utf8 => Self::as_it_is(mailbox, line, store).await,
            Form::Downgraded => Self::downgraded(mailbox, line, store).await,
        };
        parcel.map_err(|error| match error {
            StoreError::NotFound => Trouble::Gone,
            error => {
                tracing::warn!(id = %line.id, %error, "a message cannot be read");
                Trouble::Temporary
            }
        })
    }

    async fn as_it_is(mailbox: &Mailbox, line: &Line, store: &dyn Store) -> Result<Self, StoreError> {
        let trace = store.trace(mailbox, line).await?;
        let first = store.read(Holder::Mailbox(mailbox), line.id, 0, CHUNK).await?;
        Ok(Self {
            mailbox: Mailbox::clone(mailbox),
            id: line.id,
            offset: first.len() as u64,
            size: content_size(line, &trace),
            front: vec![trace, first],
        })
    }

    async fn downgraded(mailbox: &Mailbox, line: &Line, store: &dyn Store) -> Result<Self, StoreError> {
        let trace = store.trace(mailbox, line).await?;
        let mut read = BytesMut::new();
        let end = loop {
            let chunk = store
                .read(Holder::Mailbox(mailbox), line.id, read.len() as u64, CHUNK)
                .await?;
            let scanned = read.len();
            read.extend_from_slice(&chunk);
            match head::end(&read, scanned) {
                Some(end) => break end,
                // A message of nothing but a header section.
                None if chunk.is_empty() => break read.len(),
                None => {}
            }
        };
        let offset = read.len() as u64;
        let text = read.split_off(end).freeze();
        let size = content_size(line, &trace);
        let front = vec![ascii(trace), ascii(read.freeze()), text];
        Ok(Self {
            mailbox: Mailbox::clone(mailbox),
            id: line.id,
            front,
            offset,
            size,
        })
    }

    /// Sends as much as was asked for, to its last octet; answers how many octets the message had until there. What it
    /// wrote last may still be in the wire's buffer.
    pub(super) async fn send(
        mut self,
        extent: Extent,
        store: &dyn Store,
        wire: &mut Wire,
    ) -> Result<u64, Broken> {
        let mut stuffer = Stuffer::new(extent);
        let mut sent = 0;
        for piece in self.front.iter().flat_map(|bytes| bytes.chunks(CHUNK)) {
            sent += piece.len() as u64;
            if stuffer.push(piece, wire.out()) == Flow::Enough {
                return finish(stuffer, sent, wire).await;
            }
            wire.gather().await?;
        }
        self.front.clear();
        while self.offset < self.size {
            let chunk = store
                .read(Holder::Mailbox(&self.mailbox), self.id, self.offset, CHUNK)
                .await
                .map_err(Broken::Store)?;
            if chunk.is_empty() {
                let (id, at, size) = (self.id, self.offset, self.size);
                let short = format!("{id} is shorter than listed: it ends at octet {at} of {size}");
                return Err(Broken::Store(StoreError::Engine(short)));
            }
            self.offset += chunk.len() as u64;
            sent += chunk.len() as u64;
            if stuffer.push(&chunk, wire.out()) == Flow::Enough {
                break;
            }
            wire.gather().await?;
        }
        finish(stuffer, sent, wire).await
    }
}

async fn finish(stuffer: Stuffer, sent: u64, wire: &mut Wire) -> Result<u64, Broken> {
    stuffer.finish(wire.out());
    wire.gather().await?;
    Ok(sent)
}

/// Octets of the content behind the trace.
fn content_size(line: &Line, trace: &Bytes) -> u64 {
    line.size.saturating_sub(trace.len() as u64)
}

fn ascii(head: Bytes) -> Bytes {
    match downgraded(&head) {
        std::borrow::Cow::Borrowed(_) => head.clone(),
        std::borrow::Cow::Owned(other) => other.into(),
    }
}
