//! What clients do: the crate's own producers, consumers and admin, talking Kafka's bytes.
//!
//! Producers send values, each once, to partitions at random and keep track of what became of them. Consumers
//! read everything, go back now and then, and rest now and then. Once all has healed every producer sends to
//! every partition until that is acknowledged; when all producers have ended, an auditor reads every partition
//! from its beginning to its end, and looks some of its records up by their timestamps. Where a scenario asks
//! for it, somebody deletes records meanwhile; elsewhere a pedant sends what no producer would. Where it asks for
//! that, too, others read from the replicas of their racks, keep asking where logs end, or operate the cluster.

mod audit;
mod consume;
mod delete;
mod ends;
mod operate;
pub mod payload;
mod pedant;
mod produce;
mod rack;
mod raw;

use std::time::Duration;

use ottla::client::ClientConfig;
use ottla::client::admin::{Admin, ClusterDescription, NewTopic};
use ottla::client::consumer::{ConsumeError, TopicPartition};
use ottla::env::{Clock as _, Env as _, Task as _};
use ottla::error_code::ErrorCode;

use crate::engine::{NodeId, TaskHandle};
use crate::env::SimEnv;
use crate::faults::FaultKind;
use crate::guarantee::Flush;
use crate::history::{Key, What};
use crate::run::{Stage, Workload};
use crate::scenario::Scenario;

/// The port where brokers answer.
pub const BROKER_PORT: u16 = 9092;

/// The clients of a scenario.
#[derive(Clone)]
pub struct Clients;

impl Workload for Clients {
    async fn run(&self, stage: Stage) {
        let scenario = stage.scenario.clone();
        let mut admin = create_topics(&stage, scenario.auditor()).await;
        name_topics(&stage, scenario.auditor(), &mut admin).await;
        let consumers: Vec<TaskHandle> = scenario
            .consumers()
            .into_iter()
            .map(|node| {
                let (env, stage) = (stage.world.env(node), stage.clone());
                env.clone().spawn("consumer", consume::consume(stage, env))
            })
            .collect();
        let producers: Vec<TaskHandle> = scenario
            .producers()
            .into_iter()
            .map(|node| {
                let (env, stage) = (stage.world.env(node), stage.clone());
                env.clone().spawn("producer", produce::produce(stage, env))
            })
            .collect();
        let deleter = (scenario.workload.delete_records_every_ms > 0).then(|| {
            let env = stage.world.env(scenario.deleter());
            env.clone().spawn("deleter", delete::delete(stage.clone(), env))
        });
        let pedant = scenario.insists().then(|| {
            let env = stage.world.env(scenario.pedant());
            env.clone().spawn("pedant", pedant::insist(stage.clone(), env))
        });
        let workload = &scenario.workload;
        let asker = (workload.ask_ends_every_ms > 0).then(|| {
            let env = stage.world.env(scenario.asker());
            env.clone().spawn("asker", ends::ask(stage.clone(), env))
        });
        let operator = (workload.operate_every_ms > 0).then(|| {
            let env = stage.world.env(scenario.operator());
            env.clone().spawn("operator", operate::operate(stage.clone(), env))
        });
        let rack_readers = scenario.rack_readers().into_iter().map(|node| {
            let (env, stage) = (stage.world.env(node), stage.clone());
            env.clone().spawn("rack reader", rack::read(stage, env))
        });
        let others: Vec<TaskHandle> = rack_readers.chain(asker).chain(operator).collect();
        for client in producers.into_iter().chain(deleter).chain(pedant).chain(others) {
            client.join().await;
        }
        audit::audit(&stage, stage.world.env(scenario.auditor())).await;
        for consumer in consumers {
            consumer.join().await;
        }
    }
}

/// Where the brokers are, and how patient a client of theirs is: less than the defaults, which outlast a run.
fn client_config(stage: &Stage, env: &SimEnv) -> ClientConfig {
    let server = |node: &NodeId| format!("{node}:{BROKER_PORT}");
    ClientConfig {
        bootstrap_servers: stage.scenario.brokers().iter().map(server).collect(),
        client_id: env.life().node.to_string(),
        request_timeout: Duration::from_secs(5),
        default_api_timeout: Duration::from_secs(10),
        socket_connection_setup_timeout: Duration::from_secs(2),
        ..ClientConfig::default()
    }
}

fn partition_of(key: Key) -> TopicPartition {
    TopicPartition::new(&key.topic_name(), key.partition)
}

/// Creates the topics; asks again until they are there, whatever comes in between.
async fn create_topics(stage: &Stage, node: NodeId) -> Admin<SimEnv> {
    let scenario = &stage.scenario;
    let env = stage.world.env(node);
    let name = |topic| Key { topic, partition: 0 }.topic_name();
    let topics = 0..scenario.cluster.topics;
    let mut topics: Vec<NewTopic> =
        topics.map(|topic| new_topic(scenario, &name(topic), scenario.cluster.partitions)).collect();
    let mut admin = Admin::new(&env, client_config(stage, &env), 0).expect("the addresses are well-formed");
    let loses_disks =
        scenario.fault_kinds().iter().any(|kind| matches!(kind, FaultKind::Wipe | FaultKind::CascadeWipe));
    if scenario.cluster.shares_racks() || loses_disks {
        await_brokers(stage, &env, &mut admin).await;
    }
    while !topics.is_empty() {
        let created = admin.create_topics(&topics, false).await;
        for (name, outcome) in created.into_iter().flatten() {
            let is_there =
                outcome.as_ref().map_or_else(|e| e.code() == Some(ErrorCode::TopicAlreadyExists), |_| true);
            if is_there {
                topics.retain(|topic| topic.name != name);
            }
        }
        env.clock().sleep(Duration::from_millis(100)).await;
    }
    admin
}

/// Replicas are spread over the racks that are there, and in sync at once on the brokers that are: where a claim rests
/// on either, all have to be. An ISR that begins with a single member goes with the disk of that one.
async fn await_brokers(stage: &Stage, env: &SimEnv, admin: &mut Admin<SimEnv>) {
    let all = stage.scenario.brokers().len();
    let serving =
        |cluster: &ClusterDescription| cluster.brokers.iter().filter(|broker| !broker.fenced).count();
    while admin.describe_cluster().await.map_or(0, |cluster| serving(&cluster)) < all {
        env.clock().sleep(Duration::from_millis(100)).await;
    }
}

/// A topic as the scenario asks for.
fn new_topic(scenario: &Scenario, name: &str, partitions: i32) -> NewTopic {
    let flush = match scenario.row.flush {
        Flush::EveryMessage => "1".to_owned(),
        Flush::Off => i64::MAX.to_string(),
    };
    let copies = scenario.cluster.copies();
    let replicas = i16::try_from(copies.replicas).expect("no more than there are nodes");
    let mut new = NewTopic::new(name, partitions, replicas);
    new.configs.insert("flush.messages".to_owned(), flush);
    new.configs.insert("min.insync.replicas".to_owned(), copies.min_insync.to_string());
    // Steps take a simulated wall clock days off: a broker that refuses timestamps an hour ahead of its own, as
    // Kafka's default has it, would then refuse everything, and be right.
    new.configs.insert("message.timestamp.after.max.ms".to_owned(), i64::MAX.to_string());
    new.configs.extend(scenario.cluster.topic.clone());
    new
}

/// Writes down the topics' ids, by which the broker speaks of them to whoever watches it.
async fn name_topics(stage: &Stage, node: NodeId, admin: &mut Admin<SimEnv>) {
    let env = stage.world.env(node);
    let topics = 0..stage.scenario.cluster.topics;
    let names: Vec<String> = topics.map(|topic| Key { topic, partition: 0 }.topic_name()).collect();
    let described = loop {
        let described = admin.describe_topics(&names).await.unwrap_or_default();
        let known: Vec<_> = described.into_iter().filter_map(|(_, topic)| topic.ok()).collect();
        if known.len() == names.len() {
            break known;
        }
        env.clock().sleep(Duration::from_millis(100)).await;
    };
    for (topic, described) in (0..).zip(described) {
        stage.history.record(node, What::Named { topic, id: described.id.0 });
    }
}

/// Writes down a consumer's complaint if the log is not as it was, or not as it should be; says in which
/// partition the consumer has to begin anew.
fn take_complaint(stage: &Stage, env: &SimEnv, error: &ConsumeError) -> Option<TopicPartition> {
    let record = |what| stage.history.record(env.life().node, what);
    let key = |partition: &TopicPartition| {
        let keys = stage.scenario.keys();
        let key = keys.into_iter().find(|key| partition_of(*key) == *partition);
        key.expect("a consumer complains of what it was assigned")
    };
    let detail = error.to_string();
    match error {
        ConsumeError::Corrupt { partition, offset, .. } => {
            record(What::Garbled { key: key(partition), offset: offset.0, detail });
            Some(partition.clone())
        }
        ConsumeError::OffsetOutOfRange { partition, offset }
        | ConsumeError::LogTruncated { partition, offset } => {
            record(What::PositionLost { key: key(partition), offset: offset.0, detail });
            Some(partition.clone())
        }
        ConsumeError::Refused { .. } => None,
    }
}
