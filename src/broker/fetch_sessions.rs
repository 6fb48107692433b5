//! Incremental fetch sessions (KIP-227).
//!
//! A client that fetches from many partitions opens a session with its first, full Fetch; after that it sends
//! only what it wants changed, and is sent only the partitions that have something new. Both sides count the
//! session's epoch, so that a lost or repeated request is noticed:
//!
//! | request's epoch | means |
//! |---|---|
//! | 0 | full fetch: closes the session named, if any, and opens a new one if there is room |
//! | -1 | full fetch: closes the session named, if any, and opens none |
//! | else | incremental |
//!
//! An incremental request must name a session that exists (FETCH_SESSION_ID_NOT_FOUND) and expects this epoch
//! (INVALID_FETCH_SESSION_EPOCH), and must name topics as the session does, all by id or all by name
//! (FETCH_SESSION_TOPIC_ID_ERROR).
//!
//! A Fetch has two steps here: [`SessionCache::begin`] tells which partitions to read and in which order,
//! [`SessionCache::complete`] which of the answers go into the response. Between them the fetch may wait, and
//! the session may be evicted or used by a repeated request; `complete` notices.
//!
//! A partition is in an incremental response if it has records, an error, a diverging epoch or a preferred
//! replica, or if its high watermark or log start are not those last sent. One that was sent with records
//! goes to the end of the session's order, so that a size limit starves none.
//!
//! # Bounds
//!
//! `max.incremental.fetch.session.cache.slots` sessions, and a number of partitions in all sessions together.
//! Where a new session does not fit, another may be evicted: the one longest idle, if that is more than 120
//! seconds; else the least valuable one, if the new session is worth more. A follower's is worth more than a
//! consumer's, and then one of more partitions. A session is safe from its own kind until it is 120 seconds
//! old. A client without a session is served as well, only with more bytes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use rand_core::Rng as _;

use crate::env::Rng;
use crate::error_code::ErrorCode;
use crate::types::{LeaderEpoch, Mono, Offset, Uuid};

/// "No session", in requests and responses.
pub const NO_SESSION: i32 = 0;
/// The epoch of a request that opens a session.
pub const INITIAL_EPOCH: i32 = 0;
/// The epoch of a request that closes the session, or wants none.
pub const FINAL_EPOCH: i32 = -1;

/// How long a session is safe: unused before it is stale, old before its own kind may evict it.
const EVICTION_AGE: Duration = Duration::from_secs(120);

/// How a request names a topic: by id since version 13, by name before. A session keeps to one of them.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum TopicRef {
    /// The topic's id, known to this broker or not.
    Id(Uuid),
    /// The topic's name. Whatever topic has that name when it is read.
    Name(Arc<str>),
}

/// A partition as a client names it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct FetchKey {
    /// The topic.
    pub topic: TopicRef,
    /// The partition's index.
    pub index: i32,
}

/// What a client wants of one partition: the fields of the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FetchPosition {
    /// Where to read.
    pub fetch_offset: Offset,
    /// Bytes for this partition.
    pub max_bytes: i32,
    /// The leader epoch that the client believes in, or [`LeaderEpoch::NONE`].
    pub current_leader_epoch: LeaderEpoch,
    /// The epoch of the last record that the client has, or [`LeaderEpoch::NONE`].
    pub last_fetched_epoch: LeaderEpoch,
    /// A follower's own log start, -1 from a consumer.
    pub follower_log_start: Offset,
}

/// The session part of a Fetch request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionRequest {
    /// The session, or [`NO_SESSION`].
    pub session_id: i32,
    /// See the module's table.
    pub session_epoch: i32,
    /// The request's version names topics by id.
    pub uses_topic_ids: bool,
    /// A follower asks.
    pub from_follower: bool,
    /// Partitions to read; in an incremental request, to add or change. Of one named twice the last counts.
    pub partitions: Vec<(FetchKey, FetchPosition)>,
    /// Partitions to drop from the session.
    pub forgotten: Vec<FetchKey>,
}

/// A Fetch under way.
#[derive(Debug, PartialEq, Eq)]
pub struct FetchContext {
    /// What to read, in this order: each partition once.
    pub partitions: Vec<(FetchKey, FetchPosition)>,
    /// Since when there has been nothing to read in any of them, if the client wants what it wanted then.
    pub quiet: Option<Quiet>,
    kind: Kind,
}

/// A moment at which there was nothing in any partition of a session that the client did not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quiet {
    /// What had happened on the node by then: see [`Activity`](crate::node::activity::Activity).
    pub activity: u64,
    /// When.
    pub at: Mono,
}

/// What was found in one partition, as far as the session cares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FetchAnswer {
    /// The response's error.
    pub error: ErrorCode,
    /// The response's high watermark, -1 with an error.
    pub high_watermark: Offset,
    /// The response's log start, -1 with an error.
    pub log_start: Offset,
    /// There are records.
    pub has_records: bool,
    /// The client has to do something: a diverging epoch, or another replica to read from.
    pub redirects: bool,
}

/// What a Fetch answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Completed {
    /// The error of the whole response.
    pub error: ErrorCode,
    /// The session that the client goes on with. [`NO_SESSION`] makes it send a full request next.
    pub session_id: i32,
    /// The partitions that go into the response, as indexes into [`FetchContext::partitions`].
    pub included: Vec<usize>,
}

/// All sessions of a node.
#[derive(Debug)]
pub struct SessionCache {
    sessions: BTreeMap<i32, Session>,
    /// In all sessions together.
    partition_count: usize,
    sessions_max: usize,
    partitions_max: usize,
    /// Sessions ever made: tells a session from a later one that happens to have the same id.
    created: u64,
    rng: Rng,
}

impl SessionCache {
    /// A cache of at most `sessions_max` sessions with at most `partitions_max` partitions in all of them.
    /// `rng` draws the ids.
    pub fn new(sessions_max: usize, partitions_max: usize, rng: Rng) -> Self {
        Self { sessions: BTreeMap::new(), partition_count: 0, sessions_max, partitions_max, created: 0, rng }
    }

    /// How many sessions there are.
    pub fn len(&self) -> usize {
        self.sessions.len()
    }

    /// Whether there is no session.
    pub fn is_empty(&self) -> bool {
        self.sessions.is_empty()
    }

    /// How many partitions all sessions have together.
    pub fn partition_count(&self) -> usize {
        self.partition_count
    }

    /// Takes in a request: which partitions are to be read.
    ///
    /// # Errors
    ///
    /// FETCH_SESSION_ID_NOT_FOUND, INVALID_FETCH_SESSION_EPOCH and FETCH_SESSION_TOPIC_ID_ERROR: the response
    /// is empty, with that error and [`NO_SESSION`]. The session, if there is one, stays as it is.
    pub fn begin(&mut self, request: SessionRequest, now: Mono) -> Result<FetchContext, ErrorCode> {
        let SessionRequest { session_id, session_epoch, uses_topic_ids, from_follower, .. } = request;
        if session_epoch == INITIAL_EPOCH || session_epoch == FINAL_EPOCH {
            self.remove(session_id);
            let opens = Kind::Full { uses_topic_ids, privileged: from_follower };
            let kind = if session_epoch == FINAL_EPOCH { Kind::Sessionless } else { opens };
            return Ok(FetchContext {
                partitions: without_repetition(request.partitions),
                quiet: None,
                kind,
            });
        }
        let session = self.sessions.get_mut(&session_id).ok_or(ErrorCode::FetchSessionIdNotFound)?;
        if session.epoch != session_epoch {
            return Err(ErrorCode::InvalidFetchSessionEpoch);
        }
        if session.uses_topic_ids != uses_topic_ids {
            return Err(ErrorCode::FetchSessionTopicIdError);
        }
        if !request.partitions.is_empty() || !request.forgotten.is_empty() {
            session.quiet = None;
        }
        let quiet = session.quiet;
        let before = session.partitions.len();
        session.update(&request.partitions, &request.forgotten);
        session.epoch = next_epoch(session.epoch);
        session.last_used = now;
        let (epoch, serial, after) = (session.epoch, session.serial, session.partitions.len());
        self.partition_count = self.partition_count - before + after;
        if after == 0 {
            self.remove(session_id);
            let partitions = without_repetition(request.partitions);
            return Ok(FetchContext { partitions, quiet: None, kind: Kind::Sessionless });
        }
        let partitions = session_partitions(&self.sessions[&session_id]);
        if self.partition_count > self.partitions_max {
            // This request can still be served whole. Without a session the client starts over with a full
            // one, and from then on has none.
            self.remove(session_id);
            return Ok(FetchContext { partitions, quiet: None, kind: Kind::Sessionless });
        }
        Ok(FetchContext { partitions, quiet, kind: Kind::Incremental { session_id, serial, epoch } })
    }

    /// Takes in what was found, one answer per partition of the context and in its order, and decides what
    /// goes into the response.
    pub fn complete(&mut self, context: FetchContext, answers: &[FetchAnswer], now: Mono) -> Completed {
        assert_eq!(answers.len(), context.partitions.len(), "one answer per partition");
        let everything = (0..answers.len()).collect();
        let (session_id, included) = match context.kind {
            Kind::Sessionless => (NO_SESSION, everything),
            Kind::Full { uses_topic_ids, privileged } => {
                let session = Session::new(uses_topic_ids, privileged, now, &context.partitions, answers);
                (self.insert(session, now), everything)
            }
            Kind::Incremental { session_id, serial, epoch } => {
                let session = self.sessions.get_mut(&session_id).filter(|session| session.serial == serial);
                match session {
                    // Evicted meanwhile: what was last sent is forgotten, so all of it is sent.
                    None => (NO_SESSION, everything),
                    Some(session) if session.epoch != epoch => {
                        // A repeated request has moved the session on, and its answer is the one that counts.
                        let error = ErrorCode::InvalidFetchSessionEpoch;
                        return Completed { error, session_id, included: Vec::new() };
                    }
                    Some(session) => (session_id, session.select(&context.partitions, answers)),
                }
            }
        };
        Completed { error: ErrorCode::None, session_id, included }
    }

    /// Notes that a session, whose Fetch was just completed, was sent all there is.
    pub fn set_quiet(&mut self, completed: &Completed, quiet: Option<Quiet>) {
        if completed.error.is_none()
            && let Some(session) = self.sessions.get_mut(&completed.session_id)
        {
            session.quiet = quiet;
        }
    }

    /// Stores a session if there is room or room can be made; its id, or [`NO_SESSION`].
    fn insert(&mut self, mut session: Session, now: Mono) -> i32 {
        let size = session.partitions.len();
        if size > self.partitions_max {
            return NO_SESSION;
        }
        while self.sessions.len() >= self.sessions_max || self.partition_count + size > self.partitions_max {
            match self.evictable(session.privileged, size, now) {
                Some(victim) => self.remove(victim),
                None => return NO_SESSION,
            }
        }
        self.created += 1;
        session.serial = self.created;
        let session_id = self.new_id();
        self.sessions.insert(session_id, session);
        self.partition_count += size;
        session_id
    }

    /// A random id: one that cannot be guessed, and that a node does not give again soon after a restart.
    fn new_id(&mut self) -> i32 {
        loop {
            let id = i32::try_from(self.rng.next_u32() >> 1).expect("31 bits are not negative");
            if id != NO_SESSION && !self.sessions.contains_key(&id) {
                return id;
            }
        }
    }

    /// The session that makes room for a new one. A scan: the cache is small, and full only with clients that
    /// do not keep their sessions.
    fn evictable(&self, privileged: bool, size: usize, now: Mono) -> Option<i32> {
        let (&id, idle_longest) =
            self.sessions.iter().min_by_key(|(id, session)| (session.last_used, **id))?;
        if now.since(idle_longest.last_used) > EVICTION_AGE {
            return Some(id);
        }
        let may_go = |session: &Session| {
            now.since(session.created_at) > EVICTION_AGE || (privileged && !session.privileged)
        };
        let worth = |session: &Session| (session.privileged, session.partitions.len());
        let (&id, least) = self
            .sessions
            .iter()
            .filter(|(_, session)| may_go(session))
            .min_by_key(|(id, session)| (worth(session), **id))?;
        // Kafka's order puts the new session, as id 0, before others of the same worth.
        (worth(least) < (privileged, size)).then_some(id)
    }

    fn remove(&mut self, session_id: i32) {
        if let Some(session) = self.sessions.remove(&session_id) {
            self.partition_count -= session.partitions.len();
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Sessionless,
    Full { uses_topic_ids: bool, privileged: bool },
    Incremental { session_id: i32, serial: u64, epoch: i32 },
}

#[derive(Debug)]
struct Session {
    serial: u64,
    /// What the next request must say.
    epoch: i32,
    uses_topic_ids: bool,
    privileged: bool,
    created_at: Mono,
    last_used: Mono,
    quiet: Option<Quiet>,
    partitions: BTreeMap<FetchKey, CachedPartition>,
    /// The order of reading, by turn: the partitions' keys once more.
    turns: BTreeMap<u64, FetchKey>,
    next_turn: u64,
}

#[derive(Debug)]
struct CachedPartition {
    turn: u64,
    position: FetchPosition,
    /// As last sent; -1 at first and after an error, so that the partition is sent when that is over.
    high_watermark: Offset,
    /// As last sent, -1 at first.
    log_start: Offset,
}

impl Session {
    fn new(
        uses_topic_ids: bool,
        privileged: bool,
        now: Mono,
        partitions: &[(FetchKey, FetchPosition)],
        answers: &[FetchAnswer],
    ) -> Self {
        let mut session = Self {
            serial: 0,
            epoch: next_epoch(INITIAL_EPOCH),
            uses_topic_ids,
            privileged,
            created_at: now,
            last_used: now,
            quiet: None,
            partitions: BTreeMap::new(),
            turns: BTreeMap::new(),
            next_turn: 0,
        };
        session.update(partitions, &[]);
        for ((key, _), answer) in partitions.iter().zip(answers) {
            session.partitions.get_mut(key).expect("it was just added").must_send(answer);
        }
        session
    }

    fn update(&mut self, changed: &[(FetchKey, FetchPosition)], forgotten: &[FetchKey]) {
        for (key, position) in changed {
            if let Some(cached) = self.partitions.get_mut(key) {
                cached.position = *position;
                continue;
            }
            let turn = self.next_turn;
            self.next_turn += 1;
            self.turns.insert(turn, key.clone());
            let unsent = Offset(-1);
            let cached =
                CachedPartition { turn, position: *position, high_watermark: unsent, log_start: unsent };
            self.partitions.insert(key.clone(), cached);
        }
        for key in forgotten {
            if let Some(cached) = self.partitions.remove(key) {
                self.turns.remove(&cached.turn);
            }
        }
        assert_eq!(self.turns.len(), self.partitions.len(), "every partition has one turn");
    }

    /// Which answers go into an incremental response, and notes them as sent.
    fn select(&mut self, partitions: &[(FetchKey, FetchPosition)], answers: &[FetchAnswer]) -> Vec<usize> {
        let mut included = Vec::new();
        for (index, ((key, _), answer)) in partitions.iter().zip(answers).enumerate() {
            let cached =
                self.partitions.get_mut(key).expect("the epoch has not changed, nor have the partitions");
            if !cached.must_send(answer) {
                continue;
            }
            included.push(index);
            if answer.has_records {
                let turn = std::mem::replace(&mut cached.turn, self.next_turn);
                let key = self.turns.remove(&turn).expect("every partition has one turn");
                self.turns.insert(self.next_turn, key);
                self.next_turn += 1;
            }
        }
        included
    }
}

impl CachedPartition {
    /// Whether the client must be told, who from now on knows.
    fn must_send(&mut self, answer: &FetchAnswer) -> bool {
        let moved = self.high_watermark != answer.high_watermark || self.log_start != answer.log_start;
        let failed = !answer.error.is_none();
        self.high_watermark = if failed { Offset(-1) } else { answer.high_watermark };
        self.log_start = answer.log_start;
        answer.has_records || moved || failed || answer.redirects
    }
}

fn session_partitions(session: &Session) -> Vec<(FetchKey, FetchPosition)> {
    session.turns.values().map(|key| (key.clone(), session.partitions[key].position)).collect()
}

/// Each partition once, at its first place and with its last position.
fn without_repetition(partitions: Vec<(FetchKey, FetchPosition)>) -> Vec<(FetchKey, FetchPosition)> {
    let mut last: BTreeMap<FetchKey, FetchPosition> = BTreeMap::new();
    for (key, position) in &partitions {
        last.insert(key.clone(), *position);
    }
    if last.len() == partitions.len() {
        return partitions;
    }
    let mut seen = BTreeSet::new();
    let keys = partitions.into_iter().map(|(key, _)| key);
    keys.filter(|key| seen.insert(key.clone())).map(|key| (key.clone(), last[&key])).collect()
}

/// After the last epoch comes 1: 0 opens a session.
fn next_epoch(epoch: i32) -> i32 {
    if epoch == i32::MAX { 1 } else { epoch + 1 }
}

#[cfg(test)]
mod tests;
