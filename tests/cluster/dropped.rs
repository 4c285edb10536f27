//! A keyspace that is dropped, or dropped and made again, under a gateway that runs; and one of its tables.

use crate::cassandra;
use crate::gateway::{Gateway, Site};
use crate::mail::{self, Fate, Pop3, message};
use crate::turn;
use postern::config::{Config, StoreConfig};
use postern::store::cassandra::session;
use std::time::{Duration, Instant};

const GONE: &str = "was dropped, or made anew, under this gateway";

fn drop_keyspace(site: &Site, keyspace: &str) {
    say(site, format!("DROP KEYSPACE {keyspace}"));
}

fn say(site: &Site, text: String) {
    let StoreConfig::Cassandra(cluster) = Config::load(&site.config()).unwrap().store else {
        panic!("a cluster was named");
    };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let session = session::connect(&cluster).await.unwrap();
        let mut statement = scylla::statement::Statement::new(text);
        statement.set_request_timeout(Some(crate::PATIENCE));
        session.query_unpaged(statement, ()).await.unwrap();
    });
}

fn populate(site: &Site) {
    site.done(&["domain", "add", "example.org"], "");
    site.add_user("ann@example.org");
}

fn keeps(gateway: &Gateway, token: usize) {
    let fate = mail::send(gateway.mx, &["ann@example.org"], &message(token, 2_000));
    assert!(matches!(fate, Fate::Kept(_)), "{fate:?}");
}

/// For now, in both protocols, and the reason is told once.
fn refuses(gateway: &mut Gateway) {
    gateway.logged(GONE);
    let fate = mail::send(gateway.mx, &["ann@example.org"], &message(9, 2_000));
    assert!(
        matches!(&fate, Fate::Refused(reply) if reply.starts_with("451 ")),
        "{fate:?}"
    );
    let error = Pop3::login(gateway.pop3, "ann@example.org")
        .map(drop)
        .unwrap_err();
    assert!(error.starts_with("-ERR [SYS/TEMP]"), "{error}");
    let page = gateway.await_ready("503");
    assert!(page.contains(GONE), "{page}");
    // Each refusal has it as its reason in a line of its own.
    let told = gateway.lines(GONE).into_iter();
    let told = told.filter(|line| line.contains("cassandra::watch: "));
    assert_eq!(told.count(), 1);
}

#[test]
fn mail_waits_when_the_keyspace_is_dropped_and_flows_after_schema_apply_and_a_new_start() {
    let _turn = turn();
    let keyspace = cassandra::keyspace();
    let site = Site::new(&[cassandra::shared()], &keyspace, 1);
    let mut gateway = site.serve();
    populate(&site);
    keeps(&gateway, 1);
    drop_keyspace(&site, &keyspace);
    refuses(&mut gateway);
    // What this gateway remembers of the old tables would lose mail in the new ones.
    let other = Site::new(&[cassandra::shared()], &keyspace, 1);
    let said = other.done(&["schema", "apply"], "");
    assert!(said.contains("has schema version"), "{said}");
    populate(&other);
    refuses(&mut gateway);
    assert_eq!(gateway.end(), Some(0));

    let gateway = site.serve();
    keeps(&gateway, 2);
    let mut session = Pop3::login(gateway.pop3, "ann@example.org").unwrap();
    assert_eq!(session.list().unwrap().len(), 1);
    assert_eq!(mail::token(&session.retr(1).unwrap()), Some(2));
}

#[test]
fn a_keyspace_that_was_made_again_at_once_is_noticed_by_a_gateway_that_did_nothing() {
    let _turn = turn();
    let keyspace = cassandra::keyspace();
    let sites = [(); 2].map(|()| Site::new(&[cassandra::shared()], &keyspace, 1));
    let mut gateway = sites[0].serve();
    populate(&sites[0]);
    keeps(&gateway, 1);
    drop_keyspace(&sites[0], &keyspace);
    sites[1].done(&["schema", "apply"], "");
    refuses(&mut gateway);
}

/// What is asked of it the cluster refused, and the gateway took it to be away: everybody else's mail waited too.
#[test]
fn a_table_that_is_dropped_defers_what_needs_it_and_nothing_else() {
    let _turn = turn();
    let keyspace = cassandra::keyspace();
    let site = Site::new(&[cassandra::shared()], &keyspace, 1);
    let mut gateway = site.serve();
    populate(&site);
    keeps(&gateway, 1);
    say(&site, format!("DROP TABLE {keyspace}.small"));
    let begun = Instant::now();
    // Longer than failures in a row take to open the breaker, and more of them.
    for token in 2.. {
        match mail::send(gateway.mx, &["ann@example.org"], &message(token, 2_000)) {
            Fate::Refused(reply) => assert!(reply.starts_with("451 "), "{reply}"),
            other => panic!("{other:?}"),
        }
        if token > 20 && begun.elapsed() > Duration::from_secs(4) {
            break;
        }
    }
    gateway.await_ready("200");
    assert!(gateway.lines("out of reach").is_empty());
    // A large one is written elsewhere.
    let fate = mail::send(gateway.mx, &["ann@example.org"], &message(1, 40_000));
    assert!(matches!(fate, Fate::Kept(_)), "{fate:?}");
    let mut session = Pop3::login(gateway.pop3, "ann@example.org").unwrap();
    assert_eq!(session.list().unwrap().len(), 2);
    let error = session.retr(1).unwrap_err();
    assert!(error.starts_with("-ERR [SYS/TEMP]"), "{error}");
}

#[cfg(feature = "faults")]
#[test]
fn a_node_that_was_away_when_the_keyspace_was_dropped_brings_no_mail_back() {
    let _turn = turn();
    let mut cluster = cassandra::Cluster::start(3);
    let site = Site::new(&cluster.contacts(), "mail", 3);
    let gateway = site.serve();
    populate(&site);
    keeps(&gateway, 1);
    drop(gateway);
    cluster.kill(3);
    drop_keyspace(&site, "mail");
    site.done(&["schema", "apply"], "");
    populate(&site);
    cluster.restart(3);
    cluster.kill(2);
    let gateway = site.serve();
    let mut session = Pop3::login(gateway.pop3, "ann@example.org").unwrap();
    assert_eq!(session.list().unwrap(), []);
    keeps(&gateway, 2);
}
