//! Rolling, retention and truncation.

mod support;

use ottla::env::Disk;
use ottla::log::{Incoming, Log, LogConfig, LogError, OpenHints, RollReason};
use ottla::types::{Offset, WallMs};
use support::batches::Spec;
use support::block_on;
use support::indexes::check_segments;
use support::logs::*;
use support::memory_disk::MemoryDisk;

/// A log of ten batches of ten offsets, 481 bytes each, in three segments: 0, 40 and 80. Timestamps rise by
/// ten a batch, from 100 on.
fn filled() -> (MemoryDisk, Log<MemoryDisk>) {
    let disk = MemoryDisk::default();
    let (mut log, _) = open(&disk, hints()).expect("an empty disk");
    for index in 0..10 {
        append(&mut log, &Spec::new(index * 10, 10, 100 + 10 * index).sized(35)).expect("the disk works");
    }
    (disk, log)
}

fn incoming(bytes: u64, last_offset: i64, max_timestamp: i64) -> Incoming {
    Incoming { bytes, last_offset: Offset(last_offset), max_timestamp }
}

#[test]
fn a_roll_is_due_for_size_time_full_indexes_and_far_offsets() {
    let (_, mut log) = filled();
    // The active segment has 962 of 2000 bytes; its first timestamp is 180.
    let due = |log: &Log<MemoryDisk>, what| log.roll_due(what, WallMs(0));
    assert_eq!(due(&log, incoming(1038, 100, 0)), None);
    assert_eq!(due(&log, incoming(1039, 100, 0)), Some(RollReason::Size));
    log.set_config(LogConfig { segment_ms: 60, segment_jitter_ms: 10, ..small() });
    assert_eq!(due(&log, incoming(1, 100, 230)), None);
    assert_eq!(due(&log, incoming(1, 100, 231)), Some(RollReason::Time));
    log.set_config(LogConfig { segment_index_bytes: 24, ..small() });
    assert_eq!(due(&log, incoming(1, 100, 0)), Some(RollReason::IndexFull), "one time entry is in reserve");
    log.set_config(small());
    assert_eq!(due(&log, incoming(1, 80 + i64::from(i32::MAX), 0)), None);
    assert_eq!(due(&log, incoming(1, 81 + i64::from(i32::MAX), 0)), Some(RollReason::OffsetSpan));
    roll(&mut log).expect("the disk works");
    assert_eq!(due(&log, incoming(10_000, 100, i64::MAX)), None, "an empty segment takes any batch");
}

#[test]
fn without_timestamps_the_age_of_a_segment_is_the_walls() {
    let disk = MemoryDisk::default();
    let (mut log, _) = open(&disk, hints()).expect("an empty disk");
    append(&mut log, &Spec::new(0, 1, -1)).expect("the disk works");
    log.set_config(LogConfig { segment_ms: 60, retention_ms: 100, ..small() });
    assert_eq!(log.roll_due(incoming(1, 1, -1), WallMs(1_000_060)), None);
    assert_eq!(log.roll_due(incoming(1, 1, -1), WallMs(1_000_061)), Some(RollReason::Time));
    assert!(!log.roll_for_retention(WallMs(1_000_100), Offset(1)));
    assert!(log.roll_for_retention(WallMs(1_000_101), Offset(1)));
    close(log);
    assert_eq!(disk.content(file(0, "timeindex")), Some(Vec::new()));
}

#[test]
fn appends_wait_for_a_roll_and_for_a_truncation() {
    let (_, mut log) = filled();
    let batch = [Spec::new(100, 1, 0).stamped()];
    let plan = log.begin_roll().expect("it is ready");
    assert!(matches!(log.append(&batch), Err(LogError::Busy)));
    assert!(matches!(log.begin_truncate(Offset(50)), Err(LogError::Busy)));
    assert!(log.sync_plan().is_ok(), "a sync may run beside a roll");
    let ticket = block_on(plan.run());
    log.finish_roll(ticket, WallMs(0)).expect("the disk works");
    log.append(&batch).expect("the disk works");
    let plan = log.begin_truncate(Offset(50)).expect("it is ready").expect("there is something to cut");
    assert!(matches!(log.append(&batch), Err(LogError::Busy)));
    assert!(matches!(log.sync_plan(), Err(LogError::Busy)));
    assert!(matches!(log.retire(WallMs(0), Offset(100)), Err(LogError::Busy)));
    let outcome = block_on(plan.run());
    drop(log.finish_truncate(outcome).expect("the disk works"));
    assert_eq!(log.log_end(), Offset(50));
}

#[test]
fn a_sync_from_before_a_truncation_says_nothing() {
    let (_, mut log) = filled();
    assert_eq!(log.generation(), 0);
    let plan = log.sync_plan().expect("it is ready");
    block_on(plan.run()).expect("the disk works");
    truncate(&mut log, 50).expect("the disk works");
    append(&mut log, &Spec::new(50, 60, 0)).expect("the disk works");
    assert_eq!(log.synced(&plan), Offset(0), "it covered other records");
    assert_ne!(log.generation(), plan.generation());
    assert_eq!(sync(&mut log).expect("the disk works"), Offset(110));
}

#[test]
fn a_sync_covers_what_was_there_when_it_was_planned() {
    let (disk, mut log) = filled();
    let plan = log.sync_plan().expect("it is ready");
    append(&mut log, &Spec::new(100, 1, 0)).expect("the disk works");
    roll(&mut log).expect("the disk works");
    block_on(plan.run()).expect("the disk works");
    assert_eq!(log.synced(&plan), Offset(100));
    assert!(log.needs_sync());
    assert_eq!(sync(&mut log).expect("the disk works"), Offset(101));
    assert!(!log.needs_sync());
    disk.lose_power(7);
    let (log, _) = open(&disk, unclean(101, 101)).expect("all of it was durable");
    assert_eq!(log.log_end(), Offset(101));
}

#[test]
fn retention_by_time_takes_whole_old_segments() {
    let (disk, mut log) = filled();
    log.set_config(LogConfig { retention_ms: 50, ..small() });
    // The largest timestamps are 130, 170 and 190.
    assert!(!retire(&mut log, 180, 100).expect("the disk works"));
    assert!(retire(&mut log, 181, 100).expect("the disk works"));
    assert_eq!((log.log_start(), log.segment_count()), (Offset(40), 2));
    check_segments(&disk, Offset(100));
    assert!(retire(&mut log, 10_000, 100).expect("the disk works"));
    assert_eq!((log.log_start(), log.segment_count()), (Offset(80), 1), "the active segment stays");
    assert!(log.roll_for_retention(WallMs(241), Offset(100)));
    assert!(!log.roll_for_retention(WallMs(240), Offset(100)));
    roll(&mut log).expect("the disk works");
    assert!(retire(&mut log, 241, 100).expect("the disk works"));
    assert_eq!((log.log_start(), log.log_end(), log.size_bytes()), (Offset(100), Offset(100), 0));
    assert!(!log.roll_for_retention(WallMs(i64::MAX), Offset(100)), "there is nothing in it");
}

#[test]
fn retention_never_reaches_the_high_watermark() {
    let (_, mut log) = filled();
    log.set_config(LogConfig { retention_ms: 0, retention_bytes: 0, ..small() });
    assert!(!retire(&mut log, i64::MAX, 39).expect("the disk works"));
    assert!(retire(&mut log, i64::MAX, 79).expect("the disk works"));
    assert_eq!(log.log_start(), Offset(40));
    assert!(!log.roll_for_retention(WallMs(i64::MAX), Offset(99)));
}

#[test]
fn retention_by_size_keeps_at_least_so_much() {
    let (_, mut log) = filled();
    // Segments of 1924, 1924 and 962 bytes.
    assert_eq!(log.size_bytes(), 4810);
    log.set_config(LogConfig { retention_bytes: 2887, ..small() });
    assert!(!retire(&mut log, 0, 100).expect("the disk works"));
    log.set_config(LogConfig { retention_bytes: 2886, ..small() });
    assert!(retire(&mut log, 0, 100).expect("the disk works"));
    assert_eq!((log.log_start(), log.size_bytes()), (Offset(40), 2886));
    log.set_config(LogConfig { retention_bytes: 0, ..small() });
    assert!(log.roll_for_retention(WallMs(0), Offset(100)));
}

#[test]
fn what_lies_below_the_log_start_goes() {
    let (_, mut log) = filled();
    log.raise_log_start(Offset(79));
    log.raise_log_start(Offset(10));
    assert!(retire(&mut log, 0, 100).expect("the disk works"));
    assert_eq!((log.log_start(), log.segment_count()), (Offset(79), 2), "it goes on within a segment");
}

#[test]
fn files_wait_under_another_name_until_they_are_deleted() {
    let (disk, mut log) = filled();
    disk.put(file(0, "snapshot"), b"the state before 0");
    disk.put(file(0, "txnindex"), b"");
    disk.put(file(40, "snapshot"), b"the state before 40");
    let before = disk.content(file(0, "log"));
    log.raise_log_start(Offset(40));
    let retirement = log.retire(WallMs(0), Offset(100)).expect("it is ready").expect("a segment goes");
    assert_eq!((retirement.segments(), retirement.log_start()), (1, Offset(40)));
    assert!(disk.content(file(0, "log")).is_some(), "nothing has happened to the files");
    let retired = block_on(retirement.run()).expect("the disk works");
    let gone = ["log", "index", "timeindex", "txnindex", "snapshot"];
    for extension in gone {
        assert!(disk.content(file(0, extension)).is_none(), "{extension}");
        assert!(disk.content(file(0, &format!("{extension}.deleted"))).is_some(), "{extension}");
    }
    assert_eq!(disk.content(file(0, "log.deleted")), before);
    disk.lose_power(5);
    let hints = OpenHints { log_start: Offset(40), ..unclean(0, 0) };
    let (log, _) = open(&disk, hints).expect("nothing is wrong");
    assert_eq!(log.log_start(), Offset(40), "the names were durable");
    assert!(disk.content(file(0, "log.deleted")).is_none(), "opening clears them away");
    assert!(disk.content(file(40, "snapshot")).is_some());
    block_on(retired.delete()).expect("what is gone already is no error");
}

#[test]
fn a_log_does_not_forget_its_end_with_its_last_segment() {
    for operation in 0..12 {
        for seed in 0..20 {
            let disk = MemoryDisk::default();
            let (mut log, _) = open(&disk, hints()).expect("an empty disk");
            append(&mut log, &Spec::new(0, 100, 0)).expect("the disk works");
            sync(&mut log).expect("the disk works");
            roll(&mut log).expect("the disk works");
            // The new segment's name is not durable yet, and the other one may go.
            log.raise_log_start(Offset(100));
            disk.die_after(operation);
            let outcome = retire(&mut log, 0, 100);
            assert_eq!(outcome.is_err(), disk.is_dead());
            disk.lose_power(seed);
            let (log, _) = open(&disk, unclean(0, 0)).expect("nothing is wrong");
            assert_eq!(log.log_end(), Offset(100), "dead at operation {operation}, seed {seed}");
        }
    }
}

#[test]
fn a_truncation_cuts_before_the_batch_it_falls_into() {
    for (to, end, segments) in [(100, 100, 3), (95, 90, 3), (90, 90, 3), (80, 80, 3), (79, 70, 2), (0, 0, 1)]
    {
        let (disk, mut log) = filled();
        let before = read_all(&log);
        sync(&mut log).expect("the disk works");
        truncate(&mut log, to).expect("the disk works");
        assert_eq!((log.log_end().0, log.segment_count()), (end, segments), "to {to}");
        assert_eq!(log.durable_end().0, end, "what was durable and is left still is");
        assert_eq!(read_all(&log), before[..end as usize / 10]);
        check_segments(&disk, Offset(end));
        append(&mut log, &Spec { epoch: 1, ..Spec::new(end, 3, 500) }).expect("the disk works");
        check_segments(&disk, Offset(end + 3));
        disk.lose_power(to as u64);
        let (log, _) = open(&disk, unclean(end, end)).expect("nothing is wrong");
        assert!(log.log_end().0 == end || log.log_end().0 == end + 3, "the cut is durable");
    }
}

#[test]
fn a_log_takes_appends_after_a_clean_stop_with_indexes_as_if_there_had_been_none() {
    let (disk, mut log) = filled();
    for index in 10..16 {
        let end = log.log_end();
        close(log);
        disk.crash_process();
        let hints = OpenHints { recovery_point: end, ..hints() };
        (log, _) = open(&disk, hints).expect("it was closed");
        append(&mut log, &Spec::new(index * 10, 10, 300 - index).sized(35)).expect("the disk works");
        check_segments(&disk, log.log_end());
    }
    assert!(log.segment_count() > 3);
}

#[test]
fn a_closed_log_takes_no_more() {
    let (_, mut log) = filled();
    let plan = log.close().expect("it is ready");
    assert_eq!(plan.end(), Offset(100));
    assert!(matches!(log.append(&[Spec::new(100, 1, 0).stamped()]), Err(LogError::Closed)));
    assert!(matches!(log.begin_roll(), Err(LogError::Closed)));
    assert!(matches!(log.retire(WallMs(0), Offset(100)), Err(LogError::Closed)));
}

/// Everything that is awaited may be awaited by any task.
#[test]
fn futures_can_be_sent() {
    fn sent<T: Send>(_: T) {}
    fn all_of<D: Disk>(disk: &D, log: &mut Log<D>) {
        sent(Log::open(disk, dir(), small(), hints()));
        let view = log.view();
        sent(view.read(Offset(0), all(), &pool()));
        sent(view.for_each_header(Offset(0), |_| Ok(())));
        sent(view.max_timestamp(Offset(0), &mut ottla::wire::compression::Scratch::default()));
        sent(log.sync_plan().map(|plan| async move { plan.run().await }));
        sent(log.begin_roll().map(|plan| plan.run()));
        sent(log.begin_truncate(Offset(0)).map(|plan| plan.map(|plan| plan.run())));
        sent(log.retire(WallMs(0), Offset(0)).map(|plan| plan.map(|plan| plan.run())));
    }
    let _: fn(&MemoryDisk, &mut Log<MemoryDisk>) = all_of::<MemoryDisk>;
}
