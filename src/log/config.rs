//! The topic settings that a log goes by.

use super::{offset_index, time_index};

/// A log's settings, under Kafka's names and with Kafka's defaults. They may change while the log is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogConfig {
    /// `segment.bytes`: the largest size of a segment, unless a single batch is larger.
    pub segment_bytes: u32,
    /// `segment.ms`: the time after which a segment is rolled even if it is not full, milliseconds.
    pub segment_ms: i64,
    /// By how much earlier this log rolls than `segment.ms` says, milliseconds: drawn by the caller, at most
    /// `segment.jitter.ms`, so that logs created together do not roll together.
    pub segment_jitter_ms: i64,
    /// `index.interval.bytes`: the distance of batches with an index entry, at least.
    pub index_interval_bytes: u32,
    /// `segment.index.bytes`: the largest size of an index.
    pub segment_index_bytes: u32,
    /// `retention.ms`; negative keeps records for ever, as for a topic that is compacted and not deleted.
    pub retention_ms: i64,
    /// `retention.bytes`; negative sets no limit.
    pub retention_bytes: i64,
}

impl Default for LogConfig {
    fn default() -> Self {
        const DAY_MS: i64 = 24 * 60 * 60 * 1000;
        Self {
            segment_bytes: 1 << 30,
            segment_ms: 7 * DAY_MS,
            segment_jitter_ms: 0,
            index_interval_bytes: 4096,
            segment_index_bytes: 10 << 20,
            retention_ms: 7 * DAY_MS,
            retention_bytes: -1,
        }
    }
}

impl LogConfig {
    pub(super) fn offset_entries_max(&self) -> u32 {
        self.segment_index_bytes / offset_index::ENTRY_LEN as u32
    }

    pub(super) fn time_entries_max(&self) -> u32 {
        self.segment_index_bytes / time_index::ENTRY_LEN as u32
    }
}
