//! What the load said it did, and what a store must hold because of it. A line is a letter and an id: `d` before a
//! delivery, `D` when it is acknowledged, `r` before a removal, `R` when that is. All else about a message follows
//! from its id.

use bytes::Bytes;
use postern::message::MessageId;
use postern::store::{CHUNK, Holder, Store};
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// The mailboxes of a message: one of eight, and for a quarter of the mail a second that all share.
pub(crate) fn mailboxes(id: MessageId) -> Vec<String> {
    let [.., shared, own] = *id.as_bytes();
    let mut mailboxes = vec![format!("box{}@x.org", own % 8)];
    if shared % 4 == 0 {
        mailboxes.push("all@x.org".to_owned());
    }
    mailboxes
}

/// The text of a message: mostly small, now and then some chunks long.
pub(crate) fn text(id: MessageId) -> Bytes {
    let bytes = id.as_bytes();
    let mut seed = u64::from_be_bytes(bytes[8..].try_into().unwrap()) | 1;
    let len = match bytes[13] {
        0..8 => 2 * CHUNK + usize::from(bytes[12]) * 999,
        _ => 200 + usize::from(bytes[12]) * 40,
    };
    let words = (0..len.div_ceil(8)).flat_map(|_| {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed.to_be_bytes()
    });
    words.take(len).collect()
}

pub(crate) struct Ledger {
    kept: BTreeSet<MessageId>,
    removed: BTreeSet<MessageId>,
}

impl Ledger {
    /// Of all lines, the first `acknowledged` of which had been heard before the cut: a later `r` makes a message's
    /// fate open, a later `D` or `R` says nothing about the cut.
    pub(crate) fn of(said: &[String], acknowledged: usize) -> Self {
        let (mut kept, mut removed) = (BTreeSet::new(), BTreeSet::new());
        for (nth, line) in said.iter().enumerate() {
            let (what, id) = line.split_at(1);
            let id: MessageId = id.parse().unwrap();
            match what {
                "D" if nth < acknowledged => drop(kept.insert(id)),
                "R" if nth < acknowledged => drop(removed.insert(id)),
                "r" => drop(kept.remove(&id)),
                _ => {}
            }
        }
        Self { kept, removed }
    }

    pub(crate) fn kept(&self) -> usize {
        self.kept.len()
    }

    pub(crate) fn removed(&self) -> usize {
        self.removed.len()
    }

    /// Compares a store with what it must hold.
    pub(crate) async fn compare(&self, store: &impl Store) -> Result<(), String> {
        let listed = listings(store).await?;
        let none = BTreeSet::new();
        for id in &self.kept {
            for mailbox in mailboxes(*id) {
                if !listed.get(&mailbox).unwrap_or(&none).contains(id) {
                    return Err(format!("{id} was acknowledged and {mailbox} does not list it"));
                }
                let content = store.read(Holder::Mailbox(&mailbox), *id, 0, 4 * CHUNK).await;
                if content.map_err(|error| format!("{id}: {error}"))? != text(*id) {
                    return Err(format!("{id} is not what was delivered"));
                }
            }
        }
        let all: BTreeSet<_> = listed.values().flatten().collect();
        match self.removed.iter().find(|id| all.contains(id)) {
            Some(id) => Err(format!("{id} was removed and is listed again")),
            None => Ok(()),
        }
    }
}

/// What each mailbox lists; its usage must be the sum.
async fn listings(store: &impl Store) -> Result<HashMap<String, BTreeSet<MessageId>>, String> {
    let mut listed = HashMap::new();
    let own = (0..8).map(|nth| format!("box{nth}@x.org"));
    for mailbox in own.chain(["all@x.org".to_owned()]) {
        let entries = store.list(&mailbox).await.map_err(|error| error.to_string())?;
        let usage = store.usage(&mailbox).await.map_err(|error| error.to_string())?;
        let sum = entries.iter().map(|entry| entry.size).sum();
        if (usage.bytes, usage.messages) != (sum, entries.len() as u64) {
            return Err(format!(
                "{mailbox}: usage {usage:?}, the listing {sum} octets in {}",
                entries.len()
            ));
        }
        let ids: BTreeMap<_, _> = entries.iter().map(|entry| (entry.id, ())).collect();
        listed.insert(mailbox, ids.into_keys().collect());
    }
    Ok(listed)
}
