//! Registration, heartbeats, fencing, shutdown.

use super::*;

fn reply(outcome: Result<BrokerHeartbeatResponse, Refusal>) -> (bool, bool, bool) {
    let reply = outcome.expect("it is registered");
    (reply.is_caught_up, reply.is_fenced, reply.should_shut_down)
}

/// A topic of one partition that does not sync.
fn page_cache(name: &str, replicas: &[i32]) -> CreatableTopic {
    let configs = configured(name, &[("flush.messages", Some("100"))]).configs;
    CreatableTopic { configs, ..assigned(name, &[(0, replicas)]) }
}

#[test]
fn a_brokers_epoch_is_the_offset_of_its_registration_and_the_same_run_keeps_it() {
    let mut cluster = Cluster::with_brokers(1);
    let broker = cluster.broker(1);
    let at = cluster.log.iter().find(|(_, _, record)| matches!(record, MetadataRecord::RegisterBroker(_)));
    assert_eq!(at.map(|(offset, _, _)| offset.0), Some(broker.epoch.0));
    assert!(cluster.image().is_active(BrokerId(1)));
    assert_eq!(broker.rack.as_deref(), Some("r"));
    let request = BrokerRegistrationRequest { rack: None, ..registration(1, 1) };
    let again = cluster.register(&request).expect("KAFKA-16952");
    assert_eq!(again, broker.epoch);
    assert!(cluster.image().is_active(BrokerId(1)), "and stays unfenced");
    assert_eq!(cluster.broker(1).rack, None, "but what it says is new");
}

#[test]
fn who_does_not_know_the_last_run_must_wait_too() {
    let mut cluster = Cluster::with_brokers(2);
    let (own, epoch) = (settings().node_id, cluster.broker(2).epoch);
    assert_eq!(own, BrokerId(1));
    let after = |previous_broker_epoch, id, run| BrokerRegistrationRequest {
        previous_broker_epoch,
        ..registration(id, run)
    };
    for previous in [-1, epoch.0 - 1] {
        let refusal = cluster.register(&after(previous, 2, 9)).expect_err("it may be a copy, or late");
        assert_eq!(refusal.code, ErrorCode::DuplicateBrokerRegistration);
    }
    assert!(cluster.register(&after(epoch.0, 2, 9)).expect("it has seen the end of that run") > epoch);
    assert!(cluster.broker(2).fenced);
    assert!(cluster.register(&after(-1, 1, 9)).is_ok(), "the controller's own node has no other run");
}

#[test]
fn another_machine_must_wait_until_the_session_has_expired() {
    let mut cluster = Cluster::with_brokers(1);
    let before = cluster.broker(1).epoch;
    let elsewhere =
        |run, dir| BrokerRegistrationRequest { log_dirs: vec![Uuid(dir)], ..registration(1, run) };
    cluster.pass(9);
    let refusal = cluster.register(&elsewhere(2, 777)).expect_err("the first one lives");
    assert_eq!(refusal.code, ErrorCode::DuplicateBrokerRegistration);
    cluster.pass(1);
    assert!(cluster.register(&elsewhere(2, 777)).expect("it is dead") > before);
    assert!(cluster.broker(1).fenced);
    assert!(cluster.register(&elsewhere(3, 778)).is_ok(), "who never was heard of has no session");
}

#[test]
fn a_restart_raises_the_epochs_of_what_the_broker_led_or_was_in_sync_with() {
    let mut cluster = Cluster::with_brokers(3);
    let mine = assigned("mine", &[(0, &[1, 2, 3]), (1, &[2, 1, 3])]);
    cluster.create(vec![mine, assigned("theirs", &[(0, &[2, 3])]), assigned("sole", &[(0, &[1])])]);
    let before = cluster.image().clone();
    cluster.pass(10);
    cluster.beat(2);
    cluster.beat(3);
    let decision = cluster.decide_registration(&registration(1, 99));
    assert!(!decision.atomic);
    assert!(matches!(decision.records.last(), Some(MetadataRecord::RegisterBroker(_))), "the last of them");
    let epoch = cluster.take(decision).expect("it may register");
    assert_eq!(epoch.0, cluster.next.0 - 1, "where its registration stands");
    for (name, index, leader, isr) in
        [("mine", 0, 2, &[2, 3][..]), ("mine", 1, 2, &[2, 3]), ("sole", 0, -1, &[])]
    {
        let old = before.topic_named(name).expect("it exists").partitions[&index].clone();
        let new = cluster.partition(name, index);
        assert_eq!((new.leader, &new.isr), (BrokerId(leader), &ids(isr)), "{name}-{index}");
        assert_eq!(new.leader_epoch.0, old.leader_epoch.0 + 1, "{name}-{index}");
        assert_eq!(new.partition_epoch.0, old.partition_epoch.0 + 1, "{name}-{index}");
    }
    assert_eq!(
        *cluster.partition("theirs", 0),
        *before.topic_named("theirs").expect("it exists").partitions[&0]
    );
    cluster.beat(1);
    let sole = cluster.partition("sole", 0);
    assert_eq!((sole.leader, sole.leader_epoch.0, &sole.isr), (BrokerId(1), 2, &ids(&[1])));
}

#[test]
fn after_an_unclean_stop_only_what_is_synced_stays_eligible() {
    for (clean, cached_elr) in [(true, &[1][..]), (false, &[])] {
        let mut cluster = Cluster::with_brokers(2);
        cluster.create(vec![page_cache("cached", &[1, 2]), assigned("synced", &[(0, &[1, 2])])]);
        let epoch = cluster.broker(1).epoch;
        cluster.pass(10);
        cluster.beat(2);
        let previous_broker_epoch = if clean { epoch.0 } else { -1 };
        let request = BrokerRegistrationRequest { previous_broker_epoch, ..registration(1, 7) };
        cluster.register(&request).expect("its session is over");
        let synced = cluster.partition("synced", 0);
        assert_eq!((&synced.isr, &synced.elr), (&ids(&[2]), &ids(&[1])), "the ISR is smaller than 2");
        let cached = cluster.partition("cached", 0);
        assert_eq!((&cached.isr, &cached.elr), (&ids(&[2]), &ids(cached_elr)), "clean: {clean}");
    }
}

#[test]
fn an_epoch_that_is_not_the_last_one_is_not_clean() {
    let mut cluster = Cluster::with_brokers(1);
    cluster.create(vec![page_cache("cached", &[1])]);
    cluster.pass(10);
    let previous_broker_epoch = cluster.broker(1).epoch.0 - 1;
    let request = BrokerRegistrationRequest { previous_broker_epoch, ..registration(1, 7) };
    cluster.register(&request).expect("its session is over");
    let cached = cluster.partition("cached", 0);
    assert_eq!((&cached.isr, &cached.elr, &cached.last_known_elr), (&ids(&[]), &ids(&[]), &ids(&[1])));
    cluster.beat(1);
    let cached = cluster.partition("cached", 0);
    assert_eq!((cached.leader, &cached.isr), (BrokerId(1), &ids(&[1])), "E1: the last known leader");
    assert_eq!(cached.leader_recovery, image::LeaderRecoveryState::Recovering);
    assert_eq!(cached.last_known_elr, []);
}

#[test]
fn a_new_directory_id_means_that_everything_in_the_old_one_is_lost() {
    let mut cluster = Cluster::with_brokers(2);
    cluster.create(vec![
        assigned("t", &[(0, &[1, 2]), (1, &[1, 2])]),
        assigned("sole", &[(0, &[1]), (1, &[1])]),
    ]);
    let epoch = cluster.broker(1).epoch;
    cluster.pass(10);
    cluster.beat(2);
    // Directory 1001, which the odd partitions are in, was replaced; the stop was clean.
    let request = BrokerRegistrationRequest {
        previous_broker_epoch: epoch.0,
        log_dirs: vec![Uuid(1000), Uuid(1999)],
        ..registration(1, 7)
    };
    cluster.register(&request).expect("its session is over");
    assert_eq!(cluster.partition("t", 0).elr, ids(&[1]));
    assert_eq!(cluster.partition("t", 1).elr, []);
    cluster.beat(1);
    assert_eq!(cluster.partition("sole", 0).leader, BrokerId(1));
    let lost = cluster.partition("sole", 1);
    assert_eq!((lost.leader, &lost.isr, &lost.last_known_elr), (BrokerId::NONE, &ids(&[]), &ids(&[])));
    // Nor is it elected when the broker says that a new replica lies elsewhere now.
    cluster.assign_dir(1, "sole", 1, Uuid(1999));
    cluster.take(cluster.controller.elect_leaderless());
    assert_eq!(cluster.partition("sole", 1).leader, BrokerId::NONE);
    // Unless somebody says that a loss is all right.
    assert_eq!(
        cluster.alter(ResourceType::Topic, "sole", vec![set("unclean.leader.election.enable", "true")]),
        Ok(())
    );
    cluster.take(cluster.controller.elect_leaderless());
    let reborn = cluster.partition("sole", 1);
    assert_eq!((reborn.leader, &reborn.isr), (BrokerId(1), &ids(&[1])));
    assert_eq!(reborn.leader_recovery, image::LeaderRecoveryState::Recovering);
}

#[test]
fn the_same_run_without_one_of_its_directories_leaves_the_isrs_of_what_was_in_it() {
    let mut cluster = Cluster::with_brokers(2);
    cluster.create(vec![assigned("t", &[(0, &[1, 2]), (1, &[1, 2])])]);
    let request = BrokerRegistrationRequest { log_dirs: vec![Uuid(1000)], ..registration(1, 1) };
    cluster.register(&request).expect("the same run");
    assert_eq!(cluster.partition("t", 0).isr, ids(&[1, 2]));
    let lost = cluster.partition("t", 1);
    assert_eq!((lost.leader, &lost.isr, &lost.elr), (BrokerId(2), &ids(&[2]), &ids(&[])));
}

#[test]
fn registrations_are_refused_with_a_reason() {
    let mut cluster = Cluster::with_brokers(2);
    cluster.pass(10);
    type Change = fn(&mut BrokerRegistrationRequest);
    let cases: [(Change, ErrorCode, &str); 11] = [
        (|it| it.cluster_id = "x".to_owned(), ErrorCode::InconsistentClusterId, "got cluster ID x"),
        (|it| it.is_migrating_zk_broker = true, ErrorCode::BrokerIdNotRegistered, "ZK brokers"),
        (|it| it.broker_id = -1, ErrorCode::InvalidRegistration, "negative id -1"),
        (|it| it.log_dirs.clear(), ErrorCode::InvalidRegistration, "No directories"),
        (|it| it.log_dirs = vec![Uuid(99)], ErrorCode::InvalidRegistration, "Reserved"),
        (|it| it.log_dirs = vec![Uuid(500); 2], ErrorCode::InvalidRegistration, "Duplicate"),
        (|it| it.log_dirs = vec![Uuid(2000)], ErrorCode::InvalidRegistration, "Broker 2 is already"),
        (|it| it.features.clear(), ErrorCode::InvalidRegistration, "do not contain 'metadata.version'"),
        (
            |it| it.features[1].max_supported_version = 29,
            ErrorCode::UnsupportedVersion,
            "finalized version 30 of metadata.version",
        ),
        (
            |it| drop(it.features.remove(0)),
            ErrorCode::UnsupportedVersion,
            "finalized version 1 of eligible.leader.replicas.version. The broker wants a version between 0 and 0",
        ),
        (
            |it| {
                let feature =
                    Feature { name: "f".to_owned(), min_supported_version: 1, max_supported_version: 2 };
                it.features.push(feature);
            },
            ErrorCode::UnsupportedVersion,
            "finalized version 0 of f",
        ),
    ];
    for (change, code, message) in cases {
        let mut changed = registration(1, 5);
        change(&mut changed);
        let decision = cluster.decide_registration(&changed);
        assert_eq!(decision.records, []);
        let refusal = decision.response.expect_err("it is refused");
        refused(Err((refusal.code, refusal.message)), code, message);
    }
}

#[test]
fn a_broker_is_unfenced_once_it_has_applied_its_registration() {
    let mut cluster = Cluster::with_brokers(0);
    let epoch = cluster.register(&registration(1, 1)).expect("nobody is registered");
    let behind = heartbeat(1, epoch, epoch.0 - 1);
    assert_eq!(reply(cluster.heartbeat(&behind)), (false, true, false));
    let waiting = BrokerHeartbeatRequest { want_fence: true, ..heartbeat(1, epoch, epoch.0) };
    assert_eq!(reply(cluster.heartbeat(&waiting)), (true, true, false));
    assert_eq!(reply(cluster.heartbeat(&heartbeat(1, epoch, epoch.0))), (true, false, false));
    assert!(cluster.image().is_active(BrokerId(1)));
    let decision = cluster.decide_heartbeat(&heartbeat(1, epoch, epoch.0));
    assert_eq!(decision.records, [], "that it lives is not written down");
    assert_eq!(reply(cluster.heartbeat(&waiting)), (true, true, false), "who wants to be fenced is");
    assert!(cluster.broker(1).fenced);
    for (id, epoch) in [(1, BrokerEpoch(epoch.0 + 1)), (3, epoch)] {
        let refusal = cluster.heartbeat(&heartbeat(id, epoch, 99)).expect_err("stale");
        assert_eq!(refusal.code, ErrorCode::StaleBrokerEpoch);
    }
}

#[test]
fn who_is_not_heard_of_is_fenced_and_its_leaderships_move() {
    let mut cluster = Cluster::with_brokers(3);
    cluster.create(vec![assigned("t", &[(0, &[1, 2, 3])]), assigned("sole", &[(0, &[1])])]);
    assert_eq!(cluster.heartbeats.next_expiry(cluster.image()), Some(cluster.now + Duration::from_secs(9)));
    cluster.pass(9);
    assert_eq!(cluster.fence_stale(), []);
    cluster.beat(2);
    cluster.pass(1);
    assert_eq!(cluster.fence_stale(), ids(&[1, 3]));
    let t = cluster.partition("t", 0);
    assert_eq!((t.leader, &t.isr, t.leader_epoch.0), (BrokerId(2), &ids(&[2]), 1));
    assert_eq!(t.elr, ids(&[3]), "1 left while the ISR was large enough");
    let sole = cluster.partition("sole", 0);
    assert_eq!((sole.leader, &sole.isr, &sole.elr), (BrokerId::NONE, &ids(&[]), &ids(&[1])));
    assert_eq!(sole.last_known_elr, ids(&[1]));
    cluster.beat(1);
    let sole = cluster.partition("sole", 0);
    assert_eq!((sole.leader, &sole.isr, &sole.elr), (BrokerId(1), &ids(&[1]), &ids(&[])), "unfenced again");
    assert_eq!(sole.leader_recovery, image::LeaderRecoveryState::Recovered);
    assert_eq!(sole.last_known_elr, []);
}

#[test]
fn kafka_18138_a_new_controller_fences_brokers_that_it_never_heard_of() {
    let mut cluster = Cluster::with_brokers(2);
    let timeout = Duration::from_secs(9);
    cluster.pass(100);
    cluster.heartbeats = Heartbeats::of_new_controller(timeout, cluster.image(), cluster.now);
    assert_eq!(cluster.fence_stale(), [], "they get the time to find it");
    cluster.pass(5);
    cluster.beat(2);
    cluster.pass(5);
    assert_eq!(cluster.fence_stale(), ids(&[1]));
    cluster.heartbeats = Heartbeats::new(timeout);
    assert_eq!(cluster.heartbeats.next_expiry(cluster.image()), Some(Mono::default()));
    assert_eq!(cluster.fence_stale(), ids(&[2]), "no session at all is a session that is over");
}

#[test]
fn a_controlled_shutdown_waits_until_the_others_know_the_new_leaders() {
    let mut cluster = Cluster::with_brokers(3);
    cluster.create(vec![assigned("t", &[(0, &[1, 2, 3])]), assigned("sole", &[(0, &[1])])]);
    let epoch = cluster.broker(1).epoch;
    let stopping = |cluster: &Cluster| BrokerHeartbeatRequest {
        want_shut_down: true,
        ..heartbeat(1, epoch, cluster.next.0 - 1)
    };
    let request = stopping(&cluster);
    assert_eq!(reply(cluster.heartbeat(&request)), (true, false, false));
    let demoted = cluster.partition("t", 0);
    assert_eq!((demoted.leader, &demoted.isr), (BrokerId(2), &ids(&[2, 3])), "KAFKA-14296: at once");
    assert_eq!(cluster.partition("sole", 0).leader, BrokerId::NONE, "though nobody takes over");
    assert!(cluster.broker(1).in_controlled_shutdown && !cluster.broker(1).fenced);
    let shutdown_offset = cluster.next.0 - 1;

    let behind = heartbeat(2, cluster.broker(2).epoch, shutdown_offset - 1);
    cluster.heartbeat(&behind).expect("it lives");
    cluster.beat(3);
    let request = stopping(&cluster);
    assert_eq!(reply(cluster.heartbeat(&request)), (true, false, false), "2 does not know yet");
    let caught_up = heartbeat(2, cluster.broker(2).epoch, shutdown_offset);
    cluster.heartbeat(&caught_up).expect("it lives");
    let request = stopping(&cluster);
    assert_eq!(reply(cluster.heartbeat(&request)), (true, true, true));
    assert!(cluster.broker(1).fenced);
    let request = stopping(&cluster);
    assert_eq!(reply(cluster.heartbeat(&request)), (true, true, true), "it may ask again");
}

#[test]
fn a_new_controller_goes_on_with_a_controlled_shutdown() {
    let mut cluster = Cluster::with_brokers(2);
    cluster.create(vec![assigned("t", &[(0, &[1, 2])])]);
    let request = BrokerHeartbeatRequest {
        want_shut_down: true,
        ..heartbeat(1, cluster.broker(1).epoch, cluster.next.0)
    };
    cluster.heartbeat(&request).expect("it lives");
    cluster.heartbeats = Heartbeats::of_new_controller(Duration::from_secs(9), cluster.image(), cluster.now);
    assert_eq!(
        reply(cluster.heartbeat(&request)),
        (true, false, false),
        "who knows what the other one knows"
    );
    assert_eq!(reply(cluster.heartbeat(&request)), (true, false, false), "it has not been heard of yet");
    cluster.beat(2);
    assert_eq!(reply(cluster.heartbeat(&request)), (true, true, true));
}

#[test]
fn who_leads_nothing_may_stop_at_once() {
    let mut cluster = Cluster::with_brokers(2);
    cluster.create(vec![assigned("t", &[(0, &[1, 2])])]);
    let request = BrokerHeartbeatRequest {
        want_shut_down: true,
        ..heartbeat(2, cluster.broker(2).epoch, cluster.next.0)
    };
    assert_eq!(reply(cluster.heartbeat(&request)), (true, true, true));
    assert_eq!(cluster.partition("t", 0).isr, ids(&[1]));
}

#[test]
fn leaderships_move_away_from_a_directory_that_failed() {
    let mut cluster = Cluster::with_brokers(2);
    cluster.create(vec![assigned("t", &[(0, &[1, 2]), (1, &[1, 2])])]);
    let epoch = cluster.broker(1).epoch;
    let failed = |dirs: &[u128]| BrokerHeartbeatRequest {
        offline_log_dirs: dirs.iter().copied().map(Uuid).collect(),
        ..heartbeat(1, epoch, 99)
    };
    cluster.heartbeat(&failed(&[1001])).expect("it lives");
    assert_eq!(cluster.broker(1).log_dirs, [Uuid(1000)]);
    assert_eq!(cluster.partition("t", 0).leader, BrokerId(1));
    let moved = cluster.partition("t", 1);
    assert_eq!((moved.leader, &moved.isr, &moved.elr), (BrokerId(2), &ids(&[2]), &ids(&[1])));
    assert_eq!(cluster.decide_heartbeat(&failed(&[1001])).records, [], "that is known");
    // The other replica goes too: who is eligible, but in a failed directory, is not elected.
    cluster.pass(10);
    cluster.heartbeat(&failed(&[1001])).expect("it lives");
    assert_eq!(cluster.fence_stale(), ids(&[2]));
    let stuck = cluster.partition("t", 1);
    assert_eq!((stuck.leader, &stuck.elr), (BrokerId::NONE, &ids(&[1, 2])));
    assert_eq!(cluster.partition("t", 0).leader, BrokerId(1));
    // Without any directory a broker is fenced, and stays so.
    assert_eq!(reply(cluster.heartbeat(&failed(&[1000, 1001]))), (true, true, false));
    assert_eq!(cluster.partition("t", 0).leader, BrokerId::NONE);
    assert_eq!(reply(cluster.heartbeat(&failed(&[1000, 1001]))), (true, true, false));
}

#[test]
fn cordoned_directories_get_no_new_replicas() {
    let mut cluster = Cluster::with_brokers(2);
    let epoch = cluster.broker(1).epoch;
    let cordoned = |dirs: &[u128]| BrokerHeartbeatRequest {
        cordoned_log_dirs: Some(dirs.iter().copied().map(Uuid).collect()),
        ..heartbeat(1, epoch, 99)
    };
    cluster.heartbeat(&cordoned(&[1001])).expect("it lives");
    assert_eq!(cluster.decide_heartbeat(&cordoned(&[1001])).records, [], "that is known");
    cluster.create(vec![assigned("t", &[(0, &[1]), (1, &[1])])]);
    assert_eq!(cluster.partition("t", 1).directories, [Uuid(1000)]);
    cluster.heartbeat(&cordoned(&[1001, 1000])).expect("it lives");
    let result = cluster.create(vec![assigned("u", &[(0, &[1])])]).remove(0);
    let outcome = outcome(result.error_code, result.error_message);
    refused(outcome, ErrorCode::InvalidReplicaAssignment, "all its log directories are cordoned");
    let result = cluster.create(vec![topic("u", 1, 2)]).remove(0);
    assert_eq!(result.error_code, ErrorCode::InvalidReplicationFactor.code());
    cluster.create(vec![topic("v", 3, 1)]);
    assert!((0..3).all(|index| cluster.partition("v", index).leader == BrokerId(2)));
}

#[test]
fn a_broker_is_forgotten_but_its_disks_may_come_back() {
    let mut cluster = Cluster::with_brokers(2);
    cluster.create(vec![assigned("t", &[(0, &[1, 2])]), assigned("sole", &[(0, &[1])])]);
    let epoch = cluster.broker(1).epoch;
    let decision = cluster.controller.unregister_broker(BrokerId(1));
    assert!(matches!(decision.records.last(), Some(MetadataRecord::UnregisterBroker(_))));
    cluster.take(decision).expect("it is registered");
    assert!(cluster.image().broker(BrokerId(1)).is_none());
    let t = cluster.partition("t", 0);
    assert_eq!((t.leader, &t.isr, &t.elr), (BrokerId(2), &ids(&[2]), &ids(&[1])));
    let refusal = cluster.controller.unregister_broker(BrokerId(1)).response.expect_err("it is gone");
    assert_eq!(refusal.code, ErrorCode::BrokerIdNotRegistered);
    let request = BrokerRegistrationRequest { previous_broker_epoch: epoch.0, ..registration(1, 8) };
    cluster.register(&request).expect("the id is free");
    cluster.beat(1);
    assert_eq!(cluster.partition("sole", 0).leader, BrokerId(1));
}

#[test]
fn who_dies_while_it_is_shutting_down_is_fenced() {
    let mut cluster = Cluster::with_brokers(2);
    cluster.create(vec![assigned("t", &[(0, &[1, 2])])]);
    let request = BrokerHeartbeatRequest {
        want_shut_down: true,
        ..heartbeat(1, cluster.broker(1).epoch, cluster.next.0)
    };
    assert_eq!(reply(cluster.heartbeat(&request)), (true, false, false));
    cluster.pass(10);
    cluster.beat(2);
    assert_eq!(cluster.fence_stale(), ids(&[1]));
}

#[test]
fn stale_brokers_are_looked_for_when_the_first_session_ends() {
    let mut cluster = Cluster::with_brokers(2);
    cluster.pass(3);
    cluster.beat(2);
    let expiry = cluster.heartbeats.next_expiry(cluster.image()).expect("both have sessions");
    assert_eq!(expiry.since(cluster.now), Duration::from_secs(6));
}

#[test]
fn e3_a_replica_whose_directory_was_never_said_is_lost_with_any_of_them() {
    for (dirs, elr) in [(&[1000, 1001][..], &[1][..]), (&[1000, 1002], &[])] {
        let mut cluster = Cluster::with_brokers(2);
        cluster.create(vec![assigned("t", &[(0, &[1, 2])])]);
        let never_said = PartitionChangeRecord {
            topic_id: cluster.key("t", 0).topic_id,
            partition_id: 0,
            directories: Some(vec![image::UNASSIGNED_DIR, Uuid(2000)]),
            ..Default::default()
        };
        cluster.append(never_said.into());
        cluster.pass(10);
        cluster.beat(2);
        let log_dirs = dirs.iter().copied().map(Uuid).collect();
        cluster.register(&BrokerRegistrationRequest { log_dirs, ..registration(1, 7) }).expect("it may");
        let partition = cluster.partition("t", 0);
        assert_eq!((&partition.isr, &partition.elr), (&ids(&[2]), &ids(elr)), "{dirs:?}");
    }
}
