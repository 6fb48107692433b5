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

use crate::types::Uuid;
use bytes::Bytes;

/// The longest string that Kafka reads or writes, in bytes, in classic and flexible versions alike.
pub const STRING_BYTES_MAX: usize = 0x7fff;

/// Byte fields at least this long leave as a segment of their own instead of being copied. Below it the copy
/// is cheaper than one more entry in a vectored write.
const SEGMENT_BYTES_MIN: usize = 1024;

/// Why bytes could not be decoded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The bytes end before the value does.
    #[error("{needed} bytes needed, {remaining} remain")]
    Truncated {
        /// Bytes that the value takes.
        needed: usize,
        /// Bytes that are left.
        remaining: usize,
    },
    /// An array claims more elements than the rest of the bytes can hold.
    #[error("an array claims {claimed} elements, but only {remaining} bytes remain")]
    ArrayTooLong {
        /// Elements claimed.
        claimed: usize,
        /// Bytes that are left.
        remaining: usize,
    },
    /// A string is longer than [`STRING_BYTES_MAX`].
    #[error("a string of {length} bytes exceeds {STRING_BYTES_MAX}")]
    StringTooLong {
        /// The string's length, in bytes.
        length: usize,
    },
    /// A varint goes on past the bytes that its type allows.
    #[error("a varint does not end within {bytes_max} bytes")]
    VarintTooLong {
        /// The greatest encoded length of the type.
        bytes_max: usize,
    },
    /// Null stands where the version allows none.
    #[error("{field} must not be null in version {version}")]
    UnexpectedNull {
        /// The field, or the kind of value where the field is not known.
        field: &'static str,
        /// The message's version.
        version: i16,
    },
    /// A tagged field's value is shorter than the size that stands before it.
    #[error("tagged field {tag} leaves {excess} of its bytes unread")]
    TaggedFieldTooLong {
        /// The field's tag.
        tag: u32,
        /// Bytes that the value did not take.
        excess: usize,
    },
    /// The message exists, but not in this version.
    #[error("{message} has no version {version}")]
    UnsupportedVersion {
        /// The message's name in Kafka's schema.
        message: &'static str,
        /// The version asked for.
        version: i16,
    },
    /// A request header names an API that Kafka does not have.
    #[error("unknown API key {0}")]
    UnknownApiKey(i16),
    /// A metadata or control record has a type that is not known here.
    #[error("unknown {kind} record type {code}")]
    UnknownRecord {
        /// "metadata" or "control".
        kind: &'static str,
        /// The type's number.
        code: i64,
    },
    /// A metadata record stands in a frame of another version than 1.
    #[error("unknown metadata frame version {0}")]
    UnknownFrameVersion(u32),
    /// Bytes are left after a value that should have taken them all.
    #[error("{0} bytes are left over")]
    TrailingBytes(usize),
}

/// Why a message could not be encoded: it says something that the version cannot express.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EncodeError {
    /// A field has a value, and the version has no such field.
    #[error("{message}.{field} is set, but version {version} has no such field")]
    NotInVersion {
        /// The structure's name in Kafka's schema.
        message: &'static str,
        /// The field's name.
        field: &'static str,
        /// The version asked for.
        version: i16,
    },
    /// A field is null, and the version does not allow that.
    #[error("{message}.{field} must not be null in version {version}")]
    UnexpectedNull {
        /// The structure's name in Kafka's schema.
        message: &'static str,
        /// The field's name.
        field: &'static str,
        /// The version asked for.
        version: i16,
    },
    /// A string, byte field, array or frame is longer than its length prefix can say.
    #[error("a {kind} of length {length} is too long")]
    TooLong {
        /// What is too long.
        kind: &'static str,
        /// Its length in bytes, or in elements for an array.
        length: usize,
    },
    /// The message exists, but not in this version.
    #[error("{message} has no version {version}")]
    UnsupportedVersion {
        /// The message's name in Kafka's schema.
        message: &'static str,
        /// The version asked for.
        version: i16,
    },
}

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
