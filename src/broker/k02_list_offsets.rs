//! ListOffsets (key 2), versions 1 to 11: offsets by timestamp, or by what is special about them.
//!
//! | timestamp | version | what is answered |
//! |---|---|---|
//! | -1 latest | 1 | the high watermark, with read_committed the last stable offset |
//! | -2 earliest | 1 | the log start |
//! | -3 max timestamp | 7 | the first record of the greatest timestamp that the client may see (KIP-734) |
//! | -4 earliest local | 8 | the log start (KIP-405) |
//! | -5 latest tiered | 9 | nothing: there is no tiered storage (KIP-1005) |
//! | -6 earliest pending upload | 11 | nothing (KIP-1023) |
//! | 0 and more | 1 | the first record of that timestamp or a later one |
//!
//! - A special timestamp that the version does not have is UNSUPPORTED_VERSION. "Nothing" is timestamp -1 and
//!   offset -1 without error.
//! - A partition that is named twice is INVALID_REQUEST, and so is an unknown isolation level.
//! - While a new leader does not know how much was committed, latest is OFFSET_NOT_AVAILABLE (KIP-207), before
//!   version 5 LEADER_NOT_AVAILABLE; so are lookups that end beyond what it does know.
//! - From version 4 on the leader epoch is compared (KIP-320), and that of the offset answered.
//!
//! Kafka looks for the max timestamp in the whole log and answers nothing if the record is not committed yet;
//! here it is looked for among what is committed, which under load would else seldom be found.
//!
//! A follower (`replica_id` is 0 or more) that has lost track asks for the ends of the whole log: its latest is the
//! log end, whatever is committed. Whoever compares replicas (`replica_id` is -2, Kafka's debugging replica) sees the
//! whole log, too, and of any replica, whoever leads.

use std::collections::BTreeMap;

use super::Broker;
use super::admission::throttle_time_ms;
use super::hosting::find_replica;
use crate::controller::image::TopicImage;
use crate::env::{Disk, Env};
use crate::error_code::ErrorCode;
use crate::log::{LogView, ReadError};
use crate::node::context::{Operation, RequestContext, Resource};
use crate::node::metadata::Published;
use crate::partition::{Isolation, OffsetBounds, ReadFrom};
use crate::types::{BrokerId, LeaderEpoch, Offset};
use crate::wire::compression::Scratch;
use crate::wire::messages::list_offsets::*;

pub(super) async fn handle<E: Env>(
    broker: Broker<E>,
    context: RequestContext,
    request: ListOffsetsRequest,
) -> ListOffsetsResponse {
    let published = broker.metadata.current();
    let mut lookup = Lookup {
        published: &published,
        own: broker.id(),
        version: context.api_version,
        isolation: Isolation::from_code(request.isolation_level),
        reader: Reader::of(request.replica_id),
        scratch: Scratch::default(),
    };
    let mut topics = Vec::new();
    for (name, asked) in by_topic(&request) {
        let permitted = context.authorize(Operation::Describe, Resource::Topic(name));
        let topic = published.image.topic_named(name).map(AsRef::as_ref);
        let mut partitions = Vec::new();
        for asked in asked.values() {
            let outcome = match asked {
                _ if !permitted => Err(ErrorCode::TopicAuthorizationFailed),
                Asked::Once(partition) => lookup.partition(topic, partition).await,
                Asked::Repeatedly(_) => Err(ErrorCode::InvalidRequest),
            };
            partitions.push(answer(asked.partition(), context.api_version, outcome));
        }
        // A topic without partitions is not answered, as in Kafka.
        if !partitions.is_empty() {
            topics.push(ListOffsetsTopicResponse { name: name.to_owned(), partitions });
        }
    }
    ListOffsetsResponse { throttle_time_ms: throttle_time_ms(&context), topics }
}

/// A partition of a request.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Asked<'a> {
    Once(&'a ListOffsetsPartition),
    Repeatedly(&'a ListOffsetsPartition),
}

impl<'a> Asked<'a> {
    fn partition(self) -> &'a ListOffsetsPartition {
        match self {
            Self::Once(partition) | Self::Repeatedly(partition) => partition,
        }
    }
}

/// The partitions by topic and index, however often the request names either.
fn by_topic(request: &ListOffsetsRequest) -> BTreeMap<&str, BTreeMap<i32, Asked<'_>>> {
    let mut topics: BTreeMap<&str, BTreeMap<i32, Asked<'_>>> = BTreeMap::new();
    for topic in &request.topics {
        let asked = topics.entry(&topic.name).or_default();
        for partition in &topic.partitions {
            let index = partition.partition_index;
            asked
                .entry(index)
                .and_modify(|first| *first = Asked::Repeatedly(first.partition()))
                .or_insert(Asked::Once(partition));
        }
    }
    topics
}

/// Who looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reader {
    Consumer,
    Follower,
    /// Whoever compares replicas.
    Debugger,
}

impl Reader {
    fn of(replica_id: i32) -> Self {
        match replica_id {
            0.. => Self::Follower,
            id if id == BrokerId::DEBUGGING.0 => Self::Debugger,
            _ => Self::Consumer,
        }
    }
}

/// What is looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Target {
    Latest,
    Earliest,
    MaxTimestamp,
    /// What only tiered storage has.
    Tiered,
    /// The first record of this timestamp or a later one, in milliseconds since the epoch.
    From(i64),
}

impl Target {
    /// What a timestamp means; `None` if nothing in this version.
    fn of(timestamp: i64, version: i16) -> Option<Self> {
        let (since, target) = match timestamp {
            0.. => (1, Self::From(timestamp)),
            -1 => (1, Self::Latest),
            -2 => (1, Self::Earliest),
            -3 => (7, Self::MaxTimestamp),
            -4 => (8, Self::Earliest),
            -5 => (9, Self::Tiered),
            -6 => (11, Self::Tiered),
            _ => return None,
        };
        (version >= since).then_some(target)
    }
}

/// What was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Found {
    timestamp: i64,
    offset: Offset,
    leader_epoch: LeaderEpoch,
}

impl Found {
    const NOTHING: Self = Self { timestamp: -1, offset: Offset(-1), leader_epoch: LeaderEpoch::NONE };

    fn position(offset: Offset, leader_epoch: LeaderEpoch) -> Self {
        Self { timestamp: -1, offset, leader_epoch }
    }
}

/// The lookups of one request.
struct Lookup<'a, E: Env> {
    published: &'a Published<E>,
    own: BrokerId,
    version: i16,
    isolation: Option<Isolation>,
    reader: Reader,
    scratch: Scratch,
}

impl<E: Env> Lookup<'_, E> {
    async fn partition(
        &mut self,
        topic: Option<&TopicImage>,
        partition: &ListOffsetsPartition,
    ) -> Result<Found, ErrorCode> {
        let target = Target::of(partition.timestamp, self.version).ok_or(ErrorCode::UnsupportedVersion)?;
        let isolation = self.isolation.ok_or(ErrorCode::InvalidRequest)?;
        let replica = find_replica(self.published, self.own, topic, partition.partition_index)?;
        replica.epoch_durable().await;
        let leader_epoch = LeaderEpoch(partition.current_leader_epoch);
        let bounds = match self.reader {
            Reader::Consumer => replica.offset_bounds(leader_epoch, isolation),
            Reader::Follower => replica.log_bounds(leader_epoch, ReadFrom::Leader),
            Reader::Debugger => replica.log_bounds(leader_epoch, ReadFrom::AnyReplica),
        };
        let (bounds, log) = bounds.map_err(|refusal| refusal.error_code())?;
        let found = find(&bounds, &log, target, &mut self.scratch).await;
        found.map_err(|code| in_version(code, self.version))
    }
}

async fn find<D: Disk>(
    bounds: &OffsetBounds,
    log: &LogView<D>,
    target: Target,
    scratch: &mut Scratch,
) -> Result<Found, ErrorCode> {
    // While the limit is not settled, the whole log is looked at, to tell what is not there from what may not
    // be told yet.
    let upper = bounds.latest().unwrap_or(log.log_end());
    let found = match target {
        Target::Latest => {
            let latest = bounds.latest().map_err(|refusal| refusal.error_code())?;
            return Ok(Found::position(latest, bounds.leader_epoch));
        }
        Target::Earliest => return Ok(Found::position(bounds.log_start.offset(), bounds.log_start_epoch)),
        Target::Tiered => return Ok(Found::NOTHING),
        Target::MaxTimestamp => log.max_timestamp(upper, scratch).await,
        Target::From(timestamp) => log.offset_for_timestamp(timestamp, upper, scratch).await,
    };
    let found = found.map_err(|error| read_error_code(&error))?;
    let visible = bounds.visible(found.map(|found| found.offset)).map_err(|refusal| refusal.error_code())?;
    Ok(found.filter(|_| visible.is_some()).map_or(Found::NOTHING, |found| Found {
        timestamp: found.timestamp,
        offset: found.offset,
        leader_epoch: found.leader_epoch,
    }))
}

fn read_error_code(error: &ReadError) -> ErrorCode {
    match error {
        // The log was cut since: whoever leads now knows better.
        ReadError::Stale => ErrorCode::NotLeaderOrFollower,
        ReadError::OffsetOutOfRange { .. } => ErrorCode::OffsetOutOfRange,
        ReadError::Failed | ReadError::Corrupt(_) | ReadError::Disk(_) => ErrorCode::KafkaStorageError,
    }
}

/// Clients before version 5 do not know OFFSET_NOT_AVAILABLE.
fn in_version(code: ErrorCode, version: i16) -> ErrorCode {
    let unknown = code == ErrorCode::OffsetNotAvailable && version < 5;
    if unknown { ErrorCode::LeaderNotAvailable } else { code }
}

fn answer(
    partition: &ListOffsetsPartition,
    version: i16,
    outcome: Result<Found, ErrorCode>,
) -> ListOffsetsPartitionResponse {
    let (code, found) = match outcome {
        Ok(found) => (ErrorCode::None, found),
        Err(code) => (code, Found::NOTHING),
    };
    let has_epoch = version >= 4;
    ListOffsetsPartitionResponse {
        partition_index: partition.partition_index,
        error_code: code.code(),
        timestamp: found.timestamp,
        offset: found.offset.0,
        leader_epoch: if has_epoch { found.leader_epoch.0 } else { LeaderEpoch::NONE.0 },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn partition(partition_index: i32) -> ListOffsetsPartition {
        ListOffsetsPartition { partition_index, ..ListOffsetsPartition::default() }
    }

    #[test]
    fn special_timestamps_have_their_versions() {
        let first_version = |timestamp| (1..=11).find(|&version| Target::of(timestamp, version).is_some());
        let versions: Vec<_> = (-7..=0).rev().map(first_version).collect();
        let expected = [Some(1), Some(1), Some(1), Some(7), Some(8), Some(9), Some(11), None];
        assert_eq!(versions, expected);
        assert_eq!(Target::of(i64::MAX, 1), Some(Target::From(i64::MAX)));
        assert_eq!(Target::of(i64::MIN, 11), None);
        assert_eq!(Target::of(-4, 8), Some(Target::Earliest), "nothing is tiered");
    }

    #[test]
    fn kafkas_debugging_replica_is_neither_consumer_nor_follower() {
        let readers = [-2, -1, 0, 7].map(Reader::of);
        let expected = [Reader::Debugger, Reader::Consumer, Reader::Follower, Reader::Follower];
        assert_eq!(readers, expected);
    }

    #[test]
    fn a_partition_that_is_named_twice_is_known_as_such() {
        let topic = |name: &str, indexes: &[i32]| ListOffsetsTopic {
            name: name.to_owned(),
            partitions: indexes.iter().map(|&index| partition(index)).collect(),
        };
        let topics = vec![topic("b", &[0, 1, 0, 0]), topic("a", &[0]), topic("b", &[1, 2])];
        let request = ListOffsetsRequest { topics, ..ListOffsetsRequest::default() };
        let asked = by_topic(&request);
        assert_eq!(asked.keys().copied().collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!(asked["a"][&0], Asked::Once(&partition(0)));
        let repeated: Vec<_> =
            asked["b"].values().map(|asked| matches!(asked, Asked::Repeatedly(_))).collect();
        assert_eq!(repeated, [true, true, false]);
    }

    #[test]
    fn the_leader_epoch_is_answered_from_version_4_on() {
        let found = Found { timestamp: 7, offset: Offset(8), leader_epoch: LeaderEpoch(9) };
        assert_eq!(answer(&partition(0), 4, Ok(found)).leader_epoch, 9);
        assert_eq!(answer(&partition(0), 3, Ok(found)).leader_epoch, -1);
        let refused = answer(&partition(0), 4, Err(ErrorCode::NotLeaderOrFollower));
        assert_eq!((refused.error_code, refused.timestamp, refused.offset), (6, -1, -1));
    }

    #[test]
    fn kip_207_older_clients_get_a_code_that_they_know() {
        assert_eq!(in_version(ErrorCode::OffsetNotAvailable, 4), ErrorCode::LeaderNotAvailable);
        assert_eq!(in_version(ErrorCode::OffsetNotAvailable, 5), ErrorCode::OffsetNotAvailable);
        assert_eq!(in_version(ErrorCode::KafkaStorageError, 4), ErrorCode::KafkaStorageError);
    }
}
