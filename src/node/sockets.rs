//! Where a node listens, and where it says that it can be reached.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use tokio::sync::Semaphore;

use super::budget::Budget;
use super::connection::ConnectionConfig;
use super::context::{Authorizer, PermitAll};
use super::listener::{Listener, ListenerConfig};
use super::start::StartError;
use crate::broker::Broker;
use crate::buffers::BufferPool;
use crate::config::listeners::Listener as ListenerAddress;
use crate::config::server::ServerConfig;
use crate::env::{Env, Listener as _, Network};
use crate::wire::control::Endpoint as ControlEndpoint;
use crate::wire::messages::broker_registration::Listener as BrokerEndpoint;

/// Memory for requests, unless `queued.max.request.bytes` says otherwise; and for responses.
pub(super) const BUDGET_BYTES: usize = 256 << 20;

/// Memory for the requests of other nodes to the controller: apart from the clients', who could take it all.
const CONTROL_BUDGET_BYTES: usize = 128 << 20;

/// Connections where no limit is configured: what a semaphore can count.
const CONNECTIONS_MAX: usize = 1 << 20;

/// How long a connection may be silent where `connections.max.idle.ms` sets no limit.
const NEVER: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

/// A bound socket and the listener that it is for.
pub(super) type Socket<E> = (ListenerAddress, <<E as Env>::Network as Network>::Listener);

/// The sockets of a node: bound, so that it can say where it listens before it answers there.
pub(super) struct Sockets<E: Env> {
    pub(super) clients: Vec<Socket<E>>,
    pub(super) controllers: Vec<Socket<E>>,
}

impl<E: Env> Sockets<E> {
    pub(super) async fn bind(env: &E, config: &ServerConfig) -> Result<Self, StartError> {
        Ok(Self {
            clients: bind_all(env, &config.listeners).await?,
            controllers: bind_all(env, &config.controller_listeners).await?,
        })
    }
}

/// Finds out whether the sockets of several nodes can be bound, all at once, and lets go of them.
///
/// # Errors
///
/// [`StartError`]
pub async fn try_ports<E: Env>(env: &E, configs: &[ServerConfig]) -> Result<(), StartError> {
    let mut bound = Vec::new();
    for config in configs {
        bound.push(Sockets::bind(env, config).await?);
    }
    Ok(())
}

async fn bind_all<E: Env>(env: &E, listeners: &[ListenerAddress]) -> Result<Vec<Socket<E>>, StartError> {
    let mut sockets = Vec::new();
    for listener in listeners {
        let address = SocketAddr::new(listen_address(env, listener).await?, listener.port);
        let bound = env.network().bind(address).await;
        let bound = bound.map_err(|error| StartError::Bind { name: listener.name.clone(), error })?;
        sockets.push((listener.clone(), bound));
    }
    Ok(sockets)
}

/// The address to listen on: an empty host means every interface.
async fn listen_address<E: Env>(env: &E, listener: &ListenerAddress) -> Result<IpAddr, StartError> {
    match listener.host.as_str() {
        "" => Ok(IpAddr::V6(Ipv6Addr::UNSPECIFIED)),
        "localhost" => Ok(IpAddr::V4(Ipv4Addr::LOCALHOST)),
        host => {
            let found = env.network().look_up(host).await;
            found.map_err(|error| StartError::Host { name: listener.name.clone(), error })
        }
    }
}

/// What is said to be reachable: what is advertised for a listener, else where it listens, with the port that was
/// bound where that says 0.
fn advertised<L: crate::env::Listener>(
    config: &ServerConfig,
    (listener, socket): &(ListenerAddress, L),
) -> ListenerAddress {
    let same = |advertised: &&ListenerAddress| advertised.name == listener.name;
    let advertised = config.advertised_listeners.iter().find(same).unwrap_or(listener);
    let port = if advertised.port == 0 { socket.local_address().port() } else { advertised.port };
    ListenerAddress { port, ..advertised.clone() }
}

fn is_any(host: &str) -> bool {
    matches!(host, "" | "0.0.0.0" | "::" | "[::]")
}

/// Where clients and other brokers are told to connect. Of a listener on every interface and without an advertised
/// host, a node that is alone registers none: clients are told the address that they have dialled, which they can
/// reach. Where there are others that says nothing: it is what the voters call this node, else what its machine is
/// called, as Kafka has it.
pub(super) fn broker_endpoints<L: crate::env::Listener>(
    config: &ServerConfig,
    sockets: &[(ListenerAddress, L)],
    host_name: &str,
) -> Vec<BrokerEndpoint> {
    let own = config.voters.iter().find(|voter| voter.id == config.node_id);
    let name = own.map_or(host_name, |voter| voter.address.host.as_str());
    let unnamed = if config.is_alone() { "" } else { name };
    let endpoint = |socket: &(ListenerAddress, L)| {
        let ListenerAddress { name, host, port, protocol } = advertised(config, socket);
        let host = if is_any(&host) { unnamed.to_owned() } else { host };
        BrokerEndpoint { name, host, port, security_protocol: protocol as i16 }
    };
    sockets.iter().map(endpoint).collect()
}

/// Where the other nodes find the controller, as far as the configuration says: where it is on every interface and
/// nothing more is said, the host is empty.
pub(super) fn controller_endpoints<L: crate::env::Listener>(
    config: &ServerConfig,
    sockets: &[(ListenerAddress, L)],
) -> Vec<ControlEndpoint> {
    let endpoint = |ListenerAddress { name, host, port, .. }: ListenerAddress| {
        let bound = sockets.iter().find(|(listener, _)| listener.name == name);
        let bound = bound.map_or(port, |(_, socket)| socket.local_address().port());
        ControlEndpoint { name, host, port: if port == 0 { bound } else { port } }
    };
    config.controller_endpoints().into_iter().map(endpoint).collect()
}

/// What all listeners of a node share.
pub(super) struct Serving {
    slots: Arc<Semaphore>,
    ids: Arc<AtomicU64>,
    authorizer: Arc<dyn Authorizer>,
    connection: ConnectionConfig,
}

impl Serving {
    pub(super) fn new(config: &ServerConfig, buffers: BufferPool) -> Self {
        let queued =
            config.queued_max_request_bytes.map(|bytes| usize::try_from(bytes).unwrap_or(usize::MAX));
        let budget =
            Budget::new("requests", queued.unwrap_or(BUDGET_BYTES).max(config.socket_request_max_bytes));
        Self {
            slots: Arc::new(Semaphore::new(config.max_connections.min(CONNECTIONS_MAX))),
            ids: Arc::default(),
            authorizer: Arc::new(PermitAll),
            connection: ConnectionConfig {
                max_request_bytes: config.socket_request_max_bytes,
                max_idle: config.connections_max_idle.unwrap_or(NEVER),
                budget,
                buffers,
            },
        }
    }

    /// Answers clients and brokers.
    pub(super) fn clients<E: Env>(
        &self,
        env: &E,
        broker: &Broker<E>,
        sockets: Vec<Socket<E>>,
    ) -> Vec<Listener<E>> {
        sockets
            .into_iter()
            .map(|socket| self.listen(env, broker, socket, &self.slots, self.connection.clone()))
            .collect()
    }

    /// Answers controllers, and brokers that ask the controller: with memory and connections of their own.
    pub(super) fn controllers<E: Env>(
        &self,
        env: &E,
        broker: &Broker<E>,
        sockets: Vec<Socket<E>>,
    ) -> Vec<Listener<E>> {
        let bytes = CONTROL_BUDGET_BYTES.max(self.connection.max_request_bytes);
        let budget = Budget::new("controller requests", bytes);
        let connection = ConnectionConfig { budget, ..self.connection.clone() };
        let slots = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        sockets
            .into_iter()
            .map(|socket| self.listen(env, broker, socket, &slots, connection.clone()))
            .collect()
    }

    fn listen<E: Env>(
        &self,
        env: &E,
        broker: &Broker<E>,
        (listener, socket): Socket<E>,
        slots: &Arc<Semaphore>,
        connection: ConnectionConfig,
    ) -> Listener<E> {
        let listener = ListenerConfig {
            name: listener.name,
            address: socket.local_address(),
            slots: Arc::clone(slots),
            ids: Arc::clone(&self.ids),
            authorizer: Arc::clone(&self.authorizer),
            connection,
        };
        Listener::serve(env, broker.clone(), listener, socket)
    }
}
