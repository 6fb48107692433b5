//! The metadata log of a voter: recovered, led, appended to, and read back into the controller.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use thiserror::Error;

use super::directories::LogDirectory;
use super::replicas::METADATA_DIRECTORY;
use crate::buffers::BufferPool;
use crate::controller::{Controller, ReplayError};
use crate::env::{Clock, Disk, DiskError, Env, Purpose};
use crate::log::checkpoint::{self, CheckpointError, replace_file};
use crate::log::{
    Incoming, Log, LogConfig, LogError, OpenHints, OpenLogError, ReadError, ReadLimits, StampedBatch,
};
use crate::partition::EpochCache;
use crate::quorum::{
    AppendedBatch, BatchSpan, Effect, ElectionState, EpochsExhausted, Identity, Input, LogView, Quorum,
    QuorumConfig, QuorumStateError, Start, VoterHistory, VoterKey, VoterNode,
};
use crate::types::{LeaderEpoch, Offset, Uuid};
use crate::wire::batch::{BatchHeader, HEADER_LEN, split};
use crate::wire::batch_builder::{BatchBuilder, BatchOptions, NewRecord};
use crate::wire::compression::Scratch;
use crate::wire::control::ControlRecord;
use crate::wire::metadata::MetadataRecord;
use crate::wire::records::{RecordError, RecordIter};
use crate::wire::{DecodeError, EncodeError, VersionRange};

const QUORUM_STATE: &str = "quorum-state";

/// The most bytes of records in one batch: Kafka's limit.
const BATCH_BYTES_MAX: usize = 8 << 20;

/// Bytes per read when the log is replayed.
const REPLAY_READ_BYTES: usize = 1 << 20;

/// The metadata log, led by this node.
pub(super) struct MetadataLog<E: Env> {
    env: E,
    log: Log<E::Disk>,
    quorum: Quorum,
    epochs: EpochCache,
    builder: BatchBuilder,
    scratch: Scratch,
    durable_end: Arc<AtomicI64>,
}

/// What was known of the log before it is opened.
pub(super) struct MetadataLogHints {
    pub(super) clean: bool,
    pub(super) recovery_point: Offset,
}

/// Why the metadata log cannot be used. The node must stop: without metadata it knows nothing.
#[derive(Debug, Error)]
pub enum MetadataLogError {
    /// The disk failed.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// The log is damaged.
    #[error("the metadata log cannot be opened: {0}")]
    Open(#[from] OpenLogError),
    /// The log has failed.
    #[error("the metadata log: {0}")]
    Log(#[from] LogError),
    /// The log cannot be read.
    #[error("the metadata log cannot be read: {0}")]
    Read(#[from] ReadError),
    /// A small file of its directory is damaged.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// `quorum-state` is damaged.
    #[error("{}: {error}", path.display())]
    QuorumState {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        error: QuorumStateError,
    },
    /// There are no epochs left.
    #[error(transparent)]
    Epochs(#[from] EpochsExhausted),
    /// A record cannot be read.
    #[error("the metadata log has an unreadable record at or after offset {offset}: {reason}")]
    Record {
        /// The offset of its batch.
        offset: Offset,
        /// What is wrong.
        reason: String,
    },
    /// A record cannot be applied (KAFKA-14275).
    #[error(transparent)]
    Replay(#[from] ReplayError),
    /// A record cannot be written.
    #[error(transparent)]
    Encode(#[from] EncodeError),
}

/// Whether records surely fit into one batch. What a decision costs depends on the request, whose sender must
/// not be able to stop the node.
pub(super) fn fits(records: &[MetadataRecord]) -> bool {
    let size = |record: &MetadataRecord| {
        record.encode().map_or(usize::MAX, |value| value.len() + RECORD_OVERHEAD_MAX)
    };
    records.iter().fold(BATCH_OVERHEAD, |sum: usize, record| sum.saturating_add(size(record)))
        <= BATCH_BYTES_MAX
}

/// More than a record needs besides its value.
const RECORD_OVERHEAD_MAX: usize = 32;

/// What a batch needs besides its records.
const BATCH_OVERHEAD: usize = HEADER_LEN;

impl<E: Env> MetadataLog<E> {
    /// Opens and leads the log, and replays all of it into `controller`.
    pub(super) async fn open(
        env: E,
        directory: &LogDirectory,
        own: VoterKey,
        config: LogConfig,
        hints: MetadataLogHints,
        controller: &mut Controller,
    ) -> Result<Self, MetadataLogError> {
        let dir = directory.path().join(format!("{METADATA_DIRECTORY}0"));
        let hints = OpenHints {
            clean: hints.clean,
            recovery_point: hints.recovery_point,
            high_watermark: Offset::ZERO,
            log_start: Offset::ZERO,
            now: env.clock().wall(),
        };
        let (log, _) = Log::open(env.disk(), &dir, config, hints).await?;
        if checkpoint::read_topic_id(env.disk(), &dir).await?.is_none() {
            checkpoint::write_topic_id(env.disk(), &dir, Uuid::METADATA_TOPIC).await?;
        }
        let epochs = replay(&log, controller).await?;
        let persisted = read_quorum_state(env.disk(), &dir).await?;
        let view = LogView::new(log.log_start(), log.log_end(), log.durable_end(), epochs.clone(), []);
        let start = only_voter(&env, own, persisted, view);
        let (quorum, effects) = Quorum::start(env.clock().now(), start)?;
        let durable_end = Arc::new(AtomicI64::new(log.durable_end().0));
        let (builder, scratch) = (BatchBuilder::new(), Scratch::default());
        let mut metadata = Self { env, log, quorum, epochs, builder, scratch, durable_end };
        metadata.carry_out(effects, controller).await?;
        assert!(metadata.quorum.leads().is_some(), "the only voter leads: {:?}", metadata.quorum);
        Ok(metadata)
    }

    /// The offset that the next record gets.
    pub(super) fn log_end(&self) -> Offset {
        self.log.log_end()
    }

    /// The end of what is surely on disk, for the recovery-point checkpoint.
    pub(super) fn durable_end(&self) -> Arc<AtomicI64> {
        Arc::clone(&self.durable_end)
    }

    /// Appends records as one batch, replays them at once, and returns when they are committed.
    pub(super) async fn append(
        &mut self,
        records: &[MetadataRecord],
        controller: &mut Controller,
    ) -> Result<(), MetadataLogError> {
        let timestamp = self.env.clock().wall().0;
        let epoch = self.quorum.epoch();
        let base_offset = self.log.log_end();
        for record in records {
            let value = record.encode()?;
            self.builder.add(&NewRecord { timestamp, key: None, value: Some(&value), headers: &[] });
        }
        let size = self.builder.size_in_bytes();
        assert!(size <= BATCH_BYTES_MAX, "a decision of {size} bytes was not looked at before");
        let options = BatchOptions { base_offset, leader_epoch: epoch, ..BatchOptions::default() };
        let batch = AppendedBatch { span: self.append_batch(&options).await?, controls: Vec::new() };
        self.tell(Input::Appended(vec![batch]), controller).await?;
        for (offset, record) in (base_offset.0..).map(Offset).zip(records) {
            controller.replay(offset, epoch, record)?;
        }
        self.sync(controller).await
    }

    /// Ends the use of the log: all of it is durable.
    pub(super) async fn close(mut self) -> Result<(), MetadataLogError> {
        let plan = self.log.close()?;
        plan.run().await?;
        self.log.synced(&plan);
        self.durable_end.store(self.log.durable_end().0, Ordering::SeqCst);
        Ok(())
    }

    async fn carry_out(
        &mut self,
        effects: Vec<Effect>,
        controller: &mut Controller,
    ) -> Result<(), MetadataLogError> {
        let mut effects: std::collections::VecDeque<Effect> = effects.into();
        while let Some(effect) = effects.pop_front() {
            match effect {
                Effect::Persist(state) => {
                    let content = state.to_string();
                    replace_file(self.env.disk(), self.log.dir(), QUORUM_STATE, content.as_bytes()).await?;
                    effects.extend(self.quorum.step(self.env.clock().now(), Input::Persisted(state)));
                }
                Effect::Append { epoch, records } => {
                    let batch = self.append_controls(epoch, records, controller).await?;
                    let now = self.env.clock().now();
                    effects.extend(self.quorum.step(now, Input::Appended(vec![batch])));
                    self.make_durable().await?;
                    let end = self.log.durable_end();
                    effects.extend(self.quorum.step(self.env.clock().now(), Input::Durable(end)));
                }
                // Publishing is the caller's: it returns to him once what he appended is committed.
                Effect::Commit(_) | Effect::Lead(_) => {}
                other => unreachable!("the only voter talks to nobody and follows nobody: {other:?}"),
            }
        }
        Ok(())
    }

    async fn tell(&mut self, input: Input, controller: &mut Controller) -> Result<(), MetadataLogError> {
        let effects = self.quorum.step(self.env.clock().now(), input);
        self.carry_out(effects, controller).await
    }

    async fn append_controls(
        &mut self,
        epoch: LeaderEpoch,
        records: Vec<ControlRecord>,
        controller: &mut Controller,
    ) -> Result<AppendedBatch, MetadataLogError> {
        let base_offset = self.log.log_end();
        if self.epochs.assign(epoch, base_offset) {
            let entries: Vec<_> =
                self.epochs.entries().iter().map(|entry| (entry.epoch, entry.start_offset)).collect();
            checkpoint::write_leader_epochs(self.env.disk(), self.log.dir(), &entries).await?;
        }
        let timestamp = self.env.clock().wall().0;
        for record in &records {
            let (key, value) = (record.control_type().key(), record.encode()?);
            self.builder.add(&NewRecord { timestamp, key: Some(&key), value: Some(&value), headers: &[] });
        }
        let options =
            BatchOptions { base_offset, leader_epoch: epoch, control: true, ..BatchOptions::default() };
        let span = self.append_batch(&options).await?;
        let controls: Vec<_> = (base_offset.0..).map(Offset).zip(records).collect();
        for (offset, _) in &controls {
            controller.skip(*offset, epoch);
        }
        Ok(AppendedBatch { span, controls })
    }

    async fn append_batch(&mut self, options: &BatchOptions) -> Result<BatchSpan, MetadataLogError> {
        let bytes = self.builder.finish(options, &mut self.scratch);
        let header = BatchHeader::parse(&bytes).expect("a batch that we built");
        let incoming = Incoming {
            bytes: bytes.len() as u64,
            last_offset: header.last_offset(),
            max_timestamp: header.max_timestamp,
        };
        let now = self.env.clock().wall();
        if self.log.roll_due(incoming, now).is_some() {
            let ticket = self.log.begin_roll()?.run().await;
            self.log.finish_roll(ticket, now)?;
        }
        let stamped = StampedBatch {
            header: *bytes.first_chunk::<HEADER_LEN>().expect("a batch has a header"),
            payload: bytes.slice(HEADER_LEN..),
        };
        self.log.append(&[stamped])?;
        Ok(BatchSpan { base: header.base_offset, end: header.next_offset(), epoch: options.leader_epoch })
    }

    async fn sync(&mut self, controller: &mut Controller) -> Result<(), MetadataLogError> {
        self.make_durable().await?;
        let end = self.log.durable_end();
        self.tell(Input::Durable(end), controller).await?;
        assert_eq!(self.quorum.committed(), end, "what the only voter has synced is committed");
        Ok(())
    }

    async fn make_durable(&mut self) -> Result<(), MetadataLogError> {
        let plan = self.log.sync_plan()?;
        if let Err(error) = plan.run().await {
            self.log.fail(error.clone());
            return Err(error.into());
        }
        self.log.synced(&plan);
        self.durable_end.store(self.log.durable_end().0, Ordering::SeqCst);
        Ok(())
    }
}

/// A quorum of this node alone, known by its id.
fn only_voter<E: Env>(env: &E, own: VoterKey, persisted: Option<ElectionState>, log: LogView) -> Start {
    let versions = VersionRange { min: 0, max: 1 };
    let by_id = VoterKey { directory: Uuid::ZERO, ..own };
    let voter = VoterNode { key: by_id, endpoints: Vec::new(), versions };
    let identity = Identity {
        key: own,
        endpoints: Vec::new(),
        listener: String::new(),
        versions,
        bootstrap: Vec::new(),
    };
    Start {
        identity,
        config: QuorumConfig::default(),
        rng: env.rng(Purpose { subsystem: "quorum", what: "timeouts", instance: 0 }),
        persisted,
        log,
        voters: VoterHistory::new([voter].into_iter().collect()),
    }
}

async fn read_quorum_state<D: Disk>(
    disk: &D,
    dir: &std::path::Path,
) -> Result<Option<ElectionState>, MetadataLogError> {
    let path = dir.join(QUORUM_STATE);
    let Some(bytes) = checkpoint::read_file(disk, &path).await? else { return Ok(None) };
    let text = String::from_utf8_lossy(&bytes);
    ElectionState::parse(&text).map(Some).map_err(|error| MetadataLogError::QuorumState { path, error })
}

/// Replays the whole log, and returns its epochs.
async fn replay<D: Disk>(log: &Log<D>, controller: &mut Controller) -> Result<EpochCache, MetadataLogError> {
    // Every epoch begins with a record, so the log itself says where.
    let mut epochs = EpochCache::default();
    let (view, pool, mut scratch) = (log.view(), BufferPool::new(REPLAY_READ_BYTES), Scratch::default());
    let limits = ReadLimits { max_bytes: REPLAY_READ_BYTES, upper: log.log_end(), at_least_one: true };
    let mut from = log.log_start();
    while from < log.log_end() {
        let read = view.read(from, limits, &pool).await?;
        for batch in split(&read.bytes) {
            let batch = batch.map_err(|error| unreadable(from, &error))?;
            epochs.fold(&batch.header);
            replay_batch(&batch, controller, &mut scratch)?;
        }
        from = read.next_offset;
    }
    Ok(epochs)
}

fn replay_batch(
    batch: &crate::wire::batch::Batch,
    controller: &mut Controller,
    scratch: &mut Scratch,
) -> Result<(), MetadataLogError> {
    let (offset, epoch) = (batch.header.base_offset, batch.header.partition_leader_epoch);
    let records = RecordIter::new(batch, BATCH_BYTES_MAX as u64, scratch);
    for record in records.map_err(|error: RecordError| unreadable(offset, &error))? {
        let record = record.map_err(|error| unreadable(offset, &error))?;
        if batch.header.is_control() {
            controller.skip(record.offset, epoch);
            continue;
        }
        let value = record.value.unwrap_or_default();
        let decoded =
            MetadataRecord::decode(&value).map_err(|error: DecodeError| unreadable(offset, &error))?;
        controller.replay(record.offset, epoch, &decoded)?;
    }
    Ok(())
}

fn unreadable(offset: Offset, error: &dyn std::fmt::Display) -> MetadataLogError {
    MetadataLogError::Record { offset, reason: error.to_string() }
}
