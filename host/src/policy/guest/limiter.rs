//! Memory and tables of one call, all of them together: a component may have several of each. A growth that
//! does not fit fails as it does where memory is short; the guest may go on without.

use metrics::counter;
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
    fn grow(&mut self, current: usize, desired: usize, what: &'static str) -> bool {
        let used = self.used.saturating_add(desired.saturating_sub(current));
        if used > self.most {
            counter!("postern_policy_limit_hits_total", "limit" => what).increment(1);
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
        Ok(self.memory.grow(current, desired, "memory"))
    }

    fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        _most: Option<usize>,
    ) -> wasmtime::Result<bool> {
        Ok(self.elements.grow(current, desired, "table elements"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memories_share_one_bound_and_may_fill_it_exactly() {
        let mut limiter = Limiter::new(100, 10);
        assert!(limiter.memory_growing(0, 60, None).unwrap());
        assert!(limiter.memory_growing(0, 40, None).unwrap());
        assert!(!limiter.memory_growing(40, 41, None).unwrap());
        assert_eq!(limiter.memory_used(), 100);
    }

    #[test]
    fn tables_have_a_bound_of_their_own() {
        let mut limiter = Limiter::new(0, 10);
        assert!(limiter.table_growing(0, 10, None).unwrap());
        assert!(!limiter.table_growing(10, 11, None).unwrap());
        assert!(!limiter.memory_growing(0, 1, None).unwrap());
    }
}
