//! When a cluster must serve though somebody is away: by its faults and its shape alone.

use crate::engine::NodeId;
use crate::faults::{Fault, Schedule, Way};
use crate::scenario::Scenario;

const MS: u64 = 1_000_000;
/// So long before an outage nothing else may have been wrong: every ISR is full by then.
const CALM_MS: u64 = 35_000;

/// Sessions have ended, leaders are elected, and clients have found them.
const FENCED_MS: u64 = 25_000;
/// A follower that has a session, but does not reach its leader, has left the ISR: `replica.lag.time.max.ms`, half of
/// that until somebody looks, and what a client waits until it tries again.
const LATE_MS: u64 = 60_000;

/// Somebody was away, and nothing else was wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outage {
    /// Who.
    pub nodes: Vec<NodeId>,
    /// From when, in virtual nanoseconds.
    pub from_ns: u64,
    /// By when the others have noticed, and made it good.
    pub noticed_ns: u64,
    /// Until when.
    pub until_ns: u64,
}

/// The outages of a run that the others must make good.
pub fn outages(scenario: &Scenario, schedule: &Schedule) -> Vec<Outage> {
    let mut calm_from_ms = CALM_MS;
    let mut found = Vec::new();
    for (place, step) in schedule.0.iter().enumerate() {
        let next_ms = schedule.0.get(place + 1).map_or(scenario.time.busy_ms, |next| next.at_ms);
        if step.at_ms >= calm_from_ms
            && let Some((nodes, lasts_ms, noticed_ms)) = away(scenario, &step.fault)
            && is_made_good(scenario, &nodes)
        {
            let until_ms = (step.at_ms + lasts_ms).min(next_ms).min(scenario.time.busy_ms);
            let (from_ns, noticed_ns) = (step.at_ms * MS, (step.at_ms + noticed_ms) * MS);
            found.push(Outage { nodes, from_ns, noticed_ns, until_ns: until_ms * MS });
        }
        calm_from_ms = calm_from_ms.max(step.at_ms + step.fault.lasts_ms() + CALM_MS);
    }
    found
}

/// Who is away by a fault, for how long at least, and how long it takes to make that good.
fn away(scenario: &Scenario, fault: &Fault) -> Option<(Vec<NodeId>, u64, u64)> {
    match fault {
        Fault::Kill { node, down_ms, .. } | Fault::Wipe { node, down_ms } => {
            Some((vec![*node], *down_ms, FENCED_MS))
        }
        Fault::Pause { node, for_ms } | Fault::Isolate { node, way: Way::Both, for_ms, .. } => {
            Some((vec![*node], *for_ms, FENCED_MS))
        }
        Fault::KillMany { nodes, down_ms, .. } => Some((nodes.clone(), *down_ms, FENCED_MS)),
        // Each is there for all others, and one of them may lead.
        Fault::Cut { from, to, both: true, for_ms } => {
            let of_nodes = scenario.nodes().contains(from) && scenario.nodes().contains(to);
            of_nodes.then(|| (vec![*from], *for_ms, LATE_MS))
        }
        _ => None,
    }
}

/// Whether a majority of the voters is left, and of every partition as many replicas as it takes: they are spread
/// over the racks.
fn is_made_good(scenario: &Scenario, nodes: &[NodeId]) -> bool {
    let (cluster, copies) = (&scenario.cluster, scenario.cluster.copies());
    let voters = cluster.voters();
    let left = voters.iter().filter(|voter| !nodes.contains(voter)).count();
    let racks = cluster.racks();
    let of_brokers = |rack: &Vec<NodeId>| rack.iter().any(|node| cluster.brokers().contains(node));
    let spread = racks.iter().filter(|rack| of_brokers(rack)).count() >= copies.replicas as usize;
    let hit = racks.iter().filter(|rack| rack.iter().any(|node| nodes.contains(node))).count();
    2 * left > voters.len() && spread && hit == 1 && copies.replicas > copies.min_insync
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::faults::Step;

    fn scenario(cluster: &str) -> Scenario {
        let text = format!(
            "name = \"x\"\nclaim = \"y\"\nexpect = \"pass\"\nrow = {{ acks = \"all\", flush = \"1\" }}\n\
             [time]\nbusy-ms = 500000\n[cluster]\n{cluster}"
        );
        Scenario::parse("x.toml", &text).expect("it is right")
    }

    fn cut(at_ms: u64, node: u32) -> Step {
        let from = vec![NodeId(8), NodeId(9)];
        Step { at_ms, fault: Fault::Isolate { node: NodeId(node), from, way: Way::Both, for_ms: 50_000 } }
    }

    #[test]
    fn one_who_is_away_in_peace_is_an_outage() {
        let three = scenario("nodes = 3");
        let found = outages(&three, &Schedule(vec![cut(40_000, 1), cut(120_000, 2), cut(180_000, 3)]));
        let times: Vec<_> = found.iter().map(|one| (one.from_ns / MS, one.until_ns / MS)).collect();
        assert_eq!(times, [(40_000, 90_000)], "soon after one comes to an end the ISR need not be full");
        let found = outages(&three, &Schedule(vec![cut(40_000, 1), cut(70_000, 2), cut(300_000, 3)]));
        let times: Vec<_> = found.iter().map(|one| (one.from_ns / MS, one.until_ns / MS)).collect();
        assert_eq!(times, [(40_000, 70_000), (300_000, 350_000)]);
    }

    #[test]
    fn a_rack_is_if_there_are_enough_of_them() {
        let fault = Fault::KillMany {
            kind: crate::faults::FaultKind::RackPowerLoss,
            nodes: vec![NodeId(1), NodeId(4)],
            down_ms: 60_000,
            apart_ms: 0,
        };
        let schedule = Schedule(vec![Step { at_ms: 40_000, fault }]);
        assert_eq!(outages(&scenario("nodes = 6\nracks = 3"), &schedule).len(), 1);
        assert_eq!(outages(&scenario("nodes = 6\nracks = 2"), &schedule).len(), 0, "two replicas are in one");
        assert_eq!(outages(&scenario("nodes = 6"), &schedule).len(), 0, "two racks");
        assert_eq!(
            outages(&scenario("nodes = 2"), &Schedule(vec![cut(40_000, 1)])).len(),
            0,
            "half the voters"
        );
    }
}
