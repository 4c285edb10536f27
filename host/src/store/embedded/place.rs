//! Where the store lies, and whether all that the engine goes by is there.
//!
//! What the engine does not find it makes anew without a word: the whole store where `version` is missing, a keyspace
//! where its folder or its `current` is, a journal where there is none. It then deletes what belongs to nothing any
//! more. So a store is made in one step, beside its name, and [`MADE`] says that it was. From then on one that lacks
//! such a part is refused before the engine sees it.

use super::rows::Space;
use super::{OpenError, Spaces, journal};
use std::fs::{self, File};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};

/// The engine's folder in the store's.
pub(super) const ENGINE: &str = "db";

/// Where the engine makes its files before they are [`ENGINE`].
const MAKING: &str = "db.making";

/// The file that says that a store was made here.
pub(super) const MADE: &str = "made";

/// Whether a store was made in this folder, whatever became of it.
pub fn was_made(folder: &Path) -> Result<bool, OpenError> {
    let mut above: Vec<&Path> = folder.ancestors().collect();
    above.retain(|path| !path.as_os_str().is_empty());
    for path in above.into_iter().rev() {
        if !is_folder(path)? {
            return Ok(false);
        }
    }
    Ok(is_folder(&folder.join(ENGINE))? || is_there(&folder.join(MADE))?)
}

/// The same, and an error where the one that was made lacks a part.
pub(super) fn is_whole(folder: &Path) -> Result<bool, OpenError> {
    if !was_made(folder)? {
        return Ok(false);
    }
    let engine = folder.join(ENGINE);
    let keyspaces = engine.join("keyspaces");
    let directory = keyspaces.join("0");
    for part in [&engine, &engine.join("version"), &keyspaces, &directory] {
        present(folder, part)?;
    }
    let mut found = 0;
    for entry in fs::read_dir(&keyspaces).map_err(at(&keyspaces))? {
        let keyspace = entry.map_err(at(&keyspaces))?.path();
        if keyspace.is_dir() {
            present(folder, &keyspace.join("current"))?;
            found += 1;
        }
    }
    // The engine's own, which names the others, is one more.
    if found <= Space::ALL.len() {
        return Err(lost(folder, format!("a folder of {}", keyspaces.display())));
    }
    if journal::journals(&engine).map_err(at(&engine))?.is_empty() {
        return Err(lost(folder, format!("the journal in {}", engine.display())));
    }
    Ok(true)
}

/// Makes the engine's files, whole or not at all: what a process that was killed here leaves is not looked at.
pub(super) fn make(folder: &Path) -> Result<(), OpenError> {
    let (aside, engine) = (folder.join(MAKING), folder.join(ENGINE));
    if is_folder(&aside)? {
        fs::remove_dir_all(&aside).map_err(at(&aside))?;
    }
    let made = Spaces::open(&aside).map_err(|error| OpenError::Engine {
        path: folder.to_owned(),
        error,
    });
    drop(made?);
    for made in [&aside.join("keyspaces"), &aside] {
        sync(made).map_err(at(made))?;
    }
    fs::rename(&aside, &engine).map_err(at(&engine))?;
    sync(folder).map_err(at(folder))
}

/// Writes [`MADE`]; without room for it the store serves all the same.
pub(super) fn mark(folder: &Path) {
    let path = folder.join(MADE);
    let written = match File::create_new(&path) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => return,
        file => file.and_then(|mut file| {
            file.write_all(b"A store was made here: without its files it is damaged, not new.\n")?;
            file.sync_all()?;
            sync(folder)
        }),
    };
    if let Err(error) = written {
        tracing::warn!(path = %path.display(), %error, "that a store was made is not written down");
    }
}

/// That the folder has lost a part.
fn lost(folder: &Path, part: String) -> OpenError {
    OpenError::Lost {
        folder: folder.to_owned(),
        part,
    }
}

fn present(folder: &Path, part: &Path) -> Result<(), OpenError> {
    match is_there(part)? {
        true => Ok(()),
        false => Err(lost(folder, part.display().to_string())),
    }
}

fn is_there(path: &Path) -> Result<bool, OpenError> {
    match fs::symlink_metadata(path) {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(at(path)(error)),
    }
}

/// An error where something else than a folder is, or where it cannot be seen.
fn is_folder(path: &Path) -> Result<bool, OpenError> {
    match fs::metadata(path) {
        Ok(found) if found.is_dir() => Ok(true),
        Ok(_) => Err(OpenError::NoFolder(path.to_owned())),
        Err(error) if error.kind() == ErrorKind::NotFound => match is_there(path)? {
            true => Err(OpenError::Dangling(path.to_owned())),
            false => Ok(false),
        },
        Err(error) => Err(at(path)(error)),
    }
}

fn at(path: &Path) -> impl Fn(io::Error) -> OpenError {
    move |error| {
        let path: PathBuf = path.to_owned();
        match error.kind() {
            ErrorKind::PermissionDenied => OpenError::Forbidden { path, error },
            _ => OpenError::Io { path, error },
        }
    }
}

fn sync(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}
