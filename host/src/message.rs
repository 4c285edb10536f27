//! Messages: their id, their envelope, their bytes on the way in.

pub mod downgrade;
mod draft;
pub mod edits;
pub mod head;
pub mod trace;

pub use draft::{Draft, DraftError, Message};

use bytes::Bytes;
use postern_proto::base32;
use std::fmt;
use std::str::FromStr;
use uuid::Uuid;

/// Up to `len` octets from `offset`; none behind the end.
pub(crate) fn part(octets: &Bytes, offset: u64, len: usize) -> Bytes {
    let from = usize::try_from(offset).map_or(octets.len(), |offset| offset.min(octets.len()));
    octets.slice(from..from.saturating_add(len).min(octets.len()))
}

/// The time-ordered id (UUIDv7) that a message has before its first write: message id in the store,
/// queue id in the 250, and POP3's unique-id. Written as 26 characters of Crockford's base32.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MessageId(Uuid);

impl MessageId {
    /// A new id of this moment.
    #[allow(clippy::new_without_default, reason = "an id is drawn, not a default value")]
    pub fn new() -> Self {
        Self(Uuid::now_v7())
    }

    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(Uuid::from_bytes(bytes))
    }

    /// Big-endian: sorts by time.
    pub fn as_bytes(&self) -> &[u8; 16] {
        self.0.as_bytes()
    }

    /// Milliseconds since 1970 at which the id was drawn.
    pub fn unix_millis(&self) -> u64 {
        (self.0.as_u128() >> 80) as u64
    }
}

impl fmt::Display for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = base32::encode(self.0.as_u128());
        f.write_str(std::str::from_utf8(&digits).unwrap_or_default())
    }
}

/// The text is not 26 digits of Crockford's base32.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a message id")]
pub struct BadMessageId;

impl FromStr for MessageId {
    type Err = BadMessageId;

    fn from_str(text: &str) -> Result<Self, BadMessageId> {
        let number = base32::decode(text).ok_or(BadMessageId)?;
        Ok(Self(Uuid::from_u128(number)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_written_and_read_back_and_sort_as_text_as_they_do_in_time() {
        let (first, second) = (MessageId::from_bytes([1; 16]), MessageId::from_bytes([255; 16]));
        for id in [first, second] {
            assert_eq!(id.to_string().len(), 26);
            assert_eq!(id.to_string().parse::<MessageId>(), Ok(id));
        }
        assert!(first.to_string() < second.to_string());
        assert_eq!("Z".repeat(26).parse::<MessageId>(), Err(BadMessageId));
        assert_eq!("1".repeat(25).parse::<MessageId>(), Err(BadMessageId));
    }
}
