//! Scenario files: one file, one claim.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use ottla::config::broker_keys::broker_key;
use ottla::config::topic_keys::topic_key;
use serde::{Deserialize, Serialize};

use crate::drawing::Profile;
use crate::engine::NodeId;
use crate::faults::FaultKind;
use crate::guarantee::{Copies, Losses, Row};
use crate::history::{Acks, Key};
use crate::oracles;

/// A claim and how to test it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Scenario {
    /// The name; also the file's.
    pub name: String,
    /// What is claimed, in one sentence.
    pub claim: String,
    /// Whether every seed must pass, or some seed must fail and how.
    pub expect: Expect,
    /// The row of the table of guarantees under test.
    pub row: Row,
    /// What there is.
    #[serde(default)]
    pub cluster: Cluster,
    /// How long it takes.
    #[serde(default)]
    pub time: Time,
    /// What the clients do.
    #[serde(default)]
    pub workload: Workload,
    /// What goes wrong.
    #[serde(default)]
    pub faults: Faults,
}

/// What a scenario claims about its seeds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Expect {
    /// No seed violates anything.
    Pass,
    /// Some seed violates one of these, and none violates anything else.
    Fail(Vec<String>),
}

/// The brokers and the topics.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct Cluster {
    /// How many brokers; where the seed draws that, the most there are. They are the voters, too, unless there
    /// are controllers.
    pub nodes: u32,
    /// How many nodes that are controllers and nothing else; where the seed draws that, the most there are.
    pub controllers: u32,
    /// Whether each seed draws how many nodes there are.
    pub draw_nodes: bool,
    /// In how many racks they stand, one after the other; each has a rack of its own if this is 0.
    pub racks: u32,
    /// Replicas of each partition; if not said, the seed draws them, and without swarm there are up to three.
    pub replicas: Option<u32>,
    /// The topics' `min.insync.replicas`; if not said, the seed draws it, and without swarm it is all but one.
    pub min_insync: Option<u32>,
    /// How many topics.
    pub topics: u32,
    /// How many partitions each; about so many where the seed draws the rest.
    pub partitions: i32,
    /// Whether the cluster is formatted with eligible leader replicas (KIP-966); if not said, the seed draws it,
    /// and without swarm it is.
    pub eligible: Option<bool>,
    /// Topic configs, by Kafka's names.
    pub topic: BTreeMap<String, String>,
    /// Broker configs, by Kafka's names.
    pub broker: BTreeMap<String, String>,
    /// Whether each seed draws what is not set here: see [`crate::swarm`].
    pub swarm: bool,
}

impl Cluster {
    /// The copies of each record, as far as they are said, and else as many as there can be.
    pub fn copies(&self) -> Copies {
        let replicas = self.replicas.unwrap_or(self.nodes.min(3));
        let min_insync = self.min_insync.unwrap_or(replicas.saturating_sub(1).max(1));
        Copies { replicas, min_insync }
    }

    /// The nodes with partitions.
    pub fn brokers(&self) -> Vec<NodeId> {
        (1..=self.nodes).map(NodeId).collect()
    }

    /// All nodes.
    pub fn all(&self) -> Vec<NodeId> {
        (1..=self.nodes + self.controllers).map(NodeId).collect()
    }

    /// The nodes that make up the quorum.
    pub fn voters(&self) -> Vec<NodeId> {
        let brokers = if self.controllers == 0 { 0 } else { self.nodes as usize };
        self.all().split_off(brokers)
    }

    /// Whether several nodes stand in one rack.
    pub fn shares_racks(&self) -> bool {
        self.racks > 0 && (self.racks as usize) < self.all().len()
    }

    /// The nodes by the racks that they stand in, which are numbered from 1.
    pub fn racks(&self) -> Vec<Vec<NodeId>> {
        let all = self.all();
        let count = if self.racks == 0 { all.len() } else { all.len().min(self.racks as usize) };
        (0..count).map(|rack| all.iter().skip(rack).step_by(count).copied().collect()).collect()
    }
}

impl Default for Cluster {
    fn default() -> Self {
        Self {
            nodes: 1,
            controllers: 0,
            draw_nodes: false,
            racks: 0,
            replicas: None,
            min_insync: None,
            topics: 1,
            partitions: 2,
            eligible: None,
            topic: BTreeMap::new(),
            broker: BTreeMap::new(),
            swarm: true,
        }
    }
}

/// Virtual time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct Time {
    /// Faults come until then, and so do sends.
    pub busy_ms: u64,
    /// How long everything may take, once all is healed, to make progress again.
    pub patience_ms: u64,
    /// So many events of the engine may come per virtual second, on average.
    pub most_events_per_second: Option<u64>,
}

impl Default for Time {
    fn default() -> Self {
        Self { busy_ms: 40_000, patience_ms: 60_000, most_events_per_second: None }
    }
}

/// What the clients do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct Workload {
    /// Producers, each on a node of its own.
    pub producers: u32,
    /// Consumers, each on a node of its own, each reading all partitions.
    pub consumers: u32,
    /// The mean time between two sends of a producer.
    pub send_every_ms: u64,
    /// Records have up to so many bytes.
    pub record_bytes: u32,
    /// Whether producers are idempotent: then nothing may appear twice.
    pub idempotent: bool,
    /// The mean time between two DeleteRecords; none come if it is 0.
    pub delete_records_every_ms: u64,
    /// The mean time between two things that an operator does: preferred elections, reassignments, topics
    /// deleted and created again; none come if it is 0.
    pub operate_every_ms: u64,
    /// The mean time between two questions where logs end, of whoever keeps asking; none come if it is 0.
    pub ask_ends_every_ms: u64,
    /// Consumers that read from the replica of their own rack, where brokers let them (KIP-392).
    pub rack_readers: u32,
}

impl Default for Workload {
    fn default() -> Self {
        Self {
            producers: 2,
            consumers: 1,
            send_every_ms: 100,
            record_bytes: 800,
            idempotent: true,
            delete_records_every_ms: 0,
            operate_every_ms: 0,
            ask_ends_every_ms: 0,
            rack_readers: 0,
        }
    }
}

/// What retention must leave. Nothing is given up without one of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Retention {
    /// So many bytes of each partition.
    pub bytes: Option<u64>,
    /// What is not older than so many milliseconds.
    pub ms: Option<u64>,
}

/// What goes wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct Faults {
    /// The mean time between two faults.
    pub every_ms: u64,
    /// Kinds, and how often they come relative to each other.
    pub weights: BTreeMap<FaultKind, u32>,
    /// On how many machines at a time the faults may come that are losses to the row; if not said, on as many
    /// as the row survives, and on any number where the scenario must fail.
    pub machines: Option<u32>,
    /// How long each of them lasts; if not said, the seed draws that.
    pub lasting_ms: Option<u64>,
    /// How many controllers may be gone for good: of the voters a minority, where the scenario must pass.
    pub lost_controllers: u32,
}

impl Default for Faults {
    fn default() -> Self {
        Self {
            every_ms: 2_500,
            weights: BTreeMap::new(),
            machines: None,
            lasting_ms: None,
            lost_controllers: 0,
        }
    }
}

/// Names who picks the replica that a consumer reads from.
const REPLICA_SELECTOR: &str = "replica.selector.class";
/// More nodes than this are no cluster that anybody has asked for.
const MOST_NODES: u32 = 9;

/// Why a scenario cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{file}: {reason}")]
pub struct ScenarioError {
    /// Where.
    pub file: String,
    /// What is wrong.
    pub reason: String,
}

impl Scenario {
    /// Reads one file's text.
    pub fn parse(file: &str, text: &str) -> Result<Self, ScenarioError> {
        let error = |reason: String| ScenarioError { file: file.to_owned(), reason };
        let scenario: Self = toml::from_str(text).map_err(|e| error(e.to_string().trim_end().to_owned()))?;
        scenario.check().map_err(error)?;
        Ok(scenario)
    }

    /// Reads one file.
    pub fn load(path: &Path) -> Result<Self, ScenarioError> {
        let file = path.display().to_string();
        #[expect(
            clippy::disallowed_methods,
            reason = "scenario files lie on the real disk, read before a run"
        )]
        let bytes = std::fs::read(path)
            .map_err(|error| ScenarioError { file: file.clone(), reason: error.to_string() })?;
        let text = String::from_utf8(bytes)
            .map_err(|_| ScenarioError { file: file.clone(), reason: "not UTF-8".to_owned() })?;
        let scenario = Self::parse(&file, &text)?;
        if path.file_stem().is_none_or(|stem| stem.to_string_lossy() != scenario.name) {
            let reason = format!("its name {:?} is not the file's", scenario.name);
            return Err(ScenarioError { file, reason });
        }
        Ok(scenario)
    }

    /// Reads every scenario of a directory, in order of their names.
    pub fn load_all(directory: &Path) -> Result<Vec<Self>, ScenarioError> {
        let io = |error: std::io::Error| ScenarioError {
            file: directory.display().to_string(),
            reason: error.to_string(),
        };
        let mut files: Vec<PathBuf> = Vec::new();
        for entry in std::fs::read_dir(directory).map_err(io)? {
            let path = entry.map_err(io)?.path();
            if path.extension().is_some_and(|extension| extension == "toml") {
                files.push(path);
            }
        }
        files.sort();
        files.iter().map(|file| Self::load(file)).collect()
    }

    /// That it can be run, and that its claim fits its row.
    pub(crate) fn check(&self) -> Result<(), String> {
        let positive = [
            ("cluster.nodes", u64::from(self.cluster.nodes)),
            ("cluster.replicas", u64::from(self.cluster.replicas.unwrap_or(1))),
            ("cluster.min-insync", u64::from(self.cluster.min_insync.unwrap_or(1))),
            ("cluster.topics", u64::from(self.cluster.topics)),
            ("cluster.partitions", u64::try_from(self.cluster.partitions).unwrap_or(0)),
            ("time.busy-ms", self.time.busy_ms),
            ("time.patience-ms", self.time.patience_ms),
            ("workload.producers", u64::from(self.workload.producers)),
            ("workload.send-every-ms", self.workload.send_every_ms),
            ("faults.every-ms", self.faults.every_ms),
        ];
        if let Some((name, _)) = positive.iter().find(|(_, value)| *value == 0) {
            return Err(format!("{name} must be positive"));
        }
        if self.workload.producers + self.workload.consumers + self.workload.rack_readers > 100 {
            return Err("at most 100 clients".to_owned());
        }
        self.check_configs()?;
        self.check_cluster()?;
        if self.workload.idempotent && self.row.acks != Acks::All {
            return Err("idempotent producers need acks \"all\"".to_owned());
        }
        let survives = self.row.survives(&self.fault_kinds(), self.cluster.copies(), self.machines());
        let survives = survives.and_then(|()| self.keeps_a_majority());
        match &self.expect {
            Expect::Pass => survives
                .map_err(|kind| format!("expects to pass, but {} is beyond {}", kind.label(), self.row)),
            Expect::Fail(names) => {
                if let Some(name) = names.iter().find(|name| !oracles::is_known(name)) {
                    return Err(format!("expects {name:?} to be violated, which is no oracle"));
                }
                match (survives, names.is_empty()) {
                    (_, true) => Err("expects to fail, but not by which oracle".to_owned()),
                    (Ok(()), _) => Err(format!("expects to fail, but {} survives its faults", self.row)),
                    (Err(_), _) => Ok(()),
                }
            }
        }
    }

    /// The metadata quorum survives the permanent loss of a minority of voters. Only controllers that are
    /// nothing else may go: how many brokers may is the row's to say.
    fn keeps_a_majority(&self) -> Result<(), FaultKind> {
        let lost =
            if self.fault_kinds().contains(&FaultKind::Lose) { self.faults.lost_controllers } else { 0 };
        if 2 * lost < self.cluster.voters().len() as u32 { Ok(()) } else { Err(FaultKind::Lose) }
    }

    fn check_cluster(&self) -> Result<(), String> {
        let Cluster { nodes, draw_nodes, swarm, .. } = self.cluster;
        let copies = self.cluster.copies();
        if nodes + self.cluster.controllers > MOST_NODES {
            return Err(format!("at most {MOST_NODES} nodes"));
        }
        if copies.replicas > nodes {
            return Err(format!("{} replicas need as many nodes, not {nodes}", copies.replicas));
        }
        if copies.min_insync > copies.replicas {
            return Err(format!("{} of {} replicas cannot be in sync", copies.min_insync, copies.replicas));
        }
        if draw_nodes && !swarm {
            return Err("cluster.draw-nodes needs cluster.swarm".to_owned());
        }
        let can_lose = if draw_nodes { 0 } else { self.cluster.controllers };
        if self.faults.lost_controllers > can_lose {
            return Err(format!("{can_lose} controllers can be gone for good, no more"));
        }
        if self.workload.rack_readers > 0 && !self.cluster.broker.contains_key(REPLICA_SELECTOR) {
            return Err(format!("readers of a rack need the broker config {REPLICA_SELECTOR}"));
        }
        if draw_nodes && self.cluster.replicas.or(self.cluster.min_insync).is_some() {
            return Err("where the seed draws the nodes it draws the replicas, too".to_owned());
        }
        Ok(())
    }

    /// On how many machines at a time losses may come.
    pub fn machines(&self) -> u32 {
        let all = match &self.expect {
            Expect::Pass => self.cluster.copies().spare(),
            Expect::Fail(_) => self.cluster.nodes,
        };
        self.faults.machines.unwrap_or(all)
    }

    /// What counts as a loss, and how many machines may have one at a time.
    pub fn losses(&self) -> Losses {
        let kinds = self.row.losses(&self.fault_kinds(), self.cluster.copies());
        Losses { kinds, machines: self.machines() }
    }

    /// A topic that cannot be created would be asked for until patience ends.
    fn check_configs(&self) -> Result<(), String> {
        for (name, value) in &self.cluster.topic {
            let key = topic_key(name).ok_or_else(|| format!("{name} is no topic config"))?;
            key.parse(value).map_err(|error| error.to_string())?;
        }
        for (name, value) in &self.cluster.broker {
            let key = broker_key(name).ok_or_else(|| format!("{name} is no broker config"))?;
            key.parse(value).map_err(|error| error.to_string())?;
        }
        Ok(())
    }

    /// A topic config that is a number and set.
    fn topic_number(&self, name: &str) -> Option<i64> {
        self.cluster.topic.get(name).and_then(|text| text.parse().ok())
    }

    /// What retention is to leave, if the scenario asks for retention.
    pub fn retention(&self) -> Retention {
        let limit = |name| self.topic_number(name).and_then(|limit| u64::try_from(limit).ok());
        Retention { bytes: limit("retention.bytes"), ms: limit("retention.ms") }
    }

    /// Whether logs are to lose their beginnings, on purpose.
    pub fn deletes(&self) -> bool {
        self.workload.delete_records_every_ms > 0 || self.retention() != Retention::default()
    }

    /// Whether somebody sends batches that no producer would. Where records go, so does what the broker knows
    /// of their producers: there nobody can say how such batches are to be answered.
    pub fn insists(&self) -> bool {
        self.expect == Expect::Pass && !self.deletes()
    }

    /// The kinds of faults that can come.
    pub fn fault_kinds(&self) -> BTreeSet<FaultKind> {
        self.faults.weights.iter().filter(|(_, weight)| **weight > 0).map(|(kind, _)| *kind).collect()
    }

    /// The brokers' nodes.
    pub fn brokers(&self) -> Vec<NodeId> {
        self.cluster.brokers()
    }

    /// The nodes of brokers and controllers.
    pub fn nodes(&self) -> Vec<NodeId> {
        self.cluster.all()
    }

    /// The producers' nodes.
    pub fn producers(&self) -> Vec<NodeId> {
        (0..self.workload.producers).map(|n| NodeId(100 + n)).collect()
    }

    /// The consumers' nodes.
    pub fn consumers(&self) -> Vec<NodeId> {
        (0..self.workload.consumers).map(|n| NodeId(100 + self.workload.producers + n)).collect()
    }

    /// The nodes of those who read from the replica of their rack.
    pub fn rack_readers(&self) -> Vec<NodeId> {
        let before = self.workload.producers + self.workload.consumers;
        (0..self.workload.rack_readers).map(|n| NodeId(100 + before + n)).collect()
    }

    /// The node of whoever keeps asking where logs end.
    pub fn asker(&self) -> NodeId {
        NodeId(95)
    }

    /// The node of whoever operates the cluster.
    pub fn operator(&self) -> NodeId {
        NodeId(96)
    }

    /// The node of whoever sends what no producer would.
    pub fn pedant(&self) -> NodeId {
        NodeId(97)
    }

    /// The node of whoever deletes records.
    pub fn deleter(&self) -> NodeId {
        NodeId(98)
    }

    /// The node of whoever creates the topics, and reads everything when all is over.
    pub fn auditor(&self) -> NodeId {
        NodeId(99)
    }

    /// Every partition.
    pub fn keys(&self) -> Vec<Key> {
        let topics = 0..self.cluster.topics;
        topics
            .flat_map(|topic| (0..self.cluster.partitions).map(move |partition| Key { topic, partition }))
            .collect()
    }

    /// What its schedules of faults are drawn from.
    pub fn profile(&self) -> Profile {
        Profile {
            weights: self.faults.weights.clone(),
            every_ms: self.faults.every_ms,
            from_ms: 1_000,
            until_ms: self.time.busy_ms,
            nodes: self.nodes(),
            brokers: self.brokers(),
            racks: self.cluster.racks(),
            losses: self.losses(),
            lasting_ms: self.faults.lasting_ms,
            losable: (self.nodes().split_off(self.cluster.nodes as usize), self.faults.lost_controllers),
            clients: [self.producers(), self.consumers(), self.rack_readers()].concat(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = r#"
        name = "x"
        claim = "Something holds."
        expect = "pass"
        row = { acks = "all", flush = "1" }
    "#;

    fn error(text: &str) -> String {
        Scenario::parse("x.toml", text).expect_err("it is wrong").to_string()
    }

    #[test]
    fn what_is_left_out_has_a_default() {
        let scenario = Scenario::parse("x.toml", HEAD).expect("it is complete");
        assert_eq!(scenario.keys().len(), 2);
        assert_eq!(scenario.time, Time::default());
        assert!(scenario.fault_kinds().is_empty());
    }

    #[test]
    fn what_is_not_known_is_refused_by_name() {
        let unknown = error(&format!("{HEAD}\n[workload]\nproducer = 3"));
        assert!(unknown.starts_with("x.toml: ") && unknown.contains("unknown field `producer`"), "{unknown}");
        let fault = error(&format!("{HEAD}\n[faults.weights]\nearthquake = 1"));
        assert!(fault.contains("unknown variant `earthquake`"), "{fault}");
        assert!(error(&format!("{HEAD}\n[time]\nbusy-ms = 0")).contains("time.busy-ms must be positive"));
        let config = |line: &str| error(&format!("{HEAD}\n[cluster]\n{line}"));
        assert!(config("topic = { \"segment.byte\" = \"1\" }").contains("segment.byte is no topic config"));
        assert!(config("topic = { \"retention.ms\" = \"soon\" }").contains("retention.ms"));
        assert!(config("broker = { \"log.dir\" = \"/\", x = \"1\" }").contains("x is no broker config"));
    }

    #[test]
    fn a_claim_must_fit_its_row() {
        let beyond = HEAD.replace("flush = \"1\"", "flush = \"off\"") + "[faults.weights]\npower-loss = 1";
        assert_eq!(
            error(&beyond),
            "x.toml: expects to pass, but power-loss is beyond acks=all flush.messages=off"
        );
        let fails = |oracle: &str| HEAD.replace("\"pass\"", &format!("{{ fail = [{oracle}] }}"));
        assert!(error(&fails("\"unseen\"")).contains("survives its faults"));
        assert!(error(&fails("\"luck\"")).contains("no oracle"));
        let tight = fails("\"unseen\"").replace("flush = \"1\"", "flush = \"off\"")
            + "[faults.weights]\npower-loss = 1";
        Scenario::parse("x.toml", &tight).expect("a fault beyond the row makes it fail");
    }

    #[test]
    fn a_cluster_must_be_one_that_can_be() {
        let cluster = |lines: &str| format!("{HEAD}\n[cluster]\n{lines}");
        assert!(error(&cluster("nodes = 2\nreplicas = 3")).contains("3 replicas need as many nodes, not 2"));
        assert!(error(&cluster("nodes = 3\nreplicas = 1\nmin-insync = 2")).contains("cannot be in sync"));
        assert!(error(&cluster("nodes = 3\ndraw-nodes = true\nreplicas = 2")).contains("draws the nodes"));
        let scenario = Scenario::parse("x.toml", &cluster("nodes = 5\nracks = 2")).expect("it is right");
        assert_eq!(scenario.cluster.copies(), Copies { replicas: 3, min_insync: 2 });
        let racks: Vec<usize> = scenario.cluster.racks().iter().map(Vec::len).collect();
        assert_eq!(racks, [3, 2]);
    }

    #[test]
    fn the_quorum_survives_the_loss_of_a_minority() {
        let text = |expect: &str, controllers: u32, lost: u32| {
            HEAD.replace("\"pass\"", expect)
                + &format!("[cluster]\nnodes = 3\ncontrollers = {controllers}\n")
                + &format!("[faults]\nweights = {{ lose = 1 }}\nlost-controllers = {lost}")
        };
        Scenario::parse("x.toml", &text("\"pass\"", 5, 2)).expect("three of five are left");
        assert!(error(&text("\"pass\"", 5, 3)).contains("expects to pass, but lose is beyond"));
        assert!(error(&text("\"pass\"", 4, 2)).contains("lose is beyond"));
        assert!(error(&text("\"pass\"", 2, 3)).contains("2 controllers can be gone"));
        Scenario::parse("x.toml", &text("{ fail = [\"progress\"] }", 5, 3)).expect("two are too few");
    }

    #[test]
    fn a_row_survives_losses_on_few_machines_only() {
        let text = |expect: &str, machines: u32| {
            HEAD.replace("\"pass\"", expect).replace("flush = \"1\"", "flush = \"off\"")
                + "[cluster]\nnodes = 3\n[faults]\nweights = { power-loss = 1 }\n"
                + &format!("machines = {machines}")
        };
        let scenario = Scenario::parse("x.toml", &text("\"pass\"", 1)).expect("one of three may be lost");
        assert_eq!(scenario.losses().machines, 1);
        assert!(error(&text("\"pass\"", 2)).contains("power-loss is beyond"));
        Scenario::parse("x.toml", &text("{ fail = [\"unseen\"] }", 2)).expect("two are too many");
    }
}
