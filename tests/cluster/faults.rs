//! Nodes that die, are silent, are slow, and come back.

use crate::books::Span;
use crate::gateway::Gateway;
use crate::house::{House, assert_steady};
use crate::load::{Load, Reader, Sent, USERS};
use crate::mail::{Fate, Pop3};
use crate::timeline::{self, Mark};
use crate::{at_length, turn};
use std::time::{Duration, Instant};

/// Two gateways say that the quorum is lost, to whoever asks.
fn assert_out_of_reach(house: &House, load: &Load, lost: Instant) {
    let told = load.wait_for("451", |sent| sent.begun > lost && sent.is_refused());
    let told = (told.ended - lost).as_millis();
    println!("the first 451 comes {told} ms after the quorum was lost");
    for gateway in &house.gateways {
        let page = gateway.await_ready("503");
        assert!(page.contains("Cassandra is out of reach"), "{page}");
    }
    // The reader may be in one of the maildrops, and wait there for its deletions.
    let login = |user| Pop3::login(house.gateways[1].pop3, user).map(drop).unwrap_err();
    let refused = USERS.map(login);
    let of_others = refused
        .iter()
        .filter(|refused| !refused.starts_with("-ERR [IN-USE]"));
    assert!(of_others.clone().count() >= USERS.len() - 1, "{refused:?}");
    for refused in of_others {
        assert!(refused.starts_with("-ERR [SYS/TEMP]"), "{refused}");
    }
}

fn assert_deferred(lost: &Span<'_>, open: Instant) {
    lost.print();
    assert_eq!(lost.broken(), 0, "ended without a reply");
    for message in lost.refusals() {
        let Fate::Refused(reply) = &message.fate else {
            continue;
        };
        assert!(reply.starts_with("451 "), "{reply}");
    }
    let long = |sent: &&Sent| sent.begun > open && sent.ended - sent.begun > Duration::from_secs(2);
    let slow = lost.refusals().into_iter().find(long);
    assert!(slow.is_none(), "an open breaker answers at once: {slow:?}");
}

#[test]
fn a_node_that_dies_costs_a_moment_and_a_lost_quorum_defers_mail_until_it_is_back() {
    let _turn = turn();
    let mut house = House::open();
    let begun = Instant::now();
    let load = house.warm();
    let reader = Reader::start(house.gateways[1].pop3);
    load.go_on(Duration::from_secs(2));

    let one_lost = Instant::now();
    house.cluster.kill(3);
    load.go_on(Duration::from_secs(6));

    let returns = Instant::now();
    house.cluster.launch(3).unwrap();
    house.cluster.await_cql(3).unwrap();
    load.go_on(Duration::from_secs(3));

    let lost_again = Instant::now();
    house.cluster.kill(3);
    load.go_on(Duration::from_secs(2));

    let two_lost = Instant::now();
    house.cluster.kill(2);
    assert_out_of_reach(&house, &load, two_lost);
    let open = Instant::now();
    load.go_on(Duration::from_secs(2));

    let launched = Instant::now();
    let back = house.bring_back(&load, &[2, 3], open);
    let ready = Instant::now();
    load.go_on(Duration::from_secs(if at_length() { 10 } else { 3 }));
    assert!(house.gateways.iter_mut().all(Gateway::lives));

    let sent = load.end();
    let marks = [
        Mark::new("one node killed", one_lost),
        Mark::new("it is started", returns),
        Mark::new("killed again", lost_again),
        Mark::new("a second killed", two_lost),
        Mark::new("both started", launched),
        Mark::new("both take connections", back),
    ];
    timeline::write("quorum-lost", &sent, &marks);
    Span::of("three nodes", &sent, begun, one_lost).print();
    assert_steady(&Span::of("one killed", &sent, one_lost, returns), one_lost);
    assert_steady(&Span::of("it comes back", &sent, returns, lost_again), returns);
    assert_steady(&Span::of("killed again", &sent, lost_again, two_lost), lost_again);
    assert_deferred(&Span::of("two killed", &sent, two_lost, back), open);
    let after = Span::begun_since("three again", &sent, ready);
    assert_steady(&after, ready);
    assert_eq!(after.refusals().len(), 0);
    let deletions = reader.end();
    deletions.assert_refused_only(&[(two_lost, ready)]);
    house.close(&sent, &deletions);
}

#[cfg(feature = "faults")]
#[test]
fn a_node_that_is_silent_for_20_s_or_again_and_again_costs_a_moment() {
    let _turn = turn();
    let mut house = House::open();
    let begun = Instant::now();
    let load = house.warm();
    let reader = Reader::start(house.gateways[1].pop3);
    load.go_on(Duration::from_secs(3));

    let stopped = Instant::now();
    house.cluster.stop(2);
    load.go_on(Duration::from_secs(20));
    house.cluster.cont(2);
    let goes_on = Instant::now();
    load.go_on(Duration::from_secs(5));

    let slow = Instant::now();
    for _ in 0..20 {
        house.cluster.stop(3);
        load.go_on(Duration::from_millis(500));
        house.cluster.cont(3);
        load.go_on(Duration::from_millis(500));
    }
    let well = Instant::now();
    let sent = load.end();
    Span::of("three nodes", &sent, begun, stopped).print();
    assert_steady(&Span::of("one silent", &sent, stopped, goes_on), stopped);
    assert_steady(&Span::of("it goes on", &sent, goes_on, slow), goes_on);
    assert_steady(&Span::of("silent half of each s", &sent, slow, well), slow);
    let deletions = reader.end();
    deletions.assert_nothing_refused();
    house.close(&sent, &deletions);
}

#[cfg(feature = "faults")]
#[test]
fn all_nodes_are_killed_and_started_again_and_mail_flows_by_itself() {
    let _turn = turn();
    let mut house = House::open();
    let load = house.warm();
    let reader = Reader::start(house.gateways[1].pop3);
    load.go_on(Duration::from_secs(2));
    let lost = Instant::now();
    for node in 1..=3 {
        house.cluster.kill(node);
    }
    assert_out_of_reach(&house, &load, lost);
    let open = Instant::now();
    let back = house.bring_back(&load, &[1, 2, 3], open);
    let ready = Instant::now();
    load.go_on(Duration::from_secs(3));
    let sent = load.end();
    assert_deferred(&Span::of("all killed", &sent, lost, back), open);
    assert_steady(&Span::begun_since("back", &sent, ready), ready);
    let deletions = reader.end();
    deletions.assert_refused_only(&[(lost, ready)]);
    house.close(&sent, &deletions);
}
