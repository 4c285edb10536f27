//! Half rows, as repairs leave them on a replica that missed the whole ones (see [`super::super::statements`]): they
//! are not there, and nothing beside them is harmed.
//!
//! On one node a quorum is that node, so what is half here is half for good.

use super::upkeep::{aged, cql, put};
use super::*;
use crate::store::{Bodies as _, Directory as _, Holder, Kv as _, KvWrite, Usage};
use bytes::Bytes;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn half_a_listing_row_is_not_listed_and_hides_no_other() {
    let (keyspace, store) = empty().await;
    let (whole, half) = (aged(1000), aged(2000));
    put(&store, whole, 100, &["a@x.org"], &[]).await;
    for columns in ["", ", size", ", size, body"] {
        let values = ["", ", 5", ", 5, 0"][columns.matches(',').count()];
        let text =
            format!("INSERT INTO {{ks}}.entry (mbox, epoch, msg{columns}) VALUES ('a@x.org', ?, ?{values})");
        cql(&store, &keyspace, &text, (rows::epoch(half), rows::uuid(half))).await;
        let listed = store.list("a@x.org").await.unwrap();
        assert_eq!(listed.len(), 1, "with msg{columns}");
        let usage = Usage {
            bytes: listed[0].size,
            messages: 1,
        };
        assert_eq!(store.usage("a@x.org").await.unwrap(), usage);
    }
    store.remove("a@x.org", &[half, whole]).await.unwrap();
    assert_eq!(store.list("a@x.org").await.unwrap(), []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_part_of_a_body_without_its_octets_is_not_there() {
    let (keyspace, store) = empty().await;
    for column in ["codec", "data"] {
        let id = aged(1000);
        put(&store, id, 40_000, &["a@x.org"], &[]).await;
        let text = format!("DELETE {column} FROM {{ks}}.blob WHERE id = ? AND seq = 0");
        cql(&store, &keyspace, &text, (rows::uuid(id),)).await;
        let read = store.read(Holder::Mailbox("a@x.org"), id, 100, 1000).await;
        assert!(
            matches!(read, Err(StoreError::NotFound)),
            "without {column}: {read:?}"
        );
    }
    let id = aged(1000);
    put(&store, id, 40_000, &["a@x.org"], &[]).await;
    let text = "DELETE facts FROM {ks}.blob WHERE id = ?";
    cql(&store, &keyspace, text, (rows::uuid(id),)).await;
    let facts = store.facts(Holder::Mailbox("a@x.org"), id).await;
    assert!(
        matches!(facts, Err(StoreError::NotFound)),
        "sizes alone: {facts:?}"
    );
}

/// Mail for an address of which one replica had nothing but its kind was refused for good.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn half_an_address_is_trouble_and_not_an_unknown_one() {
    let (keyspace, store) = empty().await;
    for columns in [
        "kind) VALUES ('a@x.org', 0",
        "kind) VALUES ('a@x.org', 1",
        "password) VALUES ('a@x.org', 'x'",
    ] {
        let text = format!("INSERT INTO {{ks}}.address (key, {columns}) IF NOT EXISTS");
        cql(&store, &keyspace, &text, ()).await;
        for found in [
            store.account("a@x.org").await.map(drop),
            store.alias("a@x.org").await.map(drop),
        ] {
            let error = found.unwrap_err().to_string();
            assert!(
                error.contains("the row of address a@x.org is not whole"),
                "{error}"
            );
        }
        cql(
            &store,
            &keyspace,
            "DELETE FROM {ks}.address WHERE key = 'a@x.org' IF EXISTS",
            (),
        )
        .await;
    }
    assert!(store.account("a@x.org").await.unwrap().is_none());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn half_a_quarantined_copy_is_not_there_and_hides_no_other() {
    let (keyspace, store) = empty().await;
    let (whole, half) = (aged(1000), aged(2000));
    put(&store, whole, 100, &[], &["bad"]).await;
    let text = "INSERT INTO {ks}.quarantine (epoch, msg, weight) VALUES (?, ?, 5)";
    cql(&store, &keyspace, text, (rows::epoch(half), rows::uuid(half))).await;
    let found = store.quarantined(None, 10).await.unwrap();
    assert_eq!(found.iter().map(|copy| copy.id).collect::<Vec<_>>(), [whole]);
    assert!(matches!(
        store.quarantined_one(half).await,
        Err(StoreError::NotFound)
    ));
}

/// An insertion's mark of a row has a ttl of its own: it outlived a value that was replaced for a shorter time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_value_of_which_the_mark_alone_is_left_is_absent_and_can_be_set_again() {
    let (keyspace, store) = empty().await;
    let text = "INSERT INTO {ks}.plugin_kv (plugin, k) VALUES ('p', 'k') IF NOT EXISTS";
    cql(&store, &keyspace, text, ()).await;
    assert_eq!(store.kv_get("p", "k", 1000).await.unwrap(), None);
    let write = KvWrite {
        value: Bytes::from_static(b"again"),
        ttl: 0,
        now: 1000,
        quota: 1000,
    };
    store.kv_set("p", "k", write).await.unwrap();
    assert_eq!(
        store.kv_get("p", "k", 1000).await.unwrap(),
        Some(Bytes::from_static(b"again"))
    );
    cql(&store, &keyspace, "UPDATE {ks}.plugin_kv SET v = null, ver = null, over_at = null WHERE plugin = 'p' AND k = 'k' IF EXISTS", ()).await;
    assert_eq!(store.kv_increment("p", "k", 2, 0, 1000, 1000).await.unwrap(), 2);
    store.kv_remove("p", "k").await.unwrap();
    assert_eq!(store.kv_get("p", "k", 1000).await.unwrap(), None);
}
