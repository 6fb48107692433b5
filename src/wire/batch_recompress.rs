//! Another codec for a batch, for topics whose `compression.type` asks for it.
//!
//! Only the codec changes: records hold distances from the header's base offset and timestamp, so their bytes
//! stay as they are and pass through in pieces.

use bytes::Bytes;
use thiserror::Error;

use crate::wire::batch::{
    ATTRIBUTES_AT, BatchError, BatchHeader, COMPRESSION_MASK, HEADER_LEN, LENGTH_AT, LENGTH_PREFIX, sign,
};
use crate::wire::compression::{Compressor, DecompressError, Decompressor, Encoding, Scratch};

/// The same records, compressed with `encoding`, signed anew. `batch` is one whole batch whose CRC the caller
/// has checked. At most `max_decompressed` bytes of records are accepted, and a result of `max_size` bytes.
///
/// # Errors
///
/// See [`RecompressError`].
///
/// # Panics
///
/// If the level of the encoding does not exist.
pub fn recompress(
    batch: &[u8],
    encoding: Encoding,
    max_size: usize,
    max_decompressed: u64,
    scratch: &mut Scratch,
) -> Result<Bytes, RecompressError> {
    let header = BatchHeader::parse(batch)?;
    let payload = &batch[HEADER_LEN..];
    // The format's own limit: the length field is an i32.
    let max_size = max_size.min(i32::MAX as usize);
    let chunk = Scratch::sized_chunk(&mut scratch.chunk);
    let mut reader =
        Decompressor::new(header.compression()?, payload, max_decompressed, &mut scratch.decoding)?;
    let mut result = batch[..HEADER_LEN].to_vec();
    let mut writer = Compressor::new(encoding, None, &mut result, &mut scratch.encoding);
    loop {
        let count = reader.read(chunk)?;
        if count == 0 {
            break;
        }
        writer.write(&chunk[..count]);
        if writer.output_len() > max_size {
            return Err(RecompressError::TooLarge { max_size });
        }
    }
    writer.finish();
    if result.len() > max_size {
        return Err(RecompressError::TooLarge { max_size });
    }
    let length = i32::try_from(result.len() - LENGTH_PREFIX).expect("the size was bounded above");
    result[LENGTH_AT..LENGTH_AT + 4].copy_from_slice(&length.to_be_bytes());
    let attributes = header.attributes & !COMPRESSION_MASK | encoding.codec.id();
    result[ATTRIBUTES_AT..ATTRIBUTES_AT + 2].copy_from_slice(&attributes.to_be_bytes());
    sign(&mut result);
    Ok(Bytes::from(result))
}

/// Why a batch cannot be recompressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum RecompressError {
    /// The result is larger than its topic accepts.
    #[error("with the topic's compression type the batch is larger than {max_size} bytes")]
    TooLarge {
        /// What the topic accepts.
        max_size: usize,
    },
    /// The header.
    #[error(transparent)]
    Batch(#[from] BatchError),
    /// The payload.
    #[error(transparent)]
    Decompress(#[from] DecompressError),
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::batch::Batch;
    use crate::wire::batch_builder::{BatchBuilder, BatchOptions, NewRecord};
    use crate::wire::compression::Compression;
    use crate::wire::records::RecordIter;

    fn batch(codec: Compression) -> Bytes {
        let mut builder = BatchBuilder::new();
        for n in 0..5000u32 {
            let value = format!("value number {n}");
            let timestamp = i64::from(n);
            builder.add(&NewRecord { timestamp, value: Some(value.as_bytes()), ..NewRecord::default() });
        }
        let options = BatchOptions { encoding: codec.into(), base_sequence: 9, ..BatchOptions::default() };
        builder.finish(&options, &mut Scratch::default())
    }

    #[test]
    fn any_codec_becomes_any_other() {
        let mut scratch = Scratch::default();
        for from in Compression::ALL {
            for to in Compression::ALL {
                let before = batch(from);
                let after = recompress(&before, to.into(), 1 << 20, 1 << 20, &mut scratch).unwrap();
                let (old, new) =
                    (BatchHeader::verify(&before).unwrap(), BatchHeader::verify(&after).unwrap());
                assert_eq!(new.compression(), Ok(to));
                let same = BatchHeader {
                    attributes: old.attributes,
                    batch_length: old.batch_length,
                    crc: old.crc,
                    ..new
                };
                assert_eq!(same, old);
                let new = Batch { header: new, bytes: after };
                let records = RecordIter::new(&new, 1 << 20, &mut scratch).unwrap();
                assert_eq!(records.map(Result::unwrap).count(), 5000);
            }
        }
    }

    #[test]
    fn a_result_beyond_the_limit_is_refused_on_the_way() {
        let mut scratch = Scratch::default();
        let packed = batch(Compression::Zstd);
        let full = recompress(&packed, Compression::None.into(), 1 << 20, 1 << 20, &mut scratch).unwrap();
        for max_size in [packed.len(), full.len() - 1] {
            let outcome = recompress(&packed, Compression::None.into(), max_size, 1 << 20, &mut scratch);
            assert_eq!(outcome, Err(RecompressError::TooLarge { max_size }));
        }
        let outcome = recompress(&packed, Compression::None.into(), full.len(), 1 << 20, &mut scratch);
        assert_eq!(outcome, Ok(full));
        let outcome = recompress(&packed, Compression::Lz4.into(), 1 << 20, 1000, &mut scratch);
        assert_eq!(outcome, Err(DecompressError::TooLarge { limit: 1000 }.into()));
    }
}
