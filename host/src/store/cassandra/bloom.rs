//! A set of ids that may take one for a member that is none, and never the other way round.

use crate::message::MessageId;
use xxhash_rust::xxh3::xxh3_128_with_seed;

/// 32 MiB: 25 million ids with one in a hundred mistaken. With more of them more are mistaken, and no other harm.
const WORDS: usize = 4 * 1024 * 1024;
const PLACES: u64 = 7;

/// Each has a seed of its own, so that another one makes other mistakes.
#[derive(Debug)]
pub(super) struct Bloom {
    words: Vec<u64>,
    seed: u64,
}

impl Bloom {
    pub(super) fn new() -> Self {
        Self {
            words: vec![0; WORDS],
            seed: rand::random(),
        }
    }

    fn places(&self, id: MessageId) -> impl Iterator<Item = (usize, u64)> + use<> {
        let hash = xxh3_128_with_seed(id.as_bytes(), self.seed);
        let (first, step) = (hash as u64, (hash >> 64) as u64 | 1);
        let bits = WORDS as u64 * 64;
        (0..PLACES).map(move |nth| {
            let bit = first.wrapping_add(nth.wrapping_mul(step)) % bits;
            ((bit / 64) as usize, 1 << (bit % 64))
        })
    }

    pub(super) fn add(&mut self, id: MessageId) {
        for (word, bit) in self.places(id) {
            if let Some(word) = self.words.get_mut(word) {
                *word |= bit;
            }
        }
    }

    pub(super) fn may_have(&self, id: MessageId) -> bool {
        self.places(id)
            .all(|(word, bit)| self.words.get(word).is_some_and(|word| word & bit != 0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_member_is_never_denied_and_few_others_are_taken_for_one() {
        let mut bloom = Bloom::new();
        let ids: Vec<_> = (0..200_000).map(|_| MessageId::new()).collect();
        let (members, others) = ids.split_at(100_000);
        for id in members {
            bloom.add(*id);
        }
        assert!(members.iter().all(|id| bloom.may_have(*id)));
        let mistaken = others.iter().filter(|id| bloom.may_have(**id)).count();
        assert!(mistaken < 10, "{mistaken}");
    }
}
