//! Retention: the oldest segments leave the log.
//!
//! Whole segments only, from the oldest on, and none that has an offset at or past the high watermark
//! (KAFKA-5634). The active segment never leaves; the log is rolled first where it should.
//!
//! A segment leaves in three steps: it is taken from the list and the log start raised ([`Log::retire`]); its
//! files get the suffix `.deleted` ([`Retirement::run`]); after `file.delete.delay.ms` they are unlinked
//! ([`Retired::delete`]). Readers that have the files open read on.
//!
//! Crashes: the names of the segments that stay are made durable first. Then the others are renamed one by one, oldest first, each made durable before the next. So those
//! that are left are always a suffix of what was there, without holes, and the log starts where the first of
//! them does or at the checkpointed log start, whichever is later. Opening a log removes `.deleted` files, and
//! segments below the checkpointed log start.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::checkpoint::remove_if_exists;
use super::directory::{FileKind, deleted_name, file_name};
use super::segment::Segment;
use super::{Log, LogError, State};
use crate::env::{Disk, DiskError, DiskErrorKind};
use crate::types::{Offset, WallMs};

/// Segments that were taken from the log and whose files are still there.
#[derive(Debug)]
pub struct Retirement<D: Disk> {
    disk: D,
    dir: Arc<Path>,
    bases: Vec<Offset>,
    log_start: Offset,
}

/// Files that wait to be unlinked.
#[derive(Debug)]
#[must_use = "the files stay until they are deleted, or until the log is opened again"]
pub struct Retired<D: Disk> {
    disk: D,
    files: Vec<PathBuf>,
}

impl<D: Disk> Retirement<D> {
    /// The log start from now on. It is worth a checkpoint: without one, records that DeleteRecords removed
    /// from the first segment left are there again after a restart.
    pub fn log_start(&self) -> Offset {
        self.log_start
    }

    /// The number of segments.
    pub fn segments(&self) -> usize {
        self.bases.len()
    }

    /// Renames the files, durably.
    ///
    /// # Errors
    ///
    /// Those of the disk. The log must then be told to [`fail`](Log::fail).
    pub async fn run(self) -> Result<Retired<D>, DiskError> {
        let mut files = Vec::new();
        // The segment that stays may be new. Without its name the log would have lost where it ends.
        self.disk.sync_dir(&self.dir).await?;
        for base in self.bases {
            hide_segment(&self.disk, &self.dir, base, &mut files).await?;
            self.disk.sync_dir(&self.dir).await?;
        }
        Ok(Retired { disk: self.disk, files })
    }
}

impl<D: Disk> Retired<D> {
    pub(super) fn new(disk: D, files: Vec<PathBuf>) -> Self {
        Self { disk, files }
    }

    /// Unlinks the files. Names that come back after a crash are removed when the log is opened.
    ///
    /// # Errors
    ///
    /// Those of the disk.
    pub async fn delete(self) -> Result<(), DiskError> {
        for file in &self.files {
            remove_if_exists(&self.disk, file).await?;
        }
        Ok(())
    }
}

/// Renames a segment's files for deletion, the log file first, and adds their new names to `hidden`. The
/// producer snapshot of the segment's beginning goes with it.
pub(super) async fn hide_segment<D: Disk>(
    disk: &D,
    dir: &Path,
    base: Offset,
    hidden: &mut Vec<PathBuf>,
) -> Result<(), DiskError> {
    for kind in [
        FileKind::Log,
        FileKind::OffsetIndex,
        FileKind::TimeIndex,
        FileKind::TransactionIndex,
        FileKind::ProducerSnapshot,
    ] {
        let name = file_name(base, kind);
        let new_path = dir.join(deleted_name(&name));
        match disk.rename(&dir.join(name), &new_path).await {
            Ok(()) => hidden.push(new_path),
            Err(error) if error.kind == DiskErrorKind::NotFound && kind != FileKind::Log => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

impl<D: Disk> Log<D> {
    /// Whether the log should be rolled so that the active segment can leave by [`Log::retire`].
    pub fn roll_for_retention(&self, now: WallMs, high_watermark: Offset) -> bool {
        let segments: Vec<&Segment<D>> = self.segments().collect();
        self.active.bounds.size > 0 && self.deletable(&segments, now, high_watermark) == segments.len()
    }

    /// Takes from the log the segments that retention or the log start have passed, and raises the log start
    /// to the first that stays. `None` if there are none.
    ///
    /// # Errors
    ///
    /// [`LogError`]; [`LogError::Busy`] only during a truncation.
    pub fn retire(&mut self, now: WallMs, high_watermark: Offset) -> Result<Option<Retirement<D>>, LogError> {
        self.check_not_failed()?;
        match self.state {
            // The two do not touch each other: a roll adds at the end.
            State::Ready | State::Rolling => {}
            State::Truncating => return Err(LogError::Busy),
            State::Closed => return Err(LogError::Closed),
        }
        let sealed: Vec<&Segment<D>> = self.sealed.iter().collect();
        let count = self.deletable(&sealed, now, high_watermark);
        if count == 0 {
            return Ok(None);
        }
        let gone: Vec<Segment<D>> = Arc::make_mut(&mut self.sealed).drain(..count).collect();
        self.unsynced.retain(|files| !gone.iter().any(|segment| Arc::ptr_eq(files, &segment.files)));
        let first_base = self.sealed.first().unwrap_or(&self.active).base();
        self.log_start = self.log_start.max(first_base);
        assert!(first_base <= high_watermark, "retention went past the high watermark");
        self.assert_invariants();
        Ok(Some(Retirement {
            disk: self.disk.clone(),
            dir: Arc::clone(&self.dir),
            bases: gone.iter().map(Segment::base).collect(),
            log_start: self.log_start,
        }))
    }

    /// How many of `segments`, the log's first ones, may go: first by time, then by size, then by log start,
    /// each going on where the one before stopped.
    fn deletable(&self, segments: &[&Segment<D>], now: WallMs, high_watermark: Offset) -> usize {
        let committed =
            segments.iter().take_while(|segment| segment.bounds.next_offset <= high_watermark).count();
        let segments = &segments[..committed];
        let retention_ms = self.config.retention_ms;
        let mut count = segments
            .iter()
            .take_while(|segment| {
                retention_ms >= 0 && now.0.saturating_sub(segment.bounds.age_from()) > retention_ms
            })
            .count();
        let left: u64 =
            self.size_bytes() - segments[..count].iter().map(|segment| segment.bounds.size).sum::<u64>();
        if let Ok(retention_bytes) = u64::try_from(self.config.retention_bytes) {
            let mut excess = left.saturating_sub(retention_bytes);
            count += segments[count..]
                .iter()
                .take_while(|segment| {
                    let fits = segment.bounds.size <= excess;
                    excess = excess.saturating_sub(segment.bounds.size);
                    fits
                })
                .count();
        }
        let below_start =
            segments[count..].iter().take_while(|segment| segment.bounds.next_offset <= self.log_start);
        count + below_start.count()
    }
}
