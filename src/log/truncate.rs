//! Truncation: cutting the log's end, as a follower does that diverged from its leader.
//!
//! Crashes: segments leave from the last to the first, then the one that is cut. What a crash leaves is either
//! a prefix of what was there or has a hole, which recovery finds (see [`recovery`](super::recovery)).

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::leftovers::remove_snapshots_past;
use super::offset_index;
use super::retention::{Retired, hide_segment};
use super::scan::{HEADER_CHUNK, ScanError, Window};
use super::segment::{EntryCounts, Segment};
use super::time_index;
use super::{Log, LogError, LogFailure, State};
use crate::env::{Disk, File};
use crate::types::Offset;

/// A truncation that was begun.
#[derive(Debug)]
pub struct TruncatePlan<D: Disk> {
    disk: D,
    dir: Arc<Path>,
    to: Offset,
    /// The segment to cut, active from then on.
    cut: Segment<D>,
    /// Those behind it, the last one first.
    gone: Vec<Offset>,
}

/// The outcome of a [`TruncatePlan`], to be handed to [`Log::finish_truncate`].
#[derive(Debug)]
pub struct TruncateOutcome<D: Disk> {
    result: Result<(Segment<D>, Retired<D>), LogFailure>,
}

impl<D: Disk> TruncatePlan<D> {
    /// Cuts, and makes the cut durable. The future must not be dropped: the log waits for the outcome.
    pub async fn run(self) -> TruncateOutcome<D> {
        TruncateOutcome { result: self.cut().await }
    }

    async fn cut(self) -> Result<(Segment<D>, Retired<D>), LogFailure> {
        let mut hidden: Vec<PathBuf> = Vec::new();
        for base in &self.gone {
            hide_segment(&self.disk, &self.dir, *base, &mut hidden).await?;
        }
        let segment = self.cut_segment().await.map_err(|error| self.failure(error))?;
        remove_snapshots_past(&self.disk, &self.dir, segment.bounds.next_offset).await?;
        // Before anything is appended under the offsets that were cut.
        segment.files.log.sync().await?;
        self.disk.sync_dir(&self.dir).await?;
        Ok((segment, Retired::new(self.disk, hidden)))
    }

    /// Cuts before the first batch that has an offset at or past the target. In the middle of a batch there is
    /// no place to cut.
    async fn cut_segment(&self) -> Result<Segment<D>, ScanError> {
        let mut window = Window::new(Vec::new(), HEADER_CHUNK);
        let Segment { files, bounds } = &self.cut;
        let found = self.cut.locate(self.to, &mut window).await?;
        let (size, end) = match found {
            Some(found) => (found.position, found.due),
            None => (bounds.size, bounds.next_offset),
        };
        if size < bounds.size {
            files.log.truncate(size).await?;
        }
        // Entries stand for a batch by its last offset, so those of batches that were cut lie past `end`.
        let entries = EntryCounts {
            offset: offset_index::entries_below(&files.offset_index, files.base, bounds.offset_entries, end)
                .await?,
            time: time_index::entries_below(&files.time_index, files.base, bounds.time_entries, end).await?,
        };
        files.offset_index.truncate(u64::from(entries.offset) * offset_index::ENTRY_LEN as u64).await?;
        files.time_index.truncate(u64::from(entries.time) * time_index::ENTRY_LEN as u64).await?;
        let loaded = Segment::load(Arc::clone(files), size, entries, bounds.created).await?;
        loaded.ok_or_else(|| ScanError::Bad {
            position: 0,
            offset: files.base,
            reason: "the indexes contradict the log file".to_owned(),
        })
    }

    fn failure(&self, error: ScanError) -> LogFailure {
        match error {
            ScanError::Disk(error) => LogFailure::Disk(error),
            ScanError::Bad { position, offset, reason } => {
                LogFailure::Corrupt(self.cut.damage(&self.dir, position, offset, reason))
            }
        }
    }
}

impl<D: Disk> Log<D> {
    /// Begins to cut everything from `to` on, or from the beginning of the batch that contains it. `None` if
    /// the log ends at or before `to`. Until it is finished, appends are refused and reads are stale.
    ///
    /// The high watermark lies at or below `to`. The durable end is lowered by this call, and so must be the
    /// checkpointed recovery point before the plan runs: recovery takes a log that ends below it for damaged.
    ///
    /// # Errors
    ///
    /// [`LogError`].
    ///
    /// # Panics
    ///
    /// If `to` lies before the log's first segment.
    pub fn begin_truncate(&mut self, to: Offset) -> Result<Option<TruncatePlan<D>>, LogError> {
        self.check_ready()?;
        if to >= self.log_end() {
            return Ok(None);
        }
        let kept = self.segments().take_while(|segment| segment.base() <= to).count();
        assert!(kept > 0, "offset {to} lies before the first segment");
        let cut = self.segments().nth(kept - 1).expect("it was counted").clone();
        let gone = self.segments().map(Segment::base).rev().take_while(|base| *base > to).collect();
        self.state = State::Truncating;
        self.shared.next_generation();
        // Where exactly the cut will be is not known yet, and what the durable end passes must be there.
        self.durable_end = self.durable_end.min(cut.base());
        Ok(Some(TruncatePlan { disk: self.disk.clone(), dir: Arc::clone(&self.dir), to, cut, gone }))
    }

    /// Finishes a truncation. What was cut off is gone durably; the log end is `to` or, where that fell into a
    /// batch, the beginning of that. The files in what is returned are to be deleted after
    /// `file.delete.delay.ms`.
    ///
    /// # Errors
    ///
    /// [`LogError::Failed`] if the truncation failed, or the log meanwhile.
    ///
    /// # Panics
    ///
    /// If the log is not being truncated.
    pub fn finish_truncate(&mut self, outcome: TruncateOutcome<D>) -> Result<Retired<D>, LogError> {
        assert_eq!(self.state, State::Truncating, "a truncation is finished that was not begun");
        self.check_not_failed()?;
        let (segment, retired) = outcome.result.map_err(|failure| self.failing(failure))?;
        let kept = self.sealed.partition_point(|sealed| sealed.base() < segment.base());
        Arc::make_mut(&mut self.sealed).truncate(kept);
        self.unsynced.retain(|files| files.base < segment.base());
        self.active = segment;
        let all_before_is_durable = self.durable_end == self.active.base() && self.unsynced.is_empty();
        if all_before_is_durable && self.names.parent_synced {
            // The truncation synced the rest: the segment that it cut, and the directory.
            self.durable_end = self.log_end();
        }
        self.log_start = self.log_start.min(self.log_end());
        self.state = State::Ready;
        self.shared.next_generation();
        self.assert_invariants();
        Ok(retired)
    }
}
