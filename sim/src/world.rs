//! A world: the engine, one network, and for every node a disk, a clock and the lives of its process.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard};

use ottla::controller::Image;
use ottla::env::Event;
use ottla::types::Offset;

use crate::clock::SimClock;
use crate::digest::Digest;
use crate::disk::Machine;
use crate::engine::{Engine, Life, Limits, NodeId, Stop, on_fresh_thread};
use crate::env::SimEnv;
use crate::net::Net;
use crate::trace::{Keep, Kind};

/// A handle to the world of one run.
#[derive(Clone)]
pub struct World(Arc<Inner>);

struct Inner {
    engine: Engine,
    net: Net,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    nodes: BTreeMap<NodeId, Node>,
    observed: Vec<Observed>,
    metadata: Option<(Offset, Arc<Image>)>,
}

#[derive(Clone)]
struct Node {
    machine: Machine,
    clock: SimClock,
    boot: u64,
    is_powered: bool,
}

/// What a node said about its inside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Observed {
    /// When, in virtual nanoseconds.
    pub time_ns: u64,
    /// Which process of which node.
    pub life: Life,
    /// What.
    pub event: Event,
}

/// An event for people, and for the hash: without the whole of the metadata, which follow from what was said to
/// the controller.
struct Said<'a>(&'a Event);

impl fmt::Display for Said<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Event::MetadataCommitted { end, epoch, .. } => {
                write!(f, "MetadataCommitted {{ end: {end}, epoch: {epoch} }}")
            }
            event => write!(f, "{event:?}"),
        }
    }
}

/// How a simulation ended, and the world it left.
pub struct Simulation<T> {
    /// What the body returned, or why the run stopped before that.
    pub outcome: Result<T, Stop>,
    /// Trace, counters and disks are still there to be read.
    pub world: World,
}

/// Runs `body` in a fresh world on a fresh thread.
pub fn simulate<T, F>(
    seed: u64,
    limits: Limits,
    keep: Keep,
    body: impl FnOnce(World) -> F + Send,
) -> Simulation<T>
where
    T: Send + 'static,
    F: Future<Output = T> + Send + 'static,
{
    let world = World::new(seed, limits, keep);
    let outcome = on_fresh_thread(seed, || {
        let result = Arc::new(Mutex::new(None));
        let (main, filled) = (body(world.clone()), result.clone());
        let ended = world.engine().run(async move {
            let value = main.await;
            *filled.lock().expect(LOCK) = Some(value);
        });
        ended.map(|()| result.lock().expect(LOCK).take().expect("the main task has ended"))
    });
    let outcome = outcome.unwrap_or_else(|message| {
        Err(Stop::Panicked { node: NodeId::HARNESS, task: "engine".to_owned(), message })
    });
    Simulation { outcome, world }
}

const LOCK: &str = "one thread alone takes this lock, and no panic happens under it";

impl World {
    /// An empty world.
    pub fn new(seed: u64, limits: Limits, keep: Keep) -> Self {
        let engine = Engine::new(seed, limits, keep);
        let net = Net::new(engine.clone());
        Self(Arc::new(Inner { engine, net, state: Mutex::default() }))
    }

    /// The engine.
    pub fn engine(&self) -> &Engine {
        &self.0.engine
    }

    /// The network.
    pub fn net(&self) -> &Net {
        &self.0.net
    }

    /// A node's disk.
    pub fn disk(&self, node: NodeId) -> Machine {
        self.node(node).machine
    }

    /// The world as the node's next process sees it; what an earlier one held stays dead.
    pub fn env(&self, node: NodeId) -> SimEnv {
        let Node { machine, clock, boot, is_powered } = self.node(node);
        assert!(is_powered, "{node} has no power");
        SimEnv::new(self.clone(), self.0.engine.life(node), boot, clock, &machine)
    }

    /// Ends a node's process: its sockets are closed by its kernel, its page cache stays.
    pub fn crash(&self, node: NodeId) {
        self.0.engine.note(node, Kind::Node, (1, 0), || "the process is killed".into());
        let machine = self.end_process(node);
        self.0.net.process_died(node);
        machine.process_died();
    }

    /// Takes a node's power: nobody is told, and what was not synced is at risk.
    pub fn lose_power(&self, node: NodeId) {
        self.0.engine.note(node, Kind::Node, (2, 0), || "the power is gone".into());
        let machine = self.end_process(node);
        self.0.net.power_lost(node);
        machine.power_lost();
        self.with_node(node, |node| node.is_powered = false);
    }

    /// Gives a node its power back, as another boot of its machine. Without effect if it has power.
    pub fn power_on(&self, node: NodeId) {
        let engine = &self.0.engine;
        let booted = self.with_node(node, |state| {
            if state.is_powered {
                return false;
            }
            state.is_powered = true;
            state.boot += 1;
            state.clock = SimClock::boot(engine.clone(), node, state.boot);
            true
        });
        if booted {
            engine.note(node, Kind::Node, (3, 0), || "the power is back".into());
            self.0.net.booted(node);
        }
    }

    /// Steps a node's wall clock.
    pub fn step_clock(&self, node: NodeId, by_ms: i64) {
        self.node(node).clock.step_wall(by_ms);
    }

    /// From this instant nothing that the node's process does has an effect; the caller ends it properly as
    /// soon as none of its tasks is being polled.
    pub fn fence(&self, node: NodeId) {
        self.0.engine.fence(node);
    }

    fn end_process(&self, node: NodeId) -> Machine {
        let machine = self.node(node).machine;
        machine.clear_trap();
        self.0.engine.fence(node);
        self.0.engine.reap(node);
        machine
    }

    /// Keeps what a node said; a process that is gone says nothing.
    pub(crate) fn observe(&self, life: Life, event: Event) {
        if !self.0.engine.is_current(life) {
            return;
        }
        let mut print = Digest::new();
        write!(print, "{}", Said(&event)).expect("a digest takes everything");
        self.0.engine.note(life.node, Kind::Observe, (print.low(), 0), || Said(&event).to_string().into());
        let time_ns = self.0.engine.now_ns();
        let mut state = self.state();
        if let Event::MetadataCommitted { end, image, .. } = &event
            && state.metadata.as_ref().is_none_or(|(latest, _)| latest < end)
        {
            state.metadata = Some((*end, Arc::clone(image)));
        }
        state.observed.push(Observed { time_ns, life, event });
    }

    /// Everything that the nodes have said.
    pub fn take_observed(&self) -> Vec<Observed> {
        std::mem::take(&mut self.state().observed)
    }

    /// The latest metadata that some node has said to be committed.
    pub fn metadata(&self) -> Option<Arc<Image>> {
        self.state().metadata.as_ref().map(|(_, image)| Arc::clone(image))
    }

    fn node(&self, node: NodeId) -> Node {
        self.with_node(node, |node| node.clone())
    }

    fn with_node<T>(&self, node: NodeId, body: impl FnOnce(&mut Node) -> T) -> T {
        let engine = &self.0.engine;
        let mut state = self.state();
        body(state.nodes.entry(node).or_insert_with(|| Node {
            machine: Machine::new(engine.clone(), node),
            clock: SimClock::boot(engine.clone(), node, 0),
            boot: 0,
            is_powered: true,
        }))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().expect(LOCK)
    }
}
