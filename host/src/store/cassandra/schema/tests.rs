//! The statements as text, and on a real node: applied twice, by two at once, and over what is newer.

use super::*;
use crate::config::{CassandraConfig, CassandraLimits, Consistency};
use crate::store::cassandra::session;
use crate::store::cluster;
use scylla::client::session::Session;
use scylla::statement::unprepared::Statement;
use std::time::Duration;

fn layout(keyspace: &str, dialect: Dialect) -> Layout {
    Layout {
        keyspace: keyspace.to_owned(),
        datacenter: "dc1".to_owned(),
        replication: 1,
        dialect,
    }
}

fn config(node: String) -> CassandraConfig {
    CassandraConfig {
        nodes: vec![node],
        keyspace: "unused".to_owned(),
        datacenter: "dc1".to_owned(),
        replication: 1,
        consistency: Consistency::LocalQuorum,
        ca: None,
        login: None,
        limits: CassandraLimits {
            in_flight: 128,
            deadline: Duration::from_secs(20),
            directory_age: Duration::from_secs(5),
        },
    }
}

/// A session with the shared node and a layout in a keyspace of its own.
async fn node() -> (Session, Layout) {
    let session = session::connect(&config(cluster::shared())).await.unwrap();
    (session, layout(&cluster::keyspace(), Dialect::Cassandra))
}

async fn run(session: &Session, text: &str) {
    let mut statement = Statement::new(text);
    // Tables are made and dropped slowly on a busy machine.
    statement.set_request_timeout(Some(Duration::from_secs(60)));
    session
        .query_unpaged(statement, ())
        .await
        .unwrap_or_else(|error| panic!("{text}: {error}"));
}

async fn dropped(session: &Session, layout: &Layout) {
    run(session, &format!("DROP KEYSPACE {}", layout.keyspace)).await;
}

/// Names and ids of a keyspace's tables.
async fn tables_in(session: &Session, layout: &Layout) -> Vec<(String, Uuid)> {
    let text = "SELECT table_name, id FROM system_schema.tables WHERE keyspace_name = ?";
    let result = session.query_unpaged(text, (&layout.keyspace,)).await.unwrap();
    let result = result.into_rows_result().unwrap();
    result
        .rows::<(String, Uuid)>()
        .unwrap()
        .map(Result::unwrap)
        .collect()
}

#[test]
fn the_id_of_the_table_of_versions_depends_on_the_keyspace_s_name_alone() {
    let mail = layout("mail", Dialect::Cassandra);
    let elsewhere = Layout {
        datacenter: "dc2".to_owned(),
        replication: 3,
        ..layout("mail", Dialect::Scylla)
    };
    // Written down: a change would part two programs that create at the same time.
    for layout in [&mail, &elsewhere] {
        assert!(
            layout
                .versions()
                .contains("WITH id = 6b2a5997-36c5-51b2-888c-f27fbc816739")
        );
    }
    assert!(!layout("post", Dialect::Cassandra).versions().contains("6b2a5997"));
}

#[test]
fn the_ids_of_the_other_tables_depend_on_the_keyspace_s_id_and_differ() {
    let (one, other) = (Uuid::from_u128(1), Uuid::from_u128(2));
    let mut ids: Vec<_> = [one, one, other]
        .iter()
        .flat_map(|made| TABLES.iter().map(|table| id(*made, table)))
        .collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 2 * TABLES.len());
}

#[test]
fn the_dialect_of_scylla_has_no_word_that_it_does_not_know_and_says_that_it_was_not_run() {
    let text = layout("mail", Dialect::Scylla).print();
    for unknown in ["Unified", "memtable", "'enabled': 'false'"] {
        assert!(!text.contains(unknown), "{unknown}");
    }
    assert!(text.contains("not run on it"));
    let cassandra = layout("mail", Dialect::Cassandra).print();
    assert!(
        !cassandra.contains("not run") && !cassandra.contains("Leveled") && !cassandra.contains("tablets")
    );
    for text in [&text, &cassandra] {
        assert_eq!(text.matches("CREATE TABLE").count(), TABLES.len() + 1);
        assert_eq!(text.matches(" AND compaction = ").count(), TABLES.len() + 1);
        assert_eq!(text.matches(" WITH id = ").count(), TABLES.len() + 1);
    }
}

#[test]
fn every_version_up_to_the_current_one_makes_something() {
    let mail = layout("mail", Dialect::Cassandra);
    let steps: usize = (1..=CURRENT)
        .map(|version| mail.steps(version, Uuid::nil()).len())
        .sum();
    assert_eq!(steps, TABLES.len());
    assert!((1..=CURRENT).all(|version| !mail.steps(version, Uuid::nil()).is_empty()));
}

#[tokio::test]
async fn applied_twice_it_is_made_once_and_the_status_follows() {
    let (session, layout) = node().await;
    assert_eq!(status(&session, &layout).await.unwrap(), Status::Absent);
    assert_eq!(apply(&session, &layout).await.unwrap(), Applied::Made);
    assert_eq!(status(&session, &layout).await.unwrap(), Status::Current);
    assert_eq!(apply(&session, &layout).await.unwrap(), Applied::Found);
    let made = made(&session, &layout.keyspace).await.unwrap();
    let mut found = tables_in(&session, &layout).await;
    found.retain(|(name, _)| name != "schema_version");
    let mut expected: Vec<_> = TABLES
        .iter()
        .map(|table| (table.name.to_owned(), id(made, table)))
        .collect();
    found.sort();
    expected.sort();
    assert_eq!(found, expected);
    dropped(&session, &layout).await;
}

#[tokio::test]
async fn after_a_drop_it_is_another_keyspace_and_no_table_but_that_of_versions_has_its_old_id() {
    let (session, layout) = node().await;
    let mut seen = Vec::new();
    for _ in 0..2 {
        assert_eq!(apply(&session, &layout).await.unwrap(), Applied::Made);
        seen.extend(tables_in(&session, &layout).await);
        let asked = || Statement::new(Made::statement(&layout.keyspace));
        let id = made(&session, &layout.keyspace).await.unwrap();
        assert_eq!(Made::as_told(&session, asked()).await, Some(Made::Once(id)));
        dropped(&session, &layout).await;
        assert_eq!(Made::as_told(&session, asked()).await, Some(Made::Never));
    }
    seen.sort_unstable();
    seen.dedup();
    assert_eq!(seen.len(), 2 * TABLES.len() + 1);
}

#[tokio::test]
async fn two_who_apply_at_once_to_an_empty_cluster_both_find_it_made() {
    let (session, layout) = node().await;
    let other = session::connect(&config(cluster::shared())).await.unwrap();
    let (one, two) = tokio::join!(apply(&session, &layout), apply(&other, &layout));
    let mut done = [one.unwrap(), two.unwrap()];
    done.sort_by_key(|done| *done == Applied::Found);
    assert_eq!(done, [Applied::Made, Applied::Found]);
    assert_eq!(tables_in(&session, &layout).await.len(), TABLES.len() + 1);
    for session in [&session, &other] {
        assert_eq!(status(session, &layout).await.unwrap(), Status::Current);
    }
    dropped(&session, &layout).await;
}

#[tokio::test]
async fn a_newer_schema_is_refused_with_both_versions_and_an_older_one_is_brought_up() {
    let (session, layout) = node().await;
    apply(&session, &layout).await.unwrap();
    let set = |version: i32| {
        let keyspace = &layout.keyspace;
        format!("UPDATE {keyspace}.schema_version SET v = {version} WHERE k = 'version' IF EXISTS")
    };
    run(&session, &set(CURRENT + 1)).await;
    assert_eq!(
        status(&session, &layout).await.unwrap(),
        Status::Newer(CURRENT + 1)
    );
    let refused = apply(&session, &layout).await.unwrap_err().to_string();
    let says = format!("is version {}, this program knows {CURRENT}", CURRENT + 1);
    assert!(refused.contains(&says), "{refused}");
    run(&session, &set(CURRENT - 1)).await;
    assert_eq!(
        status(&session, &layout).await.unwrap(),
        Status::Older(CURRENT - 1)
    );
    assert_eq!(apply(&session, &layout).await.unwrap(), Applied::Made);
    assert_eq!(status(&session, &layout).await.unwrap(), Status::Current);
    dropped(&session, &layout).await;
}

#[tokio::test]
async fn an_application_that_was_cut_off_is_finished_by_the_next() {
    let (session, layout) = node().await;
    run(&session, &layout.keyspace()).await;
    run(&session, &layout.versions()).await;
    let made = made(&session, &layout.keyspace).await.unwrap();
    run(&session, &layout.table(&TABLES[0], id(made, &TABLES[0]))).await;
    assert_eq!(status(&session, &layout).await.unwrap(), Status::Absent);
    assert_eq!(apply(&session, &layout).await.unwrap(), Applied::Made);
    assert_eq!(tables_in(&session, &layout).await.len(), TABLES.len() + 1);
    dropped(&session, &layout).await;
}

#[tokio::test]
async fn a_keyspace_that_the_cluster_cannot_serve_is_not_made() {
    let (session, layout) = node().await;
    let wide = Layout {
        replication: 9,
        ..layout.clone()
    };
    let refused = apply(&session, &wide).await.unwrap_err();
    assert!(
        matches!(refused, SchemaError::Replication { replication: 9, .. }),
        "{refused}"
    );
    let lost = Layout {
        datacenter: "nowhere".to_owned(),
        ..layout.clone()
    };
    let refused = apply(&session, &lost).await.unwrap_err().to_string();
    assert!(
        refused.contains("no data centre `nowhere`, the cluster has dc1"),
        "{refused}"
    );
    assert_eq!(status(&session, &layout).await.unwrap(), Status::Absent);
}

/// Gateways of the version before go on meanwhile: what they know stays as it is.
#[tokio::test]
async fn a_schema_of_the_first_version_gets_what_came_since() {
    let (session, layout) = node().await;
    run(&session, &layout.keyspace()).await;
    run(&session, &layout.versions()).await;
    let made = made(&session, &layout.keyspace).await.unwrap();
    for step in layout.steps(1, made) {
        run(&session, &step).await;
    }
    let keyspace = &layout.keyspace;
    run(
        &session,
        &format!("INSERT INTO {keyspace}.schema_version (k, v) VALUES ('version', 1) IF NOT EXISTS"),
    )
    .await;
    let before = tables_in(&session, &layout).await;
    assert!(before.iter().all(|(name, _)| name != "maildrop_lock"));
    assert_eq!(status(&session, &layout).await.unwrap(), Status::Older(1));
    assert_eq!(apply(&session, &layout).await.unwrap(), Applied::Made);
    assert_eq!(status(&session, &layout).await.unwrap(), Status::Current);
    let after = tables_in(&session, &layout).await;
    assert!(before.iter().all(|table| after.contains(table)));
    let lock = TABLES.iter().find(|table| table.name == "maildrop_lock").unwrap();
    assert!(after.contains(&(lock.name.to_owned(), id(made, lock))));
    dropped(&session, &layout).await;
}
