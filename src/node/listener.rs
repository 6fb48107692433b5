//! Accepts connections and owns them.

use std::collections::BTreeMap;
use std::future::{Future, poll_fn};
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Poll;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tracing::{debug, info, warn};

use super::connection::{self, Closed, ConnectionConfig};
use super::context::{Authorizer, ConnectionContext, Principal};
use super::service::Service;
use crate::env::{Clock, Env, Listener as _, Network, NetworkError, Stream as _, Task};
use crate::types::Mono;

/// After a failure to accept: such a failure (no file descriptors left) lasts a while.
const ACCEPT_BACKOFF: Duration = Duration::from_millis(100);

/// What a listener needs to know.
#[derive(Debug, Clone)]
pub struct ListenerConfig {
    /// Its name, such as `PLAINTEXT`.
    pub name: String,
    /// Where it listens; port 0 picks a free port.
    pub address: SocketAddr,
    /// Connections that may still be made, here and on all listeners that share this. Where none is left,
    /// peers wait in the kernel's queue until another connection ends (`max.connections`).
    pub slots: Arc<Semaphore>,
    /// Where connection ids come from, unique in the node.
    pub ids: Arc<AtomicU64>,
    /// Who decides what its clients may do.
    pub authorizer: Arc<dyn Authorizer>,
    /// What its connections need to know.
    pub connection: ConnectionConfig,
}

/// A listener at work. Dropping it closes it and all its connections at once.
#[derive(Debug)]
pub struct Listener<E: Env> {
    task: E::Task,
    address: SocketAddr,
    stop: oneshot::Sender<Mono>,
}

impl<E: Env> Listener<E> {
    /// Listens, and has `service` answer what arrives.
    pub async fn start<S: Service>(
        env: &E,
        service: S,
        config: ListenerConfig,
    ) -> Result<Self, NetworkError> {
        let socket = env.network().bind(config.address).await?;
        Ok(Self::serve(env, service, config, socket))
    }

    /// Has `service` answer what arrives on a socket that is bound already: so a node can tell others where
    /// it listens before it answers there.
    pub fn serve<S: Service>(env: &E, service: S, config: ListenerConfig, socket: SocketOf<E>) -> Self {
        let address = socket.local_address();
        let (stop, stopped) = oneshot::channel();
        let (ended_sender, ended) = mpsc::unbounded_channel();
        let acceptor =
            Acceptor { env: env.clone(), service, config, connections: BTreeMap::new(), ended_sender, ended };
        let task = env.spawn("listener", acceptor.run(socket, stopped));
        Self { task, address, stop }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Accepts and reads no more, writes what is owed until `deadline` at the latest, and closes everything.
    pub async fn shutdown(self, deadline: Mono) {
        // A listener whose task has ended has nothing left to stop.
        let _ = self.stop.send(deadline);
        self.task.join().await;
    }
}

/// The task of a listener. It owns the tasks of its connections.
struct Acceptor<E: Env, S> {
    env: E,
    service: S,
    config: ListenerConfig,
    connections: BTreeMap<u64, Connection<E>>,
    /// Every connection says here that it has ended: at most as many messages as connections.
    ended_sender: mpsc::UnboundedSender<u64>,
    ended: mpsc::UnboundedReceiver<u64>,
}

struct Connection<E: Env> {
    task: E::Task,
    stop: oneshot::Sender<Mono>,
}

type SocketOf<E> = <<E as Env>::Network as Network>::Listener;
type StreamOf<E> = <<E as Env>::Network as Network>::Stream;

impl<E: Env, S: Service> Acceptor<E, S> {
    async fn run(mut self, mut socket: SocketOf<E>, mut stopped: oneshot::Receiver<Mono>) {
        info!(listener = self.config.name, address = %socket.local_address(), "listening");
        let deadline = loop {
            let accepted = {
                let slots = Arc::clone(&self.config.slots);
                let clock = self.env.clock().clone();
                let accept = pin!(accept(&mut socket, slots, clock, &self.config.name));
                until_accepted(accept, &mut self.connections, &mut self.ended, &mut stopped).await
            };
            match accepted {
                Ok((stream, peer, slot)) => self.adopt(stream, peer, slot),
                Err(deadline) => break deadline,
            }
        };
        drop(socket);
        let Some(deadline) = deadline else { return };
        debug!(listener = self.config.name, connections = self.connections.len(), "shutting down");
        let (tasks, stops): (Vec<_>, Vec<_>) =
            self.connections.into_values().map(|connection| (connection.task, connection.stop)).unzip();
        for stop in stops {
            // One that has just ended by itself needs no telling.
            let _ = stop.send(deadline);
        }
        for task in tasks {
            task.join().await;
        }
    }

    /// Gives a connection a task of its own.
    fn adopt(&mut self, stream: StreamOf<E>, peer: SocketAddr, slot: OwnedSemaphorePermit) {
        let id = self.config.ids.fetch_add(1, Ordering::Relaxed);
        let context = Arc::new(ConnectionContext {
            id,
            listener: self.config.name.as_str().into(),
            principal: Principal::anonymous(),
            peer,
            local: stream.local_address(),
            authorizer: Arc::clone(&self.config.authorizer),
        });
        debug!(connection = id, listener = self.config.name, %peer, "accepted");
        let (stop, stopped) = oneshot::channel();
        let clock = self.env.clock().clone();
        let service = self.service.clone();
        let config = self.config.connection.clone();
        let ended = self.ended_sender.clone();
        let task = self.env.spawn("connection", async move {
            let reason =
                connection::serve(clock, stream.split(), Arc::clone(&context), service, config, stopped)
                    .await;
            log_end(&context, &reason);
            drop(slot);
            // The listener may be gone already, and this task about to be.
            let _ = ended.send(id);
        });
        self.connections.insert(id, Connection { task, stop });
    }
}

/// The next connection, and the slot it takes.
async fn accept<L: crate::env::Listener>(
    socket: &mut L,
    slots: Arc<Semaphore>,
    clock: impl Clock,
    name: &str,
) -> (L::Stream, SocketAddr, OwnedSemaphorePermit) {
    let slot = slots.acquire_owned().await.expect("the slots are never closed");
    loop {
        match socket.accept().await {
            Ok((stream, peer)) => return (stream, peer, slot),
            // The peer gave up before its turn.
            Err(NetworkError::Reset) => {}
            Err(error) => {
                warn!(listener = name, %error, "cannot accept a connection");
                clock.sleep(ACCEPT_BACKOFF).await;
            }
        }
    }
}

/// Waits for `accept` while forgetting the connections that end, or for a shutdown, whose deadline is the
/// error; none if the listener was dropped.
async fn until_accepted<E: Env, T>(
    mut accept: Pin<&mut (impl Future<Output = T> + Send)>,
    connections: &mut BTreeMap<u64, Connection<E>>,
    ended: &mut mpsc::UnboundedReceiver<u64>,
    stopped: &mut oneshot::Receiver<Mono>,
) -> Result<T, Option<Mono>> {
    poll_fn(|context| {
        if let Poll::Ready(deadline) = Pin::new(&mut *stopped).poll(context) {
            return Poll::Ready(Err(deadline.ok()));
        }
        while let Poll::Ready(Some(id)) = ended.poll_recv(context) {
            connections.remove(&id).expect("a connection ends once, and was there");
        }
        accept.as_mut().poll(context).map(Ok)
    })
    .await
}

fn log_end(context: &ConnectionContext, reason: &Closed) {
    let (connection, listener, peer) = (context.id, &*context.listener, context.peer);
    if reason.is_fault() {
        warn!(connection, listener, %peer, %reason, "connection closed");
    } else {
        debug!(connection, listener, %peer, %reason, "connection closed");
    }
}
