//! The store in memory: for tests, and the plain reading of the contract that other engines are held to.
//! Nothing outlives the process. One lock over everything, so each call is one step.

use super::rules::{self, Fate, Standing};
use super::*;
use crate::message::part;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// See the module.
#[derive(Debug)]
pub struct MemoryStore {
    quarantine_max: u64,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    uncommitted: HashMap<MessageId, BTreeMap<u32, Bytes>>,
    bodies: HashMap<MessageId, Body>,
    maildrops: BTreeMap<String, BTreeMap<MessageId, Entry>>,
    quarantine: BTreeMap<MessageId, Copy>,
    domains: BTreeMap<String, Domain>,
    accounts: BTreeMap<String, Account>,
    aliases: BTreeMap<String, Alias>,
    kv: HashMap<String, BTreeMap<String, Value>>,
}

#[derive(Debug)]
struct Body {
    content: Bytes,
    facts: Bytes,
    holders: BTreeSet<Hold>,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Hold {
    Mailbox(String),
    Quarantine(MessageId),
}

#[derive(Debug)]
struct Copy {
    body: MessageId,
    listed: Quarantined,
}

#[derive(Debug)]
struct Value {
    value: Bytes,
    over_at: u64,
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::with_quarantine_max(u64::MAX)
    }
}

impl MemoryStore {
    /// An empty store without a bound on quarantine.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty store whose quarantine holds at most so many octets.
    #[must_use]
    pub fn with_quarantine_max(quarantine_max: u64) -> Self {
        Self {
            quarantine_max,
            state: Mutex::default(),
        }
    }

    /// Everything of one namespace that is alive at `now`.
    pub fn kv_all(&self, namespace: &str, now: u64) -> BTreeMap<String, Bytes> {
        let state = self.state();
        let values = state.kv.get(namespace).into_iter().flatten();
        let alive = values.filter(|(_, value)| rules::alive(value.over_at, now));
        alive
            .map(|(key, value)| (key.clone(), value.value.clone()))
            .collect()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn usage(&self, mailbox: &str) -> Usage {
        let entries = self.maildrops.get(mailbox).into_iter().flat_map(BTreeMap::values);
        entries.fold(Usage::default(), |usage, entry| rules::grown(usage, entry.size))
    }

    fn quarantine_usage(&self) -> Usage {
        let copies = self.quarantine.values();
        copies.fold(Usage::default(), |usage, copy| {
            let facts = self.bodies.get(&copy.body).map_or(0, |body| body.facts.len());
            rules::grown(usage, rules::held_weight(&copy.listed, facts))
        })
    }

    fn standing(&self, mailbox: &str, id: MessageId) -> Standing {
        Standing {
            usage: self.usage(mailbox),
            listed: self
                .maildrops
                .get(mailbox)
                .is_some_and(|drop| drop.contains_key(&id)),
        }
    }

    /// Head and text joined; the uncommitted text is left where it is.
    fn joined(&self, delivery: &Delivery) -> Result<Bytes> {
        let mut content = delivery.content.head.to_vec();
        match &delivery.content.text {
            Text::Inline(text) => content.extend_from_slice(text),
            Text::Appended { .. } => {
                let chunks = self.uncommitted.get(&delivery.id);
                rules::appended_matches(delivery, chunks.map_or(0, |chunks| chunks.len() as u32))?;
                for chunk in chunks.into_iter().flat_map(BTreeMap::values) {
                    content.extend_from_slice(chunk);
                }
            }
        }
        Ok(content.into())
    }

    fn hold(&mut self, delivery: &Delivery, holder: Hold) -> Result<()> {
        if !self.bodies.contains_key(&delivery.id) {
            let body = Body {
                content: self.joined(delivery)?,
                facts: delivery.facts.clone(),
                holders: BTreeSet::new(),
            };
            self.bodies.insert(delivery.id, body);
        }
        if let Some(body) = self.bodies.get_mut(&delivery.id) {
            body.holders.insert(holder);
        }
        Ok(())
    }

    fn release(&mut self, body_id: MessageId, holder: &Hold) {
        let Some(body) = self.bodies.get_mut(&body_id) else {
            return;
        };
        body.holders.remove(holder);
        if body.holders.is_empty() {
            self.bodies.remove(&body_id);
        }
    }

    fn new_copies<'a>(&self, delivery: &'a Delivery) -> Vec<(MessageId, &'a NewQuarantined)> {
        let numbered = delivery.quarantine.iter().enumerate();
        numbered
            .map(|(nth, copy)| (rules::quarantine_id(delivery.id, nth), copy))
            .filter(|(id, _)| !self.quarantine.contains_key(id))
            .collect()
    }

    fn deliver(&mut self, delivery: &Delivery, quarantine_max: u64) -> Result<Vec<Delivered>> {
        let id = delivery.id;
        let fates = rules::decide(&delivery.entries, delivery.atomicity, |mailbox| {
            Ok(self.standing(mailbox, id))
        })?;
        let refused =
            delivery.atomicity == Atomicity::All && fates.iter().any(|f| matches!(f, Fate::Over(_)));
        if !refused {
            self.quarantine_copies(delivery, quarantine_max)?;
            self.add_entries(delivery, &fates)?;
        }
        self.uncommitted.remove(&id);
        Ok(fates.into_iter().map(Fate::outcome).collect())
    }

    fn quarantine_copies(&mut self, delivery: &Delivery, quarantine_max: u64) -> Result<()> {
        let size = delivery.content.size();
        let copies: Vec<Quarantined> = self
            .new_copies(delivery)
            .into_iter()
            .map(|(id, copy)| rules::held(id, copy, size))
            .collect();
        let usage = copies.iter().fold(self.quarantine_usage(), |usage, copy| {
            rules::grown(usage, rules::held_weight(copy, delivery.facts.len()))
        });
        if !copies.is_empty() && usage.bytes > quarantine_max {
            return Err(StoreError::Bound(rules::QUARANTINE_BOUND));
        }
        for listed in copies {
            let id = listed.id;
            self.hold(delivery, Hold::Quarantine(id))?;
            let body = delivery.id;
            self.quarantine.insert(id, Copy { body, listed });
        }
        Ok(())
    }

    fn add_entries(&mut self, delivery: &Delivery, fates: &[Fate]) -> Result<()> {
        let decided = delivery.entries.iter().zip(fates);
        for (entry, _) in decided.filter(|(_, fate)| **fate == Fate::Add) {
            self.hold(delivery, Hold::Mailbox(entry.mailbox.to_string()))?;
            let listed = Entry {
                id: delivery.id,
                size: entry.size,
                downgraded_size: entry.downgraded_size,
                trace: entry.trace.clone(),
                uidl: entry.uidl.clone(),
            };
            let maildrop = self.maildrops.entry(entry.mailbox.to_string()).or_default();
            maildrop.insert(delivery.id, listed);
        }
        Ok(())
    }

    fn remove(&mut self, mailbox: &str, id: MessageId) {
        let Some(maildrop) = self.maildrops.get_mut(mailbox) else {
            return;
        };
        if maildrop.remove(&id).is_some() {
            self.release(id, &Hold::Mailbox(mailbox.to_owned()));
        }
    }

    fn empty(&mut self, mailbox: &str) {
        let listed = self.maildrops.get(mailbox);
        let ids: Vec<_> = listed.into_iter().flat_map(BTreeMap::keys).copied().collect();
        ids.into_iter().for_each(|id| self.remove(mailbox, id));
    }

    fn body(&self, id: MessageId) -> Result<&Body> {
        let id = self.quarantine.get(&id).map_or(id, |copy| copy.body);
        self.bodies.get(&id).ok_or(StoreError::NotFound)
    }

    /// Writes a value if the namespace has room for it.
    fn kv_put(&mut self, namespace: &str, key: &str, write: KvWrite) -> Result<()> {
        let values = self.kv.entry(namespace.to_owned()).or_default();
        values.retain(|_, value| rules::alive(value.over_at, write.now));
        let others = values.iter().filter(|(other, _)| *other != key);
        let held: usize = others.map(|(key, value)| key.len() + value.value.len()).sum();
        if (held + key.len() + write.value.len()) as u64 > write.quota {
            return Err(StoreError::Bound(rules::KV_BOUND));
        }
        let over_at = rules::over_at(write.now, write.ttl);
        let value = Value {
            value: write.value,
            over_at,
        };
        values.insert(key.to_owned(), value);
        Ok(())
    }

    fn kv_value(&self, namespace: &str, key: &str, now: u64) -> Option<&Value> {
        let value = self.kv.get(namespace)?.get(key)?;
        rules::alive(value.over_at, now).then_some(value)
    }
}

fn page<V: Clone>(rows: &BTreeMap<String, V>, after: Option<&str>, limit: usize) -> Vec<V> {
    let behind = rows
        .iter()
        .filter(|(key, _)| after.is_none_or(|after| key.as_str() > after));
    behind.take(limit).map(|(_, value)| value.clone()).collect()
}

#[async_trait]
impl Bodies for MemoryStore {
    async fn append(&self, id: MessageId, seq: u32, chunk: Bytes) -> Result<()> {
        rules::chunk_fits(&chunk)?;
        let mut state = self.state();
        if !state.bodies.contains_key(&id) {
            state.uncommitted.entry(id).or_default().insert(seq, chunk);
        }
        Ok(())
    }

    async fn read_text(&self, id: MessageId, offset: u64, len: usize) -> Result<Bytes> {
        let state = self.state();
        let chunks = state.uncommitted.get(&id).into_iter().flat_map(BTreeMap::values);
        let text: Vec<u8> = chunks.flatten().copied().collect();
        Ok(part(&text.into(), offset, len))
    }

    async fn discard(&self, id: MessageId) -> Result<()> {
        self.state().uncommitted.remove(&id);
        Ok(())
    }

    async fn read(&self, _holder: Holder<'_>, id: MessageId, offset: u64, len: usize) -> Result<Bytes> {
        Ok(part(&self.state().body(id)?.content, offset, len))
    }

    async fn facts(&self, _holder: Holder<'_>, id: MessageId) -> Result<Bytes> {
        Ok(self.state().body(id)?.facts.clone())
    }
}

#[async_trait]
impl Maildrops for MemoryStore {
    async fn deliver(&self, delivery: Delivery) -> Result<Vec<Delivered>> {
        self.state().deliver(&delivery, self.quarantine_max)
    }

    async fn list(&self, mailbox: &str) -> Result<Vec<Line>> {
        let state = self.state();
        let maildrop = state.maildrops.get(mailbox);
        let entries = maildrop.into_iter().flat_map(BTreeMap::values).cloned();
        Ok(entries.map(Line::from).collect())
    }

    async fn remove(&self, mailbox: &str, ids: &[MessageId]) -> Result<()> {
        let mut state = self.state();
        for id in ids {
            state.remove(mailbox, *id);
        }
        Ok(())
    }

    async fn usage(&self, mailbox: &str) -> Result<Usage> {
        Ok(self.state().usage(mailbox))
    }
}

#[async_trait]
impl Quarantine for MemoryStore {
    async fn quarantined(&self, after: Option<MessageId>, limit: usize) -> Result<Vec<Quarantined>> {
        let state = self.state();
        let copies = state.quarantine.iter();
        let behind = copies.filter(|(id, _)| after.is_none_or(|after| **id > after));
        Ok(behind.take(limit).map(|(_, copy)| copy.listed.clone()).collect())
    }

    async fn quarantined_one(&self, id: MessageId) -> Result<Quarantined> {
        let state = self.state();
        let copy = state.quarantine.get(&id).ok_or(StoreError::NotFound)?;
        Ok(copy.listed.clone())
    }

    async fn quarantine_drop(&self, id: MessageId) -> Result<()> {
        let mut state = self.state();
        let copy = state.quarantine.remove(&id).ok_or(StoreError::NotFound)?;
        state.release(copy.body, &Hold::Quarantine(id));
        Ok(())
    }

    async fn quarantine_usage(&self) -> Result<Usage> {
        Ok(self.state().quarantine_usage())
    }
}

#[async_trait]
impl Directory for MemoryStore {
    async fn domain(&self, name: &str) -> Result<Option<Domain>> {
        Ok(self.state().domains.get(name).cloned())
    }

    async fn create_domain(&self, domain: Domain) -> Result<Created> {
        let mut state = self.state();
        if state.domains.contains_key(&domain.name) {
            return Ok(Created::Exists);
        }
        state.domains.insert(domain.name.clone(), domain);
        Ok(Created::Yes)
    }

    async fn remove_domain(&self, name: &str) -> Result<bool> {
        Ok(self.state().domains.remove(name).is_some())
    }

    async fn domains(&self) -> Result<Vec<Domain>> {
        Ok(self.state().domains.values().cloned().collect())
    }

    async fn account(&self, key: &str) -> Result<Option<Account>> {
        Ok(self.state().accounts.get(key).cloned())
    }

    async fn create_account(&self, account: Account) -> Result<Created> {
        let mut state = self.state();
        let key = account.address.to_lowercase();
        if state.accounts.contains_key(&key) || state.aliases.contains_key(&key) {
            return Ok(Created::Exists);
        }
        state.empty(&key);
        state.accounts.insert(key, account);
        Ok(Created::Yes)
    }

    async fn replace_account(&self, before: &Account, after: Account) -> Result<bool> {
        let mut state = self.state();
        let there = state.accounts.get_mut(&after.address.to_lowercase());
        let unchanged = there.filter(|there| *there == before);
        Ok(unchanged.map(|there| *there = after).is_some())
    }

    async fn remove_account(&self, key: &str) -> Result<bool> {
        let mut state = self.state();
        state.empty(key);
        Ok(state.accounts.remove(key).is_some())
    }

    async fn accounts(&self, after: Option<&str>, limit: usize) -> Result<Vec<Account>> {
        Ok(page(&self.state().accounts, after, limit))
    }

    async fn alias(&self, key: &str) -> Result<Option<Alias>> {
        Ok(self.state().aliases.get(key).cloned())
    }

    async fn create_alias(&self, alias: Alias) -> Result<Created> {
        let mut state = self.state();
        let key = &alias.address;
        if state.accounts.contains_key(key) || state.aliases.contains_key(key) {
            return Ok(Created::Exists);
        }
        state.aliases.insert(alias.address.clone(), alias);
        Ok(Created::Yes)
    }

    async fn replace_alias(&self, before: &Alias, after: Alias) -> Result<bool> {
        let mut state = self.state();
        let there = state.aliases.get_mut(&after.address);
        let unchanged = there.filter(|there| *there == before);
        Ok(unchanged.map(|there| *there = after).is_some())
    }

    async fn remove_alias(&self, key: &str) -> Result<bool> {
        Ok(self.state().aliases.remove(key).is_some())
    }

    async fn aliases(&self, after: Option<&str>, limit: usize) -> Result<Vec<Alias>> {
        Ok(page(&self.state().aliases, after, limit))
    }
}

#[async_trait]
impl Kv for MemoryStore {
    async fn kv_get(&self, namespace: &str, key: &str, now: u64) -> Result<Option<Bytes>> {
        let state = self.state();
        Ok(state
            .kv_value(namespace, key, now)
            .map(|value| value.value.clone()))
    }

    async fn kv_set(&self, namespace: &str, key: &str, value: KvWrite) -> Result<()> {
        self.state().kv_put(namespace, key, value)
    }

    async fn kv_remove(&self, namespace: &str, key: &str) -> Result<()> {
        if let Some(values) = self.state().kv.get_mut(namespace) {
            values.remove(key);
        }
        Ok(())
    }

    async fn kv_increment(
        &self,
        namespace: &str,
        key: &str,
        by: i64,
        ttl: u32,
        now: u64,
        quota: u64,
    ) -> Result<i64> {
        let mut state = self.state();
        let (sum, over_at) = match state.kv_value(namespace, key, now) {
            Some(value) => (rules::counter(&value.value)?.saturating_add(by), value.over_at),
            None => (by, rules::over_at(now, ttl)),
        };
        let value = Bytes::copy_from_slice(&sum.to_be_bytes());
        let write = KvWrite {
            value,
            ttl,
            now,
            quota,
        };
        state.kv_put(namespace, key, write)?;
        if let Some(value) = state.kv.get_mut(namespace).and_then(|values| values.get_mut(key)) {
            value.over_at = over_at;
        }
        Ok(sum)
    }

    async fn kv_compare_and_set(
        &self,
        namespace: &str,
        key: &str,
        expected: Option<Bytes>,
        value: KvWrite,
    ) -> Result<bool> {
        let mut state = self.state();
        let found = state.kv_value(namespace, key, value.now);
        if found.map(|found| &found.value) != expected.as_ref() {
            return Ok(false);
        }
        state.kv_put(namespace, key, value)?;
        Ok(true)
    }
}

#[async_trait]
impl Store for MemoryStore {
    fn ready(&self) -> Result<()> {
        Ok(())
    }

    async fn check(&self, _mend: Mend) -> Result<Report> {
        Ok(Report::default())
    }

    fn backup(&self, _folder: &Path) -> Result<u64> {
        Err(StoreError::Engine(
            "what is only in memory has no backup".to_owned(),
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::contract::{QUARANTINE_MAX, contract, mutants};

    contract! { ((), Arc::new(MemoryStore::with_quarantine_max(QUARANTINE_MAX))) }
    mutants! { ((), Arc::new(MemoryStore::with_quarantine_max(QUARANTINE_MAX))) }
}
