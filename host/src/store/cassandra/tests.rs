//! The contract on a real Cassandra, and what is this engine's alone.

mod copying;
mod gateways;
mod halves;
mod paths;
mod upkeep;

pub(crate) use paths::counted;

use super::*;
use crate::clock::unix_millis;
use crate::config::{CassandraLimits, Consistency};
use crate::store::contract::{self, QUARANTINE_MAX, contract, mutants};
use crate::store::{Delivery, Mailbox, Maildrops as _, NewQuarantined, Quarantine as _, cluster as nodes};
use scylla::statement::unprepared::Statement;
use std::sync::{Mutex, PoisonError};

const DEADLINE: Duration = Duration::from_secs(20);

/// Keyspaces whose test is over: a schema takes longer to make than to empty.
static USED: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// A keyspace of one test, which the next may have after it.
pub(crate) struct Keyspace(String);

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
        limits: limits(),
    }
}

fn limits() -> CassandraLimits {
    CassandraLimits {
        in_flight: 128,
        deadline: DEADLINE,
        directory_age: Duration::from_secs(3600),
    }
}

async fn open(keyspace: &str, limits: CassandraLimits) -> Arc<CassandraStore> {
    open_holding(keyspace, limits, QUARANTINE_MAX).await
}

async fn open_holding(keyspace: &str, limits: CassandraLimits, quarantine_max: u64) -> Arc<CassandraStore> {
    let node = tokio::task::spawn_blocking(nodes::shared).await.unwrap();
    let mut config = config(vec![node], keyspace, 1);
    config.limits = limits;
    CassandraStore::open(&config, quarantine_max).await.unwrap()
}

impl Keyspace {
    /// The store of another gateway over the same keyspace.
    pub(crate) async fn beside(&self) -> Arc<CassandraStore> {
        open(&self.0, limits()).await
    }

    /// The same for one that gives up so soon.
    async fn beside_for(&self, deadline: Duration) -> Arc<CassandraStore> {
        open(&self.0, CassandraLimits { deadline, ..limits() }).await
    }

    /// The same for one whose quarantine may hold so many octets.
    async fn beside_holding(&self, quarantine_max: u64) -> Arc<CassandraStore> {
        open_holding(&self.0, limits(), quarantine_max).await
    }

    /// The same for one that remembers nothing of the directory.
    async fn beside_forgetful(&self) -> Arc<CassandraStore> {
        let directory_age = Duration::ZERO;
        open(
            &self.0,
            CassandraLimits {
                directory_age,
                ..limits()
            },
        )
        .await
    }
}

impl CassandraStore {
    /// Lets the store take it to be so many milliseconds later than now, and no later.
    pub(crate) fn stop_clock(&self, ahead: u64) {
        let moment = unix_millis() + ahead;
        self.clock
            .stopped
            .store(moment, std::sync::atomic::Ordering::Relaxed);
    }

    /// From now on every request fails.
    pub(crate) fn leave(&self) {
        self.cluster.lose("the cluster is away");
    }

    /// As if the time of a maildrop's lease were over.
    pub(crate) async fn forget_lease(&self, keyspace: &Keyspace, mailbox: &str) {
        let text = format!(
            "DELETE FROM {}.maildrop_lock WHERE mbox = ? IF EXISTS",
            keyspace.0
        );
        self.cluster
            .session
            .query_unpaged(text, (mailbox,))
            .await
            .unwrap();
    }

    /// As if the time were over in which what is known of these mailboxes is believed.
    pub(crate) fn doubt(&self, mailboxes: impl IntoIterator<Item = String>) {
        mailboxes
            .into_iter()
            .for_each(|mailbox| self.usages.doubt(&mailbox));
    }

    /// The statements that were sent since the last call, in order of their names.
    pub(crate) fn sent(&self) -> Vec<&'static str> {
        self.cluster.witness.take()
    }
}

/// An empty store on the shared node.
pub(crate) async fn empty() -> (Keyspace, Arc<CassandraStore>) {
    let used = USED.lock().unwrap_or_else(PoisonError::into_inner).pop();
    let name = used.clone().unwrap_or_else(nodes::keyspace);
    let store = open(&name, limits()).await;
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
mutants! { empty().await }

/// An open breaker refuses all that would find the cluster well again; before there was a probe nothing did.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_open_breaker_closes_by_itself_when_the_cluster_answers() {
    let (_keyspace, store) = empty().await;
    let breaker = &store.cluster.breaker;
    while store.ready().is_ok() {
        breaker.failed(cluster::Reach::Delivery);
        tokio::task::yield_now().await;
    }
    let refused = store.ready().unwrap_err().to_string();
    assert!(refused.contains("Cassandra is out of reach for "), "{refused}");
    assert!(store.list("ann@example.org").await.is_err(), "refused at once");
    turns(&store, true, Duration::from_secs(10)).await;
}

/// Waits until the store is ready, or is not.
async fn turns(store: &CassandraStore, is_ready: bool, patience: Duration) {
    let turned = async {
        while store.ready().is_ok() != is_ready {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(patience, turned).await.unwrap();
}

/// Nothing was asked, so nothing failed, and a gateway without mail was ready while no node was left.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_idle_store_is_not_ready_while_no_node_is_connected() {
    let start = || nodes::Cluster::start(1);
    let mut cluster = tokio::task::spawn_blocking(start).await.unwrap();
    let config = config(cluster.contacts(), &nodes::keyspace(), 1);
    let store = CassandraStore::open(&config, QUARANTINE_MAX).await.unwrap();
    let readiness = |is_ready| turns(&store, is_ready, Duration::from_secs(30));
    readiness(true).await;
    cluster.kill(1);
    readiness(false).await;
    let refused = store.ready().unwrap_err().to_string();
    assert!(refused.contains("Cassandra is out of reach"), "{refused}");
    let restart = move || {
        cluster.restart(1);
        cluster
    };
    let _cluster = tokio::task::spawn_blocking(restart).await.unwrap();
    readiness(true).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_only_reads_makes_no_keyspace_and_brings_none_up() {
    let node = tokio::task::spawn_blocking(nodes::shared).await.unwrap();
    let absent = config(vec![node.clone()], &nodes::keyspace(), 1);
    let opened = |config: CassandraConfig| async move {
        let opened = CassandraStore::open_to_read(&config, QUARANTINE_MAX).await;
        opened.map(drop).map_err(|error| error.to_string())
    };
    let refused = opened(absent.clone()).await.unwrap_err();
    let says = format!("keyspace {} is absent", absent.keyspace);
    assert!(refused.starts_with(&says), "{refused}");
    let changed = CassandraStore::open_to_change(&absent, QUARANTINE_MAX).await;
    assert_eq!(changed.map(drop).unwrap_err().to_string(), refused);
    let (keyspace, store) = empty().await;
    let session = &store.cluster.session;
    let there = "SELECT keyspace_name FROM system_schema.keyspaces WHERE keyspace_name = ?";
    let rows = session.query_unpaged(there, (&absent.keyspace,)).await.unwrap();
    assert_eq!(rows.into_rows_result().unwrap().rows_num(), 0);

    let there = config(vec![node], &keyspace.0, 1);
    opened(there.clone()).await.unwrap();
    let older = schema::CURRENT - 1;
    let set = format!(
        "UPDATE {}.schema_version SET v = {older} WHERE k = 'version' IF EXISTS",
        keyspace.0
    );
    session.query_unpaged(set, ()).await.unwrap();
    for _ in 0..2 {
        let refused = opened(there.clone()).await.unwrap_err();
        assert!(refused.contains(&format!("is version {older} of ")), "{refused}");
    }
    let changed = CassandraStore::open_to_change(&there, QUARANTINE_MAX).await;
    drop(changed.unwrap());
    opened(there).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_clock_delivers_and_removes_nothing() {
    let (_keyspace, store) = empty().await;
    let offset = |theirs| clock::Offset::measured(1_000_000, Duration::ZERO, theirs);
    // The edge itself is the clock's own test: here the two readings of a busy machine may be some milliseconds apart.
    store.clock.learn(offset(990_500));
    assert!(store.ready().is_ok());
    store.clock.learn(offset(990_000));
    assert!(store.ready().is_err());
    let id = MessageId::new();
    assert!(store.remove("ann@example.org", &[id]).await.is_err());
    assert!(store.quarantine_drop(id).await.is_err());
    store.clock.learn(offset(1_000_000));
    store.remove("ann@example.org", &[id]).await.unwrap();
}

/// One that had looked at the clock before it was set back deleted nothing, and said that it had.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_removal_has_the_time_of_its_look_at_the_clock() {
    let (_keyspace, store) = empty().await;
    let mut sent = contract::delivery(vec![contract::entry("ann@example.org", 5)]);
    sent.quarantine.push(NewQuarantined {
        mailboxes: vec!["ann@example.org".into()],
        reason: "bad".to_owned(),
        trace: bytes::Bytes::new(),
    });
    store.deliver(sent).await.unwrap();
    let set_back = unix_millis() - 60_000;
    let clock = &store.clock.stopped;
    clock.store(set_back, std::sync::atomic::Ordering::Relaxed);
    let listed = store.list("ann@example.org").await.unwrap();
    store.remove("ann@example.org", &[listed[0].id]).await.unwrap();
    assert_eq!(store.list("ann@example.org").await.unwrap(), []);
    let held = store.quarantined(None, 10).await.unwrap();
    store.quarantine_drop(held[0].id).await.unwrap();
    assert_eq!(store.quarantined(None, 10).await.unwrap(), []);
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
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), gone).await.unwrap();
}

/// Whether it was emptied when it was over already, or before.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_epoch_that_is_over_and_empty_is_read_no_more() {
    let (_keyspace, store) = empty().await;
    let ann: Mailbox = "ann@example.org".into();
    let day = |ago: u64| unix_millis() - ago * 24 * 60 * 60 * 1000;
    let old = rows::id(rows::lowest_id(day(100)));
    let delivery = Delivery {
        id: old,
        ..contract::delivery(vec![contract::entry(&ann, 2)])
    };
    let plan = mail::Plan {
        step: mail::Step::First,
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
