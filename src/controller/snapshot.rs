//! The records whose replay gives an image again: what a snapshot of the metadata log holds.
//!
//! In the order of Kafka's snapshots: features first, since the metadata version says how to read the rest;
//! then brokers, controllers, topics, configs, producer ids. A topic's configs need the topic, and come after
//! all of them.

use super::image::*;
use crate::config::Texts;
use crate::types::{BrokerId, Uuid};
use crate::wire::metadata::*;

impl Image {
    /// The records whose replay gives an image equal to this one, its offset and epoch aside.
    pub fn to_records(&self) -> Vec<MetadataRecord> {
        let mut records = Vec::new();
        let level = |(name, feature_level): (&str, i16)| {
            MetadataRecord::from(FeatureLevelRecord { name: name.to_owned(), feature_level })
        };
        let is_metadata = |(name, _): &(&str, i16)| *name == METADATA_VERSION;
        records.extend(self.features().filter(is_metadata).map(level));
        records.extend(self.features().filter(|feature| !is_metadata(feature)).map(level));
        records.extend(self.brokers().map(|broker| broker_record(broker).into()));
        records.extend(self.controllers().map(|controller| controller_record(controller).into()));
        for topic in self.topics() {
            let name = topic.name.to_string();
            records.push(TopicRecord { name, topic_id: topic.id }.into());
            let partitions = topic.partitions.iter();
            records.extend(
                partitions.map(|(&index, partition)| partition_record(topic.id, index, partition).into()),
            );
        }
        for topic in self.topics() {
            add_configs(&mut records, ResourceType::Topic, &topic.name, &topic.configs);
        }
        for ((kind, name), texts) in &*self.configs {
            add_configs(&mut records, *kind, name, texts);
        }
        if self.next_producer_id.0 > 0 {
            let next_producer_id = self.next_producer_id.0;
            records.push(ProducerIdsRecord { broker_id: -1, broker_epoch: -1, next_producer_id }.into());
        }
        records
    }
}

fn add_configs(records: &mut Vec<MetadataRecord>, kind: ResourceType, resource: &str, texts: &Texts) {
    for (name, value) in texts {
        records.push(
            ConfigRecord {
                resource_type: kind as i8,
                resource_name: resource.to_owned(),
                name: name.clone(),
                value: Some(value.clone()),
            }
            .into(),
        );
    }
}

fn broker_record(broker: &BrokerRegistration) -> RegisterBrokerRecord {
    let endpoint = |point: &Endpoint| BrokerEndpoint {
        name: point.name.clone(),
        host: point.host.clone(),
        port: point.port,
        security_protocol: point.security_protocol,
    };
    let feature = |(name, range): (&String, &FeatureRange)| BrokerFeature {
        name: name.clone(),
        min_supported_version: range.min,
        max_supported_version: range.max,
    };
    RegisterBrokerRecord {
        broker_id: broker.id.0,
        is_migrating_zk_broker: false,
        incarnation_id: broker.incarnation,
        broker_epoch: broker.epoch.0,
        end_points: broker.endpoints.iter().map(endpoint).collect(),
        features: broker.features.iter().map(feature).collect(),
        rack: broker.rack.clone(),
        fenced: broker.fenced,
        in_controlled_shutdown: broker.in_controlled_shutdown,
        log_dirs: broker.log_dirs.clone(),
        cordoned_log_dirs: broker.cordoned_log_dirs.clone(),
    }
}

fn controller_record(controller: &ControllerRegistration) -> RegisterControllerRecord {
    let endpoint = |point: &Endpoint| ControllerEndpoint {
        name: point.name.clone(),
        host: point.host.clone(),
        port: point.port,
        security_protocol: point.security_protocol,
    };
    let feature = |(name, range): (&String, &FeatureRange)| ControllerFeature {
        name: name.clone(),
        min_supported_version: range.min,
        max_supported_version: range.max,
    };
    RegisterControllerRecord {
        controller_id: controller.id.0,
        incarnation_id: controller.incarnation,
        zk_migration_ready: false,
        end_points: controller.endpoints.iter().map(endpoint).collect(),
        features: controller.features.iter().map(feature).collect(),
    }
}

fn partition_record(topic_id: Uuid, index: i32, partition: &PartitionRegistration) -> PartitionRecord {
    let ids = |brokers: &[BrokerId]| brokers.iter().map(|id| id.0).collect::<Vec<_>>();
    let some = |brokers: &[BrokerId]| (!brokers.is_empty()).then(|| ids(brokers));
    PartitionRecord {
        partition_id: index,
        topic_id,
        replicas: ids(&partition.replicas),
        isr: ids(&partition.isr),
        removing_replicas: ids(&partition.removing),
        adding_replicas: ids(&partition.adding),
        leader: partition.leader.0,
        leader_recovery_state: partition.leader_recovery as i8,
        leader_epoch: partition.leader_epoch.0,
        partition_epoch: partition.partition_epoch.0,
        directories: partition.directories.clone(),
        eligible_leader_replicas: some(&partition.elr),
        last_known_elr: some(&partition.last_known_elr),
    }
}
