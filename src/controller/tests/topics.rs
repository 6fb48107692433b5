//! Topics and their partitions come and go.

use super::*;

#[test]
fn topics_are_created_with_defaults_or_as_asked() {
    let mut cluster = Cluster::with_brokers(3);
    let results = cluster.create(vec![
        topic("defaults", -1, -1),
        topic("asked", 7, 3),
        assigned("by-hand", &[(1, &[3, 1]), (0, &[2, 3])]),
    ]);
    for (result, partitions, replicas) in [(&results[0], 4, 2), (&results[1], 7, 3), (&results[2], 2, 2)] {
        assert_eq!(outcome(result.error_code, result.error_message.clone()), Ok(()));
        assert_eq!((result.num_partitions, result.replication_factor), (partitions, replicas));
        let created = cluster.image().topic(result.topic_id).expect("it exists");
        assert_eq!((&*created.name, created.partitions.len()), (result.name.as_str(), partitions as usize));
        for partition in created.partitions.values() {
            assert_eq!(partition.replicas.len(), replicas as usize);
            assert_eq!((partition.leader, &partition.isr), (partition.replicas[0], &partition.replicas));
            assert_eq!((partition.leader_epoch.0, partition.partition_epoch.0), (0, 0));
            for (broker, dir) in partition.replicas.iter().zip(&partition.directories) {
                assert!(cluster.image().broker(*broker).expect("registered").log_dirs.contains(dir));
            }
        }
    }
    let by_hand = cluster.image().topic_named("by-hand").expect("it exists");
    assert_eq!(by_hand.partitions[&1].replicas, [BrokerId(3), BrokerId(1)]);
    let configs = results[0].configs.as_ref().expect("they are described");
    let find = |name: &str| configs.iter().find(|config| config.name == name).expect("described");
    assert_eq!(find("min.insync.replicas").value.as_deref(), Some("2"));
    assert_eq!(find("min.insync.replicas").config_source, 3, "the cluster's default, written at format");
    assert_eq!(find("retention.ms").config_source, 5);
    assert_eq!(cluster.image().topic_count(), 3);
    assert_eq!(cluster.image().topics().count(), 3);
}

#[test]
fn every_way_not_to_create_a_topic_has_its_error() {
    use ErrorCode::{
        InvalidConfig, InvalidPartitions, InvalidReplicaAssignment, InvalidReplicationFactor, InvalidRequest,
        InvalidTopicException, PolicyViolation, TopicAlreadyExists,
    };
    let mut cluster = Cluster::with_brokers(3);
    cluster.create(vec![topic("exists", 1, 1), topic("a.b", 1, 1)]);
    // A fenced broker may follow, not lead.
    cluster.register(&registration(4, 4)).expect("it may register");
    let internal = CreatableTopic {
        name: "__consumer_offsets".to_owned(),
        ..configured("", &[("flush.messages", Some("2"))])
    };
    let long = "x".repeat(40_000);
    for (wrong, code, message) in [
        (topic("", 1, 1), InvalidTopicException, "the empty string is not allowed"),
        (topic("..", 1, 1), InvalidTopicException, "'..' is not allowed"),
        (topic("a b", 1, 1), InvalidTopicException, "other than ASCII alphanumerics"),
        (topic("a_b", 1, 1), InvalidTopicException, "collides with existing topic: a.b"),
        (topic("exists", 1, 1), TopicAlreadyExists, "Topic 'exists' already exists."),
        (topic("a.b", 1, 1), TopicAlreadyExists, "Topic 'a.b' already exists."),
        (topic("__cluster_metadata", 1, 1), InvalidRequest, "prohibited"),
        (topic("t", 0, 1), InvalidPartitions, "non-positive"),
        (topic("t", -2, 1), InvalidPartitions, "non-positive"),
        (topic("t", 1, 0), InvalidReplicationFactor, "larger than 0"),
        (topic("t", 1, -2), InvalidReplicationFactor, "larger than 0"),
        (topic("t", 1, 5), InvalidReplicationFactor, "only 4 broker(s)"),
        (topic("t", 10_001, 1), PolicyViolation, "Excessively large"),
        (topic("t", 10_000, 1), PolicyViolation, "Excessively large"),
        (assigned("t", &[(0, &[])]), InvalidReplicaAssignment, "empty replica list"),
        (assigned("t", &[(0, &[9])]), InvalidReplicaAssignment, "broker 9, but no such broker"),
        (assigned("t", &[(0, &[1, 1])]), InvalidReplicaAssignment, "broker 1 more than once"),
        (assigned("t", &[(0, &[1]), (1, &[1, 2])]), InvalidReplicaAssignment, "which have 1 replica(s)"),
        (assigned("t", &[(0, &[1]), (0, &[2])]), InvalidReplicaAssignment, "Found multiple"),
        (assigned("t", &[(0, &[1]), (2, &[2])]), InvalidReplicaAssignment, "consecutive 0-based"),
        (assigned("t", &[(-1, &[1])]), InvalidReplicaAssignment, "consecutive 0-based"),
        (assigned("t", &[(0, &[4])]), InvalidReplicaAssignment, "fenced or in controlled shutdown"),
        (
            CreatableTopic { num_partitions: 1, ..assigned("t", &[(0, &[1])]) },
            InvalidRequest,
            "numPartitions was not set to -1",
        ),
        (
            CreatableTopic { replication_factor: 1, ..assigned("t", &[(0, &[1])]) },
            InvalidRequest,
            "replication factor was not set to -1",
        ),
        (configured("t", &[("no.such", Some("1"))]), InvalidConfig, "Unknown topic config name: no.such"),
        (configured("t", &[("segment.ms", Some("0"))]), InvalidConfig, "Value must be at least 1"),
        (configured("t", &[("segment.ms", None)]), InvalidConfig, "Null value not supported"),
        (configured("t", &[("segment.ms", Some(&long))]), InvalidConfig, "maximum value size"),
        (internal, InvalidConfig, "always syncs"),
    ] {
        let result = cluster.create(vec![wrong.clone()]).remove(0);
        assert_eq!(result.name, wrong.name);
        refused(outcome(result.error_code, result.error_message), code, message);
    }
    assert_eq!(cluster.image().topic_count(), 2, "none of them left a trace");
}

#[test]
fn one_bad_topic_does_not_keep_the_others_from_being_created() {
    let mut cluster = Cluster::with_brokers(1);
    let results = cluster.create(vec![
        topic("good", 1, 1),
        topic("bad", 0, 1),
        topic("twice", 1, 1),
        topic("twice", 2, 1),
        topic("c.d", 1, 1),
        topic("c_d", 1, 1),
    ]);
    let codes: Vec<(&str, i16)> = results.iter().map(|it| (it.name.as_str(), it.error_code)).collect();
    assert_eq!(codes, [("good", 0), ("bad", 37), ("twice", 42), ("c.d", 0), ("c_d", 17)]);
    assert_eq!(cluster.image().topic_count(), 2);
}

#[test]
fn without_an_active_broker_no_topic_is_created() {
    let mut cluster = Cluster::with_brokers(0);
    let result = cluster.create(vec![topic("t", 1, 1)]).remove(0);
    let outcome = outcome(result.error_code, result.error_message);
    refused(outcome, ErrorCode::InvalidReplicationFactor, "All brokers are currently fenced");
}

#[test]
fn validation_alone_creates_nothing_and_answers_the_same() {
    let mut cluster = Cluster::with_brokers(1);
    let topics = vec![topic("good", 1, 1), topic("bad", 0, 1)];
    let request = CreateTopicsRequest { topics, validate_only: true, ..CreateTopicsRequest::default() };
    let decision = cluster.controller.create_topics(&request, &mut cluster.rng);
    assert_eq!(decision.records, []);
    let codes: Vec<i16> = decision.response.topics.iter().map(|it| it.error_code).collect();
    assert_eq!(codes, [0, 37]);
    assert_eq!(decision.response.topics[0].topic_id, Uuid::ZERO);
}

#[test]
fn a_request_cannot_make_more_records_than_a_batch_should_have() {
    let mut cluster = Cluster::with_brokers(1);
    let topics: Vec<CreatableTopic> = (0..5001).map(|index| topic(&format!("t{index}"), 1, 1)).collect();
    let results = cluster.create(topics);
    assert_eq!(results.len(), 5001);
    assert!(results.iter().all(|it| it.error_code == ErrorCode::PolicyViolation.code()));
    assert_eq!(cluster.image().topic_count(), 0);
}

#[test]
fn missing_topics_are_created_with_the_defaults() {
    let mut cluster = Cluster::with_brokers(2);
    let decision = cluster.controller.auto_create_topics(&["a", "b c"], &mut cluster.rng);
    let results = cluster.take(decision).topics;
    assert_eq!((results[0].error_code, results[0].num_partitions), (0, 4));
    assert_eq!(results[1].error_code, ErrorCode::InvalidTopicException.code());
}

#[test]
fn topics_are_deleted_by_name_or_id() {
    let mut cluster = Cluster::with_brokers(1);
    let results = cluster.create(["a.x", "b", "c", "d"].map(|name| topic(name, 1, 1)).into());
    let id = |index: usize| results[index].topic_id;
    let by_name = |name: &str| DeleteTopicState { name: Some(name.to_owned()), topic_id: Uuid::ZERO };
    let by_id = |topic_id: Uuid| DeleteTopicState { name: None, topic_id };
    let request = DeleteTopicsRequest {
        topics: vec![
            by_name("a.x"),
            by_id(id(1)),
            by_name("none"),
            by_id(Uuid(7)),
            by_id(Uuid::ZERO),
            DeleteTopicState { name: Some("c".to_owned()), topic_id: id(2) },
            by_name("twice"),
            by_name("twice"),
            by_name("d"),
            by_id(id(3)),
        ],
        ..DeleteTopicsRequest::default()
    };
    let decision = cluster.controller.delete_topics(&request);
    let responses = cluster.take(decision).responses;
    let codes: Vec<i16> = responses.iter().map(|it| it.error_code).collect();
    assert_eq!(codes, [0, 0, 3, 100, 42, 42, 42, 42, 42]);
    assert_eq!(responses[0].topic_id, id(0));
    assert_eq!(responses[1].name.as_deref(), Some("b"));
    assert!(cluster.image().topic_named("a.x").is_none() && cluster.image().topic(id(1)).is_none());
    assert_eq!(cluster.image().topic_count(), 2);
    let again = cluster.create(vec![topic("a_x", 1, 1)]);
    assert_eq!(again[0].error_code, 0, "the name is free, and collides with nothing any more");

    let request = DeleteTopicsRequest {
        topic_names: vec!["c".to_owned(), "none".to_owned()],
        ..DeleteTopicsRequest::default()
    };
    let decision = cluster.controller.delete_topics(&request);
    let codes: Vec<i16> = cluster.take(decision).responses.iter().map(|it| it.error_code).collect();
    assert_eq!(codes, [0, 3]);

    cluster.controller.settings.delete_topics = false;
    let decision = cluster.controller.delete_topics(&request);
    assert_eq!(decision.records, []);
    assert!(decision.response.responses.iter().all(|it| it.error_code == 73));
}

#[test]
fn a_deleted_topic_takes_its_configuration_along() {
    let mut cluster = Cluster::with_brokers(2);
    cluster.create(vec![configured("t", &[("segment.ms", Some("5"))])]);
    let names = vec!["t".to_owned()];
    let request = DeleteTopicsRequest { topic_names: names, ..DeleteTopicsRequest::default() };
    let decision = cluster.controller.delete_topics(&request);
    cluster.take(decision);
    cluster.create(vec![topic("t", 1, 1)]);
    assert_eq!(cluster.topic_config("t"), Texts::new());
}

#[test]
fn partitions_are_added() {
    let mut cluster = Cluster::with_brokers(3);
    cluster.create(vec![topic("t", 2, 2), topic("u", 1, 2)]);
    let more = |name: &str, count: i32, assignments: Option<&[&[i32]]>| CreatePartitionsTopic {
        name: name.to_owned(),
        count,
        assignments: assignments.map(|lists| {
            lists.iter().map(|ids| CreatePartitionsAssignment { broker_ids: ids.to_vec() }).collect()
        }),
    };
    let topics = vec![more("t", 5, None), more("u", 3, Some(&[&[1, 2], &[3, 1]]))];
    let request = CreatePartitionsRequest { topics, validate_only: true, ..Default::default() };
    let decision = cluster.controller.create_partitions(&request, &mut cluster.rng);
    assert!(decision.records.is_empty() && decision.response.results.iter().all(|it| it.error_code == 0));
    let request = CreatePartitionsRequest { validate_only: false, ..request };
    let decision = cluster.controller.create_partitions(&request, &mut cluster.rng);
    cluster.take(decision);
    let partitions = |name: &str| cluster.image().topic_named(name).expect("it exists").partitions.clone();
    assert_eq!(partitions("t").keys().copied().collect::<Vec<_>>(), [0, 1, 2, 3, 4]);
    assert!(partitions("t").values().all(|partition| partition.replicas.len() == 2));
    assert_eq!(partitions("u")[&2].replicas, [BrokerId(3), BrokerId(1)]);

    use ErrorCode::{
        InvalidPartitions, InvalidReplicaAssignment, InvalidRequest, PolicyViolation, UnknownTopicOrPartition,
    };
    for (wrong, code, message) in [
        (more("none", 3, None), UnknownTopicOrPartition, "does not host"),
        (more("t", 5, None), InvalidPartitions, "Topic already has 5 partition(s)."),
        (more("t", 4, None), InvalidPartitions, "currently has 5 partition(s); 4 would not be an increase"),
        (more("t", -1, None), InvalidPartitions, "would not be an increase"),
        (more("t", 10_006, None), PolicyViolation, "Excessively large"),
        (more("t", 7, Some(&[&[1, 2]])), InvalidReplicaAssignment, "only 1 assignment(s) were specified"),
        (more("t", 6, Some(&[&[1]])), InvalidReplicaAssignment, "which have 2 replica(s)"),
        (more("t", 6, Some(&[&[1, 9]])), InvalidReplicaAssignment, "no such broker"),
    ] {
        let request = CreatePartitionsRequest { topics: vec![wrong], ..Default::default() };
        let decision = cluster.controller.create_partitions(&request, &mut cluster.rng);
        let result = cluster.take(decision).results.remove(0);
        refused(outcome(result.error_code, result.error_message), code, message);
    }
    let topics = vec![more("t", 6, None), more("t", 7, None)];
    let request = CreatePartitionsRequest { topics, ..Default::default() };
    let decision = cluster.controller.create_partitions(&request, &mut cluster.rng);
    assert_eq!((decision.records.len(), decision.response.results.len()), (0, 1));
    assert_eq!(decision.response.results[0].error_code, InvalidRequest.code());
}
