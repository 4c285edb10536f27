//! What a case expects beside what was said.

use super::raw::{RawCeiling, RawExpect, RawReply};
use super::value;
use crate::cli::plugin::words;
use crate::config::units::ByteSize;
use crate::policy::stand::{Heard, HostCall, Said};
use crate::policy::{Fault, QuotaDecision, Route, Verdict};
use crate::store::Ceiling;
use bytes::Bytes;
use postern_proto::smtp::Reply;
use serde::Serialize;
use std::collections::BTreeMap;

/// One thing that is not as it is expected.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Difference {
    pub(super) what: &'static str,
    pub(super) expected: Vec<String>,
    pub(super) said: Vec<String>,
}

impl Difference {
    pub(super) fn new(what: &'static str, expected: impl Into<String>, said: impl Into<String>) -> Self {
        Self {
            what,
            expected: vec![expected.into()],
            said: vec![said.into()],
        }
    }

    /// Lines of both, in order: `-` expected and not said, `+` said and not expected.
    pub(super) fn lines(&self) -> Vec<(char, &str)> {
        let mut lines = Vec::new();
        let (mut expected, mut said) = (self.expected.as_slice(), self.said.as_slice());
        while let Some((wanted, behind)) = expected.split_first() {
            expected = behind;
            match said.iter().position(|line| line == wanted) {
                None => lines.push(('-', wanted.as_str())),
                Some(at) => {
                    let (before, rest) = said.split_at(at);
                    lines.extend(before.iter().map(|line| ('+', line.as_str())));
                    lines.push((' ', wanted.as_str()));
                    said = rest.get(1..).unwrap_or_default();
                }
            }
        }
        lines.extend(said.iter().map(|line| ('+', line.as_str())));
        lines
    }
}

/// Gathers differences.
#[derive(Debug, Default)]
struct Comparison(Vec<Difference>);

impl Comparison {
    /// Nothing is expected where `expected` is None.
    fn one(&mut self, what: &'static str, expected: Option<impl ToString>, said: impl Into<String>) {
        let Some(expected) = expected.map(|expected| expected.to_string()) else {
            return;
        };
        let said = said.into();
        if expected != said {
            self.0.push(Difference::new(what, expected, said));
        }
    }

    fn many(&mut self, what: &'static str, expected: Option<Vec<String>>, said: Vec<String>) {
        if let Some(expected) = expected
            && expected != said
        {
            self.0.push(Difference { what, expected, said });
        }
    }
}

/// What differs where the policy was not loaded with the settings of the case.
pub(super) fn refused(expect: &RawExpect, fault: &Fault) -> Vec<Difference> {
    let mut found = Comparison::default();
    let (Some(valid), Some(objection)) = (expect.valid, &fault.objection) else {
        return vec![Difference::new("policy", "loaded", format!("refused: {fault}"))];
    };
    found.one("valid", Some(valid), false.to_string());
    if let Some(error) = &expect.error
        && !objection.contains(error.as_str())
    {
        found
            .0
            .push(Difference::new("error", format!("… {error} …"), &**objection));
    }
    if !found.0.is_empty() {
        found.0.push(Difference {
            what: "refused",
            expected: Vec::new(),
            said: vec![fault.text.clone()],
        });
    }
    found.0
}

/// What differs of an answer, and of what was seen on the way.
pub(super) fn differences(
    expect: &RawExpect,
    heard: &Heard,
    kv: &BTreeMap<String, Bytes>,
) -> Vec<Difference> {
    let mut found = Comparison::default();
    failure(expect, heard, &mut found);
    found.many("mended", Some(Vec::new()), words::mended(&heard.seen));
    match &heard.said {
        Said::Verdict { verdict, edits } => {
            filtered(expect, verdict, &mut found);
            let expected = expect.edits.as_ref();
            let expected = expected.map(|edits| edits.iter().map(super::raw::RawEdit::shown).collect());
            found.many("edits", expected, edits.iter().map(words::edit).collect());
        }
        Said::Route(route) => routed(expect, route, &mut found),
        Said::Quota(decision) => granted(expect, decision, &mut found),
        Said::Valid => {
            found.one("valid", expect.valid, true.to_string());
            found.one("error", expect.error.as_ref(), "none");
        }
    }
    let held = |held: &BTreeMap<String, Bytes>| -> Vec<String> {
        let values = held.iter();
        values
            .map(|(key, octets)| format!("{key:?}: {}", value::shown(octets)))
            .collect()
    };
    let expected = expect.kv.as_ref().map(|expected| {
        let values = expected.iter();
        held(
            &values
                .map(|(key, value)| (key.clone(), value.0.clone()))
                .collect(),
        )
    });
    found.many("kv", expected, held(kv));
    logged(expect, heard, &mut found);
    called(expect, heard, &mut found);
    found.0
}

/// A failure that nobody expects is always a difference.
fn failure(expect: &RawExpect, heard: &Heard, found: &mut Comparison) {
    let expected = expect.failure.as_deref().unwrap_or("none");
    let Some(ending) = &heard.seen.failure else {
        return found.one("failure", Some(expected), "none");
    };
    if expected == ending.word {
        return;
    }
    let written = ending.last_words.lines().map(str::to_owned);
    let said = std::iter::once(format!("{}: {}", ending.word, ending.text)).chain(written);
    found.0.push(Difference {
        what: "failure",
        expected: vec![expected.to_owned()],
        said: said.collect(),
    });
}

fn filtered(expect: &RawExpect, verdict: &Verdict, found: &mut Comparison) {
    found.one("verdict", expect.verdict.as_ref(), verdict.word());
    let (said, reason) = match verdict {
        Verdict::Accept | Verdict::Discard => (None, "none"),
        Verdict::Reject(reply) | Verdict::Defer(reply) => (Some(reply), "none"),
        Verdict::Quarantine(reason) => (None, reason.as_str()),
    };
    replied(expect.reply.as_ref(), said, found);
    found.one("reason", expect.reason.as_ref(), reason);
}

fn routed(expect: &RawExpect, route: &Route, found: &mut Comparison) {
    found.one("route", expect.route.as_ref(), route.word());
    let (said, to) = match route {
        Route::Pass | Route::Discard => (None, Vec::new()),
        Route::Local(mailbox) => (None, vec![mailbox.clone()]),
        Route::Rewrite(to) => (None, to.clone()),
        Route::Reject(reply) | Route::Defer(reply) => (Some(reply), Vec::new()),
    };
    replied(expect.reply.as_ref(), said, found);
    found.many("to", expect.to.clone(), to);
}

fn granted(expect: &RawExpect, decision: &QuotaDecision, found: &mut Comparison) {
    found.one("quota", expect.quota.as_ref(), decision.word());
    let (said, warning, bound) = match decision {
        QuotaDecision::Allow(bound) => (None, "none", Some(bound)),
        QuotaDecision::Warn { text, ceiling } => (None, text.as_str(), Some(ceiling)),
        QuotaDecision::Deny(reply) => (Some(reply), "none", None),
    };
    replied(expect.reply.as_ref(), said, found);
    found.one("warning", expect.warning.as_ref(), warning);
    if let Some(RawCeiling { bytes, messages }) = expect.ceiling {
        let expected = Ceiling {
            bytes: bytes.map(|size| size.0),
            messages,
        };
        let said = bound.map_or_else(|| "none".to_owned(), ceiling);
        found.one("ceiling", Some(ceiling(&expected)), said);
    }
}

fn ceiling(bound: &Ceiling) -> String {
    let octets = bound.bytes.map(|octets| ByteSize(octets).to_string());
    let messages = bound.messages.map(|messages| messages.to_string());
    let or_none = |said: Option<String>| said.unwrap_or_else(|| "none".to_owned());
    format!("bytes {}, messages {}", or_none(octets), or_none(messages))
}

fn replied(expected: Option<&RawReply>, said: Option<&Reply>, found: &mut Comparison) {
    let Some(RawReply { code, enhanced, text }) = expected else {
        return;
    };
    let or_none = |said: Option<String>| said.unwrap_or_else(|| "none".to_owned());
    found.one(
        "reply code",
        *code,
        or_none(said.map(|reply| reply.code().to_string())),
    );
    let said_enhanced = said.and_then(|reply| Some(reply.enhanced()?.to_string()));
    found.one("enhanced code", enhanced.as_ref(), or_none(said_enhanced));
    found.one("reply text", text.as_ref(), or_none(said.map(Reply::text)));
}

/// Each text must be in a line.
fn logged(expect: &RawExpect, heard: &Heard, found: &mut Comparison) {
    let lines = heard.seen.lines.iter();
    let said: Vec<String> = lines
        .map(|line| format!("{}: {}", line.level, line.text))
        .collect();
    let wanted = expect.log.iter().flatten();
    let missing: Vec<String> = wanted
        .filter(|wanted| !said.iter().any(|line| line.contains(wanted.as_str())))
        .map(|wanted| format!("… {wanted} …"))
        .collect();
    if !missing.is_empty() {
        found.0.push(Difference {
            what: "log",
            expected: missing,
            said,
        });
    }
}

/// Each call must be made, in this order; others may be made between them.
fn called(expect: &RawExpect, heard: &Heard, found: &mut Comparison) {
    let Some(wanted) = &expect.calls else { return };
    let mut calls = heard.seen.calls.iter();
    if wanted
        .iter()
        .all(|wanted| calls.any(|call| is_call(call, wanted)))
    {
        return;
    }
    found.0.push(Difference {
        what: "calls",
        expected: wanted.clone(),
        said: heard.seen.calls.iter().map(HostCall::in_full).collect(),
    });
}

/// `kv.get`, or with its arguments: `kv.get("key")`.
fn is_call(call: &HostCall, wanted: &str) -> bool {
    match wanted.contains('(') {
        true => call.in_full() == wanted,
        false => call.function == wanted,
    }
}

#[cfg(test)]
mod tests;
