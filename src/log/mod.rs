//! A partition's log: segments, indexes, recovery and retention over [`Disk`]. Knows no leadership.
//!
//! A [`Log`] is a value that its owner keeps behind a short lock. What returns at once is a method under that
//! lock; what waits for the disk works on something taken from the log under the lock, runs outside it, and
//! is handed back under it:
//!
//! | under the lock | outside | under the lock again |
//! |---|---|---|
//! | [`Log::append`] | | |
//! | [`Log::view`] | [`LogView::read`] and the other lookups | |
//! | [`Log::sync_plan`] | [`SyncPlan::run`] | [`Log::synced`], or [`Log::fail`] |
//! | [`Log::begin_roll`] | [`RollPlan::run`] | [`Log::finish_roll`] |
//! | [`Log::begin_truncate`] | [`TruncatePlan::run`] | [`Log::finish_truncate`] |
//! | [`Log::begin_anew`] | [`AnewPlan::run`] | [`Log::finish_anew`] |
//! | [`Log::retire`] | [`Retirement::run`], later [`Retired::delete`] | [`Log::fail`] on errors |
//!
//! Rolls and truncations are begun and finished: in between the log refuses appends ([`LogError::Busy`]), and
//! their futures must not be dropped. If one is, the log stays busy, which is safe.
//!
//! # Positions
//!
//! `log start <= durable end <= log end` (the log start may be raised past the durable end only up to the
//! high watermark, which for a synced topic is durable). The durable end moves by [`Log::synced`] alone,
//! whose plan names what it covers by truncation generation and end.
//!
//! # Faults
//!
//! - After a failed write, sync, roll, truncation or deletion the log has *failed*: it refuses everything
//!   with the first error, because a failed write may have written anything and a failed sync may have lost
//!   anything (KAFKA-10778). Opening it anew is the only way on.
//! - Bytes from disk are checked before they are served: the CRC on every read, the whole batch in recovery.
//!   Damage is an error that names file, position and offset. No CRC covers a batch's base offset and leader
//!   epoch: the base offset is checked against the batches around it, the epoch is for its reader to doubt.
//! - What a crash leaves behind: see [`recovery`].
//!
//! Formats: [`directory`] (names), [`checkpoint`], [`producer_snapshot`], [`offset_index`], [`time_index`];
//! the `.log` file is nothing but batches ([`wire::batch`](crate::wire::batch)).

mod anew;
mod append;
pub mod checkpoint;
mod config;
pub mod directory;
mod hints;
mod index_file;
mod leftovers;
mod lookup;
pub mod offset_index;
pub mod producer_snapshot;
mod read;
pub mod recovery;
mod retention;
mod roll;
mod scan;
mod segment;
mod sync;
pub mod time_index;
mod truncate;
mod view;

pub use anew::{AnewOutcome, AnewPlan};
pub use append::{Appended, StampedBatch};
pub use config::LogConfig;
pub use lookup::TimestampOffset;
pub use read::{ReadBatches, ReadError, ReadLimits};
pub use recovery::{OpenHints, OpenLogError, Recovery};
pub use retention::{Retired, Retirement};
pub use roll::{Incoming, RollPlan, RollReason, RollTicket};
pub use sync::SyncPlan;
pub use truncate::{TruncateOutcome, TruncatePlan};
pub use view::LogView;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use thiserror::Error;

use self::hints::Hints;
use self::segment::{Segment, SegmentFiles};
use crate::env::{Disk, DiskError};
use crate::types::Offset;

/// One partition's log.
#[derive(Debug)]
pub struct Log<D: Disk> {
    disk: D,
    dir: Arc<Path>,
    config: LogConfig,
    shared: Arc<Shared>,
    /// The segments before the active one, by base offset. Replaced, not changed, when there are views.
    sealed: Arc<Vec<Segment<D>>>,
    /// The segment that is appended to.
    active: Segment<D>,
    log_start: Offset,
    /// At most the log end.
    durable_end: Offset,
    /// Segments whose files are not known to be durable as a whole, the active one excepted.
    unsynced: Vec<Arc<SegmentFiles<D>>>,
    names: Names,
    state: State,
}

/// What the log is in the middle of.
#[derive(Debug, Clone, PartialEq, Eq)]
enum State {
    Ready,
    Rolling,
    Truncating,
    Closed,
}

/// Which directory entries are not known to be durable. Numbers, because entries may be added while a sync
/// is under way that does not cover them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Names {
    /// Raised whenever a file is created in the log's directory.
    changed: u64,
    /// The value of `changed` up to which the directory is synced.
    synced: u64,
    /// Whether the entry of the log's directory itself is durable.
    parent_synced: bool,
}

/// What the log shares with its views.
#[derive(Debug)]
struct Shared {
    /// Raised when a truncation begins and when it ends: odd while one is under way.
    generation: AtomicU64,
    /// Set together with `failure`, for a look without a lock.
    failed: AtomicBool,
    failure: std::sync::Mutex<Option<LogFailure>>,
    hints: Hints,
}

/// Damaged bytes.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{} is damaged at byte {position}, offset {offset}: {reason}", file.display())]
pub struct Damage {
    /// The log file.
    pub file: PathBuf,
    /// The position of the first batch that is not whole.
    pub position: u64,
    /// The offset that was expected there, at least.
    pub offset: Offset,
    /// What is wrong.
    pub reason: String,
}

/// What made a log fail.
#[derive(Debug, Clone, Error)]
pub enum LogFailure {
    /// The disk failed.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// Damaged bytes stood in the way of a truncation.
    #[error(transparent)]
    Corrupt(#[from] Damage),
}

/// Why a log refuses an operation.
#[derive(Debug, Clone, Error)]
pub enum LogError {
    /// The operation failed, or an earlier one did.
    #[error("the log has failed: {0}")]
    Failed(#[from] LogFailure),
    /// A roll or a truncation is under way.
    #[error("the log is being rolled or truncated")]
    Busy,
    /// The log was closed.
    #[error("the log is closed")]
    Closed,
}

impl<D: Disk> Log<D> {
    /// The partition directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The settings.
    pub fn config(&self) -> &LogConfig {
        &self.config
    }

    /// Changes the settings, from now on.
    pub fn set_config(&mut self, config: LogConfig) {
        self.config = config;
    }

    /// The first offset that may be read.
    pub fn log_start(&self) -> Offset {
        self.log_start
    }

    /// The end of what was appended.
    pub fn log_end(&self) -> Offset {
        self.active.bounds.next_offset
    }

    /// The end of what survives a loss of power.
    pub fn durable_end(&self) -> Offset {
        self.durable_end
    }

    /// Which truncation the log has behind it: raised by each. An offset means the same record only within
    /// one generation.
    pub fn generation(&self) -> u64 {
        self.shared.generation()
    }

    /// The size of all segments, in bytes, indexes not included.
    pub fn size_bytes(&self) -> u64 {
        self.segments().map(|segment| segment.bounds.size).sum()
    }

    /// The number of segments, at least one.
    pub fn segment_count(&self) -> usize {
        self.sealed.len() + 1
    }

    /// Raises the log start, as DeleteRecords and a leader's log start ask for. Lower values change nothing.
    /// Segments that lie below it leave by [`Log::retire`].
    ///
    /// # Panics
    ///
    /// If `offset` lies past the log end: callers go no further than the high watermark.
    pub fn raise_log_start(&mut self, offset: Offset) {
        assert!(offset <= self.log_end(), "log start {offset} would pass the log end {}", self.log_end());
        self.log_start = self.log_start.max(offset);
    }

    /// The picture of this moment, for reads.
    pub fn view(&self) -> LogView<D> {
        LogView {
            dir: Arc::clone(&self.dir),
            shared: Arc::clone(&self.shared),
            generation: self.generation(),
            sealed: Arc::clone(&self.sealed),
            active: self.active.clone(),
            log_start: self.log_start,
        }
    }

    /// Why the log has failed, if it has.
    pub fn failure(&self) -> Option<LogFailure> {
        self.shared.failure()
    }

    /// Makes the log refuse everything from now on: an operation on its files failed, of which the owner
    /// knows and the log does not. The first failure stays.
    pub fn fail(&mut self, failure: impl Into<LogFailure>) {
        self.shared.fail(failure.into());
    }

    /// Whether it can be changed: it has not failed, is not closed, and no roll or truncation is under way.
    pub fn is_ready(&self) -> bool {
        self.check_ready().is_ok()
    }

    fn segments(&self) -> impl DoubleEndedIterator<Item = &Segment<D>> {
        self.sealed.iter().chain(std::iter::once(&self.active))
    }

    /// That nothing stands in the way of changing the log.
    fn check_ready(&self) -> Result<(), LogError> {
        self.check_not_failed()?;
        match self.state {
            State::Ready => Ok(()),
            State::Rolling | State::Truncating => Err(LogError::Busy),
            State::Closed => Err(LogError::Closed),
        }
    }

    fn check_not_failed(&self) -> Result<(), LogError> {
        self.shared.failure().map_or(Ok(()), |failure| Err(LogError::Failed(failure)))
    }

    /// Fails the log, and says so.
    fn failing(&mut self, failure: impl Into<LogFailure>) -> LogError {
        let failure = failure.into();
        self.shared.fail(failure.clone());
        LogError::Failed(failure)
    }

    fn assert_invariants(&self) {
        let bounds = &self.active.bounds;
        assert!(self.active.base() <= bounds.next_offset, "the active segment ends before it begins");
        assert!(self.durable_end <= self.log_end(), "durable {} past {}", self.durable_end, self.log_end());
        assert!(self.log_start <= self.log_end(), "start {} past {}", self.log_start, self.log_end());
        let last = self.sealed.last();
        assert!(last.is_none_or(|last| last.bounds.next_offset <= self.active.base()), "segments overlap");
    }
}

impl Names {
    fn are_synced(&self) -> bool {
        self.synced == self.changed && self.parent_synced
    }

    /// Takes in a sync of the directory that covers the first `changed` changes, and perhaps one of the
    /// directory above.
    fn take_synced(&mut self, changed: u64, parent: bool) {
        self.synced = self.synced.max(changed);
        self.parent_synced |= parent;
    }
}

impl Shared {
    fn new() -> Self {
        Self {
            generation: AtomicU64::new(0),
            failed: AtomicBool::new(false),
            failure: std::sync::Mutex::new(None),
            hints: Hints::default(),
        }
    }

    fn generation(&self) -> u64 {
        self.generation.load(Ordering::SeqCst)
    }

    fn next_generation(&self) {
        self.generation.fetch_add(1, Ordering::SeqCst);
    }

    fn fail(&self, failure: LogFailure) {
        self.failure.lock().expect("nothing panics under this lock").get_or_insert(failure);
        self.failed.store(true, Ordering::SeqCst);
    }

    fn failure(&self) -> Option<LogFailure> {
        if !self.failed.load(Ordering::SeqCst) {
            return None;
        }
        self.failure.lock().expect("nothing panics under this lock").clone()
    }
}
