//! What lies in a policy folder, and what is refused before anything is made of it.
//!
//! Refused are links that lead out of the folder, files and folders that everybody may write to, compiled code,
//! and what is no file. The folder may itself be a link, and links within it lead where they like in it.

use super::load::{Fault, refused};
use std::fs::{File, Metadata, OpenOptions};
use std::io::{ErrorKind, Read as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

/// The right of everybody to write.
const ALL_WRITE: u32 = 0o002;

/// A folder as it is now.
#[derive(Debug)]
pub(super) struct Folder {
    /// As the configuration names it, for what people read.
    named: PathBuf,
    /// Without links.
    real: PathBuf,
}

impl Folder {
    /// None: it is not there.
    pub(super) fn open(named: &Path) -> Result<Option<Self>, Fault> {
        let found = std::fs::canonicalize(named).and_then(|real| Ok((std::fs::metadata(&real)?, real)));
        let (metadata, real) = match found {
            Ok(found) => found,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
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
            real,
        }))
    }

    /// The policies in it, refused ones included, in the order of their names. Those whose name begins with a dot
    /// are on their way in.
    pub(super) fn files(&self) -> Result<Vec<PathBuf>, Fault> {
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

    /// The content of a file of this folder. None: it is not there.
    pub(super) fn read(&self, path: &Path) -> Result<Option<Vec<u8>>, Fault> {
        let cannot =
            |error: std::io::Error| refused(path, format!("cannot be read: {error}; make it readable"));
        let real = match std::fs::canonicalize(path) {
            Ok(real) => real,
            Err(error) if error.kind() == ErrorKind::NotFound => {
                return match std::fs::symlink_metadata(path) {
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
        // What is no file (a pipe, say) must not hold anybody up.
        let options = OpenOptions::new()
            .read(true)
            .custom_flags(rustix::fs::OFlags::NONBLOCK.bits().cast_signed())
            .open(&real);
        let mut file = options.map_err(cannot)?;
        check_file(path, &file)?;
        let mut content = Vec::new();
        file.read_to_end(&mut content).map_err(cannot)?;
        Ok(Some(content))
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
            let metadata = std::fs::metadata(folder)
                .map_err(|error| refused(path, format!("cannot be read: {error}; make it readable")))?;
            if is_open_to_all(&metadata) {
                let text = format!("lies where everybody may write; chmod o-w {}", folder.display());
                return Err(refused(path, text));
            }
        }
        Ok(())
    }
}

fn check_file(path: &Path, file: &File) -> Result<(), Fault> {
    let metadata = file
        .metadata()
        .map_err(|error| refused(path, format!("cannot be read: {error}; make it readable")))?;
    if !metadata.is_file() {
        return Err(refused(path, "is no file; put a file here"));
    }
    if is_open_to_all(&metadata) {
        return Err(refused(path, "everybody may write to it; chmod o-w it"));
    }
    Ok(())
}

fn is_open_to_all(metadata: &Metadata) -> bool {
    metadata.mode() & ALL_WRITE != 0
}

fn unreadable(folder: &Path, error: &std::io::Error) -> Fault {
    refused(
        folder,
        format!("the policy folder cannot be read: {error}; make it readable"),
    )
}

/// Whether a file is a policy by its name, be it one that is refused.
pub(super) fn is_policy(path: &Path) -> bool {
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
