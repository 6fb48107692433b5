//! Batches of generated records: they come back as they went, and broken in any way they never panic.

#[path = "fuzz/batch_target.rs"]
mod batch_target;

use batch_target::{batch_reader, signed};
use bytes::Bytes;
use ottla::types::{Offset, ProducerEpoch, ProducerId};
use ottla::wire::batch::{Batch, BatchHeader, HEADER_LEN};
use ottla::wire::batch_builder::{BatchBuilder, BatchOptions, NewRecord};
use ottla::wire::compression::{Compression, Scratch, compress};
use ottla::wire::records::{Header, Record, RecordIter};
use proptest::collection::vec;
use proptest::option::of;
use proptest::prelude::*;

fn field(length: usize) -> impl Strategy<Value = Bytes> {
    vec(any::<u8>(), 0..length).prop_map(Bytes::from)
}

prop_compose! {
    fn record()(
        timestamp in any::<i64>(),
        key in of(field(20)),
        value in of(field(300)),
        headers in vec((field(10), of(field(10))), 0..3),
    ) -> Record {
        let headers = headers.into_iter().map(|(key, value)| Header { key, value }).collect();
        Record { offset: Offset::ZERO, timestamp, key, value, headers }
    }
}

fn records() -> impl Strategy<Value = Vec<Record>> {
    vec(record(), 1..40).prop_map(|mut records| {
        for (n, record) in records.iter_mut().enumerate() {
            record.offset = Offset(n as i64);
        }
        records
    })
}

fn codec() -> impl Strategy<Value = Compression> {
    proptest::sample::select(&Compression::ALL[..])
}

fn build(records: &[Record], codec: Compression) -> Bytes {
    let mut builder = BatchBuilder::new();
    for record in records {
        let new = NewRecord {
            timestamp: record.timestamp,
            key: record.key.as_deref(),
            value: record.value.as_deref(),
            headers: &record.headers,
        };
        let size = builder.size_in_bytes() + builder.size_of(&new);
        builder.add(&new);
        assert_eq!(builder.size_in_bytes(), size);
    }
    let options = BatchOptions {
        encoding: codec.into(),
        producer_id: ProducerId(1),
        producer_epoch: ProducerEpoch(0),
        base_sequence: 0,
        ..BatchOptions::default()
    };
    builder.finish(&options, &mut Scratch::default())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn records_come_back(records in records(), codec in codec()) {
        let bytes = build(&records, codec);
        let batch = Batch { header: BatchHeader::verify(&bytes).unwrap(), bytes };
        let mut scratch = Scratch::default();
        let found: Result<Vec<Record>, _> = RecordIter::new(&batch, 1 << 20, &mut scratch).unwrap().collect();
        prop_assert_eq!(found, Ok(records));
    }

    #[test]
    fn broken_batches_are_read_without_a_panic(
        records in records(),
        codec in codec(),
        cut in any::<prop::sample::Index>(),
        bends in vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
    ) {
        let mut bytes = build(&records, codec).to_vec();
        batch_reader(&bytes);
        for (at, value) in bends {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        batch_reader(&bytes);
        bytes.truncate(cut.index(bytes.len()));
        batch_reader(&bytes);
    }

    #[test]
    fn broken_records_inside_a_right_codec_are_read_without_a_panic(
        records in records(),
        codec in codec(),
        bends in vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let plain = build(&records, Compression::None);
        let mut payload = plain[HEADER_LEN..].to_vec();
        for (at, value) in bends {
            let at = at.index(payload.len());
            payload[at] = value;
        }
        let mut bytes = plain[..HEADER_LEN].to_vec();
        compress(codec.into(), &payload, &mut bytes, &mut Scratch::default());
        bytes[22] = codec.id() as u8;
        batch_reader(&signed(&bytes));
    }

    #[test]
    fn noise_is_read_without_a_panic(bytes in vec(any::<u8>(), 0..400), codec in codec()) {
        batch_reader(&bytes);
        if bytes.len() >= HEADER_LEN {
            let mut bytes = bytes;
            bytes[22] = codec.id() as u8;
            batch_reader(&bytes);
        }
    }
}
