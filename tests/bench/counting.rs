//! An allocator that counts what is asked of the system's.
//!
//! What it does not see: what C libraries get by themselves (zstd's contexts, aws-lc), stacks, mapped files, and what
//! the system's allocator needs beside what it is asked for. A thread may be left out; what it gets it must give back
//! itself.

#![allow(unsafe_code, reason = "the trait of allocators is unsafe")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, AtomicUsize, Ordering::Relaxed};

thread_local! {
    static LEFT_OUT: Cell<bool> = const { Cell::new(false) };
}

/// From here on nothing that this thread does is counted.
pub(crate) fn leave_out_this_thread() {
    LEFT_OUT.with(|left_out| left_out.set(true));
}

/// Allocations of so many octets are told apart by their size.
pub(crate) const LARGE: usize = 64 << 10;
/// How much higher a peak is to be before it is looked at again what it is made of.
const STEP: i64 = 16 << 10;

static COUNT: AtomicU64 = AtomicU64::new(0);
static OCTETS: AtomicU64 = AtomicU64::new(0);
/// Octets of allocations that have the size of the store's rows, and of all others.
static ROWS: AtomicI64 = AtomicI64::new(0);
static OTHERS: AtomicI64 = AtomicI64::new(0);
static ALL_PEAK: AtomicI64 = AtomicI64::new(0);
static OTHERS_PEAK: AtomicI64 = AtomicI64::new(0);
/// That of others at which sizes were looked at.
static LOOKED: AtomicI64 = AtomicI64::new(0);
static LOOKING: AtomicBool = AtomicBool::new(false);
static ROW: AtomicUsize = AtomicUsize::new(usize::MAX);

/// Large allocations of one size; 0: of none yet.
struct Slot {
    size: AtomicUsize,
    made: AtomicU64,
    live: AtomicI64,
    before: AtomicI64,
    at_peak: AtomicI64,
}

#[allow(
    clippy::declare_interior_mutable_const,
    reason = "each slot is one of its own"
)]
const SLOT: Slot = Slot {
    size: AtomicUsize::new(0),
    made: AtomicU64::new(0),
    live: AtomicI64::new(0),
    before: AtomicI64::new(0),
    at_peak: AtomicI64::new(0),
};
static SLOTS: [Slot; 512] = [SLOT; 512];

/// None: there are more sizes than slots.
fn slot(size: usize) -> Option<&'static Slot> {
    SLOTS.iter().find(|slot| {
        let taken = slot.size.compare_exchange(0, size, Relaxed, Relaxed);
        taken.is_ok() || taken == Err(size)
    })
}

fn gets(size: usize) {
    COUNT.fetch_add(1, Relaxed);
    OCTETS.fetch_add(size as u64, Relaxed);
    if size >= LARGE
        && let Some(slot) = slot(size)
    {
        slot.made.fetch_add(1, Relaxed);
        slot.live.fetch_add(1, Relaxed);
    }
    let is_row = size == ROW.load(Relaxed);
    let whose = if is_row { &ROWS } else { &OTHERS };
    let whose = whose.fetch_add(size as i64, Relaxed) + size as i64;
    let (rows, others) = match is_row {
        true => (whose, OTHERS.load(Relaxed)),
        false => (ROWS.load(Relaxed), whose),
    };
    ALL_PEAK.fetch_max(rows + others, Relaxed);
    if OTHERS_PEAK.fetch_max(others, Relaxed) < others && others > LOOKED.load(Relaxed) + STEP {
        look(others);
    }
}

fn gives_back(size: usize) {
    if size >= LARGE
        && let Some(slot) = slot(size)
    {
        slot.live.fetch_sub(1, Relaxed);
    }
    let whose = if size == ROW.load(Relaxed) { &ROWS } else { &OTHERS };
    whose.fetch_sub(size as i64, Relaxed);
}

/// Of two who are here at once the second sees no more than the first.
fn look(others: i64) {
    if LOOKING.swap(true, Relaxed) {
        return;
    }
    LOOKED.store(others, Relaxed);
    for slot in SLOTS.iter().take_while(|slot| slot.size.load(Relaxed) > 0) {
        slot.at_peak.store(slot.live.load(Relaxed), Relaxed);
    }
    LOOKING.store(false, Relaxed);
}

#[derive(Debug)]
pub(crate) struct Counting;

fn counted() -> bool {
    !LEFT_OUT.try_with(Cell::get).unwrap_or_default()
}

// SAFETY: all is left to the system's allocator; what is done beside it allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if counted() {
            gets(layout.size());
        }
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        if counted() {
            gets(layout.size());
        }
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, octets: *mut u8, layout: Layout) {
        if counted() {
            gives_back(layout.size());
        }
        unsafe { System.dealloc(octets, layout) }
    }

    /// Counts as one more; both are never there at once, for the system moves pages rather than octets.
    unsafe fn realloc(&self, octets: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        if counted() {
            gives_back(layout.size());
            gets(size);
        }
        unsafe { System.realloc(octets, layout, size) }
    }
}

/// Allocations of this size are the store's rows.
pub(crate) fn rows_have(size: usize) {
    ROW.store(size, Relaxed);
}

/// Allocations and their octets so far.
pub(crate) fn made() -> [u64; 2] {
    [COUNT.load(Relaxed), OCTETS.load(Relaxed)]
}

/// Octets in use now.
pub(crate) fn live() -> i64 {
    ROWS.load(Relaxed) + OTHERS.load(Relaxed)
}

/// What was in use when a peak was begun to be looked for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Level {
    all: i64,
    others: i64,
}

/// Octets above a level.
#[derive(Debug, Clone)]
pub(crate) struct Peak {
    pub(crate) all: i64,
    /// Without the store's rows.
    pub(crate) others: i64,
    /// Rows that were made.
    pub(crate) rows: u64,
    /// Of what large allocations that of `others` was made: their size, and how many more than before.
    pub(crate) of: Vec<(usize, i64)>,
}

/// Begins to look for peaks.
pub(crate) fn level() -> Level {
    let level = Level {
        all: live(),
        others: OTHERS.load(Relaxed),
    };
    ALL_PEAK.store(level.all, Relaxed);
    OTHERS_PEAK.store(level.others, Relaxed);
    LOOKED.store(level.others, Relaxed);
    for slot in &SLOTS {
        let live = slot.live.load(Relaxed);
        slot.made.store(0, Relaxed);
        slot.before.store(live, Relaxed);
        slot.at_peak.store(live, Relaxed);
    }
    level
}

impl Level {
    /// The highest since then.
    pub(crate) fn peak(self) -> Peak {
        let of = SLOTS.iter().map(|slot| {
            let more = slot.at_peak.load(Relaxed) - slot.before.load(Relaxed);
            (slot.size.load(Relaxed), more)
        });
        let row = ROW.load(Relaxed);
        let made = SLOTS.iter().find(|slot| slot.size.load(Relaxed) == row);
        Peak {
            all: ALL_PEAK.load(Relaxed) - self.all,
            others: OTHERS_PEAK.load(Relaxed) - self.others,
            rows: made.map_or(0, |slot| slot.made.load(Relaxed)),
            of: of
                .filter(|(size, more)| *size > 0 && *size != row && *more > 0)
                .collect(),
        }
    }
}
