//! What an append may have to wait for: a new segment, a durable leader epoch, a truncation.
//!
//! All of them happen seldom and wait for the disk, and none may be left half done. They run in the node's own
//! tasks; the appends that need them wait and then try again, and a follower fetches again.

use std::sync::Arc;

use super::flusher::Flushable;
use super::replica::Replica;
use crate::env::{Clock, Env};
use crate::log::producer_snapshot::{ProducerSnapshotEntry, write_producer_snapshot};
use crate::partition::SnapshotEntry;

/// The preparation of one replica's log.
pub struct Preparation<E: Env> {
    replica: Arc<Replica<E>>,
}

impl<E: Env> Preparation<E> {
    pub(super) fn new(replica: Arc<Replica<E>>) -> Self {
        Self { replica }
    }

    async fn run(&self) -> Result<(), crate::log::LogFailure> {
        self.replica.truncate().await?;
        self.replica.save_epochs().await?;
        self.roll().await
    }

    /// Rolls the log, and writes the producers as they are at the new segment's beginning (KAFKA-9892).
    async fn roll(&self) -> Result<(), crate::log::LogFailure> {
        let replica = &self.replica;
        let (plan, base, producers) = {
            let mut state = replica.lock();
            // What was to be rolled away may have been cut off.
            state.roll_wanted &= !state.log.active_is_empty();
            if !state.roll_wanted {
                return Ok(());
            }
            let producers = state.partition.producers().snapshot();
            let base = state.log.log_end();
            match state.log.begin_roll() {
                Ok(plan) => (plan, base, producers),
                // The log has failed or is closed: the appends that wait will hear it.
                Err(_) => return Ok(()),
            }
        };
        // First the snapshot: once there is a segment that begins here, the log may come to start here, and the
        // batches that the producers could be learnt from go.
        let entries: Vec<_> = producers.iter().map(to_file).collect();
        let written = write_producer_snapshot(replica.env().disk(), replica.path(), base, &entries).await;
        let ticket = plan.run().await;
        let now = replica.env().clock().wall();
        let mut state = replica.lock();
        state.roll_wanted = false;
        let rolled = state.log.finish_roll(ticket, now);
        replica.want_flush(&mut state);
        drop(state);
        if let Err(error) = rolled {
            replica.fail_storage(&error.to_string());
        }
        Ok(written?)
    }
}

impl<E: Env> Flushable for Preparation<E> {
    async fn flush(self: &Arc<Self>) -> bool {
        // The appends that wait for the files of a deleted topic hear of it when they try again.
        if let Some(_files) = self.replica.use_files().await
            && let Err(failure) = self.run().await
        {
            self.replica.fail_log(failure);
        }
        let (waiting, again) = self.replica.prepared();
        for append in waiting {
            // Whoever does not wait any more has gone away.
            let _ = append.send(());
        }
        again
    }
}

/// The entry as the file holds it.
pub(super) fn to_file(entry: &SnapshotEntry) -> ProducerSnapshotEntry {
    ProducerSnapshotEntry {
        producer_id: entry.producer_id,
        producer_epoch: entry.epoch,
        last_sequence: entry.last_sequence,
        last_offset: entry.last_offset.0,
        offset_delta: entry.offset_delta,
        timestamp: entry.timestamp.0,
        coordinator_epoch: entry.coordinator_epoch,
        current_transaction_first_offset: entry.current_txn_first_offset.0,
    }
}

/// The entry as the partition knows it.
pub(super) fn from_file(entry: ProducerSnapshotEntry) -> SnapshotEntry {
    SnapshotEntry {
        producer_id: entry.producer_id,
        epoch: entry.producer_epoch,
        last_sequence: entry.last_sequence,
        last_offset: crate::types::Offset(entry.last_offset),
        offset_delta: entry.offset_delta,
        timestamp: crate::types::WallMs(entry.timestamp),
        coordinator_epoch: entry.coordinator_epoch,
        current_txn_first_offset: crate::types::Offset(entry.current_transaction_first_offset),
    }
}
