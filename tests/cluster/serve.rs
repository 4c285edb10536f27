//! Gateways that share a keyspace on one node.

use crate::cassandra;
use crate::gateway::Site;
use crate::mail::{self, Fate, Pop3, message};
use crate::tables::Tables;
use crate::{ask_again, at_length, turn};
use scylla::statement::Consistency;
use std::sync::Barrier;

fn sites(keyspace: &str) -> [Site; 2] {
    let nodes = [cassandra::shared()];
    [(); 2].map(|()| Site::new(&nodes, keyspace, 1))
}

fn refusal(fate: &Fate) -> &str {
    match fate {
        Fate::Refused(reply) => reply,
        other => panic!("{other:?}"),
    }
}

#[test]
fn two_gateways_start_at_once_on_an_empty_cluster_and_are_one_mail_server() {
    let _turn = turn();
    let [one, other] = &sites(&cassandra::keyspace());
    let (mut first, second) = std::thread::scope(|scope| {
        let starting = scope.spawn(|| other.serve());
        (one.serve(), starting.join().unwrap())
    });
    one.done(&["domain", "add", "example.org"], "");
    one.add_user("ann@example.org");
    for (token, size) in [(1, 2_000), (2, 400_000)] {
        let fate = mail::send(first.mx, &["ann@example.org"], &message(token, size));
        assert!(matches!(fate, Fate::Kept(_)), "{fate:?}");
    }
    let mut session = Pop3::login(second.pop3, "ann@example.org").unwrap();
    let listed = session.list().unwrap();
    let tokens: Vec<_> = listed
        .iter()
        .map(|(number, _)| mail::token(&session.retr(*number).unwrap()))
        .collect();
    assert_eq!(tokens, [Some(1), Some(2)]);
    session.dele(1).unwrap();
    session.quit().unwrap();
    let mut session = Pop3::login(first.pop3, "ann@example.org").unwrap();
    assert_eq!(session.list().unwrap(), [(1, listed[1].1)]);
    for site in [one, other] {
        assert_eq!(site.usage("ann@example.org"), (listed[1].1, 1));
    }
    let said = first.logged("commitlog_sync is periodic");
    assert!(
        said.contains("is lost if all nodes that took it lose their power"),
        "{said}"
    );
    assert_eq!(first.lines("commitlog_sync").len(), 1, "it is said once");
    let page = second.page("/readyz?verbose");
    assert!(
        page.contains("store: ready\nstore: commitlog_sync is periodic on 127.0.0.1:"),
        "{page}"
    );
    assert!(page.contains("store: this machine's clock is 0."), "{page}");
    assert_eq!((first.end(), second.end()), (Some(0), Some(0)));
}

#[test]
fn what_one_gateway_makes_the_other_knows_at_once_and_what_it_removes_soon() {
    let _turn = turn();
    let keyspace = cassandra::keyspace();
    let [one, other] = &sites(&keyspace);
    let (first, second) = (one.serve(), other.serve());
    let unknown = mail::send(second.mx, &["bob@example.org"], &message(1, 500));
    assert!(refusal(&unknown).starts_with("550 "), "{unknown:?}");
    one.done(&["domain", "add", "example.org"], "");
    one.add_user("bob@example.org");
    let fate = mail::send(second.mx, &["bob@example.org"], &message(2, 500));
    assert!(matches!(fate, Fate::Kept(_)), "{fate:?}");
    let again = other.run(&["user", "add", "bob@example.org", "--no-login"], "");
    assert_eq!(again.status.code(), Some(1), "one address is one account");
    one.done(&["user", "remove", "bob@example.org", "--yes"], "");
    let gone = mail::send(first.mx, &["bob@example.org"], &message(3, 500));
    assert!(refusal(&gone).starts_with("550 "), "{gone:?}");
    // `limits.directory_age`.
    let gone = ask_again(
        || match mail::send(second.mx, &["bob@example.org"], &message(3, 500)) {
            Fate::Kept(_) => Err("it is still taken".to_owned()),
            fate => Ok(fate),
        },
    );
    assert!(refusal(&gone).starts_with("550 "), "{gone:?}");
    // A site whose gateway does not run.
    let third = Site::new(&[cassandra::shared()], &keyspace, 1);
    third.add_user("eve@example.org");
    let fate = mail::send(first.mx, &["eve@example.org"], &message(4, 500));
    assert!(matches!(fate, Fate::Kept(_)), "{fate:?}");
    assert!(Pop3::login(second.pop3, "eve@example.org").is_ok());
}

#[test]
fn of_two_who_create_one_login_at_once_one_succeeds_and_its_password_counts() {
    let _turn = turn();
    let sites = &sites(&cassandra::keyspace());
    let gateways = [sites[0].serve(), sites[1].serve()];
    sites[0].done(&["domain", "add", "example.org"], "");
    let mut wins = [0, 0];
    let rounds = if at_length() { 20 } else { 5 };
    for round in 0..rounds {
        let address = format!("user{round}@example.org");
        let barrier = Barrier::new(2);
        let create = |nth: usize| {
            let password = format!("chosen by {nth} in {round}\n");
            barrier.wait();
            sites[nth].run(&["user", "add", &address, "--password-stdin"], &password)
        };
        let created = std::thread::scope(|scope| {
            let other = scope.spawn(|| create(1));
            [create(0), other.join().unwrap()]
        });
        let codes = created.each_ref().map(|output| output.status.code());
        let said = created
            .each_ref()
            .map(|output| String::from_utf8_lossy(&output.stderr));
        let winner = match codes {
            [Some(0), Some(1)] => 0,
            [Some(1), Some(0)] => 1,
            _ => panic!("{codes:?}: {said:?}"),
        };
        wins[winner] += 1;
        for gateway in &gateways {
            let password = |nth| format!("chosen by {nth} in {round}");
            let login = |nth| Pop3::login_with(gateway.pop3, &address, &password(nth)).map(drop);
            assert_eq!(login(winner), Ok(()), "{said:?}");
            // Behind three refused logins the next ones wait.
            if round == 0 {
                let refused = login(1 - winner).unwrap_err();
                assert!(refused.starts_with("-ERR [AUTH]"), "{refused}");
            }
        }
    }
    println!("{wins:?} of {rounds} rounds");
}

#[test]
fn a_command_that_can_do_nothing_without_a_keyspace_makes_none() {
    let _turn = turn();
    let keyspace = cassandra::keyspace();
    let nodes = [cassandra::shared()];
    let site = Site::new(&nodes, &keyspace, 1);
    let tables = Tables::open(&nodes, "system_schema");
    let is_there = || {
        let text = "SELECT keyspace_name FROM {ks}.keyspaces WHERE keyspace_name = ?";
        let rows: Vec<(String,)> = tables.rows(Consistency::One, text, (&keyspace,));
        !rows.is_empty()
    };
    let folder = site.path("copy");
    let refused: [&[&str]; 7] = [
        &["domain", "list"],
        &[
            "store",
            "copy",
            "--from",
            "cassandra",
            "--to",
            "embedded",
            "--folder",
            folder.to_str().unwrap(),
        ],
        &["explain", "--address", "ann@example.org"],
        &["plugin", "replay", "no.wasm", "--from", "store"],
        &["user", "remove", "--yes", "ann@example.org"],
        &["quarantine", "release", "0"],
        &["store", "sweep"],
    ];
    let says = format!("keyspace {keyspace} is absent");
    for command in refused {
        let output = site.run(command, "");
        let error = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{command:?}: {error}");
        assert!(error.contains(&says), "{command:?}: {error}");
        assert_eq!(error.lines().count(), 1, "{command:?}: {error}");
        assert!(!is_there(), "{command:?}");
    }
    assert!(!folder.exists());
    site.done(&["domain", "add", "example.org"], "");
    assert!(is_there());
    assert_eq!(site.done(&["domain", "list"], ""), "example.org\n");
}
