//! Choices that depend on the input alone.

use std::fmt::Debug;

/// An xorshift generator.
#[derive(Debug, Clone)]
pub struct Choice(u64);

impl Choice {
    pub fn new(seed: u8) -> Self {
        Self((u64::from(seed) + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }

    /// A number below `bound`, or 0.
    pub fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 16).unwrap_or(0) % bound.max(1)
    }
}

/// Plays an input in each way: `play` has the state, the answers, what is sent in pieces, and its length; what is
/// noticed must be the same each time.
pub fn each_way<E: Debug + PartialEq>(input: &[u8], play: impl Fn(u8, Choice, &[&[u8]], usize) -> Vec<E>) {
    let [state, answers, pieces, sent @ ..] = input else {
        return;
    };
    let [whole, octets, random] =
        cuts(sent, *pieces).map(|pieces| play(*state, Choice::new(*answers), &pieces, sent.len()));
    assert_eq!(octets, whole, "octet by octet and whole");
    assert_eq!(random, whole, "in pieces and whole");
}

/// The same octets whole, octet by octet, and in random pieces.
fn cuts(sent: &[u8], pieces: u8) -> [Vec<&[u8]>; 3] {
    let mut choice = Choice::new(pieces);
    let mut random = Vec::new();
    let mut rest = sent;
    while !rest.is_empty() {
        let bound = if choice.below(4) == 0 { rest.len() } else { 6 };
        let (piece, behind) = rest.split_at((1 + choice.below(bound)).min(rest.len()));
        random.push(piece);
        rest = behind;
    }
    [vec![sent], sent.chunks(1).collect(), random]
}
