//! The glue: a simulated node is the crate's own, started as the binary starts it.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use ottla::config::server::{ServerConfig, single_broker};
use ottla::controller::image::ELR_VERSION;
use ottla::node::{self, FormatPlan};
use ottla::types::Uuid;
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

    fn config(&self, own: NodeId) -> ServerConfig {
        let (cluster, address) = (&self.cluster, Net::address_of(own));
        let (data, metadata) = (format!("/{DATA_DISK}"), format!("/{METADATA_DISK}"));
        let mut texts = single_broker(&format!("{address}:{BROKER_PORT}"), CONTROLLER_PORT, &data);
        let voter = |id: &NodeId| format!("{}@{}:{CONTROLLER_PORT}", id.0, Net::address_of(*id));
        let voters: Vec<String> = cluster.voters().iter().map(voter).collect();
        let rack = cluster.racks().iter().position(|rack| rack.contains(&own));
        let copies = cluster.copies();
        let (serves, votes) = (cluster.brokers().contains(&own), cluster.voters().contains(&own));
        let mut set = |name: &str, value: String| texts.insert(name.to_owned(), value);
        set("node.id", own.0.to_string());
        set("controller.quorum.voters", voters.join(","));
        set("default.replication.factor", copies.replicas.to_string());
        set("min.insync.replicas", copies.min_insync.to_string());
        set("broker.rack", format!("rack-{}", rack.expect("every node stands in a rack") + 1));
        // A broker that gives up would have to be told from one that breaks: here the controllers come back.
        set("initial.broker.registration.timeout.ms", "86400000".to_owned());
        if cluster.all().len() > 1 {
            set("metadata.log.dir", metadata.clone());
        }
        if !votes {
            set("process.roles", "broker".to_owned());
            set("listeners", format!("PLAINTEXT://{address}:{BROKER_PORT}"));
        }
        if !serves {
            set("process.roles", "controller".to_owned());
            set("listeners", format!("CONTROLLER://{address}:{CONTROLLER_PORT}"));
            set("log.dirs", metadata);
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
        let mut plan = FormatPlan { ignore_formatted: true, ..FormatPlan::new(&self.cluster_id) };
        if self.cluster.eligible == Some(false) {
            plan.features.retain(|(name, _)| name != ELR_VERSION);
        }
        node::format_by(&env, &config, &plan).await.map_err(|error| error.to_string())?;
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
