//! Beginning anew: everything leaves the log, which goes on, empty, at another offset. So does the log of a
//! follower that has nothing in common with its leader's.
//!
//! Crashes: producer snapshots leave first, since none of them is of the new log; then the segments, the oldest
//! first and each of them durably, as in retention. What a crash leaves is the end of the old log, without holes,
//! or nothing, and then the log begins at the checkpointed log start (see [`recovery`](super::recovery)). So
//! before the plan runs, three checkpoints are durable: the log start is the new one, and neither the recovery
//! point nor the high watermark lies above it.

use std::path::Path;
use std::sync::Arc;

use super::leftovers::remove_snapshots_past;
use super::retention::{Retired, hide_segment};
use super::roll::create_segment;
use super::segment::{Bounds, Segment, SegmentFiles};
use super::{Log, LogError, State};
use crate::env::{Disk, DiskError};
use crate::types::{Offset, WallMs};

/// A new beginning that was begun.
#[derive(Debug)]
pub struct AnewPlan<D: Disk> {
    disk: D,
    dir: Arc<Path>,
    /// Those of the segments that go, in their order.
    bases: Vec<Offset>,
    start: Offset,
}

/// The outcome of an [`AnewPlan`], to be handed to [`Log::finish_anew`].
#[derive(Debug)]
pub struct AnewOutcome<D: Disk> {
    result: Result<(SegmentFiles<D>, Retired<D>), DiskError>,
}

impl<D: Disk> AnewPlan<D> {
    /// Empties the log, durably. The future must not be dropped: the log waits for the outcome.
    pub async fn run(self) -> AnewOutcome<D> {
        AnewOutcome { result: self.replace().await }
    }

    async fn replace(self) -> Result<(SegmentFiles<D>, Retired<D>), DiskError> {
        remove_snapshots_past(&self.disk, &self.dir, BEFORE_ALL).await?;
        self.disk.sync_dir(&self.dir).await?;
        let mut hidden = Vec::new();
        for base in self.bases {
            hide_segment(&self.disk, &self.dir, base, &mut hidden).await?;
            self.disk.sync_dir(&self.dir).await?;
        }
        let files = create_segment(&self.disk, &self.dir, self.start).await?;
        self.disk.sync_dir(&self.dir).await?;
        Ok((files, Retired::new(self.disk, hidden)))
    }
}

/// Before the first offset there can be.
pub(super) const BEFORE_ALL: Offset = Offset(-1);

impl<D: Disk> Log<D> {
    /// Begins to empty the log, which then begins at `start`. Until that is finished, appends are refused and
    /// reads are stale.
    ///
    /// The durable end is lowered by this call, and so must be the checkpoints before the plan runs; see the
    /// module's text.
    ///
    /// # Errors
    ///
    /// [`LogError`].
    ///
    /// # Panics
    ///
    /// If `start` is negative.
    pub fn begin_anew(&mut self, start: Offset) -> Result<AnewPlan<D>, LogError> {
        self.check_ready()?;
        assert!(start >= Offset::ZERO, "no log begins at offset {start}");
        self.state = State::Truncating;
        self.shared.next_generation();
        self.durable_end = self.durable_end.min(start);
        let bases = self.segments().map(Segment::base).collect();
        Ok(AnewPlan { disk: self.disk.clone(), dir: Arc::clone(&self.dir), bases, start })
    }

    /// Finishes what [`Log::begin_anew`] began: the log is empty and begins where it was told to. The files in what
    /// is returned are to be deleted.
    ///
    /// # Errors
    ///
    /// [`LogError::Failed`] if the files could not be replaced, or the log failed meanwhile.
    ///
    /// # Panics
    ///
    /// If the log is not being emptied.
    pub fn finish_anew(&mut self, outcome: AnewOutcome<D>, now: WallMs) -> Result<Retired<D>, LogError> {
        assert_eq!(self.state, State::Truncating, "a beginning is finished that was not begun");
        self.check_not_failed()?;
        let (files, retired) = outcome.result.map_err(|error| self.failing(error))?;
        let start = files.base;
        self.sealed = Arc::default();
        self.unsynced.clear();
        self.active = Segment { files: Arc::new(files), bounds: Bounds::empty(start, now) };
        (self.log_start, self.durable_end) = (start, start);
        self.names.changed += 1;
        self.directory_synced();
        self.state = State::Ready;
        self.shared.next_generation();
        self.assert_invariants();
        Ok(retired)
    }
}
