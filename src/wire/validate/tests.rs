//! One planted violation for every rule, in every codec where the rule is about records.

use super::*;
use crate::types::ProducerId;
use crate::wire::batch::sign;
use crate::wire::batch_builder::{BatchBuilder, BatchOptions, NewRecord};
use crate::wire::compression::compress;

const NOW: i64 = 1_700_000_000_000;

fn rules() -> Rules {
    Rules {
        timestamp_type: TimestampType::CreateTime,
        before_max_ms: 1000,
        after_max_ms: 500,
        now: WallMs(NOW),
        compacted: false,
        max_message_bytes: 1 << 20,
        max_decompressed_bytes: decompressed_limit(1 << 20),
        encoding: None,
        zstd_allowed: true,
    }
}

fn check(batch: &[u8], rules: &Rules) -> Result<Validated, Rejected> {
    validate(&Bytes::copy_from_slice(batch), rules, &mut Scratch::default())
}

fn refused(batch: &[u8], rules: &Rules) -> Rejected {
    check(batch, rules).expect_err("the batch breaks a rule")
}

/// A batch of records with keys and these timestamps.
fn batch_of(timestamps: &[i64], codec: Compression) -> Vec<u8> {
    let mut builder = BatchBuilder::new();
    for &timestamp in timestamps {
        builder.add(&NewRecord { timestamp, key: Some(b"key"), value: Some(b"value"), headers: &[] });
    }
    let options = BatchOptions { encoding: codec.into(), ..BatchOptions::default() };
    builder.finish(&options, &mut Scratch::default()).to_vec()
}

fn good() -> Vec<u8> {
    batch_of(&[NOW, NOW + 5, NOW - 5], Compression::None)
}

/// `batch` with one field replaced, signed anew.
fn with(mut batch: Vec<u8>, at: usize, field: &[u8]) -> Vec<u8> {
    batch[at..at + field.len()].copy_from_slice(field);
    sign(&mut batch);
    batch
}

/// A batch that claims `count` records and has these bytes for them.
fn raw(records: &[u8], count: i32, codec: Compression) -> Vec<u8> {
    let mut batch = good()[..HEADER_LEN].to_vec();
    compress(codec.into(), records, &mut batch, &mut Scratch::default());
    let length = (batch.len() - 12) as i32;
    batch[8..12].copy_from_slice(&length.to_be_bytes());
    batch[21..23].copy_from_slice(&codec.id().to_be_bytes());
    batch[23..27].copy_from_slice(&(count - 1).to_be_bytes());
    with(batch, 57, &count.to_be_bytes())
}

#[test]
fn a_good_batch_passes_in_every_codec() {
    for codec in Compression::ALL {
        let batch = batch_of(&[NOW, NOW + 5, NOW + 5, NOW - 5], codec);
        let validated = check(&batch, &rules()).unwrap();
        assert_eq!(validated.bytes, batch, "{codec}");
        assert_eq!((validated.max_timestamp, validated.max_timestamp_delta), (NOW + 5, 1));
        assert_eq!(validated.header.records_count, 4);
        let header = validated.stamp(Offset(10), LeaderEpoch(3));
        let stamped = [&header, &batch[HEADER_LEN..]].concat();
        assert_eq!(BatchHeader::verify(&stamped).unwrap().next_offset(), Offset(14));
        assert_eq!(header[17..21], batch[17..21], "a right max timestamp leaves the CRC alone");
    }
}

#[test]
fn a_wrong_max_timestamp_is_put_right() {
    for wrong in [-1, NOW - 1_000_000, i64::MAX] {
        let validated = check(&with(good(), 35, &wrong.to_be_bytes()), &rules()).unwrap();
        assert_eq!(validated.max_timestamp, NOW + 5);
        let header = validated.stamp(Offset(1), LeaderEpoch(1));
        let stamped = [&header, &validated.bytes[HEADER_LEN..]].concat();
        assert_eq!(BatchHeader::verify(&stamped).unwrap().max_timestamp, NOW + 5);
    }
}

#[test]
fn with_log_append_time_the_broker_sets_the_timestamp() {
    let rules = Rules { timestamp_type: TimestampType::LogAppendTime, ..rules() };
    for codec in Compression::ALL {
        // Far out of bounds, which is the producer's affair no longer.
        let validated = check(&batch_of(&[5, NOW * 2, -1], codec), &rules).unwrap();
        assert_eq!((validated.max_timestamp, validated.max_timestamp_delta), (NOW, 0));
        let header = validated.stamp(Offset(1), LeaderEpoch(1));
        let stamped = [&header, &validated.bytes[HEADER_LEN..]].concat();
        let header = BatchHeader::verify(&stamped).unwrap();
        assert_eq!((header.timestamp_type(), header.max_timestamp), (TimestampType::LogAppendTime, NOW));
    }
}

#[test]
fn there_must_be_exactly_one_whole_batch() {
    let one = good();
    for bad in
        [&[][..], &one[..16], &one[..one.len() - 1], &[&one[..], &one].concat(), &[&one[..], &[0]].concat()]
    {
        assert_eq!(refused(bad, &rules()).code(), ErrorCode::InvalidRecord, "{} bytes", bad.len());
    }
    let short = with(good(), 8, &48i32.to_be_bytes());
    assert_eq!(refused(&short, &rules()).code(), ErrorCode::CorruptMessage);
}

#[test]
fn only_format_two_is_taken() {
    for (magic, code) in [
        (0, ErrorCode::InvalidRecord),
        (1, ErrorCode::InvalidRecord),
        (3, ErrorCode::CorruptMessage),
        (-1, ErrorCode::CorruptMessage),
    ] {
        let mut batch = good();
        batch[16] = magic as u8;
        let rejected = refused(&batch, &rules());
        assert_eq!(rejected.reason, Reason::Batch(BatchError::UnsupportedMagic(magic)));
        assert_eq!(rejected.code(), code);
    }
}

#[test]
fn the_base_offset_is_zero() {
    let mut batch = good();
    batch[7] = 5;
    let rejected = refused(&batch, &rules());
    assert_eq!(
        (&rejected.reason, rejected.code()),
        (&Reason::BaseOffset(Offset(5)), ErrorCode::InvalidRecord)
    );
}

#[test]
fn a_batch_is_no_larger_than_the_topic_accepts() {
    let batch = good();
    let fits = Rules { max_message_bytes: batch.len(), ..rules() };
    assert!(check(&batch, &fits).is_ok());
    let tight = Rules { max_message_bytes: batch.len() - 1, ..rules() };
    assert_eq!(refused(&batch, &tight).code(), ErrorCode::MessageTooLarge);
}

#[test]
fn any_flipped_bit_under_the_crc_is_corruption() {
    let good = good();
    // The attributes come after the CRC in this: a bit that makes them zstd is found by the CRC first.
    for bit in 17 * 8..good.len() * 8 {
        let mut bad = good.clone();
        bad[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(refused(&bad, &rules()).code(), ErrorCode::CorruptMessage, "bit {bit}");
    }
}

#[test]
fn codecs_are_known_and_allowed() {
    for id in 5..8i16 {
        let rejected = refused(&with(good(), 21, &id.to_be_bytes()), &rules());
        assert_eq!(rejected.code(), ErrorCode::UnsupportedCompressionType);
    }
    let old = Rules { zstd_allowed: false, ..rules() };
    let rejected = refused(&batch_of(&[NOW], Compression::Zstd), &old);
    assert_eq!(rejected.reason, Reason::ZstdNotAllowed);
    assert_eq!(rejected.code(), ErrorCode::UnsupportedCompressionType);
    assert!(check(&batch_of(&[NOW], Compression::Lz4), &old).is_ok());
}

#[test]
fn count_and_offsets_agree() {
    for (count, last_delta) in
        [(0, -1), (0, 0), (-1, 2), (3, 1), (3, 3), (3, -1), (i32::MAX, 2), (3, i32::MIN)]
    {
        let batch = with(with(good(), 23, &i32::to_be_bytes(last_delta)), 57, &i32::to_be_bytes(count));
        let rejected = refused(&batch, &rules());
        assert_eq!(rejected.reason, Reason::Count { count, last_delta });
        assert_eq!(rejected.code(), ErrorCode::InvalidRecord);
    }
}

#[test]
fn control_batches_are_the_brokers() {
    let rejected = refused(&with(good(), 21, &0x20i16.to_be_bytes()), &rules());
    assert_eq!((&rejected.reason, rejected.code()), (&Reason::Control, ErrorCode::InvalidRecord));
}

#[test]
fn a_producer_has_epoch_and_sequence() {
    let produced = |id: i64, epoch: i16, sequence: i32, attributes: i16| {
        let batch = with(with(good(), 43, &id.to_be_bytes()), 51, &epoch.to_be_bytes());
        check(&with(with(batch, 53, &sequence.to_be_bytes()), 21, &attributes.to_be_bytes()), &rules())
    };
    assert_eq!(produced(7, 0, 0, 0).unwrap().header.producer_id, ProducerId(7));
    assert!(produced(7, 0, 0, 0x10).is_ok());
    assert!(produced(-1, -1, 0, 0).is_ok(), "a sequence without a producer is ignored");
    let rejected = |outcome: Result<Validated, Rejected>| {
        let rejected = outcome.unwrap_err();
        assert_eq!(rejected.code(), ErrorCode::InvalidRecord);
        rejected.reason
    };
    assert_eq!(rejected(produced(7, 0, -1, 0)), Reason::Sequence(-1));
    assert_eq!(rejected(produced(7, -1, 0, 0)), Reason::ProducerEpoch(ProducerEpoch(-1)));
    assert_eq!(rejected(produced(-1, -1, -1, 0x10)), Reason::TransactionWithoutProducer);
}

#[test]
fn log_append_time_is_not_the_producers_to_claim() {
    for timestamp_type in [TimestampType::CreateTime, TimestampType::LogAppendTime] {
        let rejected = refused(&with(good(), 21, &8i16.to_be_bytes()), &Rules { timestamp_type, ..rules() });
        assert_eq!(rejected.code(), ErrorCode::InvalidTimestamp);
    }
}

#[test]
fn timestamps_lie_within_bounds() {
    for codec in Compression::ALL {
        for good in [NOW - 1000, NOW + 500, -1] {
            assert!(check(&batch_of(&[NOW, good], codec), &rules()).is_ok());
        }
        let rejected = refused(&batch_of(&[NOW - 1001, NOW, NOW + 501], codec), &rules());
        assert_eq!(rejected.code(), ErrorCode::InvalidTimestamp);
        let (earliest, latest) = (NOW - 1000, NOW + 500);
        let fault = |timestamp| Fault::Timestamp { timestamp, earliest, latest };
        assert_eq!(
            rejected.records,
            [
                RecordFault { batch_index: 0, fault: fault(NOW - 1001) },
                RecordFault { batch_index: 2, fault: fault(NOW + 501) },
            ]
        );
    }
    let unbounded = Rules { before_max_ms: i64::MAX, after_max_ms: i64::MAX, ..rules() };
    assert!(check(&batch_of(&[0, i64::MAX], Compression::None), &unbounded).is_ok());
}

#[test]
fn compacted_topics_need_keys() {
    let compacted = Rules { compacted: true, ..rules() };
    for codec in Compression::ALL {
        let mut builder = BatchBuilder::new();
        for n in 0..300 {
            let key = (n % 2 == 0).then_some(&b"k"[..]);
            builder.add(&NewRecord { timestamp: NOW, key, value: Some(b"v"), headers: &[] });
        }
        let options = BatchOptions { encoding: codec.into(), ..BatchOptions::default() };
        let batch = builder.finish(&options, &mut Scratch::default());
        assert!(check(&batch, &rules()).is_ok());
        let rejected = refused(&batch, &compacted);
        assert_eq!(rejected.code(), ErrorCode::InvalidRecord);
        assert_eq!(rejected.records.len(), MAX_RECORD_FAULTS);
        assert_eq!(rejected.records[1], RecordFault { batch_index: 3, fault: Fault::NoKey });
        assert!(matches!(rejected.reason, Reason::Faults { count: 150, batch_index: 1, .. }));
    }
}

#[test]
fn a_wrong_timestamp_among_missing_keys_names_the_code() {
    let compacted = Rules { compacted: true, ..rules() };
    let mut builder = BatchBuilder::new();
    builder.add(&NewRecord { timestamp: NOW, ..NewRecord::default() });
    builder.add(&NewRecord { timestamp: 0, key: Some(b"k"), ..NewRecord::default() });
    let batch = builder.finish(&BatchOptions::default(), &mut Scratch::default());
    assert_eq!(refused(&batch, &compacted).code(), ErrorCode::InvalidTimestamp);
}

/// Two records that can be read, deltas 0 and 1, each `[length, attributes, timestamp, offset, -1, -1, 0]`.
const TWO: [u8; 14] = [12, 0, 0, 0, 1, 1, 0, 12, 0, 0, 2, 1, 1, 0];

/// (records, their claimed number, the index of the one at fault, its fault).
fn unreadable() -> Vec<(Vec<u8>, i32, i32, RecordError)> {
    let two = |at: usize, byte: u8| {
        let mut records = TWO.to_vec();
        records[at] = byte;
        records
    };
    let offset = |found| RecordError::OffsetDelta { found, expected: 1 };
    vec![
        (two(10, 0), 2, 1, offset(0)),
        (two(10, 4), 2, 1, offset(2)),
        (two(10, 1), 2, 1, offset(-1)),
        (TWO.to_vec(), 1, 1, RecordError::BytesLeft),
        (TWO.to_vec(), 3, 2, RecordError::Truncated),
        (TWO.to_vec(), i32::MAX, 2, RecordError::Truncated),
        (TWO[..13].to_vec(), 2, 1, RecordError::Truncated),
        (TWO[..7].to_vec(), 2, 1, RecordError::Truncated),
        ([&TWO[..7], &[0x80]].concat(), 2, 1, RecordError::Truncated),
        (two(7, 1), 2, 1, RecordError::Length(-1)),
        (two(7, 0), 2, 1, RecordError::FieldBeyondRecord),
        (two(7, 10), 2, 1, RecordError::FieldBeyondRecord),
        ([&two(7, 14)[..], &[0]].concat(), 2, 1, RecordError::RecordBytesLeft(1)),
        (two(11, 3), 2, 1, RecordError::Length(-2)),
        (two(11, 6), 2, 1, RecordError::FieldBeyondRecord),
        (two(12, 3), 2, 1, RecordError::Length(-2)),
        (two(12, 4), 2, 1, RecordError::FieldBeyondRecord),
        (two(13, 1), 2, 1, RecordError::HeaderCount(-1)),
        (two(13, 2), 2, 1, RecordError::HeaderCount(1)),
        ([&TWO[..7], &[0xff, 0xff, 0xff, 0xff, 0x7f]].concat(), 2, 1, RecordError::Varint),
        // A timestamp delta of eleven bytes, and one of ten with a bit too many.
        ([&TWO[..7], &[40, 0], &[0xff; 11], &[0; 8]].concat(), 2, 1, RecordError::Varint),
        ([&TWO[..7], &[40, 0], &[0xff; 9], &[2], &[0; 9]].concat(), 2, 1, RecordError::Varint),
    ]
}

#[test]
fn every_record_can_be_read_and_fills_its_length() {
    for codec in Compression::ALL {
        assert!(check(&raw(&TWO, 2, codec), &rules()).is_ok());
        for (records, count, batch_index, error) in unreadable() {
            let rejected = refused(&raw(&records, count, codec), &rules());
            let reason = Reason::Record { batch_index, error };
            assert_eq!((&rejected.reason, rejected.code()), (&reason, ErrorCode::InvalidRecord), "{codec}");
        }
        let rejected = refused(&raw(&[], 1, codec), &rules());
        assert_eq!(rejected.code(), ErrorCode::InvalidRecord, "{codec}: no records at all");
    }
}

/// Decompressed bytes come in pieces of 16 KiB: the same faults at every place of a record where one can end.
#[test]
fn a_fault_is_the_same_where_a_piece_ends_inside_a_record() {
    const PIECE: usize = 16 * 1024;
    let mut scratch = Scratch::default();
    for before_end in 1..24 {
        // A first record of whatever size puts the next one `before_end` bytes before the end of the piece:
        // the length in three bytes, four of fields, the value's length in three, the value, no headers.
        let body = PIECE - before_end - 3;
        let value = body - 8;
        let varint = |length: usize| {
            let unsigned = 2 * length;
            [unsigned as u8 | 0x80, (unsigned >> 7) as u8 | 0x80, (unsigned >> 14) as u8]
        };
        let mut padding =
            [&varint(body)[..], &[0, 0, 0, 1], &varint(value), &vec![b'x'; value], &[0]].concat();
        assert_eq!(padding.len(), PIECE - before_end);
        // The record itself is the second of TWO, with its offset delta as it was.
        padding.extend_from_slice(&TWO[7..]);
        let mut validate = |records: &[u8], count: i32, codec: Compression| {
            validate(&Bytes::from(raw(records, count, codec)), &rules(), &mut scratch)
        };
        for codec in [Compression::None, Compression::Gzip, Compression::Zstd] {
            assert!(validate(&padding, 2, codec).is_ok(), "{codec}, {before_end} bytes before the end");
            for (records, count, batch_index, error) in unreadable() {
                let records = [&padding[..PIECE - before_end], &records[7..]].concat();
                let rejected = validate(&records, count, codec).expect_err("the record is at fault");
                assert_eq!(rejected.reason, Reason::Record { batch_index, error }, "{codec}, {before_end}");
            }
        }
    }
}

#[test]
fn a_record_longer_than_the_payload_is_not_waited_for() {
    // The length is the largest there is.
    let records = [0xfe, 0xff, 0xff, 0xff, 0x0f, 0, 0, 0, 1, 1, 0];
    for codec in Compression::ALL {
        assert_eq!(refused(&raw(&records, 1, codec), &rules()).code(), ErrorCode::InvalidRecord, "{codec}");
    }
}

#[test]
fn a_damaged_payload_with_a_right_crc_is_invalid() {
    for codec in Compression::ALL.into_iter().skip(1) {
        let batch = batch_of(&[NOW, NOW], codec);
        let end = batch.len() - 1;
        let mut cut = batch[..end].to_vec();
        cut[8..12].copy_from_slice(&((end - 12) as i32).to_be_bytes());
        sign(&mut cut);
        let rejected = refused(&cut, &rules());
        assert!(matches!(rejected.reason, Reason::Decompress(DecompressError::Damaged { .. })), "{codec}");
        assert_eq!(rejected.code(), ErrorCode::InvalidRecord);
        // A codec's name over another's bytes.
        let other = if codec == Compression::Zstd { Compression::Gzip } else { Compression::Zstd };
        let swapped = with(batch, 21, &other.id().to_be_bytes());
        assert_eq!(refused(&swapped, &rules()).code(), ErrorCode::InvalidRecord, "{codec}");
    }
}

#[test]
fn a_bomb_is_refused_at_the_limit() {
    let small = Rules { max_decompressed_bytes: 100_000, ..rules() };
    let value = vec![0; 200_000];
    for codec in Compression::ALL.into_iter().skip(1) {
        let mut builder = BatchBuilder::new();
        builder.add(&NewRecord { timestamp: NOW, value: Some(&value), ..NewRecord::default() });
        let options = BatchOptions { encoding: codec.into(), ..BatchOptions::default() };
        let batch = builder.finish(&options, &mut Scratch::default());
        assert!(check(&batch, &rules()).is_ok());
        assert_eq!(refused(&batch, &small).code(), ErrorCode::MessageTooLarge, "{codec}");
    }
    assert_eq!((decompressed_limit(1 << 20), decompressed_limit(0)), (128 << 20, 64 << 20));
    assert_eq!(decompressed_limit(usize::MAX), u64::MAX);
}

#[test]
fn the_topics_codec_is_applied() {
    for from in Compression::ALL {
        for to in Compression::ALL {
            let batch = batch_of(&[NOW, NOW + 5], from);
            let level = (to == Compression::Zstd).then_some(1);
            let encoding = Some(Encoding { codec: to, level });
            let timestamp_type = TimestampType::LogAppendTime;
            let validated = check(&batch, &Rules { encoding, timestamp_type, ..rules() }).unwrap();
            assert_eq!(validated.header.compression(), Ok(to));
            assert_eq!(validated.bytes == batch, from == to);
            let header = validated.stamp(Offset(5), LeaderEpoch(1));
            let stamped = [&header, &validated.bytes[HEADER_LEN..]].concat();
            assert_eq!(BatchHeader::verify(&stamped).unwrap().max_timestamp, NOW);
        }
    }
}

#[test]
fn a_batch_that_outgrows_the_topic_in_its_codec_is_too_large() {
    let mut builder = BatchBuilder::new();
    builder.add(&NewRecord { timestamp: NOW, value: Some(&[0; 5000]), ..NewRecord::default() });
    let options = BatchOptions { encoding: Compression::Zstd.into(), ..BatchOptions::default() };
    let batch = builder.finish(&options, &mut Scratch::default());
    let encoding = Some(Compression::None.into());
    let rejected = refused(&batch, &Rules { encoding, max_message_bytes: 5000, ..rules() });
    assert_eq!(rejected.code(), ErrorCode::MessageTooLarge);
    assert!(check(&batch, &Rules { encoding, max_message_bytes: 5100, ..rules() }).is_ok());
}

#[test]
fn scratch_left_by_one_batch_does_not_spoil_the_next() {
    let mut scratch = Scratch::default();
    for round in 0..3 {
        for codec in Compression::ALL {
            let good = Bytes::from(batch_of(&[NOW, NOW + round], codec));
            let mut bad = good.to_vec();
            let middle = bad.len() - 9;
            bad[middle] ^= 0x55;
            sign(&mut bad);
            let _ = validate(&Bytes::from(bad), &rules(), &mut scratch);
            assert!(validate(&good, &rules(), &mut scratch).is_ok(), "{codec}");
        }
    }
}
