//! CreatePartitions (key 37): adds partitions to topics.

use crate::wire::declare::declare;
use crate::wire::{ApiKey, Request};

declare! {
    /// Topics to add to.
    message CreatePartitionsRequest, 0..=3, flexible 2.. {
        topics: Vec<CreatePartitionsTopic>, 0..;
        /// How long the client waits for the answer, in milliseconds.
        timeout_ms: i32, 0..;
        validate_only: bool, 0..;
    }

    /// A topic to add to.
    struct CreatePartitionsTopic {
        name: String, 0..;
        /// The number of partitions afterwards.
        count: i32, 0..;
        /// Null: chosen by the controller.
        assignments: Option<Vec<CreatePartitionsAssignment>>, 0.., default(Some(Vec::new()));
    }

    /// The replicas of one new partition, chosen by hand.
    struct CreatePartitionsAssignment {
        broker_ids: Vec<i32>, 0..;
    }

    /// What became of it.
    message CreatePartitionsResponse, 0..=3, flexible 2.. {
        throttle_time_ms: i32, 0..;
        results: Vec<CreatePartitionsTopicResult>, 0..;
    }

    /// What became of one topic.
    struct CreatePartitionsTopicResult {
        name: String, 0..;
        error_code: i16, 0..;
        error_message: Option<String>, 0..;
    }
}

impl Request for CreatePartitionsRequest {
    const KEY: ApiKey = ApiKey::CreatePartitions;
    type Response = CreatePartitionsResponse;
}
