//! Finding the replica that a request means.

use std::sync::Arc;

use crate::controller::image::TopicImage;
use crate::env::Env;
use crate::error_code::ErrorCode;
use crate::node::metadata::Published;
use crate::node::replica::Replica;
use crate::types::BrokerId;

/// The replica of a partition on the broker `own`, leader or not.
///
/// # Errors
///
/// What the client is told: there is no such partition, or not here, or its directory has failed.
pub(super) fn find_replica<'a, E: Env>(
    published: &'a Published<E>,
    own: BrokerId,
    topic: Option<&TopicImage>,
    index: i32,
) -> Result<&'a Arc<Replica<E>>, ErrorCode> {
    let topic = topic.ok_or(ErrorCode::UnknownTopicOrPartition)?;
    let partition = topic.partitions.get(&index).ok_or(ErrorCode::UnknownTopicOrPartition)?;
    published.replica(topic.id, index).ok_or_else(|| {
        let ours = partition.replicas.contains(&own);
        if ours { ErrorCode::KafkaStorageError } else { ErrorCode::NotLeaderOrFollower }
    })
}
