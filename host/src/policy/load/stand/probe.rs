//! A component that is called without having been loaded: what it has against its settings keeps nobody from calling it.

use super::{Ask, Bench, INSTANCES, Keep};
use crate::policy::guest::Letter;
use crate::policy::plugin::Plugin;
use crate::policy::{Facts, Fault, MessageSource};
use std::path::Path;
use std::sync::Arc;

/// A component that was compiled and linked. It has the limits of a policy without a file of its own, and no grants.
#[derive(Debug)]
pub struct Probe {
    bench: Bench,
    plugin: Arc<Plugin>,
}

impl Probe {
    pub fn open(file: &Path, keep: &Keep) -> Result<Self, Fault> {
        let mut bench = Bench::new(file, None, INSTANCES, keep)?;
        let component = bench.component()?;
        let manifest = bench.understood("")?;
        let mut listed = bench.listed.clone();
        let plugin = bench.loader.plugin(file, &component, manifest, &mut listed)?;
        Ok(Self {
            bench,
            plugin: Arc::new(plugin),
        })
    }

    /// Calls it once, in the time of a trial. Answers the last that it wrote if the call failed; None: it answered.
    pub fn last_words(&self, ask: &Ask, facts: Facts, message: &Arc<dyn MessageSource>) -> Option<String> {
        let loader = &self.bench.loader;
        let letter = || Arc::new(Letter::new(Arc::clone(message), loader.services.room.clone()));
        let letter = (*ask == Ask::Message).then(letter);
        let call = self.plugin.call(&loader.services, facts, letter, Vec::new());
        let asked = self.plugin.ask_within(loader.limits.trial, ask.clone(), call);
        let heard = loader.guests.handle.block_on(asked);
        heard.err().map(|failed| failed.output)
    }
}
