//! Carries out a schedule of faults, and ends them all when their time is over.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use crate::cluster::DATA_DISK;
use crate::disk::{DiskCounts, DiskFaults};
use crate::engine::NodeId;
use crate::faults::{Fault, FaultKind, Moment, Schedule, Way};
use crate::process::{Processes, Program};
use crate::trace::Kind;
use crate::world::World;

const MS: u64 = 1_000_000;
/// A full disk takes a little more before it is full.
const ROOM_LEFT: u64 = 20_000;
/// How often somebody who restarts one node after the other looks whether it is down, or up again.
const LOOK_NS: u64 = 100 * MS;

/// Injects faults.
#[derive(Clone)]
pub struct Nemesis<P> {
    world: World,
    processes: Processes<P>,
    nodes: Vec<NodeId>,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    injected: BTreeMap<FaultKind, u64>,
    hits: Vec<Hit>,
    isolations: Vec<Isolation>,
    /// Until when a link is hurt: it heals when the last of the faults that came to it is over.
    hurt_until_ns: BTreeMap<(NodeId, NodeId), u64>,
    is_peace: bool,
}

/// A fault that hit a machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hit {
    /// When it came, in virtual nanoseconds.
    pub time_ns: u64,
    /// Which machine.
    pub node: NodeId,
    /// Of which kind it was.
    pub kind: FaultKind,
}

/// A node was cut off from all others, both ways.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Isolation {
    /// Which.
    pub node: NodeId,
    /// From when, in virtual nanoseconds.
    pub from_ns: u64,
    /// Until when.
    pub until_ns: u64,
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
    /// A nemesis for these nodes.
    pub fn new(world: World, processes: Processes<P>, nodes: Vec<NodeId>) -> Self {
        Self { world, processes, nodes, state: Arc::default() }
    }

    /// Injects every fault at its time.
    pub async fn run(&self, schedule: &Schedule) {
        for step in &schedule.0 {
            self.world.engine().sleep_until(step.at_ms * MS).await;
            self.inject(&step.fault);
        }
    }

    fn inject(&self, fault: &Fault) {
        self.note(&fault.to_string());
        let (kind, time_ns) = (fault.kind(), self.world.engine().now_ns());
        let mut state = self.state();
        *state.injected.entry(kind).or_default() += 1;
        state.hits.extend(fault.machines().into_iter().map(|node| Hit { time_ns, node, kind }));
        drop(state);
        match *fault {
            Fault::Kill { node, power, moment: Moment::AtOnce, down_ms } => {
                self.processes.kill(node, power, down_ms);
            }
            Fault::Kill { node, power, moment: Moment::BeforeDiskOperation(operation), down_ms } => {
                self.processes.kill_before_operation(node, operation, power, down_ms);
            }
            Fault::Stop { node, down_ms } => self.processes.stop(node, down_ms),
            Fault::PowerOff { node, down_ms } => self.processes.power_off(node, down_ms),
            Fault::Pause { node, for_ms } => self.world.engine().pause(node, for_ms * MS),
            Fault::Disk { node, kind, rate, for_ms } => self.trouble_disk(node, kind, rate, for_ms),
            Fault::Cut { from, to, both, for_ms } => {
                let links = if both { vec![(from, to), (to, from)] } else { vec![(from, to)] };
                self.cut(links, for_ms, format!("{from} and {to} are connected again"));
            }
            Fault::SlowLink { from, to, extra_ms, bytes_per_second, for_ms } => {
                let links = vec![(from, to), (to, from)];
                for (from, to) in &links {
                    self.world.net().slow(*from, *to, extra_ms * MS, bytes_per_second);
                }
                self.heal_later(links, for_ms, format!("{from} and {to} are fast again"));
            }
            Fault::ClockStep { node, by_ms } => self.world.step_clock(node, by_ms),
            Fault::KillMany { kind, ref nodes, down_ms, apart_ms } => {
                for (place, &node) in (0..).zip(nodes) {
                    self.processes.kill(node, kind.takes_power(), down_ms + place * apart_ms);
                }
            }
            Fault::Wipe { node, down_ms } => self.processes.wipe(node, DATA_DISK, down_ms),
            Fault::Cascade { ref nodes, apart_ms, down_ms, last_first, back_apart_ms, .. } => {
                let gone_ms = (nodes.len() as u64 - 1) * apart_ms;
                for (place, &node) in (0..).zip(nodes) {
                    let at_ms = place * apart_ms;
                    let turn = if last_first { nodes.len() as u64 - 1 - place } else { place };
                    let back_ms = gone_ms + down_ms + turn * back_apart_ms;
                    self.later(at_ms, format!("{} reaches {node}", kind.label()), move |nemesis| {
                        if !nemesis.state().is_peace {
                            let down_ms = back_ms - at_ms;
                            if kind == FaultKind::CascadeWipe && place > 0 {
                                nemesis.processes.wipe(node, DATA_DISK, down_ms);
                            } else {
                                nemesis.processes.kill(node, true, down_ms);
                            }
                        }
                    });
                }
            }
            Fault::Lose { node } => self.processes.lose(node),
            Fault::Isolate { node, ref from, way, for_ms } => self.isolate(node, from, way, for_ms),
            Fault::Split { ref some, ref others, for_ms } => {
                let pairs = some.iter().flat_map(|one| others.iter().map(|other| (*one, *other)));
                let links = pairs.flat_map(|(one, other)| [(one, other), (other, one)]).collect();
                self.cut(links, for_ms, "the parts are connected again".to_owned());
            }
            Fault::RollingRestart { ref nodes, down_ms, pause_ms } => {
                let (nemesis, nodes) = (self.clone(), nodes.clone());
                let rolling = async move { nemesis.restart_in_turn(&nodes, down_ms, pause_ms).await };
                let harness = self.world.engine().life(NodeId::HARNESS);
                self.world.engine().spawn(harness, "rolling restart", rolling).detach();
            }
        }
    }

    fn isolate(&self, node: NodeId, from: &[NodeId], way: Way, for_ms: u64) {
        let links = from.iter().flat_map(|&other| match way {
            Way::Both => vec![(node, other), (other, node)],
            Way::In => vec![(other, node)],
            Way::Out => vec![(node, other)],
        });
        let from_ns = self.world.engine().now_ns();
        let is_alone = self.nodes.iter().all(|other| *other == node || from.contains(other));
        if way == Way::Both && is_alone {
            let until_ns = from_ns + for_ms * MS;
            self.state().isolations.push(Isolation { node, from_ns, until_ns });
        }
        self.cut(links.collect(), for_ms, format!("{node} is connected again"));
    }

    fn cut(&self, links: Vec<(NodeId, NodeId)>, for_ms: u64, said: String) {
        for (from, to) in &links {
            self.world.net().cut(*from, *to);
        }
        self.heal_later(links, for_ms, said);
    }

    /// Heals links after a while, unless another fault has come to them that is not over yet.
    fn heal_later(&self, links: Vec<(NodeId, NodeId)>, for_ms: u64, said: String) {
        let until_ns = self.world.engine().now_ns() + for_ms * MS;
        for link in &links {
            let mut state = self.state();
            let until = state.hurt_until_ns.entry(*link).or_default();
            *until = (*until).max(until_ns);
        }
        self.later(for_ms, said, move |nemesis| {
            let world = &nemesis.world;
            for (from, to) in links {
                let due_ns = nemesis.state().hurt_until_ns.get(&(from, to)).copied();
                if due_ns.is_none_or(|due_ns| due_ns <= world.engine().now_ns()) {
                    world.net().heal(from, to);
                }
            }
        });
    }

    /// Stops one node after the other, each once the one before is up again.
    async fn restart_in_turn(&self, nodes: &[NodeId], down_ms: u64, pause_ms: u64) {
        for &node in nodes {
            if self.state().is_peace {
                return;
            }
            self.processes.stop(node, down_ms);
            for is_up in [false, true] {
                while self.processes.is_running(node) != is_up {
                    self.world.engine().sleep_until(self.world.engine().now_ns() + LOOK_NS).await;
                }
            }
            self.world.engine().sleep_until(self.world.engine().now_ns() + pause_ms * MS).await;
        }
    }

    fn trouble_disk(&self, node: NodeId, kind: FaultKind, rate: u32, for_ms: u64) {
        let disk = self.world.disk(node);
        let room = disk.used_bytes() + ROOM_LEFT;
        disk.set_faults(|faults| set_disk_fault(faults, kind, Some((rate, room))));
        self.later(for_ms, format!("{} of {node} is over", kind.label()), move |nemesis| {
            nemesis.world.disk(node).set_faults(|faults| set_disk_fault(faults, kind, None));
        });
    }

    fn later(&self, for_ms: u64, said: String, action: impl FnOnce(&Self) + Send + 'static) {
        let nemesis = self.clone();
        self.world.engine().schedule(self.world.engine().now_ns() + for_ms * MS, move || {
            nemesis.note(&said);
            action(&nemesis);
        });
    }

    /// Ends every fault and starts every process that is down.
    pub fn heal_all(&self) {
        self.note("all is healed");
        let now = self.world.engine().now_ns();
        let mut state = self.state();
        state.is_peace = true;
        state.hurt_until_ns.clear();
        state.isolations.iter_mut().for_each(|isolation| isolation.until_ns = isolation.until_ns.min(now));
        drop(state);
        self.world.net().heal_all();
        for &node in &self.nodes {
            self.world.disk(node).set_faults(|faults| *faults = DiskFaults::NONE);
            self.world.engine().resume(node);
        }
        self.processes.make_peace(&self.nodes);
    }

    /// The faults that hit machines so far, in order.
    pub fn hits(&self) -> Vec<Hit> {
        self.state().hits.clone()
    }

    /// The nodes that were cut off so far.
    pub fn isolations(&self) -> Vec<Isolation> {
        self.state().isolations.clone()
    }

    /// What came of the faults so far.
    pub fn fired(&self) -> Fired {
        let injected = self.state().injected.clone();
        let disks: Vec<DiskCounts> = self.nodes.iter().map(|node| self.world.disk(*node).counts()).collect();
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
            FaultKind::Cut | FaultKind::CutOneWay | FaultKind::Isolate | FaultKind::Split => {
                net.held + net.cut_syns + net.lost_resets
            }
            FaultKind::SlowLink => net.slowed,
            FaultKind::Crash
            | FaultKind::PowerLoss
            | FaultKind::Stop
            | FaultKind::PowerOff
            | FaultKind::Pause
            | FaultKind::ClockStep
            | FaultKind::CrashAll
            | FaultKind::Blackout
            | FaultKind::RackPowerLoss
            | FaultKind::Wipe
            | FaultKind::RollingRestart
            | FaultKind::Cascade
            | FaultKind::CascadeWipe
            | FaultKind::Lose => times,
        };
        let effects = injected.iter().map(|(kind, times)| (*kind, effect(*kind, *times))).collect();
        Fired { injected, effects, lost }
    }

    fn note(&self, text: &str) {
        let print = crate::digest::fingerprint(text.as_bytes());
        self.world.engine().note(NodeId::HARNESS, Kind::Fault, (print, 0), || text.to_owned().into());
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("one thread alone takes this lock, and no panic happens under it")
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

#[cfg(test)]
mod tests {
    use std::future::Future;

    use tokio::sync::Notify;

    use super::*;
    use crate::engine::Limits;
    use crate::env::SimEnv;
    use crate::trace::Keep;
    use crate::world::simulate;

    /// Runs until it is asked to stop.
    #[derive(Clone)]
    struct Idler;

    impl Program for Idler {
        async fn run(&self, _env: SimEnv, stop: Arc<Notify>) -> Result<(), String> {
            stop.notified().await;
            Ok(())
        }
    }

    const NODES: [NodeId; 3] = [NodeId(1), NodeId(2), NodeId(3)];

    fn play<F: Future<Output = ()> + Send + 'static>(
        body: impl FnOnce(World, Processes<Idler>, Nemesis<Idler>) -> F + Send,
    ) {
        let simulation = simulate(1, Limits::default(), Keep::Nothing, |world| {
            let processes = Processes::new(world.clone(), Idler);
            NODES.into_iter().for_each(|node| processes.start(node));
            let nemesis = Nemesis::new(world.clone(), processes.clone(), NODES.to_vec());
            body(world, processes, nemesis)
        });
        simulation.outcome.expect("the run ends by itself");
    }

    fn isolation_of(node: NodeId, from: &[NodeId]) -> Fault {
        Fault::Isolate { node, from: from.to_vec(), way: Way::Both, for_ms: 500 }
    }

    #[test]
    fn a_link_heals_when_the_last_of_its_faults_is_over() {
        play(|world, _, nemesis| async move {
            let [one, two, three] = NODES;
            nemesis.inject(&isolation_of(one, &[two, three]));
            nemesis.inject(&Fault::Cut { from: one, to: two, both: true, for_ms: 100 });
            let isolated = nemesis.isolations();
            assert_eq!((isolated[0].node, isolated[0].until_ns - isolated[0].from_ns), (one, 500 * MS));
            world.engine().sleep(200 * MS).await;
            assert!(world.net().is_cut(one, two) && world.net().is_cut(three, one), "too early");
            assert!(!world.net().is_cut(two, three));
            world.engine().sleep(400 * MS).await;
            assert!(!world.net().is_cut(one, two) && !world.net().is_cut(three, one));
        });
    }

    #[test]
    fn peace_ends_an_isolation() {
        play(|world, _, nemesis| async move {
            let [one, two, three] = NODES;
            nemesis.inject(&isolation_of(one, &[two, three]));
            nemesis.inject(&Fault::Isolate { node: two, from: vec![one, three], way: Way::Out, for_ms: 500 });
            world.engine().sleep(100 * MS).await;
            nemesis.heal_all();
            let isolated = nemesis.isolations();
            assert_eq!(isolated.len(), 1, "who hears or is heard is not alone");
            assert_eq!(isolated[0].until_ns, world.engine().now_ns());
            assert!(!world.net().is_cut(one, two));
        });
    }

    #[test]
    fn nodes_go_at_once_and_come_back_apart() {
        play(|world, processes, nemesis| async move {
            let (kind, nodes) = (FaultKind::Blackout, NODES.to_vec());
            nemesis.inject(&Fault::KillMany { kind, nodes, down_ms: 100, apart_ms: 100 });
            let up = || NODES.map(|node| processes.is_running(node));
            assert_eq!(up(), [false, false, false]);
            world.engine().sleep(150 * MS).await;
            assert_eq!(up(), [true, false, false]);
            world.engine().sleep(200 * MS).await;
            assert_eq!(up(), [true, true, true]);
            assert_eq!(nemesis.hits().len(), 3);
        });
    }

    #[test]
    fn a_rolling_restart_takes_one_node_at_a_time() {
        play(|world, processes, nemesis| async move {
            let nodes = NODES.to_vec();
            nemesis.inject(&Fault::RollingRestart { nodes, down_ms: 300, pause_ms: 500 });
            let mut down = std::collections::BTreeSet::new();
            for _ in 0..600 {
                world.engine().sleep(20 * MS).await;
                let away: Vec<_> = NODES.into_iter().filter(|node| !processes.is_running(*node)).collect();
                assert!(away.len() <= 1, "{away:?}");
                down.extend(away);
            }
            assert_eq!(down.len(), 3);
        });
    }
}
