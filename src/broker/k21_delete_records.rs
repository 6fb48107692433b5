//! DeleteRecords (key 21), versions 0 to 2 (KIP-107): raises the log start of partitions.
//!
//! - Offset -1 means the high watermark. Below the log start nothing happens; below -1 and above the high
//!   watermark it is OFFSET_OUT_OF_RANGE.
//! - The answer says where the log starts, and comes once that is durable, so that a crash brings no deleted
//!   record back. Kafka writes its checkpoint only later.
//! - A topic that is compacted and nothing else is POLICY_VIOLATION, one of the cluster's own
//!   INVALID_TOPIC_EXCEPTION.
//!
//! Not done: waiting until followers have raised their log start too, for which Kafka's `timeout_ms` is there.

use super::Broker;
use super::admission::throttle_time_ms;
use super::hosting::find_replica;
use crate::controller::image::TopicImage;
use crate::controller::names;
use crate::env::Env;
use crate::error_code::ErrorCode;
use crate::node::context::{Operation, RequestContext, Resource};
use crate::node::metadata::Published;
use crate::types::{BrokerId, LogStart, Offset};
use crate::wire::messages::delete_records::*;

/// What stands for the high watermark.
const HIGH_WATERMARK: i64 = -1;
/// The low watermark beside an error.
const NO_LOW_WATERMARK: i64 = -1;

pub(super) async fn handle<E: Env>(
    broker: Broker<E>,
    context: RequestContext,
    request: DeleteRecordsRequest,
) -> DeleteRecordsResponse {
    let published = broker.metadata.current();
    let mut topics = Vec::new();
    for topic in &request.topics {
        let permitted = context.authorize(Operation::Delete, Resource::Topic(&topic.name));
        let registered = published.image.topic_named(&topic.name).map(AsRef::as_ref);
        let partitions = topic.partitions.iter().map(|partition| {
            let outcome = if permitted {
                raise(&published, broker.id(), registered, partition)
            } else {
                Err(ErrorCode::TopicAuthorizationFailed)
            };
            result(partition.partition_index, outcome)
        });
        topics.push(DeleteRecordsTopicResult { name: topic.name.clone(), partitions: partitions.collect() });
    }
    let raised = topics.iter().flat_map(|topic| &topic.partitions).any(|partition| partition.error_code == 0);
    if raised && !broker.housekeeping.checkpoint_log_starts().await {
        fail_raised(&mut topics);
    }
    DeleteRecordsResponse { throttle_time_ms: throttle_time_ms(&context), topics }
}

fn raise<E: Env>(
    published: &Published<E>,
    own: BrokerId,
    topic: Option<&TopicImage>,
    partition: &DeleteRecordsPartition,
) -> Result<LogStart, ErrorCode> {
    let replica = find_replica(published, own, topic, partition.partition_index)?;
    if topic.is_some_and(|topic| names::is_internal(&topic.name)) {
        return Err(ErrorCode::InvalidTopicException);
    }
    let config = replica.config();
    if config.compact && !config.delete {
        return Err(ErrorCode::PolicyViolation);
    }
    let to = (partition.offset != HIGH_WATERMARK).then_some(Offset(partition.offset));
    replica.raise_log_start(to)
}

fn result(partition_index: i32, outcome: Result<LogStart, ErrorCode>) -> DeleteRecordsPartitionResult {
    let (code, low_watermark) = match outcome {
        Ok(log_start) => (ErrorCode::None, log_start.offset().0),
        Err(code) => (code, NO_LOW_WATERMARK),
    };
    DeleteRecordsPartitionResult { partition_index, low_watermark, error_code: code.code() }
}

/// The records are gone from this log, but a crash could bring them back: nothing is promised.
fn fail_raised(topics: &mut [DeleteRecordsTopicResult]) {
    let raised = topics.iter_mut().flat_map(|topic| &mut topic.partitions);
    for partition in raised.filter(|partition| partition.error_code == 0) {
        *partition = result(partition.partition_index, Err(ErrorCode::KafkaStorageError));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_promised_of_what_is_not_durable() {
        let outcomes = [Ok(LogStart(Offset(7))), Err(ErrorCode::OffsetOutOfRange)];
        let partitions = (0..).zip(outcomes).map(|(index, outcome)| result(index, outcome)).collect();
        let mut topics = [DeleteRecordsTopicResult { name: "t".to_owned(), partitions }];
        let text = |topics: &[DeleteRecordsTopicResult]| {
            let partitions = topics[0].partitions.iter();
            partitions.map(|partition| (partition.error_code, partition.low_watermark)).collect::<Vec<_>>()
        };
        assert_eq!(text(&topics), [(0, 7), (1, -1)]);
        fail_raised(&mut topics);
        assert_eq!(text(&topics), [(56, -1), (1, -1)]);
    }
}
