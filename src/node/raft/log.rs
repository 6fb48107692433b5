//! The metadata log on disk: the segments of `__cluster_metadata-0`, its snapshots and `quorum-state`.
//!
//! Formats and file names are Kafka's. The log begins at offset 0, or where one of its snapshots ends.
//!
//! # Crashes
//!
//! - A snapshot is there as a whole or not at all: it is written under a name that opening removes, synced, and
//!   renamed.
//! - A snapshot that was fetched replaces the log. If a crash comes between the two, the log that is found is not
//!   the one that the snapshot ends: it gives way then.
//! - The recovery point that the node checkpoints for this log is what was committed, which is never truncated:
//!   a log that ends below it is damaged, and not opened.

use std::path::Path;

use bytes::Bytes;

use super::error::MetadataLogError;
use super::inspection::{Inspected, RaftLogHints, elected_in};
use super::snapshots::{Loaded, Snapshots};
use super::strangers::Elected;
use crate::buffers::BufferPool;
use crate::controller::Metadata;
use crate::env::{Clock, Disk, Env};
use crate::log::checkpoint::{self, replace_file};
use crate::log::{Incoming, Log, LogConfig, OpenHints, ReadLimits, StampedBatch};
use crate::partition::EpochCache;
use crate::quorum::{
    AppendedBatch, BatchSpan, ElectionState, LogView, ReadRange, SnapshotId, VoterHistory, VoterSet,
};
use crate::types::{LeaderEpoch, Offset, Uuid};
use crate::wire::batch::{Batch, BatchHeader, HEADER_LEN, split};
use crate::wire::batch_builder::{BatchBuilder, BatchOptions, NewRecord};
use crate::wire::compression::Scratch;
use crate::wire::control::ControlRecord;
use crate::wire::metadata::MetadataRecord;
use crate::wire::records::RecordIter;

pub(super) const QUORUM_STATE: &str = "quorum-state";

/// The most bytes of records in one batch: Kafka's limit.
pub(super) const BATCH_BYTES_MAX: usize = 8 << 20;

/// Bytes per read.
pub(super) const READ_BYTES: usize = 1 << 20;

/// The metadata log.
pub(crate) struct RaftLog<E: Env> {
    env: E,
    log: Log<E::Disk>,
    config: LogConfig,
    snapshots: Snapshots<E::Disk>,
    /// As in `leader-epoch-checkpoint`.
    epochs: EpochCache,
    pool: BufferPool,
    builder: BatchBuilder,
    scratch: Scratch,
}

/// A log that was opened, and what it says.
pub(crate) struct OpenedLog<E: Env> {
    pub(super) log: RaftLog<E>,
    pub(super) view: LogView,
    pub(super) voters: VoterHistory,
    /// What the latest snapshot holds. What follows in the log is replayed when it is known to be committed.
    pub(super) metadata: Metadata,
    pub(super) election: Option<ElectionState>,
    /// The last election that the log tells of.
    pub(super) elected: Option<Elected>,
}

impl<E: Env> OpenedLog<E> {
    /// The voters as the log, or else the configuration, has them.
    pub(crate) fn voters(&self) -> &VoterSet {
        self.voters.current()
    }
}

impl<E: Env> RaftLog<E> {
    /// Opens the log in `dir`, which was looked at; `fixed` are the voters of `controller.quorum.voters`.
    pub(crate) async fn open(
        env: &E,
        dir: &Path,
        config: LogConfig,
        inspected: Inspected<E::Disk>,
        fixed: VoterSet,
    ) -> Result<OpenedLog<E>, MetadataLogError> {
        let Inspected { hints, mut snapshots, loaded, election, log_start, mut epochs, elected, .. } =
            inspected;
        let disk = env.disk();
        disk.create_dir_all(dir).await?;
        snapshots.remove_parts().await?;
        let (log, _) = Log::open(disk, dir, config, open_hints(env, hints, log_start)).await?;
        epochs.truncate_from_end(log.log_end());
        if checkpoint::read_topic_id(disk, dir).await?.is_none() {
            checkpoint::write_topic_id(disk, dir, Uuid::METADATA_TOPIC).await?;
        }
        let pool = BufferPool::new(READ_BYTES);
        let (builder, scratch) = (BatchBuilder::new(), Scratch::default());
        let mut raft = Self { env: env.clone(), log, config, snapshots, epochs, pool, builder, scratch };
        let mut voters = VoterHistory::new(fixed);
        let Loaded { id, controls, metadata } = loaded;
        for record in &controls {
            voters.record(Offset(id.map_or(-1, |id| id.end.0 - 1)), record);
        }
        let (start, end) = (raft.log.log_start(), raft.log.log_end());
        if let Some(latest) = LogView::superseded_by(start, end, &raft.epochs, raft.snapshots.ids()) {
            raft.begin_anew(latest).await?;
        }
        raft.read_voters(id, &mut voters).await?;
        let view = raft.quorum_view();
        Ok(OpenedLog { log: raft, view, voters, metadata, election, elected })
    }

    /// The log as the quorum sees it.
    fn quorum_view(&self) -> LogView {
        let log = &self.log;
        LogView::new(
            log.log_start(),
            log.log_end(),
            log.durable_end(),
            self.epochs.clone(),
            self.snapshots.ids().filter(|id| id.end <= log.log_end()),
        )
    }

    /// Reads what the log says about the voters after its latest snapshot.
    async fn read_voters(
        &mut self,
        snapshot: Option<SnapshotId>,
        voters: &mut VoterHistory,
    ) -> Result<(), MetadataLogError> {
        let from = snapshot.map_or(Offset::ZERO, |id| id.end).max(self.log.log_start());
        let end = self.log.log_end();
        self.for_each_batch(from, end, |batch, scratch| {
            if batch.header.is_control() {
                for (offset, record) in controls_of(batch, scratch)? {
                    voters.record(offset, &record);
                }
            }
            Ok(())
        })
        .await
    }

    /// Calls `each` with the batches between two offsets, in order.
    async fn for_each_batch(
        &mut self,
        mut from: Offset,
        to: Offset,
        mut each: impl FnMut(&Batch, &mut Scratch) -> Result<(), MetadataLogError>,
    ) -> Result<(), MetadataLogError> {
        let view = self.log.view();
        let limits = ReadLimits { max_bytes: READ_BYTES, upper: to, at_least_one: true };
        while from < to {
            let read = view.read(from, limits, &self.pool).await?;
            assert!(read.next_offset > from, "a log that ends at {to} has a batch at {from}");
            for batch in split(&read.bytes) {
                let batch = batch.map_err(|error| MetadataLogError::unreadable(from, &error))?;
                each(&batch, &mut self.scratch)?;
            }
            from = read.next_offset;
        }
        Ok(())
    }

    /// Where the log ends.
    pub(super) fn log_end(&self) -> Offset {
        self.log.log_end()
    }

    /// Its size in bytes.
    pub(super) fn size_bytes(&self) -> u64 {
        self.log.size_bytes()
    }

    /// The snapshots of the log.
    pub(super) fn snapshots(&mut self) -> &mut Snapshots<E::Disk> {
        &mut self.snapshots
    }

    /// Makes epoch and vote durable.
    pub(super) async fn persist(&self, state: ElectionState) -> Result<(), MetadataLogError> {
        let content = state.to_string();
        replace_file(self.env.disk(), self.log.dir(), QUORUM_STATE, content.as_bytes()).await?;
        Ok(())
    }

    /// Appends control records as one batch.
    pub(super) async fn append_controls(
        &mut self,
        epoch: LeaderEpoch,
        records: Vec<ControlRecord>,
    ) -> Result<AppendedBatch, MetadataLogError> {
        let timestamp = self.env.clock().wall().0;
        for record in &records {
            let (key, value) = (record.control_type().key(), record.encode()?);
            self.builder.add(&NewRecord { timestamp, key: Some(&key), value: Some(&value), headers: &[] });
        }
        let base_offset = self.log.log_end();
        let options =
            BatchOptions { base_offset, leader_epoch: epoch, control: true, ..BatchOptions::default() };
        let span = self.append_built(&options).await?;
        Ok(AppendedBatch { span, controls: (base_offset.0..).map(Offset).zip(records).collect() })
    }

    /// Appends metadata records as one batch. They fit: see [`fits`].
    pub(super) async fn append_records(
        &mut self,
        epoch: LeaderEpoch,
        records: &[MetadataRecord],
    ) -> Result<AppendedBatch, MetadataLogError> {
        let timestamp = self.env.clock().wall().0;
        for record in records {
            let value = record.encode()?;
            self.builder.add(&NewRecord { timestamp, key: None, value: Some(&value), headers: &[] });
        }
        let size = self.builder.size_in_bytes();
        assert!(size <= BATCH_BYTES_MAX, "a decision of {size} bytes was not looked at before");
        let base_offset = self.log.log_end();
        let options = BatchOptions { base_offset, leader_epoch: epoch, ..BatchOptions::default() };
        let span = self.append_built(&options).await?;
        Ok(AppendedBatch { span, controls: Vec::new() })
    }

    async fn append_built(&mut self, options: &BatchOptions) -> Result<BatchSpan, MetadataLogError> {
        let bytes = self.builder.finish(options, &mut self.scratch);
        let header = BatchHeader::parse(&bytes).expect("a batch that we built");
        self.append(&Batch { header, bytes }).await
    }

    /// The last election that fetched batches tell of.
    pub(super) fn elected_in(&mut self, batches: &Bytes) -> Option<Elected> {
        let batches = split(batches).filter_map(Result::ok).filter(|batch| batch.header.is_control());
        batches.filter_map(|batch| elected_in(&batch, &mut self.scratch)).last()
    }

    /// Appends what was fetched: whole batches, whose checksums were verified, which follow on the log.
    pub(super) async fn append_fetched(
        &mut self,
        batches: &Bytes,
    ) -> Result<Vec<AppendedBatch>, MetadataLogError> {
        let mut appended = Vec::new();
        for batch in split(batches) {
            let batch = batch.expect("it was verified when it came");
            let controls = match batch.header.is_control() {
                true => controls_of(&batch, &mut self.scratch)?,
                false => Vec::new(),
            };
            let span = self.append(&batch).await?;
            appended.push(AppendedBatch { span, controls });
        }
        Ok(appended)
    }

    async fn append(&mut self, batch: &Batch) -> Result<BatchSpan, MetadataLogError> {
        let (header, now) = (&batch.header, self.env.clock().wall());
        let incoming = Incoming {
            bytes: batch.bytes.len() as u64,
            last_offset: header.last_offset(),
            max_timestamp: header.max_timestamp,
        };
        if self.log.roll_due(incoming, now).is_some() {
            let ticket = self.log.begin_roll()?.run().await;
            self.log.finish_roll(ticket, now)?;
        }
        let known = self.epochs.latest();
        self.epochs.fold(header);
        if self.epochs.latest() != known {
            self.write_epochs().await?;
        }
        let stamped = StampedBatch {
            header: *batch.bytes.first_chunk::<HEADER_LEN>().expect("a batch has a header"),
            payload: batch.bytes.slice(HEADER_LEN..),
        };
        self.log.append(&[stamped])?;
        Ok(BatchSpan {
            base: header.base_offset,
            end: header.next_offset(),
            epoch: header.partition_leader_epoch,
        })
    }

    async fn write_epochs(&self) -> Result<(), MetadataLogError> {
        let entries: Vec<_> =
            self.epochs.entries().iter().map(|entry| (entry.epoch, entry.start_offset)).collect();
        checkpoint::write_leader_epochs(self.env.disk(), self.log.dir(), &entries).await?;
        Ok(())
    }

    /// Makes the whole log durable; returns its end.
    pub(super) async fn sync(&mut self) -> Result<Offset, MetadataLogError> {
        let plan = self.log.sync_plan()?;
        if let Err(error) = plan.run().await {
            self.log.fail(error.clone());
            return Err(error.into());
        }
        Ok(self.log.synced(&plan))
    }

    /// Cuts the log at the end of a batch.
    pub(super) async fn truncate(&mut self, to: Offset) -> Result<(), MetadataLogError> {
        if let Some(plan) = self.log.begin_truncate(to)? {
            let outcome = plan.run().await;
            self.log.finish_truncate(outcome)?.delete().await?;
        }
        assert_eq!(self.log.log_end(), to, "the quorum truncates between batches");
        self.epochs.truncate_from_end(to);
        self.write_epochs().await
    }

    /// Puts a snapshot that has come as a whole in the place of the log. Returns what it says.
    pub(super) async fn install(&mut self, id: SnapshotId) -> Result<Loaded, MetadataLogError> {
        self.snapshots.publish(id).await?;
        self.begin_anew(id).await?;
        self.snapshots.remove_before(id).await?;
        self.snapshots.load(id).await
    }

    /// Empties the log, and lets it begin where a snapshot ends. Done again after a crash in the middle of it.
    async fn begin_anew(&mut self, id: SnapshotId) -> Result<(), MetadataLogError> {
        if self.log.log_end() > id.end {
            // Recovery lets go only of what lies below the log start.
            if let Some(plan) = self.log.begin_truncate(id.end.max(self.log.log_start()))? {
                let outcome = plan.run().await;
                self.log.finish_truncate(outcome)?.delete().await?;
            }
        }
        let plan = self.log.close()?;
        plan.run().await?;
        let dir = self.log.dir().to_owned();
        let hints = RaftLogHints { clean: true, recovery_point: Offset::ZERO, votes: false };
        let (log, _) =
            Log::open(self.env.disk(), &dir, self.config, open_hints(&self.env, hints, id.end)).await?;
        assert_eq!((log.log_start(), log.log_end()), (id.end, id.end), "the log begins where {id} ends");
        self.log = log;
        self.epochs = EpochCache::default();
        self.write_epochs().await
    }

    /// Lets go of the log before a snapshot, and of the snapshots before it.
    pub(super) async fn clean(&mut self, keep: SnapshotId) -> Result<Offset, MetadataLogError> {
        self.log.raise_log_start(keep.end);
        let (now, committed) = (self.env.clock().wall(), keep.end);
        if let Some(retirement) = self.log.retire(now, committed)? {
            retirement.run().await?.delete().await?;
        }
        self.snapshots.remove_before(keep).await?;
        Ok(self.log.log_start())
    }

    /// Reads batches for a follower.
    pub(super) async fn read(&self, range: ReadRange, max_bytes: usize) -> Result<Bytes, MetadataLogError> {
        let limits = ReadLimits { max_bytes, upper: range.to, at_least_one: true };
        Ok(self.log.view().read(range.from, limits, &self.pool).await?.bytes)
    }

    /// Replays what was committed, from one offset to another; how many bytes that was.
    pub(super) async fn replay(
        &mut self,
        from: Offset,
        to: Offset,
        metadata: &mut Metadata,
    ) -> Result<u64, MetadataLogError> {
        let mut bytes = 0;
        self.for_each_batch(from, to, |batch, scratch| {
            bytes += batch.bytes.len() as u64;
            replay_batch(batch, metadata, scratch)
        })
        .await?;
        Ok(bytes)
    }

    /// Ends the use of the log: all of it is durable.
    pub(super) async fn close(&mut self) -> Result<(), MetadataLogError> {
        let plan = self.log.close()?;
        plan.run().await?;
        self.log.synced(&plan);
        Ok(())
    }
}

/// Whether records surely fit into one batch. What a decision costs depends on the request, whose sender must
/// not be able to stop the node.
pub(super) fn fits(records: &[MetadataRecord]) -> bool {
    let size = |record: &MetadataRecord| {
        record.encode().map_or(usize::MAX, |value| value.len() + RECORD_OVERHEAD_MAX)
    };
    records.iter().fold(HEADER_LEN, |sum: usize, record| sum.saturating_add(size(record))) <= BATCH_BYTES_MAX
}

/// More than a record needs besides its value.
const RECORD_OVERHEAD_MAX: usize = 32;

fn open_hints<E: Env>(env: &E, hints: RaftLogHints, log_start: Offset) -> OpenHints {
    OpenHints {
        clean: hints.clean,
        recovery_point: hints.recovery_point,
        high_watermark: Offset::ZERO,
        log_start,
        now: env.clock().wall(),
    }
}

/// The control records of a batch; those of unknown types are left out.
pub(super) fn controls_of(
    batch: &Batch,
    scratch: &mut Scratch,
) -> Result<Vec<(Offset, ControlRecord)>, MetadataLogError> {
    let at = batch.header.base_offset;
    let unreadable = |error: &dyn std::fmt::Display| MetadataLogError::unreadable(at, error);
    let mut controls = Vec::new();
    let records =
        RecordIter::new(batch, BATCH_BYTES_MAX as u64, scratch).map_err(|error| unreadable(&error))?;
    for record in records {
        let record = record.map_err(|error| unreadable(&error))?;
        let (key, value) = (record.key.unwrap_or_default(), record.value.unwrap_or_default());
        if let Some(control) = ControlRecord::decode(&key, &value).map_err(|error| unreadable(&error))? {
            controls.push((record.offset, control));
        }
    }
    Ok(controls)
}

/// Applies the records of a batch (KAFKA-14275: what cannot be applied stops the node).
fn replay_batch(
    batch: &Batch,
    metadata: &mut Metadata,
    scratch: &mut Scratch,
) -> Result<(), MetadataLogError> {
    let (at, epoch) = (batch.header.base_offset, batch.header.partition_leader_epoch);
    let unreadable = |error: &dyn std::fmt::Display| MetadataLogError::unreadable(at, error);
    let records =
        RecordIter::new(batch, BATCH_BYTES_MAX as u64, scratch).map_err(|error| unreadable(&error))?;
    for record in records {
        let record = record.map_err(|error| unreadable(&error))?;
        if batch.header.is_control() {
            metadata.skip(record.offset, epoch);
            continue;
        }
        let value = record.value.unwrap_or_default();
        let decoded = MetadataRecord::decode(&value).map_err(|error| unreadable(&error))?;
        metadata.replay(record.offset, epoch, &decoded)?;
    }
    Ok(())
}
