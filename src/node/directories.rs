//! The log directories: whose they are, how they were left, and what happens when one fails.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use thiserror::Error;
use tokio::sync::mpsc;

use crate::env::{Disk, DiskError, DiskErrorKind};
use crate::log::checkpoint::{
    self, CheckpointError, HIGH_WATERMARK_CHECKPOINT, LOG_START_CHECKPOINT, RECOVERY_POINT_CHECKPOINT,
};
use crate::log::directory::TopicPartition;
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
    #[error("{} is damaged: {error}; bring it back, or empty the directory and format it again", path.display())]
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
    pub(super) cluster_id: String,
    pub(super) checkpoints: Checkpoints,
}

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

/// Takes a formatted directory into use: locks it, checks whose it is, takes its mark of a clean shutdown.
pub(super) async fn open<D: Disk>(
    disk: &D,
    path: &Path,
    node_id: BrokerId,
    failures: mpsc::UnboundedSender<DirectoryFailure>,
) -> Result<(FoundDirectory, D::Lock), DirectoryError> {
    let not_formatted = || DirectoryError::NotFormatted(path.to_owned());
    let lock = match disk.lock_dir(path).await {
        Err(error) if error.kind == DiskErrorKind::Locked => {
            return Err(DirectoryError::InUse(path.to_owned()));
        }
        Err(error) if error.kind == DiskErrorKind::NotFound => return Err(not_formatted()),
        lock => lock?,
    };
    let meta = checkpoint::read_meta_properties(disk, path).await?.ok_or_else(not_formatted)?;
    if meta.node_id != node_id {
        let (found, expected) = (meta.node_id.to_string(), node_id.to_string());
        return Err(DirectoryError::Foreign { path: path.to_owned(), what: "node", found, expected });
    }
    let id = meta.directory_id.ok_or_else(not_formatted)?;
    let checkpoints = Checkpoints::read(disk, path).await?;
    let clean = checkpoint::take_clean_shutdown(disk, path).await?;
    let directory = LogDirectory { path: path.to_owned(), id, offline: AtomicBool::new(false), failures };
    let directory = Arc::new(directory);
    Ok((FoundDirectory { directory, clean, cluster_id: meta.cluster_id, checkpoints }, lock))
}

/// That all directories belong to one cluster.
pub(super) fn check_cluster(found: &[FoundDirectory]) -> Result<String, DirectoryError> {
    let expected = found.first().expect("a node has a log directory").cluster_id.clone();
    for other in found {
        if other.cluster_id != expected {
            let (path, found) = (other.directory.path.clone(), other.cluster_id.clone());
            return Err(DirectoryError::Foreign { path, what: "cluster", found, expected });
        }
    }
    Ok(expected)
}
