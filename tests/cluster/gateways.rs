//! Gateways that are killed: anywhere, in DATA, and between a message's body and the row that lists it. What they
//! leave is never listed, and collected.

use crate::gateway::Site;
use crate::house::{House, RATE};
use crate::load::{Load, Reader, Sent, USERS};
use crate::mail::{Unfinished, message};
use crate::tables::Tables;
use crate::{PATIENCE, ask_again, turn};
use std::collections::HashSet;
use std::time::{Duration, Instant};
use uuid::Uuid;

#[test]
fn a_gateway_that_is_killed_loses_nothing_it_acknowledged() {
    let _turn = turn();
    let mut house = House::open();
    let load = house.warm();
    let reader = Reader::start(house.gateways[1].pop3);
    for _ in 0..3 {
        house.renew();
        load.aim(&house.doors());
        load.go_on(Duration::from_secs(3));
    }
    let sent = load.end();
    let broken = broken(&sent);
    println!("{broken} transactions ended without a reply");
    assert!(broken > 0, "it was killed in the middle");
    let deletions = reader.end();
    deletions.assert_nothing_refused();
    house.close(&sent, &deletions);
}

fn broken(sent: &[Sent]) -> usize {
    sent.iter().filter(|sent| sent.is_broken()).count()
}

/// Stops the gateway again and again until the tables, at rest, have a whole body that nobody lists: its row was
/// never sent.
fn stop_before_listing(house: &House, load: &Load, tables: &Tables) -> HashSet<Uuid> {
    let end = Instant::now() + PATIENCE;
    for tries in 1.. {
        house.gateways[0].stop();
        tables.at_rest(&house.cluster.contacts());
        let orphans = tables.orphans();
        if !orphans.is_empty() {
            println!("{} bodies without a row at the {tries}. stop", orphans.len());
            return orphans;
        }
        let goes_on = Instant::now();
        house.gateways[0].cont();
        assert!(goes_on < end, "it never stops between a body and its row");
        load.wait_for("mail that went on", |sent| sent.ended > goes_on);
    }
    unreachable!()
}

/// What was left behind is named and collected once it is old enough, and then all is well.
fn assert_collected(site: &Site, tables: &Tables, left: &HashSet<Uuid>) {
    let aged: Vec<Uuid> = left.iter().map(|id| tables.age(*id)).collect();
    let checked = site.run(&["store", "check"], "");
    let said = String::from_utf8_lossy(&checked.stdout);
    assert_eq!(checked.status.code(), Some(1), "{said}");
    // A shared one has references, of those who do not list it.
    let named =
        said.matches("a body without holder").count() + said.matches("which does not list it").count();
    assert!(named >= aged.len(), "{said}");
    let swept = site.done(&["store", "sweep"], "");
    let bodies = format!("{} bodies and ", aged.len());
    assert!(swept.starts_with(&bodies), "{swept}");
    assert_eq!(
        site.done(&["store", "check"], ""),
        "",
        "nothing is found any more"
    );
    assert!(tables.orphans().iter().all(|id| !aged.contains(id)));
}

#[test]
fn a_gateway_that_is_killed_in_data_or_before_the_listing_leaves_bodies_that_are_collected() {
    let _turn = turn();
    let mut house = House::open();
    let tables = house.tables();

    let mut halves = Vec::new();
    for token in 0..4 {
        let text = message(1_000_000 + token, 1_500_000);
        let to = USERS[token % USERS.len()];
        halves.push(Unfinished::begin(house.gateways[0].mx, to, &text[..1_000_000]));
    }
    ask_again(|| match tables.torsos().len() < halves.len() {
        true => Err("texts are not written while they arrive".to_owned()),
        false => Ok(()),
    });
    house.gateways[0].kill();
    for half in halves {
        assert!(half.broke_off(), "no reply comes from a gateway that is dead");
    }
    house.gateways[0] = house.sites[0].serve();
    let mut left = tables.torsos();

    // Large ones, so that most of the time something is between its body and its row.
    let load = Load::of(&house.doors()[..1], RATE, |token| 20_000 + token % 7 * 30_000);
    load.go_on(Duration::from_secs(2));
    let orphans = stop_before_listing(&house, &load, &tables);
    house.renew();
    load.aim(&house.doors());
    load.go_on(Duration::from_secs(3));
    let sent = load.end();
    let listed = tables.orphans();
    assert!(orphans.is_subset(&listed), "listed by nobody, also later");
    println!("{} transactions ended without a reply", broken(&sent));

    left.extend(tables.torsos());
    left.extend(listed);
    println!("{} bodies and texts were left behind", left.len());
    assert_collected(&house.sites[1], &tables, &left);
    let deletions = Reader::once(house.gateways[1].pop3);
    deletions.assert_nothing_refused();
    house.close(&sent, &deletions);
}
