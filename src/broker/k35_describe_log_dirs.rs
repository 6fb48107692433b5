//! DescribeLogDirs (key 35), versions 1 to 5: which replicas lie in which directory of this broker, and how large
//! they are (KIP-113, KIP-827).
//!
//! - Directories are told by their absolute paths, however `log.dirs` names them.
//! - A directory that has failed answers KAFKA_STORAGE_ERROR, and nothing else.
//! - Asked for is every partition, or those listed; what is not here is left out.
//! - `offset_lag` is how far a replica is behind: what it lacks up to the high watermark.
//! - Total and usable bytes are those of the file system, -1 where it cannot be asked.

use std::collections::{BTreeMap, BTreeSet};

use super::Broker;
use super::admission::throttle_time_ms;
use crate::env::{Disk, Env};
use crate::error_code::ErrorCode;
use crate::node::context::{Operation, RequestContext, Resource};
use crate::wire::messages::describe_log_dirs::*;

pub(super) async fn handle<E: Env>(
    broker: Broker<E>,
    context: RequestContext,
    request: DescribeLogDirsRequest,
) -> DescribeLogDirsResponse {
    let throttle_time_ms = throttle_time_ms(&context);
    if !context.authorize(Operation::Describe, Resource::Cluster) {
        return DescribeLogDirsResponse {
            throttle_time_ms,
            error_code: ErrorCode::ClusterAuthorizationFailed.code(),
            ..DescribeLogDirsResponse::default()
        };
    }
    let asked: Option<BTreeSet<(String, i32)>> = request.topics.map(|topics| {
        let pairs = topics.into_iter().flat_map(|topic| {
            let name = topic.topic;
            topic.partitions.into_iter().map(move |index| (name.clone(), index))
        });
        pairs.collect()
    });
    let results = broker.directories.iter().map(|directory| {
        let log_dir = broker.env.disk().absolute(directory.path()).display().to_string();
        if !directory.is_online() {
            let error_code = ErrorCode::KafkaStorageError.code();
            return DescribeLogDirsResult { error_code, log_dir, ..DescribeLogDirsResult::default() };
        }
        let space = broker.env.disk().space(directory.path());
        let bytes = |bytes: u64| i64::try_from(bytes).unwrap_or(i64::MAX);
        DescribeLogDirsResult {
            error_code: ErrorCode::None.code(),
            log_dir,
            topics: topics_in(&broker, directory.id(), asked.as_ref()),
            total_bytes: space.map_or(-1, |space| bytes(space.total)),
            usable_bytes: space.map_or(-1, |space| bytes(space.usable)),
            is_cordoned: false,
        }
    });
    DescribeLogDirsResponse {
        throttle_time_ms,
        error_code: ErrorCode::None.code(),
        results: results.collect(),
    }
}

fn topics_in<E: Env>(
    broker: &Broker<E>,
    directory: crate::types::Uuid,
    asked: Option<&BTreeSet<(String, i32)>>,
) -> Vec<DescribeLogDirsTopic> {
    let published = broker.metadata.current();
    let mut topics: BTreeMap<String, Vec<DescribeLogDirsPartition>> = BTreeMap::new();
    for replica in published.replicas.values().filter(|replica| replica.directory().id() == directory) {
        let name = replica.name();
        if asked.is_some_and(|asked| !asked.contains(&(name.topic.clone(), name.partition))) {
            continue;
        }
        let positions = replica.positions();
        let lag = positions.high_watermark.offset().0 - positions.log_end.offset().0;
        topics.entry(name.topic.clone()).or_default().push(DescribeLogDirsPartition {
            partition_index: name.partition,
            partition_size: i64::try_from(replica.size_bytes()).unwrap_or(i64::MAX),
            offset_lag: lag.max(0),
            is_future_key: false,
        });
    }
    topics.into_iter().map(|(name, partitions)| DescribeLogDirsTopic { name, partitions }).collect()
}
