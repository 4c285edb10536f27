//! Rotates the engine's memtables, on a thread of its own, before the engine's workers are asked for it.
//!
//! The engine (fjall 3.1) asks them by each commit that finds a memtable too large, in the queue of 1,000 from which they
//! take all their work. While both flush and compact the queue fills, and a worker that then adds a flush to it waits
//! for room that only workers make: two that do so wait for ever, and memtables grow until there is no memory. It still
//! asks where one commit fills a memtable to its bound at once, and seldom otherwise.

use super::Spaces;
use super::committer::{Failure, Unwinding};
use super::rows::Space;
use fjall::AbstractTree as _;
use std::sync::mpsc;
use std::thread::JoinHandle;

const MIB: u64 = 1024 * 1024;

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

fn is_full(spaces: &Spaces, space: Space) -> bool {
    spaces.of(space).tree.active_memtable().size() >= full(space)
}

/// Where rotations are asked for; the thread ends when it is gone.
#[derive(Debug)]
pub(super) struct Memtables(mpsc::SyncSender<Space>);

impl Memtables {
    /// Starts the thread.
    pub(super) fn start(spaces: Spaces, failure: Failure) -> std::io::Result<(Self, JoinHandle<()>)> {
        let (rotations, asked) = mpsc::sync_channel(Space::ALL.len());
        let rotate = move || {
            let _unwinding = Unwinding("the rotation of memtables", &failure);
            for space in asked {
                let rotated = is_full(&spaces, space).then(|| spaces.of(space).rotate_memtable());
                if let Some(Err(error)) = rotated {
                    failure.declare(&error.to_string());
                }
            }
        };
        let thread = std::thread::Builder::new().name("store-memtables".into());
        Ok((Self(rotations), thread.spawn(rotate)?))
    }

    /// Behind a commit: asks for a rotation of those that are full.
    pub(super) fn look(&self, spaces: &Spaces) {
        for space in Space::ALL {
            if is_full(spaces, space) {
                // Where there is no room it has been asked for, and the next commit looks again.
                let _ = self.0.try_send(space);
            }
        }
    }
}
