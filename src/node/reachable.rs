//! Whether an address that is told to others leads to this node.
//!
//! The brokers' own listener and the controller's must be reached by the other nodes, of which this machine is as
//! good as any: so where the configuration names an address for them that is not the one that is bound, the node
//! dials it before it starts, and waits for the call at its own socket. An address that cannot be resolved or
//! reached, or where somebody else answers, is refused.
//!
//! Kafka does not look. Listeners that are for clients alone are left alone here, too: those may stand before a
//! translation of addresses that this machine is not behind.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::BytesMut;
use rand_core::Rng as _;
use thiserror::Error;

use super::sockets::{Socket, Sockets};
use crate::client::futures::{Either, race};
use crate::client::versions::handshake_request;
use crate::config::listeners::{HostPort, Listener};
use crate::config::server::ServerConfig;
use crate::env::{Clock, Env, Listener as _, Network, NetworkError, Purpose, ReadHalf, Stream, WriteHalf};
use crate::types::Mono;
use crate::wire::frame::encode_request;

/// How long an address may take to be there: names come up a little later than machines.
const PATIENCE: Duration = Duration::from_secs(10);

/// The pause before an address is tried again.
const RETRY: Duration = Duration::from_millis(500);

/// How long the call may take to come, and any other call at the socket to say who it is.
const CALL: Duration = Duration::from_secs(3);

/// An address that is told to others leads elsewhere, or nowhere.
#[derive(Debug, Clone, Error)]
#[error(
    "{config} says that the listener {listener} is reached at {address}, and that is not so: {reason}; {}",
    way_out(config)
)]
pub struct Unreachable {
    config: &'static str,
    listener: String,
    address: HostPort,
    reason: String,
}

fn way_out(config: &str) -> &'static str {
    if config == VOTERS {
        "make it the address of this node's own controller, there and on every node, or correct node.id"
    } else {
        "correct it; if only machines elsewhere reach it, give brokers and controllers listeners of their own \
         (inter.broker.listener.name, controller.listener.names) that all nodes reach"
    }
}

const ADVERTISED: &str = "advertised.listeners";
const VOTERS: &str = "controller.quorum.voters";

/// Checks what the configuration says of a node's sockets, which are bound and not served yet.
pub(super) async fn check<E: Env>(
    env: &E,
    config: &ServerConfig,
    sockets: &mut Sockets<E>,
) -> Result<(), Unreachable> {
    let brokers =
        sockets.clients.iter_mut().find(|(listener, _)| listener.name == config.inter_broker_listener);
    if let Some(socket) = brokers
        && let Some(address) = advertised(config, &socket.0.name)
    {
        Check { env, config: ADVERTISED, address, socket }.run().await?;
    }
    let name = config.controller_listener();
    let Some(socket) = sockets.controllers.iter_mut().find(|(listener, _)| listener.name == name) else {
        return Ok(());
    };
    let (config, address) = match advertised(config, name) {
        Some(address) => (ADVERTISED, address),
        None => match config.voters.iter().find(|voter| voter.id == config.node_id) {
            Some(voter) => (VOTERS, voter.address.clone()),
            None => return Ok(()),
        },
    };
    Check { env, config, address, socket }.run().await
}

fn advertised(config: &ServerConfig, name: &str) -> Option<HostPort> {
    let listener = config.advertised_listeners.iter().find(|listener| listener.name == name)?;
    Some(HostPort { host: listener.host.clone(), port: listener.port })
}

/// One address and the socket that it should lead to.
struct Check<'a, E: Env> {
    env: &'a E,
    config: &'static str,
    address: HostPort,
    socket: &'a mut Socket<E>,
}

impl<E: Env> Check<'_, E> {
    async fn run(self) -> Result<(), Unreachable> {
        let Self { env, config, mut address, socket: (listener, socket) } = self;
        if address.port == 0 {
            // Whichever was bound.
            address.port = socket.local_address().port();
        }
        if is_bound_there(listener, socket.local_address(), &address) {
            return Ok(());
        }
        let refused = |reason: String| Unreachable {
            config,
            listener: listener.name.clone(),
            address: address.clone(),
            reason,
        };
        let stream = dial(env, &address).await.map_err(|error| refused(error.to_string()))?;
        let (mut read, mut write) = stream.split();
        // Whoever takes it knows it for a request of Kafka's.
        let token = token(env);
        let mut request =
            encode_request(0, 0, Some(&token), &handshake_request()).expect("the version has it all");
        let expected: Vec<u8> = request.iter().flatten().copied().collect();
        write.write(&mut request).await.map_err(|error| refused(error.to_string()))?;
        let answered = async {
            let mut buffer = BytesMut::with_capacity(1);
            // An end of the stream is an answer, too: it was not this node that hung up.
            let _ = read.read(&mut buffer).await;
        };
        let deadline = env.clock().now() + CALL;
        let arrives = race(arrival(env, socket, &expected, deadline), answered);
        match env.clock().timeout_at(deadline, arrives).await {
            Some(Either::First(())) => Ok(()),
            Some(Either::Second(())) => Err(refused("somebody else answers there".to_owned())),
            None => Err(refused("a connection to it does not arrive here".to_owned())),
        }
    }
}

/// Whether the address is, word for word, the one that is bound.
fn is_bound_there(listener: &Listener, bound: SocketAddr, address: &HostPort) -> bool {
    let loopback = |host: &str| matches!(host, "localhost" | "127.0.0.1");
    let same = listener.host == address.host || loopback(&listener.host) && loopback(&address.host);
    same && address.port == bound.port()
}

async fn dial<E: Env>(env: &E, address: &HostPort) -> Result<<E::Network as Network>::Stream, NetworkError> {
    let HostPort { host, port } = address;
    let deadline = env.clock().now() + PATIENCE;
    let mut told = false;
    loop {
        let error = match env.clock().timeout_at(deadline, env.network().connect(host, *port)).await {
            Some(Ok(stream)) => return Ok(stream),
            Some(Err(error)) => error,
            None => NetworkError::Other("no answer to the connection attempt".to_owned()),
        };
        let next = env.clock().now() + RETRY;
        if next >= deadline {
            return Err(error);
        }
        if !std::mem::replace(&mut told, true) {
            tracing::warn!(%address, %error, "this node does not reach itself at its own address yet");
        }
        env.clock().sleep_until(next).await;
    }
}

/// Waits for the connection that says `expected`. Others are early, and find nobody yet.
async fn arrival<E: Env>(
    env: &E,
    socket: &mut <E::Network as Network>::Listener,
    expected: &[u8],
    deadline: Mono,
) {
    loop {
        let Ok((stream, _)) = socket.accept().await else { continue };
        let (mut read, _write) = stream.split();
        let says = async {
            let mut said = BytesMut::with_capacity(expected.len());
            while said.len() < expected.len() {
                match read.read(&mut said).await {
                    Ok(count) if count > 0 => {}
                    _ => break,
                }
            }
            said == expected
        };
        // Whoever is silent must not keep the others waiting.
        let until = deadline.min(env.clock().now() + CALL / 4);
        if env.clock().timeout_at(until, says).await == Some(true) {
            return;
        }
    }
}

fn token<E: Env>(env: &E) -> String {
    let mut rng = env.rng(Purpose { subsystem: "node", what: "reachable", instance: 0 });
    format!("reachable-{:016x}{:016x}", rng.next_u64(), env.clock().now().0 ^ rng.next_u64())
}
