//! What the command line prints.

use std::collections::BTreeMap;

use crate::run::{Plan, Report, Verdict};
use crate::scenario::{Expect, Scenario};
use crate::sweep::{Tally, is_idle};

/// The line that reproduces a run.
pub(super) fn reproduce(plan: &Plan) -> String {
    format!("cargo sim run --seed {} --scenario {}", plan.seed, plan.scenario.name)
}

/// One run: its faults, its last events if it failed, its outcome.
pub(super) fn run(plan: &Plan, report: &Report) {
    println!("{}: {}", plan.scenario.name, plan.scenario.claim);
    print!("{}", plan.schedule);
    if report.failure.is_some() {
        println!("the last events:");
        for event in &report.trace {
            println!("{event}");
        }
    }
    outcome(plan, report);
}

/// A run's outcome in a few lines.
pub(super) fn outcome(plan: &Plan, report: &Report) {
    println!(
        "seed {}: {} events in {:.1} virtual seconds, {} records acknowledged, {} read, {} processes started",
        report.seed,
        report.events,
        report.virtual_ns as f64 / 1e9,
        report.acked,
        report.read,
        report.starts
    );
    println!("hash {}", report.digest);
    match (&report.failure, report.verdict(&plan.scenario.expect)) {
        (Some(failure), Verdict::FailedAsClaimed) => println!("FAILED AS CLAIMED: {failure}"),
        (Some(failure), _) => {
            println!("FAILED: {failure}");
            println!("{}", reproduce(plan));
        }
        (None, _) => match &plan.scenario.expect {
            Expect::Pass => println!("passed"),
            Expect::Fail(_) => println!("passed; the scenario says that some other seed fails"),
        },
    }
}

/// A sweep: one line per scenario, then what proves nothing, then the speed. Says whether it proves all that
/// the scenarios claim, apart from seeds that failed.
pub(super) fn sweep(scenarios: &[Scenario], tallies: &[Tally], cpu_ns: u64) -> bool {
    println!(
        "{:<28} {:>7} {:>7} {:>8} {:>9} {:>9}  faults that made a difference",
        "scenario", "seeds", "failed", "claimed", "acked", "read"
    );
    for (scenario, tally) in scenarios.iter().zip(tallies) {
        let fired: Vec<String> =
            tally.fired.iter().map(|(kind, times)| format!("{} {times}", kind.label())).collect();
        let claimed = match (&scenario.expect, tally.first_claimed) {
            (Expect::Pass, _) => "-".to_owned(),
            (Expect::Fail(_), None) => "0".to_owned(),
            (Expect::Fail(_), Some(_)) => tally.failed_as_claimed.to_string(),
        };
        println!(
            "{:<28} {:>7} {:>7} {:>8} {:>9} {:>9}  {}",
            scenario.name,
            tally.seeds,
            tally.failed.len(),
            claimed,
            tally.acked,
            tally.read,
            fired.join(", ")
        );
    }
    let mut proves = true;
    for (scenario, tally) in scenarios.iter().zip(tallies) {
        for reason in tally.vacuous(scenario) {
            println!("{} proves nothing: {reason}", scenario.name);
            proves = false;
        }
    }
    if let Some(reason) = is_idle(scenarios, tallies) {
        println!("the sweep proves nothing: {reason}");
        proves = false;
    }
    totals(tallies, cpu_ns);
    proves
}

fn totals(tallies: &[Tally], cpu_ns: u64) {
    let sum = |pick: fn(&Tally) -> u64| tallies.iter().map(pick).sum::<u64>();
    let cpu = cpu_ns as f64 / 1e9;
    let seeds = sum(|tally| tally.seeds);
    println!(
        "{seeds} seeds in {cpu:.1} CPU-seconds: {:.1} seeds, {:.0} virtual seconds, {:.0} events per CPU-second",
        seeds as f64 / cpu,
        sum(|tally| tally.virtual_ns) as f64 / 1e9 / cpu,
        sum(|tally| tally.events) as f64 / cpu
    );
    println!(
        "{} records acknowledged, {} read; losses of power took {} sectors, {} names, and tore {} files",
        sum(|tally| tally.acked),
        sum(|tally| tally.read),
        sum(|tally| tally.lost.sectors),
        sum(|tally| tally.lost.names),
        sum(|tally| tally.lost.files_torn)
    );
    let mut failed: BTreeMap<String, u64> = BTreeMap::new();
    for kind in tallies.iter().flat_map(|tally| tally.failed.values()) {
        *failed.entry(format!("{kind:?}")).or_default() += 1;
    }
    for (kind, count) in failed {
        println!("{count} seeds failed: {kind}");
    }
}
