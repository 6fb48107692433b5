//! The cluster as it looks from one listener: who can be reached there, who leads, whose replicas are offline.

use std::net::IpAddr;

use crate::controller::Image;
use crate::controller::image::{BrokerRegistration, Endpoint, PartitionRegistration};
use crate::node::context::ConnectionContext;
use crate::types::{BrokerId, Uuid};

/// Kafka's directory id of a replica whose directory has failed (KIP-858).
const LOST: Uuid = Uuid(2);

/// One image, seen from one listener.
#[derive(Debug, Clone, Copy)]
pub(super) struct ClusterView<'a> {
    /// The metadata.
    pub(super) image: &'a Image,
    /// The name of the listener through which the client came: it is told where that listener is on the other
    /// brokers.
    pub(super) listener: &'a str,
    /// The address that the client has dialled.
    pub(super) dialled: IpAddr,
}

/// Why a partition's leader cannot be named.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NoLeader {
    /// There is none, or it is no longer registered.
    Unknown,
    /// It does not have the listener.
    OtherListener,
}

impl<'a> ClusterView<'a> {
    /// The cluster as the peer of a connection sees it.
    pub(super) fn new(image: &'a Image, connection: &'a ConnectionContext) -> Self {
        Self { image, listener: &connection.listener, dialled: connection.local.ip() }
    }

    /// The host that a client is told. An endpoint without one is a listener on every interface that nothing
    /// was advertised for: the client has just shown which address it can reach. (An IPv4 client of an IPv6
    /// socket has dialled an IPv4 address.)
    pub(super) fn host(self, endpoint: &Endpoint) -> String {
        if endpoint.host.is_empty() { self.dialled.to_canonical().to_string() } else { endpoint.host.clone() }
    }

    /// Host, port and rack of a broker that has the listener.
    pub(super) fn address(self, id: BrokerId) -> Option<(String, i32, Option<String>)> {
        let broker = self.image.broker(id)?;
        let endpoint = self.endpoint(broker)?;
        Some((self.host(endpoint), i32::from(endpoint.port), broker.rack.clone()))
    }

    /// The brokers that have the listener, fenced ones included, by id.
    pub(super) fn brokers(self) -> impl Iterator<Item = (&'a BrokerRegistration, &'a Endpoint)> {
        self.image.brokers().filter_map(move |broker| Some((broker.as_ref(), self.endpoint(broker)?)))
    }

    /// The brokers that have the listener and are not fenced, by id.
    pub(super) fn alive_brokers(self) -> impl Iterator<Item = (&'a BrokerRegistration, &'a Endpoint)> {
        self.brokers().filter(|(broker, _)| !broker.fenced)
    }

    /// Whether a broker is registered, not fenced and has the listener.
    pub(super) fn is_alive(self, id: BrokerId) -> bool {
        self.image.broker(id).is_some_and(|broker| !broker.fenced && self.endpoint(broker).is_some())
    }

    /// Whom to name as controller: like in Kafka a broker, for clients reach no other; the one that is asked,
    /// as it has the controller in its own process. -1 while it is fenced.
    pub(super) fn controller(self, asked: BrokerId) -> BrokerId {
        if self.is_alive(asked) { asked } else { BrokerId::NONE }
    }

    /// A partition's leader. Like in Kafka it may be fenced: then its partitions are about to move.
    pub(super) fn leader(self, partition: &PartitionRegistration) -> Result<BrokerId, NoLeader> {
        let leader = self.image.broker(partition.leader).ok_or(NoLeader::Unknown)?;
        self.endpoint(leader).map(|_| leader.id).ok_or(NoLeader::OtherListener)
    }

    /// Whose replicas of a partition cannot be reached, or lie in a directory that has failed.
    pub(super) fn offline_replicas(self, partition: &PartitionRegistration) -> Vec<i32> {
        let replicas = partition.replicas.iter().zip(&partition.directories);
        let offline = replicas.filter(|&(&id, &directory)| !self.is_online(id, directory));
        offline.map(|(id, _)| id.0).collect()
    }

    fn is_online(self, id: BrokerId, directory: Uuid) -> bool {
        let Some(broker) = self.image.broker(id).filter(|_| self.is_alive(id)) else { return false };
        // Reserved ids say that the directory is not known yet. A broker of an old metadata version tells none.
        let assigned = !directory.is_reserved() && !broker.log_dirs.is_empty();
        directory != LOST && (!assigned || broker.log_dirs.contains(&directory))
    }

    fn endpoint(self, broker: &'a BrokerRegistration) -> Option<&'a Endpoint> {
        broker.endpoints.iter().find(|endpoint| endpoint.name == self.listener)
    }
}

/// As responses have them.
pub(super) fn ids(brokers: &[BrokerId]) -> Vec<i32> {
    brokers.iter().map(|id| id.0).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::test_cluster::{DIALLED, TestCluster, directory};

    #[test]
    fn a_client_sees_the_brokers_of_its_own_listener() {
        let image = TestCluster::new().broker(1).broker(2).fenced_broker(3).image();
        let view = ClusterView { image: &image, listener: "EXTERNAL", dialled: DIALLED };
        let ports = |brokers: Vec<(&BrokerRegistration, &Endpoint)>| -> Vec<(i32, u16)> {
            brokers.into_iter().map(|(broker, endpoint)| (broker.id.0, endpoint.port)).collect()
        };
        assert_eq!(ports(view.alive_brokers().collect()), [(1, 19_001), (2, 19_002)]);
        assert_eq!(ports(view.brokers().collect()), [(1, 19_001), (2, 19_002), (3, 19_003)]);
        assert_eq!(ClusterView { listener: "ELSEWHERE", ..view }.brokers().count(), 0);
        assert_eq!(view.controller(BrokerId(2)), BrokerId(2));
        assert_eq!(view.controller(BrokerId(3)), BrokerId::NONE, "it is fenced");
    }

    #[test]
    fn a_broker_that_advertises_no_host_is_where_the_client_has_dialled() {
        let image = TestCluster::new().broker(1).image();
        let view = ClusterView { image: &image, listener: "PLAINTEXT", dialled: DIALLED };
        let advertised = view.brokers().next().expect("a broker").1.clone();
        assert_eq!(view.host(&advertised), "plaintext.example");
        let anywhere = Endpoint { host: String::new(), ..advertised };
        assert_eq!(view.host(&anywhere), "127.0.0.1");
        let mapped = "::ffff:192.0.2.7".parse().expect("an address");
        assert_eq!(ClusterView { dialled: mapped, ..view }.host(&anywhere), "192.0.2.7");
        let rack = Some("rack-1".to_owned());
        assert_eq!(view.address(BrokerId(1)), Some(("plaintext.example".to_owned(), 9001, rack)));
    }

    #[test]
    fn a_replica_is_offline_with_its_broker_or_its_directory() {
        let image = TestCluster::new().broker(1).broker(2).fenced_broker(3).image();
        let view = ClusterView { image: &image, listener: "PLAINTEXT", dialled: DIALLED };
        assert!(view.is_online(BrokerId(1), directory(1)));
        assert!(!view.is_online(BrokerId(1), directory(2)), "broker 1 has no such directory");
        assert!(!view.is_online(BrokerId(3), directory(3)), "fenced");
        assert!(!view.is_online(BrokerId(4), Uuid::ZERO), "not registered");
        assert!(view.is_online(BrokerId(1), Uuid::ZERO), "not assigned yet");
        assert!(!view.is_online(BrokerId(1), LOST));
    }
}
