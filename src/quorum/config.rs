//! What a node of the quorum is told at its start: the timeouts, and who it is.

use std::time::Duration;

use super::VoterKey;
use super::voters::VoterNode;
use crate::wire::VersionRange;
use crate::wire::control::Endpoint;

/// The timeouts and sizes of the quorum. The defaults are Kafka's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QuorumConfig {
    /// `controller.quorum.election.timeout.ms`: a voter without a leader waits between one and two times this
    /// long before it stands for election.
    pub election_timeout: Duration,
    /// `controller.quorum.fetch.timeout.ms`: a voter whose leader has not answered a Fetch for this long
    /// stands for election. A leader that the majority has not fetched from for 1.5 times this long resigns.
    pub fetch_timeout: Duration,
    /// `controller.quorum.election.backoff.max.ms`: the most that a voter waits after its leader has resigned.
    pub election_backoff_max: Duration,
    /// `controller.quorum.request.timeout.ms`.
    pub request_timeout: Duration,
    /// `controller.quorum.retry.backoff.ms`: the pause after a request that failed.
    pub retry_backoff: Duration,
    /// How long a Fetch asks the leader to wait for something new: well below the fetch timeout, or a follower
    /// gives up a leader that has nothing to tell.
    pub fetch_wait_max: Duration,
    /// The most bytes of a snapshot per FetchSnapshot.
    pub snapshot_chunk_bytes: u32,
}

impl Default for QuorumConfig {
    fn default() -> Self {
        Self {
            election_timeout: Duration::from_millis(1000),
            fetch_timeout: Duration::from_millis(2000),
            election_backoff_max: Duration::from_millis(1000),
            request_timeout: Duration::from_millis(2000),
            retry_backoff: Duration::from_millis(20),
            fetch_wait_max: Duration::from_millis(500),
            snapshot_chunk_bytes: 1 << 20,
        }
    }
}

impl QuorumConfig {
    /// A leader that hears nothing from the majority for this long resigns (KAFKA-15489).
    pub fn check_quorum_timeout(&self) -> Duration {
        self.fetch_timeout * 3 / 2
    }

    /// How often a leader makes itself known to voters that do not fetch.
    pub fn begin_quorum_interval(&self) -> Duration {
        self.fetch_timeout / 2
    }
}

/// Where something listens.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Address {
    /// The host.
    pub host: String,
    /// The port.
    pub port: u16,
}

impl Address {
    /// The address of the listener called `name`.
    pub fn of_listener(endpoints: &[Endpoint], name: &str) -> Option<Self> {
        let endpoint = endpoints.iter().find(|endpoint| endpoint.name == name)?;
        Some(Self { host: endpoint.host.clone(), port: endpoint.port })
    }
}

/// Who a node of the quorum is. Whether it is a voter, the log says.
#[derive(Debug, Clone, PartialEq)]
pub struct Identity {
    /// The node and its metadata directory.
    pub key: VoterKey,
    /// Where it listens for the other controllers; empty for a node that is only a broker.
    pub endpoints: Vec<Endpoint>,
    /// The name of the listener that the controllers talk over: the first of `controller.listener.names`.
    pub listener: String,
    /// The levels of kraft.version that it supports.
    pub versions: VersionRange,
    /// `controller.quorum.bootstrap.servers`: where to ask for the leader, besides the voters.
    pub bootstrap: Vec<Address>,
}

impl Identity {
    /// This node as it wants to stand in a voter set.
    pub fn voter(&self) -> VoterNode {
        VoterNode { key: self.key, endpoints: self.endpoints.clone(), versions: self.versions }
    }

    /// Where the other controllers reach this node.
    pub fn address(&self) -> Option<Address> {
        Address::of_listener(&self.endpoints, &self.listener)
    }
}
