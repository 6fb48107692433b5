//! The whole machine with a toy instead of a broker: it passes where it must, fails where it must, and does
//! the same every time.

mod support;

use ottla_sim::faults::FaultKind;
use ottla_sim::run::{FailureKind, Plan, Report, Verdict, run};
use ottla_sim::scenario::Scenario;
use ottla_sim::trace::Keep;
use support::{Toy, ToyClients};

fn scenario(expect: &str, flush: &str, weights: &str) -> Scenario {
    let text = format!(
        r#"
        name = "toy"
        claim = "The toy keeps what it acknowledged."
        expect = {expect}
        row = {{ acks = "all", flush = "{flush}" }}
        workload = {{ idempotent = false, send-every-ms = 20 }}
        faults = {{ every-ms = 1500, weights = {{ {weights} }} }}
        "#
    );
    Scenario::parse("toy.toml", &text).expect("the scenario is right")
}

fn play(scenario: &Scenario, seed: u64, syncs: bool) -> Report {
    run(&Plan::draw(scenario, seed), Keep::Nothing, Toy { syncs, panics_at: None }, ToyClients)
}

const ALL_SURVIVED: &str = "crash = 2, power-loss = 4, stop = 1, pause = 1, cut = 1, cut-one-way = 1, \
                            slow-disk = 1, slow-link = 1, clock-step = 1, sync-error = 1";

#[test]
fn a_toy_that_syncs_survives_everything() {
    let scenario = scenario("\"pass\"", "1", ALL_SURVIVED);
    let mut fired = std::collections::BTreeSet::new();
    for seed in 0..40 {
        let report = play(&scenario, seed, true);
        assert_eq!(report.failure, None, "seed {seed}");
        assert!(report.acked > 100 && report.read >= report.acked, "seed {seed}: {report:?}");
        fired.extend(report.fired.effects.iter().filter(|(_, count)| **count > 0).map(|(kind, _)| *kind));
    }
    assert_eq!(fired, scenario.fault_kinds(), "some kind of fault never made a difference");
}

#[test]
fn a_toy_that_does_not_sync_loses_records_with_the_power() {
    let scenario = scenario(
        "{ fail = [\"lost-write\", \"unseen\", \"inconsistent-offsets\"] }",
        "off",
        "power-loss = 1",
    );
    let verdicts: Vec<_> =
        (0..10).map(|seed| play(&scenario, seed, false).verdict(&scenario.expect)).collect();
    assert!(verdicts.contains(&Verdict::FailedAsClaimed), "{verdicts:?}");
    assert!(!verdicts.iter().any(|verdict| matches!(verdict, Verdict::Failed(_))), "{verdicts:?}");
}

#[test]
fn a_toy_that_does_not_sync_survives_crashes() {
    let scenario = scenario("\"pass\"", "off", "crash = 3, stop = 1");
    for seed in 0..10 {
        assert_eq!(play(&scenario, seed, false).failure, None, "seed {seed}");
    }
}

#[test]
fn a_seed_does_the_same_twice_and_late() {
    let scenario = scenario("\"pass\"", "1", ALL_SURVIVED);
    let alone = play(&scenario, 5, true).digest;
    let all: std::collections::BTreeSet<_> = (0..5).map(|seed| play(&scenario, seed, true).digest).collect();
    assert_eq!(all.len(), 5, "two seeds did the same");
    assert_eq!(play(&scenario, 5, true).digest, alone);
    let traced = run(&Plan::draw(&scenario, 5), Keep::All, Toy { syncs: true, panics_at: None }, ToyClients);
    assert_eq!(traced.digest, alone, "keeping the trace changed the run");
    assert!(traced.trace.len() as u64 == traced.events);
}

#[test]
fn a_panic_is_a_failure_of_its_own() {
    let scenario = scenario("\"pass\"", "1", "crash = 1");
    let toy = Toy { syncs: true, panics_at: Some(100_000_100) };
    let failure = run(&Plan::draw(&scenario, 1), Keep::Nothing, toy, ToyClients).failure.expect("it panics");
    assert_eq!(failure.kind, FailureKind::Panic);
    assert!(failure.message.contains("value 100000100 is unlucky"), "{failure}");
}

#[test]
fn a_server_that_never_comes_back_is_stuck() {
    let mut scenario = scenario("\"pass\"", "1", "crash = 1");
    scenario.time.patience_ms = 1;
    let failure = play(&scenario, 1, true).failure.expect("there was no time");
    assert_eq!((failure.kind, failure.invariant.as_str()), (FailureKind::Liveness, "progress"));
    assert!(scenario.fault_kinds().contains(&FaultKind::Crash));
}
