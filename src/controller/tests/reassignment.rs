//! Reassignments and where they end.

use super::*;
use crate::wire::messages::alter_partition_reassignments::*;
use crate::wire::messages::list_partition_reassignments::*;

pub(super) fn reassign(cluster: &mut Cluster, topic: &str, index: i32, replicas: Option<&[i32]>) -> Outcome {
    ask(cluster, topic, index, replicas, true)
}

fn ask(cluster: &mut Cluster, topic: &str, index: i32, replicas: Option<&[i32]>, allow: bool) -> Outcome {
    let partition = ReassignablePartition { partition_index: index, replicas: replicas.map(<[i32]>::to_vec) };
    let request = AlterPartitionReassignmentsRequest {
        timeout_ms: 0,
        allow_replication_factor_change: allow,
        topics: vec![ReassignableTopic { name: topic.to_owned(), partitions: vec![partition] }],
    };
    let response = cluster.take(cluster.controller.alter_partition_reassignments(&request));
    assert_eq!((response.error_code, response.allow_replication_factor_change), (0, allow));
    let result = response.responses[0].partitions[0].clone();
    outcome(result.error_code, result.error_message)
}

/// Has the leader's ISR become this.
fn isr(cluster: &mut Cluster, topic: &str, isr: &[i32]) {
    use crate::wire::messages::alter_partition::{AlterPartitionRequest, PartitionData, TopicData};
    let (key, partition) = (cluster.key(topic, 0), cluster.partition(topic, 0));
    let data = PartitionData {
        leader_epoch: partition.leader_epoch.0,
        partition_epoch: partition.partition_epoch.0,
        new_isr: isr.to_vec(),
        ..PartitionData::default()
    };
    let request = AlterPartitionRequest {
        broker_id: partition.leader.0,
        broker_epoch: cluster.broker(partition.leader.0).epoch.0,
        topics: vec![TopicData { topic_id: key.topic_id, partitions: vec![data] }],
    };
    let response = cluster.take(cluster.controller.alter_partition(&request));
    let code = response.topics[0].partitions[0].error_code;
    assert!(code == 0 || code == ErrorCode::NewLeaderElected.code(), "{code}");
}

/// Replicas, adding, removing, ISR.
fn state(cluster: &Cluster, topic: &str) -> [Vec<i32>; 4] {
    let partition = cluster.partition(topic, 0);
    [&partition.replicas, &partition.adding, &partition.removing, &partition.isr]
        .map(|ids| ids.iter().map(|id| id.0).collect())
}

fn cluster() -> Cluster {
    let mut cluster = Cluster::with_brokers(5);
    cluster.create(vec![assigned("t", &[(0, &[1, 2])])]);
    cluster
}

#[test]
fn replicas_are_added_and_the_old_ones_removed_once_those_are_in_sync() {
    let mut cluster = cluster();
    assert_eq!(reassign(&mut cluster, "t", 0, Some(&[3, 2, 4])), Ok(()));
    assert_eq!(state(&cluster, "t"), [vec![3, 2, 4, 1], vec![3, 4], vec![1], vec![1, 2]]);
    let partition = cluster.partition("t", 0);
    assert_eq!((partition.leader, partition.leader_epoch.0), (BrokerId(1), 0));
    assert_eq!(partition.directories, [3000, 2000, 4000, 1000].map(Uuid));
    isr(&mut cluster, "t", &[1, 2, 3]);
    assert!(cluster.partition("t", 0).is_reassigning());
    isr(&mut cluster, "t", &[1, 3]);
    assert!(cluster.partition("t", 0).is_reassigning(), "4 is added and not in sync");
    isr(&mut cluster, "t", &[1, 3, 4]);
    assert_eq!(state(&cluster, "t"), [vec![3, 2, 4], vec![], vec![], vec![3, 4]], "2 may come later");
    let partition = cluster.partition("t", 0);
    assert_eq!((partition.leader, partition.leader_epoch.0), (BrokerId(3), 1), "R2");
}

#[test]
fn what_needs_no_copying_is_done_at_once() {
    let mut cluster = cluster();
    assert_eq!(reassign(&mut cluster, "t", 0, Some(&[2, 1])), Ok(()));
    assert_eq!(state(&cluster, "t"), [vec![2, 1], vec![], vec![], vec![1, 2]]);
    assert_eq!(
        (cluster.partition("t", 0).leader, cluster.partition("t", 0).leader_epoch.0),
        (BrokerId(1), 0)
    );
    assert_eq!(reassign(&mut cluster, "t", 0, Some(&[2])), Ok(()));
    assert_eq!(state(&cluster, "t"), [vec![2], vec![], vec![], vec![2]]);
    assert_eq!(
        (cluster.partition("t", 0).leader, cluster.partition("t", 0).leader_epoch.0),
        (BrokerId(2), 1)
    );
    let epoch = cluster.partition("t", 0).partition_epoch;
    assert_eq!(reassign(&mut cluster, "t", 0, Some(&[2])), Ok(()));
    assert_eq!(cluster.partition("t", 0).partition_epoch, epoch, "nothing to do");
}

#[test]
fn who_asks_again_sets_another_target() {
    let mut cluster = cluster();
    assert_eq!(reassign(&mut cluster, "t", 0, Some(&[3, 4])), Ok(()));
    assert_eq!(reassign(&mut cluster, "t", 0, Some(&[4, 5])), Ok(()));
    assert_eq!(
        state(&cluster, "t"),
        [vec![4, 5, 1, 2], vec![4, 5], vec![1, 2], vec![1, 2]],
        "nobody needs 3"
    );
    isr(&mut cluster, "t", &[1, 2, 5]);
    // Among the very replicas that there are at the moment 4 still has to come into sync.
    assert_eq!(reassign(&mut cluster, "t", 0, Some(&[1, 2, 4])), Ok(()));
    assert_eq!(state(&cluster, "t"), [vec![1, 2, 4, 5], vec![4], vec![5], vec![1, 2, 5]], "5 is in sync");
    assert_eq!(reassign(&mut cluster, "t", 0, Some(&[1, 2])), Ok(()));
    assert_eq!(state(&cluster, "t"), [vec![1, 2], vec![], vec![], vec![1, 2]]);
}

#[test]
fn a_reassignment_that_waits_for_enough_in_sync_follows_what_is_enough() {
    let mut cluster = Cluster::with_brokers(4);
    let three = configured("t", &[("min.insync.replicas", Some("3"))]).configs;
    cluster.create(vec![CreatableTopic { configs: three, ..assigned("t", &[(0, &[1, 2, 3])]) }]);
    assert_eq!(reassign(&mut cluster, "t", 0, Some(&[1, 2, 4])), Ok(()));
    isr(&mut cluster, "t", &[1, 3, 4]);
    assert!(cluster.partition("t", 0).is_reassigning(), "two of the targets are in sync");
    assert_eq!(cluster.alter(ResourceType::Topic, "t", vec![set("min.insync.replicas", "2")]), Ok(()));
    assert_eq!(state(&cluster, "t"), [vec![1, 2, 4], vec![], vec![], vec![1, 4]]);
}

#[test]
fn a_reassignment_is_cancelled() {
    let mut cluster = cluster();
    assert_eq!(reassign(&mut cluster, "t", 0, Some(&[3, 4])), Ok(()));
    isr(&mut cluster, "t", &[1, 3]);
    assert_eq!(reassign(&mut cluster, "t", 0, None), Ok(()));
    assert_eq!(state(&cluster, "t"), [vec![1, 2], vec![], vec![], vec![1]]);
    let outcome = reassign(&mut cluster, "t", 0, None);
    refused(outcome, ErrorCode::NoReassignmentInProgress, "No partition reassignment is in progress.");
}

#[test]
fn a_cancellation_is_clean_or_must_be_allowed() {
    let mut cluster = cluster();
    assert_eq!(reassign(&mut cluster, "t", 0, Some(&[3, 4])), Ok(()));
    // The old replicas have fallen out of sync: what is acknowledged now only others have.
    let key = cluster.key("t", 0);
    cluster.append(
        PartitionChangeRecord {
            topic_id: key.topic_id,
            partition_id: 0,
            isr: Some(vec![3]),
            leader: 3,
            ..Default::default()
        }
        .into(),
    );
    let outcome = reassign(&mut cluster, "t", 0, None);
    refused(outcome, ErrorCode::InvalidReplicaAssignment, "would require an unclean leader election");
    // One of them is eligible: that is as good as in sync.
    cluster.append(
        PartitionChangeRecord {
            topic_id: key.topic_id,
            partition_id: 0,
            eligible_leader_replicas: Some(vec![2]),
            ..Default::default()
        }
        .into(),
    );
    assert_eq!(reassign(&mut cluster, "t", 0, None), Ok(()));
    assert_eq!(state(&cluster, "t"), [vec![1, 2], vec![], vec![], vec![2]]);
    assert_eq!(cluster.partition("t", 0).leader_recovery, image::LeaderRecoveryState::Recovered);
}

#[test]
fn a_cancellation_without_a_clean_replica_is_unclean() {
    let mut cluster = cluster();
    assert_eq!(reassign(&mut cluster, "t", 0, Some(&[3, 4])), Ok(()));
    let key = cluster.key("t", 0);
    let only = PartitionChangeRecord {
        topic_id: key.topic_id,
        partition_id: 0,
        isr: Some(vec![3]),
        leader: 3,
        ..Default::default()
    };
    cluster.append(only.into());
    let lax = vec![set("unclean.leader.election.enable", "true")];
    assert_eq!(cluster.alter(ResourceType::Topic, "t", lax), Ok(()));
    assert_eq!(reassign(&mut cluster, "t", 0, None), Ok(()));
    assert_eq!(state(&cluster, "t"), [vec![1, 2], vec![], vec![], vec![1]]);
    let partition = cluster.partition("t", 0);
    assert_eq!(
        (partition.leader, partition.leader_recovery),
        (BrokerId(1), image::LeaderRecoveryState::Recovering)
    );
}

#[test]
fn reassignments_are_refused_with_a_reason() {
    use ErrorCode::{InvalidReplicaAssignment, InvalidReplicationFactor, UnknownTopicOrPartition};
    let mut cluster = cluster();
    for (topic, index, replicas, allow, code, message) in [
        ("none", 0, &[1][..], true, UnknownTopicOrPartition, "topic named none"),
        ("t", 1, &[1], true, UnknownTopicOrPartition, "partition t:1"),
        ("t", 0, &[], true, InvalidReplicaAssignment, "empty replica list"),
        ("t", 0, &[1, 9], true, InvalidReplicaAssignment, "no such broker"),
        ("t", 0, &[1, 1], true, InvalidReplicaAssignment, "more than once"),
        ("t", 0, &[3], false, InvalidReplicationFactor, "from 2 to 1"),
    ] {
        refused(ask(&mut cluster, topic, index, Some(replicas), allow), code, message);
    }
    assert_eq!(ask(&mut cluster, "t", 0, Some(&[3, 4]), false), Ok(()));
    let outcome = ask(&mut cluster, "t", 0, Some(&[3, 4, 5]), false);
    refused(outcome, InvalidReplicationFactor, "from 2 to 3");
}

#[test]
fn reassignments_under_way_are_listed() {
    let mut cluster = cluster();
    cluster.create(vec![assigned("u", &[(0, &[1]), (1, &[1])])]);
    assert_eq!(reassign(&mut cluster, "u", 1, Some(&[2])), Ok(()));
    let all = ListPartitionReassignmentsRequest { timeout_ms: 0, topics: None };
    let response = cluster.controller.list_partition_reassignments(&all);
    let ongoing = OngoingPartitionReassignment {
        partition_index: 1,
        replicas: vec![2, 1],
        adding_replicas: vec![2],
        removing_replicas: vec![1],
    };
    let u = OngoingTopicReassignment { name: "u".to_owned(), partitions: vec![ongoing] };
    assert_eq!((response.error_code, response.error_message, response.topics), (0, None, vec![u.clone()]));
    let listed = |name: &str, indexes: &[i32]| ListPartitionReassignmentsTopics {
        name: name.to_owned(),
        partition_indexes: indexes.to_vec(),
    };
    let topics = Some(vec![listed("t", &[0]), listed("none", &[0]), listed("u", &[0, 1, 2])]);
    let some = ListPartitionReassignmentsRequest { timeout_ms: 0, topics };
    assert_eq!(cluster.controller.list_partition_reassignments(&some).topics, [u]);
}

#[test]
fn directories_are_noted_and_failed_ones_are_left() {
    let mut cluster = cluster();
    assert_eq!(cluster.assign_dir(2, "t", 0, Uuid(2001)), ErrorCode::None);
    let partition = cluster.partition("t", 0);
    assert_eq!((&partition.directories, &partition.isr), (&vec![Uuid(1000), Uuid(2001)], &ids(&[1, 2])));
    assert_eq!(cluster.assign_dir(2, "t", 0, Uuid(7777)), ErrorCode::None);
    let partition = cluster.partition("t", 0);
    assert_eq!((&partition.isr, &partition.elr), (&ids(&[1]), &ids(&[2])), "not in use");
    assert_eq!(cluster.assign_dir(2, "t", 0, Uuid(2000)), ErrorCode::None);
    assert_eq!(cluster.partition("t", 0).elr, [], "what comes from nowhere was begun anew");
    assert_eq!(cluster.assign_dir(3, "t", 0, Uuid(3000)), ErrorCode::NotLeaderOrFollower);
    let request = AssignReplicasToDirsRequest {
        broker_id: 1,
        broker_epoch: cluster.broker(1).epoch.0,
        directories: vec![DirectoryData {
            id: Uuid(1000),
            topics: vec![
                TopicData { topic_id: Uuid(9999), partitions: vec![PartitionData { partition_index: 0 }] },
                TopicData {
                    topic_id: cluster.key("t", 0).topic_id,
                    partitions: vec![PartitionData { partition_index: 5 }],
                },
            ],
        }],
    };
    let response = cluster.controller.assign_replicas_to_dirs(&request).response;
    let codes: Vec<i16> =
        response.directories[0].topics.iter().map(|it| it.partitions[0].error_code).collect();
    assert_eq!(codes, [ErrorCode::UnknownTopicId.code(), ErrorCode::UnknownTopicOrPartition.code()]);
    let stale = AssignReplicasToDirsRequest { broker_epoch: -1, ..request };
    let response = cluster.controller.assign_replicas_to_dirs(&stale).response;
    assert_eq!(response.error_code, ErrorCode::StaleBrokerEpoch.code());
}
