//! How ids, times and bodies become columns.

use super::clock;
use crate::clock::unix_millis;
use crate::message::MessageId;
use crate::store::{Result, StoreError, packing, unpacking};
use bytes::Bytes;
use std::time::Duration;
use uuid::Uuid;

/// A partition of a listing holds the ids of this many days.
const EPOCH_DAYS: u64 = 28;
const DAY_MILLIS: u64 = 24 * 60 * 60 * 1000;

/// Two gateways' clocks are less than this apart: one may be behind the cluster's while the other is ahead.
const APART: Duration = Duration::from_millis(2 * clock::WRONG);

/// A listing row with an id older than this is not written: `low` may have passed it.
pub(super) const OLDEST_ENTRY: Duration = Duration::from_secs(45 * 60);

/// `low` passes only ids older than this.
pub(super) const LOW_BEHIND: Duration = Duration::from_secs(60 * 60);

/// Up to this size a message of one recipient lies beside its listing row.
pub(super) const SMALL: usize = 16 * 1024;

/// Octets of every row of a large body but the last of its head and of its text.
pub(super) const PART: usize = 128 * 1024;

/// Where the content of a listed message is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Body {
    /// In the listing's partition.
    Small,
    /// A body of its own.
    Own,
    /// A body that others may hold too.
    Shared,
}

impl Body {
    pub(super) fn code(self) -> i8 {
        match self {
            Self::Small => 0,
            Self::Own => 1,
            Self::Shared => 2,
        }
    }

    pub(super) fn read(code: i8) -> Self {
        match code {
            0 => Self::Small,
            1 => Self::Own,
            _ => Self::Shared,
        }
    }
}

pub(super) fn uuid(id: MessageId) -> Uuid {
    Uuid::from_bytes(*id.as_bytes())
}

pub(super) fn id(uuid: Uuid) -> MessageId {
    MessageId::from_bytes(*uuid.as_bytes())
}

/// The epoch that an id belongs to.
pub(super) fn epoch(id: MessageId) -> i32 {
    (id.unix_millis() / (EPOCH_DAYS * DAY_MILLIS)) as i32
}

/// The lowest id of a moment. Cassandra orders uuids by version before all else, so it is a UUIDv7 too.
pub(super) fn lowest_id(millis: u64) -> Uuid {
    Uuid::from_u128(u128::from(millis) << 80 | 7 << 76 | 0b10 << 62)
}

/// The first moment behind an epoch.
pub(super) fn end_of(epoch: i32) -> u64 {
    u64::from(epoch.unsigned_abs() + 1) * EPOCH_DAYS * DAY_MILLIS
}

/// The write time of an id's rows, in microseconds. An id from a clock that was ahead, copied here, has the present:
/// no deletion would outdo it otherwise.
pub(super) fn written_at(id: MessageId) -> i64 {
    (id.unix_millis().min(unix_millis()) * 1000) as i64
}

/// A moment in the unit of write times.
pub(super) fn micros(millis: u64) -> i64 {
    big(millis.saturating_mul(1000))
}

/// A write time that what happens from `now` on outdoes, whichever gateway or node gives it its time.
pub(super) fn before_all(now: u64) -> i64 {
    micros(now) - APART.as_micros() as i64
}

/// The write time, in microseconds, of what happens `now` and is to outdo all that any gateway has written with its own
/// time: of deletions, so that a write of the same row that comes late, or from a clock that is ahead, stays deleted.
pub(super) fn above_all(now: u64) -> i64 {
    micros(now) + APART.as_micros() as i64
}

const PLAIN: i8 = 0;
const ZSTD: i8 = 1;

/// Octets as they are kept.
pub(super) fn pack(octets: &[u8]) -> (i8, Bytes) {
    match packing::pack(octets) {
        Some(packed) => (ZSTD, packed.into()),
        None => (PLAIN, Bytes::copy_from_slice(octets)),
    }
}

/// Octets as they were, at most `most`.
pub(super) fn unpack(codec: i8, kept: Vec<u8>, most: usize) -> Result<Bytes> {
    if codec == PLAIN {
        return Ok(kept.into());
    }
    unpacking::unpack(&kept, most)
        .map(Bytes::from)
        .map_err(|error| StoreError::Engine(format!("a body does not unpack: {error}")))
}

/// A count or size as a column has it.
pub(super) fn big(size: u64) -> i64 {
    i64::try_from(size).unwrap_or(i64::MAX)
}

/// A column's count or size.
pub(super) fn size(big: i64) -> u64 {
    u64::try_from(big).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_epoch_is_28_days_and_ends_where_the_next_begins() {
        let last = end_of(3) - 1;
        assert_eq!(epoch(id(lowest_id(last))), 3);
        assert_eq!(epoch(id(lowest_id(last + 1))), 4);
        assert_eq!(id(lowest_id(last)).unix_millis(), last);
    }

    #[test]
    fn what_is_packed_unpacks() {
        for octets in [vec![b'a'; PART], (0..=255).collect(), Vec::new()] {
            let (codec, kept) = pack(&octets);
            assert!(kept.len() <= octets.len());
            assert_eq!(unpack(codec, kept.to_vec(), PART).unwrap(), octets);
        }
        let (codec, kept) = pack(&vec![b'a'; PART]);
        assert!(
            unpack(codec, kept.to_vec(), PART - 1).is_err(),
            "a bomb does not go off"
        );
    }
}
