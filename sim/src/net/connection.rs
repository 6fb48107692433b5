//! One connection: two ends, and what travels between them.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::task::Waker;

use bytes::Bytes;

use super::{Net, State};
use crate::digest::fingerprint;
use crate::engine::NodeId;
use crate::trace::Kind;

/// What was written and not yet read, per direction, at most: a socket's two buffers together.
pub(super) const WINDOW: usize = 256 * 1024;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct ConnectionId(pub(super) u64);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Client,
    Server,
}

impl Side {
    pub(super) fn other(self) -> Self {
        match self {
            Self::Client => Self::Server,
            Self::Server => Self::Client,
        }
    }
}

pub(super) struct Connection {
    client: End,
    server: End,
    port: u16,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Socket {
    Open,
    /// Closed by the process or, at its death, by the kernel: what still arrives is answered by RST.
    Closed,
}

/// One end of a connection, and the direction away from it.
pub(super) struct End {
    pub(super) node: NodeId,
    pub(super) address: SocketAddr,
    socket: Socket,
    inbox: VecDeque<Bytes>,
    inbox_bytes: usize,
    peer_finished: bool,
    reset: bool,
    reader: Option<Waker>,
    read_dropped: bool,
    write_dropped: bool,
    outbox: VecDeque<Segment>,
    /// Bytes that left this end and that the peer has not read, or has read without our knowing yet.
    outstanding: usize,
    withheld: usize,
    finished: bool,
    /// The head of the outbox could not be delivered; whoever mends the cause schedules it again.
    stalled: bool,
    writer: Option<Waker>,
}

struct Segment {
    due_ns: u64,
    what: Payload,
}

enum Payload {
    /// The last message of the handshake: the server's process may accept.
    Accept,
    Data(Bytes),
    Finish,
}

impl End {
    fn new(node: NodeId, address: SocketAddr) -> Self {
        Self {
            node,
            address,
            socket: Socket::Open,
            inbox: VecDeque::new(),
            inbox_bytes: 0,
            peer_finished: false,
            reset: false,
            reader: None,
            read_dropped: false,
            write_dropped: false,
            outbox: VecDeque::new(),
            outstanding: 0,
            withheld: 0,
            finished: false,
            stalled: false,
            writer: None,
        }
    }

    pub(super) fn is_open(&self) -> bool {
        self.socket == Socket::Open
    }

    pub(super) fn is_stalled(&self) -> bool {
        self.stalled
    }

    pub(super) fn unstall(&mut self) {
        self.stalled = false;
    }

    pub(super) fn has_failed(&self) -> bool {
        self.reset || self.socket == Socket::Closed
    }

    pub(super) fn peer_finished(&self) -> bool {
        self.peer_finished
    }

    pub(super) fn room(&self) -> usize {
        WINDOW.saturating_sub(self.outstanding)
    }

    pub(super) fn wait_to_read(&mut self, waker: &Waker) {
        self.reader = Some(waker.clone());
    }

    pub(super) fn wait_to_write(&mut self, waker: &Waker) {
        self.writer = Some(waker.clone());
    }

    fn wake_both(&mut self) {
        for waker in [self.reader.take(), self.writer.take()].into_iter().flatten() {
            waker.wake();
        }
    }
}

impl Connection {
    pub(super) fn end(&self, side: Side) -> &End {
        match side {
            Side::Client => &self.client,
            Side::Server => &self.server,
        }
    }

    pub(super) fn end_mut(&mut self, side: Side) -> &mut End {
        match side {
            Side::Client => &mut self.client,
            Side::Server => &mut self.server,
        }
    }

    /// The power of this end's node is gone: nothing leaves any more, nothing is kept.
    pub(super) fn vanish(&mut self, side: Side) {
        let end = self.end_mut(side);
        end.socket = Socket::Closed;
        end.outbox.clear();
        end.stalled = false;
        end.inbox.clear();
        end.inbox_bytes = 0;
    }

    /// Nobody will ever look at it again.
    pub(super) fn is_over(&self) -> bool {
        [&self.client, &self.server].iter().all(|end| !end.is_open() && end.outbox.is_empty())
    }

    /// Takes up to `limit` received bytes, and tells the writer if the way back is open.
    pub(super) fn take_received(&mut self, side: Side, limit: usize, acknowledged: bool) -> Option<Bytes> {
        let end = self.end_mut(side);
        let mut bytes = end.inbox.pop_front()?;
        if bytes.len() > limit {
            let rest = bytes.split_off(limit);
            end.inbox.push_front(rest);
        }
        end.inbox_bytes -= bytes.len();
        let writer = self.end_mut(side.other());
        writer.withheld += bytes.len();
        if acknowledged {
            self.release_withheld(side.other());
        }
        Some(bytes)
    }

    /// The acknowledgements for what this end wrote have come back.
    pub(super) fn release_withheld(&mut self, side: Side) {
        let end = self.end_mut(side);
        end.outstanding -= std::mem::take(&mut end.withheld);
        if let Some(writer) = end.writer.take() {
            writer.wake();
        }
    }
}

impl Net {
    /// The SYN was answered: the client's end is connected, the server's is on its way to the backlog.
    pub(super) fn establish(
        &self,
        state: &mut State,
        from: NodeId,
        to: NodeId,
        port: u16,
    ) -> (ConnectionId, SocketAddr) {
        state.last_connection += 1;
        let id = ConnectionId(state.last_connection);
        let local = SocketAddr::new(Self::address_of(from), state.free_port());
        let remote = SocketAddr::new(Self::address_of(to), port);
        let connection = Connection { client: End::new(from, local), server: End::new(to, remote), port };
        state.connections.insert(id, connection);
        self.0.engine.note(from, Kind::Connection, (id.0, 1), || {
            format!("connection {} to {remote} is open", id.0).into()
        });
        self.enqueue(state, id, Side::Client, Payload::Accept);
        (id, local)
    }

    /// Sends bytes; the caller has seen to it that there is room.
    pub(super) fn send(&self, state: &mut State, id: ConnectionId, side: Side, bytes: Bytes) {
        let connection = state.connections.get_mut(&id).expect("an open stream has its connection");
        let end = connection.end_mut(side);
        end.outstanding += bytes.len();
        let (node, length) = (end.node, bytes.len());
        self.0.engine.note(node, Kind::Send, (id.0, fingerprint(&bytes)), || {
            format!("connection {}: {length} bytes leave", id.0).into()
        });
        let mut rest = bytes;
        // Most writes arrive whole; one in eight is cut where it hurts.
        while rest.len() > 1 && state.dice.one_in(8) {
            let cut = 1 + state.dice.index(rest.len() - 1);
            let head = rest.split_to(cut);
            self.enqueue(state, id, side, Payload::Data(head));
        }
        self.enqueue(state, id, side, Payload::Data(rest));
    }

    fn enqueue(&self, state: &mut State, id: ConnectionId, side: Side, what: Payload) {
        let now = self.0.engine.now_ns();
        let Some(connection) = state.connections.get_mut(&id) else { return };
        let (from, to) = (connection.end(side).node, connection.end(side.other()).node);
        let bytes = match &what {
            Payload::Data(bytes) => bytes.len(),
            Payload::Accept | Payload::Finish => 0,
        };
        let slow = state.links.of(from, to).bytes_per_second.is_some();
        state.counts.slowed += u64::from(slow && bytes > 0);
        let mut due_ns = now + state.links.latency(from, to, bytes, now);
        let end = connection.end_mut(side);
        let alone = end.outbox.is_empty();
        if let Some(last) = end.outbox.back() {
            due_ns = due_ns.max(last.due_ns);
        }
        end.outbox.push_back(Segment { due_ns, what });
        if alone {
            self.schedule_delivery(due_ns, id, side);
        }
    }

    pub(super) fn schedule_delivery(&self, at_ns: u64, id: ConnectionId, side: Side) {
        let net = self.clone();
        self.0.engine.schedule(at_ns, move || net.deliver(id, side));
    }

    /// Delivers what is due of the direction away from `side`, and sets the timer for the rest.
    fn deliver(&self, id: ConnectionId, side: Side) {
        let now = self.0.engine.now_ns();
        let mut guard = self.state();
        let state = &mut *guard;
        loop {
            let Some(connection) = state.connections.get_mut(&id) else { return };
            let (from, to) = (connection.end(side).node, connection.end(side.other()).node);
            let Some(head) = connection.end(side).outbox.front() else { break };
            if head.due_ns > now {
                let at = head.due_ns;
                self.schedule_delivery(at, id, side);
                break;
            }
            if state.links.of(from, to).cut || state.powered_off.contains(&to) {
                let connection = state.connections.get_mut(&id).expect("it was there a moment ago");
                connection.end_mut(side).stalled = true;
                state.counts.held += 1;
                break;
            }
            if !connection.end(side.other()).is_open() {
                self.answer_by_reset(state, id, side);
                break;
            }
            let segment = connection.end_mut(side).outbox.pop_front().expect("it has a head");
            self.arrive(state, id, side.other(), segment.what);
        }
        state.forget_if_over(id);
    }

    fn arrive(&self, state: &mut State, id: ConnectionId, side: Side, what: Payload) {
        let connection = state.connections.get_mut(&id).expect("the caller holds it");
        let port = connection.port;
        let end = connection.end_mut(side);
        match what {
            Payload::Data(bytes) => {
                let length = bytes.len();
                self.0.engine.note(end.node, Kind::Deliver, (id.0, length as u64), || {
                    format!("connection {}: {length} bytes arrive", id.0).into()
                });
                state.counts.bytes += length as u64;
                end.inbox_bytes += length;
                end.inbox.push_back(bytes);
                if let Some(reader) = end.reader.take() {
                    reader.wake();
                }
            }
            Payload::Finish => {
                end.peer_finished = true;
                end.wake_both();
            }
            Payload::Accept => {
                let key = (end.node, port);
                match state.listeners.get_mut(&key) {
                    Some(listening) => {
                        listening.backlog.push_back(id);
                        if let Some(waker) = listening.waker.take() {
                            waker.wake();
                        }
                    }
                    // The listener went away during the handshake.
                    None => self.close(state, id, side),
                }
            }
        }
    }

    /// Something arrived at a socket that is no more: the sender hears a RST.
    fn answer_by_reset(&self, state: &mut State, id: ConnectionId, sender: Side) {
        if let Some(connection) = state.connections.get_mut(&id) {
            connection.end_mut(sender).outbox.clear();
        }
        self.send_reset(state, id, sender);
    }

    /// Sends a RST towards `to`. Nobody sends it again if it is lost.
    fn send_reset(&self, state: &mut State, id: ConnectionId, to: Side) {
        let now = self.0.engine.now_ns();
        let Some(connection) = state.connections.get(&id) else { return };
        let (source, target) = (connection.end(to.other()).node, connection.end(to).node);
        let at = now + state.links.latency(source, target, 0, now);
        let net = self.clone();
        self.0.engine.schedule(at, move || net.reset_arrives(id, to));
    }

    fn reset_arrives(&self, id: ConnectionId, side: Side) {
        let mut state = self.state();
        let Some(connection) = state.connections.get(&id) else { return };
        let (source, target) = (connection.end(side.other()).node, connection.end(side).node);
        if !state.is_reachable(source, target) {
            state.counts.lost_resets += 1;
            return;
        }
        let connection = state.connections.get_mut(&id).expect("it was there a moment ago");
        let end = connection.end_mut(side);
        end.reset = true;
        end.outbox.clear();
        end.stalled = false;
        end.wake_both();
        self.0.engine.note(target, Kind::Connection, (id.0, 2), || {
            format!("connection {} was reset by its peer", id.0).into()
        });
        state.forget_if_over(id);
    }

    /// Says that no more bytes will come from this end.
    pub(super) fn finish(&self, state: &mut State, id: ConnectionId, side: Side) {
        let Some(connection) = state.connections.get_mut(&id) else { return };
        let end = connection.end_mut(side);
        if end.has_failed() || end.finished {
            return;
        }
        end.finished = true;
        self.enqueue(state, id, side, Payload::Finish);
    }

    /// One half was dropped; the second one closes the socket.
    pub(super) fn drop_half(&self, state: &mut State, id: ConnectionId, side: Side, reading: bool) {
        let Some(connection) = state.connections.get_mut(&id) else { return };
        let end = connection.end_mut(side);
        let dropped = if reading { &mut end.read_dropped } else { &mut end.write_dropped };
        *dropped = true;
        if end.read_dropped && end.write_dropped {
            self.close(state, id, side);
        } else if !reading {
            self.finish(state, id, side);
        }
    }

    /// Closes a socket: with RST if it leaves bytes unread, else with FIN after what is still to be sent.
    pub(super) fn close(&self, state: &mut State, id: ConnectionId, side: Side) {
        let Some(connection) = state.connections.get_mut(&id) else { return };
        let end = connection.end_mut(side);
        if !end.is_open() {
            return;
        }
        let (unread, node) = (end.inbox_bytes, end.node);
        if unread > 0 {
            end.outbox.clear();
            end.stalled = false;
            end.inbox.clear();
            end.inbox_bytes = 0;
            end.socket = Socket::Closed;
            self.send_reset(state, id, side.other());
        } else {
            self.finish(state, id, side);
            if let Some(connection) = state.connections.get_mut(&id) {
                connection.end_mut(side).socket = Socket::Closed;
            }
        }
        self.0.engine.note(node, Kind::Connection, (id.0, 3), || {
            format!("connection {} is closed, {unread} bytes unread", id.0).into()
        });
        state.forget_if_over(id);
    }

    /// Nobody accepts here any more: who stands in the backlog is sent away.
    pub(super) fn close_listener(&self, state: &mut State, key: (NodeId, u16)) {
        if let Some(listening) = state.listeners.remove(&key) {
            for id in listening.backlog {
                self.close(state, id, Side::Server);
            }
        }
    }
}
