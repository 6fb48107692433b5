//! The brokers as a command finds them: who is there, who is not and why, and what those who are there say of their
//! replicas.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use crate::client::Admin;
use crate::client::admin::{AdminError, BrokerDescription, ClusterDescription};
use crate::client::config::ClientConfig;
use crate::client::connection::Connection;
use crate::client::futures::FutureSet;
use crate::env::Env;
use crate::types::BrokerId;

/// How long one broker is waited for, so that one that is gone does not hold up what the others say.
pub(super) const BROKER_PATIENCE: Duration = Duration::from_secs(2);

/// Brokers by id.
#[derive(Debug, Default)]
pub(super) struct Brokers {
    /// As the cluster describes them.
    pub(super) known: BTreeMap<BrokerId, BrokerDescription>,
    /// Those that do not answer, though they are not fenced, and why.
    pub(super) silent: BTreeMap<BrokerId, String>,
}

/// Why a broker is not there.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Absence {
    /// The cluster does not know it, or not on this listener.
    Unknown(BrokerId),
    /// The controller does not hear from it.
    Fenced(BrokerId),
    /// We do not.
    Silent(BrokerId, String),
}

impl fmt::Display for Absence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown(id) => write!(f, "broker {id} is not among the brokers"),
            Self::Fenced(id) => write!(f, "broker {id} is fenced"),
            Self::Silent(id, error) => write!(f, "broker {id} does not answer ({error})"),
        }
    }
}

impl Brokers {
    /// Dials all brokers of a cluster at once, but those that are fenced.
    pub(super) async fn look_for<E: Env>(
        env: &E,
        config: &ClientConfig,
        described: &ClusterDescription,
    ) -> Self {
        let config = ClientConfig { socket_connection_setup_timeout: BROKER_PATIENCE, ..config.clone() };
        let known: BTreeMap<_, _> = described.brokers.iter().map(|it| (it.id, it.clone())).collect();
        let mut dialling = FutureSet::new();
        let alive: Vec<&BrokerDescription> = known.values().filter(|broker| !broker.fenced).collect();
        for broker in &alive {
            let (env, config) = (env.clone(), config.clone());
            let (id, host, port) = (broker.id, broker.host.clone(), broker.port);
            dialling.push(async move {
                let opened = Connection::open(&env, &host, port, &config).await;
                (id, opened.err())
            });
        }
        let mut silent = BTreeMap::new();
        for _ in 0..alive.len() {
            if let (id, Some(error)) = dialling.next().await {
                silent.insert(id, error);
            }
        }
        Self { known, silent }
    }

    /// Why a broker is not there, unless it is.
    pub(super) fn absence(&self, id: BrokerId) -> Option<Absence> {
        match (self.known.get(&id), self.silent.get(&id)) {
            (None, _) => Some(Absence::Unknown(id)),
            (Some(broker), _) if broker.fenced => Some(Absence::Fenced(id)),
            (_, Some(error)) => Some(Absence::Silent(id, error.clone())),
            _ => None,
        }
    }

    /// Those that are there.
    pub(super) fn present(&self) -> impl Iterator<Item = BrokerId> {
        self.known.keys().copied().filter(|&id| self.absence(id).is_none())
    }

    /// Notes that a broker does not answer any more.
    pub(super) fn lost(&mut self, id: BrokerId, error: &AdminError) {
        self.silent.insert(id, error.to_string());
    }

    /// The cluster's default number of replicas, from the first broker that tells.
    pub(super) async fn default_replicas<E: Env>(&self, admin: &mut Admin<E>) -> Option<usize> {
        for id in self.present() {
            let told = admin.broker_config(id, "default.replication.factor", BROKER_PATIENCE).await;
            if let Ok(Some(text)) = told {
                return text.parse().ok();
            }
        }
        None
    }
}

/// Ids as people read them: `1,2,3`, `-` for none.
pub(super) fn ids(ids: &[BrokerId]) -> String {
    if ids.is_empty() {
        return "-".to_owned();
    }
    let ids: Vec<String> = ids.iter().map(ToString::to_string).collect();
    ids.join(",")
}
