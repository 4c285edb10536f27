//! The engine's journals, read before the engine opens them.
//!
//! A power cut may tear what had been written and not yet synced. The engine then refuses to open with a checksum
//! error, or cuts the tail by itself without a word; and it would cut in the same silent way where a disk fault has
//! hit records that had been synced. So the journals are read here first: a torn tail is cut at the end of the last
//! whole batch, loudly, and what was cut is kept; damage that cannot be a torn tail is refused.
//!
//! The format (version 3): a batch is a start (tag 1, `u32` items, `u64` sequence number), its items (tag 2, kind,
//! compression, `u64` keyspace, `u16` key octets, `u32` value octets, `u32` stored octets, key, value; or tag 4 and a
//! keyspace) and an end (tag 3, `u64` XXH3 of all items, four octets of magic). Little-endian. Zeros follow: a
//! journal's file is made 64 MiB long in advance.

use super::OpenError;
use super::committer::{HEAVIEST_GROUP, MOST_UNSYNCED};
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use xxhash_rust::xxh3::Xxh3;

/// A longer tail was not written since the last sync: that is [`MOST_UNSYNCED`], one group, and a tenth for what keys
/// and the format add.
const LONGEST_TAIL: u64 = (MOST_UNSYNCED + HEAVIEST_GROUP) as u64 / 10 * 11;

const TRAILER: [u8; 4] = [b'F', b'J', b'L', 3];

/// Cuts a torn tail of the newest journal, keeping what is cut in `torn`; refuses any other damage.
pub(super) fn mend(engine: &Path, torn: &Path) -> Result<(), OpenError> {
    let mut journals = journals(engine).map_err(|error| failed(engine, error))?;
    let newest = journals.pop();
    for (_, path) in journals {
        // The engine syncs a journal wholly before it opens the next one.
        let tail = Tail::of(&path).map_err(|error| failed(&path, error))?;
        if tail.len > 0 {
            return Err(OpenError::Damaged { path, at: tail.at });
        }
    }
    let Some((_, path)) = newest else {
        return Ok(());
    };
    let tail = Tail::of(&path).map_err(|error| failed(&path, error))?;
    match tail.len {
        0 => Ok(()),
        len if len > LONGEST_TAIL => Err(OpenError::Damaged { path, at: tail.at }),
        _ => cut(&path, tail, torn).map_err(|error| failed(&path, error)),
    }
}

fn failed(path: &Path, error: io::Error) -> OpenError {
    OpenError::Io {
        path: path.to_owned(),
        error,
    }
}

/// Journals by number; none where no engine has been yet.
pub(super) fn journals(engine: &Path) -> io::Result<Vec<(u64, PathBuf)>> {
    let folder = match fs::read_dir(engine) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        folder => folder?,
    };
    let mut journals = Vec::new();
    for file in folder {
        let path = file?.path();
        let is_journal = path.extension().is_some_and(|ending| ending == "jnl");
        let number = path.file_stem().and_then(|stem| stem.to_str()?.parse().ok());
        if let (true, Some(number)) = (is_journal, number) {
            journals.push((number, path));
        }
    }
    journals.sort();
    Ok(journals)
}

/// What stands behind the last whole batch: its place, and octets up to the last that is not zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Tail {
    pub(super) at: u64,
    pub(super) len: u64,
}

impl Tail {
    pub(super) fn of(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        let mut scan = Scan {
            left: file.metadata()?.len(),
            from: BufReader::with_capacity(256 * 1024, file),
            buffer: Vec::new(),
        };
        let mut at = 0;
        while let Some(len) = scan.batch()? {
            at += len;
        }
        let len = scan.written_behind(at)?;
        Ok(Self { at, len })
    }
}

/// Octets of each whole batch.
#[cfg(test)]
pub(super) fn batches(path: &Path) -> io::Result<Vec<u64>> {
    let file = File::open(path)?;
    let mut scan = Scan {
        left: file.metadata()?.len(),
        from: BufReader::new(file),
        buffer: Vec::new(),
    };
    std::iter::from_fn(|| scan.batch().transpose()).collect()
}

fn cut(path: &Path, tail: Tail, torn: &Path) -> io::Result<()> {
    fs::create_dir_all(torn)?;
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let kept = torn.join(format!("{name}.from-{}", tail.at));
    let mut journal = OpenOptions::new().read(true).write(true).open(path)?;
    journal.seek(SeekFrom::Start(tail.at))?;
    let mut copy = File::create(&kept)?;
    io::copy(&mut (&journal).take(tail.len), &mut copy)?;
    copy.flush()?;
    copy.sync_all()?;
    File::open(torn)?.sync_all()?;
    journal.set_len(tail.at)?;
    journal.sync_all()?;
    metrics::counter!("postern_store_torn_tails_total").increment(1);
    tracing::warn!(
        journal = %path.display(),
        at = tail.at,
        octets = tail.len,
        kept = %kept.display(),
        "the last writes before the process ended were torn and are cut off; none of them had been acknowledged"
    );
    Ok(())
}

/// Reads batches until one is not whole.
struct Scan {
    from: BufReader<File>,
    left: u64,
    buffer: Vec<u8>,
}

impl Scan {
    /// Octets of the next batch if it is whole.
    fn batch(&mut self) -> io::Result<Option<u64>> {
        let before = self.left;
        let Some([1, count @ .., _, _, _, _, _, _, _, _]) = self.take::<13>()? else {
            return Ok(None);
        };
        let mut sum = Xxh3::default();
        for _ in 0..u32::from_le_bytes(count) {
            if !self.item(&mut sum)? {
                return Ok(None);
            }
        }
        let Some([3, end @ ..]) = self.take::<13>()? else {
            return Ok(None);
        };
        let whole = end == end_of(&sum);
        Ok(whole.then(|| before - self.left))
    }

    /// Whether an item could be read; its octets are added to the sum.
    fn item(&mut self, sum: &mut Xxh3) -> io::Result<bool> {
        let Some([tag]) = self.take::<1>()? else {
            return Ok(false);
        };
        sum.update(&[tag]);
        match tag {
            2 => self.key_and_value(sum),
            4 => {
                let keyspace = self.take::<8>()?;
                sum.update(&keyspace.unwrap_or_default());
                Ok(keyspace.is_some())
            }
            _ => Ok(false),
        }
    }

    fn key_and_value(&mut self, sum: &mut Xxh3) -> io::Result<bool> {
        let Some(head) = self.take::<20>()? else {
            return Ok(false);
        };
        sum.update(&head);
        let [_, _, _, _, _, _, _, _, _, _, k0, k1, _, _, _, _, stored @ ..] = head;
        let len = u64::from(u16::from_le_bytes([k0, k1])) + u64::from(u32::from_le_bytes(stored));
        if len > self.left {
            return Ok(false);
        }
        self.left -= len;
        self.buffer.resize(len as usize, 0);
        self.from.read_exact(&mut self.buffer)?;
        sum.update(&self.buffer);
        Ok(true)
    }

    fn take<const N: usize>(&mut self) -> io::Result<Option<[u8; N]>> {
        if self.left < N as u64 {
            return Ok(None);
        }
        let mut octets = [0; N];
        self.from.read_exact(&mut octets)?;
        self.left -= N as u64;
        Ok(Some(octets))
    }

    /// Octets behind `at` up to the last that is not zero.
    fn written_behind(&mut self, at: u64) -> io::Result<u64> {
        self.from.seek(SeekFrom::Start(at))?;
        self.buffer.resize(256 * 1024, 0);
        let (mut seen, mut written) = (0, 0);
        loop {
            let len = self.from.read(&mut self.buffer)?;
            if len == 0 {
                return Ok(written);
            }
            let read = self.buffer.get(..len).unwrap_or_default();
            if let Some(last) = read.iter().rposition(|octet| *octet != 0) {
                written = seen + last as u64 + 1;
            }
            seen += len as u64;
        }
    }
}

fn end_of(sum: &Xxh3) -> [u8; 12] {
    let [a, b, c, d, e, f, g, h] = sum.digest().to_le_bytes();
    let [w, x, y, z] = TRAILER;
    [a, b, c, d, e, f, g, h, w, x, y, z]
}
