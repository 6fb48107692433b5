//! The producer's task: feeds the core, owns the connections, hands out outcomes.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};

use super::batch::record_size;
use super::core::{ProducerCore, RequestId, Transmit, Unanswered};
use super::lane::Token;
use super::outcome::{DeliveryError, Failure, Outcome};
use super::{ProducerConfig, ProducerRecord};
use crate::client::cluster::{Cluster, Target};
use crate::client::config::ConfigError;
use crate::client::connection::CallError;
use crate::client::futures::{Either, FutureSet, race};
use crate::env::{Clock, Env, Purpose, Task};
use crate::types::Mono;
use crate::wire::messages::init_producer_id::InitProducerIdResponse;
use crate::wire::messages::produce::ProduceResponse;

/// Records and wishes that wait for the producer's task.
const COMMANDS_MAX: usize = 1024;

/// The last version of Produce that names topics instead of identifying them.
const LAST_VERSION_BY_NAME: i16 = 12;

/// Sends records. Dropping it gives up what has no outcome yet; [`Producer::close`] does not.
pub struct Producer<E: Env> {
    commands: mpsc::Sender<Command>,
    memory: Arc<Semaphore>,
    memory_max: usize,
    task: E::Task,
}

/// Why there is no producer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProducerError {
    /// The options do not work together.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// `bootstrap.servers` cannot be read.
    #[error("{0}")]
    Bootstrap(String),
}

/// The outcome to come of one record.
#[derive(Debug)]
#[must_use = "the outcome comes by awaiting it"]
pub struct Delivery {
    outcome: Result<oneshot::Receiver<Outcome>, Failure>,
}

impl Future for Delivery {
    type Output = Outcome;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Outcome> {
        match &mut self.outcome {
            Err(failure) => Poll::Ready(Err(DeliveryError::NotWritten(failure.clone()))),
            Ok(receiver) => Pin::new(receiver).poll(context).map(|outcome| {
                // The producer was dropped while the record was on its way.
                outcome.unwrap_or(Err(DeliveryError::Unknown(Failure::Closed)))
            }),
        }
    }
}

impl<E: Env> Producer<E> {
    /// A producer with these options. `instance` tells several producers of one node apart: it keys their
    /// randomness.
    ///
    /// # Errors
    ///
    /// Options that do not work. The brokers need not be there.
    pub fn new(env: &E, config: ProducerConfig, instance: u64) -> Result<Self, ProducerError> {
        config.validate()?;
        let cluster = Cluster::new(env, &config.client, true, "client.producer", instance)
            .map_err(ProducerError::Bootstrap)?;
        let memory_max = config.buffer_memory.min(Semaphore::MAX_PERMITS).min(u32::MAX as usize);
        let memory = Arc::new(Semaphore::new(memory_max));
        let (commands, receiver) = mpsc::channel(COMMANDS_MAX);
        let rng = env.rng(Purpose { subsystem: "client.producer", what: "core", instance });
        let driver = Driver {
            env: env.clone(),
            request_timeout: config.client.request_timeout,
            core: ProducerCore::new(config, rng),
            cluster,
            commands: receiver,
            commands_open: true,
            waiting: BTreeMap::new(),
            flushes: Vec::new(),
            closing: None,
            events: FutureSet::new(),
        };
        Ok(Self { commands, memory, memory_max, task: env.spawn("producer", driver.run()) })
    }

    /// Sends a record to a topic: to the partition named, else to that of its key, else to any. Waits while
    /// `buffer.memory` is full; records leave in the order in which these calls return.
    pub async fn send(&self, topic: &str, partition: Option<i32>, record: ProducerRecord) -> Delivery {
        let size = record_size(&record).min(self.memory_max) as u32;
        let permit = self.memory.clone().acquire_many_owned(size).await;
        let permit = permit.expect("the semaphore is never closed");
        let (sender, receiver) = oneshot::channel();
        let topic = topic.to_owned();
        let waiting = Waiting { outcome: sender, _memory: permit };
        let command = Command::Send { topic, partition, record, waiting };
        match self.commands.send(command).await {
            Ok(()) => Delivery { outcome: Ok(receiver) },
            Err(_) => Delivery { outcome: Err(Failure::Closed) },
        }
    }

    /// Sends what there is without waiting for more, and waits until all records sent before have outcomes.
    pub async fn flush(&self) {
        let (sender, receiver) = oneshot::channel();
        if self.commands.send(Command::Flush(sender)).await.is_ok() {
            // A producer that ended has given every record its outcome.
            let _ended = receiver.await;
        }
    }

    /// Flushes for up to `timeout`, then gives up what is left, and ends.
    pub async fn close(self, timeout: Duration) {
        let _ended = self.commands.send(Command::Close(timeout)).await;
        self.task.join().await;
    }
}

enum Command {
    Send { topic: String, partition: Option<i32>, record: ProducerRecord, waiting: Waiting },
    Flush(oneshot::Sender<()>),
    Close(Duration),
}

/// Who waits for an outcome, and the memory that the record holds meanwhile.
struct Waiting {
    outcome: oneshot::Sender<Outcome>,
    _memory: OwnedSemaphorePermit,
}

enum Event {
    Produced(RequestId, bool, Result<ProduceResponse, CallError>),
    ProducerId(Result<InitProducerIdResponse, CallError>),
}

struct Driver<E: Env> {
    env: E,
    request_timeout: Duration,
    core: ProducerCore,
    cluster: Cluster<E>,
    commands: mpsc::Receiver<Command>,
    commands_open: bool,
    waiting: BTreeMap<Token, Waiting>,
    /// Who waits for all records up to a token.
    flushes: Vec<(Option<Token>, oneshot::Sender<()>)>,
    closing: Option<Mono>,
    events: FutureSet<Event>,
}

impl<E: Env> Driver<E> {
    async fn run(mut self) {
        loop {
            let now = self.env.clock().now();
            self.step(now);
            if let Some(deadline) = self.closing {
                if self.waiting.is_empty() && !self.commands_open {
                    break;
                }
                if now >= deadline {
                    self.core.abort(&Failure::Closed);
                    self.hand_out();
                    assert!(self.waiting.is_empty(), "every record has an outcome");
                    break;
                }
            }
            self.wait(now).await;
        }
    }

    /// Everything that can be done now.
    fn step(&mut self, now: Mono) {
        self.core.set_hurry(!self.flushes.is_empty() || self.closing.is_some());
        self.core.advance(now, &self.cluster.metadata);
        self.transmit(now);
        if self.core.take_refresh() {
            self.cluster.refresh.request();
        }
        self.cluster.drive(now);
        self.hand_out();
    }

    fn transmit(&mut self, now: Mono) {
        let deadline = now + self.request_timeout;
        if self.core.wants_producer_id(now)
            && let Some(target) = self.cluster.pick(now)
        {
            self.ask_for_producer_id(now, target, deadline);
        }
        for broker in self.core.brokers(now, &self.cluster.metadata) {
            while self.cluster.broker(now, broker).is_some()
                && let Some(transmit) = self.core.next_request(now, broker, &self.cluster.metadata)
            {
                self.produce(now, deadline, &transmit);
            }
        }
    }

    fn ask_for_producer_id(&mut self, now: Mono, target: Target, deadline: Mono) {
        let request = self.core.next_init_producer_id();
        let started = match self.cluster.up(target) {
            Some(connection) => connection.start(&request, i16::MAX, deadline),
            None => Err(CallError::NotSent("the connection was closed".to_owned())),
        };
        match started {
            Ok(call) => self.events.push(async move { Event::ProducerId(call.wait().await) }),
            Err(error) => self.on_event(now, Event::ProducerId(Err(error))),
        }
    }

    fn produce(&mut self, now: Mono, deadline: Mono, transmit: &Transmit) {
        let Transmit { id, broker, request, topic_ids, answered } = transmit;
        let (id, answered) = (*id, *answered);
        let cap = if *topic_ids { i16::MAX } else { LAST_VERSION_BY_NAME };
        let started = match self.cluster.broker(now, *broker) {
            Some(connection) if answered => connection.start(request, cap, deadline),
            Some(connection) => connection.start_unanswered(request, cap, deadline),
            None => Err(CallError::NotSent("the connection was closed".to_owned())),
        };
        match started {
            Ok(call) => {
                self.events.push(async move { Event::Produced(id, answered, call.wait().await) });
            }
            Err(error) => self.on_event(now, Event::Produced(id, answered, Err(error))),
        }
    }

    fn hand_out(&mut self) {
        for (token, outcome) in self.core.take_done() {
            let waiting = self.waiting.remove(&token).expect("a record has one outcome");
            // Whoever sent the record may not care.
            let _gone = waiting.outcome.send(outcome);
        }
        let oldest = self.waiting.first_key_value().map(|(&token, _)| token);
        for index in (0..self.flushes.len()).rev() {
            let done = match (self.flushes[index].0, oldest) {
                (Some(up_to), Some(oldest)) => oldest > up_to,
                _ => true,
            };
            if done {
                let (_, sender) = self.flushes.remove(index);
                let _gone = sender.send(());
            }
        }
    }

    /// Waits for whatever comes first, and takes it in.
    async fn wait(&mut self, now: Mono) {
        let deadlines = [self.core.deadline(now), self.cluster.deadline(now), self.closing];
        let deadline = deadlines.into_iter().flatten().min();
        let clock = self.env.clock();
        let sleep = async {
            match deadline {
                Some(deadline) => clock.sleep_until(deadline).await,
                None => std::future::pending().await,
            }
        };
        let command = async {
            if self.commands_open { self.commands.recv().await } else { std::future::pending().await }
        };
        let events = race(self.cluster.wait(), self.events.next());
        let command = match race(events, race(command, sleep)).await {
            Either::First(Either::First(())) | Either::Second(Either::Second(())) => return,
            Either::First(Either::Second(event)) => {
                let now = self.env.clock().now();
                return self.on_event(now, event);
            }
            Either::Second(Either::First(command)) => command,
        };
        let Some(command) = command else {
            self.commands_open = false;
            // Without a close, all handles are gone, and this task is about to be cancelled.
            self.closing.get_or_insert(now);
            return;
        };
        let now = self.env.clock().now();
        self.on_command(now, command);
        for _ in 1..COMMANDS_MAX {
            match self.commands.try_recv() {
                Ok(command) => self.on_command(now, command),
                Err(_) => break,
            }
        }
    }

    fn on_command(&mut self, now: Mono, command: Command) {
        match command {
            Command::Send { topic, partition, record, waiting } => {
                self.cluster.refresh.add_topic(&topic);
                let wall = self.env.clock().wall();
                let token = self.core.send(now, wall, &topic, partition, record);
                self.waiting.insert(token, waiting);
            }
            Command::Flush(sender) => {
                let newest = self.waiting.last_key_value().map(|(&token, _)| token);
                self.flushes.push((newest, sender));
            }
            Command::Close(timeout) => {
                self.closing = Some(now + timeout);
                self.commands.close();
            }
        }
    }

    fn on_event(&mut self, now: Mono, event: Event) {
        match event {
            Event::Produced(id, true, Ok(response)) => {
                self.core.on_response(now, id, &response, &mut self.cluster.metadata);
            }
            Event::Produced(id, false, Ok(_)) => self.core.on_written(now, id),
            Event::Produced(id, _, Err(error)) => {
                let why = match error {
                    CallError::NotSent(text) => Unanswered::NotSent(text),
                    CallError::Lost(text) => Unanswered::Lost(text),
                    CallError::Unsupported(text) => Unanswered::Unsupported(text),
                };
                self.core.on_unanswered(now, id, &why);
            }
            Event::ProducerId(Ok(response)) => self.core.on_producer_id(now, &response),
            Event::ProducerId(Err(CallError::Unsupported(text))) => {
                self.core.on_no_producer_id(now, Some(&text));
            }
            Event::ProducerId(Err(_)) => self.core.on_no_producer_id(now, None),
        }
    }
}
