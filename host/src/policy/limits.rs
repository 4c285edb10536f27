//! What policies may take: the bounds of one call, and how it is counted that one was met.
//!
//! Every bound that an administrator may want otherwise is a key: those of one call in the `limits` section of
//! the file beside a policy, those of all policies together in the `policy` section of the gateway's own file.
//! What is fixed, and why, is in the table of `wit/README.md`.

use metrics::counter;
use std::time::Duration;

/// The bounds of one call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Limits {
    pub(super) deadline: Duration,
    /// Octets of all its memories together.
    pub(super) memory: u64,
    /// Elements of all its tables together.
    pub(super) table_elements: usize,
    /// Calls of capabilities.
    pub(super) host_calls: u32,
    /// Look-ups by `dns`.
    pub(super) dns: u32,
    /// Octets handed to it.
    pub(super) read: u64,
    /// Octets that it hands over in one answer, or in one call of a capability.
    pub(super) output: usize,
    /// Lines it may log.
    pub(super) log_lines: u32,
    /// Edits, and octets of their names and values.
    pub(super) edits: u32,
    pub(super) edited: u64,
    /// Addresses of one rewrite.
    pub(super) addresses: usize,
}

impl Limits {
    /// With the usual bounds beside these two, whose defaults are in the gateway's own file.
    pub(super) fn usual(deadline: Duration, memory: u64) -> Self {
        Self {
            deadline,
            memory,
            // Interpreters fill some ten thousand, and may have four tables.
            table_elements: 4 * super::engine::TABLE_ELEMENTS,
            // A 50 MB message read in pieces of 1 KiB takes half of them.
            host_calls: 100_000,
            // Each list or record once; a look-up may take seconds of the deadline.
            dns: 50,
            // A large message several times over.
            read: 256 << 20,
            // A rewrite to a thousand addresses has a quarter of a megabyte.
            output: 4 << 20,
            // A person reads them.
            log_lines: 100,
            edits: 1000,
            // Half of what a header section may have.
            edited: 1 << 20,
            // A mailing list's worth; larger ones want a list server.
            addresses: 1000,
        }
    }
}

/// A bound that was met, under the name of its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Limit {
    Deadline,
    Memory,
    TableElements,
    HostCalls,
    Dns,
    Read,
    Output,
    LogLines,
    Edits,
    Edited,
    Addresses,
    Trial,
    /// Ten times it: the folder was never quiet.
    Settle,
    File,
    /// Fixed: the file beside a policy.
    Yaml,
    Instances,
    MimeParts,
    MimeDepth,
    MimeText,
    MimeRoom,
    MimeParameters,
    /// Fixed: a header section or a field that is too long to be read as one of a part.
    MimeHeader,
    KvBytes,
    /// Fixed, as the next one: what every store takes.
    KvKey,
    KvValue,
}

impl Limit {
    /// As it is written in the label of the metric.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Deadline => "deadline",
            Self::Memory => "memory",
            Self::TableElements => "table_elements",
            Self::HostCalls => "host_calls",
            Self::Dns => "dns",
            Self::Read => "read",
            Self::Output => "output",
            Self::LogLines => "log_lines",
            Self::Edits => "edits",
            Self::Edited => "edited",
            Self::Addresses => "addresses",
            Self::Trial => "trial",
            Self::Settle => "settle",
            Self::File => "file",
            Self::Yaml => "yaml",
            Self::Instances => "instances",
            Self::MimeParts => "mime_parts",
            Self::MimeDepth => "mime_depth",
            Self::MimeText => "mime_text",
            Self::MimeRoom => "mime_room",
            Self::MimeParameters => "mime_parameters",
            Self::MimeHeader => "mime_header",
            Self::KvBytes => "kv_bytes",
            Self::KvKey => "kv_key",
            Self::KvValue => "kv_value",
        }
    }

    /// Counts that it was met.
    pub(super) fn hit(self) {
        counter!("postern_policy_limit_hits_total", "limit" => self.word()).increment(1);
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusRecorder};

    /// How often `limit` was met on this thread by `deed`.
    pub(in crate::policy) fn hits(limit: Limit, deed: impl FnOnce()) -> usize {
        let recorder = PrometheusBuilder::new().build_recorder();
        metrics::with_local_recorder(&recorder, deed);
        counted(&recorder, limit)
    }

    /// The same of what is awaited, and what came of it. The test's runtime must have this thread alone.
    pub(in crate::policy) async fn hits_of<T>(limit: Limit, deed: impl Future<Output = T>) -> (usize, T) {
        let recorder = PrometheusBuilder::new().build_recorder();
        let counting = metrics::set_default_local_recorder(&recorder);
        let outcome = deed.await;
        drop(counting);
        (counted(&recorder, limit), outcome)
    }

    fn counted(recorder: &PrometheusRecorder, limit: Limit) -> usize {
        let line = format!("postern_policy_limit_hits_total{{limit=\"{}\"}} ", limit.word());
        let text = recorder.handle().render();
        let count = text.lines().find_map(|found| found.strip_prefix(&line));
        count.map_or(0, |count| count.parse().unwrap())
    }

    #[test]
    fn a_bound_that_is_met_is_counted_under_its_key() {
        assert_eq!(hits(Limit::Edits, || Limit::Edits.hit()), 1);
        assert_eq!(hits(Limit::Edited, || Limit::Edits.hit()), 0);
    }
}
