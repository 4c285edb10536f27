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
};

pub(super) const SCHEMA_VERSION: Table = Table {
    name: "schema_version",
    purpose: "The version of these tables, the lease of whoever changes them, and an id that tells a keyspace from a later one of \
        its name. Lightweight transactions only.",
    columns: "k text PRIMARY KEY, v int, applied timestamp, holder uuid",
    ..PLAIN
};

/// All but `schema_version`, in the order in which they are made.
pub(super) const TABLES: &[Table] = &[
    Table {
        name: "blob",
        purpose: "Large or shared bodies in parts of 128 KiB: the head's at negative places, the text's from 0. The sizes are \
            written last and make it a body.",
        columns: "id uuid, seq int, head_size bigint STATIC, text_size bigint STATIC, facts blob STATIC, codec tinyint, \
            data blob, PRIMARY KEY (id, seq)",
        compaction: Compaction::Bodies,
        compression: Compression::Off,
        grace: Grace::ThreeDays,
        ..PLAIN
    },
    Table {
        name: "entry",
        purpose: "The listing: a row for each message of a mailbox; the epoch is 28 days, computed from the id. body: 0 in \
            small, 1 in blob, 2 in blob and perhaps held by others.",
        columns: "mbox text, epoch int, msg uuid, size bigint, size7 bigint, trace blob, uidl text, body tinyint, \
            PRIMARY KEY ((mbox, epoch), msg)",
        compression: Compression::SmallChunks,
        grace: Grace::ThreeDays,
        ..PLAIN
    },
    Table {
        name: "small",
        purpose: "Bodies of up to 16 KiB with one recipient: one mutation together with their row in entry.",
        columns: "mbox text, epoch int, msg uuid, codec tinyint, size int, body blob, facts blob, \
            PRIMARY KEY ((mbox, epoch), msg)",
        compaction: Compaction::Bodies,
        compression: Compression::Off,
        grace: Grace::ThreeDays,
        ..PLAIN
    },
    Table {
        name: "maildrop",
        purpose: "The epochs of a mailbox, or of `quarantine`, and the low-water mark of each.",
        columns: "mbox text, epoch int, low uuid, PRIMARY KEY (mbox, epoch)",
        grace: Grace::ThreeDays,
        ..PLAIN
    },
    Table {
        name: "blob_ref",
        purpose: "Who holds a body that is shared: a mailbox, or `quarantine` and the copy's id.",
        columns: "blob uuid, holder text, PRIMARY KEY (blob, holder)",
        grace: Grace::ThreeDays,
        ..PLAIN
    },
    Table {
        name: "quarantine",
        purpose: "Mail that a policy held back; its body is in blob, with a reference of its own.",
        columns: "epoch int, msg uuid, blob uuid, size bigint, weight bigint, mailboxes frozen<list<text>>, reason text, \
            trace blob, PRIMARY KEY (epoch, msg)",
        grace: Grace::ThreeDays,
        ..PLAIN
    },
    Table {
        name: "domain",
        purpose: "Local domains. Lightweight transactions only.",
        columns: "name text PRIMARY KEY, alias_of text",
        ..PLAIN
    },
    Table {
        name: "address",
        purpose: "Accounts (kind 0), aliases, groups and catch-alls (1) by lower-case address. Lightweight transactions only.",
        columns: "key text PRIMARY KEY, kind tinyint, address text, password text, scram text, quota_bytes bigint, \
            quota_messages bigint, targets frozen<list<text>>",
        ..PLAIN
    },
    Table {
        name: "address_name",
        purpose: "Addresses in order, for listings. It may name too much, never too little.",
        columns: "kind tinyint, shard tinyint, key text, PRIMARY KEY ((kind, shard), key)",
        ..PLAIN
    },
    Table {
        name: "plugin_kv",
        purpose: "The policies' own values. Lightweight transactions only.",
        columns: "plugin text, k text, v blob, ver uuid, over_at bigint, PRIMARY KEY ((plugin, k))",
        grace: Grace::ThreeDays,
        ..PLAIN
    },
    Table {
        name: "plugin_size",
        purpose: "Octets of each value of a policy, to be summed.",
        columns: "plugin text, shard tinyint, k text, octets int, over_at bigint, PRIMARY KEY ((plugin, shard), k)",
        grace: Grace::ThreeDays,
        ..PLAIN
    },
    Table {
        name: "maildrop_lock",
        since: 2,
        purpose: "Which POP3 session has a maildrop, where pop3.lease is set; it expires with its holder. Lightweight \
            transactions only.",
        columns: "mbox text PRIMARY KEY, holder uuid",
        grace: Grace::ThreeDays,
        ..PLAIN
    },
];
