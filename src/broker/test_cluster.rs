//! Metadata for the handlers' tests, built as the real one is: by replaying records.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use crate::controller::Image;
use crate::controller::Metadata;
use crate::node::context::{ConnectionContext, PermitAll, Principal, RequestContext};
use crate::types::{LeaderEpoch, Mono, Offset, Uuid};
use crate::wire::ApiKey;
use crate::wire::metadata::*;

/// Where the client of [`context`] has dialled.
pub(super) const DIALLED: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// Metadata under construction.
pub(super) struct TestCluster {
    metadata: Metadata,
    next: Offset,
}

/// The directory of a broker.
pub(super) fn directory(broker: i32) -> Uuid {
    Uuid(1000 + u128::try_from(broker).expect("positive"))
}

impl TestCluster {
    pub(super) fn new() -> Self {
        Self { metadata: Metadata::empty(), next: Offset(0) }
    }

    /// A broker with the listeners PLAINTEXT (port 9000 + id) and EXTERNAL (port 19000 + id) and one directory.
    pub(super) fn broker(self, id: i32) -> Self {
        self.register(id, false)
    }

    pub(super) fn fenced_broker(self, id: i32) -> Self {
        self.register(id, true)
    }

    fn register(self, id: i32, fenced: bool) -> Self {
        let endpoint = |name: &str, base: i32| BrokerEndpoint {
            name: name.to_owned(),
            host: format!("{}.example", name.to_lowercase()),
            port: u16::try_from(base + id).expect("a port"),
            security_protocol: 0,
        };
        self.with(RegisterBrokerRecord {
            broker_id: id,
            broker_epoch: 7,
            end_points: vec![endpoint("PLAINTEXT", 9000), endpoint("EXTERNAL", 19_000)],
            rack: Some(format!("rack-{id}")),
            fenced,
            log_dirs: vec![directory(id)],
            ..RegisterBrokerRecord::default()
        })
    }

    /// A topic whose partitions all have these replicas, the first one leading in epoch 5.
    pub(super) fn topic(self, name: &str, id: u128, partitions: i32, replicas: &[i32]) -> Self {
        let topic_id = Uuid(id);
        let mut cluster = self.with(TopicRecord { name: name.to_owned(), topic_id });
        for partition_id in 0..partitions {
            cluster = cluster.with(PartitionRecord {
                partition_id,
                topic_id,
                replicas: replicas.to_vec(),
                isr: replicas.to_vec(),
                leader: replicas[0],
                leader_epoch: 5,
                partition_epoch: 0,
                directories: replicas.iter().map(|&id| directory(id)).collect(),
                ..PartitionRecord::default()
            });
        }
        cluster
    }

    pub(super) fn config(self, kind: i8, resource: &str, name: &str, value: &str) -> Self {
        self.with(ConfigRecord {
            resource_type: kind,
            resource_name: resource.to_owned(),
            name: name.to_owned(),
            value: Some(value.to_owned()),
        })
    }

    pub(super) fn with(mut self, record: impl Into<MetadataRecord>) -> Self {
        let replayed = self.metadata.replay(self.next, LeaderEpoch(1), &record.into());
        replayed.expect("the test's records can be applied");
        self.next = self.next.next();
        self
    }

    pub(super) fn image(self) -> Image {
        self.metadata.published().clone()
    }
}

/// A request's context, from the listener PLAINTEXT.
pub(super) fn context(api_key: ApiKey, api_version: i16) -> RequestContext {
    let local = "127.0.0.1:9092".parse().expect("an address");
    let connection = ConnectionContext {
        id: 1,
        listener: Arc::from("PLAINTEXT"),
        principal: Principal::anonymous(),
        peer: local,
        local,
        authorizer: Arc::new(PermitAll),
    };
    RequestContext {
        connection: Arc::new(connection),
        api_key,
        api_version,
        correlation_id: 3,
        client_id: None,
        received: Mono::default() + Duration::from_secs(1),
    }
}
