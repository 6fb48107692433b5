//! How a schedule of faults is drawn from a profile and a seed.
//!
//! Some faults are losses to the row under test, and only so many machines may suffer one until every ISR is
//! full again ([`Ledger`]). A loss that would be one too many comes later, when all is well again, or hits a
//! machine that has lost something already.

use std::collections::{BTreeMap, BTreeSet};

use crate::dice::Dice;
use crate::engine::NodeId;
use crate::faults::{Fault, FaultKind, Moment, Schedule, Step, Way};
use crate::guarantee::{Ledger, Losses};

/// What a schedule is drawn from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Profile {
    /// Which kinds of faults, how often relative to each other.
    pub weights: BTreeMap<FaultKind, u32>,
    /// The mean time between two of them.
    pub every_ms: u64,
    /// When the first may come.
    pub from_ms: u64,
    /// After which none comes.
    pub until_ms: u64,
    /// Those who suffer.
    pub nodes: Vec<NodeId>,
    /// Those among them with partitions.
    pub brokers: Vec<NodeId>,
    /// Which of them stand together.
    pub racks: Vec<Vec<NodeId>>,
    /// Those who are cut off from them.
    pub clients: Vec<NodeId>,
    /// What counts as a loss, and how many machines may have one at a time.
    pub losses: Losses,
    /// How long each lasts, if that is not drawn.
    pub lasting_ms: Option<u64>,
    /// Those who may be gone for good, and how many of them.
    pub losable: (Vec<NodeId>, u32),
}

impl Schedule {
    /// Draws a schedule.
    pub fn draw(seed: u64, profile: &Profile) -> Self {
        let mut dice = Dice::new(seed, NodeId::HARNESS, "nemesis", 0);
        let mut ledger = Ledger::new(profile.losses.clone());
        let mut steps: Vec<Step> = Vec::new();
        let mut gone = BTreeSet::new();
        let mut at_ms = profile.from_ms;
        loop {
            at_ms += dice.between(1, 2 * profile.every_ms.max(1));
            let Some(index) = dice.weighted(profile.weights.values().copied()) else { return Self(steps) };
            let kind = *profile.weights.keys().nth(index).expect("the index is of this map");
            if kind == FaultKind::Lose {
                let (those, most) = &profile.losable;
                if at_ms < profile.until_ms && gone.len() < *most as usize && !those.is_empty() {
                    let node = those[dice.index(those.len())];
                    if gone.insert(node) {
                        steps.push(Step { at_ms, fault: Fault::Lose { node } });
                    }
                }
                if at_ms >= profile.until_ms {
                    return Self(steps);
                }
                continue;
            }
            let mut fault = draw_fault(&mut dice, kind, None, profile);
            if !ledger.allows(at_ms, &fault) {
                let suffering = ledger.lost(at_ms);
                if !suffering.is_empty() && dice.coin() {
                    let again = suffering[dice.index(suffering.len())];
                    fault = draw_fault(&mut dice, kind, Some(again), profile);
                } else {
                    at_ms = at_ms.max(ledger.clear_ms());
                }
            }
            if at_ms >= profile.until_ms {
                return Self(steps);
            }
            if ledger.allows(at_ms, &fault) {
                ledger.add(at_ms, &fault);
                steps.push(Step { at_ms, fault });
            }
        }
    }
}

fn draw_fault(dice: &mut Dice, kind: FaultKind, hit: Option<NodeId>, profile: &Profile) -> Fault {
    let those = if kind == FaultKind::Wipe { &profile.brokers } else { &profile.nodes };
    let drawn = those[dice.index(those.len())];
    let node = hit.unwrap_or(drawn);
    let client = profile.clients[dice.index(profile.clients.len())];
    let for_ms = duration(dice, profile);
    match kind {
        FaultKind::Crash | FaultKind::PowerLoss => {
            let power = kind == FaultKind::PowerLoss;
            let moment = match dice.below(3) {
                0 => Moment::AtOnce,
                1 => Moment::BeforeDiskOperation(dice.between(1, 10)),
                _ => Moment::BeforeDiskOperation(dice.between(1, 100)),
            };
            Fault::Kill { node, power, moment, down_ms: for_ms }
        }
        FaultKind::Stop => Fault::Stop { node, down_ms: for_ms },
        FaultKind::PowerOff => Fault::PowerOff { node, down_ms: for_ms },
        FaultKind::Wipe => Fault::Wipe { node, down_ms: for_ms },
        FaultKind::Pause => Fault::Pause { node, for_ms },
        FaultKind::SyncError | FaultKind::WriteError | FaultKind::ReadError => {
            let rate = if dice.coin() { 1_000_000 } else { 50_000 };
            Fault::Disk { node, kind, rate, for_ms }
        }
        FaultKind::BitRot => Fault::Disk { node, kind, rate: 100_000, for_ms },
        FaultKind::SlowDisk => {
            // A sync takes some milliseconds, or about as long as a client has patience.
            let rate = if dice.one_in(3) { 1_000 } else { 20 };
            Fault::Disk { node, kind, rate, for_ms }
        }
        FaultKind::DiskFull | FaultKind::LyingSync => Fault::Disk { node, kind, rate: 0, for_ms },
        FaultKind::Cut | FaultKind::CutOneWay | FaultKind::SlowLink => {
            let peer = peer(dice, node, client, profile);
            link_fault(dice, kind, (node, peer), for_ms)
        }
        FaultKind::ClockStep => {
            let far = if dice.one_in(4) { 86_400_000 } else { 30_000 };
            let by_ms = dice.between(1, far) as i64;
            Fault::ClockStep { node, by_ms: if dice.coin() { by_ms } else { -by_ms } }
        }
        FaultKind::CrashAll | FaultKind::Blackout => kill_many(dice, kind, &profile.nodes, for_ms),
        FaultKind::RackPowerLoss => {
            let rack = &profile.racks[dice.index(profile.racks.len())];
            kill_many(dice, kind, rack, for_ms)
        }
        FaultKind::Isolate => isolate(dice, node, profile, for_ms),
        FaultKind::Split => split(dice, profile),
        FaultKind::RollingRestart => {
            let pause_ms = dice.between(500, 8_000);
            Fault::RollingRestart { nodes: profile.nodes.clone(), down_ms: for_ms, pause_ms }
        }
        FaultKind::Cascade | FaultKind::CascadeWipe => cascade(dice, kind, profile),
        FaultKind::Lose => unreachable!("who is gone for good is counted"),
    }
}

/// Mostly short, sometimes long; where there are others to take over, sometimes so long that they do.
fn duration(dice: &mut Dice, profile: &Profile) -> u64 {
    let for_ms = if dice.one_in(4) { dice.between(1_000, 8_000) } else { dice.between(20, 1_000) };
    let for_ms = if profile.nodes.len() > 1 && dice.one_in(4) { dice.between(8_000, 20_000) } else { for_ms };
    profile.lasting_ms.unwrap_or(for_ms)
}

/// At the other end of a link: a client, or one of the other nodes.
fn peer(dice: &mut Dice, node: NodeId, client: NodeId, profile: &Profile) -> NodeId {
    let others = others(node, profile);
    if others.is_empty() || dice.one_in(3) { client } else { others[dice.index(others.len())] }
}

fn others(node: NodeId, profile: &Profile) -> Vec<NodeId> {
    profile.nodes.iter().copied().filter(|other| *other != node).collect()
}

fn link_fault(dice: &mut Dice, kind: FaultKind, (node, peer): (NodeId, NodeId), for_ms: u64) -> Fault {
    match kind {
        FaultKind::Cut => Fault::Cut { from: node, to: peer, both: true, for_ms },
        FaultKind::CutOneWay => {
            let (from, to) = if dice.coin() { (node, peer) } else { (peer, node) };
            Fault::Cut { from, to, both: false, for_ms }
        }
        FaultKind::SlowLink => Fault::SlowLink {
            from: node,
            to: peer,
            extra_ms: dice.between(1, 500),
            bytes_per_second: dice.between(10_000, 1_000_000),
            for_ms,
        },
        _ => unreachable!("{} is no fault of a link", kind.label()),
    }
}

fn kill_many(dice: &mut Dice, kind: FaultKind, nodes: &[NodeId], down_ms: u64) -> Fault {
    let apart_ms = if dice.coin() { 0 } else { dice.between(1, 3_000) };
    // Whoever is back first may lead: that should not always be the same.
    let mut nodes = nodes.to_vec();
    let turn = dice.index(nodes.len());
    nodes.rotate_left(turn);
    Fault::KillMany { kind, nodes, down_ms, apart_ms }
}

fn shuffled(dice: &mut Dice, nodes: &[NodeId]) -> Vec<NodeId> {
    let mut nodes = nodes.to_vec();
    for end in (1..nodes.len()).rev() {
        nodes.swap(end, dice.index(end + 1));
    }
    nodes
}

/// Mostly long enough for sessions to end, and for followers to count as late.
fn split(dice: &mut Dice, profile: &Profile) -> Fault {
    let mut some = shuffled(dice, &profile.nodes);
    let others =
        some.split_off(if some.len() > 1 { dice.between(1, some.len() as u64 - 1) as usize } else { 1 });
    let for_ms = if dice.one_in(3) { dice.between(500, 10_000) } else { dice.between(10_000, 40_000) };
    Fault::Split { some, others, for_ms }
}

/// Mostly slow enough for the ISR to shrink to those that are left.
fn cascade(dice: &mut Dice, kind: FaultKind, profile: &Profile) -> Fault {
    let nodes = shuffled(dice, &profile.brokers);
    let apart_ms = if dice.one_in(4) { dice.between(50, 9_000) } else { dice.between(10_000, 16_000) };
    let (down_ms, back_apart_ms) = (dice.between(20, 4_000), dice.between(1, 8_000));
    Fault::Cascade { kind, nodes, apart_ms, down_ms, last_first: dice.coin(), back_apart_ms }
}

fn isolate(dice: &mut Dice, node: NodeId, profile: &Profile, for_ms: u64) -> Fault {
    let mut from = others(node, profile);
    // Clients that still reach it make it more dangerous.
    if from.is_empty() || dice.one_in(3) {
        from.extend(&profile.clients);
    }
    let way = match dice.below(4) {
        0 => Way::In,
        1 => Way::Out,
        _ => Way::Both,
    };
    Fault::Isolate { node, from, way, for_ms }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn profile(brokers: u32) -> Profile {
        let brokers: Vec<NodeId> = (1..=brokers).map(NodeId).collect();
        Profile {
            weights: FaultKind::ALL.iter().map(|kind| (*kind, 1)).collect(),
            every_ms: 500,
            from_ms: 1_000,
            until_ms: 40_000,
            racks: brokers.iter().map(|broker| vec![*broker]).collect(),
            nodes: brokers.clone(),
            brokers,
            clients: vec![NodeId(102), NodeId(103)],
            losses: Losses::default(),
            lasting_ms: None,
            losable: (vec![NodeId(7), NodeId(8)], 1),
        }
    }

    #[test]
    fn a_schedule_is_the_seeds_in_order_and_within_its_time() {
        let one = Schedule::draw(1, &profile(1));
        assert_eq!(one, Schedule::draw(1, &profile(1)));
        assert_ne!(one, Schedule::draw(2, &profile(1)));
        assert!(one.0.is_sorted_by_key(|step| step.at_ms));
        assert!(one.0.iter().all(|step| (1_000..40_000).contains(&step.at_ms)));
        assert!((30..200).contains(&one.0.len()), "{}", one.0.len());
    }

    #[test]
    fn weights_decide_which_kinds_come() {
        let mut weights: BTreeMap<FaultKind, u32> = FaultKind::ALL.iter().map(|kind| (*kind, 0)).collect();
        weights.insert(FaultKind::PowerLoss, 1);
        let schedule = Schedule::draw(1, &Profile { weights, ..profile(3) });
        assert!(schedule.0.iter().all(|step| step.fault.kind() == FaultKind::PowerLoss));
        let kinds: BTreeSet<_> = (0..20)
            .flat_map(|seed| Schedule::draw(seed, &profile(3)).0)
            .map(|step| step.fault.kind())
            .collect();
        assert_eq!(kinds.len(), FaultKind::ALL.len(), "every kind comes some day");
    }

    #[test]
    fn links_between_nodes_are_cut_too_and_nobody_is_cut_off_from_himself() {
        let mut pairs = BTreeSet::new();
        for step in (0..20).flat_map(|seed| Schedule::draw(seed, &profile(3)).0) {
            match step.fault {
                Fault::Cut { from, to, .. } | Fault::SlowLink { from, to, .. } => {
                    assert_ne!(from, to);
                    pairs.insert((from.0.min(to.0), from.0.max(to.0)));
                }
                Fault::Isolate { node, from, .. } => assert!(!from.contains(&node) && from.len() >= 2),
                _ => {}
            }
        }
        // Three links among three nodes, and six to two clients.
        assert_eq!(pairs.len(), 9, "{pairs:?}");
    }

    #[test]
    fn losses_keep_their_distance() {
        let losses = Losses { kinds: BTreeSet::from([FaultKind::PowerLoss]), machines: 1 };
        let weights = BTreeMap::from([(FaultKind::PowerLoss, 3), (FaultKind::Pause, 1)]);
        let profile = Profile { weights, losses: losses.clone(), until_ms: 300_000, ..profile(3) };
        let mut hit = BTreeSet::new();
        for seed in 0..20 {
            let schedule = Schedule::draw(seed, &profile);
            assert_eq!(losses.beyond(&schedule), None, "seed {seed}:\n{schedule}");
            let machines = schedule.0.iter().filter(|step| step.fault.kind() == FaultKind::PowerLoss);
            let machines: BTreeSet<NodeId> = machines.flat_map(|step| step.fault.machines()).collect();
            hit.insert(machines.len());
        }
        assert!(hit.contains(&3), "over time every machine suffers: {hit:?}");
    }
}
