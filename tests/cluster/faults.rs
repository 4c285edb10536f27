//! Two gateways over three nodes that hold three copies, under mail that does not wait, while nodes and gateways
//! die. Afterwards everything acknowledged is there once and everything deleted is gone.

use crate::books::{Span, balance, listing};
use crate::cassandra::{self, Cluster};
use crate::gateway::{Gateway, Site};
use crate::load::{Load, Reader, Sent, USERS};
use crate::mail::{Fate, Pop3};
use crate::{at_length, turn};
use std::time::{Duration, Instant};

/// Deliveries begun in a second, what two busy cores take beside three nodes.
const RATE: u32 = 30;
/// What one lost or silent node may cost a delivery, on a machine that others use too.
const LOOSE: Duration = Duration::from_secs(5);

/// Three nodes, and two sites whose gateways run.
struct House {
    cluster: Cluster,
    sites: [Site; 2],
    gateways: [Gateway; 2],
}

impl House {
    fn open() -> Self {
        let cluster = Cluster::start(3);
        let (nodes, keyspace) = (cluster.contacts(), cassandra::keyspace());
        let sites = [(); 2].map(|()| Site::new(&nodes, &keyspace, 3));
        let gateways = [sites[0].serve(), sites[1].serve()];
        sites[0].done(&["domain", "add", "example.org"], "");
        for user in USERS {
            sites[0].add_user(user);
        }
        Self {
            cluster,
            sites,
            gateways,
        }
    }

    fn doors(&self) -> [std::net::SocketAddr; 2] {
        [self.gateways[0].mx, self.gateways[1].mx]
    }

    /// Mail until nothing takes longer than usual: new connections and cold nodes are not what is measured.
    fn warm(&self) -> Load {
        let load = Load::start(&self.doors(), RATE);
        load.go_on(Duration::from_secs(3));
        load
    }

    fn close(mut self, sent: &[Sent], reader: Reader) -> Vec<String> {
        let deletions = reader.end();
        // Both know what the other did once they have read it.
        for (gateway, site) in self.gateways.iter_mut().zip(&self.sites) {
            balance(sent, &deletions, &listing(gateway, site));
        }
        for gateway in self.gateways {
            assert_eq!(gateway.end(), Some(0));
        }
        deletions.refusals
    }
}

/// What begins a second after the loss is not deferred.
fn assert_steady(span: &Span<'_>, lost: Instant) {
    span.print();
    let late = lost + Duration::from_secs(1);
    for refused in span.refusals() {
        assert!(refused.begun < late, "{refused:?}");
    }
    assert!(span.longest() <= LOOSE, "{:?}", span.longest());
}

/// Starts nodes that were killed and waits for mail and for both gateways; answers when nodes took connections.
fn bring_back(house: &mut House, load: &Load, nodes: &[usize], without: Instant) -> Instant {
    let launched = Instant::now();
    for node in nodes {
        house.cluster.launch(*node).unwrap();
    }
    for node in nodes {
        house.cluster.await_cql(*node).unwrap();
    }
    let back = Instant::now();
    let flows = load.wait_for("mail that flows", |sent| sent.ended > without && sent.is_kept());
    for gateway in &house.gateways {
        gateway.await_ready("200");
    }
    println!(
        "after the nodes' start: they take connections at {:.1} s, the first 250 is at {:.1} s, both gateways are ready at {:.1} s",
        (back - launched).as_secs_f64(),
        flows.ended.saturating_duration_since(launched).as_secs_f64(),
        launched.elapsed().as_secs_f64()
    );
    back
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

    let two_lost = Instant::now();
    house.cluster.kill(2);
    let told = load.wait_for("451", |sent| sent.begun > two_lost && sent.is_refused());
    let told = (told.ended - two_lost).as_millis();
    println!("the first 451 comes {told} ms after the quorum was lost");
    for gateway in &house.gateways {
        let page = gateway.await_ready("503");
        assert!(page.contains("Cassandra is out of reach"), "{page}");
    }
    let refused = Pop3::login(house.gateways[1].pop3, USERS[0])
        .map(drop)
        .unwrap_err();
    assert!(refused.starts_with("-ERR [SYS/TEMP]"), "{refused}");
    let open = Instant::now();
    load.go_on(Duration::from_secs(2));

    let back = bring_back(&mut house, &load, &[2, 3], open);
    let ready = Instant::now();
    load.go_on(Duration::from_secs(3));
    assert!(house.gateways.iter_mut().all(Gateway::lives));

    let sent = load.end();
    Span::of("three nodes", &sent, begun, one_lost).print();
    assert_steady(&Span::of("one killed", &sent, one_lost, two_lost), one_lost);
    let lost = Span::of("two killed", &sent, two_lost, back);
    lost.print();
    for message in lost.refusals() {
        let Fate::Refused(reply) = &message.fate else {
            continue;
        };
        assert!(reply.starts_with("451 "), "{reply}");
    }
    let slow = lost
        .refusals()
        .into_iter()
        .find(|sent| sent.begun > open && sent.ended - sent.begun > Duration::from_secs(2));
    assert!(slow.is_none(), "an open breaker answers at once: {slow:?}");
    let after = Span::of("three again", &sent, ready, Instant::now());
    after.print();
    assert_eq!(after.refusals().len(), 0);
    for refusal in house.close(&sent, reader) {
        assert!(refusal.starts_with("-ERR [SYS/TEMP]"), "{refusal}");
    }
}

#[test]
fn a_node_that_is_silent_for_20_s_costs_a_moment() {
    if !at_length() {
        return;
    }
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
    let sent = load.end();
    Span::of("three nodes", &sent, begun, stopped).print();
    assert_steady(&Span::of("one silent", &sent, stopped, goes_on), stopped);
    assert_steady(&Span::of("it goes on", &sent, goes_on, Instant::now()), goes_on);
    assert_eq!(house.close(&sent, reader), [] as [String; 0]);
}

#[test]
fn all_nodes_are_killed_and_started_again_and_mail_flows_by_itself() {
    if !at_length() {
        return;
    }
    let _turn = turn();
    let mut house = House::open();
    let load = house.warm();
    let reader = Reader::start(house.gateways[1].pop3);
    load.go_on(Duration::from_secs(2));
    let lost = Instant::now();
    for node in 1..=3 {
        house.cluster.kill(node);
    }
    load.wait_for("451", |sent| sent.begun > lost && sent.is_refused());
    let back = bring_back(&mut house, &load, &[1, 2, 3], lost + LOOSE);
    load.go_on(Duration::from_secs(3));
    let sent = load.end();
    Span::of("all killed", &sent, lost, back).print();
    Span::of("back", &sent, back, Instant::now()).print();
    house.close(&sent, reader);
}

#[test]
fn a_gateway_that_is_killed_loses_nothing_it_acknowledged() {
    if !at_length() {
        return;
    }
    let _turn = turn();
    let mut house = House::open();
    let load = house.warm();
    let reader = Reader::start(house.gateways[1].pop3);
    for _ in 0..3 {
        house.gateways[0].kill();
        house.gateways[0] = house.sites[0].serve();
        load.aim(&house.doors());
        load.go_on(Duration::from_secs(3));
    }
    let sent = load.end();
    let broken = sent
        .iter()
        .filter(|sent| matches!(sent.fate, Fate::Broken))
        .count();
    println!("{broken} transactions ended without a reply");
    assert!(broken > 0, "it was killed in the middle");
    house.close(&sent, reader);
}
