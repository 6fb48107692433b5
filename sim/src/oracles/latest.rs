//! `latest` (R7; KIP-207, KAFKA-2334): who asks a leader where its log ends is told no less than it and the leaders
//! before it had shown as committed when he asked. A leader that does not know yet how far its predecessors had come
//! says so instead. (One that has been followed by another, and does not know it, may answer for its own time.)

use std::collections::BTreeMap;

use ottla::env::Event;
use ottla::types::{LeaderEpoch, Offset, PartitionKey, Uuid};

use super::{Evidence, Violation};
use crate::history::What;

pub(super) fn check(evidence: &Evidence) -> Option<Violation> {
    let mut ids = BTreeMap::new();
    let shown = shown(evidence);
    evidence.events.iter().find_map(|event| {
        let (key, offset, epoch, asked_ns) = match event.what {
            What::Named { topic, id } => {
                ids.insert(topic, Uuid(id));
                return None;
            }
            What::Latest { key, offset, epoch, asked_ns } => (key, offset, epoch, asked_ns),
            _ => return None,
        };
        let partition = PartitionKey { topic_id: *ids.get(&key.topic)?, index: key.partition };
        let before = shown.get(&partition)?.iter().take_while(|shown| shown.time_ns < asked_ns);
        let known = before.filter(|shown| shown.epoch.0 <= epoch).max_by_key(|shown| shown.end)?;
        (known.end.0 > offset).then(|| Violation {
            time_ns: event.time_ns,
            message: format!(
                "in epoch {epoch} {key} was said to end at {offset}; by then it was committed up to {} in epoch {}",
                known.end, known.epoch
            ),
        })
    })
}

/// How far a leader had committed.
struct Shown {
    time_ns: u64,
    epoch: LeaderEpoch,
    end: Offset,
}

/// What leaders have shown, in order.
fn shown(evidence: &Evidence) -> BTreeMap<PartitionKey, Vec<Shown>> {
    let (mut leads, mut shown) = (BTreeMap::new(), BTreeMap::<PartitionKey, Vec<Shown>>::new());
    for observed in &evidence.observed {
        match &observed.event {
            Event::LeaderElected { partition, leader_epoch, .. } => {
                leads.insert((observed.life, *partition), *leader_epoch);
            }
            Event::PositionsMoved { partition, leader_epoch, high_watermark, .. }
                if leads.get(&(observed.life, *partition)) == Some(leader_epoch) =>
            {
                let (time_ns, epoch, end) = (observed.time_ns, *leader_epoch, high_watermark.offset());
                shown.entry(*partition).or_default().push(Shown { time_ns, epoch, end });
            }
            _ => {}
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::super::{inside::*, planted::*};
    use super::*;

    /// Committed up to 6 in epoch 0 at 2 ns; then somebody asks.
    fn told(offset: i64, epoch: i32, asked_ns: u64) -> Option<Violation> {
        let mut evidence = history(vec![named(), (3, What::Latest { key: KEY, offset, epoch, asked_ns })]);
        evidence.observed =
            said(vec![(0, elected(0, 0)), (0, moved(0, 0, 6, 6)), (0, moved(0, 6, 6, 6))]).observed;
        check(&evidence)
    }

    #[test]
    fn an_end_before_what_was_committed_is_a_violation() {
        assert_eq!(told(6, 0, 3), None);
        assert!(told(5, 0, 3).is_some());
        assert!(told(5, 1, 3).is_some(), "in a later epoch, too");
    }

    #[test]
    fn what_came_later_or_elsewhere_is_no_violation() {
        assert_eq!(told(5, 0, 2), None, "not yet when he asked");
        assert_eq!(told(5, -1, 3), None, "a leader of before");
    }
}
