//! Records applied: transactions, faults, equality of live and replayed metadata.

use super::*;

#[test]
fn activation_ends_the_transaction_of_a_predecessor() {
    let mut cluster = Cluster::with_brokers(1);
    let before = cluster.image().clone();
    cluster.append(BeginTransactionRecord::default().into());
    cluster.append(FeatureLevelRecord { name: "f".to_owned(), feature_level: 1 }.into());
    assert_eq!(cluster.image().feature("f"), 1);
    assert_eq!(cluster.controller.metadata().published(), &{ before.clone() }, "nobody sees it yet");
    let decision = cluster.controller.activate(None);
    assert_eq!(decision.records.len(), 1);
    cluster.take(decision);
    assert_eq!(cluster.image().feature("f"), 0);
    assert_eq!(cluster.image().offset(), before.offset() + 3, "but the offset goes on");
}

#[test]
fn a_transaction_that_ends_shows_all_its_records() {
    let mut cluster = Cluster::with_brokers(1);
    cluster.append(BeginTransactionRecord::default().into());
    cluster.append(FeatureLevelRecord { name: "f".to_owned(), feature_level: 1 }.into());
    cluster.append(EndTransactionRecord::default().into());
    let metadata = cluster.controller.metadata();
    assert_eq!(metadata.published().feature("f"), 1);
    assert_eq!(metadata.published(), metadata.current());
    assert_eq!(metadata.open_transaction(), None);
}

#[test]
fn a_record_that_cannot_be_applied_is_an_error_and_changes_nothing() {
    let mut cluster = Cluster::with_brokers(1);
    let id = cluster.create(vec![topic("t", 1, 1)])[0].topic_id;
    let change = |change: PartitionChangeRecord| MetadataRecord::from(change);
    let unknown = Uuid(9999);
    let faulty: Vec<(MetadataRecord, &str)> = vec![
        (TopicRecord { name: "t".to_owned(), topic_id: unknown }.into(), "topic t exists"),
        (TopicRecord { name: "u".to_owned(), topic_id: id }.into(), "topic u exists"),
        (RemoveTopicRecord { topic_id: unknown }.into(), "there is no topic"),
        (PartitionRecord { topic_id: unknown, ..Default::default() }.into(), "there is no topic"),
        (
            PartitionRecord {
                topic_id: id,
                replicas: vec![1, 2],
                directories: vec![unknown],
                ..Default::default()
            }
            .into(),
            "1 directories for 2 replicas",
        ),
        (
            PartitionRecord { topic_id: id, leader_recovery_state: 2, ..Default::default() }.into(),
            "leaderRecoveryState is 2",
        ),
        (change(PartitionChangeRecord { topic_id: unknown, ..Default::default() }), "there is no topic"),
        (
            change(PartitionChangeRecord { topic_id: id, partition_id: 5, ..Default::default() }),
            "there is no partition",
        ),
        (
            change(PartitionChangeRecord {
                topic_id: id,
                partition_id: 0,
                replicas: Some(vec![1, 2]),
                ..Default::default()
            }),
            "1 directories for 2 replicas",
        ),
        (
            ConfigRecord { resource_type: 2, resource_name: "none".to_owned(), ..Default::default() }.into(),
            "no topic named none",
        ),
        (ConfigRecord { resource_type: 3, ..Default::default() }.into(), "resourceType is 3"),
        (UnregisterBrokerRecord { broker_id: 1, broker_epoch: -5 }.into(), "not registered with epoch -5"),
        (FenceBrokerRecord { id: 7, epoch: 0 }.into(), "broker 7 is not registered"),
        (BrokerRegistrationChangeRecord { fenced: 3, ..Default::default() }.into(), "fenced is 3"),
        (
            BrokerRegistrationChangeRecord { in_controlled_shutdown: -1, ..Default::default() }.into(),
            "inControlledShutdown is -1",
        ),
        (ProducerIdsRecord { next_producer_id: 0, ..Default::default() }.into(), "would go from 0 to 0"),
        (EndTransactionRecord::default().into(), "no transaction is open"),
        (AbortTransactionRecord::default().into(), "no transaction is open"),
        (ClientQuotaRecord::default().into(), "does not support it"),
        (ClearElrRecord { topic_name: "none".to_owned() }.into(), "no topic named none"),
    ];
    let before = cluster.controller.clone();
    for (record, message) in faulty {
        let error =
            cluster.controller.replay(cluster.next, cluster.epoch, &record).expect_err("it is faulty");
        assert!(error.to_string().contains(message), "{error}");
        assert_eq!(cluster.controller, before);
    }
    let noop = MetadataRecord::from(NoOpRecord::default());
    let error = cluster.controller.replay(Offset(3), cluster.epoch, &noop).expect_err("it is out of order");
    assert!(error.to_string().starts_with("the metadata record NoOpRecord at offset 3 cannot be applied"));

    cluster.append(BeginTransactionRecord::default().into());
    let begin = BeginTransactionRecord::default().into();
    let error = cluster.controller.replay(cluster.next, cluster.epoch, &begin).expect_err("one is open");
    assert!(error.to_string().contains("is open"));
}

#[test]
fn epochs_do_not_wrap() {
    let mut cluster = Cluster::with_brokers(1);
    let id = cluster.create(vec![topic("t", 1, 1)])[0].topic_id;
    let last =
        PartitionRecord { topic_id: id, partition_id: 0, leader_epoch: i32::MAX, ..Default::default() };
    cluster.append(last.into());
    let change = PartitionChangeRecord { topic_id: id, partition_id: 0, leader: 1, ..Default::default() };
    let error =
        cluster.controller.replay(cluster.next, cluster.epoch, &change.into()).expect_err("exhausted");
    assert!(error.to_string().contains("epochs"));
}

#[test]
fn changes_of_partitions_and_brokers_are_merged() {
    let mut cluster = Cluster::with_brokers(2);
    let id = cluster.create(vec![assigned("t", &[(0, &[1, 2])])])[0].topic_id;
    cluster.append(
        PartitionChangeRecord {
            topic_id: id,
            partition_id: 0,
            isr: Some(vec![2]),
            leader: 2,
            eligible_leader_replicas: Some(vec![1]),
            ..Default::default()
        }
        .into(),
    );
    let partition = cluster.image().partition(id, 0).expect("it exists").clone();
    assert_eq!((partition.leader, partition.leader_epoch.0), (BrokerId(2), 1));
    assert_eq!((&partition.isr[..], &partition.elr[..]), (&[BrokerId(2)][..], &[BrokerId(1)][..]));
    assert_eq!(partition.replicas, [BrokerId(1), BrokerId(2)]);
    cluster.append(
        PartitionChangeRecord {
            topic_id: id,
            partition_id: 0,
            leader_recovery_state: 1,
            ..Default::default()
        }
        .into(),
    );
    let partition = cluster.image().partition(id, 0).expect("it exists").clone();
    assert_eq!((partition.leader_epoch.0, partition.partition_epoch.0), (1, 2), "no leader was named");
    assert_eq!(partition.leader_recovery, image::LeaderRecoveryState::Recovering);

    let epoch = cluster.image().broker(BrokerId(2)).expect("registered").epoch.0;
    cluster.append(
        BrokerRegistrationChangeRecord {
            broker_id: 2,
            broker_epoch: epoch,
            in_controlled_shutdown: 1,
            log_dirs: vec![Uuid(5000)],
            cordoned_log_dirs: Some(vec![]),
            ..Default::default()
        }
        .into(),
    );
    let broker = cluster.image().broker(BrokerId(2)).expect("registered");
    assert_eq!((&broker.log_dirs, &broker.cordoned_log_dirs), (&vec![Uuid(5000)], &Some(vec![])));
    assert!(!broker.fenced && broker.in_controlled_shutdown && !cluster.image().is_active(BrokerId(2)));
    cluster.append(FenceBrokerRecord { id: 2, epoch }.into());
    cluster.append(UnfenceBrokerRecord { id: 2, epoch }.into());
    cluster.append(UnregisterBrokerRecord { broker_id: 2, broker_epoch: epoch }.into());
    assert!(cluster.image().broker(BrokerId(2)).is_none());
    cluster.append(RegisterControllerRecord { controller_id: 3, ..Default::default() }.into());
    assert_eq!(cluster.image().controllers().count(), 1);
}

/// Any sequence of requests leaves the live metadata equal to what a replay of the log builds up: `take`
/// checks it after each.
#[test]
fn live_and_replayed_metadata_are_equal_after_any_requests() {
    for seed in 0..20 {
        let mut cluster = Cluster::with_brokers(3);
        let mut dice = ChaCha8Rng::seed_from_u64(seed);
        let mut roll = |sides: u64| dice.next_u64() % sides;
        for step in 0..40 {
            let name = format!("t{}{}", ["", ".", "_"][roll(3) as usize], roll(5));
            match roll(6) {
                0 | 1 => {
                    let partitions = i32::try_from(roll(4)).expect("small");
                    let wanted = topic(&name, partitions, i16::try_from(roll(5)).expect("small"));
                    cluster.create(vec![wanted, configured("x y", &[])]);
                }
                2 => {
                    let topic_names = vec![name.clone(), "none".to_owned()];
                    let request = DeleteTopicsRequest { topic_names, ..Default::default() };
                    let decision = cluster.controller.delete_topics(&request);
                    cluster.take(decision);
                }
                3 => {
                    let count = i32::try_from(roll(8)).expect("small");
                    let topics = vec![CreatePartitionsTopic { name, count, assignments: None }];
                    let request = CreatePartitionsRequest { topics, ..Default::default() };
                    let decision = cluster.controller.create_partitions(&request, &mut cluster.rng);
                    cluster.take(decision);
                }
                4 => {
                    let value = roll(3).to_string();
                    let _ = cluster.alter(ResourceType::Topic, &name, vec![set("segment.ms", &value)]);
                }
                _ => {
                    let id = 1 + i32::try_from(roll(3)).expect("small");
                    cluster.start_broker(id, 100 + u128::from(step / 10 + roll(2)));
                }
            }
        }
    }
}

#[test]
fn a_published_image_does_not_change() {
    let mut cluster = Cluster::with_brokers(1);
    cluster.create(vec![topic("t", 1, 1)]);
    let published = cluster.controller.metadata().published().clone();
    cluster.create(vec![topic("u", 1, 1)]);
    assert_eq!(cluster.alter(ResourceType::Topic, "t", vec![set("segment.ms", "5")]), Ok(()));
    assert!(published.topic_named("u").is_none());
    assert_eq!(published.topic_named("t").map(|topic| topic.configs.len()), Some(0));
    assert!(published.offset() < cluster.image().offset());
    assert_eq!(published.epoch(), LeaderEpoch(1));
}

#[test]
fn elrs_are_cleared_for_one_topic_or_for_all() {
    let mut cluster = Cluster::with_brokers(2);
    cluster.create(vec![
        assigned("t", &[(0, &[1, 2])]),
        assigned("u", &[(0, &[1, 2])]),
        assigned("v", &[(0, &[2])]),
    ]);
    cluster.pass(10);
    cluster.beat(2);
    cluster.fence_stale();
    let elrs = |cluster: &Cluster| {
        [("t", 0), ("u", 0)].map(|(topic, index)| cluster.partition(topic, index).elr.clone())
    };
    assert_eq!(elrs(&cluster), [ids(&[1]), ids(&[1])]);
    cluster.append(ClearElrRecord { topic_name: "t".to_owned() }.into());
    assert_eq!(elrs(&cluster), [ids(&[]), ids(&[1])]);
    let untouched = cluster.partition("v", 0);
    cluster.append(ClearElrRecord::default().into());
    assert_eq!(elrs(&cluster), [ids(&[]), ids(&[])]);
    assert_eq!(cluster.partition("v", 0), untouched, "what has none does not change");
    assert_eq!(cluster.partition("u", 0).partition_epoch.0, 2);
}
