//! From directories to a node that serves.
//!
//! 1. The directories are locked and read, the metadata log is looked at, the sockets are bound and found to be where
//!    others are told. Only then anything on disk is touched: whoever is refused comes back to what there was.
//! 2. The quorum's task runs, and the controller's listeners answer: several nodes that start together find each
//!    other.
//! 3. A broker registers with the active controller. When its registration is in its metadata, it opens its
//!    replicas, answers clients, and asks to be unfenced. Then it is ready.

use std::future::Future;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rand_core::Rng as _;
use thiserror::Error;
use tokio::sync::{mpsc, oneshot};

use super::broker_run;
use super::budget::Budget;
use super::controller_channel::ControllerChannel;
use super::controller_registration::RegistersController;
use super::directories::{self, DirectoryError, DirectoryFailure, FoundDirectory, LogDirectory};
use super::housekeeping::{Housekeeper, Housekeeping, Written, metadata_partition};
use super::lifecycle::{Leaving, Lifecycle};
use super::metadata::Metadata;
use super::publisher::{BrokerSide, Publisher, Publishing, Registered};
use super::raft::{
    self, ControllerTimers, Inspected, KRAFT_VERSIONS, Message, MetadataLogError, Raft, RaftLog,
    RaftLogHints, RaftParts, RaftTask,
};
use super::reachable::{self, Unreachable};
use super::replicas::{FoundReplicas, METADATA_DIRECTORY, Replicas};
use super::replication::{self, Replication};
use super::sockets::{BUDGET_BYTES, Serving, Sockets, broker_endpoints, controller_endpoints};
use super::storage::bootstrap_records;
use super::throttles::Throttles;
use super::{Node, NodeFailure};
use crate::broker::{Broker, BrokerParts};
use crate::buffers::BufferPool;
use crate::config::listeners::HostPort;
use crate::config::server::{QuorumSettings, ServerConfig, SnapshotSettings};
use crate::controller::Settings;
use crate::controller::features::all_supported;
use crate::controller::image::FeatureRange;
use crate::env::{Clock, Disk, DiskError, Env, NetworkError, Purpose, Rng};
use crate::log::LogConfig;
use crate::quorum::{Address, Identity, QuorumConfig, SnapshotPolicy, VoterKey, VoterNode, VoterSet};
use crate::types::{BrokerId, Offset, Uuid};
use crate::wire::control::Endpoint;
use crate::wire::messages::broker_registration::{
    BrokerRegistrationRequest, Feature, Listener as BrokerEndpoint,
};
use crate::wire::messages::controller_registration::{self, ControllerRegistrationRequest};
use crate::wire::metadata::MetadataRecord;

/// Logs that sync at the same time: more than one disk queue wants, fewer than threads cost.
const FLUSHERS: usize = 4;

/// Logs that are prepared at the same time.
const PREPARERS: usize = 4;

/// Unused buffers that are kept.
const BUFFERS_KEPT_BYTES: usize = 64 << 20;

/// Why a node does not start.
#[derive(Debug, Error)]
pub enum StartError {
    /// A log directory cannot be used.
    #[error(transparent)]
    Directory(#[from] DirectoryError),
    /// The disk failed.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// The metadata log cannot be used.
    #[error(transparent)]
    Metadata(#[from] MetadataLogError),
    /// A listener's host has no address.
    #[error("listener {name}: {error}")]
    Host {
        /// The listener.
        name: String,
        /// Why.
        error: NetworkError,
    },
    /// A listener cannot be bound.
    #[error("listener {name}: {error}; if another process is there, stop it or choose another port")]
    Bind {
        /// The listener.
        name: String,
        /// Why.
        error: NetworkError,
    },
    /// An address that others are told leads elsewhere.
    #[error(transparent)]
    Unreachable(#[from] Unreachable),
    /// Something failed on the way.
    #[error(transparent)]
    Node(#[from] NodeFailure),
}

/// Starts a node, and returns when it is ready: a broker when the controller has unfenced it.
///
/// # Errors
///
/// [`StartError`]. Nothing is served then, and the directories are as a crash would leave them; so they are if the
/// future is dropped.
pub async fn start<E: Env>(env: E, config: ServerConfig) -> Result<Node<E>, StartError> {
    // Large, and needed once.
    Box::pin(start_all(env, config)).await
}

async fn start_all<E: Env>(env: E, config: ServerConfig) -> Result<Node<E>, StartError> {
    let config = Arc::new(config);
    let mut directories = Directories::open(&env, &config).await?;
    let inspected = directories.inspect_metadata(&env, &config).await?;
    let mut sockets = Sockets::bind(&env, &config).await?;
    reachable::check(&env, &config, &mut sockets).await?;
    for found in &directories.found {
        found.take_mark(env.disk()).await?;
    }
    let (failed, failures) = mpsc::channel(FAILURES_MAX);
    let (raft, inbox) = Raft::new();
    let publishing = Publishing::default();
    let endpoints = controller_endpoints(&config, &sockets.controllers);
    let listeners = controller_listeners(&config, &endpoints);
    let parts = (raft.clone(), inbox, publishing.clone());
    let task = open_quorum(&env, &config, &directories, inspected, endpoints, parts).await?;
    // The log says how far the node has come, the clock that time has passed since; several nodes can share a
    // process, and its randomness.
    let own = u64::from(config.node_id.0.unsigned_abs()).rotate_left(48);
    let run = task.run_number() ^ env.clock().now().0.rotate_left(20) ^ own;
    let metadata = Metadata::new(raft.clone());
    let registered = Registered::default();
    let (housekeeping, chores) = Housekeeping::new();
    let buffers = BufferPool::new(BUFFERS_KEPT_BYTES);
    let throttles = Throttles::new(&config.replication);
    let broker = Broker::new(BrokerParts {
        env: env.clone(),
        config: Arc::clone(&config),
        cluster_id: directories.cluster_id.clone(),
        registered: registered.clone(),
        raft: raft.clone(),
        run,
        metadata: metadata.clone(),
        controller: ControllerChannel::new(
            env.clone(),
            raft.leadership().clone(),
            "forwarding",
            config.node_id.0,
        ),
        directories: directories.data.clone(),
        housekeeping: housekeeping.clone(),
        responses: Budget::new("responses", BUDGET_BYTES.max(config.fetch_max_bytes)),
        buffers: buffers.clone(),
        throttles: throttles.clone(),
    });
    let mut housekeeper = Housekeeper {
        env: env.clone(),
        config: Arc::clone(&config),
        metadata: metadata.clone(),
        directories: directories.all(),
        metadata_log: (directories.of_metadata(), task.recovery_point()),
        written: written(&directories.found),
        queue: chores,
    };
    let serving = Serving::new(&config, buffers);
    let controller_listeners = serving.controllers(&env, &broker, sockets.controllers);
    let quorum = env.spawn("quorum", supervise(task.run(), failed.clone()));

    let supervisor = Supervisor {
        env: env.clone(),
        metadata: metadata.clone(),
        data: directories.data.clone(),
        metadata_directory: directories.of_metadata(),
        failures: std::mem::replace(&mut directories.failures, mpsc::unbounded_channel().1),
        failed: failed.clone(),
    };
    let (stop_publisher, stop) = oneshot::channel();
    let mut publisher = Publisher { publishing, metadata: metadata.clone(), broker: None, stop };
    let mut node = Node {
        listeners: Vec::new(),
        controller_listeners,
        registered: registered.clone(),
        metadata: metadata.clone(),
        housekeeping: housekeeping.clone(),
        directories: directories.all(),
        data_directories: directories.data.clone(),
        workers: Vec::new(),
        registers_controller: None,
        housekeeper: None,
        supervisor: env.spawn("supervisor", supervisor.run()),
        quorum,
        raft: raft.clone(),
        publisher: None,
        stop_publisher,
        replication: None,
        lifecycle: None,
        leaving: Leaving::default(),
        controlled_shutdown: config.lifecycle.controlled_shutdown,
        failures,
        has_failed: false,
        locks: std::mem::take(&mut directories.locks),
        env: env.clone(),
    };
    let channel = |purpose: &str| {
        ControllerChannel::new(env.clone(), raft.leadership().clone(), purpose, config.node_id.0)
    };
    if config.roles.controller {
        let registers = RegistersController {
            env: env.clone(),
            channel: channel("controller-registration"),
            metadata: metadata.clone(),
            request: controller_registration(&env, &config, listeners, run),
        };
        node.registers_controller = Some(env.spawn("controller-registration", registers.run()));
    }
    if !config.roles.broker {
        node.publisher = Some(env.spawn("publisher", supervise(publisher.run(), failed)));
        node.housekeeper = Some(env.spawn("housekeeper", housekeeper.run()));
        return Ok(node);
    }
    let (queues, inboxes) = replication::queues(housekeeping.clone(), metadata.activity().clone());
    node.replication = Some(Replication::start(
        &env,
        &config,
        (&queues, inboxes),
        channel,
        &registered,
        &metadata,
        &throttles,
    ));
    node.workers = queues.flushes.start(&env, FLUSHERS);
    node.workers.extend(queues.preparations.start(&env, PREPARERS));
    let (replicas_open, open) = oneshot::channel();
    let (serves, served) = oneshot::channel();
    let (is_ready, ready) = oneshot::channel();
    publisher.broker = Some(BrokerSide {
        id: config.node_id,
        replicas: Replicas::new(env.clone(), &config, queues, throttles, directories.data.clone()),
        housekeeping,
        found: directories.found_replicas(),
        registered: registered.clone(),
        opened: Some(replicas_open),
    });
    let endpoints = broker_endpoints(&config, &sockets.clients, &env.host_name());
    let lifecycle = Lifecycle {
        env: env.clone(),
        channel: channel("heartbeat"),
        registration: registration(&env, &config, &directories, endpoints, run).await?,
        registered,
        metadata,
        directories: directories.data.clone(),
        interval: config.lifecycle.heartbeat_interval,
        session_timeout: config.lifecycle.session_timeout,
        registration_timeout: config.lifecycle.registration_timeout,
        trouble: "no controller has answered".to_owned(),
        serves: served,
        ready: Some(is_ready),
        leaving: node.leaving.clone(),
    };
    node.publisher = Some(env.spawn("publisher", supervise(publisher.run(), failed.clone())));
    node.lifecycle = Some(env.spawn("lifecycle", supervise(lifecycle.run(), failed)));
    let left = match node.wait_for(open).await {
        Ok(left) => left,
        Err(failure) => {
            node.give_up(&directories.found).await;
            return Err(failure.into());
        }
    };
    // What is left of partitions that are gone must not be taken for theirs who come under the same name.
    housekeeper.checkpoint_all().await;
    housekeeper.remove_all(left).await;
    node.housekeeper = Some(env.spawn("housekeeper", housekeeper.run()));
    node.listeners = serving.clients(&env, &broker, sockets.clients);
    // If the task has ended, its failure is what is waited for next.
    let _ = serves.send(());
    node.wait_for(ready).await?;
    Ok(node)
}

/// Failures that are kept until somebody asks for them. The first says it all.
const FAILURES_MAX: usize = 8;

/// The metadata log, and what it is to begin with if it is new.
type MetadataFound<E> = (Inspected<<E as Env>::Disk>, Option<Vec<MetadataRecord>>);

/// The directories of a node, locked and read.
struct Directories<E: Env> {
    found: Vec<FoundDirectory>,
    /// Those of partitions.
    data: Vec<Arc<LogDirectory>>,
    metadata_path: PathBuf,
    cluster_id: String,
    failures: mpsc::UnboundedReceiver<DirectoryFailure>,
    locks: Vec<<E::Disk as Disk>::Lock>,
}

impl<E: Env> Directories<E> {
    async fn open(env: &E, config: &ServerConfig) -> Result<Self, DirectoryError> {
        let (failed, failures) = mpsc::unbounded_channel();
        let (found, locks, cluster_id) =
            directories::open_all(env.disk(), &config.directories(), config.node_id, &failed).await?;
        let of_data =
            |found: &&FoundDirectory| config.log_dirs.iter().any(|path| path == found.directory.path());
        let data = found.iter().filter(of_data).map(|found| Arc::clone(&found.directory)).collect();
        Ok(Self { found, data, metadata_path: config.metadata_log_dir.clone(), cluster_id, failures, locks })
    }

    /// Looks at the metadata log, and reads what it is to begin with if it is new.
    async fn inspect_metadata(&self, env: &E, config: &ServerConfig) -> Result<MetadataFound<E>, StartError> {
        let found = self.metadata();
        let recovery_point = found.checkpoints.recovery_points.get(&metadata_partition());
        let hints = RaftLogHints {
            clean: found.clean.is_some(),
            recovery_point: recovery_point.copied().unwrap_or(Offset::ZERO),
            votes: config.roles.controller,
        };
        let inspected = raft::inspect(env.disk(), &self.metadata_log(), hints).await?;
        let voters = config.voters.iter().map(|voter| voter.id).collect();
        inspected.check_voters(voters).map_err(MetadataLogError::from)?;
        let bootstrap = bootstrap_records(env.disk(), found.directory.path()).await?;
        Ok((inspected, bootstrap))
    }

    fn metadata_log(&self) -> PathBuf {
        self.metadata_path.join(format!("{METADATA_DIRECTORY}0"))
    }

    fn all(&self) -> Vec<Arc<LogDirectory>> {
        self.found.iter().map(|found| Arc::clone(&found.directory)).collect()
    }

    fn metadata(&self) -> &FoundDirectory {
        let is_it = |found: &&FoundDirectory| found.directory.path() == Path::new(&self.metadata_path);
        self.found.iter().find(is_it).expect("it is one of the paths")
    }

    fn of_metadata(&self) -> Arc<LogDirectory> {
        Arc::clone(&self.metadata().directory)
    }

    fn found_replicas(&self) -> Vec<FoundReplicas> {
        let is_data = |found: &&FoundDirectory| {
            self.data.iter().any(|directory| Arc::ptr_eq(directory, &found.directory))
        };
        let found = self.found.iter().filter(is_data);
        found
            .map(|found| {
                let (checkpoints, topic_ids) = (found.checkpoints.clone(), found.topic_ids.clone());
                (Arc::clone(&found.directory), found.clean.is_some(), checkpoints, topic_ids)
            })
            .collect()
    }
}

/// What the checkpoint files hold, by directory and name.
fn written(found: &[FoundDirectory]) -> Written {
    let files = |found: &FoundDirectory| {
        let path = found.directory.path().to_owned();
        found.checkpoints.files().map(|(name, content)| ((path.clone(), name), content.clone()))
    };
    found.iter().flat_map(files).collect()
}

async fn open_quorum<E: Env>(
    env: &E,
    config: &ServerConfig,
    directories: &Directories<E>,
    (inspected, bootstrap_records): MetadataFound<E>,
    endpoints: Vec<Endpoint>,
    (raft, inbox, publishing): (Raft, mpsc::UnboundedReceiver<Message>, Publishing),
) -> Result<RaftTask<E>, StartError> {
    let log_config = LogConfig {
        segment_bytes: u32::try_from(config.metadata_segment_bytes).unwrap_or(u32::MAX),
        segment_ms: i64::try_from(config.metadata_segment_age.as_millis()).unwrap_or(i64::MAX),
        retention_ms: -1,
        retention_bytes: -1,
        ..LogConfig::default()
    };
    let mut identity = Identity {
        key: VoterKey { id: config.node_id, directory: directories.of_metadata().id() },
        listener: endpoints.first().map(|endpoint| endpoint.name.clone()).unwrap_or_default(),
        endpoints,
        versions: KRAFT_VERSIONS,
        bootstrap: bootstrap(config),
    };
    let voters = fixed_voters(config, &identity);
    let opened = RaftLog::open(env, &directories.metadata_log(), log_config, inspected, voters).await?;
    fill_in_hosts(&mut identity.endpoints, opened.voters().get(config.node_id));
    let task = RaftTask::new(RaftParts {
        env: env.clone(),
        raft,
        inbox,
        opened,
        identity,
        quorum: quorum_config(&config.quorum),
        snapshots: snapshot_policy(&config.snapshots),
        bootstrap: bootstrap_records,
        cluster_id: directories.cluster_id.clone(),
        settings: Settings::new(directories.cluster_id.clone(), config),
        timers: ControllerTimers {
            session_timeout: config.lifecycle.session_timeout,
            balance_interval: config.elections.rebalance_interval,
            leaderless_interval: config.elections.unclean_interval,
        },
        publishing,
    })?;
    Ok(task)
}

fn quorum_config(settings: &QuorumSettings) -> QuorumConfig {
    QuorumConfig {
        election_timeout: settings.election_timeout,
        fetch_timeout: settings.fetch_timeout,
        election_backoff_max: settings.election_backoff_max,
        request_timeout: settings.request_timeout,
        retry_backoff: settings.retry_backoff,
        // Well below the fetch timeout: an idle follower must not give its leader up.
        fetch_wait_max: QuorumConfig::default().fetch_wait_max.min(settings.fetch_timeout / 4),
        snapshot_chunk_bytes: settings.fetch_snapshot_max_bytes,
    }
}

fn snapshot_policy(settings: &SnapshotSettings) -> SnapshotPolicy {
    SnapshotPolicy {
        bytes_between: settings.bytes_between,
        interval_max: settings.interval_max,
        retention_bytes: settings.retention_bytes.unwrap_or(u64::MAX),
        retention: settings.retention.unwrap_or(Duration::MAX),
    }
}

fn bootstrap(config: &ServerConfig) -> Vec<Address> {
    let address = |server: &HostPort| Address { host: server.host.clone(), port: server.port };
    config.bootstrap_servers.iter().map(address).collect()
}

/// A controller on every interface does not know how others reach it. What the voters' record says of it stands
/// then, and is not overwritten by this node. A node that is in none is found by whoever shares the machine; nobody
/// else could know how.
fn fill_in_hosts(endpoints: &mut [Endpoint], recorded: Option<&VoterNode>) {
    for endpoint in endpoints.iter_mut().filter(|endpoint| endpoint.host.is_empty()) {
        let recorded = recorded.and_then(|voter| voter.endpoints.iter().find(|it| it.name == endpoint.name));
        match recorded.filter(|recorded| !recorded.host.is_empty()) {
            Some(recorded) => *endpoint = recorded.clone(),
            None => endpoint.host = "localhost".to_owned(),
        }
    }
}

/// The voters that the configuration names, known by their ids (kraft.version 0). This node's own address is the
/// one that it has bound.
fn fixed_voters(config: &ServerConfig, own: &Identity) -> VoterSet {
    let voter = |id: BrokerId, endpoints: Vec<Endpoint>| VoterNode {
        key: VoterKey { id, directory: Uuid::ZERO },
        endpoints,
        versions: KRAFT_VERSIONS,
    };
    let voters = config.voters.iter().map(|configured| {
        if configured.id == config.node_id {
            return voter(configured.id, own.endpoints.clone());
        }
        let endpoint = Endpoint {
            name: own.listener.clone(),
            host: configured.address.host.clone(),
            port: configured.address.port,
        };
        voter(configured.id, vec![endpoint])
    });
    voters.collect()
}

/// Where the controller listens, as it registers that.
fn controller_listeners(
    config: &ServerConfig,
    endpoints: &[Endpoint],
) -> Vec<controller_registration::Listener> {
    let protocol = |name: &str| {
        let listener = config.controller_listeners.iter().find(|listener| listener.name == name);
        listener.map_or(0, |listener| listener.protocol as i16)
    };
    let listener = |Endpoint { name, host, port }: &Endpoint| controller_registration::Listener {
        name: name.clone(),
        host: host.clone(),
        port: *port,
        security_protocol: protocol(name),
    };
    endpoints.iter().map(listener).collect()
}

/// What the controller registers with. Its incarnation is new in each run.
fn controller_registration<E: Env>(
    env: &E,
    config: &ServerConfig,
    listeners: Vec<controller_registration::Listener>,
    run: u64,
) -> ControllerRegistrationRequest {
    let mut rng = env.rng(Purpose { subsystem: "node", what: "controller-incarnation-id", instance: run });
    let feature = |(name, range): (&str, FeatureRange)| controller_registration::Feature {
        name: name.to_owned(),
        min_supported_version: range.min,
        max_supported_version: range.max,
    };
    ControllerRegistrationRequest {
        controller_id: config.node_id.0,
        incarnation_id: random_uuid(&mut rng),
        zk_migration_ready: false,
        listeners,
        features: all_supported().map(feature).collect(),
    }
}

/// What the broker registers with. Its incarnation is new in each run.
async fn registration<E: Env>(
    env: &E,
    config: &ServerConfig,
    directories: &Directories<E>,
    listeners: Vec<BrokerEndpoint>,
    run: u64,
) -> Result<BrokerRegistrationRequest, DiskError> {
    let previous = broker_run::previous_epoch(env, &directories.found, &directories.data).await?;
    let mut rng = env.rng(Purpose { subsystem: "node", what: "incarnation-id", instance: run });
    let feature = |(name, range): (&str, FeatureRange)| Feature {
        name: name.to_owned(),
        min_supported_version: range.min,
        max_supported_version: range.max,
    };
    Ok(BrokerRegistrationRequest {
        broker_id: config.node_id.0,
        cluster_id: directories.cluster_id.clone(),
        incarnation_id: random_uuid(&mut rng),
        listeners,
        features: all_supported().map(feature).collect(),
        rack: config.rack.clone(),
        is_migrating_zk_broker: false,
        log_dirs: directories.data.iter().map(|directory| directory.id()).collect(),
        previous_broker_epoch: previous.0,
    })
}

/// How long a failure waits until the notes of the run are taken back.
const FORGETTING: Duration = Duration::from_secs(2);

/// Takes the replicas of failed directories out of use, and the node with the last one.
struct Supervisor<E: Env> {
    env: E,
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
            // Before the process may end over it; a disk that hangs must not keep it.
            let until = self.env.clock().now() + FORGETTING;
            let _ = self.env.clock().timeout_at(until, broker_run::forget(&self.env, &self.data)).await;
            let last = !self.data.iter().any(|directory| directory.is_online());
            if last || self.metadata_directory.id() == failure.id {
                // Whoever owns the node stops it; until then there is nothing more to do.
                let _ = self.failed.try_send(failure.into());
            }
        }
    }
}

async fn supervise<F: Into<NodeFailure> + std::fmt::Display>(
    task: impl Future<Output = Result<(), F>>,
    failed: mpsc::Sender<NodeFailure>,
) {
    if let Err(failure) = task.await {
        tracing::error!(%failure, "the node cannot go on");
        // The first failure is the one that counts.
        let _ = failed.try_send(failure.into());
    }
}

pub(super) fn random_uuid(rng: &mut Rng) -> Uuid {
    Uuid::from_random(|| u128::from(rng.next_u64()) << 64 | u128::from(rng.next_u64()))
}
