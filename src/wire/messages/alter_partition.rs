//! AlterPartition (key 56): a leader asks the controller to change its partition's ISR (KIP-497).
//!
//! The ISR's broker epochs come with version 3 (KIP-903): the controller refuses a replica that restarted
//! since. Kafka calls the parts of the response `TopicData` and `PartitionData` too.

use crate::types::Uuid;
use crate::wire::declare::declare;
use crate::wire::{ApiKey, Request};

declare! {
    /// The changes asked for.
    message AlterPartitionRequest, 2..=3, flexible 0.. {
        /// Who asks.
        broker_id: i32, 0..;
        broker_epoch: i64, 0.., default(-1);
        topics: Vec<TopicData>, 0..;
    }

    /// Partitions of one topic.
    struct TopicData {
        topic_id: Uuid, 2.., ignorable;
        partitions: Vec<PartitionData>, 0..;
    }

    /// The change of one partition.
    struct PartitionData {
        partition_index: i32, 0..;
        leader_epoch: i32, 0..;
        new_isr: Vec<i32>, 0..=2;
        /// The same, with broker epochs.
        new_isr_with_epochs: Vec<BrokerState>, 3..;
        /// 0: recovered; 1: recovering from an unclean election.
        leader_recovery_state: i8, 1..;
        /// The epoch that the change builds on.
        partition_epoch: i32, 0..;
    }

    /// A member of the ISR.
    struct BrokerState {
        broker_id: i32, 3..;
        /// As of its last fetch; -1 if unknown, which is not checked.
        broker_epoch: i64, 3.., default(-1);
    }

    /// What became of it.
    message AlterPartitionResponse, 2..=3, flexible 0.. {
        throttle_time_ms: i32, 0..;
        error_code: i16, 0..;
        topics: Vec<TopicResult>, 0..;
    }

    /// What became of one topic.
    struct TopicResult {
        topic_id: Uuid, 2.., ignorable;
        partitions: Vec<PartitionResult>, 0..;
    }

    /// What became of one partition, and how it stands now.
    struct PartitionResult {
        partition_index: i32, 0..;
        error_code: i16, 0..;
        leader_id: i32, 0..;
        leader_epoch: i32, 0..;
        isr: Vec<i32>, 0..;
        leader_recovery_state: i8, 1.., ignorable;
        partition_epoch: i32, 0..;
    }
}

impl Request for AlterPartitionRequest {
    const KEY: ApiKey = ApiKey::AlterPartition;
    type Response = AlterPartitionResponse;
}
