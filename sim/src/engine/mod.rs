//! The engine: a single-threaded executor over virtual time.
//!
//! Tasks belong to one incarnation of one node. Among the tasks that are ready the engine picks one by the
//! seed; when none is, virtual time jumps to the next timer, ties in an order drawn from the seed. Nothing
//! takes virtual time but waiting.
//!
//! - **Crash.** [`Engine::fence`] ends an incarnation: from that instant nothing it does has an effect, which
//!   whoever stands between node and world (disk, network, spawn) checks, and its tasks are not polled any
//!   more; one that is being polled gets as far as its next await. [`Engine::reap`] then drops them; what their
//!   destructors try to do is fenced too.
//! - **Pause.** A paused node's tasks are not polled. Its timers fire, packets arrive and disk operations
//!   finish, but nobody notices before it is resumed: what SIGSTOP does.
//! - **Stuck.** Too many polls without time moving, or no task that could ever run again, ends the run.
//! - **Panic.** A panic in a task ends the run, unless its node was already fenced.

mod task;
mod timer;

use std::borrow::Cow;
use std::fmt;
use std::future::Future;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use serde::{Deserialize, Serialize};

pub use task::TaskHandle;
pub use timer::{Sleep, TimerKey};

use crate::dice::Dice;
use crate::digest::Digest;
use crate::trace::{Keep, Kind, Trace, TraceEvent};
use task::{ReadyQueue, Tasks};
use timer::{Timer, Timers};

/// A machine: a broker's or a client's; 0 is the harness, which no fault befalls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct NodeId(pub u32);

impl NodeId {
    /// The harness.
    pub const HARNESS: Self = Self(0);
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = if *self == Self::HARNESS { "harness".to_owned() } else { format!("node-{}", self.0) };
        f.pad(&name)
    }
}

/// One life of a node's process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Life {
    /// Which node.
    pub node: NodeId,
    /// Its how manieth process.
    pub incarnation: u64,
}

/// Bounds that tell a stuck run from a long one.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Polls in a row without virtual time moving.
    pub polls_per_instant: u64,
    /// Events (polls and timers) of the whole run.
    pub events: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { polls_per_instant: 200_000, events: 200_000_000 }
    }
}

/// Why a run ended before its main task did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum Stop {
    /// A task panicked.
    #[error("task {task:?} of {node} panicked: {message}")]
    Panicked {
        /// On which node.
        node: NodeId,
        /// The name it was spawned with.
        task: String,
        /// The panic's message.
        message: String,
    },
    /// Tasks woke each other for ever at one instant.
    #[error("no virtual time passed in {polls} polls; the last was of task {task:?} of {node}")]
    Livelock {
        /// The node last polled.
        node: NodeId,
        /// The task last polled.
        task: String,
        /// How many polls.
        polls: u64,
    },
    /// No task is ready and no timer is set.
    #[error("nothing is ready and no timer is set: every task would wait for ever")]
    Deadlock,
    /// The run was too long.
    #[error("the run took more than {0} events")]
    TooLong(u64),
}

/// A handle to the engine.
#[derive(Clone)]
pub struct Engine(Arc<Inner>);

struct Inner {
    seed: u64,
    limits: Limits,
    now_ns: AtomicU64,
    ready: Arc<ReadyQueue>,
    core: Mutex<Core>,
}

struct Core {
    tasks: Tasks,
    timers: Timers,
    nodes: Vec<NodeState>,
    dice: Dice,
    trace: Trace,
    events: u64,
    polls_at_instant: u64,
    stop: Option<Stop>,
}

#[derive(Default)]
struct NodeState {
    incarnation: u64,
    paused_until_ns: u64,
    parked: Vec<task::TaskKey>,
}

impl Engine {
    /// An engine at virtual time zero, with no nodes but the harness.
    pub fn new(seed: u64, limits: Limits, keep: Keep) -> Self {
        let core = Core {
            tasks: Tasks::default(),
            timers: Timers::default(),
            nodes: Vec::new(),
            dice: Dice::new(seed, NodeId::HARNESS, "schedule", 0),
            trace: Trace::new(keep),
            events: 0,
            polls_at_instant: 0,
            stop: None,
        };
        Self(Arc::new(Inner {
            seed,
            limits,
            now_ns: AtomicU64::new(0),
            ready: Arc::default(),
            core: Mutex::new(core),
        }))
    }

    /// The run's seed.
    pub fn seed(&self) -> u64 {
        self.0.seed
    }

    /// Virtual time in nanoseconds.
    pub fn now_ns(&self) -> u64 {
        self.0.now_ns.load(Ordering::Relaxed)
    }

    /// The node's running (or next) incarnation.
    pub fn life(&self, node: NodeId) -> Life {
        Life { node, incarnation: self.core().node(node).incarnation }
    }

    /// Whether this incarnation has not been fenced.
    pub fn is_current(&self, life: Life) -> bool {
        self.core().node(life.node).incarnation == life.incarnation
    }

    /// Lets nothing of a fenced incarnation go on: its task is not polled any more, so that whatever awaits
    /// this stays where it is until it is reaped. Anybody else passes at the next poll.
    pub async fn check_fence(&self, life: Life) {
        let mut waited = self.is_current(life);
        std::future::poll_fn(|context| {
            if std::mem::replace(&mut waited, true) {
                return std::task::Poll::Ready(());
            }
            context.waker().wake_by_ref();
            std::task::Poll::Pending
        })
        .await;
    }

    /// Notes an event in the trace.
    pub fn note(
        &self,
        node: NodeId,
        kind: Kind,
        numbers: (u64, u64),
        text: impl FnOnce() -> Cow<'static, str>,
    ) {
        let now = self.now_ns();
        self.core().trace.note((now, node), kind, numbers, text);
    }

    /// Starts a task. A fenced incarnation's future is dropped at once.
    pub fn spawn(
        &self,
        life: Life,
        name: &'static str,
        future: impl Future<Output = ()> + Send + 'static,
    ) -> TaskHandle {
        if !self.is_current(life) {
            return TaskHandle::ended();
        }
        let now = self.now_ns();
        let mut core = self.core();
        let (key, handle) = core.tasks.insert(life, name, Box::pin(future), &self.0.ready);
        core.trace.note((now, life.node), Kind::Spawn, key.numbers(), || name.into());
        self.0.ready.push(key);
        handle
    }

    /// Waits until virtual time `at_ns`.
    pub fn sleep_until(&self, at_ns: u64) -> Sleep {
        Sleep::new(self.clone(), at_ns)
    }

    /// Waits for so many nanoseconds.
    pub fn sleep(&self, for_ns: u64) -> Sleep {
        self.sleep_until(self.now_ns().saturating_add(for_ns))
    }

    /// Runs an action at virtual time `at_ns`, between polls.
    pub fn schedule(&self, at_ns: u64, action: impl FnOnce() + Send + 'static) -> TimerKey {
        self.set_timer(at_ns, Timer::Run(Box::new(action)))
    }

    /// Forgets an action that has not run yet.
    pub fn cancel(&self, key: TimerKey) {
        let timer = self.core().timers.remove(key);
        drop(timer);
    }

    fn set_timer(&self, at_ns: u64, timer: Timer) -> TimerKey {
        let at_ns = at_ns.max(self.now_ns());
        let mut core = self.core();
        let tie = core.dice.bits();
        core.timers.insert(at_ns, tie, timer)
    }

    /// Ends the node's incarnation: what it does from now on has no effect. Its tasks are still to be
    /// [reaped](Self::reap), which must not happen from one of them.
    pub fn fence(&self, node: NodeId) {
        self.core().node(node).incarnation += 1;
    }

    /// Drops all tasks of fenced incarnations of a node.
    pub fn reap(&self, node: NodeId) {
        let futures = {
            let mut core = self.core();
            let state = core.node(node);
            let incarnation = state.incarnation;
            state.parked.clear();
            state.paused_until_ns = 0;
            core.tasks.take_all(|life| life.node == node && life.incarnation < incarnation)
        };
        // Destructors call into the engine: no lock is held here.
        drop(futures);
    }

    /// Stops polling a node's tasks until so much time has passed; a longer pause wins.
    pub fn pause(&self, node: NodeId, for_ns: u64) {
        let until = self.now_ns().saturating_add(for_ns);
        {
            let mut core = self.core();
            let state = core.node(node);
            if state.paused_until_ns >= until {
                return;
            }
            state.paused_until_ns = until;
        }
        let engine = self.clone();
        self.schedule(until, move || engine.resume_if_due(node));
    }

    /// Goes on polling a node's tasks.
    pub fn resume(&self, node: NodeId) {
        self.core().node(node).paused_until_ns = 0;
        self.resume_if_due(node);
    }

    fn resume_if_due(&self, node: NodeId) {
        let now = self.now_ns();
        let mut core = self.core();
        let state = core.node(node);
        if state.paused_until_ns <= now {
            for key in std::mem::take(&mut state.parked) {
                self.0.ready.push(key);
            }
        }
    }

    /// Runs until `main` has ended, or the run has to stop.
    pub fn run(&self, main: impl Future<Output = ()> + Send + 'static) -> Result<(), Stop> {
        let wall = madsim::time::TimeHandle::current();
        let main = self.spawn(self.life(NodeId::HARNESS), "main", main);
        let outcome = loop {
            if let Some(stop) = self.core().stop.take() {
                break Err(stop);
            }
            if main.is_ended() {
                break Ok(());
            }
            if let Some(key) = self.pick() {
                self.poll(key);
            } else if let Err(stop) = self.next_timer(&wall) {
                break Err(stop);
            }
        };
        self.drop_all();
        outcome
    }

    fn pick(&self) -> Option<task::TaskKey> {
        let mut ready = self.0.ready.lock();
        if ready.is_empty() {
            return None;
        }
        let index = if ready.len() == 1 { 0 } else { self.core().dice.index(ready.len()) };
        Some(ready.swap_remove(index))
    }

    fn poll(&self, key: task::TaskKey) {
        let now = self.now_ns();
        let mut core = self.core();
        let Some(mut running) = core.tasks.take(key) else { return };
        let node = core.node(running.life.node);
        if node.incarnation != running.life.incarnation {
            // Dead already, and soon reaped.
            core.tasks.put_back(key, running);
            return;
        }
        if node.paused_until_ns > now {
            node.parked.push(key);
            core.tasks.put_back(key, running);
            return;
        }
        core.trace.note((now, running.life.node), Kind::Poll, key.numbers(), || running.name.into());
        core.count_poll(&running, self.0.limits);
        drop(core);

        let outcome = running.poll();

        let mut core = self.core();
        let fenced = core.node(running.life.node).incarnation != running.life.incarnation;
        let ended = match outcome {
            task::Polled::Pending => false,
            task::Polled::Ended => true,
            task::Polled::Panicked(message) => {
                core.trace.note((now, running.life.node), Kind::Panic, key.numbers(), || {
                    format!("task {:?}: {message}", running.name).into()
                });
                if !fenced {
                    let (node, task) = (running.life.node, running.name.to_owned());
                    core.stop.get_or_insert(Stop::Panicked { node, task, message });
                }
                true
            }
        };
        if ended {
            core.trace.note((now, running.life.node), Kind::End, key.numbers(), || running.name.into());
            core.tasks.remove(key);
            drop(core);
            running.finish();
        } else {
            core.tasks.put_back(key, running);
        }
    }

    fn next_timer(&self, wall: &madsim::time::TimeHandle) -> Result<(), Stop> {
        let timer = {
            let mut core = self.core();
            let Some((at_ns, sequence, timer)) = core.timers.pop() else { return Err(Stop::Deadlock) };
            let before = self.now_ns();
            assert!(at_ns >= before, "time went back from {before} to {at_ns}");
            if at_ns > before {
                self.0.now_ns.store(at_ns, Ordering::Relaxed);
                core.polls_at_instant = 0;
                // What libc's clocks say inside this thread follows.
                wall.advance(std::time::Duration::from_nanos(at_ns - before));
            }
            core.trace.note((at_ns, NodeId::HARNESS), Kind::Timer, (sequence, 0), || "".into());
            core.count_event(self.0.limits);
            timer
        };
        match timer {
            Timer::Wake(waker) => waker.wake(),
            Timer::Run(action) => action(),
        }
        Ok(())
    }

    /// Ends every node and drops every task and timer: they hold handles to the engine.
    fn drop_all(&self) {
        let (futures, timers) = {
            let mut core = self.core();
            for node in &mut core.nodes {
                node.incarnation += 1;
            }
            (core.tasks.take_all(|_| true), core.timers.take_all())
        };
        drop(futures);
        drop(timers);
        // Destructors may have set timers or been refused tasks: nothing of that runs any more.
        let timers = self.core().timers.take_all();
        drop(timers);
    }

    /// The hash of everything noted, and how many events there were.
    pub fn digest(&self) -> (Digest, u64) {
        let core = self.core();
        (core.trace.digest(), core.trace.count())
    }

    /// Takes the events that the trace kept.
    pub fn take_events(&self) -> Vec<TraceEvent> {
        self.core().trace.take_events()
    }

    fn core(&self) -> MutexGuard<'_, Core> {
        self.0.core.lock().expect("one thread alone takes this lock, and no panic happens under it")
    }
}

impl Core {
    fn node(&mut self, node: NodeId) -> &mut NodeState {
        let index = node.0 as usize;
        if index >= self.nodes.len() {
            self.nodes.resize_with(index + 1, NodeState::default);
        }
        &mut self.nodes[index]
    }

    fn count_event(&mut self, limits: Limits) {
        self.events += 1;
        if self.events > limits.events {
            self.stop.get_or_insert(Stop::TooLong(limits.events));
        }
    }

    fn count_poll(&mut self, running: &task::Running, limits: Limits) {
        self.count_event(limits);
        self.polls_at_instant += 1;
        if self.polls_at_instant > limits.polls_per_instant {
            self.stop.get_or_insert(Stop::Livelock {
                node: running.life.node,
                task: running.name.to_owned(),
                polls: self.polls_at_instant,
            });
        }
    }
}

/// Runs `body` on a fresh thread with the clocks and the randomness of libc simulated: a dependency that
/// looks at the real world sees the seed's instead. A fresh thread for each seed, because std's hash keys
/// and some dependencies' caches live in the thread.
pub fn on_fresh_thread<T: Send>(seed: u64, body: impl FnOnce() -> T + Send) -> Result<T, String> {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().name(format!("seed-{seed}")).stack_size(16 << 20);
        let handle = thread.spawn_scoped(scope, || {
            let config = madsim::Config::default();
            madsim::runtime::Runtime::with_seed_and_config(seed, config).block_on(async { body() })
        });
        let handle = handle.map_err(|error| format!("cannot start a thread: {error}"))?;
        handle.join().map_err(|panic| task::panic_message(&*panic))
    })
}

#[cfg(test)]
mod tests;
