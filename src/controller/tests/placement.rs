//! Which brokers get the replicas of new partitions.

use std::collections::BTreeMap;

use super::*;

/// Brokers by rack; those of `fenced` stay fenced.
fn cluster(racks: &[(&str, &[i32])], fenced: &[i32]) -> Cluster {
    let mut cluster = Cluster::with_brokers(0);
    for (rack, brokers) in racks {
        for &id in *brokers {
            let rack = (!rack.is_empty()).then(|| (*rack).to_owned());
            let run = u128::try_from(id).expect("positive");
            cluster
                .register(&BrokerRegistrationRequest { rack, ..registration(id, run) })
                .expect("it is new");
            if !fenced.contains(&id) {
                cluster.beat(id);
            }
        }
    }
    cluster
}

/// How often each broker leads, and how often it has a replica.
fn place(
    cluster: &mut Cluster,
    partitions: i32,
    factor: i16,
) -> (BTreeMap<i32, usize>, BTreeMap<i32, usize>) {
    let result = cluster.create(vec![topic("t", partitions, factor)]).remove(0);
    assert_eq!(result.error_code, 0, "{:?}", result.error_message);
    let (mut leads, mut has) = (BTreeMap::new(), BTreeMap::new());
    for partition in cluster.image().topic(result.topic_id).expect("it exists").partitions.values() {
        let mut distinct = partition.replicas.clone();
        distinct.sort_unstable();
        distinct.dedup();
        assert_eq!(distinct.len(), usize::try_from(factor).expect("positive"));
        assert_eq!(partition.leader, partition.replicas[0]);
        *leads.entry(partition.leader.0).or_default() += 1;
        partition.replicas.iter().for_each(|id| *has.entry(id.0).or_default() += 1);
    }
    (leads, has)
}

#[test]
fn leaders_and_replicas_spread_evenly_over_brokers() {
    for (brokers, factor) in [(3, 3), (5, 3), (5, 1), (4, 2)] {
        let all: Vec<i32> = (1..=brokers).collect();
        let (leads, has) = place(&mut cluster(&[("", &all)], &[]), brokers * 20, factor);
        assert!(leads.values().all(|&count| count == 20), "{leads:?}");
        assert!(has.values().all(|&count| count == 20 * factor as usize), "{has:?}");
    }
}

#[test]
fn the_followers_of_one_leader_are_not_always_the_same() {
    let mut cluster = cluster(&[("", &[1, 2, 3, 4, 5])], &[]);
    place(&mut cluster, 100, 2);
    let topic = cluster.image().topic_named("t").expect("it exists");
    let of_one = topic.partitions.values().filter(|it| it.leader == BrokerId(1));
    let followers: std::collections::BTreeSet<BrokerId> = of_one.map(|it| it.replicas[1]).collect();
    assert!(followers.len() >= 3, "{followers:?}");
}

#[test]
fn replicas_spread_over_racks_first() {
    let racks: &[(&str, &[i32])] = &[("a", &[1, 2]), ("b", &[3, 4]), ("c", &[5, 6])];
    let mut racked = cluster(racks, &[]);
    let (leads, has) = place(&mut racked, 60, 3);
    assert!(leads.values().all(|&count| count == 10), "{leads:?}");
    assert!(has.values().all(|&count| count == 30), "{has:?}");
    for partition in racked.image().topic_named("t").expect("it exists").partitions.values() {
        let mut of: Vec<i32> = partition.replicas.iter().map(|id| (id.0 - 1) / 2).collect();
        of.sort_unstable();
        assert_eq!(of, [0, 1, 2], "one in each rack");
    }
    let (leads, _) = place(&mut cluster(&[("a", &[1, 2]), ("b", &[3, 4])], &[]), 40, 3);
    assert!(leads.values().all(|&count| count == 10), "{leads:?}");
}

#[test]
fn fenced_brokers_follow_only_where_nobody_else_is_left() {
    let (leads, has) = place(&mut cluster(&[("", &[1, 2, 3, 4])], &[4]), 30, 3);
    assert_eq!((leads.len(), has.get(&4)), (3, None));
    let mut short = cluster(&[("", &[1, 2, 3])], &[3]);
    let (leads, has) = place(&mut short, 20, 3);
    assert_eq!((leads[&1], leads[&2], has[&3]), (10, 10, 20), "three replicas are for ever");
    assert!(short.partition("t", 0).isr.len() == 2 && !short.partition("t", 0).isr.contains(&BrokerId(3)));
    let (leads, has) = place(&mut cluster(&[("a", &[1, 2]), ("b", &[3])], &[3]), 20, 2);
    assert_eq!((leads[&1], leads[&2], has[&3]), (10, 10, 20), "racks first");
}

#[test]
fn too_few_brokers_are_too_few_for_the_replication_factor() {
    for (racks, fenced, factor, message) in [
        (&[("", &[1, 2][..])][..], &[][..], 3, "cannot be reached because only 2 broker(s)"),
        (&[("", &[1, 2])], &[1, 2], 2, "All brokers are currently fenced"),
        (&[], &[], 1, "All brokers are currently fenced"),
    ] {
        let result = cluster(racks, fenced).create(vec![topic("t", 1, factor)]).remove(0);
        let outcome = outcome(result.error_code, result.error_message);
        refused(outcome, ErrorCode::InvalidReplicationFactor, message);
    }
}

#[test]
fn a_brokers_directories_take_turns() {
    let mut cluster = cluster(&[("", &[1])], &[]);
    place(&mut cluster, 4, 1);
    let dirs: Vec<Uuid> = (0..4).map(|index| cluster.partition("t", index).directories[0]).collect();
    assert_eq!(dirs, [1000, 1001, 1000, 1001].map(Uuid));
}
