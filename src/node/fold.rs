//! What follows from a log's batches: the producers, and to those who want it every header.

use std::path::Path;

use super::preparation::from_file;
use crate::env::{Disk, DiskError};
use crate::log::producer_snapshot::{SnapshotError, list_producer_snapshots, read_producer_snapshot};
use crate::log::{LogView, ReadError};
use crate::partition::ProducerTable;
use crate::types::{LeaderEpoch, Offset};
use crate::wire::batch::BatchHeader;

/// The producers, as a fold over the log: from the latest snapshot that can be read, else from the log's beginning.
/// `each` sees the headers from there on. `newest` is the latest epoch in which anybody can have led.
pub(super) async fn fold_producers<D: Disk>(
    disk: &D,
    dir: &Path,
    log: &LogView<D>,
    newest: LeaderEpoch,
    mut each: impl FnMut(&BatchHeader) + Send,
) -> Result<ProducerTable, ReadError> {
    let (mut producers, from) = latest_snapshot(disk, dir, log).await?;
    let mut before = LeaderEpoch::NONE;
    let fold = |header: &BatchHeader| {
        check_epoch(header.partition_leader_epoch, before, newest)?;
        before = header.partition_leader_epoch;
        each(header);
        // The batch that contains the snapshot's offset may begin before it: it is in the snapshot.
        if header.base_offset >= from {
            producers.fold(header);
        }
        Ok(())
    };
    log.for_each_header(from, fold).await?;
    Ok(producers)
}

async fn latest_snapshot<D: Disk>(
    disk: &D,
    dir: &Path,
    log: &LogView<D>,
) -> Result<(ProducerTable, Offset), DiskError> {
    let offsets = list_producer_snapshots(disk, dir).await?;
    for &offset in offsets.iter().rev().filter(|offset| **offset <= log.log_end()) {
        match read_producer_snapshot(disk, dir, offset).await {
            Ok(entries) => match ProducerTable::restore(entries.into_iter().map(from_file)) {
                Ok(producers) => return Ok((producers, offset)),
                Err(error) => tracing::warn!(%error, "a producer snapshot is passed over"),
            },
            Err(SnapshotError::Disk(error)) => return Err(error),
            Err(error) => tracing::warn!(%error, "a producer snapshot is passed over"),
        }
    }
    Ok((ProducerTable::default(), log.log_start()))
}

/// That a batch's leader epoch, which no CRC covers, can be the one in which it was written: leaders follow one
/// another, and the metadata knew each of them before it wrote. One that has rotted would pass for an epoch
/// that this replica has seen.
fn check_epoch(epoch: LeaderEpoch, before: LeaderEpoch, newest: LeaderEpoch) -> Result<(), String> {
    if epoch < before {
        return Err(format!("the batch is of leader epoch {epoch}, the one before it of {before}"));
    }
    if epoch > newest {
        return Err(format!("the batch is of leader epoch {epoch}, the metadata knows none after {newest}"));
    }
    Ok(())
}
