//! Shrinking: a failing plan made smaller, as long as it fails in the same way.

use crate::faults::{Schedule, Step};
use crate::run::{Failure, Plan};

/// Makes a plan smaller, by playing it again and again: first fewer faults, then less of everything else, then
/// fewer faults once more. `play` says how a plan fails, if it does; `told` hears of every step forward.
pub fn shrink(
    plan: &Plan,
    failure: &Failure,
    play: impl Fn(&Plan) -> Option<Failure>,
    mut told: impl FnMut(&Plan),
) -> Plan {
    let fails = |plan: &Plan| play(plan).is_some_and(|now| now.is_like(failure));
    let mut best = fewer_faults(plan.clone(), &fails, &mut told);
    for change in CHANGES {
        loop {
            let mut smaller = best.clone();
            change(&mut smaller);
            if smaller == best || !fails(&smaller) {
                break;
            }
            best = smaller;
            told(&best);
        }
    }
    fewer_faults(best, &fails, &mut told)
}

/// Removes ever smaller runs of faults (ddmin).
fn fewer_faults(mut best: Plan, fails: &impl Fn(&Plan) -> bool, told: &mut impl FnMut(&Plan)) -> Plan {
    let mut size = best.schedule.0.len().div_ceil(2);
    while size > 0 {
        let mut start = 0;
        while start < best.schedule.0.len() {
            let mut smaller = best.clone();
            let end = (start + size).min(smaller.schedule.0.len());
            smaller.schedule.0.drain(start..end);
            if fails(&smaller) {
                best = smaller;
                told(&best);
            } else {
                start += size;
            }
        }
        size /= 2;
    }
    best
}

/// What else can be made smaller; each is done as often as the failure stays.
const CHANGES: [fn(&mut Plan); 8] = [
    |plan| plan.scenario.workload.producers = (plan.scenario.workload.producers - 1).max(1),
    |plan| plan.scenario.workload.consumers = (plan.scenario.workload.consumers.saturating_sub(1)).max(1),
    |plan| plan.scenario.cluster.partitions = (plan.scenario.cluster.partitions - 1).max(1),
    |plan| {
        // Only as long as the faults need it.
        let last = plan.schedule.0.last().map_or(0, |step| step.at_ms);
        let time = &mut plan.scenario.time;
        time.busy_ms = (time.busy_ms * 3 / 4).max(last + 1_000).min(time.busy_ms);
    },
    |plan| plan.scenario.workload.delete_records_every_ms = 0,
    |plan| plan.scenario.cluster.broker.clear(),
    |plan| plan.scenario.cluster.topic.clear(),
    |plan| plan.scenario.workload.send_every_ms = (plan.scenario.workload.send_every_ms * 2).min(5_000),
];

/// How big a plan is, for people.
pub fn size(plan: &Plan) -> String {
    let Schedule(steps) = &plan.schedule;
    let kinds: Vec<&str> = steps.iter().map(|Step { fault, .. }| fault.kind().label()).collect();
    let workload = &plan.scenario.workload;
    format!(
        "{} faults ({}), {} producers, {} consumers, {} partitions, {} s",
        steps.len(),
        kinds.join(", "),
        workload.producers,
        workload.consumers,
        plan.scenario.cluster.partitions,
        plan.scenario.time.busy_ms as f64 / 1e3
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::faults::FaultKind;
    use crate::run::FailureKind;
    use crate::scenario::Scenario;

    fn failure(invariant: &str) -> Failure {
        let (invariant, message) = (invariant.to_owned(), String::new());
        Failure { kind: FailureKind::Safety, invariant, time_ns: 0, message }
    }

    #[test]
    fn only_what_the_failure_needs_is_left() {
        let text = r#"
            name = "x"
            claim = "Something holds."
            expect = "pass"
            row = { acks = "all", flush = "1" }
            faults = { every-ms = 500, weights = { crash = 1, pause = 1, power-loss = 1, clock-step = 1 } }
            workload = { producers = 5, consumers = 3 }
        "#;
        let plan = Plan::draw(&Scenario::parse("x.toml", text).expect("it is right"), 1);
        let count =
            |plan: &Plan, kind| plan.schedule.0.iter().filter(|step| step.fault.kind() == kind).count();
        // Two power losses after a crash fail; without the crash something else does.
        let play = |plan: &Plan| {
            let power = count(plan, FaultKind::PowerLoss) >= 2 && plan.scenario.workload.producers >= 2;
            power.then(|| failure(if count(plan, FaultKind::Crash) > 0 { "unseen" } else { "duplicate" }))
        };
        let mut steps = 0;
        let small = shrink(&plan, &failure("unseen"), play, |_| steps += 1);
        assert_eq!(small.schedule.0.len(), 3, "{}", small.schedule);
        assert_eq!((small.scenario.workload.producers, small.scenario.workload.consumers), (2, 1));
        assert!(steps > 3);
        assert!(size(&small).starts_with("3 faults ("), "{}", size(&small));
    }
}
