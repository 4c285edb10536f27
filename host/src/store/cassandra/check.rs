//! Whether what the tables say of each other is so: listings, bodies, references, epochs, names, policies' shares.
//!
//! Reads every replica. What is younger than [`rows::LOW_BEHIND`] may be under way and is passed over. A piece of the
//! ring that has a replica away is left out, and said to be.

use super::CassandraStore;
use super::bloom::Bloom;
use super::mail::QUARANTINE;
use super::rows::{self, Body};
use super::survey::Range;
use super::suspect::{Lister, Suspect};
use super::{directory, kv};
use crate::clock::unix_millis;
use crate::message::MessageId;
use crate::store::{Mend, Report, Result, StoreError};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use uuid::Uuid;

/// What a deletion that is under way has to reach its end.
const SETTLING: Duration = Duration::from_secs(2);
/// Suspicions kept before they are looked at again.
const SUSPECTS: usize = 1000;

/// What is read, in this order: bodies when it is known who lists them.
#[derive(Debug, Clone, Copy)]
enum Area {
    Epochs,
    Entries,
    Quarantine,
    Small,
    References,
    Bodies,
    Addresses,
    Names,
    Values,
    Counts,
}

impl Area {
    const ALL: [Self; 10] = [
        Self::Epochs,
        Self::Entries,
        Self::Quarantine,
        Self::Small,
        Self::References,
        Self::Bodies,
        Self::Addresses,
        Self::Names,
        Self::Values,
        Self::Counts,
    ];
}

struct Comparison<'a> {
    store: &'a CassandraStore,
    mend: Mend,
    report: Report,
    suspects: Vec<Suspect>,
    /// Bodies of their own that are listed.
    held: Bloom,
    /// Everything that lists was read.
    all_held: bool,
    /// Ids of this moment and later may be under way.
    young: u64,
}

/// One partition's rows of a page.
pub(super) struct Partition<T> {
    pub(super) mailbox: String,
    pub(super) epoch: i32,
    pub(super) rows: Vec<T>,
}

/// Puts rows that follow each other and belong together together.
pub(super) fn partitions<T>(rows: impl IntoIterator<Item = (String, i32, T)>) -> Vec<Partition<T>> {
    let mut found: Vec<Partition<T>> = Vec::new();
    for (mailbox, epoch, row) in rows {
        match found.last_mut() {
            Some(last) if last.mailbox == mailbox && last.epoch == epoch => last.rows.push(row),
            _ => found.push(Partition {
                mailbox,
                epoch,
                rows: vec![row],
            }),
        }
    }
    found
}

impl CassandraStore {
    pub(super) async fn compare(&self, mend: Mend) -> Report {
        let mut comparison = Comparison {
            store: self,
            mend,
            report: Report::default(),
            suspects: Vec::new(),
            held: Bloom::new(),
            all_held: true,
            young: unix_millis().saturating_sub(rows::LOW_BEHIND.as_millis() as u64),
        };
        let ranges = self.ranges();
        for area in Area::ALL {
            for range in &ranges {
                let read = comparison.read(area, *range).await;
                if let Err(error) = read {
                    comparison.left_out(area, *range, &error);
                }
            }
            comparison.settle().await;
        }
        comparison.report
    }
}

impl Comparison<'_> {
    fn left_out(&mut self, area: Area, (first, last): Range, error: &StoreError) {
        if matches!(area, Area::Entries | Area::Quarantine) {
            self.all_held = false;
        }
        self.report
            .unread(|| format!("{area:?}, tokens {first} to {last}: not compared: {error}"));
    }

    async fn read(&mut self, area: Area, range: Range) -> Result<()> {
        match area {
            Area::Epochs => self.epochs(range).await,
            Area::Entries => self.entries(range).await,
            Area::Quarantine => self.quarantine(range).await,
            Area::Small => self.small(range).await,
            Area::References => self.references(range).await,
            Area::Bodies => self.bodies(range).await,
            Area::Addresses => self.addresses(range).await,
            Area::Names => self.names(range).await,
            Area::Values => self.values(range).await,
            Area::Counts => self.counts(range).await,
        }
    }

    fn is_old(&self, id: MessageId) -> bool {
        id.unix_millis() < self.young
    }

    /// Counts the mailboxes: rows of one follow each other.
    async fn epochs(&mut self, range: Range) -> Result<()> {
        let mut pages = self.store.pages(&self.store.statements.every_epoch, range);
        let mut last = String::new();
        while let Some(page) = pages.next::<(String, i32, Option<Uuid>)>().await? {
            for (mailbox, ..) in page {
                if mailbox != last && mailbox != QUARANTINE {
                    self.report.mailboxes += 1;
                    last = mailbox;
                }
            }
        }
        Ok(())
    }

    async fn entries(&mut self, range: Range) -> Result<()> {
        let mut pages = self.store.pages(&self.store.statements.every_entry, range);
        while let Some(page) = pages.next::<(String, i32, Uuid, Option<i8>)>().await? {
            let rows = page.into_iter().filter_map(|(mailbox, epoch, msg, body)| {
                Some((mailbox, epoch, (rows::id(msg), Body::read(body?))))
            });
            for partition in partitions(rows) {
                self.listing(partition).await?;
            }
        }
        Ok(())
    }

    /// Every row has its body, its reference and its epoch.
    async fn listing(&mut self, partition: Partition<(MessageId, Body)>) -> Result<()> {
        let Partition { mailbox, epoch, rows } = partition;
        self.report.entries += rows.len() as u64;
        let (mut small, mut doubts) = (Vec::new(), Vec::new());
        let low = self.store.low(&mailbox, epoch).await?;
        if low.is_none() && rows.iter().any(|(id, _)| self.is_old(*id)) {
            let mailbox = mailbox.clone();
            doubts.push(Suspect::NoEpoch { mailbox, epoch });
        }
        for (id, body) in rows {
            if body != Body::Small {
                self.held.add(id);
            }
            if !self.is_old(id) {
                continue;
            }
            if low.flatten().is_some_and(|low| rows::uuid(id) < low) {
                let lister = Lister::Mailbox(mailbox.clone());
                doubts.push(Suspect::Hidden { lister, id });
            }
            if body == Body::Small {
                small.push(id);
                continue;
            }
            let (lister, body_id) = (Lister::Mailbox(mailbox.clone()), id);
            if body == Body::Shared {
                let (lister, body) = (lister.clone(), body_id);
                doubts.push(Suspect::NoReference { lister, body });
            }
            let body = body_id;
            doubts.push(Suspect::NoBody { lister, body });
        }
        let place = (&*mailbox, epoch);
        let bare = self
            .store
            .absent(&self.store.statements.whole_smalls, place, &small);
        for id in bare.await? {
            let mailbox = mailbox.clone();
            self.suspects.push(Suspect::NoSmall { mailbox, id });
        }
        self.doubt(doubts).await
    }

    async fn quarantine(&mut self, range: Range) -> Result<()> {
        let mut pages = self.store.pages(&self.store.statements.every_held, range);
        while let Some(page) = pages.next::<(i32, Uuid, Option<Uuid>)>().await? {
            let mut doubts = Vec::new();
            let epochs: BTreeSet<i32> = page.iter().map(|(epoch, ..)| *epoch).collect();
            let mut lows = BTreeMap::new();
            for epoch in epochs {
                lows.insert(epoch, self.store.low(QUARANTINE, epoch).await?.flatten());
            }
            let whole = page
                .into_iter()
                .filter_map(|(epoch, msg, blob)| Some((epoch, msg, blob?)));
            for (epoch, msg, blob) in whole {
                let (id, body) = (rows::id(msg), rows::id(blob));
                self.report.quarantined += 1;
                self.held.add(body);
                if !self.is_old(id) {
                    continue;
                }
                let lister = Lister::Copy(id);
                if lows.get(&epoch).copied().flatten().is_some_and(|low| msg < low) {
                    let lister = lister.clone();
                    doubts.push(Suspect::Hidden { lister, id });
                }
                doubts.push(Suspect::NoBody {
                    lister: lister.clone(),
                    body,
                });
                doubts.push(Suspect::NoReference { lister, body });
                let (mailbox, here) = (QUARANTINE.to_owned(), epoch);
                let no_epoch = Suspect::NoEpoch { mailbox, epoch: here };
                if !doubts.contains(&no_epoch) {
                    doubts.push(no_epoch);
                }
            }
            self.doubt(doubts).await?;
        }
        Ok(())
    }

    /// What lies beside a listing is listed.
    async fn small(&mut self, range: Range) -> Result<()> {
        let mut pages = self.store.pages(&self.store.statements.every_small, range);
        while let Some(page) = pages.next::<(String, i32, Uuid)>().await? {
            let rows = page
                .into_iter()
                .map(|(mailbox, epoch, msg)| (mailbox, epoch, rows::id(msg)));
            for Partition { mailbox, epoch, rows } in partitions(rows) {
                self.report.bodies += rows.len() as u64;
                let old: Vec<_> = rows.into_iter().filter(|id| self.is_old(*id)).collect();
                let entries = &self.store.statements.whole_entries;
                for id in self.store.absent(entries, (&mailbox, epoch), &old).await? {
                    let mailbox = mailbox.clone();
                    self.suspects.push(Suspect::UnheldSmall { mailbox, id });
                }
            }
        }
        Ok(())
    }

    /// Who holds a body lists it.
    async fn references(&mut self, range: Range) -> Result<()> {
        let mut pages = self.store.pages(&self.store.statements.every_ref, range);
        while let Some(page) = pages.next::<(Uuid, String)>().await? {
            let mut doubts = Vec::new();
            for (blob, holder) in page {
                let body = rows::id(blob);
                if self.is_old(body) {
                    doubts.push(Suspect::StrayReference { body, holder });
                }
            }
            self.doubt(doubts).await?;
        }
        Ok(())
    }

    /// Every body has a holder and all its parts.
    async fn bodies(&mut self, range: Range) -> Result<()> {
        let mut pages = self.store.pages(&self.store.statements.every_blob, range);
        while let Some(page) = pages.next::<(Uuid, Option<i64>, Option<i64>)>().await? {
            let mut doubts = Vec::new();
            for (id, _, text_size) in page {
                let id = rows::id(id);
                match (text_size, self.is_old(id)) {
                    (None, false) => self.report.uncommitted += 1,
                    _ => self.report.bodies += 1,
                }
                if !self.is_old(id) {
                    continue;
                }
                doubts.push(Suspect::Gaps(id));
                if self.all_held && !self.held.may_have(id) {
                    doubts.push(Suspect::Unheld(id));
                }
            }
            self.doubt(doubts).await?;
        }
        Ok(())
    }

    async fn addresses(&mut self, range: Range) -> Result<()> {
        let mut pages = self.store.pages(&self.store.statements.every_address, range);
        while let Some(page) = pages.next::<directory::Named>().await? {
            let names = page
                .into_iter()
                .filter_map(|(key, kind, ..)| Some(Suspect::NoName { kind: kind?, key }));
            self.doubt(names.collect()).await?;
        }
        Ok(())
    }

    async fn names(&mut self, range: Range) -> Result<()> {
        let mut pages = self.store.pages(&self.store.statements.every_name, range);
        while let Some(page) = pages.next::<(i8, String)>().await? {
            let names = page
                .into_iter()
                .map(|(kind, key)| Suspect::StrayName { kind, key });
            self.doubt(names.collect()).await?;
        }
        Ok(())
    }

    async fn values(&mut self, range: Range) -> Result<()> {
        let mut pages = self.store.pages(&self.store.statements.every_value, range);
        while let Some(page) = pages.next::<kv::KeyedColumns>().await? {
            let values = page
                .into_iter()
                .map(|(plugin, key, ..)| Suspect::Miscounted { plugin, key });
            self.doubt(values.collect()).await?;
        }
        Ok(())
    }

    async fn counts(&mut self, range: Range) -> Result<()> {
        let mut pages = self.store.pages(&self.store.statements.every_kv_size, range);
        while let Some(page) = pages.next::<(String, String, i32, i64)>().await? {
            let counts = page
                .into_iter()
                .map(|(plugin, key, ..)| Suspect::Overcounted { plugin, key });
            self.doubt(counts.collect()).await?;
        }
        Ok(())
    }

    /// Keeps those that seem to be so.
    async fn doubt(&mut self, doubts: Vec<Suspect>) -> Result<()> {
        self.suspects.extend(self.store.confirmed(doubts).await?);
        if self.suspects.len() >= SUSPECTS {
            self.settle().await;
        }
        Ok(())
    }

    /// Looks again at every suspicion: what still is so is a fault, or is mended.
    async fn settle(&mut self) {
        if self.suspects.is_empty() {
            return;
        }
        tokio::time::sleep(SETTLING).await;
        // The highest first: a mark that is lowered to it still hides those below, and each is judged and counted.
        for suspect in std::mem::take(&mut self.suspects).into_iter().rev() {
            match self.judge(&suspect).await {
                Ok(()) => {}
                Err(error) => self.report.unread(|| format!("{suspect}? Not certain: {error}")),
            }
        }
    }

    async fn judge(&mut self, suspect: &Suspect) -> Result<()> {
        if !self.store.confirms(suspect).await? {
            return Ok(());
        }
        if self.mend == Mend::WithoutLoss && self.store.mend(suspect).await? {
            metrics::counter!("postern_store_mended_total").increment(1);
            self.report.mended(|| format!("{suspect}: mended"));
        } else {
            self.report.fault(|| suspect.to_string());
        }
        Ok(())
    }
}
