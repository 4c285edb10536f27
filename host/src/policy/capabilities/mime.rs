//! `mime`: the message as a tree of parts. A part that is not there is empty.

use super::PIECE;
use super::message::text_of;
use super::tree::{Completeness, Node, Tree};
use crate::policy::bindings::postern::policy::mime::Host;
use crate::policy::bindings::postern::policy::types::Part;
use crate::policy::guest::Guest;
use std::sync::Arc;
use wasmtime::Result;

impl Guest {
    async fn tree(&mut self) -> Result<Option<Arc<Tree>>> {
        let Some(view) = &self.view else {
            return Ok(None);
        };
        // A call that ends meanwhile, or by it, ends by the store's trouble, or for want of room.
        let before = std::mem::replace(&mut self.store_failed, true);
        let tree = view.tree().await?;
        self.store_failed = before;
        Ok(Some(tree))
    }
}

impl Host for Guest {
    async fn parts(&mut self) -> Result<Vec<Part>> {
        self.budget.call()?;
        let Some(tree) = self.tree().await? else {
            return Ok(Vec::new());
        };
        let parts: Vec<Part> = tree.nodes.iter().zip(0_u32..).map(part).collect();
        self.budget.read(
            parts
                .iter()
                .map(|part| part.media_type.len() + part.name.len())
                .sum(),
        )?;
        Ok(parts)
    }

    async fn complete(&mut self) -> Result<bool> {
        self.budget.call()?;
        let tree = self.tree().await?;
        Ok(tree.is_none_or(|tree| tree.completeness == Completeness::Whole))
    }

    async fn part_header(&mut self, index: u32, name: String) -> Result<Option<String>> {
        self.budget.call()?;
        let Some(tree) = self.tree().await? else {
            return Ok(None);
        };
        let text = match (index, &self.view) {
            // The tree may be older than the last edit of the message's own header section.
            (0, Some(view)) => text_of(view.head(), &name),
            _ => tree.node(index).and_then(|node| text_of(&node.head, &name)),
        };
        self.budget.read(text.as_ref().map_or(0, String::len))?;
        Ok(text)
    }

    async fn part_read(&mut self, index: u32, offset: u32, len: u32) -> Result<Vec<u8>> {
        self.budget.call()?;
        let tree = self.tree().await?;
        let node = tree.as_ref().and_then(|tree| tree.node(index));
        let octets = node
            .map(|node| node.read(offset, (len as usize).min(PIECE)))
            .unwrap_or_default();
        self.budget.read(octets.len())?;
        Ok(octets.to_vec())
    }

    async fn part_text(&mut self, index: u32, max: u32) -> Result<String> {
        self.budget.call()?;
        let tree = self.tree().await?;
        let node = tree.as_ref().and_then(|tree| tree.node(index));
        let text = node
            .map(|node| node.text((max as usize).min(PIECE)))
            .unwrap_or_default();
        self.budget.read(text.len())?;
        Ok(text)
    }
}

fn part((node, index): (&Node, u32)) -> Part {
    Part {
        index,
        parent: node.parent,
        media_type: node.media_type.clone(),
        name: node.name.clone(),
        size: u32::try_from(node.body.len()).unwrap_or(u32::MAX),
    }
}
