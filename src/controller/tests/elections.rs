//! Elections that are asked for, or called by a timer.

use super::*;
use crate::wire::messages::elect_leaders::*;

fn elect(
    cluster: &mut Cluster,
    election_type: i8,
    topics: Option<&[(&str, &[i32])]>,
) -> Vec<(String, i32, ErrorCode)> {
    let listed = |&(topic, partitions): &(&str, &[i32])| TopicPartitions {
        topic: topic.to_owned(),
        partitions: partitions.to_vec(),
    };
    let topic_partitions = topics.map(|topics| topics.iter().map(listed).collect());
    let request = ElectLeadersRequest { election_type, topic_partitions, timeout_ms: 0 };
    let response = cluster.take(cluster.controller.elect_leaders(&request));
    assert_eq!(response.error_code, 0);
    let mut results = Vec::new();
    for topic in response.replica_election_results {
        for result in topic.partition_result {
            let code = ErrorCode::from_code(result.error_code).expect("a code of Kafka's");
            assert_eq!(result.error_message.is_none(), code == ErrorCode::None);
            results.push((topic.topic.clone(), result.partition_id, code));
        }
    }
    results
}

/// Broker 1 was away, and is in sync again: nothing has its preferred leader.
fn moved() -> Cluster {
    let mut cluster = Cluster::with_brokers(3);
    cluster.create(vec![
        assigned("t", &[(0, &[1, 2]), (1, &[1, 3]), (2, &[2, 1])]),
        assigned("u", &[(0, &[1, 2])]),
    ]);
    cluster.pass(10);
    cluster.beat(2);
    cluster.beat(3);
    assert_eq!(cluster.fence_stale(), ids(&[1]));
    cluster.beat(1);
    for (topic, index, isr) in [("t", 0, [2, 1]), ("u", 0, [2, 1])] {
        let key = cluster.key(topic, index);
        cluster.append(
            PartitionChangeRecord {
                topic_id: key.topic_id,
                partition_id: index,
                isr: Some(isr.to_vec()),
                eligible_leader_replicas: Some(vec![]),
                ..Default::default()
            }
            .into(),
        );
    }
    cluster
}

#[test]
fn preferred_leaders_are_elected_where_they_are_in_sync() {
    use ErrorCode::{ElectionNotNeeded, None as Done, PreferredLeaderNotAvailable, UnknownTopicOrPartition};
    let mut cluster = moved();
    let listed: &[(&str, &[i32])] = &[("t", &[0, 0, 1, 2, 3]), ("none", &[0])];
    let codes: Vec<ErrorCode> = elect(&mut cluster, 0, Some(listed)).into_iter().map(|it| it.2).collect();
    let expected = [
        Done,
        ElectionNotNeeded,
        PreferredLeaderNotAvailable,
        ElectionNotNeeded,
        UnknownTopicOrPartition,
        UnknownTopicOrPartition,
    ];
    assert_eq!(codes, expected);
    let elected = cluster.partition("t", 0);
    assert_eq!((elected.leader, elected.leader_epoch.0), (BrokerId(1), 2));
    let all = elect(&mut cluster, 0, None);
    let rest = [("t".to_owned(), 1, PreferredLeaderNotAvailable), ("u".to_owned(), 0, Done)];
    assert!(all.len() == 2 && rest.iter().all(|it| all.contains(it)), "without what was not needed: {all:?}");
}

#[test]
fn the_timer_elects_preferred_leaders_too() {
    let mut cluster = moved();
    assert!(!cluster.take(cluster.controller.balance_leaders()), "that was all");
    for (topic, index, leader) in [("t", 0, 1), ("t", 1, 3), ("t", 2, 2), ("u", 0, 1)] {
        assert_eq!(cluster.partition(topic, index).leader, BrokerId(leader), "{topic}-{index}");
    }
    assert_eq!(cluster.controller.balance_leaders().records, []);
}

#[test]
fn a_decision_on_a_timer_is_of_bounded_size() {
    let mut cluster = Cluster::with_brokers(2);
    cluster.checked = false;
    let partitions: Vec<(i32, &[i32])> = (0..1500).map(|index| (index, &[1, 2][..])).collect();
    cluster.create(vec![assigned("t", &partitions)]);
    let topic_id = cluster.key("t", 0).topic_id;
    for partition_id in 0..1500 {
        cluster
            .append(PartitionChangeRecord { topic_id, partition_id, leader: 2, ..Default::default() }.into());
    }
    assert!(cluster.take(cluster.controller.balance_leaders()), "there is more to do");
    assert_eq!((0..1500).filter(|&index| cluster.partition("t", index).leader == BrokerId(1)).count(), 1000);
    assert!(!cluster.take(cluster.controller.balance_leaders()));
    assert!((0..1500).all(|index| cluster.partition("t", index).leader == BrokerId(1)));
}

#[test]
fn an_unclean_election_is_made_where_it_is_asked_for_and_needed() {
    use ErrorCode::{ElectionNotNeeded, EligibleLeadersNotAvailable, None as Done};
    let mut cluster = Cluster::with_brokers(2);
    cluster.create(vec![
        assigned("t", &[(0, &[1, 2])]),
        assigned("u", &[(0, &[1])]),
        assigned("v", &[(0, &[2])]),
    ]);
    cluster.shrink("t", vec![1]);
    cluster.pass(10);
    cluster.beat(2);
    assert_eq!(cluster.fence_stale(), ids(&[1]));
    assert_eq!(cluster.partition("t", 0).leader, BrokerId::NONE);
    cluster.take(cluster.controller.elect_leaderless());
    assert_eq!(cluster.partition("t", 0).leader, BrokerId::NONE, "the topic does not allow it");
    let codes: Vec<ErrorCode> = elect(&mut cluster, 1, Some(&[("t", &[0]), ("u", &[0]), ("v", &[0])]))
        .into_iter()
        .map(|it| it.2)
        .collect();
    assert_eq!(codes, [Done, EligibleLeadersNotAvailable, ElectionNotNeeded]);
    let elected = cluster.partition("t", 0);
    assert_eq!((elected.leader, &elected.isr, &elected.elr), (BrokerId(2), &ids(&[2]), &ids(&[])));
    assert_eq!(elected.leader_recovery, image::LeaderRecoveryState::Recovering);
}

#[test]
fn a_topic_that_allows_it_is_led_by_whoever_is_left() {
    let mut cluster = Cluster::with_brokers(2);
    let lax = configured("t", &[("unclean.leader.election.enable", Some("true"))]).configs;
    cluster.create(vec![CreatableTopic { configs: lax, ..assigned("t", &[(0, &[1, 2])]) }]);
    cluster.shrink("t", vec![1]);
    cluster.pass(10);
    cluster.beat(2);
    assert_eq!(cluster.fence_stale(), ids(&[1]));
    let elected = cluster.partition("t", 0);
    assert_eq!(
        (elected.leader, elected.leader_recovery),
        (BrokerId(2), image::LeaderRecoveryState::Recovering)
    );
}

#[test]
fn an_election_of_an_unknown_kind_is_refused() {
    let cluster = Cluster::with_brokers(1);
    let request = ElectLeadersRequest { election_type: 2, ..Default::default() };
    let decision = cluster.controller.elect_leaders(&request);
    assert_eq!(decision.response.error_code, ErrorCode::InvalidRequest.code());
}

#[test]
fn the_timer_elects_uncleanly_where_a_topic_has_come_to_allow_it() {
    let mut cluster = Cluster::with_brokers(2);
    cluster.create(vec![assigned("t", &[(0, &[1, 2])])]);
    cluster.shrink("t", vec![1]);
    cluster.pass(10);
    cluster.beat(2);
    assert_eq!(cluster.fence_stale(), ids(&[1]));
    let more = cluster.take(cluster.controller.elect_leaderless());
    assert_eq!((more, cluster.partition("t", 0).leader), (false, BrokerId::NONE), "nobody is allowed to");
    let allowed = ConfigRecord {
        resource_type: ResourceType::Topic as i8,
        resource_name: "t".to_owned(),
        name: "unclean.leader.election.enable".to_owned(),
        value: Some("true".to_owned()),
    };
    cluster.append(allowed.into());
    let more = cluster.take(cluster.controller.elect_leaderless());
    assert_eq!((more, cluster.partition("t", 0).leader), (false, BrokerId(2)));
}
