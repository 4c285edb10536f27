//! What a person asks of running policies, and does to them.

use super::agreement::Agreed;
use super::plugin::Plugin;
use super::{Listed, Policies};
use std::sync::Arc;

impl Policies {
    /// What keeps a policy from deciding, and what does instead; None: nothing.
    pub fn trouble(&self, listed: &Listed) -> Option<String> {
        self.slots.iter().find_map(|slot| slot.trouble(&listed.name))
    }

    /// What the candidates of this policy say beside what is enforced. `name` is a file's without its ending, with or
    /// without the number before it. None: there is no candidate of it.
    pub fn agreement(&self, name: &str) -> Option<Vec<Agreed>> {
        let named = self.slots.iter().filter(|slot| slot.is_called(name));
        let found: Vec<_> = named.filter_map(|slot| slot.agreement()).collect();
        (!found.is_empty()).then(|| found.into_iter().flatten().collect())
    }

    /// Puts a policy of this name back into service, and gives a canary its share again. Answers how many versions were
    /// out of it; None: there is none of that name.
    pub fn reset(&self, name: &str) -> Option<usize> {
        let named: Vec<_> = self.slots.iter().filter(|slot| slot.is_called(name)).collect();
        (!named.is_empty()).then(|| named.iter().map(|slot| slot.reset(name)).sum())
    }
}

/// The gauges of breakers are from now on those of other versions.
pub(super) fn measure(before: &[Arc<Plugin>], after: &[Arc<Plugin>]) {
    let is_in = |plugins: &[Arc<Plugin>], plugin| plugins.iter().any(|known| Arc::ptr_eq(known, plugin));
    let gone = before.iter().filter(|plugin| !is_in(after, plugin));
    gone.for_each(|plugin| plugin.health.end());
    let come = after.iter().filter(|plugin| !is_in(before, plugin));
    come.for_each(|plugin| plugin.health.begin());
}
