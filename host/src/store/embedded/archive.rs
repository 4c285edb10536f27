//! Backup and restore.
//!
//! An archive is one file of our own, so that it outlives the engine's formats: [`MAGIC`], then rows (`u8` keyspace,
//! `u32` key octets, `u32` value octets, key, value; big-endian), then an end (`255`, `u64` rows) and the SHA-256 of
//! everything before it. It is written beside its final name, synced and renamed: what has the name is whole. A
//! restore reads the whole archive and compares its sum before it writes anything.

use super::access::View;
use super::rows::Space;
use super::{EmbeddedStore, OpenError, Spaces, place};
use crate::store::StoreError;
use fjall::PersistMode;
use sha2::{Digest, Sha256};
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The archive's name in its folder.
pub const ARCHIVE: &str = "postern.backup";

const MAGIC: &[u8] = b"POSTERN STORE BACKUP 1\n";
const END: u8 = 255;
const SUM: usize = 32;
const BUFFER: usize = 256 * 1024;

/// Octets of rows in one commit of a restore.
const BATCH: usize = 4 * 1024 * 1024;

/// Longest key or value that is believed.
const LONGEST: u32 = 64 * 1024 * 1024;

/// Why a backup or restore did not come about.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    #[error("{}: {error}", path.display())]
    Io { path: PathBuf, error: io::Error },
    #[error("{} is no archive of a store", .0.display())]
    NotOurs(PathBuf),
    #[error("{} is damaged or not whole: {what}", path.display())]
    Damaged { path: PathBuf, what: &'static str },
    #[error("{} is not empty; a store is restored into an empty folder only: move this one aside first", .0.display())]
    NotEmpty(PathBuf),
    #[error(
        "the store is empty and {} is a backup of one that is not; name another folder, or move that file away first",
        .0.display()
    )]
    Emptied(PathBuf),
    #[error(transparent)]
    Open(#[from] OpenError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("{0}")]
    Engine(#[from] fjall::Error),
}

fn at(path: &Path) -> impl Fn(io::Error) -> ArchiveError {
    move |error| ArchiveError::Io {
        path: path.to_owned(),
        error,
    }
}

/// Writes the store as it is at this moment to [`ARCHIVE`] in `folder`, replacing an older one when all is
/// written, but not by that of an empty store; answers the octets. `progress` is told the octets so far. Deliveries go on meanwhile. Blocks.
pub fn backup(store: &EmbeddedStore, folder: &Path, progress: impl FnMut(u64)) -> Result<u64, ArchiveError> {
    let (aside, whole) = (folder.join(format!("{ARCHIVE}.part")), folder.join(ARCHIVE));
    fs::create_dir_all(folder).map_err(at(folder))?;
    let view = View::new(&store.spaces);
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&aside);
    let mut archive = Writer {
        to: BufWriter::with_capacity(BUFFER, file.map_err(at(&aside))?),
        sum: Sha256::new(),
        octets: 0,
    };
    let written = write_rows(&view, &mut archive, progress, &aside).and_then(|rows| {
        let older = fs::metadata(&whole).map_or(0, |older| older.len());
        if rows == 0 && older > archive.octets {
            return Err(ArchiveError::Emptied(whole.clone()));
        }
        let file = archive
            .to
            .into_inner()
            .map_err(|error| at(&aside)(error.into_error()))?;
        file.sync_all().map_err(at(&aside))
    });
    if let Err(error) = written {
        // Best effort: the next backup writes over it.
        let _ = fs::remove_file(&aside);
        return Err(error);
    }
    fs::rename(&aside, &whole).map_err(at(&whole))?;
    sync_folder(folder).map_err(at(folder))?;
    Ok(archive.octets)
}

fn write_rows(
    view: &View,
    archive: &mut Writer,
    mut progress: impl FnMut(u64),
    path: &Path,
) -> Result<u64, ArchiveError> {
    archive.put(MAGIC).map_err(at(path))?;
    let mut rows = 0_u64;
    for space in Space::ALL {
        for row in view.range(space, ..) {
            let (key, value) = row?;
            archive.row(space, &key, &value).map_err(at(path))?;
            rows += 1;
            if rows.is_multiple_of(256) {
                progress(archive.octets);
            }
        }
    }
    archive.end(rows).map_err(at(path))?;
    progress(archive.octets);
    Ok(rows)
}

fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

struct Writer {
    to: BufWriter<File>,
    sum: Sha256,
    octets: u64,
}

impl Writer {
    fn put(&mut self, octets: &[u8]) -> io::Result<()> {
        self.sum.update(octets);
        self.octets += octets.len() as u64;
        self.to.write_all(octets)
    }

    fn row(&mut self, space: Space, key: &[u8], value: &[u8]) -> io::Result<()> {
        self.put(&[space as u8])?;
        self.put(&(key.len() as u32).to_be_bytes())?;
        self.put(&(value.len() as u32).to_be_bytes())?;
        self.put(key)?;
        self.put(value)
    }

    fn end(&mut self, rows: u64) -> io::Result<()> {
        self.put(&[END])?;
        self.put(&rows.to_be_bytes())?;
        let sum = self.sum.finalize_reset();
        self.octets += SUM as u64;
        self.to.write_all(&sum)
    }
}

/// Makes a store in `target`, which must not be there or be empty, of the archive in `folder`; answers the rows.
/// It is built beside `target` and renamed, so an interrupted restore leaves no half store. Blocks.
pub fn restore(folder: &Path, target: &Path, progress: impl FnMut(u64)) -> Result<u64, ArchiveError> {
    let path = folder.join(ARCHIVE);
    if target.exists() && fs::read_dir(target).map_err(at(target))?.next().is_some() {
        return Err(ArchiveError::NotEmpty(target.to_owned()));
    }
    read(&path, |_, _, _| Ok(()))?;
    let mut name = target.file_name().unwrap_or_default().to_owned();
    name.push(".restoring");
    let aside = target.with_file_name(name);
    if aside.exists() {
        fs::remove_dir_all(&aside).map_err(at(&aside))?;
    }
    let rows = fill(&path, &aside, progress)?;
    fs::rename(&aside, target).map_err(at(target))?;
    let parent = target.parent().filter(|parent| !parent.as_os_str().is_empty());
    let parent = parent.unwrap_or(Path::new("."));
    sync_folder(parent).map_err(at(parent))?;
    Ok(rows)
}

fn fill(archive: &Path, folder: &Path, mut progress: impl FnMut(u64)) -> Result<u64, ArchiveError> {
    let _lock = super::lock(folder, Duration::ZERO)?;
    let spaces = Spaces::open(&folder.join(place::ENGINE))?;
    let (mut batch, mut waiting, mut done) = (spaces.db.batch(), 0, 0);
    let rows = read(archive, |space, key, value| {
        waiting += key.len() + value.len();
        batch.insert(spaces.of(space), key, value);
        if waiting < BATCH {
            return Ok(());
        }
        done += waiting as u64;
        waiting = 0;
        progress(done);
        Ok(std::mem::replace(&mut batch, spaces.db.batch()).commit()?)
    })?;
    batch.commit()?;
    spaces.db.persist(PersistMode::SyncAll)?;
    place::mark(folder);
    progress(done + waiting as u64);
    Ok(rows)
}

/// Shows every row of an archive and answers their number; the sum is compared at the end.
fn read(
    path: &Path,
    mut show: impl FnMut(Space, &[u8], &[u8]) -> Result<(), ArchiveError>,
) -> Result<u64, ArchiveError> {
    let file = File::open(path).map_err(at(path))?;
    let mut archive = Reader {
        from: BufReader::with_capacity(BUFFER, file),
        sum: Sha256::new(),
        path,
    };
    let mut magic = [0; MAGIC.len()];
    archive.take(&mut magic)?;
    if magic != MAGIC {
        return Err(ArchiveError::NotOurs(path.to_owned()));
    }
    let (mut rows, mut key, mut value) = (0_u64, Vec::new(), Vec::new());
    loop {
        let [tag] = archive.number::<1>()?;
        if tag == END {
            archive.finish(rows)?;
            return Ok(rows);
        }
        let space = Space::ALL
            .get(usize::from(tag))
            .ok_or_else(|| archive.damaged("a row's keyspace"))?;
        archive.lengths(&mut key, &mut value)?;
        archive.take(&mut key)?;
        archive.take(&mut value)?;
        show(*space, &key, &value)?;
        rows += 1;
    }
}

struct Reader<'a> {
    from: BufReader<File>,
    sum: Sha256,
    path: &'a Path,
}

impl Reader<'_> {
    fn damaged(&self, what: &'static str) -> ArchiveError {
        ArchiveError::Damaged {
            path: self.path.to_owned(),
            what,
        }
    }

    fn take(&mut self, octets: &mut [u8]) -> Result<(), ArchiveError> {
        match self.from.read_exact(octets) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                Err(self.damaged("it ends too early"))
            }
            Err(error) => Err(at(self.path)(error)),
            Ok(()) => {
                self.sum.update(octets);
                Ok(())
            }
        }
    }

    fn number<const N: usize>(&mut self) -> Result<[u8; N], ArchiveError> {
        let mut octets = [0; N];
        self.take(&mut octets)?;
        Ok(octets)
    }

    /// Makes room for a row's key and value.
    fn lengths(&mut self, key: &mut Vec<u8>, value: &mut Vec<u8>) -> Result<(), ArchiveError> {
        for part in [key, value] {
            let len = u32::from_be_bytes(self.number()?);
            if len > LONGEST {
                return Err(self.damaged("a row's length"));
            }
            part.resize(len as usize, 0);
        }
        Ok(())
    }

    fn finish(&mut self, rows: u64) -> Result<(), ArchiveError> {
        if u64::from_be_bytes(self.number()?) != rows {
            return Err(self.damaged("its number of rows"));
        }
        let expected = self.sum.finalize_reset();
        let mut sum = [0; SUM];
        self.take(&mut sum)?;
        if sum[..] != expected[..] {
            return Err(self.damaged("its checksum"));
        }
        match self.from.read(&mut [0]).map_err(at(self.path))? {
            0 => Ok(()),
            _ => Err(self.damaged("something follows its end")),
        }
    }
}
