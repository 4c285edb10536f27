//! Delays for those who guess passwords: by client network and by account, growing with each failure.
//!
//! It never locks: the longest delay is [`LONGEST`], and then the attempt is judged as any other. A client
//! that logged in to an account lately is not delayed there, whatever others try. A failure is forgotten
//! after [`FORGET`]. Memory is bounded; when it is full, the networks seen least are forgotten first.
//!
//! An attempt counts from its beginning, so that many at the same time do not all find a clean sheet. Those
//! that are delayed are judged one behind the other: each waits for its delay from the turn of the one before,
//! of its network and of its account. A network that has hardly failed does not stand in line for an account:
//! it waits for the account's delay alone, or a crowd of guessers would keep the owner out. Whoever would have
//! to wait for longer than [`LINE`] is not judged, which counts nothing, and may come again.

use crate::config::Network;
use moka::sync::Cache;
use std::fmt;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// Failures without any delay: people mistype.
const FREE: u32 = 3;
/// The delay of the first failure behind the free ones; each further one doubles it.
const FIRST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(8);
/// More failures than these are not remembered: a few quiet minutes end every delay.
const MOST_REMEMBERED: u32 = 10;
/// The longest wait for a turn: behind it stand a few at most, and clients have patience for it.
const LINE: Duration = Duration::from_secs(32);
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
    /// When the last of those that were delayed is judged.
    turn: Instant,
}

impl Failures {
    fn none() -> Self {
        Self {
            count: 0,
            since: Instant::now(),
            turn: Instant::now(),
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

    /// How long an attempt waits that begins now: nothing, or its delay behind the turn of the one before.
    fn wait(&self, line: Line) -> Duration {
        let delay = self.delay();
        match line {
            Line::Stands if !delay.is_zero() => delay + self.turn.saturating_duration_since(Instant::now()),
            Line::Stands | Line::Passes => delay,
        }
    }

    /// Counts an attempt that begins; whether it is to be taken back where it turns out to be none.
    fn count(&mut self) -> bool {
        let remembered = self.count < MOST_REMEMBERED;
        self.count += u32::from(remembered);
        remembered
    }
}

/// Whether an attempt waits for those before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Line {
    Stands,
    Passes,
}

/// The line is too long: the attempt is not judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too many logins of this client or account wait for their turn")]
pub struct Crowded;

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

    /// An attempt begins, after as long as those before it demand.
    pub(super) async fn enter(&self, client: IpAddr, account: Name) -> Result<Attempt<'_>, Crowded> {
        match self.begin(client, account) {
            Ok(attempt) => {
                attempt.wait().await;
                Ok(attempt)
            }
            Err(crowded) => {
                metrics::counter!("postern_logins_crowded_total").increment(1);
                // Not at once, or it would be asked again at once.
                tokio::time::sleep(LONGEST).await;
                Err(crowded)
            }
        }
    }

    /// It counts as a failure until it is known to be none.
    fn begin(&self, client: IpAddr, account: Name) -> Result<Attempt<'_>, Crowded> {
        let origin = Origin::of(client);
        let of_account = self.accounts.get_with(account, clean);
        let of_origin = (!self.is_trusted(client)).then(|| self.origins.get_with(origin, clean));
        // Always in this order, so that two attempts never wait for each other.
        let mut at_account = lock(&of_account);
        let mut at_origin = of_origin.as_ref().map(lock);
        at_account.age();
        if let Some(failures) = &mut at_origin {
            failures.age();
        }
        let delay = match self.spared.contains_key(&(origin, account)) {
            true => Duration::ZERO,
            false => take_turn(&mut at_account, at_origin.as_deref_mut())?,
        };
        let mut counted = Vec::new();
        if at_account.count() {
            counted.push(Arc::clone(&of_account));
        }
        if at_origin.is_some_and(|mut failures| failures.count()) {
            counted.extend(of_origin.clone());
        }
        Ok(Attempt {
            throttle: self,
            origin,
            account,
            counted,
            delay,
        })
    }

    /// A login whose attempt began elsewhere (SCRAM's second step) has succeeded.
    pub(super) fn resume(&self, client: IpAddr, account: Name) -> Attempt<'_> {
        let origin = Origin::of(client);
        let known = [self.accounts.get(&account), self.origins.get(&origin)];
        Attempt {
            throttle: self,
            origin,
            account,
            counted: known.into_iter().flatten().collect(),
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

fn lock(sheet: &Sheet) -> MutexGuard<'_, Failures> {
    sheet.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How long an attempt waits; those behind it in the lines it stands in wait for it.
fn take_turn(account: &mut Failures, origin: Option<&mut Failures>) -> Result<Duration, Crowded> {
    // Others stand behind a trusted network, and nothing is known of each.
    let line = match &origin {
        Some(failures) if failures.count < FREE => Line::Passes,
        Some(_) | None => Line::Stands,
    };
    let of_origin = origin.as_ref().map(|failures| failures.wait(Line::Stands));
    let wait = account.wait(line).max(of_origin.unwrap_or_default());
    if wait > LINE {
        return Err(Crowded);
    }
    let turn = Instant::now() + wait;
    if line == Line::Stands {
        account.turn = account.turn.max(turn);
    }
    if let Some(failures) = origin {
        failures.turn = failures.turn.max(turn);
    }
    Ok(wait)
}

/// One attempt to log in. Dropped without a word, it remains a failure.
pub(super) struct Attempt<'a> {
    throttle: &'a Throttle,
    origin: Origin,
    account: Name,
    /// Where it was counted.
    counted: Vec<Sheet>,
    delay: Duration,
}

impl Attempt<'_> {
    /// Waits as long as the failures before this attempt demand.
    async fn wait(&self) {
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
        for sheet in &self.counted {
            let mut failures = lock(sheet);
            failures.count = failures.count.saturating_sub(1);
        }
    }
}

#[cfg(test)]
mod tests;
