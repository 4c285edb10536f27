//! Two gateways over three nodes that hold three copies, under mail that does not wait; what is the same in every
//! fault, and what is looked at when it is over.

use crate::books::{self, Span, balance, listing};
use crate::cassandra::{self, Cluster};
use crate::gateway::{Gateway, Site};
use crate::load::{Deletions, Load, Sent, USERS};
use crate::tables::Tables;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// Deliveries begun in a second, what two busy cores take beside three nodes.
pub(crate) const RATE: u32 = 30;
/// What one lost or silent node may cost a delivery, on a machine that others use too.
const LOOSE: Duration = Duration::from_secs(5);
/// Mail flows again so soon after enough nodes take connections: their gossip, the driver's next try and the breaker's.
const FLOWS_WITHIN: Duration = Duration::from_secs(5);

pub(crate) struct House {
    pub(crate) cluster: Cluster,
    pub(crate) keyspace: String,
    pub(crate) sites: [Site; 2],
    pub(crate) gateways: [Gateway; 2],
}

/// What a node has acknowledged is in its commit log when it is killed. With `periodic` it forgets what it took since
/// the log's last marker, up to 100 ms: enough to be outvoted by a node that came back without it.
const DURABLE: [(&str, &str); 4] = [
    ("commitlog_sync", "group"),
    ("commitlog_sync_group_window", "10ms"),
    ("commitlog_sync_period", "0ms"),
    ("concurrent_writes", "128"),
];

impl House {
    pub(crate) fn open() -> Self {
        Self::open_with(&[])
    }

    /// With lines of `cassandra.yaml` that go before the usual ones.
    pub(crate) fn open_with(settings: &[(&str, &str)]) -> Self {
        let cluster = Cluster::start_with(3, &[&DURABLE, settings].concat());
        let (nodes, keyspace) = (cluster.contacts(), cassandra::keyspace());
        let sites = [(); 2].map(|()| Site::new(&nodes, &keyspace, 3));
        let gateways = [sites[0].serve(), sites[1].serve()];
        sites[0].done(&["domain", "add", "example.org"], "");
        for user in USERS {
            sites[0].add_user(user);
        }
        Self {
            cluster,
            keyspace,
            sites,
            gateways,
        }
    }

    pub(crate) fn doors(&self) -> [SocketAddr; 2] {
        [self.gateways[0].mx, self.gateways[1].mx]
    }

    /// The tables as the test itself reads them.
    pub(crate) fn tables(&self) -> Tables {
        Tables::open(&self.cluster.contacts(), &self.keyspace)
    }

    /// Mail until nothing takes longer than usual: new connections and cold nodes are not what is measured.
    pub(crate) fn warm(&self) -> Load {
        self.warm_at(RATE)
    }

    pub(crate) fn warm_at(&self, rate: u32) -> Load {
        let load = Load::start(&self.doors(), rate);
        load.go_on(Duration::from_secs(3));
        load
    }

    /// SIGKILL for the first gateway, and a new one in its place.
    pub(crate) fn renew(&mut self) {
        self.gateways[0].kill();
        self.gateways[0] = self.sites[0].serve();
    }

    /// Starts nodes that were killed and waits for mail, which flows soon after the quorum is back, and for both
    /// gateways; answers when all nodes took connections.
    pub(crate) fn bring_back(&mut self, load: &Load, nodes: &[usize], without: Instant) -> Instant {
        let launched = Instant::now();
        for node in nodes {
            self.cluster.launch(*node).unwrap();
        }
        let mut up = Vec::new();
        for node in nodes {
            self.cluster.await_cql(*node).unwrap();
            up.push(Instant::now());
        }
        // Of three nodes one may be missing.
        let (quorum, back) = (up[nodes.len() - 2], up[nodes.len() - 1]);
        let flows = load.wait_for("mail that flows", |sent| sent.ended > without && sent.is_kept());
        for gateway in &self.gateways {
            gateway.await_ready("200");
        }
        println!(
            "after the nodes' start: a quorum takes connections at {:.1} s, all do at {:.1} s, the first 250 is at {:.1} s, both gateways are ready at {:.1} s",
            (quorum - launched).as_secs_f64(),
            (back - launched).as_secs_f64(),
            flows.ended.saturating_duration_since(launched).as_secs_f64(),
            launched.elapsed().as_secs_f64()
        );
        let waited = flows.ended.saturating_duration_since(quorum);
        assert!(waited <= FLOWS_WITHIN, "{waited:?} after the quorum is back");
        back
    }

    /// Everything acknowledged is listed once by both gateways and readable, by them and at a quorum; everything
    /// deleted is gone; usage is what is listed. Somebody has read and deleted.
    pub(crate) fn close(mut self, sent: &[Sent], deletions: &Deletions) {
        assert!(
            deletions.read > 0 && !deletions.done.is_empty(),
            "nothing was read or deleted: {:?}",
            deletions.refusals
        );
        for gateway in &mut self.gateways {
            balance(sent, deletions, &listing(gateway));
        }
        let tables = self.tables();
        tables.settle();
        let fresh = Site::new(&self.cluster.contacts(), &self.keyspace, 3).usages();
        for gateway in &self.gateways {
            let listed = books::usage(gateway, &tables, &fresh);
            assert_eq!(tables.whole_entries(), listed, "listed, and whole at a quorum");
        }
        println!(
            "{} bodies that nobody lists, and {} texts that never became one",
            tables.orphans().len(),
            tables.torsos().len()
        );
        for gateway in self.gateways {
            assert_eq!(gateway.end(), Some(0));
        }
    }
}

/// What begins a second after the loss is not deferred, no connection breaks, and there is mail.
pub(crate) fn assert_steady(span: &Span<'_>, lost: Instant) {
    span.print();
    assert_eq!(span.broken(), 0, "ended without a reply");
    assert!(span.kept() > 0, "no mail flowed");
    let late = lost + Duration::from_secs(1);
    for refused in span.refusals() {
        assert!(refused.begun < late, "{refused:?}");
    }
    assert!(span.longest() <= LOOSE, "{:?}", span.longest());
}
