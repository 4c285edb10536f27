//! What a candidate says beside what the enforced version says, counted by question and both words.
//!
//! There are few words, so what is kept is bounded.

use super::questions::Question;
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
    pub count: u64,
}

/// The matrix of one candidate and what it is compared with.
#[derive(Debug, Default)]
pub(super) struct Agreement(Mutex<BTreeMap<Cell, u64>>);

type Cell = (&'static str, &'static str, &'static str);

impl Agreement {
    pub(super) fn note(
        &self,
        policy: &str,
        question: Question,
        enforced: &'static str,
        candidate: &'static str,
    ) {
        let question = question.word();
        let mut cells = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *cells.entry((question, enforced, candidate)).or_default() += 1;
        drop(cells);
        metrics::counter!(
            "postern_plugin_agreement_total",
            "plugin" => policy.to_owned(), "question" => question,
            "enforced" => enforced, "candidate" => candidate
        )
        .increment(1);
    }

    /// All cells that are not zero.
    pub(super) fn cells(&self, policy: &str) -> Vec<Agreed> {
        let cells = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let cell = |(&(question, enforced, candidate), &count): (&Cell, &u64)| Agreed {
            policy: policy.to_owned(),
            question,
            enforced,
            candidate,
            count,
        };
        cells.iter().map(cell).collect()
    }
}
