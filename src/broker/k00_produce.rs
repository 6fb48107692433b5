//! Produce (key 0), versions 3-13 (0-2 are listed for librdkafka's sake and refused; KAFKA-18659).
//!
//! Batches are checked and appended in the order of the requests of a connection; the answers wait for what
//! their acks ask for, while further requests are appended. Partitions of one request are independent: each
//! has its own error. acks=0 has no answer; if anything fails, the connection is closed, which is all that
//! such a producer can notice.
//!
//! Idempotent producers (KIP-98) are served; transactional batches are refused with INVALID_TXN_STATE, since
//! there is no transaction coordinator yet. The topics of the cluster itself are for its own coordinators to
//! write to: INVALID_TOPIC_EXCEPTION, save for a client that calls itself `__admin_client`, as in Kafka.

use std::sync::Arc;
use std::time::Duration;

use super::hosting::find_replica;
use super::{Broker, decode, malformed, respond};
use crate::config::topic::{MessageTimestampType, TopicCompression, TopicConfig};
use crate::controller::image::TopicImage;
use crate::controller::names;
use crate::env::{Clock, Env};
use crate::error_code::ErrorCode;
use crate::node::context::{Operation, RequestContext, Resource};
use crate::node::metadata::Published;
use crate::node::replica::{Pending, Receipt, Replica};
use crate::node::service::{Answer, IncomingRequest, Reply};
use crate::partition::{Acks, AppendRefusal};
use crate::types::{LogStart, Mono, Uuid, WallMs};
use crate::wire::batch::TimestampType;
use crate::wire::compression::{Compression, Encoding};
use crate::wire::messages::produce::{
    BatchIndexAndErrorMessage, LeaderIdAndEpoch, NodeEndpoint, PartitionProduceData,
    PartitionProduceResponse, ProduceRequest, ProduceResponse, TopicProduceData, TopicProduceResponse,
};
use crate::wire::validate::{Rejected, Rules, Validated, decompressed_limit, validate};

/// The first version that may carry zstd.
const ZSTD_SINCE: i16 = 7;

/// The first version that identifies topics instead of naming them.
const TOPIC_IDS_SINCE: i16 = 13;

/// The first version that tells who leads (KIP-951).
const LEADERS_SINCE: i16 = 10;

/// Whoever calls himself so may write to the topics of the cluster itself.
const ADMIN_CLIENT: &str = "__admin_client";

/// Appends, and says what the answer waits for.
pub(super) async fn reply<E: Env>(broker: &Broker<E>, request: IncomingRequest) -> Reply {
    let IncomingRequest { context, body, permit } = request;
    let produce = match decode::<ProduceRequest>(&context, &body) {
        Ok(produce) => produce,
        Err(error) => return Reply::Now(malformed(&context, &error)),
    };
    drop(body);
    let timeout = Duration::from_millis(u64::try_from(produce.timeout_ms).unwrap_or(0));
    let deadline = context.deadline(timeout);
    let silent = produce.acks == 0;
    let published = broker.metadata.current();
    let appended = append_all(broker, &published, &context, produce).await;
    // The records are in the log: what was read from the network is not needed any more.
    drop(permit);
    if silent {
        return Reply::Now(silent_answer(&appended));
    }
    let broker = broker.clone();
    if appended.is_complete() {
        return Reply::Now(answer(&broker, &published, &context, appended));
    }
    Reply::later(async move {
        let settled = appended.settle(broker.env.clock(), deadline).await;
        answer(&broker, &published, &context, settled)
    })
}

/// What became of a request's batches.
struct AppendedRequest<E: Env> {
    topics: Vec<AppendedTopic<E>>,
}

struct AppendedTopic<E: Env> {
    name: String,
    topic_id: Uuid,
    partitions: Vec<AppendedPartition<E>>,
}

struct AppendedPartition<E: Env> {
    response: PartitionProduceResponse,
    pending: Option<(Arc<Replica<E>>, Pending)>,
}

async fn append_all<E: Env>(
    broker: &Broker<E>,
    published: &Published<E>,
    context: &RequestContext,
    produce: ProduceRequest,
) -> AppendedRequest<E> {
    let checks = Checks {
        acks: Acks::from_code(produce.acks),
        transactional_id: produce.transactional_id.as_deref(),
        context,
    };
    let mut topics = Vec::with_capacity(produce.topic_data.len());
    for TopicProduceData { name, topic_id, partition_data } in produce.topic_data {
        let topic = find_topic(published, context, &name, topic_id);
        let mut partitions = Vec::with_capacity(partition_data.len());
        for data in partition_data {
            let partition = match topic {
                Ok(topic) => append_one(broker, published, topic, &checks, data).await,
                Err(code) => refused(data.index, code, None),
            };
            partitions.push(partition);
        }
        // A topic without partitions is not answered, as in Kafka.
        if !partitions.is_empty() {
            topics.push(AppendedTopic { name, topic_id, partitions });
        }
    }
    AppendedRequest { topics }
}

/// The topic that is meant. Whoever may not write to a name is not told whether there is such a topic.
fn find_topic<'a, E: Env>(
    published: &'a Published<E>,
    context: &RequestContext,
    name: &str,
    topic_id: Uuid,
) -> Result<&'a TopicImage, ErrorCode> {
    let by_id = context.api_version >= TOPIC_IDS_SINCE;
    let topic = match by_id {
        true => Some(published.image.topic(topic_id).ok_or(ErrorCode::UnknownTopicId)?),
        false => published.image.topic_named(name),
    };
    let name = topic.map_or(name, |topic| &topic.name);
    if !context.authorize(Operation::Write, Resource::Topic(name)) {
        return Err(ErrorCode::TopicAuthorizationFailed);
    }
    topic.map(AsRef::as_ref).ok_or(ErrorCode::UnknownTopicOrPartition)
}

/// What holds for the whole request.
struct Checks<'a> {
    acks: Option<Acks>,
    transactional_id: Option<&'a str>,
    context: &'a RequestContext,
}

async fn append_one<E: Env>(
    broker: &Broker<E>,
    published: &Published<E>,
    topic: &TopicImage,
    checks: &Checks<'_>,
    data: PartitionProduceData,
) -> AppendedPartition<E> {
    let PartitionProduceData { index, records } = data;
    let replica = match find_replica(published, broker.id(), Some(topic), index) {
        Ok(replica) => replica,
        Err(code) => return refused(index, code, None),
    };
    let Some(acks) = checks.acks else { return refused(index, ErrorCode::InvalidRequiredAcks, None) };
    if names::is_internal(&topic.name) && checks.context.client_id.as_deref() != Some(ADMIN_CLIENT) {
        let message = format!("Cannot append to internal topic {}", topic.name);
        return refused(index, ErrorCode::InvalidTopicException, Some(message));
    }
    let now = broker.env.clock().wall();
    let rules = rules(&replica.config(), checks.context.api_version, now);
    let validated = broker.with_scratch(|scratch| validate(&records.unwrap_or_default(), &rules, scratch));
    let batch = match validated {
        Ok(batch) => batch,
        Err(rejected) => {
            return with_log_start(rejected_batch(index, &rejected), replica.positions().log_start);
        }
    };
    if batch.header.is_transactional() {
        return refused_transaction(index, checks);
    }
    append(replica, index, &batch, acks).await
}

fn refused_transaction<E: Env>(index: i32, checks: &Checks<'_>) -> AppendedPartition<E> {
    let permitted = |id| checks.context.authorize(Operation::Write, Resource::TransactionalId(id));
    if !checks.transactional_id.is_some_and(permitted) {
        return refused(index, ErrorCode::TransactionalIdAuthorizationFailed, None);
    }
    let message = "transactions are not supported by this version of the broker".to_owned();
    refused(index, ErrorCode::InvalidTxnState, Some(message))
}

async fn append<E: Env>(
    replica: &Arc<Replica<E>>,
    index: i32,
    batch: &Validated,
    acks: Acks,
) -> AppendedPartition<E> {
    match replica.append(batch, acks).await {
        Ok(Receipt { base_offset, log_append_time, log_start, pending }) => AppendedPartition {
            response: PartitionProduceResponse {
                index,
                base_offset: base_offset.0,
                log_append_time_ms: log_append_time.map_or(-1, |time| time.0),
                log_start_offset: log_start.offset().0,
                error_message: None,
                ..PartitionProduceResponse::default()
            },
            pending: pending.map(|pending| (Arc::clone(replica), pending)),
        },
        Err(refusal) => {
            // Not leading is no news to the client; of the rest it should know why.
            let message = (refusal != AppendRefusal::NotLeader).then(|| refusal.to_string());
            with_log_start(refused(index, refusal.error_code(), message), replica.positions().log_start)
        }
    }
}

/// Kafka says where the log starts also for a batch that it refuses, save for what it finds out before it looks
/// at the log.
fn with_log_start<E: Env>(mut partition: AppendedPartition<E>, log_start: LogStart) -> AppendedPartition<E> {
    let unsaid = [
        ErrorCode::CorruptMessage,
        ErrorCode::NotLeaderOrFollower,
        ErrorCode::MessageTooLarge,
        ErrorCode::KafkaStorageError,
    ];
    if !unsaid.iter().any(|code| code.code() == partition.response.error_code) {
        partition.response.log_start_offset = log_start.offset().0;
    }
    partition
}

/// What the topic asks of a batch.
fn rules(config: &TopicConfig, version: i16, now: WallMs) -> Rules {
    let signed = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
    let max_message_bytes = usize::try_from(config.max_message_bytes).unwrap_or(usize::MAX);
    Rules {
        timestamp_type: match config.message_timestamp_type {
            MessageTimestampType::CreateTime => TimestampType::CreateTime,
            MessageTimestampType::LogAppendTime => TimestampType::LogAppendTime,
        },
        before_max_ms: signed(config.message_timestamp_before_max_ms),
        after_max_ms: signed(config.message_timestamp_after_max_ms),
        now,
        compacted: config.compact,
        max_message_bytes,
        max_decompressed_bytes: decompressed_limit(max_message_bytes),
        encoding: match config.compression {
            TopicCompression::Producer => None,
            TopicCompression::Uncompressed => Some(Compression::None.into()),
            // -1 is "gzip's own default".
            TopicCompression::Gzip(level) => {
                Some(Encoding { codec: Compression::Gzip, level: Some(level).filter(|level| *level >= 0) })
            }
            TopicCompression::Snappy => Some(Compression::Snappy.into()),
            TopicCompression::Lz4 => Some(Compression::Lz4.into()),
            TopicCompression::Zstd(level) => Some(Encoding { codec: Compression::Zstd, level: Some(level) }),
        },
        zstd_allowed: version >= ZSTD_SINCE,
    }
}

fn refused<E: Env>(index: i32, code: ErrorCode, message: Option<String>) -> AppendedPartition<E> {
    let response = PartitionProduceResponse {
        index,
        error_code: code.code(),
        base_offset: -1,
        error_message: message,
        ..PartitionProduceResponse::default()
    };
    AppendedPartition { response, pending: None }
}

fn rejected_batch<E: Env>(index: i32, rejected: &Rejected) -> AppendedPartition<E> {
    let mut partition = refused(index, rejected.code(), Some(rejected.to_string()));
    let error = |fault: &crate::wire::validate::RecordFault| BatchIndexAndErrorMessage {
        batch_index: fault.batch_index,
        batch_index_error_message: Some(fault.fault.to_string()),
    };
    partition.response.record_errors = rejected.records.iter().map(error).collect();
    partition
}

impl<E: Env> AppendedRequest<E> {
    fn partitions(&self) -> impl Iterator<Item = &AppendedPartition<E>> {
        self.topics.iter().flat_map(|topic| &topic.partitions)
    }

    fn is_complete(&self) -> bool {
        self.partitions().all(|partition| partition.pending.is_none())
    }

    /// Waits for every acknowledgement, until the deadline of the request. What is not acknowledged by then may
    /// still be: the producer does not know, and sends it again.
    async fn settle(mut self, clock: &E::Clock, deadline: Mono) -> Self {
        for partition in self.topics.iter_mut().flat_map(|topic| &mut topic.partitions) {
            let Some((replica, mut pending)) = partition.pending.take() else { continue };
            let code = match clock.timeout_at(deadline, pending.outcome()).await {
                Some(Ok(())) => continue,
                Some(Err(failure)) => failure.error_code(),
                None => {
                    replica.cancel(&pending);
                    ErrorCode::RequestTimedOut
                }
            };
            partition.response.error_code = code.code();
            partition.response.base_offset = -1;
            partition.response.log_append_time_ms = -1;
        }
        self
    }
}

fn silent_answer<E: Env>(appended: &AppendedRequest<E>) -> Answer {
    let failed = appended.partitions().find(|partition| partition.response.error_code != 0);
    match failed.and_then(|partition| ErrorCode::from_code(partition.response.error_code)) {
        Some(code) => Answer::Close(format!("a Produce with acks=0 failed with {code}")),
        None => Answer::Nothing,
    }
}

fn answer<E: Env>(
    broker: &Broker<E>,
    published: &Published<E>,
    context: &RequestContext,
    appended: AppendedRequest<E>,
) -> Answer {
    let mut response = ProduceResponse {
        throttle_time_ms: i32::try_from(context.throttle().as_millis()).unwrap_or(i32::MAX),
        ..ProduceResponse::default()
    };
    for AppendedTopic { name, topic_id, partitions } in appended.topics {
        let mut partition_responses = Vec::with_capacity(partitions.len());
        for AppendedPartition { response: mut partition, .. } in partitions {
            let moved = partition.error_code == ErrorCode::NotLeaderOrFollower.code();
            if moved && context.api_version >= LEADERS_SINCE {
                name_leader(broker, published, context, &name, topic_id, &mut partition, &mut response);
            }
            partition_responses.push(partition);
        }
        response.responses.push(TopicProduceResponse { name, topic_id, partition_responses });
    }
    respond::<ProduceRequest>(context, &response)
}

/// Tells the client whom to turn to (KIP-951).
fn name_leader<E: Env>(
    broker: &Broker<E>,
    published: &Published<E>,
    context: &RequestContext,
    name: &str,
    topic_id: Uuid,
    partition: &mut PartitionProduceResponse,
    response: &mut ProduceResponse,
) {
    let topic = published.image.topic(topic_id).or_else(|| published.image.topic_named(name));
    let Some(registration) = topic.and_then(|topic| topic.partitions.get(&partition.index)) else { return };
    let (leader_id, leader_epoch) = (registration.leader.0, registration.leader_epoch.0);
    partition.current_leader = LeaderIdAndEpoch { leader_id, leader_epoch };
    let endpoint = broker.endpoint_of(&published.image, registration.leader, context);
    if let Some((host, port, rack)) = endpoint
        && !response.node_endpoints.iter().any(|known| known.node_id == leader_id)
    {
        response.node_endpoints.push(NodeEndpoint { node_id: leader_id, host, port, rack });
    }
}
