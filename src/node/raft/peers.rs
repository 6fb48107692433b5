//! The connections to the other nodes of the quorum: one task per peer, which asks it one thing at a time.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;

use super::Message;
use super::calls::{Caller, Received};
use crate::client::config::ClientConfig;
use crate::client::connection::Connection;
use crate::client::futures::{Either, race};
use crate::env::{Clock, Env};
use crate::quorum::{Address, Destination, Failure, Peer, Request, RequestId};

/// A request and where it goes.
struct Job {
    id: RequestId,
    address: Address,
    request: Request,
}

/// All peers. Dropping it hangs up.
pub(super) struct Peers<E: Env> {
    env: E,
    caller: Arc<Caller>,
    config: Arc<ClientConfig>,
    timeout: Duration,
    /// Where the answers go.
    answers: mpsc::UnboundedSender<Message>,
    peers: BTreeMap<Peer, (mpsc::UnboundedSender<Job>, E::Task)>,
}

impl<E: Env> Peers<E> {
    pub(super) fn new(
        env: E,
        caller: Caller,
        config: ClientConfig,
        timeout: Duration,
        answers: mpsc::UnboundedSender<Message>,
    ) -> Self {
        let (caller, config) = (Arc::new(caller), Arc::new(config));
        Self { env, caller, config, timeout, answers, peers: BTreeMap::new() }
    }

    /// Sends a request. An earlier one to the same peer that has no answer yet gets none.
    pub(super) fn send(&mut self, id: RequestId, to: Destination, request: Request) {
        let Destination { peer, address } = to;
        let (jobs, _) = self.peers.entry(peer).or_insert_with(|| {
            let (sender, jobs) = mpsc::unbounded_channel();
            let task = Asking {
                peer,
                env: self.env.clone(),
                caller: Arc::clone(&self.caller),
                config: Arc::clone(&self.config),
                timeout: self.timeout,
                answers: self.answers.clone(),
                jobs,
                connection: None,
            };
            (sender, self.env.spawn("quorum-peer", task.run()))
        });
        // The task ends only with the node.
        let _ = jobs.send(Job { id, address, request });
    }
}

struct Asking<E: Env> {
    peer: Peer,
    env: E,
    caller: Arc<Caller>,
    config: Arc<ClientConfig>,
    timeout: Duration,
    answers: mpsc::UnboundedSender<Message>,
    jobs: mpsc::UnboundedReceiver<Job>,
    connection: Option<(Address, Connection<E>)>,
}

impl<E: Env> Asking<E> {
    async fn run(mut self) {
        let mut next = self.jobs.recv().await;
        while let Some(Job { id, address, request }) = next.take() {
            let mut connection = self.connection.take().filter(|(to, it)| *to == address && !it.is_closed());
            let from = Destination { peer: self.peer, address: address.clone() };
            let asking =
                ask(&self.env, &self.caller, &self.config, self.timeout, &mut connection, address, request);
            match race(asking, self.jobs.recv()).await {
                Either::First(outcome) => {
                    self.connection = connection;
                    if self.answers.send(Message::Answered { id, from, outcome }).is_err() {
                        return;
                    }
                    next = self.jobs.recv().await;
                }
                // What was asked before does not matter any more. Its connection goes with it: the answer to this
                // would have to wait for the other's.
                Either::Second(job) => next = job,
            }
        }
    }
}

async fn ask<E: Env>(
    env: &E,
    caller: &Caller,
    config: &ClientConfig,
    timeout: Duration,
    connection: &mut Option<(Address, Connection<E>)>,
    address: Address,
    request: Request,
) -> Result<Received, Failure> {
    let deadline = env.clock().now() + timeout;
    if connection.is_none() {
        let Address { host, port } = &address;
        let opening = env.clock().timeout_at(deadline, Connection::open(env, host, *port, config)).await;
        let opened = opening.unwrap_or_else(|| Err(format!("{host}:{port} does not answer in time")));
        let opened = opened.map_err(|reason| {
            tracing::debug!(reason, "a controller cannot be reached");
            Failure::Unreachable
        })?;
        *connection = Some((address, opened));
    }
    let (_, open) = connection.as_ref().expect("it was opened if there was none");
    let outcome = caller.call(open, request, deadline).await;
    if outcome.is_err() {
        *connection = None;
    }
    outcome
}
