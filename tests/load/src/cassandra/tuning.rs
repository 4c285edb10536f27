//! Part c: what the nodes' and the tables' settings cost, by the bare driver on one node.
//!
//! One node, because these settings are about what a node does with a write; what replication costs is part a.

use super::Bench;
use super::lab::{SKIP_LIST, Settings, Site};
use super::stage::{Stage, Subject, Trial};
use crate::driver::{Layout, Level, Packing, Writing};
use crate::message::Size;

const FOUR: Size = Size::Fixed(4096);
/// Large enough for parts of every size.
const LARGE: Size = Size::Fixed(1024 * 1024);

/// Settings of a node that need a start of their own. Two of them change nothing: how far these are apart is what a
/// difference between two nodes means.
const NODES: [(&str, Settings); 11] = [
    (
        "commit log: compressed by LZ4",
        &[("commitlog_compression", "[{class_name: LZ4Compressor}]")],
    ),
    (
        "commit log: group of 10 ms",
        &[
            ("commitlog_sync", "group"),
            ("commitlog_sync_group_window", "10ms"),
            ("commitlog_sync_period", "0ms"),
        ],
    ),
    (
        "commit log: batch",
        &[("commitlog_sync", "batch"), ("commitlog_sync_period", "0ms")],
    ),
    ("a second node, as shipped", &[]),
    (
        "memtable: trie on the heap",
        &[("memtable_allocation_type", "heap_buffers")],
    ),
    (
        "memtable: skip list, objects off the heap",
        &[("memtable", SKIP_LIST)],
    ),
    (
        "memtable: skip list on the heap",
        &[
            ("memtable", SKIP_LIST),
            ("memtable_allocation_type", "heap_buffers"),
        ],
    ),
    ("sstables: big", &[("sstable", "{selected_format: big}")]),
    ("writers: 32", &[("concurrent_writes", "32")]),
    ("caches: chunks 128 MiB", &[("file_cache_size", "128MiB")]),
    ("a third node, as shipped", &[]),
];

/// How the two tables of small mail are kept, in turn; the last of them puts back what was.
const TABLES: [(&str, &[&str]); 10] = [
    (
        "compaction: STCS",
        &[
            "ALTER TABLE {ks}.small WITH compaction = {'class': 'SizeTieredCompactionStrategy'}",
            "ALTER TABLE {ks}.entry WITH compaction = {'class': 'SizeTieredCompactionStrategy'}",
        ],
    ),
    (
        "compaction: LCS",
        &[
            "ALTER TABLE {ks}.small WITH compaction = {'class': 'LeveledCompactionStrategy'}",
            "ALTER TABLE {ks}.entry WITH compaction = {'class': 'LeveledCompactionStrategy'}",
        ],
    ),
    (
        "compaction: TWCS, a day",
        &[
            "ALTER TABLE {ks}.small WITH compaction = {'class': 'TimeWindowCompactionStrategy'}",
            "ALTER TABLE {ks}.entry WITH compaction = {'class': 'TimeWindowCompactionStrategy'}",
        ],
    ),
    (
        "compaction: UCS T4",
        &[
            "ALTER TABLE {ks}.small WITH compaction = {'class': 'UnifiedCompactionStrategy', 'scaling_parameters': 'T4'}",
            "ALTER TABLE {ks}.entry WITH compaction = {'class': 'UnifiedCompactionStrategy', 'scaling_parameters': 'T4'}",
        ],
    ),
    (
        "compaction: UCS T8",
        &[
            "ALTER TABLE {ks}.small WITH compaction = {'class': 'UnifiedCompactionStrategy', 'scaling_parameters': 'T8'}",
            "ALTER TABLE {ks}.entry WITH compaction = {'class': 'UnifiedCompactionStrategy', 'scaling_parameters': 'T8'}",
        ],
    ),
    (
        "compression of bodies: LZ4, 16 KiB",
        &[
            COMPACTION,
            OF_ENTRIES,
            "ALTER TABLE {ks}.small WITH compression = {'class': 'LZ4Compressor', 'chunk_length_in_kb': 16}",
        ],
    ),
    (
        "compression of bodies: zstd, 16 KiB",
        &["ALTER TABLE {ks}.small WITH compression = {'class': 'ZstdCompressor', 'chunk_length_in_kb': 16}"],
    ),
    (
        "compression of entries: none",
        &[
            UNCOMPRESSED,
            "ALTER TABLE {ks}.entry WITH compression = {'enabled': 'false'}",
        ],
    ),
    (
        "compression of entries: LZ4, 16 KiB",
        &["ALTER TABLE {ks}.entry WITH compression = {'class': 'LZ4Compressor', 'chunk_length_in_kb': 16}"],
    ),
    ("as shipped", &[COMPACTION, OF_ENTRIES, UNCOMPRESSED, ENTRIES]),
];

const COMPACTION: &str = "ALTER TABLE {ks}.small WITH compaction = {'class': 'UnifiedCompactionStrategy', \
    'scaling_parameters': 'T8', 'target_sstable_size': '1GiB'}";
const OF_ENTRIES: &str = "ALTER TABLE {ks}.entry WITH compaction = {'class': 'UnifiedCompactionStrategy', \
    'scaling_parameters': 'T4', 'target_sstable_size': '1GiB'}";
const UNCOMPRESSED: &str = "ALTER TABLE {ks}.small WITH compression = {'enabled': 'false'}";
const ENTRIES: &str =
    "ALTER TABLE {ks}.entry WITH compression = {'class': 'LZ4Compressor', 'chunk_length_in_kb': 4}";

/// Bodies as the driver sends them, with what the table then does.
const BODIES: [(&str, Packing, &[&str]); 3] = [
    ("bodies: zstd by the gateway", Packing::Zstd, &[UNCOMPRESSED]),
    (
        "bodies: plain, table uncompressed",
        Packing::Plain,
        &[UNCOMPRESSED],
    ),
    (
        "bodies: plain, table with LZ4",
        Packing::Plain,
        &["ALTER TABLE {ks}.small WITH compression = {'class': 'LZ4Compressor', 'chunk_length_in_kb': 16}"],
    ),
];

const PARTS: [(&str, usize); 4] = [
    ("parts of 64 KiB", 64 * 1024),
    ("parts of 128 KiB", 128 * 1024),
    ("parts of 256 KiB", 256 * 1024),
    ("parts of 512 KiB", 512 * 1024),
];

pub(super) async fn run(bench: &mut Bench) -> anyhow::Result<()> {
    stage("", &[], trials()).run(bench).await?;
    for (setting, settings) in NODES {
        let usual = Trial::new(0, Subject::Driver(Writing::USUAL), FOUR);
        stage(setting, settings, vec![usual]).run(bench).await?;
    }
    Ok(())
}

fn trials() -> Vec<Trial> {
    let mut trials = Vec::new();
    for (variant, before) in TABLES {
        let usual = Trial::new(0, Subject::Driver(Writing::USUAL), FOUR);
        trials.push(Trial {
            variant,
            before,
            ..usual
        });
    }
    for (variant, packing, before) in BODIES {
        let writing = Writing {
            packing,
            ..Writing::USUAL
        };
        let bodies = Trial::new(0, Subject::Driver(writing), FOUR);
        trials.push(Trial {
            variant,
            before,
            ..bodies
        });
    }
    for (variant, part) in PARTS {
        let writing = Writing {
            part,
            layout: Layout::Ours,
            ..Writing::USUAL
        };
        let parts = Trial::new(0, Subject::Driver(writing), LARGE);
        // What bodies had changed is put back.
        let before = &[UNCOMPRESSED];
        trials.push(Trial {
            variant,
            before,
            ..parts
        });
    }
    trials
}

fn stage(setting: &'static str, settings: Settings, trials: Vec<Trial>) -> Stage {
    let site = Site {
        replication: 1,
        level: Level::LocalQuorum,
        // It makes the tables.
        gateways: 1,
    };
    Stage {
        part: "c",
        nodes: 1,
        settings,
        setting,
        sites: vec![site],
        trials,
        reads_back: false,
    }
}
