//! The contract as a guest meets it: what it sees, what becomes of its edits, where its bounds are.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

#[path = "contract/edits.rs"]
mod edits;
#[path = "folder.rs"]
mod folder;
#[path = "contract/limits.rs"]
mod limits;
#[path = "contract/probe.rs"]
mod probe;
#[path = "contract/reuse.rs"]
mod reuse;
#[path = "contract/versions.rs"]
mod versions;
