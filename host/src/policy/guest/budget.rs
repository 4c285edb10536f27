//! How much one call may ask of the host. What is spent ends the call, save log lines, which are dropped, and look-ups, which fail.

use crate::policy::limits::{Limit, Limits};

/// The call asked for more than it may; it ends here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("more than limits.{} lets one call have", .0.word())]
pub(in crate::policy) struct Spent(Limit);

/// What is left to one call.
#[derive(Debug)]
pub(in crate::policy) struct Budget(Limits);

impl Budget {
    pub(in crate::policy) fn new(limits: Limits) -> Self {
        Self(limits)
    }

    /// Every capability's function asks this first.
    pub(in crate::policy) fn call(&mut self) -> Result<(), Spent> {
        let left = self.0.host_calls.checked_sub(1);
        self.0.host_calls = left.ok_or_else(|| spent(Limit::HostCalls))?;
        Ok(())
    }

    /// Whether another name is looked up.
    pub(in crate::policy) fn lookup(&mut self) -> bool {
        let left = self.0.dns.checked_sub(1);
        if left.is_none() {
            Limit::Dns.hit();
        }
        self.0.dns = left.unwrap_or(0);
        left.is_some()
    }

    /// So many octets are about to be handed over.
    pub(in crate::policy) fn read(&mut self, octets: usize) -> Result<(), Spent> {
        let left = self.0.read.checked_sub(octets as u64);
        self.0.read = left.ok_or_else(|| spent(Limit::Read))?;
        Ok(())
    }

    /// An edit with names and values of so many octets.
    pub(in crate::policy) fn edit(&mut self, octets: usize) -> Result<(), Spent> {
        let left = self.0.edits.checked_sub(1);
        self.0.edits = left.ok_or_else(|| spent(Limit::Edits))?;
        let left = self.0.edited.checked_sub(octets as u64);
        self.0.edited = left.ok_or_else(|| spent(Limit::Edited))?;
        Ok(())
    }

    /// Whether another line is logged.
    pub(in crate::policy) fn line(&mut self) -> bool {
        let left = self.0.log_lines.checked_sub(1);
        if left.is_none() {
            Limit::LogLines.hit();
        }
        self.0.log_lines = left.unwrap_or(0);
        left.is_some()
    }
}

fn spent(limit: Limit) -> Spent {
    limit.hit();
    Spent(limit)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::limits::tests::hits;
    use std::time::Duration;

    fn budget() -> Budget {
        Budget::new(Limits {
            host_calls: 2,
            read: 10,
            dns: 1,
            log_lines: 1,
            edits: 2,
            edited: 5,
            ..Limits::usual(Duration::ZERO, 0)
        })
    }

    #[test]
    fn the_last_call_is_made_and_the_next_one_ends_it() {
        let mut budget = budget();
        let most = hits(Limit::HostCalls, || {
            assert_eq!(budget.call(), Ok(()));
            assert_eq!(budget.call(), Ok(()));
        });
        assert_eq!(most, 0, "the edge itself is not beyond it");
        let more = hits(Limit::HostCalls, || {
            let spent = budget.call().unwrap_err();
            assert_eq!(
                spent.to_string(),
                "more than limits.host_calls lets one call have"
            );
        });
        assert_eq!(more, 1);
    }

    #[test]
    fn exactly_so_many_octets_are_read() {
        let mut budget = budget();
        assert_eq!(hits(Limit::Read, || assert_eq!(budget.read(10), Ok(()))), 0);
        assert_eq!(budget.read(0), Ok(()));
        let more = hits(Limit::Read, || {
            assert_eq!(budget.read(1), Err(Spent(Limit::Read)));
        });
        assert_eq!(more, 1);
    }

    #[test]
    fn edits_are_bounded_in_number_and_in_size() {
        let mut many = budget();
        assert_eq!((many.edit(1), many.edit(1)), (Ok(()), Ok(())));
        let more = hits(Limit::Edits, || {
            assert_eq!(many.edit(0), Err(Spent(Limit::Edits)));
        });
        let mut large = budget();
        assert_eq!(large.edit(5), Ok(()));
        let larger = hits(Limit::Edited, || {
            assert_eq!(large.edit(1), Err(Spent(Limit::Edited)));
        });
        assert_eq!((more, larger), (1, 1));
    }

    #[test]
    fn the_last_look_up_is_made_and_the_next_one_fails() {
        let mut budget = budget();
        assert_eq!(hits(Limit::Dns, || assert!(budget.lookup())), 0);
        assert_eq!(hits(Limit::Dns, || assert!(!budget.lookup())), 1);
        assert_eq!(budget.call(), Ok(()), "the call goes on");
    }

    #[test]
    fn lines_too_many_are_dropped_and_end_nothing() {
        let mut budget = budget();
        assert!(budget.line());
        let dropped = hits(Limit::LogLines, || {
            assert!(!budget.line());
            assert!(!budget.line());
        });
        assert_eq!(dropped, 2);
    }
}
