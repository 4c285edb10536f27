//! What policies say about a message, all the way to mailbox, quarantine and reply.

use super::*;
use crate::policy::{AddressCheck, Facts, Keep, LoadOptions};

/// A component that answers `message-filter` with the verdict at `place`: 0 accept, 64 reject with
/// `550 5.7.1 not today`, 96 defer with `451 4.7.1 not today`, 160 discard, 192 quarantine as `odd`.
pub(super) fn filter(place: u32) -> String {
    format!(
        r#"(component
            (core module $m
                (memory (export "memory") 1)
                (data (i32.const 64)
                    "\01\00\00\00" "\26\02\00\00" "\00\01\00\00\05\00\00\00" "\20\01\00\00\09\00\00\00")
                (data (i32.const 96)
                    "\02\00\00\00" "\c3\01\00\00" "\08\01\00\00\05\00\00\00" "\20\01\00\00\09\00\00\00")
                (data (i32.const 160) "\03")
                (data (i32.const 192) "\04\00\00\00" "\30\01\00\00\03\00\00\00")
                (data (i32.const 256) "5.7.1")
                (data (i32.const 264) "4.7.1")
                (data (i32.const 288) "not today")
                (data (i32.const 304) "odd")
                (func (export "f") (result i32) (i32.const {place})))
            (core instance $i (instantiate $m))
            (type $reply (record (field "code" u16) (field "enhanced" string) (field "text" string)))
            (type $verdict (variant
                (case "accept") (case "reject" $reply) (case "defer" $reply) (case "discard")
                (case "quarantine" string)))
            (func $f (result $verdict) (canon lift (core func $i "f") (memory (core memory $i "memory"))))
            (component $named
                (type $r (record (field "code" u16) (field "enhanced" string) (field "text" string)))
                (import "reply" (type $reply (eq $r)))
                (type $v (variant
                    (case "accept") (case "reject" $reply) (case "defer" $reply) (case "discard")
                    (case "quarantine" string)))
                (import "verdict" (type $verdict (eq $v)))
                (import "f" (func $f (result $verdict)))
                (export $reply-out "reply" (type $r))
                (type $o (variant
                    (case "accept") (case "reject" $reply-out) (case "defer" $reply-out) (case "discard")
                    (case "quarantine" string)))
                (export $verdict-out "verdict" (type $o))
                (export "on-message" (func $f) (func (result $verdict-out))))
            (instance $e (instantiate $named
                (with "reply" (type $reply)) (with "verdict" (type $verdict)) (with "f" (func $f))))
            (export "postern:policy/message-filter@0.1.0" (instance $e)))"#
    )
}

#[derive(Debug)]
struct Nowhere;

#[async_trait::async_trait]
impl AddressCheck for Nowhere {
    async fn deliverable(&self, _: &Policies, _: &Facts, _: &str) -> crate::store::Result<bool> {
        Ok(false)
    }
}

/// A house whose only policy gives this verdict on every message.
async fn house(place: u32, listener: &str, quarantine_max: u64) -> House {
    house_with(place, (listener, ""), quarantine_max).await
}

/// The same with further lines of the configuration.
pub(super) async fn house_with(place: u32, (listener, more): (&str, &str), quarantine_max: u64) -> House {
    house_of(&filter(place), (listener, more), quarantine_max).await
}

/// A house whose only policy is this component, in text.
pub(super) async fn house_of(component: &str, (listener, more): (&str, &str), quarantine_max: u64) -> House {
    let folder = tempfile::tempdir().unwrap();
    let component = wat::parse_str(component).unwrap();
    std::fs::write(folder.path().join("10-filter.wasm"), component).unwrap();
    let options = LoadOptions {
        keep: Keep::alone(folder.path().join("compiled")),
        store: Arc::new(MemoryStore::new()),
        dns: Arc::new(crate::policy::stand::Zone::default()),
        limits: crate::config::PolicyLimits {
            deadline: Duration::from_secs(5),
            memory: 16 << 20,
            ..crate::config::PolicyLimits::default()
        },
        addresses: Arc::new(Nowhere),
        directory: Arc::new(crate::policy::stand::DirectoryTable::default()),
        explains: true,
        listeners: Vec::new(),
    };
    let (policies, faults) = Policies::load(folder.path(), options).unwrap();
    assert!(faults.is_empty(), "{faults:?}");
    let store = |_: &std::path::Path| -> Arc<dyn Store> {
        Arc::new(MemoryStore::with_quarantine_max(quarantine_max))
    };
    House::over(store, listener, more, policies).await
}

pub(super) async fn quarantined(house: &House) -> Vec<crate::store::Quarantined> {
    house.gateway.store.quarantined(None, 10).await.unwrap()
}

#[tokio::test]
async fn a_refusal_is_in_the_policys_words_and_nothing_is_kept() {
    for (place, expected) in [(64, "550 5.7.1 not today\r\n"), (96, "451 4.7.1 not today\r\n")] {
        let house = house(place, "role: mx", u64::MAX).await;
        let mut client = house.client().await;
        client.envelope(&["ann"]).await;
        assert_eq!(client.data("A: b\r\n\r\n").await, expected);
        assert_eq!(house.mailbox("ann").await.len(), 0);
        assert_eq!(quarantined(&house).await, []);
    }
}

#[tokio::test]
async fn a_session_keeps_the_set_that_it_began_with() {
    let house = house(64, "role: mx", u64::MAX).await;
    let mut before = house.client().await;
    house.gateway.policies.put(Arc::default());
    let mut after = house.client().await;
    for _ in 0..2 {
        for (client, code) in [(&mut before, "550 5.7.1 not today\r\n"), (&mut after, "250 ")] {
            client.envelope(&["ann"]).await;
            let said = client.data("A: b\r\n\r\n").await;
            assert!(said.starts_with(code), "{said}");
        }
    }
}

#[tokio::test]
async fn what_is_discarded_is_accepted_and_gone() {
    let house = house(160, "role: mx", u64::MAX).await;
    let mut client = house.client().await;
    client.envelope(&["ann"]).await;
    assert!(client.data("A: b\r\n\r\n").await.starts_with("250 2.0.0 "));
    assert_eq!(house.mailbox("ann").await.len(), 0);
    assert_eq!(quarantined(&house).await, []);
}

#[tokio::test]
async fn what_is_quarantined_is_accepted_and_kept_beyond_any_quota() {
    let house = house(192, "role: mx", u64::MAX).await;
    let mut client = house.client().await;
    client.envelope(&["ann", "small"]).await;
    let reply = client.data(&format!("A: b\r\n\r\n{}\r\n", "x".repeat(990))).await;
    assert!(reply.starts_with("250 2.0.0 "), "{reply}");
    let mut held = quarantined(&house).await;
    held.sort_by(|a, b| a.mailboxes.cmp(&b.mailboxes));
    let seen: Vec<_> = held
        .iter()
        .map(|copy| (copy.mailboxes.join(","), copy.reason.clone()))
        .collect();
    let expected = ["ann@example.org", "small@example.org"].map(|name| (name.to_owned(), "odd".to_owned()));
    assert_eq!(seen, expected);
    for copy in &held {
        let trace = String::from_utf8(copy.trace.to_vec()).unwrap();
        let own = format!("Delivered-To: {}\r\n", copy.mailboxes[0]);
        assert!(
            trace.contains(&own) && trace.matches('@').count() == 2,
            "no other address: {trace}"
        );
    }
    assert_eq!(house.mailbox("ann").await.len(), 0);
}

#[tokio::test]
async fn a_full_quarantine_defers_what_would_enter_it() {
    for (listener, replies) in [("role: mx", 1), ("role: lmtp, tls: none", 2)] {
        let house = house(192, listener, 7).await;
        let mut client = house.client().await;
        client.envelope(&["ann", "bob"]).await;
        let mut reply = client.data("A: b\r\n\r\n").await;
        for more in (0..replies).rev() {
            assert!(reply.starts_with("452 4.3.1 "), "{reply}");
            if more > 0 {
                reply = client.reply().await;
            }
        }
        assert!(client.say("NOOP").await.starts_with("250 "));
        assert_eq!(quarantined(&house).await, []);
        assert_eq!(house.gateway.in_flight.used(), 0);
    }
}

#[tokio::test]
async fn a_mailbox_that_is_reached_twice_has_one_copy() {
    for (place, kept, held) in [(0, 1, 0), (192, 0, 1)] {
        let house = house(place, "role: mx", u64::MAX).await;
        house.alias("twice@example.org", &["ann@example.org"]).await;
        let mut client = house.client().await;
        client.envelope(&["ann", "twice"]).await;
        assert!(client.data("A: b\r\n\r\n").await.starts_with("250 2.0.0 "));
        assert_eq!(house.mailbox("ann").await.len(), kept);
        assert_eq!(quarantined(&house).await.len(), held);
    }
}
