//! A change under way: what one group of requests reads and writes before it is committed as a whole.
//!
//! Only the committer's thread makes changes, so what is read here is exact. A request that fails leaves no
//! trace: its rows are put aside and joined to the group's only when it succeeds.

mod directory;
mod kv;
mod mail;

use super::committer::HEAVIEST_REQUEST;
use super::rows::Space;
use super::{Spaces, engine};
use crate::store::{Result, StoreError};
use fjall::Slice;
use std::collections::BTreeMap;
use std::ops::{ControlFlow, Range};

/// What the journal's format adds to each row, key and value apart.
const ROW: usize = 21;

/// Longest key taken; the engine's own bound is 65,535 octets.
const LONGEST_KEY: usize = 48 * 1024;

/// Rows by space and key; `None` is a removal.
type Rows = [BTreeMap<Vec<u8>, Option<Slice>>; 4];

#[derive(Debug)]
pub(super) struct Change<'a> {
    spaces: &'a Spaces,
    quarantine_max: u64,
    group: Rows,
    /// Rows of the request that runs.
    own: Rows,
    freed: u64,
    /// Octets of the rows in the journal, of the group and of the request that runs; what replaces a row of the same
    /// group counts beside it.
    octets: usize,
    own_octets: usize,
}

impl<'a> Change<'a> {
    pub(super) fn new(spaces: &'a Spaces, quarantine_max: u64) -> Self {
        Self {
            spaces,
            quarantine_max,
            group: Rows::default(),
            own: Rows::default(),
            freed: 0,
            octets: 0,
            own_octets: 0,
        }
    }

    /// Runs one request; all its rows or none join the group. One that is too heavy fails.
    pub(super) fn attempt<T>(&mut self, work: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        let freed = self.freed;
        self.own_octets = 0;
        let outcome = work(self).and_then(|done| match self.own_octets {
            0..=HEAVIEST_REQUEST => Ok(done),
            octets => Err(StoreError::Engine(format!("a commit of {octets} octets at once"))),
        });
        for (group, own) in self.group.iter_mut().zip(&mut self.own) {
            match &outcome {
                Ok(_) => group.append(own),
                Err(_) => own.clear(),
            }
        }
        match outcome {
            Ok(_) => self.octets += self.own_octets,
            Err(_) => self.freed = freed,
        }
        outcome
    }

    /// Octets of the group in the journal.
    pub(super) fn octets(&self) -> usize {
        self.octets
    }

    /// The group's rows and the stored octets of bodies that it removes.
    pub(super) fn finish(self) -> (impl Iterator<Item = (Space, Vec<u8>, Option<Slice>)>, u64) {
        let spaces = Space::ALL.into_iter().zip(self.group);
        let rows =
            spaces.flat_map(|(space, rows)| rows.into_iter().map(move |(key, value)| (space, key, value)));
        (rows, self.freed)
    }

    fn get(&self, space: Space, key: &[u8]) -> Result<Option<Slice>> {
        for rows in [&self.own, &self.group] {
            if let Some(value) = of(rows, space).get(key) {
                return Ok(value.clone());
            }
        }
        self.spaces.of(space).get(key).map_err(engine)
    }

    fn put(&mut self, space: Space, key: Vec<u8>, value: impl Into<Slice>) -> Result<()> {
        if key.len() > LONGEST_KEY {
            return Err(StoreError::Engine(format!("a key of {} octets", key.len())));
        }
        self.set(space, key, Some(value.into()));
        Ok(())
    }

    fn delete(&mut self, space: Space, key: Vec<u8>) {
        self.set(space, key, None);
    }

    fn set(&mut self, space: Space, key: Vec<u8>, value: Option<Slice>) {
        self.own_octets += ROW + key.len() + value.as_ref().map_or(0, |value| value.len());
        if let Some(rows) = self.own.get_mut(space as usize) {
            rows.insert(key, value);
        }
    }

    /// Shows every row in `range` until told to break: first what is committed, by key, then the group's own.
    fn scan(
        &self,
        space: Space,
        range: Range<Vec<u8>>,
        mut show: impl FnMut(&[u8], &[u8]) -> Result<ControlFlow<()>>,
    ) -> Result<()> {
        let (own, group) = (of(&self.own, space), of(&self.group, space));
        for row in self.spaces.of(space).range(range.clone()) {
            let (key, value) = row.into_inner().map_err(engine)?;
            let overlaid = own.contains_key(&*key) || group.contains_key(&*key);
            if !overlaid && show(&key, &value)?.is_break() {
                return Ok(());
            }
        }
        let of_group = group
            .range(range.clone())
            .filter(|(key, _)| !own.contains_key(*key));
        for (key, value) in of_group.chain(own.range(range)) {
            let Some(value) = value else { continue };
            if show(key, value)?.is_break() {
                return Ok(());
            }
        }
        Ok(())
    }
}

fn of(rows: &Rows, space: Space) -> &BTreeMap<Vec<u8>, Option<Slice>> {
    static NONE: BTreeMap<Vec<u8>, Option<Slice>> = BTreeMap::new();
    rows.get(space as usize).unwrap_or(&NONE)
}
