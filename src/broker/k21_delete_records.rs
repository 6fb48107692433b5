//! DeleteRecords (key 21), versions 0 to 2 (KIP-107): raises the log start of partitions.
//!
//! - Offset -1 means the high watermark. Below the log start nothing happens; below -1 and above the high
//!   watermark it is OFFSET_OUT_OF_RANGE.
//! - The answer says where the log starts, and comes once that is durable, so that a crash brings no deleted
//!   record back. Kafka writes its checkpoint only later.
//! - It also waits, as long as `timeout_ms` allows, until every follower whose broker is not fenced has told with a
//!   Fetch that its log starts there, too; then it is REQUEST_TIMED_OUT. The least of all log starts is the answer.
//!   What a follower says is not durable there yet, as in Kafka.
//! - A topic that is compacted and nothing else is POLICY_VIOLATION, one of the cluster's own
//!   INVALID_TOPIC_EXCEPTION.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use super::admission::throttle_time_ms;
use super::hosting::find_replica;
use super::{Broker, decode, malformed, respond};
use crate::controller::image::TopicImage;
use crate::controller::names;
use crate::env::Env;
use crate::error_code::ErrorCode;
use crate::node::context::{Operation, RequestContext, Resource};
use crate::node::metadata::Published;
use crate::node::replica::{AckFailure, Deleted, Replica};
use crate::node::service::{Answer, IncomingRequest, Reply};
use crate::types::{BrokerId, Mono, Offset, Uuid};
use crate::wire::messages::delete_records::*;

/// What stands for the high watermark.
const HIGH_WATERMARK: i64 = -1;
/// The low watermark beside an error.
const NO_LOW_WATERMARK: i64 = -1;

/// Deletes here, and says what the answer waits for.
pub(super) async fn reply<E: Env>(broker: &Broker<E>, request: IncomingRequest) -> Reply {
    let IncomingRequest { context, body, permit } = request;
    let delete = match decode::<DeleteRecordsRequest>(&context, &body) {
        Ok(delete) => delete,
        Err(error) => return Reply::Now(malformed(&context, &error)),
    };
    drop((body, permit));
    let timeout = Duration::from_millis(u64::try_from(delete.timeout_ms).unwrap_or(0));
    let deadline = context.deadline(timeout);
    let deleted = delete_here(broker, &context, delete).await;
    if deleted.iter().flat_map(|topic| &topic.partitions).all(|partition| partition.awaited.is_none()) {
        return Reply::Now(answer(&context, deleted));
    }
    Reply::later(async move {
        let settled = settle(deleted, deadline).await;
        answer(&context, settled)
    })
}

struct DeletedTopic<R> {
    name: String,
    partitions: Vec<DeletedPartition<R>>,
}

struct DeletedPartition<R> {
    result: DeleteRecordsPartitionResult,
    /// The replica whose followers have to follow yet, and to where.
    awaited: Option<(R, Offset)>,
}

async fn delete_here<E: Env>(
    broker: &Broker<E>,
    context: &RequestContext,
    request: DeleteRecordsRequest,
) -> Vec<DeletedTopic<Arc<Replica<E>>>> {
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
        let partitions = partitions.map(|(partition, outcome)| deleted(partition.partition_index, outcome));
        DeletedTopic { name: topic.name, partitions: partitions.collect() }
    });
    topics.collect()
}

/// A log start that was raised.
struct Raised<R> {
    replica: R,
    deleted: Deleted,
    /// The directory whose checkpoint must say so.
    directory: Uuid,
}

async fn raise<E: Env>(
    published: &Published<E>,
    own: BrokerId,
    topic: Option<&TopicImage>,
    partition: &DeleteRecordsPartition,
) -> Result<Raised<Arc<Replica<E>>>, ErrorCode> {
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
    let deleted = replica.raise_log_start(to)?;
    Ok(Raised { deleted, directory: replica.directory().id(), replica: Arc::clone(replica) })
}

/// Where the checkpoint could not be written, the records are gone from this log, but a crash could bring them
/// back: nothing is promised.
fn promise<R>(outcome: &mut Result<Raised<R>, ErrorCode>, durable: &BTreeSet<Uuid>) {
    if outcome.as_ref().is_ok_and(|raised| !durable.contains(&raised.directory)) {
        *outcome = Err(ErrorCode::KafkaStorageError);
    }
}

fn deleted<R>(partition_index: i32, outcome: Result<Raised<R>, ErrorCode>) -> DeletedPartition<R> {
    let (code, low_watermark, awaited) = match outcome {
        Ok(Raised { replica, deleted, .. }) => {
            let awaited = (!deleted.is_everywhere()).then_some((replica, deleted.until));
            (ErrorCode::None, deleted.low_watermark.0, awaited)
        }
        Err(code) => (code, NO_LOW_WATERMARK, None),
    };
    let result = DeleteRecordsPartitionResult { partition_index, low_watermark, error_code: code.code() };
    DeletedPartition { result, awaited }
}

/// Waits for the followers until the deadline of the request. Whoever is told that the time is up is told where the
/// low watermark was at the beginning, as by Kafka.
async fn settle<E: Env>(
    mut topics: Vec<DeletedTopic<Arc<Replica<E>>>>,
    deadline: Mono,
) -> Vec<DeletedTopic<Arc<Replica<E>>>> {
    for DeletedPartition { result, awaited } in topics.iter_mut().flat_map(|topic| &mut topic.partitions) {
        let Some((replica, until)) = awaited.take() else { continue };
        match replica.deleted_everywhere(until, deadline).await {
            Ok(low_watermark) => result.low_watermark = low_watermark.0,
            Err(failure) => {
                result.error_code = failure.error_code().code();
                if failure != AckFailure::TimedOut {
                    result.low_watermark = NO_LOW_WATERMARK;
                }
            }
        }
    }
    topics
}

fn answer<R>(context: &RequestContext, topics: Vec<DeletedTopic<R>>) -> Answer {
    let topics = topics.into_iter().map(|DeletedTopic { name, partitions }| DeleteRecordsTopicResult {
        name,
        partitions: partitions.into_iter().map(|partition| partition.result).collect(),
    });
    let response =
        DeleteRecordsResponse { throttle_time_ms: throttle_time_ms(context), topics: topics.collect() };
    respond::<DeleteRecordsRequest>(context, &response)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_promised_of_what_is_not_durable_and_followers_are_awaited() {
        let raised = |low_watermark, directory| {
            let deleted = Deleted { until: Offset(7), low_watermark: Offset(low_watermark) };
            Ok(Raised { replica: (), deleted, directory: Uuid(directory) })
        };
        let outcomes = [raised(7, 1), raised(-1, 1), raised(7, 2), Err(ErrorCode::OffsetOutOfRange)];
        let durable = BTreeSet::from([Uuid(1), Uuid(3)]);
        let results = (0..).zip(outcomes).map(|(index, mut outcome)| {
            promise(&mut outcome, &durable);
            let DeletedPartition { result, awaited } = deleted(index, outcome);
            (
                result.partition_index,
                result.error_code,
                result.low_watermark,
                awaited.map(|((), until)| until.0),
            )
        });
        let expected = [(0, 0, 7, None), (1, 0, -1, Some(7)), (2, 56, -1, None), (3, 1, -1, None)];
        assert_eq!(results.collect::<Vec<_>>(), expected);
    }
}
