//! `committed-durable` (DESIGN, "What we promise"): what a replica knew to be committed stays in its log, through
//! every fault that its row of the table survives: a log never opens, and is never cut, below the greatest
//! high watermark that it has shown. A machine that suffered a loss which only the other replicas make good begins
//! anew when it opens its log, and so does one that was no replica in between.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use ottla::env::Event;
use ottla::types::{Offset, PartitionKey};

use super::{AckedValue, Evidence, Violation};
use crate::engine::NodeId;
use crate::faults::KILLED_WITHIN_MS;
use crate::nemesis::Hit;

pub(super) fn check(evidence: &Evidence) -> Option<Violation> {
    let (mut greatest, mut opened_ns) = (BTreeMap::new(), BTreeMap::new());
    let mut metadata_end = Offset::ZERO;
    // Replicas that left, and may not have heard of it yet: what they show until they open a log again is of the
    // one that they leave.
    let mut leaving = BTreeSet::new();
    for observed in &evidence.observed {
        let node = observed.life.node;
        if let Event::MetadataCommitted { end, image, .. } = &observed.event {
            // A node that comes back begins with what was once so.
            if *end <= metadata_end {
                continue;
            }
            metadata_end = *end;
            greatest.retain(|(replica, partition): &(NodeId, PartitionKey), _| {
                let there = image.partition(partition.topic_id, partition.index);
                let stays =
                    there.is_none_or(|there| there.replicas.iter().any(|id| id.0 == replica.0 as i32));
                if !stays {
                    leaving.insert((*replica, *partition));
                }
                stays
            });
            continue;
        }
        let (partition, end, how) = match &observed.event {
            Event::PositionsMoved { partition, high_watermark, .. } => {
                if leaving.contains(&(node, *partition)) {
                    continue;
                }
                let top = greatest.entry((node, *partition)).or_insert(high_watermark.0);
                *top = (*top).max(high_watermark.0);
                continue;
            }
            Event::ReplicaOpened { partition, log_end, .. } => (partition, log_end, "opened"),
            Event::LogTruncated { partition, to, .. } => (partition, to, "was cut"),
            _ => continue,
        };
        if matches!(observed.event, Event::ReplicaOpened { .. }) {
            leaving.remove(&(node, *partition));
            let since_ns = opened_ns.insert((node, *partition), observed.time_ns).unwrap_or_default();
            // A fault that was injected just before may have come into force since.
            let times = since_ns.saturating_sub(KILLED_WITHIN_MS * 1_000_000)..=observed.time_ns;
            let is_spared = |hit: &Hit| hit.node == node && times.contains(&hit.time_ns);
            if evidence.copies.spare() > 0 && evidence.losses.iter().any(is_spared) {
                greatest.remove(&(node, *partition));
                continue;
            }
        }
        if let Some(top) = greatest.get(&(node, *partition)).filter(|top| **top > end.0) {
            let name = evidence.key_of(partition);
            let called = name.map_or_else(|| partition.to_string(), |key| key.to_string());
            let mut message = format!("{node}: {called} had committed up to {top} and {how} at {end}");
            let is_gone = |acked: &AckedValue| {
                let lies_there = acked.offset.is_some_and(|offset| (end.0..*top).contains(&Offset(offset)));
                name == Some(acked.key) && lies_there && acked.time_ns <= observed.time_ns
            };
            if let Some(acked) = evidence.acked().into_iter().find(is_gone) {
                write!(message, "; {} was acknowledged there", acked.value)
                    .expect("a string takes everything");
            }
            return Some(Violation { time_ns: observed.time_ns, message });
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::super::{inside::*, planted::*};
    use super::*;
    use crate::faults::FaultKind;
    use crate::guarantee::Copies;

    #[test]
    fn a_log_that_opens_or_is_cut_below_what_it_committed_has_lost_it() {
        assert!(check(&said(vec![(0, moved(0, 5, 5, 7)), (1, opened(0, 4, 4))])).is_some());
        assert!(check(&said(vec![(0, moved(0, 5, 5, 7)), (0, cut(7, 4))])).is_some());
    }

    #[test]
    fn what_was_acknowledged_there_is_named() {
        let mut evidence = history(vec![named(), send(77), acked(77, 4)]);
        evidence.observed = said(vec![(0, moved(0, 5, 5, 7)), (1, opened(0, 4, 4))]).observed;
        evidence.observed[1].time_ns = 3_000_000;
        let message = check(&evidence).expect("4 is gone").message;
        assert!(message.contains("topic-0/0 had committed up to 5"), "{message}");
        assert!(message.ends_with("opened at 4; 77 was acknowledged there"), "{message}");
    }

    #[test]
    fn a_machine_that_others_stand_in_for_begins_anew() {
        let mut evidence = said(vec![(0, moved(0, 5, 5, 7)), (1, opened(0, 0, 0)), (1, moved(0, 3, 3, 3))]);
        evidence.losses = vec![Hit { time_ns: 1, node: NodeId(1), kind: FaultKind::Wipe }];
        assert!(check(&evidence).is_some(), "a sole replica has nobody");
        evidence.copies = Copies { replicas: 3, min_insync: 2 };
        assert_eq!(check(&evidence), None);
        evidence.losses[0].node = NodeId(2);
        assert!(check(&evidence).is_some(), "another machine's loss");
        evidence.losses[0] = Hit { time_ns: 9, node: NodeId(1), kind: FaultKind::Wipe };
        assert!(check(&evidence).is_some(), "a loss that came later");
    }

    #[test]
    fn who_was_no_replica_in_between_begins_anew() {
        let left = |node: u32| {
            let events =
                vec![(node, moved(0, 5, 5, 7)), (9, metadata(1, &[(1, &[1])])), (node, opened(0, 0, 0))];
            check(&said_by(events))
        };
        assert_eq!(left(3), None, "the replicas are 1 and 2");
        assert!(left(2).is_some());
        // It goes on until it hears of that.
        let late = vec![
            (3, moved(0, 5, 5, 7)),
            (9, metadata(1, &[(1, &[1])])),
            (3, moved(0, 6, 6, 7)),
            (3, opened(0, 0, 0)),
            (3, moved(0, 4, 4, 4)),
        ];
        assert_eq!(check(&said_by(late.clone())), None);
        let again = [late, vec![(3, opened(0, 3, 3))]].concat();
        assert!(check(&said_by(again)).is_some(), "what it was given since");
    }

    #[test]
    fn what_was_not_committed_may_go() {
        assert_eq!(check(&said(vec![(0, moved(0, 5, 5, 7)), (1, opened(0, 4, 5)), (1, cut(7, 5))])), None);
    }
}
