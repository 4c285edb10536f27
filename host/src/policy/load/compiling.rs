//! What the compiler is at, for those who ask meanwhile.

use super::{Listed, listed};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The component that is being compiled, if one is: a folder's are compiled one after the other.
#[derive(Debug, Clone, Default)]
pub(crate) struct Compiling(Arc<Mutex<Option<PathBuf>>>);

/// A compilation, until it is dropped.
#[derive(Debug)]
pub(crate) struct Compilation(Compiling);

impl Compiling {
    /// As it would be listed, as far as its name tells.
    pub(crate) fn now(&self) -> Option<Listed> {
        self.file().as_deref().map(listed)
    }

    pub(crate) fn begin(&self, file: &Path) -> Compilation {
        *self.file() = Some(file.to_owned());
        Compilation(self.clone())
    }

    fn file(&self) -> MutexGuard<'_, Option<PathBuf>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Compilation {
    fn drop(&mut self) {
        *self.0.file() = None;
    }
}
