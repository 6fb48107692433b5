//! The glue: a simulated node is the crate's own, broker and voter in one, started as the binary starts it.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use ottla::config::server::{ServerConfig, single_broker};
use ottla::env::{Env as _, Purpose};
use ottla::node::{self, directories};
use ottla::types::Uuid;
use rand_core::Rng as _;
use tokio::sync::Notify;

use crate::dice::Dice;
use crate::engine::NodeId;
use crate::env::SimEnv;
use crate::net::Net;
use crate::process::Program;
use crate::run::{self, Plan, Report};
use crate::scenario::Cluster;
use crate::trace::Keep;
use crate::workload::{BROKER_PORT, Clients};

/// The directory under the root where the partitions of a node lie. In a cluster it is a disk of its own, apart
/// from the metadata log: a node that loses it is still the voter that it was.
pub const DATA_DISK: &str = "data";
const METADATA_DISK: &str = "metadata";
const CONTROLLER_PORT: u16 = 9093;

/// Plays a plan with real nodes and real clients.
pub fn play(plan: &Plan, keep: Keep) -> Report {
    run::run(plan, keep, Node::of(plan), Clients)
}

/// A node's process.
#[derive(Clone)]
pub struct Node {
    cluster: Arc<Cluster>,
    cluster_id: String,
}

impl Node {
    /// The nodes of a plan.
    pub fn of(plan: &Plan) -> Self {
        let mut dice = Dice::new(plan.seed, NodeId::HARNESS, "cluster id", 0);
        let cluster_id = Uuid::from_random(|| u128::from(dice.bits()) << 64 | u128::from(dice.bits()));
        let cluster = Arc::new(plan.scenario.cluster.clone());
        Self { cluster, cluster_id: cluster_id.to_string() }
    }

    /// Formats the directories that are not: all at first, and later those on a disk that was replaced.
    async fn format(&self, env: &SimEnv, config: &ServerConfig) -> Result<(), directories::DirectoryError> {
        let mut rng = env.rng(Purpose { subsystem: "cli", what: "directory-id", instance: 0 });
        for path in config.log_dirs.iter().chain([&config.metadata_log_dir]) {
            if !directories::is_formatted(env.disk(), path).await? {
                let id = Uuid::from_random(|| u128::from(rng.next_u64()) << 64 | u128::from(rng.next_u64()));
                directories::format(env.disk(), path, &self.cluster_id, config.node_id, id).await?;
            }
        }
        Ok(())
    }

    fn config(&self, own: NodeId) -> ServerConfig {
        let cluster = &self.cluster;
        let data = format!("/{DATA_DISK}");
        let mut texts =
            single_broker(&format!("{}:{BROKER_PORT}", Net::address_of(own)), CONTROLLER_PORT, &data);
        let voter = |id: u32| format!("{id}@{}:{CONTROLLER_PORT}", Net::address_of(NodeId(id)));
        let voters: Vec<String> = (1..=cluster.nodes).map(voter).collect();
        let rack = cluster.racks().iter().position(|rack| rack.contains(&own));
        let copies = cluster.copies();
        let mut set = |name: &str, value: String| texts.insert(name.to_owned(), value);
        set("node.id", own.0.to_string());
        set("controller.quorum.voters", voters.join(","));
        set("default.replication.factor", copies.replicas.to_string());
        set("min.insync.replicas", copies.min_insync.to_string());
        set("broker.rack", format!("rack-{}", rack.expect("every node stands in a rack") + 1));
        if cluster.nodes > 1 {
            set("metadata.log.dir", format!("/{METADATA_DISK}"));
        }
        texts.extend(cluster.broker.clone());
        let (config, _warnings) = ServerConfig::parse(texts).expect("the configuration is right");
        config
    }
}

impl Program for Node {
    /// Formats its disks if nobody has yet, serves, and stops when asked; ends when the node cannot go on.
    async fn run(&self, env: SimEnv, stop: Arc<Notify>) -> Result<(), String> {
        let config = self.config(env.life().node);
        self.format(&env, &config).await.map_err(|error| error.to_string())?;
        let mut node = node::start(env, config).await.map_err(|error| error.to_string())?;
        let failure = {
            let (mut failed, mut stopped) = (pin!(node.failed()), pin!(stop.notified()));
            std::future::poll_fn(|context| {
                if let Poll::Ready(failure) = failed.as_mut().poll(context) {
                    return Poll::Ready(Some(failure));
                }
                stopped.as_mut().poll(context).map(|()| None)
            })
            .await
        };
        match failure {
            Some(failure) => Err(failure.to_string()),
            None => node.shutdown().await.map_err(|error| error.to_string()),
        }
    }
}
