//! One run: a scenario, a seed, a schedule of faults; and what came of it.
//!
//! A run has three phases. While it is *busy*, clients work and faults come. Then everything *heals*: links,
//! disks, processes. Then the clients have the scenario's patience to show that all is well: to get a record
//! acknowledged in every partition and to read every partition to its end. The oracles judge afterwards.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde::{Deserialize, Serialize};
use tokio::sync::Notify;

use crate::engine::{Limits, NodeId, Stop};
use crate::faults::Schedule;
use crate::guarantee::Losses;
use crate::history::{ClientEvent, History, Tally};
use crate::nemesis::{Fired, Hit, Isolation, Nemesis};
use crate::oracles::{self, Class, Evidence};
use crate::outage;
use crate::process::{Processes, Program};
use crate::scenario::{Expect, Scenario};
use crate::swarm;
use crate::trace::{Keep, TraceEvent};
use crate::world::{World, simulate};

const MS: u64 = 1_000_000;
/// How often somebody looks whether all is as it should be.
const LOOK_NS: u64 = 500 * MS;

/// Everything that decides what happens in a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// The claim under test, with everything drawn that it leaves to the seed.
    pub scenario: Scenario,
    /// The seed.
    pub seed: u64,
    /// The faults; drawn from the seed, unless somebody cut them down.
    pub schedule: Schedule,
}

impl Plan {
    /// The plan that a seed draws.
    pub fn draw(scenario: &Scenario, seed: u64) -> Self {
        let scenario = swarm::settle(scenario, seed);
        let profile = scenario.profile();
        let schedule = Schedule::draw(seed, &profile);
        assert_eq!(profile.losses.beyond(&schedule), None, "what is drawn is what the scenario allows");
        Self { scenario, seed, schedule }
    }
}

/// What clients do in a run.
pub trait Workload: Clone + Send + Sync + 'static {
    /// Works until all has healed, then makes every partition acknowledge a record and reads it to its end.
    fn run(&self, stage: Stage) -> impl Future<Output = ()> + Send;
}

/// What a workload has to work with.
#[derive(Clone)]
pub struct Stage {
    /// The world.
    pub world: World,
    /// What is asked for.
    pub scenario: Arc<Scenario>,
    /// Where to write down what is done and seen.
    pub history: History,
    /// Whether all has healed.
    pub healed: Healed,
}

/// Whether all has healed. Clones share it.
#[derive(Clone, Default)]
pub struct Healed(Arc<(AtomicBool, Notify)>);

impl Healed {
    /// Whether it has.
    pub fn is_so(&self) -> bool {
        self.0.0.load(Ordering::Relaxed)
    }

    /// Waits until it has.
    pub async fn wait(&self) {
        let notified = self.0.1.notified();
        if !self.is_so() {
            notified.await;
        }
    }

    fn announce(&self) {
        self.0.0.store(true, Ordering::Relaxed);
        self.0.1.notify_waiters();
    }
}

/// What kind of failure; its number is the exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum FailureKind {
    /// Something bad happened.
    Safety = 10,
    /// Something good did not happen in time.
    Liveness = 11,
    /// A task panicked.
    Panic = 12,
    /// The same seed did two different things.
    NonDeterminism = 13,
}

/// A run that failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// How.
    pub kind: FailureKind,
    /// The oracle that was violated; or what stopped the run.
    pub invariant: String,
    /// When, in virtual nanoseconds.
    pub time_ns: u64,
    /// What exactly.
    pub message: String,
}

impl Failure {
    /// Whether both are the same kind of failure: what shrinking must keep.
    pub fn is_like(&self, other: &Self) -> bool {
        let words = |text: &str| text.chars().filter(|c| !c.is_ascii_digit()).collect::<String>();
        let same_text = self.kind != FailureKind::Panic || words(&self.message) == words(&other.message);
        self.kind == other.kind && self.invariant == other.invariant && same_text
    }

    fn of_stop(stop: &Stop, time_ns: u64) -> Self {
        let (kind, invariant) = match stop {
            Stop::Panicked { .. } => (FailureKind::Panic, "panic"),
            Stop::Livelock { .. } => (FailureKind::Liveness, "livelock"),
            Stop::Deadlock => (FailureKind::Liveness, "deadlock"),
            Stop::TooLong(_) => (FailureKind::Liveness, "too-long"),
        };
        Self { kind, invariant: invariant.to_owned(), time_ns, message: stop.to_string() }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.time_ns as f64 / 1e9;
        write!(f, "{} at {seconds:.6} s: {}", self.invariant, self.message)
    }
}

/// What came of a run.
#[derive(Debug, Clone)]
pub struct Report {
    /// The seed.
    pub seed: u64,
    /// The first failure, if there is one.
    pub failure: Option<Failure>,
    /// The hash of everything that happened.
    pub digest: String,
    /// How many events that covers.
    pub events: u64,
    /// How long it took, in virtual nanoseconds.
    pub virtual_ns: u64,
    /// What became of the faults.
    pub fired: Fired,
    /// Records acknowledged to producers.
    pub acked: u64,
    /// Records that consumers got.
    pub read: u64,
    /// Offsets that lay below the logs' starts in the end.
    pub deleted: u64,
    /// Batches out of their place, damaged or repeated that were answered.
    pub answered: u64,
    /// Processes started.
    pub starts: u64,
    /// What the trace kept.
    pub trace: Vec<TraceEvent>,
}

/// How a run's outcome stands to its scenario's claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing failed. Of a scenario that must fail, another seed has to.
    Passed,
    /// It failed as the scenario says that seeds do.
    FailedAsClaimed,
    /// It failed as it must not.
    Failed(FailureKind),
}

impl Report {
    /// Judges by the scenario's claim.
    pub fn verdict(&self, expect: &Expect) -> Verdict {
        match (&self.failure, expect) {
            (None, _) => Verdict::Passed,
            (Some(failure), Expect::Fail(names)) if names.contains(&failure.invariant) => {
                Verdict::FailedAsClaimed
            }
            (Some(failure), _) => Verdict::Failed(failure.kind),
        }
    }
}

/// What a run hands over to be judged.
struct Ran {
    events: Vec<ClientEvent>,
    exits: Vec<crate::process::Exit>,
    starts: u64,
    fired: Fired,
    hits: Vec<Hit>,
    isolations: Vec<Isolation>,
    healed_ns: u64,
    deadline_ns: u64,
}

/// Runs a plan with a program on every node and a workload of clients.
pub fn run<P: Program, W: Workload>(plan: &Plan, keep: Keep, program: P, workload: W) -> Report {
    let scenario = Arc::new(plan.scenario.clone());
    let schedule = plan.schedule.clone();
    let held = Arc::new(std::sync::Mutex::new(None));
    let kept = held.clone();
    let simulation = simulate(plan.seed, Limits::default(), keep, |world| {
        let actors = Actors::new(world, scenario.clone(), program);
        *kept.lock().expect("nobody else holds it") = Some(actors.clone());
        async move { actors.play(&schedule, workload).await }
    });
    let world = simulation.world;
    let actors = held.lock().expect("nobody else holds it").take().expect("the simulation has begun");
    let ran = actors.ran();
    let now = world.engine().now_ns();
    let Tally { acked, read, deleted, answered } = History::tally(&ran.events);
    let evidence = Evidence {
        events: ran.events,
        observed: world.take_observed(),
        exits: ran.exits,
        faults: ran.fired.injected.keys().copied().collect(),
        losses: losses(&scenario, &ran.hits),
        isolations: ran.isolations,
        outages: outage::outages(&scenario, &plan.schedule),
        events_per_second: (per_second(world.engine().digest().1, now), scenario.time.most_events_per_second),
        copies: scenario.cluster.copies(),
        keys: scenario.keys(),
        idempotent: scenario.workload.idempotent,
        retention: scenario.retention(),
        record_bytes: u64::from(scenario.workload.record_bytes),
        healed_ns: ran.healed_ns,
        deadline_ns: ran.deadline_ns,
    };
    let stopped = simulation.outcome.err().map(|stop| Failure::of_stop(&stop, now));
    let (digest, events) = world.engine().digest();
    Report {
        seed: plan.seed,
        failure: stopped.or_else(|| judge(&evidence)),
        digest: digest.to_string(),
        events,
        virtual_ns: now,
        fired: ran.fired,
        acked,
        read,
        deleted,
        answered,
        starts: ran.starts,
        trace: world.engine().take_events(),
    }
}

fn per_second(events: u64, time_ns: u64) -> u64 {
    const SECOND: u64 = 1_000 * MS;
    events * SECOND / time_ns.max(SECOND)
}

/// The hits after which a machine may have lost what it had counted.
fn losses(scenario: &Scenario, hits: &[Hit]) -> Vec<Hit> {
    let Losses { kinds, .. } = scenario.losses();
    hits.iter().filter(|hit| kinds.contains(&hit.kind)).copied().collect()
}

fn judge(evidence: &Evidence) -> Option<Failure> {
    oracles::ALL.iter().find_map(|oracle| {
        let violation = oracle.check(evidence)?;
        let kind = match oracle.class {
            Class::Safety => FailureKind::Safety,
            Class::Liveness => FailureKind::Liveness,
        };
        let (invariant, time_ns) = (oracle.name.to_owned(), violation.time_ns);
        Some(Failure { kind, invariant, time_ns, message: violation.message })
    })
}

/// Those who act in a run.
#[derive(Clone)]
struct Actors<P> {
    stage: Stage,
    processes: Processes<P>,
    nemesis: Nemesis<P>,
}

impl<P: Program> Actors<P> {
    fn new(world: World, scenario: Arc<Scenario>, program: P) -> Self {
        let processes = Processes::new(world.clone(), program);
        let nemesis = Nemesis::new(world.clone(), processes.clone(), scenario.nodes());
        let history = History::new(world.engine().clone());
        let stage = Stage { world, scenario, history, healed: Healed::default() };
        Self { stage, processes, nemesis }
    }

    async fn play<W: Workload>(&self, schedule: &Schedule, workload: W) {
        let engine = self.stage.world.engine();
        for node in self.stage.scenario.nodes() {
            self.processes.start(node);
        }
        let harness = engine.life(NodeId::HARNESS);
        let stage = self.stage.clone();
        let working = engine.spawn(harness, "workload", async move { workload.run(stage).await });
        self.nemesis.run(schedule).await;
        engine.sleep_until(self.healed_ns()).await;
        self.nemesis.heal_all();
        self.stage.healed.announce();
        let finished = async {
            ottla::env::Task::join(working).await;
            self.until_whole().await;
        };
        let patience = engine.sleep_until(self.deadline_ns());
        first(finished, patience).await;
    }

    /// Waits until every partition has a leader, and all its replicas in sync.
    async fn until_whole(&self) {
        let world = &self.stage.world;
        while world.metadata().is_some_and(|image| oracles::what_is_missing(&image).is_some()) {
            world.engine().sleep(LOOK_NS).await;
        }
    }

    fn healed_ns(&self) -> u64 {
        self.stage.scenario.time.busy_ms * MS
    }

    fn deadline_ns(&self) -> u64 {
        self.healed_ns() + self.stage.scenario.time.patience_ms * MS
    }

    fn ran(&self) -> Ran {
        Ran {
            events: self.stage.history.take(),
            exits: self.processes.exits(),
            starts: self.processes.starts(),
            fired: self.nemesis.fired(),
            hits: self.nemesis.hits(),
            isolations: self.nemesis.isolations(),
            healed_ns: self.healed_ns(),
            deadline_ns: self.deadline_ns(),
        }
    }
}

/// Waits for whichever ends first.
async fn first(one: impl Future<Output = ()>, other: impl Future<Output = ()>) {
    let (mut one, mut other) = (std::pin::pin!(one), std::pin::pin!(other));
    std::future::poll_fn(|context| {
        if one.as_mut().poll(context).is_ready() {
            return std::task::Poll::Ready(());
        }
        other.as_mut().poll(context)
    })
    .await;
}
