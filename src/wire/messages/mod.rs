//! Requests and responses, one file per API.

pub mod add_raft_voter;
pub mod allocate_producer_ids;
pub mod alter_partition;
pub mod alter_partition_reassignments;
pub mod alter_replica_log_dirs;
pub mod api_versions;
pub mod assign_replicas_to_dirs;
pub mod begin_quorum_epoch;
pub mod broker_heartbeat;
pub mod broker_registration;
pub mod controller_registration;
pub mod create_partitions;
pub mod create_topics;
pub mod delete_records;
pub mod delete_topics;
pub mod describe_cluster;
pub mod describe_configs;
pub mod describe_log_dirs;
pub mod describe_quorum;
pub mod describe_topic_partitions;
pub mod elect_leaders;
pub mod end_quorum_epoch;
pub mod envelope;
pub mod fetch;
pub mod fetch_snapshot;
pub mod incremental_alter_configs;
pub mod init_producer_id;
pub mod list_offsets;
pub mod list_partition_reassignments;
pub mod metadata;
pub mod offset_for_leader_epoch;
pub mod principal;
pub mod produce;
pub mod remove_raft_voter;
pub mod unregister_broker;
pub mod update_features;
pub mod update_raft_voter;
pub mod vote;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{Message, Request};

    fn agrees<R: Request>() {
        for (name, versions, flexible_since) in [
            (R::NAME, R::VERSIONS, R::FLEXIBLE_SINCE),
            (R::Response::NAME, R::Response::VERSIONS, R::Response::FLEXIBLE_SINCE),
        ] {
            assert_eq!(versions, R::KEY.versions(), "{name}");
            for version in versions.min..=versions.max {
                assert_eq!(
                    version >= flexible_since,
                    R::KEY.request_is_flexible(version),
                    "{name} {version}"
                );
            }
        }
        assert_eq!(R::NAME, format!("{}Request", R::KEY));
        assert_eq!(R::Response::NAME, format!("{}Response", R::KEY));
    }

    #[test]
    fn declarations_agree_with_the_table_of_apis() {
        agrees::<add_raft_voter::AddRaftVoterRequest>();
        agrees::<allocate_producer_ids::AllocateProducerIdsRequest>();
        agrees::<alter_partition::AlterPartitionRequest>();
        agrees::<alter_partition_reassignments::AlterPartitionReassignmentsRequest>();
        agrees::<alter_replica_log_dirs::AlterReplicaLogDirsRequest>();
        agrees::<api_versions::ApiVersionsRequest>();
        agrees::<assign_replicas_to_dirs::AssignReplicasToDirsRequest>();
        agrees::<begin_quorum_epoch::BeginQuorumEpochRequest>();
        agrees::<broker_heartbeat::BrokerHeartbeatRequest>();
        agrees::<broker_registration::BrokerRegistrationRequest>();
        agrees::<controller_registration::ControllerRegistrationRequest>();
        agrees::<create_partitions::CreatePartitionsRequest>();
        agrees::<create_topics::CreateTopicsRequest>();
        agrees::<delete_records::DeleteRecordsRequest>();
        agrees::<delete_topics::DeleteTopicsRequest>();
        agrees::<describe_cluster::DescribeClusterRequest>();
        agrees::<describe_configs::DescribeConfigsRequest>();
        agrees::<describe_log_dirs::DescribeLogDirsRequest>();
        agrees::<describe_quorum::DescribeQuorumRequest>();
        agrees::<describe_topic_partitions::DescribeTopicPartitionsRequest>();
        agrees::<elect_leaders::ElectLeadersRequest>();
        agrees::<end_quorum_epoch::EndQuorumEpochRequest>();
        agrees::<envelope::EnvelopeRequest>();
        agrees::<fetch::FetchRequest>();
        agrees::<fetch_snapshot::FetchSnapshotRequest>();
        agrees::<incremental_alter_configs::IncrementalAlterConfigsRequest>();
        agrees::<init_producer_id::InitProducerIdRequest>();
        agrees::<list_offsets::ListOffsetsRequest>();
        agrees::<list_partition_reassignments::ListPartitionReassignmentsRequest>();
        agrees::<metadata::MetadataRequest>();
        agrees::<offset_for_leader_epoch::OffsetForLeaderEpochRequest>();
        agrees::<produce::ProduceRequest>();
        agrees::<remove_raft_voter::RemoveRaftVoterRequest>();
        agrees::<unregister_broker::UnregisterBrokerRequest>();
        agrees::<update_features::UpdateFeaturesRequest>();
        agrees::<update_raft_voter::UpdateRaftVoterRequest>();
        agrees::<vote::VoteRequest>();
    }
}
