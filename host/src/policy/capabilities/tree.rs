//! A message as a tree of parts (RFC 2046), each decoded once.
//!
//! What people send is rarely by the book, and what people send to deceive never is: nothing here fails. A
//! part beyond the bounds is left out or left unread, and the tree says that it is not whole.

mod entity;
#[cfg(test)]
mod tests;

use super::transfer::{self, Transfer};
use crate::config::MimeLimits;
use crate::policy::limits::Limit;
use bytes::Bytes;
use entity::{Entity, Kind, Legibility};
use mail_parser::decoders::charsets::map::charset_decoder;
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// How large a tree may be.
#[derive(Debug, Clone, Copy)]
pub(in crate::policy) struct Bounds {
    /// Levels below the root.
    pub(super) depth: usize,
    pub(super) parts: usize,
    /// Octets that decoding may give, all parts together.
    pub(super) decoded: usize,
    /// Parameters of one part's content fields.
    pub(super) parameters: usize,
}

impl Bounds {
    /// For a text of so many octets: decoding makes it smaller, unless parts are encoded twice.
    fn of(text: usize, limits: MimeLimits) -> Self {
        Self {
            depth: limits.depth,
            parts: limits.parts,
            decoded: text.saturating_add(64 << 10),
            parameters: limits.parameters,
        }
    }
}

/// What room is counted in.
const UNIT: u64 = 64 << 10;

/// Bounds each tree, and the octets of all trees together; who finds no room waits for it.
#[derive(Debug, Clone)]
pub(in crate::policy) struct Room {
    limits: MimeLimits,
    free: Arc<Semaphore>,
}

/// One tree's share of the room.
#[derive(Debug)]
pub(in crate::policy) struct Share(#[allow(dead_code, reason = "held, not read")] OwnedSemaphorePermit);

impl Room {
    pub(in crate::policy) fn new(limits: MimeLimits) -> Self {
        let units = usize::try_from(limits.room / UNIT).unwrap_or(usize::MAX);
        Self {
            limits,
            free: Arc::new(Semaphore::new(units.min(Semaphore::MAX_PERMITS))),
        }
    }

    /// Room for a text and what it decodes to; None if it is too large ever to have it.
    pub(in crate::policy) async fn share(&self, text: u64) -> Option<Share> {
        if text > self.limits.text {
            Limit::MimeText.hit();
            return None;
        }
        let units = u32::try_from((2 * text).div_ceil(UNIT)).ok()?;
        if let Ok(permit) = Arc::clone(&self.free).try_acquire_many_owned(units) {
            return Some(Share(permit));
        }
        Limit::MimeRoom.hit();
        let permit = Arc::clone(&self.free).acquire_many_owned(units).await;
        permit.ok().map(Share)
    }
}

/// See the module.
#[derive(Debug)]
pub(in crate::policy) struct Tree {
    pub(super) nodes: Vec<Node>,
    pub(super) completeness: Completeness,
    _share: Option<Share>,
}

/// Whether the bounds left something out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Completeness {
    Whole,
    Cut,
}

/// One part.
#[derive(Debug)]
pub(super) struct Node {
    /// The root is its own.
    pub(super) parent: u32,
    pub(super) media_type: String,
    pub(super) name: String,
    charset: Option<String>,
    pub(super) head: Bytes,
    /// Decoded.
    pub(super) body: Bytes,
}

impl Tree {
    /// Reads a whole message. It takes a while where the message is large, so not on the thread that asks.
    pub(in crate::policy) async fn parse(head: Bytes, text: Bytes, room: &Room, share: Share) -> Self {
        let (fallback, limits) = (head.clone(), room.limits);
        let parsed = tokio::task::spawn_blocking(move || {
            let bounds = Bounds::of(text.len(), limits);
            Self {
                _share: Some(share),
                ..Self::within(bounds, head, text)
            }
        });
        // A panic is a fault of the parser's; the message is then as one that is too large.
        parsed.await.unwrap_or_else(|_| Self::unread(&fallback))
    }

    /// A message that is too large to be read.
    pub(in crate::policy) fn unread(head: &Bytes) -> Self {
        let mut tree = Self::empty();
        let root = Entity::new(head.clone(), Bytes::new(), usize::MAX);
        tree.push(None, &root, Bytes::new());
        tree.completeness = Completeness::Cut;
        tree
    }

    pub(super) fn within(bounds: Bounds, head: Bytes, text: Bytes) -> Self {
        let mut tree = Self::empty();
        let mut left = bounds;
        tree.grow(&mut left, None, Entity::new(head, text, bounds.parameters));
        tree
    }

    fn empty() -> Self {
        Self {
            nodes: Vec::new(),
            completeness: Completeness::Whole,
            _share: None,
        }
    }

    /// A tree that is cut is counted once, under the first bound that it met.
    fn cut(&mut self, limit: Limit) {
        if self.completeness == Completeness::Whole {
            limit.hit();
        }
        self.completeness = Completeness::Cut;
    }

    /// Adds one part; the answer is its index.
    fn push(&mut self, parent: Option<u32>, entity: &Entity, body: Bytes) -> u32 {
        let index = u32::try_from(self.nodes.len()).unwrap_or(u32::MAX);
        self.nodes.push(Node {
            parent: parent.unwrap_or(index),
            media_type: entity.media_type.clone(),
            name: entity.name.clone(),
            charset: entity.charset.clone(),
            head: entity.head.clone(),
            body,
        });
        index
    }

    /// Adds an entity and what is in it.
    fn grow(&mut self, left: &mut Bounds, parent: Option<u32>, entity: Entity) {
        if left.parts == 0 {
            return self.cut(Limit::MimeParts);
        }
        left.parts -= 1;
        match entity.legibility {
            Legibility::Read => {}
            Legibility::TooLong => self.cut(Limit::MimeHeader),
            Legibility::TooMany => self.cut(Limit::MimeParameters),
        }
        let body = self.decoded(left, &entity);
        let index = self.push(parent, &entity, body.clone());
        if left.depth == 0 {
            if entity.kind != Kind::Leaf {
                self.cut(Limit::MimeDepth);
            }
            return;
        }
        left.depth -= 1;
        // One more than there is room for, so that it is found missing.
        for child in entity.children(&body, left.parts + 1, left.parameters) {
            self.grow(left, Some(index), child);
        }
        left.depth += 1;
    }

    fn decoded(&mut self, left: &mut Bounds, entity: &Entity) -> Bytes {
        let transfer = match entity.kind {
            // RFC 2045 §6.4: a multipart is never encoded as a whole.
            Kind::Multipart { .. } => Transfer::Identity,
            Kind::Message | Kind::Leaf => entity.transfer,
        };
        let decode = match transfer {
            Transfer::Identity => return entity.body.clone(),
            Transfer::Base64 => transfer::base64,
            Transfer::QuotedPrintable => transfer::quoted_printable,
        };
        let body = decode(&entity.body);
        if body.len() > left.decoded {
            self.cut(Limit::MimeText);
            return Bytes::new();
        }
        left.decoded -= body.len();
        Bytes::from(body)
    }

    pub(super) fn node(&self, index: u32) -> Option<&Node> {
        self.nodes.get(usize::try_from(index).ok()?)
    }
}

impl Node {
    /// Up to `len` octets from `offset`.
    pub(super) fn read(&self, offset: u32, len: usize) -> Bytes {
        let from = (offset as usize).min(self.body.len());
        let until = from.saturating_add(len).min(self.body.len());
        self.body.slice(from..until)
    }

    /// The first `most` octets of the text as UTF-8; never half a character.
    pub(super) fn text(&self, most: usize) -> String {
        // No charset needs more than four octets for what is one in UTF-8, escape sequences apart.
        let octets = self.read(0, most.saturating_mul(4).saturating_add(64));
        let decoder = self
            .charset
            .as_deref()
            .and_then(|name| charset_decoder(name.as_bytes()));
        let mut text = match decoder {
            Some(decode) => decode(&octets),
            None => String::from_utf8_lossy(&octets).into_owned(),
        };
        text.truncate(text.floor_char_boundary(most));
        text
    }
}
