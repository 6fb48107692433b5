//! A workload that dies at each of its operations in turn, loses power, and is opened again.
//!
//! The method is redb's (`tests/crash_consistency.rs`): a first run counts the operations that change
//! something on the disk; then one run for each of them stops there. What must hold afterwards:
//!
//! - the log opens, however often recovery itself is interrupted;
//! - everything below the durable end is there, byte for byte;
//! - what is there beyond is a prefix of what was appended;
//! - after recovery the durable end is the log end, and the next loss of power proves it;
//! - the indexes are what a scan of the log files yields.

mod support;

use bytes::Bytes;
use ottla::env::{Purpose, Rng, child_rng};
use ottla::log::{Log, LogError, OpenHints};
use ottla::types::{Offset, WallMs};
use ottla::wire::batch::{BatchHeader, split};
use rand_core::Rng as _;
use support::batches::Spec;
use support::block_on;
use support::indexes::check_segments;
use support::logs::*;
use support::memory_disk::MemoryDisk;

const SEEDS: u64 = 40;
const STEPS: usize = 40;

#[test]
fn a_crash_at_any_operation_loses_nothing_durable() {
    let mut crashes = 0;
    for seed in 0..SEEDS {
        let operations = Workload::new(seed).run_to_the_end();
        for operation in 0..operations {
            let crashed = Workload::new(seed).run_until(operation);
            crashed.recover(seed * 10_000 + operation);
            crashes += 1;
        }
    }
    assert!(crashes > SEEDS * STEPS as u64, "only {crashes} crashes: the workloads do too little");
}

#[test]
fn a_failed_sync_is_not_believed_by_the_next_process() {
    for seed in 0..SEEDS {
        let mut workload = Workload::new(seed);
        workload.run_steps(STEPS / 2).expect("nothing fails yet");
        workload.append().expect("nothing fails yet");
        workload.disk.fail_syncs(true);
        sync(&mut workload.log).expect_err("the sync fails");
        assert!(matches!(workload.append(), Err(LogError::Failed(_))), "the log goes on after a failed sync");
        workload.batches.pop();
        workload.disk.fail_syncs(false);
        // The kernel holds the lost pages to be clean. The process is started again and reads them.
        workload.disk.crash_process();
        let end = workload.end();
        let (log, recovery) = open(&workload.disk, workload.hints()).expect("nothing is lost yet");
        assert_eq!((log.durable_end(), recovery.truncated_bytes), (end, 0));
        workload.disk.lose_power(seed);
        let (log, _) = open(&workload.disk, workload.hints()).expect("all of it was durable");
        assert_eq!(log.log_end(), end, "seed {seed}");
        assert_eq!(read_all(&log), workload.expected(log.log_start()), "seed {seed}");
    }
}

#[test]
fn a_crash_of_the_process_alone_loses_nothing() {
    for seed in 0..SEEDS {
        let mut workload = Workload::new(seed);
        workload.run_steps(STEPS).expect("nothing fails");
        workload.disk.crash_process();
        let (log, recovery) = open(&workload.disk, workload.hints()).expect("nothing is lost");
        assert_eq!(recovery.truncated_bytes, 0, "seed {seed}");
        assert_eq!(log.log_end(), workload.end(), "seed {seed}");
        assert_eq!(read_all(&log), workload.expected(log.log_start()), "seed {seed}");
        check_segments(&workload.disk, log.log_end());
    }
}

/// The checkpoints as the owner of the log would have them on disk.
#[derive(Debug, Clone, Copy, Default)]
struct Checkpoints {
    recovery_point: i64,
    high_watermark: i64,
    log_start: i64,
}

struct Workload {
    disk: MemoryDisk,
    rng: Rng,
    log: Log<MemoryDisk>,
    /// All batches that were appended and not truncated, the one being appended included.
    batches: Vec<Bytes>,
    /// While a truncation is under way, how many of them will stay.
    truncating: Option<usize>,
    checkpoints: Checkpoints,
    high_watermark: i64,
    promised: i64,
    epoch: i32,
}

impl Workload {
    fn new(seed: u64) -> Self {
        let disk = MemoryDisk::default();
        let (log, _) = open(&disk, hints()).expect("an empty disk");
        let purpose = Purpose { subsystem: "log", what: "workload", instance: 0 };
        Self {
            disk,
            rng: child_rng(seed, 0, purpose),
            log,
            batches: Vec::new(),
            truncating: None,
            checkpoints: Checkpoints::default(),
            high_watermark: 0,
            promised: 0,
            epoch: 0,
        }
    }

    /// Runs all steps, and says how many operations they took.
    fn run_to_the_end(mut self) -> u64 {
        let before = self.disk.operations();
        self.run_steps(STEPS).expect("nothing fails");
        assert_eq!(read_all(&self.log), self.expected(self.log.log_start()));
        self.disk.operations() - before
    }

    /// Runs until the disk dies.
    fn run_until(mut self, operation: u64) -> Self {
        self.disk.die_after(operation);
        let outcome = self.run_steps(STEPS);
        assert!(matches!(outcome, Err(LogError::Failed(_))), "operation {operation}: {outcome:?}");
        assert!(self.disk.is_dead());
        self
    }

    fn run_steps(&mut self, steps: usize) -> Result<(), LogError> {
        for _ in 0..steps {
            match self.below(20) {
                0..10 => self.append()?,
                10..13 => self.sync()?,
                13..15 => self.checkpoint(),
                15 => self.roll()?,
                16 | 17 => self.truncate()?,
                18 => self.raise_log_start(),
                _ => self.retire()?,
            }
        }
        Ok(())
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.rng.next_u64() % bound
    }

    fn append(&mut self) -> Result<(), LogError> {
        let records = (0..1 + self.below(3)).map(|_| (self.below(1000) as i64, self.below(500) as usize));
        let records: Vec<_> = records.collect();
        let spec = Spec { epoch: self.epoch, records, ..Spec::new(self.end().0, 1, 0) };
        self.batches.push(spec.bytes());
        append(&mut self.log, &spec)
    }

    fn sync(&mut self) -> Result<(), LogError> {
        self.promised = sync(&mut self.log)?.0;
        // A leader's high watermark follows somewhere behind.
        let room = (self.promised - self.high_watermark) as u64;
        let boundaries: Vec<i64> = self.boundaries().filter(|end| *end <= self.promised).collect();
        let wanted = self.high_watermark + self.below(room + 1) as i64;
        let reached = boundaries.into_iter().filter(|end| *end <= wanted).max();
        self.high_watermark = self.high_watermark.max(reached.unwrap_or(0));
        Ok(())
    }

    fn checkpoint(&mut self) {
        self.checkpoints = Checkpoints {
            recovery_point: self.log.durable_end().0,
            high_watermark: self.high_watermark,
            log_start: self.log.log_start().0,
        };
    }

    fn roll(&mut self) -> Result<(), LogError> {
        let path = self.disk.names(DIR).into_iter().rfind(|name| name.ends_with(".log"));
        let active = self.disk.content(dir().join(path.expect("there is a segment")));
        if active.is_some_and(|content| !content.is_empty()) {
            roll(&mut self.log)?;
        }
        Ok(())
    }

    /// Cuts somewhere above the high watermark, as a follower of a new leader.
    fn truncate(&mut self) -> Result<(), LogError> {
        let end = self.end().0;
        let to = self.high_watermark + self.below((end - self.high_watermark) as u64 + 1) as i64;
        let kept = self.batches.iter().filter(|batch| header(batch).last_offset().0 < to).count();
        self.truncating = Some(kept);
        self.promised = self.promised.min(self.batches[..kept].last().map_or(0, end_of));
        if let Some(plan) = self.log.begin_truncate(Offset(to))? {
            // The checkpoint is lowered before anything is cut.
            let durable = self.log.durable_end().0;
            self.checkpoints.recovery_point = self.checkpoints.recovery_point.min(durable);
            let retired = self.log.finish_truncate(block_on(plan.run()))?;
            block_on(retired.delete()).map_err(|error| LogError::Failed(error.into()))?;
        }
        self.truncating = None;
        self.batches.truncate(kept);
        self.epoch += 1;
        assert_eq!(self.log.log_end(), self.end());
        Ok(())
    }

    fn raise_log_start(&mut self) {
        let room = (self.high_watermark - self.log.log_start().0).max(0) as u64;
        let to = self.log.log_start().0 + self.below(room + 1) as i64;
        self.log.raise_log_start(Offset(to));
    }

    fn retire(&mut self) -> Result<(), LogError> {
        retire(&mut self.log, 0, self.high_watermark).map(drop)
    }

    fn boundaries(&self) -> impl Iterator<Item = i64> {
        self.batches.iter().map(end_of)
    }

    fn end(&self) -> Offset {
        Offset(self.batches.last().map_or(0, end_of))
    }

    fn hints(&self) -> OpenHints {
        let Checkpoints { recovery_point, high_watermark, log_start } = self.checkpoints;
        OpenHints { log_start: Offset(log_start), ..unclean(recovery_point, high_watermark) }
    }

    /// The batches that a log from `start` on has.
    fn expected(&self, start: Offset) -> Vec<Bytes> {
        self.batches.iter().filter(|batch| header(batch).last_offset() >= start).cloned().collect()
    }

    /// Opens the log after a loss of power, in which recovery may be interrupted, and checks it.
    fn recover(mut self, seed: u64) {
        let purpose = Purpose { subsystem: "log", what: "recovery", instance: 0 };
        let mut rng = child_rng(seed, 0, purpose);
        self.disk.lose_power(seed);
        for interruption in 0..rng.next_u64() % 3 {
            self.disk.die_after(rng.next_u64() % 12);
            if let Ok((log, _)) = open(&self.disk, self.hints()) {
                self.promised = self.promised.max(log.durable_end().0);
            }
            self.disk.lose_power(seed ^ (interruption + 1) << 32);
        }
        let (log, _) = open(&self.disk, self.hints()).unwrap_or_else(|error| panic!("seed {seed}: {error}"));
        self.check(&log, seed);
        assert_eq!(log.durable_end(), log.log_end(), "seed {seed}: recovery makes durable what it keeps");
        check_segments(&self.disk, log.log_end());
        let (start, end, left) = (log.log_start(), log.log_end(), read_all(&log));
        drop(log);
        self.disk.lose_power(seed ^ 0xff << 32);
        let (log, recovery) = open(&self.disk, self.hints()).expect("it was good");
        assert_eq!((log.log_start(), log.log_end(), read_all(&log)), (start, end, left), "seed {seed}");
        assert_eq!(recovery.truncated_bytes, 0, "seed {seed}: nothing was left to cut");
        self.go_on(log);
    }

    fn check(&self, log: &Log<MemoryDisk>, seed: u64) {
        let (start, end) = (log.log_start(), log.log_end());
        assert!(end.0 >= self.promised, "seed {seed}: {} was durable, the log ends at {end}", self.promised);
        assert!(start.0 >= self.checkpoints.log_start, "seed {seed}: the log starts early");
        assert!(start <= self.log.log_start(), "seed {seed}: the log starts late, at {start}");
        let left = read_all(log);
        let mut expected = self.expected(start);
        expected.truncate(left.len());
        assert_eq!(left, expected, "seed {seed}: the log is not a prefix of what was appended");
        let reached = left.last().map_or(start.0, end_of);
        assert!(reached == end.0 || left.is_empty(), "seed {seed}: the log ends past its last batch");
    }

    /// The recovered log takes appends, ends cleanly and opens again without being scanned.
    fn go_on(&self, mut log: Log<MemoryDisk>) {
        for _ in 0..3 {
            let base = log.log_end().0;
            append(&mut log, &Spec::new(base, 2, 5000).sized(300)).expect("the disk works again");
        }
        let (end, content) = (log.log_end(), read_all(&log));
        let log_start = log.log_start();
        close(log);
        self.disk.lose_power(1);
        let hints = OpenHints { recovery_point: end, high_watermark: end, log_start, ..hints() };
        let (log, recovery) = open(&self.disk, hints).expect("it was closed cleanly");
        assert_eq!((log.log_end(), read_all(&log)), (end, content));
        assert_eq!(recovery.scanned_bytes, 0, "a clean start scans nothing");
        check_segments(&self.disk, end);
        assert!(log.roll_for_retention(WallMs(0), end) || log.segment_count() > 0);
    }
}

fn header(batch: &Bytes) -> BatchHeader {
    BatchHeader::verify(batch).expect("it was built")
}

fn end_of(batch: &Bytes) -> i64 {
    header(batch).next_offset().0
}

#[test]
fn the_workload_does_all_there_is_to_do() {
    let mut most_segments = 0;
    for seed in 0..SEEDS {
        let mut workload = Workload::new(seed);
        for _ in 0..STEPS {
            workload.run_steps(1).expect("nothing fails");
            most_segments = most_segments.max(workload.log.segment_count());
        }
        let bytes: Bytes = workload.batches.concat().into();
        assert_eq!(split(&bytes).count(), workload.batches.len());
        block_on(workload.log.view().for_each_header(Offset::ZERO, |_| Ok(()))).expect("it is readable");
    }
    assert!(most_segments >= 4, "{most_segments} segments are too few to have holes between");
}
