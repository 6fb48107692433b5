//! Bombs and lies are refused without the memory that they ask for, by the kernel's own account.
#![cfg(target_os = "linux")]

use std::io::Write;

use bytes::Bytes;
use ottla::error_code::ErrorCode;
use ottla::types::WallMs;
use ottla::wire::batch::TimestampType;
use ottla::wire::batch_builder::{BatchBuilder, BatchOptions, NewRecord};
use ottla::wire::compression::{Compression, Scratch};
use ottla::wire::validate::{Rules, validate};

/// MiB of (memory ever in use, address space ever in use).
#[expect(clippy::disallowed_methods, reason = "asks the kernel about this very process")]
fn peaks() -> (u64, u64) {
    let status = String::from_utf8(std::fs::read("/proc/self/status").expect("Linux has it")).expect("text");
    let peak = |name: &str| -> u64 {
        let line = status.lines().find(|line| line.starts_with(name)).expect("the kernel reports it");
        line.split_whitespace().nth(1).expect("a number follows").parse().expect("a number")
    };
    (peak("VmHWM:") / 1024, peak("VmPeak:") / 1024)
}

fn rules() -> Rules {
    Rules {
        timestamp_type: TimestampType::LogAppendTime,
        before_max_ms: 0,
        after_max_ms: 0,
        now: WallMs(0),
        compacted: false,
        max_message_bytes: 16 << 20,
        max_decompressed_bytes: 1 << 30,
        encoding: None,
        zstd_allowed: true,
    }
}

/// A batch of one record with this payload for all its bytes.
fn batch(codec: Compression, payload: &[u8]) -> Bytes {
    let mut builder = BatchBuilder::new();
    builder.add(&NewRecord::default());
    let plain = builder.finish(&BatchOptions::default(), &mut Scratch::default());
    let mut batch = [&plain[..61], payload].concat();
    let length = (batch.len() - 12) as i32;
    batch[8..12].copy_from_slice(&length.to_be_bytes());
    batch[22] = codec.id() as u8;
    let crc = crc32c::crc32c(&batch[21..]);
    batch[17..21].copy_from_slice(&crc.to_be_bytes());
    Bytes::from(batch)
}

/// The value of the record in a bomb, in bytes.
const VALUE: usize = 256 << 20;

/// One whole record with a value of zeros, compressed without ever holding it.
fn bombs() -> Vec<(Compression, Vec<u8>)> {
    // Around the value: attributes, two deltas, no key, the value's length in five bytes, no headers.
    let head = [varint(VALUE + 10), vec![0, 0, 0, 1], varint(VALUE)].concat();
    let zeros = vec![0; 1 << 20];
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    let mut zstd = zstd::stream::write::Encoder::new(Vec::new(), 1).expect("a level that exists");
    for writer in [&mut gzip as &mut dyn Write, &mut zstd] {
        writer.write_all(&head).expect("to memory");
        (0..VALUE / zeros.len()).for_each(|_| writer.write_all(&zeros).expect("to memory"));
        writer.write_all(&[0]).expect("to memory");
    }
    vec![
        (Compression::Gzip, gzip.finish().expect("to memory")),
        (Compression::Zstd, zstd.finish().expect("to memory")),
    ]
}

fn varint(length: usize) -> Vec<u8> {
    let mut left = 2 * length;
    let mut bytes = Vec::new();
    while left >= 0x80 {
        bytes.push(left as u8 | 0x80);
        left >>= 7;
    }
    bytes.push(left as u8);
    bytes
}

/// Payloads of a few bytes that claim gigabytes.
fn lies() -> Vec<(Compression, Vec<u8>)> {
    let record = vec![0xfe, 0xff, 0xff, 0xff, 0x0f, 0, 0, 0, 1, 1, 0];
    let mut lies = vec![(Compression::Snappy, vec![0xff, 0xff, 0xff, 0xff, 0x0f, 0, 0])];
    for codec in Compression::ALL {
        let mut payload = Vec::new();
        ottla::wire::compression::compress(codec.into(), &record, &mut payload, &mut Scratch::default());
        lies.push((codec, payload));
    }
    // Zstandard: a window of 128 MiB and a content size of 2^60 for no blocks.
    let descriptor = 0b1100_0000;
    let window = 17 << 3;
    let size = (1u64 << 60).to_le_bytes();
    lies.push((Compression::Zstd, [&[0x28, 0xb5, 0x2f, 0xfd, descriptor, window][..], &size].concat()));
    lies
}

#[test]
fn memory_does_not_grow_with_what_a_batch_claims_or_expands_to() {
    let bombs = bombs();
    let lies = lies();
    let (used, reserved) = peaks();
    let mut scratch = Scratch::default();
    for (codec, payload) in &bombs {
        let bomb = batch(*codec, payload);
        let validated = validate(&bomb, &rules(), &mut scratch);
        assert!(validated.is_ok(), "{codec}: the limit is higher, so all of it was looked at: {validated:?}");
        let strict = Rules { max_decompressed_bytes: 1 << 20, ..rules() };
        let rejected = validate(&bomb, &strict, &mut scratch).expect_err("the limit is lower");
        assert_eq!(rejected.code(), ErrorCode::MessageTooLarge, "{codec}");
    }
    for (codec, payload) in &lies {
        let rejected = validate(&batch(*codec, payload), &rules(), &mut scratch).expect_err("it lies");
        assert_eq!(rejected.code(), ErrorCode::InvalidRecord, "{codec}");
    }
    let (used_after, reserved_after) = peaks();
    assert!(used_after - used < 32, "{used} MiB in use became {used_after} MiB");
    assert!(reserved_after - reserved < 300, "{reserved} MiB of address space became {reserved_after} MiB");
}
