//! The glue: a simulated broker is the crate's own node, started as the binary starts it.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use ottla::config::server::{ServerConfig, single_broker};
use ottla::env::{Env as _, Purpose};
use ottla::node;
use ottla::types::Uuid;
use rand_core::Rng as _;
use tokio::sync::Notify;

use crate::env::SimEnv;
use crate::process::Program;
use crate::run::{self, Plan, Report};
use crate::trace::Keep;
use crate::workload::{BROKER_PORT, Clients};

const CONTROLLER_PORT: u16 = 9093;
const DATA: &str = "/data";

/// Plays a plan with real brokers and real clients.
pub fn play(plan: &Plan, keep: Keep) -> Report {
    let configs = Arc::new(plan.scenario.cluster.broker.clone());
    run::run(plan, keep, Broker { configs }, Clients)
}

/// A broker's process.
#[derive(Clone)]
pub struct Broker {
    /// What the scenario configures, by Kafka's names.
    pub configs: Arc<BTreeMap<String, String>>,
}

impl Program for Broker {
    /// Formats its disk if nobody has yet, serves, and stops when asked; ends when the node cannot go on.
    async fn run(&self, env: SimEnv, stop: Arc<Notify>) -> Result<(), String> {
        let config = config(&env, &self.configs);
        if !node::is_formatted(&env, &config).await.map_err(|error| error.to_string())? {
            let cluster_id = random_id(&env).to_string();
            node::format(&env, &config, &cluster_id).await.map_err(|error| error.to_string())?;
        }
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

fn config(env: &SimEnv, configs: &BTreeMap<String, String>) -> ServerConfig {
    let address = format!("{}:{BROKER_PORT}", crate::net::Net::address_of(env.life().node));
    let mut texts = single_broker(&address, CONTROLLER_PORT, DATA);
    texts.insert("node.id".to_owned(), env.life().node.0.to_string());
    texts.extend(configs.clone());
    let (config, _warnings) = ServerConfig::parse(texts).expect("the configuration is right");
    config
}

fn random_id(env: &SimEnv) -> Uuid {
    let mut rng = env.rng(Purpose { subsystem: "cli", what: "cluster-id", instance: 0 });
    Uuid::from_random(|| u128::from(rng.next_u64()) << 64 | u128::from(rng.next_u64()))
}
