//! How replicas keep up with their leaders: Kafka's settings, at Kafka's defaults. They cannot be set yet.

use std::time::Duration;

/// `replica.lag.time.max.ms`: how long a follower may be behind before it leaves the ISR.
pub(super) const REPLICA_LAG_TIME_MAX: Duration = Duration::from_secs(30);

/// `replica.fetch.wait.max.ms`: how long a leader waits for something new.
pub(super) const FETCH_WAIT_MAX: Duration = Duration::from_millis(500);

/// `replica.fetch.min.bytes`.
pub(super) const FETCH_MIN_BYTES: i32 = 1;

/// `replica.fetch.max.bytes`: of one partition.
pub(super) const FETCH_MAX_BYTES: i32 = 1 << 20;

/// `replica.fetch.response.max.bytes`.
pub(super) const FETCH_RESPONSE_MAX_BYTES: i32 = 10 << 20;

/// `replica.fetch.backoff.ms`: the pause after a failure.
pub(super) const FETCH_BACKOFF: Duration = Duration::from_secs(1);

/// `replica.socket.timeout.ms`: how long an answer may take.
pub(super) const SOCKET_TIMEOUT: Duration = Duration::from_secs(30);
