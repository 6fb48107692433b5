//! `cut-off` (DESIGN, "Oracles"): a leader that nobody reaches commits nothing that came to it since, where more
//! than its own copy is asked for: so it acknowledges no acks=all.

use std::collections::BTreeMap;

use ottla::env::Event;
use ottla::types::{LeaderEpoch, Offset, PartitionKey};

use super::{Evidence, Violation};
use crate::engine::Life;

pub(super) fn check(evidence: &Evidence) -> Option<Violation> {
    if evidence.copies.min_insync < 2 {
        return None;
    }
    let mut leads: BTreeMap<(Life, PartitionKey), LeaderEpoch> = BTreeMap::new();
    let mut log_ends: BTreeMap<(Life, PartitionKey), Vec<(u64, Offset)>> = BTreeMap::new();
    evidence.observed.iter().find_map(|observed| {
        let life = observed.life;
        match &observed.event {
            Event::LeaderElected { partition, leader_epoch, epoch_start, .. } => {
                leads.insert((life, *partition), *leader_epoch);
                log_ends.entry((life, *partition)).or_default().push((observed.time_ns, *epoch_start));
                None
            }
            Event::PositionsMoved { partition, leader_epoch, high_watermark, log_end, .. } => {
                let ends = log_ends.entry((life, *partition)).or_default();
                ends.push((observed.time_ns, log_end.offset()));
                if leads.get(&(life, *partition)) != Some(leader_epoch) {
                    return None;
                }
                let since = evidence.isolations.iter().find(|isolation| {
                    let times = isolation.from_ns..isolation.until_ns;
                    isolation.node == life.node && times.contains(&observed.time_ns)
                })?;
                let before = ends.iter().rev().find(|(time_ns, _)| *time_ns < since.from_ns);
                let end = before.map(|(_, end)| *end)?;
                (high_watermark.offset() > end).then(|| Violation {
                    time_ns: observed.time_ns,
                    message: format!(
                        "{} has committed {partition} up to {high_watermark}; when it was cut off its log ended \
                         at {end}",
                        life.node
                    ),
                })
            }
            _ => None,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::super::inside::*;
    use super::*;
    use crate::engine::NodeId;
    use crate::guarantee::Copies;
    use crate::nemesis::Isolation;

    /// Elected at 0, appended at 1, then what comes; cut off from 2 on.
    fn cut_off(last: Event, min_insync: u32) -> Evidence {
        let mut evidence = said(vec![(0, elected(0, 0)), (0, moved(0, 0, 3, 3)), (0, last)]);
        evidence.copies = Copies { replicas: 3, min_insync };
        evidence.isolations = vec![Isolation { node: NodeId(1), from_ns: 2, until_ns: 9 }];
        evidence
    }

    #[test]
    fn a_leader_that_nobody_reaches_commits_nothing_new() {
        assert_eq!(check(&cut_off(moved(0, 3, 3, 5), 2)), None, "that had reached the others");
        assert!(check(&cut_off(moved(0, 4, 5, 5), 2)).is_some());
        assert_eq!(check(&cut_off(moved(0, 4, 5, 5), 1)), None, "alone it is enough");
    }

    #[test]
    fn once_it_is_reached_again_it_does() {
        let mut evidence = cut_off(moved(0, 4, 5, 5), 2);
        evidence.isolations[0].until_ns = 2;
        assert_eq!(check(&evidence), None);
    }
}
