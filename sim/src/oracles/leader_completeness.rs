//! `leader-completeness` (DESIGN, "What we promise"; LeaderCompleteness of Raft): what some replica has shown as
//! committed is in the log of every leader of that epoch or a later one, and no two replicas show different records
//! as committed at one offset. Who hears late of his election may be the leader of an earlier epoch.

use std::collections::BTreeMap;

use ottla::env::Event;
use ottla::types::{HighWatermark, LeaderEpoch, LogStart, Offset, PartitionKey};

use super::logs::{Batch, Log, Logs};
use super::{Evidence, Violation};
use crate::engine::NodeId;

pub(super) fn check(evidence: &Evidence) -> Option<Violation> {
    let mut logs = Logs::default();
    let mut committed = Committed::default();
    evidence.observed.iter().find_map(|observed| {
        let node = observed.life.node;
        logs.take(node, &observed.event);
        let message = match &observed.event {
            Event::PositionsMoved { partition, leader_epoch, high_watermark, log_start, .. } => {
                committed.extend(&logs, node, (*partition, *leader_epoch), *high_watermark, *log_start)
            }
            Event::LeaderElected { partition, leader_epoch, epoch_start, .. } => {
                let log = logs.of(node, *partition);
                let missing = committed.missing_in((*partition, *leader_epoch), &log, *epoch_start);
                missing.map(|what| format!("{node} leads {partition} and {what}"))
            }
            _ => None,
        };
        message.map(|message| Violation { time_ns: observed.time_ns, message })
    })
}

#[derive(Default)]
struct Committed {
    batches: BTreeMap<PartitionKey, BTreeMap<Offset, (Batch, NodeId)>>,
    /// Up to where each replica was looked at.
    seen: BTreeMap<(NodeId, PartitionKey), Offset>,
    /// The greatest high watermark that anybody has shown in each epoch, and who.
    greatest: BTreeMap<PartitionKey, BTreeMap<LeaderEpoch, (Offset, NodeId)>>,
}

impl Committed {
    fn extend(
        &mut self,
        logs: &Logs,
        node: NodeId,
        (partition, epoch): (PartitionKey, LeaderEpoch),
        high_watermark: HighWatermark,
        log_start: LogStart,
    ) -> Option<String> {
        let end = high_watermark.offset();
        let seen = self.seen.entry((node, partition)).or_default();
        // Batches end at high watermarks mostly; one that does not is looked at again.
        let from = (*seen).min(end).max(log_start.offset());
        let greatest = self.greatest.entry(partition).or_default().entry(epoch).or_insert((end, node));
        *greatest = (*greatest).max((end, node));
        let batches = self.batches.entry(partition).or_default();
        for (base, batch) in logs.within(node, partition, from, end) {
            *seen = batch.end;
            let (known, by) = *batches.entry(base).or_insert((batch, node));
            if known != batch {
                return Some(format!(
                    "{partition}: {by} has committed {known:?} at {base}, {node} has committed {batch:?} there"
                ));
            }
        }
        None
    }

    fn missing_in(
        &self,
        (partition, epoch): (PartitionKey, LeaderEpoch),
        log: &Log,
        log_end: Offset,
    ) -> Option<String> {
        let (end, by) =
            self.greatest.get(&partition)?.range(..=epoch).map(|(_, greatest)| *greatest).max()?;
        if end > log_end {
            return Some(format!("its log ends at {log_end}, though {by} has committed up to {end}"));
        }
        let committed = self.batches.get(&partition)?.range(log.start.min(end)..end);
        committed.clone().find_map(|(base, (batch, by))| {
            let there = log.batches.get(base).filter(|there| *there != batch)?;
            Some(format!("has {there:?} at {base}, though {by} has committed {batch:?}"))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::inside::*;
    use super::*;

    fn committed() -> Vec<(u32, Event)> {
        vec![(1, appended(1, 0, 5, 77)), (2, appended(1, 0, 5, 77)), (1, moved(0, 5, 5, 5))]
    }

    fn then(mut more: Vec<(u32, Event)>) -> Evidence {
        let mut events = committed();
        events.append(&mut more);
        said_by(events)
    }

    #[test]
    fn a_leader_has_what_others_have_committed() {
        assert_eq!(check(&then(vec![(2, elected(2, 5))])), None);
        let message = check(&then(vec![(3, elected(2, 0))])).expect("3 has nothing").message;
        assert!(message.ends_with("its log ends at 0, though node-1 has committed up to 5"), "{message}");
    }

    #[test]
    fn who_hears_late_of_an_earlier_epoch_need_not_have_what_was_committed_since() {
        let mut in_epoch_one = moved(0, 5, 5, 5);
        let Event::PositionsMoved { leader_epoch, .. } = &mut in_epoch_one else { unreachable!() };
        *leader_epoch = LeaderEpoch(1);
        let run = |epoch| {
            said_by(vec![(1, appended(1, 0, 5, 77)), (1, in_epoch_one.clone()), (3, elected(epoch, 0))])
        };
        assert_eq!(check(&run(0)), None);
        let message = check(&run(1)).expect("that epoch has committed").message;
        assert!(message.contains("its log ends at 0"), "{message}");
    }

    #[test]
    fn a_leader_with_other_records_there_is_a_violation() {
        assert!(check(&then(vec![(3, appended(2, 0, 5, 99)), (3, elected(3, 5))])).is_some());
    }

    #[test]
    fn two_who_commit_different_records_are_a_violation() {
        let other = vec![(3, appended(2, 0, 5, 99)), (3, moved(0, 5, 5, 5))];
        assert!(check(&then(other)).expect("they differ").message.contains("node-3 has committed"));
    }

    #[test]
    fn what_was_not_committed_may_be_missing() {
        let more = vec![(1, appended(1, 5, 9, 78)), (1, moved(0, 5, 5, 9)), (2, elected(2, 5))];
        assert_eq!(check(&then(more)), None);
    }
}
