//! What every session holds.

use crate::config::Config;
use crate::directory::Directory;
use crate::policy::Policies;
use crate::store::Store;
use std::sync::Arc;

/// The parts of a running gateway.
#[derive(Debug)]
pub struct Gateway {
    pub config: Arc<Config>,
    pub store: Arc<dyn Store>,
    pub directory: Directory,
    pub policies: Arc<Policies>,
}
