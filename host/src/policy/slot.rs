//! One place in the order of policies: the version that is enforced, the one before it, and a candidate beside them.
//!
//! Which of them has its say is chosen once for a transaction, when it is first asked about: a canary for its share,
//! the earlier version where the enforced one is out of service.

use super::agreement::{Agreed, Agreement, NOTHING};
use super::guest::{Call, Letter};
use super::load::{own_name, short};
use super::manifest::Mode;
use super::overlay::Overlay;
use super::plugin::{Plugin, Services};
use super::questions::{Ask, Question};
use super::shadow::{self, Run, Word};
use super::{Edit, Facts};
use std::sync::{Arc, Mutex, PoisonError};

/// See the module.
#[derive(Debug)]
pub(super) struct Slot {
    /// The enforced version's; a candidate's own where there is none.
    name: Arc<str>,
    enforced: Option<Arc<Plugin>>,
    /// It decides while the enforced one is out of service.
    earlier: Option<Arc<Plugin>>,
    candidate: Option<Arc<Plugin>>,
    agreement: Agreement,
}

/// What was chosen in one transaction, of policies that have several versions. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct Versions(Arc<Mutex<Vec<Kept>>>);

/// Of a canary whether it decides; of another policy whether its earlier version does.
type Kept = (Arc<str>, bool);

/// It is no fact, and the facts of two transactions may be the same.
impl PartialEq for Versions {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Versions {}

impl Versions {
    /// As it was chosen before, or is now. None: there is no choice yet.
    fn is_chosen(&self, policy: &Arc<str>, choose: impl FnOnce() -> Option<bool>) -> bool {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, chosen)) = known.iter().find(|(name, _)| name == policy) {
            return *chosen;
        }
        let chosen = choose();
        known.extend(chosen.map(|chosen| (Arc::clone(policy), chosen)));
        chosen.unwrap_or_default()
    }
}

impl Slot {
    /// A policy that is enforced, whatever its file says.
    pub(super) fn of(plugin: &Arc<Plugin>) -> Arc<Self> {
        Arc::new(Self::with(Arc::clone(plugin), None, None))
    }

    fn with(enforced: Arc<Plugin>, earlier: Option<Arc<Plugin>>, candidate: Option<Arc<Plugin>>) -> Self {
        Self {
            name: Arc::clone(&enforced.name),
            enforced: Some(enforced),
            earlier,
            candidate,
            agreement: Agreement::default(),
        }
    }

    fn alone(candidate: Arc<Plugin>) -> Self {
        Self {
            name: Arc::clone(&candidate.name),
            enforced: None,
            earlier: None,
            candidate: Some(candidate),
            agreement: Agreement::default(),
        }
    }

    /// The slots of one name: a policy, with the version before it, and what lies beside it. Those of the set before
    /// that have the same versions are kept, with what they have counted.
    pub(super) fn make(
        own: Option<(Arc<Plugin>, Option<Arc<Plugin>>)>,
        beside: Option<Arc<Plugin>>,
        before: &[Arc<Self>],
    ) -> Vec<Arc<Self>> {
        let made = match (own, beside) {
            (Some((own, earlier)), beside) if own.mode() == Mode::Enforce => {
                vec![Self::with(own, earlier, beside)]
            }
            (own, beside) => {
                let own = own.map(|(own, _)| own);
                own.into_iter().chain(beside).map(Self::alone).collect()
            }
        };
        let kept = |slot: Self| match before.iter().find(|known| known.has_versions_of(&slot)) {
            Some(known) => Arc::clone(known),
            None => Arc::new(slot),
        };
        made.into_iter().map(kept).collect()
    }

    fn has_versions_of(&self, other: &Self) -> bool {
        let pairs = [
            (&self.enforced, &other.enforced),
            (&self.earlier, &other.earlier),
            (&self.candidate, &other.candidate),
        ];
        pairs.into_iter().all(|pair| match pair {
            (Some(one), Some(other)) => Arc::ptr_eq(one, other),
            (None, None) => true,
            (Some(_), None) | (None, Some(_)) => false,
        })
    }

    /// Whether any version of it is asked.
    pub(super) fn answers(&self, question: Question) -> bool {
        self.versions().any(|plugin| plugin.answers(question))
    }

    /// Whether a version that decides is asked.
    pub(super) fn decides(&self, question: Question) -> bool {
        let mut deciding = self
            .versions()
            .filter(|plugin| plugin.mode() != Mode::Shadow || self.is_enforced(plugin));
        deciding.any(|plugin| plugin.answers(question))
    }

    fn is_enforced(&self, plugin: &Arc<Plugin>) -> bool {
        let enforced = self.enforced.as_ref();
        enforced.is_some_and(|enforced| Arc::ptr_eq(enforced, plugin))
    }

    fn versions(&self) -> impl Iterator<Item = &Arc<Plugin>> {
        [&self.enforced, &self.earlier, &self.candidate]
            .into_iter()
            .flatten()
    }

    /// The version that decides, and its call; who is asked beside it has begun. None: nobody decides here.
    pub(super) fn call(
        self: &Arc<Self>,
        services: &Services,
        ask: &Ask,
        facts: Facts,
        message: Option<Arc<Letter>>,
        edits: Vec<Edit>,
    ) -> Option<(Arc<Plugin>, Call)> {
        let decides = self.choose(ask, &facts);
        let beside = self.beside(ask, &facts, decides.as_ref().map(|(plugin, _)| plugin));
        let told = beside.and_then(|(plugin, run)| {
            let call = plugin.call(services, facts.clone(), message.clone(), edits.clone());
            shadow::ask(self, plugin, ask, apart(call, run))
        });
        let Some((plugin, run)) = decides else {
            if let Some(told) = told {
                told.nobody_decides();
            }
            return None;
        };
        let mut call = plugin.call(services, facts, message, edits);
        (call.run, call.told) = (run, told);
        Some((plugin, call))
    }

    /// Who decides, if anybody does.
    fn choose(&self, ask: &Ask, facts: &Facts) -> Option<(Arc<Plugin>, Run)> {
        let canary = self.canary().filter(|canary| {
            // Where it does not apply it is as if it were not installed.
            self.has_share(canary, ask, facts) && canary.applies(ask, facts)
        });
        let (plugin, run) = match canary {
            Some(canary) => (canary, None),
            None => self.standing(ask, facts)?,
        };
        if !(plugin.answers(ask.question()) && plugin.applies(ask, facts)) {
            return None;
        }
        let run = run.unwrap_or_else(|| admitted(plugin));
        Some((Arc::clone(plugin), run))
    }

    fn canary(&self) -> Option<&Arc<Plugin>> {
        let candidate = self.candidate.as_ref();
        candidate.filter(|candidate| matches!(candidate.mode(), Mode::Canary(_)))
    }

    /// Whether this transaction is the canary's, wherever that applies: nothing but the share says so.
    fn has_share(&self, canary: &Arc<Plugin>, ask: &Ask, facts: &Facts) -> bool {
        let is_chosen = || {
            let key = match ask {
                Ask::Connect => &facts.client_ip,
                _ => &facts.queue_id,
            };
            Some(canary.health.has_share(key))
        };
        facts.versions.is_chosen(&canary.name, is_chosen)
    }

    /// The enforced version or the one before it, and whether it may be called where that was found out.
    fn standing(&self, ask: &Ask, facts: &Facts) -> Option<(&Arc<Plugin>, Option<Run>)> {
        let enforced = self.enforced.as_ref()?;
        let Some(earlier) = &self.earlier else {
            return Some((enforced, None));
        };
        let mut run = None;
        let is_out = || {
            // It is asked for nothing that it does not answer, and none of that is its trial.
            let is_asked = enforced.answers(ask.question()) && enforced.applies(ask, facts);
            run = is_asked.then(|| admitted(enforced));
            run.map(|run| run == Run::OutOfService)
        };
        match facts.versions.is_chosen(&self.name, is_out) && earlier.applies(ask, facts) {
            true => Some((earlier, None)),
            false => Some((enforced, run)),
        }
    }

    /// Who is asked beside the one that decides.
    fn beside(&self, ask: &Ask, facts: &Facts, decides: Option<&Arc<Plugin>>) -> Option<(&Arc<Plugin>, Run)> {
        let candidate = self.candidate.as_ref()?;
        let (plugin, run) = match (candidate.mode(), &self.enforced) {
            (Mode::Shadow, _) => (candidate, Run::Shadow),
            (Mode::Canary(_), Some(enforced))
                if decides.is_some_and(|plugin| Arc::ptr_eq(plugin, candidate)) =>
            {
                (enforced, Run::Counterpart)
            }
            _ => return None,
        };
        let is_asked = plugin.answers(ask.question()) && plugin.applies(ask, facts);
        let admits = || run == Run::Counterpart || plugin.health.admits();
        (is_asked && admits()).then_some((plugin, run))
    }

    /// Notes what was said beside a decision, and what was decided. None: nobody decided.
    pub(super) fn compare(&self, question: Question, run: Run, said: Word, decided: Option<Word>) {
        let (enforced, candidate) = match run {
            Run::Counterpart => (Some(said), decided),
            _ => (decided, Some(said)),
        };
        let Some(candidate) = candidate else { return };
        let differs = enforced != Some(candidate);
        let word = enforced.map_or(NOTHING, |enforced| enforced.word);
        let cell = (question.word(), word, candidate.word, differs);
        self.agreement.note(&self.name, cell);
        let Some(enforced) = enforced else { return };
        if differs {
            tracing::info!(plugin = %self.name, question = question.word(), enforced = enforced.word,
                candidate = candidate.word, "a candidate says otherwise");
        }
        if let Some(canary) = self.canary().filter(|_| !enforced.failed && !candidate.failed) {
            canary.health.compared(differs);
        }
    }

    pub(super) fn is_called(&self, name: &str) -> bool {
        self.versions().any(|plugin| is_called(plugin, name))
    }

    /// The matrix. None: it has no candidate.
    pub(super) fn agreement(&self) -> Option<Vec<Agreed>> {
        self.candidate.as_ref()?;
        Some(self.agreement.cells(&self.name))
    }

    /// What keeps the version of this name from deciding, and what does instead.
    pub(super) fn trouble(&self, name: &str) -> Option<String> {
        let plugin = self.versions().find(|plugin| *plugin.name == *name)?;
        let trouble = plugin.health.trouble()?;
        Some(match &self.earlier {
            Some(earlier) if self.is_enforced(plugin) => {
                format!("{trouble}; earlier version {} decides", short(&earlier.digest))
            }
            _ => trouble,
        })
    }

    /// Puts those of this name back into service; how many were out of it.
    pub(super) fn reset(&self, name: &str) -> usize {
        let named = self.versions().filter(|plugin| is_called(plugin, name));
        named.filter(|plugin| plugin.health.reset()).count()
    }
}

fn is_called(plugin: &Plugin, name: &str) -> bool {
    *plugin.name == *name || own_name(&plugin.name) == name
}

fn admitted(plugin: &Plugin) -> Run {
    match plugin.health.admits() {
        true => Run::Decides,
        false => Run::OutOfService,
    }
}

/// What one sees of the store that is asked beside a decision: a candidate a share of its own, the enforced version the
/// share as it is, with what it writes forgotten.
fn apart(mut call: Call, run: Run) -> Call {
    call.run = run;
    match (&mut call.kv, run) {
        (Some(grant), Run::Shadow) => grant.namespace = format!("shadow:{}", grant.namespace),
        (Some(_), _) => call.overlay = Some(Arc::new(Overlay::over(&call.store))),
        (None, _) => {}
    }
    call
}

#[cfg(test)]
mod tests;
