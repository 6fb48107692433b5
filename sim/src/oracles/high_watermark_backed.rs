//! `high-watermark-backed` (R3; DESIGN, "Oracles"): a leader's high watermark rises only to what every replica has
//! counted that it knows to be in sync, and every one that the controller takes to be so or to be eligible: each of
//! those may come to lead.

use std::collections::BTreeMap;

use ottla::env::Event;
use ottla::types::{BrokerId, LeaderEpoch, Offset, PartitionKey};

use super::{Evidence, Violation};
use crate::engine::{Life, NodeId};

pub(super) fn check(evidence: &Evidence) -> Option<Violation> {
    let mut replicas = Replicas::default();
    evidence.observed.iter().find_map(|observed| {
        let message = replicas.take(observed.life, &observed.event)?;
        Some(Violation { time_ns: observed.time_ns, message })
    })
}

#[derive(Default)]
struct Replicas {
    /// In which epoch a process leads.
    leads: BTreeMap<(Life, PartitionKey), LeaderEpoch>,
    isr: BTreeMap<(Life, PartitionKey), Vec<BrokerId>>,
    high_watermarks: BTreeMap<(Life, PartitionKey), Offset>,
    /// Whom the metadata take to be in sync or eligible, in which leader epoch, and up to which offset they go.
    could_lead: BTreeMap<PartitionKey, (LeaderEpoch, Vec<BrokerId>)>,
    metadata_end: Offset,
    /// How far each replica has counted: the furthest since its log was last cut. A loss of power does not take
    /// back what it has told the leader before.
    counted: BTreeMap<(NodeId, PartitionKey), Offset>,
}

impl Replicas {
    fn take(&mut self, life: Life, event: &Event) -> Option<String> {
        match event {
            Event::LeaderElected { partition, leader_epoch, .. } => {
                self.leads.insert((life, *partition), *leader_epoch);
            }
            Event::IsrTaken { partition, isr, .. } => {
                self.isr.insert((life, *partition), isr.clone());
            }
            Event::MetadataCommitted { end, image, .. } if *end > self.metadata_end => {
                self.metadata_end = *end;
                for topic in image.topics() {
                    for (&index, partition) in &topic.partitions {
                        let members = partition.isr.iter().chain(&partition.elr).copied().collect();
                        let key = PartitionKey { topic_id: topic.id, index };
                        self.could_lead.insert(key, (partition.leader_epoch, members));
                    }
                }
            }
            Event::ReplicaOpened { partition, log_end, .. } => {
                self.count(life.node, *partition, log_end.offset());
            }
            Event::LogTruncated { partition, to, .. } => {
                self.counted.insert((life.node, *partition), to.offset());
            }
            Event::PositionsMoved { partition, leader_epoch, high_watermark, counted_end, .. } => {
                self.count(life.node, *partition, counted_end.offset());
                let high_watermark = high_watermark.offset();
                let before = self.high_watermarks.insert((life, *partition), high_watermark);
                let leads = self.leads.get(&(life, *partition)) == Some(leader_epoch);
                // It begins with what it had committed before it led.
                if leads && before.is_some_and(|before| high_watermark > before) {
                    return self.unbacked(life, *partition, *leader_epoch, high_watermark);
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

    fn unbacked(
        &self,
        life: Life,
        partition: PartitionKey,
        epoch: LeaderEpoch,
        high_watermark: Offset,
    ) -> Option<String> {
        let isr = self.isr.get(&(life, partition))?;
        let could_lead = self.could_lead.get(&partition).filter(|(known, _)| *known == epoch);
        let could_lead = could_lead.map(|(_, members)| members.as_slice()).unwrap_or_default();
        isr.iter().chain(could_lead).find_map(|member| {
            let node = NodeId(u32::try_from(member.0).ok()?);
            let counted = self.counted.get(&(node, partition)).copied().unwrap_or_default();
            (counted < high_watermark).then(|| {
                format!(
                    "{}: the high watermark of {partition} rose to {high_watermark}, though {node}, which is in \
                     sync or eligible, has counted up to {counted}",
                    life.node
                )
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::inside::*;
    use super::*;

    fn led(mut more: Vec<(u32, Event)>) -> Evidence {
        let mut events = vec![(1, elected(0, 0)), (1, isr(&[1, 2])), (1, moved(0, 0, 0, 5))];
        events.append(&mut more);
        said_by(events)
    }

    #[test]
    fn it_rises_to_what_all_in_sync_have_counted() {
        assert_eq!(check(&led(vec![(2, moved(0, 0, 5, 5)), (1, moved(0, 5, 5, 5))])), None);
        let message =
            check(&led(vec![(2, moved(0, 0, 4, 5)), (1, moved(0, 5, 5, 5))])).expect("4 < 5").message;
        assert!(
            message.contains("though node-2, which is in sync or eligible, has counted up to 4"),
            "{message}"
        );
    }

    #[test]
    fn who_is_not_in_sync_is_not_waited_for() {
        assert_eq!(check(&led(vec![(1, isr(&[1])), (1, moved(0, 5, 5, 5))])), None);
    }

    #[test]
    fn whom_the_controller_could_elect_is_waited_for() {
        let more = |epoch| {
            let risen = (1, elected(epoch, 0));
            vec![
                risen,
                (1, isr(&[1])),
                (3, metadata(7, &[(1, &[1, 2])])),
                (1, at_epoch(epoch, moved(0, 5, 5, 5))),
            ]
        };
        assert!(check(&led(more(0))).expect("2 has nothing").message.contains("though node-2"));
        assert_eq!(check(&led(more(1))), None, "of another epoch");
    }

    fn at_epoch(epoch: i32, event: Event) -> Event {
        match event {
            Event::PositionsMoved { partition, log_start, high_watermark, counted_end, log_end, .. } => {
                let leader_epoch = LeaderEpoch(epoch);
                Event::PositionsMoved {
                    partition,
                    leader_epoch,
                    log_start,
                    high_watermark,
                    counted_end,
                    log_end,
                }
            }
            other => other,
        }
    }

    #[test]
    fn what_was_cut_off_does_not_count() {
        let more = vec![(2, moved(0, 0, 5, 5)), (2, cut(5, 2)), (1, moved(0, 5, 5, 5))];
        assert!(check(&led(more)).is_some());
    }

    #[test]
    fn a_follower_says_what_the_leader_has_told() {
        assert_eq!(
            check(&led(vec![(2, isr(&[1, 2])), (2, moved(0, 1, 9, 9)), (2, moved(0, 9, 9, 9))])),
            None
        );
    }
}
