//! A new log, brokers, producer ids.

use super::*;

#[test]
fn a_new_log_begins_with_features_and_defaults() {
    let mut cluster = Cluster::new();
    cluster.take(cluster.controller.activate());
    assert_eq!(cluster.image().features().collect::<Vec<_>>(), [(METADATA_VERSION, 30)]);
    assert_eq!(cluster.image().config(ResourceType::Broker, "")["min.insync.replicas"], "2");
    assert_eq!(cluster.controller.activate().records, [], "the next controller has nothing to add");
}

#[test]
fn a_brokers_epoch_is_the_offset_of_its_registration() {
    let mut cluster = Cluster::with_brokers(1);
    let broker = cluster.image().broker(BrokerId(1)).expect("registered").clone();
    assert_eq!(broker.epoch.0, broker.registered_at.0);
    assert!(cluster.image().is_active(BrokerId(1)));
    assert_eq!(broker.rack.as_deref(), Some("r"));

    let again = cluster.start_broker(1, 1);
    assert_eq!(again, broker.epoch, "the same run keeps its epoch");
    assert!(cluster.image().is_active(BrokerId(1)), "and stays unfenced");
}

#[test]
fn a_new_run_of_a_broker_raises_the_epochs_of_what_it_leads() {
    let mut cluster = Cluster::with_brokers(2);
    let mine = assigned("mine", &[(0, &[1, 2]), (1, &[1, 2])]);
    cluster.create(vec![mine, assigned("theirs", &[(0, &[2, 1])])]);
    let before = cluster.image().clone();
    let decision = cluster.controller.register_broker(&registration(1, 99), cluster.next);
    assert!(decision.atomic);
    let epoch = cluster.take(decision).expect("it may register");
    let broker = cluster.image().broker(BrokerId(1)).expect("registered").clone();
    assert_eq!((broker.epoch, broker.registered_at.0), (epoch, epoch.0), "the last record of its batch");
    assert!(broker.fenced && !cluster.image().is_active(BrokerId(1)));

    let partition = |image: &Image, name: &str, index: i32| {
        image.topic_named(name).expect("it exists").partitions[&index].clone()
    };
    for index in 0..2 {
        let (old, new) = (partition(&before, "mine", index), partition(cluster.image(), "mine", index));
        assert_eq!((new.leader, &new.isr), (old.leader, &old.isr));
        assert_eq!(new.leader_epoch, LeaderEpoch(old.leader_epoch.0 + 1));
        assert_eq!(new.partition_epoch, PartitionEpoch(old.partition_epoch.0 + 1));
    }
    assert_eq!(partition(&before, "theirs", 0), partition(cluster.image(), "theirs", 0));
}

#[test]
fn registrations_are_refused_with_a_reason() {
    let cluster = Cluster::with_brokers(2);
    type Change = fn(&mut Registration);
    let cases: [(Change, ErrorCode, &str); 7] = [
        (|it| it.cluster_id = "x".to_owned(), ErrorCode::InconsistentClusterId, "got cluster ID x"),
        (|it| it.log_dirs.clear(), ErrorCode::InvalidRegistration, "No directories"),
        (|it| it.log_dirs = vec![Uuid(99)], ErrorCode::InvalidRegistration, "Reserved"),
        (|it| it.log_dirs = vec![Uuid(500); 2], ErrorCode::InvalidRegistration, "Duplicate"),
        (|it| it.log_dirs = vec![Uuid(2000)], ErrorCode::InvalidRegistration, "Broker 2 is already"),
        (|it| it.features.clear(), ErrorCode::InvalidRegistration, "do not contain 'metadata.version'"),
        (
            |it| it.features[0].1 = FeatureRange { min: 7, max: 29 },
            ErrorCode::UnsupportedVersion,
            "finalized version 30 of metadata.version",
        ),
    ];
    for (change, code, message) in cases {
        let mut changed = registration(1, 5);
        change(&mut changed);
        let decision = cluster.controller.register_broker(&changed, cluster.next);
        assert_eq!(decision.records, []);
        let refusal = decision.response.expect_err("it is refused");
        refused(Err((refusal.code, refusal.message)), code, message);
    }
}

#[test]
fn producer_ids_come_in_blocks_that_never_overlap() {
    let mut cluster = Cluster::with_brokers(1);
    let epoch = cluster.image().broker(BrokerId(1)).expect("registered").epoch;
    for expected in [0, 1000, 2000] {
        let decision = cluster.controller.allocate_producer_ids(BrokerId(1), epoch);
        let block = cluster.take(decision).expect("it may have them");
        assert_eq!((block.first.0, block.count), (expected, 1000));
    }
    for (id, epoch) in [(1, BrokerEpoch(epoch.0 + 1)), (3, epoch)] {
        let decision = cluster.controller.allocate_producer_ids(BrokerId(id), epoch);
        assert_eq!(decision.response.expect_err("stale").code, ErrorCode::StaleBrokerEpoch);
        let decision = cluster.controller.unfence_broker(BrokerId(id), epoch);
        assert_eq!(decision.response.expect_err("stale").code, ErrorCode::StaleBrokerEpoch);
    }
    cluster.append(ProducerIdsRecord { next_producer_id: i64::MAX - 999, ..Default::default() }.into());
    let decision = cluster.controller.allocate_producer_ids(BrokerId(1), epoch);
    assert_eq!(decision.response.expect_err("exhausted").code, ErrorCode::UnknownServerError);
}
