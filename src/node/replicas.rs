//! The replicas of this node: opened, created, changed and put away as the metadata says.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rand_core::Rng as _;
use thiserror::Error;

use super::directories::{Checkpoints, LogDirectory, TopicIds};
use super::fetchers::{Route, endpoints};
use super::fold::fold_producers;
use super::metadata::Published;
use super::parallel;
use super::replica::{Opened, Queues, Replica};
use super::throttles::Throttles;
use crate::config::Texts;
use crate::config::broker_keys::{BrokerKey, broker_key, effective};
use crate::config::server::ServerConfig;
use crate::config::topic::{Durability, TopicConfig};
use crate::config::value::ValueError;
use crate::controller::image::{
    BrokerRegistration, Image, LeaderRecoveryState, PartitionRegistration, TopicImage,
};
use crate::env::{Clock, Disk, DiskError, Env, Purpose};
use crate::log::checkpoint::{self, CheckpointError};
use crate::log::directory::{DirectoryName, TopicPartition};
use crate::log::{Log, LogConfig, OpenHints, OpenLogError, ReadError};
use crate::partition::{
    BrokerState, Brokers, Counting, EpochCache, EpochEntry, Partition, PartitionConfig, ProducerTable,
    Recovered, Registration,
};
use crate::types::{BrokerId, HighWatermark, LeaderEpoch, LogEnd, LogStart, Offset, PartitionKey, Uuid};
use crate::wire::batch::BatchHeader;

/// Logs that are opened at the same time.
const OPENING_AT_ONCE: usize = 8;

/// What it takes to open replicas.
pub(super) struct Replicas<E: Env> {
    env: E,
    broker_id: BrokerId,
    /// The name of the listener that brokers use among themselves.
    listener: Arc<str>,
    /// `replica.lag.time.max.ms`.
    lag_time_max: Duration,
    /// The static configuration.
    server: Arc<Texts>,
    queues: Queues<E>,
    throttles: Throttles,
    directories: Vec<Arc<LogDirectory>>,
}

/// Why a replica cannot be opened.
#[derive(Debug, Clone, Error)]
pub enum OpenReplicaError {
    /// The disk failed.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// The log is damaged, or the disk failed.
    #[error(transparent)]
    Log(#[from] OpenLogError),
    /// The log could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// A small file of the partition is damaged.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// The topic's configuration cannot be read.
    #[error("topic {topic}: {error}")]
    Config {
        /// The topic.
        topic: String,
        /// What is wrong.
        error: ValueError,
    },
    /// A partition's directory is gone, and records with it.
    #[error(
        "{} {what}, but the partition was durable or committed up to offset {offset}; put it back, or take it \
         out of the checkpoint files of its log directory to go on without these records",
        path.display()
    )]
    Lost {
        /// Where it should be.
        path: PathBuf,
        /// What is wrong with it.
        what: &'static str,
        /// What the checkpoints say.
        offset: Offset,
    },
    /// A partition lies in two log directories. Nobody can tell which of them has the records.
    #[error(
        "partition {name} is found in both {} and {}; find out which of them is in use and move the other away",
        paths[0].display(), paths[1].display()
    )]
    Twice {
        /// The partition.
        name: String,
        /// Its directories.
        paths: [PathBuf; 2],
    },
    /// Every log directory has failed.
    #[error("no log directory is left")]
    NoDirectory,
}

impl OpenReplicaError {
    /// Whether the disk failed, rather than what is on it.
    fn is_of_disk(&self) -> bool {
        match self {
            Self::Disk(_)
            | Self::Log(OpenLogError::Disk(_))
            | Self::Read(ReadError::Disk(_))
            | Self::Checkpoint(CheckpointError::Disk(_)) => true,
            Self::Log(OpenLogError::Corrupt(_))
            | Self::Read(_)
            | Self::Checkpoint(_)
            | Self::Lost { .. }
            | Self::Twice { .. }
            | Self::Config { .. }
            | Self::NoDirectory => false,
        }
    }
}

/// One replica to open.
struct Opening {
    key: PartitionKey,
    name: TopicPartition,
    directory: Arc<LogDirectory>,
    config: Arc<TopicConfig>,
    /// The latest leader epoch that the metadata knows.
    leader_epoch: LeaderEpoch,
    hints: OpenHints,
}

/// A log directory, whether it was left cleanly, and what is known of the replicas in it.
pub(super) type FoundReplicas = (Arc<LogDirectory>, bool, Checkpoints, TopicIds);

/// The directory of a partition that the metadata does not know.
struct Stray {
    directory: Arc<LogDirectory>,
    name: TopicPartition,
    topic_id: Option<Uuid>,
}

impl<E: Env> Clone for Replicas<E> {
    fn clone(&self) -> Self {
        Self {
            env: self.env.clone(),
            broker_id: self.broker_id,
            listener: Arc::clone(&self.listener),
            lag_time_max: self.lag_time_max,
            server: Arc::clone(&self.server),
            queues: self.queues.clone(),
            throttles: self.throttles.clone(),
            directories: self.directories.clone(),
        }
    }
}

impl<E: Env> Replicas<E> {
    pub(super) fn new(
        env: E,
        config: &ServerConfig,
        queues: Queues<E>,
        throttles: Throttles,
        directories: Vec<Arc<LogDirectory>>,
    ) -> Self {
        let listener = Arc::from(config.inter_broker_listener.as_str());
        let server = Arc::new(config.texts.clone());
        let lag_time_max = config.replication.lag_time_max;
        let broker_id = config.node_id;
        Self { env, broker_id, listener, lag_time_max, server, queues, throttles, directories }
    }

    /// Opens the replicas that lie in the directories, at start. `found` says, per directory, how it was left.
    /// Directories of partitions that the metadata does not know, or not on this broker, are put aside, never
    /// deleted (KAFKA-14616). Returns also those that were put away before: they may be removed once no
    /// checkpoint names what was in them.
    pub(super) async fn open_all(
        &self,
        image: &Image,
        found: &[FoundReplicas],
    ) -> Result<(BTreeMap<PartitionKey, Arc<Replica<E>>>, Vec<PathBuf>), OpenReplicaError> {
        let (mut known, mut strays, mut put_away) = (BTreeMap::new(), Vec::new(), Vec::new());
        let mut openings = Vec::new();
        for (directory, clean, checkpoints, topic_ids) in found {
            let (partitions, deleted) = self.partitions_in(directory).await?;
            put_away.extend(deleted);
            for name in partitions {
                let path = directory.path().join(name.directory_name());
                let topic_id = topic_ids.get(&name).copied().flatten();
                match topic_id.and_then(|id| image.topic(id)).filter(|topic| *topic.name == *name.topic) {
                    Some(topic) if self.is_ours(topic.partitions.get(&name.partition)) => {
                        if let Some(other) = known.insert(name.clone(), path.clone()) {
                            return Err(OpenReplicaError::Twice {
                                name: name.to_string(),
                                paths: [other, path],
                            });
                        }
                        let hints = self.hints(&name, *clean, checkpoints);
                        openings.push(self.opening(image, topic, name, Arc::clone(directory), hints)?);
                    }
                    _ => strays.push(Stray { directory: Arc::clone(directory), name, topic_id }),
                }
            }
        }
        self.check_none_lost(image, found, &known, &strays, &put_away)?;
        // Only now: a start that is refused changes nothing.
        for stray in strays {
            self.put_aside(&stray).await?;
        }
        let replicas = self.open_many(openings).await?;
        let replicas = replicas.into_iter().map(|replica| (replica.key(), replica)).collect();
        Ok((replicas, put_away.into_iter().map(|(path, _)| path).collect()))
    }

    /// Whether this broker has a replica of a partition.
    fn is_ours(&self, registration: Option<&Arc<PartitionRegistration>>) -> bool {
        registration.is_some_and(|registration| registration.replicas.contains(&self.broker_id))
    }

    /// That every replica of this node which had something durable has its directory. One that never had may
    /// have been lost in a crash, and is created anew.
    fn check_none_lost(
        &self,
        image: &Image,
        found: &[FoundReplicas],
        known: &BTreeMap<TopicPartition, PathBuf>,
        strays: &[Stray],
        put_away: &[(PathBuf, TopicPartition)],
    ) -> Result<(), OpenReplicaError> {
        let names = image.topics().flat_map(|topic| {
            let ours = topic.partitions.iter().filter(|(_, registration)| self.is_ours(Some(registration)));
            ours.map(|(&partition, _)| TopicPartition { topic: topic.name.to_string(), partition })
        });
        for name in names.filter(|name| !known.contains_key(name)) {
            // It was put away on purpose, and the checkpoints have not followed.
            let away = DirectoryName::parse(&name.deleted_directory_name(Uuid::ZERO));
            if put_away.iter().any(|(_, cut)| away == Some(DirectoryName::Deleted(cut.clone()))) {
                continue;
            }
            for (directory, _, checkpoints, _) in found {
                let hints = self.hints(&name, false, checkpoints);
                let offset = hints.recovery_point.max(hints.high_watermark);
                let there = strays
                    .iter()
                    .find(|stray| stray.name == name && Arc::ptr_eq(&stray.directory, directory));
                let what = match there {
                    None => "is missing",
                    Some(Stray { topic_id: None, .. }) => "has no partition.metadata",
                    // What is checkpointed is that topic's, which had the same name.
                    Some(Stray { topic_id: Some(_), .. }) => continue,
                };
                if offset > Offset::ZERO {
                    let path = directory.path().join(name.directory_name());
                    return Err(OpenReplicaError::Lost { path, what, offset });
                }
            }
        }
        Ok(())
    }

    /// The partitions in a directory, and what was put away there.
    async fn partitions_in(
        &self,
        directory: &LogDirectory,
    ) -> Result<(Vec<TopicPartition>, Vec<(PathBuf, TopicPartition)>), DiskError> {
        let (mut found, mut put_away) = (Vec::new(), Vec::new());
        for entry in self.env.disk().list(directory.path()).await? {
            if !entry.is_dir || entry.name.starts_with(METADATA_DIRECTORY) {
                continue;
            }
            match DirectoryName::parse(&entry.name) {
                Some(DirectoryName::Partition(name)) => found.push(name),
                Some(DirectoryName::Deleted(name)) => {
                    put_away.push((directory.path().join(&entry.name), name));
                }
                _ => {}
            }
        }
        Ok((found, put_away))
    }

    fn hints(&self, name: &TopicPartition, clean: bool, checkpoints: &Checkpoints) -> OpenHints {
        let of =
            |offsets: &BTreeMap<TopicPartition, Offset>| offsets.get(name).copied().unwrap_or(Offset::ZERO);
        OpenHints {
            clean,
            recovery_point: of(&checkpoints.recovery_points),
            high_watermark: of(&checkpoints.high_watermarks),
            log_start: of(&checkpoints.log_starts),
            now: self.env.clock().wall(),
        }
    }

    /// What is published next: replicas created, changed and put away so that they are as `image` says.
    pub(super) async fn apply(
        &self,
        before: &Published<E>,
        image: Arc<Image>,
        end: Offset,
    ) -> Result<(Published<E>, Vec<PathBuf>), OpenReplicaError> {
        let mut replicas = (*before.replicas).clone();
        let gone: Vec<Arc<TopicImage>> =
            before.image.topics().filter(|topic| image.topic(topic.id).is_none()).cloned().collect();
        let mut put_away = Vec::new();
        for topic in gone {
            for &index in topic.partitions.keys() {
                if let Some(replica) = replicas.remove(&PartitionKey { topic_id: topic.id, index }) {
                    put_away.extend(self.delete(&replica).await);
                }
            }
        }
        let mut openings = Vec::new();
        let layers_changed = self.layers_changed(&before.image, &image);
        for topic in image.topics() {
            let unchanged = before.image.topic(topic.id).is_some_and(|old| Arc::ptr_eq(old, topic));
            if unchanged && !layers_changed {
                continue;
            }
            for (&index, registration) in &topic.partitions {
                let key = PartitionKey { topic_id: topic.id, index };
                if !registration.replicas.contains(&self.broker_id) {
                    // It was moved away: the others have all of it.
                    if let Some(replica) = replicas.remove(&key) {
                        put_away.extend(self.delete(&replica).await);
                    }
                } else if !replicas.contains_key(&key) {
                    let name = TopicPartition { topic: topic.name.to_string(), partition: index };
                    let directory = self.directory_for(registration, &replicas)?;
                    let hints = OpenHints::new_log(self.env.clock().wall());
                    openings.push(self.opening(&image, topic, name, directory, hints)?);
                }
            }
        }
        for replica in self.open_usable(openings).await? {
            replicas.insert(replica.key(), replica);
        }
        let brokers = Arc::new(brokers(&image));
        let reachable = endpoints(&image, &self.listener);
        if reachable != endpoints(&before.image, &self.listener) {
            // A node that stops follows nobody.
            let _ = self.queues.routes.send(Route::Endpoints(reachable));
        }
        if layers_changed {
            self.take_broker_config(&image);
        }
        self.tell(&image, &brokers, &before.image, layers_changed, &replicas)?;
        Ok((Published { image, end, brokers, replicas: Arc::new(replicas) }, put_away))
    }

    /// Takes in dynamic broker configs that concern replicas. A text that is no value, in a log that somebody else
    /// wrote, counts as not set.
    fn take_broker_config(&self, image: &Image) {
        let layers = image.layers(self.broker_id, &self.server);
        let number = |name| {
            let value = effective(name, layers).ok().flatten();
            let value = value.or_else(|| broker_key(name).and_then(BrokerKey::default_value));
            u64::try_from(value.expect("the configs asked for have defaults").number()).unwrap_or(0)
        };
        self.throttles.leader.set(number("leader.replication.throttled.rate"));
        self.throttles.follower.set(number("follower.replication.throttled.rate"));
        let fetchers = usize::try_from(number("num.replica.fetchers")).unwrap_or(usize::MAX);
        // A node that stops follows nobody.
        let _ = self.queues.routes.send(Route::Fetchers(fetchers));
    }

    /// Tells the replicas of changed topics what has changed.
    fn tell(
        &self,
        image: &Image,
        brokers: &Arc<Brokers>,
        before: &Image,
        layers_changed: bool,
        replicas: &BTreeMap<PartitionKey, Arc<Replica<E>>>,
    ) -> Result<(), OpenReplicaError> {
        for topic in image.topics() {
            if !layers_changed && before.topic(topic.id).is_some_and(|old| Arc::ptr_eq(old, topic)) {
                continue;
            }
            let config = Arc::new(self.config(image, topic)?);
            for (&index, registration) in &topic.partitions {
                let key = PartitionKey { topic_id: topic.id, index };
                if let Some(replica) = replicas.get(&key) {
                    replica.configure(Arc::clone(&config), self.log_config(key, &config));
                    replica.apply(&to_partition(registration), brokers);
                }
            }
        }
        Ok(())
    }

    fn layers_changed(&self, before: &Image, image: &Image) -> bool {
        let (old, new) =
            (before.layers(self.broker_id, &self.server), image.layers(self.broker_id, &self.server));
        old.broker != new.broker || old.cluster != new.cluster
    }

    /// The directory that the controller has chosen, else the one with the fewest replicas.
    fn directory_for(
        &self,
        registration: &PartitionRegistration,
        replicas: &BTreeMap<PartitionKey, Arc<Replica<E>>>,
    ) -> Result<Arc<LogDirectory>, OpenReplicaError> {
        let place = registration.replicas.iter().position(|id| *id == self.broker_id);
        let chosen = place.and_then(|place| registration.directories.get(place));
        let online = || self.directories.iter().filter(|directory| directory.is_online());
        let named = online().find(|directory| chosen == Some(&directory.id()));
        let load = |directory: &Arc<LogDirectory>| {
            replicas.values().filter(|replica| Arc::ptr_eq(replica.directory(), directory)).count()
        };
        let directory = match named {
            Some(directory) => Some(directory),
            None if self.directories.len() == 1 => online().next(),
            None => online().min_by_key(|directory| load(directory)),
        };
        directory.cloned().ok_or(OpenReplicaError::NoDirectory)
    }

    fn config(&self, image: &Image, topic: &TopicImage) -> Result<TopicConfig, OpenReplicaError> {
        let layers = image.layers(self.broker_id, &self.server);
        TopicConfig::resolve(&topic.configs, layers)
            .map_err(|error| OpenReplicaError::Config { topic: topic.name.to_string(), error })
    }

    fn opening(
        &self,
        image: &Image,
        topic: &TopicImage,
        name: TopicPartition,
        directory: Arc<LogDirectory>,
        hints: OpenHints,
    ) -> Result<Opening, OpenReplicaError> {
        let key = PartitionKey { topic_id: topic.id, index: name.partition };
        let config = Arc::new(self.config(image, topic)?);
        let leader_epoch = topic.partitions[&key.index].leader_epoch;
        Ok(Opening { key, name, directory, config, leader_epoch, hints })
    }

    /// Opens replicas at start. Whatever is wrong with one of them keeps the node from starting.
    async fn open_many(&self, openings: Vec<Opening>) -> Result<Vec<Arc<Replica<E>>>, OpenReplicaError> {
        let opened = self.open_each(openings).await.into_iter().collect::<Result<Vec<_>, _>>()?;
        for directory in &self.directories {
            self.sync_names(directory, &opened).await?;
        }
        Ok(opened)
    }

    /// Opens replicas while the node is at work. A directory that fails at it goes offline, without them.
    async fn open_usable(&self, openings: Vec<Opening>) -> Result<Vec<Arc<Replica<E>>>, OpenReplicaError> {
        let places: Vec<_> = openings.iter().map(|opening| Arc::clone(&opening.directory)).collect();
        let mut opened = Vec::with_capacity(openings.len());
        for (directory, outcome) in places.into_iter().zip(self.open_each(openings).await) {
            match outcome {
                Ok(replica) => opened.push(replica),
                Err(error) if error.is_of_disk() => directory.report_failure(&error.to_string()),
                Err(error) => return Err(error),
            }
        }
        for directory in &self.directories {
            if let Err(error) = self.sync_names(directory, &opened).await {
                directory.report_failure(&error.to_string());
            }
        }
        opened.retain(|replica| replica.directory().is_online());
        Ok(opened)
    }

    async fn open_each(&self, openings: Vec<Opening>) -> Vec<Result<Arc<Replica<E>>, OpenReplicaError>> {
        let replicas = self.clone();
        let open = move |opening| {
            let replicas = replicas.clone();
            async move { replicas.open(opening).await }
        };
        parallel::for_each(&self.env, "open-replica", OPENING_AT_ONCE, openings, open).await
    }

    /// Makes the names of new partition directories durable, once for all that are created together.
    async fn sync_names(
        &self,
        directory: &Arc<LogDirectory>,
        opened: &[Arc<Replica<E>>],
    ) -> Result<(), DiskError> {
        let is_new = |replica: &&Arc<Replica<E>>| {
            Arc::ptr_eq(replica.directory(), directory) && replica.lock().log.needs_parent_sync()
        };
        let new: Vec<_> = opened.iter().filter(is_new).collect();
        if !new.is_empty() {
            self.env.disk().sync_dir(directory.path()).await?;
            new.into_iter().for_each(|replica| replica.lock().log.parent_synced());
        }
        Ok(())
    }

    async fn open(&self, opening: Opening) -> Result<Arc<Replica<E>>, OpenReplicaError> {
        let Opening { key, name, directory, config, leader_epoch, hints } = opening;
        let disk = self.env.disk();
        let path = directory.path().join(name.directory_name());
        let (mut log, recovery) = Log::open(disk, &path, self.log_config(key, &config), hints).await?;
        if recovery.truncated_bytes > 0 {
            let bytes = recovery.truncated_bytes;
            tracing::info!(partition = %name, bytes, "cut off what was written but never made durable");
        }
        if checkpoint::read_topic_id(disk, &path).await? != Some(key.topic_id) {
            checkpoint::write_topic_id(disk, &path, key.topic_id).await?;
            // Which synced the directory, and so the names of the log's own files.
            log.directory_synced();
        }
        let (epochs, saved, producers) = self.fold(&log, leader_epoch).await?;
        let recovered = Recovered {
            log_start: LogStart(log.log_start()),
            durable_end: log.durable_end(),
            log_end: LogEnd(log.log_end()),
            high_watermark: HighWatermark(hints.high_watermark),
            truncation_generation: log.generation(),
            epochs,
            producers,
        };
        let counting = match config.durability {
            Durability::Synced => Counting::WhenSynced,
            Durability::PageCache => Counting::WhenAppended,
        };
        let min_insync_replicas = config.min_insync_replicas as usize;
        let partition_config = PartitionConfig {
            broker_id: self.broker_id,
            counting,
            min_insync_replicas,
            replica_lag_time_max: self.lag_time_max,
        };
        let partition = Partition::open(partition_config, recovered);
        let epochs_are_saved = partition.epochs().entries() == saved;
        let opened = Opened { key, name, path, directory, partition, log, config, epochs_are_saved };
        Ok(Replica::new(self.env.clone(), self.queues.clone(), opened))
    }

    /// Leader epochs and producers, as a fold over the log that survived. `newest` is the latest epoch in which
    /// anybody can have led. Says also what the checkpoint has of the epochs.
    async fn fold(
        &self,
        log: &Log<E::Disk>,
        newest: LeaderEpoch,
    ) -> Result<(EpochCache, Vec<EpochEntry>, ProducerTable), OpenReplicaError> {
        let disk = self.env.disk();
        let entries = checkpoint::read_leader_epochs(disk, log.dir()).await?;
        let entries = entries.into_iter().map(|(epoch, start_offset)| EpochEntry { epoch, start_offset });
        let saved: Vec<EpochEntry> = entries.collect();
        let mut epochs =
            EpochCache::from_entries(saved.clone()).map_err(|error| CheckpointError::Malformed {
                path: log.dir().join("leader-epoch-checkpoint"),
                reason: error.to_string(),
            })?;
        let each = |header: &BatchHeader| {
            epochs.fold(header);
        };
        let producers = fold_producers(disk, log.dir(), &log.view(), newest, each).await?;
        Ok((epochs, saved, producers))
    }

    /// Takes a replica's files out of use: the directory is renamed, to be removed later. Where the log
    /// directory has failed, or fails at it, that is left to the next start, which puts aside what the metadata
    /// does not know.
    async fn delete(&self, replica: &Arc<Replica<E>>) -> Option<PathBuf> {
        replica.close_for_deletion().await;
        let directory = replica.directory();
        if !directory.is_online() {
            return None;
        }
        let new_name = replica.name().deleted_directory_name(self.unique(replica.key()));
        let renamed = self.rename(directory, replica.name(), new_name).await;
        renamed.inspect_err(|error| directory.report_failure(&error.to_string())).ok()
    }

    async fn put_aside(&self, stray: &Stray) -> Result<(), DiskError> {
        let Stray { directory, name, topic_id } = stray;
        let key = PartitionKey { topic_id: topic_id.unwrap_or_default(), index: name.partition };
        let path = self.rename(directory, name, name.stray_directory_name(self.unique(key))).await?;
        tracing::warn!(path = %path.display(), "a partition that the metadata does not know is put aside");
        Ok(())
    }

    async fn rename(
        &self,
        directory: &LogDirectory,
        name: &TopicPartition,
        new_name: String,
    ) -> Result<PathBuf, DiskError> {
        let (old, new) = (directory.path().join(name.directory_name()), directory.path().join(new_name));
        self.env.disk().rename(&old, &new).await?;
        self.env.disk().sync_dir(directory.path()).await?;
        Ok(new)
    }

    /// A name of its own for a directory on its way out: a topic's id is never used twice.
    fn unique(&self, key: PartitionKey) -> Uuid {
        let instance = key.topic_id.0 as u64 ^ u64::from(key.index.unsigned_abs());
        let mut rng = self.env.rng(Purpose { subsystem: "replicas", what: "directory-name", instance });
        let wall = self.env.clock().wall().0 as u128;
        Uuid::from_random(|| (u128::from(rng.next_u64()) << 64 | u128::from(rng.next_u64())) ^ wall)
    }

    fn log_config(&self, key: PartitionKey, config: &TopicConfig) -> LogConfig {
        let signed = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
        let small = |value: u64| u32::try_from(value).unwrap_or(u32::MAX);
        let limit = |value: Option<u64>| value.filter(|_| config.delete).map_or(-1, signed);
        LogConfig {
            segment_bytes: small(config.segment_bytes),
            segment_ms: signed(config.segment_ms),
            segment_jitter_ms: signed(self.jitter(key, config.segment_jitter_ms.min(config.segment_ms))),
            index_interval_bytes: small(config.index_interval_bytes),
            segment_index_bytes: small(config.segment_index_bytes),
            retention_ms: limit(config.retention_ms),
            retention_bytes: limit(config.retention_bytes),
        }
    }

    /// The same for a partition each time, so that a change of another setting does not draw it anew.
    fn jitter(&self, key: PartitionKey, at_most: u64) -> u64 {
        if at_most == 0 {
            return 0;
        }
        let instance = key.topic_id.0 as u64 ^ u64::from(key.index.unsigned_abs());
        let purpose = Purpose { subsystem: "replicas", what: "segment-jitter", instance };
        self.env.rng(purpose).next_u64() % (at_most + 1)
    }
}

/// The directory of the metadata log begins like this.
pub(super) const METADATA_DIRECTORY: &str = "__cluster_metadata-";

/// Removes a partition's directory with everything in it.
pub(super) async fn remove_directory<D: Disk>(disk: &D, path: &std::path::Path) -> Result<(), DiskError> {
    for entry in disk.list(path).await? {
        if !entry.is_dir {
            disk.remove_file(&path.join(&entry.name)).await?;
        }
    }
    disk.remove_dir(path).await
}

fn to_partition(registration: &PartitionRegistration) -> Registration {
    Registration {
        leader: registration.leader,
        leader_epoch: registration.leader_epoch,
        partition_epoch: registration.partition_epoch,
        replicas: registration.replicas.clone(),
        isr: registration.isr.clone(),
        elr: registration.elr.clone(),
        recovering: registration.leader_recovery == LeaderRecoveryState::Recovering,
    }
}

fn brokers(image: &Image) -> Brokers {
    let state = |broker: &BrokerRegistration| BrokerState {
        epoch: broker.epoch,
        fenced: broker.fenced,
        in_controlled_shutdown: broker.in_controlled_shutdown,
        rack: broker.rack.clone(),
    };
    image.brokers().map(|broker| (broker.id, state(broker))).collect()
}
