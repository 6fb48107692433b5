//! The follower: fetching, replicating, truncating, and what it serves.

use super::*;
use crate::types::ProducerEpoch;

const NO_HEADERS: &[BatchHeader] = &[];

fn epochs(entries: &[(i32, i64)]) -> EpochCache {
    let entry = |&(epoch, start)| EpochEntry { epoch: LeaderEpoch(epoch), start_offset: Offset(start) };
    EpochCache::from_entries(entries.iter().map(entry).collect()).unwrap()
}

fn follow(partition: &mut Partition, leader_epoch: i32) -> Applied {
    let both = &[ME, OTHER];
    let registration = registration(leader_epoch, leader_epoch, both, both);
    apply(partition, &Registration { leader: OTHER, ..registration })
}

/// Follows OTHER in epoch 5 with a log of ten records of epoch 2, of which six are known to be committed.
fn follower(counting: Counting) -> Partition {
    follower_of(counting, recovered(0, 10, 10), &[(2, 0)])
}

fn follower_of(counting: Counting, recovered: Recovered, entries: &[(i32, i64)]) -> Partition {
    let high_watermark = HighWatermark(Offset(6));
    let recovered = Recovered { epochs: epochs(entries), high_watermark, ..recovered };
    let mut partition = Partition::open(config(counting, 1), recovered);
    assert_eq!(follow(&mut partition, 5), Applied::Following { leader: OTHER, restart: true });
    partition
}

fn stamped(epoch: i32, base_offset: i64, count: i32) -> BatchHeader {
    let partition_leader_epoch = LeaderEpoch(epoch);
    BatchHeader { base_offset: Offset(base_offset), partition_leader_epoch, ..batch(count) }
}

fn answer(high_watermark: i64, batches: &[BatchHeader]) -> FetchAnswer<'_> {
    FetchAnswer {
        diverging: None,
        high_watermark: HighWatermark(Offset(high_watermark)),
        log_start: LogStart(Offset(0)),
        batches,
    }
}

fn parting(epoch: i32, end_offset: i64) -> FetchAnswer<'static> {
    let end = EpochEnd { epoch: LeaderEpoch(epoch), end_offset: Offset(end_offset) };
    FetchAnswer { diverging: Some(end), ..answer(99, NO_HEADERS) }
}

fn answered(partition: &mut Partition, answer: &FetchAnswer<'_>) -> Replication {
    let request = partition.next_fetch().unwrap();
    partition.fetch_answered(&request, answer).unwrap()
}

/// What the shell does with an answer that brings records.
fn replicate(partition: &mut Partition, answer: &FetchAnswer<'_>) -> Advance {
    let decision = answered(partition, answer);
    let Replication::Append { batches } = decision else { panic!("{decision:?}") };
    partition.replicated(answer, batches)
}

fn cut(partition: &mut Partition, log_end: i64, generation: u64) -> Advance {
    let (log_end, producers) = (LogEnd(Offset(log_end)), ProducerTable::default());
    partition.truncated(TruncatedLog { log_end, generation, producers })
}

fn truncates(to: i64, below_high_watermark: bool) -> Replication {
    Replication::Truncate { truncation: Truncation::To(Offset(to)), below_high_watermark }
}

fn starts_at(offset: i64, below_high_watermark: bool) -> Replication {
    Replication::Truncate { truncation: Truncation::StartAt(Offset(offset)), below_high_watermark }
}

fn at(partition: &Partition) -> (i64, i64, i64, i64) {
    let Positions { log_start, high_watermark, counted_end, log_end, .. } = partition.positions();
    (log_start.0.0, high_watermark.0.0, counted_end.0.0, log_end.0.0)
}

// Fetching and appending.

#[test]
fn a_fetch_names_the_counted_end_and_waits_until_that_is_the_log_end() {
    let mut partition = follower(Counting::WhenSynced);
    let first = FollowerFetch {
        leader: OTHER,
        leader_epoch: LeaderEpoch(5),
        fetch_offset: Offset(10),
        last_fetched_epoch: LeaderEpoch(2),
        log_start: LogStart(Offset(0)),
    };
    assert_eq!(partition.next_fetch(), Some(first));
    let _ = replicate(&mut partition, &answer(8, &[stamped(2, 10, 2), stamped(5, 12, 3)]));
    assert_eq!(partition.next_fetch(), None, "what was fetched is not synced");
    let _ = partition.synced(LeaderEpoch(5), 3, Offset(12)).unwrap();
    assert_eq!(partition.next_fetch(), None);
    let _ = partition.synced(LeaderEpoch(5), 3, Offset(15)).unwrap();
    let (fetch_offset, last_fetched_epoch) = (Offset(15), LeaderEpoch(5));
    assert_eq!(partition.next_fetch(), Some(FollowerFetch { fetch_offset, last_fetched_epoch, ..first }));
    let _ = replicate(&mut partition, &answer(15, NO_HEADERS));
    assert_eq!(partition.next_fetch().unwrap().last_fetched_epoch, LeaderEpoch(5), "KAFKA-15510");

    let unsynced = Recovered { durable_end: Offset(7), ..recovered(0, 7, 10) };
    let mut restarted = follower_of(Counting::WhenSynced, unsynced, &[(2, 0)]);
    assert_eq!(restarted.next_fetch(), None, "what was found at the start is synced first");
    let _ = restarted.synced(LeaderEpoch(5), 3, Offset(10)).unwrap();
    assert!(restarted.next_fetch().is_some());
}

#[test]
fn the_high_watermark_is_the_leaders_as_far_as_it_counts_here() {
    let mut partition = follower(Counting::WhenSynced);
    let _ = replicate(&mut partition, &answer(8, NO_HEADERS));
    assert_eq!(at(&partition), (0, 8, 10, 10));
    let _ = replicate(&mut partition, &answer(13, &[stamped(5, 10, 4)]));
    assert_eq!(at(&partition), (0, 10, 10, 14), "clipped");
    let advance = partition.synced(LeaderEpoch(5), 3, Offset(14)).unwrap();
    assert_eq!(advance.after.high_watermark, HighWatermark(Offset(13)), "and taken up later");
    let _ = replicate(&mut partition, &answer(-1, NO_HEADERS));
    assert_eq!(at(&partition), (0, 13, 14, 14), "never lowered");

    let mut partition = follower(Counting::WhenAppended);
    let _ = replicate(&mut partition, &answer(13, &[stamped(5, 10, 4)]));
    assert_eq!(at(&partition), (0, 13, 14, 14));
}

#[test]
fn what_an_earlier_leader_said_is_committed_is_not_held_against_this_ones_log() {
    let mut partition = follower(Counting::WhenSynced);
    let _ = replicate(&mut partition, &answer(14, &[stamped(5, 10, 4)]));
    let _ = follow(&mut partition, 6);
    let _ = partition.synced(LeaderEpoch(5), 3, Offset(14)).unwrap();
    assert_eq!(at(&partition), (0, 10, 14, 14));
}

#[test]
fn epochs_and_producers_follow_the_log() {
    let mut partition = follower(Counting::WhenAppended);
    let produced = BatchHeader {
        producer_id: ProducerId(5),
        producer_epoch: ProducerEpoch(0),
        base_sequence: 7,
        ..stamped(5, 12, 3)
    };
    let before = partition.epochs_revision();
    let _ = replicate(&mut partition, &answer(10, &[stamped(3, 10, 2), produced]));
    assert_eq!(partition.epochs(), &epochs(&[(2, 0), (3, 10), (5, 12)]));
    assert_eq!(partition.epochs_revision(), before + 2);
    assert_eq!(partition.producers().len(), 1);
    let _ = replicate(&mut partition, &answer(10, &[stamped(5, 15, 2)]));
    assert_eq!(partition.epochs_revision(), before + 2, "nothing new to save");
    lead(&mut partition, 6);
    assert!(partition.epochs_revision() > before + 2);
    let again = BatchHeader { base_offset: Offset(0), ..produced };
    let prepared = partition.prepare_append(&again, Acks::All).unwrap();
    assert!(matches!(prepared, Prepared::Duplicate { base_offset: Offset(12), .. }));
}

#[test]
fn kafka_18991_an_answer_to_another_fetch_is_dropped() {
    let mut partition = follower(Counting::WhenAppended);
    let request = partition.next_fetch().unwrap();
    let batches = [stamped(2, 10, 1)];
    let _ = follow(&mut partition, 6);
    assert_eq!(partition.fetch_answered(&request, &answer(9, &batches)), Ok(Replication::Nothing));
    assert_eq!(partition.fetch_answered(&request, &parting(1, 0)), Ok(Replication::Nothing));
    let gone = (LogStart(Offset(50)), LogEnd(Offset(60)));
    assert_eq!(partition.fetch_out_of_range(&request, gone.0, gone.1), Ok(Replication::Nothing));
    assert_eq!(partition.fetch_refused(&request, ErrorCode::FencedLeaderEpoch), AfterError::Nothing);

    let request = partition.next_fetch().unwrap();
    let _ = replicate(&mut partition, &answer(9, &batches));
    assert_eq!(partition.fetch_answered(&request, &answer(9, &batches)), Ok(Replication::Nothing));
    assert_eq!(at(&partition), (0, 9, 11, 11));

    // An epoch without records was cut since: the offset is the same, the epoch before it is not.
    let after_another =
        FollowerFetch { last_fetched_epoch: LeaderEpoch(4), ..partition.next_fetch().unwrap() };
    assert_eq!(partition.fetch_answered(&after_another, &parting(3, 5)), Ok(Replication::Nothing));
}

#[test]
fn kafka_18723_nothing_of_a_later_epoch_is_appended() {
    let mut partition = follower(Counting::WhenAppended);
    let batches = [stamped(5, 10, 1), stamped(6, 11, 1), stamped(5, 12, 1)];
    assert_eq!(answered(&mut partition, &answer(9, &batches)), Replication::Append { batches: 1 });
    let advance = partition.replicated(&answer(9, &batches), 1);
    assert_eq!(advance.after.log_end, LogEnd(Offset(11)));
}

#[test]
fn batches_that_cannot_stand_there_are_refused() {
    let bad = [
        vec![stamped(5, 9, 1)],
        vec![stamped(5, 8, 4)],
        vec![stamped(5, -3, 1)],
        vec![stamped(5, 10, 0)],
        vec![BatchHeader { last_offset_delta: i32::MIN, ..stamped(5, 10, 1) }],
        vec![stamped(1, 10, 1)],
        vec![stamped(-1, 10, 1)],
        vec![stamped(5, i64::MAX - 1, 1)],
        vec![stamped(5, i64::MAX, 1)],
        vec![stamped(5, 10, 3), stamped(5, 12, 1)],
        vec![stamped(5, 10, 3), stamped(4, 13, 1)],
    ];
    for batches in bad {
        let mut partition = follower(Counting::WhenAppended);
        let request = partition.next_fetch().unwrap();
        let judged = partition.fetch_answered(&request, &answer(9, &batches));
        assert!(matches!(judged, Err(BadAnswer::Batch { .. })), "{batches:?}: {judged:?}");
        assert_eq!(partition.next_fetch(), Some(request), "it is asked again");
    }
}

#[test]
fn compaction_leaves_gaps() {
    let mut partition = follower(Counting::WhenAppended);
    let _ = replicate(&mut partition, &answer(9, &[stamped(3, 14, 2), stamped(5, 20, 1)]));
    assert_eq!(at(&partition), (0, 9, 21, 21));
    assert_eq!(partition.epochs(), &epochs(&[(2, 0), (3, 14), (5, 20)]));
}

#[test]
fn an_epoch_that_left_no_record_gives_way_to_an_earlier_one_that_did() {
    // It led epoch 4 and lost all of it with the power, and of epochs 2 and 3 the end.
    let mut partition = follower_of(Counting::WhenAppended, recovered(0, 10, 10), &[(2, 0), (4, 30)]);
    assert_eq!(partition.epochs(), &epochs(&[(2, 0), (4, 10)]));
    assert_eq!(partition.next_fetch().unwrap().last_fetched_epoch, LeaderEpoch(4));
    let _ = replicate(&mut partition, &answer(9, &[stamped(2, 10, 5), stamped(3, 15, 5)]));
    assert_eq!(partition.epochs(), &epochs(&[(2, 0), (3, 15)]));
}

#[test]
fn the_log_start_follows_the_leaders_but_not_past_the_high_watermark() {
    let mut partition = follower(Counting::WhenSynced);
    let told = |start, high_watermark, batches| FetchAnswer {
        log_start: LogStart(Offset(start)),
        ..answer(high_watermark, batches)
    };
    let _ = replicate(&mut partition, &told(4, 7, NO_HEADERS));
    assert_eq!(at(&partition), (4, 7, 10, 10));
    let batches = [stamped(5, 10, 4)];
    let _ = replicate(&mut partition, &told(12, 14, &batches));
    assert_eq!(at(&partition), (10, 10, 10, 14));
    let _ = partition.synced(LeaderEpoch(5), 3, Offset(14)).unwrap();
    assert_eq!(at(&partition), (12, 14, 14, 14), "the rest follows");
    let _ = replicate(&mut partition, &told(-1, 14, NO_HEADERS));
    assert_eq!(at(&partition), (12, 14, 14, 14));
}

// Truncation.

#[test]
fn f2_where_the_logs_part_it_truncates_and_ignores_the_high_watermark_of_that_answer() {
    let mut partition = follower_of(Counting::WhenSynced, recovered(0, 10, 10), &[(2, 0), (4, 8)]);
    assert_eq!(answered(&mut partition, &parting(2, 9)), truncates(8, false), "this log has less of epoch 2");
    assert_eq!(partition.truncating(), Some(Truncation::To(Offset(8))));
    assert_eq!(at(&partition), (0, 6, 10, 10), "KAFKA-14704");
    assert_eq!(partition.next_fetch(), None);
    assert_eq!(partition.synced(LeaderEpoch(5), 3, Offset(10)), None);
    assert_eq!(cut(&mut partition, 8, 5).after.high_watermark, HighWatermark(Offset(6)), "not lowered");
    assert_eq!(at(&partition), (0, 6, 8, 8));
    assert_eq!(partition.epochs(), &epochs(&[(2, 0)]));
    assert_eq!(partition.synced(LeaderEpoch(5), 3, Offset(8)), None, "a sync of before the truncation");
    let next = partition.next_fetch().unwrap();
    assert_eq!((next.fetch_offset, next.last_fetched_epoch), (Offset(8), LeaderEpoch(2)));
    let _ = replicate(&mut partition, &answer(8, NO_HEADERS));
    assert_eq!(at(&partition), (0, 8, 8, 8));
}

#[test]
fn the_leaders_end_of_the_epoch_counts_if_it_has_less_of_it() {
    let mut partition = follower(Counting::WhenAppended);
    assert_eq!(answered(&mut partition, &parting(2, 7)), truncates(7, false));
    let _ = cut(&mut partition, 7, 5);
    assert_eq!(partition.epochs(), &epochs(&[(2, 0)]));
}

#[test]
fn kip_279_an_epoch_that_only_the_leader_has_leads_to_an_earlier_one() {
    let entries = &[(1, 0), (2, 5), (4, 8)];
    let mut partition = follower_of(Counting::WhenAppended, recovered(0, 10, 10), entries);
    // The leader has epoch 3 from 6 to 20 behind epoch 1.
    assert_eq!(answered(&mut partition, &parting(3, 20)), truncates(8, false));
    let _ = cut(&mut partition, 8, 5);
    assert_eq!(partition.next_fetch().unwrap().last_fetched_epoch, LeaderEpoch(2));
    assert_eq!(answered(&mut partition, &parting(1, 6)), truncates(5, true), "epoch 1 has 5 records here");
    assert_eq!(cut(&mut partition, 5, 7).after.high_watermark, HighWatermark(Offset(5)));
}

#[test]
fn kafka_10706_an_epoch_without_records_goes_though_the_log_stays() {
    let mut partition = follower_of(Counting::WhenSynced, recovered(0, 10, 10), &[(2, 0)]);
    lead(&mut partition, 6);
    let _ = follow(&mut partition, 7);
    assert_eq!(partition.next_fetch().unwrap().last_fetched_epoch, LeaderEpoch(6));
    // The leader was elected with more of epoch 2.
    assert_eq!(answered(&mut partition, &parting(2, 15)), truncates(10, false));
    let advance = cut(&mut partition, 10, 3);
    assert!(!advance.moved());
    assert_eq!(partition.epochs(), &epochs(&[(2, 0)]));
    assert_eq!(partition.next_fetch().unwrap().last_fetched_epoch, LeaderEpoch(2));
}

#[test]
fn a_cut_takes_whole_batches() {
    let mut partition = follower(Counting::WhenAppended);
    assert_eq!(answered(&mut partition, &parting(2, 8)), truncates(8, false));
    let advance = cut(&mut partition, 5, 5);
    assert_eq!(at(&partition), (0, 5, 5, 5));
    assert_eq!(advance.before.high_watermark, HighWatermark(Offset(6)));
}

#[test]
fn a_log_that_shares_nothing_starts_where_the_leader_does() {
    let mut partition = follower_of(Counting::WhenAppended, recovered(4, 10, 10), &[(2, 4)]);
    let foreign = FetchAnswer { log_start: LogStart(Offset(1)), ..parting(2, 3) };
    assert_eq!(answered(&mut partition, &foreign), starts_at(1, true));
    let _ = cut(&mut partition, 1, 5);
    assert_eq!(at(&partition), (1, 1, 1, 1));
    assert_eq!(partition.epochs(), &EpochCache::default());
    let next = partition.next_fetch().unwrap();
    assert_eq!((next.fetch_offset, next.last_fetched_epoch), (Offset(1), LeaderEpoch::NONE));
}

#[test]
fn a_log_that_parts_before_the_leaders_log_starts_begins_there() {
    for (end_offset, expected) in [(6, starts_at(7, false)), (7, truncates(7, false))] {
        let mut partition = follower(Counting::WhenSynced);
        let told = FetchAnswer { log_start: LogStart(Offset(7)), ..parting(2, end_offset) };
        assert_eq!(answered(&mut partition, &told), expected);
    }
}

#[test]
fn a_point_of_divergence_at_which_nothing_diverges_is_refused() {
    for (epoch, end_offset) in [(2, 10), (2, 11), (3, 5), (-1, 5), (2, -1)] {
        let mut partition = follower(Counting::WhenAppended);
        let request = partition.next_fetch().unwrap();
        let judged = partition.fetch_answered(&request, &parting(epoch, end_offset));
        assert!(matches!(judged, Err(BadAnswer::Divergence { .. })), "{epoch}, {end_offset}: {judged:?}");
        assert_eq!(partition.truncating(), None);
    }
}

#[test]
fn a_registration_waits_until_the_log_is_cut() {
    let mut partition = follower(Counting::WhenSynced);
    assert_eq!(answered(&mut partition, &parting(2, 7)), truncates(7, false));
    let elected = registration(6, 6, &[ME, OTHER], &[ME, OTHER]);
    assert_eq!(apply(&mut partition, &elected), Applied::AfterTruncation);
    assert_eq!(partition.leader_epoch(), LeaderEpoch(5));
    let _ = cut(&mut partition, 7, 5);
    assert!(matches!(apply(&mut partition, &elected), Applied::Elected { epoch_start: Offset(7), .. }));
}

#[test]
fn out_of_range_a_log_that_the_leader_has_left_behind_starts_anew() {
    let mut partition = follower(Counting::WhenSynced);
    let request = partition.next_fetch().unwrap();
    assert_eq!(partition.fetch_refused(&request, ErrorCode::OffsetOutOfRange), AfterError::AskForEnds);
    let ends = |start, end| (LogStart(Offset(start)), LogEnd(Offset(end)));
    let (start, end) = ends(10, 12);
    let moved_on = partition.fetch_out_of_range(&request, start, end);
    assert_eq!(moved_on, Ok(Replication::Nothing), "what it asks for is there by now");
    let (start, end) = ends(50, 60);
    assert_eq!(partition.fetch_out_of_range(&request, start, end), Ok(starts_at(50, false)));
    let _ = cut(&mut partition, 50, 5);
    assert_eq!(at(&partition), (50, 50, 50, 50), "what lies before was committed, and deleted");
    let bad = partition.fetch_out_of_range(
        &partition.next_fetch().unwrap(),
        LogStart(Offset(-1)),
        LogEnd(Offset(-1)),
    );
    assert!(bad.is_err());
}

#[test]
fn out_of_range_a_leader_that_was_elected_uncleanly_has_less() {
    let mut partition = follower(Counting::WhenSynced);
    let request = partition.next_fetch().unwrap();
    let decided = partition.fetch_out_of_range(&request, LogStart(Offset(0)), LogEnd(Offset(3)));
    assert_eq!(decided, Ok(truncates(3, true)));
    assert_eq!(cut(&mut partition, 3, 5).after.high_watermark, HighWatermark(Offset(3)));
}

#[test]
fn a_leaders_log_may_start_within_a_batch() {
    let mut partition = follower_of(Counting::WhenAppended, recovered(10, 10, 10), &[]);
    let batches = [stamped(3, 8, 5)];
    let told = FetchAnswer { log_start: LogStart(Offset(10)), ..answer(13, &batches) };
    assert_eq!(answered(&mut partition, &told), starts_at(8, false));
    let _ = cut(&mut partition, 8, 5);
    assert_eq!(partition.next_fetch().unwrap().fetch_offset, Offset(10), "at 8 the leader has nothing");
    let _ = replicate(&mut partition, &answer(13, NO_HEADERS));
    assert_eq!(partition.next_fetch().unwrap().fetch_offset, Offset(10));
    let _ = replicate(&mut partition, &told);
    assert_eq!(at(&partition), (10, 13, 13, 13));
    assert_eq!(partition.next_fetch().unwrap().fetch_offset, Offset(13));
}

#[test]
fn a_leaders_log_may_move_on_before_the_batch_that_it_started_within_has_come() {
    let mut partition = follower_of(Counting::WhenAppended, recovered(10, 10, 10), &[]);
    assert_eq!(answered(&mut partition, &answer(13, &[stamped(3, 8, 5)])), starts_at(8, false));
    let _ = cut(&mut partition, 8, 5);
    let request = partition.next_fetch().unwrap();
    let decided = partition.fetch_out_of_range(&request, LogStart(Offset(20)), LogEnd(Offset(30)));
    assert_eq!(decided, Ok(starts_at(20, false)));
    let _ = cut(&mut partition, 20, 6);
    assert_eq!(partition.next_fetch().unwrap().fetch_offset, Offset(20));
    // Another leader's log may start elsewhere.
    assert_eq!(answered(&mut partition, &answer(33, &[stamped(3, 18, 5)])), starts_at(18, false));
    let _ = cut(&mut partition, 18, 7);
    assert_eq!(partition.next_fetch().unwrap().fetch_offset, Offset(20));
    assert_eq!(follow(&mut partition, 6), Applied::Following { leader: OTHER, restart: true });
    assert_eq!(partition.next_fetch().unwrap().fetch_offset, Offset(18));
}

#[test]
fn errors_are_retried_unless_metadata_are_on_their_way() {
    let mut partition = follower(Counting::WhenSynced);
    let request = partition.next_fetch().unwrap();
    for code in [ErrorCode::UnknownLeaderEpoch, ErrorCode::NotLeaderOrFollower, ErrorCode::KafkaStorageError]
    {
        assert_eq!(partition.fetch_refused(&request, code), AfterError::Retry);
        assert_eq!(partition.next_fetch(), Some(request));
    }
    let fenced = partition.fetch_refused(&request, ErrorCode::FencedLeaderEpoch);
    assert_eq!((fenced, partition.next_fetch()), (AfterError::AwaitMetadata, None));
    assert_eq!(follow(&mut partition, 5), Applied::Following { leader: OTHER, restart: false });
    assert_eq!(partition.next_fetch(), None, "the same epoch says nothing new");
    assert_eq!(follow(&mut partition, 6), Applied::Following { leader: OTHER, restart: true });
    assert!(partition.next_fetch().is_some());
}

// Changes of roles.

#[test]
fn from_follower_to_leader_and_back_the_log_stays() {
    let mut partition = follower(Counting::WhenSynced);
    let _ = replicate(&mut partition, &answer(8, &[stamped(5, 10, 2)]));
    lead(&mut partition, 6);
    assert_eq!(at(&partition), (0, 10, 10, 12));
    append(&mut partition, &batch(3), Acks::All).unwrap();
    assert_eq!(partition.epochs(), &epochs(&[(2, 0), (5, 10), (6, 12)]));
    assert_eq!(follow(&mut partition, 7), Applied::Following { leader: OTHER, restart: true });
    assert_eq!(refused(partition.prepare_append(&batch(1), Acks::None)), ErrorCode::NotLeaderOrFollower);
    assert_eq!(at(&partition), (0, 10, 10, 15), "nothing is cut before the leader has been asked");
    let _ = partition.synced(LeaderEpoch(6), 3, Offset(15)).unwrap();
    assert_eq!(partition.next_fetch().unwrap().last_fetched_epoch, LeaderEpoch(6));
    assert_eq!(answered(&mut partition, &parting(5, 14)), truncates(12, false));
}

#[test]
fn nobody_is_followed_who_has_passed() {
    let recovered = Recovered { epochs: epochs(&[(2, 0), (4, 9)]), ..recovered(0, 10, 10) };
    let mut partition = Partition::open(config(Counting::WhenSynced, 1), recovered);
    // Metadata of before the restart, and a leader that does not know yet that it leads no more.
    assert_eq!(follow(&mut partition, 3), Applied::NotLeading);
    assert_eq!(partition.next_fetch(), None);
    assert_eq!(follow(&mut partition, 4), Applied::Following { leader: OTHER, restart: true });
}

#[test]
fn who_is_no_replica_does_not_follow() {
    let mut partition = follower(Counting::WhenSynced);
    let without_me = Registration { leader: OTHER, ..registration(6, 6, &[OTHER], &[OTHER]) };
    assert_eq!(apply(&mut partition, &without_me), Applied::NotLeading);
    assert_eq!(partition.next_fetch(), None);
}

#[test]
fn a_failed_replica_does_not_fetch() {
    let mut partition = follower(Counting::WhenSynced);
    assert_eq!(answered(&mut partition, &parting(2, 7)), truncates(7, false));
    partition.fail_storage();
    assert_eq!(partition.next_fetch(), None);
    assert_eq!(follow(&mut partition, 6), Applied::NotLeading);
    assert_eq!(partition.snapshot(Mono(0)).role, RoleName::Failed);
}

// Reading from a follower.

#[test]
fn kip_392_a_follower_serves_whoever_asks_for_it_up_to_its_own_high_watermark() {
    let mut partition = follower(Counting::WhenSynced);
    let _ = replicate(&mut partition, &answer(20, &[stamped(5, 10, 5)]));
    assert_eq!(at(&partition), (0, 10, 10, 15));
    let any = |offset| ReadRequest { from: ReadFrom::AnyReplica, ..read(offset) };
    assert_eq!(unread(partition.plan_read(&read(3))), ErrorCode::NotLeaderOrFollower, "by default");
    let plan = partition.plan_read(&any(3)).unwrap();
    assert_eq!((plan.limit, plan.diverging), (Offset(10), None));
    assert_eq!(plan.more, Wait { position: Position::HighWatermark, until: Offset(11) });
    assert_eq!(partition.plan_read(&any(15)).unwrap().limit, Offset(10), "it waits");
    assert_eq!(unread(partition.plan_read(&any(16))), ErrorCode::OffsetNotAvailable);
    assert_eq!(unread(partition.plan_read(&any(20))), ErrorCode::OffsetNotAvailable);
    assert_eq!(unread(partition.plan_read(&any(21))), ErrorCode::OffsetOutOfRange);
    assert_eq!(unread(partition.plan_read(&any(-1))), ErrorCode::OffsetOutOfRange);
    let in_epoch = |epoch| ReadRequest { current_leader_epoch: LeaderEpoch(epoch), ..any(3) };
    assert_eq!(unread(partition.plan_read(&in_epoch(4))), ErrorCode::FencedLeaderEpoch);
    assert_eq!(unread(partition.plan_read(&in_epoch(6))), ErrorCode::UnknownLeaderEpoch);
    let bounds = partition.offset_bounds(ANY_EPOCH, Isolation::ReadUncommitted);
    assert_eq!(unread(bounds), ErrorCode::NotLeaderOrFollower);
}

#[test]
fn whoever_compares_replicas_sees_all_of_any_log() {
    let mut partition = follower(Counting::WhenSynced);
    let _ = replicate(&mut partition, &answer(20, &[stamped(5, 10, 5)]));
    let any = |partition: &Partition, epoch| partition.log_bounds(LeaderEpoch(epoch), ReadFrom::AnyReplica);
    let bounds = any(&partition, 5).unwrap();
    assert_eq!((bounds.latest(), bounds.log_start.offset()), (Ok(Offset(15)), Offset(0)));
    assert_eq!(unread(any(&partition, 4)), ErrorCode::FencedLeaderEpoch);
    let leader_only = |partition: &Partition| partition.log_bounds(ANY_EPOCH, ReadFrom::Leader);
    assert_eq!(unread(leader_only(&partition)), ErrorCode::NotLeaderOrFollower);
    // Nobody leads: then most of all one wants to know who has what.
    let nobody = Registration {
        leader: BrokerId::NONE,
        isr: Vec::new(),
        ..registration(6, 6, &[ME, OTHER], &[OTHER])
    };
    assert_eq!(apply(&mut partition, &nobody), Applied::NotLeading);
    assert_eq!(any(&partition, 6).unwrap().latest(), Ok(Offset(15)));
    // A leader tells of what is not committed.
    let mut partition = Partition::open(config(Counting::WhenSynced, 1), recovered(0, 6, 10));
    lead(&mut partition, 1);
    assert_eq!(high_watermark(&partition), 6);
    assert_eq!(leader_only(&partition).unwrap().latest(), Ok(Offset(10)));
}

#[test]
fn kip_392_a_follower_tells_where_logs_part_only_below_its_high_watermark() {
    let entries = &[(1, 0), (3, 4), (4, 8)];
    let mut partition = follower_of(Counting::WhenSynced, recovered(0, 10, 10), entries);
    let after = |epoch, offset| ReadRequest {
        from: ReadFrom::AnyReplica,
        last_fetched_epoch: LeaderEpoch(epoch),
        ..read(offset)
    };
    let parts = |partition: &Partition, epoch, offset| {
        partition.plan_read(&after(epoch, offset)).map(|plan| plan.diverging.map(|end| end.end_offset.0))
    };
    assert_eq!(parts(&partition, 1, 4), Ok(None));
    assert_eq!(parts(&partition, 1, 5), Ok(Some(4)));
    assert_eq!(unread(parts(&partition, 3, 9)), ErrorCode::OffsetNotAvailable, "8 may yet be cut");
    assert_eq!(unread(parts(&partition, 5, 9)), ErrorCode::OffsetNotAvailable, "the epoch is still to come");
    assert_eq!(answered(&mut partition, &parting(3, 7)), truncates(7, false));
    assert_eq!(unread(parts(&partition, 1, 3)), ErrorCode::OffsetNotAvailable, "while it is cut");
}
