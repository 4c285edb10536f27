//! What the compiler made of the components of a folder, for as long as they lie there.
//!
//! It is here whether or not it could be kept on disk: a look takes what was compiled before it, and waits for no compiler.

use super::Fault;
use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use wasmtime::component::Component;

/// By digests of components.
#[derive(Default)]
pub(super) struct Compiled(Mutex<HashMap<String, Result<Component, Fault>>>);

impl Compiled {
    pub(super) fn find(&self, digest: &str) -> Option<Result<Component, Fault>> {
        self.all().get(digest).cloned()
    }

    pub(super) fn put(&self, digest: &str, made: Result<Component, Fault>) {
        self.all().insert(digest.to_owned(), made);
    }

    /// Forgets what is not wanted, and of faults all that nothing waits for: who tries again asks the compiler again.
    pub(super) fn keep(&self, wanted: &HashSet<&str>, waiting: &HashSet<&str>) {
        self.all().retain(|digest, made| match made {
            Ok(_) => wanted.contains(&**digest),
            Err(_) => waiting.contains(&**digest),
        });
    }

    fn all(&self) -> MutexGuard<'_, HashMap<String, Result<Component, Fault>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
