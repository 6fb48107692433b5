//! Zstandard, by its streaming interface: straight from and to our buffers.
//!
//! Faults: a frame names its window, up to 128 MiB as everywhere; the library sets that aside but touches
//! only what it decompresses into.

use zstd::zstd_safe::zstd_sys::ZSTD_EndDirective;
use zstd::zstd_safe::{CCtx, CParameter, DCtx, InBuffer, OutBuffer, ResetDirective, get_error_name};

use super::{Compression, DecompressError, damaged};

pub(super) struct ZstdReader<'a> {
    context: &'a mut DCtx<'static>,
    rest: &'a [u8],
    /// Whether the last frame has ended and the next has not begun.
    between_frames: bool,
}

impl<'a> ZstdReader<'a> {
    pub(super) fn new(
        payload: &'a [u8],
        context: &'a mut Option<DCtx<'static>>,
    ) -> Result<Self, DecompressError> {
        let context = context.get_or_insert_with(DCtx::create);
        context.reset(ResetDirective::SessionOnly).map_err(zstd_error)?;
        Ok(Self { context, rest: payload, between_frames: false })
    }

    pub(super) fn read(&mut self, out: &mut [u8]) -> Result<usize, DecompressError> {
        loop {
            if self.between_frames && self.rest.is_empty() {
                return Ok(0);
            }
            let mut output = OutBuffer::around(&mut *out);
            let mut input = InBuffer::around(self.rest);
            let more = self.context.decompress_stream(&mut output, &mut input).map_err(zstd_error)?;
            let (produced, consumed) = (output.pos(), input.pos());
            self.rest = &self.rest[consumed..];
            self.between_frames = more == 0;
            if produced > 0 {
                return Ok(produced);
            }
            // Neither input nor output: the frame wants bytes that are not there.
            if consumed == 0 && !(self.between_frames && self.rest.is_empty()) {
                return Err(damaged(Compression::Zstd, "it ends early"));
            }
        }
    }
}

pub(super) struct ZstdWriter<'a> {
    context: &'a mut CCtx<'static>,
    out: &'a mut Vec<u8>,
}

impl<'a> ZstdWriter<'a> {
    pub(super) fn new(
        level: Option<i32>,
        total: Option<usize>,
        out: &'a mut Vec<u8>,
        context: &'a mut Option<CCtx<'static>>,
    ) -> Self {
        let context = context.get_or_insert_with(CCtx::create);
        let level = level.unwrap_or(zstd::DEFAULT_COMPRESSION_LEVEL);
        for outcome in [
            context.reset(ResetDirective::SessionOnly),
            context.set_parameter(CParameter::CompressionLevel(level)),
            context.set_pledged_src_size(total.map(|total| total as u64)),
        ] {
            outcome.expect("a fresh session takes any level and size");
        }
        Self { context, out }
    }

    pub(super) fn write(&mut self, piece: &[u8]) {
        self.run(piece, ZSTD_EndDirective::ZSTD_e_continue);
    }

    pub(super) fn output_len(&self) -> usize {
        self.out.len()
    }

    pub(super) fn finish(mut self) {
        self.run(&[], ZSTD_EndDirective::ZSTD_e_end);
    }

    fn run(&mut self, piece: &[u8], directive: ZSTD_EndDirective) {
        let ending = directive == ZSTD_EndDirective::ZSTD_e_end;
        let mut input = InBuffer::around(piece);
        loop {
            self.out.reserve(ROOM);
            let start = self.out.len();
            let mut output = OutBuffer::around_pos(&mut *self.out, start);
            let left = self
                .context
                .compress_stream2(&mut output, &mut input, directive)
                .expect("compression to memory fails only on a wrong total");
            let done = if ending { left == 0 } else { input.pos() == piece.len() };
            if done {
                return;
            }
        }
    }
}

/// Free space in front of the compressor; it asks again for more.
const ROOM: usize = 4096;

fn zstd_error(code: usize) -> DecompressError {
    damaged(Compression::Zstd, get_error_name(code))
}

#[cfg(test)]
mod tests {
    use super::super::{Scratch, compress, decompress};
    use super::*;

    #[test]
    fn concatenated_and_skippable_frames_are_read() {
        let mut scratch = Scratch::default();
        let mut packed = Vec::new();
        compress(Compression::Zstd.into(), b"abc", &mut packed, &mut scratch);
        // A skippable frame: magic 0x184d2a50, two bytes of anything.
        packed.extend_from_slice(&[0x50, 0x2a, 0x4d, 0x18, 2, 0, 0, 0, 9, 9]);
        compress(Compression::Zstd.into(), b"def", &mut packed, &mut scratch);
        assert_eq!(decompress(Compression::Zstd, &packed, 6, &mut scratch), Ok(b"abcdef".to_vec()));
    }

    #[test]
    fn an_error_does_not_spoil_the_next_payload() {
        let mut scratch = Scratch::default();
        let mut packed = Vec::new();
        compress(Compression::Zstd.into(), &[1; 1000], &mut packed, &mut scratch);
        let cut = decompress(Compression::Zstd, &packed[..packed.len() - 1], u64::MAX, &mut scratch);
        assert_eq!(cut, Err(damaged(Compression::Zstd, "it ends early")));
        assert_eq!(decompress(Compression::Zstd, &packed, 1000, &mut scratch), Ok(vec![1; 1000]));
    }
}
