//! Carries out a schedule of faults, and ends them all when their time is over.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use crate::disk::{DiskCounts, DiskFaults};
use crate::engine::NodeId;
use crate::faults::{Fault, FaultKind, Moment, Schedule};
use crate::process::{Processes, Program};
use crate::trace::Kind;
use crate::world::World;

const MS: u64 = 1_000_000;
/// A full disk takes a little more before it is full.
const ROOM_LEFT: u64 = 20_000;

/// Injects faults.
#[derive(Clone)]
pub struct Nemesis<P> {
    world: World,
    processes: Processes<P>,
    brokers: Vec<NodeId>,
    injected: Arc<Mutex<BTreeMap<FaultKind, u64>>>,
}

/// What the faults of a run came to.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Fired {
    /// How often each kind was injected.
    pub injected: BTreeMap<FaultKind, u64>,
    /// How often each kind made a difference: a sync that failed, a segment that a cut held back.
    pub effects: BTreeMap<FaultKind, u64>,
    /// Sectors, torn files and names that losses of power took.
    pub lost: Lost,
}

/// What losses of power took.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Lost {
    /// Unsynced sectors.
    pub sectors: u64,
    /// Files that kept some unsynced sectors and lost others.
    pub files_torn: u64,
    /// Unsynced names.
    pub names: u64,
}

impl<P: Program> Nemesis<P> {
    /// A nemesis for these brokers.
    pub fn new(world: World, processes: Processes<P>, brokers: Vec<NodeId>) -> Self {
        Self { world, processes, brokers, injected: Arc::default() }
    }

    /// Injects every fault at its time.
    pub async fn run(&self, schedule: &Schedule) {
        for step in &schedule.0 {
            self.world.engine().sleep_until(step.at_ms * MS).await;
            self.inject(step.fault);
        }
    }

    fn inject(&self, fault: Fault) {
        self.note(&fault.to_string());
        *self.injected().entry(fault.kind()).or_default() += 1;
        match fault {
            Fault::Kill { node, power, moment: Moment::AtOnce, down_ms } => {
                self.processes.kill(node, power, down_ms);
            }
            Fault::Kill { node, power, moment: Moment::BeforeDiskOperation(operation), down_ms } => {
                self.processes.kill_before_operation(node, operation, power, down_ms);
            }
            Fault::Stop { node, down_ms } => self.processes.stop(node, down_ms),
            Fault::Pause { node, for_ms } => self.world.engine().pause(node, for_ms * MS),
            Fault::Disk { node, kind, rate, for_ms } => self.trouble_disk(node, kind, rate, for_ms),
            Fault::Cut { from, to, both, for_ms } => {
                self.world.net().cut(from, to);
                if both {
                    self.world.net().cut(to, from);
                }
                self.later(for_ms, format!("{from} and {to} are connected again"), move |world| {
                    world.net().heal(from, to);
                    world.net().heal(to, from);
                });
            }
            Fault::SlowLink { from, to, extra_ms, bytes_per_second, for_ms } => {
                for (from, to) in [(from, to), (to, from)] {
                    self.world.net().slow(from, to, extra_ms * MS, bytes_per_second);
                }
                self.later(for_ms, format!("{from} and {to} are fast again"), move |world| {
                    world.net().heal(from, to);
                    world.net().heal(to, from);
                });
            }
            Fault::ClockStep { node, by_ms } => self.world.step_clock(node, by_ms),
        }
    }

    fn trouble_disk(&self, node: NodeId, kind: FaultKind, rate: u32, for_ms: u64) {
        let disk = self.world.disk(node);
        let room = disk.used_bytes() + ROOM_LEFT;
        disk.set_faults(|faults| set_disk_fault(faults, kind, Some((rate, room))));
        self.later(for_ms, format!("{} of {node} is over", kind.label()), move |world| {
            world.disk(node).set_faults(|faults| set_disk_fault(faults, kind, None));
        });
    }

    fn later(&self, for_ms: u64, said: String, action: impl FnOnce(&World) + Send + 'static) {
        let nemesis = self.clone();
        self.world.engine().schedule(self.world.engine().now_ns() + for_ms * MS, move || {
            nemesis.note(&said);
            action(&nemesis.world);
        });
    }

    /// Ends every fault and starts every process that is down.
    pub fn heal_all(&self) {
        self.note("all is healed");
        self.world.net().heal_all();
        for &node in &self.brokers {
            self.world.disk(node).set_faults(|faults| *faults = DiskFaults::NONE);
            self.world.engine().resume(node);
        }
        self.processes.make_peace(&self.brokers);
    }

    /// What came of the faults so far.
    pub fn fired(&self) -> Fired {
        let injected = self.injected().clone();
        let disks: Vec<DiskCounts> =
            self.brokers.iter().map(|node| self.world.disk(*node).counts()).collect();
        let sum = |pick: fn(&DiskCounts) -> u64| disks.iter().map(pick).sum::<u64>();
        let net = self.world.net().counts();
        let lost = Lost {
            sectors: sum(|disk| disk.sectors_lost),
            files_torn: sum(|disk| disk.files_torn),
            names: sum(|disk| disk.names_lost),
        };
        let effect = |kind: FaultKind, times: u64| match kind {
            FaultKind::SyncError => sum(|disk| disk.sync_errors),
            FaultKind::WriteError => sum(|disk| disk.write_errors),
            FaultKind::ReadError => sum(|disk| disk.read_errors),
            FaultKind::DiskFull => sum(|disk| disk.no_space),
            FaultKind::SlowDisk => sum(|disk| disk.stalls),
            FaultKind::BitRot => sum(|disk| disk.rotted),
            FaultKind::LyingSync => sum(|disk| disk.lies),
            FaultKind::Cut | FaultKind::CutOneWay => net.held + net.cut_syns + net.lost_resets,
            FaultKind::SlowLink => net.slowed,
            FaultKind::Crash
            | FaultKind::PowerLoss
            | FaultKind::Stop
            | FaultKind::Pause
            | FaultKind::ClockStep => times,
        };
        let effects = injected.iter().map(|(kind, times)| (*kind, effect(*kind, *times))).collect();
        Fired { injected, effects, lost }
    }

    fn note(&self, text: &str) {
        let print = crate::digest::fingerprint(text.as_bytes());
        self.world.engine().note(NodeId::HARNESS, Kind::Fault, (print, 0), || text.to_owned().into());
    }

    fn injected(&self) -> MutexGuard<'_, BTreeMap<FaultKind, u64>> {
        self.injected.lock().expect("one thread alone takes this lock, and no panic happens under it")
    }
}

/// Sets one fault of a disk: to a rate, or to a capacity; or back to none.
fn set_disk_fault(faults: &mut DiskFaults, kind: FaultKind, on: Option<(u32, u64)>) {
    let rate = on.map_or(0, |(rate, _)| rate);
    match kind {
        FaultKind::SyncError => faults.sync_error = rate,
        FaultKind::WriteError => faults.write_error = rate,
        FaultKind::ReadError => faults.read_error = rate,
        FaultKind::BitRot => faults.rot = rate,
        FaultKind::LyingSync => faults.lying_sync = on.is_some(),
        FaultKind::SlowDisk => faults.slowness = u64::from(rate).max(1),
        FaultKind::DiskFull => faults.capacity = on.map(|(_, room)| room),
        _ => unreachable!("{} is no fault of a disk", kind.label()),
    }
}
