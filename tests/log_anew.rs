//! A log that is emptied and begins anew at another offset, and every crash on the way there.

mod support;

use std::path::Path;

use ottla::log::producer_snapshot::{list_producer_snapshots, write_producer_snapshot};
use ottla::log::{Log, LogError, OpenHints};
use ottla::types::{Offset, WallMs};
use support::batches::Spec;
use support::block_on;
use support::indexes::check_segments;
use support::logs::*;
use support::memory_disk::MemoryDisk;

/// Batches of ten records, in several segments.
const BATCHES: i64 = 12;
const END: i64 = BATCHES * 10;

/// Before the log, at its beginning, within it, at its end, behind it.
const STARTS: [i64; 5] = [3, 20, 65, END, END + 500];

fn filled(disk: &MemoryDisk) -> Log<MemoryDisk> {
    let begins_at = OpenHints { log_start: Offset(20), ..hints() };
    let (mut log, _) = open(disk, begins_at).expect("an empty disk");
    for base in (20..END).step_by(10) {
        append(&mut log, &Spec::new(base, 10, 0).sized(300)).expect("nothing fails");
    }
    assert!(log.segment_count() > 2, "{} segments are too few", log.segment_count());
    block_on(write_producer_snapshot(disk, dir(), Offset(20), &[])).expect("nothing fails");
    block_on(write_producer_snapshot(disk, dir(), Offset(60), &[])).expect("nothing fails");
    sync(&mut log).expect("nothing fails");
    log
}

fn begin_anew(log: &mut Log<MemoryDisk>, start: i64) -> Result<(), LogError> {
    let plan = log.begin_anew(Offset(start))?;
    let outcome = block_on(plan.run());
    let retired = log.finish_anew(outcome, WallMs(1_000_000))?;
    block_on(retired.delete()).map_err(|error| LogError::Failed(error.into()))
}

/// What the checkpoints say by then, as [`Log::begin_anew`] asks for.
fn checkpoints(start: i64) -> OpenHints {
    OpenHints { log_start: Offset(start), ..unclean(END.min(start), END.min(start)) }
}

fn snapshots(disk: &MemoryDisk, dir: &Path) -> Vec<Offset> {
    block_on(list_producer_snapshots(disk, dir)).expect("the disk works")
}

#[test]
fn a_log_begins_anew_anywhere_and_goes_on_from_there() {
    for start in STARTS {
        let disk = MemoryDisk::default();
        let mut log = filled(&disk);
        let (view, generation) = (log.view(), log.generation());
        begin_anew(&mut log, start).expect("nothing fails");
        let ends = [log.log_start(), log.durable_end(), log.log_end()];
        assert_eq!((ends, log.segment_count()), ([Offset(start); 3], 1));
        assert!(log.generation() > generation);
        assert!(read(&view, 20, all()).is_err(), "what was read before is stale");
        assert_eq!(snapshots(&disk, dir()), [], "none is of the new log");

        append(&mut log, &Spec::new(start, 3, 0)).expect("it takes appends");
        append(&mut log, &Spec::new(start + 3, 3, 0)).expect("it takes appends");
        sync(&mut log).expect("nothing fails");
        let content = read_all(&log);
        assert_eq!(content.len(), 2);
        disk.lose_power(7);
        let (log, _) = open(&disk, OpenHints { log_start: Offset(start), ..unclean(start + 6, start + 6) })
            .expect("all of it was durable");
        assert_eq!((log.log_start(), log.log_end()), (Offset(start), Offset(start + 6)));
        assert_eq!(read_all(&log), content);
        check_segments(&disk, log.log_end());
    }
}

#[test]
fn a_crash_on_the_way_leaves_the_end_of_the_old_log_or_none_of_it() {
    for start in STARTS {
        let disk = MemoryDisk::default();
        let mut log = filled(&disk);
        let before = disk.operations();
        begin_anew(&mut log, start).expect("nothing fails");
        let operations = disk.operations() - before;
        let (mut whole, mut gone) = (0, 0);
        for operation in 0..operations {
            let disk = MemoryDisk::default();
            let mut log = filled(&disk);
            let old = read_all(&log);
            disk.die_after(operation);
            let outcome = begin_anew(&mut log, start);
            assert!(matches!(outcome, Err(LogError::Failed(_))), "operation {operation}: {outcome:?}");
            disk.lose_power(operation);
            let (mut log, _) = open(&disk, checkpoints(start)).expect("this is no damage");
            let left = read_all(&log);
            assert!(old.ends_with(&left), "from {start}, operation {operation}: not the old log's end");
            if left.is_empty() {
                gone += 1;
                // A log that begins at its own end is the old one still, and has its producers.
                let producers = snapshots(&disk, dir());
                assert!(
                    producers.is_empty() || start == END,
                    "from {start}, operation {operation}: {producers:?}"
                );
                assert_eq!((log.log_start(), log.log_end()), (Offset(start), Offset(start)));
            } else {
                whole += usize::from(left.len() == old.len());
                assert_eq!(log.log_end(), Offset(END));
            }
            // It can be done again.
            begin_anew(&mut log, start).expect("the disk works again");
            append(&mut log, &Spec::new(start, 3, 0)).expect("it takes appends");
            assert_eq!(read_all(&log).len(), 1);
        }
        assert!(gone > 0, "from {start}: no crash came late");
        assert!(whole > 0 || start > 20, "from {start}: no crash came early");
    }
}

#[test]
fn a_log_that_begins_behind_its_records_has_no_producers() {
    let disk = MemoryDisk::default();
    drop(filled(&disk));
    disk.crash_process();
    let (log, _) = open(&disk, checkpoints(END + 500)).expect("it lies below the checkpointed log start");
    assert_eq!((log.log_start(), log.log_end()), (Offset(END + 500), Offset(END + 500)));
    assert_eq!(snapshots(&disk, dir()), []);
}

#[test]
fn what_fits_into_the_active_segment_is_told_apart() {
    use ottla::log::Incoming;
    let disk = MemoryDisk::default();
    let (mut log, _) = open(&disk, hints()).expect("an empty disk");
    let batch = |bytes, last| Incoming { bytes, last_offset: Offset(last), max_timestamp: 0 };
    let now = WallMs(1_000_000);
    assert_eq!(
        log.fitting(&[batch(3000, 0), batch(100, 1)], now),
        1,
        "a large one gets a segment of its own"
    );
    assert_eq!(log.fitting(&[batch(900, 0), batch(900, 1), batch(900, 2)], now), 2);
    assert_eq!(log.fitting(&[batch(100, 1 << 31)], now), 0, "too far from the segment's base");
    assert!(log.active_is_empty());
    append(&mut log, &Spec::new(0, 1, 0).sized(1000)).expect("nothing fails");
    assert_eq!(log.fitting(&[batch(900, 1), batch(900, 2)], now), 1);
    assert_eq!(log.fitting(&[batch(1500, 1)], now), 0);
    assert!(!log.active_is_empty());
}
