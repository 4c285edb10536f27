//! How much one call may ask of the host. What is spent ends the call, save log lines, which are dropped.

use metrics::counter;

/// The bounds of one call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::policy) struct Limits {
    /// Elements of all its tables together.
    pub(in crate::policy) table_elements: usize,
    /// Calls of capabilities. A 50 MB message read in pieces of 1 KiB takes half of them.
    pub(in crate::policy) calls: u32,
    /// Octets handed to it: a large message several times over.
    pub(in crate::policy) read: u64,
    /// Lines it may log.
    pub(in crate::policy) lines: u32,
    /// Edits, and octets of their names and values.
    pub(in crate::policy) edits: u32,
    pub(in crate::policy) edited: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            table_elements: 4 * crate::policy::engine::TABLE_ELEMENTS,
            calls: 100_000,
            read: 256 << 20,
            lines: 100,
            edits: 1_000,
            edited: 1 << 20,
        }
    }
}

/// The call asked for more than it may; it ends here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("more {0} than one call may have")]
pub(in crate::policy) struct Spent(&'static str);

/// What is left to one call.
#[derive(Debug)]
pub(in crate::policy) struct Budget(Limits);

impl Budget {
    pub(in crate::policy) fn new(limits: Limits) -> Self {
        Self(limits)
    }

    /// Every capability's function asks this first.
    pub(in crate::policy) fn call(&mut self) -> Result<(), Spent> {
        self.0.calls = self.0.calls.checked_sub(1).ok_or_else(|| spent("host calls"))?;
        Ok(())
    }

    /// So many octets are about to be handed over.
    pub(in crate::policy) fn read(&mut self, octets: usize) -> Result<(), Spent> {
        let left = self.0.read.checked_sub(octets as u64);
        self.0.read = left.ok_or_else(|| spent("octets read"))?;
        Ok(())
    }

    /// An edit with names and values of so many octets.
    pub(in crate::policy) fn edit(&mut self, octets: usize) -> Result<(), Spent> {
        self.0.edits = self.0.edits.checked_sub(1).ok_or_else(|| spent("edits"))?;
        let left = self.0.edited.checked_sub(octets as u64);
        self.0.edited = left.ok_or_else(|| spent("octets of edits"))?;
        Ok(())
    }

    /// Whether another line is logged.
    pub(in crate::policy) fn line(&mut self) -> bool {
        let left = self.0.lines.checked_sub(1);
        if left.is_none() {
            let _ = spent("log lines");
        }
        self.0.lines = left.unwrap_or(0);
        left.is_some()
    }
}

fn spent(what: &'static str) -> Spent {
    counter!("postern_policy_limit_hits_total", "limit" => what).increment(1);
    Spent(what)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn budget() -> Budget {
        Budget::new(Limits {
            calls: 2,
            read: 10,
            lines: 1,
            edits: 2,
            edited: 5,
            ..Limits::default()
        })
    }

    #[test]
    fn the_last_call_is_made_and_the_next_one_ends_it() {
        let mut budget = budget();
        assert_eq!(budget.call(), Ok(()));
        assert_eq!(budget.call(), Ok(()));
        assert_eq!(budget.call(), Err(Spent("host calls")));
    }

    #[test]
    fn exactly_so_many_octets_are_read() {
        let mut budget = budget();
        assert_eq!(budget.read(10), Ok(()));
        assert_eq!(budget.read(0), Ok(()));
        assert_eq!(budget.read(1), Err(Spent("octets read")));
    }

    #[test]
    fn edits_are_bounded_in_number_and_in_size() {
        let mut many = budget();
        assert_eq!((many.edit(1), many.edit(1)), (Ok(()), Ok(())));
        assert_eq!(many.edit(0), Err(Spent("edits")));
        let mut large = budget();
        assert_eq!(large.edit(5), Ok(()));
        assert_eq!(large.edit(1), Err(Spent("octets of edits")));
    }

    #[test]
    fn lines_too_many_are_dropped_and_end_nothing() {
        let mut budget = budget();
        assert!(budget.line());
        assert!(!budget.line());
        assert!(!budget.line());
    }
}
