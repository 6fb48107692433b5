//! Why the metadata log cannot be used.

use std::path::PathBuf;

use thiserror::Error;

use super::strangers::QuorumRefusal;
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
    #[error("the metadata log cannot be opened: {0}; {REBUILD}")]
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
    /// `quorum-state` is gone.
    #[error(
        "{} is missing, though the metadata log has records: a voter must not forget whom it has voted for; \
         restore the file, or format the directory anew and add it as a new voter",
        .0.display()
    )]
    NoQuorumState(PathBuf),
    /// The log does not begin at offset 0, and what was before is in no snapshot.
    #[error(
        "{} begins at offset {base}, and no snapshot (*.checkpoint) holds what was before; {REBUILD}",
        dir.display()
    )]
    NoSnapshot {
        /// The log's directory.
        dir: PathBuf,
        /// Where its first segment begins.
        base: Offset,
    },
    /// A snapshot is damaged.
    #[error("{}: {error}; {REBUILD}", path.display())]
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
    #[error(
        "the metadata log has a record at or after offset {offset} that this version cannot read: {reason}; \
         it is not skipped: if a newer version wrote it, run that one"
    )]
    Record {
        /// The offset of its batch.
        offset: Offset,
        /// What is wrong.
        reason: String,
    },
    /// A record cannot be applied (KAFKA-14275).
    #[error("{0}; it is not skipped: if a newer version wrote it, run that one")]
    Replay(#[from] ReplayError),
    /// Nothing is wrong with the log: this node cannot be part of the quorum.
    #[error(transparent)]
    Refused(#[from] QuorumRefusal),
    /// A record cannot be written.
    #[error(transparent)]
    Encode(#[from] EncodeError),
}

/// The way out where the log or a snapshot is damaged.
const REBUILD: &str = "bring the file back from a copy, or, while a majority of the voters is well, move the log \
                       directory away, format it anew and have this node fetch all of it from the others";

impl MetadataLogError {
    pub(super) fn unreadable(offset: Offset, error: &dyn std::fmt::Display) -> Self {
        Self::Record { offset, reason: error.to_string() }
    }
}
