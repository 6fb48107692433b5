//! A replica that leads: its followers' Fetches, and what it asks the controller for.

use std::sync::Arc;

use super::{Replica, State};
use crate::env::{Clock, Env};
use crate::error_code::ErrorCode;
use crate::log::LogView;
use crate::node::isr::Proposal;
use crate::partition::{
    AlterOutcome, AlterPartition, AlteredPartition, Brokers, EpochEnd, FollowerRead, ReadPlan, ReadRefusal,
    ReplicaFetch,
};
use crate::types::{BrokerId, LeaderEpoch, Offset};

impl<E: Env> Replica<E> {
    /// Takes in a follower's Fetch: what the follower holds counts from now on. What it may read, and the log to
    /// read it from.
    ///
    /// # Errors
    ///
    /// [`ReadRefusal`].
    pub fn follower_fetch(
        self: &Arc<Self>,
        request: &ReplicaFetch,
        brokers: &Brokers,
    ) -> Result<(ReadPlan, LogView<E::Disk>), ReadRefusal> {
        let now = self.env.clock().now();
        let mut state = self.lock();
        let FollowerRead { plan, advance, alter } = state.partition.follower_fetch(request, brokers, now)?;
        let released = self.settle(&mut state, advance);
        self.propose(alter);
        let view = state.log.view();
        drop(state);
        released.tell();
        Ok((plan, view))
    }

    /// What a follower may read whose Fetch was taken in before.
    ///
    /// # Errors
    ///
    /// [`ReadRefusal`].
    pub fn plan_follower_read(
        &self,
        request: &ReplicaFetch,
    ) -> Result<(ReadPlan, LogView<E::Disk>), ReadRefusal> {
        let state = self.lock();
        let plan = state.partition.plan_follower_read(request)?;
        Ok((plan, state.log.view()))
    }

    /// Whether what followers are sent counts for the throttle.
    pub fn is_throttled_leader(&self) -> bool {
        let state = self.lock();
        state.config.leader_throttled.contains(self.key.index, state.partition.broker_id())
    }

    /// Whether a follower is in the ISR.
    pub fn has_in_sync(&self, follower: BrokerId) -> bool {
        self.lock().partition.isr().contains(&follower)
    }

    /// The follower that a consumer in this rack had better read from (KIP-392).
    pub fn preferred_read_replica(&self, rack: &str, from: Offset, brokers: &Brokers) -> Option<BrokerId> {
        self.lock().partition.preferred_read_replica(rack, from, brokers)
    }

    /// Where a leader epoch ends, for OffsetForLeaderEpoch; `None` if it is not known.
    ///
    /// # Errors
    ///
    /// [`ReadRefusal`] for who leads in which epoch.
    pub fn epoch_end(
        &self,
        current_leader_epoch: LeaderEpoch,
        requested: LeaderEpoch,
    ) -> Result<Option<EpochEnd>, ReadRefusal> {
        self.lock().partition.epoch_end(current_leader_epoch, requested)
    }

    /// Looks for followers that have fallen behind. Changes nothing where this replica does not lead.
    pub(in crate::node) fn check_isr(self: &Arc<Self>, brokers: &Brokers) {
        let now = self.env.clock().now();
        let mut state = self.lock();
        let Some((advance, alter)) = state.partition.check_isr(brokers, now) else { return };
        let released = self.settle(&mut state, advance);
        self.propose(alter);
        drop(state);
        released.tell();
    }

    /// Takes in the controller's answer. Says whether to ask again after a pause.
    pub(in crate::node) fn alter_partition_answered(
        &self,
        sent: &AlterPartition,
        answer: &Result<AlteredPartition, ErrorCode>,
    ) -> bool {
        let now = self.env.clock().now();
        let mut state = self.lock();
        let outcome = state.partition.alter_partition_answered(sent, answer, now);
        // A follower that could not join meanwhile may now, with its next Fetch.
        self.queues.activity.happened();
        let released = self.settle_alteration(&mut state, outcome);
        drop(state);
        released.tell();
        outcome == AlterOutcome::Resend
    }

    fn settle_alteration(&self, state: &mut State<E>, outcome: AlterOutcome) -> super::Released {
        match outcome {
            AlterOutcome::Committed(advance) | AlterOutcome::RolledBack(advance) => {
                self.settle(state, advance)
            }
            AlterOutcome::AwaitMetadata | AlterOutcome::Resend | AlterOutcome::Stale => {
                super::Released::default()
            }
        }
    }

    /// Asks the controller once more for what it has not settled.
    pub(in crate::node) fn resend_alter(self: &Arc<Self>) {
        let mut state = self.lock();
        let alter = state.partition.resend_alter();
        self.propose(alter);
    }

    /// To be called under the lock: of several that wait to be sent, the last stands for all.
    fn propose(self: &Arc<Self>, alter: Option<AlterPartition>) {
        if let Some(alter) = alter {
            // A node that stops asks for nothing.
            let _ = self.queues.proposals.send(Proposal { replica: Arc::clone(self), alter });
        }
    }
}
