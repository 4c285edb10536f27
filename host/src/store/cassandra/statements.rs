//! Every statement, prepared once at the start.
//!
//! Inserts carry the time of the message's id and deletions one ahead of now, so that both may be repeated; names of
//! addresses have the time of the transaction that made the address. What is touched by lightweight transactions
//! (directory, policies' values) is written without a time.
//!
//! Where replicas differ, a read of several writes to those that are behind what it read, and no more (read repair):
//! of a row that a replica has missed it gets the key and the columns of the statement. Such half a row counts as
//! absent wherever rows are read. A quorum never answers with half of what was acknowledged, for one of it has the
//! whole; one replica may. Directory and policies' values are read by one replica, or for long, and so always with
//! all their columns.

use super::cluster::{Reach, Statement, Together};
use crate::config::Consistency as Configured;
use scylla::client::session::Session;
use scylla::errors::PrepareError;
use scylla::statement::Consistency;
use scylla::statement::batch::{Batch, BatchType};
use scylla::statement::prepared::PreparedStatement;

/// Rows of a page of a listing; an entry's trace lines are a few hundred octets, rarely 64 KiB.
const LISTING_PAGE: i32 = 1000;

/// How a statement is sent.
#[derive(Debug, Clone, Copy)]
enum Sending {
    /// May be sent twice, at the configured consistency.
    Repeatable,
    /// A read of a quorum, whatever is configured: it sees what `local_quorum` and `all` wrote, and one node may be away.
    Quorum,
    /// A read of the nearest replica.
    Near,
    /// Decides on what is there, and is known to a quorum then: never sent twice by the driver.
    Transaction,
    /// A read that sees what transactions decided.
    Serial,
    /// A read of every replica, for those who compare and collect, and before what is listed is said to be gone.
    Whole,
}

impl Sending {
    /// None: as configured.
    fn consistency(self) -> Option<Consistency> {
        match self {
            Self::Repeatable => None,
            Self::Quorum | Self::Transaction => Some(Consistency::LocalQuorum),
            Self::Near => Some(Consistency::LocalOne),
            Self::Serial => Some(Consistency::LocalSerial),
            Self::Whole => Some(Consistency::All),
        }
    }

    fn reach(self, configured: Configured) -> Reach {
        match self {
            Self::Repeatable => Reach::Delivery,
            Self::Quorum | Self::Transaction if configured != Configured::All => Reach::Delivery,
            _ => Reach::Other,
        }
    }
}

macro_rules! statements {
    ({ $($name:ident: $kind:ident, $cql:expr;)+ } parts { $($part_name:ident: $part_kind:ident, $part_cql:expr;)+ } together { $($batch:ident: [$($part:ident),+];)+ }) => {
        #[derive(Debug)]
        pub(super) struct Statements {
            $(pub(super) $name: Statement,)+
            $(pub(super) $batch: Together,)+
        }

        impl Statements {
            pub(super) async fn prepare(session: &Session, keyspace: &str, configured: Configured) -> Result<Self, PrepareError> {
                $(let $name = Statement {
                    name: stringify!($name),
                    reach: Sending::$kind.reach(configured),
                    prepared: prepare(session, Sending::$kind, &$cql.replace("{ks}", keyspace)).await?,
                };)+
                $(let $part_name = Statement {
                    name: stringify!($part_name),
                    reach: Sending::$part_kind.reach(configured),
                    prepared: prepare(session, Sending::$part_kind, &$part_cql.replace("{ks}", keyspace)).await?,
                };)+
                $(let $batch = together(stringify!($batch), [$(&$part),+]);)+
                Ok(Self { $($name,)+ $($batch,)+ })
            }
        }
    };
}

statements! {{
    put_entry: Repeatable, "INSERT INTO {ks}.entry (mbox, epoch, msg, size, size7, trace, uidl, body) \
        VALUES (?, ?, ?, ?, ?, ?, ?, ?) USING TIMESTAMP ?";
    entries: Quorum, "SELECT msg, size, size7, trace, uidl, body FROM {ks}.entry \
        WHERE mbox = ? AND epoch = ? AND msg >= ?";
    sizes: Quorum, "SELECT msg, size FROM {ks}.entry WHERE mbox = ? AND epoch = ? AND msg >= ?";
    held: Quorum, "SELECT msg, size, body FROM {ks}.entry WHERE mbox = ? AND epoch = ? AND msg IN ?";
    first_entry: Quorum, "SELECT msg FROM {ks}.entry WHERE mbox = ? AND epoch = ? AND msg >= ? LIMIT 1";
    small_near: Near, "SELECT codec, size, body, facts FROM {ks}.small WHERE mbox = ? AND epoch = ? AND msg = ?";
    small: Quorum, "SELECT codec, size, body, facts FROM {ks}.small WHERE mbox = ? AND epoch = ? AND msg = ?";

    put_epoch: Repeatable, "INSERT INTO {ks}.maildrop (mbox, epoch) VALUES (?, ?)";
    put_low: Repeatable, "UPDATE {ks}.maildrop SET low = ? WHERE mbox = ? AND epoch = ?";
    epochs: Quorum, "SELECT epoch, low FROM {ks}.maildrop WHERE mbox = ?";

    put_part: Repeatable, "INSERT INTO {ks}.blob (id, seq, codec, data) VALUES (?, ?, ?, ?) USING TIMESTAMP ?";
    commit_blob: Repeatable, "INSERT INTO {ks}.blob (id, head_size, text_size, facts) VALUES (?, ?, ?, ?) \
        USING TIMESTAMP ?";
    drop_blob: Repeatable, "DELETE FROM {ks}.blob USING TIMESTAMP ? WHERE id = ?";
    blob_near: Near, "SELECT head_size, text_size, facts FROM {ks}.blob WHERE id = ? LIMIT 1";
    blob: Quorum, "SELECT head_size, text_size, facts FROM {ks}.blob WHERE id = ? LIMIT 1";
    probe: Repeatable, "SELECT head_size FROM {ks}.blob WHERE id = ? LIMIT 1";
    parts_near: Near, "SELECT seq, codec, data FROM {ks}.blob WHERE id = ? AND seq >= ? AND seq < ?";
    parts: Quorum, "SELECT seq, codec, data FROM {ks}.blob WHERE id = ? AND seq >= ? AND seq < ?";

    put_ref: Repeatable, "INSERT INTO {ks}.blob_ref (blob, holder) VALUES (?, ?) USING TIMESTAMP ?";
    drop_ref: Repeatable, "DELETE FROM {ks}.blob_ref USING TIMESTAMP ? WHERE blob = ? AND holder = ?";
    any_ref: Quorum, "SELECT holder FROM {ks}.blob_ref WHERE blob = ? LIMIT 1";

    put_held: Repeatable, "INSERT INTO {ks}.quarantine (epoch, msg, blob, size, weight, mailboxes, reason, trace) \
        VALUES (?, ?, ?, ?, ?, ?, ?, ?) USING TIMESTAMP ?";
    drop_held: Repeatable, "DELETE FROM {ks}.quarantine USING TIMESTAMP ? WHERE epoch = ? AND msg = ?";
    held_page: Quorum, "SELECT msg, blob, size, weight, mailboxes, reason, trace FROM {ks}.quarantine \
        WHERE epoch = ? AND msg >= ? LIMIT ?";
    held_one: Quorum, "SELECT msg, blob, size, weight, mailboxes, reason, trace FROM {ks}.quarantine \
        WHERE epoch = ? AND msg = ?";
    held_weights: Quorum, "SELECT msg, weight FROM {ks}.quarantine WHERE epoch = ? AND msg >= ?";
    first_held: Quorum, "SELECT msg FROM {ks}.quarantine WHERE epoch = ? AND msg >= ? LIMIT 1";

    domain_near: Near, "SELECT name, alias_of FROM {ks}.domain WHERE name = ?";
    domain: Quorum, "SELECT name, alias_of FROM {ks}.domain WHERE name = ?";
    domains: Quorum, "SELECT name, alias_of FROM {ks}.domain";
    create_domain: Transaction, "INSERT INTO {ks}.domain (name, alias_of) VALUES (?, ?) IF NOT EXISTS";
    drop_domain: Transaction, "DELETE FROM {ks}.domain WHERE name = ? IF EXISTS";

    address_near: Near, "SELECT kind, address, password, scram, quota_bytes, quota_messages, targets \
        FROM {ks}.address WHERE key = ?";
    address: Quorum, "SELECT kind, address, password, scram, quota_bytes, quota_messages, targets \
        FROM {ks}.address WHERE key = ?";
    address_serial: Serial, "SELECT kind, address, password, scram, quota_bytes, quota_messages, targets \
        FROM {ks}.address WHERE key = ?";
    address_made: Serial, "SELECT WRITETIME(kind) FROM {ks}.address WHERE key = ?";
    create_account: Transaction, "INSERT INTO {ks}.address \
        (key, kind, address, password, scram, quota_bytes, quota_messages) VALUES (?, 0, ?, ?, ?, ?, ?) IF NOT EXISTS";
    replace_account: Transaction, "UPDATE {ks}.address SET address = ?, password = ?, scram = ?, quota_bytes = ?, \
        quota_messages = ? WHERE key = ? IF kind = 0 AND address = ? AND password = ? AND scram = ? AND quota_bytes = ? \
        AND quota_messages = ?";
    create_alias: Transaction, "INSERT INTO {ks}.address (key, kind, targets) VALUES (?, 1, ?) IF NOT EXISTS";
    replace_alias: Transaction, "UPDATE {ks}.address SET targets = ? WHERE key = ? IF kind = 1 AND targets = ?";
    drop_address: Transaction, "DELETE FROM {ks}.address WHERE key = ? IF kind = ?";
    put_name: Repeatable, "INSERT INTO {ks}.address_name (kind, shard, key) VALUES (?, ?, ?) USING TIMESTAMP ?";
    drop_name: Repeatable, "DELETE FROM {ks}.address_name USING TIMESTAMP ? WHERE kind = ? AND shard = ? AND key = ?";
    names: Quorum, "SELECT key FROM {ks}.address_name WHERE kind = ? AND shard = ? AND key > ? LIMIT ?";

    kv_serial: Serial, "SELECT v, ver, over_at FROM {ks}.plugin_kv WHERE plugin = ? AND k = ?";
    kv_get: Quorum, "SELECT v, ver, over_at FROM {ks}.plugin_kv WHERE plugin = ? AND k = ?";
    kv_replace: Transaction, "UPDATE {ks}.plugin_kv USING TTL ? SET v = ?, ver = ?, over_at = ? \
        WHERE plugin = ? AND k = ? IF ver = ?";
    kv_drop: Transaction, "DELETE FROM {ks}.plugin_kv WHERE plugin = ? AND k = ? IF EXISTS";
    put_kv_size: Repeatable, "INSERT INTO {ks}.plugin_size (plugin, shard, k, octets, over_at) VALUES (?, ?, ?, ?, ?) \
        USING TTL ?";
    drop_kv_size: Repeatable, "DELETE FROM {ks}.plugin_size WHERE plugin = ? AND shard = ? AND k = ?";
    drop_smalls: Repeatable, "DELETE FROM {ks}.small USING TIMESTAMP ? WHERE mbox = ? AND epoch = ? AND msg IN ?";
    claim_sweep: Transaction, "INSERT INTO {ks}.schema_version (k, applied) VALUES ('sweep', toTimestamp(now())) \
        IF NOT EXISTS USING TTL ?";

    take_lease: Transaction, "INSERT INTO {ks}.maildrop_lock (mbox, holder) VALUES (?, ?) IF NOT EXISTS USING TTL ?";
    renew_lease: Transaction, "UPDATE {ks}.maildrop_lock USING TTL ? SET holder = ? WHERE mbox = ? IF holder = ?";
    end_lease: Transaction, "DELETE FROM {ks}.maildrop_lock WHERE mbox = ? IF holder = ?";

    begin_copy: Transaction, "INSERT INTO {ks}.schema_version (k, applied) VALUES ('copy', toTimestamp(now())) \
        IF NOT EXISTS";
    copying: Serial, "SELECT k FROM {ks}.schema_version WHERE k = 'copy'";
    end_copy: Transaction, "DELETE FROM {ks}.schema_version WHERE k = 'copy' IF EXISTS";
    listed: Whole, "SELECT mbox, msg, size, size7, trace, uidl, body FROM {ks}.entry \
        WHERE token(mbox, epoch) > ? AND token(mbox, epoch) <= ?";
    listed_one: Whole, "SELECT mbox, msg, size, size7, trace, uidl, body FROM {ks}.entry \
        WHERE mbox = ? AND epoch = ? AND msg = ?";
    every_value: Whole, "SELECT plugin, k, v, ver, over_at FROM {ks}.plugin_kv \
        WHERE token(plugin, k) > ? AND token(plugin, k) <= ?";

    every_entry: Whole, "SELECT mbox, epoch, msg, body FROM {ks}.entry \
        WHERE token(mbox, epoch) > ? AND token(mbox, epoch) <= ?";
    every_small: Whole, "SELECT mbox, epoch, msg FROM {ks}.small \
        WHERE token(mbox, epoch) > ? AND token(mbox, epoch) <= ?";
    every_epoch: Whole, "SELECT mbox, epoch, low FROM {ks}.maildrop WHERE token(mbox) > ? AND token(mbox) <= ?";
    every_blob: Whole, "SELECT DISTINCT id, head_size, text_size FROM {ks}.blob WHERE token(id) > ? AND token(id) <= ?";
    every_ref: Whole, "SELECT blob, holder FROM {ks}.blob_ref WHERE token(blob) > ? AND token(blob) <= ?";
    every_held: Whole, "SELECT epoch, msg, blob FROM {ks}.quarantine WHERE token(epoch) > ? AND token(epoch) <= ?";
    every_address: Whole, "SELECT key, kind, address, password, scram, quota_bytes, quota_messages, targets \
        FROM {ks}.address WHERE token(key) > ? AND token(key) <= ?";
    every_name: Whole, "SELECT kind, key FROM {ks}.address_name \
        WHERE token(kind, shard) > ? AND token(kind, shard) <= ?";
    every_kv_size: Whole, "SELECT plugin, k, octets, over_at FROM {ks}.plugin_size \
        WHERE token(plugin, shard) > ? AND token(plugin, shard) <= ?";
    whole_entries: Whole, "SELECT msg FROM {ks}.entry WHERE mbox = ? AND epoch = ? AND msg IN ?";
    whole_any_entry: Whole, "SELECT msg FROM {ks}.entry WHERE mbox = ? AND epoch = ? LIMIT 1";
    whole_small: Whole, "SELECT codec, size, body, facts FROM {ks}.small WHERE mbox = ? AND epoch = ? AND msg = ?";
    whole_smalls: Whole, "SELECT msg FROM {ks}.small WHERE mbox = ? AND epoch = ? AND msg IN ?";
    whole_epoch: Whole, "SELECT low FROM {ks}.maildrop WHERE mbox = ? AND epoch = ?";
    whole_blob: Whole, "SELECT head_size, text_size, facts FROM {ks}.blob WHERE id = ? LIMIT 1";
    parts_anywhere: Whole, "SELECT seq, codec, data FROM {ks}.blob WHERE id = ? AND seq >= ? AND seq < ?";
    whole_parts: Whole, "SELECT seq FROM {ks}.blob WHERE id = ?";
    whole_ref: Whole, "SELECT holder FROM {ks}.blob_ref WHERE blob = ? AND holder = ?";
    whole_any_ref: Whole, "SELECT holder FROM {ks}.blob_ref WHERE blob = ? LIMIT 1";
    whole_held: Whole, "SELECT blob FROM {ks}.quarantine WHERE epoch = ? AND msg = ?";
    whole_any_held: Whole, "SELECT msg FROM {ks}.quarantine WHERE epoch = ? LIMIT 1";
    whole_address: Whole, "SELECT kind, address, password, scram, quota_bytes, quota_messages, targets \
        FROM {ks}.address WHERE key = ?";
    whole_name: Whole, "SELECT key FROM {ks}.address_name WHERE kind = ? AND shard = ? AND key = ?";
    whole_kv: Whole, "SELECT v, ver, over_at FROM {ks}.plugin_kv WHERE plugin = ? AND k = ?";
    whole_kv_size: Whole, "SELECT octets, over_at FROM {ks}.plugin_size WHERE plugin = ? AND shard = ? AND k = ?";
    kv_sizes: Quorum, "SELECT k, octets, over_at FROM {ks}.plugin_size WHERE plugin = ? AND shard = ?";
} parts {
    put_small_body: Repeatable, "INSERT INTO {ks}.small (mbox, epoch, msg, codec, size, body, facts) \
        VALUES (?, ?, ?, ?, ?, ?, ?) USING TIMESTAMP ?";
    drop_entries: Repeatable, "DELETE FROM {ks}.entry USING TIMESTAMP ? WHERE mbox = ? AND epoch = ? AND msg IN ?";
    drop_small_bodies: Repeatable,
        "DELETE FROM {ks}.small USING TIMESTAMP ? WHERE mbox = ? AND epoch = ? AND msg IN ?";
} together {
    put_small: [put_entry, put_small_body];
    remove_entries: [drop_entries, drop_small_bodies];
}}

async fn prepare(session: &Session, sending: Sending, cql: &str) -> Result<PreparedStatement, PrepareError> {
    let mut prepared = session.prepare(cql).await?;
    prepared.set_page_size(LISTING_PAGE);
    prepared.set_is_idempotent(!matches!(sending, Sending::Transaction));
    if let Some(consistency) = sending.consistency() {
        prepared.set_consistency(consistency);
    }
    Ok(prepared)
}

fn together(name: &'static str, parts: [&Statement; 2]) -> Together {
    let mut batch = Batch::new(BatchType::Unlogged);
    for part in parts {
        batch.append_statement(part.prepared.clone());
    }
    batch.set_is_idempotent(true);
    Together { name, batch }
}
