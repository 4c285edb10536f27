//! Instances that wait for another call, where a policy's file says `reuse`.
//!
//! An instance is one call's alone while it runs, and goes on only if that ended well. It keeps its place among
//! `policy.instances` while it waits, so the pool never has more instances than places; whoever finds no place takes
//! that of the instance that has waited longest. What a call knows and may do is made anew each time: of an
//! earlier call an instance has what it put into its own memory.

use super::guest::Guest;
use super::limits::Limit;
use crate::config::fault::Collector;
use crate::config::units::ByteSize;
use serde::Deserialize;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use tokio::sync::OwnedSemaphorePermit;
use wasmtime::Store;
use wasmtime::component::Instance;

const MIB: u64 = 1 << 20;

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawReuse {
    calls: Option<u32>,
    memory: Option<ByteSize>,
}

/// How long an instance lasts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Reuse {
    /// Calls that one answers.
    pub(super) calls: u32,
    /// Octets of its memories; with more behind a call it is not used again.
    pub(super) memory: u64,
}

impl Reuse {
    pub(super) fn read(raw: &RawReuse, faults: &mut Collector) -> Self {
        let reuse = Self {
            calls: raw.calls.unwrap_or(1000),
            memory: raw.memory.map_or(64 * MIB, |size| size.0),
        };
        if !(1..=1_000_000).contains(&reuse.calls) {
            faults.add("reuse.calls", "out of bounds; write 1 to 1000000");
        }
        if !(64 << 10..4096 * MIB).contains(&reuse.memory) {
            faults.add("reuse.memory", "out of bounds; write 64KiB to 4095MiB");
        }
        reuse
    }
}

/// An instance, or the store for one, with its place. The store ends before the place is free.
pub(super) struct Kept {
    pub(super) store: Store<Guest>,
    /// None: it is still to be made.
    pub(super) instance: Option<Instance>,
    /// Calls that it has answered.
    calls: u32,
    _place: OwnedSemaphorePermit,
}

impl Kept {
    pub(super) fn new(store: Store<Guest>, place: OwnedSemaphorePermit) -> Self {
        Self {
            store,
            instance: None,
            calls: 0,
            _place: place,
        }
    }
}

/// Whose instances they are.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Owner(u64);

/// All that wait, of all policies, the one that waits longest first.
#[derive(Default)]
pub(super) struct Waiting {
    kept: Mutex<VecDeque<(u64, Kept)>>,
    owners: AtomicU64,
    /// Calls that wait for a place.
    callers: AtomicUsize,
}

impl std::fmt::Debug for Waiting {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Waiting")
            .field("kept", &self.all().len())
            .finish_non_exhaustive()
    }
}

impl Waiting {
    pub(super) fn owner(&self) -> Owner {
        Owner(self.owners.fetch_add(1, Ordering::Relaxed))
    }

    /// The one that waits shortest: its memory is likely to be at hand.
    pub(super) fn take(&self, owner: &Owner) -> Option<Kept> {
        let mut all = self.all();
        let place = all.iter().rposition(|(of, _)| *of == owner.0)?;
        let kept = all.remove(place);
        tell(&all);
        kept.map(|(_, kept)| kept)
    }

    /// A call has been answered well: its instance waits for another, unless it has lasted long enough or somebody
    /// waits for its place.
    pub(super) fn keep(&self, owner: &Owner, reuse: Reuse, mut kept: Kept) {
        kept.calls = kept.calls.saturating_add(1);
        if kept.calls >= reuse.calls {
            return Limit::ReuseCalls.hit();
        }
        if kept.store.data().memory_peak() as u64 > reuse.memory {
            return Limit::ReuseMemory.hit();
        }
        let mut all = self.all();
        // Whoever comes from here on looks here before it waits.
        if self.callers.load(Ordering::SeqCst) > 0 {
            drop(all);
            return Limit::ReuseIdle.hit();
        }
        all.push_back((owner.0, kept));
        tell(&all);
    }

    /// Ends the one that has waited longest, so that its place is free.
    pub(super) fn give_way(&self) {
        let mut all = self.all();
        let oldest = all.pop_front();
        tell(&all);
        drop(all);
        if oldest.is_some() {
            Limit::ReuseIdle.hit();
        }
    }

    /// Ends all of one policy.
    pub(super) fn forget(&self, owner: &Owner) {
        let mut all = self.all();
        let is_its = |(of, _): &(u64, Kept)| *of == owner.0;
        let (gone, left): (VecDeque<_>, VecDeque<_>) =
            std::mem::take(&mut *all).into_iter().partition(is_its);
        *all = left;
        tell(&all);
        // Instances end where nobody waits for the list.
        drop(all);
        drop(gone);
    }

    /// Somebody waits for a place for as long as this is there.
    pub(super) fn caller(&self) -> Caller<'_> {
        self.callers.fetch_add(1, Ordering::SeqCst);
        Caller(&self.callers)
    }

    #[cfg(test)]
    pub(super) fn count(&self) -> usize {
        self.all().len()
    }

    fn all(&self) -> MutexGuard<'_, VecDeque<(u64, Kept)>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A call that waits for a place.
#[derive(Debug)]
pub(super) struct Caller<'a>(&'a AtomicUsize);

impl Drop for Caller<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

fn tell(all: &VecDeque<(u64, Kept)>) {
    let count = u32::try_from(all.len()).unwrap_or(u32::MAX);
    metrics::gauge!("postern_plugin_idle_instances").set(count);
}

#[cfg(test)]
mod tests;
