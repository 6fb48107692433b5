//! The header of a record batch, Kafka's message format 2.
//!
//! ```text
//! at  bytes  field                    at  bytes  field
//!  0    8    base offset              27    8    base timestamp
//!  8    4    length after this field  35    8    max timestamp
//! 12    4    partition leader epoch   43    8    producer id
//! 16    1    magic, 2                 51    2    producer epoch
//! 17    4    CRC-32C of all from 21   53    4    base sequence
//! 21    2    attributes               57    4    number of records
//! 23    4    last offset delta        61         records, compressed as the attributes say
//! ```
//!
//! Attributes: bits 0-2 the codec, 3 the timestamp type, 4 transactional, 5 control, 6 the base timestamp is
//! a delete horizon. The fields before 21 lie outside the CRC, so that a leader numbers a batch and names its
//! epoch without touching what the producer signed.
//!
//! Faults: [`BatchHeader::parse`] checks only the framing (bytes present, length, magic), because anything
//! else may be the work of a flipped bit, which only the CRC can tell from a wrong client. Whoever uses the
//! values for more than framing calls [`BatchHeader::verify`] first.

mod crc;

use bytes::Bytes;
use thiserror::Error;

use crate::types::{LeaderEpoch, Offset, ProducerEpoch, ProducerId};
use crate::wire::compression::Compression;

/// Bytes of a batch before its records.
pub const HEADER_LEN: usize = 61;
/// Bytes before and including the length field, which that field does not count.
pub const LENGTH_PREFIX: usize = 12;
/// The only format in use since Kafka 4.0.
pub const MAGIC: i8 = 2;
/// Kafka's "no timestamp".
pub const NO_TIMESTAMP: i64 = -1;
/// Kafka's "no sequence": the batch of a producer that is not idempotent.
pub const NO_SEQUENCE: i32 = -1;

/// A batch's header, all fields by value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchHeader {
    /// The offset of the first record; 0 from a producer.
    pub base_offset: Offset,
    /// Bytes after the length field; at least 49.
    pub batch_length: i32,
    /// The epoch of the leader that appended the batch (R1).
    pub partition_leader_epoch: LeaderEpoch,
    /// Always [`MAGIC`].
    pub magic: i8,
    /// The CRC-32C that the batch claims for its bytes from 21.
    pub crc: u32,
    /// Flags; see the module's text.
    pub attributes: i16,
    /// The last record's offset, less the base offset. Compaction keeps it when it drops the record.
    pub last_offset_delta: i32,
    /// What record timestamps are relative to, milliseconds since the Unix epoch.
    pub base_timestamp: i64,
    /// The largest record timestamp; with LogAppendTime, the timestamp of all records.
    pub max_timestamp: i64,
    /// The idempotent producer, or [`ProducerId::NONE`].
    pub producer_id: ProducerId,
    /// Its incarnation.
    pub producer_epoch: ProducerEpoch,
    /// The first record's sequence number, or [`NO_SEQUENCE`].
    pub base_sequence: i32,
    /// Records in the batch; 0 after compaction removed all of them.
    pub records_count: i32,
}

impl BatchHeader {
    /// Reads the header at the front of `bytes`, which may end anywhere behind it.
    ///
    /// # Errors
    ///
    /// [`BatchError::Truncated`], [`BatchError::InvalidLength`] and [`BatchError::UnsupportedMagic`].
    pub fn parse(bytes: &[u8]) -> Result<Self, BatchError> {
        // Formats 0 and 1 are shorter than our header but have their magic at the same place, so that they
        // are named for what they are.
        if bytes.len() <= MAGIC_AT {
            return Err(BatchError::Truncated { needed: HEADER_LEN, available: bytes.len() });
        }
        let magic = i8::from_be_bytes(array(bytes, MAGIC_AT));
        if magic != MAGIC {
            return Err(BatchError::UnsupportedMagic(magic));
        }
        let batch_length = i32::from_be_bytes(array(bytes, LENGTH_AT));
        if batch_length < (HEADER_LEN - LENGTH_PREFIX) as i32 {
            return Err(BatchError::InvalidLength(batch_length));
        }
        if bytes.len() < HEADER_LEN {
            return Err(BatchError::Truncated { needed: HEADER_LEN, available: bytes.len() });
        }
        Ok(Self {
            base_offset: Offset(i64::from_be_bytes(array(bytes, 0))),
            batch_length,
            partition_leader_epoch: LeaderEpoch(i32::from_be_bytes(array(bytes, LEADER_EPOCH_AT))),
            magic,
            crc: u32::from_be_bytes(array(bytes, CRC_AT)),
            attributes: i16::from_be_bytes(array(bytes, ATTRIBUTES_AT)),
            last_offset_delta: i32::from_be_bytes(array(bytes, 23)),
            base_timestamp: i64::from_be_bytes(array(bytes, 27)),
            max_timestamp: i64::from_be_bytes(array(bytes, MAX_TIMESTAMP_AT)),
            producer_id: ProducerId(i64::from_be_bytes(array(bytes, 43))),
            producer_epoch: ProducerEpoch(i16::from_be_bytes(array(bytes, 51))),
            base_sequence: i32::from_be_bytes(array(bytes, 53)),
            records_count: i32::from_be_bytes(array(bytes, 57)),
        })
    }

    /// Reads the header of `batch`, which must be one whole batch and nothing more, checks its CRC, and then
    /// that its values make sense. This is the whole check of a batch from disk or from a leader, short of
    /// reading its records.
    ///
    /// # Errors
    ///
    /// Those of [`Self::parse`], [`verify_crc`] and [`Self::check_values`].
    pub fn verify(batch: &[u8]) -> Result<Self, BatchError> {
        verify_crc(batch)?;
        let header = Self::parse(batch)?;
        header.check_values()?;
        Ok(header)
    }

    /// Checks the values that arithmetic elsewhere relies on. A batch with a right CRC that fails here was
    /// made wrong, not damaged.
    ///
    /// # Errors
    ///
    /// [`BatchError::InvalidOffsets`], [`BatchError::InvalidCount`], [`BatchError::UnknownCompression`].
    pub fn check_values(&self) -> Result<(), BatchError> {
        let last = self.base_offset.0.checked_add(i64::from(self.last_offset_delta));
        // The end, one after the last offset, must be an offset too.
        if self.base_offset.0 < 0 || self.last_offset_delta < 0 || last.is_none_or(|last| last == i64::MAX) {
            return Err(BatchError::InvalidOffsets {
                base: self.base_offset,
                last_delta: self.last_offset_delta,
            });
        }
        if self.records_count < 0 || i64::from(self.records_count) > i64::from(self.last_offset_delta) + 1 {
            return Err(BatchError::InvalidCount {
                count: self.records_count,
                last_delta: self.last_offset_delta,
            });
        }
        self.compression().map(|_| ())
    }

    /// The size of the whole batch in bytes.
    pub fn size_in_bytes(&self) -> usize {
        LENGTH_PREFIX + usize::try_from(self.batch_length).expect("parse accepts no negative length")
    }

    /// The offset of the last record (which compaction may have removed). Saturates on a header that was not
    /// verified.
    pub fn last_offset(&self) -> Offset {
        Offset(self.base_offset.0.saturating_add(i64::from(self.last_offset_delta)))
    }

    /// The offset after the last record.
    pub fn next_offset(&self) -> Offset {
        Offset(self.last_offset().0.saturating_add(1))
    }

    /// The codec of the records.
    ///
    /// # Errors
    ///
    /// [`BatchError::UnknownCompression`] for the ids that name no codec.
    pub fn compression(&self) -> Result<Compression, BatchError> {
        let id = self.attributes & COMPRESSION_MASK;
        Compression::from_id(id).ok_or(BatchError::UnknownCompression(id))
    }

    /// Who set the timestamps.
    pub fn timestamp_type(&self) -> TimestampType {
        if self.attributes & TIMESTAMP_TYPE_FLAG == 0 {
            TimestampType::CreateTime
        } else {
            TimestampType::LogAppendTime
        }
    }

    /// Whether the batch belongs to a transaction.
    pub fn is_transactional(&self) -> bool {
        self.attributes & TRANSACTIONAL_FLAG != 0
    }

    /// Whether the records are control records: transaction markers, leader changes and the like.
    pub fn is_control(&self) -> bool {
        self.attributes & CONTROL_FLAG != 0
    }

    /// When compaction may drop the batch's tombstones and markers, milliseconds since the Unix epoch, if a
    /// first pass of compaction has set it.
    pub fn delete_horizon_ms(&self) -> Option<i64> {
        (self.attributes & DELETE_HORIZON_FLAG != 0).then_some(self.base_timestamp)
    }

    /// Whether an idempotent or transactional producer wrote the batch.
    pub fn has_producer_id(&self) -> bool {
        self.producer_id.0 > ProducerId::NONE.0
    }

    /// The last record's sequence number, or [`NO_SEQUENCE`].
    pub fn last_sequence(&self) -> i32 {
        if self.base_sequence == NO_SEQUENCE {
            return NO_SEQUENCE;
        }
        increment_sequence(self.base_sequence, self.last_offset_delta)
    }
}

/// The sequence number `count` records after `sequence`: after `i32::MAX` comes 0.
pub fn increment_sequence(sequence: i32, count: i32) -> i32 {
    // In i64 the sum of any two i32 fits, and a wrong (negative) input stays harmless.
    let sum = i64::from(sequence) + i64::from(count);
    i32::try_from(sum.rem_euclid(1 << 31)).expect("a remainder below 2^31 is an i32")
}

/// Who set a batch's timestamps, and the topic's rule for it (`message.timestamp.type`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum TimestampType {
    /// The producer, each record its own.
    #[default]
    CreateTime,
    /// The broker, one for all records: the batch's max timestamp.
    LogAppendTime,
}

/// One batch of a sequence of batches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    /// Its header, as parsed; neither CRC nor values were checked.
    pub header: BatchHeader,
    /// The whole batch, header included: a slice of the bytes it was split from.
    pub bytes: Bytes,
}

/// The batches that stand one after the other in `bytes`, without copying.
///
/// A last batch of which only the beginning is there (a Fetch response may end so) yields
/// [`BatchError::Truncated`]. After an error nothing more comes.
pub fn split(bytes: &Bytes) -> Split {
    Split { rest: bytes.clone() }
}

/// The iterator of [`split`].
#[derive(Debug)]
pub struct Split {
    rest: Bytes,
}

impl Iterator for Split {
    type Item = Result<Batch, BatchError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let outcome = parse_present(&self.rest);
        Some(match outcome {
            Ok(header) => Ok(Batch { header, bytes: self.rest.split_to(header.size_in_bytes()) }),
            Err(error) => {
                self.rest.clear();
                Err(error)
            }
        })
    }
}

/// Compares the CRC of `batch`, one whole batch and nothing more, with the one in its header.
///
/// # Errors
///
/// Those of [`BatchHeader::parse`], [`BatchError::TrailingBytes`] and [`BatchError::WrongCrc`].
pub fn verify_crc(batch: &[u8]) -> Result<(), BatchError> {
    let header = parse_present(batch)?;
    if header.size_in_bytes() != batch.len() {
        return Err(BatchError::TrailingBytes(batch.len() - header.size_in_bytes()));
    }
    let computed = crc32c::crc32c(&batch[ATTRIBUTES_AT..]);
    if computed != header.crc {
        return Err(BatchError::WrongCrc { stored: header.crc, computed });
    }
    Ok(())
}

/// The header with which a leader appends `batch` (or its first 61 bytes): numbered, stamped with the
/// leader's epoch and, where `timestamps` differs from what the batch says, with type and max timestamp.
///
/// Only the last of these lies under the CRC. The new CRC is derived from the old one and the change of the
/// header (CRC is linear), not from the payload: bytes that rot in memory after their check still fail the
/// next one.
///
/// # Panics
///
/// If `batch` is shorter than a header: callers stamp what they have parsed.
pub fn stamp(
    batch: &[u8],
    base_offset: Offset,
    leader_epoch: LeaderEpoch,
    timestamps: Option<(TimestampType, i64)>,
) -> [u8; HEADER_LEN] {
    let header = BatchHeader::parse(batch).expect("callers stamp what they have parsed");
    let mut stamped: [u8; HEADER_LEN] = array(batch, 0);
    put(&mut stamped, 0, &base_offset.0.to_be_bytes());
    put(&mut stamped, LEADER_EPOCH_AT, &leader_epoch.0.to_be_bytes());
    if let Some((timestamp_type, max_timestamp)) = timestamps
        && (timestamp_type, max_timestamp) != (header.timestamp_type(), header.max_timestamp)
    {
        let attributes = match timestamp_type {
            TimestampType::CreateTime => header.attributes & !TIMESTAMP_TYPE_FLAG,
            TimestampType::LogAppendTime => header.attributes | TIMESTAMP_TYPE_FLAG,
        };
        put(&mut stamped, ATTRIBUTES_AT, &attributes.to_be_bytes());
        put(&mut stamped, MAX_TIMESTAMP_AT, &max_timestamp.to_be_bytes());
        let change =
            crc32c::crc32c(&batch[ATTRIBUTES_AT..HEADER_LEN]) ^ crc32c::crc32c(&stamped[ATTRIBUTES_AT..]);
        let payload = header.size_in_bytes() - HEADER_LEN;
        let crc = header.crc ^ crc::shifted(change, payload);
        put(&mut stamped, CRC_AT, &crc.to_be_bytes());
    }
    stamped
}

/// Writes the CRC of `batch`, complete but for that.
pub(super) fn sign(batch: &mut [u8]) {
    let crc = crc32c::crc32c(&batch[ATTRIBUTES_AT..]);
    batch[CRC_AT..ATTRIBUTES_AT].copy_from_slice(&crc.to_be_bytes());
}

/// Why bytes are not a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum BatchError {
    /// The bytes end inside the batch.
    #[error("the batch ends after {available} of {needed} bytes")]
    Truncated {
        /// The size that the header, or else the format, asks for.
        needed: usize,
        /// The bytes there are.
        available: usize,
    },
    /// The length field leaves no room for the header, or is negative.
    #[error("the batch claims a length of {0} bytes, less than its own header")]
    InvalidLength(i32),
    /// An older format, 0 or 1, or one that does not exist.
    #[error("message format {0} is not supported, only format 2 is")]
    UnsupportedMagic(i8),
    /// Bytes follow where there should be one batch only.
    #[error("{0} bytes follow the batch")]
    TrailingBytes(usize),
    /// The bytes are not those that the producer signed.
    #[error("the batch is corrupt: its CRC is {stored:#010x}, its bytes have {computed:#010x}")]
    WrongCrc {
        /// What the header says.
        stored: u32,
        /// What the bytes have.
        computed: u32,
    },
    /// Offsets below zero or beyond the largest.
    #[error("the batch has impossible offsets: base {base}, last delta {last_delta}")]
    InvalidOffsets {
        /// The base offset.
        base: Offset,
        /// The last record's distance from it.
        last_delta: i32,
    },
    /// A number of records that is negative or larger than the range of offsets.
    #[error("the batch claims {count} records with a last offset delta of {last_delta}")]
    InvalidCount {
        /// The number of records in the header.
        count: i32,
        /// The last record's distance from the base offset.
        last_delta: i32,
    },
    /// Codec ids 5 to 7.
    #[error("unknown compression type id {0}")]
    UnknownCompression(i16),
}

pub(super) const LENGTH_AT: usize = 8;
const LEADER_EPOCH_AT: usize = 12;
const MAGIC_AT: usize = 16;
const CRC_AT: usize = 17;
pub(super) const ATTRIBUTES_AT: usize = 21;
const MAX_TIMESTAMP_AT: usize = 35;

pub(super) const COMPRESSION_MASK: i16 = 0x07;
const TIMESTAMP_TYPE_FLAG: i16 = 0x08;
pub(super) const TRANSACTIONAL_FLAG: i16 = 0x10;
pub(super) const CONTROL_FLAG: i16 = 0x20;
const DELETE_HORIZON_FLAG: i16 = 0x40;

/// The header at the front of `bytes`, all of whose batch is there.
fn parse_present(bytes: &[u8]) -> Result<BatchHeader, BatchError> {
    let header = BatchHeader::parse(bytes)?;
    let needed = header.size_in_bytes();
    if needed > bytes.len() {
        return Err(BatchError::Truncated { needed, available: bytes.len() });
    }
    Ok(header)
}

fn array<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    bytes[at..at + N].try_into().expect("a slice of N bytes is an array of N bytes")
}

fn put(header: &mut [u8; HEADER_LEN], at: usize, field: &[u8]) {
    header[at..at + field.len()].copy_from_slice(field);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One record, written out by hand from the format: key "k", value "v", timestamps 1000.
    fn golden() -> Vec<u8> {
        let mut batch = vec![
            0, 0, 0, 0, 0, 0, 0, 0, // base offset
            0, 0, 0, 58, // length: 49 + 9
            0xff, 0xff, 0xff, 0xff, // leader epoch -1
            2,    // magic
            0, 0, 0, 0, // CRC, below
            0, 0, // attributes
            0, 0, 0, 0, // last offset delta
            0, 0, 0, 0, 0, 0, 0x03, 0xe8, // base timestamp
            0, 0, 0, 0, 0, 0, 0x03, 0xe8, // max timestamp
            0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, // producer id
            0xff, 0xff, // producer epoch
            0xff, 0xff, 0xff, 0xff, // base sequence
            0, 0, 0, 1, // records
            16, 0, 0, 0, 2, b'k', 2, b'v', 0,
        ];
        sign(&mut batch);
        batch
    }

    #[test]
    fn the_header_is_read_field_by_field() {
        let header = BatchHeader::verify(&golden()).unwrap();
        assert_eq!(header.base_offset, Offset(0));
        assert_eq!(header.batch_length, 58);
        assert_eq!(header.size_in_bytes(), 70);
        assert_eq!(header.partition_leader_epoch, LeaderEpoch::NONE);
        assert_eq!((header.base_timestamp, header.max_timestamp), (1000, 1000));
        assert_eq!(header.producer_id, ProducerId::NONE);
        assert_eq!((header.base_sequence, header.last_sequence()), (NO_SEQUENCE, NO_SEQUENCE));
        assert_eq!((header.records_count, header.next_offset()), (1, Offset(1)));
        assert_eq!(header.compression(), Ok(Compression::None));
        assert!(!header.is_control() && !header.is_transactional() && !header.has_producer_id());
    }

    #[test]
    fn attributes_are_read_bit_by_bit() {
        let mut batch = golden();
        let mut read = |attributes: u8| {
            batch[22] = attributes;
            BatchHeader::parse(&batch).unwrap()
        };
        for codec in Compression::ALL {
            assert_eq!(read(codec.id() as u8).compression(), Ok(codec));
        }
        assert_eq!(read(5).compression(), Err(BatchError::UnknownCompression(5)));
        assert_eq!(read(0x08).timestamp_type(), TimestampType::LogAppendTime);
        assert!(read(0x10).is_transactional() && !read(0x10).is_control());
        assert!(read(0x20).is_control() && !read(0x20).is_transactional());
        assert_eq!(read(0x40).delete_horizon_ms(), Some(1000));
        assert_eq!(read(0).delete_horizon_ms(), None);
    }

    #[test]
    fn every_cut_is_truncated_and_never_more() {
        let batch = golden();
        for end in 0..batch.len() {
            assert!(matches!(BatchHeader::verify(&batch[..end]), Err(BatchError::Truncated { .. })), "{end}");
        }
    }

    #[test]
    fn older_formats_are_named() {
        let mut batch = golden();
        for magic in [0, 1, 3, -1] {
            batch[16] = magic as u8;
            assert_eq!(BatchHeader::parse(&batch[..30]), Err(BatchError::UnsupportedMagic(magic)));
        }
    }

    #[test]
    fn a_length_below_the_header_is_refused() {
        let mut batch = golden();
        for length in [i32::MIN, -1, 0, 48] {
            batch[8..12].copy_from_slice(&length.to_be_bytes());
            assert_eq!(BatchHeader::parse(&batch), Err(BatchError::InvalidLength(length)));
        }
    }

    #[test]
    fn every_flipped_bit_under_the_crc_is_found() {
        let good = golden();
        for bit in 17 * 8..good.len() * 8 {
            let mut bad = good.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(matches!(verify_crc(&bad), Err(BatchError::WrongCrc { .. })), "bit {bit}");
        }
    }

    #[test]
    fn impossible_values_are_refused_though_signed() {
        let signed = |at: usize, field: &[u8]| {
            let mut batch = golden();
            batch[at..at + field.len()].copy_from_slice(field);
            sign(&mut batch);
            BatchHeader::verify(&batch)
        };
        assert!(matches!(signed(0, &(-1i64).to_be_bytes()), Err(BatchError::InvalidOffsets { .. })));
        assert!(matches!(signed(0, &i64::MAX.to_be_bytes()), Err(BatchError::InvalidOffsets { .. })));
        assert!(matches!(signed(23, &(-1i32).to_be_bytes()), Err(BatchError::InvalidOffsets { .. })));
        assert!(matches!(signed(57, &(-1i32).to_be_bytes()), Err(BatchError::InvalidCount { .. })));
        assert!(matches!(signed(57, &2i32.to_be_bytes()), Err(BatchError::InvalidCount { .. })));
        assert!(signed(57, &0i32.to_be_bytes()).is_ok(), "compaction may leave a batch empty");
        assert!(matches!(signed(21, &7i16.to_be_bytes()), Err(BatchError::UnknownCompression(7))));
    }

    #[test]
    fn batches_are_split_without_copying_and_a_cut_one_ends_it() {
        let one = golden();
        let bytes = Bytes::from([one.as_slice(), &one, &one[..65]].concat());
        let found: Vec<_> = split(&bytes).collect();
        assert_eq!(found.len(), 3);
        let second = found[1].as_ref().unwrap();
        assert_eq!(second.bytes, one);
        assert_eq!(second.bytes.as_ptr(), bytes[70..].as_ptr());
        assert_eq!(found[2], Err(BatchError::Truncated { needed: 70, available: 65 }));
    }

    #[test]
    fn numbering_leaves_the_crc_alone() {
        let batch = golden();
        for timestamps in [None, Some((TimestampType::CreateTime, 1000))] {
            let header = stamp(&batch, Offset(77), LeaderEpoch(5), timestamps);
            assert_eq!(header[16..], batch[16..HEADER_LEN]);
            let header = BatchHeader::verify(&[&header, &batch[HEADER_LEN..]].concat()).unwrap();
            assert_eq!((header.base_offset, header.partition_leader_epoch), (Offset(77), LeaderEpoch(5)));
        }
    }

    #[test]
    fn a_new_timestamp_is_signed_anew() {
        // Payloads of many lengths: the derived CRC must agree with the computed one for each.
        for extra in (0..300).chain([4096, 65_537, 1_000_003]) {
            let mut batch = golden();
            batch.resize(batch.len() + extra, 0xa5);
            let length = (batch.len() - LENGTH_PREFIX) as i32;
            batch[8..12].copy_from_slice(&length.to_be_bytes());
            sign(&mut batch);
            let header =
                stamp(&batch, Offset(9), LeaderEpoch(1), Some((TimestampType::LogAppendTime, 123_456)));
            let header = BatchHeader::verify(&[&header, &batch[HEADER_LEN..]].concat()).unwrap();
            assert_eq!(header.timestamp_type(), TimestampType::LogAppendTime);
            assert_eq!((header.max_timestamp, header.base_timestamp), (123_456, 1000));
        }
    }

    #[test]
    fn a_batch_that_rots_before_its_stamp_still_fails_its_crc() {
        let mut batch = golden();
        batch[66] ^= 1;
        let header = stamp(&batch, Offset(9), LeaderEpoch(1), Some((TimestampType::LogAppendTime, 5)));
        let whole = [&header, &batch[HEADER_LEN..]].concat();
        assert!(matches!(verify_crc(&whole), Err(BatchError::WrongCrc { .. })));
    }

    #[test]
    fn sequences_wrap_to_zero() {
        assert_eq!(increment_sequence(5, 3), 8);
        assert_eq!(increment_sequence(i32::MAX, 0), i32::MAX);
        assert_eq!(increment_sequence(i32::MAX, 1), 0);
        assert_eq!(increment_sequence(i32::MAX - 1, 5), 3);
    }
}
