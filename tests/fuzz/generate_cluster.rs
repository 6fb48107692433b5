//! The messages of a cluster among itself, and of those who run it.

use super::{Any, Gen, Shape};
use kafka_protocol::messages::*;

generate! {
    offset_for_leader_epoch_request::OffsetForLeaderEpochRequest { replica_id, topics }
    offset_for_leader_epoch_request::OffsetForLeaderTopic { topic, partitions }
    offset_for_leader_epoch_request::OffsetForLeaderPartition {
        partition, current_leader_epoch, leader_epoch
    }
    offset_for_leader_epoch_response::OffsetForLeaderEpochResponse { throttle_time_ms, topics }
    offset_for_leader_epoch_response::OffsetForLeaderTopicResult { topic, partitions }
    offset_for_leader_epoch_response::EpochEndOffset { error_code, partition, leader_epoch, end_offset }
    alter_replica_log_dirs_request::AlterReplicaLogDirsRequest { dirs }
    alter_replica_log_dirs_request::AlterReplicaLogDir { path, topics }
    alter_replica_log_dirs_request::AlterReplicaLogDirTopic { name, partitions }
    alter_replica_log_dirs_response::AlterReplicaLogDirsResponse { throttle_time_ms, results }
    alter_replica_log_dirs_response::AlterReplicaLogDirTopicResult { topic_name, partitions }
    alter_replica_log_dirs_response::AlterReplicaLogDirPartitionResult { partition_index, error_code }
    describe_log_dirs_request::DescribeLogDirsRequest { topics }
    describe_log_dirs_request::DescribableLogDirTopic { topic, partitions }
    describe_log_dirs_response::DescribeLogDirsResponse { throttle_time_ms, error_code, results }
    describe_log_dirs_response::DescribeLogDirsResult {
        error_code, log_dir, topics, total_bytes, usable_bytes
    }
    describe_log_dirs_response::DescribeLogDirsTopic { name, partitions }
    describe_log_dirs_response::DescribeLogDirsPartition {
        partition_index, partition_size, offset_lag, is_future_key
    }
    elect_leaders_request::ElectLeadersRequest { election_type in 1.., topic_partitions, timeout_ms }
    elect_leaders_request::TopicPartitions { topic, partitions }
    elect_leaders_response::ElectLeadersResponse {
        throttle_time_ms, error_code in 1.., replica_election_results
    }
    elect_leaders_response::ReplicaElectionResult { topic, partition_result }
    elect_leaders_response::PartitionResult { partition_id, error_code, error_message }
    alter_partition_reassignments_request::AlterPartitionReassignmentsRequest {
        timeout_ms, allow_replication_factor_change in 1.., topics
    }
    alter_partition_reassignments_request::ReassignableTopic { name, partitions }
    alter_partition_reassignments_request::ReassignablePartition { partition_index, replicas }
    alter_partition_reassignments_response::AlterPartitionReassignmentsResponse {
        throttle_time_ms, allow_replication_factor_change, error_code, error_message, responses
    }
    alter_partition_reassignments_response::ReassignableTopicResponse { name, partitions }
    alter_partition_reassignments_response::ReassignablePartitionResponse {
        partition_index, error_code, error_message
    }
    list_partition_reassignments_request::ListPartitionReassignmentsRequest { timeout_ms, topics }
    list_partition_reassignments_request::ListPartitionReassignmentsTopics { name, partition_indexes }
    list_partition_reassignments_response::ListPartitionReassignmentsResponse {
        throttle_time_ms, error_code, error_message, topics
    }
    list_partition_reassignments_response::OngoingTopicReassignment { name, partitions }
    list_partition_reassignments_response::OngoingPartitionReassignment {
        partition_index, replicas, adding_replicas, removing_replicas
    }
    vote_request::VoteRequest { cluster_id, voter_id, topics }
    vote_request::TopicData { topic_name, partitions }
    vote_request::PartitionData {
        partition_index, replica_epoch, replica_id, replica_directory_id, voter_directory_id,
        last_offset_epoch, last_offset, pre_vote in 2..
    }
    vote_response::VoteResponse { error_code, topics, node_endpoints in 1.. }
    vote_response::TopicData { topic_name, partitions }
    vote_response::PartitionData { partition_index, error_code, leader_id, leader_epoch, vote_granted }
    vote_response::NodeEndpoint { node_id in 1.., host in 1.., port in 1.. }
    begin_quorum_epoch_request::BeginQuorumEpochRequest {
        cluster_id, voter_id, topics, leader_endpoints
    }
    begin_quorum_epoch_request::TopicData { topic_name, partitions }
    begin_quorum_epoch_request::PartitionData {
        partition_index, voter_directory_id, leader_id, leader_epoch
    }
    begin_quorum_epoch_request::LeaderEndpoint { name in 1.., host in 1.., port in 1.. }
    begin_quorum_epoch_response::BeginQuorumEpochResponse { error_code, topics, node_endpoints in 1.. }
    begin_quorum_epoch_response::TopicData { topic_name, partitions }
    begin_quorum_epoch_response::PartitionData { partition_index, error_code, leader_id, leader_epoch }
    begin_quorum_epoch_response::NodeEndpoint { node_id in 1.., host in 1.., port in 1.. }
    end_quorum_epoch_request::EndQuorumEpochRequest { cluster_id, topics, leader_endpoints }
    end_quorum_epoch_request::TopicData { topic_name, partitions }
    end_quorum_epoch_request::PartitionData {
        partition_index, leader_id, leader_epoch, preferred_successors, preferred_candidates
    }
    end_quorum_epoch_request::ReplicaInfo { candidate_id in 1.., candidate_directory_id in 1.. }
    end_quorum_epoch_request::LeaderEndpoint { name in 1.., host in 1.., port in 1.. }
    end_quorum_epoch_response::EndQuorumEpochResponse { error_code, topics, node_endpoints in 1.. }
    end_quorum_epoch_response::TopicData { topic_name, partitions }
    end_quorum_epoch_response::PartitionData { partition_index, error_code, leader_id, leader_epoch }
    end_quorum_epoch_response::NodeEndpoint { node_id in 1.., host in 1.., port in 1.. }
    describe_quorum_request::DescribeQuorumRequest { topics }
    describe_quorum_request::TopicData { topic_name, partitions }
    describe_quorum_request::PartitionData { partition_index }
    describe_quorum_response::DescribeQuorumResponse { error_code, error_message, topics, nodes in 2.. }
    describe_quorum_response::TopicData { topic_name, partitions }
    describe_quorum_response::PartitionData {
        partition_index, error_code, error_message, leader_id, leader_epoch, high_watermark,
        current_voters, observers
    }
    describe_quorum_response::ReplicaState {
        replica_id, replica_directory_id in 2.., log_end_offset, last_fetch_timestamp,
        last_caught_up_timestamp
    }
    describe_quorum_response::Node { node_id in 2.., listeners in 2.. }
    describe_quorum_response::Listener { name in 2.., host in 2.., port in 2.. }
    alter_partition_request::AlterPartitionRequest { broker_id, broker_epoch, topics }
    alter_partition_request::TopicData { topic_id, partitions }
    alter_partition_request::PartitionData {
        partition_index, leader_epoch, new_isr in 0..=2, new_isr_with_epochs in 3..,
        leader_recovery_state, partition_epoch
    }
    alter_partition_request::BrokerState { broker_id in 3.., broker_epoch in 3.. }
    alter_partition_response::AlterPartitionResponse { throttle_time_ms, error_code, topics }
    alter_partition_response::TopicData { topic_id, partitions }
    alter_partition_response::PartitionData {
        partition_index, error_code, leader_id, leader_epoch, isr, leader_recovery_state,
        partition_epoch
    }
    update_features_request::UpdateFeaturesRequest { timeout_ms, feature_updates, validate_only in 1.. }
    update_features_request::FeatureUpdateKey {
        feature, max_version_level, allow_downgrade in 0..=0, upgrade_type in 1..
    }
    update_features_response::UpdateFeaturesResponse {
        throttle_time_ms, error_code, error_message, results
    }
    update_features_response::UpdatableFeatureResult { feature, error_code, error_message }
    envelope_request::EnvelopeRequest { request_data, request_principal, client_host_address }
    envelope_response::EnvelopeResponse { response_data, error_code }
    fetch_snapshot_request::FetchSnapshotRequest { cluster_id, replica_id, max_bytes, topics }
    fetch_snapshot_request::TopicSnapshot { name, partitions }
    fetch_snapshot_request::PartitionSnapshot {
        partition, current_leader_epoch, snapshot_id, position, replica_directory_id
    }
    fetch_snapshot_request::SnapshotId { end_offset, epoch }
    fetch_snapshot_response::FetchSnapshotResponse {
        throttle_time_ms, error_code, topics, node_endpoints in 1..
    }
    fetch_snapshot_response::TopicSnapshot { name, partitions }
    fetch_snapshot_response::PartitionSnapshot {
        index, error_code, snapshot_id, current_leader, size, position, unaligned_records
    }
    fetch_snapshot_response::SnapshotId { end_offset, epoch }
    fetch_snapshot_response::LeaderIdAndEpoch { leader_id, leader_epoch }
    fetch_snapshot_response::NodeEndpoint { node_id in 1.., host in 1.., port in 1.. }
    broker_registration_request::BrokerRegistrationRequest {
        broker_id, cluster_id, incarnation_id, listeners, features, rack,
        is_migrating_zk_broker in 1.., log_dirs, previous_broker_epoch
    }
    broker_registration_request::Listener { name, host, port, security_protocol }
    broker_registration_request::Feature { name, min_supported_version, max_supported_version }
    broker_registration_response::BrokerRegistrationResponse {
        throttle_time_ms, error_code, broker_epoch
    }
    broker_heartbeat_request::BrokerHeartbeatRequest {
        broker_id, broker_epoch, current_metadata_offset, want_fence, want_shut_down,
        offline_log_dirs in 1..
    }
    broker_heartbeat_response::BrokerHeartbeatResponse {
        throttle_time_ms, error_code, is_caught_up, is_fenced, should_shut_down
    }
    unregister_broker_request::UnregisterBrokerRequest { broker_id }
    unregister_broker_response::UnregisterBrokerResponse { throttle_time_ms, error_code, error_message }
    allocate_producer_ids_request::AllocateProducerIdsRequest { broker_id, broker_epoch }
    allocate_producer_ids_response::AllocateProducerIdsResponse {
        throttle_time_ms, error_code, producer_id_start, producer_id_len
    }
    controller_registration_request::ControllerRegistrationRequest {
        controller_id, incarnation_id, zk_migration_ready, listeners, features
    }
    controller_registration_request::Listener { name, host, port, security_protocol }
    controller_registration_request::Feature { name, min_supported_version, max_supported_version }
    controller_registration_response::ControllerRegistrationResponse {
        throttle_time_ms, error_code, error_message
    }
    assign_replicas_to_dirs_request::AssignReplicasToDirsRequest {
        broker_id, broker_epoch, directories
    }
    assign_replicas_to_dirs_request::DirectoryData { id, topics }
    assign_replicas_to_dirs_request::TopicData { topic_id, partitions }
    assign_replicas_to_dirs_request::PartitionData { partition_index }
    assign_replicas_to_dirs_response::AssignReplicasToDirsResponse {
        throttle_time_ms, error_code, directories
    }
    assign_replicas_to_dirs_response::DirectoryData { id, topics }
    assign_replicas_to_dirs_response::TopicData { topic_id, partitions }
    assign_replicas_to_dirs_response::PartitionData { partition_index, error_code }
    add_raft_voter_request::AddRaftVoterRequest {
        cluster_id, timeout_ms, voter_id, voter_directory_id, listeners
    }
    add_raft_voter_request::Listener { name, host, port }
    add_raft_voter_response::AddRaftVoterResponse { throttle_time_ms, error_code, error_message }
    remove_raft_voter_request::RemoveRaftVoterRequest { cluster_id, voter_id, voter_directory_id }
    remove_raft_voter_response::RemoveRaftVoterResponse { throttle_time_ms, error_code, error_message }
    update_raft_voter_request::UpdateRaftVoterRequest {
        cluster_id, current_leader_epoch, voter_id, voter_directory_id, listeners,
        k_raft_version_feature
    }
    update_raft_voter_request::Listener { name, host, port }
    update_raft_voter_request::KRaftVersionFeature { min_supported_version, max_supported_version }
    update_raft_voter_response::UpdateRaftVoterResponse { throttle_time_ms, error_code, current_leader }
    update_raft_voter_response::CurrentLeader { leader_id, leader_epoch, host, port }
}
