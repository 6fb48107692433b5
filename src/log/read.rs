//! Reading batches.

use bytes::Bytes;
use thiserror::Error;

use super::Damage;
use super::hints::Hint;
use super::scan::{HEADER_CHUNK, Window, check_order};
use super::segment::Segment;
use super::view::LogView;
use crate::buffers::{BufferPool, PooledBuffer};
use crate::env::{Disk, DiskError, File};
use crate::types::Offset;
use crate::wire::batch::{BatchHeader, HEADER_LEN, verify_crc};

/// How much to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReadLimits {
    /// The most bytes to return.
    pub max_bytes: usize,
    /// Batches that begin at or after this offset are left out: the high watermark, the last stable offset,
    /// or the log end.
    pub upper: Offset,
    /// Return the first batch even if it alone is larger than `max_bytes`, so that its reader gets on.
    pub at_least_one: bool,
}

/// What was read: whole batches, of which the first contains the offset asked for, or is the next after it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadBatches {
    /// The batches; empty if there was nothing to return within the limits.
    pub bytes: Bytes,
    /// Where to read on: the offset after the last batch, or the one asked for if there is none.
    pub next_offset: Offset,
    /// The size of the first batch, in bytes, where nothing is returned because it alone exceeds
    /// [`ReadLimits::max_bytes`].
    pub too_large: Option<usize>,
}

/// Why nothing could be read.
#[derive(Debug, Clone, Error)]
pub enum ReadError {
    /// The offset lies outside the log.
    #[error("offset {offset} lies outside the log, {log_start} to {log_end}")]
    OffsetOutOfRange {
        /// The offset asked for.
        offset: Offset,
        /// Where the log starts.
        log_start: Offset,
        /// Where it ends.
        log_end: Offset,
    },
    /// The log was truncated since the view was taken: take a new one.
    #[error("the log was truncated meanwhile")]
    Stale,
    /// The log has failed.
    #[error("the log has failed")]
    Failed,
    /// The bytes on disk are not what was written.
    #[error(transparent)]
    Corrupt(#[from] Damage),
    /// The disk failed.
    #[error(transparent)]
    Disk(#[from] DiskError),
}

impl<D: Disk> LogView<D> {
    /// Reads batches from the one that contains `from` on, across segments, and checks their CRCs. The bytes
    /// lie in a buffer of the pool, which gets it back when the last slice of them is dropped.
    ///
    /// # Errors
    ///
    /// [`ReadError`]. An offset at the log end is in range and reads nothing.
    pub async fn read(
        &self,
        from: Offset,
        limits: ReadLimits,
        pool: &BufferPool,
    ) -> Result<ReadBatches, ReadError> {
        let outcome = self.read_checked(from, limits, pool).await;
        // A truncation that began meanwhile may have put other bytes under the read: neither what was read
        // nor damage that was found means anything then (KAFKA-14704).
        self.check_current()?;
        outcome
    }

    async fn read_checked(
        &self,
        from: Offset,
        limits: ReadLimits,
        pool: &BufferPool,
    ) -> Result<ReadBatches, ReadError> {
        self.check_current()?;
        let (log_start, log_end) = (self.log_start(), self.log_end());
        if from < log_start || from > log_end {
            return Err(ReadError::OffsetOutOfRange { offset: from, log_start, log_end });
        }
        if from >= limits.upper.min(log_end) {
            return Ok(ReadBatches { bytes: Bytes::new(), next_offset: from, too_large: None });
        }
        let mut index = self.segment_index(from);
        let (mut position, due) = self.find(self.segment(index), from, pool).await?;
        // With the room that is read ahead: a buffer that grows is copied, and never found again in its class.
        let wanted = limits.max_bytes.saturating_add(PEEK).min(rest(self.segment(index), position));
        let buffer = pool.take(wanted);
        let mut reading = Reading { limits, from, buffer, due, end: due, too_large: None };
        loop {
            let segment = self.segment(index);
            reading.enter(segment);
            position = self.fill(segment, position, &mut reading).await?;
            if position < segment.bounds.size || index == self.sealed.len() {
                break;
            }
            (index, position) = (index + 1, 0);
        }
        if reading.buffer.is_empty() {
            let too_large = reading.too_large;
            return Ok(ReadBatches { bytes: Bytes::new(), next_offset: from, too_large });
        }
        let (generation, segment) = (self.generation(), self.segment(index).base());
        self.shared.hints.put(Hint { generation, offset: reading.due, segment, position });
        Ok(ReadBatches { next_offset: reading.due, bytes: reading.buffer.freeze(), too_large: None })
    }

    /// The position of the first batch in `segment` that ends at or after `from`, or the segment's end; and
    /// the smallest offset that a batch there may begin with.
    async fn find(
        &self,
        segment: &Segment<D>,
        from: Offset,
        pool: &BufferPool,
    ) -> Result<(u64, Offset), ReadError> {
        if segment.base() >= from {
            return Ok((0, segment.base()));
        }
        if let Some(position) = self.shared.hints.take(self.generation(), segment.base(), from) {
            return Ok((position, from));
        }
        let mut scratch = pool.take(HEADER_CHUNK);
        let mut window = Window::new(std::mem::take(&mut *scratch), HEADER_CHUNK);
        let found = segment.locate(from, &mut window).await;
        *scratch = window.into_buffer();
        let found = found.map_err(|error| self.read_error(segment, error))?;
        Ok(found.map_or((segment.bounds.size, from), |found| (found.position, found.due)))
    }

    /// Takes batches of one segment from `position` on, and returns the position behind the last of them: the
    /// segment's end if the next segment may have more.
    async fn fill(
        &self,
        segment: &Segment<D>,
        position: u64,
        reading: &mut Reading,
    ) -> Result<u64, ReadError> {
        let rest = rest(segment, position);
        let start = reading.buffer.len();
        let room = reading.limits.max_bytes.saturating_sub(start).saturating_add(PEEK);
        self.extend(segment, position, room.min(rest), reading).await?;
        let mut taken = 0;
        loop {
            let at = position + taken as u64;
            let step = reading
                .step(start + taken, rest - taken)
                .map_err(|reason| self.corrupt(segment, at, reading.due, reason))?;
            match step {
                Step::Batch(size) => taken += size,
                // Only for the very first batch, so that the buffer holds nothing else.
                Step::More(bytes) => {
                    let have = reading.buffer.len();
                    self.extend(segment, at + have as u64, bytes - have, reading).await?;
                }
                Step::Stop => break,
            }
        }
        reading.buffer.truncate(start + taken);
        Ok(position + taken as u64)
    }

    /// Appends `length` bytes of the segment to the buffer.
    async fn extend(
        &self,
        segment: &Segment<D>,
        position: u64,
        length: usize,
        reading: &mut Reading,
    ) -> Result<(), ReadError> {
        let read = segment.files.log.read_at(position, length, &mut reading.buffer).await?;
        if read < length {
            let reason = format!("the file ends {} bytes early", length - read);
            return Err(self.corrupt(segment, position + read as u64, reading.due, reason));
        }
        Ok(())
    }
}

/// How much to read behind the last batch: the base offset of the next.
const PEEK: usize = 8;

/// How many bytes of a segment lie at `position` and after it.
fn rest<D: Disk>(segment: &Segment<D>, position: u64) -> usize {
    usize::try_from(segment.bounds.size - position).expect("a segment is smaller than 2 GiB")
}

/// A read under way.
struct Reading {
    limits: ReadLimits,
    from: Offset,
    buffer: PooledBuffer,
    /// The smallest offset that the next batch may begin with: the one after the last batch.
    due: Offset,
    /// Where the segment ends.
    end: Offset,
    /// See [`ReadBatches`].
    too_large: Option<usize>,
}

/// What to do about the bytes behind the last batch taken.
enum Step {
    /// Take the batch of this size.
    Batch(usize),
    /// Read on until the buffer holds so many bytes: of the first batch at least the size is told.
    More(usize),
    /// Take no more of this segment.
    Stop,
}

impl Reading {
    /// Goes on with a segment.
    fn enter<D: Disk>(&mut self, segment: &Segment<D>) {
        self.due = self.due.max(segment.base());
        self.end = segment.bounds.next_offset;
    }

    /// Looks at the batch at `at` in the buffer; `left` bytes of the segment begin there, of which the buffer
    /// may hold less.
    fn step(&mut self, at: usize, left: usize) -> Result<Step, String> {
        if left == 0 {
            return Ok(Step::Stop);
        }
        let part = &self.buffer[at..];
        let more = |bytes| if at == 0 { Step::More(bytes) } else { Step::Stop };
        if left < HEADER_LEN {
            return Err("the segment ends inside a batch's header".to_owned());
        }
        if part.len() < HEADER_LEN {
            return Ok(more(HEADER_LEN));
        }
        let header = BatchHeader::parse(part).map_err(|error| error.to_string())?;
        let size = header.size_in_bytes();
        if size > left {
            return Err(format!("the batch claims {size} bytes, {left} are left"));
        }
        header.check_values().map_err(|error| error.to_string())?;
        let next = part.get(size..size + PEEK);
        self.check_offsets(at, &header, next)?;
        if header.base_offset >= self.limits.upper {
            return Ok(Step::Stop);
        }
        if at + size > self.limits.max_bytes && !(at == 0 && self.limits.at_least_one) {
            self.too_large = (at == 0).then_some(size);
            return Ok(Step::Stop);
        }
        let wanted = size.saturating_add(PEEK).min(left);
        if part.len() < wanted {
            return Ok(more(wanted));
        }
        verify_crc(&part[..size]).map_err(|error| error.to_string())?;
        self.due = header.next_offset();
        Ok(Step::Batch(size))
    }

    /// Checks the base offset, which no CRC covers, by what lies around the batch.
    fn check_offsets(&self, at: usize, header: &BatchHeader, next: Option<&[u8]>) -> Result<(), String> {
        check_order(header, self.due)?;
        if at == 0 && header.last_offset() < self.from {
            return Err(format!("the batch ends at offset {}", header.last_offset()));
        }
        if header.next_offset() > self.end {
            return Err(format!("the batch ends at offset {}, past the segment", header.last_offset()));
        }
        // Behind a gap, which compaction leaves, a batch may be out of its place. Else the next one is.
        let Some(next) = next.filter(|_| header.base_offset > self.due) else { return Ok(()) };
        let next = Offset(i64::from_be_bytes(next.try_into().expect("it is this long")));
        if next < header.next_offset() {
            return Err(format!(
                "the batch has offsets {} to {}, the next one begins at {next}",
                header.base_offset,
                header.last_offset()
            ));
        }
        Ok(())
    }
}
