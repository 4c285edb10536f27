//! Two gateways over one real Cassandra: `pop3.lease`.

use super::PLAIN;
use super::house::House;
use crate::store::CassandraStore;
use crate::store::cassandra::tests::{Keyspace, empty};
use std::sync::Arc;

const LEASE: &str = "store: { cassandra: { nodes: [127.0.0.1] } }\npop3: { lease: 30s }\n";
const ANN: &str = "ann@example.org";

async fn houses() -> (Keyspace, Arc<CassandraStore>, [House; 2]) {
    let (keyspace, store) = empty().await;
    let other = keyspace.beside().await;
    let houses = [House::over(store.clone(), LEASE), House::over(other, LEASE)];
    (keyspace, store, houses)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_maildrop_has_one_session_over_all_gateways_until_that_ends_in_any_way() {
    let (_keyspace, _store, [one, other]) = houses().await;
    one.deliver("", PLAIN).await;
    let mut first = one.login().await;
    let mut second = other.connect().await;
    assert!(second.log_in("secret").await.starts_with("-ERR [IN-USE]"));
    assert!(first.say("QUIT").await.starts_with("+OK"));
    // Without a pause: it is free before QUIT is answered, with and without something to delete.
    let mut second = other.login().await;
    assert!(second.say("DELE 1").await.starts_with("+OK"));
    assert!(second.say("QUIT").await.starts_with("+OK"));
    let third = one.login().await;
    third.vanish().await;
    other.login().await;
    assert_eq!(one.listed().await, []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_quit_deletes_nothing_when_the_lease_is_over_or_anothers() {
    let (keyspace, store, [one, other]) = houses().await;
    let id = one.deliver("", PLAIN).await;
    for taken_over in [false, true] {
        let mut late = one.login().await;
        assert!(late.say("DELE 1").await.starts_with("+OK"));
        store.forget_lease(&keyspace, ANN).await;
        if taken_over {
            let mut next = other.login().await;
            assert!(late.say("QUIT").await.starts_with("-ERR [SYS/TEMP]"));
            assert_eq!(next.say("LIST 1").await, format!("+OK 1 {}", PLAIN.len()));
            assert!(
                next.say("QUIT").await.starts_with("+OK"),
                "it has its lease still"
            );
        } else {
            assert!(late.say("QUIT").await.starts_with("-ERR [SYS/TEMP]"));
        }
        assert_eq!(one.listed().await, [id]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_whose_lease_is_not_renewed_is_ended_and_told_so() {
    let (keyspace, store, [one, _]) = houses().await;
    let id = one.deliver("", PLAIN).await;
    let mut client = one.login().await;
    assert!(client.say("DELE 1").await.starts_with("+OK"));
    store.forget_lease(&keyspace, ANN).await;
    let rest = client.rest().await;
    assert!(
        rest.starts_with("-ERR [SYS/TEMP] the maildrop may be open elsewhere"),
        "{rest}"
    );
    assert_eq!(one.listed().await, [id]);
    client.ended().await;
    one.login().await;
}
