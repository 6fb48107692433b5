//! Who asks, and what: goes with a request on its whole path.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::types::Mono;
use crate::wire::api::ApiKey;

/// What is the same for all requests of a connection.
#[derive(Debug, Clone)]
pub struct ConnectionContext {
    /// Unique while the node runs.
    pub id: u64,
    /// The listener's name, such as `PLAINTEXT`.
    pub listener: Arc<str>,
    /// Whom the peer was authenticated as; `User:ANONYMOUS` where it was not.
    pub principal: Principal,
    /// The peer's address.
    pub peer: SocketAddr,
    /// The address that the peer dialled.
    pub local: SocketAddr,
    /// Who is asked what the principal may do.
    pub authorizer: Arc<dyn Authorizer>,
}

/// One request's context.
#[derive(Debug, Clone)]
pub struct RequestContext {
    /// The connection it came on.
    pub connection: Arc<ConnectionContext>,
    /// Which API.
    pub api_key: ApiKey,
    /// In which version: not necessarily one that we know.
    pub api_version: i16,
    /// Goes back with the response.
    pub correlation_id: i32,
    /// What the client calls itself.
    pub client_id: Option<String>,
    /// When it was read: what its own timeout counts from.
    pub received: Mono,
}

impl RequestContext {
    /// The time at which a request that may take `timeout` must have been answered.
    pub fn deadline(&self, timeout: Duration) -> Mono {
        self.received + timeout
    }

    /// Whether the principal may do this.
    pub fn authorize(&self, operation: Operation, resource: Resource<'_>) -> bool {
        let connection = &self.connection;
        connection.authorizer.permits(&connection.principal, operation, resource)
    }

    /// How long the client is asked to hold back, for `throttle_time_ms`. There are no quotas yet.
    pub fn throttle(&self) -> Duration {
        Duration::ZERO
    }
}

/// Decides who may do what.
pub trait Authorizer: fmt::Debug + Send + Sync {
    /// Whether `principal` may do `operation` to `resource`.
    fn permits(&self, principal: &Principal, operation: Operation, resource: Resource<'_>) -> bool;
}

/// Permits everything, as Kafka does without an authorizer. There are no access control lists yet.
#[derive(Debug, Clone, Copy)]
pub struct PermitAll;

impl Authorizer for PermitAll {
    fn permits(&self, _: &Principal, _: Operation, _: Resource<'_>) -> bool {
        true
    }
}

/// Whom a peer was authenticated as.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Principal {
    /// Its type; Kafka itself knows only `User`.
    pub kind: String,
    /// Its name.
    pub name: String,
}

impl Principal {
    /// Whoever has not said who he is: `User:ANONYMOUS`.
    pub fn anonymous() -> Self {
        Self { kind: "User".to_owned(), name: "ANONYMOUS".to_owned() }
    }
}

/// What can be permitted: Kafka's `AclOperation`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[expect(missing_docs, reason = "the names are Kafka's own, and say it")]
pub enum Operation {
    Read,
    Write,
    Create,
    Delete,
    Alter,
    Describe,
    ClusterAction,
    DescribeConfigs,
    AlterConfigs,
    IdempotentWrite,
}

/// On what it can be permitted: Kafka's `ResourceType`, with the resource's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[expect(missing_docs, reason = "the names are Kafka's own, and say it")]
pub enum Resource<'a> {
    Topic(&'a str),
    Group(&'a str),
    TransactionalId(&'a str),
    Cluster,
}
