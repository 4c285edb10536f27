//! Two gateways over three nodes that hold three copies, under mail that does not wait; what is the same in every
//! fault, and what is looked at when it is over.

use crate::books::{Span, balance, listing};
use crate::cassandra::{self, Cluster};
use crate::gateway::{Gateway, Site};
use crate::load::{Load, Reader, Sent, USERS};
use crate::tables::Tables;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// Deliveries begun in a second, what two busy cores take beside three nodes.
pub(crate) const RATE: u32 = 30;
/// What one lost or silent node may cost a delivery, on a machine that others use too.
pub(crate) const LOOSE: Duration = Duration::from_secs(5);

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

    /// Starts nodes that were killed and waits for mail and for both gateways; answers when nodes took connections.
    pub(crate) fn bring_back(&mut self, load: &Load, nodes: &[usize], without: Instant) -> Instant {
        let launched = Instant::now();
        for node in nodes {
            self.cluster.launch(*node).unwrap();
        }
        for node in nodes {
            self.cluster.await_cql(*node).unwrap();
        }
        let back = Instant::now();
        let flows = load.wait_for("mail that flows", |sent| sent.ended > without && sent.is_kept());
        for gateway in &self.gateways {
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

    /// Everything acknowledged is listed once by both gateways and readable, by them and at a quorum; everything
    /// deleted is gone. Answers what the reader was refused.
    pub(crate) fn close(mut self, sent: &[Sent], reader: Reader) -> Vec<String> {
        let deletions = reader.end();
        let mut listed = 0;
        // Both know what the other did once they have read it.
        for (gateway, site) in self.gateways.iter_mut().zip(&self.sites) {
            let found = listing(gateway, site);
            balance(sent, &deletions, &found);
            listed = found.count();
        }
        let tables = self.tables();
        assert_eq!(tables.whole_entries(), listed, "listed, and whole at a quorum");
        println!(
            "{} bodies that nobody lists, and {} texts that never became one",
            tables.orphans().len(),
            tables.torsos().len()
        );
        for gateway in self.gateways {
            assert_eq!(gateway.end(), Some(0));
        }
        deletions.refusals
    }
}

/// What begins a second after the loss is not deferred.
pub(crate) fn assert_steady(span: &Span<'_>, lost: Instant) {
    span.print();
    let late = lost + Duration::from_secs(1);
    for refused in span.refusals() {
        assert!(refused.begun < late, "{refused:?}");
    }
    assert!(span.longest() <= LOOSE, "{:?}", span.longest());
}
