//! What sessions share and must not use up: logins of one account, octets in flight.
//!
//! Nothing waits: what is not there is refused at once and counted, and a guard gives back what it holds.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Sessions by account.
#[derive(Debug)]
pub struct AccountSessions {
    most: usize,
    running: Mutex<HashMap<Arc<str>, usize>>,
}

/// One session of an account; counts until it is dropped.
#[derive(Debug)]
pub struct AccountSession {
    sessions: Arc<AccountSessions>,
    account: Arc<str>,
}

impl AccountSessions {
    pub fn new(most: usize) -> Arc<Self> {
        Arc::new(Self {
            most,
            running: Mutex::default(),
        })
    }

    /// Counts a session of `account`; None if it has as many as it may have.
    pub fn enter(self: &Arc<Self>, account: &str) -> Option<AccountSession> {
        let account: Arc<str> = account.to_lowercase().into();
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        let count = running.entry(Arc::clone(&account)).or_default();
        if *count >= self.most {
            metrics::counter!("postern_limit_hits_total", "limit" => "sessions_per_account").increment(1);
            return None;
        }
        *count += 1;
        Some(AccountSession {
            sessions: Arc::clone(self),
            account,
        })
    }
}

impl Drop for AccountSession {
    fn drop(&mut self) {
        let mut running = self
            .sessions
            .running
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = running.get_mut(&self.account) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                running.remove(&self.account);
            }
        }
    }
}

/// Octets that all sessions share.
pub struct Budget {
    most: u64,
    used: Mutex<u64>,
    gauge: metrics::Gauge,
    /// Told of each change, in order.
    told: Box<dyn Fn(u64) + Send + Sync>,
}

impl fmt::Debug for Budget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Budget({} of {})", self.used(), self.most)
    }
}

/// A part of a [`Budget`], given back when it is dropped.
#[derive(Debug)]
pub struct Claim {
    budget: Arc<Budget>,
    octets: u64,
}

impl Budget {
    pub fn new(most: u64) -> Arc<Self> {
        Self::telling(most, |_| {})
    }

    /// One that tells how many octets are claimed whenever that changes, less as well as more.
    pub fn telling(most: u64, told: impl Fn(u64) + Send + Sync + 'static) -> Arc<Self> {
        Arc::new(Self {
            most,
            used: Mutex::default(),
            gauge: metrics::gauge!("postern_in_flight_bytes"),
            told: Box::new(told),
        })
    }

    /// Octets claimed now.
    pub fn used(&self) -> u64 {
        *self.lock()
    }

    fn lock(&self) -> MutexGuard<'_, u64> {
        self.used.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Under the lock: of two changes the later is told last.
    fn set(&self, mut used: MutexGuard<'_, u64>, octets: u64) {
        *used = octets;
        self.gauge.set(octets as f64);
        (self.told)(octets);
    }

    /// Takes `octets`; None if there are not as many left.
    pub fn claim(self: &Arc<Self>, octets: u64) -> Option<Claim> {
        let mut claim = Claim {
            budget: Arc::clone(self),
            octets: 0,
        };
        claim.grow(octets).then_some(claim)
    }

    fn take(&self, octets: u64) -> bool {
        let used = self.lock();
        match used.checked_add(octets).filter(|sum| *sum <= self.most) {
            Some(sum) => {
                self.set(used, sum);
                true
            }
            None => {
                metrics::counter!("postern_limit_hits_total", "limit" => "bytes_in_flight").increment(1);
                false
            }
        }
    }
}

impl Claim {
    /// Takes more; false, and as it was, if there is not as much left.
    #[must_use]
    pub fn grow(&mut self, octets: u64) -> bool {
        let grown = self.budget.take(octets);
        if grown {
            self.octets += octets;
        }
        grown
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        let used = self.budget.lock();
        let left = used.saturating_sub(self.octets);
        self.budget.set(used, left);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_has_as_many_sessions_as_the_limit_says_and_not_one_more() {
        let sessions = AccountSessions::new(2);
        let first = sessions.enter("ann@example.org").unwrap();
        let _second = sessions.enter("Ann@Example.org").unwrap();
        assert!(sessions.enter("ann@example.org").is_none());
        assert!(
            sessions.enter("bob@example.org").is_some(),
            "another account has its own"
        );
        drop(first);
        assert!(sessions.enter("ann@example.org").is_some());
        assert_eq!(
            sessions.running.lock().unwrap().len(),
            1,
            "accounts without sessions are forgotten"
        );
    }

    #[test]
    fn octets_in_flight_end_exactly_at_the_limit_and_come_back() {
        let budget = Budget::new(100);
        let mut first = budget.claim(60).unwrap();
        assert!(budget.claim(41).is_none());
        assert!(first.grow(40));
        assert!(!first.grow(1));
        assert_eq!(budget.used(), 100, "a refused growth takes nothing");
        drop(first);
        assert_eq!(budget.used(), 0);
        assert!(budget.claim(u64::MAX).is_none());
    }
}
