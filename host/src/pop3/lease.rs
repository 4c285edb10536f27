//! A maildrop's lease among gateways (`pop3.lease`): taken at login, renewed while the session lasts, given back at
//! its end.
//!
//! It is taken for over a little before the store does so, for nodes count its time by their own clocks. A session
//! whose lease was not renewed in time ends; nothing is deleted unless the lease was renewed just before.

use crate::message::MessageId;
use crate::store::{Leased, Leases, Mailbox, Store, StoreError};
use postern_proto::pop3::{Refusal, Trouble};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

/// Clocks of the cluster's nodes differ by less than this.
const SKEW: Duration = Duration::from_secs(10);
/// Between two tries to renew.
const PAUSE: Duration = Duration::from_secs(1);
/// A client that says QUIT does not wait longer for a cluster that is out of reach; the lease ends by itself.
const GIVING_BACK: Duration = Duration::from_secs(5);

/// Where leases are had and how long they last.
#[derive(Debug, Clone)]
pub struct Leasing {
    leases: Arc<dyn Leases>,
    lasts: Duration,
}

/// A lease that renews itself until it is dropped.
#[derive(Debug)]
pub(super) struct Lease {
    term: Arc<Term>,
    renewing: AbortOnDropHandle<()>,
}

/// Who holds what, and until when.
#[derive(Debug)]
struct Term {
    leasing: Leasing,
    mailbox: Mailbox,
    holder: MessageId,
    until: Mutex<Instant>,
    lost: CancellationToken,
}

/// Why a lease was not renewed.
#[derive(Debug, thiserror::Error)]
enum Unrenewed {
    #[error("its time was over, or another has it")]
    Refused,
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("no answer came in its time")]
    Late,
}

impl Leasing {
    /// None where it was not asked for, or the store is one process's alone.
    pub fn of(store: &Arc<dyn Store>, lasts: Option<Duration>) -> Option<Self> {
        let leases = Arc::clone(store).leases()?;
        lasts.map(|lasts| Self { leases, lasts })
    }

    /// Takes a maildrop; `lost` is cancelled when it is the session's no longer.
    pub(super) async fn take(&self, mailbox: &Mailbox, lost: CancellationToken) -> Result<Lease, Refusal> {
        let (holder, asked) = (MessageId::new(), Instant::now());
        let taken = self.leases.take_lease(mailbox, holder, self.lasts).await;
        let refusal = match taken {
            Ok(Leased::Held) => {
                count("taken");
                let term = Arc::new(Term {
                    until: Mutex::new(self.end(asked)),
                    leasing: self.clone(),
                    mailbox: Arc::clone(mailbox),
                    holder,
                    lost,
                });
                let renewing = tokio::spawn(renew(Arc::clone(&term)));
                let renewing = AbortOnDropHandle::new(renewing);
                return Ok(Lease { term, renewing });
            }
            Ok(Leased::Refused) => {
                count("in_use");
                Refusal::InUse
            }
            Err(error) => {
                tracing::warn!(account = %mailbox, %error, "the lease on a maildrop cannot be had");
                count("failed");
                // It may have been taken, and nobody else is to wait for its end.
                self.end_unasked(mailbox, holder);
                Refusal::Unavailable
            }
        };
        Err(refusal)
    }

    fn end(&self, asked: Instant) -> Instant {
        asked + self.lasts.saturating_sub(SKEW)
    }

    /// Gives back when there is time for it.
    fn end_unasked(&self, mailbox: &Mailbox, holder: MessageId) {
        let (leases, mailbox) = (Arc::clone(&self.leases), Arc::clone(mailbox));
        tokio::spawn(async move {
            if let Err(error) = leases.end_lease(&mailbox, holder).await {
                tracing::debug!(account = %mailbox, %error, "a lease is left to end by itself");
            }
        });
    }
}

impl Lease {
    /// Whether the maildrop still is this session's: asked of the cluster, before anything is deleted.
    pub(super) async fn confirm(&self) -> Result<(), Trouble> {
        self.term.renew().await.map_err(|error| {
            tracing::warn!(account = %self.term.mailbox, %error, "nothing is deleted: the lease on the maildrop is not sure");
            count("lost");
            Trouble::Temporary
        })
    }

    /// The maildrop is free when this returns, or soon after.
    pub(super) async fn give_back(self) {
        let Self { term, renewing } = self;
        drop(renewing);
        let ending = term.leasing.leases.end_lease(&term.mailbox, term.holder);
        match timeout(GIVING_BACK, ending).await {
            Ok(Ok(())) => count("given_back"),
            Ok(Err(error)) => {
                tracing::debug!(account = %term.mailbox, %error, "a lease is left to end by itself");
            }
            Err(_) => tracing::debug!(account = %term.mailbox, "a lease is left to end by itself"),
        }
    }
}

impl Term {
    fn until(&self) -> Instant {
        *self.until.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn renew(&self) -> Result<(), Unrenewed> {
        let (asked, leasing) = (Instant::now(), &self.leasing);
        let renewing = leasing
            .leases
            .renew_lease(&self.mailbox, self.holder, leasing.lasts);
        match timeout_at(self.until(), renewing)
            .await
            .map_err(|_| Unrenewed::Late)??
        {
            Leased::Refused => Err(Unrenewed::Refused),
            Leased::Held => {
                let mut until = self.until.lock().unwrap_or_else(PoisonError::into_inner);
                *until = leasing.end(asked).max(*until);
                Ok(())
            }
        }
    }
}

/// Renews a lease until it cannot be.
async fn renew(term: Arc<Term>) {
    loop {
        sleep(term.leasing.lasts / 3).await;
        while let Err(error) = term.renew().await {
            if matches!(error, Unrenewed::Refused) || Instant::now() >= term.until() {
                tracing::warn!(account = %term.mailbox, %error, "a session ends: its lease on the maildrop was not renewed");
                count("lost");
                term.lost.cancel();
                return;
            }
            sleep(PAUSE).await;
        }
    }
}

fn count(result: &'static str) {
    metrics::counter!("postern_pop3_leases_total", "result" => result).increment(1);
}

#[cfg(test)]
mod tests {
    use super::*;
    use async_trait::async_trait;
    use std::sync::atomic::{AtomicU32, Ordering};

    const LASTS: Duration = Duration::from_secs(30);

    /// What the cluster answers from now on.
    #[derive(Debug, Clone, Copy)]
    enum Mood {
        Well,
        Failing,
        Silent,
        Refusing,
    }

    #[derive(Debug)]
    struct Lessor {
        mood: Mutex<Mood>,
        renewed: AtomicU32,
        ended: AtomicU32,
    }

    impl Lessor {
        fn new() -> Arc<Self> {
            Arc::new(Self {
                mood: Mutex::new(Mood::Well),
                renewed: AtomicU32::new(0),
                ended: AtomicU32::new(0),
            })
        }

        fn becomes(&self, mood: Mood) {
            *self.mood.lock().unwrap() = mood;
        }

        async fn answer(&self) -> crate::store::Result<Leased> {
            let mood = *self.mood.lock().unwrap();
            match mood {
                Mood::Well => Ok(Leased::Held),
                Mood::Failing => Err(StoreError::Engine("away".into())),
                Mood::Silent => std::future::pending().await,
                Mood::Refusing => Ok(Leased::Refused),
            }
        }
    }

    #[async_trait]
    impl Leases for Lessor {
        async fn take_lease(&self, _: &str, _: MessageId, _: Duration) -> crate::store::Result<Leased> {
            self.answer().await
        }

        async fn renew_lease(&self, _: &str, _: MessageId, _: Duration) -> crate::store::Result<Leased> {
            self.renewed.fetch_add(1, Ordering::Relaxed);
            self.answer().await
        }

        async fn end_lease(&self, _: &str, _: MessageId) -> crate::store::Result<()> {
            self.ended.fetch_add(1, Ordering::Relaxed);
            self.answer().await.map(drop)
        }
    }

    async fn taken(lessor: &Arc<Lessor>) -> (Lease, CancellationToken) {
        let leases: Arc<dyn Leases> = Arc::<Lessor>::clone(lessor);
        let lost = CancellationToken::new();
        let leasing = Leasing { leases, lasts: LASTS };
        let lease = leasing.take(&"ann@x.org".into(), lost.clone()).await.unwrap();
        (lease, lost)
    }

    #[tokio::test(start_paused = true)]
    async fn a_lease_is_renewed_for_as_long_as_the_session_lasts_and_not_after() {
        let lessor = Lessor::new();
        let (lease, lost) = taken(&lessor).await;
        sleep(10 * LASTS + Duration::from_secs(1)).await;
        assert_eq!(lessor.renewed.load(Ordering::Relaxed), 30);
        lease.give_back().await;
        sleep(LASTS).await;
        assert_eq!(lessor.renewed.load(Ordering::Relaxed), 30);
        assert_eq!(lessor.ended.load(Ordering::Relaxed), 1);
        assert!(!lost.is_cancelled());
    }

    #[tokio::test(start_paused = true)]
    async fn a_lease_that_another_has_is_lost_at_the_next_renewal() {
        let lessor = Lessor::new();
        let (lease, lost) = taken(&lessor).await;
        lessor.becomes(Mood::Refusing);
        assert!(lease.confirm().await.is_err());
        sleep(LASTS / 3 + Duration::from_millis(1)).await;
        assert!(lost.is_cancelled());
    }

    #[tokio::test(start_paused = true)]
    async fn a_cluster_out_of_reach_ends_a_session_before_its_lease_may_be_over() {
        for mood in [Mood::Failing, Mood::Silent] {
            let lessor = Lessor::new();
            let (lease, lost) = taken(&lessor).await;
            lessor.becomes(mood);
            let begun = Instant::now();
            lost.cancelled().await;
            let ended = begun.elapsed();
            let last = LASTS - SKEW;
            assert!(ended >= last && ended < LASTS, "{ended:?}");
            assert!(lease.confirm().await.is_err());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_short_trouble_of_the_cluster_is_outlived() {
        let lessor = Lessor::new();
        let (lease, lost) = taken(&lessor).await;
        lessor.becomes(Mood::Failing);
        sleep(LASTS / 3 + Duration::from_secs(5)).await;
        lessor.becomes(Mood::Well);
        sleep(3 * LASTS).await;
        assert!(!lost.is_cancelled());
        assert!(lease.confirm().await.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn a_lease_is_refused_where_another_has_it_or_the_cluster_is_out_of_reach() {
        for (mood, refusal) in [
            (Mood::Refusing, Refusal::InUse),
            (Mood::Failing, Refusal::Unavailable),
        ] {
            let lessor = Lessor::new();
            lessor.becomes(mood);
            let leases: Arc<dyn Leases> = Arc::<Lessor>::clone(&lessor);
            let leasing = Leasing { leases, lasts: LASTS };
            let refused = leasing.take(&"ann@x.org".into(), CancellationToken::new()).await;
            assert_eq!(refused.err(), Some(refusal));
        }
    }
}
