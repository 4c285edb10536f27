//! A clock that drifts under mail: the gateway that has it takes and deletes nothing while it is wrong, whichever way,
//! and the other one does as if nothing had happened.

use crate::books::Span;
use crate::clock;
use crate::gateway::Gateway;
use crate::house::{House, RATE, assert_steady};
use crate::load::{Load, Reader, Refusal, Sent};
use crate::mail::Fate;
use crate::turn;
use std::time::{Duration, Instant};

/// The cluster is asked for its time every 30 s.
const NOTICED_WITHIN: Duration = Duration::from_secs(35);

/// A time in which the first gateway's clock was wrong.
struct Wrong {
    offset: &'static str,
    set: Instant,
    noticed: Instant,
    /// Set right again, and ready.
    righted: Instant,
    ready: Instant,
}

fn drift(house: &House, load: &Load, offset: &'static str) -> Wrong {
    let set = Instant::now();
    clock::set(&house.sites[0], offset);
    let page = house.gateways[0].await_ready("503");
    let noticed = Instant::now();
    assert!(page.contains("this machine's clock is "), "{page}");
    assert!(noticed - set <= NOTICED_WITHIN, "{:?}", noticed - set);
    load.go_on(Duration::from_secs(3));
    house.gateways[1].await_ready("200");
    let righted = Instant::now();
    clock::set(&house.sites[0], "+0s");
    house.gateways[0].await_ready("200");
    let ready = Instant::now();
    assert!(ready - righted <= NOTICED_WITHIN, "{:?}", ready - righted);
    println!(
        "{offset}: noticed after {} ms, right again after {} ms",
        (noticed - set).as_millis(),
        (ready - righted).as_millis()
    );
    load.go_on(Duration::from_secs(3));
    Wrong {
        offset,
        set,
        noticed,
        righted,
        ready,
    }
}

/// What the two gateways' senders met.
fn by_gateway(house: &House, sent: &[Sent]) -> [Vec<Sent>; 2] {
    house
        .doors()
        .map(|mx| sent.iter().filter(|sent| sent.mx == mx).cloned().collect())
}

#[test]
fn a_clock_that_drifts_either_way_stops_its_gateway_alone_and_nothing_is_lost_or_comes_back() {
    let _turn = turn();
    let mut house = House::open();
    house.gateways[0].kill();
    house.gateways[0] = Gateway::start(clock::with_clock(&house.sites[0], "+0s"));
    let begun = Instant::now();
    // It asks a file for each look at its clock.
    let load = house.warm_at(RATE / 3);
    let reader = Reader::start(house.gateways[0].pop3);
    load.go_on(Duration::from_secs(3));
    let times = ["-30s", "+30s"].map(|offset| drift(&house, &load, offset));
    let sent = load.end();
    let over = Instant::now();
    let deletions = reader.end();

    let [mine, others] = by_gateway(&house, &sent);
    let right = Span::of("the clock that is right", &others, begun, over);
    assert_steady(&right, begun);
    assert_eq!(right.refusals().len(), 0);
    for time in &times {
        let wrong = Span::of(time.offset, &mine, time.set, time.ready);
        wrong.print();
        assert_eq!(wrong.broken(), 0, "ended without a reply");
        assert!(!wrong.refusals().is_empty(), "mail came meanwhile");
        for message in wrong.refusals() {
            let deferred = matches!(&message.fate, Fate::Refused(reply) if reply.starts_with("451 "));
            assert!(deferred, "{message:?}");
        }
        let taken = |sent: &&Sent| sent.begun > time.noticed && sent.ended < time.righted && sent.is_kept();
        assert_eq!(mine.iter().filter(taken).count(), 0, "taken by a wrong clock");
    }
    let [behind, ahead] = &times;
    for (name, from, to) in [
        ("before", begun, behind.set),
        ("right in between", behind.ready, ahead.set),
        ("right again", ahead.ready, over),
    ] {
        assert_steady(&Span::of(name, &mine, from, to), from);
    }
    let spans = times.each_ref().map(|time| (time.set, time.ready));
    deletions.assert_refused_only(&spans);
    for time in &times {
        let wrong = |refusal: &&Refusal| refusal.begun > time.noticed && refusal.ended < time.righted;
        let refused = deletions.refusals.iter().filter(wrong).count();
        assert!(refused > 0, "somebody wanted to delete at {}", time.offset);
    }
    house.close(&sent, &deletions);
}
