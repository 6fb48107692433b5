//! Reads: limits, positions, damage, and what happens to the log meanwhile.

mod support;

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use ottla::buffers::BufferPool;
use ottla::log::{Log, LogConfig, LogError, ReadError, ReadLimits, TimestampOffset};
use ottla::types::{LeaderEpoch, Offset};
use ottla::wire::batch::BatchHeader;
use ottla::wire::compression::{Compression, Scratch};
use support::batches::{Spec, stamped};
use support::block_on;
use support::logs::*;
use support::memory_disk::MemoryDisk;

/// The size of the batches of a `filled` log.
const BATCH: usize = 481;

/// A log of ten batches of ten offsets in three segments: 0, 40 and 80. Timestamps rise by ten a batch.
fn filled() -> (MemoryDisk, Log<MemoryDisk>) {
    let disk = MemoryDisk::default();
    let (mut log, _) = open(&disk, hints()).expect("an empty disk");
    for index in 0..10 {
        let spec = Spec::new(index * 10, 10, 100 + 10 * index).sized(35);
        assert_eq!(spec.bytes().len(), BATCH);
        append(&mut log, &spec).expect("the disk works");
    }
    (disk, log)
}

fn limits(max_bytes: usize, upper: i64, at_least_one: bool) -> ReadLimits {
    ReadLimits { max_bytes, upper: Offset(upper), at_least_one }
}

fn found(log: &Log<MemoryDisk>, from: i64, limits: ReadLimits) -> Vec<i64> {
    bases(&read(&log.view(), from, limits).expect("it is in range"))
}

#[test]
fn a_read_returns_whole_batches_within_its_limits() {
    let (_, log) = filled();
    assert_eq!(found(&log, 25, limits(3 * BATCH, 100, true)), [20, 30, 40], "across segments");
    assert_eq!(found(&log, 25, limits(3 * BATCH - 1, 100, true)), [20, 30]);
    assert_eq!(found(&log, 29, limits(BATCH, 100, false)), [20]);
    for max_bytes in [0, 1, 60, 61, BATCH - 1] {
        let view = log.view();
        let limits = limits(max_bytes, 100, false);
        let read = block_on(view.read(Offset(29), limits, &pool())).expect("it is in range");
        assert_eq!((read.bytes.len(), read.too_large), (0, Some(BATCH)), "not even one fits");
    }
    for max_bytes in [0, 1, 60, 61, BATCH - 1] {
        assert_eq!(found(&log, 29, limits(max_bytes, 100, true)), [20], "{max_bytes}");
    }
    assert_eq!(found(&log, 0, limits(usize::MAX, 50, true)), [0, 10, 20, 30, 40]);
    assert_eq!(found(&log, 0, limits(usize::MAX, 51, true)), [0, 10, 20, 30, 40, 50]);
    assert_eq!(found(&log, 50, limits(usize::MAX, 50, true)), [0; 0]);
    assert_eq!(found(&log, 99, all()), [90]);
    assert_eq!(found(&log, 100, all()), [0; 0], "the log end is in range");
    assert_eq!(found(&log, 0, all()).len(), 10);
}

/// A buffer that grows on the way goes back to another class of the pool than it is asked for from: each read would
/// touch new memory.
#[test]
fn reads_of_one_size_use_one_buffer() {
    let disk = MemoryDisk::default();
    let config = LogConfig { segment_bytes: 1 << 20, ..small() };
    let (mut log, _) = block_on(Log::open(&disk, dir(), config, hints())).expect("an empty disk");
    for index in 0..8 {
        append(&mut log, &Spec::new(index * 10, 10, 100).sized(300)).expect("the disk works");
    }
    let pool = BufferPool::new(1 << 20);
    let kept: Vec<usize> = (0..3)
        .map(|_| {
            let limits = limits(8192, 80, true);
            let read = block_on(log.view().read(Offset(0), limits, &pool)).expect("it is in range");
            assert!(!read.bytes.is_empty());
            drop(read);
            pool.kept_bytes()
        })
        .collect();
    assert!(kept[0] > 0 && kept.iter().all(|bytes| *bytes == kept[0]), "{kept:?}");
}

#[test]
fn an_offset_outside_the_log_is_refused() {
    let (_, mut log) = filled();
    log.raise_log_start(Offset(15));
    for offset in [-1, 0, 14, 101, i64::MAX] {
        match read(&log.view(), offset, all()) {
            Err(ReadError::OffsetOutOfRange { log_start, log_end, .. }) => {
                assert_eq!((log_start, log_end), (Offset(15), Offset(100)));
            }
            outcome => panic!("{offset}: {outcome:?}"),
        }
    }
    assert_eq!(found(&log, 15, limits(1, 100, true)), [10], "the log starts within a batch");
}

#[test]
fn a_view_does_not_see_what_came_after_it() {
    let (_, mut log) = filled();
    let view = log.view();
    append(&mut log, &Spec::new(100, 1, 0)).expect("the disk works");
    assert_eq!(bases(&read(&view, 90, all()).expect("it is in range")), [90]);
    assert_eq!(view.log_end(), Offset(100));
    log.raise_log_start(Offset(50));
    assert!(retire(&mut log, 0, 100).expect("the disk works"));
    assert_eq!(bases(&read(&view, 0, all()).expect("its files are open")).len(), 10);
}

#[test]
fn a_sequential_reader_needs_one_read_a_batch_and_no_index() {
    let (disk, log) = filled();
    let view = log.view();
    let pool = pool();
    let mut next = Offset(0);
    for batch in 0..10 {
        let reads = disk.reads();
        let got = block_on(view.read(next, limits(BATCH, 100, true), &pool)).expect("it is in range");
        next = got.next_offset;
        let reads = disk.reads() - reads;
        // Where a segment ends, the read looks whether the next has something that fits.
        assert!(reads <= 1 + u64::from(batch % 4 == 3), "batch {batch} took {reads} reads");
    }
    assert_eq!(next, Offset(100));
}

#[test]
fn damage_is_named_and_never_served() {
    let (disk, log) = filled();
    for at in [0, 8, 16, 17, 61, 200, BATCH - 1] {
        let position = 2 * BATCH + at;
        disk.rot(file(40, "log"), position as u64);
        match read(&log.view(), 60, all()) {
            Err(ReadError::Corrupt(damage)) => {
                assert_eq!((damage.file.clone(), damage.position), (file(40, "log"), 2 * BATCH as u64));
                assert_eq!(damage.offset, Offset(60), "bit at {at}: {damage}");
            }
            outcome => panic!("bit at {at}: {outcome:?}"),
        }
        assert_eq!(found(&log, 40, limits(2 * BATCH, 100, true)), [40, 50], "what lies before is good");
        disk.rot(file(40, "log"), position as u64);
    }
    let content = disk.content(file(80, "log")).expect("it is there");
    disk.put(file(80, "log"), &content[..content.len() - 1]);
    assert!(matches!(read(&log.view(), 90, all()), Err(ReadError::Corrupt(_))), "the file is short");
}

#[test]
fn every_flipped_bit_is_noticed_but_those_of_the_leader_epoch() {
    let (disk, log) = filled();
    let good = disk.content(file(40, "log")).expect("it is there");
    for bit in 0..BATCH * 8 {
        // Neither CRC nor anything else in the file tells of these.
        if (12..16).contains(&(bit / 8)) {
            continue;
        }
        let mut content = good.clone();
        content[2 * BATCH + bit / 8] ^= 1 << (bit % 8);
        disk.put(file(40, "log"), &content);
        for from in [60, 65] {
            let outcome = read(&log.view(), from, limits(1, 100, true));
            assert!(matches!(outcome, Err(ReadError::Corrupt(_))), "bit {bit} from {from}: {outcome:?}");
        }
    }
}

#[test]
fn a_wrong_index_does_no_harm() {
    let (disk, log) = filled();
    let wrong: [&[u8]; 5] = [
        &[],
        &[0; 24],
        &[0xff; 24],
        // Offsets of no batch, and positions within batches.
        &[0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0, 3],
        // A batch too far.
        &[0, 0, 0, 1, 0, 0, 3, 0xc2, 0, 0, 0, 39, 0, 0, 5, 0xa3, 0, 0, 0, 40, 0, 0, 5, 0xa3],
    ];
    for content in wrong {
        disk.put(file(40, "index"), content);
        disk.put(file(40, "timeindex"), content);
        for offset in 40..80 {
            // Each from its own view, without hints.
            let (from, one) = (offset / 10 * 10, limits(1, 100, true));
            assert_eq!(found(&log, offset, one), [from], "offset {offset} with index {content:?}");
            let view = log.view();
            let mut scratch = Scratch::default();
            let lookup = view.offset_for_timestamp(100 + from, Offset(100), &mut scratch);
            let offset = block_on(lookup).expect("it is readable").map(|found| found.offset);
            assert_eq!(offset, Some(Offset(from)), "with index {content:?}");
        }
    }
}

/// Polls a future once.
fn poll_once<F: Future>(future: std::pin::Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

#[test]
fn a_read_that_races_a_truncation_is_stale_at_every_step() {
    for polls in 0..6 {
        let (_, mut log) = filled();
        let view = log.view();
        let pool = pool();
        let mut reading = pin!(view.read(Offset(5), limits(usize::MAX, 100, true), &pool));
        for _ in 0..polls {
            assert!(poll_once(reading.as_mut()).is_pending(), "the read is over after {polls} polls");
        }
        let plan = log.begin_truncate(Offset(60)).expect("it is ready").expect("there is something to cut");
        let between = log.view();
        let outcome = block_on(plan.run());
        assert!(matches!(read(&between, 0, all()), Err(ReadError::Stale)), "the files are being cut");
        drop(log.finish_truncate(outcome).expect("the disk works"));
        append(&mut log, &Spec { epoch: 1, ..Spec::new(60, 10, 0).sized(40) }).expect("the disk works");
        let outcome = block_on(reading);
        assert!(matches!(outcome, Err(ReadError::Stale)), "after {polls} polls: {outcome:?}");
        assert!(matches!(read(&view, 0, all()), Err(ReadError::Stale)));
        assert_eq!(found(&log, 50, all()), [50, 60]);
    }
}

#[test]
fn hints_from_before_a_truncation_are_forgotten() {
    let (_, mut log) = filled();
    assert_eq!(found(&log, 0, limits(6 * BATCH, 100, true)).len(), 6);
    truncate(&mut log, 45).expect("the disk works");
    assert_eq!(log.log_end(), Offset(40));
    append(&mut log, &Spec::new(40, 15, 0)).expect("the disk works");
    append(&mut log, &Spec::new(55, 15, 0)).expect("the disk works");
    assert_eq!(found(&log, 60, limits(1, 100, true)), [55]);
}

#[test]
fn a_failed_write_fails_the_log_for_good() {
    let (disk, mut log) = filled();
    let view = log.view();
    let batch = stamped(&Spec::new(100, 1, 0).bytes());
    disk.fail_writes(true);
    assert!(matches!(log.append(std::slice::from_ref(&batch)), Err(LogError::Failed(_))));
    disk.fail_writes(false);
    assert_eq!(log.log_end(), Offset(100), "positions advance only on success");
    assert!(matches!(log.append(&[batch]), Err(LogError::Failed(_))));
    assert!(matches!(log.sync_plan(), Err(LogError::Failed(_))));
    assert!(matches!(log.begin_roll(), Err(LogError::Failed(_))));
    assert!(matches!(log.begin_truncate(Offset(0)), Err(LogError::Failed(_))));
    assert!(matches!(log.retire(ottla::types::WallMs(0), Offset(100)), Err(LogError::Failed(_))));
    assert!(matches!(log.close(), Err(LogError::Failed(_))));
    assert!(matches!(read(&view, 0, all()), Err(ReadError::Failed)));
    disk.crash_process();
    let (log, recovery) = open(&disk, unclean(0, 0)).expect("half a batch is cut off");
    assert_eq!(log.log_end(), Offset(100));
    assert!(recovery.truncated_bytes > 0);
}

#[test]
fn many_batches_go_in_one_append() {
    let disk = MemoryDisk::default();
    let (mut log, _) = open(&disk, hints()).expect("an empty disk");
    let specs: Vec<Spec> = (0..100).map(|index| Spec::new(index, 1, index)).collect();
    let writes = disk.operations();
    let batches: Vec<_> = specs.iter().map(Spec::stamped).collect();
    let appended = log.append(&batches).expect("the disk works");
    assert_eq!(appended.end, Offset(100));
    let indexed = disk.content(file(0, "index")).expect("it is there").len() as u64 / 8;
    assert_eq!(
        disk.operations() - writes,
        4 + 2 * indexed,
        "four writes of up to 32 batches, and the indexes'"
    );
    let expected: Vec<u8> = specs.iter().flat_map(Spec::bytes).collect();
    assert_eq!(disk.content(file(0, "log")), Some(expected));
    support::indexes::check_segments(&disk, Offset(100));
}

#[test]
fn timestamps_are_found_to_the_record() {
    for codec in [Compression::None, Compression::Zstd] {
        let disk = MemoryDisk::default();
        let (mut log, _) = open(&disk, hints()).expect("an empty disk");
        let records = [vec![(10, 5), (30, 5), (20, 5)], vec![(25, 5), (30, 5)], vec![(-1, 5)], vec![(40, 5)]];
        for records in records {
            let spec = Spec { epoch: 7, records, codec, ..Spec::new(log.log_end().0, 1, 0) };
            append(&mut log, &spec).expect("the disk works");
        }
        let view = log.view();
        let lookup = |target, upper| {
            let mut scratch = Scratch::default();
            let found = block_on(view.offset_for_timestamp(target, Offset(upper), &mut scratch));
            found.expect("it is readable").map(|found| (found.timestamp, found.offset.0))
        };
        assert_eq!(lookup(0, 7), Some((10, 0)));
        assert_eq!(lookup(11, 7), Some((30, 1)));
        assert_eq!(lookup(30, 7), Some((30, 1)));
        assert_eq!(lookup(31, 7), Some((40, 6)));
        assert_eq!(lookup(31, 6), None, "it lies past what may be seen");
        assert_eq!(lookup(41, 7), None);
        let largest = |upper| {
            let found = block_on(view.max_timestamp(Offset(upper), &mut Scratch::default()));
            found.expect("it is readable")
        };
        let leader_epoch = LeaderEpoch(7);
        assert_eq!(largest(7), Some(TimestampOffset { timestamp: 40, offset: Offset(6), leader_epoch }));
        assert_eq!(largest(6), Some(TimestampOffset { timestamp: 30, offset: Offset(1), leader_epoch }));
        assert_eq!(largest(0), None);
    }
}

#[test]
fn no_header_is_believed_whose_batch_has_rotted() {
    let (disk, log) = filled();
    let visited = |from: i64| {
        let mut visited = Vec::new();
        let visit = |header: &BatchHeader| {
            visited.push(header.base_offset.0);
            Ok(())
        };
        let outcome = block_on(log.view().for_each_header(Offset(from), visit));
        (visited, outcome.map_err(|error| error.to_string()))
    };
    assert_eq!(visited(55), (vec![50, 60, 70, 80, 90], Ok(())));
    // The producer id and the last byte of the payload, of the batch at 60.
    for position in [43, BATCH as u64 - 1] {
        let at = 2 * BATCH as u64 + position;
        disk.rot(file(40, "log"), at);
        let (before, outcome) = visited(40);
        assert_eq!(before, [40, 50]);
        let error = outcome.expect_err("it has rotted");
        assert!(error.contains("00000000000000000040.log") && error.contains("offset 60"), "{error}");
        // The same bits again: it is whole.
        disk.rot(file(40, "log"), at);
    }
    assert_eq!(visited(0).0.len(), 10);
    let refused = block_on(log.view().for_each_header(Offset(0), |_| Err("of no use".to_owned())));
    assert!(matches!(&refused, Err(ReadError::Corrupt(damage)) if damage.offset == Offset(0)), "{refused:?}");
}
