//! The ISRs that leaders ask for (R5).

use super::*;
use crate::wire::messages::alter_partition::{
    AlterPartitionRequest, BrokerState, PartitionData, PartitionResult, TopicData,
};

fn request(cluster: &Cluster, leader: i32, key: PartitionKey, data: PartitionData) -> AlterPartitionRequest {
    AlterPartitionRequest {
        broker_id: leader,
        broker_epoch: cluster.image().broker(BrokerId(leader)).map_or(-1, |broker| broker.epoch.0),
        topics: vec![TopicData { topic_id: key.topic_id, partitions: vec![data] }],
    }
}

/// What the leader of a partition asks for that knows everything.
fn data(cluster: &Cluster, key: PartitionKey, isr: &[i32]) -> PartitionData {
    let partition = cluster.image().partition(key.topic_id, key.index).expect("it exists");
    let member = |&broker_id: &i32| BrokerState {
        broker_id,
        broker_epoch: cluster.image().broker(BrokerId(broker_id)).map_or(-1, |broker| broker.epoch.0),
    };
    PartitionData {
        partition_index: key.index,
        leader_epoch: partition.leader_epoch.0,
        partition_epoch: partition.partition_epoch.0,
        new_isr_with_epochs: isr.iter().map(member).collect(),
        ..PartitionData::default()
    }
}

fn ask(cluster: &mut Cluster, leader: i32, key: PartitionKey, data: PartitionData) -> PartitionResult {
    let request = request(cluster, leader, key, data);
    let response = cluster.take(cluster.controller.alter_partition(&request));
    assert_eq!(response.error_code, 0);
    response.topics[0].partitions[0].clone()
}

#[test]
fn an_isr_shrinks_and_grows_without_a_new_leader_epoch() {
    let mut cluster = Cluster::with_brokers(3);
    cluster.create(vec![assigned("t", &[(0, &[1, 2, 3])])]);
    let key = cluster.key("t", 0);
    for (epoch, isr, elr) in
        [(1, &[1, 2][..], &[][..]), (2, &[1], &[2]), (3, &[1, 3], &[]), (4, &[3, 1, 2], &[])]
    {
        let shrunk = data(&cluster, key, isr);
        let result = ask(&mut cluster, 1, key, shrunk);
        assert_eq!((result.error_code, &result.isr[..]), (0, isr));
        assert_eq!((result.leader_id, result.leader_epoch, result.partition_epoch), (1, 0, epoch), "R2");
        assert_eq!(cluster.partition("t", 0).elr, ids(elr), "E2");
    }
    let (same, earlier) = (data(&cluster, key, &[3, 1, 2]), data(&cluster, key, &[1, 2]));
    let result = ask(&mut cluster, 1, key, same);
    assert_eq!((result.error_code, result.leader_epoch, result.partition_epoch), (0, 0, 5));
    assert_eq!(result.isr, [3, 1, 2]);
    let refused = ErrorCode::InvalidUpdateVersion.code();
    assert_eq!(ask(&mut cluster, 1, key, earlier).error_code, refused, "what was under way is taken back");
    let mut old = data(&cluster, key, &[]);
    old.new_isr = vec![1, 2];
    assert_eq!(ask(&mut cluster, 1, key, old).isr, [1, 2], "version 2 has no broker epochs");
}

#[test]
fn every_rejection_has_its_error_and_its_place_in_the_order() {
    use ErrorCode::{
        FencedLeaderEpoch, IneligibleReplica, InvalidRequest, InvalidUpdateVersion, NotController,
        UnknownTopicId, UnknownTopicOrPartition,
    };
    let mut cluster = Cluster::with_brokers(6);
    cluster.create(vec![assigned("t", &[(0, &[1, 2, 3, 4, 5])])]);
    let key = cluster.key("t", 0);
    // 3 is fenced, 4 is shutting down, 5 has lost the directory of its replica; 2 is out of sync.
    let wants_fence =
        BrokerHeartbeatRequest { want_fence: true, ..heartbeat(3, cluster.broker(3).epoch, 99) };
    cluster.heartbeat(&wants_fence).expect("it lives");
    cluster.append(
        BrokerRegistrationChangeRecord {
            broker_id: 4,
            broker_epoch: cluster.broker(4).epoch.0,
            in_controlled_shutdown: 1,
            ..Default::default()
        }
        .into(),
    );
    let dirs = BrokerRegistrationRequest { log_dirs: vec![Uuid(5001)], ..registration(5, 5) };
    cluster.register(&dirs).expect("the same run");
    let isr = data(&cluster, key, &[1]);
    assert_eq!(ask(&mut cluster, 1, key, isr).error_code, 0);
    let good = data(&cluster, key, &[1, 2]);
    let elsewhere = PartitionKey { topic_id: Uuid(9999), index: 0 };
    type Change = fn(&mut PartitionData);
    let cases: [(i32, PartitionKey, Change, ErrorCode); 19] = [
        (1, elsewhere, |_| {}, UnknownTopicId),
        (1, key, |it| it.partition_index = 1, UnknownTopicOrPartition),
        (2, key, |it| it.leader_epoch += 1, NotController),
        (2, key, |it| it.partition_epoch += 1, NotController),
        (2, key, |it| (it.leader_epoch, it.partition_epoch) = (-1, i32::MAX), NotController),
        (2, key, |it| it.leader_epoch -= 1, FencedLeaderEpoch),
        (2, key, |it| it.partition_epoch -= 1, InvalidRequest),
        (2, key, |_| {}, InvalidRequest),
        (1, key, |it| (it.partition_epoch, it.new_isr_with_epochs) = (0, vec![]), InvalidUpdateVersion),
        (1, key, |it| it.new_isr_with_epochs[1].broker_id = 6, InvalidRequest),
        (1, key, |it| it.new_isr_with_epochs[1].broker_id = 1, InvalidRequest),
        (1, key, |it| it.new_isr_with_epochs.retain(|member| member.broker_id != 1), InvalidRequest),
        (1, key, |it| it.new_isr_with_epochs.clear(), InvalidRequest),
        (1, key, |it| it.leader_recovery_state = 1, InvalidRequest),
        (
            1,
            key,
            |it| (it.leader_recovery_state, it.new_isr_with_epochs[1].broker_epoch) = (2, 0),
            InvalidRequest,
        ),
        (1, key, |it| it.new_isr_with_epochs[1].broker_epoch -= 1, IneligibleReplica),
        (
            1,
            key,
            |it| it.new_isr_with_epochs[1] = BrokerState { broker_id: 3, broker_epoch: -1 },
            IneligibleReplica,
        ),
        (
            1,
            key,
            |it| it.new_isr_with_epochs[1] = BrokerState { broker_id: 4, broker_epoch: -1 },
            IneligibleReplica,
        ),
        (
            1,
            key,
            |it| it.new_isr_with_epochs[1] = BrokerState { broker_id: 5, broker_epoch: -1 },
            IneligibleReplica,
        ),
    ];
    let before = cluster.image().clone();
    for (number, (leader, key, change, code)) in cases.into_iter().enumerate() {
        let mut changed = good.clone();
        change(&mut changed);
        let result = ask(&mut cluster, leader, key, changed);
        assert_eq!(ErrorCode::from_code(result.error_code), Some(code), "case {number}");
        assert_eq!(cluster.image(), &before);
    }
    let mut stale = request(&cluster, 1, key, good.clone());
    stale.broker_epoch -= 1;
    let response = cluster.controller.alter_partition(&stale).response;
    assert_eq!(response.error_code, ErrorCode::StaleBrokerEpoch.code());
    assert_eq!(ask(&mut cluster, 1, key, good).error_code, 0, "and it is good as it was");
    cluster.assign_dir(5, "t", 0, Uuid(5001));
    let back = data(&cluster, key, &[1, 2, 5]);
    assert_eq!(ask(&mut cluster, 1, key, back).error_code, 0, "on record where it is, 5 may come back");
}

#[test]
fn kafka_14139_a_request_from_before_a_restart_does_not_put_the_broker_back() {
    let mut cluster = Cluster::with_brokers(2);
    cluster.create(vec![assigned("t", &[(0, &[1, 2])])]);
    let key = cluster.key("t", 0);
    let shrunk = data(&cluster, key, &[1]);
    ask(&mut cluster, 1, key, shrunk);
    let delayed = data(&cluster, key, &[1, 2]);
    cluster.start_broker(2, 50);
    cluster.beat(1);
    let result = ask(&mut cluster, 1, key, delayed);
    assert_eq!(result.error_code, ErrorCode::IneligibleReplica.code(), "KIP-903");
}

#[test]
fn the_second_of_two_changes_of_one_partition_builds_on_the_first() {
    let mut cluster = Cluster::with_brokers(3);
    cluster.create(vec![assigned("t", &[(0, &[1, 2, 3])])]);
    let key = cluster.key("t", 0);
    let mut twice = request(&cluster, 1, key, data(&cluster, key, &[1, 2]));
    twice.topics[0].partitions.push(data(&cluster, key, &[1, 3]));
    let response = cluster.take(cluster.controller.alter_partition(&twice));
    let codes: Vec<i16> = response.topics[0].partitions.iter().map(|it| it.error_code).collect();
    assert_eq!(codes, [0, ErrorCode::InvalidUpdateVersion.code()]);
    assert_eq!(cluster.partition("t", 0).isr, ids(&[1, 2]));
}

#[test]
fn a_leader_recovers_from_an_unclean_election_alone() {
    let mut cluster = Cluster::with_brokers(2);
    cluster.create(vec![assigned("t", &[(0, &[1, 2])])]);
    let key = cluster.key("t", 0);
    cluster.append(
        PartitionChangeRecord {
            topic_id: key.topic_id,
            partition_id: 0,
            isr: Some(vec![1]),
            leader_recovery_state: 1,
            ..Default::default()
        }
        .into(),
    );
    let recovering = |cluster: &Cluster, isr: &[i32]| PartitionData {
        leader_recovery_state: 1,
        ..data(cluster, key, isr)
    };
    let wrong = recovering(&cluster, &[1, 2]);
    assert_eq!(ask(&mut cluster, 1, key, wrong).error_code, ErrorCode::InvalidRequest.code());
    let still = recovering(&cluster, &[1]);
    assert_eq!(ask(&mut cluster, 1, key, still).leader_recovery_state, 1);
    let recovered = data(&cluster, key, &[1]);
    let result = ask(&mut cluster, 1, key, recovered);
    assert_eq!((result.error_code, result.leader_recovery_state), (0, 0));
}

#[test]
fn the_change_that_ends_a_reassignment_may_depose_the_leader() {
    let mut cluster = Cluster::with_brokers(3);
    cluster.create(vec![assigned("t", &[(0, &[1, 2])])]);
    let key = cluster.key("t", 0);
    assert_eq!(reassignment::reassign(&mut cluster, "t", 0, Some(&[3, 2])), Ok(()));
    let all = data(&cluster, key, &[1, 2, 3]);
    let result = ask(&mut cluster, 1, key, all);
    assert_eq!(result.error_code, ErrorCode::NewLeaderElected.code());
    let partition = cluster.partition("t", 0);
    assert_eq!((partition.leader, &partition.replicas), (BrokerId(3), &ids(&[3, 2])));
    assert_eq!((&partition.isr, partition.leader_epoch.0), (&ids(&[2, 3]), 1));
    assert!(!partition.is_reassigning());
}
