//! Faults: which there are, and how a schedule of them is drawn from a profile and a seed.
//!
//! A schedule is plain data, drawn before the run begins: it can be printed, kept in a file and shrunk.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::dice::Dice;
use crate::engine::NodeId;

/// The kinds of faults that a scenario can allow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FaultKind {
    /// The process is killed and started again; the page cache stays.
    Crash,
    /// The power goes and comes back; what was not synced is at risk.
    PowerLoss,
    /// The process is asked to stop, and started again.
    Stop,
    /// The process stands still for a while.
    Pause,
    /// Syncs fail.
    SyncError,
    /// Writes fail half way.
    WriteError,
    /// Reads fail.
    ReadError,
    /// The disk is full for a while.
    DiskFull,
    /// The disk is slow for a while, and stalls the process now and then.
    SlowDisk,
    /// Reads return wrong bits.
    BitRot,
    /// Syncs say that they worked and do nothing.
    LyingSync,
    /// Nothing passes between a broker and a client for a while.
    Cut,
    /// Nothing passes in one direction.
    CutOneWay,
    /// A link is slow.
    SlowLink,
    /// The wall clock jumps.
    ClockStep,
}

impl FaultKind {
    /// All of them.
    pub const ALL: [Self; 15] = [
        Self::Crash,
        Self::PowerLoss,
        Self::Stop,
        Self::Pause,
        Self::SyncError,
        Self::WriteError,
        Self::ReadError,
        Self::DiskFull,
        Self::SlowDisk,
        Self::BitRot,
        Self::LyingSync,
        Self::Cut,
        Self::CutOneWay,
        Self::SlowLink,
        Self::ClockStep,
    ];

    /// As scenario files spell it.
    pub fn label(self) -> &'static str {
        match self {
            Self::Crash => "crash",
            Self::PowerLoss => "power-loss",
            Self::Stop => "stop",
            Self::Pause => "pause",
            Self::SyncError => "sync-error",
            Self::WriteError => "write-error",
            Self::ReadError => "read-error",
            Self::DiskFull => "disk-full",
            Self::SlowDisk => "slow-disk",
            Self::BitRot => "bit-rot",
            Self::LyingSync => "lying-sync",
            Self::Cut => "cut",
            Self::CutOneWay => "cut-one-way",
            Self::SlowLink => "slow-link",
            Self::ClockStep => "clock-step",
        }
    }
}

/// When exactly a process is killed or its power goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Moment {
    /// At its time.
    AtOnce,
    /// Just before so manieth disk operation from then, or a second later if it does not come to that.
    BeforeDiskOperation(u64),
}

/// One fault, with everything that was drawn for it. Times are in virtual milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Fault {
    /// See [`FaultKind::Crash`] and [`FaultKind::PowerLoss`].
    Kill { node: NodeId, power: bool, moment: Moment, down_ms: u64 },
    /// See [`FaultKind::Stop`].
    Stop { node: NodeId, down_ms: u64 },
    /// See [`FaultKind::Pause`].
    Pause { node: NodeId, for_ms: u64 },
    /// One of the disk's faults, at a rate in parts per million where there is one; a slow disk is slower by
    /// this factor.
    Disk { node: NodeId, kind: FaultKind, rate: u32, for_ms: u64 },
    /// See [`FaultKind::Cut`] and [`FaultKind::CutOneWay`]: the way back is open unless `both`.
    Cut { from: NodeId, to: NodeId, both: bool, for_ms: u64 },
    /// See [`FaultKind::SlowLink`]: in both directions.
    SlowLink { from: NodeId, to: NodeId, extra_ms: u64, bytes_per_second: u64, for_ms: u64 },
    /// See [`FaultKind::ClockStep`].
    ClockStep { node: NodeId, by_ms: i64 },
}

impl Fault {
    /// Which kind it is of.
    pub fn kind(&self) -> FaultKind {
        match self {
            Self::Kill { power: false, .. } => FaultKind::Crash,
            Self::Kill { power: true, .. } => FaultKind::PowerLoss,
            Self::Stop { .. } => FaultKind::Stop,
            Self::Pause { .. } => FaultKind::Pause,
            Self::Disk { kind, .. } => *kind,
            Self::Cut { both: true, .. } => FaultKind::Cut,
            Self::Cut { both: false, .. } => FaultKind::CutOneWay,
            Self::SlowLink { .. } => FaultKind::SlowLink,
            Self::ClockStep { .. } => FaultKind::ClockStep,
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = self.kind().label();
        match self {
            Self::Kill { node, moment: Moment::AtOnce, down_ms, .. } => {
                write!(f, "{kind} of {node}, back after {down_ms} ms")
            }
            Self::Kill { node, moment: Moment::BeforeDiskOperation(n), down_ms, .. } => {
                write!(f, "{kind} of {node} before disk operation {n} from now, back after {down_ms} ms")
            }
            Self::Stop { node, down_ms } => write!(f, "{kind} of {node}, back after {down_ms} ms"),
            Self::Pause { node, for_ms } => write!(f, "{kind} of {node} for {for_ms} ms"),
            Self::Disk { node, kind: FaultKind::SlowDisk, rate, for_ms } => {
                write!(f, "{kind} on {node}, {rate} times slower, for {for_ms} ms")
            }
            Self::Disk { node, rate: 0, for_ms, .. } => write!(f, "{kind} on {node} for {for_ms} ms"),
            Self::Disk { node, rate, for_ms, .. } => {
                write!(f, "{kind} on {node}, {rate} in a million, for {for_ms} ms")
            }
            Self::Cut { from, to, for_ms, .. } => write!(f, "{kind} from {from} to {to} for {for_ms} ms"),
            Self::SlowLink { from, to, extra_ms, bytes_per_second, for_ms } => {
                let slow = format!("{extra_ms} ms more, {bytes_per_second} bytes per second");
                write!(f, "{kind} between {from} and {to}: {slow}, for {for_ms} ms")
            }
            Self::ClockStep { node, by_ms } => write!(f, "{kind} of {node} by {by_ms} ms"),
        }
    }
}

/// A fault and its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// Virtual milliseconds since the run began.
    pub at_ms: u64,
    /// What happens.
    pub fault: Fault,
}

/// All faults of a run, in order of time.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Schedule(pub Vec<Step>);

impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for step in &self.0 {
            writeln!(f, "{:>4}.{:03}  {}", step.at_ms / 1_000, step.at_ms % 1_000, step.fault)?;
        }
        Ok(())
    }
}

/// What a schedule is drawn from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Profile {
    /// Which kinds of faults, how often relative to each other.
    pub weights: BTreeMap<FaultKind, u32>,
    /// The mean time between two of them.
    pub every_ms: u64,
    /// When the first may come.
    pub from_ms: u64,
    /// After which none comes.
    pub until_ms: u64,
    /// Those who suffer.
    pub brokers: Vec<NodeId>,
    /// Those who are cut off from them.
    pub clients: Vec<NodeId>,
}

impl Schedule {
    /// Draws a schedule.
    pub fn draw(seed: u64, profile: &Profile) -> Self {
        let mut dice = Dice::new(seed, NodeId::HARNESS, "nemesis", 0);
        let mut steps = Vec::new();
        let mut at_ms = profile.from_ms;
        loop {
            at_ms += dice.between(1, 2 * profile.every_ms.max(1));
            if at_ms >= profile.until_ms {
                return Self(steps);
            }
            let Some(index) = dice.weighted(profile.weights.values().copied()) else { return Self(steps) };
            let kind = *profile.weights.keys().nth(index).expect("the index is of this map");
            steps.push(Step { at_ms, fault: draw_fault(&mut dice, kind, profile) });
        }
    }
}

fn draw_fault(dice: &mut Dice, kind: FaultKind, profile: &Profile) -> Fault {
    let node = profile.brokers[dice.index(profile.brokers.len())];
    let client = profile.clients[dice.index(profile.clients.len())];
    // Mostly short, sometimes long.
    let for_ms = if dice.one_in(4) { dice.between(1_000, 8_000) } else { dice.between(20, 1_000) };
    match kind {
        FaultKind::Crash | FaultKind::PowerLoss => {
            let power = kind == FaultKind::PowerLoss;
            let moment = match dice.below(3) {
                0 => Moment::AtOnce,
                1 => Moment::BeforeDiskOperation(dice.between(1, 10)),
                _ => Moment::BeforeDiskOperation(dice.between(1, 100)),
            };
            Fault::Kill { node, power, moment, down_ms: for_ms }
        }
        FaultKind::Stop => Fault::Stop { node, down_ms: for_ms },
        FaultKind::Pause => Fault::Pause { node, for_ms },
        FaultKind::SyncError | FaultKind::WriteError | FaultKind::ReadError => {
            let rate = if dice.coin() { 1_000_000 } else { 50_000 };
            Fault::Disk { node, kind, rate, for_ms }
        }
        FaultKind::BitRot => Fault::Disk { node, kind, rate: 100_000, for_ms },
        FaultKind::SlowDisk => {
            // A sync takes some milliseconds, or about as long as a client has patience.
            let rate = if dice.one_in(3) { 1_000 } else { 20 };
            Fault::Disk { node, kind, rate, for_ms }
        }
        FaultKind::DiskFull | FaultKind::LyingSync => Fault::Disk { node, kind, rate: 0, for_ms },
        FaultKind::Cut => Fault::Cut { from: node, to: client, both: true, for_ms },
        FaultKind::CutOneWay => {
            let (from, to) = if dice.coin() { (node, client) } else { (client, node) };
            Fault::Cut { from, to, both: false, for_ms }
        }
        FaultKind::SlowLink => Fault::SlowLink {
            from: node,
            to: client,
            extra_ms: dice.between(1, 500),
            bytes_per_second: dice.between(10_000, 1_000_000),
            for_ms,
        },
        FaultKind::ClockStep => {
            let far = if dice.one_in(4) { 86_400_000 } else { 30_000 };
            let by_ms = dice.between(1, far) as i64;
            Fault::ClockStep { node, by_ms: if dice.coin() { by_ms } else { -by_ms } }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn profile() -> Profile {
        Profile {
            weights: FaultKind::ALL.iter().map(|kind| (*kind, 1)).collect(),
            every_ms: 500,
            from_ms: 1_000,
            until_ms: 40_000,
            brokers: vec![NodeId(1)],
            clients: vec![NodeId(2), NodeId(3)],
        }
    }

    #[test]
    fn a_schedule_is_the_seeds_in_order_and_within_its_time() {
        let one = Schedule::draw(1, &profile());
        assert_eq!(one, Schedule::draw(1, &profile()));
        assert_ne!(one, Schedule::draw(2, &profile()));
        assert!(one.0.is_sorted_by_key(|step| step.at_ms));
        assert!(one.0.iter().all(|step| (1_000..40_000).contains(&step.at_ms)));
        assert!((30..200).contains(&one.0.len()), "{}", one.0.len());
    }

    #[test]
    fn weights_decide_which_kinds_come() {
        let mut weights: BTreeMap<FaultKind, u32> = FaultKind::ALL.iter().map(|kind| (*kind, 0)).collect();
        weights.insert(FaultKind::PowerLoss, 1);
        let schedule = Schedule::draw(1, &Profile { weights, ..profile() });
        assert!(schedule.0.iter().all(|step| step.fault.kind() == FaultKind::PowerLoss));
        let kinds: std::collections::BTreeSet<_> = (0..20)
            .flat_map(|seed| Schedule::draw(seed, &profile()).0)
            .map(|step| step.fault.kind())
            .collect();
        assert_eq!(kinds.len(), FaultKind::ALL.len(), "every kind comes some day");
    }

    #[test]
    fn labels_are_what_files_say() {
        for kind in FaultKind::ALL {
            let parsed: FaultKind = serde_json::from_value(kind.label().into()).expect("a known kind");
            assert_eq!(parsed, kind);
        }
    }

    #[test]
    fn a_schedule_prints_one_line_per_fault() {
        let schedule = Schedule(vec![
            Step {
                at_ms: 1_500,
                fault: Fault::Kill {
                    node: NodeId(1),
                    power: true,
                    moment: Moment::BeforeDiskOperation(3),
                    down_ms: 20,
                },
            },
            Step { at_ms: 61_000, fault: Fault::ClockStep { node: NodeId(1), by_ms: -5 } },
        ]);
        insta::assert_snapshot!(schedule, @r"
           1.500  power-loss of node-1 before disk operation 3 from now, back after 20 ms
          61.000  clock-step of node-1 by -5 ms
        ");
    }
}
