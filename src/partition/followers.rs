//! What a leader knows of its followers, and their Fetches.
//!
//! A follower's fetch offset is its counted end: everything before it is the leader's log, since the epochs
//! were compared, and counts there. A Fetch in which they turn out to part says nothing about that, and is not
//! counted (KAFKA-13141).
//!
//! Known by its broker's epoch, a Fetch of an earlier run of a broker is not taken for one of the present run,
//! which may have lost its disk (KIP-903); nor does a follower join the ISR as long as its Fetch and the
//! metadata mean different runs of it.

use super::isr::AlterPartition;
use super::{
    Advance, BrokerState, Brokers, EpochEnd, Partition, Position, ReadPlan, ReadRefusal, Role, Wait,
};
use crate::types::{
    BrokerEpoch, BrokerId, CountedEnd, HighWatermark, LeaderEpoch, LogEnd, LogStart, Mono, Offset,
};
use std::time::Duration;

/// Stands for the log start of a follower that has not told it in this epoch: below all others.
const UNTOLD: Offset = Offset(-1);

/// What a replica's Fetch says of one partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReplicaFetch {
    /// Who fetches.
    pub replica: BrokerId,
    /// The epoch of its registration; [`BrokerEpoch::NONE`] if it does not say, which keeps it from the ISR.
    pub broker_epoch: BrokerEpoch,
    /// The leader epoch in which it follows. Unlike a consumer it has to say: what is not fenced is not counted.
    pub current_leader_epoch: LeaderEpoch,
    /// The epoch of its last record; [`LeaderEpoch::NONE`] if its log is empty.
    pub last_fetched_epoch: LeaderEpoch,
    /// Its counted end, where it goes on.
    pub fetch_offset: Offset,
    /// Its log start.
    pub log_start: LogStart,
}

/// What a follower gets, and what its Fetch brought about.
#[must_use = "waiters are released, and the controller may have to be asked"]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FollowerRead {
    /// What it may read: everything up to the log end.
    pub plan: ReadPlan,
    /// What moved.
    pub advance: Advance,
    /// To be sent to the controller.
    pub alter: Option<AlterPartition>,
}

/// One follower, as its leader knows it in this epoch.
#[derive(Debug, Clone, Default)]
pub(super) struct FollowerState {
    /// Its last Fetch that counted; `None` before the first.
    pub(super) fetched: Option<Fetched>,
    /// When it last had everything that the leader had.
    pub(super) last_caught_up: Option<Mono>,
    /// What the metadata says of its broker; `None` if that is not registered.
    pub(super) broker: Option<Standing>,
}

/// What a Fetch said.
#[derive(Debug, Clone, Copy)]
pub(super) struct Fetched {
    pub(super) counted_end: CountedEnd,
    pub(super) log_start: LogStart,
    pub(super) broker_epoch: BrokerEpoch,
    pub(super) at: Mono,
    /// The leader's log end at that time.
    pub(super) leader_log_end: LogEnd,
    /// The high watermark that it was told.
    pub(super) high_watermark: HighWatermark,
}

/// A [`BrokerState`] without what is not needed at every step.
#[derive(Debug, Clone, Copy)]
pub(super) struct Standing {
    pub(super) epoch: BrokerEpoch,
    pub(super) fenced: bool,
    pub(super) in_controlled_shutdown: bool,
}

impl FollowerState {
    /// A member of the ISR is taken to be caught up when the epoch begins.
    pub(super) fn given_time_from(&mut self, now: Mono) {
        self.last_caught_up = Some(now);
    }

    pub(super) fn learn(&mut self, broker: Option<&BrokerState>) {
        self.broker = broker.map(|broker| Standing {
            epoch: broker.epoch,
            fenced: broker.fenced,
            in_controlled_shutdown: broker.in_controlled_shutdown,
        });
    }

    /// As far as it is known to have counted.
    pub(super) fn counted_end(&self) -> Option<Offset> {
        self.fetched.map(|fetched| fetched.counted_end.offset())
    }

    /// R4: it has what the leader has, or had it not longer ago than `lag_max`.
    pub(super) fn is_caught_up(&self, log_end: LogEnd, now: Mono, lag_max: Duration) -> bool {
        let has_all = self.counted_end().is_some_and(|counted| counted >= log_end.offset());
        has_all || self.last_caught_up.is_some_and(|at| now.since(at) <= lag_max)
    }

    /// R4: its broker may be in an ISR, and it was this run of it that fetched (KIP-841, KIP-903).
    pub(super) fn may_join_isr(&self) -> bool {
        let (Some(broker), Some(fetched)) = (self.broker, self.fetched) else { return false };
        !broker.fenced && !broker.in_controlled_shutdown && broker.epoch == fetched.broker_epoch
    }

    /// Where its log starts, [`UNTOLD`] before its first Fetch that counted.
    fn log_start(&self) -> Offset {
        self.fetched.map_or(UNTOLD, |fetched| fetched.log_start.offset())
    }

    /// The latest run of its broker that is known of.
    fn latest_epoch(&self) -> BrokerEpoch {
        let registered = self.broker.map_or(BrokerEpoch::NONE, |broker| broker.epoch);
        self.fetched.map_or(registered, |fetched| registered.max(fetched.broker_epoch))
    }

    /// Counts a Fetch. With a Fetch that asks for what the leader has only just got, the follower proves that
    /// it had everything at the time of its Fetch before; else one that is always a batch behind would never
    /// be caught up.
    fn count(&mut self, request: &ReplicaFetch, leader_log_end: LogEnd, now: Mono) {
        let fetch_offset = request.fetch_offset;
        if fetch_offset >= leader_log_end.offset() {
            self.last_caught_up = self.last_caught_up.max(Some(now));
        } else if let Some(before) = self.fetched
            && fetch_offset >= before.leader_log_end.offset()
        {
            self.last_caught_up = self.last_caught_up.max(Some(before.at));
        }
        self.fetched = Some(Fetched {
            counted_end: CountedEnd(fetch_offset),
            log_start: request.log_start,
            broker_epoch: request.broker_epoch,
            at: now,
            leader_log_end,
            high_watermark: HighWatermark(Offset::ZERO),
        });
    }
}

impl Partition {
    /// Takes in a follower's Fetch: counts what the follower holds, and says what it may read. `brokers` are
    /// those of the metadata in force.
    ///
    /// An answer that waited for more to read is planned by [`Self::plan_follower_read`], so that the Fetch
    /// counts once.
    ///
    /// # Errors
    ///
    /// [`ReadRefusal`]; then nothing was counted.
    pub fn follower_fetch(
        &mut self,
        request: &ReplicaFetch,
        brokers: &Brokers,
        now: Mono,
    ) -> Result<FollowerRead, ReadRefusal> {
        let before = self.positions;
        if let Role::Leader(leading) = &mut self.role {
            leading.learn(brokers, now);
        }
        let mut plan = self.plan_follower_read(request)?;
        let mut alter = None;
        if plan.diverging.is_none() {
            self.follower_mut(request.replica).count(request, before.log_end, now);
            alter = self.expand_isr(request.replica, brokers);
        }
        let advance = self.finish_step(before);
        plan.positions = advance.after;
        if let Some(fetched) = &mut self.follower_mut(request.replica).fetched {
            fetched.high_watermark = advance.after.high_watermark;
        }
        Ok(FollowerRead { plan, advance, alter })
    }

    /// Says what a follower may read. Changes nothing.
    ///
    /// # Errors
    ///
    /// [`ReadRefusal`].
    pub fn plan_follower_read(&self, request: &ReplicaFetch) -> Result<ReadPlan, ReadRefusal> {
        let (requested, current) = (request.current_leader_epoch, self.leader_epoch());
        self.check_leader(requested)?;
        if requested != current {
            return Err(ReadRefusal::FencedLeaderEpoch { requested, current });
        }
        let Role::Leader(leading) = &self.role else { panic!("checked: this replica leads") };
        // Perhaps a later registration in this epoch will make it a replica.
        let follower = leading.followers.get(&request.replica);
        let follower = follower.ok_or(ReadRefusal::UnknownReplica(request.replica))?;
        let (epoch, latest) = (request.broker_epoch, follower.latest_epoch());
        if epoch != BrokerEpoch::NONE && epoch < latest {
            return Err(ReadRefusal::StaleBrokerEpoch { requested: epoch, current: latest });
        }
        let positions = self.positions;
        let diverging = self.check_offset(request.last_fetched_epoch, request.fetch_offset)?;
        let diverging = diverging.or_else(|| self.unknown_lineage(request));
        let limit = positions.log_end.offset();
        let more = Wait { position: Position::LogEnd, until: Offset(limit.0.saturating_add(1)) };
        Ok(ReadPlan { limit, diverging, positions, more })
    }

    /// The least log start of all replicas whose brokers are not fenced: below it no record is left that anybody
    /// could find (KIP-107). -1 as long as one of them has not fetched in this epoch; `None` if this replica does
    /// not lead.
    pub fn low_watermark(&self) -> Option<Offset> {
        let Role::Leader(leading) = &self.role else { return None };
        let lives = |follower: &&FollowerState| follower.broker.is_some_and(|broker| !broker.fenced);
        let theirs = leading.followers.values().filter(lives).map(FollowerState::log_start);
        Some(theirs.fold(self.positions.log_start.offset(), Offset::min))
    }

    /// Where a log begins that once began anew, it does not know in which epoch the record before was written,
    /// nor whether a follower that comes with an earlier epoch has that record or another one. Such a follower
    /// begins anew, too: else a log start that a crash moves back might uncover what was never committed.
    fn unknown_lineage(&self, request: &ReplicaFetch) -> Option<EpochEnd> {
        let ReplicaFetch { last_fetched_epoch: epoch, fetch_offset, .. } = *request;
        let at_start = fetch_offset == self.positions.log_start.offset() && fetch_offset > Offset::ZERO;
        let first = self.epochs.entries().first()?;
        let unknown = at_start && epoch.0 >= 0 && epoch < first.epoch;
        unknown.then_some(EpochEnd { epoch, end_offset: fetch_offset + -1 })
    }

    fn follower_mut(&mut self, replica: BrokerId) -> &mut FollowerState {
        let Role::Leader(leading) = &mut self.role else { panic!("checked: this replica leads") };
        leading.followers.get_mut(&replica).expect("checked: it is a replica")
    }
}
