//! LZ4 frames.
//!
//! ```text
//! 04 22 4d 18 | FLG | BD | content size u64, if FLG says | HC
//!   | (size u32 | block | checksum u32, if FLG says)*
//!   | 00 00 00 00 | content checksum u32, if FLG says
//! ```
//!
//! All numbers are little-endian; a block whose size has its highest bit set is stored, not compressed. As in
//! Kafka, blocks must be independent: its consumers read nothing else, so a topic must not hold it.
//!
//! Faults: BD may allow blocks of 4 MiB for a payload of a few bytes. A compressed block expands at most
//! 255-fold, and no more than that is set aside for it.

use std::hash::Hasher;

use lz4_flex::block::{CompressTable, compress_into_with_table, decompress_into, get_maximum_output_size};
use twox_hash::XxHash32;

use super::{Compression, DecompressError, damaged, fill_blocks, hand_out};

const MAGIC: [u8; 4] = [0x04, 0x22, 0x4d, 0x18];
/// Version 1, independent blocks; blocks of 64 KiB; the checksum of these two. Kafka's Java client writes the
/// same.
const DESCRIPTOR: [u8; 3] = [0x60, 0x40, 0x82];
const BLOCK: usize = 64 * 1024;
const STORED: u32 = 1 << 31;

pub(super) struct Lz4Reader<'a> {
    frame: Frame,
    rest: &'a [u8],
    block: &'a mut Vec<u8>,
    /// What of `block` was not handed out yet.
    at: usize,
    end: usize,
    /// A stored block, handed out from where it stands.
    stored: &'a [u8],
    finished: bool,
    content: XxHash32,
    content_length: u64,
}

/// What the frame's descriptor says.
struct Frame {
    block_max: usize,
    block_checksums: bool,
    content_checksum: bool,
    content_size: Option<u64>,
}

impl<'a> Lz4Reader<'a> {
    pub(super) fn new(payload: &'a [u8], block: &'a mut Vec<u8>) -> Result<Self, DecompressError> {
        let mut rest = payload;
        let frame = read_frame(&mut rest)?;
        Ok(Self {
            frame,
            rest,
            block,
            at: 0,
            end: 0,
            stored: &[],
            finished: false,
            content: XxHash32::with_seed(0),
            content_length: 0,
        })
    }

    pub(super) fn read(&mut self, out: &mut [u8]) -> Result<usize, DecompressError> {
        while self.at == self.end && self.stored.is_empty() {
            if self.finished {
                return Ok(0);
            }
            self.next_block()?;
        }
        if !self.stored.is_empty() {
            return Ok(hand_out(&mut self.stored, out));
        }
        let mut ready = &self.block[self.at..self.end];
        let count = hand_out(&mut ready, out);
        self.at += count;
        Ok(count)
    }

    fn next_block(&mut self) -> Result<(), DecompressError> {
        let word = take_u32(&mut self.rest)?;
        if word == 0 {
            return self.end_frame();
        }
        let size = (word & !STORED) as usize;
        if size > self.frame.block_max {
            return Err(bad("a block is larger than its frame allows"));
        }
        let input = take(&mut self.rest, size)?;
        if self.frame.block_checksums && take_u32(&mut self.rest)? != XxHash32::oneshot(0, input) {
            return Err(bad("a block's checksum is wrong"));
        }
        let ready: &[u8] = if word & STORED != 0 {
            self.stored = input;
            input
        } else {
            let room = self.frame.block_max.min(size * 255);
            if self.block.len() < room {
                self.block.resize(room, 0);
            }
            let count = decompress_into(input, &mut self.block[..room])
                .map_err(|_| bad("a block cannot be decompressed"))?;
            (self.at, self.end) = (0, count);
            &self.block[..count]
        };
        self.content_length += ready.len() as u64;
        if self.frame.content_checksum {
            self.content.write(ready);
        }
        Ok(())
    }

    fn end_frame(&mut self) -> Result<(), DecompressError> {
        if self.frame.content_checksum && take_u32(&mut self.rest)? != self.content.finish_32() {
            return Err(bad("the content's checksum is wrong"));
        }
        if self.frame.content_size.is_some_and(|size| size != self.content_length) {
            return Err(bad("the content's size is wrong"));
        }
        if !self.rest.is_empty() {
            return Err(bad("bytes follow the frame"));
        }
        self.finished = true;
        Ok(())
    }
}

fn read_frame(rest: &mut &[u8]) -> Result<Frame, DecompressError> {
    if take(rest, 4)? != MAGIC {
        return Err(bad("not an LZ4 frame"));
    }
    let start = *rest;
    let (flags, sizes) = (take(rest, 1)?[0], take(rest, 1)?[0]);
    if flags >> 6 != 1 || flags & 0b11 != 0 {
        return Err(bad("the frame has an unknown version, a dictionary or reserved bits"));
    }
    if flags & 1 << 5 == 0 {
        return Err(bad("the frame's blocks depend on each other"));
    }
    let size_code = sizes >> 4;
    if sizes & 0b1111 != 0 || !(4..=7).contains(&size_code) {
        return Err(bad("the frame has an unknown block size"));
    }
    let mut content_size = None;
    if flags & 1 << 3 != 0 {
        let bytes = take(rest, 8)?;
        content_size = Some(u64::from_le_bytes(bytes.try_into().expect("eight bytes were taken")));
    }
    let descriptor = &start[..start.len() - rest.len()];
    if take(rest, 1)?[0] != (XxHash32::oneshot(0, descriptor) >> 8) as u8 {
        return Err(bad("the frame descriptor's checksum is wrong"));
    }
    Ok(Frame {
        block_max: 1 << (2 * size_code + 8),
        block_checksums: flags & 1 << 4 != 0,
        content_checksum: flags & 1 << 2 != 0,
        content_size,
    })
}

fn take<'a>(rest: &mut &'a [u8], count: usize) -> Result<&'a [u8], DecompressError> {
    let (taken, left) = rest.split_at_checked(count).ok_or(bad("it ends early"))?;
    *rest = left;
    Ok(taken)
}

fn take_u32(rest: &mut &[u8]) -> Result<u32, DecompressError> {
    Ok(u32::from_le_bytes(take(rest, 4)?.try_into().expect("four bytes were taken")))
}

pub(super) struct Lz4Writer<'a> {
    out: &'a mut Vec<u8>,
    pending: &'a mut Vec<u8>,
    table: &'a mut CompressTable,
}

impl<'a> Lz4Writer<'a> {
    pub(super) fn new(out: &'a mut Vec<u8>, pending: &'a mut Vec<u8>, table: &'a mut CompressTable) -> Self {
        out.extend_from_slice(&MAGIC);
        out.extend_from_slice(&DESCRIPTOR);
        pending.clear();
        Self { out, pending, table }
    }

    pub(super) fn write(&mut self, piece: &[u8]) {
        fill_blocks(self.pending, BLOCK, piece, |block| emit(self.table, self.out, block));
    }

    pub(super) fn output_len(&self) -> usize {
        self.out.len()
    }

    pub(super) fn finish(self) {
        if !self.pending.is_empty() {
            emit(self.table, self.out, self.pending);
        }
        self.out.extend_from_slice(&[0; 4]);
    }
}

fn emit(table: &mut CompressTable, out: &mut Vec<u8>, block: &[u8]) {
    let start = out.len();
    out.resize(start + 4 + get_maximum_output_size(block.len()), 0);
    let length = compress_into_with_table(block, &mut out[start + 4..], table)
        .expect("the output has the room asked for");
    let (word, length) = if length < block.len() {
        (length as u32, length)
    } else {
        out[start + 4..start + 4 + block.len()].copy_from_slice(block);
        (block.len() as u32 | STORED, block.len())
    };
    out[start..start + 4].copy_from_slice(&word.to_le_bytes());
    out.truncate(start + 4 + length);
}

fn bad(detail: &'static str) -> DecompressError {
    damaged(Compression::Lz4, detail)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use lz4_flex::frame::{BlockMode, BlockSize, FrameEncoder, FrameInfo};

    use super::super::{Scratch, compress, decompress};
    use super::*;

    fn unpack(payload: &[u8]) -> Result<Vec<u8>, DecompressError> {
        decompress(Compression::Lz4, payload, u64::MAX, &mut Scratch::default())
    }

    /// The frame as the codec's own crate writes it.
    fn frame(info: FrameInfo, text: &[u8]) -> Vec<u8> {
        let mut encoder = FrameEncoder::with_frame_info(info, Vec::new());
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    }

    fn text() -> Vec<u8> {
        b"some words and then some more words ".repeat(10_000)
    }

    #[test]
    fn the_frame_is_written_as_the_java_client_writes_it() {
        let mut packed = Vec::new();
        compress(Compression::Lz4.into(), b"abc", &mut packed, &mut Scratch::default());
        let stored = [3, 0, 0, 0x80, b'a', b'b', b'c'];
        assert_eq!(packed, [&MAGIC[..], &[0x60, 0x40, 0x82], &stored, &[0; 4]].concat());
        let mut reader = lz4_flex::frame::FrameDecoder::new(&packed[..]);
        assert_eq!(std::io::read_to_string(&mut reader).unwrap(), "abc");
    }

    #[test]
    fn frames_with_every_option_are_read() {
        let independent = || FrameInfo::new().block_mode(BlockMode::Independent);
        let size = Some(text().len() as u64);
        for info in [
            independent(),
            independent().block_size(BlockSize::Max4MB),
            independent().content_size(size),
            independent().block_checksums(true),
            independent().content_checksum(true),
            independent().content_checksum(true).block_checksums(true).content_size(size),
        ] {
            assert_eq!(unpack(&frame(info, &text())), Ok(text()));
        }
    }

    #[test]
    fn linked_blocks_and_legacy_frames_are_refused_as_in_kafka() {
        let linked = frame(FrameInfo::new().block_mode(BlockMode::Linked), &text());
        assert_eq!(unpack(&linked), Err(bad("the frame's blocks depend on each other")));
        assert_eq!(unpack(&[0x02, 0x21, 0x4c, 0x18, 0, 0, 0, 0]), Err(bad("not an LZ4 frame")));
    }

    #[test]
    fn every_checksum_is_compared() {
        let all = FrameInfo::new()
            .block_mode(BlockMode::Independent)
            .content_checksum(true)
            .block_checksums(true)
            .content_size(Some(3));
        let good = frame(all, b"abc");
        assert_eq!(unpack(&good), Ok(b"abc".to_vec()));
        for bit in 0..good.len() * 8 {
            let mut bad = good.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(unpack(&bad).is_err(), "bit {bit}");
        }
    }
}
