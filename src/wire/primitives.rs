//! Kafka's primitive types, read from and written to bytes.
//!
//! # Formats
//!
//! Integers are big-endian. *Classic* versions prefix strings with an `i16` length, bytes and arrays with an
//! `i32`, and write null as a negative length. *Flexible* versions (KIP-482) prefix all of them with an
//! unsigned varint of the length plus one, and write null as zero. A varint carries seven bits a byte, low
//! bits first; the signed kinds are zigzag-encoded.
//!
//! # Faults
//!
//! Everything read here may come from an enemy or a damaged disk. No input panics, and every length is
//! checked against the bytes that remain *before* anything is allocated: see [`Reader::array_length`].

use super::error::{DecodeError, EncodeError};
use crate::types::Uuid;
use bytes::Bytes;

/// The longest string that Kafka reads or writes, in bytes, in classic and flexible versions alike.
pub const STRING_BYTES_MAX: usize = 0x7fff;

/// Byte fields at least this long leave as a segment of their own instead of being copied. Below it the copy
/// is cheaper than one more entry in a vectored write.
const SEGMENT_BYTES_MIN: usize = 1024;

/// Reads values off the front of a byte string. Byte fields come out as slices that share its memory.
#[derive(Debug, Clone)]
pub struct Reader<'a> {
    source: &'a Bytes,
    rest: &'a [u8],
}

macro_rules! read_integers {
    ($($(#[$doc:meta])* $name:ident: $type:ty;)*) => {
        $(
            $(#[$doc])*
            #[inline]
            pub fn $name(&mut self) -> Result<$type, DecodeError> {
                let Some((bytes, rest)) = self.rest.split_first_chunk() else {
                    return Err(self.truncated(size_of::<$type>()));
                };
                self.rest = rest;
                Ok(<$type>::from_be_bytes(*bytes))
            }
        )*
    };
}

impl<'a> Reader<'a> {
    /// A reader of all of `source`.
    pub fn new(source: &'a Bytes) -> Self {
        Self { source, rest: source }
    }

    /// How many bytes are left.
    #[inline]
    pub fn remaining(&self) -> usize {
        self.rest.len()
    }

    /// Fails with [`DecodeError::TrailingBytes`] unless everything was read.
    pub fn finish(&self) -> Result<(), DecodeError> {
        match self.remaining() {
            0 => Ok(()),
            left => Err(DecodeError::TrailingBytes(left)),
        }
    }

    read_integers! {
        /// One signed byte.
        i8: i8;
        /// One unsigned byte.
        u8: u8;
        /// Two bytes.
        i16: i16;
        /// Two bytes, unsigned.
        u16: u16;
        /// Four bytes.
        i32: i32;
        /// Four bytes, unsigned.
        u32: u32;
        /// Eight bytes.
        i64: i64;
        /// Eight bytes, IEEE 754.
        f64: f64;
    }

    /// One byte; anything but zero is true.
    #[inline]
    pub fn bool(&mut self) -> Result<bool, DecodeError> {
        Ok(self.u8()? != 0)
    }

    /// Sixteen bytes.
    #[inline]
    pub fn uuid(&mut self) -> Result<Uuid, DecodeError> {
        let Some((bytes, rest)) = self.rest.split_first_chunk() else {
            return Err(self.truncated(16));
        };
        self.rest = rest;
        Ok(Uuid(u128::from_be_bytes(*bytes)))
    }

    /// A varint of up to five bytes. As in Kafka, bits beyond the 32nd are dropped.
    #[inline]
    pub fn unsigned_varint(&mut self) -> Result<u32, DecodeError> {
        // Nearly every varint on the wire is one byte long.
        match self.rest {
            [byte, rest @ ..] if *byte < 0x80 => {
                self.rest = rest;
                Ok(u32::from(*byte))
            }
            _ => Ok(self.long_varint(5)? as u32),
        }
    }

    /// A zigzag varint of up to five bytes.
    #[inline]
    pub fn varint(&mut self) -> Result<i32, DecodeError> {
        let raw = self.unsigned_varint()?;
        Ok(((raw >> 1) as i32) ^ -((raw & 1) as i32))
    }

    /// A zigzag varint of up to ten bytes.
    #[inline]
    pub fn varlong(&mut self) -> Result<i64, DecodeError> {
        let raw = self.long_varint(10)?;
        Ok(((raw >> 1) as i64) ^ -((raw & 1) as i64))
    }

    /// The next `length` bytes.
    #[inline]
    pub fn take(&mut self, length: usize) -> Result<&'a [u8], DecodeError> {
        let Some((taken, rest)) = self.rest.split_at_checked(length) else {
            return Err(self.truncated(length));
        };
        self.rest = rest;
        Ok(taken)
    }

    /// The next `length` bytes as a slice that shares the source's memory.
    #[inline]
    pub fn bytes(&mut self, length: usize) -> Result<Bytes, DecodeError> {
        let taken = self.take(length)?;
        Ok(self.source.slice_ref(taken))
    }

    /// The length prefix of a byte field or, in flexible versions, of anything. `None` is null.
    #[inline]
    pub(super) fn length(&mut self, flexible: bool) -> Result<Option<usize>, DecodeError> {
        if flexible {
            return Ok(self.unsigned_varint()?.checked_sub(1).map(|length| length as usize));
        }
        // Kafka takes any negative length for null.
        Ok(usize::try_from(self.i32()?).ok())
    }

    /// The length prefix of a string. `None` is null.
    #[inline]
    pub(super) fn string_length(&mut self, flexible: bool) -> Result<Option<usize>, DecodeError> {
        let length = if flexible { self.length(true)? } else { usize::try_from(self.i16()?).ok() };
        match length {
            Some(length) if length > STRING_BYTES_MAX => Err(DecodeError::StringTooLong { length }),
            length => Ok(length),
        }
    }

    /// The length prefix of an array whose elements take at least `element_bytes_min` bytes each. `None` is
    /// null.
    ///
    /// The bytes that remain must be able to hold so many elements, so the length is fit for `with_capacity`:
    /// what is allocated is bounded by what was received.
    #[inline]
    pub(super) fn array_length(
        &mut self,
        flexible: bool,
        element_bytes_min: usize,
    ) -> Result<Option<usize>, DecodeError> {
        match self.length(flexible)? {
            Some(claimed) if claimed > self.remaining() / element_bytes_min.max(1) => {
                Err(DecodeError::ArrayTooLong { claimed, remaining: self.remaining() })
            }
            length => Ok(length),
        }
    }

    /// A string of `length` bytes. As in Kafka, what is not UTF-8 becomes U+FFFD.
    pub(super) fn string(&mut self, length: usize) -> Result<String, DecodeError> {
        let bytes = self.take(length)?;
        let text = match std::str::from_utf8(bytes) {
            Ok(text) => text.to_owned(),
            Err(_) => String::from_utf8_lossy(bytes).into_owned(),
        };
        // Replacing can make it longer; whatever was decoded must be fit for an answer that repeats it.
        if text.len() > STRING_BYTES_MAX {
            return Err(DecodeError::StringTooLong { length: text.len() });
        }
        Ok(text)
    }

    /// A section of tagged fields. `known` reads the value if it knows the tag, and says whether it did.
    #[inline]
    pub(super) fn tagged_fields(
        &mut self,
        mut known: impl FnMut(u32, &mut Self) -> Result<bool, DecodeError>,
    ) -> Result<(), DecodeError> {
        for _ in 0..self.unsigned_varint()? {
            let tag = self.unsigned_varint()?;
            let size = self.unsigned_varint()? as usize;
            let mut section = Self { source: self.source, rest: self.take(size)? };
            if known(tag, &mut section)? && section.remaining() > 0 {
                return Err(DecodeError::TaggedFieldTooLong { tag, excess: section.remaining() });
            }
        }
        Ok(())
    }

    fn long_varint(&mut self, bytes_max: usize) -> Result<u64, DecodeError> {
        let mut value = 0;
        for index in 0..bytes_max {
            let byte = self.u8()?;
            value |= u64::from(byte & 0x7f) << (7 * index);
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(DecodeError::VarintTooLong { bytes_max })
    }

    #[cold]
    fn truncated(&self, needed: usize) -> DecodeError {
        DecodeError::Truncated { needed, remaining: self.rest.len() }
    }
}

/// Collects what is written: small values in one buffer, large byte fields as segments that are not copied.
#[derive(Debug, Default)]
pub struct Writer {
    buffer: Vec<u8>,
    /// Each with the position in `buffer` that it stands before; in order.
    segments: Vec<(usize, Bytes)>,
    segment_bytes: usize,
}

macro_rules! write_integers {
    ($($(#[$doc:meta])* $name:ident: $type:ty;)*) => {
        $(
            $(#[$doc])*
            #[inline]
            pub fn $name(&mut self, value: $type) {
                self.buffer.extend_from_slice(&value.to_be_bytes());
            }
        )*
    };
}

impl Writer {
    /// A writer that has written nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// A writer with room for `bytes` small bytes.
    pub fn with_capacity(bytes: usize) -> Self {
        Self { buffer: Vec::with_capacity(bytes), ..Self::default() }
    }

    /// How many bytes were written, segments included.
    pub fn len(&self) -> usize {
        self.buffer.len() + self.segment_bytes
    }

    /// Whether nothing was written.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What was written, as segments in order; none is empty.
    pub fn into_segments(self) -> Vec<Bytes> {
        let buffer = Bytes::from(self.buffer);
        let mut all = Vec::with_capacity(2 * self.segments.len() + 1);
        let mut from = 0;
        for (position, segment) in self.segments {
            if position > from {
                all.push(buffer.slice(from..position));
            }
            all.push(segment);
            from = position;
        }
        if from < buffer.len() {
            all.push(buffer.slice(from..));
        }
        all
    }

    /// What was written, in one piece. Copies if there are large segments.
    pub fn into_bytes(self) -> Bytes {
        if self.segments.is_empty() {
            return Bytes::from(self.buffer);
        }
        Bytes::from(self.into_segments().concat())
    }

    write_integers! {
        /// One signed byte.
        i8: i8;
        /// One unsigned byte.
        u8: u8;
        /// Two bytes.
        i16: i16;
        /// Two bytes, unsigned.
        u16: u16;
        /// Four bytes.
        i32: i32;
        /// Four bytes, unsigned.
        u32: u32;
        /// Eight bytes.
        i64: i64;
        /// Eight bytes, IEEE 754.
        f64: f64;
    }

    /// One byte, zero or one.
    #[inline]
    pub fn bool(&mut self, value: bool) {
        self.u8(u8::from(value));
    }

    /// Sixteen bytes.
    #[inline]
    pub fn uuid(&mut self, value: Uuid) {
        self.buffer.extend_from_slice(&value.0.to_be_bytes());
    }

    /// One to five bytes.
    #[inline]
    pub fn unsigned_varint(&mut self, value: u32) {
        self.long_varint(u64::from(value));
    }

    /// One to five bytes, zigzag.
    #[inline]
    pub fn varint(&mut self, value: i32) {
        self.unsigned_varint(((value << 1) ^ (value >> 31)) as u32);
    }

    /// One to ten bytes, zigzag.
    #[inline]
    pub fn varlong(&mut self, value: i64) {
        self.long_varint(((value << 1) ^ (value >> 63)) as u64);
    }

    /// These bytes, copied.
    #[inline]
    pub fn raw(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// These bytes, not copied if there are many.
    pub fn bytes(&mut self, bytes: &Bytes) {
        if bytes.len() < SEGMENT_BYTES_MIN {
            return self.raw(bytes);
        }
        self.segments.push((self.buffer.len(), bytes.clone()));
        self.segment_bytes += bytes.len();
    }

    /// The length prefix of a byte field or array, or of anything in flexible versions. `None` is null.
    ///
    /// # Errors
    /// [`EncodeError::TooLong`] if the prefix cannot say it.
    #[inline]
    pub(super) fn length(
        &mut self,
        length: Option<usize>,
        flexible: bool,
        kind: &'static str,
    ) -> Result<(), EncodeError> {
        let value = match length {
            None => -1,
            Some(length) => match i32::try_from(length) {
                Ok(value) if value < i32::MAX => value,
                _ => return Err(EncodeError::TooLong { kind, length }),
            },
        };
        if flexible {
            self.unsigned_varint((value + 1) as u32);
        } else {
            self.i32(value);
        }
        Ok(())
    }

    /// A string with its length prefix. `None` is null.
    ///
    /// # Errors
    /// [`EncodeError::TooLong`] beyond [`STRING_BYTES_MAX`].
    #[inline]
    pub(super) fn string(&mut self, value: Option<&str>, flexible: bool) -> Result<(), EncodeError> {
        let length = value.map(str::len);
        if let Some(length) = length.filter(|length| *length > STRING_BYTES_MAX) {
            return Err(EncodeError::TooLong { kind: "string", length });
        }
        if flexible {
            self.length(length, true, "string")?;
        } else {
            self.i16(length.map_or(-1, |length| length as i16));
        }
        self.raw(value.unwrap_or_default().as_bytes());
        Ok(())
    }

    /// What `body` writes, with its size before it as an unsigned varint.
    pub(super) fn sized<E>(&mut self, body: impl FnOnce(&mut Self) -> Result<(), E>) -> Result<(), E> {
        let (start, before) = (self.buffer.len(), self.len());
        let first_segment = self.segments.len();
        body(self)?;
        // The size is known only now: it is written behind the value and rotated before it.
        let (size, end) = (self.len() - before, self.buffer.len());
        self.long_varint(size as u64);
        let prefix = self.buffer.len() - end;
        self.buffer[start..].rotate_right(prefix);
        for (position, _) in &mut self.segments[first_segment..] {
            *position += prefix;
        }
        Ok(())
    }

    /// Overwrites four bytes that were written at `position`, before the first large segment.
    pub(super) fn overwrite_i32(&mut self, position: usize, value: i32) {
        self.buffer[position..position + 4].copy_from_slice(&value.to_be_bytes());
    }

    fn long_varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.buffer.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.buffer.push(value as u8);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read<T>(bytes: &[u8], read: impl FnOnce(&mut Reader<'_>) -> T) -> T {
        read(&mut Reader::new(&Bytes::copy_from_slice(bytes)))
    }

    fn written(write: impl FnOnce(&mut Writer)) -> Bytes {
        let mut writer = Writer::new();
        write(&mut writer);
        writer.into_bytes()
    }

    #[test]
    fn varints_are_kafkas() {
        // Vectors from the definition: zigzag interleaves signs, seven bits a byte, low bits first.
        for (value, bytes) in [
            (0, &[0x00][..]),
            (-1, &[0x01]),
            (1, &[0x02]),
            (63, &[0x7e]),
            (-64, &[0x7f]),
            (64, &[0x80, 0x01]),
            (i32::MAX, &[0xfe, 0xff, 0xff, 0xff, 0x0f]),
            (i32::MIN, &[0xff, 0xff, 0xff, 0xff, 0x0f]),
        ] {
            assert_eq!(written(|w| w.varint(value)), bytes);
            assert_eq!(read(bytes, |r| r.varint()), Ok(value));
            assert_eq!(written(|w| w.varlong(value.into())), bytes);
            assert_eq!(read(bytes, |r| r.varlong()), Ok(value.into()));
        }
        for (value, bytes) in [
            (i64::MAX, b"\xfe\xff\xff\xff\xff\xff\xff\xff\xff\x01"),
            (i64::MIN, b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"),
        ] {
            assert_eq!(written(|w| w.varlong(value)), &bytes[..]);
            assert_eq!(read(bytes, |r| r.varlong()), Ok(value));
        }
        for (value, bytes) in
            [(127, &[0x7f][..]), (300, &[0xac, 0x02]), (u32::MAX, &[0xff, 0xff, 0xff, 0xff, 0x0f])]
        {
            assert_eq!(written(|w| w.unsigned_varint(value)), bytes);
            assert_eq!(read(bytes, |r| r.unsigned_varint()), Ok(value));
        }
    }

    #[test]
    fn varints_that_do_not_end_are_refused() {
        assert_eq!(
            read(&[0x80; 6], |r| r.unsigned_varint()),
            Err(DecodeError::VarintTooLong { bytes_max: 5 })
        );
        assert_eq!(read(&[0x80; 11], |r| r.varlong()), Err(DecodeError::VarintTooLong { bytes_max: 10 }));
        assert_eq!(read(&[0x80; 2], |r| r.varint()), Err(DecodeError::Truncated { needed: 1, remaining: 0 }));
    }

    #[test]
    fn numbers_are_big_endian() {
        let bytes = written(|w| {
            w.i8(-2);
            w.u8(200);
            w.i16(-3);
            w.u16(65_000);
            w.i32(-4);
            w.u32(4_000_000_000);
            w.i64(-5);
            w.f64(1.5);
            w.bool(true);
            w.uuid(Uuid(0x0102));
        });
        assert_eq!(&bytes[..4], [0xfe, 200, 0xff, 0xfd]);
        assert_eq!(&bytes[30..], [&[1][..], &[0; 14], &[1, 2]].concat());
        let mut reader = Reader::new(&bytes);
        assert_eq!((reader.i8(), reader.u8()), (Ok(-2), Ok(200)));
        assert_eq!((reader.i16(), reader.u16()), (Ok(-3), Ok(65_000)));
        assert_eq!((reader.i32(), reader.u32()), (Ok(-4), Ok(4_000_000_000)));
        assert_eq!((reader.i64(), reader.f64()), (Ok(-5), Ok(1.5)));
        assert_eq!((reader.bool(), reader.uuid()), (Ok(true), Ok(Uuid(0x0102))));
        assert_eq!(reader.i16(), Err(DecodeError::Truncated { needed: 2, remaining: 0 }));
    }

    #[test]
    fn an_array_may_not_claim_more_than_the_bytes_can_hold() {
        let claim = [0x7f, 0xff, 0xff, 0xff, 0, 0];
        assert_eq!(
            read(&claim, |r| r.array_length(false, 2)),
            Err(DecodeError::ArrayTooLong { claimed: 0x7fff_ffff, remaining: 2 })
        );
        assert_eq!(read(&[0, 0, 0, 1, 0, 0], |r| r.array_length(false, 2)), Ok(Some(1)));
        assert_eq!(read(&[3, 0, 0], |r| r.array_length(true, 0)), Ok(Some(2)), "an element takes a byte");
        assert_eq!(read(&[0xff; 4], |r| r.array_length(false, 1)), Ok(None));
    }

    #[test]
    fn text_that_is_not_utf8_is_repaired_within_the_limit() {
        assert_eq!(read(b"a\xffb", |r| r.string(3)), Ok("a\u{fffd}b".into()));
        let bad = vec![0xff; STRING_BYTES_MAX];
        let length = 3 * STRING_BYTES_MAX;
        assert_eq!(read(&bad, |r| r.string(bad.len())), Err(DecodeError::StringTooLong { length }));
        assert_eq!(
            read(&[0x81, 0x80, 0x02], |r| r.string_length(true)),
            Err(DecodeError::StringTooLong { length: 0x8000 })
        );
    }

    #[test]
    fn large_byte_fields_are_neither_copied_in_nor_out() {
        let payload = Bytes::from(vec![7; SEGMENT_BYTES_MIN]);
        let mut writer = Writer::new();
        writer.u8(1);
        writer.bytes(&payload);
        writer.bytes(&payload);
        writer.bytes(&payload.slice(..3));
        assert_eq!(writer.len(), 1 + 2 * SEGMENT_BYTES_MIN + 3);
        let segments = writer.into_segments();
        assert_eq!(segments.iter().map(Bytes::len).collect::<Vec<_>>(), [1, 1024, 1024, 3]);
        assert_eq!(segments[1].as_ptr(), payload.as_ptr());
        let out = Reader::new(&payload).bytes(10).unwrap();
        assert_eq!(out.as_ptr(), payload.as_ptr());
    }

    #[test]
    fn sizes_stand_before_what_they_measure() {
        let payload = Bytes::from(vec![7; SEGMENT_BYTES_MIN]);
        let bytes = written(|w| {
            w.u8(9);
            w.bytes(&payload);
            w.sized(|w| -> Result<(), EncodeError> {
                w.raw(b"ab");
                w.bytes(&payload);
                w.raw(b"c");
                Ok(())
            })
            .unwrap();
        });
        let expected = [&[9][..], &payload, &[0x83, 0x08], b"ab", &payload, b"c"].concat();
        assert_eq!(bytes, expected);
    }
}
