//! Upkeep: a thread that looks every second at free space and at the engine's health, and compacts bodies when
//! garbage exceeds max(floor, 30 %).
//!
//! The engine's own compaction is driven by writes, so a store that is only read and emptied would never shrink.
//! A compaction writes what lives in the files anew before it removes them: one that may not fit is put off.

use super::Spaces;
use super::committer::{Failure, Unwinding};
use super::rows::Space;
use super::space::FreeSpace;
use fjall::{AbstractTree as _, PersistMode};
use metrics::{counter, gauge};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

const EVERY: Duration = Duration::from_secs(1);

/// A key that no row has.
const NOBODY: [u8; 1] = [0];

/// The engine does not tell when it has written.
const WRITING: Duration = Duration::from_millis(10);

/// Garbage in hundredths of the bodies' octets that is worth a compaction.
const WORTH_PERCENT: u64 = 30;

/// A file is rewritten when a fifth of it is garbage: beside each octet of that there are four to be written.
const LIVING_PER_GARBAGE: u64 = 4;

/// Garbage that is worth a compaction when the disk is nearly full; and what must have come since the last one, which
/// leaves files alone that hold little of it.
const WORTH_WHEN_SHORT: u64 = 1024 * 1024;

#[derive(Debug)]
pub(super) struct Upkeep {
    pub(super) spaces: Spaces,
    pub(super) free: Arc<FreeSpace>,
    pub(super) failure: Failure,
    pub(super) removed: Arc<AtomicU64>,
    pub(super) floor: u64,
    /// Garbage that the last compaction left.
    pub(super) left: u64,
    /// A compaction waits for room, and that was said.
    pub(super) put_off: bool,
}

impl Upkeep {
    /// Runs until the other end of `stop` is gone.
    pub(super) fn serve(mut self, stop: &Receiver<()>) {
        let failure = self.failure.clone();
        let _unwinding = Unwinding("upkeep", &failure);
        while stop.recv_timeout(EVERY) == Err(RecvTimeoutError::Timeout) {
            self.free.look();
            if let Err(error) = self.round() {
                self.failure.declare(&error.to_string());
                return;
            }
        }
    }

    pub(super) fn round(&mut self) -> fjall::Result<()> {
        // Writes nothing new: it answers an error if a worker of the engine has failed.
        self.spaces.db.persist(PersistMode::Buffer)?;
        let (garbage, held) = self.garbage();
        gauge!("postern_store_garbage_bytes").set(garbage as f64);
        gauge!("postern_store_body_bytes").set(held as f64);
        gauge!("postern_store_journals").set(self.spaces.db.journal_count() as f64);
        if self.is_worth_it(garbage, held) && self.fits(garbage, held) {
            compact(&self.spaces, &self.removed)?;
            self.compacted();
        } else if self.free.is_short() && self.spaces.body.tree.version_free_list_len() > 0 {
            let_go(&self.spaces)?;
            self.free.look();
        }
        Ok(())
    }

    /// A compaction is over. What was removed while it ran it has not left: that is for the next one.
    pub(super) fn compacted(&mut self) {
        self.left = self.spaces.body.fragmented_blob_bytes();
        self.free.look();
    }

    /// Octets of garbage in the bodies' files, known to the engine or not yet, and octets of these files.
    pub(super) fn garbage(&self) -> (u64, u64) {
        let unknown = self.removed.load(Ordering::Relaxed);
        let known = self.spaces.body.fragmented_blob_bytes();
        (known.saturating_add(unknown), self.spaces.body.disk_space())
    }

    /// Whether there is room for the most that a compaction may write. The engine does not survive a full disk.
    fn fits(&mut self, garbage: u64, held: u64) -> bool {
        let living = held
            .saturating_sub(garbage)
            .min(garbage.saturating_mul(LIVING_PER_GARBAGE));
        let written = living.saturating_add(self.spaces.db.write_buffer_size());
        let fits = self.free.has_room_for(written);
        if !fits && !self.put_off {
            counter!("postern_store_compactions_put_off_total").increment(1);
            tracing::warn!(
                garbage,
                needed = written,
                "no room to compact bodies: remove more mail or give the disk more room"
            );
        }
        self.put_off = !fits;
        fits
    }

    pub(super) fn is_worth_it(&self, garbage: u64, held: u64) -> bool {
        let worth = match self.free.is_short() {
            true => WORTH_WHEN_SHORT,
            false => self.floor.max(held / 100 * WORTH_PERCENT),
        };
        garbage > worth && garbage.saturating_sub(self.left) > WORTH_WHEN_SHORT
    }
}

/// Compacts twice: the first run finds what is garbage, the second rewrites the files that hold it.
pub(super) fn compact(spaces: &Spaces, removed: &AtomicU64) -> fjall::Result<()> {
    let started = std::time::Instant::now();
    let before = removed.load(Ordering::Relaxed);
    // All four, so that no journal is kept for what one of them has still in memory.
    for space in Space::ALL {
        let keyspace = spaces.of(space);
        keyspace.rotate_memtable_and_wait()?;
        // It does not wait for what the engine had set about to write by itself: the last removals may be in that, and
        // were garbage that nobody looked for any more.
        while keyspace.tree.sealed_memtable_count() > 0 {
            spaces.db.persist(PersistMode::Buffer)?;
            std::thread::sleep(WRITING);
        }
    }
    spaces.body.major_compact()?;
    spaces.body.major_compact()?;
    let_go(spaces)?;
    removed.fetch_sub(before, Ordering::Relaxed);
    counter!("postern_store_compactions_total").increment(1);
    tracing::info!(
        seconds = started.elapsed().as_secs_f64(),
        removed = before,
        octets = spaces.body.disk_space(),
        "bodies compacted"
    );
    Ok(())
}

/// Removes the files that only earlier versions have and no reader uses. The engine does so when it rotates a memtable that
/// holds something: of a store to which nothing is written, the files of removed mail would stay.
fn let_go(spaces: &Spaces) -> fjall::Result<()> {
    spaces.state.remove(NOBODY)?;
    spaces.state.rotate_memtable().map(drop)
}
