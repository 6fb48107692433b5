//! Why the metadata log cannot be used.

use std::path::PathBuf;

use thiserror::Error;

use crate::controller::ReplayError;
use crate::env::DiskError;
use crate::log::checkpoint::CheckpointError;
use crate::log::{LogError, LogFailure, OpenLogError, ReadError};
use crate::quorum::{EpochsExhausted, QuorumStateError};
use crate::types::Offset;
use crate::wire::EncodeError;
use crate::wire::snapshot::SnapshotError;

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
    /// The log has failed, at the deletion of what is not needed any more.
    #[error("the metadata log: {0}")]
    Failed(#[from] LogFailure),
    /// The log cannot be read.
    #[error("the metadata log cannot be read: {0}")]
    Read(#[from] ReadError),
    /// A small file of its directory is damaged.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// `quorum-state` is damaged.
    #[error("{}: {error}; a voter must not forget whom it has voted for: restore the file, or format the \
             directory anew and add it as a new voter", path.display())]
    QuorumState {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        error: QuorumStateError,
    },
    /// A snapshot is damaged.
    #[error("{}: {error}", path.display())]
    Snapshot {
        /// Its file.
        path: PathBuf,
        /// What is wrong with it.
        error: SnapshotError,
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

impl MetadataLogError {
    pub(super) fn unreadable(offset: Offset, error: &dyn std::fmt::Display) -> Self {
        Self::Record { offset, reason: error.to_string() }
    }
}
