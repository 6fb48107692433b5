//! The broker's answers: one file per API, named by its key.
//!
//! A handler translates: it decodes, asks for one decision, carries out its effects and encodes. What it
//! decides by lives elsewhere: in [`partition`](crate::partition), [`controller`](crate::controller), in
//! [`fetch_sessions`].
//!
//! An API is served if [`serves`] says so; only those are advertised. A request in a version that Kafka 4.3
//! does not serve ends its connection, as in Kafka, save for ApiVersions ([`k18_api_versions`]).

mod admission;
mod cluster_view;
mod deciding;
pub mod fetch_sessions;
mod forwarding;
mod hosting;
mod k00_produce;
mod k01_fetch;
mod k02_list_offsets;
mod k03_metadata;
mod k18_api_versions;
mod k19_create_topics;
mod k20_delete_topics;
mod k21_delete_records;
mod k22_init_producer_id;
mod k23_offset_for_leader_epoch;
mod k32_describe_configs;
mod k35_describe_log_dirs;
mod k37_create_partitions;
mod k43_elect_leaders;
mod k44_incremental_alter_configs;
mod k45_alter_partition_reassignments;
mod k46_list_partition_reassignments;
mod k52_vote;
mod k53_begin_quorum_epoch;
mod k54_end_quorum_epoch;
mod k55_describe_quorum;
mod k56_alter_partition;
mod k57_update_features;
mod k58_envelope;
mod k59_fetch_snapshot;
mod k60_describe_cluster;
mod k62_broker_registration;
mod k63_broker_heartbeat;
mod k64_unregister_broker;
mod k67_allocate_producer_ids;
mod k70_controller_registration;
mod k73_assign_replicas_to_dirs;
mod k75_describe_topic_partitions;
mod k80_add_raft_voter;
mod k81_remove_raft_voter;
mod k82_update_raft_voter;
mod metadata_fetch;
mod producer_ids;
mod quorum;
#[cfg(test)]
mod test_cluster;
mod topic_metadata;

use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard};

use bytes::Bytes;

use self::cluster_view::ClusterView;
use self::fetch_sessions::SessionCache;
use self::producer_ids::ProducerIds;
use crate::buffers::BufferPool;
use crate::config::listeners::Listener;
use crate::config::server::ServerConfig;
use crate::controller::image::Image;
use crate::env::{Env, Purpose};
use crate::node::budget::Budget;
use crate::node::context::RequestContext;
use crate::node::controller_channel::ControllerChannel;
use crate::node::directories::LogDirectory;
use crate::node::housekeeping::Housekeeping;
use crate::node::metadata::Metadata;
use crate::node::publisher::Registered;
use crate::node::raft::Raft;
use crate::node::service::{Answer, IncomingRequest, Reply, Response, Service};
use crate::node::throttles::Throttles;
use crate::types::BrokerId;
use crate::wire::compression::Scratch;
use crate::wire::frame::encode_response;
use crate::wire::{ApiKey, DecodeError, Reader, Request};

/// Who asks on a listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Audience {
    /// Clients, and other brokers.
    Clients,
    /// Controllers, and brokers that ask the controller.
    Nodes,
}

impl Audience {
    fn is_served(self, key: ApiKey) -> bool {
        match self {
            Self::Clients => serves(key),
            Self::Nodes => serves_nodes(key),
        }
    }
}

/// Whether the controller answers this API, on its own listener.
pub fn serves_nodes(key: ApiKey) -> bool {
    matches!(
        key,
        ApiKey::Fetch
            | ApiKey::ApiVersions
            | ApiKey::Vote
            | ApiKey::BeginQuorumEpoch
            | ApiKey::EndQuorumEpoch
            | ApiKey::AlterPartition
            | ApiKey::Envelope
            | ApiKey::FetchSnapshot
            | ApiKey::BrokerRegistration
            | ApiKey::BrokerHeartbeat
            | ApiKey::DescribeCluster
            | ApiKey::AllocateProducerIds
            | ApiKey::ControllerRegistration
            | ApiKey::AssignReplicasToDirs
            | ApiKey::UpdateRaftVoter
    ) || forwarding::is_controllers(key)
}

/// Whether the broker answers this API. The rest is neither advertised nor accepted.
pub fn serves(key: ApiKey) -> bool {
    matches!(
        key,
        ApiKey::Produce
            | ApiKey::Fetch
            | ApiKey::ListOffsets
            | ApiKey::Metadata
            | ApiKey::ApiVersions
            | ApiKey::DeleteRecords
            | ApiKey::InitProducerId
            | ApiKey::OffsetForLeaderEpoch
            | ApiKey::DescribeConfigs
            | ApiKey::DescribeLogDirs
            | ApiKey::DescribeCluster
            | ApiKey::DescribeTopicPartitions
    ) || forwarding::is_controllers(key)
}

/// What handlers work with. Clones share it.
pub struct Broker<E: Env> {
    shared: Arc<Shared<E>>,
}

/// What all clones share.
pub struct Shared<E: Env> {
    /// The node's world.
    pub env: E,
    /// The static configuration.
    pub config: Arc<ServerConfig>,
    /// The cluster's id.
    pub cluster_id: String,
    /// This broker's registration.
    pub registered: Registered,
    /// The metadata quorum.
    pub(crate) raft: Raft,
    /// The metadata.
    pub metadata: Metadata<E>,
    /// Asks the active controller, for clients and for producer ids.
    pub(crate) controller: ControllerChannel<E>,
    /// The log directories.
    pub directories: Vec<Arc<LogDirectory>>,
    /// The tasks that keep the directories in order.
    pub housekeeping: Housekeeping,
    /// Memory for responses to clients.
    pub responses: Budget,
    /// Memory for what followers fetch: apart from the clients', who could take it all.
    pub replica_responses: Budget,
    /// Buffers for reads: the connections' own.
    pub buffers: BufferPool,
    /// What replication may take.
    pub throttles: Throttles,
    sessions: Mutex<SessionCache>,
    producer_ids: ProducerIds,
    scratches: Mutex<Vec<Scratch>>,
}

/// Host, port and rack.
type Address = (String, i32, Option<String>);

/// Scratch buffers that are kept: as many as batches are checked at the same time.
const SCRATCHES_KEPT: usize = 8;

/// What a broker is made of.
pub struct BrokerParts<E: Env> {
    /// See [`Shared`].
    pub env: E,
    /// See [`Shared`].
    pub config: Arc<ServerConfig>,
    /// See [`Shared`].
    pub cluster_id: String,
    /// See [`Shared`].
    pub registered: Registered,
    /// See [`Shared`].
    pub(crate) raft: Raft,
    /// Makes the ids of fetch sessions differ from run to run.
    pub run: u64,
    /// See [`Shared`].
    pub metadata: Metadata<E>,
    /// See [`Shared`].
    pub(crate) controller: ControllerChannel<E>,
    /// See [`Shared`].
    pub directories: Vec<Arc<LogDirectory>>,
    /// See [`Shared`].
    pub housekeeping: Housekeeping,
    /// See [`Shared`].
    pub responses: Budget,
    /// See [`Shared`].
    pub buffers: BufferPool,
    /// See [`Shared`].
    pub throttles: Throttles,
}

impl<E: Env> Broker<E> {
    /// A broker that has answered nothing yet.
    pub fn new(parts: BrokerParts<E>) -> Self {
        let BrokerParts {
            env,
            config,
            cluster_id,
            registered,
            raft,
            run,
            metadata,
            controller,
            directories,
            housekeeping,
            responses,
            buffers,
            throttles,
        } = parts;
        let rng = env.rng(Purpose { subsystem: "broker", what: "fetch-session-id", instance: run });
        let sessions = SessionCache::new(config.fetch_session_slots, SESSION_PARTITIONS_MAX, rng);
        let shared = Shared {
            env,
            config,
            cluster_id,
            registered,
            raft,
            metadata,
            controller,
            directories,
            housekeeping,
            replica_responses: Budget::new("replica responses", responses.total()),
            responses,
            buffers,
            throttles,
            sessions: Mutex::new(sessions),
            producer_ids: ProducerIds::default(),
            scratches: Mutex::new(Vec::new()),
        };
        Self { shared: Arc::new(shared) }
    }

    /// This broker's id.
    pub fn id(&self) -> BrokerId {
        self.config.node_id
    }

    /// Host, port and rack of a broker, as a client on this listener is told them.
    fn endpoint_of(&self, image: &Image, id: BrokerId, context: &RequestContext) -> Option<Address> {
        ClusterView::new(image, &context.connection).address(id)
    }

    fn sessions(&self) -> MutexGuard<'_, SessionCache> {
        self.sessions.lock().expect("a panic ends the node")
    }

    /// Runs `work` with buffers that an earlier batch has left.
    fn with_scratch<R>(&self, work: impl FnOnce(&mut Scratch) -> R) -> R {
        let scratches = || self.scratches.lock().expect("a panic ends the node");
        let mut scratch = scratches().pop().unwrap_or_default();
        let result = work(&mut scratch);
        let mut kept = scratches();
        if kept.len() < SCRATCHES_KEPT {
            kept.push(scratch);
        }
        result
    }
}

/// The most partitions that all fetch sessions together remember.
const SESSION_PARTITIONS_MAX: usize = 1 << 20;

impl<E: Env> std::ops::Deref for Broker<E> {
    type Target = Shared<E>;
    fn deref(&self) -> &Shared<E> {
        &self.shared
    }
}

impl<E: Env> Clone for Broker<E> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared) }
    }
}

impl<E: Env> Service for Broker<E> {
    async fn call(&self, request: IncomingRequest) -> Reply {
        let (key, version) = (request.context.api_key, request.context.api_version);
        if key == ApiKey::ApiVersions {
            return k18_api_versions::reply(self, &request);
        }
        let audience = self.audience(&request.context);
        if !audience.is_served(key) || !key.versions().contains(version) {
            return Reply::Now(Answer::Close(format!("{key} version {version} is not served")));
        }
        if forwarding::is_controllers(key) {
            // Whose configuration it is this broker looks at itself.
            let looks = key == ApiKey::IncrementalAlterConfigs;
            return match looks || self.decides(&request.context) {
                true => self.answer_controllers(request).await,
                false => forwarding::forward(self, request).await,
            };
        }
        if audience == Audience::Nodes {
            return self.answer_node(request).await;
        }
        match key {
            ApiKey::Produce => k00_produce::reply(self, request).await,
            ApiKey::Fetch => k01_fetch::reply(self, request).await,
            ApiKey::ListOffsets => self.answer(request, k02_list_offsets::handle).await,
            ApiKey::Metadata => self.answer(request, k03_metadata::handle).await,
            ApiKey::DeleteRecords => k21_delete_records::reply(self, request).await,
            ApiKey::InitProducerId => self.answer(request, k22_init_producer_id::handle).await,
            ApiKey::OffsetForLeaderEpoch => self.answer(request, k23_offset_for_leader_epoch::handle).await,
            ApiKey::DescribeConfigs => self.answer(request, k32_describe_configs::handle).await,
            ApiKey::DescribeLogDirs => self.answer(request, k35_describe_log_dirs::handle).await,
            ApiKey::DescribeCluster => self.answer(request, k60_describe_cluster::handle).await,
            ApiKey::DescribeTopicPartitions => {
                self.answer(request, k75_describe_topic_partitions::handle).await
            }
            _ => unreachable!("{key} is served and has no handler"),
        }
    }
}

impl<E: Env> Broker<E> {
    /// What the controller answers.
    async fn answer_node(&self, request: IncomingRequest) -> Reply {
        match request.context.api_key {
            ApiKey::Fetch => metadata_fetch::reply(self, request),
            ApiKey::Vote => self.answer(request, k52_vote::handle).await,
            ApiKey::BeginQuorumEpoch => self.answer(request, k53_begin_quorum_epoch::handle).await,
            ApiKey::EndQuorumEpoch => self.answer(request, k54_end_quorum_epoch::handle).await,
            ApiKey::AlterPartition => self.answer(request, k56_alter_partition::handle).await,
            ApiKey::Envelope => k58_envelope::reply(self, request).await,
            ApiKey::FetchSnapshot => self.answer(request, k59_fetch_snapshot::handle).await,
            ApiKey::BrokerRegistration => self.answer(request, k62_broker_registration::handle).await,
            ApiKey::BrokerHeartbeat => self.answer(request, k63_broker_heartbeat::handle).await,
            ApiKey::DescribeCluster => self.answer(request, k60_describe_cluster::handle_controllers).await,
            ApiKey::AllocateProducerIds => self.answer(request, k67_allocate_producer_ids::handle).await,
            ApiKey::ControllerRegistration => self.answer(request, k70_controller_registration::handle).await,
            ApiKey::AssignReplicasToDirs => self.answer(request, k73_assign_replicas_to_dirs::handle).await,
            ApiKey::UpdateRaftVoter => self.answer(request, k82_update_raft_voter::handle).await,
            key => unreachable!("{key} is served and has no handler"),
        }
    }

    /// What only the active controller decides.
    async fn answer_controllers(&self, request: IncomingRequest) -> Reply {
        match request.context.api_key {
            ApiKey::CreateTopics => self.answer(request, k19_create_topics::handle).await,
            ApiKey::DeleteTopics => self.answer(request, k20_delete_topics::handle).await,
            ApiKey::CreatePartitions => self.answer(request, k37_create_partitions::handle).await,
            ApiKey::ElectLeaders => self.answer(request, k43_elect_leaders::handle).await,
            ApiKey::IncrementalAlterConfigs => {
                self.answer(request, k44_incremental_alter_configs::handle).await
            }
            ApiKey::AlterPartitionReassignments => {
                self.answer(request, k45_alter_partition_reassignments::handle).await
            }
            ApiKey::ListPartitionReassignments => {
                self.answer(request, k46_list_partition_reassignments::handle).await
            }
            ApiKey::DescribeQuorum => self.answer(request, k55_describe_quorum::handle).await,
            ApiKey::UpdateFeatures => self.answer(request, k57_update_features::handle).await,
            ApiKey::UnregisterBroker => self.answer(request, k64_unregister_broker::handle).await,
            ApiKey::AddRaftVoter => self.answer(request, k80_add_raft_voter::handle).await,
            ApiKey::RemoveRaftVoter => self.answer(request, k81_remove_raft_voter::handle).await,
            key => unreachable!("{key} is the controller's and has no handler"),
        }
    }

    /// Whether what only the controller decides is decided here: for a client if this is the active controller, for
    /// other nodes in any case, which are told if it is not.
    fn decides(&self, context: &RequestContext) -> bool {
        self.audience(context) == Audience::Nodes || self.raft.leadership().current().is_here
    }

    /// Who asks.
    fn audience(&self, context: &RequestContext) -> Audience {
        let is_controllers = |listener: &Listener| *listener.name == *context.connection.listener;
        match self.config.controller_listeners.iter().any(is_controllers) {
            true => Audience::Nodes,
            false => Audience::Clients,
        }
    }

    /// The name of the listener that controllers talk over.
    fn controller_listener(&self) -> &str {
        self.config.controller_listeners.first().map_or("", |listener| &listener.name)
    }

    /// Decodes, handles, encodes.
    async fn answer<R, F, H>(&self, request: IncomingRequest, handle: H) -> Reply
    where
        R: Request,
        F: Future<Output = R::Response>,
        H: FnOnce(Self, RequestContext, R) -> F,
    {
        let decoded = match decode::<R>(&request.context, &request.body) {
            Ok(decoded) => decoded,
            Err(error) => return Reply::Now(malformed(&request.context, &error)),
        };
        let context = request.context.clone();
        let response = handle(self.clone(), request.context, decoded).await;
        Reply::Now(respond::<R>(&context, &response))
    }
}

/// Reads the body of a request.
fn decode<R: Request>(context: &RequestContext, body: &Bytes) -> Result<R, DecodeError> {
    let mut reader = Reader::new(body);
    let request = R::decode(&mut reader, context.api_version)?;
    Ok(request)
}

/// What becomes of a connection that sends what cannot be read.
fn malformed(context: &RequestContext, error: &DecodeError) -> Answer {
    Answer::Close(format!(
        "a malformed {} request, version {}: {error}",
        context.api_key, context.api_version
    ))
}

/// Writes a response.
fn respond<R: Request>(context: &RequestContext, response: &R::Response) -> Answer {
    match encode_response::<R>(context.api_version, context.correlation_id, response) {
        Ok(segments) => Answer::Respond(Response { segments, permit: None }),
        // Only a response too long for its own length fields: the client asked for more than a frame holds.
        Err(error) => {
            Answer::Close(format!("the response to {} cannot be written: {error}", context.api_key))
        }
    }
}
