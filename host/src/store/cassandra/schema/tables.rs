//! Every table: its columns, what it is for, and how it is kept on disk.

/// One table. What has been released is never changed: a later version adds.
#[derive(Debug)]
pub(super) struct Table {
    pub(super) name: &'static str,
    /// The version that made it.
    pub(super) since: i32,
    pub(super) purpose: &'static str,
    pub(super) columns: &'static str,
    pub(super) compaction: Compaction,
    pub(super) compression: Compression,
    pub(super) grace: Grace,
    /// `default_time_to_live`; 0 for ever.
    pub(super) seconds: u32,
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Compaction {
    /// Written once, read whole, large: few rewrites.
    Bodies,
    /// Small rows that are read together.
    Rows,
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Compression {
    Usual,
    /// The gateway has compressed it.
    Off,
    /// Read by the row.
    SmallChunks,
}

/// How long tombstones are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Grace {
    /// Ten days, for rows that are hardly ever deleted.
    Usual,
    ThreeDays,
}

/// A small table of long-lived rows.
const PLAIN: Table = Table {
    name: "",
    since: 1,
    purpose: "",
    columns: "",
    compaction: Compaction::Rows,
    compression: Compression::Usual,
    grace: Grace::Usual,
    seconds: 0,
};

pub(super) const SCHEMA_VERSION: Table = Table {
    name: "schema_version",
    purpose: "The version of these tables, and the lease of whoever changes them. Lightweight transactions only.",
    columns: "k text PRIMARY KEY, v int, applied timestamp, holder uuid",
    ..PLAIN
};

/// All but `schema_version`, in the order in which they are made.
pub(super) const TABLES: &[Table] = &[
    Table {
        name: "blob",
        purpose: "Bodies in chunks, immutable. Chunk 0 with the static columns is written last and commits.",
        columns: "id uuid, seq int, chunks int STATIC, wire_size bigint STATIC, hdr_len int STATIC, codec tinyint STATIC, \
            facts blob STATIC, data blob, PRIMARY KEY (id, seq)",
        compaction: Compaction::Bodies,
        compression: Compression::Off,
        grace: Grace::ThreeDays,
        ..PLAIN
    },
    Table {
        name: "entry",
        purpose: "The listing: a row for each message of a mailbox; the epoch is 28 days, computed from the id.",
        columns: "mbox text, epoch int, msg uuid, size bigint, size7 bigint, hdr_len int, shared boolean, trace blob, uidl text, \
            PRIMARY KEY ((mbox, epoch), msg)",
        compression: Compression::SmallChunks,
        grace: Grace::ThreeDays,
        ..PLAIN
    },
    Table {
        name: "small",
        purpose: "Bodies of up to 16 KiB with one recipient: one mutation together with their row in entry.",
        columns: "mbox text, epoch int, msg uuid, codec tinyint, body blob, facts blob, PRIMARY KEY ((mbox, epoch), msg)",
        compaction: Compaction::Bodies,
        compression: Compression::Off,
        grace: Grace::ThreeDays,
        ..PLAIN
    },
    Table {
        name: "maildrop",
        purpose: "The epochs of a mailbox, the low-water mark of each, and the usage of closed ones.",
        columns: "mbox text, epoch int, low uuid, sealed_n bigint, sealed_bytes bigint, sealed_at timestamp, \
            PRIMARY KEY (mbox, epoch)",
        grace: Grace::ThreeDays,
        ..PLAIN
    },
    Table {
        name: "blob_ref",
        purpose: "Who holds a body that is shared.",
        columns: "blob uuid, mbox text, msg uuid, PRIMARY KEY (blob, mbox)",
        grace: Grace::ThreeDays,
        ..PLAIN
    },
    Table {
        name: "maildrop_lock",
        purpose: "The optional lease of a POP3 session on a mailbox. Lightweight transactions only.",
        columns: "mbox text PRIMARY KEY, owner uuid, node text",
        grace: Grace::ThreeDays,
        seconds: 900,
        ..PLAIN
    },
    Table {
        name: "domain",
        purpose: "Local domains. Lightweight transactions only, as account and address.",
        columns: "name text PRIMARY KEY, alias_of text, rev uuid",
        ..PLAIN
    },
    Table {
        name: "address",
        purpose: "Accounts (kind 0), aliases and groups (1) by address; a catch-all has an empty local part.",
        columns: "domain text, local text, kind tinyint, targets frozen<list<text>>, rev uuid, PRIMARY KEY ((domain, local))",
        ..PLAIN
    },
    Table {
        name: "account",
        purpose: "Logins and bounds of accounts, by lower-case address, which is the mailbox's name too.",
        columns: "login text PRIMARY KEY, address text, pwhash text, scram text, quota_bytes bigint, quota_msgs bigint, rev uuid",
        ..PLAIN
    },
    Table {
        name: "address_by_domain",
        purpose: "Addresses for listings; written after the row in address and removed before it.",
        columns: "domain text, shard tinyint, local text, kind tinyint, PRIMARY KEY ((domain, shard), local)",
        ..PLAIN
    },
    Table {
        name: "plugin_kv",
        purpose: "The policies' own values. Lightweight transactions only.",
        columns: "plugin text, k blob, v blob, ver uuid, PRIMARY KEY ((plugin, k))",
        grace: Grace::ThreeDays,
        ..PLAIN
    },
    Table {
        name: "quarantine",
        purpose: "Mail that a policy held back, by day; its body is in blob, with a reference of its own.",
        columns: "day int, shard tinyint, msg uuid, size bigint, mailboxes frozen<list<text>>, reason text, trace blob, \
            PRIMARY KEY ((day, shard), msg)",
        grace: Grace::ThreeDays,
        ..PLAIN
    },
];
