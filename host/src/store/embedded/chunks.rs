//! Bodies as chunks of at most [`CHUNK`] octets, each compressed where that pays.
//!
//! Compression happens in the task that delivers, never in the committer: LZ4 there cost a third of the rate.

use super::damaged;
use super::rows::{Part, body_key};
use crate::message::MessageId;
use crate::store::{CHUNK, Content, Result, Text, packing, unpacking};
use bytes::Bytes;
use fjall::Slice;

/// Shorter chunks are stored as they are.
const WORTH_TRYING: usize = 512;

/// How a chunk is stored, told by its last octet.
const PLAIN: u8 = 0;
const ZSTD: u8 = 1;

/// One row for the body keyspace.
#[derive(Debug)]
pub(super) struct Chunk {
    pub(super) key: Vec<u8>,
    pub(super) value: Slice,
}

/// The chunk as it is stored.
pub(super) fn encode(chunk: &[u8]) -> Slice {
    let packed = (chunk.len() >= WORTH_TRYING)
        .then(|| packing::pack(chunk))
        .flatten();
    match packed {
        Some(mut value) => {
            value.push(ZSTD);
            value.into()
        }
        None => [chunk, &[PLAIN]].concat().into(),
    }
}

/// The chunk as it was.
pub(super) fn decode(value: &[u8]) -> Result<Bytes> {
    match value.split_last() {
        Some((&PLAIN, chunk)) => Ok(Bytes::copy_from_slice(chunk)),
        Some((&ZSTD, chunk)) => unpacking::unpack(chunk, CHUNK)
            .map(Bytes::from)
            .map_err(|error| damaged(&format!("a compressed chunk: {error}"))),
        _ => Err(damaged("a chunk")),
    }
}

/// The rows to be written with a message's commit: its head, and its text unless that was appended before.
pub(super) fn cut(id: MessageId, content: &Content) -> Vec<Chunk> {
    let text = match &content.text {
        Text::Inline(text) => text.clone(),
        Text::Appended { .. } => Bytes::new(),
    };
    let joined = match (content.head.is_empty(), text.is_empty()) {
        (_, true) => content.head.clone(),
        (true, _) => text,
        _ => [&content.head[..], &text[..]].concat().into(),
    };
    let pieces = joined.chunks(CHUNK).zip(0..);
    pieces
        .map(|(piece, seq)| Chunk {
            key: body_key(id, Part::Committed, seq),
            value: encode(piece),
        })
        .collect()
}

/// Reads up to `len` octets from `offset` of a sequence of chunks; `chunk` answers chunk `seq`, if there is one.
pub(super) fn span(
    offset: u64,
    len: usize,
    mut chunk: impl FnMut(u32) -> Result<Option<Bytes>>,
) -> Result<Bytes> {
    let mut found: Vec<Bytes> = Vec::new();
    let (mut at, mut wanted) = (offset, len);
    while wanted > 0 {
        let Ok(seq) = u32::try_from(at / CHUNK as u64) else {
            break;
        };
        let Some(whole) = chunk(seq)? else {
            break;
        };
        let from = ((at % CHUNK as u64) as usize).min(whole.len());
        let part = whole.slice(from..from.saturating_add(wanted).min(whole.len()));
        if part.is_empty() {
            break;
        }
        at += part.len() as u64;
        wanted -= part.len();
        found.push(part);
    }
    Ok(match <[Bytes; 1]>::try_from(found) {
        Ok([only]) => only,
        Err(parts) => parts.concat().into(),
    })
}
