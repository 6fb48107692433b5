//! Making the log durable.

use std::path::Path;
use std::sync::Arc;

use super::segment::SegmentFiles;
use super::{Log, LogError, State};
use crate::env::{Disk, DiskError, File};
use crate::types::Offset;

/// What one sync covers: everything appended before the plan was made.
///
/// It syncs the active segment's log file; all files of segments that were rolled since the last plan; the
/// partition directory if names were created in it; and for a new log the directory above. The active
/// segment's indexes are left out: recovery builds them anew.
#[derive(Debug)]
pub struct SyncPlan<D: Disk> {
    disk: D,
    dir: Arc<Path>,
    generation: u64,
    end: Offset,
    active: Arc<SegmentFiles<D>>,
    whole: Vec<Arc<SegmentFiles<D>>>,
    names: u64,
    sync_dir: bool,
    sync_parent: bool,
}

impl<D: Disk> SyncPlan<D> {
    /// The truncation generation in which [`end`](Self::end) has its meaning.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// The end of what the sync covers.
    pub fn end(&self) -> Offset {
        self.end
    }

    /// Syncs. All of it must succeed for any of it to count.
    ///
    /// # Errors
    ///
    /// Those of the disk. The log must then be told to [`fail`](Log::fail): nothing is tried again.
    pub async fn run(&self) -> Result<(), DiskError> {
        for files in &self.whole {
            files.sync().await?;
        }
        self.active.log.sync().await?;
        if self.sync_dir {
            self.disk.sync_dir(&self.dir).await?;
        }
        if self.sync_parent {
            sync_parent(&self.disk, &self.dir).await?;
        }
        Ok(())
    }
}

/// Makes the entry of a partition directory in the directory above it durable.
pub(super) async fn sync_parent<D: Disk>(disk: &D, dir: &Path) -> Result<(), DiskError> {
    let parent = dir.parent().expect("a partition directory lies in a log directory");
    disk.sync_dir(parent).await
}

impl<D: Disk> Log<D> {
    /// Whether a sync would make anything durable that is not.
    pub fn needs_sync(&self) -> bool {
        self.durable_end < self.log_end() || !self.unsynced.is_empty() || !self.names.are_synced()
    }

    /// Whether segments were rolled that are not durable yet: worth a sync even where appends do not wait for
    /// one, so that neither they nor what recovery has to read grows.
    pub fn has_unsynced_segments(&self) -> bool {
        !self.unsynced.is_empty()
    }

    /// What to sync so that everything appended up to now is durable. Usually one file; it allocates only
    /// after a roll.
    ///
    /// # Errors
    ///
    /// [`LogError::Failed`]; [`LogError::Busy`] during a truncation.
    pub fn sync_plan(&self) -> Result<SyncPlan<D>, LogError> {
        self.check_not_failed()?;
        if self.state == State::Truncating {
            return Err(LogError::Busy);
        }
        Ok(SyncPlan {
            disk: self.disk.clone(),
            dir: Arc::clone(&self.dir),
            generation: self.generation(),
            end: self.log_end(),
            active: Arc::clone(&self.active.files),
            whole: self.unsynced.clone(),
            names: self.names.changed,
            sync_dir: self.names.synced < self.names.changed,
            sync_parent: !self.names.parent_synced,
        })
    }

    /// Takes in that `plan` has run with success, and returns the durable end. A plan from before a
    /// truncation says nothing about what the offsets mean now and changes nothing.
    pub fn synced(&mut self, plan: &SyncPlan<D>) -> Offset {
        if plan.generation == self.generation() {
            self.durable_end = self.durable_end.max(plan.end);
            self.unsynced.retain(|files| !plan.whole.iter().any(|synced| Arc::ptr_eq(files, synced)));
            self.names.take_synced(plan.names, plan.sync_parent);
            self.assert_invariants();
        }
        self.durable_end
    }

    /// Takes in that the owner has synced the log's directory, after whatever was created in it so far.
    pub fn directory_synced(&mut self) {
        self.names.take_synced(self.names.changed, false);
    }

    /// Whether the entry of the log's directory in the one above it is not known to be durable.
    pub fn needs_parent_sync(&self) -> bool {
        !self.names.parent_synced
    }

    /// Takes in that the owner has synced the directory above the log's: once for many logs, where each would
    /// else do it by itself.
    pub fn parent_synced(&mut self) {
        self.names.take_synced(0, true);
    }

    /// Ends the use of the log, and says what to sync so that all of it, the active segment's indexes
    /// included, is durable: what a clean shutdown promises.
    ///
    /// # Errors
    ///
    /// [`LogError`]; a roll or a truncation is finished first.
    pub fn close(&mut self) -> Result<SyncPlan<D>, LogError> {
        self.check_ready()?;
        self.end_time_index()?;
        self.state = State::Closed;
        let mut plan = self.sync_plan()?;
        plan.whole.push(Arc::clone(&self.active.files));
        Ok(plan)
    }

    /// Writes the entry with which the active segment's time index ends.
    pub(super) fn end_time_index(&mut self) -> Result<(), LogError> {
        let mut bounds = self.active.bounds;
        let before = bounds;
        let due = super::segment::DueEntries { offset: None, time: bounds.due_time_entry() };
        self.active.files.write_entries(&before, &due).map_err(|error| self.failing(error))?;
        self.active.bounds = bounds;
        Ok(())
    }
}
