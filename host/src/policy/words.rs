//! What a guest said, in the gateway's words. Replies are mended where they are not fit to send; what cannot
//! be carried out is a failed call.

use super::bindings::postern::policy::types;
use super::limits::Limit;
use super::{QuotaDecision, Route, Verdict};
use crate::store::Ceiling;
use postern_proto::Address;
use postern_proto::smtp::{Flaw, Refusal, Reply};

/// Octets of a reason or a warning that a person reads.
const TEXT: usize = 1024;

/// Why an answer cannot be carried out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Unfit {
    #[error("relay: no mail leaves this gateway")]
    Relay,
    #[error("`{0}` is no address")]
    Address(String),
    #[error("a rewrite to {count} addresses; 1 to limits.addresses ({most}) are taken")]
    Rewrites { count: usize, most: usize },
}

/// Turns answers into the gateway's words and gathers what had to be mended.
#[derive(Debug, Default)]
pub(super) struct Ear {
    pub(super) flaws: Vec<Flaw>,
}

impl Ear {
    fn reply(&mut self, refusal: Refusal, said: &types::Reply) -> Reply {
        let (reply, flaws) = Reply::from_policy(refusal, said.code, &said.enhanced, &said.text);
        self.flaws.extend(flaws);
        reply
    }

    pub(super) fn verdict(&mut self, said: types::Verdict) -> Verdict {
        match said {
            types::Verdict::Accept => Verdict::Accept,
            types::Verdict::Reject(reply) => Verdict::Reject(self.reply(Refusal::Permanent, &reply)),
            types::Verdict::Defer(reply) => Verdict::Defer(self.reply(Refusal::Transient, &reply)),
            types::Verdict::Discard => Verdict::Discard,
            types::Verdict::Quarantine(reason) => Verdict::Quarantine(line(&reason)),
        }
    }

    /// `most` addresses of a rewrite are taken.
    pub(super) fn route(&mut self, said: types::Route, most: usize) -> Result<Route, Unfit> {
        Ok(match said {
            types::Route::Pass => Route::Pass,
            types::Route::Local(mailbox) => Route::Local(address(mailbox)?),
            types::Route::Rewrite(to) if to.is_empty() || to.len() > most => {
                if to.len() > most {
                    Limit::Addresses.hit();
                }
                let count = to.len();
                return Err(Unfit::Rewrites { count, most });
            }
            types::Route::Rewrite(to) => {
                Route::Rewrite(to.into_iter().map(address).collect::<Result<_, _>>()?)
            }
            types::Route::Relay(_) => return Err(Unfit::Relay),
            types::Route::Discard => Route::Discard,
            types::Route::Reject(reply) => Route::Reject(self.reply(Refusal::Permanent, &reply)),
            types::Route::Defer(reply) => Route::Defer(self.reply(Refusal::Transient, &reply)),
        })
    }

    pub(super) fn quota(&mut self, said: types::QuotaDecision) -> QuotaDecision {
        match said {
            types::QuotaDecision::Allow(bound) => QuotaDecision::Allow(ceiling(bound)),
            types::QuotaDecision::Warn(warning) => QuotaDecision::Warn {
                text: line(&warning.text),
                ceiling: ceiling(warning.ceiling),
            },
            types::QuotaDecision::Deny(reply) => QuotaDecision::Deny(self.reply(Refusal::Either, &reply)),
        }
    }
}

/// A rewritten value is checked as a client's is.
fn address(text: String) -> Result<String, Unfit> {
    match Address::parse(&text) {
        Ok(_) => Ok(text),
        Err(_) => Err(Unfit::Address(line(&text))),
    }
}

fn ceiling(bound: types::Ceiling) -> Ceiling {
    Ceiling {
        bytes: bound.bytes,
        messages: bound.messages,
    }
}

/// One line for a person, without controls and of bounded length.
fn line(text: &str) -> String {
    let clean = |c: char| if c.is_control() { ' ' } else { c };
    let mut line: String = text.trim().chars().map(clean).collect();
    line.truncate(line.floor_char_boundary(TEXT));
    line
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::limits::tests::hits;

    fn reply(code: u16) -> types::Reply {
        types::Reply {
            code,
            enhanced: String::new(),
            text: "not today".to_owned(),
        }
    }

    #[test]
    fn a_reply_of_the_wrong_class_is_mended_and_named() {
        let mut ear = Ear::default();
        let Verdict::Reject(rejected) = ear.verdict(types::Verdict::Reject(reply(550))) else {
            panic!("a reject stays one");
        };
        assert_eq!((rejected.code(), rejected.text().as_str()), (550, "not today"));
        assert_eq!(ear.flaws, []);
        let Verdict::Reject(rejected) = ear.verdict(types::Verdict::Reject(reply(250))) else {
            panic!("a reject stays one");
        };
        assert!(rejected.is_permanent());
        assert_eq!(ear.flaws, [Flaw::Code]);
    }

    #[test]
    fn a_denial_keeps_its_class() {
        let mut ear = Ear::default();
        for code in [452, 552] {
            let denied = ear.quota(types::QuotaDecision::Deny(reply(code)));
            assert!(matches!(denied, QuotaDecision::Deny(said) if said.code() == code));
        }
    }

    #[test]
    fn what_cannot_be_carried_out_is_a_failed_call() {
        let mut ear = Ear::default();
        let relay = types::Route::Relay("smtp://elsewhere.example".to_owned());
        assert_eq!(ear.route(relay, 3), Err(Unfit::Relay));
        let local = types::Route::Local("no address".to_owned());
        assert_eq!(ear.route(local, 3), Err(Unfit::Address("no address".to_owned())));
        let mut rewrite = |count| ear.route(types::Route::Rewrite(vec!["a@x.example".to_owned(); count]), 3);
        assert_eq!(rewrite(0), Err(Unfit::Rewrites { count: 0, most: 3 }));
        assert!(rewrite(3).is_ok());
        let more = hits(Limit::Addresses, || {
            assert_eq!(rewrite(4), Err(Unfit::Rewrites { count: 4, most: 3 }));
        });
        assert_eq!(more, 1);
    }

    #[test]
    fn what_a_person_reads_is_one_line_of_bounded_length() {
        let mut ear = Ear::default();
        let said = types::Verdict::Quarantine(format!("two\r\nlines{}", "é".repeat(TEXT)));
        let Verdict::Quarantine(reason) = ear.verdict(said) else {
            panic!("a quarantine stays one");
        };
        assert!(reason.starts_with("two  lines"), "{reason}");
        assert!(reason.len() <= TEXT && reason.len() > TEXT - 2);
    }
}
