//! What a candidate says beside what the enforced version says, counted by question, both words, and whether all that
//! they say is the same.
//!
//! There are few words, so what is kept is bounded.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

/// Where nothing was enforced.
pub(super) const NOTHING: &str = "none";

/// One cell of the matrix.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Agreed {
    /// The enforced version's name.
    pub policy: String,
    /// As in the `failure` section of a policy's file.
    pub question: &'static str,
    /// `accept`, `trap`, …; `none` where nothing is enforced.
    pub enforced: &'static str,
    pub candidate: &'static str,
    /// In their words or, where those are the same, in what goes with them: a mailbox, a reply, an edit.
    pub differs: bool,
    pub count: u64,
}

/// The matrix of one candidate and what it is compared with.
#[derive(Debug, Default)]
pub(super) struct Agreement(Mutex<BTreeMap<Cell, u64>>);

/// The question, what is enforced, what the candidate says, and whether these differ.
pub(super) type Cell = (&'static str, &'static str, &'static str, bool);

impl Agreement {
    pub(super) fn note(&self, policy: &str, cell: Cell) {
        let mut cells = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *cells.entry(cell).or_default() += 1;
        drop(cells);
        let (question, enforced, candidate, differs) = cell;
        metrics::counter!(
            "postern_plugin_agreement_total",
            "plugin" => policy.to_owned(), "question" => question,
            "enforced" => enforced, "candidate" => candidate, "differs" => differs.to_string()
        )
        .increment(1);
    }

    /// All cells that are not zero.
    pub(super) fn cells(&self, policy: &str) -> Vec<Agreed> {
        let cells = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let cell = |(&(question, enforced, candidate, differs), &count): (&Cell, &u64)| Agreed {
            policy: policy.to_owned(),
            question,
            enforced,
            candidate,
            differs,
            count,
        };
        cells.iter().map(cell).collect()
    }
}
