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

/// A message that several policies are asked about, one after the other. It is parsed once.
#[derive(Debug)]
pub(in crate::policy) struct Letter {
    source: Arc<dyn MessageSource>,
    tree: OnceCell<Arc<Tree>>,
    room: Room,
}

/// The message with edits made.
#[derive(Debug)]
pub(in crate::policy) struct View {
    letter: Arc<Letter>,
    head: Bytes,
    tree: Shape,
}

/// Which tree a view has.
#[derive(Debug)]
enum Shape {
    /// The message's own.
    Shared,
    /// One that edits of its content fields made another.
    Own(OnceCell<Arc<Tree>>),
}

impl Letter {
    /// `room` bounds trees.
    pub(in crate::policy) fn new(source: Arc<dyn MessageSource>, room: Room) -> Self {
        Self {
            source,
            tree: OnceCell::new(),
            room,
        }
    }

    /// The message for somebody else, who waits for nobody's tree and keeps nobody waiting with his.
    pub(in crate::policy) fn beside(
        &self,
        source: impl FnOnce(&Arc<dyn MessageSource>) -> Arc<dyn MessageSource>,
        room: Room,
    ) -> Self {
        Self::new(source(&self.source), room)
    }

    /// Octets of the whole message.
    pub(in crate::policy) fn size(&self) -> u64 {
        self.source.size()
    }

    fn text_size(&self) -> u64 {
        let head = self.source.head().len() as u64;
        self.size().saturating_sub(head)
    }

    async fn parse(&self, head: &Bytes) -> store::Result<Arc<Tree>> {
        let size = self.text_size();
        let Some(share) = self.room.share(size).await else {
            return Ok(Arc::new(Tree::unread(head)));
        };
        let mut text = BytesMut::with_capacity(usize::try_from(size).unwrap_or(0));
        loop {
            let piece = self.source.read_text(text.len() as u64, FETCH).await?;
            if piece.is_empty() {
                break;
            }
            text.extend_from_slice(&piece);
        }
        Ok(Arc::new(
            Tree::parse(head.clone(), text.freeze(), &self.room, share).await,
        ))
    }
}

impl View {
    pub(in crate::policy) fn new(letter: Arc<Letter>, edits: &[Edit]) -> Self {
        Self {
            head: edits::apply(&letter.source.head(), edits),
            tree: match edits.iter().any(shapes_the_tree) {
                true => Shape::Own(OnceCell::new()),
                false => Shape::Shared,
            },
            letter,
        }
    }

    /// The header section with its empty line.
    pub(in crate::policy) fn head(&self) -> &Bytes {
        &self.head
    }

    pub(in crate::policy) fn size(&self) -> u64 {
        self.head.len() as u64 + self.letter.text_size()
    }

    /// Up to `len` octets from `offset`; fewer only at the end.
    pub(in crate::policy) async fn read(&self, offset: u64, len: usize) -> store::Result<Bytes> {
        let source = &self.letter.source;
        let head = self.head.len() as u64;
        if offset >= head {
            return source.read_text(offset - head, len).await;
        }
        let from = usize::try_from(offset).unwrap_or(usize::MAX).min(self.head.len());
        let until = from.saturating_add(len).min(self.head.len());
        let mut octets = BytesMut::from(self.head.slice(from..until).as_ref());
        if octets.len() < len {
            octets.extend_from_slice(&source.read_text(0, len - octets.len()).await?);
        }
        Ok(octets.freeze())
    }

    /// The message as a tree, made when it is first asked for.
    pub(in crate::policy) async fn tree(&self) -> store::Result<Arc<Tree>> {
        let (cell, head) = match &self.tree {
            Shape::Shared => (&self.letter.tree, self.letter.source.head()),
            Shape::Own(cell) => (cell, self.head.clone()),
        };
        let tree = cell.get_or_try_init(|| self.letter.parse(&head)).await;
        tree.cloned()
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
