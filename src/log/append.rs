//! Appending batches.

use std::io::IoSlice;

use bytes::Bytes;

use super::segment::Bounds;
use super::{Log, LogError};
use crate::env::{Disk, DiskError, File};
use crate::types::Offset;
use crate::wire::batch::{BatchHeader, HEADER_LEN};

/// Batches per write call: two slices each, on the stack.
const BATCHES_PER_WRITE: usize = 32;

/// A batch that is ready for the log: its offsets, leader epoch and, for LogAppendTime, timestamp are final.
#[derive(Debug, Clone)]
pub struct StampedBatch {
    /// The first 61 bytes, as [`stamp`](crate::wire::batch::stamp) makes them.
    pub header: [u8; HEADER_LEN],
    /// The rest, as the producer or the leader sent it.
    pub payload: Bytes,
}

/// What was appended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Appended {
    /// The log's truncation generation: `end` means these records only within it.
    pub generation: u64,
    /// The log end now: the appended records are durable once the durable end reaches it.
    pub end: Offset,
}

impl<D: Disk> Log<D> {
    /// Appends batches to the active segment, without copying them, and index entries where they are due.
    /// Readers see the batches when this returns.
    ///
    /// # Errors
    ///
    /// [`LogError::Failed`] if a write fails, now or earlier. Whether the batches will be found after the next
    /// start is then unknown; they are not part of this log. [`LogError::Busy`] and [`LogError::Closed`] leave
    /// the log as it was.
    ///
    /// # Panics
    ///
    /// If a batch was not checked (framing, ascending offsets from the log end on), or if they do not fit into
    /// the active segment: [`Log::roll_due`] is asked before, under the same lock.
    pub fn append(&mut self, batches: &[StampedBatch]) -> Result<Appended, LogError> {
        self.check_ready()?;
        // All that changes is changed in a copy, which takes effect only if every write succeeds.
        let mut bounds = self.active.bounds;
        for some in batches.chunks(BATCHES_PER_WRITE) {
            self.check_batches(bounds, some);
            self.write(&mut bounds, some).map_err(|error| self.failing(error))?;
        }
        self.active.bounds = bounds;
        self.assert_invariants();
        Ok(Appended { generation: self.generation(), end: self.log_end() })
    }

    /// Writes batches and index entries behind `bounds` and takes them into `bounds`.
    fn write(&self, bounds: &mut Bounds, batches: &[StampedBatch]) -> Result<(), DiskError> {
        let mut slices = [IoSlice::new(&[]); 2 * BATCHES_PER_WRITE];
        for (batch, pair) in batches.iter().zip(slices.as_chunks_mut::<2>().0) {
            *pair = [IoSlice::new(&batch.header), IoSlice::new(&batch.payload)];
        }
        self.active.files.log.write_at(bounds.size, &mut slices[..2 * batches.len()])?;
        for batch in batches {
            let before = *bounds;
            let due = bounds.account(&batch.parse(), &self.config);
            self.active.files.write_entries(&before, &due)?;
        }
        Ok(())
    }

    fn check_batches(&self, bounds: Bounds, batches: &[StampedBatch]) {
        let (mut size, mut expected) = (bounds.size, bounds.next_offset);
        for batch in batches {
            let header = batch.parse();
            assert_eq!(header.size_in_bytes(), HEADER_LEN + batch.payload.len(), "the batch is not whole");
            assert!(header.base_offset >= expected, "{} was appended at {expected}", header.base_offset);
            let relative = header.last_offset() - self.active.base();
            assert!(relative <= i64::from(i32::MAX), "offset {relative} of the segment: a roll was due");
            size += header.size_in_bytes() as u64;
            expected = header.next_offset();
        }
        assert!(size <= i32::MAX as u64, "the segment outgrows 2 GiB: a roll was due");
    }
}

impl StampedBatch {
    fn parse(&self) -> BatchHeader {
        BatchHeader::parse(&self.header).expect("only checked batches are appended")
    }
}
