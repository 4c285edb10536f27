//! The attempts that are remembered: the last ones, in memory, for a time and within a size.

use super::Attempt;
use crate::clock::unix_millis;
use crate::config::ExplainConfig;
use crate::store::{KvWrite, Store, StoreError};
use bytes::Bytes;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Of the gateway's own values in the store: no policy's namespace has a colon.
const NAMESPACE: &str = "postern:explain";
/// Octets that one counts for beside its text.
const BESIDE: u64 = 64;

/// The time of an attempt in milliseconds since 1970, and its JSON.
pub(super) type Line = (u64, Arc<[u8]>);

/// One gateway's memory of them, and what it keeps of messages beyond their deletion.
#[derive(Debug)]
pub struct Attempts {
    config: ExplainConfig,
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    /// Oldest first.
    attempts: VecDeque<Line>,
    octets: u64,
    /// The last so many are not saved yet.
    unsaved: usize,
}

/// What is looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Search<'a> {
    Id(&'a str),
    /// Sender, recipient or client.
    Address(&'a str),
}

impl Search<'_> {
    fn finds(self, attempt: &Attempt) -> bool {
        let same = |one: &str, other: &str| one.eq_ignore_ascii_case(other);
        match self {
            Self::Id(id) => same(&attempt.id, id),
            Self::Address(address) => {
                let mut known = attempt
                    .rcpt_to
                    .iter()
                    .chain([&attempt.mail_from, &attempt.client_ip]);
                known.any(|known| same(known, address))
            }
        }
    }
}

impl Attempts {
    pub fn new(config: ExplainConfig) -> Self {
        Self {
            config,
            kept: Mutex::default(),
        }
    }

    /// Whether anything is explained at all.
    pub fn is_on(&self) -> bool {
        !self.config.keep.is_zero()
    }

    /// Whether a stored message has a record beyond its deletion.
    pub fn keeps_deleted(&self) -> bool {
        self.is_on() && self.config.keep_deleted
    }

    /// Remembers one. The oldest give way.
    pub(crate) fn add(&self, attempt: &Attempt) {
        let Ok(text) = serde_json::to_vec(attempt) else {
            return;
        };
        let octets = text.len() as u64 + BESIDE;
        let mut kept = self.kept(unix_millis());
        if octets > self.config.max {
            return hit();
        }
        if kept.octets.saturating_add(octets) > self.config.max {
            hit();
            while kept.octets.saturating_add(octets) > self.config.max && kept.drop_oldest() {}
        }
        kept.octets += octets;
        kept.attempts.push_back((attempt.time, text.into()));
        kept.unsaved += 1;
        kept.tell();
    }

    pub(super) fn config(&self) -> ExplainConfig {
        self.config
    }

    /// Remembers these from before this process, oldest first: the last of them that there is room for. Answers how
    /// many.
    pub(super) fn remember(&self, lines: Vec<Line>) -> usize {
        let now = unix_millis();
        let mut kept = self.kept(now);
        let before = kept.attempts.len();
        let lines = lines.into_iter().rev();
        for (time, text) in lines.filter(|(time, _)| !self.is_over(*time, now)) {
            let octets = text.len() as u64 + BESIDE;
            if kept.octets.saturating_add(octets) > self.config.max {
                break;
            }
            kept.octets += octets;
            kept.attempts.push_front((time, text));
        }
        kept.tell();
        kept.attempts.len() - before
    }

    /// Those that are not saved yet, oldest first. From here on they are taken for saved.
    pub(super) fn fresh(&self) -> Vec<Line> {
        let mut kept = self.kept(unix_millis());
        let saved = kept
            .attempts
            .len()
            .saturating_sub(std::mem::take(&mut kept.unsaved));
        kept.attempts.range(saved..).cloned().collect()
    }

    /// The last `count` that were taken for saved were not.
    pub(super) fn again(&self, count: usize) {
        let mut kept = self.kept(unix_millis());
        kept.unsaved = (kept.unsaved + count).min(kept.attempts.len());
    }

    /// Oldest first, the last `most` of them. All that is kept may be read for it, while sessions go on adding: ask for
    /// it where blocking is allowed.
    pub fn find(&self, search: Search<'_>, most: usize) -> Vec<Attempt> {
        let texts: Vec<Arc<[u8]>> = {
            let kept = self.kept(unix_millis());
            kept.attempts
                .iter()
                .rev()
                .map(|(_, text)| Arc::clone(text))
                .collect()
        };
        let read = texts.iter().filter_map(|text| serde_json::from_slice(text).ok());
        let mut found: Vec<Attempt> = read.filter(|attempt| search.finds(attempt)).take(most).collect();
        found.reverse();
        found
    }

    /// Without those whose time is over.
    fn kept(&self, now: u64) -> MutexGuard<'_, Kept> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let over = |kept: &Kept| {
            let oldest = kept.attempts.front();
            oldest.is_some_and(|(time, _)| self.is_over(*time, now))
        };
        while over(&kept) && kept.drop_oldest() {}
        kept
    }

    fn is_over(&self, time: u64, now: u64) -> bool {
        let keep = u64::try_from(self.config.keep.as_millis()).unwrap_or(u64::MAX);
        time.saturating_add(keep) <= now
    }

    /// Writes what is told of a stored message a second time, to outlive it. Trouble is logged and changes nothing.
    pub(crate) async fn keep(&self, store: &dyn Store, attempt: &Attempt) {
        let Ok(text) = serde_json::to_vec(attempt) else {
            return;
        };
        let write = KvWrite {
            value: Bytes::from(text),
            ttl: seconds(self.config.keep),
            now: unix_millis(),
            quota: self.config.max,
        };
        match store.kv_set(NAMESPACE, &attempt.id, write).await {
            Ok(()) => {}
            Err(StoreError::Bound(_)) => hit(),
            Err(error) => tracing::warn!(id = attempt.id, %error, "no second record of why it was delivered"),
        }
    }
}

/// What was kept beyond a message's deletion, if anything.
pub(crate) async fn kept_of(store: &dyn Store, id: &str) -> Result<Option<Attempt>, StoreError> {
    let found = store.kv_get(NAMESPACE, id, unix_millis()).await?;
    Ok(found.and_then(|text| serde_json::from_slice(&text).ok()))
}

impl Kept {
    fn drop_oldest(&mut self) -> bool {
        let oldest = self.attempts.pop_front();
        if let Some((_, text)) = &oldest {
            self.octets = self.octets.saturating_sub(text.len() as u64 + BESIDE);
            self.unsaved = self.unsaved.min(self.attempts.len());
        }
        oldest.is_some()
    }

    fn tell(&self) {
        let octets = u32::try_from(self.octets).unwrap_or(u32::MAX);
        metrics::gauge!("postern_explain_bytes").set(f64::from(octets));
    }
}

/// A part of a second is a whole one: 0 would be for ever.
fn seconds(span: Duration) -> u32 {
    u32::try_from(span.as_secs()).unwrap_or(u32::MAX).max(1)
}

fn hit() {
    metrics::counter!("postern_explain_limit_hits_total", "limit" => "max").increment(1);
}

#[cfg(test)]
impl Attempts {
    /// How many are left at that time.
    pub(super) fn kept_at(&self, now: u64) -> usize {
        self.kept(now).attempts.len()
    }
}
