//! Sweeps: many seeds on several threads, and whether they proved anything.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

use crate::faults::FaultKind;
use crate::nemesis::Lost;
use crate::run::{FailureKind, Plan, Report, Verdict};
use crate::scenario::{Expect, Scenario};

/// In a sweep of at least so many seeds every enabled fault must have made a difference.
const SEEDS_TO_FIRE: u64 = 1_000;
/// In a sweep of at least so many seeds one batch out of place a seed must have been answered; in a smaller one, one
/// at all.
const SEEDS_TO_INSIST: u64 = 20;
/// In a sweep of at least so many seeds some log must have lost its beginning, where the scenario is about that.
const SEEDS_TO_DELETE: u64 = 20;
/// In so many seeds some must have failed, where the scenario is one fault beyond what is promised.
const SEEDS_TO_FAIL: u64 = 7;
/// More than one seed in so many that acknowledges nothing is too much.
const SEEDS_PER_IDLE: u64 = 100;

/// What a sweep of one scenario came to.
#[derive(Debug, Clone, Default)]
pub struct Tally {
    /// Seeds run.
    pub seeds: u64,
    /// Seeds that failed as the scenario says that they do.
    pub failed_as_claimed: u64,
    /// The lowest such seed.
    pub first_claimed: Option<u64>,
    /// Seeds that failed as they must not: seed, and how.
    pub failed: BTreeMap<u64, FailureKind>,
    /// Seeds in which nothing was acknowledged.
    pub idle: u64,
    /// Virtual nanoseconds.
    pub virtual_ns: u64,
    /// Events.
    pub events: u64,
    /// Records acknowledged.
    pub acked: u64,
    /// Records read.
    pub read: u64,
    /// Offsets below log starts in the end.
    pub deleted: u64,
    /// Batches out of their place, damaged or repeated that were answered.
    pub answered: u64,
    /// How often each kind of fault made a difference.
    pub fired: BTreeMap<FaultKind, u64>,
    /// What losses of power took.
    pub lost: Lost,
}

impl Tally {
    fn add(&mut self, report: &Report, verdict: Verdict) {
        self.seeds += 1;
        match verdict {
            Verdict::Passed => {}
            Verdict::FailedAsClaimed => {
                self.failed_as_claimed += 1;
                let first = self.first_claimed.get_or_insert(report.seed);
                *first = (*first).min(report.seed);
            }
            Verdict::Failed(kind) => {
                self.failed.insert(report.seed, kind);
            }
        }
        self.idle += u64::from(report.acked == 0);
        self.virtual_ns += report.virtual_ns;
        self.events += report.events;
        self.acked += report.acked;
        self.read += report.read;
        self.deleted += report.deleted;
        self.answered += report.answered;
        for (kind, times) in &report.fired.effects {
            *self.fired.entry(*kind).or_default() += times;
        }
        self.lost.sectors += report.fired.lost.sectors;
        self.lost.files_torn += report.fired.lost.files_torn;
        self.lost.names += report.fired.lost.names;
    }

    /// Why the sweep proves nothing about its scenario, if so; whatever failed apart.
    pub fn vacuous(&self, scenario: &Scenario) -> Vec<String> {
        let mut reasons = Vec::new();
        if self.seeds >= SEEDS_PER_IDLE && scenario.expect == Expect::Pass {
            reasons.extend(idle(self.idle, self.seeds));
        }
        if self.seeds >= SEEDS_TO_FIRE {
            let never = |kind: &FaultKind| self.fired.get(kind).is_none_or(|times| *times == 0);
            for kind in scenario.fault_kinds().into_iter().filter(never) {
                reasons.push(format!("{} never made a difference in {} seeds", kind.label(), self.seeds));
            }
        }
        let due = if self.seeds >= SEEDS_TO_INSIST { self.seeds } else { 1 };
        if scenario.insists() && self.answered < due {
            reasons.push(format!("{} batches out of place in {} seeds", self.answered, self.seeds));
        }
        if scenario.deletes() && self.deleted == 0 && self.seeds >= SEEDS_TO_DELETE {
            reasons.push(format!("no log lost its beginning in {} seeds", self.seeds));
        }
        let must_fail = matches!(scenario.expect, Expect::Fail(_)) && self.seeds >= SEEDS_TO_FAIL;
        if must_fail && self.failed_as_claimed == 0 {
            reasons
                .push(format!("none of {} seeds failed, though the scenario says that some do", self.seeds));
        }
        reasons
    }
}

/// Why a whole sweep proves nothing, though each of its scenarios has too few seeds to tell. What is to fail need not
/// have served.
pub fn is_idle(scenarios: &[Scenario], tallies: &[Tally]) -> Option<String> {
    let served = scenarios.iter().zip(tallies).filter(|(scenario, _)| scenario.expect == Expect::Pass);
    let counts = served.map(|(_, tally)| (tally.idle, tally.seeds));
    let (idle_seeds, seeds) = counts.fold((0, 0), |sum, count| (sum.0 + count.0, sum.1 + count.1));
    idle(idle_seeds, seeds)
}

fn idle(idle: u64, seeds: u64) -> Option<String> {
    (idle * SEEDS_PER_IDLE > seeds).then(|| format!("{idle} of {seeds} seeds acknowledged nothing"))
}

/// What to sweep.
pub struct Sweep<'a> {
    /// The scenarios.
    pub scenarios: &'a [Scenario],
    /// The runs, each a seed and the place of its scenario: see [`in_turns`] and [`in_each`].
    pub runs: &'a mut (dyn Iterator<Item = (u64, usize)> + Send),
    /// How many threads.
    pub jobs: usize,
    /// After how much real time no further seed begins.
    pub time: Option<Duration>,
    /// How long a single seed may take in real time before it counts as stuck in a loop that never awaits.
    pub stuck_after: Duration,
}

/// The default swarm: every seed is one run, and the scenarios take turns.
pub fn in_turns(seeds: impl Iterator<Item = u64>, scenarios: usize) -> impl Iterator<Item = (u64, usize)> {
    seeds.map(move |seed| (seed, (seed % scenarios as u64) as usize))
}

/// Every seed in every scenario.
pub fn in_each(seeds: impl Iterator<Item = u64>, scenarios: usize) -> impl Iterator<Item = (u64, usize)> {
    seeds.flat_map(move |seed| (0..scenarios).map(move |place| (seed, place)))
}

/// A seed that did not come back.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("seed {seed} of {scenario} has not come back in {seconds} real seconds: a loop that never awaits?")]
pub struct Stuck {
    /// The scenario's name.
    pub scenario: String,
    /// The seed.
    pub seed: u64,
    /// How long it was waited for.
    pub seconds: u64,
}

impl Sweep<'_> {
    /// Runs everything; `done` hears of every run as it ends. The tallies stand in the scenarios' order.
    /// `stuck` hears of a seed that does not come back: nothing but the end of this process stops it.
    #[expect(clippy::disallowed_types, reason = "how long a sweep takes is a matter of real time")]
    pub fn run(
        self,
        play: impl Fn(&Plan) -> Report + Sync,
        mut done: impl FnMut(&Plan, &Report, Verdict),
        mut stuck: impl FnMut(Stuck),
    ) -> Vec<Tally> {
        let begun = std::time::Instant::now();
        let (scenarios, time) = (self.scenarios, self.time);
        let runs = Mutex::new(self.runs);
        let running: Mutex<BTreeMap<(u64, usize), std::time::Instant>> = Mutex::default();
        let (play, runs, running) = (&play, &runs, &running);
        let mut tallies = vec![Tally::default(); scenarios.len()];
        let (sender, receiver) = channel();
        std::thread::scope(|scope| {
            for _ in 0..self.jobs {
                let sender = sender.clone();
                scope.spawn(move || {
                    while time.is_none_or(|time| begun.elapsed() < time) {
                        let Some((seed, index)) = runs.lock().expect(LOCK).next() else { return };
                        running.lock().expect(LOCK).insert((seed, index), std::time::Instant::now());
                        let plan = Plan::draw(&scenarios[index], seed);
                        let report = play(&plan);
                        running.lock().expect(LOCK).remove(&(seed, index));
                        sender.send((index, plan, report)).expect("the receiver outlives this scope");
                    }
                });
            }
            drop(sender);
            loop {
                match receiver.recv_timeout(Duration::from_secs(1)) {
                    Ok((index, plan, report)) => {
                        let verdict = report.verdict(&plan.scenario.expect);
                        tallies[index].add(&report, verdict);
                        done(&plan, &report, verdict);
                    }
                    Err(RecvTimeoutError::Disconnected) => return,
                    Err(RecvTimeoutError::Timeout) => {
                        let running = running.lock().expect(LOCK);
                        let late = running.iter().find(|(_, since)| since.elapsed() > self.stuck_after);
                        if let Some(((seed, index), since)) = late {
                            let scenario = scenarios[*index].name.clone();
                            stuck(Stuck { scenario, seed: *seed, seconds: since.elapsed().as_secs() });
                        }
                    }
                }
            }
        });
        tallies
    }
}

const LOCK: &str = "no thread panics under this lock: a run's panics are caught on the run's own thread";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::Failure;

    fn scenario(expect: &str) -> Scenario {
        let text = format!(
            r#"
            name = "x"
            claim = "Something holds."
            expect = {expect}
            row = {{ acks = "all", flush = "off" }}
            faults.weights = {{ {} = 1 }}
            "#,
            if expect == "\"pass\"" { "crash" } else { "power-loss" }
        );
        Scenario::parse("x.toml", &text).expect("it is right")
    }

    /// Seed 3 is not served, seed 7 loses something.
    fn play(plan: &Plan) -> Report {
        let lost = Failure {
            kind: FailureKind::Safety,
            invariant: "unseen".to_owned(),
            time_ns: 1,
            message: String::new(),
        };
        Report {
            seed: plan.seed,
            failure: (plan.seed == 7).then_some(lost),
            digest: String::new(),
            events: 1,
            virtual_ns: 1,
            fired: crate::nemesis::Fired::default(),
            acked: u64::from(plan.seed != 3),
            read: 2,
            deleted: 0,
            answered: 1,
            starts: 1,
            trace: Vec::new(),
        }
    }

    fn sweep(scenarios: &[Scenario], seeds: u64, jobs: usize) -> Vec<Tally> {
        let runs = &mut in_each(0..seeds, scenarios.len());
        let sweep = Sweep { scenarios, runs, jobs, time: None, stuck_after: Duration::from_secs(60) };
        sweep.run(play, |_, _, _| {}, |stuck| panic!("{stuck}"))
    }

    #[test]
    fn every_seed_is_run_with_every_scenario_whatever_the_jobs() {
        let scenarios = [scenario("\"pass\""), scenario("{ fail = [\"unseen\"] }")];
        for jobs in [1, 3] {
            let tallies = sweep(&scenarios, 50, jobs);
            assert_eq!(tallies.iter().map(|tally| tally.seeds).collect::<Vec<_>>(), [50, 50]);
            assert_eq!(tallies[0].failed, BTreeMap::from([(7, FailureKind::Safety)]));
            assert_eq!((tallies[1].failed.len(), tallies[1].first_claimed), (0, Some(7)));
            assert_eq!((tallies[0].acked, tallies[0].read), (49, 100));
        }
    }

    #[test]
    fn in_turns_every_seed_is_one_run_and_no_scenario_is_left_out() {
        assert_eq!(in_turns(4..9, 3).collect::<Vec<_>>(), [(4, 1), (5, 2), (6, 0), (7, 1), (8, 2)]);
        assert_eq!(in_each(4..6, 2).collect::<Vec<_>>(), [(4, 0), (4, 1), (5, 0), (5, 1)]);
    }

    #[test]
    fn a_sweep_that_proves_nothing_says_so() {
        let [pass, fail] = [scenario("\"pass\""), scenario("{ fail = [\"unseen\"] }")];
        let idle = &sweep(std::slice::from_ref(&pass), 50, 1)[0];
        let few = "1 of 50 seeds acknowledged nothing".to_owned();
        assert_eq!(is_idle(std::slice::from_ref(&pass), std::slice::from_ref(idle)), Some(few));
        assert_eq!(
            is_idle(std::slice::from_ref(&fail), std::slice::from_ref(idle)),
            None,
            "it need not serve"
        );
        let many = Tally { idle: 2, seeds: 100, answered: 100, ..Tally::default() };
        assert_eq!(many.vacuous(&pass), ["2 of 100 seeds acknowledged nothing"]);
        let mut deletes = pass.clone();
        deletes.workload.delete_records_every_ms = 1;
        let kept = &sweep(std::slice::from_ref(&deletes), 20, 1)[0];
        let mute = Tally { answered: 49, idle: 0, ..idle.clone() };
        assert_eq!(mute.vacuous(&pass), ["49 batches out of place in 50 seeds"]);
        let small = Tally { seeds: 5, answered: 0, idle: 0, ..idle.clone() };
        assert_eq!(small.vacuous(&pass), ["0 batches out of place in 5 seeds"]);
        assert_eq!(kept.vacuous(&deletes)[0], "no log lost its beginning in 20 seeds");
        let unfired = &sweep(std::slice::from_ref(&pass), 1_000, 2)[0];
        assert_eq!(unfired.vacuous(&pass), ["crash never made a difference in 1000 seeds"]);
        let tight = &sweep(std::slice::from_ref(&fail), 7, 1)[0];
        let reason = "none of 7 seeds failed, though the scenario says that some do";
        assert!(tight.vacuous(&fail).contains(&reason.to_owned()));
    }
}
