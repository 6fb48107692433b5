//! `ottla cluster`: how the cluster stands.

mod health;
mod text;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::time::Duration;

use super::Stop;
use super::brokers::{BROKER_PATIENCE, Brokers};
use super::terminal::Terminal;
use crate::client::Admin;
use crate::client::admin::{
    AdminError, AskedPartition, PerPartition, QuorumDescription, Reassignment, TopicDescription,
};
use crate::client::config::ClientConfig;
use crate::env::{Clock, Env};
use crate::types::{BrokerId, Offset, WallMs};

/// How long the quorum's leader is waited for: longer than an election takes.
const QUORUM_PATIENCE: Duration = Duration::from_secs(5);

/// What to do with the cluster.
#[derive(Debug, Clone, clap::Subcommand)]
pub enum ClusterCommand {
    /// Show the quorum, the brokers, and which partitions are not as they should be, and why.
    Status,
}

pub(super) async fn run<E: Env>(
    env: &E,
    config: ClientConfig,
    command: ClusterCommand,
    terminal: &mut Terminal,
) -> Result<bool, Stop> {
    let ClusterCommand::Status = command;
    let mut admin = Admin::new(env, config.clone(), 0)?;
    let seen = look(env, &config, &mut admin, terminal).await;
    terminal.unshow().await;
    terminal.print(text::status(&seen?).as_bytes()).await?;
    Ok(true)
}

/// What there is to see of a cluster.
#[derive(Debug)]
struct Seen {
    cluster_id: String,
    quorum: Quorum,
    brokers: Brokers,
    topics: BTreeMap<String, TopicDescription>,
    reassignments: PerPartition<Reassignment>,
    /// `min.insync.replicas` of topics where replicas are out of sync.
    min_isr: BTreeMap<String, usize>,
    /// Where replicas out of sync end, and their leaders.
    log_ends: BTreeMap<BrokerId, PerPartition<Result<Offset, AdminError>>>,
    /// `default.replication.factor`, if a broker tells.
    default_replicas: Option<usize>,
    /// Our own clock.
    now: WallMs,
}

/// What there is to see of the quorum.
#[derive(Debug)]
enum Quorum {
    Led(QuorumDescription),
    /// No leader answers.
    Silent(String),
    /// These brokers do not tell.
    Untold(String),
}

/// Asks for everything; a broker that does not answer is left out.
async fn look<E: Env>(
    env: &E,
    config: &ClientConfig,
    admin: &mut Admin<E>,
    terminal: &mut Terminal,
) -> Result<Seen, AdminError> {
    terminal.show("looking for the brokers").await;
    let described = admin.describe_cluster().await?;
    let brokers = Brokers::look_for(env, config, &described).await;
    terminal.show("reading what the cluster knows of its partitions").await;
    let topics = admin.describe_partitions(None).await?;
    let topics: BTreeMap<_, _> =
        topics.into_iter().filter_map(|(name, topic)| Some((name, topic.ok()?))).collect();
    terminal.show("asking the leader of the quorum").await;
    let quorum = look_at_quorum(admin).await;
    let mut seen = Seen {
        cluster_id: described.cluster_id,
        reassignments: BTreeMap::new(),
        min_isr: BTreeMap::new(),
        log_ends: BTreeMap::new(),
        default_replicas: None,
        now: env.clock().wall(),
        quorum,
        brokers,
        topics,
    };
    if !matches!(seen.quorum, Quorum::Silent(_)) {
        // The same leader answers. Brokers before Kafka 2.4 know no reassignments.
        seen.reassignments = admin.list_reassignments(QUORUM_PATIENCE).await.unwrap_or_default();
    }
    terminal.show("reading configurations").await;
    seen.default_replicas = seen.brokers.default_replicas(admin).await;
    let names = seen.topics_out_of_sync();
    for (name, value) in admin.topic_config(&names, "min.insync.replicas").await? {
        let value = value.ok().flatten().and_then(|text| text.parse().ok());
        seen.min_isr.extend(value.map(|value| (name, value)));
    }
    for (broker, partitions) in seen.whom_to_ask() {
        terminal.show(&format!("asking broker {broker} where its replicas end")).await;
        match admin.replica_log_ends(broker, &partitions, BROKER_PATIENCE).await {
            Ok(ends) => {
                seen.log_ends.insert(broker, ends);
            }
            Err(error) => seen.brokers.lost(broker, &error),
        }
    }
    Ok(seen)
}

async fn look_at_quorum<E: Env>(admin: &mut Admin<E>) -> Quorum {
    match admin.describe_quorum(QUORUM_PATIENCE).await {
        Ok(quorum) => Quorum::Led(quorum),
        Err(AdminError::Unsupported(text)) => Quorum::Untold(text),
        Err(error @ AdminError::Refused { .. }) if error.code().is_some_and(|code| !code.is_retriable()) => {
            Quorum::Untold(error.to_string())
        }
        Err(error) => Quorum::Silent(error.to_string()),
    }
}

impl Seen {
    fn topics_out_of_sync(&self) -> Vec<String> {
        let is_out = |topic: &TopicDescription| topic.partitions.values().any(|it| !it.osr().is_empty());
        let out = self.topics.iter().filter(|(_, topic)| is_out(topic));
        out.map(|(name, _)| name.clone()).collect()
    }

    /// Who is asked where which replicas end: those out of sync whose brokers are there, and what they follow.
    fn whom_to_ask(&self) -> BTreeMap<BrokerId, Vec<AskedPartition>> {
        let mut asked: BTreeMap<BrokerId, Vec<AskedPartition>> = BTreeMap::new();
        for (name, topic) in &self.topics {
            for (&index, partition) in &topic.partitions {
                let out = partition.osr().into_iter();
                let behind: Vec<BrokerId> = out
                    .filter(|&id| self.brokers.absence(id).is_none() && !partition.offline.contains(&id))
                    .collect();
                let leader = partition.leader.filter(|&id| self.brokers.absence(id).is_none());
                let Some(leader) = leader.filter(|_| !behind.is_empty()) else { continue };
                for id in behind.into_iter().chain([leader]) {
                    asked.entry(id).or_default().push(AskedPartition {
                        topic: name.clone(),
                        topic_id: topic.id,
                        index,
                    });
                }
            }
        }
        asked
    }
}
