//! Delays for those who guess passwords: by client network and by account, growing with each failure.
//!
//! It never locks: the longest delay is [`LONGEST`], and then the attempt is judged as any other. A client
//! that logged in to an account lately is not delayed there, whatever others try. A failure is forgotten
//! after [`FORGET`]. Memory is bounded; when it is full, the networks seen least are forgotten first.
//!
//! An attempt counts from its beginning, so that many at the same time do not all find a clean sheet.

use crate::config::Network;
use moka::sync::Cache;
use std::fmt;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// Failures without any delay: people mistype.
const FREE: u32 = 3;
/// The delay of the first failure behind the free ones; each further one doubles it.
const FIRST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(8);
/// More failures than these are not remembered: a few quiet minutes end every delay.
const MOST_REMEMBERED: u32 = 10;
const FORGET: Duration = Duration::from_secs(60);
/// Networks, accounts and pairs of both that are remembered.
const REMEMBERED: u64 = 65_536;
/// How long a login spares its client.
const SPARED: Duration = Duration::from_secs(24 * 60 * 60);

/// A client as the throttle sees it: an IPv4 address, or the /64 of an IPv6 one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Origin(u128);

impl Origin {
    fn of(client: IpAddr) -> Self {
        match client.to_canonical() {
            IpAddr::V4(v4) => Self(u128::from(u32::from(v4))),
            IpAddr::V6(v6) => Self(u128::from(v6) >> 64 << 64),
        }
    }
}

/// A login's name, as a keyed hash: names are of any length, and most are guesses.
pub(super) type Name = [u8; 32];

#[derive(Debug, Clone, Copy)]
struct Failures {
    count: u32,
    since: Instant,
}

impl Failures {
    fn none() -> Self {
        Self {
            count: 0,
            since: Instant::now(),
        }
    }

    /// Forgets what is long past.
    fn age(&mut self) {
        let past = self.since.elapsed().as_secs() / FORGET.as_secs();
        if past > 0 {
            self.count = self.count.saturating_sub(u32::try_from(past).unwrap_or(u32::MAX));
            self.since = Instant::now();
        }
    }

    fn delay(&self) -> Duration {
        match self.count.checked_sub(FREE) {
            None => Duration::ZERO,
            Some(over) => FIRST.saturating_mul(1 << over.min(16)).min(LONGEST),
        }
    }
}

type Sheet = Arc<Mutex<Failures>>;

/// What is remembered about failed and successful logins.
pub(super) struct Throttle {
    origins: Cache<Origin, Sheet>,
    accounts: Cache<Name, Sheet>,
    spared: Cache<(Origin, Name), ()>,
    /// Networks whose addresses are not counted: others stand behind them.
    trusted: Vec<Network>,
}

impl fmt::Debug for Throttle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Throttle({} origins)", self.origins.entry_count())
    }
}

impl Throttle {
    pub(super) fn new(trusted: Vec<Network>) -> Self {
        Self {
            origins: Cache::new(REMEMBERED),
            accounts: Cache::new(REMEMBERED),
            spared: Cache::builder()
                .max_capacity(REMEMBERED)
                .time_to_live(SPARED)
                .build(),
            trusted,
        }
    }

    /// An attempt begins: it counts as a failure until it is known to be none.
    pub(super) fn begin(&self, client: IpAddr, account: Name) -> Attempt<'_> {
        let origin = Origin::of(client);
        let spared = self.spared.contains_key(&(origin, account));
        let mut sheets = vec![self.accounts.get_with(account, clean)];
        if !self.is_trusted(client) {
            sheets.push(self.origins.get_with(origin, clean));
        }
        let delay = sheets.iter().map(count).max().unwrap_or_default();
        Attempt {
            throttle: self,
            origin,
            account,
            sheets,
            delay: if spared { Duration::ZERO } else { delay },
        }
    }

    /// A login whose attempt began elsewhere (SCRAM's second step) has succeeded.
    pub(super) fn resume(&self, client: IpAddr, account: Name) -> Attempt<'_> {
        let origin = Origin::of(client);
        let known = [self.accounts.get(&account), self.origins.get(&origin)];
        Attempt {
            throttle: self,
            origin,
            account,
            sheets: known.into_iter().flatten().collect(),
            delay: Duration::ZERO,
        }
    }

    fn is_trusted(&self, client: IpAddr) -> bool {
        let client = client.to_canonical();
        client.is_loopback() || self.trusted.iter().any(|network| network.contains(client))
    }
}

fn clean() -> Sheet {
    Arc::new(Mutex::new(Failures::none()))
}

/// The delay that the failures so far make; adds one.
fn count(sheet: &Sheet) -> Duration {
    let mut failures = sheet.lock().unwrap_or_else(PoisonError::into_inner);
    failures.age();
    let delay = failures.delay();
    failures.count = (failures.count + 1).min(MOST_REMEMBERED);
    delay
}

/// One attempt to log in. Dropped without a word, it remains a failure.
pub(super) struct Attempt<'a> {
    throttle: &'a Throttle,
    origin: Origin,
    account: Name,
    sheets: Vec<Sheet>,
    delay: Duration,
}

impl Attempt<'_> {
    /// Waits as long as the failures before this attempt demand.
    pub(super) async fn wait(&self) {
        if !self.delay.is_zero() {
            metrics::counter!("postern_logins_delayed_total").increment(1);
            metrics::histogram!("postern_login_delay_seconds").record(self.delay);
            tokio::time::sleep(self.delay).await;
        }
    }

    /// The password was right: the client is spared from now on.
    pub(super) fn succeeded(self) {
        self.throttle.spared.insert((self.origin, self.account), ());
        self.withdraw();
    }

    /// The password was wrong: it counts, and the client is spared no longer.
    pub(super) fn failed(self) {
        self.throttle.spared.invalidate(&(self.origin, self.account));
    }

    /// Nothing was judged.
    pub(super) fn withdraw(self) {
        for sheet in &self.sheets {
            let mut failures = sheet.lock().unwrap_or_else(PoisonError::into_inner);
            failures.count = failures.count.saturating_sub(1);
        }
    }
}

#[cfg(test)]
mod tests;
