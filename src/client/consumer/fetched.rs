//! What one partition's answer to a fetch holds: batches, turned into records as they are asked for; pure.

use std::collections::{BTreeSet, VecDeque};

use bytes::Bytes;

use super::{ConsumeError, ConsumerRecord, TopicPartition};
use crate::types::{LeaderEpoch, Offset, WallMs};
use crate::wire::batch::{Batch, BatchError, split, verify_crc};
use crate::wire::compression::Scratch;
use crate::wire::messages::fetch::AbortedTransaction;
use crate::wire::records::{ControlType, Record, RecordIter};

/// What one batch may expand to, in bytes.
const DECOMPRESSED_BYTES_MAX: u64 = 512 << 20;

/// Where a consumer stands in a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Position {
    /// The offset of the next record to deliver.
    pub(crate) offset: Offset,
    /// The leader epoch of the last record delivered, if any was.
    pub(crate) epoch: LeaderEpoch,
}

/// One partition's batches.
#[derive(Debug)]
pub(crate) struct Fetched {
    pub(crate) key: TopicPartition,
    /// The assignment that it was fetched for; a seek makes another.
    pub(crate) generation: u64,
    /// What is not decoded yet.
    batches: Bytes,
    /// Aborted transactions that begin at or after what is not decoded yet, by first offset. Empty unless
    /// reading committed records only.
    aborted: VecDeque<(i64, i64)>,
    /// Producers in the middle of an aborted transaction.
    aborting: BTreeSet<i64>,
    committed_only: bool,
    check_crcs: bool,
    /// Of the batch decoded last.
    records: VecDeque<Record>,
    epoch: LeaderEpoch,
    /// Where the partition stands once `records` are delivered.
    after: Position,
}

impl Fetched {
    pub(crate) fn new(
        key: TopicPartition,
        generation: u64,
        position: Position,
        batches: Bytes,
        aborted: Option<&[AbortedTransaction]>,
        check_crcs: bool,
    ) -> Self {
        let mut sorted: Vec<(i64, i64)> = Vec::new();
        let listed = aborted.unwrap_or_default().iter();
        sorted.extend(listed.map(|aborted| (aborted.first_offset, aborted.producer_id)));
        sorted.sort_unstable();
        Self {
            key,
            generation,
            batches,
            aborted: sorted.into(),
            aborting: BTreeSet::new(),
            committed_only: aborted.is_some(),
            check_crcs,
            records: VecDeque::new(),
            epoch: position.epoch,
            after: position,
        }
    }

    /// The next record, with where the partition stands after it; without one, `Err` if the batches are
    /// damaged, else `Ok(None)` and [`Fetched::end`] says where the partition stands.
    pub(crate) fn next(
        &mut self,
        scratch: &mut Scratch,
    ) -> Result<Option<(ConsumerRecord, Position)>, ConsumeError> {
        loop {
            if let Some(record) = self.records.pop_front() {
                let position = if self.records.is_empty() {
                    self.after
                } else {
                    Position { offset: record.offset.next(), epoch: self.epoch }
                };
                return Ok(Some((self.deliver(record), position)));
            }
            let Some(batch) = self.next_batch()? else { return Ok(None) };
            self.decode(&batch, scratch)?;
        }
    }

    /// Where the partition stands when all is delivered.
    pub(crate) fn end(&self) -> Position {
        self.after
    }

    fn next_batch(&mut self) -> Result<Option<Batch>, ConsumeError> {
        match split(&self.batches).next() {
            // An answer may end inside a batch: that one comes with the next.
            None | Some(Err(BatchError::Truncated { .. })) => {
                self.batches.clear();
                Ok(None)
            }
            Some(Ok(batch)) => {
                let _taken = self.batches.split_to(batch.bytes.len());
                Ok(Some(batch))
            }
            Some(Err(error)) => Err(self.corrupt(&error)),
        }
    }

    fn decode(&mut self, batch: &Batch, scratch: &mut Scratch) -> Result<(), ConsumeError> {
        let header = &batch.header;
        if self.check_crcs {
            verify_crc(&batch.bytes).map_err(|error| self.corrupt(&error))?;
        }
        header.check_values().map_err(|error| self.corrupt(&error))?;
        let from = self.after.offset;
        if header.last_offset() < from {
            return Ok(());
        }
        while let Some(&(first_offset, producer_id)) = self.aborted.front()
            && first_offset <= header.last_offset().0
        {
            self.aborting.insert(producer_id);
            self.aborted.pop_front();
        }
        let mut skipped = header.is_control();
        if self.committed_only && header.is_transactional() {
            if header.is_control() {
                self.end_transaction(batch, scratch)?;
            } else {
                skipped = self.aborting.contains(&header.producer_id.0);
            }
        }
        if !skipped {
            let records = RecordIter::new(batch, DECOMPRESSED_BYTES_MAX, scratch);
            let records = records.map_err(|error| self.corrupt(&error))?;
            for record in records {
                let record = record.map_err(|error| self.corrupt(&error))?;
                // A batch is fetched whole though only its end was asked for.
                if record.offset >= from {
                    self.records.push_back(record);
                }
            }
        }
        self.epoch = header.partition_leader_epoch;
        self.after = Position { offset: header.next_offset(), epoch: self.epoch };
        Ok(())
    }

    fn end_transaction(&mut self, batch: &Batch, scratch: &mut Scratch) -> Result<(), ConsumeError> {
        let mut records =
            RecordIter::new(batch, DECOMPRESSED_BYTES_MAX, scratch).map_err(|error| self.corrupt(&error))?;
        let first = records.next().transpose().map_err(|error| self.corrupt(&error))?;
        // Compaction may have emptied the batch.
        let Some(marker) = first else { return Ok(()) };
        let kind =
            ControlType::parse(&marker.key.unwrap_or_default()).map_err(|error| self.corrupt(&error))?;
        if kind == Some(ControlType::Abort) {
            self.aborting.remove(&batch.header.producer_id.0);
        }
        Ok(())
    }

    fn deliver(&self, record: Record) -> ConsumerRecord {
        ConsumerRecord {
            topic: self.key.topic.clone(),
            partition: self.key.partition,
            offset: record.offset,
            timestamp: WallMs(record.timestamp),
            leader_epoch: self.epoch,
            key: record.key,
            value: record.value,
            headers: record.headers,
        }
    }

    fn corrupt(&self, error: &dyn std::fmt::Display) -> ConsumeError {
        ConsumeError::Corrupt {
            partition: self.key.clone(),
            offset: self.after.offset,
            reason: error.to_string(),
        }
    }
}
