//! Batches to append.

use bytes::Bytes;
use ottla::log::StampedBatch;
use ottla::types::{LeaderEpoch, Offset};
use ottla::wire::batch::HEADER_LEN;
use ottla::wire::batch_builder::{BatchBuilder, BatchOptions, NewRecord};
use ottla::wire::compression::{Compression, Scratch};

/// One batch of the given records: their timestamps and value sizes.
#[derive(Debug, Clone)]
pub(crate) struct Spec {
    pub(crate) base: i64,
    pub(crate) epoch: i32,
    pub(crate) records: Vec<(i64, usize)>,
    pub(crate) codec: Compression,
}

impl Spec {
    /// A batch of `count` records with one timestamp and small values.
    pub(crate) fn new(base: i64, count: usize, timestamp: i64) -> Self {
        Self { base, epoch: 0, records: vec![(timestamp, 10); count], codec: Compression::None }
    }

    /// The same, with values of this size.
    pub(crate) fn sized(mut self, size: usize) -> Self {
        self.records.iter_mut().for_each(|record| record.1 = size);
        self
    }

    pub(crate) fn bytes(&self) -> Bytes {
        let mut builder = BatchBuilder::new();
        for (index, (timestamp, size)) in self.records.iter().enumerate() {
            // Values that differ from record to record, so that no two batches have the same bytes.
            let seed = (self.base as u64).wrapping_mul(31).wrapping_add(index as u64 * 7 + self.epoch as u64);
            let value: Vec<u8> =
                (0..*size).map(|at| (seed.wrapping_mul(at as u64 + 1) >> 3) as u8 | 1).collect();
            builder.add(&NewRecord { timestamp: *timestamp, value: Some(&value), ..NewRecord::default() });
        }
        let options = BatchOptions {
            base_offset: Offset(self.base),
            leader_epoch: LeaderEpoch(self.epoch),
            encoding: self.codec.into(),
            ..BatchOptions::default()
        };
        builder.finish(&options, &mut Scratch::default())
    }

    pub(crate) fn stamped(&self) -> StampedBatch {
        stamped(&self.bytes())
    }
}

pub(crate) fn stamped(bytes: &Bytes) -> StampedBatch {
    let header = bytes[..HEADER_LEN].try_into().expect("a batch has a header");
    StampedBatch { header, payload: bytes.slice(HEADER_LEN..) }
}
