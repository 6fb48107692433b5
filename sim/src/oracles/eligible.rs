//! `eligible` (R3, R4, E1, E2; KIP-966): whoever the metadata take to be in sync or eligible has counted all that any
//! leader has shown as committed: each of them may come to lead, at any time.

use std::collections::BTreeMap;

use ottla::env::Event;
use ottla::types::{BrokerId, LeaderEpoch, Offset, PartitionKey};

use super::{Evidence, Violation};
use crate::engine::{Life, NodeId};

pub(super) fn check(evidence: &Evidence) -> Option<Violation> {
    let mut partitions = Partitions::default();
    evidence.observed.iter().find_map(|observed| {
        let message = partitions.take(observed.life, &observed.event)?;
        Some(Violation { time_ns: observed.time_ns, message })
    })
}

#[derive(Default)]
struct Partitions {
    leads: BTreeMap<(Life, PartitionKey), LeaderEpoch>,
    committed: BTreeMap<PartitionKey, (Offset, NodeId)>,
    /// How far each replica has counted, since its log was last cut. What a machine has lost with its power or its
    /// disk the controller learns when it is back: until then it is taken for what it was.
    counted: BTreeMap<(NodeId, PartitionKey), Offset>,
    metadata_end: Offset,
    /// The members of before: who has them may still lack what is only committed since.
    members: BTreeMap<PartitionKey, Vec<BrokerId>>,
}

impl Partitions {
    fn take(&mut self, life: Life, event: &Event) -> Option<String> {
        match event {
            Event::LeaderElected { partition, leader_epoch, .. } => {
                self.leads.insert((life, *partition), *leader_epoch);
            }
            Event::ReplicaOpened { partition, log_end, .. } => {
                self.count(life.node, *partition, log_end.offset());
            }
            Event::LogTruncated { partition, to, .. } => {
                self.counted.insert((life.node, *partition), to.offset());
            }
            Event::PositionsMoved { partition, leader_epoch, high_watermark, counted_end, .. } => {
                self.count(life.node, *partition, counted_end.offset());
                if self.leads.get(&(life, *partition)) == Some(leader_epoch) {
                    let top = self.committed.entry(*partition).or_insert((Offset::ZERO, life.node));
                    *top = (*top).max((high_watermark.offset(), life.node));
                }
            }
            Event::MetadataCommitted { end, image, .. } if *end > self.metadata_end => {
                self.metadata_end = *end;
                for topic in image.topics() {
                    for (&index, partition) in &topic.partitions {
                        let key = PartitionKey { topic_id: topic.id, index };
                        let members = partition.isr.iter().chain(&partition.elr).copied().collect();
                        if let Some(message) = self.judge(key, members) {
                            return Some(message);
                        }
                    }
                }
            }
            _ => {}
        }
        None
    }

    fn count(&mut self, node: NodeId, partition: PartitionKey, end: Offset) {
        let counted = self.counted.entry((node, partition)).or_default();
        *counted = (*counted).max(end);
    }

    fn judge(&mut self, partition: PartitionKey, members: Vec<BrokerId>) -> Option<String> {
        if self.members.get(&partition) == Some(&members) {
            return None;
        }
        let (committed, by) = self.committed.get(&partition).copied().unwrap_or((Offset::ZERO, NodeId(0)));
        let late = members.iter().find_map(|member| {
            let node = NodeId(u32::try_from(member.0).ok()?);
            let counted = self.counted.get(&(node, partition)).copied().unwrap_or_default();
            (counted < committed).then_some((node, counted))
        });
        let message = late.map(|(node, counted)| {
            format!(
                "{node} may come to lead {partition}, being one of {members:?}, and has counted up to {counted}; {by} \
                 has committed up to {committed}"
            )
        });
        self.members.insert(partition, members);
        message
    }
}

#[cfg(test)]
mod tests {
    use super::super::inside::*;
    use super::*;

    fn then(mut more: Vec<(u32, Event)>) -> Option<Violation> {
        let mut events = vec![(1, elected(0, 0)), (1, moved(0, 5, 5, 5))];
        events.append(&mut more);
        check(&said_by(events))
    }

    #[test]
    fn a_member_that_lacks_what_is_committed_is_a_violation() {
        let both = || (9, metadata(1, &[(1, &[1, 2])]));
        assert_eq!(then(vec![(9, metadata(1, &[(1, &[1])]))]), None);
        assert_eq!(then(vec![(2, moved(0, 0, 5, 5)), both()]), None);
        let message = then(vec![(2, moved(0, 0, 4, 5)), both()]).expect("2 has counted up to 4").message;
        assert!(message.contains("and has counted up to 4; node-1 has committed up to 5"), "{message}");
        assert!(then(vec![(2, moved(0, 0, 5, 5)), (2, cut(5, 3)), both()]).is_some());
    }

    #[test]
    fn what_a_machine_has_lost_the_controller_learns_later() {
        let lost = vec![(2, moved(0, 0, 5, 5)), (2, opened(0, 0, 0)), (9, metadata(1, &[(1, &[1, 2])]))];
        assert_eq!(then(lost), None);
    }

    #[test]
    fn metadata_of_before_say_nothing() {
        let (later, earlier) = (metadata(7, &[(1, &[1])]), metadata(6, &[(1, &[1, 2])]));
        assert_eq!(then(vec![(9, later), (8, earlier)]), None);
    }
}
