"""The requests that both brokers are sent, by API."""
from config_cases import *
from other_cases import *
from record_cases import *
from topic_cases import *


def all_cases(schemas, wanted):
    """The cases of the APIs wanted, by default of all."""
    parts = {"Produce": produce_cases, "Fetch": fetch_cases, "ListOffsets": list_offsets_cases,
             "Metadata": metadata_cases, "CreateTopics": create_topics_cases, "DeleteTopics": delete_topics_cases,
             "CreatePartitions": create_partitions_cases, "DeleteRecords": delete_records_cases,
             "InitProducerId": init_producer_id_cases, "DescribeConfigs": describe_configs_cases,
             "IncrementalAlterConfigs": alter_configs_cases, "DescribeCluster": describe_cluster_cases,
             "DescribeTopicPartitions": describe_partitions_cases, "ApiVersions": api_versions_cases,
             "frames": frame_cases}
    for name in wanted or parts:
        yield from parts[name](schemas)
