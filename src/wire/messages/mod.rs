//! Requests and responses, one file per API.

pub mod api_versions;
pub mod create_partitions;
pub mod create_topics;
pub mod delete_records;
pub mod delete_topics;
pub mod describe_cluster;
pub mod describe_configs;
pub mod describe_topic_partitions;
pub mod fetch;
pub mod incremental_alter_configs;
pub mod init_producer_id;
pub mod list_offsets;
pub mod metadata;
pub mod produce;

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
        agrees::<api_versions::ApiVersionsRequest>();
        agrees::<create_partitions::CreatePartitionsRequest>();
        agrees::<create_topics::CreateTopicsRequest>();
        agrees::<delete_records::DeleteRecordsRequest>();
        agrees::<delete_topics::DeleteTopicsRequest>();
        agrees::<describe_cluster::DescribeClusterRequest>();
        agrees::<describe_configs::DescribeConfigsRequest>();
        agrees::<describe_topic_partitions::DescribeTopicPartitionsRequest>();
        agrees::<fetch::FetchRequest>();
        agrees::<incremental_alter_configs::IncrementalAlterConfigsRequest>();
        agrees::<init_producer_id::InitProducerIdRequest>();
        agrees::<list_offsets::ListOffsetsRequest>();
        agrees::<metadata::MetadataRequest>();
        agrees::<produce::ProduceRequest>();
    }
}
