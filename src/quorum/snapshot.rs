//! Snapshots of the metadata: their names, when one is due, what may go.

use std::fmt;
use std::time::Duration;

use crate::types::{LeaderEpoch, Offset, WallMs};

/// A snapshot of everything before `end`, exclusive (KAFKA-14618); `epoch` is that of the last record in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct SnapshotId {
    /// The epoch of the last record in it.
    pub epoch: LeaderEpoch,
    /// The offset after it.
    pub end: Offset,
}

impl fmt::Display for SnapshotId {
    /// As in the name of its file, `.checkpoint` excepted.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:020}-{:010}", self.end.0, self.epoch.0)
    }
}

/// A snapshot under way to a follower.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Download {
    pub(super) id: SnapshotId,
    /// How many bytes are here.
    pub(super) position: u64,
}

/// When a node takes a snapshot, and when an old one and the log before it may go. The defaults are Kafka's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SnapshotPolicy {
    /// `metadata.log.max.record.bytes.between.snapshots`: bytes of committed records since the last one.
    pub bytes_between: u64,
    /// `metadata.log.max.snapshot.interval.ms`: time since the last one, if anything was committed since.
    /// `None` never takes one for its age.
    pub interval_max: Option<Duration>,
    /// `metadata.max.retention.bytes`: of log and snapshots together.
    pub retention_bytes: u64,
    /// `metadata.max.retention.ms`: the age of a snapshot, told by the last record in it.
    pub retention: Duration,
}

impl Default for SnapshotPolicy {
    fn default() -> Self {
        Self {
            bytes_between: 20 << 20,
            interval_max: Some(Duration::from_secs(3600)),
            retention_bytes: 100 << 20,
            retention: Duration::from_secs(7 * 24 * 3600),
        }
    }
}

/// A snapshot on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SnapshotFile {
    /// Its id.
    pub id: SnapshotId,
    /// Its size in bytes.
    pub bytes: u64,
    /// The timestamp of the last record in it.
    pub last_timestamp: WallMs,
}

impl SnapshotPolicy {
    /// Whether a snapshot is due, `since` after the last one (or the start), with so many bytes of records
    /// committed since.
    pub fn due(&self, bytes: u64, since: Duration) -> bool {
        bytes >= self.bytes_between || (bytes > 0 && self.interval_max.is_some_and(|max| since >= max))
    }

    /// The oldest snapshot to keep, if any may go: the log before it may go, too. `snapshots` are in order.
    /// The latest one always stays.
    pub fn keep_from(&self, now: WallMs, log_bytes: u64, snapshots: &[SnapshotFile]) -> Option<SnapshotId> {
        let mut total = snapshots.iter().fold(log_bytes, |sum, file| sum.saturating_add(file.bytes));
        let mut keep = None;
        for pair in snapshots.windows(2) {
            let [file, next] = pair else { unreachable!("windows of two") };
            let age = u64::try_from(now.0.saturating_sub(file.last_timestamp.0)).unwrap_or(0);
            if total <= self.retention_bytes && Duration::from_millis(age) <= self.retention {
                break;
            }
            total = total.saturating_sub(file.bytes);
            keep = Some(next.id);
        }
        keep
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(end: i64, bytes: u64, last_timestamp: i64) -> SnapshotFile {
        let id = SnapshotId { epoch: LeaderEpoch(1), end: Offset(end) };
        SnapshotFile { id, bytes, last_timestamp: WallMs(last_timestamp) }
    }

    #[test]
    fn a_snapshot_is_named_by_its_end_and_epoch() {
        assert_eq!(file(12, 0, 0).id.to_string(), "00000000000000000012-0000000001");
    }

    #[test]
    fn a_snapshot_is_due_after_20_mib_or_an_hour_with_something_new() {
        let policy = SnapshotPolicy::default();
        for (bytes, seconds, due) in
            [(0, 0, false), (0, 9999, false), (1, 3599, false), (1, 3600, true), (20 << 20, 0, true)]
        {
            assert_eq!(policy.due(bytes, Duration::from_secs(seconds)), due, "{bytes} {seconds}");
        }
        let never = SnapshotPolicy { interval_max: None, ..policy };
        assert!(!never.due(1, Duration::from_secs(1 << 30)));
    }

    #[test]
    fn old_snapshots_go_one_after_the_other_and_the_latest_stays() {
        let policy = SnapshotPolicy {
            retention_bytes: 100,
            retention: Duration::from_millis(1000),
            ..SnapshotPolicy::default()
        };
        let files = [file(10, 40, 0), file(20, 40, 500), file(30, 40, 900)];
        let keep = |now, log_bytes, files: &[SnapshotFile]| {
            policy.keep_from(WallMs(now), log_bytes, files).map(|id| id.end.0)
        };
        assert_eq!(keep(900, 0, &files), Some(20), "120 bytes are more than 100");
        assert_eq!(keep(900, 50, &files), Some(30), "without the first one, 130 are left");
        assert_eq!(keep(900, 0, &files[1..]), None);
        assert_eq!(keep(1501, 0, &files[1..]), Some(30), "it is older than a second");
        assert_eq!(keep(9999, 999, &files[2..]), None, "the latest stays");
        assert_eq!(keep(9999, 999, &[]), None);
    }
}
