//! Every scenario file is a test: adding a file adds one.

use std::path::Path;

use ottla_sim::cluster::play;
use ottla_sim::golden::Golden;
use ottla_sim::regression::Regression;
use ottla_sim::run::{Plan, Verdict};
use ottla_sim::scenario::{Expect, Scenario};
use ottla_sim::trace::Keep;

/// Seeds of each scenario that every test run plays; a sweep plays thousands.
const SEEDS: u64 = 3;
/// Seeds among which a scenario that must fail has to.
const SEEDS_TO_FAIL: u64 = 30;

fn scenarios() -> Vec<Scenario> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scenarios");
    let scenarios = Scenario::load_all(&directory).unwrap_or_else(|error| panic!("{error}"));
    assert!(!scenarios.is_empty(), "no scenario in {}", directory.display());
    scenarios
}

#[test]
fn every_scenario_holds() {
    for scenario in scenarios() {
        match scenario.expect {
            Expect::Pass => (0..SEEDS).for_each(|seed| passes(&scenario, seed)),
            Expect::Fail(_) => fails_soon(&scenario),
        }
    }
}

fn passes(scenario: &Scenario, seed: u64) {
    let report = play(&Plan::draw(scenario, seed), Keep::Nothing);
    if let Some(failure) = report.failure {
        panic!("{failure}\ncargo sim run --seed {seed} --scenario {}", scenario.name);
    }
    assert!(report.acked > 0 && report.read > 0, "{} seed {seed}: nothing happened", scenario.name);
}

fn fails_soon(scenario: &Scenario) {
    let failed = (0..SEEDS_TO_FAIL).any(|seed| {
        let report = play(&Plan::draw(scenario, seed), Keep::Nothing);
        let verdict = report.verdict(&scenario.expect);
        assert!(
            !matches!(verdict, Verdict::Failed(_)),
            "{:?}\ncargo sim run --seed {seed} --scenario {}",
            report.failure,
            scenario.name
        );
        verdict == Verdict::FailedAsClaimed
    });
    assert!(failed, "{}: none of {SEEDS_TO_FAIL} seeds fails", scenario.name);
}

#[test]
fn what_was_found_once_is_not_found_again() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scenarios/regressions");
    let regressions = Regression::load_all(&directory).unwrap_or_else(|error| panic!("{error}"));
    assert!(!regressions.is_empty(), "no regression in {}", directory.display());
    for (path, regression) in regressions {
        let plan = regression.plan();
        let report = play(&plan, Keep::Nothing);
        let verdict = report.verdict(&plan.scenario.expect);
        assert_eq!(verdict, Verdict::Passed, "{}: {:?}", path.display(), report.failure);
        assert!(report.acked > 0 && report.read > 0, "{}: nothing happened", path.display());
    }
}

#[test]
fn the_hashes_are_those_on_record() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden.toml");
    let record = Golden::load(&file).unwrap_or_else(|error| panic!("{error}"));
    let differences = record.differences(&Golden::of(&scenarios(), play));
    assert!(differences.is_empty(), "{}\ncargo sim golden --bless", differences.join("\n"));
}
