//! What can be told of the metadata log before it is opened: nothing is touched by that, so that a node that is
//! refused leaves its directory as it was.
//!
//! What a crash leaves is not judged here but by recovery. What is refused: a file that says what it cannot say; a
//! batch that is damaged or missing below what was committed (the recovery point), or anywhere after a clean stop; a
//! log whose beginning is in no snapshot; a voter's log without `quorum-state`, since it has voted, and does not
//! know for whom; and one that was written under other voters than those in the configuration.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use bytes::{Bytes, BytesMut};

use super::error::MetadataLogError;
use super::log::{BATCH_BYTES_MAX, QUORUM_STATE, READ_BYTES, controls_of};
use super::snapshots::{Loaded, Snapshots};
use super::strangers::{Elected, QuorumRefusal};
use crate::env::{Disk, DiskError, DiskErrorKind, File, OpenMode};
use crate::log::checkpoint::{self, CheckpointError};
use crate::log::directory::{FileKind, FileName, file_name};
use crate::log::{Damage, OpenLogError};
use crate::partition::EpochCache;
use crate::quorum::ElectionState;
use crate::types::{BrokerId, Offset, Uuid};
use crate::wire::batch::{Batch, BatchError, BatchHeader, split, verify_crc};
use crate::wire::compression::Scratch;
use crate::wire::control::ControlRecord;

/// The most bytes that are collected for one batch: some more than any node writes.
const BATCH_BYTES_READ_MAX: usize = 2 * BATCH_BYTES_MAX;

/// What is known of the log before it is opened.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RaftLogHints {
    /// Whether the directory was left by a clean shutdown.
    pub(crate) clean: bool,
    /// The checkpointed recovery point: the end of what was committed.
    pub(crate) recovery_point: Offset,
    /// Whether this node may vote.
    pub(crate) votes: bool,
}

/// A metadata log that may be opened.
pub(crate) struct Inspected<D: Disk> {
    pub(super) hints: RaftLogHints,
    pub(super) snapshots: Snapshots<D>,
    /// The latest snapshot.
    pub(super) loaded: Loaded,
    pub(super) election: Option<ElectionState>,
    /// Where the log begins: at a snapshot's end.
    pub(super) log_start: Offset,
    /// Of all batches from there on that are whole.
    pub(super) epochs: EpochCache,
    /// The last election that the log tells of.
    pub(super) elected: Option<Elected>,
    /// The voters stand in the log (KIP-853), and not in the configuration.
    holds_voters: bool,
}

impl<D: Disk> Inspected<D> {
    /// Sees that the list of voters in the configuration is the one that the log was written under. It cannot be
    /// changed: a majority of the new list need not know what one of the old has committed.
    ///
    /// # Errors
    ///
    /// [`QuorumRefusal::ChangedVoters`].
    pub(crate) fn check_voters(&self, configured: BTreeSet<BrokerId>) -> Result<(), QuorumRefusal> {
        match &self.elected {
            Some(elected) if !self.holds_voters => elected.check_unchanged(configured),
            _ => Ok(()),
        }
    }
}

/// Looks at the metadata log in `dir`, which need not be there yet.
pub(crate) async fn inspect<D: Disk>(
    disk: &D,
    dir: &Path,
    hints: RaftLogHints,
) -> Result<Inspected<D>, MetadataLogError> {
    let names = match disk.list(dir).await {
        Err(error) if error.kind == DiskErrorKind::NotFound => Vec::new(),
        entries => entries?.into_iter().map(|entry| entry.name).collect(),
    };
    if let Some(id) = checkpoint::read_topic_id(disk, dir).await?.filter(|id| *id != Uuid::METADATA_TOPIC) {
        let reason = format!("the metadata log is of the topic {}, not {id}", Uuid::METADATA_TOPIC);
        let path = dir.join("partition.metadata");
        return Err(CheckpointError::Malformed { path, reason }.into());
    }
    let election = read_quorum_state(disk, dir).await?;
    let snapshots = Snapshots::find(disk, dir, &names).await?;
    let loaded = snapshots.load_latest().await?;
    let mut segments: Vec<Offset> = names.iter().filter_map(|name| segment_of(name)).collect();
    segments.sort();
    let log_start = log_start(dir, &segments, &snapshots)?;
    let mut scan = Scan {
        disk,
        dir,
        hints,
        log_start,
        epochs: EpochCache::default(),
        elected: None,
        holds_voters: hold_voters(&loaded.controls),
        scratch: Scratch::default(),
        end: None,
    };
    scan.run(&segments).await?;
    let holds_records = scan.end.is_some_and(|end| end > Offset::ZERO);
    let has_history = holds_records || snapshots.ids().any(|id| id.end > Offset::ZERO);
    if hints.votes && has_history && election.is_none() {
        return Err(MetadataLogError::NoQuorumState(dir.join(QUORUM_STATE)));
    }
    let Scan { epochs, elected, holds_voters, .. } = scan;
    Ok(Inspected { hints, snapshots, loaded, election, log_start, epochs, elected, holds_voters })
}

fn segment_of(name: &str) -> Option<Offset> {
    match FileName::parse(name) {
        FileName::Named(base, FileKind::Log) => Some(base),
        _ => None,
    }
}

/// Where the log begins: at offset 0, or where one of its snapshots ends. Where there is no segment, a crash came while
/// a snapshot of the leader's, which is there by then, took the place of all of them.
fn log_start<D: Disk>(
    dir: &Path,
    segments: &[Offset],
    snapshots: &Snapshots<D>,
) -> Result<Offset, MetadataLogError> {
    let Some(base) = segments.first().copied() else {
        return Ok(snapshots.ids().map(|id| id.end).max().unwrap_or(Offset::ZERO));
    };
    if base == Offset::ZERO {
        return Ok(Offset::ZERO);
    }
    match snapshots.first_from(base) {
        Some(id) => Ok(id.end),
        None => Err(MetadataLogError::NoSnapshot { dir: dir.to_owned(), base }),
    }
}

/// Reads the log batch by batch, up to the first that is not whole.
struct Scan<'a, D: Disk> {
    disk: &'a D,
    dir: &'a Path,
    hints: RaftLogHints,
    log_start: Offset,
    epochs: EpochCache,
    elected: Option<Elected>,
    holds_voters: bool,
    scratch: Scratch,
    /// The end of the batches so far.
    end: Option<Offset>,
}

impl<D: Disk> Scan<'_, D> {
    async fn run(&mut self, segments: &[Offset]) -> Result<(), MetadataLogError> {
        let nexts = segments.iter().skip(1).map(|next| Some(*next)).chain([None]);
        for (&base, next) in segments.iter().zip(nexts) {
            // Opening removes it: it lies before a snapshot.
            if next.is_some_and(|next| next <= self.log_start) {
                continue;
            }
            let file = self.dir.join(file_name(base, FileKind::Log));
            let damage = match self.end.filter(|end| *end != base) {
                Some(end) => {
                    let reason = format!("the segment before it ends at offset {end}");
                    Some(Damage { file, position: 0, offset: end, reason })
                }
                None => self.read(base, file).await?,
            };
            if let Some(damage) = damage {
                return self.judge(damage);
            }
        }
        let end = self.end.unwrap_or(self.log_start);
        if end < self.hints.recovery_point {
            let reason =
                format!("the log ends here, but was committed up to offset {}", self.hints.recovery_point);
            let file = segments.last().map(|base| self.dir.join(file_name(*base, FileKind::Log)));
            let file = file.unwrap_or_else(|| self.dir.to_owned());
            return self.judge(Damage { file, position: 0, offset: end, reason });
        }
        Ok(())
    }

    /// Whether it is damage: above what was committed, a crash may have left it.
    fn judge(&self, damage: Damage) -> Result<(), MetadataLogError> {
        if self.hints.clean || damage.offset < self.hints.recovery_point {
            return Err(OpenLogError::Corrupt(damage).into());
        }
        Ok(())
    }

    /// Reads a segment; returns the first damage.
    async fn read(&mut self, base: Offset, path: PathBuf) -> Result<Option<Damage>, DiskError> {
        let file = self.disk.open(&path, OpenMode::Existing).await?;
        let (mut read_to, mut position, mut expected) = (0, 0, base);
        let mut rest = BytesMut::new();
        self.end = Some(base);
        loop {
            let mut piece = Vec::new();
            let count = file.read_at(read_to, READ_BYTES, &mut piece).await?;
            read_to += count as u64;
            rest.extend_from_slice(&piece);
            let bytes: Bytes = rest.split().freeze();
            let mut taken = 0;
            for batch in split(&bytes) {
                let reason = match batch {
                    // The rest of it comes with the next piece.
                    Err(BatchError::Truncated { needed, .. })
                        if count > 0 && needed <= BATCH_BYTES_READ_MAX =>
                    {
                        break;
                    }
                    Err(error) => error.to_string(),
                    Ok(batch) => match check(&batch.header, &batch.bytes, expected) {
                        Err(reason) => reason,
                        Ok(()) => {
                            let size = batch.bytes.len();
                            (taken, position) = (taken + size, position + size as u64);
                            expected = batch.header.next_offset();
                            self.end = Some(expected);
                            if expected > self.log_start {
                                self.epochs.fold(&batch.header);
                            }
                            if batch.header.is_control() {
                                self.read_controls(&batch);
                            }
                            continue;
                        }
                    },
                };
                return Ok(Some(Damage { file: path, position, offset: expected, reason }));
            }
            rest.extend_from_slice(&bytes[taken..]);
            if count == 0 {
                return Ok(None);
            }
        }
    }
}

impl<D: Disk> Scan<'_, D> {
    /// What is unreadable is found where it matters.
    fn read_controls(&mut self, batch: &Batch) {
        let Ok(controls) = controls_of(batch, &mut self.scratch) else { return };
        self.holds_voters |= hold_voters(controls.iter().map(|(_, record)| record));
        self.elected = elected_in(batch, &mut self.scratch).or(self.elected.take());
    }
}

fn hold_voters<'a>(controls: impl IntoIterator<Item = &'a ControlRecord>) -> bool {
    controls.into_iter().any(|record| matches!(record, ControlRecord::KRaftVoters(_)))
}

/// The election that a control batch tells of.
pub(super) fn elected_in(batch: &Batch, scratch: &mut Scratch) -> Option<Elected> {
    let controls = controls_of(batch, scratch).ok()?;
    controls.into_iter().find_map(|(_, record)| match record {
        ControlRecord::LeaderChange(change) => {
            Some(Elected::new(batch.header.partition_leader_epoch, &change))
        }
        _ => None,
    })
}

fn check(header: &BatchHeader, batch: &Bytes, expected: Offset) -> Result<(), String> {
    if header.base_offset != expected {
        return Err(format!("the batch begins at offset {}", header.base_offset));
    }
    if header.last_offset_delta < 0 {
        return Err("the batch ends before it begins".to_owned());
    }
    verify_crc(batch).map_err(|error| error.to_string())
}

async fn read_quorum_state<D: Disk>(disk: &D, dir: &Path) -> Result<Option<ElectionState>, MetadataLogError> {
    let path = dir.join(QUORUM_STATE);
    let Some(bytes) = checkpoint::read_file(disk, &path).await? else { return Ok(None) };
    let text = String::from_utf8_lossy(&bytes);
    ElectionState::parse(&text).map(Some).map_err(|error| MetadataLogError::QuorumState { path, error })
}
