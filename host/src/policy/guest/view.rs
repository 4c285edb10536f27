//! A message as a policy sees it: with the edits of the policies before it, in pieces, and as a tree.

use crate::message::edits;
use crate::policy::capabilities::tree::{Room, Tree};
use crate::policy::{Edit, MessageSource};
use crate::store;
use bytes::{Bytes, BytesMut};
use std::sync::Arc;
use tokio::sync::OnceCell;

/// Octets of one reading of the text while the whole message is fetched for its tree.
const FETCH: usize = 256 << 10;

/// See the module.
#[derive(Debug)]
pub(in crate::policy) struct View {
    source: Arc<dyn MessageSource>,
    head: Bytes,
    /// Shared by the views of one message as long as no edit concerns what the tree is made from.
    tree: Arc<OnceCell<Arc<Tree>>>,
    room: Room,
}

impl View {
    /// The message before any edit; `room` bounds the octets of all trees together.
    pub(in crate::policy) fn new(source: Arc<dyn MessageSource>, room: Room) -> Self {
        Self {
            head: source.head(),
            source,
            tree: Arc::default(),
            room,
        }
    }

    /// The same message with these edits made as well.
    pub(in crate::policy) fn with(&self, edits: &[Edit]) -> Self {
        let tree = match edits.iter().any(shapes_the_tree) {
            true => Arc::default(),
            false => Arc::clone(&self.tree),
        };
        Self {
            source: Arc::clone(&self.source),
            head: edits::apply(&self.head, edits),
            tree,
            room: self.room.clone(),
        }
    }

    /// The header section with its empty line.
    pub(in crate::policy) fn head(&self) -> &Bytes {
        &self.head
    }

    fn text_size(&self) -> u64 {
        self.source.size().saturating_sub(self.source.head().len() as u64)
    }

    pub(in crate::policy) fn size(&self) -> u64 {
        self.head.len() as u64 + self.text_size()
    }

    /// Up to `len` octets from `offset`; fewer only at the end.
    pub(in crate::policy) async fn read(&self, offset: u64, len: usize) -> store::Result<Bytes> {
        let head = self.head.len() as u64;
        if offset >= head {
            return self.source.read_text(offset - head, len).await;
        }
        let from = usize::try_from(offset).unwrap_or(usize::MAX).min(self.head.len());
        let until = from.saturating_add(len).min(self.head.len());
        let mut octets = BytesMut::from(self.head.slice(from..until).as_ref());
        if octets.len() < len {
            let text = self.source.read_text(0, len - octets.len()).await?;
            octets.extend_from_slice(&text);
        }
        Ok(octets.freeze())
    }

    /// The message as a tree, made when it is first asked for.
    pub(in crate::policy) async fn tree(&self) -> store::Result<Arc<Tree>> {
        let made = self.tree.get_or_try_init(|| async {
            let Some(share) = self.room.share(self.text_size()).await else {
                return Ok(Arc::new(Tree::of_head(&self.head)));
            };
            let mut raw = BytesMut::with_capacity(usize::try_from(self.text_size()).unwrap_or(0));
            loop {
                let piece = self.source.read_text(raw.len() as u64, FETCH).await?;
                if piece.is_empty() {
                    break;
                }
                raw.extend_from_slice(&piece);
            }
            Ok(Arc::new(Tree::parse(self.head.clone(), raw.freeze(), share).await))
        });
        made.await.cloned()
    }
}

/// Only these fields of the message's own header section say how its text is to be read.
fn shapes_the_tree(edit: &Edit) -> bool {
    match edit {
        Edit::AddHeader { name, .. } | Edit::InsertHeader { name, .. } | Edit::RemoveHeader { name } => name
            .get(..8)
            .is_some_and(|start| start.eq_ignore_ascii_case("content-")),
        _ => false,
    }
}
