//! Snapshots of the metadata log: what its records up to some offset come to (KIP-630).
//!
//! # Format
//!
//! Record batches, one after the other, as in a segment. Their offsets begin at 0, have no gaps, and are not
//! those of the log; their leader epoch is that of the last record that the snapshot contains.
//!
//! | batch | records |
//! |---|---|
//! | first | control: SnapshotHeader; where voters can change (KIP-853) also KRaftVersion and KRaftVoters |
//! | then | metadata records, and control records about the quorum |
//! | last | control: SnapshotFooter |
//!
//! All records of a batch have the same timestamp: Kafka's reader refuses any other.
//!
//! # Faults
//!
//! A snapshot counts only as a whole: whatever is missing, damaged or out of its place makes it unreadable,
//! the footer included, which Kafka's reader does not ask for. A control record of an unknown type is skipped,
//! a metadata record of an unknown type is an error.

use bytes::{Bytes, BytesMut};

use crate::types::{LeaderEpoch, Offset, WallMs};
use crate::wire::batch::{Batch, BatchError, BatchHeader};
use crate::wire::batch_builder::{BatchBuilder, BatchOptions, NewRecord};
use crate::wire::compression::Scratch;
use crate::wire::control::{
    ControlRecord, KRaftVersionRecord, SnapshotFooterRecord, SnapshotHeaderRecord, VotersRecord,
};
use crate::wire::metadata::MetadataRecord;
use crate::wire::records::{RecordError, RecordIter};
use crate::wire::{DecodeError, EncodeError};

/// Reads a snapshot, in pieces of any size: [`Self::feed`] one, take its batches with [`Self::next`] until
/// there is none, go on with the next piece, [`Self::finish`].
#[derive(Debug)]
pub struct SnapshotReader {
    batch_bytes_max: usize,
    buffer: BytesMut,
    next_offset: Offset,
    place: Place,
}

/// Where in a snapshot the reader is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Before,
    Within,
    After,
}

/// The records of one batch of a snapshot.
#[derive(Debug, Clone, PartialEq)]
pub enum SnapshotBatch {
    /// About the snapshot and the quorum.
    Control(Vec<ControlRecord>),
    /// Metadata, to be replayed.
    Metadata(Vec<MetadataRecord>),
}

impl SnapshotReader {
    /// A reader that accepts batches of up to so many bytes, compressed or not.
    pub fn new(batch_bytes_max: usize) -> Self {
        Self { batch_bytes_max, buffer: BytesMut::new(), next_offset: Offset::ZERO, place: Place::Before }
    }

    /// Takes the next bytes of the snapshot. They are kept until their batches are taken.
    pub fn feed(&mut self, piece: &[u8]) {
        self.buffer.extend_from_slice(piece);
    }

    /// The next batch; `None` until it is all there. After an error the rest of the snapshot means nothing.
    ///
    /// # Errors
    /// If the snapshot is damaged, or was made wrong.
    pub fn next(&mut self, scratch: &mut Scratch) -> Result<Option<SnapshotBatch>, SnapshotError> {
        let Some(bytes) = self.take_batch()? else { return Ok(None) };
        let header = BatchHeader::verify(&bytes)?;
        if header.base_offset != self.next_offset {
            return Err(SnapshotError::Offset { found: header.base_offset, expected: self.next_offset });
        }
        self.next_offset = header.next_offset();
        let batch = Batch { header, bytes };
        let records = RecordIter::new(&batch, self.batch_bytes_max as u64, scratch)?.sequential();
        let read = if header.is_control() { self.control(records)? } else { self.metadata(records)? };
        Ok(Some(read))
    }

    /// Says that the last piece was fed and its batches were taken.
    ///
    /// # Errors
    /// [`SnapshotError::Incomplete`] if the snapshot has no footer, or bytes are left.
    pub fn finish(self) -> Result<(), SnapshotError> {
        if self.place == Place::After && self.buffer.is_empty() {
            Ok(())
        } else {
            Err(SnapshotError::Incomplete { next_offset: self.next_offset, bytes: self.buffer.len() })
        }
    }

    fn take_batch(&mut self) -> Result<Option<Bytes>, SnapshotError> {
        let header = match BatchHeader::parse(&self.buffer) {
            Err(BatchError::Truncated { .. }) => return Ok(None),
            parsed => parsed?,
        };
        let (size, limit) = (header.size_in_bytes(), self.batch_bytes_max);
        if size > limit {
            return Err(SnapshotError::TooLarge { size, limit });
        }
        Ok((self.buffer.len() >= size).then(|| self.buffer.split_to(size).freeze()))
    }

    fn control(&mut self, records: RecordIter<'_>) -> Result<SnapshotBatch, SnapshotError> {
        let mut read = Vec::new();
        for record in records {
            let record = record?;
            let offset = record.offset;
            let (key, value) = (record.key.unwrap_or_default(), record.value.unwrap_or_default());
            let decoded = ControlRecord::decode(&key, &value)
                .map_err(|error| SnapshotError::Decode { offset, error })?;
            self.place = match (self.place, &decoded) {
                (Place::Before, Some(ControlRecord::SnapshotHeader(_))) => Place::Within,
                (Place::Within, Some(ControlRecord::SnapshotFooter(_))) => Place::After,
                (
                    Place::Within,
                    None | Some(ControlRecord::KRaftVersion(_) | ControlRecord::KRaftVoters(_)),
                ) => Place::Within,
                _ => return Err(SnapshotError::Misplaced { offset }),
            };
            read.extend(decoded);
        }
        Ok(SnapshotBatch::Control(read))
    }

    fn metadata(&mut self, records: RecordIter<'_>) -> Result<SnapshotBatch, SnapshotError> {
        let mut read = Vec::new();
        for record in records {
            let record = record?;
            let offset = record.offset;
            if self.place != Place::Within {
                return Err(SnapshotError::Misplaced { offset });
            }
            let decoded = MetadataRecord::decode(&record.value.unwrap_or_default())
                .map_err(|error| SnapshotError::Decode { offset, error })?;
            read.push(decoded);
        }
        Ok(SnapshotBatch::Metadata(read))
    }
}

/// Why bytes are not a snapshot. Offsets are the snapshot's own.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SnapshotError {
    /// A batch is larger than the reader accepts.
    #[error("a batch of {size} bytes exceeds the limit of {limit}")]
    TooLarge {
        /// The batch's size in bytes.
        size: usize,
        /// The limit in bytes.
        limit: usize,
    },
    /// A batch does not follow the one before.
    #[error("a batch begins at offset {found} where {expected} should follow")]
    Offset {
        /// The offset found.
        found: Offset,
        /// The offset that should stand there.
        expected: Offset,
    },
    /// A record stands before the header or behind the footer, or is none of a snapshot's.
    #[error("the record at offset {offset} does not belong there")]
    Misplaced {
        /// Which.
        offset: Offset,
    },
    /// A record cannot be decoded.
    #[error("the record at offset {offset}: {error}")]
    Decode {
        /// Which.
        offset: Offset,
        /// Why.
        error: DecodeError,
    },
    /// The snapshot ends early.
    #[error("the snapshot ends before its footer: at offset {next_offset}, {bytes} bytes of a batch there")]
    Incomplete {
        /// The offset after the last batch.
        next_offset: Offset,
        /// The bytes behind that batch.
        bytes: usize,
    },
    /// A batch is damaged.
    #[error(transparent)]
    Batch(#[from] BatchError),
    /// A batch's records are malformed.
    #[error(transparent)]
    Records(#[from] RecordError),
}

/// What a snapshot says besides its metadata.
#[derive(Debug, Clone, PartialEq)]
pub struct SnapshotOptions {
    /// The epoch of the last record that it contains.
    pub epoch: LeaderEpoch,
    /// When the batch with that record was appended.
    pub last_contained_log_timestamp: i64,
    /// When the snapshot is made.
    pub now: WallMs,
    /// The level of kraft.version. From 1 on it stands in the snapshot, and so do the voters.
    pub kraft_version: i16,
    /// The voters, if any are known; none before kraft.version 1.
    pub voters: Option<VotersRecord>,
    /// What a batch may grow to, in bytes. A larger record gets a batch of its own.
    pub batch_bytes_max: usize,
}

/// Writes a snapshot, batch by batch: what is returned is to be appended to its file in that order.
#[derive(Debug)]
pub struct SnapshotWriter {
    builder: BatchBuilder,
    batch: BatchOptions,
    timestamp: i64,
    batch_bytes_max: usize,
    scratch: Scratch,
}

impl SnapshotWriter {
    /// A writer, and the first batch.
    ///
    /// # Errors
    /// If a voter's endpoint is too long to be written.
    ///
    /// # Panics
    /// If voters are given before kraft.version 1, which cannot say them.
    pub fn begin(options: SnapshotOptions) -> Result<(Self, Bytes), EncodeError> {
        let SnapshotOptions { epoch, last_contained_log_timestamp, now, kraft_version, voters, .. } = options;
        assert!(kraft_version > 0 || voters.is_none(), "kraft.version 0 has static voters");
        let mut writer = Self {
            builder: BatchBuilder::new(),
            batch: BatchOptions { leader_epoch: epoch, ..BatchOptions::default() },
            timestamp: now.0,
            batch_bytes_max: options.batch_bytes_max,
            scratch: Scratch::default(),
        };
        let header = SnapshotHeaderRecord { version: 0, last_contained_log_timestamp };
        writer.control(&ControlRecord::SnapshotHeader(header))?;
        if kraft_version > 0 {
            let level = KRaftVersionRecord { version: 0, k_raft_version: kraft_version };
            writer.control(&ControlRecord::KRaftVersion(level))?;
        }
        if let Some(voters) = voters {
            writer.control(&ControlRecord::KRaftVoters(voters))?;
        }
        let first = writer.finish_batch(true);
        Ok((writer, first))
    }

    /// Adds a record. Returns the batch before it, if that is full.
    ///
    /// # Errors
    /// If the record cannot be encoded; then nothing has changed.
    pub fn add(&mut self, record: &MetadataRecord) -> Result<Option<Bytes>, EncodeError> {
        let value = record.encode()?;
        let record = NewRecord { timestamp: self.timestamp, value: Some(&value), ..NewRecord::default() };
        let size = self.builder.size_in_bytes() + self.builder.size_of(&record);
        let is_full = self.builder.records_count() > 0 && size > self.batch_bytes_max;
        let full = is_full.then(|| self.finish_batch(false));
        self.builder.add(&record);
        Ok(full)
    }

    /// The last batches: of the records not returned yet, if there are any, and the footer.
    pub fn finish(mut self) -> Vec<Bytes> {
        let mut batches = Vec::new();
        if self.builder.records_count() > 0 {
            batches.push(self.finish_batch(false));
        }
        let footer = ControlRecord::SnapshotFooter(SnapshotFooterRecord { version: 0 });
        self.control(&footer).expect("a footer has nothing that could be too long");
        batches.push(self.finish_batch(true));
        batches
    }

    fn control(&mut self, record: &ControlRecord) -> Result<(), EncodeError> {
        let (key, value) = (record.control_type().key(), record.encode()?);
        let timestamp = self.timestamp;
        self.builder.add(&NewRecord { timestamp, key: Some(&key), value: Some(&value), headers: &[] });
        Ok(())
    }

    fn finish_batch(&mut self, control: bool) -> Bytes {
        let next = self.batch.base_offset + i64::from(self.builder.records_count());
        let bytes = self.builder.finish(&BatchOptions { control, ..self.batch }, &mut self.scratch);
        self.batch.base_offset = next;
        bytes
    }
}

#[cfg(test)]
mod tests;
