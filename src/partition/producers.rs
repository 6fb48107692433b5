//! What idempotent producers last wrote to a partition, so that a batch sent again is recognised.
//!
//! Per producer id the last [`REMEMBERED_BATCHES`] batches are kept, as many as a producer may have in
//! flight (KAFKA-5494). A batch with exactly the sequence numbers of one of them is that batch, and the
//! answer is its offset. Any other must continue the sequence; see [`ProducerTable::check`].
//!
//! The state is a fold over the headers of the log's batches: [`ProducerTable::fold`] is its only way
//! forward, live and in recovery, and nothing is folded before the log has taken the batch (KAFKA-6683).
//!
//! # Snapshots
//!
//! The `.snapshot` file holds one [`SnapshotEntry`] per remembered batch, oldest first. Kafka's own brokers
//! write one per producer, for its last batch, and of several entries of a producer they keep the last one
//! read: so they read our files, and we read theirs, but a state of ours comes back whole. With the last
//! batch alone, a producer that sends an older one again after a restart would be told that it is out of
//! order, and would send it under a new epoch: a duplicate.
//!
//! # Bounds
//!
//! A producer costs less than 300 bytes. As in Kafka their number is bounded only by expiry: a producer that
//! wrote nothing for `producer.id.expiration.ms` is forgotten, unless it has a transaction open.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use thiserror::Error;

use crate::error_code::ErrorCode;
use crate::types::{Offset, ProducerEpoch, ProducerId, WallMs};
use crate::wire::batch::{BatchHeader, NO_SEQUENCE, NO_TIMESTAMP, increment_sequence};

/// Batches remembered per producer: Kafka's limit of requests in flight for an idempotent producer.
pub const REMEMBERED_BATCHES: usize = 5;

/// The producers of one partition.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ProducerTable {
    producers: BTreeMap<ProducerId, Producer>,
    /// First offset and producer of every open transaction: an index over `producers`.
    open_transactions: BTreeSet<(Offset, ProducerId)>,
}

/// What [`ProducerTable::check`] found about a batch that may be answered with success.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sequence {
    /// The batch is new and may be appended.
    New,
    /// The batch is in the log already, here.
    Duplicate(RememberedBatch),
}

/// One batch that a producer wrote.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RememberedBatch {
    /// The sequence number of its last record.
    pub last_sequence: i32,
    /// The offset of its last record.
    pub last_offset: Offset,
    /// Its last offset less its first; and so for sequence numbers, modulo 2^31.
    pub offset_delta: i32,
    /// Its largest timestamp; the log append time where the topic has that.
    pub timestamp: WallMs,
}

impl RememberedBatch {
    /// The sequence number of its first record.
    pub fn first_sequence(&self) -> i32 {
        // The number before 0 is i32::MAX: stepping back by n is stepping on by 2^31 - n.
        if self.last_sequence >= self.offset_delta {
            self.last_sequence - self.offset_delta
        } else {
            i32::MAX - (self.offset_delta - self.last_sequence) + 1
        }
    }

    /// The offset of its first record.
    pub fn base_offset(&self) -> Offset {
        self.last_offset + -i64::from(self.offset_delta)
    }
}

/// A batch's place in its producer's sequence is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum SequenceError {
    /// An incarnation of the producer that a later one has replaced.
    #[error("epoch {epoch} of producer {producer_id} is older than its current epoch {current}")]
    InvalidProducerEpoch {
        /// The producer.
        producer_id: ProducerId,
        /// The batch's epoch.
        epoch: ProducerEpoch,
        /// The last epoch seen.
        current: ProducerEpoch,
    },
    /// Batches before this one are missing, or it is one sent long ago.
    #[error("producer {producer_id} in epoch {epoch} sent sequence number {sequence}, expected {expected}")]
    OutOfOrder {
        /// The producer.
        producer_id: ProducerId,
        /// The batch's epoch.
        epoch: ProducerEpoch,
        /// The batch's first sequence number.
        sequence: i32,
        /// The only one that could be appended.
        expected: i32,
    },
    /// A producer id goes with an epoch and a sequence number, neither of them negative.
    #[error(
        "producer {producer_id} sent epoch {epoch} and sequence number {sequence}; neither may be negative"
    )]
    Missing {
        /// The producer.
        producer_id: ProducerId,
        /// The batch's epoch.
        epoch: ProducerEpoch,
        /// The batch's first sequence number.
        sequence: i32,
    },
}

impl SequenceError {
    /// What the client is told.
    pub fn error_code(&self) -> ErrorCode {
        match self {
            Self::InvalidProducerEpoch { .. } => ErrorCode::InvalidProducerEpoch,
            Self::OutOfOrder { .. } => ErrorCode::OutOfOrderSequenceNumber,
            Self::Missing { .. } => ErrorCode::InvalidRecord,
        }
    }
}

/// One line of a producer snapshot: the fields of Kafka's `ProducerSnapshot`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SnapshotEntry {
    /// The producer.
    pub producer_id: ProducerId,
    /// Its epoch.
    pub epoch: ProducerEpoch,
    /// The batch's last sequence number, -1 if the entry has no batch.
    pub last_sequence: i32,
    /// The batch's last offset, -1 if the entry has no batch.
    pub last_offset: Offset,
    /// The batch's last offset less its first.
    pub offset_delta: i32,
    /// The batch's timestamp; in the producer's last entry, that of the last thing it wrote.
    pub timestamp: WallMs,
    /// The epoch of the coordinator that wrote the last transaction marker, -1 if none did.
    pub coordinator_epoch: i32,
    /// Where the open transaction began, -1 if none is open.
    pub current_txn_first_offset: Offset,
}

/// A snapshot's entry is impossible, though the file's checksum may be right.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("impossible producer snapshot entry {entry:?}")]
pub struct InvalidSnapshot {
    /// The entry.
    pub entry: SnapshotEntry,
}

impl ProducerTable {
    /// Judges a data batch that a client sent. Changes nothing.
    ///
    /// A batch without producer id is always new. Else, in this order: an older epoch is refused; the exact
    /// sequence range of a remembered batch is that batch; a new epoch starts at 0; the batch continues where
    /// the last one ended, 0 following `i32::MAX`. A producer that is not known may start anywhere: its
    /// state may have expired.
    ///
    /// # Errors
    ///
    /// [`SequenceError`], none of which changes anything either.
    pub fn check(&self, header: &BatchHeader) -> Result<Sequence, SequenceError> {
        if !header.has_producer_id() {
            return Ok(Sequence::New);
        }
        let (producer_id, epoch) = (header.producer_id, header.producer_epoch);
        let sequence = header.base_sequence;
        if epoch.0 < 0 || sequence < 0 {
            return Err(SequenceError::Missing { producer_id, epoch, sequence });
        }
        let Some(producer) = self.producers.get(&producer_id) else {
            return Ok(Sequence::New);
        };
        if epoch < producer.epoch {
            return Err(SequenceError::InvalidProducerEpoch { producer_id, epoch, current: producer.epoch });
        }
        if epoch == producer.epoch
            && let Some(batch) = producer.batch_of(sequence, header.last_sequence())
        {
            return Ok(Sequence::Duplicate(batch));
        }
        let expected = if epoch == producer.epoch { producer.next_sequence() } else { 0 };
        if sequence != expected {
            return Err(SequenceError::OutOfOrder { producer_id, epoch, sequence, expected });
        }
        Ok(Sequence::New)
    }

    /// Takes in a batch that the log has taken, from whatever source: what stands in the log is right.
    ///
    /// A control batch with a producer id is a transaction marker: it ends the producer's transaction. Which
    /// coordinator epoch wrote it stands in its record, which is not seen here.
    pub fn fold(&mut self, header: &BatchHeader) {
        // Compaction removed the transaction and leaves the marker's empty batch: it ends nothing any more.
        let emptied_marker = header.is_control() && header.records_count == 0;
        if !header.has_producer_id() || header.producer_epoch.0 < 0 || emptied_marker {
            return;
        }
        let producer_id = header.producer_id;
        let producer =
            self.producers.entry(producer_id).or_insert_with(|| Producer::new(header.producer_epoch));
        producer.enter_epoch(header.producer_epoch);
        producer.last_timestamp = WallMs(header.max_timestamp);
        if header.is_control() {
            if let Some(first) = producer.current_txn_first_offset.take() {
                self.open_transactions.remove(&(first, producer_id));
            }
        } else {
            if header.base_sequence >= 0 {
                producer.remember(RememberedBatch {
                    last_sequence: header.last_sequence(),
                    last_offset: header.last_offset(),
                    offset_delta: header.last_offset_delta,
                    timestamp: producer.last_timestamp,
                });
            }
            if header.is_transactional() && producer.current_txn_first_offset.is_none() {
                producer.current_txn_first_offset = Some(header.base_offset);
                self.open_transactions.insert((header.base_offset, producer_id));
            }
        }
        // A snapshot has one timestamp for the producer and its last batch, so that is what we keep.
        if let Some(last) = producer.batches.last_mut() {
            last.timestamp = producer.last_timestamp;
        }
    }

    /// The first offset of the earliest transaction that is still open: the last stable offset's limit.
    pub fn first_undecided(&self) -> Option<Offset> {
        self.open_transactions.first().map(|&(offset, _)| offset)
    }

    /// Forgets producers that wrote nothing, neither data nor marker (KAFKA-9144), for `expiration`, and
    /// have no transaction open. Says how many.
    pub fn expire(&mut self, now: WallMs, expiration: Duration) -> usize {
        let expiration = i64::try_from(expiration.as_millis()).unwrap_or(i64::MAX);
        let before = self.producers.len();
        self.producers.retain(|_, producer| {
            producer.current_txn_first_offset.is_some()
                || now.0.saturating_sub(producer.last_timestamp.0) < expiration
        });
        before - self.producers.len()
    }

    /// How many producers are known.
    pub fn len(&self) -> usize {
        self.producers.len()
    }

    /// Whether no producer is known.
    pub fn is_empty(&self) -> bool {
        self.producers.is_empty()
    }

    /// The state as a snapshot holds it; see the module's text.
    pub fn snapshot(&self) -> Vec<SnapshotEntry> {
        let mut entries = Vec::with_capacity(self.producers.len());
        for (&producer_id, producer) in &self.producers {
            let without_batch = SnapshotEntry {
                producer_id,
                epoch: producer.epoch,
                last_sequence: NO_SEQUENCE,
                last_offset: Offset(-1),
                offset_delta: 0,
                timestamp: producer.last_timestamp,
                coordinator_epoch: producer.coordinator_epoch,
                current_txn_first_offset: producer.current_txn_first_offset.unwrap_or(Offset(-1)),
            };
            entries.extend(producer.batches.iter().map(|batch| SnapshotEntry {
                last_sequence: batch.last_sequence,
                last_offset: batch.last_offset,
                offset_delta: batch.offset_delta,
                timestamp: batch.timestamp,
                ..without_batch
            }));
            if producer.batches.is_empty() {
                entries.push(without_batch);
            }
        }
        entries
    }

    /// The table that a snapshot describes, ours or Kafka's.
    ///
    /// # Errors
    ///
    /// [`InvalidSnapshot`]: the caller takes an older snapshot, or none, and folds more of the log.
    pub fn restore(entries: impl IntoIterator<Item = SnapshotEntry>) -> Result<Self, InvalidSnapshot> {
        let mut table = Self::default();
        for entry in entries {
            if !table.restore_entry(&entry) {
                return Err(InvalidSnapshot { entry });
            }
        }
        for (&producer_id, producer) in &table.producers {
            if let Some(first) = producer.current_txn_first_offset {
                table.open_transactions.insert((first, producer_id));
            }
        }
        Ok(table)
    }

    fn restore_entry(&mut self, entry: &SnapshotEntry) -> bool {
        if entry.producer_id.0 < 0 || entry.epoch.0 < 0 {
            return false;
        }
        let producer = self.producers.entry(entry.producer_id).or_insert_with(|| Producer::new(entry.epoch));
        producer.enter_epoch(entry.epoch);
        producer.last_timestamp = entry.timestamp;
        producer.coordinator_epoch = entry.coordinator_epoch;
        producer.current_txn_first_offset =
            (entry.current_txn_first_offset.0 >= 0).then_some(entry.current_txn_first_offset);
        // Batches of a coordinator have offsets and no sequence: there is nothing to compare them by.
        if entry.last_offset.0 < 0 || entry.last_sequence == NO_SEQUENCE {
            return true;
        }
        let after = producer.batches.last().map_or(-1, |last| last.last_offset.0);
        let possible = entry.last_sequence >= 0
            && entry.last_offset.0 < i64::MAX
            && (0..=entry.last_offset.0 - after - 1).contains(&i64::from(entry.offset_delta));
        if possible {
            producer.remember(RememberedBatch {
                last_sequence: entry.last_sequence,
                last_offset: entry.last_offset,
                offset_delta: entry.offset_delta,
                timestamp: entry.timestamp,
            });
        }
        possible
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Producer {
    epoch: ProducerEpoch,
    coordinator_epoch: i32,
    last_timestamp: WallMs,
    current_txn_first_offset: Option<Offset>,
    /// Of `epoch`, oldest first, at most [`REMEMBERED_BATCHES`].
    batches: Vec<RememberedBatch>,
}

impl Producer {
    fn new(epoch: ProducerEpoch) -> Self {
        Self {
            epoch,
            coordinator_epoch: -1,
            last_timestamp: WallMs(NO_TIMESTAMP),
            current_txn_first_offset: None,
            batches: Vec::new(),
        }
    }

    /// Sequence numbers of another epoch mean other records.
    fn enter_epoch(&mut self, epoch: ProducerEpoch) {
        if self.epoch != epoch {
            self.epoch = epoch;
            self.batches.clear();
        }
    }

    fn remember(&mut self, batch: RememberedBatch) {
        if self.batches.len() == REMEMBERED_BATCHES {
            self.batches.remove(0);
        }
        self.batches.push(batch);
    }

    fn batch_of(&self, first_sequence: i32, last_sequence: i32) -> Option<RememberedBatch> {
        let same = |batch: &&RememberedBatch| {
            batch.last_sequence == last_sequence && batch.first_sequence() == first_sequence
        };
        self.batches.iter().find(same).copied()
    }

    /// 0 after a marker that opened the epoch.
    fn next_sequence(&self) -> i32 {
        self.batches.last().map_or(0, |last| increment_sequence(last.last_sequence, 1))
    }
}

#[cfg(test)]
mod tests;
