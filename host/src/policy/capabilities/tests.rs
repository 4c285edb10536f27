//! Capabilities as a guest meets them, without a guest.

mod granted;
mod sender;

use super::recorded::Recorded;
use super::tree::Room;
use crate::config::PolicyLimits;
use crate::policy::bindings::postern::policy::{
    auth, config, directory, dns, edit, http, kv, log, message, mime,
};
use crate::policy::bindings::postern::policy::{clock, random, session, types};
use crate::policy::grants::tests::granted as granted_hosts;
use crate::policy::guest::{Call, Guest, Letter};
use crate::policy::http::Client;
use crate::policy::limits::tests::hits_of;
use crate::policy::limits::{Limit, Limits};
use crate::policy::load::stand::Zone;
use crate::policy::manifest::KvGrant;
use crate::policy::observer::{Observer, Replayed};
use crate::policy::plugin::Addresses;
use crate::policy::sample::Slow;
use crate::policy::shadow::Run;
use crate::policy::stand::Mail;
use crate::policy::{AddressCheck, Edit, Facts, Policies, Verdict};
use crate::store::{self, MemoryStore};
use async_trait::async_trait;
use std::sync::{Arc, LazyLock};
use std::time::Duration;
use wasmtime_wasi::WasiView as _;
use wasmtime_wasi::p2::bindings::random::random as secure;
use wasmtime_wasi::p2::bindings::random::{insecure, insecure_seed};

/// Everybody at example.org can be delivered to.
#[derive(Debug)]
struct Here;

#[async_trait]
impl AddressCheck for Here {
    async fn deliverable(&self, _: &Policies, _: &Facts, address: &str) -> store::Result<bool> {
        Ok(address.ends_with("@example.org"))
    }
}

fn limits() -> Limits {
    Limits::usual(Duration::from_secs(1), 1 << 20)
}

fn room() -> Room {
    Room::new(PolicyLimits::default().mime)
}

/// The set that asks.
static ASKING: LazyLock<Arc<Policies>> = LazyLock::new(Arc::default);

fn call() -> Call {
    Call {
        policy: "test".into(),
        facts: Facts::default(),
        message: None,
        edits: Vec::new(),
        settings: Arc::new(serde_json::json!({})),
        kv: None,
        dns: None,
        resolver: Arc::new(Zone::default()),
        directory: None,
        http: None,
        store: Arc::new(MemoryStore::default()),
        addresses: Addresses {
            check: Arc::new(Here),
            set: Arc::downgrade(&ASKING),
        },
        limits: limits(),
        explains: false,
        observer: None,
        run: Run::Decides,
        overlay: None,
        told: None,
    }
}

/// A granted client of which nothing comes.
fn nobody() -> Arc<Client> {
    let grant = granted_hosts("{ hosts: [example.org] }").unwrap();
    Arc::new(Client::written(grant, Arc::new([])))
}

fn about(mail: Arc<Mail>, edits: Vec<Edit>) -> Guest {
    let letter = Letter::new(mail, room());
    Guest::new(Call {
        message: Some(Arc::new(letter)),
        edits,
        ..call()
    })
}

fn added(name: &str, value: &str) -> Edit {
    Edit::AddHeader {
        name: name.to_owned(),
        value: value.to_owned(),
    }
}

#[tokio::test]
async fn a_message_is_seen_with_earlier_edits_made() {
    let mail = Mail::new("Subject: x\r\n\r\ntext\r\n");
    let mut guest = about(mail, vec![added("X-Score", "5")]);
    let head = "Subject: x\r\nX-Score: 5\r\n\r\n";
    assert_eq!(
        message::Host::body_offset(&mut guest).unwrap() as usize,
        head.len()
    );
    assert_eq!(message::Host::size(&mut guest).unwrap() as usize, head.len() + 6);
    assert_eq!(
        message::Host::get_header(&mut guest, "x-score".to_owned()).unwrap(),
        [b"5"]
    );
    assert_eq!(message::Host::headers(&mut guest).unwrap().len(), 2);
    let all = message::Host::read(&mut guest, 0, 1000).await.unwrap();
    assert_eq!(all, format!("{head}text\r\n").into_bytes());
    let across = message::Host::read(&mut guest, head.len() as u32 - 2, 4)
        .await
        .unwrap();
    assert_eq!(across, b"\r\nte");
}

#[tokio::test]
async fn one_reading_has_at_most_64_kib() {
    let mut guest = about(Mail::new("\r\n".to_owned() + &"x".repeat(100_000)), Vec::new());
    assert_eq!(
        message::Host::read(&mut guest, 0, u32::MAX).await.unwrap().len(),
        65_536
    );
    assert_eq!(
        message::Host::read(&mut guest, 65_536, u32::MAX)
            .await
            .unwrap()
            .len(),
        34_466
    );
    assert_eq!(message::Host::read(&mut guest, 100_002, 1).await.unwrap(), b"");
}

#[tokio::test]
async fn before_there_is_a_message_everything_of_it_is_empty() {
    let mut guest = Guest::new(call());
    assert_eq!(message::Host::size(&mut guest).unwrap(), 0);
    assert!(message::Host::headers(&mut guest).unwrap().is_empty());
    assert_eq!(message::Host::read(&mut guest, 0, 10).await.unwrap(), b"");
    assert!(mime::Host::parts(&mut guest).await.unwrap().is_empty());
    assert_eq!(
        mime::Host::part_header(&mut guest, 0, "To".to_owned())
            .await
            .unwrap(),
        None
    );
}

#[tokio::test]
async fn a_tree_is_made_once_for_all_policies_unless_an_edit_makes_it_another() {
    let mail = Mail::new("Subject: x\r\n\r\ntext\r\n");
    let letter = Arc::new(Letter::new(mail, room()));
    let seen = |edits: Vec<Edit>| crate::policy::guest::View::new(Arc::clone(&letter), &edits);
    let first = seen(Vec::new()).tree().await.unwrap();
    let second = seen(vec![added("X-Score", "5")]).tree().await.unwrap();
    assert!(Arc::ptr_eq(&first, &second));
    let third = seen(vec![added("Content-Type", "text/html")])
        .tree()
        .await
        .unwrap();
    assert_eq!(third.nodes[0].media_type, "text/html");
}

#[tokio::test]
async fn edits_are_kept_as_they_were_checked() {
    let mut guest = Guest::new(call());
    edit::Host::add_header(&mut guest, "X-A".to_owned(), "a\r\nb".to_owned())
        .await
        .unwrap();
    edit::Host::redirect(&mut guest, "Ann@EXAMPLE.org".to_owned())
        .await
        .unwrap();
    edit::Host::tag(&mut guest, "seen\n".to_owned()).await.unwrap();
    edit::Host::tag(&mut guest, " ".to_owned()).await.unwrap();
    let held = types::Verdict::Quarantine("spam".to_owned());
    edit::Host::recipient_verdict(&mut guest, "bob@example.org".to_owned(), held)
        .await
        .unwrap();
    assert_eq!(session::Host::tags(&mut guest).unwrap(), ["seen"]);
    assert_eq!(
        guest.take_edits(),
        [
            added("X-A", "a b"),
            Edit::Redirect("Ann@example.org".to_owned()),
            Edit::Tag("seen".to_owned()),
            Edit::RecipientVerdict {
                recipient: "bob@example.org".to_owned(),
                verdict: Verdict::Quarantine("spam".to_owned()),
            }
        ]
    );
}

#[tokio::test]
async fn an_address_that_cannot_be_delivered_here_ends_the_call() {
    let mut guest = Guest::new(call());
    for elsewhere in ["ann@example.com", "ann", "a\nb@example.org"] {
        assert!(
            edit::Host::redirect(&mut guest, elsewhere.to_owned())
                .await
                .is_err()
        );
        assert!(
            edit::Host::add_recipient(&mut guest, elsewhere.to_owned())
                .await
                .is_err()
        );
    }
    let elsewhere = "ann@example.com".to_owned();
    assert!(
        edit::Host::remove_recipient(&mut guest, elsewhere).await.is_ok(),
        "nothing goes there"
    );
    assert!(
        edit::Host::add_header(&mut guest, "a b".to_owned(), String::new())
            .await
            .is_err()
    );
}

#[tokio::test]
async fn kv_needs_its_grant() {
    let mut guest = Guest::new(call());
    let key = || "k".to_owned();
    assert_eq!(
        kv::Host::get(&mut guest, key()).await.unwrap(),
        Err("not granted".to_owned())
    );
    assert!(
        kv::Host::set(&mut guest, key(), Vec::new(), 0)
            .await
            .unwrap()
            .is_err()
    );
    assert!(kv::Host::remove(&mut guest, key()).await.unwrap().is_err());
    assert!(
        kv::Host::increment(&mut guest, key(), 1, 0)
            .await
            .unwrap()
            .is_err()
    );
    let set = kv::Host::compare_and_set(&mut guest, key(), None, Vec::new(), 0).await;
    assert!(set.unwrap().is_err());
}

#[tokio::test]
async fn kv_keeps_values_up_to_its_share_and_for_other_calls() {
    let granted = Call {
        kv: Some(KvGrant {
            namespace: "test".to_owned(),
            bytes: 12,
        }),
        ..call()
    };
    let mut guest = Guest::new(granted.clone());
    let key = || "key".to_owned();
    let set = kv::Host::set(&mut guest, key(), b"123456789".to_vec(), 0);
    let (met, set) = hits_of(Limit::KvBytes, set).await;
    assert_eq!(set.unwrap(), Ok(()), "three octets of key and nine of value");
    assert_eq!(met, 0);
    let set = kv::Host::set(&mut guest, key(), b"1234567890".to_vec(), 0);
    let (met, set) = hits_of(Limit::KvBytes, set).await;
    assert_eq!(set.unwrap(), Err("the share is full".to_owned()));
    assert_eq!(met, 1);
    assert!(!guest.store_failed);
    let mut later = Guest::new(granted);
    let found = kv::Host::get(&mut later, key()).await.unwrap();
    assert_eq!(found, Ok(Some(b"123456789".to_vec())));
    let expected = Some(b"123456789".to_vec());
    let swapped = kv::Host::compare_and_set(&mut later, key(), expected, b"x".to_vec(), 0).await;
    assert_eq!(swapped.unwrap(), Ok(true));
    assert!(
        kv::Host::increment(&mut later, key(), 1, 0)
            .await
            .unwrap()
            .is_err(),
        "no counter"
    );
    assert!(!later.store_failed, "the policy's own error");
    assert_eq!(kv::Host::remove(&mut later, key()).await.unwrap(), Ok(()));
    assert_eq!(
        kv::Host::increment(&mut later, key(), 2, 60).await.unwrap(),
        Ok(2)
    );
}

#[tokio::test]
async fn a_key_of_1_kib_and_a_value_of_1_mib_are_the_longest() {
    let mut guest = Guest::new(Call {
        kv: Some(KvGrant {
            namespace: "test".to_owned(),
            bytes: 16 << 20,
        }),
        ..call()
    });
    for (key, value, limit, times) in [
        (1024, 1, Limit::KvKey, 0),
        (1025, 1, Limit::KvKey, 1),
        (1, 1 << 20, Limit::KvValue, 0),
        (1, (1 << 20) + 1, Limit::KvValue, 1),
    ] {
        let set = kv::Host::set(&mut guest, "k".repeat(key), vec![0; value], 0);
        let (met, set) = hits_of(limit, set).await;
        assert_eq!(
            (met, set.unwrap().is_ok()),
            (times, times == 0),
            "{key} octets of key, {value} of value"
        );
    }
}

#[tokio::test]
async fn what_cannot_be_granted_says_so_and_what_is_unknown_is_empty() {
    let mut guest = Guest::new(call());
    let refused = Err::<Vec<String>, _>("not granted".to_owned());
    assert_eq!(
        dns::Host::txt(&mut guest, "example.org".to_owned())
            .await
            .unwrap(),
        refused
    );
    assert_eq!(auth::Host::spf(&mut guest).unwrap(), "");
}

#[tokio::test]
async fn every_capability_counts_against_the_calls_budget() {
    let mut guest = Guest::new(Call {
        limits: Limits {
            host_calls: 6,
            ..limits()
        },
        ..call()
    });
    assert!(session::Host::helo(&mut guest).is_ok());
    assert!(clock::Host::now(&mut guest).unwrap() > 0);
    assert!(log::Host::debug(&mut guest, String::new()).is_ok());
    assert_eq!(config::Host::json(&mut guest).unwrap(), "{}");
    assert_eq!(random::Host::bytes(&mut guest, 70_000).unwrap().len(), 65_536);
    assert!(dns::Host::mx(&mut guest, String::new()).await.is_ok());
    assert!(session::Host::helo(&mut guest).is_err());
    assert!(edit::Host::tag(&mut guest, "x".to_owned()).await.is_err());
    assert!(kv::Host::get(&mut guest, "x".to_owned()).await.is_err());
    assert!(message::Host::read(&mut guest, 0, 1).await.is_err());
    assert!(mime::Host::complete(&mut guest).await.is_err());
}

#[tokio::test]
async fn octets_read_are_bounded_over_all_readings() {
    let mail = Mail::new("\r\n0123456789");
    let letter = Arc::new(Letter::new(mail, room()));
    let mut guest = Guest::new(Call {
        message: Some(letter),
        limits: Limits { read: 10, ..limits() },
        ..call()
    });
    assert_eq!(message::Host::read(&mut guest, 2, 6).await.unwrap(), b"012345");
    assert_eq!(message::Host::read(&mut guest, 8, 4).await.unwrap(), b"6789");
    assert!(message::Host::read(&mut guest, 2, 1).await.is_err());
}

/// The rows of the matrix in `wit/README.md`, without code marks.
fn matrix() -> Vec<String> {
    let readme = include_str!("../../../../wit/README.md");
    let section = readme.split("## What a capability means at each question").nth(1);
    let section = section.unwrap().split("\n## ").next().unwrap();
    let rows = section.lines().filter(|line| line.starts_with("| `"));
    rows.map(|row| row.replace('`', "")).collect()
}

#[test]
fn what_needs_a_grant_is_what_the_matrix_says() {
    use super::{ACCESS, Access};
    let rows = matrix();
    for (interface, access) in ACCESS {
        let named = |row: &&String| {
            let names = row.split('|').nth(1).unwrap_or_default().split(',');
            names
                .map(|name| name.trim().split('.').next().unwrap_or_default())
                .any(|name| name == interface)
        };
        let row = rows
            .iter()
            .find(named)
            .unwrap_or_else(|| panic!("{interface}: {rows:#?}"));
        let said = match access {
            Access::Grant(name) => {
                assert_eq!(name, interface);
                row.contains("with its grant")
            }
            Access::Open => !row.contains("grant"),
        };
        assert!(said, "{interface}: {row}");
    }
}

#[test]
fn every_interface_of_the_contract_has_its_access() {
    let mut served: Vec<&str> = crate::policy::contract::capabilities().into_keys().collect();
    served.retain(|name| *name != "types");
    served.sort_unstable();
    let mut known = super::ACCESS.map(|(name, _)| name);
    known.sort_unstable();
    assert_eq!(served, known);
    assert_eq!(super::access("types"), None);
}

#[tokio::test]
async fn a_replay_has_the_time_and_the_randomness_of_its_message_and_sends_nothing() {
    let guest = |id: &str| {
        let message = Replayed {
            at: 7,
            id: id.to_owned(),
        };
        Guest::new(Call {
            observer: Some(Arc::new(Observer::replaying(message))),
            http: Some(nobody()),
            ..call()
        })
    };
    let drawn = |id: &str| {
        let mut guest = guest(id);
        let mut draw = || random::Host::bytes(&mut guest, 16).unwrap();
        (draw(), draw())
    };
    assert_eq!(drawn("A"), drawn("A"));
    assert_ne!(drawn("A"), drawn("B"));
    let (first, second) = drawn("A");
    assert_ne!(first, second);
    let mut guest = guest("A");
    assert_eq!(clock::Host::now(&mut guest).unwrap(), 7);
    let request = types::HttpRequest {
        method: "GET".to_owned(),
        url: "http://example.org/".to_owned(),
        headers: Vec::new(),
        body: Vec::new(),
        timeout_ms: 0,
    };
    let sent = http::Host::send(&mut guest, request.clone()).await.unwrap();
    assert_eq!(sent.err().as_deref(), Some("not in this mode"));
    let sent = http::Host::send(&mut Guest::new(call()), request).await.unwrap();
    assert_eq!(sent.err().as_deref(), Some("not granted"));
}

#[tokio::test]
async fn a_call_is_noted_where_it_is_to_be_explained() {
    for (explains, expected) in [(true, vec!["session.helo"]), (false, vec![])] {
        let mut guest = Guest::new(Call { explains, ..call() });
        session::Host::helo(&mut Recorded(&mut guest)).unwrap();
        let (facts, _) = guest.trail.take().unwrap_or_default().into_facts();
        let called: Vec<&str> = facts.iter().map(|fact| fact.call.as_str()).collect();
        assert_eq!(called, expected);
    }
}

#[tokio::test]
async fn beside_a_decision_nothing_is_sent_and_randomness_is_the_messages() {
    let octets = |run, id: &str| {
        let mut call = call();
        call.run = run;
        call.facts.queue_id = id.to_owned();
        random::Host::bytes(&mut Guest::new(call), 32).unwrap()
    };
    let by_wasi = |run, id: &str| {
        let mut call = call();
        call.run = run;
        call.facts.queue_id = id.to_owned();
        let mut guest = Guest::new(call);
        let wasi = guest.ctx().ctx.random();
        (
            secure::Host::get_random_u64(wasi).unwrap(),
            insecure::Host::get_insecure_random_u64(wasi).unwrap(),
            insecure_seed::Host::insecure_seed(wasi).unwrap(),
        )
    };
    let (one, again) = (by_wasi(Run::Shadow, "one"), by_wasi(Run::Counterpart, "one"));
    assert_eq!(one, again);
    for other in [by_wasi(Run::Shadow, "two"), by_wasi(Run::Decides, "one")] {
        assert!(
            one.0 != other.0 && one.1 != other.1 && one.2 != other.2,
            "{other:?}"
        );
    }
    assert_eq!(octets(Run::Shadow, "one"), octets(Run::Counterpart, "one"));
    assert_ne!(octets(Run::Shadow, "one"), octets(Run::Shadow, "two"));
    assert_ne!(octets(Run::Decides, "one"), octets(Run::Decides, "one"));
    let request = types::HttpRequest {
        method: "GET".to_owned(),
        url: "https://example.org/".to_owned(),
        headers: Vec::new(),
        body: Vec::new(),
        timeout_ms: 0,
    };
    let granted = || Some(nobody());
    for (run, http, said) in [
        (Run::Decides, None, "not granted"),
        (Run::Shadow, None, "not granted"),
        (Run::Shadow, granted(), "not in this mode"),
        (Run::Counterpart, granted(), "not in this mode"),
    ] {
        let mut call = call();
        (call.run, call.http) = (run, http);
        let answer = http::Host::send(&mut Guest::new(call), request.clone())
            .await
            .unwrap();
        assert_eq!(answer.unwrap_err(), said);
    }
}

#[tokio::test]
async fn beside_a_decision_an_address_is_one_wherever_it_leads() {
    let mut call = call();
    call.run = Run::Shadow;
    let mut guest = Guest::new(call);
    edit::Host::redirect(&mut guest, "x@elsewhere.example".to_owned())
        .await
        .unwrap();
    assert!(
        edit::Host::redirect(&mut guest, "no address".to_owned())
            .await
            .is_err()
    );
}

#[tokio::test]
async fn what_a_call_waits_for_the_host_is_summed_and_so_is_a_wait_that_is_cut_off() {
    let guest = |wait| {
        let mut call = call();
        call.message = Some(Arc::new(Letter::new(
            Arc::new(Slow(Mail::new("A: b\r\n\r\nx"), wait)),
            Room::new(PolicyLimits::default().mime),
        )));
        Guest::new(call)
    };
    let wait = Duration::from_millis(20);
    let mut quick = guest(wait);
    assert_eq!(quick.waits.sum(), Duration::ZERO);
    for reads in 1..=2 {
        message::Host::read(&mut Recorded(&mut quick), 8, 1)
            .await
            .unwrap();
        assert!(quick.waits.sum() >= wait * reads);
    }
    let sum = quick.waits.sum();
    session::Host::helo(&mut Recorded(&mut quick)).unwrap();
    assert_eq!(quick.waits.sum(), sum, "what is in memory is not waited for");
    quick.begin(call());
    assert_eq!(quick.waits.sum(), Duration::ZERO, "the next call's are its own");
    let mut stuck = guest(Duration::from_secs(3600));
    let mut recorded = Recorded(&mut stuck);
    let read = message::Host::read(&mut recorded, 8, 1);
    assert!(tokio::time::timeout(wait, read).await.is_err());
    assert!(stuck.waits.sum() >= wait);
}
