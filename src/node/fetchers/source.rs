//! Fetching from one leader: one Fetch at a time for all replicas that follow it.
//!
//! A replica takes part while it has something to ask ([`Partition::next_fetch`]): not while it syncs what the last
//! answer brought, nor while its log is cut. It says when it is ready again. The next Fetch waits a little for
//! those that sync, so that they need not wait for it; while one of them is left out, the leader is asked not to
//! wait for anything new.
//!
//! | failure | what follows |
//! |---|---|
//! | of the connection, or of the whole answer | a pause, then a new session |
//! | of one partition | it is left out, the longer the more often that happens |
//!
//! A replica out of sync that is throttled is left out, too, while the rate is exceeded
//! ([`throttles`](crate::node::throttles)).
//!
//! [`Partition::next_fetch`]: crate::partition::Partition::next_fetch

use std::collections::{BTreeMap, BTreeSet};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;

use super::Shared;
use super::resting::Resting;
use super::session::Session;
use crate::client::config::ClientConfig;
use crate::client::connection::Connection;
use crate::client::futures::{Either, race};
use crate::config::listeners::HostPort;
use crate::env::{Clock, Env};
use crate::error_code::ErrorCode;
use crate::node::replica::Replica;
use crate::partition::{AfterError, FollowerFetch};
use crate::types::{BrokerId, LogEnd, LogStart, Mono, Offset, PartitionKey, Uuid};
use crate::wire::messages::fetch::{FetchRequest, FetchResponse, PartitionData, ReplicaState};
use crate::wire::messages::list_offsets::{
    ListOffsetsPartition, ListOffsetsPartitionResponse, ListOffsetsRequest, ListOffsetsTopic,
};

/// How long a Fetch waits for replicas that sync: as long as a disk usually takes.
const SYNC_PATIENCE: Duration = Duration::from_millis(10);

/// How long the leader is asked not to wait because of a replica that syncs. One that takes longer, or never ends
/// because its disk is gone, is not worth a Fetch every few milliseconds.
const HASTE: Duration = Duration::from_secs(1);

/// ListOffsets: where the log starts, and where it ends.
const EARLIEST: i64 = -2;
const LATEST: i64 = -1;

/// What one who fetches is told.
pub(super) enum News<E: Env> {
    /// A replica follows the leader, or begins anew to.
    Follow(Arc<Replica<E>>),
    /// It follows no more.
    Leave(PartitionKey),
    /// What it asks for may have changed.
    Due(PartitionKey),
    /// Where the leader can be reached; `None` while that is not known.
    Address(Option<HostPort>),
}

/// One who fetches.
pub(super) struct Source<E: Env> {
    shared: Arc<Shared<E>>,
    leader: BrokerId,
    address: Option<HostPort>,
    /// The address has changed since the connection was made.
    moved: bool,
    news: mpsc::UnboundedReceiver<News<E>>,
    config: ClientConfig,
    connection: Option<Arc<Connection<E>>>,
    session: Session,
    replicas: BTreeMap<PartitionKey, Arc<Replica<E>>>,
    /// Those to be asked what they want.
    due: BTreeSet<PartitionKey>,
    /// Those that the last answers brought something, which they sync, and until when they are waited for.
    syncing: BTreeMap<PartitionKey, Mono>,
    /// Those that are left out after a failure, or because of the throttle.
    resting: Resting,
}

/// What is the end of a Fetch.
enum Outcome {
    Answered(Box<FetchResponse>),
    /// Nobody is left who would want the answer, or the leader is elsewhere.
    Overtaken,
}

impl<E: Env> Source<E> {
    pub(super) fn new(
        shared: Arc<Shared<E>>,
        (leader, which): (BrokerId, usize),
        address: Option<HostPort>,
        news: mpsc::UnboundedReceiver<News<E>>,
    ) -> Self {
        let config = ClientConfig {
            client_id: format!("broker-{}-fetcher-{which}", shared.own),
            request_timeout: shared.settings.socket_timeout,
            socket_connection_setup_timeout: shared.settings.socket_timeout,
            // A leader's batch has to be taken, however large. Memory follows what arrives.
            receive_message_max_bytes: i32::MAX as usize,
            ..ClientConfig::default()
        };
        let session = Session::new(shared.settings.fetch_max_bytes);
        Self {
            shared,
            leader,
            address,
            moved: false,
            news,
            config,
            connection: None,
            session,
            replicas: BTreeMap::new(),
            due: BTreeSet::new(),
            syncing: BTreeMap::new(),
            resting: Resting::default(),
        }
    }

    /// Fetches until nobody can tell it anything any more.
    pub(super) async fn run(mut self) {
        loop {
            while let Ok(news) = self.news.try_recv() {
                self.take(news);
            }
            self.refresh();
            if self.session.is_idle() {
                if !self.wait(None).await {
                    return;
                }
                continue;
            }
            if let Err(reason) = self.fetch().await {
                tracing::info!(leader = %self.leader, reason, "cannot fetch from a leader now");
                self.hang_up();
                if !self.rest().await {
                    return;
                }
            }
            if !self.wait_for_syncs().await {
                return;
            }
        }
    }

    fn take(&mut self, news: News<E>) {
        match news {
            News::Follow(replica) => {
                let key = replica.key();
                self.replicas.insert(key, replica);
                self.resting.forget(key);
                self.due.insert(key);
            }
            News::Leave(key) => {
                self.replicas.remove(&key);
                self.resting.forget(key);
                self.syncing.remove(&key);
                self.due.remove(&key);
                self.session.want(key, None);
            }
            // It may have more to do yet: a new segment's directory entry is synced, and then the segment.
            News::Due(key) => {
                self.due.insert(key);
            }
            News::Address(address) => {
                self.moved |= address != self.address;
                self.address = address;
            }
        }
    }

    /// Asks those who are due what they want.
    fn refresh(&mut self) {
        let now = self.shared.env.clock().now();
        self.due.extend(self.resting.rested(now));
        for key in std::mem::take(&mut self.due) {
            if let Some(replica) = self.replicas.get(&key)
                && !self.resting.contains(key)
            {
                let exceeded = self.shared.throttle.exceeded(now);
                let kept_back = exceeded.filter(|_| replica.is_throttled_follower());
                let next = kept_back.is_none().then(|| replica.next_fetch()).flatten();
                if next.is_some() || kept_back.is_some() {
                    self.syncing.remove(&key);
                }
                self.session.want(key, next);
                if let Some(until) = kept_back {
                    // Looked at again before that: more may be allowed by then.
                    self.resting.keep_back(key, until.min(now + self.shared.settings.fetch_backoff));
                }
            }
        }
        self.syncing.retain(|_, until| *until > now);
    }

    /// Waits for news, or until `until`; without that, until somebody has rested. Says whether there can be more.
    async fn wait(&mut self, until: Option<Mono>) -> bool {
        let news = match until.or_else(|| self.resting.next()) {
            Some(deadline) => {
                let clock = self.shared.env.clock().clone();
                match clock.timeout_at(deadline, self.news.recv()).await {
                    Some(news) => news,
                    None => return true,
                }
            }
            None => self.news.recv().await,
        };
        let more = news.is_some();
        news.into_iter().for_each(|news| self.take(news));
        more
    }

    /// Pauses after a failure, unless the leader turns out to be elsewhere.
    async fn rest(&mut self) -> bool {
        let until = self.shared.env.clock().now() + self.shared.settings.fetch_backoff;
        while !self.moved && self.shared.env.clock().now() < until {
            if !self.wait(Some(until)).await {
                return false;
            }
        }
        true
    }

    async fn wait_for_syncs(&mut self) -> bool {
        let until = self.shared.env.clock().now() + SYNC_PATIENCE;
        while !self.syncing.is_empty() && self.shared.env.clock().now() < until {
            if !self.wait(Some(until)).await {
                return false;
            }
            self.refresh();
        }
        true
    }

    fn hang_up(&mut self) {
        self.connection = None;
        self.session.lost();
    }

    /// Sends one Fetch and takes in its answer.
    async fn fetch(&mut self) -> Result<(), String> {
        let connection = self.connection().await?;
        let bytes =
            usize::try_from(self.shared.settings.fetch_response_max_bytes).expect("it is not negative");
        let _permit = self.shared.budget.acquire(bytes).await.expect("the budget holds several answers");
        let request = self.request()?;
        let response = match self.ask(&connection, &request).await? {
            Outcome::Answered(response) => response,
            Outcome::Overtaken => {
                self.hang_up();
                return Ok(());
            }
        };
        let error = ErrorCode::from_code(response.error_code).unwrap_or(ErrorCode::UnknownServerError);
        match error {
            ErrorCode::None => self.session.answered(response.session_id),
            ErrorCode::FetchSessionIdNotFound
            | ErrorCode::InvalidFetchSessionEpoch
            | ErrorCode::FetchSessionTopicIdError => {
                self.session.lost();
                return Ok(());
            }
            error => return Err(error.to_string()),
        }
        let lost = self.take_answers(*response);
        if lost.is_empty() { Ok(()) } else { self.ask_for_ends(&connection, lost).await }
    }

    async fn connection(&mut self) -> Result<Arc<Connection<E>>, String> {
        // Whether or not there is another address: if not, the next attempt is after a pause.
        let moved = std::mem::take(&mut self.moved);
        if moved || self.connection.as_ref().is_some_and(|connection| connection.is_closed()) {
            self.hang_up();
        }
        if let Some(connection) = &self.connection {
            return Ok(Arc::clone(connection));
        }
        let Some(HostPort { host, port }) = self.address.clone() else {
            return Err("it is not known where it can be reached".to_owned());
        };
        let opened = Connection::open(&self.shared.env, &host, port, &self.config).await?;
        let connection = Arc::new(opened);
        self.connection = Some(Arc::clone(&connection));
        Ok(connection)
    }

    /// How long the leader may keep a Fetch for want of data: nobody who has rested waits for that.
    fn longest_wait(&self) -> Duration {
        let now = self.shared.env.clock().now();
        let rested = self.resting.next().map_or(Duration::MAX, |until| until.since(now));
        self.shared.settings.fetch_wait_max.min(rested)
    }

    fn request(&mut self) -> Result<FetchRequest, String> {
        let epoch = self.shared.registered.epoch().ok_or("this broker is not registered")?;
        let wait = if self.syncing.is_empty() { self.longest_wait() } else { Duration::ZERO };
        let mut request = FetchRequest {
            replica_state: ReplicaState { replica_id: self.shared.own.0, replica_epoch: epoch.0 },
            max_wait_ms: i32::try_from(wait.as_micros().div_ceil(1000)).unwrap_or(i32::MAX),
            min_bytes: self.shared.settings.fetch_min_bytes,
            max_bytes: self.shared.settings.fetch_response_max_bytes,
            ..FetchRequest::default()
        };
        self.session.fill(&mut request);
        Ok(request)
    }

    /// Waits for the answer, and takes note of what is new meanwhile.
    async fn ask(&mut self, connection: &Connection<E>, request: &FetchRequest) -> Result<Outcome, String> {
        let deadline = self.shared.env.clock().now() + self.shared.settings.socket_timeout;
        let call = connection.start(request, i16::MAX, deadline).map_err(|error| error.to_string())?;
        let mut answer = pin!(call.wait());
        loop {
            match race(answer.as_mut(), self.news.recv()).await {
                Either::First(Ok(response)) => {
                    return Ok(Outcome::Answered(Box::new(response)));
                }
                Either::First(Err(error)) => return Err(error.to_string()),
                Either::Second(Some(news)) => self.take(news),
                Either::Second(None) => return Ok(Outcome::Overtaken),
            }
            if self.moved {
                return Ok(Outcome::Overtaken);
            }
        }
    }

    /// Hands the answers to their replicas. Returns those that have to know where the leader's log lies.
    fn take_answers(&mut self, response: FetchResponse) -> Vec<(PartitionKey, FollowerFetch)> {
        let mut lost = Vec::new();
        for topic in response.responses {
            for data in &topic.partitions {
                let key = PartitionKey { topic_id: topic.topic_id, index: data.partition_index };
                // What is wanted now is what was asked, save where it has changed since: then the partition knows
                // that it is not an answer to that.
                let Some(request) = self.session.wanted(key) else { continue };
                let Some(replica) = self.replicas.get(&key).cloned() else { continue };
                self.due.insert(key);
                match self.take_answer(&replica, &request, data) {
                    AfterError::Nothing | AfterError::AwaitMetadata => {}
                    AfterError::Retry => self.leave_out(key),
                    AfterError::AskForEnds => lost.push((key, request)),
                }
            }
        }
        lost
    }

    fn take_answer(
        &mut self,
        replica: &Arc<Replica<E>>,
        request: &FollowerFetch,
        data: &PartitionData,
    ) -> AfterError {
        if data.error_code != 0 {
            let code = ErrorCode::from_code(data.error_code).unwrap_or(ErrorCode::UnknownServerError);
            tracing::debug!(partition = %replica.name(), leader = %self.leader, %code, "a Fetch is refused");
            return replica.fetch_refused(request, code);
        }
        if let Err(error) = replica.fetch_answered(request, data) {
            tracing::error!(partition = %replica.name(), leader = %self.leader, %error, "an answer is refused");
            return AfterError::Retry;
        }
        self.resting.forget(replica.key());
        let bytes = data.records.as_ref().map_or(0, |records| records.len());
        if bytes > 0 && replica.has_throttled_follower(self.shared.own) {
            self.shared.throttle.record(bytes as u64, self.shared.env.clock().now());
        }
        if bytes > 0 && replica.next_fetch().is_none() {
            let until = self.shared.env.clock().now() + HASTE;
            self.syncing.insert(replica.key(), until);
        }
        AfterError::Nothing
    }

    /// Leaves a partition alone for a while.
    fn leave_out(&mut self, key: PartitionKey) {
        self.session.want(key, None);
        self.resting.leave_out(key, self.shared.env.clock().now(), self.shared.settings.fetch_backoff);
    }

    /// Asks the leader where logs start and end in which an offset was out of range.
    async fn ask_for_ends(
        &mut self,
        connection: &Connection<E>,
        lost: Vec<(PartitionKey, FollowerFetch)>,
    ) -> Result<(), String> {
        let deadline = self.shared.env.clock().now() + self.shared.settings.socket_timeout;
        let mut ends: [BTreeMap<PartitionKey, Offset>; 2] = Default::default();
        let names: BTreeMap<(String, i32), PartitionKey> = lost
            .iter()
            .filter_map(|(key, _)| Some((*key, self.replicas.get(key)?)))
            .map(|(key, replica)| ((replica.name().topic.clone(), key.index), key))
            .collect();
        for (timestamp, found) in [EARLIEST, LATEST].into_iter().zip(&mut ends) {
            let request = self.ends_request(&lost, timestamp);
            let call = connection.start(&request, i16::MAX, deadline).map_err(|error| error.to_string())?;
            let response = call.wait().await.map_err(|error| error.to_string())?;
            for topic in response.topics {
                let known = topic.partitions.into_iter().filter_map(
                    |ListOffsetsPartitionResponse { partition_index, error_code, offset, .. }| {
                        let key = names.get(&(topic.name.clone(), partition_index))?;
                        (error_code == 0).then_some((*key, Offset(offset)))
                    },
                );
                found.extend(known);
            }
        }
        for (key, request) in lost {
            let Some(replica) = self.replicas.get(&key).cloned() else { continue };
            let judged = match (ends[0].get(&key), ends[1].get(&key)) {
                (Some(start), Some(end)) => {
                    replica.fetch_out_of_range(&request, LogStart(*start), LogEnd(*end))
                }
                _ => Ok(()),
            };
            if let Err(error) = judged {
                tracing::error!(partition = %replica.name(), leader = %self.leader, %error, "an answer is refused");
            }
            // Whoever is not busy now with what it has heard asks once more, but not at once.
            if replica.next_fetch().is_some() {
                self.leave_out(key);
            }
        }
        Ok(())
    }

    fn ends_request(&self, lost: &[(PartitionKey, FollowerFetch)], timestamp: i64) -> ListOffsetsRequest {
        let mut topics: BTreeMap<Uuid, ListOffsetsTopic> = BTreeMap::new();
        for (key, fetch) in lost {
            let Some(replica) = self.replicas.get(key) else { continue };
            let topic = topics.entry(key.topic_id).or_default();
            topic.name.clone_from(&replica.name().topic);
            topic.partitions.push(ListOffsetsPartition {
                partition_index: key.index,
                current_leader_epoch: fetch.leader_epoch.0,
                timestamp,
            });
        }
        ListOffsetsRequest {
            replica_id: self.shared.own.0,
            topics: topics.into_values().collect(),
            ..ListOffsetsRequest::default()
        }
    }
}
