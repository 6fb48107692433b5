//! What earlier uses of a partition directory may have left in it, and its clearing away.

use std::collections::BTreeMap;
use std::path::Path;

use super::Damage;
use super::checkpoint::remove_if_exists;
use super::directory::{FileKind, FileName, file_name};
use super::recovery::OpenLogError;
use super::scan::{HEADER_CHUNK, HeaderScan, ScanError, Window};
use crate::env::{Disk, DiskError, Entry, File, OpenMode};
use crate::types::Offset;

/// The files of a segment, as a directory lists them: their lengths.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct ListedSegment {
    pub(super) log: u64,
    pub(super) offset_index: Option<u64>,
    pub(super) time_index: Option<u64>,
}

/// Clears the directory of leftovers, and lists its segments:
///
/// - `.deleted` and `.tmp` files are removed;
/// - `.cleaned` files, output of a compaction that was not completed, are removed, and so are `.swap` files at
///   or past the first of them (they belong to Kafka's splitting of a segment, which was not completed);
/// - other `.swap` files, output of a compaction that was completed, replace the segments they cover;
/// - index files without a log file are removed.
pub(super) async fn clear<D: Disk>(
    disk: &D,
    dir: &Path,
) -> Result<BTreeMap<Offset, ListedSegment>, OpenLogError> {
    let mut swaps: Vec<(Offset, FileKind)> = Vec::new();
    let mut first_cleaned = None;
    let mut entries = disk.list(dir).await?;
    for entry in &entries {
        match FileName::parse(&entry.name) {
            FileName::Leftover => remove_if_exists(disk, &dir.join(&entry.name)).await?,
            FileName::Cleaned(offset) => {
                first_cleaned = Some(first_cleaned.map_or(offset, |first: Offset| first.min(offset)));
            }
            FileName::Swap(offset, kind) => swaps.push((offset, kind)),
            FileName::Named(..) | FileName::Other => {}
        }
    }
    if let Some(first) = first_cleaned {
        for (offset, kind) in swaps.extract_if(.., |(offset, _)| *offset >= first) {
            remove_if_exists(disk, &dir.join(swap_name(offset, kind))).await?;
        }
        // Only now: until all of them are gone, a `.cleaned` file must say so.
        disk.sync_dir(dir).await?;
        remove_cleaned(disk, dir).await?;
    }
    if !swaps.is_empty() {
        complete_swap(disk, dir, &swaps).await?;
        entries = disk.list(dir).await?;
    }
    Ok(segments(disk, dir, &entries).await?)
}

/// Removes the snapshots of producer states after `end`: of a log that no longer is.
pub(super) async fn remove_snapshots_past<D: Disk>(
    disk: &D,
    dir: &Path,
    end: Offset,
) -> Result<(), DiskError> {
    for entry in disk.list(dir).await? {
        if let FileName::Named(offset, FileKind::ProducerSnapshot) = FileName::parse(&entry.name)
            && offset > end
        {
            remove_if_exists(disk, &dir.join(entry.name)).await?;
        }
    }
    Ok(())
}

fn swap_name(offset: Offset, kind: FileKind) -> String {
    format!("{}.swap", file_name(offset, kind))
}

async fn remove_cleaned<D: Disk>(disk: &D, dir: &Path) -> Result<(), DiskError> {
    for entry in disk.list(dir).await? {
        if let FileName::Cleaned(_) = FileName::parse(&entry.name) {
            remove_if_exists(disk, &dir.join(entry.name)).await?;
        }
    }
    Ok(())
}

/// Puts complete output of a compaction in the place of the segments it was made from. A crash at any point
/// leaves a directory from which the same is done again.
async fn complete_swap<D: Disk>(
    disk: &D,
    dir: &Path,
    swaps: &[(Offset, FileKind)],
) -> Result<(), OpenLogError> {
    let mut covered: Option<(Offset, Offset)> = None;
    for (offset, _) in swaps.iter().filter(|(_, kind)| *kind == FileKind::Log) {
        let end = swap_end(disk, dir, *offset).await?;
        let (first, last) = covered.unwrap_or((*offset, end));
        covered = Some((first.min(*offset), last.max(end)));
    }
    for entry in disk.list(dir).await? {
        if let (FileName::Named(offset, kind), Some((first, end))) = (FileName::parse(&entry.name), covered)
            && kind != FileKind::ProducerSnapshot
            && (first..end).contains(&offset)
        {
            remove_if_exists(disk, &dir.join(entry.name)).await?;
        }
    }
    disk.sync_dir(dir).await?;
    // The log files last: as long as one is missing, what it covers is found by its `.swap` name.
    for logs in [false, true] {
        for (offset, kind) in swaps.iter().filter(|(_, kind)| (*kind == FileKind::Log) == logs) {
            disk.rename(&dir.join(swap_name(*offset, *kind)), &dir.join(file_name(*offset, *kind))).await?;
        }
        disk.sync_dir(dir).await?;
    }
    Ok(())
}

/// The offset after the last batch of a swap file.
async fn swap_end<D: Disk>(disk: &D, dir: &Path, base: Offset) -> Result<Offset, OpenLogError> {
    let path = dir.join(swap_name(base, FileKind::Log));
    let file = disk.open(&path, OpenMode::Existing).await?;
    let length = file.len().await?;
    let mut window = Window::new(Vec::new(), HEADER_CHUNK);
    let mut scan = HeaderScan::new(&file, &mut window, 0, length, base);
    let mut end = base;
    loop {
        match scan.next().await {
            Ok(Some((_, header))) => end = header.next_offset(),
            Ok(None) => return Ok(end),
            Err(ScanError::Disk(error)) => return Err(error.into()),
            Err(ScanError::Bad { position, offset, reason }) => {
                return Err(Damage { file: path, position, offset, reason }.into());
            }
        }
    }
}

/// The segments among a directory's entries. Index files without a log file are removed.
async fn segments<D: Disk>(
    disk: &D,
    dir: &Path,
    entries: &[Entry],
) -> Result<BTreeMap<Offset, ListedSegment>, DiskError> {
    let mut segments: BTreeMap<Offset, ListedSegment> = BTreeMap::new();
    for entry in entries {
        if let FileName::Named(offset, FileKind::Log) = FileName::parse(&entry.name) {
            segments.insert(offset, ListedSegment { log: entry.length, ..ListedSegment::default() });
        }
    }
    for entry in entries {
        let FileName::Named(offset, kind) = FileName::parse(&entry.name) else { continue };
        if matches!(kind, FileKind::Log | FileKind::ProducerSnapshot) {
            continue;
        }
        match (segments.get_mut(&offset), kind) {
            (None, _) => remove_if_exists(disk, &dir.join(&entry.name)).await?,
            (Some(segment), FileKind::OffsetIndex) => segment.offset_index = Some(entry.length),
            (Some(segment), FileKind::TimeIndex) => segment.time_index = Some(entry.length),
            (Some(_), _) => {}
        }
    }
    Ok(segments)
}
