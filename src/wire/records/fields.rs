//! The fields of a record: varints, lengths, and where their bytes come from.

use super::RecordError;

/// The fields of one record's body, wherever its bytes come from.
pub(in crate::wire) trait Fields {
    /// Bytes of the record not consumed yet.
    fn left(&self) -> usize;
    /// Consumes a byte; [`RecordError::FieldBeyondRecord`] if the record has none left.
    fn byte(&mut self) -> Result<u8, RecordError>;
    /// Consumes `count` bytes; [`RecordError::FieldBeyondRecord`] if the record has fewer left.
    fn skip(&mut self, count: usize) -> Result<(), RecordError>;

    #[inline(always)]
    fn varint(&mut self) -> Result<i32, RecordError> {
        let value = self.unsigned(5, 0x0f)? as u32;
        Ok((value >> 1) as i32 ^ -((value & 1) as i32))
    }

    #[inline(always)]
    fn varlong(&mut self) -> Result<i64, RecordError> {
        let value = self.unsigned(10, 0x01)?;
        Ok((value >> 1) as i64 ^ -((value & 1) as i64))
    }

    /// An unsigned varint of at most `bytes` bytes, the last of them at most `last`.
    fn unsigned(&mut self, bytes: u32, last: u8) -> Result<u64, RecordError> {
        unsigned_varint(|| self.byte(), bytes, last)
    }

    /// A length, -1 for none.
    #[inline]
    fn length_or_none(&mut self) -> Result<Option<usize>, RecordError> {
        match self.varint()? {
            -1 => Ok(None),
            length => usize::try_from(length).map(Some).map_err(|_| RecordError::Length(length)),
        }
    }

    /// A number of headers; each takes at least two bytes.
    #[inline]
    fn header_count(&mut self) -> Result<usize, RecordError> {
        let count = self.varint()?;
        match usize::try_from(count) {
            Ok(fitting) if fitting <= self.left() / 2 => Ok(fitting),
            _ => Err(RecordError::HeaderCount(count)),
        }
    }
}

/// A body that stands in memory.
pub(in crate::wire) struct Slice<'a>(pub(in crate::wire) &'a [u8]);

impl<'a> Slice<'a> {
    #[inline]
    pub(in crate::wire) fn take(&mut self, count: usize) -> Result<&'a [u8], RecordError> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or(RecordError::FieldBeyondRecord)?;
        self.0 = rest;
        Ok(taken)
    }
}

impl Fields for Slice<'_> {
    #[inline]
    fn left(&self) -> usize {
        self.0.len()
    }

    #[inline]
    fn byte(&mut self) -> Result<u8, RecordError> {
        let (&byte, rest) = self.0.split_first().ok_or(RecordError::FieldBeyondRecord)?;
        self.0 = rest;
        Ok(byte)
    }

    #[inline]
    fn skip(&mut self, count: usize) -> Result<(), RecordError> {
        self.take(count).map(|_| ())
    }

    /// Nearly all varints are one or two bytes. What is longer is read out of line, by value, so that the
    /// position of the walk stays in a register.
    #[inline(always)]
    fn unsigned(&mut self, bytes: u32, last: u8) -> Result<u64, RecordError> {
        match *self.0 {
            [byte @ ..0x80, ref rest @ ..] => {
                self.0 = rest;
                Ok(u64::from(byte))
            }
            [first, second @ ..0x80, ref rest @ ..] => {
                self.0 = rest;
                Ok(u64::from(first & 0x7f) | u64::from(second) << 7)
            }
            _ => {
                let (value, rest) = long_varint(Slice(self.0), bytes, last)?;
                self.0 = rest;
                Ok(value)
            }
        }
    }
}

#[inline(never)]
fn long_varint(mut from: Slice<'_>, bytes: u32, last: u8) -> Result<(u64, &[u8]), RecordError> {
    let value = unsigned_varint(|| from.byte(), bytes, last)?;
    Ok((value, from.0))
}

fn unsigned_varint(
    mut next: impl FnMut() -> Result<u8, RecordError>,
    bytes: u32,
    last: u8,
) -> Result<u64, RecordError> {
    let mut value = 0;
    for index in 0..bytes {
        let byte = next()?;
        value |= u64::from(byte & 0x7f) << (7 * index);
        if byte < 0x80 {
            let fits = index + 1 < bytes || byte <= last;
            return if fits { Ok(value) } else { Err(RecordError::Varint) };
        }
    }
    Err(RecordError::Varint)
}

/// Zigzag: small numbers of either sign become small unsigned ones.
pub(in crate::wire) fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)) as u64
}

/// The bytes that a zigzag varint or varlong takes.
pub(in crate::wire) fn varint_len(value: i64) -> usize {
    let bits = u64::BITS - zigzag(value).leading_zeros();
    (bits.div_ceil(7) as usize).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn varint(bytes: &[u8]) -> Result<i32, RecordError> {
        Slice(bytes).varint()
    }

    fn varlong(bytes: &[u8]) -> Result<i64, RecordError> {
        Slice(bytes).varlong()
    }

    #[test]
    fn varints_are_kafkas() {
        // Facts of the encoding: 0, -1, 1, -2 are 0, 1, 2, 3; seven bits a byte, the lowest first.
        for (value, bytes) in [
            (0, &[0][..]),
            (-1, &[1]),
            (1, &[2]),
            (63, &[0x7e]),
            (-64, &[0x7f]),
            (64, &[0x80, 0x01]),
            (8191, &[0xfe, 0x7f]),
            (8192, &[0x80, 0x80, 0x01]),
            (i32::MAX, &[0xfe, 0xff, 0xff, 0xff, 0x0f]),
            (i32::MIN, &[0xff, 0xff, 0xff, 0xff, 0x0f]),
        ] {
            assert_eq!(varint(bytes), Ok(value));
            assert_eq!(varlong(bytes), Ok(i64::from(value)));
            assert_eq!(varint_len(i64::from(value)), bytes.len());
        }
        let max = [0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01];
        assert_eq!(varlong(&max), Ok(i64::MAX));
        assert_eq!((varint_len(i64::MAX), varint_len(i64::MIN)), (10, 10));
    }

    #[test]
    fn varints_that_do_not_fit_or_end_are_errors() {
        assert_eq!(varint(&[0x80, 0x80, 0x80, 0x80, 0x10]), Err(RecordError::Varint));
        assert_eq!(varint(&[0xff, 0xff, 0xff, 0xff, 0x8f, 0]), Err(RecordError::Varint));
        assert_eq!(varint(&[0x80, 0x80]), Err(RecordError::FieldBeyondRecord));
        assert_eq!(varlong(&[0xff; 10]), Err(RecordError::Varint));
        assert_eq!(varlong(&[]), Err(RecordError::FieldBeyondRecord));
    }
}
