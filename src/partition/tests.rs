mod codes;
mod follower;
mod isr;
mod model;

use super::*;
use crate::types::{Mono, PartitionEpoch, ProducerEpoch, ProducerId};
use crate::wire::batch::{BatchHeader, MAGIC};
use proptest::prelude::*;

const ME: BrokerId = BrokerId(1);
const OTHER: BrokerId = BrokerId(2);
const ANY_EPOCH: LeaderEpoch = LeaderEpoch::NONE;

fn config(counting: Counting, min_insync_replicas: usize) -> PartitionConfig {
    let replica_lag_time_max = Duration::from_secs(30);
    PartitionConfig { broker_id: ME, counting, min_insync_replicas, replica_lag_time_max }
}

/// For partitions whose followers do not matter.
fn apply(partition: &mut Partition, registration: &Registration) -> Applied {
    partition.apply(registration, &Brokers::new(), Mono(0))
}

fn recovered(log_start: i64, durable_end: i64, log_end: i64) -> Recovered {
    Recovered {
        log_start: LogStart(Offset(log_start)),
        durable_end: Offset(durable_end),
        log_end: LogEnd(Offset(log_end)),
        high_watermark: HighWatermark(Offset(0)),
        truncation_generation: 3,
        epochs: EpochCache::default(),
        producers: ProducerTable::default(),
    }
}

fn registration(
    leader_epoch: i32,
    partition_epoch: i32,
    replicas: &[BrokerId],
    isr: &[BrokerId],
) -> Registration {
    Registration {
        leader: ME,
        leader_epoch: LeaderEpoch(leader_epoch),
        partition_epoch: PartitionEpoch(partition_epoch),
        replicas: replicas.to_vec(),
        isr: isr.to_vec(),
        elr: Vec::new(),
        recovering: false,
    }
}

/// The only replica, leading in epoch 0.
fn sole_leader(counting: Counting) -> Partition {
    let mut partition = Partition::open(config(counting, 1), recovered(0, 0, 0));
    lead(&mut partition, 0);
    partition
}

fn lead(partition: &mut Partition, leader_epoch: i32) -> Positions {
    let applied = apply(partition, &registration(leader_epoch, leader_epoch, &[ME], &[ME]));
    let Applied::Elected { advance, .. } = applied else { panic!("{applied:?}") };
    assert!(partition.start_serving(LeaderEpoch(leader_epoch)));
    advance.after
}

fn batch(count: i32) -> BatchHeader {
    BatchHeader {
        base_offset: Offset(0),
        batch_length: 100,
        partition_leader_epoch: LeaderEpoch::NONE,
        magic: MAGIC,
        crc: 0,
        attributes: 0,
        last_offset_delta: count - 1,
        base_timestamp: 0,
        max_timestamp: 77,
        producer_id: ProducerId::NONE,
        producer_epoch: ProducerEpoch::NONE,
        base_sequence: -1,
        records_count: count,
    }
}

fn idempotent(sequence: i32, count: i32) -> BatchHeader {
    let (producer_id, producer_epoch) = (ProducerId(5), ProducerEpoch(0));
    BatchHeader { producer_id, producer_epoch, base_sequence: sequence, ..batch(count) }
}

/// What the shell does under its lock, with a log that always succeeds.
fn append(partition: &mut Partition, header: &BatchHeader, acks: Acks) -> Result<Positions, AppendRefusal> {
    match partition.prepare_append(header, acks)? {
        Prepared::Append { base_offset, leader_epoch } => {
            let stamped = BatchHeader { base_offset, partition_leader_epoch: leader_epoch, ..*header };
            Ok(partition.appended(&stamped).after)
        }
        duplicate => panic!("{duplicate:?}"),
    }
}

fn sync(partition: &mut Partition, end: i64) -> Option<Advance> {
    partition.synced(partition.leader_epoch(), 3, Offset(end))
}

fn high_watermark(partition: &Partition) -> i64 {
    partition.positions().high_watermark.offset().0
}

fn read(fetch_offset: i64) -> ReadRequest {
    ReadRequest {
        current_leader_epoch: ANY_EPOCH,
        last_fetched_epoch: ANY_EPOCH,
        fetch_offset: Offset(fetch_offset),
        isolation: Isolation::ReadUncommitted,
        from: ReadFrom::Leader,
    }
}

fn refused(result: Result<impl std::fmt::Debug, AppendRefusal>) -> ErrorCode {
    result.unwrap_err().error_code()
}

fn unread(result: Result<impl std::fmt::Debug, ReadRefusal>) -> ErrorCode {
    result.unwrap_err().error_code()
}

// Epochs and registrations.

#[test]
fn r1_a_new_leader_notes_its_epoch_and_serves_only_after() {
    let mut partition = Partition::open(config(Counting::WhenSynced, 1), recovered(0, 10, 10));
    assert_eq!(refused(partition.prepare_append(&batch(1), Acks::None)), ErrorCode::NotLeaderOrFollower);
    let applied = apply(&mut partition, &registration(4, 0, &[ME], &[ME]));
    assert!(matches!(applied, Applied::Elected { epoch_start: Offset(10), .. }));
    let entry = EpochEntry { epoch: LeaderEpoch(4), start_offset: Offset(10) };
    assert_eq!(partition.epochs().entries(), [entry], "though it has no record yet (KAFKA-7415)");
    assert_eq!(refused(partition.prepare_append(&batch(1), Acks::None)), ErrorCode::NotLeaderOrFollower);
    assert_eq!(unread(partition.plan_read(&read(0))), ErrorCode::NotLeaderOrFollower);
    assert!(partition.start_serving(LeaderEpoch(4)));
    let prepared = partition.prepare_append(&batch(1), Acks::All);
    assert_eq!(prepared, Ok(Prepared::Append { base_offset: Offset(10), leader_epoch: LeaderEpoch(4) }));
    assert!(partition.plan_read(&read(0)).is_ok());
}

#[test]
fn r1_an_epoch_that_has_passed_is_not_served() {
    let mut partition = sole_leader(Counting::WhenSynced);
    assert!(matches!(apply(&mut partition, &registration(1, 1, &[ME], &[ME])), Applied::Elected { .. }));
    assert!(matches!(apply(&mut partition, &registration(2, 2, &[ME], &[ME])), Applied::Elected { .. }));
    assert!(!partition.start_serving(LeaderEpoch(1)));
    assert_eq!(refused(partition.prepare_append(&batch(1), Acks::None)), ErrorCode::NotLeaderOrFollower);
    assert!(partition.start_serving(LeaderEpoch(2)));
    let nobody = Registration { leader: BrokerId::NONE, ..registration(3, 3, &[ME], &[ME]) };
    assert_eq!(apply(&mut partition, &nobody), Applied::NotLeading);
    assert!(!partition.start_serving(LeaderEpoch(3)));
}

#[test]
fn r2_a_stale_registration_changes_nothing() {
    let mut partition = sole_leader(Counting::WhenSynced);
    lead(&mut partition, 5);
    let nobody = |leader_epoch, partition_epoch| Registration {
        leader: BrokerId::NONE,
        ..registration(leader_epoch, partition_epoch, &[ME], &[ME])
    };
    assert_eq!(apply(&mut partition, &nobody(5, 4)), Applied::Stale);
    assert_eq!(apply(&mut partition, &nobody(4, 5)), Applied::Stale);
    assert!(append(&mut partition, &batch(1), Acks::All).is_ok());
}

#[test]
fn r2_a_change_within_the_epoch_does_not_interrupt_the_leader() {
    let mut partition = Partition::open(config(Counting::WhenSynced, 1), recovered(0, 0, 0));
    assert!(matches!(
        apply(&mut partition, &registration(0, 0, &[ME, OTHER], &[ME])),
        Applied::Elected { .. }
    ));
    assert!(partition.start_serving(LeaderEpoch(0)));
    append(&mut partition, &batch(2), Acks::All).unwrap();
    assert!(matches!(
        apply(&mut partition, &registration(0, 1, &[ME, OTHER], &[ME, OTHER])),
        Applied::Updated(_)
    ));
    let prepared = partition.prepare_append(&batch(1), Acks::All);
    assert_eq!(prepared, Ok(Prepared::Append { base_offset: Offset(2), leader_epoch: LeaderEpoch(0) }));
    assert_eq!(partition.epochs().entries().len(), 1, "the epoch began once");
}

#[test]
fn no_epoch_of_before_a_restart_is_led_again() {
    let epochs = vec![EpochEntry { epoch: LeaderEpoch(7), start_offset: Offset(20) }];
    for log_end in [25, 20, 12] {
        let epochs = EpochCache::from_entries(epochs.clone()).unwrap();
        let mut partition = Partition::open(
            config(Counting::WhenSynced, 1),
            Recovered { epochs, ..recovered(0, log_end, log_end) },
        );
        // Written back at once, as the shell may do, and lost once more: still known.
        assert_eq!(partition.epochs().latest().unwrap().epoch, LeaderEpoch(7));
        assert_eq!(apply(&mut partition, &registration(7, 3, &[ME], &[ME])), Applied::NotLeading);
        assert_eq!(apply(&mut partition, &registration(7, 4, &[ME], &[ME])), Applied::NotLeading);
        assert!(!partition.start_serving(LeaderEpoch(7)));
        assert_eq!(refused(partition.prepare_append(&batch(1), Acks::None)), ErrorCode::NotLeaderOrFollower);
        lead(&mut partition, 8);
        assert!(append(&mut partition, &batch(1), Acks::All).is_ok());
    }
}

#[test]
#[should_panic(expected = "the ISR is not of the replicas")]
fn an_impossible_registration_ends_the_node() {
    let mut partition = sole_leader(Counting::WhenSynced);
    let _ = apply(&mut partition, &registration(1, 1, &[ME], &[ME, OTHER]));
}

// What is committed, and what answers wait for.

#[test]
fn r3_with_one_replica_the_high_watermark_is_its_counted_end() {
    let mut partition = sole_leader(Counting::WhenSynced);
    let before = partition.positions();
    let after = append(&mut partition, &batch(3), Acks::All).unwrap();
    assert_eq!(after, Positions { log_end: LogEnd(Offset(3)), ..before });
    let advance = sync(&mut partition, 3).unwrap();
    assert_eq!(advance.after.counted_end, CountedEnd(Offset(3)));
    assert_eq!(advance.after.high_watermark, HighWatermark(Offset(3)));
    assert_eq!(advance.after.last_stable, LastStable(Offset(3)));
}

#[test]
fn r3_kafka_15583_below_min_isr_the_high_watermark_stands_still() {
    let mut partition = Partition::open(config(Counting::WhenSynced, 2), recovered(0, 0, 0));
    let Applied::Elected { advance, .. } = apply(&mut partition, &registration(0, 0, &[ME, OTHER], &[ME]))
    else {
        panic!("not elected")
    };
    assert!(advance.under_min_isr);
    assert!(partition.start_serving(LeaderEpoch(0)));
    append(&mut partition, &batch(3), Acks::Leader).unwrap();
    let advance = sync(&mut partition, 3).unwrap();
    assert_eq!(advance.after.counted_end, CountedEnd(Offset(3)), "acks=1 is answered");
    assert_eq!(high_watermark(&partition), 0);
    let advance = partition.set_min_insync_replicas(1);
    assert!(!advance.under_min_isr);
    assert_eq!(high_watermark(&partition), 3);
}

#[test]
fn r3_min_isr_is_at_most_the_number_of_replicas() {
    let mut partition = Partition::open(config(Counting::WhenAppended, 3), recovered(0, 0, 0));
    lead(&mut partition, 0);
    append(&mut partition, &batch(1), Acks::All).unwrap();
    assert_eq!(high_watermark(&partition), 1);
}

#[test]
fn r3_a_follower_in_the_isr_holds_the_high_watermark() {
    let mut partition = sole_leader(Counting::WhenAppended);
    append(&mut partition, &batch(1), Acks::All).unwrap();
    assert!(matches!(
        apply(&mut partition, &registration(0, 1, &[ME, OTHER], &[ME, OTHER])),
        Applied::Updated(_)
    ));
    append(&mut partition, &batch(1), Acks::All).unwrap();
    assert_eq!(high_watermark(&partition), 1);
    assert!(matches!(apply(&mut partition, &registration(0, 2, &[ME, OTHER], &[ME])), Applied::Updated(_)));
    assert_eq!(high_watermark(&partition), 2, "reevaluated when the ISR shrinks (KAFKA-13091)");
}

#[test]
fn r6_acks_all_is_refused_below_min_isr() {
    let mut partition = Partition::open(config(Counting::WhenSynced, 2), recovered(0, 0, 0));
    assert!(matches!(
        apply(&mut partition, &registration(0, 0, &[ME, OTHER], &[ME])),
        Applied::Elected { .. }
    ));
    assert!(partition.start_serving(LeaderEpoch(0)));
    assert_eq!(refused(partition.prepare_append(&batch(1), Acks::All)), ErrorCode::NotEnoughReplicas);
    assert!(partition.prepare_append(&batch(1), Acks::Leader).is_ok());
    assert!(partition.prepare_append(&batch(1), Acks::None).is_ok());
}

#[test]
fn r6_a_shrunken_isr_is_told_to_those_who_wait_with_acks_all() {
    let mut partition = Partition::open(config(Counting::WhenSynced, 2), recovered(0, 0, 0));
    assert!(matches!(
        apply(&mut partition, &registration(0, 0, &[ME, OTHER], &[ME, OTHER])),
        Applied::Elected { .. }
    ));
    assert!(partition.start_serving(LeaderEpoch(0)));
    append(&mut partition, &batch(1), Acks::All).unwrap();
    assert!(!partition.is_under_min_isr());
    let applied = apply(&mut partition, &registration(0, 1, &[ME, OTHER], &[ME]));
    let Applied::Updated(advance) = applied else { panic!("{applied:?}") };
    assert!(advance.under_min_isr);
    assert!(partition.wait_for(Acks::All, Offset(1)).is_some());
}

#[test]
fn each_acks_waits_for_its_position() {
    let until = Offset(3);
    let mut partition = sole_leader(Counting::WhenSynced);
    append(&mut partition, &batch(3), Acks::All).unwrap();
    assert_eq!(partition.wait_for(Acks::None, until), None);
    assert_eq!(partition.wait_for(Acks::Leader, until), Some(Wait { position: Position::CountedEnd, until }));
    assert_eq!(partition.wait_for(Acks::All, until), Some(Wait { position: Position::HighWatermark, until }));
    let _ = sync(&mut partition, 3).unwrap();
    assert_eq!(partition.wait_for(Acks::Leader, until), None);
    assert_eq!(partition.wait_for(Acks::All, until), None);

    let mut unsynced = sole_leader(Counting::WhenAppended);
    append(&mut unsynced, &batch(3), Acks::Leader).unwrap();
    assert_eq!(unsynced.wait_for(Acks::Leader, until), None);
}

#[test]
fn a_duplicates_answer_waits_for_the_position_of_the_first_copy() {
    let mut partition = sole_leader(Counting::WhenSynced);
    append(&mut partition, &batch(4), Acks::All).unwrap();
    append(&mut partition, &idempotent(0, 3), Acks::All).unwrap();
    append(&mut partition, &idempotent(3, 3), Acks::All).unwrap();
    let prepared = partition.prepare_append(&idempotent(0, 3), Acks::All).unwrap();
    let Prepared::Duplicate { base_offset, log_append_time, wait_for } = prepared else {
        panic!("{prepared:?}")
    };
    assert_eq!((base_offset, log_append_time, wait_for), (Offset(4), WallMs(77), Offset(7)));
    assert!(partition.wait_for(Acks::All, wait_for).is_some());
    let _ = sync(&mut partition, 7).unwrap();
    assert_eq!(
        partition.wait_for(Acks::All, wait_for),
        None,
        "the copy is committed, what follows it is not"
    );
}

#[test]
fn kafka_6683_a_batch_that_was_not_appended_leaves_no_trace() {
    let mut partition = sole_leader(Counting::WhenSynced);
    append(&mut partition, &idempotent(0, 1), Acks::All).unwrap();
    let expected = Ok(Prepared::Append { base_offset: Offset(1), leader_epoch: LeaderEpoch(0) });
    assert_eq!(partition.prepare_append(&idempotent(1, 5), Acks::All), expected);
    // The log failed to append it. The next attempt is neither a duplicate nor out of order.
    assert_eq!(partition.prepare_append(&idempotent(1, 5), Acks::All), expected);
    assert_eq!(
        refused(partition.prepare_append(&idempotent(6, 1), Acks::All)),
        ErrorCode::OutOfOrderSequenceNumber
    );
}

#[test]
fn offsets_never_overflow() {
    let end = i64::MAX - 4;
    let mut partition = Partition::open(config(Counting::WhenAppended, 1), recovered(end, end, end));
    lead(&mut partition, 0);
    assert_eq!(refused(partition.prepare_append(&batch(4), Acks::None)), ErrorCode::UnknownServerError);
    assert_eq!(refused(partition.prepare_append(&batch(-4), Acks::None)), ErrorCode::InvalidRecord);
    append(&mut partition, &batch(3), Acks::None).unwrap();
    assert_eq!(partition.positions().log_end, LogEnd(Offset(i64::MAX - 1)));
    assert_eq!(refused(partition.prepare_append(&batch(1), Acks::None)), ErrorCode::UnknownServerError);
    let plan = partition.plan_read(&read(end)).unwrap();
    assert!(!plan.more.is_over(&partition.positions()), "a reader waits instead of spinning");

    let mut foreign = Partition::open(config(Counting::WhenAppended, 1), recovered(0, i64::MAX, i64::MAX));
    lead(&mut foreign, 0);
    assert_eq!(refused(foreign.prepare_append(&batch(i32::MAX), Acks::None)), ErrorCode::UnknownServerError);
    assert!(foreign.plan_read(&read(i64::MAX)).is_ok());
}

#[test]
fn required_acks_are_those_of_kafka() {
    assert_eq!([0, 1, -1].map(Acks::from_code), [Some(Acks::None), Some(Acks::Leader), Some(Acks::All)]);
    assert_eq!([2, -2].map(Acks::from_code), [None, None]);
}

// Syncs and failures.

#[test]
fn a_sync_of_before_a_truncation_is_ignored() {
    let mut partition = sole_leader(Counting::WhenSynced);
    append(&mut partition, &batch(3), Acks::All).unwrap();
    assert_eq!(partition.synced(LeaderEpoch(0), 2, Offset(3)), None);
    assert_eq!(partition.positions().counted_end, CountedEnd(Offset(0)));
}

#[test]
#[should_panic(expected = "two leaders in one epoch")]
fn an_epoch_has_one_leader() {
    let mut partition = sole_leader(Counting::WhenSynced);
    let other = Registration { leader: OTHER, ..registration(0, 1, &[ME, OTHER], &[ME, OTHER]) };
    let _ = apply(&mut partition, &other);
}

#[test]
fn a_sync_of_an_earlier_epoch_is_true_of_the_same_log() {
    let mut partition = sole_leader(Counting::WhenSynced);
    append(&mut partition, &batch(3), Acks::All).unwrap();
    lead(&mut partition, 1);
    let advance = partition.synced(LeaderEpoch(0), 3, Offset(3)).unwrap();
    assert_eq!(advance.leader_epoch, LeaderEpoch(1));
    assert_eq!(high_watermark(&partition), 3);
}

#[test]
fn syncs_may_end_in_any_order() {
    let mut partition = sole_leader(Counting::WhenSynced);
    append(&mut partition, &batch(3), Acks::All).unwrap();
    append(&mut partition, &batch(3), Acks::All).unwrap();
    assert!(sync(&mut partition, 6).unwrap().moved());
    assert_eq!(sync(&mut partition, 3), None);
    assert_eq!(partition.positions().counted_end, CountedEnd(Offset(6)));
}

#[test]
fn a_replica_that_does_not_lead_counts_but_commits_nothing() {
    let mut partition = sole_leader(Counting::WhenSynced);
    append(&mut partition, &batch(3), Acks::All).unwrap();
    let nobody = Registration { leader: BrokerId::NONE, ..registration(1, 1, &[ME], &[ME]) };
    assert_eq!(apply(&mut partition, &nobody), Applied::NotLeading);
    let advance = sync(&mut partition, 3).unwrap();
    assert_eq!(advance.after.counted_end, CountedEnd(Offset(3)));
    assert_eq!(high_watermark(&partition), 0);
    assert_eq!(lead(&mut partition, 2).high_watermark, HighWatermark(Offset(3)));
}

#[test]
fn kafka_10778_after_an_io_error_nothing_is_accepted_any_more() {
    let mut partition = sole_leader(Counting::WhenSynced);
    append(&mut partition, &batch(3), Acks::All).unwrap();
    partition.fail_storage();
    assert_eq!(refused(partition.prepare_append(&batch(1), Acks::None)), ErrorCode::KafkaStorageError);
    assert_eq!(unread(partition.plan_read(&read(0))), ErrorCode::KafkaStorageError);
    assert_eq!(apply(&mut partition, &registration(1, 1, &[ME], &[ME])), Applied::NotLeading);
    assert!(!partition.start_serving(LeaderEpoch(1)));
    let _ = sync(&mut partition, 3);
    assert_eq!(high_watermark(&partition), 0, "a failed replica commits nothing");
}

#[test]
fn a_checkpointed_high_watermark_is_clipped_to_what_there_is() {
    for (checkpoint, expected) in [(0, 5), (7, 7), (99, 8)] {
        let high_watermark = HighWatermark(Offset(checkpoint));
        let partition = Partition::open(
            config(Counting::WhenSynced, 1),
            Recovered { high_watermark, ..recovered(5, 8, 20) },
        );
        assert_eq!(self::high_watermark(&partition), expected);
        assert_eq!(partition.positions().last_stable, LastStable(Offset(expected)));
    }
}

// Reading.

#[test]
fn a_consumer_reads_up_to_the_high_watermark_and_waits_for_more() {
    let mut partition = sole_leader(Counting::WhenSynced);
    append(&mut partition, &batch(3), Acks::All).unwrap();
    let _ = sync(&mut partition, 3).unwrap();
    append(&mut partition, &batch(3), Acks::All).unwrap();
    let plan = partition.plan_read(&read(3)).unwrap();
    assert_eq!((plan.limit, plan.diverging), (Offset(3), None));
    assert_eq!(plan.more, Wait { position: Position::HighWatermark, until: Offset(4) });
    assert!(!plan.more.is_over(&partition.positions()));
    let _ = sync(&mut partition, 6).unwrap();
    assert!(plan.more.is_over(&partition.positions()));
    assert_eq!(plan.limit, plan.positions.high_watermark.offset(), "the plan does not move (KAFKA-9835)");
}

#[test]
fn read_committed_stops_at_an_open_transaction() {
    let open = BatchHeader { attributes: 1 << 4, base_offset: Offset(4), ..idempotent(0, 2) };
    let mut producers = ProducerTable::default();
    producers.fold(&open);
    let mut partition =
        Partition::open(config(Counting::WhenSynced, 1), Recovered { producers, ..recovered(0, 9, 9) });
    lead(&mut partition, 1);
    let committed = ReadRequest { isolation: Isolation::ReadCommitted, ..read(0) };
    assert_eq!(partition.plan_read(&committed).unwrap().limit, Offset(4));
    assert_eq!(partition.plan_read(&read(0)).unwrap().limit, Offset(9));
    let bounds = partition.offset_bounds(ANY_EPOCH, Isolation::ReadCommitted).unwrap();
    assert_eq!(bounds.latest(), Ok(Offset(4)));
    // DeleteRecords may cut into the transaction; the last stable offset stays within the log.
    let advance = partition.raise_log_start(Offset(6)).unwrap();
    assert_eq!(advance.after.last_stable, LastStable(Offset(6)));
}

#[test]
fn only_offsets_outside_the_log_are_out_of_range() {
    let mut partition = sole_leader(Counting::WhenSynced);
    append(&mut partition, &batch(9), Acks::All).unwrap();
    let _ = sync(&mut partition, 5).unwrap();
    let _ = partition.raise_log_start(Offset(2)).unwrap();
    for (offset, fits) in [(-1, false), (1, false), (2, true), (5, true), (9, true), (10, false)] {
        assert_eq!(partition.plan_read(&read(offset)).is_ok(), fits, "offset {offset}");
    }
    assert_eq!(unread(partition.plan_read(&read(1))), ErrorCode::OffsetOutOfRange);
}

#[test]
fn kip_320_a_client_with_another_leader_epoch_is_told() {
    let mut partition = sole_leader(Counting::WhenSynced);
    lead(&mut partition, 4);
    let with = |epoch| ReadRequest { current_leader_epoch: LeaderEpoch(epoch), ..read(0) };
    assert_eq!(unread(partition.plan_read(&with(3))), ErrorCode::FencedLeaderEpoch);
    assert_eq!(unread(partition.plan_read(&with(5))), ErrorCode::UnknownLeaderEpoch);
    assert!(partition.plan_read(&with(4)).is_ok());
    assert_eq!(unread(partition.epoch_end(LeaderEpoch(3), LeaderEpoch(0))), ErrorCode::FencedLeaderEpoch);
    let bounds = partition.offset_bounds(LeaderEpoch(5), Isolation::ReadUncommitted);
    assert_eq!(unread(bounds), ErrorCode::UnknownLeaderEpoch);
}

#[test]
fn f1_a_log_that_went_on_differently_is_told_where_it_parts() {
    let entries = [(2, 0), (5, 10)];
    let entries =
        entries.map(|(epoch, start)| EpochEntry { epoch: LeaderEpoch(epoch), start_offset: Offset(start) });
    let epochs = EpochCache::from_entries(entries.to_vec()).unwrap();
    let mut partition =
        Partition::open(config(Counting::WhenSynced, 1), Recovered { epochs, ..recovered(0, 20, 20) });
    lead(&mut partition, 6);
    let fetch = |epoch, offset| {
        let request = ReadRequest { last_fetched_epoch: LeaderEpoch(epoch), ..read(offset) };
        partition.plan_read(&request).map(|plan| plan.diverging.map(|end| (end.epoch.0, end.end_offset.0)))
    };
    assert_eq!(fetch(2, 10), Ok(None));
    assert_eq!(fetch(2, 11), Ok(Some((2, 10))), "the epoch ended before");
    assert_eq!(fetch(3, 5), Ok(Some((2, 10))), "an epoch that this log lacks");
    assert_eq!(fetch(2, 99), Ok(Some((2, 10))), "even beyond the log end");
    assert_eq!(unread(fetch(7, 5)), ErrorCode::OffsetOutOfRange, "an epoch nobody knows");
    let end = partition.epoch_end(ANY_EPOCH, LeaderEpoch(5)).unwrap();
    assert_eq!(end, Some(EpochEnd { epoch: LeaderEpoch(5), end_offset: Offset(20) }));
}

#[test]
fn kafka_12996_below_the_log_start_epochs_do_not_matter() {
    let mut partition = sole_leader(Counting::WhenAppended);
    append(&mut partition, &batch(9), Acks::All).unwrap();
    let _ = partition.raise_log_start(Offset(5)).unwrap();
    lead(&mut partition, 2);
    let request = ReadRequest { last_fetched_epoch: LeaderEpoch(1), ..read(4) };
    assert_eq!(unread(partition.plan_read(&request)), ErrorCode::OffsetOutOfRange);
}

#[test]
fn r7_latest_is_not_known_before_the_high_watermark_reaches_the_epoch() {
    let mut partition = Partition::open(config(Counting::WhenSynced, 1), recovered(0, 6, 10));
    lead(&mut partition, 1);
    let bounds =
        |partition: &Partition| partition.offset_bounds(ANY_EPOCH, Isolation::ReadUncommitted).unwrap();
    assert_eq!(unread(bounds(&partition).latest()), ErrorCode::OffsetNotAvailable);
    assert_eq!(bounds(&partition).visible(Some(Offset(5))), Ok(Some(Offset(5))));
    assert_eq!(unread(bounds(&partition).visible(Some(Offset(6)))), ErrorCode::OffsetNotAvailable);
    assert_eq!(unread(bounds(&partition).visible(None)), ErrorCode::OffsetNotAvailable);
    let _ = sync(&mut partition, 10).unwrap();
    assert_eq!(bounds(&partition).latest(), Ok(Offset(10)));
    assert_eq!(bounds(&partition).visible(Some(Offset(10))), Ok(None));
    assert_eq!(bounds(&partition).visible(None), Ok(None));
}

#[test]
fn kip_320_the_log_start_is_told_with_its_epoch() {
    let entries = [(2, 0), (5, 10)];
    let entries =
        entries.map(|(epoch, start)| EpochEntry { epoch: LeaderEpoch(epoch), start_offset: Offset(start) });
    let epochs = EpochCache::from_entries(entries.to_vec()).unwrap();
    let recovered = Recovered { epochs, ..recovered(0, 20, 20) };
    let mut partition = Partition::open(config(Counting::WhenSynced, 1), recovered);
    lead(&mut partition, 6);
    let first = |partition: &Partition| {
        let bounds = partition.offset_bounds(ANY_EPOCH, Isolation::ReadUncommitted).unwrap();
        (bounds.log_start, bounds.log_start_epoch)
    };
    assert_eq!(first(&partition), (LogStart(Offset(0)), LeaderEpoch(2)));
    let _ = partition.raise_log_start(Offset(12)).unwrap();
    assert_eq!(first(&partition), (LogStart(Offset(12)), LeaderEpoch(5)));
}

#[test]
fn kafka_5634_the_log_start_does_not_pass_the_high_watermark() {
    let mut partition = sole_leader(Counting::WhenSynced);
    append(&mut partition, &batch(9), Acks::All).unwrap();
    let _ = sync(&mut partition, 5).unwrap();
    for offset in [6, -1, i64::MAX, i64::MIN] {
        let error = partition.raise_log_start(Offset(offset)).unwrap_err();
        assert_eq!(error.error_code(), ErrorCode::OffsetOutOfRange);
    }
    assert_eq!(partition.raise_log_start(Offset(5)).unwrap().after.log_start, LogStart(Offset(5)));
    assert!(!partition.raise_log_start(Offset(3)).unwrap().moved());
}

// Everything at random.

#[derive(Debug, Clone)]
enum Step {
    Append { sequence_gap: bool, count: i32, acks: Acks },
    Sync { back: i64 },
    Epoch,
    Isr { shrunk: bool },
    RaiseLogStart { back: i64 },
    Restart,
}

fn step() -> impl Strategy<Value = Step> {
    let acks = prop::sample::select(vec![Acks::None, Acks::Leader, Acks::All]);
    prop_oneof![
        8 => (prop::bool::weighted(0.1), 1..5i32, acks)
            .prop_map(|(sequence_gap, count, acks)| Step::Append { sequence_gap, count, acks }),
        5 => (0..6i64).prop_map(|back| Step::Sync { back }),
        1 => Just(Step::Epoch),
        2 => any::<bool>().prop_map(|shrunk| Step::Isr { shrunk }),
        1 => (0..6i64).prop_map(|back| Step::RaiseLogStart { back }),
        1 => Just(Step::Restart),
    ]
}

/// A partition with a log that is a list of headers, and with those who wait for answers.
struct Replica {
    partition: Partition,
    log: Vec<BatchHeader>,
    counting: Counting,
    /// What a sync has covered.
    durable_end: i64,
    registration: Registration,
    /// acks and end of those who wait.
    waiters: Waiters<(Acks, Offset)>,
    /// The greatest high watermark since the last restart.
    shown: i64,
    next_sequence: i32,
}

impl Replica {
    fn open(counting: Counting) -> Self {
        let mut partition = Partition::open(config(counting, 2), recovered(0, 0, 0));
        let registration = registration(0, 0, &[ME, OTHER], &[ME]);
        assert!(matches!(apply(&mut partition, &registration), Applied::Elected { .. }));
        assert!(partition.start_serving(LeaderEpoch(0)));
        let (waiters, log) = (Waiters::new(1000), Vec::new());
        Self { partition, log, counting, durable_end: 0, registration, waiters, shown: 0, next_sequence: 0 }
    }

    /// What the shell does with the outcome of a step, and what must hold after it.
    fn settle(&mut self, advance: Advance) {
        for (acks, end) in self.waiters.release(&advance.after) {
            let counts_up_to = match self.counting {
                Counting::WhenSynced => self.durable_end,
                Counting::WhenAppended => self.log.last().map_or(0, |last| last.next_offset().0),
            };
            assert!(end.0 <= counts_up_to, "acks={acks:?} was answered before its record counted");
            assert!(acks == Acks::Leader || self.registration.isr.len() >= self.min_isr());
        }
        if advance.under_min_isr {
            self.waiters.take_position(Position::HighWatermark);
        }
        let committed = advance.after.high_watermark.offset().0;
        assert!(committed >= self.shown);
        if self.registration.isr.len() < self.min_isr() {
            assert_eq!(committed, self.shown, "the high watermark moved below min ISR");
        } else {
            assert_eq!(committed, advance.after.counted_end.offset().0);
        }
        self.shown = committed;
    }

    fn min_isr(&self) -> usize {
        2.min(self.registration.replicas.len())
    }

    fn append(&mut self, header: &BatchHeader, acks: Acks) {
        let Ok(Prepared::Append { base_offset, leader_epoch }) = self.partition.prepare_append(header, acks)
        else {
            return;
        };
        let stamped = BatchHeader { base_offset, partition_leader_epoch: leader_epoch, ..*header };
        self.log.push(stamped);
        self.next_sequence = header.base_sequence + header.last_offset_delta + 1;
        let advance = self.partition.appended(&stamped);
        if let Some(wait) = self.partition.wait_for(acks, stamped.next_offset()) {
            self.waiters.insert(wait, (acks, stamped.next_offset())).unwrap();
        }
        self.settle(advance);
    }

    fn register(&mut self, change: impl FnOnce(&mut Registration)) {
        self.registration.partition_epoch.0 += 1;
        change(&mut self.registration);
        match apply(&mut self.partition, &self.registration) {
            Applied::Elected { advance, .. } => {
                self.settle(advance);
                assert!(self.partition.start_serving(self.registration.leader_epoch));
            }
            Applied::Updated(advance) => self.settle(advance),
            other => panic!("{other:?}"),
        }
    }

    /// Loses what was not synced, if records count when they are synced.
    fn restart(&mut self) {
        let kept = match self.counting {
            Counting::WhenSynced => self.durable_end,
            Counting::WhenAppended => i64::MAX,
        };
        self.log.retain(|header| header.next_offset().0 <= kept);
        let before = self.partition.positions();
        let (mut producers, mut epochs) = (ProducerTable::default(), self.partition.epochs().clone());
        self.log.iter().for_each(|header| producers.fold(header));
        self.log.iter().for_each(|header| _ = epochs.fold(header));
        let end = self.log.last().map_or(0, |last| last.next_offset().0).max(before.log_start.offset().0);
        self.partition = Partition::open(
            config(self.counting, 2),
            Recovered {
                high_watermark: before.high_watermark,
                epochs,
                producers,
                ..recovered(before.log_start.offset().0, end, end)
            },
        );
        assert_eq!(
            self.partition.positions().high_watermark,
            before.high_watermark,
            "what was shown is still there"
        );
        self.durable_end = end;
        self.waiters.take_all();
        assert_eq!(apply(&mut self.partition, &self.registration), Applied::NotLeading);
        self.next_sequence = 0;
        if let Some(last) = self.log.last() {
            self.next_sequence = last.base_sequence + last.last_offset_delta + 1;
        }
        self.register(|registration| registration.leader_epoch.0 += 1);
    }
}

proptest! {
    /// Positions in order (asserted inside), nothing acknowledged or shown before it counts or below min ISR,
    /// producers a fold over the log, one leader epoch per incarnation.
    #[test]
    fn any_sequence_of_steps_keeps_the_promises(
        synced in any::<bool>(),
        steps in prop::collection::vec(step(), 1..80),
    ) {
        let counting = if synced { Counting::WhenSynced } else { Counting::WhenAppended };
        let mut replica = Replica::open(counting);
        for step in steps {
            match step {
                Step::Append { sequence_gap, count, acks } => {
                    let sequence = replica.next_sequence + i32::from(sequence_gap);
                    replica.append(&idempotent(sequence, count), acks);
                }
                Step::Sync { back } => {
                    let end = (replica.partition.positions().log_end.offset().0 - back).max(0);
                    // Syncs cover whole batches.
                    let mut ends = replica.log.iter().map(|header| header.next_offset().0);
                    let end = ends.rfind(|&whole| whole <= end).unwrap_or(0);
                    replica.durable_end = replica.durable_end.max(end);
                    let epoch = replica.partition.leader_epoch();
                    if let Some(advance) = replica.partition.synced(epoch, 3, Offset(end)) {
                        replica.settle(advance);
                    }
                }
                Step::Epoch => replica.register(|registration| registration.leader_epoch.0 += 1),
                Step::Isr { shrunk } => replica.register(|registration| {
                    // Min ISR is 2: one replica of one is enough, one of two is not.
                    registration.replicas = if shrunk { vec![ME, OTHER] } else { vec![ME] };
                }),
                Step::RaiseLogStart { back } => {
                    let to = (replica.partition.positions().high_watermark.offset().0 - back).max(0);
                    let advance = replica.partition.raise_log_start(Offset(to)).unwrap();
                    replica.settle(advance);
                }
                Step::Restart => replica.restart(),
            }
            let mut folded = ProducerTable::default();
            replica.log.iter().for_each(|header| folded.fold(header));
            prop_assert_eq!(replica.partition.producers(), &folded);
        }
    }
}
