//! The controller's part, as R5, E1 and E2 have it.

use super::*;
use crate::types::BrokerEpoch;

pub(super) struct Controller {
    pub(super) registration: Registration,
    pub(super) brokers: Brokers,
    /// Everything ever published.
    pub(super) history: Vec<(Registration, Brokers)>,
    /// The min ISR in force.
    pub(super) min_isr: usize,
    next_broker_epoch: i64,
    pub(super) elected_from_elr: usize,
}

impl Controller {
    /// A partition that was created when all brokers were up, and that was led by nobody yet.
    pub(super) fn new(replicas: i32, min_isr: usize) -> Self {
        let replicas: Vec<_> = (1..=replicas).map(BrokerId).collect();
        let fenced =
            BrokerState { epoch: BrokerEpoch(0), fenced: true, in_controlled_shutdown: false, rack: None };
        let brokers = replicas.iter().map(|id| (*id, fenced.clone())).collect();
        let registration = Registration {
            leader: BrokerId::NONE,
            leader_epoch: LeaderEpoch(0),
            partition_epoch: PartitionEpoch(0),
            isr: replicas.clone(),
            elr: Vec::new(),
            recovering: false,
            replicas,
        };
        let min_isr = min_isr.min(registration.replicas.len());
        let (history, next_broker_epoch) = (Vec::new(), 1);
        Self { registration, brokers, history, min_isr, next_broker_epoch, elected_from_elr: 0 }
    }

    /// A broker starts. Having lost what it may not lose, it leaves ISR and ELR (E3). In any case the leader
    /// epoch rises.
    pub(super) fn register(&mut self, id: BrokerId, lost: bool) -> BrokerEpoch {
        if !self.brokers[&id].fenced {
            self.fence(id);
        }
        let epoch = BrokerEpoch(self.next_broker_epoch);
        self.next_broker_epoch += 1;
        let state = BrokerState { epoch, fenced: true, in_controlled_shutdown: false, rack: None };
        self.brokers.insert(id, state);
        if lost {
            self.forget(id);
        }
        self.registration.leader_epoch.0 += 1;
        self.publish();
        epoch
    }

    /// A broker is known to have lost what it may not lose.
    pub(super) fn expel(&mut self, id: BrokerId) {
        self.fence(id);
        self.forget(id);
        self.elect();
        self.publish();
    }

    fn forget(&mut self, id: BrokerId) {
        self.registration.isr.retain(|member| *member != id);
        self.registration.elr.retain(|member| *member != id);
    }

    pub(super) fn unfence(&mut self, id: BrokerId) {
        self.brokers.get_mut(&id).unwrap().fenced = false;
        self.elect();
        self.publish();
    }

    pub(super) fn fence(&mut self, id: BrokerId) {
        self.brokers.get_mut(&id).unwrap().fenced = true;
        self.leave(id);
    }

    /// As long as somebody else can take over.
    pub(super) fn begin_shutdown(&mut self, id: BrokerId) {
        self.brokers.get_mut(&id).unwrap().in_controlled_shutdown = true;
        if self.registration.isr.iter().any(|member| *member != id && self.brokers[member].is_active()) {
            self.leave(id);
        } else {
            self.publish();
        }
    }

    fn leave(&mut self, id: BrokerId) {
        let isr = self.registration.isr.iter().copied().filter(|member| *member != id).collect();
        self.set_isr(isr);
        self.elect();
        self.publish();
    }

    /// E2.
    fn set_isr(&mut self, isr: Vec<BrokerId>) {
        let Registration { isr: old, elr, .. } = &mut self.registration;
        let before: Vec<_> = old.iter().chain(elr.iter()).copied().collect();
        *elr = Vec::new();
        if isr.len() < self.min_isr {
            for id in before {
                if !isr.contains(&id) && !elr.contains(&id) {
                    elr.push(id);
                }
            }
        }
        *old = isr;
    }

    /// E1, cleanly.
    fn elect(&mut self) {
        let Registration { leader, leader_epoch, replicas, isr, elr, .. } = &mut self.registration;
        let able = |id: &BrokerId| self.brokers[id].is_active();
        if isr.contains(leader) && able(leader) {
            return;
        }
        let mut chosen = replicas.iter().copied().find(|id| isr.contains(id) && able(id));
        if chosen.is_none() && isr.is_empty() {
            chosen = replicas.iter().copied().find(|id| elr.contains(id) && able(id));
            if let Some(id) = chosen {
                *isr = vec![id];
                elr.retain(|member| *member != id);
                self.elected_from_elr += 1;
            }
        }
        let chosen = chosen.unwrap_or(BrokerId::NONE);
        if chosen != *leader {
            *leader = chosen;
            leader_epoch.0 += 1;
        }
    }

    /// What changes of the brokers alone does not raise the partition epoch.
    fn publish(&mut self) {
        if self.history.last().is_none_or(|(published, _)| *published != self.registration) {
            self.registration.partition_epoch.0 += 1;
        }
        self.history.push((self.registration.clone(), self.brokers.clone()));
    }

    /// R5. One that is unwilling does nothing, and says so.
    pub(super) fn alter(
        &mut self,
        from: BrokerId,
        asked: &AlterPartition,
        unwilling: bool,
    ) -> Result<AlteredPartition, ErrorCode> {
        let Registration { leader, leader_epoch, partition_epoch, replicas, .. } = &self.registration;
        if asked.leader_epoch > *leader_epoch || asked.partition_epoch > *partition_epoch {
            return Err(ErrorCode::NotController);
        }
        if asked.leader_epoch < *leader_epoch {
            return Err(ErrorCode::FencedLeaderEpoch);
        }
        let members: Vec<_> = asked.isr.iter().map(|member| member.broker).collect();
        if *leader != from || !members.contains(&from) || !members.iter().all(|id| replicas.contains(id)) {
            return Err(ErrorCode::InvalidRequest);
        }
        if asked.partition_epoch < *partition_epoch {
            return Err(ErrorCode::InvalidUpdateVersion);
        }
        let eligible = |member: &IsrMember| {
            let broker = &self.brokers[&member.broker];
            let same_run = member.broker_epoch == BrokerEpoch::NONE || member.broker_epoch == broker.epoch;
            broker.is_active() && same_run
        };
        if !asked.isr.iter().all(eligible) {
            return Err(ErrorCode::IneligibleReplica);
        }
        if unwilling {
            return Err(ErrorCode::OperationNotAttempted);
        }
        self.set_isr(members);
        // An ISR that is as it was raises the epoch, too.
        self.registration.partition_epoch.0 += 1;
        self.publish();
        let Registration { leader, leader_epoch, partition_epoch, isr, recovering, .. } =
            self.registration.clone();
        Ok(AlteredPartition { leader, leader_epoch, partition_epoch, isr, recovering })
    }
}
