//! What happens by the clock: checkpoints, retention, the removal of what was deleted.
//!
//! One task does it all, so that each small file has one writer. It wakes when something is due and touches a
//! checkpoint only if its content has changed: an idle node writes nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

use super::directories::LogDirectory;
use super::metadata::Metadata;
use super::replica::Replica;
use super::replicas::{METADATA_DIRECTORY, remove_directory};
use crate::config::server::ServerConfig;
use crate::env::{Clock, Env};
use crate::log::Retired;
use crate::log::checkpoint::{
    HIGH_WATERMARK_CHECKPOINT, LOG_START_CHECKPOINT, RECOVERY_POINT_CHECKPOINT, write_offsets,
};
use crate::log::directory::TopicPartition;
use crate::types::{Mono, Offset, Uuid};

/// How often idle producers are looked for, as in Kafka (`producer.id.expiration.check.interval.ms`).
const PRODUCER_SWEEP_INTERVAL: Duration = Duration::from_secs(600);

/// When retention is first checked after the start, as in Kafka.
const RETENTION_INITIAL_DELAY: Duration = Duration::from_secs(30);

/// When retention is checked again after it has had logs rolled.
const ROLL_PATIENCE: Duration = Duration::from_secs(1);

/// How long deleted partitions' files stay (`log.segment.delete.delay.ms`, whose default this is).
const DIRECTORY_DELETE_DELAY: Duration = Duration::from_secs(60);

/// Chores that may wait.
const CHORES_MAX: usize = 256;

/// A handle to the task. Clones share it.
#[derive(Debug, Clone)]
pub struct Housekeeping {
    chores: mpsc::Sender<Chore>,
}

enum Chore {
    /// Answered with the ids of the directories whose log starts are durable.
    CheckpointLogStarts(oneshot::Sender<BTreeSet<Uuid>>),
    /// Answered with the ids of the directories whose checkpoints are all as they should be.
    Checkpoint(oneshot::Sender<BTreeSet<Uuid>>),
    /// Takes deleted partitions out of the checkpoints, and removes their directories after a while.
    TakeLeave(Vec<PathBuf>, oneshot::Sender<()>),
    /// Writes every checkpoint once more and ends the task.
    Finish(oneshot::Sender<()>),
}

impl Housekeeping {
    pub(super) fn new() -> (Self, ChoreQueue) {
        let (chores, queue) = mpsc::channel(CHORES_MAX);
        (Self { chores }, ChoreQueue(queue))
    }

    /// Makes all log starts durable, as DeleteRecords promises, and says in which directories they are: not in
    /// those that have failed, and in none if the node is stopping.
    pub async fn checkpoint_log_starts(&self) -> BTreeSet<Uuid> {
        let (done, outcome) = oneshot::channel();
        // At shutdown nobody takes the chore, or nobody answers.
        let _ = self.chores.send(Chore::CheckpointLogStarts(done)).await;
        outcome.await.unwrap_or_default()
    }

    /// Writes every checkpoint, and says in which directories they are: not in those that have failed, and in none
    /// if the node is stopping. A log is cut only when what it will lack is no longer promised: recovery would take
    /// it for damaged. By then no retention is under way that began before this call.
    pub(super) async fn checkpoint(&self) -> BTreeSet<Uuid> {
        let (done, outcome) = oneshot::channel();
        // At shutdown nobody takes the chore, or nobody answers.
        let _ = self.chores.send(Chore::Checkpoint(done)).await;
        outcome.await.unwrap_or_default()
    }

    /// Removes the directories of deleted partitions after a while. When it returns, the checkpoints name them
    /// no more: a topic that is created under the same name must not be taken for damaged, should the node
    /// crash, because it is shorter than the one before.
    pub(super) async fn take_leave(&self, paths: Vec<PathBuf>) {
        if paths.is_empty() {
            return;
        }
        let (done, outcome) = oneshot::channel();
        // At shutdown nobody does it: the next start will.
        if self.chores.send(Chore::TakeLeave(paths, done)).await.is_ok() {
            let _ = outcome.await;
        }
    }

    /// Writes every checkpoint and ends the task.
    pub(super) async fn finish(&self) {
        let (done, outcome) = oneshot::channel();
        if self.chores.send(Chore::Finish(done)).await.is_ok() {
            let _ = outcome.await;
        }
    }
}

/// What the task works off.
pub(super) struct ChoreQueue(mpsc::Receiver<Chore>);

/// What checkpoint files hold, by directory and name.
pub(super) type Written = BTreeMap<(PathBuf, &'static str), BTreeMap<TopicPartition, Offset>>;

/// The task's own.
pub(super) struct Housekeeper<E: Env> {
    pub(super) env: E,
    pub(super) config: Arc<ServerConfig>,
    pub(super) metadata: Metadata<E>,
    pub(super) directories: Vec<Arc<LogDirectory>>,
    /// The directory of the metadata log, and how far that is durable.
    pub(super) metadata_log: (Arc<LogDirectory>, Arc<AtomicI64>),
    /// What each checkpoint file holds, by directory and name.
    pub(super) written: Written,
    pub(super) queue: ChoreQueue,
}

/// When what is due.
struct Schedule<D: crate::env::Disk> {
    high_watermarks: Mono,
    recovery_points: Mono,
    log_starts: Mono,
    retention: Mono,
    producers: Mono,
    /// Files and directories to remove, by time.
    removals: Vec<(Mono, Removal<D>)>,
}

enum Removal<D: crate::env::Disk> {
    Segments(Retired<D>),
    Directory(PathBuf),
}

impl<E: Env> Housekeeper<E> {
    /// Works until told to finish.
    pub(super) async fn run(mut self) {
        let now = self.env.clock().now();
        let mut schedule = Schedule {
            high_watermarks: now + self.config.high_watermark_checkpoint_interval,
            recovery_points: now + self.config.recovery_point_checkpoint_interval,
            log_starts: now + self.config.log_start_checkpoint_interval,
            retention: now + RETENTION_INITIAL_DELAY.min(self.config.retention_check_interval),
            producers: now + PRODUCER_SWEEP_INTERVAL,
            removals: Vec::new(),
        };
        loop {
            let clock = self.env.clock().clone();
            match clock.timeout_at(schedule.next(), self.queue.0.recv()).await {
                None => {}
                Some(Some(Chore::CheckpointLogStarts(done))) => {
                    let _ = done.send(self.checkpoint(LOG_START_CHECKPOINT, log_start).await);
                }
                Some(Some(Chore::Checkpoint(done))) => {
                    let _ = done.send(self.checkpoint_all().await);
                }
                Some(Some(Chore::TakeLeave(paths, done))) => {
                    self.checkpoint_all().await;
                    let _ = done.send(());
                    let at = self.env.clock().now() + DIRECTORY_DELETE_DELAY;
                    schedule.removals.extend(paths.into_iter().map(|path| (at, Removal::Directory(path))));
                }
                Some(Some(Chore::Finish(done))) => {
                    self.checkpoint_all().await;
                    let _ = done.send(());
                    return;
                }
                Some(None) => return,
            }
            // However many chores come.
            self.work(&mut schedule).await;
        }
    }

    /// Does what is due.
    async fn work(&mut self, schedule: &mut Schedule<E::Disk>) {
        let now = self.env.clock().now();
        if schedule.high_watermarks <= now {
            self.checkpoint(HIGH_WATERMARK_CHECKPOINT, high_watermark).await;
            schedule.high_watermarks = now + self.config.high_watermark_checkpoint_interval;
        }
        if schedule.recovery_points <= now {
            self.checkpoint(RECOVERY_POINT_CHECKPOINT, recovery_point).await;
            schedule.recovery_points = now + self.config.recovery_point_checkpoint_interval;
        }
        if schedule.log_starts <= now {
            self.checkpoint(LOG_START_CHECKPOINT, log_start).await;
            schedule.log_starts = now + self.config.log_start_checkpoint_interval;
        }
        if schedule.retention <= now {
            let interval = self.config.retention_check_interval;
            let rolling = self.retain(schedule).await;
            schedule.retention = now + if rolling { interval.min(ROLL_PATIENCE) } else { interval };
        }
        if schedule.producers <= now {
            self.expire_producers();
            schedule.producers = now + PRODUCER_SWEEP_INTERVAL;
        }
        let due = schedule.removals.extract_if(.., |(at, _)| *at <= now).collect::<Vec<_>>();
        for (_, removal) in due {
            self.remove(removal).await;
        }
    }

    /// Writes every checkpoint that is not as it should be. Returns the ids of the directories in which all of them
    /// are now.
    ///
    /// The log starts last: one that lies before the other two would make a log look damaged that begins anew.
    pub(super) async fn checkpoint_all(&mut self) -> BTreeSet<Uuid> {
        let mut written = self.checkpoint(HIGH_WATERMARK_CHECKPOINT, high_watermark).await;
        let recovery_points = self.checkpoint(RECOVERY_POINT_CHECKPOINT, recovery_point).await;
        let log_starts = self.checkpoint(LOG_START_CHECKPOINT, log_start).await;
        written.retain(|id| recovery_points.contains(id) && log_starts.contains(id));
        written
    }

    /// Writes one checkpoint of every directory in which its content has changed. Returns the ids of the
    /// directories in which it is now as it should be.
    async fn checkpoint(
        &mut self,
        name: &'static str,
        offset: fn(&Replica<E>) -> Option<Offset>,
    ) -> BTreeSet<Uuid> {
        let replicas = Arc::clone(&self.metadata.current().replicas);
        let mut contents: Vec<BTreeMap<TopicPartition, Offset>> =
            vec![BTreeMap::new(); self.directories.len()];
        for replica in replicas.values() {
            let place =
                self.directories.iter().position(|directory| Arc::ptr_eq(directory, replica.directory()));
            let place = place.expect("a replica lies in one of the directories");
            if let Some(offset) = offset(replica) {
                contents[place].insert(replica.name().clone(), offset);
            }
        }
        let mut written = BTreeSet::new();
        for (directory, mut content) in self.directories.clone().into_iter().zip(contents) {
            if name == RECOVERY_POINT_CHECKPOINT && Arc::ptr_eq(&directory, &self.metadata_log.0) {
                let end = Offset(self.metadata_log.1.load(Ordering::SeqCst));
                content.insert(metadata_partition(), end);
            }
            if self.write(&directory, name, content).await {
                written.insert(directory.id());
            }
        }
        written
    }

    async fn write(
        &mut self,
        directory: &LogDirectory,
        name: &'static str,
        content: BTreeMap<TopicPartition, Offset>,
    ) -> bool {
        let file = (directory.path().to_owned(), name);
        if !directory.is_online() || self.written.get(&file).unwrap_or(&BTreeMap::new()) == &content {
            return directory.is_online();
        }
        match write_offsets(self.env.disk(), directory.path(), name, &content).await {
            Ok(()) => {
                self.written.insert(file, content);
                true
            }
            Err(error) => {
                directory.report_failure(&error.to_string());
                false
            }
        }
    }

    /// Takes out of every log what retention has passed. Says whether a log is being rolled so that more can go.
    ///
    /// Waits for nobody who may be waiting for a chore of this task: not for a roll, which comes after other
    /// replicas' truncations, nor for files whose users have one under way.
    async fn retain(&mut self, schedule: &mut Schedule<E::Disk>) -> bool {
        let replicas = Arc::clone(&self.metadata.current().replicas);
        let (mut rolling, mut retirements) = (false, Vec::new());
        for replica in replicas.values().filter(|replica| replica.directory().is_online()) {
            let now = self.env.clock().wall();
            rolling |= replica.roll_for_retention(now);
            if let Some(retirement) = replica.retire(now) {
                retirements.push((Arc::clone(replica), retirement));
            }
        }
        if retirements.is_empty() {
            return rolling;
        }
        // The log start is durable before the first file goes: else a crash would leave a log that begins with
        // records that were deleted on purpose.
        self.checkpoint(LOG_START_CHECKPOINT, log_start).await;
        for (replica, retirement) in retirements {
            // Of who is being deleted or closed: all goes with the topic, or at the next start.
            let Some(_files) = replica.try_use_files() else { continue };
            // A checkpoint that could not be written has taken its directory offline.
            if !replica.directory().is_online() {
                continue;
            }
            let delay = Duration::from_millis(replica.config().file_delete_delay_ms);
            match retirement.run().await {
                Ok(retired) => {
                    schedule.removals.push((self.env.clock().now() + delay, Removal::Segments(retired)));
                }
                Err(error) => replica.fail_log(error),
            }
        }
        rolling
    }

    fn expire_producers(&self) {
        let now = self.env.clock().wall();
        for replica in self.metadata.current().replicas.values() {
            replica.expire_producers(now, self.config.producer_id_expiration);
        }
    }

    /// Removes the directories of partitions that were put away before the start.
    pub(super) async fn remove_all(&self, paths: Vec<PathBuf>) {
        for path in paths {
            self.remove(Removal::Directory(path)).await;
        }
    }

    /// A file that cannot be removed is a nuisance, not a danger: the next start tries again.
    async fn remove(&self, removal: Removal<E::Disk>) {
        let outcome = match removal {
            Removal::Segments(retired) => retired.delete().await,
            Removal::Directory(path) => remove_directory(self.env.disk(), &path).await,
        };
        if let Err(error) = outcome {
            tracing::warn!(%error, "what was deleted cannot be removed now");
        }
    }
}

impl<D: crate::env::Disk> Schedule<D> {
    fn next(&self) -> Mono {
        let fixed =
            [self.high_watermarks, self.recovery_points, self.log_starts, self.retention, self.producers];
        let removals = self.removals.iter().map(|(at, _)| *at);
        fixed.into_iter().chain(removals).min().expect("there are fixed times")
    }
}

/// As Kafka writes the metadata log's name into checkpoints.
pub(super) fn metadata_partition() -> TopicPartition {
    TopicPartition { topic: METADATA_DIRECTORY.trim_end_matches('-').to_owned(), partition: 0 }
}

/// The high watermark, but never beyond what a loss of power leaves: a log that ends before its checkpointed
/// high watermark is damaged.
fn high_watermark<E: Env>(replica: &Replica<E>) -> Option<Offset> {
    Some(replica.positions().high_watermark.offset().min(replica.durable_end()))
}

fn recovery_point<E: Env>(replica: &Replica<E>) -> Option<Offset> {
    Some(replica.durable_end())
}

/// Like Kafka, only logs that start after their first segment does are worth an entry; a superset does no harm.
fn log_start<E: Env>(replica: &Replica<E>) -> Option<Offset> {
    Some(replica.log_start_to_save()).filter(|start| *start > Offset::ZERO)
}
