//! What the store looks after by itself, as long as it lives: whether the cluster answers when the breaker is
//! open or nodes are away, which nodes are there, whether this clock was set, whether the keyspace is still the one that was opened, and
//! every 30 s what each node says of its clock and of its commit log.
//!
//! A node that does not answer is passed over; what it said last does not count.

use super::clock::Offset;
use super::rows;
use super::schema::Made;
use super::{CassandraStore, OpenError};
use crate::clock::unix_millis;
use crate::message::MessageId;
use futures_util::future::join_all;
use scylla::client::session::Session;
use scylla::cluster::Node;
use scylla::errors::{DbError, ExecutionError, RequestAttemptError};
use scylla::policies::load_balancing::{NodeIdentifier, SingleTargetLoadBalancingPolicy};
use scylla::statement::Statement;
use scylla::value::CqlTimestamp;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// Between two tries while the breaker is open.
const PROBE: Duration = Duration::from_secs(1);
/// Between two looks at what the driver knows of the nodes, which costs nothing.
const LOOK: Duration = Duration::from_secs(1);
/// Between two questions to the nodes.
const SURVEY: Duration = Duration::from_secs(30);

const NOW: &str = "SELECT toTimestamp(now()) FROM system.local";
/// A table that ScyllaDB does not have.
const SYNC: &str = "SELECT value FROM system_views.settings WHERE name = 'commitlog_sync'";

/// What the nodes of the gateway's data centre said.
#[derive(Debug, Default)]
pub(super) struct Survey {
    /// None: no node answered.
    pub(super) offset: Option<Offset>,
    /// Addresses by their `commitlog_sync`.
    pub(super) syncs: BTreeMap<String, Vec<String>>,
}

impl Survey {
    /// The start: a wrong clock ends it, and a commit log that is synced by the clock is told of once.
    pub(super) async fn first(session: &Session, datacenter: &str) -> Result<Self, OpenError> {
        let survey = Self::take(session, datacenter).await;
        if let Some(offset) = survey.offset.filter(|offset| offset.is_wrong()) {
            return Err(OpenError::Clock(offset));
        }
        if let Some(nodes) = survey.syncs.get("periodic") {
            tracing::warn!(
                nodes = nodes.join(" "),
                "commitlog_sync is periodic: a message is acknowledged before its copies are on disk, and is lost if all \
                 nodes that took it lose their power within one commitlog_sync_period; group or batch promise more"
            );
        }
        Ok(survey)
    }

    async fn take(session: &Session, datacenter: &str) -> Self {
        let state = session.get_cluster_state();
        let ours = state
            .get_nodes_info()
            .iter()
            .filter(|node| node.is_connected() && is_in(node, datacenter));
        let said = ours.map(|node| async move {
            let (offset, sync) = tokio::join!(offset(session, node), sync(session, node));
            (node.address.to_string(), offset, sync)
        });
        let mut survey = Self::default();
        let mut offsets = Vec::new();
        for (address, offset, sync) in join_all(said).await {
            offsets.extend(offset);
            if let Some(sync) = sync {
                survey.syncs.entry(sync).or_default().push(address);
            }
        }
        survey.offset = Offset::middle(offsets);
        survey
    }

    /// For those who ask how the store is.
    pub(super) fn remark(&self) -> Option<String> {
        let said = self
            .syncs
            .iter()
            .map(|(sync, nodes)| format!("{sync} on {}", nodes.join(", ")));
        let said: Vec<_> = said.collect();
        (!said.is_empty()).then(|| format!("commitlog_sync is {}", said.join("; ")))
    }
}

fn is_in(node: &Node, datacenter: &str) -> bool {
    node.datacenter.as_deref().is_none_or(|found| found == datacenter)
}

/// Nodes of the gateway's data centre, as of the last look.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Nodes {
    known: usize,
    connected: usize,
}

impl Nodes {
    fn of(nodes: &[Arc<Node>], datacenter: &str) -> Self {
        let ours = nodes.iter().filter(|node| is_in(node, datacenter));
        let (connected, away): (Vec<_>, Vec<_>) = ours.partition(|node| node.is_connected());
        Self {
            known: connected.len() + away.len(),
            connected: connected.len(),
        }
    }

    pub(super) fn are_all_away(self) -> bool {
        self.known > 0 && self.connected == 0
    }

    fn are_some_away(self) -> bool {
        self.connected < self.known
    }
}

/// A statement for one node alone.
fn asked_of(node: &Arc<Node>, text: &str) -> Statement {
    let mut statement = Statement::new(text);
    let target = SingleTargetLoadBalancingPolicy::new(NodeIdentifier::Node(Arc::clone(node)), None);
    statement.set_load_balancing_policy(Some(target));
    statement
}

async fn offset(session: &Session, node: &Arc<Node>) -> Option<Offset> {
    let (asked, begun) = (unix_millis(), Instant::now());
    let answer = session.query_unpaged(asked_of(node, NOW), ()).await.ok()?;
    let round_trip = begun.elapsed();
    let (CqlTimestamp(theirs),) = answer.into_rows_result().ok()?.first_row().ok()?;
    Some(Offset::measured(asked, round_trip, theirs))
}

async fn sync(session: &Session, node: &Arc<Node>) -> Option<String> {
    let answer = match session.query_unpaged(asked_of(node, SYNC), ()).await {
        Ok(answer) => answer,
        Err(ExecutionError::LastAttemptError(RequestAttemptError::DbError(DbError::Unauthorized, _))) => {
            return Some("not to be read (the role lacks SELECT on system_views.settings)".to_owned());
        }
        Err(_) => return None,
    };
    let (value,) = answer.into_rows_result().ok()?.first_row().ok()?;
    Some(value)
}

/// Tries the cluster while the breaker is open, and while a node is away: whether the others are a quorum is told by an
/// answer alone, and an idle gateway has no other. Ends with the store.
pub(super) async fn probe(store: Weak<CassandraStore>) {
    loop {
        sleep(PROBE).await;
        let Some(store) = store.upgrade() else { return };
        if store.cluster.breaker.open_for().is_some() || store.nodes().are_some_away() {
            // Another partition each time: in a large cluster one may be away while the others are not.
            let nothing = (rows::uuid(MessageId::new()),);
            store.cluster.probe(&store.statements.probe, nothing).await;
        }
    }
}

/// Which nodes the gateway has a connection to; tells of each that goes or comes back.
#[derive(Debug, Default)]
struct Presence(BTreeMap<String, bool>);

impl Presence {
    fn learn(&mut self, node: String, is_connected: bool) {
        let up = metrics::gauge!("postern_cassandra_node_up", "node" => node.clone());
        up.set(if is_connected { 1.0 } else { 0.0 });
        match (self.0.get(&node), is_connected) {
            (Some(true) | None, false) => tracing::warn!(node, "a node of Cassandra is away"),
            (Some(false), true) => tracing::warn!(node, "a node of Cassandra is back"),
            _ => {}
        }
        self.0.insert(node, is_connected);
    }

    /// Nodes that have left the cluster are neither up nor away.
    fn forget_others(&mut self, nodes: &BTreeSet<String>) {
        self.0.retain(|node, _| {
            let stays = nodes.contains(node);
            if !stays {
                metrics::gauge!("postern_cassandra_node_up", "node" => node.clone()).set(f64::NAN);
            }
            stays
        });
    }
}

/// Looks at the nodes; ends with the store.
pub(super) async fn survey(store: Weak<CassandraStore>) {
    let (mut surveyed, mut presence) = (Instant::now(), Presence::default());
    loop {
        sleep(LOOK).await;
        let Some(store) = store.upgrade() else { return };
        let state = store.cluster.session.get_cluster_state();
        for node in state.get_nodes_info() {
            presence.learn(node.address.to_string(), node.is_connected());
        }
        let nodes = state.get_nodes_info().iter().map(|node| node.address.to_string());
        presence.forget_others(&nodes.collect());
        *store.nodes() = Nodes::of(state.get_nodes_info(), &store.datacenter);
        store.clock.look();
        let dropped = state.get_keyspace(&store.keyspace).is_none() && store.cluster.lost().is_none();
        if surveyed.elapsed() < SURVEY && !dropped {
            continue;
        }
        surveyed = Instant::now();
        let survey = Survey::take(&store.cluster.session, &store.datacenter).await;
        if let Some(offset) = survey.offset {
            store.clock.learn(offset);
        }
        *store.surveyed() = survey;
        store.is_still_the_same().await;
    }
}

impl CassandraStore {
    /// Gives everything up for good if the keyspace is not the one that was opened: what is remembered of the old one
    /// (epochs that are written down, bodies that are there) would lose mail in the new one.
    async fn is_still_the_same(&self) {
        let session = &self.cluster.session;
        let state = session.get_cluster_state();
        let asked = state.get_nodes_info().iter().filter(|node| node.is_connected());
        let said = asked.map(|node| Made::as_told(session, asked_of(node, &Made::statement(&self.keyspace))));
        let said: Vec<Made> = join_all(said).await.into_iter().flatten().collect();
        // One node may not know yet, or no longer, what the others know.
        if said.is_empty() || said.contains(&self.made) {
            return;
        }
        let reason = format!(
            "keyspace {} was dropped, or made anew, under this gateway, which takes and gives no mail any more: see to \
             the keyspace, then start the gateway again",
            self.keyspace
        );
        if self.cluster.lose(&reason) {
            tracing::error!("{reason}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_are_away_when_none_or_not_all_are_connected() {
        let nodes = |known, connected| Nodes { known, connected };
        for (nodes, all, some) in [
            (nodes(0, 0), false, false),
            (nodes(3, 3), false, false),
            (nodes(3, 1), false, true),
            (nodes(3, 0), true, true),
        ] {
            assert_eq!(
                (nodes.are_all_away(), nodes.are_some_away()),
                (all, some),
                "{nodes:?}"
            );
        }
    }

    #[test]
    fn the_commit_logs_are_told_by_their_kind() {
        let mut survey = Survey::default();
        assert_eq!(survey.remark(), None, "nobody answered");
        let nodes = |all: &[&str]| all.iter().map(|node| (*node).to_owned()).collect();
        survey
            .syncs
            .insert("periodic".to_owned(), nodes(&["10.0.0.1:9042", "10.0.0.3:9042"]));
        survey.syncs.insert("group".to_owned(), nodes(&["10.0.0.2:9042"]));
        assert_eq!(
            survey.remark().unwrap(),
            "commitlog_sync is group on 10.0.0.2:9042; periodic on 10.0.0.1:9042, 10.0.0.3:9042"
        );
    }
}
