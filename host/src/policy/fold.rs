//! Many policies, one answer: how verdicts, ceilings and failures of a stage come together.
//!
//! Filters: the first reject, defer or discard ends it and makes earlier edits void; quarantine and edits
//! accumulate, and the next policy sees them. Quota: the lowest ceiling holds, the first denial ends it.

use super::manifest::OnFailure;
use super::{Decision, Edit, Facts, Opinion, QuotaDecision, Verdict};
use crate::store::Ceiling;
use postern_proto::smtp::Reply;

/// Whether another policy is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    Ask,
    Stop,
}

/// The filters of one stage, so far.
#[derive(Debug)]
pub(super) struct Filters {
    verdict: Verdict,
    /// Of the stages before, which the next policy sees too.
    earlier: usize,
    edits: Vec<Edit>,
    pub(super) opinions: Vec<Opinion>,
}

impl Filters {
    pub(super) fn after(earlier: &[Edit]) -> Self {
        Self {
            verdict: Verdict::Accept,
            earlier: earlier.len(),
            edits: earlier.to_vec(),
            opinions: Vec::new(),
        }
    }

    /// What the next policy must see: edits of the stages before and of this one.
    pub(super) fn edits(&self) -> &[Edit] {
        &self.edits
    }

    /// The edits of this stage alone.
    pub(super) fn own(&self) -> &[Edit] {
        self.edits.get(self.earlier..).unwrap_or_default()
    }

    pub(super) fn take(&mut self, verdict: Verdict, edits: Vec<Edit>) -> Next {
        match verdict {
            Verdict::Accept => {}
            Verdict::Quarantine(reason) => self.quarantine(reason),
            Verdict::Reject(_) | Verdict::Defer(_) | Verdict::Discard => {
                self.verdict = verdict;
                return Next::Stop;
            }
        }
        self.edits.extend(edits);
        Next::Ask
    }

    fn quarantine(&mut self, reason: String) {
        match &mut self.verdict {
            Verdict::Quarantine(reasons) => {
                reasons.push_str("; ");
                reasons.push_str(&reason);
            }
            verdict => *verdict = Verdict::Quarantine(reason),
        }
    }

    /// A call failed, and this is what its policy wants then.
    pub(super) fn fail(&mut self, wanted: OnFailure) -> Next {
        match wanted {
            OnFailure::Defer => self.take(Verdict::Defer(Reply::policy_deferred()), Vec::new()),
            OnFailure::Reject => self.take(Verdict::Reject(Reply::policy_refused()), Vec::new()),
            OnFailure::Accept => Next::Stop,
            OnFailure::Skip => Next::Ask,
        }
    }

    pub(super) fn decision(mut self) -> Decision {
        let edits = match self.verdict {
            Verdict::Accept | Verdict::Quarantine(_) => self.edits.split_off(self.earlier),
            Verdict::Reject(_) | Verdict::Defer(_) | Verdict::Discard => Vec::new(),
        };
        Decision {
            verdict: self.verdict,
            edits,
            opinions: self.opinions,
        }
    }
}

/// What one policy sees of the envelope: `edits` on recipients made, and `own`, the tags of this stage, added
/// to those that the session knows.
pub(super) fn seen(facts: &Facts, edits: &[Edit], own: &[Edit]) -> Facts {
    let mut facts = facts.clone();
    for edit in edits {
        match edit {
            Edit::AddRecipient(address) => {
                if !facts.rcpt_to.iter().any(|known| same(known, address)) {
                    facts.rcpt_to.push(address.clone());
                }
            }
            Edit::RemoveRecipient(address) => facts.rcpt_to.retain(|known| !same(known, address)),
            Edit::Redirect(address) => facts.rcpt_to = vec![address.clone()],
            Edit::AddHeader { .. }
            | Edit::InsertHeader { .. }
            | Edit::RemoveHeader { .. }
            | Edit::RecipientVerdict { .. }
            | Edit::Tag(_) => {}
        }
    }
    facts.tags.extend(own.iter().filter_map(|edit| match edit {
        Edit::Tag(name) => Some(name.clone()),
        _ => None,
    }));
    facts
}

/// Addresses are looked up without regard to case.
fn same(one: &str, other: &str) -> bool {
    one.to_lowercase() == other.to_lowercase()
}

/// The quota policies, so far.
#[derive(Debug, Default)]
pub(super) struct Quotas {
    ceiling: Ceiling,
    /// The first warning: its policy comes first in the administrator's order.
    warning: Option<String>,
    denial: Option<Reply>,
}

impl Quotas {
    pub(super) fn take(&mut self, decision: QuotaDecision) -> Next {
        let ceiling = match decision {
            QuotaDecision::Allow(ceiling) => ceiling,
            QuotaDecision::Warn { text, ceiling } => {
                self.warning.get_or_insert(text);
                ceiling
            }
            QuotaDecision::Deny(reply) => {
                self.denial = Some(reply);
                return Next::Stop;
            }
        };
        self.ceiling = self.ceiling.lowest(ceiling);
        Next::Ask
    }

    pub(super) fn decision(self) -> QuotaDecision {
        match (self.denial, self.warning) {
            (Some(reply), _) => QuotaDecision::Deny(reply),
            (None, Some(text)) => QuotaDecision::Warn {
                text,
                ceiling: self.ceiling,
            },
            (None, None) => QuotaDecision::Allow(self.ceiling),
        }
    }
}

/// The refusal that a failed call of a router or a quota policy comes to; None: the next one is asked.
pub(super) fn refusal(wanted: OnFailure) -> Option<Reply> {
    match wanted {
        OnFailure::Reject => Some(Reply::policy_refused()),
        OnFailure::Skip => None,
        // The manifest lets nobody say `accept` here.
        OnFailure::Defer | OnFailure::Accept => Some(Reply::policy_deferred()),
    }
}

#[cfg(test)]
mod tests;
