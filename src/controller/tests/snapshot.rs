//! An image, written as records and read again, is the same image.

use super::*;

/// The image that the records of this one make, encoded and decoded on the way.
pub(super) fn reread(image: &Image) -> Image {
    let records: Vec<MetadataRecord> = (image.to_records().iter())
        .map(|record| MetadataRecord::decode(&record.encode().expect("it can be written")).expect("and read"))
        .collect();
    let metadata = Metadata::load(image.offset(), image.epoch(), &records).expect("a snapshot can be loaded");
    assert_eq!(metadata.open_transaction(), None);
    metadata.current().clone()
}

#[test]
fn nothing_makes_no_records() {
    assert_eq!(Image::empty().to_records(), []);
    assert_eq!(reread(&Image::empty()), Image::empty());
}

#[test]
fn an_image_with_everything_in_it_survives() {
    let mut cluster = Cluster::with_brokers(3);
    let configured = configured("a.b", &[("segment.ms", Some("5")), ("flush.messages", Some("9"))]);
    cluster.create(vec![configured, assigned("t", &[(0, &[1, 2]), (1, &[3, 2])])]);
    // Names that collide come from older versions of Kafka only.
    cluster.append(TopicRecord { name: "a_b".to_owned(), topic_id: Uuid(777) }.into());
    assert_eq!(cluster.alter(ResourceType::Broker, "1", vec![set("max.connections", "5")]), Ok(()));
    cluster.append(
        ConfigRecord {
            resource_type: 32,
            resource_name: "group".to_owned(),
            name: "k".to_owned(),
            value: Some("v".to_owned()),
        }
        .into(),
    );
    let epoch = cluster.broker(1).epoch;
    cluster.take(cluster.controller.allocate_producer_ids(BrokerId(1), epoch)).expect("it is registered");
    let cordoned = BrokerHeartbeatRequest {
        want_shut_down: true,
        cordoned_log_dirs: Some(vec![Uuid(1001)]),
        ..heartbeat(1, epoch, 99)
    };
    cluster.heartbeat(&cordoned).expect("it is registered");
    cluster.append(RegisterControllerRecord { controller_id: 9, ..Default::default() }.into());
    let key = cluster.key("t", 1);
    cluster.append(
        PartitionChangeRecord {
            topic_id: key.topic_id,
            partition_id: 1,
            isr: Some(vec![]),
            leader: -1,
            eligible_leader_replicas: Some(vec![3]),
            last_known_elr: Some(vec![3]),
            adding_replicas: Some(vec![3]),
            removing_replicas: Some(vec![2]),
            leader_recovery_state: 1,
            ..Default::default()
        }
        .into(),
    );
    assert_eq!(&reread(cluster.image()), cluster.image());
    let records = cluster.image().to_records();
    let first = FeatureLevelRecord { name: METADATA_VERSION.to_owned(), feature_level: 30 };
    assert_eq!(records[0], first.into(), "it says how to read the rest");
}

#[test]
fn what_comes_after_a_snapshot_goes_on_from_it() {
    let mut cluster = Cluster::with_brokers(2);
    cluster.create(vec![assigned("t", &[(0, &[1, 2])])]);
    let (offset, records) = (cluster.image().offset(), cluster.image().to_records());
    let mut loaded = Metadata::load(offset, LeaderEpoch(1), &records).expect("a snapshot can be loaded");
    let logged = cluster.log.len();
    cluster.pass(10);
    cluster.beat(2);
    cluster.fence_stale();
    for (offset, epoch, record) in &cluster.log[logged..] {
        loaded.replay(*offset, *epoch, record).expect("it can be applied");
    }
    assert_eq!(&loaded, cluster.controller.metadata());
    let broken = [RemoveTopicRecord { topic_id: Uuid(5) }.into()];
    assert!(Metadata::load(offset, LeaderEpoch(1), &broken).is_err());
}
