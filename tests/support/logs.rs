//! Opening, filling and reading logs.

use std::path::{Path, PathBuf};

use bytes::Bytes;
use ottla::buffers::BufferPool;
use ottla::env::{Disk, DiskError};
use ottla::log::{
    Incoming, Log, LogConfig, LogError, LogView, OpenHints, OpenLogError, ReadError, ReadLimits, Recovery,
};
use ottla::types::{Offset, WallMs};
use ottla::wire::batch::{BatchHeader, split};

use super::batches::{Spec, stamped};
use super::block_on;

pub(crate) const DIR: &str = "/data/topic-0";

pub(crate) fn dir() -> &'static Path {
    Path::new(DIR)
}

/// The path of a segment's file.
pub(crate) fn file(base: i64, extension: &str) -> PathBuf {
    dir().join(format!("{base:020}.{extension}"))
}

/// Small segments and dense indexes, and no retention.
pub(crate) fn small() -> LogConfig {
    LogConfig {
        segment_bytes: 2000,
        index_interval_bytes: 200,
        segment_ms: i64::MAX,
        retention_ms: -1,
        ..LogConfig::default()
    }
}

pub(crate) fn hints() -> OpenHints {
    OpenHints::new_log(WallMs(1_000_000))
}

/// What is known after an unclean stop.
pub(crate) fn unclean(recovery_point: i64, high_watermark: i64) -> OpenHints {
    OpenHints {
        clean: false,
        recovery_point: Offset(recovery_point),
        high_watermark: Offset(high_watermark),
        ..hints()
    }
}

pub(crate) fn open<D: Disk>(disk: &D, hints: OpenHints) -> Result<(Log<D>, Recovery), OpenLogError> {
    block_on(Log::open(disk, dir(), small(), hints))
}

/// Appends a batch, rolling before it where that is due.
pub(crate) fn append<D: Disk>(log: &mut Log<D>, spec: &Spec) -> Result<(), LogError> {
    let bytes = spec.bytes();
    let header = BatchHeader::verify(&bytes).expect("a built batch is whole");
    let incoming = Incoming {
        bytes: bytes.len() as u64,
        last_offset: header.last_offset(),
        max_timestamp: header.max_timestamp,
    };
    if log.roll_due(incoming, WallMs(1_000_000)).is_some() {
        roll(log)?;
    }
    let appended = log.append(&[stamped(&bytes)])?;
    assert_eq!(appended.end, header.next_offset());
    Ok(())
}

pub(crate) fn roll<D: Disk>(log: &mut Log<D>) -> Result<(), LogError> {
    let plan = log.begin_roll()?;
    let ticket = block_on(plan.run());
    log.finish_roll(ticket, WallMs(1_000_000))
}

pub(crate) fn sync<D: Disk>(log: &mut Log<D>) -> Result<Offset, LogError> {
    let plan = log.sync_plan()?;
    match block_on(plan.run()) {
        Ok(()) => Ok(log.synced(&plan)),
        Err(error) => Err(failed(log, error)),
    }
}

pub(crate) fn truncate<D: Disk>(log: &mut Log<D>, to: i64) -> Result<(), LogError> {
    let Some(plan) = log.begin_truncate(Offset(to))? else { return Ok(()) };
    let outcome = block_on(plan.run());
    let retired = log.finish_truncate(outcome)?;
    block_on(retired.delete()).map_err(|error| failed(log, error))
}

/// Retention up to the renamed files. Says whether anything left.
pub(crate) fn retire<D: Disk>(log: &mut Log<D>, now: i64, high_watermark: i64) -> Result<bool, LogError> {
    let Some(retirement) = log.retire(WallMs(now), Offset(high_watermark))? else { return Ok(false) };
    let retired = block_on(retirement.run()).map_err(|error| failed(log, error))?;
    block_on(retired.delete()).map_err(|error| failed(log, error))?;
    Ok(true)
}

/// A clean end.
pub(crate) fn close<D: Disk>(mut log: Log<D>) {
    let plan = log.close().expect("it is neither busy nor failed");
    block_on(plan.run()).expect("the disk works");
    log.synced(&plan);
}

fn failed<D: Disk>(log: &mut Log<D>, error: DiskError) -> LogError {
    log.fail(error);
    LogError::Failed(log.failure().expect("it has just failed"))
}

pub(crate) fn pool() -> BufferPool {
    BufferPool::new(4 << 20)
}

/// No limits.
pub(crate) fn all() -> ReadLimits {
    ReadLimits { max_bytes: usize::MAX, upper: Offset(i64::MAX), at_least_one: true }
}

pub(crate) fn read<D: Disk>(view: &LogView<D>, from: i64, limits: ReadLimits) -> Result<Bytes, ReadError> {
    Ok(block_on(view.read(Offset(from), limits, &pool()))?.bytes)
}

/// All batches of the log, each whole.
pub(crate) fn read_all<D: Disk>(log: &Log<D>) -> Vec<Bytes> {
    let view = log.view();
    let bytes = read(&view, view.log_start().0, all()).expect("the log can be read");
    split(&bytes).map(|batch| batch.expect("only whole batches are read").bytes).collect()
}

/// The base offsets of the batches in `bytes`.
pub(crate) fn bases(bytes: &Bytes) -> Vec<i64> {
    split(bytes).map(|batch| batch.expect("only whole batches are read").header.base_offset.0).collect()
}
