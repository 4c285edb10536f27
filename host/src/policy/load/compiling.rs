//! What the compiler is at, for those who ask meanwhile.

use super::{Listed, listed};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The component that is being compiled, if one is: a folder's are compiled one after the other.
#[derive(Debug, Clone, Default)]
pub(crate) struct Compiling {
    file: Arc<Mutex<Option<PathBuf>>>,
    /// Where a compilation waits as soon as it is known, if anything is here.
    #[cfg(test)]
    gate: Arc<std::sync::OnceLock<std::sync::mpsc::SyncSender<()>>>,
}

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
        #[cfg(test)]
        self.wait();
        Compilation(self.clone())
    }

    /// The next compilation is known when the first word comes, and goes on when the second is taken.
    #[cfg(test)]
    pub(crate) fn hold(&self) -> std::sync::mpsc::Receiver<()> {
        let (gate, held) = std::sync::mpsc::sync_channel(0);
        self.gate.set(gate).expect("it is held once");
        held
    }

    #[cfg(test)]
    fn wait(&self) {
        if let Some(gate) = self.gate.get() {
            // Nobody takes them where a test is over.
            let _ = gate.send(());
            let _ = gate.send(());
        }
    }

    fn file(&self) -> MutexGuard<'_, Option<PathBuf>> {
        self.file.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Compilation {
    fn drop(&mut self) {
        *self.0.file() = None;
    }
}
