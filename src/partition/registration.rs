//! What the controller has registered of a partition, and the role that this gives the replica.

use std::collections::BTreeMap;

use super::leader::Leading;
use super::{Advance, Following, Partition, Role};
use crate::types::{BrokerEpoch, BrokerId, LeaderEpoch, Mono, Offset, PartitionEpoch};

/// A partition as the controller has registered it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registration {
    /// Who leads, [`BrokerId::NONE`] if nobody can.
    pub leader: BrokerId,
    /// Raised with every new leader.
    pub leader_epoch: LeaderEpoch,
    /// Raised with every change.
    pub partition_epoch: PartitionEpoch,
    /// All replicas, in the order of the assignment.
    pub replicas: Vec<BrokerId>,
    /// Those in sync, a subset of `replicas`.
    pub isr: Vec<BrokerId>,
    /// Those that may lead although they are not in sync (KIP-966).
    pub elr: Vec<BrokerId>,
    /// The leader was elected uncleanly and has not reported since that it recovered.
    pub recovering: bool,
}

/// What the cluster's metadata says of a broker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BrokerState {
    /// The epoch of its registration.
    pub epoch: BrokerEpoch,
    /// Whether it is kept from leading and from the ISR.
    pub fenced: bool,
    /// Whether it is about to stop.
    pub in_controlled_shutdown: bool,
    /// Its rack.
    pub rack: Option<String>,
}

impl BrokerState {
    /// Whether its replicas may lead, join the ISR and be read from.
    pub fn is_active(&self) -> bool {
        !self.fenced && !self.in_controlled_shutdown
    }
}

/// The registered brokers, as the metadata has them at one moment.
pub type Brokers = BTreeMap<BrokerId, BrokerState>;

/// What a registration did.
#[must_use = "it says who has to be told"]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Applied {
    /// Older than the one in force (R2): nothing changed.
    Stale,
    /// The log is being cut, and its end not known: nothing changed. The shell applies the latest registration
    /// once more after [`Partition::truncated`].
    AfterTruncation,
    /// This replica leads a new epoch. The shell makes [`Partition::epochs`] durable, then calls
    /// [`Partition::start_serving`]; until then clients hear NOT_LEADER_OR_FOLLOWER. Who waits goes on
    /// waiting: the log is still the same.
    Elected {
        /// The log end, where the epoch starts.
        epoch_start: Offset,
        /// What is committed at once.
        advance: Advance,
    },
    /// This replica leads as before; other things changed.
    Updated(Advance),
    /// This replica follows. All who wait for acknowledgements get NOT_LEADER_OR_FOLLOWER; those who may read
    /// only from the leader are woken and hear the same.
    Following {
        /// Whom to fetch from.
        leader: BrokerId,
        /// Whether the leader epoch is a new one: then the shell starts fetching, or starts anew (R2).
        restart: bool,
    },
    /// This replica neither leads nor follows: nobody leads, or it is not one of the replicas, or the
    /// registration is of before its restart. All who wait get NOT_LEADER_OR_FOLLOWER.
    NotLeading,
}

impl Partition {
    /// Takes in a registration from the cluster's metadata, with the brokers of the same metadata.
    ///
    /// A change within the leader epoch settles what the leader has asked the controller for: the controller
    /// answers only requests that name the latest partition epoch, so what is still under way will fail. The
    /// same registration once more settles nothing, since the request may still be granted.
    pub fn apply(&mut self, registration: &Registration, brokers: &Brokers, now: Mono) -> Applied {
        registration.assert_possible();
        let mut changed = true;
        if let Some(current) = &self.registration {
            let (leader_epoch, partition_epoch) = (current.leader_epoch, current.partition_epoch);
            if registration.partition_epoch < partition_epoch || registration.leader_epoch < leader_epoch {
                return Applied::Stale;
            }
            let same_leader = registration.leader == current.leader;
            assert!(
                same_leader || registration.leader_epoch > leader_epoch,
                "two leaders in one epoch: {current:?}, {registration:?}"
            );
            changed =
                registration.partition_epoch > partition_epoch || registration.leader_epoch > leader_epoch;
        }
        if self.truncating.is_some() && !matches!(self.role, Role::Failed) {
            return Applied::AfterTruncation;
        }
        let rises = registration.leader_epoch > self.leader_epoch();
        if changed {
            self.registration = Some(registration.clone());
        }
        let me = self.config.broker_id;
        if matches!(self.role, Role::Failed) {
            return Applied::NotLeading;
        }
        if registration.leader == me && registration.leader_epoch > self.epoch_before_restart {
            return if rises { self.take_lead(brokers, now) } else { self.keep_lead(changed, brokers, now) };
        }
        // A log that knows of a later epoch must not be held against the log of a leader that has passed.
        let follows = registration.leader != me
            && registration.leader != BrokerId::NONE
            && registration.replicas.contains(&me)
            && registration.leader_epoch >= self.epoch_before_restart;
        if !follows {
            self.role = Role::Idle;
            return Applied::NotLeading;
        }
        let restart = rises || !matches!(self.role, Role::Follower(_));
        if restart {
            self.role = Role::Follower(Following::new(registration.leader));
        }
        Applied::Following { leader: registration.leader, restart }
    }

    /// R1: the epoch and its start are noted before anything is served, though there be no record (KAFKA-7415).
    fn take_lead(&mut self, brokers: &Brokers, now: Mono) -> Applied {
        let before = self.positions;
        let registration = self.registration.as_ref().expect("it was just taken in");
        let (leader_epoch, epoch_start) = (registration.leader_epoch, before.log_end.offset());
        let leading = Leading::new(registration, epoch_start, brokers, now);
        let assigned = self.epochs.assign(leader_epoch, epoch_start);
        assert!(assigned, "epoch {leader_epoch} is above all known ones: {:?}", self.epochs);
        self.epochs_revision += 1;
        self.role = Role::Leader(leading);
        Applied::Elected { epoch_start, advance: self.finish_step(before) }
    }

    fn keep_lead(&mut self, changed: bool, brokers: &Brokers, now: Mono) -> Applied {
        let before = self.positions;
        let registration = self.registration.as_ref().expect("it leads by one");
        let Role::Leader(leading) = &mut self.role else {
            panic!("a new leader has a new epoch: {registration:?}")
        };
        if changed {
            leading.update(registration);
        }
        leading.learn(brokers, now);
        Applied::Updated(self.finish_step(before))
    }
}

impl Registration {
    /// The controller's records are consistent in themselves; a node that reads otherwise must not go on.
    fn assert_possible(&self) {
        let Self { leader, leader_epoch, partition_epoch, replicas, isr, .. } = self;
        assert!(leader_epoch.0 >= 0 && partition_epoch.0 >= 0, "{self:?}");
        assert!(
            isr.iter().all(|member| replicas.contains(member)),
            "the ISR is not of the replicas: {self:?}"
        );
        assert!(*leader == BrokerId::NONE || isr.contains(leader), "the leader is not in sync: {self:?}");
    }
}
