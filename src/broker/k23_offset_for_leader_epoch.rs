//! OffsetForLeaderEpoch (key 23), versions 2 to 4: where a leader epoch ends in the leader's log (KIP-101,
//! KIP-320).
//!
//! - An epoch that is not known ends at -1, without error.
//! - Like in Kafka, a consumer is told ends beyond the high watermark as well.
//! - Only the leader answers, and only those who mean the same leader epoch (KIP-320).

use super::Broker;
use super::admission::throttle_time_ms;
use super::hosting::find_replica;
use crate::env::Env;
use crate::error_code::ErrorCode;
use crate::node::context::{Operation, RequestContext, Resource};
use crate::node::metadata::Published;
use crate::partition::EpochEnd;
use crate::types::LeaderEpoch;
use crate::wire::messages::offset_for_leader_epoch::*;

pub(super) async fn handle<E: Env>(
    broker: Broker<E>,
    context: RequestContext,
    request: OffsetForLeaderEpochRequest,
) -> OffsetForLeaderEpochResponse {
    let published = broker.metadata.current();
    let mut topics = Vec::new();
    for OffsetForLeaderTopic { topic, partitions: asked } in request.topics {
        let permitted = context.authorize(Operation::Describe, Resource::Topic(&topic));
        let mut partitions = Vec::new();
        for asked in asked {
            let end = match permitted {
                true => end(&broker, &published, &topic, &asked).await,
                false => Err(ErrorCode::TopicAuthorizationFailed),
            };
            partitions.push(answer(asked.partition, end));
        }
        topics.push(OffsetForLeaderTopicResult { topic, partitions });
    }
    OffsetForLeaderEpochResponse { throttle_time_ms: throttle_time_ms(&context), topics }
}

async fn end<E: Env>(
    broker: &Broker<E>,
    published: &Published<E>,
    topic: &str,
    asked: &OffsetForLeaderPartition,
) -> Result<Option<EpochEnd>, ErrorCode> {
    let registered = published.image.topic_named(topic).map(AsRef::as_ref);
    let replica = find_replica(published, broker.id(), registered, asked.partition)?;
    replica.epoch_durable().await;
    let (current, requested) = (LeaderEpoch(asked.current_leader_epoch), LeaderEpoch(asked.leader_epoch));
    replica.epoch_end(current, requested).map_err(|refusal| refusal.error_code())
}

fn answer(partition: i32, end: Result<Option<EpochEnd>, ErrorCode>) -> EpochEndOffset {
    let answer = EpochEndOffset { partition, ..EpochEndOffset::default() };
    match end {
        Ok(Some(EpochEnd { epoch, end_offset })) => {
            EpochEndOffset { leader_epoch: epoch.0, end_offset: end_offset.0, ..answer }
        }
        Ok(None) => answer,
        Err(code) => EpochEndOffset { error_code: code.code(), ..answer },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::Offset;

    #[test]
    fn what_is_not_known_is_minus_one_without_error() {
        let end = EpochEnd { epoch: LeaderEpoch(3), end_offset: Offset(70) };
        let told = |end| {
            let EpochEndOffset { error_code, partition, leader_epoch, end_offset } = answer(5, end);
            (error_code, partition, leader_epoch, end_offset)
        };
        assert_eq!(told(Ok(Some(end))), (0, 5, 3, 70));
        assert_eq!(told(Ok(None)), (0, 5, -1, -1));
        assert_eq!(told(Err(ErrorCode::FencedLeaderEpoch)), (74, 5, -1, -1));
    }
}
