//! The log directories: whose they are, how they were left, and what happens when one fails.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use thiserror::Error;
use tokio::sync::mpsc;

use super::storage;
use crate::env::{Disk, DiskError, DiskErrorKind};
use crate::log::checkpoint::{
    self, CheckpointError, HIGH_WATERMARK_CHECKPOINT, LOG_START_CHECKPOINT, META_PROPERTIES,
    RECOVERY_POINT_CHECKPOINT,
};
use crate::log::directory::{DirectoryName, TopicPartition};
use crate::types::{BrokerEpoch, BrokerId, Offset, Uuid};
use crate::wire::snapshot::SnapshotError;

/// A log directory in use.
#[derive(Debug)]
pub struct LogDirectory {
    path: PathBuf,
    id: Uuid,
    offline: AtomicBool,
    failures: mpsc::UnboundedSender<DirectoryFailure>,
}

/// A directory has failed.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("log directory {} has failed: {reason}", path.display())]
pub struct DirectoryFailure {
    /// Which.
    pub path: PathBuf,
    /// Its id.
    pub id: Uuid,
    /// Why.
    pub reason: String,
}

impl LogDirectory {
    /// Its path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its id, as in the partition records.
    pub fn id(&self) -> Uuid {
        self.id
    }

    /// Whether it has not failed yet.
    pub fn is_online(&self) -> bool {
        !self.offline.load(Ordering::SeqCst)
    }

    /// Takes the directory out of use: after a failed write or sync nobody knows what is in it. Only the first
    /// failure is reported to the node.
    pub fn report_failure(&self, reason: &str) {
        if self.offline.swap(true, Ordering::SeqCst) {
            return;
        }
        tracing::error!(directory = %self.path.display(), reason, "a log directory has failed and goes offline");
        let failure = DirectoryFailure { path: self.path.clone(), id: self.id, reason: reason.to_owned() };
        // At shutdown nobody listens any more.
        let _ = self.failures.send(failure);
    }
}

/// Why log directories cannot be used.
#[derive(Debug, Clone, Error)]
pub enum DirectoryError {
    /// The disk failed.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// A file of the directory says what it cannot say.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// Another broker runs on it.
    #[error("log directory {} is in use by another process: is a broker running on it already?", .0.display())]
    InUse(PathBuf),
    /// It was never formatted.
    #[error(
        "log directory {} is not formatted; run `ottla storage format -t CLUSTER_ID -c FILE` \
         (`ottla storage random-uuid` makes a cluster id)",
        .0.display()
    )]
    NotFormatted(PathBuf),
    /// It was formatted, and does not say for whom.
    #[error(
        "log directory {} holds {found} and no meta.properties: bring that file back from a copy, or write it \
         anew, one a line: version=1, cluster.id and node.id as in the node's other directories, directory.id \
         as the cluster knows it",
        path.display()
    )]
    Nameless {
        /// The directory.
        path: PathBuf,
        /// What is in it.
        found: String,
    },
    /// It was formatted by a Kafka that gave directories no ids.
    #[error(
        "{} has no directory.id, as before Kafka 3.7: add the line directory.id=ID, with an ID of its own in \
         each log directory (`ottla storage random-uuid` makes one)",
        .0.join(META_PROPERTIES).display()
    )]
    NoId(PathBuf),
    /// Two have one id.
    #[error(
        "log directories {} and {} have the same directory.id: one is a copy; remove it from log.dirs",
        .0.display(), .1.display()
    )]
    Copied(PathBuf, PathBuf),
    /// It belongs to someone else.
    #[error("log directory {} belongs to {what} {found}, not {expected}: {}", path.display(), way_out(what))]
    Foreign {
        /// The directory.
        path: PathBuf,
        /// `cluster` or `node`.
        what: &'static str,
        /// What its `meta.properties` says.
        found: String,
        /// What was expected.
        expected: String,
    },
    /// What formatting wrote down is damaged.
    #[error("{} is damaged: {error}; bring it back, or empty the directory and format anew", path.display())]
    Bootstrap {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        error: SnapshotError,
    },
}

fn way_out(what: &str) -> &'static str {
    if what == "node" {
        "correct node.id, or name another directory in log.dirs"
    } else {
        "all directories of a node are of one cluster; name another in log.dirs, or that cluster's id"
    }
}

/// A log directory as it was found.
#[derive(Debug)]
pub(super) struct FoundDirectory {
    pub(super) directory: Arc<LogDirectory>,
    /// Whose clean shutdown it was left by; `None` after a crash.
    pub(super) clean: Option<BrokerEpoch>,
    pub(super) checkpoints: Checkpoints,
    /// The topic ids of the partitions in it; `None` of a partition whose directory does not say.
    pub(super) topic_ids: TopicIds,
}

/// The topic ids in `partition.metadata`, per partition.
pub(super) type TopicIds = BTreeMap<TopicPartition, Option<Uuid>>;

/// The offsets that were checkpointed, per partition.
#[derive(Debug, Clone, Default)]
pub(super) struct Checkpoints {
    pub(super) recovery_points: BTreeMap<TopicPartition, Offset>,
    pub(super) high_watermarks: BTreeMap<TopicPartition, Offset>,
    pub(super) log_starts: BTreeMap<TopicPartition, Offset>,
}

impl Checkpoints {
    /// Each file's content, by its name.
    pub(super) fn files(&self) -> [(&'static str, &BTreeMap<TopicPartition, Offset>); 3] {
        [
            (RECOVERY_POINT_CHECKPOINT, &self.recovery_points),
            (HIGH_WATERMARK_CHECKPOINT, &self.high_watermarks),
            (LOG_START_CHECKPOINT, &self.log_starts),
        ]
    }

    async fn read<D: Disk>(disk: &D, path: &Path) -> Result<Self, CheckpointError> {
        Ok(Self {
            recovery_points: checkpoint::read_offsets(disk, path, RECOVERY_POINT_CHECKPOINT).await?,
            high_watermarks: checkpoint::read_offsets(disk, path, HIGH_WATERMARK_CHECKPOINT).await?,
            log_starts: checkpoint::read_offsets(disk, path, LOG_START_CHECKPOINT).await?,
        })
    }
}

/// The directories of a node as they were found, their locks, and the cluster that they are of.
pub(super) type Found<D> = (Vec<FoundDirectory>, Vec<<D as Disk>::Lock>, String);

/// Locks the directories of a node, and reads what they say. Nothing in them is touched: what is refused stays as
/// it is, and what is not is still marked as left cleanly, if it was (see [`FoundDirectory::take_mark`]).
pub(super) async fn open_all<D: Disk>(
    disk: &D,
    paths: &[PathBuf],
    node_id: BrokerId,
    failures: &mpsc::UnboundedSender<DirectoryFailure>,
) -> Result<Found<D>, DirectoryError> {
    // Before any of them is locked: that leaves a file.
    let mut owned = Vec::new();
    for path in paths {
        owned.push((path, read_owner(disk, path, node_id).await?));
    }
    let cluster_id = check_together(&owned)?;
    let (mut found, mut locks) = (Vec::new(), Vec::new());
    for (path, (_, id)) in owned {
        locks.push(disk.lock_dir(path).await.map_err(|error| match error.kind {
            DiskErrorKind::Locked => DirectoryError::InUse(path.clone()),
            _ => error.into(),
        })?);
        let (offline, failures) = (AtomicBool::new(false), failures.clone());
        found.push(FoundDirectory {
            directory: Arc::new(LogDirectory { path: path.clone(), id, offline, failures }),
            clean: checkpoint::read_clean_shutdown(disk, path).await?,
            checkpoints: Checkpoints::read(disk, path).await?,
            topic_ids: read_topic_ids(disk, path).await?,
        });
    }
    Ok((found, locks, cluster_id))
}

impl FoundDirectory {
    /// Takes the mark of a clean shutdown: from here on the directory may be changed (KAFKA-15375).
    pub(super) async fn take_mark<D: Disk>(&self, disk: &D) -> Result<(), DiskError> {
        checkpoint::take_clean_shutdown(disk, self.directory.path()).await.map(|_| ())
    }

    /// Puts the mark back, of a directory in which nothing was changed after all.
    pub(super) async fn give_mark_back<D: Disk>(&self, disk: &D) -> Result<(), DiskError> {
        match self.clean {
            Some(epoch) => checkpoint::write_clean_shutdown(disk, self.directory.path(), epoch).await,
            None => Ok(()),
        }
    }
}

/// The cluster that a directory is of, and its id.
type Owner = (String, Uuid);

async fn read_owner<D: Disk>(disk: &D, path: &Path, node_id: BrokerId) -> Result<Owner, DirectoryError> {
    let Some(meta) = checkpoint::read_meta_properties(disk, path).await? else {
        return Err(match storage::what_it_holds(disk, path).await? {
            Some(found) => DirectoryError::Nameless { path: path.to_owned(), found },
            None => DirectoryError::NotFormatted(path.to_owned()),
        });
    };
    if meta.node_id != node_id {
        let (found, expected) = (meta.node_id.to_string(), node_id.to_string());
        return Err(DirectoryError::Foreign { path: path.to_owned(), what: "node", found, expected });
    }
    let id = meta.directory_id.ok_or_else(|| DirectoryError::NoId(path.to_owned()))?;
    Ok((meta.cluster_id, id))
}

/// That directories belong to one cluster, and none is a copy of another. Returns the cluster's id.
fn check_together(owned: &[(&PathBuf, Owner)]) -> Result<String, DirectoryError> {
    let (_, (expected, _)) = owned.first().expect("a node has a log directory");
    for (index, (path, (cluster_id, id))) in owned.iter().enumerate() {
        if cluster_id != expected {
            let (path, found, expected) = (path.to_path_buf(), cluster_id.clone(), expected.clone());
            return Err(DirectoryError::Foreign { path, what: "cluster", found, expected });
        }
        if let Some((other, _)) = owned[..index].iter().find(|(_, (_, other))| other == id) {
            return Err(DirectoryError::Copied(other.to_path_buf(), path.to_path_buf()));
        }
    }
    Ok(expected.clone())
}

async fn read_topic_ids<D: Disk>(disk: &D, path: &Path) -> Result<TopicIds, DirectoryError> {
    let mut ids = TopicIds::new();
    for entry in disk.list(path).await? {
        let name = DirectoryName::parse(&entry.name).filter(|_| entry.is_dir);
        if let Some(DirectoryName::Partition(name)) = name {
            let id = checkpoint::read_topic_id(disk, &path.join(&entry.name)).await?;
            ids.insert(name, id);
        }
    }
    Ok(ids)
}
