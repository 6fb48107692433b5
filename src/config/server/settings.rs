//! The settings of a cluster's parts, one struct per part. Their defaults and limits are in the table of broker
//! configs.

use std::time::Duration;

use super::Given;

/// What a node does in the cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Roles {
    /// It holds replicas and answers clients.
    pub broker: bool,
    /// It is a controller: active, standby, or about to become a voter.
    pub controller: bool,
}

impl Roles {
    pub(super) fn new(given: &Given<'_>) -> Self {
        let roles = given.list("process.roles");
        let has = |name: &str| roles.iter().any(|role| role == name);
        Self { broker: has("broker"), controller: has("controller") }
    }

    /// Whether it is a broker and nothing else.
    pub fn only_broker(self) -> bool {
        self.broker && !self.controller
    }

    /// Whether it is a controller and nothing else.
    pub fn only_controller(self) -> bool {
        self.controller && !self.broker
    }
}

/// `controller.quorum.*`: how the metadata quorum waits, and how much it moves at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QuorumSettings {
    /// After how long without a leader a voter stands for election. Not zero.
    pub election_timeout: Duration,
    /// After how long without an answer from its leader a voter stands for election. Not zero.
    pub fetch_timeout: Duration,
    /// The longest that a voter waits after its leader has resigned.
    pub election_backoff_max: Duration,
    /// How long a request may take. Not zero.
    pub request_timeout: Duration,
    /// The pause after a request that failed.
    pub retry_backoff: Duration,
    /// The most bytes of the log per Fetch, save its first batch. Not zero.
    pub fetch_max_bytes: u32,
    /// The most bytes of a snapshot per FetchSnapshot. Not zero.
    pub fetch_snapshot_max_bytes: u32,
}

impl QuorumSettings {
    pub(super) fn new(given: &Given<'_>) -> Self {
        Self {
            election_timeout: given.duration("controller.quorum.election.timeout.ms"),
            fetch_timeout: given.duration("controller.quorum.fetch.timeout.ms"),
            election_backoff_max: given.duration("controller.quorum.election.backoff.max.ms"),
            request_timeout: given.duration("controller.quorum.request.timeout.ms"),
            retry_backoff: given.duration("controller.quorum.retry.backoff.ms"),
            fetch_max_bytes: given.int("controller.quorum.fetch.max.bytes").unsigned_abs(),
            fetch_snapshot_max_bytes: given.int("controller.quorum.fetch.snapshot.max.bytes").unsigned_abs(),
        }
    }
}

/// When the metadata log is made into snapshots, and how much of both is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SnapshotSettings {
    /// After how many bytes of records a snapshot is due. Not zero.
    pub bytes_between: u64,
    /// After how long one is due, if there are new records; `None`: never for that.
    pub interval_max: Option<Duration>,
    /// Above which size of log and snapshots together, in bytes, the oldest go; `None`: never for that.
    pub retention_bytes: Option<u64>,
    /// At which age a snapshot and the log before it go; `None`: never for that.
    pub retention: Option<Duration>,
}

impl SnapshotSettings {
    pub(super) fn new(given: &Given<'_>) -> Self {
        let interval = given.duration("metadata.log.max.snapshot.interval.ms");
        Self {
            bytes_between: given.count("metadata.log.max.record.bytes.between.snapshots"),
            interval_max: Some(interval).filter(|interval| !interval.is_zero()),
            retention_bytes: given.unless_negative("metadata.max.retention.bytes"),
            retention: given.unless_negative("metadata.max.retention.ms").map(Duration::from_millis),
        }
    }
}

/// How a broker lives among the others: registered, heard of, stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LifecycleSettings {
    /// How often a broker sends a heartbeat. Not zero, and less than `session_timeout`.
    pub heartbeat_interval: Duration,
    /// After how long without one the controller fences a broker.
    pub session_timeout: Duration,
    /// How long a broker that starts tries to register before it gives up. Not zero.
    pub registration_timeout: Duration,
    /// Whether a broker that stops hands over its leaderships first.
    pub controlled_shutdown: bool,
}

impl LifecycleSettings {
    pub(super) fn new(given: &Given<'_>) -> Self {
        Self {
            heartbeat_interval: given.duration("broker.heartbeat.interval.ms"),
            session_timeout: given.duration("broker.session.timeout.ms"),
            registration_timeout: given.duration("initial.broker.registration.timeout.ms"),
            controlled_shutdown: given.boolean("controlled.shutdown.enable"),
        }
    }
}

/// Which elections the controller calls by itself.
///
/// Every partition counts whose preferred leader could lead and does not:
/// `leader.imbalance.per.broker.percentage` is none of Kafka's configs any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ElectionSettings {
    /// How often it gives partitions back to their preferred leaders; `None`: never.
    pub rebalance_interval: Option<Duration>,
    /// How often it elects uncleanly, where that is allowed and a partition has no leader. Not zero.
    pub unclean_interval: Duration,
}

impl ElectionSettings {
    pub(super) fn new(given: &Given<'_>) -> Self {
        let interval = Duration::from_secs(given.count("leader.imbalance.check.interval.seconds"));
        Self {
            rebalance_interval: given.boolean("auto.leader.rebalance.enable").then_some(interval),
            unclean_interval: given.duration("unclean.leader.election.interval.ms"),
        }
    }
}

/// How followers fetch, and what leaders think of them.
///
/// The replication throttles are not here: they are dynamic broker configs,
/// [`effective`](crate::config::broker_keys::effective) tells them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReplicationSettings {
    /// Over how many connections a broker fetches from each other broker, as its own file says; at least one.
    pub fetchers: usize,
    /// How long a fetch waits for `fetch_min_bytes` at most.
    pub fetch_wait_max: Duration,
    /// For how many bytes a fetch waits. Not negative.
    pub fetch_min_bytes: i32,
    /// The most bytes per partition and fetch, save the first batch. Not negative.
    pub fetch_max_bytes: i32,
    /// The most bytes per fetch, save the first batch. Not negative.
    pub fetch_response_max_bytes: i32,
    /// The pause after a fetch that failed.
    pub fetch_backoff: Duration,
    /// After how long without having caught up a follower leaves the ISR. Not zero.
    pub lag_time_max: Duration,
    /// How long a fetch may take in all. Not zero.
    pub socket_timeout: Duration,
    /// Whether consumers are sent to a replica in their own rack (KIP-392).
    pub rack_aware_reads: bool,
    /// The windows over which replication is throttled: how long each is, and how many count. Neither is zero.
    pub quota_windows: (Duration, u32),
}

impl ReplicationSettings {
    pub(super) fn new(given: &Given<'_>) -> Self {
        Self {
            fetchers: given.size("num.replica.fetchers"),
            fetch_wait_max: given.duration("replica.fetch.wait.max.ms"),
            fetch_min_bytes: given.int("replica.fetch.min.bytes").max(0),
            fetch_max_bytes: given.int("replica.fetch.max.bytes"),
            fetch_response_max_bytes: given.int("replica.fetch.response.max.bytes"),
            fetch_backoff: given.duration("replica.fetch.backoff.ms"),
            lag_time_max: given.duration("replica.lag.time.max.ms"),
            socket_timeout: given.duration("replica.socket.timeout.ms"),
            rack_aware_reads: given.text("replica.selector.class").is_some_and(|class| !class.is_empty()),
            quota_windows: (
                Duration::from_secs(given.count("replication.quota.window.size.seconds")),
                given.int("replication.quota.window.num").unsigned_abs(),
            ),
        }
    }
}
