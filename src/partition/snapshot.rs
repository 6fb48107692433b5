//! A partition as plain data, for whoever describes it: to operators, in metrics, in a failed test.

use std::time::Duration;

use super::followers::FollowerState;
use super::leader::Leading;
use super::{Partition, Positions, Registration, Role};
use crate::types::{BrokerId, CountedEnd, HighWatermark, LeaderEpoch, LogStart, Mono, PartitionEpoch};

/// One replica's view of its partition, at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionSnapshot {
    /// What this replica does.
    pub role: RoleName,
    /// Who leads.
    pub leader: BrokerId,
    /// In which epoch.
    pub leader_epoch: LeaderEpoch,
    /// The version of the registration.
    pub partition_epoch: PartitionEpoch,
    /// The committed ISR.
    pub isr: Vec<BrokerId>,
    /// The ISR that the controller was asked for and has not granted.
    pub pending_isr: Option<Vec<BrokerId>>,
    /// The ELR, as registered last.
    pub elr: Vec<BrokerId>,
    /// The min ISR in force.
    pub min_isr: usize,
    /// This replica's positions.
    pub positions: Positions,
    /// All replicas in the order of the assignment, as the leader knows them; empty elsewhere.
    pub replicas: Vec<ReplicaState>,
}

/// What a replica does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RoleName {
    /// Neither leads nor follows.
    Idle,
    /// Leads.
    Leader,
    /// Follows.
    Follower,
    /// Follows, and is cutting its log.
    Truncating,
    /// Its log has failed.
    Failed,
}

/// One replica, as the leader knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplicaState {
    /// Its broker.
    pub broker: BrokerId,
    /// Its log start; `None` before its first Fetch in this epoch, as for the next two.
    pub log_start: Option<LogStart>,
    /// What it has counted.
    pub counted_end: Option<CountedEnd>,
    /// The leader's own, or the one that it was told last.
    pub high_watermark: Option<HighWatermark>,
    /// When it last had everything that the leader had.
    pub last_caught_up: Option<Mono>,
    /// Whether it is in the committed ISR.
    pub in_isr: bool,
    /// Why it is not in sync, or will not stay so.
    pub lag: Option<Lag>,
}

/// Why a replica is not in sync.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lag {
    /// Its broker is not registered.
    Offline,
    /// Its broker is fenced.
    Fenced,
    /// Its broker is shutting down.
    ShuttingDown,
    /// It has not fetched in this leader epoch.
    NotFetching,
    /// The run of its broker that fetched is not the one that is registered.
    OtherRun,
    /// It is this many offsets behind the leader's log end.
    Behind {
        /// How many.
        offsets: i64,
        /// For how long; `None` if it was never caught up in this epoch.
        since: Option<Duration>,
    },
}

impl Partition {
    /// The partition as plain data.
    pub fn snapshot(&self, now: Mono) -> PartitionSnapshot {
        let registration = self.registration.as_ref();
        let pending = self.pending_alter();
        PartitionSnapshot {
            role: self.role_name(),
            leader: registration.map_or(BrokerId::NONE, |registration| registration.leader),
            leader_epoch: self.leader_epoch(),
            partition_epoch: registration
                .map_or(PartitionEpoch::NONE, |registration| registration.partition_epoch),
            isr: self.isr().to_vec(),
            pending_isr: pending.map(|alter| alter.isr.iter().map(|member| member.broker).collect()),
            elr: registration.map_or(Vec::new(), |registration| registration.elr.clone()),
            min_isr: self.effective_min_isr(),
            positions: self.positions,
            replicas: match (&self.role, registration) {
                (Role::Leader(leading), Some(registration)) => self.replicas(leading, registration, now),
                _ => Vec::new(),
            },
        }
    }

    fn role_name(&self) -> RoleName {
        match &self.role {
            Role::Idle => RoleName::Idle,
            Role::Leader(_) => RoleName::Leader,
            Role::Follower(_) if self.truncating.is_some() => RoleName::Truncating,
            Role::Follower(_) => RoleName::Follower,
            Role::Failed => RoleName::Failed,
        }
    }

    fn replicas(&self, leading: &Leading, registration: &Registration, now: Mono) -> Vec<ReplicaState> {
        let positions = self.positions;
        let state = |&broker: &BrokerId| {
            let in_isr = registration.isr.contains(&broker);
            let Some(follower) = leading.followers.get(&broker) else {
                return ReplicaState {
                    broker,
                    log_start: Some(positions.log_start),
                    counted_end: Some(positions.counted_end),
                    high_watermark: Some(positions.high_watermark),
                    last_caught_up: Some(now),
                    in_isr,
                    lag: None,
                };
            };
            ReplicaState {
                broker,
                log_start: follower.fetched.map(|fetched| fetched.log_start),
                counted_end: follower.fetched.map(|fetched| fetched.counted_end),
                high_watermark: follower.fetched.map(|fetched| fetched.high_watermark),
                last_caught_up: follower.last_caught_up,
                in_isr,
                lag: self.lag_of(follower, now),
            }
        };
        registration.replicas.iter().map(state).collect()
    }

    fn lag_of(&self, follower: &FollowerState, now: Mono) -> Option<Lag> {
        let (log_end, lag_max) = (self.positions.log_end, self.config.replica_lag_time_max);
        let Some(broker) = follower.broker else { return Some(Lag::Offline) };
        if broker.fenced {
            return Some(Lag::Fenced);
        }
        if broker.in_controlled_shutdown {
            return Some(Lag::ShuttingDown);
        }
        let Some(fetched) = follower.fetched else { return Some(Lag::NotFetching) };
        if fetched.broker_epoch != broker.epoch {
            return Some(Lag::OtherRun);
        }
        let offsets = log_end.offset() - fetched.counted_end.offset();
        let since = follower.last_caught_up.map(|at| now.since(at));
        (!follower.is_caught_up(log_end, now, lag_max)).then_some(Lag::Behind { offsets, since })
    }
}
