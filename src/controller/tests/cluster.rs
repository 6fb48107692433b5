//! A new log, controllers, producer ids.

use super::*;
use crate::wire::messages::controller_registration;

#[test]
fn a_new_log_begins_with_features_and_defaults() {
    let mut cluster = Cluster::new();
    cluster.take(cluster.controller.activate(None));
    let features = cluster.image().features().collect::<Vec<_>>();
    assert_eq!(features, [(ELR_VERSION, 1), (METADATA_VERSION, 30)]);
    assert!(cluster.image().elr_enabled());
    assert_eq!(cluster.image().config(ResourceType::Broker, "")["min.insync.replicas"], "2");
    assert_eq!(cluster.controller.activate(None).records, [], "the next controller has nothing to add");
}

#[test]
fn a_controller_is_registered_once_per_run() {
    let mut cluster = Cluster::with_brokers(0);
    let mut request = controller_registration::ControllerRegistrationRequest {
        controller_id: 7,
        incarnation_id: Uuid(500),
        features: vec![controller_registration::Feature {
            name: METADATA_VERSION.to_owned(),
            min_supported_version: 30,
            max_supported_version: 30,
        }],
        ..Default::default()
    };
    cluster.take(cluster.controller.register_controller(&request));
    let registered = cluster.image().controllers().next().expect("it is registered");
    assert_eq!((registered.id, registered.incarnation), (BrokerId(7), Uuid(500)));
    assert_eq!(registered.features[METADATA_VERSION], FeatureRange { min: 30, max: 30 });
    assert_eq!(cluster.controller.register_controller(&request).records, []);
    request.incarnation_id = Uuid(501);
    assert_eq!(cluster.controller.register_controller(&request).records.len(), 1);
}

#[test]
fn producer_ids_come_in_blocks_that_never_overlap() {
    let mut cluster = Cluster::with_brokers(1);
    let epoch = cluster.broker(1).epoch;
    for expected in [0, 1000, 2000] {
        let decision = cluster.controller.allocate_producer_ids(BrokerId(1), epoch);
        let block = cluster.take(decision).expect("it may have them");
        assert_eq!((block.first.0, block.count), (expected, 1000));
    }
    for (id, epoch) in [(1, BrokerEpoch(epoch.0 + 1)), (3, epoch)] {
        let decision = cluster.controller.allocate_producer_ids(BrokerId(id), epoch);
        assert_eq!(decision.response.expect_err("stale").code, ErrorCode::StaleBrokerEpoch);
    }
    cluster.append(ProducerIdsRecord { next_producer_id: i64::MAX - 999, ..Default::default() }.into());
    let decision = cluster.controller.allocate_producer_ids(BrokerId(1), epoch);
    assert_eq!(decision.response.expect_err("exhausted").code, ErrorCode::UnknownServerError);
}
