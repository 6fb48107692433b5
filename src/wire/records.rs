//! The records inside a batch.
//!
//! ```text
//! length varint | attributes i8 | timestamp delta varlong | offset delta varint
//!   | key length varint, -1 for none | key | value length varint, -1 for none | value
//!   | headers varint | (key length varint | key | value length varint, -1 for none | value)*
//! ```
//!
//! Varints are zigzag-encoded; the length counts what follows it. Deltas are from the batch's base offset and
//! base timestamp; with LogAppendTime every record has the batch's max timestamp instead.
//!
//! Faults: every length may lie. A record is taken apart only within its own length, and that length only
//! within the bytes that are there: nothing is set aside for a length whose bytes have not come. Each record
//! must fill its length, the records must fill the payload, and their offsets must rise.

mod fields;

use bytes::{Buf, Bytes, BytesMut};
use thiserror::Error;

pub(super) use self::fields::{Fields, Slice, varint_len, zigzag};
use crate::types::Offset;
use crate::wire::batch::{Batch, BatchError, BatchHeader, HEADER_LEN, TimestampType};
use crate::wire::compression::{Compression, DecompressError, Decompressor, Scratch};

/// A record as a consumer sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Its offset in the partition.
    pub offset: Offset,
    /// Milliseconds since the Unix epoch, or -1 for none.
    pub timestamp: i64,
    /// Its key.
    pub key: Option<Bytes>,
    /// Its value; none is a tombstone where the topic is compacted.
    pub value: Option<Bytes>,
    /// Its headers in the order written; keys may repeat.
    pub headers: Vec<Header>,
}

/// A header of a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// The key: UTF-8 by convention, which no broker checks.
    pub key: Bytes,
    /// The value.
    pub value: Option<Bytes>,
}

/// What a control record says, by the last two bytes of its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(i16)]
pub enum ControlType {
    /// A transaction was aborted.
    Abort = 0,
    /// A transaction was committed.
    Commit = 1,
    /// A quorum elected a leader.
    LeaderChange = 2,
    /// A snapshot begins.
    SnapshotHeader = 3,
    /// A snapshot ends.
    SnapshotFooter = 4,
    /// The `kraft.version` from here on.
    KraftVersion = 5,
    /// The voters from here on.
    KraftVoters = 6,
}

impl ControlType {
    const ALL: [Self; 7] = [
        Self::Abort,
        Self::Commit,
        Self::LeaderChange,
        Self::SnapshotHeader,
        Self::SnapshotFooter,
        Self::KraftVersion,
        Self::KraftVoters,
    ];

    /// The key of a control record of this type: version 0, then the type.
    pub fn key(self) -> [u8; 4] {
        let [high, low] = (self as i16).to_be_bytes();
        [0, 0, high, low]
    }

    /// Reads the key of a control record. `Ok(None)` is a type that is not known yet, to be skipped; later
    /// versions of the key begin as version 0 does.
    ///
    /// # Errors
    ///
    /// [`RecordError::ControlKey`] for a key that is too short or has a negative version.
    pub fn parse(key: &[u8]) -> Result<Option<Self>, RecordError> {
        let Some(&[v0, v1, t0, t1]) = key.first_chunk() else {
            return Err(RecordError::ControlKey);
        };
        if i16::from_be_bytes([v0, v1]) < 0 {
            return Err(RecordError::ControlKey);
        }
        let number = i16::from_be_bytes([t0, t1]);
        Ok(Self::ALL.into_iter().find(|&known| known as i16 == number))
    }
}

/// The records of one batch, one after the other. After an error nothing more comes.
///
/// An uncompressed batch is sliced, not copied. A compressed one is decompressed as the iterator goes, and
/// its records share buffers of some KiB.
pub struct RecordIter<'a> {
    header: BatchHeader,
    source: Source<'a>,
    records_left: i32,
    /// The smallest offset delta that may come next.
    next_delta: i64,
    sequential: bool,
    done: bool,
}

enum Source<'a> {
    /// The batch's bytes, and of those the records not read yet.
    Plain(&'a Bytes, &'a [u8]),
    Compressed(Compressed<'a>),
}

impl<'a> RecordIter<'a> {
    /// The records of `batch`, whose CRC the caller has checked. `limit` bounds, in bytes, what a compressed
    /// batch may expand to.
    ///
    /// # Errors
    ///
    /// An unknown codec, and a payload that does not begin as its codec's payloads do.
    pub fn new(batch: &'a Batch, limit: u64, scratch: &'a mut Scratch) -> Result<Self, RecordError> {
        let codec = batch.header.compression()?;
        let source = if codec == Compression::None || batch.header.records_count == 0 {
            Source::Plain(&batch.bytes, &batch.bytes[HEADER_LEN..])
        } else {
            let payload = &batch.bytes[HEADER_LEN..];
            let stream = Decompressor::new(codec, payload, limit, &mut scratch.decoding)?;
            Source::Compressed(Compressed { stream, ready: BytesMut::new(), ended: false })
        };
        Ok(Self {
            header: batch.header,
            source,
            records_left: batch.header.records_count,
            next_delta: 0,
            sequential: false,
            done: false,
        })
    }

    /// Asks for offsets without gaps: the log of a topic that is not compacted.
    #[must_use]
    pub fn sequential(mut self) -> Self {
        self.sequential = true;
        self
    }

    fn advance(&mut self) -> Result<Option<Record>, RecordError> {
        if self.records_left <= 0 {
            if self.records_left < 0 {
                return Err(RecordError::RecordCount);
            }
            let ended = match &mut self.source {
                Source::Plain(_, rest) => rest.is_empty(),
                Source::Compressed(source) => source.at_end()?,
            };
            return if ended { Ok(None) } else { Err(RecordError::BytesLeft) };
        }
        let parsed = match &mut self.source {
            Source::Plain(whole, rest) => {
                let length = next_length(rest)?.ok_or(RecordError::Truncated)?;
                let record = rest.get(..length.total()).ok_or(RecordError::Truncated)?;
                *rest = &rest[record.len()..];
                Parsed::parse(whole, &record[length.prefix..])?
            }
            Source::Compressed(source) => {
                let body = source.next_body()?;
                Parsed::parse(&body, &body)?
            }
        };
        self.records_left -= 1;
        self.placed(parsed).map(Some)
    }

    /// The record at its place in the partition.
    fn placed(&mut self, parsed: Parsed) -> Result<Record, RecordError> {
        let delta = i64::from(parsed.offset_delta);
        let gap = delta != self.next_delta;
        if delta < self.next_delta
            || delta > i64::from(self.header.last_offset_delta)
            || (gap && self.sequential)
        {
            return Err(RecordError::OffsetDelta { found: parsed.offset_delta, expected: self.next_delta });
        }
        self.next_delta = delta + 1;
        let timestamp = match self.header.timestamp_type() {
            TimestampType::CreateTime => self.header.base_timestamp.wrapping_add(parsed.timestamp_delta),
            TimestampType::LogAppendTime => self.header.max_timestamp,
        };
        Ok(Record {
            offset: Offset(self.header.base_offset.0.saturating_add(delta)),
            timestamp,
            key: parsed.key,
            value: parsed.value,
            headers: parsed.headers,
        })
    }
}

impl Iterator for RecordIter<'_> {
    type Item = Result<Record, RecordError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.done {
            return None;
        }
        let outcome = self.advance().transpose();
        self.done = !matches!(outcome, Some(Ok(_)));
        outcome
    }
}

/// Why the records of a batch cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum RecordError {
    /// The bytes end inside a record.
    #[error("the records end early")]
    Truncated,
    /// A varint that is longer than its type, or has bits beyond it.
    #[error("a record has a malformed varint")]
    Varint,
    /// A length below zero, or below -1 where -1 means none.
    #[error("a record has an invalid length {0}")]
    Length(i32),
    /// A field reaches beyond the record's own length.
    #[error("a record's fields are longer than the record")]
    FieldBeyondRecord,
    /// The fields end before the record's own length.
    #[error("{0} bytes are left over in a record")]
    RecordBytesLeft(usize),
    /// A number of headers that is negative, or more than the record's bytes can hold.
    #[error("a record has an invalid number of headers {0}")]
    HeaderCount(i32),
    /// An offset that does not follow its predecessor's.
    #[error("a record has offset delta {found} where {expected} should follow")]
    OffsetDelta {
        /// The delta found.
        found: i32,
        /// The smallest that may stand there.
        expected: i64,
    },
    /// Bytes follow the last record.
    #[error("bytes are left over after the last record")]
    BytesLeft,
    /// The batch claims fewer than no records.
    #[error("the batch has a negative number of records")]
    RecordCount,
    /// The key of a control record is malformed.
    #[error("a control record has a malformed key")]
    ControlKey,
    /// The batch's own header.
    #[error(transparent)]
    Batch(#[from] BatchError),
    /// The codec.
    #[error(transparent)]
    Decompress(#[from] DecompressError),
}

/// A compressed payload and what of it was decompressed but not consumed.
struct Compressed<'a> {
    stream: Decompressor<'a>,
    ready: BytesMut,
    ended: bool,
}

impl Compressed<'_> {
    /// Bytes decompressed at a time.
    const STEP: usize = 16 * 1024;

    fn next_body(&mut self) -> Result<Bytes, RecordError> {
        loop {
            if let Some(length) = next_length(&self.ready)?
                && length.total() <= self.ready.len()
            {
                self.ready.advance(length.prefix);
                return Ok(self.ready.split_to(length.body).freeze());
            }
            if self.ended {
                return Err(RecordError::Truncated);
            }
            self.fill()?;
        }
    }

    fn at_end(&mut self) -> Result<bool, RecordError> {
        while self.ready.is_empty() && !self.ended {
            self.fill()?;
        }
        Ok(self.ready.is_empty())
    }

    fn fill(&mut self) -> Result<(), RecordError> {
        let start = self.ready.len();
        self.ready.resize(start + Self::STEP, 0);
        let count = self.stream.read(&mut self.ready[start..])?;
        self.ready.truncate(start + count);
        self.ended = count == 0;
        Ok(())
    }
}

/// A record's length field: its own size and what it says.
struct Length {
    prefix: usize,
    body: usize,
}

impl Length {
    fn total(&self) -> usize {
        self.prefix + self.body
    }
}

/// Reads the length at the front of `bytes`; none if they end inside it.
fn next_length(bytes: &[u8]) -> Result<Option<Length>, RecordError> {
    let mut rest = Slice(bytes);
    match rest.varint() {
        Ok(length) => {
            let body = usize::try_from(length).map_err(|_| RecordError::Length(length))?;
            Ok(Some(Length { prefix: bytes.len() - rest.0.len(), body }))
        }
        Err(RecordError::FieldBeyondRecord) => Ok(None),
        Err(error) => Err(error),
    }
}

/// A record's body, taken apart into slices of it.
struct Parsed {
    timestamp_delta: i64,
    offset_delta: i32,
    key: Option<Bytes>,
    value: Option<Bytes>,
    headers: Vec<Header>,
}

impl Parsed {
    /// `body` is part of `whole`, and the fields become slices of that.
    fn parse(whole: &Bytes, body: &[u8]) -> Result<Self, RecordError> {
        let mut rest = Slice(body);
        let field = |rest: &mut Slice<'_>| -> Result<Option<Bytes>, RecordError> {
            let length = rest.length_or_none()?;
            length.map(|length| Ok(whole.slice_ref(rest.take(length)?))).transpose()
        };
        rest.byte()?;
        let timestamp_delta = rest.varlong()?;
        let offset_delta = rest.varint()?;
        let key = field(&mut rest)?;
        let value = field(&mut rest)?;
        let count = rest.header_count()?;
        let mut headers = Vec::new();
        for _ in 0..count {
            let key = field(&mut rest)?.ok_or(RecordError::Length(-1))?;
            headers.push(Header { key, value: field(&mut rest)? });
        }
        match rest.left() {
            0 => Ok(Self { timestamp_delta, offset_delta, key, value, headers }),
            left => Err(RecordError::RecordBytesLeft(left)),
        }
    }
}

/// What a validator wants to know of a record: everything but its content.
pub(super) struct Outline {
    pub(super) timestamp_delta: i64,
    pub(super) offset_delta: i32,
    pub(super) has_key: bool,
}

/// Walks over a record's body, as strictly as reading it does.
#[inline(always)]
pub(super) fn outline<F: Fields>(body: &mut F) -> Result<Outline, RecordError> {
    body.byte()?;
    let timestamp_delta = body.varlong()?;
    let offset_delta = body.varint()?;
    let key = body.length_or_none()?;
    body.skip(key.unwrap_or(0))?;
    let value = body.length_or_none()?;
    body.skip(value.unwrap_or(0))?;
    for _ in 0..body.header_count()? {
        let key = body.length_or_none()?.ok_or(RecordError::Length(-1))?;
        body.skip(key)?;
        let value = body.length_or_none()?;
        body.skip(value.unwrap_or(0))?;
    }
    match body.left() {
        0 => Ok(Outline { timestamp_delta, offset_delta, has_key: key.is_some() }),
        left => Err(RecordError::RecordBytesLeft(left)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Key "k", no value, headers "h" = "v" and "n" = none; timestamp delta 5, offset delta 1.
    const BODY: [u8; 16] = [0, 10, 2, 2, b'k', 1, 4, 2, b'h', 2, b'v', 2, b'n', 1, 0, 0];
    const BODY_LEN: usize = 14;

    #[test]
    fn a_body_is_taken_apart() {
        let body = Bytes::copy_from_slice(&BODY[..BODY_LEN]);
        let parsed = Parsed::parse(&body, &body).unwrap();
        assert_eq!((parsed.timestamp_delta, parsed.offset_delta), (5, 1));
        assert_eq!((parsed.key, parsed.value), (Some(Bytes::from_static(b"k")), None));
        let header = |key, value: Option<&'static [u8]>| Header {
            key: Bytes::from_static(key),
            value: value.map(Bytes::from_static),
        };
        assert_eq!(parsed.headers, [header(b"h", Some(b"v")), header(b"n", None)]);
        let outline = outline(&mut Slice(&body)).unwrap();
        assert_eq!((outline.timestamp_delta, outline.offset_delta, outline.has_key), (5, 1, true));
    }

    #[test]
    fn both_readers_refuse_the_same_bodies() {
        let both = |body: &[u8]| {
            let whole = Bytes::copy_from_slice(body);
            let parsed = Parsed::parse(&whole, &whole).map(|_| ());
            assert_eq!(parsed, outline(&mut Slice(body)).map(|_| ()), "{body:?}");
            parsed
        };
        for end in 0..BODY_LEN {
            assert!(both(&BODY[..end]).is_err());
        }
        assert_eq!(both(&BODY[..BODY_LEN + 1]), Err(RecordError::RecordBytesLeft(1)));
        let with = |at: usize, byte: u8| {
            let mut body = BODY[..BODY_LEN].to_vec();
            body[at] = byte;
            both(&body)
        };
        assert_eq!(with(3, 3), Err(RecordError::Length(-2)), "key length");
        assert_eq!(with(3, 100), Err(RecordError::FieldBeyondRecord), "key length");
        assert_eq!(with(5, 3), Err(RecordError::Length(-2)), "value length");
        assert_eq!(with(6, 1), Err(RecordError::HeaderCount(-1)));
        assert_eq!(with(6, 8), Err(RecordError::HeaderCount(4)));
        assert_eq!(with(7, 1), Err(RecordError::Length(-1)), "header key length");
        assert_eq!(with(9, 3), Err(RecordError::Length(-2)), "header value length");
        assert_eq!(with(6, 2), Err(RecordError::RecordBytesLeft(3)), "one header only");
    }

    #[test]
    fn control_keys_are_versioned() {
        assert_eq!(ControlType::LeaderChange.key(), [0, 0, 0, 2]);
        for known in ControlType::ALL {
            assert_eq!(ControlType::parse(&known.key()), Ok(Some(known)));
        }
        assert_eq!(ControlType::parse(&[0, 9, 0, 1, 7]), Ok(Some(ControlType::Commit)));
        assert_eq!(ControlType::parse(&[0, 0, 0, 7]), Ok(None));
        assert_eq!(ControlType::parse(&[0, 0, 0]), Err(RecordError::ControlKey));
        assert_eq!(ControlType::parse(&[0xff, 0xff, 0, 1]), Err(RecordError::ControlKey));
    }
}
