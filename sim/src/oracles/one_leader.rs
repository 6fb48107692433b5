//! `one-leader` (R2; ElectionSafety of Raft): an epoch has one leader. That holds of the quorum's epochs and of
//! every partition's, and for the same node in two of its lives as for two nodes: nobody leads again what he led
//! before he was restarted.

use std::collections::BTreeMap;

use ottla::env::Event;

use super::{Evidence, Violation};

pub(super) fn check(evidence: &Evidence) -> Option<Violation> {
    let (mut leaders, mut controllers) = (BTreeMap::new(), BTreeMap::new());
    evidence.observed.iter().find_map(|observed| {
        let (before, what) = match &observed.event {
            Event::LeaderElected { partition, leader_epoch, .. } => (
                leaders.insert((*partition, *leader_epoch), observed.life),
                format!("epoch {leader_epoch} of {partition}"),
            ),
            Event::ControllerActive { epoch } => {
                (controllers.insert(*epoch, observed.life), format!("epoch {epoch} of the quorum"))
            }
            _ => return None,
        };
        before.map(|before| Violation {
            time_ns: observed.time_ns,
            message: format!(
                "{what} is led by {} in its life {} and by {} in its life {}",
                before.node, before.incarnation, observed.life.node, observed.life.incarnation
            ),
        })
    })
}

#[cfg(test)]
mod tests {
    use ottla::types::LeaderEpoch;

    use super::super::inside::*;
    use super::*;

    #[test]
    fn an_epoch_with_two_leaders_is_a_violation() {
        assert_eq!(check(&said_by(vec![(1, elected(1, 0)), (2, elected(2, 0))])), None);
        let message =
            check(&said_by(vec![(1, elected(1, 0)), (2, elected(1, 0))])).expect("two lead").message;
        assert!(message.contains("is led by node-1"), "{message}");
    }

    #[test]
    fn nobody_leads_again_what_he_led_before_his_restart() {
        assert!(check(&said(vec![(0, elected(1, 0)), (1, elected(1, 0))])).is_some());
    }

    #[test]
    fn so_it_is_with_the_quorum() {
        let active = |epoch| Event::ControllerActive { epoch: LeaderEpoch(epoch) };
        assert_eq!(check(&said_by(vec![(1, active(1)), (2, active(2)), (1, active(3))])), None);
        assert!(check(&said_by(vec![(1, active(1)), (2, active(1))])).is_some());
    }
}
