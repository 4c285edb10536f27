use super::*;
use crate::policy::Policies;
use crate::store::MemoryStore;

fn ceiling(bytes: u64) -> Ceiling {
    Ceiling {
        bytes: Some(bytes),
        messages: None,
    }
}

const USED: Usage = Usage {
    bytes: 60,
    messages: 1,
};

#[test]
fn the_lowest_ceiling_counts_and_its_exact_edge_is_room() {
    for (own, policy) in [(ceiling(100), ceiling(200)), (ceiling(200), ceiling(100))] {
        let allowed = QuotaDecision::Allow(policy);
        let granted = Room::Granted {
            ceiling: ceiling(100),
            warning: None,
        };
        assert_eq!(room(own, allowed.clone(), USED, 40), granted);
        assert_eq!(room(own, allowed, USED, 41), Room::Denied(Reply::mailbox_full()));
    }
}

#[test]
fn a_warning_is_only_for_mail_that_is_taken() {
    let warned = |size| {
        let decision = QuotaDecision::Warn {
            text: "90 %".to_owned(),
            ceiling: ceiling(100),
        };
        room(Ceiling::default(), decision, USED, size)
    };
    let text = Some("90 %".to_owned());
    assert!(matches!(warned(40), Room::Granted { warning, .. } if warning == text));
    assert_eq!(warned(41), Room::Denied(Reply::mailbox_full()));
}

#[test]
fn a_denial_is_in_the_policys_words() {
    let decision = QuotaDecision::Deny(Reply::policy_refused());
    assert_eq!(
        room(Ceiling::default(), decision, USED, 1),
        Room::Denied(Reply::policy_refused())
    );
}

#[tokio::test]
async fn a_mailbox_without_any_bound_has_room() {
    let store = MemoryStore::new();
    let asked = ask(
        &store,
        &Policies::default(),
        &Facts::default(),
        ("ann@example.org", u64::MAX),
        &mut Vec::new(),
    )
    .await;
    let granted = Room::Granted {
        ceiling: Ceiling::default(),
        warning: None,
    };
    assert_eq!(asked.unwrap(), granted);
}
