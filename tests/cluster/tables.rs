//! The tables as they are, by CQL and without a gateway.

use crate::ask_again;
use scylla::client::session::Session;
use scylla::client::session_builder::SessionBuilder;
use scylla::deserialize::row::DeserializeRow;
use scylla::policies::load_balancing::{NodeIdentifier, SingleTargetLoadBalancingPolicy};
use scylla::serialize::row::SerializeRow;
use scylla::statement::Consistency;
use scylla::statement::unprepared::Statement;
use std::collections::HashSet;
use std::time::{Duration, SystemTime};
use uuid::Uuid;

/// Octets of every part of a large body but the last of its head and of its text.
const PART: i64 = 128 * 1024;
/// Reads of a node that just came back may take long on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) struct Tables {
    runtime: tokio::runtime::Runtime,
    session: Session,
    keyspace: String,
}

/// A row of `blob`: place, codec, octets, and the three that are the body's.
type Part = (
    i32,
    Option<i8>,
    Option<Vec<u8>>,
    Option<i64>,
    Option<i64>,
    Option<Vec<u8>>,
);

impl Tables {
    pub(crate) fn open(nodes: &[String], keyspace: &str) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let builder = SessionBuilder::new().known_nodes(nodes);
        let session = runtime.block_on(builder.build()).unwrap();
        Self {
            runtime,
            session,
            keyspace: keyspace.to_owned(),
        }
    }

    /// `{ks}` stands for the keyspace.
    pub(crate) fn rows<R>(&self, consistency: Consistency, text: &str, values: impl SerializeRow) -> Vec<R>
    where
        R: for<'frame> DeserializeRow<'frame, 'frame>,
    {
        let mut statement = Statement::new(text.replace("{ks}", &self.keyspace));
        statement.set_consistency(consistency);
        self.ask(statement, values)
    }

    /// The same from one node as it alone has them; with a dynamic snitch it may ask one that was faster instead, but
    /// not for what is of its own in `system_views`.
    pub(crate) fn rows_of<R>(&self, node: &str, text: &str) -> Vec<R>
    where
        R: for<'frame> DeserializeRow<'frame, 'frame>,
    {
        let mut statement = Statement::new(text.replace("{ks}", &self.keyspace));
        let node = NodeIdentifier::NodeAddress(node.parse().unwrap());
        statement.set_load_balancing_policy(Some(SingleTargetLoadBalancingPolicy::new(node, None)));
        statement.set_consistency(Consistency::One);
        self.ask(statement, ())
    }

    fn ask<R>(&self, mut statement: Statement, values: impl SerializeRow) -> Vec<R>
    where
        R: for<'frame> DeserializeRow<'frame, 'frame>,
    {
        statement.set_request_timeout(Some(PATIENCE));
        statement.set_is_idempotent(true);
        // A node that just went may still be asked.
        let answer = ask_again(|| {
            let asked = self.session.query_unpaged(statement.clone(), &values);
            let answer = self.runtime.block_on(asked);
            answer.map_err(|error| format!("{}: {error}", statement.contents))
        });
        match answer.into_rows_result() {
            Ok(rows) => rows.rows::<R>().unwrap().map(Result::unwrap).collect(),
            // A statement that changes something answers without rows.
            Err(_) => Vec::new(),
        }
    }

    pub(crate) fn run(&self, text: &str, values: impl SerializeRow) {
        self.run_at(Consistency::All, text, values);
    }

    pub(crate) fn run_at(&self, consistency: Consistency, text: &str, values: impl SerializeRow) {
        self.rows::<scylla::value::Row>(consistency, text, values);
    }

    /// Listing rows of mailboxes whose body is whole; one without is an end of the test. All of it at a quorum.
    pub(crate) fn whole_entries(&self) -> usize {
        let quorum = Consistency::LocalQuorum;
        let entries: Vec<(String, i32, Uuid, i8)> =
            self.rows(quorum, "SELECT mbox, epoch, msg, body FROM {ks}.entry", ());
        for (mailbox, epoch, id, body) in &entries {
            let whole = match body {
                0 => {
                    let text = "SELECT codec FROM {ks}.small WHERE mbox = ? AND epoch = ? AND msg = ?";
                    let found: Vec<(i8,)> = self.rows(quorum, text, (mailbox, epoch, id));
                    found.len() == 1
                }
                _ => self.is_whole(*id),
            };
            assert!(whole, "{id} of {mailbox} is listed and not whole at a quorum");
        }
        entries.len()
    }

    /// Octets and messages of a mailbox as its rows add up at a quorum: all that there are, listed or not.
    pub(crate) fn usage(&self, mailbox: &str) -> (u64, u64) {
        let text = "SELECT size FROM {ks}.entry WHERE mbox = ? ALLOW FILTERING";
        let sizes: Vec<(i64,)> = self.rows(Consistency::LocalQuorum, text, (mailbox,));
        let octets = sizes.iter().map(|(size,)| *size as u64).sum();
        (octets, sizes.len() as u64)
    }

    /// Reads every listing row whole from every replica: what some had of a deletion in doubt, or of a delivery that
    /// was given up, all have then, so that one quorum says what another does.
    pub(crate) fn settle(&self) {
        self.rows::<scylla::value::Row>(Consistency::All, "SELECT * FROM {ks}.entry", ());
    }

    /// Waits until no node has a request under way but the question itself, and no mutation: what a gateway that was
    /// stopped had sent is done.
    pub(crate) fn at_rest(&self, nodes: &[String]) {
        let text = "SELECT name, active_tasks, pending_tasks FROM system_views.thread_pools";
        let busy = |node: &String| {
            let pools: Vec<(String, i32, i32)> = self.rows_of(node, text);
            let of = |name: &str| pools.iter().find(|(found, ..)| found == name).unwrap();
            let (_, requests, waiting) = of("Native-Transport-Requests");
            let (_, mutations, behind) = of("MutationStage");
            requests + waiting > 1 || mutations + behind > 0
        };
        ask_again(|| match nodes.iter().any(busy) {
            true => Err("the nodes do not come to rest".to_owned()),
            false => Ok(()),
        });
    }

    /// Reads bodies as a gateway finds them, and addresses by their kinds alone, from every replica: those that
    /// missed the rows are given what was read.
    pub(crate) fn repair_in_part(&self) {
        for (id, _) in self.bodies() {
            let text = "SELECT head_size, text_size, facts FROM {ks}.blob WHERE id = ? LIMIT 1";
            self.rows::<scylla::value::Row>(Consistency::All, text, (id,));
        }
        self.rows::<scylla::value::Row>(Consistency::All, "SELECT key, kind FROM {ks}.address", ());
    }

    fn is_whole(&self, id: Uuid) -> bool {
        type Row = (Option<i64>, Option<i64>, Option<i8>);
        let text = "SELECT head_size, text_size, codec FROM {ks}.blob WHERE id = ?";
        let parts: Vec<Row> = self.rows(Consistency::LocalQuorum, text, (id,));
        let Some((Some(head), Some(text), _)) = parts.first() else {
            return false;
        };
        let expected = (head + PART - 1) / PART + (text + PART - 1) / PART;
        parts.iter().filter(|(.., codec)| codec.is_some()).count() as i64 == expected
    }

    fn listed(&self) -> HashSet<Uuid> {
        let entries: Vec<(Uuid,)> = self.rows(Consistency::All, "SELECT msg FROM {ks}.entry", ());
        entries.into_iter().map(|(id,)| id).collect()
    }

    /// Bodies of their own, by every replica: id, and the size of the text once it is written.
    fn bodies(&self) -> Vec<(Uuid, Option<i64>)> {
        let text = "SELECT DISTINCT id, text_size FROM {ks}.blob";
        self.rows(Consistency::All, text, ())
    }

    /// Bodies that are whole and that nobody lists.
    pub(crate) fn orphans(&self) -> HashSet<Uuid> {
        let listed = self.listed();
        let bodies = self.bodies().into_iter();
        let whole = bodies.filter_map(|(id, size)| size.map(|_| id));
        whole.filter(|id| !listed.contains(id)).collect()
    }

    /// Texts that never became a body.
    pub(crate) fn torsos(&self) -> HashSet<Uuid> {
        let bodies = self.bodies().into_iter();
        bodies
            .filter_map(|(id, size)| size.is_none().then_some(id))
            .collect()
    }

    /// The same body as if it had been left behind three days earlier; answers its id.
    pub(crate) fn age(&self, id: Uuid) -> Uuid {
        let old = three_days_older(id);
        let text = "SELECT seq, codec, data, head_size, text_size, facts FROM {ks}.blob WHERE id = ?";
        let parts: Vec<Part> = self.rows(Consistency::All, text, (id,));
        for (seq, codec, data, head, size, facts) in parts {
            let text = "INSERT INTO {ks}.blob (id, seq, codec, data) VALUES (?, ?, ?, ?)";
            self.run(text, (old, seq, codec, data));
            if let (Some(head), Some(size)) = (head, size) {
                let text = "INSERT INTO {ks}.blob (id, head_size, text_size, facts) VALUES (?, ?, ?, ?)";
                self.run(text, (old, head, size, facts));
            }
        }
        let text = "SELECT holder FROM {ks}.blob_ref WHERE blob = ?";
        let holders: Vec<(String,)> = self.rows(Consistency::All, text, (id,));
        for (holder,) in holders {
            self.run(
                "INSERT INTO {ks}.blob_ref (blob, holder) VALUES (?, ?)",
                (old, holder),
            );
        }
        old
    }
}

/// The first 48 bits of an id are its milliseconds.
fn three_days_older(id: Uuid) -> Uuid {
    Uuid::from_u128(id.as_u128() - ((3 * 24 * 60 * 60 * 1000) << 80))
}

/// An id of three days ago.
pub(crate) fn old_id(nth: u64) -> Uuid {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    let now = since.as_millis() << 80 | 7 << 76 | 0b10 << 62 | u128::from(nth);
    three_days_older(Uuid::from_u128(now))
}
