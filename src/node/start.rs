//! From directories to a node that serves.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use rand_core::Rng as _;
use thiserror::Error;
use tokio::sync::{Semaphore, mpsc, oneshot};

use super::budget::Budget;
use super::connection::ConnectionConfig;
use super::context::{Authorizer, PermitAll};
use super::controller_task::{ControllerFailure, ControllerTask};
use super::directories::{self, DirectoryError, DirectoryFailure, FoundDirectory, LogDirectory};
use super::flusher::FlushQueue;
use super::housekeeping::{Housekeeper, Housekeeping, Written, metadata_partition};
use super::listener::{Listener, ListenerConfig};
use super::metadata::{Metadata, Published};
use super::metadata_log::{MetadataLog, MetadataLogError, MetadataLogHints};
use super::replica::Queues;
use super::replicas::{OpenReplicaError, Replicas};
use super::{Node, NodeFailure};
use crate::broker::{Broker, BrokerParts};
use crate::buffers::BufferPool;
use crate::config::listeners::Listener as ListenerAddress;
use crate::config::server::ServerConfig;
use crate::controller::features::SUPPORTED_FEATURES;
use crate::controller::image::{FeatureRange, Image};
use crate::controller::{Controller, Decision, Heartbeats, MAX_RECORDS_PER_REQUEST, Refusal, Settings};
use crate::env::{Clock, Disk, Env, Listener as _, Network, NetworkError, Purpose, Rng};
use crate::log::LogConfig;
use crate::quorum::VoterKey;
use crate::types::{BrokerEpoch, Offset, Uuid};
use crate::wire::messages::broker_heartbeat::BrokerHeartbeatRequest;
use crate::wire::messages::broker_registration::{BrokerRegistrationRequest, Feature, Listener as Endpoint};

/// Logs that sync at the same time: more than one disk queue wants, fewer than threads cost.
const FLUSHERS: usize = 4;

/// Logs that are prepared at the same time.
const PREPARERS: usize = 4;

/// Memory for requests, unless `queued.max.request.bytes` says otherwise; and for responses.
const BUDGET_BYTES: usize = 256 << 20;

/// Unused buffers that are kept.
const BUFFERS_KEPT_BYTES: usize = 64 << 20;

/// Connections where no limit is configured: what a semaphore can count.
const CONNECTIONS_MAX: usize = 1 << 20;

/// How long a connection may be silent where `connections.max.idle.ms` sets no limit.
const NEVER: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

/// Why a node does not start.
#[derive(Debug, Error)]
pub enum StartError {
    /// A log directory cannot be used.
    #[error(transparent)]
    Directory(#[from] DirectoryError),
    /// The metadata log cannot be used.
    #[error(transparent)]
    Metadata(#[from] MetadataLogError),
    /// A partition cannot be opened.
    #[error(transparent)]
    Replica(#[from] OpenReplicaError),
    /// A listener's host is not an address.
    #[error("listener {name}: cannot resolve {host}")]
    Host {
        /// The listener.
        name: String,
        /// The host.
        host: String,
    },
    /// A listener cannot be bound.
    #[error(transparent)]
    Bind(#[from] NetworkError),
    /// The cluster does not take this broker.
    #[error("the controller refuses this broker: {0}")]
    Refused(#[from] Refusal),
}

/// Starts a node: opens its directories, leads the metadata log, recovers its replicas, registers as a broker
/// and serves.
///
/// # Errors
///
/// [`StartError`]. Nothing is served then, and the directories are as a crash would leave them.
pub async fn start<E: Env>(env: E, config: ServerConfig) -> Result<Node<E>, StartError> {
    let config = Arc::new(config);
    let (failed_directories, directory_failures) = mpsc::unbounded_channel();
    let mut found: Vec<FoundDirectory<E::Disk>> = Vec::new();
    for path in config.directories() {
        found.push(directories::open(env.disk(), &path, config.node_id, failed_directories.clone()).await?);
    }
    let cluster_id = directories::check_cluster(&found)?;
    let mut controller = Controller::new(Settings::new(cluster_id.clone(), &config));
    let mut log = open_metadata(&env, &config, &found, &mut controller).await?;
    commit(&mut log, &mut controller, |controller, _| controller.activate()).await?;

    let queues = Queues { flushes: FlushQueue::default(), preparations: FlushQueue::default() };
    let data: Vec<Arc<LogDirectory>> = found
        .iter()
        .filter(|found| config.log_dirs.iter().any(|path| path == found.directory.path()))
        .map(|found| Arc::clone(&found.directory))
        .collect();
    let server = Arc::new(config.texts.clone());
    let replicas = Replicas::new(env.clone(), config.node_id, server, queues.clone(), data.clone());
    let recovered = Arc::new(controller.metadata().published().clone());
    let left: Vec<_> = found
        .iter()
        .filter(|found| data.iter().any(|directory| Arc::ptr_eq(directory, &found.directory)))
        .map(|found| (Arc::clone(&found.directory), found.clean.is_some(), found.checkpoints.clone()))
        .collect();
    let opened = Arc::new(replicas.open_all(&recovered, &left).await?);

    let sockets = bind(&env, &config).await?;
    let endpoints = endpoints::<E>(&config, &sockets);
    let identity = Identity::new(&cluster_id, &found, &data);
    let broker_epoch = register(&env, &config, endpoints, &identity, &mut log, &mut controller).await?;
    let (metadata, commands) = Metadata::new();
    let image = Arc::new(controller.metadata().published().clone());
    // Compared with nothing, so that every replica learns what it is: only now, in its new leader epoch.
    let nothing = Published { image: Arc::new(Image::empty()), replicas: opened };
    let (published, _) = replicas.apply(&nothing, image).await?;
    metadata.publish(published);

    let (housekeeping, chores) = Housekeeping::new();
    let metadata_directory = metadata_directory(&config, &found);
    let mut housekeeper = Housekeeper {
        env: env.clone(),
        config: Arc::clone(&config),
        metadata: metadata.clone(),
        directories: found.iter().map(|found| Arc::clone(&found.directory)).collect(),
        metadata_log: (Arc::clone(&metadata_directory), log.durable_end()),
        written: written(&found),
        queue: chores,
    };
    // What is left of partitions that are gone must not be taken for theirs who come under the same name.
    housekeeper.checkpoint_all().await;
    let (failed, failures) = mpsc::channel(4);
    let (stop_controller, stop) = oneshot::channel();
    let task = ControllerTask {
        controller,
        log,
        rng: env.rng(Purpose { subsystem: "controller", what: "topic-id", instance: broker_epoch.0 as u64 }),
        metadata: metadata.clone(),
        replicas,
        housekeeping: housekeeping.clone(),
        commands,
        stop,
    };
    let mut workers = queues.flushes.start(&env, FLUSHERS);
    workers.extend(queues.preparations.start(&env, PREPARERS));
    let supervisor = Supervisor {
        metadata: metadata.clone(),
        data,
        metadata_directory,
        failures: directory_failures,
        failed: failed.clone(),
    };
    let buffers = BufferPool::new(BUFFERS_KEPT_BYTES);
    let broker = new_broker(&env, &config, cluster_id, broker_epoch, &metadata, &housekeeping, &buffers);
    let listeners = serve(&env, &config, &broker, sockets, buffers);
    Ok(Node {
        broker_epoch,
        listeners,
        metadata,
        housekeeping,
        directories: found.iter().map(|found| Arc::clone(&found.directory)).collect(),
        workers,
        housekeeper: env.spawn("housekeeper", housekeeper.run()),
        supervisor: env.spawn("supervisor", supervisor.run()),
        controller: env.spawn("controller", supervise_controller(task, failed)),
        stop_controller,
        failures,
        has_failed: false,
        locks: found.into_iter().map(|found| found.lock).collect(),
        env,
    })
}

fn metadata_directory<D: crate::env::Disk>(
    config: &ServerConfig,
    found: &[FoundDirectory<D>],
) -> Arc<LogDirectory> {
    let is_it = |found: &&FoundDirectory<D>| found.directory.path() == Path::new(&config.metadata_log_dir);
    Arc::clone(&found.iter().find(is_it).expect("it is one of the paths").directory)
}

async fn open_metadata<E: Env>(
    env: &E,
    config: &ServerConfig,
    found: &[FoundDirectory<E::Disk>],
    controller: &mut Controller,
) -> Result<MetadataLog<E>, MetadataLogError> {
    let directory = metadata_directory(config, found);
    let left = found.iter().find(|found| Arc::ptr_eq(&found.directory, &directory)).expect("it was found");
    let recovery_point = left.checkpoints.recovery_points.get(&metadata_partition());
    let hints = MetadataLogHints {
        clean: left.clean.is_some(),
        recovery_point: recovery_point.copied().unwrap_or(Offset::ZERO),
    };
    let own = VoterKey { id: config.node_id, directory: directory.id() };
    let log_config = LogConfig {
        segment_bytes: u32::try_from(config.metadata_segment_bytes).unwrap_or(u32::MAX),
        segment_ms: i64::try_from(config.metadata_segment_age.as_millis()).unwrap_or(i64::MAX),
        retention_ms: -1,
        retention_bytes: -1,
        ..LogConfig::default()
    };
    MetadataLog::open(env.clone(), &directory, own, log_config, hints, controller).await
}

/// What the checkpoint files hold, by directory and name.
fn written<D: Disk>(found: &[FoundDirectory<D>]) -> Written {
    let files = |found: &FoundDirectory<D>| {
        let path = found.directory.path().to_owned();
        found.checkpoints.files().map(|(name, content)| ((path.clone(), name), content.clone()))
    };
    found.iter().flat_map(files).collect()
}

/// Makes one decision of the controller and commits it, before there is a task that does.
async fn commit<E: Env, R>(
    log: &mut MetadataLog<E>,
    controller: &mut Controller,
    decide: impl FnOnce(&Controller, Offset) -> Decision<R>,
) -> Result<R, MetadataLogError> {
    let decision = decide(controller, log.log_end());
    // What need not be one batch must not be: a restart changes any number of partitions.
    let most = if decision.atomic { usize::MAX } else { MAX_RECORDS_PER_REQUEST };
    for batch in decision.records.chunks(most) {
        log.append(batch, controller).await?;
    }
    Ok(decision.response)
}

/// Registers this broker and lets it lead. Controller and broker are one, and hold the directories' locks: an
/// earlier run of the broker is dead, whatever its session would say, and there is no heartbeat to wait for.
async fn register<E: Env>(
    env: &E,
    config: &ServerConfig,
    endpoints: Vec<Endpoint>,
    identity: &Identity,
    log: &mut MetadataLog<E>,
    controller: &mut Controller,
) -> Result<BrokerEpoch, StartError> {
    let instance = log.log_end().0 as u64;
    let mut rng = env.rng(Purpose { subsystem: "node", what: "incarnation-id", instance });
    let feature = |(name, range): &(&str, FeatureRange)| Feature {
        name: (*name).to_owned(),
        min_supported_version: range.min,
        max_supported_version: range.max,
    };
    let registration = BrokerRegistrationRequest {
        broker_id: config.node_id.0,
        cluster_id: identity.cluster_id.clone(),
        incarnation_id: random_uuid(&mut rng),
        listeners: endpoints,
        features: SUPPORTED_FEATURES.iter().map(feature).collect(),
        rack: config.rack.clone(),
        is_migrating_zk_broker: false,
        log_dirs: identity.log_dirs.clone(),
        previous_broker_epoch: identity.previous_epoch.0,
    };
    let mut heartbeats = Heartbeats::new(Duration::ZERO);
    let now = env.clock().now();
    let epoch = commit(log, controller, |controller, next| {
        controller.register_broker(&registration, &heartbeats, now, next)
    })
    .await??;
    commit(log, controller, |controller, next| {
        let heartbeat = BrokerHeartbeatRequest {
            broker_id: config.node_id.0,
            broker_epoch: epoch.0,
            current_metadata_offset: next.0 - 1,
            ..BrokerHeartbeatRequest::default()
        };
        controller.broker_heartbeat(&heartbeat, &mut heartbeats, now, next)
    })
    .await??;
    Ok(epoch)
}

/// What a broker registers with besides its configuration.
struct Identity {
    cluster_id: String,
    log_dirs: Vec<Uuid>,
    /// The epoch that a clean stop left behind in all directories, else none.
    previous_epoch: BrokerEpoch,
}

impl Identity {
    fn new<D: Disk>(cluster_id: &str, found: &[FoundDirectory<D>], data: &[Arc<LogDirectory>]) -> Self {
        let is_data = |it: &&FoundDirectory<D>| data.iter().any(|dir| Arc::ptr_eq(dir, &it.directory));
        let mut epochs = found.iter().filter(is_data).map(|it| it.clean.unwrap_or(BrokerEpoch::NONE));
        let first = epochs.next().unwrap_or(BrokerEpoch::NONE);
        Self {
            cluster_id: cluster_id.to_owned(),
            log_dirs: data.iter().map(|directory| directory.id()).collect(),
            previous_epoch: if epochs.all(|epoch| epoch == first) { first } else { BrokerEpoch::NONE },
        }
    }
}

/// A bound socket and the listener that it is for.
type Socket<E> = (ListenerAddress, <<E as Env>::Network as Network>::Listener);

async fn bind<E: Env>(env: &E, config: &ServerConfig) -> Result<Vec<Socket<E>>, StartError> {
    let mut sockets = Vec::new();
    for listener in &config.listeners {
        let address = SocketAddr::new(listen_address(listener)?, listener.port);
        sockets.push((listener.clone(), env.network().bind(address).await?));
    }
    for ListenerAddress { name, .. } in &config.controller_listeners {
        tracing::info!(listener = name, "not bound: the only controller runs in this process");
    }
    Ok(sockets)
}

/// The address to listen on: an empty host means every interface.
fn listen_address(listener: &ListenerAddress) -> Result<IpAddr, StartError> {
    let host = listener.host.trim_matches(|bracket| bracket == '[' || bracket == ']');
    match host {
        "" => Ok(IpAddr::V6(Ipv6Addr::UNSPECIFIED)),
        "localhost" => Ok(IpAddr::V4(Ipv4Addr::LOCALHOST)),
        _ => host
            .parse()
            .map_err(|_| StartError::Host { name: listener.name.clone(), host: listener.host.clone() }),
    }
}

/// Where clients are told to connect: what is advertised for a listener, else where it listens, with the port
/// that was bound where that says 0. A listener on every interface and without an advertised host is registered
/// without one: clients are told the address that they have dialled, which they can reach.
fn endpoints<E: Env>(config: &ServerConfig, sockets: &[Socket<E>]) -> Vec<Endpoint> {
    let endpoint = |(listener, socket): &Socket<E>| {
        let same = |advertised: &&ListenerAddress| advertised.name == listener.name;
        let advertised = config.advertised_listeners.iter().find(same).unwrap_or(listener);
        let any = matches!(advertised.host.as_str(), "0.0.0.0" | "::" | "[::]");
        Endpoint {
            name: advertised.name.clone(),
            host: if any { String::new() } else { advertised.host.clone() },
            port: if advertised.port == 0 { socket.local_address().port() } else { advertised.port },
            security_protocol: advertised.protocol as i16,
        }
    };
    sockets.iter().map(endpoint).collect()
}

fn new_broker<E: Env>(
    env: &E,
    config: &Arc<ServerConfig>,
    cluster_id: String,
    broker_epoch: BrokerEpoch,
    metadata: &Metadata<E>,
    housekeeping: &Housekeeping,
    buffers: &BufferPool,
) -> Broker<E> {
    Broker::new(BrokerParts {
        env: env.clone(),
        config: Arc::clone(config),
        cluster_id,
        broker_epoch,
        metadata: metadata.clone(),
        housekeeping: housekeeping.clone(),
        responses: Budget::new("responses", BUDGET_BYTES.max(config.fetch_max_bytes)),
        buffers: buffers.clone(),
    })
}

fn serve<E: Env>(
    env: &E,
    config: &ServerConfig,
    broker: &Broker<E>,
    sockets: Vec<Socket<E>>,
    buffers: BufferPool,
) -> Vec<Listener<E>> {
    let queued = config.queued_max_request_bytes.map(|bytes| usize::try_from(bytes).unwrap_or(usize::MAX));
    let budget = Budget::new("requests", queued.unwrap_or(BUDGET_BYTES).max(config.socket_request_max_bytes));
    let connection = ConnectionConfig {
        max_request_bytes: config.socket_request_max_bytes,
        max_idle: config.connections_max_idle.unwrap_or(NEVER),
        budget,
        buffers,
    };
    let slots = Arc::new(Semaphore::new(config.max_connections.min(CONNECTIONS_MAX)));
    let ids = Arc::new(AtomicU64::new(0));
    let authorizer: Arc<dyn Authorizer> = Arc::new(PermitAll);
    let listen = |(listener, socket): Socket<E>| {
        let listener = ListenerConfig {
            name: listener.name,
            address: socket.local_address(),
            slots: Arc::clone(&slots),
            ids: Arc::clone(&ids),
            authorizer: Arc::clone(&authorizer),
            connection: connection.clone(),
        };
        Listener::serve(env, broker.clone(), listener, socket)
    };
    sockets.into_iter().map(listen).collect()
}

/// Takes the replicas of failed directories out of use, and the node with the last one.
struct Supervisor<E: Env> {
    metadata: Metadata<E>,
    data: Vec<Arc<LogDirectory>>,
    metadata_directory: Arc<LogDirectory>,
    failures: mpsc::UnboundedReceiver<DirectoryFailure>,
    failed: mpsc::Sender<NodeFailure>,
}

impl<E: Env> Supervisor<E> {
    async fn run(mut self) {
        while let Some(failure) = self.failures.recv().await {
            for replica in self.metadata.current().replicas.values() {
                if replica.directory().id() == failure.id {
                    replica.fail_storage(&failure.reason);
                }
            }
            let last = !self.data.iter().any(|directory| directory.is_online());
            if last || self.metadata_directory.id() == failure.id {
                // Whoever owns the node stops it; until then there is nothing more to do.
                let _ = self.failed.try_send(failure.into());
            }
        }
    }
}

async fn supervise_controller<E: Env>(task: ControllerTask<E>, failed: mpsc::Sender<NodeFailure>) {
    if let Err(failure) = task.run().await {
        let failure: ControllerFailure = failure;
        tracing::error!(%failure, "the controller has failed");
        let _ = failed.send(failure.into()).await;
    }
}

pub(super) fn random_uuid(rng: &mut Rng) -> Uuid {
    Uuid::from_random(|| u128::from(rng.next_u64()) << 64 | u128::from(rng.next_u64()))
}
