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

use std::collections::BTreeSet;

use super::Broker;
use super::admission::throttle_time_ms;
use super::hosting::find_replica;
use crate::controller::image::TopicImage;
use crate::controller::names;
use crate::env::Env;
use crate::error_code::ErrorCode;
use crate::node::context::{Operation, RequestContext, Resource};
use crate::node::metadata::Published;
use crate::types::{BrokerId, LogStart, Offset, Uuid};
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
    let mut outcomes = Vec::new();
    for topic in &request.topics {
        let permitted = context.authorize(Operation::Delete, Resource::Topic(&topic.name));
        let registered = published.image.topic_named(&topic.name).map(AsRef::as_ref);
        let mut raised = Vec::new();
        for partition in &topic.partitions {
            raised.push(match permitted {
                true => raise(&published, broker.id(), registered, partition).await,
                false => Err(ErrorCode::TopicAuthorizationFailed),
            });
        }
        outcomes.push(raised);
    }
    if outcomes.iter().flatten().any(Result::is_ok) {
        let durable = broker.housekeeping.checkpoint_log_starts().await;
        outcomes.iter_mut().flatten().for_each(|outcome| promise(outcome, &durable));
    }
    let topics = request.topics.into_iter().zip(outcomes).map(|(topic, outcomes)| {
        let partitions = topic.partitions.iter().zip(outcomes);
        let partitions =
            partitions.map(|(partition, outcome)| result(partition.partition_index, outcome)).collect();
        DeleteRecordsTopicResult { name: topic.name, partitions }
    });
    DeleteRecordsResponse { throttle_time_ms: throttle_time_ms(&context), topics: topics.collect() }
}

/// A log start that was raised.
struct Raised {
    to: LogStart,
    /// The directory whose checkpoint must say so.
    directory: Uuid,
}

async fn raise<E: Env>(
    published: &Published<E>,
    own: BrokerId,
    topic: Option<&TopicImage>,
    partition: &DeleteRecordsPartition,
) -> Result<Raised, ErrorCode> {
    let replica = find_replica(published, own, topic, partition.partition_index)?;
    if topic.is_some_and(|topic| names::is_internal(&topic.name)) {
        return Err(ErrorCode::InvalidTopicException);
    }
    let config = replica.config();
    if config.compact && !config.delete {
        return Err(ErrorCode::PolicyViolation);
    }
    replica.epoch_durable().await;
    let to = (partition.offset != HIGH_WATERMARK).then_some(Offset(partition.offset));
    Ok(Raised { to: replica.raise_log_start(to)?, directory: replica.directory().id() })
}

/// Where the checkpoint could not be written, the records are gone from this log, but a crash could bring them
/// back: nothing is promised.
fn promise(outcome: &mut Result<Raised, ErrorCode>, durable: &BTreeSet<Uuid>) {
    if outcome.as_ref().is_ok_and(|raised| !durable.contains(&raised.directory)) {
        *outcome = Err(ErrorCode::KafkaStorageError);
    }
}

fn result(partition_index: i32, outcome: Result<Raised, ErrorCode>) -> DeleteRecordsPartitionResult {
    let (code, low_watermark) = match outcome {
        Ok(raised) => (ErrorCode::None, raised.to.offset().0),
        Err(code) => (code, NO_LOW_WATERMARK),
    };
    DeleteRecordsPartitionResult { partition_index, low_watermark, error_code: code.code() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_promised_of_what_is_not_durable() {
        let raised = |directory| Ok(Raised { to: LogStart(Offset(7)), directory: Uuid(directory) });
        let outcomes = [raised(1), raised(2), Err(ErrorCode::OffsetOutOfRange)];
        let durable = BTreeSet::from([Uuid(1), Uuid(3)]);
        let results = (0..).zip(outcomes).map(|(index, mut outcome)| {
            promise(&mut outcome, &durable);
            let result = result(index, outcome);
            (result.partition_index, result.error_code, result.low_watermark)
        });
        assert_eq!(results.collect::<Vec<_>>(), [(0, 0, 7), (1, 56, -1), (2, 1, -1)]);
    }
}
