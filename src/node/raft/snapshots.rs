//! The snapshots of the metadata log: files `<end offset>-<epoch>.checkpoint` beside its segments.

use std::collections::BTreeMap;
use std::io::IoSlice;
use std::path::{Path, PathBuf};

use bytes::Bytes;

use super::error::MetadataLogError;
use super::log::BATCH_BYTES_MAX;
use crate::controller::Metadata;
use crate::env::{Disk, DiskError, File, OpenMode};
use crate::quorum::{ReadChunk, SnapshotFile, SnapshotId};
use crate::types::{LeaderEpoch, Offset, WallMs};
use crate::wire::compression::Scratch;
use crate::wire::control::ControlRecord;
use crate::wire::metadata::MetadataRecord;
use crate::wire::snapshot::{SnapshotBatch, SnapshotOptions, SnapshotReader, SnapshotWriter};

const SUFFIX: &str = ".checkpoint";
/// Of a snapshot that is not whole yet. Opening removes such files.
const PART: &str = ".checkpoint.part";

/// Bytes per read, and per batch that is written.
const CHUNK: usize = 1 << 20;

/// The snapshots that are there as a whole.
#[derive(Debug)]
pub(super) struct Snapshots<D: Disk> {
    disk: D,
    dir: PathBuf,
    whole: BTreeMap<SnapshotId, SnapshotFile>,
    /// The files of those that were not whole when the directory was listed.
    parts: Vec<String>,
}

/// What a snapshot holds.
#[derive(Debug)]
pub(super) struct Loaded {
    /// Which one; `None` if there is none, and nothing was loaded.
    pub(super) id: Option<SnapshotId>,
    /// What it says about the quorum.
    pub(super) controls: Vec<ControlRecord>,
    pub(super) metadata: Metadata,
}

impl<D: Disk> Snapshots<D> {
    /// Those among the files of a directory. Nothing is touched by that.
    pub(super) async fn find(disk: &D, dir: &Path, names: &[String]) -> Result<Self, MetadataLogError> {
        let parts = names.iter().filter(|name| name.ends_with(PART)).cloned().collect();
        let mut snapshots = Self { disk: disk.clone(), dir: dir.to_owned(), whole: BTreeMap::new(), parts };
        for id in names.iter().filter_map(|name| parse_name(name)) {
            let file = snapshots.inspect(id, &snapshots.path(id)).await?;
            snapshots.whole.insert(id, file);
        }
        Ok(snapshots)
    }

    /// Removes the traces of those that never became whole.
    pub(super) async fn remove_parts(&mut self) -> Result<(), DiskError> {
        for name in std::mem::take(&mut self.parts) {
            self.disk.remove_file(&self.dir.join(name)).await?;
        }
        Ok(())
    }

    /// Reads a file through that holds one, or is to: what it is if nothing is wrong with it.
    async fn inspect(&self, id: SnapshotId, path: &Path) -> Result<SnapshotFile, MetadataLogError> {
        let file = self.disk.open(path, OpenMode::Existing).await?;
        let bytes = file.len().await?;
        let controls = self.read(path, &mut |_| Ok(())).await?;
        Ok(SnapshotFile { id, bytes, last_timestamp: last_timestamp(&controls) })
    }

    /// Those that are there, in order.
    pub(super) fn ids(&self) -> impl DoubleEndedIterator<Item = SnapshotId> {
        self.whole.keys().copied()
    }

    /// Those that are there, in order.
    pub(super) fn files(&self) -> Vec<SnapshotFile> {
        self.whole.values().copied().collect()
    }

    /// The first that ends at or after an offset.
    pub(super) fn first_from(&self, offset: Offset) -> Option<SnapshotId> {
        self.ids().find(|id| id.end >= offset)
    }

    /// Reads the latest one, if there is one.
    pub(super) async fn load_latest(&self) -> Result<Loaded, MetadataLogError> {
        match self.ids().next_back() {
            Some(id) => self.load(id).await,
            None => Ok(Loaded { id: None, controls: Vec::new(), metadata: Metadata::empty() }),
        }
    }

    /// Reads one.
    pub(super) async fn load(&self, id: SnapshotId) -> Result<Loaded, MetadataLogError> {
        let mut records: Vec<MetadataRecord> = Vec::new();
        let controls = self
            .read(&self.path(id), &mut |batch| {
                records.extend(batch);
                Ok(())
            })
            .await?;
        let metadata = Metadata::load(Offset(id.end.0 - 1), id.epoch, &records)?;
        Ok(Loaded { id: Some(id), controls, metadata })
    }

    /// Reads one through: returns its control records, and hands its other records on.
    async fn read(
        &self,
        path: &Path,
        each: &mut (dyn FnMut(Vec<MetadataRecord>) -> Result<(), MetadataLogError> + Send),
    ) -> Result<Vec<ControlRecord>, MetadataLogError> {
        let file = self.disk.open(path, OpenMode::Existing).await?;
        let (mut reader, mut scratch) = (SnapshotReader::new(BATCH_BYTES_MAX), Scratch::default());
        let (mut position, mut controls, mut piece) = (0, Vec::new(), Vec::new());
        loop {
            piece.clear();
            let read = file.read_at(position, CHUNK, &mut piece).await?;
            if read == 0 {
                break;
            }
            position += read as u64;
            reader.feed(&piece);
            let damaged = |error| MetadataLogError::Snapshot { path: path.to_owned(), error };
            while let Some(batch) = reader.next(&mut scratch).map_err(damaged)? {
                match batch {
                    SnapshotBatch::Control(records) => controls.extend(records),
                    SnapshotBatch::Metadata(records) => each(records)?,
                }
            }
        }
        reader.finish().map_err(|error| MetadataLogError::Snapshot { path: path.to_owned(), error })?;
        Ok(controls)
    }

    /// Writes a piece of a snapshot that comes from the leader. Position 0 begins it anew.
    pub(super) async fn write_piece(
        &self,
        id: SnapshotId,
        position: u64,
        piece: &[u8],
    ) -> Result<(), DiskError> {
        let mode = if position == 0 { OpenMode::CreateOrTruncate } else { OpenMode::Existing };
        let file = self.disk.open(&self.part(id), mode).await?;
        file.write_at(position, &mut [IoSlice::new(piece)])
    }

    /// All pieces are there: the file is made durable under its own name. One that was damaged on its way from the
    /// leader never gets that name: the next start would refuse it; without it, it is fetched again.
    pub(super) async fn publish(&mut self, id: SnapshotId) -> Result<(), MetadataLogError> {
        let part = self.part(id);
        self.disk.open(&part, OpenMode::Existing).await?.sync().await?;
        let file = self.inspect(id, &part).await?;
        self.disk.rename(&part, &self.path(id)).await?;
        self.disk.sync_dir(&self.dir).await?;
        self.whole.insert(id, file);
        Ok(())
    }

    /// Where snapshots are written, for whoever does it in the background.
    pub(super) fn writer(&self) -> (D, PathBuf) {
        (self.disk.clone(), self.dir.clone())
    }

    /// Takes note of a snapshot that was written in the background.
    pub(super) async fn written(&mut self, id: SnapshotId) -> Result<(), MetadataLogError> {
        self.publish(id).await
    }

    /// Removes those that are older.
    pub(super) async fn remove_before(&mut self, keep: SnapshotId) -> Result<(), DiskError> {
        let kept = self.whole.split_off(&keep);
        for id in std::mem::replace(&mut self.whole, kept).into_keys() {
            self.disk.remove_file(&self.path(id)).await?;
        }
        Ok(())
    }

    /// Reads a piece for a follower, and the size of the whole. `None` if there is no such snapshot, or it has no
    /// such position.
    pub(super) async fn read_piece(&self, chunk: ReadChunk) -> Result<Option<(Bytes, u64)>, DiskError> {
        let Some(known) = self.whole.get(&chunk.id).filter(|known| chunk.position < known.bytes) else {
            return Ok(None);
        };
        let file = self.disk.open(&self.path(chunk.id), OpenMode::Existing).await?;
        let mut piece = Vec::new();
        file.read_at(chunk.position, chunk.max_bytes as usize, &mut piece).await?;
        Ok(Some((piece.into(), known.bytes)))
    }

    /// Whether there is this snapshot.
    pub(super) fn contains(&self, id: SnapshotId) -> bool {
        self.whole.contains_key(&id)
    }

    fn path(&self, id: SnapshotId) -> PathBuf {
        self.dir.join(format!("{id}{SUFFIX}"))
    }

    fn part(&self, id: SnapshotId) -> PathBuf {
        self.dir.join(format!("{id}{PART}"))
    }
}

/// Writes a snapshot of `records` as a file that [`Snapshots::publish`] then makes whole.
pub(super) async fn write_snapshot<D: Disk>(
    disk: D,
    dir: PathBuf,
    id: SnapshotId,
    options: SnapshotOptions,
    records: Vec<MetadataRecord>,
) -> Result<(), MetadataLogError> {
    let file = disk.open(&dir.join(format!("{id}{PART}")), OpenMode::CreateOrTruncate).await?;
    let (mut writer, first) = SnapshotWriter::begin(SnapshotOptions { batch_bytes_max: CHUNK, ..options })?;
    let mut position = 0;
    let mut append = |batch: Bytes| {
        let at = position;
        position += batch.len() as u64;
        file.write_at(at, &mut [IoSlice::new(&batch)])
    };
    append(first)?;
    for record in &records {
        if let Some(batch) = writer.add(record)? {
            append(batch)?;
        }
    }
    for batch in writer.finish() {
        append(batch)?;
    }
    // The sync takes most of the time, and is not left to whoever publishes the file.
    file.sync().await?;
    Ok(())
}

fn last_timestamp(controls: &[ControlRecord]) -> WallMs {
    let header = controls.iter().find_map(|record| match record {
        ControlRecord::SnapshotHeader(header) => Some(header.last_contained_log_timestamp),
        _ => None,
    });
    WallMs(header.unwrap_or(0))
}

fn parse_name(name: &str) -> Option<SnapshotId> {
    let (end, epoch) = name.strip_suffix(SUFFIX)?.split_once('-')?;
    let is_number =
        |text: &str, digits| text.len() == digits && text.bytes().all(|byte| byte.is_ascii_digit());
    if !is_number(end, 20) || !is_number(epoch, 10) {
        return None;
    }
    Some(SnapshotId { epoch: LeaderEpoch(epoch.parse().ok()?), end: Offset(end.parse().ok()?) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::env::{Env as _, tokio::TokioEnv};
    use crate::log::checkpoint::read_file;

    #[tokio::test]
    async fn a_snapshot_that_is_damaged_on_its_way_never_counts() {
        let (env, dir) = (TokioEnv::new().expect("a world"), tempfile::tempdir().expect("a directory"));
        let (disk, id) = (env.disk(), SnapshotId { epoch: LeaderEpoch(3), end: Offset(7) });
        let mut snapshots = Snapshots::find(disk, dir.path(), &[]).await.expect("there is none");
        let options = SnapshotOptions {
            epoch: id.epoch,
            last_contained_log_timestamp: 0,
            now: WallMs(1),
            kraft_version: 0,
            voters: None,
            batch_bytes_max: 0,
        };
        write_snapshot(*disk, dir.path().to_owned(), id, options, Vec::new()).await.expect("the disk works");
        let sound = read_file(disk, &snapshots.part(id)).await.expect("the disk works").expect("it is there");
        let mut damaged = sound.to_vec();
        *damaged.last_mut().expect("it has bytes") ^= 1;
        snapshots.write_piece(id, 0, &damaged).await.expect("the disk works");
        let outcome = snapshots.publish(id).await;
        assert!(matches!(outcome, Err(MetadataLogError::Snapshot { .. })), "{outcome:?}");
        assert!(!snapshots.path(id).exists() && !snapshots.contains(id));
        // Fetched again.
        snapshots.write_piece(id, 0, &sound).await.expect("the disk works");
        snapshots.publish(id).await.expect("it is sound");
        assert!(snapshots.path(id).exists() && snapshots.contains(id));
    }
}
