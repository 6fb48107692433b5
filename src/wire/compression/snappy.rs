//! Snappy: raw, or in the framing of snappy-java ("xerial").
//!
//! ```text
//! framed: 82 'SNAPPY' 00 | version i32 | oldest compatible version i32 | (length i32 | block)*
//! raw:    one block
//! ```
//!
//! Kafka's Java clients write framed and read both, librdkafka and most Go clients write raw. Framed streams
//! may be concatenated, header included.
//!
//! Faults: a block begins with its uncompressed length, which may lie. The densest element of the format is a
//! copy of 64 bytes in 3, so a claim beyond 22 times the block's bytes is a lie and allocates nothing.

use super::{Compression, DecompressError, damaged, fill_blocks, hand_out};

const MAGIC: [u8; 8] = [0x82, b'S', b'N', b'A', b'P', b'P', b'Y', 0];
const HEADER: [u8; 16] = [0x82, b'S', b'N', b'A', b'P', b'P', b'Y', 0, 0, 0, 0, 1, 0, 0, 0, 1];
/// The block size of snappy-java.
const BLOCK: usize = 32 * 1024;
/// Above the format's densest: 64 bytes from 3.
const MAX_EXPANSION: usize = 22;

pub(super) struct SnappyReader<'a> {
    framed: bool,
    /// What was not decompressed yet.
    rest: &'a [u8],
    /// What may still be decompressed.
    left: u64,
    limit: u64,
    block: &'a mut Vec<u8>,
    /// What of `block` was not handed out yet.
    at: usize,
    end: usize,
}

impl<'a> SnappyReader<'a> {
    pub(super) fn new(
        payload: &'a [u8],
        limit: u64,
        block: &'a mut Vec<u8>,
    ) -> Result<Self, DecompressError> {
        let framed = payload.starts_with(&MAGIC);
        let rest = if framed { skip_header(payload)? } else { payload };
        Ok(Self { framed, rest, left: limit, limit, block, at: 0, end: 0 })
    }

    pub(super) fn read(&mut self, out: &mut [u8]) -> Result<usize, DecompressError> {
        while self.at == self.end {
            if self.rest.is_empty() {
                return Ok(0);
            }
            self.next_block()?;
        }
        let mut ready = &self.block[self.at..self.end];
        let count = hand_out(&mut ready, out);
        self.at += count;
        Ok(count)
    }

    fn next_block(&mut self) -> Result<(), DecompressError> {
        let compressed = if self.framed { self.take_framed()? } else { std::mem::take(&mut self.rest) };
        let size = snap::raw::decompress_len(compressed).map_err(|_| bad("a block has no length"))?;
        if size > compressed.len().saturating_mul(MAX_EXPANSION) {
            return Err(bad("a block claims to be larger than its bytes can make it"));
        }
        if size as u64 > self.left {
            return Err(DecompressError::TooLarge { limit: self.limit });
        }
        if self.block.len() < size {
            self.block.resize(size, 0);
        }
        snap::raw::Decoder::new()
            .decompress(compressed, &mut self.block[..size])
            .map_err(|_| bad("a block cannot be decompressed"))?;
        (self.at, self.end) = (0, size);
        self.left -= size as u64;
        Ok(())
    }

    fn take_framed(&mut self) -> Result<&'a [u8], DecompressError> {
        if self.rest.starts_with(&MAGIC) {
            self.rest = skip_header(self.rest)?;
        }
        let (length, rest) = self.rest.split_first_chunk().ok_or(bad("a block's length is cut off"))?;
        let length = u32::from_be_bytes(*length) as usize;
        let (block, rest) = rest.split_at_checked(length).ok_or(bad("a block is cut off"))?;
        self.rest = rest;
        Ok(block)
    }
}

fn skip_header(framed: &[u8]) -> Result<&[u8], DecompressError> {
    let (header, rest) =
        framed.split_first_chunk::<{ HEADER.len() }>().ok_or(bad("its header is cut off"))?;
    let version = i32::from_be_bytes([header[8], header[9], header[10], header[11]]);
    if version < 1 {
        return Err(bad("the framing has an unknown version"));
    }
    Ok(rest)
}

pub(super) struct SnappyWriter<'a> {
    out: &'a mut Vec<u8>,
    pending: &'a mut Vec<u8>,
    encoder: &'a mut snap::raw::Encoder,
}

impl<'a> SnappyWriter<'a> {
    pub(super) fn new(
        out: &'a mut Vec<u8>,
        pending: &'a mut Vec<u8>,
        encoder: &'a mut snap::raw::Encoder,
    ) -> Self {
        out.extend_from_slice(&HEADER);
        pending.clear();
        Self { out, pending, encoder }
    }

    pub(super) fn write(&mut self, piece: &[u8]) {
        fill_blocks(self.pending, BLOCK, piece, |block| emit(self.encoder, self.out, block));
    }

    pub(super) fn output_len(&self) -> usize {
        self.out.len()
    }

    pub(super) fn finish(self) {
        if !self.pending.is_empty() {
            emit(self.encoder, self.out, self.pending);
        }
    }
}

fn emit(encoder: &mut snap::raw::Encoder, out: &mut Vec<u8>, block: &[u8]) {
    let start = out.len();
    out.resize(start + 4 + snap::raw::max_compress_len(block.len()), 0);
    let length = encoder.compress(block, &mut out[start + 4..]).expect("the output has the room asked for");
    out[start..start + 4].copy_from_slice(&(length as u32).to_be_bytes());
    out.truncate(start + 4 + length);
}

fn bad(detail: &'static str) -> DecompressError {
    damaged(Compression::Snappy, detail)
}

#[cfg(test)]
mod tests {
    use super::super::{Scratch, compress, decompress};
    use super::*;

    fn unpack(payload: &[u8], limit: u64) -> Result<Vec<u8>, DecompressError> {
        decompress(Compression::Snappy, payload, limit, &mut Scratch::default())
    }

    #[test]
    fn the_framing_is_snappy_javas() {
        let mut packed = Vec::new();
        compress(Compression::Snappy.into(), b"abc", &mut packed, &mut Scratch::default());
        // Length 5: uncompressed length 3, a literal of 3 (tag 2 << 2), the bytes.
        assert_eq!(packed, [&HEADER[..], &[0, 0, 0, 5, 3, 8], b"abc"].concat());
    }

    #[test]
    fn raw_and_concatenated_streams_are_read() {
        let raw = [&[3, 8][..], b"abc"].concat();
        assert_eq!(unpack(&raw, 3), Ok(b"abc".to_vec()));
        let framed = [&HEADER[..], &[0, 0, 0, 5], &raw].concat();
        assert_eq!(unpack(&framed.repeat(2), 6), Ok(b"abcabc".to_vec()));
    }

    #[test]
    fn a_claim_of_four_gigabytes_allocates_nothing() {
        let claim = [0xff, 0xff, 0xff, 0xff, 0x0f, 0];
        assert!(matches!(unpack(&claim, u64::MAX), Err(DecompressError::Damaged { .. })));
        let framed = [&HEADER[..], &[0, 0, 0, 6], &claim].concat();
        assert!(matches!(unpack(&framed, u64::MAX), Err(DecompressError::Damaged { .. })));
        let block = [&HEADER[..], &[0xff, 0xff, 0xff, 0xff], &claim].concat();
        assert!(matches!(unpack(&block, u64::MAX), Err(DecompressError::Damaged { .. })));
    }

    #[test]
    fn the_densest_block_is_within_the_bound() {
        let text = vec![9u8; 60_000];
        let raw = snap::raw::Encoder::new().compress_vec(&text).unwrap();
        assert!(raw.len() * MAX_EXPANSION > text.len());
        assert_eq!(unpack(&raw, 60_000), Ok(text));
    }
}
