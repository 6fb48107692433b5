//! Any bytes, read as record batches: nothing panics, and the readers agree with each other.

use bytes::Bytes;
use ottla::types::{LeaderEpoch, Offset, WallMs};
use ottla::wire::batch::{Batch, BatchHeader, HEADER_LEN, TimestampType, split, stamp, verify_crc};
use ottla::wire::batch_recompress::recompress;
use ottla::wire::compression::{Compression, Scratch};
use ottla::wire::records::{ControlType, Record, RecordError, RecordIter};
use ottla::wire::validate::{Rules, validate};

/// What the records of one input may decompress to.
const LIMIT: u64 = 1 << 20;

/// Reads `bytes` as they are, and again with the batch's length and CRC put right, so that whatever else is
/// wrong is met behind them.
pub(crate) fn batch_reader(bytes: &[u8]) {
    let mut scratch = Scratch::default();
    read_all(&Bytes::copy_from_slice(bytes), &mut scratch);
    if bytes.len() >= HEADER_LEN {
        read_all(&signed(bytes), &mut scratch);
    }
}

/// `bytes` as one batch whose base offset, length, magic and CRC are right.
pub(crate) fn signed(bytes: &[u8]) -> Bytes {
    let mut batch = bytes.to_vec();
    batch[..8].fill(0);
    let length = i32::try_from(batch.len() - 12).expect("inputs are small");
    batch[8..12].copy_from_slice(&length.to_be_bytes());
    batch[16] = 2;
    let crc = crc32c::crc32c(&batch[21..]);
    batch[17..21].copy_from_slice(&crc.to_be_bytes());
    Bytes::from(batch)
}

fn read_all(bytes: &Bytes, scratch: &mut Scratch) {
    for batch in split(bytes) {
        let Ok(batch) = batch else { break };
        read_header(&batch);
        read_records(&batch, scratch);
    }
    let _ = validate(bytes, &rules(TimestampType::LogAppendTime), scratch);
}

fn read_header(batch: &Batch) {
    let header = batch.header;
    assert_eq!(header.size_in_bytes(), batch.bytes.len());
    assert!(header.next_offset() >= header.last_offset());
    let _ = (header.last_sequence(), header.timestamp_type(), header.delete_horizon_ms());
    if verify_crc(&batch.bytes).is_ok() {
        let timestamps = Some((TimestampType::LogAppendTime, 77));
        let front = stamp(&batch.bytes, Offset(5), LeaderEpoch(6), timestamps);
        assert_eq!(verify_crc(&[&front, &batch.bytes[HEADER_LEN..]].concat()), Ok(()));
    }
}

fn read_records(batch: &Batch, scratch: &mut Scratch) {
    let records = collect(batch, scratch);
    let validated = validate(&batch.bytes, &rules(TimestampType::CreateTime), scratch);
    match (&records, &validated) {
        (Ok(records), Ok(validated)) => {
            assert_eq!(records.len(), validated.header.records_count as usize);
            let latest = records.iter().map(|record| record.timestamp).max().unwrap_or(-1).max(-1);
            assert_eq!(latest, validated.max_timestamp);
            recompress_all(batch, records, scratch);
        }
        (Err(_), Ok(_)) => panic!("what was validated can be read: {:?}", batch.header),
        // A validator refuses more than damage: control batches, for example.
        (_, Err(rejected)) => assert!(!rejected.to_string().is_empty() && rejected.code().name() != "NONE"),
    }
}

fn collect(batch: &Batch, scratch: &mut Scratch) -> Result<Vec<Record>, RecordError> {
    let records: Result<Vec<Record>, _> = RecordIter::new(batch, LIMIT, scratch)?.sequential().collect();
    if let Ok(records) = &records
        && batch.header.is_control()
    {
        for record in records {
            let _ = record.key.as_ref().map(|key| ControlType::parse(key));
        }
    }
    records
}

fn recompress_all(batch: &Batch, records: &[Record], scratch: &mut Scratch) {
    for codec in Compression::ALL {
        let Ok(bytes) = recompress(&batch.bytes, codec.into(), 2 * LIMIT as usize, LIMIT, scratch) else {
            panic!("what can be read can be written again");
        };
        let again = Batch { header: BatchHeader::verify(&bytes).expect("our own batch"), bytes };
        assert_eq!(collect(&again, scratch).as_deref(), Ok(records));
    }
}

fn rules(timestamp_type: TimestampType) -> Rules {
    Rules {
        timestamp_type,
        before_max_ms: i64::MAX,
        after_max_ms: i64::MAX,
        now: WallMs(0),
        compacted: false,
        max_message_bytes: 1 << 20,
        max_decompressed_bytes: LIMIT,
        encoding: None,
        zstd_allowed: true,
    }
}
