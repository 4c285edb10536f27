//! A node that wants TLS and a login: with the right ones mail flows, each wrong one is told in one line.

use crate::cassandra::{self, Cluster};
use crate::gateway::{Gateway, POSTERN, Site};
use crate::mail::{self, Fate, Pop3, message};
use crate::{ask_again, turn};
use postern::config::{Config, StoreConfig};
use postern::store::cassandra::session;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const ROLE: &str = "postern";
const SECRET: &str = "not in the file";

/// An authority, and what it signed for a node on 127.0.0.1: PEM files in a folder.
fn certificates(folder: &Path) {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let node = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
    let node = node.signed_by(&key, &authority).unwrap();
    std::fs::write(folder.join("ca.pem"), authority.pem()).unwrap();
    let whole = format!("{}{}", key.serialize_pem(), node.pem());
    std::fs::write(folder.join("node.pem"), whole).unwrap();
}

/// A node that speaks nothing but TLS, to those who log in.
fn guarded(folder: &Path) -> Cluster {
    let tls = format!(
        "{{ enabled: true, optional: false, keystore: '{}', ssl_context_factory: {{ class_name: \
         org.apache.cassandra.security.PEMBasedSslContextFactory }} }}",
        folder.join("node.pem").display()
    );
    Cluster::start_with(
        1,
        &[
            ("client_encryption_options", &tls),
            ("authenticator", "PasswordAuthenticator"),
            ("authorizer", "CassandraAuthorizer"),
        ],
    )
}

/// Runs statements as the cluster's first administrator.
fn administer(node: &str, ca: &Path, statements: &[String]) {
    let site = Site::with(&format!(
        "nodes: [{node:?}], tls: {{ ca: {ca:?} }}, user: cassandra, password: \"file:password\""
    ));
    std::fs::write(site.path("password"), "cassandra\n").unwrap();
    let StoreConfig::Cassandra(cluster) = Config::load(&site.config()).unwrap().store else {
        panic!("a cluster was named");
    };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    // A new cluster makes its first role some time after it takes connections.
    let connect = || runtime.block_on(session::connect(&cluster));
    let session = ask_again(|| connect().map_err(|error| error.to_string()));
    runtime.block_on(async {
        for statement in statements {
            session.query_unpaged(statement.as_str(), ()).await.unwrap();
        }
    });
}

/// What a start with these keys ends with: one line.
fn refusal(cassandra: &str) -> String {
    let site = Site::with(&format!("replication: 1, {cassandra}"));
    std::fs::write(site.path("password"), "wrong\n").unwrap();
    let mut serve = Command::new(POSTERN);
    serve.arg("serve").arg("--config").arg(site.config());
    let ended = serve.stdin(Stdio::null()).output().unwrap();
    let said = String::from_utf8(ended.stderr).unwrap();
    println!("{}", said.trim_end());
    assert_eq!(ended.status.code(), Some(1), "{said}");
    assert_eq!(said.trim_end().lines().count(), 1, "{said}");
    said
}

#[test]
fn mail_flows_over_tls_and_with_a_login_and_each_wrong_one_is_told_in_one_line() {
    let _turn = turn();
    let folder = tempfile::tempdir().unwrap();
    let other = tempfile::tempdir().unwrap();
    certificates(folder.path());
    certificates(other.path());
    let (ca, others) = (folder.path().join("ca.pem"), other.path().join("ca.pem"));
    let cluster = guarded(folder.path());
    let node = cluster.contact(1);
    administer(
        &node,
        &ca,
        &[
            format!("CREATE ROLE {ROLE} WITH PASSWORD = '{SECRET}' AND LOGIN = true"),
            "CREATE ROLE guest WITH PASSWORD = 'wrong' AND LOGIN = true".to_owned(),
            format!("GRANT CREATE ON ALL KEYSPACES TO {ROLE}"),
            format!("GRANT SELECT ON system_views.settings TO {ROLE}"),
            "CREATE ROLE lodger WITH PASSWORD = 'wrong' AND LOGIN = true".to_owned(),
            "CREATE KEYSPACE lodging WITH replication = {'class': 'NetworkTopologyStrategy', 'dc1': 1}"
                .to_owned(),
            "GRANT CREATE, SELECT, MODIFY ON KEYSPACE lodging TO lodger".to_owned(),
            "GRANT SELECT ON system_views.settings TO lodger".to_owned(),
        ],
    );

    let nodes = format!("nodes: [{node:?}], replication: 1, tls: {{ ca: {ca:?} }}, user: {ROLE}");
    let site = Site::with(&format!("{nodes}, password: \"file:password\""));
    std::fs::write(site.path("password"), SECRET).unwrap();
    let gateway = site.serve();
    let page = gateway.page("/readyz?verbose");
    assert!(
        page.contains("commitlog_sync is periodic on 127.0.0.1:"),
        "{page}"
    );
    site.done(&["domain", "add", "example.org"], "");
    site.add_user("ann@example.org");
    let fate = mail::send(gateway.mx, &["ann@example.org"], &message(1, 2_000));
    assert!(matches!(fate, Fate::Kept(_)), "{fate:?}");
    let mut session = Pop3::login(gateway.pop3, "ann@example.org").unwrap();
    assert_eq!(mail::token(&session.retr(1).unwrap()), Some(1));

    let named = Site::with(&format!("{nodes}, password: \"env:DATABASE_SECRET\""));
    let status = |secret: &str| {
        let mut command = Command::new(POSTERN);
        command.args(["schema", "status", "--config"]).arg(named.config());
        command.env("DATABASE_SECRET", secret).output().unwrap()
    };
    assert!(status(SECRET).status.success());
    let refused = String::from_utf8(status("another").stderr).unwrap();
    assert!(refused.contains("the login is refused"), "{refused}");

    in_a_keyspace_that_was_made_for_it(&node, &ca);
    each_wrong_one(&node, &ca, &others);
}

/// By a role that may make none.
fn in_a_keyspace_that_was_made_for_it(node: &str, ca: &Path) {
    let site = Site::with(&format!(
        "nodes: [{node:?}], keyspace: lodging, replication: 1, tls: {{ ca: {ca:?} }}, user: lodger, password: \"file:password\""
    ));
    std::fs::write(site.path("password"), "wrong\n").unwrap();
    site.done(&["schema", "apply"], "");
    let mut gateway = site.serve();
    site.done(&["domain", "add", "example.org"], "");
    site.add_user("ann@example.org");
    let fate = mail::send(gateway.mx, &["ann@example.org"], &message(1, 2_000));
    assert!(matches!(fate, Fate::Kept(_)), "{fate:?}");
    // Who makes a table has all rights on it.
    let (here, all) = ("lodging.small", "KEYSPACE lodging");
    without_a_right(
        &mut gateway,
        || {
            administer(
                node,
                ca,
                &[here, all].map(|on| format!("REVOKE MODIFY ON {on} FROM lodger")),
            )
        },
        || administer(node, ca, &[format!("GRANT MODIFY ON {all} TO lodger")]),
    );
}

/// Mail is deferred one by one, for the nodes are there, and flows as soon as the right is given back.
fn without_a_right(gateway: &mut Gateway, take: impl Fn(), give: impl Fn()) {
    let mx = gateway.mx;
    let send = || match mail::send(mx, &["ann@example.org"], &message(2, 2_000)) {
        Fate::Kept(_) => true,
        Fate::Refused(reply) if reply.starts_with("451 ") => false,
        other => panic!("{other:?}"),
    };
    // A node remembers for some seconds who may do what.
    let until = |kept: bool| {
        ask_again(|| match send() == kept {
            true => Ok(()),
            false => Err(format!("kept: {}", !kept)),
        });
    };
    take();
    until(false);
    // Longer than failures in a row take to open the breaker.
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(4) {
        assert!(!send());
    }
    gateway.await_ready("200");
    assert!(!gateway.lines("has no MODIFY permission").is_empty(), "told why");
    assert!(gateway.lines("out of reach").is_empty());
    give();
    until(true);
}

fn each_wrong_one(node: &str, ca: &Path, others: &Path) {
    let plain = cassandra::shared();
    for (cassandra, says) in [
        (
            format!("nodes: [{node:?}], tls: {{ ca: {ca:?} }}, user: {ROLE}, password: \"file:password\""),
            "the login is refused",
        ),
        (
            format!("nodes: [{node:?}], tls: {{ ca: {ca:?} }}"),
            "it wants a login; name store.cassandra.user",
        ),
        (
            format!("nodes: [{node:?}], tls: {{ ca: {ca:?} }}, user: guest, password: \"file:password\""),
            "User guest has no SELECT permission on <table mail.schema_version>",
        ),
        (
            format!("nodes: [{node:?}], tls: {{ ca: {others:?} }}"),
            "its certificate is signed by nobody in",
        ),
        (format!("nodes: [{node:?}]"), "does it want TLS?"),
        (
            format!("nodes: [{plain:?}], tls: {{ ca: {ca:?} }}"),
            "it does not speak TLS on this port",
        ),
        (
            format!("nodes: [{node:?}], tls: {{ ca: password }}"),
            "no certificate in it",
        ),
    ] {
        let said = refusal(&cassandra);
        assert!(said.contains(says), "{says}\n{said}");
    }
}
