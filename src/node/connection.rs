//! One connection: frames in, answers out.
//!
//! A connection is one task of three parts. The *reader* cuts frames and has them served, one after the
//! other. The *writer* waits for the replies in order and writes all that are ready together. The *watch*
//! closes what has been silent or stuck for too long. They share a state and wake nobody: whenever one of
//! them has changed it for another, `drive` polls them all again. A request whose reply is ready thus costs
//! no wake-up and no other thread.
//!
//! A request's memory is taken before its body is read, but for the first 16 KiB of a large one. While other
//! connections wait for memory, a request of which nothing has arrived for 5 seconds ends its connection: a few
//! peers that have gone away in the middle do not hold up the rest.
//!
//! How a connection ends:
//! - The peer closes it, sends what is no request, or is told to go by the service: reading stops, what is
//!   owed is still written, for a few seconds at most.
//! - A shutdown: the same, until the deadline of the shutdown.
//! - The network fails, or time is up: at once.

mod state;

use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::oneshot;

use self::state::{Reading, Shared, watch};
use super::budget::{Budget, Permit, TooLarge};
use super::context::{ConnectionContext, RequestContext};
use super::frames::{FrameReader, Next};
use super::ordering::{Batch, Gathered};
use super::service::{IncomingRequest, Service};
use crate::buffers::BufferPool;
use crate::env::{Clock, NetworkError, ReadHalf, WriteHalf};
use crate::types::Mono;
use crate::wire::api::ApiKey;
use crate::wire::frame::FrameError;
use crate::wire::header::RequestHeader;
use crate::wire::{DecodeError, Reader as WireReader};

/// How long what is owed to a peer that has stopped sending may take.
const DRAIN: Duration = Duration::from_secs(5);

/// Segments that the writer keeps room for.
const SEGMENTS_KEPT: usize = 32;

/// What the connections of a listener have in common.
#[derive(Debug, Clone)]
pub struct ConnectionConfig {
    /// The largest request, in bytes (`socket.request.max.bytes`).
    pub max_request_bytes: usize,
    /// How long a connection may be silent with nothing owed to it, a frame take to arrive, or a peer not
    /// read what it is sent (`connections.max.idle.ms`).
    pub max_idle: Duration,
    /// Where the memory of requests comes from. It must have room for the largest.
    pub budget: Budget,
    /// Where the buffers of large requests come from.
    pub buffers: BufferPool,
}

/// Why a connection ended.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Closed {
    /// The peer closed it.
    #[error("closed by the peer")]
    ByPeer,
    /// The peer closed it in the middle of a frame.
    #[error("closed by the peer within a request")]
    Truncated,
    /// The node shuts down.
    #[error("shutdown")]
    Shutdown,
    /// Nothing was said for too long.
    #[error("idle")]
    Idle,
    /// A frame was begun and not finished in time, or stopped arriving while others waited for its memory.
    #[error("a request did not arrive in time")]
    FrameStalled,
    /// The peer does not read what it is sent.
    #[error("the peer does not read its responses")]
    WriteStalled,
    /// What was owed at the end was not written in time.
    #[error("the last responses were not written in time")]
    DrainStalled,
    /// The connection failed.
    #[error(transparent)]
    Network(#[from] NetworkError),
    /// What the peer sent is no frame.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// What the peer sent is no request.
    #[error("malformed request header: {0}")]
    Header(#[from] DecodeError),
    /// The request exceeds the memory budget.
    #[error(transparent)]
    TooLarge(#[from] TooLarge),
    /// The service asked for it.
    #[error("{0}")]
    Service(String),
}

impl Closed {
    /// Whether the peer did something it should not have: worth a warning.
    pub fn is_fault(&self) -> bool {
        match self {
            Self::ByPeer | Self::Shutdown | Self::Idle | Self::Network(_) => false,
            Self::Truncated
            | Self::FrameStalled
            | Self::WriteStalled
            | Self::DrainStalled
            | Self::Frame(_)
            | Self::Header(_)
            | Self::TooLarge(_)
            | Self::Service(_) => true,
        }
    }
}

/// Serves a connection until it ends. `stop` brings the deadline of a shutdown.
pub(super) async fn serve<C, R, W, S>(
    clock: C,
    (read, write): (R, W),
    context: Arc<ConnectionContext>,
    service: S,
    config: ConnectionConfig,
    stop: oneshot::Receiver<Mono>,
) -> Closed
where
    C: Clock,
    R: ReadHalf,
    W: WriteHalf,
    S: Service,
{
    let shared = Shared::new(clock.now());
    let mut reader = Reader {
        clock: clock.clone(),
        stream: read,
        service,
        context,
        budget: config.budget.clone(),
        frames: FrameReader::new(config.max_request_bytes, config.buffers),
        received: clock.now(),
        frame_since: None,
        shared: &shared,
    };
    let mut writer = Writer { clock: clock.clone(), stream: write, batch: Batch::default(), shared: &shared };
    // Pinned where they are made: moved on, each would take its memory twice.
    let reader = pin!(reader.run());
    let writer = pin!(writer.run());
    let watch = pin!(watch(&clock, &shared, config.max_idle, &config.budget));
    drive(&clock, &shared, reader, writer, watch, stop).await
}

/// Polls the parts of a connection, in this order, until none has changed anything for another.
async fn drive(
    clock: &impl Clock,
    shared: &Shared,
    mut reader: Pin<&mut (impl Future<Output = Closed> + Send)>,
    mut writer: Pin<&mut (impl Future<Output = Result<(), Closed>> + Send)>,
    mut watch: Pin<&mut (impl Future<Output = Closed> + Send)>,
    stop: oneshot::Receiver<Mono>,
) -> Closed {
    let mut stop = Some(stop);
    let (mut reading, mut writing) = (true, true);
    let mut verdict = None;
    poll_fn(|context| {
        loop {
            shared.with(|state| state.changed = false);
            poll_stop(&mut stop, shared, context);
            if let Poll::Ready(reason) = watch.as_mut().poll(context) {
                return Poll::Ready(verdict.take().unwrap_or(reason));
            }
            if writing && let Poll::Ready(result) = writer.as_mut().poll(context) {
                writing = false;
                if let Err(reason) = result {
                    // Nobody hears the answers: the request being served is the last.
                    verdict.get_or_insert(reason);
                    shared.with(|state| state.stop_at(clock.now() + DRAIN));
                }
            }
            if reading && let Poll::Ready(reason) = reader.as_mut().poll(context) {
                reading = false;
                let lost = matches!(reason, Closed::Network(_));
                let reason = verdict.get_or_insert(reason).clone();
                if lost {
                    return Poll::Ready(reason);
                }
                shared.with(|state| {
                    state.reading = Reading::Ended;
                    state.stop_at(clock.now() + DRAIN);
                });
            }
            if !reading && !writing {
                return Poll::Ready(verdict.take().expect("the reader gave its reason"));
            }
            if !shared.with(|state| state.changed) {
                return Poll::Pending;
            }
        }
    })
    .await
}

/// Notes a shutdown. A sender that is gone without a word is the listener being cancelled, and this task with
/// it.
fn poll_stop(stop: &mut Option<oneshot::Receiver<Mono>>, shared: &Shared, context: &mut Context<'_>) {
    if let Some(receiver) = stop
        && let Poll::Ready(deadline) = Pin::new(receiver).poll(context)
    {
        *stop = None;
        if let Ok(deadline) = deadline {
            shared.with(|state| state.stop_at(deadline));
        }
    }
}

/// The part that reads requests and has them served.
struct Reader<'a, C, R, S> {
    clock: C,
    stream: R,
    service: S,
    context: Arc<ConnectionContext>,
    budget: Budget,
    frames: FrameReader,
    /// When something was last read.
    received: Mono,
    /// Since when a frame is awaited that has begun to arrive.
    frame_since: Option<Mono>,
    shared: &'a Shared,
}

impl<C: Clock, R: ReadHalf, S: Service> Reader<'_, C, R, S> {
    async fn run(&mut self) -> Closed {
        match self.read_requests().await {
            Ok(never) => match never {},
            Err(reason) => reason,
        }
    }

    async fn read_requests(&mut self) -> Result<Infallible, Closed> {
        let mut permit = None;
        loop {
            match self.frames.next()? {
                Next::Admit(length) => {
                    permit = Some(self.shared.unless_stopped(self.budget.acquire(length)).await??);
                    self.frames.admit();
                    self.frame_since = None;
                }
                Next::Serve(frame) => {
                    self.frame_since = None;
                    self.serve(frame, permit.take().expect("a frame is admitted before it is served"))
                        .await?;
                    self.frames.served();
                }
                Next::Read => self.read().await?,
            }
        }
    }

    /// Has one request served, once there is room for its answer.
    async fn serve(&mut self, frame: Bytes, permit: Permit) -> Result<(), Closed> {
        let request = self.request(frame, permit)?;
        let room = self.shared.wait(|state| state.owed.has_room().then_some(()));
        self.shared.unless_stopped(room).await?;
        let reply = self.service.call(request).await;
        self.shared.with(|state| {
            state.owed.push(reply);
            state.changed = true;
        });
        Ok(())
    }

    fn request(&self, frame: Bytes, permit: Permit) -> Result<IncomingRequest, DecodeError> {
        let mut reader = WireReader::new(&frame);
        let header = RequestHeader::decode(&mut reader)?;
        let body = frame.slice(frame.len() - reader.remaining()..);
        let context = RequestContext {
            connection: Arc::clone(&self.context),
            api_key: ApiKey::from_code(header.api_key).expect("a header that was decoded names a known API"),
            api_version: header.api_version,
            correlation_id: header.correlation_id,
            client_id: header.client_id,
            received: self.received,
        };
        Ok(IncomingRequest { context, body, permit })
    }

    /// Reads some bytes. Answers that are ready are written first: a peer that sends without pause would
    /// otherwise hear nothing.
    async fn read(&mut self) -> Result<(), Closed> {
        self.shared.give_way().await;
        loop {
            let between_frames = self.frames.is_between_frames();
            let holds_memory = self.frames.is_admitted();
            let reading = if between_frames {
                Reading::Idle { can_shrink: self.frames.can_shrink() }
            } else {
                let since = *self.frame_since.get_or_insert_with(|| self.clock.now());
                Reading::Frame { since, holds_memory }
            };
            self.shared.with(|state| state.wait_for_bytes(reading));
            let shrink = self.shared.wait(|state| std::mem::take(&mut state.shrink).then_some(()));
            let read = first(shrink, self.stream.read(self.frames.buffer()));
            match self.shared.unless_stopped(read).await? {
                First::One(()) => self.frames.shrink(),
                First::Other(Ok(0)) if between_frames => return Err(Closed::ByPeer),
                First::Other(Ok(0)) => return Err(Closed::Truncated),
                First::Other(Ok(count)) => {
                    self.frames.filled(count);
                    self.received = self.clock.now();
                    self.shared.with(|state| state.has_read(self.received));
                    return Ok(());
                }
                First::Other(Err(error)) => return Err(error.into()),
            }
        }
    }
}

/// The part that writes answers.
struct Writer<'a, C, W> {
    clock: C,
    stream: W,
    batch: Batch,
    shared: &'a Shared,
}

impl<C: Clock, W: WriteHalf> Writer<'_, C, W> {
    /// Ends well when all is answered that ever will be.
    async fn run(&mut self) -> Result<(), Closed> {
        let mut segments = Vec::new();
        while let Some(gathered) = self.gather().await {
            if let Gathered::Close(reason) = gathered {
                return Err(Closed::Service(reason));
            }
            let answers = loop {
                if let Err(answers) = self.batch.next_write(&mut segments) {
                    break answers;
                }
                self.shared.with(|state| state.writing_since = Some(self.clock.now()));
                self.stream.write(&mut segments).await?;
            };
            segments.shrink_to(SEGMENTS_KEPT);
            let now = self.clock.now();
            self.shared.with(|state| state.has_answered(answers, now));
        }
        // The peer may have gone first; there is nothing left to tell it.
        let _ = self.stream.shutdown().await;
        Ok(())
    }

    /// The next batch; none if all is answered and nothing more is read.
    async fn gather(&mut self) -> Option<Gathered> {
        poll_fn(|context| {
            let next = || self.shared.with(|state| state.owed.pop());
            match self.batch.poll_gather(next, context) {
                Poll::Ready(gathered) => Poll::Ready(Some(gathered)),
                Poll::Pending if self.shared.with(|state| state.is_over()) => Poll::Ready(None),
                Poll::Pending => Poll::Pending,
            }
        })
        .await
    }
}

enum First<A, B> {
    One(A),
    Other(B),
}

/// Whichever is ready first; `one` if both are.
async fn first<A, B>(
    one: impl Future<Output = A> + Send,
    other: impl Future<Output = B> + Send,
) -> First<A, B> {
    let (mut one, mut other) = (pin!(one), pin!(other));
    poll_fn(|context| {
        if let Poll::Ready(output) = one.as_mut().poll(context) {
            return Poll::Ready(First::One(output));
        }
        other.as_mut().poll(context).map(First::Other)
    })
    .await
}
