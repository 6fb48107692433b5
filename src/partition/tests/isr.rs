//! The leader and its followers: what counts, what is committed, who is in sync.

use super::*;
use crate::types::BrokerEpoch;

mod lag;

const THIRD: BrokerId = BrokerId(3);
const EVERYBODY: [BrokerId; 3] = [ME, OTHER, THIRD];
const LAG_MAX: Duration = Duration::from_secs(30);

/// Three active brokers in three racks; broker n has the epoch 100 + n.
fn brokers() -> Brokers {
    let state = |id: BrokerId| BrokerState {
        epoch: BrokerEpoch(100 + i64::from(id.0)),
        fenced: false,
        in_controlled_shutdown: false,
        rack: Some(format!("rack-{id}")),
    };
    EVERYBODY.into_iter().map(|id| (id, state(id))).collect()
}

fn changed(id: BrokerId, change: impl FnOnce(&mut BrokerState)) -> Brokers {
    let mut brokers = brokers();
    change(brokers.get_mut(&id).unwrap());
    brokers
}

fn seconds(seconds: u64) -> Mono {
    Mono(0) + Duration::from_secs(seconds)
}

/// Leads epoch 1 from offset 10, on top of ten records of epoch 0, all counted.
fn leader(counting: Counting, min_isr: usize, isr: &[BrokerId]) -> Partition {
    let epochs =
        EpochCache::from_entries(vec![EpochEntry { epoch: LeaderEpoch(0), start_offset: Offset(0) }]);
    let recovered = Recovered { epochs: epochs.unwrap(), ..recovered(0, 10, 10) };
    let mut partition = Partition::open(config(counting, min_isr), recovered);
    let applied = partition.apply(&registration(1, 1, &EVERYBODY, isr), &brokers(), seconds(0));
    assert!(matches!(applied, Applied::Elected { epoch_start: Offset(10), .. }));
    assert!(partition.start_serving(LeaderEpoch(1)));
    partition
}

fn fetch(replica: BrokerId, fetch_offset: i64) -> ReplicaFetch {
    ReplicaFetch {
        replica,
        broker_epoch: BrokerEpoch(100 + i64::from(replica.0)),
        current_leader_epoch: LeaderEpoch(1),
        last_fetched_epoch: LeaderEpoch(i32::from(fetch_offset > 10)),
        fetch_offset: Offset(fetch_offset),
        log_start: LogStart(Offset(0)),
    }
}

fn fetches_at(partition: &mut Partition, replica: BrokerId, offset: i64, now: Mono) -> FollowerRead {
    partition.follower_fetch(&fetch(replica, offset), &brokers(), now).unwrap()
}

fn fetches(partition: &mut Partition, replica: BrokerId, offset: i64) -> FollowerRead {
    fetches_at(partition, replica, offset, seconds(0))
}

fn members(alter: &AlterPartition) -> Vec<(i32, i64)> {
    alter.isr.iter().map(|member| (member.broker.0, member.broker_epoch.0)).collect()
}

fn granted(alter: &AlterPartition) -> AlteredPartition {
    AlteredPartition {
        leader: ME,
        leader_epoch: alter.leader_epoch,
        partition_epoch: PartitionEpoch(alter.partition_epoch.0 + 1),
        isr: alter.isr.iter().map(|member| member.broker).collect(),
        recovering: false,
    }
}

// Fetches of followers.

#[test]
fn a_follower_reads_up_to_the_log_end_and_waits_for_more() {
    let mut partition = leader(Counting::WhenSynced, 1, &EVERYBODY);
    append(&mut partition, &batch(5), Acks::Leader).unwrap();
    let read = fetches(&mut partition, OTHER, 10);
    assert_eq!(read.plan.limit, Offset(15), "though the leader has not counted it");
    assert_eq!(read.plan.more, Wait { position: Position::LogEnd, until: Offset(16) });
    let mut waiters = Waiters::new(1);
    waiters.insert(read.plan.more, ()).unwrap();
    assert!(waiters.release(&partition.positions()).is_empty());
    append(&mut partition, &batch(1), Acks::Leader).unwrap();
    assert_eq!(waiters.release(&partition.positions()).len(), 1);
}

#[test]
fn a_fetch_that_waited_counts_once() {
    let mut partition = leader(Counting::WhenAppended, 1, &[ME, OTHER]);
    let _ = fetches(&mut partition, OTHER, 10);
    append(&mut partition, &batch(5), Acks::Leader).unwrap();
    let before = partition.snapshot(seconds(9));
    assert_eq!(partition.plan_follower_read(&fetch(OTHER, 10)).unwrap().limit, Offset(15));
    assert_eq!(partition.snapshot(seconds(9)), before);
}

#[test]
fn f1_a_follower_has_to_name_the_leader_epoch_and_be_a_replica() {
    let mut partition = leader(Counting::WhenSynced, 1, &EVERYBODY);
    let mut refused = |request: ReplicaFetch| {
        partition.follower_fetch(&request, &brokers(), seconds(0)).unwrap_err().error_code()
    };
    let in_epoch = |epoch| ReplicaFetch { current_leader_epoch: LeaderEpoch(epoch), ..fetch(OTHER, 10) };
    assert_eq!(refused(in_epoch(0)), ErrorCode::FencedLeaderEpoch);
    assert_eq!(refused(in_epoch(-1)), ErrorCode::FencedLeaderEpoch);
    assert_eq!(refused(in_epoch(2)), ErrorCode::UnknownLeaderEpoch);
    assert_eq!(refused(fetch(BrokerId(9), 10)), ErrorCode::UnknownLeaderEpoch);
    let empty = ReplicaFetch { last_fetched_epoch: ANY_EPOCH, ..fetch(OTHER, 11) };
    assert_eq!(refused(empty), ErrorCode::OffsetOutOfRange);
    assert_eq!(refused(fetch(OTHER, -1)), ErrorCode::OffsetOutOfRange);
    let _ = partition.apply(
        &Registration { leader: OTHER, ..registration(2, 2, &EVERYBODY, &EVERYBODY) },
        &brokers(),
        seconds(0),
    );
    let refusal = partition.follower_fetch(&in_epoch(2), &brokers(), seconds(0)).unwrap_err();
    assert_eq!(refusal.error_code(), ErrorCode::NotLeaderOrFollower);
}

#[test]
fn kip_903_a_fetch_of_an_earlier_run_is_refused() {
    let mut partition = leader(Counting::WhenSynced, 1, &[ME, OTHER]);
    let of_run = |epoch, offset| ReplicaFetch { broker_epoch: BrokerEpoch(epoch), ..fetch(OTHER, offset) };
    let refusal = partition.follower_fetch(&of_run(101, 10), &brokers(), seconds(0)).unwrap_err();
    assert_eq!(refusal.error_code(), ErrorCode::NotLeaderOrFollower);
    // A run that the metadata do not know of yet puts the one before it in the past.
    assert!(partition.follower_fetch(&of_run(103, 4), &brokers(), seconds(0)).is_ok());
    let refusal = partition.follower_fetch(&of_run(102, 10), &brokers(), seconds(0)).unwrap_err();
    assert_eq!(refusal.error_code(), ErrorCode::NotLeaderOrFollower);
    assert_eq!(high_watermark(&partition), 4, "nothing of the earlier run was counted");
}

#[test]
fn kafka_13141_the_offset_of_a_log_that_parts_is_not_counted() {
    let mut partition = leader(Counting::WhenAppended, 1, &[ME, OTHER]);
    append(&mut partition, &batch(5), Acks::Leader).unwrap();
    // Its records of epoch 0 go on where this log's end.
    let request = ReplicaFetch { last_fetched_epoch: LeaderEpoch(0), ..fetch(OTHER, 15) };
    let read = partition.follower_fetch(&request, &brokers(), seconds(0)).unwrap();
    let end = EpochEnd { epoch: LeaderEpoch(0), end_offset: Offset(10) };
    assert_eq!((read.plan.diverging, read.alter), (Some(end), None));
    assert_eq!(high_watermark(&partition), 0);
    let _ = fetches(&mut partition, OTHER, 10);
    assert_eq!(high_watermark(&partition), 10);
}

#[test]
fn whoever_comes_to_the_start_of_a_log_with_an_epoch_unknown_there_begins_anew() {
    let of_epoch = |epoch| ReplicaFetch { last_fetched_epoch: LeaderEpoch(epoch), ..fetch(OTHER, 10) };
    let diverging = |partition: &mut Partition, epoch| {
        let read = partition.follower_fetch(&of_epoch(epoch), &brokers(), seconds(0)).unwrap();
        read.plan.diverging.map(|end| (end.epoch.0, end.end_offset.0))
    };
    // Records up to 10 were deleted; the last of them was of epoch 0.
    let mut partition = leader(Counting::WhenAppended, 1, &[ME]);
    let _ = partition.raise_log_start(Offset(10)).unwrap();
    assert_eq!(diverging(&mut partition, 0), None, "it had them, too");
    // This log began at 10, behind a leader that had deleted them.
    let mut partition = Partition::open(config(Counting::WhenAppended, 1), recovered(10, 10, 10));
    let _ = partition.apply(&registration(1, 1, &EVERYBODY, &[ME]), &brokers(), seconds(0));
    assert!(partition.start_serving(LeaderEpoch(1)));
    assert_eq!(diverging(&mut partition, 0), Some((0, 9)));
    assert_eq!(partition.snapshot(seconds(0)).replicas[1].counted_end, None);
    assert_eq!(diverging(&mut partition, -1), None, "it began there as well");
}

// What is committed.

#[test]
fn kip_107_the_low_watermark_is_the_least_log_start_of_those_that_live() {
    let mut partition = leader(Counting::WhenSynced, 1, &EVERYBODY);
    let _ = fetches(&mut partition, OTHER, 10);
    assert_eq!(partition.low_watermark(), Some(Offset(-1)), "the third has not told");
    let _ = fetches(&mut partition, THIRD, 10);
    let _ = partition.raise_log_start(Offset(7)).unwrap();
    assert_eq!(partition.low_watermark(), Some(Offset(0)));
    let starts_at =
        |replica, log_start| ReplicaFetch { log_start: LogStart(Offset(log_start)), ..fetch(replica, 10) };
    let tells = |partition: &mut Partition, replica, log_start, brokers: &Brokers| {
        let _ = partition.follower_fetch(&starts_at(replica, log_start), brokers, seconds(0)).unwrap();
        partition.low_watermark().unwrap().0
    };
    assert_eq!(tells(&mut partition, OTHER, 7, &brokers()), 0);
    assert_eq!(tells(&mut partition, THIRD, 4, &brokers()), 4);
    assert_eq!(tells(&mut partition, OTHER, 9, &brokers()), 4, "the leader's own counts as well");
    let fenced = changed(THIRD, |broker| broker.fenced = true);
    assert_eq!(tells(&mut partition, OTHER, 7, &fenced), 7, "nobody waits for who is fenced");
    let unregistered = brokers().into_iter().filter(|(id, _)| *id != THIRD).collect();
    assert_eq!(tells(&mut partition, OTHER, 7, &unregistered), 7);
    assert_eq!(tells(&mut partition, OTHER, 7, &brokers()), 4, "it is back");
    assert_eq!(tells(&mut partition, THIRD, 9, &brokers()), 7);

    let again = registration(2, 2, &EVERYBODY, &EVERYBODY);
    let _ = partition.apply(&again, &brokers(), seconds(0));
    assert_eq!(partition.low_watermark(), Some(Offset(-1)), "in a new epoch nothing is known");
    let another = Registration { leader: OTHER, ..registration(3, 3, &EVERYBODY, &EVERYBODY) };
    let _ = partition.apply(&another, &brokers(), seconds(0));
    assert_eq!(partition.low_watermark(), None);
}

#[test]
fn r3_the_high_watermark_is_the_least_counted_end_of_the_isr_the_leaders_own_included() {
    let mut partition = leader(Counting::WhenSynced, 1, &EVERYBODY);
    assert_eq!(high_watermark(&partition), 0, "nothing is known of the followers");
    let _ = fetches(&mut partition, OTHER, 10);
    assert_eq!(high_watermark(&partition), 0);
    let read = fetches(&mut partition, THIRD, 10);
    assert_eq!(read.advance.after.high_watermark, HighWatermark(Offset(10)));
    assert_eq!(read.plan.positions, read.advance.after, "the follower is told at once");
    append(&mut partition, &batch(5), Acks::All).unwrap();
    let _ = fetches(&mut partition, OTHER, 15);
    let _ = fetches(&mut partition, THIRD, 15);
    assert_eq!(high_watermark(&partition), 10, "the leader has not synced");
    assert_eq!(sync(&mut partition, 15).unwrap().after.high_watermark, HighWatermark(Offset(15)));
}

#[test]
fn r3_the_high_watermark_waits_for_who_is_as_good_as_in_the_isr() {
    let mut partition = leader(Counting::WhenAppended, 1, &[ME]);
    assert_eq!(high_watermark(&partition), 10);
    append(&mut partition, &batch(5), Acks::All).unwrap();
    assert_eq!(high_watermark(&partition), 15, "nobody else has been heard of");
    // OTHER catches up and is asked for; while the request is under way THIRD catches up as well.
    assert!(fetches(&mut partition, OTHER, 15).alter.is_some());
    assert_eq!(fetches(&mut partition, THIRD, 15).alter, None, "one request at a time");
    append(&mut partition, &batch(5), Acks::All).unwrap();
    let _ = fetches(&mut partition, OTHER, 20);
    assert_eq!(high_watermark(&partition), 15, "THIRD is waited for");
    let fenced = changed(THIRD, |broker| broker.fenced = true);
    let (advance, _) = partition.check_isr(&fenced, seconds(1)).unwrap();
    assert_eq!(advance.after.high_watermark, HighWatermark(Offset(20)), "KAFKA-15021");
}

#[test]
fn r3_who_could_join_is_waited_for_no_longer_than_the_lag_allowed() {
    let mut partition = leader(Counting::WhenAppended, 1, &[ME]);
    assert!(fetches(&mut partition, OTHER, 10).alter.is_some());
    let _ = fetches(&mut partition, THIRD, 10);
    let sent = partition.pending_alter().unwrap().clone();
    append(&mut partition, &batch(1), Acks::All).unwrap();
    let _ = fetches_at(&mut partition, OTHER, 11, seconds(1));
    let _ = partition.alter_partition_answered(&sent, &Ok(granted(&sent)), seconds(1));
    assert_eq!(high_watermark(&partition), 10);
    let _ = partition.check_isr(&brokers(), seconds(30)).unwrap();
    assert_eq!(high_watermark(&partition), 10);
    let _ = partition.check_isr(&brokers(), seconds(31)).unwrap();
    assert_eq!(high_watermark(&partition), 11);
}

#[test]
fn r3_below_min_isr_followers_do_not_move_the_high_watermark() {
    let mut partition = leader(Counting::WhenAppended, 2, &[ME]);
    let read = fetches(&mut partition, OTHER, 10);
    assert!(!read.advance.under_min_isr, "who waits with acks=all goes on waiting: the ISR is growing");
    assert_eq!(high_watermark(&partition), 0, "but it has not grown");
    let sent = read.alter.unwrap();
    let outcome = partition.alter_partition_answered(&sent, &Ok(granted(&sent)), seconds(0));
    let AlterOutcome::Committed(advance) = outcome else { panic!("{outcome:?}") };
    assert_eq!(advance.after.high_watermark, HighWatermark(Offset(10)));
}

#[test]
fn a_new_epoch_starts_with_no_knowledge_of_the_followers() {
    let mut partition = leader(Counting::WhenAppended, 1, &[ME, OTHER]);
    append(&mut partition, &batch(5), Acks::All).unwrap();
    let _ = fetches(&mut partition, OTHER, 15);
    append(&mut partition, &batch(5), Acks::All).unwrap();
    let applied = partition.apply(&registration(2, 2, &EVERYBODY, &[ME, OTHER]), &brokers(), seconds(40));
    assert!(matches!(applied, Applied::Elected { epoch_start: Offset(20), .. }));
    assert!(partition.start_serving(LeaderEpoch(2)));
    assert_eq!(high_watermark(&partition), 15);
    assert_eq!(partition.snapshot(seconds(40)).replicas[1].counted_end, None);
    let (_, alter) = partition.check_isr(&brokers(), seconds(70)).unwrap();
    assert_eq!(alter, None, "a member of the ISR has time to come");
    let (_, alter) = partition.check_isr(&brokers(), seconds(71)).unwrap();
    assert_eq!(members(&alter.unwrap()), [(1, 101)]);
}

// Who is in sync.

#[test]
fn r4_who_has_caught_up_and_may_is_asked_for() {
    let mut partition = leader(Counting::WhenAppended, 1, &[ME]);
    assert_eq!(fetches(&mut partition, OTHER, 9).alter, None, "below the high watermark");
    let alter = fetches(&mut partition, OTHER, 10).alter.unwrap();
    assert_eq!(members(&alter), [(1, 101), (2, 102)]);
    assert_eq!((alter.leader_epoch, alter.partition_epoch), (LeaderEpoch(1), PartitionEpoch(1)));
    assert_eq!(partition.pending_alter(), Some(&alter));
    assert_eq!(fetches(&mut partition, OTHER, 10).alter, None, "one request at a time");
    let _ = partition.alter_partition_answered(&alter, &Ok(granted(&alter)), seconds(0));
    assert_eq!(partition.isr(), [ME, OTHER]);
    let alter = fetches(&mut partition, THIRD, 10).alter.unwrap();
    assert_eq!(members(&alter), [(1, 101), (2, 102), (3, 103)]);
    assert_eq!(alter.partition_epoch, PartitionEpoch(2));
}

#[test]
fn kafka_7128_who_has_not_reached_the_epochs_start_is_not_asked_for() {
    let mut partition = leader(Counting::WhenAppended, 2, &[ME, OTHER]);
    assert_eq!(high_watermark(&partition), 0, "the leader does not know yet what was committed");
    assert_eq!(fetches(&mut partition, THIRD, 9).alter, None);
    assert!(fetches(&mut partition, THIRD, 10).alter.is_some());
}

#[test]
fn r4_who_may_not_be_in_an_isr_is_not_asked_for() {
    let cases = [
        changed(OTHER, |broker| broker.fenced = true),
        changed(OTHER, |broker| broker.in_controlled_shutdown = true),
        changed(OTHER, |broker| broker.epoch = BrokerEpoch(99)),
        brokers().into_iter().filter(|(id, _)| *id != OTHER).collect(),
    ];
    for brokers in cases {
        let mut partition = leader(Counting::WhenAppended, 1, &[ME]);
        let read = partition.follower_fetch(&fetch(OTHER, 10), &brokers, seconds(0)).unwrap();
        assert_eq!(read.alter, None, "{brokers:?}");
    }
    let mut partition = leader(Counting::WhenAppended, 1, &[ME]);
    let nameless = ReplicaFetch { broker_epoch: BrokerEpoch::NONE, ..fetch(OTHER, 10) };
    assert_eq!(partition.follower_fetch(&nameless, &brokers(), seconds(0)).unwrap().alter, None);
}

#[test]
fn r4_who_lags_is_asked_to_go() {
    let mut partition = leader(Counting::WhenAppended, 1, &EVERYBODY);
    let _ = fetches_at(&mut partition, OTHER, 10, seconds(1));
    let _ = fetches_at(&mut partition, THIRD, 10, seconds(1));
    let (_, alter) = partition.check_isr(&brokers(), seconds(40)).unwrap();
    assert_eq!(alter, None, "who has everything does not lag, however long ago it fetched");
    let _ = fetches_at(&mut partition, OTHER, 10, seconds(41));
    append(&mut partition, &batch(1), Acks::All).unwrap();
    let _ = fetches_at(&mut partition, THIRD, 11, seconds(60));
    let (_, alter) = partition.check_isr(&brokers(), seconds(71)).unwrap();
    assert_eq!(alter, None);
    let (advance, alter) = partition.check_isr(&brokers(), Mono(seconds(71).0 + 1)).unwrap();
    assert_eq!(members(&alter.unwrap()), [(1, 101), (3, 103)]);
    assert_eq!(advance.after.high_watermark, HighWatermark(Offset(10)), "it is in the ISR still");
    let (_, alter) = partition.check_isr(&brokers(), seconds(90)).unwrap();
    assert_eq!(alter, None, "one request at a time");
}

#[test]
fn r4_who_is_always_one_batch_behind_is_caught_up() {
    let mut partition = leader(Counting::WhenAppended, 1, &[ME, OTHER]);
    for second in 0..60 {
        let end = partition.positions().log_end.offset().0;
        append(&mut partition, &batch(1), Acks::Leader).unwrap();
        let _ = fetches_at(&mut partition, OTHER, end, seconds(second));
        assert_eq!(partition.check_isr(&brokers(), seconds(second)).unwrap().1, None);
    }
    // From here on it falls behind: its Fetches ask for what was there two Fetches ago.
    for second in 60..100 {
        append(&mut partition, &batch(1), Acks::Leader).unwrap();
        let _ = fetches_at(&mut partition, OTHER, 60, seconds(second));
    }
    assert!(partition.check_isr(&brokers(), seconds(100)).unwrap().1.is_some());
}

#[test]
fn r3_a_pending_member_holds_the_high_watermark_and_one_asked_to_go_still_does() {
    let mut partition = leader(Counting::WhenAppended, 1, &[ME, OTHER]);
    let _ = fetches(&mut partition, OTHER, 10);
    assert!(fetches(&mut partition, THIRD, 10).alter.is_some());
    append(&mut partition, &batch(5), Acks::All).unwrap();
    let _ = fetches_at(&mut partition, OTHER, 15, seconds(50));
    let _ = partition.check_isr(&brokers(), seconds(50));
    assert_eq!(high_watermark(&partition), 10, "THIRD has been asked for");
    let sent = partition.pending_alter().unwrap().clone();
    let _ = partition.alter_partition_answered(&sent, &Ok(granted(&sent)), seconds(50));
    let (_, alter) = partition.check_isr(&brokers(), seconds(50)).unwrap();
    let alter = alter.unwrap();
    assert_eq!(members(&alter), [(1, 101), (2, 102)]);
    assert_eq!(high_watermark(&partition), 10, "the controller may refuse");
    let outcome = partition.alter_partition_answered(&alter, &Ok(granted(&alter)), seconds(50));
    let AlterOutcome::Committed(advance) = outcome else { panic!("{outcome:?}") };
    assert_eq!(advance.after.high_watermark, HighWatermark(Offset(15)), "KAFKA-13091");
}

#[test]
fn r5_the_leader_goes_back_only_on_what_was_surely_not_applied() {
    let table = [
        (ErrorCode::IneligibleReplica, "rolled back"),
        (ErrorCode::OperationNotAttempted, "rolled back"),
        (ErrorCode::UnknownTopicOrPartition, "await metadata"),
        (ErrorCode::UnknownTopicId, "await metadata"),
        (ErrorCode::FencedLeaderEpoch, "await metadata"),
        (ErrorCode::InvalidUpdateVersion, "await metadata"),
        (ErrorCode::InvalidRequest, "await metadata"),
        (ErrorCode::NewLeaderElected, "await metadata"),
        (ErrorCode::NotController, "resend"),
        (ErrorCode::RequestTimedOut, "resend"),
        (ErrorCode::StaleBrokerEpoch, "resend"),
        (ErrorCode::UnknownServerError, "resend"),
    ];
    for (code, expected) in table {
        let mut partition = leader(Counting::WhenAppended, 1, &[ME]);
        let sent = fetches(&mut partition, OTHER, 10).alter.unwrap();
        let outcome = partition.alter_partition_answered(&sent, &Err(code), seconds(0));
        let named = match outcome {
            AlterOutcome::RolledBack(_) => "rolled back",
            AlterOutcome::AwaitMetadata => "await metadata",
            AlterOutcome::Resend => "resend",
            other => panic!("{other:?}"),
        };
        assert_eq!(named, expected, "{code:?}");
        assert_eq!(partition.pending_alter().is_some(), expected != "rolled back", "{code:?}");
        assert_eq!(partition.isr(), [ME]);
    }
}

#[test]
fn r5_what_an_earlier_copy_met_with_does_not_take_back_a_later_one() {
    for code in [ErrorCode::IneligibleReplica, ErrorCode::OperationNotAttempted, ErrorCode::RequestTimedOut] {
        let mut partition = leader(Counting::WhenAppended, 1, &[ME]);
        let first = fetches(&mut partition, OTHER, 10).alter.unwrap();
        let second = partition.resend_alter().unwrap();
        assert!(second.serial > first.serial);
        assert_eq!(AlterPartition { serial: first.serial, ..second.clone() }, first);
        let outcome = partition.alter_partition_answered(&first, &Err(code), seconds(0));
        assert_eq!(outcome, AlterOutcome::Stale, "the second may be granted still");
        append(&mut partition, &batch(1), Acks::All).unwrap();
        assert_eq!(high_watermark(&partition), 10);
        let outcome = partition.alter_partition_answered(&second, &Err(code), seconds(0));
        let back = matches!(outcome, AlterOutcome::RolledBack(_));
        assert_eq!(back, code != ErrorCode::RequestTimedOut);
        assert_eq!(partition.resend_alter().is_some(), !back);
    }
    // A grant is true, whichever copy it was given to.
    let mut partition = leader(Counting::WhenAppended, 1, &[ME]);
    let first = fetches(&mut partition, OTHER, 10).alter.unwrap();
    assert!(partition.resend_alter().is_some());
    let outcome = partition.alter_partition_answered(&first, &Ok(granted(&first)), seconds(0));
    assert!(matches!(outcome, AlterOutcome::Committed(_)));
    assert_eq!(partition.resend_alter(), None);
    assert_eq!(partition.isr(), [ME, OTHER]);
}

#[test]
fn r5_an_answer_of_other_epochs_changes_nothing() {
    let mut partition = leader(Counting::WhenAppended, 1, &[ME]);
    let sent = fetches(&mut partition, OTHER, 10).alter.unwrap();
    let good = granted(&sent);
    let bad = [
        AlteredPartition { leader_epoch: LeaderEpoch(2), ..good.clone() },
        AlteredPartition { partition_epoch: PartitionEpoch(0), ..good.clone() },
        AlteredPartition { leader: OTHER, ..good.clone() },
        AlteredPartition { isr: vec![OTHER], ..good.clone() },
        AlteredPartition { isr: vec![ME, BrokerId(9)], ..good.clone() },
    ];
    for answer in bad {
        let outcome = partition.alter_partition_answered(&sent, &Ok(answer), seconds(0));
        assert_eq!(outcome, AlterOutcome::AwaitMetadata);
        assert_eq!(partition.pending_alter(), Some(&sent));
    }
    let other = AlterPartition { isr: Vec::new(), ..sent.clone() };
    let outcome = partition.alter_partition_answered(&other, &Ok(good.clone()), seconds(0));
    assert_eq!(outcome, AlterOutcome::Stale);
    let outcome = partition.alter_partition_answered(&sent, &Ok(good.clone()), seconds(0));
    assert!(matches!(outcome, AlterOutcome::Committed(_)));
    assert_eq!(partition.alter_partition_answered(&sent, &Ok(good), seconds(0)), AlterOutcome::Stale);
}

/// A copy that was sent over a connection that broke may arrive after the one that was refused (it may in Kafka,
/// too): a leader that went back at once would commit what the new member lacks.
#[test]
fn a_refused_request_is_taken_back_while_a_copy_of_it_may_be_under_way() {
    let mut partition = leader(Counting::WhenAppended, 1, &[ME, THIRD]);
    let first = fetches(&mut partition, OTHER, 10).alter.unwrap();
    let _ = fetches(&mut partition, THIRD, 10);
    append(&mut partition, &batch(5), Acks::All).unwrap();
    // No answer comes; the controller finds the replica fenced when it is asked again.
    let second = partition.resend_alter().unwrap();
    let refused = Err(ErrorCode::IneligibleReplica);
    let outcome = partition.alter_partition_answered(&second, &refused, seconds(0));
    assert_eq!(outcome, AlterOutcome::Resend);
    let _ = fetches(&mut partition, THIRD, 15);
    assert_eq!(high_watermark(&partition), 10, "the first copy may yet be granted");
    let fenced = changed(OTHER, |broker| broker.fenced = true);
    let _ = partition.check_isr(&fenced, seconds(0)).unwrap();
    assert_eq!(high_watermark(&partition), 10, "even to one that this leader knows to be fenced");
    let third = partition.resend_alter().unwrap();
    assert_eq!(members(&third), [(1, -1), (3, -1)], "the ISR as it is");
    assert_eq!(third.partition_epoch, first.partition_epoch);
    // Neither answer to a copy of what was taken back says anything about that.
    for late in [&first, &second] {
        assert_eq!(partition.alter_partition_answered(late, &refused, seconds(0)), AlterOutcome::Stale);
    }
    // As long as it is not granted, it is sent again.
    assert_eq!(partition.alter_partition_answered(&third, &refused, seconds(0)), AlterOutcome::Resend);
    let fourth = partition.resend_alter().unwrap();
    assert_eq!((members(&fourth), high_watermark(&partition)), (members(&third), 10));
    let outcome = partition.alter_partition_answered(&fourth, &Ok(granted(&fourth)), seconds(0));
    assert!(matches!(outcome, AlterOutcome::Committed(_)));
    assert_eq!((partition.pending_alter(), partition.isr()), (None, &[ME, THIRD][..]));
    let fenced = changed(OTHER, |broker| broker.fenced = true);
    let _ = partition.check_isr(&fenced, seconds(0)).unwrap();
    assert_eq!(high_watermark(&partition), 15, "whatever is under way names an earlier partition epoch");
}

#[test]
fn a_refused_request_of_which_every_copy_was_answered_is_off_at_once() {
    let mut partition = leader(Counting::WhenAppended, 1, &[ME]);
    let first = fetches(&mut partition, OTHER, 10).alter.unwrap();
    append(&mut partition, &batch(5), Acks::All).unwrap();
    let unsettled = Err(ErrorCode::NotController);
    assert_eq!(partition.alter_partition_answered(&first, &unsettled, seconds(0)), AlterOutcome::Resend);
    let second = partition.resend_alter().unwrap();
    let refused = Err(ErrorCode::IneligibleReplica);
    let outcome = partition.alter_partition_answered(&second, &refused, seconds(0));
    assert!(matches!(outcome, AlterOutcome::RolledBack(_)));
    assert_eq!(partition.pending_alter(), None);
    let fenced = changed(OTHER, |broker| broker.fenced = true);
    let _ = partition.check_isr(&fenced, seconds(0)).unwrap();
    assert_eq!(high_watermark(&partition), 15);
}

#[test]
fn a_request_under_way_is_settled_by_later_metadata_and_by_nothing_else() {
    let mut partition = leader(Counting::WhenAppended, 1, &[ME]);
    let sent = fetches(&mut partition, OTHER, 10).alter.unwrap();
    // The topic's configuration has changed, and all of its partitions are applied once more (KAFKA-12686).
    let again = partition.apply(&registration(1, 1, &EVERYBODY, &[ME]), &brokers(), seconds(0));
    assert!(matches!(again, Applied::Updated(_)));
    assert_eq!(partition.pending_alter(), Some(&sent), "it may still be granted");
    append(&mut partition, &batch(1), Acks::All).unwrap();
    assert_eq!(high_watermark(&partition), 10);
    // The answer is lost, the metadata come (KAFKA-12751).
    let _ = partition.apply(&registration(1, 2, &EVERYBODY, &[ME, OTHER]), &brokers(), seconds(0));
    assert_eq!((partition.pending_alter(), partition.isr()), (None, &[ME, OTHER][..]));
    // The metadata come after the answer.
    let sent = fetches(&mut partition, THIRD, 11).alter.unwrap();
    let _ = partition.alter_partition_answered(&sent, &Ok(granted(&sent)), seconds(0));
    let stale = partition.apply(&registration(1, 2, &EVERYBODY, &[ME, OTHER]), &brokers(), seconds(0));
    assert_eq!((stale, partition.isr()), (Applied::Stale, &EVERYBODY[..]));
    let _ = partition.apply(&registration(1, 3, &EVERYBODY, &EVERYBODY), &brokers(), seconds(0));
    assert_eq!(partition.isr(), EVERYBODY);
    // A new epoch settles it, too.
    let _ = partition.apply(&registration(1, 4, &EVERYBODY, &[ME]), &brokers(), seconds(0));
    assert!(fetches(&mut partition, OTHER, 11).alter.is_some());
    let _ = partition.apply(&registration(2, 5, &EVERYBODY, &[ME]), &brokers(), seconds(0));
    assert_eq!(partition.pending_alter(), None);
}

#[test]
fn a_leader_that_was_elected_uncleanly_reports_that_it_recovered() {
    let mut partition = leader(Counting::WhenAppended, 1, &[ME]);
    let recovering = Registration { recovering: true, ..registration(2, 2, &EVERYBODY, &[ME]) };
    assert!(matches!(partition.apply(&recovering, &brokers(), seconds(0)), Applied::Elected { .. }));
    assert_eq!(partition.check_isr(&brokers(), seconds(0)).unwrap().1, None, "it does not serve yet");
    assert!(partition.start_serving(LeaderEpoch(2)));
    let sent = partition.check_isr(&brokers(), seconds(0)).unwrap().1.unwrap();
    assert_eq!(members(&sent), [(1, 101)]);
    let _ = partition.alter_partition_answered(&sent, &Ok(granted(&sent)), seconds(0));
    assert_eq!(partition.check_isr(&brokers(), seconds(0)).unwrap().1, None);
}

// What others see.

#[test]
fn a_snapshot_says_why_a_replica_is_not_in_sync() {
    let mut partition = leader(Counting::WhenAppended, 1, &[ME, OTHER]);
    let lag = |partition: &Partition, at| partition.snapshot(seconds(at)).replicas[2].lag;
    assert_eq!(lag(&partition, 0), Some(Lag::NotFetching));
    let _ = fetches_at(&mut partition, THIRD, 10, seconds(1));
    assert_eq!(lag(&partition, 1), None);
    let snapshot = partition.snapshot(seconds(1));
    assert_eq!((snapshot.role, snapshot.leader, snapshot.min_isr), (RoleName::Leader, ME, 1));
    assert_eq!((snapshot.isr, snapshot.pending_isr), (vec![ME, OTHER], Some(EVERYBODY.to_vec())));
    assert_eq!(snapshot.replicas[2].counted_end, Some(CountedEnd(Offset(10))));
    assert_eq!(snapshot.replicas.iter().map(|state| state.in_isr).collect::<Vec<_>>(), [true, true, false]);
    append(&mut partition, &batch(4), Acks::Leader).unwrap();
    let since = Some(LAG_MAX + Duration::from_secs(2));
    assert_eq!(lag(&partition, 31), None);
    assert_eq!(lag(&partition, 33), Some(Lag::Behind { offsets: 4, since }));
    let told = [
        (changed(THIRD, |broker| broker.fenced = true), Lag::Fenced),
        (changed(THIRD, |broker| broker.in_controlled_shutdown = true), Lag::ShuttingDown),
        (changed(THIRD, |broker| broker.epoch = BrokerEpoch(200)), Lag::OtherRun),
        (Brokers::new(), Lag::Offline),
    ];
    for (brokers, expected) in told {
        let _ = partition.check_isr(&brokers, seconds(2));
        assert_eq!(lag(&partition, 2), Some(expected));
    }
}

#[test]
fn kip_392_a_consumer_is_sent_to_a_follower_in_its_rack_that_has_its_records() {
    let mut partition = leader(Counting::WhenAppended, 1, &EVERYBODY);
    let preferred = |partition: &Partition, rack: &str, offset, brokers: &Brokers| {
        partition.preferred_read_replica(rack, Offset(offset), brokers)
    };
    assert_eq!(preferred(&partition, "rack-2", 5, &brokers()), None, "it has not fetched");
    let _ = fetches(&mut partition, OTHER, 8);
    let _ = fetches(&mut partition, THIRD, 10);
    assert_eq!(preferred(&partition, "rack-2", 8, &brokers()), Some(OTHER));
    assert_eq!(preferred(&partition, "rack-2", 9, &brokers()), None, "it does not have that yet");
    for rack in ["rack-1", "rack-9", ""] {
        assert_eq!(preferred(&partition, rack, 5, &brokers()), None, "{rack}: the leader serves");
    }
    let crowded = changed(OTHER, |broker| broker.rack = Some("rack-3".to_owned()));
    assert_eq!(preferred(&partition, "rack-3", 5, &crowded), Some(THIRD), "the most caught-up one");
    let fenced = changed(OTHER, |broker| broker.fenced = true);
    assert_eq!(preferred(&partition, "rack-2", 5, &fenced), None, "KAFKA-14372");
    let late = ReplicaFetch { log_start: LogStart(Offset(6)), ..fetch(OTHER, 10) };
    let _ = partition.follower_fetch(&late, &brokers(), seconds(0)).unwrap();
    assert_eq!(preferred(&partition, "rack-2", 5, &brokers()), None, "it has deleted that");
    let _ = partition.apply(&registration(1, 2, &EVERYBODY, &[ME, THIRD]), &brokers(), seconds(0));
    assert_eq!(preferred(&partition, "rack-2", 8, &brokers()), None, "KAFKA-15390: not in the ISR");
}
