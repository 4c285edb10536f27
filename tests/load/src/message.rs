//! Messages that say which they are and whether they are whole.
//!
//! `X-Load` holds the run, a number and a checksum of the text. The text is words at random: zstd makes about half
//! of it, as of people's mail. Messages of a folder have that header put before their own.

use anyhow::{Context as _, bail};
use memchr::memmem;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use rand_distr::{Distribution as _, LogNormal};
use std::path::Path;
use std::str::FromStr;
use xxhash_rust::xxh3::xxh3_64;

/// Octets of text that messages are cut from.
const POOL: usize = 4 * 1024 * 1024;
const LINE: usize = 76;
const MARK: &str = "X-Load: ";
/// Of a checksum in the mark.
const DIGITS: usize = 16;

/// How large messages are.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Size {
    Fixed(usize),
    /// Median 6 KiB, mean 14 KiB, at most 2 MiB: most mail is small, most octets are in large mail.
    LogNormal,
    /// A text of so many octets, each as likely: postal's.
    Text(usize, usize),
}

const MEDIAN: f64 = 6.0 * 1024.0;
const SIGMA: f64 = 1.3;
pub(crate) const LEAST: usize = 512;
const MOST: usize = 2 * 1024 * 1024;

impl Size {
    /// Octets of the whole message whose header section has `head`.
    pub(crate) fn draw(self, random: &mut StdRng, head: usize) -> usize {
        match self {
            Self::Fixed(size) => size,
            Self::LogNormal => {
                let usual = LogNormal::new(MEDIAN.ln(), SIGMA);
                let drawn = usual.map_or(MEDIAN, |usual| usual.sample(random));
                (drawn as usize).clamp(LEAST, MOST)
            }
            Self::Text(least, most) => head + random.random_range(least..=most.max(least)),
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
            Self::Text(least, most) => write!(f, "text of {least} to {most}"),
        }
    }
}

/// What messages are made of.
#[derive(Debug)]
pub(crate) struct Pool {
    /// Tells this run's messages from others in a maildrop.
    run: u32,
    text: Vec<u8>,
    /// Those of a folder, if there are any, each as header section and text.
    folder: Vec<(Vec<u8>, Vec<u8>)>,
}

/// A message as it is sent, its dots stuffed.
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
        Self {
            run: rand::random(),
            text: pool,
            folder: Vec::new(),
        }
    }

    /// Messages are those of a folder's files, in turn.
    pub(crate) fn of_folder(path: &Path) -> anyhow::Result<Self> {
        let files = std::fs::read_dir(path).with_context(|| format!("{} cannot be read", path.display()))?;
        let mut files: Vec<_> = files
            .map(|file| Ok(file?.path()))
            .collect::<std::io::Result<_>>()?;
        files.retain(|file| file.is_file());
        files.sort();
        if files.is_empty() {
            bail!("{} holds no messages", path.display());
        }
        let read = |file: &std::path::PathBuf| {
            let octets = std::fs::read(file).with_context(|| format!("{} cannot be read", file.display()))?;
            Ok(parted(&octets))
        };
        Ok(Self {
            folder: files.iter().map(read).collect::<anyhow::Result<_>>()?,
            ..Self::new()
        })
    }

    /// The message of this number: the same whenever it is made.
    pub(crate) fn message(&self, number: u64, to: &str, size: Size) -> Message {
        if !self.folder.is_empty()
            && let Some((head, text)) = self.folder.get(number as usize % self.folder.len())
        {
            return self.of(number, head, |octets, _| {
                octets.extend_from_slice(&crate::lines::stuff(text));
                xxh3_64(text)
            });
        }
        let mut random = StdRng::seed_from_u64(number);
        let top = format!("From: <load@example.net>\r\nTo: <{to}>\r\nSubject: message {number}\r\n");
        self.of(number, top.as_bytes(), |octets, begins| {
            let size = size.draw(&mut random, begins);
            self.fill(octets, size, random.random_range(0..self.text.len()));
            xxh3_64(octets.get(begins..).unwrap_or_default())
        })
    }

    /// The mark, a header section and the text, whose checksum is put into the mark.
    fn of(&self, number: u64, head: &[u8], text: impl FnOnce(&mut Vec<u8>, usize) -> u64) -> Message {
        let mark = format!("{MARK}{:08x} {number:016x} ", self.run);
        let mut octets = Vec::with_capacity(8 * 1024);
        octets.extend_from_slice(mark.as_bytes());
        octets.extend_from_slice(&[b'0'; DIGITS]);
        octets.extend_from_slice(b"\r\n");
        octets.extend_from_slice(head);
        octets.extend_from_slice(b"\r\n");
        let begins = octets.len();
        let sum = text(&mut octets, begins);
        if let Some(place) = octets.get_mut(mark.len()..mark.len() + DIGITS) {
            place.copy_from_slice(format!("{sum:016x}").as_bytes());
        }
        Message {
            number,
            sum,
            octets,
            text: begins,
        }
    }

    /// Cuts text from the pool until the message has its size.
    fn fill(&self, octets: &mut Vec<u8>, size: usize, from: usize) {
        let begins = octets.len();
        octets.reserve(size.saturating_sub(begins) + 8);
        let mut rest = self.text.get(from..).unwrap_or_default();
        while octets.len() + 2 < size {
            if rest.is_empty() {
                rest = &self.text;
            }
            let part = rest.len().min(size - 2 - octets.len());
            let (taken, left) = rest.split_at(part);
            octets.extend_from_slice(taken);
            rest = left;
        }
        // A line end that was cut in two would be a bare CR or LF.
        if let Some(first) = octets.get_mut(begins).filter(|first| **first == b'\n') {
            *first = b' ';
        }
        if let Some(last) = octets.last_mut().filter(|last| **last == b'\r') {
            *last = b' ';
        }
        octets.extend_from_slice(b"\r\n");
    }
}

/// Header section without its empty line, and text, both in lines that end with CRLF. What has no header section is
/// all text.
fn parted(octets: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let mut strict = Vec::with_capacity(octets.len() + octets.len() / 32);
    for line in octets.split_inclusive(|octet| *octet == b'\n') {
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        strict.extend(
            line.iter()
                .map(|octet| if *octet == b'\r' { b' ' } else { *octet }),
        );
        strict.extend_from_slice(b"\r\n");
    }
    // An mbox has a line of its own before each message.
    let message = match strict.starts_with(b"From ") {
        true => memmem::find(&strict, b"\r\n").map_or(0, |at| at + 2),
        false => 0,
    };
    let strict = strict.get(message..).unwrap_or_default();
    match memmem::find(strict, b"\r\n\r\n") {
        Some(at) => {
            let (head, text) = strict.split_at(at + 2);
            (head.to_vec(), text.get(2..).unwrap_or_default().to_vec())
        }
        None => (Vec::new(), strict.to_vec()),
    }
}

/// What a message that was read says of itself, and what its text really is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) run: u32,
    pub(crate) number: u64,
    pub(crate) sum: u64,
}

impl Pool {
    pub(crate) fn run(&self) -> u32 {
        self.run
    }
}

/// None: not a message of ours, or its mark cannot be read.
pub(crate) fn identify(octets: &[u8]) -> Option<Identity> {
    let end = memmem::find(octets, b"\r\n\r\n")?;
    let (head, text) = (octets.get(..end)?, octets.get(end + 4..)?);
    let at = memmem::find(head, MARK.as_bytes())?;
    let mark = std::str::from_utf8(head.get(at + MARK.len()..)?.get(..8 + 1 + 16)?).ok()?;
    let (run, number) = mark.split_once(' ')?;
    Some(Identity {
        run: u32::from_str_radix(run, 16).ok()?,
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
        let mut sizes: Vec<_> = (0..4001).map(|_| Size::LogNormal.draw(&mut random, 0)).collect();
        sizes.sort_unstable();
        assert!((5500..6900).contains(&sizes[2000]), "{}", sizes[2000]);
        assert!(sizes[0] >= LEAST && sizes[4000] <= MOST);
        assert!(sizes[3900] > 8 * sizes[2000], "a long tail");
    }

    #[test]
    fn postal_s_texts_are_spread_evenly_from_the_smallest_to_the_largest() {
        let pool = Pool::new();
        let size = Size::Text(2 * 1024, 20 * 1024);
        let texts = (0..2000).map(|number| {
            let message = pool.message(number, "a@example.org", size);
            message.octets.len() - message.text
        });
        let mut texts: Vec<_> = texts.collect();
        texts.sort_unstable();
        assert!(texts[0] >= 2048 && texts[1999] <= 20_480);
        for (rank, near) in [
            (0, 2048),
            (500, 6656),
            (1000, 11_264),
            (1500, 15_872),
            (1999, 20_480),
        ] {
            assert!(texts[rank].abs_diff(near) < 900, "{rank}: {}", texts[rank]);
        }
    }

    #[test]
    fn messages_of_a_folder_keep_their_lines_and_say_which_they_are() {
        let folder = tempfile::tempdir().unwrap();
        let put = |name: &str, octets: &[u8]| std::fs::write(folder.path().join(name), octets).unwrap();
        put("1", b"From me Thu Jan  1\nSubject: one\nTo: x\n\n.dot\n\nlast");
        put("2", b"Subject: two\r\n\r\n");
        let pool = Pool::of_folder(folder.path()).unwrap();
        let one = pool.message(0, "a@example.org", Size::Fixed(4096));
        let sent = String::from_utf8(one.octets.clone()).unwrap();
        assert!(
            sent.ends_with("\r\nSubject: one\r\nTo: x\r\n\r\n..dot\r\n\r\nlast\r\n"),
            "{sent}"
        );
        let read = sent.replace("\r\n..", "\r\n.");
        let identity = identify(read.as_bytes()).unwrap();
        assert_eq!((identity.number, identity.sum), (0, one.sum));
        let three = pool.message(2, "a@example.org", Size::Fixed(4096));
        assert_eq!(three.sum, one.sum, "files take turns");
        let two = pool.message(1, "a@example.org", Size::Fixed(4096));
        assert_eq!(identify(&two.octets).unwrap().number, 1);
        assert!(Pool::of_folder(&folder.path().join("none")).is_err());
    }

    #[test]
    fn a_size_is_read_and_a_wrong_one_refused() {
        assert_eq!("4096".parse(), Ok(Size::Fixed(4096)));
        assert_eq!("lognormal".parse(), Ok(Size::LogNormal));
        assert!("511".parse::<Size>().is_err());
        assert!("much".parse::<Size>().is_err());
    }
}
