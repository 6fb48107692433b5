//! Who is in sync, as the leader sees it, and what is committed by that.
//!
//! Only the controller changes the ISR; the leader asks it to, one change at a time. Until it knows the outcome
//! it goes by the *maximal ISR* (R3, KIP-497): a member that it asked to add holds the high watermark already,
//! one that it asked to remove holds it still. Either way what is committed is on every replica that the
//! controller could elect.
//!
//! | answer (R5) | what the leader does |
//! |---|---|
//! | granted, in the epochs in force | takes in the ISR and partition epoch |
//! | INELIGIBLE_REPLICA, OPERATION_NOT_ATTEMPTED | goes back: it was not applied |
//! | one that tells of other epochs, another leader or topic | stays as it is, until metadata tell |
//! | any other, or none | stays as it is, and the same request is sent again |
//!
//! What one copy of a request met with says nothing of another copy. One that was sent before on a connection that
//! has gone may be overtaken by the one that was refused, and arrive when what spoke against it has passed. So a
//! leader that goes back while the fate of a copy is unknown first asks for the ISR as it is. That raises the
//! partition epoch, and with it whatever is still under way is refused. Until this is granted, the maximal ISR
//! remains what it was. (Kafka goes back at once, and its controller leaves the epoch of an unchanged ISR as it is.)

use std::collections::BTreeSet;

use super::{Advance, Brokers, Partition, Registration, Role};
use crate::error_code::ErrorCode;
use crate::types::{BrokerEpoch, BrokerId, LeaderEpoch, Mono, Offset, PartitionEpoch};

/// What the controller is asked for: an ISR, and that the leader counts as recovered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AlterPartition {
    /// The epoch in which this replica leads.
    pub leader_epoch: LeaderEpoch,
    /// The partition epoch that the change is made to.
    pub partition_epoch: PartitionEpoch,
    /// The ISR wanted.
    pub isr: Vec<IsrMember>,
    /// Tells apart the copies of a request. It is not sent: the shell hands it back with the answer.
    pub serial: u64,
}

impl AlterPartition {
    fn is_copy_of(&self, other: &Self) -> bool {
        let epochs = |alter: &Self| (alter.leader_epoch, alter.partition_epoch);
        epochs(self) == epochs(other) && self.isr == other.isr
    }
}

/// A request under way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pending {
    /// The latest copy.
    asked: AlterPartition,
    /// The copies that have no answer, by their serial numbers.
    unanswered: BTreeSet<u64>,
    /// It takes the place of a request of which a copy has no answer.
    takes_back: bool,
    /// Whom that one named: they may yet be granted.
    taken_back: Vec<BrokerId>,
}

impl Pending {
    fn new(asked: AlterPartition) -> Self {
        let unanswered = BTreeSet::from([asked.serial]);
        Self { asked, unanswered, takes_back: false, taken_back: Vec::new() }
    }

    /// All who are in the ISR if what is under way is granted.
    fn members(&self) -> impl Iterator<Item = BrokerId> {
        self.asked.isr.iter().map(|member| member.broker).chain(self.taken_back.iter().copied())
    }
}

/// A member of the ISR that the controller is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IsrMember {
    /// Its broker.
    pub broker: BrokerId,
    /// The run of it that fetched, for the controller to compare (KIP-903). [`BrokerEpoch::NONE`] for a member
    /// that has not fetched in this epoch: had it restarted, the controller would have raised the epoch.
    pub broker_epoch: BrokerEpoch,
}

/// What the controller says a partition is like now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AlteredPartition {
    /// Who leads.
    pub leader: BrokerId,
    /// In which epoch.
    pub leader_epoch: LeaderEpoch,
    /// The partition epoch after the change.
    pub partition_epoch: PartitionEpoch,
    /// The ISR after the change.
    pub isr: Vec<BrokerId>,
    /// Whether the leader still counts as uncleanly elected.
    pub recovering: bool,
}

/// What the controller's answer led to.
#[must_use = "waiters are released, and the request may have to be sent again"]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AlterOutcome {
    /// The change is in force.
    Committed(Advance),
    /// The change is off.
    RolledBack(Advance),
    /// Nothing changed; metadata will tell what became of it.
    AwaitMetadata,
    /// Nothing changed; after a pause the shell sends what [`Partition::resend_alter`] says.
    Resend,
    /// An answer to what is not asked any more, or to an earlier copy of it.
    Stale,
}

impl Partition {
    /// Looks for members of the ISR that have fallen behind (R4), and asks the controller to remove them; or
    /// tells it that this leader has recovered. To be called every half `replica.lag.time.max.ms`; `None` if
    /// this replica does not lead.
    ///
    /// It is also what lets the high watermark go on when a replica that could have joined the ISR stopped
    /// fetching, or its broker is fenced or shutting down (KAFKA-15021).
    pub fn check_isr(&mut self, brokers: &Brokers, now: Mono) -> Option<(Advance, Option<AlterPartition>)> {
        let before = self.positions;
        let Role::Leader(leading) = &mut self.role else { return None };
        leading.learn(brokers, now);
        let registration = self.registration.as_ref().expect("a leader has one");
        let mut alter = None;
        if leading.serving && leading.pending.is_none() {
            let lag_max = self.config.replica_lag_time_max;
            let late = |id: &BrokerId| {
                let follower = leading.followers.get(id);
                follower.is_some_and(|follower| !follower.is_caught_up(before.log_end, leading.now, lag_max))
            };
            let kept: Vec<BrokerId> = registration.isr.iter().copied().filter(|id| !late(id)).collect();
            if kept.len() < registration.isr.len() || registration.recovering {
                alter = Some(self.ask_for(&kept, brokers));
            }
        }
        Some((self.finish_step(before), alter))
    }

    /// Takes in the controller's answer to `sent`.
    pub fn alter_partition_answered(
        &mut self,
        sent: &AlterPartition,
        answer: &Result<AlteredPartition, ErrorCode>,
        now: Mono,
    ) -> AlterOutcome {
        let before = self.positions;
        let Role::Leader(leading) = &mut self.role else { return AlterOutcome::Stale };
        let Some(pending) = leading.pending.as_mut().filter(|pending| pending.asked.is_copy_of(sent)) else {
            return AlterOutcome::Stale;
        };
        let latest = pending.asked.serial == sent.serial;
        pending.unanswered.remove(&sent.serial);
        let may_be_granted = !pending.unanswered.is_empty() || pending.takes_back;
        leading.now = leading.now.max(now);
        let answer = match answer {
            Ok(altered) if self.commit(altered) => return AlterOutcome::Committed(self.finish_step(before)),
            Ok(_) => return AlterOutcome::AwaitMetadata,
            Err(code) => code,
        };
        match answer {
            ErrorCode::IneligibleReplica | ErrorCode::OperationNotAttempted if latest && may_be_granted => {
                self.take_back();
                AlterOutcome::Resend
            }
            ErrorCode::IneligibleReplica | ErrorCode::OperationNotAttempted if latest => {
                self.withdraw();
                AlterOutcome::RolledBack(self.finish_step(before))
            }
            ErrorCode::UnknownTopicOrPartition
            | ErrorCode::UnknownTopicId
            | ErrorCode::FencedLeaderEpoch
            | ErrorCode::InvalidUpdateVersion
            | ErrorCode::InvalidRequest
            | ErrorCode::NewLeaderElected => AlterOutcome::AwaitMetadata,
            _ if latest => AlterOutcome::Resend,
            _ => AlterOutcome::Stale,
        }
    }

    /// What the controller was asked for and has not answered.
    pub fn pending_alter(&self) -> Option<&AlterPartition> {
        match &self.role {
            Role::Leader(leading) => leading.pending.as_ref().map(|pending| &pending.asked),
            _ => None,
        }
    }

    /// The next copy of the request that is under way, where no answer came or one that settled nothing; `None`
    /// if it has been settled meanwhile.
    pub fn resend_alter(&mut self) -> Option<AlterPartition> {
        let Role::Leader(leading) = &mut self.role else { return None };
        let pending = leading.pending.as_mut()?;
        leading.asked += 1;
        pending.asked.serial = leading.asked;
        pending.unanswered.insert(leading.asked);
        Some(pending.asked.clone())
    }

    /// Puts a request for the ISR as it is in the place of one that was refused, of which a copy may be under way.
    fn take_back(&mut self) {
        let registration = self.registration.as_ref().expect("a leader has one");
        let Role::Leader(leading) = &mut self.role else { panic!("only a leader asks") };
        let pending = leading.pending.as_mut().expect("it was just refused");
        pending.taken_back = pending.members().filter(|member| !registration.isr.contains(member)).collect();
        pending.takes_back = true;
        pending.unanswered.clear();
        // With the partition epoch in force nobody in the ISR has started anew.
        let as_it_is = |id: &BrokerId| IsrMember { broker: *id, broker_epoch: BrokerEpoch::NONE };
        pending.asked.isr = registration.isr.iter().map(as_it_is).collect();
    }

    /// Takes in an ISR that the controller has granted. Not one of other epochs, of which metadata tell more.
    fn commit(&mut self, altered: &AlteredPartition) -> bool {
        let registration = self.registration.as_mut().expect("a leader has one");
        let in_force = altered.leader == registration.leader
            && altered.leader_epoch == registration.leader_epoch
            && altered.partition_epoch >= registration.partition_epoch;
        let possible = altered.isr.contains(&registration.leader)
            && altered.isr.iter().all(|member| registration.replicas.contains(member));
        if !in_force || !possible {
            return false;
        }
        registration.partition_epoch = altered.partition_epoch;
        registration.isr.clone_from(&altered.isr);
        registration.recovering = altered.recovering;
        self.withdraw();
        true
    }

    fn withdraw(&mut self) {
        let Role::Leader(leading) = &mut self.role else { panic!("only a leader asks") };
        leading.pending = None;
    }

    /// R4: asks for a follower to be in the ISR, if it may and is caught up: up to the high watermark, and up to
    /// the start of this epoch, since what was committed before may lie above the high watermark that this
    /// leader knows (KAFKA-7128).
    pub(super) fn expand_isr(&mut self, replica: BrokerId, brokers: &Brokers) -> Option<AlterPartition> {
        let Role::Leader(leading) = &self.role else { return None };
        let isr = self.isr();
        let follower = &leading.followers[&replica];
        let caught_up = follower.counted_end().is_some_and(|counted| {
            counted >= self.positions.high_watermark.offset() && counted >= leading.epoch_start
        });
        if leading.pending.is_some() || isr.contains(&replica) || !follower.may_join_isr() || !caught_up {
            return None;
        }
        let wanted: Vec<BrokerId> = isr.iter().copied().chain([replica]).collect();
        Some(self.ask_for(&wanted, brokers))
    }

    fn ask_for(&mut self, isr: &[BrokerId], brokers: &Brokers) -> AlterPartition {
        let me = self.config.broker_id;
        let registration = self.registration.as_ref().expect("a leader has one");
        let Role::Leader(leading) = &mut self.role else { panic!("only a leader asks") };
        let own_epoch = brokers.get(&me).map_or(BrokerEpoch::NONE, |broker| broker.epoch);
        let epoch_of = |id: &BrokerId| {
            let fetched = leading.followers.get(id).and_then(|follower| follower.fetched);
            let fetched = fetched.map_or(BrokerEpoch::NONE, |fetched| fetched.broker_epoch);
            if *id == me { own_epoch } else { fetched }
        };
        let isr = isr.iter().map(|id| IsrMember { broker: *id, broker_epoch: epoch_of(id) }).collect();
        let Registration { leader_epoch, partition_epoch, .. } = *registration;
        leading.asked += 1;
        let alter = AlterPartition { leader_epoch, partition_epoch, isr, serial: leading.asked };
        leading.pending = Some(Pending::new(alter.clone()));
        alter
    }

    /// Whether fewer replicas than min ISR are in the maximal ISR.
    pub(super) fn is_under_min_isr(&self) -> bool {
        let Role::Leader(leading) = &self.role else { return false };
        let isr = self.isr();
        let joining = leading.pending.iter().flat_map(Pending::members);
        let joining = joining.filter(|member| !isr.contains(member)).count();
        isr.len() + joining < self.effective_min_isr()
    }

    /// As far as every member of the maximal ISR has counted, this replica among them, and every replica that
    /// is as good as in it: caught up and eligible, but not asked for yet, which could never join if the high
    /// watermark kept running away from it (R3). `None` if that is not known, or this replica does not lead, or
    /// the ISR is below min ISR: then nothing more is committed (KAFKA-15583).
    pub(super) fn committed_end(&self) -> Option<Offset> {
        let Role::Leader(leading) = &self.role else { return None };
        let isr = self.isr();
        if isr.len() < self.effective_min_isr() {
            return None;
        }
        let mut committed = self.positions.counted_end.offset();
        for (id, follower) in &leading.followers {
            let pending = leading.pending.iter().flat_map(Pending::members).any(|member| member == *id);
            let in_maximal_isr = isr.contains(id) || pending;
            let as_good_as = || {
                let lag_max = self.config.replica_lag_time_max;
                follower.may_join_isr() && follower.is_caught_up(self.positions.log_end, leading.now, lag_max)
            };
            if in_maximal_isr || as_good_as() {
                committed = committed.min(follower.counted_end()?);
            }
        }
        Some(committed)
    }
}
