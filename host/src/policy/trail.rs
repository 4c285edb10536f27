//! What a gateway notes of one call: the functions of capabilities that were called, and what facts of the session
//! and of the sender's authentication they answered.
//!
//! Values of settings are not noted: they may be secrets, and the digest of the file tells which they were. Content of
//! the message and the policy's own values are not noted either.

use crate::explain::{Fact, cut};

/// Different calls of one question.
const CALLS: usize = 32;
/// Octets of one value.
const VALUE: usize = 96;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Trail {
    calls: Vec<Called>,
    /// Calls behind those that are noted.
    more: usize,
}

#[derive(Debug)]
struct Called {
    interface: &'static str,
    function: &'static str,
    argument: Option<String>,
    value: Option<String>,
    times: u32,
}

/// Whether what an interface answers is noted.
fn tells_facts(interface: &str) -> bool {
    matches!(interface, "session" | "auth")
}

/// Whether what is asked of an interface is noted.
pub(super) fn tells_arguments(interface: &str) -> bool {
    interface == "config"
}

impl Trail {
    /// One call, by the names that Rust gives to interface and function.
    pub(super) fn called(
        &mut self,
        (interface, function): (&'static str, &'static str),
        argument: Option<String>,
        value: impl FnOnce() -> String,
    ) {
        let same = |call: &&mut Called| {
            call.function == function && call.interface == interface && call.argument == argument
        };
        if let Some(call) = self.calls.iter_mut().rev().find(same) {
            call.times = call.times.saturating_add(1);
            return;
        }
        if self.calls.len() == CALLS {
            self.more += 1;
            return;
        }
        self.calls.push(Called {
            interface,
            function,
            argument,
            value: tells_facts(interface).then(|| cut(&value(), VALUE)),
            times: 1,
        });
    }

    /// In the order in which they were first made, and how many more there were.
    pub(super) fn into_facts(self) -> (Vec<Fact>, usize) {
        let facts = self.calls.into_iter().map(|call| {
            let argument = call
                .argument
                .map(|argument| format!("({})", cut(&argument, VALUE)));
            let name = format!("{}.{}", call.interface, call.function).replace('_', "-");
            Fact {
                call: name + &argument.unwrap_or_default(),
                value: call.value,
                times: call.times,
            }
        });
        (facts.collect(), self.more)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fact(call: &str, value: Option<&str>, times: u32) -> Fact {
        Fact {
            call: call.to_owned(),
            value: value.map(str::to_owned),
            times,
        }
    }

    #[test]
    fn facts_have_values_and_all_else_has_none() {
        let mut trail = Trail::default();
        let value = || "\"v\"".to_owned();
        for name in [
            ("session", "client_ip"),
            ("kv", "get"),
            ("session", "client_ip"),
            ("auth", "spf"),
        ] {
            trail.called(name, None, value);
        }
        for rule in ["\"a\"", "\"b\"", "\"a\""] {
            trail.called(("config", "get"), Some(rule.to_owned()), value);
        }
        let (facts, more) = trail.into_facts();
        assert_eq!(more, 0);
        assert_eq!(
            facts,
            [
                fact("session.client-ip", Some("\"v\""), 2),
                fact("kv.get", None, 1),
                fact("auth.spf", Some("\"v\""), 1),
                fact("config.get(\"a\")", None, 2),
                fact("config.get(\"b\")", None, 1),
            ]
        );
    }

    #[test]
    fn so_many_different_calls_are_noted_and_the_others_counted() {
        let noted = |calls: usize| {
            let mut trail = Trail::default();
            for call in 0..calls {
                trail.called(("config", "get"), Some(call.to_string()), String::new);
            }
            let (facts, more) = trail.into_facts();
            (facts.len(), more)
        };
        assert_eq!(noted(CALLS), (CALLS, 0));
        assert_eq!(noted(CALLS + 2), (CALLS, 2));
        let mut trail = Trail::default();
        trail.called(("session", "helo"), None, || "h".repeat(VALUE));
        trail.called(("session", "listener"), None, || "l".repeat(VALUE + 1));
        let (facts, _) = trail.into_facts();
        assert_eq!(facts[0].value.as_deref(), Some(&*"h".repeat(VALUE)));
        assert_eq!(facts[1].value, Some(format!("{}…", "l".repeat(VALUE))));
    }
}
