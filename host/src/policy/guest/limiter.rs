//! Memory and tables of one call, all of them together: a component may have several of each. A growth that
//! does not fit fails as it does where memory is short; the guest may go on without.

use crate::policy::limits::Limit;
use wasmtime::ResourceLimiter;

/// See the module.
#[derive(Debug)]
pub(in crate::policy) struct Limiter {
    memory: Bound,
    elements: Bound,
}

#[derive(Debug)]
struct Bound {
    used: usize,
    most: usize,
}

impl Bound {
    fn grow(&mut self, current: usize, desired: usize, limit: Limit) -> bool {
        let used = self.used.saturating_add(desired.saturating_sub(current));
        if used > self.most {
            limit.hit();
            return false;
        }
        self.used = used;
        true
    }
}

impl Limiter {
    pub(super) fn new(memory: usize, elements: usize) -> Self {
        let bound = |most| Bound { used: 0, most };
        Self {
            memory: bound(memory),
            elements: bound(elements),
        }
    }

    /// Octets in use; memories never shrink.
    pub(super) fn memory_used(&self) -> usize {
        self.memory.used
    }
}

impl ResourceLimiter for Limiter {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        _most: Option<usize>,
    ) -> wasmtime::Result<bool> {
        Ok(self.memory.grow(current, desired, Limit::Memory))
    }

    fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        _most: Option<usize>,
    ) -> wasmtime::Result<bool> {
        Ok(self.elements.grow(current, desired, Limit::TableElements))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::limits::tests::hits;

    #[test]
    fn memories_share_one_bound_and_may_fill_it_exactly() {
        let mut limiter = Limiter::new(100, 10);
        assert!(limiter.memory_growing(0, 60, None).unwrap());
        assert!(limiter.memory_growing(0, 40, None).unwrap());
        let refused = hits(Limit::Memory, || {
            assert!(!limiter.memory_growing(40, 41, None).unwrap());
        });
        assert_eq!(refused, 1);
        assert_eq!(limiter.memory_used(), 100);
    }

    #[test]
    fn tables_have_a_bound_of_their_own() {
        let mut limiter = Limiter::new(0, 10);
        assert!(limiter.table_growing(0, 10, None).unwrap());
        let refused = hits(Limit::TableElements, || {
            assert!(!limiter.table_growing(10, 11, None).unwrap());
        });
        assert_eq!(refused, 1);
        assert!(!limiter.memory_growing(0, 1, None).unwrap());
    }
}
