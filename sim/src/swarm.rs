//! Swarm testing (Groce et al., 2012): every seed draws a cluster of its own, so that what one configuration
//! hides another shows: segments that roll and segments that do not, checkpoints that are old and fresh ones.
//!
//! Each draw has a stream of its own and goes by the seed alone, so that one more shifts nothing. What a
//! scenario sets itself stays as it is. The outcome is a scenario that leaves nothing open: a failure file
//! holds it, and nobody has to draw again.

use std::collections::BTreeMap;

use crate::dice::Dice;
use crate::engine::NodeId;
use crate::scenario::{Expect, Scenario};

/// The scenario with everything drawn that it leaves open.
pub fn settle(scenario: &Scenario, seed: u64) -> Scenario {
    let mut settled = scenario.clone();
    if !std::mem::take(&mut settled.cluster.swarm) {
        return settled;
    }
    let dice = |what| Dice::new(seed, NodeId::HARNESS, what, 0);
    settle_copies(&mut settled, dice);
    let cluster = &mut settled.cluster;
    let partitions = cluster.partitions as u64;
    cluster.partitions = dice("swarm partitions").between(1, 2 * partitions - 1) as i32;
    let workload = &mut settled.workload;
    workload.record_bytes = record_bytes(&mut dice("swarm records"), workload.record_bytes);
    // Now and then so many that appends and syncs overlap.
    if dice("swarm pace").one_in(6) {
        workload.send_every_ms = workload.send_every_ms.div_ceil(4);
    }

    let topic = &mut cluster.topic;
    set(topic, "internal.segment.bytes", segment_bytes(&mut dice("swarm segments")));
    set(topic, "index.interval.bytes", index_interval(&mut dice("swarm index interval")));
    set(topic, "segment.index.bytes", index_bytes(&mut dice("swarm index size")));
    set(topic, "message.timestamp.type", one_in(&mut dice("swarm timestamps"), 4, &["LogAppendTime"]));
    let codecs = ["uncompressed", "gzip", "snappy", "lz4", "zstd"];
    set(topic, "compression.type", one_in(&mut dice("swarm compression"), 6, &codecs));
    let delay = dice("swarm delete delay").between(0, 5_000).to_string();
    set(topic, "file.delete.delay.ms", Some(delay));

    for (what, name) in CHECKPOINTS {
        let mut dice = dice(what);
        let interval = dice.coin().then(|| dice.between(200, 5_000).to_string());
        set(&mut cluster.broker, name, interval);
    }
    settle_metadata(&mut settled, dice);
    settled
}

/// Some clusters take snapshots of their metadata all the time and keep little of the log, so that whoever was away
/// gets one. Some were formatted without eligible leader replicas: those lose nothing, but a partition that has only
/// one replica left in sync and loses that has nobody to lead it.
fn settle_metadata(settled: &mut Scenario, dice: impl Fn(&'static str) -> Dice) {
    if settled.cluster.all().len() == 1 {
        return;
    }
    let mut snapshots = dice("swarm snapshots");
    if snapshots.coin() {
        let between = snapshots.between(1, 4_000).to_string();
        set(&mut settled.cluster.broker, "metadata.log.max.record.bytes.between.snapshots", Some(between));
        let kept = snapshots.between(1, 8_000).to_string();
        set(&mut settled.cluster.broker, "metadata.max.retention.bytes", Some(kept));
    }
    let loses = !settled.row.losses(&settled.fault_kinds(), settled.cluster.copies()).is_empty();
    let without = dice("swarm eligible").one_in(5) && !loses && settled.expect == Expect::Pass;
    settled.cluster.eligible.get_or_insert(!without);
}

/// How many nodes, replicas and acknowledgements. What the outcome does not survive does not come.
fn settle_copies(settled: &mut Scenario, dice: impl Fn(&'static str) -> Dice) {
    let cluster = &mut settled.cluster;
    if std::mem::take(&mut cluster.draw_nodes) {
        // Mostly as many as there are mostly.
        let nodes = cluster.nodes;
        let mut dice = dice("swarm nodes");
        cluster.nodes = if dice.coin() { nodes.min(3) } else { dice.between(1, nodes.into()) as u32 };
        if cluster.controllers > 0 {
            let apart = dice.one_in(3).then(|| dice.between(1, cluster.controllers.into()) as u32);
            cluster.controllers = apart.unwrap_or(0);
        }
    }
    let nodes = cluster.nodes;
    let replicas = *cluster.replicas.get_or_insert_with(|| {
        let mut dice = dice("swarm replicas");
        if dice.coin() { nodes.min(3) } else { dice.between(1, nodes.into()) as u32 }
    });
    cluster.min_insync.get_or_insert_with(|| {
        let mut dice = dice("swarm min insync");
        let all_but_one = replicas.saturating_sub(1).max(1);
        if dice.coin() { all_but_one } else { dice.between(1, replicas.into()) as u32 }
    });
    if settled.expect == Expect::Pass {
        let (row, kinds, copies) = (settled.row, settled.fault_kinds(), settled.cluster.copies());
        let spare = copies.spare();
        let losses = row.losses(&kinds, copies);
        settled.faults.weights.retain(|kind, _| spare > 0 || !losses.contains(kind));
        settled.faults.machines = settled.faults.machines.map(|machines| machines.min(spare));
    }
}

/// Unless drawn otherwise they come more seldom than a run is long, or than processes are killed.
const CHECKPOINTS: [(&str, &str); 3] = [
    ("swarm high watermarks", "replica.high.watermark.checkpoint.interval.ms"),
    ("swarm recovery points", "log.flush.offset.checkpoint.interval.ms"),
    ("swarm log starts", "log.flush.start.offset.checkpoint.interval.ms"),
];

fn set(configs: &mut BTreeMap<String, String>, name: &str, drawn: Option<String>) {
    if let Some(value) = drawn {
        configs.entry(name.to_owned()).or_insert(value);
    }
}

/// Mostly as asked, sometimes tiny, so that a batch has many; seldom large, so that each is a batch.
fn record_bytes(dice: &mut Dice, asked: u32) -> u32 {
    match dice.below(8) {
        0 | 1 => asked.min(dice.between(8, 60) as u32),
        2 => asked * 4,
        _ => asked,
    }
}

/// The default, under which a run rolls nothing; a few rolls in a run; or one every few batches.
fn segment_bytes(dice: &mut Dice) -> Option<String> {
    match dice.below(6) {
        0 | 1 => None,
        2 => Some(dice.between(1_000, 4_000).to_string()),
        _ => Some(dice.between(4_000, 50_000).to_string()),
    }
}

/// The default, an entry for every batch, or one every few.
fn index_interval(dice: &mut Dice) -> Option<String> {
    match dice.below(3) {
        0 => None,
        1 => Some("0".to_owned()),
        _ => Some(dice.between(1, 1_000).to_string()),
    }
}

/// Seldom so small that segments roll because their index is full.
fn index_bytes(dice: &mut Dice) -> Option<String> {
    dice.one_in(5).then(|| dice.between(40, 400).to_string())
}

fn one_in(dice: &mut Dice, n: u64, values: &[&str]) -> Option<String> {
    dice.one_in(n).then(|| values[dice.index(values.len())].to_owned())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::faults::FaultKind;

    fn scenario(cluster: &str) -> Scenario {
        let text = format!(
            r#"
            name = "x"
            claim = "Something holds."
            expect = "pass"
            row = {{ acks = "all", flush = "1" }}
            [cluster]
            {cluster}
            "#
        );
        Scenario::parse("x.toml", &text).expect("it is right")
    }

    #[test]
    fn seeds_differ_and_one_seed_does_not() {
        let open = scenario("partitions = 3");
        let settled: Vec<Scenario> = (0..100).map(|seed| settle(&open, seed)).collect();
        assert_eq!(settle(&open, 7), settled[7]);
        assert_eq!(settle(&settled[7], 8), settled[7], "nothing is left open");
        let values = |name: &str| -> BTreeSet<Option<&String>> {
            settled.iter().map(|one| one.cluster.topic.get(name).or(one.cluster.broker.get(name))).collect()
        };
        for name in ["internal.segment.bytes", "index.interval.bytes", CHECKPOINTS[0].1, "compression.type"] {
            assert!(values(name).len() > 3 && values(name).contains(&None), "{name}");
        }
        let partitions: BTreeSet<i32> = settled.iter().map(|one| one.cluster.partitions).collect();
        assert_eq!(partitions, (1..=5).collect());
    }

    #[test]
    fn whatever_is_drawn_is_a_config_that_a_broker_takes() {
        for seed in 0..100 {
            let text = toml::to_string(&settle(&scenario(""), seed)).expect("plain data");
            Scenario::parse("x.toml", &text).expect("a settled scenario is one too");
        }
    }

    #[test]
    fn clusters_of_every_size_come_and_nothing_that_they_do_not_survive() {
        let open = scenario("nodes = 5\ndraw-nodes = true\n[faults]\nweights = { wipe = 1, blackout = 1 }");
        let mut seen = BTreeSet::new();
        for seed in 0..200 {
            let settled = settle(&open, seed);
            settled.check().unwrap_or_else(|error| panic!("seed {seed}: {error}"));
            let copies = settled.cluster.copies();
            assert_eq!(settled.faults.weights.contains_key(&FaultKind::Wipe), copies.spare() > 0);
            seen.insert((settled.cluster.nodes, copies.replicas, copies.min_insync));
        }
        // 1 + 3 + 6 + 10 + 15 if all were equally likely.
        assert!(seen.len() > 20 && seen.contains(&(3, 3, 2)) && seen.contains(&(1, 1, 1)), "{seen:?}");
    }

    #[test]
    fn what_the_scenario_sets_stays() {
        let fixed = scenario("topic = { \"internal.segment.bytes\" = \"777\" }");
        assert!((0..50).all(|seed| settle(&fixed, seed).cluster.topic["internal.segment.bytes"] == "777"));
        let closed = scenario("swarm = false");
        assert_eq!(settle(&closed, 3), closed);
    }
}
