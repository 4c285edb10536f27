//! The decision table of the final reply. Pure: fates in, one reply and the copies to write out.
//!
//! Where one reply speaks for several fates:
//!
//! | fates | reply | what is written |
//! |---|---|---|
//! | any is deferred | that 4yz | nothing |
//! | all are refused | the first 5yz | nothing |
//! | otherwise | 250 | those delivered or quarantined, and a quarantined copy for each refused one |
//!
//! Nothing is dropped but what a policy discards.

use crate::store::Ceiling;
use postern_proto::smtp::Reply;

/// What is to become of a message in one mailbox, as policies, quota and loop guard see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Fate {
    Deliver(Ceiling),
    Quarantine(String),
    /// A policy says yes and drops it.
    Discard,
    /// For good (5yz) or for now (4yz), as the reply says.
    Refuse(Reply),
}

/// What is written for one fate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Copy {
    Deliver(Ceiling),
    Quarantine(String),
    Nothing,
}

/// The end of several fates that share one reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Settled {
    /// Nothing is written.
    Refused(Reply),
    /// 250 once these are durable, one for each fate.
    Taken(Vec<Copy>),
}

/// The table above.
pub(super) fn settle(fates: &[Fate]) -> Settled {
    let refusals = || fates.iter().filter_map(Fate::refusal);
    if let Some(deferral) = refusals().find(|reply| reply.is_transient()) {
        return Settled::Refused(deferral.clone());
    }
    match refusals().next() {
        Some(first) if refusals().count() == fates.len() => Settled::Refused(first.clone()),
        _ => Settled::Taken(fates.iter().map(Fate::copy).collect()),
    }
}

/// For fates that no reply of this transaction speaks for, as recipients whom a policy added: what would be
/// refused or deferred is kept in quarantine instead.
pub(super) fn keep(fates: &[Fate]) -> Vec<Copy> {
    fates.iter().map(Fate::copy).collect()
}

impl Fate {
    fn refusal(&self) -> Option<&Reply> {
        match self {
            Self::Refuse(reply) => Some(reply),
            Self::Deliver(_) | Self::Quarantine(_) | Self::Discard => None,
        }
    }

    fn copy(&self) -> Copy {
        match self {
            Self::Deliver(ceiling) => Copy::Deliver(*ceiling),
            Self::Quarantine(reason) => Copy::Quarantine(reason.clone()),
            Self::Discard => Copy::Nothing,
            Self::Refuse(reply) => Copy::Quarantine(format!("refused: {} {}", reply.code(), reply.text())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn deliver() -> Fate {
        Fate::Deliver(Ceiling::default())
    }

    fn held() -> Fate {
        Fate::Quarantine("virus".to_owned())
    }

    fn refused() -> Fate {
        Fate::Refuse(Reply::no_such_user())
    }

    fn deferred() -> Fate {
        Fate::Refuse(Reply::mailbox_full())
    }

    fn kept(reason: &str) -> Copy {
        Copy::Quarantine(reason.to_owned())
    }

    #[test]
    fn any_deferral_defers_all_and_nothing_is_written() {
        for others in [
            vec![],
            vec![deliver()],
            vec![refused()],
            vec![held()],
            vec![Fate::Discard],
        ] {
            for place in 0..=others.len() {
                let mut fates = others.clone();
                fates.insert(place, deferred());
                assert_eq!(
                    settle(&fates),
                    Settled::Refused(Reply::mailbox_full()),
                    "{fates:?}"
                );
            }
        }
    }

    #[test]
    fn all_refused_is_a_refusal_in_the_words_of_the_first() {
        let other = Fate::Refuse(Reply::relay_denied());
        assert_eq!(
            settle(&[refused(), other]),
            Settled::Refused(Reply::no_such_user())
        );
    }

    #[test]
    fn one_that_is_refused_beside_one_that_is_not_is_kept_in_quarantine_with_the_reason() {
        let reason = format!("refused: 550 {}", Reply::no_such_user().text());
        let ceiling = Ceiling::default();
        for (other, copy) in [
            (deliver(), Copy::Deliver(ceiling)),
            (held(), kept("virus")),
            (Fate::Discard, Copy::Nothing),
        ] {
            assert_eq!(
                settle(&[refused(), other]),
                Settled::Taken(vec![kept(&reason), copy])
            );
        }
    }

    #[test]
    fn what_is_discarded_or_quarantined_is_accepted() {
        assert_eq!(
            settle(&[held(), Fate::Discard]),
            Settled::Taken(vec![kept("virus"), Copy::Nothing])
        );
        assert_eq!(
            settle(&[]),
            Settled::Taken(vec![]),
            "a router discarded the only recipient"
        );
    }

    #[test]
    fn what_no_reply_speaks_for_is_never_lost() {
        let copies = keep(&[deferred(), refused(), deliver()]);
        assert!(matches!(
            &copies[..],
            [Copy::Quarantine(_), Copy::Quarantine(_), Copy::Deliver(_)]
        ));
    }
}
