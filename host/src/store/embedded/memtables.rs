//! Rotates the engine's memtables, on a thread of its own, before the engine would.
//!
//! The engine (fjall 3.1) asks its workers for that by each commit, in the queue of 1,000 from which they take all their
//! work. While both flush and compact the queue fills, and a worker that then adds a flush to it waits for room that
//! only workers make: two that do so wait for ever, and memtables grow until there is no memory.

use super::Spaces;
use super::committer::Failure;
use super::rows::Space;
use fjall::AbstractTree as _;
use std::sync::mpsc;
use std::thread::JoinHandle;

const MIB: u64 = 1024 * 1024;

/// What the engine counts of a row beside its key and value.
pub(super) const ROW: usize = 64;

/// Octets at which the engine asks for a rotation; each keyspace keeps what it was made with.
pub(super) fn most(space: Space) -> u64 {
    match space {
        Space::Body => 32 * MIB,
        Space::Message | Space::Entry | Space::State => 16 * MIB,
    }
}

/// Octets at which one is made here.
pub(super) fn full(space: Space) -> u64 {
    most(space) / 16 * 15
}

/// What the memtables hold, as the engine counts it.
#[derive(Debug)]
pub(super) struct Memtables {
    held: [u64; 4],
    rotations: mpsc::Sender<Space>,
}

impl Memtables {
    /// Starts the thread, which ends when this is dropped.
    pub(super) fn start(spaces: Spaces, failure: Failure) -> std::io::Result<(Self, JoinHandle<()>)> {
        let (rotations, asked) = mpsc::channel();
        let held = Space::ALL.map(|space| spaces.of(space).tree.active_memtable().size());
        let rotate = move || {
            for space in asked {
                if let Err(error) = spaces.of(space).rotate_memtable() {
                    failure.declare(&error.to_string());
                }
            }
        };
        let thread = std::thread::Builder::new().name("store-memtables".into());
        Ok((Self { held, rotations }, thread.spawn(rotate)?))
    }

    /// Counts a row with so many octets of key and value, and asks for a rotation when there are enough.
    pub(super) fn wrote(&mut self, space: Space, octets: usize) {
        let Some(held) = self.held.get_mut(space as usize) else {
            return;
        };
        *held += (octets + ROW) as u64;
        if *held >= full(space) {
            *held = 0;
            // The thread is gone only where it panicked; the engine's own bound is behind this one.
            let _ = self.rotations.send(space);
        }
    }
}
