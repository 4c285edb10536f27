//! The contract, and what only the embedded store promises.

use super::*;
use crate::store::contract::{QUARANTINE_MAX, contract};

fn options() -> Options {
    Options {
        reserve: 0,
        quarantine_max: QUARANTINE_MAX,
        ..Options::default()
    }
}

fn opened() -> (tempfile::TempDir, Arc<EmbeddedStore>) {
    let folder = tempfile::tempdir().unwrap();
    let store = EmbeddedStore::open(folder.path(), options()).unwrap();
    (folder, store)
}

contract! { opened() }
