//! Valid messages of every kind and version, generated from a seed.
//!
//! They are kafka-protocol's: whatever they are encoded to owes nothing to our own declarations.

use bytes::Bytes;
use kafka_protocol::messages::*;
use kafka_protocol::protocol::{Decodable, Encodable, Message, StrBytes};
use ottla::wire::{self, control, messages};
use std::fmt::Debug;
use uuid::Uuid;

/// What a generated message looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    /// Everything at its default.
    Default,
    /// Everything set, nothing null.
    Filled,
    /// Null where the type allows it.
    Nulls,
    /// Strings, byte fields and arrays are empty, not null.
    Empty,
    /// Strings of several bytes a character.
    Unicode,
    /// Lengths that take more than one byte as a varint, byte fields that become segments.
    Large,
    /// Any of these, field by field.
    Mixed,
}

impl Shape {
    pub(crate) const ALL: [Self; 7] =
        [Self::Default, Self::Filled, Self::Nulls, Self::Empty, Self::Unicode, Self::Large, Self::Mixed];
}

/// A seeded source of values for one message of one version.
#[derive(Debug)]
pub(crate) struct Gen {
    state: u64,
    shape: Shape,
    version: i16,
    depth: u32,
}

impl Gen {
    pub(crate) fn new(seed: u64, shape: Shape, version: i16) -> Self {
        Self { state: seed, shape, version, depth: 0 }
    }

    /// The next number (SplitMix64).
    pub(crate) fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut value = self.state;
        value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        value ^ (value >> 31)
    }

    /// A number below `bound`.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    /// The message's version, which control records repeat inside.
    fn version(&mut self) -> i16 {
        self.version
    }

    fn shape(&mut self) -> Shape {
        match self.shape {
            // Not Large: large things within large things grow without bound.
            Shape::Mixed => Shape::ALL[self.below(5)],
            shape => shape,
        }
    }

    /// An integer; its extremes more often than chance has it.
    fn integer(&mut self) -> i64 {
        match self.below(8) {
            0 => 0,
            1 => -1,
            2 => i64::MAX,
            3 => i64::MIN,
            4 => self.below(128) as i64,
            _ => self.next() as i64,
        }
    }
}

/// A type of which values can be generated.
pub(crate) trait Any: Sized {
    fn any(g: &mut Gen) -> Self;
}

macro_rules! any_integer {
    ($($type:ty)*) => {
        $(impl Any for $type {
            fn any(g: &mut Gen) -> Self {
                g.integer() as $type
            }
        })*
    };
}

any_integer!(i8 i16 u16 i32 i64);

impl Any for bool {
    fn any(g: &mut Gen) -> Self {
        g.below(2) == 1
    }
}

impl Any for Uuid {
    fn any(g: &mut Gen) -> Self {
        Uuid::from_u64_pair(g.integer() as u64, g.next())
    }
}

impl Any for StrBytes {
    fn any(g: &mut Gen) -> Self {
        let (characters, length) = match g.shape() {
            Shape::Empty => return Self::new(),
            Shape::Unicode => ("\u{e4}\u{df}\u{4e2d}\u{6587}\u{1f980}\0", 6),
            Shape::Large => ("abc", 120 + g.below(300)),
            _ => ("abcXYZ09._-", 1 + g.below(12)),
        };
        let characters: Vec<char> = characters.chars().collect();
        let text: String = (0..length).map(|_| characters[g.below(characters.len())]).collect();
        Self::from_string(text)
    }
}

macro_rules! any_newtype {
    ($($type:ident)*) => {
        $(impl Any for $type {
            fn any(g: &mut Gen) -> Self {
                Self(Any::any(g))
            }
        })*
    };
}

any_newtype!(BrokerId ProducerId TopicName TransactionalId);

impl Any for Bytes {
    fn any(g: &mut Gen) -> Self {
        let length = match g.shape() {
            Shape::Empty => 0,
            Shape::Large => 1000 + g.below(1000),
            _ => 1 + g.below(100),
        };
        (0..length).map(|_| g.next() as u8).collect()
    }
}

impl<T: Any> Any for Vec<T> {
    fn any(g: &mut Gen) -> Self {
        let length = match (g.shape(), g.depth) {
            (Shape::Empty, _) => 0,
            (Shape::Large, 1) => 128,
            (Shape::Filled, _) => 2,
            _ => g.below(3),
        };
        (0..length).map(|_| T::any(g)).collect()
    }
}

impl<T: Any> Any for Option<T> {
    fn any(g: &mut Gen) -> Self {
        match g.shape() {
            Shape::Nulls => None,
            _ => Some(T::any(g)),
        }
    }
}

/// Generates the fields of a struct. `=` names the method of [`Gen`] that gives a value, `in` says which
/// versions have a field, where setting it in others is an error; `=>` says which versions allow it to be
/// null, if not all.
macro_rules! generate {
    ($($module:ident :: $name:ident {
        $($field:ident $(= $given:ident)? $(in $present:expr)? $(=> $nullable:expr)?),* $(,)?
    })*) => {
        $(impl Any for $module::$name {
            fn any(g: &mut Gen) -> Self {
                let mut it = Self::default();
                if g.shape() == Shape::Default {
                    return it;
                }
                g.depth += 1;
                $(if true $(&& ($present).contains(&g.version))? {
                    it.$field = value!(g $(, $given)?);
                    $(if it.$field.is_none() && !($nullable).contains(&g.version) {
                        it.$field = Some(Default::default());
                    })?
                })*
                g.depth -= 1;
                it
            }
        })*
    };
}

/// What a field is set to.
macro_rules! value {
    ($g:ident, $given:ident) => {
        $g.$given()
    };
    ($g:ident) => {
        Any::any($g)
    };
}

generate! {
    produce_request::ProduceRequest { transactional_id, acks, timeout_ms, topic_data }
    produce_request::TopicProduceData { name, topic_id, partition_data }
    produce_request::PartitionProduceData { index, records }
    produce_response::ProduceResponse { responses, throttle_time_ms, node_endpoints in 10.. }
    produce_response::TopicProduceResponse { name, topic_id, partition_responses }
    produce_response::NodeEndpoint { node_id in 10.., host in 10.., port in 10.., rack in 10.. }
    produce_response::PartitionProduceResponse {
        index, error_code, base_offset, log_append_time_ms, log_start_offset, record_errors,
        error_message, current_leader in 10..
    }
    produce_response::BatchIndexAndErrorMessage { batch_index in 8.., batch_index_error_message in 8.. }
    produce_response::LeaderIdAndEpoch { leader_id in 10.., leader_epoch in 10.. }
    fetch_request::FetchRequest {
        cluster_id, replica_id in 0..=14, replica_state in 15.., max_wait_ms, min_bytes, max_bytes,
        isolation_level, session_id, session_epoch, topics, forgotten_topics_data in 7.., rack_id
    }
    fetch_request::ReplicaState { replica_id in 15.., replica_epoch in 15.. }
    fetch_request::FetchTopic { topic, topic_id, partitions }
    fetch_request::ForgottenTopic { topic, topic_id, partitions in 7.. }
    fetch_request::FetchPartition {
        partition, current_leader_epoch, fetch_offset, last_fetched_epoch in 12.., log_start_offset,
        partition_max_bytes, replica_directory_id, high_watermark
    }
    fetch_response::FetchResponse {
        throttle_time_ms, error_code, session_id in 7.., responses, node_endpoints in 16..
    }
    fetch_response::FetchableTopicResponse { topic, topic_id, partitions }
    fetch_response::NodeEndpoint { node_id in 16.., host in 16.., port in 16.., rack in 16.. }
    fetch_response::PartitionData {
        partition_index, error_code, high_watermark, last_stable_offset, log_start_offset,
        diverging_epoch in 12.., current_leader in 12.., snapshot_id in 12.., aborted_transactions,
        preferred_read_replica in 11.., records
    }
    fetch_response::EpochEndOffset { epoch in 12.., end_offset in 12.. }
    fetch_response::LeaderIdAndEpoch { leader_id in 12.., leader_epoch in 12.. }
    fetch_response::SnapshotId { end_offset, epoch }
    fetch_response::AbortedTransaction { producer_id, first_offset }
    list_offsets_request::ListOffsetsRequest { replica_id, isolation_level in 2.., topics, timeout_ms }
    list_offsets_request::ListOffsetsTopic { name, partitions }
    list_offsets_request::ListOffsetsPartition { partition_index, current_leader_epoch, timestamp }
    list_offsets_response::ListOffsetsResponse { throttle_time_ms, topics }
    list_offsets_response::ListOffsetsTopicResponse { name, partitions }
    list_offsets_response::ListOffsetsPartitionResponse {
        partition_index, error_code, timestamp, offset, leader_epoch in 4..
    }
    metadata_request::MetadataRequest {
        topics => 1.., allow_auto_topic_creation in 4.., include_cluster_authorized_operations in
        8..=10, include_topic_authorized_operations in 8..
    }
    metadata_request::MetadataRequestTopic { topic_id, name => 10.. }
    metadata_response::MetadataResponse {
        throttle_time_ms, brokers, cluster_id, controller_id, topics, cluster_authorized_operations
        in 8..=10, error_code
    }
    metadata_response::MetadataResponseBroker { node_id, host, port, rack }
    metadata_response::MetadataResponseTopic {
        error_code, name => 12.., topic_id, is_internal, partitions, topic_authorized_operations in
        8..
    }
    metadata_response::MetadataResponsePartition {
        error_code, partition_index, leader_id, leader_epoch, replica_nodes, isr_nodes,
        offline_replicas
    }
    api_versions_request::ApiVersionsRequest { client_software_name, client_software_version }
    api_versions_response::ApiVersionsResponse {
        error_code, api_keys, throttle_time_ms, supported_features, finalized_features_epoch,
        finalized_features, zk_migration_ready
    }
    api_versions_response::ApiVersion { api_key, min_version, max_version }
    api_versions_response::SupportedFeatureKey { name in 3.., min_version in 3.., max_version in 3.. }
    api_versions_response::FinalizedFeatureKey {
        name in 3.., max_version_level in 3.., min_version_level in 3..
    }
    create_topics_request::CreateTopicsRequest { topics, timeout_ms, validate_only }
    create_topics_request::CreatableTopic { name, num_partitions, replication_factor, assignments, configs }
    create_topics_request::CreatableReplicaAssignment { partition_index, broker_ids }
    create_topics_request::CreatableTopicConfig { name, value }
    create_topics_response::CreateTopicsResponse { throttle_time_ms, topics }
    create_topics_response::CreatableTopicResult {
        name, topic_id, error_code, error_message, topic_config_error_code, num_partitions,
        replication_factor, configs
    }
    create_topics_response::CreatableTopicConfigs {
        name in 5.., value in 5.., read_only in 5.., config_source, is_sensitive in 5..
    }
    delete_topics_request::DeleteTopicsRequest { topics in 6.., topic_names, timeout_ms }
    delete_topics_request::DeleteTopicState { name in 6.., topic_id in 6.. }
    delete_topics_response::DeleteTopicsResponse { throttle_time_ms, responses }
    delete_topics_response::DeletableTopicResult { name => 6.., topic_id, error_code, error_message }
    delete_records_request::DeleteRecordsRequest { topics, timeout_ms }
    delete_records_request::DeleteRecordsTopic { name, partitions }
    delete_records_request::DeleteRecordsPartition { partition_index, offset }
    delete_records_response::DeleteRecordsResponse { throttle_time_ms, topics }
    delete_records_response::DeleteRecordsTopicResult { name, partitions }
    delete_records_response::DeleteRecordsPartitionResult { partition_index, low_watermark, error_code }
    init_producer_id_request::InitProducerIdRequest {
        transactional_id, transaction_timeout_ms, producer_id in 3.., producer_epoch in 3..
    }
    init_producer_id_response::InitProducerIdResponse {
        throttle_time_ms, error_code, producer_id, producer_epoch
    }
    describe_configs_request::DescribeConfigsRequest {
        resources, include_synonyms, include_documentation in 3..
    }
    describe_configs_request::DescribeConfigsResource { resource_type, resource_name, configuration_keys }
    describe_configs_response::DescribeConfigsResponse { throttle_time_ms, results }
    describe_configs_response::DescribeConfigsResult {
        error_code, error_message, resource_type, resource_name, configs
    }
    describe_configs_response::DescribeConfigsResourceResult {
        name, value, read_only, config_source, is_sensitive, synonyms, config_type, documentation
    }
    describe_configs_response::DescribeConfigsSynonym { name, value, source }
    create_partitions_request::CreatePartitionsRequest { topics, timeout_ms, validate_only }
    create_partitions_request::CreatePartitionsTopic { name, count, assignments }
    create_partitions_request::CreatePartitionsAssignment { broker_ids }
    create_partitions_response::CreatePartitionsResponse { throttle_time_ms, results }
    create_partitions_response::CreatePartitionsTopicResult { name, error_code, error_message }
    incremental_alter_configs_request::IncrementalAlterConfigsRequest { resources, validate_only }
    incremental_alter_configs_request::AlterConfigsResource { resource_type, resource_name, configs }
    incremental_alter_configs_request::AlterableConfig { name, config_operation, value }
    incremental_alter_configs_response::IncrementalAlterConfigsResponse { throttle_time_ms, responses }
    incremental_alter_configs_response::AlterConfigsResourceResponse {
        error_code, error_message, resource_type, resource_name
    }
    describe_cluster_request::DescribeClusterRequest {
        include_cluster_authorized_operations, endpoint_type in 1.., include_fenced_brokers in 2..
    }
    describe_cluster_response::DescribeClusterResponse {
        throttle_time_ms, error_code, error_message, endpoint_type in 1.., cluster_id,
        controller_id, brokers, cluster_authorized_operations
    }
    describe_cluster_response::DescribeClusterBroker { broker_id, host, port, rack, is_fenced in 2.. }
    describe_topic_partitions_request::DescribeTopicPartitionsRequest {
        topics, response_partition_limit, cursor
    }
    describe_topic_partitions_request::TopicRequest { name }
    describe_topic_partitions_request::Cursor { topic_name, partition_index }
    describe_topic_partitions_response::DescribeTopicPartitionsResponse {
        throttle_time_ms, topics, next_cursor
    }
    describe_topic_partitions_response::DescribeTopicPartitionsResponseTopic {
        error_code, name, topic_id, is_internal, partitions, topic_authorized_operations
    }
    describe_topic_partitions_response::Cursor { topic_name, partition_index }
    describe_topic_partitions_response::DescribeTopicPartitionsResponsePartition {
        error_code, partition_index, leader_id, leader_epoch, replica_nodes, isr_nodes,
        eligible_leader_replicas, last_known_elr, offline_replicas
    }
    leader_change_message::LeaderChangeMessage { version = version, leader_id, voters, granting_voters }
    leader_change_message::Voter { voter_id, voter_directory_id in 1.. }
    snapshot_header_record::SnapshotHeaderRecord { version = version, last_contained_log_timestamp }
    snapshot_footer_record::SnapshotFooterRecord { version }
    k_raft_version_record::KRaftVersionRecord { version = version, k_raft_version }
    voters_record::VotersRecord { version = version, voters }
    voters_record::Voter { voter_id, voter_directory_id, endpoints, k_raft_version_feature }
    voters_record::Endpoint { name, host, port }
    voters_record::KRaftVersionFeature { min_supported_version, max_supported_version }
}

#[path = "generate_cluster.rs"]
mod cluster;

/// The other codec's side of a message.
pub(crate) trait Theirs: Any + Default + Debug + PartialEq + Message + Encodable + Decodable {}

impl<T: Any + Default + Debug + PartialEq + Message + Encodable + Decodable> Theirs for T {}

/// What to do with each message that both codecs know.
pub(crate) trait Visitor {
    fn visit<O: wire::Message, T: Theirs>(&mut self);
}

macro_rules! pairs {
    ($($ours:ty = $theirs:ty;)*) => {
        /// Visits each message that both codecs know.
        pub(crate) fn visit_all(visitor: &mut impl Visitor) {
            $(visitor.visit::<$ours, $theirs>();)*
        }
    };
}

pairs! {
    messages::produce::ProduceRequest = produce_request::ProduceRequest;
    messages::produce::ProduceResponse = produce_response::ProduceResponse;
    messages::fetch::FetchRequest = fetch_request::FetchRequest;
    messages::fetch::FetchResponse = fetch_response::FetchResponse;
    messages::list_offsets::ListOffsetsRequest = list_offsets_request::ListOffsetsRequest;
    messages::list_offsets::ListOffsetsResponse = list_offsets_response::ListOffsetsResponse;
    messages::metadata::MetadataRequest = metadata_request::MetadataRequest;
    messages::metadata::MetadataResponse = metadata_response::MetadataResponse;
    messages::api_versions::ApiVersionsRequest = api_versions_request::ApiVersionsRequest;
    messages::api_versions::ApiVersionsResponse = api_versions_response::ApiVersionsResponse;
    messages::create_topics::CreateTopicsRequest = create_topics_request::CreateTopicsRequest;
    messages::create_topics::CreateTopicsResponse = create_topics_response::CreateTopicsResponse;
    messages::delete_topics::DeleteTopicsRequest = delete_topics_request::DeleteTopicsRequest;
    messages::delete_topics::DeleteTopicsResponse = delete_topics_response::DeleteTopicsResponse;
    messages::delete_records::DeleteRecordsRequest = delete_records_request::DeleteRecordsRequest;
    messages::delete_records::DeleteRecordsResponse = delete_records_response::DeleteRecordsResponse;
    messages::init_producer_id::InitProducerIdRequest = init_producer_id_request::InitProducerIdRequest;
    messages::init_producer_id::InitProducerIdResponse = init_producer_id_response::InitProducerIdResponse;
    messages::describe_configs::DescribeConfigsRequest = describe_configs_request::DescribeConfigsRequest;
    messages::describe_configs::DescribeConfigsResponse = describe_configs_response::DescribeConfigsResponse;
    messages::create_partitions::CreatePartitionsRequest = create_partitions_request::CreatePartitionsRequest;
    messages::create_partitions::CreatePartitionsResponse = create_partitions_response::CreatePartitionsResponse;
    messages::incremental_alter_configs::IncrementalAlterConfigsRequest = incremental_alter_configs_request::IncrementalAlterConfigsRequest;
    messages::incremental_alter_configs::IncrementalAlterConfigsResponse = incremental_alter_configs_response::IncrementalAlterConfigsResponse;
    messages::describe_cluster::DescribeClusterRequest = describe_cluster_request::DescribeClusterRequest;
    messages::describe_cluster::DescribeClusterResponse = describe_cluster_response::DescribeClusterResponse;
    messages::describe_topic_partitions::DescribeTopicPartitionsRequest = describe_topic_partitions_request::DescribeTopicPartitionsRequest;
    messages::describe_topic_partitions::DescribeTopicPartitionsResponse = describe_topic_partitions_response::DescribeTopicPartitionsResponse;
    messages::offset_for_leader_epoch::OffsetForLeaderEpochRequest = offset_for_leader_epoch_request::OffsetForLeaderEpochRequest;
    messages::offset_for_leader_epoch::OffsetForLeaderEpochResponse = offset_for_leader_epoch_response::OffsetForLeaderEpochResponse;
    messages::alter_replica_log_dirs::AlterReplicaLogDirsRequest = alter_replica_log_dirs_request::AlterReplicaLogDirsRequest;
    messages::alter_replica_log_dirs::AlterReplicaLogDirsResponse = alter_replica_log_dirs_response::AlterReplicaLogDirsResponse;
    messages::describe_log_dirs::DescribeLogDirsRequest = describe_log_dirs_request::DescribeLogDirsRequest;
    messages::describe_log_dirs::DescribeLogDirsResponse = describe_log_dirs_response::DescribeLogDirsResponse;
    messages::elect_leaders::ElectLeadersRequest = elect_leaders_request::ElectLeadersRequest;
    messages::elect_leaders::ElectLeadersResponse = elect_leaders_response::ElectLeadersResponse;
    messages::alter_partition_reassignments::AlterPartitionReassignmentsRequest = alter_partition_reassignments_request::AlterPartitionReassignmentsRequest;
    messages::alter_partition_reassignments::AlterPartitionReassignmentsResponse = alter_partition_reassignments_response::AlterPartitionReassignmentsResponse;
    messages::list_partition_reassignments::ListPartitionReassignmentsRequest = list_partition_reassignments_request::ListPartitionReassignmentsRequest;
    messages::list_partition_reassignments::ListPartitionReassignmentsResponse = list_partition_reassignments_response::ListPartitionReassignmentsResponse;
    messages::vote::VoteRequest = vote_request::VoteRequest;
    messages::vote::VoteResponse = vote_response::VoteResponse;
    messages::begin_quorum_epoch::BeginQuorumEpochRequest = begin_quorum_epoch_request::BeginQuorumEpochRequest;
    messages::begin_quorum_epoch::BeginQuorumEpochResponse = begin_quorum_epoch_response::BeginQuorumEpochResponse;
    messages::end_quorum_epoch::EndQuorumEpochRequest = end_quorum_epoch_request::EndQuorumEpochRequest;
    messages::end_quorum_epoch::EndQuorumEpochResponse = end_quorum_epoch_response::EndQuorumEpochResponse;
    messages::describe_quorum::DescribeQuorumRequest = describe_quorum_request::DescribeQuorumRequest;
    messages::describe_quorum::DescribeQuorumResponse = describe_quorum_response::DescribeQuorumResponse;
    messages::alter_partition::AlterPartitionRequest = alter_partition_request::AlterPartitionRequest;
    messages::alter_partition::AlterPartitionResponse = alter_partition_response::AlterPartitionResponse;
    messages::update_features::UpdateFeaturesRequest = update_features_request::UpdateFeaturesRequest;
    messages::update_features::UpdateFeaturesResponse = update_features_response::UpdateFeaturesResponse;
    messages::envelope::EnvelopeRequest = envelope_request::EnvelopeRequest;
    messages::envelope::EnvelopeResponse = envelope_response::EnvelopeResponse;
    messages::fetch_snapshot::FetchSnapshotRequest = fetch_snapshot_request::FetchSnapshotRequest;
    messages::fetch_snapshot::FetchSnapshotResponse = fetch_snapshot_response::FetchSnapshotResponse;
    messages::broker_registration::BrokerRegistrationRequest = broker_registration_request::BrokerRegistrationRequest;
    messages::broker_registration::BrokerRegistrationResponse = broker_registration_response::BrokerRegistrationResponse;
    messages::broker_heartbeat::BrokerHeartbeatRequest = broker_heartbeat_request::BrokerHeartbeatRequest;
    messages::broker_heartbeat::BrokerHeartbeatResponse = broker_heartbeat_response::BrokerHeartbeatResponse;
    messages::unregister_broker::UnregisterBrokerRequest = unregister_broker_request::UnregisterBrokerRequest;
    messages::unregister_broker::UnregisterBrokerResponse = unregister_broker_response::UnregisterBrokerResponse;
    messages::allocate_producer_ids::AllocateProducerIdsRequest = allocate_producer_ids_request::AllocateProducerIdsRequest;
    messages::allocate_producer_ids::AllocateProducerIdsResponse = allocate_producer_ids_response::AllocateProducerIdsResponse;
    messages::controller_registration::ControllerRegistrationRequest = controller_registration_request::ControllerRegistrationRequest;
    messages::controller_registration::ControllerRegistrationResponse = controller_registration_response::ControllerRegistrationResponse;
    messages::assign_replicas_to_dirs::AssignReplicasToDirsRequest = assign_replicas_to_dirs_request::AssignReplicasToDirsRequest;
    messages::assign_replicas_to_dirs::AssignReplicasToDirsResponse = assign_replicas_to_dirs_response::AssignReplicasToDirsResponse;
    messages::add_raft_voter::AddRaftVoterRequest = add_raft_voter_request::AddRaftVoterRequest;
    messages::add_raft_voter::AddRaftVoterResponse = add_raft_voter_response::AddRaftVoterResponse;
    messages::remove_raft_voter::RemoveRaftVoterRequest = remove_raft_voter_request::RemoveRaftVoterRequest;
    messages::remove_raft_voter::RemoveRaftVoterResponse = remove_raft_voter_response::RemoveRaftVoterResponse;
    messages::update_raft_voter::UpdateRaftVoterRequest = update_raft_voter_request::UpdateRaftVoterRequest;
    messages::update_raft_voter::UpdateRaftVoterResponse = update_raft_voter_response::UpdateRaftVoterResponse;
    control::LeaderChangeMessage = leader_change_message::LeaderChangeMessage;
    control::SnapshotHeaderRecord = snapshot_header_record::SnapshotHeaderRecord;
    control::SnapshotFooterRecord = snapshot_footer_record::SnapshotFooterRecord;
    control::KRaftVersionRecord = k_raft_version_record::KRaftVersionRecord;
    control::VotersRecord = voters_record::VotersRecord;
}
