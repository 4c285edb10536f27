//! Two gateways over one cluster: what one does, the other sees; what both do at once, one of them has done.

use super::upkeep::account;
use super::*;
use crate::clock::unix_millis;
use crate::store::contract::together;
use crate::store::{Account, Alias, Bodies, Created, Directory, Domain, Holder, Kv, KvWrite, Leased, Leases};
use bytes::Bytes;
use std::sync::atomic::Ordering;
use std::time::Instant;

async fn pair() -> (Keyspace, [Arc<CassandraStore>; 2]) {
    let (keyspace, one) = empty().await;
    let other = keyspace.beside().await;
    (keyspace, [one, other])
}

fn domain(name: &str, alias_of: Option<&str>) -> Domain {
    Domain {
        name: name.to_owned(),
        alias_of: alias_of.map(str::to_owned),
    }
}

fn alias(target: &str) -> Alias {
    Alias {
        address: "b@x.org".to_owned(),
        targets: vec![target.to_owned()],
    }
}

fn with_password(password: &str) -> Account {
    Account {
        password: Some(password.to_owned()),
        ..account("Ann@x.org")
    }
}

fn of_quota(bytes: u64) -> Account {
    Account {
        quota_bytes: Some(bytes),
        ..account("Ann@example.org")
    }
}

/// Lets a gateway take it to be so many milliseconds later than now.
fn set_clock(store: &CassandraStore, by: i64) {
    let moment = unix_millis().saturating_add_signed(by);
    store.clock.stopped.store(moment, Ordering::Relaxed);
}

/// The names that listings go by.
async fn names_of(store: &CassandraStore, keyspace: &Keyspace) -> Vec<String> {
    let text = format!("SELECT key FROM {}.address_name", keyspace.0);
    let answer = store.cluster.session.query_unpaged(text, ()).await.unwrap();
    let answer = answer.into_rows_result().unwrap();
    let rows = answer.rows::<(String,)>().unwrap();
    let mut names: Vec<String> = rows.map(|row| row.unwrap().0).collect();
    names.sort();
    names
}

/// A removal by a gateway whose clock was ahead once kept the next account of the name out of all listings.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_account_is_listed_though_a_clock_ahead_removed_its_name_just_now() {
    let (_keyspace, [behind, ahead]) = pair().await;
    set_clock(&behind, -9_900);
    set_clock(&ahead, 9_900);
    for _ in 0..3 {
        let made = behind.create_account(account("Ann@x.org")).await.unwrap();
        assert_eq!(made, Created::Yes);
        assert_eq!(ahead.accounts(None, 10).await.unwrap(), [account("Ann@x.org")]);
        assert!(ahead.remove_account("ann@x.org").await.unwrap());
        assert!(ahead.accounts(None, 10).await.unwrap().is_empty());
    }
    behind.create_account(account("Ann@x.org")).await.unwrap();
    assert_eq!(behind.accounts(None, 10).await.unwrap(), [account("Ann@x.org")]);
}

/// Names were put 20 s ahead of now and dropped as of now: one that was dropped sooner led nowhere for good.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_address_that_is_removed_as_soon_as_it_was_made_leaves_no_name() {
    let (keyspace, [behind, ahead]) = pair().await;
    set_clock(&behind, -9_900);
    set_clock(&ahead, 9_900);
    for (maker, remover) in [(&behind, &ahead), (&ahead, &behind), (&ahead, &ahead)] {
        maker.create_account(account("Ann@x.org")).await.unwrap();
        maker.create_alias(alias("c@x.org")).await.unwrap();
        assert_eq!(names_of(maker, &keyspace).await, ["ann@x.org", "b@x.org"]);
        assert!(remover.remove_account("ann@x.org").await.unwrap());
        assert!(remover.remove_alias("b@x.org").await.unwrap());
        assert_eq!(names_of(maker, &keyspace).await, [""; 0]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_address_that_is_there_gets_no_name_of_another_kind() {
    let (keyspace, one) = empty().await;
    one.create_account(account("Ann@x.org")).await.unwrap();
    one.create_alias(alias("c@x.org")).await.unwrap();
    let to_ann = Alias {
        address: "ann@x.org".to_owned(),
        ..alias("c@x.org")
    };
    assert_eq!(one.create_alias(to_ann).await.unwrap(), Created::Exists);
    assert_eq!(
        one.create_account(account("B@x.org")).await.unwrap(),
        Created::Exists
    );
    assert_eq!(names_of(&one, &keyspace).await, ["ann@x.org", "b@x.org"]);
}

/// What a gateway has made when it dies is listed, and a removal takes it whole.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_account_whose_maker_died_is_listed_and_leaves_no_name() {
    let (keyspace, [one, other]) = pair().await;
    let key = "ann@x.org";
    let create = async {
        let no = (None::<String>, None::<String>, None::<i64>, None::<i64>);
        let values = (key, key, no.0, no.1, no.2, no.3);
        assert!(one.transact(&one.statements.create_account, values).await?);
        Err(StoreError::Engine("it died".to_owned()))
    };
    one.named(names::Kind::Account, key, create).await.unwrap_err();
    assert_eq!(other.accounts(None, 10).await.unwrap(), [account(key)]);
    assert!(other.remove_account(key).await.unwrap());
    assert_eq!(names_of(&one, &keyspace).await, [""; 0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_another_gateway_changes_is_known_after_the_directory_s_age_and_what_it_makes_at_once() {
    let (keyspace, one) = empty().await;
    let remembers = keyspace.beside().await;
    let forgets = keyspace.beside_forgetful().await;
    let key = "ann@example.org";
    assert_eq!(remembers.account(key).await.unwrap(), None);
    one.create_account(of_quota(1)).await.unwrap();
    assert_eq!(
        remembers.account(key).await.unwrap(),
        Some(of_quota(1)),
        "an absence is not remembered"
    );
    assert_eq!(forgets.account(key).await.unwrap(), Some(of_quota(1)));

    assert!(one.replace_account(&of_quota(1), of_quota(2)).await.unwrap());
    assert!(
        !forgets.replace_account(&of_quota(1), of_quota(3)).await.unwrap(),
        "another has changed it since"
    );
    assert_eq!(
        one.account(key).await.unwrap(),
        Some(of_quota(2)),
        "its own change"
    );
    assert_eq!(remembers.account(key).await.unwrap(), Some(of_quota(1)));
    assert_eq!(remembers.account_to_change(key).await.unwrap(), Some(of_quota(2)));
    assert_eq!(forgets.account(key).await.unwrap(), Some(of_quota(2)));

    one.remove_account(key).await.unwrap();
    assert_eq!(one.account(key).await.unwrap(), None, "its own change");
    assert_eq!(remembers.account(key).await.unwrap(), Some(of_quota(1)));
    assert_eq!(forgets.account(key).await.unwrap(), None);
    assert!(
        !remembers.remove_account(key).await.unwrap(),
        "it was not there any more"
    );
    assert_eq!(remembers.account(key).await.unwrap(), None);

    let domain = |alias_of: Option<&str>| Domain {
        name: "example.net".to_owned(),
        alias_of: alias_of.map(str::to_owned),
    };
    one.create_domain(domain(None)).await.unwrap();
    assert_eq!(remembers.domain("example.net").await.unwrap(), Some(domain(None)));
    one.remove_domain("example.net").await.unwrap();
    one.create_domain(domain(Some("example.org"))).await.unwrap();
    assert_eq!(
        one.domain("example.net").await.unwrap(),
        Some(domain(Some("example.org")))
    );
    assert_eq!(remembers.domain("example.net").await.unwrap(), Some(domain(None)));
    assert_eq!(
        forgets.domain("example.net").await.unwrap(),
        Some(domain(Some("example.org")))
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_gateways_one_creates_an_address() {
    let (_keyspace, stores) = pair().await;
    for round in 0..5 {
        let address = format!("ann{round}@x.org");
        let calls = (0..10).map(|nth| {
            let store = Arc::clone(&stores[nth % 2]);
            let address = address.clone();
            async move {
                let made = match nth % 4 {
                    0 | 1 => store.create_account(account(&address)).await,
                    _ => store.create_domain(domain(&address, None)).await,
                };
                (nth % 4 < 2, made.unwrap())
            }
        });
        let made = together(calls).await;
        for kind in [true, false] {
            let of_kind = made.iter().filter(|made| **made == (kind, Created::Yes));
            assert_eq!(of_kind.count(), 1);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn increments_and_comparisons_of_two_gateways_are_all_counted() {
    let (_keyspace, stores) = pair().await;
    let calls = (0..40).map(|nth| {
        let store = Arc::clone(&stores[nth % 2]);
        async move { store.kv_increment("p", "n", 1, 0, 1000, 999).await.unwrap() }
    });
    let mut sums = together(calls).await;
    sums.sort_unstable();
    assert_eq!(sums, (1..=40).collect::<Vec<i64>>());

    let calls = (0..10).map(|nth: u8| {
        let store = Arc::clone(&stores[usize::from(nth % 2)]);
        async move {
            let write = KvWrite {
                value: Bytes::copy_from_slice(&[nth]),
                ttl: 0,
                now: 1000,
                quota: 999,
            };
            store.kv_compare_and_set("p", "k", None, write).await.unwrap()
        }
    });
    let set = together(calls).await;
    assert_eq!(set.iter().filter(|set| **set).count(), 1);
}

/// The answer to a creation was lost; the retry found the row that it had made itself, and said that it exists.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_creation_whose_answer_was_lost_is_told_from_anothers() {
    let (_keyspace, [one, other]) = pair().await;
    let lost = |store: &CassandraStore, name| store.cluster.witness.lose(name);
    for other_domain in [None, Some("y.org")] {
        let name = format!("x{}.org", other_domain.is_some());
        lost(&one, "create_domain");
        assert_eq!(
            one.create_domain(domain(&name, other_domain)).await.unwrap(),
            Created::Yes
        );
        lost(&other, "create_domain");
        assert_eq!(
            other.create_domain(domain(&name, Some("z.org"))).await.unwrap(),
            Created::Exists
        );
        assert_eq!(
            one.create_domain(domain(&name, other_domain)).await.unwrap(),
            Created::Exists
        );
    }
    lost(&one, "create_account");
    assert_eq!(
        one.create_account(with_password("one")).await.unwrap(),
        Created::Yes
    );
    lost(&other, "create_account");
    assert_eq!(
        other.create_account(with_password("other")).await.unwrap(),
        Created::Exists
    );
    assert_eq!(
        one.create_account(with_password("one")).await.unwrap(),
        Created::Exists
    );
    assert_eq!(
        other.account("ann@x.org").await.unwrap(),
        Some(with_password("one"))
    );
    assert_eq!(
        other.accounts(None, 9).await.unwrap().len(),
        1,
        "it is named once"
    );
    lost(&one, "create_alias");
    assert_eq!(one.create_alias(alias("c@x.org")).await.unwrap(), Created::Yes);
    assert_eq!(other.alias("b@x.org").await.unwrap(), Some(alias("c@x.org")));
    assert_eq!(
        one.create_alias(Alias {
            address: "ann@x.org".to_owned(),
            ..alias("c@x.org")
        })
        .await
        .unwrap(),
        Created::Exists
    );
    lost(&one, "kv_create");
    assert_eq!(one.kv_increment("p", "n", 1, 0, 1000, 999).await.unwrap(), 1);
    lost(&one, "kv_replace");
    assert_eq!(one.kv_increment("p", "n", 1, 0, 1000, 999).await.unwrap(), 2);
    let sent = one.sent();
    assert!(
        sent.iter().filter(|name| **name == "create_account").count() >= 2,
        "it was sent again: {sent:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replacement_whose_answer_was_lost_is_told_from_anothers() {
    let (_keyspace, [one, other]) = pair().await;
    let (before, after) = (with_password("one"), with_password("two"));
    one.create_account(before.clone()).await.unwrap();
    one.cluster.witness.lose("replace_account");
    assert!(one.replace_account(&before, after.clone()).await.unwrap());
    other.cluster.witness.lose("replace_account");
    let third = other.replace_account(&before, with_password("three"));
    assert!(!third.await.unwrap());
    assert_eq!(one.account("ann@x.org").await.unwrap(), Some(after));
}

/// A target that another gateway had added was lost: the list that was remembered was written back whole.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_changes_an_alias_reads_it_afresh_and_changes_what_was_read() {
    let (_keyspace, [one, other]) = pair().await;
    let (first, key) = (alias("c@x.org"), "b@x.org");
    let with = |more: &str| Alias {
        targets: vec!["c@x.org".to_owned(), more.to_owned()],
        ..first.clone()
    };
    assert_eq!(one.create_alias(first.clone()).await.unwrap(), Created::Yes);
    assert_eq!(other.alias(key).await.unwrap(), Some(first.clone()));
    assert!(one.replace_alias(&first, with("d@x.org")).await.unwrap());
    assert_eq!(other.alias_to_change(key).await.unwrap(), Some(with("d@x.org")));
    assert!(
        !other.replace_alias(&first, with("e@x.org")).await.unwrap(),
        "it has changed since"
    );
    one.cluster.witness.lose("replace_alias");
    assert!(
        one.replace_alias(&with("d@x.org"), with("f@x.org"))
            .await
            .unwrap(),
        "the retry found its own"
    );
    assert_eq!(one.alias(key).await.unwrap(), Some(with("f@x.org")));
}

/// The answer to a removal was lost; the retry found nothing, and said that there was nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_removal_whose_answer_was_lost_is_told_as_done() {
    let (_keyspace, [one, _]) = pair().await;
    one.create_domain(domain("x.org", None)).await.unwrap();
    one.create_account(with_password("one")).await.unwrap();
    one.create_alias(alias("c@x.org")).await.unwrap();
    one.cluster.witness.lose("drop_address");
    assert!(!one.remove_alias("ann@x.org").await.unwrap(), "it is an account");
    one.cluster.witness.lose("drop_address");
    assert!(one.remove_account("ann@x.org").await.unwrap());
    one.cluster.witness.lose("drop_address");
    assert!(one.remove_alias("b@x.org").await.unwrap());
    one.cluster.witness.lose("drop_domain");
    assert!(one.remove_domain("x.org").await.unwrap());
    assert!(!one.remove_account("ann@x.org").await.unwrap());
    assert!(!one.remove_alias("b@x.org").await.unwrap());
    assert!(!one.remove_domain("x.org").await.unwrap());
}

/// What it had counted stayed counted, and `store check` found fault with it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_value_that_lost_against_another_is_not_counted() {
    let (_keyspace, [one, _]) = pair().await;
    let value = KvWrite {
        value: Bytes::from_static(b"12345"),
        ttl: 0,
        now: unix_millis(),
        quota: 1000,
    };
    one.kv_set("p", "k", value).await.unwrap();
    for key in ["k", "absent"] {
        let longer = Bytes::from_static(b"longer than that");
        let lost = ("p", key, &longer, uuid::Uuid::new_v4(), 0);
        let expected = Some(uuid::Uuid::new_v4());
        assert!(!one.replace(lost, expected, 0).await.unwrap());
    }
    let report = one.check(Mend::Nothing).await.unwrap();
    assert_eq!(report.described, [""; 0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lease_is_one_holder_s_until_it_is_given_back_or_its_time_is_over() {
    const LASTS: Duration = Duration::from_secs(60);
    let (_keyspace, [one, other]) = pair().await;
    let (ours, theirs) = (MessageId::new(), MessageId::new());
    let at = "ann@x.org";
    assert_eq!(
        one.renew_lease(at, ours, LASTS).await.unwrap(),
        Leased::Refused,
        "nobody has it"
    );
    one.cluster.witness.lose("take_lease");
    assert_eq!(
        one.take_lease(at, ours, LASTS).await.unwrap(),
        Leased::Held,
        "though its answer was lost"
    );
    other.cluster.witness.lose("take_lease");
    assert_eq!(
        other.take_lease(at, theirs, LASTS).await.unwrap(),
        Leased::Refused
    );
    assert_eq!(
        other.take_lease("bob@x.org", theirs, LASTS).await.unwrap(),
        Leased::Held
    );
    assert_eq!(
        other.renew_lease(at, theirs, LASTS).await.unwrap(),
        Leased::Refused
    );
    other.end_lease(at, theirs).await.unwrap();
    assert_eq!(
        one.renew_lease(at, ours, LASTS).await.unwrap(),
        Leased::Held,
        "another cannot end it"
    );
    one.end_lease(at, ours).await.unwrap();
    assert_eq!(
        one.renew_lease(at, ours, LASTS).await.unwrap(),
        Leased::Refused,
        "it was given back"
    );
    assert_eq!(other.take_lease(at, theirs, LASTS).await.unwrap(), Leased::Held);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lease_of_a_gateway_that_died_is_taken_over_when_its_time_is_over_and_no_earlier() {
    const LASTS: Duration = Duration::from_secs(4);
    let (_keyspace, [one, other]) = pair().await;
    let (ours, theirs) = (MessageId::new(), MessageId::new());
    let at = "ann@x.org";
    one.take_lease(at, ours, Duration::from_secs(2)).await.unwrap();
    let renewed = Instant::now();
    assert_eq!(one.renew_lease(at, ours, LASTS).await.unwrap(), Leased::Held);
    // Nobody tells when a lease is over: it is asked for again, each time through a round of the replicas.
    let taken = async { while other.take_lease(at, theirs, LASTS).await.unwrap() == Leased::Refused {} };
    tokio::time::timeout(Duration::from_secs(60), taken)
        .await
        .unwrap();
    // Whole seconds are cut off at both ends.
    assert!(
        renewed.elapsed() > LASTS - Duration::from_secs(1),
        "{:?}",
        renewed.elapsed()
    );
    assert_eq!(one.renew_lease(at, ours, LASTS).await.unwrap(), Leased::Refused);
}

/// What a gateway had read it told for 30 s more, of whatever mailbox.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn facts_are_told_of_who_holds_the_message_now() {
    let (_keyspace, [one, other]) = pair().await;
    let sent = contract::delivery(vec![contract::entry("ann@example.org", 5)]);
    let (id, ann) = (sent.id, Holder::Mailbox("ann@example.org"));
    one.deliver(sent).await.unwrap();
    assert_eq!(one.facts(ann, id).await.unwrap(), "facts");
    let of_bob = one.facts(Holder::Mailbox("bob@example.org"), id).await;
    assert!(matches!(of_bob, Err(StoreError::NotFound)), "{of_bob:?}");
    other.remove("ann@example.org", &[id]).await.unwrap();
    let gone = one.facts(ann, id).await;
    assert!(matches!(gone, Err(StoreError::NotFound)), "{gone:?}");
}
