//! Faults: which there are.
//!
//! A schedule of them is plain data, drawn before the run begins ([`crate::drawing`]): it can be printed, kept
//! in a file and shrunk.

use std::fmt;

use serde::{Deserialize, Serialize};

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
    /// The process is asked to stop, and once it has, the power goes and comes back.
    PowerOff,
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
    /// The processes of all nodes are killed at once.
    CrashAll,
    /// All nodes lose their power at once.
    Blackout,
    /// All nodes of a rack lose their power at once.
    RackPowerLoss,
    /// The power goes and comes back, and the disk with the partitions is another one, and empty.
    Wipe,
    /// A node is cut off from all others.
    Isolate,
    /// Nothing passes between some nodes and all others.
    Split,
    /// All nodes are asked to stop and are started again, one after the other.
    RollingRestart,
    /// The brokers lose their power one after the other, each while those before it are still away, until none is
    /// left; then they come back.
    Cascade,
    /// So they do, and all but the first to go come back with an empty disk.
    CascadeWipe,
    /// A controller's machine is gone, and never comes back.
    Lose,
}

impl FaultKind {
    /// All of them.
    pub const ALL: [Self; 26] = [
        Self::Crash,
        Self::PowerLoss,
        Self::Stop,
        Self::PowerOff,
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
        Self::CrashAll,
        Self::Blackout,
        Self::RackPowerLoss,
        Self::Wipe,
        Self::Isolate,
        Self::Split,
        Self::RollingRestart,
        Self::Cascade,
        Self::CascadeWipe,
        Self::Lose,
    ];

    /// As scenario files spell it.
    pub fn label(self) -> &'static str {
        match self {
            Self::Crash => "crash",
            Self::PowerLoss => "power-loss",
            Self::Stop => "stop",
            Self::PowerOff => "power-off",
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
            Self::CrashAll => "crash-all",
            Self::Blackout => "blackout",
            Self::RackPowerLoss => "rack-power-loss",
            Self::Wipe => "wipe",
            Self::Isolate => "isolate",
            Self::Split => "split",
            Self::RollingRestart => "rolling-restart",
            Self::Cascade => "cascade",
            Self::CascadeWipe => "cascade-wipe",
            Self::Lose => "lose",
        }
    }

    /// Whether it takes the power from machines.
    pub fn takes_power(self) -> bool {
        matches!(
            self,
            Self::PowerLoss
                | Self::PowerOff
                | Self::Blackout
                | Self::RackPowerLoss
                | Self::Wipe
                | Self::Cascade
                | Self::CascadeWipe
                | Self::Lose
        )
    }
}

/// Which way is closed to a node that is cut off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Way {
    /// Both.
    Both,
    /// It hears nobody.
    In,
    /// Nobody hears it.
    Out,
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
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Fault {
    /// See [`FaultKind::Crash`] and [`FaultKind::PowerLoss`].
    Kill { node: NodeId, power: bool, moment: Moment, down_ms: u64 },
    /// See [`FaultKind::Stop`].
    Stop { node: NodeId, down_ms: u64 },
    /// See [`FaultKind::PowerOff`].
    PowerOff { node: NodeId, down_ms: u64 },
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
    /// See [`FaultKind::CrashAll`], [`FaultKind::Blackout`] and [`FaultKind::RackPowerLoss`]: the kind says
    /// which. The first node is back after `down_ms`, every other one `apart_ms` after the one before.
    KillMany { kind: FaultKind, nodes: Vec<NodeId>, down_ms: u64, apart_ms: u64 },
    /// See [`FaultKind::Wipe`].
    Wipe { node: NodeId, down_ms: u64 },
    /// See [`FaultKind::Isolate`].
    Isolate { node: NodeId, from: Vec<NodeId>, way: Way, for_ms: u64 },
    /// See [`FaultKind::Split`].
    Split { some: Vec<NodeId>, others: Vec<NodeId>, for_ms: u64 },
    /// See [`FaultKind::RollingRestart`]: each is down for so long, and so long up before the next is stopped.
    RollingRestart { nodes: Vec<NodeId>, down_ms: u64, pause_ms: u64 },
    /// See [`FaultKind::Cascade`] and [`FaultKind::CascadeWipe`]: the kind says which. Each goes
    /// `apart_ms` after the one before. `down_ms` after the last has gone the first is back, the one that
    /// went first or the one that went last; every other one `back_apart_ms`
    /// after the one before.
    Cascade {
        kind: FaultKind,
        nodes: Vec<NodeId>,
        apart_ms: u64,
        down_ms: u64,
        last_first: bool,
        back_apart_ms: u64,
    },
    /// See [`FaultKind::Lose`].
    Lose { node: NodeId },
}

/// A process that is to be killed before a disk operation is killed after so long in any case.
pub const KILLED_WITHIN_MS: u64 = 1_000;
/// A process that is asked to stop is killed after so long.
pub const STOPPED_WITHIN_MS: u64 = 30_000;

impl Fault {
    /// Which kind it is of.
    pub fn kind(&self) -> FaultKind {
        match self {
            Self::Kill { power: false, .. } => FaultKind::Crash,
            Self::Kill { power: true, .. } => FaultKind::PowerLoss,
            Self::Stop { .. } => FaultKind::Stop,
            Self::PowerOff { .. } => FaultKind::PowerOff,
            Self::Pause { .. } => FaultKind::Pause,
            Self::Disk { kind, .. } => *kind,
            Self::Cut { both: true, .. } => FaultKind::Cut,
            Self::Cut { both: false, .. } => FaultKind::CutOneWay,
            Self::SlowLink { .. } => FaultKind::SlowLink,
            Self::ClockStep { .. } => FaultKind::ClockStep,
            Self::KillMany { kind, .. } => *kind,
            Self::Wipe { .. } => FaultKind::Wipe,
            Self::Isolate { .. } => FaultKind::Isolate,
            Self::Split { .. } => FaultKind::Split,
            Self::RollingRestart { .. } => FaultKind::RollingRestart,
            Self::Cascade { kind, .. } => *kind,
            Self::Lose { .. } => FaultKind::Lose,
        }
    }

    /// The machines that it hits; none where it is the network's.
    pub fn machines(&self) -> Vec<NodeId> {
        match self {
            Self::Kill { node, .. }
            | Self::Stop { node, .. }
            | Self::PowerOff { node, .. }
            | Self::Pause { node, .. }
            | Self::Disk { node, .. }
            | Self::ClockStep { node, .. }
            | Self::Wipe { node, .. }
            | Self::Lose { node } => vec![*node],
            Self::KillMany { nodes, .. }
            | Self::RollingRestart { nodes, .. }
            | Self::Cascade { nodes, .. } => nodes.clone(),
            Self::Cut { .. } | Self::SlowLink { .. } | Self::Isolate { .. } | Self::Split { .. } => {
                Vec::new()
            }
        }
    }

    /// After how long, at the latest, everything works as before: processes are started again, links are open.
    pub fn lasts_ms(&self) -> u64 {
        match self {
            Self::Kill { down_ms, .. } => KILLED_WITHIN_MS + down_ms,
            Self::Stop { down_ms, .. } | Self::PowerOff { down_ms, .. } => STOPPED_WITHIN_MS + down_ms,
            Self::Pause { for_ms, .. }
            | Self::Disk { for_ms, .. }
            | Self::Cut { for_ms, .. }
            | Self::SlowLink { for_ms, .. }
            | Self::Isolate { for_ms, .. }
            | Self::Split { for_ms, .. } => *for_ms,
            // Whoever is gone is not waited for.
            Self::ClockStep { .. } | Self::Lose { .. } => 0,
            Self::KillMany { nodes, down_ms, apart_ms, .. } => down_ms + nodes.len() as u64 * apart_ms,
            Self::Wipe { down_ms, .. } => *down_ms,
            Self::RollingRestart { nodes, down_ms, pause_ms } => {
                nodes.len() as u64 * (STOPPED_WITHIN_MS + down_ms + pause_ms)
            }
            Self::Cascade { nodes, apart_ms, down_ms, back_apart_ms, .. } => {
                nodes.len() as u64 * (apart_ms + back_apart_ms) + down_ms
            }
        }
    }
}

/// Several nodes, for people.
fn names(nodes: &[NodeId]) -> String {
    nodes.iter().map(NodeId::to_string).collect::<Vec<_>>().join(", ")
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
            Self::Stop { node, down_ms } | Self::PowerOff { node, down_ms } => {
                write!(f, "{kind} of {node}, back after {down_ms} ms")
            }
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
            Self::KillMany { nodes, down_ms, apart_ms, .. } => {
                let nodes = names(nodes);
                write!(f, "{kind}: {nodes}, back after {down_ms} ms and {apart_ms} ms apart")
            }
            Self::Wipe { node, down_ms } => write!(f, "{kind} of {node}, back after {down_ms} ms"),
            Self::Isolate { node, from, way, for_ms } => {
                let way = match way {
                    Way::Both => "cut off from",
                    Way::In => "does not hear",
                    Way::Out => "is not heard by",
                };
                write!(f, "{kind}: {node} {way} {} for {for_ms} ms", names(from))
            }
            Self::Split { some, others, for_ms } => {
                write!(f, "{kind} of {} from {} for {for_ms} ms", names(some), names(others))
            }
            Self::RollingRestart { nodes, down_ms, pause_ms } => {
                let nodes = names(nodes);
                write!(f, "{kind} of {nodes}, each down for {down_ms} ms, {pause_ms} ms in between")
            }
            Self::Cascade { nodes, apart_ms, down_ms, last_first, back_apart_ms, .. } => {
                let (nodes, turn) = (names(nodes), if *last_first { "last" } else { "first" });
                write!(
                    f,
                    "{kind} of {nodes}, {apart_ms} ms apart, the {turn} to go back {down_ms} ms after that, \
                     {back_apart_ms} ms apart"
                )
            }
            Self::Lose { node } => write!(f, "{kind} of {node}, for good"),
        }
    }
}

/// A fault and its time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
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

#[cfg(test)]
mod tests {
    use super::*;

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
            Step {
                at_ms: 62_000,
                fault: Fault::KillMany {
                    kind: FaultKind::Blackout,
                    nodes: vec![NodeId(1), NodeId(2)],
                    down_ms: 10,
                    apart_ms: 7,
                },
            },
            Step {
                at_ms: 63_000,
                fault: Fault::Isolate {
                    node: NodeId(2),
                    from: vec![NodeId(1), NodeId(3)],
                    way: Way::Out,
                    for_ms: 5,
                },
            },
        ]);
        insta::assert_snapshot!(schedule, @r"
           1.500  power-loss of node-1 before disk operation 3 from now, back after 20 ms
          61.000  clock-step of node-1 by -5 ms
          62.000  blackout: node-1, node-2, back after 10 ms and 7 ms apart
          63.000  isolate: node-2 is not heard by node-1, node-3 for 5 ms
        ");
    }
}
