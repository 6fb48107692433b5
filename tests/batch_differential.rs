//! Our record batches against those of the `kafka-protocol` crate, in both directions and every codec.

use bytes::{Bytes, BytesMut};
use kafka_protocol::protocol::StrBytes;
use kafka_protocol::records as theirs;
use ottla::types::{LeaderEpoch, Offset, ProducerEpoch, ProducerId};
use ottla::wire::batch::{Batch, BatchHeader, TimestampType, stamp};
use ottla::wire::batch_builder::{BatchBuilder, BatchOptions, NewRecord};
use ottla::wire::compression::{Compression, Scratch};
use ottla::wire::records::{Header, Record, RecordIter};
use proptest::collection::vec;
use proptest::option::of;
use proptest::prelude::*;

prop_compose! {
    fn record()(
        // Their encoder computes distances without wrapping.
        timestamp in 0i64..1 << 45,
        key in of(vec(any::<u8>(), 0..20)),
        value in of(vec(any::<u8>(), 0..2000)),
        // Their headers are a map: one value for a key.
        headers in prop::collection::btree_map("[a-z]{1,8}", of(vec(any::<u8>(), 0..10)), 0..3),
    ) -> Record {
        let header = |(key, value): (String, Option<Vec<u8>>)| Header {
            key: Bytes::from(key),
            value: value.map(Bytes::from),
        };
        Record {
            offset: Offset::ZERO,
            timestamp,
            key: key.map(Bytes::from),
            value: value.map(Bytes::from),
            headers: headers.into_iter().map(header).collect(),
        }
    }
}

fn codec() -> impl Strategy<Value = Compression> {
    proptest::sample::select(&Compression::ALL[..])
}

fn their_codec(codec: Compression) -> theirs::Compression {
    match codec {
        Compression::None => theirs::Compression::None,
        Compression::Gzip => theirs::Compression::Gzip,
        Compression::Snappy => theirs::Compression::Snappy,
        Compression::Lz4 => theirs::Compression::Lz4,
        Compression::Zstd => theirs::Compression::Zstd,
    }
}

fn their_record(record: &Record, sequence: i32) -> theirs::Record {
    let headers = record.headers.iter().map(|header| {
        let key = String::from_utf8(header.key.to_vec()).expect("generated from letters");
        (StrBytes::from_string(key), header.value.clone())
    });
    theirs::Record {
        transactional: true,
        control: false,
        delete_horizon: false,
        partition_leader_epoch: 4,
        producer_id: 70,
        producer_epoch: 3,
        timestamp_type: theirs::TimestampType::Creation,
        offset: record.offset.0,
        sequence,
        timestamp: record.timestamp,
        key: record.key.clone(),
        value: record.value.clone(),
        headers: headers.collect(),
    }
}

const BASE: i64 = 1000;
const SEQUENCE: i32 = 50;

fn numbered(mut records: Vec<Record>) -> Vec<Record> {
    for (n, record) in records.iter_mut().enumerate() {
        record.offset = Offset(BASE + n as i64);
    }
    records
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn they_read_what_we_write(
        records in vec(record(), 1..30).prop_map(numbered),
        codec in codec(),
        append_time in any::<bool>(),
    ) {
        let mut builder = BatchBuilder::new();
        for record in &records {
            builder.add(&NewRecord {
                timestamp: record.timestamp,
                key: record.key.as_deref(),
                value: record.value.as_deref(),
                headers: &record.headers,
            });
        }
        let options = BatchOptions {
            encoding: codec.into(),
            producer_id: ProducerId(70),
            producer_epoch: ProducerEpoch(3),
            base_sequence: SEQUENCE,
            transactional: true,
            ..BatchOptions::default()
        };
        let batch = builder.finish(&options, &mut Scratch::default());
        let timestamps = append_time.then_some((TimestampType::LogAppendTime, 77));
        let header = stamp(&batch, Offset(BASE), LeaderEpoch(4), timestamps);
        let mut stamped = Bytes::from([&header, &batch[header.len()..]].concat());
        let found = theirs::RecordBatchDecoder::decode(&mut stamped).expect("they take what we write");
        prop_assert_eq!(found.compression, their_codec(codec));
        prop_assert_eq!(found.records.len(), records.len());
        for (n, (found, record)) in found.records.iter().zip(&records).enumerate() {
            let mut sent = their_record(record, SEQUENCE + n as i32);
            if append_time {
                sent.timestamp_type = theirs::TimestampType::LogAppend;
                // They keep the producer's timestamp, which our own reader replaces as Kafka's does.
                sent.timestamp = found.timestamp;
            }
            prop_assert_eq!(found, &sent);
        }
    }

    #[test]
    fn we_read_what_they_write(records in vec(record(), 1..30).prop_map(numbered), codec in codec()) {
        let sent: Vec<_> =
            records.iter().zip(SEQUENCE..).map(|(record, sequence)| their_record(record, sequence)).collect();
        let mut bytes = BytesMut::new();
        let options = theirs::RecordEncodeOptions { version: 2, compression: their_codec(codec) };
        theirs::RecordBatchEncoder::encode(&mut bytes, &sent, &options).expect("they write what they read");
        let bytes = bytes.freeze();
        let header = BatchHeader::verify(&bytes).expect("they sign what they write");
        prop_assert_eq!(header.base_offset, Offset(BASE));
        prop_assert_eq!(header.next_offset(), Offset(BASE + sent.len() as i64));
        prop_assert_eq!((header.base_sequence, header.producer_id), (SEQUENCE, ProducerId(70)));
        prop_assert_eq!(header.compression(), Ok(codec));
        prop_assert!(header.is_transactional());
        let latest = records.iter().map(|record| record.timestamp).max();
        prop_assert_eq!(Some(header.max_timestamp), latest);
        let batch = Batch { header, bytes };
        let mut scratch = Scratch::default();
        let found: Result<Vec<Record>, _> =
            RecordIter::new(&batch, 1 << 20, &mut scratch).unwrap().sequential().collect();
        prop_assert_eq!(found, Ok(records));
    }
}
