//! What a leader checks of the records that a producer sends to one partition, before it appends them.
//!
//! In this order, as Kafka does, so that each fault gets the same error code:
//!
//! 1. there is exactly one batch, of format 2 (Produce v3 and later), with base offset 0 and not too large;
//! 2. its CRC holds: only from here on is a wrong value the client's mistake and not the network's;
//! 3. the header is consistent: offsets, count, flags, producer;
//! 4. every record can be read, offsets are 0, 1, 2 ..., keys are there where the topic is compacted, and
//!    timestamps are in bounds where producers set them;
//! 5. the topic's `compression.type` and `message.timestamp.type` are applied.
//!
//! Compressed records are read through a fixed buffer: nothing here grows with their number or size, save a
//! batch that has to be compressed anew. Where Kafka is more lenient we refuse, as INVALID_RECORD: offset
//! deltas other than 0, 1, 2 ... (Kafka re-encodes such a batch, or stores it as it is), a transactional batch
//! without a producer id, a producer id without an epoch, bytes after the batch or after what was compressed
//! (Kafka drops them, be they a second batch); and as INVALID_TIMESTAMP, a batch that claims LogAppendTime.

#[cfg(test)]
mod tests;
mod walk;

use bytes::Bytes;
use thiserror::Error;

use crate::error_code::ErrorCode;
use crate::types::{LeaderEpoch, Offset, ProducerEpoch, WallMs};
use crate::wire::batch::{
    BatchError, BatchHeader, HEADER_LEN, NO_TIMESTAMP, TimestampType, stamp, verify_crc,
};
use crate::wire::batch_recompress::{RecompressError, recompress};
use crate::wire::compression::{Compression, DecompressError, Encoding, Scratch};
use crate::wire::records::RecordError;

/// What a topic asks of a produced batch, with the request's time and version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rules {
    /// `message.timestamp.type`.
    pub timestamp_type: TimestampType,
    /// `message.timestamp.before.max.ms`.
    pub before_max_ms: i64,
    /// `message.timestamp.after.max.ms`.
    pub after_max_ms: i64,
    /// The broker's time, also the timestamp given with LogAppendTime.
    pub now: WallMs,
    /// Whether `cleanup.policy` includes compaction: then records need keys.
    pub compacted: bool,
    /// `max.message.bytes`: the largest batch, compressed as it is stored.
    pub max_message_bytes: usize,
    /// The most that a batch may decompress to; Kafka has no such limit. See [`decompressed_limit`].
    pub max_decompressed_bytes: u64,
    /// `compression.type` with its level; none is `producer`.
    pub encoding: Option<Encoding>,
    /// Whether the request may carry zstd: Produce v7 and later.
    pub zstd_allowed: bool,
}

/// A bound for what a batch may decompress to that no honest producer meets: 128 times the largest batch, and
/// not less than 64 MiB. It bounds the time that a bomb takes, not memory.
pub fn decompressed_limit(max_message_bytes: usize) -> u64 {
    (max_message_bytes as u64).saturating_mul(128).max(64 << 20)
}

/// A batch fit to be appended, once stamped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Validated {
    /// The header of `bytes`.
    pub header: BatchHeader,
    /// The batch: the producer's own bytes, or the same records in the topic's codec.
    pub bytes: Bytes,
    /// Who sets the timestamps.
    pub timestamp_type: TimestampType,
    /// The largest timestamp, found by reading the records; with LogAppendTime, the broker's time.
    pub max_timestamp: i64,
    /// The offset of the first record with that timestamp, from the base offset.
    pub max_timestamp_delta: i32,
}

impl Validated {
    /// The header to append instead of the first 61 bytes: numbered, with the leader's epoch and the right
    /// timestamps.
    pub fn stamp(&self, base_offset: Offset, leader_epoch: LeaderEpoch) -> [u8; HEADER_LEN] {
        stamp(&self.bytes, base_offset, leader_epoch, Some((self.timestamp_type, self.max_timestamp)))
    }
}

/// Checks `records`, what a Produce request carries for one partition.
///
/// # Errors
///
/// [`Rejected`], with the code for the response.
///
/// # Panics
///
/// If the rules name a compression level that does not exist.
pub fn validate(records: &Bytes, rules: &Rules, scratch: &mut Scratch) -> Result<Validated, Rejected> {
    let outcome = check(records, rules, scratch);
    scratch.trim();
    outcome
}

fn check(records: &Bytes, rules: &Rules, scratch: &mut Scratch) -> Result<Validated, Rejected> {
    let header = check_framing(records, rules)?;
    verify_crc(records).map_err(Reason::Batch)?;
    check_header(&header)?;
    let codec = header.compression().map_err(Reason::Batch)?;
    let found = walk::records(&header, codec, &records[HEADER_LEN..], rules, scratch)?;
    let mut validated = Validated {
        header,
        bytes: records.clone(),
        timestamp_type: rules.timestamp_type,
        max_timestamp: found.max_timestamp,
        max_timestamp_delta: found.max_timestamp_delta,
    };
    if let Some(encoding) = rules.encoding.filter(|encoding| encoding.codec != codec) {
        let (size, decompressed) = (rules.max_message_bytes, rules.max_decompressed_bytes);
        let bytes = recompress(records, encoding, size, decompressed, scratch).map_err(Reason::Recompress)?;
        validated.header = BatchHeader::parse(&bytes).expect("a batch that we wrote has a header");
        validated.bytes = bytes;
    }
    if rules.timestamp_type == TimestampType::LogAppendTime {
        validated.max_timestamp = rules.now.0;
        validated.max_timestamp_delta = 0;
    }
    Ok(validated)
}

/// What lies outside the CRC or does not need it.
fn check_framing(records: &[u8], rules: &Rules) -> Result<BatchHeader, Reason> {
    let header = BatchHeader::parse(records).map_err(Reason::Batch)?;
    if header.compression() == Ok(Compression::Zstd) && !rules.zstd_allowed {
        return Err(Reason::ZstdNotAllowed);
    }
    let size = header.size_in_bytes();
    if size > records.len() {
        return Err(BatchError::Truncated { needed: size, available: records.len() }.into());
    }
    if size < records.len() {
        return Err(BatchError::TrailingBytes(records.len() - size).into());
    }
    if header.base_offset != Offset::ZERO {
        return Err(Reason::BaseOffset(header.base_offset));
    }
    if size > rules.max_message_bytes {
        return Err(Reason::TooLarge { size, max: rules.max_message_bytes });
    }
    Ok(header)
}

fn check_header(header: &BatchHeader) -> Result<(), Reason> {
    let (count, last_delta) = (header.records_count, header.last_offset_delta);
    if count < 1 || i64::from(last_delta) + 1 != i64::from(count) {
        return Err(Reason::Count { count, last_delta });
    }
    if header.is_control() {
        return Err(Reason::Control);
    }
    // A sequence without a producer means nothing and is let through: some clients leave it at 0.
    if header.has_producer_id() {
        if header.base_sequence < 0 {
            return Err(Reason::Sequence(header.base_sequence));
        }
        if header.producer_epoch.0 < 0 {
            return Err(Reason::ProducerEpoch(header.producer_epoch));
        }
    } else if header.is_transactional() {
        return Err(Reason::TransactionWithoutProducer);
    }
    if header.timestamp_type() == TimestampType::LogAppendTime {
        return Err(Reason::TimestampType);
    }
    Ok(())
}

/// A refusal: what to answer the producer.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{reason}")]
pub struct Rejected {
    /// Why; its text is the response's error message.
    pub reason: Reason,
    /// The records at fault, where it is about single records: the first [`MAX_RECORD_FAULTS`] of them.
    pub records: Vec<RecordFault>,
}

impl Rejected {
    /// The response's error code.
    pub fn code(&self) -> ErrorCode {
        self.reason.code()
    }
}

impl From<Reason> for Rejected {
    fn from(reason: Reason) -> Self {
        Self { reason, records: Vec::new() }
    }
}

/// The most records that a refusal names. All of a batch's records are refused with it, and a compressed
/// batch can hold more than the response should.
pub const MAX_RECORD_FAULTS: usize = 100;

/// A record at fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecordFault {
    /// The record's index in the batch.
    pub batch_index: i32,
    /// What is wrong with it; its text is the response's message for the record.
    pub fault: Fault,
}

/// What is wrong with a record that can be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Fault {
    /// A compacted topic needs keys.
    #[error("a compacted topic accepts no record without a key")]
    NoKey,
    /// The timestamp is too far from the broker's time.
    #[error("the timestamp {timestamp} is out of range: it should lie between {earliest} and {latest}")]
    Timestamp {
        /// The record's, milliseconds since the Unix epoch.
        timestamp: i64,
        /// The first that is accepted.
        earliest: i64,
        /// The last that is accepted.
        latest: i64,
    },
}

/// Why a batch is refused.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Reason {
    /// The bytes are not one batch of format 2, or are damaged.
    #[error("there must be exactly one record batch of format 2 for a partition: {0}")]
    Batch(#[from] BatchError),
    /// Zstandard in a request older than Produce v7.
    #[error("zstd compression needs version 7 of Produce or later")]
    ZstdNotAllowed,
    /// A batch that is numbered already.
    #[error("the base offset of a produced batch should be 0, but it is {0}")]
    BaseOffset(Offset),
    /// The batch is larger than `max.message.bytes`.
    #[error("the batch has {size} bytes, and the topic's max.message.bytes is {max}")]
    TooLarge {
        /// The batch's size in bytes.
        size: usize,
        /// The limit.
        max: usize,
    },
    /// A number of records below one, or not that of its offsets.
    #[error("the batch claims {count} records with a last offset delta of {last_delta}")]
    Count {
        /// The number of records in the header.
        count: i32,
        /// The last offset delta in the header.
        last_delta: i32,
    },
    /// Control records are the broker's.
    #[error("clients are not allowed to write control records")]
    Control,
    /// An idempotent producer without a sequence.
    #[error("the batch has a producer id and the invalid sequence number {0}")]
    Sequence(i32),
    /// An idempotent producer without an epoch.
    #[error("the batch has a producer id and the invalid producer epoch {0}")]
    ProducerEpoch(ProducerEpoch),
    /// A transaction of nobody.
    #[error("the batch is transactional but has no producer id")]
    TransactionWithoutProducer,
    /// Only the broker stamps LogAppendTime.
    #[error("a producer should not set the timestamp type to LogAppendTime")]
    TimestampType,
    /// The records cannot be read.
    #[error("record {batch_index} is invalid: {error}")]
    Record {
        /// The index of the record in the batch; the number of records for what follows the last.
        batch_index: i32,
        /// What is wrong.
        error: RecordError,
    },
    /// The records cannot be decompressed, or expand too far.
    #[error(transparent)]
    Decompress(#[from] DecompressError),
    /// Single records are at fault, all of them readable.
    #[error("{count} records were rejected; the first is record {batch_index}: {fault}")]
    Faults {
        /// How many.
        count: i32,
        /// The first's index in the batch.
        batch_index: i32,
        /// The first's fault.
        fault: Fault,
        /// Whether any of them has a timestamp out of range.
        timestamps: bool,
    },
    /// The topic's codec does not fit.
    #[error(transparent)]
    Recompress(#[from] RecompressError),
}

impl Reason {
    /// Kafka's code for it.
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::Batch(error) => batch_code(error),
            Self::ZstdNotAllowed => ErrorCode::UnsupportedCompressionType,
            Self::TooLarge { .. } => ErrorCode::MessageTooLarge,
            Self::BaseOffset(_)
            | Self::Count { .. }
            | Self::Record { .. }
            | Self::Control
            | Self::Sequence(_)
            | Self::ProducerEpoch(_)
            | Self::TransactionWithoutProducer
            | Self::Faults { timestamps: false, .. } => ErrorCode::InvalidRecord,
            Self::TimestampType | Self::Faults { timestamps: true, .. } => ErrorCode::InvalidTimestamp,
            Self::Decompress(error) => decompress_code(error),
            Self::Recompress(RecompressError::TooLarge { .. }) => ErrorCode::MessageTooLarge,
            Self::Recompress(RecompressError::Batch(error)) => batch_code(error),
            Self::Recompress(RecompressError::Decompress(error)) => decompress_code(error),
        }
    }
}

fn batch_code(error: &BatchError) -> ErrorCode {
    match error {
        // What may be damage on the way is worth another try; formats 0 and 1 are not.
        BatchError::WrongCrc { .. } | BatchError::InvalidLength(_) => ErrorCode::CorruptMessage,
        BatchError::UnsupportedMagic(0 | 1) => ErrorCode::InvalidRecord,
        BatchError::UnsupportedMagic(_) => ErrorCode::CorruptMessage,
        BatchError::UnknownCompression(_) => ErrorCode::UnsupportedCompressionType,
        BatchError::Truncated { .. }
        | BatchError::TrailingBytes(_)
        | BatchError::InvalidOffsets { .. }
        | BatchError::InvalidCount { .. } => ErrorCode::InvalidRecord,
    }
}

fn decompress_code(error: &DecompressError) -> ErrorCode {
    match error {
        DecompressError::Damaged { .. } => ErrorCode::InvalidRecord,
        // Producers answer this one by splitting the batch, which helps.
        DecompressError::TooLarge { .. } => ErrorCode::MessageTooLarge,
    }
}
