//! Free space: watched, so that mail is refused long before the engine meets a full disk, which it does not
//! survive. Reading and removing go on, and mail flows again by itself when there is room.

use crate::store::{Result, StoreError};
use metrics::{counter, gauge};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Answers the octets that are free for us.
pub type Probe = Arc<dyn Fn() -> std::io::Result<u64> + Send + Sync>;

/// So many times the octets of messages under way are kept free: each may be written to the journal and to a
/// blob file, and compaction needs as much again.
const TIMES_IN_FLIGHT: u64 = 4;

pub(super) struct FreeSpace {
    probe: Probe,
    reserve: u64,
    in_flight: AtomicU64,
    free: AtomicU64,
}

impl std::fmt::Debug for FreeSpace {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FreeSpace")
            .field("reserve", &self.reserve)
            .field("in_flight", &self.in_flight)
            .field("free", &self.free)
            .finish_non_exhaustive()
    }
}

impl FreeSpace {
    pub(super) fn new(probe: Probe, reserve: u64) -> Self {
        let space = Self {
            probe,
            reserve,
            in_flight: AtomicU64::new(0),
            free: AtomicU64::new(u64::MAX),
        };
        space.look();
        space
    }

    /// Looks now. A probe that fails leaves the last answer.
    pub(super) fn look(&self) {
        match (self.probe)() {
            Ok(free) => {
                let was_full = self.is_short();
                self.free.store(free, Ordering::Relaxed);
                gauge!("postern_store_free_bytes").set(free as f64);
                self.tell(was_full);
            }
            Err(error) => tracing::warn!(%error, "free space is not known"),
        }
    }

    /// Logs each passing of the mark once.
    fn tell(&self, was_short: bool) {
        let (short, free) = (self.is_short(), self.free.load(Ordering::Relaxed));
        gauge!("postern_store_full").set(if short { 1.0 } else { 0.0 });
        match (was_short, short) {
            (false, true) => {
                counter!("postern_store_full_total").increment(1);
                tracing::error!(
                    free,
                    needed = self.needed(),
                    "the disk is nearly full: no new mail is taken"
                );
            }
            (true, false) => tracing::info!(free, "there is room again: mail is taken"),
            _ => {}
        }
    }

    pub(super) fn set_in_flight(&self, octets: u64) {
        self.in_flight.store(octets, Ordering::Relaxed);
    }

    fn needed(&self) -> u64 {
        let in_flight = self.in_flight.load(Ordering::Relaxed);
        self.reserve.max(in_flight.saturating_mul(TIMES_IN_FLIGHT))
    }

    pub(super) fn is_short(&self) -> bool {
        self.free.load(Ordering::Relaxed) < self.needed()
    }

    /// Whether so many octets more could be written.
    pub(super) fn has_room_for(&self, octets: u64) -> bool {
        self.free.load(Ordering::Relaxed) > octets
    }

    pub(super) fn admit(&self) -> Result<()> {
        match self.is_short() {
            true => Err(StoreError::Full),
            false => Ok(()),
        }
    }
}

/// A probe of the file system that holds `path`.
pub(super) fn probe_of(path: &Path) -> Probe {
    let path = path.to_owned();
    Arc::new(move || {
        let stat = rustix::fs::statvfs(&path)?;
        Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
    })
}
