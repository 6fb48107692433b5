//! One replica at work: its decisions, its log and those who wait, behind one short lock.
//!
//! Nothing waits under the lock. What has to wait for the disk runs outside it, in one of two queues that the
//! node's own tasks work off: *preparations* (a roll, the epoch checkpoint), for which appends wait, and
//! *syncs*. So a client that goes away never leaves a roll half done, and an append's outcome is never lost.

mod deleting;
mod following;
mod leading;
mod roles;
mod truncating;
mod waiting;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{Notify, Semaphore, SemaphorePermit, oneshot};

pub use self::deleting::Deleted;
pub use self::following::Refused;
pub use self::waiting::{AckFailure, Pending, Receipt};
use self::waiting::{Released, Waiting};
use super::ReplicaSnapshot;
use super::activity::Activity;
use super::directories::LogDirectory;
use super::fetchers::{FetcherInbox, Routes};
use super::flusher::{FlushQueue, FlushState, Flushable};
use super::housekeeping::Housekeeping;
use super::isr::Proposals;
use super::preparation::{Preparation, to_file};
use crate::config::topic::{Durability, TopicConfig};
use crate::env::{Clock, DiskError, Env, Event};
use crate::log::checkpoint::write_leader_epochs;
use crate::log::directory::TopicPartition;
use crate::log::producer_snapshot::write_producer_snapshot;
use crate::log::{
    Incoming, Log, LogConfig, LogError, LogFailure, LogView, Retirement, StampedBatch, SyncPlan,
};
use crate::partition::{
    Acks, Advance, AppendRefusal, Brokers, Isolation, OffsetBounds, Partition, Positions, Prepared, ReadFrom,
    ReadPlan, ReadRefusal, ReadRequest, Registration, SnapshotEntry, Wait, WaiterId,
};
use crate::types::{BrokerId, LeaderEpoch, Mono, Offset, PartitionKey, WallMs};
use crate::wire::batch::{BatchHeader, HEADER_LEN, TimestampType, split};
use crate::wire::validate::Validated;

/// Who may work on a replica's files by their names at once: a sync, a preparation and retention.
const FILE_USERS: u32 = 3;

/// One replica of one partition, with its log.
pub struct Replica<E: Env> {
    env: E,
    key: PartitionKey,
    name: TopicPartition,
    /// Where its files are.
    path: PathBuf,
    directory: Arc<LogDirectory>,
    queues: Queues<E>,
    /// A permit for each who works on the files by their names; closed once the replica is deleted, since the
    /// names may then be another replica's.
    files: Semaphore,
    state: Mutex<State<E>>,
}

/// The queues that the node's own tasks work off.
pub struct Queues<E: Env> {
    /// Syncs.
    pub flushes: FlushQueue<Replica<E>>,
    /// Rolls, epoch checkpoints and truncations.
    pub preparations: FlushQueue<Preparation<E>>,
    /// Who is followed.
    pub(super) routes: Routes<E>,
    /// What the controller is asked for.
    pub(super) proposals: Proposals<E>,
    /// Who writes the checkpoints.
    pub housekeeping: Housekeeping,
    /// Who is told of what followers might fetch.
    pub(super) activity: Activity,
}

impl<E: Env> Clone for Queues<E> {
    fn clone(&self) -> Self {
        Self {
            flushes: self.flushes.clone(),
            preparations: self.preparations.clone(),
            routes: self.routes.clone(),
            proposals: self.proposals.clone(),
            housekeeping: self.housekeeping.clone(),
            activity: self.activity.clone(),
        }
    }
}

/// What the lock guards.
pub(super) struct State<E: Env> {
    pub(super) partition: Partition,
    pub(super) log: Log<E::Disk>,
    pub(super) config: Arc<TopicConfig>,
    waiting: Waiting,
    flush: FlushState,
    /// The revision of the leader epochs that is in the checkpoint; `None` if it differs from all of this run.
    epochs_saved: Option<u64>,
    /// The revision that must be there before the next append.
    epochs_needed: Option<u64>,
    /// The next append needs a new segment first.
    pub(super) roll_wanted: bool,
    /// A preparation is under way.
    prepares: bool,
    /// Appends, and retention, that wait for it.
    preparing: Vec<oneshot::Sender<()>>,
    /// A registration that came while the log was cut.
    after_truncation: Option<(Registration, Arc<Brokers>)>,
    /// Who fetches for this replica, if it follows.
    fetcher: Option<FetcherInbox<E>>,
    /// The ISR that observers have heard of.
    isr_seen: Vec<BrokerId>,
    /// Its files are on their way out: that something fails on them says nothing about the disk.
    closed_for_deletion: bool,
}

/// How to make a replica of an opened log.
pub(super) struct Opened<E: Env> {
    pub(super) key: PartitionKey,
    pub(super) name: TopicPartition,
    pub(super) path: PathBuf,
    pub(super) directory: Arc<LogDirectory>,
    pub(super) partition: Partition,
    pub(super) log: Log<E::Disk>,
    pub(super) config: Arc<TopicConfig>,
    /// The checkpoint holds the leader epochs that the partition begins with.
    pub(super) epochs_are_saved: bool,
}

impl<E: Env> Replica<E> {
    pub(super) fn new(env: E, queues: Queues<E>, opened: Opened<E>) -> Arc<Self> {
        let Opened { key, name, path, directory, partition, log, config, epochs_are_saved } = opened;
        let positions = partition.positions();
        env.observe(Event::ReplicaOpened {
            partition: key,
            log_start: positions.log_start,
            high_watermark: positions.high_watermark,
            log_end: positions.log_end,
        });
        let epochs_saved = epochs_are_saved.then(|| partition.epochs_revision());
        let state = State {
            partition,
            log,
            config,
            waiting: Waiting::default(),
            flush: FlushState::default(),
            epochs_saved,
            epochs_needed: None,
            roll_wanted: false,
            prepares: false,
            preparing: Vec::new(),
            after_truncation: None,
            fetcher: None,
            isr_seen: Vec::new(),
            closed_for_deletion: false,
        };
        let files = Semaphore::new(FILE_USERS as usize);
        Arc::new(Self { env, key, name, path, directory, queues, files, state: Mutex::new(state) })
    }

    /// The partition, by its topic's id.
    pub fn key(&self) -> PartitionKey {
        self.key
    }

    /// The partition, by its topic's name.
    pub fn name(&self) -> &TopicPartition {
        &self.name
    }

    /// The directory of its files.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The log directory that it lies in.
    pub fn directory(&self) -> &Arc<LogDirectory> {
        &self.directory
    }

    /// The topic's configuration.
    pub fn config(&self) -> Arc<TopicConfig> {
        Arc::clone(&self.lock().config)
    }

    /// All positions, at one moment.
    pub fn positions(&self) -> Positions {
        self.lock().partition.positions()
    }

    /// The end of what is surely on disk.
    pub fn durable_end(&self) -> Offset {
        self.lock().log.durable_end()
    }

    /// The size of its segments, in bytes.
    pub fn size_bytes(&self) -> u64 {
        self.lock().log.size_bytes()
    }

    /// The replica as plain data.
    pub fn snapshot(&self) -> ReplicaSnapshot {
        let state = self.lock();
        ReplicaSnapshot {
            key: self.key,
            name: self.name.to_string(),
            leader_epoch: state.partition.leader_epoch(),
            positions: state.partition.positions(),
            durable_end: state.log.durable_end(),
            path: self.path.clone(),
        }
    }

    /// Takes in the topic's configuration.
    pub fn configure(&self, config: Arc<TopicConfig>, log_config: LogConfig) {
        let mut state = self.lock();
        let min_insync_replicas = config.min_insync_replicas as usize;
        state.log.set_config(log_config);
        state.config = config;
        let advance = state.partition.set_min_insync_replicas(min_insync_replicas);
        let released = self.settle(&mut state, advance);
        drop(state);
        released.tell();
    }

    /// Appends one batch, or finds that it is there already. Returns when it is appended; what its answer
    /// waits for is in the receipt.
    ///
    /// # Errors
    ///
    /// [`AppendRefusal`]; nothing was appended, or the log has failed and nobody knows.
    pub async fn append(self: &Arc<Self>, batch: &Validated, acks: Acks) -> Result<Receipt, AppendRefusal> {
        loop {
            match self.try_append(batch, acks)? {
                Ok(receipt) => return Ok(receipt),
                // Its end says no more than that it is worth another try.
                Err(prepared) => drop(prepared.await),
            }
        }
    }

    /// Appends, unless something has to be prepared first: then says when that is done.
    fn try_append(
        self: &Arc<Self>,
        batch: &Validated,
        acks: Acks,
    ) -> Result<Result<Receipt, oneshot::Receiver<()>>, AppendRefusal> {
        // A replica that was opened while its directory failed has not been told.
        if !self.directory.is_online() {
            return Err(AppendRefusal::Storage);
        }
        let mut state = self.lock();
        if !state.waiting.has_room() {
            return Err(AppendRefusal::Crowded);
        }
        if let Some(prepared) = self.awaits_epoch(&mut state) {
            return Ok(Err(prepared));
        }
        let (base_offset, leader_epoch) = match state.partition.prepare_append(&batch.header, acks)? {
            Prepared::Append { base_offset, leader_epoch } => (base_offset, leader_epoch),
            Prepared::Duplicate { base_offset, log_append_time, wait_for } => {
                let pending = wait_for_acks(&mut state, acks, wait_for);
                let log_start = state.partition.positions().log_start;
                let log_append_time = Some(log_append_time);
                return Ok(Ok(Receipt { base_offset, log_append_time, log_start, pending }));
            }
        };
        let incoming = Incoming {
            bytes: batch.bytes.len() as u64,
            last_offset: base_offset + i64::from(batch.header.last_offset_delta),
            max_timestamp: batch.max_timestamp,
        };
        if let Some(prepared) = self.prepare(&mut state, Some(incoming)) {
            return Ok(Err(prepared));
        }
        let stamped = StampedBatch {
            header: batch.stamp(base_offset, leader_epoch),
            payload: batch.bytes.slice(HEADER_LEN..),
        };
        let header = BatchHeader::parse(&stamped.header).expect("a header that we stamped");
        if let Err(error) = state.log.append(&[stamped]) {
            let released = self.fail(&mut state, &error.to_string());
            drop(state);
            released.tell();
            return Err(AppendRefusal::Storage);
        }
        self.observe_appended(&header);
        let advance = state.partition.appended(&header);
        let released = self.settle(&mut state, advance);
        let pending = wait_for_acks(&mut state, acks, header.next_offset());
        let positions = state.partition.positions();
        self.want_flush(&mut state);
        drop(state);
        released.tell();
        let append_time = header.timestamp_type() == TimestampType::LogAppendTime;
        let log_append_time = append_time.then_some(WallMs(header.max_timestamp));
        Ok(Ok(Receipt { base_offset, log_append_time, log_start: positions.log_start, pending }))
    }

    /// Says whether the log has to be made ready first, and for whom to wait then: for a new segment, if
    /// `incoming` asks for one; for the epoch checkpoint, before an epoch's first record (R1).
    pub(super) fn prepare(
        self: &Arc<Self>,
        state: &mut State<E>,
        incoming: Option<Incoming>,
    ) -> Option<oneshot::Receiver<()>> {
        let now = self.env.clock().wall();
        state.roll_wanted |= incoming.is_some_and(|incoming| state.log.roll_due(incoming, now).is_some());
        if !state.prepares && !state.needs_preparation() {
            return None;
        }
        let (sender, receiver) = oneshot::channel();
        if !state.prepares {
            state.prepares = true;
            self.queues.preparations.push(Arc::new(Preparation::new(Arc::clone(self))));
        }
        state.preparing.push(sender);
        Some(receiver)
    }

    /// Waits while this replica leads an epoch that is not durable yet: nobody is told of it before (R1). Whoever
    /// reads from a leader comes by here first.
    pub(crate) async fn epoch_durable(self: &Arc<Self>) {
        loop {
            let prepared = self.awaits_epoch(&mut self.lock());
            match prepared {
                // Its end says no more than that it is worth another look.
                Some(prepared) => drop(prepared.await),
                None => return,
            }
        }
    }

    fn awaits_epoch(self: &Arc<Self>, state: &mut State<E>) -> Option<oneshot::Receiver<()>> {
        let awaits = state.partition.awaits_epoch();
        awaits.then(|| self.prepare(state, None).expect("an epoch that is not served is not saved"))
    }

    /// A preparation has ended: those who wait for it, and whether another is due already.
    pub(super) fn prepared(self: &Arc<Self>) -> (Vec<oneshot::Sender<()>>, bool) {
        let mut state = self.lock();
        state.prepares = state.log.is_ready() && !self.files.is_closed() && state.needs_preparation();
        state.tell_fetcher(self.key);
        (std::mem::take(&mut state.preparing), state.prepares)
    }

    /// Makes the leader epochs durable (R1, KAFKA-16541): whoever finds a record of an epoch after a crash must
    /// find where the epoch began.
    pub(super) async fn save_epochs(&self) -> Result<(), DiskError> {
        let (epochs, revision) = {
            let state = self.lock();
            let revision = state.partition.epochs_revision();
            if state.epochs_saved == Some(revision) {
                return Ok(());
            }
            let entries = state.partition.epochs().entries();
            (entries.iter().map(|entry| (entry.epoch, entry.start_offset)).collect::<Vec<_>>(), revision)
        };
        write_leader_epochs(self.env.disk(), &self.path, &epochs).await?;
        let mut state = self.lock();
        state.epochs_saved = Some(revision);
        if state.epochs_needed.is_some_and(|needed| needed <= revision) {
            let leader_epoch = state.partition.leader_epoch();
            state.partition.start_serving(leader_epoch);
        }
        Ok(())
    }

    /// Waits for an acknowledgement. The deadline is for the other replicas. The leader's own copy is waited for
    /// as long as it takes: Kafka's `timeout_ms` does not count for it either, and not for acks=1 at all. Dropping
    /// the future is no harm: the records stay appended.
    ///
    /// # Errors
    ///
    /// [`AckFailure`].
    pub async fn acknowledged(&self, mut pending: Pending, deadline: Mono) -> Result<(), AckFailure> {
        if let Some(outcome) = self.env.clock().timeout_at(deadline, pending.outcome()).await {
            return outcome;
        }
        {
            let mut state = self.lock();
            let positions = state.partition.positions();
            state.waiting.wait_for_leader_alone(&mut pending, &positions);
        }
        pending.outcome().await?;
        let in_time = pending.wait().is_over(&self.positions());
        if in_time { Ok(()) } else { Err(AckFailure::TimedOut) }
    }

    /// What a Fetch may read, and the log to read it from.
    ///
    /// # Errors
    ///
    /// [`ReadRefusal`].
    pub fn plan_read(&self, request: &ReadRequest) -> Result<(ReadPlan, LogView<E::Disk>), ReadRefusal> {
        let state = self.lock();
        let plan = state.partition.plan_read(request)?;
        Ok((plan, state.log.view()))
    }

    /// Whether batches that were read from the log carry the leader epochs that this replica knows for their
    /// offsets. A batch's epoch lies outside its CRC: this is how a rotten one is found, which would send a
    /// consumer looking for a leader that never was.
    pub fn epochs_match(&self, batches: &Bytes) -> bool {
        let mut epochs: Vec<(LeaderEpoch, Offset)> = Vec::new();
        for batch in split(batches) {
            let Ok(batch) = batch else { return false };
            let (epoch, offset) = (batch.header.partition_leader_epoch, batch.header.base_offset);
            if epochs.last().is_none_or(|(last, _)| *last != epoch) {
                epochs.push((epoch, offset));
            }
        }
        let state = self.lock();
        let known = state.partition.epochs();
        epochs.iter().all(|(epoch, offset)| known.epoch_of(*offset).is_none_or(|known| known == *epoch))
    }

    /// Has `reader` notified once `wait` is over; `None` if it is already.
    pub fn watch(&self, wait: Wait, reader: &Arc<Notify>) -> Option<WaiterId> {
        let mut state = self.lock();
        if wait.is_over(&state.partition.positions()) {
            return None;
        }
        state.waiting.watch(wait, reader)
    }

    /// Forgets a reader.
    pub fn unwatch(&self, waiter: WaiterId) {
        self.lock().waiting.unwatch(waiter);
    }

    /// Where ListOffsets may look, and the log to look into.
    ///
    /// # Errors
    ///
    /// [`ReadRefusal`].
    pub fn offset_bounds(
        &self,
        current_leader_epoch: LeaderEpoch,
        isolation: Isolation,
    ) -> Result<(OffsetBounds, LogView<E::Disk>), ReadRefusal> {
        let state = self.lock();
        let bounds = state.partition.offset_bounds(current_leader_epoch, isolation)?;
        Ok((bounds, state.log.view()))
    }

    /// The same to the end of the log: see [`Partition::log_bounds`](crate::partition::Partition::log_bounds).
    ///
    /// # Errors
    ///
    /// [`ReadRefusal`].
    pub fn log_bounds(
        &self,
        current_leader_epoch: LeaderEpoch,
        from: ReadFrom,
    ) -> Result<(OffsetBounds, LogView<E::Disk>), ReadRefusal> {
        let state = self.lock();
        let bounds = state.partition.log_bounds(current_leader_epoch, from)?;
        Ok((bounds, state.log.view()))
    }

    /// Takes from the log what retention has passed; whoever gets it runs it.
    pub(super) fn retire(&self, now: WallMs) -> Option<Retirement<E::Disk>> {
        let mut state = self.lock();
        // What a truncation has been decided to leave must still be there when it begins.
        if state.partition.truncating().is_some() {
            return None;
        }
        let high_watermark = state.partition.positions().high_watermark.offset();
        let retirement = state.log.retire(now, high_watermark).ok()??;
        let advance = state.partition.raise_log_start(retirement.log_start());
        let advance = advance.expect("retention stays below the high watermark");
        let released = self.settle(&mut state, advance);
        drop(state);
        released.tell();
        Some(retirement)
    }

    /// Has the log rolled if the active segment should leave by retention; says whether that is under way.
    pub(super) fn roll_for_retention(self: &Arc<Self>, now: WallMs) -> bool {
        let mut state = self.lock();
        let high_watermark = state.partition.positions().high_watermark.offset();
        let usable = state.log.failure().is_none() && state.partition.truncating().is_none();
        if !usable || !state.log.roll_for_retention(now, high_watermark) {
            return false;
        }
        if !state.roll_wanted {
            state.roll_wanted = true;
            drop(self.prepare(&mut state, None));
        }
        true
    }

    /// Forgets idle producers.
    pub(super) fn expire_producers(&self, now: WallMs, expiration: Duration) {
        self.lock().partition.expire_producers(now, expiration);
    }

    /// Something outside the log's own calls failed on its files: the log must not be used again.
    pub fn fail_storage(self: &Arc<Self>, reason: &str) {
        let mut state = self.lock();
        let released = self.fail(&mut state, reason);
        drop(state);
        released.tell();
    }

    /// The same, for an error of the disk.
    pub(super) fn fail_log(self: &Arc<Self>, failure: impl Into<LogFailure>) {
        let failure = failure.into();
        let reason = failure.to_string();
        let mut state = self.lock();
        state.log.fail(failure);
        let released = self.fail(&mut state, &reason);
        drop(state);
        released.tell();
    }

    fn fail(self: &Arc<Self>, state: &mut State<E>, reason: &str) -> Released {
        state.partition.fail_storage();
        self.queues.activity.happened();
        self.follow_nobody();
        if !state.closed_for_deletion {
            self.directory.report_failure(&format!("{}: {reason}", self.name));
        }
        state.waiting.fail_all(AckFailure::Storage)
    }

    /// Leave to work on the files by their names, for as long as it is held; `None` once they are deleted.
    pub(super) async fn use_files(&self) -> Option<SemaphorePermit<'_>> {
        self.files.acquire().await.ok()
    }

    /// The same, at once; `None` also while somebody waits to be the last who works on them.
    pub(super) fn try_use_files(&self) -> Option<SemaphorePermit<'_>> {
        self.files.try_acquire().ok()
    }

    /// Takes the replica out of use because its topic is deleted: whoever waits hears that nobody leads here.
    /// When it returns, nobody works on the files any more, and nobody will.
    pub(super) async fn close_for_deletion(self: &Arc<Self>) {
        self.refuse_all();
        let users = self.files.acquire_many(FILE_USERS).await;
        assert!(users.is_ok(), "a replica is deleted once");
        self.files.close();
    }

    fn refuse_all(self: &Arc<Self>) {
        let mut state = self.lock();
        state.closed_for_deletion = true;
        state.partition.fail_storage();
        self.queues.activity.happened();
        self.follow_nobody();
        let released = state.waiting.fail_all(AckFailure::NotLeader);
        drop(state);
        released.tell();
    }

    /// Ends the use of the replica: everything is durable, the producers at the log's end included.
    ///
    /// # Errors
    ///
    /// Why it is not. The directory must then not be marked as left cleanly.
    pub(super) async fn close(&self) -> Result<(), LogError> {
        // A roll under way ends first: a log in the middle of one cannot be closed.
        let Ok(_users) = self.files.acquire_many(FILE_USERS).await else { return Ok(()) };
        let (plan, producers, end) = {
            let mut state = self.lock();
            let plan = state.log.close()?;
            (plan, state.partition.producers().snapshot(), state.log.log_end())
        };
        let outcome = self.close_files(&plan, &producers, end).await;
        let mut state = self.lock();
        match outcome {
            Ok(()) => {
                state.log.synced(&plan);
                Ok(())
            }
            Err(error) => {
                state.log.fail(error.clone());
                Err(LogError::Failed(error.into()))
            }
        }
    }

    async fn close_files(
        &self,
        plan: &SyncPlan<E::Disk>,
        producers: &[SnapshotEntry],
        end: Offset,
    ) -> Result<(), DiskError> {
        plan.run().await?;
        // Before the snapshot: recovery folds the log from there only.
        self.save_epochs().await?;
        let entries: Vec<_> = producers.iter().map(to_file).collect();
        write_producer_snapshot(self.env.disk(), &self.path, end, &entries).await
    }

    /// Puts the log on the list of what to sync, if there is anything to sync.
    pub(super) fn want_flush(self: &Arc<Self>, state: &mut State<E>) {
        let counts = state.config.durability == Durability::Synced;
        let wanted = if counts { state.log.needs_sync() } else { state.log.has_unsynced_segments() };
        if wanted && state.flush.want() {
            self.queues.flushes.push(Arc::clone(self));
        }
    }

    /// Draws the consequences of a step: whom it releases, and what observers hear.
    fn settle(&self, state: &mut State<E>, advance: Advance) -> Released {
        if advance.after.log_start > advance.before.log_start {
            state.log.raise_log_start(advance.after.log_start.offset());
            // The leader hears of it with the next Fetch, though the follower has nothing else to ask.
            state.tell_fetcher(self.key);
        }
        if state.isr_seen != state.partition.isr() {
            state.isr_seen = state.partition.isr().to_vec();
            let (partition, leader_epoch) = (self.key, advance.leader_epoch);
            self.env.observe(Event::IsrTaken { partition, leader_epoch, isr: state.isr_seen.clone() });
        }
        if advance.moved() {
            self.queues.activity.happened();
            self.env.observe(Event::PositionsMoved {
                partition: self.key,
                leader_epoch: advance.leader_epoch,
                log_start: advance.after.log_start,
                high_watermark: advance.after.high_watermark,
                counted_end: advance.after.counted_end,
                log_end: advance.after.log_end,
            });
        }
        let State { waiting, partition, .. } = state;
        waiting.release(&advance, || partition.low_watermark())
    }

    fn observe_appended(&self, header: &BatchHeader) {
        self.env.observe(Event::BatchAppended {
            partition: self.key,
            batch_epoch: header.partition_leader_epoch,
            base_offset: header.base_offset,
            end: header.next_offset(),
            crc: header.crc,
        });
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State<E>> {
        self.state.lock().expect("a panic ends the node")
    }

    pub(super) fn env(&self) -> &E {
        &self.env
    }
}

impl<E: Env> State<E> {
    /// Whether something has to be done before the next append.
    fn needs_preparation(&self) -> bool {
        let epochs_due =
            self.epochs_needed.is_some_and(|needed| self.epochs_saved.is_none_or(|saved| saved < needed));
        self.roll_wanted || epochs_due || self.partition.truncating().is_some()
    }

    /// What this replica fetches next may have changed.
    fn tell_fetcher(&self, key: PartitionKey) {
        if let Some(fetcher) = &self.fetcher {
            fetcher.due(key);
        }
    }
}

impl<E: Env> Flushable for Replica<E> {
    async fn flush(self: &Arc<Self>) -> bool {
        let Some(_files) = self.use_files().await else { return false };
        let (plan, leader_epoch) = {
            let mut state = self.lock();
            state.flush.begin();
            match state.log.sync_plan() {
                Ok(plan) => (plan, state.partition.leader_epoch()),
                // Failed, or being cut: neither waits for a sync.
                Err(_) => return state.flush.end(),
            }
        };
        let outcome = plan.run().await;
        if let Err(error) = outcome {
            self.fail_log(error);
            return self.lock().flush.end();
        }
        let mut state = self.lock();
        let again = state.flush.end();
        if state.log.failure().is_some() {
            return again;
        }
        state.log.synced(&plan);
        let advance = state.partition.synced(leader_epoch, plan.generation(), plan.end());
        let released = advance.map(|advance| self.settle(&mut state, advance)).unwrap_or_default();
        state.tell_fetcher(self.key);
        drop(state);
        released.tell();
        again
    }
}

/// Registers who waits for the acknowledgement of everything before `end`.
fn wait_for_acks<E: Env>(state: &mut State<E>, acks: Acks, end: Offset) -> Option<Pending> {
    let wait = state.partition.wait_for(acks, end)?;
    Some(state.waiting.add(wait))
}
