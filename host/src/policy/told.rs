//! What policies said, as people read it: one line each, in the words of the contract.

use super::{Edit, QuotaDecision, Route, Verdict};
use crate::config::units::ByteSize;
use crate::store::Ceiling;
use postern_proto::smtp::Reply;

/// An answer in words.
pub(super) trait Tell {
    /// `reject`
    fn word(&self) -> &'static str;
    fn said(&self) -> String;
    fn edits(&self) -> Vec<String> {
        Vec::new()
    }
}

impl Tell for (Verdict, Vec<Edit>) {
    fn word(&self) -> &'static str {
        self.0.word()
    }

    fn said(&self) -> String {
        verdict(&self.0)
    }

    fn edits(&self) -> Vec<String> {
        self.1.iter().map(edit).collect()
    }
}

impl Tell for Route {
    fn word(&self) -> &'static str {
        Route::word(self)
    }

    fn said(&self) -> String {
        route(self)
    }
}

impl Tell for QuotaDecision {
    fn word(&self) -> &'static str {
        QuotaDecision::word(self)
    }

    fn said(&self) -> String {
        quota(self)
    }
}

/// `550 5.7.1 not today`
pub(crate) fn reply(reply: &Reply) -> String {
    let enhanced = reply.enhanced().map(|code| format!("{code} "));
    let text = reply.text();
    format!("{} {}{text}", reply.code(), enhanced.unwrap_or_default())
}

pub(crate) fn verdict(verdict: &Verdict) -> String {
    match verdict {
        Verdict::Accept | Verdict::Discard => verdict.word().to_owned(),
        Verdict::Reject(said) | Verdict::Defer(said) => format!("{} {}", verdict.word(), reply(said)),
        Verdict::Quarantine(reason) => format!("quarantine {reason}"),
    }
}

pub(crate) fn route(route: &Route) -> String {
    match route {
        Route::Pass | Route::Discard => route.word().to_owned(),
        Route::Local(mailbox) => format!("local {mailbox}"),
        Route::Rewrite(to) => format!("rewrite {}", to.join(", ")),
        Route::Reject(said) | Route::Defer(said) => format!("{} {}", route.word(), reply(said)),
    }
}

pub(crate) fn quota(decision: &QuotaDecision) -> String {
    match decision {
        QuotaDecision::Allow(bound) => format!("allow {}", ceiling(bound)),
        QuotaDecision::Warn { text, ceiling: bound } => format!("warn {}: {text}", ceiling(bound)),
        QuotaDecision::Deny(said) => format!("deny {}", reply(said)),
    }
}

fn ceiling(bound: &Ceiling) -> String {
    let octets = bound.bytes.map(|octets| ByteSize(octets).to_string());
    let messages = bound.messages.map(|messages| format!("{messages} messages"));
    let bounds: Vec<String> = octets.into_iter().chain(messages).collect();
    match bounds.is_empty() {
        true => "without a ceiling".to_owned(),
        false => format!("up to {}", bounds.join(" and ")),
    }
}

/// In the words of the contract.
pub(crate) fn edit(edit: &Edit) -> String {
    match edit {
        Edit::AddHeader { name, value } => format!("add-header {name}: {value}"),
        Edit::InsertHeader { name, value } => format!("insert-header {name}: {value}"),
        Edit::RemoveHeader { name } => format!("remove-header {name}"),
        Edit::AddRecipient(address) => format!("add-recipient {address}"),
        Edit::RemoveRecipient(address) => format!("remove-recipient {address}"),
        Edit::Redirect(address) => format!("redirect {address}"),
        Edit::Tag(name) => format!("tag {name}"),
        Edit::RecipientVerdict {
            recipient,
            verdict: said,
        } => format!("recipient-verdict {recipient} {}", verdict(said)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_answer_is_one_line_in_the_words_of_the_contract() {
        let refusal = Reply::policy_refused();
        let heard = reply(&refusal);
        let of = |said: Verdict| verdict(&said);
        assert_eq!(of(Verdict::Accept), "accept");
        assert_eq!(of(Verdict::Reject(refusal.clone())), format!("reject {heard}"));
        assert_eq!(of(Verdict::Quarantine("odd".to_owned())), "quarantine odd");
        let rewrite = Route::Rewrite(vec!["a@x.example".to_owned(), "b@x.example".to_owned()]);
        assert_eq!(route(&rewrite), "rewrite a@x.example, b@x.example");
        let bound = |bytes, messages| quota(&QuotaDecision::Allow(Ceiling { bytes, messages }));
        assert_eq!(bound(None, None), "allow without a ceiling");
        assert_eq!(bound(Some(1 << 20), Some(3)), "allow up to 1MiB and 3 messages");
        let change = Edit::RecipientVerdict {
            recipient: "a@x.example".to_owned(),
            verdict: Verdict::Defer(refusal),
        };
        assert_eq!(
            edit(&change),
            format!("recipient-verdict a@x.example defer {heard}")
        );
    }
}
