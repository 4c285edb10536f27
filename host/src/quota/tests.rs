use super::*;
use crate::policy::Policies;
use crate::store::{Holder, MemoryStore};
use std::sync::Arc;

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
        (&"ann@example.org".into(), u64::MAX),
        (&mut Known::default(), &mut Vec::new()),
    )
    .await;
    let granted = Room::Granted {
        ceiling: Ceiling::default(),
        warning: None,
    };
    assert_eq!(asked.unwrap(), granted);
}

/// A gateway where `ann@example.org` has room for so many octets, and its folder.
async fn gateway(quota: u64) -> (crate::gateway::Gateway, tempfile::TempDir) {
    let state = tempfile::tempdir().unwrap();
    let text = "hostname: mx.example.org\nstate: state\npostmaster: root@example.org\n\
                listeners: [ { address: \"127.0.0.1:0\", role: mx } ]\n";
    let config = crate::config::Config::parse(text, state.path()).unwrap();
    let store = MemoryStore::new();
    let account = Account {
        address: "ann@example.org".to_owned(),
        password: None,
        scram: None,
        quota_bytes: Some(quota),
        quota_messages: None,
    };
    crate::store::Directory::create_account(&store, account)
        .await
        .unwrap();
    let gateway =
        crate::gateway::Gateway::new(Arc::new(config), Arc::new(store), Arc::default(), 1000).unwrap();
    (gateway, state)
}

#[tokio::test]
async fn an_owner_is_warned_once_a_day_in_the_policys_words() {
    let (gateway, _state) = gateway(10_000).await;
    let mailbox: crate::store::Mailbox = "ann@example.org".into();
    for _ in 0..2 {
        warn(&gateway, &mailbox, "90 % is used\nmake room", ceiling(10_000)).await;
    }
    let [line] = gateway.store.list(&mailbox).await.unwrap().try_into().unwrap();
    let trace = gateway.store.trace(&mailbox, &line).await.unwrap();
    let content = gateway
        .store
        .read(Holder::Mailbox(&mailbox), line.id, 0, usize::MAX)
        .await
        .unwrap();
    let letter = String::from_utf8([trace, content].concat()).unwrap();
    assert_eq!(line.size, letter.len() as u64);
    assert!(
        letter.starts_with("Return-Path: <>\r\nDelivered-To: ann@example.org\r\nFrom: Mail system <root@"),
        "{letter}"
    );
    assert!(
        letter.ends_with("\r\n\r\n90 % is used\r\nmake room\r\n"),
        "{letter}"
    );
}

#[tokio::test]
async fn a_warning_never_makes_a_mailbox_fuller_than_it_may_be() {
    let (gateway, _state) = gateway(100).await;
    let mailbox: crate::store::Mailbox = "ann@example.org".into();
    warn(&gateway, &mailbox, "90 % is used", ceiling(100)).await;
    assert_eq!(gateway.store.usage(&mailbox).await.unwrap(), Usage::default());
}
