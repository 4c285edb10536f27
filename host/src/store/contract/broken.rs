//! Stores that break one promise and keep all others, to see that the contract notices: each row of
//! [`mutants!`](super::mutants) names a fault and the case that must go red over any engine that has it.

use super::*;
use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use tokio::sync::Barrier;

mod directory;
mod kv;

/// What a store may do wrong, as it looks from outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    // Deliveries.
    Forgets,
    DeliversAgain,
    DeliversInPart,
    RefusesAllForOne,
    PassesOctets,
    StopsShort,
    PassesMessages,
    DecidesApart,
    CountsRepeatedRecipients,
    LosesFacts,
    CutsTraces,
    EvensSizes,
    DropsUidls,
    // Listings and removals.
    ListsBackwards,
    RenamesMessages,
    HidesTheOlder,
    MixesMailboxes,
    ListsBeforeTheBody,
    RemovesNothing,
    RemovesAll,
    FreesNothing,
    MiscountsUsage,
    // Bodies.
    TakesSharedBodies,
    KeepsBodies,
    ReadsShort,
    SlipsAtChunks,
    FailsAtTheEnd,
    ShowsTheUncommitted,
    KnowsTheUnknown,
    LosesTheUncommitted,
    KeepsRefusedTexts,
    DiscardsNothing,
    DiscardsTheCommitted,
    AppendsAgain,
    TakesAnyText,
    TakesAnyChunk,
    // Quarantine.
    HoldsNothing,
    HoldsOneCopy,
    ChargesTheHeld,
    HoldsWithoutBound,
    WeighsContentAlone,
    SkipsTheHeld,
    ExpiresEarly,
    DropsNothing,
    // Directory.
    CreatesAgain,
    SharesAddresses,
    ReplacesTheAbsent,
    ReplacesTheChanged,
    LosesKeys,
    PagesTooMuch,
    KeepsMailOfTheRemoved,
    InheritsMail,
    CreatesAtOnce,
    RemovesTheAbsent,
    // Policies' values.
    OutlivesItsTime,
    EndsEarly,
    RenewsWindows,
    LosesIncrements,
    CountsAnything,
    ComparesNothing,
    MixesNamespaces,
    PassesTheQuota,
    MakesNoRoom,
    KeepsValues,
    // Upkeep.
    SweepsTheHeld,
    SuspectsTheSound,
}

/// Calls that a store without one lock over everything decides on what it read before any of them wrote.
const CROWD: usize = 10;

/// A store with at most one fault.
#[derive(Debug)]
pub(crate) struct Broken<S> {
    store: Arc<S>,
    fault: Option<Fault>,
    seen: Mutex<Seen>,
    crowd: Barrier,
}

/// What the faults need to remember.
#[derive(Debug, Default)]
struct Seen {
    delivered: HashMap<MessageId, Bytes>,
    removed: HashSet<MessageId>,
    freed: HashMap<String, Usage>,
    /// Entries that the store itself does not list.
    ghosts: HashMap<String, Vec<Line>>,
    chunks: HashMap<(MessageId, u32), Bytes>,
    listings: u64,
    weights: HashMap<String, u64>,
    swept: bool,
}

impl<S: Store> Broken<S> {
    pub(crate) fn new(store: Arc<S>, fault: Option<Fault>) -> Arc<Self> {
        Arc::new(Self {
            store,
            fault,
            seen: Mutex::default(),
            crowd: Barrier::new(CROWD),
        })
    }

    fn has(&self, fault: Fault) -> bool {
        self.fault == Some(fault)
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lists from now on what `mailbox` lists now, whatever becomes of it.
    async fn haunt(&self, mailbox: &str) -> Result<()> {
        let listing = self.store.list(mailbox).await?;
        self.seen()
            .ghosts
            .entry(mailbox.to_owned())
            .or_default()
            .extend(listing);
        Ok(())
    }

    /// Changes what is delivered.
    fn spoil(&self, sent: &mut Delivery) {
        let again = self.seen().delivered.contains_key(&sent.id);
        match self.fault {
            Some(Fault::DeliversAgain) if again => sent.id = MessageId::new(),
            Some(Fault::DeliversInPart) => sent.atomicity = Atomicity::Each,
            Some(Fault::RefusesAllForOne) => sent.atomicity = Atomicity::All,
            Some(Fault::LosesFacts) => sent.facts.clear(),
            Some(Fault::HoldsNothing) => sent.quarantine.clear(),
            Some(Fault::HoldsOneCopy) => sent.quarantine.truncate(1),
            Some(Fault::WeighsContentAlone) => {
                sent.facts.clear();
                for copy in &mut sent.quarantine {
                    copy.reason.truncate(9);
                    copy.trace.clear();
                    copy.mailboxes.truncate(2);
                }
            }
            _ => {}
        }
        for entry in &mut sent.entries {
            let ceiling = &mut entry.ceiling;
            match self.fault {
                Some(Fault::PassesOctets) => ceiling.bytes = ceiling.bytes.map(|most| most + 1),
                Some(Fault::StopsShort) => ceiling.bytes = ceiling.bytes.map(|most| most - 1),
                Some(Fault::PassesMessages) => ceiling.messages = ceiling.messages.map(|most| most + 1),
                Some(Fault::CutsTraces) => entry.trace.truncate(1000),
                Some(Fault::EvensSizes) => entry.downgraded_size = entry.size,
                Some(Fault::DropsUidls) => entry.uidl = None,
                _ => {}
            }
        }
    }

    fn remember(&self, sent: &Delivery) {
        let text = match &sent.content.text {
            Text::Inline(text) => text.clone(),
            Text::Appended { .. } => Bytes::new(),
        };
        let content = [&sent.content.head[..], &text].concat();
        self.seen().delivered.insert(sent.id, content.into());
    }

    /// Shows a message in its mailboxes before its body is written, and until somebody has looked.
    async fn announce(&self, sent: &Delivery) -> Result<Vec<Delivered>> {
        let before = {
            let mut seen = self.seen();
            for entry in &sent.entries {
                let ghosts = seen.ghosts.entry(entry.mailbox.to_string()).or_default();
                let listed = Entry {
                    id: sent.id,
                    size: entry.size,
                    downgraded_size: entry.downgraded_size,
                    trace: entry.trace.clone(),
                    uidl: entry.uidl.clone(),
                };
                ghosts.push(listed.into());
            }
            seen.listings
        };
        while self.seen().listings < before + 2 {
            tokio::task::yield_now().await;
        }
        let delivered = self.store.deliver(sent.clone()).await;
        self.seen().ghosts.clear();
        delivered
    }

    /// Compares usage with a ceiling, and writes when others have compared too.
    async fn decide_apart(&self, mut sent: Delivery) -> Result<Vec<Delivered>> {
        for entry in &mut sent.entries {
            let usage = self.store.usage(&entry.mailbox).await?;
            self.crowd.wait().await;
            if !entry.ceiling.admits(usage, entry.size) {
                return Ok(vec![Delivered::OverQuota { usage }]);
            }
            entry.ceiling = Ceiling::default();
        }
        self.store.deliver(sent).await
    }
}

#[async_trait]
impl<S: Store> Bodies for Broken<S> {
    async fn append(&self, id: MessageId, seq: u32, chunk: Bytes) -> Result<()> {
        let again = self.seen().chunks.insert((id, seq), chunk.clone()).is_some();
        let place = match again && self.has(Fault::AppendsAgain) {
            true => seq + 100,
            false => seq,
        };
        match self.store.append(id, place, chunk).await {
            Err(_) if self.has(Fault::TakesAnyChunk) => Ok(()),
            appended => appended,
        }
    }

    async fn read_text(&self, id: MessageId, offset: u64, len: usize) -> Result<Bytes> {
        match self.fault {
            Some(Fault::LosesTheUncommitted) => Ok(Bytes::new()),
            Some(Fault::KeepsRefusedTexts) => {
                let chunk = self.seen().chunks.get(&(id, 0)).cloned();
                Ok(chunk.unwrap_or_default())
            }
            _ => self.store.read_text(id, offset, len).await,
        }
    }

    async fn discard(&self, id: MessageId) -> Result<()> {
        match self.fault {
            Some(Fault::DiscardsNothing) => return Ok(()),
            Some(Fault::DiscardsTheCommitted) => drop(self.seen().removed.insert(id)),
            _ => {}
        }
        self.store.discard(id).await
    }

    async fn read(&self, holder: Holder<'_>, id: MessageId, offset: u64, len: usize) -> Result<Bytes> {
        let taken = [Fault::TakesSharedBodies, Fault::DiscardsTheCommitted];
        let gone =
            self.fault.is_some_and(|fault| taken.contains(&fault)) && self.seen().removed.contains(&id);
        let swept = self.has(Fault::SweepsTheHeld) && self.seen().swept;
        if gone || swept {
            return Err(StoreError::NotFound);
        }
        let (offset, len) = match self.fault {
            Some(Fault::ReadsShort) => (offset, len.min(CHUNK / 2)),
            Some(Fault::SlipsAtChunks) if offset >= CHUNK as u64 => (offset.saturating_add(1), len),
            _ => (offset, len),
        };
        let read = self.store.read(holder, id, offset, len).await;
        match (self.fault, read) {
            (Some(Fault::FailsAtTheEnd), Ok(read)) if read.is_empty() => Err(StoreError::NotFound),
            (Some(Fault::ShowsTheUncommitted), Err(_)) => self.store.read_text(id, offset, len).await,
            (Some(Fault::KnowsTheUnknown), Err(_)) => Ok(Bytes::new()),
            (Some(Fault::KeepsBodies), Err(error)) => {
                let kept = self.seen().delivered.get(&id).cloned();
                kept.ok_or(error)
            }
            (_, read) => read,
        }
    }

    async fn facts(&self, holder: Holder<'_>, id: MessageId) -> Result<Bytes> {
        self.store.facts(holder, id).await
    }
}

#[async_trait]
impl<S: Store> Maildrops for Broken<S> {
    async fn deliver(&self, delivery: Delivery) -> Result<Vec<Delivered>> {
        let mut sent = delivery;
        self.spoil(&mut sent);
        self.remember(&sent);
        match self.fault {
            Some(Fault::Forgets) => return Ok(vec![Delivered::Kept; sent.entries.len()]),
            Some(Fault::ListsBeforeTheBody) => return self.announce(&sent).await,
            Some(Fault::DecidesApart) => return self.decide_apart(sent).await,
            Some(Fault::CountsRepeatedRecipients) => {
                let second = sent.entries.get(1).cloned();
                if let Some(entry) = second {
                    self.store
                        .deliver(super::delivery(vec![NewEntry {
                            ceiling: Ceiling::default(),
                            ..entry
                        }]))
                        .await?;
                }
            }
            _ => {}
        }
        match (self.fault, self.store.deliver(sent.clone()).await) {
            (Some(Fault::TakesAnyText), Err(_)) => {
                sent.content.text = Text::Inline(Bytes::new());
                self.store.deliver(sent).await
            }
            (Some(Fault::HoldsWithoutBound), Err(StoreError::Bound(_))) => {
                sent.quarantine.clear();
                self.store.deliver(sent).await
            }
            (_, delivered) => delivered,
        }
    }

    async fn list(&self, mailbox: &str) -> Result<Vec<Line>> {
        let mut listing = self.store.list(mailbox).await?;
        if self.has(Fault::MixesMailboxes) {
            listing.extend(self.store.list(&format!("{mailbox}.uk")).await?);
        }
        let mut seen = self.seen();
        seen.listings += 1;
        listing.extend(seen.ghosts.get(mailbox).cloned().unwrap_or_default());
        match self.fault {
            Some(Fault::ListsBackwards) => listing.reverse(),
            Some(Fault::RenamesMessages) => {
                let names = (seen.listings..).map(|name| Some(name.to_string().into()));
                listing
                    .iter_mut()
                    .zip(names)
                    .for_each(|(entry, name)| entry.uidl = name);
            }
            Some(Fault::HidesTheOlder) => {
                let low = seen.removed.iter().max().copied();
                listing.retain(|entry| Some(entry.id) > low);
            }
            _ => {}
        }
        Ok(listing)
    }

    async fn trace(&self, mailbox: &str, line: &Line) -> Result<Bytes> {
        self.store.trace(mailbox, line).await
    }

    async fn remove(&self, mailbox: &str, ids: &[MessageId]) -> Result<()> {
        self.seen().removed.extend(ids);
        let listing = self.store.list(mailbox).await?;
        match self.fault {
            Some(Fault::RemovesNothing) => Ok(()),
            Some(Fault::RemovesAll) => {
                let all: Vec<_> = listing.iter().map(|entry| entry.id).collect();
                self.store.remove(mailbox, &all).await
            }
            Some(Fault::FreesNothing) => {
                let gone = listing.iter().filter(|entry| ids.contains(&entry.id));
                gone.for_each(|entry| {
                    let mut seen = self.seen();
                    let freed = seen.freed.entry(mailbox.to_owned()).or_default();
                    *freed = rules::grown(*freed, entry.size);
                });
                self.store.remove(mailbox, ids).await
            }
            _ => self.store.remove(mailbox, ids).await,
        }
    }

    async fn usage(&self, mailbox: &str) -> Result<Usage> {
        let usage = self.store.usage(mailbox).await?;
        let freed = self.seen().freed.get(mailbox).copied().unwrap_or_default();
        let mut usage = Usage {
            bytes: usage.bytes + freed.bytes,
            messages: usage.messages + freed.messages,
        };
        match self.fault {
            Some(Fault::MiscountsUsage) => usage.bytes += 1,
            Some(Fault::ChargesTheHeld) => {
                usage.messages += self.store.quarantine_usage().await?.messages;
            }
            _ => {}
        }
        Ok(usage)
    }
}

#[async_trait]
impl<S: Store> Quarantine for Broken<S> {
    async fn quarantined(&self, after: Option<MessageId>, limit: usize) -> Result<Vec<Quarantined>> {
        let mut page = self.store.quarantined(after, limit).await?;
        if self.has(Fault::SkipsTheHeld) && after.is_some() && !page.is_empty() {
            page.remove(0);
        }
        Ok(page)
    }

    async fn quarantined_one(&self, id: MessageId) -> Result<Quarantined> {
        self.store.quarantined_one(id).await
    }

    async fn quarantine_drop(&self, id: MessageId) -> Result<()> {
        match self.fault {
            Some(Fault::DropsNothing) => Ok(()),
            _ => self.store.quarantine_drop(id).await,
        }
    }

    async fn quarantine_usage(&self) -> Result<Usage> {
        self.store.quarantine_usage().await
    }

    async fn quarantine_expire(&self, moment: u64) -> Result<Vec<Quarantined>> {
        let early = u64::from(self.has(Fault::ExpiresEarly));
        self.store.quarantine_expire(moment + early).await
    }
}

#[async_trait]
impl<S: Store> Store for Broken<S> {
    fn ready(&self) -> Result<()> {
        self.store.ready()
    }

    async fn check(&self, mend: Mend) -> Result<Report> {
        let mut report = self.store.check(mend).await?;
        report.faults += u64::from(self.has(Fault::SuspectsTheSound));
        Ok(report)
    }

    async fn sweep(&self) -> Result<Swept> {
        self.seen().swept = true;
        self.store.sweep().await
    }

    fn backup(&self, folder: &Path) -> Result<u64> {
        self.store.backup(folder)
    }
}
