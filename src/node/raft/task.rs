//! The loop, and what becomes of the quorum's effects.

use std::collections::{BTreeMap, VecDeque};
use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};

use super::active::{Active, ControllerTimers, Undertaking};
use super::calls::{Caller, Received};
use super::error::MetadataLogError;
use super::log::{OpenedLog, RaftLog, fits};
use super::peers::Peers;
use super::snapshots::write_snapshot;
use super::strangers::Strangers;
use super::{Answered, Leader, Message, Raft};
use crate::client::config::ClientConfig;
use crate::controller::{Metadata, Settings};
use crate::env::{Clock, Env, Event, Purpose};
use crate::error_code::ErrorCode;
use crate::node::metadata::NotDecided;
use crate::node::publisher::Publishing;
use crate::quorum::{
    Address, Answer, Effect, FetchSnapshotResponse, Fetched, Identity, Input, Quorum, QuorumConfig,
    ReadChunk, ReadRange, RequestId, RequestToken, SnapshotId, SnapshotPolicy, Start,
};
use crate::types::{LeaderEpoch, Mono, Offset};
use crate::wire::metadata::MetadataRecord;
use crate::wire::snapshot::SnapshotOptions;

/// The most bytes of records that answer one Fetch.
const FETCH_BYTES_MAX: usize = 1 << 20;

/// How often the task looks whether a snapshot is due.
const SNAPSHOT_CHECK: Duration = Duration::from_secs(60);

/// Messages that are handled before the log is made durable for all of them.
const MESSAGES_PER_SYNC: usize = 256;

/// What the task is made of.
pub(crate) struct RaftParts<E: Env> {
    pub(crate) env: E,
    pub(crate) raft: Raft,
    pub(crate) inbox: mpsc::UnboundedReceiver<Message>,
    pub(crate) opened: OpenedLog<E>,
    pub(crate) identity: Identity,
    pub(crate) quorum: QuorumConfig,
    pub(crate) snapshots: SnapshotPolicy,
    pub(crate) cluster_id: String,
    pub(crate) settings: Settings,
    /// What a new log begins with.
    pub(crate) bootstrap: Option<Vec<MetadataRecord>>,
    pub(crate) timers: ControllerTimers,
    pub(crate) publishing: Publishing,
}

/// The task.
pub(crate) struct RaftTask<E: Env> {
    env: E,
    raft: Raft,
    inbox: mpsc::UnboundedReceiver<Message>,
    quorum: Quorum,
    log: RaftLog<E>,
    peers: Peers<E>,
    publishing: Publishing,
    settings: Settings,
    bootstrap: Option<Arc<[MetadataRecord]>>,
    timers: ControllerTimers,
    snapshot_policy: SnapshotPolicy,
    /// What is committed, replayed up to [`Self::replayed`].
    committed: Metadata,
    replayed: Offset,
    /// The end of what is committed: never truncated, and so the recovery point that is checkpointed.
    recovery_point: Arc<AtomicI64>,
    active: Option<Active>,
    /// What is still to be carried out.
    effects: VecDeque<Effect>,
    next_token: u64,
    asked: BTreeMap<RequestToken, oneshot::Sender<Answered>>,
    /// The bytes that came with the response under way.
    received: Option<(RequestId, Bytes)>,
    /// Something was appended since the last sync.
    unsynced: bool,
    own_address: Option<Address>,
    cluster_id: String,
    /// How many there are.
    bootstrap_servers: usize,
    strangers: Strangers,
    /// Told when nobody depends on this node any more.
    resigning: Option<oneshot::Sender<()>>,
    snapshot: SnapshotState<E>,
}

/// The next snapshot of this node's own.
struct SnapshotState<E: Env> {
    check: Mono,
    /// When the last one was taken, or the node started.
    last: Mono,
    /// How much has been replayed since that the last one does not hold.
    replayed_bytes: u64,
    /// The task that writes one.
    under_way: Option<E::Task>,
}

impl<E: Env> RaftTask<E> {
    /// Starts the quorum on an opened log. Nothing leaves the node before [`Self::run`].
    pub(crate) fn new(parts: RaftParts<E>) -> Result<Self, MetadataLogError> {
        let RaftParts { env, raft, inbox, opened, identity, quorum: config, cluster_id, .. } = parts;
        let OpenedLog { log, view, voters, metadata, election, elected } = opened;
        let now = env.clock().now();
        let (endpoints, own_address) = (identity.endpoints.clone(), identity.address());
        let bootstrap_servers = identity.bootstrap.len();
        let epoch = election.map_or(0, |election| u64::from(election.epoch.0.unsigned_abs()));
        // Several nodes can share a process, and its randomness.
        let instance = epoch | u64::from(identity.key.id.0.unsigned_abs()) << 32;
        let start = Start {
            identity,
            config,
            rng: env.rng(Purpose { subsystem: "quorum", what: "timeouts", instance }),
            persisted: election,
            log: view,
            voters,
        };
        let (quorum, effects) = Quorum::start(now, start)?;
        let client = ClientConfig {
            client_id: format!("raft-client-{}", parts.settings.node_id),
            ..ClientConfig::default()
        };
        let timeout = config.request_timeout.max(config.fetch_wait_max * 2);
        let caller = Caller { cluster_id: cluster_id.clone(), endpoints };
        let peers = Peers::new(env.clone(), caller, client, timeout, raft.inbox.clone());
        let replayed = quorum.committed();
        let snapshot =
            SnapshotState { check: now + SNAPSHOT_CHECK, last: now, replayed_bytes: 0, under_way: None };
        let task = Self {
            env,
            raft,
            inbox,
            quorum,
            log,
            peers,
            publishing: parts.publishing,
            settings: parts.settings,
            bootstrap: parts.bootstrap.map(Arc::from),
            timers: parts.timers,
            snapshot_policy: parts.snapshots,
            committed: metadata,
            replayed,
            recovery_point: Arc::new(AtomicI64::new(replayed.0)),
            active: None,
            effects: effects.into(),
            next_token: 0,
            asked: BTreeMap::new(),
            received: None,
            unsynced: false,
            own_address,
            cluster_id,
            bootstrap_servers,
            strangers: Strangers::new(elected),
            resigning: None,
            snapshot,
        };
        Ok(task)
    }

    /// A number that no earlier run of this node had.
    pub(crate) fn run_number(&self) -> u64 {
        self.log.log_end().0.unsigned_abs() << 16 | u64::from(self.quorum.epoch().0.unsigned_abs() & 0xffff)
    }

    /// The end of what is committed, for the recovery-point checkpoint.
    pub(crate) fn recovery_point(&self) -> Arc<AtomicI64> {
        Arc::clone(&self.recovery_point)
    }

    /// Works until told to stop; then closes the log. So it does where this node cannot be part of the quorum.
    pub(crate) async fn run(mut self) -> Result<(), MetadataLogError> {
        match self.work().await {
            Err(refused @ MetadataLogError::Refused(_)) => self.close().await.and(Err(refused)),
            Err(failed) => Err(failed),
            Ok(()) => self.close().await,
        }
    }

    async fn work(&mut self) -> Result<(), MetadataLogError> {
        self.publish();
        self.settle().await?;
        loop {
            let deadline = self.next_deadline();
            let mut handled = 0;
            let mut message = next_message(&self.env, &mut self.inbox, deadline).await;
            while let Some(some) = message.take() {
                if matches!(some, Message::Stop) {
                    return Ok(());
                }
                self.handle(some).await?;
                self.active.iter_mut().for_each(Active::heard);
                handled += 1;
                message = if handled < MESSAGES_PER_SYNC { self.inbox.try_recv().ok() } else { None };
            }
            self.settle().await?;
        }
    }

    fn next_deadline(&self) -> Mono {
        let timers = [self.quorum.next_deadline(), self.active.as_ref().map(Active::next_deadline)];
        timers.into_iter().flatten().fold(self.snapshot.check, Mono::min)
    }

    async fn handle(&mut self, message: Message) -> Result<(), MetadataLogError> {
        match message {
            Message::Decide(command) => {
                if let Some(activation) = self.active.as_mut().and_then(Active::activation) {
                    self.undertake(activation).await?;
                }
                let (end, now) = (self.log.log_end(), self.env.clock().now());
                match &mut self.active {
                    Some(active) => {
                        let undertaking = active.decide(command, end, now);
                        self.undertake(undertaking).await?;
                    }
                    // The command owns whom to tell: dropping it says so.
                    None => drop(command),
                }
            }
            Message::Asked { request, reply } => {
                let token = RequestToken(self.next_token);
                self.next_token += 1;
                self.asked.insert(token, reply);
                self.step(Input::Request { token, request }).await?;
            }
            Message::Answered { id, from, outcome } => {
                self.strangers.note(&from, &outcome, &self.quorum, self.settings.node_id)?;
                match outcome {
                    Ok(Received { response, payload }) => {
                        self.received = Some((id, payload));
                        self.step(Input::Response { id, response }).await?;
                        self.received = None;
                    }
                    Err(failure) => self.step(Input::Failed { id, failure }).await?,
                }
                self.check_peers()?;
            }
            Message::Describe(reply) => {
                let description = self.quorum.describe(self.env.clock().now());
                // Whoever asked may have gone.
                let _ = reply.send(description);
            }
            Message::SnapshotWritten { id, outcome } => self.snapshot_written(id, outcome).await?,
            Message::Resign(reply) => {
                self.resigning = Some(reply);
                self.step(Input::Shutdown).await?;
            }
            Message::Stop => unreachable!("the loop ends with it"),
        }
        Ok(())
    }

    /// Brings everything to rest: the log durable, what is due done.
    async fn settle(&mut self) -> Result<(), MetadataLogError> {
        loop {
            self.carry_out().await?;
            if std::mem::take(&mut self.unsynced) {
                let end = self.log.sync().await?;
                self.step(Input::Durable(end)).await?;
                continue;
            }
            let now = self.env.clock().now();
            if self.quorum.next_deadline().is_some_and(|deadline| deadline <= now) {
                self.step(Input::Tick).await?;
                continue;
            }
            if let Some(active) = &mut self.active
                && let Some(undertaking) = active.due(now, self.inbox.len())
            {
                self.undertake(undertaking).await?;
                continue;
            }
            break;
        }
        if self.resigning.is_some() && self.quorum.may_stop() {
            let resigning = self.resigning.take().expect("it is there");
            let _ = resigning.send(());
        }
        self.show_leader();
        self.mind_snapshots().await
    }

    fn show_leader(&mut self) {
        self.raft.kraft_version.store(self.quorum.voters().version(), Ordering::Relaxed);
        let is_here = self.active.is_some();
        let is_settled = self.strangers.is_settled(&self.quorum);
        let id = self.quorum.leader().filter(|_| is_settled);
        let own = self.own_address.clone().filter(|_| is_here);
        self.raft.leadership.set(Leader {
            epoch: self.quorum.epoch(),
            id,
            address: own.or_else(|| self.quorum.leader_address().cloned()),
            is_here,
            since: self.env.clock().now(),
        });
    }

    /// Tells the quorum, and carries out what follows.
    async fn step(&mut self, input: Input) -> Result<(), MetadataLogError> {
        self.tell(input);
        self.carry_out().await
    }

    fn tell(&mut self, input: Input) {
        let effects = self.quorum.step(self.env.clock().now(), input);
        self.effects.extend(effects);
    }

    async fn carry_out(&mut self) -> Result<(), MetadataLogError> {
        while let Some(effect) = self.effects.pop_front() {
            if let Some(completion) = self.carry_out_one(effect).await? {
                self.tell(completion);
            }
        }
        Ok(())
    }

    /// Carries out one effect; returns what the quorum is to be told about it.
    async fn carry_out_one(&mut self, effect: Effect) -> Result<Option<Input>, MetadataLogError> {
        match effect {
            Effect::Persist(state) => {
                self.log.persist(state).await?;
                return Ok(Some(Input::Persisted(state)));
            }
            Effect::Send { id, to, request } => self.peers.send(id, to, request),
            Effect::Answer { token, answer } => self.answer(token, answer).await?,
            Effect::Append { epoch, records } => {
                let batch = self.log.append_controls(epoch, records).await?;
                self.unsynced = true;
                if let Some(active) = &mut self.active {
                    batch.controls.iter().for_each(|(offset, _)| active.skip(*offset));
                }
                return Ok(Some(Input::Appended(vec![batch])));
            }
            Effect::AppendFetched(response) => {
                let batches = self.received_with(response);
                if let Some(elected) = self.log.elected_in(&batches) {
                    // Before anything of it is on disk.
                    self.strangers.note_election(elected, &self.quorum)?;
                }
                self.unsynced = true;
                return Ok(Some(Input::Appended(self.log.append_fetched(&batches).await?)));
            }
            Effect::Truncate(to) => {
                self.log.truncate(to).await?;
                return Ok(Some(Input::Truncated));
            }
            Effect::WriteSnapshot { response, id, position } => {
                let piece = self.received_with(response);
                self.log.snapshots().write_piece(id, position, &piece).await?;
            }
            Effect::InstallSnapshot(id) => return self.install(id).await.map(Some),
            Effect::Commit(end) => self.commit(end).await?,
            Effect::Lead(epoch) => self.lead(epoch),
            Effect::Lost(epoch) => {
                let active = self.active.take().expect("only who leads can lose that");
                assert_eq!(active.epoch, epoch, "another epoch was led");
                active.give_up();
            }
        }
        Ok(None)
    }

    /// That those whom this node hears are the quorum that it looks for.
    fn check_peers(&mut self) -> Result<(), MetadataLogError> {
        Ok(self.strangers.check(&self.quorum, self.bootstrap_servers, &self.cluster_id)?)
    }

    fn received_with(&mut self, response: RequestId) -> Bytes {
        let (id, payload) = self.received.take().expect("the quorum acts on a response when it comes");
        assert_eq!(id, response, "it acts on that one");
        payload
    }

    /// What is committed is replayed, and shown.
    async fn commit(&mut self, end: Offset) -> Result<(), MetadataLogError> {
        self.snapshot.replayed_bytes += self.log.replay(self.replayed, end, &mut self.committed).await?;
        self.replayed = end;
        self.recovery_point.store(end.0, Ordering::SeqCst);
        let image = Arc::new(self.committed.published().clone());
        self.env.observe(Event::MetadataCommitted { end, epoch: self.quorum.epoch(), image });
        self.publish();
        if let Some(active) = &mut self.active {
            active.release(end);
        }
        Ok(())
    }

    fn publish(&self) {
        self.publishing.publish(Arc::new(self.committed.published().clone()), self.replayed);
    }

    /// The controller is made; what it writes first waits until all effects are carried out.
    fn lead(&mut self, epoch: LeaderEpoch) {
        assert_eq!(self.replayed, self.log.log_end(), "a leader begins with all that it has committed");
        let rng = self.env.rng(Purpose {
            subsystem: "controller",
            what: "ids",
            instance: u64::from(epoch.0.unsigned_abs()),
        });
        let (committed, now) = (self.committed.clone(), self.env.clock().now());
        self.active = Some(Active::new(
            epoch,
            self.settings.clone(),
            committed,
            self.bootstrap.clone(),
            self.timers,
            rng,
            now,
        ));
        self.env.observe(Event::ControllerActive { epoch });
        tracing::info!(%epoch, "this node is the active controller");
    }

    /// Appends what was decided. Whoever waits for it is told when it is committed and shown here.
    async fn undertake(&mut self, undertaking: Undertaking) -> Result<(), MetadataLogError> {
        let Undertaking { records, atomic, done } = undertaking;
        let Some(batches) = in_batches(&records, atomic) else {
            done(Err(NotDecided::TooLarge));
            return Ok(());
        };
        for batch in batches {
            // The batch before may have come too late for the quorum.
            let Some(active) = &mut self.active else { break };
            let base = self.log.log_end();
            let appended = self.log.append_records(active.epoch, batch).await?;
            active.replay(base, batch)?;
            self.unsynced = true;
            self.step(Input::Appended(vec![appended])).await?;
        }
        let (end, committed) = (self.log.log_end(), self.replayed);
        let Some(active) = &mut self.active else {
            done(Err(NotDecided::NotController));
            return Ok(());
        };
        active.wait(end, done);
        active.release(committed);
        Ok(())
    }

    async fn answer(&mut self, token: RequestToken, mut answer: Answer) -> Result<(), MetadataLogError> {
        let reply = self.asked.remove(&token).expect("a request is answered once");
        let (mut payload, mut snapshot_size) = (Bytes::new(), 0);
        match &mut answer {
            Answer::Fetch(response) => {
                if let Some(Fetched::Records(range)) = response.fetched {
                    payload = self.read(range).await?;
                }
            }
            Answer::FetchSnapshot(response) => {
                if let Some(chunk) = response.chunk {
                    (payload, snapshot_size) = self.read_piece(response, chunk).await?;
                }
            }
            _ => {}
        }
        // The connection may be gone.
        let _ = reply.send(Answered { answer, payload, snapshot_size });
        Ok(())
    }

    async fn read(&mut self, range: ReadRange) -> Result<Bytes, MetadataLogError> {
        if range.from == range.to {
            return Ok(Bytes::new());
        }
        self.log.read(range, FETCH_BYTES_MAX).await
    }

    async fn read_piece(
        &mut self,
        response: &mut FetchSnapshotResponse<ReadChunk>,
        chunk: ReadChunk,
    ) -> Result<(Bytes, u64), MetadataLogError> {
        if let Some(piece) = self.log.snapshots().read_piece(chunk).await? {
            return Ok(piece);
        }
        let known = self.log.snapshots().contains(chunk.id);
        response.chunk = None;
        response.known.error =
            if known { ErrorCode::PositionOutOfRange } else { ErrorCode::SnapshotNotFound };
        Ok((Bytes::new(), 0))
    }

    async fn install(&mut self, id: SnapshotId) -> Result<Input, MetadataLogError> {
        let loaded = self.log.install(id).await?;
        self.committed = loaded.metadata;
        self.replayed = id.end;
        self.recovery_point.store(id.end.0, Ordering::SeqCst);
        self.snapshot.replayed_bytes = 0;
        self.unsynced = false;
        tracing::info!(%id, "the metadata were loaded from a snapshot of the leader's");
        self.publish();
        Ok(Input::SnapshotInstalled(loaded.controls))
    }

    /// Takes a snapshot if one is due, and lets go of what is no longer needed.
    async fn mind_snapshots(&mut self) -> Result<(), MetadataLogError> {
        let now = self.env.clock().now();
        let grown = self.snapshot.replayed_bytes;
        let checks = now >= self.snapshot.check || grown >= self.snapshot_policy.bytes_between;
        if !checks || self.snapshot.under_way.is_some() {
            return Ok(());
        }
        self.snapshot.check = now + SNAPSHOT_CHECK;
        if self.snapshot_policy.due(grown, now.since(self.snapshot.last)) {
            self.take_snapshot();
        }
        let files = self.log.snapshots().files();
        let wall = self.env.clock().wall();
        if let Some(keep) = self.snapshot_policy.keep_from(wall, self.log.size_bytes(), &files) {
            let start = self.log.clean(keep).await?;
            self.step(Input::LogStartRaised(start)).await?;
        }
        Ok(())
    }

    fn take_snapshot(&mut self) {
        let Some(id) = self.quorum.snapshot_id(self.replayed) else { return };
        if self.log.snapshots().contains(id) || self.committed.open_transaction().is_some() {
            return;
        }
        let (kraft_version, voters) = self.quorum.voters().before(id.end);
        let options = SnapshotOptions {
            epoch: id.epoch,
            last_contained_log_timestamp: self.env.clock().wall().0,
            now: self.env.clock().wall(),
            kraft_version,
            voters: voters.filter(|_| kraft_version > 0).map(|voters| voters.to_record()),
            batch_bytes_max: 0,
        };
        let image = self.committed.published().clone();
        let (disk, dir) = self.log.snapshots().writer();
        let inbox = self.raft.inbox.clone();
        self.snapshot.last = self.env.clock().now();
        self.snapshot.replayed_bytes = 0;
        let task = async move {
            let outcome = write_snapshot(disk, dir, id, options, image.to_records()).await;
            // If the task has ended, the file is removed at the next start.
            let _ = inbox.send(Message::SnapshotWritten { id, outcome });
        };
        self.snapshot.under_way = Some(self.env.spawn("metadata-snapshot", task));
    }

    async fn snapshot_written(
        &mut self,
        id: SnapshotId,
        outcome: Result<(), MetadataLogError>,
    ) -> Result<(), MetadataLogError> {
        self.snapshot.under_way = None;
        outcome?;
        // Meanwhile a later one may have come from the leader, and replaced the log.
        if self.quorum.snapshot_id(id.end) != Some(id) {
            return Ok(());
        }
        self.log.snapshots().written(id).await?;
        self.step(Input::SnapshotTaken(id)).await
    }

    async fn close(mut self) -> Result<(), MetadataLogError> {
        if let Some(active) = self.active.take() {
            active.give_up();
        }
        self.raft.leadership.set(Leader::default());
        self.log.close().await
    }
}

/// Cuts a decision into batches of the log; `None` if it must be one, and does not fit.
fn in_batches(records: &[MetadataRecord], atomic: bool) -> Option<Vec<&[MetadataRecord]>> {
    if records.is_empty() {
        return Some(Vec::new());
    }
    if fits(records) {
        return Some(vec![records]);
    }
    if atomic {
        return None;
    }
    let (first, second) = records.split_at(records.len() / 2);
    if first.is_empty() {
        return None;
    }
    let mut batches = in_batches(first, false)?;
    batches.extend(in_batches(second, false)?);
    Some(batches)
}

/// The next message; `None` once `deadline` has come.
async fn next_message<E: Env>(
    env: &E,
    inbox: &mut mpsc::UnboundedReceiver<Message>,
    deadline: Mono,
) -> Option<Message> {
    let mut sleep = pin!(env.clock().sleep_until(deadline));
    std::future::poll_fn(|context| {
        if let Poll::Ready(message) = inbox.poll_recv(context) {
            // The task itself holds a sender.
            return Poll::Ready(message);
        }
        Pin::new(&mut sleep).poll(context).map(|()| None)
    })
    .await
}
