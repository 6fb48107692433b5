//! `too-few` (R6): a leader that knows of fewer replicas in sync than `min.insync.replicas` appends nothing, where
//! all that is sent to it asks for acks=all.

use std::collections::BTreeMap;

use ottla::env::Event;
use ottla::types::{LeaderEpoch, PartitionKey};

use super::{Evidence, Violation};
use crate::engine::Life;
use crate::history::{Acks, What};

pub(super) fn check(evidence: &Evidence) -> Option<Violation> {
    let least = evidence.copies.min_insync.min(evidence.copies.replicas) as usize;
    let asks_less = |what: &What| matches!(what, What::Send { acks, .. } if *acks != Acks::All);
    if evidence.events.iter().any(|event| asks_less(&event.what)) {
        return None;
    }
    let mut leads: BTreeMap<(Life, PartitionKey), LeaderEpoch> = BTreeMap::new();
    let mut in_sync: BTreeMap<(Life, PartitionKey), usize> = BTreeMap::new();
    evidence.observed.iter().find_map(|observed| {
        let life = observed.life;
        match &observed.event {
            Event::LeaderElected { partition, leader_epoch, .. } => {
                leads.insert((life, *partition), *leader_epoch);
            }
            Event::IsrTaken { partition, leader_epoch, isr } => {
                // Whoever led before follows now, and may be sent its own batches again.
                leads.retain(|led, epoch| *led != (life, *partition) || *epoch >= *leader_epoch);
                in_sync.insert((life, *partition), isr.len());
            }
            Event::BatchAppended { partition, batch_epoch, base_offset, .. } => {
                let is_leader = leads.get(&(life, *partition)) == Some(batch_epoch);
                let count = *in_sync.get(&(life, *partition)).filter(|count| is_leader && **count < least)?;
                let message = format!(
                    "{} appended to {partition} at {base_offset} with {count} in sync; it takes {least}",
                    life.node
                );
                return Some(Violation { time_ns: observed.time_ns, message });
            }
            _ => {}
        }
        None
    })
}

#[cfg(test)]
mod tests {
    use super::super::inside::*;
    use super::super::planted::*;
    use super::*;
    use crate::guarantee::Copies;

    fn appends(isr_of: &[i32], epoch: i32) -> Evidence {
        let mut evidence = said(vec![(0, elected(0, 0)), (0, isr(isr_of)), (0, appended(epoch, 0, 5, 77))]);
        evidence.copies = Copies { replicas: 3, min_insync: 2 };
        evidence
    }

    #[test]
    fn an_append_with_too_few_in_sync_is_a_violation() {
        assert_eq!(check(&appends(&[1, 2], 0)), None);
        assert!(check(&appends(&[1], 0)).is_some());
        assert_eq!(check(&appends(&[1], 1)), None, "it follows");
    }

    #[test]
    fn who_led_before_may_be_sent_its_own_batches_again() {
        let mut evidence = said(vec![
            (0, elected(0, 0)),
            (0, isr(&[1, 2])),
            (0, isr_in(1, &[2])),
            (0, appended(0, 0, 5, 77)),
        ]);
        evidence.copies = Copies { replicas: 3, min_insync: 2 };
        assert_eq!(check(&evidence), None);
    }

    #[test]
    fn who_asks_for_less_gets_it() {
        let mut evidence = appends(&[1], 0);
        evidence.events = history(vec![send_unasked(1)]).events;
        assert_eq!(check(&evidence), None);
    }
}
