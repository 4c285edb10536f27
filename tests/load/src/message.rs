//! Messages that say which they are and whether they are whole.
//!
//! `X-Load` holds a number and a checksum of the text. The text is words at random: zstd makes about half of it,
//! as of people's mail.

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use std::str::FromStr;
use xxhash_rust::xxh3::xxh3_64;

/// Octets of text that messages are cut from.
const POOL: usize = 4 * 1024 * 1024;
const LINE: usize = 76;
const MARK: &str = "X-Load: ";

/// How large messages are.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Size {
    Fixed(usize),
    /// Median 6 KiB, mean 14 KiB, at most 2 MiB: most mail is small, most octets are in large mail.
    LogNormal,
}

const MEDIAN: f64 = 6.0 * 1024.0;
const SIGMA: f64 = 1.3;
const LEAST: usize = 512;
const MOST: usize = 2 * 1024 * 1024;

impl Size {
    pub(crate) fn draw(self, random: &mut StdRng) -> usize {
        match self {
            Self::Fixed(size) => size,
            Self::LogNormal => {
                // Box and Muller's way from two even numbers to a normal one.
                let (one, two) = (random.random_range(f64::EPSILON..1.0), random.random::<f64>());
                let normal = (-2.0 * one.ln()).sqrt() * (std::f64::consts::TAU * two).cos();
                ((MEDIAN * (SIGMA * normal).exp()) as usize).clamp(LEAST, MOST)
            }
        }
    }
}

impl FromStr for Size {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "lognormal" => Ok(Self::LogNormal),
            octets => match octets.parse() {
                Ok(size) if (LEAST..=64 * MOST).contains(&size) => Ok(Self::Fixed(size)),
                _ => Err(format!(
                    "`{text}` is no size: write {LEAST} octets or more, or lognormal"
                )),
            },
        }
    }
}

impl std::fmt::Display for Size {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Fixed(size) => write!(f, "{size}"),
            Self::LogNormal => f.write_str("lognormal"),
        }
    }
}

/// What messages are cut from.
#[derive(Debug)]
pub(crate) struct Pool(Vec<u8>);

/// A message as it is sent, without dots to stuff.
#[derive(Debug)]
pub(crate) struct Message {
    pub(crate) number: u64,
    pub(crate) sum: u64,
    pub(crate) octets: Vec<u8>,
    /// Where the text begins.
    pub(crate) text: usize,
}

impl Pool {
    pub(crate) fn new() -> Self {
        let mut random = StdRng::seed_from_u64(7);
        let words: Vec<Vec<u8>> = (0..4000)
            .map(|_| {
                let letters = random.random_range(2..11);
                (0..letters).map(|_| random.random_range(b'a'..=b'z')).collect()
            })
            .collect();
        let mut pool = Vec::with_capacity(POOL);
        let mut column = 0;
        while pool.len() + LINE < POOL {
            // Some words are usual and most are rare.
            let rank = random.random::<f64>().powi(3) * words.len() as f64;
            let Some(word) = words.get(rank as usize) else {
                continue;
            };
            if column + word.len() + 1 > LINE {
                pool.extend_from_slice(b"\r\n");
                column = 0;
            }
            pool.extend_from_slice(word);
            pool.push(b' ');
            column += word.len() + 1;
        }
        pool.extend_from_slice(b"\r\n");
        Self(pool)
    }

    /// The message of this number: the same whenever it is made.
    pub(crate) fn message(&self, number: u64, to: &str, size: Size) -> Message {
        let mut random = StdRng::seed_from_u64(number);
        let size = size.draw(&mut random);
        let from = random.random_range(0..self.0.len());
        let top = format!("From: <load@example.net>\r\nTo: <{to}>\r\nSubject: message {number}\r\n");
        // The mark's line is as long whatever it says.
        let head = top.len() + MARK.len() + 16 + 1 + 16 + 4;
        let mut text = Vec::with_capacity(size);
        let mut rest = self.0.get(from..).unwrap_or_default();
        while text.len() + head + 2 < size {
            if rest.is_empty() {
                rest = &self.0;
            }
            let part = rest.len().min(size - head - 2 - text.len());
            let (taken, left) = rest.split_at(part);
            text.extend_from_slice(taken);
            rest = left;
        }
        // A line end that was cut in two would be a bare CR or LF.
        if let Some(first) = text.first_mut().filter(|first| **first == b'\n') {
            *first = b' ';
        }
        if let Some(last) = text.last_mut().filter(|last| **last == b'\r') {
            *last = b' ';
        }
        text.extend_from_slice(b"\r\n");
        let sum = xxh3_64(&text);
        let mut octets = format!("{top}{MARK}{number:016x} {sum:016x}\r\n\r\n").into_bytes();
        let begins = octets.len();
        octets.append(&mut text);
        Message {
            number,
            sum,
            octets,
            text: begins,
        }
    }
}

/// What a message that was read says of itself, and what its text really is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) number: u64,
    pub(crate) sum: u64,
}

/// None: not a message of ours, or its mark cannot be read.
pub(crate) fn identify(octets: &[u8]) -> Option<Identity> {
    let end = octets.windows(4).position(|four| four == b"\r\n\r\n")?;
    let (head, text) = (octets.get(..end)?, octets.get(end + 4..)?);
    let head = std::str::from_utf8(head).ok()?;
    let mark = head.lines().find_map(|line| line.strip_prefix(MARK))?;
    let (number, _) = mark.split_once(' ')?;
    Some(Identity {
        number: u64::from_str_radix(number, 16).ok()?,
        sum: xxh3_64(text),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_has_its_size_and_strict_lines_and_says_which_it_is() {
        let pool = Pool::new();
        for (number, size) in [(0, 512), (1, 4096), (2, 10_240), (3, POOL + 9000)] {
            let message = pool.message(number, "a@example.org", Size::Fixed(size));
            assert_eq!(message.octets.len(), size);
            let identity = identify(&message.octets).unwrap();
            assert_eq!((identity.number, identity.sum), (number, message.sum));
            let text = String::from_utf8(message.octets).unwrap();
            assert!(text.ends_with("\r\n"));
            let bare = text.replace("\r\n", "");
            assert!(!bare.contains(['\r', '\n']), "{size}");
            assert!(!text.contains("\r\n."), "nothing to stuff");
        }
    }

    #[test]
    fn many_cuts_never_leave_half_a_line_end() {
        let pool = Pool::new();
        for number in 0..3000 {
            let message = pool.message(number, "a@example.org", Size::Fixed(600));
            let bare = String::from_utf8(message.octets).unwrap().replace("\r\n", "");
            assert!(!bare.contains(['\r', '\n']), "{number}");
        }
    }

    #[test]
    fn a_changed_octet_changes_the_sum() {
        let pool = Pool::new();
        let mut message = pool.message(9, "a@example.org", Size::Fixed(2000));
        let place = message.octets.len() - 10;
        message.octets[place] ^= 1;
        assert_ne!(identify(&message.octets).unwrap().sum, message.sum);
    }

    #[test]
    fn log_normal_sizes_lie_about_their_median() {
        let mut random = StdRng::seed_from_u64(1);
        let mut sizes: Vec<_> = (0..4001).map(|_| Size::LogNormal.draw(&mut random)).collect();
        sizes.sort_unstable();
        assert!((5500..6900).contains(&sizes[2000]), "{}", sizes[2000]);
        assert!(sizes[0] >= LEAST && sizes[4000] <= MOST);
        assert!(sizes[3900] > 8 * sizes[2000], "a long tail");
    }

    #[test]
    fn a_size_is_read_and_a_wrong_one_refused() {
        assert_eq!("4096".parse(), Ok(Size::Fixed(4096)));
        assert_eq!("lognormal".parse(), Ok(Size::LogNormal));
        assert!("511".parse::<Size>().is_err());
        assert!("much".parse::<Size>().is_err());
    }
}
