//! Opening a log: what a crash leaves behind, what is made of it, and what is refused.
//!
//! # Assumptions about the disk
//!
//! Beyond the contract of [`Disk`]:
//!
//! 1. What a successful sync covered is there after any crash, save for damage: bits rot, files are cut or
//!    lost by hand. Damage is told from a crash by *where* it is: a crash leaves alone what lies below the
//!    checkpointed recovery point (durable then) and the checkpointed high watermark (durable then, where the
//!    topic syncs before it counts).
//! 2. What no sync covered may be there, not be there, or be there in parts, in any order: a later segment
//!    but not the end of an earlier one, the bytes but not the length, a batch with some of its sectors zero.
//!    A batch is believed if its CRC matches and its offsets follow on those of the batch before it.
//! 3. What is read now from a page cache need not be on the disk: the process before may have died between
//!    write and sync, or of a failed sync. So all that is kept above the recovery point is written once more,
//!    as it was read, and synced, before the durable end says that it is durable. (Writing it again matters
//!    after a failed sync: the kernel holds such pages to be clean and a sync alone would not write them.)
//! 4. A crash may come at any point of recovery itself. Truncating is idempotent: until the sync at its end
//!    has succeeded nothing is appended or promised, and whatever part of a truncation was lost is found
//!    again as a bad batch, or as a hole between segments.
//! 5. Checkpoints never name more than was durable when they were written, and are lowered before a log is
//!    truncated below them. Compaction rewrites only segments that lie wholly below the recovery point: only
//!    there may offsets be missing between segments.
//! 6. A loss of power takes the name of the last segment at most, since a segment is created only when the
//!    names of those before it are durable. So what is missing before the first segment left by retention.
//! 7. The indexes of a segment are durable once the recovery point lies past its end. Only if it lies exactly
//!    at the end they may not be, because the end became durable while the segment was active.
//!
//! # What is done
//!
//! After a clean stop nothing is scanned but the end of the active segment from its last index entry on.
//! After any other, every batch is checked from the segment on that holds the last record below the recovery
//! point, and the indexes of these segments are built anew. In either case missing or implausible indexes
//! are.
//!
//! The log is cut at the first bad batch or hole, and what lies behind it goes: it can no longer be reached.
//! But if the cut would fall below the recovery point or the high watermark, the log is not opened:
//! [`OpenLogError::Corrupt`].
//!
//! Segments that end at or below the checkpointed log start go; if the whole log lies below it, it begins
//! anew there. Leftovers of deletions, compactions and small files are cleared away.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::path::Path;
use std::sync::Arc;

use thiserror::Error;

use super::anew::BEFORE_ALL;
use super::checkpoint::remove_if_exists;
use super::directory::{FileKind, file_name, temporary_name};
use super::leftovers::{self, ListedSegment, remove_snapshots_past};
use super::roll::create_segment;
use super::scan::{SCAN_CHUNK, Window};
use super::segment::{Bounds, EntryCounts, Segment, SegmentFiles};
use super::sync::sync_parent;
use super::time_index::{self, TimeEntry};
use super::{Damage, Log, LogConfig, Names, Shared, State, offset_index};
use crate::env::{Disk, DiskError, File, OpenMode};
use crate::types::{Offset, WallMs};
use crate::wire::batch::{BatchHeader, HEADER_LEN};

/// What is known of a log before it is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OpenHints {
    /// Whether the log directory was left by a clean shutdown.
    pub clean: bool,
    /// The checkpointed recovery point; zero if there is none.
    pub recovery_point: Offset,
    /// The checkpointed high watermark, zero if there is none. Zero too for a topic that does not sync before
    /// it counts, after a loss of power: there the log may end below what was committed.
    pub high_watermark: Offset,
    /// The checkpointed log start; zero if there is none.
    pub log_start: Offset,
    /// The time, for the age of segments without timestamps.
    pub now: WallMs,
}

impl OpenHints {
    /// Those for a log that does not exist yet.
    pub fn new_log(now: WallMs) -> Self {
        let zero = Offset::ZERO;
        Self { clean: true, recovery_point: zero, high_watermark: zero, log_start: zero, now }
    }
}

/// What opening a log has done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Recovery {
    /// There was no segment; an empty one was created.
    pub created: bool,
    /// Bytes of log files that were read batch by batch.
    pub scanned_bytes: u64,
    /// Bytes of log files that were cut off behind the first bad batch, segments that were removed included.
    pub truncated_bytes: u64,
    /// Segments that were removed, because they lay behind the cut or below the log start.
    pub removed_segments: usize,
    /// Segments whose indexes were built anew.
    pub rebuilt_indexes: usize,
}

/// Why a log cannot be opened.
#[derive(Debug, Clone, Error)]
pub enum OpenLogError {
    /// The disk failed.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// Records are damaged or missing that were durable or committed.
    #[error("{0}; this is below what was durable or committed, and not the trace of a crash")]
    Corrupt(#[from] Damage),
}

impl<D: Disk> Log<D> {
    /// Opens the log in the partition directory `dir`, which is created if it is missing, and recovers it
    /// from whatever happened to it. See the [module's text](self).
    ///
    /// The log directory's mark of a clean shutdown is taken before any log in it is opened.
    ///
    /// # Errors
    ///
    /// [`OpenLogError`]. The directory is then not damaged further, and opening may be tried again. As with
    /// all that creates files, the future must not be dropped before.
    pub async fn open(
        disk: &D,
        dir: &Path,
        config: LogConfig,
        hints: OpenHints,
    ) -> Result<(Self, Recovery), OpenLogError> {
        disk.create_dir_all(dir).await?;
        let listed = leftovers::clear(disk, dir).await?;
        let mut opening = Opening {
            disk,
            dir,
            config,
            hints,
            segments: Vec::new(),
            to_sync: Vec::new(),
            window: Window::new(Vec::new(), SCAN_CHUNK),
            recovery: Recovery::default(),
        };
        let listed = opening.remove_below_log_start(listed).await?;
        let cut = opening.load(&listed).await?;
        opening.check_end(cut.as_ref())?;
        opening.remove_behind_cut(&listed).await?;
        opening.begin_anew_if_empty().await?;
        opening.sync().await?;
        Ok(opening.finish())
    }
}

/// Bytes of index entries that are collected before they are written.
const INDEX_CHUNK: usize = 32 * 1024;

/// A log that is being opened.
struct Opening<'a, D: Disk> {
    disk: &'a D,
    dir: &'a Path,
    config: LogConfig,
    hints: OpenHints,
    /// The segments found good so far.
    segments: Vec<Segment<D>>,
    /// Those with files that changed or are not known to be durable.
    to_sync: Vec<Arc<SegmentFiles<D>>>,
    window: Window,
    recovery: Recovery,
}

impl<D: Disk> Opening<'_, D> {
    /// Removes the segments that end at or below the log start: a deletion that a crash undid.
    async fn remove_below_log_start(
        &mut self,
        mut listed: BTreeMap<Offset, ListedSegment>,
    ) -> Result<BTreeMap<Offset, ListedSegment>, OpenLogError> {
        // A segment ends where the next one begins.
        while listed.keys().nth(1).is_some_and(|end| *end <= self.hints.log_start) {
            let (base, _) = listed.pop_first().expect("there is a second, so there is a first");
            self.remove_segment(base).await?;
        }
        Ok(listed)
    }

    /// Loads the segments in order, up to the first damage, which it returns.
    async fn load(&mut self, listed: &BTreeMap<Offset, ListedSegment>) -> Result<Option<Damage>, DiskError> {
        let recovery_point = self.hints.recovery_point;
        // The last segment that begins below the recovery point, or the first one (assumption 7).
        let scan_from = listed.range(..recovery_point).next_back().or(listed.first_key_value());
        let scan_from = scan_from.map(|(base, _)| *base).filter(|_| !self.hints.clean);
        let nexts = listed.keys().skip(1).map(|next| Some(*next)).chain([None]);
        for ((base, lengths), next) in listed.iter().zip(nexts) {
            let scan = scan_from.is_some_and(|from| *base >= from);
            if scan_from.is_some_and(|from| *base > from)
                && let Some(hole) = self.hole_before(*base)
            {
                return Ok(Some(hole));
            }
            if !scan && let Some(segment) = self.trust(*base, lengths, next).await? {
                self.segments.push(segment);
                continue;
            }
            let damage = self.scan(*base, lengths.log).await?;
            // Behind a segment that was scanned for its indexes only, compaction may have left a hole.
            if damage.is_none()
                && !scan
                && let (Some(last), Some(next)) = (self.segments.last_mut(), next)
            {
                last.bounds.next_offset = last.bounds.next_offset.max(next);
            }
            if damage.is_some() {
                return Ok(damage);
            }
        }
        Ok(None)
    }

    /// Segments that were scanned follow on each other without holes: what is missing was lost in the crash.
    fn hole_before(&self, base: Offset) -> Option<Damage> {
        let end = self.segments.last()?.bounds.next_offset;
        let file = self.dir.join(file_name(base, FileKind::Log));
        let reason = format!("the segment before it ends at offset {end}");
        (base != end).then_some(Damage { file, position: 0, offset: end, reason })
    }

    /// A segment whose files are taken for what they say; `None` if its indexes are missing or implausible.
    async fn trust(
        &self,
        base: Offset,
        lengths: &ListedSegment,
        next: Option<Offset>,
    ) -> Result<Option<Segment<D>>, DiskError> {
        let Some(entries) = entry_counts(lengths).filter(|_| lengths.log <= i32::MAX as u64) else {
            return Ok(None);
        };
        let files = Arc::new(SegmentFiles::open(self.disk, self.dir, base, OpenMode::Existing).await?);
        let created = self.hints.now;
        let Some(next) = next else {
            return Segment::load(files, lengths.log, entries, created).await;
        };
        let mut bounds = Bounds { size: lengths.log, next_offset: next, ..Bounds::empty(base, created) };
        (bounds.offset_entries, bounds.time_entries) = (entries.offset, entries.time);
        if let Some(last) = entries.offset.checked_sub(1) {
            match offset_index::read_entry(&files.offset_index, base, last).await? {
                Some(entry) if entry.offset < next && entry.position < lengths.log => {}
                _ => return Ok(None),
            }
        }
        let largest = match entries.time.checked_sub(1) {
            Some(last) => time_index::read_entry(&files.time_index, base, last).await?,
            None => first_timestamp(&files, lengths.log).await?,
        };
        let Some(largest) = largest.filter(|entry| entry.offset < next) else { return Ok(None) };
        (bounds.largest, bounds.last_time_entry) = (largest, largest.timestamp);
        Ok(Some(Segment { files, bounds }))
    }

    /// Checks a segment batch by batch and builds its indexes anew. Its good part joins the segments; what
    /// follows is cut off later, if it may.
    async fn scan(&mut self, base: Offset, length: u64) -> Result<Option<Damage>, DiskError> {
        self.window.reset();
        self.recovery.rebuilt_indexes += 1;
        let files = Arc::new(self.open_for_scan(base).await?);
        let mut indexes = IndexBuilder::new(&files);
        let mut bounds = Bounds::empty(files.base, self.hints.now);
        let mut bad = None;
        while bounds.size < length && bad.is_none() {
            match self.check_batch(&files, &bounds, length).await? {
                Ok(header) => {
                    let due = bounds.account(&header, &self.config);
                    indexes.push(due.offset.map(|entry| entry.encode(files.base)), due.time)?;
                }
                Err(reason) => bad = Some(reason),
            }
        }
        indexes.push(None, bounds.due_time_entry())?;
        indexes.flush()?;
        self.recovery.scanned_bytes += bounds.size;
        self.to_sync.push(Arc::clone(&files));
        let segment = Segment { files, bounds };
        let damage = bad.map(|reason| segment.damage(self.dir, bounds.size, bounds.next_offset, reason));
        self.segments.push(segment);
        Ok(damage)
    }

    /// The files of a segment whose indexes are built anew, which get their names once they are complete:
    /// half an index, left by a crash, would look like a whole one.
    async fn open_for_scan(&self, base: Offset) -> Result<SegmentFiles<D>, DiskError> {
        let path = |kind| self.dir.join(file_name(base, kind));
        let new_path = |kind| self.dir.join(temporary_name(&file_name(base, kind)));
        Ok(SegmentFiles {
            base,
            log: self.disk.open(&path(FileKind::Log), OpenMode::Existing).await?,
            offset_index: self
                .disk
                .open(&new_path(FileKind::OffsetIndex), OpenMode::CreateOrTruncate)
                .await?,
            time_index: self.disk.open(&new_path(FileKind::TimeIndex), OpenMode::CreateOrTruncate).await?,
        })
    }

    /// Checks the batch that stands behind `bounds`, and writes it once more if it may not be on the disk yet
    /// (assumption 3). The inner error is what is wrong with it.
    async fn check_batch(
        &mut self,
        files: &SegmentFiles<D>,
        bounds: &Bounds,
        length: u64,
    ) -> Result<Result<BatchHeader, String>, DiskError> {
        let position = bounds.size;
        let Some(head) = self.window.get(&files.log, position, HEADER_LEN, length).await? else {
            return Ok(Err("the file ends inside a batch's header".to_owned()));
        };
        let size = match BatchHeader::parse(head) {
            Ok(header) => header.size_in_bytes(),
            Err(error) => return Ok(Err(error.to_string())),
        };
        if position + size as u64 > i32::MAX as u64 {
            return Ok(Err("the segment is larger than 2 GiB".to_owned()));
        }
        let Some(batch) = self.window.get(&files.log, position, size, length).await? else {
            return Ok(Err(format!("the batch claims {size} bytes, {} are left", length - position)));
        };
        let header = match BatchHeader::verify(batch) {
            Ok(header) => header,
            Err(error) => return Ok(Err(error.to_string())),
        };
        if header.base_offset < bounds.next_offset {
            let expected = bounds.next_offset;
            return Ok(Err(format!("the batch begins at offset {}, {expected} was due", header.base_offset)));
        }
        if header.last_offset() - files.base > i64::from(i32::MAX) {
            return Ok(Err(format!("offset {} is too far from the segment's base", header.last_offset())));
        }
        if header.next_offset() > self.hints.recovery_point && !self.hints.clean {
            files.log.write_at(position, &mut [std::io::IoSlice::new(batch)])?;
        }
        Ok(Ok(header))
    }

    /// That the log reaches what was durable and committed.
    fn check_end(&self, cut: Option<&Damage>) -> Result<(), OpenLogError> {
        let floor = self.hints.recovery_point.max(self.hints.high_watermark);
        let end = match (cut, self.segments.last()) {
            (Some(damage), _) => damage.offset,
            (None, Some(last)) => last.bounds.next_offset,
            (None, None) => self.hints.log_start,
        };
        if end >= floor {
            return Ok(());
        }
        if let Some(damage) = cut {
            return Err(damage.clone().into());
        }
        let reason = format!("the log ends here, but was durable or committed up to offset {floor}");
        Err(match self.segments.last() {
            Some(last) => last.damage(self.dir, last.bounds.size, end, reason),
            None => Damage { file: self.dir.to_owned(), position: 0, offset: end, reason },
        }
        .into())
    }

    /// Cuts the last good segment behind its last good batch and removes the segments behind it, the last one
    /// first.
    async fn remove_behind_cut(
        &mut self,
        listed: &BTreeMap<Offset, ListedSegment>,
    ) -> Result<(), OpenLogError> {
        let Some(last) = self.segments.last() else { return Ok(()) };
        let (base, size, end) = (last.base(), last.bounds.size, last.bounds.next_offset);
        let files = Arc::clone(&last.files);
        let behind = (Bound::Excluded(base), Bound::Unbounded);
        for (behind, lengths) in listed.range(behind).rev() {
            self.recovery.truncated_bytes += lengths.log;
            self.remove_segment(*behind).await?;
        }
        let length = listed[&base].log;
        if size < length {
            self.recovery.truncated_bytes += length - size;
            files.log.truncate(size).await?;
        }
        if self.changed() {
            remove_snapshots_past(self.disk, self.dir, end).await?;
        }
        Ok(())
    }

    /// Whether anything was, or may have been, cut or written.
    fn changed(&self) -> bool {
        !self.hints.clean || !self.to_sync.is_empty()
    }

    /// An empty log, or one that lies wholly below the log start, begins at the log start.
    async fn begin_anew_if_empty(&mut self) -> Result<(), OpenLogError> {
        let log_start = self.hints.log_start;
        if self.segments.last().is_some_and(|last| last.bounds.next_offset >= log_start) {
            return Ok(());
        }
        if log_start > Offset::ZERO {
            // Those of a log that had what this one lacks.
            remove_snapshots_past(self.disk, self.dir, BEFORE_ALL).await?;
        }
        for segment in std::mem::take(&mut self.segments) {
            self.remove_segment(segment.base()).await?;
        }
        self.to_sync.clear();
        let files = Arc::new(create_segment(self.disk, self.dir, log_start).await?);
        let bounds = Bounds::empty(log_start, self.hints.now);
        self.segments.push(Segment { files, bounds });
        self.recovery.created = true;
        Ok(())
    }

    async fn remove_segment(&mut self, base: Offset) -> Result<(), DiskError> {
        self.recovery.removed_segments += 1;
        for kind in [FileKind::Log, FileKind::OffsetIndex, FileKind::TimeIndex, FileKind::TransactionIndex] {
            remove_if_exists(self.disk, &self.dir.join(file_name(base, kind))).await?;
        }
        Ok(())
    }

    /// Makes what was kept durable, and so what was removed (assumptions 3 and 4).
    async fn sync(&mut self) -> Result<(), DiskError> {
        for files in &self.to_sync {
            files.sync().await?;
            for kind in [FileKind::OffsetIndex, FileKind::TimeIndex] {
                let name = file_name(files.base, kind);
                let new_path = self.dir.join(temporary_name(&name));
                self.disk.rename(&new_path, &self.dir.join(name)).await?;
            }
        }
        if self.changed() {
            self.disk.sync_dir(self.dir).await?;
            sync_parent(self.disk, self.dir).await?;
        }
        Ok(())
    }

    fn finish(mut self) -> (Log<D>, Recovery) {
        let active = self.segments.pop().expect("a log has at least one segment");
        let first = self.segments.first().unwrap_or(&active).base();
        // The names of a new log are left to the first sync: until then there is nothing to lose.
        let synced = self.changed() || !self.recovery.created;
        let log = Log {
            disk: self.disk.clone(),
            dir: Arc::from(self.dir),
            config: self.config,
            shared: Arc::new(Shared::new()),
            log_start: self.hints.log_start.max(first),
            durable_end: active.bounds.next_offset,
            sealed: Arc::new(self.segments),
            active,
            unsynced: Vec::new(),
            names: Names { changed: 1, synced: u64::from(synced), parent_synced: synced },
            state: State::Ready,
        };
        log.assert_invariants();
        (log, self.recovery)
    }
}

/// How many entries the index files have room for; `None` if one is missing or its length is wrong.
fn entry_counts(lengths: &ListedSegment) -> Option<EntryCounts> {
    let count = |length: u64, entry: usize| {
        let entry = entry as u64;
        if length.is_multiple_of(entry) { u32::try_from(length / entry).ok() } else { None }
    };
    Some(EntryCounts {
        offset: count(lengths.offset_index?, offset_index::ENTRY_LEN)?,
        time: count(lengths.time_index?, time_index::ENTRY_LEN)?,
    })
}

/// The largest timestamp of a segment with an empty time index: none, unless the index was lost, which the
/// first batch tells. `None` if it was.
async fn first_timestamp<D: Disk>(
    files: &SegmentFiles<D>,
    length: u64,
) -> Result<Option<TimeEntry>, DiskError> {
    let none = Bounds::empty(files.base, WallMs::default()).largest;
    let mut window = Window::new(Vec::new(), HEADER_LEN);
    let Some(head) = window.get(&files.log, 0, HEADER_LEN, length).await? else {
        return Ok((length == 0).then_some(none));
    };
    let timestamp = BatchHeader::parse(head).map(|header| header.max_timestamp);
    Ok(timestamp.is_ok_and(|timestamp| timestamp < 0).then_some(none))
}

/// Collects the entries of both indexes and writes them to their new files.
struct IndexBuilder<'a, D: Disk> {
    files: &'a SegmentFiles<D>,
    offset: Vec<u8>,
    offset_at: u64,
    time: Vec<u8>,
    time_at: u64,
}

impl<'a, D: Disk> IndexBuilder<'a, D> {
    fn new(files: &'a SegmentFiles<D>) -> Self {
        Self { files, offset: Vec::new(), offset_at: 0, time: Vec::new(), time_at: 0 }
    }

    fn push(
        &mut self,
        offset: Option<[u8; offset_index::ENTRY_LEN]>,
        time: Option<TimeEntry>,
    ) -> Result<(), DiskError> {
        self.offset.extend(offset.into_iter().flatten());
        self.time.extend(time.into_iter().flat_map(|entry| entry.encode(self.files.base)));
        if self.offset.len() + self.time.len() > INDEX_CHUNK { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<(), DiskError> {
        write_out(&self.files.offset_index, &mut self.offset, &mut self.offset_at)?;
        write_out(&self.files.time_index, &mut self.time, &mut self.time_at)
    }
}

fn write_out<F: File>(file: &F, bytes: &mut Vec<u8>, at: &mut u64) -> Result<(), DiskError> {
    if !bytes.is_empty() {
        file.write_at(*at, &mut [std::io::IoSlice::new(bytes)])?;
        *at += bytes.len() as u64;
        bytes.clear();
    }
    Ok(())
}
