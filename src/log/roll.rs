//! Rolling: a new active segment.
//!
//! Its files are created only once the names of all earlier segments are durable. So a loss of power takes
//! the name of the last segment at most, and a log whose first segment begins past the checkpointed log start
//! has lost what is missing to retention, not to the crash.

use std::path::Path;
use std::sync::Arc;

use super::directory::{FileKind, file_name};
use super::segment::{Bounds, Segment, SegmentFiles};
use super::sync::sync_parent;
use super::{Log, LogError, State};
use crate::env::{Disk, DiskError, DiskErrorKind, DiskOperation, File, OpenMode};
use crate::types::{Offset, WallMs};

/// What is about to be appended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Incoming {
    /// Its size in bytes.
    pub bytes: u64,
    /// Its last offset.
    pub last_offset: Offset,
    /// Its largest timestamp, milliseconds since the Unix epoch; negative if it has none.
    pub max_timestamp: i64,
}

/// Why a roll is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RollReason {
    /// `segment.bytes` would be passed.
    Size,
    /// `segment.ms` is over.
    Time,
    /// An index has `segment.index.bytes`.
    IndexFull,
    /// The segment's offsets would span 2^31 or more.
    OffsetSpan,
}

/// A roll that was begun: files to create.
#[derive(Debug)]
pub struct RollPlan<D: Disk> {
    disk: D,
    dir: Arc<Path>,
    base: Offset,
    /// The names to sync before, if they are not durable.
    names: Option<u64>,
}

/// The outcome of a [`RollPlan`], to be handed to [`Log::finish_roll`].
#[derive(Debug)]
pub struct RollTicket<D: Disk> {
    files: Result<SegmentFiles<D>, DiskError>,
    names: Option<u64>,
}

impl<D: Disk> RollPlan<D> {
    /// Creates the files of the new segment. The future must not be dropped: the log waits for the ticket.
    pub async fn run(self) -> RollTicket<D> {
        RollTicket { files: self.create().await, names: self.names }
    }

    async fn create(&self) -> Result<SegmentFiles<D>, DiskError> {
        if self.names.is_some() {
            self.disk.sync_dir(&self.dir).await?;
            sync_parent(&self.disk, &self.dir).await?;
        }
        create_segment(&self.disk, &self.dir, self.base).await
    }
}

/// Creates an empty segment. Files may be there already, but only if they are empty.
pub(super) async fn create_segment<D: Disk>(
    disk: &D,
    dir: &Path,
    base: Offset,
) -> Result<SegmentFiles<D>, DiskError> {
    // Not CreateOrTruncate: should this future be dropped, the open may yet happen, when the segment is in
    // use.
    let files = SegmentFiles::open(disk, dir, base, OpenMode::CreateOrOpen).await?;
    for (file, kind) in [
        (&files.log, FileKind::Log),
        (&files.offset_index, FileKind::OffsetIndex),
        (&files.time_index, FileKind::TimeIndex),
    ] {
        let length = file.len().await?;
        if length > 0 {
            return Err(DiskError {
                operation: DiskOperation::Open,
                path: dir.join(file_name(base, kind)),
                kind: DiskErrorKind::AlreadyExists,
                detail: format!("a new segment finds {length} bytes there"),
            });
        }
    }
    Ok(files)
}

impl<D: Disk> Log<D> {
    /// Whether, and why, the log must be rolled before `incoming` is appended. An empty segment is never due:
    /// a batch larger than a segment gets one of its own.
    pub fn roll_due(&self, incoming: Incoming, now: WallMs) -> Option<RollReason> {
        let bounds = &self.active.bounds;
        if bounds.size == 0 {
            // An empty segment may still be too far away from a follower's next batch; rolling it would not
            // bring its base offset, the log end, any closer.
            return None;
        }
        if bounds.size + incoming.bytes > u64::from(self.config.segment_bytes) {
            return Some(RollReason::Size);
        }
        // Kafka's rule: by the records' clock if they have one, else by the wall's.
        let waited = if bounds.first_timestamp >= 0 {
            incoming.max_timestamp.saturating_sub(bounds.first_timestamp)
        } else {
            now.0.saturating_sub(bounds.created.0)
        };
        if waited > self.config.segment_ms.saturating_sub(self.config.segment_jitter_ms) {
            return Some(RollReason::Time);
        }
        let index_full = bounds.offset_entries >= self.config.offset_entries_max()
            || bounds.time_entries + 1 >= self.config.time_entries_max();
        if index_full {
            return Some(RollReason::IndexFull);
        }
        if incoming.last_offset - self.active.base() > i64::from(i32::MAX) {
            return Some(RollReason::OffsetSpan);
        }
        None
    }

    /// How many of the batches that a leader has sent go into the active segment as it is. If none does, a roll is
    /// due; unless the segment is empty, which then begins too far before the first of them.
    pub fn fitting(&self, batches: &[Incoming], now: WallMs) -> usize {
        let bounds = &self.active.bounds;
        let mut bytes = 0;
        for (index, batch) in batches.iter().enumerate() {
            bytes += batch.bytes;
            let due = self.roll_due(Incoming { bytes, ..*batch }, now).is_some();
            // An empty segment takes one batch, however large.
            let is_full = index > 0 && bounds.size + bytes > u64::from(self.config.segment_bytes);
            let in_reach = batch.last_offset - self.active.base() <= i64::from(i32::MAX)
                && bounds.size + bytes <= i32::MAX as u64;
            if due || is_full || !in_reach {
                return index;
            }
        }
        batches.len()
    }

    /// Whether nothing was appended to the active segment.
    pub fn active_is_empty(&self) -> bool {
        self.active.bounds.size == 0
    }

    /// Begins a roll to a segment that begins at the log end. Until it is finished, appends are refused.
    ///
    /// # Errors
    ///
    /// [`LogError`].
    ///
    /// # Panics
    ///
    /// If the active segment is empty: its successor would have the same name.
    pub fn begin_roll(&mut self) -> Result<RollPlan<D>, LogError> {
        self.check_ready()?;
        assert!(self.active.bounds.size > 0, "an empty segment is not rolled");
        self.state = State::Rolling;
        let names = (!self.names.are_synced()).then_some(self.names.changed);
        Ok(RollPlan { disk: self.disk.clone(), dir: Arc::clone(&self.dir), base: self.log_end(), names })
    }

    /// Finishes a roll: the new segment is the active one.
    ///
    /// # Errors
    ///
    /// [`LogError::Failed`] if the files could not be created or the old segment's time index not be ended,
    /// or if the log failed meanwhile.
    ///
    /// # Panics
    ///
    /// If the log is not being rolled.
    pub fn finish_roll(&mut self, ticket: RollTicket<D>, now: WallMs) -> Result<(), LogError> {
        assert_eq!(self.state, State::Rolling, "a roll is finished that was not begun");
        self.state = State::Ready;
        self.check_not_failed()?;
        let files = ticket.files.map_err(|error| self.failing(error))?;
        assert_eq!(files.base, self.log_end(), "nothing is appended during a roll");
        if let Some(names) = ticket.names {
            self.names.take_synced(names, true);
        }
        self.end_time_index()?;
        let bounds = Bounds::empty(files.base, now);
        let old = std::mem::replace(&mut self.active, Segment { files: Arc::new(files), bounds });
        self.unsynced.push(Arc::clone(&old.files));
        Arc::make_mut(&mut self.sealed).push(old);
        self.names.changed += 1;
        self.assert_invariants();
        Ok(())
    }
}
