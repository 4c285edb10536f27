//! The sweep: removes what nobody can reach, older than two days.
//!
//! Deliveries that were given up and nodes that died leave bodies without a row that lists them. What is listed, or
//! referred to, is read from every replica; where one is away nothing is removed. A body of its own is named by a
//! listing in any partition, so none is removed unless all listings were read. Nothing lists an old id anew, which
//! is why what is unheld now stays so.

use super::CassandraStore;
use super::bloom::Bloom;
use super::check::{Partition, partitions};
use super::rows::{self, Body};
use super::survey::Range;
use super::suspect::Suspect;
use crate::message::MessageId;
use crate::store::{Result, Swept};
use std::time::{Duration, Instant};
use uuid::Uuid;

const AGE: Duration = Duration::from_secs(2 * 24 * 60 * 60);
/// Who has claimed today's sweep has it for 23 hours.
const TURN_SECONDS: i32 = 23 * 60 * 60;

/// What is collected, in this order: references first, for bodies go when they have none.
#[derive(Debug, Clone, Copy)]
enum Collected {
    Small,
    References,
    Bodies,
}

struct Sweep<'a> {
    store: &'a CassandraStore,
    swept: Swept,
    held: Bloom,
    all_held: bool,
    /// Ids before this moment are old enough.
    before: u64,
}

impl CassandraStore {
    /// Of all gateways the first to ask in a day does it.
    pub(super) async fn claim_sweep(&self) -> Result<bool> {
        self.clock.right()?;
        self.transact(&self.statements.claim_sweep, (TURN_SECONDS,)).await
    }

    pub(super) async fn collect(&self) -> Result<Swept> {
        self.clock.right()?;
        self.is_whole().await?;
        let begun = Instant::now();
        let mut sweep = Sweep {
            store: self,
            swept: Swept::default(),
            held: Bloom::new(),
            all_held: true,
            before: self.clock.moment()?.saturating_sub(AGE.as_millis() as u64),
        };
        let ranges = self.ranges();
        for range in &ranges {
            let read = sweep.listed(*range).await;
            sweep.all_held &= read.is_ok();
            sweep.note(read);
        }
        for kind in [Collected::Small, Collected::References, Collected::Bodies] {
            for range in &ranges {
                let done = sweep.collect(kind, *range).await;
                sweep.note(done);
            }
        }
        let swept = sweep.swept;
        for (kind, count) in [
            ("body", swept.bodies),
            ("small", swept.small),
            ("reference", swept.references),
        ] {
            metrics::counter!("postern_store_swept_total", "kind" => kind).increment(count);
        }
        metrics::counter!("postern_store_sweep_left_alone_total").increment(swept.left_alone);
        metrics::histogram!("postern_store_sweep_seconds").record(begun.elapsed().as_secs_f64());
        Ok(swept)
    }
}

impl Sweep<'_> {
    fn note(&mut self, done: Result<()>) {
        if let Err(error) = done {
            tracing::debug!(%error, "a piece of the ring is left alone");
            self.swept.left_alone += 1;
        }
    }

    fn is_old(&self, id: MessageId) -> bool {
        id.unix_millis() < self.before
    }

    /// Learns which bodies of their own are listed.
    async fn listed(&mut self, range: Range) -> Result<()> {
        let s = &self.store.statements;
        let mut pages = self.store.pages(&s.every_entry, range);
        while let Some(page) = pages.next::<(String, i32, Uuid, Option<i8>)>().await? {
            let own = page
                .into_iter()
                .filter(|(.., body)| body.is_none_or(|body| Body::read(body) != Body::Small));
            own.for_each(|(_, _, msg, _)| self.held.add(rows::id(msg)));
        }
        let mut pages = self.store.pages(&s.every_held, range);
        while let Some(page) = pages.next::<(i32, Uuid, Option<Uuid>)>().await? {
            let blobs = page.into_iter().filter_map(|(.., blob)| blob);
            blobs.for_each(|blob| self.held.add(rows::id(blob)));
        }
        Ok(())
    }

    async fn collect(&mut self, kind: Collected, range: Range) -> Result<()> {
        match kind {
            Collected::Small => self.small(range).await,
            Collected::References => self.references(range).await,
            Collected::Bodies if self.all_held => self.bodies(range).await,
            Collected::Bodies => {
                self.swept.left_alone += 1;
                Ok(())
            }
        }
    }

    async fn small(&mut self, range: Range) -> Result<()> {
        let s = &self.store.statements;
        let mut pages = self.store.pages(&s.every_small, range);
        while let Some(page) = pages.next::<(String, i32, Uuid)>().await? {
            let rows = page
                .into_iter()
                .map(|(mailbox, epoch, msg)| (mailbox, epoch, rows::id(msg)))
                .filter(|(.., id)| self.is_old(*id));
            for Partition { mailbox, epoch, rows } in partitions(rows.collect::<Vec<_>>()) {
                let place = (&*mailbox, epoch);
                let unheld = self.store.absent(&s.whole_entries, place, &rows).await?;
                if unheld.is_empty() {
                    continue;
                }
                let ids: Vec<Uuid> = unheld.iter().copied().map(rows::uuid).collect();
                let values = (rows::above_all(self.store.clock.now()), &mailbox, epoch, ids);
                self.store.cluster.execute(&s.drop_smalls, values).await?;
                self.swept.small += unheld.len() as u64;
            }
        }
        Ok(())
    }

    async fn references(&mut self, range: Range) -> Result<()> {
        let s = &self.store.statements;
        let mut pages = self.store.pages(&s.every_ref, range);
        while let Some(page) = pages.next::<(Uuid, String)>().await? {
            let stray = page.into_iter().map(|(blob, holder)| Suspect::StrayReference {
                body: rows::id(blob),
                holder,
            });
            for suspect in self.confirmed(stray.collect()).await? {
                let Suspect::StrayReference { body, holder } = suspect else {
                    continue;
                };
                let values = (rows::above_all(self.store.clock.now()), rows::uuid(body), holder);
                self.store.cluster.execute(&s.drop_ref, values).await?;
                self.swept.references += 1;
            }
        }
        Ok(())
    }

    async fn bodies(&mut self, range: Range) -> Result<()> {
        let mut pages = self.store.pages(&self.store.statements.every_blob, range);
        while let Some(page) = pages.next::<(Uuid, Option<i64>, Option<i64>)>().await? {
            let ids = page.into_iter().map(|(id, ..)| rows::id(id));
            let unheld = ids.filter(|id| !self.held.may_have(*id)).map(Suspect::Unheld);
            for suspect in self.confirmed(unheld.collect()).await? {
                let Suspect::Unheld(id) = suspect else { continue };
                self.store
                    .drop_body(id, rows::above_all(self.store.clock.now()))
                    .await?;
                self.swept.bodies += 1;
            }
        }
        Ok(())
    }

    /// Those of old ids that are so by every replica.
    async fn confirmed(&self, suspects: Vec<Suspect>) -> Result<Vec<Suspect>> {
        let old = suspects.into_iter().filter(|suspect| match suspect {
            Suspect::StrayReference { body, .. } => self.is_old(*body),
            Suspect::Unheld(id) => self.is_old(*id),
            _ => false,
        });
        self.store.confirmed(old.collect()).await
    }
}
