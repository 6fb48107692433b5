//! Records into batches.

use bytes::Bytes;

use super::ProducerRecord;
use super::lane::{Entry, Identity};
use crate::wire::batch::HEADER_LEN;
use crate::wire::batch_builder::{BatchBuilder, BatchOptions, NewRecord};
use crate::wire::compression::{Compression, Scratch};

/// Varints around a record: length, deltas, lengths of key and value, number of headers.
const RECORD_OVERHEAD_MAX: usize = 5 + 1 + 10 + 5 + 5 + 5 + 5;

/// Varints around a header.
const HEADER_OVERHEAD_MAX: usize = 5 + 5;

/// What a record takes of a batch at most, before compression, in bytes; the batch's own header included, so
/// that a record within a limit always fits into a batch within it.
pub(crate) fn record_size(record: &ProducerRecord) -> usize {
    let length = |bytes: &Option<Bytes>| bytes.as_ref().map_or(0, Bytes::len);
    let headers = record.headers.iter();
    let headers = headers.map(|header| HEADER_OVERHEAD_MAX + header.key.len() + length(&header.value));
    HEADER_LEN + RECORD_OVERHEAD_MAX + length(&record.key) + length(&record.value) + headers.sum::<usize>()
}

/// Writes batches; keeps its buffers.
#[derive(Default)]
pub(crate) struct Encoder {
    builder: BatchBuilder,
    scratch: Scratch,
}

impl Encoder {
    /// A batch of these records, numbered from `sequence` under `identity`, if the producer is idempotent.
    pub(crate) fn encode(
        &mut self,
        entries: &[Entry],
        identity: Option<Identity>,
        sequence: i32,
        compression: Compression,
    ) -> Bytes {
        for entry in entries {
            self.builder.add(&NewRecord {
                timestamp: entry.timestamp.0,
                key: entry.record.key.as_deref(),
                value: entry.record.value.as_deref(),
                headers: &entry.record.headers,
            });
        }
        let mut options = BatchOptions { encoding: compression.into(), ..BatchOptions::default() };
        if let Some(identity) = identity {
            options.producer_id = identity.producer_id;
            options.producer_epoch = identity.epoch;
            options.base_sequence = sequence;
        }
        self.builder.finish(&options, &mut self.scratch)
    }
}
