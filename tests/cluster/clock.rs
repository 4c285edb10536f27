//! A gateway whose clock is not the cluster's. The clock is faketime's.

use crate::gateway::{Gateway, POSTERN, Site};
use crate::mail::{self, Fate, Pop3, message};
use crate::{cassandra, turn};
use std::process::Command;

/// The library that `faketime` preloads. Its clock is read anew each time, from the file.
fn preload() -> String {
    let found = Command::new("faketime")
        .args(["-f", "+0s", "sh", "-c", "echo $LD_PRELOAD"])
        .output();
    let found = found.expect("tests on the clock need faketime: install faketime");
    String::from_utf8(found.stdout).unwrap().trim().to_owned()
}

/// Sets the clock of a gateway that was started with one.
pub(crate) fn set(site: &Site, offset: &str) {
    // Whoever reads it meanwhile has the old one or the new one.
    std::fs::write(site.path("offset.new"), offset).unwrap();
    std::fs::rename(site.path("offset.new"), site.path("offset")).unwrap();
}

/// `postern serve` with a clock that the site's file `offset` sets.
pub(crate) fn with_clock(site: &Site, offset: &str) -> Command {
    set(site, offset);
    let mut command = Command::new(POSTERN);
    command
        .arg("serve")
        .arg("--config")
        .arg(site.config())
        .env("LD_PRELOAD", preload())
        .env("FAKETIME_TIMESTAMP_FILE", site.path("offset"))
        .env("FAKETIME_NO_CACHE", "1")
        .env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
    command
}

#[test]
fn a_gateway_whose_clock_is_30_s_off_does_not_start() {
    let _turn = turn();
    let site = Site::new(&[cassandra::shared()], &cassandra::keyspace(), 1);
    for (offset, words) in [
        ("-30s", " s behind Cassandra's"),
        ("+30s", " s ahead of Cassandra's"),
    ] {
        let refused = with_clock(&site, offset).output().unwrap();
        let error = String::from_utf8(refused.stderr).unwrap();
        assert_eq!(refused.status.code(), Some(1), "{error}");
        let line = error.lines().last().unwrap();
        assert!(
            line.contains("this machine's clock is ") && line.contains(words),
            "{error}"
        );
    }
}

/// Deletions carry this clock's time: one that is behind would delete nothing.
#[test]
fn a_clock_that_drifts_stops_mail_and_deletions_until_it_is_right_again() {
    let _turn = turn();
    let site = Site::new(&[cassandra::shared()], &cassandra::keyspace(), 1);
    let mut gateway = Gateway::start(with_clock(&site, "+0s"));
    site.done(&["domain", "add", "example.org"], "");
    site.add_user("ann@example.org");
    let mx = gateway.mx;
    let send = |token| mail::send(mx, &["ann@example.org"], &message(token, 500));
    assert!(matches!(send(1), Fate::Kept(_)));
    let mut session = Pop3::login(gateway.pop3, "ann@example.org").unwrap();
    session.dele(1).unwrap();
    set(&site, "-30s");
    gateway.logged("s behind Cassandra's: mail is deferred until it is right");
    let page = gateway.await_ready("503");
    assert!(
        page.contains("store: not ready: store: this machine's clock is "),
        "{page}"
    );
    match send(2) {
        Fate::Refused(reply) => assert!(reply.starts_with("451 "), "{reply}"),
        other => panic!("{other:?}"),
    }
    let refused = session.quit().unwrap_err();
    assert!(refused.starts_with("-ERR [SYS/TEMP]"), "{refused}");
    set(&site, "+0s");
    gateway.logged("this machine's clock is right again");
    gateway.await_ready("200");
    assert!(matches!(send(3), Fate::Kept(_)));
    // Soon after the first: between two looks at the nodes' clocks too.
    set(&site, "+30s");
    gateway.logged("s ahead of Cassandra's: mail is deferred until it is right");
    assert!(!matches!(send(4), Fate::Kept(_)));
    set(&site, "+0s");
    gateway.await_ready("200");
    gateway.logged_times("clock is right again", 2);
    let told = gateway.lines("mail is deferred until it is right");
    assert_eq!(told.len(), 2, "once for each change: {told:?}");
    let mut session = Pop3::login(gateway.pop3, "ann@example.org").unwrap();
    assert_eq!(
        session.list().unwrap().len(),
        2,
        "what was not deleted and what came later"
    );
}
