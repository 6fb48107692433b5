//! The simulated network: byte streams as TCP makes them.
//!
//! - A stream delivers in order; every direction of every connection has latencies of its own, so that two
//!   connections overtake each other. Writes are cut into segments at random.
//! - A link can be cut in one direction. Segments are then held and sent again some time after it heals; a
//!   connect hangs; a RST is lost for good. Acknowledgements travel too: what a peer read frees the window
//!   only once the way back is open.
//! - A window bounds what was written and not yet read: a write waits for the rest (back-pressure).
//! - A process that dies has its sockets closed by its kernel: FIN, or RST if it left bytes unread. A machine
//!   that loses power says nothing: its peers hold half-open connections, and learn of it only when they send
//!   something after it came back, which is answered by RST.
//! - A paused process still has a kernel: it accepts connections and bytes, up to backlog and window.

mod connection;
mod link;
mod stream;

use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Poll, Waker};

use ottla::env::{Network, NetworkError};

use crate::dice::Dice;
use crate::engine::{Engine, Life, NodeId};
use crate::trace::Kind;
use connection::{Connection, ConnectionId, Side};
use link::Links;
pub use link::{Link, NetCounts};
pub use stream::{SimListener, SimRead, SimStream, SimWrite};

/// Handshakes that a kernel finishes before the process accepts.
const BACKLOG: usize = 128;
/// A connect sends its SYN again after 1, 2, 4, 8 and 16 seconds, then gives up.
const SYN_RETRIES: u32 = 6;
const EPHEMERAL_PORT_FIRST: u16 = 40_000;

/// The network of a whole run.
#[derive(Clone)]
pub struct Net(Arc<Inner>);

struct Inner {
    engine: Engine,
    state: Mutex<State>,
}

struct State {
    dice: Dice,
    links: Links,
    powered_off: Vec<NodeId>,
    listeners: BTreeMap<(NodeId, u16), Listening>,
    connections: BTreeMap<ConnectionId, Connection>,
    last_connection: u64,
    last_port: u16,
    counts: NetCounts,
}

#[derive(Default)]
struct Listening {
    backlog: VecDeque<ConnectionId>,
    waker: Option<Waker>,
}

impl Net {
    /// A network where every link works.
    pub fn new(engine: Engine) -> Self {
        let state = State {
            dice: Dice::new(engine.seed(), NodeId::HARNESS, "net", 0),
            links: Links::new(engine.seed()),
            powered_off: Vec::new(),
            listeners: BTreeMap::new(),
            connections: BTreeMap::new(),
            last_connection: 0,
            last_port: EPHEMERAL_PORT_FIRST,
            counts: NetCounts::default(),
        };
        Self(Arc::new(Inner { engine, state: Mutex::new(state) }))
    }

    /// The network as one process sees it.
    pub fn of(&self, life: Life) -> SimNetwork {
        SimNetwork { net: self.clone(), life }
    }

    /// The address of a node.
    pub fn address_of(node: NodeId) -> IpAddr {
        let host = u8::try_from(node.0).expect("a simulated network has at most 254 nodes");
        IpAddr::V4(Ipv4Addr::new(10, 0, 0, host))
    }

    /// Cuts the way from one node to another.
    pub fn cut(&self, from: NodeId, to: NodeId) {
        self.state().links.of(from, to).cut = true;
    }

    /// Whether nothing arrives from one node at another.
    pub fn is_cut(&self, from: NodeId, to: NodeId) -> bool {
        self.state().links.of(from, to).cut
    }

    /// Makes a link slow: so much latency more, and so few bytes per second.
    pub fn slow(&self, from: NodeId, to: NodeId, extra_ns: u64, bytes_per_second: u64) {
        let mut state = self.state();
        let link = state.links.of(from, to);
        link.extra_ns = extra_ns;
        link.bytes_per_second = Some(bytes_per_second);
    }

    /// Opens the way from one node to another again, at full speed: what was held is sent again soon.
    pub fn heal(&self, from: NodeId, to: NodeId) {
        let mut state = self.state();
        state.links.of(from, to).heal();
        self.resume(&mut state, |_, sender, receiver| (sender, receiver) == (from, to));
        // The acknowledgements that were held travel from reader to writer.
        for connection in state.connections.values_mut() {
            for side in [Side::Client, Side::Server] {
                if connection.end(side).node == to && connection.end(side.other()).node == from {
                    connection.release_withheld(side);
                }
            }
        }
    }

    /// Heals every link.
    pub fn heal_all(&self) {
        let hurt = self.state().links.hurt();
        for (from, to) in hurt {
            self.heal(from, to);
        }
    }

    /// A node's process is gone: its kernel closes its sockets.
    pub fn process_died(&self, node: NodeId) {
        let mut state = self.state();
        let listening: Vec<_> = state.listeners.keys().copied().filter(|(on, _)| *on == node).collect();
        for key in listening {
            self.close_listener(&mut state, key);
        }
        for (id, side) in state.ends_of(node) {
            self.close(&mut state, id, side);
        }
    }

    /// A node lost power: its sockets vanish without a word.
    pub fn power_lost(&self, node: NodeId) {
        let mut state = self.state();
        state.powered_off.push(node);
        state.listeners.retain(|(on, _), _| *on != node);
        for (id, side) in state.ends_of(node) {
            if let Some(connection) = state.connections.get_mut(&id) {
                connection.vanish(side);
                state.counts.half_open += u64::from(connection.end(side.other()).is_open());
            }
            state.forget_if_over(id);
        }
    }

    /// A node has power again: segments sent to it are answered.
    pub fn booted(&self, node: NodeId) {
        let mut state = self.state();
        state.powered_off.retain(|off| *off != node);
        self.resume(&mut state, |_, _, receiver| receiver == node);
    }

    /// What happened on the network so far.
    pub fn counts(&self) -> NetCounts {
        self.state().counts
    }

    /// Schedules the directions that were stalled, each some time later: TCP sends again by its own timer.
    fn resume(&self, state: &mut State, pick: impl Fn(ConnectionId, NodeId, NodeId) -> bool) {
        let now = self.0.engine.now_ns();
        let mut due = Vec::new();
        for (id, connection) in &mut state.connections {
            for side in [Side::Client, Side::Server] {
                let (sender, receiver) = (connection.end(side).node, connection.end(side.other()).node);
                if connection.end(side).is_stalled() && pick(*id, sender, receiver) {
                    connection.end_mut(side).unstall();
                    due.push((*id, side));
                }
            }
        }
        for (id, side) in due {
            let wait = state.dice.latency(20_000_000);
            self.schedule_delivery(now + wait, id, side);
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().expect("one thread alone takes this lock, and no panic happens under it")
    }
}

impl State {
    fn is_reachable(&mut self, from: NodeId, to: NodeId) -> bool {
        !self.links.of(from, to).cut && !self.powered_off.contains(&to)
    }

    fn ends_of(&self, node: NodeId) -> Vec<(ConnectionId, Side)> {
        let both = |id: &ConnectionId| [(*id, Side::Client), (*id, Side::Server)];
        self.connections
            .keys()
            .flat_map(both)
            .filter(|(id, side)| self.connections[id].end(*side).node == node)
            .collect()
    }

    fn forget_if_over(&mut self, id: ConnectionId) {
        if self.connections.get(&id).is_some_and(Connection::is_over) {
            self.connections.remove(&id);
        }
    }
}

/// The network as one process sees it.
#[derive(Clone)]
pub struct SimNetwork {
    net: Net,
    life: Life,
}

impl SimNetwork {
    fn is_alive(&self) -> bool {
        self.net.0.engine.is_current(self.life)
    }

    /// A process that is gone gets no further than this.
    async fn check_alive(&self) -> Result<(), NetworkError> {
        self.net.0.engine.check_fence(self.life).await;
        if self.is_alive() { Ok(()) } else { Err(NetworkError::Other("the process is gone".to_owned())) }
    }

    fn resolve(&self, host: &str, port: u16) -> Result<NodeId, NetworkError> {
        if host == "localhost" {
            return Ok(self.life.node);
        }
        if let Some(Ok(number)) = host.strip_prefix("node-").map(str::parse::<u32>) {
            return Ok(NodeId(number));
        }
        match host.parse::<IpAddr>() {
            Ok(address) if address.is_loopback() => Ok(self.life.node),
            Ok(IpAddr::V4(address)) if address.octets()[..3] == [10, 0, 0] => {
                Ok(NodeId(u32::from(address.octets()[3])))
            }
            // Nobody has this address: nobody answers.
            Ok(_) => Err(NetworkError::Other(format!("no route to {host}:{port}"))),
            Err(_) => Err(NetworkError::Unresolved(host.to_owned(), "no such host".to_owned())),
        }
    }
}

/// What became of one SYN.
enum Syn {
    Lost,
    Refused,
    Accepted(ConnectionId, SocketAddr),
}

impl SimNetwork {
    /// One SYN there, and one answer back.
    async fn syn(&self, to: NodeId, port: u16) -> Syn {
        let (net, engine, from) = (&self.net, &self.net.0.engine, self.life.node);
        let out = {
            let mut state = net.state();
            if !state.is_reachable(from, to) {
                state.counts.cut_syns += 1;
                return Syn::Lost;
            }
            state.links.latency(from, to, 0, engine.now_ns())
        };
        engine.sleep(out).await;
        let (back, accepts) = {
            let mut state = net.state();
            if !state.is_reachable(from, to) || !state.is_reachable(to, from) {
                state.counts.cut_syns += 1;
                return Syn::Lost;
            }
            let accepts = match state.listeners.get(&(to, port)) {
                Some(listening) if listening.backlog.len() >= BACKLOG => return Syn::Lost,
                Some(_) => true,
                None => false,
            };
            (state.links.latency(to, from, 0, engine.now_ns()), accepts)
        };
        engine.sleep(back).await;
        if !accepts {
            return Syn::Refused;
        }
        let mut state = net.state();
        if !engine.is_current(self.life) {
            return Syn::Lost;
        }
        let (id, local) = net.establish(&mut state, from, to, port);
        Syn::Accepted(id, local)
    }
}

impl Network for SimNetwork {
    type Listener = SimListener;
    type Stream = SimStream;

    async fn bind(&self, address: SocketAddr) -> Result<SimListener, NetworkError> {
        self.check_alive().await?;
        let own = Net::address_of(self.life.node);
        if !(address.ip().is_unspecified() || address.ip().is_loopback() || address.ip() == own) {
            return Err(NetworkError::Bind(address, "not an address of this node".to_owned()));
        }
        let mut state = self.net.state();
        let port = if address.port() == 0 { state.free_port() } else { address.port() };
        let key = (self.life.node, port);
        if state.listeners.contains_key(&key) {
            return Err(NetworkError::Bind(address, "address in use".to_owned()));
        }
        state.listeners.insert(key, Listening::default());
        drop(state);
        self.net.0.engine.note(self.life.node, Kind::Connection, (0, u64::from(port)), || {
            format!("listens on port {port}").into()
        });
        Ok(SimListener::new(self.clone(), SocketAddr::new(address.ip(), port), port))
    }

    async fn look_up(&self, host: &str) -> Result<IpAddr, NetworkError> {
        Ok(Net::address_of(self.resolve(host, 0)?))
    }

    async fn connect(&self, host: &str, port: u16) -> Result<SimStream, NetworkError> {
        self.check_alive().await?;
        let to = self.resolve(host, port)?;
        for attempt in 0..SYN_RETRIES {
            match self.syn(to, port).await {
                Syn::Accepted(id, local) => {
                    return Ok(SimStream::new(self.clone(), id, Side::Client, local));
                }
                Syn::Refused => return Err(NetworkError::Refused(format!("{host}:{port}"))),
                Syn::Lost => self.net.0.engine.sleep(1_000_000_000 << attempt).await,
            }
            self.check_alive().await?;
        }
        Err(NetworkError::Other(format!("connecting to {host}:{port} timed out")))
    }
}

impl State {
    fn free_port(&mut self) -> u16 {
        self.last_port = self.last_port.checked_add(1).unwrap_or(EPHEMERAL_PORT_FIRST);
        self.last_port
    }
}

impl SimNetwork {
    /// Waits for a connection in the backlog of a listener.
    async fn accept(&self, port: u16) -> Result<(ConnectionId, SocketAddr, SocketAddr), NetworkError> {
        self.check_alive().await?;
        std::future::poll_fn(|context| {
            let mut state = self.net.state();
            let Some(listening) = state.listeners.get_mut(&(self.life.node, port)) else {
                return Poll::Ready(Err(NetworkError::Reset));
            };
            let Some(id) = listening.backlog.pop_front() else {
                listening.waker = Some(context.waker().clone());
                return Poll::Pending;
            };
            let connection = state.connections.get(&id).expect("a connection in a backlog exists");
            let local = connection.end(Side::Server).address;
            let peer = connection.end(Side::Client).address;
            Poll::Ready(Ok((id, local, peer)))
        })
        .await
    }
}

#[cfg(test)]
mod tests;
