//! Fetch (key 1), versions 4-18, for consumers and followers.
//!
//! Reads up to the high watermark, or for read_committed up to the last stable offset; for a follower up to the log
//! end. A follower's Fetch says what it holds, which counts once, before anything is read. Each waits, up to
//! `max_wait_ms`, until there are `min_bytes`, or as much as the limits allow. The first partition with records
//! returns at least one whole batch, however large, so that every consumer gets on (KIP-74). Memory is taken
//! before it is filled; where there is none in time, the answer has no records.
//!
//! Every batch's CRC is checked before it is sent: rotten bytes are never served; the partition answers
//! KAFKA_STORAGE_ERROR, which consumers retry.
//!
//! Sessions (KIP-227): see [`fetch_sessions`](super::fetch_sessions). Divergence (KIP-595) and fencing
//! (KIP-320): see [`partition`](crate::partition). A consumer reads from the leader. If `replica.selector.class` is
//! set, the leader sends it, without records, to a follower in its rack that has what it asks for, and from version
//! 11 on followers answer (KIP-392); Kafka's always do. Who looks into replicas, with Kafka's replica id for that, is
//! answered by any. A follower out of sync gets no records of a throttled
//! partition while the rate is exceeded ([`throttles`](crate::node::throttles)).

mod resting;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::Notify;

use super::fetch_sessions::{
    Completed, FetchAnswer, FetchContext, FetchKey, FetchPosition, Quiet, SessionRequest, TopicRef,
};
use super::hosting::find_replica;
use super::{Broker, decode, malformed};
use crate::env::{Clock, Env};
use crate::error_code::ErrorCode;
use crate::log::{LogView, ReadError, ReadLimits};
use crate::node::budget::Permit;
use crate::node::context::{Operation, RequestContext, Resource};
use crate::node::metadata::Published;
use crate::node::replica::Replica;
use crate::node::service::{Answer, IncomingRequest, Reply, Response};
use crate::partition::{
    Isolation, ReadFrom, ReadPlan, ReadRefusal, ReadRequest, ReplicaFetch, Wait, WaiterId,
};
use crate::types::{BrokerEpoch, BrokerId, LeaderEpoch, LogStart, Mono, Offset, Uuid};
use crate::wire::frame::encode_response;
use crate::wire::messages::fetch::{
    EpochEndOffset, FetchRequest, FetchResponse, FetchableTopicResponse, LeaderIdAndEpoch, NodeEndpoint,
    PartitionData,
};

/// The first version that identifies topics instead of naming them.
const TOPIC_IDS_SINCE: i16 = 13;

/// The first version that tells who leads (KIP-951).
const LEADERS_SINCE: i16 = 16;

/// The first version whose clients know KAFKA_STORAGE_ERROR.
const STORAGE_ERROR_SINCE: i16 = 6;

/// The first version in which a consumer can be sent to a follower (KIP-392).
const FOLLOWERS_SINCE: i16 = 11;

/// The most bytes of one response, whatever the client allows, save for a single larger batch. All of it is
/// read before the first byte is sent: were it more, the client would wait, and the memory never be warm.
const RESPONSE_BYTES_MAX: usize = 8 << 20;

/// Serves one Fetch.
pub(super) async fn reply<E: Env>(broker: &Broker<E>, request: IncomingRequest) -> Reply {
    let IncomingRequest { context, body, permit } = request;
    let fetch = match decode::<FetchRequest>(&context, &body) {
        Ok(fetch) => fetch,
        Err(error) => return Reply::Now(malformed(&context, &error)),
    };
    drop((body, permit));
    let reader = match Reader::of(broker, &context, &fetch) {
        Ok(reader) => reader,
        Err(code) => return Reply::Now(refuse_all(&context, &fetch, code)),
    };
    let now = broker.env.clock().now();
    let begun = broker.sessions().begin(session_request(&context, &fetch, reader), now);
    let session = match begun {
        Ok(session) => session,
        Err(code) => return Reply::Now(session_error(&context, code)),
    };
    let wait = Duration::from_millis(u64::try_from(fetch.max_wait_ms).unwrap_or(0));
    let max_bytes = usize::try_from(fetch.max_bytes).unwrap_or(0);
    let max_bytes = max_bytes.min(broker.config.fetch_max_bytes).min(RESPONSE_BYTES_MAX);
    let fetching = Fetching {
        broker: broker.clone(),
        deadline: context.deadline(wait),
        // As in Kafka: what a response never holds is not waited for.
        min_bytes: usize::try_from(fetch.min_bytes).unwrap_or(0).min(max_bytes),
        max_bytes,
        reader,
        rack: fetch.rack_id,
        context,
    };
    if let Some(quiet) = fetching.quiet_still(&session) {
        return Reply::later(fetching.rest(session, quiet));
    }
    match fetching.begin(session).await {
        Ok(answer) => Reply::Now(answer),
        Err((session, activity)) => Reply::later(fetching.wait(session, activity)),
    }
}

/// Who reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reader {
    Consumer { isolation: Isolation, from: ReadFrom },
    Follower { replica: BrokerId, broker_epoch: BrokerEpoch },
}

impl Reader {
    /// # Errors
    ///
    /// What every partition is answered.
    fn of<E: Env>(
        broker: &Broker<E>,
        context: &RequestContext,
        fetch: &FetchRequest,
    ) -> Result<Self, ErrorCode> {
        let replica = match fetch.replica_state.replica_id {
            -1 => BrokerId(fetch.replica_id),
            id => BrokerId(id),
        };
        if replica.0 < 0 {
            let isolation = Isolation::from_code(fetch.isolation_level).ok_or(ErrorCode::InvalidRequest)?;
            let by_rack =
                broker.config.replication.rack_aware_reads && context.api_version >= FOLLOWERS_SINCE;
            let any = by_rack || replica == BrokerId::DEBUGGING;
            let from = if any { ReadFrom::AnyReplica } else { ReadFrom::Leader };
            return Ok(Self::Consumer { isolation, from });
        }
        if !context.authorize(Operation::ClusterAction, Resource::Cluster) {
            return Err(ErrorCode::ClusterAuthorizationFailed);
        }
        Ok(Self::Follower { replica, broker_epoch: BrokerEpoch(fetch.replica_state.replica_epoch) })
    }

    fn is_follower(self) -> bool {
        matches!(self, Self::Follower { .. })
    }

    /// Whether the answer tells of aborted transactions.
    fn is_read_committed(self) -> bool {
        matches!(self, Self::Consumer { isolation: Isolation::ReadCommitted, .. })
    }
}

/// What may be read of a partition, and the log to read it from.
type Planned<E> = Result<(ReadPlan, LogView<<E as Env>::Disk>), ReadRefusal>;

/// A Fetch under way.
struct Fetching<E: Env> {
    broker: Broker<E>,
    context: RequestContext,
    deadline: Mono,
    min_bytes: usize,
    max_bytes: usize,
    reader: Reader,
    /// The consumer's; empty if it does not say.
    rack: String,
}

/// What was found in all partitions of a Fetch, in their order.
struct Found<E: Env> {
    partitions: Vec<FoundPartition<E>>,
    /// Bytes of records.
    bytes: usize,
    /// The same, and the room that was left because the next batch was too large for it.
    filled: usize,
    permit: Option<Permit>,
    /// Bytes of records of partitions whose replication is throttled.
    throttled: usize,
    /// There are records that no memory could be had for.
    lacks_memory: bool,
}

impl<E: Env> Found<E> {
    fn nothing(partitions: usize) -> Self {
        let partitions = Vec::with_capacity(partitions);
        Self { partitions, bytes: 0, filled: 0, permit: None, throttled: 0, lacks_memory: false }
    }
}

struct FoundPartition<E: Env> {
    data: PartitionData,
    /// What to wait for if it is not enough.
    more: Option<(Arc<Replica<E>>, Wait)>,
    /// Whoever reads has all there is, and may have more at once.
    at_end: bool,
}

impl<E: Env> Fetching<E> {
    /// Takes a first look, and answers if there is enough; else says what had happened before it.
    async fn begin(&self, session: FetchContext) -> Result<Answer, (FetchContext, u64)> {
        let activity = self.broker.metadata.activity().count();
        let published = self.broker.metadata.current();
        // The requests behind this one do not wait for its memory.
        let found = self.read(&published, &session, None).await;
        if self.is_enough(&found) {
            return Ok(self.answer(&published, session, found, activity));
        }
        // What is there now is read again with what comes: holding it would hold memory for a consumer that waits.
        Err((session, activity))
    }

    /// Waits until there is enough, or the time is up. `activity` is what had happened before the first look, the
    /// only one in which it counts that a follower has all there is: what has happened since may let it join the ISR,
    /// so the next Fetch does not rest.
    async fn wait(self, session: FetchContext, activity: u64) -> Answer {
        let clock = self.broker.env.clock().clone();
        loop {
            // The metadata may change meanwhile: partitions move, topics go.
            let published = self.broker.metadata.current();
            let found = self.read(&published, &session, Some(self.deadline)).await;
            if self.is_enough(&found) || clock.now() >= self.deadline {
                return self.answer(&published, session, found, activity);
            }
            let watching = Watching::new(&found);
            drop((found, published));
            if let Some(watching) = watching {
                let _ = clock.timeout_at(self.deadline, watching.woken.notified()).await;
            }
        }
    }

    fn is_enough(&self, found: &Found<E>) -> bool {
        let urgent =
            |partition: &FoundPartition<E>| partition.data.error_code != 0 || redirects(&partition.data);
        let has_enough = if found.lacks_memory { found.bytes > 0 } else { found.filled >= self.min_bytes };
        has_enough || found.partitions.is_empty() || found.partitions.iter().any(urgent)
    }

    /// Reads all partitions, as far as the limits go. Memory is waited for until `patience`; the first time it is
    /// not, and what a follower says of itself counts.
    async fn read(
        &self,
        published: &Published<E>,
        session: &FetchContext,
        patience: Option<Mono>,
    ) -> Found<E> {
        let mut found = Found::nothing(session.partitions.len());
        for (key, position) in &session.partitions {
            let partition = self.read_one(published, key, position, &mut found, patience).await;
            found.bytes += partition.data.records.as_ref().map_or(0, Bytes::len);
            found.partitions.push(partition);
        }
        if let Some(permit) = &mut found.permit {
            permit.shrink_to(found.bytes.min(permit.bytes()));
        }
        found
    }

    async fn read_one(
        &self,
        published: &Published<E>,
        key: &FetchKey,
        position: &FetchPosition,
        found: &mut Found<E>,
        patience: Option<Mono>,
    ) -> FoundPartition<E> {
        let replica = match self.replica(published, key) {
            Ok(replica) => replica,
            Err(code) => return self.absent(published, key, code),
        };
        replica.epoch_durable().await;
        let (plan, view) = match self.plan(published, replica, position, patience.is_none()) {
            Ok(planned) => planned,
            Err(refusal) => {
                let mut partition = failed(key.index, refusal.error_code());
                self.redirect(published, key, &mut partition.data);
                return partition;
            }
        };
        let mut data = planned(key.index, &plan, self.reader.is_read_committed());
        if let Some(id) = self.preferred_replica(published, replica, position.fetch_offset) {
            data.preferred_read_replica = id.0;
            return FoundPartition { data, more: None, at_end: false };
        }
        if self.is_kept_back(replica) {
            // The time that the follower grants is how often this is looked at again.
            return FoundPartition { data, more: None, at_end: false };
        }
        let room = self.room(position, found);
        if plan.diverging.is_none() && room > 0 && position.fetch_offset < plan.limit {
            match self.read_records(&view, position.fetch_offset, plan.limit, room, found, patience).await {
                Ok(bytes) if !replica.epochs_match(&bytes) => {
                    tracing::error!(partition = %replica.name(), "a batch carries a leader epoch that never was");
                    return failed(key.index, ErrorCode::KafkaStorageError);
                }
                Ok(bytes) => {
                    let counts = self.reader.is_follower() && replica.is_throttled_leader();
                    found.throttled += if counts { bytes.len() } else { 0 };
                    data.records = Some(bytes);
                }
                Err(error) => return read_failed(replica, key.index, &error),
            }
        }
        let at_end = plan.diverging.is_none() && position.fetch_offset >= plan.limit;
        FoundPartition { data, more: Some((Arc::clone(replica), plan.more)), at_end }
    }

    /// Whether the throttle leaves a follower without records: not if it is in sync.
    fn is_kept_back(&self, replica: &Replica<E>) -> bool {
        let Reader::Follower { replica: follower, .. } = self.reader else { return false };
        let now = self.broker.env.clock().now();
        replica.is_throttled_leader()
            && !replica.has_in_sync(follower)
            && self.broker.throttles.leader.exceeded(now).is_some()
    }

    fn plan(
        &self,
        published: &Published<E>,
        replica: &Arc<Replica<E>>,
        position: &FetchPosition,
        counts: bool,
    ) -> Planned<E> {
        let FetchPosition { current_leader_epoch, last_fetched_epoch, fetch_offset, .. } = *position;
        match self.reader {
            Reader::Consumer { isolation, from } => replica.plan_read(&ReadRequest {
                current_leader_epoch,
                last_fetched_epoch,
                fetch_offset,
                isolation,
                from,
            }),
            Reader::Follower { replica: id, broker_epoch } => {
                let request = ReplicaFetch {
                    replica: id,
                    broker_epoch,
                    current_leader_epoch,
                    last_fetched_epoch,
                    fetch_offset,
                    log_start: LogStart(position.follower_log_start),
                };
                match counts {
                    true => replica.follower_fetch(&request, &published.brokers),
                    false => replica.plan_follower_read(&request),
                }
            }
        }
    }

    /// Whom a consumer had better read from.
    fn preferred_replica(
        &self,
        published: &Published<E>,
        replica: &Replica<E>,
        from: Offset,
    ) -> Option<BrokerId> {
        let Reader::Consumer { from: ReadFrom::AnyReplica, .. } = self.reader else { return None };
        let goes = self.broker.config.replication.rack_aware_reads && !self.rack.is_empty();
        goes.then(|| replica.preferred_read_replica(&self.rack, from, &published.brokers)).flatten()
    }

    /// The replica that is meant. Whoever may not read a name is not told whether there is such a topic.
    fn replica<'a>(
        &self,
        published: &'a Published<E>,
        key: &FetchKey,
    ) -> Result<&'a Arc<Replica<E>>, ErrorCode> {
        let topic = match &key.topic {
            TopicRef::Id(id) => Some(published.image.topic(*id).ok_or(ErrorCode::UnknownTopicId)?),
            TopicRef::Name(name) => published.image.topic_named(name),
        };
        let name = match (topic, &key.topic) {
            (None, TopicRef::Name(name)) => name,
            (topic, _) => &topic.expect("an unknown id was refused").name,
        };
        // A follower may read what its cluster has.
        if !self.reader.is_follower() && !self.context.authorize(Operation::Read, Resource::Topic(name)) {
            return Err(ErrorCode::TopicAuthorizationFailed);
        }
        find_replica(published, self.broker.id(), topic.map(AsRef::as_ref), key.index)
    }

    /// The answer for a partition that is not here.
    fn absent(&self, published: &Published<E>, key: &FetchKey, code: ErrorCode) -> FoundPartition<E> {
        let mut data = unread(key.index, code);
        self.redirect(published, key, &mut data);
        FoundPartition { data, more: None, at_end: false }
    }

    /// Names the leader to a client that has turned to the wrong broker or is behind the times, in the versions
    /// that can say so.
    fn redirect(&self, published: &Published<E>, key: &FetchKey, data: &mut PartitionData) {
        let codes = [ErrorCode::NotLeaderOrFollower, ErrorCode::FencedLeaderEpoch];
        let asked_wrongly = codes.iter().any(|code| code.code() == data.error_code);
        if self.context.api_version < LEADERS_SINCE || !asked_wrongly {
            return;
        }
        let topic = match &key.topic {
            TopicRef::Id(id) => published.image.topic(*id),
            TopicRef::Name(name) => published.image.topic_named(name),
        };
        if let Some(registration) = topic.and_then(|topic| topic.partitions.get(&key.index)) {
            data.current_leader = LeaderIdAndEpoch {
                leader_id: registration.leader.0,
                leader_epoch: registration.leader_epoch.0,
            };
        }
    }

    /// Bytes that this partition may still return.
    fn room(&self, position: &FetchPosition, found: &Found<E>) -> usize {
        let own = usize::try_from(position.max_bytes).unwrap_or(0);
        let room = own.min(self.max_bytes.saturating_sub(found.bytes));
        // The first records of a response come whatever the limits say.
        if found.bytes == 0 { room.max(1) } else { room }
    }

    /// Reads the records of one partition into memory that is taken first. The first batch of a response comes
    /// whatever its size.
    async fn read_records(
        &self,
        view: &LogView<E::Disk>,
        from: Offset,
        upper: Offset,
        room: usize,
        found: &mut Found<E>,
        patience: Option<Mono>,
    ) -> Result<Bytes, ReadError> {
        let mut max_bytes = room;
        loop {
            if !self.take_memory(max_bytes, found, patience).await {
                found.lacks_memory = true;
                return Ok(Bytes::new());
            }
            let limits = ReadLimits { max_bytes, upper, at_least_one: false };
            let read = view.read(from, limits, &self.broker.buffers).await?;
            match read.too_large {
                Some(size) if found.bytes == 0 => max_bytes = size,
                _ => {
                    // What stops at a limit fills it, as in Kafka, where the last batch is cut off.
                    let is_full = read.next_offset < upper;
                    found.filled += if is_full { room.max(read.bytes.len()) } else { read.bytes.len() };
                    return Ok(read.bytes);
                }
            }
        }
    }

    /// Takes memory before it is filled. Only while nothing is found it is waited for, until `patience`: whoever
    /// holds some and waits for more may wait for himself.
    async fn take_memory(&self, bytes: usize, found: &mut Found<E>, patience: Option<Mono>) -> bool {
        let budget = match self.reader {
            Reader::Consumer { .. } => &self.broker.responses,
            Reader::Follower { .. } => &self.broker.replica_responses,
        };
        // A batch that the whole budget could not hold takes all of it.
        let wanted = (found.bytes + bytes).min(budget.total());
        let held = found.permit.as_ref().map_or(0, Permit::bytes);
        if wanted <= held {
            return true;
        }
        if found.bytes > 0 {
            let more = budget.try_acquire(wanted - held);
            let taken = more.is_some();
            let held = found.permit.as_mut().expect("what was found lies in memory that was taken");
            more.into_iter().for_each(|more| held.merge(more));
            return taken;
        }
        found.permit = None;
        found.permit = match patience {
            None => budget.try_acquire(wanted),
            Some(deadline) => {
                let acquired = self.broker.env.clock().timeout_at(deadline, budget.acquire(wanted)).await;
                acquired.and_then(Result::ok)
            }
        };
        found.permit.is_some()
    }

    /// Settles the session and writes the response. `activity` is what had happened before `found` was looked for.
    fn answer(
        &self,
        published: &Published<E>,
        session: FetchContext,
        found: Found<E>,
        activity: u64,
    ) -> Answer {
        let quiet = self.is_quiet(&found).then(|| Quiet { activity, at: self.broker.env.clock().now() });
        self.settle(published, session, found, quiet)
    }

    fn settle(
        &self,
        published: &Published<E>,
        session: FetchContext,
        found: Found<E>,
        quiet: Option<Quiet>,
    ) -> Answer {
        let answers: Vec<FetchAnswer> =
            found.partitions.iter().map(|partition| summary(&partition.data)).collect();
        let keys: Vec<FetchKey> = session.partitions.iter().map(|(key, _)| key.clone()).collect();
        let now = self.broker.env.clock().now();
        self.broker.throttles.leader.record(found.throttled as u64, now);
        let completed = {
            let mut sessions = self.broker.sessions();
            let completed = sessions.complete(session, &answers, now);
            sessions.set_quiet(&completed, quiet);
            completed
        };
        let response = self.response(published, &keys, completed, found.partitions);
        match encode_response::<FetchRequest>(
            self.context.api_version,
            self.context.correlation_id,
            &response,
        ) {
            Ok(segments) => Answer::Respond(Response { segments, permit: found.permit }),
            Err(error) => Answer::Close(format!("the response to Fetch cannot be written: {error}")),
        }
    }

    fn response(
        &self,
        published: &Published<E>,
        keys: &[FetchKey],
        completed: Completed,
        partitions: Vec<FoundPartition<E>>,
    ) -> FetchResponse {
        let mut response = FetchResponse {
            throttle_time_ms: i32::try_from(self.context.throttle().as_millis()).unwrap_or(i32::MAX),
            error_code: completed.error.code(),
            session_id: completed.session_id,
            ..FetchResponse::default()
        };
        let mut data: Vec<Option<PartitionData>> =
            partitions.into_iter().map(|partition| Some(partition.data)).collect();
        for index in completed.included {
            let mut partition = data[index].take().expect("an index is included once");
            partition.error_code = in_version(partition.error_code, self.context.api_version);
            if partition.current_leader.leader_id >= 0 {
                self.name_leader(published, partition.current_leader.leader_id, &mut response);
            }
            put(&mut response.responses, &keys[index].topic, partition);
        }
        response
    }

    fn name_leader(&self, published: &Published<E>, node_id: i32, response: &mut FetchResponse) {
        if response.node_endpoints.iter().any(|known| known.node_id == node_id) {
            return;
        }
        let leader = BrokerId(node_id);
        if let Some((host, port, rack)) = self.broker.endpoint_of(&published.image, leader, &self.context) {
            response.node_endpoints.push(NodeEndpoint { node_id, host, port, rack });
        }
    }
}

/// Waits on all partitions of a Fetch at once; forgotten everywhere when dropped.
struct Watching<E: Env> {
    woken: Arc<Notify>,
    watched: Vec<(Arc<Replica<E>>, WaiterId)>,
}

impl<E: Env> Watching<E> {
    /// `None` if there is more already.
    fn new(found: &Found<E>) -> Option<Self> {
        let mut watching = Self { woken: Arc::new(Notify::new()), watched: Vec::new() };
        for (replica, wait) in found.partitions.iter().filter_map(|partition| partition.more.as_ref()) {
            let waiter = replica.watch(*wait, &watching.woken)?;
            watching.watched.push((Arc::clone(replica), waiter));
        }
        Some(watching)
    }
}

impl<E: Env> Drop for Watching<E> {
    fn drop(&mut self) {
        for (replica, waiter) in self.watched.drain(..) {
            replica.unwatch(waiter);
        }
    }
}

fn session_request(context: &RequestContext, fetch: &FetchRequest, reader: Reader) -> SessionRequest {
    let uses_topic_ids = context.api_version >= TOPIC_IDS_SINCE;
    let topic_ref = |name: &str, id: Uuid| match uses_topic_ids {
        true => TopicRef::Id(id),
        false => TopicRef::Name(Arc::from(name)),
    };
    let mut partitions = Vec::new();
    for topic in &fetch.topics {
        let topic_ref = topic_ref(&topic.topic, topic.topic_id);
        for partition in &topic.partitions {
            let key = FetchKey { topic: topic_ref.clone(), index: partition.partition };
            let position = FetchPosition {
                fetch_offset: Offset(partition.fetch_offset),
                max_bytes: partition.partition_max_bytes,
                current_leader_epoch: LeaderEpoch(partition.current_leader_epoch),
                last_fetched_epoch: LeaderEpoch(partition.last_fetched_epoch),
                follower_log_start: Offset(partition.log_start_offset),
            };
            partitions.push((key, position));
        }
    }
    let mut forgotten = Vec::new();
    for topic in &fetch.forgotten_topics_data {
        let topic_ref = topic_ref(&topic.topic, topic.topic_id);
        forgotten.extend(topic.partitions.iter().map(|&index| FetchKey { topic: topic_ref.clone(), index }));
    }
    SessionRequest {
        session_id: fetch.session_id,
        session_epoch: fetch.session_epoch,
        uses_topic_ids,
        from_follower: reader.is_follower(),
        partitions,
        forgotten,
    }
}

fn session_error(context: &RequestContext, code: ErrorCode) -> Answer {
    let response = FetchResponse { error_code: code.code(), ..FetchResponse::default() };
    super::respond::<FetchRequest>(context, &response)
}

/// The same error for every partition that is named; there is no session.
fn refuse_all(context: &RequestContext, fetch: &FetchRequest, code: ErrorCode) -> Answer {
    let mut response = FetchResponse::default();
    for topic in &fetch.topics {
        let partitions = topic.partitions.iter().map(|asked| unread(asked.partition, code));
        response.responses.push(FetchableTopicResponse {
            topic: topic.topic.clone(),
            topic_id: topic.topic_id,
            partitions: partitions.collect(),
        });
    }
    super::respond::<FetchRequest>(context, &response)
}

/// What the response says of a partition before anything is read.
fn planned(index: i32, plan: &ReadPlan, is_read_committed: bool) -> PartitionData {
    let positions = &plan.positions;
    let diverging =
        plan.diverging.map(|end| EpochEndOffset { epoch: end.epoch.0, end_offset: end.end_offset.0 });
    PartitionData {
        partition_index: index,
        high_watermark: positions.high_watermark.offset().0,
        last_stable_offset: positions.last_stable.offset().0,
        log_start_offset: positions.log_start.offset().0,
        diverging_epoch: diverging.unwrap_or_default(),
        // Null unless the consumer would have to leave records out.
        aborted_transactions: is_read_committed.then(Vec::new),
        ..PartitionData::default()
    }
}

/// What the response says of a partition that nobody has looked at.
fn unread(index: i32, code: ErrorCode) -> PartitionData {
    PartitionData {
        partition_index: index,
        error_code: code.code(),
        high_watermark: -1,
        ..PartitionData::default()
    }
}

fn failed<E: Env>(index: i32, code: ErrorCode) -> FoundPartition<E> {
    let data = PartitionData { aborted_transactions: None, ..unread(index, code) };
    FoundPartition { data, more: None, at_end: false }
}

fn read_failed<E: Env>(replica: &Replica<E>, index: i32, error: &ReadError) -> FoundPartition<E> {
    let code = match error {
        ReadError::OffsetOutOfRange { .. } => ErrorCode::OffsetOutOfRange,
        // The log was cut meanwhile: what the client knows of the leader is out of date.
        ReadError::Stale => ErrorCode::NotLeaderOrFollower,
        ReadError::Failed | ReadError::Corrupt(_) | ReadError::Disk(_) => {
            tracing::error!(partition = %replica.name(), %error, "a read failed");
            ErrorCode::KafkaStorageError
        }
    };
    failed(index, code)
}

/// Clients before version 6 do not know KAFKA_STORAGE_ERROR as one to retry.
fn in_version(error_code: i16, version: i16) -> i16 {
    let unknown = error_code == ErrorCode::KafkaStorageError.code() && version < STORAGE_ERROR_SINCE;
    if unknown { ErrorCode::NotLeaderOrFollower.code() } else { error_code }
}

fn summary(data: &PartitionData) -> FetchAnswer {
    FetchAnswer {
        error: ErrorCode::from_code(data.error_code).expect("handlers answer codes that exist"),
        high_watermark: Offset(data.high_watermark),
        log_start: Offset(data.log_start_offset),
        has_records: data.records.as_ref().is_some_and(|records| !records.is_empty()),
        redirects: redirects(data),
    }
}

/// Whether the client has to do something before it reads on.
fn redirects(data: &PartitionData) -> bool {
    data.diverging_epoch.epoch >= 0 || data.preferred_read_replica >= 0
}

/// Adds a partition to its topic, which is the last one if the partitions come topic by topic.
fn put(topics: &mut Vec<FetchableTopicResponse>, key: &TopicRef, partition: PartitionData) {
    let (topic, topic_id) = match key {
        TopicRef::Id(id) => (String::new(), *id),
        TopicRef::Name(name) => (name.to_string(), Uuid::ZERO),
    };
    match topics.last_mut() {
        Some(last) if last.topic == topic && last.topic_id == topic_id => last.partitions.push(partition),
        _ => topics.push(FetchableTopicResponse { topic, topic_id, partitions: vec![partition] }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn older_clients_get_a_code_that_they_retry() {
        assert_eq!([in_version(56, 5), in_version(56, 6), in_version(1, 4)], [6, 56, 1]);
    }
}
