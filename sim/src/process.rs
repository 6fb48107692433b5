//! Processes: what runs on the nodes, and who starts it again.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard};

use serde::{Deserialize, Serialize};
use tokio::sync::Notify;

use crate::engine::{Life, NodeId};
use crate::env::SimEnv;
use crate::trace::Kind;
use crate::world::World;

/// How long whoever supervises a process waits before it starts it again after it ended by itself.
const RESTART_NS: u64 = 1_000_000_000;
const MS: u64 = 1_000_000;

/// A program that nodes run.
pub trait Program: Clone + Send + Sync + 'static {
    /// Runs until `stop` is notified, then winds up in good order; or until it ends by itself, and says why.
    fn run(&self, env: SimEnv, stop: Arc<Notify>) -> impl Future<Output = Result<(), String>> + Send;
}

/// A process that ended by itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exit {
    /// When, in virtual nanoseconds.
    pub time_ns: u64,
    /// On which node.
    pub node: NodeId,
    /// Why.
    pub reason: String,
}

/// The processes of a cluster and their supervisor. Clones share them.
#[derive(Clone)]
pub struct Processes<P> {
    world: World,
    program: P,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    running: BTreeMap<NodeId, Running>,
    down_until_ns: BTreeMap<NodeId, u64>,
    /// Those that never run again.
    gone: BTreeSet<NodeId>,
    exits: Vec<Exit>,
    starts: u64,
    is_peace: bool,
}

struct Running {
    life: Life,
    stop: Arc<Notify>,
    /// Whether the power goes once it has stopped as asked.
    then_unplugged: bool,
}

impl<P: Program> Processes<P> {
    /// No process yet.
    pub fn new(world: World, program: P) -> Self {
        Self { world, program, state: Arc::default() }
    }

    /// Starts the program on a node, if it has power and no process runs there.
    pub fn start(&self, node: NodeId) {
        let mut state = self.state();
        if state.running.contains_key(&node) || state.gone.contains(&node) {
            return;
        }
        self.world.power_on(node);
        let env = self.world.env(node);
        let (life, stop) = (env.life(), Arc::new(Notify::new()));
        state.running.insert(node, Running { life, stop: stop.clone(), then_unplugged: false });
        state.starts += 1;
        self.world.engine().note(node, Kind::Node, (4, life.incarnation), || "the process starts".into());
        let (program, processes) = (self.program.clone(), self.clone());
        let main = async move {
            let ended = program.run(env, stop).await;
            processes.ended(life, ended);
        };
        self.world.engine().spawn(life, "process", main).detach();
    }

    /// The program returned: its process ends.
    fn ended(&self, life: Life, outcome: Result<(), String>) {
        let (node, time_ns) = (life.node, self.world.engine().now_ns());
        if !self.world.engine().is_current(life) {
            return;
        }
        let said = outcome.as_ref().err().cloned().unwrap_or_else(|| "stopped as asked".to_owned());
        self.world.engine().note(node, Kind::Node, (5, u64::from(outcome.is_ok())), || {
            format!("the process ends: {said}").into()
        });
        let as_asked = outcome.is_ok();
        if let Err(reason) = outcome {
            self.state().exits.push(Exit { time_ns, node, reason });
        }
        // Whatever tasks it left run no more. This is one of its tasks: the rest happens between polls.
        self.world.fence(node);
        let processes = self.clone();
        self.world.engine().schedule(time_ns, move || {
            let state = processes.state();
            let Some(running) = state.running.get(&node).filter(|running| running.life == life) else {
                return;
            };
            let power = as_asked && running.then_unplugged;
            drop(state);
            processes.kill(node, power, RESTART_NS / MS);
        });
    }

    /// Kills a node's process, or takes its power, and starts it again after a while. Must not be called from
    /// one of the node's own tasks.
    pub fn kill(&self, node: NodeId, power: bool, down_ms: u64) {
        self.state().running.remove(&node);
        if power {
            self.world.lose_power(node);
        } else {
            self.world.crash(node);
        }
        let due_ns = self.stay_down(node, down_ms);
        let processes = self.clone();
        self.world.engine().schedule(due_ns, move || processes.start_if_due(node));
    }

    /// Takes a node's power and replaces the disk with its data, which is the directory of this name, by an empty
    /// one; then starts it again after a while.
    pub fn wipe(&self, node: NodeId, name: &str, down_ms: u64) {
        self.kill(node, true, down_ms);
        self.world.disk(node).replace(name);
    }

    /// Takes a node's power for good.
    pub fn lose(&self, node: NodeId) {
        self.state().gone.insert(node);
        self.kill(node, true, 0);
    }

    /// Keeps a node down for so long from now, or for as long as it was to be down before. Returns until when.
    fn stay_down(&self, node: NodeId, down_ms: u64) -> u64 {
        let up_ns = self.world.engine().now_ns() + down_ms * MS;
        let mut state = self.state();
        let until = state.down_until_ns.entry(node).or_default();
        *until = (*until).max(up_ns);
        *until
    }

    fn start_if_due(&self, node: NodeId) {
        let due = self.state().down_until_ns.get(&node).copied().unwrap_or_default();
        if self.world.engine().now_ns() >= due {
            self.start(node);
        }
    }

    /// Kills a node just before its n-th disk operation from now, or a second later.
    pub fn kill_before_operation(&self, node: NodeId, operation: u64, power: bool, down_ms: u64) {
        let life = self.world.engine().life(node);
        let (world, processes) = (self.world.clone(), self.clone());
        self.world.disk(node).set_trap(operation, move || {
            // The process goes on until it awaits, but nothing that it does has an effect.
            world.fence(node);
            let now = world.engine().now_ns();
            world.engine().schedule(now, move || processes.kill(node, power, down_ms));
        });
        let processes = self.clone();
        self.world.engine().schedule(self.world.engine().now_ns() + 1_000 * MS, move || {
            if processes.world.engine().is_current(life) && !processes.state().is_peace {
                processes.kill(node, power, down_ms);
            }
        });
    }

    /// Kills nobody any more who waits to be killed, and starts everybody who is down.
    pub fn make_peace(&self, nodes: &[NodeId]) {
        self.state().is_peace = true;
        for &node in nodes {
            self.world.disk(node).clear_trap();
            self.start(node);
        }
    }

    /// Asks a node's process to stop; it is killed if it has not after half a minute, and started again in
    /// any case.
    pub fn stop(&self, node: NodeId, down_ms: u64) {
        let Some((life, stop)) =
            self.state().running.get(&node).map(|process| (process.life, process.stop.clone()))
        else {
            return;
        };
        self.world.engine().note(node, Kind::Node, (6, 0), || "the process is asked to stop".into());
        let now = self.world.engine().now_ns();
        self.stay_down(node, down_ms);
        stop.notify_one();
        let processes = self.clone();
        self.world.engine().schedule(now + 30_000 * MS, move || {
            if processes.world.engine().is_current(life) {
                processes.kill(node, false, down_ms);
            }
        });
    }

    /// Asks a node's process to stop, and takes its power once it has.
    pub fn power_off(&self, node: NodeId, down_ms: u64) {
        if let Some(process) = self.state().running.get_mut(&node) {
            process.then_unplugged = true;
        }
        self.stop(node, down_ms);
    }

    /// Whether a process runs on the node now.
    pub fn is_running(&self, node: NodeId) -> bool {
        self.state().running.contains_key(&node)
    }

    /// The processes that ended by themselves so far.
    pub fn exits(&self) -> Vec<Exit> {
        self.state().exits.clone()
    }

    /// How many processes were started.
    pub fn starts(&self) -> u64 {
        self.state().starts
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("one thread alone takes this lock, and no panic happens under it")
    }
}

#[cfg(test)]
mod tests {
    use ottla::env::{Clock as _, Disk as _, Env as _, File as _, OpenMode};

    use super::*;
    use crate::engine::Limits;
    use crate::trace::Keep;
    use crate::world::simulate;

    const NODE: NodeId = NodeId(1);

    /// Appends one byte to a file ten times a second, syncing each; ends by itself when the file has 30.
    #[derive(Clone)]
    struct Appender;

    impl Program for Appender {
        async fn run(&self, env: SimEnv, stop: Arc<Notify>) -> Result<(), String> {
            let path = std::path::Path::new("/log");
            let file = env.disk().open(path, OpenMode::CreateOrOpen).await.map_err(|e| e.to_string())?;
            env.disk().sync_dir(std::path::Path::new("/")).await.map_err(|e| e.to_string())?;
            loop {
                let length = file.len().await.map_err(|e| e.to_string())?;
                if length == 30 {
                    return Err("thirty are enough".to_owned());
                }
                file.write_at(length, &mut [std::io::IoSlice::new(b"x")]).map_err(|e| e.to_string())?;
                file.sync().await.map_err(|e| e.to_string())?;
                let pause = std::time::Duration::from_millis(100);
                if env.clock().timeout_at(env.clock().now() + pause, stop.notified()).await.is_some() {
                    return Ok(());
                }
            }
        }
    }

    async fn length(world: &World) -> u64 {
        let disk = world.env(NODE).disk().clone();
        let file = disk.open(std::path::Path::new("/log"), OpenMode::Existing).await.expect("it exists");
        file.len().await.expect("well")
    }

    #[test]
    fn what_is_killed_stopped_or_ended_is_started_again() {
        for seed in 0..30 {
            simulate(seed, Limits::default(), Keep::Nothing, |world| async move {
                let processes = Processes::new(world.clone(), Appender);
                let sleep = |ms: u64| world.engine().sleep(ms * MS);
                processes.start(NODE);
                sleep(500).await;
                let before = length(&world).await;
                processes.kill(NODE, true, 100);
                assert!(!processes.is_running(NODE));
                sleep(500).await;
                assert!(processes.is_running(NODE));
                assert!(length(&world).await > before);
                processes.kill_before_operation(NODE, 3, false, 100);
                processes.stop(NODE, 100);
                sleep(2_000).await;
                assert!(processes.is_running(NODE));
                assert!(processes.exits().is_empty(), "{:?}", processes.exits());
                processes.stop(NODE, 1_500);
                sleep(1_450).await;
                assert!(!processes.is_running(NODE), "stopped at once, it stays down as long as was asked");
                sleep(100).await;
                assert!(processes.is_running(NODE));
                sleep(10_000).await;
                assert_eq!(length(&world).await, 30);
                processes.lose(NODE);
                sleep(10_000).await;
                processes.make_peace(&[NODE]);
                assert!(!processes.is_running(NODE), "what is lost is lost");
                let exits = processes.exits();
                assert!(exits.len() > 2 && exits.iter().all(|exit| exit.reason == "thirty are enough"));
            })
            .outcome
            .expect("the run ends");
        }
    }
}
