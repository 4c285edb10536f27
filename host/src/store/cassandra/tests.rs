//! The contract on a real Cassandra, and what is this engine's alone.

mod copying;
mod upkeep;

use super::*;
use crate::config::{CassandraLimits, Consistency};
use crate::store::contract::{self, QUARANTINE_MAX, contract};
use crate::store::{
    Account, Delivery, Directory as _, Domain, Mailbox, Maildrops as _, Quarantine as _, cluster as nodes,
};
use scylla::statement::unprepared::Statement;
use std::sync::{Mutex, PoisonError};

/// Keyspaces whose test is over: a schema takes longer to make than to empty.
static USED: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// A keyspace of one test, which the next may have after it.
struct Keyspace(String);

impl Drop for Keyspace {
    fn drop(&mut self) {
        let name = std::mem::take(&mut self.0);
        USED.lock().unwrap_or_else(PoisonError::into_inner).push(name);
    }
}

pub(super) fn config(nodes: Vec<String>, keyspace: &str, replication: usize) -> CassandraConfig {
    CassandraConfig {
        nodes,
        keyspace: keyspace.to_owned(),
        datacenter: "dc1".to_owned(),
        replication,
        consistency: Consistency::LocalQuorum,
        ca: None,
        login: None,
        limits: CassandraLimits {
            in_flight: 128,
            deadline: Duration::from_secs(20),
            directory_age: Duration::from_secs(3600),
        },
    }
}

/// An empty store on the shared node.
async fn empty() -> (Keyspace, Arc<CassandraStore>) {
    let used = USED.lock().unwrap_or_else(PoisonError::into_inner).pop();
    let name = used.clone().unwrap_or_else(nodes::keyspace);
    let node = tokio::task::spawn_blocking(nodes::shared).await.unwrap();
    let store = CassandraStore::open(&config(vec![node], &name, 1), QUARANTINE_MAX)
        .await
        .unwrap();
    if used.is_some() {
        for table in schema::tables() {
            let mut truncate = Statement::new(format!("TRUNCATE {name}.{table}"));
            truncate.set_request_timeout(Some(Duration::from_secs(60)));
            store.cluster.session.query_unpaged(truncate, ()).await.unwrap();
        }
    }
    (Keyspace(name), store)
}

contract! { empty().await }

/// An open breaker refuses all that would find the cluster well again; before there was a probe nothing did.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_open_breaker_closes_by_itself_when_the_cluster_answers() {
    let (_keyspace, store) = empty().await;
    let breaker = &store.cluster.breaker;
    breaker.failed(cluster::Reach::Delivery);
    tokio::time::sleep(Duration::from_secs(2)).await;
    while store.ready().is_ok() {
        breaker.failed(cluster::Reach::Delivery);
    }
    let refused = store.ready().unwrap_err().to_string();
    assert!(refused.contains("Cassandra is out of reach for "), "{refused}");
    assert!(store.list("ann@example.org").await.is_err(), "refused at once");
    let closed = async {
        while store.ready().is_err() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), closed)
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_clock_delivers_and_removes_nothing() {
    let (_keyspace, store) = empty().await;
    let offset = |theirs| clock::Offset::measured(1_000_000, Duration::ZERO, theirs);
    store.clock.learn(offset(990_001));
    assert!(store.ready().is_ok());
    store.clock.learn(offset(990_000));
    assert!(store.ready().is_err());
    let id = MessageId::new();
    assert!(store.remove("ann@example.org", &[id]).await.is_err());
    assert!(store.quarantine_drop(id).await.is_err());
    store.clock.learn(offset(1_000_000));
    store.remove("ann@example.org", &[id]).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn what_looks_after_a_store_ends_with_it() {
    let nothing = std::sync::Weak::new;
    let both = async { tokio::join!(watch::probe(nothing()), watch::survey(nothing())) };
    tokio::time::timeout(Duration::from_secs(60), both).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_is_dropped_is_gone() {
    let (_keyspace, store) = empty().await;
    let left = Arc::downgrade(&store);
    assert!(!store.remarks().is_empty(), "its nodes were looked at");
    drop(store);
    // A probe under way holds it until it is answered.
    let gone = async {
        while left.upgrade().is_some() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), gone).await.unwrap();
}

/// Whether it was emptied when it was over already, or before.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_epoch_that_is_over_and_empty_is_read_no_more() {
    let (_keyspace, store) = empty().await;
    let ann: Mailbox = "ann@example.org".into();
    let day = |ago: u64| rows::now_millis() - ago * 24 * 60 * 60 * 1000;
    let old = rows::id(rows::lowest_id(day(100)));
    let delivery = Delivery {
        id: old,
        ..contract::delivery(vec![contract::entry(&ann, 2)])
    };
    let plan = mail::Plan {
        entries: delivery.entries.iter().collect(),
        copies: Vec::new(),
    };
    store.write(&delivery, &plan).await.unwrap();
    assert_eq!(store.list(&ann).await.unwrap().len(), 1);
    assert_eq!(store.epochs(&ann).await.unwrap().len(), 1);
    store.remove(&ann, &[old]).await.unwrap();
    assert_eq!(store.epochs(&ann).await.unwrap(), []);

    let emptied = rows::epoch(rows::id(rows::lowest_id(day(60))));
    store.put_epoch(&ann, emptied).await.unwrap();
    let open = rows::epoch(rows::id(rows::lowest_id(day(0))));
    store.put_epoch(&ann, open).await.unwrap();
    assert_eq!(store.epochs(&ann).await.unwrap().len(), 2);
    assert_eq!(store.list(&ann).await.unwrap(), []);
    let left: Vec<_> = store
        .epochs(&ann)
        .await
        .unwrap()
        .into_iter()
        .map(|(epoch, _)| epoch)
        .collect();
    assert_eq!(left, [open]);
}

/// Another gateway's store on the same keyspace.
async fn beside(keyspace: &Keyspace, directory_age: Duration) -> Arc<CassandraStore> {
    let node = tokio::task::spawn_blocking(nodes::shared).await.unwrap();
    let mut config = config(vec![node], &keyspace.0, 1);
    config.limits.directory_age = directory_age;
    CassandraStore::open(&config, QUARANTINE_MAX).await.unwrap()
}

fn account(bytes: u64) -> Account {
    Account {
        address: "Ann@example.org".to_owned(),
        password: None,
        scram: None,
        quota_bytes: Some(bytes),
        quota_messages: None,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_another_gateway_changes_is_known_after_the_directory_s_age_and_what_it_makes_at_once() {
    let (keyspace, one) = empty().await;
    let remembers = beside(&keyspace, Duration::from_secs(3600)).await;
    let forgets = beside(&keyspace, Duration::ZERO).await;
    let key = "ann@example.org";
    assert_eq!(remembers.account(key).await.unwrap(), None);
    one.create_account(account(1)).await.unwrap();
    assert_eq!(
        remembers.account(key).await.unwrap(),
        Some(account(1)),
        "an absence is not remembered"
    );
    assert_eq!(forgets.account(key).await.unwrap(), Some(account(1)));

    one.update_account(account(2)).await.unwrap();
    assert_eq!(
        one.account(key).await.unwrap(),
        Some(account(2)),
        "its own change"
    );
    assert_eq!(remembers.account(key).await.unwrap(), Some(account(1)));
    assert_eq!(remembers.account_to_change(key).await.unwrap(), Some(account(2)));
    assert_eq!(forgets.account(key).await.unwrap(), Some(account(2)));

    one.remove_account(key).await.unwrap();
    assert_eq!(one.account(key).await.unwrap(), None, "its own change");
    assert_eq!(remembers.account(key).await.unwrap(), Some(account(1)));
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
