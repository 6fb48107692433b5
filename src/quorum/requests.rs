//! The requests that are under way: one per peer at a time, a pause after one that failed.

use std::collections::BTreeMap;

use super::config::{Address, QuorumConfig};
use crate::types::{BrokerId, Mono};

/// Names a request that was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct RequestId(pub u64);

/// Whom a request goes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Peer {
    /// A node whose id is known.
    Node(BrokerId),
    /// One of the bootstrap servers, by its place in the list.
    Bootstrap(usize),
}

/// Whom a request goes to, and where that is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Destination {
    /// The peer.
    pub peer: Peer,
    /// Its address.
    pub address: Address,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Connection {
    Waiting { id: RequestId, until: Mono },
    BackingOff { until: Mono },
}

#[derive(Debug, Clone, Default)]
pub(super) struct Requests {
    sent: u64,
    connections: BTreeMap<Peer, Connection>,
}

impl Requests {
    /// Notes that time has passed: a request that was not answered in time has failed.
    pub(super) fn expire(&mut self, now: Mono, config: &QuorumConfig) {
        for connection in self.connections.values_mut() {
            if matches!(connection, Connection::Waiting { until, .. } if *until <= now) {
                *connection = Connection::BackingOff { until: now + config.retry_backoff };
            }
        }
        self.connections
            .retain(|_, connection| !matches!(connection, Connection::BackingOff { until } if *until <= now));
    }

    /// Whether nothing is under way to `peer`, and no pause holds.
    pub(super) fn is_ready(&self, peer: Peer) -> bool {
        !self.connections.contains_key(&peer)
    }

    /// Whether anything is under way to anybody.
    pub(super) fn any_under_way(&self) -> bool {
        self.connections.values().any(|connection| matches!(connection, Connection::Waiting { .. }))
    }

    pub(super) fn send(&mut self, now: Mono, peer: Peer, config: &QuorumConfig) -> RequestId {
        assert!(self.is_ready(peer), "one request to {peer:?} at a time");
        self.sent += 1;
        let id = RequestId(self.sent);
        self.connections.insert(peer, Connection::Waiting { id, until: now + config.request_timeout });
        id
    }

    /// Notes that a response arrived. `None` if it is no longer waited for.
    pub(super) fn answered(&mut self, id: RequestId) -> Option<Peer> {
        let peer = self.peer_of(id)?;
        self.connections.remove(&peer);
        Some(peer)
    }

    pub(super) fn back_off(&mut self, now: Mono, peer: Peer, config: &QuorumConfig) {
        self.connections.insert(peer, Connection::BackingOff { until: now + config.retry_backoff });
    }

    /// Forgets all: no response to what was sent is acted on any more.
    pub(super) fn reset(&mut self) {
        self.connections.clear();
    }

    pub(super) fn next_deadline(&self) -> Option<Mono> {
        let until = |connection: &Connection| match connection {
            Connection::Waiting { until, .. } | Connection::BackingOff { until } => *until,
        };
        self.connections.values().map(until).min()
    }

    fn peer_of(&self, id: RequestId) -> Option<Peer> {
        let sent = |connection: &Connection| matches!(connection, Connection::Waiting { id: sent, .. } if *sent == id);
        self.connections.iter().find(|(_, connection)| sent(connection)).map(|(peer, _)| *peer)
    }
}
