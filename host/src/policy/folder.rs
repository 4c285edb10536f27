//! What lies in a policy folder, and what is refused before anything is made of it.
//!
//! Refused are links that lead out of the folder, files and folders that everybody may write to, compiled code,
//! what is too large, and what is no file. The folder may itself be a link, and links within it lead where they like in it.

use super::limits::Limit;
use super::load::{Fault, passing, refused, unreadable};
use crate::config::units::ByteSize;
use std::collections::BTreeMap;
use std::fs::{Metadata, OpenOptions};
use std::io::{ErrorKind, Read as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

/// The right of everybody to write.
const ALL_WRITE: u32 = 0o002;
/// How often a folder is read that does not rest.
const READINGS: usize = 5;

/// A folder as it is now.
#[derive(Debug)]
pub(super) struct Folder {
    /// As the configuration names it, for what people read.
    named: PathBuf,
    /// Without links.
    real: PathBuf,
    /// Device and inode.
    place: (u64, u64),
}

impl Folder {
    /// None: it is not there.
    pub(super) fn open(named: &Path) -> Result<Option<Self>, Fault> {
        let found = std::fs::canonicalize(named).and_then(|real| Ok((std::fs::metadata(&real)?, real)));
        let (metadata, real) = match found {
            Ok(found) => found,
            Err(error) if error.kind() == ErrorKind::NotFound => {
                return match named.ancestors().find(|at| at.is_symlink() && !at.exists()) {
                    Some(link) => Err(refused(
                        link,
                        "is a link to nothing; link it to a folder, or remove it",
                    )),
                    None => Ok(None),
                };
            }
            Err(error) => return Err(unreadable(named, &error)),
        };
        if is_open_to_all(&metadata) {
            let text = format!(
                "everybody may write to this folder, so nothing in it is loaded; chmod o-w {}",
                real.display()
            );
            return Err(refused(named, text));
        }
        Ok(Some(Self {
            named: named.to_owned(),
            place: (metadata.dev(), metadata.ino()),
            real,
        }))
    }

    /// Reads the folder until neither it nor a policy in it was exchanged meanwhile. None: it is not there.
    pub(super) fn read_whole<T>(
        named: &Path,
        mut read: impl FnMut(&Self, Vec<PathBuf>) -> T,
    ) -> Result<Option<T>, Fault> {
        for _ in 0..READINGS {
            let Some(folder) = Self::open(named)? else {
                return Ok(None);
            };
            let content = folder.steadily(|files| read(&folder, files))?;
            if folder.is_still_there() {
                return Ok(Some(content));
            }
        }
        Err(passing(named, "is exchanged again and again; see what does that"))
    }

    /// Whether its name leads to it.
    fn is_still_there(&self) -> bool {
        std::fs::metadata(&self.named).is_ok_and(|found| (found.dev(), found.ino()) == self.place)
    }

    /// The policies in it, refused ones included, in the order of their names. Those whose name begins with a dot
    /// are on their way in.
    fn files(&self) -> Result<Vec<PathBuf>, Fault> {
        let wrong = |error| unreadable(&self.named, &error);
        let mut files = Vec::new();
        for entry in std::fs::read_dir(&self.real).map_err(wrong)? {
            let path = self.named.join(entry.map_err(wrong)?.file_name());
            if is_policy(&path) && !is_hidden(&path) {
                files.push(path);
            }
        }
        files.sort();
        Ok(files)
    }

    /// How everything in it is found now that matters to the set. What has changed in between is found otherwise.
    fn marks(&self) -> Result<Marks, Fault> {
        let mut marks = Marks::new();
        for file in self.files()? {
            let beside = file.with_extension("yaml");
            for path in [file, beside] {
                let at = self.at(&path);
                let mark = std::fs::canonicalize(at).and_then(Mark::of);
                marks.insert(path, mark.ok());
            }
        }
        Ok(marks)
    }

    /// Reads its policies until none of them was changed or exchanged meanwhile. What never rests is taken as it was
    /// read last: whatever stirs it brings another look.
    pub(super) fn steadily<T>(&self, mut read: impl FnMut(Vec<PathBuf>) -> T) -> Result<T, Fault> {
        let mut before = self.marks()?;
        for _ in 1..READINGS {
            let content = read(policies(&before));
            let after = self.marks()?;
            if after == before {
                return Ok(content);
            }
            before = after;
        }
        Ok(read(policies(&before)))
    }

    /// The content of a file of this folder, which `size` bounds. None: it is not there.
    pub(super) fn read(&self, path: &Path, size: Size) -> Result<Option<Vec<u8>>, Fault> {
        let at = self.at(path);
        let cannot = |error: std::io::Error| unreadable(path, &error);
        let real = match std::fs::canonicalize(&at) {
            Ok(real) => real,
            Err(error) if error.kind() == ErrorKind::NotFound => {
                return match std::fs::symlink_metadata(&at) {
                    Ok(_) => Err(refused(
                        path,
                        "is a link to nothing; link it to a file, or remove it",
                    )),
                    Err(_) => Ok(None),
                };
            }
            Err(error) => return Err(cannot(error)),
        };
        self.check_place(path, &real)?;
        read_file(path, &real, size, check_file).map(Some)
    }

    /// Where a file lies that people know by the folder's name.
    fn at(&self, path: &Path) -> PathBuf {
        self.real.join(path.file_name().unwrap_or_default())
    }

    /// Whether a file that is found at `real` is this folder's own, and nobody else can put another in its place.
    fn check_place(&self, path: &Path, real: &Path) -> Result<(), Fault> {
        if !real.starts_with(&self.real) {
            let text = format!(
                "is a link to {}, which is not in this folder; put the file itself here",
                real.display()
            );
            return Err(refused(path, text));
        }
        let within = real.ancestors().skip(1).take_while(|folder| *folder != self.real);
        for folder in within {
            let metadata = std::fs::metadata(folder).map_err(|error| unreadable(path, &error))?;
            if is_open_to_all(&metadata) {
                let text = format!("lies where everybody may write; chmod o-w {}", folder.display());
                return Err(refused(path, text));
            }
        }
        Ok(())
    }
}

/// The content of what `path` names and lies at `real`, if it passes `check` and is not too large.
pub(super) fn read_file(
    path: &Path,
    real: &Path,
    size: Size,
    check: impl Fn(&Path, &Metadata) -> Result<(), Fault>,
) -> Result<Vec<u8>, Fault> {
    let cannot = |error: std::io::Error| unreadable(path, &error);
    // What is no file (a pipe, say) must not hold anybody up.
    let options = OpenOptions::new()
        .read(true)
        .custom_flags(rustix::fs::OFlags::NONBLOCK.bits().cast_signed())
        .open(real);
    let file = options.map_err(cannot)?;
    let metadata = file.metadata().map_err(cannot)?;
    check(path, &metadata)?;
    size.check(path, metadata.len())?;
    let mut content = Vec::new();
    let beyond = size.most.saturating_add(1);
    let read = file.take(beyond).read_to_end(&mut content).map_err(cannot)?;
    // It may have grown meanwhile.
    size.check(path, read as u64)?;
    Ok(content)
}

/// In their order.
fn policies(marks: &Marks) -> Vec<PathBuf> {
    marks.keys().filter(|path| is_policy(path)).cloned().collect()
}

/// How large a file may be.
#[derive(Debug, Clone, Copy)]
pub(super) struct Size {
    pub(super) most: u64,
    pub(super) limit: Limit,
    /// Behind the fault.
    pub(super) mend: &'static str,
}

impl Size {
    fn check(self, path: &Path, octets: u64) -> Result<(), Fault> {
        if octets <= self.most {
            return Ok(());
        }
        self.limit.hit();
        let text = format!("has more than {}; {}", ByteSize(self.most), self.mend);
        Err(refused(path, text))
    }
}

/// By their paths in the folder; None: nothing is there.
type Marks = BTreeMap<PathBuf, Option<Mark>>;

/// By this it is seen that a file was changed or exchanged.
#[derive(Debug, PartialEq, Eq)]
struct Mark {
    /// Without links.
    real: PathBuf,
    device: u64,
    inode: u64,
    size: u64,
    /// Seconds and nanoseconds.
    changed: (i64, i64),
}

impl Mark {
    fn of(real: PathBuf) -> std::io::Result<Self> {
        let metadata = std::fs::metadata(&real)?;
        Ok(Self {
            real,
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.size(),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        })
    }
}

pub(super) fn check_kind(path: &Path, metadata: &Metadata) -> Result<(), Fault> {
    match metadata.is_file() {
        true => Ok(()),
        false => Err(refused(path, "is no file; put a file here")),
    }
}

pub(super) fn check_file(path: &Path, metadata: &Metadata) -> Result<(), Fault> {
    check_kind(path, metadata)?;
    if is_open_to_all(metadata) {
        return Err(refused(path, "everybody may write to it; chmod o-w it"));
    }
    Ok(())
}

fn is_open_to_all(metadata: &Metadata) -> bool {
    metadata.mode() & ALL_WRITE != 0
}

/// Whether a file is a policy by its name, be it one that is refused.
fn is_policy(path: &Path) -> bool {
    path.extension()
        .is_some_and(|extension| extension == "wasm" || extension == "cwasm")
}

/// Whether what becomes of a file of this name matters to the set.
pub(super) fn matters(path: &Path) -> bool {
    let manifest = path.extension().is_some_and(|extension| extension == "yaml");
    (manifest || is_policy(path)) && !is_hidden(path)
}

fn is_hidden(path: &Path) -> bool {
    path.file_name()
        .is_some_and(|name| name.to_string_lossy().starts_with('.'))
}

#[cfg(test)]
mod tests;
