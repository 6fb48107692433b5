//! Writing record batches: producers, the metadata log, coordinators and control records.

use bytes::{BufMut, Bytes, BytesMut};

use crate::types::{LeaderEpoch, Offset, ProducerEpoch, ProducerId};
use crate::wire::batch::{
    CONTROL_FLAG, HEADER_LEN, LENGTH_PREFIX, MAGIC, NO_SEQUENCE, NO_TIMESTAMP, TRANSACTIONAL_FLAG, sign,
};
use crate::wire::compression::{Compression, Encoding, Scratch, compress};
use crate::wire::records::{Header, varint_len, zigzag};

/// Collects records and makes batches of them.
///
/// The buffer is kept: a batch without compression is split off it, and its memory comes back once nobody
/// holds the batch any more.
#[derive(Debug, Default)]
pub struct BatchBuilder {
    /// Room for the header, then the records; empty before the first record.
    buffer: BytesMut,
    records_count: i32,
    base_timestamp: i64,
    max_timestamp: i64,
}

/// A record to be written.
#[derive(Debug, Clone, Copy, Default)]
pub struct NewRecord<'a> {
    /// Milliseconds since the Unix epoch, or -1 for none.
    pub timestamp: i64,
    /// The key.
    pub key: Option<&'a [u8]>,
    /// The value; none is a tombstone where the topic is compacted.
    pub value: Option<&'a [u8]>,
    /// The headers.
    pub headers: &'a [Header],
}

/// What a batch says besides its records. The default is what a plain producer sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchOptions {
    /// The first record's offset; a producer leaves it at 0.
    pub base_offset: Offset,
    /// The leader's epoch; a producer leaves it at none.
    pub leader_epoch: LeaderEpoch,
    /// What to compress the records with.
    pub encoding: Encoding,
    /// The idempotent producer, if any.
    pub producer_id: ProducerId,
    /// Its incarnation.
    pub producer_epoch: ProducerEpoch,
    /// The first record's sequence number.
    pub base_sequence: i32,
    /// Whether the batch is part of a transaction.
    pub transactional: bool,
    /// Whether the records are control records.
    pub control: bool,
}

impl Default for BatchOptions {
    fn default() -> Self {
        Self {
            base_offset: Offset::ZERO,
            leader_epoch: LeaderEpoch::NONE,
            encoding: Encoding::default(),
            producer_id: ProducerId::NONE,
            producer_epoch: ProducerEpoch::NONE,
            base_sequence: NO_SEQUENCE,
            transactional: false,
            control: false,
        }
    }
}

impl BatchBuilder {
    /// A builder without records.
    pub fn new() -> Self {
        Self::default()
    }

    /// Records added since the last batch.
    pub fn records_count(&self) -> i32 {
        self.records_count
    }

    /// The size in bytes that the batch would have without compression: a bound for all but records that do
    /// not compress.
    pub fn size_in_bytes(&self) -> usize {
        self.buffer.len().max(HEADER_LEN)
    }

    /// The bytes that `record` would add without compression.
    pub fn size_of(&self, record: &NewRecord<'_>) -> usize {
        let body = self.body_size(record);
        varint_len(body as i64) + body
    }

    /// Adds a record. Its offset is the next one; its timestamp is kept as the distance from the first's.
    ///
    /// # Panics
    ///
    /// If the batch grew beyond 2 GiB, which the format cannot express: callers limit requests far below.
    pub fn add(&mut self, record: &NewRecord<'_>) {
        if self.records_count == 0 {
            self.buffer.put_bytes(0, HEADER_LEN);
            self.base_timestamp = record.timestamp;
            self.max_timestamp = NO_TIMESTAMP;
        }
        let body = self.body_size(record);
        let total = self.buffer.len() + varint_len(body as i64) + body;
        assert!(i32::try_from(total).is_ok(), "a batch of {total} bytes cannot be expressed");
        self.buffer.reserve(total - self.buffer.len());
        let timestamp_delta = self.timestamp_delta(record);
        put_varint(&mut self.buffer, body as i64);
        self.buffer.put_u8(0);
        put_varint(&mut self.buffer, timestamp_delta);
        put_varint(&mut self.buffer, i64::from(self.records_count));
        put_field(&mut self.buffer, record.key);
        put_field(&mut self.buffer, record.value);
        put_varint(&mut self.buffer, record.headers.len() as i64);
        for header in record.headers {
            put_field(&mut self.buffer, Some(&header.key));
            put_field(&mut self.buffer, header.value.as_deref());
        }
        assert_eq!(self.buffer.len(), total, "a record's size was computed wrongly");
        self.records_count += 1;
        self.max_timestamp = self.max_timestamp.max(record.timestamp);
    }

    /// The batch of the records added, signed; the builder begins anew.
    ///
    /// # Panics
    ///
    /// If there are no records, or the level of the encoding does not exist.
    pub fn finish(&mut self, options: &BatchOptions, scratch: &mut Scratch) -> Bytes {
        assert!(self.records_count > 0, "a batch has at least one record");
        let batch = if options.encoding.codec == Compression::None {
            let mut batch = self.buffer.split();
            self.write_header(options, &mut batch);
            batch.freeze()
        } else {
            let mut batch = vec![0; HEADER_LEN];
            compress(options.encoding, &self.buffer[HEADER_LEN..], &mut batch, scratch);
            self.buffer.clear();
            self.write_header(options, &mut batch);
            Bytes::from(batch)
        };
        self.records_count = 0;
        batch
    }

    fn write_header(&self, options: &BatchOptions, batch: &mut [u8]) {
        let length = i32::try_from(batch.len() - LENGTH_PREFIX).expect("add bounds the size of a batch");
        let mut attributes = options.encoding.codec.id();
        if options.transactional {
            attributes |= TRANSACTIONAL_FLAG;
        }
        if options.control {
            attributes |= CONTROL_FLAG;
        }
        let mut header = &mut batch[..HEADER_LEN];
        header.put_i64(options.base_offset.0);
        header.put_i32(length);
        header.put_i32(options.leader_epoch.0);
        header.put_i8(MAGIC);
        header.put_u32(0);
        header.put_i16(attributes);
        header.put_i32(self.records_count - 1);
        header.put_i64(self.base_timestamp);
        header.put_i64(self.max_timestamp);
        header.put_i64(options.producer_id.0);
        header.put_i16(options.producer_epoch.0);
        header.put_i32(options.base_sequence);
        header.put_i32(self.records_count);
        assert!(header.is_empty(), "the fields fill the header");
        sign(batch);
    }

    fn timestamp_delta(&self, record: &NewRecord<'_>) -> i64 {
        let base = if self.records_count == 0 { record.timestamp } else { self.base_timestamp };
        // Wrapping, as readers add it: even the most distant timestamps come back as they were.
        record.timestamp.wrapping_sub(base)
    }

    fn body_size(&self, record: &NewRecord<'_>) -> usize {
        let headers: usize = record
            .headers
            .iter()
            .map(|header| field_size(Some(&header.key)) + field_size(header.value.as_deref()))
            .sum();
        1 + varint_len(self.timestamp_delta(record))
            + varint_len(i64::from(self.records_count))
            + field_size(record.key)
            + field_size(record.value)
            + varint_len(record.headers.len() as i64)
            + headers
    }
}

fn field_size(field: Option<&[u8]>) -> usize {
    field.map_or(1, |bytes| varint_len(bytes.len() as i64) + bytes.len())
}

fn put_field(buffer: &mut BytesMut, field: Option<&[u8]>) {
    match field {
        None => put_varint(buffer, -1),
        Some(bytes) => {
            put_varint(buffer, bytes.len() as i64);
            buffer.put_slice(bytes);
        }
    }
}

fn put_varint(buffer: &mut BytesMut, value: i64) {
    let mut left = zigzag(value);
    while left >= 0x80 {
        buffer.put_u8(left as u8 | 0x80);
        left >>= 7;
    }
    buffer.put_u8(left as u8);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::batch::{Batch, BatchHeader};
    use crate::wire::records::{ControlType, Record, RecordIter};

    fn read(batch: &Bytes) -> (BatchHeader, Vec<Record>) {
        let header = BatchHeader::verify(batch).unwrap();
        let batch = Batch { header, bytes: batch.clone() };
        let mut scratch = Scratch::default();
        let records = RecordIter::new(&batch, u64::MAX, &mut scratch).unwrap().sequential();
        (header, records.map(Result::unwrap).collect())
    }

    #[test]
    fn a_batch_is_written_byte_for_byte() {
        let mut builder = BatchBuilder::new();
        let record = NewRecord { timestamp: 1000, key: Some(b"k"), value: Some(b"v"), headers: &[] };
        assert_eq!(builder.size_of(&record), 9);
        builder.add(&record);
        assert_eq!(builder.size_in_bytes(), 70);
        let batch = builder.finish(&BatchOptions::default(), &mut Scratch::default());
        let (minus_one, thousand) = ([0xff; 8], 1000i64.to_be_bytes());
        assert_eq!(batch[..17], [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 58, 0xff, 0xff, 0xff, 0xff, 2]);
        assert_eq!(batch[21..27], [0; 6]);
        assert_eq!(batch[27..43], [thousand, thousand].concat());
        assert_eq!(batch[43..57], [&minus_one[..], &minus_one[..6]].concat());
        assert_eq!(batch[57..], [0, 0, 0, 1, 16, 0, 0, 0, 2, b'k', 2, b'v', 0]);
        assert!(BatchHeader::verify(&batch).is_ok());
    }

    #[test]
    fn records_come_back_from_every_codec() {
        let headers = [
            Header { key: Bytes::from_static(b"a"), value: Some(Bytes::from_static(b"1")) },
            Header { key: Bytes::new(), value: None },
        ];
        let long = vec![b'x'; 70_000];
        let records = [
            NewRecord { timestamp: 50, key: Some(b"k"), value: Some(&long), headers: &headers },
            NewRecord { timestamp: -1, key: None, value: None, headers: &[] },
            NewRecord { timestamp: i64::MAX, key: Some(b""), value: Some(b""), headers: &[] },
            NewRecord { timestamp: i64::MIN, key: None, value: Some(b"v"), headers: &headers[..1] },
        ];
        let mut builder = BatchBuilder::new();
        for codec in Compression::ALL {
            records.iter().for_each(|record| builder.add(record));
            assert_eq!(builder.records_count(), 4);
            let options = BatchOptions {
                base_offset: Offset(40),
                encoding: codec.into(),
                producer_id: ProducerId(7),
                producer_epoch: ProducerEpoch(1),
                base_sequence: 3,
                transactional: true,
                ..BatchOptions::default()
            };
            let (header, found) = read(&builder.finish(&options, &mut Scratch::default()));
            assert_eq!(header.compression(), Ok(codec));
            assert!(header.is_transactional() && !header.is_control() && header.has_producer_id());
            assert_eq!((header.base_timestamp, header.max_timestamp), (50, i64::MAX));
            assert_eq!((header.base_sequence, header.last_sequence()), (3, 6));
            for (index, (found, record)) in found.iter().zip(&records).enumerate() {
                assert_eq!(found.offset, Offset(40 + index as i64));
                assert_eq!(found.timestamp, record.timestamp);
                assert_eq!((found.key.as_deref(), found.value.as_deref()), (record.key, record.value));
                assert_eq!(found.headers, record.headers);
            }
            assert_eq!(found.len(), 4);
        }
    }

    #[test]
    fn a_control_record_has_its_type_for_a_key() {
        let mut builder = BatchBuilder::new();
        let key = ControlType::Commit.key();
        let value = [0, 0, 0, 0, 0, 9];
        builder.add(&NewRecord { timestamp: 5, key: Some(&key), value: Some(&value), headers: &[] });
        let options = BatchOptions { control: true, transactional: true, ..BatchOptions::default() };
        let (header, records) = read(&builder.finish(&options, &mut Scratch::default()));
        assert!(header.is_control());
        assert_eq!(ControlType::parse(records[0].key.as_ref().unwrap()), Ok(Some(ControlType::Commit)));
    }

    #[test]
    fn the_buffer_is_used_again() {
        let mut builder = BatchBuilder::new();
        let value = vec![1; 10_000];
        let mut write = || {
            builder.add(&NewRecord { value: Some(&value), ..NewRecord::default() });
            builder.finish(&BatchOptions::default(), &mut Scratch::default()).as_ptr()
        };
        let first = write();
        assert_eq!(write(), first, "the first batch was dropped, so its memory is free");
    }
}
