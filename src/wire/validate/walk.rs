//! The walk over a batch's records: straight over their bytes, or through the decompressor's buffer.

use crate::wire::batch::BatchHeader;
use crate::wire::compression::{Compression, Decompressor, Scratch};
use crate::wire::records::{Fields, Outline, RecordError, Slice, outline};

use super::{Fault, MAX_RECORD_FAULTS, NO_TIMESTAMP, Reason, RecordFault, Rejected, Rules, TimestampType};

/// What the records say together.
pub(super) struct Found {
    pub(super) max_timestamp: i64,
    pub(super) max_timestamp_delta: i32,
}

/// Checks every record of a batch whose header was checked.
pub(super) fn records(
    header: &BatchHeader,
    codec: Compression,
    payload: &[u8],
    rules: &Rules,
    scratch: &mut Scratch,
) -> Result<Found, Rejected> {
    let mut walk = Walk::new(header, rules);
    if codec == Compression::None {
        let mut rest = Slice(payload);
        for index in 0..header.records_count {
            let read = next_in_memory(&mut rest);
            walk.check(index, read)?;
        }
        walk.end(rest.left() == 0)
    } else {
        let chunk = Scratch::sized_chunk(&mut scratch.chunk);
        let reader = Decompressor::new(codec, payload, rules.max_decompressed_bytes, &mut scratch.decoding)
            .map_err(Reason::Decompress)?;
        let mut stream = Stream { reader, chunk, at: 0, end: 0 };
        for index in 0..header.records_count {
            let read = next_in_stream(&mut stream);
            walk.check(index, read)?;
        }
        let ended = stream.at_end().map_err(|error| walk.unreadable(header.records_count, error))?;
        walk.end(ended)
    }
}

#[inline]
fn next_in_memory(rest: &mut Slice<'_>) -> Result<Outline, RecordError> {
    let length = rest.varint().map_err(beyond_is_the_end)?;
    let length = usize::try_from(length).map_err(|_| RecordError::Length(length))?;
    let body = rest.take(length).map_err(beyond_is_the_end)?;
    outline(&mut Slice(body))
}

fn next_in_stream(stream: &mut Stream<'_, '_>) -> Result<Outline, RecordError> {
    let length = Body { stream, left: usize::MAX }.varint()?;
    let left = usize::try_from(length).map_err(|_| RecordError::Length(length))?;
    let ready = &stream.chunk[stream.at..stream.end];
    if let Some(body) = ready.get(..left) {
        stream.at += left;
        return outline(&mut Slice(body));
    }
    outline(&mut Body { stream, left })
}

/// Between records there is no record whose length could be exceeded.
fn beyond_is_the_end(error: RecordError) -> RecordError {
    match error {
        RecordError::FieldBeyondRecord => RecordError::Truncated,
        other => other,
    }
}

/// The rules, and what was found so far.
struct Walk<'a> {
    rules: &'a Rules,
    records_count: i32,
    base_timestamp: i64,
    /// The bounds of timestamps; everything where the broker sets them.
    earliest: i64,
    latest: i64,
    max_timestamp: i64,
    max_timestamp_delta: i32,
    faults: Vec<RecordFault>,
    fault_count: i32,
    wrong_timestamps: bool,
}

impl<'a> Walk<'a> {
    fn new(header: &BatchHeader, rules: &'a Rules) -> Self {
        let (earliest, latest) = match rules.timestamp_type {
            TimestampType::CreateTime => (
                rules.now.0.saturating_sub(rules.before_max_ms),
                rules.now.0.saturating_add(rules.after_max_ms),
            ),
            TimestampType::LogAppendTime => (i64::MIN, i64::MAX),
        };
        Self {
            rules,
            records_count: header.records_count,
            base_timestamp: header.base_timestamp,
            earliest,
            latest,
            max_timestamp: NO_TIMESTAMP,
            max_timestamp_delta: 0,
            faults: Vec::new(),
            fault_count: 0,
            wrong_timestamps: false,
        }
    }

    #[inline]
    fn check(&mut self, index: i32, read: Result<Outline, RecordError>) -> Result<(), Rejected> {
        let record = match read {
            Ok(record) if record.offset_delta == index => record,
            Ok(Outline { offset_delta: found, .. }) => {
                let expected = i64::from(index);
                return Err(self.unreadable(index, RecordError::OffsetDelta { found, expected }));
            }
            Err(error) => return Err(self.unreadable(index, error)),
        };
        let timestamp = self.base_timestamp.wrapping_add(record.timestamp_delta);
        // Selected rather than branched to: timestamps rise now and then.
        let later = timestamp > self.max_timestamp;
        self.max_timestamp = if later { timestamp } else { self.max_timestamp };
        self.max_timestamp_delta = if later { index } else { self.max_timestamp_delta };
        if self.rules.compacted && !record.has_key {
            self.fault(index, Fault::NoKey);
        } else if (timestamp < self.earliest || timestamp > self.latest) && timestamp != NO_TIMESTAMP {
            self.wrong_timestamps = true;
            let (earliest, latest) = (self.earliest, self.latest);
            self.fault(index, Fault::Timestamp { timestamp, earliest, latest });
        }
        Ok(())
    }

    #[cold]
    fn fault(&mut self, batch_index: i32, fault: Fault) {
        self.fault_count += 1;
        if self.faults.len() < MAX_RECORD_FAULTS {
            self.faults.push(RecordFault { batch_index, fault });
        }
    }

    #[cold]
    fn unreadable(&self, batch_index: i32, error: RecordError) -> Rejected {
        match error {
            RecordError::Decompress(error) => Reason::Decompress(error).into(),
            error => Reason::Record { batch_index, error }.into(),
        }
    }

    fn end(self, nothing_left: bool) -> Result<Found, Rejected> {
        if !nothing_left {
            return Err(self.unreadable(self.records_count, RecordError::BytesLeft));
        }
        match self.faults.first() {
            None => {
                Ok(Found { max_timestamp: self.max_timestamp, max_timestamp_delta: self.max_timestamp_delta })
            }
            Some(&RecordFault { batch_index, fault }) => {
                let (count, timestamps) = (self.fault_count, self.wrong_timestamps);
                let reason = Reason::Faults { count, batch_index, fault, timestamps };
                Err(Rejected { reason, records: self.faults })
            }
        }
    }
}

/// A decompressor and the part of its output that was not looked at.
struct Stream<'s, 'd> {
    reader: Decompressor<'d>,
    chunk: &'s mut [u8],
    at: usize,
    end: usize,
}

impl Stream<'_, '_> {
    /// Makes sure that there is a byte to look at, unless the payload has ended.
    #[inline]
    fn at_end(&mut self) -> Result<bool, RecordError> {
        if self.at == self.end {
            self.end = self.reader.read(self.chunk)?;
            self.at = 0;
        }
        Ok(self.end == 0)
    }
}

/// One record in a stream.
struct Body<'b, 's, 'd> {
    stream: &'b mut Stream<'s, 'd>,
    left: usize,
}

impl Fields for Body<'_, '_, '_> {
    #[inline]
    fn left(&self) -> usize {
        self.left
    }

    #[inline]
    fn byte(&mut self) -> Result<u8, RecordError> {
        self.left = self.left.checked_sub(1).ok_or(RecordError::FieldBeyondRecord)?;
        if self.stream.at_end()? {
            return Err(RecordError::Truncated);
        }
        let byte = self.stream.chunk[self.stream.at];
        self.stream.at += 1;
        Ok(byte)
    }

    #[inline]
    fn skip(&mut self, count: usize) -> Result<(), RecordError> {
        self.left = self.left.checked_sub(count).ok_or(RecordError::FieldBeyondRecord)?;
        let mut count = count;
        while count > 0 {
            if self.stream.at_end()? {
                return Err(RecordError::Truncated);
            }
            let step = count.min(self.stream.end - self.stream.at);
            self.stream.at += step;
            count -= step;
        }
        Ok(())
    }
}
