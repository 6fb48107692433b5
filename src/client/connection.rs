//! One connection to a broker: requests out in order, answers in in order, and honest failures.
//!
//! Two tasks serve it, one that writes and one that reads. A request is *not sent* for certain until the
//! writer takes it up; from then on, anything that goes wrong leaves it *lost*. Brokers answer in the order of
//! requests, so that the answer to expect is always that of the oldest request without one; if its time is
//! over, the connection is useless and is closed.

use std::collections::VecDeque;
use std::marker::PhantomData;
use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::{Bytes, BytesMut};
use tokio::sync::{Notify, mpsc, oneshot};

use super::config::ClientConfig;
use super::futures::{Either, race};
use super::versions::{Handshake, Versions, handshake_request, read_handshake};
use crate::env::{Clock, Env, Network, ReadHalf, Stream, WriteHalf};
use crate::types::Mono;
use crate::wire::frame::{FrameDecoder, encode_request};
use crate::wire::header::ResponseHeader;
use crate::wire::messages::api_versions::ApiVersionsRequest;
use crate::wire::{ApiKey, Message, Reader, Request};

/// Requests that may wait for the writer. Callers keep to fewer (`max.in.flight.requests.per.connection`).
const QUEUED_REQUESTS_MAX: usize = 64;

/// Room made for reading, at least.
const READ_BYTES: usize = 16 << 10;

/// Room made ahead for an announced answer, at most: memory follows the bytes that arrive, not the length
/// that a broker announces.
const READ_AHEAD_BYTES_MAX: usize = 1 << 20;

/// A connection whose broker has told its versions. Dropping it closes it.
pub struct Connection<E: Env> {
    env: E,
    peer: String,
    client_id: String,
    versions: Versions,
    next_correlation_id: AtomicI32,
    jobs: mpsc::Sender<Job>,
    shared: Arc<Shared>,
    _writer: E::Task,
    _reader: E::Task,
}

/// Why a call has no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// No byte of the request left: certainly nothing was done.
    #[error("{0}")]
    NotSent(String),
    /// The request may have arrived, and may have been carried out.
    #[error("{0}")]
    Lost(String),
    /// The broker cannot be asked this.
    #[error("{0}")]
    Unsupported(String),
}

/// A request under way.
#[must_use = "the answer comes by waiting for it"]
pub struct Call<R: Request> {
    reply: oneshot::Receiver<Result<Bytes, CallError>>,
    answered: bool,
    version: i16,
    peer: String,
    _request: PhantomData<fn() -> R>,
}

impl<E: Env> Connection<E> {
    /// Connects to a broker and asks for its versions, all of it until `deadline`.
    ///
    /// # Errors
    ///
    /// What went wrong, for people, naming the address.
    pub async fn open(env: &E, host: &str, port: u16, config: &ClientConfig) -> Result<Self, String> {
        let peer = format!("{host}:{port}");
        let deadline = env.clock().now() + config.socket_connection_setup_timeout;
        let dialled = env.clock().timeout_at(deadline, env.network().connect(host, port)).await;
        let stream = match dialled {
            Some(Ok(stream)) => stream,
            Some(Err(error)) => return Err(format!("cannot reach {peer}: {error}")),
            None => return Err(format!("cannot reach {peer}: no answer to the connection attempt")),
        };
        let (read, write) = stream.split();
        let shared = Arc::new(Shared::default());
        let (jobs, queue) = mpsc::channel(QUEUED_REQUESTS_MAX);
        let reader = Reading {
            env: env.clone(),
            read,
            shared: shared.clone(),
            decoder: FrameDecoder::new(config.receive_message_max_bytes),
            buffer: BytesMut::new(),
        };
        let mut connection = Self {
            env: env.clone(),
            peer,
            client_id: config.client_id.clone(),
            versions: Versions::default(),
            next_correlation_id: AtomicI32::new(0),
            jobs,
            shared: shared.clone(),
            _writer: env.spawn("client-write", write_all(env.clone(), write, queue, shared)),
            _reader: env.spawn("client-read", reader.run()),
        };
        connection.versions = connection.shake_hands(deadline).await?;
        Ok(connection)
    }

    /// The broker's address.
    pub fn peer(&self) -> &str {
        &self.peer
    }

    /// What the broker can do.
    pub fn versions(&self) -> &Versions {
        &self.versions
    }

    /// Whether the connection is of no use any more.
    pub fn is_closed(&self) -> bool {
        self.shared.lock().closed.is_some()
    }

    /// Sends a request in the highest common version up to `cap`. Requests leave in the order of these calls.
    ///
    /// # Errors
    ///
    /// [`CallError::NotSent`] and [`CallError::Unsupported`].
    pub fn start<R: Request>(&self, request: &R, cap: i16, deadline: Mono) -> Result<Call<R>, CallError> {
        self.enqueue(request, cap, deadline, true)
    }

    /// Like [`Connection::start`], for a request that has no answer: waiting for it ends when it is written,
    /// with a default response.
    ///
    /// # Errors
    ///
    /// [`CallError::NotSent`] and [`CallError::Unsupported`].
    pub fn start_unanswered<R: Request>(
        &self,
        request: &R,
        cap: i16,
        deadline: Mono,
    ) -> Result<Call<R>, CallError> {
        self.enqueue(request, cap, deadline, false)
    }

    fn enqueue<R: Request>(
        &self,
        request: &R,
        cap: i16,
        deadline: Mono,
        answered: bool,
    ) -> Result<Call<R>, CallError> {
        let version = self
            .versions
            .choose::<R>(cap)
            .map_err(|error| CallError::Unsupported(format!("{}: {error}", self.peer)))?;
        self.enqueue_in(version, request, deadline, answered)
    }

    fn enqueue_in<R: Request>(
        &self,
        version: i16,
        request: &R,
        deadline: Mono,
        answered: bool,
    ) -> Result<Call<R>, CallError> {
        let correlation_id = self.next_correlation_id.fetch_add(1, Ordering::Relaxed);
        let segments = encode_request(version, correlation_id, Some(&self.client_id), request)
            .map_err(|error| CallError::Unsupported(format!("{} for {}: {error}", R::KEY, self.peer)))?;
        let (sender, reply) = oneshot::channel();
        let awaited = Awaited { correlation_id, key: R::KEY, version, deadline, reply: sender };
        self.jobs
            .try_send(Job { segments, awaited, answered })
            .map_err(|_| CallError::NotSent(self.shared.reason(&self.peer)))?;
        Ok(Call { reply, answered, version, peer: self.peer.clone(), _request: PhantomData })
    }

    async fn shake_hands(&self, deadline: Mono) -> Result<Versions, String> {
        let mut version = ApiVersionsRequest::VERSIONS.max;
        loop {
            let call = self
                .enqueue_in(version, &handshake_request(), deadline, true)
                .map_err(|error| error.to_string())?;
            let body = call.body().await.map_err(|error| error.to_string())?;
            let malformed = |error| format!("{} does not speak Kafka's protocol: {error}", self.peer);
            match read_handshake(&mut Reader::new(&body), version).map_err(malformed)? {
                Handshake::Done(versions) => return Ok(versions),
                Handshake::Again(lower) => version = lower,
                Handshake::Refused(error) => {
                    return Err(format!("{} refuses to tell its versions: {error}", self.peer));
                }
            }
        }
    }

    /// The world that the connection lives in.
    pub fn env(&self) -> &E {
        &self.env
    }
}

impl<R: Request> Call<R> {
    /// Waits for the answer.
    ///
    /// # Errors
    ///
    /// [`CallError::NotSent`] if the request never left, [`CallError::Lost`] if its fate is not known.
    pub async fn wait(self) -> Result<R::Response, CallError> {
        let (version, answered, peer) = (self.version, self.answered, self.peer.clone());
        let body = self.body().await?;
        if !answered {
            return Ok(R::Response::default());
        }
        R::Response::decode(&mut Reader::new(&body), version)
            .map_err(|error| CallError::Lost(format!("malformed answer from {peer} to {}: {error}", R::KEY)))
    }

    async fn body(self) -> Result<Bytes, CallError> {
        match self.reply.await {
            Ok(outcome) => outcome,
            Err(_) => Err(CallError::Lost(format!("the connection to {} was closed", self.peer))),
        }
    }
}

struct Job {
    segments: Vec<Bytes>,
    awaited: Awaited,
    answered: bool,
}

struct Awaited {
    correlation_id: i32,
    key: ApiKey,
    version: i16,
    deadline: Mono,
    reply: oneshot::Sender<Result<Bytes, CallError>>,
}

/// What the two tasks share.
#[derive(Default)]
struct Shared {
    state: Mutex<SharedState>,
    /// Wakes the reader: there is an earlier deadline to mind.
    awaited: Notify,
    /// Wakes the writer: the connection is closed.
    closed: Notify,
}

#[derive(Default)]
struct SharedState {
    /// Requests written, or being written, whose answer is due; oldest first.
    awaited: VecDeque<Awaited>,
    closed: Option<String>,
}

impl SharedState {
    fn next_deadline(&self) -> Option<(Mono, ApiKey)> {
        self.awaited.iter().map(|awaited| (awaited.deadline, awaited.key)).min()
    }
}

impl Shared {
    fn lock(&self) -> std::sync::MutexGuard<'_, SharedState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn reason(&self, peer: &str) -> String {
        match &self.lock().closed {
            Some(reason) => format!("connection to {peer}: {reason}"),
            None => format!("too many requests wait for {peer}"),
        }
    }

    /// From now on the request's answer is due. Gives it back if the connection is closed.
    fn expect_answer(&self, request: Awaited) -> Result<(), Awaited> {
        let mut state = self.lock();
        if state.closed.is_some() {
            return Err(request);
        }
        let soonest = state.awaited.iter().all(|awaited| awaited.deadline > request.deadline);
        state.awaited.push_back(request);
        drop(state);
        if soonest {
            self.awaited.notify_one();
        }
        Ok(())
    }

    /// Closes the connection: what was written is lost.
    fn close(&self, reason: &str) {
        let lost = {
            let mut state = self.lock();
            if state.closed.is_none() {
                state.closed = Some(reason.to_owned());
            }
            std::mem::take(&mut state.awaited)
        };
        for awaited in lost {
            let text = format!("no answer to {}: {reason}", awaited.key);
            let _gone = awaited.reply.send(Err(CallError::Lost(text)));
        }
        self.closed.notify_one();
    }
}

async fn write_all<E: Env, W: WriteHalf>(
    env: E,
    mut write: W,
    mut queue: mpsc::Receiver<Job>,
    shared: Arc<Shared>,
) {
    loop {
        let Either::Second(Some(job)) = race(shared.closed.notified(), queue.recv()).await else { break };
        let Job { mut segments, awaited, answered } = job;
        let deadline = awaited.deadline;
        let unanswered = if answered {
            if let Err(awaited) = shared.expect_answer(awaited) {
                refuse(awaited, &shared);
                break;
            }
            None
        } else {
            Some(awaited)
        };
        let hindrance = race(shared.closed.notified(), env.clock().sleep_until(deadline));
        let written = match race(write.write(&mut segments), hindrance).await {
            Either::First(written) => written.map_err(|error| error.to_string()),
            Either::Second(Either::First(())) => Err("the connection was closed".to_owned()),
            Either::Second(Either::Second(())) => Err("the broker does not read".to_owned()),
        };
        let failed = written.is_err();
        if let Err(reason) = &written {
            shared.close(reason);
        }
        if let Some(unanswered) = unanswered {
            let outcome = written.map(|()| Bytes::new()).map_err(CallError::Lost);
            let _gone = unanswered.reply.send(outcome);
        }
        if failed {
            break;
        }
    }
    queue.close();
    while let Ok(job) = queue.try_recv() {
        refuse(job.awaited, &shared);
    }
}

fn refuse(awaited: Awaited, shared: &Shared) {
    let reason = shared.lock().closed.clone().unwrap_or_else(|| "closed".to_owned());
    let _gone = awaited.reply.send(Err(CallError::NotSent(reason)));
}

struct Reading<E: Env, R> {
    env: E,
    read: R,
    shared: Arc<Shared>,
    decoder: FrameDecoder,
    buffer: BytesMut,
}

impl<E: Env, R: ReadHalf> Reading<E, R> {
    async fn run(mut self) {
        let reason = loop {
            if let Err(reason) = self.step().await {
                break reason;
            }
        };
        self.shared.close(&reason);
    }

    /// Reads once, or waits until there is another deadline to mind.
    async fn step(&mut self) -> Result<(), String> {
        let announced = self.decoder.announced().unwrap_or(0).saturating_sub(self.buffer.len());
        self.buffer.reserve(announced.clamp(READ_BYTES, READ_AHEAD_BYTES_MAX));
        let deadline = self.shared.lock().next_deadline();
        let env = self.env.clone();
        let time_is_over = async {
            match deadline {
                Some((deadline, key)) => {
                    env.clock().sleep_until(deadline).await;
                    key
                }
                None => std::future::pending().await,
            }
        };
        let news = race(self.shared.awaited.notified(), time_is_over);
        let read = match race(self.read.read(&mut self.buffer), news).await {
            Either::First(read) => read,
            Either::Second(Either::First(())) => return Ok(()),
            Either::Second(Either::Second(key)) => {
                return Err(format!("{key} timed out (request.timeout.ms)"));
            }
        };
        match read {
            Ok(0) => return Err("closed by the broker".to_owned()),
            Ok(_) => {}
            Err(error) => return Err(error.to_string()),
        }
        while let Some(frame) = self.decoder.next(&mut self.buffer).map_err(|error| error.to_string())? {
            self.answer(&frame)?;
        }
        Ok(())
    }

    fn answer(&self, frame: &Bytes) -> Result<(), String> {
        let oldest = self.shared.lock().awaited.pop_front();
        let Some(oldest) = oldest else {
            return Err("an answer that was not asked for".to_owned());
        };
        let mut reader = Reader::new(frame);
        let header = ResponseHeader::decode(&mut reader, oldest.key, oldest.version);
        let problem = match header {
            Ok(header) if header.correlation_id == oldest.correlation_id => None,
            Ok(_) => Some("an answer out of order".to_owned()),
            Err(error) => Some(format!("a malformed answer: {error}")),
        };
        if let Some(problem) = problem {
            let _gone = oldest.reply.send(Err(CallError::Lost(problem.clone())));
            return Err(problem);
        }
        let body = frame.slice(frame.len() - reader.remaining()..);
        // The caller may have stopped waiting.
        let _gone = oldest.reply.send(Ok(body));
        Ok(())
    }
}
