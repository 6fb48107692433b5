//! What Metadata says of topics. See [`k03_metadata`](super::k03_metadata).

use std::collections::BTreeMap;

use super::admission::topic_operations;
use super::cluster_view::{ClusterView, NoLeader, ids};
use super::k03_metadata::Wanted;
use crate::controller::image::{PartitionRegistration, TopicImage};
use crate::controller::names;
use crate::error_code::ErrorCode;
use crate::node::context::{Operation, RequestContext, Resource};
use crate::types::{BrokerId, Uuid};
use crate::wire::messages::metadata::*;

/// What is needed to answer.
pub(super) struct TopicMetadata<'a> {
    /// The cluster.
    pub(super) view: ClusterView<'a>,
    /// Who asks, and in which version.
    pub(super) context: &'a RequestContext,
    /// Whether to tell the operations that are permitted.
    pub(super) operations: bool,
    /// Why topics that do not exist were not created, by name.
    pub(super) failures: &'a BTreeMap<String, ErrorCode>,
}

impl TopicMetadata<'_> {
    /// The topics asked for, and what is wrong with them.
    pub(super) fn of(&self, wanted: &Wanted) -> Vec<MetadataResponseTopic> {
        match wanted {
            Wanted::All => {
                let described = self.view.image.topics().filter(|topic| self.permitted(&topic.name));
                described.map(|topic| self.described(topic)).collect()
            }
            Wanted::Ids(ids) => ids.iter().map(|&id| self.identified(id)).collect(),
            Wanted::Names(names) => names.iter().map(|name| self.named(name)).collect(),
        }
    }

    fn identified(&self, topic_id: Uuid) -> MetadataResponseTopic {
        let anonymous = |code: ErrorCode| MetadataResponseTopic {
            error_code: code.code(),
            name: None,
            topic_id,
            ..MetadataResponseTopic::default()
        };
        match self.view.image.topic(topic_id) {
            None => anonymous(ErrorCode::UnknownTopicId),
            Some(topic) if !self.permitted(&topic.name) => anonymous(ErrorCode::TopicAuthorizationFailed),
            Some(topic) => self.described(topic),
        }
    }

    fn named(&self, name: &str) -> MetadataResponseTopic {
        let failed = |code: ErrorCode, is_internal: bool| MetadataResponseTopic {
            error_code: code.code(),
            name: Some(name.to_owned()),
            is_internal,
            ..MetadataResponseTopic::default()
        };
        if !self.permitted(name) {
            // Whether it exists is not disclosed.
            return failed(ErrorCode::TopicAuthorizationFailed, false);
        }
        if let Some(topic) = self.view.image.topic_named(name) {
            return self.described(topic);
        }
        let possible = names::check(name).is_ok();
        let code = match self.failures.get(name) {
            Some(&code) => code,
            None if possible => ErrorCode::UnknownTopicOrPartition,
            None => ErrorCode::InvalidTopicException,
        };
        let failed = failed(code, names::is_internal(name));
        if code == ErrorCode::TopicAuthorizationFailed { failed } else { self.with_operations(failed, name) }
    }

    fn described(&self, topic: &TopicImage) -> MetadataResponseTopic {
        let partitions = topic.partitions.iter();
        let described = MetadataResponseTopic {
            error_code: ErrorCode::None.code(),
            name: Some(topic.name.to_string()),
            topic_id: topic.id,
            is_internal: names::is_internal(&topic.name),
            partitions: partitions.map(|(&index, registered)| self.partition(index, registered)).collect(),
            ..MetadataResponseTopic::default()
        };
        self.with_operations(described, &topic.name)
    }

    fn with_operations(&self, mut topic: MetadataResponseTopic, name: &str) -> MetadataResponseTopic {
        if self.operations {
            topic.topic_authorized_operations = topic_operations(self.context, name);
        }
        topic
    }

    fn partition(&self, index: i32, registered: &PartitionRegistration) -> MetadataResponsePartition {
        let version = self.context.api_version;
        // Version 0 speaks only of brokers that are alive.
        let shown = |brokers: &[BrokerId]| -> Vec<BrokerId> {
            let alive = |id: &&BrokerId| version > 0 || self.view.is_alive(**id);
            brokers.iter().filter(alive).copied().collect()
        };
        let (replicas, isr) = (shown(&registered.replicas), shown(&registered.isr));
        let all_shown = replicas.len() == registered.replicas.len() && isr.len() == registered.isr.len();
        let leader = self.view.leader(registered);
        let error = match leader {
            Ok(_) if all_shown => ErrorCode::None,
            Ok(_) => ErrorCode::ReplicaNotAvailable,
            Err(NoLeader::OtherListener) if version >= 6 => ErrorCode::ListenerNotFound,
            Err(_) => ErrorCode::LeaderNotAvailable,
        };
        MetadataResponsePartition {
            error_code: error.code(),
            partition_index: index,
            leader_id: leader.unwrap_or(BrokerId::NONE).0,
            leader_epoch: registered.leader_epoch.0,
            replica_nodes: ids(&replicas),
            isr_nodes: ids(&isr),
            offline_replicas: self.view.offline_replicas(registered),
        }
    }

    fn permitted(&self, name: &str) -> bool {
        self.context.authorize(Operation::Describe, Resource::Topic(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::test_cluster::{DIALLED, TestCluster, context};
    use crate::controller::Image;
    use crate::wire::ApiKey;
    use crate::wire::metadata::PartitionChangeRecord;

    fn image() -> Image {
        TestCluster::new()
            .broker(1)
            .fenced_broker(2)
            .topic("t", 1000, 1, &[1, 2])
            .topic("__consumer_offsets", 2000, 1, &[1])
            .image()
    }

    fn ask(image: &Image, listener: &str, version: i16, wanted: &Wanted) -> Vec<MetadataResponseTopic> {
        let context = context(ApiKey::Metadata, version);
        let failures = BTreeMap::from([("few".to_owned(), ErrorCode::InvalidReplicationFactor)]);
        let view = ClusterView { image, listener, dialled: DIALLED };
        TopicMetadata { view, context: &context, operations: false, failures: &failures }.of(wanted)
    }

    fn names(names: &[&str]) -> Wanted {
        Wanted::Names(names.iter().map(|&name| name.to_owned()).collect())
    }

    #[test]
    fn a_topic_shows_its_partitions() {
        let topics = ask(&image(), "PLAINTEXT", 13, &names(&["t"]));
        let expected = MetadataResponsePartition {
            error_code: 0,
            partition_index: 0,
            leader_id: 1,
            leader_epoch: 5,
            replica_nodes: vec![1, 2],
            isr_nodes: vec![1, 2],
            offline_replicas: vec![2],
        };
        assert_eq!(topics[0].partitions, [expected]);
        assert_eq!((topics[0].topic_id, topics[0].is_internal), (Uuid(1000), false));
        assert_eq!(topics[0].topic_authorized_operations, i32::MIN, "nobody asked");
        assert!(ask(&image(), "PLAINTEXT", 13, &names(&["__consumer_offsets"]))[0].is_internal);
        assert_eq!(ask(&image(), "PLAINTEXT", 13, &Wanted::All).len(), 2);
    }

    #[test]
    fn a_missing_topic_says_why() {
        let topics = ask(&image(), "PLAINTEXT", 13, &names(&["a b", "few", "missing", "t"]));
        let codes: Vec<i16> = topics.iter().map(|topic| topic.error_code).collect();
        assert_eq!(codes, [17, 38, 3, 0]);
        let unknown = ask(&image(), "PLAINTEXT", 13, &Wanted::Ids([Uuid(7777)].into()));
        assert_eq!((unknown[0].error_code, &unknown[0].name), (100, &None));
        let known = ask(&image(), "PLAINTEXT", 13, &Wanted::Ids([Uuid(1000)].into()));
        assert_eq!(known[0].name.as_deref(), Some("t"));
    }

    #[test]
    fn version_0_leaves_out_brokers_that_are_not_alive() {
        let topics = ask(&image(), "PLAINTEXT", 0, &names(&["t"]));
        let partition = &topics[0].partitions[0];
        assert_eq!(partition.error_code, ErrorCode::ReplicaNotAvailable.code());
        assert_eq!((&partition.replica_nodes, &partition.isr_nodes), (&vec![1], &vec![1]));
        assert_eq!(partition.leader_id, 1);
    }

    #[test]
    fn a_partition_without_a_leader_to_connect_to_says_so() {
        let code = |listener, version| {
            let topics = ask(&image(), listener, version, &names(&["t"]));
            (topics[0].partitions[0].error_code, topics[0].partitions[0].leader_id)
        };
        assert_eq!(code("ELSEWHERE", 6), (ErrorCode::ListenerNotFound.code(), -1));
        assert_eq!(code("ELSEWHERE", 5), (ErrorCode::LeaderNotAvailable.code(), -1));
        let change = PartitionChangeRecord {
            partition_id: 0,
            topic_id: Uuid(1000),
            leader: -1,
            ..PartitionChangeRecord::default()
        };
        let cluster = TestCluster::new().broker(1).topic("t", 1000, 1, &[1]).with(change);
        let topics = ask(&cluster.image(), "PLAINTEXT", 13, &names(&["t"]));
        let partition = &topics[0].partitions[0];
        assert_eq!(partition.error_code, ErrorCode::LeaderNotAvailable.code());
        assert_eq!((partition.leader_id, partition.leader_epoch), (-1, 6));
    }
}
