//! The contract on a real Cassandra, and what is this engine's alone.

mod copying;
mod upkeep;

use super::*;
use crate::config::{CassandraLimits, Consistency};
use crate::store::cluster;
use crate::store::contract::{QUARANTINE_MAX, contract};
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
        },
    }
}

/// An empty store on the shared node.
async fn empty() -> (Keyspace, Arc<CassandraStore>) {
    let used = USED.lock().unwrap_or_else(PoisonError::into_inner).pop();
    let name = used.clone().unwrap_or_else(cluster::keyspace);
    let node = tokio::task::spawn_blocking(cluster::shared).await.unwrap();
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

/// MAIL asks whether the store is ready, so a breaker that waited for requests to close it stayed open for ever.
#[tokio::test]
async fn an_open_breaker_closes_by_itself_when_the_cluster_answers() {
    let (_keyspace, store) = empty().await;
    while store.ready().is_ok() {
        store.cluster.breaker.failed();
        tokio::task::yield_now().await;
    }
    let closed = async {
        while store.ready().is_err() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), closed)
        .await
        .unwrap();
}
