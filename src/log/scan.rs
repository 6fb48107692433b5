//! Walking through a segment's batches, with one buffer that slides over the file.

use crate::env::{DiskError, File};
use crate::types::Offset;
use crate::wire::batch::{BatchHeader, HEADER_LEN};

/// Bytes per read when only headers are looked at: some index intervals of small batches, and not much wasted
/// on large ones.
pub(super) const HEADER_CHUNK: usize = 16 * 1024;

/// Bytes per read when whole batches are checked.
pub(super) const SCAN_CHUNK: usize = 256 * 1024;

/// Why a walk stopped.
#[derive(Debug)]
pub(super) enum ScanError {
    /// The disk failed.
    Disk(DiskError),
    /// What stands at `position` is no batch.
    Bad {
        /// The position in the log file.
        position: u64,
        /// The offset that was expected there, at least.
        offset: Offset,
        /// What is wrong.
        reason: String,
    },
}

impl From<DiskError> for ScanError {
    fn from(error: DiskError) -> Self {
        Self::Disk(error)
    }
}

/// A part of a file, in memory.
#[derive(Debug)]
pub(super) struct Window {
    buffer: Vec<u8>,
    /// Where in the file the buffer begins.
    start: u64,
    /// Bytes to read at least, when reading at all.
    chunk: usize,
}

impl Window {
    /// A window over one file; `buffer` only lends its memory.
    pub(super) fn new(mut buffer: Vec<u8>, chunk: usize) -> Self {
        buffer.clear();
        Self { buffer, start: 0, chunk }
    }

    /// Forgets the file, for use with another.
    pub(super) fn reset(&mut self) {
        self.buffer.clear();
        self.start = 0;
    }

    /// The memory, for other use.
    pub(super) fn into_buffer(self) -> Vec<u8> {
        self.buffer
    }

    /// The bytes `position .. position + length` of `file`; `None` if they are not all below `end`, or the
    /// file ends before.
    pub(super) async fn get<F: File>(
        &mut self,
        file: &F,
        position: u64,
        length: usize,
        end: u64,
    ) -> Result<Option<&[u8]>, DiskError> {
        if position.checked_add(length as u64).is_none_or(|wanted| wanted > end) {
            return Ok(None);
        }
        let buffered = self.start..=self.start + self.buffer.len() as u64;
        if !buffered.contains(&position) {
            self.buffer.clear();
            self.start = position;
        }
        let skip = usize::try_from(position - self.start).expect("a position within the buffer");
        if self.buffer.len() - skip >= length {
            return Ok(Some(&self.buffer[skip..skip + length]));
        }
        self.buffer.drain(..skip);
        self.start = position;
        let below_end = usize::try_from(end - position).expect("a usize holds 64 bits");
        let have = self.buffer.len();
        let more = length.max(self.chunk).min(below_end) - have;
        file.read_at(position + have as u64, more, &mut self.buffer).await?;
        Ok(self.buffer.get(..length))
    }
}

/// Walks over a log file's batches, from one batch's beginning on.
#[derive(Debug)]
pub(super) struct HeaderScan<'a, F> {
    file: &'a F,
    window: &'a mut Window,
    position: u64,
    end: u64,
    /// The offset that the next batch has at least.
    next_offset: Offset,
}

impl<'a, F: File> HeaderScan<'a, F> {
    /// A walk over `position .. end`, where offsets from `next_offset` on are expected.
    pub(super) fn new(
        file: &'a F,
        window: &'a mut Window,
        position: u64,
        end: u64,
        next_offset: Offset,
    ) -> Self {
        Self { file, window, position, end, next_offset }
    }

    /// The next batch's position and header; `None` at the end. No CRC is checked: a header is good enough to
    /// find one's way by, for whoever checks what he finds.
    pub(super) async fn next(&mut self) -> Result<Option<(u64, BatchHeader)>, ScanError> {
        if self.position == self.end {
            return Ok(None);
        }
        let (position, offset) = (self.position, self.next_offset);
        let bad = |reason: String| ScanError::Bad { position, offset, reason };
        let Some(bytes) = self.window.get(self.file, position, HEADER_LEN, self.end).await? else {
            return Err(bad("the file ends inside a batch's header".to_owned()));
        };
        let header = BatchHeader::parse(bytes).map_err(|error| bad(error.to_string()))?;
        header.check_values().map_err(|error| bad(error.to_string()))?;
        check_order(&header, self.next_offset).map_err(bad)?;
        let size = header.size_in_bytes() as u64;
        if size > self.end - position {
            return Err(bad(format!("the batch claims {size} bytes, {} are left", self.end - position)));
        }
        self.position += size;
        self.next_offset = header.next_offset();
        Ok(Some((position, header)))
    }

    /// The same, for a header that is believed: the whole batch is read and its CRC checked.
    pub(super) async fn next_verified(&mut self) -> Result<Option<(u64, BatchHeader)>, ScanError> {
        let offset = self.next_offset;
        let Some((position, header)) = self.next().await? else { return Ok(None) };
        let bad = |reason: String| ScanError::Bad { position, offset, reason };
        let Some(batch) = self.window.get(self.file, position, header.size_in_bytes(), self.end).await?
        else {
            return Err(bad("the file ends inside a batch".to_owned()));
        };
        // Read once more where the batch was longer than the window: only what was checked counts.
        let header = BatchHeader::verify(batch).map_err(|error| bad(error.to_string()))?;
        check_order(&header, offset).map_err(bad)?;
        self.next_offset = header.next_offset();
        Ok(Some((position, header)))
    }
}

/// Offsets ascend strictly from batch to batch.
pub(super) fn check_order(header: &BatchHeader, expected: Offset) -> Result<(), String> {
    if header.base_offset < expected {
        return Err(format!("the batch begins at offset {}, {expected} was due", header.base_offset));
    }
    Ok(())
}
