//! The table of guarantees, as data: which faults an acknowledged record survives.
//!
//! Whether a run was one that must lose nothing is decided from the row, the topics' settings and the faults
//! alone, never from what the brokers say. To a row a fault is harmless, or beyond it, or a *loss*: what the
//! machine it hits had counted may be gone. Of those a row survives `min.insync.replicas - 1` machines at a
//! time, and they add up until every ISR is full again. How long that takes nobody is asked either: it has to
//! be so a fixed time after the last fault is over.

use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::engine::NodeId;
use crate::faults::{Fault, FaultKind, Schedule};
use crate::history::Acks;

/// So long after the last fault is over every ISR is full again: nodes that were away may have to wait for an
/// earlier session to end, connections that hang for their next attempt, and then they fetch.
const REFILL_MS: u64 = 30_000;

/// What `flush.messages` is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Flush {
    /// 1: a record counts when it is durable.
    #[serde(rename = "1")]
    EveryMessage,
    /// Kafka's own default: a record counts when it is in the page cache.
    #[serde(rename = "off")]
    Off,
}

/// A row of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Row {
    /// What producers ask for.
    pub acks: Acks,
    /// How the topics are configured.
    pub flush: Flush,
}

/// What of the topics' settings matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Copies {
    /// The replication factor.
    pub replicas: u32,
    /// `min.insync.replicas`, at most the replication factor.
    pub min_insync: u32,
}

impl Copies {
    /// How many machines may lose what they have counted.
    pub fn spare(self) -> u32 {
        self.min_insync.min(self.replicas).saturating_sub(1)
    }
}

/// What a kind of fault is to a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reach {
    /// It may come in any number and order.
    Harmless,
    /// The machine may lose what it has counted.
    Loss,
    /// Nothing is promised.
    Beyond,
}

impl Row {
    /// Whether acknowledged records (with acks 0: records delivered to a consumer) survive these kinds of
    /// faults, if so many machines have losses at a time; else the first that is beyond.
    pub fn survives(
        self,
        kinds: &BTreeSet<FaultKind>,
        copies: Copies,
        machines: u32,
    ) -> Result<(), FaultKind> {
        let is_beyond = |kind: &FaultKind| match self.reach(*kind, kinds, copies) {
            Reach::Harmless => false,
            // Without a spare machine one loss is too much, whatever their number is limited to.
            Reach::Loss => machines > copies.spare() || copies.spare() == 0,
            Reach::Beyond => true,
        };
        kinds.iter().copied().find(is_beyond).map_or(Ok(()), Err)
    }

    /// The kinds among these that are losses.
    pub fn losses(self, kinds: &BTreeSet<FaultKind>, copies: Copies) -> BTreeSet<FaultKind> {
        let is_loss = |kind: &FaultKind| self.reach(*kind, kinds, copies) == Reach::Loss;
        kinds.iter().copied().filter(is_loss).collect()
    }

    fn reach(self, kind: FaultKind, all: &BTreeSet<FaultKind>, copies: Copies) -> Reach {
        let comes = |kinds: &[FaultKind]| kinds.iter().any(|kind| all.contains(kind));
        let crashes = comes(&[FaultKind::Crash, FaultKind::CrashAll]);
        let power = comes(&[
            FaultKind::PowerLoss,
            FaultKind::Blackout,
            FaultKind::RackPowerLoss,
            FaultKind::Wipe,
            FaultKind::Cascade,
        ]);
        let restarts =
            power || crashes || comes(&[FaultKind::Stop, FaultKind::PowerOff, FaultKind::RollingRestart]);
        // What the leader alone has acknowledged is gone as soon as another one leads.
        if self.acks == Acks::Leader && copies.replicas > 1 && may_move_leaders(kind) {
            return Reach::Beyond;
        }
        match kind {
            // The row survives the one or the other.
            FaultKind::PowerLoss
            | FaultKind::Blackout
            | FaultKind::RackPowerLoss
            | FaultKind::Cascade => match self.flush {
                Flush::EveryMessage => Reach::Harmless,
                Flush::Off if crashes => Reach::Beyond,
                Flush::Off => Reach::Loss,
            },
            FaultKind::Wipe | FaultKind::CascadeWipe => Reach::Loss,
            // A sync that lies is no sync; without a loss of power nobody notices.
            FaultKind::LyingSync if power => Reach::Beyond,
            // A replica that reads rotten bytes while it recovers cannot tell them from a torn tail.
            FaultKind::BitRot if restarts => Reach::Beyond,
            // Nobody knows what is on such a disk; without syncs nothing was known before either.
            FaultKind::SyncError | FaultKind::WriteError | FaultKind::ReadError | FaultKind::DiskFull => {
                match self.flush {
                    Flush::EveryMessage => Reach::Harmless,
                    Flush::Off => Reach::Loss,
                }
            }
            FaultKind::LyingSync
            | FaultKind::BitRot
            | FaultKind::Crash
            | FaultKind::CrashAll
            | FaultKind::Stop
            // Whoever stops in good order syncs first, in the page-cache mode too.
            | FaultKind::PowerOff
            | FaultKind::RollingRestart
            | FaultKind::Pause
            | FaultKind::SlowDisk
            | FaultKind::Cut
            | FaultKind::CutOneWay
            | FaultKind::SlowLink
            | FaultKind::Isolate
            | FaultKind::Split
            | FaultKind::ClockStep
            // A record lies on brokers. How many controllers may go is another row's: see `Scenario::check`.
            | FaultKind::Lose => Reach::Harmless,
        }
    }
}

/// Whether others may come to lead what the node led that a fault hits.
fn may_move_leaders(kind: FaultKind) -> bool {
    !matches!(kind, FaultKind::ClockStep | FaultKind::BitRot | FaultKind::LyingSync | FaultKind::Lose)
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let flush = match self.flush {
            Flush::EveryMessage => "1",
            Flush::Off => "off",
        };
        write!(f, "acks={} flush.messages={flush}", self.acks.label())
    }
}

/// How many machines may have which losses, until every ISR is full again.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Losses {
    /// The kinds of faults that are losses.
    pub kinds: BTreeSet<FaultKind>,
    /// How many machines may have one.
    pub machines: u32,
}

impl Losses {
    /// The first fault of a schedule that is one too many, by its place.
    pub fn beyond(&self, schedule: &Schedule) -> Option<usize> {
        let mut ledger = Ledger::new(self.clone());
        schedule.0.iter().position(|step| {
            let is_beyond = !ledger.allows(step.at_ms, &step.fault);
            ledger.add(step.at_ms, &step.fault);
            is_beyond
        })
    }
}

/// Keeps count of the machines with a loss since every ISR was full.
#[derive(Debug, Clone)]
pub struct Ledger {
    losses: Losses,
    lost: BTreeSet<NodeId>,
    /// When the last fault so far is over.
    calm_ms: u64,
}

impl Ledger {
    /// Nothing is lost yet.
    pub fn new(losses: Losses) -> Self {
        Self { losses, lost: BTreeSet::new(), calm_ms: 0 }
    }

    /// Whether so many losses may come together.
    pub fn allows(&self, at_ms: u64, fault: &Fault) -> bool {
        let mut lost: BTreeSet<NodeId> = self.lost(at_ms).into_iter().collect();
        let before = lost.len();
        lost.extend(self.of(fault));
        lost.len() == before || lost.len() <= self.losses.machines as usize
    }

    /// The machines with a loss that still counts.
    pub fn lost(&self, at_ms: u64) -> Vec<NodeId> {
        if at_ms >= self.clear_ms() { Vec::new() } else { self.lost.iter().copied().collect() }
    }

    /// When every ISR will be full, if nothing else happens.
    pub fn clear_ms(&self) -> u64 {
        self.calm_ms + REFILL_MS
    }

    /// Takes in a fault.
    pub fn add(&mut self, at_ms: u64, fault: &Fault) {
        if at_ms >= self.clear_ms() {
            self.lost.clear();
        }
        self.lost.extend(self.of(fault));
        self.calm_ms = self.calm_ms.max(at_ms + fault.lasts_ms());
    }

    fn of(&self, fault: &Fault) -> Vec<NodeId> {
        if self.losses.kinds.contains(&fault.kind()) { fault.machines() } else { Vec::new() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::faults::{Moment, Step};

    const SOLE: Copies = Copies { replicas: 1, min_insync: 1 };
    const THREE: Copies = Copies { replicas: 3, min_insync: 2 };

    fn survives(flush: Flush, kinds: &[FaultKind]) -> Result<(), FaultKind> {
        Row { acks: Acks::All, flush }.survives(&kinds.iter().copied().collect(), SOLE, 0)
    }

    fn three(acks: Acks, flush: Flush, kinds: &[FaultKind], machines: u32) -> Result<(), FaultKind> {
        Row { acks, flush }.survives(&kinds.iter().copied().collect(), THREE, machines)
    }

    #[test]
    fn only_a_topic_that_syncs_outlives_the_power() {
        assert_eq!(survives(Flush::EveryMessage, &[FaultKind::PowerLoss, FaultKind::Crash]), Ok(()));
        assert_eq!(survives(Flush::Off, &[FaultKind::Crash, FaultKind::Stop, FaultKind::PowerOff]), Ok(()));
        assert_eq!(
            survives(Flush::Off, &[FaultKind::Crash, FaultKind::PowerLoss]),
            Err(FaultKind::PowerLoss)
        );
    }

    #[test]
    fn some_faults_are_beyond_only_together() {
        assert_eq!(survives(Flush::EveryMessage, &[FaultKind::LyingSync]), Ok(()));
        assert_eq!(
            survives(Flush::EveryMessage, &[FaultKind::LyingSync, FaultKind::PowerLoss]),
            Err(FaultKind::LyingSync)
        );
        assert_eq!(survives(Flush::EveryMessage, &[FaultKind::BitRot]), Ok(()));
        assert_eq!(
            survives(Flush::EveryMessage, &[FaultKind::BitRot, FaultKind::Crash]),
            Err(FaultKind::BitRot)
        );
    }

    #[test]
    fn a_cluster_spares_one_machine_less_than_must_be_in_sync() {
        let everything = [FaultKind::Blackout, FaultKind::Crash, FaultKind::Wipe];
        assert_eq!(three(Acks::All, Flush::EveryMessage, &everything, 1), Ok(()));
        assert_eq!(three(Acks::All, Flush::EveryMessage, &everything, 2), Err(FaultKind::Wipe));
        assert_eq!(survives(Flush::EveryMessage, &everything), Err(FaultKind::Wipe));
        assert_eq!(three(Acks::All, Flush::Off, &[FaultKind::CrashAll], 1), Ok(()));
        assert_eq!(three(Acks::All, Flush::Off, &[FaultKind::PowerLoss, FaultKind::Wipe], 1), Ok(()));
        assert_eq!(three(Acks::All, Flush::Off, &[FaultKind::PowerLoss], 2), Err(FaultKind::PowerLoss));
        let both = [FaultKind::CrashAll, FaultKind::PowerLoss];
        assert_eq!(three(Acks::All, Flush::Off, &both, 1), Err(FaultKind::PowerLoss));
    }

    #[test]
    fn what_the_leader_alone_has_said_goes_with_it() {
        assert_eq!(three(Acks::Leader, Flush::EveryMessage, &[FaultKind::Crash], 0), Err(FaultKind::Crash));
        let sole = Row { acks: Acks::Leader, flush: Flush::EveryMessage };
        assert_eq!(sole.survives(&BTreeSet::from([FaultKind::Blackout]), SOLE, 0), Ok(()));
    }

    #[test]
    fn losses_add_up_until_every_isr_is_full_again() {
        let losses = Losses { kinds: BTreeSet::from([FaultKind::PowerLoss]), machines: 1 };
        let loss = |at_ms, node| {
            let node = NodeId(node);
            let (power, moment) = (true, Moment::AtOnce);
            Step { at_ms, fault: Fault::Kill { node, power, moment, down_ms: 1_000 } }
        };
        let pause = |at_ms| Step { at_ms, fault: Fault::Pause { node: NodeId(3), for_ms: 1_000 } };
        let beyond = |steps: Vec<Step>| losses.beyond(&Schedule(steps));
        assert_eq!(beyond(vec![loss(0, 1), loss(31_000, 2)]), Some(1));
        assert_eq!(beyond(vec![loss(0, 1), loss(31_000, 1), loss(63_000, 1)]), None, "it has nothing more");
        assert_eq!(beyond(vec![loss(0, 1), loss(32_000, 2)]), None);
        assert_eq!(beyond(vec![loss(0, 1), pause(20_000), loss(32_000, 2)]), Some(2), "not yet in peace");
        assert_eq!(beyond(vec![loss(0, 1), pause(20_000), loss(51_000, 2)]), None);
    }
}
