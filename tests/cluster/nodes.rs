//! Nodes that are replaced and added, and replicas that missed something.

use crate::books::Span;
use crate::gateway::Gateway;
use crate::house::{House, RATE, assert_steady};
use crate::load::{Reader, USERS};
use crate::mail::{self, Fate, Pop3, message};
use crate::tables::{Tables, old_id};
use crate::{ask_again, turn};
use scylla::statement::Consistency;
use std::time::{Duration, Instant};
use uuid::Uuid;

/// Runs nodetool to its end, which is good.
fn nodetool(house: &House, node: usize, arguments: &[&str]) {
    let begun = Instant::now();
    let output = house.cluster.nodetool(node, arguments);
    let said = String::from_utf8_lossy(&output.stdout);
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {said}{error}");
    println!(
        "nodetool {} on {node}: {:.1} s",
        arguments[0],
        begun.elapsed().as_secs_f64()
    );
}

#[test]
fn a_node_is_replaced_by_an_empty_one_and_a_fourth_is_added_while_mail_flows() {
    let _turn = turn();
    let mut house = House::open();
    let keyspace = house.keyspace.clone();
    let begun = Instant::now();
    // Repairs and streams want a share of the machine too.
    let load = house.warm_at(RATE / 3);
    let reader = Reader::start(house.gateways[1].pop3);
    load.go_on(Duration::from_secs(3));

    // A range is streamed from one replica, which may lack what the other two acknowledged.
    let repairing = Instant::now();
    for survivor in [1, 2] {
        nodetool(&house, survivor, &["repair", "-full", &keyspace]);
    }
    let lost = Instant::now();
    house.cluster.kill(3);
    load.go_on(Duration::from_secs(3));
    house.cluster.replace(3).unwrap();
    let replaced = Instant::now();
    println!("replaced {:.1} s after its loss", (replaced - lost).as_secs_f64());
    nodetool(&house, 3, &["repair", "-full", &keyspace]);

    let joining = Instant::now();
    house.cluster.add().unwrap();
    let joined = Instant::now();
    println!("a fourth joins in {:.1} s", (joined - joining).as_secs_f64());
    for old in [1, 2, 3] {
        nodetool(&house, old, &["cleanup", &keyspace]);
    }
    load.go_on(Duration::from_secs(3));
    let sent = load.end();
    let over = Instant::now();
    Span::of("three nodes", &sent, begun, repairing).print();
    Span::of("repair", &sent, repairing, lost).print();
    assert_steady(&Span::of("one lost, replaced", &sent, lost, replaced), lost);
    Span::of("repair of the new one", &sent, replaced, joining).print();
    assert_steady(&Span::of("a fourth joins", &sent, joining, joined), joining);
    assert_steady(&Span::of("cleanup, four nodes", &sent, joined, over), joined);
    let whole = Span::of("", &sent, begun, over);
    assert_eq!((whole.refusals().len(), whole.broken()), (0, 0));
    let deletions = reader.end();
    deletions.assert_nothing_refused();
    house.close(&sent, &deletions);
}

/// The partition of 28 days that an id is in.
fn epoch_of(id: Uuid) -> i32 {
    ((id.as_u128() >> 80) / (28 * 24 * 60 * 60 * 1000)) as i32
}

/// Small bodies, and bodies of their own, of three days ago that nobody lists.
fn orphan(tables: &Tables, count: u64) {
    for nth in 1..=count {
        let id = old_id(nth);
        let epoch = epoch_of(id);
        let mailbox = format!("user{nth}@example.org");
        let text = "INSERT INTO {ks}.small (mbox, epoch, msg, codec, size, body, facts) VALUES (?, ?, ?, 0, 1, 0x61, 0x)";
        tables.run(text, (mailbox, epoch, id));
        tables.run(
            "INSERT INTO {ks}.blob (id, seq, codec, data) VALUES (?, 0, 0, 0x61)",
            (id,),
        );
        let text = "INSERT INTO {ks}.blob (id, head_size, text_size, facts) VALUES (?, 0, 1, 0x)";
        tables.run(text, (id,));
    }
}

#[test]
fn check_and_sweep_leave_alone_what_has_a_replica_away_and_say_so() {
    let _turn = turn();
    let mut house = House::open();
    let tables = house.tables();
    let count = 8;
    orphan(&tables, count as u64);
    let left = || {
        let small: Vec<(Uuid,)> = tables.rows(Consistency::LocalQuorum, "SELECT msg FROM {ks}.small", ());
        let bodies: Vec<(Uuid,)> = tables.rows(Consistency::LocalQuorum, "SELECT id FROM {ks}.blob", ());
        (small.len(), bodies.len())
    };
    assert_eq!(left(), (count, count));

    house.cluster.kill(3);
    let checked = house.sites[0].run(&["store", "check"], "");
    let (said, error) = (
        String::from_utf8_lossy(&checked.stdout),
        String::from_utf8_lossy(&checked.stderr),
    );
    assert_eq!(checked.status.code(), Some(1), "{said}{error}");
    assert!(said.contains(": not compared: "), "{said}");
    assert!(
        error.contains("0 faults, and ") && error.contains("could not be read from every replica"),
        "{error}"
    );
    let swept = house.sites[0].run(&["store", "sweep"], "");
    let error = String::from_utf8_lossy(&swept.stderr);
    assert_eq!(swept.status.code(), Some(1), "{error}");
    assert!(
        error.contains("0 bodies and 0 references") && error.contains("pieces were left alone"),
        "{error}"
    );
    assert_eq!(left(), (count, count), "nothing was taken");

    house.cluster.launch(3).unwrap();
    house.cluster.await_cql(3).unwrap();
    // The gateways see it a little later.
    let checked = ask_again(|| {
        let checked = house.sites[0].run(&["store", "check"], "");
        let error = String::from_utf8_lossy(&checked.stderr).into_owned();
        match error.contains("could not be read") {
            true => Err(error),
            false => Ok(checked),
        }
    });
    let said = String::from_utf8_lossy(&checked.stdout);
    assert_eq!(checked.status.code(), Some(1), "{said}");
    assert_eq!(
        said.matches("a body beside the listing of user").count(),
        count,
        "{said}"
    );
    assert_eq!(said.matches("a body without holder").count(), count, "{said}");
    let swept = house.sites[0].done(&["store", "sweep"], "");
    assert!(
        swept.starts_with(&format!("{} bodies and 0 references", 2 * count)),
        "{swept}"
    );
    assert_eq!(left(), (0, 0));
    assert_eq!(
        house.sites[0].done(&["store", "check"], ""),
        "",
        "nothing is found any more"
    );
}

/// A replica that missed rows, and has no hint of them, gets by read repair what a statement names of a row and no
/// more. Asked alone it then answered with half a row: RETR failed, and a new address was unknown.
#[test]
fn a_replica_that_missed_rows_and_was_repaired_in_part_harms_nothing() {
    let _turn = turn();
    // A node that is asked asks itself, though it may have been slow since its start.
    let settings = [("hinted_handoff_enabled", "false"), ("dynamic_snitch", "false")];
    let mut house = House::open_with(&settings);
    let tables = house.tables();
    house.cluster.kill(3);
    house.sites[0].add_user("new@example.org");
    let (count, mut entries) = (10, 0);
    let mut send = |gateway: &Gateway, token: usize, to: &[&str]| {
        let size = if token.is_multiple_of(2) { 40_000 } else { 2_000 };
        let fate = mail::send(gateway.mx, to, &message(token, size));
        assert!(matches!(fate, Fate::Kept(_)), "{fate:?}");
        entries += to.len();
    };
    for token in 0..count {
        let to = &[USERS[0], "new@example.org"][..1 + token % 4 / 2];
        send(&house.gateways[0], token, to);
    }
    house.cluster.launch(3).unwrap();
    house.cluster.await_cql(3).unwrap();

    tables.repair_in_part();
    let alone = |text| tables.rows_of::<(Option<i64>,)>(&house.cluster.contact(3), text);
    for text in [
        "SELECT writetime(codec) FROM {ks}.blob",
        "SELECT writetime(address) FROM {ks}.address WHERE key = 'new@example.org'",
    ] {
        let rows = alone(text);
        let half = rows.iter().filter(|(column,)| column.is_none()).count();
        println!(
            "on the replica that missed them {half} of {} rows are half there: {text}",
            rows.len()
        );
        assert!(half > 0, "this is what happens: {text}");
    }
    for round in 0..4 {
        // A new gateway remembers no body that it has found.
        house.renew();
        let mut session = Pop3::login(house.gateways[0].pop3, USERS[0]).unwrap();
        for (number, _) in session.list().unwrap().into_iter().take(count) {
            let lines = session.retr(number);
            let token = lines.as_ref().ok().and_then(|lines| mail::token(lines));
            assert_eq!(token, Some(number - 1), "round {round}: {lines:?}");
        }
        session.quit().unwrap();
        for nth in 0..4 {
            send(&house.gateways[0], count + 4 * round + nth, &["new@example.org"]);
        }
    }
    assert_eq!(tables.whole_entries(), entries);
}

/// What a message leaves with the only node that runs: its row, and a body beside it (`small`) or of its own.
fn list_alone(tables: &Tables, user: &str, token: usize, kind: &str) {
    let (id, text) = (old_id(token as u64), message(token, 2_000));
    let (epoch, size) = (epoch_of(id), text.len() as i32);
    let one = Consistency::One;
    tables.run_at(
        one,
        "INSERT INTO {ks}.maildrop (mbox, epoch) VALUES (?, ?)",
        (user, epoch),
    );
    let entry = "INSERT INTO {ks}.entry (mbox, epoch, msg, size, trace, body) VALUES (?, ?, ?, ?, 0x, ?)";
    let code = i8::from(kind != "small");
    tables.run_at(one, entry, (user, epoch, id, i64::from(size), code));
    if kind == "small" {
        let small = "INSERT INTO {ks}.small (mbox, epoch, msg, codec, size, body, facts) VALUES (?, ?, ?, 0, ?, ?, 0x)";
        tables.run_at(one, small, (user, epoch, id, size, text.into_bytes()));
        return;
    }
    let (head, body) = text.split_at(text.find("\r\n\r\n").unwrap() + 4);
    for (place, part) in [(-1, head), (0, body)] {
        let put = "INSERT INTO {ks}.blob (id, seq, codec, data) VALUES (?, ?, 0, ?)";
        tables.run_at(one, put, (id, place, part.as_bytes()));
    }
    let sizes = "INSERT INTO {ks}.blob (id, head_size, text_size, facts) VALUES (?, ?, ?, 0x)";
    tables.run_at(one, sizes, (id, head.len() as i64, body.len() as i64));
}

/// A delivery that nobody acknowledged has reached one replica, and a listing's read repair takes its row to another
/// without the body: a quorum lists it then and has nothing to read.
#[test]
fn a_listed_body_that_one_replica_has_is_awaited_while_that_one_is_away() {
    let _turn = turn();
    let mut house = House::open_with(&[("hinted_handoff_enabled", "false")]);
    let tables = house.tables();
    house.cluster.kill(2);
    house.cluster.kill(3);
    let user = USERS[0];
    list_alone(&tables, user, 1, "small");
    list_alone(&tables, user, 2, "large");
    let door = house.gateways[0].pop3;
    let listed = || {
        ask_again(|| {
            let mut session = Pop3::login(door, user)?;
            let listed = session.list()?;
            Ok((session, listed.len()))
        })
    };

    house.cluster.launch(2).unwrap();
    house.cluster.await_cql(2).unwrap();
    let (session, messages) = listed();
    assert_eq!(messages, 2);
    session.quit().unwrap();
    house.cluster.launch(3).unwrap();
    house.cluster.await_cql(3).unwrap();
    // The large one's sizes go the same way, without its parts.
    tables.repair_in_part();

    house.cluster.kill(1);
    let (mut session, messages) = listed();
    assert_eq!(messages, 2, "the rows were repaired");
    for number in [1, 2] {
        let refused = session.retr(number).unwrap_err();
        assert!(refused.starts_with("-ERR [SYS/TEMP]"), "{refused}");
    }
    session.quit().unwrap();

    house.cluster.launch(1).unwrap();
    house.cluster.await_cql(1).unwrap();
    for number in [1, 2] {
        let lines = ask_again(|| listed().0.retr(number));
        assert_eq!(mail::token(&lines), Some(number));
    }
}
