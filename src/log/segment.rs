//! One segment: its three files, and what is known about them without reading.

use std::fmt;
use std::io::IoSlice;
use std::path::Path;
use std::sync::Arc;

use super::directory::{FileKind, file_name};
use super::offset_index::{self, OffsetEntry};
use super::scan::{HEADER_CHUNK, HeaderScan, ScanError, Window};
use super::time_index::{self, TimeEntry};
use super::{Damage, LogConfig};
use crate::env::{Disk, DiskError, File, OpenMode};
use crate::types::{Offset, WallMs};
use crate::wire::batch::{BatchHeader, NO_TIMESTAMP};

/// The open files of a segment. Readers share them; they stay usable after the segment left the log.
pub(super) struct SegmentFiles<D: Disk> {
    /// The offset that names the segment; its first batch may begin later.
    pub(super) base: Offset,
    pub(super) log: D::File,
    pub(super) offset_index: D::File,
    pub(super) time_index: D::File,
}

impl<D: Disk> fmt::Debug for SegmentFiles<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SegmentFiles").field("base", &self.base).finish_non_exhaustive()
    }
}

impl<D: Disk> SegmentFiles<D> {
    /// Opens the files of the segment at `base`.
    pub(super) async fn open(disk: &D, dir: &Path, base: Offset, mode: OpenMode) -> Result<Self, DiskError> {
        let path = |kind| dir.join(file_name(base, kind));
        Ok(Self {
            base,
            log: disk.open(&path(FileKind::Log), mode).await?,
            offset_index: disk.open(&path(FileKind::OffsetIndex), mode).await?,
            time_index: disk.open(&path(FileKind::TimeIndex), mode).await?,
        })
    }

    /// Makes all three files durable.
    pub(super) async fn sync(&self) -> Result<(), DiskError> {
        self.log.sync().await?;
        self.offset_index.sync().await?;
        self.time_index.sync().await
    }

    /// Writes index entries behind those that `before` counts.
    pub(super) fn write_entries(&self, before: &Bounds, due: &DueEntries) -> Result<(), DiskError> {
        if let Some(entry) = due.offset {
            let at = u64::from(before.offset_entries) * offset_index::ENTRY_LEN as u64;
            self.offset_index.write_at(at, &mut [IoSlice::new(&entry.encode(self.base))])?;
        }
        if let Some(entry) = due.time {
            let at = u64::from(before.time_entries) * time_index::ENTRY_LEN as u64;
            self.time_index.write_at(at, &mut [IoSlice::new(&entry.encode(self.base))])?;
        }
        Ok(())
    }
}

/// What is known about a segment's files. A plain value: whoever copies it has a consistent picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Bounds {
    /// Bytes of the log file that are whole batches; less than 2^31.
    pub(super) size: u64,
    /// The offset after the last record; for a segment that was rolled, where the next one begins.
    pub(super) next_offset: Offset,
    /// Entries in the offset index.
    pub(super) offset_entries: u32,
    /// Entries in the time index.
    pub(super) time_entries: u32,
    /// The position of the last batch with an entry in the offset index, 0 if there is none.
    pub(super) last_indexed: u64,
    /// The timestamp of the last entry in the time index, [`NO_TIMESTAMP`] if there is none.
    pub(super) last_time_entry: i64,
    /// The largest timestamp ([`NO_TIMESTAMP`] if there is none) and the last offset of the first batch that
    /// has it.
    pub(super) largest: TimeEntry,
    /// The first batch's largest timestamp, [`NO_TIMESTAMP`] if there is none or it was not looked up, as in
    /// segments that were rolled before the log was opened.
    pub(super) first_timestamp: i64,
    /// When the segment was created, or the log opened.
    pub(super) created: WallMs,
}

impl Bounds {
    /// Those of a segment without batches.
    pub(super) fn empty(base: Offset, created: WallMs) -> Self {
        Self {
            size: 0,
            next_offset: base,
            offset_entries: 0,
            time_entries: 0,
            last_indexed: 0,
            last_time_entry: NO_TIMESTAMP,
            largest: TimeEntry { timestamp: NO_TIMESTAMP, offset: base },
            first_timestamp: NO_TIMESTAMP,
            created,
        }
    }

    /// Takes in a batch that stands at the end, and says which index entries are due for it.
    pub(super) fn account(&mut self, header: &BatchHeader, config: &LogConfig) -> DueEntries {
        let position = self.size;
        self.take_timestamp(header);
        let mut due = DueEntries::default();
        let distance = position - self.last_indexed;
        if distance > u64::from(config.index_interval_bytes)
            && self.offset_entries < config.offset_entries_max()
        {
            due.offset = Some(OffsetEntry { offset: header.last_offset(), position });
            self.offset_entries += 1;
            self.last_indexed = position;
            // One slot stays free for the entry that is due when the segment is rolled.
            if self.time_entries + 1 < config.time_entries_max() {
                due.time = self.due_time_entry();
            }
        }
        self.size += header.size_in_bytes() as u64;
        self.next_offset = header.next_offset();
        due
    }

    /// The entry with which a time index ends when its segment is rolled or closed, if it lacks it, and which
    /// now counts as there.
    pub(super) fn due_time_entry(&mut self) -> Option<TimeEntry> {
        if self.largest.timestamp <= self.last_time_entry {
            return None;
        }
        self.time_entries += 1;
        self.last_time_entry = self.largest.timestamp;
        Some(self.largest)
    }

    fn take_timestamp(&mut self, header: &BatchHeader) {
        if self.size == 0 {
            self.first_timestamp = header.max_timestamp;
        }
        if header.max_timestamp > self.largest.timestamp {
            self.largest = TimeEntry { timestamp: header.max_timestamp, offset: header.last_offset() };
        }
    }

    /// The largest timestamp, or else when the segment was created: what retention by time compares.
    pub(super) fn age_from(&self) -> i64 {
        if self.largest.timestamp >= 0 { self.largest.timestamp } else { self.created.0 }
    }
}

/// Index entries that are due.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct DueEntries {
    pub(super) offset: Option<OffsetEntry>,
    pub(super) time: Option<TimeEntry>,
}

/// A segment as it was at one moment.
#[derive(Debug)]
pub(super) struct Segment<D: Disk> {
    pub(super) files: Arc<SegmentFiles<D>>,
    pub(super) bounds: Bounds,
}

impl<D: Disk> Clone for Segment<D> {
    fn clone(&self) -> Self {
        Self { files: Arc::clone(&self.files), bounds: self.bounds }
    }
}

impl<D: Disk> Segment<D> {
    pub(super) fn base(&self) -> Offset {
        self.files.base
    }

    /// Damage of this segment's log file.
    pub(super) fn damage(&self, dir: &Path, position: u64, offset: Offset, reason: String) -> Damage {
        Damage { file: dir.join(file_name(self.base(), FileKind::Log)), position, offset, reason }
    }

    /// The first batch that ends at or after `target`.
    pub(super) async fn locate(
        &self,
        target: Offset,
        window: &mut Window,
    ) -> Result<Option<Located>, ScanError> {
        let base = self.base();
        let hint =
            offset_index::lookup(&self.files.offset_index, base, self.bounds.offset_entries, target).await?;
        window.reset();
        if let Some(entry) = hint
            && let Some(found) = self.locate_behind(entry, target, window).await?
        {
            return Ok(found);
        }
        self.walk(0, base, target, window).await
    }

    /// Like `locate`, from an index entry on; `None` if the entry turns out to be wrong.
    async fn locate_behind(
        &self,
        entry: OffsetEntry,
        target: Offset,
        window: &mut Window,
    ) -> Result<Option<Option<Located>>, ScanError> {
        if entry.position >= self.bounds.size {
            return Ok(None);
        }
        let size = self.bounds.size;
        let first = HeaderScan::new(&self.files.log, window, entry.position, size, self.base()).next().await;
        match first {
            Ok(Some((_, header))) if header.last_offset() == entry.offset => {
                Ok(Some(self.walk(entry.position, header.base_offset, target, window).await?))
            }
            Err(ScanError::Disk(error)) => Err(error.into()),
            _ => Ok(None),
        }
    }

    async fn walk(
        &self,
        position: u64,
        expected: Offset,
        target: Offset,
        window: &mut Window,
    ) -> Result<Option<Located>, ScanError> {
        let mut due = expected;
        let mut scan = HeaderScan::new(&self.files.log, window, position, self.bounds.size, expected);
        while let Some((position, header)) = scan.next().await? {
            if header.last_offset() >= target {
                return Ok(Some(Located { position, header, due }));
            }
            due = header.next_offset();
        }
        Ok(None)
    }

    /// The segment whose log file has `size` bytes and whose indexes have so many entries, its other bounds
    /// read from what follows the last index entry. `None` if the files do not agree.
    pub(super) async fn load(
        files: Arc<SegmentFiles<D>>,
        size: u64,
        entries: EntryCounts,
        created: WallMs,
    ) -> Result<Option<Self>, DiskError> {
        let base = files.base;
        let mut bounds = Bounds { size, ..Bounds::empty(base, created) };
        (bounds.offset_entries, bounds.time_entries) = (entries.offset, entries.time);
        let mut last_entry = None;
        if let Some(last) = entries.offset.checked_sub(1) {
            last_entry = offset_index::read_entry(&files.offset_index, base, last).await?;
            let Some(entry) = last_entry else { return Ok(None) };
            bounds.last_indexed = entry.position;
        }
        if let Some(last) = entries.time.checked_sub(1) {
            let entry = time_index::read_entry(&files.time_index, base, last).await?;
            let Some(entry) = entry else { return Ok(None) };
            bounds.largest = entry;
            bounds.last_time_entry = entry.timestamp;
        }
        match bounds.read_tail(&files, last_entry).await {
            Ok(true) => Ok(Some(Self { files, bounds })),
            Ok(false) | Err(ScanError::Bad { .. }) => Ok(None),
            Err(ScanError::Disk(error)) => Err(error),
        }
    }
}

/// A batch that was looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Located {
    pub(super) position: u64,
    pub(super) header: BatchHeader,
    /// The offset after the batch before it.
    pub(super) due: Offset,
}

impl Bounds {
    /// Completes bounds that have everything but what the batches from the last index entry on tell, whose
    /// CRCs are checked: the log's end is theirs to say. False if they contradict the indexes.
    async fn read_tail<D: Disk>(
        &mut self,
        files: &SegmentFiles<D>,
        last_entry: Option<OffsetEntry>,
    ) -> Result<bool, ScanError> {
        let base = files.base;
        if self.last_indexed >= self.size && last_entry.is_some() {
            return Ok(false);
        }
        let mut window = Window::new(Vec::new(), HEADER_CHUNK);
        let mut first = HeaderScan::new(&files.log, &mut window, 0, self.size, base);
        if let Some((_, header)) = first.next().await? {
            self.first_timestamp = header.max_timestamp;
        }
        let mut last_entry = last_entry;
        let mut scan = HeaderScan::new(&files.log, &mut window, self.last_indexed, self.size, base);
        while let Some((_, header)) = scan.next_verified().await? {
            if last_entry.take().is_some_and(|entry| entry.offset != header.last_offset()) {
                return Ok(false);
            }
            if header.max_timestamp > self.largest.timestamp {
                self.largest = TimeEntry { timestamp: header.max_timestamp, offset: header.last_offset() };
            }
            self.next_offset = header.next_offset();
        }
        let named = self.largest.timestamp < 0 || (base..self.next_offset).contains(&self.largest.offset);
        Ok(named && self.next_offset - base <= i64::from(i32::MAX) + 1)
    }
}

/// How many entries a segment's indexes have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct EntryCounts {
    pub(super) offset: u32,
    pub(super) time: u32,
}
