//! Whether a JavaScript policy exports what its world promises.
//!
//! The encoder does not look. The glue of `componentize-qjs` does in each call, and where it finds nothing it traps with
//! words of its own. So each promise is called once, about a message without an octet; what else comes of that is no matter.

use super::component::Promise;
use crate::cli::plugin::session::Session;
use crate::cli::plugin::{bench, keep};
use crate::policy::MessageSource;
use crate::policy::stand::{Ask, Keep, Mail, Probe};
use std::path::Path;
use std::sync::Arc;

/// The first promise that a component does not keep, as JavaScript spells it. None: it keeps all, or cannot be called.
pub(super) fn missing(component: &Path, promised: &[Promise<'_>]) -> Option<String> {
    let uncached = Keep {
        folder: None,
        ..keep()
    };
    let probe = Probe::open(component, &uncached).ok()?;
    let message: Arc<dyn MessageSource> = Mail::new(b"");
    let asks = asks(&message);
    let is_denied = |promise: &&Promise<'_>| {
        let ask = asks
            .iter()
            .find(|ask| ask.question().interface() == promise.interface);
        let last_words = ask.and_then(|ask| {
            let facts = Session::default().facts(ask.question());
            probe.last_words(ask, facts, &message)
        });
        last_words.is_some_and(|words| denies(&words, promise))
    };
    let Promise {
        interface, functions, ..
    } = promised.iter().find(is_denied)?;
    let functions: Vec<String> = functions.iter().map(|function| camel(function)).collect();
    Some(format!("{} with {}", camel(interface), functions.join(" and ")))
}

/// Every question once.
fn asks(message: &Arc<dyn MessageSource>) -> Vec<Ask> {
    let of_mail = bench::asks(message).into_iter();
    of_mail.chain([Ask::Validate]).collect()
}

/// Whether these are the glue's words for an interface that the module does not export, or one without its function.
fn denies(words: &str, promise: &Promise<'_>) -> bool {
    let functions = promise.functions.iter();
    let functions = functions.map(|function| format!("function '{}' not found: FromJs", camel(function)));
    let interface = format!("interface '{}' not found: FromJs", promise.id);
    let mut denials = functions.chain([interface]);
    denials.any(|denial| words.lines().any(|line| line.starts_with(&denial)))
}

/// `message-filter` as JavaScript has it.
fn camel(name: &str) -> String {
    let mut words = name.split('-');
    let first = words.next().unwrap_or_default().to_owned();
    words.fold(first, |name, word| {
        let (letter, rest) = word.split_at_checked(1).unwrap_or_default();
        name + &letter.to_ascii_uppercase() + rest
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::stand::Question;

    #[test]
    fn every_question_is_asked() {
        let message: Arc<dyn MessageSource> = Mail::new(b"");
        let asked: Vec<Question> = asks(&message).iter().map(Ask::question).collect();
        assert_eq!(asked.len(), Question::ALL.len());
        assert!(Question::ALL.iter().all(|question| asked.contains(question)));
    }

    #[test]
    fn only_the_glues_own_words_for_this_promise_deny_it() {
        let promise = Promise {
            interface: "message-filter",
            id: "postern:policy/message-filter@0.1.0".to_owned(),
            functions: vec!["on-message"],
        };
        let wrote = |words: &str| {
            denies(
                &format!("thread panicked at lib.rs:1:1:\n{words}\nnote: …"),
                &promise,
            )
        };
        assert!(wrote(
            "interface 'postern:policy/message-filter@0.1.0' not found: FromJs { from: \"undefined\" }"
        ));
        assert!(wrote(
            "function 'onMessage' not found: FromJs { from: \"undefined\" }"
        ));
        for other in [
            "",
            "interface 'postern:policy/sender-filter@0.1.0' not found: FromJs { from: \"undefined\" }",
            "function 'onMail' not found: FromJs { from: \"undefined\" }",
            "Failed to call 'onMessage': Exception(\"function 'onMessage' not found: FromJs\")",
            "function 'onMessage' not found",
        ] {
            assert!(!wrote(other), "{other}");
        }
    }
}
