//! Feature levels, and what they need.

use super::*;
use crate::controller::features::{KRAFT_VERSION, QuorumFeatures};
use crate::wire::messages::update_features::*;

fn update(feature: &str, max_version_level: i16, upgrade_type: i8) -> FeatureUpdateKey {
    FeatureUpdateKey {
        feature: feature.to_owned(),
        max_version_level,
        upgrade_type,
        ..FeatureUpdateKey::default()
    }
}

fn ask(cluster: &mut Cluster, updates: Vec<FeatureUpdateKey>, voters: &[i32]) -> Outcome {
    let request = UpdateFeaturesRequest { feature_updates: updates, ..Default::default() };
    let response = cluster.take(cluster.controller.update_features(&request, 2, &quorum(voters)));
    assert_eq!(response.results, []);
    outcome(response.error_code, response.error_message)
}

/// A quorum at kraft.version 0.
fn quorum(voters: &[i32]) -> QuorumFeatures {
    QuorumFeatures { voters: ids(voters), kraft_version: 0 }
}

#[test]
fn kraft_version_stays_what_it_was_formatted_with() {
    let mut cluster = Cluster::new();
    let before = cluster.image().clone();
    for (current, level, kind, refusal) in [
        (0, 0, 1, None),
        (1, 1, 1, None),
        (1, 1, 2, None),
        (0, 1, 1, Some("cannot be raised")),
        (0, 1, 2, Some("Can't downgrade to a newer version.")),
        (1, 0, 1, Some("without setting the upgrade type")),
        (1, 0, 2, Some("Can't downgrade the version of this feature.")),
        (1, 0, 3, Some("Can't downgrade the version of this feature.")),
        (1, 2, 1, Some("Local controller 1 only supports versions 0-1")),
    ] {
        let feature_updates = vec![update(KRAFT_VERSION, level, kind)];
        let request = UpdateFeaturesRequest { feature_updates, ..Default::default() };
        let quorum = QuorumFeatures { kraft_version: current, ..quorum(&[1]) };
        let response = cluster.take(cluster.controller.update_features(&request, 2, &quorum));
        let outcome = outcome(response.error_code, response.error_message);
        match refusal {
            None => assert_eq!(outcome, Ok(())),
            Some(message) => refused(outcome, ErrorCode::InvalidUpdateVersion, message),
        }
        assert_eq!(cluster.image(), &before);
    }
}

#[test]
fn every_way_not_to_change_a_level_has_its_reason() {
    let mut cluster = Cluster::with_brokers(1);
    cluster.append(RegisterControllerRecord { controller_id: 2, ..Default::default() }.into());
    let before = cluster.image().clone();
    let many = vec![update(ELR_VERSION, 0, 2), update("no.such", 1, 1)];
    for (updates, voters, message) in [
        (vec![update(METADATA_VERSION, 31, 1)], &[1][..], "Local controller 1 only supports versions 30-30"),
        (vec![update("kraft.version", 1, 1)], &[1], "Broker 1 does not support this feature."),
        (many, &[1], "Invalid update version 1 for feature no.such"),
        (vec![update(ELR_VERSION, -1, 2)], &[1], "cannot be less than 0"),
        (vec![update(ELR_VERSION, 0, 1)], &[1], "without setting the upgrade type"),
        (vec![update(ELR_VERSION, 0, 4)], &[1], "does not support the given upgrade type"),
        (vec![update(ELR_VERSION, 1, 1)], &[1], "Controller 2 does not support this feature."),
        (vec![update(ELR_VERSION, 0, 2)], &[1, 3], "controller 3 has not registered"),
    ] {
        refused(ask(&mut cluster, updates, voters), ErrorCode::InvalidUpdateVersion, message);
        assert_eq!(cluster.image(), &before, "all or nothing");
    }
    cluster.append(FeatureLevelRecord { name: ELR_VERSION.to_owned(), feature_level: 0 }.into());
    let lower = ask(&mut cluster, vec![update(ELR_VERSION, 1, 2)], &[1]);
    refused(lower, ErrorCode::InvalidUpdateVersion, "Controller 2");
    cluster.append(
        RegisterControllerRecord {
            controller_id: 2,
            features: vec![ControllerFeature {
                name: ELR_VERSION.to_owned(),
                min_supported_version: 0,
                max_supported_version: 1,
            }],
            ..Default::default()
        }
        .into(),
    );
    let lower = ask(&mut cluster, vec![update(ELR_VERSION, 1, 2)], &[1]);
    refused(lower, ErrorCode::InvalidUpdateVersion, "Can't downgrade to a newer version.");
    assert_eq!(ask(&mut cluster, vec![update(ELR_VERSION, 1, 1)], &[1, 2]), Ok(()));
}

#[test]
fn a_broker_that_lacks_a_feature_keeps_it_off() {
    let mut cluster = Cluster::with_brokers(1);
    assert_eq!(ask(&mut cluster, vec![update(ELR_VERSION, 0, 2)], &[1]), Ok(()));
    let mut request = registration(2, 2);
    request.features.remove(0);
    cluster.register(&request).expect("it is off");
    let outcome = ask(&mut cluster, vec![update(ELR_VERSION, 1, 1)], &[1]);
    refused(outcome, ErrorCode::InvalidUpdateVersion, "Broker 2 does not support this feature.");
}

#[test]
fn turning_elrs_off_leaves_nobody_without_an_isr_and_turning_them_on_makes_the_minimum_one_for_all() {
    let mut cluster = Cluster::with_brokers(2);
    cluster.create(vec![assigned("t", &[(0, &[1, 2])]), assigned("u", &[(0, &[1])])]);
    cluster.pass(10);
    cluster.beat(2);
    assert_eq!(cluster.fence_stale(), ids(&[1]));
    assert_eq!(cluster.partition("t", 0).elr, ids(&[1]));
    assert_eq!(ask(&mut cluster, vec![update(ELR_VERSION, 0, 2)], &[1]), Ok(()));
    assert!(!cluster.image().elr_enabled());
    let t = cluster.partition("t", 0);
    assert_eq!((&t.isr, &t.elr, t.leader), (&ids(&[2]), &ids(&[]), BrokerId(2)));
    let u = cluster.partition("u", 0);
    assert_eq!((&u.isr, &u.elr, &u.last_known_elr), (&ids(&[1]), &ids(&[]), &ids(&[])));
    cluster.beat(1);
    assert_eq!(cluster.partition("u", 0).leader, BrokerId(1));

    let of_broker = vec![set("min.insync.replicas", "1")];
    assert_eq!(cluster.alter(ResourceType::Broker, "1", of_broker), Ok(()));
    let removed = vec![operation("min.insync.replicas", 1, None)];
    assert_eq!(cluster.alter(ResourceType::Broker, "", removed), Ok(()));
    assert_eq!(ask(&mut cluster, vec![update(ELR_VERSION, 1, 1)], &[1]), Ok(()));
    assert_eq!(cluster.image().config(ResourceType::Broker, "1"), &Texts::new());
    let of_all = cluster.image().config(ResourceType::Broker, "");
    assert_eq!(of_all["min.insync.replicas"], "2", "the server's");
}

#[test]
fn older_versions_have_a_result_per_feature_and_a_flag_for_downgrades() {
    let cluster = Cluster::with_brokers(1);
    let allowed = FeatureUpdateKey { allow_downgrade: true, ..update(ELR_VERSION, 0, 1) };
    let request = UpdateFeaturesRequest { feature_updates: vec![allowed], ..Default::default() };
    let decision = cluster.controller.update_features(&request, 0, &quorum(&[1]));
    assert_eq!((decision.records.len(), decision.response.results.len()), (1, 1));
    let request = UpdateFeaturesRequest { validate_only: true, ..request };
    let decision = cluster.controller.update_features(&request, 1, &quorum(&[1]));
    assert_eq!((decision.records.len(), decision.response.error_code), (0, 0));
}
