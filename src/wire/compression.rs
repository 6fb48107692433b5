//! The compression codecs of record batches, both ways, in pieces of bounded size.
//!
//! | codec | written | read |
//! |---|---|---|
//! | gzip | one member | members one after the other |
//! | snappy | snappy-java's framing, blocks of 32 KiB | the same, or one raw block, as librdkafka sends |
//! | lz4 | one frame, independent blocks of 64 KiB | one frame with independent blocks, as in Kafka |
//! | zstd | one frame | frames one after the other |
//!
//! Faults: a payload may claim any size, end anywhere and expand a thousandfold. Decompression hands out
//! at most the bytes its caller allows, in pieces that the caller sizes. What it holds itself is bounded by
//! the codec: gzip 32 KiB, lz4 one block of at most 4 MiB, zstd a window of at most 128 MiB that is touched
//! only as far as data came out, and snappy one block, which can be no more than 22 times its compressed
//! bytes; raw snappy has no window, its only block is the whole payload. Bytes after the end of a payload
//! are an error.

mod lz4;
mod snappy;
mod zstandard;

use std::fmt;
use std::io::{Read, Write};
use std::ops::RangeInclusive;

use flate2::bufread::MultiGzDecoder;
use flate2::write::GzEncoder;
use thiserror::Error;

use lz4::{Lz4Reader, Lz4Writer};
use snappy::{SnappyReader, SnappyWriter};
use zstandard::{ZstdReader, ZstdWriter};

/// The codec of a batch's records, as bits 0 to 2 of its attributes name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Compression {
    /// The records stand as they are.
    #[default]
    None,
    /// RFC 1952.
    Gzip,
    /// Snappy blocks, raw or in the framing of snappy-java.
    Snappy,
    /// The LZ4 frame format.
    Lz4,
    /// Zstandard frames.
    Zstd,
}

impl Compression {
    /// All codecs, in the order of their ids.
    pub const ALL: [Self; 5] = [Self::None, Self::Gzip, Self::Snappy, Self::Lz4, Self::Zstd];

    /// The codec with this id; ids 5 to 7 fit in the attributes but name nothing.
    pub fn from_id(id: i16) -> Option<Self> {
        Self::ALL.into_iter().find(|codec| codec.id() == id)
    }

    /// The codec's id in the attributes.
    pub fn id(self) -> i16 {
        self as i16
    }

    /// The name that a producer's `compression.type` uses (a topic's says "uncompressed" for none).
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Gzip => "gzip",
            Self::Snappy => "snappy",
            Self::Lz4 => "lz4",
            Self::Zstd => "zstd",
        }
    }

    /// The values of `compression.<codec>.level`, if the codec has levels; gzip also takes -1, its default.
    /// Our LZ4 has one speed and takes any of its levels for it.
    pub fn levels(self) -> Option<RangeInclusive<i32>> {
        match self {
            Self::None | Self::Snappy => None,
            Self::Gzip => Some(1..=9),
            Self::Lz4 => Some(1..=17),
            Self::Zstd => Some(-131_072..=22),
        }
    }
}

impl fmt::Display for Compression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A codec with a level: what to compress with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Encoding {
    /// The codec.
    pub codec: Compression,
    /// One of the codec's [levels](Compression::levels), or its default.
    pub level: Option<i32>,
}

impl From<Compression> for Encoding {
    fn from(codec: Compression) -> Self {
        Self { codec, level: None }
    }
}

/// Buffers that one batch leaves to the next. One per task; grows to what the codecs in use need.
#[derive(Default)]
pub struct Scratch {
    /// What [`Decompressor::read`] fills.
    pub(super) chunk: Vec<u8>,
    /// What a [`Decompressor`] holds.
    pub(super) decoding: Decoding,
    /// What a [`Compressor`] holds.
    pub(super) encoding: EncodingBuffers,
}

impl Scratch {
    /// Bytes that are decompressed at a time.
    const CHUNK: usize = 16 * 1024;

    /// Gives back what only an unusual batch needed.
    pub(super) fn trim(&mut self) {
        self.decoding.trim();
    }

    /// The chunk at its full length.
    pub(super) fn sized_chunk(chunk: &mut Vec<u8>) -> &mut [u8] {
        chunk.resize(Self::CHUNK, 0);
        chunk
    }
}

impl fmt::Debug for Scratch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scratch").finish_non_exhaustive()
    }
}

/// The part of [`Scratch`] that decompression uses.
#[derive(Default)]
pub(super) struct Decoding {
    block: Vec<u8>,
    zstd: Option<zstd::zstd_safe::DCtx<'static>>,
}

impl Decoding {
    /// What is kept between batches, in bytes.
    const KEPT: usize = 1 << 20;

    fn trim(&mut self) {
        if self.block.capacity() > Self::KEPT {
            self.block = Vec::new();
        }
        if self.zstd.as_ref().is_some_and(|context| context.sizeof() > 8 * Self::KEPT) {
            self.zstd = None;
        }
    }
}

/// The part of [`Scratch`] that compression uses.
#[derive(Default)]
pub(super) struct EncodingBuffers {
    block: Vec<u8>,
    snappy: Option<Box<snap::raw::Encoder>>,
    lz4: lz4_flex::block::CompressTable,
    zstd: Option<zstd::zstd_safe::CCtx<'static>>,
}

/// Decompresses one payload piece by piece.
pub(super) struct Decompressor<'a> {
    reader: Reader<'a>,
    limit: u64,
    left: u64,
}

enum Reader<'a> {
    None(&'a [u8]),
    Gzip(Box<MultiGzDecoder<&'a [u8]>>),
    Snappy(SnappyReader<'a>),
    Lz4(Lz4Reader<'a>),
    Zstd(ZstdReader<'a>),
}

impl<'a> Decompressor<'a> {
    /// Begins with `payload`, of which at most `limit` decompressed bytes are accepted.
    ///
    /// # Errors
    ///
    /// [`DecompressError::Damaged`] if the payload does not begin as the codec's payloads do.
    pub(super) fn new(
        codec: Compression,
        payload: &'a [u8],
        limit: u64,
        buffers: &'a mut Decoding,
    ) -> Result<Self, DecompressError> {
        buffers.trim();
        if payload.is_empty() && codec != Compression::None {
            return Err(damaged(codec, "there are no bytes"));
        }
        let reader = match codec {
            Compression::None => Reader::None(payload),
            Compression::Gzip => Reader::Gzip(Box::new(MultiGzDecoder::new(payload))),
            Compression::Snappy => Reader::Snappy(SnappyReader::new(payload, limit, &mut buffers.block)?),
            Compression::Lz4 => Reader::Lz4(Lz4Reader::new(payload, &mut buffers.block)?),
            Compression::Zstd => Reader::Zstd(ZstdReader::new(payload, &mut buffers.zstd)?),
        };
        Ok(Self { reader, limit, left: limit })
    }

    /// Fills `out` from its beginning, at least by one byte; 0 is the end of the payload.
    ///
    /// # Errors
    ///
    /// [`DecompressError::Damaged`], also for a payload that ends early or late, and
    /// [`DecompressError::TooLarge`] once the payload yields more than the limit.
    pub(super) fn read(&mut self, out: &mut [u8]) -> Result<usize, DecompressError> {
        let count = match &mut self.reader {
            Reader::None(rest) => rest.read(out).expect("reading a slice does not fail"),
            Reader::Gzip(reader) => reader.read(out).map_err(|error| gzip_error(&error))?,
            Reader::Snappy(reader) => reader.read(out)?,
            Reader::Lz4(reader) => reader.read(out)?,
            Reader::Zstd(reader) => reader.read(out)?,
        };
        self.left =
            self.left.checked_sub(count as u64).ok_or(DecompressError::TooLarge { limit: self.limit })?;
        Ok(count)
    }
}

/// Decompresses the whole of `payload`, at most `limit` bytes.
///
/// # Errors
///
/// See [`DecompressError`].
pub fn decompress(
    codec: Compression,
    payload: &[u8],
    limit: u64,
    scratch: &mut Scratch,
) -> Result<Vec<u8>, DecompressError> {
    let chunk = Scratch::sized_chunk(&mut scratch.chunk);
    let mut reader = Decompressor::new(codec, payload, limit, &mut scratch.decoding)?;
    let mut whole = Vec::new();
    loop {
        match reader.read(chunk)? {
            0 => return Ok(whole),
            count => whole.extend_from_slice(&chunk[..count]),
        }
    }
}

/// Compresses the whole of `payload`, appending to `out`.
///
/// # Panics
///
/// If the level is none of the codec's: configuration is checked where it is read.
pub fn compress(encoding: Encoding, payload: &[u8], out: &mut Vec<u8>, scratch: &mut Scratch) {
    let mut writer = Compressor::new(encoding, Some(payload.len()), out, &mut scratch.encoding);
    writer.write(payload);
    writer.finish();
}

/// Compresses one payload piece by piece, appending to a buffer.
pub(super) struct Compressor<'a> {
    writer: Writer<'a>,
}

enum Writer<'a> {
    None(&'a mut Vec<u8>),
    Gzip(Box<GzEncoder<&'a mut Vec<u8>>>),
    Snappy(SnappyWriter<'a>),
    Lz4(Lz4Writer<'a>),
    Zstd(ZstdWriter<'a>),
}

impl<'a> Compressor<'a> {
    /// Begins a payload at the end of `out`. `total` is its uncompressed size if that is known; it must then
    /// be right.
    ///
    /// # Panics
    ///
    /// If the level is none of the codec's: configuration is checked where it is read.
    pub(super) fn new(
        encoding: Encoding,
        total: Option<usize>,
        out: &'a mut Vec<u8>,
        buffers: &'a mut EncodingBuffers,
    ) -> Self {
        let Encoding { codec, level } = encoding;
        if let Some(level) = level {
            let known = codec.levels().is_none_or(|levels| levels.contains(&level));
            let default = codec == Compression::Gzip && level == -1;
            assert!(known || default, "{codec} has no compression level {level}");
        }
        let writer = match codec {
            Compression::None => Writer::None(out),
            Compression::Gzip => {
                let level = level.and_then(|level| u32::try_from(level).ok());
                let level = level.map_or(flate2::Compression::default(), flate2::Compression::new);
                Writer::Gzip(Box::new(GzEncoder::new(out, level)))
            }
            Compression::Snappy => {
                let encoder = buffers.snappy.get_or_insert_with(|| Box::new(snap::raw::Encoder::new()));
                Writer::Snappy(SnappyWriter::new(out, &mut buffers.block, encoder))
            }
            Compression::Lz4 => Writer::Lz4(Lz4Writer::new(out, &mut buffers.block, &mut buffers.lz4)),
            Compression::Zstd => Writer::Zstd(ZstdWriter::new(level, total, out, &mut buffers.zstd)),
        };
        Self { writer }
    }

    /// Takes the next piece.
    pub(super) fn write(&mut self, piece: &[u8]) {
        match &mut self.writer {
            Writer::None(out) => out.extend_from_slice(piece),
            Writer::Gzip(writer) => writer.write_all(piece).expect("writing to memory does not fail"),
            Writer::Snappy(writer) => writer.write(piece),
            Writer::Lz4(writer) => writer.write(piece),
            Writer::Zstd(writer) => writer.write(piece),
        }
    }

    /// The length of the output buffer so far, what it held before included.
    pub(super) fn output_len(&self) -> usize {
        match &self.writer {
            Writer::None(out) => out.len(),
            Writer::Gzip(writer) => writer.get_ref().len(),
            Writer::Snappy(writer) => writer.output_len(),
            Writer::Lz4(writer) => writer.output_len(),
            Writer::Zstd(writer) => writer.output_len(),
        }
    }

    /// Ends the payload.
    pub(super) fn finish(self) {
        match self.writer {
            Writer::None(_) => {}
            Writer::Gzip(writer) => {
                writer.finish().expect("writing to memory does not fail");
            }
            Writer::Snappy(writer) => writer.finish(),
            Writer::Lz4(writer) => writer.finish(),
            Writer::Zstd(writer) => writer.finish(),
        }
    }
}

/// Why a payload cannot be decompressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum DecompressError {
    /// The bytes are not what the codec writes.
    #[error("the {codec} data is damaged: {detail}")]
    Damaged {
        /// The codec that the batch names.
        codec: Compression,
        /// What is wrong.
        detail: &'static str,
    },
    /// The payload expands to more than the reader accepts.
    #[error("the records decompress to more than {limit} bytes")]
    TooLarge {
        /// What the reader accepts.
        limit: u64,
    },
}

fn damaged(codec: Compression, detail: &'static str) -> DecompressError {
    DecompressError::Damaged { codec, detail }
}

fn gzip_error(error: &std::io::Error) -> DecompressError {
    let detail = match error.kind() {
        std::io::ErrorKind::UnexpectedEof => "it ends early",
        _ => "not a gzip stream, or its checksum is wrong",
    };
    damaged(Compression::Gzip, detail)
}

/// Copies what fits from the front of `from`, and takes it off.
fn hand_out(from: &mut &[u8], out: &mut [u8]) -> usize {
    let count = from.len().min(out.len());
    out[..count].copy_from_slice(&from[..count]);
    *from = &from[count..];
    count
}

/// Cuts a payload into blocks: whole ones go to `emit` at once, a rest waits in `pending`.
fn fill_blocks(pending: &mut Vec<u8>, size: usize, mut piece: &[u8], mut emit: impl FnMut(&[u8])) {
    if !pending.is_empty() {
        let (head, tail) = piece.split_at(piece.len().min(size - pending.len()));
        pending.extend_from_slice(head);
        piece = tail;
        if pending.len() == size {
            emit(pending);
            pending.clear();
        }
    }
    while piece.len() >= size {
        let (block, rest) = piece.split_at(size);
        emit(block);
        piece = rest;
    }
    pending.extend_from_slice(piece);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts() -> Vec<Vec<u8>> {
        let mut noise = 1u32;
        let mut random = |count: usize| -> Vec<u8> {
            let mut next = || {
                noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (noise >> 24) as u8
            };
            (0..count).map(|_| next()).collect()
        };
        vec![
            b"k".to_vec(),
            b"the same words, the same words, the same words".to_vec(),
            vec![0; 300_000],
            random(5),
            random(64 * 1024),
            random(200_001),
            [random(40_000), vec![7; 70_000], random(3)].concat(),
        ]
    }

    #[test]
    fn every_codec_gives_back_what_it_took() {
        let mut scratch = Scratch::default();
        for codec in Compression::ALL {
            for text in texts() {
                let mut packed = Vec::new();
                compress(codec.into(), &text, &mut packed, &mut scratch);
                let limit = text.len() as u64;
                assert_eq!(decompress(codec, &packed, limit, &mut scratch), Ok(text.clone()), "{codec}");
                let short = decompress(codec, &packed, limit - 1, &mut scratch);
                assert_eq!(short, Err(DecompressError::TooLarge { limit: limit - 1 }), "{codec}");
            }
        }
    }

    #[test]
    fn pieces_of_any_size_make_one_payload() {
        let mut scratch = Scratch::default();
        for codec in Compression::ALL {
            for piece in [1, 7, 4096, 32 * 1024, 65_537] {
                let text = texts().pop().unwrap();
                let mut packed = b"before".to_vec();
                let mut writer = Compressor::new(codec.into(), None, &mut packed, &mut scratch.encoding);
                text.chunks(piece).for_each(|piece| writer.write(piece));
                assert!(writer.output_len() >= 6);
                writer.finish();
                assert_eq!(&packed[..6], b"before");
                assert_eq!(decompress(codec, &packed[6..], u64::MAX, &mut scratch), Ok(text), "{codec}");
            }
        }
    }

    #[test]
    fn levels_are_used_and_checked() {
        let mut scratch = Scratch::default();
        let text: Vec<u8> = (0..20_000u32).flat_map(|n| (n % 1000).to_string().into_bytes()).collect();
        for (codec, levels) in [
            (Compression::Gzip, vec![-1, 1, 9]),
            (Compression::Lz4, vec![1, 17]),
            (Compression::Zstd, vec![-5, 1, 19]),
        ] {
            for level in levels {
                let mut packed = Vec::new();
                compress(Encoding { codec, level: Some(level) }, &text, &mut packed, &mut scratch);
                assert!(packed.len() < text.len());
                assert_eq!(decompress(codec, &packed, u64::MAX, &mut scratch), Ok(text.clone()));
            }
        }
        let sizes: Vec<usize> = [-50, 3, 19]
            .map(|level| {
                let mut packed = Vec::new();
                let encoding = Encoding { codec: Compression::Zstd, level: Some(level) };
                compress(encoding, &text, &mut packed, &mut scratch);
                packed.len()
            })
            .to_vec();
        assert!(sizes[0] > sizes[1] && sizes[1] > sizes[2], "{sizes:?}");
    }

    #[test]
    #[should_panic(expected = "gzip has no compression level 10")]
    fn a_level_that_does_not_exist_is_our_mistake() {
        let encoding = Encoding { codec: Compression::Gzip, level: Some(10) };
        compress(encoding, b"x", &mut Vec::new(), &mut Scratch::default());
    }

    #[test]
    fn every_cut_and_every_addition_is_damage() {
        let mut scratch = Scratch::default();
        let text = b"some words and some more words and some more".repeat(3);
        for codec in Compression::ALL.into_iter().skip(1) {
            let mut packed = Vec::new();
            compress(codec.into(), &text, &mut packed, &mut scratch);
            for end in 0..packed.len() {
                // Snappy's framing has no end mark: it may stop between blocks, here after its header.
                let outcome = decompress(codec, &packed[..end], u64::MAX, &mut scratch);
                if codec == Compression::Snappy && end == 16 {
                    assert_eq!(outcome, Ok(Vec::new()));
                    continue;
                }
                assert!(matches!(outcome, Err(DecompressError::Damaged { .. })), "{codec} cut at {end}");
            }
            packed.push(0x5a);
            let outcome = decompress(codec, &packed, u64::MAX, &mut scratch);
            assert!(matches!(outcome, Err(DecompressError::Damaged { .. })), "{codec} with a byte added");
        }
    }

    #[test]
    fn a_bomb_stops_at_the_limit() {
        let mut scratch = Scratch::default();
        for codec in Compression::ALL.into_iter().skip(1) {
            let mut packed = Vec::new();
            let mut writer = Compressor::new(codec.into(), None, &mut packed, &mut scratch.encoding);
            let zeros = vec![0; 1 << 20];
            (0..64).for_each(|_| writer.write(&zeros));
            writer.finish();
            assert!(packed.len() < 8 << 20);
            let outcome = decompress(codec, &packed, 1 << 20, &mut scratch);
            assert_eq!(outcome, Err(DecompressError::TooLarge { limit: 1 << 20 }), "{codec}");
        }
    }

    #[test]
    fn buffers_can_move_between_threads() {
        fn assert_send<T: Send>() {}
        assert_send::<Scratch>();
    }
}
