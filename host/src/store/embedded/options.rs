//! What an embedded store is opened with.

use super::space::Probe;
use std::sync::Arc;
use std::time::Duration;

/// Told the one reason why the process must end.
pub type Fatal = Arc<dyn Fn(&str) + Send + Sync>;

/// How long a command waits for another one that has the store open.
pub const PATIENCE: Duration = Duration::from_secs(10);

const MIB: u64 = 1024 * 1024;

/// Exit code of a process whose store has failed: a start may help (`EX_TEMPFAIL`).
const EXIT_CODE: i32 = 75;

/// Whether commits reach the disk before they are answered.
#[doc(hidden)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Durability {
    #[default]
    Synced,
    /// Loses mail at a power cut: the control of the test that shows the other does not. No configuration
    /// leads here.
    Unsafe,
}

/// See the fields; [`Default`] is what an operator gets who says nothing.
#[derive(Clone)]
pub struct Options {
    /// Free octets below which no new mail is taken.
    pub reserve: u64,
    /// Most octets in quarantine.
    pub quarantine_max: u64,
    /// Octets of garbage below which no compaction is made for its sake.
    pub garbage: u64,
    /// How long to wait for another process that has the store open.
    pub wait: Duration,
    /// Answers free octets; None asks the file system.
    pub free_space: Option<Probe>,
    /// Called when the engine has failed; None logs and ends the process.
    pub fatal: Option<Fatal>,
    #[doc(hidden)]
    pub durability: Durability,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            reserve: 512 * MIB,
            quarantine_max: 1024 * MIB,
            garbage: 256 * MIB,
            wait: Duration::ZERO,
            free_space: None,
            fatal: None,
            durability: Durability::Synced,
        }
    }
}

impl std::fmt::Debug for Options {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Options")
            .field("reserve", &self.reserve)
            .field("quarantine_max", &self.quarantine_max)
            .field("garbage", &self.garbage)
            .field("wait", &self.wait)
            .field("durability", &self.durability)
            .finish_non_exhaustive()
    }
}

/// Ends the process: an engine that failed to write no longer knows what is on the disk, a start does.
pub(super) fn end_process(reason: &str) {
    tracing::error!(
        reason,
        "the store failed and the process ends; all acknowledged mail is kept, start again once the cause is mended"
    );
    std::process::exit(EXIT_CODE);
}
