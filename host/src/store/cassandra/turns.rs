//! Turns for those on this node who would do the same at once, by what it is about; some wait for another's in vain.

use std::hash::{BuildHasher as _, Hash, RandomState};
use tokio::sync::{Mutex, MutexGuard};

const PLACES: usize = 256;

#[derive(Debug)]
pub(super) struct Turns {
    places: [Mutex<()>; PLACES],
    hash: RandomState,
}

impl Default for Turns {
    fn default() -> Self {
        Self {
            places: std::array::from_fn(|_| Mutex::default()),
            hash: RandomState::new(),
        }
    }
}

impl Turns {
    pub(super) async fn take(&self, of: impl Hash) -> Option<MutexGuard<'_, ()>> {
        let place = self.hash.hash_one(of) % PLACES as u64;
        match self.places.get(place as usize) {
            Some(turn) => Some(turn.lock().await),
            None => None,
        }
    }
}
