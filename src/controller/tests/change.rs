//! The one function that changes partitions: elections in the order of E1, ELRs by E2, epochs by R2.

use super::super::change::{Election, Rules, Target, change};
use super::*;
use crate::controller::image::LeaderRecoveryState;

/// What a partition is, or becomes: ISR, ELR, last known ELR, leader.
type State<'a> = (&'a [i32], &'a [i32], &'a [i32], i32);

/// The new state and whether the leader epoch rises, if anything changes.
type Becomes = Option<(State<'static>, bool)>;

fn partition(state: State<'_>) -> PartitionRegistration {
    let (isr, elr, last_known, leader) = state;
    PartitionRegistration {
        replicas: ids(&[1, 2, 3, 4]),
        directories: (1..=4).map(|id| Uuid(id * 1000)).collect(),
        isr: ids(isr),
        elr: ids(elr),
        last_known_elr: ids(last_known),
        removing: Vec::new(),
        adding: Vec::new(),
        leader: BrokerId(leader),
        leader_epoch: LeaderEpoch(5),
        partition_epoch: PartitionEpoch(9),
        leader_recovery: LeaderRecoveryState::Recovered,
    }
}

const KEY: PartitionKey = PartitionKey { topic_id: Uuid(500), index: 0 };

/// The four brokers, of which those are active.
fn image(active: &[i32]) -> Image {
    let mut cluster = Cluster::with_brokers(4);
    for id in (1..=4).filter(|id| !active.contains(id)) {
        let epoch = cluster.broker(id).epoch.0;
        cluster.append(FenceBrokerRecord { id, epoch }.into());
    }
    cluster.image().clone()
}

fn changed(
    old: &PartitionRegistration,
    active: &[i32],
    elr: bool,
    edit: impl FnOnce(&mut Target),
) -> Option<PartitionChangeRecord> {
    let mut target = Target::of(old, Election::Online);
    edit(&mut target);
    change(KEY, old, target, &Rules { image: &image(active), min_isr: 2, elr })
}

fn becomes(state: State<'static>, raises_epoch: bool) -> Becomes {
    Some((state, raises_epoch))
}

fn outcome(old: State<'_>, record: Option<PartitionChangeRecord>) -> Becomes {
    let record = record?;
    let or = |new: Option<Vec<i32>>, old: &[i32]| &*new.unwrap_or_else(|| old.to_vec()).leak();
    let leader = if record.leader == -2 { old.3 } else { record.leader };
    let elr = or(record.eligible_leader_replicas, old.1);
    let state = (or(record.isr, old.0), elr, or(record.last_known_elr, old.2), leader);
    Some((state, record.leader != -2))
}

#[test]
fn e1_candidates_come_in_the_order_of_assignment_from_isr_then_elr_then_the_last_known_leader() {
    let leave = |id: i32| move |target: &mut Target| target.isr.retain(|member| member.0 != id);
    let cases: [(&str, State<'_>, &[i32], i32, Becomes); 9] = [
        ("the leader stays", (&[3, 1, 2], &[], &[], 3), &[1, 2, 3], 1, Some(((&[3, 2], &[], &[], 3), false))),
        (
            "the first of the ISR",
            (&[4, 3, 2], &[], &[], 4),
            &[1, 2, 3],
            4,
            Some(((&[3, 2], &[], &[], 2), true)),
        ),
        (
            "not one that is fenced",
            (&[2, 3, 4], &[], &[], 4),
            &[3, 1],
            4,
            Some(((&[2, 3], &[], &[], 3), true)),
        ),
        (
            "nobody of the ELR while the ISR has somebody",
            (&[2, 4], &[1], &[], 4),
            &[1, 2],
            4,
            Some(((&[2], &[1, 4], &[], 2), true)),
        ),
        ("the first of the ELR", (&[4], &[3, 1], &[], 4), &[1, 3], 4, Some(((&[1], &[3, 4], &[], 1), true))),
        ("nobody", (&[4], &[3], &[], 4), &[1, 2], 4, Some(((&[], &[3, 4], &[4], -1), true))),
        ("the first leader is remembered", (&[], &[3], &[2], -1), &[1, 2], 4, None),
        ("the last known leader", (&[], &[], &[2], -1), &[1, 2], 4, Some(((&[2], &[], &[], 2), true))),
        ("KAFKA-19522: unless it is fenced", (&[], &[], &[2], -1), &[1], 4, None),
    ];
    for (what, old, active, id, expected) in cases {
        let record = changed(&partition(old), active, true, leave(id));
        let unclean = record.as_ref().is_some_and(|record| record.leader_recovery_state == 1);
        assert_eq!(unclean, what == "the last known leader", "{what}");
        assert_eq!(outcome(old, record), expected, "{what}");
    }
    let several = partition((&[], &[], &[2, 3], -1));
    assert_eq!(changed(&several, &[2, 3], true, |_| {}), None, "only one is known to have been the last");
}

#[test]
fn e1_unclean_elections_are_the_last_resort() {
    let unclean = |target: &mut Target| target.election = Election::Unclean;
    let cases: [(State<'_>, &[i32], Becomes); 4] = [
        ((&[], &[4], &[4], -1), &[2, 3], Some(((&[2], &[], &[], 2), true))),
        ((&[], &[4], &[4], -1), &[2, 4], Some(((&[4], &[], &[], 4), true))),
        ((&[], &[], &[4], -1), &[2, 4], Some(((&[4], &[], &[], 4), true))),
        ((&[], &[4], &[4], -1), &[], None),
    ];
    for (old, active, expected) in cases {
        let record = changed(&partition(old), active, true, unclean);
        let recovering = record.as_ref().is_some_and(|record| record.leader_recovery_state == 1);
        assert_eq!(recovering, record.is_some() && !(active == [2, 4] && old.1 == [4]));
        assert_eq!(outcome(old, record), expected, "{old:?} {active:?}");
    }
}

#[test]
fn the_preferred_leader_goes_before_the_present_one_only_if_it_is_asked_for() {
    let old = (&[3, 1][..], &[][..], &[][..], 3);
    assert_eq!(changed(&partition(old), &[1, 3], true, |_| {}), None);
    let prefer = |target: &mut Target| target.election = Election::Preferred;
    let record = changed(&partition(old), &[1, 3], true, prefer);
    assert_eq!(outcome(old, record), becomes((&[3, 1], &[], &[], 1), true));
    assert_eq!(changed(&partition(old), &[3], true, prefer), None, "1 is fenced");
    let behind = (&[3, 2][..], &[][..], &[][..], 3);
    assert_eq!(changed(&partition(behind), &[1, 2, 3], true, prefer), None, "1 is not in sync");
}

#[test]
fn e2_the_elr_is_kept_while_the_isr_is_smaller_than_the_minimum() {
    let isr = |isr: &'static [i32]| move |target: &mut Target| target.isr = ids(isr);
    let cases: [(State<'_>, &'static [i32], &[i32]); 6] = [
        ((&[1, 2, 3], &[], &[], 1), &[1, 2], &[]),
        ((&[1, 2], &[], &[], 1), &[1], &[2]),
        ((&[1], &[2], &[], 1), &[1, 3], &[]),
        ((&[1, 2, 3], &[], &[], 1), &[1], &[2, 3]),
        ((&[1], &[2, 3], &[], 1), &[1, 4], &[]),
        ((&[1], &[3, 2], &[], 1), &[1, 3], &[]),
    ];
    for (old, new, elr) in cases {
        let record = changed(&partition(old), &[1, 2, 3, 4], true, isr(new));
        let expected = ((new, elr, &[][..], 1), false);
        assert_eq!(outcome(old, record), Some(expected), "{old:?} {new:?}");
        let record = changed(&partition(old), &[1, 2, 3, 4], false, isr(new));
        assert_eq!(outcome(old, record).map(|((_, elr, _, _), _)| elr), Some(&[][..]), "not if it is off");
    }
}

#[test]
fn e2_who_has_lost_records_is_not_eligible() {
    let old = (&[1][..], &[2, 3][..], &[][..], 1);
    let record = changed(&partition(old), &[2, 4], true, |target| {
        target.isr.clear();
        target.unclean = ids(&[1, 2]);
    });
    assert_eq!(outcome(old, record), becomes((&[], &[3], &[1], -1), true), "1 is the last known leader");
    let record = changed(&partition(old), &[1, 4], true, |target| {
        target.isr.clear();
        target.lost = ids(&[1, 2, 3]);
    });
    assert_eq!(outcome(old, record), becomes((&[], &[], &[], -1), true), "what was lost is not known either");
    let known = (&[][..], &[][..], &[2][..], -1);
    let record = changed(&partition(known), &[2], true, |target| target.lost = ids(&[2]));
    assert_eq!(outcome(known, record), becomes((&[], &[], &[], -1), false));
}

#[test]
fn e2_an_election_that_makes_the_isr_large_enough_ends_the_elr() {
    let old = (&[][..], &[2, 3][..], &[2][..], -1);
    let target = Target::of(&partition(old), Election::Online);
    let record = change(KEY, &partition(old), target, &Rules { image: &image(&[3]), min_isr: 1, elr: true });
    assert_eq!(
        outcome(old, record),
        becomes((&[3], &[], &[], 3), true),
        "from now on the high watermark moves"
    );
}

#[test]
fn e2_the_minimum_is_capped_by_the_replicas() {
    let sole = |state: State<'_>| PartitionRegistration {
        replicas: ids(&[1]),
        directories: vec![Uuid(1000)],
        ..partition(state)
    };
    let old = (&[1][..], &[][..], &[][..], 1);
    let record = changed(&sole(old), &[], true, |target| target.isr.clear());
    assert_eq!(outcome(old, record), becomes((&[], &[1], &[1], -1), true));
    let old = (&[][..], &[1][..], &[1][..], -1);
    let record = changed(&sole(old), &[1], true, |_| {});
    assert_eq!(outcome(old, record), becomes((&[1], &[], &[], 1), true));
}

#[test]
fn without_elrs_the_last_member_stays_in_the_isr() {
    let old = (&[1][..], &[][..], &[][..], 1);
    let record = changed(&partition(old), &[2], false, |target| target.isr.clear());
    assert_eq!(outcome(old, record), becomes((&[1], &[], &[], -1), true));
    let record = changed(&partition(old), &[2], false, |target| {
        target.isr.clear();
        target.lost = ids(&[1]);
    });
    assert_eq!(outcome(old, record), becomes((&[], &[], &[], -1), true), "unless it has lost everything");
}

#[test]
fn nobody_is_elected_whose_directory_is_not_in_use() {
    let mut old = partition((&[1, 2], &[], &[], 1));
    old.directories[1] = Uuid(77);
    let record = changed(&old, &[1, 2], true, |target| target.isr = ids(&[2]));
    assert_eq!(outcome((&[1, 2], &[], &[], 1), record), becomes((&[2], &[1], &[1], -1), true));
    for (dir, leads) in [(0, true), (1, true), (2, false)] {
        old.directories[1] = Uuid(dir);
        let record = changed(&old, &[2], true, |target| target.isr = ids(&[2])).expect("1 leaves");
        assert_eq!(record.leader == 2, leads, "Kafka's reserved id {dir}");
    }
}

#[test]
fn r2_the_leader_epoch_rises_where_a_replica_is_removed_or_somebody_started_anew() {
    let old = (&[1, 2][..], &[][..], &[][..], 1);
    let record = changed(&partition(old), &[1, 2], true, |target| target.raise_epoch = true);
    assert_eq!(record.map(|record| (record.leader, record.isr)), Some((1, None)));
    let record = changed(&partition(old), &[1, 2], true, |target| target.replicas = ids(&[1, 2, 3]));
    assert_eq!(record.map(|record| (record.leader, record.replicas)), Some((1, Some(vec![1, 2, 3]))));
    let record = changed(&partition(old), &[1, 2], true, |target| target.replicas = ids(&[2, 1, 3, 4]));
    assert_eq!(record.map(|record| record.leader), Some(-2), "a new order removes nobody");
    assert_eq!(changed(&partition(old), &[1, 2], true, |_| {}), None, "nothing changes");
}

#[test]
fn a_reassignment_ends_when_what_it_adds_is_in_sync_and_enough_of_its_targets() {
    let old = PartitionRegistration {
        removing: ids(&[1]),
        adding: ids(&[4]),
        ..partition((&[1, 2, 3], &[], &[], 1))
    };
    let isr = |isr: &'static [i32]| move |target: &mut Target| target.isr = ids(isr);
    for (at, why) in [(&[1, 2, 3][..], "4 is not in sync"), (&[1, 4], "4 alone is fewer than two")] {
        let old = PartitionRegistration { isr: ids(&[1, 2]), ..old.clone() };
        let record = changed(&old, &[1, 2, 3, 4], true, isr(at)).expect("the ISR changes");
        assert_eq!((record.replicas, record.removing_replicas), (None, None), "{why}");
    }
    let record = changed(&old, &[1, 2, 3, 4], true, isr(&[1, 2, 4])).expect("the ISR changes");
    assert_eq!((record.replicas, record.isr), (Some(vec![2, 3, 4]), Some(vec![2, 4])), "3 may come later");
    let fewer = PartitionRegistration { removing: ids(&[1, 2]), ..old.clone() };
    let record = changed(&fewer, &[1, 2, 3, 4], true, isr(&[1, 2, 4])).expect("the ISR changes");
    assert_eq!(record.replicas, None, "of fewer replicas all must be");
    let record = changed(&old, &[1, 2, 3, 4], true, isr(&[1, 2, 3, 4])).expect("it ends");
    assert_eq!(record.replicas, Some(vec![2, 3, 4]));
    assert_eq!((record.removing_replicas, record.adding_replicas), (Some(vec![]), Some(vec![])));
    assert_eq!((record.isr, record.leader), (Some(vec![2, 3, 4]), 2));
    assert_eq!(record.directories, Some(vec![Uuid(2000), Uuid(3000), Uuid(4000)]));
}
