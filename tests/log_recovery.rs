//! Opening logs: what is repaired, what is cleared away, and what is refused.

mod support;

use ottla::log::directory::{FileKind, file_name};
use ottla::log::producer_snapshot::list_producer_snapshots;
use ottla::log::{Log, OpenHints, OpenLogError, Recovery};
use ottla::types::{Offset, WallMs};
use support::batches::Spec;
use support::block_on;
use support::indexes::check_segments;
use support::logs::*;
use support::memory_disk::MemoryDisk;

/// A log of ten batches of ten offsets, 481 bytes each, in three segments: 0, 40 and 80.
fn filled() -> (MemoryDisk, Log<MemoryDisk>) {
    let disk = MemoryDisk::default();
    let (mut log, recovery) = open(&disk, hints()).expect("an empty disk");
    assert!(recovery.created);
    for index in 0..10 {
        append(&mut log, &Spec::new(index * 10, 10, 100 + index).sized(35)).expect("the disk works");
    }
    assert_eq!(log.segment_count(), 3);
    assert_eq!(sync(&mut log).expect("the disk works"), Offset(100));
    check_segments(&disk, Offset(100));
    (disk, log)
}

/// The position of the batch at `offset` in the segment at `base`.
fn position(disk: &MemoryDisk, base: i64, offset: i64) -> u64 {
    let content = disk.content(file(base, "log")).expect("the segment is there");
    let batches = ottla::wire::batch::split(&content.into());
    let before = batches
        .map(|batch| batch.expect("it is whole"))
        .take_while(|batch| batch.header.base_offset.0 < offset);
    before.map(|batch| batch.bytes.len() as u64).sum()
}

fn clean(end: i64) -> OpenHints {
    OpenHints { recovery_point: Offset(end), high_watermark: Offset(end), ..hints() }
}

fn corrupt(outcome: Result<(Log<MemoryDisk>, Recovery), OpenLogError>) -> (String, u64, i64) {
    match outcome {
        Err(OpenLogError::Corrupt(damage)) => {
            let name = damage.file.file_name().expect("it names a file").to_string_lossy().into_owned();
            (name, damage.position, damage.offset.0)
        }
        Err(error) => panic!("another error: {error}"),
        Ok((log, recovery)) => panic!("it opened, up to {}: {recovery:?}", log.log_end()),
    }
}

#[test]
fn damage_above_the_floor_is_cut_off_with_all_behind_it() {
    let (disk, log) = filled();
    let before = read_all(&log);
    let at = position(&disk, 40, 60);
    disk.rot(file(40, "log"), at + 100);
    disk.crash_process();
    let (log, recovery) = open(&disk, unclean(50, 60)).expect("what is damaged was never promised");
    assert_eq!((log.log_end(), log.durable_end()), (Offset(60), Offset(60)));
    assert_eq!(read_all(&log), before[..6]);
    assert_eq!(recovery.removed_segments, 1);
    let cut = disk.content(file(40, "log")).expect("it is there").len() as u64;
    assert_eq!(cut, at);
    assert!(recovery.truncated_bytes > 4 * 300 && !recovery.created);
    assert!(!disk.names(DIR).iter().any(|name| name.starts_with(&format!("{:020}", 80))));
    check_segments(&disk, Offset(60));
}

#[test]
fn damage_below_the_recovery_point_or_the_high_watermark_is_refused() {
    let (disk, _) = filled();
    let at = position(&disk, 40, 60);
    disk.rot(file(40, "log"), at + 100);
    disk.crash_process();
    let named = (file_name(Offset(40), FileKind::Log), at, 60);
    assert_eq!(corrupt(open(&disk, unclean(61, 0))), named);
    assert_eq!(corrupt(open(&disk, unclean(50, 70))), named);
    let content = disk.content(file(80, "log"));
    assert_eq!(corrupt(open(&disk, unclean(70, 0))), named, "it is refused each time");
    assert_eq!(disk.content(file(80, "log")), content, "nothing is removed");
}

#[test]
fn a_log_that_ends_below_the_floor_is_refused() {
    let (disk, _) = filled();
    disk.crash_process();
    let end = disk.content(file(80, "log")).expect("it is there").len() as u64;
    let named = (file_name(Offset(80), FileKind::Log), end, 100);
    assert_eq!(corrupt(open(&disk, unclean(101, 0))), named);
    assert_eq!(corrupt(open(&disk, clean(101))), named);
    let empty = MemoryDisk::default();
    assert_eq!(corrupt(open(&empty, clean(1))), ("topic-0".to_owned(), 0, 0), "a directory that was lost");
}

#[test]
fn a_hole_between_segments_is_a_lost_end() {
    let (disk, log) = filled();
    let before = read_all(&log);
    let content = disk.content(file(40, "log")).expect("it is there");
    disk.put(file(40, "log"), &content[..position(&disk, 40, 70) as usize]);
    disk.crash_process();
    assert_eq!(corrupt(open(&disk, unclean(50, 71))), (file_name(Offset(80), FileKind::Log), 0, 70));
    let (log, recovery) = open(&disk, unclean(50, 70)).expect("what is missing was never promised");
    assert_eq!((log.log_end(), recovery.removed_segments), (Offset(70), 1));
    assert_eq!(read_all(&log), before[..7]);
}

#[test]
fn a_clean_start_scans_nothing_and_an_unclean_one_from_the_recovery_point() {
    let (disk, log) = filled();
    close(log);
    disk.crash_process();
    let reads = disk.reads();
    let (log, recovery) = open(&disk, clean(100)).expect("it was closed");
    assert_eq!(recovery, Recovery::default());
    assert!(disk.reads() - reads < 20, "{} reads", disk.reads() - reads);
    assert_eq!(log.durable_end(), Offset(100));
    drop(log);
    let sizes = [40, 80].map(|base| disk.content(file(base, "log")).expect("it is there").len() as u64);
    disk.crash_process();
    let (_, recovery) = open(&disk, unclean(79, 0)).expect("nothing is wrong");
    assert_eq!((recovery.scanned_bytes, recovery.rebuilt_indexes), (sizes[0] + sizes[1], 2));
    // At the boundary the indexes of the segment before may not have been synced.
    let (_, recovery) = open(&disk, unclean(80, 0)).expect("nothing is wrong");
    assert_eq!(recovery.rebuilt_indexes, 2);
    let (_, recovery) = open(&disk, unclean(81, 0)).expect("nothing is wrong");
    assert_eq!((recovery.scanned_bytes, recovery.rebuilt_indexes), (sizes[1], 1));
}

#[test]
fn a_damaged_tail_is_noticed_even_after_a_clean_stop() {
    let (disk, log) = filled();
    close(log);
    let mut content = disk.content(file(80, "log")).expect("it is there");
    content.extend([0; 100]);
    disk.put(file(80, "log"), &content);
    let (log, recovery) = open(&disk, clean(100)).expect("no record is damaged");
    assert_eq!((log.log_end(), recovery.truncated_bytes), (Offset(100), 100));
    drop(log);
    content.truncate(content.len() - 150);
    disk.put(file(80, "log"), &content);
    assert_eq!(corrupt(open(&disk, clean(100))).2, 90);
}

#[test]
fn indexes_that_are_missing_or_implausible_are_built_anew() {
    type Damage = fn(&MemoryDisk);
    let damages: [(&str, Damage); 8] = [
        ("no offset index", |disk| disk.unlink(file(0, "index"))),
        ("no time index", |disk| disk.unlink(file(0, "timeindex"))),
        ("no time index of the active segment", |disk| disk.unlink(file(80, "timeindex"))),
        ("a part of an entry", |disk| disk.put(file(40, "index"), &[0; 12])),
        ("a position past the end", |disk| disk.put(file(40, "index"), &[0, 0, 0, 9, 0x7f, 0, 0, 0])),
        ("an offset past the end", |disk| disk.put(file(40, "index"), &[0, 0, 0, 99, 0, 0, 0, 1])),
        ("an empty time index", |disk| disk.put(file(40, "timeindex"), &[])),
        ("an entry that names no batch", |disk| disk.put(file(80, "index"), &[0, 0, 0, 9, 0, 0, 0, 7])),
    ];
    for (what, damage) in damages {
        let (disk, log) = filled();
        let before = read_all(&log);
        close(log);
        damage(&disk);
        let (log, recovery) = open(&disk, clean(100)).unwrap_or_else(|error| panic!("{what}: {error}"));
        assert_eq!((recovery.rebuilt_indexes, recovery.truncated_bytes), (1, 0), "{what}");
        assert_eq!(read_all(&log), before, "{what}");
        check_segments(&disk, Offset(100));
    }
}

#[test]
fn leftovers_are_cleared_away_and_strangers_left_alone() {
    let (disk, log) = filled();
    close(log);
    let leftovers = [
        "00000000000000000120.log.deleted",
        "00000000000000000000.index.deleted",
        "leader-epoch-checkpoint.tmp",
        "00000000000000000040.log.cleaned",
        "00000000000000000041.log.swap",
        "00000000000000000200.index",
        "00000000000000000200.timeindex",
    ];
    let strangers = ["leader-epoch-checkpoint", "partition.metadata", "README", "7.log"];
    for name in leftovers.iter().chain(&strangers) {
        disk.put(dir().join(name), b"x");
    }
    let (log, _) = open(&disk, clean(100)).expect("none of it matters");
    assert_eq!(log.log_end(), Offset(100));
    let names = disk.names(DIR);
    for name in leftovers {
        assert!(!names.iter().any(|left| left == name), "{name} is left");
    }
    for name in strangers {
        assert!(names.iter().any(|left| left == name), "{name} is gone");
    }
}

#[test]
fn a_completed_compaction_takes_the_place_of_what_it_covers() {
    let (disk, log) = filled();
    let before = read_all(&log);
    close(log);
    // Segments 0 and 40 were compacted into one, which lacks batches 10 to 60.
    let kept: Vec<u8> = [&before[0], &before[7]].into_iter().flatten().copied().collect();
    disk.put(dir().join("00000000000000000000.log.swap"), &kept);
    disk.put(dir().join("00000000000000000000.index.swap"), &[]);
    for dies_after in [0, 1, 2, 3, 5, 7, 9, 11, 13] {
        disk.die_after(dies_after);
        let outcome = open(&disk, clean(100));
        assert!(outcome.is_err() || dies_after >= 9, "it survived {dies_after} operations");
        disk.lose_power(dies_after);
    }
    let (log, _) = open(&disk, clean(100)).expect("it can be completed each time");
    assert_eq!((log.log_start(), log.log_end()), (Offset(0), Offset(100)));
    let left: Vec<_> = [&before[..1], &before[7..]].concat();
    assert_eq!(read_all(&log), left);
    // A reader in the gap gets on behind it.
    assert_eq!(bases(&read(&log.view(), 15, all()).expect("it is in range"))[0], 70);
    assert_eq!(log.segment_count(), 2);
}

#[test]
fn segments_below_the_log_start_go() {
    let (disk, log) = filled();
    let before = read_all(&log);
    close(log);
    let hints = OpenHints { log_start: Offset(45), ..clean(100) };
    let (log, recovery) = open(&disk, hints).expect("nothing is wrong");
    assert_eq!((log.log_start(), recovery.removed_segments), (Offset(45), 1));
    assert_eq!(read_all(&log), before[4..]);
    assert!(disk.content(file(0, "log")).is_none() && disk.content(file(0, "index")).is_none());
    // Past the end of the log: it begins anew.
    close(log);
    let hints = OpenHints { log_start: Offset(500), ..clean(100) };
    let (mut log, recovery) = open(&disk, hints).expect("all of it was deleted");
    assert_eq!((log.log_start(), log.log_end()), (Offset(500), Offset(500)));
    assert!(recovery.created && recovery.removed_segments == 2);
    append(&mut log, &Spec::new(500, 1, 0)).expect("the disk works");
    assert_eq!(sync(&mut log).expect("the disk works"), Offset(501));
    disk.lose_power(1);
    let (log, _) = open(&disk, unclean(501, 501)).expect("nothing is wrong");
    assert_eq!((log.log_start(), log.log_end()), (Offset(500), Offset(501)));
}

#[test]
fn snapshots_past_the_end_go_before_anything_can_be_appended_under_them() {
    let (disk, mut log) = filled();
    for offset in [40, 60, 61, 100] {
        disk.put(dir().join(file_name(Offset(offset), FileKind::ProducerSnapshot)), b"x");
    }
    let list = || block_on(list_producer_snapshots(&disk, dir())).expect("the disk works");
    truncate(&mut log, 70).expect("the disk works");
    assert_eq!(list(), [40, 60, 61].map(Offset));
    drop(log);
    let at = position(&disk, 40, 60);
    disk.rot(file(40, "log"), at + 100);
    disk.crash_process();
    open(&disk, unclean(60, 60)).expect("what is damaged was never promised");
    assert_eq!(list(), [40, 60].map(Offset));
}

#[test]
fn a_segment_without_a_byte_in_it_is_no_damage() {
    let (disk, mut log) = filled();
    roll(&mut log).expect("the disk works");
    assert_eq!(sync(&mut log).expect("the disk works"), Offset(100));
    disk.lose_power(3);
    let (log, _) = open(&disk, unclean(100, 100)).expect("nothing is wrong");
    assert_eq!((log.segment_count(), log.log_end()), (4, Offset(100)));
}

#[test]
fn a_batch_made_wrong_is_as_bad_as_a_damaged_one() {
    // Offsets that go back, under a right CRC.
    let (disk, log) = filled();
    let count = read_all(&log).len();
    drop(log);
    let mut content = disk.content(file(80, "log")).expect("it is there");
    content.extend(Spec::new(95, 1, 0).bytes());
    disk.put(file(80, "log"), &content);
    disk.crash_process();
    let (log, recovery) = open(&disk, unclean(100, 100)).expect("it lies behind what was promised");
    assert_eq!((log.log_end(), read_all(&log).len()), (Offset(100), count));
    assert!(recovery.truncated_bytes > 0);
    // A length that reaches past the end, and one of 2 GiB.
    for length in [1000i32, i32::MAX] {
        let mut content = disk.content(file(80, "log")).expect("it is there");
        let mut batch = Spec::new(100, 1, 0).bytes().to_vec();
        batch[8..12].copy_from_slice(&length.to_be_bytes());
        content.extend(batch);
        disk.put(file(80, "log"), &content);
        disk.crash_process();
        let (log, _) = open(&disk, unclean(100, 100)).expect("it lies behind what was promised");
        assert_eq!(log.log_end(), Offset(100));
    }
}

#[test]
fn opening_a_new_log_syncs_nothing_and_its_first_sync_all_names() {
    let disk = MemoryDisk::default();
    let (mut log, _) = open(&disk, hints()).expect("an empty disk");
    assert_eq!(disk.syncs(), 0);
    assert!(log.needs_sync(), "its name is not durable");
    append(&mut log, &Spec::new(0, 1, 0)).expect("the disk works");
    assert_eq!(log.durable_end(), Offset(0));
    sync(&mut log).expect("the disk works");
    assert_eq!(disk.syncs(), 3, "the log file, its directory and the one above");
    assert!(!log.needs_sync());
    append(&mut log, &Spec::new(1, 1, 0)).expect("the disk works");
    sync(&mut log).expect("the disk works");
    assert_eq!(disk.syncs(), 4, "the log file alone");
    roll(&mut log).expect("the disk works");
    append(&mut log, &Spec::new(2, 1, 0)).expect("the disk works");
    sync(&mut log).expect("the disk works");
    assert_eq!(disk.syncs(), 9, "three files of the old segment, one of the new, the directory");
    disk.lose_power(0);
    let (log, _) = open(&disk, unclean(3, 3)).expect("all of it was durable");
    assert_eq!(log.log_end(), Offset(3));
}

#[test]
fn the_age_of_segments_survives_a_restart() {
    let (disk, log) = filled();
    close(log);
    let (mut log, _) = open(&disk, clean(100)).expect("nothing is wrong");
    // Timestamps are 100 to 109, the first segment's 100 to 103.
    log.set_config(ottla::log::LogConfig { retention_ms: 1000, ..small() });
    assert!(log.retire(WallMs(1103), Offset(100)).expect("it is ready").is_none());
    assert!(log.retire(WallMs(1104), Offset(100)).expect("it is ready").is_some());
}
