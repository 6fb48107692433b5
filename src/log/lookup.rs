//! Looking up offsets by timestamp, as ListOffsets asks for.
//!
//! The time index leads near the batch; which record of it is meant, only its records tell. An index entry is
//! followed only if the batch that it names has the timestamp that it claims.

use super::read::ReadError;
use super::scan::{HEADER_CHUNK, HeaderScan, Window};
use super::segment::Segment;
use super::time_index::{self, TimeEntry};
use super::view::LogView;
use crate::env::{Disk, File};
use crate::types::{LeaderEpoch, Offset};
use crate::wire::batch::{Batch, BatchHeader, NO_TIMESTAMP};
use crate::wire::compression::Scratch;
use crate::wire::records::{Record, RecordError, RecordIter};

/// What one batch may decompress to, in bytes: the format's own limit, since it passed the broker's when it was
/// produced. It goes through a buffer of some KiB.
const EXPANDED_MAX: u64 = i32::MAX as u64;

/// Where a timestamp was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimestampOffset {
    /// The record's timestamp, milliseconds since the Unix epoch.
    pub timestamp: i64,
    /// The record's offset.
    pub offset: Offset,
    /// The leader epoch of its batch.
    pub leader_epoch: LeaderEpoch,
}

impl<D: Disk> LogView<D> {
    /// The first record below `upper` with a timestamp of at least `target` (milliseconds since the Unix
    /// epoch), if there is one.
    ///
    /// # Errors
    ///
    /// [`ReadError`].
    pub async fn offset_for_timestamp(
        &self,
        target: i64,
        upper: Offset,
        scratch: &mut Scratch,
    ) -> Result<Option<TimestampOffset>, ReadError> {
        self.check_current()?;
        let outcome = self.first_at_or_after(target, upper.min(self.log_end()), scratch).await;
        self.check_current()?;
        outcome
    }

    /// The first of the records below `upper` that have the largest timestamp, if any has a timestamp.
    ///
    /// # Errors
    ///
    /// [`ReadError`].
    pub async fn max_timestamp(
        &self,
        upper: Offset,
        scratch: &mut Scratch,
    ) -> Result<Option<TimestampOffset>, ReadError> {
        self.check_current()?;
        let outcome = self.largest(upper.min(self.log_end()), scratch).await;
        self.check_current()?;
        outcome
    }

    async fn first_at_or_after(
        &self,
        target: i64,
        upper: Offset,
        scratch: &mut Scratch,
    ) -> Result<Option<TimestampOffset>, ReadError> {
        let mut window = Window::new(Vec::new(), HEADER_CHUNK);
        for segment in self.segments_between(self.log_start(), upper) {
            if segment.bounds.largest.timestamp < target {
                continue;
            }
            let bad = |error| self.read_error(segment, error);
            let position = self.position_for_timestamp(segment, target, &mut window).await?;
            let (log, size) = (&segment.files.log, segment.bounds.size);
            let mut scan = HeaderScan::new(log, &mut window, position, size, segment.base());
            while let Some((position, header)) = scan.next().await.map_err(bad)? {
                if header.base_offset >= upper {
                    return Ok(None);
                }
                if header.max_timestamp < target {
                    continue;
                }
                let within = self.log_start()..upper;
                let wanted = |record: &Record| record.timestamp >= target && within.contains(&record.offset);
                let found = self.find_record(segment, position, &header, wanted, scratch).await?;
                if found.is_some() {
                    return Ok(found);
                }
            }
        }
        Ok(None)
    }

    /// A position in the segment before which no batch has a timestamp of `target` or more.
    async fn position_for_timestamp(
        &self,
        segment: &Segment<D>,
        target: i64,
        window: &mut Window,
    ) -> Result<u64, ReadError> {
        let bad = |error| self.read_error(segment, error);
        let entries = segment.bounds.time_entries;
        let entry = time_index::lookup(&segment.files.time_index, segment.base(), entries, target).await?;
        window.reset();
        let Some(entry) = entry else { return Ok(0) };
        match segment.locate(entry.offset, window).await.map_err(bad)? {
            Some(found) if names(&entry, &found.header) => Ok(found.position),
            _ => Ok(0),
        }
    }

    async fn largest(
        &self,
        upper: Offset,
        scratch: &mut Scratch,
    ) -> Result<Option<TimestampOffset>, ReadError> {
        let mut best: Option<(i64, &Segment<D>, u64, BatchHeader)> = None;
        let mut window = Window::new(Vec::new(), HEADER_CHUNK);
        for segment in self.segments_between(self.log_start(), upper) {
            let so_far = best.as_ref().map_or(NO_TIMESTAMP, |(timestamp, ..)| *timestamp);
            if segment.bounds.largest.timestamp > so_far
                && let Some((position, header)) = self.largest_of(segment, upper, &mut window).await?
                && header.max_timestamp > so_far
            {
                best = Some((header.max_timestamp, segment, position, header));
            }
        }
        let Some((timestamp, segment, position, header)) = best else { return Ok(None) };
        let within = self.log_start()..upper;
        let wanted = |record: &Record| record.timestamp == timestamp && within.contains(&record.offset);
        self.find_record(segment, position, &header, wanted, scratch).await
    }

    /// The first batch of the segment, between log start and `upper`, that has the largest timestamp.
    async fn largest_of(
        &self,
        segment: &Segment<D>,
        upper: Offset,
        window: &mut Window,
    ) -> Result<Option<(u64, BatchHeader)>, ReadError> {
        let bad = |error| self.read_error(segment, error);
        let largest = segment.bounds.largest;
        if (self.log_start()..upper).contains(&largest.offset)
            && let Some(found) = segment.locate(largest.offset, window).await.map_err(bad)?
            && names(&largest, &found.header)
        {
            return Ok(Some((found.position, found.header)));
        }
        let first = segment.locate(self.log_start(), window).await.map_err(bad)?;
        let Some(first) = first else { return Ok(None) };
        let (log, size) = (&segment.files.log, segment.bounds.size);
        let mut scan = HeaderScan::new(log, window, first.position, size, first.due);
        let mut best: Option<(u64, BatchHeader)> = None;
        while let Some((position, header)) = scan.next().await.map_err(bad)? {
            if header.base_offset >= upper {
                break;
            }
            if best.is_none_or(|(_, best)| header.max_timestamp > best.max_timestamp) {
                best = Some((position, header));
            }
        }
        Ok(best)
    }

    /// The first record of a batch that is `wanted`.
    async fn find_record(
        &self,
        segment: &Segment<D>,
        position: u64,
        header: &BatchHeader,
        wanted: impl Fn(&Record) -> bool,
        scratch: &mut Scratch,
    ) -> Result<Option<TimestampOffset>, ReadError> {
        let mut bytes = Vec::new();
        segment.files.log.read_at(position, header.size_in_bytes(), &mut bytes).await?;
        let corrupt = |reason: String| self.corrupt(segment, position, header.base_offset, reason);
        let header = BatchHeader::verify(&bytes).map_err(|error| corrupt(error.to_string()))?;
        let batch = Batch { header, bytes: bytes.into() };
        let unreadable = |error: RecordError| corrupt(error.to_string());
        for record in RecordIter::new(&batch, EXPANDED_MAX, scratch).map_err(unreadable)? {
            let record = record.map_err(unreadable)?;
            if wanted(&record) {
                let leader_epoch = header.partition_leader_epoch;
                let Record { timestamp, offset, .. } = record;
                return Ok(Some(TimestampOffset { timestamp, offset, leader_epoch }));
            }
        }
        Ok(None)
    }

    /// The segments that may have records in this range.
    fn segments_between(&self, from: Offset, upper: Offset) -> impl Iterator<Item = &Segment<D>> {
        let segments = (self.segment_index(from)..=self.sealed.len()).map(|index| self.segment(index));
        segments.take_while(move |segment| segment.base() < upper)
    }
}

/// Whether a batch is the one that an entry names.
fn names(entry: &TimeEntry, header: &BatchHeader) -> bool {
    header.last_offset() == entry.offset && header.max_timestamp == entry.timestamp
}
