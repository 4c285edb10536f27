//! What a check found, and what a sweep collected.

use serde::{Deserialize, Serialize};

/// So many faults are described; behind them they are only counted.
const DESCRIBED: usize = 100;

/// Whether a check also mends what can be mended without loss.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mend {
    Nothing,
    WithoutLoss,
}

/// What a check found.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Report {
    pub mailboxes: u64,
    pub entries: u64,
    pub quarantined: u64,
    pub bodies: u64,
    /// Texts that are arriving now.
    pub uncommitted: u64,
    pub faults: u64,
    /// Faults that are none any more.
    pub mended: u64,
    /// Pieces that could not be read from every replica, so that nothing is said of them.
    pub unread: u64,
    /// The first of them, one line each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub described: Vec<String>,
}

impl Report {
    /// Everything was read and agrees.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        self.faults == 0 && self.unread == 0
    }

    pub(super) fn fault(&mut self, what: impl FnOnce() -> String) {
        self.faults += 1;
        self.describe(what);
    }

    pub(super) fn mended(&mut self, what: impl FnOnce() -> String) {
        self.mended += 1;
        self.describe(what);
    }

    pub(super) fn unread(&mut self, what: impl FnOnce() -> String) {
        self.unread += 1;
        self.describe(what);
    }

    fn describe(&mut self, what: impl FnOnce() -> String) {
        if self.described.len() < DESCRIBED {
            self.described.push(what());
        }
    }
}

/// What a sweep removed because nobody could reach it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Swept {
    /// Bodies of their own that nobody lists, and texts that never became one.
    pub bodies: u64,
    /// Bodies beside a listing that does not list them.
    pub small: u64,
    /// References of those who do not list what they hold.
    pub references: u64,
    /// Pieces that were left alone because not every replica could be read.
    pub left_alone: u64,
}
