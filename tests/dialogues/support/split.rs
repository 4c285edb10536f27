//! How input is cut into pieces.

/// A way to cut, which its `Debug` form names so that a failure can be repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Split {
    Whole,
    Octets,
    /// Pieces of random length; this is the state of an xorshift generator, never 0.
    Random(u64),
}

impl Split {
    /// The length of the next piece, of so many octets that are left.
    pub(crate) fn length(&mut self, left: usize) -> usize {
        match self {
            Self::Whole => left,
            Self::Octets => left.min(1),
            Self::Random(state) => {
                *state ^= *state << 13;
                *state ^= *state >> 7;
                *state ^= *state << 17;
                // Short pieces are the interesting ones, long ones must occur too.
                let bound = if *state & 3 == 0 { left.max(1) } else { 8 };
                let length = 1 + usize::try_from((*state >> 8) % bound as u64).unwrap_or(0);
                length.min(left)
            }
        }
    }
}
