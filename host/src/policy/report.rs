//! One call with all that is said about it: the opinion for the message's log line, metrics, and a warning
//! with the guest's last words where there was no answer.

use super::guest::Call;
use super::limits::Limit;
use super::manifest::OnFailure;
use super::plugin::{Failed, Failure, Heard, Plugin};
use super::questions::{Ask, Question, Said};
use super::shadow::Word;
use super::told::Tell;
use super::words::Ear;
use super::{Edit, Opinion, QuotaDecision, Route, Verdict};
use crate::explain::{Step, cut};
use postern_proto::smtp::Flaw;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Digits of a digest in a step, and octets of what was said.
const DIGITS: usize = 12;
const SAID: usize = 320;
/// Lines of what a call that failed wrote last.
const WRITTEN: usize = 2;

/// Asks a filter. Err: it failed, and that has been said.
pub(super) async fn verdict(
    plugin: &Arc<Plugin>,
    ask: Ask,
    call: Call,
    opinions: &mut Vec<Opinion>,
) -> Result<(Verdict, Vec<Edit>), ()> {
    let reading = |heard: Heard, ear: &mut Ear| match heard.said {
        Said::Verdict(said) => Ok((ear.verdict(said), heard.edits)),
        Said::Route(_) | Said::Quota(_) | Said::Validated(_) => Err(Failure::Lost),
    };
    asked(plugin, ask, call, opinions, reading).await
}

/// Asks a router.
pub(super) async fn route(
    plugin: &Arc<Plugin>,
    ask: Ask,
    call: Call,
    opinions: &mut Vec<Opinion>,
) -> Result<Route, ()> {
    let reading = |heard: Heard, ear: &mut Ear| match heard.said {
        Said::Route(said) => Ok(ear.route(said, plugin.limits().addresses)?),
        Said::Verdict(_) | Said::Quota(_) | Said::Validated(_) => Err(Failure::Lost),
    };
    asked(plugin, ask, call, opinions, reading).await
}

/// Asks a quota policy.
pub(super) async fn quota(
    plugin: &Arc<Plugin>,
    ask: Ask,
    call: Call,
    opinions: &mut Vec<Opinion>,
) -> Result<QuotaDecision, ()> {
    let reading = |heard: Heard, ear: &mut Ear| match heard.said {
        Said::Quota(said) => Ok(ear.quota(said)),
        Said::Verdict(_) | Said::Route(_) | Said::Validated(_) => Err(Failure::Lost),
    };
    asked(plugin, ask, call, opinions, reading).await
}

async fn asked<T: Tell>(
    plugin: &Arc<Plugin>,
    ask: Ask,
    call: Call,
    opinions: &mut Vec<Opinion>,
    reading: impl FnOnce(Heard, &mut Ear) -> Result<T, Failure>,
) -> Result<T, ()> {
    let (question, begun, mut ear) = (ask.question(), Instant::now(), Ear::default());
    let (observer, told) = (call.observer.clone(), call.told.clone());
    let mut step = call.explains.then(|| begun_step(plugin, &ask));
    let mut heard = plugin.ask(ask, call).await;
    if let Some(step) = &mut step {
        let trail = match &mut heard {
            Ok(heard) => &mut heard.trail,
            Err(failed) => &mut failed.trail,
        };
        (step.facts, step.cut) = std::mem::take(trail).into_facts();
    }
    let read = heard.and_then(|heard| reading(heard, &mut ear).map_err(Failed::from));
    mended(plugin, question, &ear.flaws);
    if let Some(observer) = &observer {
        observer.mended(&ear.flaws);
        read.as_ref()
            .err()
            .into_iter()
            .for_each(|failed| observer.failed(failed));
    }
    let word = match &read {
        Ok(read) => read.word(),
        Err(failed) => {
            lament(plugin, question, failed);
            failed.failure.word()
        }
    };
    if let Some(told) = told {
        told.decided(match &read {
            Ok(read) => Word::said(read),
            Err(failed) => Word::failed(&failed.failure),
        });
    }
    let took = begun.elapsed();
    count(plugin, question, word, took);
    let step = step.map(|step| ended_step(step, plugin.on_failure(question), took, &read));
    opinions.push(Opinion {
        policy: plugin.name.to_string(),
        word,
        took,
        step: step.map(Box::new),
    });
    read.map_err(|_| ())
}

fn begun_step(plugin: &Plugin, ask: &Ask) -> Step {
    let first = |digest: &str| digest.get(..DIGITS).unwrap_or_default().to_owned();
    Step {
        policy: plugin.name.to_string(),
        component: first(&plugin.digest),
        manifest: first(&plugin.yaml),
        question: ask.question().word().to_owned(),
        about: match ask {
            Ask::Rcpt(address) | Ask::Route(address) | Ask::Quota { mailbox: address, .. } => address.clone(),
            Ask::Connect | Ask::Mail | Ask::Message | Ask::Validate => String::new(),
        },
        ..Step::default()
    }
}

fn ended_step<T: Tell>(step: Step, on_failure: OnFailure, took: Duration, read: &Result<T, Failed>) -> Step {
    let (said, failed, edits) = match read {
        Ok(read) => (read.said(), None, read.edits()),
        Err(failed) => {
            let why = format!("{}: {}", failed.failure.word(), failed.failure);
            let why = cut(&why, SAID) + &last_words(&failed.output);
            (on_failure.word().to_owned(), Some(why), Vec::new())
        }
    };
    Step {
        said: cut(&said, SAID),
        failed,
        micros: u64::try_from(took.as_micros()).unwrap_or(u64::MAX),
        ..step.with_edits(edits)
    }
}

/// `; it wrote: ValueError: no rules`, or nothing: all of it is in the log.
fn last_words(output: &str) -> String {
    let mut lines: Vec<&str> = output
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .collect();
    let last = lines.split_off(lines.len().saturating_sub(WRITTEN));
    match last.as_slice() {
        [] => String::new(),
        last => format!("; it wrote: {}", cut(&last.join(" "), SAID)),
    }
}

fn lament(plugin: &Plugin, question: Question, failed: &Failed) {
    // That it is out of service was said when it was taken out.
    if matches!(failed.failure, Failure::OutOfService) {
        return;
    }
    tracing::warn!(
        plugin = %plugin.name,
        question = question.word(),
        error = %failed.failure,
        output = failed.output,
        "a policy's call failed"
    );
    let labels = [
        ("plugin", plugin.name.to_string()),
        ("question", question.word().to_owned()),
    ];
    match failed.failure {
        Failure::TimeOut => Limit::Deadline.hit(),
        Failure::Busy => Limit::Instances.hit(),
        Failure::Trap(_) | Failure::Start(_) | Failure::Unfit(_) | Failure::Lost | Failure::OutOfService => {}
    }
    match failed.failure {
        Failure::TimeOut | Failure::Busy => {
            metrics::counter!("postern_plugin_timeouts_total", &labels).increment(1);
        }
        Failure::Trap(_) => metrics::counter!("postern_plugin_traps_total", &labels).increment(1),
        Failure::Start(_) | Failure::Unfit(_) | Failure::Lost | Failure::OutOfService => {}
    }
}

fn mended(plugin: &Plugin, question: Question, flaws: &[Flaw]) {
    if !flaws.is_empty() {
        let question = question.word();
        tracing::warn!(plugin = %plugin.name, question, ?flaws, "a policy's reply was not fit to send; mended");
    }
}

fn count(plugin: &Plugin, question: Question, outcome: &'static str, took: Duration) {
    let (plugin, question) = (plugin.name.to_string(), question.word());
    metrics::histogram!("postern_plugin_seconds", "plugin" => plugin.clone(), "question" => question)
        .record(took.as_secs_f64());
    metrics::counter!(
        "postern_plugin_calls_total",
        "plugin" => plugin, "question" => question, "outcome" => outcome
    )
    .increment(1);
}

impl Verdict {
    pub(crate) fn word(&self) -> &'static str {
        match self {
            Self::Accept => "accept",
            Self::Reject(_) => "reject",
            Self::Defer(_) => "defer",
            Self::Discard => "discard",
            Self::Quarantine(_) => "quarantine",
        }
    }
}

impl Route {
    pub(crate) fn word(&self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Local(_) => "local",
            Self::Rewrite(_) => "rewrite",
            Self::Discard => "discard",
            Self::Reject(_) => "reject",
            Self::Defer(_) => "defer",
        }
    }
}

impl QuotaDecision {
    pub(crate) fn word(&self) -> &'static str {
        match self {
            Self::Allow(_) => "allow",
            Self::Warn { .. } => "warn",
            Self::Deny(_) => "deny",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_lines_of_a_traceback_go_with_a_failure() {
        let traceback = "Traceback:\n  File \"policy.py\", line 3\n    rules()\n\nNameError: no rules\n";
        assert_eq!(last_words(traceback), "; it wrote: rules() NameError: no rules");
        assert_eq!(last_words("one\n"), "; it wrote: one");
        assert_eq!(last_words("\n \n"), "");
        let long = |octets: usize| last_words(&"x".repeat(octets));
        assert!(!long(SAID).contains('…') && long(SAID + 1).ends_with("x…"));
    }
}
